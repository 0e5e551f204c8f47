# SPDX-License-Identifier: MIT
"""What has to be refused, each with its own reason."""
import os
import socket
import ssl
import subprocess
import threading
import time

from cases_good import GET, scripted_tls
from peers import WEAK, gnutls_server, haproxy_server, nginx, openssl_client, openssl_server, pair_options
from stage import ADDRESS, Scripted, check

DAY = 86400
# certificate: the reasons that fit
CERTIFICATES = {
    "missing": "tls-missing-issuer",
    "self": "tls-self-signed",
    "unknown": "tls-unknown-ca",
    "weak": "tls-weak-key",
    "sha1": "tls-weak-signature",
    "common-name": "tls-wrong-host",
    "client-only": "tls-wrong-usage",
    "critical": "tls-bad-certificate",
    "not-ca": "tls-not-ca",
    "large": "tls-large-certificate",
    "long": "tls-long-chain",
    "damaged": "tls-bad-signature",
}

UNLOADABLE = ("weak", "sha1")  # haproxy itself refuses them


def refused(result, *faults, end="refused"):
    check(result["end"] == end, f"{end} was expected: {result}")
    check(result["fault"] in faults, f"{' or '.join(faults)} was expected: {result}")
    check(end != "refused" or result["received"] == 0, f"something was read: {result}")


def certificates(stage, tests):
    ports = {}

    def prepare(kind, make):
        if kind not in ports:
            names = [name for name in CERTIFICATES if kind != "haproxy" or name not in UNLOADABLE]
            ports[kind] = dict(zip(names, make()))
        return ports[kind]

    makers = {
        "nginx": lambda: nginx(stage, f"{stage.backend}-nginx-bad", [(name, "") for name in CERTIFICATES]),
        "haproxy": lambda: haproxy_server(stage, 9, [(name, "") for name in CERTIFICATES if name not in UNLOADABLE]),
    }
    for kind, make in makers.items():
        for name, fault in CERTIFICATES.items():
            if kind == "haproxy" and name in UNLOADABLE:
                continue
            tests.add(f"refused/{kind}/{name}", lambda kind=kind, make=make, name=name, fault=fault: refused(
                stage.client(prepare(kind, make)[name], text=GET)[0], fault))
    for name, fault in CERTIFICATES.items():
        tests.add(f"refused/openssl/{name}", lambda name=name, fault=fault: refused(
            stage.client(openssl_server(stage, name), text=GET)[0], fault))
    for name in ("missing", "self", "unknown", "common-name", "client-only", "long"):
        tests.add(f"refused/gnutls/{name}", lambda name=name: refused(
            stage.client(gnutls_server(stage, name), text=GET)[0], CERTIFICATES[name]))


def names(stage, tests):
    now = int(time.time())
    for title, options, fault in (
        ("wrong host", {"name": "b.test"}, "tls-wrong-host"),
        ("no name at all", {"name": None}, "tls-wrong-host"),
        ("two labels for a star", {"name": "x.y.w.test"}, "tls-wrong-host"),
        ("no label for a star", {"name": "w.test"}, "tls-wrong-host"),
        ("wrong address", {"name": "127.0.0.2"}, "tls-wrong-host"),
        ("name instead of the alternatives", {"alt": ["spiffe://plant/other", "b.test"]}, "tls-wrong-host"),
        ("wrong pin", {"pin": stage.vault.pin("rsa")}, "tls-wrong-pin"),
        ("expired", {"now": now + 20 * DAY}, "tls-expired"),
        ("not yet valid", {"now": now - DAY}, "tls-not-yet-valid"),
        ("other CA", {"ca": stage.vault.other_ca}, "tls-missing-issuer"),
    ):
        tests.add(f"refused/{title}", lambda options=options, fault=fault: refused(
            stage.client(openssl_server(stage, "ec"), text="hello\n", **options)[0], fault))


def clients(stage, tests):
    """The driver as a server refuses clients."""
    now = int(time.time())
    for title, pair, options, faults in (
        ("none", None, {}, ("tls-no-certificate",)),
        ("of another CA", "node-other", {}, ("tls-unknown-ca",)),
        ("self-signed", "self", {}, ("tls-self-signed",)),
        ("for servers", "server-only", {}, ("tls-wrong-usage",)),
        ("weak", "weak", {}, ("tls-weak-key",)),
        ("expired", "node", {"now": now + 40 * DAY}, ("tls-expired",)),
        ("not yet valid", "node", {"now": now - DAY}, ("tls-not-yet-valid",)),
        ("other name", "node", {"alt": "spiffe://plant/other"}, ("tls-wrong-host",)),
        ("other pin", "node", {"pin": stage.vault.pin("ec")}, ("tls-wrong-pin",)),
        ("missing intermediate", "missing", {}, ("tls-missing-issuer",)),
    ):
        tests.add(f"refused client/{title}", lambda pair=pair, options=options, faults=faults: client_refused(
            stage, pair, options, faults))


def client_refused(stage, pair, options, faults):
    with stage.serve(ca=stage.vault.ca, text="sesame\n", **options) as served:
        finished = openssl_client(stage, served.port, *(pair_options(stage.vault[pair]) if pair else []))
        refused(served.result()[0], *faults)
    check("sesame" not in finished.stdout, finished.stdout)


def versions(stage, tests):
    for flag in ("-tls1", "-tls1_1"):
        tests.add(f"refused version/server{flag}", lambda flag=flag: refused(
            stage.client(openssl_server(stage, "rsa", flag), text="x\n")[0], "tls-alert-protocol-version",
            "tls-alert-handshake-failure"))
        tests.add(f"refused version/client{flag}", lambda flag=flag: version_refused(stage, flag))
    for version, name in ((0, "SSL 3"), (1, "TLS 1.0"), (2, "TLS 1.1")):
        tests.add(f"refused version/a hello's answer is {name}", lambda version=version: raw_server(
            stage, server_hello(version), "tls-old-version"))
        tests.add(f"refused version/a hello of {name}", lambda version=version: raw_client(
            stage, client_hello(version), "tls-old-version"))
    tests.add("refused version/a hello of SSL 2", lambda: raw_client(
        stage, bytes([0x80, 28, 1, 0, 2, 0, 3, 0, 0, 0, 16, 1, 0, 0x80]) + bytes(16), "tls-not-tls"))
    for cipher in ("ECDHE-RSA-AES128-SHA", "AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"):
        tests.add(f"refused cipher/server {cipher}", lambda cipher=cipher: refused(
            stage.client(openssl_server(stage, "rsa", "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0"), text="x\n")[0],
            "tls-alert-handshake-failure"))
        tests.add(f"refused cipher/client {cipher}", lambda cipher=cipher: cipher_refused(stage, cipher))
    if stage.backend == "mbedtls":
        tests.add("refused version/TLS 1.2 where 1.3 is asked for", lambda: refused(
            stage.client(openssl_server(stage, "ec", "-tls1_2"), text="x\n", tls13=1)[0], "tls-alert-protocol-version"))


def version_refused(stage, flag):
    with stage.serve("rsa", text="sesame\n") as served:
        finished = openssl_client(stage, served.port, flag)
        refused(served.result()[0], "tls-old-version")
    check("sesame" not in finished.stdout, finished.stdout)


def cipher_refused(stage, cipher):
    with stage.serve("rsa", text="sesame\n") as served:
        openssl_client(stage, served.port, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
        refused(served.result()[0], "tls-no-cipher")


def record(kind, body, version=1):
    return bytes([kind, 3, version]) + len(body).to_bytes(2, "big") + body


def handshake(kind, body):
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def server_hello(version):
    return record(22, handshake(2, bytes([3, version]) + bytes(32) + b"\0" + b"\xc0\x2f" + b"\0"), version)


def client_hello(version):
    return record(22, handshake(1, bytes([3, version]) + bytes(32) + b"\0" + b"\0\x04\xc0\x2f\xc0\x13" + b"\x01\0"),
                  min(version, 1))


def raw_server(stage, answer, *faults):
    def script(sock):
        sock.recv(4096)
        sock.sendall(answer)
        try:
            while sock.recv(4096):  # an alert, then the end
                pass
        except ConnectionResetError:
            pass

    with Scripted(stage, script) as server:
        result = stage.client(server.port, text="sesame\n")[0]
    refused(result, *faults)


def raw_client(stage, hello, *faults, role=None):
    with stage.serve("rsa", text="sesame\n", **(role or {})) as served, stage.socket(served.port) as sock:
        sock.sendall(hello)
        said = b""
        try:
            while more := sock.recv(4096):
                said += more
        except ConnectionResetError:
            pass
        refused(served.result()[0], *faults)
    check(b"sesame" not in said, said)


def wire(stage, tests):
    bad = {
        "HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "tls-not-tls"),
        "SSH": (b"SSH-2.0-OpenSSH_9\r\n", "tls-not-tls"),
        "zeros": (bytes(64), "tls-not-tls"),
        "a handshake of nonsense": (record(22, handshake(77, bytes(60)), 3), "tls-protocol"),
        "data before a handshake": (record(23, bytes(64), 3), "tls-protocol"),
        "an oversize record": (b"\x16\3\3\xff\xff" + bytes(20000), "tls-bad-record", "tls-protocol"),
        "an alert": (record(21, b"\2\x28", 3), "tls-alert-handshake-failure"),
    }
    for title, (data, *faults) in bad.items():
        for who, play in (("server", raw_server), ("client", raw_client)):
            tests.add(f"refused wire/{who} says {title}", lambda play=play, data=data, faults=faults: play(
                stage, data, *faults))
    tests.add("refused wire/server says nothing", lambda: nothing(stage))
    tests.add("refused wire/client says nothing", lambda: client_nothing(stage))
    tests.add("refused wire/more than a hello was read before", lambda: raw_client(
        stage, client_hello(3) + record(22, handshake(16, bytes(40)), 3), "tls-protocol", "tls-no-cipher", "tls-eof",
        role={"early": 1}))


def nothing(stage):
    with Scripted(stage, lambda sock: sock.recv(4096)) as server:
        refused(stage.client(server.port, text="sesame\n")[0], "tls-eof", "tls-io")


def client_nothing(stage):
    with stage.serve(text="sesame\n") as served:
        stage.socket(served.port).close()
        refused(served.result()[0], "tls-eof")


def truncation(stage, tests):
    def plain(sock):
        sock.sendall(b"half of it")

    def cut_record(sock):
        """A record's header, and less than it says."""
        raw = socket.socket(fileno=os.dup(sock.fileno()))
        sock.sendall(b"half of it")
        raw.sendall(b"\x17\3\3\x01\0" + bytes(20))
        raw.close()

    def damaged(sock):
        raw = socket.socket(fileno=os.dup(sock.fileno()))
        raw.sendall(record(23, bytes(100), 3))
        raw.close()

    for title, script, received, fault in (("between records", plain, 10, "tls-truncated"),
                                           ("within a record", cut_record, 10, "tls-truncated"),
                                           ("a damaged record", damaged, 0, "tls-bad-record")):
        tests.add(f"refused later/{title}", lambda script=script, received=received, fault=fault: cut(
            stage, script, received, fault))
    tests.add("refused later/renegotiation by the server", lambda: renegotiation_client(stage))
    tests.add("refused later/renegotiation by the client", lambda: renegotiation_server(stage))
    tests.add("refused later/garbage after the handshake", lambda: cut(
        stage, lambda sock: os.write(sock.fileno(), b"garbage that is no record"), 0, "tls-not-tls", "tls-bad-record"))


def cut(stage, script, received, *faults):
    def ignoring(sock):
        try:
            sock.recv(100)  # what is unread at the end would make a reset of it
            script(sock)
        except OSError:
            pass

    with scripted_tls(stage, ignoring) as server:
        result = stage.client(server.port, text="hello\n")[0]
    refused(result, *faults, end="broken")
    check(result["received"] == received, result)


def interactive(stage, argv, ready):
    """A program on a pipe; once `ready` is in its output it is told to renegotiate."""
    process = subprocess.Popen(stage.space.command(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env=stage.lab.env, start_new_session=True)
    handle = stage.lab.at_exit(process.kill)

    def close():
        process.kill()
        process.communicate()
        stage.lab.now(handle)

    def renegotiate():
        said = b""
        while ready not in said:
            more = os.read(process.stdout.fileno(), 4096)
            check(more, f"it ended: {said}")
            said += more
        process.stdin.write(b"R\n")
        process.stdin.flush()
    return renegotiate, close


def renegotiation_client(stage):
    port, pair = next(stage.ports), stage.vault["ec"]
    renegotiate, close = interactive(stage, [
        "openssl", "s_server", "-accept", f"{ADDRESS}:{port}", *pair_options(pair), "-tls1_2", "-cipher", WEAK],
        b"hello")
    try:
        stage.listening(port)
        thread = threading.Thread(target=renegotiate, daemon=True)
        thread.start()
        refused(stage.client(port, text="hello\n")[0], "tls-renegotiation", end="broken")
        thread.join(30)
    finally:
        close()


def renegotiation_server(stage):
    with stage.serve(text="welcome\n") as served:
        renegotiate, close = interactive(stage, [
            "openssl", "s_client", "-connect", f"{ADDRESS}:{served.port}", "-tls1_2", "-CAfile", stage.vault.ca],
            b"welcome")
        try:
            renegotiate()
            refused(served.result()[0], "tls-renegotiation", end="broken")
        finally:
            close()


def alpn(stage, tests):
    tests.add("refused alpn/server", lambda: alpn_refused(stage))


def alpn_refused(stage):
    with stage.serve(text="sesame\n", alpn="h2") as served:
        finished = openssl_client(stage, served.port, "-alpn", "spdy/1")
        refused(served.result()[0], "tls-no-alpn")
    check("no application protocol" in finished.stderr, finished.stderr)


def alerts(stage, tests):
    """The peer is told why, and what it tells us is in our reason."""
    for title, options, word in (("unknown CA", {"ca": stage.vault.other_ca}, "unknown ca"),
                                 ("wrong host", {"name": "b.test"}, "bad certificate"),
                                 ("expired", {"now": int(time.time()) + 20 * DAY}, "certificate expired")):
        tests.add(f"alert/{title}", lambda options=options, word=word: alert_told(stage, options, word))
    tests.add("alert/nobody showed a certificate", lambda: alert_heard(stage))


def alert_told(stage, options, word):
    said = []
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(stage.vault["ec"].chain, stage.vault["ec"].key)

    def script(sock):
        try:
            made.wrap_socket(sock, server_side=True).recv(10)
        except ssl.SSLError as error:
            said.append(str(error))

    with Scripted(stage, script) as server:
        stage.client(server.port, text="sesame\n", **options)
    check(said and word in said[0], f"the server heard {said}")


def alert_heard(stage):
    port, = haproxy_server(stage, 9, [("ec", f"verify required ca-file {stage.vault.ca}")])
    result = stage.client(port, text="x\n")[0]
    check(result["fault"] in ("tls-alert-handshake-failure", "tls-alert-certificate-required"), result)


def settings(stage, tests):
    vault = stage.vault
    pem = open(vault["ec"].chain, encoding="ascii").read()
    files = {
        "empty": "",
        "text": "no certificate at all\n",
        "cut": pem[:len(pem) // 2],
        "digits": pem.replace("M", "!", 1),
        "encrypted": "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    }
    paths = {name: stage.lab.write(f"{stage.backend}-settings/{name}", text) for name, text in files.items()}
    ec, rsa = vault["ec"], vault["rsa"]
    for title, role, options, fault, what in (
        ("no CA", "client", {}, "tls-missing", "ca"),
        ("empty CA", "client", {"ca": paths["empty"]}, "tls-missing", "ca"),
        ("no certificate in the CA", "client", {"ca": paths["text"]}, "tls-missing", "ca"),
        ("half a CA", "client", {"ca": paths["cut"]}, "tls-bad-pem", "ca"),
        ("digits", "client", {"ca": paths["digits"]}, "tls-bad-pem", "ca"),
        ("a weak CA", "client", {"ca": vault["weak"].cert}, "tls-weak-key", "ca"),
        ("a server without certificate", "server", {}, "tls-missing", "certificate"),
        ("no key", "server", {"cert": ec.chain}, "tls-missing", "private-key"),
        ("a key without certificate", "client", {"ca": vault.ca, "key": ec.key}, "tls-missing", "certificate"),
        ("another's key", "server", {"cert": ec.chain, "key": vault["chain"].key}, "tls-key-mismatch", "private-key"),
        ("a key of another kind", "server", {"cert": ec.chain, "key": rsa.key}, "tls-key-mismatch", "private-key"),
        ("an encrypted key", "server", {"cert": ec.chain, "key": paths["encrypted"]}, "tls-missing", "private-key"),
        ("a certificate for a key", "server", {"cert": ec.chain, "key": ec.chain}, "tls-missing", "private-key"),
        ("a weak key", "server", {"cert": vault["weak"].chain, "key": vault["weak"].key}, "tls-weak-key",
         "private-key"),
        ("a long name", "client", {"ca": vault.ca, "alt": "a." * 200}, "tls-bad-name", "subject-alt-names"),
    ):
        tests.add(f"settings/{title}", lambda role=role, options=options, fault=fault, what=what: settings_refused(
            stage, role, options, fault, what))
    tests.add("settings/DER", lambda: der(stage))
    if stage.backend == "bearssl":
        tests.add("settings/TLS 1.3", lambda: settings_refused(
            stage, "client", {"ca": vault.ca, "tls13": 1}, "tls-none", "min-version"))


def settings_refused(stage, role, options, fault, what):
    result = stage.settings(role, **options)
    check((result["end"], result["fault"], result["object"]) == ("settings", fault, what), result)


def der(stage):
    """The same credentials as DER."""
    files = {}
    for name, argv in (("ca", ["x509", "-in", stage.vault["root"].cert]),
                       ("cert", ["x509", "-in", stage.vault["ec"].cert]),
                       ("key", ["pkey", "-in", stage.vault["ec"].key])):
        files[name] = stage.path(f"{name}.der")
        stage.lab.must(["openssl", *argv, "-outform", "DER", "-out", files[name]])
    with stage.serve(text="welcome\n", half=1, cert=files["cert"], key=files["key"]) as served:
        result = stage.client(served.port, ca=files["ca"], half=1)[0]
    check(result["end"] == "closed" and result["received"] == 8, result)

