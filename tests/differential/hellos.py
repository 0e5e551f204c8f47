# SPDX-License-Identifier: MIT
"""ClientHellos byte by byte: a plain one that every server takes, and ways to make another of it."""
import ssl
import struct

from lab.hello import padding, real, records

NAME = b"allowed.test"

# Suites and versions that old and new servers find something in. The values of GREASE (RFC 8701) are 0x?a?a.
CIPHERS = bytes.fromhex("1301 1302 1303 c02b c02f c02c c030 c009 c00a 002f 0035 00ff".replace(" ", ""))
OLD_CIPHERS = bytes.fromhex("c009c00ac013c01400ff")
GREASED_CIPHERS = bytes.fromhex("3a3a") + CIPHERS

SERVER_NAME, EARLY_DATA, VERSIONS, PSK, PSK_MODES, KEY_SHARE = 0, 42, 43, 41, 45, 51
X25519, HYBRID = 0x001d, 0x11ec  # the latter is X25519MLKEM768
RECORD_MAX = 1 << 14


def vector(size, data):
    return len(data).to_bytes(size, "big") + data


def extension(kind, data=b""):
    return struct.pack("!H", kind) + vector(2, data)


def entry(name, kind=0):
    return bytes([kind]) + vector(2, name)


def server_name(*entries):
    return extension(SERVER_NAME, vector(2, b"".join(entries)))


def key_share(*groups):
    sizes = {X25519: 32, HYBRID: 1216}
    shares = [struct.pack("!H", group) + vector(2, b"\x09" * sizes.get(group, 1)) for group in groups]
    return extension(KEY_SHARE, vector(2, b"".join(shares)))


GROUPS = extension(10, vector(2, bytes.fromhex("001d00170018")))
HYBRID_GROUPS = extension(10, vector(2, bytes.fromhex("11ec001d00170018")))
GREASED_GROUPS = extension(10, vector(2, bytes.fromhex("4a4a001d00170018")))
POINTS = extension(11, b"\x01\x00")
SIGNATURES = extension(13, vector(2, bytes.fromhex("0403080408050806040105010601020302010503")))
ALPN = extension(16, vector(2, vector(1, b"h2") + vector(1, b"http/1.1")))
MASTER_SECRET = extension(23)
TLS13 = extension(VERSIONS, vector(1, bytes.fromhex("03040303")))
GREASED_VERSIONS = extension(VERSIONS, vector(1, bytes.fromhex("5a5a03040303")))
GREASE_FIRST, GREASE_LAST = extension(0x2A2A), extension(0x6A6A, b"\x00")
ECH = extension(0xFE0D, b"\x00\x00\x01\x00\x01\x42" + vector(2, b"\x07" * 32) + vector(2, b"\x5c" * 176))
ESNI = extension(0xFFCE, b"\x13\x01\x00\x1d" + bytes(200))
EARLY = extension(EARLY_DATA)
RESUMPTION = extension(PSK_MODES, b"\x01\x01")
# A ticket that no server knows; this extension has to be the last.
TICKET = extension(PSK, vector(2, vector(2, b"\x77" * 96) + bytes(4)) + vector(2, vector(1, b"\x33" * 32)))

PLAIN = [GROUPS, POINTS, SIGNATURES, ALPN, MASTER_SECRET, TLS13, key_share(X25519)]
TLS12 = [GROUPS, POINTS, SIGNATURES, MASTER_SECRET]


def hello(name=NAME, extensions=None, *, before=(), after=(), sni=None, version=0x0303, session=b"\x55" * 32,
          ciphers=CIPHERS, compression=b"\x00", block_lie=0, length_lie=0, tail=b""):
    """A handshake message.

    name: None for none; sni: a whole extension instead of it. before, after: extensions around the ordinary ones. The
    lies are added to lengths; tail stands behind what the lengths cover.
    """
    if sni is None:
        sni = b"" if name is None else server_name(entry(name))
    block = b"".join([*before, sni, *(PLAIN if extensions is None else extensions), *after])
    body = struct.pack("!H", version) + b"\xc3" * 32 + vector(1, session) + vector(2, ciphers) + vector(1, compression)
    body += struct.pack("!H", len(block) + block_lie) + block
    return b"\x01" + (len(body) + length_lie).to_bytes(3, "big") + body + tail


def bare(session=b"", ciphers=OLD_CIPHERS, version=0x0303):
    """One without extensions at all."""
    body = struct.pack("!H", version) + b"\xc3" * 32 + vector(1, session) + vector(2, ciphers) + b"\x01\x00"
    return b"\x01" + vector(3, body)


def wire(message, size=RECORD_MAX, version=0x0301):
    """A message as records of at most that many bytes."""
    return records(message, size, version)


def cut(message, *sizes):
    """Records of these sizes, and one of what is left."""
    out = b""
    for size in sizes:
        out += wire(message[:size])
        message = message[size:]
    return out + wire(message)


def padded(total):
    """A message of exactly that many bytes, the name last."""
    empty = len(hello(sni=b"", after=[padding(0), server_name(entry(NAME))]))
    return hello(sni=b"", after=[padding(total - empty), server_name(entry(NAME))])


def shifted():
    """A padding extension whose tail is a server_name for a reader that takes record headers for payload (T-04)."""
    evil = server_name(entry(b"evil.test"))
    message = hello(sni=b"", before=[extension(21, bytes(40) + evil)], after=[server_name(entry(NAME))])
    return wire(message, 25)


def openssl(name="allowed.test", alpn=None, *, least=None, most=None, session=None, options=0):
    """What OpenSSL sends."""
    if not (least or most or session or options):
        return real(name, alpn)
    context = client_context(least, most, options)
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name, session=session)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def client_context(least=None, most=None, options=0):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.options |= options
    if least:
        context.minimum_version = least
    if most:
        context.maximum_version = most
    return context


def resumed(authority, version):
    """The hello with which OpenSSL resumes a session, by ticket or PSK."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(authority.cert, authority.key)
    context = client_context(version, version)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(down, up, server_hostname="allowed.test")
    server = server_side.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    server.write(b"ticket")
    client.read(6)
    out = ssl.MemoryBIO()
    again = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="allowed.test", session=client.session)
    try:
        again.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()
