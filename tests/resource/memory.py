# SPDX-License-Identifier: MIT
"""What clients can make it keep: huge heads and hellos, and everything at its limit at the same time."""
import os
import re
import struct

from lab import hello
from lab.base import until
from lab.internet import V4
from peers import Crowd
from scene import HELLO, RAW, WEB, Scene, expect, get

SIZES = ("max-conns=1024", "buffers=64", "pipes=8", "max-http=256", "idle-max=16", "dns-cache=64")


def send_all(scene, where, text):
    """Send as much as is taken; returns what came back until the end."""
    with scene.open(where) as sock:
        data = b""
        try:
            sock.sendall(text)
        except OSError:
            pass
        try:
            while more := sock.recv(1 << 16):
                data += more
        except OSError:
            pass
        return data


def huge():
    """Name, where to, what, and the pattern of the answer."""
    big = b"GET /ok HTTP/1.1\r\nHost: farm.test\r\n"
    post = b"POST /ok HTTP/1.1\r\nHost: farm.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    endless = b"\x01" + (1 << 20).to_bytes(3, "big") + b"\x03\x03" + bytes(1 << 20)
    padded = hello.message(hello.padding(0xfe00), hello.server_name(b"tls.test"))
    return [
        ("a head of 1 MB in one field", WEB, big + b"x-a: " + b"a" * (1 << 20) + b"\r\n\r\n", b"HTTP/1.1 431 |$"),
        ("100,000 fields", WEB, big + b"a: b\r\n" * 100000 + b"\r\n", b"HTTP/1.1 431 |$"),
        ("100,000 fields without a name", WEB, big + b": b\r\n" * 100000 + b"\r\n", b"HTTP/1.1 4|$"),
        ("a target of 1 MB", WEB, b"GET /" + b"a" * (1 << 20) + big[7:] + b"\r\n", b"HTTP/1.1 4|$"),
        ("1 MB of empty lines", WEB, b"\r\n" * (1 << 19), b"HTTP/1.1 4|$"),
        ("1 MB of a method", WEB, b"G" * (1 << 20), b"HTTP/1.1 4|$"),
        ("1 MB in a chunk's extension", WEB, post + b"5;" + b"a" * (1 << 20) + b"\r\nhello\r\n0\r\n\r\n",
         b"HTTP/1.1 |$"),
        ("1 MB of trailers", WEB, post + b"0\r\n" + b"a: b\r\n" * 170000 + b"\r\n", b"HTTP/1.1 |$"),
        ("a server name of 64 KB", HELLO, hello.records(hello.message(hello.server_name(b"a" * 0xff00))), b"$"),
        ("a hello of 1 MB", HELLO, hello.records(endless), b"$"),
        ("a padded hello of 64 KB", HELLO, hello.records(padded), b"$"),
        ("1 MB in records of one byte", HELLO, hello.records(endless[:1 << 18], 1), b"$"),
        ("1 MB of empty records", HELLO, struct.pack("!BHH", 22, 0x301, 0) * 200000, b"$"),
    ]


def test_huge_heads(world):
    """Refused when they are too large, not when they have been read; what they cost does not grow with them."""
    with Scene(world, "--set", "sniff=20000") as scene:
        for name, where, text, answer in huge():
            send_all(scene, where, text)  # what it touches for the first time
        scene.quiet()
        before, used = scene.private(), scene.ticks()
        for turn in range(world.many(3, 100)):
            for name, where, text, answer in huge():
                got = send_all(scene, where, text)
                expect(re.match(answer, got), f"{name}: {got[:200]!r}")
        scene.quiet()
        grown = scene.private() - before
        scene.tap.note(f"{grown} KiB more in the end; {scene.ticks() - used:.2f} s of a processor")
        expect(grown <= 64, f"{grown} KiB more")
        scene.others()


def test_huge_heads_at_one_time(world):
    """Two hundred of them at once cost no more than the buffers that there are."""
    with Scene(world, "--set", "buffers=64", "--set", "sniff=20000") as scene:
        scene.others()
        scene.quiet()
        crowds = [Crowd(scene.space, where, 20, text[:200000]) for _, where, text, _ in huge()]
        scene.others()
        for crowd in crowds:
            crowd.close(hard=True)
        scene.quiet()
        limit, table = ceiling(scene)
        expect(scene.peak() <= limit, f"{scene.peak()} KiB is over {limit}: {table}")


def ceiling(scene):
    """What --limits promises for the same options, in KiB, and the whole text."""
    done = scene.space.run([*scene.node.command(), "--limits"])
    expect(done.returncode == 0, f"--limits: {done.returncode}: {done.stderr}")
    return int(re.search(r"^total\s.*?(\d+) KiB$", done.stdout, re.M).group(1)), done.stdout


def test_all_limits_at_once(world):
    """Connections, exchanges, buffers, names and the DNS cache full at one time: memory stays below --limits."""
    args = [word for size in SIZES for word in ("--set", size)]
    with Scene(world, *args, log=world.node.access_log) as scene:
        limit, table = ceiling(scene)
        idle = scene.status("VmRSS")
        crowds = [
            Crowd(scene.space, WEB, 100, get("/chunked/3000000"), receive=2048),
            Crowd(scene.space, WEB, 100, get("/bytes/3000000"), receive=2048),
            Crowd(scene.space, WEB, 100, get("/never", more="x-a: " + "b" * 7000 + "\r\n")),
            Crowd(scene.space, HELLO, 200, hello.made("tls.test pad=9000")[:-1]),
            Crowd(scene.space, HELLO, 100, hello.made("hole.test pad=9000")),
        ]
        for number in range(200):
            crowds.append(Crowd(scene.space, WEB, 1, get("/ok", f"name-{number}.farm.test")))
        crowds.append(Crowd(scene.space, RAW, 2000))
        scene.until_stat("downstream_cx_overflow_total", 500)
        for _ in range(5):
            for crowd in crowds:
                crowd.send(b"x" * 1000)
        scene.ask("/connections")
        peak = scene.peak()
        scene.tap.note(f"{idle} KiB idle, {peak} KiB at the peak, {limit} KiB promised")
        expect(peak <= limit, f"{peak} KiB is over {limit} KiB:\n{table}")
        for crowd in crowds:
            crowd.close(hard=True)
        scene.quiet()
        scene.others()
        until(lambda: scene.private() <= idle + 512, "memory to be given back", 20)
