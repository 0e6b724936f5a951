#!/usr/bin/env python3
"""lloyd compared with its peers: same rows, same first centroids, same iterations, same machine.

    bench/peers.py --lloyd build/release/lloyd DATA.h5 [--json results.json] [--plot results.png]
    bench/peers.py --lloyd build/gpu/lloyd DATA.h5 --gpu [--ranks 2] [--flash PATH/TO/flash-kmeans] [...]

scikit-learn, faiss-cpu and SuperKMeans (not hierarchical, without early termination), on the same cores; with --gpu lloyd runs on
GPUs, and so do flash-kmeans, in float32 and float16, FlashLib (its CuTe DSL kernel after autotuning, in float16), cuVS and faiss. A
peer that is not installed is skipped, and how to install it is printed. SuperKMeans takes no first centroids: it begins with rows of
its own, so its inertia says how good its result is, not how exact.

Only the iterations count, not reading, seeding or writing: lloyd reports the seconds of each in /history/seconds, faiss
in its iteration statistics, and for the others the time of a short fit is subtracted from that of a long one. Every
measurement is a process of its own, so that no tool inherits another's threads; the tools run one after another, in the opposite
order in every second round, and the table shows medians. It checks while it times:

    wrong     rows whose label is not a nearest one of the tool's own final centroids, in double precision
    inertia   how far the inertia after the same number of updates is from lloyd's, which is exact
    equal     whether all runs gave bit-identical labels and centroids; of lloyd, on any ranks and threads
    to 1 %    seconds of iterations until the inertia is within 1 % of lloyd's last. The iterations are counted in
              lloyd's history, since all tools go through the same centroids but for rounding
    memory    peak resident memory while it iterates, the rows (and of Python tools the interpreter) included; of tools on GPUs,
              memory of the GPU: what lloyd plans, and the most that the peer has allocated, if it tells
"""
import argparse
import hashlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

import support

WARM = 1  # iterations of the short fit, which a peer's long one is measured against


LLOYD = "lloyd"


def rows_of(path):
    name, _, dataset = path.partition(":")
    with h5py.File(name, "r") as file:
        return file[dataset or "train"][()].astype(np.float32)


def first_centroids(x, k, path):
    """K distinct random rows, as a model that lloyd reads with --init."""
    unique = np.unique(x, axis=0)
    chosen = unique[np.random.default_rng(k).choice(len(unique), k, replace=False)]
    with h5py.File(path, "w") as file:
        file["centroids"] = chosen


def wrong_labels(x, centroids, labels):
    """How many labels are not those of a nearest centroid."""
    centroids = centroids.astype(np.float64)
    half, wrong = (centroids**2).sum(axis=1) / 2, 0
    for begin in range(0, len(x), 20000):
        rows, given = x[begin:begin + 20000].astype(np.float64), labels[begin:begin + 20000]
        nearest = (half - rows @ centroids.T).argmin(axis=1)
        for i in np.flatnonzero(nearest != given):  # it may be a tie
            far, near = (((rows[i] - centroids[k])**2).sum() for k in (given[i], nearest[i]))
            wrong += far > near
    return int(wrong)


def inertia_of(x, centroids, labels):
    """In double precision."""
    return sum(float(((x[at:at + 20000].astype(np.float64) - centroids[labels[at:at + 20000]])**2).sum())
               for at in range(0, len(x), 20000))


def quality(x, centroids, labels):
    """What a run can be compared by."""
    digest = hashlib.sha256(np.ascontiguousarray(centroids, np.float32).tobytes() + labels.astype(np.int32).tobytes())
    return {"wrong": wrong_labels(x, centroids, labels), "digest": digest.hexdigest()}


# ---- the peers, each in a process of its own ------------------------------------------------------------------------


def forget_peak():
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def peak_memory():
    with open("/proc/self/status", encoding="ascii") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def measure_sklearn(x, start, iterations):
    import sklearn
    from sklearn.cluster import KMeans

    def fit(count):
        model = KMeans(len(start), init=start, n_init=1, max_iter=count, tol=0, algorithm="lloyd", copy_x=False)
        began = time.perf_counter()
        model.fit(x)
        if model.n_iter_ != count:
            raise SystemExit(f"scikit-learn converged after {model.n_iter_} iterations; ask for fewer")
        return time.perf_counter() - began, model

    fit(WARM)
    short, _ = fit(WARM)
    forget_peak()
    long, model = fit(WARM + iterations)
    return {"seconds": (long - short) / iterations, "inertia": {str(WARM + iterations): float(model.inertia_)},
            "memory": peak_memory(), "version": sklearn.__version__, **quality(x, model.cluster_centers_, model.labels_)}


def measure_faiss(x, start, iterations, gpu=False):
    import faiss

    if gpu and faiss.get_num_gpus() == 0:
        raise ImportError("this faiss sees no GPU")
    faiss.omp_set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model = faiss.Kmeans(x.shape[1], len(start), niter=WARM + iterations + 1, nredo=1, min_points_per_centroid=1,
                         max_points_per_centroid=len(x), gpu=1 if gpu else False)
    forget_peak()
    model.train(x, init_centroids=start)
    memory = peak_memory()
    stamps = [stats["time"] for stats in model.iteration_stats]  # since the start of training
    seconds = np.diff([0.0] + stamps)
    # The objective of iteration t is that of the centroids after t updates.
    inertia = {str(t): float(stats["obj"]) for t, stats in enumerate(model.iteration_stats)}
    labels = model.index.search(x, 1)[1][:, 0]
    return {"seconds": float(np.median(seconds[WARM:])), "inertia": inertia, "memory": None if gpu else memory,
            "version": faiss.__version__, **quality(x, model.centroids, labels)}


def measure_superkmeans(x, start, iterations):
    """It begins with random rows of its own. Only the first iteration compares all rows with all centroids in full; the following
    ones are what the difference of two fits has."""
    import superkmeans

    def fit(count):
        model = superkmeans.SuperKMeans(len(start), x.shape[1], hierarchical=False, iters=count, early_termination=False, tol=0,
                                        sampling_fraction=1.0, max_points_per_cluster=len(x),
                                        n_threads=int(os.environ["OMP_NUM_THREADS"]))
        began = time.perf_counter()
        centroids = model.train(x)
        seconds = time.perf_counter() - began
        if len(model.iteration_stats) != count:
            raise SystemExit(f"SuperKMeans stopped after {len(model.iteration_stats)} iterations; ask for fewer")
        return seconds, model, centroids

    fit(WARM)
    short, _, _ = fit(WARM)
    forget_peak()
    long, model, centroids = fit(WARM + iterations)
    memory = peak_memory()
    labels = model.assign(x, centroids).astype(np.int64)
    return {"seconds": (long - short) / iterations, "inertia": {str(WARM + iterations): inertia_of(x, centroids, labels)},
            "memory": memory, "version": superkmeans.__version__, **quality(x, centroids, labels)}


def measure_on_torch(x, start, iterations, kind, load):
    """The centroids after the updates, and the labels that the peer finds for them. `load` imports the peer: (its version,
    fit(rows, first centroids, iterations) = centroids, assign(rows, centroids) = labels)."""
    import torch

    version, fit_on, assign = load()
    torch.backends.cuda.matmul.allow_tf32 = True
    rows, first = (torch.from_numpy(array).to("cuda", getattr(torch, kind))[None] for array in (x, start))

    def fit(count):
        torch.cuda.synchronize()
        began = time.perf_counter()
        centroids = fit_on(rows, first, count)
        torch.cuda.synchronize()
        return time.perf_counter() - began, centroids

    fit(WARM)
    torch.cuda.reset_peak_memory_stats()
    short, _ = fit(WARM)
    long, centroids = fit(WARM + iterations)
    memory = torch.cuda.max_memory_allocated()
    labels = assign(rows, centroids)[0].cpu().numpy()
    centroids = centroids[0].float().cpu().numpy()
    far = inertia_of(x, centroids, labels)
    return {"seconds": (long - short) / iterations, "inertia": {str(WARM + iterations): far}, "memory": memory,
            "version": version, **quality(x, centroids, labels)}


def load_flash_kmeans():
    import flash_kmeans
    from flash_kmeans.assign_euclid_triton import euclid_assign_triton
    from flash_kmeans.kmeans_triton_impl import batch_kmeans_Euclid

    return (getattr(flash_kmeans, "__version__", "unknown"),
            lambda x, c, count: batch_kmeans_Euclid(x, c.shape[1], max_iters=count, tol=-1.0, init_centroids=c)[1],
            lambda x, c: euclid_assign_triton(x, c, (x**2).sum(dim=-1)))


def load_flashlib():
    """Its CuTe DSL kernel, tuned to the shape in the first fit."""
    import importlib.metadata

    from flashlib.primitives.kmeans.cutedsl import assign, cutedsl_assign_euclid, cutedsl_info, cutedsl_kmeans_Euclid

    if not assign._try_init_cutedsl():
        raise ImportError(cutedsl_info())
    return (importlib.metadata.version("flashlib"),  # it writes to its first centroids
            lambda x, c, count: cutedsl_kmeans_Euclid(x, c.shape[1], max_iters=count, tol=-1.0, init_centroids=c.clone())[1],
            cutedsl_assign_euclid)


def measure_cuvs(x, start, iterations):
    """A fit ends with one more pass, for the inertia, which the difference of two fits leaves out."""
    import cupy
    import cuvs
    import rmm
    from cuvs.cluster.kmeans import KMeansParams, fit, predict
    from cuvs.common import Resources

    rmm.reinitialize(pool_allocator=True, initial_pool_size=2 << 30)  # else every temporary is a cudaMalloc
    resources = Resources()
    rows = cupy.asarray(x)

    def run(count):
        centroids = cupy.array(start)
        options = KMeansParams(n_clusters=len(start), init_method="Array", max_iter=count, tol=1e-50, n_init=1, metric="sqeuclidean")
        resources.sync()
        cupy.cuda.Device().synchronize()
        began = time.perf_counter()
        _, _, done = fit(options, rows, centroids=centroids, resources=resources)
        resources.sync()
        if done != count:
            raise SystemExit(f"cuVS stopped after {done} iterations; ask for fewer")
        return time.perf_counter() - began, centroids

    run(WARM)
    short, _ = run(WARM)
    long, centroids = run(WARM + iterations)
    labels = cupy.empty(len(x), dtype=cupy.int32)
    predict(KMeansParams(n_clusters=len(start)), rows, centroids, labels=labels, resources=resources)
    resources.sync()
    labels, centroids = cupy.asnumpy(labels), cupy.asnumpy(centroids)
    far = inertia_of(x, centroids, labels)
    return {"seconds": (long - short) / iterations, "inertia": {str(WARM + iterations): far}, "memory": None,
            "version": cuvs.__version__, **quality(x, centroids, labels)}


# {name in the table: function of rows, first centroids and iterations}
ON_CPUS = {"scikit-learn": measure_sklearn, "faiss-cpu": measure_faiss, "SuperKMeans, own start": measure_superkmeans}
ON_GPUS = {"flash-kmeans, float32": lambda *a: measure_on_torch(*a, "float32", load_flash_kmeans),
           "flash-kmeans, float16": lambda *a: measure_on_torch(*a, "float16", load_flash_kmeans),
           "FlashLib, float16": lambda *a: measure_on_torch(*a, "float16", load_flashlib),
           "cuVS": measure_cuvs, "faiss-gpu": lambda *a: measure_faiss(*a, gpu=True)}


def peer(arguments):
    x, start = rows_of(arguments.data), rows_of(arguments.init + ":centroids")
    try:
        print(json.dumps((ON_CPUS | ON_GPUS)[arguments.peer](x, start, arguments.iterations)))
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))


# ---- the benchmark -----------------------------------------------------------------------------------------------


def run_lloyd(arguments, init, k, ranks, threads, directory):
    model, log = os.path.join(directory, "model.h5"), os.path.join(directory, "fit.jsonl")
    command = [] if ranks == 1 else shlex.split(arguments.mpirun) + ["-n", str(ranks)]
    command += [arguments.lloyd, "fit", "--backend", "cuda" if arguments.gpu else "cpu", "--input", arguments.data, "-k", str(k), "--init", init,
                "--output", model, "--max-iters", str(WARM + arguments.iterations), "--progress", "none", "--log", log]
    support.run(command, support.environment(**support.threads_of(threads)))
    with h5py.File(model, "r") as file:
        seconds, history = file["history/seconds"][()], file["history/inertia"][()]
        inertia = {str(t): float(value) for t, value in enumerate(history)}
        inertia[str(len(history))] = float(file.attrs["inertia"])
        version = file.attrs["version"]
        found = quality(arguments.x, file["centroids"][()], file["labels"][()])
    events = support.read_log(log)
    memory = events[0]["gpu_memory"] * ranks if arguments.gpu else sum(events[-1]["memory_peak"])
    version = version.decode() if isinstance(version, bytes) else str(version)
    return {"seconds": float(np.median(seconds[WARM:])), "inertia": inertia, "memory": memory, "version": version, **found}


def run_peer(arguments, name, init, threads):
    command = [sys.executable, os.path.abspath(__file__), arguments.data, "--peer", name, "--init", init, "--iterations",
               str(arguments.iterations)]
    place = support.with_python_path(support.environment(**support.threads_of(threads)), arguments.flash)
    done = subprocess.run(command, check=False, env=place, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        return {"missing": f"it ended with status {done.returncode}"}
    return json.loads(done.stdout.strip().splitlines()[-1])  # after what its libraries print


def gpu_name():
    return support.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]).splitlines()[0]


def benchmark(arguments, directory):
    cores = arguments.cores
    x = arguments.x = rows_of(arguments.data)
    if arguments.gpu:
        ways = {f"lloyd, {ranks} GPU{'s' if ranks > 1 else ''}": (ranks, cores // ranks) for ranks in sorted({1, arguments.ranks})}
    else:
        ways = {f"lloyd, 1 rank x {cores} threads": (1, cores), f"lloyd, {cores} ranks x 1 thread": (cores, 1)}
    tools = {name: lambda init, k, way=way: run_lloyd(arguments, init, k, *way, directory) for name, way in ways.items()}
    others = ON_GPUS | ON_CPUS if arguments.gpu else ON_CPUS
    tools |= {name: lambda init, k, name=name: run_peer(arguments, name, init, cores) for name in others}
    tools = {name: tool for name, tool in tools.items() if not any(name.startswith(skipped) for skipped in arguments.skip)}
    results, versions = [], {}
    for k in arguments.k:
        init = os.path.join(directory, f"start-{k}.h5")
        first_centroids(x, k, init)
        found = {name: [] for name in tools}
        for repeat in range(arguments.repeats):
            for name in list(tools)[::1 if repeat % 2 == 0 else -1]:
                run = tools[name](init, k)
                if "missing" in run:
                    print(support.skipped(name, run["missing"]), file=sys.stderr)
                    del tools[name], found[name]
                    continue
                found[name].append(run)
                print(f"K {k}, {name}: {run['seconds']:.5f} s", file=sys.stderr)
        exact = next((runs[0]["inertia"] for name, runs in found.items() if name.startswith(LLOYD)), {})
        digests = {run["digest"] for name, runs in found.items() if name.startswith(LLOYD) for run in runs}
        if len(digests) > 1:
            raise support.Failed(f"K {k}: lloyd's runs differ; nothing of this is a result")
        reached = next((t for t in sorted(map(int, exact)) if exact[str(t)] <= 1.01 * min(exact.values())), None)
        for name, runs in found.items():
            versions[name.split(",")[0]] = runs[0]["version"]
            common = [t for t in runs[0]["inertia"] if t in exact]
            last = max(common, key=int) if common else None
            results.append({
                "k": k, "tool": name, "seconds": statistics.median(run["seconds"] for run in runs),
                "all_seconds": [run["seconds"] for run in runs], "updates": int(last) if last else None,
                "memory": max((run["memory"] for run in runs if run["memory"]), default=None), "wrong": max(run["wrong"] for run in runs),
                "equal": len({run["digest"] for run in runs}) == 1 if len(runs) > 1 else None,
                "iterations_to_1_percent": None if "own start" in name else reached,
                "inertia": runs[0]["inertia"][last] if last else None,
                "inertia_difference": runs[0]["inertia"][last] / exact[last] - 1 if last else None})
    return x.shape, results, versions


def best_of(results):
    """{K: lloyd's seconds}"""
    best = {}
    for row in results:
        if row["tool"].startswith(LLOYD):
            best[row["k"]] = min(row["seconds"], best.get(row["k"], np.inf))
    return best


def print_table(results, shape):
    n, d = shape
    print(f"\n{'K':>6}  {'tool':<26} {'s/iteration':>12} {'lowest':>9} {'highest':>9} {'x lloyd':>8} {'GFLOP/s':>8} {'to 1 %':>8} "
          f"{'wrong':>6} {'equal':>6} {'memory MB':>10} {'inertia - lloyd':>16}")
    best = best_of(results)
    for row in results:
        work = 2e-9 * n * d * row["k"] / row["seconds"]
        ratio = f"{row['seconds'] / best[row['k']]:8.2f}" if row["k"] in best else " " * 8
        difference = row["inertia_difference"]
        difference = "" if difference is None else f"{difference:+.1e}"
        equal = {True: "yes", False: "no", None: ""}[row["equal"]]
        reached = row["iterations_to_1_percent"]
        reached = "" if reached is None else f"{reached * row['seconds']:.3f}"
        memory = f"{row['memory'] / 1e6:.0f}" if row["memory"] else ""
        print(f"{row['k']:>6}  {row['tool']:<26} {row['seconds']:>12.5f} {min(row['all_seconds']):>9.5f} "
              f"{max(row['all_seconds']):>9.5f} {ratio} {work:>8.0f} {reached:>8} {row['wrong']:>6} {equal:>6} "
              f"{memory:>10} {difference:>16}")


def draw(results, about, path):
    """Seconds per iteration of every tool, with the lowest and the highest."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    counts = sorted({row["k"] for row in results})
    tools = list(dict.fromkeys(row["tool"] for row in results))
    figure, axes = plt.subplots(1, len(counts), figsize=(2.6 * len(counts) + 1.6, 3.4), layout="constrained", squeeze=False)
    for axis, k in zip(axes[0], counts):
        for position, tool in enumerate(tools):
            row = next((row for row in results if row["k"] == k and row["tool"] == tool), None)
            if row is None:
                continue
            middle = row["seconds"]
            spread = [[middle - min(row["all_seconds"])], [max(row["all_seconds"]) - middle]]
            axis.bar(position, middle, yerr=spread, capsize=3, color="#2166ac" if tool.startswith(LLOYD) else "#b0b0b0", label=tool)
        axis.set_title(f"K = {k:,}", fontsize=10)
        axis.set_xticks(range(len(tools)), [tool.replace(", ", ",\n") for tool in tools], rotation=60, ha="right", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("seconds per iteration")
    place = about["gpu"] or f"{about['cores']} cores"
    figure.suptitle(f"{about['rows']:,} x {about['columns']} ({about['data']}), {place}, {about['date']}", fontsize=10)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="FILE.h5[:DATASET], /train unless named")
    parser.add_argument("--lloyd", default="build/release/lloyd")
    parser.add_argument("--mpirun", default="mpirun --oversubscribe")
    parser.add_argument("-k", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--iterations", type=int, default=5, help="iterations that are timed (default 5)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--gpu", action="store_true", help="on GPUs")
    parser.add_argument("--ranks", type=int, default=1, help="with --gpu: lloyd on so many GPUs, too")
    parser.add_argument("--flash", help="with --gpu: the folder that holds the package flash_kmeans")
    parser.add_argument("--skip", nargs="*", default=[], help="tools to leave out, by the beginning of their names")
    parser.add_argument("--json", help="write everything there too")
    parser.add_argument("--plot", help="draw the seconds there (PNG or SVG; needs matplotlib)")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--init", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        peer(arguments)
        return
    with tempfile.TemporaryDirectory(prefix="lloyd-bench-") as directory:
        shape, results, versions = benchmark(arguments, directory)
    about = {"data": os.path.basename(arguments.data), "rows": shape[0], "columns": shape[1], "cpu": support.cpu_name(),
             "gpu": gpu_name() if arguments.gpu else None, "cores": arguments.cores, "versions": versions,
             "iterations": arguments.iterations, "repeats": arguments.repeats, **support.how()}
    place = f"{about['gpu']}, " if about["gpu"] else ""
    print(f"{about['data']}: {shape[0]} x {shape[1]}; {place}{about['cores']} cores of {about['cpu']}; {about['date']}")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"median of {arguments.repeats} runs of {arguments.iterations} iterations")
    print_table(results, shape)
    if arguments.plot:
        draw(results, about, arguments.plot)
    if arguments.json:
        support.write_json(arguments.json, dict(about, results=results))


if __name__ == "__main__":
    support.main(main)
