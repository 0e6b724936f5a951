#!/usr/bin/env python3
"""Iterations over rows that do not stay on the GPU, compared with the same iterations with all rows on it.

    bench/stream.py --lloyd build/gpu/lloyd --copy build/gpu/bench/bench_copy --directory /dev/shm
                    [--type uint8] [--rows 67108864] [--dim 128] [--k 1024 --k 8192] [--share 3] [--files] [--json FILE]
                    [--peer PATH/TO/flash-kmeans]

For every K: a fit with all rows in GPU memory, then one that --max-device-memory leaves room for 1/SHARE of the rows, the rest in
pinned host memory (with --files: all rows are read from the file in every iteration, in chunks of 256 MiB). Both models must be bit-identical. The time of an
iteration is the median of all but the first, from the log. A streamed iteration cannot be faster than

    bound = max(resident iteration, bytes copied / bandwidth of copies from pinned memory, measured in the same run by bench_copy)

and the column "ratio" says how near it is. With --peer (float16 or float32), flash-kmeans' kmeans_largeN iterates over the same rows from
the same first centroids afterwards; "x peer" is its time over lloyd's. Exits with 1 if models differ or a run failed.
"""
import argparse
import json
import os
import re
import statistics
import sys

import h5py
import numpy as np

import support

EXACT = ("centroids", "counts", "history/inertia", "history/moved")
LEAST_CHUNK = 1 << 18  # bytes of the smallest chunks that lloyd chooses
SLACK = 64 << 20
HERE = os.path.dirname(os.path.abspath(__file__))


class Bench:
    def __init__(self, options):
        self.options = options
        self.row_bytes = options.dim * support.SIZES[options.type]
        self.source = os.path.join(options.directory, f"stream-{options.type}-{options.rows}x{options.dim}.h5")
        if not os.path.exists(self.source):
            support.run([options.lloyd, "synth", "--rows", options.rows, "--dim", options.dim, "--clusters", 4096, "--type",
                 options.type, "--seed", 1, "--output", self.source])

    def start(self, k):
        """K rows of the dataset, as a model to begin with."""
        path = self.path(f"start-{k}.h5")
        with h5py.File(self.source, "r") as file, h5py.File(path, "w") as model:
            chosen = np.sort(np.random.default_rng(k).choice(self.options.rows, k, replace=False))
            rows = np.empty((k, self.options.dim), np.float32)
            for i, row in enumerate(chosen):
                rows[i] = file["train"][row]
            model["centroids"] = rows
        return path

    def peer(self, start):
        """Seconds of an iteration of flash-kmeans."""
        place = support.with_python_path(os.environ, self.options.peer)
        command = [sys.executable, os.path.join(HERE, "peer_flash_stream.py"), self.source, start, "--dtype", self.options.type]
        return json.loads(support.run(command, place).strip().splitlines()[-1])["iteration_s"]

    def path(self, name):
        return os.path.join(self.options.directory, f"stream-{os.getpid()}-{name}")

    def command(self, k, *more):
        return [self.options.lloyd, "fit", "--input", self.source, "-k", k, "--seed", 1, "--max-iters", self.options.iterations,
                "--backend", "cuda", "--no-labels", "--progress", "none", *more]

    def plan(self, k, *more):
        """(rows on the GPU, on the host, in the file; bytes on the host, on the GPU)"""
        text = support.run(self.command(k, "--output", self.path("plan.h5"), "--dry-run", *more)).replace(",", "")
        places = re.search(r"rows +(\d+) stay in GPU memory (\d+) in host memory (\d+) are read", text)
        needs = re.search(r"rank 0 .* ([0-9.]+) MB on its GPU .*\((\d+) bytes\)", text)
        rows = tuple(map(int, places.groups())) if places else (self.options.rows, 0, 0)
        return rows, int(needs.group(2)), int(float(needs.group(1)) * 1e6)

    def limits(self, k):
        """The options of a streamed run."""
        if self.options.files:
            return ["--chunk-rows", max(1, (256 << 20) // self.row_bytes)]
        _, _, device = self.plan(k, "--chunk-rows", max(1, LEAST_CHUNK // self.row_bytes))
        room = self.options.rows * self.row_bytes // self.options.share
        return ["--max-device-memory", device + SLACK + room]

    def fit(self, k, name, *more):
        """(seconds per iteration, seconds of the whole run, model)"""
        model, log = self.path(name + ".h5"), self.path(name + ".jsonl")
        support.run(self.command(k, "--output", model, "--log", log, *more))
        events = support.read_log(log)
        os.remove(log)
        return statistics.median(event["seconds"] for event in support.iterations_of(events)[1:]), events[-1]["seconds"], model

    def measure(self, k, bandwidth):
        start = self.start(k) if self.options.peer else None
        begin = ["--init", start or "random"]
        resident, resident_run, one = self.fit(k, "resident", *begin)
        more = self.limits(k) + begin
        (gpu, host, files), _, _ = self.plan(k, *more)
        streamed, streamed_run, other = self.fit(k, "streamed", *more)
        with h5py.File(one, "r") as a, h5py.File(other, "r") as b:
            same = all(a[name][()].tobytes() == b[name][()].tobytes() for name in EXACT)
        peer = self.peer(start) if start else None
        for path in filter(None, (one, other, start)):
            os.remove(path)
        copied = (host + files) * self.row_bytes
        bound = max(resident, copied / bandwidth / 1e9)
        return dict(type=self.options.type, rows=self.options.rows, dim=self.options.dim, k=k, gpu_rows=gpu, host_rows=host,
                    file_rows=files, copied_gb=copied / 1e9, h2d_gbs=bandwidth, resident_s=resident, streamed_s=streamed,
                    bound_s=bound, ratio=streamed / bound, streamed_gbs=copied / streamed / 1e9,
                    read_gbs=files * self.row_bytes / streamed / 1e9, resident_run_s=resident_run,
                    streamed_run_s=streamed_run, equal=same, peer_s=peer)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lloyd", required=True)
    parser.add_argument("--copy", required=True, help="the program bench_copy")
    parser.add_argument("--directory", required=True, help="for the dataset, which is kept, and the models")
    parser.add_argument("--type", choices=sorted(support.SIZES), default="uint8")
    parser.add_argument("--rows", type=int, default=64 << 20)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--k", type=int, action="append")
    parser.add_argument("--share", type=int, default=3, help="the GPU has room for 1/SHARE of the rows")
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--files", action="store_true", help="read all rows from the file in every iteration")
    parser.add_argument("--peer", help="the folder that holds the package flash_kmeans")
    parser.add_argument("--json", help="one line per K")
    options = parser.parse_args()
    if options.peer and options.type not in ("float16", "float32"):
        parser.error("flash-kmeans takes float16 and float32")
    bench = Bench(options)
    copies = json.loads(support.run([options.copy]))
    print(f"copies from pinned memory: {copies['h2d_gbs']} GB/s (best {copies['h2d_gbs_best']}); a GB takes "
          f"{copies['alloc_s_per_gb']} s to allocate and {copies['pin_s_per_gb']} s to pin")
    print(f"{'type':9} {'rows':>12} {'K':>7} {'copied':>9} {'from file':>10} {'resident':>10} {'streamed':>10} {'bound':>10} "
          f"{'ratio':>6}  equal" + (f" {'peer':>10} {'x peer':>7}" if options.peer else ""))
    failed = False
    for k in options.k or [1024, 8192]:
        r = bench.measure(k, copies["h2d_gbs"])
        failed |= not r["equal"]
        print(f"{r['type']:9} {r['rows']:12,} {k:7} {r['copied_gb']:6.2f} GB {r['read_gbs']:5.1f} GB/s {1e3 * r['resident_s']:7.1f} ms "
              f"{1e3 * r['streamed_s']:7.1f} ms {1e3 * r['bound_s']:7.1f} ms {r['ratio']:6.3f}  {'yes' if r['equal'] else 'NO':5}"
              + (f" {1e3 * r['peer_s']:7.1f} ms {r['peer_s'] / r['streamed_s']:7.2f}" if options.peer else ""), flush=True)
        if options.json:
            with open(options.json, "a", encoding="utf-8") as file:
                file.write(json.dumps(r) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    support.main(main)
