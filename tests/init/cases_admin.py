# SPDX-License-Identifier: MIT
"""What CAP_NET_ADMIN can do to rules that are held: docs/threat-model.md, N-17, says that it is so, and has to be changed
when it is so no more.
"""
import contextlib
import socket
import struct

from cases_hold import holding
from lab.base import until
from lab.space import Space
from pair import ETH_P_ARP, ETH_P_IP, NODE, OUTSIDE
from suite import case, same

TAG = b"<administrator>"
TURNED = "127.0.0.77"


def arrived(pair):
    """The Ethernet types of frames with the tag that are outside; waits for one at least."""
    found = []
    pair.watch.sock.setblocking(False)

    def look():
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = pair.watch.sock.recv(65536)
                if TAG in frame:
                    found.append(int.from_bytes(frame[12:14], "big"))
        return found

    return until(look, "a frame of the administrator's")


def redirect(pair, _):
    """Traffic control on lo, where there is no egress chain: what it hands on skips that of the next interface."""
    pair.node.must(["tc", "qdisc", "add", "dev", "lo", "clsact"])
    pair.node.must(["tc", "filter", "add", "dev", "lo", "egress", "protocol", "ip", "u32", "match", "ip", "dst", f"{TURNED}/32",
                    "action", "mirred", "egress", "redirect", "dev", "eth0"])
    with pair.node.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(TAG, (TURNED, 9))
    same(arrived(pair), [ETH_P_IP], "frames")


def move(pair, other):
    """A namespace without rules."""
    pair.node.ip(f"link set eth0 netns {other.name}")
    other.ip(f"addr add {NODE[4]}/24 dev eth0", "link set eth0 up")
    with other.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(TAG, (OUTSIDE[4], 9))
    same(arrived(pair), [ETH_P_IP], "frames")


def macvlan(pair, other):
    """Its frames have no owner here, as the kernel's ARP has none; IP without the guard's mark does not pass."""
    pair.node.ip(f"link add link eth0 name slu-mv netns {other.name} type macvlan mode bridge")
    other.ip("link set slu-mv up")
    with other.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock, other.inside():
        for kind in (ETH_P_IP, 0x88B5, ETH_P_ARP):
            with contextlib.suppress(OSError):
                sock.sendto(b"\xff" * 6 + bytes(6) + struct.pack("!H", kind) + TAG.ljust(46, b"."), ("slu-mv", kind))
    same(arrived(pair), [ETH_P_ARP], "frames")


WAYS = {"tc from lo": redirect, "an interface moved away": move, "a macvlan elsewhere": macvlan}


@case(*WAYS)
def administrator(suite, way):
    """What an administrator can still do is what the threat model says"""
    pair = suite.pair("tproxy")
    other = Space(suite.lab, "init-other")
    try:
        with holding(pair):
            WAYS[way](pair, other)
    finally:
        other.close()
