# SPDX-License-Identifier: MIT
"""What the running proxy may still do, as the kernel sees it."""
import contextlib
import ctypes
import errno
import os
import socket

from bench import UID, Skip
from lab.space import LIBC
from start import with_state

NONE = "0" * 16
NET_RAW = "0" * 12 + "2000"


def sanitized(bench):
    with open(bench.program("tproxy"), "rb") as file:
        return b"__asan_init" in file.read()


def check(bench, proxy, capability):
    for thread in proxy.threads():
        status = proxy.status(thread)
        assert status["Uid"].split() == [str(UID)] * 4, status["Uid"]
        assert status["Gid"].split() == [str(UID)] * 4, status["Gid"]
        assert status["Groups"].strip() == "", status["Groups"]
        for kind, expect in (("Prm", capability), ("Eff", capability), ("Inh", NONE), ("Bnd", NONE), ("Amb", NONE)):
            assert status[f"Cap{kind}"] == expect, (kind, status)
        assert status["NoNewPrivs"] == "1"
        if not sanitized(bench):
            assert status["Seccomp"] == "2", status["Seccomp"]


def test_nothing_is_left(bench):
    bench.policy()
    proxy = bench.start("--workers", "2", prefix=["setpriv", "--groups=4,27", "--"])
    check(bench, proxy, NONE)
    assert proxy.stop() == 0


def test_one_capability_for_the_mark(bench):
    bench.policy(method="tproxy")
    bench.write("mark", b"12345678\n")
    command = with_state(bench)
    bench.command = lambda *args, **_: [*command, *args]
    proxy = bench.start()
    check(bench, proxy, NET_RAW)
    assert proxy.stop() == 0


def test_memory_and_files_are_private(bench):
    bench.policy()
    proxy = bench.start()
    if sanitized(bench):
        raise Skip("sanitizers need to look at their own process")
    # Not dumpable: what is in /proc belongs to root, and no process of that user may look.
    assert os.stat(f"/proc/{proxy.pid}/mem").st_uid == 0
    done = bench.lab.run(["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "cat", f"/proc/{proxy.pid}/maps"])
    assert done.returncode != 0
    with open(f"/proc/{proxy.pid}/limits", encoding="ascii") as file:
        assert "Max core file size        0                    0 " in file.read()
    assert proxy.stop() == 0
    # A process that becomes nobody else has to say so itself.
    proxy = bench.start("--admin", "none", prefix=["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--"])
    assert os.stat(f"/proc/{proxy.pid}/mem").st_uid == 0
    assert proxy.stop() == 0


def test_no_memory_is_both_written_and_run(bench):
    bench.policy()
    proxy = bench.start()
    if sanitized(bench):
        raise Skip("sanitizers map shadow memory")
    with open(f"/proc/{proxy.pid}/maps", encoding="ascii") as file:
        for line in file:
            assert "wx" not in line.split()[1], line
    assert proxy.stop() == 0


def test_descriptors_are_its_own(bench):
    bench.policy()
    proxy = bench.start()
    for name in os.listdir(f"/proc/{proxy.pid}/fd"):
        target = os.readlink(f"/proc/{proxy.pid}/fd/{name}")
        assert target.startswith(("socket:", "anon_inode:", "/memfd:policy", bench.dir)) or int(name) < 3 or \
            target.endswith("/statm"), f"{name} -> {target}"
        with open(f"/proc/{proxy.pid}/fdinfo/{name}", encoding="ascii") as file:
            flags = int(file.read().split("flags:\t")[1].split()[0], 8)
        assert int(name) < 3 or flags & os.O_CLOEXEC, f"{name} -> {target}"
    assert proxy.stop() == 0


def test_admin_socket_is_private(bench):
    bench.policy()
    proxy = bench.start()
    at = os.stat(bench.socket_path)
    assert (at.st_mode & 0o777, at.st_uid, at.st_gid) == (0o600, UID, UID)
    ask = [bench.program("tproxy"), "--ctl", bench.socket_path, "ready"]
    rows = [
        (UID, [], 0, "ready\n"),
        (4242, [], 69, "Permission denied"),                        # the socket's mode
        (4242, ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"], 69, "status 403"),  # its peer's identity
    ]
    for uid, more, status, expect in rows:
        got, said = bench.run(command=["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *more, "--", *ask])
        assert got == status and expect in said, (uid, more, got, said)
    proxy.says("admin: refused: user 4242")
    assert proxy.stop() == 0


def test_no_other_listeners(bench):
    """The only TCP port is the proxy's own; there is no abstract socket."""
    bench.policy()
    proxy = bench.start()
    inodes = {os.readlink(f"/proc/{proxy.pid}/fd/{name}") for name in os.listdir(f"/proc/{proxy.pid}/fd")}
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{proxy.pid}/net/{table}", encoding="ascii") as file:
            for line in list(file)[1:]:
                words = line.split()
                if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                    assert int(words[1].rpartition(":")[2], 16) == bench.port
    with open(f"/proc/{proxy.pid}/net/unix", encoding="ascii") as file:
        for line in list(file)[1:]:
            words = line.split()
            if f"socket:[{words[6]}]" in inodes and len(words) > 7:
                assert words[7] == bench.socket_path, words
    assert proxy.stop() == 0


@contextlib.contextmanager
def owner(uid):
    """Sockets made meanwhile belong to uid."""
    LIBC.setfsuid(ctypes.c_uint(uid))
    try:
        yield
    finally:
        LIBC.setfsuid(ctypes.c_uint(0))


def test_port_is_shared_with_nobody(bench):
    """Who could join it would get other people's connections and questions: not root, not the proxy's own user."""
    bench.policy()
    for workers in ("1", "2"):
        proxy = bench.start("--workers", workers)
        for uid in (0, UID):
            for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with owner(uid), socket.socket(family, kind) as sock:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        if family == socket.AF_INET6:
                            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                        try:
                            sock.bind((address, bench.port))
                            if kind == socket.SOCK_STREAM:
                                sock.listen(1)
                        except OSError as error:
                            assert error.errno == errno.EADDRINUSE, error
                        else:
                            raise AssertionError(f"user {uid} joined {workers} workers: {family.name} {kind.name}")
        assert proxy.stop() == 0


def test_exempt_users_share_no_port(bench):
    """What an exempt user sends is let out, so the proxy's sockets are not one's; then there is nobody to own them."""
    for users, mine in (("2000-49151, 49153-4000000000", {49152}), ("1-1336, 1338-4000000000", {0})):
        bench.policy(capture=f"exempt-uids = {users}")
        proxy = bench.start("--workers", "2")
        inodes = {os.readlink(f"/proc/{proxy.pid}/fd/{name}") for name in os.listdir(f"/proc/{proxy.pid}/fd")}
        found = set()
        with open(f"/proc/{proxy.pid}/net/tcp", encoding="ascii") as file:
            for line in list(file)[1:]:
                words = line.split()
                if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                    found.add(int(words[7]))
        assert found == mine, found
        assert proxy.stop() == 0
