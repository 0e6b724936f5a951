"""lloyd split on GPUs gives the sub-clusters that it gives on CPUs, where each cluster is fitted alone, bit for bit. Exit status 77 if
lloyd sees no GPU.

    python3 tests/e2e tests/gpu/e2e_split.py --lloyd build/lloyd --reference none --data tests/data [--ranks 2]
"""
import os

import h5py
import numpy as np

import data
from common import Test

SPLIT = ("/centroids", "/counts", "/labels", "/parents", "/distances", "/members", "/offsets")
CORES = min(16, len(os.sched_getaffinity(0)))


class SplitTest(Test):
    def __init__(self):
        super().__init__("split on GPUs", lambda parser: parser.add_argument("--ranks", type=int, default=1, help="GPUs to use at a time"))
        self.ranks = self.options.ranks
        self.threads = CORES

    def parent(self, source, output, *arguments):
        return self.fit(source, output, *arguments, "--backend", "cpu", "--progress", "none", threads=self.threads)


def some_clusters(t, sift):
    """Clusters split side by side and one after the other."""
    weights = np.where(np.arange(len(sift)) % 17, np.random.default_rng(5).uniform(0, 3, len(sift)), 0).astype(np.float32)
    kinds = {"uint8": (sift, (), (), (-1000, 7)), "float32 cosine": (sift + np.float32(0.5), ("--metric", "cosine"), (), (20,)),
             "weights": (sift.astype(np.float16), ("--weights", "weights"), ("--weights", "weights", "--init", "kmeans++"), (5,)),
             "random": (sift, (), ("--init", "random", "--n-init", 2, "--max-iters", 4), (-700,))}
    for name, (x, fit, options, shares) in kinds.items():
        source = data.write(t.path(f"split-{name}.h5".replace(" ", "-")), x, weights=weights)
        parent = t.parent(source, f"split-{name}-parent.h5".replace(" ", "-"), "-k", 60, "--max-iters", 4, *fit)
        for share in shares if parent else ():
            sizes = ("-k", share) if share > 0 else ("--total", -share)
            paths = [t.path(f"split-{name}-{where}.h5".replace(" ", "-")) for where in ("cpu", "gpu", "gpus")]
            runs = [("cpu", 1, t.threads), ("cuda", 1, t.threads)] + ([("cuda", t.ranks, t.threads)] if t.ranks > 1 else [("cuda", 1, 1)])
            for path, (backend, ranks, threads) in zip(paths, runs):
                result = t.lloyd("split", "--model", parent, "--input", source, *sizes, "--output", path, "--distances", "--members", "--force",
                                 "--progress", "none", "--backend", backend, *options, threads=threads, ranks=ranks)
                if t.check(result.status == 0, f"split {name} {share}: {backend}, {ranks} ranks, {threads} threads", result.describe()):
                    t.check_same(f"split {name} {share}: {backend}, {ranks} ranks, {threads} threads: as on CPUs", paths[0], path, SPLIT)


def many_clusters(t, sift):
    """Clusters that are fitted several at a time by the same kernels: many small ones. What cannot be done that way is fitted alone."""
    rng = np.random.default_rng(8)
    few = rng.integers(0, 6, (20000, 3)).astype(np.uint8)  # clusters with fewer distinct rows than sub-clusters: some are empty
    spread = data.gaussian(6000, 7, 3)
    spread[17, 2] = 1e30  # more than two digits: sums are cut
    spread[::5, 3] *= np.float32(1e-20)
    large = data.gaussian(36000, 20, 5, 300)
    tight = 8 * rng.standard_normal((400, 16))[rng.integers(400, size=20000)] + 0.05 * rng.standard_normal((20000, 16))
    # name: rows, options of both, options of the split, clusters, shares
    kinds = {
        "bytes": (sift, (), (), 600, (7, 3, 30)),
        "bytes random": (sift, (), ("--init", "random"), 600, (7, -2500)),
        "one iteration": (sift, (), ("--init", "random", "--max-iters", 1), 300, (9,)),
        "float16 cosine": ((sift / 16 + 1).astype(np.float16), ("--metric", "cosine"), (), 500, (6,)),
        "float32": (sift[:, :70].astype(np.float32) / 7 + np.float32(0.37), (), (), 500, (5,)),
        "long rows": (np.hstack([sift, sift[::-1], sift[:, :44]]).astype(np.float16), (), (), 400, (8,)),
        "few values": (few, (), (), 100, (12,)),
        "few values kept": (few.repeat(40, axis=1), (), ("--empty", "keep", "--init", "random"), 80, (20,)),
        "few values cosine": (few + np.uint8(1), ("--metric", "cosine"), (), 80, (9,)),
        "empty clusters": (tight.astype(np.float32), (), ("--init", "random"), 90, (25, 4)),
        "spread": (spread, (), (), 300, (4,)),
        "many sub-clusters": (large, (), (), 80, (200,)),
        "many random": (large.astype(np.float16), (), ("--init", "random", "--max-iters", 3), 80, (300,)),
    }
    for name, (x, fit, options, clusters, shares) in kinds.items():
        source = data.write(t.path(f"batch-{name}.h5".replace(" ", "-")), x)
        parent = t.parent(source, f"batch-{name}-parent.h5".replace(" ", "-"), "-k", clusters, "--max-iters", 3, *fit)
        for share in shares if parent else ():
            sizes = ("-k", share) if share > 0 else ("--total", -share)
            paths = [t.path(f"batch-{name}-{where}.h5".replace(" ", "-")) for where in ("cpu", "cuda")]
            run = ("split", "--model", parent, "--input", source, *sizes, "--distances", "--members", "--force", "--progress", "none", *options)
            plan = t.lloyd(*run, "--backend", "cuda", "--output", paths[1], "--dry-run", threads=4)
            t.check("16 at a time, each of up to" in plan.out, f"{name} {share}: several clusters at a time", plan.describe())
            for path, backend in zip(paths, ("cpu", "cuda")):
                result = t.lloyd(*run, "--backend", backend, "--output", path, threads=4)
                t.check(result.status == 0, f"{name} {share}: {backend}", result.describe())
            t.check_same(f"{name} {share}: as on CPUs", *paths, SPLIT)
    bad = sift.astype(np.float32)
    bad[4711, 5] = np.nan
    source = data.write(t.path("batch-bad.h5"), bad)
    parent = t.path("batch-bytes-parent.h5")
    results = [t.lloyd("split", "--model", parent, "--input", source, "-k", 5, "--output", t.path("batch-bad-split.h5"), "--progress", "none",
                       "--backend", backend, threads=4) for backend in ("cpu", "cuda")]
    t.check(results[0].status == results[1].status == 3 and results[0].err == results[1].err and "row 4711" in results[1].err,
            "a row that cannot be clustered is named", results[1].describe())


def main():
    t = SplitTest()
    t.skip_without_gpu()
    with h5py.File(t.data("sift-20k.h5"), "r") as file:
        sift = file["train"][()]
    some_clusters(t, sift)
    many_clusters(t, sift)
    t.finish()


if __name__ == "__main__":
    main()
