#!/usr/bin/env python3
"""Strong and weak scaling over ranks: seconds per iteration, speedup, efficiency, and what an iteration consists of.

    bench/scaling.py --lloyd build/release/lloyd --ranks 1 2 --mode strong weak --rows 33554432 --dim 128 -k 1024 8192
                     --type uint8 --backend cuda --threads 8 --out scaling

Strong: --rows in all, for any number of ranks. Weak: --rows for each rank. The rows are made by `lloyd synth`, once per size, and
kept in --data for the next time. The fits of a grid run one after another, in the opposite order in every second round; the time of a fit is the
median of its iterations but the first, and the table shows medians over the repeats. One rank is started without a launcher.

It checks while it times: each fit must have run with the ranks, threads and backend it was asked for, and all fits of the same
rows and K must give bit-identical centroids, inertia and moved labels, whatever their number of ranks. If they do not, it
says so, draws nothing and exits with 1.

Writes OUT/scaling.csv, OUT/scaling.json, OUT/scaling-speedup.png, OUT/scaling-efficiency.png and OUT/scaling-breakdown.png. The breakdown
is that of `parts` in the end of the log; parts that a backend does not tell apart are drawn together as "compute".
bench/cost_model.py --points OUT/scaling.json fits the cost model to it.
"""
import argparse
import csv
import hashlib
import os
import platform
import shlex
import statistics
import sys
import tempfile

import h5py
import numpy as np

import support

EXACT = ("centroids", "counts", "history/inertia", "history/moved")
# The log's name of each part of an iteration, and ours.
PARTS = {"rows": "io", "assign": "assign", "verify": "verify", "update": "update", "idle": "idle", "sum": "all_reduce"}
COMPUTE = ("assign", "verify", "update")
COLOURS = {"assign": "#4477aa", "verify": "#66ccee", "update": "#228833", "compute": "#4477aa", "io": "#ccbb44",
           "idle": "#bbbbbb", "all_reduce": "#ee6677", "other": "#aa3377"}
SHARED_COLUMNS = ("mode", "type", "backend", "rows", "dim", "k", "ranks", "threads", "repeats", "iterations")
COLUMNS = SHARED_COLUMNS + ("seconds", "lowest", "highest", "speedup", "efficiency", "mean") + tuple(PARTS.values()) + (
    "compute", "other", "verified", "equal")


# ---- one fit -------------------------------------------------------------------------------------------------------


def launched(options, ranks, arguments):
    """The command of lloyd on some ranks. The threads travel in the command, since not every launcher carries the environment."""
    threads = ["env", f"OMP_NUM_THREADS={options.threads}", f"OPENBLAS_NUM_THREADS={options.threads}"]
    launcher = [] if ranks == 1 else shlex.split(options.mpirun) + ["-n", str(ranks)]
    return launcher + threads + [options.lloyd] + [str(argument) for argument in arguments]


def data_of(options, rows):
    """The file with so many rows, made if it is not there."""
    name = f"synth-{options.type}-{rows}x{options.dim}-c{options.clusters}-s{options.seed}.h5"
    path = os.path.join(options.data, name)
    if not os.path.exists(path):
        most = max(options.ranks)
        support.run(launched(options, most, [
            "synth", "--rows", rows, "--dim", options.dim, "--clusters", options.clusters, "--type", options.type, "--seed",
            options.seed, "--output", path]))
    return path


def parts_of(end, ranks):
    """{our name: [seconds of each rank, over all iterations], or None where the log does not say}"""
    told = end.get("parts") or {}
    found = {}
    for name, ours in PARTS.items():
        values = told.get(name)
        whole = isinstance(values, list) and len(values) == ranks and all(isinstance(v, (int, float)) for v in values)
        found[ours] = [float(value) for value in values] if whole else None
    return found


def fingerprint(model):
    """Of everything that must not depend on the ranks."""
    with h5py.File(model, "r") as file:
        return {name: hashlib.sha256(file[name][()].tobytes()).hexdigest() for name in EXACT}


def check_begin(options, ranks, begin):
    for name, asked in (("ranks", ranks), ("threads", options.threads), ("backend", options.backend)):
        if begin.get(name) != asked:
            raise support.Failed(f"a fit was asked for with {name} = {asked} and ran with {begin.get(name)}; look at --mpirun, whose "
                         "launcher must belong to the MPI of lloyd, and at the machine")


def run_fit(options, directory, ranks, rows, k):
    model, log = os.path.join(directory, "model.h5"), os.path.join(directory, "fit.jsonl")
    for path in (model, log):
        if os.path.exists(path):
            os.remove(path)
    support.run(launched(options, ranks, [
        "fit", "--input", data_of(options, rows), "-k", k, "--init", "random", "--seed", options.seed, "--max-iters", options.iterations, "--backend",
        options.backend, "--no-labels", "--progress", "none", "--log", log, "--output", model]
        + shlex.split(options.fit_options)))
    events = support.read_log(log)
    begin, iterations, end = events[0], support.iterations_of(events), events[-1]
    check_begin(options, ranks, begin)
    seconds = [event["seconds"] for event in iterations]
    if len(seconds) < 2:
        raise support.Failed(f"a fit of {rows} rows with K = {k} ended after {len(seconds)} iteration; there is nothing to time")
    return {"seconds": statistics.median(seconds[1:]), "mean": statistics.fmean(seconds), "all": seconds,
            "verified": statistics.fmean(event["verified"] for event in iterations[1:]) / rows, "iterations": len(seconds),
            "parts": parts_of(end, ranks), "gpu": begin.get("gpu"), "comm": begin.get("comm"), "exact": fingerprint(model)}


# ---- the grid ------------------------------------------------------------------------------------------------------


def grid(options):
    """[(mode, ranks, rows, k)] in the order of the table."""
    return [(mode, ranks, options.rows * (ranks if mode == "weak" else 1), k)
            for mode in options.mode for k in options.k for ranks in sorted(set(options.ranks))]


def measure(options, directory):
    """{(ranks, rows, k): [what run_fit() returns]}. A fit that both modes want is made once."""
    fits = list(dict.fromkeys(cell[1:] for cell in grid(options)))
    for rows in sorted({rows for _, rows, _ in fits}):
        data_of(options, rows)
    found = {fit: [] for fit in fits}
    expected = {}
    for repeat in range(options.repeats):
        for fit in fits[::1 if repeat % 2 == 0 else -1]:
            ranks, rows, k = fit
            run = run_fit(options, directory, *fit)
            print(f"{ranks} ranks, {rows} rows, K {k}: {run['seconds']:.4g} s", file=sys.stderr)
            others, first = expected.setdefault((rows, k), (ranks, run["exact"]))
            different = [name for name in EXACT if first[name] != run["exact"][name]]
            if different:
                raise support.Failed(f"{rows} rows, K = {k}: {', '.join(different)} of {ranks} ranks differ from those of {others}; "
                             "that is a defect of lloyd or of the machine, and nothing was written")
            found[fit].append(run)
    return found


def breakdown(runs):
    """Seconds per iteration of each part, the mean over ranks and iterations, the median over repeats: {name: seconds or None}.
    What is left of a mean iteration is "compute" where the log does not say how much that was, else "other"."""
    table = {name: [] for name in list(PARTS.values()) + ["compute", "other"]}
    for run in runs:
        one = {name: None if values is None else statistics.fmean(values) / run["iterations"]
               for name, values in run["parts"].items()}
        told = [value for value in one.values() if value is not None]
        rest = max(0.0, run["mean"] - sum(told)) if told else None
        untold = any(one[name] is None for name in COMPUTE)
        one["compute"], one["other"] = (rest, None) if untold else (None, rest)
        for name, value in one.items():
            table[name].append(value)
    return {name: None if any(value is None for value in values) else statistics.median(values) for name, values in table.items()}


def evaluate(options, found):
    """One row per cell of the grid. Speedup and efficiency are against the fewest ranks of the same mode and K."""
    rows_of_table, base = [], {}
    shared = {}
    for ranks, rows, k in found:
        shared[rows, k] = shared.get((rows, k), 0) + 1
    for mode, ranks, rows, k in grid(options):
        runs = found[ranks, rows, k]
        seconds = [run["seconds"] for run in runs]
        median = statistics.median(seconds)
        first_ranks, first = base.setdefault((mode, k), (ranks, median))
        more = ranks / first_ranks
        speedup = first / median * (more if mode == "weak" else 1)
        row = {"mode": mode, "type": options.type, "backend": options.backend, "rows": rows, "dim": options.dim, "k": k,
               "ranks": ranks, "threads": options.threads, "repeats": len(runs), "iterations": runs[0]["iterations"],
               "seconds": median, "lowest": min(seconds), "highest": max(seconds), "speedup": speedup,
               "efficiency": speedup / more, "mean": statistics.median(run["mean"] for run in runs), **breakdown(runs),
               "verified": runs[0]["verified"],
               # of one number of ranks alone, only the repeats were compared
               "equal": "ranks" if shared[rows, k] > 1 else "repeats" if len(runs) > 1 else "not compared",
               "all_seconds": [run["all"] for run in runs], "parts": [run["parts"] for run in runs], "gpu": runs[0]["gpu"],
               "comm": runs[0]["comm"], "sha256": runs[0]["exact"]}
        rows_of_table.append(row)
    return rows_of_table


# ---- what comes out ------------------------------------------------------------------------------------------------


def first_line(command):
    try:
        return support.run(command).strip().splitlines()[0]
    except (support.Failed, IndexError):
        return None


def about(options, results):
    import matplotlib

    return {**support.how(),
            "versions": {"lloyd": first_line([options.lloyd, "--version"]),
                         "launcher": first_line(shlex.split(options.mpirun)[:1] + ["--version"]),
                         "python": platform.python_version(), "numpy": np.__version__, "h5py": h5py.__version__,
                         "matplotlib": matplotlib.__version__},
            "machine": {"cpu": support.cpu_name(), "cores": os.cpu_count(), "system": platform.system() + " " + platform.release(),
                        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
                        "load": os.getloadavg()[0], "gpu": results[0]["gpu"], "comm": results[-1]["comm"]},
            "settings": {name: getattr(options, name) for name in
                         ("rows", "dim", "k", "ranks", "mode", "type", "backend", "threads", "iterations", "repeats", "clusters",
                          "seed", "mpirun", "fit_options")}}


def milliseconds(value):
    return "-" if value is None else f"{1e3 * value:.3f}"


def print_table(results):
    names = ["io", "assign", "verify", "update", "compute", "idle", "all_reduce", "other"]
    print(f"\n{'mode':<6} {'rows':>13} {'K':>8} {'ranks':>5} {'ms/iter':>10} {'lowest':>10} {'highest':>10} {'speedup':>8} "
          f"{'eff.':>6} |" + "".join(f" {name:>10}" for name in names) + " | equal")
    for row in results:
        print(f"{row['mode']:<6} {row['rows']:>13,} {row['k']:>8} {row['ranks']:>5} {milliseconds(row['seconds']):>10} "
              f"{milliseconds(row['lowest']):>10} {milliseconds(row['highest']):>10} {row['speedup']:>8.3f} "
              f"{row['efficiency']:>6.3f} |" + "".join(f" {milliseconds(row[name]):>10}" for name in names) + f" | {row['equal']}")


def write_files(options, results, facts):
    with open(os.path.join(options.out, "scaling.csv"), "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for row in results:
            table.writerow({name: "" if row[name] is None else f"{row[name]:.6g}" if isinstance(row[name], float) else row[name]
                            for name in COLUMNS})
    support.write_json(os.path.join(options.out, "scaling.json"), dict(facts, results=results))


def title(options, facts):
    machine = facts["machine"]["gpu"] or facts["machine"]["cpu"]
    return (f"{options.dim} columns of {options.type}, {options.backend}, {options.threads} "
            f"thread{'s' if options.threads > 1 else ''} per rank\n{machine}, {facts['date']}")


def lines_of(results):
    """{(mode, K): its rows}"""
    lines = {}
    for row in results:
        lines.setdefault((row["mode"], row["k"]), []).append(row)
    return lines


def draw_curves(plt, options, results, facts, name, label):
    figure, axes = plt.subplots(figsize=(6.4, 4.4))
    ranks = sorted({row["ranks"] for row in results})
    for number, ((mode, k), rows) in enumerate(lines_of(results).items()):
        axes.plot([row["ranks"] for row in rows], [row[name] for row in rows], "o-" if mode == "strong" else "s--",
                  color=f"C{number % 10}", label=f"{mode}, {options.rows:,} rows{' per rank' if mode == 'weak' else ''}, K = {k:,}")
    ideal = [count / ranks[0] for count in ranks] if name == "speedup" else [1] * len(ranks)
    axes.plot(ranks, ideal, ":", color="black", label="ideal")
    axes.set_xscale("log", base=2)
    axes.set_xticks(ranks, [str(count) for count in ranks])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("ranks")
    axes.set_ylabel(label)
    axes.set_title(title(options, facts), fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save(plt, figure, options, f"scaling-{name}.png")


def draw_breakdown(plt, options, results, facts):
    names = ["assign", "verify", "update", "compute", "io", "idle", "all_reduce", "other"]
    figure, axes = plt.subplots(figsize=(max(6.4, 0.55 * len(results) + 2), 4.8))
    ticks = [f"{row['mode']}\nK {row['k']}\n{row['ranks']}" for row in results]
    bottom = np.zeros(len(results))
    for name in names:
        heights = np.array([1e3 * row[name] if row[name] is not None else 0.0 for row in results])
        if heights.any():
            axes.bar(range(len(results)), heights, bottom=bottom, color=COLOURS[name], label=name.replace("_", "-"))
            bottom += heights
    untold = [1e3 * row["mean"] if not at else 0.0 for row, at in zip(results, bottom)]
    if any(untold):
        axes.bar(range(len(results)), untold, color="white", edgecolor="black", hatch="//",
                 label="iteration (its log has no parts)")
    axes.set_xticks(range(len(results)), ticks, fontsize=8)
    axes.set_xlabel("mode, K, ranks")
    axes.set_ylabel("ms of a mean iteration, mean over ranks")
    axes.set_title(title(options, facts), fontsize=9)
    axes.legend(fontsize=8)
    save(plt, figure, options, "scaling-breakdown.png")


def save(plt, figure, options, name):
    figure.tight_layout()
    figure.savefig(os.path.join(options.out, name), dpi=100)
    plt.close(figure)


def draw(options, results, facts):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    draw_curves(plt, options, results, facts, "speedup", "speedup (weak: in rows per second)")
    draw_curves(plt, options, results, facts, "efficiency", "efficiency")
    draw_breakdown(plt, options, results, facts)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lloyd", default="build/release/lloyd")
    parser.add_argument("--mpirun", default="mpirun", help="what starts ranks, with its options; -n RANKS is added (default mpirun)")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--mode", nargs="+", choices=("strong", "weak"), default=["strong", "weak"])
    parser.add_argument("--rows", type=int, required=True, help="in all (strong), of each rank (weak)")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("-k", type=int, nargs="+", default=[1024])
    parser.add_argument("--type", choices=("float32", "float16", "bfloat16", "uint8", "int8"), default="uint8")
    parser.add_argument("--backend", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of each rank (default 1)")
    parser.add_argument("--iterations", type=int, default=6, help="of each fit; the first is not counted (default 6)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clusters", type=int, default=1000, help="of the synthetic rows (default 1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fit-options", default="", help="more options of lloyd fit, in one word")
    parser.add_argument("--data", help="folder of the synthetic rows, which all ranks see (default OUT)")
    parser.add_argument("--out", required=True, help="folder of the results")
    options = parser.parse_args()
    if min(options.ranks + options.k + [options.rows, options.dim, options.threads, options.repeats, options.clusters]) < 1:
        parser.error("numbers must be at least 1")
    if options.iterations < 2:
        parser.error("--iterations must be at least 2: the first is not counted")
    options.mode = list(dict.fromkeys(options.mode))
    options.k = list(dict.fromkeys(options.k))
    options.data = options.data or options.out
    if "/" in options.lloyd:
        options.lloyd = os.path.abspath(options.lloyd)
    return options


def main():
    options = parse()
    for folder in (options.out, options.data):
        os.makedirs(folder, exist_ok=True)
    cores = os.cpu_count() or 1
    if options.backend == "cpu" and max(options.ranks) * options.threads > cores and not shlex.split(options.mpirun)[1:]:
        print(f"scaling.py: {max(options.ranks)} ranks of {options.threads} threads on {cores} cores, unless there are more nodes",
              file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="scaling-", dir=options.out) as directory:  # where all ranks see the models
        results = evaluate(options, measure(options, directory))
    facts = about(options, results)
    machine = facts["machine"]
    print(f"{facts['versions']['lloyd']}; {facts['date']}; {machine['gpu'] or machine['cpu']}, {machine['cores']} cores; "
          f"{options.dim} columns of {options.type}, {options.backend}, {options.threads} threads per rank")
    print(f"medians of {options.repeats} fits, of each the median of its iterations but the first; parts are of a mean iteration")
    print_table(results)
    write_files(options, results, facts)
    draw(options, results, facts)
    print(f"\nscaling.csv, scaling.json and plots are in {options.out}")


if __name__ == "__main__":
    support.main(main)
