# SPDX-License-Identifier: MIT
"""Gateways behind gateways: a chain of two, and what would go round in circles."""
import re

from lab import until
from marks import both, sanitize
from scene import GET, HEAD, SERVICES, expect, gateway, open_outs, outs, route

CHAIN = {"egress1": "egress1", "egress2": "egress2"}
GATEWAYS = gateway("egress1", "@{egress1}", "origin.test, other.test") + gateway("egress2", "@{egress2}", "origin.test")
TEXT = HEAD + SERVICES + GATEWAYS + route("first", "origin.test, other.test", "egress1") \
    + route("second", "origin.test", "egress2", "egress1") + route("out", "origin.test", "origin.test:80", "egress2", 80) \
    + route("out-tls", "origin.test", "origin.test:443", "egress2", 443) \
    + route("other", "other.test", "other.test:80", "egress1", 80)


def open_chain(plant):
    plant.allow("egress1", "egress2:80", "egress2:443", "other.test:80")
    open_outs(plant, "egress2")


@both
@sanitize
def test_two_gateways(world):
    """Node, first, second, origin: each talks to the next one only, and each logs the request."""
    with world.plant(gateways=CHAIN) as plant:
        open_chain(plant)
        plant.start(TEXT)
        node, first, second = plant["node"], plant["egress1"], plant["egress2"]
        code, _, error = node.curl("http://origin.test/echo")
        expect(code == "200", f"{code} {error}")
        node.wait_log(authority="origin.test", upstream_cluster="outbound|80||egress1")
        first.wait_log(authority="origin.test", upstream_cluster="outbound|80||egress2",
                       downstream_remote_address="~" + re.escape(plant.fill("@{[node]}", node)) + r":\d+")
        second.wait_log(authority="origin.test", upstream_cluster="outbound|80||origin.test",
                        downstream_remote_address="~" + re.escape(plant.fill("@{[egress1]}", node)) + r":\d+")
        expect(node.dialled() == [(first.address, 80)], f"{node.dialled()}")
        expect(first.dialled() == [(second.address, 80)], f"{first.dialled()}")
        expect([request[0] for request in world.requests()] == [second.address], f"{world.requests()}")
        server = world.serve("origin.test:443", "recv origin.test", "send seen", "recv ping", "send pong", "hold")
        node.talk("origin.test:443", "hello origin.test", "recv seen", "send ping", "recv pong", "close")
        expect(server.clients == 1, f"{server.clients} clients")
        code, _, error = node.curl("http://other.test/echo")
        expect(code == "200", f"the host of the first gateway: {code} {error}")
        expect(world.requests("other.test")[0][0] == first.address, f"{world.requests('other.test')}")


def test_second_is_down(world):
    """The first says 503; it does not go direct, though it could."""
    with world.plant(gateways=CHAIN) as plant:
        plant.allow("egress1", "egress2:80", "egress2:443")
        plant.start(TEXT, only=["egress1", "node"])
        node = plant["node"]
        code, _, error = node.curl("http://origin.test/echo")
        expect(code == "503", f"{code} {error}")
        plant["egress1"].wait_log(authority="origin.test", response_code=503, response_flags="~UH|UF")
        node.wait_log(authority="origin.test", response_code=503, response_code_details="via_upstream")
        node.talk("origin.test:443", "hello origin.test", "gone")
        plant["egress1"].wait_log(requested_server_name="origin.test", response_flags="~UH|UF")
        expect(not world.requests(), f"{world.requests()}")


def test_second_does_not_accept(world):
    """Its 404 comes back, and says whose it is in the logs."""
    text = TEXT.replace(gateway("egress2", "@{egress2}", "origin.test"), gateway("egress2", "@{egress2}", "*"))
    with world.plant(gateways=CHAIN) as plant:
        open_chain(plant)
        plant.start(text, only=["egress1", "node"])
        second = plant["egress2"]
        second.bring_up(plant.fill(renamed_hosts(text), second))
        code, _, error = plant["node"].curl("http://origin.test/echo")
        expect(code == "404", f"{code} {error}")
        second.wait_log(authority="origin.test", response_code=404, response_flags="NR")
        plant["egress1"].wait_log(authority="origin.test", response_code=404, response_code_details="via_upstream")
        plant["node"].talk("origin.test:443", "hello origin.test", "gone")
        second.wait_log(requested_server_name="origin.test", response_flags="NR")
        expect(not world.requests(), f"{world.requests()}")


def renamed_hosts(text):
    """What the second gateway has of the plant when it is behind the others: a route for another host only."""
    return text.replace("[route out]\nhosts = origin.test", "[route out]\nhosts = other.test") \
        .replace("to = origin.test:80", "to = other.test:80").replace(
            "[route out-tls]\nhosts = origin.test", "[route out-tls]\nhosts = other.test") \
        .replace("to = origin.test:443", "to = other.test:443")


def test_loops_are_errors(world):
    """A chain that leads back does not compile, for any node."""
    text = HEAD + SERVICES + GATEWAYS.replace('"origin.test"', '"*"') + route("first", "origin.test", "egress1") \
        + route("second", "origin.test", "egress2", "egress1") + route("back", "origin.test", "egress1", "egress2")
    with world.plant(gateways=CHAIN) as plant:
        for machine in plant.machines.values():
            done = machine.compile(plant.fill(text, machine))
            expect(done.returncode == 65 and "comes back to it: a loop" in done.stderr, f"{machine.short}: {done.stderr}")


def test_loop_by_name(world):
    """Two gateways, each of which looks a name up and finds the other: no policy can see that. It goes round until a
    client's share is full, and ends; then both serve as before."""
    service = "[service x]\nhosts = round.test\nports = http:80, tls:443\nresolution = dns\nlocation = internal\n"
    text = HEAD + SERVICES + service + gateway("egress1", "@{egress1}") + gateway("egress2", "@{egress2}") \
        + route("out", "round.test", "round.test:80", "egress1, egress2", 80) \
        + route("out-tls", "round.test", "round.test:443", "egress1, egress2", 443) + outs("egress1", "egress2")
    limits = [word for limit in ("max-conns=100", "response=2000", "upstream-idle=300") for word in ("--set", limit)]
    with world.plant(nodes=(), plain=("client",), gateways=CHAIN, args={name: limits for name in CHAIN}) as plant:
        plant.allow("egress1", "egress2:80", "egress2:443")
        plant.allow("egress2", "egress1:80", "egress1:443")
        open_outs(plant, *CHAIN)
        world.name_means("round.test", plant.address("egress1"), plant.address("egress2"))
        plant.start(text)
        plant["client"].talk("egress1:80", GET.format(path="/", host="round.test"), r"recv ^HTTP/1.1 50[0-9] ", "close")
        plant["client"].talk("egress1:443", "hello round.test", "gone")
        for name in CHAIN:
            until(lambda name=name: plant[name].ctl("/connections") == "", f"{name}: the end of all connections")
            total = plant[name].stats()["sluice_downstream_cx_total"]
            expect(total <= 400, f"{name}: {total} connections for one request and one tunnel")
            plant["client"].talk(f"{name}:80", GET.format(path="/bytes/1", host="origin.test"), r"recv ^HTTP/1.1 200 ",
                                 "close")
