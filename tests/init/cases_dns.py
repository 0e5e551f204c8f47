# SPDX-License-Identifier: MIT
"""dns = capture in a pod: whatever server is asked, the proxy answers, and nothing gets out."""
import contextlib
import errno
import select
import socket

import probe
from pair import FAMILY, FAR, LIMIT, NODE, OUTSIDE, PROXY_PORT
from proxy import Names, Proxy, ask, client
from suite import METHODS, case, same

EACH = tuple(f"{method} IPv{family}" for method in METHODS for family in (4, 6))


def contained(pair):
    """Every probe, one after the other; returns what got out."""
    leaks = []
    pair.watch.fence()
    for number, (name, send) in enumerate(probe.PROBES):
        tag = f"<probe-{number:03d}>".encode()
        send(pair, tag)
        leaks += [f"{name}: {frame.hex()}" for frame in pair.watch.leaks(tag)]
    return leaks


@case(*EACH)
def answered(suite, parameter):
    """Names are answered by the proxy, from the address that was asked, whatever else passes"""
    method, family = parameter.split()[0], int(parameter[-1])
    pair = suite.pair()
    for interface in ("all", "lo", "eth0"):
        pair.node.sysctl(f"ipv4/conf/{interface}/rp_filter", 1)
    for lines in ((), (f"exclude-cidrs = {OUTSIDE[family]}", "exclude-ports = 53", "udp = allow")):
        pair.use(suite.policy(f"method = {method}", "dns = capture", "ports = 80", *lines))
        pair.apply()
        pair.watch.fence()
        with Names(pair, method) as names, Proxy(pair, method) as proxy:
            for server in (FAR[family], OUTSIDE[family]):
                for question in (b"<one>", b"<two>"):
                    same(ask(pair.node, family, server, question), (b"answer: " + question, (server, 53)), "UDP")
                    asked, _, heard = names.heard.get(timeout=LIMIT)
                    same((asked, heard), ((server, 53) if method == "tproxy" else None, question), "at the proxy")
                with client(pair, family, server, 53):
                    destination, up = proxy.take()
                    up.close()
                    same(destination, (server, 53), "TCP")
        same([frame.hex() for frame in pair.watch.leaks(b"<")], [], "frames outside")


@case(*METHODS)
def nothing_leaves(suite, method):
    """With dns = capture no probe gets out, with a proxy and without"""
    pair = suite.pair()
    pair.use(suite.policy(f"method = {method}", "dns = capture", "ports = 80"))
    pair.apply()
    same(contained(pair), [], "leaks without a proxy")
    with Names(pair, method), Proxy(pair, method):
        same(contained(pair), [], "leaks with a proxy")


@case(*EACH)
def late_answer(suite, parameter):
    """An answer to a client that is gone has no echo outside, and opens nothing"""
    method, family = parameter.split()[0], int(parameter[-1])
    pair = suite.pair()
    pair.use(suite.policy(f"method = {method}", "dns = capture", "ports = 80"))
    pair.apply()
    pair.watch.fence()
    with pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
        sock.bind(("::" if family == 6 else "0.0.0.0", 40053))
        with Names(pair, method) as names:
            sock.sendto(b"<early>", (FAR[family], 53))
            asked, peer, _ = names.heard.get(timeout=LIMIT)
            sock.settimeout(LIMIT)
            sock.recv(100)
            sock.close()
            if method == "tproxy":
                names.reply(family, asked, peer, b"<late>")
    same([frame.hex() for frame in pair.watch.leaks(b"<early>")], [], "frames outside")
    # without a proxy the same flow goes nowhere either
    with pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
        sock.bind(("::" if family == 6 else "0.0.0.0", 40053))
        for _ in range(3):
            with contextlib.suppress(OSError):
                sock.sendto(b"<after>", (FAR[family], 53))
    same([frame.hex() for frame in pair.watch.leaks(b"<after>")], [], "frames outside, without a proxy")


@case(*EACH)
def no_proxy(suite, parameter):
    """Without a proxy no captured question ends at a name server of the node's"""
    method, family = parameter.split()[0], int(parameter[-1])
    pair = suite.pair()
    pair.use(suite.policy(f"method = {method}", "dns = capture"))
    pair.apply()
    with pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as server, \
            pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
        server.bind(("::" if family == 6 else "0.0.0.0", 53))
        sock.sendto(b"<question>", (FAR[family], 53))
        pair.watch.fence()
        same(select.select([server], [], [], 0)[0], [], "what it got")
        own = "::1" if family == 6 else "127.0.0.1"
        sock.sendto(b"local", (own, 53))
        server.settimeout(LIMIT)
        same(server.recv(100), b"local", "what is meant for it")


@case(*METHODS)
def proxys_udp_port(suite, method):
    """The proxy's UDP port is reached by capture only, from inside and outside"""
    pair = suite.pair()
    pair.use(suite.policy(f"method = {method}", "dns = capture"))
    pair.apply()
    with Names(pair, method) as names:
        for family in (4, 6):
            for address in ("127.0.0.1" if family == 4 else "::1", NODE[family]):
                with pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
                    sock.settimeout(LIMIT)
                    sock.connect((address, PROXY_PORT))
                    sock.send(b"<direct>")
                    try:
                        sock.recv(100)
                        found = None
                    except OSError as error:
                        found = error.errno
                    same(found, errno.ECONNREFUSED, f"{address} from inside")
            # From outside it is dropped: what is allowed, and sent later, gets in first.
            with pair.outside.socket(FAMILY[family], socket.SOCK_DGRAM) as sock, \
                    pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as other:
                other.settimeout(LIMIT)
                other.bind(("::" if family == 6 else "0.0.0.0", 7070))
                sock.connect((NODE[family], PROXY_PORT))
                sock.send(b"<direct>")
                with pair.outside.socket(FAMILY[family], socket.SOCK_DGRAM) as good:
                    good.sendto(b"good", (NODE[family], 7070))
                    same(other.recv(100), b"good", "what is allowed")
                same(select.select([sock], [], [], 0)[0], [], "answer from the proxy's port")
        same(names.heard.empty(), True, "the proxy heard nothing")


@case(*METHODS)
def own_questions(suite, method):
    """The proxy's own questions go out, and an inbound flow's answers to port 53"""
    pair = suite.pair()
    pair.use(suite.policy(f"method = {method}", "dns = capture"))
    pair.apply()
    for family in (4, 6):
        with pair.outside.socket(FAMILY[family], socket.SOCK_DGRAM) as server, \
                pair.proxy_socket(family, socket.SOCK_DGRAM) as sock:
            server.settimeout(LIMIT)
            server.bind((FAR[family], 53))
            sock.sendto(b"own", (FAR[family], 53))
            same(server.recv(100), b"own", "the proxy's question")
            with pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as service:
                service.settimeout(LIMIT)
                service.bind(("::" if family == 6 else "0.0.0.0", 5000))
                server.sendto(b"inbound", (NODE[family], 5000))
                data, address = service.recvfrom(100)
                service.sendto(data + b"!", address)
            same(server.recv(100), b"inbound!", "an answer to port 53")


@case()
def marked(suite):
    """UDP that a process marks as captured gets nowhere but DNS to the proxy"""
    pair = suite.pair()
    pair.use(suite.policy("method = tproxy", "dns = capture"))
    pair.apply()
    pair.watch.fence()
    with Names(pair, "tproxy") as names:
        for family in (4, 6):
            for port in (443, PROXY_PORT):
                probe.datagram(pair, b"<marked>", family, port, mark=probe.CAPTURE_MARK)
            with pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
                sock.settimeout(LIMIT)
                sock.bind((NODE[family], 0))
                sock.setsockopt(socket.SOL_SOCKET, probe.SO_MARK, probe.CAPTURE_MARK)
                sock.sendto(b"<last>", (FAR[family], 53))
                same(sock.recv(100), b"answer: <last>", "DNS of the node's own address")
            same(names.heard.get(timeout=LIMIT)[2], b"<last>", "what the proxy heard")
    same([frame.hex() for frame in pair.watch.leaks(b"<")], [], "frames outside")
