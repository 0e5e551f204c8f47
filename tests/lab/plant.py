# SPDX-License-Identifier: MIT
"""A plant: nodes and egress gateways, each a pod with sluice, joined with each other and with the internet.

A node could reach the internet by itself, so that going past a gateway would be seen: each machine has a sniffer on its
wire. All run from one policy text, which is compiled for what each of them is.
"""
import itertools
import os
import re
import socket

from lab.accesslog import AccessLog, matches
from lab.base import Late, until
from lab.internet import FAMILY, V4, literal
from lab.node import Node
from lab.sniffer import Sniffer
from lab.talk import Talk

APP = 1000  # the user that applications run as
SYN = 2


class Machine(Node):
    """A node (role "mesh") or a gateway. guarded: it has the rules of sluice-init; a node always has them."""

    def __init__(self, plant, name, role="mesh", guarded=True, args=()):
        self.plant = plant
        self.short = name
        self.guarded = guarded
        pod = plant.internet.pod(f"p{plant.number}{name}", plant.family)
        args = ["--workers", "1", *([] if guarded else ["--mark", "none"]), *args]
        super().__init__(pod, plant.programs, args, role=role)
        self.sniffer = Sniffer(pod)
        self.log = AccessLog(self.access_log)
        self.address = pod.addresses[plant.family]
        self.reach = set()  # (address, port) that it may send TCP to; port 0: any

    def bring_up(self, text):
        self.policy(text)
        if self.guarded:
            self.apply()
        os.makedirs(self.state, exist_ok=True)
        self.start()

    # What an application of it does.

    def app(self, *words, seconds=30.0, **options):
        """Run a command; returns subprocess's result."""
        return self.pod.space.run([self.plant.fill(word, self) for word in words], uid=APP, seconds=seconds, **options)

    def curl(self, url, *more):
        """(status code as text, body, what curl said of its failure); code "000": no response."""
        done = self.app("curl", "-sS", "-m", "20", f"-{self.plant.family}", "-w", "\n%{http_code}", url, *more)
        body, _, code = done.stdout.rpartition("\n")
        return code, body, done.stderr

    def connect(self, where, seconds=20.0):
        """A TCP connection to "name:port"."""
        host, _, port = where.rpartition(":")
        sock = self.pod.space.socket(FAMILY[self.plant.family])
        sock.settimeout(seconds)
        try:
            sock.connect((self.plant.address(host), int(port)))
        except OSError:
            sock.close()
            raise
        return sock

    def open(self, where, seconds=20.0):
        """The same as a Talk."""
        return Talk(self.connect(where), self.plant.internet.authority, seconds)

    def talk(self, where, *script, seconds=20.0):
        """Connect and play a script; returns the Talk, which has what was received."""
        try:
            talk = self.open(where, seconds)
        except ConnectionResetError:  # so soon that the client did not even see it open
            if Talk.may_be_over(script):
                return None
            raise
        talk.play(script)
        return talk

    # What is seen of it.

    def records(self, **wanted):
        """Access-log records so far that match."""
        return [record for record in self.log.poll() if matches(record, wanted)]

    def wait_log(self, count=1, **wanted):
        """The first `count` records that match, once there are that many."""
        wanted = {key: self.plant.fill(str(value), self) for key, value in wanted.items()}
        try:
            return until(lambda: (found := self.records(**wanted))[count - 1:] and found[:count], "")
        except Late:
            raise Late(f"{self.short}: {count} log lines with {wanted}; it has:\n  "
                       + "\n  ".join(self.log.lines[-8:])) from None

    def dialled(self, start=0):
        """(address, port) of every TCP connection that it began, in order; `start` counts frames."""
        found, known = [], set()
        for frame in self.sniffer.seen(start):
            flow = (frame.sport, frame.dst, frame.dport)
            if frame.kind == "tcp" and frame.first & 0x12 == SYN and flow not in known:
                known.add(flow)
                found.append((frame.dst, frame.dport))
        return found

    def strays(self):
        """Frames that came out of it although nothing allows them."""
        return [frame for frame in self.sniffer.seen() if not self._fine(frame)]

    def _fine(self, frame):
        if frame.kind in ("icmp", "icmpv6") and frame.first == (3 if frame.kind == "icmp" else 1):
            return frame.dst == self.pod.nameserver  # its answer came after the question was given up
        if frame.dst == self.pod.nameserver and frame.dport == 53:
            return True
        if frame.kind != "tcp":
            return False
        if self.role != "mesh" and frame.first & 0x12 != SYN and frame.dst in self.plant.addresses():
            return True  # it answers; what it begins is looked at below
        return (frame.dst, frame.dport) in self.reach or (frame.dst, 0) in self.reach

    def sockets(self):
        return sum("socket" in text for text in self.open_descriptors())


class Plant:
    """`with` ends it, and checks nothing: that is for who made it.

    gateways: name to role, which is the name of a [gateway]; several machines may be the same one. plain: machines
    without sluice.
    """

    _numbers = itertools.count(1)

    def __init__(self, internet, programs, family=V4, nodes=("node",), gateways=None, method="tproxy", bare=False,
                 args=None, plain=()):
        self.internet = internet
        self.programs = programs
        self.family = family
        self.method = method
        self.number = next(self._numbers)
        args = args or {}
        self.nodes = [Machine(self, name, args=args.get(name, ())) for name in nodes]
        self.gateways = [Machine(self, name, role, not bare, args.get(name, ()))
                         for name, role in (gateways or {}).items()]
        plain = [Machine(self, name) for name in plain]
        self.machines = {machine.short: machine for machine in [*self.nodes, *self.gateways, *plain]}
        for node in [*self.nodes, *plain]:
            node.reach = {(gateway.address, 0) for gateway in self.gateways}

    def __getitem__(self, name):
        return self.machines[name]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for machine in self.machines.values():
            machine.sniffer.stop()
        for machine in self.machines.values():
            if machine.proxy:
                machine.proxy.stop()
            machine.sniffer.close()
            machine.pod.space.close()

    def addresses(self):
        return {machine.address for machine in self.machines.values()}

    def address(self, name):
        """Of a machine, of a host of the internet, or the address itself."""
        if name in self.machines:
            return self.machines[name].address
        if re.fullmatch(r"[0-9a-f:.]*[:.][0-9a-f:.]+", name):
            return name
        where = self.internet.hosts[name]
        if isinstance(where, list):
            return next(text for text in where if (":" in text) == (FAMILY[self.family] == socket.AF_INET6))
        return self.internet.address(name, self.family)

    def allow(self, name, *wheres):
        """A machine may send to these "name:port"; port 0: any."""
        for where in wheres:
            host, _, port = where.rpartition(":")
            self.machines[name].reach.add((self.address(host), int(port)))

    def fill(self, text, machine):
        """Replace @{log}, @{nameserver}, @{method}, @{NAME} by an address, @{[NAME]} by one for a URL."""
        fixed = {"log": machine.access_log, "nameserver": machine.pod.nameserver, "method": self.method}

        def value(match):
            word = match.group(1)
            if word in fixed:
                return fixed[word]
            return literal(self.address(word[1:-1])) if word.startswith("[") else self.address(word)
        return re.sub(r"@\{([^}]*)\}", value, text)

    def start(self, text, only=None):
        """Compile the text for all machines, or only some, and bring them up; gateways first."""
        self.text = text
        for machine in [*self.gateways, *self.nodes]:
            if only is None or machine.short in only:
                machine.bring_up(self.fill(text, machine))

    def reload(self, text, *names):
        """The same for machines that run; the policy's name has to differ from the last."""
        self.text = text
        for name in names or [machine.short for machine in [*self.gateways, *self.nodes]]:
            self.machines[name].reload(self.fill(text, self.machines[name]))
