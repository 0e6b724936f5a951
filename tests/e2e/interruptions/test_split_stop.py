"""A split with a checkpoint that is stopped by a signal, or loses a rank, continues with the clusters that are not finished, on any number
of ranks, and ends with the bits of one that ran undisturbed. What does not belong to a checkpoint, or is damaged, is refused, and nothing
that was there is lost.
"""
import os
import random
import re
import resource
import shutil
import signal
import time

import h5py
import numpy as np

import data
import sealed
from common import Test, differences, digest, part_files
from fits import STOPPED, Fit

ALL = ("/centroids", "/counts", "/labels", "/parents", "/distances", "/members", "/offsets")
CLUSTERS, PARTS = 40, 32
SECONDS = 2  # that it takes at least, on one rank; on several it takes less


class Split:
    """One split: how to run it, and its model from a run in one go."""

    def __init__(self, t, rows, parent, *options):
        self.t, self.rows, self.parent, self.options = t, rows, parent, [str(o) for o in options]
        self.checkpoint, self.model, self.whole = t.path("split.ck"), t.path("split.h5"), t.path("split-whole.h5")
        self.measure()
        if self.seconds < SECONDS:  # on a fast machine too there must be time to disturb it
            self.options += ["--n-init", str(int(SECONDS / self.seconds) + 1)]
            self.measure()
        print(f"      the undisturbed split takes {self.seconds:.1f} s: {' '.join(self.options)}")

    def measure(self):
        began = time.time()
        result = self.t.lloyd("split", *self.arguments(output=self.whole))
        self.seconds = time.time() - began
        self.t.check(result.status == 0, "an undisturbed split", result.describe())

    def arguments(self, *more, output=None):
        return ["--model", self.parent, "--input", self.rows, "--output", output or self.model, "--distances", "--members", *self.options, *more]

    def run(self, *more, ranks=1, **how):
        return self.t.lloyd("split", *self.arguments("--checkpoint", self.checkpoint, *more), ranks=ranks, **how)

    def clear(self):
        for path in (self.checkpoint, self.model, *part_files(self.checkpoint), *part_files(self.model)):
            if os.path.exists(path):
                os.remove(path)

    def start(self, ranks, *more, every="1h", **how):
        self.clear()
        running = Fit(self.t, self.arguments("--checkpoint", self.checkpoint, "--checkpoint-every", every, "--progress", "bar", *more), ranks,
                      command="split", **how)
        running.shown = lambda: os.pread(running.output.fileno(), 1 << 16, 0)
        return running

    def midway(self, running):
        """Waits until rank 0 has finished some clusters, as its progress says every half a second; the other ranks have too, then."""
        return running.wait_until(lambda: any(int(share) >= 15 for share in re.findall(rb"(\d+) %", running.shown())))

    def kept(self):
        return len(sealed.clusters_of(self.checkpoint)) if os.path.exists(self.checkpoint) else 0

    def finish(self, what, *more, ranks=1, **how):
        """--resume ends the split with the model of the undisturbed one, and fits only what the checkpoint does not have."""
        kept = self.kept()
        result = self.run("--resume", *more, ranks=ranks, **how)
        what = f"{what}: resumed on {ranks} ranks {' '.join(map(str, more))}".rstrip()
        if self.t.check(result.status == 0 and f"{kept} of {CLUSTERS} clusters are from" in result.out, f"{what} after {kept} clusters",
                        result.describe()):
            self.t.check(not (found := differences(self.whole, self.model, ALL)), f"{what}: the bits of the undisturbed split", found)


def ranks_of(split, ranks):
    """Which rank fits each cluster: the one with the most rows goes to the rank that has the fewest so far (src/job/split/deal.c)."""
    with h5py.File(split.parent) as file:
        sizes = np.bincount(file["labels"][()], minlength=CLUSTERS)
    work, chosen = [0] * ranks, {}
    for c in sorted(range(CLUSTERS), key=lambda c: (-sizes[c], c)):
        chosen[c] = work.index(min(work))
        work[chosen[c]] += int(sizes[c])
    return chosen


def stopped(t, split):
    """Every signal, to the launcher and to ranks: status 75, a sentence, and a checkpoint."""
    cases = [(1, signal.SIGTERM, "launcher", 3), (1, signal.SIGUSR1, "launcher", 1), (3, signal.SIGUSR1, "launcher", 2),
             (3, signal.SIGTERM, 0, 1), (3, signal.SIGINT, 2, 5), (2, signal.SIGHUP, "all", 3)]
    for ranks, number, to, then in cases[:3] if t.quick else cases:
        name = f"{number.name} to {to}, {ranks} ranks"
        running = split.start(ranks)
        t.check(split.midway(running), f"{name}: the split gets there")
        running.send(number, to)
        result = running.end()
        t.check(result.status == STOPPED and not result.timed_out and not os.path.exists(split.model) and not part_files(split.model),
                f"{name}: stopped with 75", result.describe())
        kept = split.kept()
        said = [line for line in result.messages if "stopped by" in line and split.checkpoint in line and f"after {kept} of {CLUSTERS}" in line]
        t.check(0 < kept < CLUSTERS and len(said) == 1 and number.name in said[0], f"{name}: a checkpoint of {kept} clusters, and one sentence",
                result.describe())
        if ranks > 1:
            found = {ranks_of(split, ranks)[c] for c in sealed.clusters_of(split.checkpoint)}
            t.check(found == set(range(ranks)), f"{name}: clusters of all ranks are in it", f"      of ranks {found}")
        split.finish(name, ranks=then)


def again_and_again(t, split):
    """Stopped two or three times, resumed each time: the checkpoint grows."""
    split.clear()
    kept = 0
    for ranks in (1, 2, 3) if not t.quick else (1, 2):
        running = Fit(t, split.arguments("--checkpoint", split.checkpoint, "--resume", "--progress", "none"), ranks, command="split")
        time.sleep(0.4 + 0.2 * split.seconds)
        running.send(signal.SIGUSR1)
        result = running.end()
        t.check(result.status in (STOPPED, 0) and split.kept() >= kept, f"stopped again: {split.kept()} clusters after {kept}", result.describe())
        kept = split.kept()
    split.finish("stopped again and again", ranks=2)


def by_the_launcher(t, split):
    """mpirun sends its ranks SIGTERM, and SIGKILL a second later."""
    running = split.start(3)
    t.check(split.midway(running), "SIGTERM to mpirun: the split gets there")
    running.send(signal.SIGTERM)
    result = running.end()
    t.check(0 < split.kept() < CLUSTERS and not result.timed_out, "SIGTERM to mpirun: a checkpoint", result.describe())
    split.finish("SIGTERM to mpirun", ranks=2)


def at_once(t, split):
    """Rank 0 does not wait for a rank that does not answer: the file is there as soon as it is signalled."""
    running = split.start(3)
    t.check(split.midway(running), "at once: the split gets there")
    pid = running.ranks()[1]
    os.kill(pid, signal.SIGSTOP)
    running.send(signal.SIGTERM, 0)
    until = time.time() + 10
    while time.time() < until and b"holds" not in running.shown():
        time.sleep(0.01)
    t.check(0 < split.kept() < CLUSTERS, f"at once: {split.kept()} clusters are in it", running.shown().decode())
    os.kill(pid, signal.SIGCONT)
    result = running.end()
    said = [line for line in result.messages if "SIGTERM" in line and "holds" in line and split.checkpoint in line]
    t.check(result.status == STOPPED and len(said) == 1, "at once: a line says so, and the other ranks follow", result.describe())
    split.finish("at once", ranks=2)


def killed(t, split):
    """A rank that is killed, or hangs. Of rank 0, there is what was last written."""
    for rank, every in ((1, "1h"), (2, "1h"), (0, 1)) if not t.quick else ((2, "1h"), (0, 1)):
        running = split.start(3, every=every)
        t.check(split.midway(running), f"rank {rank} killed: the split gets there")
        if rank == 0:
            running.wait_until(lambda: os.path.exists(split.checkpoint))
        running.send(signal.SIGKILL, rank)
        result = running.end()
        t.check(result.status not in (0, None) and not result.timed_out and not os.path.exists(split.model), f"rank {rank} killed: the split fails",
                result.describe())
        t.check(0 < split.kept() < CLUSTERS, f"rank {rank} killed: a checkpoint ({split.kept()} clusters)", result.describe())
        split.finish(f"rank {rank} killed", ranks=(2, 1, 3)[rank])
    running = split.start(3, "--timeout", "3s")
    t.check(split.midway(running), "rank 2 hangs: the split gets there")
    pid = running.ranks()[2]
    os.kill(pid, signal.SIGSTOP)
    running.wait_until(lambda: False)
    result = running.end()
    t.check(result.status == 1 and "--resume continues from" in result.err and "rank 2 of 3 has not arrived" in result.err and
            0 < split.kept() < CLUSTERS, "rank 2 hangs: a checkpoint is saved", result.describe())
    split.finish("rank 2 hangs", ranks=2)


def now_and_then(t, split):
    """Written while the split runs, and kept when it has ended: --checkpoint-every, in clusters and in seconds."""
    for every in (1, "1s"):
        running = split.start(2, every=every)
        seen = running.wait_until(lambda: os.path.exists(split.checkpoint))
        early = seen and not os.path.exists(split.model)
        shown = t.lloyd("info", split.checkpoint)
        early = early and f" {CLUSTERS} of {CLUSTERS} clusters" not in shown.out
        result = running.end()
        t.check(early and result.status == 0, f"every {every}: written before the split ends", result.describe() + shown.describe())
        t.check(shown.status == 0 and f"of {CLUSTERS} clusters" in shown.out, f"every {every}: lloyd info describes it", shown.describe())
    t.check(split.kept() == CLUSTERS, "kept after success, with all clusters")
    os.remove(split.model)
    split.finish("after success", "--backend", "cpu", ranks=3)
    result = split.run("--resume", "--force", "--progress", "none")
    with h5py.File(split.model) as file:
        t.check(result.status == 0 and "distances" in file, "once more", result.describe())
    result = split.run(ranks=2)
    t.check(result.status == 0 and "will be replaced" in result.err and "are from" not in result.out, "without --resume it is replaced",
            result.describe())
    result = t.lloyd("split", *split.arguments("--checkpoint", split.checkpoint, "--resume", "--dry-run"))
    t.check(result.status == 0 and "  checkpoint " in result.out, "the plan has its size", result.describe())


def nothing_yet(t, split):
    """Stopped before a cluster is finished: no file, and --resume starts anew."""
    split.clear()
    arguments = split.arguments("--checkpoint", split.checkpoint, "--progress", "none")
    if "--n-init" in arguments:
        at = arguments.index("--n-init")
        del arguments[at:at + 2]
    running = Fit(t, [*arguments, "--n-init", 1000], 1, command="split")
    time.sleep(0.4)
    running.send(signal.SIGUSR1)
    result = running.end()
    t.check(result.status == STOPPED and "starts anew" in result.messages[-1] and not os.path.exists(split.checkpoint), "nothing to keep yet",
            result.describe())
    result = split.run("--resume")
    t.check(result.status == 0 and "does not exist yet: the split starts anew" in result.err, "it starts anew", result.describe())


def part_of(split, path):
    """A checkpoint of every second cluster, at split.checkpoint."""
    sealed.keep(path, lambda c: c % 2 == 0, [PARTS] * CLUSTERS, split.checkpoint)


def refused(t, split, complete):
    """Other options, clusters and rows than the checkpoint was written with: a sentence, and all files are as they were."""
    split.clear()
    part_of(split, complete)
    kept = digest(split.checkpoint)

    def case(what, arguments, status, words, ranks=1):
        result = t.lloyd("split", *arguments, ranks=ranks, timeout=60)
        ok = result.status == status and len(result.messages) == 1 and all(word in result.err for word in words)
        t.check(ok, f"{what}: {' '.join(result.messages)[7:]}", result.describe())
        t.check(digest(split.checkpoint) == kept and not os.path.exists(split.model) and not part_files(split.checkpoint),
                f"{what}: the files are as they were")

    def other(option, value, was, ranks=1, without=None):
        arguments = split.arguments("--checkpoint", split.checkpoint, "--resume")
        if without:
            at = arguments.index(without)
            del arguments[at:at + 2]
        if option in arguments:
            arguments[arguments.index(option) + 1] = str(value)
        else:
            arguments += [option, str(value)]
        is_now = f"no {without}" if without else f"{option} {value}"
        case(f"{option} {value}", arguments, 2, [is_now, was, split.checkpoint], ranks)

    other("-k", PARTS + 1, f"-k {PARTS}", ranks=2)
    other("--total", PARTS * CLUSTERS, f"-k {PARTS}", without="-k")
    other("--seed", 4, "--seed 3")
    other("--init", "kmeans++", "--init random")
    other("--n-init", 99, "--n-init ")
    other("--max-iters", 61, "--max-iters 60", ranks=3)
    other("--tol", 0.5, "--tol 0")
    other("--empty", "keep", "--empty relocate")
    other("--weights", "weights", "no --weights")
    plain = split.arguments("--checkpoint", split.checkpoint)
    alone = split.arguments()
    case("--resume alone", alone + ["--resume"], 2, ["--checkpoint"], ranks=2)
    case("--checkpoint-every alone", alone + ["--checkpoint-every", 5], 2, ["--checkpoint"])
    for every in ("0", "5x", "-3"):
        case(f"--checkpoint-every {every}", plain + [f"--checkpoint-every={every}"], 2, ["--checkpoint-every", "clusters"])
    for name, wrong in {"the output": split.model, "the input": split.rows, "the model": split.parent}.items():
        case(f"the checkpoint is {name}", alone + ["--checkpoint", wrong], 2, [wrong])
    case("no such directory", alone + ["--checkpoint", t.path("nowhere/x.ck")], 1, ["nowhere"], ranks=2)

    resume = split.arguments("--checkpoint", split.checkpoint, "--resume", "--progress", "none")
    at = resume.index("--model") + 1
    for what, parent in (("clusters of another fit", t.fit(split.rows, "p-other.h5", "-k", CLUSTERS, "--seed", 9, "--max-iters", 1, "--progress", "none")),
                         ("other clusters, fewer", t.fit(split.rows, "p-fewer.h5", "-k", 7, "--max-iters", 1, "--progress", "none"))):
        case(what, resume[:at] + [parent] + resume[at + 1:], 3, ["other clusters", split.checkpoint, parent], ranks=2)
    with h5py.File(split.rows) as file:
        x, weights = file["train"][()], file["weights"][()]
    one = x.copy()
    one[len(x) // 3, 3] += 0.5
    swapped = x.copy()
    swapped[[5, 6]] = swapped[[6, 5]]
    at = resume.index("--input") + 1
    for what, changed in (("one value is another", one), ("two rows are swapped", swapped), ("another type", x.astype(np.float16))):
        path = data.write(t.path("changed.h5"), changed, weights=weights, dtype=changed.dtype)
        result = t.lloyd("split", *resume[:at], path, *resume[at + 1:], ranks=2)
        t.check(result.status == 3 and split.checkpoint in result.messages[-1] and "made from" in result.messages[-1],
                f"{what}: {result.messages[-1][7:] if result.messages else ''}", result.describe())
        t.check(digest(split.checkpoint) == kept and not os.path.exists(split.model), f"{what}: the files are as they were")

    of_fit = t.path("fit.ck")
    t.fit(split.rows, "fit.h5", "-k", 3, "--max-iters", 1, "--checkpoint", of_fit, "--progress", "none")
    case("the checkpoint of a fit", alone + ["--checkpoint", of_fit, "--resume"], 2, [of_fit, "of a fit"])
    result = t.lloyd("fit", "--input", split.rows, "-k", 3, "--output", t.path("fit.h5"), "--checkpoint", split.checkpoint, "--resume")
    t.check(result.status == 2 and "of a split" in result.err and digest(split.checkpoint) == kept, "a fit from the checkpoint of a split",
            result.describe())
    copy = shutil.copy(split.rows, t.path("moved.h5"))
    renamed = resume[:at] + [copy] + resume[at + 1:]
    result = t.lloyd("split", *renamed, ranks=2)
    t.check(result.status == 0 and "20 of 40 clusters are from" in result.out and not (found := differences(split.whole, split.model, ALL)),
            "after all that: files of other names, the same bits", result.describe())


def damaged(t, split, complete):
    """Truncated and changed files: an error, and nothing is overwritten."""
    split.clear()
    part_of(split, complete)
    whole = digest(split.checkpoint)
    draw = random.Random(1)
    cases = [("cut to", size, whole[:size]) for size in (0, 1, 100, 2000, len(whole) // 2, len(whole) - 1)]
    for at in sorted(draw.sample(range(len(whole)), 4 if t.quick else 12)):
        cases.append(("changed at", at, whole[:at] + bytes([whole[at] ^ 1 << draw.randrange(8)]) + whole[at + 1:]))
    for what, at, content in cases:
        with open(split.checkpoint, "wb") as file:
            file.write(content)
        result = split.run("--resume", timeout=60)
        t.check(result.status == 3 and len(result.messages) == 1 and split.checkpoint in result.err and digest(split.checkpoint) == content and
                not os.path.exists(split.model), f"{what} {at}: {' '.join(result.messages)[7:]}", result.describe())
    with open(split.checkpoint, "wb") as file:
        file.write(whole)
    split.finish("whole again", ranks=2)


def cannot_be_written(t, split):
    """The place of the checkpoint goes away, or the results find none: what can be saved is."""
    folder = t.path("there")
    os.mkdir(folder)
    normal, split.checkpoint = split.checkpoint, os.path.join(folder, "x.ck")
    running = split.start(2, every=1)
    t.check(running.wait_until(lambda: os.path.exists(split.checkpoint)), "the folder vanishes: the split gets there")
    shutil.rmtree(folder)
    result = running.end()
    t.check(result.status == 0 and "no checkpoint was written" in result.err, "the folder of the checkpoint vanishes: the split ends well",
            result.describe())
    told = result.err.count("no checkpoint was written")
    t.check(told <= CLUSTERS, "... and says so once for each cluster, at most", f"      {told} times")
    t.check(not (found := differences(split.whole, split.model, ALL)), "... with the same bits", found)

    split.checkpoint = normal
    os.mkdir(folder)
    model, split.model = split.model, os.path.join(folder, "model.h5")
    running = split.start(2)
    t.check(split.midway(running), "no place for the model: the split gets there")
    os.rmdir(folder)
    result = running.end()
    t.check(result.status == 1 and split.kept() == CLUSTERS and "nothing is lost" in result.err, "no place for the model: all clusters are in the checkpoint", result.describe())
    split.model = model
    split.finish("no place for the model", ranks=2)

    running = split.start(1)
    t.check(split.midway(running), "no room: the split gets there")
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (1000, 1000))
    running.send(signal.SIGUSR1)
    result = running.end()
    t.check(result.status == 1 and "stopped by SIGUSR1, but without a new checkpoint" in result.messages[-1] and not os.path.exists(split.checkpoint) and
            not part_files(split.checkpoint), "no room: a stop says that there is no checkpoint", result.describe())


def main():
    t = Test("split-stop")
    rng = np.random.default_rng(3)
    x = data.gaussian(120000, 32, 1)
    rows = data.write(t.path("rows.h5"), x, weights=rng.uniform(0.5, 2, len(x)).astype(np.float32))
    parent = t.fit(rows, "parent.h5", "-k", CLUSTERS, "--init", "random", "--max-iters", 2, "--progress", "none")
    split = Split(t, rows, parent, "-k", PARTS, "--init", "random", "--max-iters", 60, "--seed", 3)
    t.steps((stopped, split), (by_the_launcher, split), (at_once, split), (killed, split), (again_and_again, split), (now_and_then, split), (nothing_yet, split))
    complete = shutil.copy(split.checkpoint, t.path("complete.ck"))
    t.steps((refused, split, complete), (damaged, split, complete), (cannot_be_written, split))
    t.finish()


main()
