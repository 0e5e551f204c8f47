# SPDX-License-Identifier: MIT
"""The far end of a pod's wire: every frame, whole, and which of them the policy allows."""
import collections
import os
import socket
import struct
import threading

from lab.base import Late, until
from lab.sniffer import decode

ETH_P_ALL, ETH_P_ARP = 3, 0x0806
SO_RCVBUFFORCE, SOL_PACKET, PACKET_STATISTICS, PACKET_IGNORE_OUTGOING = 33, 263, 6, 23
UPKEEP = {131, 132, 133, 135, 136, 143}  # multicast listener reports, neighbour discovery
SYN, ACK = 2, 16
MPTCP_OPTION = 30
OWN_PORTS = range(40000, 45000)  # source ports that only attacks use
FENCE = bytes.fromhex("02534c0000fe")  # the hardware address that fences come from


def tcp_parts(data):
    """(options, payload, sequence, acknowledged) of a TCP frame without extension headers."""
    ip = data[14:]
    if ip[0] >> 4 == 4:
        body = ip[(ip[0] & 15) * 4:int.from_bytes(ip[2:4], "big")]
    else:
        body = ip[40:40 + int.from_bytes(ip[4:6], "big")]
    if len(body) < 20:
        return b"", b"", 0, 0
    size = (body[12] >> 4) * 4
    return body[20:size], body[size:], *struct.unpack("!II", body[4:12])


def has_option(options, wanted):
    at = 0
    while at < len(options):
        kind = options[at]
        if kind == wanted:
            return True
        at += 1 if kind <= 1 else max(options[at + 1] if at + 1 < len(options) else 1, 1)
    return False


class Wire:
    """Reads from the moment it is made, which may be before the pod's end of the wire exists.

    allowed: (destination, port, "tcp" or "udp") of what the policy lets the proxy send.
    """

    def __init__(self, lab, space, device, allowed=(), tag=b"<leak-"):
        self.space, self.device = space, device
        self.allowed = set(allowed)
        self.tag = tag
        self.frames = []
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._fences = set()
        self._fenced = 0
        self._socket = space.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 27)
        with space.inside():
            self._socket.bind((device, ETH_P_ALL))
        self._socket.settimeout(0.2)
        self._closed = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        lab.at_exit(self.close)

    def _read(self):
        while not self._closed:
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            with self._lock:
                if data[:6] == FENCE:
                    self._fences.add(data[38:42])
                    self._arrived.notify_all()
                else:
                    self.frames.append(data)

    def fence(self, address, seconds=10.0):
        """Wait until all that was sent before is here. Asks by ARP for the pod's IPv4 address, once from every
        processor: the kernel's answer comes after whatever the same processor was given before, and no rule stops it.
        """
        before = os.sched_getaffinity(0)
        try:
            for cpu in sorted(before):
                os.sched_setaffinity(0, {cpu})
                self._ask(address, seconds)
        finally:
            os.sched_setaffinity(0, before)

    def _ask(self, address, seconds):
        with self._lock:
            self._fenced += 1
            sender = struct.pack("!BBH", 10, 254, self._fenced & 0xFFFF)
        question = b"\xff" * 6 + FENCE + struct.pack("!HHHBBH", ETH_P_ARP, 1, 0x0800, 6, 4, 1)
        question += FENCE + sender + bytes(6) + socket.inet_aton(address)
        with self.space.inside():
            self._socket.sendto(question, (self.device, ETH_P_ARP))
        with self._arrived:
            if not self._arrived.wait_for(lambda: sender in self._fences, seconds):
                raise Late("wire: the pod does not answer ARP")
            self._fences.discard(sender)

    def position(self):
        with self._lock:
            return len(self.frames)

    def seen(self, start=0):
        with self._lock:
            return self.frames[start:]

    def lost(self):
        """Frames that the kernel could not keep for us, since the last call."""
        return struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]

    def judge(self, data):
        """"upkeep", "allowed", or what is wrong with a frame."""
        frame = decode(data)
        if self.tag in data:
            return f"carries what an attack sent: {frame}: {data.hex()}"
        if frame.kind == "arp":
            return "upkeep" if len(data) <= 60 else f"a long ARP packet: {data.hex()}"
        if frame.kind == "icmpv6" and frame.first in UPKEEP:
            return "upkeep" if frame.first not in (131, 132, 143) or frame.dst.startswith("ff02:") else str(frame)
        if frame.kind in ("icmp", "icmpv6") and frame.first == (3 if frame.kind == "icmp" else 1) and \
                any(frame.dst == dst and port == 53 for dst, port, _ in self.allowed):
            return "allowed"  # a name server's answer came after the question had been given up
        if (frame.dst, frame.dport, frame.kind) not in self.allowed or frame.sport in OWN_PORTS:
            return str(frame)
        if frame.kind == "tcp":
            options, payload, _, _ = tcp_parts(data)
            if has_option(options, MPTCP_OPTION) or frame.first & SYN and payload:
                return f"not as the proxy connects: {frame}"
        return "allowed"

    def count(self, start=0):
        """(leaks as text, Counter of "upkeep", "allowed" and "leak") since a position."""
        leaks, counts = [], collections.Counter()
        for data in self.seen(start):
            verdict = self.judge(data)
            good = verdict in ("upkeep", "allowed")
            counts[verdict if good else "leak"] += 1
            if not good:
                leaks.append(verdict)
        return leaks, counts

    def last_data(self, dst, port):
        """(source port, next sequence number, acknowledged) of the last TCP frame with data to dst; or None."""
        for data in reversed(self.seen()):
            frame = decode(data)
            if frame.kind == "tcp" and (frame.dst, frame.dport) == (dst, port):
                _, payload, seq, ack = tcp_parts(data)
                if payload:
                    return frame.sport, seq + len(payload), ack
        return None

    def wait_for(self, condition, what, start=0):
        """Wait for a frame, as decoded, that meets a condition; returns it."""
        return until(lambda: next((f for f in map(decode, self.seen(start)) if condition(f)), None), what)

    def close(self):
        self._closed = True
        self._thread.join()
        self._socket.close()
