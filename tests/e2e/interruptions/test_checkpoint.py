"""Checkpoints: a fit that was stopped, killed or ran out of disk goes on, and ends as if nothing had happened.

The oracle is always the same job run in one go. Signals are real ones, sent to ranks or to the launcher while the run is held at a
line of its log (by the copy of the program in tests/faults), so that a busy machine cannot let it end before; runs are killed at
random times.
"""
import collections
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

import h5py
import numpy as np

import data
from common import EXACT, LAUNCHER, Result, Test, attribute, differences, digest, part_files, read

GRACE = 30  # seconds in which everything must end
STOPPED = 75


def children(pid):
    """The processes whose parent is `pid`."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    if int(file.read().rsplit(")", 1)[1].split()[1]) == pid:
                        found.append(int(name))
            except OSError:
                pass
    return found


def alive(pids):
    """Those of these processes that have not ended."""
    found = []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                if file.read().rsplit(")", 1)[1].split()[0] != "Z":
                    found.append(pid)
        except OSError:
            pass
    return found


class Fit:
    """A fit that runs in the background, with its log. It is held when its log has the text `hold`."""

    def __init__(self, t, options, ranks, hold=None, **more):
        self.t, self.log, self.held = t, t.path("fit.jsonl"), t.path("fit.hold")
        if os.path.exists(self.log):
            os.remove(self.log)
        self.program = t.held_path if hold else t.lloyd_path
        self.command = [self.program, "fit", *map(str, options), "--log", self.log]
        self.launched = ranks > 1
        if self.launched:
            self.command = t.mpirun + ["-n", str(ranks)] + self.command
        environment = dict(LAUNCHER, **os.environ)
        environment.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", LLOYD_HOLD=self.held)
        if hold:
            self.hold_at(hold)
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output,
                                        env=environment, cwd=t.directory, start_new_session=True, **more)
        if hold:
            self.wait_for(hold)

    def hold_at(self, text):
        with open(self.held + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(self.held + ".new", self.held)

    def go_on(self, hold=None):
        """Lets the fit run, up to the next text where it is held."""
        if hold:
            self.hold_at(hold)
            self.wait_for(hold)
        elif os.path.exists(self.held):
            os.remove(self.held)

    def lines(self):
        try:
            with open(self.log, encoding="utf-8") as file:
                return file.read()
        except OSError:
            return ""

    def wait_for(self, text):
        """Returns when the log has this text, or the fit has ended."""
        end = time.time() + 120
        while text not in self.lines() and self.process.poll() is None and time.time() < end:
            time.sleep(0.002)

    def ranks(self):
        """The processes of the ranks."""
        if not self.launched:
            return [self.process.pid]
        found = []
        for pid in children(self.process.pid):
            try:
                if os.readlink(f"/proc/{pid}/exe") == self.program:
                    found.append(pid)
            except OSError:
                pass
        return found

    def send(self, number, to):
        """to: "launcher", "all" (ranks) or the number of a rank."""
        ranks = self.ranks()
        chosen = [self.process.pid] if to == "launcher" else ranks if to == "all" else ranks[to:to + 1]
        for pid in chosen:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def end(self):
        """Lets it run; the result, after GRACE seconds at most. Sets `seconds`, `left` (ranks that are still there: a hang), and `stuck`: all
        ranks have ended, but not their launcher, as it happens to Open MPI's when a rank dies while it connects."""
        self.go_on()
        began, ranks = time.time(), set(self.ranks())
        while time.time() < began + GRACE and (alive(ranks) if ranks else self.process.poll() is None):
            time.sleep(0.01)
            ranks.update(self.ranks())
        self.seconds = time.time() - began
        try:
            self.process.wait(5 if self.launched else 0)
        except subprocess.TimeoutExpired:
            pass
        self.left = alive(ranks)
        self.stuck = self.launched and self.process.poll() is None and not self.left
        timed_out = bool(self.left)
        for pid in self.left + [self.process.pid] * (self.process.poll() is None):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.output.seek(0)
        text = self.output.read().decode(errors="replace")
        self.output.close()
        return Result(self.command, self.process.returncode, "", text, timed_out)


class Job:
    """One job: how to run it, and its model from a run in one go."""

    def __init__(self, t, name, source, options, iterations=12):
        self.t, self.source, self.name = t, source, name
        self.options, self.iterations = ["-k", 24, *options], iterations
        self.checkpoint, self.model = t.path(f"{name}.ck"), t.path(f"{name}.h5")
        self.whole = t.fit(source, f"{name}-whole.h5", *self.options, "--max-iters", iterations)

    def arguments(self, *more, max_iters=None):
        return ["--input", self.source, "--output", self.model, *self.options, "--max-iters", max_iters or self.iterations,
                "--checkpoint", self.checkpoint, *more]

    def run(self, *more, ranks=1, max_iters=None, **how):
        return self.t.lloyd("fit", *self.arguments(*more, max_iters=max_iters), ranks=ranks, **how)

    def clear(self):
        for path in (self.checkpoint, self.model, *part_files(self.checkpoint), *part_files(self.model)):
            if os.path.exists(path):
                os.remove(path)

    def finish(self, what, *more, ranks=1, names=EXACT):
        """--resume ends the job with the model of the undisturbed run."""
        result = self.run("--resume", *more, ranks=ranks)
        if self.t.check(result.status == 0, f"{what}: resumed on {ranks} ranks {' '.join(map(str, more))}".rstrip(),
                        result.describe()):
            return self.t.check_same(f"{what}: equal to the undisturbed run", self.whole, self.model, names)
        return False

    def stop_after(self, iterations):
        """A checkpoint of a run of so many iterations, at `self.checkpoint`."""
        self.clear()
        result = self.run(max_iters=iterations)
        self.t.check(result.status == 0 and os.path.exists(self.checkpoint), f"{self.name}: a run of {iterations} iterations",
                     result.describe())


def interrupted(t, arguments, ranks, text, number, to):
    """Sends a signal when the log has this text."""
    fit = Fit(t, arguments, ranks, hold=text)
    fit.send(number, to)
    return fit, fit.end()


def resumed_anywhere(t, source, weighted):
    """A run that ended after a few iterations goes on for more: on other ranks, in other chunks, whatever the options."""
    jobs = {"plain": [], "plusplus": ["--init", "kmeans++", "--seed", 3], "tol": ["--tol", 1e-3],
            "cosine": ["--metric", "cosine"], "weights": ["--weights", "weights", "--init", "kmeans-parallel"]}
    ways = [(1, ()), (2, ("--chunk-rows", 99)), (3, ()), (4, ("--chunk-rows", 333))]
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
    with open(t.path("again.jsonl"), encoding="utf-8") as file:
        repeated = file.read().count('"event":"iteration"')
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
        done = None
        if os.path.exists(job.checkpoint):
            done = int(re.search(r"iteration (\d+)", t.lloyd("info", job.checkpoint).out).group(1))
        t.check(wanted(done), f"--checkpoint-every {every}: killed after iteration 8, the file has iteration {done}",
                result.describe())
    fit = Fit(t, ["--input", slow, "-k", 300, "--max-iters", 100000, "--output", job.model, "--checkpoint", job.checkpoint,
                  "--checkpoint-every", "1s", "--chunk-rows", 50], 1)
    fit.wait_for('"phase":"checkpoint"')
    t.check('"phase":"checkpoint"' in fit.lines() and '"phase":"write"' not in fit.lines(),
            "--checkpoint-every 1s writes one while the run goes on")
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


def refused(t, source):
    """Other options than the checkpoint was written with, and names that go wrong."""
    job = Job(t, "refused", source, ["--seed", 1])
    job.stop_after(4)
    kept, model = digest(job.checkpoint), digest(job.model)

    def case(what, arguments, status, words, ranks=1):
        result = t.lloyd("fit", *arguments, ranks=ranks, timeout=60)
        ok = result.status == status and len(result.messages) == 1 and all(word in result.err for word in words)
        t.check(ok, f"{what}: {' '.join(result.messages)[7:]}", result.describe())
        t.check(digest(job.checkpoint) == kept and digest(job.model) == model, f"{what}: files are as they were")

    def other(option, value, was, ranks=1):
        arguments = job.arguments("--resume")
        if option in arguments:
            arguments[arguments.index(option) + 1] = value
        else:
            arguments += [option, value]
        case(f"{option} {value}", arguments, 2, [option, str(value), was, job.checkpoint], ranks)

    other("-k", 23, "-k 24", ranks=3)
    other("--seed", 2, "--seed 1")
    other("--init", "kmeans++", "--init kmeans-parallel")
    other("--init-trials", 3, "no --init-trials")
    other("--init-sample", 30, "no --init-sample")
    other("--metric", "cosine", "--metric l2")
    other("--empty", "keep", "--empty relocate")
    other("--n-init", 2, "--n-init 1")
    other("--tol", 0.5, "--tol 0")
    other("--max-iters", 3, "4 iterations")
    other("--weights", "weights", "no --weights", ranks=2)
    plain = job.arguments()
    at = plain.index("--checkpoint")
    without = plain[:at] + plain[at + 2:]
    case("--resume alone", without + ["--resume"], 2, ["--checkpoint"], ranks=2)
    case("--checkpoint-every alone", without + ["--checkpoint-every", 5], 2, ["--checkpoint"])
    for every in ("0", "5x", "m", "-3", "1.5h", "99999999999"):
        case(f"--checkpoint-every {every}", plain + [f"--checkpoint-every={every}"], 2, ["--checkpoint-every"])
    os.symlink(job.model, t.path("link.ck"))
    for name, wrong in {"the output": job.model, "the output's unfinished file": job.model + ".part",
                        "the output by another path": os.path.join(t.directory, ".", "refused.h5"),
                        "a link to the output": t.path("link.ck"), "the input": source}.items():
        case(f"the checkpoint is {name}", without + ["--checkpoint", wrong], 2, [wrong])
    case("the checkpoint is the log", plain + ["--log", job.checkpoint], 2, ["--log"])
    shutil.copy(source, t.path("other.h5"))
    for resume in ((), ("--resume",)):
        case(f"the checkpoint is other data {resume}", without + ["--checkpoint", t.path("other.h5"), *resume],
             3 if resume else 2, ["other.h5"])
    case("no such directory", without + ["--checkpoint", t.path("nowhere/x.ck")], 1, ["nowhere"], ranks=2)
    if os.path.isdir("/proc/self"):
        case("a directory nobody can write", without + ["--checkpoint", "/proc/x.ck"], 1, ["/proc/x.ck"])
    job.finish("after all that", ranks=2)


def damaged(t, source):
    """Truncated and changed files: an error, and nothing is overwritten."""
    job = Job(t, "damaged", source, [])
    job.stop_after(4)
    whole = digest(job.checkpoint)
    draw = random.Random(1)
    cases = [("cut to", size, whole[:size]) for size in (0, 1, 100, 2000, len(whole) // 2, len(whole) - 1)]
    for at in sorted(draw.sample(range(len(whole)), 6 if t.quick else 25)):
        cases.append(("changed at", at, whole[:at] + bytes([whole[at] ^ 1 << draw.randrange(8)]) + whole[at + 1:]))
    place = whole.index(read(job.checkpoint, "/centroids").tobytes())
    cases.append(("a centroid changed at", place + 5, whole[:place + 5] + bytes([whole[place + 5] ^ 1]) + whole[place + 6:]))
    for what, at, content in cases:
        with open(job.checkpoint, "wb") as file:
            file.write(content)
        if os.path.exists(job.model):
            os.remove(job.model)
        result = job.run("--resume", timeout=60)
        ok = result.status == 3 and len(result.messages) == 1 and job.checkpoint in result.err
        t.check(ok and digest(job.checkpoint) == content and not os.path.exists(job.model),
                f"{what} {at}: {' '.join(result.messages)[7:]}", result.describe())


def other_data(t, source):
    """The data changed between checkpoint and resume."""
    job = Job(t, "data", source, [])
    job.stop_after(4)
    kept, whole = digest(job.checkpoint), digest(source)
    with h5py.File(source, "r") as file:
        x = file["train"][()]
    one = x.copy()
    one[len(x) // 2, 3] += 1
    cases = {"one value": one, "rows in another order": x[::-1].copy(), "a row less": x[:-1],
             "another type": x.astype(np.uint8), "a column less": np.ascontiguousarray(x[:, :-1])}
    for what, changed in cases.items():
        data.write(source, changed)
        result = job.run("--resume", ranks=2, timeout=60)
        t.check(result.status == 3 and len(result.messages) == 1 and job.checkpoint in result.err and
                digest(job.checkpoint) == kept, f"{what}: {' '.join(result.messages)[7:]}", result.describe())
    with open(source, "wb") as file:
        file.write(whole[:len(whole) * 2 // 3])
    result = job.run("--resume", ranks=2, timeout=60)
    t.check(result.status == 3 and digest(job.checkpoint) == kept, "the data file was cut off", result.describe())
    os.remove(source)
    result = job.run("--resume", timeout=60)
    t.check(result.status == 3 and digest(job.checkpoint) == kept, "the data file is gone", result.describe())
    with open(source, "wb") as file:
        file.write(whole)
    job.finish("the data are back", ranks=3)


def small_disk(t):
    """A directory on a file system of 256 KiB, or None where mounting is not allowed."""
    folder = t.path("disk")
    os.mkdir(folder)
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return folder if done.returncode == 0 else None


def fill_and_free(t, arguments, filler):
    """A fit that is killed after its disk was full for some iterations and had room for some more."""
    fit = Fit(t, arguments, 2, hold='"iteration":4,')
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1024)
        except OSError:
            pass
    fit.go_on(hold='"iteration":8,')
    os.remove(filler)
    fit.go_on(hold='"iteration":12,')
    fit.send(signal.SIGKILL, 1)
    return fit.end()


def no_room(t, slow):
    """A full disk: the run goes on without checkpoints; a stop says that there is none, and the last one is still there."""
    job = Job(t, "full", slow, [], iterations=30)
    chunks = ("--chunk-rows", 400)
    job.stop_after(2)
    # By a limit on the size of files that comes when the fit runs: before, it would be refused. Its log is longer in the end, so
    # it stops early.
    os.remove(job.model)
    fit = Fit(t, job.arguments("--resume", "--checkpoint-every", 1, *chunks), 1, hold='"iteration":4,')
    kept = digest(job.checkpoint)
    resource.prlimit(fit.process.pid, resource.RLIMIT_FSIZE, (8000, 8000))
    fit.go_on(hold='"iteration":6,')
    fit.send(signal.SIGTERM, 0)
    result = fit.end()
    t.check(result.status == 1 and "no checkpoint was written" in result.err and "stopped by SIGTERM" in result.messages[-1] and
            job.checkpoint in result.messages[-1], "no room: the run goes on, and a stop says what is missing",
            result.describe())
    t.check(digest(job.checkpoint) == kept and not part_files(job.checkpoint), "no room: the old one is intact")
    job.finish("no room", ranks=2)

    folder = small_disk(t)
    if not folder:
        print("      (mounting is not allowed: no small disk)")
        return
    try:
        normal, job.checkpoint = job.checkpoint, os.path.join(folder, "x.ck")
        with open(normal, "rb") as file, open(job.checkpoint, "wb") as copy:
            copy.write(file.read())
        os.remove(job.checkpoint)
        job.clear()
        result = fill_and_free(t, job.arguments("--checkpoint-every", 1, *chunks), os.path.join(folder, "filler"))
        t.check("no checkpoint was written" in result.err and "No space left" in result.err, "a full disk is told",
                result.describe())
        info = t.lloyd("info", job.checkpoint)
        done = re.search(r"iteration (\d+)", info.out)
        t.check(done and int(done.group(1)) > 8, "when there is room again, checkpoints are written again", info.describe())
        job.finish("a full disk", ranks=1)
    finally:
        subprocess.run(["umount", folder], check=False)


def vanished(t, slow):
    """Directories that go away while the fit runs: nothing that was computed is lost."""
    chunks = ("--chunk-rows", 400)
    job = Job(t, "vanished", slow, [], iterations=30)
    for ranks in (1, 3):
        job.clear()
        folder = t.path("there")
        os.mkdir(folder)
        job.model = os.path.join(folder, "model.h5")
        fit = Fit(t, job.arguments(*chunks), ranks, hold='"iteration":3,')
        os.rmdir(folder)
        result = fit.end()
        t.check(result.status == 1 and job.model in result.err and "--resume" in result.err and
                os.path.exists(job.checkpoint), f"the output's directory vanishes, {ranks} ranks", result.describe())
        job.model = t.path("elsewhere.h5")
        job.finish("with another output", ranks=2)

    job.checkpoint = os.path.join(folder, "x.ck")
    os.mkdir(folder)
    fit = Fit(t, job.arguments("--checkpoint-every", 2, *chunks), 2, hold='"iteration":3,')
    shutil.rmtree(folder)
    result = fit.end()
    t.check(result.status == 0 and "no checkpoint was written" in result.err, "the checkpoint's directory vanishes",
            result.describe())
    t.check_same("and the result is right", job.whole, job.model)

    # The input is cut off under a run that reads it again and again. Few rows would stay in HDF5's cache.
    if t.quick:
        return
    job.checkpoint = t.path("cut.ck")
    copy = t.path("cut-input.h5")
    shutil.copy(slow, copy)
    whole, job.source = job.source, copy
    fit = Fit(t, job.arguments(*chunks), 2, hold='"iteration":3,')
    os.truncate(copy, os.path.getsize(copy) // 2)
    result = fit.end()
    t.check(result.status in (1, 3) and not result.timed_out and os.path.exists(job.checkpoint),
            "the input is cut off: an error, and a checkpoint", result.describe())
    shutil.copy(whole, copy)
    job.finish("the input is whole again")


def killed(t, slow, kills):
    """SIGKILL to a random rank at a random time; what is left goes on to the same result."""
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
        parser.add_argument("--backend", choices=("cpu", "cuda"), default="cpu", help="of the job that is killed and of the one that goes on")

    t = Test("checkpoint", more)
    t.held_path = os.path.realpath(t.options.held)
    with h5py.File(t.data("digits.h5"), "r") as file:
        digits = file["train"][()]
    weights = np.random.default_rng(5).uniform(0, 3, len(digits)).astype(np.float32)
    weighted = data.write(t.path("weighted.h5"), digits, weights=weights)
    source = data.write(t.path("digits.h5"), digits)
    with h5py.File(t.data("sift-20k.h5"), "r") as file:
        sift = file["train"][()]
    # Compressed and read in small chunks in every pass: phases that last long enough to be met.
    slow = data.write(t.path("slow.h5"), sift[:5000] if t.quick else sift, chunks=(100, 16), compression="gzip")
    parts = [(resumed_anywhere, source, weighted), (finished, source), (no_file_yet, source), (regular, slow),
             (stopped_by_signals, slow), (stopped_in_second_run, slow), (twice, slow), (refused, weighted), (damaged, source),
             (other_data, source), (no_room, slow), (vanished, slow)]
    for part, *files in parts if t.options.kills is None else []:
        began = time.time()
        part(t, *files)
        print(f"      ({part.__name__}: {time.time() - began:.1f} s)", flush=True)
    killed(t, slow, t.options.kills or (4 if t.quick else 10))
    t.finish()


if __name__ == "__main__":
    main()
