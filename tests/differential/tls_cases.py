# SPDX-License-Identifier: MIT
"""ClientHellos that the proxy gets, and what it is to do with each."""
import dataclasses
import ssl

import hellos as h
from lab.hello import padding

FORWARD = "forward"
LONG = b".".join([b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 51]) + b".wild.test"  # 253 bytes
LETTERS = "abcdefghijklmnopqrstuvwxyz-0123456789.wild.test"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@dataclasses.dataclass
class Case:
    row: str              # of the threat table, or the kind of legal client
    title: str
    data: bytes           # what the client sends
    want: str = FORWARD   # or the reason code that the access log has
    name: str = "allowed.test"  # as the log and the judges have it; "" for none
    to: str = "allowed.test"
    port: int = 443
    step: int = 0         # bytes of each segment; 0: all at once
    late: bytes = b""     # sent when the rest has arrived, before the server has said anything
    early: bool = True    # the client need not hear anything before it sends `late`
    unread: tuple = ()    # judges that cannot read this kind of hello, though it is legal


def refused(row, title, data, want, name="", **more):
    return Case(row, title, data, want, name, **more)


def sni_case(row, title, name, **more):
    """A name that is none."""
    return refused(row, title, h.wire(h.hello(name)), "tls-server-name", **more)


def legal(authority):
    one = h.hello()
    many = ("mbedtls",)  # a hello over several records is more than it can read
    hybrid = h.hello(sni=b"", extensions=[h.HYBRID_GROUPS, *h.PLAIN[1:-1], h.key_share(h.HYBRID, h.X25519), h.ECH,
                                          padding(230)], after=[h.server_name(h.entry(h.NAME))])
    assert 1700 < len(hybrid) < 2000
    grease = h.hello(ciphers=h.GREASED_CIPHERS, before=[h.GREASE_FIRST], after=[h.GREASE_LAST],
                     extensions=[h.GREASED_GROUPS, *h.PLAIN[1:-2], h.GREASED_VERSIONS, h.PLAIN[-1]])
    split = [Case("T-03", f"cut after {n} bytes", h.cut(one, n), unread=many)
             for n in (1, 3, 4, 5, 38, 75, 76, len(one) // 2, len(one) - 1)]
    where = one.index(h.NAME) + 4
    return [
        Case("plain", "OpenSSL", h.openssl()),
        Case("plain", "OpenSSL with ALPN (T-27)", h.openssl(alpn=["h2", "http/1.1"])),
        Case("plain", "OpenSSL, no ALPN (T-27)", h.openssl(most=V13)),
        Case("plain", "OpenSSL, TLS 1.2 only", h.openssl(most=V12)),
        Case("plain", "OpenSSL, TLS 1.3 only", h.openssl(least=V13), unread=("mbedtls",)),
        Case("plain", "OpenSSL without tickets", h.openssl(most=V12, options=ssl.OP_NO_TICKET)),
        Case("T-25", "OpenSSL, a session by PSK", h.resumed(authority, V13), unread=("mbedtls",)),
        Case("T-25", "OpenSSL, a session by ticket", h.resumed(authority, V12)),
        Case("T-25", "a ticket that nobody knows", h.wire(h.hello(after=[h.RESUMPTION, h.TICKET]))),
        Case("plain", "made by hand", h.wire(one)),
        Case("plain", "TLS 1.2 by hand", h.wire(h.hello(extensions=h.TLS12))),
        Case("plain", "TLS 1.1", h.wire(h.hello(extensions=h.TLS12, version=0x0302, ciphers=h.OLD_CIPHERS))),
        Case("plain", "TLS 1.0", h.wire(h.hello(extensions=h.TLS12, version=0x0301, ciphers=h.OLD_CIPHERS))),
        Case("plain", "no session id", h.wire(h.hello(session=b""))),
        Case("plain", "several compression methods", h.wire(h.hello(extensions=h.TLS12, compression=b"\x01\x00"))),
        Case("plain", "unknown extensions", h.wire(h.hello(before=[h.extension(0xABCD, b"x"), h.extension(0xFFFE)]))),
        Case("plain", "GREASE", h.wire(grease)),
        Case("plain", "a padding extension", h.wire(h.hello(after=[padding(200)]))),
        Case("T-23", "ECH GREASE", h.wire(h.hello(after=[h.ECH]))),
        Case("T-23", "ECH GREASE and GREASE, name last",
             h.wire(h.hello(sni=b"", before=[h.GREASE_FIRST, h.ECH],
                            after=[h.server_name(h.entry(h.NAME)), h.GREASE_LAST]))),
        Case("T-06", "post-quantum, name last", h.wire(hybrid)),
        Case("T-06", "post-quantum in segments of 100 bytes", h.wire(hybrid), step=100),
        Case("T-06", "post-quantum in records of 512 bytes", h.wire(hybrid, 512), unread=many),
        Case("T-06", "8 kB, name last", h.wire(h.padded(8192))),
        Case("T-06", "16 kB, the most there may be", h.wire(h.padded(16384), 8192), unread=many),
        *split,
        Case("T-03", "cut inside the name", h.cut(one, where), unread=many),
        Case("T-03", "records of one byte", h.wire(one, 1), unread=many),
        Case("T-03", "records of seven bytes", h.wire(one, 7), unread=many),
        Case("T-04", "a fake name in the padding, shifted by inner records", h.shifted(), unread=many),
        Case("T-05", "segments of one byte", h.wire(one), step=1),
        Case("T-05", "records of seven bytes in segments of three", h.wire(one, 7), step=3, unread=many),
        Case("T-10", "upper case", h.wire(h.hello(b"ALLOWED.Test"))),
        Case("T-10", "every letter in upper case", h.wire(h.hello(LETTERS.upper().encode())), name=LETTERS),
        Case("T-11", "a final dot", h.wire(h.hello(b"allowed.test."))),
        Case("T-15", "an A-label", h.wire(h.hello(b"xn--bcher-kva.wild.test")), name="xn--bcher-kva.wild.test"),
        Case("T-16", "a name of 253 bytes", h.wire(h.hello(LONG)), name=LONG.decode()),
        Case("names", "underscore and hyphen", h.wire(h.hello(b"_a-b.wild.test")), name="_a-b.wild.test",
             unread=("gnutls",)),  # it allows letters, digits and hyphens
        Case("names", "a label of 63 bytes", h.wire(h.hello(b"a" * 63 + b".wild.test")), name="a" * 63 + ".wild.test"),
        Case("names", "digits and a label that is a number", h.wire(h.hello(b"1.2.wild.test")), name="1.2.wild.test"),
        Case("T-13", "no name, where the address is listed", h.wire(h.hello(None)), name="", to="address.test",
             port=7443),
        Case("T-18", "record version 3.0", h.wire(one, version=0x0300)),
        Case("T-18", "record version 3.3", h.wire(one, version=0x0303)),
        Case("T-18", "record version 3.4", h.wire(one, version=0x0304)),
        Case("T-18", "client version 3.4", h.wire(h.hello(version=0x0304))),
        Case("T-27", "ALPN of an unknown protocol",
             h.wire(h.hello(extensions=[*h.TLS12, h.extension(16, h.vector(2, h.vector(1, b"acme-tls/1")))]))),
        Case("T-01", "the address of another", h.wire(one), to="evil.test"),
        Case("T-25", "early data behind the hello", h.wire(h.hello(after=[h.RESUMPTION, h.EARLY, h.TICKET]))
             + b"\x14\x03\x03\x00\x01\x01" + b"\x17\x03\x03\x00\x40" + b"\xed" * 64, unread=("mbedtls",)),
        Case("T-22", "a second hello when the server has spoken", h.wire(h.hello(b"answers.test")), name="answers.test",
             late=h.wire(h.hello(b"evil.test")), early=False),
    ]


def records():
    one = h.hello()
    whole = h.wire(one)
    first, rest = h.wire(one[:50]), h.wire(one[50:])
    return [
        refused("T-17", "SSLv2 hello of SSL 2.0", bytes.fromhex("802e010002001500000010010080020080030080") + bytes(30),
                "tls-sslv2"),
        refused("T-17", "SSLv2 hello of TLS 1.0", bytes.fromhex("802e010301001500000010010080020080030080") + bytes(30),
                "tls-sslv2"),
        refused("T-18", "record version 4.1", h.wire(one, version=0x0401), "unlisted-address"),
        refused("T-18", "record version 2.0", h.wire(one, version=0x0200), "unlisted-address"),
        refused("T-18", "a later record of version 4.1", first + h.wire(one[50:], version=0x0401), "tls-record"),
        refused("T-18", "client version SSL 3.0", h.wire(h.hello(version=0x0300)), "tls-version"),
        refused("T-18", "client version 2.0", h.wire(h.hello(version=0x0200)), "tls-version"),
        refused("T-18", "client version of DTLS", h.wire(h.hello(version=0xfefd)), "tls-version"),
        refused("T-19", "an empty record first", b"\x16\x03\x01\x00\x00" + whole, "tls-record"),
        refused("T-19", "an empty record between", first + b"\x16\x03\x01\x00\x00" + rest, "tls-record"),
        refused("T-19", "an alert first", b"\x15\x03\x01\x00\x02\x01\x00" + whole, "tls-record"),
        refused("T-19", "an alert between", first + b"\x15\x03\x01\x00\x02\x01\x00" + rest, "tls-record"),
        refused("T-19", "ChangeCipherSpec first", b"\x14\x03\x01\x00\x01\x01" + whole, "tls-record"),
        refused("T-19", "ChangeCipherSpec between", first + b"\x14\x03\x01\x00\x01\x01" + rest, "tls-record"),
        refused("T-19", "application data first", b"\x17\x03\x01\x00\x02ab" + whole, "tls-record"),
        refused("T-19", "a heartbeat first", b"\x18\x03\x01\x00\x03\x01\x00\x00" + whole, "tls-record"),
        refused("T-19", "HelloRequest first", b"\x16\x03\x01\x00\x04" + bytes(4) + whole, "tls-handshake"),
        refused("T-19", "ServerHello first", b"\x16\x03\x01\x00\x04\x02\x00\x00\x00" + whole, "tls-handshake"),
        refused("T-06", "one byte more than 16 kB", h.wire(h.padded(16385), 9000), "tls-oversize"),
        refused("T-06", "20 kB", h.wire(h.padded(20000)), "tls-oversize"),
        refused("T-06", "a record of 2^14 + 1 bytes", b"\x16\x03\x01\x40\x01" + h.padded(16385), "tls-record"),
        refused("T-06", "sixteen megabytes promised", b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", "tls-oversize"),
        refused("T-06", "too many extensions",
                h.wire(h.hello(after=[h.extension(0x3000 + i) for i in range(130)])), "tls-oversize"),
        refused("T-21", "a second hello in the record", h.wire(one + h.hello(b"evil.test")), "tls-trailing"),
        refused("T-21", "a second hello in the next record", whole + h.wire(h.hello(b"evil.test")), "tls-trailing"),
        refused("T-21", "a second hello that the record's end cuts", h.wire(one + h.hello(b"evil.test"), len(one) + 9),
                "tls-trailing"),
        refused("T-21", "data behind the hello", whole + b"\x17\x03\x03\x00\x02ab", "tls-trailing"),
        refused("T-21", "ChangeCipherSpec behind the hello", whole + b"\x14\x03\x03\x00\x01\x01", "tls-trailing"),
        refused("T-21", "an alert behind the hello", whole + b"\x15\x03\x01\x00\x02\x01\x00", "tls-trailing"),
        refused("T-21", "one byte behind the hello", whole + b"\x00", "tls-trailing"),
        refused("T-21", "a second hello behind early data", h.wire(h.hello(after=[h.RESUMPTION, h.EARLY, h.TICKET]))
                + b"\x17\x03\x03\x00\x02ab" + h.wire(h.hello(b"evil.test")), "tls-trailing"),
        refused("T-21", "a second hello, later", whole, "tls-trailing", "allowed.test",
                late=h.wire(h.hello(b"evil.test"))),
        refused("T-21", "data, later", whole, "tls-trailing", "allowed.test", late=b"\x17\x03\x03\x00\x02ab"),
        refused("T-28", "plain text", b"\x00hello\r\n", "unlisted-address"),
        refused("T-28", "SSH", b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "unlisted-address"),
        refused("T-28", "TLS on an HTTP port", whole, "other-port", "allowed.test", port=80),
        refused("T-29", "PostgreSQL asks for TLS", bytes.fromhex("0000000804d2162f"), "unlisted-address"),
        refused("T-30", "half a hello, then the end", whole[:100], "downstream_closed_before_decision"),
        refused("T-30", "five bytes, then the end", whole[:5], "downstream_closed_before_decision"),
    ]


def lengths():
    evil = h.server_name(h.entry(b"evil.test"))
    name = h.entry(h.NAME)

    def sni(data):
        return h.wire(h.hello(sni=h.extension(0, data)))
    return [
        refused("T-20", "handshake length one too small", h.wire(h.hello(length_lie=-1)), "tls-trailing"),
        refused("T-20", "handshake length one too large", h.wire(h.hello(length_lie=1, tail=b"\x00")), "tls-nesting"),
        refused("T-20", "handshake length far too large", h.wire(h.hello(length_lie=500)),
                "downstream_closed_before_decision"),
        refused("T-20", "extension block one too short", h.wire(h.hello(block_lie=-1)), "tls-nesting"),
        refused("T-20", "extension block one too long", h.wire(h.hello(block_lie=1)), "tls-nesting"),
        refused("T-20", "extension block of nothing, name behind it", h.wire(h.hello(block_lie=-len(b"".join(
            [h.server_name(name), *h.PLAIN])))), "tls-nesting"),
        refused("T-20", "name behind the extension block", h.wire(h.hello(sni=b"", after=[evil], block_lie=-len(evil))),
                "tls-nesting"),
        refused("T-20", "session id of 33 bytes", h.wire(h.hello(session=bytes(33))), "tls-nesting"),
        refused("T-20", "half a cipher suite", h.wire(h.hello(ciphers=h.CIPHERS + b"\x00")), "tls-nesting"),
        refused("T-20", "no cipher suite", h.wire(h.hello(ciphers=b"")), "tls-nesting"),
        refused("T-20", "no compression method", h.wire(h.hello(compression=b"")), "tls-nesting"),
        refused("T-20", "extension longer than the block", h.wire(h.hello(after=[b"\x7a\x7a\x00\x05\x00"])),
                "tls-nesting"),
        refused("T-20", "half an extension header", h.wire(h.hello(after=[b"\x7a\x7a\x00"])), "tls-nesting"),
        refused("T-20", "name list one too long", sni((len(name) + 1).to_bytes(2, "big") + name), "tls-nesting"),
        refused("T-20", "name list one too short", sni((len(name) - 1).to_bytes(2, "big") + name), "tls-nesting"),
        refused("T-20", "a byte behind the name list", sni(h.vector(2, name) + b"\x00"), "tls-nesting"),
        refused("T-20", "name one too long", sni(h.vector(2, b"\x00\x00\x0d" + h.NAME)), "tls-server-name"),
        refused("T-20", "name one too short", sni(h.vector(2, b"\x00\x00\x0b" + h.NAME)), "tls-server-name"),
        refused("T-20", "name of 65535 bytes promised", sni(h.vector(2, b"\x00\xff\xff" + h.NAME)), "tls-server-name"),
    ]


def protocols():
    """ALPN that RFC 7301 has no meaning for (T-27)."""
    def alpn(what, data):
        return refused("T-27", f"ALPN: {what}", h.wire(h.hello(extensions=[*h.TLS12, h.extension(16, data)])), "tls-alpn")
    h2 = h.vector(1, b"h2")
    return [
        alpn("an empty extension", b""),
        alpn("an empty list", h.vector(2, b"")),
        alpn("an empty name", h.vector(2, b"\x00")),
        alpn("an empty name behind another", h.vector(2, h2 + b"\x00")),
        alpn("an empty name before another", h.vector(2, b"\x00" + h2)),
        alpn("a name that is too long for the list", h.vector(2, b"\x03h2")),
        alpn("a byte behind the list", h.vector(2, h2) + b"\x00"),
        alpn("a list that is too long for the extension", b"\x00\x04" + h2),
    ]


def names():
    evil, allowed = h.entry(b"evil.test"), h.entry(h.NAME)
    good = h.server_name(allowed)
    label = b"a" * 64

    def sni(*entries):
        return h.wire(h.hello(sni=h.server_name(*entries)))
    return [
        refused("T-07", "two extensions, evil first", h.wire(h.hello(before=[h.server_name(evil)])), "tls-duplicate"),
        refused("T-07", "two extensions, evil last", h.wire(h.hello(after=[h.server_name(evil)])), "tls-duplicate"),
        refused("T-07", "two extensions, the same", h.wire(h.hello(after=[good])), "tls-duplicate"),
        refused("T-07", "another extension twice", h.wire(h.hello(after=[h.ALPN])), "tls-duplicate"),
        refused("T-07", "an unknown extension twice", h.wire(h.hello(before=[h.extension(0xABCD)],
                                                                   after=[h.extension(0xABCD)])), "tls-duplicate"),
        refused("T-08", "two names", sni(allowed, evil), "tls-server-name"),
        refused("T-08", "two names, evil first", sni(evil, allowed), "tls-server-name"),
        refused("T-08", "the same name twice", sni(allowed, allowed), "tls-server-name"),
        refused("T-08", "another type", sni(h.entry(h.NAME, 1)), "tls-server-name"),
        refused("T-08", "another type first", sni(h.entry(b"evil.test", 1), allowed), "tls-server-name"),
        refused("T-08", "another type last", sni(allowed, h.entry(b"evil.test", 1)), "tls-server-name"),
        sni_case("T-09", "a NUL and evil", b"allowed.test\x00.evil.test"),
        sni_case("T-09", "a final NUL", b"allowed.test\x00"),
        sni_case("T-09", "a NUL first", b"\x00allowed.test"),
        sni_case("T-11", "two final dots", b"allowed.test.."),
        sni_case("T-11", "a dot first", b".allowed.test"),
        sni_case("T-11", "nothing but a dot", b"."),
        sni_case("T-11", "an empty label", b"allowed..test"),
        sni_case("T-12", "a line feed", b"allowed.test\n"),
        sni_case("T-12", "a space", b"allowed.test "),
        sni_case("T-12", "a space first", b" allowed.test"),
        sni_case("T-12", "a slash", b"allowed.test/x"),
        sni_case("T-12", "a port", b"allowed.test:443"),
        sni_case("T-12", "userinfo", b"a@allowed.test"),
        sni_case("T-12", "a carriage return", b"allowed.test\r"),
        sni_case("T-12", "a percent sign", b"allowed%2etest"),
        refused("T-13", "no name", h.wire(h.hello(None)), "no-name"),
        refused("T-13", "no extensions", h.wire(h.bare()), "no-name"),
        refused("T-13", "an empty extension", h.wire(h.hello(sni=h.extension(0))), "tls-server-name"),
        refused("T-13", "an empty list", h.wire(h.hello(sni=h.extension(0, b"\x00\x00"))), "tls-server-name"),
        sni_case("T-13", "an empty name", b""),
        sni_case("T-14", "a dotted quad", b"203.0.113.10"),
        sni_case("T-14", "a short quad", b"203.881930"),
        sni_case("T-14", "a number", b"3405803786"),
        sni_case("T-14", "a hexadecimal number", b"0xcb00710a"),
        sni_case("T-14", "an IPv6 address", b"2001:db8:113::10"),
        sni_case("T-14", "an IPv6 address in brackets", b"[::1]"),
        sni_case("T-15", "UTF-8", "bücher.wild.test".encode()),
        sni_case("T-15", "a homograph", "аllowed.test".encode()),
        sni_case("T-15", "byte ff", b"allowed.test\xff"),
        sni_case("T-15", "byte 80 for a letter", b"allowed.tes\xf4"),
        sni_case("T-15", "a wildcard", b"*.wild.test"),
        sni_case("T-16", "a name of 254 bytes", b"e." + LONG[1:]),
        sni_case("T-16", "a name of 255 bytes", b"ee." + LONG[1:]),
        sni_case("T-16", "300 bytes that begin with a listed name", b"allowed.test." + b"a." * 143 + b"a"),
        sni_case("T-16", "15,000 bytes", b"a." * 7495 + b"wild.test"),
        sni_case("T-16", "a label of 64 bytes", label + b".wild.test"),
        refused("T-23", "an ECH of evil's, its public name outside", h.wire(h.hello(b"evil.test", after=[h.ECH])),
                "unlisted",
                "evil.test"),
        refused("T-24", "ESNI and no name", h.wire(h.hello(None, after=[h.ESNI])), "no-name"),
        refused("names", "another name", h.wire(h.hello(b"evil.test")), "unlisted", "evil.test"),
        refused("names", "a listed name and more labels", h.wire(h.hello(b"allowed.test.evil.test")), "unlisted",
                "allowed.test.evil.test"),
        refused("names", "letters before a listed name", h.wire(h.hello(b"evilallowed.test")), "unlisted",
                "evilallowed.test"),
        refused("names", "a label before a listed name", h.wire(h.hello(b"x.allowed.test")), "unlisted",
                "x.allowed.test"),
        refused("names", "the apex of a wildcard", h.wire(h.hello(b"wild.test")), "unlisted", "wild.test"),
        refused("names", "letters before a wildcard's suffix", h.wire(h.hello(b"evilwild.test")), "unlisted",
                "evilwild.test"),
        Case("names", "a wildcard, one label", h.wire(h.hello(b"x.wild.test")), name="x.wild.test"),
        Case("names", "a wildcard, two labels", h.wire(h.hello(b"x.y.wild.test")), name="x.y.wild.test"),
        refused("names", "a name for another port", h.wire(h.hello(b"http-only.test")), "other-port", "http-only.test"),
    ]


def cases(authority):
    return [*legal(authority), *records(), *lengths(), *protocols(), *names()]
