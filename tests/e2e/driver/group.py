# SPDX-License-Identifier: MIT
"""A world (an internet with its servers) and a group (the cases of one profile in one mode: one pod, one proxy)."""
import collections
import fnmatch
import re
import time
import traceback

from driver.case import VALUES
from driver.errors import Failed, Skipped
from driver.steps import Run
from lab import Internet, Late, Missing, until
from lab.accesslog import AccessLog, Malformed
from lab.base import CLOSING
from lab.internet import V4, V6, NameServer
from lab.nameserver import Scripted
from lab.node import Node
from lab.origin import Origin, h11
from lab.sniffer import Sniffer
from lab.talk import Wrong

OWN_NAMESERVER = 60
INBOUND = 8088  # a port that pods serve
ORIGINS = {"origin.test": (80, 8080), "other.test": (80,), "evil.test": (80, 8080), "one.pool.test": (80,),
           "two.pool.test": (80,), "private.test": (80,), "tcp.test": (8000,), "half.test": (8000,)}


class World:
    """An internet with the servers that all cases share. Built by the first group that uses it."""

    def __init__(self, lab, hosts, name, authority):
        self.lab = lab
        self.name = name
        self._hosts = hosts
        self._authority = authority
        self.internet = None
        self.origins = {}
        self.services = {}  # databases and the like, started by the case that needs them first

    def start(self):
        if self.internet:
            return
        if h11 is None:
            raise Missing("python3-h11: not installed: run .ci/setup")
        internet = Internet(self.lab, self._hosts, self.name, self._authority)
        internet.start()
        for name, ports in ORIGINS.items():
            self.origins[name] = [Origin(internet, self._hosts[name], port) for port in ports]
        self.internet = internet

    def all_origins(self):
        return [origin for some in self.origins.values() for origin in some]


class Group:
    def __init__(self, world, mode, profile, programs, tap):
        self.world = world
        self.lab = world.lab
        self.mode = mode
        self.profile = profile
        self.programs = programs
        self.tap = tap
        self.method, self.family = VALUES[mode]
        self.name = f"{mode}-{profile.name}"
        self.pod = self.node = self.sniffer = self.log = self.nameserver = None
        self.frames_checked = 0
        self.descriptors = []  # at the start

    def run(self, cases):
        """Play all cases; each gives a result, and one more says that nothing is left."""
        try:
            self.world.start()
            self.start()
        except Missing as missing:
            self.give_up(cases, skip=str(missing))
            return
        except (Late, RuntimeError, OSError) as error:
            self.give_up(cases, problem=f"cannot start: {error}")
            return
        for case in cases:
            if not CLOSING.is_set():
                self.play(case)
        problem = None
        try:
            self.finish()
        except (Failed, Late, Malformed, RuntimeError, OSError) as error:
            problem = f"{error}\n{self.diagnostics()}"
        except Exception:
            problem = traceback.format_exc()
        self.tap.result(f"{self.mode} {self.profile.name}: nothing is left", problem)
        self.tidy()

    def give_up(self, cases, **why):
        """None can be played."""
        for name in [case.name for case in cases] + [f"{self.profile.name}: nothing is left"]:
            self.tap.result(f"{self.mode} {name}", **why)
        self.tidy()

    # The pod's beginning and end.

    def start(self):
        internet = self.world.internet
        self.pod = internet.pod(self.name, self.family)
        if self.profile.dns == "own":
            self.nameserver = NameServer(internet, OWN_NAMESERVER, 0, ttl=1)
            self.pod.use_nameserver(OWN_NAMESERVER, self.family)
        if self.profile.dns == "scripted":
            self.nameserver = Scripted(internet, OWN_NAMESERVER, self.family)
            self.pod.use_nameserver(OWN_NAMESERVER, self.family)
        own = [self.pod.addresses[V4], self.pod.addresses[V6]]
        mixed = [*own, internet.address("origin.test", self.family)]
        for server in internet.nameservers.values():
            server.change({"self.test": own, "self-internal.test": own, "mixed.test": mixed})
        self.sniffer = Sniffer(self.pod)
        self.node = Node(self.pod, self.programs, self.profile.args, self.name, self.profile.prefix)
        self.node.policy(self.fill(self.profile.policy))
        if self.profile.hold:
            self.node.hold()
        else:
            self.node.apply()
        self.node.start()
        self.log = AccessLog(self.node.access_log, self.profile.log)
        self.descriptors = self.node.open_descriptors()

    def tidy(self):
        if self.node and self.node.proxy:
            self.node.proxy.stop()
        if self.node and self.node.holder:
            self.node.holder.stop()
        if self.sniffer:
            self.sniffer.close()
        if self.nameserver:
            self.nameserver.child.stop()
        if self.pod:
            self.pod.space.close()

    def finish(self):
        """Everything back to where it began; then an orderly end."""
        node = self.node
        if not node.proxy.alive():
            raise Failed(f"the proxy ended with status {node.proxy.wait()}")
        self.quiet()
        stats = node.stats()
        left = {name: value for name, value in stats.items() if self.gauge(name) and value}
        if left:
            raise Failed(f"gauges that are not back to zero: {left}")
        idle = int(sum(value for name, value in stats.items() if name.startswith("sluice_upstream_cx_idle")))
        idle += 2 if self.profile.hold else 0  # each worker's to the holder, once it has told it something
        until(lambda: self.more_sockets() <= idle, f"as few sockets as at the start and {idle} idle upstream ones", 3)
        self.check_wire()
        if self.sniffer.lost():
            raise Failed("the sniffer lost frames, so what was seen is not all")
        status = node.stop()
        if status != 0:
            raise Failed(f"SIGTERM: status {status}")
        self.log.poll()
        text = node.proxy.output()
        for sign in ("not empty", "ERROR: ", "runtime error", "still in use", "leak"):
            if sign in text:
                raise Failed(f"the proxy says: {sign}")
        violations = [v for origin in self.world.all_origins() for v in origin.violations]
        if violations:
            raise Failed("an origin was sent what a strict reader refuses:\n" + "\n".join(violations))

    @staticmethod
    def gauge(name):
        """Gauges that count what is in use by connections."""
        return re.match(r"sluice_(downstream_[cr][xq]_active|buffers_used|pipes_used|names_used)", name) is not None

    def quiet(self):
        """Wait until the proxy has no connection any more."""
        until(lambda: self.node.ctl("/connections") == "", "the last connection's end")

    def more_sockets(self):
        """Sockets more than at the start. Pipes are not counted: some are kept for the next bulk transfer."""
        before, now = (sum("socket" in text for text in texts)
                       for texts in (self.descriptors, self.node.open_descriptors()))
        return now - before

    def new_descriptors(self):
        """How many of each kind there are more than at the start."""
        if not (self.node and self.node.proxy and self.node.proxy.alive()):
            return "-"
        kinds = collections.Counter(re.sub(r"\d+", "", text) for text in self.node.open_descriptors())
        kinds.subtract(re.sub(r"\d+", "", text) for text in self.descriptors)
        return {kind: count for kind, count in kinds.items() if count}

    def diagnostics(self):
        node = self.node
        try:
            self.log.poll()
        except (AttributeError, Malformed):  # none yet, or it is what went wrong
            pass
        connections = node.ctl("/connections") if node and node.proxy and node.proxy.alive() else None
        return "\n".join([
            "proxy: " + "\n  ".join(node.proxy.output().splitlines()[-20:] if node and node.proxy else []),
            f"connections: {connections!r}",
            f"descriptors: {self.new_descriptors()}",
            "log: " + "\n  ".join(self.log.lines[-5:] if self.log else []),
        ])

    # What cases are told.

    def fill(self, text, row=None):
        """Replace @{...}; see cases/README."""
        text = text.replace("@{row}", row or "")
        def value(match):
            word = match.group(1)
            form, colon, rest = word.partition(":")
            if colon and form == "re":
                return re.escape(value(re.match(r"(.*)", rest)))
            if word.startswith("["):
                return self.address(word[1:-1], True)
            fixed = {"v": str(self.family), "method": self.method, "mode": self.mode, "dir": self.node.dir,
                     "log": self.node.access_log, "nameserver": self.pod.nameserver,
                     "pod": self.pod.addresses[self.family], "ca": self.world.internet.authority.ca}
            if word in fixed:
                return fixed[word]
            if colon:
                return f"{self.address(form, True)}:{rest}"
            return self.address(word, False)
        return re.sub(r"@\{([^}]*)\}", value, text)

    def address(self, name, brackets):
        if name == "pod":
            text = self.pod.addresses[self.family]
        elif name == "loopback":
            text = "127.0.0.1" if self.family == V4 else "::1"
        else:
            where = self.world.internet.hosts[name]
            if isinstance(where, list):
                where = [text for text in where if (":" in text) == (self.family == V6)]
                text = where[0]
            else:
                text = self.world.internet.address(name, self.family)
        return f"[{text}]" if brackets and ":" in text else text

    # The invariants.

    def allowed(self, frame):
        """Whether the profile's policy can have let a frame out."""
        if frame.kind == "icmp" and frame.first == 3 or frame.kind == "icmpv6" and frame.first == 1:
            return frame.dst == self.pod.nameserver  # its answer came after the question was given up
        if frame.kind in self.profile.kinds or frame.kind == "tcp" and frame.sport == INBOUND:
            return True
        if frame.kind not in ("tcp", "udp"):
            return False
        if frame.dst == self.pod.nameserver and frame.dport == 53:
            return True
        return any(frame.dport == port or port == "*" for port in self.reachable().get((frame.kind, frame.dst), ()))

    def reachable(self):
        """Protocol and address to ports, from the profile's `reach`."""
        if not hasattr(self, "_reach"):
            self._reach = {}
            internet = self.world.internet
            for entry in self.profile.reach:
                glob, _, port = entry.removeprefix("udp/").rpartition(":")
                kind = "udp" if entry.startswith("udp/") else "tcp"
                for name, where in internet.hosts.items():
                    if fnmatch.fnmatch(name, glob):
                        texts = where if isinstance(where, list) else [internet.address(where, f) for f in (V4, V6)]
                        for text in texts:
                            self._reach.setdefault((kind, text), set()).add("*" if port == "*" else int(port))
        return self._reach

    def check_wire(self):
        """No packet has left that the policy does not allow, since the last look."""
        frames = self.sniffer.seen(self.frames_checked)
        self.frames_checked += len(frames)
        leaks = [frame for frame in frames if not self.allowed(frame)]
        if leaks:
            raise Failed("left the pod: " + "; ".join(map(str, leaks[:5])))

    def play(self, case):
        """One case, one result."""
        problem = skip = None
        start = time.monotonic()
        try:
            run = Run(self, case)
            try:
                run.play()
            finally:
                run.close()
        except (Skipped, Missing) as reason:
            skip = str(reason)
        except (Failed, Late, Wrong, Malformed, RuntimeError, OSError) as error:
            problem = f"{type(error).__name__}: {error}\n{self.diagnostics()}"
        except Exception:
            problem = f"{traceback.format_exc()}\n{self.diagnostics()}"
        took = time.monotonic() - start
        self.tap.result(f"{self.mode} {case.name}", problem, skip)
        if took > 5:
            self.tap.note(f"{self.mode} {case.name} took {took:.1f} s")
