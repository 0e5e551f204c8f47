# SPDX-License-Identifier: MIT
"""Certificates, good and bad, made with openssl(1). `vault[NAME]` has .chain and .key; `vault.ca` is the bundle."""
import base64
import hashlib
import re
import textwrap

from lab.base import need

CONF = """\
[req]
distinguished_name = dn
prompt = no
[dn]
CN = {cn}
[ext]
{ext}
"""
CA = "basicConstraints = critical, CA:true\nkeyUsage = critical, keyCertSign, cRLSign\nsubjectKeyIdentifier = hash"
ALT = "DNS:a.test, DNS:*.w.test, IP:127.0.0.1, URI:spiffe://plant/gateway"
EC = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
EC384 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]
RSA = ["rsa:2048"]
LONG = 9  # intermediates


def leaf(alt=ALT, more=""):
    return f"basicConstraints = CA:false\n{f'subjectAltName = {alt}' if alt else ''}\n{more}"


class Pair:
    """A certificate with its key; chain is what its owner shows."""

    def __init__(self, vault, name):
        self.cert, self.key = vault.lab.path("vault", f"{name}.pem"), vault.lab.path("vault", f"{name}.key")
        self.chain = vault.lab.path("vault", f"{name}.chain")
        self.more = vault.lab.path("vault", f"{name}.more")  # the chain without itself
        self.both = vault.lab.path("vault", f"{name}.both")  # as haproxy wants it


class Vault:
    def __init__(self, lab):
        need("openssl")
        self.lab = lab
        self._pairs = {}
        self._authorities()
        self._leaves()
        self.ca = lab.write("vault/ca", self._text(self["root"].cert) + self._text(self["rsa-root"].cert))
        self.other_ca = self["other-root"].cert

    def __getitem__(self, name):
        return self._pairs[name]

    @staticmethod
    def _text(path):
        with open(path, encoding="ascii") as file:
            return file.read()

    def make(self, name, by=None, ext=None, key=EC, days=30, shown=(), cn=None, digest="-sha256"):
        """A certificate by another (or by itself), which shows itself and `shown`."""
        pair = self._pairs[name] = Pair(self, name)
        conf = self.lab.write(f"vault/{name}.cnf", CONF.format(cn=cn or name, ext=ext if ext is not None else leaf()))
        if by is None:
            self.lab.must(["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-days", str(days), "-config", conf,
                           "-extensions", "ext", "-keyout", pair.key, "-out", pair.cert])
        else:
            csr = self.lab.path("vault", f"{name}.csr")
            self.lab.must(["openssl", "req", "-newkey", *key, "-nodes", "-config", conf, "-keyout", pair.key,
                           "-out", csr])
            self.lab.must(["openssl", "x509", "-req", "-in", csr, "-CA", self[by].cert, "-CAkey", self[by].key,
                           "-days", str(days), "-extfile", conf, "-extensions", "ext", digest, "-out", pair.cert])
        self._show(pair, shown)

    def _show(self, pair, shown):
        leaf_text, more = self._text(pair.cert), "".join(self._text(self[other].cert) for other in shown)
        for path, text in ((pair.more, more), (pair.chain, leaf_text + more),
                           (pair.both, leaf_text + more + self._text(pair.key))):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)

    def _authorities(self):
        self.make("root", ext=CA)
        self.make("rsa-root", ext=CA, key=RSA)
        self.make("other-root", ext=CA)
        self.make("inter", by="root", ext=CA)
        for k in range(LONG):
            self.make(f"long-{k}", by=f"long-{k - 1}" if k else "root", ext=CA)

    def _leaves(self):
        self.make("ec", by="root", days=10)
        self.make("ec384", by="root", key=EC384, digest="-sha384")
        self.make("rsa", by="rsa-root", key=RSA)
        self.make("chain", by="inter", shown=["inter"])
        self.make("missing", by="inter")
        self.make("self")
        self.make("unknown", by="other-root", shown=["other-root"])
        self.make("weak", by="rsa-root", key=["rsa:1024"])
        self.make("sha1", by="rsa-root", key=RSA, digest="-sha1")
        self.make("common-name", by="root", ext=leaf(alt=""), cn="a.test")
        self.make("client-only", by="root", ext=leaf(more="extendedKeyUsage = clientAuth"))
        self.make("server-only", by="root", ext=leaf(more="extendedKeyUsage = serverAuth"))
        self.make("critical", by="root", ext=leaf(more="1.2.3.4 = critical, ASN1:UTF8String:x"))
        self.make("not-ca", by="ec", shown=["ec"])
        self.make("large", by="root", ext=leaf(alt=ALT + "".join(f", DNS:name-{k}.large.test" for k in range(500))))
        self.make("long", by=f"long-{LONG - 1}", shown=[f"long-{k}" for k in reversed(range(LONG))])
        self.make("node", by="root", ext=leaf("URI:spiffe://plant/node, DNS:node.test",
                                              "extendedKeyUsage = clientAuth"))
        self.make("node-rsa", by="rsa-root", key=RSA, ext=leaf("DNS:node-rsa.test"))
        self.make("node-other", by="other-root", shown=["other-root"])
        self._damage("damaged", "ec")

    def _damage(self, name, of):
        """The same certificate with another signature."""
        pair = self._pairs[name] = Pair(self, name)
        body = re.search("-----\n(.*)-----END", self._text(self[of].cert), re.S).group(1)
        der = bytearray(base64.b64decode(body))
        der[-1] ^= 1
        lines = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
        with open(pair.cert, "w", encoding="ascii") as file:
            file.write(f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
        with open(pair.key, "w", encoding="ascii") as file:
            file.write(self._text(self[of].key))
        self._show(pair, ())

    def pin(self, name):
        """SHA-256 of its SubjectPublicKeyInfo."""
        pem = self.lab.must(["openssl", "x509", "-in", self[name].cert, "-noout", "-pubkey"]).stdout
        return hashlib.sha256(base64.b64decode("".join(pem.splitlines()[1:-1]))).hexdigest()
