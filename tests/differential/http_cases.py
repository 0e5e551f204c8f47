# SPDX-License-Identifier: MIT
"""Requests that the proxy gets, and what it is to do with each."""
import dataclasses

FORWARD = "forward"
HOST = "Host: allowed.test\r\n"
LINE = "GET / HTTP/1.1\r\n"
NGINX, H11, PARSER = "nginx", "h11", "http-parser"


@dataclasses.dataclass
class Case:
    row: str
    title: str
    data: bytes
    want: list           # for each request FORWARD or the reason code that the access log has
    out: bytes = None    # all that is forwarded
    host: str = "allowed.test"  # that judges have to read
    to: str = "allowed.test"
    port: int = 80
    step: int = 0        # bytes of each segment
    unread: tuple = ()   # judges that do not know this kind of request, though it is legal
    late: bytes = b""    # sent after the first answer
    tunnel: bool = False # not taken for HTTP/1, so refused without an answer


def raw(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def allow(row, title, text, out=None, **more):
    return Case(row, title, raw(text), [FORWARD], raw(out) if out is not None else None, **more)


def deny(row, title, text, code, **more):
    return Case(row, title, raw(text), [code], **more)


def get(fields="", host=HOST, line=LINE):
    return line + host + fields + "\r\n"


def post(fields, body="", host=HOST, version="1.1"):
    return f"POST / HTTP/{version}\r\n" + host + fields + "\r\n" + body


def sent(fields="", line=LINE, host="allowed.test"):
    return f"{line}host: {host}\r\n{fields}\r\n"


def hosted(value, line=LINE):
    return get(host=f"Host:{value}\r\n", line=line)


LETTERS = "abcdefghijklmnopqrstuvwxyz-0123456789.wild.test"
CHUNKED = "Transfer-Encoding: chunked\r\n"
WEBSOCKET = ("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")


# What goes upstream of it where the service allows it.
WEBSOCKET_SENT = ("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                  "connection: upgrade\r\nupgrade: websocket\r\n")


def hosts():
    invalid, port = "http-host-invalid", "http-host-port"
    forms = [
        ("H-02", "a list", " allowed.test, evil.test", invalid),
        ("H-02", "a list without a space", " allowed.test,evil.test", invalid),
        ("H-04", "userinfo", " allowed.test@evil.test", invalid),
        ("H-04", "userinfo of the same", " a@allowed.test", invalid),
        ("H-04", "userinfo and password", " allowed.test:80@evil.test", port),
        ("H-05", "another port", " allowed.test:8080", port), ("H-05", "a word for a port", " allowed.test:evil", port),
        ("H-05", "an empty port", " allowed.test:", port), ("H-05", "port 99999", " allowed.test:99999", port),
        ("H-05", "port 007", " allowed.test:007", port), ("H-05", "port 080", " allowed.test:080", port),
        ("H-05", "port 65616, 80 in 16 bits", " allowed.test:65616", port),
        ("H-05", "two ports", " allowed.test:80:80", port),
        ("H-05", "a port alone", " :80", invalid),
        ("H-07", "byte ff", " allowed.test\xff", invalid), ("H-07", "a space", " allowed.test evil.test", invalid),
        ("H-07", "a tab", " allowed.test\tevil.test", invalid), ("H-07", "a slash", " allowed.test/evil", invalid),
        ("H-07", "a number sign", " allowed.test#evil", invalid),
        ("H-07", "a question mark", " allowed.test?evil", invalid),
        ("H-07", "a backslash", " evil.test\\allowed.test", invalid),
        ("H-07", "a percent sign", " allowed%2etest", invalid),
        ("H-07", "a NUL", " allowed.test\0.evil.test", "http-line-end"),
        ("H-07", "a control byte", " allowed.test\x01", "http-line-end"),
        ("H-07", "DEL", " allowed.test\x7f", "http-line-end"),
        ("H-08", "a short quad", " 203.881930", invalid), ("H-08", "127.1", " 127.1", invalid),
        ("H-08", "a number", " 2130706433", invalid), ("H-08", "hexadecimal", " 0x7f000001", invalid),
        ("H-08", "octal", " 0177.0.0.1", invalid), ("H-08", "a quad with leading zeros", " 203.000.113.012", invalid),
        ("H-08", "a quad and a dot", " 203.0.113.12.", invalid), ("H-08", "a zone", " [fe80::1%eth0]", invalid),
        ("H-08", "a zone, escaped", " [fe80::1%25eth0]", invalid), ("H-08", "IPvFuture", " [v1.x]", invalid),
        ("H-08", "a quad in brackets", " [203.0.113.12]", invalid),
        ("H-08", "v6 without brackets", " 2001:db8::1", invalid),
        ("H-08", "v6 and letters", " [2001:db8::1]evil", invalid),
        ("H-08", "an open bracket", " [2001:db8::1", invalid),
        ("H-08", "a mapped loopback", " [::ffff:127.0.0.1]", "unlisted-address"),
        ("H-08", "an unlisted quad", " 203.0.113.66", "unlisted-address"),
        ("names", "empty", "", invalid), ("names", "two final dots", " allowed.test..", invalid),
        ("names", "an empty label", " allowed..test", invalid), ("names", "a dot first", " .allowed.test", invalid),
        ("names", "a label of 64 bytes", " " + "a" * 64 + ".wild.test", invalid),
        ("names", "255 bytes", " " + "a." * 122 + "a.wild.test", invalid),
        ("names", "a wildcard", " *.wild.test", invalid),
        ("names", "UTF-8", " b\xc3\xbccher.wild.test", invalid),
        ("names", "another name", " evil.test", "unlisted"),
        ("names", "a listed name and more", " allowed.test.evil.test", "unlisted"),
        ("names", "letters before a listed name", " evilallowed.test", "unlisted"),
        ("names", "the apex of a wildcard", " wild.test", "unlisted"),
        ("names", "letters before a wildcard's suffix", " evilwild.test", "unlisted"),
        ("names", "a name for another port", " tls-only.test", "other-port"),
    ]
    long = "a." * 121 + "a.wild.test"
    return [
        allow("plain", "curl", get("User-Agent: curl/7.88.1\r\nAccept: */*\r\n"),
              sent("User-Agent: curl/7.88.1\r\nAccept: */*\r\n")),
        deny("H-01", "two Hosts, evil last", get("Host: evil.test\r\n"), "http-host-duplicate"),
        deny("H-01", "two Hosts, evil first", get(HOST, "Host: evil.test\r\n"), "http-host-duplicate"),
        deny("H-01", "two Hosts, the same", get("A: b\r\n" + HOST), "http-host-duplicate"),
        deny("H-01", "two Hosts, one in upper case", get("HOST: evil.test\r\n"), "http-host-duplicate"),
        *(deny(row, title, hosted(value), code) for row, title, value, code in forms),
        allow("H-05", "the port of the connection", hosted(" allowed.test:80"), sent()),
        allow("H-05", "another port, named", hosted(" allowed.test:8080"), sent(host="allowed.test:8080"), port=8080,
              host="allowed.test:8080"),
        allow("H-05", "another port, not named", get(), sent(host="allowed.test:8080"), port=8080,
              host="allowed.test:8080"),
        deny("H-05", "port 80 on another", hosted(" allowed.test:80"), "http-host-port", port=8080),
        allow("H-06", "a final dot", hosted(" allowed.test."), sent()),
        allow("H-06", "upper case", "GET / HTTP/1.1\r\nHOST: ALLOWED.Test\r\n\r\n", sent()),
        allow("H-06", "every letter in upper case", hosted(" " + LETTERS.upper()), sent(host=LETTERS), host=LETTERS),
        allow("H-06", "white space around", hosted("\t allowed.test \t"), sent()),
        allow("H-08", "a listed quad", hosted(" 203.0.113.12"), sent(host="203.0.113.12"), host="203.0.113.12"),
        allow("H-08", "a listed v6 address", hosted(" [2001:DB8:113:0::12]"), sent(host="[2001:db8:113::12]"),
              host="[2001:db8:113::12]"),
        allow("names", "a wildcard", hosted(" x.y.wild.test"), sent(host="x.y.wild.test"), host="x.y.wild.test"),
        allow("names", "253 bytes", hosted(" " + long), sent(host=long), host=long),
        allow("T-01", "the address of another", get(), sent(), to="evil.test"),
    ]


def targets():
    def line(target, method="GET"):
        return f"{method} {target} HTTP/1.1\r\n"

    def one(row, title, target, code, host=HOST):
        return deny(row, title, get(host=host, line=line(target)), code)
    bad = "http-start-line"
    return [
        allow("H-03", "absolute-form", get(line=line("HTTP://Allowed.test:80/a?b")), sent(line=line("/a?b"))),
        allow("H-03", "absolute-form without a path", get(line=line("http://allowed.test")), sent()),
        allow("H-03", "absolute-form with a query", get(line=line("http://allowed.test?a=/b")),
              sent(line=line("/?a=/b"))),
        one("H-03", "absolute-form, evil in the target", "http://evil.test/", "http-host-target"),
        one("H-03", "absolute-form, evil in Host", "http://allowed.test/", "http-host-target", "Host: evil.test\r\n"),
        one("H-03", "absolute-form, name against address", "http://allowed.test/", "http-host-target",
            "Host: 203.0.113.12\r\n"),
        one("H-03", "absolute-form without Host", "http://allowed.test/", "http-host-missing", ""),
        one("H-03", "https in the target", "https://allowed.test/", bad),
        one("H-03", "another scheme", "gopher://allowed.test/", bad),
        one("H-03", "no authority", "http:///a", "http-host-invalid"),
        one("H-04", "userinfo in the target", "http://allowed.test@evil.test/", "http-host-invalid"),
        one("H-04", "userinfo, the same host", "http://u:p@allowed.test/", "http-host-port"),
        one("H-04", "userinfo, no password", "http://u@allowed.test/", "http-host-invalid"),
        one("H-05", "another port in the target", "http://allowed.test:81/", "http-host-port"),
        one("H-19", "CONNECT to the listed", "allowed.test:80", bad),
        deny("H-19", "CONNECT", get(line=line("allowed.test:443", "CONNECT")), "http-method"),
        deny("H-19", "CONNECT evil", get(line=line("evil.test:443", "CONNECT")), "http-method"),
        deny("H-19", "CONNECT with a path", get(line=line("/", "CONNECT")), "http-method"),
        one("H-26", "a space", "/a b", bad), one("H-26", "a tab", "/a\tb", bad),
        one("H-26", "a NUL", "/a\0b", "http-line-end"),
        one("H-26", "a fragment", "/a#b", bad), one("H-26", "a backslash", "/a\\b", bad),
        one("H-26", "byte 80", "/\x80", bad),
        one("H-26", "an escaped NUL", "/a%00b", bad), one("H-26", "half an escape", "/a%2", bad),
        one("H-26", "an escape of other digits", "/%u002e", bad),
        allow("H-26", "escapes, and a lone % in the query", get(line=line("/a/%2e%2E/%7f?100%&%00")),
              sent(line=line("/a/%2e%2E/%7f?100%&%00"))),
        one("H-26", "no slash", "index.html", bad), one("H-26", "* of GET", "*", bad), one("H-26", "empty", "", bad),
        allow("H-26", "two slashes", get(line=line("//evil.test/..;/")), sent(line=line("//evil.test/..;/"))),
        allow("H-26", "every byte that may be", get(line=line("/a;b?c=[{|}]&d=%00\"<>^`~!$'()*+,:@")),
              sent(line=line("/a;b?c=[{|}]&d=%00\"<>^`~!$'()*+,:@"))),
        allow("H-26", "* of OPTIONS", get(line=line("*", "OPTIONS")), sent(line=line("*", "OPTIONS")), unread=(NGINX,)),
        *(allow("methods", method, get(line=line("/", method)), sent(line=line("/", method)))
          for method in ("HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND", "M-SEARCH")),
        deny("H-27", "TRACE", get(line=line("/", "TRACE")), "http-method"),
        deny("H-18", "a method in lower case", get(line=line("/", "get")), bad),
        deny("H-18", "an unknown method", get(line=line("/", "FOO")), bad),
        deny("H-18", "a control byte in the method", get(line=line("/", "G\x1bT")), "unlisted-address", tunnel=True),
        deny("H-27", "a long method", get(line=line("/", "A" * 300)), bad),
        deny("H-27", "a target of 9 kB", get(line=line("/" + "a" * 9000)), "http-too-large"),
        deny("H-27", "a field of 9 kB", get("A: " + "a" * 9000 + "\r\n"), "http-too-large"),
        deny("H-27", "65 fields", get("".join(f"A{i}: b\r\n" for i in range(64))), "http-too-many"),
        allow("H-27", "64 fields", get("".join(f"A{i}: b\r\n" for i in range(63))),
              sent("".join(f"A{i}: b\r\n" for i in range(63)))),
        deny("H-27", "10,000 fields", get("A: b\r\n" * 10000), "http-too-large"),
        deny("H-21", "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "no-name", tunnel=True),
        deny("H-21", "PRI of 1.1", get(line=line("*", "PRI")), "http-method"),
    ]


def lines():
    end, field, start = "http-line-end", "http-field", "http-start-line"

    def version(text):
        return get(line=f"GET / {text}\r\n")
    return [
        deny("H-09", "obs-fold", get("X: y\r\n Host: evil.test\r\n"), field),
        deny("H-09", "obs-fold with a tab", get("X: y\r\n\tz\r\n"), field),
        deny("H-09", "obs-fold of Host", get(host="Host:\r\n allowed.test\r\n"), field),
        deny("H-09", "obs-fold behind Host", get(" evil.test\r\n"), field),
        deny("H-09", "obs-fold of nothing", get("X: y\r\n \r\n"), field),
        deny("H-10", "LF for all line ends", get().replace("\r\n", "\n"), end),
        deny("H-10", "LF behind the request line", get(line="GET / HTTP/1.1\n"), end),
        deny("H-10", "LF behind Host", get(host="Host: allowed.test\n"), end),
        deny("H-10", "LF inside a value", get("X: a\nHost: evil.test\r\n"), end),
        deny("H-10", "LF at the end", LINE + HOST + "\n", end),
        deny("H-10", "CR inside a value", get("X: a\rHost: evil.test\r\n"), end),
        deny("H-10", "CR before a name", get("\rHost: evil.test\r\n"), end),
        deny("H-10", "two CR", get(host="Host: allowed.test\r\r\n"), end),
        allow("H-10", "one CRLF first", "\r\n" + get(), sent()),
        deny("H-10", "two CRLF first", "\r\n\r\n" + get(), start),
        deny("H-10", "LF first", "\n" + get(), end),
        deny("H-10", "a space first", " " + get(), start),
        deny("H-11", "a space before Host's colon", get(host="Host : allowed.test\r\n"), field),
        deny("H-11", "a tab before a colon", get("X\t: y\r\n"), field),
        deny("H-11", "a space before the first name", get(host=" Host: allowed.test\r\n"), field),
        deny("H-11", "a space before Content-Length's colon", post("Content-Length : 5\r\n", "hello"), field),
        deny("H-11", "Host_", get("Host_: evil.test\r\n"), field),
        deny("H-11", "Content_Length", post("Content_Length: 5\r\n", "hello"), field),
        deny("H-11", "Content.Length", post("Content.Length: 5\r\n", "hello"), field),
        deny("H-11", "Transfer_Encoding", post("Transfer_Encoding: chunked\r\n"), field),
        deny("H-11", "an empty name", get(": x\r\n"), field), deny("H-11", "no colon", get("Foo\r\n"), field),
        deny("H-11", "a space in a name", get("A b: c\r\n"), field),
        deny("H-11", "byte 80 in a name", get("A\x80: c\r\n"), field),
        deny("H-11", "a control byte in a name", get("A\x01: c\r\n"), end),
        deny("H-07", "a NUL in a value", get("A: b\0c\r\n"), end),
        deny("H-07", "VT in a value", get("A: \x0bc\r\n"), end),
        allow("fields", "tabs and bytes from 80 up in a value", get("A: b\tc\x80\xff\r\n"),
              sent("A: b\tc\x80\xff\r\n")),
        allow("fields", "white space around a value", get("A: \t b \t\r\nC:\r\n"), sent("A: b\r\nC: \r\n")),
        allow("fields", "an odd name", get("!#$%&'*+-.^`|~0aZ: 1\r\n"), sent("!#$%&'*+-.^`|~0aZ: 1\r\n")),
        allow("H-28", "fields that name other hosts", get("X-Forwarded-Host: evil.test\r\nForwarded: host=evil.test\r\n"
                                                       "X-Original-URL: /admin\r\n"),
              sent("X-Forwarded-Host: evil.test\r\nForwarded: host=evil.test\r\nX-Original-URL: /admin\r\n")),
        deny("H-18", "HTTP/0.9", "GET /\r\n\r\n", "http-version"),
        deny("H-18", "HTTP/0.9 in words", version("HTTP/0.9"), "http-version"),
        deny("H-18", "HTTP/1.2", version("HTTP/1.2"), "http-version"),
        deny("H-18", "HTTP/2.0", version("HTTP/2.0"), "http-version"),
        deny("H-18", "HTTP/11.1", version("HTTP/11.1"), "http-version"),
        deny("H-18", "HTTP/1.10", version("HTTP/1.10"), "http-version"),
        deny("H-18", "http/1.1", version("http/1.1"), start),
        deny("H-18", "a space behind it", version("HTTP/1.1 "), "http-version"),
        deny("H-18", "two spaces before it", version(" HTTP/1.1"), start),
        deny("H-18", "1.1 without Host", get(host=""), "http-host-missing"),
        deny("H-18", "1.0 without Host", get(host="", line="GET / HTTP/1.0\r\n"), "http-host-missing"),
        allow("H-18", "1.0 with Host", get(line="GET / HTTP/1.0\r\n"), sent()),
        allow("plain", "in segments of one byte", get("A: b\r\n"), sent("A: b\r\n"), step=1),
    ]


def framing():
    length, coding, both = "http-length", "http-coding", "http-length-and-coding"
    smuggled = "0\r\n\r\nGET / HTTP/1.1\r\nHost: evil.test\r\n\r\n"
    codings = [("xchunked", "xchunked"), (",chunked", "an empty element"), ("chunked,", "an empty element last"),
               ("chunked, identity", "identity last"), ("gzip, chunked", "gzip"), ("identity", "identity"),
               ("chunked;a=b", "a parameter"),
               ('"chunked"', "quotes"), ("\xa0chunked", "byte a0"), ("", "nothing"),
               ("chunked chunked", "twice in one"), ("chunke", "cut short")]
    lengths = ["5, 5", "+5", "0x5", "010", "", "-1", "18446744073709551617", "9007199254740993", "1_0", "5 5", "00",
               "5.0", "\xb2"]
    body = "content-length: 5\r\n"
    return [
        deny("H-12", "length, then coding", post("Content-Length: 5\r\n" + CHUNKED, smuggled), both),
        deny("H-12", "coding, then length", post(CHUNKED + "Content-Length: 5\r\n", smuggled), both),
        deny("H-12", "length and a coding that is none",
             post("Content-Length: 5\r\nTransfer-Encoding: x\r\n", smuggled), both),
        *(deny("H-13", title, post(f"Transfer-Encoding: {value}\r\n", smuggled), coding) for value, title in codings),
        deny("H-13", "two fields", post(CHUNKED + CHUNKED, smuggled), coding),
        deny("H-13", "VT before it", post("Transfer-Encoding: \x0bchunked\r\n", smuggled), "http-line-end"),
        deny("H-13", "in HTTP/1.0", post(CHUNKED, smuggled, version="1.0"), coding),
        *(deny("H-14", f"{value!r}", post(f"Content-Length: {value}\r\n", "hello"), length) for value in lengths),
        deny("H-14", "two fields", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"), length),
        deny("H-14", "two fields, the same", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), length),
        allow("H-14", "a plain number", post("Content-Length: 5\r\n", "hello"),
              "POST / HTTP/1.1\r\nhost: allowed.test\r\n" + body + "\r\nhello"),
        allow("H-14", "nothing", post("Content-Length: 0\r\n"),
              "POST / HTTP/1.1\r\nhost: allowed.test\r\ncontent-length: 0\r\n\r\n"),
        allow("H-14", "a GET with a body", get("Content-Length: 5\r\n") + "hello", sent(body) + "hello"),
    ]


def chunks():
    head = "POST / HTTP/1.1\r\nhost: allowed.test\r\ntransfer-encoding: chunked\r\n\r\n"
    last = "0\r\n\r\n"

    def one(title, body, row="H-15", **more):
        return deny(row, title, post(CHUNKED, body), "http-chunk", **more)

    def fine(title, body, out, row="H-15", **more):
        return allow(row, title, post(CHUNKED, body), head + out, **more)
    return [
        fine("one chunk", "5\r\nhello\r\n" + last, "5\r\nhello\r\n" + last),
        fine("nothing", last, last),
        fine("an extension", "5;a=b\r\nhello\r\n" + last, "5\r\nhello\r\n" + last),
        fine("an extension in quotes", '5;a="b;c"\r\nhello\r\n0;x\r\n\r\n', "5\r\nhello\r\n" + last),
        fine("upper case", "A\r\n0123456789\r\n" + last, "a\r\n0123456789\r\n" + last),
        allow("H-15", "one byte per segment", post(CHUNKED, "5\r\nhello\r\n2\r\n, \r\n" + last), step=1),
        one("0x5", "0x5\r\nhello\r\n" + last), one("+5", "+5\r\nhello\r\n" + last),
        one("5 and a space", "5 \r\nhello\r\n" + last),
        one("a space and 5", " 5\r\nhello\r\n" + last), one("-1", "-1\r\nhello\r\n" + last),
        one("no size", "\r\nhello\r\n" + last),
        one("17 digits", "fffffffffffffff05\r\nhello\r\n" + last), one("nine digits", "100000005\r\nhello\r\n" + last),
        one("LF behind the size", "5\nhello\r\n" + last), one("LF behind the data", "5\r\nhello\n" + last),
        one("CR behind the size", "5\rhello\r\n" + last), one("no CRLF behind the data", "5\r\nhello" + last),
        one("more data than promised", "5\r\nhello!\r\n" + last),
        one("LF in an extension", "5;a\nb\r\nhello\r\n" + last),
        one("CR in an extension", "5;a\rb\r\nhello\r\n" + last),
        one("LF behind the last size", "5\r\nhello\r\n0\n\r\n"),
        one("LF at the end", "5\r\nhello\r\n0\r\n\n"), one("CR at the end", "5\r\nhello\r\n0\r\n\rX"),
        one("a NUL in the size", "5\0\r\nhello\r\n" + last),
        fine("Host in the trailers", "5\r\nhello\r\n0\r\nHost: evil.test\r\n\r\n", "5\r\nhello\r\n" + last, "H-16"),
        fine("framing in the trailers", "5\r\nhello\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n",
             "5\r\nhello\r\n" + last, "H-16"),
        one("a line without a colon in the trailers", "0\r\n nothing\r\n\r\n", "H-16"),
        Case("H-15", "damaged in the second chunk, later", raw(post(CHUNKED, "5\r\nhello\r\n")), ["http-chunk"],
             late=b"0x5\r\n"),
    ]


def hops():
    return [
        allow("H-20", "h2c", get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
              sent()),
        allow("H-20", "h2c with a body", post("Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n", "ab"),
              "POST / HTTP/1.1\r\nhost: allowed.test\r\ncontent-length: 2\r\n\r\nab"),
        allow("H-20", "another protocol", get("Connection: Upgrade\r\nUpgrade: tunnel/1\r\n"), sent()),
        allow("H-20", "WebSocket where it is not allowed", get(WEBSOCKET),
              sent("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")),
        deny("H-20", "WebSocket with a body", get(WEBSOCKET + "Content-Length: 1\r\n") + "a", "http-upgrade"),
        allow("H-22", "Connection names a field",
              get("Connection: close, x-internal-auth\r\nX-Internal-Auth: 1\r\nA: b\r\n"), sent("A: b\r\n")),
        allow("H-22", "Keep-Alive, Proxy-Connection, TE, Trailer",
              get("Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: A\r\n"), sent()),
        *(deny("H-25", f"Connection names {name}", get(f"Connection: {name}\r\n"), "http-field")
          for name in ("host", "close, Content-Length", "TRANSFER-ENCODING", "cookie", "authorization")),
        deny("H-25", "Connection is no list", get("Connection: a b\r\n"), "http-field"),
        allow("H-23", "Expect: 100-continue", post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
              "POST / HTTP/1.1\r\nhost: allowed.test\r\nExpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello"),
        deny("H-23", "another expectation", get("Expect: the-unexpected\r\n"), "http-expect"),
        deny("H-23", "Expect twice", get("Expect: 100-continue\r\nExpect: 100-continue\r\n"), "http-expect"),
        deny("H-22", "a look-alike of Upgrade", get("Connection_: upgrade\r\n"), "http-field"),
    ]


def several():
    one, evil = get(), hosted(" evil.test")
    return [
        Case("H-17", "pipelined, evil second", raw(one + evil + one), [FORWARD, "unlisted", FORWARD]),
        Case("H-17", "pipelined, evil first", raw(evil + one), ["unlisted", FORWARD]),
        Case("H-17", "pipelined, the second in doubt, none after it", raw(one + get(HOST) + one),
             [FORWARD, "http-host-duplicate"]),
        Case("H-17", "kept alive, evil second", raw(one), [FORWARD, "unlisted"], late=raw(evil)),
        Case("H-17", "kept alive, in doubt second", raw(one), [FORWARD, "http-line-end"], late=raw(get("A: b\n"))),
        Case("H-17", "a body that is a request, by length", raw(post(f"Content-Length: {len(evil)}\r\n", evil) + one),
             [FORWARD, FORWARD]),
        Case("H-17", "a body that is a request, in a chunk",
             raw(post(CHUNKED, f"{len(evil):x}\r\n{evil}\r\n0\r\n\r\n") + one), [FORWARD, FORWARD]),
        Case("H-17", "a refused request's body is no request",
             raw(post(f"Content-Length: {len(one)}\r\n", one, "Host: evil.test\r\n") + one),
             ["unlisted", FORWARD]),
    ]


def cases():
    return [*hosts(), *targets(), *lines(), *framing(), *chunks(), *hops(), *several()]
