# SPDX-License-Identifier: MIT
"""A throw-away certificate authority with one server certificate for all names of the stand-in internet."""
from lab.base import need

REQUEST = """\
[req]
distinguished_name = dn
prompt = no
[dn]
CN = {cn}
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[server]
basicConstraints = CA:false
subjectAltName = {names}
"""
CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Authority:
    """`ca`, `cert` and `key` are files; clients that run with the lab's environment trust `ca`."""

    def __init__(self, lab, names):
        need("openssl")
        self.lab, self.ca = lab, lab.path("ca.pem")
        ca_conf = lab.write("ca.cnf", REQUEST.format(cn="sluice lab CA", names="DNS:ca"))
        lab.must(["openssl", "req", "-x509", *CURVE, "-days", "2", "-config", ca_conf, "-extensions", "ca",
                  "-keyout", lab.path("ca-key.pem"), "-out", self.ca])
        self.cert, self.key = self.issue("cert", "sluice lab", names)
        lab.env["CURL_CA_BUNDLE"] = lab.env["SSL_CERT_FILE"] = self.ca

    def issue(self, stem, cn, names):
        """A certificate and its key: files of the lab that begin with stem."""
        lab, cert, key, csr = self.lab, *(self.lab.path(f"{stem}{end}") for end in (".pem", "-key.pem", "-csr.pem"))
        conf = lab.write(f"{stem}.cnf", REQUEST.format(cn=cn, names=", ".join(f"DNS:{name}" for name in names)))
        lab.must(["openssl", "req", *CURVE, "-config", conf, "-keyout", key, "-out", csr])
        lab.must(["openssl", "x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey", lab.path("ca-key.pem"), "-days", "2",
                  "-extfile", conf, "-extensions", "server", "-out", cert])
        return cert, key
