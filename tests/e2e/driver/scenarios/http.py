# SPDX-License-Identifier: MIT
"""HTTP: bodies, reuse of upstream connections, upgrades, where names lead."""
import hashlib
import re

from lab import until
from lab.talk import Talk, pattern

BULK = 50_000_000


def expect_refused(run):
    """The final answer comes instead of 100 Continue."""
    name, status = run.case.row.split()
    run.talk("origin.test:80",
             f"send POST /refuse HTTP/1.1\\r\\nHost: {name}\\r\\nExpect: 100-continue\\r\\nContent-Length: 5\\r\\n\\r\\n",
             f"recv ^HTTP/1.1 {status} .*?\\r\\n\\r\\n", "close")


def large_head(run):
    run.talk("origin.test:80", f"send GET / HTTP/1.1\\r\\nHost: origin.test\\r\\nX: {'a' * 70000}\\r\\n\\r\\n",
             "recv ^HTTP/1.1 431 ", "hold")
    run.talk("origin.test:80", f"send GET /{'a' * 70000} HTTP/1.1\\r\\nHost: origin.test\\r\\n\\r\\n",
             "recv ^HTTP/1.1 4(14|31) ", "hold")
    fields = "".join(f"X-{i}: 1\\r\\n" for i in range(500))
    run.talk("origin.test:80", f"send GET / HTTP/1.1\\r\\nHost: origin.test\\r\\n{fields}\\r\\n",
             "recv ^HTTP/1.1 4(00|31) ", "hold")


def upload(run):
    digest = hashlib.sha256()
    for start in range(0, BULK, 1 << 20):
        digest.update(pattern(start, min(1 << 20, BULK - start)))
    run.talk("origin.test:80", f"send POST /echo HTTP/1.1\\r\\nHost: origin.test\\r\\nContent-Length: {BULK}\\r\\n\\r\\n",
             f"bytes {BULK}", f"recv ^HTTP/1.1 200 .*body {BULK} {digest.hexdigest()}\n", "close", seconds=30)


def ask(run, path, name="origin.test"):
    """One request over a connection of its own; returns the response's head and body as text."""
    talk = Talk(run.connect("origin.test:80"))
    talk.play([f"send GET {path} HTTP/1.1\\r\\nHost: {name}\\r\\nConnection: close\\r\\n\\r\\n", "hold"])
    return talk.received.decode("latin-1")


def connections(responses):
    """Which of the origin's connections the responses came over."""
    return [re.search(r"x-connection: (\d+)", text).group(1) for text in responses]


def reuse(run):
    before = run.node.stats()
    responses = [ask(run, "/bytes/1") for _ in range(12)]
    run.expect(all(text.startswith("HTTP/1.1 200 ") for text in responses), f"not all are 200: {responses}")
    used = len(set(connections(responses)))
    run.expect(used <= 2, f"12 requests came over {used} connections, though there are two workers")
    after = run.node.stats()
    name = "sluice_upstream_cx_reused_total"
    run.expect(after[name] - before[name] >= 10, f"{name} went from {before[name]} to {after[name]}")


def reuse_closed(run):
    for number in range(12):
        text = ask(run, "/hang-up" if number % 2 else "/bytes/1")
        run.expect(text.startswith("HTTP/1.1 200 "), f"request {number}: {text!r}")


def websocket(run):
    early = run.case.row == "early"
    request = ("send GET /ws HTTP/1.1\\r\\nHost: ws.test\\r\\nConnection: keep-alive, Upgrade\\r\\nUpgrade: websocket\\r\\n"
               "Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n")
    run.talk("ws.test:80", request + ("early bytes" if early else ""),
             r"recv (?i)^HTTP/1.1 101 .*sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=.*?\r\n\r\n",
             *(["recv ^early bytes"] if early else []), "send ping", "recv ^ping", "send pong", "recv ^pong", "shut", "end")


def wildcard(run):
    name, v4, v6 = run.case.row.split()
    where = f"{v4}:80" if run.family == 4 else f"[{v6}]:80"
    status, _, _ = run.curl(f"--resolve {name}:80:@{{[evil.test]}} http://{name}/echo")
    run.expect(status == "200", f"{name}: {status}")
    run.wait_log(authority=name, upstream_host=where, response_code=200)


def weights(run):
    for _ in range(80):
        text = ask(run, "/bytes/1", "pool.test")
        run.expect(text.startswith("HTTP/1.1 200 "), text)
    until(lambda: len(run.records()) >= 80, "80 lines in the log")
    hosts = [record["upstream_host"] for record in run.records()]
    one, two = (hosts.count(run.fill(f"@{{{name}.pool.test:80}}")) for name in ("one", "two"))
    run.expect(one + two == 80, f"80 requests, {one} and {two} to the endpoints")
    run.expect(one >= 40 and two >= 3, f"weights 3 and 1, but {one} and {two} requests")
