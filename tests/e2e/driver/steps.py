# SPDX-License-Identifier: MIT
"""What a case's steps do."""
import importlib
import re
import shlex
import socket

from driver.errors import Failed
from lab import until
from lab.accesslog import matches
from lab.internet import FAMILY
from lab.talk import Server, Talk

APP = 1000  # the user that clients run as


class Run:
    """One case in one group. Scenarios get it as their argument."""

    def __init__(self, group, case):
        self.group = group
        self.case = case
        self.lab, self.pod, self.node, self.world = group.lab, group.pod, group.node, group.world
        self.internet = group.world.internet
        self.family = group.family
        self.servers = []
        self.undo = []     # called at the end, whatever happens
        group.log.poll()
        self.log_start = len(group.log.records)
        self.origin_start = {origin: len(origin.requests) for origin in group.world.all_origins()}

    # Tools, for scenarios as well.

    def fill(self, text):
        return self.group.fill(text, self.case.row)

    def endpoint(self, text):
        """("address", port) of "name:port", or of an address in that form."""
        host, _, port = self.fill(text).rpartition(":")
        host = host.strip("[]")
        if not re.fullmatch(r"[0-9a-f:.]*[:.][0-9a-f:.]+|::", host):
            host = self.group.address(host, False)
        return host, int(port)

    def connect(self, where, bind=None, seconds=10.0):
        """A TCP connection of an application in the pod. ConnectionResetError when it is reset at once."""
        sock = self.pod.space.socket(FAMILY[self.family])
        sock.settimeout(seconds)
        try:
            if bind:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(self.endpoint(bind))
            sock.connect(self.endpoint(where))
        except ConnectionResetError:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            raise Failed(f"{where}: {error}") from None
        return sock

    def talk(self, where, *script, bind=None, seconds=10.0):
        """Connect and play a script."""
        script = [self.fill(line) for line in script]
        try:
            sock = self.connect(where, bind)
        except ConnectionResetError as error:  # so soon that the client did not even see it open
            if not Talk.may_be_over(script):
                raise Failed(f"{where}: {error}") from None
            return
        Talk(sock, self.internet.authority, seconds).play(script)

    def serve(self, where, *script):
        """A scripted server, until the case ends."""
        host, port = self.endpoint(where)
        listener = self.internet.space.socket(FAMILY[self.family])
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
        server = Server(self.lab, listener, [self.fill(line) for line in script], self.internet.authority)
        self.servers.append(server)
        return server

    def command(self, text, uid=APP, **options):
        """Run a command line in the pod."""
        return self.pod.space.run(shlex.split(self.fill(text)), uid=uid, **options)

    def curl(self, text, uid=APP):
        """curl with a status code and the body as its output: ("200", body, exit status)."""
        done = self.command(f"curl -sS -{self.family} -w '\\n%{{http_code}}' {text}", uid)
        body, _, code = done.stdout.rpartition("\n")
        return code, body, done.returncode

    def records(self):
        """This case's access-log records so far."""
        return self.group.log.poll()[self.log_start:]

    def wait_log(self, seconds=10.0, **wanted):
        """The first record of this case that matches."""
        wanted = {key: self.fill(str(value)) for key, value in wanted.items()}
        return until(lambda: next((record for record in self.records() if matches(record, wanted)), None),
                     f"a log line with {wanted}", seconds)

    def expect(self, fine, text):
        if not fine:
            raise Failed(text)

    def requests(self):
        """What the origins were asked in this case: (peer, connection, method, target, host)."""
        found = []
        for origin, start in self.origin_start.items():
            found += origin.requests[start:]
        return found

    # Playing.

    def play(self):
        for number, step in enumerate(self.case.steps, 1):
            verb = next(key for key in step if hasattr(self, f"do_{key}"))
            try:
                getattr(self, f"do_{verb}")(step)
            except Failed as failed:
                raise Failed(f"step {number} ({verb}): {failed}") from None
        for server in self.servers:
            wrongs = server.finish()
            if wrongs:
                raise Failed("; ".join(wrongs))
            if server.wanted not in (None, server.clients):
                raise Failed(f"a server had {server.clients} clients, not {server.wanted}")
        self.check_origin()
        if self.node.proxy.alive():
            self.group.quiet()
        self.check_log()
        self.group.check_wire()

    def close(self):
        for server in self.servers:
            server.finish(0.1)
        while self.undo:
            self.undo.pop()()

    def do_run(self, step):
        done = self.command(step["run"], uid=None if step.get("root") else APP, stdin=step.get("stdin"),
                            seconds=step.get("seconds", 30))
        said = f"\n{done.stdout[-1500:]}{done.stderr[-500:]}"
        wanted = step.get("status", 0)
        if done.returncode not in (wanted if isinstance(wanted, list) else [wanted]):
            raise Failed(f"status {done.returncode}, not {wanted}:{said}")
        for key, text in (("out", done.stdout), ("err", done.stderr)):
            for regex in [step[key]] if isinstance(step.get(key), str) else step.get(key, []):
                if not re.search(self.fill(regex), text, re.M | re.S):
                    raise Failed(f"{key} has no {regex!r}:{said}")
        if "not" in step and re.search(self.fill(step["not"]), done.stdout + done.stderr, re.M | re.S):
            raise Failed(f"there is {step['not']!r}:{said}")

    def do_talk(self, step):
        self.talk(step["talk"], *step["do"], bind=step.get("from"))

    def do_serve(self, step):
        self.serve(step["serve"], *step["do"]).wanted = step.get("clients", 1)

    def do_stats(self, step):
        stats = self.node.stats()
        for name, wanted in step["stats"].items():
            if name not in stats:
                raise Failed(f"no metric {name}; there are {', '.join(stats)}")
            if stats[name] != wanted:
                raise Failed(f"{name} is {stats[name]}, not {wanted}")

    def do_call(self, step):
        module, _, function = step["call"].partition(".")
        getattr(importlib.import_module(f"driver.scenarios.{module}"), function)(self)

    # What the case says of the whole.

    def check_origin(self):
        if self.case.origin is None:
            return
        wanted = [self.fill(line) for line in self.case.origin]
        have = [f"{method} {target} {host}" for _, _, method, target, host in self.requests()]
        if have != wanted:
            raise Failed(f"the origins had {have}, not {wanted}")

    def check_log(self):
        """Each wanted record is there once, and no other."""
        wanted = [{key: self.fill(str(value)) for key, value in record.items()} for record in self.case.logs]
        if not wanted:
            return

        def pair():
            left = list(self.records())
            missing = []
            for record in wanted:
                found = next((r for r in left if matches(r, record)), None)
                if found:
                    left.remove(found)
                else:
                    missing.append(record)
            return missing, left
        try:
            until(lambda: not pair()[0], "log", 5.0)
        except Exception:
            missing, left = pair()
            raise Failed(f"the log has no line with {missing[0]}; it has:\n  " + "\n  ".join(map(str, left))) from None
        missing, left = pair()
        if left and not self.case.more_log:
            raise Failed(f"the log has a line too many: {left[0]}")
