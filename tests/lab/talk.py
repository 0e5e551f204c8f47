# SPDX-License-Identifier: MIT
"""Scripted conversations over raw TCP: both ends of a test case are data.

A script is a list of lines, each a verb and its argument:

    send TEXT       these bytes (escapes: \\r \\n \\t \\0 \\\\ \\xNN)
    bytes N         N bytes of a known pattern
    slow N TEXT     the same in segments of N bytes, each acknowledged before the next
    hello SPEC      a ClientHello (see hello.made); `slowhello N SPEC`: in segments of N bytes
    recv REGEX      read until what came since the last match has a match
    take N          read exactly N bytes of the known pattern
    only REGEX      read to the end of the stream; all that came since the last match is this, exactly
    end             read to the end of the stream; nothing more comes
    reset           the peer resets the connection before any other byte comes
    gone            either of them: the connection is over, and no other byte has come
    shut            no more bytes will be sent
    abort           reset the connection
    close           close it (what a script's end does anyway)
    hold            wait until the peer closes or resets, whatever comes
    echo            the same, and whatever comes is sent back
    tls NAME        TLS from here on, with this server name (a client's) or with the lab's certificate (`tls -`)
"""
import errno
import fcntl
import re
import socket
import ssl
import struct
import termios
import threading

from lab import hello
from lab.base import until

SIOCOUTQ = termios.TIOCOUTQ
PATTERN = bytes(i * 7 & 255 for i in range(251))  # of a length that no buffer is a multiple of


class Wrong(Exception):
    """The peer said or did something else."""


def literal(text):
    """A script's argument as bytes."""
    return text.encode("utf-8").decode("unicode_escape").encode("latin-1")


def pattern(start, size):
    """Bytes [start, start + size) of the known pattern."""
    skip = start % len(PATTERN)
    return (PATTERN * ((skip + size) // len(PATTERN) + 1))[skip:skip + size]


def abort(sock):
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Talk:
    """One end of a conversation over a connected socket."""

    def __init__(self, sock, authority=None, seconds=10.0):
        self.sock = sock
        self.authority = authority
        self.sock.settimeout(seconds)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""  # what came and was not matched yet
        self.received = b""
        self.sent, self.taken = 0, 0

    @staticmethod
    def may_be_over(script):
        """Whether a script goes on only to see the connection end."""
        verbs = [line.partition(" ")[0] for line in script]
        return verbs and verbs[-1] in ("gone", "hold") and set(verbs) <= {
            "send", "slow", "hello", "slowhello", "bytes", "shut", "gone", "hold"}

    def play(self, script):
        """Do all lines; raises Wrong at the first that goes otherwise."""
        try:
            for number, line in enumerate(script):
                verb, _, argument = line.partition(" ")
                try:
                    getattr(self, f"do_{verb}")(argument)
                except (BrokenPipeError, ConnectionResetError) as error:
                    if not self.may_be_over(script[number:]):
                        raise Wrong(f"`{line[:100]}`: {error}; had {self.data[-200:]!r}") from None
                    return
                except Wrong as wrong:
                    raise Wrong(f"`{line[:100]}`: {wrong}") from None
                except TimeoutError:
                    seconds = self.sock.gettimeout()
                    raise Wrong(f"`{line[:100]}`: nothing in {seconds:g} s; had {self.data[-200:]!r}") from None
                except (OSError, ssl.SSLError) as error:
                    raise Wrong(f"`{line[:100]}`: {error}; had {self.data[-200:]!r}") from None
        finally:
            self.sock.close()

    def read(self):
        """Append what comes to data. False at the end of the stream."""
        more = self.sock.recv(1 << 16)
        self.data += more
        self.received = (self.received + more)[-(1 << 16):]
        return bool(more)

    def do_send(self, text):
        self.sock.sendall(literal(text))

    def do_bytes(self, text):
        left = int(text)
        while left:
            part = pattern(self.sent, min(left, 1 << 16))
            self.sock.sendall(part)
            self.sent += len(part)
            left -= len(part)

    def pieces(self, data, size):
        for i in range(0, len(data), size):
            self.sock.sendall(data[i:i + size])
            until(lambda: struct.unpack("i", fcntl.ioctl(self.sock, SIOCOUTQ, bytes(4)))[0] == 0, "acknowledgement")

    def do_slow(self, text):
        size, _, text = text.partition(" ")
        self.pieces(literal(text), int(size))

    def do_hello(self, spec):
        self.sock.sendall(hello.made(spec))

    def do_slowhello(self, text):
        size, _, spec = text.partition(" ")
        self.pieces(hello.made(spec), int(size))

    def do_recv(self, text):
        regex = re.compile(text.encode("latin-1"), re.S)
        while True:
            match = regex.search(self.data)
            if match:
                self.data = self.data[match.end():]
                return
            if not self.read():
                raise Wrong(f"the stream ended; had {self.data[-200:]!r}")

    def do_take(self, text):
        size = int(text)
        while size:
            if not self.data and not self.read():
                raise Wrong(f"the stream ended {size} bytes early")
            part, self.data = self.data[:size], self.data[size:]
            if part != pattern(self.taken, len(part)):
                raise Wrong(f"other bytes than were sent, after {self.taken}")
            self.taken += len(part)
            size -= len(part)

    def do_only(self, text):
        while self.read():
            pass
        if not re.fullmatch(text.encode("latin-1"), self.data, re.S):
            raise Wrong(f"all that came is {self.data[-400:]!r}")
        self.data = b""

    def do_end(self, _):
        while self.read():
            pass
        if self.data:
            raise Wrong(f"more came: {self.data[-200:]!r}")

    def do_reset(self, _):
        try:
            self.do_end("")
        except ConnectionResetError:
            if self.data:
                raise Wrong(f"more came: {self.data[-200:]!r}") from None
        else:
            raise Wrong("the stream ended in order")

    def do_gone(self, _):
        try:
            self.do_end("")
        except (ConnectionResetError, BrokenPipeError):
            if self.data:
                raise Wrong(f"more came: {self.data[-200:]!r}") from None

    def do_shut(self, _):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            raise ConnectionResetError(*error.args) from None

    def do_abort(self, _):
        abort(self.sock)

    def do_close(self, _):
        self.sock.close()

    def do_hold(self, _):
        try:
            while self.read():
                self.data = b""
        except ConnectionResetError:
            pass

    def do_echo(self, _):
        self.data = b""
        try:
            while self.read():
                self.sock.sendall(self.data)
                self.data = b""
        except ConnectionError:
            pass

    def do_tls(self, name):
        if self.data:
            raise Wrong(f"bytes before TLS: {self.data[-200:]!r}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if name == "-" else ssl.PROTOCOL_TLS_CLIENT)
        if name == "-":
            context.load_cert_chain(self.authority.cert, self.authority.key)
            self.sock = context.wrap_socket(self.sock, server_side=True)
        else:
            context.load_verify_locations(self.authority.ca)
            self.sock = context.wrap_socket(self.sock, server_hostname=name)


class Server:
    """Plays a script with every client of a listening socket, each in a thread of its own."""

    def __init__(self, lab, listener, script, authority=None):
        self.listener = listener
        self.script = script
        self.authority = authority
        self.clients = 0
        self.wanted = None  # how many there should be, for the test that made it
        self.wrongs = []
        self.received = []  # what each client sent
        self._threads = []
        self._closed = False
        self._live = set()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        self._handle = lab.at_exit(self._close)
        self._lab = lab

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if self._closed:
                sock.close()
                return
            self.clients += 1
            self._live.add(sock)
            thread = threading.Thread(target=self._play, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _play(self, sock):
        talk = Talk(sock, self.authority)
        try:
            talk.play(self.script)
        except Wrong as wrong:
            self.wrongs.append(f"server: {wrong}")
        self.received.append(talk.received)
        self._live.discard(sock)

    def finish(self, seconds=10.0):
        """Wait for the conversations under way; returns what went wrong in any."""
        for thread in self._threads:
            thread.join(seconds)
        self._lab.now(self._handle)
        return self.wrongs

    def _close(self):
        self._closed = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for sock in list(self._live):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._accepting.join(5)
