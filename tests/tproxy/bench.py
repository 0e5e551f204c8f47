# SPDX-License-Identifier: MIT
"""What the tests of one proxy need: policies, the process, its sockets."""
import itertools
import os
import re
import select
import shutil
import signal
import socket
import subprocess

from lab.base import Late, until

UID = 1337
PORTS = itertools.count(15910)
SERVICE = """
[service wikipedia]
hosts = www.wikipedia.org, en.wikipedia.org
ports = http:80, https:443->8443
resolution = dns
"""


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Proxy:
    """A running sluice-tproxy."""

    def __init__(self, bench, argv, pass_fds=(), env=None, stdout=None):
        self.bench = bench
        self.argv = argv
        self.log = os.path.join(bench.dir, f"stderr.{len(bench.proxies)}")
        with open(self.log, "wb") as err:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout or err, stderr=err, pass_fds=pass_fds,
                                            env={**bench.lab.env, **(env or {})}, cwd=bench.dir, start_new_session=True)
        self.pid = self.process.pid
        bench.proxies.append(self)

    def stderr(self):
        with open(self.log, encoding="utf-8") as log:
            return log.read()

    def wait(self, seconds=20):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Late(f"still running after {seconds} s: {self.argv}") from None

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM, and the exit status."""
        if self.alive():
            self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        if self.alive():
            self.process.kill()
        return self.process.wait()

    def status(self, thread=None):
        """/proc/PID/status as a dictionary."""
        path = f"/proc/{self.pid}/status" if thread is None else f"/proc/{self.pid}/task/{thread}/status"
        with open(path, encoding="ascii") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)

    def threads(self):
        return os.listdir(f"/proc/{self.pid}/task")

    def says(self, pattern):
        """Wait for something on stderr."""
        return until(lambda: re.search(pattern, self.stderr()), f"{pattern!r} on stderr", 20)


class Bench:
    """A directory of its own, and the proxies started in it."""

    def __init__(self, lab, programs):
        self.lab = lab
        self.programs = programs
        self.dir = lab.path("bench")
        self.proxies = []
        self.port = next(PORTS)
        self.socket_path = os.path.join(self.dir, "admin.sock")
        self.failed = False

    def __enter__(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        os.mkdir(self.dir)
        os.chmod(self.dir, 0o755)
        return self

    def __exit__(self, *_):
        for proxy in self.proxies:
            proxy.kill()

    def output(self):
        return "\n".join(f"{' '.join(proxy.argv)}\n{proxy.stderr()}" for proxy in self.proxies)

    def check_clean(self):
        """Nothing that a proxy said may hint at a leak or a sanitizer's finding."""
        for proxy in self.proxies:
            found = re.search(r".*(leak|Sanitizer|runtime error).*", proxy.stderr())
            assert not found, found.group(0)

    def program(self, name):
        return os.path.join(self.programs, f"sluice-{name}")

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def policy(self, name="policy.slp", method="redirect", sequence=42, log="off", services=SERVICE, title="plant-7", extra="",
               dns="reject", capture=""):
        """Compile a policy; returns its path. An old file is replaced in one step, as an update does."""
        source = self.path("policy.ini")
        with open(source, "w", encoding="utf-8") as file:
            file.write(f"[policy]\nname = {title}\nsequence = {sequence}\naccess-log = {log}\n{extra}\n"
                       f"[capture]\nmethod = {method}\ndns = {dns}\n{capture}\n{services}")
        path = self.path(name)
        done = self.lab.run([self.program("rules"), "compile", "-o", f"{path}.new", source])
        assert done.returncode == 0, done.stderr
        os.chmod(f"{path}.new", 0o644)
        os.rename(f"{path}.new", path)
        return path

    def command(self, *args, policy="policy.slp"):
        """A command line that needs nothing of the machine; args may override its parts."""
        return [self.program("tproxy"), "--policy", self.path(policy), "--port", str(self.port), "--workers", "1",
                "--mark", "none", "--admin", self.socket_path, "--set", "max-conns=64", *args]

    def run(self, *args, prefix=(), env=None, command=None):
        """Run it to its end: the status, and what it said."""
        argv = [*prefix, *(command or self.command(*args))]
        done = self.lab.run(argv, env={**self.lab.env, **(env or {})})
        return done.returncode, done.stdout + done.stderr

    def refused(self, status, pattern, *args, **options):
        """It must not start, for the right reason. What it had allocated until then ends with it."""
        got, said = self.run(*args, env={"ASAN_OPTIONS": "detect_leaks=0"}, **options)
        assert got == status, f"status {got}, not {status}: {said}"
        assert re.search(pattern, said), f"no {pattern!r} in: {said}"

    def start(self, *args, prefix=(), env=None, stdout=None, policy="policy.slp"):
        """Start it and wait until it is ready."""
        ready, says = os.pipe()
        try:
            proxy = Proxy(self, [*prefix, *self.command("--ready-fd", str(says), *args, policy=policy)], pass_fds=[says], env=env,
                          stdout=stdout)
            os.close(says)
            says = -1
            if not select.select([ready], [], [], 20)[0] or os.read(ready, 100) != b"\n" or os.read(ready, 1) != b"":
                raise Late(f"not ready, or not as it should say so: {proxy.stderr()}")
            return proxy
        finally:
            os.close(ready)
            if says >= 0:
                os.close(says)

    def ctl(self, *page, status=0):
        got, said = self.run(command=[self.program("tproxy"), "--ctl", self.socket_path, *page])
        assert got == status, f"--ctl {page}: status {got}: {said}"
        return said

    def stats(self):
        return dict(line.split(": ") for line in self.ctl("stats").splitlines())

    def knock(self, family=socket.AF_INET, address="127.0.0.1"):
        """A connection straight to the proxy's port: a loop, so it is reset, at the earliest while it is being made."""
        with socket.socket(family) as client:
            client.settimeout(20)
            try:
                client.connect((address, self.port))
                assert client.recv(1) == b""
            except ConnectionResetError:
                pass

    def connect_admin(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(20)
        client.connect(self.socket_path)
        return client
