# SPDX-License-Identifier: MIT
"""TLS and TCP through the proxy: bytes untouched, deadlines, databases."""
import os
import socket
import threading
import time

from driver.errors import Failed
from lab import until
from lab.base import need
from lab.hello import made
from lab.internet import V4, V6
from lab.node import PORT
from lab.talk import Talk, Wrong


def own_port(run):
    """Nobody is let in at the front door, and nobody gets round and round."""
    for name in [run.case.row] if run.case.row else ["loopback", "pod"]:
        try:
            sock = run.connect(f"{name}:{PORT}")
        except (Failed, ConnectionResetError):
            continue  # refused already
        talk = Talk(sock)
        try:
            talk.play(["send GET /echo HTTP/1.1\\r\\nHost: origin.test\\r\\n\\r\\n", "gone"])
        except Wrong as wrong:
            if "Broken pipe" not in str(wrong) and "reset" not in str(wrong):
                raise
    run.expect(not run.requests(), "a request to the proxy's own port went out")


def hello_untouched(run):
    server = run.serve("tls.test:443", "hold")
    server.wanted = 1
    verb, _, rest = run.case.row.partition(" ")
    size, _, spec = rest.partition(" ") if verb == "slowhello" else ("0", "", rest)
    data = made(spec)
    talk = Talk(run.connect("tls.test:443"))
    if verb == "slowhello":
        talk.pieces(data, int(size))
    else:
        talk.sock.sendall(data)
    talk.sock.shutdown(socket.SHUT_WR)
    talk.play(["hold"])
    server.finish()
    run.expect(server.received == [data], f"sent {data.hex()}, arrived {[bytes(r).hex() for r in server.received]}")


def bulk(run):
    size = 20_000_000
    listener = run.internet.listen(run.internet.hosts["raw.test"], 7000, run.family)
    problems = []

    def end(talk):
        sender = threading.Thread(target=lambda: (talk.do_bytes(size), talk.do_shut("")), daemon=True)
        sender.start()
        try:
            talk.do_take(size)
            talk.do_end("")
        except (Wrong, OSError) as error:
            problems.append(str(error))
        sender.join(20)
        talk.sock.close()

    def serve():
        sock, _ = listener.accept()
        end(Talk(sock, seconds=20))

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    end(Talk(run.connect("raw.test:7000"), seconds=20))
    server.join(20)
    listener.close()
    run.expect(not problems, "; ".join(problems))


def slow_reader(run):
    size = 5_000_000
    run.serve("raw.test:7000", f"bytes {size}", "shut", "hold").wanted = 1
    slow = Talk(run.connect("raw.test:7000"), seconds=20)
    for _ in range(3):
        code, _, _ = run.curl("http://origin.test/bytes/100000")
        run.expect(code == "200", f"somebody else's request: {code}")
    slow.play([f"take {size}", "end"])


def drip(run):
    """A byte now and then, for as long as the other end is there."""
    sock = run.connect("tls.test:443")
    sock.settimeout(0.05)
    data = made("tls.test pad=400")
    begin = time.monotonic()
    try:
        for byte in data:
            sock.sendall(bytes([byte]))
            try:
                if sock.recv(1) == b"":
                    return
                raise Failed("the proxy said something")
            except TimeoutError:
                pass
            run.expect(time.monotonic() - begin < 10, "still open after 10 s")
    except (ConnectionResetError, BrokenPipeError):
        return
    finally:
        sock.close()
    raise Failed("the whole ClientHello was taken, though it dripped")


def connect_deadline(run):
    code, _, _ = run.curl("--resolve hole.test:80:@{[evil.test]} http://hole.test/")
    run.expect(code == "503", f"HTTP: {code}")
    run.talk("evil.test:443", "hello hole.test", "gone")
    run.wait_log(response_code=503, response_flags="UF", authority="hole.test")
    run.wait_log(response_code=0, response_flags="UF", requested_server_name="hole.test")


def database(run):
    """The world's MariaDB, on db.test in both families; started by the first case that needs it."""
    need("mariadbd", "mariadb")
    world = run.world
    if "mariadb" not in world.services:
        home = run.lab.path(world.name, "mariadb")
        os.makedirs(home)
        where = ",".join(run.internet.address("db.test", family) for family in (V4, V6))
        world.services["mariadb"] = run.internet.space.spawn(f"{world.name}/mariadbd", [
            "mariadbd", "--no-defaults", f"--datadir={home}", "--user=root", f"--bind-address={where}", "--port=3306",
            f"--socket={home}/socket", f"--pid-file={home}/pid", "--skip-grant-tables", "--skip-name-resolve",
            "--skip-innodb", "--default-storage-engine=Aria", "--default-tmp-storage-engine=Aria"])
        until(lambda: run.internet.answers(run.internet.hosts["db.test"], 3306), "mariadbd", 60)
    return world.services["mariadb"]


def mariadb(run):
    database(run)
    done = run.command("mariadb --no-defaults --skip-ssl -h @{db.test} -P 3306 -u root -N "
                       "-e 'select 6 * 7, repeat(\"x\", 100000)'")
    run.expect(done.returncode == 0 and done.stdout.startswith("42\t" + "x" * 100000), done.stderr or done.stdout[:200])


def redis(run):
    need("redis-server", "redis-cli")
    world = run.world
    if "redis" not in world.services:
        where = [run.internet.address("cache.test", family) for family in (V4, V6)]
        world.services["redis"] = run.internet.space.spawn(f"{world.name}/redis", [
            "redis-server", "--bind", *where, "--port", "6379", "--save", "", "--protected-mode", "no",
            "--dir", run.lab.path(world.name)])
        until(lambda: run.internet.answers(run.internet.hosts["cache.test"], 6379), "redis-server", 30)
    done = run.command(f"redis-cli -h @{{cache.test}} set {run.group.name} 42")
    run.expect(done.stdout.strip() == "OK", done.stdout + done.stderr)
    done = run.command(f"redis-cli -h @{{cache.test}} get {run.group.name}")
    run.expect(done.stdout.strip() == "42", done.stdout + done.stderr)
