# SPDX-License-Identifier: MIT
"""The gateways by themselves: clients of others go through them, without sluice."""
import socket
import ssl

from lab.gateway import Dante, HaproxyAuthority, HaproxyTls, Nginx, Squid, Ssh, Stunnel, Tinyproxy
from world import proxy_header

HELLO = "www.wikipedia.org says hello over TLSv1.3\n"
URL = "https://www.wikipedia.org/"


def through(world, gateway, want, *options, url=URL, status=0, says=HELLO):
    before = len(gateway.asked())
    assert world.curl(world.pod(), url, *options) == (status, says), gateway.text()
    gateway.was_asked(before, want)


def test_squid(world):
    gateway = world.gateway(Squid)
    through(world, gateway, "www.wikipedia.org:443", "--proxy", f"http://{gateway.where}")


def test_squid_that_denies(world):
    gateway = world.gateway(Squid, rule="deny")
    through(world, gateway, "www.wikipedia.org:443", "--proxy", f"http://{gateway.where}", status=56,
            says="curl: (56) CONNECT tunnel failed, response 403\n")


def test_tinyproxy(world):
    gateway = world.gateway(Tinyproxy)
    through(world, gateway, "www.wikipedia.org:443", "--proxy", f"http://{gateway.where}")


def test_tinyproxy_that_wants_a_password(world):
    gateway = world.gateway(Tinyproxy, more="BasicAuth user secret")
    assert world.curl(world.pod(), URL, "--proxy", f"http://{gateway.where}") == (
        56, "curl: (56) CONNECT tunnel failed, response 407\n")


def test_dante(world):
    gateway = world.gateway(Dante)
    through(world, gateway, "www.wikipedia.org:443", "--socks5-hostname", gateway.where)


def test_dante_that_blocks(world):
    gateway = world.gateway(Dante, rule="block")
    status, says = world.curl(world.pod(), URL, "--socks5-hostname", gateway.where)
    assert status == 97 and "(2)" in says, says


def test_ssh(world):
    gateway = world.gateway(Ssh)
    through(world, gateway, "www.wikipedia.org:443", "--socks5-hostname", gateway.where)


def proxied(world, gateway, header):
    """The answer to a request behind a PROXY header; None: closed."""
    pod = world.pod()
    with pod.space.socket(socket.AF_INET) as plain:
        plain.settimeout(20)
        plain.connect((gateway.address, gateway.port))
        plain.sendall(header)
        context = ssl.create_default_context(cafile=world.authority.ca)
        try:
            with context.wrap_socket(plain, server_hostname="www.wikipedia.org") as sock:
                sock.sendall(b"GET / HTTP/1.0\r\nHost: www.wikipedia.org\r\n\r\n")
                return b"".join(iter(lambda: sock.recv(4096), b"")).decode()
        except (ssl.SSLEOFError, ConnectionResetError):
            return None


def test_haproxy_with_a_proxy_header(world):
    gateway = world.gateway(HaproxyAuthority)
    header = ("192.0.2.7", 40000, "198.51.100.2", 443, "www.wikipedia.org")
    assert proxied(world, gateway, proxy_header(*header)).endswith(HELLO)
    gateway.was_asked(0, "www.wikipedia.org:443")
    assert "from=192.0.2.7:40000 to=198.51.100.2:443" in gateway.text()
    assert proxied(world, gateway, proxy_header(*header, crc=1)) is None
    assert proxied(world, gateway, b"") is None


def test_nginx_by_host_and_by_server_name(world):
    gateway = world.gateway(Nginx)
    through(world, gateway, "www.wikipedia.org", "--connect-to", f"::{gateway.address}:443")
    before = len(gateway.asked())
    status, says = world.curl(world.pod(), "http://origin.test/echo", "--connect-to", f"::{gateway.address}:80")
    assert status == 0 and "Host: origin.test" in says, says
    gateway.was_asked(before, "origin.test")


def test_haproxy_by_tls(world):
    gateway = world.gateway(HaproxyTls, **world.tls())
    status, says = world.curl(world.pod(), "https://origin.test/echo", "--connect-to", f"::{gateway.where}")
    assert status == 0 and "host: origin.test" in says, says
    gateway.was_asked(0, "origin.test")


def test_haproxy_by_mutual_tls(world):
    gateway = world.gateway(HaproxyTls, verify="required", **world.tls())
    url, where = "https://origin.test/echo", ("--connect-to", f"::{gateway.where}")
    assert world.curl(world.pod(), url, *where)[0] == 56
    assert not gateway.asked()
    status, says = world.curl(world.pod(), url, *where, "--cert", world.client_cert, "--key", world.client_key)
    assert status == 0 and "host: origin.test" in says, says
    gateway.was_asked(0, "origin.test")
    assert "client=node-1" in gateway.text()


def test_stunnel_by_mutual_tls(world):
    inner = world.gateway(Nginx)
    gateway = world.gateway(Stunnel, to=inner.where, **world.tls())
    url, where = "https://origin.test/echo", ("--connect-to", f"::{gateway.where}")
    assert world.curl(world.pod(), url, *where)[0] in (55, 56)  # closed, before or behind the request
    status, says = world.curl(world.pod(), url, *where, "--cert", world.client_cert, "--key", world.client_key)
    assert status == 0 and "Host: origin.test" in says, says
    inner.was_asked(0, "origin.test")
    gateway.was_asked(0, "CN=node-1")
