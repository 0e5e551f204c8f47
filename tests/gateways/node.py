# SPDX-License-Identifier: MIT
"""Nodes that go through gateways of others. What the wire carried is looked at each time: see Outpost."""
import hashlib
import os
import re
import socket

from lab.gateway import Dante, HaproxyAuthority, Nginx, Squid, Ssh, Tinyproxy
from lab.internet import V4, V6, address, literal
from lab.talk import Server, Talk, pattern
from outpost import Outpost, Way

HELLO = "www.wikipedia.org says hello over TLSv1.3\n"


def check(world, via, gateway, asked_tls, asked_http, *options, where=None):
    """TLS and HTTP through one gateway; what it was asked for is the name."""
    with Outpost(world, Way(via, [where or gateway.where], ["www.wikipedia.org", "origin.test"])) as outpost:
        before = len(gateway.asked())
        assert outpost.curl("https://www.wikipedia.org/", *options) == (0, HELLO)
        gateway.was_asked(before, asked_tls)
        outpost.logged(response_code=0, response_flags="-", upstream_host=f"~{re.escape(literal(gateway.address))}:.*",
                       upstream_cluster="outbound|443||egress-0", requested_server_name="www.wikipedia.org")
        for path in ("/echo/1", "/echo/2"):
            before = len(gateway.asked())
            status, says = outpost.curl(f"http://origin.test{path}", *options)
            assert status == 0 and says.startswith(f"GET {path} HTTP/1.1"), says
            assert re.search(r"^host: origin\.test\r?$", says, re.I | re.M), says
            gateway.was_asked(before, asked_http)
            outpost.logged(response_code=200, response_flags="-", upstream_cluster="outbound|80||egress-0", path=path,
                           response_code_details="via_upstream",
                           upstream_host=f"~{re.escape(literal(gateway.address))}:.*")
        before = gateway.asked()
        assert outpost.curl("http://evil.test/", "--resolve", "evil.test:80:198.51.100.66")[0] == 0
        outpost.logged(response_code=502, authority="evil.test", route_name="block_all")
        assert gateway.asked() == before


def test_squid(world):
    check(world, "connect", world.gateway(Squid), "www.wikipedia.org:443", "origin.test:80")


def test_tinyproxy(world):
    check(world, "connect", world.gateway(Tinyproxy), "www.wikipedia.org:443", "origin.test:80")


def test_tinyproxy_by_ipv6(world):
    check(world, "connect", world.gateway(Tinyproxy, family=V6), "www.wikipedia.org:443", "origin.test:80", "-4")


def test_dante(world):
    check(world, "socks5", world.gateway(Dante), "www.wikipedia.org:443", "origin.test:80")


def test_ssh(world):
    check(world, "socks5", world.gateway(Ssh), "www.wikipedia.org:443", "origin.test:80")


def test_haproxy_with_a_proxy_header(world):
    gateway = world.gateway(HaproxyAuthority)
    check(world, "proxy-v2", gateway, "www.wikipedia.org:443", "origin.test:80", "-4")
    destination = world.internet.address("www.wikipedia.org", 4)
    assert f"to={destination}:443 authority=www.wikipedia.org:443" in gateway.text(), gateway.text()


def test_haproxy_with_a_proxy_header_of_ipv6(world):
    gateway = world.gateway(HaproxyAuthority)
    check(world, "proxy-v2", gateway, "www.wikipedia.org:443", "origin.test:80", "-6")
    destination = world.internet.address("www.wikipedia.org", 6)
    assert f"to={destination}:443 authority=www.wikipedia.org:443" in gateway.text(), gateway.text()


def test_nginx_with_a_proxy_header(world):
    gateway = world.gateway(Nginx, proxy="proxy_protocol")
    check(world, "proxy-v2", gateway, "www.wikipedia.org", "origin.test", "-4", where=gateway.address)
    assert gateway.text().count(" from=10.77.") == 3, gateway.text()


def test_nginx_plain(world):
    gateway = world.gateway(Nginx)
    check(world, "plain", gateway, "www.wikipedia.org", "origin.test", where=gateway.address)


def test_a_kept_connection_carries_one_host(world):
    """Requests for two hosts over one connection of a client's: a tunnel for each host, and never the other's."""
    gateway = world.gateway(Tinyproxy)
    request = r"send GET /echo/{0} HTTP/1.1\r\nHost: {1}\r\n\r\n"
    with Outpost(world, Way("connect", [gateway.where], ["origin.test", "www.wikipedia.org"])) as outpost:
        sock = outpost.pod.space.socket(socket.AF_INET)
        sock.settimeout(20)
        sock.connect((world.internet.address("origin.test", V4), 80))
        Talk(sock).play([
            request.format(1, "origin.test"), r"recv GET /echo/1 (?s:.*)body 0 \S+\n",
            request.format(2, "www.wikipedia.org"), r"recv HTTP/1.1 301 (?s:.*)\r\n\r\n(?s:.*)</html>\r\n",
            request.format(3, "origin.test"), r"recv GET /echo/3 (?s:.*)body 0 \S+\n", "close"])
        for code in (200, 301, 200):
            outpost.logged(response_code=code, response_flags="-")
    asked = gateway.asked()
    assert asked[:2] == ["origin.test:80", "www.wikipedia.org:80"] and asked[2:] in ([], ["origin.test:80"]), asked


def test_much_both_ways(world):
    """Larger than any buffer."""
    size = 8_000_000
    want = hashlib.sha256(pattern(0, size)).hexdigest()
    upload = world.lab.path("upload")
    with open(upload, "wb") as file:
        file.write(pattern(0, size))
    for kind, via in ((Squid, "connect"), (Dante, "socks5"), (HaproxyAuthority, "proxy-v2")):
        with Outpost(world, Way(via, [world.gateway(kind).where], ["origin.test"])) as outpost:
            there = os.path.join(outpost.node.dir, "download")
            assert outpost.curl(f"http://origin.test/bytes/{size}", "-o", there) == (0, "")
            with open(there, "rb") as file:
                assert hashlib.sha256(file.read()).hexdigest() == want
            assert outpost.curl("http://origin.test/", "-H", "Expect:", "--data-binary", f"@{upload}") == (
                0, f"body {size} {want}\n")


def test_a_server_that_speaks_first(world):
    """What comes in one piece with the gateway's answer, or in pieces of a byte each, is all there."""
    scripts = {
        "connect": [r"recv ^CONNECT speaks.test:7000 HTTP/1.1\r\nHost: speaks.test:7000\r\n\r\n",
                    r"{0} HTTP/1.1 200 Connection established\r\nVia: a\r\n\r\n220 ready\r\n"],
        "socks5": [r"recv ^\x05\x01\x00$", r"send \x05\x00", r"recv ^\x05\x01\x00\x03\x0bspeaks.test\x1b\x58$",
                   r"{0} \x05\x00\x00\x03\x0dgateway-outer\x1b\x58220 ready\r\n"],
        "proxy-v2": [r"recv ^\r\n\r\n\x00\r\nQUIT\n(?s:.*)speaks.test\x03\x00\x04(?s:....)$", r"{0} 220 ready\r\n"],
    }
    for via, script in scripts.items():
        for verb in ("send", "slow 1"):
            number = world.number()
            server = Server(world.lab, world.internet.listen(number, 3128, V4),
                            [*(line.format(verb) for line in script), r"recv ^EHLO me\r\n$", r"send 250 ok\r\n", "end"])
            way = Way(via, [f"{address(number, V4)}:3128"], ["speaks.test"], "tcp:7000", "tcp:7000",
                      "addresses = 198.51.100.99\n")
            with Outpost(world, way) as outpost:
                sock = outpost.pod.space.socket(socket.AF_INET)
                sock.settimeout(20)
                sock.connect(("198.51.100.99", 7000))
                Talk(sock).play([r"recv ^220 ready\r\n$", r"send EHLO me\r\n", r"recv ^250 ok\r\n$", "shut", "end"])
                outpost.logged(response_flags="-", upstream_cluster="outbound|7000||egress-0", bytes_received=9,
                               bytes_sent=19)
                assert not server.finish(), (via, verb, server.wrongs)
