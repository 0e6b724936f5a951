"""What a fit and a prediction say of each row and of each cluster's rows: /distances, /second, /members and /offsets are those of a
brute force in NumPy, for every kind of rows, on any number of ranks, however the rows are held; and what is there when a job is
killed, stopped, or has no room.
"""
import contextlib
import os
import random
import re
import resource
import signal
import subprocess
import time

import h5py
import numpy as np

import contract
import data
from common import Test, environment, part_files, read
from fits import GRACE, SavingFit, children

OF_ROWS = ("/labels", "/distances", "/members", "/offsets")
SECOND = ("/second/labels", "/second/distances")
BLOCK = 4096  # rows that are compared with all centroids at a time


def expected(x, c, skipped=()):
    """All datasets, of rows x (float32, as they are compared) of which those numbered `skipped` are left out."""
    n, k = len(x), len(c)
    kept = np.setdiff1d(np.arange(n), skipped)
    labels, second = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    own, other = np.full(n, np.nan), np.full(n, np.nan)
    for at in range(0, len(kept), BLOCK):
        rows = kept[at:at + BLOCK]
        table, each = contract.distances(x[rows], c), np.arange(len(rows))
        labels[rows] = table.argmin(axis=1)
        own[rows] = table[each, labels[rows]]
        if k > 1:
            table[each, labels[rows]] = np.inf
            second[rows] = table.argmin(axis=1)
            other[rows] = table[each, second[rows]]
    order = np.lexsort((kept, own[kept], labels[kept]))
    counts = np.bincount(labels[kept], minlength=k)
    return {"/labels": labels, "/distances": own.astype(np.float32), "/members": kept[order],
            "/offsets": np.concatenate([[0], np.cumsum(counts)]),
            "/second/labels": second, "/second/distances": other.astype(np.float32)}


def check_file(t, what, path, right, names):
    wrong = ""
    with h5py.File(path, "r") as file:
        for name in names:
            there = file[name][()] if name in file else None
            if there is None or not np.array_equal(there, right[name], equal_nan=there.dtype.kind == "f"):
                wrong += f"      {name}: {there} is not {right[name]}\n"
    return t.check(not wrong, what, wrong)


class Rows:
    """A dataset, how it is given to lloyd, and the values that are compared."""

    def __init__(self, name, inputs, values, *options, predict=(), skipped=()):
        self.name, self.inputs, self.values, self.options = name, inputs, values, options
        self.predict, self.skipped = predict, skipped

    def given(self):
        return [word for path in self.inputs for word in ("--input", path)]


def every_kind(t):
    """Rows of every kind, with the number of clusters and other options."""
    lattice, mixed = data.lattice(3000, 4, 3, 1), data.gaussian(1500, 9, 2, 12)
    bytes_ = data.lattice(2500, 5, 9, 3)
    half = data.gaussian(1200, 7, 4, 5).astype(np.float16)
    bad = data.gaussian(900, 6, 5, 4)
    holes = [0, 1, 17, 450, 451, 899]
    bad[holes] = np.nan
    weights = np.random.default_rng(6).uniform(0, 3, len(mixed)).astype(np.float32)
    parts = [data.write(t.path(f"part-{i}.h5"), mixed[rows]) for i, rows in enumerate((slice(0, 1), slice(1, 700), slice(700, None)))]
    return [
        Rows("ties", [data.write(t.path("ties.h5"), lattice)], lattice, "-k", 40),
        Rows("more clusters than half of the rows", [data.write(t.path("many.h5"), mixed)], mixed, "-k", 800),
        Rows("three files", parts, mixed, "-k", 33),
        Rows("weights", [data.write(t.path("weighted.h5"), mixed, weights=weights)], mixed, "-k", 20, "--weights", "weights"),
        Rows("cosine", [data.write(t.path("cosine.h5"), mixed)], contract.normalised(mixed), "-k", 20, "--metric", "cosine"),
        Rows("uint8", [data.write(t.path("u8.h5"), bytes_, dtype=np.uint8)], bytes_, "-k", 70),
        Rows("float16", [data.write(t.path("f16.h5"), half)], half.astype(np.float32), "-k", 65),
        Rows("bad rows", [data.write(t.path("bad.h5"), bad)], bad, "-k", 9, "--skip-bad-rows", predict=("--skip-bad-rows",),
             skipped=holes),
        Rows("empty clusters", [data.write(t.path("same.h5"), data.duplicated(600, 3, 5, 7))], data.duplicated(600, 3, 5, 7), "-k", 12,
             "--empty", "keep", "--init", "random"),
        Rows("one row", [data.write(t.path("one.h5"), mixed[:1])], mixed[:1], "-k", 1),
        Rows("one cluster", [data.write(t.path("alone.h5"), lattice)], lattice, "-k", 1),
        Rows("two clusters", [data.write(t.path("two.h5"), mixed)], mixed, "-k", 2),
    ]


def brute_force(t):
    for rows in every_kind(t):
        ways = [(1, ()), (2, ()), (3, ("--chunk-rows", 97)), (5, ())]
        for ranks, how in ways if not t.quick else ways[::2]:
            model = t.fit(rows.inputs, "model.h5", *rows.options, "--max-iters", 3, "--distances", "--members", *how, ranks=ranks)
            if model is None:
                continue
            right = expected(rows.values, read(model, "/centroids"), rows.skipped)
            check_file(t, f"{rows.name}: fit on {ranks} ranks {' '.join(map(str, how))}".rstrip(), model, right, OF_ROWS)
            labels = t.path("labels.h5")
            result = t.lloyd("predict", "--model", model, *rows.given(), *rows.predict, "--output", labels, "--distances", "--members",
                             "--second", ranks=ranks)
            if t.check(result.status == 0, f"{rows.name}: predict on {ranks} ranks", result.describe()):
                check_file(t, f"{rows.name}: predict on {ranks} ranks, with the second-nearest", labels, right, OF_ROWS + SECOND)


def what_they_say(t):
    """Types and attributes, what is written only where it is asked for, and what info shows."""
    source = data.write(t.path("say.h5"), data.gaussian(50, 3, 8))
    for metric, quantity in (("l2", "squared Euclidean distance"), ("cosine", "2 - 2 cos")):
        model = t.fit(source, "say-model.h5", "-k", 4, "--metric", metric, "--distances", "--members", "--no-labels")
        labels = t.path("say-labels.h5")
        t.lloyd("predict", "--model", model, "--input", source, "--output", labels, "--distances", "--second")
        with h5py.File(model) as a, h5py.File(labels) as b:
            kinds = {name: (a[name].shape, str(a[name].dtype)) for name in ("distances", "members", "offsets")}
            t.check(kinds == {"distances": ((50,), "float32"), "members": ((50,), "int64"), "offsets": ((5,), "int64")}
                    and "labels" not in a, f"{metric}: types and shapes", str(kinds))
            t.check([file["distances"].attrs["quantity"] for file in (a, b)] == [quantity] * 2
                    and b["second/distances"].attrs["quantity"] == quantity, f"{metric}: what the distances are")
            t.check(set(b) == {"labels", "distances", "second"} and b["second/labels"].dtype == np.int32, f"{metric}: no members")
        shown = t.lloyd("info", model).out
        t.check("/members" in shown and "/distances" in shown and "/second" not in shown, "info of a model", shown)
        shown = t.lloyd("info", labels).out
        t.check("/members" not in shown and "/second" in shown, "info of labels", shown)


def little_memory(t):
    """The plan counts what members take; with little memory they are sorted in several rounds, with the same result."""
    x = data.lattice(800000, 4, 40, 9)
    source = data.write(t.path("large.h5"), x, dtype=np.uint8)
    options = ("-k", 12, "--init", "random", "--max-iters", 1, "--members", "--distances", "--seed", 2)
    whole = t.fit(source, "whole.h5", *options)
    check_file(t, "800,000 rows", whole, expected(x, read(whole, "/centroids")), OF_ROWS)
    for ranks in (1, 2):
        refused = t.lloyd("fit", "--input", source, "--output", t.path("no.h5"), *options, "--max-host-memory", "1MB", ranks=ranks)
        found = re.search(r"at least (\d+)MB; allow that", " ".join(refused.messages))
        if not t.check(refused.status == 2 and len(refused.messages) == 1 and found, f"too little memory, {ranks} ranks: "
                       f"{' '.join(refused.messages)[7:]}", refused.describe()):
            continue
        least = ("--max-host-memory", found.group(1) + "MB")
        plan = t.lloyd("fit", "--input", source, "--output", t.path("no.h5"), *options, *least, "--dry-run", ranks=ranks)
        rounds = re.search(r"members +sorted by all ranks together in (\d+) round", plan.out)
        t.check(rounds and "members of clusters" in plan.out and int(rounds.group(1)) > 1,
                f"the plan of {ranks} ranks with {found.group(1)} MB: {rounds and rounds.group(0)}", plan.describe())
        few = t.fit(source, "few.h5", *options, *least, ranks=ranks)
        t.check_same(f"{found.group(1)} MB on {ranks} ranks: the same", whole, few, OF_ROWS)


def no_room(t):
    """Refused before the work begins."""
    source, output = data.write(t.path("room.h5"), data.gaussian(20000, 2, 10)), t.path("no-room.h5")
    small = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (150000, 150000))}
    result = t.lloyd("fit", "--input", source, "-k", 3, "--output", output, "--progress", "none", "--members", **small)
    t.check(result.status == 1 and len(result.messages) == 1 and output in result.messages[0] and not part_files(output),
            f"fit: a limit on files: {' '.join(result.messages)[7:]}", result.describe())
    result = t.lloyd("fit", "--input", source, "-k", 3, "--output", output, "--progress", "none", **small)
    t.check(result.status == 0, "which its labels alone would not reach", result.describe())


def stopped_and_killed(t):
    """A fit that is killed or stopped when the distances are measured leaves what was there; resumed, it writes all."""
    source = data.write(t.path("kill.h5"), data.gaussian(6000, 6, 11, 8))
    options = ["--input", source, "-k", 30, "--max-iters", 3, "--distances", "--members"]
    whole = t.fit(source, "killed-whole.h5", *options[2:])
    for name, number, hold in (("killed", signal.SIGKILL, '"phase":"distances"'), ("stopped", signal.SIGTERM, '"phase":"final')):
        for ranks in (1, 3):
            fit = SavingFit(t, f"{name}-{ranks}", options, ranks=ranks, every=1, hold=hold)
            fit.send(number, "all")
            time.sleep(0.2)
            result = fit.end()
            output = t.path(f"{name}-{ranks}.h5")
            t.check(result.status != 0 and not os.path.exists(output), f"{name} on {ranks} ranks: no output", result.describe())
            again = t.lloyd("fit", *options, "--output", output, "--checkpoint", fit.checkpoint, "--resume", "--progress", "none",
                            ranks=4 - ranks)
            t.check(again.status == 0, f"{name} on {ranks} ranks, resumed on {4 - ranks}", again.describe())
            t.check_same("and all is there", whole, output, OF_ROWS)


def killed_at_any_time(t):
    """A prediction that is killed at any moment leaves the older file as it was, or has written a whole one."""
    source = data.write(t.path("any.h5"), data.gaussian(150000, 4, 12))
    model, output = t.fit(source, "any-model.h5", "-k", 40, "--max-iters", 1), t.path("any.h5.labels")
    command = ["predict", "--model", model, "--input", source, "--output", output, "--members", "--distances", "--second"]
    began = time.time()
    result = t.lloyd(*command, ranks=2)
    seconds = time.time() - began
    t.check(result.status == 0, "a prediction", result.describe())
    right = t.path("any-right.h5")
    os.replace(output, right)
    whole = 0
    for _ in range(3 if t.quick else 10):
        process = subprocess.Popen([*t.mpirun, "-n", "2", t.lloyd_path, *map(str, command)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env=environment(), cwd=t.directory, start_new_session=True)
        time.sleep(random.uniform(0.3, 1) * seconds)
        ranks = children(process.pid)
        for pid in ranks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            process.wait(GRACE)  # the launcher ends when its ranks have, or nearly so
        except subprocess.TimeoutExpired:  # but not always where they die while they connect (fits.py)
            process.kill()
            process.wait()
        deadline = time.time() + 10
        while any(os.path.exists(f"/proc/{pid}") for pid in ranks) and time.time() < deadline:
            time.sleep(0.05)
        if os.path.exists(output):
            whole += 1
            t.check_same("what is there is whole", right, output, OF_ROWS + SECOND)
            os.remove(output)
    print(f"      ({whole} were done before)")
    result = t.lloyd(*command, ranks=2)
    t.check(result.status == 0 and not part_files(output), "the next prediction removes what they have left",
            f"{result.describe()}\n{part_files(output)}")
    t.check_same("and is right", right, output, OF_ROWS + SECOND)


def main():
    def more(parser):
        parser.add_argument("--held", required=True, help="the copy of the program that can be held")

    t = Test("members", more)
    t.held_path = os.path.realpath(t.options.held)
    t.steps((brute_force,), (what_they_say,), (little_memory,), (no_room,), (stopped_and_killed,), (killed_at_any_time,))
    t.finish()


main()
