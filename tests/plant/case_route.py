# SPDX-License-Identifier: MIT
"""Which route takes what, and where to: order, patterns, ports, weights, subsets, requests of one connection."""
import collections

from lab import until
from lab.talk import Talk
from marks import both, sanitize
from scene import ALL, GET, HEAD, SERVICES, expect, gateway, open_outs, outs, route

TWO = {"one": "one", "two": "two"}
GATEWAYS = gateway("one", "@{one}") + gateway("two", "@{two}")


def taken_by(plant, authority, *gateways):
    """How many requests for a host each gateway had."""
    return {name: len(plant[name].records(authority=authority)) for name in gateways}


@both
def test_first_match_wins(world):
    """In their order: a route for one port before one for any, and what comes behind is never looked at."""
    text = HEAD + SERVICES + GATEWAYS + outs("one", "two") + route("first", "origin.test", "one", port=80) \
        + route("second", "origin.test", "two") + route("third", "other.test", "two") \
        + route("fourth", "other.test", "one", port=80)
    with world.plant(gateways=TWO) as plant:
        open_outs(plant, "one", "two")
        plant.start(text)
        for _ in range(3):
            for host in ("origin.test", "other.test"):
                code, _, error = plant["node"].curl(f"http://{host}/")
                expect(code == "200", f"{host}: {code} {error}")
        plant["one"].wait_log(3, authority="origin.test")
        plant["two"].wait_log(3, authority="other.test")
        expect(taken_by(plant, "origin.test", "two") == {"two": 0} and taken_by(plant, "other.test", "one") == {"one": 0},
               "a later route was taken")


def test_most_specific_host_first(world):
    """An exact name, then the longer wildcard, then the shorter one, whatever their order."""
    service = "[service wild]\nhosts = *.wild.test\nports = http:80\nresolution = dynamic-dns\n"
    names = ("a.wild.test", "b.wild.test", "x.narrow.wild.test")
    text = HEAD + service + GATEWAYS + gateway("three", "@{three}") + route("wide", "*.wild.test", "one") \
        + route("narrow", "*.narrow.wild.test", "two") + route("exact", "b.wild.test", "three") \
        + "".join(route(f"out-{n}", name, f"{name}:80", "one, two, three") for n, name in enumerate(names))
    with world.plant(gateways={**TWO, "three": "three"}) as plant:
        for name in ("one", "two", "three"):
            plant.allow(name, "origin.test:80", "other.test:80", "third.test:80")
        plant.start(text)
        for host, name in zip(names, ("one", "three", "two")):
            code, _, error = plant["node"].curl(f"http://{host}/")
            expect(code == "200", f"{host}: {code} {error}")
            plant[name].wait_log(authority=host, response_code=200)
        expect(all(len(plant[name].records()) == 1 for name in ("one", "two", "three")), "one each")


@both
def test_route_without_port_takes_every_port(world):
    """HTTP and TLS; each arrives at the port that was asked for."""
    server = None
    with world.plant(gateways=TWO) as plant:
        open_outs(plant, "one", "two")
        server = world.serve("origin.test:443", "tls -", "recv ping", "send pong", "hold")
        plant.start(HEAD + SERVICES + GATEWAYS + outs("one", "two") + route("all", "origin.test", "one"))
        code, _, error = plant["node"].curl("http://origin.test/")
        expect(code == "200", f"{code} {error}")
        plant["node"].talk("origin.test:443", "tls origin.test", "send ping", "recv pong", "close")
        address = plant.address("one")
        expect(sorted(plant["node"].dialled()) == [(address, 80), (address, 443)], f"{plant['node'].dialled()}")
        expect(server.clients == 1, f"{server.clients} clients")


def weighted(world, to, bounds, count=200, **options):
    """Requests over as many connections of clients; each gateway's share lies within its bounds."""
    with world.plant(gateways=options.get("gateways", TWO)) as plant:
        open_outs(plant, *plant.machines.keys() - {"node"})
        plant.start(HEAD + SERVICES + options.get("definitions", GATEWAYS)
                    + outs(*options.get("roles", ("one", "two"))) + route("drawn", "origin.test", to))
        for number in range(count):
            talk = plant["node"].talk("origin.test:80", f"send GET /bytes/{number} HTTP/1.1\\r\\nHost: origin.test\\r\\n"
                                      "Connection: close\\r\\n\\r\\n", "hold")
            expect(talk and talk.received.startswith(b"HTTP/1.1 200 "), f"{number}: {talk and talk.received[:80]}")
        plant["node"].wait_log(count, response_code=200)

        def shares():
            return {name: len(plant[name].records(response_code="200")) for name in plant.machines if name != "node"}
        until(lambda: sum(shares().values()) >= count, "the gateways' logs")
        counts = shares()
        expect(sum(counts.values()) == count, f"{counts} are not {count}")
        for name, (least, most) in bounds.items():
            expect(least <= counts[name] <= most, f"{counts}: {name} is not within {least} to {most}")


def test_weights(world):
    """3 to 1 of 200: a fair draw leaves 109 to 187 with a chance below 1e-9."""
    weighted(world, "one weight 3, two weight 1", {"one": (109, 187), "two": (13, 91)})


def test_large_weights(world):
    """As they stand, not as parts of a hundred."""
    weighted(world, "one weight 900000, two weight 300000", {"one": (109, 187), "two": (13, 91)})


def test_weight_0_gets_nothing(world):
    weighted(world, "one weight 1, two weight 0", {"one": (60, 60), "two": (0, 0)}, 60)


def test_lone_destination_with_weight_0(world):
    """Its weight says nothing."""
    weighted(world, "one weight 0", {"one": (10, 10), "two": (0, 0)}, 10)


def test_subsets(world):
    """Of one gateway's endpoints a route's subset alone is dialled; without one, all of them."""
    definition = gateway("one", "@{a}, @{b}, @{c}", more="subset left = @{a}\nsubset right = @{b}, @{c}")
    machines = {"a": "one", "b": "one", "c": "one"}
    text = HEAD + SERVICES + definition + outs("one") + route("left", "origin.test", "one/left") \
        + route("right", "other.test", "one/right") + route("any", "third.test", "one")
    with world.plant(gateways=machines) as plant:
        open_outs(plant, *machines)
        plant.start(text)
        had = collections.Counter()
        for number in range(90):
            host = ALL.split(", ")[number % 3]
            talk = plant["node"].talk("origin.test:80", GET.format(path="/bytes/1", host=host).replace(
                "\\r\\n\\r\\n", "\\r\\nConnection: close\\r\\n\\r\\n"), "hold")
            expect(talk and talk.received.startswith(b"HTTP/1.1 200 "), f"{host}: {talk and talk.received[:80]}")
        plant["node"].wait_log(90, response_code=200)
        until(lambda: sum(len(plant[name].records()) for name in machines) >= 90, "the gateways' logs")
        for name in machines:
            for host in ALL.split(", "):
                had[name, host] = len(plant[name].records(authority=host))
        expect(had["a", "origin.test"] == 30, f"the subset of one: {had}")
        expect(had["a", "other.test"] == 0 and had["b", "other.test"] + had["c", "other.test"] == 30, f"of two: {had}")
        expect(sum(had[name, "third.test"] for name in machines) == 30, f"all of it: {had}")
        node = plant["node"]
        node.wait_log(30, authority="origin.test", upstream_cluster="outbound|80|left|one",
                      upstream_host=plant.fill("@{[a]}:80", node))
        node.wait_log(30, authority="other.test", upstream_cluster="outbound|80|right|one")
        node.wait_log(30, authority="third.test", upstream_cluster="outbound|80||one")


@both
@sanitize
def test_requests_of_one_connection_have_their_own_routes(world):
    """Each by its Host: to one gateway, to the other, direct, refused; and pipelined."""
    text = HEAD + SERVICES + GATEWAYS + outs("one", "two") + route("first", "origin.test", "one") \
        + route("second", "other.test", "two")
    with world.plant(gateways=TWO) as plant:
        open_outs(plant, "one", "two")
        plant.allow("node", "third.test:80")
        plant.start(text)
        node = plant["node"]
        talk = node.open("origin.test:80")
        turns = [("origin.test", 200), ("other.test", 200), ("third.test", 200), ("evil.test", 502)] * 3
        for number, (host, status) in enumerate(turns):
            talk.do_send(GET.format(path=f"/bytes/{number}", host=host)[5:])
            talk.do_recv(rf"^HTTP/1.1 {status} .*?\r\n\r\n")
            talk.taken = 0
            talk.do_take(str(number if status == 200 else 0))
        talk.do_send("".join(GET.format(path="/bytes/0", host=host)[5:] for host, _ in turns))
        for host, status in turns:
            talk.do_recv(rf"^HTTP/1.1 {status} .*?\r\n\r\n")
        talk.do_close("")
        node.wait_log(6, authority="origin.test", upstream_cluster="outbound|80||one", response_code=200)
        node.wait_log(6, authority="other.test", upstream_cluster="outbound|80||two", response_code=200)
        node.wait_log(6, authority="third.test", upstream_cluster="outbound|80||third.test", response_code=200)
        node.wait_log(6, authority="evil.test", response_code=502)
        plant["one"].wait_log(6, authority="origin.test")
        plant["two"].wait_log(6, authority="other.test")
        expect(len(plant["one"].records()) == len(plant["two"].records()) == 6, "a gateway had another's")


@both
def test_connections_to_gateways_are_used_again_but_not_mixed(world):
    """Kept connections to a gateway serve whatever is routed there, and nothing that is routed elsewhere: gateways,
    subsets of one gateway, and the direct way to the same host are not taken for each other."""
    definition = gateway("one", "@{a}, @{b}", more="subset left = @{a}\nsubset right = @{b}")
    text = HEAD + SERVICES + definition + outs("one") + route("left", "origin.test", "one/left") \
        + route("right", "other.test", "one/right")
    with world.plant(gateways={"a": "one", "b": "one"}) as plant:
        open_outs(plant, "a", "b")
        plant.allow("node", "third.test:80")
        plant.start(text)
        node = plant["node"]
        for turn in range(8):
            for host in ALL.split(", "):
                talk = node.open("origin.test:80")
                talk.play([GET.format(path="/bytes/1", host=host), r"recv ^HTTP/1.1 200 .*?\r\n\r\n", "take 1", "close"])
        expect(collections.Counter(node.dialled()) == {(plant.address("a"), 80): 1, (plant.address("b"), 80): 1,
                                                       (plant.address("third.test"), 80): 1},
               f"24 requests to three places, one after the other: {node.dialled()}")
        plant["a"].wait_log(8, authority="origin.test")
        plant["b"].wait_log(8, authority="other.test")
        expect(len(plant["a"].records()) == len(plant["b"].records()) == 8, "a gateway had another's")
        stats = node.stats()
        expect(stats["sluice_upstream_cx_reused_total"] == 21, f"{stats['sluice_upstream_cx_reused_total']} used again")


def test_hosts_share_a_connection_to_their_gateway(world):
    """Two hosts with the same destination: the gateway tells them apart by each request's Host."""
    text = HEAD + SERVICES + GATEWAYS + outs("one", "two") + route("all", "origin.test, other.test", "one")
    with world.plant(gateways=TWO) as plant:
        open_outs(plant, "one", "two")
        plant.start(text)
        for host in ("origin.test", "other.test") * 4:
            code, _, error = plant["node"].curl(f"http://{host}/echo")
            expect(code == "200", f"{host}: {code} {error}")
        had = [(request[3], request[4]) for request in world.requests("origin.test", "other.test")]
        expect(sorted(had) == [("/echo", "origin.test")] * 4 + [("/echo", "other.test")] * 4, f"the origins had {had}")
        expect({request[0] for request in world.requests()} == {plant.address("one")}, f"{world.requests()}")


def test_bodies_through_a_gateway(world):
    """Large ones, both ways, with a length and chunked."""
    text = HEAD + SERVICES + GATEWAYS + outs("one", "two") + route("all", "origin.test", "one")
    with world.plant(gateways=TWO) as plant:
        open_outs(plant, "one", "two")
        plant.start(text)
        node = plant["node"]
        size = 3_000_000
        node.talk("origin.test:80", f"send POST /echo HTTP/1.1\\r\\nHost: origin.test\\r\\nContent-Length: {size}\\r\\n\\r\\n",
                  f"bytes {size}", rf"recv ^HTTP/1.1 200 .*body {size} \w+\n", "close")
        node.talk("origin.test:80", GET.format(path=f"/bytes/{size}", host="origin.test"),
                  r"recv ^HTTP/1.1 200 .*?\r\n\r\n", f"take {size}", "close")
        done = node.app("curl", "-sS", f"-{world.family}", "http://origin.test/chunked/500000", "-o", "/dev/null", "-w",
                        "%{size_download}")
        expect(done.stdout == "500000", f"{done.stdout} {done.stderr}")
        done = node.app("curl", "-sS", f"-{world.family}", "-H", "Expect: 100-continue", "-d", "x" * 2000,
                        "http://origin.test/echo")
        expect("body 2000 " in done.stdout, f"with 100-continue: {done.stdout} {done.stderr}")
        done = node.app("curl", "-sS", f"-{world.family}", "-0", "http://origin.test/echo")
        expect("body 0 " in done.stdout, f"HTTP/1.0: {done.stdout} {done.stderr}")


MONGO = """
[service cluster]
hosts      = mongo.test
addresses  = 192.0.2.0/24, 2001:db8:dead::/64
ports      = mongo:27018
resolution = static
endpoints  = @{mongo.test}
"""


def test_gateway_at_another_port(world):
    """What its address says is dialled; there the route goes by the gateway's own port."""
    definition = gateway("one", "@{[one]}:3128", "origin.test", "http:3128")
    text = HEAD + SERVICES + definition + route("all", "origin.test", "one") \
        + route("out", "origin.test", "origin.test:80", "one", 3128)
    with world.plant(gateways={"one": "one"}) as plant:
        plant.allow("one", "origin.test:80")
        plant.start(text)
        node = plant["node"]
        code, body, error = node.curl("http://origin.test/echo")
        expect(code == "200" and "host: origin.test\n" in body.lower(), f"{code} {body} {error}")
        node.wait_log(upstream_cluster="outbound|80||one", upstream_host=plant.fill("@{[one]}:3128", node))
        plant["one"].wait_log(upstream_host=plant.fill("@{[origin.test]}:80", node), response_code=200)
        node.talk("origin.test:443", "hello origin.test", "gone")  # TLS at an HTTP server
        expect(set(node.dialled()) == {(plant.address("one"), 3128)}, f"{node.dialled()}")


def test_tcp_by_synthetic_address(world):
    """With dns = capture a name that is not on the wire has an address of its own; the gateway goes by the port."""
    service = "[service cluster]\nhosts = mongo.test\nports = mongo:27018\nresolution = dns\n"
    text = HEAD + service + gateway("one", "@{one}", "mongo.test", "mongo:27018") \
        + route("cluster", "mongo.test", "one") + route("cluster-out", "mongo.test", "mongo.test:27018", "one", 27018)
    with world.plant(gateways={"one": "one"}) as plant:
        plant.allow("one", "mongo.test:27018")
        plant.start(text)
        server = world.serve("mongo.test:27018", "send hello from mongo", "recv question", "hold")
        found = plant["node"].app("getent", f"ahostsv{world.family}", "mongo.test").stdout.split()
        expect(found and found[0].startswith(("240.240.", "2001:2:")), f"mongo.test is {found}")
        plant["node"].talk(f"{found[0]}:27018", "recv hello from mongo", "send question", "close")
        expect(server.clients == 1, "the server had no client")
        expect(plant["node"].dialled() == [(plant.address("one"), 27018)], f"{plant['node'].dialled()}")


@both
def test_tcp_by_address(world):
    """A service without names on the wire: by address at the node, by port at the gateway; the server speaks first."""
    text = HEAD + MONGO + gateway("one", "@{one}", "mongo.test", "mongo:27018") \
        + route("cluster", "mongo.test", "one") + route("cluster-out", "mongo.test", "mongo.test:27018", "one", 27018)
    with world.plant(gateways={"one": "one"}) as plant:
        plant.allow("one", "mongo.test:27018")
        plant.start(text)
        server = world.serve("mongo.test:27018", "send hello from mongo", "recv question", "bytes 100000", "shut", "hold")
        where = "192.0.2.9" if world.family == 4 else "2001:db8:dead::9"
        plant["node"].talk(f"{where}:27018", "recv hello from mongo", "send question", "take 100000", "end", "close")
        expect(server.clients == 1, "the server had no client")
        address = plant.fill("@{[one]}:27018", plant["node"])
        plant["node"].wait_log(upstream_cluster="outbound|27018||one", upstream_host=address)
        plant["one"].wait_log(upstream_cluster="outbound|27018||mongo.test", downstream_local_address=address)


def test_half_close_and_tls_bytes_pass_a_gateway(world):
    """A ClientHello in pieces, an answer, the client's FIN, more of the answer."""
    text = HEAD + SERVICES.replace("third.test", "third.test, tls.test") + GATEWAYS + outs("one", "two") \
        + route("tls", "tls.test", "one") + route("tls-out", "tls.test", "tls.test:443", "one")
    with world.plant(gateways=TWO) as plant:
        plant.allow("one", "tls.test:443")
        plant.start(text)
        server = world.serve("tls.test:443", r"recv tls.test", "bytes 1000", "hold")
        talk = Talk(plant["node"].connect("tls.test:443"), seconds=20)
        talk.play(["slowhello 100 tls.test", "take 1000", "shut", "end", "close"])
        expect(server.clients == 1, f"{server.clients} clients")


def test_websocket_through_a_gateway(world):
    """Where the service allows it; where it does not, the upgrade is left out by the node, and a gateway as well."""
    services = SERVICES.replace("origin.test, other.test, third.test", "other.test, third.test") \
        + "[service websocket]\nhosts = origin.test\nports = http:80, tls:443\nresolution = dns\nupgrade = websocket\n"
    text = HEAD + services + GATEWAYS + outs("one", "two") + route("all", "origin.test, other.test", "one")
    request = "send GET /ws HTTP/1.1\\r\\nHost: {}\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n" \
        "Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n"
    with world.plant(gateways=TWO, plain=("client",)) as plant:
        open_outs(plant, "one", "two")
        plant.start(text)
        for machine, where in (("node", "origin.test:80"), ("client", "one:80")):
            plant[machine].talk(where, request.format("origin.test"), r"recv ^HTTP/1.1 101 .*?\r\n\r\n", "send ping",
                                "recv ^ping", "shut", "end")
            plant[machine].talk(where, request.format("other.test"), r"recv ^HTTP/1.1 (4\d\d|501) .*?\r\n\r\n", "close")
