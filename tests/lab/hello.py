# SPDX-License-Identifier: MIT
"""ClientHellos: a real one from the TLS library, and ways to damage or to divide it."""
import ssl
import struct

SERVER_NAME, ALPN, PADDING, ECH = 0, 16, 21, 0xFE0D


def real(name=None, alpn=None):
    """The records of a ClientHello as OpenSSL sends them."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def records(message, size=1 << 14, version=0x0301):
    """Handshake bytes as records of at most `size` bytes each."""
    parts = [message[i:i + size] for i in range(0, len(message), size)]
    return b"".join(struct.pack("!BHH", 22, version, len(part)) + part for part in parts)


def server_name(*names, kind=0):
    """A server_name extension with any bytes as names."""
    listed = b"".join(struct.pack("!BH", kind, len(n)) + n for n in names)
    body = struct.pack("!H", len(listed)) + listed
    return struct.pack("!HH", SERVER_NAME, len(body)) + body


def alpn(*names):
    listed = b"".join(struct.pack("!B", len(n)) + n for n in names)
    return struct.pack("!HHH", ALPN, len(listed) + 2, len(listed)) + listed


def ech():
    """What a client with a key sends, and one without (GREASE): an outer hello's extension of sealed bytes."""
    body = bytes.fromhex("00" "00010001" "2a" "0020") + bytes(range(32)) + b"\x00\xb0" + bytes(range(176))
    return struct.pack("!HH", ECH, len(body)) + body


def padding(size):
    return struct.pack("!HH", PADDING, size) + bytes(size)


def message(*extensions, version=0x0303):
    """The handshake bytes of a hand-made ClientHello with these extensions and those that a server needs."""
    needed = bytes.fromhex("000a00060004001d0017"           # supported_groups: x25519, secp256r1
                           "000d000a00080403040108040805") # signature_algorithms
    block = b"".join(extensions) + needed
    body = (struct.pack("!H", version) + bytes(range(32)) + b"\x00" + bytes.fromhex("0004c02bc02f") + b"\x01\x00"
            + struct.pack("!H", len(block)) + block)
    return b"\x01" + len(body).to_bytes(3, "big") + body


def made(spec):
    """A ClientHello by description, for cases: "NAME [records=N] [pad=N] [names=A,B] [alpn=A,B] [ech] [twice] [text]".

    NAME `-` is none. records=N: that many handshake bytes in each record; pad=N: so many bytes of padding before the
    name; alpn=A,B: offered by ALPN, `alpn=` an empty list; ech: an encrypted_client_hello; twice: the server_name
    extension two times; raw=TEXT: another name instead of NAME, with backslash escapes.
    """
    words = spec.split()
    options = dict(word.partition("=")[::2] for word in words[1:])
    if not options:
        return real(None if words[0] == "-" else words[0])
    raw = options.get("raw", "").encode().decode("unicode_escape").encode("latin-1")
    names = [raw] if raw else [] if words[0] == "-" else [words[0].encode()]
    names += [n.encode() for n in options.get("names", "").split(",") if n]
    extensions = [padding(int(options["pad"]))] if "pad" in options else []
    extensions += [server_name(*names)] * (2 if "twice" in options else 1) if names else []
    if "alpn" in options:
        extensions.append(alpn(*(n.encode() for n in options["alpn"].split(",") if n)))
    if "ech" in options:
        extensions.append(ech())
    return records(message(*extensions), int(options.get("records", 1 << 14)))
