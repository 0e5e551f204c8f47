# SPDX-License-Identifier: MIT
"""An HTTP/1.1 origin server that does what the path says and is strict about what it is sent.

Every request is read by h11, an independent parser; what h11 refuses is a violation, since a proxy may send only what
all readers understand alike. Each response says in `x-connection` and `x-request` which connection of the origin's it
came over and how many requests that connection has had.
"""
import base64
import hashlib
import re
import select
import socket
import threading

from lab.talk import abort, pattern

try:
    import h11
except ImportError:  # the demo does without
    h11 = None

WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# Responses that are not as they should be; {id} is replaced by the x- fields.
BAD = {
    "two-lengths": b"HTTP/1.1 200 OK\r\n{id}content-length: 2\r\ncontent-length: 3\r\n\r\nabc",
    "length-list": b"HTTP/1.1 200 OK\r\n{id}content-length: 2, 3\r\n\r\nabc",
    "length-and-coding": b"HTTP/1.1 200 OK\r\n{id}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n"
                         b"3\r\nabc\r\n0\r\n\r\n",
    "negative-length": b"HTTP/1.1 200 OK\r\n{id}content-length: -1\r\n\r\n",
    "other-coding": b"HTTP/1.1 200 OK\r\n{id}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
    "garbage": b"\x16\x03\x01\x00\x00 not http at all\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\n{id}upgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "obs-fold": b"HTTP/1.1 200 OK\r\n{id}x-a: b\r\n c\r\ncontent-length: 0\r\n\r\n",
    "nine-hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9 + b"HTTP/1.1 200 OK\r\n{id}content-length: 2\r\n\r\nab",
    "bad-chunk": b"HTTP/1.1 200 OK\r\n{id}transfer-encoding: chunked\r\n\r\n5\r\nabc\r\n0\r\n\r\n",
    "version": b"HTTP/3.0 200 OK\r\n{id}content-length: 0\r\n\r\n",
    "huge-head": b"HTTP/1.1 200 OK\r\n{id}x-big: " + b"a" * 70000 + b"\r\ncontent-length: 0\r\n\r\n",
}


class Hang(Exception):
    """The connection is over."""


class Connection:
    """One client's requests, one after the other."""

    def __init__(self, origin, sock, peer, number):
        self.origin = origin
        self.sock = sock
        self.peer = peer
        self.number = number
        self.count = 0
        self.raw = b""

    def serve(self):
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self.request():
                pass
        except (Hang, OSError):
            pass
        finally:
            self.sock.close()

    def receive(self, parser):
        data = self.sock.recv(1 << 16)
        if len(self.raw) < 1 << 16:
            self.raw += data
        parser.receive_data(data)
        return data

    def event(self, parser):
        """The next event that has a meaning, or None at the end between requests."""
        while True:
            event = parser.next_event()
            if event is not h11.NEED_DATA:
                return event
            if not self.receive(parser) and not self.raw:
                return None

    def request(self):
        """Read and answer one. False when the connection is not to be used again."""
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 18)
        if self.raw:
            parser.receive_data(self.raw)
        try:
            request = self.event(parser)
            if not isinstance(request, h11.Request):
                return False
            head, _, _ = self.raw.partition(b"\r\n\r\n")
            self.count += 1
            fields = dict(request.headers)
            self.origin.note(self.peer, self.number, request.method.decode(), request.target.decode(), fields)
            target = request.target.decode()
            if target.startswith("/reset-now"):
                abort(self.sock)
                return False
            if b"expect" in fields and not target.startswith("/refuse"):
                self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if target.startswith("/refuse"):
                self.reply(417, b"no\n", "connection: close\r\n")
                return False
            size, digest = 0, hashlib.sha256()
            while not isinstance(event := self.event(parser), h11.EndOfMessage):
                if event is None:
                    return False
                size += len(event.data)
                digest.update(event.data)
            if event.headers:
                self.origin.violations.append(f"trailer fields: {event.headers!r}")
            self.raw = bytes(parser.trailing_data[0])
        except h11.RemoteProtocolError as error:
            self.origin.violations.append(f"{error}: {self.raw[:300]!r}")
            return False
        body = f"body {size} {digest.hexdigest()}\n".encode()
        return self.answer(request, fields, target, head, body)

    def identity(self):
        return f"x-connection: {self.number}\r\nx-request: {self.count}\r\n"

    def reply(self, status, body, fields="", head=False):
        text = f"HTTP/1.1 {status} Whatever\r\n{self.identity()}content-length: {len(body)}\r\n{fields}\r\n"
        self.sock.sendall(text.encode() + (b"" if head else body))

    def answer(self, request, fields, target, head, body):
        path = target.partition("?")[0].strip("/").split("/")
        number = int(path[1]) if len(path) > 1 and path[1].isdigit() else 0
        action = getattr(self, "on_" + path[0].replace("-", "_"), None)
        is_head = request.method == b"HEAD"
        if action:
            again = action(number, fields, path[1] if len(path) > 1 else "")
            return True if again is None else again
        if path[0] == "echo":
            body = head + b"\r\n\r\n" + body
        self.reply(200, body, "content-type: text/plain\r\n", is_head)
        return True

    # One for each path: /NAME/NUMBER or /NAME/TEXT. False: the connection ends.

    def on_status(self, number, *_):
        length = "" if number in (204, 304) else "content-length: 0\r\n"
        self.sock.sendall(f"HTTP/1.1 {number} Whatever\r\n{self.identity()}{length}\r\n".encode())

    def on_bytes(self, number, *_):
        self.sock.sendall(f"HTTP/1.1 200 OK\r\n{self.identity()}content-length: {number}\r\n\r\n".encode())
        self.send_pattern(number)

    def on_close(self, number, *_):
        self.sock.sendall(f"HTTP/1.1 200 OK\r\n{self.identity()}connection: close\r\n\r\n".encode())
        self.send_pattern(number)
        return False

    def on_chunked(self, number, *_):
        self.sock.sendall(f"HTTP/1.1 200 OK\r\n{self.identity()}transfer-encoding: chunked\r\n\r\n".encode())
        for start in range(0, number, 1000):
            part = pattern(start, min(1000, number - start))
            self.sock.sendall(b"%x;ext=\"1\"\r\n%b\r\n" % (len(part), part))
        self.sock.sendall(b"0\r\nx-trailer: 1\r\n\r\n")

    def send_pattern(self, number):
        for start in range(0, number, 1 << 18):
            self.sock.sendall(pattern(start, min(1 << 18, number - start)))

    def on_never(self, *_):
        while self.sock.recv(1 << 16):
            pass
        return False

    def on_stall(self, *_):
        self.sock.sendall(f"HTTP/1.1 200 OK\r\n{self.identity()}content-length: 100\r\n\r\nhalf".encode())
        return self.on_never()

    def on_cut(self, *_):
        self.sock.sendall(f"HTTP/1.1 200 OK\r\n{self.identity()}content-length: 100\r\n\r\nhalf".encode())
        return False

    def on_cut_head(self, *_):
        self.sock.sendall(b"HTTP/1.1 200 OK\r\nx-a: b\r\n")
        return False

    def on_reset(self, *_):
        abort(self.sock)
        return False

    def on_hang_up(self, *_):
        """Answers, and closes although it has not said so."""
        self.reply(200, b"bye\n")
        return False

    def on_empty(self, *_):
        return False

    def on_hints(self, *_):
        self.sock.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n")
        self.reply(200, b"after hints\n")

    def on_alt_svc(self, *_):
        """An invitation in each of two heads, and twice in one."""
        self.sock.sendall(b"HTTP/1.1 103 Early Hints\r\nalt-svc: h3=\":443\"\r\n\r\n")
        self.reply(200, b"elsewhere\n", 'Alt-Svc: h3=":443"; ma=86400\r\nx-kept: 1\r\nALT-SVC: h2="evil.test:443"\r\n')

    def on_bad(self, _number, _fields, name):
        self.sock.sendall(BAD[name].replace(b"{id}", self.identity().encode()))
        return False

    def on_hold(self, _number, _fields, name):
        """Answers when the test says so."""
        self.origin.gate(name).wait(30)
        self.reply(200, b"held\n")

    def on_ws(self, _number, fields, *_):
        """WebSocket's handshake, then every byte comes back. Bytes before the 101 are a violation."""
        if fields.get(b"upgrade", b"").lower() != b"websocket":
            self.reply(426, b"")
            return None
        if self.raw or select.select([self.sock], [], [], 0.1)[0]:
            self.origin.violations.append("bytes after an upgrade request before the 101")
        accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + WEBSOCKET).digest()).decode()
        self.sock.sendall(f"HTTP/1.1 101 Switching Protocols\r\n{self.identity()}upgrade: websocket\r\n"
                          f"connection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n".encode())
        while data := self.sock.recv(1 << 16):
            self.sock.sendall(data)
        return False


class Origin:
    """Listens on a host's port in both families."""

    def __init__(self, internet, number, port, families=(4, 6)):
        self.violations = []
        self.requests = []  # (peer, connection, method, target, host)
        self.connections = 0
        self._gates = {}
        self._lock = threading.Lock()
        self._live = set()
        self._listeners = [internet.listen(number, port, family) for family in families]
        self._threads = [threading.Thread(target=self._accept, args=(l,), daemon=True) for l in self._listeners]
        for thread in self._threads:
            thread.start()
        internet.lab.at_exit(self.close)

    def note(self, peer, connection, method, target, fields):
        with self._lock:
            self.requests.append((peer, connection, method, target, fields.get(b"host", b"").decode()))

    def gate(self, name):
        """The threading.Event that /hold/NAME waits for."""
        with self._lock:
            return self._gates.setdefault(name, threading.Event())

    def waiting(self, name):
        """Whether a request for /hold/NAME has come."""
        with self._lock:
            return any(re.match(rf"/hold/{name}\b", request[3]) for request in self.requests)

    def _accept(self, listener):
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                connection = Connection(self, sock, peer[0], self.connections)
                self._live = {live for live in self._live if live.is_alive()}
                thread = threading.Thread(target=connection.serve, daemon=True)
                self._live.add(thread)
            thread.start()

    def close(self):
        for listener in self._listeners:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
