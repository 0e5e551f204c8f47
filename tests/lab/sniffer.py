# SPDX-License-Identifier: MIT
"""What comes out of a pod: every frame that arrives at the internet's end of its wire."""
import fcntl
import ipaddress
import select
import socket
import struct
import termios
import threading
from typing import NamedTuple

from lab.base import until

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_IGNORE_OUTGOING, PACKET_STATISTICS = 263, 23, 6
ARP, IPV4, IPV6, VLAN = 0x0806, 0x0800, 0x86DD, 0x8100
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
NAMES = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "icmpv6", 132: "sctp", 47: "gre"}
EXTENSIONS = {0, 43, 44, 60}  # IPv6 headers that come before the payload
NEIGHBOUR = {133, 135, 136, 143}  # ICMPv6: router and neighbour solicitation, advertisement, MLDv2 report


class Frame(NamedTuple):
    """kind: "arp", "tcp", "udp", "icmp", "icmpv6", "ip-NN" or "ethernet-NNNN"; ports are 0 where there are none."""

    kind: str
    src: str
    dst: str
    sport: int
    dport: int
    first: int  # TCP flags, ICMP type

    def __str__(self):
        return f"{self.kind} {self.src}:{self.sport} > {self.dst}:{self.dport} ({self.first})"


def decode(data):
    """The Frame that Ethernet bytes are."""
    kind = int.from_bytes(data[12:14], "big")
    if kind == ARP:
        return Frame("arp", "", "", 0, 0, 0)
    if kind == IPV4 and len(data) >= 34:
        start = 14 + (data[14] & 15) * 4
        protocol, src, dst = data[23], data[26:30], data[30:34]
        fragment = int.from_bytes(data[20:22], "big") & 0x1FFF
    elif kind == IPV6 and len(data) >= 54:
        start, protocol, fragment = 54, data[20], 0
        src, dst = data[22:38], data[38:54]
        while protocol in EXTENSIONS and len(data) >= start + 8:
            if protocol == 44:
                fragment = int.from_bytes(data[start + 2:start + 4], "big") >> 3
            protocol, start = data[start], start + (8 if protocol == 44 else data[start + 1] * 8 + 8)
    else:
        return Frame(f"ethernet-{kind:04x}", "", "", 0, 0, 0)
    name = NAMES.get(protocol, f"ip-{protocol}")
    src, dst = str(ipaddress.ip_address(src)), str(ipaddress.ip_address(dst))
    body = data[start:]
    if fragment or len(body) < 4:
        return Frame(f"{name}-fragment" if fragment else name, src, dst, 0, 0, 0)
    if protocol in (TCP, UDP):
        sport, dport = struct.unpack("!HH", body[:4])
        return Frame(name, src, dst, sport, dport, body[13] if protocol == TCP and len(body) > 13 else 0)
    return Frame(name, src, dst, 0, 0, body[0])


class Sniffer:
    """Reads from the moment it is made until close(). Link upkeep (ARP, neighbour discovery) is left out."""

    def __init__(self, pod):
        self.frames = []
        self._lock = threading.Lock()
        self._socket = pod.internet.space.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 27)  # a frame counts as much as it held
        with pod.internet.space.inside():
            self._socket.bind((pod.wire, ETH_P_ALL))
        self._closed = False
        self._socket.setblocking(False)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        pod.internet.lab.at_exit(self.close)

    def _read(self):
        ready = select.poll()
        ready.register(self._socket, select.POLLIN)
        while not self._closed:
            if not ready.poll(200):
                continue
            with self._lock:
                try:
                    frame = decode(self._socket.recv(128))
                except OSError:
                    return
                if frame.kind != "arp" and not (frame.kind == "icmpv6" and frame.first in NEIGHBOUR):
                    self.frames.append(frame)

    def _empty(self):
        """Whether every frame that has arrived is among `frames`."""
        with self._lock:
            return struct.unpack("i", fcntl.ioctl(self._socket, termios.FIONREAD, bytes(4)))[0] == 0

    def seen(self, start=0):
        """A copy of the frames since position start, with all that have arrived."""
        until(self._empty, "the sniffer to read what has come")
        with self._lock:
            return self.frames[start:]

    def lost(self):
        """Frames that the kernel could not keep for us, since the last call."""
        return struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]

    def stop(self):
        """Let it end in its own time: close() then need not wait."""
        self._closed = True

    def close(self):
        self.stop()
        self._thread.join()
        self._socket.close()
