# SPDX-License-Identifier: MIT
"""Runs attacks as other users, with other capabilities and in other namespaces than the tests.

The agent is forked before there are threads, and forks again for each attack, so that whatever the attack gives up
(user, capabilities) or leaves open is gone with it.
"""
import ctypes
import os
import pickle
import select
import signal
import socket
import struct
import sys
import traceback
from typing import NamedTuple

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET, PR_SET_KEEPCAPS, PR_SET_PDEATHSIG = 0x40000000, 8, 1
CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_PTRACE = 12, 13, 19
CAPABILITY_VERSION_3 = 0x20080522


class Identity(NamedTuple):
    """Who attacks."""

    name: str
    uid: int
    gid: int
    capabilities: tuple


APPLICATION = Identity("an application", 1000, 1000, ())
RAW = Identity("an application with CAP_NET_RAW", 1000, 1000, (CAP_NET_RAW,))
PROXY_USER = Identity("the proxy's user", 1337, 1337, (CAP_NET_RAW,))
PROXY_GROUP = Identity("the proxy's group", 1000, 1337, (CAP_NET_RAW,))
ADMIN = Identity("an administrator", 0, 0, (CAP_NET_RAW, CAP_NET_ADMIN))


def check(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def become(identity):
    """For good."""
    LIBC.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(*[identity.gid] * 3)
    os.setresuid(*[identity.uid] * 3)
    bits = sum(1 << n for n in identity.capabilities)
    header = struct.pack("II", CAPABILITY_VERSION_3, 0)
    check(LIBC.capset(header, struct.pack("6I", bits, bits, 0, 0, 0, 0)), "capset")


def enter(namespace):
    fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    check(LIBC.setns(fd, CLONE_NEWNET), "setns")
    os.close(fd)


class Agent:
    """attacks: name to function; started before the first thread."""

    def __init__(self, attacks):
        self._here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                self._here.close()
                if os.getppid() == parent:
                    serve(there, attacks)
            finally:
                os._exit(0)
        there.close()

    def run(self, namespace, identity, name, context, seconds=20.0):
        """Run one attack; None, or the text of what it found wrong."""
        self._here.send(pickle.dumps((f"/run/netns/{namespace}", identity, name, context, seconds)))
        if not select.select([self._here], [], [], seconds + 10)[0]:
            return "the agent hangs"
        return pickle.loads(self._here.recv(1 << 16))

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._here.close()


def serve(sock, attacks):
    while data := sock.recv(1 << 16):
        namespace, identity, name, context, seconds = pickle.loads(data)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(reader)
                LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                play(writer, namespace, identity, attacks[name], context)
            finally:
                os._exit(0)
        os.close(writer)
        sock.send(pickle.dumps(result(pid, reader, seconds)))


def result(pid, reader, seconds):
    text = None
    if not select.select([reader], [], [], seconds)[0]:
        os.kill(pid, signal.SIGKILL)
        text = f"did not end within {seconds:g} s"
    data = os.read(reader, 1 << 15) if text is None else b""
    os.close(reader)
    os.waitpid(pid, 0)
    return text if text is not None else pickle.loads(data) if data else "the attack died"


def play(writer, namespace, identity, function, context):
    problem = None
    try:
        enter(namespace)
        become(identity)
        function(context)
    except AssertionError as error:
        problem = str(error) or "failed"
    except Exception:  # an attack that breaks proves nothing
        problem = traceback.format_exc()[-4000:]
    sys.stdout.flush()
    os.write(writer, pickle.dumps(problem))
