# SPDX-License-Identifier: MIT
"""Damaged hellos and requests, straight through the proxy's readers and the judges'. A seed gives the same ones."""
import collections
import ipaddress
import random
import re

import hellos as h
import http_cases
import tls_cases
from judges import Driver, Refused

SHOWN = 10  # findings of one kind
PORT = 80

GOOD_NAMES = [b"allowed.test", b"evil.test", b"ALLOWED.test", b"allowed.test.", b"x.wild.test", tls_cases.LONG]
NAMES = [*GOOD_NAMES, b"allowed.test\x00.evil.test", b"", b".", b"a..b",
         b"203.0.113.10", b"[::1]", b"allowed.test:443", b"*.wild.test", b"\xffallowed.test", b"a" * 63 + b".test",
         b"a" * 64 + b".test", b"e." + tls_cases.LONG]
WORDS = [text.encode("latin-1") for text in (
    "Host: evil.test\r\n", "host:evil.test\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Connection: close, host\r\n", "Expect: 100-continue\r\n", "Upgrade: h2c\r\n", "X: y\r\n", "\r\n", "\n", "\r",
    "\r\n\r\n", " ", "\t", ":",
    ",", ";", "@", "#", "/", "\\", "?", "%", "[", "]", "*", "0", "5", "+", "-", "_", "0\r\n\r\n", "5\r\nhello\r\n",
    "http://evil.test",
    "http://allowed.test", " HTTP/1.1", " HTTP/1.0", "GET ", "POST ", "evil.test", "chunked", ".evil.test", "\0",
    "\x0b", "\x7f", "\x80",
    "\xa0", "\xff")]


def pick(rng, few, many):
    """Mostly nothing; sometimes some of many."""
    return [rng.choice(many) for _ in range(rng.choice(few))]


def bytes_damaged(rng, data, words):
    """Some bytes changed, taken out, put in, or moved."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(data) + 1)
        many = rng.choice((1, 1, 2, 3, 8))
        way = rng.randrange(6)
        if way == 0:
            data[at:at + 1] = bytes([rng.randrange(256)])
        elif way == 1 and at < len(data):
            data[at] = (data[at] + rng.choice((-1, 1, 32, 128))) & 255
        elif way == 2:
            del data[at:at + many]
        elif way == 3:
            data[at:at] = rng.choice(words)
        elif way == 4:
            data[at:at + many] = rng.choice(words)
        else:
            data[at:at] = data[at:at + rng.choice((1, 4, 18, 40))]
    return bytes(data)


def sni(rng):
    """A server_name extension, mostly a good one."""
    if rng.random() < 0.7:
        return h.server_name(h.entry(rng.choice(GOOD_NAMES)))
    entries = [h.entry(rng.choice(NAMES),
                       rng.choice((0, 0, 0, 0, 1, 255))) for _ in range(rng.choice((1, 1, 1, 1, 0, 2, 3)))]
    data = b"".join(entries)
    if not data:
        return h.extension(0, rng.choice((b"", b"\x00\x00")))
    return h.extension(0, (len(data) + rng.choice((0, 0, 0, 0, 0, 0, -1, 1, 12))).to_bytes(2, "big") + data)


def built(rng):
    """A hello whose parts are drawn."""
    some = [h.ECH, h.ESNI, h.EARLY, h.RESUMPTION, h.GREASE_FIRST, h.ALPN, sni(rng),
            h.extension(21, bytes(rng.randrange(300)))]
    ordinary = list(h.PLAIN)
    rng.shuffle(ordinary)
    return h.hello(extensions=ordinary, before=pick(rng, (0, 0, 1, 2), some), sni=sni(rng),
                   after=pick(rng, (0, 0, 0, 1), some), version=rng.choice((0x0303,) * 8 + (0x0301, 0x0304, 0x0300)),
                   session=bytes(rng.choice((32,) * 8 + (0, 31, 33))), compression=rng.choice((b"\x00",) * 12 + (b"",)),
                   block_lie=rng.choice((0,) * 20 + (-1, 1, 18)), length_lie=rng.choice((0,) * 20 + (-1, 1)),
                   tail=rng.choice((b"",) * 20 + (b"\x00", h.server_name(h.entry(b"evil.test")))))


def stream(data):
    """The handshake bytes of records that are whole."""
    message = b""
    while len(data) >= 5:
        size = int.from_bytes(data[3:5], "big")
        message += data[5:5 + size]
        data = data[5 + size:]
    return message


def hello_damaged(rng, seeds):
    message = built(rng) if rng.random() < 0.6 else stream(rng.choice(seeds))
    if rng.random() < 0.4:
        message = bytes_damaged(rng, message, [name for name in NAMES if name] + [bytes([i]) for i in (0, 1, 2, 255)])
        if rng.random() < 0.7 and len(message) > 4:
            message = message[:1] + (len(message) - 4).to_bytes(3, "big") + message[4:]
    data = b""
    while message:  # a message of nothing has no record
        size = rng.choice((1 << 14,) * 6 + (1, 4, 17, 100))
        data += h.wire(message[:size], version=rng.choice((0x0301, 0x0301, 0x0303)))
        message = message[size:]
    if rng.random() < 0.1:
        data += rng.choice((h.wire(h.hello(b"evil.test")), b"\x17\x03\x03\x00\x02ab", b"\x14\x03\x03\x00\x01\x01",
                            b"\x00"))
    return bytes_damaged(rng, data, [b"\x16\x03\x01\x00\x00", b"\x00"]) if rng.random() < 0.1 else data


def request_damaged(rng, seeds):
    data = rng.choice(seeds)
    if rng.random() < 0.1:
        other = rng.choice(seeds)
        data = data[:rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1):]
    if rng.random() < 0.2:
        lines = data.split(b"\r\n")
        at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines.insert(to, lines[at] if rng.random() < 0.5 else lines.pop(at))
        data = b"\r\n".join(lines)
    return bytes_damaged(rng, data, WORDS) if rng.random() < 0.85 else data


def known_refusal(judge, out):
    """What a judge refuses although it is good, which harms nobody."""
    if judge == "nginx":
        # It does not know asterisk-form, nor a path that climbs above the root.
        return re.match(rb"\S+ (\*|[^ ?]*/(\.|%2e){2}[^ ]*) ", out, re.I)
    # Takes every field whose name only begins so for the coding.
    return judge == "http-parser" and re.search(rb"(?i)\ntransfer-encoding[^:]", out)


def seeds_of(cases):
    """What there is to damage: good ones three times as often as all others together; OpenSSL's are never the same."""
    small = [case for case in cases if len(case.data) < 3000 and not case.title.startswith("OpenSSL")]
    good = [case.data for case in small if set(case.want if isinstance(case.want,
                                                                       list) else [case.want]) == {"forward"}]
    others = [case.data for case in small if case.data not in good]
    return good * (3 * len(others) // len(good) + 1) + others


class Mutations:
    def __init__(self, drivers, authority, requests, hellos, options, selection):
        self.subject = Driver(f"{drivers}/subject")
        self.authority = authority
        self.requests, self.hellos = requests, hellos
        self.count, self.seed = options.mutations, options.seed
        self.selection = selection

    def play(self):
        self.one("mutations/hellos", self.hello, hello_damaged, seeds_of(tls_cases.cases(self.authority)))
        self.one("mutations/requests", self.request, request_damaged, seeds_of(http_cases.cases()))
        if self.subject.close() != 0:
            self.selection.result("mutations/the readers", "they ended badly: see standard error")

    def one(self, name, judge, damaged, seeds):
        if not self.selection.wants(name):
            return
        rng, tally, found = random.Random(self.seed), collections.Counter(), []
        for number in range(self.count):
            data = damaged(rng, seeds)
            try:
                judge(data, tally, found)
            except RuntimeError as error:  # of the subject: a sanitizer's finding
                found.append(f"{error}: {data.hex()}")
            if len(found) > SHOWN or found and "ended with status" in found[-1]:
                found.append(f"stopped at number {number}")
                break
        said = ", ".join(f"{what} {count}" for what, count in sorted(tally.items()))
        self.selection.tap.note(f"{name}: {said}")
        # Without such numbers nothing was compared.
        if not found and (tally["forwarded"] < self.count // 8 or tally["refused"] < self.count // 8):
            found.append(f"too few to tell anything: {said}")
        if not found and self.count >= 1000 and not all(tally[f"{j.name} accepts"] > 50 for j in (
                self.hellos if judge == self.hello else self.requests)):
            found.append(f"a judge has hardly accepted any: {said}")
        self.selection.result(name, "\n".join(found) or None)

    def ask(self, question, tally):
        """The subject's verdict: for what is forwarded the words behind "forward", and the bytes."""
        line, _, rest = self.subject.ask(question).partition(b"\n")
        word, *words = line.decode("ascii").split(" ")
        tally["forwarded" if word == "forward" else "refused"] += 1
        return (words, rest) if word == "forward" else None

    def hello(self, data, tally, found):
        verdict = self.ask(b"T" + data, tally)
        if verdict is None:
            return
        name = "" if verdict[0][0] == "-" else verdict[0][0]
        for judge in self.hellos:
            try:
                read = judge.accepted(data)
            except Refused:
                tally[f"{judge.name} refuses"] += 1
                continue
            tally[f"{judge.name} accepts"] += 1
            if read.removesuffix(".").lower() != name:
                found.append(f"forwarded for {name!r}, {judge.name} reads {read!r}: {data.hex()}")

    def request(self, data, tally, found):
        verdict = self.ask(b"H" + PORT.to_bytes(2, "big") + data, tally)
        if verdict is None:
            return
        (host, used), out = verdict
        host = f"[{host}]" if ":" in host else host
        said = {}
        for judge in self.requests:
            try:
                read = judge.requests(out)
            except Refused as refused:
                tally[f"{judge.name} refuses"] += 1
                if not known_refusal(judge.name, out):
                    found.append(f"{judge.name} refuses what is forwarded: {refused}: {out!r} of {data!r}")
                continue
            tally[f"{judge.name} accepts"] += 1
            said[judge.name] = read
            if len(read) != 1 or read[0].hosts != (host.encode(),):
                found.append(f"forwarded for {host!r}, {judge.name} reads {read}: {out!r} of {data!r}")
        if len({repr(read) for read in said.values()}) > 1:
            found.append(f"they differ: {said}: {out!r} of {data!r}")
        self.request_as_sent(data[:int(used)], host, said, found)

    def request_as_sent(self, data, host, said, found):
        """Who takes the client's own bytes has to read the same name and body in them."""
        for judge in self.requests[:2]:
            try:
                read = judge.requests(data)
            except Refused:
                continue
            hosts = [value.strip().lower().removesuffix(f":{PORT}".encode()).removesuffix(b".")
                     for r in read for value in r.hosts]
            same = [address(value) for value in hosts] == [address(host.encode())]
            bodies = [r.body for r in said.get(judge.name, [])]
            if len(read) != 1 or not same or bodies and bodies != [read[0].body]:
                found.append(f"forwarded for {host!r}, {judge.name} reads {read} in what was sent: {data!r}")


def address(value):
    """An IPv6 literal in one form, other values as they are."""
    text = value.decode("latin-1")
    if not text.startswith("["):
        return text
    try:
        plain = ipaddress.IPv6Address(text[1:-1])
    except ValueError:
        return text
    return str(plain.ipv4_mapped) if plain.ipv4_mapped else f"[{plain}]"
