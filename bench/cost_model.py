#!/usr/bin/env python3
"""What an iteration costs on P ranks: a formula, its constants fitted to measured points, and what it predicts for many GPUs.

    bench/cost_model.py --out model                                       H200: bench/cost_h200.json, 8 to 1024 GPUs
    bench/cost_model.py --points scaling/scaling.json --out model         fitted to a run of bench/scaling.py as well
    bench/cost_model.py --constants bench/cost_cpu.json --points scaling/scaling.json --no-prediction

N rows of D columns, K clusters, P ranks, n = N/P rows each, s bytes per element, v the share of rows that need the second step:

    assign      assign_launch + n assign_row + 2 n D K / tensor_rate
    verify      verify_launch + v n (verify_row + 2 D K / verify_rate)
    update      update_launch + n (update_row + s D / update_rate)
    centroids   centroid_bytes K D / memory_rate             inertia, means, operands: every rank does it for all K
    compute     (assign + verify + update) stream_penalty    the last factor only where rows pass through the GPU
    copy        (held + read) s D / copy_rate                rows beyond the GPU's memory
    read        read s D / file_rate                         rows beyond the host's memory too
    pass        max(compute, copy, read)                     all three go on at once
    idle        pass skew e(P)                               e(P): the expected greatest of P standard normal numbers
    all_reduce  B = 8 (K (T D + 1) + 2) bytes, T digits (2 of float32 and bfloat16, else 1); g ranks on each of m nodes:
                collective_start + 2 (g-1) link_step + 2 (g-1)/g B / link_rate                       in a node
                + min( 2 (m-1) network_step + 2 (m-1)/m B/g / network_rate,                          between nodes: a ring
                       2 ceil(log2 m) network_step + 2 B/g / network_rate )                          or a tree
    agree       agreements (ceil(log2 g) agree_link + ceil(log2 m) agree_network)
    iteration   pass + idle + all_reduce + centroids + agree

Nothing but the pass overlaps with anything, as in src/algorithm/fit.c; the last table says what it would bring if the all-reduce did.
Efficiency is (assign + verify + update) / iteration with n rows in GPU memory: the share of the time that is work on rows.

A machine is a JSON file: {"constants": {NAME: {"value", "unit", "origin", "note", "fit"}}, "points": [{"parts", "rows", "k",
"dim", "type", "ranks", "verified", "seconds"}]}: parts is what of the above was measured together. The constants (but those with
"fit": false) are fitted to the points by least squares of the logarithms; one that no point tells about stays as it was.
"""
import argparse
import csv
import json
import math
import os
import statistics
import sys

import numpy as np

import support

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = {**support.SIZES, "float64": 8}
DEFAULTS = {"rows": 0, "dim": 128, "k": 0, "type": "uint8", "ranks": 1, "verified": 0.0}
PREDICTED = ("rows", "dim", "k", "gpus", "rows_per_gpu", "gpu_share", "host_share", "file_share", "iteration", "compute", "copy",
             "read", "idle", "all_reduce", "centroids", "agree", "bound", "all_reduce_share", "efficiency", "overlap_pieces",
             "overlap_gain", "finalize_gain", "scatter_gain")
PAYS = 0.01  # of an iteration: what an overlap must bring to be worth its code


# ---- the formula ---------------------------------------------------------------------------------------------------


def greatest_of(count):
    """The expected greatest of so many standard normal numbers (Blom's approximation)."""
    return statistics.NormalDist().inv_cdf((count - 0.375) / (count + 0.25))


def device_bytes_beside_rows(rows, dim, k):
    """What lloyd takes on a GPU but for the rows themselves (lloyd_kernels_cuda_bytes): labels and norms; lists of at most 4 Mi rows;
    sorting of at most 32 Mi rows; sums, two sets of centroids, operands."""
    return 8 * rows + 48 * min(rows, 4 << 20) + 20.5 * min(rows, 32 << 20) + 18.25 * k * dim + 16 * k


def places(c, rows, dim, k, row_bytes):
    """(rows in the GPU's memory, in the host's, in files)"""
    room = c["device_memory"] - 2**30 - device_bytes_beside_rows(rows, dim, k)
    if room <= 0:
        return 0.0, 0.0, math.inf  # labels and sums alone do not fit: such a job does not run
    if rows * row_bytes <= room:
        return rows, 0.0, 0.0
    on_gpu = max(0.0, room * 7 / 8) / row_bytes  # an eighth is for chunks that pass through
    held = min(rows - on_gpu, c["host_memory"] / row_bytes)
    return on_gpu, held, rows - on_gpu - held


def groups(c, ranks):
    """(ranks of a node, nodes)"""
    return min(ranks, int(c["node"])), math.ceil(ranks / c["node"])


def all_reduce(c, size, ranks, pieces=1):
    """Seconds to sum `size` bytes over the ranks, in pieces one after the other."""
    if ranks == 1:
        return 0.0
    g, m = groups(c, ranks)
    delay = c["collective_start"] + 2 * (g - 1) * c["link_step"]
    seconds = 2 * (g - 1) / g * size / c["link_rate"]
    if m == 1:
        return pieces * delay + seconds
    ring = 2 * (m - 1) * c["network_step"] * pieces + 2 * (m - 1) / m * size / g / c["network_rate"]
    tree = 2 * math.ceil(math.log2(m)) * c["network_step"] * pieces + 2 * size / g / c["network_rate"]
    return pieces * delay + seconds + min(ring, tree)


def predict(c, job):
    """The seconds of each part of an iteration, by name. c: {constant: value}."""
    job = dict(DEFAULTS, **job)
    dim, k, ranks, v = job["dim"], job["k"], job["ranks"], job["verified"]
    rows = job["rows"] / ranks
    row_bytes = dim * SIZES[job["type"]]
    products = 2.0 * dim * k
    t = {"assign": c["assign_launch"] + rows * (c["assign_row"] + products / c["tensor_rate"]),
         "verify": c["verify_launch"] + v * rows * (c["verify_row"] + products / c["verify_rate"]),
         "update": c["update_launch"] + rows * (c["update_row"] + row_bytes / c["update_rate"]),
         "centroids": c["centroid_bytes"] * k * dim / c["memory_rate"]}
    on_gpu, held, read = places(c, rows, dim, k, row_bytes)
    t["work"] = t["assign"] + t["verify"] + t["update"]
    t["compute"] = t["work"] * (c["stream_penalty"] if held + read > 0 else 1.0)
    t["copy"] = (held + read) * row_bytes / c["copy_rate"]
    t["read"] = read * row_bytes / c["file_rate"]
    t["pass"] = max(t["compute"], t["copy"], t["read"])
    t["idle"] = t["pass"] * c["skew"] * greatest_of(ranks)
    digits = 2 if job["type"] in ("float32", "bfloat16") else 1
    size = job.get("bytes", 8 * (k * (digits * dim + 1) + 2))
    t["all_reduce"] = all_reduce(c, size, ranks)
    g, m = groups(c, ranks)
    t["agree"] = c["agreements"] * (math.ceil(math.log2(g)) * c["agree_link"] + math.ceil(math.log2(m)) * c["agree_network"])
    t["iteration"] = t["pass"] + t["idle"] + t["all_reduce"] + t["centroids"] + t["agree"]
    t["bytes"], t["places"] = size, (on_gpu, held, read)
    return t


# ---- what an overlapped all-reduce would bring ---------------------------------------------------------------------


def pipelined(first, second, pieces):
    """Two stages that work on pieces one after the other, each stage on one piece at a time."""
    return (first + second + (pieces - 1) * max(first, second)) / pieces


def overlap(c, job, t):
    """Seconds that would be saved in an iteration, by each of the ways there are (docs/notebook/scaling.md):
    finalize    the sums travel in pieces, by clusters; means of a piece are made while the next one travels
    next        besides, the next pass begins with the centroids that are there. Rows then go through the filter once per piece: they are
                read again, and what is known of each (24 bytes, written and read) is kept; the all-reduce takes multiprocessors
    scatter     no overlap: sums are reduce-scattered, each rank makes the means of its share, and float32 centroids (4 bytes
                instead of 8) are gathered"""
    job = dict(DEFAULTS, **job)
    ranks, row_bytes = job["ranks"], job["dim"] * SIZES[job["type"]]
    best = {"finalize": (0.0, 1), "next": (0.0, 1)}
    if ranks == 1:
        return {"finalize": 0.0, "next": 0.0, "pieces": 1, "scatter": 0.0}
    again = job["rows"] / ranks * (row_bytes + 24) / c["memory_rate"]
    for pieces in (2, 4, 8, 16, 32):
        travel = all_reduce(c, t["bytes"], ranks, pieces)
        gain = t["all_reduce"] + t["centroids"] - pipelined(travel, t["centroids"], pieces)
        best["finalize"] = max(best["finalize"], (gain, pieces))
        work = t["centroids"] + t["assign"] + (pieces - 1) * (again + c["assign_launch"])
        work += c["busy_share"] * travel * (pieces - 1) / pieces
        gain = t["all_reduce"] + t["centroids"] + t["assign"] - pipelined(travel, work, pieces)
        best["next"] = max(best["next"], (gain, pieces))
    moved = t["bytes"] * 12 / 16
    scatter = t["all_reduce"] - all_reduce(c, moved, ranks, 1) + t["centroids"] * (1 - 1 / ranks) / 2 - c["collective_start"]
    return {"finalize": best["finalize"][0], "next": best["next"][0], "pieces": best["next"][1], "scatter": max(0.0, scatter)}


# ---- the fit -------------------------------------------------------------------------------------------------------


def modelled(c, point):
    t = predict(c, point)
    return sum(t[part] for part in point["parts"])


def fit(constants, points, doubt=1e-6):
    """Least squares of log(model / measured) over the constants that may be fitted, by Levenberg and Marquardt's method. They are varied
    as logarithms, so they stay positive; `doubt` ties each weakly to where it began. Returns ({name: value}, {name: relative
    standard error} of those that the points tell about)."""
    c = {name: float(entry["value"]) for name, entry in constants.items()}
    names = [name for name, entry in constants.items() if entry.get("fit", True) and c[name] > 0]
    points = [point for point in points if not point.get("check")]
    if not points or not names:
        return c, {}
    begin = np.log([c[name] for name in names])
    doubt *= len(points)

    def residuals(x):
        trial = dict(c, **{name: math.exp(value) for name, value in zip(names, x)})
        return np.array([math.log(max(modelled(trial, point), 1e-300) / point["seconds"]) for point in points])

    def slopes(x, r, step=1e-6):
        columns = []
        for i in range(len(x)):
            moved = x.copy()
            moved[i] += step
            columns.append((residuals(moved) - r) / step)
        return np.array(columns).T

    x, r, damping = begin.copy(), residuals(begin), 1e-3
    cost = r @ r + doubt * (x - begin) @ (x - begin)
    for _ in range(500):
        j = slopes(x, r)
        normal, gradient = j.T @ j + doubt * np.eye(len(x)), j.T @ r + doubt * (x - begin)
        while damping < 1e12:
            # no step is wider than a factor of e: far away the logarithms are not straight
            step = np.clip(-np.linalg.solve(normal + damping * np.eye(len(x)), gradient), -1, 1)
            trial = residuals(x + step)
            lower = trial @ trial + doubt * (x + step - begin) @ (x + step - begin)
            if lower <= cost:
                break
            damping *= 4
        else:
            break
        done = cost - lower <= 1e-14 * (cost + 1e-14) and np.abs(step).max() < 1e-9
        x, r, cost, damping = x + step, trial, lower, max(damping / 6, 1e-12)
        if done:
            break
    covariance = np.linalg.inv(slopes(x, r).T @ slopes(x, r) + doubt * np.eye(len(x)))
    told = [i for i in range(len(names)) if doubt * covariance[i, i] < 0.5]
    variance = r @ r / max(1, len(points) - len(told))
    fitted = {names[i]: math.sqrt(variance * covariance[i, i]) for i in told}
    for i in told:
        c[names[i]] = math.exp(x[i])
    return c, fitted


def points_of_scaling(path):
    """The points of a scaling.json: the parts that the log told, else what is known together, else whole iterations."""
    with open(path, encoding="utf-8") as file:
        told = json.load(file)
    points = []
    for row in told["results"]:
        job = {name: row[name] for name in ("rows", "dim", "k", "type", "ranks", "verified")}
        job["from"] = f"{os.path.basename(path)}: {row['mode']}, {row['ranks']} ranks"

        def add(parts, seconds):
            if seconds is not None and seconds > 0:
                points.append(dict(job, parts=parts, seconds=seconds))

        if row["compute"] is None and row["assign"] is None:
            add(["iteration"], row["seconds"])
            continue
        for name, parts in (("assign", ["assign"]), ("verify", ["verify"]), ("update", ["update", "centroids"])):
            if row["compute"] is None:
                add(parts, row[name])
        add(["assign", "verify", "update", "centroids"], row["compute"])
        if row["ranks"] > 1:
            add(["idle"], row["idle"])
            add(["all_reduce"], row["all_reduce"])
    # The same fit may stand in both modes.
    return list({json.dumps({k: v for k, v in point.items() if k != "from"}): point for point in points}.values())


def read_machine(path):
    with open(path, encoding="utf-8") as file:
        machine = json.load(file)
    if not isinstance(machine.get("constants"), dict):
        sys.exit(f"cost_model.py: {path} has no constants")
    return machine


# ---- what comes out ------------------------------------------------------------------------------------------------


def print_constants(machine, c, fitted):
    print(f"\n{'constant':<17} {'value':>11} {'unit':<7} {'+-':>7}  origin")
    for name, entry in machine["constants"].items():
        error = "" if name not in fitted else f"{100 * fitted[name]:.1f} %" if fitted[name] < 1 else "> 100 %"
        origin = "fitted" if name in fitted else "assumed, for no point tells it" if entry["origin"] == "fitted" else entry["origin"]
        if fitted.get(name, 0) >= 1:
            origin = "fitted, but the points hardly tell it"
        note = f": {entry['note']}" if "note" in entry else ""
        print(f"{name:<17} {c[name]:>11.4g} {entry['unit']:<7} {error:>7}  {origin}{note}")


def print_points(c, points):
    print(f"\n{'what':<34} {'rows':>13} {'K':>8} {'ranks':>5} {'measured ms':>12} {'model ms':>12} {'off':>8}  from")
    for point in points:
        model = modelled(c, point)
        what = " + ".join(point["parts"]) + (" (not fitted)" if point.get("check") else "")
        size = f"{point['bytes']} B" if "bytes" in point else f"{point.get('rows', 0):,}"
        print(f"{what:<34} {size:>13} {point.get('k', ''):>8} {point.get('ranks', 1):>5} {1e3 * point['seconds']:>12.4f} "
              f"{1e3 * model:>12.4f} {100 * (model / point['seconds'] - 1):>+7.1f}%  {point.get('from', '')}")


def prediction(c, options):
    rows_of_table = []
    for rows in options.rows:
        for k in options.k:
            for gpus in options.gpus:
                job = {"rows": rows, "dim": options.dim, "k": k, "ranks": gpus, "type": options.type, "verified": options.verified}
                t = predict(c, job)
                if not math.isfinite(t["iteration"]):
                    print(f"{rows:.0e} rows, K {k}: labels and sums do not fit the memory of {gpus} GPUs", file=sys.stderr)
                    continue
                gains = overlap(c, job, t)
                n = rows / gpus
                rows_of_table.append({
                    "rows": rows, "dim": options.dim, "k": k, "gpus": gpus, "rows_per_gpu": n,
                    "gpu_share": t["places"][0] / n, "host_share": t["places"][1] / n, "file_share": t["places"][2] / n,
                    **{name: t[name] for name in ("iteration", "compute", "copy", "read", "idle", "all_reduce", "centroids", "agree")},
                    "bound": max(("compute", "copy", "read"), key=lambda name: t[name]),
                    "all_reduce_share": t["all_reduce"] / t["iteration"], "efficiency": t["work"] / t["iteration"],
                    "overlap_pieces": gains["pieces"], "overlap_gain": gains["next"] / t["iteration"],
                    "finalize_gain": gains["finalize"] / t["iteration"], "scatter_gain": gains["scatter"] / t["iteration"]})
    return rows_of_table


def print_prediction(results, options):
    print(f"\nPREDICTED, NOT MEASURED: {options.dim} columns of {options.type}, {100 * options.verified:g} % of the rows in the fallback pass")
    print(f"{'rows':>8} {'K':>8} {'GPUs':>5} {'rows/GPU':>12} {'GPU/host/file %':>15} {'s/iteration':>12} {'bound by':>8} "
          f"{'idle %':>7} {'all-reduce ms':>13} {'%':>6} {'efficiency':>10} | {'overlap saves':>13}")
    for row in results:
        where = "/".join(f"{100 * row[name]:.0f}" for name in ("gpu_share", "host_share", "file_share"))
        saves = f"{100 * row['overlap_gain']:.2f} %" + (f" ({row['overlap_pieces']})" if row["overlap_gain"] > 0 else "")
        print(f"{row['rows']:>8.0e} {row['k']:>8} {row['gpus']:>5} {row['rows_per_gpu']:>12,.0f} {where:>15} {row['iteration']:>12.5g} "
              f"{row['bound']:>8} {100 * row['idle'] / row['iteration']:>7.2f} {1e3 * row['all_reduce']:>13.3f} "
              f"{100 * row['all_reduce_share']:>6.2f} {row['efficiency']:>10.3f} | {saves:>13}")
    where = [row for row in results if row["overlap_gain"] >= PAYS]
    print(f"\noverlapping the all-reduce with the next pass would save {100 * PAYS:g} % or more in {len(where)} of {len(results)} cases"
          + "".join(f"\n    {row['rows']:.0e} rows, K {row['k']}, {row['gpus']} GPUs: {100 * row['overlap_gain']:.1f} %" for row in where))
    print(f"with the means alone: at most {100 * max(row['finalize_gain'] for row in results):.2f} %; reduce-scatter, means of the own "
          f"share, all-gather in float32: at most {100 * max(row['scatter_gain'] for row in results):.2f} %")


def write_files(options, machine, c, fitted, points, results):
    support.write_json(os.path.join(options.out, "model.json"), {
        **support.how(), "machine": machine.get("about"),
        "constants": {name: dict(entry, value=c[name], fitted=name in fitted, error=fitted.get(name))
                      for name, entry in machine["constants"].items()},
        "points": [dict(point, model=modelled(c, point)) for point in points],
        "predicted_not_measured": results})
    if results:
        with open(os.path.join(options.out, "model.csv"), "w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, PREDICTED, lineterminator="\n")
            table.writeheader()
            for row in results:
                table.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()})


def draw(options, results):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    for name, label, scale, log in (("iteration", "seconds per iteration", 1, True),
                                    ("all_reduce_share", "all-reduce, % of the iteration", 100, True),
                                    ("efficiency", "efficiency", 1, False)):
        figure, panels = plt.subplots(1, len(options.rows), figsize=(3.6 * len(options.rows) + 0.6, 4.0), sharey=True,
                                      squeeze=False)
        for axes, rows in zip(panels[0], options.rows):
            for number, k in enumerate(options.k):
                line = [row for row in results if row["rows"] == rows and row["k"] == k]
                axes.plot([row["gpus"] for row in line], [scale * row[name] for row in line], "o--", markerfacecolor="white",
                          color=f"C{number}", label=f"K = {k:,}")
            axes.set_xscale("log", base=2)
            axes.set_xticks(options.gpus, [str(gpus) for gpus in options.gpus], fontsize=7)
            if log:
                axes.set_yscale("log")
            else:
                axes.set_ylim(0, 1.05)
            axes.set_xlabel("GPUs")
            axes.set_title(f"{rows:,.0f} rows", fontsize=9)
            axes.grid(alpha=0.3)
        panels[0][0].set_ylabel(label)
        panels[0][0].legend(fontsize=8)
        figure.suptitle(f"PREDICTED, NOT MEASURED: {label}; {options.dim} columns of {options.type}", fontsize=10)
        figure.tight_layout()
        figure.savefig(os.path.join(options.out, f"model-{name.replace('_', '-')}.png"), dpi=100)
        plt.close(figure)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--constants", default=os.path.join(HERE, "cost_h200.json"), help="the machine (default bench/cost_h200.json)")
    parser.add_argument("--points", nargs="+", default=[], help="scaling.json of bench/scaling.py, to be fitted as well")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="constants that are given and not fitted")
    parser.add_argument("--no-prediction", action="store_true", help="only the fit")
    parser.add_argument("--gpus", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256, 512, 1024])
    parser.add_argument("--rows", type=float, nargs="+", default=[1e9, 1e10, 1e11])
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("-k", type=int, nargs="+", default=[8192, 65536, 1048576])
    parser.add_argument("--type", choices=sorted(SIZES), default="uint8")
    parser.add_argument("--verified", type=float, default=0.15,
                        help="share of rows that need the second step (default 0.15: real descriptors, docs/notebook/gpu-real-rows.md)")
    parser.add_argument("--out", help="folder for model.json, model.csv and plots")
    return parser.parse_args()


def main():
    options = parse()
    machine = read_machine(options.constants)
    for text in options.set:
        name, _, value = text.partition("=")
        if name not in machine["constants"]:
            sys.exit(f"cost_model.py: there is no constant '{name}'; there are {', '.join(machine['constants'])}")
        machine["constants"][name] = dict(machine["constants"][name], value=float(value), origin="given", fit=False)
    points = machine.get("points", []) + [point for path in options.points for point in points_of_scaling(path)]
    c, fitted = fit(machine["constants"], points)
    print_constants(machine, c, fitted)
    print_points(c, points)
    results = [] if options.no_prediction else prediction(c, options)
    if results:
        print_prediction(results, options)
    if options.out:
        os.makedirs(options.out, exist_ok=True)
        write_files(options, machine, c, fitted, points, results)
        if results:
            draw(options, results)
        print(f"\nwritten to {options.out}")


if __name__ == "__main__":
    main()
