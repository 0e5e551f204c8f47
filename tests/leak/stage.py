# SPDX-License-Identifier: MIT
"""An internet, and pods in which the whole of sluice runs while clients keep it busy."""
import contextlib
import os
import threading

from field import Field
from lab import Internet, until
from lab.base import CLOSING
from lab.internet import FAMILY, V4, V6
from lab.node import Node
from lab.origin import Origin
from lab.talk import Server, Talk, Wrong
from packet import FAMILY as SOCKET_FAMILY
from wire import Wire

HOSTS = {"origin.test": 20, "other.test": 21, "evil.test": 66, "raw.test": 256 + 54}
NAMESERVER = 54
METHODS = ("tproxy", "redirect")
CAPTURE_MARK = 0x736C7563
POLICY = """\
[policy]
name        = {name}
outbound    = registry-only
access-log  = {log}
nameservers = {nameserver}
[capture]
method = {method}
dns    = {dns}
{capture}[service origin]
hosts      = origin.test
ports      = http:80
resolution = dns
[service raw]
hosts      = raw.test
addresses  = {raw4}, {raw6}
ports      = tcp:7000
resolution = none
{more}"""
OTHER = """\
[service other]
hosts      = other.test
ports      = http:80
resolution = dns
"""


class World:
    """The internet that all pods share."""

    def __init__(self, lab, programs, agent, noise_agent):
        self.lab, self.programs = lab, programs
        self.agent, self.noise_agent = agent, noise_agent
        self.internet = Internet(lab, HOSTS)
        self.internet.start(web=False, ttl=1)
        self.origins = [Origin(self.internet, HOSTS[name], 80) for name in ("origin.test", "other.test", "evil.test")]
        self.echo = [Server(lab, self.internet.listen(HOSTS["raw.test"], 7000, family),
                            ["recv hello", "send ready", *["recv ping", "send pong"] * 2000]) for family in (V4, V6)]
        self._stages = 0

    def stage(self, method, **options):
        self._stages += 1
        return Stage(self, f"{method}{self._stages}", method, **options)


class Stage:
    """A pod with its wire watched. method: "tproxy", "redirect", or "bare" for a pod without sluice.

    plugged: False for a pod whose wire the caller makes with lay_wire() and pod.plug_in().
    """

    def __init__(self, world, name, method, capture="", more="", plugged=True):
        self.world, self.lab, self.internet = world, world.lab, world.internet
        self.name, self.method = name, method
        self.capture, self.more = capture, more
        self.dns = "capture" if method == "tproxy" else "reject"
        self.pod = self.internet.pod(name, plugged=False)
        self.space = self.pod.space
        self.space.sysctl("ipv4/ip_local_port_range", "50000 60999")
        self.space.sysctl("ipv4/ping_group_range", "0 2147483647")
        self.space.sysctl("ipv4/tcp_fastopen", 5)  # data in the first SYN, without a cookie
        self.wire, self.tunnels, self.trouble = None, {}, None
        self.holes = []  # tags, as hex, of attacks that are known not to be closed
        self.macs, self.link, self.gateway_link = (bytes(6), bytes(6)), "fe80::2", "fe80::1"
        self.node = Node(self.pod, world.programs, ["--workers", "2"], name) if method != "bare" else None
        if plugged:
            self.lay_wire()
            self.pod.plug_in()

    def lay_wire(self):
        """The pod's end of the wire is down until the sniffer listens at the other."""
        self.pod.lay_wire()
        self.wire = Wire(self.lab, self.internet.space, self.pod.wire, self.allowed())
        self.macs = self.mac(self.space, "eth0"), self.mac(self.internet.space, self.pod.wire)

    def allowed(self, *hosts):
        """What the policy lets the proxy reach; hosts: other names' port 80 besides."""
        found = set()
        for family in (V4, V6):
            address = self.internet.address
            found |= {(address(NAMESERVER, family), 53, kind) for kind in ("udp", "tcp")}
            found |= {(address(name, family), 80, "tcp") for name in ("origin.test", *hosts)}
            found.add((address("raw.test", family), 7000, "tcp"))
        return found

    def policy_text(self, name=None, more=None):
        nameserver = self.internet.address(NAMESERVER, V4)
        return POLICY.format(name=name or self.name, method=self.method, dns=self.dns, log=self.node.access_log,
                             nameserver=nameserver, capture=self.capture, more=self.more if more is None else more,
                             raw4=self.internet.address("raw.test", V4), raw6=self.internet.address("raw.test", V6))

    def another(self, *more):
        """Text of a policy with other rules that let out the same; more: further lines of [capture]."""
        lines = ["ports = 1-65534", *more]
        return self.policy_text().replace("[service origin]", "\n".join(lines) + "\n[service origin]", 1)

    def up(self):
        """Rules, then the proxy: as a device starts them."""
        self.node.policy(self.policy_text())
        self.node.apply()
        self.node.start()
        return self

    @property
    def mark(self):
        return os.path.join(self.node.state, "mark")

    @property
    def secret(self):
        with contextlib.suppress(FileNotFoundError), open(self.mark, encoding="ascii") as file:
            return int(file.read(), 16)
        return 0x1234567C

    def mac(self, space, device):
        return bytes.fromhex(space.must(["cat", f"/sys/class/net/{device}/address"]).stdout.strip().replace(":", ""))

    def prepare(self):
        """What attacks have to know of the pod once it is plugged in."""
        text = self.internet.space.must(["ip", "-6", "addr", "show", "dev", self.pod.wire, "scope", "link"]).stdout
        self.gateway_link = text.partition("inet6 ")[2].partition("/")[0]
        text = self.space.must(["ip", "-6", "addr", "show", "dev", "eth0", "scope", "link"]).stdout
        self.link = text.partition("inet6 ")[2].partition("/")[0]

    @staticmethod
    def tag(number):
        """What all of an attack's frames carry."""
        return f"<leak-{number:05d}>".encode()

    def field(self, family, served=True, number=0):
        """The surroundings of one attack."""
        address, me = self.internet.address, self.pod.addresses[family]
        mine = ["127.0.0.1", "127.8.8.8", me] if family == V4 else ["::1", me, f"{self.link}%eth0"]
        secret = self.secret if self.node else 0x1234567C
        return Field(
            family=family, served=served and self.node is not None, bare=self.node is None,
            tag=self.tag(number),
            me=me, mine=mine, gateway=me[:-1] + "1", gateway_link=self.gateway_link, mac=self.macs[0],
            gateway_mac=self.macs[1], evil=address("evil.test", family), origin=address("origin.test", family),
            raw=address("raw.test", family), nameserver=address(NAMESERVER, family),
            marks=[CAPTURE_MARK, secret ^ 4, secret | 1, secret | 3],
            proxy=self.node.proxy.pid if self.node and self.node.proxy else 0, flow=self.flow(family),
            dns_port=self.dns_port(), first_port=40000 + number * 40 % 4960)

    def flow(self, family):
        found = self.wire and self.wire.last_data(self.internet.address("raw.test", family), 7000)
        return found or (50000, 1, 1)

    def dns_port(self):
        frames = self.wire.seen(max(self.wire.position() - 2000, 0)) if self.wire else []
        found = [data for data in frames if b"\6origin\4test" in data]
        return int.from_bytes(found[-1][34:36], "big") if found else 50001

    def fence(self):
        self.wire.fence(self.pod.addresses[V4])

    def run_attack(self, attack, family, served=True, number=0):
        """The attack as each of its identities. (problems, Counter of frames since the last fence)."""
        problems = []
        start = self.wire.position()
        for identity in attack.identities:
            said = self.world.agent.run(self.space.name, identity, attack.name, self.field(family, served, number))
            if said is not None:
                problems.append(f"{identity.name}: {said}")
        self.fence()
        leaks, counts = self.wire.count(start)
        return problems, leaks, counts

    def connect(self, host, port, family, seconds=10.0):
        sock = self.space.socket(SOCKET_FAMILY[family])
        sock.settimeout(seconds)
        sock.connect((self.internet.address(host, family), port))
        return sock

    def ask(self, host="origin.test", family=V4, seconds=10.0, name=None):
        """The status of one request on a connection of its own; 0: none came."""
        answer = b""
        try:
            with self.connect(host, 80, family, seconds) as sock:
                sock.sendall(f"GET /status/200 HTTP/1.1\r\nHost: {name or host}\r\nConnection: close\r\n\r\n".encode())
                while more := sock.recv(1 << 16):
                    answer += more
        except OSError as error:
            self.trouble = repr(error)
        words = answer.split(b" ", 2)
        return int(words[1]) if len(words) == 3 and words[1].isdigit() else 0

    def tunnel(self, family):
        """A connection to the echo server that stays open."""
        talk = Talk(self.connect("raw.test", 7000, family))
        talk.do_send("hello")
        talk.do_recv("ready")
        return talk

    @staticmethod
    def ping(talk):
        talk.do_send("ping")
        talk.do_recv("pong")

    def keep_tunnels(self, wanted=True):
        """A tunnel of each family is there and works. How those that were there failed; "": they did not."""
        broken = ""
        for family, talk in list(self.tunnels.items()):
            try:
                self.ping(talk)
            except (Wrong, OSError) as error:
                broken += f"IPv{family}: {error}; "
                talk.sock.close()
                del self.tunnels[family]
        for family in (V4, V6):
            if not wanted and family in self.tunnels:
                self.tunnels.pop(family).sock.close()
            elif wanted and family not in self.tunnels:
                self.tunnels[family] = self.tunnel(family)
                self.ping(self.tunnels[family])
        return broken


class Load:
    """Clients that ask for what is allowed and for what is not, until the block ends.

    served: how many times each family got what it may have; wrong: answers that nobody may get.
    """

    def __init__(self, stage, clients=1, evil=True, patience=5.0):
        self.stage, self.patience, self.evil = stage, patience, evil
        self.served, self.refused, self.failed = {V4: 0, V6: 0}, 0, []
        self.wrong = []
        self.rounds = 0
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(family,), daemon=True)
                         for family in (V4, V6) for _ in range(clients)]

    def _run(self, family):
        while not self._done.is_set() and not CLOSING.is_set():
            status = self.stage.ask(family=family, seconds=self.patience)
            if status == 200:
                self.served[family] += 1
            else:
                self.failed.append(status or f"IPv{family}: {self.stage.trouble}")
            self.rounds += 1
            if self.evil and self.rounds % 4 == 1:
                for host, name in (("evil.test", None), ("origin.test", "evil.test")):
                    status = self.stage.ask(host, family, self.patience, name)
                    if status not in (0, 502):
                        self.wrong.append(f"{host}: {status}")
                    self.refused += 1
            self._done.wait(0.03)

    def more(self, count=5, seconds=20.0):
        """Wait until both families have been served some more."""
        start = dict(self.served)
        until(lambda: all(self.served[f] >= start[f] + count for f in start), "requests to be served", seconds)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        for thread in self._threads:
            thread.join(30)
