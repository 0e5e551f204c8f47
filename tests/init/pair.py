# SPDX-License-Identifier: MIT
"""A node and the outside: two namespaces, one wire, and what arrives at its far end."""
import contextlib
import ctypes
import os
import shutil
import socket
import time

from board import board, on_board
from lab.base import Late
from lab.space import LIBC, Space

PROXY_UID, PROXY_PORT = 1337, 15001
NODE = {4: "10.77.0.1", 6: "fd77::1"}
OUTSIDE = {4: "10.77.0.2", 6: "fd77::2"}
FAR = {4: "198.51.100.7", 6: "2001:db8:7::7"}  # behind the outside's address
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
CAPTURE_MARK = 0x736C7563
SECRET = 0x12345678
SO_MARK, SO_BINDTODEVICE = 36, 25
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
ETH_P_ALL, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6 = 3, 0x0806, 0x0800, 0x86DD
LIMIT = 10.0  # seconds: never decides a verdict, only ends what would hang


@contextlib.contextmanager
def as_user(uid):
    """Sockets made meanwhile belong to uid, and the thread keeps its network capabilities."""
    LIBC.setfsuid(ctypes.c_uint(uid))
    try:
        yield
    finally:
        LIBC.setfsuid(ctypes.c_uint(0))


@contextlib.contextmanager
def as_group(gid):
    LIBC.setfsgid(ctypes.c_uint(gid))
    try:
        yield
    finally:
        LIBC.setfsgid(ctypes.c_uint(0))


class Pair:
    """`node` is what sluice-init contains, `outside` the rest of the world; both have one eth0."""

    backend = "nft"  # see board.py
    board = None     # the directory of programs, if it is not the backend's own

    def __init__(self, lab, programs, name=""):
        self.lab = lab
        self.programs = programs
        self.node = Space(lab, f"init-{name}node")
        self.outside = Space(lab, f"init-{name}out")
        self.own = NODE
        self.state = lab.path(f"{name}state")
        self.policy = None
        lab.must(["ip", "link", "add", "eth0", "netns", self.node.name, "type", "veth",
                  "peer", "name", "eth0", "netns", self.outside.name])
        self.mac = {self.node: bytes.fromhex("02534c000001"), self.outside: bytes.fromhex("02534c000002")}
        for space, own in ((self.node, NODE), (self.outside, OUTSIDE)):
            space.ip(f"link set eth0 address {self.mac[space].hex(':')}", f"addr add {own[4]}/24 dev eth0", f"addr add {own[6]}/64 dev eth0 nodad", "link set eth0 up")
        self.node.ip(f"route add default via {OUTSIDE[4]}", f"route add default via {OUTSIDE[6]}")
        self.outside.ip(f"addr add {FAR[4]}/32 dev lo", f"addr add {FAR[6]}/128 dev lo nodad")
        # Nothing waits for an address to be resolved, so what is sent is sent in order.
        self.node.ip(*(f"neigh replace {a} lladdr {self.mac[self.outside].hex(':')} dev eth0" for a in OUTSIDE.values()))
        self.outside.ip(*(f"neigh replace {a} lladdr {self.mac[self.node].hex(':')} dev eth0" for a in NODE.values()))
        self.watch = Watch(self)

    def close(self):
        self.watch.close()
        self.node.close()
        self.outside.close()

    def use(self, policy, secret=SECRET):
        """The compiled policy that sluice-init gets from now on, and the mark that it finds."""
        self.policy = policy
        shutil.rmtree(self.state, ignore_errors=True)
        if secret is not None:
            os.makedirs(self.state)
            path = os.path.join(self.state, "mark")
            with open(path, "w", encoding="ascii") as file:
                file.write(f"{secret:08x}\n")
            os.chown(path, PROXY_UID, PROXY_UID)
            os.chmod(path, 0o400)

    def command(self, *args):
        policy = ["--policy", self.policy] if self.policy else []
        command = [os.path.join(self.programs, "sluice-init"), *args, *policy, "--state", self.state]
        if self.backend == "nft" or args[:1] == ("print",):
            return command
        return on_board(self.board or board(self.lab, self.backend), [*command, "--backend", "iptables"])

    def init(self, *args, **options):
        return self.node.run(self.command(*args), **options)

    def apply(self, *args):
        done = self.init("apply", *args)
        if done.returncode != 0:
            raise RuntimeError(f"sluice-init: status {done.returncode}: {done.stderr}")

    def remove(self):
        done = self.init("remove")
        if done.returncode != 0:
            raise RuntimeError(f"sluice-init remove: status {done.returncode}: {done.stderr}")

    def proxy_socket(self, family, kind=socket.SOCK_STREAM, secret=SECRET):
        """What the proxy's upstream sockets are: its user's, with the secret mark."""
        with self.node.inside(), as_user(PROXY_UID):
            sock = socket.socket(FAMILY[family], kind)
        sock.setsockopt(socket.SOL_SOCKET, SO_MARK, secret)
        return sock


def is_upkeep(frame, tag):
    """ARP, neighbour discovery, MLD: unless it carries what a test sent."""
    if tag in frame:
        return False
    kind = int.from_bytes(frame[12:14], "big")
    if kind == ETH_P_ARP:
        return True
    if kind != ETH_P_IPV6:
        return False
    if frame[20] == 0:  # hop-by-hop options come before MLD
        return frame[54] == 58 and frame[62] in (131, 132, 143)
    return frame[20] == 58 and frame[54] in (133, 135, 136)


class Watch:
    """Every frame of the node's that arrives outside. A marked datagram, sent as the proxy, ends what came before."""

    def __init__(self, pair):
        self.pair = pair
        self.sock = pair.outside.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        with pair.outside.inside():
            self.sock.bind(("eth0", ETH_P_ALL))
        self.sock.settimeout(LIMIT)
        self.count = 0

    def fence(self, secret=SECRET):
        """All frames since the last fence, upkeep included."""
        self.count += 1
        text = f"fence-{os.getpid()}-{self.count:06d}".encode()
        frames = []
        end = time.monotonic() + LIMIT
        with self.pair.proxy_socket(4, socket.SOCK_DGRAM, secret) as sock:
            sock.sendto(text, (OUTSIDE[4], 9))
        while time.monotonic() < end:
            try:
                frame = self.sock.recv(65536)
            except TimeoutError:
                break
            if text in frame:
                return frames
            if frame[6:12] == self.pair.mac[self.pair.node] or frame[6:12] == bytes(6):
                if b"fence-" not in frame:
                    frames.append(frame)
        raise Late("the fence never arrived: the proxy's own datagram does not get out")

    def leaks(self, tag, secret=SECRET):
        """What got out since the last fence, but for the upkeep of the link."""
        return [frame for frame in self.fence(secret) if not is_upkeep(frame, tag)]

    def close(self):
        self.sock.close()
