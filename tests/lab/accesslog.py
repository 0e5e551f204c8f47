# SPDX-License-Identifier: MIT
"""The access log, read strictly: Envoy's default text line, or its 24 JSON keys."""
import json
import re

KEYS = ("start_time", "method", "path", "protocol", "response_code", "response_flags", "response_code_details",
        "connection_termination_details", "upstream_transport_failure_reason", "bytes_received", "bytes_sent",
        "duration", "upstream_service_time", "x_forwarded_for", "user_agent", "request_id", "authority",
        "upstream_host", "upstream_cluster", "upstream_local_address", "downstream_local_address",
        "downstream_remote_address", "requested_server_name", "route_name")
NUMBERS = ("response_code", "bytes_received", "bytes_sent", "duration")

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
QUOTED = r'((?:[^"\\\x00-\x1f\x7f]|\\.)*)'
WORD = r"([^\s\"]+)"
ADDRESS = r"(-|\d+\.\d+\.\d+\.\d+:\d+|\[[0-9a-f:.]+\]:\d+)"
PEER = "downstream_peer"  # only of clients with a certificate
LINE = re.compile(
    rf'\[({TIME})\] "(-|\S+) (-|\S+) (-|HTTP/1\.[01]|DNS)" (\d+) (-|[A-Z,]+) {WORD} {WORD} "{QUOTED}" (\d+) (\d+) (\d+) '
    rf'(-|\d+) "{QUOTED}" "{QUOTED}" "{QUOTED}" "{QUOTED}" "{ADDRESS}" {WORD} {ADDRESS} {ADDRESS} {ADDRESS} '
    rf'{WORD} {WORD}(?: "{QUOTED}")?')


class Malformed(Exception):
    """A line that is not of the format."""


def parse_text(line):
    match = LINE.fullmatch(line)
    if not match:
        raise Malformed(line)
    return {key: value for key, value in zip([*KEYS, PEER], match.groups()) if key != PEER or value is not None}


def parse_json(line):
    try:
        record = json.loads(line)
    except ValueError:
        raise Malformed(line) from None
    if not isinstance(record, dict) or set(record) - {PEER} != set(KEYS):
        raise Malformed(line)
    for key, value in record.items():
        number = isinstance(value, int) and not isinstance(value, bool)
        if key in NUMBERS and not number or not (value is None or number or isinstance(value, str)):
            raise Malformed(f"{key}: {line}")
    if not re.fullmatch(TIME, record["start_time"]):
        raise Malformed(line)
    return {key: "-" if value is None else str(value) for key, value in record.items()}


class AccessLog:
    """Follows a file. Each line becomes a dict of text by Envoy's names; "-" is what is absent."""

    def __init__(self, path, form="text"):
        self.path = path
        self._parse = {"text": parse_text, "json": parse_json}[form]
        self._offset = 0
        self._rest = b""
        self.records = []
        self.lines = []

    def poll(self):
        """Read what has come; returns all records so far."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return self.records
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode("ascii", errors="strict")
            self.lines.append(text)
            self.records.append(self._parse(text))
        return self.records


def matches(record, wanted):
    """Whether a record has all wanted fields: text is compared, "~..." is a regular expression for the whole of it."""
    for key, value in wanted.items():
        if key not in KEYS:
            raise KeyError(f"{key}: no such field in an access log")
        have, value = record[key], str(value)
        if not (re.fullmatch(value[1:], have, re.S) if value.startswith("~") else have == value):
            return False
    return True
