# SPDX-License-Identifier: MIT
"""Which endpoint of a gateway is used: balancing, limits, what puts an endpoint aside, and what brings it back."""
from lab import until
from marks import both, rows, sanitize
from scene import GET, HEAD, SERVICES, expect, gateway, open_outs, outs, renamed, route

ROUTES = outs("egress") + route("routed", "origin.test, other.test", "egress")
BOTH = {"first": "egress", "second": "egress"}
ONE = {"first": "egress"}


def policy(*lines, address="@{first}, @{second}"):
    return HEAD + SERVICES + gateway("egress", address, more="\n".join(lines)) + ROUTES


def requests(node, count, path="/bytes/0", status=200):
    """So many over one connection of the client's; GET says "send"."""
    script = [GET.format(path=path, host="origin.test"), rf"recv ^HTTP/1.1 {status} .*?\r\n\r\n"] * count
    node.talk("origin.test:80", *script, "close")


def shares(plant, count):
    """How many requests each gateway has had, once it is so many in all."""
    def counts():
        found = [len(plant[name].records(authority="origin.test")) for name in BOTH]
        return sum(found) == count and found
    return until(counts, f"{count} requests in the gateways' logs")


def state(plant, name, port=80):
    """What the node thinks of a gateway: the words of its line in /gateways."""
    where = plant.fill(f"@{{[{name}]}}:{port}", plant["node"])
    return next(line.split() for line in plant["node"].ctl("/gateways").splitlines() if f" egress/ {where} " in line)


def refused(plant, flag, count=1):
    """HTTP is told 503 by the node itself."""
    code, _, error = plant["node"].curl("http://origin.test/bytes/1")
    expect(code == "503", f"{code} {error}")
    plant["node"].wait_log(count, authority="origin.test", response_code=503, response_flags=flag, upstream_host="-")


@both
@sanitize
def test_round_robin(world):
    """Exactly one after the other."""
    with world.plant(gateways=BOTH) as plant:
        open_outs(plant, *BOTH)
        plant.start(policy("load-balancer = round-robin"))
        requests(plant["node"], 10)
        expect(shares(plant, 10) == [5, 5], f"{shares(plant, 10)}")


@rows(["random", "least-request"])
def test_spread(world, name):
    """Both have their part: 40 of 40 at one of them is chance once in 2^39."""
    with world.plant(gateways=BOTH) as plant:
        open_outs(plant, *BOTH)
        plant.start(policy(f"load-balancer = {name}"))
        requests(plant["node"], 40)
        expect(min(shares(plant, 40)) > 0, f"{shares(plant, 40)}")


@both
def test_consistent_hash(world):
    """A client stays where it is, goes to the other when that is down, and comes back with it."""
    with world.plant(gateways=BOTH, args={name: ["--drain", "1"] for name in BOTH}) as plant:
        open_outs(plant, *BOTH)
        plant.start(policy("load-balancer = consistent-hash"))
        requests(plant["node"], 10)
        expect(sorted(shares(plant, 10)) == [0, 10], f"{shares(plant, 10)}")
        mine, other = sorted(BOTH, key=lambda name: -len(plant[name].records()))
        expect(plant[mine].stop() == 0, "the gateway's end")
        requests(plant["node"], 3)
        plant[other].wait_log(3, authority="origin.test")
        plant[mine].start()
        seen = len(plant[mine].records())

        def back():
            requests(plant["node"], 1)
            return len(plant[mine].records()) > seen
        until(back, "the client to come back")


@sanitize
def test_ejected(world):
    """Three errors in a row: the gateway is not dialled, nothing goes direct, and later it has another chance."""
    text = policy("consecutive-5xx-errors = 3", "outlier-interval = 1s", "base-ejection-time = 1s", address="@{first}")
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, *ONE)
        plant.start(text)
        requests(plant["node"], 2, "/status/500", 500)
        requests(plant["node"], 1)
        requests(plant["node"], 2, "/status/500", 500)
        expect(state(plant, "first")[3] == "unchecked", "three in a row are not any three")
        requests(plant["node"], 1, "/status/503", 503)
        expect(plant["node"].stats()["sluice_upstream_ejections_total"] == 1, "it is ejected")
        until(lambda: plant["node"].curl("http://origin.test/bytes/1")[0] == "200", "another chance")


@both
def test_ejected_for_long(world):
    """It says so, who asks is told 503, and a reload does not forget it."""
    text = policy("consecutive-5xx-errors = 3", "base-ejection-time = 1h", address="@{first}")
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, *ONE)
        plant.start(text)
        requests(plant["node"], 3, "/status/503", 503)
        expect(state(plant, "first")[3] == "ejected", f"{state(plant, 'first')}")
        expect(state(plant, "first", 443)[3] == "unchecked", "another port is another cluster")
        had = len(world.requests())
        refused(plant, "UH")
        plant["node"].reload(plant.fill(renamed(text, "again"), plant["node"]))
        refused(plant, "UH", 2)
        expect(len(world.requests()) == had, "nobody has heard of it")


@both
@sanitize
def test_tcp_health(world):
    """Unhealthy until it listens; healthy until it does not."""
    text = policy("health-check = tcp", "health-interval = 200ms", "health-timeout = 200ms")
    with world.plant(gateways=BOTH, args={name: ["--drain", "1"] for name in BOTH}) as plant:
        open_outs(plant, *BOTH)
        plant.start(text, only=["second", "node"])
        until(lambda: state(plant, "first")[3] == "unhealthy" and state(plant, "second")[3] == "healthy", "the checks")
        requests(plant["node"], 5)
        expect(state(plant, "first")[-1] == "-", "no client was sent there")
        expect(plant["second"].stop() == 0, "the gateway's end")
        until(lambda: state(plant, "second")[3] == "unhealthy", "the other one's check")
        refused(plant, "UH")
        plant["first"].bring_up(plant.fill(text, plant["first"]))
        until(lambda: state(plant, "first")[3] == "healthy", "the check of who has come")
        requests(plant["node"], 5)
        said = plant["node"].proxy.output()
        expect("health: egress: " in said and "Connection refused" in said and "healthy again" in said, said)
        plant["second"].start()
        until(lambda: state(plant, "second")[3] == "healthy", "the check of who has come back")


def test_http_health(world):
    """200 is healthy, anything else is not; the gateway's name is the Host."""
    bad = policy("health-check = http:/status/500", "health-interval = 200ms", "health-timeout = 200ms",
                 address="@{origin.test}")
    with world.plant() as plant:
        plant.allow("node", "origin.test:80")
        plant.start(bad)
        where = plant.fill(" egress/ @{[origin.test]}:80 ", plant["node"])

        def is_now(word):
            return f"{where}{word} " in plant["node"].ctl("/gateways")
        until(lambda: is_now("unhealthy"), "the check that fails")
        refused(plant, "UH")
        good = renamed(bad.replace("/status/500", "/bytes/0"), "good")
        plant["node"].reload(plant.fill(good, plant["node"]))
        until(lambda: is_now("healthy"), "the check that passes")
        requests(plant["node"], 1)
        hosts = {request[4] for request in world.requests("origin.test") if request[3] == "/status/500"}
        expect(hosts == {"egress"}, f"{hosts}")
        until(lambda: plant["node"].stats()["sluice_endpoints_unhealthy"] == 0, "the gauge")


@sanitize
def test_max_connections(world):
    """One tunnel is all: the next is closed with UO; another port has a limit of its own."""
    with world.plant(gateways=BOTH) as plant:
        open_outs(plant, *BOTH)
        plant.start(policy("max-connections = 1"))
        node = plant["node"]
        server = world.serve("origin.test:443", "hold")
        tunnel = node.open("origin.test:443")
        tunnel.do_hello("origin.test")
        until(lambda: server.clients == 1, "the tunnel")
        node.talk("origin.test:443", "hello origin.test", "gone")
        node.wait_log(requested_server_name="origin.test", response_flags="UO")
        requests(node, 3)
        tunnel.play(["shut", "hold"])
        node.wait_log(requested_server_name="origin.test", response_flags="-")
        node.talk("origin.test:443", "hello origin.test", "shut", "hold")
        until(lambda: server.clients == 2, "the next tunnel")


def test_max_requests(world):
    """A connection to a gateway carries two requests, and no more."""
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, *ONE)
        plant.start(policy("max-requests-per-connection = 2", address="@{first}"))
        requests(plant["node"], 5)
        expect(len(plant["node"].dialled()) == 3, f"{plant['node'].dialled()}")


def test_idle_timeout(world):
    """A tunnel that is still is ended in its time, of half a second."""
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, *ONE)
        plant.start(policy("idle-timeout = 500ms", address="@{first}"))
        world.serve("origin.test:443", "hold")
        plant["node"].talk("origin.test:443", "hello origin.test", "gone")
