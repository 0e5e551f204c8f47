# SPDX-License-Identifier: MIT
"""sluice in a pod: its three programs, run as a device runs them."""
import os
import re
import select
import signal
import time

from lab.base import Late, Missing, until

PROXY_UID = 1337
PORT = 15001
PROGRAMS = ("sluice-rules", "sluice-init", "sluice-tproxy")


def need_programs(directory):
    """Raise Missing unless the programs are there; returns the absolute directory."""
    for program in PROGRAMS:
        if not os.access(os.path.join(directory, program), os.X_OK):
            raise Missing(f"{directory}/{program}: not built: run make")
    return os.path.abspath(directory)


class Node:
    """A pod's policy, rules and proxy. The policy text is changed with policy().

    role: what the policy is compiled for: "mesh", or the gateway that the pod is.
    """

    def __init__(self, pod, programs, args=(), name=None, prefix=(), role="mesh"):
        self.pod = pod
        self.lab = pod.internet.lab
        self.name = name or pod.space.name.rpartition("-")[2]
        self.programs = programs
        self.args = list(args)
        self.role = role
        self.prefix = list(prefix)  # of the proxy's command line: prlimit, taskset
        self.dir = self.lab.path(self.name)
        self.state = os.path.join(self.dir, "state")
        self.logs = os.path.join(self.dir, "log")
        self.source = os.path.join(self.dir, "policy.ini")
        self.compiled = os.path.join(self.dir, "policy.slp")
        self.access_log = os.path.join(self.logs, "access.log")
        self.proxy = self.holder = None
        self.admin_name, self.holds = "admin.sock", 0
        for directory in (self.dir, self.logs):
            os.makedirs(directory, exist_ok=True)
        os.chown(self.logs, PROXY_UID, PROXY_UID)

    def program(self, name):
        return os.path.join(self.programs, f"sluice-{name}")

    def compile(self, text):
        """Write the policy's source and compile it; returns the result of sluice-rules."""
        with open(self.source, "w", encoding="utf-8") as file:
            file.write(text)
        return self.lab.run([self.program("rules"), "compile", "--node", self.role, self.source, "-o", self.compiled])

    def policy(self, text):
        """The same, for policies that have to compile."""
        done = self.compile(text)
        if done.returncode != 0:
            raise RuntimeError(f"sluice-rules: status {done.returncode}: {done.stderr}")
        return done

    def init(self, command, *more):
        return self.pod.space.run([self.program("init"), *command.split(), "--policy", self.compiled,
                                   "--state", self.state, *more])

    def apply(self):
        """Install the rules."""
        done = self.init("apply")
        if done.returncode != 0:
            raise RuntimeError(f"sluice-init: status {done.returncode}: {done.stderr}{done.stdout}")

    def hold(self):
        """Install the rules, and keep the process that holds them."""
        self.spawn_holder()
        until(lambda: "holding the rules" in self.holder.output() or not self.holder.alive(), "sluice-init hold")
        if not self.holder.alive():
            raise RuntimeError(f"sluice-init hold: {self.holder.output()}")

    def spawn_holder(self):
        """The same without waiting for it."""
        self.holds += 1  # a log of its own, in which its readiness is not another's
        self.holder = self.pod.space.spawn(f"{self.name}/hold-{self.holds}", [
            self.program("init"), "hold", "--policy", self.compiled, "--state", self.state])

    def remove(self):
        """Remove them; returns sluice-init's result."""
        return self.pod.space.run([self.program("init"), "remove", "--state", self.state])

    def command(self):
        """The proxy's command line, without --ready-fd."""
        return [*self.prefix, self.program("tproxy"), "--policy", self.compiled, "--state", self.state,
                "--admin", self.admin, *self.args]

    @property
    def admin(self):
        return os.path.join(self.state, self.admin_name)

    def start(self, seconds=10.0, env=None):
        """Start the proxy and wait until it says that it is ready; returns the milliseconds that took."""
        ready, says = os.pipe()
        begin = time.monotonic()
        environment = {**self.lab.env, "ASAN_OPTIONS": "detect_leaks=1", **(env or {})}
        self.proxy = self.pod.space.spawn(f"{self.name}/tproxy", [*self.command(), "--ready-fd", str(says)],
                                          pass_fds=[says], env=environment)
        os.close(says)
        try:
            if not select.select([ready], [], [], seconds)[0] or os.read(ready, 1) != b"\n":
                raise Late(f"sluice-tproxy: not ready: {self.proxy.output()}")
        finally:
            os.close(ready)
        return (time.monotonic() - begin) * 1000

    def ctl(self, path):
        """What the admin socket says of a path; None when it does not answer."""
        done = self.pod.space.run([self.program("tproxy"), "--ctl", self.admin, path])
        return done.stdout if done.returncode == 0 else None

    def stats(self):
        """The metrics: name, with its labels as they stand there, to value."""
        text = self.ctl("/stats/prometheus") or ""
        return {m.group(1): float(m.group(2)) for m in re.finditer(r"^([a-z]\S*) (\S+)$", text, re.M)}

    def open_descriptors(self):
        """What the proxy's descriptors are, sorted."""
        found = []
        for entry in os.scandir(f"/proc/{self.proxy.pid}/fd"):
            try:
                found.append(os.readlink(entry.path))
            except FileNotFoundError:  # closed meanwhile
                pass
        return sorted(found)

    def reload(self, text):
        """A new policy, compiled, and SIGHUP; waits until the proxy uses it: its name has to differ from the last."""
        self.policy(text)
        before = self.ctl("/policy")
        self.proxy.signal(signal.SIGHUP)
        until(lambda: self.ctl("/policy") != before, "reload")

    def stop(self, seconds=10.0):
        """SIGTERM, and its exit status."""
        self.proxy.signal(signal.SIGTERM)
        try:
            return self.proxy.wait(seconds)
        finally:
            self.proxy.stop()
