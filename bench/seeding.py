#!/usr/bin/env python3
"""The first centroids: how good and how fast, compared with scikit-learn's default (greedy k-means++, one start), in one run.

    bench/seeding.py --lloyd build/release/lloyd --out seeding DATA.h5 K [K ...]
    bench/seeding.py --lloyd build/release/lloyd --out seeding gaussians-60 60

For every seed, scikit-learn fits the rows, and lloyd from each of its methods; the table has the mean final inertia relative to
scikit-learn's, its spread, and the seconds of seeding. For --metric cosine scikit-learn fits rows of unit length; its centroids are
scaled to unit length for the comparison. gaussians-60 (40,000 x 48, the tutorial's data) and gaussians-1000
(200,000 x 32) are made here. Needs numpy, h5py and scikit-learn. Appends to OUT.md and OUT.json.

With --backend cuda, lloyd computes on a GPU. With --at-once P, P seeds of scikit-learn run side by side, each with its part of the
threads; its seconds then say nothing about one that runs alone.
"""
import argparse
import concurrent.futures
import json
import multiprocessing
import os
import platform
import tempfile
import time

import h5py
import numpy as np

import support

METHODS = ("kmeans-parallel", "kmeans++", "random")


def gaussians(clusters, rows, columns):
    """As docs/tutorial.md makes them."""
    random = np.random.default_rng(1)
    centers = random.normal(size=(clusters, columns))
    return (centers[random.integers(clusters, size=rows)] + random.normal(scale=0.4, size=(rows, columns))).astype(np.float32)


def load(name, folder):
    """(path of an HDF5 file, the shape of its rows)"""
    made = {"gaussians-60": (60, 40000, 48), "gaussians-1000": (1000, 200000, 32)}
    if name in made:
        x, path = gaussians(*made[name]), os.path.join(folder, name + ".h5")
        with h5py.File(path, "w") as file:
            file["train"] = x
        return path, x.shape
    with h5py.File(name, "r") as file:
        return os.path.abspath(name), file["train"].shape


def fit_lloyd(options, source, k, init, seed, more):
    """(final inertia, seconds of seeding)"""
    model, log = (os.path.join(options.folder, "seeded" + end) for end in (".h5", ".jsonl"))
    more = [*more, "--backend", options.backend]
    command = [options.lloyd, "fit", "--input", source, "-k", str(k), "--init", init, "--seed", str(seed), "--max-iters", str(options.iterations),
               "--output", model, "--force", "--log", log, "--no-labels", "--progress", "none", *more]
    support.run(command, support.environment(**support.threads_of(options.threads)))
    seconds = sum(event["seconds"] for event in support.read_log(log) if event["event"] == "phase" and event["phase"] == "seed")
    with h5py.File(model, "r") as file:
        return float(file.attrs["inertia"]), seconds


def rows_of(source, metric):
    with h5py.File(source, "r") as file:
        x = file["train"][()].astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True) if metric == "cosine" else x


def fit_peer(source, metric, k, seed, iterations):
    """(final inertia, seconds of seeding) of scikit-learn's KMeans with its defaults but for the stopping rule: its init="k-means++"
    calls kmeans_plusplus() too."""
    from sklearn.cluster import KMeans, kmeans_plusplus

    x = rows_of(source, metric)
    begin = time.perf_counter()
    centroids, _ = kmeans_plusplus(x, k, random_state=seed)
    seconds = time.perf_counter() - begin
    fit = KMeans(k, init=centroids, n_init=1, max_iter=iterations, tol=0).fit(x)
    return float(fit.inertia_ if metric == "l2" else cosine_inertia(x, fit.labels_, k)), seconds


def cosine_inertia(x, labels, k):
    """Of unit rows to the directions of their clusters' means, as lloyd counts it: scikit-learn's centroids have no unit length."""
    sums = np.zeros((k, x.shape[1]))
    np.add.at(sums, labels, x)
    return 2 * (len(x) - np.linalg.norm(sums, axis=1).sum())


def fit_peers(options, source, metric, k):
    """fit_peer() of every seed."""
    jobs = [(source, metric, k, seed, options.iterations) for seed in range(options.seeds)]
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(max(1, options.threads // options.at_once))
    with concurrent.futures.ProcessPoolExecutor(options.at_once, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(fit_peer, *zip(*jobs)))


def measure(options, name, k, metric):
    source, shape = load(name, options.folder)
    more = ["--metric", metric]
    found = {"scikit-learn": fit_peers(options, source, metric, k)}
    for init in options.methods:
        found[init] = [fit_lloyd(options, source, k, init, seed, more) for seed in range(options.seeds)]
    return {"data": os.path.splitext(os.path.basename(name))[0], "rows": shape[0], "columns": shape[1], "metric": metric, "k": k,
            "inertia": {key: [one[0] for one in values] for key, values in found.items()},
            "seconds": {key: [one[1] for one in values] for key, values in found.items()}}


def row(result):
    base = np.mean(result["inertia"]["scikit-learn"])
    cells = [f"{result['data']} ({result['metric']})", f"{result['k']:,}", f"{base:.6g}"]
    for name, values in result["inertia"].items():
        if name != "scikit-learn":
            cells.append(f"{np.mean(values) / base:.4f} ({min(values) / base:.4f} to {max(values) / base:.4f})")
    cells += [f"{np.median(values):.3g}" for values in result["seconds"].values()]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="HDF5 file with /train, gaussians-60 or gaussians-1000")
    parser.add_argument("k", type=int, nargs="+")
    parser.add_argument("--lloyd", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--metric", default="l2")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--backend", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    options = parser.parse_args()
    options.lloyd = os.path.abspath(options.lloyd)
    is_new = not os.path.exists(options.out + ".md")
    with tempfile.TemporaryDirectory() as options.folder:
        for k in options.k:
            result = measure(options, options.data, k, options.metric)
            result.update(date=time.strftime("%Y-%m-%d"), machine=platform.processor() or platform.machine(), threads=options.threads)
            with open(options.out + ".json", "a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
            with open(options.out + ".md", "a", encoding="utf-8") as file:
                names = list(options.methods)
                if is_new:
                    file.write("| data | K | scikit-learn | " + " | ".join(names) + " | seconds: " + " | ".join(["scikit-learn"] + names) + " |\n")
                    file.write("|" + "---|" * (2 * len(names) + 4) + "\n")
                file.write(row(result) + "\n")
            is_new = False
            print(row(result), flush=True)


if __name__ == "__main__":
    support.main(main)
