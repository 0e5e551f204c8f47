# SPDX-License-Identifier: MIT
"""QUIC: who begins with it hears at once that there is none, and is served over TCP."""
import contextlib
import os
import socket

from case_life import begin, contained
from case_router import Router
from lab.internet import FAMILY
from packet import ICMP, icmp
from stage import METHODS
from suite import case, expect

INITIAL = b"\xc0\0\0\0\x01" + bytes(1195)  # as large as an Initial has to be


@contextlib.contextmanager
def one_processor():
    """What is sent after something else is handled after it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def echo(stage, family, there):
    """One round trip."""
    with stage.space.socket(FAMILY[family], socket.SOCK_DGRAM, ICMP[family]) as sock:
        sock.settimeout(10)
        sock.sendto(icmp(there, there, 8 if family == 4 else 128, payload=b"?"), (there, 0))
        sock.recv(100)


def falls_back(stage, family, neighbour):
    """The error is there as soon as the answer to a later echo request to a neighbour."""
    with one_processor(), stage.space.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
        sock.connect((stage.internet.address("origin.test", family), 443))
        with contextlib.suppress(PermissionError):  # what the node's own processes are told, besides
            sock.send(INITIAL)
        echo(stage, family, neighbour)
        refused = False
        try:
            sock.recv(100, socket.MSG_DONTWAIT)
        except ConnectionRefusedError:
            refused = True
        except BlockingIOError:
            pass
    expect(refused, f"IPv{family}: no ICMP error within a round trip")
    expect(stage.ask(family=family) == 200, f"IPv{family}: not served over TCP")


@case(*METHODS)
def pod(suite, method):
    """a client that begins with QUIC hears within a round trip that there is none, and is served over TCP"""
    stage = begin(suite, method)
    for family, me in stage.pod.addresses.items():
        falls_back(stage, family, me)
    contained(stage)


@case(*METHODS)
def router(suite, method):
    """a router's client that begins with QUIC hears within a round trip that there is none, and is served over TCP"""
    stage = Router(suite.world, method)
    stage.up()
    stage.inside()
    for family, gate in stage.gate.items():
        falls_back(stage, family, gate)
    contained(stage)
