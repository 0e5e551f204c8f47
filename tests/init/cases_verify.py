# SPDX-License-Identifier: MIT
"""What verify says of good rules, of faulty ones, and where it can try little."""
import glob
import os
import pathlib
import re
import socket
import subprocess

from suite import GOLDEN, case, listing, routing, same

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
POLICIES = sorted(name[:-4] for name in os.listdir(GOLDEN) if name.endswith(".ini"))
MADE = {
    "dns = capture": ("dns = capture",),
    "dns = capture, redirect": ("dns = capture", "method = redirect"),
    "all open": ("dns = allow", "udp = allow", "other = allow", "exclude-ports = 443, 7"),
    "captured DNS of an excluded network": ("dns = capture", "exclude-cidrs = 198.51.100.0/24, 2001:db8:7::/48"),
    "a router": ("scope = router", "interfaces = br-lan", "dns = capture"),
    "both": ("scope = both", "interfaces = br-lan, eth9", "dns = reject"),
    "both, redirect, UDP open": ("scope = both", "interfaces = br-lan", "method = redirect", "udp = allow",
                                 "dns = allow"),
}


def state_of(pair):
    return listing(pair.node, handles=True), routing(pair.node), os.listdir(pair.state), \
        pair.node.must(["ip", "-d", "link"]).stdout


def has_inside(policy):
    """Whether it is a router's."""
    lines = MADE.get(policy) or pathlib.Path(GOLDEN, f"{policy}.ini").read_text("ascii").splitlines()
    return any(line.startswith("interfaces") for line in lines)


@case(*POLICIES, *MADE)
def verifies(suite, policy):
    """verify finds every way as the policy has it, and touches nothing of the node's"""
    pair = suite.pair()
    pair.use(suite.policy(*MADE[policy]) if policy in MADE else suite.golden(policy))
    pair.apply()
    before = state_of(pair)
    done = pair.init("verify")
    same((done.returncode, done.stderr), (0, ""), done.stdout)
    same(re.search(r"^(\d+) as expected, 0 not, 0 not tried$", done.stdout, re.M) is not None, True, done.stdout)
    same("A CLIENT BEHIND IT" in done.stdout, has_inside(policy), "a client's part")
    same(state_of(pair), before, "the node")


SOURCES = ("init/*.c", "rules/addr.c", "rules/addr_class.c", "rules/capture*.c", "rules/crc32c.c", "rules/name.c",
           "rules/notify.c", "rules/policy.c", "rules/route.c", "rules/verify*.c", "rules/lookup.c", "rules/gateway.c",
           "rules/http_rule.c", "rules/traffic.c", "rules/word.c")
# (policy, file, what it says, what it is made to say, the verdicts that must be there)
FAULTS = {
    "a guard that lets all through": (
        ("method = redirect",), "init/ruleset_pod.c", 'ADD(r, CHAIN_GUARD, "all else", JUST(COUNTER), JUST(DROP));',
        'ADD(r, CHAIN_GUARD, "all else", JUST(COUNTER), JUST(ACCEPT));',
        [r"TCP bound to the interface +4, 6 closed +out +LEAK",
         r"TCP with it, bound to the interface +4, 6 closed +out +LEAK"]),
    "UDP that nobody allowed": (
        ("udp = reject",), "init/ruleset_pass.c", "if (c->udp == POLICY_ALLOW)\n", "if (c->udp != POLICY_ALLOW)\n",
        [r"UDP +4, 6 refused +out +LEAK", r"QUIC +4, 6 refused +out +LEAK"]),
    "packet sockets let be": (
        ("udp = reject",), "init/ruleset_pod.c", '"packet sockets", JUST(OWNED), JUST(COUNTER), JUST(DROP)',
        '"packet sockets", JUST(OWNED), JUST(COUNTER), JUST(ACCEPT)',
        [r"packet socket +4 +closed +out +LEAK", r"packet socket, past the queue +4 +closed +out +LEAK"]),
    "packet sockets told by the mark alone": (
        ("udp = reject",), "init/ruleset_pod.c", "pass, JUST(ROUTED), WITH", "pass, WITH",
        [r"packet socket, the guard's mark +4 +closed +out +LEAK"]),
    "the proxy known by its mark alone": (
        ("udp = reject",), "init/ruleset_pod.c", "WITH(UID, config->uid),", "NOT(UID, config->uid),",
        []),  # the proxy itself does not get out
    "a proxy's port that is another": (
        ("udp = reject",), "init/ruleset_proxy.c", "turn = WITH(TPROXY, config->port);",
        "turn = WITH(TPROXY, config->port ^ 1u);", [r"TCP +4, 6 captured +closed +WRONG"]),
    "a router that forwards": (
        ("scope = router", "interfaces = br-lan"), "init/ruleset_router.c",
        'ADD(r, CHAIN_FORWARD, "other protocols", JUST(COUNTER), JUST(REJECT_ADMIN));',
        'ADD(r, CHAIN_FORWARD, "other protocols", JUST(COUNTER), JUST(ACCEPT));', [r"GRE +4, 6 closed +out +LEAK"]),
}


def build(suite):
    """sluice-init's objects, made without optimising, once."""
    if not hasattr(suite, "objects"):
        files = [file for pattern in SOURCES for file in glob.glob(os.path.join(ROOT, pattern))
                 if not file.endswith(("fortify.c",))]
        suite.objects = {}
        for file in files:
            suite.objects[os.path.relpath(file, ROOT)] = compile_one(suite, file, os.path.relpath(file, ROOT))
    return suite.objects


def compile_one(suite, source, name):
    out = suite.lab.path(re.sub(r"[/.]", "_", name) + ".o")
    deps = os.path.join(suite.programs, "deps", "host", "include")
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", '-DSLUICE_VERSION="0"', "-O0", "-w", f"-I{ROOT}",
                    f"-I{suite.programs}", f"-I{deps}", "-include", "autoconf.h", "-c", "-o", out, source], check=True)
    return out


def faulty(suite, name, file, old, new):
    objects = dict(build(suite))
    with open(os.path.join(ROOT, file), encoding="utf-8") as source:
        text = source.read()
    same(text.count(old), 1, f"{file}: {old}")
    changed = suite.lab.write(f"{name}.c", text.replace(old, new))
    objects[file] = compile_one(suite, changed, name)
    program = suite.lab.path(f"{name}-init")
    libraries = [os.path.join(suite.programs, "deps", "host", "lib", library) for library in ("libnftnl.a", "libmnl.a")]
    subprocess.run(["cc", "-o", program, *objects.values(), *libraries], check=True)
    return program


@case(*FAULTS)
def finds_faults(suite, fault):
    """verify of a sluice-init with a fault ends with 1 and names what got out"""
    lines, file, old, new, verdicts = FAULTS[fault]
    pair = suite.pair()
    pair.use(suite.policy(*lines))
    program = faulty(suite, f"fault-{sorted(FAULTS).index(fault)}", file, old, new)
    done = pair.node.run([program, *pair.command("verify")[1:]])
    same(done.returncode, 1, done.stdout + done.stderr)
    for verdict in verdicts:
        same(re.search(rf"^{verdict}", done.stdout, re.M) is not None, True, f"{verdict}:\n{done.stdout}")
    if not verdicts:
        same(done.stderr, "sluice-init: the proxy's own packets do not get out\n", done.stdout)


# Runs a command in which socket(AF_XDP) ends with EAFNOSUPPORT, as it does on a kernel without
WITHOUT_XDP = """
import ctypes, os, struct, sys
socket = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
code = ((0x20, 0, 0, 0), (0x15, 0, 3, socket), (0x20, 0, 0, 16), (0x15, 0, 1, 44), (0x06, 0, 0, 0x50000 | 97),
        (0x06, 0, 0, 0x7fff0000))
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in code))
filter = ctypes.create_string_buffer(struct.pack("HP", len(code), ctypes.addressof(program)))
assert ctypes.CDLL(None).prctl(22, 2, filter) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


@case()
def tries_af_xdp(suite):
    """verify sends by an AF_XDP socket, which no rule stops, where the kernel has them"""
    pair = suite.pair("tproxy")
    try:
        socket.socket(44, socket.SOCK_RAW).close()
        has = True
    except OSError:
        has = False
    for wrapper, row in (([], "out +out" if has else "closed +refused"),
                         (["python3", "-c", WITHOUT_XDP], "closed +refused")):
        done = pair.node.run([*wrapper, *pair.command("verify")])
        same(done.returncode, 0, done.stdout + done.stderr)
        same(re.search(rf"^AF_XDP socket +4 +{row} +ok$", done.stdout, re.M) is not None, True, done.stdout)
        same("\nnote: AF_XDP sockets get past every rule" in done.stdout, "out" in row, done.stdout)


@case()
def verifies_in_place(suite):
    """--in-place needs no namespaces of its own, and tells rules in force from none"""
    pair = suite.pair("tproxy")
    drop = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    done = pair.node.run([*drop, *pair.command("verify")])
    same((done.returncode, done.stderr), (77, "sluice-init: scratch namespaces: need CAP_SYS_ADMIN\n"
         "sluice-init: verify --in-place tries what takes fewer privileges\n"), "without CAP_SYS_ADMIN")
    done = pair.node.run([*drop, *pair.command("verify", "--in-place")])
    same((done.returncode, "the rules in force are not the policy's" in done.stdout), (1, True), done.stdout)
    same(re.search(r"^UDP +4, 6 closed +out +LEAK$", done.stdout, re.M) is not None, True, done.stdout)
    pair.apply()
    pair.watch.fence()
    done = pair.node.run([*drop, *pair.command("verify", "--in-place")])
    same(done.returncode, 0, done.stdout + done.stderr)
    same(re.search(r"^the rules in force are the policy's$", done.stdout, re.M) is not None, True, done.stdout)
    same(re.search(r"^2\d as expected, 0 not,", done.stdout, re.M) is not None, True, done.stdout)
    same([frame.hex() for frame in pair.watch.leaks(b"sluice-probe")], [], "frames")
    pair.node.must(["nft", "add", "table", "ip", "raw"])
    pair.node.must(["nft", "add", "chain", "ip", "raw", "OUTPUT", "{ type filter hook output priority -300 ; }"])
    done = pair.init("verify", "--in-place")
    same("chain ip raw OUTPUT: another's, sees packets before ours\n" in done.stdout, True, done.stdout)
    drop = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]
    for args in ((), ("--in-place",)):
        done = pair.node.run([*drop, *pair.command("verify", *args)])
        same((done.returncode, "CAP_NET_RAW" in done.stderr), (77, True), done.stderr)
