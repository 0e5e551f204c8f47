# SPDX-License-Identifier: MIT
"""Servers that keep every byte they are sent, by the address that it came from."""
import select
import socket
import threading

import h11

HELLO_BACK = b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00"  # a handshake record, whatever is in it
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
          b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
EARLY = 0.1  # seconds in which bytes that should wait for the server would come
DONE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Conversation:
    """What one connection brought."""

    def __init__(self, where, peer):
        self.where = where  # (name, port) of the server
        self.peer = peer    # port that it came from
        self.data = b""
        self.before = None  # what had come when it spoke
        self.over = False


class Recorder:
    """Listens on hosts' ports. An HTTP port answers each complete request; others only read on."""

    def __init__(self, internet, hosts, http, tls, answering=()):
        self._lock = threading.Lock()
        self.conversations = {}  # peer port to Conversation; removed by those who have looked at it
        self._answering = answering
        self._listeners = []
        for name, number in hosts.items():
            for port in (*http, *tls):
                listener = internet.listen(number, port, 4)
                self._listeners.append(listener)
                talk = self._http if port in http else self._tls
                threading.Thread(target=self._accept, args=(listener, (name, port), talk), daemon=True).start()
        internet.lab.at_exit(self.close)

    def _accept(self, listener, where, talk):
        while True:
            try:
                sock, peer = listener.accept()
            except ConnectionAbortedError:
                continue
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conversation = Conversation(where, peer[1])
            with self._lock:
                self.conversations[peer[1]] = conversation
            threading.Thread(target=self._play, args=(sock, conversation, talk), daemon=True).start()

    def _play(self, sock, conversation, talk):
        try:
            talk(sock, conversation)
            while data := sock.recv(1 << 16):
                conversation.data += data
        except OSError:
            pass
        finally:
            sock.close()
            conversation.over = True

    @staticmethod
    def _await(sock, conversation):
        """Give what should wait the time to come."""
        if select.select([sock], [], [], EARLY)[0]:
            conversation.data += sock.recv(1 << 16)
        conversation.before = conversation.data

    def _tls(self, sock, conversation):
        if conversation.where[0] in self._answering:
            conversation.data += sock.recv(1 << 16)
            self._await(sock, conversation)
            sock.sendall(HELLO_BACK)

    def _http(self, sock, conversation):
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        while True:
            try:
                event = parser.next_event()
                if parser.they_are_waiting_for_100_continue:
                    sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    parser.send(h11.InformationalResponse(status_code=100, headers=[]))
            except h11.RemoteProtocolError:
                return
            if isinstance(event, h11.EndOfMessage) and b"\r\nupgrade: websocket\r\n" in conversation.data:
                self._await(sock, conversation)
                sock.sendall(SWITCH)
                return
            if isinstance(event, h11.EndOfMessage):
                sock.sendall(DONE)
                sock.shutdown(socket.SHUT_WR)
                return
            if event is h11.NEED_DATA:
                data = sock.recv(1 << 16)
                conversation.data += data
                if not data:
                    return
                parser.receive_data(data)

    def take(self, peer):
        """The conversation of that port, which is forgotten; None when there was none."""
        with self._lock:
            return self.conversations.pop(peer, None)

    def take_all(self):
        """All that nobody has taken."""
        with self._lock:
            left, self.conversations = self.conversations, {}
        return list(left.values())

    def heard(self, data):
        """Whether some conversation has brought exactly that so far."""
        with self._lock:
            return any(conversation.data == data for conversation in self.conversations.values())

    def close(self):
        for listener in self._listeners:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
