"""Everything the contract defines bit for bit, against the brute-force reference.

Each case seeds on one rank (--max-iters 0), lets the reference check those labels, then seeds and iterates on its ranks, lets the reference
iterate from there, and compares labels, counts, centroids, the moved-label history and the final inertia bit for bit. The inertia of an iteration is compared with
the tolerance that the contract gives it, relative to the inertia itself.
"""
import collections
from fractions import Fraction
import math

import numpy as np

import data
from common import Test, attribute, read

# x: rows; k; ranks; options shared with `reference fit`; init: given centroids; dtype: storage; iters; seed
Case = collections.namedtuple("Case", "name x k ranks options init dtype iters weights", defaults=(
    1, (), None, "float32", 5, None))

TOLERANCE = 1e-12  # of the inertia of an iteration


def check_seeds(t, case, source, model):
    """random: K distinct rows of the data, none chosen more often than it occurs."""
    if "--cosine" in case.options:
        return
    rows = collections.Counter(row.tobytes() for row in np.ascontiguousarray(case.x, np.float32) + np.float32(0))
    seeds = collections.Counter(row.tobytes() for row in read(model, "/centroids") + np.float32(0))
    t.check(all(seeds[row] <= rows[row] for row in seeds), f"{case.name}: random seeds are distinct rows")


def check_history(t, case, model, reference):
    inertia, right = (read(path, "/history/inertia") for path in (model, reference))
    if not t.check(inertia.shape == right.shape, f"{case.name}: length of the history",
                   f"      {inertia.shape} and {right.shape}"):
        return
    good = np.all((inertia >= 0) & (np.abs(inertia - right) <= TOLERANCE * right))
    t.check(good, f"{case.name}: inertia of every iteration", f"      {inertia}\n      {right}")
    for name in ("inertia", "iterations", "converged"):
        one, other = attribute(model, name), attribute(reference, name)
        t.check(one == other, f"{case.name}: attribute {name}", f"      {one!r}, right is {other!r}")


def run_case(t, case, number):
    slug = f"case-{number}"
    source = data.write(t.path(slug + ".h5"), case.x, dtype=case.dtype, weights=case.weights)
    options = ["-k", case.k, "--seed", number]
    translated = {"--cosine": ("--metric", "cosine")}
    theirs = []
    for option in case.options:
        theirs += translated.get(option, (option,))
    if case.weights is not None:
        theirs += ["--weights", "weights"]
    start = case.init
    if start is None:
        start = t.fit(source, slug + "-start.h5", *options, *theirs, "--max-iters", 0)
        cosine = [o for o in case.options if o == "--cosine"]
        if not t.check_labels(f"{case.name}: labels of the seeds", source, start, *cosine):
            return
        check_seeds(t, case, source, start)
    else:
        theirs += ["--init", start]
    model = t.fit(source, slug + "-model.h5", *options, *theirs, "--max-iters", case.iters, ranks=case.ranks)
    if model is None:
        return
    ours = list(case.options) + (["--weights", "weights"] if case.weights is not None else [])
    if case.init is not None and "--cosine" in case.options:
        ours.append("--scale-init")
    reference = t.path(slug + "-reference.h5")
    result = t.reference("fit", source, "-k", case.k, "--init", start, "--iters", case.iters, "--output", reference, *ours)
    if not t.check(result.status == 0, f"{case.name}: the reference runs", result.describe()):
        return
    if t.check_same(f"{case.name}: labels, counts, centroids, moved", model, reference,
                    ("/labels", "/counts", "/history/moved", "/centroids")):
        check_history(t, case, model, reference)


def real_cases(t):
    sift, digits = data.load(t.data("sift-20k.h5")), data.load(t.data("digits.h5"))
    if t.quick:
        sift = sift[:3001]
    weights = np.random.default_rng(1).uniform(0, 2, len(sift)).astype(np.float32)
    weights[:50] = 0
    heavy = (10.0 ** np.random.default_rng(2).uniform(-6, 6, len(digits))).astype(np.float32)
    return [
        Case("sift", sift, 256, 2, dtype="uint8", iters=5),
        Case("sift, K 1000", sift[:5001], 1000, 3, dtype="uint8", iters=3),
        Case("sift, cosine", sift[:10001], 64, 2, ("--cosine",), dtype="uint8"),
        Case("sift, weights", sift[:10001], 64, 3, dtype="float16", weights=weights[:10001]),
        Case("sift, tol", sift, 16, 1, ("--tol", "0.003"), dtype="uint8", iters=30),
        Case("digits", digits, 10, 1, iters=50),
        Case("digits, int8", digits, 100, 3, dtype="int8", iters=20),
        Case("digits, K 2", digits, 2, 2, dtype="bfloat16", iters=50),
        Case("digits, cosine, given centroids", digits, 50, 3, ("--cosine",),
             init=data.centroids(t.path("digits-start.h5"), digits[:50])),
        Case("digits, cosine", digits, 50, 1, ("--cosine",), iters=20),
        Case("digits, weights over 12 decades", digits, 30, 2, weights=heavy, iters=20),
        Case("digits, cosine and weights", digits, 30, 2, ("--cosine",), weights=heavy),
        Case("digits, every row its own cluster", digits[:400], 400, 2, iters=5),
    ]


def dimension_cases(t):
    """Gaussian rows in every dimension of interest, K from 1 to 1000, N a multiple of nothing."""
    dimensions = (1, 2, 3, 17, 96, 100, 128, 129, 384, 768, 1536, 4096)
    clusters = (7, 1, 256, 2, 1000, 7, 256, 1000, 7, 256, 2, 7)
    types = ("float32", "float16", "bfloat16", "float64", "int8", "uint8")
    cases = []
    for index, (d, k) in enumerate(zip(dimensions, clusters)):
        dtype = types[index % len(types)]
        n = (1009 if k == 1000 else 503) if t.quick or d > 1000 else 2003
        x = data.gaussian(n, d, 100 + d, centres=5)
        if dtype == "float16":
            x = x.astype(np.float16).astype(np.float32)
        elif dtype == "bfloat16":
            x = data.bfloat16_values(x)
        elif dtype in ("int8", "uint8"):
            x = np.clip(np.rint(x * 20) + (128 if dtype == "uint8" else 0), -128 + 128 * (dtype == "uint8"),
                        127 + 128 * (dtype == "uint8")).astype(np.float32)
        elif dtype == "float64":
            x = x.astype(np.float64) * (1 + 1e-9)
        cases.append(Case(f"Gaussian, D {d}, K {k}, {dtype}", x, k, 1 + index % 3, dtype=dtype, iters=4))
    return cases


def tie_cases(t):
    rows = data.duplicated(1501, 24, 40, 3)
    twice = np.concatenate([rows[:30], rows[:30], rows[5:35]])
    between, between_centroids = data.midpoints(3001, 20, 5)
    lattice = data.lattice(2999, 3, 5, 6)
    corners = np.array([[a, b, c] for a in (0, 2, 4) for b in (0, 2, 4) for c in (0, 2, 4)], np.float32)
    large = data.lattice(1999, 128, 2, 7) + np.float32(4096)
    cases = [
        Case("lattice 5^3", lattice, 27, 2, init=data.centroids(t.path("corners.h5"), corners)),
        Case("lattice 5^3, random", lattice, 60, 1),
        Case("lattice 3^17", data.lattice(3001, 17, 3, 8), 100, 3, dtype="uint8"),
        Case("lattice 2^128 far from the origin", large, 50, 2),
        Case("duplicated rows", rows, 39, 2),
        Case("duplicated rows, more clusters than different rows", rows, 60, 3, iters=8),
        Case("duplicated rows, keep", rows, 60, 2, ("--empty", "keep"), iters=8),
        Case("duplicated centroids", rows, 90, 2, init=data.centroids(t.path("twice.h5"), twice), iters=8),
        Case("duplicated centroids, keep", rows, 90, 1, ("--empty", "keep"),
             init=data.centroids(t.path("twice-keep.h5"), twice), iters=8),
        Case("rows between centroids", between, 16, 2,
             init=data.centroids(t.path("between.h5"), between_centroids), iters=2),
        Case("all rows equal", np.full((333, 9), 7.25, np.float32), 5, 2),
        Case("all rows zero", np.zeros((50, 4), np.float32), 3, 2),
        Case("one column constant", np.concatenate([data.gaussian(999, 3, 9), np.full((999, 1), 1e20, np.float32)], 1), 9),
    ]
    return cases


def magnitude_cases(t):
    far = np.float32(1000) + data.gaussian(2003, 16, 10, 8) * np.float32(0.001)
    million = np.float32(1e6) + data.gaussian(2003, 40, 11, 8)
    signs = data.gaussian(1500, 7, 12)
    x = data.gaussian(2003, 33, 13, 8)
    start = x[:20].copy()
    start[10:] = 1e15
    far_weights = np.ones(2003, np.float32)
    far_weights[::3] = 0
    return [
        Case("1000 +- 0.001", far, 20, 2, iters=8),
        Case("1e6 +- 1", million, 20, 3, iters=8),
        Case("1e-30", x * np.float32(1e-30), 20, 2),
        Case("1e30", x * np.float32(1e30), 20, 1),
        Case("1e-38", x * np.float32(1e-38), 20, 1),
        Case("columns from 1e-30 to 1e30", data.mixed_magnitudes(2003, 31, 14), 20, 2),
        Case("columns from 1e-30 to 1e30, cosine", data.mixed_magnitudes(2003, 31, 15), 20, 2, ("--cosine",)),
        Case("subnormal", data.subnormal(1501, 12, 16), 20, 2),
        Case("subnormal float16", (data.gaussian(1501, 12, 17) * 1e-6).astype(np.float16), 20, 2, dtype="float16"),
        Case("the smallest float32 and zero", data.lattice(301, 2, 3, 18) * np.float32(1.4e-45), 6, 2),
        Case("near the largest float32", data.near_largest(1501, 10, 19), 20, 2),
        Case("near the largest float32, one sign", np.abs(data.near_largest(1501, 10, 20)), 20, 1),
        Case("one far outlier", data.outlier(2003, 17, 21), 20, 2, iters=8),
        Case("one outlier at 1e38", data.outlier(2003, 17, 22, 1e38), 20, 3),
        Case("signs only", np.sign(signs), 30, 2),
        Case("far centroids, relocate", x, 20, 3, init=data.centroids(t.path("far.h5"), start), iters=8),
        Case("far centroids, keep", x, 20, 2, ("--empty", "keep"), init=data.centroids(t.path("far.h5"), start), iters=8),
        Case("far centroids, relocate, weights", x, 20, 2, init=data.centroids(t.path("far.h5"), start), iters=8,
             weights=far_weights),
        Case("one row", x[:1], 1, 1),
        Case("fewer rows than ranks", x[:2], 2, 3),
        Case("fewer rows than ranks, K 1", x[:2], 1, 5),
        Case("N = K = 257", x[:257], 257, 3),
    ]


def with_sentinel(value):
    """1, 1.1, 2, 2.1, 3, 3.1 and one far value."""
    return np.array([[1], [1.1], [2], [2.1], [3], [3.1], [value]], np.float32)


def check_sentinels(t):
    """The means of ordinary rows, whatever far value the column holds. The numbers here come from no program."""
    for value in (1e2, 1e6, 1e9, 1e20, 9.97e36, 3e38, -1e9):
        x = with_sentinel(value)
        source = data.write(t.path("sentinel.h5"), x)
        init = data.centroids(t.path("sentinel-start.h5"), x[[0, 2, 4, 6]])
        model = t.fit(source, "sentinel-model.h5", "-k", 4, "--init", init, "--max-iters", 10)
        if model is None:
            continue
        pairs = [(x[i, 0].astype(np.float64) + x[i + 1, 0].astype(np.float64)) / 2 for i in (0, 2, 4)]
        right = np.array([[mean] for mean in pairs + [value]], np.float32)
        got = read(model, "/centroids")
        t.check(np.array_equal(got, right), f"one row of {value:g} among six near 1: centroids 1.05, 2.05, 3.05",
                f"      {got[:, 0]}")
        inertia, history = attribute(model, "inertia"), read(model, "/history/inertia")
        t.check(abs(inertia - 0.015) < 1e-7, f"one row of {value:g}: inertia 0.015", f"      {inertia!r}")
        t.check(abs(history[-1] - inertia) <= 1e-12 * inertia, f"one row of {value:g}: last inertia of the history",
                f"      {history}")


def check_few_values(t):
    """A far value with so few others that the sample has fewer than four of them, or none."""
    x = np.array([[1], [1.1], [1e20]], np.float32)
    source = data.write(t.path("few.h5"), x)
    init = data.centroids(t.path("few-start.h5"), x[[0, 2]])
    model = t.fit(source, "few-model.h5", "-k", 2, "--init", init)
    right = np.array([[(np.float64(x[0, 0]) + np.float64(x[1, 0])) / 2], [1e20]]).astype(np.float32)
    if model is not None:
        t.check(np.array_equal(read(model, "/centroids"), right), "1, 1.1 and 1e20: the means", f"      {read(model, '/centroids')}")
    x = np.zeros((200000, 2), np.float32)
    x[:, 0] = np.arange(200000) % 2
    x[[7, 100001, 150001], 1] = 1e30, 1.25, 1e-3
    source = data.write(t.path("sparse.h5"), x)
    init = data.centroids(t.path("sparse-start.h5"), x[[0, 1, 7]])
    model = t.fit(source, "sparse-model.h5", "-k", 3, "--init", init, "--max-iters", 3, ranks=2)
    if model is None:
        return
    labels, got = read(model, "/labels"), read(model, "/centroids")
    for k in range(3):
        members = x[labels == k, 1]
        mean = np.float32(sum(map(Fraction, map(float, members[members != 0]))) / len(members))
        t.check(got[k, 1] == mean, f"a sparse column with a far value: cluster {k}", f"      {got[k, 1]!r}, right is {mean!r}")


def check_fill_value(t):
    """One element of 1000 x 4 is the fill value of netCDF: every centroid is the mean of its members all the same."""
    x = np.random.default_rng(30).normal(10, 1, (1000, 4)).astype(np.float32)
    x[17, 2] = 9.96921e36
    source = data.write(t.path("fill.h5"), x)
    model = t.fit(source, "fill-model.h5", "-k", 5, "--seed", 1, "--max-iters", 300, ranks=2)
    if model is None or not t.check(attribute(model, "converged") == 1, "a fill value: the fit converges"):
        return
    labels, got = read(model, "/labels"), read(model, "/centroids")
    for k in range(5):
        members = x[labels == k].astype(np.float64)
        right = np.array([math.fsum(column) / len(members) for column in members.T])
        t.check(np.allclose(got[k], right, rtol=2.0 ** -23, atol=0), f"a fill value: centroid {k} is the mean of its members",
                f"      {got[k]}, right is {right}")


def bytes_of(x, dtype):
    """x as integers that `dtype` holds."""
    low, high = (0, 255) if dtype == "uint8" else (-128, 127)
    return np.clip(np.rint(x), low, high).astype(np.float32)


def stored(x, dtype):
    """The values that x has once it is stored as `dtype`."""
    if dtype == "bfloat16":
        return data.bfloat16_values(x)
    return bytes_of(x, dtype) if dtype in ("uint8", "int8") else x.astype(dtype).astype(np.float32)


def outlier_cases(t):
    """Far values in every stored type: one cluster's must not cost another's."""
    cases = []
    for number, (value, dtype) in enumerate(((1e6, "float32"), (1e9, "float32"), (9.97e36, "float32"), (-3e38, "float32"),
                                             (1e9, "bfloat16"), (9.97e36, "bfloat16"), (6e4, "float16"), (255, "uint8"),
                                             (-128, "int8"))):
        x = data.gaussian(1203, 9, 40 + number, centres=6) * (10 if "int8" in dtype else 1)
        x[:, 4] = 0
        x[100:103, 2], x[700, 7], x[701, 7] = value, value, -value
        x = stored(np.maximum(x, -3e38).astype(np.float32), dtype)
        name = f"outliers of {value:g}, {dtype}"
        cases.append(Case(name, x, 12, 1 + number % 3, dtype=dtype, iters=8))
        cases.append(Case(name + ", cosine", np.where(x.any(axis=1, keepdims=True), x, 1).astype(np.float32), 12,
                          1 + number % 2, ("--cosine",), dtype=dtype))
        weights = 10.0 ** np.random.default_rng(60 + number).uniform(-30, 30, len(x))
        cases.append(Case(name + ", weights from 1e-30 to 1e30", x, 12, 1 + number % 3, weights=weights.astype(np.float32),
                          dtype=dtype))
    return cases


def digit_cases(t):
    """Columns of one digit to ten in one matrix, and what digits and divisions can come to at the ends of the range."""
    x = data.gaussian(1501, 16, 80)
    for j, span in enumerate((0, 4, 8, 12, 16, 20, 25, 30, 35, 40, 50, 60, 70)):
        x[:, j] *= 10.0 ** np.random.default_rng(81 + j).uniform(-span / 2, span / 2, len(x))
    x[:, 13] = np.float32(2) ** 100 * np.sign(x[:, 13])
    x[:, 14] = 0
    x[:, 15] = np.random.default_rng(95).integers(-3, 4, len(x)) * np.float32(1.4e-45)
    few = np.zeros((999, 5), np.float32)
    few[:6, 0], few[3:5, 1], few[::2, 2], few[7, 3] = 1.1, 1e-30, 1e30, 1e-40
    few[5, 0] = 1e30
    light = data.gaussian(1203, 7, 97, 6)
    heavy = np.full(len(light), 1e-30, np.float32)
    heavy[np.argsort(light[:, 0])[-200:]] = 1e30
    one_heavy = np.random.default_rng(98).uniform(0, 2, len(light)).astype(np.float32)
    one_heavy[5], one_heavy[6], one_heavy[::7] = 3e38, 1.4e-45, 0
    # Two rows of the least weight that is kept, rounded down from 1.4 times that: their mean is out of float32's range.
    edge = light.copy()
    edge[:2, 0] = 3.3e38, 2.9e38
    edge_weights = np.ones(len(edge), np.float32)
    edge_weights[:2] = 1.4 * 2.0 ** -59
    edge_start = data.centroids(t.path("edge.h5"), edge[[0, 2, 3, 4, 5, 6]])
    # The centroid is 0 and the sum of squares 2 + 2^-52, halfway between two doubles, and once 2^-117 more.
    halfway = np.array([[1], [-1]] + 2 * [[2.0 ** -27], [-2.0 ** -27]], np.float32)
    above = np.concatenate([halfway, [[2.0 ** -59], [-2.0 ** -59]]]).astype(np.float32)
    # Every row has its opposite, and the centroids are at right angles to all: the mean has no direction.
    opposite = data.gaussian(500, 5, 106)
    opposite[:, 4] = 0
    opposite = np.concatenate([opposite, -opposite])
    upright = data.centroids(t.path("upright.h5"), [[0, 0, 0, 0, 1], [0, 0, 0, 0, 2]])
    tiny = np.full(len(light), 1.4e-45, np.float32)
    tiny[::3] = 4.2e-45
    many = data.gaussian(6001, 4, 104) * (10.0 ** np.random.default_rng(105).uniform(-38, 30, (6001, 4)))
    halves = data.lattice(1001, 6, 2, 99) * np.float32(2.0 ** -23) + np.float32(1)
    return [
        Case("columns of one digit to ten", x, 20, 3, iters=6),
        Case("columns of one digit to ten, weights", x, 20, 2, weights=np.random.default_rng(96).uniform(0, 1, len(x))),
        Case("columns of one digit to ten, cosine", x, 20, 2, ("--cosine",)),
        Case("columns of few numbers that are not zero", few, 8, 2, ("--empty", "keep")),
        Case("columns of few numbers that are not zero, relocate", few, 8, 3),
        Case("columns of ten digits, more rows than the sample", many.astype(np.float32), 30, 3, iters=3),
        Case("light clusters and a heavy one", light, 12, 2, weights=heavy, iters=8),
        Case("one row of 3e38 times the weight", light, 12, 3, weights=one_heavy, iters=8),
        Case("a mean out of range", edge, 6, 2, init=edge_start, weights=edge_weights, iters=8),
        Case("a final inertia halfway between two doubles", halfway, 1, 2),
        Case("a final inertia just above halfway", above, 1, 3),
        Case("means of exactly zero, cosine", opposite, 2, 2, ("--cosine", "--empty", "keep"), init=upright, iters=8),
        Case("means of exactly zero, cosine, relocate", opposite, 2, 3, ("--cosine",), init=upright, iters=8),
        Case("weights of the smallest float32", light, 12, 2, weights=tiny, iters=8),
        Case("subnormal rows and weights", data.subnormal(1203, 7, 100), 12, 1, weights=tiny),
        Case("near the largest float32, weights", data.near_largest(1203, 7, 101), 12, 2, weights=one_heavy),
        Case("means halfway between two float32", halves, 30, 2, iters=6),
        Case("1e7 +- 1", np.float32(1e7) + data.lattice(2003, 8, 5, 102), 30, 3, iters=8),
        Case("2e30 and its neighbours", np.float32(2e30) * (1 + data.lattice(1203, 5, 3, 103) * np.float32(2.0 ** -23)), 20, 2),
    ]


def main():
    t = Test("reference")
    check_sentinels(t)
    check_few_values(t)
    check_fill_value(t)
    cases = real_cases(t) + dimension_cases(t) + tie_cases(t) + magnitude_cases(t) + outlier_cases(t) + digit_cases(t)
    for number, case in enumerate(cases):
        run_case(t, case, number)
    t.finish()


if __name__ == "__main__":
    main()
