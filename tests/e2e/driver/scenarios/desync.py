# SPDX-License-Identifier: MIT
"""Segments that show a filter another stream than the server sees: what ends TCP is not fooled."""
import os
import socket
import struct

from driver.scenarios.guard import attempt, ipv4, ipv6, segment
from lab import until
from lab.hello import made
from lab.internet import FAMILY, V4
from lab.talk import Talk, abort

TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21
RECEIVE_QUEUE, SEND_QUEUE, REPAIR_OFF = 1, 2, -1
RST, PSH, ACK = 4, 8, 16


class Flow:
    """A client's connection, and a raw socket that knows where it stands."""

    def __init__(self, run, where):
        self.run = run
        self.sock = run.connect(where)
        self.src, self.sport = self.sock.getsockname()[:2]
        self.dst, self.dport = run.endpoint(where)
        self.raw = run.pod.space.socket(FAMILY[run.family], socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        self.seq, self.ack = (self._at(queue) for queue in (SEND_QUEUE, RECEIVE_QUEUE))
        self.sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, REPAIR_OFF)

    def _at(self, queue):
        self.sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, queue)
        return struct.unpack("I", self.sock.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, 4))[0]

    def inject(self, data, ahead=0, damage=0, ttl=64, flags=PSH | ACK):
        part = segment(self.src, self.dst, flags, data, self.sport, self.dport, self.seq + ahead, self.ack, damage)
        build = ipv4 if self.run.family == V4 else ipv6
        packet = build(self.src, self.dst, socket.IPPROTO_TCP, part, ttl=ttl)
        attempt(lambda: self.raw.sendto(packet, (self.dst, 0)))


def disturb(flow, data):
    """Another hello, in every way that the kernel must not take: damaged, of the past, beyond the window; and resets."""
    for flags in (PSH | ACK, RST | ACK, RST):
        flow.inject(data, damage=0x1111, flags=flags)
        flow.inject(data, damage=0x1111, ttl=1, flags=flags)
        flow.inject(data, ahead=-2 * len(data), flags=flags)
        flow.inject(data, ahead=1 << 30, flags=flags)
    flow.inject(data, ahead=1 << 30, ttl=1)


def refused(run):
    """A listed name is shown, another one meant: refused by the one that is meant."""
    flow = Flow(run, "tls.test:443")
    disturb(flow, made("tls.test"))
    flow.sock.sendall(made("evil.test"))
    Talk(flow.sock).play(["gone"])
    run.wait_log(requested_server_name="evil.test", response_flags="UH", upstream_host="-")


def untouched(run):
    """Another name is shown, a listed one meant: what was meant arrives, and nothing else."""
    server = run.serve("tls.test:443", "hold")
    server.wanted = 1
    data = made("tls.test")
    flow = Flow(run, "tls.test:443")
    disturb(flow, made("evil.test"))
    flow.sock.sendall(data)
    flow.sock.shutdown(socket.SHUT_WR)
    Talk(flow.sock).play(["hold"])
    server.finish()
    run.expect(server.received == [data], f"arrived: {[bytes(r).hex() for r in server.received]}")


def taken(run):
    """What the kernel does take, by whomever it was sent and with a hop limit of 1, is what is judged and what arrives."""
    server = run.serve("tls.test:443", "hold")
    server.wanted = 1
    data = made("tls.test")
    flow = Flow(run, "tls.test:443")
    flow.inject(data, ttl=1)
    until(lambda: server.clients == 1, "the server's client")
    flow.sock.sendall(made("evil.test"))  # of the same place in the stream: too late
    flow.inject(b"", ahead=len(data), flags=RST | ACK)
    abort(flow.sock)
    server.finish()
    run.expect(server.received == [data], f"arrived: {[bytes(r).hex() for r in server.received]}")
    run.wait_log(requested_server_name="tls.test", upstream_cluster="outbound|443||tls.test")


def desync(run):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})  # packets of one processor arrive in the order in which they were sent
    try:
        {"refused": refused, "untouched": untouched, "taken": taken}[run.case.row](run)
    finally:
        os.sched_setaffinity(0, before)
