# SPDX-License-Identifier: MIT
"""The proxy as the name server of what it contains. The pod's resolv.conf names the real one."""
import re

from lab.internet import V4


def dig(run, question, server="@{nameserver}"):
    """(status, the short answers, the whole text) of a question that dig asks of any server."""
    done = run.command(f"dig +tries=1 +time=4 @{server} {question}")
    status = re.search(r"status: (\w+)", done.stdout)
    section = re.search(r"^;; ANSWER SECTION:\n(.*?)^$", done.stdout, re.M | re.S)
    answers = re.findall(r"^\S+\s+\d+\s+IN\s+\S+\s+(.*)$", section.group(1) if section else "", re.M)
    return status.group(1) if status else None, answers, done.stdout


def queries(run, mark):
    """What has gone to name servers since then."""
    return [frame for frame in run.group.sniffer.seen(mark) if frame.dport == 53]


def kind(run):
    return "A" if run.family == V4 else "AAAA"


def listed(run):
    """Names of the registry, by UDP and TCP, asked of any server; the answer is the real one."""
    real = run.group.address("origin.test", False)
    for server in ("@{nameserver}", "@{evil.test}"):
        for how in ("+notcp", "+tcp"):
            status, answers, text = dig(run, f"{how} {kind(run)} origin.test", server)
            run.expect((status, answers) == ("NOERROR", [real]), f"{server} {how}: {text}")
    status, answers, text = dig(run, f"{kind(run)} oRiGiN.TEST.")
    run.expect((status, answers) == ("NOERROR", [real]), f"case and final dot: {text}")
    status, answers, text = dig(run, f"{kind(run)} a.wild.test")
    run.expect((status, answers) == ("NOERROR", [real]), f"a wildcard's name: {text}")


def unlisted(run):
    """No query leaves for a name that no service lists, whatever is asked for."""
    mark = len(run.group.sniffer.seen())
    for question in ("A evil.test", "AAAA evil.test", "TXT evil.test", "NULL x.evil.test", "ANY evil.test",
                     "CNAME evil.test", "HTTPS evil.test", "A " + "a" * 60 + ".evil.test", "MX evil.test",
                     "PTR 1.2.3.4.in-addr.arpa", "A wild.test", "A tls.test", "A xorigin.test", "NS ."):
        for how in ("+notcp", "+tcp"):
            status, answers, text = dig(run, f"{how} {question}", "@{evil.test}")
            run.expect(status in ("NXDOMAIN", "REFUSED", "NOERROR", "NOTIMP") and not answers,
                       f"{question} {how}: {text}")
    run.expect(dig(run, "A evil.test")[0] in ("NXDOMAIN", "REFUSED"), "an unlisted name seems to exist")
    run.expect(not queries(run, mark), f"queries left: {queries(run, mark)}")


def other_types(run):
    """Types that could carry something are not asked for, of listed names either."""
    dig(run, f"{kind(run)} origin.test")
    mark = len(run.group.sniffer.seen())
    for question in ("TXT origin.test", "MX origin.test", "NULL origin.test", "ANY origin.test", "NS origin.test"):
        status, answers, text = dig(run, question)
        run.expect(status in ("NOERROR", "NOTIMP") and not answers, f"{question}: {text}")
    run.expect(not queries(run, mark), f"queries left: {queries(run, mark)}")


def rebinding(run):
    """Addresses that the proxy would not dial are not told either."""
    for name in ("private.test", "loopback.test", "metadata.test", "nat64.test"):
        for question in ("A", "AAAA"):
            _, answers, text = dig(run, f"{question} {name}")
            run.expect(not answers, f"{question} {name}: {text}")


def negative(run):
    status, answers, text = dig(run, "A missing.test")
    run.expect(status == "NXDOMAIN" and not answers, text)


def edns(run):
    """Sizes, versions and options of clients are theirs alone."""
    _, answers, text = dig(run, f"+bufsize=512 {kind(run)} many.test")
    run.expect(len(answers) == 2, text)
    status, _, text = dig(run, f"+edns=1 +noednsneg {kind(run)} origin.test")
    run.expect(status == "BADVERS", text)
    status, answers, text = dig(run, f"+subnet=198.51.100.0/24 +dnssec {kind(run)} origin.test")
    run.expect(status == "NOERROR" and len(answers) == 1 and "CLIENT-SUBNET" not in text, text)


def search(run):
    """A resolver with a search list finds the name, and fast ones that are not there do not stop it."""
    done = run.command("getent ahosts origin.test")
    run.expect(done.returncode == 0 and run.group.address("origin.test", False) in done.stdout, f"getent: {done}")
    done = run.command("getent ahosts evil.test")
    run.expect(done.returncode == 2, f"getent finds what is not listed: {done}")
    code, body, status = run.curl("http://origin.test/bytes/3")
    run.expect(code == "200" and len(body.rstrip("\n")) == 3, f"curl by name: {code} {body!r} {status}")


def synthetic(run):
    """Two servers on one port: each name leads to its own."""
    seen = {}
    for name in ("db.test", "cache.test"):
        status, answers, text = dig(run, f"{kind(run)} {name}")
        run.expect(status == "NOERROR" and len(answers) == 1, text)
        run.expect(re.match(r"240\.240\.|2001:2::f0f0:", answers[0]), text)
        seen[name] = answers[0]
    run.expect(len(set(seen.values())) == 2, f"one address for two: {seen}")
    servers = [run.serve("db.test:4406", "send first\\n", "close"), run.serve("cache.test:4406", "send second\\n", "close")]
    for name, word in (("db.test", "first"), ("cache.test", "second")):
        done = run.command(f"nc -{run.family} -w 5 {seen[name]} 4406", stdin="")
        run.expect(word in done.stdout, f"{name}: {done}")
    run.expect(all(server.clients == 1 for server in servers), "a server had other clients")
    # The real address is no service's any more.
    run.talk("db.test:4406", "gone")
