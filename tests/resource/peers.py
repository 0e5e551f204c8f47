# SPDX-License-Identifier: MIT
"""Both ends of many connections at a time: servers that one thread plays, and crowds of clients."""
import collections
import errno
import re
import resource
import select
import socket
import struct
import threading

from lab.base import until
from lab.internet import V4
from lab.talk import abort, pattern

HTTP, ECHO, MUTE, TLS = 80, 7000, 7001, 443
HOST = 20
SERVED = b"served"
CHUNK = 1000


def all_descriptors():
    """As many as this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Peer:
    """A connection that the farm has accepted."""

    def __init__(self, sock, port):
        self.sock = sock
        self.port = port
        self.data = b""
        self.out = collections.deque()
        self.left = None  # of a request's body
        self.stream = None  # what to send as it is taken: an iterator

    def take(self, data):
        """What came; queues what is to be said."""
        if self.port == ECHO:
            self.out.append(data)
        elif self.port == TLS:
            self.out.append(SERVED)
        else:
            self.data += data
            while self.request():
                pass

    def request(self):
        if self.left is None:
            head, end, rest = self.data.partition(b"\r\n\r\n")
            if not end:
                return False
            length = re.search(rb"\r\ncontent-length: (\d+)", head, re.I)
            self.left = int(length.group(1)) if length else 0
            self.path = head.split(b" ")[1].decode()
            self.data = rest
        used = min(self.left, len(self.data))
        self.data = self.data[used:]
        self.left -= used
        if self.left:
            return False
        self.left = None
        self.answer(self.path.strip("/").split("/"))
        return bool(self.data)

    def answer(self, words):
        if words[0] == "never":
            return
        size = int(words[1]) if len(words) > 1 else 2
        if words[0] == "chunked":
            self.out.append(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            self.stream = self.chunks(size)
        else:
            self.out.append(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
            self.stream = (pattern(at, min(1 << 14, size - at)) for at in range(0, size, 1 << 14))

    @staticmethod
    def chunks(size):
        for at in range(0, size, CHUNK):
            part = pattern(at, min(CHUNK, size - at))
            yield b"%x\r\n%b\r\n" % (len(part), part)
        yield b"0\r\n\r\n"

    def give(self):
        """Send what can be sent. False: there is more."""
        while True:
            if not self.out and self.stream is not None:
                part = next(self.stream, None)
                if part is None:
                    self.stream = None
                else:
                    self.out.append(part)
            if not self.out:
                return True
            try:
                sent = self.sock.send(self.out[0])
            except BlockingIOError:
                return False
            if sent == len(self.out[0]):
                self.out.popleft()
            else:
                self.out[0] = self.out[0][sent:]


class Farm:
    """The servers: HTTP (/ok, /bytes/N, /chunked/N, /never; bodies are read to their end), one that sends back what it
    gets, one that never reads, and one that answers a ClientHello with a word that is not TLS."""

    def __init__(self, internet):
        self._epoll = select.epoll()
        self._peers = {}
        self.mute = []
        self.accepted = collections.Counter()
        self._listeners = {}
        for port in (HTTP, ECHO, MUTE, TLS):
            listener = internet.listen(HOST, port, V4, backlog=4096)
            if port == MUTE:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            listener.setblocking(False)
            self._listeners[listener.fileno()] = (listener, port)
            self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        internet.lab.at_exit(self.close)

    def live(self):
        return len(self._peers) + len(self.mute)

    def _run(self):
        while not self._closed:
            for fd, events in self._epoll.poll(0.2, 256):
                if fd in self._listeners:
                    self._accept(*self._listeners[fd])
                elif fd in self._peers:
                    self._serve(self._peers[fd], events)

    def _accept(self, listener, port):
        for _ in range(64):
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.accepted[port] += 1
            if port == MUTE:
                self.mute.append(sock)
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[sock.fileno()] = Peer(sock, port)
            self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _serve(self, peer, events):
        fd = peer.sock.fileno()
        try:
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                data = peer.sock.recv(1 << 16)
                if not data:
                    raise ConnectionResetError
                peer.take(data)
            done = peer.give()
            self._epoll.modify(fd, select.EPOLLIN if done else select.EPOLLIN | select.EPOLLOUT)
        except OSError:
            del self._peers[fd]
            peer.sock.close()

    def forget_mute(self):
        """The connections of the server that never reads are over."""
        while self.mute:
            abort(self.mute.pop())

    def close(self):
        self._closed = True
        self._thread.join(5)
        self.forget_mute()
        for peer in self._peers.values():
            peer.sock.close()
        for listener, _ in self._listeners.values():
            listener.close()


def connect(space, where, source=None, receive=None):
    """A client's socket that is being connected; it does not block."""
    with space.inside():
        return begin(where, source, receive)


def begin(where, source=None, receive=None):
    sock = socket.socket()
    if receive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    if source:
        sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        sock.bind((source, 0))
    sock.setblocking(False)
    error = sock.connect_ex(where)
    if error not in (0, errno.EINPROGRESS):
        sock.close()
        raise OSError(error, f"connect: {where}")
    return sock


class Crowd:
    """Many clients that do the same. What they get is read only when they are asked for it."""

    def __init__(self, space, where, count, data=b"", source=None, receive=None, batch=256):
        self.socks = []
        with space.inside():
            while count:
                part = [begin(where, source, receive) for _ in range(min(batch, count))]
                count -= len(part)
                self.finish(part)
                self.socks += part
        self.connected = len(self.socks)
        if data:
            self.send(data)

    @staticmethod
    def finish(socks):
        """Wait until each is connected, or refused."""
        poll = select.poll()
        waiting = {sock.fileno() for sock in socks}
        for fd in waiting:
            poll.register(fd, select.POLLOUT)

        def done():
            for fd, _ in poll.poll(0):
                waiting.discard(fd)
                poll.unregister(fd)
            return not waiting
        until(done, f"{len(socks)} connections", 60)

    def send(self, data):
        for sock in self.socks:
            try:
                sock.send(data)
            except OSError:
                pass

    def over(self):
        """How many the other end has closed or reset; what it sent before is thrown away."""
        count = 0
        for sock in self.socks:
            try:
                while sock.recv(1 << 16):
                    pass
                count += 1
            except BlockingIOError:
                pass
            except OSError:
                count += 1
        return count

    def reset(self):
        """How many got a reset. They are dropped from the crowd, the living stay."""
        alive = []
        for sock in self.socks:
            try:
                sock.recv(1, socket.MSG_PEEK)
                alive.append(sock)
            except BlockingIOError:
                alive.append(sock)
            except OSError:
                sock.close()
        count = len(self.socks) - len(alive)
        self.socks = alive
        return count

    def echo(self, word):
        """How many get back what they send."""
        self.send(word)
        count = 0
        for sock in self.socks:
            sock.settimeout(20)
            try:
                got = b""
                while len(got) < len(word) and (more := sock.recv(len(word) - len(got))):
                    got += more
                count += got == word
            except OSError:
                pass
            sock.setblocking(False)
        return count

    def close(self, hard=False):
        for sock in self.socks:
            if hard:
                abort(sock)
            else:
                sock.close()
        self.socks = []


def syn(source, port, target, target_port):
    """A lone SYN, with its IP header."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, socket.IPPROTO_TCP, 0,
                       socket.inet_aton(source), socket.inet_aton(target))
    body = struct.pack("!HHIIBBHHH", port, target_port, 1, 0, 5 << 4, 2, 64240, 0, 0)
    pseudo = head[12:20] + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(body))
    total = sum(struct.unpack(f"!{(len(pseudo) + len(body)) // 2}H", pseudo + body))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return head + body[:16] + struct.pack("!H", ~total & 0xffff) + body[18:]
