# SPDX-License-Identifier: MIT
"""Gateways that are down: another endpoint, or an error; never the direct way."""
import signal

from lab import until
from marks import both, rows, sanitize
from scene import GET, HEAD, SERVICES, expect, gateway, open_outs, outs, renamed, route

ROUTES = outs("egress") + route("routed", "origin.test, other.test", "egress")
PAIR = HEAD + SERVICES + gateway("egress", "@{first}, @{second}") + ROUTES
BOTH = {"first": "egress", "second": "egress"}
DOWN = "~.*(UH|UF|URX|UC).*"


def all_through(plant, node, count=6):
    """Requests over as many connections, all served, none direct."""
    for number in range(count):
        code, _, error = node.curl("http://origin.test/bytes/10")
        expect(code == "200", f"request {number}: {code} {error}")
    expect({address for address, _ in node.dialled()} <= {machine.address for machine in plant.gateways},
           f"{node.dialled()}")


def nothing_through(world, node):
    """HTTP is told 503, TLS is closed; the log says that there is nobody, and no origin has heard of it."""
    before = len(world.requests())
    code, _, error = node.curl("http://origin.test/bytes/10")
    expect(code == "503", f"{code} {error}")
    node.wait_log(authority="origin.test", response_code=503, response_flags=DOWN)
    node.talk("origin.test:443", "hello origin.test", "gone")
    node.wait_log(requested_server_name="origin.test", response_flags=DOWN)
    expect(len(world.requests()) == before, f"an origin had {world.requests()[before:]}")


@both
@sanitize
@rows({"refuses": False, "is silent": True})
def test_one_of_two_is_down(world, silent):
    """The other one serves every request, whichever was looked at first."""
    with world.plant(gateways=BOTH) as plant:
        open_outs(plant, *BOTH)
        plant.start(PAIR, only=["second", "node"])
        if silent:
            world.swallow(plant.address("first"))
        try:
            all_through(plant, plant["node"])
            server = world.serve("origin.test:443", "hold")
            for _ in range(4):
                plant["node"].talk("origin.test:443", "hello origin.test", "shut", "hold")
            until(lambda: server.clients == 4, "TLS connections through the other one")
        finally:
            if silent:
                world.swallow(plant.address("first"), False)
        expect((plant.address("second"), 80) in plant["node"].dialled(), f"{plant['node'].dialled()}")


@both
@sanitize
def test_all_are_down(world):
    """Nobody listens at either."""
    with world.plant(gateways=BOTH) as plant:
        plant.start(PAIR, only=["node"])
        code, _, error = plant["node"].curl("http://origin.test/bytes/10")
        expect(code == "503", f"{code} {error}")
        expect(set(plant["node"].dialled()) == {(plant.address(name), 80) for name in BOTH},
               f"both are tried for one request: {plant['node'].dialled()}")
        nothing_through(world, plant["node"])


def test_all_are_silent(world):
    """What is sent there vanishes; the time to connect ends it."""
    with world.plant(gateways=BOTH, args={"node": ["--set", "connect=1500"]}) as plant:
        for name in BOTH:
            world.swallow(plant.address(name))
        try:
            plant.start(PAIR, only=["node"])
            nothing_through(world, plant["node"])
        finally:
            for name in BOTH:
                world.swallow(plant.address(name), False)


def test_comes_back(world):
    """A gateway that is started again is used again, without anything being done at the node."""
    with world.plant(gateways={"egress": "egress"}, args={"egress": ["--drain", "1"]}) as plant:
        open_outs(plant, "egress")
        plant.start(HEAD + SERVICES + gateway("egress", "@{egress}") + ROUTES)
        node, egress = plant["node"], plant["egress"]
        for _ in range(2):
            all_through(plant, node, 2)
            expect(egress.stop() == 0, "the gateway's end")
            nothing_through(world, node)
            egress.start()
        all_through(plant, node, 2)


@sanitize
def test_killed_under_requests(world):
    """SIGKILL in the middle of requests and of a tunnel: cut or 503, and never direct; then it serves again."""
    with world.plant(gateways={"egress": "egress"}) as plant:
        open_outs(plant, "egress")
        plant.start(HEAD + SERVICES + gateway("egress", "@{egress}") + ROUTES)
        node, egress = plant["node"], plant["egress"]
        world.serve("origin.test:443", "hold")
        tunnel = node.open("origin.test:443")
        tunnel.do_hello("origin.test")
        waiting = node.open("origin.test:80")
        waiting.do_send(GET.format(path=f"/never/{plant.number}", host="origin.test")[5:])
        half = node.open("origin.test:80")
        half.do_send(GET.format(path="/stall", host="origin.test")[5:])
        half.do_recv(r"^HTTP/1.1 200 .*?\r\n\r\n")
        until(lambda: len(world.requests()) == 2, "both requests at the origin")
        egress.proxy.signal(signal.SIGKILL)
        egress.proxy.wait()
        waiting.play([r"recv ^HTTP/1.1 503 .*?\r\n\r\n", "close"])
        half.do_recv("half")
        half.play(["gone"])
        tunnel.play(["gone"])
        nothing_through(world, node)
        egress.start()
        all_through(plant, node, 2)


@both
def test_by_name(world):
    """A gateway whose address is a name: all that it means are endpoints, and one of them is down."""
    text = HEAD + SERVICES + gateway("egress", "egress.plant.example") + ROUTES
    with world.plant(gateways=BOTH) as plant:
        open_outs(plant, *BOTH)
        world.name_means("egress.plant.example", *(plant.address(name) for name in BOTH))
        plant.start(text, only=["second", "node"])
        all_through(plant, plant["node"])
        plant["node"].wait_log(6, upstream_cluster="outbound|80||egress", upstream_host=plant.fill(
            "@{[second]}:80", plant["node"]))


def test_name_is_not_known(world):
    """A gateway's name that does not exist: an error, and nothing direct; once it exists, it is used."""
    text = HEAD + SERVICES + gateway("egress", "nowhere.plant.example") + ROUTES
    with world.plant(gateways={"egress": "egress"}) as plant:
        open_outs(plant, "egress")
        plant.start(text)
        node = plant["node"]
        code, _, error = node.curl("http://origin.test/bytes/10")
        expect(code == "503", f"{code} {error}")
        node.wait_log(authority="origin.test", response_code=503, response_flags="~.*(DF|UH).*")
        node.talk("origin.test:443", "hello origin.test", "gone")
        node.wait_log(requested_server_name="origin.test", response_flags="~.*(DF|UH).*")
        expect(not node.dialled(), f"{node.dialled()}")
        world.name_means("nowhere.plant.example", plant.address("egress"))
        try:
            until(lambda: node.curl("http://origin.test/bytes/10")[0] == "200", "the name to be looked up again", 30)
        finally:
            world.name_means("nowhere.plant.example")


def test_name_leads_where_nothing_may(world):
    """A gateway's name that means loopback, link-local, the node itself: not dialled, and nothing direct."""
    for where in ("127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "node"):
        text = HEAD + SERVICES + gateway("egress", "moved.plant.example") + ROUTES
        with world.plant(gateways={"egress": "egress"}) as plant:
            world.name_means("moved.plant.example", plant.address(where))
            plant.start(text, only=["node"])
            nothing_through(world, plant["node"])
            expect(not plant["node"].dialled(), f"{where}: {plant['node'].dialled()}")


def test_subset_that_is_down(world):
    """A subset's route does not borrow the gateway's other endpoints."""
    subsets = "subset left = @{first}\nsubset right = @{second}"
    text = HEAD + SERVICES + gateway("egress", "@{first}, @{second}", more=subsets) + outs("egress") \
        + route("left", "origin.test", "egress/left") + route("right", "other.test", "egress/right")
    with world.plant(gateways=BOTH) as plant:
        open_outs(plant, *BOTH)
        plant.start(text, only=["second", "node"])
        nothing_through(world, plant["node"])
        code, _, error = plant["node"].curl("http://other.test/bytes/10")
        expect(code == "200", f"the other subset: {code} {error}")
        expect(not plant["second"].records(authority="origin.test"), "the other subset's endpoint has had it")


def test_route_that_is_drawn_is_final(world):
    """Of two gateways by weight, the one that is down fails what is drawn for it: a weight is not a fallback."""
    text = HEAD + SERVICES + gateway("one", "@{one}") + gateway("two", "@{two}") + outs("one", "two") \
        + route("drawn", "origin.test", "one weight 1, two weight 1")
    with world.plant(gateways={"one": "one", "two": "two"}) as plant:
        open_outs(plant, "one", "two")
        plant.start(text, only=["two", "node"])
        codes = [plant["node"].curl("http://origin.test/bytes/1")[0] for _ in range(40)]
        expect(set(codes) == {"200", "503"}, f"{codes}")


def test_error_of_the_origin_is_the_gateways(world):
    """The gateway is there and the origin is not: the gateway's 503 reaches the client, TLS is closed."""
    text = HEAD + SERVICES.replace("third.test", "refuses.test") + gateway("egress", "@{egress}") \
        + route("routed", "refuses.test", "egress") + route("out", "refuses.test", "refuses.test:80", "egress", 80) \
        + route("out-tls", "refuses.test", "refuses.test:443", "egress", 443)
    with world.plant(gateways={"egress": "egress"}) as plant:
        plant.allow("egress", "refuses.test:80", "refuses.test:443")
        plant.start(text)
        code, _, error = plant["node"].curl("http://refuses.test/")
        expect(code == "503", f"{code} {error}")
        plant["egress"].wait_log(authority="refuses.test", response_code=503, response_flags="UF,URX")
        plant["node"].wait_log(authority="refuses.test", response_code=503, response_code_details="via_upstream")
        plant["node"].talk("refuses.test:443", "hello refuses.test", "gone")
        plant["egress"].wait_log(requested_server_name="refuses.test", response_flags="UF")


def test_routes_go_and_gateway_stays_down(world):
    """A reload that takes the route away opens the direct way, and one that brings it back closes it again."""
    with world.plant(gateways={"egress": "egress"}) as plant:
        plant.allow("node", "origin.test:80")
        text = HEAD + SERVICES + gateway("egress", "@{egress}")
        plant.start(text + ROUTES, only=["node"])
        node = plant["node"]
        nothing_through(world, node)
        node.reload(plant.fill(renamed(text, "open"), node))
        expect(node.curl("http://origin.test/bytes/1")[0] == "200", "without the route")
        node.reload(plant.fill(text + ROUTES, node))
        nothing_through(world, node)


@rows({"allow-any": "outbound    = allow-any", "audit": "enforcement = audit"})
def test_what_opens_a_node_does_not_open_a_route(world, line):
    """With a policy that lets nodes go anywhere, what is routed still goes to the gateway or nowhere."""
    with world.plant(gateways=BOTH) as plant:
        plant.allow("node", "evil.test:80")
        plant.start(PAIR.replace("access-log ", f"{line}\naccess-log "), only=["node"])
        code, _, error = plant["node"].curl("http://evil.test/", "--resolve",
                                            plant.fill("evil.test:80:@{[evil.test]}", plant["node"]))
        expect(code == "200", f"the policy does not let it out: {code} {error}")
        nothing_through(world, plant["node"])
        address = plant.fill("@{[origin.test]}", plant["node"])
        code, _, _ = plant["node"].curl("http://origin.test/", "--resolve", f"origin.test:80:{address}")
        expect(code == "503", f"by the origin's own address: {code}")
        expect(not world.requests("origin.test"), f"{world.requests('origin.test')}")
