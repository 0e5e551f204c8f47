# SPDX-License-Identifier: MIT
"""A name server that says whatever a test wants, and remembers what it was asked."""
import ipaddress
import socket
import struct
import threading

from lab.internet import FAMILY, V4, V6

A, CNAME, SOA, AAAA, SVCB, HTTPS = 1, 5, 6, 28, 64, 65
NXDOMAIN = 3
FAMILY_TYPE = {V4: A, V6: AAAA}


def labels(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def record(owner, kind, ttl, data):
    return labels(owner) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def address(owner, text, ttl=30):
    packed = ipaddress.ip_address(text).packed
    return record(owner, A if len(packed) == 4 else AAAA, ttl, packed)


def alias(owner, target, ttl=30):
    return record(owner, CNAME, ttl, labels(target))


def parameter(key, value):
    return struct.pack(">HH", key, len(value)) + value


def service(owner, priority, target, *parameters, kind=HTTPS, ttl=30):
    return record(owner, kind, ttl, struct.pack(">H", priority) + labels(target) + b"".join(parameters))


class Scripted:
    """On a host's port 53, UDP and TCP.

    It knows the internet's hosts. `answers` maps (name, type) to a list of records, or to a function of the number of
    times that it was asked; a name with other types alone has no data, one without any does not exist. `asked` is what
    came, in order: (name, type). None as an answer: silence.
    """

    def __init__(self, internet, number, family):
        self.asked = []
        self.answers = {(name, FAMILY_TYPE[one]): [address(name, internet.address(name, one))]
                        for name, host in internet.hosts.items() if isinstance(host, int) for one in FAMILY_TYPE}
        self.child = self
        where = (internet.address(number, family), 53)
        self.udp = internet.space.socket(FAMILY[family], socket.SOCK_DGRAM)
        self.tcp = internet.space.socket(FAMILY[family])
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.udp.bind(where)
        self.tcp.bind(where)
        self.tcp.listen(16)
        for target in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=target, daemon=True).start()

    def stop(self):
        for sock in (self.udp, self.tcp):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def _serve_udp(self):
        while True:
            try:
                question, peer = self.udp.recvfrom(4096)
                if not question:  # shut down
                    return
                answer = self._answer(question, 1232)
                if answer:
                    self.udp.sendto(answer, peer)
            except OSError:
                return

    def _serve_tcp(self):
        while True:
            try:
                sock, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_stream, args=(sock,), daemon=True).start()

    def _serve_stream(self, sock):
        with sock, sock.makefile("rb") as stream:
            while True:
                head = stream.read(2)
                if len(head) < 2:
                    return
                answer = self._answer(stream.read(int.from_bytes(head, "big")), 65535)
                if answer:
                    sock.sendall(len(answer).to_bytes(2, "big") + answer)

    def _answer(self, question, room):
        at, parts = 12, []
        while question[at]:
            parts.append(question[at + 1:at + 1 + question[at]].decode("latin-1"))
            at += 1 + question[at]
        kind = int.from_bytes(question[at + 1:at + 3], "big")
        name = ".".join(parts).lower()
        self.asked.append((name, kind))
        found = self.answers.get((name, kind), [])
        if callable(found):
            found = found(self.asked.count((name, kind)))
        if found is None:
            return None
        exists = any(name == known for known, _ in self.answers)
        soa = record("test", SOA, 20, labels("ns.test") + labels("root.test") + struct.pack(">5I", 1, 2, 3, 4, 20))
        authority = [] if found else [soa]
        body = question[12:at + 5] + b"".join([*found, *authority])
        flags = 0x8180 | (0 if exists else NXDOMAIN)
        if len(body) + 12 > room:
            body, flags, found, authority = question[12:at + 5], flags | 0x200, [], []
        return question[:2] + struct.pack(">5H", flags, 1, len(found), len(authority), 0) + body
