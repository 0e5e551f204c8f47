# SPDX-License-Identifier: MIT
"""The admin socket."""
import os

from lab.node import PORT


def listeners(run):
    """Ports that anything in the pod listens on."""
    text = run.pod.space.must(["cat", "/proc/net/tcp", "/proc/net/tcp6"]).stdout
    rows = [line.split() for line in text.splitlines() if " 0A " in line]
    return {int(row[1].rpartition(":")[2], 16) for row in rows}


def admin(run):
    """The admin socket answers root, and no application; nothing but the proxy's port listens on TCP."""
    node = run.node
    run.expect(node.ctl("/ready") is not None, "/ready does not answer")
    run.expect("common" in (node.ctl("/policy") or ""), "/policy does not name the policy")
    run.expect(node.stats().get("sluice_downstream_cx_total") is not None, "no metrics")
    run.expect(node.ctl("/nonsense") is None, "/nonsense is answered with success")
    done = run.command(f"curl -sS --unix-socket {node.admin} http://x/stats/prometheus")
    run.expect("sluice_" not in done.stdout, "an application reads the metrics")
    run.expect(listeners(run) == {PORT}, f"listening: {listeners(run)}")
    run.expect(os.stat(node.admin).st_mode & 0o077 == 0, "the admin socket's mode")
