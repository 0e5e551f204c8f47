# SPDX-License-Identifier: MIT
"""The rules as text: goldens, and that the text is what apply installs."""
import os
import re

from suite import GOLDEN, case, listing, routing, same, same_text

POLICIES = sorted(name[:-4] for name in os.listdir(GOLDEN) if name.endswith(".ini"))
FORMS = {"nft": "nft", "iptables": "v4", "ip6tables": "v6"}


def printed(pair, policy, form):
    """As `print` writes it, with the policy named as it is in the goldens."""
    text = pair.init("print", form, "--mark", "12345678")
    same((text.returncode, text.stderr), (0, ""), f"print {form}")
    return text.stdout.replace(pair.policy, f"{policy}.slp")


@case(*POLICIES)
def goldens(suite, policy):
    """The text is the golden text."""
    pair = suite.pair(policy)
    for form, ending in FORMS.items():
        path = os.path.join(GOLDEN, f"{policy}.{ending}")
        text = printed(pair, policy, form)
        if suite.update:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        with open(path, encoding="utf-8") as file:
            same_text(text, file.read(), os.path.relpath(path))


@case(*POLICIES)
def installed_is_printed(suite, policy):
    """What apply installs and what nft makes of the text are the same."""
    ours = suite.pair(policy)
    ours.apply()
    theirs = suite.pair(policy, name="nft")
    text = printed(theirs, policy, "nft")
    theirs.node.must(["nft", "-f", "-"], stdin=text)
    same_text(listing(ours.node), listing(theirs.node), "nft list ruleset")
    for line in re.findall(r"^#   ip (.*)$", text, re.M):
        theirs.node.must(["ip", *line.split()])
    same(routing(theirs.node), routing(ours.node), "rules and routes")
    for pair in (ours, theirs):
        done = pair.init("check")
        same((done.returncode, done.stdout), (0, ""), "check")


@case(*POLICIES)
def iptables_reads(suite, policy):
    """iptables-restore and ip6tables-restore take the text."""
    pair = suite.pair(policy)
    for form in ("iptables", "ip6tables"):
        text = printed(pair, policy, form)
        pair.node.must([f"{form}-restore", "--test", "--noflush"], stdin=text)
        pair.node.must([f"{form}-restore", "--noflush"], stdin=text)
        saved = pair.node.must([f"{form}-save"]).stdout
        same(len(re.findall(r"^-A SLUICE_", saved, re.M)), len(re.findall(r"^-A SLUICE_", text, re.M)), f"rules of {form}-save")


@case()
def draws_a_mark(suite):
    """Without a mark print draws one and says so; with one it uses it."""
    pair = suite.pair()
    pair.use(suite.golden("tproxy"), secret=None)
    marks = set()
    for _ in range(3):
        text = pair.init("print", "nft").stdout
        found = re.match(r"# sluice-init: policy \S+, mark ([0-9a-f]{8}) \(drawn,", text)
        same(found is not None, True, text.splitlines()[0])
        marks.add(found.group(1))
        same(f"0x{found.group(1)}" in text, True, "the mark in the rules")
        same(int(found.group(1), 16) & 3, 0, "low bits")
    same(len(marks), 3, "different marks")
    same(os.path.exists(pair.state), False, "print makes no state")
    pair.use(suite.golden("tproxy"))
    same("mark 12345678\n" in pair.init("print", "nft").stdout, True, "the mark of the state directory")
    for bad in ("0", "3", "12345679", "736c7560", "xyz", "", "123456789", "-4", "0x1234"):
        same(pair.init("print", "nft", "--mark", bad).returncode, 64, f"--mark {bad}")



