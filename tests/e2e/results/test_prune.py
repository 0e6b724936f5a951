"""Pruning changes no bit: a job with --prune off is what the same job must give with --prune on and auto, on any ranks and threads, in
any chunks, with any filter, and resumed. On rows that are made to defeat bounds, and on ordinary ones, where it must skip something.
"""
import os

import h5py
import numpy as np

import data
from common import Test, log_events

# Ranks, threads, more options.
WAYS = [
    (1, 1, ("--prune", "on")),
    (2, 1, ("--prune", "on")),
    (3, 1, ("--prune", "on", "--chunk-rows", 333)),
    (1, 2, ("--prune", "on", "--filter", "float16")),
    (1, 2, ("--prune", "on", "--filter", "int8", "--chunk-rows", 500)),
    (2, 1, ("--prune", "auto", "--chunk-rows", 777)),
]


def tight(n, d, seed):
    """Forty clusters, ten thousand times as far apart as they are wide."""
    draw = np.random.default_rng(seed)
    return (draw.standard_normal((40, d))[draw.integers(40, size=n)] + 1e-4 * draw.standard_normal((n, d))).astype(np.float32)


def clusters(n, d, seed):
    """As bytes."""
    x = data.gaussian(n, d, seed, centres=60)
    return np.clip(np.rint(25 * x + 100), 0, 127)


def outliers(n, d, seed):
    x = data.gaussian(n, d, seed, centres=30)
    x[::97] *= 1e10
    return x


def inputs(n, quick):
    """Name: rows, stored type, clusters, more options."""
    every = {
        "digits 7": (data.gaussian(n, 7, 1, centres=20), "float32", 130, ()),
        "noise 128": (data.gaussian(n, 128, 2), "float16", 256, ()),
        "one column": (data.gaussian(n, 1, 3), "float32", 300, ("--init", "kmeans++")),
        "300 columns": (data.gaussian(n, 300, 4, centres=50), "float32", 100, ("--metric", "cosine")),
        "uint8": (clusters(n, 128, 5), np.uint8, 160, ("--weights", "weights")),
        "int8": (clusters(n, 30, 6), np.int8, 70, ("--n-init", 2)),
        "bfloat16": (data.bfloat16_values(data.gaussian(n, 48, 7, centres=40)), "bfloat16", 128, ("--metric", "cosine", "--weights", "weights")),
        "lattice": (data.lattice(n, 5, 3, 8), np.uint8, 64, ()),
        "lattice, float32": (data.lattice(n, 4, 4, 9), "float32", 140, ()),
        "duplicates": (data.duplicated(n, 16, 90, 10), "float32", 100, ()),
        "outliers": (outliers(n, 24, 11), "float32", 128, ()),
        "tight": (tight(n, 64, 12), "float32", 200, ()),
        "far from the origin": (data.gaussian(n, 20, 13, centres=9) + 4096, "float32", 128, ()),
        "few": (data.gaussian(n, 40, 14, centres=3), "float32", 5, ()),
    }
    some = ("uint8", "lattice, float32", "300 columns", "outliers")
    return {name: every[name] for name in (some if quick else every)}


def same_bits(t, n):
    weights = np.random.default_rng(1).uniform(0, 3, n).astype(np.float32)
    weights[::13] = 0
    for number, (name, (x, dtype, k, options)) in enumerate(inputs(n, t.quick).items()):
        source = data.write(t.path("rows.h5"), x, weights=weights, dtype=dtype)
        options = ("-k", k, "--seed", 3, "--max-iters", 12, "--backend", "cpu", *(() if "--init" in options else ("--init", "random")), *options)
        base = t.fit(source, "off.h5", *options, "--prune", "off")
        t.check_labels(f"{name}: labels are exact", source, base)
        ways = WAYS[number % 3::3] if t.quick else WAYS
        for ranks, threads, more in ways:
            other = t.fit(source, "on.h5", *options, *more, ranks=ranks, threads=threads)
            t.check_same(f"{name}: {ranks} ranks, {threads} threads, {' '.join(map(str, more))}", base, other)


def relocated(t, n):
    """Clusters that lose all rows, stay empty or jump to a far row."""
    x = data.gaussian(n, 12, 20, centres=30)
    source = data.write(t.path("rows.h5"), x)
    start = x[:100].copy()
    start[50:] += 1e6
    start[25] = start[0]
    init = data.centroids(t.path("start.h5"), start)
    for empty in ("relocate", "keep"):
        options = ("-k", 100, "--init", init, "--empty", empty, "--max-iters", 12, "--backend", "cpu")
        base = t.fit(source, "off.h5", *options, "--prune", "off")
        for ranks, threads, more in WAYS[:3]:
            t.check_same(f"{empty} empty clusters: {ranks} ranks, {' '.join(map(str, more))}", base,
                         t.fit(source, "on.h5", *options, *more, ranks=ranks, threads=threads))


def resumed(t, n):
    """A fit that ended after some iterations resumes without bounds; another one may have had them, or not."""
    source = data.write(t.path("rows.h5"), data.gaussian(n, 20, 21, centres=40))
    options = ("-k", 130, "--seed", 5, "--init", "random", "--backend", "cpu")
    base = t.fit(source, "off.h5", *options, "--max-iters", 14, "--prune", "off")
    for first, then, ranks in (("on", "off", 1), ("off", "on", 2), ("on", "on", 3)):
        checkpoint = ("--checkpoint", t.path("fit.ck"), "--checkpoint-every", 1)
        t.fit(source, "part.h5", *options, *checkpoint, "--max-iters", 6, "--prune", first)
        whole = t.fit(source, "part.h5", *options, *checkpoint, "--max-iters", 14, "--prune", then, "--resume", ranks=ranks)
        t.check_same(f"--prune {first}, resumed with {then} on {ranks} ranks", base, whole)
        os.remove(t.path("fit.ck"))


def shares(t):
    """What is skipped, and where it is said."""
    with h5py.File(t.data("sift-20k.h5"), "r") as file:
        x = file["train"][()]
    source = data.write(t.path("rows.h5"), x)
    log = t.path("fit.jsonl")
    for more in (("--filter", "int8"), ("--filter", "float16")):
        for prune in ("on", "auto", "off"):
            model = t.fit(source, "sift.h5", "-k", 256, "--init", "random", "--max-iters", 12, "--backend", "cpu", "--prune", prune, "--log", log,
                          *more)
            if model is None:
                return
            begin, steps = log_events(log, "begin")[0], log_events(log, "iteration")
            pruned, compared = ([step[name] for step in steps] for name in ("pruned", "compared"))
            what = f"--prune {prune} {' '.join(more)}"
            t.check(begin["prune"] == prune, f"{what}: the log says what was asked for")
            if prune == "off":
                t.check(not any(pruned) and not any(compared), f"{what}: nothing is skipped", f"      {pruned} {compared}")
            if prune == "on":
                t.check(pruned == [0] + [len(x)] * (len(steps) - 1), f"{what}: from the second iteration on", f"      {pruned}")
                t.check(compared[-1] < 0.5 * len(x) * 256, f"{what}: most comparisons are left out", f"      {compared}")
            t.check(all(c <= p * 256 for p, c in zip(pruned, compared)), f"{what}: never more than all", f"      {pruned} {compared}")
            os.remove(log)


def memory(t, n):
    """Bounds are planned, and what does not fit is done without."""
    x = data.gaussian(n, 8, 22, centres=20)
    source = data.write(t.path("rows.h5"), x)
    command = ("fit", "--input", source, "-k", 512, "--output", t.path("x.h5"), "--backend", "cpu", "--init", "random", "--dry-run")

    def bounds(*more):
        plan = t.lloyd(*command, *more)
        lines = [line for line in plan.out.splitlines() if "bounds, groups of" in line]
        t.check(plan.status == 0, f"a plan {' '.join(more)}", plan.describe())
        total = [line for line in plan.out.splitlines() if "in all (" in line][0]
        return lines, int(total.split("in all (")[1].split()[0])

    with_bounds, most = bounds()
    t.check(len(with_bounds) == 1 and "groups of 32" in with_bounds[0], "the plan has bounds for groups of 32", f"      {with_bounds}")
    without, least = bounds("--prune", "off")
    varies = 1 << 20  # what the program itself takes, from run to run
    t.check(not without and least < most - n * 16 * 2 + varies, "and without them needs less", f"      {least} {most}")
    seen = set()
    for limit in np.linspace(least * 1.05, most * 1.1, 12):
        lines, total = bounds("--max-host-memory", str(int(limit)))
        seen.add(lines[0].split("groups of")[1].split()[0] if lines else "none")
        t.check(total <= limit, "it keeps within the memory that is allowed", f"      {total} {limit}")
    t.check("32" in seen and len(seen) > 1, "with less memory groups are larger, or there are none", f"      {seen}")


def main():
    t = Test("prune")
    n = 900 if t.quick else 2500
    t.steps((same_bits, n), (relocated, n), (resumed, n), (shares,), (memory, 60000))
    t.finish()


if __name__ == "__main__":
    main()
