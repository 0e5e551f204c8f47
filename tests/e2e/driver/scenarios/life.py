# SPDX-License-Identifier: MIT
"""The proxy's life: reload, bad policies, full tables, the end, and what is left of it."""
import difflib
import os
import re
import signal
import threading

from driver.errors import Failed
from driver.scenarios.guard import attempt
from driver.scenarios.http import ask
from lab import until
from lab.internet import FAMILY
from lab.node import Node
from lab.talk import Talk, Wrong

GET = "send GET {path} HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n"


def named(run, name, *without):
    """The group's policy under another name, without some services."""
    text = run.fill(run.group.profile.policy).replace("name        = life", f"name        = {name}")
    for service in without:
        text = re.sub(rf"\[service {service}\]\n(?:(?!\[).*\n?)*", "", text)
    return text


def reload_under_load(run):
    problems, done = [], threading.Event()

    def load():
        count = 0
        while not done.is_set() or count < 20:
            try:
                text = ask(run, "/bytes/100")
                if not text.startswith("HTTP/1.1 200 ") or len(text.partition("\r\n\r\n")[2]) != 100:
                    problems.append(text[:200] or "nothing")
            except (Wrong, Failed, OSError) as error:
                problems.append(str(error))
            count += 1

    threads = [threading.Thread(target=load, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(10):
            run.node.reload(named(run, f"turn-{turn}", *(["raw"] if turn % 2 else [])))
    finally:
        done.set()
        for thread in threads:
            thread.join(20)
        run.node.reload(named(run, "life"))
    run.expect(not problems, f"{len(problems)} failed: {problems[:3]}")


def reload_bad(run):
    node = run.node
    before = node.ctl("/policy")
    with open(node.compiled, "rb") as file:
        good = file.read()
    damaged = bytearray(good)
    damaged[len(good) // 2] ^= 1
    for what, data in (("damaged", bytes(damaged)), ("cut", good[:-1]), ("empty", b""), ("text", b"[policy]\n")):
        said = len(node.proxy.output())
        with open(node.compiled, "wb") as file:
            file.write(data)
        node.proxy.signal(signal.SIGHUP)
        until(lambda said=said: "policy" in node.proxy.output()[said:], f"a message about the {what} policy")
        run.expect(node.ctl("/policy") == before, f"{what}: the policy has changed")
        run.expect(run.curl("http://origin.test/bytes/1")[0] == "200", f"{what}: the old policy does not work")
    os.unlink(node.compiled)
    said = len(node.proxy.output())
    node.proxy.signal(signal.SIGHUP)
    until(lambda: "policy" in node.proxy.output()[said:], "a message about the missing policy")
    run.expect(run.curl("http://origin.test/bytes/1")[0] == "200", "missing: the old policy does not work")
    node.policy(named(run, "life"))


def reload_running(run):
    run.serve("raw.test:7000", "recv one", "send 1", "recv two", "send 2", "hold").wanted = 1
    tunnel = Talk(run.connect("raw.test:7000"))
    for line in ("send one", "recv 1"):
        verb, _, text = line.partition(" ")
        getattr(tunnel, f"do_{verb}")(text)
    kept = Talk(run.connect("origin.test:80"))
    kept.do_send(GET.format(path="/bytes/1", host="origin.test")[5:])
    kept.do_recv(r"^HTTP/1.1 200 .*?\r\n\r\n")
    kept.do_take("1")
    run.node.reload(named(run, "less", "origin", "raw"))
    try:
        kept.play([GET.format(path="/bytes/1", host="origin.test"), r"recv ^HTTP/1.1 502 .*?\r\n\r\n", "close"])
        tunnel.play(["send two", "recv 2", "close"])
        run.talk("raw.test:7000", "send \\x00three", "gone")
    finally:
        run.node.reload(named(run, "life"))


def flood(run):
    """Silent connections until the proxy has no room for more."""
    run.serve("raw.test:7000", "recv ping", "send pong", "hold")
    held = []
    refused = 0
    try:
        for _ in range(400):
            try:
                sock = run.connect("raw.test:7000", seconds=5)
            except (Failed, ConnectionResetError):
                refused += 1
                continue
            held.append(sock)
        answered = dropped = 0
        for sock in held:
            talk = Talk(sock, seconds=5)
            try:
                talk.do_send("ping")
                talk.do_recv("pong")
                answered += 1
            except (Wrong, ConnectionResetError, BrokenPipeError):
                dropped += 1
        run.expect(answered >= 10, f"only {answered} of 400 got through")
        run.expect(refused + dropped > 0, "all 400 got through a table that has no room for them")
        run.expect(run.node.proxy.alive(), "the proxy died")
    finally:
        for sock in held:
            sock.close()
    run.group.quiet()
    run.talk("raw.test:7000", "send ping", "recv pong", "close")


def rules(text):
    """A rule set without what counts."""
    return re.sub(r"counter packets \d+ bytes \d+", "counter", text)


def state(space):
    """Rules and routes of a namespace, as lines; without what the kernel adds on its own, when it finds the time."""
    text = "".join(rules(space.must(argv).stdout) for argv in (
        ["nft", "list", "ruleset"], ["ip", "rule"], ["ip", "-6", "rule"], ["ip", "route", "show", "table", "all"],
        ["ip", "-6", "route", "show", "table", "all", "type", "local"]))
    return [line for line in text.splitlines() if "fe80::" not in line and "ff00::/8" not in line]


def unmarked(lines):
    """The same without the secret mark, which is drawn anew each time."""
    return [re.sub(r"0x[0-9a-f]{7,8}", "MARK", line) for line in lines]


def same(run, before, after, text):
    """Two states have to be equal."""
    difference = [line for line in difflib.unified_diff(before, after, lineterm="", n=0)
                  if line[:2] not in ("--", "++", "@@")]
    run.expect(not difference, f"{text}: " + "; ".join(difference[:6]))


def says(run, argv, status, *words):
    """A command that has to end with this status, and to say these words."""
    done = run.pod.space.run(argv, seconds=10)
    run.expect(done.returncode == status, f"{argv[0]}: status {done.returncode}, not {status}: {done.stderr}")
    for word in words:
        run.expect(word in done.stderr, f"{argv[0]} does not say {word!r}: {done.stderr}")


def no_policy(run):
    node = run.node
    path = os.path.join(node.dir, "bad.slp")
    proxy = [node.program("tproxy"), "--policy", path, "--state", node.state, "--admin", node.admin + "2"]
    init = [node.program("init"), "apply", "--policy", path, "--state", node.state]
    before = state(run.pod.space)
    says(run, proxy, 66, "bad.slp")
    says(run, init, 66, "bad.slp")
    with open(node.compiled, "rb") as file:
        good = file.read()
    for data in (b"", good[:100], good[:-1], good[:40] + b"\1" + good[41:], good + b"\0", b"x" * 4096):
        with open(path, "wb") as file:
            file.write(data)
        says(run, proxy, 65, "bad.slp")
        says(run, init, 65, "bad.slp")
    same(run, before, state(run.pod.space), "a bad policy changed the rules")


def drain(run):
    node = run.node
    origin = run.world.origins["origin.test"][0]
    name = run.group.name
    busy = Talk(run.connect("origin.test:80"), seconds=20)
    busy.do_send(GET.format(path=f"/hold/{name}", host="origin.test")[5:])
    until(lambda: origin.waiting(name), "the request at the origin")
    idle = Talk(run.connect("origin.test:80"))
    idle.do_send(GET.format(path="/bytes/1", host="origin.test")[5:])
    idle.do_recv(r"^HTTP/1.1 200 .*?\r\n\r\n")
    idle.do_take("1")
    node.proxy.signal(signal.SIGTERM)
    idle.play(["gone"])  # nothing is asked over it: closed at once
    code, _, _ = run.curl("-m 1 http://origin.test/bytes/1")
    run.expect(code != "200", "a new connection was served while draining")
    run.expect(node.proxy.alive(), "the proxy did not wait for the request")
    # Workers that have ended already must not keep the listing from those that have not.
    live = node.ctl("/connections").splitlines()
    run.expect(len(live) == 1 and " origin.test " in live[0], f"while draining: {live}")
    origin.gate(name).set()
    busy.play([r"recv ^HTTP/1.1 200 .*?held\n", "hold"])
    status = node.proxy.wait(15)
    run.expect(status == 0, f"status {status}: {node.proxy.output()[-500:]}")
    run.undo.append(lambda: restart(run))


def restart(run):
    run.node.start()
    run.group.descriptors = run.node.open_descriptors()


def killed(run):
    """Nothing gets out; a new proxy serves again."""
    node = run.node
    kept = run.connect("origin.test:80")
    node.proxy.signal(signal.SIGKILL)
    node.proxy.wait()
    try:
        for where in ("origin.test:80", "evil.test:80", "www.wikipedia.org:443", "raw.test:7000"):
            code, _, status = run.curl(f"-m 1 --connect-to ::@{{{where}}} http://origin.test/")
            run.expect(status != 0 and code != "200", f"{where} answers though the proxy is dead")
        with run.pod.space.socket(FAMILY[run.family], 2) as sock:
            attempt(lambda: sock.sendto(b"leak", run.endpoint("evil.test:443")))
        run.group.check_wire()
    finally:
        kept.close()
        restart(run)
    run.expect(run.curl("http://origin.test/bytes/1")[0] == "200", "the new proxy does not serve")


OTHERS = """
table inet other {
	set hosts { type ipv4_addr; elements = { 192.0.2.1 } }
	chain input { type filter hook input priority 5; policy accept; ip saddr @hosts drop; }
}
"""


def remove(run):
    """In a pod of its own, which has rules of somebody else's."""
    pod = run.internet.pod(f"{run.group.name}-bare", run.family)
    space = pod.space
    space.must(["nft", "-f", "-"], stdin=OTHERS)
    space.ip("rule add fwmark 7 lookup 77 priority 777", "route add blackhole 192.0.2.0/24 table 77")
    before = state(space)
    node = Node(pod, run.node.programs, name=f"{run.group.name}-bare")
    text = run.fill(run.group.profile.policy)
    node.policy(text)
    run.expect(node.init("check").returncode != 0, "check finds nothing wrong though there are no rules")
    node.apply()
    applied = state(space)
    run.expect(applied != before, "apply has installed nothing")
    node.apply()
    same(run, applied, state(space), "applying twice is not applying once")
    done = node.init("check")
    run.expect(done.returncode == 0, f"check: status {done.returncode}: {done.stdout}{done.stderr}")
    node.policy(text.replace("dns    = allow", "dns    = reject"))
    run.expect(node.init("check").returncode != 0, "check finds nothing wrong with the rules of another policy")
    node.policy(text)
    if run.group.method == "tproxy":
        rule = re.search(r"^133:\s*(.*)", space.must(["ip", "rule"]).stdout, re.M)
        space.ip("rule del " + rule.group(1))
        run.expect(node.init("check").returncode != 0, "check does not miss the policy routing rule")
        node.apply()
        same(run, unmarked(applied), unmarked(state(space)), "apply does not put back what was missing")
    done = node.remove()
    run.expect(done.returncode == 0, f"remove: status {done.returncode}: {done.stderr}")
    same(run, before, state(space), "remove leaves the pod other than it was")
    run.expect(node.remove().returncode == 0, "removing what is not there")
    node.apply()
    same(run, unmarked(applied), unmarked(state(space)), "applied again, the rules are others")
    space.close()
