# SPDX-License-Identifier: MIT
"""The admin socket: its pages, and clients that do not behave."""
import json
import re
import signal
import socket
import threading

from bench import SERVICE
from lab import until

SAMPLE = re.compile(r"(sluice_[a-z0-9_]+)(?:\{((?:[a-z]+=\"(?:[^\"\\\n]|\\.)*\",?)+)\})? ([0-9.]+)")


def ask(bench, text):
    """Send bytes, read to the end: status, head, body."""
    with bench.connect_admin() as client:
        client.sendall(text if isinstance(text, bytes) else text.encode())
        return answer(client)


def answer(client):
    data = b""
    while True:
        try:
            more = client.recv(65536)
        except ConnectionResetError:  # it did not read all that was sent
            more = b""
        if not more:
            break
        data += more
    if not data:
        return None, "", ""
    head, _, body = data.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


def get(bench, path, method="GET"):
    return ask(bench, f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n")


def test_pages(bench):
    bench.policy()
    proxy = bench.start()
    for path in ("/ready", "/ready?x=1", "/ready#x"):
        status, head, body = get(bench, path)
        assert (status, body) == (200, "ready\n"), (path, status, body)
        assert "content-length: 6\r\n" in head and "connection: close" in head and "content-type: text/plain" in head
    status, head, body = get(bench, "/ready", "HEAD")
    assert status == 200 and "content-length: 6\r\n" in head and body == ""
    status, _, body = get(bench, "/")
    assert status == 200 and body.startswith("ready\n")
    for path in re.findall(r"^GET +(\S+)", body, re.M):
        assert get(bench, path)[0] == 200, path
    assert re.findall(r"^POST +(\S+)", body, re.M) == ["/reload", "/quitquitquit"]
    assert bench.ctl("connections") == ""
    assert proxy.stop() == 0


def test_policy_page(bench):
    bench.policy(services=SERVICE + "\n[service mongo]\nhosts = db.test\naddresses = 192.0.2.0/24\nports = mongo:27018\n"
                                    "resolution = static\nendpoints = 192.0.2.1, 192.0.2.2:27019\n")
    proxy = bench.start()
    page = json.loads(bench.ctl("policy"))
    assert page["name"] == "plant-7" and page["sequence"] == 42 and page["node"] == "mesh", page
    assert page["outbound"] == "registry-only" and page["enforcement"] == "enforce" and page["hosts"] == 3, page
    mongo, wikipedia = page["services"]
    assert wikipedia["hosts"] == 2 and wikipedia["resolution"] == "dns" and wikipedia["location"] == "external", wikipedia
    assert wikipedia["ports"] == [{"number": 80, "target": 80, "protocol": "http"},
                                  {"number": 443, "target": 8443, "protocol": "https"}], wikipedia
    assert (mongo["name"], mongo["addresses"], mongo["endpoints"]) == ("mongo", 1, 2), mongo
    assert proxy.stop() == 0


def test_prometheus_page(bench):
    bench.policy()
    proxy = bench.start("--workers", "2")
    status, head, body = get(bench, "/stats/prometheus")
    assert status == 200 and "content-type: text/plain; version=0.0.4" in head
    described, seen, kinds = set(), set(), {}
    current = None
    for line in body.splitlines():
        comment = re.fullmatch(r"# (HELP|TYPE) (sluice_[a-z0-9_]+) (.+)", line)
        if comment:
            if comment.group(1) == "HELP":
                assert comment.group(2) not in described, line
                described.add(comment.group(2))
            else:
                kinds[comment.group(2)] = comment.group(3)
                current = comment.group(2)
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, line
        assert sample.group(1) == current and current in described, line
        assert (sample.group(1), sample.group(2)) not in seen, line
        seen.add((sample.group(1), sample.group(2)))
    for name, kind in kinds.items():
        assert kind == ("counter" if name.endswith("_total") else "gauge"), (name, kind)
    assert ("sluice_decisions_total", 'reason="unlisted"') in seen
    assert ("sluice_tls_refused_total", 'reason="tls-duplicate"') in seen
    assert ("sluice_http_refused_total", 'reason="http-host-duplicate"') in seen
    assert ("sluice_finished_total", 'flag="UH"') in seen
    assert "\nsluice_workers 2\n" in body and "\nsluice_policy_services 1\n" in body
    assert 'sluice_policy_info{name="plant-7",' in body and 'sequence="42"} 1\n' in body
    resident = int(re.search(r"^sluice_process_resident_memory_bytes (\d+)$", body, re.M).group(1))
    assert 50_000 < resident < 1 << 30, resident
    # The plain page has the same figures.
    plain = bench.stats()
    assert len(plain) == len([s for s in seen if "_info" not in s[0]]), plain.keys()
    assert proxy.stop() == 0


def test_connections_are_counted(bench):
    bench.policy()
    proxy = bench.start()
    for _ in range(3):
        bench.knock()
    until(lambda: bench.stats()["downstream_cx_total"] == "3", "three connections", 20)
    until(lambda: bench.stats()["downstream_cx_active"] == "0", "all ended", 20)
    assert proxy.stop() == 0


def test_wrong_requests(bench):
    bench.policy()
    proxy = bench.start()
    rows = [
        ("GET /nope HTTP/1.1\r\n\r\n", 404, "no such page"),
        ("GET //ready HTTP/1.1\r\n\r\n", 404, ""),
        ("POST /ready HTTP/1.1\r\n\r\n", 405, ""),
        ("GET /reload HTTP/1.1\r\n\r\n", 405, ""),
        ("HEAD /quitquitquit HTTP/1.1\r\n\r\n", 405, ""),
        ("PUT /ready HTTP/1.1\r\n\r\n", 405, ""),
        ("DELETE / HTTP/1.1\r\n\r\n", 405, ""),
        ("POST /reload HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 400, ""),
        ("POST /reload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, ""),
        ("GET /" + "x" * 200 + " HTTP/1.1\r\n\r\n", 414, ""),
        ("GET /ready HTTP/1.1\r\nX: " + "x" * 5000, 431, ""),
        ("garbage\r\n\r\n", 400, ""),
        ("\x16\x03\x01\x00\x10", 400, ""),
        ("GET /ready HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, ""),
    ]
    for text, status, expect in rows:
        got, head, body = ask(bench, text)
        assert got == status and expect in body, (text[:60], got, body)
        assert status != 405 or "\r\nallow: " in head, head
    assert bench.stats()["reload_total"] == "0"
    assert bench.ctl("ready") == "ready\n"
    assert proxy.stop() == 0


def test_requests_in_pieces(bench):
    bench.policy()
    proxy = bench.start()
    with bench.connect_admin() as client:
        for byte in b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n":
            client.sendall(bytes([byte]))
        assert answer(client)[2] == "ready\n"
    with bench.connect_admin() as client:  # the second request of a connection is not read
        client.sendall(b"GET /ready HTTP/1.1\r\n\r\nGET /ready HTTP/1.1\r\n\r\n")
        status, _, body = answer(client)
        assert (status, body) == (200, "ready\n")
    assert proxy.stop() == 0


def test_slow_and_many_clients(bench):
    """Eight silent clients fill the table; signals are still handled, the ninth is served once their time is over."""
    bench.policy()
    proxy = bench.start()
    silent = [bench.connect_admin() for _ in range(8)]
    silent[0].sendall(b"GET /rea")
    ninth = bench.connect_admin()
    ninth.sendall(b"GET /ready HTTP/1.1\r\n\r\n")
    proxy.signal(signal.SIGHUP)
    proxy.says("reloaded: ")
    for client in silent:
        assert answer(client)[0] is None
        client.close()
    assert answer(ninth)[2] == "ready\n"
    ninth.close()
    assert bench.ctl("ready") == "ready\n"
    assert proxy.stop() == 0


def test_reader_that_does_not_read(bench):
    """A page of several megabytes to a client that takes none of it: the client goes, nothing else."""
    services = "".join(f"\n[service s{i}]\nhosts = s{i}.test\nports = http:80\nresolution = dns\n" for i in range(5000))
    bench.policy(services=services)
    proxy = bench.start()
    stuck = bench.connect_admin()
    stuck.sendall(b"GET /policy HTTP/1.1\r\n\r\n")
    assert len(json.loads(bench.ctl("policy"))["services"]) == 5000
    status, head, body = answer(stuck)
    assert status == 200 and len(body) <= int(re.search(r"content-length: (\d+)", head).group(1))
    stuck.close()
    assert bench.ctl("ready") == "ready\n"
    assert proxy.stop() == 0


def test_client_program(bench):
    bench.policy()
    missing = bench.ctl("ready", status=69)
    assert "No such file" in missing
    proxy = bench.start()
    assert bench.ctl("ready") == bench.ctl("/ready") == "ready\n"
    assert bench.ctl().startswith("ready\n")
    assert "status 404" in bench.ctl("nope", status=69)
    bench.ctl("a b", status=64)
    bench.ctl("x" * 300, status=64)
    assert proxy.stop() == 0
    assert "refused" in bench.ctl("ready", status=69)


def test_client_program_and_broken_servers(bench):
    for reply in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort", b"nonsense\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(bench.path(f"s{len(reply)}"))
            server.listen()

            def serve(server=server, reply=reply):
                client, _ = server.accept()
                client.recv(4096)
                client.sendall(reply)
                client.close()

            thread = threading.Thread(target=serve)
            thread.start()
            status, said = bench.run(command=[bench.program("tproxy"), "--ctl", bench.path(f"s{len(reply)}"), "ready"])
            thread.join()
            assert status == 76 and "no whole answer" in said, (reply, status, said)
