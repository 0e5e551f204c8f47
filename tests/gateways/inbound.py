# SPDX-License-Identifier: MIT
"""sluice as the gateway, behind others that say by the PROXY protocol whose connection it is."""
import contextlib
import socket

from lab import until
from lab.accesslog import AccessLog, matches
from lab.gateway import HaproxySender, NginxSender
from lab.internet import V4, address
from lab.node import Node
from lab.talk import Talk
from outpost import NAMESERVER
from world import Skip, proxy_header

URL = "http://origin.test/echo"
POLICY = """\
[policy]
name        = gateway
access-log  = {log}
nameservers = {nameserver}
[service origin]
hosts      = origin.test
ports      = http:80
resolution = dns
[gateway egress]
address    = {address}
servers    = http:80
hosts      = origin.test
proxy-protocol-from = {sender}
[route out]
hosts      = origin.test
from       = egress
to         = origin.test:80
"""


class Inbound:
    """A pod that is the gateway at `where`; what comes from the internet's end of its wire has to have a header."""

    def __init__(self, world):
        self.world, self.pod = world, world.pod("gateway")
        self.address, self.sender = self.pod.addresses[V4], self.pod.gateways[V4]
        self.where = f"{self.address}:80"
        self.node = Node(self.pod, world.programs, ["--workers", "1"])
        with open(self.node.source, "w", encoding="ascii") as file:
            file.write(POLICY.format(log=self.node.access_log, nameserver=address(NAMESERVER, V4),
                                     address=self.address, sender=self.sender))
        done = world.lab.run([self.node.program("rules"), "compile", "--node", "egress", self.node.source, "-o",
                              self.node.compiled])
        if "proxy-protocol-from" in done.stderr:
            raise Skip("this version takes no PROXY headers")
        assert done.returncode == 0, done.stderr
        self.log = AccessLog(self.node.access_log)
        self.node.apply()
        self.node.start()

    def logged(self, **wanted):
        """Wait for a line of the access log with these fields."""
        until(lambda: any(matches(record, wanted) for record in self.log.poll()), f"{wanted} in the log")

    def connect(self, source=None):
        """From the listed source, or from another address of the internet's."""
        sock = self.world.internet.space.socket(socket.AF_INET)
        sock.settimeout(20)
        if source:
            sock.bind((source, 0))
        sock.connect((self.address, 80))
        return sock

    def talk(self, data, source=None, shut=False):
        """All that is answered to these bytes, and to their end if shut."""
        with self.connect(source) as sock:
            sock.sendall(data)
            if shut:
                sock.shutdown(socket.SHUT_WR)
            try:
                return b"".join(iter(lambda: sock.recv(4096), b"")).decode()
            except ConnectionResetError:
                return ""


@contextlib.contextmanager
def inbound(world):
    gateway = Inbound(world)
    yield gateway
    assert gateway.node.stop() == 0, gateway.node.proxy.output()
    gateway.node.remove()


def client(world, sender):
    """A client's address, and what it gets through the sender."""
    pod = world.pod("client")
    return pod.addresses[V4], *world.curl(pod, URL, "--connect-to", f"::{sender.where}")


def check_haproxy(world, more):
    """Its health check, which is LOCAL, has to pass before it hands over anything."""
    with inbound(world) as gateway:
        sender = world.gateway(HaproxySender, to=gateway.where, more=more)
        gateway.logged(path="/health", response_code=200, downstream_remote_address=rf"~{gateway.sender}:\d+")
        until(lambda: client(world, sender)[1] == 0, f"the sender: {sender.text()}")
        source, status, says = client(world, sender)
        assert status == 0 and "GET /echo " in says, says
        gateway.logged(path="/echo", response_code=200, downstream_remote_address=rf"~{source}:\d+")


def test_haproxy(world):
    check_haproxy(world, "")


def test_haproxy_that_says_all_it_can(world):
    check_haproxy(world, "proxy-v2-options crc32c,unique-id,authority,ssl")


def test_version_1_is_refused(world):
    with inbound(world) as gateway:
        _, status, _ = client(world, world.gateway(NginxSender, to=gateway.where))
        assert status in (52, 56), status
        gateway.logged(response_flags="DPE", connection_termination_details="proxy_signature")


def test_headers_of_listed_sources(world):
    """Without a header, with a damaged one, with half of one: refused; with one, served."""
    ask = b"GET /echo HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n"
    header = ("192.0.2.7", 40000, "198.51.100.2", 80, "origin.test")
    with inbound(world) as gateway:
        assert "GET /echo " in gateway.talk(proxy_header(*header) + ask)
        gateway.logged(path="/echo", downstream_remote_address="192.0.2.7:40000")
        slowly = "".join(f"\\x{byte:02x}" for byte in proxy_header("192.0.2.8", *header[1:]) + ask)
        Talk(gateway.connect()).play([f"slow 5 {slowly}", r"recv GET /echo (?s:.*)body 0 ", "close"])
        gateway.logged(path="/echo", downstream_remote_address="192.0.2.8:40000")
        assert gateway.talk(proxy_header(*header)[:40], shut=True) == ""
        gateway.logged(response_flags="DPE", connection_termination_details="proxy_length")
        for data, reason in ((ask, "proxy_signature"), (proxy_header(*header, crc=1) + ask, "proxy_crc"),
                             (proxy_header(*header[:4], "192.0.2.1") + ask, "proxy_name")):
            assert gateway.talk(data) == "", reason
            gateway.logged(response_flags="DPE", connection_termination_details=reason)


def test_headers_of_others(world):
    """Who is not listed gets no say in whose connection it is."""
    ask = b"GET /echo HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n"
    source = "203.0.113.99"
    with inbound(world) as gateway:
        assert "GET /echo " in gateway.talk(ask, source)
        gateway.logged(path="/echo", downstream_remote_address=rf"~{source}:\d+")
        says = gateway.talk(proxy_header("192.0.2.7", 40000, "198.51.100.2", 80, "origin.test") + ask, source)
        assert "GET /echo " not in says, says
        assert not any("192.0.2.7" in line for line in gateway.log.lines), gateway.log.lines
