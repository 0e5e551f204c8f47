# SPDX-License-Identifier: MIT
"""Handshakes that have to succeed, with the servers and clients of others."""
import ssl
import threading

from peers import (gnutls_client, gnutls_server, haproxy_client, haproxy_server, nginx, openssl_client, openssl_server,
                   pair_options, stunnel)
from stage import Scripted, check

GET = "GET /who HTTP/1.0\r\nHost: a.test\r\n\r\n"
VERSIONS = {"bearssl": ["303"], "mbedtls": ["303", "304"]}


def done(result, version=None, rude=False, **wanted):
    """rude: the peer may end without close_notify, as some do."""
    if not rude or result["fault"] != "tls-truncated":
        check(result["end"] in ("closed", "cut"), f"not done: {result}")
        check(result["fault"] == "tls-ok", f"fault: {result}")
    check(version is None or result["version"] == version, f"not version {version}: {result}")
    for key, value in wanted.items():
        check(result[key] == value, f"{key} is not {value!r}: {result}")


def clients(stage, tests):
    versions = VERSIONS[stage.backend]
    for pair in ("ec", "ec384", "rsa", "chain"):
        for version in versions:
            flag = "-tls1_2" if version == "303" else "-tls1_3"
            tests.add(f"client/openssl/{pair}/{version}", lambda pair=pair, flag=flag, version=version: done(
                stage.client(openssl_server(stage, pair, flag), text="hello\n", cut=1)[0], version,
                peer="spiffe://plant/gateway"))
            level = "NORMAL:-VERS-ALL:+VERS-TLS1.2" if version == "303" else "NORMAL:-VERS-ALL:+VERS-TLS1.3"
            tests.add(f"client/gnutls/{pair}/{version}", lambda pair=pair, level=level, version=version: done(
                stage.client(gnutls_server(stage, pair, priority=level), text="hello\n", half=1)[0], version,
                received=6))
    tests.add("client/nginx", lambda: client_nginx(stage))
    tests.add("client/nginx mutual", lambda: client_nginx_mutual(stage))
    tests.add("client/haproxy mutual", lambda: client_haproxy(stage))
    tests.add("client/stunnel mutual", lambda: client_stunnel(stage))
    tests.add("client/gnutls mutual", lambda: client_gnutls_mutual(stage))
    tests.add("client/bundle of the distribution", lambda: client_bundle(stage))


def client_nginx(stage):
    ec, rsa = nginx(stage, f"{stage.backend}-nginx", [("ec", ""), ("rsa", "")])
    for port in (ec, rsa):
        done(stage.client(port, text=GET)[0])
    first, second, third = stage.client(ec, text=GET, sessions=4, count=3)
    done(first, resumed=False)
    done(second, resumed=True, peer="spiffe://plant/gateway")
    done(third, resumed=True)
    done(stage.client(ec, text=GET, count=2)[1], resumed=False)


def client_nginx_mutual(stage):
    more = f"ssl_client_certificate {stage.vault.ca}; ssl_verify_client on;"
    port, = nginx(stage, f"{stage.backend}-nginx-mutual", [("ec", more)])
    for name in ("node", "node-rsa"):
        out = stage.path("who")
        pair = stage.vault[name]
        done(stage.client(port, text=GET, cert=pair.chain, key=pair.key, out=out)[0])
        with open(out, encoding="ascii") as file:
            said = file.read()
        check(f"CN={name} SUCCESS" in said, said)


def plain_echo(stage):
    """A plain port that sends back what comes, for each connection."""
    def serve(sock):
        with sock:
            while data := sock.recv(65536):
                sock.sendall(data)

    def run():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.settimeout(30)
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    listener, port = stage.socket()
    listener.settimeout(None)
    threading.Thread(target=run, daemon=True).start()
    return port


def client_haproxy(stage):
    ports = haproxy_server(stage, plain_echo(stage), [("rsa", ""), ("ec", f"verify required ca-file {stage.vault.ca}")])
    node = stage.vault["node"]
    done(stage.client(ports[0], send=1000, half=1)[0], received=1000)
    done(stage.client(ports[1], send=100000, half=1, cert=node.chain, key=node.key)[0], received=100000)


def client_stunnel(stage):
    pair, node = stage.vault["ec"], stage.vault["node"]
    more = f"cert = {pair.chain}\nkey = {pair.key}\nCAfile = {stage.vault.ca}\nverifyChain = yes\nrequireCert = yes"
    port = stunnel(stage, plain_echo(stage), False, more)
    done(stage.client(port, send=100000, half=1, cert=node.chain, key=node.key)[0], received=100000)


def client_gnutls_mutual(stage):
    node = stage.vault["node"]
    port = gnutls_server(stage, "ec", "--require-client-cert", "--verify-client-cert", "--x509cafile", stage.vault.ca)
    done(stage.client(port, text="hello\n", half=1, cert=node.chain, key=node.key)[0], received=6)


def client_bundle(stage):
    """Every root that the distribution trusts can be read; none of them is ours."""
    result = stage.client(openssl_server(stage, "unknown"), ca="/etc/ssl/certs/ca-certificates.crt", text="x")[0]
    check(result["fault"] == "tls-unknown-ca", f"{result}")


def servers(stage, tests):
    flags = {"303": "-tls1_2", "304": "-tls1_3"}
    levels = {"303": "NORMAL:-VERS-ALL:+VERS-TLS1.2", "304": "NORMAL:-VERS-ALL:+VERS-TLS1.3"}
    for pair in ("ec", "ec384", "rsa", "chain"):
        for version in VERSIONS[stage.backend]:
            tests.add(f"server/openssl/{pair}/{version}", lambda pair=pair, version=version: server_with(
                stage, pair, version, lambda port: openssl_client(stage, port, flags[version])))
            tests.add(f"server/gnutls/{pair}/{version}", lambda pair=pair, version=version: server_with(
                stage, pair, version, lambda port: gnutls_client(stage, port, "--priority", levels[version])))
    tests.add("server/curl", lambda: server_with(stage, "ec", None, lambda port: stage.space.run(
        ["curl", "-s", "--http0.9", "--cacert", stage.vault.ca, "--resolve", f"a.test:{port}:127.0.0.1", "-d", "hello",
         f"https://a.test:{port}/"])))
    tests.add("server/openssl mutual", lambda: server_mutual(stage))
    tests.add("server/haproxy", lambda: server_plain(stage, lambda port: haproxy_client(
        stage, port, f"verify required ca-file {stage.vault.ca} sni str(a.test) verifyhost a.test "
                     f"crt {stage.vault['node'].both}")))
    tests.add("server/stunnel", lambda: server_plain(stage, lambda port: stunnel(
        stage, port, True, f"CAfile = {stage.vault.ca}\nverifyChain = yes\ncheckHost = a.test\nsni = a.test\n"
                           f"cert = {stage.vault['node'].chain}\nkey = {stage.vault['node'].key}")))
    tests.add("server/nginx", lambda: server_nginx(stage))
    tests.add("server/resumed by openssl", lambda: server_resumed(stage))
    tests.add("server/the hello was read before", lambda: server_early(stage))


def server_with(stage, pair, version, client):
    with stage.serve(pair, text="welcome\n", half=1) as served:
        finished = client(served.port)
        result = served.result()[0]
    done(result, version, rude=True, sni="a.test", peer="")
    check("welcome" in finished.stdout, f"the client: {finished.stdout}{finished.stderr}")


def server_mutual(stage):
    for name, peer in (("node", "spiffe://plant/node"), ("node-rsa", "node-rsa.test")):
        with stage.serve(ca=stage.vault.ca, text="welcome\n", half=1) as served:
            finished = openssl_client(stage, served.port, *pair_options(stage.vault[name]))
            done(served.result()[0], peer=peer)
        check("welcome" in finished.stdout, finished.stdout + finished.stderr)


def server_plain(stage, client):
    """Plain bytes through another's client come back."""
    with stage.serve(ca=stage.vault.ca, echo=1) as served:
        with stage.socket(client(served.port)) as sock:
            data = bytes(range(256)) * 500
            thread = threading.Thread(target=sock.sendall, args=(data,), daemon=True)
            thread.start()
            got = b""
            while len(got) < len(data) and (more := sock.recv(65536)):
                got += more
            thread.join(30)
        result = served.result()[0]
    check(got == data, f"{len(got)} bytes of {len(data)} came back, or others")
    check(result["peer"] == "spiffe://plant/node", result)


def server_nginx(stage):
    with stage.serve(text="HTTP/1.0 200 OK\r\n\r\nwelcome\n", half=1) as served:
        more = (f"location / {{ proxy_pass https://127.0.0.1:{served.port}; proxy_ssl_verify on; "
                f"proxy_ssl_name a.test; proxy_ssl_server_name on; proxy_ssl_trusted_certificate {stage.vault.ca}; }}")
        port, = nginx(stage, f"{stage.backend}-nginx-client", [("ec", more)])
        said = stage.space.run(["curl", "-sk", f"https://127.0.0.1:{port}/"])
        done(served.result()[0], rude=True, sni="a.test")
    check("welcome" in said.stdout, said.stdout + said.stderr)


def context(stage, version=ssl.TLSVersion.TLSv1_2):
    made = ssl.create_default_context(cafile=stage.vault.ca)
    made.maximum_version = version
    return made


def server_resumed(stage):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)[:len(VERSIONS[stage.backend])]:
        client, session, reused = context(stage, version), None, []
        with stage.serve(text="welcome\n", half=1, sessions=16, count=3) as served:
            for _ in range(3):
                with client.wrap_socket(stage.socket(served.port), server_hostname="a.test", session=session) as sock:
                    check(sock.recv(100) == b"welcome\n", "no welcome")
                    reused.append(sock.session_reused)
                    session = sock.session
                    sock.unwrap()
            results = served.result()
        check(reused == [False, True, True], f"reused: {reused}")
        check([result["resumed"] for result in results] == reused, results)


def server_early(stage):
    with stage.serve(text="welcome\n", half=1, early=1) as served:
        finished = openssl_client(stage, served.port)
        done(served.result()[0], sni="a.test")
    check("welcome" in finished.stdout, finished.stdout + finished.stderr)


def names(stage, tests):
    """What the certificate may say."""
    for title, options in {
        "a wildcard": {"name": "x.w.test"},
        "an address": {"name": "127.0.0.1"},
        "a URI": {"name": "other.test", "alt": "spiffe://plant/gateway"},
        "one of several": {"name": "other.test", "alt": ["no.test", "spiffe://no", "a.test"]},
        "another SNI": {"sni": "other.test"},
        "a pin": {"pin": stage.vault.pin("ec")},
        "one of several pins": {"pin": [stage.vault.pin("rsa"), stage.vault.pin("ec")]},
    }.items():
        tests.add(f"names/{title}", lambda options=options: done(
            stage.client(openssl_server(stage, "ec"), text="hello\n", cut=1, **options)[0]))


def alpn(stage, tests):
    tests.add("alpn/client", lambda: alpn_client(stage))
    tests.add("alpn/server", lambda: alpn_server(stage))


def alpn_client(stage):
    port = openssl_server(stage, "ec", "-alpn", "h2,http/1.1")
    done(stage.client(port, text="x\n", cut=1, alpn=["http/1.1", "h2"])[0], alpn="h2")
    done(stage.client(port, text="x\n", cut=1, alpn="http/1.1")[0], alpn="http/1.1")
    done(stage.client(port, text="x\n", cut=1)[0], alpn="")


def alpn_server(stage):
    for offered, agreed in (("http/1.1,h2", "h2"), ("http/1.1", "http/1.1"), (None, "")):
        with stage.serve(text="welcome\n", half=1, alpn=["h2", "http/1.1"]) as served:
            openssl_client(stage, served.port, *(["-alpn", offered] if offered else []))
            done(served.result()[0], alpn=agreed)


def scripted_tls(stage, script, pair="ec"):
    """A server in a thread that speaks TLS by Python's OpenSSL."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(stage.vault[pair].chain, stage.vault[pair].key)
    if stage.backend == "bearssl":
        made.maximum_version = ssl.TLSVersion.TLSv1_2

    def run(sock):
        with made.wrap_socket(sock, server_side=True) as wrapped:
            script(wrapped)
    return Scripted(stage, run)
