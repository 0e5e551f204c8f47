# SPDX-License-Identifier: MIT
"""Ways out that a process may try. Each is called with the pair and a tag that what it sends should carry."""
import contextlib
import socket
import struct

from pair import (CAPTURE_MARK, ETH_P_ALL, ETH_P_ARP, ETH_P_IP, FAMILY, FAR, NODE, OUTSIDE, PROXY_UID, SECRET,
                  SO_BINDTODEVICE, SO_MARK, as_user)

IP_NODEFRAG, IPPROTO_RAW = 22, 255
PACKET_QDISC_BYPASS, SOL_PACKET = 20, 263
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
OTHERS = "203.0.113.77"  # of nobody's here


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(protocol, body, dst=FAR[4], fragment=0, ident=0x4242, src=NODE[4]):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), ident, fragment, 64, protocol, 0,
                       socket.inet_aton(src), socket.inet_aton(dst))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def tcp(flags, payload, dst=FAR[4], sport=45001, dport=443, src=NODE[4]):
    head = struct.pack("!HHIIBBHHH", sport, dport, 1000, 2000, 0x50, flags, 8192, 0, 0)
    pseudo = socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack("!BBH", 0, 6, len(head) + len(payload))
    return head[:16] + struct.pack("!H", checksum(pseudo + head + payload)) + head[18:] + payload


def udp(payload, sport=45002, dport=53):
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def packet(pair, protocol, body, **options):
    """The sender's own."""
    return ipv4(protocol, body, src=pair.own[4], **options)


def segment(pair, flags, payload, **options):
    return packet(pair, 6, tcp(flags, payload, src=pair.own[4], **options))


@contextlib.contextmanager
def refused():
    """That the kernel refuses at once is as good as silence."""
    with contextlib.suppress(OSError):
        yield


def connect(pair, family, port=443, mark=None, uid=0, device=None):
    with pair.node.inside(), as_user(uid):
        sock = socket.socket(FAMILY[family], socket.SOCK_STREAM)
    with sock, refused():
        sock.setblocking(False)
        if mark is not None:
            sock.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        if device is not None:
            sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, device)
        sock.connect((FAR[family], port))


def datagram(pair, tag, family, port, mark=None, uid=0, device=None):
    with pair.node.inside(), as_user(uid):
        sock = socket.socket(FAMILY[family], socket.SOCK_DGRAM)
    with sock, refused():
        if mark is not None:
            sock.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        if device is not None:
            sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, device)
        sock.sendto(tag, (FAR[family], port))


def raw(pair, data, family=4, protocol=IPPROTO_RAW, mark=None, uid=0, hops=None, dst=None, nodefrag=False):
    with pair.node.inside(), as_user(uid):
        sock = socket.socket(FAMILY[family], socket.SOCK_RAW, protocol)
    with sock, refused():
        if mark is not None:
            sock.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        if hops is not None:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
        if nodefrag:
            sock.setsockopt(socket.IPPROTO_IP, IP_NODEFRAG, 1)
        sock.sendto(data, (dst or FAR[family], 0))


def frame(pair, data, kind, protocol=None, bypass=False, mark=None, uid=0, device="eth0"):
    """A whole frame through a packet socket; protocol: what its sender says it is."""
    header = pair.mac[pair.outside] + pair.mac[pair.node] + struct.pack("!H", kind)
    with pair.node.inside(), as_user(uid):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with sock, refused():
        if bypass:
            sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        if mark is not None:
            sock.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        with pair.node.inside():
            sock.sendto(header + data, (device, protocol if protocol is not None else kind))


def ping(pair, tag, family):
    protocol = socket.IPPROTO_ICMP if family == 4 else socket.IPPROTO_ICMPV6
    body = struct.pack("!BBHHH", 8 if family == 4 else 128, 0, 0, 7, 1) + tag
    if family == 4:
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    raw(pair, body, family, protocol)


def ping_socket(pair, tag, family):
    pair.node.sysctl("ipv4/ping_group_range", "0 2147483647")
    with pair.node.inside():
        sock = socket.socket(FAMILY[family], socket.SOCK_DGRAM,
                             socket.IPPROTO_ICMP if family == 4 else socket.IPPROTO_ICMPV6)
    with sock, refused():
        sock.sendto(struct.pack("!BBHHH", 8 if family == 4 else 128, 0, 0, 7, 1) + tag, (FAR[family], 0))


def neighbour(pair, tag, dst, hops=255):
    """A neighbour solicitation for dst's benefit, the tag where an address should be."""
    body = struct.pack("!BBHI", 135, 0, 0, 0) + tag[:16].ljust(16, b"\0")
    raw(pair, body, 6, socket.IPPROTO_ICMPV6, hops=hops, dst=dst)


def fast_open(pair, tag):
    with pair.node.inside():
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with sock, refused():
        sock.setblocking(False)
        sock.sendto(tag, 0x20000000, (FAR[4], 443))  # MSG_FASTOPEN


def multicast(pair, tag):
    with pair.node.inside():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock, refused():
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(pair.own[4]))
            sock.sendto(tag, ("224.0.0.251", 5353))


def mptcp(pair):
    with pair.node.inside(), refused():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as sock:
            sock.setblocking(False)
            sock.connect((FAR[4], 443))


# (name, function of pair and tag). Without rules every one of them gets out; with rules none does.
PROBES = [
    ("TCP", lambda p, t: connect(p, 4)),
    ("TCP over IPv6", lambda p, t: connect(p, 6)),
    ("TCP to port 22", lambda p, t: connect(p, 4, 22)),
    ("TCP to port 53", lambda p, t: connect(p, 4, 53)),
    ("TCP to the number of the proxy's port", lambda p, t: connect(p, 4, 15001)),
    ("TCP Fast Open", fast_open),
    ("MPTCP", lambda p, t: mptcp(p)),
    ("TCP bound to the device", lambda p, t: connect(p, 4, device=b"eth0")),
    ("TCP bound to the device, IPv6", lambda p, t: connect(p, 6, device=b"eth0")),
    ("TCP of the proxy's user", lambda p, t: connect(p, 4, uid=PROXY_UID)),
    ("TCP of the proxy's user, IPv6", lambda p, t: connect(p, 6, uid=PROXY_UID)),
    ("TCP with the secret mark", lambda p, t: connect(p, 4, mark=SECRET)),
    ("TCP with the inbound mark", lambda p, t: connect(p, 4, mark=SECRET | 1)),
    ("TCP with the egress mark", lambda p, t: connect(p, 4, mark=SECRET | 2)),
    ("TCP with the capture mark", lambda p, t: connect(p, 4, mark=CAPTURE_MARK)),
    ("TCP with the capture mark, bound to the device", lambda p, t: connect(p, 4, mark=CAPTURE_MARK, device=b"eth0")),
    ("TCP with the conntrack mark", lambda p, t: connect(p, 4, mark=0x736C7501)),
    ("UDP", lambda p, t: datagram(p, t, 4, 443)),
    ("UDP over IPv6", lambda p, t: datagram(p, t, 6, 443)),
    ("DNS", lambda p, t: datagram(p, t, 4, 53)),
    ("DNS over IPv6", lambda p, t: datagram(p, t, 6, 53)),
    ("UDP bound to the device", lambda p, t: datagram(p, t, 4, 443, device=b"eth0")),
    ("UDP of the proxy's user", lambda p, t: datagram(p, t, 4, 53, uid=PROXY_UID)),
    ("UDP with the secret mark", lambda p, t: datagram(p, t, 4, 53, mark=SECRET)),
    ("UDP with the capture mark", lambda p, t: datagram(p, t, 4, 53, mark=CAPTURE_MARK)),
    ("UDP of the proxy's user with the capture mark", lambda p, t: datagram(p, t, 6, 53, mark=CAPTURE_MARK, uid=PROXY_UID)),
    ("multicast UDP", multicast),
    ("ICMP echo", lambda p, t: ping(p, t, 4)),
    ("ICMPv6 echo", lambda p, t: ping(p, t, 6)),
    ("ICMP echo, ping socket", lambda p, t: ping_socket(p, t, 4)),
    ("ICMPv6 echo, ping socket", lambda p, t: ping_socket(p, t, 6)),
    ("IP protocol 132", lambda p, t: raw(p, t, protocol=132)),
    ("IP protocol 47", lambda p, t: raw(p, t, protocol=47)),
    ("IPv6 next header 132", lambda p, t: raw(p, t, 6, 132)),
    ("raw SYN", lambda p, t: raw(p, segment(p, SYN, t))),
    ("raw SYN from another's address", lambda p, t: raw(p, ipv4(6, tcp(SYN, t, src=OTHERS), src=OTHERS))),
    ("DNS from another's address", lambda p, t: raw(p, ipv4(17, udp(t), src=OTHERS))),
    ("raw RST with payload", lambda p, t: raw(p, segment(p, RST, t))),
    ("raw FIN with payload", lambda p, t: raw(p, segment(p, FIN, t))),
    ("raw segment without flags", lambda p, t: raw(p, segment(p, 0, t))),
    ("raw ACK with payload", lambda p, t: raw(p, segment(p, PSH | ACK, t, sport=45003))),
    ("raw RST with the egress mark", lambda p, t: raw(p, segment(p, RST, t), mark=SECRET | 2)),
    ("raw RST of the proxy's user", lambda p, t: raw(p, segment(p, RST, t), uid=PROXY_UID)),
    ("first fragment, IP_NODEFRAG",
     lambda p, t: raw(p, packet(p, 17, udp(t).ljust(64, b"."), fragment=0x2000), nodefrag=True)),
    ("later fragment, IP_NODEFRAG", lambda p, t: raw(p, packet(p, 17, t.ljust(64, b"."), fragment=8), nodefrag=True)),
    ("later TCP fragment, IP_NODEFRAG",
     lambda p, t: raw(p, packet(p, 6, t.ljust(64, b"."), fragment=8), nodefrag=True)),
    ("packet socket", lambda p, t: frame(p, packet(p, 17, udp(t)), ETH_P_IP)),
    ("packet socket, no queue", lambda p, t: frame(p, packet(p, 17, udp(t)), ETH_P_IP, bypass=True)),
    ("packet socket, IP called ARP", lambda p, t: frame(p, packet(p, 17, udp(t)), ETH_P_IP, protocol=ETH_P_ARP)),
    ("packet socket, called everything", lambda p, t: frame(p, packet(p, 17, udp(t)), ETH_P_IP, protocol=ETH_P_ALL)),
    ("packet socket of the proxy's user", lambda p, t: frame(p, packet(p, 17, udp(t)), ETH_P_IP, uid=PROXY_UID)),
    ("packet socket with the secret mark", lambda p, t: frame(p, packet(p, 17, udp(t)), ETH_P_IP, mark=SECRET)),
    ("packet socket with the egress mark",
     lambda p, t: frame(p, packet(p, 17, udp(t)), ETH_P_IP, mark=SECRET | 2)),
    ("packet socket with the capture mark", lambda p, t: frame(p, packet(p, 17, udp(t)), ETH_P_IP, mark=CAPTURE_MARK)),
    ("packet socket, a tunnel in ARP", lambda p, t: frame(p, t.ljust(46, b"."), ETH_P_ARP)),
    ("packet socket, unknown Ethernet type", lambda p, t: frame(p, t.ljust(46, b"."), 0x88B5)),
    ("packet socket, EAPOL", lambda p, t: frame(p, t.ljust(46, b"."), 0x888E)),
    ("a tunnel in unicast neighbour discovery", lambda p, t: neighbour(p, t, FAR[6])),
    ("the same with hop limit 1", lambda p, t: neighbour(p, t, OUTSIDE[6], hops=1)),
]
EVERY = list(PROBES)


def keep_to(backend):
    """PROBES are those that a backend stops: iptables has nothing that sees packet sockets."""
    PROBES[:] = [probed for probed in EVERY if backend == "nft" or not probed[0].startswith("packet socket")]
