# SPDX-License-Identifier: MIT
"""What apply, check and remove leave behind; failures; being killed."""
import os
import re
import stat

import probe
from pair import ETH_P_IP, FAMILY, FAR, LIMIT, NODE, OUTSIDE, PROXY_UID
from suite import METHODS, case, listing, routing, same, same_text

FOREIGN = """
table inet foreign {
	chain c {
		type filter hook output priority 5
		tcp dport 9 counter accept
	}
}
table ip sluice {
	chain c {
		type filter hook input priority 5
		tcp dport 9 counter accept
	}
}
table netdev foreign {
	chain c {
		type filter hook egress device "eth0" priority 5
		counter
	}
}
"""


def check_says(pair, *lines, after=""):
    """check ends with 1 and prints exactly these lines."""
    done = pair.init("check")
    same((done.returncode, done.stderr), (1, ""), f"check {after}: {done.stdout}")
    same_text("\n".join(sorted(done.stdout.splitlines())), "\n".join(sorted(lines)), f"check {after}")


def check_is_content(pair):
    done = pair.init("check")
    same((done.returncode, done.stdout, done.stderr), (0, "", ""), "check")


@case(*METHODS)
def twice(suite, method):
    """Applying again changes nothing, not even a handle"""
    pair = suite.pair(method)
    pair.apply()
    before = listing(pair.node, handles=True), routing(pair.node), os.stat(os.path.join(pair.state, "mark")).st_ino
    for _ in range(2):
        pair.apply()
    after = listing(pair.node, handles=True), routing(pair.node), os.stat(os.path.join(pair.state, "mark")).st_ino
    same(after, before, "rules, routing, mark")
    same(routing(pair.node).count("fwmark"), 2 if method == "tproxy" else 0, "ip rules")
    check_is_content(pair)


@case(*METHODS)
def restores(suite, method):
    """remove leaves what was there before, and foreign tables alone"""
    pair = suite.pair(method)
    pair.node.must(["nft", "-f", "-"], stdin=FOREIGN)
    pair.node.ip("rule add fwmark 0x736c7563 lookup 133 priority 200", "route add 192.0.2.0/24 dev eth0 table 133")
    before = listing(pair.node, handles=True), routing(pair.node)
    pair.apply()
    same_text("".join(listing(pair.node, handles=True).partition("table inet sluice")[0]), before[0], "foreign tables")
    pair.remove()
    same((listing(pair.node, handles=True), routing(pair.node)), before, "rules and routing")
    same(os.listdir(pair.state), [], "state directory")
    pair.remove()
    same((listing(pair.node, handles=True), routing(pair.node)), before, "after removing nothing")


@case()
def removes_nothing(suite):
    """remove succeeds where nothing ever was, without a state directory"""
    pair = suite.pair()
    before = routing(pair.node)
    pair.remove()
    same((listing(pair.node), routing(pair.node)), ("", before), "rules and routing")


@case()
def changes(suite):
    """Another policy replaces the rules at once, and takes the routing away when it needs none"""
    pair = suite.pair("tproxy")
    plain = routing(pair.node)
    pair.apply()
    captured = routing(pair.node)
    for policy, routes in (("redirect", plain), ("cidrs", captured), ("everything", plain), ("tproxy", captured)):
        pair.policy = suite.golden(policy)
        same(pair.init("check").returncode, 1, f"check before {policy}")
        pair.apply()
        same(routing(pair.node), routes, f"routing of {policy}")
        check_is_content(pair)


@case()
def keeps_the_mark(suite):
    """The mark is drawn once, given to the proxy, and kept; a bad file is replaced"""
    pair = suite.pair()
    pair.use(suite.golden("tproxy"), secret=None)
    path = os.path.join(pair.state, "mark")
    pair.apply()
    with open(path, encoding="ascii") as file:
        first = file.read()
    same(re.fullmatch(r"[0-9a-f]{8}\n", first) is not None, True, first)
    info = os.stat(path)
    same((info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)), (PROXY_UID, PROXY_UID, 0o400), "owner and mode")
    same(stat.S_IMODE(os.stat(pair.state).st_mode), 0o755, "mode of the directory")
    pair.policy = suite.golden("redirect")
    pair.apply()
    with open(path, encoding="ascii") as file:
        same(file.read(), first, "the mark after another policy")
    os.chown(path, 0, 0)
    check_says(pair, f"state: {path}: missing, or not the proxy's")
    pair.apply()
    same((os.stat(path).st_uid, open(path, encoding="ascii").read()), (PROXY_UID, first), "the mark, given back")
    pair.apply("--uid", "4000", "--gid", "4001")
    same((os.stat(path).st_uid, os.stat(path).st_gid), (4000, 4001), "owner by --uid, --gid")
    same("meta skuid 4000 " in listing(pair.node), True, "--uid in the rules")
    for bad in ("", "00000000\n", "12345679\n", "1234567\n", "123456789\n", "1234567G\n", "736c7560\n"):
        with open(path, "w", encoding="ascii") as file:
            file.write(bad)
        pair.apply()
        with open(path, encoding="ascii") as file:
            same(re.fullmatch(r"[0-9a-f]{8}\n", file.read()) is not None, True, f"after {bad!r}")
        check_is_content(pair)


# (what is done to the node, what check says of it, what apply rightly leaves)
DAMAGE = [
    (["nft delete table inet sluice"], ["table inet sluice: missing"]),
    (["nft delete table netdev sluice"], ["table netdev sluice: missing"]),
    (["nft add table inet sluice { flags dormant ; }"], ["table inet sluice: has flags 0x1 (dormant)"]),
    (["nft flush chain inet sluice guard"],
     ["chain guard: rule 1 (the proxy's mark stays secret): missing", "chain guard: rule 2 (loopback): missing",
      "chain guard: rule 3 (what passes may go through egress): missing", "chain guard: rule 4 (what may pass): missing",
      "chain guard: rule 5 (all else): missing"]),
    (["nft add chain inet sluice guard { policy accept ; }"], ["chain guard: has policy accept, should have drop"]),
    (["nft insert rule inet sluice pass accept"], ["chain pass: a rule before rule 1 should not be there"]),
    (["nft add rule inet sluice guard accept"], ["chain guard: a rule before rule 6 should not be there"]),
    (["nft insert rule inet sluice pass tcp dport 25 accept"], ["chain pass: a rule before rule 1 should not be there"]),
    (["nft insert rule inet sluice pass limit rate 5/second accept"],
     ["chain pass: a rule before rule 1 should not be there"]),
    (["nft insert rule inet sluice own fib daddr type local accept"],
     ["chain own: a rule before rule 1 should not be there"]),
    (["nft add chain inet sluice extra"], ["chain extra: should not be there"]),
    (["nft add chain inet sluice extra { type filter hook output priority 1 ; }"], ["chain extra: should not be there"]),
    (["nft add chain netdev sluice extra"], ["chain extra: should not be there"]),
    (["nft add element inet sluice ports { 25 }"], ["set ports: 25 should not be there"]),
    (["nft delete element inet sluice ports { 443 }"], ["set ports: 443 is missing"]),
    (["nft delete element inet sluice ports { 8000-9000 }", "nft add element inet sluice ports { 8000-9001 }"],
     ["set ports: 8000-9000 is missing", "set ports: 8000-9001 should not be there"]),
    (["nft flush set inet sluice exclude_ports"],
     ["set exclude_ports: 22 is missing", "set exclude_ports: 2000-2010 is missing"]),
    (["nft add element inet sluice nd { 137 }"], ["set nd: 137 should not be there"]),
    (["nft add set inet sluice extra { type ipv4_addr ; }"], ["set extra: should not be there"]),
    (["ip rule del priority 133"], ["ip rule for table 133: missing"]),
    (["ip -6 rule del priority 133"], ["ip -6 rule for table 133: missing"]),
    (["ip route flush table 133"], ["ip route for table 133: missing"]),
    (["ip -6 route flush table 133"], ["ip -6 route for table 133: missing"]),
    (["ip rule del priority 133", "ip rule add priority 133 fwmark 0x736c7563/0xffff lookup 133"],
     ["ip rule for table 133: missing"], "ip rule del priority 133 fwmark 0x736c7563/0xffff"),
    (["ip rule del priority 133", "ip rule add priority 133 fwmark 0x736c7563 uidrange 5-6 lookup 133"],
     ["ip rule for table 133: missing"], "ip rule del priority 133 uidrange 5-6"),
    (["ip link add slu-extra type veth peer name slu-peer"],
     ["chain egress: interface slu-extra is missing", "chain egress: interface slu-peer is missing"], "ip link del slu-extra"),
]


@case()
def finds(suite):
    """check names what somebody changed, and apply puts it right"""
    pair = suite.pair("ports")
    pair.apply()
    for commands, lines, *left in DAMAGE:
        for command in commands:
            pair.node.must(command.split())
        check_says(pair, *lines, after="; ".join(commands))
        pair.apply()
        check_is_content(pair)
        for command in left:
            pair.node.must(command.split())
            check_is_content(pair)


@case()
def finds_a_rule_less(suite):
    """check names each rule that is missing"""
    pair = suite.pair("ports")
    pair.apply()
    rules = re.findall(r"^\t\t(.*) # handle (\d+)$", listing(pair.node, handles=True), re.M)
    rules = [(re.search(r'comment "(.*)"', rule).group(1), handle) for rule, handle in rules if "comment" in rule]
    same(len(rules) > 30, True, "rules")
    for number, (comment, _) in enumerate(rules):
        current = sorted(handles(pair), key=lambda found: found[0])[number]  # tables are listed by age
        pair.node.must(["nft", "delete", "rule", *current[0].split(), current[1], "handle", current[2]])
        done = pair.init("check")
        same(done.returncode, 1, f"check without {comment}")
        same(re.fullmatch(rf"chain {current[1]}: rule \d+ \({re.escape(comment)}\): missing\n", done.stdout) is not None,
             True, done.stdout)
        pair.apply()


def handles(pair):
    """(table, chain, handle) of every rule of ours."""
    table = chain = ""
    found = []
    for line in listing(pair.node, handles=True).splitlines():
        match = re.match(r"table (\S+ \S+) |\tchain (\S+) |\t\t.* comment .* # handle (\d+)", line)
        if match and match.group(1):
            table = match.group(1)
        elif match and match.group(2):
            chain = match.group(2)
        elif match:
            found.append((table, chain, match.group(3)))
    return found


@case()
def dresses_interfaces(suite):
    """Packet sockets are watched on every interface but lo and the excluded; upper interfaces are told apart"""
    pair = suite.pair()
    pair.node.ip("link add br0 type bridge", "link set eth0 master br0", "link add eth1 type veth peer name eth9",
                 "link add none type veth peer name other netns " + pair.outside.name,
                 "link add under type veth peer name over netns " + pair.outside.name,
                 "link add mv0 link under type macvlan",
                 "link add tap0 link eth9 type macvtap", "link set mv0 master br0")
    pair.use(suite.policy("exclude-interfaces = eth1, absent"))
    pair.apply()
    text = pair.node.must(["nft", "list", "table", "netdev", "sluice"]).stdout
    devices = {chain: set(re.findall(r'"(.*?)"', names)) or {names.strip()} for chain, names in
               re.findall(r"chain (\S+) \{\n\t\ttype filter hook egress devices? (?:= \{)?([^;]*?)\}? priority", text)}
    should = {"egress": {"eth0", "none", "under"}, "egress_lower": {"eth9"}, "egress_upper": {"br0", "mv0", "tap0"}}
    same({chain: set(", ".join(names).split(", ")) for chain, names in devices.items()}, should, text)
    check_is_content(pair)
    # below what keeps no routes, however far
    pair.node.ip("link add tap1 link mv0 type macvtap")
    check_says(pair, "chain egress: interface under should not be there",
               "chain egress_lower: interface under is missing", "chain egress_upper: interface tap1 is missing")
    pair.node.ip("link del tap1")
    # where the kernel cannot tell
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    text = pair.node.must([*hidden, *pair.command("print", "nft")]).stdout
    same(("rtclassid" in text, "chain egress {" in text, '"eth0"' in text.partition("chain egress_lower {")[2]),
         (False, False, True), text)
    done = pair.node.run([*hidden, *pair.command("check")])
    same((done.returncode, re.sub(" the egress chains.*", "", done.stderr)), (1, "sluice-init: interfaces: /proc is not mounted:\n"), "no /proc")
    same(pair.node.run([*hidden, *pair.command("check", "--no-egress-hook")]).stderr, "", "no /proc and no chains")
    less = ["unshare", "--mount", "sh", "-c", 'mount -t proc -o subset=pid none /proc && exec "$@"', "sh"]
    done = pair.node.run([*less, *pair.command("check")])
    same(("egress" in done.stdout, done.stderr), (False, ""), f"little in /proc: {done.stdout}")
    pair.apply("--no-egress-hook")
    same(pair.node.run(["nft", "list", "table", "netdev", "sluice"]).returncode, 1, "table netdev without the hook")
    same(pair.init("check", "--no-egress-hook").returncode, 0, "check --no-egress-hook")
    check_says(pair, "table netdev sluice: missing")


@case("an interface", "a bridge", "a MACVLAN")
def known_mark(suite, kind):
    """A packet socket that knows the guard's mark gets nothing out, and the kernel's packets have it"""
    pair = suite.pair("tproxy")
    own, device = pair.mac[pair.node].hex(":"), {"an interface": "eth0", "a bridge": "br0", "a MACVLAN": "mv0"}[kind]
    if device != "eth0":
        pair.node.ip("addr flush dev eth0", "link set eth0 address 02:53:4c:00:00:07",
                     *(("link add br0 type bridge", "link set eth0 master br0") if device == "br0" else
                       ("link add mv0 link eth0 type macvlan",)),
                     f"link set {device} address {own}", f"addr add {NODE[4]}/24 dev {device}",
                     f"addr add {NODE[6]}/64 dev {device} nodad", f"link set {device} up",
                     f"route replace default via {OUTSIDE[4]}", f"route replace default via {OUTSIDE[6]}")
    pair.apply()
    rules = pair.node.must(["nft", "list", "table", "netdev", "sluice"]).stdout
    mark = int(re.search(r"meta mark (0x[0-9a-f]+) .*passed by the guard", rules).group(1), 16)
    pair.watch.fence()
    for through in {"eth0", device}:
        for bypass in (False, True):
            data = probe.packet(pair, 17, probe.udp(b"<guessed>"))
            probe.frame(pair, data, ETH_P_IP, bypass=bypass, mark=mark, device=through)
            same([frame.hex() for frame in pair.watch.leaks(b"<guessed>")], [], f"through {through}")
    # What is allowed gets out all the same: both families, TCP, UDP, neighbours not known yet
    for family in (4, 6):
        pair.node.ip(f"neigh flush to {OUTSIDE[family]} nud permanent")
        with pair.outside.socket(FAMILY[family]) as listener, pair.proxy_socket(family) as up:
            listener.bind(("::" if family == 6 else "0.0.0.0", 8080))
            listener.listen(1)
            up.settimeout(LIMIT)
            up.connect((FAR[family], 8080))


@case()
def only_loopback(suite):
    """Without an interface there is no egress chain"""
    pair = suite.pair("tproxy")
    pair.node.ip("link del eth0")
    pair.apply()
    same("netdev" in listing(pair.node), False, "table netdev")
    check_is_content(pair)


@case()
def without_ipv6(suite):
    """Where lo has no IPv6, IPv6 routing is left out"""
    pair = suite.pair("tproxy")
    pair.node.sysctl("ipv6/conf/all/disable_ipv6", 1)
    before = routing(pair.node)
    pair.apply()
    same((routing(pair.node).count("fwmark"), routing(pair.node).count("local default")), (1, 1), "rules, routes")
    check_is_content(pair)
    pair.remove()
    same(routing(pair.node), before, "routing")


@case()
def many(suite):
    """Thousands of prefixes go into one transaction, and check reads them back"""
    prefixes = ", ".join(f"10.{n >> 7}.{n * 2 & 255}.0/24" for n in range(12000 >> 1))
    six = ", ".join(f"2001:db8:{n:x}::/49" for n in range(3000))
    lines = [f"exclude-cidrs = {part}" for part in (prefixes, six)]
    source = "[policy]\nname = many\nsequence = 1\n[capture]\ndns = reject\nexclude-cidrs =\n"
    for part in ", ".join(line.partition("= ")[2] for line in lines).split(", "):
        source += f"\t{part},\n"
    path = suite.lab.write("many.ini", source)
    out = suite.lab.path("many.slp")
    done = suite.lab.run([os.path.join(suite.programs, "sluice-rules"), "compile", path, "-o", out])
    if done.returncode != 0:  # the language has one line a list
        raise AssertionError(done.stderr[:500])
    pair = suite.pair()
    pair.use(out)
    pair.apply()
    check_is_content(pair)
    listed = pair.node.must(["nft", "list", "set", "inet", "sluice", "exclude_ipv4"]).stdout
    same(listed.count("/24"), 6000, "prefixes that nft lists")
    pair.apply()
    pair.remove()


@case()
def refuses(suite):
    """What is wrong ends with its exit status and a sentence, and changes nothing"""
    pair = suite.pair("tproxy")
    before = routing(pair.node)
    policy = pair.policy
    broken = suite.lab.path("broken.slp")
    with open(policy, "rb") as good, open(broken, "wb") as bad:
        data = bytearray(good.read())
        data[100] ^= 1
        bad.write(data)
    empty = suite.lab.write("empty.slp", "")
    drop = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    rows = [
        ([], broken, 65, r"sluice-init: policy: \S+/broken.slp: .+"),
        ([], empty, 65, r"sluice-init: policy: \S+/empty.slp: .+"),
        ([], "/nowhere/at/all", 66, r"sluice-init: policy: /nowhere/at/all: .+"),
        ([], "/", 66, r"sluice-init: policy: /: .+"),
        ([], None, 64, r"sluice-init: --policy FILE is missing"),
        (["frobnicate"], policy, 64, r"sluice-init: frobnicate: unknown command"),
        (["apply", "more"], policy, 64, r"sluice-init: more: one argument too many"),
        (["print"], policy, 64, r"sluice-init: print: \(nothing\): not nft, .+"),
        (["print", "pf"], policy, 64, r"sluice-init: print: pf: not nft, iptables or ip6tables"),
        (["--port", "0"], policy, 64, r"sluice-init: --port: 0: not a number from 1 to 65535"),
        (["--port", "65536"], policy, 64, r"sluice-init: --port: .+"),
        (["--port", "1x"], policy, 64, r"sluice-init: --port: .+"),
        (["--uid", "0"], policy, 64, r"sluice-init: --uid: .+"),
        (["--uid", "4294967295"], policy, 64, r"sluice-init: --uid: .+"),
        (["--uid", "99999999999999999999"], policy, 64, r"sluice-init: --uid: .+"),
    ]
    for args, file, status, text in rows:
        pair.policy = file
        done = pair.init(*args)
        same(done.returncode, status, f"{args} {file}: {done.stderr}")
        same(re.fullmatch(text + r"\n", done.stderr) is not None, True, done.stderr)
        same(done.stdout, "", f"{args} {file}: standard output")
    pair.policy = policy
    for command in ("apply", "check", "remove"):
        done = pair.node.run([*drop, *pair.command(command)])
        same(done.returncode, 77, f"{command} without CAP_NET_ADMIN: {done.stderr}")
        same(re.fullmatch(r"sluice-init: .*needs CAP_NET_ADMIN\n", done.stderr) is not None, True, done.stderr)
    same(pair.node.run([*drop, *pair.command("print", "nft")]).returncode, 0, "print without CAP_NET_ADMIN")
    pair.policy = None
    same(pair.init("--help").returncode, 0, "--help")
    same(re.fullmatch(r"sluice-init \S+\n", pair.init("--version").stdout) is not None, True, "--version")
    same((listing(pair.node), routing(pair.node)), ("", before), "rules and routing")


@case()
def lo_down(suite):
    """With lo down tproxy is refused, and nothing stays"""
    pair = suite.pair("tproxy")
    pair.node.ip("link set lo down")
    before = routing(pair.node)
    done = pair.init("apply")
    same((done.returncode, done.stderr.replace("-6 ", "")), (71, "sluice-init: ip route: interface lo is down\n"), "apply")
    same((listing(pair.node), routing(pair.node)), ("", before), "rules and routing")


def installed(pair):
    text = listing(pair.node)
    return "inet sluice" in text, "netdev sluice" in text


@case("from nothing", "over another policy")
def killed(suite, start):
    """SIGKILL at any system call leaves the tables whole or not there"""
    pair = suite.pair("tproxy")
    other = suite.golden("everything")
    seen = set()
    for when in range(1, 1000):
        pair.remove()
        pair.use(suite.golden("tproxy"))
        if start != "from nothing":
            pair.policy = other
            pair.apply()
            pair.policy = suite.golden("tproxy")
        old = listing(pair.node)
        log = suite.lab.path("strace")
        done = pair.node.run(["strace", "-o", log, "-e", f"inject=all:signal=SIGKILL:when={when}", *pair.command("apply")])
        new = listing(pair.node)
        if new != old:
            same(installed(pair), (True, True), f"tables after SIGKILL at call {when}")
            check_is_content(pair)
        seen.add(new == old)
        if done.returncode == 0:
            break
        pair.apply()
        check_is_content(pair)
    same(seen, {True, False}, "kills before and after")
    same(20 < when < 999, True, f"{when} calls")


@case()
def together(suite):
    """Several at once agree on one mark and one set of rules"""
    pair = suite.pair()
    for _ in range(5):
        pair.remove()
        pair.use(suite.golden("tproxy"), secret=None)
        children = [pair.node.spawn(f"apply-{n}", pair.command("apply")) for n in range(4)]
        same([child.wait() for child in children], [0] * 4, "".join(child.output() for child in children))
        check_is_content(pair)
