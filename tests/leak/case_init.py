# SPDX-License-Identifier: MIT
"""sluice-init is killed at its system calls, while the pod is attacked and its clients are served."""
import os
import re
import shutil

from case_life import begin, contained
from lab.kill import Calls, kill_at
from noise import Noise
from stage import Load, Stage
from suite import case, expect


def rules(stage):
    """Without what counts."""
    return re.sub(r"counter packets \d+ bytes \d+", "counter", stage.space.must(["nft", "list", "ruleset"]).stdout)


def routing(stage):
    return "".join(stage.space.must(["ip", family, *what]).stdout for family in ("-4", "-6")
                   for what in (["rule"], ["route", "show", "table", "all", "type", "local"]))


def command(stage, what):
    more = ["--policy", stage.node.compiled] if what in ("apply", "hold") else []
    return [stage.node.program("init"), what, *more, "--state", stage.node.state]


def some(suite, stage, what):
    """The calls to kill it at: those that change something, the one after, and some others; with --soak, all."""
    calls = Calls(stage.space, suite.world.lab.path("strace"), command(stage, what),
                  "holding the rules" if what == "hold" else None)
    expect(len(calls) > 30 and len(calls.changes) >= 2, f"{what}: {len(calls)} calls, {len(calls.changes)} that change")
    return list(calls) if suite.soak else sorted({*calls.changes, *calls[::len(calls) // 3]}, key=calls.index)


def kill(stage, call, what):
    """Kill it there. What the rules were, and are.

    Into how many messages the kernel puts an answer is not always the same: a last one may not come.
    """
    before = rules(stage)
    killed = kill_at(stage.space, call, command(stage, what))
    expect(killed or call[0] in ("recvmsg", "recvfrom", "read"), f"not killed at {call}")
    return before, rules(stage)


def content(stage, what):
    check = stage.node.init("check")
    expect(check.returncode == 0, f"{what}: {check.stdout}{check.stderr}")


@case()
def over_an_older(suite):
    """sluice-init apply is killed at its system calls, over an older policy's rules: nothing leaves"""
    stage = begin(suite, "tproxy")
    older, newer = stage.policy_text(), stage.another()
    changed = set()
    with Load(stage) as load, Noise(stage):
        load.more(1)
        stage.node.policy(newer)
        calls = some(suite, stage, "apply")
        for call in calls:
            stage.node.policy(older)
            stage.node.apply()
            stage.node.policy(newer)
            before, after = kill(stage, call, "apply")
            changed.add(after != before)
            if after != before:
                content(stage, f"killed at {call}, half installed")
        stage.node.apply()
        content(stage, "the next apply does not complete")
        load.more(1)
    expect(changed == {True, False}, f"kills before and after the change: {changed}")
    expect(not load.wrong and not load.failed, f"wrong {load.wrong[:5]}, failed {load.failed[:5]}")
    contained(stage)


@case()
def from_nothing(suite):
    """sluice-init apply is killed at its system calls, from nothing: all rules are there, or none"""
    stage = suite.world.stage("tproxy")
    stage.node.policy(stage.policy_text())
    stage.prepare()
    nothing, changed = routing(stage), set()
    for call in some(suite, stage, "apply"):
        stage.node.remove()
        expect((rules(stage), routing(stage)) == ("", nothing), "remove leaves something")
        after = kill(stage, call, "apply")[1]
        changed.add(after != "")
        if after != "":
            content(stage, f"killed at {call}, half installed")
        stage.node.apply()
        content(stage, "the next apply does not complete")
    expect(changed == {True, False}, f"kills before and after the change: {changed}")
    start = stage.wire.position()
    stage.node.start()
    with Load(stage) as load, Noise(stage):
        load.more(2)
    contained(stage, start)


@case()
def removing(suite):
    """sluice-init remove is killed at its system calls: all rules are there, or none"""
    stage = suite.world.stage("tproxy")
    nothing = routing(stage)
    stage.node.policy(stage.policy_text())
    stage.node.apply()
    changed = set()
    for call in some(suite, stage, "remove"):
        stage.node.apply()
        routes = routing(stage)
        before, after = kill(stage, call, "remove")
        changed.add(after != before)
        if after == before:
            expect(routing(stage) == routes, f"killed at {call}: the routes went before the rules")
        else:
            expect(after == "", f"killed at {call}, half removed")
        done = stage.node.remove()
        expect(done.returncode == 0 and not os.path.exists(stage.mark), f"the next remove: {done.stderr}")
        expect((rules(stage), routing(stage)) == ("", nothing), "the next remove leaves something")
    expect(changed == {True, False}, f"kills before and after the change: {changed}")


def lock(stage):
    done = stage.space.run(command(stage, "lockdown"))
    expect(done.returncode == 0, f"lockdown: {done.stderr}")


def locked(suite, name):
    """A pod that is in lockdown before it has a network."""
    stage = Stage(suite.world, name, "tproxy", plugged=False)
    stage.lay_wire()
    stage.node.policy(stage.policy_text())
    boot(stage)
    stage.pod.plug_in()
    stage.prepare()
    return stage


def boot(stage):
    """As at the beginning: in lockdown, without routes and without what was in /run."""
    lock(stage)
    for family in ("-4", "-6"):
        stage.space.run(["ip", family, "rule", "del", "lookup", "133"])
        stage.space.run(["ip", family, "route", "flush", "table", "133"])
    shutil.rmtree(stage.node.state, ignore_errors=True)


@case()
def in_lockdown(suite):
    """sluice-init apply is killed at its system calls, in lockdown: nothing leaves"""
    stage = locked(suite, "opening")
    changed = set()
    with Noise(stage) as noise:
        calls = some(suite, stage, "apply")
        for call in calls:
            boot(stage)
            before, after = kill(stage, call, "apply")
            changed.add(after != before)
            if after != before:
                content(stage, f"killed at {call}, half installed")
            stage.node.apply()
            content(stage, "the next apply does not complete")
        noise.more()
        stage.node.start()
        with Load(stage) as load:
            load.more(2)
    expect(changed == {True, False}, f"kills before and after the change: {changed}")
    expect(not load.wrong and not load.failed, f"wrong {load.wrong[:5]}, failed {load.failed[:5]}")
    contained(stage)


@case()
def locking(suite):
    """sluice-init lockdown is killed at its system calls, over a policy's rules: nothing leaves"""
    stage = begin(suite, "tproxy")
    changed = set()
    with Noise(stage) as noise:
        calls = some(suite, stage, "lockdown")
        whole = rules(stage)
        for call in calls:
            stage.node.apply()
            before, after = kill(stage, call, "lockdown")
            changed.add(after != before)
            expect(after in (before, whole), f"killed at {call}, half locked")
        noise.more()
        stage.node.apply()
        with Load(stage) as load:
            load.more(2)
    expect(changed == {True, False}, f"kills before and after the change: {changed}")
    contained(stage)


@case()
def locking_first(suite):
    """sluice-init lockdown is killed at its system calls, from nothing: all is closed, or no rule is there"""
    stage = suite.world.stage("tproxy")
    changed = set()
    calls = some(suite, stage, "lockdown")
    whole = rules(stage)
    for call in calls:
        done = stage.node.remove()
        expect(done.returncode == 0 and rules(stage) == "", f"remove: {done.stderr}")
        after = kill(stage, call, "lockdown")[1]
        changed.add(after != "")
        expect(after in ("", whole), f"killed at {call}, half locked")
    expect(changed == {True, False}, f"kills before and after the change: {changed}")


@case()
def holding(suite):
    """sluice-init hold is killed at its system calls, over rules that stand and over an older policy's: nothing leaves"""
    stage = begin(suite, "tproxy")
    older, newer = stage.policy_text(), stage.another()
    changed = set()
    with Load(stage) as load, Noise(stage):
        load.more(1)
        stage.node.policy(newer)
        for call in some(suite, stage, "hold"):
            stage.node.policy(older)
            stage.node.apply()
            stage.node.policy(newer)
            before, after = kill(stage, call, "hold")
            changed.add(after != before)
            if after != before:
                content(stage, f"killed at {call}, half installed")
        stage.node.hold()
        content(stage, "the next hold does not complete")
        load.more(1)
    expect(changed == {True, False}, f"kills before and after the change: {changed}")
    expect(not load.wrong and not load.failed, f"wrong {load.wrong[:5]}, failed {load.failed[:5]}")
    contained(stage)
