# SPDX-License-Identifier: MIT
"""The world that all attacks share (an internet, a pod with its rules), and a proxy for each of them."""
import json
import os
import re
import socket
import subprocess

from lab import Internet, until
from lab.hello import made
from lab.internet import V4, address
from lab.node import PROXY_UID, Node
from peers import ECHO, HOST, HTTP, MUTE, SERVED, TLS, Farm, connect

HOSTS = {"farm.test": HOST, "tls.test": HOST, "raw.test": HOST, "hole.test": ["192.0.2.1"], "evil.test": 66}
TARGET = address(HOST, V4)
WEB, RAW, SILENT, HELLO = (TARGET, HTTP), (TARGET, ECHO), (TARGET, MUTE), (TARGET, TLS)
POLICY = """
[policy]
name        = {name}
access-log  = {log}
nameservers = {nameserver}
[capture]
method = tproxy
dns    = allow
[service farm]
hosts      = farm.test
ports      = http:80
resolution = dns
[service hole]
hosts      = hole.test
ports      = http:80, tls:443
resolution = static
endpoints  = 192.0.2.1
[service tls]
hosts      = tls.test
ports      = tls:443
resolution = static
endpoints  = {target}
[service raw]
hosts      = raw.test
addresses  = {target}
ports      = tcp:7000, tcp:7001
resolution = none
"""
GAUGES = re.compile(r"sluice_(downstream_[cr][xq]_active|buffers_used|small_buffers_used|pipes_used|names_used)")


class Wrong(Exception):
    """Not as it should be."""


def expect(truth, what):
    if not truth:
        raise Wrong(what)


def get(path="/ok", host="farm.test", more=""):
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


class World:
    """soak: the long form."""

    def __init__(self, lab, programs, tap, soak):
        self.lab = lab
        self.programs = programs
        self.tap = tap
        self.soak = soak
        with open(os.path.join(programs, "sluice-tproxy"), "rb") as file:
            self.sanitized = b"__asan_init" in file.read()
        self.internet = Internet(lab, HOSTS, authority="none needed")
        self.internet.start(web=False)
        self.farm = Farm(self.internet)
        self.pod = self.internet.pod("pod")
        self.second = self.pod.addresses[V4][:-1] + "3"
        self.pod.space.ip(f"addr add {self.second}/24 dev eth0")
        self.node = Node(self.pod, programs, name="node")
        self.node.policy(self.text())
        self.node.apply()

    def text(self, log="off", name="resource"):
        return POLICY.format(log=log, name=name, target=TARGET, nameserver=self.pod.nameserver)

    def many(self, few, many):
        return many if self.soak else few


class Scene:
    """A proxy with these arguments, for a `with` block; at the block's end nothing may be left in it."""

    def __init__(self, world, *args, log="off", prefix=()):
        self.world = world
        self.node = world.node
        self.pod = world.pod
        self.space = world.pod.space
        self.farm = world.farm
        self.tap = world.tap
        self.node.args = ["--workers", "1", *args]
        self.node.prefix = list(prefix)
        self.node.policy(world.text(log))
        self.said = 0

    def __enter__(self):
        old = self.node.proxy
        self.node.start()
        self.proxy = self.node.proxy
        self.said = 0 if old is None else len(old.output())
        self.descriptors = self.sockets()
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.finish()
        finally:
            self.farm.forget_mute()
            self.proxy.stop()

    def output(self):
        """What the proxy has said since it started."""
        return self.proxy.output()[self.said:]

    def ask(self, path, method="GET"):
        """The admin interface's answer: status and body."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(self.node.admin)
            sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            data = b""
            while more := sock.recv(1 << 16):
                data += more
        head, _, body = data.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body.decode()

    def stats(self):
        text = self.ask("/stats/prometheus")[1]
        return {m.group(1): float(m.group(2)) for m in re.finditer(r"^([a-z]\S*) (\S+)$", text, re.M)}

    def stat(self, name):
        return int(self.stats()[f"sluice_{name}"])

    def until_stat(self, name, least, seconds=60):
        return until(lambda: self.stat(name) >= least, f"{name} >= {least}", seconds)

    def sockets(self):
        return sum("socket" in text for text in self.node.open_descriptors())

    def status(self, field):
        """A figure of /proc/PID/status, in KiB where it is a size."""
        with open(f"/proc/{self.proxy.pid}/status", encoding="ascii") as file:
            return int(re.search(rf"^{field}:\s*(\d+)", file.read(), re.M).group(1))

    def peak(self):
        """The most memory that it had, in KiB; with sanitizers it says nothing, and is 0."""
        return 0 if self.world.sanitized else self.status("VmHWM")

    def private(self):
        """Memory of its own that it holds now, in KiB; 0 likewise."""
        if self.world.sanitized:
            return 0
        with open(f"/proc/{self.proxy.pid}/smaps_rollup", encoding="ascii") as file:
            return int(re.search(r"^Anonymous:\s*(\d+)", file.read(), re.M).group(1))

    def ticks(self):
        """Processor time so far, in seconds."""
        with open(f"/proc/{self.proxy.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def calls(self, seconds):
        """System calls that the proxy makes in that time while nobody does anything: a spinning one makes many."""
        out = self.world.lab.path("strace")
        done = subprocess.run(["timeout", "--signal=INT", str(seconds), "strace", "-f", "-qq", "-c", "-U", "calls,name",
                               "-o", out, "-p", str(self.proxy.pid)], capture_output=True, text=True, check=False)
        with open(out, encoding="ascii") as file:
            text = file.read()
        expect("ttach" not in done.stderr or "rmitted" not in done.stderr, f"strace: {done.stderr}")
        return sum(int(m.group(1)) for m in re.finditer(r"^\s*(\d+) (?!total)\w+$", text, re.M))

    def open(self, where, source=None, receive=None):
        """One connection, made, that blocks for at most 20 s."""
        sock = connect(self.space, where, source, receive)
        sock.settimeout(20)
        return sock

    def other(self, path="/ok", source=None):
        """Somebody else's request, on a connection of its own: the status."""
        with self.open(WEB, source) as sock:
            try:
                sock.sendall(get(path))
                data = b""
                while b"\r\n\r\n" not in data and (more := sock.recv(1 << 16)):
                    data += more
            except OSError as error:
                return type(error).__name__
        return data[9:12].decode()

    def others(self, count=5, what="somebody else's request", source=None):
        """Others are served, by HTTP, by TLS and by address."""
        for _ in range(count):
            got = self.other(source=source)
            expect(got == "200", f"{what}: {got!r}")
        with self.open(HELLO, source) as sock:
            sock.sendall(made("tls.test"))
            expect(sock.recv(100) == SERVED, f"{what} by TLS")
        with self.open(RAW, source) as sock:
            sock.sendall(b"ping")
            expect(sock.recv(4) == b"ping", f"{what} by address")

    def limit_descriptors(self, soft):
        """Take descriptors away from it while it runs, or give them back: as its own user may."""
        done = self.space.run(["prlimit", f"--pid={self.proxy.pid}", f"--nofile={soft}:"], uid=PROXY_UID)
        expect(done.returncode == 0, f"prlimit: {done.stderr}")

    def quiet(self, seconds=60):
        """Wait until the proxy has no connection any more."""
        until(lambda: self.ask("/connections")[1] == "", "the last connection's end", seconds)

    def finish(self):
        """Everything back to where it began; then an orderly end."""
        expect(self.proxy.alive(), f"the proxy ended with status {self.proxy.process.poll()}")
        self.quiet()
        stats = self.stats()
        left = {name: value for name, value in stats.items() if GAUGES.match(name) and value}
        expect(not left, f"gauges that are not back to zero: {left}")
        idle = int(stats["sluice_upstream_cx_idle"])
        expect(idle == int(stats["sluice_upstream_cx_active"]), f"upstream connections: {stats}")
        until(lambda: self.sockets() <= self.descriptors + idle, "as few sockets as at the start")
        status = self.node.stop()
        expect(status == 0, f"SIGTERM: status {status}")
        for sign in ("not empty", "ERROR: ", "runtime error", "still in use", "leak"):
            expect(sign not in self.output(), f"the proxy says: {sign}")

    def policy_name(self):
        return json.loads(self.ask("/policy")[1])["name"]
