# SPDX-License-Identifier: MIT
"""What gets out and what does not, what is captured, and that nothing breaks on the way."""
import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
import threading

import probe
from pair import (CAPTURE_MARK, FAMILY, FAR, LIMIT, NODE, OUTSIDE, PROXY_PORT, SECRET, SO_BINDTODEVICE, SO_MARK, as_group,
                  as_user)
from proxy import Proxy, client, original
from suite import METHODS, case, same

BULK = 4 << 20
SO_SNDBUFFORCE, SO_ATTACH_FILTER = 32, 26


def server(pair, family, port, receive_buffer=None):
    """Listens outside."""
    sock = pair.outside.socket(FAMILY[family])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if family == 6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("::" if family == 6 else "0.0.0.0", port))
    sock.listen(16)
    sock.settimeout(LIMIT)
    return sock


def take(sock):
    """Accept, with a time limit."""
    peer, address = sock.accept()
    peer.settimeout(LIMIT)
    return peer, address


def ends(sock):
    """How a connection ends: "reset", "end" or "data"."""
    try:
        return "data" if sock.recv(4096) else "end"
    except ConnectionResetError:
        return "reset"


def reaches(pair, family, port=7777):
    """Whether a connection from the node, as any process makes it, gets to the outside."""
    with server(pair, family, port) as listener:
        try:
            with client(pair, family, FAR[family], port):
                listener.accept()[0].close()
                return True
        except OSError:
            return False


@case()
def controls(suite):
    """Without rules every probe gets out"""
    pair = suite.pair("tproxy")
    pair.watch.fence()
    for number, (name, send) in enumerate(probe.PROBES):
        tag = f"<probe-{number:03d}>".encode()
        send(pair, tag)
        same(bool(pair.watch.leaks(tag)), True, f"{name}: seen outside")


@case(*METHODS)
def contained(suite, method):
    """With rules, and no proxy, no probe gets out"""
    pair = suite.pair(method)
    pair.apply()
    pair.watch.fence()
    leaks = []
    for number, (name, send) in enumerate(probe.PROBES):
        tag = f"<probe-{number:03d}>".encode()
        send(pair, tag)
        leaks += [f"{name}: {frame.hex()}" for frame in pair.watch.leaks(tag)]
    same(leaks, [], "leaks")


@case(*METHODS)
def contained_with_proxy(suite, method):
    """With rules and a proxy no probe gets out"""
    pair = suite.pair(method)
    pair.apply()
    leaks = []
    with Proxy(pair, method):
        pair.watch.fence()
        for number, (name, send) in enumerate(probe.PROBES):
            tag = f"<probe-{number:03d}>".encode()
            send(pair, tag)
            leaks += [f"{name}: {frame.hex()}" for frame in pair.watch.leaks(tag)]
    same(leaks, [], "leaks")


@case(*METHODS)
def contained_untracked(suite, method):
    """Nothing gets out that a rule of somebody's takes from conntrack"""
    pair = suite.pair(method)
    pair.apply()
    pair.node.must(["nft", "-f", "-"], stdin="table inet raw {\n\tchain c {\n\t\ttype filter hook output priority -300\n"
                   "\t\tmeta skuid != 1337 notrack\n\t}\n}\n")
    pair.watch.fence()
    leaks = []
    for number, (name, send) in enumerate(probe.PROBES):
        tag = f"<probe-{number:03d}>".encode()
        send(pair, tag)
        leaks += [f"{name}: {frame.hex()}" for frame in pair.watch.leaks(tag)]
    same(leaks, [], "leaks")


@case(*(f"{method} IPv{family}" for method in METHODS for family in (4, 6)))
def captures(suite, parameter):
    """The proxy gets each connection with its destination, with strict reverse path filters too"""
    method, family = parameter.split()[0], int(parameter[-1])
    pair = suite.pair(method)
    for interface in ("all", "lo", "eth0"):
        pair.node.sysctl(f"ipv4/conf/{interface}/rp_filter", 1)
    pair.apply()
    pair.watch.fence()
    with Proxy(pair, method) as proxy:
        for address in (FAR[family], OUTSIDE[family]):
            for port in (1, 80, 443, PROXY_PORT, 65535):
                with client(pair, family, address, port) as down:
                    destination, up = proxy.take()
                    same(destination, (address, port), "destination")
                    with up:
                        down.sendall(b"question")
                        same(up.recv(100), b"question", "at the proxy")
                        up.sendall(b"answer")
                        same(down.recv(100), b"answer", "at the client")
    same([frame.hex() for frame in pair.watch.leaks(b"question")], [], "frames outside")


@case(*(f"{method} IPv{family}" for method in METHODS for family in (4, 6)))
def proxy_passes(suite, parameter):
    """4 MiB of the proxy's arrive whole though it closes at once"""
    method, family = parameter.split()[0], int(parameter[-1])
    pair = suite.pair(method)
    pair.apply()
    with server(pair, family, 8080, receive_buffer=4096) as listener:
        with pair.proxy_socket(family) as up:
            up.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 4 * BULK)  # all of it waits in the kernel
            up.settimeout(LIMIT)
            up.connect((FAR[family], 8080))
            peer, _ = take(listener)
            up.sendall(bytes(BULK))
        # closed: from here on no packet of the flow has an owner
        with peer:
            got = 0
            while chunk := peer.recv(65536):
                got += len(chunk)
    same(got, BULK, "bytes")


@case(*(f"{method} IPv{family}" for method in METHODS for family in (4, 6)))
def relays(suite, parameter):
    """A relay of 4 MiB, client to proxy to server, both ways"""
    method, family = parameter.split()[0], int(parameter[-1])
    pair = suite.pair(method)
    pair.apply()
    data = os.urandom(1 << 16) * (BULK >> 16)
    with Proxy(pair, method) as proxy, server(pair, family, 8080) as listener:
        with client(pair, family, FAR[family], 8080) as down:
            destination, near = proxy.take()
            far = pair.proxy_socket(family)
            far.settimeout(LIMIT)
            near.settimeout(LIMIT)
            far.connect(destination)
            peer, _ = take(listener)
            threads = [threading.Thread(target=copy, args=pipe, daemon=True)
                       for pipe in ((near, far), (peer, peer), (far, near))]
            writer = threading.Thread(target=lambda: (down.sendall(data), down.shutdown(socket.SHUT_WR)), daemon=True)
            for thread in [*threads, writer]:
                thread.start()
            got = bytearray()
            while chunk := down.recv(65536):
                got += chunk
            for thread in [*threads, writer]:
                thread.join(LIMIT)
            for sock in (near, far, peer):
                sock.close()
    same(bytes(got) == data, True, f"{len(got)} bytes came back")


def copy(source, sink):
    while chunk := source.recv(65536):
        sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@case(*METHODS)
def many_connections(suite, method):
    """Short connections by the thousand: none stalls, none is lost"""
    pair = suite.pair(method)
    pair.apply()
    with Proxy(pair, method) as proxy:
        for number in range(2000):
            with client(pair, 4 if number & 1 else 6, FAR[4 if number & 1 else 6], 80 + number % 7) as down:
                destination, up = proxy.take()
                same(destination[1], 80 + number % 7, "destination")
                up.close()
                same(ends(down), "end", f"connection {number}")


@case(*METHODS)
def two_destinations(suite, method):
    """One source port, two destinations at once: each is told rightly"""
    pair = suite.pair(method)
    pair.apply()
    with Proxy(pair, method) as proxy, contextlib.ExitStack() as stack:
        found = []
        for address in (FAR[4], OUTSIDE[4]):
            sock = stack.enter_context(pair.node.socket(socket.AF_INET))
            sock.settimeout(LIMIT)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((NODE[4], 45555))
            sock.connect((address, 443))
            destination, up = proxy.take()
            stack.enter_context(up)
            found.append(destination)
    same(found, [(FAR[4], 443), (OUTSIDE[4], 443)], "destinations")


@case(*(f"{method} IPv{family}" for method in METHODS for family in (4, 6)))
def answers(suite, parameter):
    """What is refused is refused at once"""
    method, family = parameter.split()[0], int(parameter[-1])
    pair = suite.pair()
    pair.use(suite.policy(f"method = {method}", "ports = 80, 443"))
    pair.apply()
    with pair.node.socket(FAMILY[family]) as sock:
        sock.settimeout(LIMIT)
        same(sock.connect_ex((FAR[family], 25)), errno.ECONNREFUSED, "TCP to a port that is not captured")
    if method == "redirect":
        with pair.node.socket(FAMILY[family]) as sock:
            sock.settimeout(LIMIT)
            same(sock.connect_ex((FAR[family], 80)), errno.ECONNREFUSED, "TCP without a proxy")
    with pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.connect((FAR[family], 443))
        found = set()
        for _ in range(2):
            try:
                sock.send(b"x")
                sock.recv(100)
            except OSError as error:
                found.add(error.errno)
        same(found <= {errno.ECONNREFUSED, errno.EPERM} and bool(found), True, f"UDP: {found}")


@case(*METHODS)
def proxys_port(suite, method):
    """The proxy's port is reached by capture only, from inside and outside"""
    pair = suite.pair(method)
    pair.apply()
    with Proxy(pair, method) as proxy:
        for family in (4, 6):
            for address in ("127.0.0.1" if family == 4 else "::1", NODE[family]):
                with pair.node.socket(FAMILY[family]) as sock:
                    sock.settimeout(LIMIT)
                    same(sock.connect_ex((address, PROXY_PORT)), errno.ECONNREFUSED, f"{address} from inside")
            # From outside it is dropped: a connection that is allowed, made later, gets in first.
            with pair.outside.socket(FAMILY[family]) as sock, pair.node.socket(FAMILY[family]) as other:
                sock.setblocking(False)
                sock.connect_ex((NODE[family], PROXY_PORT))
                other.bind(("::" if family == 6 else "0.0.0.0", 7070))
                other.listen(1)
                with pair.outside.socket(FAMILY[family]) as good:
                    good.settimeout(LIMIT)
                    good.connect((NODE[family], 7070))
                same(select.select([], [sock], [], 0)[1], [], "answer from the proxy's port")
        same(proxy.nothing(), True, "the proxy heard nothing")


@case(*(f"{method} IPv{family}" for method in METHODS for family in (4, 6)))
def inbound(suite, parameter):
    """Services of the node answer connections from outside; nothing goes the other way in them"""
    method, family = parameter.split()[0], int(parameter[-1])
    pair = suite.pair(method)
    pair.apply()
    with pair.node.socket(FAMILY[family]) as listener, pair.outside.socket(FAMILY[family]) as sock:
        listener.bind(("::" if family == 6 else "0.0.0.0", 8443))
        listener.listen(1)
        listener.settimeout(LIMIT)
        sock.settimeout(LIMIT)
        sock.connect((NODE[family], 8443))
        peer, _ = take(listener)
        with peer:
            sock.sendall(b"question")
            same(peer.recv(100), b"question", "at the service")
            peer.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BULK)
            peer.sendall(bytes(BULK >> 2))
        got = 0
        while chunk := sock.recv(65536):
            got += len(chunk)
        same(got, BULK >> 2, "bytes of the answer, closed at once")
    with pair.outside.socket(FAMILY[family]) as sock:
        sock.settimeout(LIMIT)
        same(sock.connect_ex((NODE[family], 8444)), errno.ECONNREFUSED, "a port where nobody listens")
    with pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as service, \
            pair.outside.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
        service.bind(("::" if family == 6 else "0.0.0.0", 5000))
        service.settimeout(LIMIT)
        sock.settimeout(LIMIT)
        sock.sendto(b"question", (NODE[family], 5000))
        data, address = service.recvfrom(100)
        service.sendto(data + b"!", address)
        same(sock.recv(100), b"question!", "UDP")
    pair.outside.must(["ping", "-c1", "-W5", NODE[family]])
    pair.node.ip(f"neigh del {OUTSIDE[family]} dev eth0")
    pair.outside.ip(f"neigh del {NODE[family]} dev eth0")
    pair.outside.must(["ping", "-c1", "-W5", NODE[family]])


@case(*(f"{method} conntrack {kind}" for method in METHODS for kind in ("idle", "active")))
def opened_before(suite, parameter):
    """A connection that was open before the rules is cut, not waved through"""
    method, _, kind = parameter.split()
    pair = suite.pair(method)
    if kind == "active":
        pair.node.must(["nft", "-f", "-"], stdin="table inet tracking {\n\tchain c {\n\t\ttype filter hook output priority 0\n"
                       "\t\tct state new counter\n\t}\n}\n")
    for family in (4, 6):
        with server(pair, family, 9000) as listener, Proxy(pair, method):
            early = client(pair, family, FAR[family], 9000)
            late = client(pair, family, FAR[family], 9000)
            peers = [take(listener)[0], take(listener)[0]]
            early.sendall(b"before")
            same(peers[0].recv(100), b"before", "before the rules")
            pair.apply()
            pair.watch.fence()
            with contextlib.suppress(OSError):
                early.sendall(b"<after the rules>")
            same(pair.watch.leaks(b"<after the rules>"), [], "data after the rules")
            same(ends(early), "reset", "the client's end")
            # the server speaks first: its data may come in, but nothing of the node's goes out
            peers[1].sendall(b"hello")
            with contextlib.suppress(OSError):
                late.recv(100)
                late.sendall(b"<after the rules>")
            same(pair.watch.leaks(b"<after the rules>"), [], "answers after the rules")
            for sock in (early, late, *peers):
                sock.close()
            pair.remove()
            pair.use(suite.golden(method))


@case(*METHODS)
def stranger(suite, method):
    """A flow of the proxy's is no use to another process that gets its port"""
    pair = suite.pair(method)
    pair.apply()
    for family in (4, 6):
        own = pair.proxy_socket(family, socket.SOCK_DGRAM)
        with own:
            own.bind(("::" if family == 6 else "0.0.0.0", 40053))
            own.sendto(b"query", (FAR[family], 53))
        pair.watch.fence()
        with pair.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
            sock.bind(("::" if family == 6 else "0.0.0.0", 40053))
            for _ in range(3):
                with contextlib.suppress(OSError):
                    sock.sendto(b"<stranger>", (FAR[family], 53))
        same(pair.watch.leaks(b"<stranger>"), [], "datagrams of the stranger")
        # and the proxy gets its flow back
        own = pair.proxy_socket(family, socket.SOCK_DGRAM)
        with own:
            own.bind(("::" if family == 6 else "0.0.0.0", 40053))
            own.sendto(b"<again>", (FAR[family], 53))
        same(len(pair.watch.leaks(b"<again>")), 1, "the proxy's datagram")


@case(*METHODS)
def secret_stays(suite, method):
    """No packet shows the secret mark to a packet socket, neither on lo nor on the wire"""
    pair = suite.pair(method)
    pair.apply()
    # ld [SKF_AD_OFF + SKF_AD_MARK]; and #~3; jeq #SECRET: keep, else drop
    program = [(0x20, 0, 0, 0xFFFFF000 + 20), (0x54, 0, 0, 0xFFFFFFFC), (0x15, 0, 1, SECRET), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0)]
    with spy(pair, program) as watcher:
        # that it sees marks at all
        with pair.node.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, SO_MARK, SECRET | 1)
            sock.sendto(b"<marked>", ("127.0.0.1", 9))
        same(b"<marked>" in watcher.recv(2000), True, "the packet socket sees marks")
        for family in (4, 6):
            for address in ("127.0.0.1" if family == 4 else "::1", NODE[family], FAR[family]):
                with pair.proxy_socket(family, socket.SOCK_DGRAM) as sock:
                    for _ in range(2):  # the second meets the first's ICMP error
                        with contextlib.suppress(OSError):
                            sock.sendto(b"<secret>", (address, 9))
        pair.watch.fence()
        watcher.setblocking(False)
        seen = []
        with contextlib.suppress(BlockingIOError):
            while True:
                seen.append(watcher.recv(2000))
        same([frame.hex() for frame in seen if b"<marked>" not in frame], [], "marked packets that a packet socket saw")


def spy(pair, program):
    """A packet socket on every interface of the node, with a filter."""
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    sock = pair.node.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(buffer)))
    sock.settimeout(LIMIT)
    return sock


@case(*METHODS)
def exemptions(suite, method):
    """exempt-uids, exempt-gids, exclude-ports, exclude-cidrs and exclude-interfaces open what they name, and no more"""
    pair = suite.pair()
    pair.use(suite.policy(f"method = {method}", "exempt-uids = 1000-1010", "exempt-gids = 2000", "exclude-ports = 2222",
                          f"exclude-cidrs = {OUTSIDE[4]}, {OUTSIDE[6]}"))
    pair.apply()
    for family in (4, 6):
        with server(pair, family, 7777) as listener, server(pair, family, 2222) as excluded, Proxy(pair, method) as proxy:
            for make, reached in ((lambda: as_user(1000), True), (lambda: as_user(1010), True), (lambda: as_user(1011), False),
                                  (lambda: as_user(999), False), (lambda: as_group(2000), True), (lambda: as_group(2001), False)):
                with pair.node.inside(), make():
                    sock = socket.socket(FAMILY[family])
                with sock:
                    sock.settimeout(LIMIT)
                    sock.connect((FAR[family], 7777))
                    if reached:
                        sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BULK)
                        sock.sendall(bytes(1 << 20))
                if reached:  # closed at once: what is left of the data has no owner
                    with take(listener)[0] as peer:
                        same(sum(iter(lambda p=peer: len(p.recv(65536)), 0)), 1 << 20, "bytes of an exempt user")
                else:
                    proxy.take()[1].close()
            with client(pair, family, FAR[family], 2222), excluded.accept()[0]:
                pass
            with client(pair, family, OUTSIDE[family], 7777), listener.accept()[0]:
                pass
            same(proxy.nothing(), True, "nothing else was captured")
        pair.watch.fence()
        probe.datagram(pair, b"<excluded>", family, 2222)
        same(pair.watch.leaks(b"<excluded>"), [], "UDP to an excluded port")
        probe.raw(pair, probe.ipv4(6, probe.tcp(probe.RST, b"<excluded>", dport=2222)))
        same(pair.watch.leaks(b"<excluded>"), [], "no flow's RST to an excluded port")
    pair.use(suite.policy(f"method = {method}", "exclude-interfaces = eth0"))
    pair.apply()
    same((reaches(pair, 4), reaches(pair, 6)), (True, True), "by an excluded interface")
    pair.watch.fence()
    for name, send in probe.PROBES:
        if name == "packet socket" or name == "UDP" or name == "raw RST with payload":
            send(pair, b"<excluded>")
            same(bool(pair.watch.leaks(b"<excluded>")), True, f"{name} by an excluded interface")


OPEN = {"udp": {"UDP", "UDP over IPv6"}, "other": {"ICMP echo", "ICMPv6 echo", "IP protocol 47"},
        "dns": {"DNS", "DNS over IPv6", "TCP to port 53"}}


@case(*(f"{method} {key}" for method in METHODS for key in OPEN))
def opens(suite, parameter):
    """udp, other and dns = allow open that alone"""
    method, key = parameter.split()
    pair = suite.pair()
    pair.use(suite.policy(f"method = {method}", f"{key} = allow"))
    pair.apply()
    pair.watch.fence()
    for number, (name, send) in enumerate(probe.PROBES):
        if name not in OPEN["udp"] | OPEN["other"] | OPEN["dns"] | {"TCP", "raw RST with payload", "packet socket"}:
            continue
        tag = f"<probe-{number:03d}>".encode()
        send(pair, tag)
        same(bool(pair.watch.leaks(tag)), name in OPEN[key], f"{name} with {key} = allow")


@case()
def ports(suite):
    """Only the ports of the policy are captured"""
    pair = suite.pair()
    for method in METHODS:
        pair.use(suite.policy(f"method = {method}", "ports = 80, 8000-8002"))
        pair.apply()
        with Proxy(pair, method) as proxy:
            for port, captured in ((79, False), (80, True), (81, False), (7999, False), (8000, True), (8002, True), (8003, False)):
                with pair.node.socket(socket.AF_INET) as sock:
                    sock.settimeout(LIMIT)
                    same(sock.connect_ex((FAR[4], port)), 0 if captured else errno.ECONNREFUSED, f"{method}: port {port}")
                if captured:
                    destination, up = proxy.take()
                    up.close()
                    same(destination, (FAR[4], port), "destination")


@case(*METHODS)
def forwards_nothing(suite, method):
    """The node does not forward past the rules"""
    pair = suite.pair(method)
    pair.node.sysctl("ipv4/ip_forward", 1)
    pair.node.sysctl("ipv6/conf/all/forwarding", 1)
    pair.apply()
    pair.outside.ip("route add 203.0.113.0/24 via " + NODE[4], "route add 2001:db8:99::/64 via " + NODE[6])
    pair.watch.fence()
    for family, address in ((4, "203.0.113.9"), (6, "2001:db8:99::9")):
        with pair.outside.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
            sock.sendto(b"<forward>", (address, 53))
    # the node would send it back by its default route
    same([frame.hex() for frame in pair.watch.leaks(b"<forward>") if b"<forward>" in frame and frame[14] >> 4 == 4
          and frame[22] == 63], [], "forwarded datagrams")


@case(*METHODS)
def through_a_bridge(suite, method):
    """The rules hold where the uplink is a bridge: the proxy gets out, packet sockets do not"""
    pair = suite.pair(method)
    pair.node.ip("link add br0 type bridge", "addr flush dev eth0", "link set eth0 master br0",
                 f"link set br0 address {pair.mac[pair.node].hex(':')}", f"addr add {NODE[4]}/24 dev br0",
                 f"addr add {NODE[6]}/64 dev br0 nodad", "link set br0 up", f"route replace default via {OUTSIDE[4]}",
                 f"route replace default via {OUTSIDE[6]}")
    pair.apply()
    pair.watch.fence()
    for name, send in probe.PROBES:
        if "packet socket" in name or name in ("TCP", "UDP", "ICMP echo"):
            send(pair, b"<bridged>")
            same([frame.hex() for frame in pair.watch.leaks(b"<bridged>")], [], name)
    with server(pair, 4, 8080) as listener, pair.proxy_socket(4) as up:
        up.settimeout(LIMIT)
        up.connect((FAR[4], 8080))
        take(listener)[0].close()
    with Proxy(pair, method) as proxy, client(pair, 4, FAR[4], 80):
        destination, up = proxy.take()
        up.close()
        same(destination, (FAR[4], 80), "destination")


@case(*METHODS)
def applied_under_load(suite, method):
    """Applying another policy and the first again disturbs no flow"""
    pair = suite.pair(method)
    pair.apply()
    first, second = pair.policy, suite.policy(f"method = {method}", "exclude-ports = 2222")
    with Proxy(pair, method) as proxy, server(pair, 4, 8080) as listener:
        with client(pair, 4, FAR[4], 8080) as down, pair.proxy_socket(4) as far:
            destination, near = proxy.take()
            far.settimeout(LIMIT)
            far.connect(destination)
            peer, _ = take(listener)
            with near, peer:
                for number in range(20):
                    pair.policy = second if number & 1 else first
                    pair.apply()
                    text = f"message {number}".encode()
                    for source, sink in ((down, near), (far, peer), (peer, far), (near, down)):
                        source.sendall(text)
                        same(sink.recv(100), text, "passed on")
