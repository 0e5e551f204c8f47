# SPDX-License-Identifier: MIT
"""Reloads under load, and a log whose reader stops."""
import os
import re
import socket
import threading
import time

from lab.accesslog import parse_text
from lab.base import until
from peers import Crowd
from scene import RAW, WEB, Scene, expect, get


class Load:
    """Clients that ask one after the other, on kept connections and on new ones; each must be served."""

    def __init__(self, scene, threads=3):
        self.scene = scene
        self.served = 0
        self.problems = []
        self._stop = False
        self._threads = [threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number):
        while not self._stop:
            try:
                with self.scene.open(WEB) as sock:
                    for _ in range(1 if number else 20):
                        sock.sendall(get("/bytes/10"))
                        data = b""
                        while not data.endswith(b"\r\n\r\n" + bytes(i * 7 & 255 for i in range(10))):
                            more = sock.recv(4096)
                            if not more:
                                raise ConnectionError(f"closed: {data!r}")
                            data += more
                        if not data.startswith(b"HTTP/1.1 200 "):
                            raise ConnectionError(f"{data!r}")
                        self.served += 1
            except OSError as error:
                self.problems.append(f"{type(error).__name__}: {error}")
                return

    def end(self):
        self._stop = True
        for thread in self._threads:
            thread.join(30)
        expect(not self.problems, f"requests that failed: {self.problems}")
        return self.served


def policies(scene):
    return sum("memfd:policy" in text for text in scene.node.open_descriptors())


def test_reloads_under_load(world):
    """No request fails, tunnels live on, old policies are freed, memory and descriptors are as before."""
    count = world.many(150, 1000)
    with Scene(world) as scene:
        node = world.node
        texts = []
        for name in ("one", "two"):
            node.policy(world.text(name=name))
            texts.append(open(node.compiled, "rb").read())

        def turn(number):
            with open(f"{node.compiled}.new", "wb") as file:
                file.write(texts[number % 2])
            os.rename(f"{node.compiled}.new", node.compiled)
            status, said = scene.ask("/reload", "POST")
            expect(status == 200, f"reload {number}: {status} {said}")

        load = Load(scene)
        tunnels = []
        for number in range(20):  # what stays after the first is what one reload needs
            turn(number)
            if number < 12:  # each of another generation, more than are kept
                tunnels.append(Crowd(scene.space, RAW, 2))
                expect(tunnels[-1].echo(b"x") == 2, "a new tunnel")
        before = (scene.private(), len(node.open_descriptors()))
        for number in range(count):
            turn(number)
        for crowd in tunnels:
            expect(crowd.echo(b"still here") == 2, "a tunnel did not outlive the reloads")
        served = load.end()
        expect(served > 10, f"{served} requests")
        for crowd in tunnels:
            crowd.close()
        scene.quiet()
        turn(0)
        until(lambda: policies(scene) == 1, "old policies to be freed")
        stats = scene.stats()
        expect(stats["sluice_reload_total"] == count + 21 and stats["sluice_reload_failed_total"] == 0, f"{stats}")
        after = (scene.private(), len(node.open_descriptors()))
        scene.tap.note(f"{count} reloads, {served} requests; KiB and descriptors: {before} before, {after} after")
        expect(after[0] - before[0] <= 64, f"memory: {before[0]} KiB before, {after[0]} after")
        expect(after[1] <= before[1], f"descriptors: {before[1]} before, {after[1]} after")


def test_bad_reloads_under_load(world):
    """Refused ones cost nothing either."""
    with Scene(world) as scene:
        world.node.policy(world.text().replace("tproxy", "redirect"))  # valid, but it needs a restart
        with open(world.node.compiled, "rb") as file:
            other = file.read()
        load = Load(scene, 2)
        before = None
        for number in range(world.many(60, 1000)):
            with open(world.node.compiled, "wb") as file:
                file.write(other if number % 2 else os.urandom(number * 7))
            status, _ = scene.ask("/reload", "POST")
            expect(status == 422, f"reload {number}: {status}")
            before = before or (number == 9 and scene.private())
        load.end()
        expect(scene.private() - before <= 64, "memory")
        expect(policies(scene) <= 2, f"{policies(scene)} policies are open")
        world.node.policy(world.text())


def requests(scene, count):
    """So many requests on a few connections, whose answers must come."""
    for _ in range(count // 100):
        with scene.open(WEB) as sock:
            sock.sendall(get("/bytes/1") * 100)
            data = b""
            while data.count(b"HTTP/1.1 200 ") < 100:
                more = sock.recv(1 << 16)
                expect(more, f"closed after {data.count(b'HTTP/1.1 200 ')} answers")
                data += more


def test_log_pipe_that_nobody_reads(world):
    """Traffic goes on; every line is either in the pipe, whole, or counted as lost; and the log recovers."""
    fifo = os.path.join(world.node.logs, "access.fifo")
    os.mkfifo(fifo)
    os.chown(fifo, 1337, 1337)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    count = world.many(3000, 100000)
    try:
        with Scene(world, log=fifo) as scene:
            requests(scene, count)
            scene.others(5, "while the log is stuck")
            dropped = scene.stat("access_log_dropped_total")
            expect(dropped > 0, "the log holds everything: nothing was blocked")
            quiet = scene.calls(2)
            expect(quiet < 400, f"{quiet} system calls in two seconds while the log is stuck")
            text = b""

            def drain():
                nonlocal text
                try:
                    while more := os.read(reader, 1 << 16):
                        text += more
                except BlockingIOError:
                    pass
                return text.count(b"\n")
            total = count + 5 + 2
            until(lambda: drain() + scene.stat("access_log_dropped_total") >= total, f"{total} lines, read or lost", 30)
            lines = text.decode("ascii").splitlines()
            for line in lines:
                parse_text(line)
            lost = scene.stat("access_log_dropped_total")
            expect(len(lines) + lost == total, f"{len(lines)} lines and {lost} lost are not {total}")
            scene.tap.note(f"{len(lines)} lines read, {lost} lost")
            requests(scene, 100)
            until(lambda: drain() >= len(lines) + 100, "lines after the reader came back", 20)
    finally:
        os.close(reader)
        os.unlink(fifo)


def test_stderr_that_nobody_reads(world):
    """Diagnostics have nowhere to go: they are lost, and nothing waits for them."""
    reader, writer = os.pipe()
    node = world.node
    try:
        import fcntl
        fcntl.fcntl(writer, 1031, 4096)  # F_SETPIPE_SZ
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            pass
        os.set_blocking(writer, True)
        with Scene(world, "--set", "max-conns=16", prefix=["sh", "-c", f'exec "$@" 2>/proc/{os.getpid()}/fd/{writer}',
                                                            "sh"]) as scene:
            for _ in range(world.many(3, 30)):
                crowd = Crowd(scene.space, RAW, 300)
                crowd.close(hard=True)
                status, _ = scene.ask("/reload", "POST")
                expect(status == 200, "reload")
            scene.quiet()
            scene.others(3, "while stderr is stuck")
            expect(scene.output() == "", "stderr is not where it should be")
    finally:
        os.close(reader)
        os.close(writer)
        node.prefix = []


def test_refusals_are_not_a_flood_of_lines(world):
    """Ten thousand refused connections a line each at most, and none on stderr."""
    count = world.many(2000, 50000)
    with Scene(world, log=world.node.access_log) as scene:
        open(world.node.access_log, "w", encoding="ascii").close()
        said = len(scene.output())
        for _ in range(count // 500):
            crowd = Crowd(scene.space, ("203.0.113.66", 7000), 500, b"\x00\x01")
            until(lambda c=crowd: c.over() == 500, "refusals", 20)
            crowd.close()
        scene.quiet()
        expect(len(scene.output()) == said, f"stderr: {scene.output()[said:][:500]}")
        until(lambda: len(open(world.node.access_log, encoding="ascii").readlines()) +
              scene.stat("access_log_dropped_total") == count, "a line each")


def test_clients_at_the_admin_socket(world):
    """More clients of the admin interface than it serves at a time, who say nothing: the data path does not notice."""
    with Scene(world) as scene:
        held = []
        for _ in range(100):
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            try:
                sock.connect(world.node.admin)
            except BlockingIOError:  # its queue is full
                pass
            held.append(sock)
        scene.others()
        for sock in held:
            sock.close()
        until(lambda: answers(scene), "the admin interface to answer again", 30)


def answers(scene):
    try:
        return scene.ask("/ready")[0] == 200
    except (OSError, IndexError):
        return False
