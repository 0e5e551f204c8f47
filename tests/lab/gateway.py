# SPDX-License-Identifier: MIT
"""Gateways of others on hosts of the stand-in internet: the distribution's programs, each with a small configuration.

Every one says in its own log whom it was asked for; asked() reads that.
"""
import os
import re

from lab.base import Late, need, until
from lab.internet import DNS, V4, address, literal

NGINX_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"


class Gateway:
    """A running program that takes connections. `said`: a pattern; its groups are the name and port it was told."""

    program = said = None
    port = 0

    def __init__(self, internet, number, port=None, family=V4, **options):
        need(*self.program.split())
        self.internet, self.lab, self.number = internet, internet.lab, number
        self.port = port or self.port
        self.name = f"{internet.name}/{type(self).__name__.lower()}-{number}-{self.port}"
        self.address = address(number, family)
        self.where = f"{literal(self.address)}:{self.port}"
        self.dir = self.lab.path(self.name)
        self.log = f"{self.dir}/log"
        os.makedirs(self.dir)
        os.chmod(self.dir, 0o777)  # most give up their privileges
        self.options = options
        self.child = self.start()
        self.wait(self.child, lambda: internet.answers(number, self.port, family))

    def start(self):
        """Spawn it; returns the child whose output is shown if it ends."""
        raise NotImplementedError

    def wait(self, child, ready):
        until(lambda: not child.alive() or ready(), f"{self.name}: {child.output()}", 30)
        if not child.alive():
            raise RuntimeError(f"{self.name}: {child.output()}{self.text()}")

    def spawn(self, *argv, name=""):
        return self.internet.space.spawn(f"{self.name}{name}", list(argv))

    def write(self, text, name="conf"):
        """A file of its own; what stands in braces is filled in, with the options too."""
        return self.lab.write(f"{self.name}/{name}", text.format(
            dir=self.dir, log=self.log, dns=address(DNS[V4], V4), address=self.address, host=literal(self.address),
            port=self.port, where=self.where, **self.options))

    def text(self):
        """Its own log."""
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def asked(self):
        """Whom it was asked for, in order: "NAME:PORT", or what it says of these."""
        return [":".join(match.groups()) for match in re.finditer(self.said, self.text(), re.M)]

    def was_asked(self, count, what):
        """Wait until it was asked for that, more than count times in all."""
        try:
            until(lambda: what in self.asked()[count:], self.name)
        except Late:
            raise Late(f"{self.name}: not asked for {what}: {self.text()[-2000:]}") from None


class Squid(Gateway):
    """CONNECT. rule: "allow" or "deny"."""

    program, port, said = "squid", 3128, r" CONNECT (\S+) "

    def start(self):
        self.options.setdefault("rule", "allow")
        return self.spawn("squid", "-N", "-d1", "-f", self.write("""\
http_port {where}
http_access {rule} all
dns_nameservers {dns}
visible_hostname gateway
access_log stdio:{log}
buffered_logs off
cache_log {dir}/cache.log
pid_filename none
coredump_dir {dir}
pinger_enable off
cache deny all
shutdown_lifetime 0 seconds
"""))


class Tinyproxy(Gateway):
    """CONNECT. more: further lines, such as BasicAuth."""

    program, port, said = "tinyproxy", 8888, r"Request \(file descriptor \d+\): CONNECT (\S+) HTTP"

    def start(self):
        self.options.setdefault("more", "")
        return self.spawn("tinyproxy", "-d", "-c", self.write("""\
Listen {address}
Port {port}
User nobody
Group nogroup
Timeout 600
LogLevel Connect
LogFile "{log}"
{more}
"""))


class Dante(Gateway):
    """SOCKS5. rule: "pass" or "block"."""

    program, port, said = "danted", 1080, r" dorequest\(\): command 1 .* ATYP: 3 address: (\S+)\.(\d+) $"

    def start(self):
        self.options.setdefault("rule", "pass")
        self.internet.space.ip(f"addr add {self.address}/32 dev lo")  # it looks for it on an interface
        return self.spawn("danted", "-f", self.write("""\
logoutput: {log}
debug: 1
internal: {address} port = {port}
external: {address}
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{
	from: 0/0 to: 0/0
}}
socks {rule} {{
	from: 0/0 to: 0/0
	log: connect error
}}
"""), "-p", f"{self.dir}/pid")


class Ssh(Gateway):
    """SOCKS5 by ssh -D: the client beside a throw-away server of its own."""

    program, port, said = "sshd ssh ssh-keygen", 1080, r"target (\S+) port (\d+)"

    def start(self):
        for name in ("host", "user"):
            self.lab.must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self.dir}/{name}"])
        self.options["inner"] = inner = 2200 + self.number
        conf = self.write("""\
ListenAddress 127.0.0.1:{inner}
HostKey {dir}/host
PidFile none
AuthorizedKeysFile {dir}/user.pub
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
LogLevel DEBUG1
""")
        # Its own directory in /run, which is there only where ssh is a service, is made for it alone.
        script = f"mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd -D -E {self.log} -f {conf}"
        server = self.spawn("sh", "-c", script, name="-server")
        self.wait(server, lambda: "Server listening" in self.text())
        return self.spawn("ssh", "-N", "-D", self.where, "-i", f"{self.dir}/user", "-p", str(inner), "-F", "none",
                          "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self.dir}/known",
                          "-o", "ExitOnForwardFailure=yes", "-o", "BatchMode=yes", "root@127.0.0.1")


HAPROXY = """\
global
	log stdout format raw local0 info
defaults
	timeout connect 5s
	timeout client 60s
	timeout server 60s
resolvers dns
	nameserver lab {dns}:53
	accepted_payload_size 1232
"""


class HaproxyAuthority(Gateway):
    """PROXY protocol, version 2: goes to the authority that the header names, at its destination's port."""

    program, port, said = "haproxy", 8001, r"authority=(\S+)"

    def start(self):
        child = self.spawn("haproxy", "-db", "-f", self.write(HAPROXY + """\
frontend in
	mode tcp
	bind {where} accept-proxy
	log global
	log-format "from=%ci:%cp to=%[var(sess.to)]:%fp authority=%[fc_pp_authority]:%fp %B %ts"
	tcp-request session set-var(sess.to) dst
	tcp-request inspect-delay 5s
	tcp-request content do-resolve(sess.address,dns,ipv4) fc_pp_authority
	tcp-request content reject unless {{ var(sess.address) -m found }}
	tcp-request content set-dst var(sess.address)
	default_backend out
backend out
	mode tcp
	server any 0.0.0.0:0
"""))
        self.log = child.log
        return child


class HaproxyTls(Gateway):
    """TLS to the gateway, HTTP inside: goes to its Host, port 80. verify: "none", or "required" for mutual TLS."""

    program, port, said = "haproxy", 8443, r"host=(\S+)"

    def start(self):
        self.options.setdefault("verify", "none")
        with open(f"{self.dir}/pem", "w", encoding="ascii") as both:
            for path in (self.options["cert"], self.options["key"]):
                with open(path, encoding="ascii") as file:
                    both.write(file.read())
        child = self.spawn("haproxy", "-db", "-f", self.write(HAPROXY + """\
frontend in
	mode http
	bind {where} ssl crt {dir}/pem ca-file {ca} verify {verify}
	log global
	log-format "host=%[capture.req.hdr(0)] sni=%[ssl_fc_sni] version=%sslv client=%[ssl_c_s_dn(CN)] %ST %ts"
	http-request capture req.hdr(host) len 255
	http-request do-resolve(txn.address,dns,ipv4) hdr(host),host_only
	http-request reject unless {{ var(txn.address) -m found }}
	http-request set-dst var(txn.address)
	http-request set-dst-port int(80)
	default_backend out
backend out
	mode http
	server any 0.0.0.0:0
"""))
        self.log = child.log
        return child


class Nginx(Gateway):
    """HTTP by Host on `port`, TLS by SNI on `port` + 363: 80 and 443. proxy: "proxy_protocol", for a header first."""

    program, port, said = "nginx", 80, r"^(?:sni|host)=(\S+)"

    def start(self):
        self.options.setdefault("proxy", "")
        self.options["tls"] = self.port + 363
        conf = self.write(f"load_module {NGINX_STREAM};\n" + """\
daemon off;
worker_processes 1;
pid {dir}/pid;
error_log {dir}/errors;
events {{ worker_connections 256; }}
stream {{
	log_format asked "sni=$ssl_preread_server_name from=$proxy_protocol_addr:$proxy_protocol_port $status";
	access_log {log} asked;
	resolver {dns} ipv6=off;
	server {{
		listen {host}:{tls} {proxy};
		ssl_preread on;
		proxy_pass $ssl_preread_server_name:443;
	}}
}}
http {{
	log_format asked "host=$host from=$proxy_protocol_addr:$proxy_protocol_port $status";
	access_log {log} asked;
	client_body_temp_path {dir}/t; proxy_temp_path {dir}/t;
	fastcgi_temp_path {dir}/t; uwsgi_temp_path {dir}/t; scgi_temp_path {dir}/t;
	resolver {dns} ipv6=off;
	server {{
		listen {where} {proxy};
		location / {{
			proxy_pass http://$host:80;
			proxy_http_version 1.1;
			proxy_set_header Host $host;
		}}
	}}
}}
""")
        return self.spawn("nginx", "-c", conf, "-e", f"{self.dir}/errors")


class Stunnel(Gateway):
    """Mutual TLS, taken off, and what is inside handed to another gateway (to: "ADDRESS:PORT")."""

    program, port, said = "stunnel4", 9443, r"Certificate accepted at depth=0: (.*)"

    def start(self):
        return self.spawn("stunnel4", self.write("""\
foreground = yes
syslog = no
pid =
debug = info
output = {log}
[gateway]
accept = {where}
connect = {to}
cert = {cert}
key = {key}
CAfile = {ca}
verifyChain = yes
requireCert = yes
"""))


class HaproxySender(Gateway):
    """Hands what comes to `to` ("ADDRESS:PORT"), behind a PROXY header, version 2, once its health check is answered.

    more: further words of the server's line, such as proxy-v2-options.
    """

    program, port, said = "haproxy", 8002, r"client=(\S+)"

    def start(self):
        self.options.setdefault("more", "")
        child = self.spawn("haproxy", "-db", "-f", self.write(HAPROXY + """\
frontend in
	mode tcp
	bind {where}
	log global
	log-format "client=%ci:%cp %B %ts"
	use_backend out if {{ nbsrv(out) gt 0 }}
backend out
	mode tcp
	option httpchk
	http-check send meth GET uri /health ver HTTP/1.1 hdr Host origin.test
	http-check expect status 200
	server gateway {to} send-proxy-v2 check check-send-proxy inter 200ms {more}
"""))
        self.log = child.log
        return child


class NginxSender(Gateway):
    """The same by version 1, and without health checks."""

    program, port, said = "nginx", 8003, r"client=(\S+)"

    def start(self):
        return self.spawn("nginx", "-e", f"{self.dir}/errors", "-c", self.write(f"load_module {NGINX_STREAM};\n" + """\
daemon off;
worker_processes 1;
pid {dir}/pid;
error_log {dir}/errors;
events {{ worker_connections 256; }}
stream {{
	log_format asked "client=$remote_addr:$remote_port $status";
	access_log {log} asked;
	server {{
		listen {where};
		proxy_pass {to};
		proxy_protocol on;
	}}
}}
"""))
