#!/usr/bin/env python3
"""How far the choice of a fused kernel (kernels/cuda/assign/registry.cu) is from the best of all choices, for 30 shapes.

    bench/heuristic.py --bench build/gpu/bench/bench_kernels [--json results.json]

The choices are: centroids resident or streamed, low products pruned or not. Prints per shape the time of an iteration (ten / 10) for
the choice made and for every other, and the ratio of the choice made to the best. Whole iterations, because a single assignment is
measured with rows as centroids, from which pruning gains more than from means.
"""
import argparse
import json
import subprocess
import sys
import tempfile

Ki, Mi = 1 << 10, 1 << 20
SHAPES = [(4 * Mi, 64, 16), (4 * Mi, 256, 16), (4 * Mi, 2048, 16),
          (4 * Mi, 100, 32), (4 * Mi, 256, 32), (4 * Mi, 1024, 32), (2 * Mi, 2048, 32), (Mi, 8192, 32),
          (4 * Mi, 256, 64), (2 * Mi, 512, 64), (2 * Mi, 1024, 64), (Mi, 1280, 64), (Mi, 2048, 64), (Mi, 6000, 64), (Mi, 16384, 64),
          (2 * Mi, 256, 96), (Mi, 768, 96), (Mi, 1000, 100), (Mi, 4096, 96),
          (2 * Mi, 128, 128), (2 * Mi, 512, 128), (Mi, 700, 128), (Mi, 1024, 128), (Mi, 2048, 128), (Mi, 3000, 128), (Mi, 8192, 128),
          (512 * Ki, 32768, 128), (Mi, 1000, 200), (Mi, 2048, 256), (512 * Ki, 8192, 256)]
CHOICES = {"chosen": "", "streamed": "sm90", "other pruning": "other-pruning", "both": "sm90,other-pruning"}


def times(bench, override, element):
    """ms of an iteration per shape."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        shapes = ";".join(f"{n},{k},{d}" for n, k, d in SHAPES)
        subprocess.run([bench, "--types", element, "--only", "iteration", "--override", override, "--shapes", shapes,
                        "--json", out.name], check=True, stdout=subprocess.DEVNULL)
        rows = [json.loads(line) for line in open(out.name)]
    found = {(row["n"], row["k"], row["d"]): row["iteration_ms"] for row in rows if "iteration_ms" in row}
    return [found[shape] for shape in SHAPES]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True)
    parser.add_argument("--type", default="float16")
    parser.add_argument("--json")
    options = parser.parse_args()
    table = {name: times(options.bench, override, options.type) for name, override in CHOICES.items()}
    print(f"{'N':>9} {'K':>6} {'D':>4} | " + " ".join(f"{name + ' ms':>13}" for name in CHOICES) + " | of best")
    within = 0
    for i, (n, k, d) in enumerate(SHAPES):
        ratio = table["chosen"][i] / min(column[i] for column in table.values())
        within += ratio <= 1.05
        print(f"{n:9} {k:6} {d:4} | " + " ".join(f"{table[name][i]:13.4f}" for name in CHOICES) + f" | {ratio:7.3f}")
    print(f"within 5 % of the best: {within} of {len(SHAPES)}")
    if options.json:
        with open(options.json, "w") as out:
            json.dump({"shapes": SHAPES, "ms": table, "within": within}, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
