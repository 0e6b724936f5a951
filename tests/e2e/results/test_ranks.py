"""The result does not depend on how it was computed: ranks, threads, chunks, files and storage change no bit.

For each job (a way of seeding, a metric, weights, empty clusters, restarts) one rank with everything in memory gives the
model that all other ways of running it must equal in /centroids, /counts, /labels and /history.
"""
import os

import h5py
import numpy as np

import data
from common import EXACT, Test, attribute, differences, read

# How a job is run: (ranks, threads, storage in data.copies(), more options).
ALL_WAYS = [
    (2, 1, "uint8", ()),
    (3, 1, "uint8", ()),
    (5, 1, "uint8", ()),
    (1, 2, "uint8", ()),
    (2, 2, "float32", ()),
    (1, 1, "uint8", ("--chunk-rows", 999)),
    (3, 1, "uint8", ("--chunk-rows", 999)),
    (5, 2, "seven files, glob", ("--chunk-rows", 999)),
    (2, 1, "uint8", ("--chunk-rows", 1000000)),
    (1, 1, "seven files, glob", ()),
    (3, 1, "seven files, listed", ()),
    (5, 1, "seven files, glob", ()),
    (2, 1, "chunked", ("--chunk-rows", 999)),
    (1, 1, "deflate", ()),
    (3, 1, "deflate", ("--chunk-rows", 999)),
    (2, 1, "deflate float32", ()),
    (1, 1, "virtual", ()),
    (3, 1, "virtual", ("--chunk-rows", 321)),
    (1, 1, "float32", ()),
    (3, 1, "float32", ("--chunk-rows", 999)),
    (1, 1, "float16", ()),
    (2, 1, "float16", ("--chunk-rows", 999)),
    (2, 1, "uint8", ("--filter", "int8")),
    (1, 2, "uint8", ("--filter", "float16")),
    (2, 1, "float32", ("--filter", "int8")),
    (1, 1, "float16", ("--filter", "float16")),
    (1, 1, "float64", ()),
    (3, 1, "big-endian float32", ()),
    (2, 1, "big-endian float16", ("--chunk-rows", 999)),
    (2, 1, "big-endian float64", ()),
]
SOME_WAYS = [
    (3, 1, "uint8", ()),
    (5, 1, "seven files, glob", ("--chunk-rows", 999)),
    (2, 2, "float32", ("--chunk-rows", 1234)),
    (2, 1, "big-endian float16", ()),
]
FEW_WAYS = SOME_WAYS[1:3]
QUICK_WAYS = [(3, 1, "seven files, glob", ("--chunk-rows", 999))]


def run_job(t, name, copies, options, ways, names=EXACT):
    """Runs one job all these ways; returns the model of the one-rank run."""
    slug = name.replace(" ", "-").replace(",", "")
    base = t.fit(copies["uint8"], slug + ".h5", *options)
    if not t.check(base is not None, f"{name}: one rank"):
        return None
    for ranks, threads, storage, more in ways:
        what = f"{name}: {ranks} ranks, {threads} threads, {storage} {' '.join(map(str, more))}".rstrip()
        other = t.fit(copies[storage], f"{slug}-other.h5", *options, *more, ranks=ranks, threads=threads)
        if t.check_same(what, base, other, names):
            os.remove(other)
        elif other:
            os.rename(other, t.path(f"{slug}-differs-{len(t.failures)}.h5"))
    return base


def jobs(t, name, x, k, all_ways, ways):
    """Every kind of job: the plain one in all_ways, the others in ways. Slow builds have the mixed ones only."""
    folder = t.path(name)
    os.mkdir(folder)
    weights = np.random.default_rng(5).uniform(0, 3, len(x)).astype(np.float32)
    weights[::17] = 0
    copies = data.copies(folder, x, weights)
    common = ("-k", k, "--seed", 7, "--max-iters", 10)

    run_job(t, f"{name} random", copies, common, all_ways)
    for init in ("kmeans++", "kmeans-parallel"):
        if not t.quick and init != "kmeans++":  # which has many steps, slow where ranks share cores; test_seeding.py has it too
            run_job(t, f"{name} {init}", copies, common + ("--init", init), ways)
        run_job(t, f"{name} {init} weights cosine", copies,
                common + ("--init", init, "--weights", "weights", "--metric", "cosine"), ways)
    if not t.quick:
        run_job(t, f"{name} cosine", copies, common + ("--metric", "cosine"), ways)
        run_job(t, f"{name} weights", copies, common + ("--weights", "weights"), ways)
    run_job(t, f"{name} n-init", copies, common + ("--n-init", 3), ways)
    run_job(t, f"{name} tol", copies, common + ("--tol", 0.01), ways)
    run_job(t, f"{name} seed only", copies, common[:4] + ("--max-iters", 0), ways)

    # Half of the centroids where no row is nearest, some of them twice: empty clusters in the first pass.
    start = x[:k].astype(np.float32)
    start[k // 2:] += 1e6
    start[k // 4] = start[0]
    init = data.centroids(os.path.join(folder, "start.h5"), start)
    emptied = {}
    for empty in ("relocate", "keep"):
        job = f"{name} {empty} empty"
        emptied[empty] = run_job(t, job, copies, common + ("--init", init, "--empty", empty), ways)
        run_job(t, job + " weights", copies,
                common + ("--init", init, "--empty", empty, "--weights", "weights"), ways)
    if None not in emptied.values():
        kept = int((read(emptied["keep"], "/counts") == 0).sum())
        left = int((read(emptied["relocate"], "/counts") == 0).sum())
        t.check(kept >= k - k // 2, f"{name}: keep leaves the far centroids empty ({kept})")
        t.check(left < kept // 4, f"{name}: relocate fills them ({left} left)")
        t.check(np.array_equal(read(emptied["keep"], "/centroids")[k // 2:], start[k // 2:]),
                f"{name}: kept centroids are the given ones")


def no_labels(t, source):
    """--no-labels leaves out /labels and changes nothing else."""
    options = ("-k", 16, "--max-iters", 3, "--seed", 2)
    one = t.fit(source, "with.h5", *options)
    other = t.fit(source, "without.h5", *options, "--no-labels", ranks=2)
    names = [name for name in EXACT if name != "/labels"]
    if t.check_same("--no-labels: the rest is equal", one, other, names):
        with h5py.File(other, "r") as file:
            t.check("labels" not in file, "--no-labels: no /labels")


def restarts(t, source):
    """n-init returns the best of its restarts; the first restart is the run without n-init."""
    options = ("-k", 10, "--max-iters", 3, "--seed", 3)
    single = t.fit(source, "single.h5", *options)
    several = t.fit(source, "several.h5", *options, "--n-init", 5)
    if single and several:
        t.check(attribute(several, "inertia") <= attribute(single, "inertia"), "n-init 5 is no worse than n-init 1")


def smaller_team(t, source):
    """OpenMP may give fewer threads than asked for; over several iterations nothing may change."""
    options = ("-k", 40, "--max-iters", 6, "--seed", 4)
    one = t.fit(source, "team.h5", *options)
    os.environ["OMP_THREAD_LIMIT"] = "2"
    other = t.fit(source, "smaller-team.h5", *options, threads=5)
    del os.environ["OMP_THREAD_LIMIT"]
    t.check_same("OMP_THREAD_LIMIT=2 with 5 threads wanted: the same", one, other)


def full_data(t, path):
    """The job the contract is shown on: K = 1024 on the full sample."""
    with h5py.File(path, "r") as file:
        x = file["train"][()]
    folder = t.path("full")
    os.mkdir(folder)
    copies = data.copies(folder, x)
    options = ("-k", 1024, "--seed", 7, "--max-iters", 10)
    base = t.fit(path, "full.h5", *options, threads=2)
    for ranks, threads, storage, more in ALL_WAYS:
        what = f"full data: {ranks} ranks, {threads} threads, {storage} {' '.join(map(str, more))}"
        other = t.fit(copies[storage], "full-other.h5", *options, *more, ranks=ranks, threads=threads)
        t.check_same(what, base, other)
    t.check_labels("full data: labels are exact", path, base)


def main():
    t = Test("ranks", lambda parser: parser.add_argument("--full-data", help="sift-photos-200k.h5"))
    if t.options.full_data:
        full_data(t, os.path.abspath(t.options.full_data))
        t.finish()
        return
    with h5py.File(t.data("digits.h5"), "r") as file:
        digits = file["train"][()]
    with h5py.File(t.data("sift-20k.h5"), "r") as file:
        sift = file["train"][()]
    if t.quick:
        jobs(t, "digits", digits, 20, SOME_WAYS, QUICK_WAYS)
        jobs(t, "sift", sift[:4000], 64, QUICK_WAYS, QUICK_WAYS)
    else:
        jobs(t, "digits", digits, 20, SOME_WAYS, SOME_WAYS)
        jobs(t, "sift", sift[:8000], 128, ALL_WAYS, FEW_WAYS)
    no_labels(t, t.data("digits.h5"))
    restarts(t, t.data("digits.h5"))
    smaller_team(t, t.data("digits.h5"))
    one = t.fit(t.data("digits.h5"), "direct.h5", "-k", 10)
    launched = t.fit(t.data("digits.h5"), "launched.h5", "-k", 10, launcher=True)
    t.check_same("mpirun -n 1 is one rank without mpirun", one, launched)
    again = t.fit(t.data("digits.h5"), "seed.h5", "-k", 10, "--seed", 1)
    t.check(one and again and differences(one, again), "another seed gives another model")
    t.finish()


if __name__ == "__main__":
    main()
