# SPDX-License-Identifier: MIT
"""What keeps the proxy from starting, how it says so, and how it says that it is ready."""
import os
import re
import subprocess
import socket
import stat

from bench import UID, Skip


def test_help_and_version(bench):
    status, said = bench.run(command=[bench.program("tproxy"), "--help"])
    assert status == 0 and "--policy FILE" in said and "upstream-idle" in said, said
    status, said = bench.run(command=[bench.program("tproxy"), "--version"])
    assert status == 0 and re.fullmatch(r"sluice-tproxy \d+\.\d+\.\d+\n", said), said


def test_wrong_options(bench):
    bench.policy()
    rows = [
        (["--bogus"], "--bogus: not known"), (["--port", "0"], "--port: 0: not a number from 1 to 65535"),
        (["--port", "65536"], "65536: not a number"), (["--port", "1x"], "1x: not a number"), (["--port", ""], "not a number"),
        (["--port", "-1"], "-1: not a number"), (["--port"], "--port: needs a value"), (["--uid", "0"], "--uid: 0: not a number from 1"),
        (["--gid", "0"], "--gid"), (["--workers", "17"], "from 0 to 16"), (["--mark", "1"], 'only "none"'),
        (["--log-level", "loud"], "loud: not one of"), (["--set", "sniff"], "no value"), (["--set", "snif=1"], "no such name"),
        (["--set", "sniff=0"], "not a number from 1"), (["--set", "max-conns=15"], "from 16 to"), (["stray"], "stray: not expected"),
        (["--ready-fd", "2"], "from 3"), (["--drain", "99999999"], "--drain"), (["--ready-fd", "77"], "descriptor"),
    ]
    for args, pattern in rows:
        bench.refused(64, re.escape(pattern), *args)
    bench.refused(64, "--policy is required", command=[bench.program("tproxy")])


def test_no_policy(bench):
    bench.refused(66, r"^sluice-tproxy: policy: .*/policy.slp: .*No such file")
    os.mkdir(bench.path("policy.slp"))
    bench.refused(66, r"policy: .*/policy.slp: ")
    good = bench.policy("other.slp")
    os.symlink(good, bench.path("link.slp"))
    # A link is followed: in a ConfigMap every file is one.
    done = subprocess.run([bench.program("tproxy"), "--check", "--policy", bench.path("link.slp")], capture_output=True, text=True)
    assert done.returncode == 0 and ": valid: " in done.stdout, done
    bench.refused(66, "policy: /dev/null: ", "--policy", "/dev/null")


def test_damaged_policies(bench):
    with open(bench.policy("good.slp"), "rb") as file:
        good = file.read()
    for length in sorted({0, 1, 8, 63, 64, 65, len(good) // 2, len(good) - 8, len(good) - 1}):
        bench.write("policy.slp", good[:length])
        bench.refused(65, r"^sluice-tproxy: policy: .*/policy.slp: \S")
    for at in range(0, len(good), 41):
        bench.write("policy.slp", good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1:])
        bench.refused(65, r"^sluice-tproxy: policy: .*/policy.slp: \S")
    for data in (good + b"\0", b"[policy]\nname = x\n" * 20, b"\0" * 4096):
        bench.write("policy.slp", data)
        bench.refused(65, r"^sluice-tproxy: policy: ")


def test_check_opens_nothing(bench):
    bench.policy(log=bench.path("access.log"), method="tproxy")
    for option in ("--check", "-n"):
        status, said = bench.run(option, "--state", "/nonexistent")
        assert status == 0 and "valid: policy plant-7, sequence 42, node mesh" in said, said
    assert not os.path.exists(bench.socket_path) and not os.path.exists(bench.path("access.log"))
    bench.write("policy.slp", b"x")
    bench.refused(65, "policy: ", "--check")


def test_no_nameserver(bench):
    """Addresses work without one; that names will not is said, and nobody else is asked."""
    bench.policy()
    hidden = ["unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind /dev/null /etc/resolv.conf && exec "$@"', "sh"]
    proxy = bench.start(prefix=hidden)
    proxy.says("resolver: no nameserver in the policy or /etc/resolv.conf: no name will resolve")
    assert proxy.stop() == 0


def with_state(bench):
    """The command line of a node: a mark is expected in the state directory."""
    command = bench.command("--state", bench.dir)
    at = command.index("--mark")
    return command[:at] + command[at + 2:]


def test_mark_is_missing_or_bad(bench):
    bench.policy()
    bench.refused(78, "mark: .*/mark: not there: has sluice-init run", command=with_state(bench))
    for data in (b"", b"0000000\n", b"12345678", b"12345678\n\n", b"00000000\n", b"12345679\n", b"1234567G\n", b"ABCDEF00\n"):
        bench.write("mark", data)
        bench.refused(78, "mark: .*/mark: not a mark", command=with_state(bench))
    assert not os.path.exists(bench.socket_path)


def test_capabilities_are_named(bench):
    bare = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--"]
    bench.policy(method="tproxy")
    bench.refused(77, "IP_TRANSPARENT: .*CAP_NET_ADMIN", "--admin", "none", prefix=bare)
    bench.policy(method="redirect")
    bench.write("mark", b"12345678\n")
    os.chown(bench.path("mark"), UID, UID)
    bench.refused(77, "SO_MARK: .*CAP_NET_RAW", command=[*with_state(bench), "--admin", "none"], prefix=bare)
    bench.refused(77, "set(resuid|resgid|groups)", "--admin", "none", "--uid", "4242", prefix=bare)
    proxy = bench.start("--admin", "none", prefix=bare)
    assert proxy.stop() == 0


def test_places_that_cannot_be_written(bench):
    bench.policy(log=bench.path("no/such/access.log"))
    bench.refused(73, r"^sluice-tproxy: access log: .*/no/such/access.log: No such file")
    bench.policy()
    bench.refused(73, "admin: .*/no/admin.sock: ", "--admin", bench.path("no/admin.sock"))
    bench.write("admin.sock", b"not a socket")
    bench.refused(73, "admin: .*: File exists")
    with open(bench.socket_path, "rb") as file:
        assert file.read() == b"not a socket"
    bench.refused(73, "admin: .*too long", "--admin", "/" + "x" * 200)


def test_admin_socket_in_the_way(bench):
    bench.policy()
    first = bench.start()
    bench.refused(73, "another sluice-tproxy answers there", "--port", str(bench.port + 1000))
    assert first.alive()
    first.kill()
    assert stat.S_ISSOCK(os.stat(bench.socket_path).st_mode)  # what a killed proxy leaves
    second = bench.start()
    assert bench.ctl("ready") == "ready\n"
    assert second.stop() == 0


def test_port_is_taken(bench):
    bench.policy()
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", bench.port))
        taken.listen()
        bench.refused(71, "workers: bind: Address.* in use")


def test_descriptor_limits(bench):
    bench.policy()
    bench.refused(71, "limits: 60 descriptors are too few: [0-9]+ at least", prefix=["prlimit", "--nofile=60:60"])
    few = ["prlimit", "--nofile=50:500"]
    proxy = bench.start("--set", "max-conns=1000", "--set", "pipes=2", "--set", "idle-max=2", prefix=few)
    fit = re.search(r"limits: 500 descriptors suffice for (\d+) connections per worker, not 1000", proxy.stderr()).group(1)
    assert 100 < int(fit) < 250 and f"1 workers of {fit} connections" in proxy.stderr(), proxy.stderr()
    with open(f"/proc/{proxy.pid}/limits", encoding="ascii") as file:
        assert re.search(r"^Max open files +500 +500 ", file.read(), re.M)
    assert proxy.stop() == 0


def test_ready_means_listening(bench):
    bench.policy()
    proxy = bench.start("--workers", "2")
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        bench.knock(family, address)
    assert len(proxy.threads()) == 3, proxy.threads()
    assert proxy.stop() == 0


def test_closed_standard_descriptors(bench):
    bench.policy(log="/dev/stdout")
    proxy = bench.start(prefix=["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-'])
    for number in range(3):
        assert os.readlink(f"/proc/{proxy.pid}/fd/{number}") == "/dev/null"
    assert proxy.stop() == 0


def test_times_only_where_nobody_adds_them(bench):
    bench.policy()
    proxy = bench.start()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z sluice-tproxy: ready: policy plant-7, sequence 42, "
    assert re.search("^" + stamp, proxy.stderr(), re.M), proxy.stderr()
    proxy.stop()
    with open(bench.path("journal"), "wb") as journal:
        where = os.fstat(journal.fileno())
    proxy = bench.start(prefix=["sh", "-c", f'exec "$0" "$@" 2>>{bench.path("journal")}'],
                        env={"JOURNAL_STREAM": f"{where.st_dev}:{where.st_ino}"})
    proxy.stop()
    with open(bench.path("journal"), encoding="utf-8") as journal:
        lines = journal.read().splitlines()
    assert lines and all(re.match(r"<[3467]>sluice-tproxy: ", line) for line in lines), lines


def test_log_levels(bench):
    bench.policy()
    proxy = bench.start("--log-level", "warn")
    proxy.stop()
    assert proxy.stderr() == "", proxy.stderr()


def test_fifo_without_reader(bench):
    if not hasattr(os, "mkfifo"):
        raise Skip("no named pipes")
    os.mkfifo(bench.path("access.fifo"))
    bench.policy(log=bench.path("access.fifo"))
    bench.refused(73, "access log: .*access.fifo: ")
    reader = os.open(bench.path("access.fifo"), os.O_RDONLY | os.O_NONBLOCK)
    proxy = bench.start()
    os.close(reader)
    assert proxy.stop() == 0
