#!/usr/bin/env python3
"""The CUDA kernels compared with flash-kmeans and FlashLib: same machine, same run, same shapes.

    bench/kernels.py --bench build/release/bench/bench_kernels --peer PATH/TO/flash-kmeans [--json results.json]
    bench/kernels.py --bench build/release/bench/bench_kernels --rows FILE.h5 --copies 16 --k 1024,4096 [...]
    bench/kernels.py --bench build/release/bench/bench_kernels --mixture 3000 --types float16 --shapes 1048576,4096,768 [...]

They run one after another, type by type: bench_kernels, then each peer that is installed (bench/peer_kernels.py, which says what it
measures). Without --rows and --mixture rows are Gaussian, and those of the peers are others. With them, bench_kernels writes its rows and
first centroids to files in --scratch, from which the peers read them; bytes become float16 there. A table per peer; a ratio is the
peer's time over lloyd's, so above 1 lloyd is faster:

    assign      the whole certified assignment to the first centroids against the peer's top-1
    update      sums and new centroids against the peer's update, which makes both
    iteration   ten iterations / 10, by CUDA events
    later       an iteration after --after others, of the peer the mean of ten; then lloyd's filter of such an iteration: its
                time, 2 N K D over it, the share of rows that it proves alone, the share that the 8-bit filter takes, and how many
                candidates one of these has that it does not prove

"right" is the peer's share of labels whose centroid is a nearest one in double precision, among its own, rounded centroids; lloyd's are
all right or #wrong says otherwise. A shape where the peer fails has no ratio and is left out of the geometric means. Exits with 1 if a
shape of bench_kernels failed or was wrong.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np

import support
from peer_kernels import TOOLS

HERE = os.path.dirname(os.path.abspath(__file__))
RATIOS = ("assign", "update", "iteration", "later")


class Job:
    """What is measured: the rows as options of bench_kernels, types, shapes, and the folder that the peers find rows in (None: they make
    Gaussian ones)."""

    def __init__(self, rows, types, shapes, folder):
        self.rows, self.types, self.shapes, self.folder = rows, types, shapes, folder


def read_rows(name):
    """The rows of FILE.npy, or of FILE.h5 or FILE.h5:DATASET (train), in a type that bench_kernels has."""
    if name.endswith(".npy"):
        rows = np.load(name, mmap_mode="r")
    else:
        import h5py

        path, _, dataset = name.partition(":")
        with h5py.File(path, "r") as file:
            rows = file[dataset or "train"][()]
    if rows.ndim != 2:
        raise support.Failed(f"{name} has {rows.ndim} dimensions, not two")
    return np.ascontiguousarray(rows if rows.dtype.name in support.SIZES else rows.astype(np.float32))


def job_of(arguments, folder):
    """Writes the rows of --rows to `folder` as bench_kernels reads them."""
    types = arguments.types.split(",")
    if arguments.rows is None:
        rows = ["--mixture", str(arguments.mixture)] if arguments.mixture else []
        return Job(rows, types, arguments.shapes, folder if rows else None)
    stored = read_rows(arguments.rows)
    path = os.path.join(folder, "rows.raw")
    stored.tofile(path)
    shapes = ";".join(f"{len(stored) * arguments.copies},{k},{stored.shape[1]}" for k in arguments.k.split(","))
    return Job(["--rows", path, "--jitter", str(arguments.jitter)], [stored.dtype.name], shapes, folder)


def run_bench(arguments, job, kind):
    """The JSON lines of bench_kernels for one type, and whether all of it went well."""
    with tempfile.NamedTemporaryFile(prefix="lloyd-bench-", suffix=".jsonl") as file:
        command = [arguments.bench, "--types", kind, "--cool", str(arguments.cool), "--json", file.name]
        command += ["--only", "limits,assign,update,iteration,later", "--filter", arguments.filter, "--after", str(arguments.after)]
        command += job.rows
        if job.folder:
            command += ["--dump", job.folder]
        if job.shapes:
            command += ["--shapes", job.shapes]
        status = subprocess.run(command, check=False).returncode
        with open(file.name, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines], status == 0


def peer_type(job, kind, tool):
    """The type that the peer computes with; None: it is not measured."""
    if job.folder and kind in ("uint8", "int8"):
        return "float16"
    return kind if kind in tool.TYPES else None


def run_peer(arguments, job, name, kind):
    """{(n, k, d): what the peer reports for that shape}, None if it is not installed."""
    command = [arguments.python, os.path.join(HERE, "peer_kernels.py"), name, "--dtype", peer_type(job, kind, TOOLS[name]),
               "--cool", str(arguments.cool), "--after", str(arguments.after)]
    if job.folder:
        command += ["--dump", job.folder, "--stored", kind]
    if job.shapes:
        command += ["--shapes", job.shapes]
    done = subprocess.run(command, check=False, env=support.with_python_path(os.environ, arguments.peer), stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print(f"kernels.py: {name} ended with status {done.returncode}", file=sys.stderr)
    found = {}
    for line in done.stdout.splitlines():
        if not line.startswith("{"):
            continue  # what its libraries print
        row = json.loads(line)
        if "missing" in row:
            print(support.skipped(name, row["missing"]), file=sys.stderr)
            return None
        found[tuple(row["shape"]) if "error" in row else (row["N"], row["K"], row["D"])] = row
    return found


def times_of(ours, peer):
    """{ratio's name: ms of lloyd, of the peer}."""
    return {"assign": (ours["assign_ms"], peer.get("assign_ms")),
            "update": (ours["update_ms"] + ours["means_ms"], peer.get("update_ms")),
            "iteration": (ours["iteration_ms"], peer.get("iter_ms")),
            "later": (ours["later_ms"], peer.get("later_ms"))}


def pair_up(ours, peer):
    """One row of the table of a peer from a shape of bench_kernels and the peer's row for it, if any."""
    row = {"type": ours["type"], "n": ours["n"], "k": ours["k"], "d": ours["d"], "wrong": ours["wrong"], "lloyd": ours,
           "peer": peer}
    row["ratio"] = {name: theirs / mine if theirs else None for name, (mine, theirs) in times_of(ours, peer or {}).items()}
    return row


def geometric_means(rows):
    means = {}
    for name in RATIOS:
        values = [row["ratio"][name] for row in rows if row["ratio"][name]]
        means[name] = math.exp(sum(map(math.log, values)) / len(values)) if values else None
    return means


def number(value, width, digits):
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{digits}f}"


def print_rows(name_of_peer, rows, means):
    print(f"\nlloyd and {name_of_peer}; rows: {rows[0]['lloyd']['rows']}" if rows else f"\nlloyd and {name_of_peer}: no shape")
    print(f"{'':<33} | " + " | ".join(f"{name + ' ms':^27}" for name in RATIOS) + f" | {'filter, later':^38} |")
    times = " | ".join([f"{'lloyd':>9} {'peer':>9} {'ratio':>7}"] * len(RATIOS))
    print(f"{'type':<8} {'N':>9} {'K':>7} {'D':>6} | {times} | {'ms':>8} {'TOP/s':>6} {'proved %':>8} {'int8 %':>6} {'cands':>6}"
          f" | {'right':>8} {'#wrong':>7} peer's")
    for row in rows:
        ours, peer = row["lloyd"], row["peer"] or {}
        line = f"{row['type']:<8} {row['n']:>9} {row['k']:>7} {row['d']:>6}"
        for name, (mine, theirs) in times_of(ours, peer).items():
            line += f" | {number(mine, 9, 4)} {number(theirs, 9, 4)} {number(row['ratio'][name], 7, 2)}"
        line += f" | {number(ours['later_filter_ms'], 8, 4)} {number(ours['later_filter_tops'], 6, 0)}"
        line += f" {number(100 * ours['later_proved'], 8, 3)} {number(100 * ours['later_int8'], 6, 1)}"
        line += f" {number(ours['later_candidates'], 6, 1)} | {number(peer.get('fp64'), 8, 5)} {row['wrong']:>7}"
        print(f"{line} {' '.join(str(peer[key]) for key in ('dtype', 'kernel', 'tile') if key in peer)}")
        if "error" in peer:
            print(f"{'':<8} {name_of_peer}: {peer['error']}")
    lowest = {name: min((row["ratio"][name] for row in rows if row["ratio"][name]), default=None) for name in RATIOS}
    for title, values in (("geometric mean", means), ("lowest", lowest)):
        print(f"{title:<33}" + "".join(f" | {'':>9} {'':>9} {number(values[name], 7, 2)}" for name in RATIOS) + " |", flush=True)


def measure(arguments, job):
    """{type: {peer: rows and means}}, what bench_kernels says of the machine, and whether all went well."""
    results, machine, all_well = {}, None, True
    for kind in job.types:
        ours, well = run_bench(arguments, job, kind)
        all_well = all_well and well
        machine = machine or next((line for line in ours if line["what"] == "machine"), None)
        results[kind] = {}
        for name in arguments.peers.split(","):
            peer = run_peer(arguments, job, name, kind) if peer_type(job, kind, TOOLS[name]) else None
            if peer is None:
                continue
            rows = [pair_up(line, peer.get((line["n"], line["k"], line["d"]))) for line in ours if line["what"] == "shape"]
            means = geometric_means(rows)
            print_rows(name, rows, means)
            results[kind][name] = {"rows": rows, "geometric_means": means}
    return results, machine, all_well


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/release/bench/bench_kernels")
    parser.add_argument("--peer", help="the folder that holds the package flash_kmeans, unless Python finds it")
    parser.add_argument("--peers", default=",".join(TOOLS), help="which peers: " + ",".join(TOOLS))
    parser.add_argument("--python", default=sys.executable, help="an interpreter with torch and the peers")
    parser.add_argument("--types", default="float16,float32", help="float16, float32 or both; --rows has one of its own")
    parser.add_argument("--shapes", help='"N,K,D[;...]"; the twelve of bench_kernels if not given')
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument("--rows", metavar="FILE", help="FILE.npy, or HDF5: FILE.h5 or FILE.h5:DATASET")
    rows.add_argument("--mixture", type=int, metavar="C", help="rows of C overlapping clusters; needs --shapes")
    parser.add_argument("--copies", type=int, default=1, help="how many times the rows of --rows, with noise from the second time on")
    parser.add_argument("--jitter", type=float, default=1, help="how much noise: see bench_kernels --help")
    parser.add_argument("--k", help="numbers of clusters for --rows: K[,...]")
    parser.add_argument("--filter", choices=("auto", "int8", "float16"), default="auto", help="of bench_kernels")
    parser.add_argument("--after", type=int, default=2, help='iterations before those of the column "later"')
    parser.add_argument("--scratch", help="a folder with room for the rows, for example /dev/shm")
    parser.add_argument("--cool", type=float, default=0, help="seconds without work before each shape is measured")
    parser.add_argument("--json", help="write everything there too")
    arguments = parser.parse_args()
    if unknown := set(arguments.peers.split(",")) - set(TOOLS):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    if arguments.rows and (not arguments.k or arguments.shapes or arguments.copies < 1):
        parser.error("--rows needs --k and at least one copy, and makes the shapes itself")
    if arguments.mixture is not None and not arguments.shapes:
        parser.error("--mixture needs --shapes")
    return arguments


def main():
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="lloyd-bench-", dir=arguments.scratch) as folder:
        results, machine, all_well = measure(arguments, job_of(arguments, folder))
    if arguments.json:
        support.write_json(arguments.json, dict(support.how(), machine=machine, cool_seconds=arguments.cool, results=results))
    return 0 if all_well else 1


if __name__ == "__main__":
    support.main(main)
