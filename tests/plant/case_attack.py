# SPDX-License-Identifier: MIT
"""What an application tries at a node whose traffic is routed: past the gateway, at it, and through it."""
import contextlib
import socket
import struct

from lab.internet import FAMILY
from marks import both
from scene import GET, HEAD, HOSTS, SERVICES, expect, gateway, open_outs, outs, route

TEXT = HEAD + SERVICES + gateway("egress", "@{egress}", "origin.test, other.test, third.test") + outs("egress") \
    + route("routed", "origin.test, other.test", "egress")
ONE = {"egress": "egress"}


@both
def test_dialling_the_origin_itself(world):
    """The origin's own address with an allowed Host or server name: through the gateway all the same."""
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, "egress")
        plant.start(TEXT)
        node = plant["node"]
        address = plant.fill("@{[origin.test]}", node)
        code, _, error = node.curl("http://origin.test/echo", "--resolve", f"origin.test:80:{address}")
        expect(code == "200", f"{code} {error}")
        server = world.serve("origin.test:443", "recv origin.test", "send seen", "hold")
        node.talk("origin.test:443", "hello origin.test", "recv seen", "close")
        expect(server.clients == 1, f"{server.clients} clients")
        expect({request[0] for request in world.requests()} == {plant.address("egress")}, f"{world.requests()}")
        expect({where for where, _ in node.dialled()} == {plant.address("egress")}, f"{node.dialled()}")


def test_another_address_with_an_allowed_name(world):
    """Whatever address is dialled, the name's route decides: the request reaches the name's owner by the gateway."""
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, "egress")
        plant.start(TEXT)
        node = plant["node"]
        code, _, error = node.curl("http://origin.test/echo", "--resolve",
                                   plant.fill("origin.test:80:@{[evil.test]}", node))
        expect(code == "200", f"{code} {error}")
        expect([request[0] for request in world.requests("origin.test")] == [plant.address("egress")],
               f"{world.requests('origin.test')}")
        expect(not world.requests("evil.test"), f"{world.requests('evil.test')}")


def test_an_address_as_host(world):
    """The origin's address in the Host, and TLS without a name: neither is the name, so both are refused."""
    with world.plant(gateways=ONE) as plant:
        plant.start(TEXT)
        node = plant["node"]
        code, _, _ = node.curl(plant.fill("http://@{[origin.test]}/echo", node))
        expect(code == "502", f"{code}")
        node.talk("origin.test:443", "hello -", "gone")
        expect(not node.dialled() and not world.requests(), f"{node.dialled()} {world.requests()}")


@both
def test_talking_to_the_gateway(world):
    """A connection to the gateway's own servers is captured like any other: names decide, and nothing else gets there."""
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, "egress")
        plant.start(TEXT)
        node, egress = plant["node"], plant["egress"]
        address = plant.fill("@{[egress]}", node)
        for host in ("evil.test", address, "localhost", "egress"):
            node.talk("egress:80", GET.format(path="/", host=host), r"recv ^HTTP/1.1 502 .*?\r\n\r\n", "close")
        for line in ("hello evil.test", "hello -", "send \\x00plain bytes\\r\\n"):
            node.talk("egress:443", line, "gone")
        for port in (22, 8080, 15001, 27018):
            node.talk(f"egress:{port}", "send \\x00plain bytes\\r\\n", "hold")
        expect(not node.dialled(), f"{node.dialled()}")
        expect(not egress.records(), f"the gateway has heard of it: {egress.records()}")
        node.talk("egress:80", GET.format(path="/bytes/1", host="origin.test"), r"recv ^HTTP/1.1 200 .*?\r\n\r\n", "close")
        expect(node.dialled() == [(egress.address, 80)], f"{node.dialled()}")


@both
def test_other_ways_to_the_gateway_and_past_it(world):
    """UDP, ping, a socket that is bound to the wire, one with somebody's mark: no packet, to the gateway or beyond."""
    with world.plant(gateways=ONE) as plant:
        plant.start(TEXT)
        node = plant["node"]
        family = FAMILY[world.family]
        for name in ("egress", "origin.test", "evil.test"):
            where = plant.address(name)
            node.app("ping", "-c", "1", "-W", "1", where)
            with node.pod.space.socket(family, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
                sock.sendto(b"a QUIC packet, say", (where, 443))
            for option in ((socket.SOL_SOCKET, 25, b"eth0\0"), (socket.SOL_SOCKET, 36, struct.pack("I", 0x539))):
                with node.pod.space.socket(family) as sock, contextlib.suppress(OSError):
                    sock.setsockopt(*option)
                    sock.settimeout(1)
                    sock.connect((where, 80))
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n")
                    sock.recv(1000)
        expect(not node.dialled(), f"{node.dialled()}")
        expect(not world.requests() and not plant["egress"].records(), f"{world.requests()}")


def test_smuggling_past_the_route(world):
    """A second request inside the first's body, and one behind it, to another host: each is what it is."""
    inner = "GET /secret HTTP/1.1\\r\\nHost: third.test\\r\\n\\r\\n"
    size = len(inner.encode().decode("unicode_escape"))
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, "egress")
        plant.allow("node", "third.test:80")
        plant.start(TEXT)
        node = plant["node"]
        node.talk("origin.test:80", f"send POST /echo HTTP/1.1\\r\\nHost: origin.test\\r\\nContent-Length: {size}\\r\\n\\r\\n"
                  + inner + GET.format(path="/bytes/1", host="other.test")[5:],
                  rf"recv ^HTTP/1.1 200 .*body {size} \w+\n", r"recv ^HTTP/1.1 200 .*?\r\n\r\n", "take 1", "close")
        expect(not world.requests("third.test"), f"{world.requests('third.test')}")
        expect([request[3] for request in world.requests("origin.test", "other.test")] == ["/echo", "/bytes/1"],
               f"{world.requests()}")


def test_many_at_once(world):
    """100 clients at once, some for the routed host, some for others: no answer is another's, and nothing is mixed."""
    with world.plant(gateways=ONE) as plant:
        open_outs(plant, "egress")
        plant.allow("node", "third.test:80")
        plant.start(TEXT)
        node = plant["node"]
        hosts = ("origin.test", "other.test", "third.test", "evil.test")
        talks = []
        for number in range(100):
            talk = node.open("origin.test:80")
            talk.do_send(GET.format(path=f"/bytes/{number + 1}", host=hosts[number % 4])[5:])
            talks.append(talk)
        for number, talk in enumerate(talks):
            if number % 4 == 3:
                talk.do_recv(r"^HTTP/1.1 502 .*?\r\n\r\n")
            else:
                talk.do_recv(rf"^HTTP/1.1 200 [^\0]*?content-length: {number + 1}\r\n\r\n")
                talk.do_take(str(number + 1))
            talk.do_close("")
        for name in ("origin.test", "other.test"):
            had = world.requests(name)
            expect(len(had) == 25 and {r[0] for r in had} == {plant.address("egress")}, f"{name}: {len(had)}")
        expect({r[0] for r in world.requests("third.test")} == {node.address}, f"{world.requests('third.test')[:3]}")
        expect(not world.requests("evil.test") and HOSTS["evil.test"], "the unlisted host was reached")
