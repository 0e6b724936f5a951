"""Fits that run beside a test, which holds, stops or kills them, and jobs that are resumed."""
import os
import re
import signal
import subprocess
import tempfile
import time

import h5py

import data
from common import EXACT, Result, environment, log_events, part_files

STOPPED = 75
GRACE = 30  # seconds in which everything must end


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
    """A fit in the background, with its log: name.jsonl; or another command, which has none. With `hold`, it is the copy of the program that can be held (tests/faults),
    and it is held when its log has this text."""

    def __init__(self, t, options, ranks, hold=None, name="fit", before=(), command="fit", **more):
        self.t, self.log, self.held = t, t.path(f"{name}.jsonl"), t.path(f"{name}.hold")
        for path in (self.log, self.held):
            if os.path.exists(path):
                os.remove(path)
        self.program = t.held_path if hold else t.lloyd_path
        self.command = [*before, self.program, command, *map(str, options), *(("--log", self.log) if command == "fit" else ())]
        self.launched = ranks > 1
        if self.launched:
            self.command = t.mpirun + ["-n", str(ranks)] + self.command
        if hold:
            self.hold_at(hold)
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output,
                                        env=environment(LLOYD_HOLD=self.held), cwd=t.directory, start_new_session=True, **more)
        if hold:
            self.wait_for(hold)

    def hold_at(self, text):
        with open(self.held + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(self.held + ".new", self.held)

    def release(self, hold=None):
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

    def wait_until(self, condition):
        """Returns what the condition says when it holds, or the fit has ended."""
        end = time.time() + 120
        while not condition() and self.process.poll() is None and time.time() < end:
            time.sleep(0.002)
        return condition()

    def wait_for(self, text):
        """Whether the log has this text."""
        return self.wait_until(lambda: text in self.lines())

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

    def send(self, number, to="launcher"):
        """to: "launcher" (the fit itself, where there is none), "all" (ranks) or the number of a rank."""
        ranks = self.ranks()
        chosen = [self.process.pid] if to == "launcher" else ranks if to == "all" else ranks[to:to + 1]
        for pid in chosen:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def end(self, release=True):
        """Lets it run (or keeps it where it is held); the result, after GRACE seconds at most. Sets `seconds`, `left` (ranks that are
        still there: a hang), and `stuck`: all ranks have ended, but not their launcher, as it happens to Open MPI's when a rank dies
        while it connects."""
        if release:
            self.release()
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


class SavingFit(Fit):
    """A fit with a checkpoint and an output of its own: name.ck and name.h5."""

    def __init__(self, t, name, options, ranks=2, every="1h", **more):
        self.checkpoint = t.path(f"{name}.ck")
        if os.path.exists(self.checkpoint):
            os.remove(self.checkpoint)
        super().__init__(t, [*options, "--output", t.path(f"{name}.h5"), "--checkpoint", self.checkpoint, "--checkpoint-every", every,
                             "--progress", "none"], ranks, name=name, **more)

    def finished(self):
        """The iterations that the log has."""
        return len(log_events(self.log, "iteration"))

    def kept(self):
        """The last iteration that the checkpoint has, 0 without one, -1 of one that is not whole."""
        return iteration_of(self.t, self.checkpoint) if os.path.exists(self.checkpoint) else 0


def iteration_of(t, checkpoint):
    """The last iteration that a checkpoint has, -1 if lloyd cannot read it."""
    found = re.search(r"iteration (\d+)", t.lloyd("info", checkpoint).out)
    return int(found.group(1)) if found else -1


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


def slow_rows(t):
    """Compressed and read in small chunks in every pass: phases that last long enough to be met."""
    with h5py.File(t.data("sift-20k.h5"), "r") as file:
        sift = file["train"][()]
    return data.write(t.path("slow.h5"), sift[:5000] if t.quick else sift, chunks=(100, 16), compression="gzip")


def small_disk(t):
    """A directory on a file system of 256 KiB, or None where mounting is not allowed."""
    folder = t.path("disk")
    os.mkdir(folder)
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return folder if done.returncode == 0 else None
