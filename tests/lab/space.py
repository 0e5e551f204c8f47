# SPDX-License-Identifier: MIT
"""A network namespace: commands and sockets in it."""
import contextlib
import ctypes
import os
import socket

from lab.base import PREFIX, Child, remove_space

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def setns(fd):
    if LIBC.setns(fd, CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


class Space:
    """A namespace with `lo` up; commands in it see only it."""

    def __init__(self, lab, name):
        self.lab = lab
        self.name = f"{PREFIX}-{os.getpid()}-{name}"
        lab.must(["ip", "netns", "add", self.name])
        self._handle = lab.at_exit(lambda: remove_space(self.name))
        self.fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        self.ip("link set lo up")
        for scope in ("all", "default"):
            self.sysctl(f"ipv4/conf/{scope}/rp_filter", 0)
            self.sysctl(f"ipv6/conf/{scope}/accept_dad", 0)

    def close(self):
        """Remove it before the lab ends."""
        os.close(self.fd)
        self.fd = -1
        self.lab.now(self._handle)

    def ip(self, *lines):
        """Run lines of ip(8) in it."""
        self.lab.must(["ip", "-n", self.name, "-batch", "-"], stdin="\n".join(lines) + "\n")

    def resolv_conf(self, *servers):
        """Name servers for the commands in it."""
        directory = f"/etc/netns/{self.name}"
        while not os.path.isdir(directory):
            try:
                os.makedirs(directory, exist_ok=True)
            except FileNotFoundError:  # another lab has just removed the parent, which was empty
                pass
        with open(f"{directory}/resolv.conf", "w", encoding="ascii") as file:
            file.writelines(f"nameserver {server}\n" for server in servers)
            file.write("options timeout:1 attempts:2\n")

    @contextlib.contextmanager
    def inside(self):
        """The calling thread is in the namespace; sockets made meanwhile stay in it."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(self.fd)
            try:
                yield
            finally:
                setns(before)
        finally:
            os.close(before)

    def socket(self, family, kind=socket.SOCK_STREAM, protocol=0):
        with self.inside():
            return socket.socket(family, kind, protocol)

    def sysctl(self, name, value):
        """Set net/NAME. False where the kernel does not have it."""
        with self.inside():
            try:
                with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
                    file.write(str(value))
            except OSError:
                return False
        return True

    def command(self, argv, uid=None):
        """The command line that runs argv in it, as uid when given."""
        drop = [] if uid is None else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
                                       "--inh-caps=-all", "--"]
        return ["ip", "netns", "exec", self.name, *drop, *argv]

    def run(self, argv, uid=None, **options):
        return self.lab.run(self.command(argv, uid), **options)

    def must(self, argv, uid=None, **options):
        return self.lab.must(self.command(argv, uid), **options)

    def spawn(self, name, argv, uid=None, **options) -> Child:
        return self.lab.spawn(name, self.command(argv, uid), **options)
