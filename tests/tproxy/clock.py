# SPDX-License-Identifier: MIT
"""A wall clock that is wrong, and put right, and wrong again, as where there is no RTC."""
import datetime
import os
import re

from bench import Skip
from control import Flow

# Whoever asks for the time of day hears of another decade each time.
SHIFT = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *t)
{
	static int (*real)(clockid_t, struct timespec *);
	static unsigned turn;

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int status = real(id, t);
	if (status == 0 && id == CLOCK_REALTIME)
		t->tv_sec += turn++ % 2 ? 315576000 : -631152000;
	return status;
}
time_t time(time_t *out)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return out ? *out = t.tv_sec : t.tv_sec;
}
"""


def shifted(bench):
    """(programs, prefix) of a proxy that such a library can be loaded into: one that is not static."""
    programs = os.path.join(bench.programs, "sanitize")
    if not os.path.exists(programs):
        programs = bench.programs
    with open(os.path.join(programs, "sluice-tproxy"), "rb") as file:
        if b"ld-linux" not in file.read(4096):
            raise Skip("only a static program is built")
    source = bench.write("shift.c", SHIFT.encode())
    bench.lab.must(["cc", "-shared", "-fPIC", "-o", bench.path("shift.so"), source])
    return programs, ["env", f"LD_PRELOAD={bench.path('shift.so')}"]


def test_a_clock_that_jumps_by_years_ends_nothing(bench):
    """Nor keeps anything: deadlines pass when they should."""
    programs, prefix = shifted(bench)
    flow = Flow(bench, "--set", "sniff=500", programs=programs, prefix=prefix)
    for _ in range(5):
        with flow.pod.space.socket(2) as silent:
            silent.settimeout(20)
            silent.connect(("203.0.113.20", 8080))
            try:
                assert silent.recv(1) == b"", "a silent client was answered"
            except ConnectionResetError:
                pass
        flow.check()
    flow.client.close()
    assert flow.server.recv(1) == b""
    flow.server.close()
    assert flow.node.stop() == 0
    with open(flow.node.access_log, encoding="ascii") as log:
        years = {int(year) for year in re.findall(r"^\[(\d{4})-", log.read(), re.M)}
    now = datetime.datetime.now().year
    assert years and all(abs(year - now) > 8 for year in years), f"the proxy's clock did not jump: {years}"
