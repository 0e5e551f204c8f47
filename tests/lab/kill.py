# SPDX-License-Identifier: MIT
"""Killing a program at its system calls, one after the other."""
import collections
import os
import re
import signal

from lab.base import until

CALL = re.compile(r"^(\w+)\((.*)")
CHANGES = re.compile(r"^(write|rename|unlink|mkdir|fchown|fchmod|send\w+\(.*(RTM_NEW|RTM_DEL|BATCH))")


class Calls(list):
    """(name, which call of that name) of every system call but the first, which starts the program.

    `changes`: those that change something for others, and the call after the last of them.
    """

    def __init__(self, space, path, argv, says=None):
        """Runs the command once, to its end; path: a file for strace's use.

        says: what a command that stays says when it is ready: it is ended then, and the calls are those until it waits.
        """
        super().__init__()
        strace = ["strace", "-s", "9", "-o", path, *argv]
        if says is None:
            space.must(strace)
        else:
            end_when(space.spawn("strace", strace), says)
        count = collections.Counter()
        changed = []
        with open(path, encoding="ascii", errors="replace") as file:
            for line in file:
                match = CALL.match(line)
                if match is None or match.group(1) == "execve":
                    continue
                if says is not None and match.group(1) == "poll":
                    break
                count[match.group(1)] += 1
                if CHANGES.match(line):
                    changed.append(len(self))
                self.append((match.group(1), count[match.group(1)]))
        self.changes = [self[at] for at in [*changed, *(at + 1 for at in changed[-1:])] if at < len(self)]


def end_when(child, says):
    """End the program that strace runs once it says something."""
    until(lambda: says in child.output() or not child.alive(), f"{child.name}: {says}")
    with open(f"/proc/{child.pid}/task/{child.pid}/children", encoding="ascii") as file:
        os.kill(int(file.read().split()[0]), signal.SIGTERM)
    if child.wait() != 0:
        raise RuntimeError(f"{child.name}: {child.output()}")


def kill_at(space, call, argv):
    """Run a command that is killed when it makes the call, which is then not done. False: it did not make it.

    strace counts by name. A command that ends in another way than by success raises an error.
    """
    name, which = call
    done = space.run(["strace", "-o", "/dev/null", "-e", f"inject={name}:signal=SIGKILL:when={which}", *argv])
    if done.returncode not in (0, -signal.SIGKILL, 128 + signal.SIGKILL):
        raise RuntimeError(f"{' '.join(argv)}: status {done.returncode}: {done.stderr}")
    return done.returncode != 0
