# SPDX-License-Identifier: MIT
"""What routes say of HTTP: which requests they are for, what is changed, answered, timed and tried again."""
from marks import both, rows, sanitize
from scene import GET, HEAD, SERVICES, expect, gateway, open_outs, outs, route

TWO = {"one": "one", "two": "two"}
GATEWAYS = gateway("one", "@{one}") + gateway("two", "@{two}")
DIRECT = HEAD + SERVICES
CRLF = "\\r\\n"


def rule(name, *lines, to="origin.test:80", sender="mesh", hosts="origin.test"):
    """A [route] of port 80 with more lines; to None: it answers."""
    text = route(name, hosts, to, sender, 80)
    return (text if to else text.replace("to = None\n", "")) + "".join(line + "\n" for line in lines)


def fields(head):
    """(name in lower case, value) of each field, in order."""
    return [(name.lower(), value) for name, _, value in
            (line.partition(": ") for line in head.replace("\r", "").split("\n\n")[0].split("\n")[1:])]


def values(head, name):
    return [value for field, value in fields(head) if field == name]


def echo(node, path="/echo", *more, host="origin.test"):
    """The head that the origin had."""
    code, body, error = node.curl(f"http://{host}{path}", *more)
    expect(code == "200", f"{path}: {code} {error}")
    return body


@both
@sanitize
def test_conditions(world):
    """By path, method and fields, the first that is for the request; none: 404, and nobody hears of it."""
    text = HEAD + SERVICES + GATEWAYS + outs("one", "two") \
        + rule("closed", "path = /secret, /private/*", "direct-response = 403", to=None) \
        + rule("posts", "method = POST", to="two") + rule("gold", "header x-tenant = gold*", to="two") \
        + rule("some", "path = /echo", to="one") + rule("pages", "path = /bytes/*", to="one")
    with world.plant(gateways=TWO) as plant:
        open_outs(plant, "one", "two")
        plant.start(text)
        node = plant["node"]
        for number, (name, path, more) in enumerate((
                ("one", "/echo", ()), ("one", "/echo?q=/secret", ()), ("two", "/echo", ("-d", "a")),
                ("two", "/status/200", ("-H", "X-Tenant: golden")), ("one", "/bytes/1", ("-H", "X-Tenant: silver")))):
            code, _, error = node.curl(f"http://origin.test{path}", *more)
            expect(code == "200", f"{path}: {code} {error}")
            expect(world.requests()[-1][0] == plant.address(name) and len(world.requests()) == number + 1,
                   f"{path} {more}: {world.requests()}")
        count = len(world.requests())
        for path, want in (("/secret", "403"), ("/private/", "403"), ("/status/200", "404"), ("/echo/", "404"),
                           ("/ECHO", "404"), ("/", "404")):
            code, _, error = node.curl(f"http://origin.test{path}")
            expect(code == want, f"{path}: {code} {error}")
        node.wait_log(4, response_code=404, response_flags="NR", response_code_details="route_not_found")
        node.wait_log(2, response_code=403, response_flags="-", response_code_details="direct_response", route_name="closed")
        # A field that is not passed on is none.
        node.talk("origin.test:80", "send GET / HTTP/1.1\\r\\nHost: origin.test\\r\\nX-Tenant: gold\\r\\n"
                  "Connection: x-tenant\\r\\n\\r\\n", r"recv ^HTTP/1.1 404 .*?\r\n\r\n", "close")
        expect(len(world.requests()) == count, f"{world.requests()[count:]}")


@rows(["/%73ecret", "/a/../secret", "//secret", "/./secret", "/a/..;/secret", "/%2e%2e/secret", "/%2fsecret",
       "/%5csecret", "/x/..", "/x/%252e%252e/secret"])
def test_paths_that_servers_read_differently(world, path):
    """Where routes go by paths: refused. Where they do not: passed on as they are."""
    text = DIRECT + rule("closed", "path = /secret*", "direct-response = 403", to=None) + rule("open") \
        + rule("any", hosts="other.test", to="other.test:80")
    with world.plant() as plant:
        plant.allow("node", "origin.test:80", "other.test:80")
        plant.start(text)
        node = plant["node"]
        node.talk("origin.test:80", GET.format(path=path, host="origin.test"), r"recv ^HTTP/1.1 400 .*?\r\n\r\n", "end", "close")
        node.wait_log(response_code=400, response_flags="DPE", response_code_details="http-path")
        expect(not world.requests(), f"{world.requests()}")
        node.talk("other.test:80", GET.format(path=path, host="other.test"), r"recv ^HTTP/1.1 200 .*?\r\n\r\n", "close")
        expect([request[3] for request in world.requests()] == [path], f"{world.requests()}")


@both
def test_redirects(world):
    """Location as Envoy builds it; the connection is kept, and HEAD gets the same head."""
    table = {
        "/a": ("scheme https", "https://origin.test/a?q=1", 301),
        "/b": ("authority other.test, code 302", "http://other.test/b?q=1", 302),
        "/c": ("uri /new/place, code 303", "http://origin.test/new/place?q=1", 303),
        "/d": ("port 8443, scheme https, code 307", "https://origin.test:8443/d?q=1", 307),
        "/e": ("authority other.test, uri /x, port 80, code 308", "http://other.test:80/x?q=1", 308),
    }
    text = DIRECT + "".join(rule(f"to-{path[1]}", f"path = {path}", f"redirect = {to}", to=None)
                            for path, (to, *_) in table.items())
    with world.plant() as plant:
        plant.start(text)
        node = plant["node"]
        script = []
        for path, (_, location, code) in table.items():
            for method in ("GET", "HEAD"):
                script += [f"send {method} {path}?q=1 HTTP/1.1{CRLF}Host: origin.test{CRLF}{CRLF}",
                           rf"recv ^HTTP/1.1 {code} [A-Z][\w ]+\r\n(?:(?!\r\n\r\n).)*location: {location.replace('?', '[?]')}"
                           r"\r\n(?:(?!\r\n\r\n).)*content-length: 0\r\n\r\n"]
        node.talk("origin.test:80", *script, "close")
        node.wait_log(2, response_code=308, route_name="to-e", response_flags="-", upstream_cluster="-")
        expect(not world.requests() and not node.dialled(), f"{world.requests()} {node.dialled()}")


@sanitize
def test_direct_responses(world):
    """Status, body and fields; HEAD gets no body, a request's own body is read past, 1.0 closes."""
    text = DIRECT + rule("stop", "path = /stop", "direct-response = 503", "direct-response-body = closed today",
                         "response-set server = nobody", "response-add x-why = holiday", to=None) \
        + rule("none", "path = /none", "direct-response = 204", to=None)
    with world.plant() as plant:
        plant.start(text)
        node = plant["node"]
        code, body, error = node.curl("http://origin.test/stop", "-i")
        head, _, text = body.replace("\r", "").partition("\n\n")
        expect(code == "503" and text == "closed today", f"{code} {error} {body}")
        for name, value in (("server", "nobody"), ("x-why", "holiday"), ("content-length", "12"),
                            ("content-type", "text/plain")):
            expect(values(head, name) == [value], f"{name}: {head}")
        node.talk("origin.test:80",
                  "send POST /stop HTTP/1.1\\r\\nHost: origin.test\\r\\nContent-Length: 5\\r\\n\\r\\nhello"
                  "HEAD /stop HTTP/1.1\\r\\nHost: origin.test\\r\\n\\r\\nGET /none HTTP/1.1\\r\\nHost: origin.test\\r\\n\\r\\n",
                  r"recv ^HTTP/1.1 503 .*?\r\n\r\nclosed today", r"recv ^HTTP/1.1 503 .*?content-length: 12\r\n.*?\r\n\r\n",
                  r"recv ^HTTP/1.1 204 (?:(?!content-length).)*?\r\n\r\n", "close")
        node.talk("origin.test:80", "send GET /stop HTTP/1.0\\r\\nHost: origin.test\\r\\n\\r\\n",
                  r"recv ^HTTP/1.1 503 .*?connection: close\r\n.*?\r\n\r\nclosed today", "end", "close")
        node.wait_log(2, bytes_sent=12, response_code=503, route_name="stop")
        expect(not node.dialled(), f"{node.dialled()}")


@both
@sanitize
def test_changes_of_fields(world):
    """Set, added and removed, at the node of the request, at the gateway of the response; framing stays."""
    text = HEAD + SERVICES + GATEWAYS + outs("two") \
        + rule("routed", "request-set x-set = new, with a comma", "request-add x-add = second", "request-remove = user-agent, x-gone",
               to="one") \
        + rule("out", "response-set content-type = text/html", "response-add x-added = 1", "response-remove = x-connection, x-request",
               sender="one")
    with world.plant(gateways=TWO) as plant:
        plant.allow("one", "origin.test:80")
        plant.start(text)
        code, body, error = plant["node"].curl(
            "http://origin.test/echo", "-i", "-H", "X-Set: old", "-H", "x-sET: older", "-H", "X-Add: first", "-H", "X-Gone: a",
            "-H", "X-Gone-Not: b", "-d", "twelve bytes")
        expect(code == "200", f"{code} {error}")
        answer, _, head = body.replace("\r", "").partition("\n\n")
        expect(head.startswith("POST /echo HTTP/1.1\n") and "body 12 " in head, head)
        for name, want in (("x-set", ["new, with a comma"]), ("x-add", ["first", "second"]), ("user-agent", []), ("x-gone", []),
                           ("x-gone-not", ["b"]), ("content-length", ["12"]), ("host", ["origin.test"])):
            expect(values(head, name) == want, f"{name}: {head}")
        for name, want in (("content-type", ["text/html"]), ("x-added", ["1"]), ("x-connection", []), ("x-request", [])):
            expect(values(answer, name) == want, f"{name}: {answer}")
        expect(len(values(answer, "content-length")) == 1, answer)


@both
def test_rewrites(world):
    """The prefix, all of an exact path, any path; Host, while what is dialled stays the destination."""
    text = DIRECT + rule("prefix", "path = /old/*", "rewrite-uri = /echo/") \
        + rule("exact", "path = /exact", "rewrite-uri = /echo/exact") \
        + rule("host", "path = /echo/host", "rewrite-authority = internal.example:8080") \
        + rule("any", "method = GET", "rewrite-uri = /echo/", "rewrite-authority = other.test")
    with world.plant() as plant:
        plant.allow("node", "origin.test:80")
        plant.start(text)
        for path, target, host in (
                ("/old/a/b?q=/old/", "/echo/a/b?q=/old/", "origin.test"), ("/old/", "/echo/", "origin.test"),
                ("/exact?x", "/echo/exact?x", "origin.test"), ("/echo/host", "/echo/host", "internal.example:8080"),
                ("/there", "/echo/there", "other.test"), ("/?y", "/echo/?y", "other.test")):
            head = echo(plant["node"], path)
            expect(head.startswith(f"GET {target} HTTP/1.1") and values(head, "host") == [host], f"{path}: {head}")
        plant["node"].talk("origin.test:80", "send GET http://origin.test?z HTTP/1.1\\r\\nHost: origin.test\\r\\n\\r\\n",
                           r"recv GET /echo/[?]z HTTP/1.1\r\n", "close")
        expect(len(world.requests("origin.test")) == 7 and len(world.requests()) == 7, f"{world.requests()}")


def test_a_head_that_grows_too_large(world):
    """More than a buffer holds: 431, and no origin hears of half a head."""
    text = DIRECT + rule("large", *(f"request-add x-large-{n} = {'a' * 900}" for n in range(40)))
    with world.plant() as plant:
        plant.allow("node", "origin.test:80")
        plant.start(text)
        code, _, error = plant["node"].curl("http://origin.test/echo")
        expect(code == "431", f"{code} {error}")
        expect(not world.requests(), f"{world.requests()}")


@both
@sanitize
def test_timeout(world):
    """An origin that never answers: 504; one that stops in the middle: cut off; one that answers is not disturbed."""
    with world.plant() as plant:
        plant.allow("node", "origin.test:80")
        plant.start(DIRECT + rule("timed", "timeout = 300ms", "path = /never, /stall") + rule("more", "timeout = 10s"))
        node = plant["node"]
        code, _, error = node.curl("http://origin.test/never")
        expect(code == "504", f"{code} {error}")
        node.wait_log(response_code=504, response_flags="UT", response_code_details="response_timeout", route_name="timed")
        expect(len(world.requests()) == 1, f"{world.requests()}")
        node.talk("origin.test:80", GET.format(path="/stall", host="origin.test"), r"recv ^HTTP/1.1 200 .*?half", "gone")
        node.wait_log(response_code=200, response_flags="UT", path="/stall")
        node.talk("origin.test:80", GET.format(path="/bytes/1000", host="origin.test"), r"recv ^HTTP/1.1 200 .*?\r\n\r\n", "take 1000",
                  GET.format(path="/echo", host="origin.test"), r"recv ^HTTP/1.1 200 .*?\r\n\r\n", "close")


def test_timeout_while_nobody_can_be_reached(world):
    """Packets that vanish: the route's time is over before connect's."""
    with world.plant() as plant:
        plant.allow("node", "origin.test:80")
        plant.start(DIRECT + "connect-timeout = 1m\n" + rule("timed", "timeout = 300ms"))
        address = plant.address("origin.test")
        world.swallow(address)
        try:
            code, _, error = plant["node"].curl("http://origin.test/")
        finally:
            world.swallow(address, False)
        expect(code == "504", f"{code} {error}")
        plant["node"].wait_log(response_code=504, response_flags="UT", response_code_details="response_timeout")


RETRIES = {
    "a status": ("/status/503", "503", 3, 503, "URX"),
    "gateway errors": ("/status/504", "gateway-error", 3, 504, "URX"),
    "5xx": ("/status/500", "5xx", 3, 500, "URX"),
    "reset": ("/reset-now", "reset", 3, 503, "UC,URX"),
    "an answer without head": ("/empty", "5xx", 3, 503, "UC,URX"),
    "what is no HTTP": ("/bad/garbage", "reset", 3, 502, "URX,UPE"),
    "half a head": ("/cut-head", "reset", 3, 503, "UC,URX"),
    "another status": ("/status/500", "503", 1, 500, "-"),
    "no gateway error": ("/status/500", "gateway-error", 1, 500, "-"),
    "not asked for": ("/reset-now", "connect-failure", 1, 503, "UC"),
    "after the head": ("/cut", "5xx, reset", 1, 200, "UC"),
    "after an early hint": ("/bad/nine-hints", "5xx, reset", 1, 502, "UPE"),
}


@sanitize
@rows(RETRIES)
def test_retries(world, row):
    """As often as the route says, for what it says, and only while the client has nothing of an answer."""
    path, on, count, status, flags = row
    with world.plant() as plant:
        plant.allow("node", "origin.test:80")
        plant.start(DIRECT + rule("again", "retries = 2", f"retry-on = {on}"))
        node = plant["node"]
        node.curl(f"http://origin.test{path}")
        node.wait_log(response_code=status, response_flags=flags, path=path)
        expect(len(world.requests()) == count, f"{len(world.requests())} requests, not {count}")


def test_a_body_is_sent_once(world):
    """What has a body is not sent again; without its bytes, it is."""
    with world.plant() as plant:
        plant.allow("node", "origin.test:80")
        plant.start(DIRECT + rule("again", "retries = 2", "retry-on = 503"))
        node = plant["node"]
        for more, count in ((("-d", "body"), 1), (("-H", "Transfer-Encoding: chunked", "-d", "body"), 1), (("-d", ""), 3)):
            before = len(world.requests())
            expect(node.curl("http://origin.test/status/503", *more)[0] == "503", "another status")
            expect(len(world.requests()) - before == count, f"{more}: {len(world.requests()) - before} requests")


def test_per_try_timeout(world):
    """Each try has its time; then it is the route's number that ends it."""
    with world.plant() as plant:
        plant.allow("node", "origin.test:80")
        plant.start(DIRECT + rule("again", "retries = 1", "retry-on = reset", "per-try-timeout = 200ms"))
        node = plant["node"]
        code, _, error = node.curl("http://origin.test/never")
        expect(code == "504", f"{code} {error}")
        node.wait_log(response_code=504, response_flags="UT,URX", response_code_details="upstream_per_try_timeout")
        expect(len(world.requests()) == 2, f"{world.requests()}")


def test_connect_failure_is_tried_again(world):
    """Nobody listens: the first try and as many as the route says; without retries, one."""
    text = HEAD + SERVICES.replace("third.test", "refuses.test") + rule("again", "retries = 3", hosts="refuses.test", to="refuses.test:80")
    with world.plant() as plant:
        plant.allow("node", "refuses.test:80")
        plant.start(text)
        node = plant["node"]
        for more, flags, count in (("retries = 3", "UF,URX", 4), ("retries = 0", "UF", 1)):
            plant.reload(text.replace("retries = 3", more).replace("= plant\n", f"= {more[-1]}\n"), "node")
            before = len(node.dialled())
            expect(node.curl("http://refuses.test/", "-d", "a body that was not sent")[0] == "503", "another status")
            node.wait_log(response_code=503, response_flags=flags, authority="refuses.test")
            dialled = node.dialled()[before:]
            expect(len(dialled) == count, f"{more}: {dialled}")


def test_other_endpoint_is_preferred(world):
    """One of two endpoints says 503 to all: every request is served by the other one."""
    text = HEAD + "[service origin]\nhosts = origin.test\nports = http:80\nresolution = static\n" \
        "endpoints = @{tls.test}, @{other.test}\n" + rule("again", "retries = 1", "retry-on = 503")
    with world.plant() as plant:
        plant.allow("node", "tls.test:80", "other.test:80")
        plant.start(text)
        server = world.serve("tls.test:80", r"recv ^GET .*?\r\n\r\n",
                             "send HTTP/1.1 503 Busy\\r\\ncontent-length: 0\\r\\nconnection: close\\r\\n\\r\\n", "hold")
        for number in range(12):
            code, _, error = plant["node"].curl("http://origin.test/bytes/10")
            expect(code == "200", f"request {number}: {code} {error}")
        expect(server.clients > 0, "the other one was never asked")
