# SPDX-License-Identifier: MIT
"""Results as TAP, from any thread."""
import sys
import threading


class Tap:
    def __init__(self):
        self.count = self.failed = self.skipped = 0
        self._lock = threading.Lock()

    def result(self, name, problem=None, skip=None):
        """One test: fine, or what is wrong with it (text of any length), or why it cannot run."""
        with self._lock:
            self.count += 1
            self.failed += problem is not None
            self.skipped += skip is not None
            suffix = f" # SKIP {skip}" if skip else ""
            print(f"{'not ' if problem else ''}ok {self.count} - {name}{suffix}")
            for line in (problem or "").splitlines():
                print(f"# {line}")
            sys.stdout.flush()

    def note(self, text):
        with self._lock:
            for line in text.splitlines():
                print(f"# {line}")
            sys.stdout.flush()

    def finish(self):
        """The plan; returns the exit status."""
        with self._lock:
            print(f"1..{self.count}", flush=True)
        return 1 if self.failed else 0
