#!/usr/bin/env python3
"""The CUDA kernels compared with flash-kmeans and FlashLib: same machine, same run, same shapes, Gaussian data for all.

    bench/kernels.py --bench build/release/bench/bench_kernels --peer PATH/TO/flash-kmeans [--json results.json]

They run one after another, type by type: bench_kernels, then each peer that is installed (bench/peer_kernels.py, which says what it
measures). A table per peer; a ratio is the peer's time over lloyd's, so above 1 lloyd is faster:

    assign      the whole certified assignment against the peer's top-1
    update      sums and new centroids against the peer's update, which makes both
    iteration   ten iterations / 10, by CUDA events

"right" is the peer's share of labels equal to the double-precision ones; lloyd's are all right or #wrong says otherwise. A shape
where the peer fails has no ratio and is left out of the geometric means. Exits with 1 if a shape of bench_kernels failed or was wrong.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

import support
from peer_kernels import TOOLS

HERE = os.path.dirname(os.path.abspath(__file__))
RATIOS = ("assign", "update", "iteration")


def run_bench(arguments, kind):
    """The JSON lines of bench_kernels for one type, and whether all of it went well."""
    with tempfile.NamedTemporaryFile(prefix="lloyd-bench-", suffix=".jsonl") as file:
        command = [arguments.bench, "--types", kind, "--cool", str(arguments.cool), "--json", file.name]
        command += ["--only", "limits,assign,update,iteration"]
        if arguments.shapes:
            command += ["--shapes", arguments.shapes]
        status = subprocess.run(command, check=False).returncode
        with open(file.name, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines], status == 0


def run_peer(arguments, name, kind):
    """{(n, k, d): what the peer reports for that shape}, None if it is not installed."""
    command = [arguments.python, os.path.join(HERE, "peer_kernels.py"), name, "--dtype", kind, "--cool", str(arguments.cool)]
    if arguments.shapes:
        command += ["--shapes", arguments.shapes]
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


def pair_up(ours, peer):
    """One row of the table of a peer from a shape of bench_kernels and the peer's row for it, if any."""
    row = {"type": ours["type"], "n": ours["n"], "k": ours["k"], "d": ours["d"], "wrong": ours["wrong"], "lloyd": ours,
           "peer": peer}
    row["ratio"] = dict.fromkeys(RATIOS)
    if peer and "error" not in peer:
        mine = (ours["assign_ms"], ours["update_ms"] + ours["means_ms"], ours["iteration_ms"])
        theirs = (peer["assign_ms"], peer["update_ms"], peer["iter_ms"])
        row["ratio"] = {name: b / a for name, a, b in zip(RATIOS, mine, theirs)}
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
    print(f"\nlloyd and {name_of_peer}\n{'':<33} | {'assign ms':^27} | {'update ms':^27} | {'iteration ms':^27} | {'':<16}")
    times = f"{'lloyd':>9} {'peer':>9} {'ratio':>7}"
    print(f"{'type':<8} {'N':>9} {'K':>7} {'D':>6} | {times} | {times} | {times} | {'right':>8} {'#wrong':>7}")
    for row in rows:
        ours, peer = row["lloyd"], row["peer"] or {}
        update = ours["update_ms"] + ours["means_ms"]
        line = f"{row['type']:<8} {row['n']:>9} {row['k']:>7} {row['d']:>6}"
        for name, mine, theirs in (("assign", ours["assign_ms"], peer.get("assign_ms")),
                                   ("update", update, peer.get("update_ms")),
                                   ("iteration", ours["iteration_ms"], peer.get("iter_ms"))):
            line += f" | {number(mine, 9, 4)} {number(theirs, 9, 4)} {number(row['ratio'][name], 7, 2)}"
        print(f"{line} | {number(peer.get('fp64'), 8, 5)} {row['wrong']:>7}")
        if "error" in peer:
            print(f"{'':<8} {name_of_peer}: {peer['error']}")
    line = f"{'geometric mean':<33}"
    for name in RATIOS:
        line += f" | {'':>9} {'':>9} {number(means[name], 7, 2)}"
    lowest = [min((row["ratio"][name] for row in rows if row["ratio"][name]), default=None) for name in RATIOS]
    print(f"{line} |")
    line = f"{'lowest':<33}"
    for value in lowest:
        line += f" | {'':>9} {'':>9} {number(value, 7, 2)}"
    print(f"{line} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/release/bench/bench_kernels")
    parser.add_argument("--peer", help="the folder that holds the package flash_kmeans, unless Python finds it")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with torch and the peers")
    parser.add_argument("--types", default="float16,float32", help="float16, float32 or both")
    parser.add_argument("--shapes", help='"N,K,D[;...]"; the twelve of bench_kernels if not given')
    parser.add_argument("--cool", type=float, default=0, help="seconds without work before each shape is measured")
    parser.add_argument("--json", help="write everything there too")
    arguments = parser.parse_args()

    results, machine, all_well = {}, None, True
    for kind in arguments.types.split(","):
        ours, well = run_bench(arguments, kind)
        all_well = all_well and well
        machine = machine or next((line for line in ours if line["what"] == "machine"), None)
        results[kind] = {}
        for name in (name for name, tool in TOOLS.items() if kind in tool.TYPES):
            peer = run_peer(arguments, name, kind)
            if peer is None:
                continue
            rows = [pair_up(line, peer.get((line["n"], line["k"], line["d"]))) for line in ours if line["what"] == "shape"]
            means = geometric_means(rows)
            print_rows(name, rows, means)
            results[kind][name] = {"rows": rows, "geometric_means": means}
    if arguments.json:
        support.write_json(arguments.json, dict(support.how(), machine=machine, cool_seconds=arguments.cool, results=results))
    sys.exit(0 if all_well else 1)


if __name__ == "__main__":
    main()
