# SPDX-License-Identifier: MIT
"""Every attack, in a pod without rules, in one that is served, and in one whose proxy is down."""
import collections

from field import ATTACKS, HOLES
from lab.base import until
from lab.internet import V4, V6
from stage import METHODS, Load
from suite import expect, none_of

STATES = ("bare", *METHODS, *(f"{method}, proxy down" for method in METHODS),
          *(f"router, {method}" for method in METHODS), *(f"router, {method}, proxy down" for method in METHODS))


HOLE_TRIES = 5  # an XDP socket may lose its frame


class Table:
    """Frames per attack and state, for the end."""

    def __init__(self):
        self.rows = collections.defaultdict(lambda: dict.fromkeys(STATES, ""))

    def add(self, name, family, state, counts):
        cell = self.rows[f"IPv{family}: {name}"]
        kinds = ("leak",) if state == "bare" else ("leak", "upkeep", "allowed")
        cell[state] = "/".join(str(counts[kind]) for kind in kinds)

    def lines(self):
        """For each attack what left: without rules all frames; else leaks, link upkeep, the load's own."""
        yield "frames on the wire: leaks/upkeep/the load's; columns: " + "; ".join(STATES)
        for name, cells in self.rows.items():
            yield f"{name:96} " + " ".join(f"{cells[state] or '-':>11}" for state in STATES)


def each(words, what):
    """(name of the test, attack, family) of those that are wanted."""
    for attack in [*ATTACKS.values(), *HOLES.values()]:
        for family in attack.families:
            name = f"{what} IPv{family}: {attack.name}"
            if not words or any(word in name for word in words):
                yield name, attack, family


def play(suite, stage, state, wanted, served=True):
    """Where there is a proxy, connections through it live through every attack that cannot break them."""
    for name, attack, family in wanted:
        def test(attack=attack, family=family):
            number = suite.number()
            if attack.name in HOLES:
                stage.holes.append(stage.tag(number).hex())
            problems, leaks, counts = stage.run_attack(attack, family, served, number)
            for _ in range(HOLE_TRIES if attack.name in HOLES and not leaks else 0):
                problems, leaks, counts = stage.run_attack(attack, family, served, number)
                if leaks:
                    break
            broken = stage.keep_tunnels(served and stage.node)
            if attack.breaks and served and stage.node:  # some breaks show late
                stage.keep_tunnels(False)
                stage.keep_tunnels()
            suite.table.add(attack.name, family, state, counts)
            if stage.method == "bare":
                expect(bool(leaks) or not attack.control, "does not leave even without rules")
            elif attack.name in HOLES:  # stands in docs/threat-model.md: if it were closed, that should say so
                expect(bool(leaks), "is closed")
            else:
                expect(not problems, "; ".join(problems))
                none_of(leaks)
                expect(attack.breaks or not broken, f"a connection through the proxy broke: {broken}")
        suite.result(name if attack.name not in HOLES else f"{name}: known not to be closed", test)


def controls(suite, words):
    """Without rules: what an attack tries does get out, or the test of it would prove nothing."""
    wanted = [row for row in each(words, "bare") if row[1].control]
    if wanted:
        stage = suite.world.stage("bare")
        stage.prepare()
        play(suite, stage, "bare", wanted)


def contained(suite, words, method):
    """With sluice and clients at work, and then without the proxy."""
    wanted = list(each(words, method))
    down = list(each(words, f"{method}, proxy down"))
    if not wanted and not down:
        return
    stage = suite.world.stage(method)
    suite.begin(f"{method}: starts", lambda: start(stage))
    stage.keep_tunnels()
    with Load(stage) as load:
        load.more()
        play(suite, stage, method, wanted)
        suite.result(f"{method}: the clients were served meanwhile", lambda: served(load))
    stage.keep_tunnels(False)
    stage.node.proxy.process.kill()
    stage.node.proxy.wait()
    with Load(stage, patience=0.2) as load:
        play(suite, stage, f"{method}, proxy down", down, served=False)
        suite.result(f"{method}, proxy down: nobody is served", lambda: unserved(stage, load))
        stage.node.start()
        suite.result(f"{method}: the clients are served again", load.more)
    suite.result(f"{method}: the wire, from the beginning to the end", lambda: whole(stage))


def start(stage):
    stage.up()
    stage.prepare()


def served(load):
    load.more()
    expect(not load.failed, f"{len(load.failed)} requests failed: {load.failed[:5]}")
    expect(not load.wrong, f"answers that nobody may get: {load.wrong[:5]}")


def unserved(stage, load):
    until(lambda: len(load.failed) > 2, "clients that fail")
    expect(load.served == {V4: 0, V6: 0}, f"served without a proxy: {load.served}")


def whole(stage):
    stage.fence()
    expect(stage.wire.lost() == 0, "the sniffer lost frames")
    # What XDP sockets sent is known; nothing else may be there.
    none_of([text for text in stage.wire.count()[0] if not any(tag in text for tag in stage.holes)])
