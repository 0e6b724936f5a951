"""Whoever stops a fit with a checkpoint loses the iteration that has begun, and no more.

mpirun sends SIGTERM to its ranks when it is stopped, when Ctrl-C is typed, or when a rank has died, and kills them after a second. So the
last finished iteration must be on the disk by then, whatever the ranks are doing: here they are in passes that take seconds, or rank 0
is held for ever (by the copy of the program in tests/faults).

    --signals 300 --at-once 4    many of them, at random moments of passes
"""
import concurrent.futures
import os
import random
import re
import resource
import signal
import subprocess
import threading
import time

from common import Test
from fits import STOPPED, SavingFit

STOP_SIGNALS = [signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR2]


def held_for_ever(t):
    """Rank 0 does not come back from a pass (it is held where the log says that iteration 3 is done)."""
    for name, more, wanted in (("held", (), "iteration 3"), ("several", ("--n-init", 2), "iteration 3 of run 1")):
        fit = SavingFit(t, name, ["--input", t.data("digits.h5"), "-k", 20, "--max-iters", 50, *more], hold='"iteration":2,')
        time.sleep(0.5)  # a slow iteration
        fit.hold_at('"iteration":3,')
        fit.wait_for('"iteration":3,')
        fit.send(signal.SIGTERM)
        result = fit.end(release=False)
        t.check(fit.kept() == 3 and not result.timed_out, f"{name}: the checkpoint has iteration 3 ({fit.kept()})", result.describe())
        said = [line for line in result.messages if "SIGTERM" in line and fit.checkpoint in line and wanted in line]
        t.check(len(said) == 1, f"{name}: one sentence says so", result.describe())
    fit = SavingFit(t, "fast", ["--input", t.data("digits.h5"), "-k", 20, "--max-iters", 50], hold='"iteration":5,')
    fit.send(signal.SIGTERM)
    result = fit.end(release=False)
    t.check(fit.kept() == 5, f"held after short iterations: the checkpoint has iteration 5 ({fit.kept()})", result.describe())


def stopped_in_a_pass(t, rows, clusters, number):
    """SIGTERM to mpirun at a random moment after iteration 1. Returns what is wrong, or ""."""
    fit = SavingFit(t, f"pass-{number}", ["--input", rows, "-k", clusters, "--init", "random", "--max-iters", 50, "--no-labels", "--seed", number])
    began = time.time()
    if not fit.wait_for('"iteration":1,'):
        return "no iteration has ended\n" + fit.end().describe()
    seconds = float(re.search(r'"iteration":1,.*?"seconds":([0-9.e+-]+)', fit.lines()).group(1))
    time.sleep(random.random() * seconds)
    done = fit.finished()
    fit.send(signal.SIGTERM)
    result, kept = fit.end(), fit.kept()
    print(f"      {number}: passes of {seconds:.1f} s, stopped after {time.time() - began:.1f} s: {done} done, {kept} kept", flush=True)
    ok = kept >= done and not result.timed_out
    for name in os.listdir(t.directory):
        if ok and name.startswith(f"pass-{number}."):
            path = t.path(name)
            subprocess.run(["rm", "-rf", path], check=True)
    return "" if ok else f"{done} iterations were done, {kept} are kept\n" + result.describe()


def stopped_in_passes(t):
    rows, clusters = t.path("rows.h5"), t.options.clusters
    t.lloyd("synth", "--rows", t.options.rows, "--dim", 256, "--clusters", 1000, "--output", rows)
    count = min(t.options.signals, 1) if t.quick else t.options.signals
    lost, lock = [], threading.Lock()

    def one(number):
        wrong = stopped_in_a_pass(t, rows, clusters, number)
        if wrong:
            with lock:
                lost.append(wrong)

    with concurrent.futures.ThreadPoolExecutor(t.options.at_once) as pool:
        list(pool.map(one, range(count)))
    t.check(not lost, f"{count} times SIGTERM to the launcher in a pass: at most one iteration is lost", "\n".join(lost[:5]))


def other_signals(t):
    """What schedulers, terminals and limits send."""
    options = ["--input", t.data("digits.h5"), "-k", 20, "--max-iters", 50]
    for number in STOP_SIGNALS:
        fit = SavingFit(t, "signal", options, ranks=1, hold='"iteration":2,')
        fit.send(number)
        time.sleep(0.1)
        result = fit.end()
        t.check(result.status == STOPPED and fit.kept() >= 2 and number.name in result.messages[-1], f"{number.name}: stopped with a checkpoint",
                result.describe())
    fit = SavingFit(t, "nohup", options, ranks=1, hold='"iteration":2,', before=["nohup"])
    fit.send(signal.SIGHUP)
    time.sleep(0.1)
    result = fit.end()
    t.check(result.status == 0, "under nohup, SIGHUP is nothing", result.describe())


def cpu_limit(t):
    """The soft limit on CPU time: SIGXCPU, and once more for every second after it."""
    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (1, 60))
    fit = SavingFit(t, "limit", ["--input", t.path("rows.h5"), "-k", t.options.clusters // 2, "--init", "random", "--max-iters", 50, "--no-labels"], ranks=1,
              preexec_fn=limit)
    result = fit.end()
    t.check(result.status == STOPPED and "SIGXCPU" in result.messages[-1], "a limit on CPU time stops it", result.describe())


def main():
    def more(parser):
        parser.add_argument("--held", required=True, help="the copy of the program that can be held")
        parser.add_argument("--signals", type=int, default=3)
        parser.add_argument("--at-once", type=int, default=1)
        parser.add_argument("--rows", type=int, default=30000)
        parser.add_argument("--clusters", type=int, default=15000, help="with the rows, how long a pass takes")

    t = Test("stop", more)
    t.held_path = os.path.realpath(t.options.held)
    t.steps((held_for_ever,), (other_signals,), (stopped_in_passes,), (cpu_limit,))
    t.finish()


main()
