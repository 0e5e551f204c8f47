# SPDX-License-Identifier: MIT
"""Reloads of nodes and gateways, draining, and being killed: what is under way, and what comes after."""
import contextlib
import os
import signal
import threading

from lab import until
from lab.talk import Wrong
from marks import sanitize
from scene import GET, HEAD, SERVICES, expect, gateway, open_outs, outs, renamed, route

ONE = {"egress": "egress"}
GATEWAY = gateway("egress", "@{egress}", "origin.test, other.test, third.test")
DIRECT = HEAD + SERVICES + GATEWAY + outs("egress")
ROUTED = DIRECT + route("routed", "origin.test", "egress")
ECHO = ("recv origin.test", "send first", "echo")


def open_tunnel(node):
    tunnel = node.open("origin.test:443")
    tunnel.do_hello("origin.test")
    tunnel.do_recv("first")
    return tunnel


def ping(tunnel):
    tunnel.do_send("ping")
    tunnel.do_recv("^ping")


def ask(talk, host, status=200):
    talk.do_send(GET.format(path="/bytes/0", host=host)[5:])
    talk.do_recv(rf"^HTTP/1.1 {status} .*?\r\n\r\n")


@contextlib.contextmanager
def load(node, clients=3):
    """That many ask over and over, each time over a new connection; gives the list of what comes of it: status codes."""
    answers, done = [], threading.Event()

    def ask_on():
        while not done.is_set():
            try:
                talk = node.talk("origin.test:80", GET.format(path="/bytes/100", host="origin.test").replace(
                    "\\r\\n\\r\\n", "\\r\\nConnection: close\\r\\n\\r\\n"), "hold")
                whole = talk and (talk.received[9:12] != b"200" or len(talk.received.partition(b"\r\n\r\n")[2]) == 100)
                answers.append(talk.received[9:12].decode() if whole else "cut")
            except (OSError, Wrong) as error:
                answers.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=ask_on, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        done.set()
        for thread in threads:
            thread.join(30)


@sanitize
def test_reload_of_a_node(world):
    """A route comes and goes: tunnels stay where they are, requests and tunnels that begin go the new way, at once."""
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, "egress")
        plant.allow("node", "origin.test:80", "origin.test:443")
        plant.start(ROUTED)
        node, egress = plant["node"], plant["egress"]
        world.serve("origin.test:443", *ECHO)
        routed, kept = open_tunnel(node), node.open("origin.test:80")
        ask(kept, "origin.test")
        plant.reload(renamed(DIRECT, "direct"), "node")
        ping(routed)
        ask(kept, "origin.test")
        direct = open_tunnel(node)
        node.wait_log(authority="origin.test", upstream_cluster="outbound|80||origin.test")
        plant.reload(ROUTED, "node")
        ping(routed)
        ping(direct)
        ask(kept, "origin.test")
        again = open_tunnel(node)
        for tunnel in (routed, direct, again):
            ping(tunnel)
            tunnel.play(["close"])
        kept.play(["close"])
        origin, through = plant.address("origin.test"), egress.address
        tunnels = [address for address, port in node.dialled() if port == 443]
        expect(tunnels == [through, origin, through], f"tunnels went to {tunnels}")
        requests = [request[0] for request in world.requests("origin.test")]
        expect(requests == [through, node.address, through], f"requests came from {requests}")


@sanitize
def test_reload_of_a_gateway(world):
    """A host is taken away and given back: tunnels stay, what begins is judged by the new policy."""
    less = renamed(ROUTED.replace("hosts = origin.test, other.test, third.test", "hosts = other.test, third.test"), "less")
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, "egress")
        plant.start(ROUTED)
        node, egress = plant["node"], plant["egress"]
        world.serve("origin.test:443", *ECHO)
        tunnel, kept = open_tunnel(node), node.open("origin.test:80")
        ask(kept, "origin.test")
        less = less.replace(route("routed", "origin.test", "egress"), "")  # the node's, which would be an error
        plant.reload(less, "egress")
        ping(tunnel)
        ask(kept, "origin.test", 404)
        egress.wait_log(authority="origin.test", response_code=404, response_flags="NR")
        node.talk("origin.test:443", "hello origin.test", "gone")
        egress.wait_log(requested_server_name="origin.test", response_flags="NR")
        plant.reload(ROUTED, "egress")
        ping(tunnel)
        ask(kept, "origin.test")
        for talk in (tunnel, kept):
            talk.play(["close"])


def test_reload_under_load(world):
    """Gateway and node are reloaded over and over while three clients ask: every request is served, by the gateway."""
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, "egress")
        plant.start(ROUTED)
        with load(plant["node"]) as answers:
            for turn in range(8):
                plant.reload(renamed(ROUTED, f"turn-{turn}"))
            until(lambda: len(answers) > 20, "requests")
        expect(set(answers) == {"200"}, f"{set(answers)}")
        expect({request[0] for request in world.requests()} == {plant.address("egress")}, "some went direct")


def test_reload_that_changes_the_servers(world):
    """What a gateway listens on is opened at its start: another policy is refused, the old one stays; a restart takes it."""
    text = ROUTED.replace("servers = http:80, tls:443", "servers = http:80, http:8080, tls:443")
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, "egress")
        plant.start(ROUTED)
        node, egress = plant["node"], plant["egress"]
        before = egress.ctl("/policy")
        egress.policy(plant.fill(renamed(text, "more"), egress))
        egress.proxy.signal(signal.SIGHUP)
        until(lambda: "restart needed" in egress.proxy.output(), "a message")
        expect(egress.ctl("/policy") == before, "the policy has changed")
        expect(node.curl("http://origin.test/bytes/1")[0] == "200", "the old policy does not work")
        expect(egress.stop() == 0, "the gateway's end")
        egress.start()
        expect("more" in egress.ctl("/policy"), "the new policy is not in use")
        expect(node.curl("http://origin.test/bytes/1")[0] == "200", "the new policy does not work")


def test_servers_that_cannot_be_had(world):
    """A port that somebody else has: the gateway says so and does not start half."""
    with world.plant(gateways=ONE, bare=True) as plant:
        egress = plant["egress"]
        egress.policy(plant.fill(ROUTED, egress))
        os.makedirs(egress.state, exist_ok=True)
        with egress.pod.space.socket(2) as taken:
            taken.bind(("0.0.0.0", 443))
            taken.listen(1)
            done = egress.pod.space.run(egress.command(), seconds=20)
            expect(done.returncode == 71 and "in use" in done.stderr, f"{done.returncode}: {done.stderr}")
        egress.start()
        open_outs(plant, "egress")


def test_gateway_drains(world):
    """SIGTERM: what is under way ends in its time, nothing new is taken, the node says 503 and goes nowhere else."""
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, "egress")
        plant.start(ROUTED)
        node, egress = plant["node"], plant["egress"]
        name = f"drain{plant.number}"
        world.serve("origin.test:443", *ECHO)
        tunnel, waiting = open_tunnel(node), node.open("origin.test:80")
        waiting.do_send(GET.format(path=f"/hold/{name}", host="origin.test")[5:])
        origin = world.origins["origin.test"]
        until(lambda: origin.waiting(name), "the request at the origin")
        egress.proxy.signal(signal.SIGTERM)
        until(lambda: "draining" in egress.proxy.output(), "draining")
        until(lambda: node.curl("http://origin.test/bytes/1")[0] == "503", "the end of new requests")
        expect(egress.proxy.alive(), "it did not wait")
        ping(tunnel)
        origin.gate(name).set()
        waiting.play([r"recv ^HTTP/1.1 200 .*?held\n", "close"])
        tunnel.play(["close"])
        expect(egress.proxy.wait(20) == 0, f"{egress.proxy.output()[-300:]}")
        egress.start()
        expect(node.curl("http://origin.test/bytes/1")[0] == "200", "the next one does not serve")


def test_node_drains(world):
    """The node's proxy ends with a tunnel and a request through the gateway; its successor goes the same way."""
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, "egress")
        plant.start(ROUTED)
        node = plant["node"]
        world.serve("origin.test:443", *ECHO)
        tunnel = open_tunnel(node)
        node.proxy.signal(signal.SIGTERM)
        until(lambda: "draining" in node.proxy.output(), "draining")
        ping(tunnel)
        tunnel.play(["close"])
        expect(node.proxy.wait(20) == 0, f"{node.proxy.output()[-300:]}")
        node.start()
        expect(node.curl("http://origin.test/bytes/1")[0] == "200", "the successor")


def test_node_is_killed(world):
    """While a node has no proxy, nothing leaves it: not to the gateway, and not to the origin."""
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, "egress")
        plant.start(ROUTED)
        node = plant["node"]
        world.serve("origin.test:443", *ECHO)
        tunnel = open_tunnel(node)
        node.proxy.signal(signal.SIGKILL)
        node.proxy.wait()
        dialled = node.dialled()
        tunnel.play(["gone"])
        for where in ("origin.test", "egress", "evil.test"):
            code, _, _ = node.curl(plant.fill(f"http://@{{[{where}]}}/", node), "-m", "1", "-H", "Host: origin.test")
            expect(code == "000", f"{where} answers though the proxy is dead: {code}")
        expect(node.dialled() == dialled, f"{node.dialled()}")
        node.start()
        expect(node.curl("http://origin.test/bytes/1")[0] == "200", "the next one does not serve")


def test_rolling_restart(world):
    """Two machines are the gateway, and each in its turn drains, ends and starts again under load: the other one serves.

    A request that is on its way to a machine as that one ends may be told 503.
    """
    text = ROUTED.replace("address = @{egress}", "address = @{first}, @{second}")
    with world.plant(gateways={"first": "egress", "second": "egress"}) as plant:
        open_outs(plant, "first", "second")
        plant.start(text)
        node = plant["node"]
        with load(node) as answers:
            for name in ("first", "second") * 2:
                expect(plant[name].stop(20) == 0, f"{name}: {plant[name].proxy.output()[-300:]}")
                start = len(answers)
                until(lambda start=start: answers[start:].count("200") > 10, "requests that are served without it")
                plant[name].start()
        expect(set(answers) <= {"200", "503"}, f"{set(answers)}")
        others = node.records(response_code="~(?!200).*", response_flags="~(?!UC).*")
        expect(not others, f"{others[:2]}")
        expect({request[0] for request in world.requests()} == {plant.address("first"), plant.address("second")},
               "both are used, and nothing else")


def test_gateway_killed_over_and_over(world):
    """SIGKILL and a new start, five times, under load: requests are served, told 503 or cut, and none goes direct."""
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, "egress")
        plant.start(ROUTED)
        egress = plant["egress"]
        with load(plant["node"]) as answers:
            for _ in range(5):
                start = len(answers)
                until(lambda start=start: "200" in answers[start:], "requests that are served")
                egress.proxy.signal(signal.SIGKILL)
                egress.proxy.wait()
                start = len(answers)
                until(lambda start=start: "503" in answers[start:], "requests that find nobody")
                egress.start()
        expect(set(answers) <= {"200", "503", "cut"}, f"{sorted(set(answers))}")
        expect({request[0] for request in world.requests()} == {egress.address}, "some went direct")
