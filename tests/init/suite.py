# SPDX-License-Identifier: MIT
"""What the cases share: the lab, the programs, compiled policies, and how a case fails."""
import os
import re

from pair import Pair
from router import Router

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "golden")
PLAIN = {"tproxy": "method = tproxy", "redirect": "method = redirect"}
METHODS = tuple(PLAIN)
ACCEPT = "accept = packet-sockets"  # what iptables cannot watch
CASES = []


def case(*parameters):
    """Marks a function of (suite, *parameters) as a case, once for each parameter."""

    def mark(function):
        name = function.__doc__.strip().splitlines()[0].rstrip(".")
        for parameter in parameters or (None,):
            CASES.append((name if parameter is None else f"{name}: {parameter}", function,
                          () if parameter is None else (parameter,)))
        return function

    return mark


class Suite:
    def __init__(self, lab, programs, update):
        self.lab = lab
        self.programs = programs
        self.update = update
        self.pairs = []
        self.compiled = {}
        self.backend = "nft"

    def pair(self, policy=None, name="", backend=None):
        """A fresh pair; with the golden policy of that name ready for sluice-init."""
        pair = Pair(self.lab, self.programs, name)
        pair.backend = backend or self.backend
        self.pairs.append(pair)
        if policy is not None:
            pair.use(self.golden(policy, backend))
        return pair

    def router(self, policy=None):
        """A router with clients."""
        router = Router(self.lab, self.programs)
        self.pairs.append(router)
        if policy is not None:
            router.use(policy)
        return router

    def between(self):
        """After a case."""
        while self.pairs:
            self.pairs.pop().close()

    def golden(self, name, backend=None):
        """The compiled policy of golden/NAME.ini; for iptables one that accepts what iptables cannot do."""
        source = os.path.join(GOLDEN, f"{name}.ini")
        if (backend or self.backend) == "nft":
            return self._compile(name, source)
        with open(source, encoding="utf-8") as file:
            text = file.read().replace("[capture]", f"[capture]\n{ACCEPT}")
        return self._compile(f"accept-{name}", self.lab.write(f"accept-{name}.ini", text))

    def policy(self, *capture, services=()):
        """One made of lines of a [capture] section, and of [service] sections, a list of lines each."""
        text = "[policy]\nname = test\nsequence = 1\nnameservers = 192.0.2.53\n[capture]\n"
        text += "".join(f"{line}\n" for line in capture)
        if not any(line.startswith("dns") for line in capture):
            text += "dns = reject\n"
        if self.backend != "nft" and ACCEPT not in capture:
            text += f"{ACCEPT}\n"
        for number, lines in enumerate(services):
            text += f"[service s{number}]\nhosts = s{number}.example\n" + "".join(f"{line}\n" for line in lines)
        name = f"made-{len(self.compiled)}"
        return self._compile(name, self.lab.write(f"{name}.ini", text))

    def compiled_text(self, name, text):
        """The compiled policy of that text."""
        return self._compile(name, self.lab.write(f"{name}.ini", text))

    def _compile(self, name, source):
        if name not in self.compiled:
            path = self.lab.path(f"{name}.slp")
            self.lab.must([os.path.join(self.programs, "sluice-rules"), "compile", source, "-o", path])
            self.compiled[name] = path
        return self.compiled[name]


def same(found, wanted, what):
    if found != wanted:
        raise AssertionError(f"{what}:\nis:     {found!r}\nshould: {wanted!r}")


def same_text(found, wanted, what):
    """Names the first line that differs."""
    if found == wanted:
        return
    is_lines, should = found.splitlines(), wanted.splitlines()
    for number, (a, b) in enumerate(zip(is_lines + [None] * len(should), should + [None] * len(is_lines)), 1):
        if a != b:
            raise AssertionError(f"{what}: line {number}:\nis:     {a}\nshould: {b}")


def listing(space, handles=False):
    """What nft says is there, without the counts."""
    text = space.must(["nft", *(["-a"] if handles else []), "list", "ruleset"]).stdout
    return re.sub(r"counter packets \d+ bytes \d+", "counter", text)


def routing(space):
    """Rules and routes of both families."""
    return "".join(space.must(["ip", family, *what]).stdout for family in ("-4", "-6")
                   for what in (["rule"], ["route", "show", "table", "all"]))
