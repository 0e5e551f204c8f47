# SPDX-License-Identifier: MIT
"""Attacks without a pause, by a thread, while something else is looked at."""
import select
import threading
import time
import traceback

import attack_packet
import attack_socket
from agent import RAW
from field import BOUND, marked, trying
from lab.base import CLOSING, until
from lab.internet import V4, V6

BURST = 0.2  # seconds of one process's noise
FAST = (attack_socket.udp_ports, attack_socket.udp_bound, attack_socket.udp_lite, attack_socket.ping_socket,
        attack_packet.raw_segments, attack_packet.raw_protocols, attack_packet.raw_fragments, attack_packet.raw_icmp,
        attack_packet.raw_spoofed, attack_packet.reflection)
FRAMES = (attack_packet.packet_socket,)


def knock(a, sockets):
    """Connections that nobody waits for; those that somebody took get a request."""
    for port in (443, 80, 22, 53):
        for options in ((), (BOUND,), (marked(a.marks[0]),)):
            with trying():
                sock = a.socket(options=options)
                sockets.append(sock)
                sock.setblocking(False)
                sock.connect_ex((a.evil, port))
    for sock in select.select([], sockets, [], 0)[1]:
        with trying():
            sock.sendall(a.request)
    while len(sockets) > 100:
        sockets.pop(0).close()


def burst(a, functions):
    sockets = []
    end = time.monotonic() + BURST
    while time.monotonic() < end:
        knock(a, sockets)
        for function in functions:
            function(a)


def noise(a):
    """Everything that does not wait for answers."""
    burst(a, FAST + FRAMES)


def noise_without_frames(a):
    """The same without packet sockets."""
    burst(a, FAST)


class Noise:
    """Goes on until the block ends, through an agent of its own. A noise that breaks breaks the test."""

    def __init__(self, stage, frames=True):
        self.stage, self.name = stage, "noise" if frames else "noise without frames"
        self.bursts, self.problems = 0, []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            self._make()
        except Exception:
            self.problems.append(traceback.format_exc())

    def _make(self):
        agent, space = self.stage.world.noise_agent, self.stage.space.name
        while not self._done.is_set() and not CLOSING.is_set():
            for family in (V4, V6):
                said = agent.run(space, RAW, self.name, self.stage.field(family, False, self.bursts))
                if said is not None and "socket" not in said:
                    self.problems.append(said)
            self.bursts += 1

    def __enter__(self):
        self._thread.start()
        return self

    def more(self, count=2, seconds=20.0):
        """Wait for whole bursts."""
        start = self.bursts
        until(lambda: self.bursts > start + count or self.problems, "noise", seconds)

    def __exit__(self, kind, *_):
        self._done.set()
        self._thread.join(30)
        if kind is None and (self.problems or not self.bursts):
            raise AssertionError(f"the noise, after {self.bursts} bursts: {self.problems[:2]}")
