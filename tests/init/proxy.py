# SPDX-License-Identifier: MIT
"""The least that a transparent proxy has to do: take captured connections and know where they were going."""
import contextlib
import queue
import socket
import struct
import threading

from pair import FAMILY, LIMIT, PROXY_PORT

IP_TRANSPARENT, IPV6_TRANSPARENT, SO_ORIGINAL_DST = 19, 75, 80


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


def client(pair, family, address, port):
    """A connection from the node, as any process makes it."""
    sock = pair.node.socket(FAMILY[family])
    sock.settimeout(LIMIT)
    sock.connect((address, port))
    return sock
