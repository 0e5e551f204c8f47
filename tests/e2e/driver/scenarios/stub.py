# SPDX-License-Identifier: MIT
"""The proxy as name server over a scripted one; UDP services opened by what names resolve to."""
import os
import re
import socket
import struct
import time

from driver.scenarios.dns import dig, kind
from lab.base import need, until
from lab.internet import FAMILY, V4, V6, literal
from lab.nameserver import A, AAAA, HTTPS, SVCB, address, alias, labels, parameter, service

ALPN, PORT = parameter(1, b"\2h2"), parameter(3, struct.pack(">H", 8443))
REFUSED = (ConnectionRefusedError, PermissionError)
GREETING = "libcoap"  # in what the server of that library has at /
ECH = parameter(5, b"\0\4\xfe\x0d\0\0")


def number(run):
    return A if run.family == V4 else AAAA


def real(run, name="origin.test"):
    return run.group.address(name, False)


def say(run, name, *records, kind_of=None):
    run.group.nameserver.answers[name, kind_of or number(run)] = list(records)


def question(name, kind_of, ident=7):
    return struct.pack(">6H", ident, 0x100, 1, 0, 0, 0) + labels(name) + struct.pack(">HH", kind_of, 1)


def stream(run):
    return run.connect("@{evil.test}:53")


def send(sock, *messages):
    sock.sendall(b"".join(struct.pack(">H", len(message)) + message for message in messages))


def receive(sock):
    """One message of a stream; b"" at its end."""
    data = b""
    while len(data) < 2 or len(data) - 2 < int.from_bytes(data[:2], "big"):
        more = sock.recv(1 if len(data) < 2 else int.from_bytes(data[:2], "big") + 2 - len(data))
        if not more:
            return b""
        data += more
    return data[2:]


def services(run):
    """HTTPS and SVCB records without ECH, addresses and what is unknown; no targets that may not be asked for."""
    hint4, hint6 = parameter(4, bytes([127, 0, 0, 1])), parameter(6, bytes(15) + b"\1")
    for kind_of, word in ((HTTPS, "TYPE65"), (SVCB, "TYPE64")):
        say(run, "service.test", service("service.test", 1, "", ALPN, PORT, hint4, ECH, hint6,
                    parameter(65280, b"secret"), kind=kind_of),
            service("service.test", 2, "b.service.test", ALPN, ECH, kind=kind_of),
            service("service.test", 3, "evil.test", ALPN, kind=kind_of),
            service("service.test", 0, "evil.test", kind=kind_of),
            service("service.test", 4, "", parameter(0, b"\0\5"), ECH, kind=kind_of), kind_of=kind_of)
        status, _, text = dig(run, f"+unknownformat {word} service.test")
        want = {(b"\0\1\0" + ALPN + PORT).hex(), (b"\0\2" + labels("b.service.test") + ALPN).hex()}
        got = {data.replace(" ", "").lower() for data in re.findall(r"\\# \d+ ([0-9A-F ]+)", text)}
        run.expect(status == "NOERROR" and got == want, f"{word}: {text}")
    mark = len(run.group.nameserver.asked)
    dig(run, "HTTPS evil.test")
    run.expect(len(run.group.nameserver.asked) == mark, "a query left")


def aliases(run):
    """The end of a chain belongs to the name that was asked for; circles and chains without end have none."""
    say(run, "alias.test", alias("alias.test", "a.cdn.test"), alias("a.cdn.test", "b.cdn.test"),
        address("b.cdn.test", real(run)))
    status, answers, text = dig(run, f"{kind(run)} alias.test")
    run.expect((status, answers) == ("NOERROR", [real(run)]) and "CNAME" not in text and "cdn" not in text, text)
    say(run, "loop.test", alias("loop.test", "other.test"), alias("other.test", "loop.test"))
    names = ["long.test", *(f"n{k}.test" for k in range(17))]
    say(run, "long.test", *(alias(a, b) for a, b in zip(names, names[1:])), address(names[-1], real(run)))
    for name in ("loop.test", "long.test"):
        _, answers, text = dig(run, f"{kind(run)} {name}")
        run.expect(not answers, text)


def zero(run):
    """TTL 0: good for the one who asked. What comes next may be another address, and is checked like the first."""
    bad = "127.0.0.1" if run.family == V4 else "::1"
    good, bad = [address("zero.test", real(run), 0)], [address("zero.test", bad, 0)]
    run.group.nameserver.answers["zero.test", number(run)] = lambda times: good if times % 2 else bad
    for _ in range(2):
        status, answers, text = dig(run, f"{kind(run)} zero.test")
        run.expect((status, answers) == ("NOERROR", [real(run)]) and re.search(r"\s1\s+IN\s+A", text), text)
        status, answers, text = dig(run, f"{kind(run)} zero.test")
        run.expect(status == "NOERROR" and not answers, text)
    run.expect(run.group.nameserver.asked.count(("zero.test", number(run))) == 4, "not asked four times")


def large(run):
    """More than a datagram holds: asked for over TCP upstream, and a client that takes little comes back by TCP."""
    name = "many-addresses-of-one-long-name.test"
    say(run, name, *(address(name, f"2001:db8:113::{k:x}") for k in range(1, 101)), kind_of=AAAA)
    status, answers, text = dig(run, f"+bufsize=512 +ignore +notcp AAAA {name}")
    run.expect(status == "NOERROR" and not answers and re.search(r"flags:[^;]* tc", text), text)
    status, answers, text = dig(run, f"+bufsize=512 AAAA {name}")
    run.expect(len(answers) == 16 and "(TCP)" in text, text)
    _, answers, text = dig(run, f"+bufsize=1232 +notcp AAAA {name}")
    run.expect(len(answers) == 16, text)


def slow(run):
    """A name server that is silent about one name delays no other, and one client fills no table."""
    say(run, "origin.test", address("origin.test", real(run)))
    run.group.nameserver.answers["slow.test", number(run)] = lambda times: None
    run.group.nameserver.answers["slow.test", A + AAAA - number(run)] = lambda times: None
    with run.pod.space.socket(FAMILY[run.family], socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect(run.endpoint("@{evil.test}:53"))
        for ident in range(200):
            sock.send(question("slow.test", number(run), ident))
        # What is too much is refused at once; the rest when the name server was given up.
        early = [sock.recv(600) for _ in range(200 - 64)]
        run.expect(all(answer[3] & 15 == 2 for answer in early), "not SERVFAIL")
        run.expect(run.node.stats()["sluice_dns_questions_active"] == 64, "not 64 under way")
        late = [sock.recv(600) for _ in range(64)]
        run.expect(all(answer[3] & 15 == 2 for answer in late), "not SERVFAIL")
    status, answers, text = dig(run, f"{kind(run)} origin.test")
    run.expect((status, answers) == ("NOERROR", [real(run)]), text)


def tcp(run):
    """Many questions on one connection, in pieces, half-closed; and what is no question ends it."""
    say(run, "origin.test", address("origin.test", real(run)))
    with stream(run) as sock:
        send(sock, *(question("origin.test", number(run), ident) for ident in range(100)))
        heard = {int.from_bytes(receive(sock)[:2], "big") for _ in range(100)}
        run.expect(heard == set(range(100)), f"answers are missing: {heard}")
        for byte in struct.pack(">H", len(question("evil.test", 1))) + question("evil.test", 1):
            sock.send(bytes([byte]))
        run.expect(receive(sock)[3] & 15 == 3, "evil.test exists")
        send(sock, question("moved.test", number(run), 1), question("origin.test", number(run), 2))
        sock.shutdown(socket.SHUT_WR)
        run.expect({receive(sock)[1], receive(sock)[1]} == {1, 2} and receive(sock) == b"", "answers after FIN")
    for garbage in (b"\0\5hello", b"\0\0", b"\0\x0c" + bytes([0, 1, 0x81, 0, 0, 1]) + bytes(6)):
        with stream(run) as sock:
            sock.sendall(garbage)
            try:
                run.expect(sock.recv(100) == b"", "an answer to garbage")
            except ConnectionResetError:
                pass
    with stream(run) as sock:  # who never reads is not read
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.settimeout(3)
        try:
            for _ in range(3000):
                send(sock, *[question("origin.test", number(run))] * 1000)
            raise AssertionError("all was taken")
        except (TimeoutError, ConnectionError):
            pass


def reload(run):
    """The policy that is in force when the answer comes decides."""
    gate = []
    found = [address("moved.test", real(run))]
    run.group.nameserver.answers["moved.test", number(run)] = lambda times: found if gate else None
    policy = run.fill(run.group.profile.policy)
    run.undo.append(lambda: run.node.reload(policy))
    with run.pod.space.socket(FAMILY[run.family], socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect(run.endpoint("@{evil.test}:53"))
        sock.send(question("moved.test", number(run)))
        until(lambda: ("moved.test", number(run)) in run.group.nameserver.asked, "the query")
        run.node.reload(policy.replace(", moved.test", "").replace("= stub", "= stub-2"))
        gate.append(True)
        run.expect(sock.recv(600)[3] & 15 == 3, "answered by the old policy")


MUSL = """
#include <netdb.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	struct addrinfo *a;
	int e = getaddrinfo(argv[argc - 1], "80", NULL, &a);
	puts(e ? gai_strerror(e) : "found");
	return e != 0;
}
"""


def search(run):
    """Five dots and a search list, as in Kubernetes: both C libraries go on at each name that is not listed."""
    say(run, "origin.test", address("origin.test", real(run)))
    path = f"/etc/netns/{run.pod.space.name}/resolv.conf"
    with open(path, encoding="ascii") as file:
        before = file.read()

    def write(text):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)

    run.undo.append(lambda: write(before))
    write(f"nameserver {run.pod.nameserver}\nnameserver {real(run, 'evil.test')}\n"
          "search ns.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 timeout:5 attempts:2\n")
    source = run.lab.write("musl.c", MUSL)
    program = source.removesuffix(".c")
    need("musl-gcc")
    run.lab.must(["musl-gcc", "-static", "-o", program, source])
    os.chmod(os.path.dirname(program), 0o755)
    mark = len(run.group.nameserver.asked)
    for command in (f"getent ahosts origin.test", f"{program} origin.test"):
        done = run.command(command, seconds=4)  # one time-out of either would be 5 s
        run.expect(done.returncode == 0, f"{command}: {done}")
    for command in ("getent ahosts evil.test", f"{program} evil.test"):
        done = run.command(command, seconds=4)
        run.expect(done.returncode != 0, f"{command}: {done}")
    asked = {name for name, _ in run.group.nameserver.asked[mark:]}
    run.expect(asked <= {"origin.test"}, f"asked for: {asked}")


def tunnels(run):
    """iodine and dns2tcp, which get nowhere: not one packet, and no query for their names."""
    need("dns2tcpc")
    need("iodine")
    mark, asked = len(run.group.sniffer.seen()), len(run.group.nameserver.asked)
    for command in (f"timeout 8 dns2tcpc -z t.evil.test -r ssh -l 2222 -t 2 {real(run, 'evil.test')}",
                    f"timeout 8 dns2tcpc -z t.evil.test -r ssh -l 2222 -t 2 {run.pod.nameserver}",
                    f"timeout 8 iodine -f -r -{run.family} -P secret {run.pod.nameserver} t.evil.test"):
        done = run.command(command, uid=0)
        run.expect(done.returncode != 0, f"{command}: {done}")
    run.wait_log(authority="~.*t.evil.test")
    frames = run.group.sniffer.seen(mark)
    run.expect(not frames, f"left the pod: {frames[:5]}")
    run.expect(len(run.group.nameserver.asked) == asked, "queries for a tunnel")


NTP = """\
port 123
bindaddress {address}
local stratum 1
allow
cmdport 0
pidfile {dir}/chronyd-{name}.pid
"""


def clock(run, name):
    """A chronyd in the internet."""
    need("chronyd")
    if name not in run.world.services:
        text = NTP.format(address=real(run, name), dir=run.lab.path(run.internet.name), name=name)
        conf = run.lab.write(f"{run.internet.name}/chronyd-{name}-{run.family}.conf", text)
        run.world.services[name, run.family] = run.internet.space.spawn(
            f"{run.internet.name}/chronyd-{name}-{run.family}", ["chronyd", "-x", "-d", "-f", conf, "-u", "root"])


def ask_time(run, host):
    """Asks once, and the first datagram has to pass: a refusal is an error at once."""
    with run.pod.space.socket(FAMILY[run.family], socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        sock.connect((host, 123))
        sock.send(b"\x23" + bytes(47))
        return sock.recv(100)


def learned(run):
    """A UDP service by name: its addresses are open from the moment that a client is told of them, and no others."""
    say(run, "time.test", address("time.test", real(run, "time.test")))
    say(run, "a.clock.test", address("a.clock.test", real(run, "a.clock.test")))
    for name in ("time.test", "a.clock.test"):
        clock(run, name)
    for name in ("a.clock.test", "time.test"):
        until(lambda: clock_answers(run, name), f"{name} to serve")
    try:
        ask_time(run, real(run, "a.clock.test"))
        raise AssertionError("reached before anybody asked for it")
    except REFUSED:
        pass
    for name in ("a.clock.test", "time.test"):
        status, answers, text = dig(run, f"{kind(run)} {name}")
        run.expect((status, answers) == ("NOERROR", [real(run, name)]), text)
        run.expect(len(ask_time(run, answers[0])) == 48, f"no time from {name}")
    pid = run.lab.path(f"{run.group.name}.chronyd.pid")
    done = run.command(f"chronyd -Q -t 10 'server time.test iburst' 'cmdport 0' 'pidfile {pid}'", uid=0)
    run.expect(done.returncode == 0, f"chronyd: {done}")
    stats = run.node.stats()
    run.expect(stats["sluice_udp_learned_total"] >= 2 and not stats["sluice_udp_learn_failed_total"], f"{stats}")


def clock_answers(run, name):
    with run.internet.space.socket(FAMILY[run.family], socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect((real(run, name), 123))
        try:
            sock.send(b"\x23" + bytes(47))
            return sock.recv(100)
        except OSError:
            return None


def things(run):
    """CoAP, and CoAP over DTLS, with a client that has only the name; another port of the server is closed."""
    need("coap-server-openssl")
    secret = "-k gh1234 -u gate"
    for family in (V4, V6):  # the client may take either
        where = run.internet.address("thing.test", family)
        if ("thing.test", family) not in run.world.services:
            server = ["coap-server-openssl", "-A", where, "-k", "gh1234", "-h", "gate", "-d", "1"]
            run.world.services["thing.test", family] = run.internet.space.spawn(f"{run.internet.name}/coap-{family}", server)
        say(run, "thing.test", address("thing.test", where), kind_of=A if family == V4 else AAAA)
        url = f"coap://{literal(where)}/"
        until(lambda: GREETING in run.internet.space.run(["coap-client-openssl", "-B", "1", "-m", "get", url]).stdout,
              "the CoAP server to serve")

    def ask(url, seconds=5):
        return run.command(f"coap-client-openssl -B {seconds} {secret} -m get {url}", seconds=seconds + 5)

    for url in ("coap://thing.test/", "coaps://thing.test/"):
        done = ask(url)
        run.expect(GREETING in done.stdout, f"{url}: {done}")
    done = ask("coap://thing.test:5685/", 2)
    run.expect("Operation not permitted" in done.stderr, f"port 5685: {done}")


def others(run):
    """What is for other clients, or at a private address, is neither told nor opened to this one."""
    clients, other = "192.0.2.0/24" if run.family == V4 else "2001:db8:99::/64", real(run, "other.test")
    command = ["nft", "list", "set", "inet", "sluice", f"udp_ipv{run.family}"]
    until(lambda: re.search(rf"{re.escape(clients)} \. {re.escape(other)} \. 124\b", run.pod.space.run(command).stdout),
          "what the proxy looked up by itself, for its clients")
    inner = real(run, "private.test")
    status, answers, text = dig(run, f"{kind(run)} other.test")
    run.expect(status == "NXDOMAIN" and not answers, text)
    status, answers, text = dig(run, f"{kind(run)} private.test")
    run.expect(status == "NOERROR" and not answers, text)
    for host, port in ((other, 124), (inner, 123)):
        with run.pod.space.socket(FAMILY[run.family], socket.SOCK_DGRAM) as sock:
            sock.connect((host, port))
            sock.settimeout(3)
            try:
                sock.send(b"x")
                sock.recv(10)
                raise AssertionError("an answer")
            except REFUSED:
                pass
