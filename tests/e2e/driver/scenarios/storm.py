# SPDX-License-Identifier: MIT
"""Many connections at a time, given up wherever that is awkward."""
import threading

from driver.errors import Failed
from lab.hello import made
from lab.talk import Talk, Wrong, abort

ROUNDS, THREADS = 4, 8
HELLO = made("www.wikipedia.org pad=100")
GET = b"GET %b HTTP/1.1\r\nHost: origin.test\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 100000\r\n\r\nthe beginning"

# Where to connect, what to say, and how many bytes of the answer to wait for before leaving. Where an answer would never
# come, the client leaves with a reset: one that only has no more to say may wait for it as long as the deadlines allow.
SILENT = (b"/stall", b"/never")
ENDS = [
    ("www.wikipedia.org:443", b"", 0), ("www.wikipedia.org:443", HELLO[:3], 0), ("www.wikipedia.org:443", HELLO[:-1], 0),
    ("www.wikipedia.org:443", HELLO, 0), ("www.wikipedia.org:443", HELLO, 1),
    ("evil.test:443", made("evil.test pad=1"), 0), ("tls.test:443", made("missing.test pad=1"), 0),
    ("hole.test:443", made("loopback.test pad=1"), 0),
    ("origin.test:80", b"", 0), ("origin.test:80", b"GET / HT", 0), ("origin.test:80", GET % b"/echo", 0),
    ("origin.test:80", GET % b"/echo", 1), ("origin.test:80", GET % b"/bytes/3000000", 100000),
    ("origin.test:80", GET % b"/chunked/300000", 5000), ("origin.test:80", GET % b"/stall", 10),
    ("origin.test:80", GET % b"/never", 0), ("origin.test:80", GET % b"/reset", 1), ("origin.test:80", POST, 0),
    ("origin.test:80", GET % b"/bytes/10" + GET % b"/bytes/10" + GET % b"/never", 100),
    ("origin.test:80", b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n" * 3, 100), ("origin.test:80", b"\x00\x01", 0),
    ("refuses.test:80", b"GET / HTTP/1.1\r\nHost: refuses.test\r\n\r\n", 1),
    ("raw.test:7002", b"hello", 0), ("mail.test:25", b"", 0),
]


def leave(run, where, data, wait, hard):
    """One connection; `hard`: given up with a reset."""
    try:
        sock = run.connect(where, seconds=5)
    except (Failed, ConnectionResetError):
        return
    try:
        sock.sendall(data)
        while wait > 0:
            more = sock.recv(min(wait, 65536))
            if not more:
                break
            wait -= len(more)
    except OSError:
        pass
    if hard or any(path in data for path in SILENT):
        abort(sock)
    else:
        sock.close()


def storm(run):
    ends = ENDS

    def work(number):
        for turn in range(ROUNDS):
            for at in range(len(ends)):
                leave(run, *ends[(at + number * 3) % len(ends)], hard=(turn + at + number) % 2)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    run.group.quiet()
    stats = run.node.stats()
    run.expect(stats["sluice_downstream_cx_total"] > ROUNDS * THREADS * len(ends) / 2, f"too few: {stats}")
    talk = Talk(run.connect("origin.test:80"))
    try:
        talk.play(["send GET /bytes/1 HTTP/1.1\\r\\nHost: origin.test\\r\\n\\r\\n", "recv ^HTTP/1.1 200 "])
    except Wrong as wrong:
        raise Failed(f"after the storm: {wrong}") from None
