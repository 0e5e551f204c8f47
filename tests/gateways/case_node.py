# SPDX-License-Identifier: MIT
"""Nodes that go through gateways of others. What the wire carried is looked at each time: see Plant."""
import re

from lab.gateway import Dante, HaproxyAuthority, Nginx, Squid, Ssh, Tinyproxy
from plant import Plant, Way

HELLO = "www.wikipedia.org says hello over TLSv1.3\n"


def check(world, via, gateway, asked_tls, asked_http, *options, where=None):
    """TLS and HTTP through one gateway; what it was asked for is the name."""
    with Plant(world, Way(via, [where or gateway.where], ["www.wikipedia.org", "origin.test"])) as plant:
        before = len(gateway.asked())
        assert plant.curl("https://www.wikipedia.org/", *options) == (0, HELLO)
        gateway.was_asked(before, asked_tls)
        plant.logged(response_code=0, response_flags="-", upstream_host=f"~{gateway.address}:.*",
                     upstream_cluster="outbound|443||egress-0", requested_server_name="www.wikipedia.org")
        for path in ("/echo/1", "/echo/2"):
            before = len(gateway.asked())
            status, says = plant.curl(f"http://origin.test{path}", *options)
            assert status == 0 and says.startswith(f"GET {path} HTTP/1.1"), says
            assert re.search(r"^host: origin\.test\r?$", says, re.I | re.M), says
            gateway.was_asked(before, asked_http)
            plant.logged(response_code=200, response_flags="-", upstream_cluster="outbound|80||egress-0", path=path,
                         response_code_details="via_upstream", upstream_host=f"~{gateway.address}:.*")
        before = gateway.asked()
        assert plant.curl("http://evil.test/", "--resolve", "evil.test:80:198.51.100.66")[0] == 0
        plant.logged(response_code=502, authority="evil.test", route_name="block_all")
        assert gateway.asked() == before


def test_squid(world):
    check(world, "connect", world.gateway(Squid), "www.wikipedia.org:443", "origin.test:80")


def test_tinyproxy(world):
    check(world, "connect", world.gateway(Tinyproxy), "www.wikipedia.org:443", "origin.test:80")


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
