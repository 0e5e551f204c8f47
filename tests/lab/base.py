# SPDX-License-Identifier: MIT
"""The lab: its directory, its child processes, and that nothing of it stays behind."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

PREFIX = "slu"
OURS = re.compile(rf"{PREFIX}-(\d+)-")


CLOSING = threading.Event()  # the lab is being taken down: nothing new is to be made


class Late(Exception):
    """Something that was waited for did not come."""


class Missing(Exception):
    """The machine lacks something; the text says what and why it is needed."""


def until(condition, what, seconds=10.0):
    """Return the condition's first true value; raise Late after that many seconds."""
    end = time.monotonic() + seconds
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end or CLOSING.is_set():
            raise Late(f"{what}: not within {seconds:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def need(*programs):
    """Raise Missing unless every program is installed."""
    for program in programs:
        if shutil.which(program, path=PATH) is None:
            raise Missing(f"{program}: not installed: run .ci/setup")


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Child:
    """A process of the lab, its output in a file."""

    def __init__(self, lab, name, argv, pass_fds=(), env=None):
        self.name = name
        self.log = lab.path(f"{name}.log")
        lab.check_open()
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env or lab.env,
                pass_fds=pass_fds, start_new_session=True)
        self.pid = self.process.pid

    def alive(self):
        return self.process.poll() is None

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def signal(self, number):
        if self.alive():
            self.process.send_signal(number)

    def wait(self, seconds=10.0):
        """Return the exit status (negative: a signal), or raise Late."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Late(f"{self.name}: did not end within {seconds:g} s") from None

    def stop(self, seconds=5.0):
        """End it, with SIGKILL if it does not go by itself. Returns the exit status."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Lab:
    """What a `with` block holds; see the package."""

    def __init__(self):
        if os.geteuid() != 0:
            raise Missing("lab: needs root, for network namespaces")
        need("ip", "setpriv")
        self.dir = None
        self.env = None
        self._undo = []
        self._lock = threading.Lock()
        self._handlers = {}

    def __enter__(self):
        reap(dead)
        CLOSING.clear()
        self.dir = tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-")
        os.chmod(self.dir, 0o755)
        self.env = {"PATH": PATH, "HOME": self.dir, "LC_ALL": "C", "TZ": "UTC"}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, self._interrupted)
        return self

    def __exit__(self, *_):
        for number in self._handlers:  # nothing interrupts the cleaning up
            signal.signal(number, signal.SIG_IGN)
        CLOSING.set()
        while self._undo:
            _, undo = self._undo.pop()
            try:
                undo()
            except Exception as error:  # the rest must go as well
                print(f"# lab: cleaning up: {error}", flush=True)
        shutil.rmtree(self.dir, ignore_errors=True)
        reap(own)  # what another thread was just making
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @staticmethod
    def check_open():
        """Raise Late in threads that go on although the lab is being taken down."""
        if CLOSING.is_set():
            raise Late("lab: closing")

    @staticmethod
    def _interrupted(number, _frame):
        raise SystemExit(128 + number)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text):
        """Write a file into the lab's directory; returns its path."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def at_exit(self, undo):
        """Call undo() at the end, last registered first. Returns a handle for now()."""
        handle = object()
        with self._lock:
            self._undo.append((handle, undo))
        return handle

    def now(self, handle):
        """Undo one thing already."""
        with self._lock:
            found = [undo for known, undo in self._undo if known is handle]
            self._undo = [(known, undo) for known, undo in self._undo if known is not handle]
        for undo in found:
            undo()

    def spawn(self, name, argv, **options):
        """Start a child that ends with the lab at the latest."""
        child = Child(self, name, argv, **options)
        self.at_exit(child.stop)
        return child

    def run(self, argv, seconds=60.0, stdin=None, env=None):
        """Run a command to its end; returns subprocess's result, with text output."""
        self.check_open()
        try:
            return subprocess.run(argv, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                                  capture_output=True, env=env or self.env, timeout=seconds, check=False,
                                  start_new_session=True, encoding="utf-8", errors="replace")
        except subprocess.TimeoutExpired:
            raise Late(f"{' '.join(argv)}: did not end within {seconds:g} s") from None

    def must(self, argv, **options):
        """The same, for commands that have to succeed."""
        done = self.run(argv, **options)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: status {done.returncode}: {done.stderr or done.stdout}")
        return done


def dead(name):
    """Whether a namespace or directory belonged to a lab that is no more."""
    match = OURS.match(name)
    return match is not None and not os.path.exists(f"/proc/{match.group(1)}")


def own(name):
    """Whether it is this process's."""
    match = OURS.match(name)
    return match is not None and int(match.group(1)) == os.getpid()


def remove_space(name):
    """Remove a namespace with the processes that are left in it and its resolv.conf."""
    pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout.split()
    for pid in pids:
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)
    try:
        os.rmdir("/etc/netns")
    except OSError:  # others use it
        pass


def reap(which):
    """Remove the namespaces and directories for whose names which() is true: what a killed lab left."""
    for directory in ("/run/netns", "/etc/netns"):
        for name in os.listdir(directory) if os.path.isdir(directory) else ():
            if which(name):
                remove_space(name)
    for name in os.listdir(tempfile.gettempdir()):
        if which(name):
            shutil.rmtree(os.path.join(tempfile.gettempdir(), name), ignore_errors=True)
