#!/usr/bin/env python3
"""What the Python package costs: seconds of an iteration of lloyd.KMeans on an array, beside those of the command line on a file.

    PYTHONPATH=src/python LLOYD_LIBRARY=build/liblloyd.so bench/python.py --lloyd build/lloyd

The two take turns, and the least median of each counts, since other programs only make an iteration longer. Then many small fits and
predictions in a loop, and the memory that they leave behind.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

import h5py
import lloyd
import numpy as np


def memory():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def of_program(options, path, output):
    subprocess.run([options.lloyd, "fit", "--input", path, "-k", str(options.k), "--seed", "1", "--init", "random", "--max-iters",
                    str(options.iterations), "--output", output, "--progress", "none"], check=True)
    with h5py.File(output) as file:
        return file["history/seconds"][()], file["centroids"][()]


def of_package(options, rows, **more):
    fit = lloyd.KMeans(options.k, random_state=1, init="random", max_iter=options.iterations).fit(rows, **more)
    return fit.history_["seconds"], fit.cluster_centers_


def placed(rows, offset):
    """A copy of the rows whose address is `offset` bytes after a multiple of 64."""
    memory = np.empty(rows.nbytes + 128, np.uint8)
    begin = -memory.ctypes.data % 64 + offset
    copy = memory[begin:begin + rows.nbytes].view(rows.dtype).reshape(rows.shape)
    copy[:] = rows
    return copy


def compare(options, folder):
    rows = np.random.default_rng(0).normal(size=(options.rows, options.dim)).astype(np.float32)
    aligned, usual = placed(rows, 0), placed(rows, 16)
    path = os.path.join(folder, "rows.npy")
    np.save(path, rows)
    ways = {"command line": lambda: of_program(options, path, os.path.join(folder, "model.h5")),
            "a path": lambda: of_package(options, path),
            "an array, aligned to 64 bytes": lambda: of_package(options, aligned),
            "the same, with a callback": lambda: of_package(options, aligned, callback=lambda step: None),
            "an array where NumPy puts it, 16 bytes further": lambda: of_package(options, usual)}
    medians, centroids = {name: [] for name in ways}, []
    for _ in range(options.repeats):
        for name, fit in ways.items():
            seconds, found = fit()
            medians[name].append(float(np.median(seconds)))
            centroids.append(found.tobytes())
    print(f"{options.rows} x {options.dim} float32, K {options.k}, {options.iterations} iterations, {options.repeats} times each; "
          f"the same bits: {len(set(centroids)) == 1}")
    first = min(medians["command line"])
    for name, values in medians.items():
        print(f"{name:46} {1e3 * min(values):8.2f} ms an iteration, {100 * (min(values) / first - 1):+.1f} %")


def loop(options):
    rows = np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32)
    kmeans = lloyd.KMeans(3, init=rows[:3], max_iter=2)

    def turn(times):
        for _ in range(times):
            kmeans.fit(rows)
            kmeans.predict(rows)

    turn(1000)
    before, began = memory(), time.time()
    turn(options.turns)
    print(f"{options.turns} fits and predictions of 40 x 4 in a loop: {1e6 * (time.time() - began) / options.turns:.0f} us each, "
          f"{memory() - before} bytes more")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lloyd", required=True)
    for name, value in (("rows", 200000), ("dim", 128), ("k", 256), ("iterations", 12), ("repeats", 7), ("turns", 100000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(options, folder)
    loop(options)


if __name__ == "__main__":
    sys.exit(main())
