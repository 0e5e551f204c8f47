# SPDX-License-Identifier: MIT
"""Packets of both families, made by hand: what a process with CAP_NET_RAW can put together."""
import socket
import struct

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
ICMP = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
ETHERTYPE = {4: 0x0800, 6: 0x86DD}


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def pseudo(src, dst, protocol, size):
    if ":" in src:
        return address(src) + address(dst) + struct.pack("!IHBB", size, 0, 0, protocol)
    return address(src) + address(dst) + struct.pack("!BBH", 0, protocol, size)


def ip(src, dst, protocol, body, ttl=64, options=b"", fragment=0, ident=0x4242):
    """A whole packet; fragment: the field of IPv4 (flags and offset in units of eight bytes)."""
    if ":" in src:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, ttl) + address(src) + address(dst) + body
    options += bytes(-len(options) % 4)
    head = struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(body), ident, fragment, ttl,
                       protocol, 0, address(src), address(dst)) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def tcp(src, dst, flags, payload=b"", sport=40000, dport=443, options=b"", seq=1000, ack=2000, damage=0):
    """A segment; damage: what is added to its checksum."""
    options += b"\x01" * (-len(options) % 4)
    head = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, (5 + len(options) // 4) << 4, flags,
                       8192, 0, 0) + options
    total = checksum(pseudo(src, dst, socket.IPPROTO_TCP, len(head) + len(payload)) + head + payload)
    return head[:16] + struct.pack("!H", (total + damage) & 0xFFFF) + head[18:] + payload


def udp(src, dst, payload, sport=40001, dport=443):
    head = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0)
    total = checksum(pseudo(src, dst, socket.IPPROTO_UDP, len(head) + len(payload)) + head + payload)
    return head[:6] + struct.pack("!H", total or 0xFFFF) + payload


def icmp(src, dst, kind, code=0, rest=b"\0\7\0\1", payload=b""):
    """ICMP of the family that the addresses have."""
    body = struct.pack("!BBH", kind, code, 0) + rest + payload
    total = checksum((pseudo(src, dst, ICMP[6], len(body)) if ":" in src else b"") + body)
    return body[:2] + struct.pack("!H", total) + body[4:]


def extension(following, kind, body=b""):
    """An IPv6 extension header; kind 44 is a fragment header, whose body is its six bytes after the first two."""
    if kind == 44:
        return bytes([following, 0]) + body
    body = body or b"\x01\x04\0\0\0\0"
    body += bytes(-(len(body) + 2) % 8)
    return bytes([following, (len(body) + 2) // 8 - 1]) + body
