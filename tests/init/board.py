# SPDX-License-Identifier: MIT
"""The iptables programs of boards: directories that take the place of /usr/sbin for sluice-init."""
import os
import shutil

CHECKED = ("nft", "legacy")
BACKENDS = (*CHECKED, "iptables-nft")  # of the last two sluice-init sees the programs only
MULTI = {"legacy": "xtables-legacy-multi", "iptables-nft": "xtables-nft-multi"}
NAMES = tuple(f"{family}-{what}" for family in ("iptables", "ip6tables") for what in ("restore", "save"))
IN_BOARD = 'mount --bind "$0" /usr/sbin && exec "$@"'


def board(lab, kind, name=None, without=(), **scripts):
    """A directory with the programs of a kind under their plain names, but for those `without`; in place of
    others shell scripts, which find the real program as $REAL."""
    path = lab.path("boards", name or kind)
    if not os.path.isdir(path):
        os.makedirs(path)
        shutil.copy(f"/usr/sbin/{MULTI[kind]}", path)
        for program in NAMES:
            if program not in without:
                os.symlink(MULTI[kind], os.path.join(path, program))
        for program, text in scripts.items():
            replace(path, kind, program.replace("_", "-"), text)
    return path


def replace(path, kind, program, text):
    """A shell script takes a program's place."""
    script = os.path.join(path, program)
    if os.path.lexists(script):
        os.unlink(script)
    with open(script, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\nreal() {{ exec /usr/sbin/{MULTI[kind]} {program} \"$@\"; }}\n{text}\n")
    os.chmod(script, 0o755)


def on_board(path, argv):
    """The command line that runs argv with these programs; the mounts of `ip netns exec` are its own."""
    return ["sh", "-c", IN_BOARD, path, *argv]


def saved(space, kind):
    """Rules and chains of both families as iptables-save shows them: no counts, and no tables that say nothing."""
    found = []
    tool = "legacy" if kind == "legacy" else "nft"
    for family in ("iptables", "ip6tables"):
        table = None
        for line in space.must([f"{family}-{tool}-save"]).stdout.splitlines():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith(":") and " - " in line:
                found.append(f"{family} {table} {line.split()[0]}")
            elif line.startswith("-A"):
                found.append(f"{family} {table} {line}")
    return sorted(line for line in found if line.split()[2] != "-A") + [line for line in found if line.split()[2] == "-A"]
