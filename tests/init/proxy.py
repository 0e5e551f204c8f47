# SPDX-License-Identifier: MIT
"""The least that a transparent proxy has to do: take captured connections and know where they were going."""
import contextlib
import queue
import select
import socket
import struct
import threading

from pair import FAMILY, LIMIT, PROXY_PORT

IP_TRANSPARENT, IPV6_TRANSPARENT, SO_ORIGINAL_DST = 19, 75, 80
# level, transparent, asks for the original destination, asks for the local address, carries that
OPTIONS = {4: (socket.SOL_IP, IP_TRANSPARENT, 20, 8, 8), 6: (socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 74, 49, 50)}


def original(sock, method):
    """(address, port) that the client meant."""
    if method == "tproxy":
        host, port = sock.getsockname()[:2]
    elif sock.getsockname()[0].startswith("::ffff:"):
        data = sock.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
        host, port = socket.inet_ntoa(data[4:8]), struct.unpack("!H", data[2:4])[0]
    else:
        data = sock.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
        host, port = socket.inet_ntop(socket.AF_INET6, data[8:24]), struct.unpack("!H", data[2:4])[0]
    return host.removeprefix("::ffff:"), port


class Proxy:
    """Accepts until close(); each connection's destination and socket come out of `accepted`."""

    def __init__(self, pair, method):
        self.accepted = queue.Queue()
        self.listener = pair.node.socket(socket.AF_INET6)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if method == "tproxy":
            self.listener.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
            self.listener.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
        self.listener.bind(("::", PROXY_PORT))
        self.listener.listen(256)
        self.method = method
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            try:
                self.accepted.put((original(sock, self.method), sock))
            except OSError as error:
                self.accepted.put((error, sock))

    def take(self):
        return self.accepted.get(timeout=LIMIT)

    def nothing(self):
        return self.accepted.empty()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        while not self.accepted.empty():
            self.accepted.get()[1].close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Names:
    """The least of what answers captured DNS: `answer: ` and the question, from the address that was asked."""

    def __init__(self, pair, method):
        self.pair = pair
        self.method = method
        self.heard = queue.Queue()  # (address that was asked or None, client, question)
        self.socks = [self._listen(family) for family in (4, 6)]
        self.stop_from, self.stop_to = socket.socketpair()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _listen(self, family):
        sock = self.pair.proxy_socket(family, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        level, _, _, info, _ = OPTIONS[family]
        if family == 6:
            sock.setsockopt(level, socket.IPV6_V6ONLY, 1)
        if self.method == "tproxy":
            _, transparent, destination, _, _ = OPTIONS[family]
            sock.setsockopt(level, transparent, 1)
            sock.setsockopt(level, destination, 1)
        else:
            sock.setsockopt(level, info, 1)
        sock.bind(("::" if family == 6 else "0.0.0.0", PROXY_PORT))
        return sock

    def _serve(self):
        while True:
            ready = select.select([*self.socks, self.stop_from], [], [])[0]
            if self.stop_from in ready:
                return
            for sock in ready:
                with contextlib.suppress(OSError):  # a client that is gone
                    self._answer(sock)

    def _answer(self, sock):
        family = 6 if sock.family == socket.AF_INET6 else 4
        question, ancillary, _, peer = sock.recvmsg(2000, 256)
        data = ancillary[0][2] if ancillary else b""
        if self.method == "redirect":
            self.heard.put((None, peer[:2], question))
            level, _, _, _, reply = OPTIONS[family]
            if family == 4:  # from where it came to, so that NAT knows it
                data = bytes(4) + data[8:12] + bytes(4)
            sock.sendmsg([b"answer: " + question], [(level, reply, data)], 0, peer)
            return
        if family == 4:
            asked = (socket.inet_ntoa(data[4:8]), struct.unpack("!H", data[2:4])[0])
        else:
            asked = (socket.inet_ntop(socket.AF_INET6, data[8:24]), struct.unpack("!H", data[2:4])[0])
        self.heard.put((asked, peer[:2], question))
        self.reply(family, asked, peer, b"answer: " + question)

    def reply(self, family, asked, peer, text):
        """From an address that is not the node's."""
        with self.pair.proxy_socket(family, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(OPTIONS[family][0], OPTIONS[family][1], 1)
            sock.bind(asked)
            sock.sendto(text, peer)

    def close(self):
        self.stop_to.send(b"x")
        self.thread.join()
        for sock in (*self.socks, self.stop_from, self.stop_to):
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ask(space, family, server, question, port=53, source=None):
    """What a name server answers, with its address."""
    with space.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        if source is not None:
            sock.bind((source, 0))
        sock.sendto(question, (server, port))
        answer, address = sock.recvfrom(2000)
        return answer, address[:2]


def client(pair, family, address, port):
    """A connection from the node, as any process makes it."""
    sock = pair.node.socket(FAMILY[family])
    sock.settimeout(LIMIT)
    sock.connect((address, port))
    return sock
