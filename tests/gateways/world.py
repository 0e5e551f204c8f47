# SPDX-License-Identifier: MIT
"""An internet with gateways in it, and pods that may reach nothing else."""
import os
import re
import struct

from lab import Internet
from lab.internet import V4, WEB, address
from lab.origin import Origin
from lab.sniffer import Sniffer

HOSTS = {"www.wikipedia.org": WEB, "origin.test": 20, "egress.test": 40, "closed.test": 67}
NUMBERS = range(41, 200)  # hosts of gateways, one after the other


class Skip(Exception):
    """A test that cannot run here; the text says why."""


class World:
    """The internet that all tests share."""

    def __init__(self, lab, programs):
        self.lab, self.programs = lab, programs
        self.internet = Internet(lab, HOSTS)
        self.internet.space.resolv_conf(address(53, V4))
        self.internet.start()
        self.origin = Origin(self.internet, HOSTS["origin.test"], 80)
        self.authority = self.internet.authority
        self.client_cert, self.client_key = self.authority.issue("node", "node-1", ["node-1.test"])
        self._numbers, self._pods = iter(NUMBERS), 0

    def number(self):
        """A host that nobody is yet."""
        return next(self._numbers)

    def gateway(self, kind, **options):
        return kind(self.internet, self.number(), **options)

    def tls(self):
        """Options of a gateway that does TLS."""
        return {"ca": self.authority.ca, "cert": self.authority.cert, "key": self.authority.key}

    def need_tls(self):
        """Skip in a build whose nodes speak no TLS."""
        with open(os.path.join(self.programs, "autoconf.h"), encoding="ascii") as file:
            if not re.search("^#define CONFIG_TLS_(BEARSSL|MBEDTLS) 1$", file.read(), re.M):
                raise Skip("built without a TLS library")

    def pod(self, name="pod"):
        self._pods += 1
        pod = self.internet.pod(f"{name}{self._pods}")
        pod.sniffer = Sniffer(pod)
        return pod

    def curl(self, pod, url, *more, seconds=20):
        """Returns (status of curl, what it printed)."""
        done = pod.space.run(["curl", "-sS", "-m", str(seconds), *more, url])
        return done.returncode, done.stdout + done.stderr


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def proxy_header(src, sport, dst, dport, authority, crc=0):
    """A PROXY header, version 2, of IPv4, as another wrote it down; crc: added to its checksum."""
    body = bytes(map(int, src.split("."))) + bytes(map(int, dst.split("."))) + struct.pack(">HH", sport, dport)
    body += struct.pack(">BH", 2, len(authority)) + authority.encode() + struct.pack(">BH", 3, 4)
    head = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(">H", len(body) + 4) + body
    return head + struct.pack(">I", (crc32c(head + bytes(4)) + crc) & 0xFFFFFFFF)
