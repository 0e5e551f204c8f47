# SPDX-License-Identifier: MIT
"""Readers of other projects, who say what they understand of bytes that are to be, or were, forwarded."""
import dataclasses
import json
import re
import socket
import ssl
import struct
import subprocess

import h11

from lab.base import need, until

NGINX = """\
daemon off;
worker_processes 1;
pid {dir}/judge.pid;
error_log {dir}/judge-error.log;
events {{ worker_connections 512; }}
http {{
	log_format judge escape=json '{{"port":"$remote_port","method":"$request_method","target":"$request_uri",'
		'"hosts":"$http_host","status":"$status","body":"$request_body"}}';
	client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
	client_body_buffer_size 1m; client_body_in_single_buffer on; client_max_body_size 0;
	client_header_timeout 3s; client_body_timeout 3s; keepalive_requests 1000000;
	server {{
		listen 127.0.0.1:{port};
		access_log {dir}/judge.log judge;
		location / {{ proxy_pass http://unix:{dir}/inner.sock; }}
	}}
	server {{
		listen unix:{dir}/inner.sock;
		access_log off;
		location / {{ return 200 ""; }}
	}}
}}
"""


class Driver:
    """A C program that answers frames (frame.h)."""

    def __init__(self, path, *args):
        self.name = path
        self._process = subprocess.Popen([path, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, question):
        self._process.stdin.write(struct.pack("!I", len(question)) + question)
        self._process.stdin.flush()
        head = self._process.stdout.read(4)
        if len(head) != 4:
            raise RuntimeError(f"{self.name}: ended with status {self._process.wait()}")
        return self._process.stdout.read(struct.unpack("!I", head)[0])

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        return self._process.wait(10)


@dataclasses.dataclass(frozen=True)
class Request:
    method: str
    target: bytes
    hosts: tuple  # values of all Host fields
    body: bytes


class Refused(Exception):
    """The judge does not take these bytes for requests that are complete; the text says why."""


# Each judge of requests returns the list of them that it reads, or raises Refused.


class H11:
    name = "h11"

    def requests(self, data):
        found = []
        while data:
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
            connection.receive_data(data)
            connection.receive_data(b"")
            request, body = None, b""
            try:
                while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                    if isinstance(event, h11.Request):
                        request = event
                    elif isinstance(event, h11.Data):
                        body += event.data
                    else:
                        raise Refused(f"{event}")
            except h11.RemoteProtocolError as error:
                raise Refused(str(error)) from None
            if event.headers:
                raise Refused("trailers")
            hosts = tuple(bytes(value) for name, value in request.headers if name == b"host")
            found.append(Request(request.method.decode(), bytes(request.target), hosts, body))
            data = bytes(connection.trailing_data[0])
        return found

    def close(self):
        return 0


class HttpParser(Driver):
    def __init__(self, directory):
        super().__init__(f"{directory}/judge_http_parser")
        self.name = "http-parser"

    def requests(self, data):
        *lines, last = self.ask(data).decode("ascii").splitlines()
        if last != "end":
            raise Refused(last)
        found = []
        for line in lines:
            _, method, target, hosts, body = line.split(" ")
            found.append(Request(method, unhex(target), tuple(bytes.fromhex(h) for h in hosts.split(",") if h != "-"),
                                 unhex(body)))
        return found


def unhex(text):
    return b"" if text == "-" else bytes.fromhex(text)


class Nginx:
    """A real nginx in a namespace of the lab; its access log says what it understood."""

    name = "nginx"
    PORT = 8099

    def __init__(self, lab, space):
        need("nginx")
        self._space = space
        directory = lab.path("judge")
        conf = lab.write("judge/nginx.conf", NGINX.format(dir=directory, port=self.PORT))
        self._log = open(lab.write("judge/judge.log", ""), "rb")
        self._rest = b""
        space.spawn("judge/nginx", ["nginx", "-c", conf, "-e", f"{directory}/judge-error.log"])
        until(lambda: self.connect() is not None, "nginx, the judge")

    def connect(self):
        sock = self._space.socket(socket.AF_INET)
        sock.settimeout(10)
        if sock.connect_ex(("127.0.0.1", self.PORT)) != 0:
            sock.close()
            return None
        return sock

    def converse(self, data):
        """Send it and wait for the end; returns the port that the log names it by, and all answers."""
        with self.connect() as sock:
            port = sock.getsockname()[1]
            answers = b""
            try:
                sock.sendall(data)
                # An end of the stream before the first answer would count as a client gone away.
                while not re.search(rb"HTTP/1\.1 [2-5]\d\d .*\r\n\r\n", answers, re.S):
                    more = sock.recv(1 << 16)
                    answers += more
                    if not more:
                        return port, answers
                sock.shutdown(socket.SHUT_WR)
                while more := sock.recv(1 << 16):
                    answers += more
            except (ConnectionResetError, BrokenPipeError):
                pass
            except OSError as error:
                raise Refused(f"no answer: {error}") from None
            return port, answers

    def lines(self):
        """What the log has more."""
        self._rest += self._log.read()
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line.decode("latin-1")) for line in lines]

    def requests(self, data):
        port, answers = self.converse(data)
        count = len(re.findall(rb"HTTP/1\.1 [2-5]\d\d ", answers)) or 1
        found = []

        def complete():
            found.extend(line for line in self.lines() if line["port"] == str(port))
            return len(found) >= count
        until(complete, "nginx's log", 5)
        bad = [line["status"] for line in found if line["status"] != "200"]
        if bad:
            raise Refused(f"status {', '.join(bad)}")
        return [Request(line["method"], line["target"].encode("latin-1"), (line["hosts"].encode("latin-1"),),
                        line["body"].encode("latin-1")) for line in found]

    def close(self):
        self._log.close()
        return 0


# Each judge of ClientHellos returns the name that it accepts ("" for none), or raises Refused.


class OpenSSL:
    """OpenSSL's server, as strict as it is; old versions are let in, since what is asked is what it reads."""

    name = "openssl"

    def __init__(self, authority):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1
        self._context.set_ciphers("ALL:@SECLEVEL=0")
        self._context.load_cert_chain(authority.cert, authority.key)
        self._context.sni_callback = self._seen
        self._name = None

    def _seen(self, _socket, name, _context):
        self._name = name or ""

    def accepted(self, data):
        """Raises Refused unless the server answers with its own hello."""
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        into.write(data)
        self._name = None
        server = self._context.wrap_bio(into, out, server_side=True)
        try:
            server.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise Refused(error.reason or str(error)) from None
        if out.read(1) != b"\x16":
            raise Refused("it waits for more")
        return self._name or ""

    def close(self):
        return 0


class Library(Driver):
    """A C program that answers "accept NAME", "more" or "refuse WHY"."""

    def __init__(self, name, directory, authority):
        super().__init__(f"{directory}/judge_{name}", authority.cert, authority.key)
        self.name = name

    def accepted(self, data):
        word, _, rest = self.ask(data).decode("ascii").strip().partition(" ")
        if word != "accept":
            raise Refused(rest or "it waits for more")
        return unhex(rest).decode("latin-1")
