"""The first centroids (section 8 of docs/numerics.md) against that page written in Python (contract.py), bit for bit: every method,
all types of draw, with weights, cosine, duplicates, and candidates enough for several leaves.
"""
import itertools

import numpy as np

import contract
import data
from common import Test, read


def expected(x, init, k, seed, weights, cosine, trials, sample):
    rows = contract.normalised(x) if cosine else x
    w = np.ones(len(x)) if weights is None else weights.astype(np.float64)
    column = None if weights is None else contract.Column(weights, contract.sample(len(x)))
    if sample and init != "random":
        some = sorted(itertools.islice(contract.permutation(len(x), seed), sample))
        rows, w = rows[some], w[some]
    if init == "random":
        chosen = contract.fill_up([], k, len(x), seed)
    elif init == "kmeans++":
        chosen = contract.kmeans_plus_plus(rows, k, seed, w, trials)
    else:
        chosen = contract.kmeans_parallel(rows, k, seed, w, column, trials or 32)
    return rows[chosen]


def check(t, name, x, k, ways=((1, ()),), weights=None, cosine=False, trials=None, sample=None, seed=5,
          methods=("random", "kmeans++", "kmeans-parallel")):
    """The centroids that no iteration has moved; `ways`: ranks and more options."""
    source = t.path(name.replace(" ", "-") + ".h5")
    data.write(source, x, weights=weights)
    for init in methods:
        wanted = expected(x.astype(np.float32), init, k, seed, weights, cosine, trials, sample)
        options = ["-k", k, "--init", init, "--seed", seed, "--max-iters", 0]
        options += ["--weights", "weights"] if weights is not None else []
        options += ["--metric", "cosine"] if cosine else []
        options += ["--init-trials", trials] if trials and init != "random" else []
        options += ["--init-sample", sample] if sample and init != "random" else []
        for ranks, more in ways:
            model = t.fit(source, "seeds.h5", *options, *more, "--force", ranks=ranks, threads=2)
            if model is None:
                continue
            found = read(model, "/centroids")
            wrong = np.flatnonzero((found != wanted).any(axis=1))
            t.check(found.tobytes() == wanted.tobytes(), f"{name}, K {k}, {init}, {ranks} rank(s) {' '.join(map(str, more))}",
                    f"      {len(wrong)} of {k} differ, first {wrong[:5]}")


def check_starts(t, name, x, k, ways, sample=None, seed=5, starts=4):
    """Of several starts from the same candidates, the one whose centroids are best."""
    source = data.write(t.path(name.replace(" ", "-") + ".h5"), x)
    some = sorted(itertools.islice(contract.permutation(len(x), seed), sample)) if sample else range(len(x))
    seeds = [seed] + [contract.random64(seed, 2, number, 0) for number in range(1, starts)]
    chosen = [x[some][contract.kmeans_parallel(x[some], k, seed, np.ones(len(some)), start=own)] for own in seeds]
    inertia = [contract.distances(x, centroids).min(axis=1).sum() for centroids in chosen]
    t.check(len(set(inertia)) > 1, f"{name}: the starts differ")
    wanted = chosen[int(np.argmin(inertia))]
    for ranks, more in ways:
        model = t.fit(source, "best.h5", "-k", k, "--seed", seed, "--max-iters", 0, "--n-init", starts,
                      *(("--init-sample", sample) if sample else ()), *more, "--force", ranks=ranks, threads=2)
        if model:
            t.check(read(model, "/centroids").tobytes() == wanted.tobytes(), f"{name}: the best of {starts} starts, {ranks} rank(s) {' '.join(map(str, more))}")


def main():
    t = Test("seeding")
    random = np.random.default_rng(1)
    weights = random.uniform(0, 3, 600).astype(np.float32)
    weights[::7] = 0
    ways = ((1, ()), (3, ()), (2, ("--chunk-rows", 77)))
    if t.quick:
        check(t, "weighted", data.gaussian(600, 7, 2, centres=20), 20, ways[2:], weights=weights)
        check(t, "few distinct", data.duplicated(300, 3, 9, 6), 30, ways[2:])
        check(t, "weighted sample", data.gaussian(600, 5, 12), 12, ways[2:], weights=weights, sample=150)
        t.finish()
        return
    check_starts(t, "starts", data.gaussian(700, 4, 21, centres=25), 12, ways)
    check_starts(t, "starts of a sample", data.gaussian(900, 4, 22), 12, ways[1:], sample=150)
    check(t, "gaussian", data.gaussian(600, 7, 1, centres=20), 20, ways)
    check(t, "bytes", random.integers(0, 256, (600, 16), dtype=np.uint8), 33, ways[1:])
    check(t, "weighted", data.gaussian(600, 7, 2, centres=20), 20, ways, weights=weights)
    check(t, "cosine", data.gaussian(600, 5, 3), 12, ways[:2], cosine=True, trials=3)
    check(t, "one cluster", data.gaussian(50, 3, 4), 1)
    check(t, "all rows", data.gaussian(40, 3, 5), 40)
    check(t, "few distinct", data.duplicated(300, 3, 9, 6), 30, ways[1:])
    check(t, "far apart", data.outlier(400, 4, 7), 10)
    check(t, "tried once", data.gaussian(300, 4, 8), 10, trials=1)
    check(t, "tried often", data.gaussian(300, 4, 9), 10, trials=256)
    check(t, "sample", data.gaussian(900, 5, 11), 12, ways, sample=200)
    check(t, "weighted sample", data.gaussian(600, 5, 12), 12, ways[1:], weights=weights, sample=150)
    check(t, "cosine sample", data.gaussian(600, 5, 13), 12, ways[2:], cosine=True, sample=150)
    check(t, "sample of K", data.gaussian(300, 5, 14), 12, ways[1:2], sample=12)
    check(t, "sample of all", data.gaussian(300, 5, 14), 12, ways[1:2], sample=300)
    many = data.gaussian(45000, 1, 10, centres=3000)
    check(t, "two leaves", many, 5500, ways[1:2], methods=("kmeans-parallel",), trials=1)
    t.finish()


main()
