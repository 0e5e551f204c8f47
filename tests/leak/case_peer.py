# SPDX-License-Identifier: MIT
"""What others in the pod, or peers outside, bring about in the kernel: conntrack full, untracked or helped, MPTCP."""
import socket
import struct

from agent import RAW
from field import ATTACKS
from lab.base import until
from lab.internet import FAMILY, V4, V6
from lab.talk import Server, Talk
from case_life import begin, contained
from noise import Noise
from stage import HOSTS, METHODS, Load
from suite import case, expect, none_of

NETLINK_NETFILTER, CTNETLINK = 12, 1
IPCTNL_MSG_CT_NEW, IPCTNL_MSG_CT_DELETE = 0, 2
NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE = 1, 4, 0x400
NESTED = 0x8000
ASSURED = 0x2 | 0x4 | 0x8  # seen reply, assured, confirmed
UNTRACK = "table inet raw {\n\tchain c {\n\t\ttype filter hook output priority -300\n\t\tnotrack\n\t}\n\tchain p {\n" \
          "\t\ttype filter hook prerouting priority -300\n\t\tnotrack\n\t}\n}\n"
HELP = "table inet help {\n\tct helper ftp {\n\t\ttype \"ftp\" protocol tcp\n\t}\n\tchain c {\n" \
       "\t\ttype filter hook output priority 0\n\t\tmeta skuid 1337 tcp dport 7001 ct helper set \"ftp\"\n\t}\n}\n"
FTP = """\
[service ftp]
hosts      = ftp.test
addresses  = {raw4}
ports      = tcp:7001
resolution = none
"""


def attribute(kind, data):
    return struct.pack("HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def tuple_of(src, dst, sport, dport):
    addresses = attribute(1 | NESTED, attribute(1, src) + attribute(2, dst))
    ports = attribute(2 | NESTED, attribute(1, bytes([17])) + attribute(2, struct.pack("!H", sport)) +
                      attribute(3, struct.pack("!H", dport)))
    return addresses + ports


def fill(space, limit):
    """Makes UDP entries that may not be dropped early, until the table of this namespace is full."""
    here, there, port = b"HERE", b"\x0a\xff\0\1", 0x5050
    body = struct.pack("BBH", socket.AF_INET, 0, 0)
    body += attribute(1 | NESTED, tuple_of(here, there, port, 9))
    body += attribute(2 | NESTED, tuple_of(there, here, 9, port))
    body += attribute(3, struct.pack("!I", ASSURED)) + attribute(7, struct.pack("!I", 600))
    message = struct.pack("IHHII", 16 + len(body), CTNETLINK << 8 | IPCTNL_MSG_CT_NEW, NLM_F_REQUEST | NLM_F_CREATE,
                          0, 0) + body
    with space.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as sock:
        sock.bind((0, 0))
        for start in range(0, limit + 64, 256):
            mine = message.replace(here, struct.pack("!I", 0x0A800000 + (start >> 8)))
            sock.send(b"".join(mine.replace(b"PP", bytes((1 + n // 128, 1 + n % 128))) for n in range(256)))


def empty(space):
    with space.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as sock:
        sock.bind((0, 0))
        sock.send(struct.pack("IHHII", 20, CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, 1, 0) +
                  struct.pack("BBH", socket.AF_UNSPEC, 0, 0))
        sock.recv(1 << 12)


def tracked(space):
    return int(space.must(["cat", "/proc/sys/net/netfilter/nf_conntrack_count"]).stdout)


@case(*METHODS)
def table_full(suite, method):
    """with conntrack's table full nothing leaves, and with room again clients are served"""
    with open("/proc/sys/net/netfilter/nf_conntrack_max", encoding="ascii") as file:
        limit = int(file.read())
    stage = begin(suite, method)
    with Load(stage, patience=0.5) as load, Noise(stage):
        load.more(2)
        fill(stage.space, limit)  # the limit is the machine's, the count this namespace's own
        expect(tracked(stage.space) >= limit * 0.99, f"{tracked(stage.space)} entries of {limit}")
        before, failed = sum(load.served.values()), len(load.failed)
        until(lambda: len(load.failed) > failed + 2, "clients that meet the full table", 20)
        for name in ("TCP to any port", "UDP to any port", "raw TCP segments: SYN, RST, FIN, none, all, with data"):
            for family in (V4, V6):
                suite.world.agent.run(stage.space.name, RAW, name, stage.field(family, False))
        expect(sum(load.served.values()) - before < 20, "clients are served though the table is full")
        empty(stage.space)
        load.more()
    expect(not load.wrong, f"answers that nobody may get: {load.wrong[:5]}")
    contained(stage)


@case(*METHODS)
def untracked(suite, method):
    """nothing leaves while somebody's rule keeps everything from conntrack, the proxy's own neither"""
    stage = begin(suite, method)
    stage.keep_tunnels()
    with Load(stage, patience=0.5) as load:
        load.more(2)
        stage.space.must(["nft", "-f", "-"], stdin=UNTRACK)
        stage.fence()
        start = stage.wire.position()
        with Noise(stage) as noise:
            failed = len(load.failed)
            until(lambda: len(load.failed) > failed + 2 and noise.bursts, "clients that fail", 20)
            stage.fence()
            leaks, counts = stage.wire.count(start)
            none_of(leaks)
            expect(counts["allowed"] == 0, f"{counts['allowed']} untracked frames of the proxy's")
            stage.space.must(["nft", "delete", "table", "inet", "raw"])
        load.more()
    contained(stage)


@case(*METHODS)
def helper(suite, method):
    """a conntrack helper's expectation opens nothing"""
    raw = suite.world.internet.address("raw.test", V4)
    stage = suite.world.stage(method, more=FTP.format(raw4=raw))
    stage.wire.allowed.add((raw, 7001, "tcp"))
    stage.up()
    stage.prepare()
    stage.space.must(["nft", "-f", "-"], stdin=HELP)
    listener = suite.world.internet.listen(HOSTS["raw.test"], 7001, V4)
    server = Server(suite.world.lab, listener, ["send 220 ready\\r\\n", "recv PASV\r\n",
                                                f"send 227 Passive ({raw.replace('.', ',')},1,187).\\r\\n", "hold"])
    try:
        talk = Talk(stage.connect("raw.test", 7001, V4))
        talk.do_recv("220 .*\r\n")
        talk.do_send("PASV\\r\\n")
        talk.do_recv("227 .*\r\n")
        expected = stage.space.must(["cat", "/proc/net/nf_conntrack_expect"]).stdout
        expect(f"dst={raw} " in expected and "dport=443" in expected, f"no expectation: {expected}")
        for attack in ("TCP to any port", "raw TCP segments: SYN, RST, FIN, none, all, with data"):
            field = stage.field(V4)
            field.evil = raw
            for identity in (*ATTACKS[attack].identities, RAW):
                suite.world.agent.run(stage.space.name, identity, attack, field)
        talk.sock.close()
    finally:
        server.finish()
    contained(stage)


def announce(stage, family):
    """An MPTCP server and its client in the pod; the server names an address far away. Whether MPTCP was spoken."""
    evil, me = stage.internet.address("evil.test", family), stage.pod.addresses[family]
    stage.space.must(["ip", "mptcp", "limits", "set", "subflows", "8", "add_addr_accepted", "8"])
    stage.space.must(["ip", "mptcp", "endpoint", "flush"])
    stage.space.must(["ip", "mptcp", "endpoint", "add", evil, "signal"])
    with stage.space.socket(FAMILY[family], socket.SOCK_STREAM, 262) as listener, \
            stage.space.socket(FAMILY[family], socket.SOCK_STREAM, 262) as client:
        listener.bind((me, 8089))
        listener.listen(1)
        for sock in (listener, client):
            sock.settimeout(5)
        client.connect((me, 8089))
        peer, _ = listener.accept()
        with peer:
            for _ in range(20):  # the address is announced, and the kernel connects to it, after some data
                peer.sendall(b"<leak-mptcp>")
                client.recv(100)
                client.sendall(b"<leak-mptcp>")
                peer.recv(100)
            read = stage.space.must(["nstat", "-asz", "MPTcpExtAddAddr", "MPTcpExtMPJoinSynTx"]).stdout
            until(lambda: "MPTcpExtAddAddr                 0" not in stage.space.must(
                ["nstat", "-asz", "MPTcpExtAddAddr"]).stdout, f"the address to be announced: {read}")
            stage.fence()


@case("bare", *METHODS)
def mptcp_announced(suite, method):
    """the kernel's own MPTCP subflow to an address that a peer announced"""
    stage = suite.world.stage(method)
    if method != "bare":
        stage.up()
    stage.prepare()
    for family in (V4, V6):
        start = stage.wire.position()
        announce(stage, family)
        if method == "bare":
            evil = stage.internet.address("evil.test", family)
            stage.wire.wait_for(lambda frame, evil=evil: frame.dst == evil and frame.kind == "tcp", "the subflow",
                                start)
    if method != "bare":
        contained(stage)
