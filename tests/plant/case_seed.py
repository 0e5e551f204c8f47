# SPDX-License-Identifier: MIT
"""The lesson's egress gateway: both legs of the route, over HTTP and over TLS, and what `mesh` left out leads to."""
import re

from marks import both, rows, sanitize
from scene import HEAD, expect, gateway

HOST = "www.wikipedia.org"
SERVICE = f"""
[service wikipedia-egress]
hosts      = {HOST}
ports      = http:80, https:443
resolution = dns
"""
GATEWAY = gateway("egress", "@{egress}", HOST, "http:80, tls:443", "subset wikipedia =")
MESH = f"""
[route wikipedia]
hosts = {HOST}
port  = 80
from  = mesh
to    = egress/wikipedia weight 100
"""
OUT = f"""
[route wikipedia-out]
hosts = {HOST}
port  = 80
from  = egress
to    = {HOST}:80 weight 100
"""
SEED = HEAD + SERVICE + GATEWAY + MESH + OUT
TLS = f"""
[route wikipedia-tls]
hosts = {HOST}
port  = 443
from  = mesh
to    = egress/wikipedia
[route wikipedia-tls-out]
hosts = {HOST}
port  = 443
from  = egress
to    = {HOST}:443
"""


def seed(plant):
    plant.allow("egress", f"{HOST}:80", f"{HOST}:443")


@both
@sanitize
@rows({"behind rules of its own": {}, "bare": {"bare": True}, "redirect": {"method": "redirect"},
       "two workers": {"args": {name: ["--workers", "2"] for name in ("node", "egress")}}})
def test_http(world, options):
    """curl sees the web server's 301; the node has talked to the gateway only, the gateway to the web server."""
    with world.plant(gateways={"egress": "egress"}, **options) as plant:
        seed(plant)
        plant.start(SEED)
        node, egress = plant["node"], plant["egress"]
        done = node.app("curl", "-sS", f"-{world.family}", "--head", f"http://{HOST}/wiki")
        expect(re.search(rf"^HTTP/1.1 301 .*^location: https://{HOST}/wiki\r?$", done.stdout, re.M | re.S | re.I),
               f"{done.stdout}{done.stderr}")
        wanted = {"method": "HEAD", "path": "/wiki", "protocol": "HTTP/1.1", "response_code": 301, "authority": HOST,
                  "response_flags": "-", "response_code_details": "via_upstream"}
        address = plant.fill("@{[egress]}:80", node)
        node.wait_log(**wanted, upstream_cluster="outbound|80|wikipedia|egress", upstream_host=address)
        egress.wait_log(**wanted, upstream_cluster=f"outbound|80||{HOST}",
                        upstream_host=plant.fill(f"@{{[{HOST}]}}:80", node), downstream_local_address=address,
                        downstream_remote_address="~" + re.escape(plant.fill("@{[node]}", node)) + r":\d+")
        expect(node.dialled() == [(egress.address, 80)], f"the node dialled {node.dialled()}")
        expect(egress.dialled() == [(plant.address(HOST), 80)], f"the gateway dialled {egress.dialled()}")


@both
@sanitize
@rows({"tproxy": {}, "redirect": {"method": "redirect"}})
def test_tls(world, options):
    """By server name, end to end: the certificate is the web server's."""
    with world.plant(gateways={"egress": "egress"}, **options) as plant:
        seed(plant)
        plant.start(SEED + TLS)
        node, egress = plant["node"], plant["egress"]
        code, body, error = node.curl(f"https://{HOST}/")
        expect(code == "200" and body.startswith(f"{HOST} says hello over TLS"), f"{code} {body} {error}")
        node.wait_log(requested_server_name=HOST, upstream_cluster="outbound|443|wikipedia|egress", response_flags="-",
                      upstream_host=plant.fill("@{[egress]}:443", node))
        egress.wait_log(requested_server_name=HOST, upstream_cluster=f"outbound|443||{HOST}", response_flags="-",
                        upstream_host=plant.fill(f"@{{[{HOST}]}}:443", node))
        expect(node.dialled() == [(egress.address, 443)], f"the node dialled {node.dialled()}")


@both
def test_one_leg_through_the_gateway(world):
    """As in the lesson: port 80 is routed, 443 is not, and that is warned about and so."""
    with world.plant(gateways={"egress": "egress"}) as plant:
        seed(plant)
        plant.allow("node", f"{HOST}:443")
        plant.start(SEED)
        node = plant["node"]
        done = node.compile(plant.fill(SEED, node))
        expect(f"host {HOST} goes direct on port 443" in done.stderr, f"no warning: {done.stderr}")
        done = node.app("curl", "-sS", f"-{world.family}", "--head", "-L", f"http://{HOST}/")
        expect(re.search(r"^HTTP/1.1 301 .*^HTTP/2 200", done.stdout, re.M | re.S), f"{done.stdout}{done.stderr}")
        node.wait_log(requested_server_name=HOST, upstream_cluster=f"outbound|443||{HOST}")
        expect(node.dialled() == [(plant.address("egress"), 80), (plant.address(HOST), 443)], f"{node.dialled()}")


def test_mesh_left_out(world):
    """The lesson's warning: the nodes bypass the gateway; sluice-rules says so, and so it is."""
    text = HEAD + SERVICE + GATEWAY + OUT
    with world.plant(gateways={"egress": "egress"}) as plant:
        seed(plant)
        plant.allow("node", f"{HOST}:80")
        plant.start(text)
        node, egress = plant["node"], plant["egress"]
        done = node.compile(plant.fill(text, node))
        warning = f"route wikipedia-out: gateway egress is bypassed: no route from mesh leads host {HOST} there, so nodes go direct"
        expect(warning in done.stderr, done.stderr)
        strict = node.lab.run([node.program("rules"), "check", "--strict", node.source])
        expect(strict.returncode != 0 and "is bypassed" in strict.stderr, f"--strict: {strict.returncode}")
        code, _, _ = node.curl(f"http://{HOST}/")
        expect(code == "301", code)
        node.wait_log(upstream_cluster=f"outbound|80||{HOST}", response_code=301)
        expect(node.dialled() == [(plant.address(HOST), 80)], f"{node.dialled()}")
        expect(not egress.records(), "the gateway has seen it")


@both
def test_what_no_route_takes_is_judged_as_ever(world):
    """Registered hosts without a route go direct, unregistered ones are refused, at a node that has routes."""
    more = "[service origin]\nhosts = origin.test\nports = http:80\nresolution = dns\n"
    with world.plant(gateways={"egress": "egress"}) as plant:
        seed(plant)
        plant.allow("node", "origin.test:80")
        plant.start(SEED + TLS + more)
        node = plant["node"]
        code, _, _ = node.curl("http://origin.test/")
        expect(code == "200", f"the host without a route: {code}")
        address = plant.fill("@{[evil.test]}", node)
        code, _, _ = node.curl("http://evil.test/", "--resolve", f"evil.test:80:{address}")
        expect(code == "502", f"the unregistered host: {code}")
        node.wait_log(authority="evil.test", response_code=502, route_name="block_all")
        expect(not plant["egress"].records(), "the gateway has seen one of them")
