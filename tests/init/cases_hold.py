# SPDX-License-Identifier: MIT
"""The process that stays: what others can no longer change, and what is put right when they can."""
import contextlib
import itertools
import os
import re
import signal
import socket
import struct
import threading

import probe
from lab.base import until
from lab.space import Space
from pair import ETH_P_IP, FAMILY, FAR, LIMIT, OUTSIDE, PROXY_UID
from suite import METHODS, case, listing, routing, same

NUMBER = itertools.count()
CAP_NET_ADMIN, CAP_NET_RAW, CAP_KILL = 1 << 12, 1 << 13, 1 << 5


@contextlib.contextmanager
def holding(pair, *args, name="hold", program=(), env=None):
    """sluice-init hold, once it says that it does."""
    command = pair.command("hold", *args)
    child = pair.node.spawn(f"{name}-{next(NUMBER)}", [*command, "--", *program] if program else command, env=env)
    try:
        until(lambda: "holding the rules" in child.output() or not child.alive(), f"{name}: ready")
        same(child.alive(), True, child.output())
        yield child
    finally:
        if child.alive():
            child.stop()


def is_right(pair):
    done = pair.init("check")
    return done.returncode == 0 and done.stdout == ""


def said(child, pattern):
    return re.search(pattern, child.output(), re.M) is not None


@case(*METHODS)
def owned(suite, method):
    """What is held nobody else changes: not nft, not apply, not remove, not lockdown"""
    pair = suite.pair(method)
    other = suite.golden("everything")
    with holding(pair) as child:
        before = listing(pair.node, handles=True)
        same(pair.node.run(["nft", "flush", "ruleset"]).returncode, 0, "nft flush ruleset")
        for command in ("delete table inet sluice", "delete table netdev sluice", "flush chain inet sluice guard",
                        "insert rule inet sluice pass accept", "add table inet sluice { flags dormant ; }",
                        "add chain inet sluice extra { type filter hook output priority 1 ; }"):
            done = pair.node.run(["nft", *command.split()])
            same((done.returncode, "Operation not permitted" in done.stderr), (1, True), f"nft {command}: {done.stderr}")
        same(listing(pair.node, handles=True), before, "rules")
        same((pair.init("check").returncode, pair.init("apply").returncode), (0, 0), "check and apply of the same")
        held, pair.policy = pair.policy, other
        for command in ("apply", "remove", "lockdown"):
            done = pair.init(command)
            same((done.returncode, done.stderr),
                 (77, f"sluice-init: process {child.pid} holds the rules (sluice-init hold): SIGHUP makes it read the "
                      "policy again, SIGTERM makes it let go\n"), command)
        pair.policy = held
        done = pair.init("hold")
        same((done.returncode, done.stderr), (75, f"sluice-init: process {child.pid} holds the rules already\n"), "hold")
        same(listing(pair.node, handles=True), before, "rules")
        same(child.stop(), 0, "status after SIGTERM")
    same(is_right(pair), True, "the rules after the end")
    same(os.path.exists(os.path.join(pair.state, "hold.sock")), False, "the socket after the end")
    pair.remove()
    same(listing(pair.node), "", "rules after remove")


@case("over nothing", "over apply", "over another policy", "over lockdown")
def begins(suite, before):
    """hold takes over whatever there is, and what it left behind as it is"""
    pair = suite.pair("tproxy")
    if before == "over another policy":
        pair.policy = suite.golden("everything")
        pair.apply()
        pair.policy = suite.golden("tproxy")
    elif before == "over lockdown":
        same(pair.init("lockdown").returncode, 0, "lockdown")
    elif before == "over apply":
        pair.apply()
    with holding(pair) as child:
        same(is_right(pair), True, "the rules")
        handles = re.findall(r"# handle \d+", listing(pair.node, handles=True))
        child.process.kill()
        child.wait()
    same(re.findall(r"# handle \d+", listing(pair.node, handles=True)), handles, "the rules after SIGKILL")
    with holding(pair, name="again"):
        same(re.findall(r"# handle \d+", listing(pair.node, handles=True)), handles, "the rules, taken over")
        same(pair.node.run(["nft", "delete", "table", "inet", "sluice"]).returncode, 1, "nft delete table")


@case(*METHODS)
def killed_while_probed(suite, method):
    """Killed and started again, over and over, it lets nothing out"""
    pair = suite.pair(method)
    pair.apply()
    done = threading.Event()
    tag = b"<all the while>"
    sends = [send for name, send in probe.PROBES if name in (
        "TCP", "UDP over IPv6", "DNS", "raw RST with payload", "packet socket", "ICMP echo", "UDP bound to the device")]
    same(len(sends), 7, "probes")

    def attack():
        while not done.is_set():
            for send in sends:
                send(pair, tag)

    pair.watch.fence()
    thread = threading.Thread(target=attack, daemon=True)
    thread.start()
    try:
        for number in range(8):
            with holding(pair, name=f"hold-{number}") as child:
                child.process.kill()
                child.wait()
    finally:
        done.set()
        thread.join()
    same([frame.hex() for frame in pair.watch.leaks(tag)], [], "leaks")


ROUTES = [
    ("ip rule del priority 133", r"ip rule for table 133: missing: put right"),
    ("ip -6 rule del priority 133", r"ip -6 rule for table 133: missing: put right"),
    ("ip route flush table 133", r"ip route for table 133: missing: put right"),
    ("ip -6 route flush table 133", r"ip -6 route for table 133: missing: put right"),
    ("ip link set lo down ; ip link set lo up", r""),
]


@case()
def mends_routes(suite):
    """Rules and routes that somebody takes away come back, and it says so"""
    pair = suite.pair("tproxy")
    with holding(pair) as child:
        for commands, text in ROUTES:
            for command in commands.split(" ; "):
                pair.node.must(command.split())
            until(lambda: is_right(pair), f"after {commands}")
            until(lambda: said(child, text), f"the message after {commands}")
        same(routing(pair.node).count("fwmark"), 2, "ip rules")
        same(said(child, r"\(4 so far\)$"), True, child.output())


TABLES = [
    ("delete table inet sluice", r"table inet sluice: missing"),
    ("delete table netdev sluice", r"table netdev sluice: missing"),
    ("flush ruleset", r"table inet sluice: missing \(and 1 more\)"),
    ("flush chain inet sluice guard", r"chain guard: rule 1 .*: missing \(and 4 more\)"),
    ("add chain inet sluice guard { policy accept ; }", r"chain guard: has policy accept, should have drop"),
    ("insert rule inet sluice pass accept", r"chain pass: a rule before rule 1 should not be there"),
    ("add element inet sluice ports { 25 }", r"set ports: 25 should not be there"),
    ("add table inet sluice { flags dormant ; }", r"table inet sluice: has flags 0x1 \(dormant\)"),
    ("add chain inet sluice extra { type filter hook output priority 1 ; }", r"chain extra: should not be there"),
]


@case()
def mends_tables(suite):
    """Where tables cannot be owned, what somebody does to them is put right and laid at his door"""
    pair = suite.pair("ports")
    with holding(pair, "--no-owner") as child:
        same(said(child, r"which others can change$"), True, child.output())
        for number, (command, text) in enumerate(TABLES, 1):
            pair.node.must(["nft", *command.split()])
            until(lambda: said(child, rf"^sluice-init: tampered by nft \(process \d+\): {text}: put right \({number} so far\)$"),
                  f"{command}: {child.output()}")
            same(is_right(pair), True, f"check after {command}")


@case()
def hears_no_news(suite):
    """When there was too much to hear, it looks for itself"""
    pair = suite.pair("tproxy")
    with holding(pair, "--no-owner") as child:
        child.signal(signal.SIGSTOP)
        lines = "".join(f"rule add priority {n} table 5\nrule del priority {n}\n" for n in range(1000, 4000))
        pair.node.must(["ip", "-batch", "-"], stdin=lines)
        pair.node.must(["nft", "delete", "table", "inet", "sluice"])
        pair.node.must(["ip", "rule", "del", "priority", "133"])
        child.signal(signal.SIGCONT)
        until(lambda: is_right(pair), "put right")


def foreign_frame(pair, device, tag):
    """A frame past all hooks but the egress one, from the node's device. False: refused."""
    with pair.node.inside():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with sock:
            try:
                sock.sendto(b"\xff" * 6 + bytes(6) + struct.pack("!H", ETH_P_IP) + tag.ljust(46, b"."), (device, ETH_P_IP))
            except OSError:
                return False
    return True


def devices(pair):
    text = pair.node.run(["nft", "list", "table", "netdev", "sluice"]).stdout
    return set(re.findall(r"[\w-]+", " ".join(re.findall(r"devices? (?:= \{)?(.*?)\}? priority", text))))


@case("owned", "--no-owner")
def follows_interfaces(suite, mode):
    """Interfaces that appear, change names and go have their egress chain, and nobody is blamed"""
    pair = suite.pair("tproxy")
    with holding(pair, *([mode] if mode.startswith("--") else [])) as child:
        pair.node.ip("link add slu-a type veth peer name slu-b")
        until(lambda: devices(pair) == {"eth0", "slu-a", "slu-b"} and is_right(pair), "new interfaces")
        pair.node.ip("link set slu-a up", "link set slu-b up")
        sock = pair.node.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with sock, pair.node.inside():
            sock.bind(("slu-b", 3))
            sock.setblocking(False)
            same(foreign_frame(pair, "slu-a", b"<new interface>"), False, "a frame from the new interface")
        pair.node.ip("link set slu-a down", "link set slu-a name slu-c")
        until(lambda: is_right(pair) and "slu-c" in devices(pair), "renamed")
        pair.node.ip("link set slu-c up")
        same(foreign_frame(pair, "slu-c", b"<renamed>"), False, "a frame from the renamed interface")
        pair.node.ip("link add br0 type bridge", "link set slu-c master br0")
        until(lambda: is_right(pair) and "br0" in devices(pair), "a bridge")
        pair.node.ip("link del slu-c", "link del br0")
        until(lambda: is_right(pair), "removed")
        same(said(child, "tampered"), False, child.output())


@case("owned", "--no-owner")
def follows_bridges(suite, mode):
    """A port that leaves an inside bridge has its egress chain, and one that joins has none"""
    pair = suite.pair()
    pair.node.ip("link add br-lan type bridge", *(f"link add lan{n} type veth peer name far{n}" for n in (1, 2)),
                 *(f"link set lan{n} master br-lan" for n in (1, 2)), *(f"link set {end}{n} up" for end in ("lan", "far") for n in (1, 2)))
    pair.use(suite.policy("scope = both", "interfaces = br-lan"))
    outside = {"eth0", "far1", "far2"}
    with holding(pair, *([mode] if mode.startswith("--") else [])) as child:
        same((devices(pair), is_right(pair)), (outside, True), "with two ports")
        same(foreign_frame(pair, "lan2", b"<inside>"), True, "a frame from a port")
        pair.node.ip("link set lan2 nomaster")
        until(lambda: devices(pair) == outside | {"lan2"} and is_right(pair), "a port left")
        same(foreign_frame(pair, "lan2", b"<outside>"), False, "a frame from what is no port any more")
        pair.node.ip("link set lan2 master br-lan")
        until(lambda: devices(pair) == outside and is_right(pair), "a port joined")
        same(foreign_frame(pair, "lan2", b"<inside again>"), True, "a frame from a port")
        same(said(child, "tampered"), False, child.output())


@case()
def tamper_log(suite):
    """tamper = log says what was changed and leaves it"""
    pair = suite.pair()
    pair.use(suite.policy("tamper = log"))
    with holding(pair, "--no-owner") as child:
        pair.node.must(["nft", "insert", "rule", "inet", "sluice", "pass", "accept"])
        until(lambda: said(child, r"tampered by nft .*: chain pass: .*: left as it is \(1 so far\)$"), "the message")
        same(is_right(pair), False, "check")


@case("--no-owner", "owned")
def tamper_lockdown(suite, mode):
    """tamper = lockdown closes everything, for the proxy too, until SIGHUP"""
    pair = suite.pair()
    pair.use(suite.policy("tamper = lockdown"))
    with holding(pair, *([mode] if mode.startswith("--") else [])) as child:
        pair.watch.fence()
        pair.node.must(["ip", "rule", "del", "priority", "133"])
        until(lambda: said(child, r"tampered: ip rule .*: everything is closed until SIGHUP \(1 so far\)$"), "the message")
        until(lambda: pair.init("check").stdout == "lockdown: everything is closed until apply\n", "check")
        with pair.proxy_socket(4, socket.SOCK_DGRAM) as sock, probe.refused():
            sock.sendto(b"<locked>", (FAR[4], 53))
        pair.node.ip("link add slu-a type veth peer name slu-b")
        until(lambda: {"slu-a", "slu-b"} <= devices(pair), "new interfaces in lockdown")
        pair.node.ip("link del slu-a")
        if mode.startswith("--"):
            pair.node.must(["nft", "delete", "table", "inet", "sluice"])
            until(lambda: pair.init("check").stdout == "lockdown: everything is closed until apply\n", "still locked")
        child.signal(signal.SIGHUP)
        until(lambda: is_right(pair), "after SIGHUP")
        same([frame for frame in pair.watch.leaks(b"<locked>") if b"<locked>" in frame], [], "leaks")


@case()
def reloads(suite):
    """SIGHUP takes up a good policy at once, and a bad one not at all"""
    pair = suite.pair()
    path = suite.lab.path("reloaded.slp")
    first, second = suite.golden("tproxy"), suite.golden("everything")

    def put(source):
        with open(source, "rb") as old, open(path + ".new", "wb") as new:
            new.write(old.read())
        os.rename(path + ".new", path)

    put(first)
    pair.use(path)
    with holding(pair) as child:
        put(second)
        same(is_right(pair), False, "check before SIGHUP")
        child.signal(signal.SIGHUP)
        until(lambda: said(child, r"^sluice-init: reloaded: "), "the message")
        same(is_right(pair), True, "check after SIGHUP")
        for bad in (b"", b"no policy"):
            with open(path, "wb") as file:
                file.write(bad)
            before, lines = listing(pair.node, handles=True), child.output().count("keeping the old one")
            child.signal(signal.SIGHUP)
            until(lambda: child.output().count("keeping the old one") > lines, "the message")
            same(listing(pair.node, handles=True), before, "rules after a bad policy")
        put(first)
        child.signal(signal.SIGHUP)
        until(lambda: child.output().count("reloaded: ") == 2, "the message")
        same(is_right(pair), True, "check after the first policy again")
        same(said(child, "tampered"), False, child.output())


CHILD = """
import os, signal, sys
log = open(sys.argv[1], "a", buffering=1)
def note(number, frame):
    log.write(f"signal {number}\\n")
    if number == signal.SIGTERM:
        sys.exit(7)
for number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, note)
caps = [line for line in open("/proc/self/status") if line.startswith("CapEff")][0].split()[1]
log.write(f"start {os.getpid()} caps {int(caps, 16) & 0x3000:x} fds {sorted(int(n) for n in os.listdir('/proc/self/fd'))} "
          f"blocked {sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))} notify {os.environ.get('NOTIFY_SOCKET')}\\n")
while True:
    signal.pause()
"""


@case()
def runs_a_program(suite):
    """The program under the rules is started again when it dies, hears SIGHUP, and its status is the last word"""
    pair = suite.pair("tproxy")
    script, log = suite.lab.write("child.py", CHILD), suite.lab.write("child.log", "")
    env = {**suite.lab.env, "NOTIFY_SOCKET": "/nowhere/notify"}

    def lines(pattern):
        with open(log, encoding="utf-8") as file:
            return re.findall(pattern, file.read(), re.M)

    with holding(pair, program=["/usr/bin/python3", script, log], env=env) as child:
        until(lambda: lines(r"^start"), "the program")
        # stdin, stdout, stderr, its script's log, and the directory that it looks into
        same(lines(r"^start \d+ (.*)$"), ["caps 3000 fds [0, 1, 2, 3, 4] blocked [] notify /nowhere/notify"], "the program")
        with open(f"/proc/{child.pid}/status", encoding="utf-8") as file:
            same(int(re.search(r"CapEff:\s*(\w+)", file.read()).group(1), 16), CAP_NET_ADMIN | CAP_KILL, "the holder's")
        for number in (1, 2):
            os.kill(int(lines(r"^start (\d+)")[-1]), signal.SIGKILL)
            until(lambda: len(lines(r"^start")) == number + 1, "the program, started again")
        same(said(child, r"python3 ended with status 137: started again in 100 ms$"), True, child.output())
        child.signal(signal.SIGHUP)
        until(lambda: lines(r"^signal 1$"), "SIGHUP at the program")
        same(said(child, "reloaded"), True, "reloaded before the program")
        child.signal(signal.SIGTERM)
        same(child.wait(), 7, "status")
    same((len(lines(r"^signal 15$")), len(lines(r"^start"))), (1, 3), "SIGTERMs, starts")
    same(is_right(pair), True, "the rules after the end")
    with holding(pair, name="none", program=["/nowhere/program"]) as child:
        until(lambda: said(child, r"/nowhere/program: No such file"), "the message")
        until(lambda: said(child, r"ended with status 127: started again in 200 ms$"), "the pause grows")


@case()
def tells_when_ready(suite):
    """Without a program it tells NOTIFY_SOCKET itself, when the rules are there"""
    pair = suite.pair("tproxy")
    path = suite.lab.path("notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(LIMIT)
        with holding(pair, env={**suite.lab.env, "NOTIFY_SOCKET": path}):
            same(sock.recv(100), b"READY=1", "the notice")
            same(is_right(pair), True, "check")


# ---- orders ----

def order(magic=b"slo1", kind=1, pad=bytes(3), sequence=1, service=0, port=123, zero=0, address=FAR[4], seconds=300, end=0):
    raw = socket.inet_pton(socket.AF_INET6, address if ":" in address else f"::ffff:{address}")
    return magic + struct.pack("<B3sQIHH16sII", kind, pad, sequence, service, port, zero, raw, seconds, end)


def connect(pair, uid=PROXY_UID):
    """As uid, by its real id too: what SO_PEERCRED tells."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(LIMIT)
    os.setresuid(-1, uid, -1)
    try:
        sock.connect(os.path.join(pair.state, "hold.sock"))
    except OSError:
        sock.close()
        raise
    finally:
        os.setresuid(-1, 0, -1)
    return sock


GARBAGE = [b"x", order()[:-1], order() + b"\0", order(magic=b"slo2"), order(kind=0), order(kind=2), order(pad=b"\0\1\0"),
           order(zero=1), order(end=1), bytes(48), b"\xff" * 48]


@case()
def refuses_orders(suite):
    """Orders come from the proxy alone, and garbage ends the connection"""
    pair = suite.pair("tproxy")
    with holding(pair) as child:
        info = os.stat(os.path.join(pair.state, "hold.sock"))
        same((info.st_uid, info.st_mode & 0o777), (PROXY_UID, 0o600), "owner and mode")
        try:
            connect(pair, uid=4000).close()
            raise AssertionError("another user connected")
        except PermissionError:
            pass
        os.chmod(os.path.join(pair.state, "hold.sock"), 0o666)  # whoever gets past the mode is known by its user
        with connect(pair, uid=4000) as sock:
            same(sock.recv(10), b"", "another user, let in by the mode")
        for text in GARBAGE:
            with connect(pair) as sock:
                sock.send(text)
                same(sock.recv(10), b"", f"after {text.hex()}")
        # As many as the proxy can have workers, and some; one more is let go at once, and they go on.
        with contextlib.ExitStack() as stack:
            many = [stack.enter_context(connect(pair)) for _ in range(18)]
            with connect(pair) as sock:
                same(sock.recv(10), b"", "the nineteenth")
            for number, sock in enumerate(many):
                sock.send(order(service=100 + number))
            until(lambda: len(re.findall(r"refused: it names a service that there is not", child.output())) == 18, "all of them")
        with connect(pair, uid=0) as sock:
            sock.send(order(sequence=99))
            until(lambda: said(child, r"order: 198.51.100.7:123: refused: it is about another policy$"), "root's order")
        with contextlib.ExitStack() as stack:  # more than a second's worth, from one that does not stop
            sock = stack.enter_context(connect(pair))
            for _ in range(300):
                sock.send(order(service=100))
        same((child.alive(), is_right(pair)), (True, True), "afterwards")


# ---- lockdown ----

@case("and --no-egress-hook", "with egress chains")
def locks_down(suite, how):
    """lockdown lets nothing out, of the proxy's neither, nor forwards; apply opens what the policy says"""
    pair = suite.pair("tproxy")
    pair.watch.fence()
    args = [word for word in how.split() if word.startswith("--")]
    same((pair.init("lockdown", *args).returncode, pair.init("lockdown", *args).returncode), (0, 0), "lockdown, twice")
    done = pair.init("check")
    same((done.returncode, done.stdout), (1, "lockdown: everything is closed until apply\n"), "check")
    for number, (name, send) in enumerate(probe.PROBES):
        if not args or "packet socket" not in name:
            send(pair, f"<probe-{number:03d}>".encode())
    for family in (4, 6):
        with pair.proxy_socket(family, socket.SOCK_DGRAM) as sock, probe.refused():
            sock.sendto(b"<the proxy>", (FAR[family], 53))
    forwarded(pair, suite)
    with pair.node.socket(socket.AF_INET) as listener, pair.node.socket(socket.AF_INET) as sock:
        listener.bind(("127.0.0.1", 7070))
        listener.listen(1)
        sock.settimeout(LIMIT)
        sock.connect(("127.0.0.1", 7070))
    pair.apply()
    same(is_right(pair), True, "check after apply")
    frames = pair.watch.fence()
    same([frame.hex() for frame in frames if any(tag in frame for tag in (b"<probe", b"<the proxy", b"<forwarded"))
          or (frame[12:14] == b"\x08\x06" and not args) or frame[12:14] == b"\x08\0"], [], "frames")
    same(pair.init("lockdown").returncode, 0, "lockdown over the rules")
    pair.remove()
    same(listing(pair.node), "", "rules after remove")


def forwarded(pair, suite):
    """A datagram of a third host's that the node should forward."""
    with contextlib.closing(Space(suite.lab, "init-lan")) as lan:
        pair.node.sysctl("ipv4/ip_forward", 1)
        suite.lab.must(["ip", "link", "add", "lan0", "netns", pair.node.name, "type", "veth", "peer", "name", "lan0",
                        "netns", lan.name])
        pair.node.ip("addr add 10.78.0.1/24 dev lan0", "link set lan0 up")
        lan.ip("addr add 10.78.0.2/24 dev lan0", "link set lan0 up", "route replace default via 10.78.0.1")
        with lan.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"<forwarded>", (FAR[4], 53))
        pair.node.ip("link del lan0")


@case()
def lockdown_early(suite):
    """lockdown needs no interface, no policy and no state directory"""
    pair = suite.pair()
    pair.node.ip("link del eth0", "link set lo down")
    done = pair.node.run([os.path.join(suite.programs, "sluice-init"), "lockdown", "--state", "/nowhere/at/all"])
    same((done.returncode, done.stderr), (0, ""), "lockdown")
    same("chain lockdown" in listing(pair.node), True, "rules")
    drop = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    done = pair.node.run([*drop, os.path.join(suite.programs, "sluice-init"), "lockdown"])
    same((done.returncode, done.stderr), (0, ""), "lockdown again, without a capability: there is nothing to do") \
        if done.returncode == 0 else same((done.returncode, "needs CAP_NET_ADMIN" in done.stderr), (77, True), done.stderr)


# ---- addresses of UDP services ----

UDP = """[policy]
name = udp
sequence = {sequence}
[capture]
dns = reject
tamper = repair
[service time]
hosts = time.test
ports = udp:123
resolution = dns
{clients}
[service web]
hosts = web.test
ports = https:443
resolution = dns
"""


def udp_policy(suite, name, clients="", sequence=1):
    text = UDP.format(clients=f"clients = {clients}" if clients else "", sequence=sequence)
    return suite.compiled_text(name, text)


def elements(pair, version=4):
    """What the kernel has learned: the text of each element, without how long it still lasts."""
    text = pair.node.must(["nft", "list", "set", "inet", "sluice", f"udp_ipv{version}"]).stdout
    text = re.search(r"elements = \{(.*)\}\n\t\}\n\}", text, re.S)
    return sorted(re.sub(r" expires \S+", "", part).strip() for part in text.group(1).split(",")) if text else []


def reaches(pair, tag, family=4, port=123):
    with pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock, probe.refused():
        sock.sendto(tag, (FAR[family], port))
    return any(tag in frame for frame in pair.watch.fence())


@case()
def follows_orders(suite):
    """An address that the proxy learned opens for the service's port, clients and time, and for nothing else"""
    pair = suite.pair()
    pair.use(udp_policy(suite, "udp-all"))
    with holding(pair) as child, connect(pair) as sock:
        pair.watch.fence()
        same(reaches(pair, b"<early>"), False, "before the order")
        sock.send(order())
        until(lambda: elements(pair) == ["0.0.0.0-255.255.255.255 . 198.51.100.7 . 123 timeout 5m"] or elements(pair) ==
              ["0.0.0.0/0 . 198.51.100.7 . 123 timeout 5m"], f"the element: {elements(pair)}")
        same(reaches(pair, b"<open>"), True, "after the order")
        same((reaches(pair, b"<port>", port=124), reaches(pair, b"<six>", 6)), (False, False), "another port, family")
        sock.send(order(address=FAR[6]))
        until(lambda: len(elements(pair, 6)) == 1, "the IPv6 element")
        same(reaches(pair, b"<open six>", 6), True, "after the order for IPv6")
        for seconds, text in ((1, "timeout 1m"), (10 ** 9, "timeout 1d")):
            address = f"198.51.100.{seconds % 200 + 20}"
            sock.send(order(address=address, seconds=seconds))
            until(lambda: any(address in e and text in e for e in elements(pair)), f"{seconds} s: {elements(pair)}")
        count = len(elements(pair))
        sock.send(order(seconds=7000))
        until(lambda: any("198.51.100.7 " in e and "timeout 1h56m40s" in e for e in elements(pair)), "a longer time")
        same(len(elements(pair)), count, "elements")
        rows = [("service", {"service": 1}, "names a UDP port that the service does not have"),
                ("port", {"port": 443}, "names a UDP port that the service does not have")]
        rows += [(address, {"address": address}, "names an address that is never allowed") for address in (
            "127.0.0.1", "169.254.169.254", "224.0.0.251", "255.255.255.255", "0.0.0.0", "::1", "fe80::1", "ff02::1",
            "64:ff9b::7f00:1")]
        rows += [(address, {"address": address}, "names a private address, which the service may not have")
                 for address in ("10.0.0.1", "192.168.1.1", "fd00::1")]
        for name, fields, text in rows:
            lines = child.output().count("\n")
            sock.send(order(**fields))
            until(lambda: f"refused: it {text}\n" in "\n".join(child.output().split("\n")[lines:]), name)
        same(len(elements(pair)), count, f"elements after what was refused: {elements(pair)}")
        same(is_right(pair), True, "check")


@case()
def keeps_clients(suite):
    """An order opens an address for the clients that the policy names, in their family only"""
    pair = suite.pair()
    pair.use(udp_policy(suite, "udp-clients", "10.78.0.0/16, 10.77.0.128/25"))
    with holding(pair), connect(pair) as sock:
        sock.send(order())
        sock.send(order(address=FAR[6]))
        until(lambda: elements(pair) == ["10.77.0.128/25 . 198.51.100.7 . 123 timeout 5m",
                                         "10.78.0.0/16 . 198.51.100.7 . 123 timeout 5m"], "the elements")
        pair.watch.fence()
        same((reaches(pair, b"<another>"), elements(pair, 6)), (False, []), "the node is no client; IPv6 has none")


@case()
def keeps_addresses(suite):
    """What was learned outlives the table, in one transaction, but not the policy nor the holder"""
    pair = suite.pair()
    path = suite.lab.path("udp.slp")
    same_policy, other = udp_policy(suite, "udp-all"), udp_policy(suite, "udp-next", sequence=2)

    def put(source):
        with open(source, "rb") as old, open(path + ".new", "wb") as new:
            new.write(old.read())
        os.rename(path + ".new", path)

    put(same_policy)
    pair.use(path)
    with holding(pair, "--no-owner") as child, connect(pair) as sock:
        sock.send(order())
        until(lambda: len(elements(pair)) == 1, "the element")
        pair.node.must(["nft", "delete", "table", "inet", "sluice"])
        until(lambda: said(child, r"table inet sluice: missing: put right"), "put right")
        same(len(elements(pair)), 1, "elements of the new table")
        pair.node.must(["nft", "add", "element", "inet", "sluice", "udp_ipv4",
                        "{ 0.0.0.0-255.255.255.255 . 198.51.100.99 . 123 timeout 1h }"])
        until(lambda: said(child, r"may hold what others put there: put right"), "somebody's element")
        same([e for e in elements(pair) if "100.99" in e], [], "somebody's element")
        same(len(elements(pair)), 1, "our element")
        child.signal(signal.SIGHUP)
        until(lambda: said(child, "reloaded"), "reloaded")
        same(len(elements(pair)), 1, "elements after the same policy")
        put(other)
        child.signal(signal.SIGHUP)
        until(lambda: child.output().count("reloaded") == 2, "reloaded")
        same(elements(pair), [], "elements after another policy")
        sock.send(order())
        until(lambda: said(child, "is about another policy"), "an order for the old policy")
        sock.send(order(sequence=2))
        until(lambda: len(elements(pair)) == 1, "an order for the new one")
        child.process.kill()
        child.wait()
    same(len(elements(pair)), 1, "elements after SIGKILL")
    with holding(pair, name="again"):
        same((elements(pair), is_right(pair)), ([], True), "elements of the next holder")


def dns_server(pair):
    """Outside, on port 53: every name has the one IPv4 address FAR[4]."""
    sock = pair.outside.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", 53))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                query, client = sock.recvfrom(512)
                if not query:  # shut down
                    return
                end = query.index(b"\0", 12) + 5
                is_a = query[end - 4:end - 2] == b"\0\1"
                answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(FAR[4]) if is_a else b""
                head = query[:2] + b"\x81\x80" + struct.pack("!HHHH", 1, int(is_a), 0, 0)
                sock.sendto(head + query[12:end] + answer, client)

    threading.Thread(target=serve, daemon=True).start()
    return sock


@case()
def proxy_tells(suite):
    """The proxy has the addresses of its UDP services opened, and tells every new holder all of them"""
    pair = suite.pair()
    text = UDP.format(clients="", sequence=1).replace("sequence = 1\n", f"sequence = 1\nnameservers = {OUTSIDE[4]}\n"
                                                      "access-log = off\n")
    pair.use(suite.compiled_text("udp-proxy", text))
    pair.apply()
    proxy = os.path.join(suite.programs, "sluice-tproxy")
    child = pair.node.spawn("proxy", [proxy, "--policy", pair.policy, "--state", pair.state])
    server = dns_server(pair)
    try:
        for number in range(3):
            with holding(pair, name=f"told-{number}") as holder:
                until(lambda: len(elements(pair)) == 1, f"holder {number}: {holder.output()} {child.output()}")
                same(reaches(pair, b"<ntp>"), True, "UDP to the service")
                holder.process.kill()
                holder.wait()
    finally:
        child.stop()
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
