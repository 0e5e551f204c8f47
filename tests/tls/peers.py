# SPDX-License-Identifier: MIT
"""TLS servers and clients of others."""
import os

from stage import ADDRESS

WEAK = "DEFAULT:@SECLEVEL=0"  # or OpenSSL itself would not touch what the tests are to refuse


def openssl_server(stage, pair, *more):
    """s_server, which sends each line back reversed. Returns its port."""
    port, pair = next(stage.ports), stage.vault[pair]
    stage.server("s_server", ["openssl", "s_server", "-accept", f"{ADDRESS}:{port}", *pair_options(pair), "-cipher",
                              WEAK, "-rev", "-quiet", *more], port)
    return port


def gnutls_server(stage, pair, *more, priority="NORMAL"):
    """gnutls-serv, which echoes."""
    port, pair = next(stage.ports), stage.vault[pair]
    stage.server("gnutls-serv", ["gnutls-serv", "--echo", "--port", str(port), "--x509certfile", pair.chain,
                                 "--x509keyfile", pair.key, "--disable-client-cert" if not more else "--quiet",
                                 "--priority", priority, *more], port)
    return port


NGINX = """\
daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/nginx.err info;
events {{ worker_connections 128; }}
http {{
  access_log off;
  ssl_session_cache shared:s:1m;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  default_type text/plain;
  root {dir};
{servers}
}}
"""
NGINX_SERVER = """\
  server {{
    listen {address}:{port} ssl;
    ssl_certificate {chain}; ssl_certificate_key {key};
    ssl_ciphers {weak}; ssl_protocols TLSv1.2 TLSv1.3;
    {more}
    location = /who {{ return 200 "$ssl_client_s_dn $ssl_client_verify $ssl_session_reused"; }}
  }}
"""


def nginx(stage, directory, servers):
    """servers: (certificate, more configuration). Returns their ports."""
    ports, text = [], ""
    for name, more in servers:
        ports.append(next(stage.ports))
        pair = stage.vault[name]
        text += NGINX_SERVER.format(address=ADDRESS, port=ports[-1], chain=pair.chain, key=pair.key, weak=WEAK,
                                    more=more)
    conf = stage.lab.write(f"{directory}/nginx.conf", NGINX.format(dir=stage.lab.path(directory), servers=text))
    stage.server("nginx", ["nginx", "-c", conf, "-e", "stderr"], ports[-1])
    return ports


HAPROXY = """\
global
  ssl-default-bind-options ssl-min-ver TLSv1.2
  ssl-default-server-options ssl-min-ver TLSv1.2
  tune.ssl.default-dh-param 2048
defaults
  mode tcp
  timeout connect 10s
  timeout client 30s
  timeout server 30s
"""


def haproxy(stage, text, port):
    conf = stage.lab.write(f"{stage.path('haproxy')}.cfg", HAPROXY + text)
    return stage.server("haproxy", ["haproxy", "-db", "-f", conf], port)


def haproxy_server(stage, backend_port, binds):
    """binds: (certificate, more words). What comes is handed to a plain port. Returns their ports."""
    ports, text = [], ""
    for name, more in binds:
        ports.append(next(stage.ports))
        words = f"ssl crt {stage.vault[name].both} ciphers {WEAK} {more}"
        text += f"listen l{ports[-1]}\n  bind {ADDRESS}:{ports[-1]} {words}\n"
        text += f"  server s {ADDRESS}:{backend_port}\n"
    haproxy(stage, text, ports[-1])
    return ports


def haproxy_client(stage, port, more):
    """A plain port whose bytes go to a port over TLS."""
    own = next(stage.ports)
    haproxy(stage, f"listen l\n  bind {ADDRESS}:{own}\n  server s {ADDRESS}:{port} ssl {more}\n", own)
    return own


STUNNEL = """\
foreground = yes
pid =
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
debug = info
[it]
client = {client}
accept = {address}:{own}
connect = {address}:{port}
sslVersionMin = TLSv1.2
{more}
"""


def stunnel(stage, port, client, more):
    """A port whose bytes go on to a port: as TLS (client), or what was TLS."""
    own = next(stage.ports)
    conf = stage.lab.write(f"{stage.path('stunnel')}.conf", STUNNEL.format(
        client="yes" if client else "no", address=ADDRESS, own=own, port=port, more=more))
    stage.server("stunnel", ["stunnel4", conf], own)
    return own


def openssl_client(stage, port, *more, stdin="hello\n", name="a.test"):
    """s_client's result after sending that."""
    return stage.space.run(["openssl", "s_client", "-connect", f"{ADDRESS}:{port}", "-servername", name, "-CAfile",
                            stage.vault.ca, "-verify_return_error", "-ign_eof", "-cipher", WEAK, *more], stdin=stdin)


def gnutls_client(stage, port, *more, stdin="hello\n", name="a.test"):
    return stage.space.run(["gnutls-cli", "--x509cafile", stage.vault.ca, "--port", str(port), "--sni-hostname", name,
                            "--verify-hostname", name, *more, ADDRESS], stdin=stdin)


def pair_options(pair):
    more = ["-cert_chain", pair.more] if os.path.getsize(pair.more) else []
    return ["-cert", pair.cert, "-key", pair.key, *more]
