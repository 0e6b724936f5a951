#!/usr/bin/env python3
"""Times flash-kmeans over rows in pinned host memory (its kmeans_largeN) and prints one JSON line.

    bench/peer_flash_stream.py DATA.h5 START.h5 --dtype float16 [--iterations 10]

DATA.h5:/train holds the rows, START.h5:/centroids the first centroids. bench/stream.py runs this and lloyd on the same file;
bench/support.py says where flash-kmeans comes from. As in its own benchmark (examples/benchmark_large.py) there are two runs of
two iterations to warm up, and the time of an iteration is that of a run divided by its iterations.
"""
import argparse
import json
import time

import h5py
import torch
from flash_kmeans.kmeans_large import kmeans_largeN


def pinned_rows(path, kind):
    """The rows as torch has them, read in pieces."""
    with h5py.File(path, "r") as file:
        rows = file["train"]
        x = torch.empty(rows.shape, dtype=kind, pin_memory=True)
        piece = max(1, (1 << 28) // (rows.shape[1] * rows.dtype.itemsize))
        for at in range(0, len(rows), piece):
            x[at:at + piece] = torch.from_numpy(rows[at:at + piece])
        return x


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("start")
    parser.add_argument("--dtype", choices=["float16", "float32"], required=True)
    parser.add_argument("--iterations", type=int, default=10)
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = True
    kind = getattr(torch, arguments.dtype)
    x = pinned_rows(arguments.data, kind)
    with h5py.File(arguments.start, "r") as file:
        start = torch.from_numpy(file["centroids"][()]).to(kind)

    def fit(iterations):
        torch.cuda.synchronize()
        began = time.perf_counter()
        kmeans_largeN(x, len(start), max_iters=iterations, tol=-1.0, init_centroids=start, device="cuda:0")
        torch.cuda.synchronize()
        return time.perf_counter() - began

    fit(2)
    fit(2)
    seconds = fit(arguments.iterations)
    print(json.dumps({"iteration_s": seconds / arguments.iterations, "run_s": seconds, "gpu_bytes": torch.cuda.max_memory_allocated()}))


if __name__ == "__main__":
    main()
