# SPDX-License-Identifier: MIT
"""What the cases share: an internet with origins, the head of a policy, and what must hold when a case is over."""
import contextlib
import re

from lab import Internet, until
from lab.internet import V4
from lab.origin import Origin, h11
from lab.base import Missing
from lab.plant import Plant
from lab.talk import Server

HOSTS = {
    "www.wikipedia.org": 10,      # nginx
    "en.wikipedia.org": 10,
    "origin.test": 20,            # the scripted HTTP origins
    "other.test": 21,
    "third.test": 22,
    "a.wild.test": 20,
    "b.wild.test": 21,
    "x.narrow.wild.test": 22,
    "tls.test": 40,               # scripted servers
    "other-tls.test": 41,
    "mongo.test": 54,
    "refuses.test": 90,           # nobody listens
    "evil.test": 66,              # serves, and is never allowed
    "loopback.test": ["127.0.0.1", "::1"],
    "metadata.test": ["169.254.169.254", "fd00:ec2::254"],
    "linklocal.test": ["169.254.1.1", "fe80::1"],
    "zero.test": ["0.0.0.0", "::"],
}
ORIGINS = ("origin.test", "other.test", "third.test", "evil.test")

HEAD = """
[policy]
name        = plant
access-log  = @{log}
nameservers = @{nameserver}
[capture]
method = @{method}
"""

SERVICES = """
[service origin]
hosts      = origin.test, other.test, third.test
ports      = http:80, tls:443
resolution = dns
"""


ALL = "origin.test, other.test, third.test"
GET = "send GET {path} HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n"


class Failed(Exception):
    """Something is not as it should be."""


def expect(fine, text):
    if not fine:
        raise Failed(text)


def gateway(name, address, hosts="*", servers="http:80, tls:443", more=""):
    return f"[gateway {name}]\naddress = {address}\nservers = {servers}\nhosts = {hosts}\n{more}\n"


def route(name, hosts, to, sender="mesh", port=None):
    """A [route]; port None: any."""
    number = f"port = {port}\n" if port else ""
    return f"[route {name}]\nhosts = {hosts}\n{number}from = {sender}\nto = {to}\n"


def outs(*gateways):
    """At those gateways, every host goes to itself."""
    names = ", ".join(gateways)
    return "".join(route(f"out-{name.split('.')[0]}-{port}", name, f"{name}:{port}", names, port)
                   for name in ALL.split(", ") for port in (80, 443))


def open_outs(plant, *gateways):
    """And may go there."""
    for name in gateways:
        plant.allow(name, *(f"{host}:{port}" for host in ALL.split(", ") for port in (80, 443)))


def renamed(text, name):
    """The same policy under another name, which is how a reload is seen to be done."""
    return text.replace("name        = plant\n", f"name        = {name}\n")


class World:
    """The internet of all cases of a run."""

    def __init__(self, lab, family, programs, name):
        if h11 is None:
            raise Missing("python3-h11: not installed: run .ci/setup")
        self.lab = lab
        self.family = family
        self.programs = programs
        self.internet = Internet(lab, HOSTS, name)
        self.internet.join_pods()
        self.internet.start(ttl=1)
        self.origins = {name: Origin(self.internet, HOSTS[name], 80) for name in ORIGINS}
        self.nameserver = self.internet.nameservers[family]
        self.servers = []
        self.name = "v4" if family == V4 else "v6"

    def begin(self):
        """Before each case: forget what the origins had, and what a case that failed has left."""
        for server in self.servers:
            server.finish(0.1)
        self.servers.clear()
        for origin in self.origins.values():
            origin.requests.clear()
            origin.violations.clear()

    @contextlib.contextmanager
    def plant(self, check=True, **options):
        """A plant that is looked at when the case has been played: see over()."""
        with Plant(self.internet, self.programs, self.family, **options) as plant:
            try:
                yield plant
                if check:
                    self.over(plant)
            except Exception as error:
                raise Failed(f"{type(error).__name__}: {error}\n{diagnostics(plant)}") from error

    def over(self, plant):
        """No packet went where it may not go, nothing is left in the proxies, and they end in order."""
        for machine in [*plant.nodes, *plant.gateways]:  # in this order: idle connections are to those that come later
            if machine.proxy:
                self.end(machine)
        for machine in plant.machines.values():
            strays = machine.strays()
            expect(not strays, f"{machine.short} sent: " + "; ".join(map(str, strays[:5])))
            expect(not machine.sniffer.lost(), f"{machine.short}: the sniffer lost frames, so what was seen is not all")
            machine.log.poll()
        wrongs = [wrong for server in self.servers for wrong in server.finish()]
        self.servers.clear()
        expect(not wrongs, "; ".join(wrongs))
        violations = [violation for origin in self.origins.values() for violation in origin.violations]
        expect(not violations, "an origin was sent what a strict reader refuses:\n" + "\n".join(violations))

    @staticmethod
    def end(machine):
        expect(machine.proxy.alive(), f"{machine.short}: the proxy has ended")
        until(lambda: machine.ctl("/connections") == "", f"{machine.short}: no connection is left")
        left = {name: value for name, value in machine.stats().items() if value and re.match(
            r"sluice_(downstream_[cr][xq]_active|buffers_used|pipes_used|names_used)", name)}
        expect(not left, f"{machine.short}: gauges that are not back to zero: {left}")
        status = machine.stop()
        expect(status == 0, f"{machine.short}: SIGTERM: status {status}")
        text = machine.proxy.output()
        for sign in ("not empty", "ERROR: ", "runtime error", "still in use", "leak"):
            expect(sign not in text, f"{machine.short}: the proxy says: {sign}")

    # The internet's side.

    def serve(self, where, *script):
        """A scripted server, until the case is over."""
        host, _, port = where.rpartition(":")
        listener = self.internet.listen(HOSTS[host], int(port), self.family)
        server = Server(self.lab, listener, script, self.internet.authority)
        self.servers.append(server)
        return server

    def requests(self, *names):
        """What the origins were asked: (peer, connection, method, target, host)."""
        return [request for name in names or ORIGINS for request in self.origins[name].requests]

    def name_means(self, name, *addresses):
        """A name of the internet's from now on; without addresses, none."""
        self.nameserver.change({name: list(addresses)})

    def swallow(self, address, on=True):
        """Packets to an address vanish, without a word."""
        size = 32 if self.family == V4 else 128
        self.internet.space.ip(f"route {'add' if on else 'del'} blackhole {address}/{size}")


def diagnostics(plant):
    """What each machine says, for a case that failed."""
    lines = []
    for machine in plant.machines.values():
        with contextlib.suppress(Exception):
            machine.log.poll()
        said = machine.proxy.output().splitlines()[-12:] if machine.proxy else ["not started"]
        lines += [f"{machine.short} ({machine.address}):", *(f"  {line}" for line in said),
                  *(f"  log: {line}" for line in machine.log.lines[-6:]), f"  dialled: {machine.dialled()[-8:]}"]
    return "\n".join(lines)
