# SPDX-License-Identifier: MIT
"""What --backend iptables leaves behind, refuses and says; boards that lack something; being killed."""
import os
import re
import socket
import sys
import threading

import probe
from board import board, on_board, replace, saved
from lab.base import until
from pair import ETH_P_ALL, FAMILY, FAR, OUTSIDE
from proxy import Proxy, client
from suite import ACCEPT, case, listing, routing, same, same_text

KINDS = ("legacy", "iptables-nft")
TOOL = {"legacy": "legacy", "iptables-nft": "nft"}

# A firewall manager's: in front, behind, chains of its own, every table.
FOREIGN = """*mangle
:MANAGER - [0:0]
-A MANAGER -p tcp -m tcp --dport 9 -j MARK --set-xmark 0x9/0xff
-A POSTROUTING -p udp -m udp --dport 9999 -j DSCP --set-dscp 0x08
-A OUTPUT -j MANAGER
COMMIT
*nat
-A POSTROUTING -o other0 -j MASQUERADE
-A OUTPUT -p tcp -m tcp --dport 9 -j RETURN
COMMIT
*filter
:MANAGER - [0:0]
-A MANAGER -m comment --comment "not SLUICE_ at all" -j RETURN
-A INPUT -j MANAGER
-A OUTPUT -p udp -m udp --dport 9999 -j DROP
COMMIT
"""


def tool(pair, family, what="iptables"):
    """A program of the pair's kind: iptables, iptables-save, iptables-restore, for a family."""
    name = what.replace("iptables", "ip6tables" if family == 6 else "iptables", 1)
    stem, _, rest = name.partition("-")
    return "-".join(filter(None, (stem, TOOL[pair.backend], rest)))


def run_tool(pair, family, *args):
    pair.node.must([tool(pair, family), *args])


def load_foreign(pair):
    for family in (4, 6):
        pair.node.must([tool(pair, family, "iptables-restore"), "--noflush"], stdin=FOREIGN)


def foreign(pair):
    """What is there that is not ours."""
    return [line for line in saved(pair.node, pair.backend) if "SLUICE_" not in line.replace("not SLUICE_ at all", "")]


def check_says(pair, *lines, after=""):
    done = pair.init("check")
    same((done.returncode, done.stderr), (1, ""), f"check {after}: {done.stdout}")
    same_text("\n".join(sorted(done.stdout.splitlines())), "\n".join(sorted(lines)), f"check {after}")


def check_is_content(pair):
    done = pair.init("check")
    same((done.returncode, done.stdout, done.stderr), (0, "", ""), "check")


def fails(pair, status, *patterns, command="apply", backend=()):
    """The command ends with that status and says these lines, nothing else."""
    done = pair.init(command, *backend)
    same((done.returncode, done.stdout if status != 75 else ""), (status, ""), f"{command}: {done.stderr}")
    lines = done.stderr.splitlines()
    same(len(lines) == len(patterns) and all(re.fullmatch(p, line) for p, line in zip(patterns, lines)), True, done.stderr)


def leaks(pair, probes):
    """Which of the probes get out."""
    pair.watch.fence()
    found = []
    for number, (name, send) in enumerate(probes):
        tag = f"<probe-{number:03d}>".encode()
        send(pair, tag)
        found += [name for _ in pair.watch.leaks(tag)[:1]]
    return found


V6 = [probed for probed in probe.EVERY if "IPv6" in probed[0] or "ICMPv6" in probed[0]]
V4 = [probed for probed in probe.EVERY if probed not in V6 and "neighbour" not in probed[0]
      and "hop limit" not in probed[0] and "packet socket" not in probed[0]]


def is_guarded(pair, family):
    name = "ip6tables" if family == 6 else "iptables"
    return f"{name} mangle -A POSTROUTING -j SLUICE_GUARD" in saved(pair.node, pair.backend)


# ---- what is installed ----

@case(*KINDS)
def by_the_right_program(suite, kind):
    """The rules are in the kernel's ip_tables with the legacy programs, in nf_tables with the others"""
    pair = suite.pair("tproxy", backend=kind)
    pair.apply()
    names = pair.node.run(["cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"]).stdout.split()
    if kind == "legacy":
        same(pair.node.must(["nft", "list", "ruleset"]).stdout, "", "nft list ruleset")
        same(sorted(names), ["filter", "filter", "mangle", "mangle"], "tables of ip_tables")
    else:
        same("chain SLUICE_GUARD" in listing(pair.node), True, "nft list ruleset")
        same(names, [], "tables of ip_tables")


@case(*KINDS)
def iptables_twice(suite, kind):
    """Applying again loads nothing and resets no count"""
    pair = suite.pair("tproxy", backend=kind)
    pair.apply()
    def counted(family):
        text = pair.node.must([tool(pair, family, "iptables-save"), "-c"]).stdout
        return re.search(r"\[(\d+):\d+\] -A SLUICE_REFUSE_END .*--comment UDP ", text).group(1)
    for family in (4, 6):
        probe.datagram(pair, b"counted", family, 53)
    pair.board = board(suite.lab, kind, f"{kind}-reads-only", iptables_restore="exit 1", ip6tables_restore="exit 1")
    pair.apply()
    check_is_content(pair)
    same([counted(family) for family in (4, 6)], ["1", "1"], "counts")


@case(*KINDS)
def iptables_printed(suite, kind):
    """What is loaded of the printed text is what apply installs"""
    pair = suite.pair("everything", backend=kind)
    pair.apply()
    installed = saved(pair.node, kind)
    other = suite.pair(name="text", backend=kind)
    other.use(pair.policy)
    for family, form in ((4, "iptables"), (6, "ip6tables")):
        text = other.init("print", form).stdout
        other.node.must([tool(other, family, "iptables-restore"), "--noflush"], stdin=text)
    same_text("\n".join(saved(other.node, kind)), "\n".join(installed), "rules")


@case(*KINDS)
def iptables_restores(suite, kind):
    """A firewall manager's rules in the same tables stay as they are, and remove leaves only them"""
    pair = suite.pair("redirect", backend=kind)
    load_foreign(pair)
    before, routes = saved(pair.node, kind), routing(pair.node)
    same(len(before), 20, "foreign rules and chains")
    for policy in ("redirect", "tproxy", "everything", "cidrs"):
        pair.policy = suite.golden(policy, kind)
        pair.apply()
        same(foreign(pair), before, f"foreign rules with {policy}")
        check_is_content(pair)
    pair.remove()
    same((saved(pair.node, kind), routing(pair.node)), (before, routes), "rules and routing")
    same(os.listdir(pair.state), [], "state directory")
    pair.remove()
    same((saved(pair.node, kind), routing(pair.node)), (before, routes), "after removing nothing")


@case(*KINDS)
def iptables_hears_others(suite, kind):
    """What may pass still has to pass the rules of others"""
    pair = suite.pair("tproxy", backend=kind)
    pair.apply()
    for loaded in (False, True):
        if loaded:
            load_foreign(pair)
        pair.watch.fence()
        for family in (4, 6):
            with pair.proxy_socket(family, socket.SOCK_DGRAM) as sock:
                try:
                    sock.sendto(b"<others>", (FAR[family], 9999))
                except PermissionError:
                    same(loaded, True, "refused")
        same(len(pair.watch.leaks(b"<others>")), 0 if loaded else 2, f"datagrams of the proxy, foreign rules: {loaded}")


@case(*KINDS)
def iptables_changes(suite, kind):
    """Another policy replaces the rules, and takes tables' chains and the routing away when it needs none"""
    pair = suite.pair("tproxy", backend=kind)
    plain = routing(pair.node)
    pair.apply()
    captured = routing(pair.node)
    for policy, routes in (("redirect", plain), ("cidrs", captured), ("everything", plain), ("ports", captured)):
        pair.policy = suite.golden(policy, kind)
        same(pair.init("check").returncode, 1, f"check before {policy}")
        pair.apply()
        same(routing(pair.node), routes, f"routing of {policy}")
        same(any(" nat " in line for line in saved(pair.node, kind)), routes == plain, "rules in nat")
        check_is_content(pair)


DAMAGE = [
    ("-t mangle -D POSTROUTING -j SLUICE_GUARD", ["mangle: chain POSTROUTING: the jump to SLUICE_GUARD is missing"]),
    ("-t mangle -I POSTROUTING -p udp -j ACCEPT", ["mangle: chain POSTROUTING: the jump to SLUICE_GUARD is not in its place"]),
    ("-t mangle -I OUTPUT -j ACCEPT", ["mangle: chain OUTPUT: the jump to SLUICE_OWN is not in its place",
                                      "mangle: chain OUTPUT: the jump to SLUICE_CAPTURE is not in its place"]),
    ("-t mangle -A POSTROUTING -o eth9 -j SLUICE_GUARD",
     ["mangle: chain POSTROUTING: a rule that leads to SLUICE_GUARD should not be there"]),
    ("-t mangle -A FORWARD -g SLUICE_GUARD_END", ["mangle: chain FORWARD: a rule that leads to SLUICE_GUARD_END should not be there"]),
    ("-t mangle -F SLUICE_GUARD_END", ["mangle: chain SLUICE_GUARD_END: rule 1 (all else): missing"]),
    ("-t mangle -I SLUICE_GUARD -j RETURN", ["mangle: chain SLUICE_GUARD: a rule before rule 1 should not be there"]),
    ("-t mangle -I SLUICE_GUARD_END -p udp -m comment --comment \"all else\" -j RETURN",
     ["mangle: chain SLUICE_GUARD_END: a rule before rule 1 should not be there"]),
    ("-t mangle -A SLUICE_OWN -m owner --uid-owner 5 -j CONNMARK --set-mark 0x736c7501",
     ["mangle: chain SLUICE_OWN: rule 5 should not be there"]),
    ("-t filter -A SLUICE_INPUT -j DROP", ["filter: chain SLUICE_INPUT: rule 4 should not be there"]),
    ("-t nat -N SLUICE_MORE", ["nat: chain SLUICE_MORE: should not be there"]),
    ("-t mangle -R SLUICE_GUARD_END 1 -m comment --comment \"all else\" -j ACCEPT",
     ["mangle: chain SLUICE_GUARD_END: rule 1 (all else): missing", "mangle: chain SLUICE_GUARD_END: rule 1 should not be there"]),
    ("-t mangle -R SLUICE_GUARD 1 -m mark --mark 0x12345678/0xf -m comment --comment x -j MARK --set-mark 0",
     ["mangle: chain SLUICE_GUARD: rule 1 (the proxy's mark stays secret): missing",
      "mangle: chain SLUICE_GUARD: a rule before rule 2 should not be there"]),
]


@case(*KINDS)
def iptables_finds(suite, kind):
    """check names what somebody changed, and apply puts it right"""
    pair = suite.pair("tproxy", backend=kind)
    load_foreign(pair)
    pair.apply()
    for command, lines in DAMAGE:
        for family in (4, 6):
            pair.node.must(["sh", "-c", f"{tool(pair, family)} {command}"])
            name = "ip6tables" if family == 6 else "iptables"
            check_says(pair, *(f"{name}: {line}" for line in lines), after=command)
            pair.apply()
            check_is_content(pair)
            if "ACCEPT" in command and "-I" in command:  # somebody else's stays, behind ours
                pair.node.must(["sh", "-c", f"{tool(pair, family)} {command.replace('-I', '-D')}"])
    for command, line in (("ip rule del priority 133", "ip rule"), ("ip -6 route flush table 133", "ip -6 route")):
        pair.node.must(command.split())
        check_says(pair, f"{line} for table 133: missing")
        pair.apply()
    os.unlink(os.path.join(pair.state, "iptables"))
    check_says(pair, f"state: {pair.state}/iptables: missing")
    pair.apply()
    check_is_content(pair)


@case(*KINDS)
def iptables_finds_a_rule_less(suite, kind):
    """check names each rule that is missing"""
    pair = suite.pair("udp", backend=kind)
    pair.apply()
    rules = [line for line in saved(pair.node, kind) if " -A SLUICE_" in line and "--comment" in line]
    same(len(rules) > 60, True, f"{len(rules)} rules")
    for line in rules:
        family, table, rule = line.split(" ", 2)
        chain = rule.split()[1]
        pair.node.must([f"{family}-{TOOL[kind]}-restore", "--noflush"], stdin=f"*{table}\n-D{rule[2:]}\nCOMMIT\n")
        done = pair.init("check")
        comment = re.search(r'--comment (?:"(.*?[^\\])"|(\S+))', rule)
        comment = re.escape((comment.group(1) or comment.group(2)).replace("\\", ""))
        same(re.fullmatch(rf"{family}: {table}: chain {chain}: rule \d+ \({comment}\): missing\n", done.stdout) is not None,
             True, f"without {line}: {done.stdout}")
        pair.apply()
    check_is_content(pair)


# ---- boards that lack something, programs that fail ----

@case(*KINDS)
def iptables_programs_missing(suite, kind):
    """Without a program nothing is installed, for IPv6 neither: it would stay open"""
    pair = suite.pair("tproxy", backend=kind)
    before = routing(pair.node)
    for number, (missing, family) in enumerate((("ip6tables-restore", 6), ("iptables-restore", 4), ("ip6tables-save", 6))):
        pair.board = board(suite.lab, kind, f"{kind}-less-{number}", without=(missing,))
        name = "ip6tables" if family == 6 else "iptables"
        text = (rf"sluice-init: {name}-restore and {name}-save: not found in /usr/sbin, /sbin, /usr/bin and /bin: install iptables"
                + (r", or start the kernel with ipv6\.disable=1" if family == 6 else ""))
        for command in ("apply", "check"):
            fails(pair, 69, text, command=command)
    same((saved(pair.node, kind), routing(pair.node), os.listdir(pair.state)), ([], before, ["mark"]), "what there is")


def without_family(pair, command, disabled=None):
    """Runs a command that is told, each time it asks, that the kernel does not know AF_INET6; `disabled` is what
    the parameter of that name says, None where there is no module."""
    log, found, argv = pair.lab.path("sockets"), [], pair.command(command)
    module = "/sys/module/ipv6/parameters"
    hide = "mount -t tmpfs none /sys/module && " + (f"mkdir -p {module} && echo {disabled} >{module}/disable && " if disabled is not None else "")
    while True:
        step = found[-1] - found[-2] if len(found) > 1 else 1
        inject = [] if not found else ["-e", f"inject=socket:error=EAFNOSUPPORT:when={found[0]}..{found[-1]}+{step}"]
        done = pair.node.run([*argv[:4], "sh", "-c", hide + 'exec "$@"', "sh", "strace", "-o", log, "-e", "trace=socket", *inject, *argv[4:]])
        with open(log, encoding="ascii") as file:
            calls = [line for line in file if line.startswith("socket(")]
        asked = [number for number, line in enumerate(calls, 1) if "AF_INET6" in line]
        if asked == found:
            return done
        found = asked


@case(*KINDS)
def iptables_without_ipv6(suite, kind):
    """A kernel without IPv6 needs no ip6tables; one where it is only switched off, or refused, does"""
    pair = suite.pair("tproxy", backend=kind)
    pair.board = board(suite.lab, kind, f"{kind}-v4", without=("ip6tables-restore", "ip6tables-save"))
    pair.node.sysctl("ipv6/conf/all/disable_ipv6", 1)
    same(pair.init("apply").returncode, 69, "switched off")
    same(without_family(pair, "apply", 0).returncode, 69, "refused to us alone")
    same(saved(pair.node, kind), [], "rules")
    done = without_family(pair, "apply", 1)
    same((done.returncode, done.stderr), (0, ""), "disabled")
    same((is_guarded(pair, 4), is_guarded(pair, 6)), (True, False), "guards")
    pair.remove()
    done = without_family(pair, "apply")
    says = r"sluice-init: the kernel has no IPv6 now, and nothing is closed for it: .*\n"
    same((done.returncode, re.fullmatch(says, done.stderr) is not None), (0, True), done.stderr)
    same((is_guarded(pair, 4), is_guarded(pair, 6)), (True, False), "guards")
    pair.board = None
    pair.apply()
    same((is_guarded(pair, 4), is_guarded(pair, 6)), (True, True), "guards with both programs")
    pair.node.sysctl("ipv6/conf/all/disable_ipv6", 0)


FAIL = 'echo "it does not like it" >&2; exit 1'


@case(*KINDS)
def iptables_program_fails(suite, kind):
    """A family that cannot be loaded keeps what it had; nothing that was closed opens"""
    pair = suite.pair("tproxy", backend=kind)
    before = saved(pair.node, kind)
    pair.board = board(suite.lab, kind, f"{kind}-v6-fails", ip6tables_restore=FAIL)
    fails(pair, 69, r"sluice-init: /usr/sbin/ip6tables-restore: it does not like it")
    same(saved(pair.node, kind), before, "rules after IPv6 failed")
    pair.board = board(suite.lab, kind, f"{kind}-v4-fails", iptables_restore=FAIL)
    fails(pair, 69, r"sluice-init: /usr/sbin/iptables-restore: it does not like it",
          "sluice-init: the rules for IPv6 are in place, those for IPv4 are not: apply again, or remove")
    same((is_guarded(pair, 4), is_guarded(pair, 6)), (False, True), "guards")
    same(leaks(pair, V6), [], "leaks over IPv6")
    check = pair.init("check")
    same(check.returncode == 1 and "iptables: mangle: chain SLUICE_GUARD: missing" in check.stdout, True, check.stdout)
    pair.board = None
    pair.apply()
    # over rules that are there
    for name in ("v6-fails", "v4-fails"):
        pair.policy = suite.golden("everything", kind)
        pair.board = board(suite.lab, kind, f"{kind}-{name}")
        same(pair.init("apply").returncode, 69, "another policy")
        pair.board = None
        pair.policy = suite.golden("tproxy", kind)
        if name == "v6-fails":
            check_is_content(pair)
        same((is_guarded(pair, 4), is_guarded(pair, 6)), (True, True), "guards")
    same(leaks(pair, V4), [], "leaks over IPv4, where the older policy holds")
    pair.apply()
    check_is_content(pair)


@case(*KINDS)
def iptables_program_stops_half_way(suite, kind):
    """Of a load that ends after its first table the guard stays, and lets nothing out"""
    pair = suite.pair("redirect", backend=kind)
    half = "sed '/^COMMIT/q' | (real --noflush); echo 'line 99 failed' >&2; exit 1"
    pair.board = board(suite.lab, kind, f"{kind}-half", ip6tables_restore=half, iptables_restore=half)
    fails(pair, 69, r"sluice-init: /usr/sbin/ip6tables-restore: line 99 failed")
    same((is_guarded(pair, 4), is_guarded(pair, 6)), (False, True), "guards")
    same(leaks(pair, V6), [], "leaks over IPv6")
    pair.board = None
    pair.remove()
    same(saved(pair.node, kind), [], "after remove")


def forwards(router):
    """Over which families a datagram of the clients' gets out."""
    found = []
    with router.outside.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as sock:
        for family in (4, 6):
            tag = b"<forwarded-%d>" % family
            with router.lan.node.socket(FAMILY[family], socket.SOCK_DGRAM) as out:
                out.sendto(tag, (FAR[family], 443))
            router.settle()
            sock.setblocking(False)
            frames = []
            while True:
                try:
                    frames.append(sock.recv(2000))
                except BlockingIOError:
                    break
            found += [family for _ in [frame for frame in frames if tag in frame][:1]]
    return found


def once_half(suite, family, n):
    """A restore program that loads n tables the first time, and then no more."""
    mark = suite.lab.path(f"loaded-{family}")
    if os.path.exists(mark):
        os.unlink(mark)
    return (f"[ -e {mark} ] && exit 1; : >{mark}\nawk '{{ print }} /^COMMIT/ && ++n == {n} {{ exit }}' | (real --noflush)\n"
            "echo 'line 99 failed' >&2; exit 1")


# What is closed to clients, and what is loaded to take its place.
STEPS = [("lockdown", "router"), ("lockdown", "both"), ("pod", "both"), ("pod", "router"), ("router", "both"), ("both", "router"),
         ("both", "pod"), ("router", "pod"), ("both", "lockdown"), ("router", "lockdown")]


@case(*KINDS)
def iptables_router_stops_half_way(suite, kind):
    """A router that was closed stays closed to its clients when a load ends after one of its tables"""
    router = suite.router()
    router.backend = kind
    same(forwards(router), [4, 6], "forwarded without rules")

    def command(scope, where=None):
        lines = [f"scope = {scope}", "method = redirect", ACCEPT, *(["interfaces = lan0"] if scope != "pod" else [])]
        router.policy = suite.policy(*lines) if scope != "lockdown" else None
        router.board = where
        return router.init(*(["apply"] if scope != "lockdown" else ["lockdown", "--no-egress-hook"]))

    for before, after in STEPS:
        for tables_done in (1, 2):
            done = command(before)
            same((done.returncode, forwards(router)), (0, []), f"{before}: {done.stderr}")
            for family in ("ip6tables", "iptables"):
                half = board(suite.lab, kind, f"{kind}-stops-{family}")
                replace(half, kind, f"{family}-restore", once_half(suite, family, tables_done))
                done = command(after, half)
                same(forwards(router), [], f"{before}, {after}: forwarded after {tables_done} tables of {family}: {done.stderr}")


@case()
def iptables_both_kinds(suite):
    """Of programs of two kinds remove takes those that the kernel can do; one of them it must be able to do"""
    pair = suite.pair("tproxy", backend="legacy")
    lacks = 'echo "Could not fetch rule set generation id: Invalid argument" >&2; exit 1'
    names = {f"{family}_{what}": lacks for family in ("iptables", "ip6tables") for what in ("restore", "save")}
    pair.board = board(suite.lab, "legacy", "legacy-and-none", **names)
    for name in names:
        legacy = name.replace("_", "-legacy-")
        os.symlink("xtables-legacy-multi", os.path.join(pair.board, legacy))
    pair.apply()
    same((is_guarded(pair, 4), is_guarded(pair, 6)), (True, True), "guards")
    replace(pair.board, "legacy", "ip6tables-save", "kill -9 $$")
    fails(pair, 69, r"sluice-init: /usr/sbin/ip6tables-save: ended by signal 9", command="remove")
    replace(pair.board, "legacy", "ip6tables-save", lacks)
    done = pair.init("remove")
    said = [f"sluice-init: /usr/sbin/{name}-save: Could not fetch rule set generation id: Invalid argument" for name in ("ip6tables", "iptables")]
    same((done.returncode, done.stderr.splitlines()), (0, said), "remove")
    same((saved(pair.node, "legacy"), os.listdir(pair.state)), ([], []), "what there is")
    for name in names:
        os.unlink(os.path.join(pair.board, name.replace("_", "-legacy-")))
    fails(pair, 69, re.escape(said[0]), command="remove")


@case(*KINDS)
def iptables_program_lies(suite, kind):
    """A program that says it did, and did not, is not believed"""
    pair = suite.pair("tproxy", backend=kind)
    pair.board = board(suite.lab, kind, f"{kind}-lies", ip6tables_restore="cat >/dev/null")
    fails(pair, 75, r"sluice-init: /usr/sbin/ip6tables-restore: is not what was loaded: .*")
    same(saved(pair.node, kind), [], "rules")
    pair.board = board(suite.lab, kind, f"{kind}-blind", ip6tables_save="exit 0")
    same(pair.init("apply").returncode, 75, "save shows nothing")
    pair.board = None
    pair.remove()
    pair.board = board(suite.lab, kind, f"{kind}-flood", iptables_save="yes '*mangle' | head -c 80000000")
    fails(pair, 71, r"sluice-init: /usr/sbin/iptables-save: File too large")
    pair.board = board(suite.lab, kind, f"{kind}-dies", iptables_save="kill -9 $$")
    fails(pair, 69, r"sluice-init: /usr/sbin/iptables-save: ended by signal 9")
    pair.board = board(suite.lab, kind, f"{kind}-early", ip6tables_restore="exec 0<&-; exit 3")
    fails(pair, 69, r"sluice-init: /usr/sbin/ip6tables-restore: failed, and does not say why")
    pair.board = board(suite.lab, kind, f"{kind}-format")
    replace(pair.board, kind, "iptables-save", "")
    with open(os.path.join(pair.board, "iptables-save"), "w", encoding="ascii") as file:
        file.write("no program at all")
    fails(pair, 69, r"sluice-init: /usr/sbin/iptables-save: cannot be executed")
    same(saved(pair.node, kind), [], "rules")


@case()
def iptables_kernel_lacks(suite):
    """What the kernel lacks is named: a match, a target, the whole"""
    pair = suite.pair("tproxy", backend="legacy")
    pair.board = board(suite.lab, "legacy", "legacy-lacks", ip6tables_restore="echo 'iptables-restore: line 41 failed' >&2; exit 1")
    lists = {what: pair.node.must(["cat", f"/proc/net/ip6_tables_{what}"]).stdout for what in ("matches", "targets")}
    for what, name, text in (("matches", "hl", "match hl"), ("targets", "TPROXY", "target TPROXY: use method = redirect"),
                             ("targets", "REJECT", "target REJECT")):
        less = suite.lab.write(f"less-{name}/ip6_tables_{what}", "".join(f"{line}\n" for line in lists[what].split("\n")[:-1] if line != name))
        bound = ["sh", "-c", 'mount --bind "${0%/*}" /proc/$$/net && exec "$@"', less]
        done = pair.node.run([*bound, *pair.command("apply")])
        same((done.returncode, done.stderr), (69, f"sluice-init: /usr/sbin/ip6tables-restore: the kernel lacks {text}\n"), name)
    done = pair.init("apply")
    same(done.stderr, "sluice-init: /usr/sbin/ip6tables-restore: iptables-restore: line 41 failed\n", "nothing is lacking")


@case()
def iptables_ignored_child(suite):
    """A caller that ignores the end of children does not make a failed program one that did well"""
    pair = suite.pair("tproxy", backend="legacy")
    ignore = [sys.executable, "-c", "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])"]
    for number, script in enumerate(("exit 3", "kill -9 $$")):
        pair.board = board(suite.lab, "legacy", f"legacy-ignored-{number}", ip6tables_save=script)
        command = pair.command("check")
        done = pair.node.run([*command[:4], *ignore, *command[4:]])
        same((done.returncode, done.stdout), (69, ""), f"check with {script}: {done.stderr}")
    pair.board = None
    command = pair.command("apply")
    same(pair.node.run([*command[:4], *ignore, *command[4:]]).returncode, 0, "apply")
    check_is_content(pair)


@case()
def iptables_environment(suite):
    """The programs get an environment of our own, three descriptors, and wait for the lock"""
    pair = suite.pair("tproxy", backend="legacy")
    log = suite.lab.path("environment")
    script = f"{{ env; for f in /proc/$$/fd/*; do readlink $f; done; echo \"$@\"; }} >>{log}; real \"$@\""
    pair.board = board(suite.lab, "legacy", "legacy-environment", iptables_restore=script)
    env = {**suite.lab.env, "XTABLES_LIBDIR": "/nowhere", "LD_LIBRARY_PATH": "/nowhere", "IFS": "x", "ENV": "/nowhere"}
    done = pair.init("apply", env=env)
    same((done.returncode, done.stderr), (0, ""), "apply")
    with open(log, encoding="ascii") as file:
        lines = {re.sub(r"^pipe:.*", "pipe:", line) for line in file.read().splitlines() if not line.startswith(("PWD=", "/"))}
    same(lines, {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "pipe:", "--noflush --wait=30"}, "environment")
    pair.remove()
    done = pair.node.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *pair.command("apply")])
    same(done.returncode, 0, "apply without standard input, output and error")
    check_is_content(pair)


# ---- what it refuses ----

@case(*KINDS)
def iptables_accepts_by_name(suite, kind):
    """What iptables cannot close must be accepted by the policy; and that is open, no more"""
    pair = suite.pair(backend=kind)
    pair.use(suite.golden("tproxy", "nft"))
    for command in ("apply", "check"):
        fails(pair, 78, r"sluice-init: policy: \S+: \[capture\] packet sockets cannot be watched by iptables: "
              r"needs `accept = packet-sockets`", command=command)
    same(saved(pair.node, kind), [], "rules")
    pair.use(suite.policy("exclude-interfaces = eth+", ACCEPT))
    fails(pair, 78, r"sluice-init: policy: \S+: \[capture\] exclude-interfaces: a name that ends with \+ .*")
    pair.use(suite.policy(ACCEPT, services=[("ports = udp:123", "resolution = dns")]))
    fails(pair, 78, r"sluice-init: policy: \S+: service s0: UDP addresses that names resolve to cannot be opened with iptables: .*")
    pair.use(suite.golden("tproxy", kind))
    pair.apply()
    same(leaks(pair, probe.EVERY), [name for name, _ in probe.EVERY if name.startswith("packet socket")], "what gets out")
    pair.policy = None
    same(pair.init("apply", "--backend", "pf").stderr.splitlines()[0], "sluice-init: --backend: pf: not nft or iptables", "pf")


@case(*KINDS)
def iptables_without_privilege(suite, kind):
    """Without the capabilities it refuses rather than see nothing"""
    pair = suite.pair("redirect", backend=kind)
    pair.apply()
    before = saved(pair.node, kind)
    for capability in ("net_admin", "net_raw"):
        drop = ["setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}"]
        for command in ("apply", "check", "remove"):
            argv = pair.command(command)
            done = pair.node.run([*argv[:4], *drop, *argv[4:]])
            same((done.returncode, done.stdout), (77, ""), f"{command} without {capability}: {done.stderr}")
    same(saved(pair.node, kind), before, "rules")


# ---- moments ----

class Flood:
    """Sends what must not get out, as fast as it can, until it is left."""

    def __init__(self, pair):
        self.pair = pair
        self.sent = 0
        self.ended = False
        self.thread = threading.Thread(target=self._send, daemon=True)

    def _send(self):
        data = probe.ipv4(6, probe.tcp(probe.RST, b"<flood>"))
        with self.pair.node.inside():
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, probe.IPPROTO_RAW)
            six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with raw, six:
            while not self.ended:
                for sock, data_, address in ((raw, data, (FAR[4], 0)), (six, b"<flood>", (FAR[6], 443))):
                    try:
                        sock.sendto(data_, address)
                    except OSError:
                        pass
                self.sent += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        self.thread.join()


@case(*KINDS)
def iptables_no_open_moment(suite, kind):
    """While rules are replaced, again and again, nothing gets out"""
    pair = suite.pair("tproxy", backend=kind)
    pair.apply()
    pair.watch.fence()
    with Flood(pair) as flood:
        for policy in ("redirect", "ports", "exempt", "tproxy") * 3:
            sent = flood.sent
            pair.policy = suite.golden(policy, kind)
            pair.apply()
            until(lambda: flood.sent > sent, "the flood")
    same([frame.hex() for frame in pair.watch.leaks(b"<flood>")], [], f"of {flood.sent}")


@case(*KINDS)
def iptables_and_back(suite, kind):
    """From one backend to the other and back: nothing gets out, no flow breaks, one of them is left"""
    pair = suite.pair("tproxy", backend="nft")
    other = suite.golden("tproxy", kind)
    pair.policy = other
    pair.apply()
    pair.watch.fence()
    with Proxy(pair, "tproxy") as proxy, client(pair, 4, FAR[4], 443) as down, Flood(pair):
        up = proxy.take()[1]
        with up:
            for turn in range(4):
                pair.backend = kind if turn % 2 == 0 else "nft"
                done = pair.init("apply") if pair.backend != "nft" else pair.node.run(on_board(
                    board(suite.lab, kind), pair.command("apply")))
                says = "nftables rules are replaced by iptables" if turn % 2 == 0 else "iptables rules are replaced by nftables"
                same((done.returncode, done.stderr), (0, f"sluice-init: the {says} rules\n"), f"turn {turn}")
                down.sendall(b"question")
                same(up.recv(100), b"question", "a captured flow")
                text = listing(pair.node)
                same("table inet sluice" in text, turn % 2 == 1, "nft tables")
                same(any("SLUICE_" in line for line in saved(pair.node, kind)), turn % 2 == 0, "iptables chains")
                same(pair.init("check").returncode, 0, "check")
    same([frame.hex() for frame in pair.watch.leaks(b"<flood>")], [], "leaks")


@case(*KINDS)
def iptables_cannot_ask(suite, kind):
    """Only a kernel that says that it has no nf_tables has none: else its tables would stay, and nobody would say so"""
    pair = suite.pair("tproxy", backend=kind)
    log = suite.lab.path("asks")

    def traced(command, *inject):
        argv = pair.command(command)
        return pair.node.run([*argv[:4], "strace", "-o", log, "-e", "trace=socket", *inject, *argv[4:]])
    for command in ("apply", "check", "remove"):
        traced(command)
        with open(log, encoding="ascii") as file:
            asked = next(n for n, line in enumerate((line for line in file if line.startswith("socket(")), 1) if "NETLINK_NETFILTER" in line)
        for error, status, text in (("ENOBUFS", 71, "No buffer space available"), ("EPROTONOSUPPORT", 0, None)):
            done = traced(command, "-e", f"inject=socket:error={error}:when={asked}")
            same((done.returncode, done.stderr), (status, f"sluice-init: nf_tables: {text}\n" if text else ""), f"{command}, {error}")
        pair.apply()


@case(*KINDS)
def iptables_lockdown_noted(suite, kind):
    """lockdown makes the state directory and notes its rules there, so that remove finds them; where it cannot, it says so"""
    pair = suite.pair(name="early", backend=kind)
    same(os.path.exists(pair.state), False, "state directory before")
    done = pair.init("lockdown", "--no-egress-hook")
    same((done.returncode, done.stderr, os.listdir(pair.state)), (0, "", ["iptables"]), "lockdown")
    remove = [os.path.join(suite.programs, "sluice-init"), "remove", "--state", pair.state]
    done = pair.node.run(on_board(board(suite.lab, kind), remove))
    same((done.returncode, done.stderr, saved(pair.node, kind)), (0, "", []), "remove")
    pair.state = "/nowhere/at/all"
    done = pair.init("lockdown", "--no-egress-hook")
    same((done.returncode, done.stderr), (0, "sluice-init: /nowhere/at/all: No such file or directory\n"), "lockdown without a place")
    same(len(saved(pair.node, kind)) > 0, True, "rules")


@case(*KINDS)
def iptables_stays(suite, kind):
    """When the rules of iptables cannot be taken away, those of nftables that replace them stay, with mark and routes"""
    pair = suite.pair("redirect", backend=kind)
    pair.apply()
    os.unlink(os.path.join(pair.state, "mark"))
    pair.policy, pair.backend = suite.golden("tproxy", "nft"), "nft"
    fails_to = board(suite.lab, kind, f"{kind}-stays", ip6tables_restore=FAIL)
    done = pair.node.run(on_board(fails_to, pair.command("apply")))
    same((done.returncode, done.stderr), (69, "sluice-init: /usr/sbin/ip6tables-restore: it does not like it\n"), "apply")
    same(sorted(os.listdir(pair.state)), ["iptables", "mark"], "state directory")
    done = pair.init("check")
    same((done.returncode, done.stdout), (1, "the rules of the iptables backend are there as well\n"), "check")
    done = pair.node.run(on_board(board(suite.lab, kind), pair.command("apply")))
    same((done.returncode, pair.init("check").returncode), (0, 0), f"apply again: {done.stderr}")


@case(*KINDS)
def iptables_both(suite, kind):
    """check of each backend tells of the other's rules; remove without a backend's name removes what is noted"""
    pair = suite.pair("tproxy", backend=kind)
    pair.apply()
    nft = suite.pair("tproxy", name="nft", backend="nft")
    text = nft.init("print", "nft", "--mark", "12345678").stdout
    pair.node.must(["nft", "-f", "-"], stdin=text)
    check_says(pair, "the tables of the nft backend are there as well")
    pair.backend = "nft"
    done = pair.init("check", "--no-egress-hook")
    same((done.returncode, "the rules of the iptables backend are there as well" in done.stdout), (1, True), done.stdout)
    done = pair.node.run(on_board(board(suite.lab, kind), pair.command("remove")))
    same((done.returncode, done.stderr), (0, ""), "remove")
    same((saved(pair.node, kind), "sluice" in listing(pair.node), os.listdir(pair.state)), ([], False, []), "what there is")


@case(*KINDS)
def iptables_killed(suite, kind):
    """SIGKILL wherever it starts or waits for a program leaves each table whole or as it was, and apply goes on from there"""
    pair = suite.pair("tproxy", backend=kind)
    pair.policy = other = suite.golden("everything", kind)
    tproxy = suite.golden("tproxy", kind)
    pair.apply()
    old = tables(pair)
    pair.policy = tproxy
    pair.apply()
    new = tables(pair)
    states = set()
    for start in ("nothing", "other"):
        for when in range(1, 400):
            pair.policy = other
            if start == "nothing":
                pair.remove()
                pair.use(tproxy)
            else:
                pair.apply()
            pair.policy = tproxy
            command = pair.command("apply")
            done = pair.node.run([*command[:4], "strace", "-o", "/dev/null", "-e", "trace=fork,vfork,clone,poll,wait4",
                                  "-e", f"inject=fork,vfork,clone,poll,wait4:signal=SIGKILL:when={when}", *command[4:]])
            until(lambda: not pair.lab.run(["ip", "netns", "pids", pair.node.name]).stdout, "the end of what was started")
            found = tables(pair)
            for key, text in found.items():
                same(text in (new[key], old[key] if start == "other" else []), True, f"{key} after SIGKILL {when}: {text}")
            states.add((start, tuple(found[key] == new[key] for key in sorted(found))))
            if done.returncode == 0:
                break
        same(5 < when < 399, True, f"{when} calls")
        pair.apply()
        check_is_content(pair)
    half = [state for _, state in states if len(set(state)) > 1]
    same(len(half) > 1, True, f"states between: {states}")


def tables(pair):
    """What is ours, by family and table."""
    found = {(family, table): [] for family in ("iptables", "ip6tables") for table in ("mangle", "nat", "filter")}
    for line in saved(pair.node, pair.backend):
        family, table, rest = line.split(" ", 2)
        found[family, table].append(rest)
    return found


@case(*KINDS)
def iptables_together(suite, kind):
    """Several at once agree on one mark and one set of rules"""
    pair = suite.pair(backend=kind)
    for _ in range(3):
        pair.use(suite.golden("tproxy", kind), secret=None)
        children = [pair.node.spawn(f"apply-{n}", pair.command("apply")) for n in range(4)]
        same([child.wait(60) for child in children], [0] * 4, "".join(child.output() for child in children))
        check_is_content(pair)
        pair.remove()


@case()
def iptables_waits_for_the_lock(suite):
    """It waits for a firewall manager that has the lock"""
    pair = suite.pair("tproxy", backend="legacy")
    lock = suite.lab.write("xtables.lock", "")
    with open("/run/xtables.lock", "ab"):
        pass
    bound = ["sh", "-c", 'mount --bind "$0" /run/xtables.lock && exec "$@"', lock]
    holder = pair.node.spawn("lock", ["flock", "--no-fork", lock, "sleep", "60"])
    inode = os.stat(lock).st_ino
    until(lambda: f":{inode} " in open("/proc/locks", encoding="ascii").read(), "the lock")
    child = pair.node.spawn("waits", [*bound, *pair.command("apply")])
    until(lambda: re.search(rf"-> FLOCK .*:{inode} ", open("/proc/locks", encoding="ascii").read()), "somebody who waits")
    same((child.alive(), saved(pair.node, "legacy")), (True, []), "while it waits")
    holder.stop()
    same(child.wait(60), 0, child.output())
    check_is_content(pair)


@case(*KINDS)
def iptables_many(suite, kind):
    """Thousands of prefixes are loaded, read back and found to be right"""
    source = "[policy]\nname = many\nsequence = 1\n[capture]\ndns = reject\n" + ACCEPT + "\nexclude-cidrs =\n"
    source += "".join(f"\t10.{n >> 7}.{n * 2 & 255}.0/24,\n" for n in range(2000))
    source += "".join(f"\t2001:db8:0:{n:x}:1:0:2::/112,\n" for n in range(0, 2000, 2))
    path, out = suite.lab.write("many-iptables.ini", source), suite.lab.path("many-iptables.slp")
    suite.lab.must([os.path.join(suite.programs, "sluice-rules"), "compile", path, "-o", out])
    pair = suite.pair(backend=kind)
    pair.use(out)
    pair.apply()
    check_is_content(pair)
    same(sum("--comment exclude-cidrs" in line for line in saved(pair.node, kind)), 3 * 3000, "rules")
    pair.remove()
    same(saved(pair.node, kind), [], "after remove")
