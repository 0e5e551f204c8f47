# SPDX-License-Identifier: MIT
"""A router with the whole of sluice, and its clients behind it, who try the same attacks through it."""
import contextlib

from field import ATTACKS
from lab.base import until
from lab.internet import FAMILY, V4, V6
from lab.space import Space
from case_life import contained
from stage import METHODS, Load, Stage
from suite import case, expect, none_of

GATE = {V4: "10.88.{}.1", V6: "fd88:0:{}::1"}
CLIENT = {V4: "10.88.{}.2", V6: "fd88:0:{}::2"}
# What a router without rules passes on: a control of the attacks that go through it.
CORE = ("TCP to any port", "UDP to any port", "TCP Fast Open", "MPTCP", "UDP-Lite", "ICMP echo through a ping socket",
        "raw TCP segments: SYN, RST, FIN, none, all, with data", "raw packets from an address that is not ours",
        "other protocols: SCTP, GRE, DCCP, UDP-Lite, ESP, IP in IP and more",
        "fragments: first, later, overlapping, without what comes before",
        "packet sockets: past the queue, under other protocols' names, with somebody's mark")
AIMED = ("the proxy's port, by every local address", "web ports of every local address")
BRIEF = ("TCP to any port", "UDP to any port", "raw TCP segments: SYN, RST, FIN, none, all, with data",
         "packet sockets: past the queue, under other protocols' names, with somebody's mark", AIMED[0])
NOT_THROUGH = {"what the proxy's process holds", "squatting on the proxy's port", "a user namespace of one's own",
               "UDP from the port that the proxy asked the name server from",
               "an ICMP error about a flow of the proxy's", "a raw segment into a flow of the proxy's",
               "joining a group: IGMP"}


class Router(Stage):
    """The pod is a router: `clients` is a namespace behind its lan0. What runs "in the stage" runs there."""

    number = 0

    def __init__(self, world, method, scope="router"):
        Router.number += 1
        super().__init__(world, f"router{Router.number}", method, f"scope = {scope}\ninterfaces = lan0\n")
        self.router = self.space
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            self.router.sysctl(name, 1)
        self.clients = Space(self.lab, f"clients{Router.number}")
        self.gate = {family: text.format(Router.number) for family, text in GATE.items()}
        self.own = {family: text.format(Router.number) for family, text in CLIENT.items()}
        self.lab.must(["ip", "link", "add", "lan0", "netns", self.router.name, "type", "veth",
                       "peer", "name", "eth0", "netns", self.clients.name])
        self.router.ip(f"addr add {self.gate[V4]}/24 dev lan0", f"addr add {self.gate[V6]}/64 dev lan0 nodad",
                       "link set lan0 up")
        self.clients.ip(f"addr add {self.own[V4]}/24 dev eth0", f"addr add {self.own[V6]}/64 dev eth0 nodad",
                        "link set eth0 up", f"route add default via {self.gate[V4]}",
                        f"route add default via {self.gate[V6]}")
        for name, value in (("ipv4/ip_local_port_range", "50000 60999"), ("ipv4/ping_group_range", "0 2147483647"),
                            ("ipv4/tcp_fastopen", 5)):
            self.clients.sysctl(name, value)
        self.internet.space.ip(f"route add {self.own[V4][:-1]}0/24 via {self.pod.addresses[V4]}",
                               f"route add {self.own[V6][:-1]}/64 via {self.pod.addresses[V6]}")

    def inside(self):
        """From here on attacks and clients are the router's clients'."""
        self.macs = self.mac(self.clients, "eth0"), self.mac(self.router, "lan0")
        text = self.router.must(["ip", "-6", "addr", "show", "dev", "lan0", "scope", "link"]).stdout
        self.gateway_link = text.partition("inet6 ")[2].partition("/")[0]
        self.space = self.clients

    def itself(self):
        """They are the router's own."""
        self.macs = self.mac(self.router, "eth0"), self.mac(self.internet.space, self.pod.wire)
        self.space = self.router
        self.prepare()

    def field(self, family, served=True, number=0):
        field = super().field(family, served, number)
        if self.space is self.router:
            return field
        field.me, field.gateway = self.own[family], self.gate[family]
        field.mine = [self.gate[family], self.pod.addresses[family]]
        return field


def attacks(every, names=CORE + AIMED):
    """(attack, family) of those of these names, or of all that can go through a router."""
    for attack in ATTACKS.values():
        if attack.name in names or every and attack.name not in NOT_THROUGH:
            for family in attack.families:
                yield attack, family


def try_all(suite, stage, served, wanted):
    leaks = []
    for attack, family in wanted:
        problems, found, counts = stage.run_attack(attack, family, served, suite.number())
        suite.table.add(attack.name, family, stage.column if served else f"{stage.column}, proxy down", counts)
        leaks += [f"IPv{family} {attack.name}: {text[:200]}" for text in [*found, *problems]]
    return leaks


@case()
def control(suite):
    """a router without rules passes its clients' attacks on"""
    stage = Router(suite.world, "bare")
    stage.inside()
    missing = []
    for name in CORE:
        for family in (V4, V6):
            leaks = stage.run_attack(ATTACKS[name], family, number=suite.number())[1]
            missing += [] if leaks else [f"IPv{family} {name}"]
    expect(not missing, f"does not get through: {missing}")


@case(*METHODS)
def clients_attack(suite, method):
    """nothing of a router's clients' attacks gets out, the proxy up or down"""
    stage = Router(suite.world, method)
    stage.column = f"router, {method}"
    stage.up()
    stage.inside()
    attacked(suite, stage)
    contained(stage)


@case(*METHODS)
def both_attack(suite, method):
    """with scope = both nothing of the router's own attacks nor of its clients' gets out, the proxy up or down"""
    stage = Router(suite.world, method, "both")
    stage.column = f"router, {method}"
    stage.up()
    for enter in (stage.inside, stage.itself):
        enter()
        attacked(suite, stage, BRIEF, BRIEF)
    contained(stage)


def attacked(suite, stage, names=CORE + AIMED, down=CORE[:8]):
    """Attacks from where the stage's clients are, the proxy up and down."""
    with Load(stage) as load:
        load.more()
        leaks = try_all(suite, stage, True, attacks(suite.soak, names))
        load.more()
    none_of(leaks, "got out while clients were served")
    expect(not load.failed and not load.wrong, f"failed {load.failed[:5]}, wrong {load.wrong[:5]}")
    stage.node.proxy.process.kill()
    stage.node.proxy.wait()
    with Load(stage, patience=0.2) as load:
        none_of(try_all(suite, stage, False, attacks(suite.soak, down)), "got out while the proxy was down")
        until(lambda: len(load.failed) > 2, "clients that fail")
        expect(load.served == {V4: 0, V6: 0}, f"served without a proxy: {load.served}")
        stage.node.start()
        load.more()


@case(*(f"{method}, rp_filter {name}" for method in METHODS for name in ("off", "strict", "loose")))
def sources_filtered(suite, parameter):
    """a router's clients are served under any source validation, and nothing of theirs gets out under another's address"""
    method, _, mode = parameter.replace(",", "").split()
    stage = Router(suite.world, method)
    for device in ("all", "lo", "eth0", "lan0"):
        stage.router.sysctl(f"ipv4/conf/{device}/rp_filter", ("off", "strict", "loose").index(mode))
    stage.up()
    stage.inside()
    with Load(stage) as load:
        load.more(2)
        for family in (V4, V6):
            for name in ("raw packets from an address that is not ours", "UDP to any port"):
                problems, leaks, _ = stage.run_attack(ATTACKS[name], family, number=suite.number())
                expect(not problems, str(problems))
                none_of(leaks)
        load.more(2)
    expect(not load.failed and not load.wrong, f"failed {load.failed[:5]}, wrong {load.wrong[:5]}")
    contained(stage)


@case()
def clients_address(suite):
    """a router's log names the client, and its own services stay out of it"""
    stage = Router(suite.world, "tproxy")
    stage.up()
    stage.inside()
    for family in (V4, V6):
        with stage.router.socket(FAMILY[family]) as listener:
            listener.bind((stage.gate[family], 8088))
            listener.listen(1)
            with stage.clients.socket(FAMILY[family]) as sock, contextlib.closing(listener):
                sock.settimeout(5)
                sock.connect((stage.gate[family], 8088))
        expect(stage.ask(family=family) == 200, f"IPv{family}: not served")
        text = f"{stage.own[family]}:" if family == V4 else f"[{stage.own[family]}]:"

        def logged(text=text):
            with open(stage.node.access_log, encoding="ascii") as log:
                return any(text in line and "origin.test" in line for line in log)

        until(logged, f"the client's address {text} in the log")
    contained(stage)
