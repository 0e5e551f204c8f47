# SPDX-License-Identifier: MIT
"""A node that is a router: its LAN's traffic goes through the gateway."""
import contextlib
import socket

from lab import hello
from lab.internet import V4
from lab.plant import APP
from lab.space import Space
from marks import both
from scene import HEAD, SERVICES, expect, gateway, open_outs, outs, route

LAN = {4: ("192.168.7.1", "192.168.7.2", 24), 6: ("fd00:7::1", "fd00:7::2", 64)}
TEXT = HEAD + "scope = router\ninterfaces = lan0\n" + SERVICES + gateway("egress", "@{egress}", "origin.test, other.test") \
    + outs("egress") + route("routed", "origin.test, other.test", "egress")


@contextlib.contextmanager
def lan(world, plant):
    """A machine behind the node."""
    router, client, size = LAN[world.family]
    space = Space(world.lab, f"lan{plant.number}")
    node = plant["node"].pod.space
    node.sysctl("ipv4/ip_forward", 1)
    node.sysctl("ipv6/conf/all/forwarding", 1)
    dad = "" if world.family == V4 else " nodad"
    node.ip(f"link add lan0 type veth peer name eth0 netns {space.name}", f"addr add {router}/{size} dev lan0{dad}",
            "link set lan0 up")
    space.ip(f"addr add {client}/{size} dev eth0{dad}", "link set eth0 up", f"route add default via {router}")
    space.resolv_conf(plant["node"].pod.nameserver)
    try:
        yield space
    finally:
        space.close()


@both
def test_a_lan_behind_a_node(world):
    """HTTP and TLS of the LAN pass the gateway, by name; the rest is refused, and what is not TCP gets nowhere."""
    with world.plant(gateways={"egress": "egress"}) as plant, lan(world, plant) as space:
        open_outs(plant, "egress")
        plant.start(TEXT)
        node, egress = plant["node"], plant["egress"]

        def curl(url, *more):
            done = space.run(["curl", "-sS", "-m", "20", f"-{world.family}", "-w", "\n%{http_code}", url, *more], uid=APP)
            return done.stdout.rpartition("\n")[2]
        expect(curl("http://origin.test/echo") == "200", f"HTTP: {node.log.lines}")
        resolve = plant.fill("@{[origin.test]}", node)
        expect(curl("http://origin.test/echo", "--resolve", f"origin.test:80:{resolve}") == "200", "by its own address")
        expect(curl("http://evil.test/", "--resolve", plant.fill("evil.test:80:@{[evil.test]}", node)) == "502", "unlisted")
        server = world.serve("origin.test:443", "recv origin.test", "send seen", "hold")
        with space.inside():
            sock = socket.create_connection((plant.address("origin.test"), 443), 20)
        with sock:
            sock.sendall(hello.real("origin.test"))
            expect(sock.recv(4) == b"seen", "TLS")
        expect(server.clients == 1, f"{server.clients} clients")
        space.run(["ping", "-c", "1", "-W", "1", plant.address("egress")], uid=APP)
        space.run(["ping", "-c", "1", "-W", "1", plant.address("origin.test")], uid=APP)
        expect({where for where, _ in node.dialled()} == {egress.address}, f"{node.dialled()}")
        expect({request[0] for request in world.requests("origin.test")} == {egress.address}, f"{world.requests()}")
        egress.wait_log(2, authority="origin.test", response_code=200)
