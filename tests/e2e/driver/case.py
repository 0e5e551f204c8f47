# SPDX-License-Identifier: MIT
"""Cases and profiles as they stand in their files; every key is checked: a misspelt one must not pass unseen."""
import dataclasses
import fnmatch
import tomllib

CASE_KEYS = {"about", "profile", "modes", "rows", "step", "log", "more-log", "origin"}
STEP_KEYS = {
    "run": {"status", "out", "err", "not", "seconds", "stdin", "root"},
    "talk": {"do", "from"},
    "serve": {"do", "clients"},
    "stats": set(),
    "call": set(),
}
PROFILE_KEYS = {"about", "args", "reach", "policy", "dns", "log", "modes", "prefix", "kinds", "hold"}
VALUES = {"tproxy-v4": ("tproxy", 4), "tproxy-v6": ("tproxy", 6), "redirect-v4": ("redirect", 4),
          "redirect-v6": ("redirect", 6), "sanitize": ("tproxy", 4)}


class BadCase(Exception):
    """A file that is not as it should be."""


def check_keys(where, table, known):
    unknown = set(table) - known
    if unknown:
        raise BadCase(f"{where}: unknown key {', '.join(sorted(unknown))}")


def globs(value):
    """A glob or a list of them, as a list."""
    return [value] if isinstance(value, str) else list(value)


@dataclasses.dataclass
class Profile:
    """A policy and how the proxy is started for it."""

    name: str
    policy: str
    modes: list           # globs
    reach: list           # "name:port" globs: where packets may go; UDP: "udp/name:port"
    args: list = ()       # of the proxy
    log: str = "text"
    dns: str = "mode"     # a name server for the mode's family only; "own": one of its own, for both; "scripted": that
    hold: bool = False    # sluice-init hold stays, instead of apply
    prefix: list = ()     # of the proxy's command line
    kinds: list = ()      # kinds of frames besides TCP that may leave


@dataclasses.dataclass
class Case:
    name: str
    profile: Profile
    modes: list
    steps: list
    logs: list            # records that must be in the access log, each once
    more_log: bool        # whether others may be there too
    origin: list          # requests that the origins had, "METHOD TARGET HOST", in order; None: not looked at
    row: str = None       # what @{row} stands for

    def wanted(self, mode, chosen):
        """Whether it runs in a mode, with these globs from the command line (or None)."""
        base = "tproxy-v4" if mode == "sanitize" else mode
        if not any(fnmatch.fnmatch(base, glob) or glob == mode for glob in self.modes):
            return False
        if not any(fnmatch.fnmatch(base, glob) for glob in self.profile.modes):
            return False
        return not chosen or any(fnmatch.fnmatch(self.name, glob) or fnmatch.fnmatch(self.name.split("/")[0], glob)
                                 for glob in chosen)


def load(path, known):
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise BadCase(f"{path}: {error}") from None
    if known:
        check_keys(path, table, known)
    return table


def load_hosts(path):
    return load(path, None)


def load_profiles(directory):
    """All profiles by name."""
    profiles = {}
    for path in sorted(directory.glob("*.toml")):
        table = load(path, PROFILE_KEYS)
        del table["about"]
        table["modes"] = globs(table.get("modes", "*"))
        profiles[path.stem] = Profile(name=path.stem, **table)
    return profiles


def check_steps(path, steps):
    for number, step in enumerate(steps, 1):
        verbs = [key for key in step if key in STEP_KEYS]
        if len(verbs) != 1:
            raise BadCase(f"{path}: step {number}: needs exactly one of {', '.join(STEP_KEYS)}")
        check_keys(f"{path}: step {number}", step, STEP_KEYS[verbs[0]] | {verbs[0]})


def load_cases(directory, profiles):
    """All cases, rows expanded, in order of their names."""
    cases = []
    for path in sorted(directory.glob("*.toml")):
        table = load(path, CASE_KEYS)
        if "about" not in table or not table.get("step"):
            raise BadCase(f"{path}: needs `about` and steps")
        check_steps(path, table["step"])
        if table.get("profile", "common") not in profiles:
            raise BadCase(f"{path}: no such profile")
        rows = table.get("rows")
        for row, text in rows.items() if rows else [(None, None)]:
            cases.append(Case(path.stem + (f"/{row}" if row else ""), profiles[table.get("profile", "common")],
                              globs(table.get("modes", "*")), table["step"], table.get("log", []),
                              table.get("more-log", False), table.get("origin"), text))
    return cases
