# SPDX-License-Identifier: MIT
"""A router: the node, the outside, and clients inside, in a namespace of their own."""
import os
import socket

from lab.space import Space
from pair import FAR, LIMIT, NODE, OUTSIDE, Pair

GATE = {4: "10.88.0.1", 6: "fd88::1"}      # the node, as its clients see it
CLIENT = {4: "10.88.0.2", 6: "fd88::2"}
NEIGHBOUR = {4: "10.88.0.3", 6: "fd88::3"}  # another address of the same namespace
SPOOFED = {4: "203.0.113.9", 6: "2001:db8:99::9"}  # outside
GATE_MAC, CLIENT_MAC = bytes.fromhex("02534c000003"), bytes.fromhex("02534c000004")
SYNC_PORT = 9009


class Inside:
    """The clients, with what probes and proxy.client() ask of a pair."""

    def __init__(self, router):
        self.node = Space(router.lab, "init-lan")
        self.outside = router.node
        self.own = CLIENT
        self.mac = {self.node: CLIENT_MAC, router.node: GATE_MAC}


class Router(Pair):
    """`lan0` is the node's interface to the clients."""

    def __init__(self, lab, programs, link=True):
        super().__init__(lab, programs)
        self.lan = Inside(self)
        self.node.sysctl("ipv4/ip_forward", 1)
        self.node.sysctl("ipv6/conf/all/forwarding", 1)
        self.outside.ip(f"route add 10.88.0.0/24 via {NODE[4]}", f"route add fd88::/64 via {NODE[6]}")
        self.outside.ip(f"addr add {SPOOFED[4]}/32 dev lo", f"addr add {SPOOFED[6]}/128 dev lo nodad")
        if link:
            self.link()

    def link(self):
        """Plugs the clients in."""
        self.lab.must(["ip", "link", "add", "lan0", "netns", self.node.name, "type", "veth",
                       "peer", "name", "eth0", "netns", self.lan.node.name])
        self.node.ip(f"link set lan0 address {GATE_MAC.hex(':')}", "link set lan0 up")
        self.address("lan0")
        self.lan.node.ip(f"link set eth0 address {CLIENT_MAC.hex(':')}",
                         *(f"addr add {a[4]}/24 dev eth0" for a in (CLIENT, NEIGHBOUR)),
                         *(f"addr add {a[6]}/64 dev eth0 nodad" for a in (CLIENT, NEIGHBOUR)), "link set eth0 up",
                         *(f"route add default via {GATE[n]} src {CLIENT[n]}" for n in (4, 6)),
                         *(f"neigh replace {a} lladdr {GATE_MAC.hex(':')} dev eth0" for a in GATE.values()))

    def address(self, name):
        self.node.ip(f"addr add {GATE[4]}/24 dev {name}", f"addr add {GATE[6]}/64 dev {name} nodad",
                     *(f"neigh replace {a} lladdr {CLIENT_MAC.hex(':')} dev {name}"
                       for c in (CLIENT, NEIGHBOUR) for a in c.values()))

    def close(self):
        self.lan.node.close()
        super().close()

    def settle(self):
        """Returns when the node has dealt with what the clients have sent."""
        text = f"settle-{os.getpid()}".encode()
        with self.node.socket(socket.AF_INET, socket.SOCK_DGRAM) as there, \
                self.lan.node.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            there.settimeout(LIMIT)
            there.bind((GATE[4], SYNC_PORT))
            here.sendto(text, (GATE[4], SYNC_PORT))
            there.recv(100)

    def leaks(self, tag):
        """What of the clients' and the node's got out since the last fence."""
        self.settle()
        return self.watch.leaks(tag)


__all__ = ["CLIENT", "FAR", "GATE", "NEIGHBOUR", "OUTSIDE", "Router", "SPOOFED"]
