# SPDX-License-Identifier: MIT
"""Gateways that refuse, break off, talk nonsense or say nothing: the log says how, and nothing goes anywhere else."""
from typing import NamedTuple

from lab.gateway import Dante, HaproxyAuthority, Squid, Ssh, Tinyproxy
from lab.internet import V4, address
from lab.talk import Server
from outpost import Outpost, Way

ELSEWHERE = "198.51.100.99"  # where clients believe that the host is: nobody may see a packet for it
ASKED = r"recv ^CONNECT \S+ HTTP/1.1\r\nHost: \S+\r\n\r\n"
GREETED = r"recv ^\x05\x01\x00$"
REPLIES = ("failure", "not_allowed", "network_unreachable", "host_unreachable", "connection_refused", "ttl_expired",
           "no_such_command", "no_such_address")
CHOSEN = [GREETED, r"send \x05\x00", r"recv ^\x05\x01\x00\x03"]


class Bad(NamedTuple):
    via: str
    script: list
    reason: str


def connect(text, reason, *then):
    return Bad("connect", [ASKED, f"send {text}", *(then or ["hold"])], reason)


def socks(text, reason, *then):
    return Bad("socks5", [*CHOSEN, f"send {text}", *(then or ["hold"])], reason)


ROWS = {
    "connect-403": connect(r"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "connect_403"),
    "connect-407": connect(r"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\n\r\n", "connect_407"),
    "connect-502": connect(r"HTTP/1.1 502 Bad Gateway\r\n\r\n", "connect_502"),
    "connect-302": connect(r"HTTP/1.1 302 Found\r\nLocation: http://evil.test/\r\n\r\n", "connect_refused"),
    "connect-garbage": connect(r"SSH-2.0-OpenSSH_9.2\r\n", "connect_malformed"),
    "connect-bare-lf": connect(r"HTTP/1.1 200 OK\n\n", "connect_malformed"),
    "connect-endless": connect(r"HTTP/1.1 200 OK\r\nA: " + "a" * 9000, "connect_oversize"),
    "connect-half": connect(r"HTTP/1.1 200 OK\r\nA: b", "gateway_closed", "close"),
    "connect-closes": Bad("connect", [ASKED, "close"], "gateway_closed"),
    "connect-resets": Bad("connect", [ASKED, "abort"], "gateway_closed"),
    **{f"socks-{reply}": socks(rf"\x05\x{reply:02}\x00\x01" + r"\x00" * 6, f"socks_{reason}")
       for reply, reason in enumerate(REPLIES, 1)},
    "socks-no-method": Bad("socks5", [GREETED, r"send \x05\xff", "hold"], "socks_no_method"),
    "socks-password": Bad("socks5", [GREETED, r"send \x05\x02", "hold"], "socks_malformed"),
    "socks-early": Bad("socks5", [GREETED, r"send \x05\x00\x05\x00\x00\x01" + r"\x00" * 6, "hold"], "socks_malformed"),
    "socks-garbage": Bad("socks5", [GREETED, r"send HTTP/1.1 400 Bad Request\r\n\r\n", "hold"], "socks_malformed"),
    "socks-half": socks(r"\x05\x00\x00\x01\x00", "gateway_closed", "close"),
    "socks-closes": Bad("socks5", [GREETED, "close"], "gateway_closed"),
}


def host_of(name):
    return f"{name}.bad.test"


def serve(world, script):
    """A scripted gateway: the server, and where it is."""
    number = world.number()
    return Server(world.lab, world.internet.listen(number, 3128, V4), script), f"{address(number, V4)}:3128"


def refused(outpost, host, reason, flag="UF"):
    """HTTP gets 503, TLS is closed; the log says why."""
    where = ("--resolve", f"{host}:80:{ELSEWHERE}", "--resolve", f"{host}:443:{ELSEWHERE}")
    status, code = outpost.curl(f"http://{host}/", *where, "-o", "/dev/null", "-w", "%{http_code}")
    assert (status, code) == (0, "503"), (host, status, code)
    tried = "UF,URX" if flag == "UF" else flag  # requests are tried again, as Istio has it
    outpost.logged(response_code=503, response_flags=tried, authority=host, upstream_transport_failure_reason=reason)
    status, says = outpost.curl(f"https://{host}/", *where)
    assert status == 35, (host, status, says)
    outpost.logged(response_code=0, response_flags=flag, requested_server_name=host,
                   upstream_transport_failure_reason=reason)


def check_server(server, via, host, hasty=False):
    """Both clients were asked for, and nothing of theirs was said. hasty: the node may go before its script's end."""
    assert not server.finish() or hasty, server.wrongs
    for got in server.received:
        if via == "connect":
            assert got in [f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
                           for port in (80, 443)], got
        else:
            length = bytes([len(host)])
            requests = [b"\5\1\0\3" + length + host.encode() + port.to_bytes(2, "big") for port in (80, 443)]
            assert got == b"\5\1\0" or got[3:] in requests, got


def test_answers(world):
    servers = {name: serve(world, row.script) for name, row in ROWS.items()}
    ways = [Way(row.via, [servers[name][1]], [host_of(name)]) for name, row in ROWS.items()]
    with Outpost(world, *ways) as outpost:
        for name, row in ROWS.items():
            refused(outpost, host_of(name), row.reason)
        for name, row in ROWS.items():
            check_server(servers[name][0], row.via, host_of(name))


def test_silence(world):
    rows = {"connect-silent": Bad("connect", [ASKED, "hold"], "gateway_timeout"),
            "connect-drip": connect("HTTP/1.1 20", "gateway_timeout"),
            "socks-silent": Bad("socks5", ["hold"], "gateway_timeout"),
            "socks-silent-later": Bad("socks5", [*CHOSEN, "hold"], "gateway_timeout")}
    servers = {name: serve(world, row.script) for name, row in rows.items()}
    ways = [Way(row.via, [servers[name][1]], [host_of(name)]) for name, row in rows.items()]
    with Outpost(world, *ways, args=["--set", "connect=1000"]) as outpost:
        for name, row in rows.items():
            refused(outpost, host_of(name), row.reason)
            check_server(servers[name][0], row.via, host_of(name), hasty=True)


def test_nobody_listens(world):
    where = f"{address(world.number(), V4)}:3128"
    ways = [Way(via, [where], [f"{via}.test"]) for via in ("plain", "connect", "socks5", "proxy-v2")]
    with Outpost(world, *ways) as outpost:
        for way in ways:
            refused(outpost, way.hosts[0], "connection_refused", "UH")


def test_real_ones_that_refuse(world):
    ways = [Way("connect", [world.gateway(Squid, rule="deny").where], ["squid.test"]),
            Way("connect", [world.gateway(Tinyproxy, more="BasicAuth user secret").where], ["tinyproxy.test"]),
            Way("socks5", [world.gateway(Dante, rule="block").where], ["www.wikipedia.org"])]
    with Outpost(world, *ways) as outpost:
        refused(outpost, "squid.test", "connect_403")
        refused(outpost, "tinyproxy.test", "connect_407")
        refused(outpost, "www.wikipedia.org", "socks_not_allowed")


def test_real_ones_that_cannot_reach_it(world):
    """closed.test has an address, and nobody there."""
    kinds = {Squid: ("connect", "connect_503"), Tinyproxy: ("connect", "connect_500"),
             Dante: ("socks5", "socks_connection_refused")}
    for kind, (via, reason) in kinds.items():
        with Outpost(world, Way(via, [world.gateway(kind).where], ["closed.test"])) as outpost:
            refused(outpost, "closed.test", reason)


def test_the_next_endpoint_is_tried(world):
    """Nothing of the client's was said to one that refuses, so that another may be asked."""
    good = world.gateway(Tinyproxy)
    server, where = serve(world, [ASKED, r"send HTTP/1.1 503 Not now\r\n\r\n", "hold"])
    way = Way("connect", [f"{where} weight 1000000", f"{good.where} weight 1"], ["origin.test"])
    with Outpost(world, way) as outpost:
        for number in range(4):
            status, says = outpost.curl(f"http://origin.test/echo/{number}", "-d", "body")
            assert status == 0 and "body 4 " in says, says
            outpost.logged(response_code=200, upstream_host=good.where)
    assert not server.finish(), server.wrongs
    assert len(server.received) >= 1 and all(got.startswith(b"CONNECT origin.test:80 ") and got.endswith(b"\r\n\r\n")
                                             and got.count(b"\r\n") == 3 for got in server.received)


def test_a_header_that_is_refused(world):
    """To a PROXY header nothing is answered, so that a refusal is the end of the connection."""
    header = r"recv ^\r\n\r\n\x00\r\nQUIT\n\x21\x11(?s:.*)closes.test\x03\x00\x04(?s:....)"
    server, where = serve(world, [header, "abort"])
    with Outpost(world, Way("proxy-v2", [where], ["closes.test"])) as outpost:
        elsewhere = [word for port in (80, 443) for word in ("--resolve", f"closes.test:{port}:{ELSEWHERE}")]
        status, code = outpost.curl("http://closes.test/", *elsewhere, "-o", "/dev/null", "-w", "%{http_code}")
        assert (status, code) == (0, "503"), (status, code)
        outpost.logged(response_code=503, response_flags="~U[CR]", authority="closes.test")
        assert outpost.curl("https://closes.test/", *elsewhere)[0] == 35
        outpost.logged(response_code=0, response_flags="~U[CR]", requested_server_name="closes.test")
    assert not server.finish(), server.wrongs
