# SPDX-License-Identifier: MIT
"""A router's clients: what they send is captured or refused, and nothing else of it gets out."""
import contextlib
import errno
import re
import select
import socket
import struct

import probe
from cases_udp import REFUSED, SERVICE, answers, listen, refused
from pair import ETH_P_IP, FAMILY, FAR, LIMIT, NODE, OUTSIDE, PROXY_PORT
from proxy import Names, Proxy, ask, client
from router import CLIENT, GATE, GATE_MAC, NEIGHBOUR, SPOOFED, Router
from suite import METHODS, case, same

SCOPES = ("router", "both")
EACH = tuple(f"{scope} {method}" for scope in SCOPES for method in METHODS)
EACH_FAMILY = tuple(f"{each} IPv{family}" for each in EACH for family in (4, 6))
# Not forwarded by any router: what is not IP, what stays on the link
STAYS = {"multicast UDP", "packet socket, a tunnel in ARP", "packet socket, unknown Ethernet type",
         "packet socket, EAPOL",
         "neighbour discovery to the link, from a raw socket", "the same with hop limit 1"}


# Counts flows from inside that count as opened from outside, which would be counted anew with each packet
INBOUND = """table inet look {
	chain c {
		type filter hook prerouting priority -140
		iifname "lan0" ct mark 0x736c7502 counter
	}
}
"""


def routed(suite, scope, method, *lines, services=(), dns="capture"):
    return suite.policy(f"scope = {scope}", "interfaces = lan0", f"method = {method}", f"dns = {dns}", *lines,
                        services=services)


def spoofed(router, tag, family, port, dst):
    """A datagram from an address outside, to the router itself or through it."""
    head = struct.pack("!HHHH", 45010, port, 8 + len(tag), 0)
    if family == 4:
        probe.raw(router.lan, probe.ipv4(17, head + tag, dst=dst, src=SPOOFED[4]))
        return
    source, target = (socket.inet_pton(socket.AF_INET6, a) for a in (SPOOFED[6], dst))
    pseudo = source + target + struct.pack("!II", len(head + tag), 17)
    head = head[:6] + struct.pack("!H", probe.checksum(pseudo + head + tag) or 0xFFFF)
    packet = struct.pack("!IHBB", 6 << 28, len(head + tag), 17, 64) + source + target + head + tag
    probe.frame(router.lan, packet, 0x86DD)


def leaks_of(router):
    """What gets out of every probe that the clients have."""
    leaks = []
    router.watch.fence()
    for number, (name, send) in enumerate(probe.PROBES):
        tag = f"<probe-{number:03d}>".encode()
        send(router.lan, tag)
        leaks += [f"{name}: {frame.hex()}" for frame in router.leaks(tag)]
    for family in (4, 6):
        for port, dst in ((443, FAR), (53, FAR), (53, GATE), (5000, GATE)):
            spoofed(router, b"<spoofed>", family, port, dst[family])
            leaks += [f"spoofed, port {port}: {frame.hex()}" for frame in router.leaks(b"<spoofed>")]
    return leaks


@case()
def controls(suite):
    """Without rules every probe of a router's client gets out"""
    router = suite.router()
    router.watch.fence()
    for number, (name, send) in enumerate(probe.PROBES):
        tag = f"<probe-{number:03d}>".encode()
        send(router.lan, tag)
        same(bool(router.leaks(tag)), name not in STAYS, f"{name}: seen outside")
    for family in (4, 6):
        spoofed(router, b"<spoofed>", family, 443, FAR[family])
        same(bool(router.leaks(b"<spoofed>")), True, f"spoofed, IPv{family}: seen outside")
        with listen(router.node, family, 5000) as echo:
            spoofed(router, b"<spoofed>", family, 5000, GATE[family])
            data, peer = echo.recvfrom(100)
            echo.sendto(data, peer)
        same(bool(router.leaks(b"<spoofed>")), True, f"an answer to a spoofed question, IPv{family}: seen outside")


@case(*EACH)
def contained(suite, parameter):
    """No probe of a router's client gets out, without a proxy"""
    scope, method = parameter.split()
    router = suite.router(routed(suite, scope, method))
    router.apply()
    same(leaks_of(router), [], "leaks")
    same(router.init("check").returncode, 0, "check")


@case(*EACH)
def contained_with_proxy(suite, parameter):
    """No probe of a router's client gets out, with a proxy and an echo on the router"""
    scope, method = parameter.split()
    router = suite.router(routed(suite, scope, method))
    router.apply()
    with Names(router, method) as names, Proxy(router, method), contextlib.ExitStack() as stack:
        echoes = [stack.enter_context(listen(router.node, family, 5000)) for family in (4, 6)]
        for echo in echoes:
            echo.setblocking(False)
        leaks = leaks_of(router)
        same(leaks, [], "leaks")
        for echo in echoes:  # the kernel's anti-spoofing is off here: the rules are what stops them
            with contextlib.suppress(BlockingIOError):
                same(echo.recv(100), b"", "what a spoofed question brought to the router's service")
        while not names.heard.empty():
            same(names.heard.get()[2] == b"<spoofed>", False, "a spoofed question at the proxy")


@case(*(f"{each} rp_filter={value}" for each in EACH for value in (1, 2)))
def captures(suite, parameter):
    """A router's proxy gets each connection with its destination and its client"""
    scope, method, value = parameter.split()
    router = suite.router(routed(suite, scope, method))
    for interface in ("all", "lo", "eth0", "lan0"):
        router.node.sysctl(f"ipv4/conf/{interface}/rp_filter", int(value[-1]))
    router.apply()
    router.watch.fence()
    with Proxy(router, method) as proxy:
        for family in (4, 6):
            for address in (FAR[family], OUTSIDE[family], SPOOFED[family]):
                for port in (1, 80, 443, PROXY_PORT, 65535):
                    with client(router.lan, family, address, port) as down:
                        destination, up = proxy.take()
                        same(destination, (address, port), "destination")
                        same(up.getpeername()[0].removeprefix("::ffff:"), CLIENT[family], "client")
                        with up:
                            down.sendall(b"question")
                            same(up.recv(100), b"question", "at the proxy")
                            up.sendall(b"answer")
                            same(down.recv(100), b"answer", "at the client")
    same([frame.hex() for frame in router.leaks(b"question")], [], "frames outside")


@case(*EACH_FAMILY)
def names_answered(suite, parameter):
    """A router's proxy answers names, whatever server is asked, the router itself too"""
    scope, method, family = parameter.split()[0], parameter.split()[1], int(parameter[-1])
    router = suite.router(routed(suite, scope, method, "ports = 80", f"exclude-cidrs = {OUTSIDE[family]}"))
    for interface in ("all", "eth0", "lan0"):
        router.node.sysctl(f"ipv4/conf/{interface}/rp_filter", 1)
    router.apply()
    router.watch.fence()
    with Names(router, method) as names, Proxy(router, method) as proxy:
        for server in (FAR[family], OUTSIDE[family], GATE[family], NODE[family]):
            for question in (b"<one>", b"<two>"):
                same(ask(router.lan.node, family, server, question, source=CLIENT[family]),
                     (b"answer: " + question, (server, 53)), f"UDP {server}")
                asked, peer, heard = names.heard.get(timeout=LIMIT)
                same((asked, heard), ((server, 53) if method == "tproxy" else None, question), "at the proxy")
                same(peer[0].removeprefix("::ffff:"), CLIENT[family], "client")
            with client(router.lan, family, server, 53):
                destination, up = proxy.take()
                up.close()
                same(destination, (server, 53), "TCP")
        with client(router.lan, family, FAR[family], 80):  # and of TCP the policy's ports alone
            destination, up = proxy.take()
            up.close()
            same(destination, (FAR[family], 80), "TCP port 80")
        with router.lan.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
            sock.bind((CLIENT[family], 40053))
            sock.sendto(b"<gone>", (FAR[family], 53))
            asked, peer, _ = names.heard.get(timeout=LIMIT)
        if method == "tproxy":  # its client answers with an ICMP error
            names.reply(family, asked, peer, b"<late>")
    same([frame.hex() for frame in router.leaks(b"<")], [], "frames outside")


@case(*(f"{scope} IPv{family}" for scope in SCOPES for family in (4, 6)))
def no_proxy(suite, parameter):
    """Without a proxy nothing captured ends at a service of the router's"""
    scope, family = parameter.split()[0], int(parameter[-1])
    router = suite.router(routed(suite, scope, "tproxy"))
    router.apply()
    with listen(router.node, family, 53) as names, router.node.socket(FAMILY[family]) as web:
        web.bind(("::" if family == 6 else "0.0.0.0", 80))
        web.listen(4)
        web.setblocking(False)
        with router.lan.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
            sock.sendto(b"<question>", (FAR[family], 53))
        with router.lan.node.socket(FAMILY[family]) as sock:
            sock.setblocking(False)
            sock.connect_ex((FAR[family], 80))
            router.settle()
            same(select.select([names, web], [], [], 0)[0], [], "what the router's services got")
            # the same services are there for whoever means them
            with client(router.lan, family, GATE[family], 80):
                same(select.select([web], [], [], LIMIT)[0], [web], "the router's web server")


@case(*EACH)
def invalid(suite, parameter):
    """What conntrack does not know is not answered: a reset would end somebody's connection"""
    scope, method = parameter.split()
    router = suite.router(routed(suite, scope, method, "ports = 80"))
    router.apply()
    with router.lan.node.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP)) as heard:
        heard.setblocking(False)
        probe.raw(router.lan, probe.segment(router.lan, probe.FIN, b"<invalid>"))
        router.settle()
        answers_to_it = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = heard.recv(2000)
                if frame[6:12] == GATE_MAC and frame[23] == 6:
                    answers_to_it.append(frame.hex())
        same(answers_to_it, [], "answers to an invalid segment")


@case(*EACH_FAMILY)
def refused_at_once(suite, parameter):
    """What a router refuses its clients it refuses at once"""
    scope, method, family = parameter.split()[0], parameter.split()[1], int(parameter[-1])
    router = suite.router(routed(suite, scope, method, "ports = 80"))
    router.apply()
    router.watch.fence()
    for port in (25, 443, 853):
        with router.lan.node.socket(FAMILY[family]) as sock:
            sock.settimeout(LIMIT)
            same(sock.connect_ex((FAR[family], port)), errno.ECONNREFUSED, f"TCP port {port}")
        with router.lan.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
            same(refused(sock, FAR[family], port), errno.ECONNREFUSED, f"UDP port {port}")
    if method == "redirect":
        with router.lan.node.socket(FAMILY[family]) as sock:
            sock.settimeout(LIMIT)
            same(sock.connect_ex((FAR[family], 80)), errno.ECONNREFUSED, "TCP without a proxy")
    done = router.lan.node.run(["ping", "-c1", "-W5", FAR[family]])
    same(re.search("Packet filtered|Administratively prohibited", done.stdout, re.I) is not None, True, done.stdout)
    same([frame.hex() for frame in router.leaks(b"<refused>")], [], "frames outside")


@case(*EACH)
def proxys_port(suite, parameter):
    """A router's clients reach the proxy's port by capture only, the outside not at all"""
    scope, method = parameter.split()
    router = suite.router(routed(suite, scope, method))
    router.apply()
    with Proxy(router, method) as proxy, Names(router, method) as names:
        for family in (4, 6):
            for address in (GATE[family], NODE[family]):
                with router.lan.node.socket(FAMILY[family]) as sock:
                    sock.settimeout(LIMIT)
                    same(sock.connect_ex((address, PROXY_PORT)), errno.ECONNREFUSED, f"TCP to {address}")
                with router.lan.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
                    same(refused(sock, address, PROXY_PORT), errno.ECONNREFUSED, f"UDP to {address}")
            with router.outside.socket(FAMILY[family]) as sock, \
                    router.outside.socket(FAMILY[family], socket.SOCK_DGRAM) as datagram, \
                    listen(router.node, family, 7070) as other:
                sock.setblocking(False)
                sock.connect_ex((NODE[family], PROXY_PORT))
                datagram.connect((NODE[family], PROXY_PORT))
                datagram.send(b"<direct>")
                with router.outside.socket(FAMILY[family], socket.SOCK_DGRAM) as good:
                    good.sendto(b"good", (NODE[family], 7070))
                    other.recv(100)
                same(select.select([datagram], [sock], [], 0)[:2], ([], []), "answers from the proxy's port")
        same((proxy.nothing(), names.heard.empty()), (True, True), "the proxy heard nothing")


@case(*EACH_FAMILY)
def udp_services(suite, parameter):
    """A router's UDP services are for their clients, each with so many flows"""
    scope, method, family = parameter.split()[0], parameter.split()[1], int(parameter[-1])
    service = [*SERVICE, f"clients = {CLIENT[4]}, {CLIENT[6]}"]
    open_to_all = ["ports = udp:5683", "resolution = static", f"endpoints = {FAR[4]}, {FAR[6]}"]
    router = suite.router(routed(suite, scope, method, "udp-flows = 3", services=[service, open_to_all]))
    router.apply()

    router.node.must(["nft", "-f", "-"], stdin=INBOUND)

    def sock(source):
        made = router.lan.node.socket(FAMILY[family], socket.SOCK_DGRAM)
        made.bind((source[family], 0))
        return made

    with listen(router.outside, family, 123, FAR[family]) as server, contextlib.ExitStack() as stack:
        for number in range(3):
            one = stack.enter_context(sock(CLIENT))
            for _ in range(20):
                one.sendto(b"burst", (FAR[family], 123))
            for _ in range(20):
                same(server.recv(100), b"burst", f"flow {number}")
            same(answers(one, server, FAR[family], 123), True, "a client")
        router.watch.fence()
        same(refused(stack.enter_context(sock(CLIENT)), FAR[family], 123), errno.ECONNREFUSED, "a fourth flow")
        same(refused(stack.enter_context(sock(NEIGHBOUR)), FAR[family], 123), errno.ECONNREFUSED, "no client")
        for address, port in ((OUTSIDE[family], 123), (FAR[family], 124)):
            found = refused(stack.enter_context(sock(CLIENT)), address, port)
            same(found, errno.ECONNREFUSED, f"{address} port {port}")
        same(router.leaks(b"<refused>"), [], "frames outside")
        with listen(router.outside, family, 5683, FAR[family]) as other:
            same(answers(stack.enter_context(sock(NEIGHBOUR)), other, FAR[family], 5683), True, "another client's flow")
    same("packets 0 " in router.node.must(["nft", "list", "table", "inet", "look"]).stdout, True,
         "no flow of a client's counts as opened from outside")


@case(*(f"{each} conntrack {kind}" for each in EACH for kind in ("idle", "active")))
def opened_before(suite, parameter):
    """A client's flow that was open before a router's rules is cut, not waved through"""
    scope, method, _, kind = parameter.split()
    router = suite.router(routed(suite, scope, method))
    if kind == "active":
        router.node.must(["nft", "-f", "-"], stdin="table inet tracking {\n\tchain c {\n\t\ttype filter hook forward "
                         "priority 0\n\t\tct state new counter\n\t}\n}\n")
    for family in (4, 6):
        with router.outside.socket(FAMILY[family]) as listener, listen(router.outside, family, 9001) as datagrams, \
                router.lan.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock, Proxy(router, method):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((FAR[family], 9000))
            listener.listen(4)
            listener.settimeout(LIMIT)
            down = client(router.lan, family, FAR[family], 9000)
            peer = listener.accept()[0]
            down.sendall(b"before")
            same(peer.recv(100), b"before", "before the rules")
            sock.sendto(b"before", (FAR[family], 9001))
            same(datagrams.recv(100), b"before", "before the rules")
            router.apply()
            router.watch.fence()
            for _ in range(3):
                with contextlib.suppress(OSError):
                    sock.sendto(b"<after the rules>", (FAR[family], 9001))
            with contextlib.suppress(OSError):
                down.sendall(b"<after the rules>")
            same(router.leaks(b"<after the rules>"), [], "data after the rules")
            try:
                end = down.recv(100)
            except ConnectionResetError:
                end = "reset"
            same(end, "reset", "the client's end")
            peer.close()
            down.close()
            router.remove()
            router.use(routed(suite, scope, method))


@case(*EACH)
def appears_later(suite, parameter):
    """The rules hold for an interface that appears after them"""
    scope, method = parameter.split()
    router = Router(suite.lab, suite.programs, link=False)
    suite.pairs.append(router)
    router.use(routed(suite, scope, method))
    router.apply()
    router.link()
    same(leaks_of(router), [], "leaks")
    with Proxy(router, method) as proxy, client(router.lan, 4, FAR[4], 443):
        destination, up = proxy.take()
        up.close()
        same(destination, (FAR[4], 443), "destination")


@case(*METHODS)
def source_valid_mark(suite, method):
    """Where marks count in source validation nothing gets out either"""
    router = suite.router(routed(suite, "router", method))
    for interface in ("all", "lan0"):
        router.node.sysctl(f"ipv4/conf/{interface}/rp_filter", 1)
        router.node.sysctl(f"ipv4/conf/{interface}/src_valid_mark", 1)
    router.apply()
    same(leaks_of(router), [], "leaks")
