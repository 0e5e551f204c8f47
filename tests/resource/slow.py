# SPDX-License-Identifier: MIT
"""Peers that take their time: deadlines end them, and nobody waits for them."""
import itertools
import re

from lab.accesslog import AccessLog
from lab.base import need, until
from lab.hello import made
from peers import Crowd
from scene import HELLO, RAW, SILENT, WEB, Scene, expect, get

DEADLINES = ("--set", "sniff=1500", "--set", "head=1500", "--set", "idle=1500", "--set", "keepalive=1500",
             "--set", "response=1500")
NEVER = tuple(word.replace("=1500", "=3600000") for word in DEADLINES)
POST = b"POST /ok HTTP/1.1\r\nHost: farm.test\r\nContent-Length: 100000\r\n\r\nthe beginning"


def slowhttptest(scene, *args, count, ended=None):
    """Run it to its end while others are served; it must find that all its connections were closed. ended: a counter of
    ours that tells it too, of connections whose end it would be too slow to see."""
    need("slowhttptest")
    child = scene.space.spawn("slowhttptest", [
        "slowhttptest", "-c", str(count), "-r", str(count), "-l", "60", "-p", "5", "-u",
        "http://farm.test/bytes/5000000", *args])
    scene.until_stat("downstream_cx_total", count / 2)
    served = 0
    while child.alive() and not (ended and scene.stat(ended) >= count):
        scene.others(2)
        served += 1
    if ended:
        until(lambda: scene.stat(ended) >= count, f"{ended} >= {count}")
        child.stop()
    said = re.sub(r"\x1b\[[0-9;]*m", "", child.output())
    expect(ended or re.search(r"Exit status:\s*No open connections left", said),
           f"it did not end by our deadlines: {said[-700:]}")
    expect(served, "nobody else was there")
    scene.tap.note(f"{args[0]}: {served} rounds of others meanwhile")


def attack(world, crowds, extra=()):
    """Crowds that hold what they can get, at a proxy with few buffers. Where no deadline passes, others are served all
    the same; where they do, they end all, although nobody leaves."""
    with Scene(world, "--set", "buffers=64", *NEVER, *(word.replace("=1500", "=3600000") for word in extra)) as scene:
        held = [crowd(scene) for crowd in crowds]
        size = sum(len(crowd.socks) for crowd in held)
        scene.until_stat("downstream_cx_total", size)
        scene.others()
        expect(scene.stat("downstream_cx_active") >= size, "the attack was over before the others were served")
        for crowd in held:
            crowd.close(hard=True)
    with Scene(world, "--set", "buffers=64", *DEADLINES, *extra) as scene:
        held = [crowd(scene) for crowd in crowds]
        scene.quiet()
        for crowd in held:
            crowd.close()
        scene.others(1, "a request afterwards")


def test_slow_head_by_slowhttptest(world):
    with Scene(world, *DEADLINES) as scene:
        slowhttptest(scene, "-H", "-i", "1", count=world.many(1000, 4000))


def test_slow_body_by_slowhttptest(world):
    with Scene(world, *DEADLINES, "--set", "min-rate=1000") as scene:
        slowhttptest(scene, "-B", "-i", "1", "-s", "100000", count=world.many(500, 2000))


def test_slow_read_by_slowhttptest(world):
    with Scene(world, *DEADLINES, "--set", "min-rate=1000000") as scene:
        slowhttptest(scene, "-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", count=world.many(500, 2000),
                     ended="downstream_cx_idle_timeout_total")


def test_range_attack_by_slowhttptest(world):
    with Scene(world, *DEADLINES) as scene:
        slowhttptest(scene, "-R", "-a", "10", "-b", "3000", count=world.many(200, 1000))


def test_hello_that_stops(world):
    hello = made("tls.test")
    attack(world, [lambda s: Crowd(s.space, HELLO, world.many(500, 5000), hello[:-1])])


def test_head_that_stops(world):
    attack(world, [lambda s: Crowd(s.space, WEB, world.many(500, 5000), get()[:-1])])


def test_silence_after_accept(world):
    attack(world, [lambda s: Crowd(s.space, WEB, world.many(500, 3000)), lambda s: Crowd(s.space, HELLO, 300)])


def test_second_head_that_stops(world):
    """On connections that were good once."""
    attack(world, [lambda s: Crowd(s.space, WEB, world.many(300, 3000), get("/bytes/1") + get()[:-1])])


def test_body_that_stops(world):
    attack(world, [lambda s: Crowd(s.space, WEB, world.many(300, 3000), POST)])


def test_origin_that_never_answers(world):
    """Requests that wait hold no buffer that another needs."""
    attack(world, [lambda s: Crowd(s.space, WEB, world.many(500, 3000), get("/never"))])


def test_upstream_that_cannot_be_reached(world):
    hello = made("hole.test")
    attack(world, [lambda s: Crowd(s.space, WEB, 200, get("/ok", "hole.test")),
                   lambda s: Crowd(s.space, HELLO, 200, hello)], ("--set", "connect=1500"))


def test_readers_that_take_nothing(world):
    """Zero windows of clients: answers with a length, in chunks, and one behind the other."""
    attack(world, [lambda s, p=path: Crowd(s.space, WEB, world.many(150, 1000), get(p), receive=2048)
                   for path in ("/bytes/3000000", "/chunked/3000000")] +
                  [lambda s: Crowd(s.space, WEB, world.many(100, 500), get("/chunked/9000") * 60, receive=2048)])


def test_servers_that_take_nothing(world):
    """Zero windows of servers: each upload is held back, and costs a buffer at most."""
    with Scene(world, *DEADLINES, "--set", "buffers=64") as scene:
        crowd = Crowd(scene.space, SILENT, world.many(200, 1000))
        part = bytes(1 << 16)
        for _ in range(40):
            crowd.send(part)
        scene.others()
        scene.quiet()
        crowd.close()
        scene.others(1)


def test_drip_of_bytes_moves_no_deadline(world):
    """A byte at a time of a hello and of a head: each has one deadline for the whole."""
    texts = [(HELLO, made("tls.test pad=1500")), (WEB, get("/ok", more="x-a: " + "b" * 3000 + "\r\n")),
             (WEB, get("/bytes/1") + get("/ok", more="x-a: " + "b" * 3000 + "\r\n"))]
    with Scene(world, "--set", "sniff=1000", "--set", "head=1000") as scene:
        for where, text in texts:
            crowd = Crowd(scene.space, where, 50, text[:30])
            at = itertools.count(30)

            def drip():
                place = next(at)
                expect(place < len(text) - 1, "all of it was taken, drop by drop")
                crowd.send(text[place:place + 1])
                return crowd.over() == 50
            until(drip, "the deadline", 60)
            crowd.close()


def test_clients_that_are_gone(world):
    """A FIN while the origin is silent, and a tunnel that one side has closed: bounded, and shorter than without."""
    open(world.node.access_log, "w", encoding="ascii").close()
    with Scene(world, "--set", "half-closed=1500", "--set", "response=600000", log=world.node.access_log) as scene:
        for where, data in ((WEB, get("/never")), (SILENT, b"hello")):
            crowd = Crowd(scene.space, where, 50, data)
            until(lambda: len(scene.ask("/connections")[1].splitlines()) == 50, "50 connections")
            crowd.close()
            scene.quiet()
        records = AccessLog(world.node.access_log).poll()
        ends = [r for r in records if (r["path"], r["response_flags"], r["connection_termination_details"]) ==
                ("/never", "DC", "half_closed_timeout")]
        expect(len(ends) == 50, f"{len(ends)} of 50 requests end as DC: {records[-1:]}")
        # Who only has no more to say gets an answer.
        with scene.open(WEB) as sock:
            sock.sendall(get("/bytes/5"))
            sock.shutdown(1)
            data = b""
            while more := sock.recv(4096):
                data += more
        expect(data.startswith(b"HTTP/1.1 200 "), f"half-closed client: {data!r}")
        with scene.open(RAW) as sock:
            sock.sendall(b"ping")
            sock.shutdown(1)
            expect(sock.recv(10) == b"ping", "half-closed tunnel")
