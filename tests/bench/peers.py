# SPDX-License-Identifier: MIT
"""The contenders: sluice, the programs that do the same job, and no proxy at all."""
import os
import re

from lab import Missing, until
from lab.base import need
from lab.node import PROXY_UID, Node

TLS_PORTS = {443: 15443, 8443: 18443, 9443: 19443}  # the client's port -> the peer's, for peers that cannot ask for it
HTTP_PORT, HTTP_PEER = 80, 15080

POLICY = """\
[policy]
name       = bench
access-log = off
nameservers = {nameserver}
[capture]
method = {method}
dns    = allow
[service bench]
hosts-file = {hosts}
ports      = http:80, https:443, tls:8443, tls:9443
resolution = dns
"""

REDIRECT = """\
table ip peer {{
	chain output {{
		type nat hook output priority -100
		meta skuid {uid} return
		oifname lo return
		{rules}
	}}
}}
"""

TPROXY = """\
table ip peer {{
	chain output {{
		type route hook output priority mangle
		meta skuid {uid} return
		oifname lo return
		tcp dport {{ 80, 443, 8443, 9443 }} meta mark set 1
	}}
	chain prerouting {{
		type filter hook prerouting priority mangle
		{rules}
	}}
}}
"""

HAPROXY = """\
global
	maxconn 9700
	nbthread 1
defaults
	timeout connect 10s
	timeout client 1h
	timeout server 1h
frontend tls
	mode tcp
	bind 0.0.0.0:15443 {transparent}
	tcp-request inspect-delay 5s
	acl listed req.ssl_sni -i -f {hosts}
	tcp-request content accept if listed
	tcp-request content reject if {{ req.ssl_hello_type 1 }}
	default_backend tls
backend tls
	mode tcp
	server asked *
frontend http
	mode http
	bind 0.0.0.0:15080 {transparent}
	acl listed req.hdr(host) -i -f {hosts}
	http-request deny deny_status 502 unless listed
	default_backend http
backend http
	mode http
	{reuse}
	server asked *
"""

NGINX = """\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
pid {dir}/peer-nginx.pid;
error_log {dir}/peer-nginx-error.log crit;
worker_rlimit_nofile 19990;
events {{ worker_connections 19900; }}
stream {{
	map_hash_max_size 65536;
	map_hash_bucket_size 128;
{streams}
}}
http {{
	access_log off;
	keepalive_requests 100000000;
	client_body_temp_path {dir}/t; proxy_temp_path {dir}/t;
	fastcgi_temp_path {dir}/t; uwsgi_temp_path {dir}/t; scgi_temp_path {dir}/t;
	server_names_hash_max_size 65536;
	server_names_hash_bucket_size 128;
	upstream web {{ {web} keepalive 64; keepalive_requests 100000000; }}
	server {{ listen 15080 default_server; return 502; }}
	server {{
		listen 15080;
		server_name {names};
		location / {{
			proxy_pass http://web;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $host;
		}}
	}}
}}
"""

STREAM = """\
	upstream to{port} {{ {servers} }}
	upstream no{port} {{ server 127.0.0.1:9; }}
	map $ssl_preread_server_name $up{port} {{ default no{port}; include {names}; }}
	server {{ listen {peer}; ssl_preread on; proxy_pass $up{port}; }}
"""


class Contender:
    """`pids` are the processes whose cost counts."""

    name = "direct"

    def __init__(self):
        self.pod = None
        self.child = None

    def start(self, bench):
        self.pod = bench.internet.pod(self.slug(), 4)

    def slug(self):
        """The name as a part of file names."""
        return re.sub(r"[^a-z]+", "-", self.name)

    def pids(self):
        return [self.child.pid] if self.child else []

    def wait(self, bench):
        """Until a peer listens."""
        until(lambda: bench.listens(self.pod, HTTP_PEER) or not self.child.alive(), self.name)
        if not self.child.alive():
            raise RuntimeError(f"{self.name}: {self.child.output()}")

    def capture(self, text):
        """A peer's nftables rules."""
        self.pod.space.must(["nft", "-f", "-"], stdin=text)


class Direct(Contender):
    pass


class Sluice(Contender):
    def __init__(self, method, programs):
        super().__init__()
        self.name = f"sluice {method}"
        self.method = method
        self.programs = programs
        self.node = None

    def start(self, bench):
        super().start(bench)
        self.node = Node(self.pod, self.programs, ["--workers", "1"], self.slug(), bench.pinned([]))
        self.node.policy(POLICY.format(nameserver=self.pod.nameserver, method=self.method, hosts=bench.hosts_file))
        self.node.apply()
        self.node.start()

    def pids(self):
        return [self.node.proxy.pid]


class PlainSluice(Sluice):
    """The proxy alone, behind the rules that the peers get: what the guard costs is the difference."""

    def __init__(self, programs):
        super().__init__("tproxy", programs)
        self.name = "sluice, peers' rules"

    def start(self, bench):
        super().start(bench)
        self.node.remove()
        ports = {port: 15001 for port in [*TLS_PORTS, HTTP_PORT]}
        divert(self.pod.space)
        self.capture(TPROXY.format(uid=PROXY_UID, rules=peer_rules("tproxy", ports)))


def divert(space):
    """The policy route of method tproxy, for peers."""
    space.ip("rule add fwmark 1 lookup 100", "route add local default dev lo table 100")


def peer_rules(method, ports):
    """The rule lines for these {client's port: peer's port}."""
    if method == "redirect":
        return "\n\t\t".join(f"tcp dport {port} redirect to :{to}" for port, to in ports.items())
    return "\n\t\t".join(f'iifname "lo" meta mark 1 tcp dport {port} tproxy to :{to} accept' for port, to in ports.items())


class HAProxy(Contender):
    def __init__(self, method, reuse=False):
        super().__init__()
        self.name = f"haproxy {method}" + (" reuse" if reuse else "")
        self.method = method
        self.reuse = reuse

    def start(self, bench):
        need("haproxy", "nft")
        super().start(bench)
        name = self.slug()
        conf = bench.lab.write(f"{name}.cfg", HAPROXY.format(
            hosts=bench.hosts_file, transparent="transparent" if self.method == "tproxy" else "",
            reuse="http-reuse always" if self.reuse else ""))
        ports = {port: 15443 for port in TLS_PORTS} | {HTTP_PORT: HTTP_PEER}
        if self.method == "tproxy":
            divert(self.pod.space)
        text = TPROXY if self.method == "tproxy" else REDIRECT
        self.capture(text.format(uid=PROXY_UID, rules=peer_rules(self.method, ports)))
        self.child = self.pod.space.spawn(name, bench.pinned([
            "setpriv", f"--reuid={PROXY_UID}", f"--regid={PROXY_UID}", "--clear-groups", "--inh-caps=+net_admin",
            "--ambient-caps=+net_admin", "--", "haproxy", "-db", "-f", conf]))
        self.wait(bench)


class Nginx(Contender):
    name = "nginx redirect"

    def start(self, bench):
        need("nginx", "nft")
        if not os.path.exists("/usr/lib/nginx/modules/ngx_stream_module.so"):
            raise Missing("nginx's stream module: not installed: run .ci/setup")
        super().start(bench)
        streams = ""
        for port, peer in TLS_PORTS.items():
            names = bench.lab.write(f"names-{port}", "".join(f"{name} to{port};\n" for name in bench.names))
            servers = " ".join(f"server {address}:{port};" for address in bench.addresses)
            streams += STREAM.format(port=port, peer=peer, names=names, servers=servers)
        conf = bench.lab.write("peer-nginx.conf", NGINX.format(
            dir=bench.lab.dir, streams=streams, names=" ".join(bench.names),
            web=" ".join(f"server {address}:{HTTP_PORT};" for address in bench.addresses)))
        self.capture(REDIRECT.format(uid=PROXY_UID, rules=peer_rules("redirect", TLS_PORTS | {HTTP_PORT: HTTP_PEER})))
        os.makedirs(bench.lab.path("t"), exist_ok=True)
        for path in (bench.lab.path("t"), bench.lab.dir):
            os.chown(path, PROXY_UID, PROXY_UID)
        self.child = self.pod.space.spawn("peer-nginx", bench.pinned([
            "setpriv", f"--reuid={PROXY_UID}", f"--regid={PROXY_UID}", "--clear-groups", "--", "nginx", "-c", conf,
            "-e", bench.lab.path("peer-nginx-error.log")]))
        self.wait(bench)

    def pids(self):
        """The worker alone: the master does nothing meanwhile."""
        with open(f"/proc/{self.child.pid}/task/{self.child.pid}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
