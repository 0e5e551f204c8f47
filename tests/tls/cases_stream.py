# SPDX-License-Identifier: MIT
"""Bytes once the handshake is done: pieces, masses, readers that are slow, ends."""
import hashlib

from cases_good import context, done, scripted_tls
from peers import openssl_server
from stage import check, dribbler

MASS = 6_000_000


def pattern(n):
    """What the driver's `send` sends."""
    return bytes((k * 7 + (k >> 8) * 13 + (k >> 16)) & 0xff for k in range(n))


def streams(stage, tests):
    tests.add("stream/client, one byte at a time", lambda: done(stage.client(
        dribbler(stage, openssl_server(stage, "chain")), text="hello\n", cut=1)[0]))
    tests.add("stream/client, mutual, one byte at a time", lambda: dribbled_mutual(stage))
    tests.add("stream/server, one byte at a time", lambda: dribbled_server(stage))
    tests.add("stream/both of us", lambda: both(stage, {}, {}))
    tests.add("stream/both of us, resumed", lambda: both(stage, {"sessions": 4}, {"sessions": 16}, count=3))
    tests.add("stream/a reader that holds little", lambda: both(stage, {}, {"hold": 700}))
    tests.add("stream/the peer writes all before it reads", lambda: writer_first(stage))
    tests.add("stream/the peer reads all before it writes", lambda: reader_first(stage))
    tests.add("stream/one end ends, the other goes on", lambda: half(stage))
    tests.add("stream/a server's mass", lambda: server_mass(stage))


def dribbled_mutual(stage):
    node = stage.vault["node-rsa"]
    with stage.serve("chain", ca=stage.vault.ca, echo=1) as served:
        done(stage.client(dribbler(stage, served.port), send=5000, half=1, cert=node.chain, key=node.key)[0],
             received=5000)
        done(served.result()[0], peer="node-rsa.test")


def dribbled_server(stage):
    with stage.serve("rsa", echo=1) as served:
        with context(stage).wrap_socket(stage.socket(dribbler(stage, served.port)), server_hostname="a.test") as sock:
            sock.sendall(b"hello")
            check(sock.recv(10) == b"hello", "no echo")
            sock.unwrap()
        done(served.result()[0], received=5)


def both(stage, client, server, count=1):
    out = stage.path("echo")
    with stage.serve("ec", echo=1, count=count, **server) as served:
        results = stage.client(served.port, send=1_000_000, half=1, out=out, count=count, **client)
        served_results = served.result()
    for k, (one, other) in enumerate(zip(results, served_results)):
        done(one, received=1_000_000, resumed=bool(client) and k > 0)
        done(other, received=1_000_000, resumed=bool(client) and k > 0)
    with open(out, "rb") as file:
        check(file.read() == pattern(1_000_000), "other bytes came back")


def receive(sock, n):
    got = hashlib.sha256()
    while n > 0:
        data = sock.recv(min(n, 65536))
        check(data, f"{n} bytes are missing")
        got.update(data)
        n -= len(data)
    return got.digest()


def writer_first(stage):
    """Both sides' socket buffers are full before the peer reads: the driver has to read meanwhile."""
    seen = []

    def script(sock):
        sock.sendall(bytes(MASS))
        seen.append(receive(sock, 3_000_000))
        sock.unwrap()

    with scripted_tls(stage, script) as server:
        done(stage.client(server.port, send=3_000_000, half=1)[0], received=MASS)
    check(seen == [hashlib.sha256(pattern(3_000_000)).digest()], "other bytes came")


def reader_first(stage):
    def script(sock):
        receive(sock, MASS)
        sock.sendall(bytes(MASS))
        sock.unwrap()

    with scripted_tls(stage, script, "rsa") as server:
        done(stage.client(server.port, send=MASS, half=1)[0], received=MASS)


def half(stage):
    """A close_notify, and megabytes the other way after it."""
    with stage.serve("ec", echo=1) as served:
        done(stage.client(served.port, send=3_000_000, half=1)[0], received=3_000_000)
        done(served.result()[0], received=3_000_000)


def server_mass(stage):
    with stage.serve("ec", send=MASS, half=1) as served:
        with context(stage).wrap_socket(stage.socket(served.port), server_hostname="a.test") as sock:
            check(receive(sock, MASS) == hashlib.sha256(pattern(MASS)).digest(), "other bytes came")
            sock.unwrap()
        done(served.result()[0])
