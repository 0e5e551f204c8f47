# SPDX-License-Identifier: MIT
"""The cases, played one after the other through one proxy in a pod, and looked at."""
import os
import pathlib
import re
import socket
import traceback

import http_cases
import tls_cases
from judges import Refused
from lab import Late, until
from lab.accesslog import AccessLog, Malformed, matches
from lab.node import Node
from lab.talk import Talk
from recorder import Recorder

HOSTS = {"allowed.test": 10, "answers.test": 11, "address.test": 12, "early.test": 13, "evil.test": 66}
RECORDED = ("allowed.test", "answers.test", "address.test", "evil.test")
FORWARD = "forward"
FINAL = re.compile(rb"HTTP/1\.1 [2-5]\d\d ")
TABLES = (1, 100, 101, 10_000)

POLICY = """
[policy]
name        = {name}
outbound    = registry-only
access-log  = {log}
nameservers = {nameserver}
[capture]
dns = allow
[service allowed]
hosts      = allowed.test
ports      = http:80, http:8080, tls:443
resolution = dns
[service answers]
hosts      = answers.test
ports      = tls:443
resolution = dns
[service early]
hosts      = early.test
ports      = tls:443
resolution = dns
[service websocket]
hosts      = ws.test
ports      = http:80
resolution = static
endpoints  = 203.0.113.10
upgrade    = websocket
[service wild]
hosts      = *.wild.test
ports      = http:80, tls:443
resolution = static
endpoints  = 203.0.113.10
[service one-kind-of-port]
hosts      = http-only.test
ports      = http:80
resolution = static
endpoints  = 203.0.113.10
[service the-other-kind]
hosts      = tls-only.test
ports      = tls:443
resolution = static
endpoints  = 203.0.113.10
[service by-address]
addresses  = 203.0.113.12, 2001:db8:113::12
ports      = http:80, tcp:7443
hosts      = address.test
resolution = static
endpoints  = 203.0.113.12
"""
TABLE = """
[policy]
name        = {name}
outbound    = registry-only
access-log  = {log}
nameservers = {nameserver}
[capture]
dns = allow
[service many]
hosts-file = {names}
ports      = http:80, tls:443
resolution = static
endpoints  = 203.0.113.10
"""


class Wrong(Exception):
    """The proxy did otherwise than the case says, or a judge read otherwise."""


def canonical(name):
    """A name as it is compared: without one final dot, in lower case."""
    return name.removesuffix(".").lower()


class Stage:
    def __init__(self, internet, programs, requests, hellos, selection):
        self.internet = internet
        self.judges_of_requests, self.judges_of_hellos = requests, hellos
        self.selection = selection
        self.pod = internet.pod("pod", 4)
        self.recorder = Recorder(internet, {name: HOSTS[name] for name in RECORDED}, http=(80, 8080), tls=(443, 7443),
                                 answering=("answers.test",))
        self.node = Node(self.pod, programs, ["--workers", "1"])
        self.node.policy(self.text(POLICY, "cases"))
        self.node.apply()
        self.node.start()
        self.log = AccessLog(self.node.access_log)
        self.seen = 0  # of the log's records

    def text(self, policy, name, **more):
        return policy.format(name=name, log=self.node.access_log, nameserver=self.pod.nameserver, **more)

    def play(self):
        for case in tls_cases.cases(self.internet.authority):
            self.one(f"tls/{case.row}: {case.title}", self.tls, case)
        for case in http_cases.cases():
            self.one(f"http/{case.row}: {case.title}", self.http, case)
        self.one("clients/H-22: bytes sent with a WebSocket request wait for the 101", self.websocket, None)
        self.one("clients/T-25: early data waits in the socket until the server has spoken", self.held, None)
        self.one("clients/T-25: OpenSSL resumes with early data", self.early_data, None)
        for size in TABLES:
            self.one(f"table/{size}", self.table, size)
        self.one("tls/http/table/ nothing is left", self.finish, None)

    def one(self, name, play, case):
        """One test."""
        if not any(self.selection.wants(n) for n in (name, name.split(":")[0])):
            return
        problem = None
        try:
            play(case)
        except (Wrong, Late, Malformed, OSError) as error:
            problem = f"{type(error).__name__}: {error}"
        except Exception:
            problem = traceback.format_exc()
        if problem:  # what is still to come of it does not belong to the next one
            try:
                self.quiet()
            except Late as late:
                problem += f"\n{late}"
            self.recorder.take_all()
            self.seen = len(self.log.poll())
            if not self.node.proxy.alive():
                problem += f"\nthe proxy has ended: {self.node.proxy.output()[-3000:]}"
        self.selection.result(name, problem)

    def quiet(self):
        until(lambda: self.node.ctl("/connections") in ("", None), "the connections' end")

    def connect(self, case):
        sock = self.pod.space.socket(socket.AF_INET)
        sock.settimeout(10)
        sock.connect((self.internet.address(case.to, 4), case.port))
        return Talk(sock)

    def records(self, count):
        """The log's next lines, so many, and no more of them."""
        until(lambda: len(self.log.poll()) >= self.seen + count, f"{count} lines in the log")
        records = self.log.records[self.seen:]
        self.seen = len(self.log.records)
        if len(records) != count:
            raise Wrong(f"{len(records)} lines in the log, not {count}: {self.log.lines[-len(records):]}")
        return records

    def expect(self, record, **wanted):
        if not matches(record, wanted):
            raise Wrong(f"the log has no {wanted}: {record}")

    def arrived(self, record):
        """The conversation of the connection that a record names."""
        peer = int(record["upstream_local_address"].rpartition(":")[2])
        conversation = until(lambda: self.recorder.take(peer),
                             f"the connection at a server that the log names: {record}")
        until(lambda: conversation.over, "the end of the upstream connection")
        if record["upstream_host"] != f"{self.internet.address(conversation.where[0], 4)}:{conversation.where[1]}":
            raise Wrong(f"the log has {record['upstream_host']}, where {conversation.where} was reached")
        return conversation

    def nothing_else(self):
        left = self.recorder.take_all()
        for conversation in left:
            until(lambda c=conversation: c.over, "the end of an upstream connection")
        if any(conversation.data for conversation in left):
            raise Wrong(f"forwarded: {[(c.where, c.data) for c in left]}")

    # ClientHellos.

    def tls(self, case):
        talk = self.connect(case)
        try:
            self.send(talk, case)
            if case.late:
                until(lambda: self.recorder.heard(case.data), "the hello at the server")
                if not case.early:
                    talk.read()
                talk.sock.sendall(case.late)
            talk.do_shut("")
            talk.do_hold("")
        except (ConnectionResetError, BrokenPipeError):
            if case.want == FORWARD:
                raise Wrong("the connection was reset") from None
        finally:
            talk.sock.close()
        self.look_at_hello(case, self.records(1)[0])
        self.nothing_else()

    @staticmethod
    def send(talk, case):
        if case.step:
            talk.pieces(case.data, case.step)
        else:
            talk.sock.sendall(case.data)

    def look_at_hello(self, case, record):
        self.expect(record, requested_server_name=case.name or "-", response_code=0)
        if case.want != FORWARD:
            self.expect(record, connection_termination_details=case.want, response_flags="~UH|DC|DPE")
            if record["upstream_host"] == "-":
                return
            arrived = self.arrived(record).data
            if not case.late or arrived != case.data:
                raise Wrong(f"forwarded: {arrived.hex()}")
            return
        self.expect(record, response_flags="-", connection_termination_details="-")
        arrived = self.arrived(record)
        if arrived.where[0] == "evil.test":
            raise Wrong("it went to the address that the client named")
        if arrived.data != case.data + case.late:
            raise Wrong(f"sent {(case.data + case.late).hex()}, arrived {arrived.data.hex()}")
        self.judge_hello(case)

    def judge_hello(self, case):
        verdicts = []
        for judge in self.judges_of_hellos:
            try:
                name = judge.accepted(case.data)
            except Refused as refused:
                if judge.name not in case.unread:
                    verdicts.append(f"{judge.name} refuses it: {refused}")
                continue
            if judge.name in case.unread:
                verdicts.append(f"{judge.name} can read it, so the case is out of date")
            if canonical(name) != case.name:
                verdicts.append(f"{judge.name} reads {name!r}, not {case.name!r}")
        if verdicts:
            raise Wrong("; ".join(verdicts))

    # Requests.

    def http(self, case):
        talk = self.connect(case)
        try:
            self.send(talk, case)
            if case.late:
                if case.want[0] == FORWARD:
                    self.answers(talk, 1)
                else:
                    until(lambda: self.recorder.conversations, "the request's beginning at the server")
                talk.sock.sendall(case.late)
            self.answers(talk, len(case.want))
            if case.want[-1].startswith("http-"):
                self.to_the_end(talk)
        finally:
            talk.sock.close()
        records = self.records(len(case.want))
        forwarded = [self.look_at_request(case, want, record) for want, record in zip(case.want, records)]
        self.nothing_else()
        self.look_at_answers(case, talk.received)
        whole = [data for data in forwarded if data is not None]
        if case.out is not None and whole != [case.out]:
            raise Wrong(f"forwarded {whole}, not {case.out}")
        for data in whole:
            self.judge_request(case, data)

    def answers(self, talk, count):
        """Read until there are so many final answers, or the end."""
        while len(FINAL.findall(talk.received)) < count:
            try:
                if not talk.read():
                    return
            except ConnectionResetError:
                return

    @staticmethod
    def to_the_end(talk):
        """After a request in doubt the connection ends."""
        try:
            while talk.read():
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            raise Wrong("the connection is kept after a request in doubt") from None

    def look_at_answers(self, case, received):
        have = [answer.split(b" ")[1].decode() for answer in FINAL.findall(received)]
        for want, status in zip(case.want, have):
            good = {FORWARD: "200"}.get(want) or ("4" if want.startswith("http-") else "502")
            if not status.startswith(good):
                raise Wrong(f"the client was told {have}, where {case.want} was due")
        if len(have) != (0 if case.tunnel else len(case.want)):
            raise Wrong(f"the client was told {have}, where {case.want} was due")

    def look_at_request(self, case, want, record):
        """The bytes that were forwarded for one record; None when nothing was."""
        if want == FORWARD:
            self.expect(record, response_code=200, response_flags="-", response_code_details="via_upstream")
            arrived = self.arrived(record)
            if arrived.where[0] == "evil.test":
                raise Wrong("it went to the address that the client named")
            return arrived.data
        if case.tunnel:
            self.expect(record, response_flags="UH", connection_termination_details=want, response_code=0)
        elif want.startswith("http-"):
            self.expect(record, response_flags="DPE", response_code_details=want, response_code="~4(00|17|31)")
        else:
            self.expect(record, response_code=502, response_code_details="direct_response",
                        connection_termination_details=want)
        if record["upstream_host"] == "-":
            return None
        arrived = self.arrived(record)
        if want != "http-chunk":
            raise Wrong(f"forwarded: {arrived.data!r}")
        self.judge_incomplete(arrived.data)
        return None

    def judge_incomplete(self, data):
        """What was forwarded before a chunk turned out damaged is no request to anybody."""
        for judge in self.judges_of_requests[:2] if data else ():
            try:
                read = judge.requests(data)
            except Refused:
                continue
            raise Wrong(f"{judge.name} takes what was forwarded of a damaged request for {read}")

    def judge_request(self, case, data):
        verdicts, read = [], {}
        for judge in self.judges_of_requests:
            try:
                found = judge.requests(data)
            except Refused as refused:
                if judge.name not in case.unread:
                    verdicts.append(f"{judge.name} refuses it: {refused}")
                continue
            if len(found) != 1:
                verdicts.append(f"{judge.name} reads {len(found)} requests")
            elif found[0].hosts != (case.host.encode(),):
                verdicts.append(f"{judge.name} reads {found[0].hosts}, not {case.host}")
            else:
                read[judge.name] = found[0]
        if len(set(read.values())) > 1:
            verdicts.append(f"they differ: {read}")
        if verdicts:
            raise Wrong("; ".join(verdicts) + f": {data!r}")

    # Conversations.

    def websocket(self, _):
        case = http_cases.allow("H-22", "", http_cases.get(http_cases.WEBSOCKET, "Host: ws.test\r\n") + "early")
        talk = self.connect(case)
        try:
            talk.sock.sendall(case.data)
            talk.do_recv(r"^HTTP/1\.1 101 .*?\r\n\r\n")
            talk.sock.sendall(b", late")
            talk.do_shut("")
            talk.do_end("")
        finally:
            talk.sock.close()
        record = self.records(1)[0]
        self.expect(record, response_code=101, response_flags="-", authority="ws.test")
        arrived = self.arrived(record)
        head = http_cases.raw(http_cases.sent(http_cases.WEBSOCKET_SENT, host="ws.test"))
        if arrived.before != head or arrived.data != head + b"early, late":
            raise Wrong(f"before the 101 {arrived.before}, in all {arrived.data}")

    def held(self, _):
        """The client says no more and hears nothing until then, so that nothing else can set it going."""
        h = tls_cases.h
        hello = h.wire(h.hello(b"answers.test", after=[h.RESUMPTION, h.EARLY, h.TICKET]))
        early = b"\x17\x03\x03\x00\x40" + b"\xed" * 64
        talk = self.connect(tls_cases.Case("T-25", "", hello))
        try:
            talk.sock.sendall(hello)
            until(lambda: self.recorder.heard(hello), "the hello at the server")
            talk.sock.sendall(early)
            until(lambda: self.recorder.heard(hello + early), "the early data at the server")
        finally:
            talk.sock.close()
        arrived = self.arrived(self.records(1)[0])
        if arrived.before != hello:
            raise Wrong(f"before the server spoke {arrived.before.hex()}")

    def early_data(self, _):
        """A resumed session whose first bytes come before the server has said anything, more than a segment of them."""
        space, where = self.pod.space, f"{self.internet.address('early.test', 4)}:443"
        session, text = self.internet.lab.write("session", ""), self.internet.lab.write("early", "0-rtt\n" * 2000)
        authority, fifo = self.internet.authority, self.internet.lab.path("nothing")
        os.mkfifo(fifo)  # an end of its input would end the server
        server = self.internet.space.spawn("s_server", [
            "sh", "-c", 'exec openssl s_server "$@" <>"$0"', fifo, "-accept", where, "-early_data",
            "-num_tickets", "1", "-no_anti_replay", "-cert", authority.cert, "-key", authority.key])
        until(lambda: self.internet.answers("early.test", 443), "s_server")
        client = ["openssl", "s_client", "-connect", where, "-servername", "early.test", "-ign_eof"]
        first = space.spawn("s_client-1", [*client, "-sess_out", session])
        ticket = pathlib.Path(session)
        until(lambda: ticket.read_text("ascii").endswith("END SSL SESSION PARAMETERS-----\n"), "a ticket")
        first.stop()
        second = space.spawn("s_client-2", [*client, "-sess_in", session, "-early_data", text])
        until(lambda: "Early data was accepted" in second.output(), "early data to be accepted")
        # A heading of the server's own may stand in the middle of a line.
        until(lambda: server.output().count("0-rtt") >= 1998, "all early data")
        second.stop()
        for record in self.records(2):
            self.expect(record, requested_server_name="early.test", connection_termination_details="~-|.*reset")
        server.stop()

    # Tables.

    def table(self, size):
        """Names are found and not found alike among few and many others (T-10)."""
        names = ["allowed.test", "*.wild.test"][:size] + [f"host-{i}.other.test" for i in range(size - 2)]
        path = self.internet.lab.write(f"names-{size}", "".join(f"{name}\n" for name in names))
        self.node.reload(self.text(TABLE, f"table-{size}", names=path))
        hello, wire = tls_cases.h.hello, tls_cases.h.wire
        rows = [("allowed.test", "allowed.test"), ("ALLOWED.TEST", "allowed.test"), ("Allowed.Test.", "allowed.test"),
                ("evil.test", None), ("xallowed.test", None), ("x.allowed.test", None), ("wild.test", None)]
        if size > 1:
            rows += [("X.Wild.TEST", "x.wild.test"), ("x.y.wild.test.", "x.y.wild.test")]
        if size > 2:
            rows += [(f"HOST-{size - 3}.Other.Test", f"host-{size - 3}.other.test")]
        rows += [(f"host-{size}.other.test", None)]
        for written, listed in rows:
            name = listed or written
            self.tls(tls_cases.Case("T-10", written, wire(hello(written.encode())), FORWARD if listed else "unlisted",
                                    name))
            self.http(http_cases.Case("H-06", written, http_cases.raw(http_cases.hosted(f" {written}")),
                                      [FORWARD if listed else "unlisted"], host=name))

    def finish(self, _):
        """An orderly end, with nothing that came too late to be looked at."""
        self.quiet()
        self.nothing_else()
        if len(self.log.poll()) != self.seen:
            raise Wrong(f"lines that belong to no case: {self.log.lines[self.seen:]}")
        status = self.node.stop()
        if status != 0:
            raise Wrong(f"SIGTERM: status {status}")
        for sign in ("ERROR: ", "runtime error", "leak"):
            if sign in self.node.proxy.output():
                raise Wrong(f"the proxy says: {self.node.proxy.output()[-3000:]}")
