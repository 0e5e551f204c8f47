# SPDX-License-Identifier: MIT
"""Signals, reloading, draining, and what a supervisor is told."""
import json
import os
import re
import shutil
import signal
import socket

from bench import UID
from lab import Internet, until
from lab.internet import V4
from lab.node import Node


class Supervisor:
    """Listens as systemd does."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        self.socket.bind(address)
        self.said = []

    def hear(self, pattern):
        """The next datagram that is not a watchdog's must match."""
        while True:
            text = self.socket.recv(4096).decode()
            self.said.append(text)
            if text != "WATCHDOG=1" or pattern == text:
                break
        assert re.fullmatch(pattern, text), (pattern, self.said)


def policy_name(bench):
    return json.loads(bench.ctl("policy"))["name"]


def test_supervisor_is_told(bench):
    bench.policy()
    for number, address in enumerate((bench.path("notify"), f"\0sluice-test-{os.getpid()}")):
        supervisor = Supervisor(address)
        proxy = bench.start(env={"NOTIFY_SOCKET": address.replace("\0", "@")})
        supervisor.hear("READY=1")
        proxy.signal(signal.SIGHUP)
        supervisor.hear(r"RELOADING=1\nMONOTONIC_USEC=\d+")
        supervisor.hear("STATUS=policy plant-7, sequence 42")
        supervisor.hear("READY=1")
        bench.write("policy.slp", b"x" * 100)
        proxy.signal(signal.SIGHUP)
        supervisor.hear(r"RELOADING=1\nMONOTONIC_USEC=\d+")
        supervisor.hear("STATUS=.*policy.slp: .*")
        supervisor.hear("READY=1")
        proxy.signal(signal.SIGTERM)
        supervisor.hear("STOPPING=1")
        assert proxy.wait() == 0, number
        bench.policy()


def test_watchdog(bench):
    bench.policy()
    supervisor = Supervisor(bench.path("notify"))
    proxy = bench.start(env={"NOTIFY_SOCKET": bench.path("notify"), "WATCHDOG_USEC": "300000"})
    supervisor.hear("READY=1")
    for _ in range(3):
        supervisor.hear("WATCHDOG=1")
    assert proxy.stop() == 0
    proxy = bench.start(env={"NOTIFY_SOCKET": bench.path("notify"), "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
    supervisor.hear("STOPPING=1")
    supervisor.hear("READY=1")
    proxy.signal(signal.SIGTERM)
    supervisor.hear("STOPPING=1")  # and no WATCHDOG=1, which was meant for another process
    assert supervisor.said[-2:] == ["READY=1", "STOPPING=1"], supervisor.said


def test_unreachable_supervisor(bench):
    bench.policy()
    proxy = bench.start(env={"NOTIFY_SOCKET": "/nonexistent/notify"})
    assert "NOTIFY_SOCKET: " in proxy.stderr()
    assert proxy.stop() == 0


def test_reload(bench):
    bench.policy()
    proxy = bench.start()
    assert policy_name(bench) == "plant-7"
    bench.policy(title="plant-8", sequence=43)
    proxy.signal(signal.SIGHUP)
    until(lambda: policy_name(bench) == "plant-8", "reload", 20)
    bench.policy(title="plant-9", sequence=43)
    assert bench.ctl("reload") == "policy plant-9, sequence 43\n"
    assert policy_name(bench) == "plant-9"
    stats = bench.stats()
    assert (stats["reload_total"], stats["reload_failed_total"], stats["policy_sequence"]) == ("2", "0", "43"), stats
    for _ in range(30):  # old policies go when nothing uses them
        bench.ctl("reload")
    assert policies(proxy) <= 2
    assert proxy.stop() == 0


def policies(proxy):
    """How many are in memory."""
    return sum("memfd:policy" in os.readlink(f"/proc/{proxy.pid}/fd/{name}") for name in os.listdir(f"/proc/{proxy.pid}/fd"))


def test_bad_reloads_change_nothing(bench):
    path = bench.policy()
    proxy = bench.start()

    def missing():
        os.unlink(path)

    def link():
        os.rename(path, bench.path("other.slp"))
        os.symlink("loop.slp", bench.path("loop.slp"))
        os.symlink("loop.slp", path)

    def unreadable():
        bench.policy(title="plant-8")
        os.chmod(path, 0o600)

    rows = [
        (lambda: bench.write("policy.slp", b"x" * 200), "policy.slp: "),
        (missing, "No such file"),
        (lambda: bench.policy(title="plant-8", method="tproxy"), "method changed: restart needed"),
        (lambda: bench.policy(title="plant-8", sequence=41), "its sequence is lower"),
        (lambda: bench.policy(title="plant-8", log=bench.path("no/access.log")), "access log: .*access.log: "),
        (unreadable, "ermission denied"),
        (link, "ymbolic link"),
    ]
    for count, (damage, expect) in enumerate(rows, 1):
        bench.policy()
        damage()
        said = bench.ctl("reload", status=69)
        assert re.search(expect, said), (expect, said)
        assert policy_name(bench) == "plant-7"
        assert bench.stats()["reload_failed_total"] == str(count)
    proxy.says("reload refused, the old policy stays: ")
    assert policies(proxy) == 1
    assert bench.ctl("ready") == "ready\n"
    os.unlink(path)
    bench.policy(title="plant-8")
    bench.ctl("reload")
    assert policy_name(bench) == "plant-8"
    assert proxy.stop() == 0


def test_unreadable_policy_is_warned_about(bench):
    os.chmod(bench.policy(), 0o600)
    proxy = bench.start()
    assert re.search(f"policy.slp: user {UID} cannot read it: reloading will fail", proxy.stderr())
    assert proxy.stop() == 0


def test_log_rotation(bench):
    os.mkdir(bench.path("log"))
    os.chown(bench.path("log"), UID, UID)
    log, old = bench.path("log/access.log"), bench.path("log/access.log.1")
    bench.policy(log=log)
    proxy = bench.start()
    at = os.stat(log)
    assert (at.st_uid, at.st_gid, at.st_mode & 0o777) == (UID, UID, 0o640)
    for number in (signal.SIGUSR1, signal.SIGHUP):
        os.rename(log, old)
        proxy.signal(number)
        until(lambda: os.path.exists(log), "the new file", 20)
        until(lambda: os.stat(log).st_ino in open_files(proxy), "the new file is in use", 20)
        assert os.stat(old).st_ino not in open_files(proxy)
    # Another file, in the same directory: the sandbox allows no other.
    other = bench.path("log/other.log")
    bench.policy(log=other, title="plant-8")
    bench.ctl("reload")
    until(lambda: os.stat(log).st_ino not in open_files(proxy), "the old file is closed", 20)
    assert os.stat(other).st_ino in open_files(proxy)
    bench.policy(log="off")
    bench.ctl("reload")
    until(lambda: os.stat(other).st_ino not in open_files(proxy), "logging is off", 20)
    bench.policy(log="/dev/stdout")
    bench.ctl("reload")
    shutil.rmtree(bench.path("log"))
    proxy.signal(signal.SIGUSR1)
    assert proxy.stop() == 0


def open_files(proxy):
    return {os.stat(f"/proc/{proxy.pid}/fd/{name}").st_ino for name in os.listdir(f"/proc/{proxy.pid}/fd")}


def test_rotation_that_fails(bench):
    os.mkdir(bench.path("log"))
    log = bench.path("log/access.log")
    bench.policy(log=log)
    proxy = bench.start()
    os.rename(log, f"{log}.1")
    proxy.signal(signal.SIGUSR1)  # the directory is root's
    proxy.says("access log: .*access.log: Permission denied: the old file stays in use")
    assert os.stat(f"{log}.1").st_ino in open_files(proxy)
    assert proxy.stop() == 0


def test_signals_end_it(bench):
    bench.policy()
    for number in (signal.SIGTERM, signal.SIGINT):
        proxy = bench.start()
        proxy.signal(number)
        assert proxy.wait() == 0
        assert re.search("draining for at most 30 s\n.*ended\n$", proxy.stderr()), proxy.stderr()
    proxy = bench.start("--drain", "0")
    bench.ctl("quitquitquit")
    assert proxy.wait() == 0


def test_broken_stdout(bench):
    """A reader of the log that goes away takes nothing with it."""
    bench.policy(log="/dev/stdout")
    reader, writer = os.pipe()
    proxy = bench.start(stdout=writer)
    os.close(writer)
    os.close(reader)
    for _ in range(3):
        bench.knock()
    assert bench.ctl("ready") == "ready\n"
    assert proxy.stop() == 0


class Flow:
    """A node in a pod, and one connection through its proxy to a server that is ours."""

    POLICY = """
[policy]
name = flow
access-log = {log}
[service echo]
hosts = echo.test
addresses = 203.0.113.20
ports = tcp:7007
resolution = none
"""
    _internet = None

    def __init__(self, bench, *args, programs=None, prefix=()):
        if Flow._internet is None or Flow._internet.lab is not bench.lab:
            Flow._internet = Internet(bench.lab, {}, name="control", authority="none needed")
        internet = Flow._internet
        name = f"p{bench.port}"
        self.pod = internet.pod(name)
        self.node = Node(self.pod, programs or bench.programs, args=["--workers", "1", *args], name=name, prefix=prefix)
        self.node.policy(self.POLICY.format(log=self.node.access_log))
        self.node.apply()
        self.node.start()
        with internet.listen(20, 7007, V4) as listener:
            listener.settimeout(20)
            self.client = self.connect()
            self.server, _ = listener.accept()
        self.server.settimeout(20)
        self.check()

    def connect(self, seconds=20):
        client = self.pod.space.socket(socket.AF_INET)
        client.settimeout(seconds)
        client.connect(("203.0.113.20", 7007))
        return client

    def check(self):
        """Bytes pass both ways."""
        for here, there in ((self.client, self.server), (self.server, self.client)):
            here.sendall(b"hello")
            assert there.recv(100) == b"hello"

    def terminate(self):
        self.node.proxy.signal(signal.SIGTERM)

    def gone(self):
        """Both ends are told."""
        for end in (self.client, self.server):
            try:
                assert end.recv(1) == b""
            except ConnectionResetError:
                pass
            end.close()


def test_draining_lets_connections_finish(bench):
    flow = Flow(bench)
    assert flow.node.ctl("ready") == "ready\n"
    flow.terminate()
    until(lambda: flow.node.ctl("ready") is None, "draining", 20)
    done = flow.pod.space.run([bench.program("tproxy"), "--ctl", flow.node.admin, "ready"])
    assert (done.returncode, done.stdout) == (69, "draining\n") and "status 503" in done.stderr, done
    try:
        flow.connect(1).close()
        raise AssertionError("a new connection while draining")
    except OSError:  # refused, or dropped in the kernel
        pass
    flow.check()
    assert flow.node.proxy.alive()
    flow.client.close()
    assert flow.server.recv(1) == b""
    flow.server.close()
    assert flow.node.proxy.wait(20) == 0
    with open(flow.node.access_log, encoding="ascii") as log:
        lines = log.read().splitlines()
    assert len(lines) == 1 and ' 10 10 ' in lines[0] and "203.0.113.20:7007" in lines[0], lines


def test_second_signal_ends_at_once(bench):
    flow = Flow(bench)
    flow.terminate()
    until(lambda: "draining" in flow.node.proxy.output(), "draining", 20)
    flow.check()
    flow.terminate()
    assert flow.node.proxy.wait(20) == 0
    flow.gone()


def test_drain_time_ends(bench):
    flow = Flow(bench, "--drain", "1")
    flow.terminate()
    assert flow.node.proxy.wait(20) == 0
    flow.gone()


def test_reload_disturbs_no_connection(bench):
    flow = Flow(bench)
    flow.node.reload(Flow.POLICY.replace("flow", "next").replace("ports = tcp:7007", "ports = tcp:7008")
                     .format(log=flow.node.access_log))
    flow.check()
    assert "203.0.113.20:7007" in flow.node.ctl("connections")
    assert flow.node.stats()["sluice_downstream_cx_active"] == 1
    flow.client.close()
    assert flow.server.recv(1) == b""
    flow.server.close()
    until(lambda: flow.node.stats()["sluice_downstream_cx_active"] == 0, "the connection is over", 20)
    assert flow.node.proxy.stop() == 0
