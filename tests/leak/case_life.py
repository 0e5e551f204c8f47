# SPDX-License-Identifier: MIT
"""The proxy comes and goes; the pod begins; connections that are older than the rules."""
import contextlib
import os
import shutil
import signal
import socket
import threading

from lab.base import until
from lab.internet import FAMILY, V4, V6
from lab.sniffer import decode
from noise import Noise
from packet import ICMP, icmp
from stage import METHODS, OTHER, Load, Stage
from suite import case, expect, none_of

SYN, ACK = 2, 16


def contained(stage, start=0):
    """Nothing got out since then."""
    stage.fence()
    expect(stage.wire.lost() == 0, "the sniffer lost frames")
    none_of(stage.wire.count(start)[0])


def begin(suite, method, **options):
    stage = suite.world.stage(method, **options)
    stage.up()
    stage.prepare()
    return stage


def pause(seconds):
    """The pace of a test, not what its verdict hangs on."""
    threading.Event().wait(seconds)


@case(*METHODS)
def killed(suite, method):
    """the proxy is killed every 100 ms under load"""
    stage = begin(suite, method)
    with Load(stage, patience=0.5) as load, Noise(stage):
        load.more(2)
        for _ in range(300 if suite.soak else 12):
            pause(0.1)
            stage.node.proxy.process.kill()
            stage.node.proxy.wait()
            stage.node.start()
        load.more()
    expect(not load.wrong, f"answers that nobody may get: {load.wrong[:5]}")
    contained(stage)


@case(*METHODS)
def holder_killed(suite, method):
    """the holder is killed every 100 ms under load, and the proxy with it every other time"""
    stage = suite.world.stage(method)
    stage.node.policy(stage.policy_text())
    stage.node.hold()
    stage.node.start()
    stage.prepare()
    with Load(stage, patience=0.5) as load, Noise(stage):
        load.more(2)
        for turn in range(300 if suite.soak else 12):
            stage.node.holder.process.kill()
            stage.node.holder.wait()
            if turn % 2:
                stage.node.proxy.process.kill()
                stage.node.proxy.wait()
            stage.node.policy(stage.another() if turn % 3 else stage.policy_text())
            stage.node.spawn_holder()  # killed while it begins, or later
            pause(0.1)
            if turn % 2:
                stage.node.start()
        stage.node.holder.process.kill()
        stage.node.holder.wait()
        stage.node.hold()
        load.more()
    expect(not load.wrong, f"answers that nobody may get: {load.wrong[:5]}")
    check = stage.node.init("check")
    expect(check.returncode == 0, f"the last holder's rules: {check.stdout}{check.stderr}")
    contained(stage)


@case(*METHODS)
def applied_again(suite, method):
    """another policy is applied again and again under load, and nobody notices"""
    stage = begin(suite, method)
    stage.keep_tunnels()
    texts = [stage.another(), stage.policy_text(), stage.another("udp-flows = 7", "exempt-uids = 3000-3999")]
    with Load(stage) as load, Noise(stage):
        for turn in range(300 if suite.soak else 15):
            stage.node.policy(texts[turn % len(texts)])
            stage.node.apply()
            if turn % 30 == 29:  # or they end for idleness
                stage.keep_tunnels()
        load.more()
    expect(not stage.keep_tunnels(), "a connection through the proxy broke")
    expect(not load.failed and not load.wrong, f"failed {load.failed[:5]}, wrong {load.wrong[:5]}")
    contained(stage)


@case(*METHODS)
def method_changed(suite, method):
    """the method of capture is changed and changed back under load"""
    stage = begin(suite, method)
    other = METHODS[method == METHODS[0]]
    texts = [stage.policy_text().replace(f"method = {method}", f"method = {other}"), stage.policy_text()]
    with Load(stage, patience=0.5) as load, Noise(stage):
        for turn in range(50 if suite.soak else 4):
            load.more(1)
            stage.node.policy(texts[turn % 2])
            stage.node.apply()
            stage.node.proxy.process.kill()
            stage.node.proxy.wait()
            stage.node.start()
        load.more()
    expect(not load.wrong, f"answers that nobody may get: {load.wrong[:5]}")
    contained(stage)


@case(*METHODS)
def restarted(suite, method):
    """the proxy is restarted again and again under load"""
    stage = begin(suite, method)
    stage.node.args += ["--drain", "1"]
    stage.node.stop()
    with Load(stage, patience=0.5) as load, Noise(stage):
        for _ in range(50 if suite.soak else 5):
            stage.node.start()
            load.more(2)
            expect(stage.node.stop() == 0, f"the proxy's end: {stage.node.proxy.output()}")
        stage.node.start()
        load.more()
    expect(not load.wrong, f"answers that nobody may get: {load.wrong[:5]}")
    contained(stage)


@case(*METHODS)
def reloaded(suite, method):
    """what a policy no longer allows does not leave once it is in use, under load"""
    stage = begin(suite, method, more=OTHER)
    stage.wire.allowed = stage.allowed("other.test")
    others = {suite.world.internet.address("other.test", family) for family in (V4, V6)}
    with Load(stage) as load, Noise(stage):
        for turn in range(100 if suite.soak else 6):
            load.more(1)
            for family in (V4, V6):
                expect(stage.ask("other.test", family) == 200, "the old policy does not work")
            stage.node.reload(stage.policy_text(f"less-{turn}", ""))
            stage.fence()
            start = stage.wire.position()
            for family in (V4, V6):
                expect(stage.ask("other.test", family) == 502, "the new policy is not obeyed")
            stage.fence()
            again = [str(frame) for frame in map(decode, stage.wire.seen(start))
                     if frame.dst in others and frame.kind == "tcp" and frame.first & (SYN | ACK) == SYN]
            none_of(again, "connections to a host that is not allowed any more")
            stage.node.reload(stage.policy_text(f"more-{turn}"))
        load.more()
    expect(not load.failed and not load.wrong, f"failed {load.failed[:5]}, wrong {load.wrong[:5]}")
    contained(stage)


def replace_programs(stage, directory):
    """With themselves, as a package manager does: another file under the same name."""
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        shutil.copy2(path, f"{path}.new")
        os.replace(f"{path}.new", path)


@case(*METHODS)
def upgraded(suite, method):
    """new programs take over with another policy while the old proxy drains, under load"""
    stage = suite.world.stage(method)
    directory = stage.lab.path(stage.name, "programs")
    os.makedirs(directory)
    for name in ("init", "rules", "tproxy"):
        shutil.copy2(stage.node.program(name), directory)
    stage.node.programs = directory
    stage.up()
    stage.prepare()
    texts = [stage.another(), stage.policy_text()]
    with Load(stage, patience=0.5) as load, Noise(stage):
        load.more()
        for turn in range(50 if suite.soak else 2):
            old = stage.node.proxy
            stage.keep_tunnels()
            replace_programs(stage, directory)
            stage.node.policy(texts[turn % 2])
            stage.node.apply()
            old.signal(signal.SIGTERM)
            until(lambda old=old: "drain" in old.output() or not old.alive(), "the old proxy's end of accepting", 20)
            stage.node.admin_name = f"admin-{turn}.sock"
            stage.node.start()
            load.more()
            expect(not stage.keep_tunnels(), "connections of the old proxy broke")
            expect(old.alive(), "the old proxy did not wait for its connections")
            stage.keep_tunnels(False)
            expect(old.wait(20) == 0, f"the old proxy's end: {old.output()}")
        load.more()
    expect(not load.wrong, f"answers that nobody may get: {load.wrong[:5]}")
    contained(stage)


@case(*METHODS)
def nobody_else(suite, method):
    """the proxy listens on its port, and on no other"""
    stage = begin(suite, method)
    found = stage.space.must(["cat", "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udplite", "/proc/net/raw"]).stdout
    ports = {int(line.split()[1].rpartition(":")[2], 16) for line in found.splitlines()
             if line.strip()[0].isdigit() and line.split()[3] in ("0A", "07")}
    expect(ports == {15001}, f"listening: {sorted(ports)}")


@case(*METHODS)
def birth(suite, method):
    """attacked since its birth, a pod whose rules come before its network lets nothing out"""
    stage = Stage(suite.world, f"birth-{method}", method, plugged=False)
    stage.lay_wire()
    stage.node.policy(stage.policy_text())
    with Noise(stage) as noise:
        noise.more(0)  # without a network
        stage.node.apply()
        stage.pod.plug_in()
        stage.prepare()
        noise.more(1)  # before the proxy
        with Load(stage) as load:
            stage.node.start()
            load.more()
    expect(not load.wrong, f"answers that nobody may get: {load.wrong[:5]}")
    contained(stage)


@case(*METHODS)
def race(suite, method):
    """apply among clients and attackers at work: what they send gets out before it ends, and not after"""
    stage = suite.world.stage(method)
    stage.node.policy(stage.policy_text())
    stage.prepare()
    with Noise(stage) as noise, Load(stage, evil=False, patience=0.5) as load:
        for _ in range(20 if suite.soak else 2):
            done = stage.node.remove()
            expect(done.returncode == 0, f"remove: {done.stderr}")
            stage.fence()
            start = stage.wire.position()
            noise.more(0)
            stage.fence()
            expect(stage.wire.count(start)[1]["leak"] > 100, "nothing gets out without rules")
            stage.node.apply()
            stage.fence()
            start = stage.wire.position()
            noise.more(1)
            stage.fence()
            none_of(stage.wire.count(start)[0], "left the pod after apply had ended")
        stage.node.start()
        load.more()
    contained(stage, start)


@case(*METHODS)
def lockdown(suite, method):
    """in lockdown nothing at all leaves, not even ARP, until apply; then what the policy allows"""
    stage = Stage(suite.world, f"locked-{method}", method, plugged=False)
    stage.lay_wire()
    done = stage.space.run([stage.node.program("init"), "lockdown"])
    expect(done.returncode == 0, f"lockdown: {done.stderr}")
    stage.pod.plug_in()
    stage.prepare()
    with Noise(stage) as noise:
        noise.more()
        stage.node.policy(stage.policy_text())
        frames = stage.wire.seen()
        expect(not frames, f"{len(frames)} frames, the first: {frames[0].hex() if frames else None}")
        stage.node.apply()
        noise.more()
        with Load(stage) as load:
            stage.node.start()
            load.more()
    expect(not load.wrong, f"answers that nobody may get: {load.wrong[:5]}")
    contained(stage)


@case(*METHODS)
def late_interface(suite, method):
    """an interface that appears after the rules is guarded, but for packet sockets"""
    stage = Stage(suite.world, f"late-{method}", method, plugged=False)
    stage.node.policy(stage.policy_text())
    stage.node.apply()
    stage.lay_wire()
    with Noise(stage, frames=False) as noise:
        stage.pod.plug_in()
        stage.prepare()
        noise.more(1)  # before the proxy
        with Load(stage) as load:
            stage.node.start()
            load.more()
    contained(stage)


def open_before(stage, family, stack):
    """What an application has open before the rules: (TCP, UDP, ping) sockets that have carried something."""
    tcp = stack.enter_context(stage.connect("evil.test", 80, family))
    udp = stack.enter_context(stage.space.socket(FAMILY[family], socket.SOCK_DGRAM))
    ping = stack.enter_context(stage.space.socket(FAMILY[family], socket.SOCK_DGRAM, ICMP[family]))
    there = stage.internet.address("evil.test", family)
    udp.connect((there, 443))
    ping.connect((there, 0))
    return tcp, udp, ping


def talk_on(sockets, tag, family):
    for sock in sockets:
        kind = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL)
        data = icmp("::" if family == V6 else "0.0.0.0", "::" if family == V6 else "0.0.0.0",
                    128 if family == V6 else 8, payload=tag) if kind == ICMP[family] else tag
        for _ in range(3):
            with contextlib.suppress(OSError):
                sock.send(data)


@case(*(f"{method}, conntrack {kind}" for method in METHODS for kind in ("idle", "active")))
def opened_before(suite, parameter):
    """flows that were open before sluice are cut: TCP, UDP and ping sockets"""
    method, _, kind = parameter.replace(",", "").split()
    stage = suite.world.stage(method)
    if kind == "active":
        stage.space.must(["nft", "-f", "-"], stdin="table inet tracking {\n\tchain c {\n\t\ttype filter hook output "
                         "priority 0\n\t\tct state new counter\n\t}\n}\n")
    with contextlib.ExitStack() as stack:
        flows = {family: open_before(stage, family, stack) for family in (V4, V6)}
        for family, sockets in flows.items():
            talk_on(sockets, b"<leak-0>", family)
        stage.fence()
        expect(sum(b"<leak-0>" in data for data in stage.wire.seen()) >= 6, "the flows were not open")
        stage.up()
        stage.fence()
        start = stage.wire.position()
        for family, sockets in flows.items():
            talk_on(sockets, b"<leak-1>", family)
        with Load(stage) as load:
            load.more()
        for family, sockets in flows.items():
            talk_on(sockets, b"<leak-2>", family)
    contained(stage, start)


@case(*METHODS)
def one_port(suite, method):
    """one source port to two destinations: each is judged by itself"""
    stage = begin(suite, method)
    for family in (V4, V6):
        made = []
        for name, port in (("raw.test", 7000), ("evil.test", 7000), ("evil.test", 80), ("origin.test", 80)):
            sock = stage.space.socket(FAMILY[family])
            made.append((name, sock))
            sock.settimeout(10)
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                sock.setsockopt(socket.SOL_SOCKET, option, 1)
            sock.bind(("::" if family == V6 else "0.0.0.0", 45555))
            sock.connect((suite.world.internet.address(name, family), port))
        answers = []
        for name, sock in made:
            request = f"GET /status/200 HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
            with sock, contextlib.suppress(OSError):
                sock.sendall(b"hello" if name == "raw.test" else request)
                answers.append((name, sock.recv(100)))
        text = [(name, answer[:12]) for name, answer in answers if answer]
        expect(text == [("raw.test", b"ready"), ("evil.test", b"HTTP/1.1 502"), ("evil.test", b"HTTP/1.1 502"),
                        ("origin.test", b"HTTP/1.1 200")],
               f"IPv{family}: {answers}")
    contained(stage)
