# SPDX-License-Identifier: MIT
"""A network namespace with one backend's driver in it, and the programs that it talks to."""
import json
import socket
import subprocess
import threading

from lab import Late, Space, until
from lab.base import need

ADDRESS = "127.0.0.1"


class Wrong(Exception):
    """A test's finding."""


def check(condition, what):
    if not condition:
        raise Wrong(what)


class Stage:
    def __init__(self, lab, vault, backend, driver):
        need("openssl", "gnutls-serv", "gnutls-cli", "nginx", "haproxy", "stunnel4", "ss")
        self.lab, self.vault, self.backend, self.driver = lab, vault, backend, driver
        self.space = Space(lab, backend)
        self.ports = iter(range(5000, 9000))
        self._count = 0

    def path(self, name):
        """A fresh file."""
        self._count += 1
        return self.lab.path(f"{self.backend}-{self._count}-{name}")

    def spawn(self, name, argv, **options):
        """A program that listens on no port yet known."""
        self._count += 1
        return self.space.spawn(f"{self.backend}-{self._count}-{name}", argv, **options)

    def listening(self, port, child=None):
        def there():
            if child is not None and not child.alive():
                raise Late(f"{child.name}: ended: {child.output()}")
            return self.space.run(["ss", "-Hltn", f"sport = :{port}"]).stdout.strip()
        until(there, f"port {port}", 30)

    def server(self, name, argv, port):
        child = self.spawn(name, argv)
        self.listening(port, child)
        return child

    def socket(self, port=None):
        """Connected to a port there, or listening on a fresh one: then (socket, port)."""
        sock = self.space.socket(socket.AF_INET)
        sock.settimeout(30)
        if port:
            sock.connect((ADDRESS, port))
            return sock
        port = next(self.ports)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ADDRESS, port))
        sock.listen(8)
        return sock, port

    def _argv(self, role, port, options):
        words = []
        for key, value in options.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                words += [key, str(one)]
        return self.space.command([self.driver, role, ADDRESS, str(port), *words])

    def client(self, port, **options):
        """What the driver says of its connections as a client: a list."""
        options = {"ca": self.vault.ca, "name": "a.test", **options}
        options = {key: value for key, value in options.items() if value is not None}
        done = self.lab.run(self._argv("client", port, options), seconds=90)
        return parse(done.stdout, done.stderr)

    def serve(self, pair="ec", **options):
        """The driver as a server, in the background."""
        return Served(self, pair, options)

    def settings(self, role="client", **options):
        """What it says of settings."""
        done = self.lab.run(self._argv(role, 1, options))
        return parse(done.stdout, done.stderr)[0]


def parse(out, err):
    found = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    if not found:
        raise Wrong(f"the driver said nothing: {out}{err}")
    if "Sanitizer" in err or "runtime error" in err:
        raise Wrong(err)
    return found


class Served:
    """`with stage.serve(...) as served`: served.port; afterwards served.result() is a list as client()'s."""

    def __init__(self, stage, pair, options):
        self.stage = stage
        self.port = next(stage.ports)
        pair = stage.vault[pair]
        argv = stage._argv("server", self.port, {"cert": pair.chain, "key": pair.key, **options})
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=stage.lab.env, text=True, start_new_session=True)
        self._handle = stage.lab.at_exit(self.process.kill)
        if self.process.stdout.readline() != "ready\n":
            raise Wrong(f"the driver as a server: {self.process.communicate()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self.stage.lab.now(self._handle)

    def result(self):
        try:
            out, err = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            raise Wrong("the driver as a server did not end") from None
        return parse(out, err)


class Scripted:
    """A server in a thread: script(socket) for the next connection. Its exception is the test's finding."""

    def __init__(self, stage, script):
        self.listener, self.port = stage.socket()
        self._script, self._problem = script, None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            sock, _ = self.listener.accept()
            sock.settimeout(30)
            with sock:
                self._script(sock)
        except OSError as error:
            self._problem = error

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self._thread.join(30)
        self.listener.close()
        if kind is None and self._problem is not None:
            raise Wrong(f"the peer: {self._problem}")


def dribbler(stage, port):
    """A server that hands on to a port, one byte at a time in both directions. Returns its port."""
    def pump(source, sink):
        try:
            while data := source.recv(4096):
                for k in range(len(data)):
                    sink.sendall(data[k:k + 1])
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def run():
        down, _ = listener.accept()
        up = stage.socket(port)
        for sock in (down, up):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threads = [threading.Thread(target=pump, args=ends, daemon=True) for ends in ((down, up), (up, down))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for sock in (down, up, listener):
            sock.close()

    listener, own = stage.socket()
    threading.Thread(target=run, daemon=True).start()
    return own
