"""Ranks that are killed or hang, in every phase of a job: all ranks end in time, nothing is left of them, and an earlier
output is as it was or replaced by the whole new one.
"""
import os
import random
import signal
import subprocess
import time

import h5py

import data
from common import EXACT, Result, Test, digest, environment, part_files

RANKS = 3
WRITES = 8
WRITING = "writing"
END_LIMIT = 30  # seconds from the loss of a rank to the end of the job
LEAVE_LIMIT = 5  # and from there on until the last process, killed by the launcher, is gone


class Job:
    """lloyd fit on some ranks, while it runs."""

    def __init__(self, t, name, *arguments):
        self.t = t
        self.output, self.log = t.path(f"{name}.h5"), t.path(f"{name}.jsonl")
        with h5py.File(self.output, "w") as file:
            file.attrs["lloyd"] = "model"  # an earlier one, which may be replaced
        self.before = digest(self.output)
        self.command = t.mpirun + ["-n", str(RANKS), t.lloyd_path, "fit", "--output", self.output, "--log", self.log,
                                   "--progress", "none", *map(str, arguments)]
        self.err = open(t.path(f"{name}.err"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.err, stderr=self.err,
                                        env=environment(), cwd=t.directory, start_new_session=True)

    def ranks(self):
        """{rank: process id} of the ranks that run."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                with open(f"/proc/{pid}/environ", "rb") as file:
                    environment = dict(v.partition(b"=")[::2] for v in file.read().split(b"\0"))
            except OSError:
                continue
            rank = environment.get(b"OMPI_COMM_WORLD_RANK", environment.get(b"PMI_RANK"))
            if words[0] == os.fsencode(self.t.lloyd_path) and os.fsencode(self.output) in words and rank:
                found[int(rank)] = int(pid)
        return found

    def earlier(self):
        return digest(self.output) == self.before

    def complete(self):
        """A whole model: a rank may be lost when it has been written, but before the job has ended."""
        try:
            with h5py.File(self.output, "r") as model:
                return all(model[name][()] is not None for name in EXACT)
        except (OSError, KeyError):
            return False

    def reached(self, event):
        if event == WRITING:
            return bool(part_files(self.output))
        if not os.path.exists(self.log):
            return event == ""
        with open(self.log, encoding="utf-8") as file:
            return event in file.read()

    def reaches(self, event):
        """Waits until all ranks run and the log says `event` ("": at once; WRITING: or the output is being written): the
        ranks, or none if the job ends before."""
        found = {}
        while self.process.poll() is None:
            if len(found) < RANKS:
                found = self.ranks()
            elif self.reached(event):
                return found
            time.sleep(0.001)
        return {}

    def end(self, limit):
        """(result, seconds it took, ranks left)"""
        began, timed_out = time.time(), False
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            timed_out = True
        ended = time.time()
        seconds, left = ended - began, self.ranks()
        while left and time.time() - ended < LEAVE_LIMIT:
            time.sleep(0.01)
            left = self.ranks()
        for pid in left.values():
            os.kill(pid, signal.SIGKILL)
        if timed_out:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.err.seek(0)
        with self.err:
            return Result(self.command, self.process.returncode, "", self.err.read(), timed_out), seconds, left


def lose(t, source, name, event, kind, rank, *arguments, delay=0.0):
    """Sends `kind` to a rank `delay` seconds after the log says `event` or it is WRITING, and checks how the job ends."""
    job = Job(t, name, "--input", source, *arguments)
    pid = job.reaches(event).get(rank)
    if t.check(pid is not None, f"{name}: the job gets there"):
        time.sleep(delay)
        try:
            os.kill(pid, kind)
        except ProcessLookupError:
            pass  # it has ended
    result, seconds, left = job.end(END_LIMIT)
    print(f"      {name}: {seconds:.1f} s, status {result.status}")
    t.check(not result.timed_out, f"{name}: all ranks end within {END_LIMIT} s", result.describe())
    t.check(not left, f"{name}: no rank is left", result.describe())
    whole = job.complete() or (result.status != 0 and job.earlier())
    t.check(whole, f"{name}: the output is the earlier or the new one", result.describe())
    return result


def killed(t, source, long_job):
    events = {"start": "", "read": '"event":"begin"', "seed": '"phase":"read"', "iterate": '"iteration":3'}
    for name, event in events.items():
        rank = random.randrange(RANKS)
        result = lose(t, source, f"rank {rank} killed, {name}", event, signal.SIGKILL, rank, *long_job)
        t.check(result.status != 0, f"rank {rank} killed, {name}: the job fails", result.describe())


def killed_writing(t):
    """Of the writer, which takes some 30 ms for so many labels, and of the others, in every part of that time."""
    source = data.write(t.path("long.h5"), data.gaussian(3000000, 2, 1))
    for part in range(0, WRITES, 3 if t.quick else 1):
        rank = 0 if part % 2 == 0 else random.randrange(1, RANKS)
        lose(t, source, f"rank {rank} killed, writing, {part}", WRITING, signal.SIGKILL, rank, "-k", 8, "--max-iters", 1,
             delay=0.04 * (part + random.random()) / WRITES)


def stopped(t, source, long_job):
    """A rank that does not go on is missed after --timeout, and named once."""
    for rank in (0, RANKS - 1):
        name = f"rank {rank} stopped"
        result = lose(t, source, name, '"iteration":3', signal.SIGSTOP, rank, "--timeout", "2s", *long_job)
        t.check(result.status == 1, f"{name}: status 1", result.describe())
        told = [m for m in result.messages if f"rank {rank} of {RANKS} has not arrived" in m]
        t.check(len(told) == 1 and len(result.messages) == 1, f"{name}: it is named once", result.describe())


def stopped_saves(t, source):
    """The other ranks end without a return from where they wait; what rank 0 keeps in memory is in the checkpoint then."""
    fit = ["-k", 200, "--init", "random", "--max-iters", 1000000, "--seed", 4]
    checkpoint, log = t.path("saved.ckpt"), t.path("resumed.jsonl")
    name = "rank 2 stopped, with a checkpoint"
    result = lose(t, source, name, '"iteration":3', signal.SIGSTOP, 2, "--timeout", "5s", "--checkpoint", checkpoint,
                  "--checkpoint-every", "9h", *fit)
    t.check("--resume continues from" in result.err, f"{name}: it is saved", result.describe())
    resumed = t.fit(source, "resumed.h5", "--log", log, "--checkpoint", checkpoint, "--resume", *fit)
    if resumed:
        with open(log, encoding="utf-8") as file:
            t.check('"iteration":2,' not in file.read(), f"{name}: resumed from a later iteration than the second")
        t.check_same(f"{name}: resumed, the same bits as in one run", resumed, t.fit(source, "whole.h5", *fit))


def failed_alone(t):
    """A rank that fails where no agreement reaches the others: rank 0 learns of it while it waits, and saves."""
    for failing in ("1", "0", "1,2", "0,2"):
        saved = t.path(f"saved-{failing}")
        result = t.run(t.mpirun + ["-n", str(RANKS), t.options.break_off, failing, saved])
        name = f"ranks {failing} fail alone"
        t.check(result.status == 1, f"{name}: status 1", result.describe())
        if t.check(os.path.exists(saved), f"{name}: rank 0 has saved", result.describe()):
            os.remove(saved)
        told = [m for m in result.messages if "fails alone" in m]
        t.check(len(told) == 1 and f"rank {failing[0]} fails" in told[0], f"{name}: one message", result.describe())


def late(t, source):
    """A rank that is late, but not too late, is waited for."""
    job = Job(t, "late", "--input", source, "-k", 64, "--max-iters", 3, "--timeout", "20s")
    pid = job.reaches('"phase":"read"').get(1)
    if pid:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(1.5)  # longer than it takes until a rank that waits naps
        os.kill(pid, signal.SIGCONT)
    result, _, _ = job.end(END_LIMIT)
    t.check(result.status == 0, "rank 1 late: the job succeeds", result.describe())


def main():
    t = Test("lost-ranks", lambda parser: parser.add_argument("--break-off", required=True,
                                                              help="the program whose ranks fail alone (lloyd_break_off)"))
    seed = random.randrange(1 << 32)
    random.seed(seed)
    print(f"seed {seed}")
    source = data.write(t.path("x.h5"), data.gaussian(20000, 16, 1))
    long_job = ["-k", 64, "--init", "kmeans++", "--max-iters", 1000000, "--n-init", 1000]
    killed(t, source, long_job)
    killed_writing(t)
    stopped(t, source, long_job)
    stopped_saves(t, source)
    failed_alone(t)
    late(t, source)
    t.finish()


if __name__ == "__main__":
    main()
