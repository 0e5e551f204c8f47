# SPDX-License-Identifier: MIT
"""A node behind a gateway: a pod with the whole of sluice, its wire watched."""
from typing import NamedTuple

from lab import until
from lab.accesslog import AccessLog, matches
from lab.internet import V4, address, literal
from lab.node import Node

NAMESERVER = 54
POLICY = """\
[policy]
name        = node
access-log  = {log}
nameservers = {nameserver}
"""
WAY = """\
[service service-{number}]
hosts      = {hosts}
ports      = {ports}
{addresses}resolution = dns
[gateway egress-{number}]
address    = {where}
servers    = {servers}
hosts      = {hosts}
via        = {via}
{more}[route route-{number}]
hosts      = {hosts}
to         = egress-{number}
"""


class Way(NamedTuple):
    """How a node hands connections for some hosts to a gateway; where: endpoints, "ADDRESS[:PORT]"."""

    via: str
    where: list
    hosts: list
    ports: str = "http:80, https:443"
    servers: str = "http:80, tls:443"
    addresses: str = ""  # whole lines, as `more`
    more: str = ""


class Outpost:
    """A node, and what it is allowed."""

    def __init__(self, world, *ways, args=()):
        self.world, self.ways = world, ways
        self.pod = world.pod("node")
        self.node = Node(self.pod, world.programs, ["--workers", "1", *args])
        text = POLICY.format(log=self.node.access_log, nameserver=address(NAMESERVER, V4))
        for number, way in enumerate(ways):
            fields = {**way._asdict(), "where": ", ".join(way.where), "hosts": ", ".join(way.hosts)}
            text += WAY.format(number=number, **fields)
        self.node.policy(text)
        self.log = AccessLog(self.node.access_log)
        self.lines = 0
        self.node.apply()
        self.node.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        """Stops it; and nothing may have gone anywhere else."""
        status = self.node.stop()
        self.pod.sniffer.close()
        self.node.remove()
        if kind is None:
            assert status == 0, (status, self.node.proxy.output())
            strange = [str(frame) for frame in self.pod.sniffer.frames if not self.expected(frame)]
            assert not strange, strange[:5]

    def expected(self, frame):
        """Whether a frame goes to the gateway or to the name server."""
        if frame.kind == "udp" and (frame.dst, frame.dport) == (address(NAMESERVER, V4), 53):
            return True
        return frame.kind == "tcp" and any(where in (frame.dst, f"{literal(frame.dst)}:{frame.dport}")
                                           for way in self.ways for where in (one.split()[0] for one in way.where))

    def curl(self, url, *more):
        return self.world.curl(self.pod, url, *more)

    def logged(self, **wanted):
        """Wait for the next line of the access log that has these fields; no other may come before it."""
        until(lambda: len(self.log.poll()) > self.lines, f"a log line: {self.node.proxy.output()}")
        record = self.log.records[self.lines]
        self.lines += 1
        wrong = {key: record[key] for key in wanted if not matches(record, {key: wanted[key]})}
        assert not wrong, (wrong, self.log.lines[self.lines - 1])
