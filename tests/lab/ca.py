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


class Authority:
    """`ca`, `cert` and `key` are files; clients that run with the lab's environment trust `ca`."""

    def __init__(self, lab, names):
        need("openssl")
        self.ca, self.cert, self.key = (lab.path(name) for name in ("ca.pem", "cert.pem", "key.pem"))
        ca_key, csr = lab.path("ca-key.pem"), lab.path("csr.pem")
        names = ", ".join(f"DNS:{name}" for name in names)
        ca_conf = lab.write("ca.cnf", REQUEST.format(cn="sluice lab CA", names="DNS:ca"))
        conf = lab.write("cert.cnf", REQUEST.format(cn="sluice lab", names=names))
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        lab.must(["openssl", "req", "-x509", *curve, "-days", "2", "-config", ca_conf, "-extensions", "ca",
                  "-keyout", ca_key, "-out", self.ca])
        lab.must(["openssl", "req", *curve, "-config", conf, "-keyout", self.key, "-out", csr])
        lab.must(["openssl", "x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey", ca_key, "-days", "2",
                  "-extfile", conf, "-extensions", "server", "-out", self.cert])
        lab.env["CURL_CA_BUNDLE"] = lab.env["SSL_CERT_FILE"] = self.ca
