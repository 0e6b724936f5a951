"""Against scikit-learn: the same start leads to the same place; and careful seeding is worth its price.

scikit-learn computes in double precision here, but sums in another order, so labels must be equal where no row is
within rounding of two centroids: the given centroids are rows moved by a random tenth, away from exact ties.
"""
import numpy as np
from sklearn.cluster import KMeans

import data
from common import Test, attribute, read


def check_same_place(t, name, x, k, iterations, seed):
    draw = np.random.default_rng(seed)
    start = x[draw.choice(len(x), k, replace=False)]
    start = (start + draw.uniform(-0.1, 0.1, start.shape)).astype(np.float32)
    init = data.centroids(t.path("start.h5"), start)
    source = data.write(t.path("rows.h5"), x)
    what = f"{name}, K {k}, {iterations} iterations, seed {seed}"
    model = t.fit(source, "model.h5", "-k", k, "--init", init, "--max-iters", iterations, ranks=2)
    if model is None:
        return
    # In double precision; float32 would make its own ties.
    peer = KMeans(k, init=start.astype(np.float64), n_init=1, max_iter=iterations, tol=0, algorithm="lloyd")
    peer.fit(x.astype(np.float64))
    labels, centroids = read(model, "/labels"), read(model, "/centroids").astype(np.float64)
    different = np.flatnonzero(labels != peer.labels_)
    t.check(len(different) == 0, f"{what}: labels", f"      {len(different)} rows differ, first {different[:5]}")
    error = np.max(np.abs(centroids - peer.cluster_centers_)) / np.max(np.abs(peer.cluster_centers_))
    t.check(error <= 1e-5, f"{what}: centroids", f"      relative error {error:.3g}")
    error = abs(attribute(model, "inertia") - peer.inertia_) / peer.inertia_
    t.check(error <= 1e-5, f"{what}: inertia", f"      relative error {error:.3g}")


def check_seeding(t, name, k, iterations, seeds):
    """Mean inertia after a few iterations over some seeds: kmeans++ and kmeans-parallel below random."""
    source = t.data(name + ".h5")
    mean = {}
    for init in ("random", "kmeans++", "kmeans-parallel"):
        found = []
        for seed in range(seeds):
            options = ("-k", k, "--init", init, "--seed", seed, "--max-iters", iterations)
            model = t.fit(source, "seeded.h5", *options, threads=2)
            if model is None:
                return
            found.append(attribute(model, "inertia"))
            if seed == 0:
                other = t.fit(source, "seeded-3.h5", *options, ranks=3)
                t.check_same(f"{name}, {init}: the same bits on 1 and 3 ranks", model, other)
        mean[init] = np.mean(found)
    for init in ("kmeans++", "kmeans-parallel"):
        t.check(mean[init] < mean["random"], f"{name}, K {k}: {init} {mean[init]:.6g} beats random {mean['random']:.6g}",
                f"      mean inertia after {iterations} iterations over {seeds} seeds")


def main():
    t = Test("sklearn")
    digits, sift = data.load(t.data("digits.h5")), data.load(t.data("sift-20k.h5"))
    for seed in range(1 if t.quick else 3):
        check_same_place(t, "digits", digits, 10, 8, seed)
        check_same_place(t, "digits", digits, 50, 300, seed)
        check_same_place(t, "sift", sift[:5000] if t.quick else sift, 64, 5, seed)
    if not t.quick:
        check_same_place(t, "sift", sift, 256, 10, 11)
    check_seeding(t, "digits", 128, 3, 3 if t.quick else 10)
    if not t.quick:
        check_seeding(t, "sift-20k", 256, 3, 10)
    t.finish()


if __name__ == "__main__":
    main()
