# SPDX-License-Identifier: MIT
"""Sizes, memory, start-up, and counts of instructions and system calls: the figures with targets."""
import os
import resource
import signal
import statistics
import subprocess

from lab import Late, until
from lab.node import Node
from peers import POLICY

HOLD = 8443
CROWDS = (1000, 10000)
MILLION = 1_000_000
RUNS = 11
STEPPED, TRACED = 4, 200  # operations that are counted


def status(pid, field):
    """A field of /proc/PID/status, in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise KeyError(field)


class Figures:
    def __init__(self, bench, programs):
        self.bench = bench
        self.lab = bench.lab
        self.programs = programs
        self.rows = []   # (figure, target, measured, met)
        self.others = []  # (figure, {contender: text})

    def row(self, figure, target, value, unit, most=None):
        met = "" if most is None else "yes" if value <= most else "**no**"
        self.rows.append((figure, target, f"{value:,.{0 if value >= 100 else 2}f} {unit}", met))

    def measure(self):
        self.sizes()
        self.idle()
        self.crowds()
        self.start()
        self.rules()
        self.million()
        self.counts()

    def sizes(self):
        for program, most in (("sluice-init", 200), ("sluice-tproxy", 250)):
            size = os.path.getsize(os.path.join(self.programs, program)) / 1024
            self.row(f"{program}, static, stripped", f"≤ {most} KB", size, "KB", most)

    # Memory.

    def contenders(self):
        return [contender for contender in self.bench.contenders if contender.pids()]

    def memory(self, contender):
        return sum(status(pid, "VmRSS") for pid in contender.pids())

    def idle(self):
        rss = {contender.name: self.memory(contender) for contender in self.contenders()}
        self.row("RSS idle, one worker, 1,000 names", "≤ 0.6 MB", rss["sluice tproxy"] / 1024, "MB", 0.6)
        self.others.append(("RSS idle (KiB)", {name: f"{value:,}" for name, value in rss.items()}))

    def crowds(self):
        """Idle connections by the thousand; each end of each needs a descriptor."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        small, large = CROWDS[0], min(CROWDS[1], (limit - 500) // 2 // 100 * 100)
        grown, rss = {}, {}
        for contender in self.contenders():
            before = self.memory(contender)
            sizes = [self.crowd(contender, size) for size in (small, large)]
            if None in sizes:
                continue
            rss[contender.name] = f"{sizes[0]:,} / {sizes[1]:,}"
            grown[contender.name] = (sizes[1] - sizes[0]) * 1024 / (large - small)
            if contender.name == "sluice tproxy":
                self.row(f"RSS with {small:,} idle proxied connections", "", sizes[0] / 1024, "MB")
                self.row(f"RSS with {large:,} idle proxied connections", "", sizes[1] / 1024, "MB")
                self.row("user memory per idle proxied connection", "≤ 256 B", (sizes[1] - before) * 1024 / large, "B",
                         256)
        self.others.append((f"RSS with {small:,} / {large:,} idle connections (KiB)", rss))
        self.others.append(("bytes per connection between the two",
                            {name: f"{value:,.0f}" for name, value in grown.items()}))

    def crowd(self, contender, size):
        """A contender's RSS with that many connections; None when it does not hold them."""
        space, tools = contender.pod.space, self.bench.tools
        name = f"hold-{contender.slug()}-{size}"
        argv = space.command([tools["load"], "hold", self.bench.hellos[self.bench.good], str(HOLD), str(size),
                              *self.bench.addresses])
        with open(self.lab.path(f"{name}.log"), "wb") as errors, subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=self.lab.env) as child:
            held = child.stdout.readline().startswith(b"held")
            rss = self.memory(contender) if held else None
            child.stdin.close()
            child.wait(60)
        try:
            until(lambda: sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in contender.pids()) < 500,
                  "the end of a crowd", 30)
        except Late:
            pass
        return rss

    # Start-up.

    def timed(self, space, *argv, runs=1):
        """(median milliseconds, status) of a command in a namespace."""
        done = space.must([self.bench.tools["step"], "time", str(runs), *argv])
        took, code = done.stdout.split()[-2:]
        return int(took) / 1000, int(code)

    def ready(self, node):
        """(milliseconds, KiB of RSS) of a start until it is ready."""
        argv = node.pod.space.command([self.bench.tools["step"], "ready", *node.command(), "--ready-fd", "3"])
        with open(self.lab.path(f"{node.name}.log"), "ab") as errors, subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=self.lab.env) as child:
            words = child.stdout.readline().split()
            rss = status(int(words[1]), "VmRSS")
            child.stdin.close()
            child.wait(10)
        return int(words[0]) / 1000, rss

    def node(self, name, hosts):
        pod = self.bench.internet.pod(name, 4)
        node = Node(pod, self.programs, ["--workers", "1"], name)
        text = POLICY.format(nameserver=pod.nameserver, method="tproxy", hosts=hosts)
        with open(node.source, "w", encoding="utf-8") as file:
            file.write(text)
        return node

    def start(self):
        node = self.node("start", self.bench.hosts_file)
        node.policy(open(node.source, encoding="utf-8").read())
        node.apply()
        took = statistics.median(self.ready(node)[0] for _ in range(RUNS))
        self.row("start to ready, 1,000 names", "≤ 3 ms", took, "ms", 3)

    def rules(self):
        """sluice-init beside nft with the same rules."""
        node = self.node("rules", self.bench.hosts_file)
        node.policy(open(node.source, encoding="utf-8").read())
        space = node.pod.space
        apply = [node.program("init"), "apply", "--policy", node.compiled, "--state", node.state]
        own, again, nft = [], [], []
        for _ in range(RUNS):
            own.append(self.timed(space, *apply)[0])
            again.append(self.timed(space, *apply)[0])
            node.remove()
        node.apply()
        text = node.init("print nft")
        node.remove()
        self.row("installing the rules, whole process", "≤ 3 ms", statistics.median(own), "ms", 3)
        self.row("  the same when they are there already", "", statistics.median(again), "ms")
        if text.returncode == 0:
            path = self.lab.write("rules.nft", text.stdout)
            for _ in range(RUNS):
                took, code = self.timed(space, "nft", "-f", path)
                if code:
                    break
                nft.append(took)
                space.must(["nft", "flush", "ruleset"])
        if nft:
            self.row("  `nft -f` of what `sluice-init print nft` prints", "", statistics.median(nft), "ms")

    def million(self):
        hosts = self.lab.path("million.txt")
        with open(hosts, "w", encoding="ascii") as file:
            file.writelines(f"name-{i}.example-{i % 1000}.test\n" for i in range(MILLION))
        node = self.node("million", hosts)
        took, code = self.timed(self.bench.internet.space, node.program("rules"), "compile", node.source,
                                "-o", node.compiled)
        if code:
            raise RuntimeError(f"sluice-rules: status {code} for a million names")
        node.apply()
        self.row("compiling 1,000,000 names", "", took / 1000, "s")
        self.row("  size of that policy", "", os.path.getsize(node.compiled) / (1 << 20), "MB")
        begin, rss = self.ready(node)
        self.row("start to ready, 1,000,000 names", "", begin, "ms")
        self.row("  RSS after that", "", rss / 1024, "MB")

    # Counts.

    def each(self, contender, port, file, count):
        """That many connections, one after the other."""
        argv = [self.bench.tools["load"], "each", file, str(port), str(count), *self.bench.addresses]
        served, closed, failed = map(int, contender.pod.space.must(self.bench.pinned(argv)).stdout.split()[:3])
        if failed or served + closed != count:
            raise RuntimeError(f"{contender.name}: {served} served, {closed} closed, {failed} failed of {count}")

    def instructions(self, contender, action):
        """User instructions per operation: `action` does as many as it is told."""
        argv = self.bench.pinned([self.bench.tools["step"], "count", str(contender.pids()[0])])
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.lab.env) as child:
            child.stdout.readline()
            action(STEPPED)
            child.stdin.close()
            return int(child.stdout.read()) / STEPPED

    def calls(self, contender, action):
        """System calls per operation."""
        out = self.lab.path("strace.out")
        pid = str(contender.pids()[0])
        with subprocess.Popen(["strace", "-f", "-c", "-U", "calls,name", "-o", out, "-p", pid], stderr=subprocess.PIPE,
                              text=True, env=self.lab.env) as child:
            child.stderr.readline()  # "attached"
            action(TRACED)
            child.send_signal(signal.SIGINT)
            child.stderr.read()
        with open(out, encoding="utf-8") as file:
            total = [line.split()[0] for line in file if line.rstrip().endswith("total")]
        return int(total[0]) / TRACED

    def counts(self):
        text = f"GET / HTTP/1.1\r\nHost: {self.bench.good}\r\nConnection: close\r\n\r\n"
        request = self.bench.write("request", text.encode())
        operations = {"TLS connection": (443, self.bench.hellos[self.bench.good]),
                      "refused TLS connection": (443, self.bench.hellos[self.bench.bad]),
                      "HTTP request, a connection each": (80, request)}
        for label, (port, file) in operations.items():
            cells = {}
            for contender in self.contenders():
                if contender.name not in ("sluice tproxy", "haproxy tproxy", "nginx redirect"):
                    continue

                def action(count, contender=contender, port=port, file=file):
                    self.each(contender, port, file, count)
                action(2)  # what is done for the first only
                cells[contender.name] = (f"{self.instructions(contender, action):,.0f} / "
                                         f"{self.calls(contender, action):.1f}")
            self.others.append((f"instructions / system calls per {label}", cells))

    def table(self):
        lines = ["", "| figure | target | measured | met |", "| --- | --- | --- | --- |"]
        lines += [f"| {figure} | {target} | {value} | {met} |" for figure, target, value, met in self.rows]
        names = [contender.name for contender in self.contenders()]
        lines += ["", "| | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
        for figure, cells in self.others:
            lines.append(f"| {figure} | " + " | ".join(cells.get(name, "-") for name in names) + " |")
        return "\n".join(lines)
