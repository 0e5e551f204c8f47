# SPDX-License-Identifier: MIT
"""The name server inside the proxy, as far as it needs no captured packets: those of method redirect look like any."""
import os
import socket
import struct

from bench import UID, Skip
from lab.base import until

WEB = """
[service web]
hosts = a.test
ports = http:80
resolution = dns
"""
CLOCK = """
[service clock]
hosts = a.test
ports = udp:123
resolution = dns
"""


def question(name, kind=1, ident=7):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", ident, 0x100, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, kind, 1)


def upstream():
    """A name server's socket, which is read by hand."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(10)
    return sock


def answer(server, address=bytes([198, 51, 100, 7])):
    """Reads the two queries of a look-up and answers the one for A, the other with nothing."""
    for _ in range(2):
        query, peer = server.recvfrom(600)
        end = query.index(b"\0", 12) + 5
        a = query[end - 3] == 1
        record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + address if a else b""
        server.sendto(query[:2] + struct.pack(">5H", 0x8180, 1, int(a), 0, 0) + query[12:end] + record, peer)


def client(bench):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", bench.port))
    sock.settimeout(10)
    return sock


def start(bench, server, services=WEB, dns="capture", **options):
    bench.policy(services=services, dns=dns, extra="nameservers = 127.0.0.1", **options)
    return bench.start("--nameserver-port", str(server.getsockname()[1]))


def test_questions_are_answered_and_drained(bench):
    with upstream() as server, client(bench) as sock:
        proxy = start(bench, server)
        sock.send(question("b.test"))
        assert sock.recv(600)[3] & 15 == 3
        sock.send(question("a.test"))
        until(lambda: bench.stats()["dns_questions_active"] == "1", "a question that waits")
        proxy.signal(15)
        proxy.says("draining")
        answer(server)
        assert sock.recv(600)[-4:] == bytes([198, 51, 100, 7])
        assert proxy.wait() == 0


def test_a_successor_gets_the_port(bench):
    """Even if a question waits that nobody answers."""
    with upstream() as server, client(bench) as sock:
        proxy = start(bench, server)
        sock.send(question("a.test"))
        until(lambda: bench.stats()["dns_questions_active"] == "1", "a question that waits")
        proxy.signal(15)
        proxy.says("draining")
        successor = bench.start("--nameserver-port", str(server.getsockname()[1]), "--admin", "none")
        sock.send(question("b.test"))
        assert sock.recv(600)[3] & 15 == 3
        assert successor.stop() == 0 and proxy.wait() == 0
        assert "port in use: waiting" in successor.stderr(), successor.stderr()


def test_a_reload_switches_it_on_and_off(bench):
    with upstream() as server, client(bench) as sock:
        proxy = start(bench, server, dns="reject")
        sock.send(question("a.test"))
        until(lambda: bench.stats()["dns_stray_total"] == "1", "a datagram that is none of ours")
        bench.policy(services=WEB, dns="capture", extra="nameservers = 127.0.0.1", sequence=43)
        bench.ctl("reload")
        sock.send(question("b.test", ident=8))
        assert sock.recv(600)[:2] == b"\0\x08"
        bench.policy(services=WEB, extra="nameservers = 127.0.0.1", sequence=44)
        bench.ctl("reload")
        sock.send(question("b.test"))
        until(lambda: bench.stats()["dns_stray_total"] == "2", "another")
        assert proxy.stop() == 0


def test_without_a_holder_names_are_told_all_the_same(bench):
    with upstream() as server, client(bench) as sock:
        proxy = start(bench, server, services=CLOCK)
        answer(server)  # what the proxy asks by itself
        until(lambda: bench.stats()["udp_learn_failed_total"] != "0", "an order that nobody takes")
        sock.send(question("a.test"))
        assert sock.recv(600)[-4:] == bytes([198, 51, 100, 7])
        assert proxy.stop() == 0
        assert proxy.stderr().count("is sluice-init hold running?") == 1, proxy.stderr()


def test_what_the_holder_is_told(bench):
    """Orders as rules/capture.h draws them; the client hears when the holder has answered, and of no refused address."""
    with upstream() as server, client(bench) as sock, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(bench.path("hold.sock"))
        os.chmod(bench.path("hold.sock"), 0o666)
        listener.listen(4)
        listener.settimeout(10)
        bench.policy(services=CLOCK.replace("a.test", "*.test").replace("= dns", "= dynamic-dns"), dns="capture",
                     extra="nameservers = 127.0.0.1")
        proxy = bench.start("--nameserver-port", str(server.getsockname()[1]), "--state", bench.dir)
        sock.send(question("x.test"))
        answer(server)
        holder, _ = listener.accept()
        with holder:
            order = holder.recv(100)
            assert order == struct.pack("<4sIQIHH16sII", b"slo1", 1, 42, 0, 123, 0,
                                        bytes(10) + b"\xff\xff" + bytes([198, 51, 100, 7]), 3600, 0), order
            holder.send(b"\1")
            assert sock.recv(600)[-4:] == bytes([198, 51, 100, 7])
            sock.send(question("y.test"))
            answer(server, bytes([127, 0, 0, 1]))
            assert sock.recv(600)[7] == 0
            sock.send(question("z.test"))  # the holder hangs: not for ever
            answer(server, bytes([198, 51, 100, 8]))
            assert sock.recv(600)[-4:] == bytes([198, 51, 100, 8])
            assert holder.recv(100)[24:40][-4:] == bytes([198, 51, 100, 8])
        assert proxy.stop() == 0


def test_port_53_needs_a_capability(bench):
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
        if int(file.read()) <= 53:
            raise Skip("any user may bind to port 53 here")
    bench.policy(method="tproxy", services=WEB, dns="capture")
    weak = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=+net_raw,+net_admin",
            "--ambient-caps=+net_raw,+net_admin", "--"]
    bench.refused(77, "bind to port 53: .*CAP_NET_BIND_SERVICE", "--admin", "none", prefix=weak)
