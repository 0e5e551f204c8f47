# SPDX-License-Identifier: MIT
"""What a router does besides: its own services, other interfaces, other people's rules."""
import re
import socket
import struct

import probe
from cases_router import EACH, EACH_FAMILY, SCOPES, leaks_of, routed
from cases_udp import REFUSED, SERVICE, answers, listen, refused
from lab.space import Space
from pair import ETH_P_ALL, ETH_P_IP, FAMILY, FAR, LIMIT, NODE, OUTSIDE, SO_BINDTODEVICE
from proxy import Names, Proxy, client
from router import CLIENT, CLIENT_MAC, GATE, GATE_MAC
from suite import METHODS, case, same

BULK, SO_SNDBUFFORCE = 1 << 20, 32
SIDE = {4: ("10.99.0.1", "10.99.0.2"), 6: ("fd99::1", "fd99::2")}
OWN = ("TCP", "UDP", "TCP over IPv6", "UDP over IPv6", "ICMP echo", "packet socket")
# As a firewall manager has them: its own forwarding, DNS for itself, and address translation
MANAGER = """table inet manager
delete table inet manager
table inet manager {
	chain forward { type filter hook forward priority 0; policy drop;
		ct state established,related accept
		iifname "lan0" accept
		ct status dnat accept
	}
	chain input { type filter hook input priority 0; policy drop;
		ct state established,related accept
		iifname { "lan0", "lo" } accept
	}
	chain dstnat { type nat hook prerouting priority -100; policy accept;
		iifname "lan0" udp dport 53 redirect to :53
		iifname "eth0" tcp dport 2222 dnat ip to 10.88.0.2:22
	}
	chain srcnat { type nat hook postrouting priority 100; policy accept;
		oifname "eth0" masquerade
	}
}
"""


def tcp_server(space, family, port, address=None):
    sock = space.socket(FAMILY[family])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == 6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address or ("::" if family == 6 else "0.0.0.0"), port))
    sock.listen(4)
    sock.settimeout(LIMIT)
    return sock


def talks(space, family, address, port, listener):
    """A connection carries something both ways."""
    with space.socket(FAMILY[family]) as down:
        down.settimeout(LIMIT)
        down.connect((address, port))
        up = listener.accept()[0]
        with up:
            up.settimeout(LIMIT)
            down.sendall(b"question")
            same(up.recv(100), b"question", f"to {address} port {port}")
            up.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 4 * BULK)  # all of it waits in the kernel
            up.sendall(bytes(BULK))
            up.shutdown(socket.SHUT_WR)
            got = 0
            while chunk := down.recv(65536):
                got += len(chunk)
    return got == BULK


@case(*EACH_FAMILY)
def services(suite, parameter):
    """A router's own services answer its clients"""
    scope, method, family = parameter.split()[0], parameter.split()[1], int(parameter[-1])
    router = suite.router(routed(suite, scope, method, dns="reject"))
    router.apply()
    for address in (GATE[family], NODE[family]):
        for port in (22, 80, 443):
            with tcp_server(router.node, family, port) as listener:
                same(talks(router.lan.node, family, address, port, listener), True, f"TCP {address} port {port}")
        for port in (53, 123, 547):
            with listen(router.node, family, port, address) as server, \
                    router.lan.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
                same(answers(sock, server, address, port), True, f"UDP {address} port {port}")
        router.lan.node.must(["ping", "-c1", "-W5", address])
    router.node.must(["ping", "-c1", "-W5", CLIENT[family]])  # and the other way round
    with tcp_server(router.lan.node, family, 8080) as listener:
        same(talks(router.node, family, CLIENT[family], 8080, listener), True, "TCP to a client")


def hear(router):
    """A packet socket of the clients'."""
    sock = router.lan.node.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.settimeout(LIMIT)
    return sock


def until_heard(sock, text):
    while True:  # the socket's time limit ends it
        frame = sock.recv(2000)
        if text in frame and frame[6:12] == GATE_MAC:
            return frame


@case(*EACH)
def dhcp(suite, parameter):
    """DHCP, router advertisements, duplicate address detection and multicast work inside"""
    scope, method = parameter.split()
    router = suite.router(routed(suite, scope, method))
    router.node.sysctl("ipv4/conf/all/rp_filter", 1)
    router.apply()
    router.watch.fence()
    with router.node.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, hear(router) as heard:
        server.settimeout(LIMIT)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        server.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"lan0")
        server.bind(("0.0.0.0", 67))
        # a client without an address asks everybody, and is answered so
        question = struct.pack("!HHHH", 68, 67, 16, 0) + b"discover"
        question = probe.ipv4(17, question, dst="255.255.255.255", src="0.0.0.0")
        with router.lan.node.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            with router.lan.node.inside():
                raw.sendto(b"\xff" * 6 + CLIENT_MAC + struct.pack("!H", ETH_P_IP) + question, ("eth0", ETH_P_IP))
        same(server.recv(100), b"discover", "at the DHCP server")
        server.sendto(b"<offer>", ("255.255.255.255", 68))
        until_heard(heard, b"<offer>")
        # a router advertisement, as a raw socket sends it
        with router.node.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as radvd:
            radvd.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            index = int(re.match(r"\d+", router.node.must(["ip", "-o", "link", "show", "lan0"]).stdout).group())
            advert = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + b"<advert>"
            radvd.sendto(advert, ("ff02::1", 0, 0, index))
            same(until_heard(heard, b"<advert>")[20], 58, "a router advertisement")
        # somebody without an address asks whether the router's is free
        target = socket.inet_pton(socket.AF_INET6, GATE[6])
        group = socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:1")
        body = struct.pack("!BBHI", 135, 0, 0, 0) + target
        pseudo = bytes(16) + group + struct.pack("!II", len(body), 58)
        body = body[:2] + struct.pack("!H", probe.checksum(pseudo + body)) + body[4:]
        packet = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + bytes(16) + group + body
        with router.lan.node.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            with router.lan.node.inside():
                raw.sendto(bytes.fromhex("3333ff000001") + CLIENT_MAC + b"\x86\xdd" + packet, ("eth0", 0x86DD))
        while (frame := until_heard(heard, target))[54] != 136:
            pass
        # multicast of the router's
        with router.node.socket(socket.AF_INET, socket.SOCK_DGRAM) as mdns:
            mdns.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(GATE[4]))
            mdns.sendto(b"<mdns>", ("224.0.0.251", 5353))
            until_heard(heard, b"<mdns>")
    same([f.hex() for f in router.leaks(b"<")], [], "frames outside")
    same(frame[6:12], GATE_MAC, "who answers")


@case(*EACH)
def link_local(suite, parameter):
    """A client with nothing but its link-local address reaches the router by its own"""
    scope, method = parameter.split()
    router = suite.router(routed(suite, scope, method))
    router.apply()
    index = int(re.match(r"\d+", router.lan.node.must(["ip", "-o", "link", "show", "eth0"]).stdout).group())
    found = router.node.must(["ip", "-o", "-6", "addr", "show", "dev", "lan0", "scope", "link"]).stdout
    address = re.search(r"fe80::[0-9a-f:]+", found).group()
    with listen(router.node, 6, 547) as server, router.lan.node.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.sendto(b"question", (address, 547, 0, index))
        data, peer = server.recvfrom(100)
        same(peer[0].startswith("fe80::"), True, peer)
        server.sendto(data, peer)
        same(sock.recv(100), b"question", "the answer")


@case(*EACH_FAMILY)
def from_outside(suite, parameter):
    """What the outside opens to a client is answered, with all of its data"""
    scope, method, family = parameter.split()[0], parameter.split()[1], int(parameter[-1])
    router = suite.router(routed(suite, scope, method))
    router.apply()
    with tcp_server(router.lan.node, family, 443, CLIENT[family]) as listener:
        same(talks(router.outside, family, CLIENT[family], 443, listener), True, "TCP")
    with listen(router.lan.node, family, 5000, CLIENT[family]) as server, \
            listen(router.outside, family, 53, OUTSIDE[family]) as sock:
        same(answers(sock, server, CLIENT[family], 5000), True, "UDP from port 53")
    router.outside.must(["ping", "-c1", "-W5", CLIENT[family]])


@case(*EACH_FAMILY)
def other_interfaces(suite, parameter):
    """Other interfaces' traffic is forwarded as if there were no rules"""
    scope, method, family = parameter.split()[0], parameter.split()[1], int(parameter[-1])
    router = suite.router(routed(suite, scope, method))
    side = Space(suite.lab, "init-side")
    try:
        suite.lab.must(["ip", "link", "add", "tun0", "netns", router.node.name, "type", "veth",
                        "peer", "name", "eth0", "netns", side.name])
        for space, name, own in ((router.node, "tun0", 0), (side, "eth0", 1)):
            space.ip(f"addr add {SIDE[4][own]}/24 dev {name}", f"addr add {SIDE[6][own]}/64 dev {name} nodad",
                     f"link set {name} up")
        side.ip(f"route add default via {SIDE[4][0]}", f"route add default via {SIDE[6][0]}")
        router.outside.ip(f"route add 10.99.0.0/24 via {NODE[4]}", f"route add fd99::/64 via {NODE[6]}")
        router.apply()
        with Proxy(router, method) as proxy:
            for space, address in ((side, FAR[family]), (router.outside, SIDE[family][1])):
                with tcp_server(router.outside if space is side else side, family, 443) as listener:
                    same(talks(space, family, address, 443, listener), True, f"TCP to {address}")
            with listen(router.outside, family, 53, FAR[family]) as server, \
                    side.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
                same(answers(sock, server, FAR[family], 53), True, "DNS")
            side.must(["ping", "-c1", "-W5", FAR[family]])
            same(proxy.nothing(), True, "the proxy heard nothing")
            # inside to there is egress all the same
            with router.lan.node.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
                same(refused(sock, SIDE[family][1], 123) in REFUSED, True, "a client's datagram")
    finally:
        side.close()


@case(*(f"{scope} IPv{family}" for scope in SCOPES for family in (4, 6)))
def own_traffic(suite, parameter):
    """scope = router lets the router itself be, both contains it as a pod's"""
    scope, family = parameter.split()[0], int(parameter[-1])
    router = suite.router(routed(suite, scope, "tproxy"))
    router.apply()
    router.watch.fence()
    for number, (name, send) in enumerate(probe.PROBES):
        if scope == "router" and name not in OWN:
            continue
        tag = f"<own-{number:03d}>".encode()
        send(router, tag)
        same(bool(router.watch.leaks(tag)), scope == "router", f"{name} of the router's own")
    with tcp_server(router.outside, family, 8080) as listener, router.proxy_socket(family) as up:
        up.settimeout(LIMIT)
        up.connect((FAR[family], 8080))
        listener.accept()[0].close()


@case(*EACH)
def manager(suite, parameter):
    """A firewall manager that loads its own rules again and again changes nothing"""
    scope, method = parameter.split()
    router = suite.router(routed(suite, scope, method, services=[SERVICE]))
    router.node.must(["nft", "-f", "-"], stdin=MANAGER)
    router.apply()
    router.node.must(["nft", "-f", "-"], stdin=MANAGER)
    with Proxy(router, method) as proxy, Names(router, method), listen(router.outside, 4, 123, FAR[4]) as server, \
            router.lan.node.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, \
            client(router.lan, 4, FAR[4], 443) as down:
        destination, up = proxy.take()
        up.settimeout(LIMIT)
        same(destination, (FAR[4], 443), "destination")
        for number in range(10):
            router.node.must(["nft", "-f", "-"], stdin=MANAGER)
            text = f"message {number}".encode()
            for source, sink in ((down, up), (up, down)):
                source.sendall(text)
                same(sink.recv(100), text, "passed on")
            same(answers(sock, server, FAR[4], 123, text), True, "a UDP service")
            with router.lan.node.socket(socket.AF_INET, socket.SOCK_DGRAM) as name:
                name.settimeout(LIMIT)
                name.sendto(text, (FAR[4], 53))
                same(name.recv(100), b"answer: " + text, "a name")
        up.close()
        same(leaks_of(router), [], "leaks")
        same(router.init("check").stdout, "", "check")
    with tcp_server(router.lan.node, 4, 22) as listener:
        same(talks(router.outside, 4, NODE[4], 2222, listener), True, "a forwarded port")


@case(*(f"both {method}" for method in METHODS))
def bridged(suite, parameter):
    """Ports of an inside bridge talk to one another, and a packet socket's DHCP leaves there"""
    scope, method = parameter.split()
    router = suite.router()
    other = Space(suite.lab, "init-port")
    try:
        suite.lab.must(["ip", "link", "add", "lan1", "netns", router.node.name, "type", "veth",
                        "peer", "name", "eth0", "netns", other.name])
        for name in ("iptables", "ip6tables"):  # where br_netfilter is there, bridged packets are not forwarded ones
            router.node.sysctl(f"bridge/bridge-nf-call-{name}", 0)
        router.node.ip("link add br-lan type bridge", "link set lan0 master br-lan", "link set lan1 master br-lan",
                       "addr flush dev lan0", "link set lan1 up", "link set br-lan up")
        router.address("br-lan")
        other.ip("addr add 10.88.0.9/24 dev eth0", "link set eth0 up")
        router.use(suite.policy(f"scope = {scope}", "interfaces = br-lan", f"method = {method}"))
        router.apply()
        mac = re.search(r"ether (\S+)", router.node.must(["ip", "link", "show", "br-lan"]).stdout).group(1)
        router.lan.node.ip(*(f"neigh replace {a} lladdr {mac} dev eth0" for a in GATE.values()))
        router.lan.node.must(["ping", "-c1", "-W5", "10.88.0.9"])
        with router.lan.node.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as heard:
            heard.settimeout(LIMIT)
            with router.node.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock, router.node.inside():
                sock.sendto(b"\xff" * 6 + GATE_MAC + b"\x08\x00" + b"<offer>".ljust(46, b"."), ("br-lan", ETH_P_IP))
            while b"<offer>" not in heard.recv(2000):
                pass
        router.watch.fence()
        for name, send in probe.PROBES:
            if name in ("TCP", "UDP", "ICMP echo", "packet socket"):
                send(router.lan if name != "packet socket" else router, b"<bridged>")
                same([f.hex() for f in router.leaks(b"<bridged>")], [], name)
        with Proxy(router, method) as proxy, client(router.lan, 4, FAR[4], 80):
            destination, up = proxy.take()
            up.close()
            same(destination, (FAR[4], 80), "destination")
    finally:
        other.close()

