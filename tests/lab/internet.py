# SPDX-License-Identifier: MIT
"""The stand-in internet: a namespace with many addresses, name servers, web servers; and pods that reach it by a veth.

Host number N has the addresses 203.0.113.N and 2001:db8:113::N (the digits are the same). 256+N is 198.51.100.N and
2001:db8:51::N, 512+N is 10.99.0.N and fd00:99::N, which are private. Names have both addresses; a name server that
answers A only, one that answers AAAA only and one that answers both let a test choose the family.
"""
import itertools
import os
import signal
import socket

from lab.base import need, until
from lab.ca import Authority
from lab.space import Space

V4, V6 = 4, 6
FAMILY = {V4: socket.AF_INET, V6: socket.AF_INET6}
NETS = {V4: ("203.0.113.", "198.51.100.", "10.99.0."), V6: ("2001:db8:113::", "2001:db8:51::", "fd00:99::")}

WEB = 10        # nginx
DNS = {V4: 53, V6: 53, 0: 54}  # name servers, by family; 0: both families

DNSMASQ = """\
port=53
bind-interfaces
no-resolv
no-hosts
no-poll
local-ttl={ttl}
neg-ttl={ttl}
user=root
local=/#/
"""

NGINX = """\
daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
	access_log off;
	default_type text/plain;
	server_tokens off;
	client_body_temp_path {dir}/nginx; proxy_temp_path {dir}/nginx; fastcgi_temp_path {dir}/nginx;
	uwsgi_temp_path {dir}/nginx; scgi_temp_path {dir}/nginx;
	ssl_protocols TLSv1.2 TLSv1.3;
	ssl_certificate {cert}; ssl_certificate_key {key};
	server {{
		{listen_http}
		return 301 https://$host$request_uri;
	}}
	server {{
		{listen_https}
		location / {{ return 200 "$host says hello over $ssl_protocol\\n"; }}
		location /files/ {{ root {dir}/www; }}
	}}
}}
"""


def address(number, family):
    """The address of host number N."""
    net, host = divmod(number, 256)
    return f"{NETS[family][net]}{host}"


def literal(text):
    """An address as it stands in a URL."""
    return f"[{text}]" if ":" in text else text


class Internet:
    """`hosts` maps names to host numbers (or to lists of addresses); all resolve once the name servers run.

    A lab may have several, each with its own name and pods; they cannot reach each other.
    """

    _pods = itertools.count(1)

    def __init__(self, lab, hosts, name="net", authority=None):
        self.lab = lab
        self.name = name
        self.hosts = dict(hosts)
        self.space = Space(lab, name)
        self.space.sysctl("ipv4/ip_nonlocal_bind", 1)
        self.space.sysctl("ipv6/ip_nonlocal_bind", 1)
        self.space.sysctl("ipv4/icmp_echo_ignore_all", 0)
        # All addresses of a network are this machine's.
        self.space.ip(*(f"route add local {net}{'0/24' if family == V4 else '/64'} dev lo"
                        for family in (V4, V6) for net in NETS[family]))
        self.authority = authority or Authority(lab, list(self.hosts))

    def address(self, name, family):
        """A host's address, by name or number."""
        number = name if isinstance(name, int) else self.hosts[name]
        return address(number, family)

    def pod(self, name, dns=0, plugged=True):
        """A new pod; dns: the family that its name server answers for (0: both); plugged: see Pod."""
        return Pod(self, name, next(self._pods), dns, plugged)

    def join_pods(self):
        """Pods reach each other from now on; 192.0.2.0/24 and 2001:db8:dead::/64 go on to swallow everything."""
        self.space.sysctl("ipv4/ip_forward", 1)
        self.space.sysctl("ipv6/conf/all/forwarding", 1)
        self.space.ip("route add blackhole 192.0.2.0/24", "route add blackhole 2001:db8:dead::/64")

    def listen(self, number, port, family, backlog=1024):
        """A listening TCP socket on a host's address."""
        sock = self.space.socket(FAMILY[family])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.address(number, family), port))
        sock.listen(backlog)
        return sock

    def answers(self, number, port, family=V4):
        """Whether a TCP connection to it succeeds from inside the internet."""
        with self.space.socket(FAMILY[family]) as probe:
            probe.settimeout(1)
            return probe.connect_ex((self.address(number, family), port)) == 0

    def start(self, web=True, ttl=30):
        """Start the name servers and the web server, and wait until they answer."""
        self.nameservers = {family: NameServer(self, DNS[family], family, ttl) for family in DNS}
        if web:
            self._nginx()

    def _nginx(self):
        need("nginx")
        directory = self.lab.path(self.name)
        os.makedirs(os.path.join(directory, "www/files"), exist_ok=True)
        where = [literal(address(WEB, family)) for family in (V4, V6)]
        conf = self.lab.write(f"{self.name}/nginx.conf", NGINX.format(
            dir=directory, cert=self.authority.cert, key=self.authority.key,
            listen_http=" ".join(f"listen {a}:80;" for a in where),
            listen_https=" ".join(f"listen {a}:443 ssl http2;" for a in where)))
        self.space.spawn(f"{self.name}/nginx", ["nginx", "-c", conf, "-e", f"{directory}/nginx-error.log"])
        until(lambda: self.answers(WEB, 443), "nginx")


class NameServer:
    """A dnsmasq of the internet's, on host `number`.

    family V4: it has A records only and listens on IPv4; V6 likewise; 0: both.
    """

    def __init__(self, internet, number, family, ttl=30):
        need("dnsmasq")
        self.internet = internet
        self.number = number
        self.families = [family] if family else [V4, V6]
        self.name = f"{internet.name}/dnsmasq-{number}-{family}"
        self.hosts = dict(internet.hosts)
        self._table = internet.lab.write(f"{self.name}.hosts", self._text())
        conf = DNSMASQ.format(ttl=ttl) + f"addn-hosts={self._table}\n"
        conf += "".join(f"listen-address={address(number, f)}\n" for f in self.families)
        self._conf = internet.lab.write(f"{self.name}.conf", conf)
        self.child = None
        self.start()

    def start(self):
        self.child = self.internet.space.spawn(self.name, [
            "dnsmasq", "--keep-in-foreground", f"--conf-file={self._conf}", "--pid-file=", "--log-facility=-"])
        until(lambda: self.internet.answers(self.number, 53, self.families[0]), self.name)

    def _text(self):
        lines = []
        for name, where in self.hosts.items():
            for family in self.families:
                texts = [address(where, family)] if isinstance(where, int) else where
                lines += [f"{text} {name}\n" for text in texts if (":" in text) == (family == V6)]
        return "".join(lines)

    def change(self, hosts):
        """Add or replace names; an empty list removes one. Returns when the server has taken note."""
        self.hosts.update(hosts)
        self.internet.lab.write(f"{self.name}.hosts", self._text())
        said = self.child.output().count(self._table)
        self.child.signal(signal.SIGHUP)
        until(lambda: self.child.output().count(self._table) > said, f"{self.name} to read its names again")


class Pod:
    """A namespace with one wire to the internet, which is its default route.

    plugged: True; or False, when lay_wire() and plug_in() are the caller's to call.
    """

    def __init__(self, internet, name, index, dns, plugged=True):
        self.internet = internet
        self.space = Space(internet.lab, name)
        self.wire = f"pod{index}"
        net4, net6 = f"10.{77 + index // 256}.{index % 256}", f"fd00:77:{index}:"
        self.addresses = {V4: f"{net4}.2", V6: f"{net6}:2"}
        self.gateways = {V4: f"{net4}.1", V6: f"{net6}:1"}
        self.use_nameserver(DNS[dns], dns or V4)
        if plugged:
            self.lay_wire()
            self.plug_in()

    def lay_wire(self):
        """The wire is there, with its far end up."""
        self.internet.space.ip(f"link add {self.wire} type veth peer name eth0 netns {self.space.name}",
                               f"addr add {self.gateways[V4]}/24 dev {self.wire}",
                               f"addr add {self.gateways[V6]}/64 dev {self.wire} nodad",
                               f"link set {self.wire} up")

    def plug_in(self):
        """The near end is up too, with addresses and routes."""
        self.space.ip(f"addr add {self.addresses[V4]}/24 dev eth0",
                      f"addr add {self.addresses[V6]}/64 dev eth0 nodad",
                      "link set eth0 up",
                      f"route add default via {self.gateways[V4]}",
                      f"route add default via {self.gateways[V6]}")

    def use_nameserver(self, number, family):
        self.nameserver = address(number, family)
        self.space.resolv_conf(self.nameserver)
