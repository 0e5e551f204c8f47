# SPDX-License-Identifier: MIT
"""TLS of sluice's own: from nodes to a gateway, at the gateway's servers, and to services."""
import os
import re
import signal

from lab import until
from marks import both, rows, sanitize
from scene import GET, HEAD, SERVICES, expect, gateway, open_outs, outs, route

GATEWAY = {"egress": "egress"}
SERVERS = {"tls": "https:80 simple, tls:443 simple", "mutual": "https:80 mutual, tls:443 mutual"}


class Keys:
    """Certificates of a plant: the gateway's, a node's, and what is wrong with others."""

    def __init__(self, world):
        authority = world.internet.authority
        self.ca = authority.ca
        self.gateway, self.gateway_key = authority.issue(f"gw-{world.name}", "egress", ["egress.plant.test"])
        self.node, self.node_key = authority.issue(f"node-{world.name}", "node-1", ["node-1.plant.test"])
        self.renewed, self.renewed_key = authority.issue(f"new-{world.name}", "egress", ["egress.plant.test"])
        for path in (self.gateway_key, self.node_key, self.renewed_key):
            os.chmod(path, 0o644)  # the proxy reads them again when it has become another user


def policy(keys, via, name="egress.plant.test", ca=None, servers=None, routes=None, more=""):
    lines = [f"via = {via}", f"ca = {ca or keys.ca}", f"subject-alt-names = {name}", f"server-certificate = {keys.gateway}",
             f"server-private-key = {keys.gateway_key}"]
    if via == "mutual":
        lines += [f"certificate = {keys.node}", f"private-key = {keys.node_key}"]
    if "mutual" in (servers or via):
        lines += [f"client-ca = {keys.ca}"]
    return (HEAD + SERVICES + gateway("egress", "@{egress}", servers=servers or SERVERS[via], more="\n".join(lines))
            + (routes or outs("egress") + route("routed", "origin.test, other.test", "egress")) + more)


@both
@sanitize
@rows(["tls", "mutual"])
def test_through(world, via):
    """HTTP goes by Host inside of TLS, kept alive and with bodies; the gateway knows the node by its certificate."""
    keys = Keys(world)
    with world.plant(gateways=GATEWAY) as plant:
        open_outs(plant, "egress")
        plant.start(policy(keys, via))
        node, egress = plant["node"], plant["egress"]
        script = [GET.format(path="/bytes/0", host="origin.test"), r"recv ^HTTP/1.1 200 .*?\r\n\r\n"] * 3
        node.talk("origin.test:80", *script, "close")
        code, size, _ = node.curl("http://origin.test/bytes/3000000", "-o", "/dev/null", "-w", "%{size_download}\n%{http_code}")
        expect((size, code) == ("3000000", "200"), f"{size} {code}")
        code, body, _ = node.curl("http://other.test/echo/x", "--data-binary", "@-", "-H", "Expect:")
        expect(code == "200", f"{code} {body}")
        node.wait_log(4, authority="origin.test", response_code=200, upstream_host="@{[egress]}:80")
        records = egress.wait_log(4, authority="origin.test", response_code=200, upstream_cluster="outbound|80||origin.test")
        who = "node-1.plant.test" if via == "mutual" else None
        expect(all(record.get("downstream_peer") == who for record in records), f"{records[0]}")


@rows({"a CA of another": ("ca", "tls-"), "another name": ("name", "tls-wrong-host")})
def test_gateway_not_believed(world, wrong):
    """A gateway whose certificate is not what the policy says gets nothing of the client's; nothing goes round it."""
    keys = Keys(world)
    what, reason = wrong
    more = {"name": "other.plant.test"} if what == "name" else {}
    if what == "ca":
        other = world.lab.path("other-ca.pem")
        world.lab.must(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=other", "-addext", "basicConstraints=critical,CA:true", "-keyout",
                        world.lab.path("other-ca-key.pem"), "-out", other])
        more = {"ca": other}
    with world.plant(gateways=GATEWAY) as plant:
        plant.start(policy(keys, "tls", **more))
        code, _, error = plant["node"].curl("http://origin.test/bytes/1")
        expect(code == "503", f"{code} {error}")
        record = plant["node"].wait_log(authority="origin.test", response_code=503)[0]
        expect(record["upstream_transport_failure_reason"].startswith(reason), f"{record}")
        expect(not plant["egress"].records(authority="origin.test"), "the gateway saw a request")


def test_node_without_certificate(world):
    """A mutual server takes nobody who shows none."""
    keys = Keys(world)
    with world.plant(gateways=GATEWAY) as plant:
        plant.start(policy(keys, "tls", servers=SERVERS["mutual"]))
        code, _, error = plant["node"].curl("http://origin.test/bytes/1")
        expect(code == "503", f"{code} {error}")
        until(lambda: plant["egress"].records(connection_termination_details="tls-no-certificate"), "the gateway's line")


def ask(sock, size):
    """A request for so many bytes over a connection that stays."""
    sock.sendall(f"GET /bytes/{size} HTTP/1.1\r\nHost: origin.test\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < size:
        more = sock.recv(65536)
        expect(more, f"closed after {data}")
        data += more
    expect(data.startswith(b"HTTP/1.1 200 "), f"{data}")


def test_renewed(world):
    """A renewed certificate is taken up by a reload; who is connected stays so."""
    keys = Keys(world)
    with world.plant(gateways=GATEWAY) as plant:
        open_outs(plant, "egress")
        plant.start(policy(keys, "tls"))
        node, egress = plant["node"], plant["egress"]
        held = node.connect("origin.test:80")
        ask(held, 1)
        for source, target in ((keys.renewed, keys.gateway), (keys.renewed_key, keys.gateway_key)):
            with open(source, "rb") as file, open(target, "wb") as out:
                out.write(file.read())
        before = egress.proxy.output().count("reloaded")
        egress.proxy.signal(signal.SIGHUP)
        until(lambda: egress.proxy.output().count("reloaded") > before, "reload")
        ask(held, 2)
        held.close()
        code, _, error = node.curl("http://other.test/bytes/1")
        expect(code == "200", f"{code} {error}")


@both
def test_origination(world):
    """The client says http, the service hears TLS, of the name that was asked for; another name is refused."""
    ca = world.internet.authority.ca
    text = HEAD + f"""
[service web]
hosts      = www.wikipedia.org
ports      = http:80->443
resolution = dns
tls        = simple
ca         = {ca}
[service wrong]
hosts      = en.wikipedia.org
ports      = http:80->443
resolution = dns
tls        = simple
ca         = {ca}
subject-alt-names = not.this.test
"""
    with world.plant(gateways={}) as plant:
        plant.allow("node", "www.wikipedia.org:443", "en.wikipedia.org:443")
        plant.start(text)
        node = plant["node"]
        code, body, _ = node.curl("http://www.wikipedia.org/")
        expect(code == "200" and re.match(r"www.wikipedia.org says hello over TLSv1\.[23]", body), f"{code} {body}")
        code, _, _ = node.curl("http://en.wikipedia.org/")
        expect(code == "503", code)
        node.wait_log(authority="en.wikipedia.org", response_code=503, upstream_transport_failure_reason="tls-wrong-host")
