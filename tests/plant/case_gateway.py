# SPDX-License-Identifier: MIT
"""The gateway itself: who is let through, what is refused and how, and that nobody takes it for himself."""
import tomllib
from pathlib import Path

from lab import hello, until
from lab.base import Late
from lab.talk import Talk, Wrong
from marks import both, rows, sanitize
from scene import GET, HEAD, HOSTS, SERVICES, expect, gateway, open_outs, route

CASES = Path(__file__).resolve().parent.parent / "e2e/cases"
EGRESS = gateway("egress", "@{egress}", "origin.test, other.test")
TEXT = HEAD + SERVICES + EGRESS + route("out", "origin.test", "origin.test:80", "egress", 80) \
    + route("out-tls", "origin.test", "origin.test:443", "egress", 443) \
    + route("third", "third.test", "third.test:80", "egress", 80) \
    + route("third-tls", "third.test", "third.test:443", "egress", 443)  # which its hosts do not hold
ONE = {"egress": "egress"}


def rows_of(name):
    """The attacks of one of the end-to-end cases."""
    with open(CASES / f"{name}.toml", "rb") as file:
        return tomllib.load(file)["rows"]


def plain_plant(world, **options):
    """A gateway, and a machine without sluice, so that what arrives is what was meant."""
    return world.plant(nodes=(), plain=("client",), gateways=ONE, **options)


@both
@sanitize
@rows({"behind rules of its own": False, "bare": True})
def test_unlisted_hosts(world, bare):
    """404 for what its `hosts` do not hold, and for what they hold and no route has; the connection is kept."""
    with plain_plant(world, bare=bare) as plant:
        open_outs(plant, "egress")
        plant.start(TEXT)
        client, egress = plant["client"], plant["egress"]
        answer = r"^HTTP/1.1 404 Not Found\r\ndate: [^\r]*\r\nserver: sluice\r\ncontent-length: 0\r\n\r\n"
        talk = client.open("egress:80")
        for host in ("evil.test", "other.test", "third.test", "localhost", "www.origin.test", plant.fill("@{[egress]}", client),
                     "127.0.0.1", plant.fill("@{[evil.test]}", client)):
            talk.do_send(GET.format(path="/secret", host=host)[5:])
            talk.do_recv(answer)
            talk.do_send(GET.format(path="/bytes/2", host="origin.test")[5:])
            talk.do_recv(r"^HTTP/1.1 200 .*?\r\n\r\n")
            talk.taken = 0
            talk.do_take("2")
        talk.do_close("")
        refused = {"response_code": 404, "response_flags": "NR", "upstream_host": "-", "upstream_cluster": "-"}
        egress.wait_log(authority="evil.test", **refused, path="/secret")
        egress.wait_log(authority="other.test", **refused)
        egress.wait_log(authority="third.test", **refused)
        egress.wait_log(8, **refused)
        others = world.requests("evil.test", "other.test", "third.test")
        expect(not others, f"{others}")
        stats = egress.stats()
        counts = {why: stats[f'sluice_decisions_total{{reason="{why}"}}'] for why in ("no-host", "no-route", "no-name")}
        expect(counts == {"no-host": 4, "no-route": 1, "no-name": 3}, f"{counts}")


@rows({"allow-any": "outbound    = allow-any", "audit": "enforcement = audit"})
def test_what_opens_a_node_does_not_open_a_gateway(world, line):
    """With a policy that lets nodes go anywhere, the gateway still serves what it lists, and nobody beside it."""
    with plain_plant(world) as plant:
        open_outs(plant, "egress")
        plant.start(TEXT.replace("access-log ", f"{line}\naccess-log "))
        client, egress = plant["client"], plant["egress"]
        for host in ("evil.test", "third.test", "127.0.0.1", plant.fill("@{[evil.test]}", client)):
            client.talk("egress:80", GET.format(path="/", host=host), r"recv ^HTTP/1.1 404 .*?\r\n\r\n", "close")
        for name in ("evil.test", "-"):
            client.talk("egress:443", f"hello {name}", "gone")
        client.talk("egress:80", GET.format(path="/bytes/1", host="origin.test"), r"recv ^HTTP/1.1 200 ", "close")
        before = len(egress.dialled())
        egress.talk("evil.test:80", GET.format(path="/", host="evil.test"), "hold")
        egress.talk("evil.test:443", "hello evil.test", "gone")
        expect(len(egress.dialled()) == before, f"beside the gateway: {egress.dialled()}")
        expect(not world.requests("evil.test", "third.test"), f"{world.requests()}")


@both
def test_unlisted_server_names(world):
    """Closed, with the name in the log."""
    with plain_plant(world) as plant:
        open_outs(plant, "egress")
        plant.start(TEXT)
        for host in ("evil.test", "other.test", "third.test", "www.origin.test"):
            plant["client"].talk("egress:443", f"hello {host}", "gone")
            plant["egress"].wait_log(requested_server_name=host, response_flags="NR", upstream_host="-")
        plant["client"].talk("egress:443", "hello -", "gone")
        plant["egress"].wait_log(requested_server_name="-", response_flags="NR", upstream_host="-")
        expect(not plant["egress"].dialled(), f"{plant['egress'].dialled()}")


def test_good_forms(world):
    """One name, however it is written: served."""
    with plain_plant(world) as plant:
        open_outs(plant, "egress")
        plant.start(TEXT)
        client = plant["client"]
        requests = ["GET / HTTP/1.1\\r\\nHost: ORIGIN.Test\\r\\n\\r\\n",
                    "GET / HTTP/1.1\\r\\nHost: origin.test.\\r\\n\\r\\n",
                    "GET / HTTP/1.1\\r\\nHost: origin.test:80\\r\\n\\r\\n",
                    "GET http://origin.test/ HTTP/1.1\\r\\nHost: origin.test\\r\\n\\r\\n",
                    "GET / HTTP/1.0\\r\\nHost: origin.test\\r\\n\\r\\n"]
        for request in requests:
            client.talk("egress:80", f"send {request}", r"recv ^HTTP/1.[01] 200 .*?\r\n\r\n", "close")
        had = [request[4] for request in world.requests("origin.test")]
        expect([host.lower().rstrip(".") for host in had] == ["origin.test"] * len(requests), f"the origin had {had}")
        world.serve("origin.test:443", "recv (?i)origin.test", "send seen", "hold")
        for name in ("ORIGIN.TEST", "Origin.Test"):
            client.talk("egress:443", f"hello - raw={name}", "recv seen", "close")


def test_slow_clients(world):
    """A head and a ClientHello that never end: each has its deadline, and the others are served meanwhile."""
    with plain_plant(world, args={"egress": ["--set", "sniff=700", "--set", "head=700"]}) as plant:
        open_outs(plant, "egress")
        plant.start(TEXT)
        client = plant["client"]
        slow = [client.open(where) for where in ("egress:80", "egress:443", "egress:80")]
        slow[0].do_send("GET / HTTP/1.1\\r\\nHost: origin.test\\r\\nX: ")
        slow[1].do_send("\\x16\\x03\\x01\\x02\\x00\\x01")
        slow[2].do_send(GET.format(path="/bytes/1", host="origin.test")[5:])
        slow[2].do_recv(r"^HTTP/1.1 200 .*?\r\n\r\n")
        slow[2].do_take("1")
        slow[2].do_send("GET / HTTP/1.1\\r\\nHost: ")
        client.talk("egress:80", GET.format(path="/bytes/1", host="origin.test"), r"recv ^HTTP/1.1 200 ", "close")
        slow[0].play(["recv ^HTTP/1.[01] 408 ", "hold"])
        slow[1].play(["gone"])
        slow[2].play(["recv ^HTTP/1.[01] 408 ", "hold"])
        expect(len(world.requests()) == 2, f"{world.requests()}")


@sanitize
def test_requests_that_two_readers_could_understand_differently(world):
    """The attacks on a node's proxy, at the gateway: 4xx and closed, nothing forwarded."""
    attacks = rows_of("http-refused")
    del attacks["host-port-other"]  # a gateway may be reached at another port than the client asked for
    with plain_plant(world) as plant:
        plant.start(TEXT)
        wrong = []
        for name, text in attacks.items():
            before = len(plant["egress"].records())
            try:
                plant["client"].talk("egress:80", "send " + text, r"recv ^HTTP/1.[01] (4\d\d|50[15]) ", "hold")
                plant["egress"].wait_log(before + 1)
            except (Wrong, Late, OSError) as error:
                wrong.append(f"{name}: {error}")
        expect(not wrong, "\n".join(wrong))
        served = plant["egress"].records(response_code="~[123]..|0")
        expect(not served, f"{served[:2]}")
        expect(not plant["egress"].dialled(), f"{plant['egress'].dialled()}")
        expect(not world.requests(), f"{world.requests()}")


def test_host_with_a_port(world):
    """A gateway may listen elsewhere than the client asked: the Host goes to the origin as the client wrote it."""
    with world.plant(gateways=ONE, plain=("client",)) as plant:
        open_outs(plant, "egress")
        text = TEXT.replace("ports      = http:80, tls:443", "ports      = http:80, http:8080->80, tls:443") \
            .replace("http:80, tls:443\nhosts = origin", "http:80, http:8080, tls:443\nhosts = origin")
        plant.start(text + route("mesh", "origin.test", "egress") + route("out-8080", "origin.test", "origin.test:8080",
                                                                         "egress", 8080))
        code, body, error = plant["node"].curl("http://origin.test:8080/echo")
        expect(code == "200" and "host: origin.test:8080" in body.lower(), f"{code} {body} {error}")
        code, body, error = plant["node"].curl("http://origin.test/echo")
        expect(code == "200" and "host: origin.test\n" in body.lower(), f"{code} {body} {error}")
        expect(plant["node"].dialled() == [(plant.address("egress"), 8080), (plant.address("egress"), 80)],
               f"{plant['node'].dialled()}")


@sanitize
def test_damaged_hellos(world):
    """Closed, without an answer."""
    attacks = {**rows_of("tls-damaged"), "two-names": "hello origin.test names=evil.test", "twice":
               "hello origin.test twice", "nul": "hello - raw=origin.test\\x00.evil.test", "no-name": "hello -",
               "http": "send GET / HTTP/1.1\\r\\nHost: origin.test\\r\\n\\r\\n"}
    with plain_plant(world) as plant:
        plant.start(TEXT)
        wrong = []
        for name, line in attacks.items():
            try:
                plant["client"].talk("egress:443", line, "shut", "gone")
            except (Wrong, OSError) as error:
                wrong.append(f"{name}: {error}")
        expect(not wrong, "\n".join(wrong))
        plant["egress"].wait_log(len(attacks))
        expect(not plant["egress"].dialled(), f"{plant['egress'].dialled()}")


def test_hellos_in_pieces(world):
    """However a good one is divided, it is forwarded byte for byte."""
    with plain_plant(world) as plant:
        open_outs(plant, "egress")
        plant.start(TEXT)
        server = world.serve("origin.test:443", "hold")
        lines = ("hello origin.test records=1", "slowhello 1 origin.test records=50", "hello origin.test pad=9000")
        for number, line in enumerate(lines, 1):
            plant["client"].talk("egress:443", line, "shut", "hold")
            until(lambda number=number: len(server.received) == number, "the server's client to end")
            verb, _, spec = line.partition(" ")
            wanted = hello.made(spec.partition(" ")[2] if verb == "slowhello" else spec)
            expect(server.received[-1] == wanted, f"{line}: {len(server.received[-1])} bytes for {len(wanted)}")


def test_wrong_protocol_for_a_server(world):
    """TLS and plain bytes at the HTTP server, HTTP at the TLS server, and a client that says nothing."""
    with plain_plant(world, args={"egress": ["--set", "sniff=500"]}) as plant:
        plant.start(TEXT)
        client = plant["client"]
        client.talk("egress:80", "hello origin.test", "gone")
        client.talk("egress:80", "send SSH-2.0-OpenSSH_9.2\\r\\n", "hold")
        client.talk("egress:80", "send \\x00\\x01\\x02\\x03 and more\\r\\n\\r\\n", "hold")
        client.talk("egress:80", "send PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n", "hold")
        client.talk("egress:443", "send GET / HTTP/1.1\\r\\nHost: origin.test\\r\\n\\r\\n", "gone")
        client.talk("egress:443", "send SSH-2.0-OpenSSH_9.2\\r\\n", "gone")
        client.talk("egress:80", "gone")
        client.talk("egress:443", "gone")
        plant["egress"].wait_log(6)
        expect(not plant["egress"].records(response_code="200"), "something was served")
        expect(not plant["egress"].dialled(), f"{plant['egress'].dialled()}")


@both
@rows(["loopback.test", "metadata.test", "linklocal.test", "zero.test", "self.test", "private.test"])
def test_routes_to_where_nothing_may_go(world, name):
    """A listed name that leads to loopback, link-local, private addresses or the gateway itself: not dialled."""
    text = HEAD + f"[service x]\nhosts = {name}\nports = http:80, tls:443\nresolution = dns\n" \
        + gateway("egress", "@{egress}") + route("out", name, f"{name}:80", "egress", 80) \
        + route("out-tls", name, f"{name}:443", "egress", 443)
    with plain_plant(world) as plant:
        if name not in HOSTS:
            world.name_means(name, plant.address("egress" if name == "self.test" else "client"))
        plant.start(text)
        plant["client"].talk("egress:80", GET.format(path="/", host=name), r"recv ^HTTP/1.1 503 .*?\r\n\r\n", "close")
        plant["egress"].wait_log(authority=name, response_code=503, response_flags="UH",
                                 upstream_transport_failure_reason="address_refused")
        plant["client"].talk("egress:443", f"hello {name}", "gone")
        plant["egress"].wait_log(requested_server_name=name, response_flags="UH")
        expect(len(plant["egress"].records()) == 2, f"{plant['egress'].log.lines}")
        expect(not plant["egress"].dialled(), f"{plant['egress'].dialled()}")


@both
def test_internal_name_that_leads_back(world):
    """Even where private addresses may be dialled, the gateway does not dial itself: one request, one line, no storm."""
    text = HEAD + "[service x]\nhosts = self.test\nports = http:80, tls:443\nresolution = dns\nlocation = internal\n" \
        + gateway("egress", "@{egress}") + route("out", "self.test", "self.test:80", "egress", 80) \
        + route("out-tls", "self.test", "self.test:443", "egress", 443)
    with plain_plant(world) as plant:
        world.name_means("self.test", plant.address("egress"))
        plant.start(text)
        plant["client"].talk("egress:80", GET.format(path="/", host="self.test"), r"recv ^HTTP/1.1 503 ", "close")
        plant["client"].talk("egress:443", "hello self.test", "gone")
        plant["egress"].wait_log(2, response_flags="~UH|UF(,URX)?", upstream_transport_failure_reason="own_address")
        until(lambda: plant["egress"].ctl("/connections") == "", "the end of all connections")
        total = plant["egress"].stats()["sluice_downstream_cx_total"]
        expect(total <= 6, f"{total} connections for 2, of which a request is tried three times and TLS once")


def test_one_client_cannot_take_the_gateway(world):
    """A share for each client: the greedy one's newest are refused, another client is served."""
    with world.plant(nodes=(), plain=("client", "other"), gateways=ONE,
                     args={"egress": ["--set", "max-conns=200", "--set", "sniff=60000"]}) as plant:
        open_outs(plant, "egress")
        plant.start(TEXT)
        held = []
        try:
            for _ in range(300):
                try:
                    held.append(plant["client"].connect("egress:443"))
                except OSError:
                    pass
            until(lambda: sum(plant["egress"].stats()[f"sluice_downstream_cx_{why}overflow_total"]
                              for why in ("client_", "")) >= 200, "refusals")
            active = plant["egress"].stats()["sluice_downstream_cx_active"]
            expect(active <= 100, f"one client has {active} of 200")
            for _ in range(5):
                plant["other"].talk("egress:80", GET.format(path="/bytes/1", host="origin.test"),
                                    r"recv ^HTTP/1.1 200 .*?\r\n\r\n", "take 1", "close")
        finally:
            for sock in held:
                sock.close()


def test_full_table(world):
    """More connections than it has room for: the newest are refused, the first live on, and room comes back."""
    with world.plant(nodes=(), plain=("client",), gateways=ONE,
                     args={"egress": ["--set", "max-conns=60", "--set", "client-conns=60"]}) as plant:
        open_outs(plant, "egress")
        plant.start(TEXT)
        world.serve("origin.test:443", "recv origin.test", "send seen", "recv ping", "send pong", "hold")
        tunnels = [plant["client"].open("egress:443") for _ in range(5)]
        for tunnel in tunnels:
            tunnel.do_hello("origin.test")
            tunnel.do_recv("seen")
        held = []
        for _ in range(100):
            try:
                held.append(plant["client"].connect("egress:80"))
            except OSError:
                pass
        until(lambda: sum(plant["egress"].stats()[f"sluice_downstream_cx_{why}overflow_total"]
                          for why in ("client_", "")) >= 45, "refusals")
        for tunnel in tunnels:
            tunnel.play(["send ping", "recv pong", "close"])
        for sock in held:
            sock.close()
        until(lambda: plant["egress"].ctl("/connections") == "", "room")
        plant["client"].talk("egress:80", GET.format(path="/bytes/1", host="origin.test"),
                             r"recv ^HTTP/1.1 200 .*?\r\n\r\n", "take 1", "close")


@both
def test_what_runs_beside_the_gateway(world):
    """The gateway's policy is for those who come to its servers: a process of its own machine gets nowhere by it."""
    with plain_plant(world) as plant:
        open_outs(plant, "egress")
        plant.start(TEXT)
        egress = plant["egress"]
        resolve = ["--resolve", plant.fill("origin.test:80:@{[origin.test]}", egress)]
        code, _, _ = egress.curl("http://origin.test/", *resolve)
        expect(code in ("000", "502", "404"), f"HTTP: {code}")
        egress.talk("origin.test:443", "hello origin.test", "gone")
        egress.talk("evil.test:80", "send GET / HTTP/1.1\\r\\nHost: evil.test\\r\\n\\r\\n", "hold")
        expect(not world.requests() and not egress.dialled(), f"{world.requests()} {egress.dialled()}")


def test_tcp_server_and_its_hosts(world):
    """By the port, which the route has to name; and only what the gateway's `hosts` hold."""
    service = "[service cluster]\nhosts = mongo.test\naddresses = 192.0.2.0/24\nports = mongo:27018, mongo:27019, " \
        "mongo:27020\nresolution = static\nendpoints = @{mongo.test}\n"
    other = "[service third]\nhosts = third.test\nports = tcp:27020\nresolution = dns\n"
    text = HEAD + service.replace(", mongo:27020", "") + other \
        + gateway("egress", "@{egress}", "mongo.test", "mongo:27018, mongo:27019, tcp:27020") \
        + route("one", "mongo.test", "mongo.test:27018", "egress", 27018) \
        + route("third", "third.test", "third.test:27020", "egress", 27020)
    with plain_plant(world) as plant:
        plant.allow("egress", "mongo.test:27018")
        plant.start(text)
        world.serve("mongo.test:27018", "send hello", "recv bye", "hold")
        world.serve("third.test:27020", "send not for you", "hold")
        plant["client"].talk("egress:27018", "recv hello", "send bye", "close")
        plant["client"].talk("egress:27019", "gone")
        plant["egress"].wait_log(response_flags="NR", downstream_local_address="@{[egress]}:27019")
        plant["client"].talk("egress:27020", "gone")
        plant["egress"].wait_log(response_flags="NR", downstream_local_address="@{[egress]}:27020")


def test_only_its_servers_listen(world):
    """Of the gateway's ports, no other answers: not the proxy's own, not DNS."""
    with plain_plant(world, bare=True) as plant:
        open_outs(plant, "egress")
        plant.start(TEXT)
        for port in (53, 81, 8080, 15000, 15001, 15006, 15021):
            try:
                sock = plant["client"].connect(f"egress:{port}", 3)
            except OSError:
                continue
            talk = Talk(sock, seconds=3)  # where capture listens, what is not captured is closed at once
            talk.play(["send GET / HTTP/1.1\\r\\nHost: origin.test\\r\\n\\r\\n", "gone"])
            expect(port == 15001, f"port {port} is open")
        expect(not world.requests(), f"{world.requests()}")
