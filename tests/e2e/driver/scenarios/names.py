# SPDX-License-Identifier: MIT
"""Name resolution: name servers that die, lie low or change their minds. The group has a name server of its own."""
import re
import signal
import time

from lab import until


def fetch(run, name, path="/bytes/1"):
    """The status of a request for a name; the application itself needs no name server."""
    return run.curl(f"--resolve {name}:80:@{{[evil.test]}} http://{name}{path}")[0]


def questions(run, mark):
    """Packets to name servers since then."""
    return [frame for frame in run.group.sniffer.seen(mark) if frame.dport == 53]


def stale(run):
    server = run.group.nameserver
    server.change({"stale.test": run.internet.hosts["origin.test"]})
    until(lambda: fetch(run, "stale.test") == "200", "stale.test")
    server.child.stop()
    begin = time.monotonic()
    try:
        while time.monotonic() < begin + 4:  # four times its time to live
            code = fetch(run, "stale.test")
            run.expect(code == "200", f"{code}, {time.monotonic() - begin:.1f} s after the name server's end")
    finally:
        server.start()
    run.expect(run.node.stats().get("sluice_dns_stale_total", 1) > 0, "no answer was stale")


def dead(run):
    """Both kinds of death: refusing questions, and silence."""
    server = run.group.nameserver
    server.child.stop()
    try:
        run.expect(fetch(run, "gone.test") == "503", "no name server")
    finally:
        server.start()
    run.wait_log(authority="gone.test", response_code=503, response_flags="DF")
    server.child.signal(signal.SIGSTOP)
    try:
        run.expect(fetch(run, "slow.test") == "503", "a silent name server")
        run.talk("evil.test:443", "hello slow.test", "gone", seconds=20)
    finally:
        server.child.signal(signal.SIGCONT)
    run.wait_log(authority="slow.test", response_code=503, response_flags="DF")
    run.wait_log(requested_server_name="slow.test", response_flags="DF")


def moving(run):
    server = run.group.nameserver
    for name in ("origin.test", "other.test", "origin.test"):
        server.change({"moving.test": run.internet.hosts[name]})

        def there(name=name):
            code = fetch(run, "moving.test")
            run.expect(code == "200", f"{code} while the name moves")
            return run.records() and re.search(rf"\b{run.internet.hosts[name]}\]?:80$", run.records()[-1]["upstream_host"])
        until(there, f"moving.test at {name}", 15)


def eyeballs(run):
    for name in ("eyes.test", "eyes6.test"):
        begin = time.monotonic()
        code = fetch(run, name)
        took = time.monotonic() - begin
        run.expect(code == "200", f"{name}: {code}")
        run.expect(took < 5, f"{name}: {took:.1f} s; one family is dead, the other is not")


def negative(run):
    server = run.group.nameserver
    run.expect(fetch(run, "broken.test") == "503", "a name that does not exist")
    mark = len(run.group.sniffer.seen())
    for _ in range(5):
        run.expect(fetch(run, "broken.test") == "503", "a name that does not exist")
    run.expect(len(questions(run, mark)) <= 4, f"asked again for each request: {len(questions(run, mark))} packets")
    server.change({"broken.test": run.internet.hosts["origin.test"]})
    until(lambda: fetch(run, "broken.test") == "200", "the name, now that it exists", 45)
