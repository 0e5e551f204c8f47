# SPDX-License-Identifier: MIT
"""Nodes that reach gateways of others by TLS, and by mutual TLS."""
from bad import refused
from lab.ca import CURVE
from lab.gateway import HaproxyTls, Nginx, Stunnel
from node import HELLO
from outpost import Outpost, Way


def way(world, via, gateway, hosts, name="egress.test", ca=None, **more):
    world.need_tls()
    lines = {"ca": ca or world.authority.ca, "sni": name, "subject-alt-names": name}
    if via == "mutual":
        lines.update({"certificate": world.client_cert, "private-key": world.client_key})
    text = "".join(f"{key} = {value}\n" for key, value in lines.items())
    return Way(via, [gateway.where], hosts, more=text, **more)


def http_through(world, one, gateway):
    with Outpost(world, one) as outpost:
        for path in ("/echo/1", "/echo/2"):
            before = len(gateway.asked())
            status, says = outpost.curl(f"http://origin.test{path}")
            assert status == 0 and says.startswith(f"GET {path} HTTP/1.1"), says
            gateway.was_asked(before, "origin.test")
            outpost.logged(response_code=200, response_flags="-", upstream_cluster="outbound|80||egress-0")
        size = 2_000_000
        status, says = outpost.curl(f"http://origin.test/bytes/{size}", "-o", "/dev/null", "-w", "%{size_download}")
        assert (status, says) == (0, str(size)), says


def test_haproxy(world):
    world.need_tls()
    gateway = world.gateway(HaproxyTls, **world.tls())
    http_through(world, way(world, "tls", gateway, ["origin.test"]), gateway)
    assert "host=origin.test sni=egress.test version=TLSv1." in gateway.text(), gateway.text()


def test_haproxy_that_wants_a_certificate(world):
    world.need_tls()
    gateway = world.gateway(HaproxyTls, verify="required", **world.tls())
    http_through(world, way(world, "mutual", gateway, ["origin.test"]), gateway)
    assert "client=node-1" in gateway.text(), gateway.text()


def test_stunnel(world):
    world.need_tls()
    inner = world.gateway(Nginx)
    gateway = world.gateway(Stunnel, to=inner.where, **world.tls())
    http_through(world, way(world, "mutual", gateway, ["origin.test"]), inner)
    gateway.was_asked(0, "CN=node-1")


def test_tls_of_the_client_inside(world):
    """What the client says by TLS goes on untouched, inside of the gateway's."""
    world.need_tls()
    inner = world.gateway(Nginx)
    gateway = world.gateway(Stunnel, to=f"{inner.address}:443", **world.tls())
    with Outpost(world, way(world, "mutual", gateway, ["www.wikipedia.org"])) as outpost:
        assert outpost.curl("https://www.wikipedia.org/") == (0, HELLO)
        inner.was_asked(0, "www.wikipedia.org")
        outpost.logged(response_flags="-", requested_server_name="www.wikipedia.org")


def self_signed(world):
    """Another authority's certificate."""
    path = world.lab.path("other-ca.pem")
    world.lab.must(["openssl", "req", "-x509", *CURVE, "-days", "2", "-subj", "/CN=other", "-keyout",
                    world.lab.path("other-key.pem"), "-out", path])
    return path


def test_gateways_that_are_not_believed(world):
    world.need_tls()
    gateway = world.gateway(HaproxyTls, **world.tls())
    plain = world.gateway(Nginx)
    picky = world.gateway(HaproxyTls, verify="required", **world.tls())
    rows = [(way(world, "tls", gateway, ["name.test"], name="other.test"), "tls-wrong-host"),
            (way(world, "tls", gateway, ["ca.test"], ca=self_signed(world)), "~tls-(unknown-ca|missing-issuer)"),
            (way(world, "tls", plain, ["plain.test"]), "tls-not-tls"),
            (way(world, "tls", picky, ["picky.test"]), "~tls-.*")]
    with Outpost(world, *(one for one, _ in rows)) as outpost:
        for one, reason in rows:
            refused(outpost, one.hosts[0], reason)
    for one in (gateway, plain, picky):
        assert not one.asked(), one.text()
