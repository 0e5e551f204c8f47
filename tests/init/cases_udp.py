# SPDX-License-Identifier: MIT
"""UDP services: what their addresses open, for whom, and for how many flows."""
import contextlib
import errno
import re
import socket

from pair import FAMILY, FAR, LIMIT, NODE, OUTSIDE
from suite import METHODS, case, listing, same

EACH = tuple(f"{method} IPv{family}" for method in METHODS for family in (4, 6))
SERVICE = ["ports = udp:123", "resolution = static", f"endpoints = {FAR[4]}, {FAR[6]}"]
LEARNED = ["ports = udp:5683", "resolution = dns"]
REFUSED = (errno.ECONNREFUSED, errno.EPERM)


def listen(space, family, port, address=None):
    """Hears datagrams at every address or one, which its answers then come from."""
    sock = space.socket(FAMILY[family], socket.SOCK_DGRAM)
    sock.settimeout(LIMIT)
    if family == 6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address or ("::" if family == 6 else "0.0.0.0"), port))
    return sock


def refused(sock, address, port):
    """The errno with which a datagram is refused at once."""
    sock.settimeout(LIMIT)
    sock.connect((address, port))
    for _ in range(2):
        try:
            sock.send(b"<refused>")
            sock.recv(100)
        except OSError as error:
            return error.errno
    return None


def answers(sock, server, address, port, text=b"question"):
    """Whether a datagram gets to the server and its answer back."""
    sock.settimeout(LIMIT)
    sock.sendto(text, (address, port))
    got, peer = server.recvfrom(2000)
    server.sendto(b"answer: " + got, peer)
    return sock.recv(2000) == b"answer: " + text


@case(*EACH)
def static(suite, parameter):
    """A UDP service's addresses are open at its ports, and nothing else"""
    method, family = parameter.split()[0], int(parameter[-1])
    pair = suite.pair()
    pair.use(suite.policy(f"method = {method}", services=[SERVICE]))
    pair.apply()
    with listen(pair.outside, family, 123, FAR[family]) as server, \
            pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
        for text in (b"one", b"two"):
            same(answers(sock, server, FAR[family], 123, text), True, "a service")
    pair.watch.fence()
    for address, port in ((OUTSIDE[family], 123), (FAR[family], 124), (FAR[family], 53)):
        with pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
            same(refused(sock, address, port) in REFUSED, True, f"{address} port {port}: refused")
    with pair.node.socket(FAMILY[family]) as sock:
        sock.setblocking(False)
        sock.connect_ex((FAR[family], 123))
    same(pair.watch.leaks(b"<refused>"), [], "frames outside")


@case(*(f"IPv{family}" for family in (4, 6)))
def clients(suite, parameter):
    """A UDP service is for its clients' addresses alone"""
    family = int(parameter[-1])
    pair = suite.pair()
    for named in (NODE, OUTSIDE):
        pair.use(suite.policy("method = tproxy", services=[[*SERVICE, f"clients = {named[4]}, {named[6]}"]]))
        pair.apply()
        with listen(pair.outside, family, 123, FAR[family]) as server, \
                pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
            if named is NODE:
                same(answers(sock, server, FAR[family], 123), True, "a client")
            else:
                pair.watch.fence()
                same(refused(sock, FAR[family], 123) in REFUSED, True, "no client: refused")
                same(pair.watch.leaks(b"<refused>"), [], "frames outside")


@case(*EACH)
def flow_cap(suite, parameter):
    """A client has udp-flows flows to UDP services and no more; a flow is one however many datagrams it has"""
    method, family = parameter.split()[0], int(parameter[-1])
    pair = suite.pair()
    pair.use(suite.policy(f"method = {method}", "udp-flows = 4", services=[SERVICE]))
    pair.apply()
    with listen(pair.outside, family, 123, FAR[family]) as server, contextlib.ExitStack() as stack:
        for number in range(4):
            sock = stack.enter_context(pair.node.socket(FAMILY[family], socket.SOCK_DGRAM))
            sock.connect((FAR[family], 123))
            for _ in range(50):  # none of them is answered: each is a new flow's to conntrack
                sock.send(b"burst")
            for _ in range(50):
                same(server.recv(100), b"burst", f"flow {number}")
        pair.watch.fence()
        with pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
            same(refused(sock, FAR[family], 123) in REFUSED, True, "a fifth flow: refused")
        same(pair.watch.leaks(b"<refused>"), [], "frames of the fifth flow")


@case(*EACH)
def learned(suite, parameter):
    """What others put into the sets is open while it is there; apply and check leave it alone"""
    method, family = parameter.split()[0], int(parameter[-1])
    pair = suite.pair()
    pair.use(suite.policy(f"method = {method}", "dns = capture", services=[LEARNED]))
    pair.apply()
    every = "::/0" if family == 6 else "0.0.0.0/0"
    with listen(pair.outside, family, 5683, FAR[family]) as server, \
            pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
        same(refused(sock, FAR[family], 5683) in REFUSED, True, "before")
        element = f"inet sluice udp_ipv{family} {{ {every} . {FAR[family]} . 5683 timeout 1h }}"
        pair.node.must(["nft", f"add element {element}"])
        with pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as other:
            same(answers(other, server, FAR[family], 5683), True, "while it is there")
            done = pair.init("check")
            same((done.returncode, done.stdout), (0, ""), "check")
            before = listing(pair.node, handles=True)
            pair.apply()
            same(re.sub("expires [0-9a-z]+", "", listing(pair.node, handles=True)),
                 re.sub("expires [0-9a-z]+", "", before), "apply changes nothing")
            same(answers(other, server, FAR[family], 5683), True, "after apply")
            pair.node.must(["nft", f"delete element inet sluice udp_ipv{family} {{ {every} . {FAR[family]} . 5683 }}"])
            pair.watch.fence()
            same(refused(other, FAR[family], 5683) in REFUSED, True, "afterwards, in the same flow")
            same(pair.watch.leaks(b"<refused>"), [], "frames outside")
        # what has no time-out did not come from the holder
        pair.node.must(["nft", f"add element inet sluice udp_ipv{family} {{ {every} . {FAR[family]} . 7 }}"])
        done = pair.init("check")
        same((done.returncode, done.stdout),
             (1, f"set udp_ipv{family}: {every} . {FAR[family]} . 7 should not be there\n"), "a foreign element")
        pair.apply()
        same(pair.init("check").returncode, 0, "check after apply")
