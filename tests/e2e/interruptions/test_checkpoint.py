"""Checkpoints: a fit that was stopped, killed or ran out of disk resumes, and ends as if nothing had happened.

The oracle is always the same job run in one go. Signals are real ones, sent to ranks or to the launcher while the run is held at a
line of its log (by the copy of the program in tests/faults), so that a busy machine cannot let it end before; runs are killed at
random times.
"""
import collections
import os
import random
import re
import signal
import time

import h5py
import numpy as np

import data
from common import Test, attribute, differences, digest, log_events, part_files
from fits import GRACE, STOPPED, Fit, Job, iteration_of, slow_rows


def interrupted(t, arguments, ranks, text, number, to):
    """Sends a signal when the log has this text."""
    fit = Fit(t, arguments, ranks, hold=text)
    fit.send(number, to)
    return fit, fit.end()


def resumed_anywhere(t, source, weighted):
    """A run that ended after a few iterations resumes for more: on other ranks, in other chunks, whatever the options."""
    jobs = {"plain": [], "plusplus": ["--init", "kmeans++", "--seed", 3], "tol": ["--tol", 1e-3],
            "cosine": ["--metric", "cosine"], "weights": ["--weights", "weights", "--init", "kmeans-parallel"]}
    ways = [(1, ("--filter", "int8")), (2, ("--chunk-rows", 99)), (3, ("--filter", "float16")), (4, ("--chunk-rows", 333))]
    for number, (name, options) in enumerate(jobs.items()):
        job = Job(t, name, weighted if name == "weights" else source, options)
        for after in (1, 5, 11) if name == "plain" and not t.quick else (4,):
            job.stop_after(after)
            kept = digest(job.checkpoint)
            for ranks, more in ways[number % 4:number % 4 + 1] if t.quick or name != "plain" else ways:
                with open(job.checkpoint, "wb") as file:
                    file.write(kept)
                job.finish(f"{name} after {after}", *more, ranks=ranks)
    # Empty clusters, and an initial model that is looked at by its centroids and not by its name.
    with h5py.File(source, "r") as file:
        start = file["train"][:24].astype(np.float32)
    start[12:] += 1e6
    data.centroids(t.path("start.h5"), start)
    for empty in ("relocate", "keep"):
        job = Job(t, empty, source, ["--empty", empty, "--init", t.path("start.h5")])
        job.stop_after(1)
        if empty == "relocate":
            data.centroids(t.path("start.h5"), start + 1)
            result = job.run("--resume")
            t.check(result.status == 2 and "--init" in result.err, "another initial model is refused", result.describe())
            data.centroids(t.path("start.h5"), start)
        job.finish(f"{empty} after 1", ranks=2)


def finished(t, source):
    """The end of a run: its checkpoint stays, a restarted job does hardly anything, and can be told to do more."""
    job = Job(t, "finished", source, [], iterations=100)
    t.check(job.whole and attribute(job.whole, "converged") == 1, "the job converges before --max-iters")
    job.clear()
    job.run(ranks=2)
    result = job.run("--resume", "--log", t.path("again.jsonl"))
    repeated = len(log_events(t.path("again.jsonl"), "iteration"))
    t.check(result.status == 0 and repeated == 1, f"a finished job that is restarted repeats one iteration ({repeated})",
            result.describe())
    t.check_same("and gives the same model", job.whole, job.model)
    info = t.lloyd("info", job.checkpoint)
    words = ["Checkpoint", "-k 24", "--seed 0", "--max-iters 100", "finished.ck", os.path.basename(source)]
    t.check(info.status == 0 and all(word in info.out for word in words), "info describes it", info.describe())
    predicted = t.lloyd("predict", "--model", job.checkpoint, "--input", source, "--output", t.path("labels.h5"))
    t.check(predicted.status == 0, "a checkpoint can be used as a model", predicted.describe())
    plans = [t.lloyd("fit", *job.arguments("--dry-run")[:-3], "--dry-run").out, t.lloyd("fit", *job.arguments("--dry-run")).out]
    t.check("checkpoint " not in plans[0] and "checkpoint " in plans[1], "--dry-run counts its memory", "".join(plans))


def no_file_yet(t, source):
    """A job script may always say --resume."""
    job = Job(t, "anew", source, [])
    result = job.run("--resume", ranks=2)
    t.check(result.status == 0 and "starts anew" in result.err and job.checkpoint in result.err,
            "--resume without a file starts anew, with a note", result.describe())
    t.check_same("and gives the same model", job.whole, job.model)
    result = job.run()
    t.check(result.status == 0 and "will be replaced" in result.err, "without --resume, a checkpoint is replaced with a note",
            result.describe())


def regular(t, slow):
    """--checkpoint-every: what is in the file when the run is killed."""
    job = Job(t, "regular", slow, [], iterations=1000)
    for every, wanted in (("3", lambda done: done % 3 == 0 and done >= 6), ("1", lambda done: done >= 7),
                          ("1h", lambda done: done is None)):
        job.clear()
        _, result = interrupted(t, job.arguments("--checkpoint-every", every, "--chunk-rows", 1000), 2, '"iteration":8,',
                                signal.SIGKILL, "all")
        done = iteration_of(t, job.checkpoint) if os.path.exists(job.checkpoint) else None
        t.check(wanted(done), f"--checkpoint-every {every}: killed after iteration 8, the file has iteration {done}",
                result.describe())
    fit = Fit(t, ["--input", slow, "-k", 300, "--max-iters", 100000, "--output", job.model, "--checkpoint", job.checkpoint,
                  "--checkpoint-every", "1s", "--chunk-rows", 50], 1)
    fit.wait_for('"phase":"checkpoint"')
    t.check('"phase":"checkpoint"' in fit.lines() and '"phase":"write"' not in fit.lines(),
            "--checkpoint-every 1s writes one while the run continues")
    fit.send(signal.SIGTERM, 0)
    fit.end()


def stopped_by_signals(t, slow):
    """Every signal, in every phase, to one rank, to all, or to the launcher."""
    chunks = ("--chunk-rows", 400)
    job = Job(t, "stopped", slow, ["--init", "kmeans++"])
    phases = {"reading": '"event":"begin"', "seeding": '"phase":"read"', "iterating": '"iteration":3,',
              "writing": '"phase":"final assignment"'}
    signals = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]
    cases = []
    for p, phase in enumerate(phases):
        for s, number in enumerate(signals):
            cases.append((phase, number, 1 if (s + p) % 3 == 0 else 3, ("all", 0, 2)[(s + p) % 3]))
    cases.append(("iterating", signal.SIGUSR1, 3, "launcher"))
    if t.quick:
        cases = cases[::3] + cases[-1:]
    for phase, number, ranks, to in cases:
        what = f"{number.name} while {phase}, {ranks} ranks, to {to}"
        job.clear()
        fit, result = interrupted(t, job.arguments(*chunks), ranks, phases[phase], number, to)
        allowed = (0, STOPPED) if phase == "writing" else (STOPPED,)
        ok = result.status in allowed and not result.timed_out
        if result.status == STOPPED:
            ok &= len(result.messages) == 1 and number.name in result.messages[0] and "--resume" in result.messages[0]
            ok &= not os.path.exists(job.model)
        t.check(ok, f"{what}: status {result.status}", result.describe())
        if phase != "writing" and result.status == STOPPED:
            done = ('"phase":"seed"' in fit.lines(), os.path.exists(job.checkpoint))
            t.check(done[0] == done[1], f"{what}: a checkpoint from the first centroids on {done}", result.describe())
        unfinished = part_files(job.model) + part_files(job.checkpoint)
        t.check(not unfinished, f"{what}: no unfinished file")
        job.finish(what, *chunks[:2 * (ranks % 2)], ranks=4 - ranks)
    # The launcher forwards these and ends with a status of its own.
    for number in signals[:1] if t.quick else signals[:2]:
        job.clear()
        fit, result = interrupted(t, job.arguments(*chunks), 3, '"iteration":3,', number, "launcher")
        t.check(result.status != 0 and not result.timed_out and os.path.exists(job.checkpoint),
                f"{number.name} to the launcher: a checkpoint is written", result.describe())
        job.finish(f"{number.name} to the launcher", ranks=2)


def stopped_in_second_run(t, slow):
    """Of several starts, those that have ended are not repeated."""
    job = Job(t, "starts", slow, ["--n-init", 3, "--seed", 5], iterations=6)
    for text in ('"restart":1,"iteration":3,', '"restart":2,"iteration":1,', '"restart":0,"iteration":6,')[:1 if t.quick else 3]:
        job.clear()
        _, result = interrupted(t, job.arguments("--chunk-rows", 100), 2, text, signal.SIGTERM, "all")
        t.check(result.status == STOPPED and "of run " in result.err, f"n-init stopped at {text}", result.describe())
        refused = job.run("--resume", max_iters=7)
        t.check((refused.status == 2 and "--max-iters" in refused.err) == (int(text[10]) > 0),
                "--max-iters may change while the first start is not over", refused.describe())
        if refused.status == 2:
            result = job.run("--resume", "--log", t.path("starts.jsonl"), ranks=3)
            with open(t.path("starts.jsonl"), encoding="utf-8") as file:
                log = file.read()
            t.check(result.status == 0 and f'"restart":{int(text[10]) - 1},' not in log, "what has ended is not repeated",
                    result.describe())
            os.remove(t.path("starts.jsonl"))
            t.check_same(f"n-init stopped at {text}: equal", job.whole, job.model)


def twice(t, slow):
    """A second signal of the same kind ends the run at once; without --checkpoint, the first does."""
    job = Job(t, "twice", slow, [], iterations=100000)
    arguments = job.arguments("--chunk-rows", 400)
    fit = Fit(t, arguments, 1, hold='"iteration":2,')
    os.kill(fit.process.pid, signal.SIGSTOP)  # while it is stopped, both arrive as one
    for _ in range(2):
        os.kill(fit.process.pid, signal.SIGTERM)
    os.kill(fit.process.pid, signal.SIGCONT)
    result = fit.end()
    t.check(result.status == STOPPED, "a signal that is delivered twice is one", result.describe())

    fit = Fit(t, arguments, 1, hold='"iteration":2,')
    sent = 0
    while fit.process.poll() is None and sent < 20:  # a busy machine may deliver two as one
        os.kill(fit.process.pid, signal.SIGUSR1)
        sent += 1
        time.sleep(0.4)
    result = fit.end()
    t.check(2 <= sent < 20 and result.status == -signal.SIGUSR1, "the second ends it where it is", result.describe())

    at = arguments.index("--checkpoint")
    fit = Fit(t, arguments[:at] + arguments[at + 2:], 1, hold='"iteration":2,')
    os.kill(fit.process.pid, signal.SIGTERM)
    result = fit.end()
    t.check(result.status == -signal.SIGTERM, "without --checkpoint signals do what they do", result.describe())


def killed(t, slow, kills):
    """SIGKILL to a random rank at a random time; what is left resumes to the same result."""
    job = Job(t, "killed", slow, ["--init", "kmeans++", "--seed", 4], iterations=16)
    most, more = t.options.kill_ranks, ["--backend", t.options.backend, "--chunk-rows", 400]
    draw = random.Random(t.options.kill_seed)
    began = time.time()
    fit = Fit(t, job.arguments("--checkpoint-every", 2, *more), most)
    fit.wait_for('"event":"begin"')
    begun = time.time()
    fit.end()
    usual, working, longest = time.time() - began, time.time() - begun, 0
    at, equal, left, stuck = collections.Counter(), 0, 0, 0
    for number in range(kills):
        job.clear()
        fit = Fit(t, job.arguments("--checkpoint-every", 2, *more), most)
        if number % 4:  # the others may be killed before they have begun
            fit.wait_for('"event":"begin"')
            time.sleep(draw.uniform(0, working))
        else:
            time.sleep(draw.uniform(0, usual))
        ended = fit.process.poll() is not None
        fit.send(signal.SIGKILL, draw.randrange(most))
        result = fit.end()
        longest = max(longest, fit.seconds)
        left += len(fit.left)
        stuck += fit.stuck
        log = fit.lines()
        phases = re.findall(r'"phase":"(read|seed|final assignment|write)"', log)
        after = {None: "starting or reading", "read": "seeding", "seed": "iterating", "final assignment": "writing",
                 "write": "at the end"}[phases[-1] if phases else None]
        at["over before" if ended else "not ended by it" if result.status == 0 else after] += 1
        again = job.run("--resume", "--backend", t.options.backend, ranks=draw.randrange(1, most + 1), timeout=60)
        same = again.status == 0 and not differences(job.whole, job.model)
        equal += same
        if not same or fit.left:
            t.check(False, f"kill {number}", result.describe() + again.describe() +
                    (differences(job.whole, job.model) if again.status == 0 else ""))
    where = ", ".join(f"{count} {name}" for name, count in at.most_common())
    t.check(equal == kills and left == 0 and longest < GRACE,
            f"{kills} kills of a random rank of {most} at a random time ({where}): {equal} resumed equal, {left} ranks left, ended "
            f"at most {longest:.1f} s after the kill; the launcher itself was stuck {stuck} times")


def main():
    def more(parser):
        parser.add_argument("--held", required=True, help="the copy of the program that can be held (tests/faults)")
        parser.add_argument("--kills", type=int, help="random kills to try, and nothing else")
        parser.add_argument("--kill-ranks", type=int, default=4, help="ranks of the job that is killed")
        parser.add_argument("--kill-seed", type=int, default=1, help="of the times and ranks")
        parser.add_argument("--backend", choices=("cpu", "cuda"), default="cpu", help="of the job that is killed and of the one that resumes")

    t = Test("checkpoint", more)
    t.held_path = os.path.realpath(t.options.held)
    with h5py.File(t.data("digits.h5"), "r") as file:
        digits = file["train"][()]
    weights = np.random.default_rng(5).uniform(0, 3, len(digits)).astype(np.float32)
    weighted = data.write(t.path("weighted.h5"), digits, weights=weights)
    source = data.write(t.path("digits.h5"), digits)
    slow = slow_rows(t)
    if t.options.kills is None:
        t.steps((resumed_anywhere, source, weighted), (finished, source), (no_file_yet, source), (regular, slow),
                (stopped_by_signals, slow), (stopped_in_second_run, slow), (twice, slow))
    killed(t, slow, t.options.kills or (4 if t.quick else 10))
    t.finish()


if __name__ == "__main__":
    main()
