"""The program on GPUs gives the models and labels it gives on CPUs, bit for bit.

Every job runs once with --backend cpu; all ways of running it with --backend cuda must give the same datasets and the same
final inertia. With --ranks R, also on R GPUs, the sums carried by NCCL and by MPI. Exit status 77 if lloyd sees no GPU.

    python3 tests/e2e tests/gpu/e2e_cuda.py --lloyd build/lloyd --reference none --data tests/data [--ranks 2] [--full-data sift-photos-200k.h5] [--quick]
                [--parallel P]

Much of the time goes to starting processes, so groups of jobs run side by side, on the same GPU.
"""
import concurrent.futures
import itertools
import os
import re
import shutil
import time

import h5py
import numpy as np

import data
from common import EXACT, Test, attribute, differences, log_events

NUMBERS = ("inertia", "iterations", "converged", "n", "d", "k")
PREDICTED = ("/labels", "/distances", "/members", "/offsets", "/second/labels", "/second/distances")
CORES = min(16, len(os.sched_getaffinity(0)))


class GpuTest(Test):
    def __init__(self):
        def more(parser):
            parser.add_argument("--ranks", type=int, default=1, help="GPUs to use at a time")
            parser.add_argument("--full-data", help="sift-photos-200k.h5")
            parser.add_argument("--parallel", type=int, default=4, help="groups of jobs that run side by side")

        super().__init__("cuda", more)
        self.ranks = self.options.ranks
        self.numbers = itertools.count()
        self.threads = CORES

    def on(self, backend, source, output, *arguments, **more):
        return self.fit(source, output, *arguments, "--backend", backend, "--progress", "none", threads=self.threads, **more)

    def at_once(self, *groups):
        """Calls all of these functions, some at a time."""
        self.threads = max(1, CORES // self.options.parallel)
        with concurrent.futures.ThreadPoolExecutor(self.options.parallel) as pool:
            for done in [pool.submit(*group) for group in groups]:
                done.result()
        self.threads = CORES

    def check_model(self, what, one, other, names=EXACT):
        """check_same(), and the numbers among the attributes."""
        if one is None or other is None:
            return self.check(False, what, "      (a run before this failed)")
        found = differences(one, other, names)
        for name in NUMBERS:
            x, y = attribute(one, name), attribute(other, name)
            if np.asarray(x).tobytes() != np.asarray(y).tobytes():
                found += f"\n      attribute {name}: {x!r} and {y!r}"
        return self.check(not found, what, found)

    def job(self, name, source, options, ways=((),), copies=()):
        """One job: on the CPU from `source`; on a GPU from there with every one of these options, and from every copy.
        Returns the CPU's model."""
        job = next(self.numbers)
        began = time.time()
        base = self.on("cpu", source, f"job{job}-cpu.h5", *options)
        if base is None:
            return None
        seconds = time.time() - began
        runs = [(" ".join(map(str, way)), source, way) for way in ways] + [(s, path, ()) for s, path in copies]
        for number, (text, path, way) in enumerate(runs):
            began = time.time()
            other = self.on("cuda", path, f"job{job}-{number}.h5", *options, *way)
            took = f"{seconds:.1f} s, {time.time() - began:.1f} s"
            if self.check_model(f"{name}{', ' if text else ''}{text} ({took})", base, other):
                os.remove(other)
        return base

    def predict(self, name, source, model, ranks=1):
        """Labels, distances, members and the second-nearest centroids, from CPU and GPU."""
        paths, job = [], next(self.numbers)
        for backend, count in (("cpu", 1), ("cuda", ranks)):
            paths.append(self.path(f"predicted{job}-{backend}.h5"))
            result = self.lloyd("predict", "--model", model, "--input", source, "--output", paths[-1], "--distances", "--members",
                                "--second", "--backend", backend, threads=self.threads, ranks=count)
            if result.status != 0:
                self.check(False, f"predict {name}: {backend} ends with 0", result.describe())
                return
        self.check_same(f"predict {name}", *paths, PREDICTED)


def dataset(path):
    with h5py.File(path, "r") as file:
        return file["train"][()]


def random_weights(n):
    weights = np.random.default_rng(5).uniform(0, 3, n).astype(np.float32)
    weights[::17] = 0
    return weights


# ---- jobs ------------------------------------------------------------------------------------------------------------

def with_options(t, name, x, k, chunk):
    """Every option on one dataset, resident and streamed."""
    folder = t.path(name)
    os.mkdir(folder)
    weighted = data.write(os.path.join(folder, "x.h5"), x, weights=random_weights(len(x)))
    common = ("-k", k, "--seed", 7, "--max-iters", 8)
    both = ((), ("--chunk-rows", chunk))
    ways = both if not t.quick else both[1:]

    for init in ("random", "kmeans++", "kmeans-parallel"):
        t.job(f"{name} {init}", weighted, common + ("--init", init), ways)
    t.job(f"{name} kmeans++ weights", weighted, common + ("--init", "kmeans++", "--weights", "weights"), ways)
    t.job(f"{name} kmeans-parallel weights cosine", weighted,
          common + ("--init", "kmeans-parallel", "--weights", "weights", "--metric", "cosine"), ways)
    t.job(f"{name} cosine", weighted, common + ("--metric", "cosine"), ways)
    t.job(f"{name} weights", weighted, common + ("--weights", "weights"), ways)
    t.job(f"{name} n-init 2", weighted, common + ("--n-init", 2, "--init", "kmeans++"), ways)
    t.job(f"{name} tol", weighted, common + ("--tol", 0.02), ways[:1])
    t.job(f"{name} max size", weighted, common + ("--max-size", 1.1, "--weights", "weights"), ways)
    t.job(f"{name} max size cosine", weighted, common + ("--max-size", 1, "--metric", "cosine"), ways)
    t.job(f"{name} no iteration", weighted, common[:4] + ("--max-iters", 0), ways[:1])
    t.job(f"{name} until it converges", weighted, ("-k", 4, "--max-iters", 200), ways[:1])
    many_empty(t, name, folder, x, weighted, k, common, ways)


def seedings(t, sift):
    """Samples, and candidates in several leaves, which a GPU reduces at a time, or the host where the GPU has little memory."""
    folder = t.path("seedings")
    os.mkdir(folder)
    x = np.random.default_rng(3).standard_normal((60000, 21)).astype(np.float16)
    many = data.write(os.path.join(folder, "many.h5"), x, dtype="<f2")
    parts = [data.write(os.path.join(folder, f"part-{i}.h5"), rows, dtype="<f2") for i, rows in enumerate(np.array_split(x, 7))]
    options = ("-k", 6000, "--seed", 11, "--max-iters", 1, "--init", "kmeans-parallel")
    base = t.job("seeding in leaves", many, options, ((), ("--chunk-rows", 7001), ("--max-device-memory", "1G")),
                 [("seven files", os.path.join(os.path.dirname(parts[0]), "part-*.h5"))])
    if base and t.ranks > 1:
        for comm in ("nccl", "mpi"):
            other = t.on("cuda", many, "leaves-several.h5", *options, "--comm", comm, ranks=t.ranks)
            t.check_model(f"seeding in leaves: {t.ranks} GPUs, {comm}", base, other)
    weighted = data.write(os.path.join(folder, "x.h5"), sift, weights=random_weights(len(sift)))
    for init in ("kmeans-parallel", "kmeans++"):
        for more in ((), ("--metric", "cosine"), ("--weights", "weights"), ("--init-trials", 1)):
            options = ("-k", 50, "--seed", 5, "--max-iters", 2, "--init", init, "--init-sample", 3001, *more)
            base = t.job(f"sample, {init} {' '.join(map(str, more))}".rstrip(), weighted, options, ((), ("--chunk-rows", 3331), ("--chunk-rows", 70)))
            if base and t.ranks > 1:
                other = t.on("cuda", weighted, "sample-several.h5", *options, ranks=t.ranks)
                t.check_model(f"sample, {init} {' '.join(map(str, more))}: {t.ranks} GPUs", base, other)


def many_empty(t, name, folder, x, source, k, common, ways):
    """Half of the centroids where no row is nearest, some of them twice: empty clusters in the first pass."""
    start = x[:k].astype(np.float32)
    start[k // 2:] += 1e6
    start[k // 4] = start[0]
    init = data.centroids(os.path.join(folder, "start.h5"), start)
    for empty in ("relocate", "keep"):
        t.job(f"{name} {empty} empty", source, common + ("--init", init, "--empty", empty), ways)
    t.job(f"{name} relocate empty weights", source,
          common + ("--init", init, "--empty", "relocate", "--weights", "weights"), ways)
    t.job(f"{name} relocate empty cosine", source, common + ("--init", init, "--metric", "cosine"), ways)


def many_k(t, name, source, ks, chunk):
    """Several numbers of clusters, random and from the first of them."""
    for k in ks:
        t.job(f"{name} K {k}", source, ("-k", k, "--seed", 3, "--max-iters", 5), ((), ("--chunk-rows", chunk)))


def stored_types(t, name, x, k):
    """The same values in every type that holds them."""
    folder = t.path(f"{name}-types")
    os.mkdir(folder)
    types = ["<f4", "<f2", "bfloat16", "u1", "<f8", ">f4"] + (["i1"] if x.max() <= 127 else [])
    sources = [(kind, data.write(os.path.join(folder, f"{kind.strip('<>')}-{kind[0] == '>'}.h5"), x, dtype=kind))
               for kind in types]
    for options in ((), ("--metric", "cosine")):
        t.job(f"{name} {' '.join(options)} as", sources[0][1], ("-k", k, "--seed", 5, "--max-iters", 6) + options,
              ways=(), copies=sources)


def rounded_types(t):
    """Values that differ by type: each type against itself."""
    x = data.gaussian(4001, 96, 11, centres=40)
    for kind in ("<f4", "<f2", "bfloat16"):
        source = data.write(t.path(f"rounded-{kind.strip('<')}.h5"), x, dtype=kind)
        t.job(f"gaussian {kind}", source, ("-k", 100, "--max-iters", 6), ((), ("--chunk-rows", 777)))
    signed = data.write(t.path("signed.h5"), np.clip(np.rint(40 * x), -128, 127).astype(np.int8))
    t.job("gaussian int8", signed, ("-k", 100, "--max-iters", 6), ((), ("--chunk-rows", 777)))


def pruned(t, sift):
    """Iterations that leave out what bounds rule out, and others, by each way to keep rows; the log says that some were left out."""
    on, off = ("--prune", "on"), ("--prune", "off")
    ways = (on, off, on + ("--chunk-rows", 3331), on + ("--filter", "int8"))
    kinds = {"uint8": sift, "float16": (sift / 16).astype(np.float16), "float32": sift + np.float32(0.37),
             "ties": data.lattice(20000, 24, 3, 5), "tight": data.duplicated(20000, 100, 700, 6),
             "outlier": data.outlier(20000, 130, 7), "offset": sift.astype(np.float32) + np.float32(5000)}
    for name, x in kinds.items():
        source = data.write(t.path(f"pruned-{name}.h5"), x, weights=random_weights(len(x)))
        for options in ((), ("--metric", "cosine"), ("--weights", "weights"), ("--empty", "keep"), ("--init", "kmeans++")):
            t.job(f"pruned {name} {' '.join(options)}".rstrip(), source, ("-k", 600, "--max-iters", 12) + options, ways)
    log, source = t.path("pruned.jsonl"), t.data("sift-20k.h5")
    if t.on("cuda", source, "pruned.h5", "-k", 600, "--max-iters", 12, *on, "--log", log):
        steps = [event for event in log_events(log) if event["event"] == "iteration"]
        shares = [step["compared"] / (step["pruned"] * 600) for step in steps if step["pruned"] > 0]
        # There are 32 rows or more to a centroid: the distances between centroids rule some groups out at once.
        good = len(shares) == len(steps) - 1 and shares[0] < 1 and shares[-1] < 0.7
        t.check(good, "the log says what share of the comparisons was made", f"      {shares}")
        t.check(not any(step["not_copied"] for step in steps), "rows that stay on the GPU are not said to be left out")
    left_out(t, source, log)


def left_out(t, source, log):
    """Rows that come from the host in every iteration and keep their labels for certain are not copied."""
    options = ("-k", 600, "--max-iters", 60, "--empty", "relocate", "--log", log)
    base = t.on("cuda", source, "left-out-base.h5", *options, "--prune", "off")
    for more in (("--chunk-rows", 777), ("--chunk-rows", 3331)):
        open(log, "w", encoding="utf-8").close()
        model = t.on("cuda", source, "left-out.h5", *options, "--prune", "on", *more)
        t.check_model(f"rows that are left out, {' '.join(map(str, more))}", base, model)
        counts = [event["not_copied"] for event in log_events(log) if event["event"] == "iteration"]
        good = model and len(counts) > 10 and not any(counts[:3]) and all(counts[3:]) and max(counts) > 10000
        t.check(good, f"many rows are not copied, {' '.join(map(str, more))}", f"      {counts}")


def many_clusters(t):
    """Distances between more centroids than are compared with each other at a time, in groups of several tiles: large ones, whose centroids
    have one digit, and smaller ones."""
    for clusters, columns in ((66000, 80), (40000, 16)):
        rows, log = clusters * 33, t.path("many-clusters.jsonl")
        x = np.random.default_rng(9).integers(0, 256, (clusters // 8, columns), dtype=np.uint8)
        draw = np.random.default_rng(10)
        x = x[draw.integers(0, len(x), rows)] ^ draw.integers(0, 16, (rows, columns), dtype=np.uint8)
        source = data.write(t.path("many-clusters.h5"), x)
        models = {way: t.on("cuda", source, f"many-clusters-{way}.h5", "-k", clusters, "--init", "random", "--max-iters", 5, "--prune", way,
                            "--log", log) for way in ("off", "on")}
        t.check_model(f"{rows} rows in {clusters} clusters, pruned", models["off"], models["on"])
        pruned = [event["compared"] / (event["pruned"] * clusters) for event in log_events(log) if event.get("pruned")]
        t.check(len(pruned) == 4 and pruned[0] < 0.5, f"distances between {clusters} centroids rule out most groups", f"      {pruned}")
        os.remove(log)


def shapes(t):
    """Numbers of columns that are a multiple of nothing, and large ones."""
    for n, d, k in ((5003, 1, 20), (5003, 2, 60), (3001, 17, 100), (2003, 257, 64), (2003, 768, 200), (1501, 1536, 300),
                    (501, 4097, 70)):
        source = data.write(t.path(f"shape-{d}.h5"), data.gaussian(n, d, d, centres=20))
        base = t.job(f"{n} x {d}", source, ("-k", k, "--max-iters", 5, "--init", "kmeans-parallel"),
                     ((), ("--chunk-rows", 401)))
        if base and d in (1, 257):
            t.predict(f"{n} x {d}", source, base)
        os.remove(source)


def difficult(t):
    """Ties, duplicates, magnitudes, outliers."""
    kinds = {
        "lattice": data.lattice(3001, 3, 6, 1),
        "wide lattice": data.lattice(1501, 40, 3, 2),
        "duplicates": data.duplicated(3001, 24, 90, 3),
        "mixed magnitudes": data.mixed_magnitudes(2001, 60, 4),
        "outlier": data.outlier(2001, 33, 5),
        "subnormal": data.subnormal(2001, 16, 6),
        "near the largest": data.near_largest(1001, 12, 7),
        "offset": data.gaussian(3001, 32, 8) * np.float32(1e-3) + np.float32(1000),
        "constant": np.full((700, 9), 3.25, np.float32),
        "zeros": np.zeros((700, 130), np.float32),
    }
    for name, x in kinds.items():
        source = data.write(t.path("difficult.h5"), x)
        for init in ("random", "kmeans++"):
            t.job(f"{name} {init}", source, ("-k", 70, "--max-iters", 6, "--init", init),
                  ((), ("--chunk-rows", 333)) if init == "random" else ((),))
    x, c = data.midpoints(3001, 50, 9)
    source = data.write(t.path("midpoints.h5"), x)
    init = data.centroids(t.path("midpoints-start.h5"), c)
    t.job("midpoints", source, ("-k", len(c), "--max-iters", 4, "--init", init), ((), ("--chunk-rows", 100)))


def predictions(t):
    sift, digits = t.data("sift-20k.h5"), t.data("digits.h5")
    for name, source, options in (("digits", digits, ("-k", 10)), ("sift", sift, ("-k", 500)), ("sift K 3", sift, ("-k", 3)),
                                  ("sift cosine", sift, ("-k", 77, "--metric", "cosine"))):
        model = t.on("cpu", source, "to-predict.h5", *options, "--max-iters", 3)
        if model:
            t.predict(name, source, model)
    if t.quick:
        return
    # More than one chunk of predict.
    large = data.write(t.path("large.h5"), data.gaussian(12001, 1536, 1))
    model = t.on("cpu", large, "large-model.h5", "-k", 50, "--max-iters", 1)
    if model:
        t.predict("12001 x 1536", large, model)
    os.remove(large)


def files(t, sift):
    """Several files, chunked and compressed storage."""
    folder = t.path("files")
    os.mkdir(folder)
    copies = data.copies(folder, sift[:6001])
    options = ("-k", 60, "--max-iters", 5)
    base = t.on("cpu", copies["uint8"], "files-cpu.h5", *options)
    for storage in ("seven files, listed", "seven files, glob", "deflate", "virtual", "big-endian float16"):
        for way in ((), ("--chunk-rows", 999)):
            other = t.on("cuda", copies[storage], "files-cuda.h5", *options, *way)
            t.check_model(f"{storage} {' '.join(map(str, way))}", base, other)


# ---- rows in three places --------------------------------------------------------------------------------------------


def planned(t, source, *options):
    """({place: rows}, bytes on the host, bytes on the GPU) of one rank, from --dry-run."""
    result = t.lloyd("fit", "--input", source, "--output", t.path("plan.h5"), "--backend", "cuda", "--dry-run", *options)
    text = result.out.replace(",", "")
    places = re.search(r"rows +(\d+) stay in GPU memory (\d+) in host memory (\d+) are read", text)
    needs = re.search(r"rank 0 .* ([0-9.]+) MB on its GPU .*\((\d+) bytes\)", text)
    if not t.check(needs, "--dry-run shows the memory", result.describe()):
        return {}, 0, 0
    found = dict(zip(("gpu", "host", "files"), map(int, places.groups()))) if places else {}
    return found, int(needs.group(2)), int(float(needs.group(1)) * 1e6)


def limits(t, source, rows, row_bytes, *options):
    """Options that leave a third of the rows on the GPU and the rest on the host; a third each on GPU, host and in the
    files; hardly any on the GPU; hardly any anywhere. --dry-run must say so."""
    small = ("--chunk-rows", (1 << 18) // row_bytes)
    least = planned(t, source, *options, *small)[2]
    slack, all_bytes = 8 << 20, rows * row_bytes
    share = all_bytes // 3
    # With little memory on the GPU the host reduces the candidates of kmeans-parallel, and needs more. Pinning and the driver need some
    # memory of their own: the host's share is generous.
    little, more = ("--max-device-memory", least + slack), ("--max-device-memory", least + slack + share)
    needed = {limit: planned(t, source, *options, *small, *limit)[1] + 4 * slack for limit in (little, more)}
    ways = {"gpu host": more, "gpu host files": (*more, "--max-host-memory", needed[more] + share),
            "host": little, "files": (*little, "--max-host-memory", needed[little])}
    for name, way in ways.items():
        places, _, gpu = planned(t, source, *options, *way)
        kept = {place for place, count in places.items() if count > 0.15 * rows}
        t.check(kept == set(name.split()) and gpu <= way[1] + 50_000, f"rows of {os.path.basename(source)} in {name}: {places}")
    return tuple(ways.values())


def homes(t):
    """Datasets three times larger than what --max-device-memory leaves for rows: the rest on the host, in the files, both."""
    rows = 3_000_000
    for kind, count in (("uint8", rows), ("float32", rows // 4))[:1 if t.quick else 2]:
        source = t.path(f"homes-{kind}.h5")
        made = t.lloyd("synth", "--rows", count, "--dim", 128, "--clusters", 300, "--type", kind, "--seed", 4,
                       "--output", source)
        if not t.check(made.status == 0, f"synth {kind}", made.describe()):
            return
        with h5py.File(source, "r+") as file:
            file["weights"] = random_weights(count)
        common = ("-k", 200, "--seed", 2, "--max-iters", 4)
        ways = limits(t, source, count, 128 * (1 if kind == "uint8" else 4), *common)
        t.job(f"{kind} random", source, common, ((),) + ways)
        for options in (("--init", "kmeans-parallel", "--metric", "cosine"), ("--weights", "weights"), ("--n-init", 2)):
            more = common + options
            t.job(f"{kind} {' '.join(map(str, options))}", source, more,
                  limits(t, source, count, 128 * (1 if kind == "uint8" else 4), *more)[1:])
        os.remove(source)


def beside_rows(t):
    """With many clusters, what the 8-bit filter and bounds of groups need takes the place of rows that are copied in every iteration."""
    for what, kind, rows, k, room, expected in (("filter", "uint8", 400_000, 16384, 64, None), ("codes", "float16", 1_000_000, 32768, 150, None),
                                                ("bounds", "float32", 1_000_000, 65536, 350, 1024)):
        source, log = t.path(f"{what}-beside.h5"), t.path(f"{what}-beside.jsonl")
        made = t.lloyd("synth", "--rows", rows, "--dim", 128, "--clusters", 4000, "--type", kind, "--seed", 5, "--output", source)
        if not t.check(made.status == 0, f"{rows} rows are made", made.describe()):
            return
        common = ("-k", k, "--init", "random", "--max-iters", 12)
        base = t.on("cuda", source, f"{what}-beside-base.h5", *common, "--filter", "float16")
        least = planned(t, source, *common, "--filter", "float16", "--chunk-rows", 2048)[2]
        limit = ("--max-device-memory", least + rows * room)
        result = t.lloyd("fit", "--input", source, "--output", t.path("plan.h5"), "--backend", "cuda", "--dry-run", *common, *limit)
        group = re.search(r"bounds, groups of (\d+)", result.out)
        t.check((int(group.group(1)) if group else None) == expected and " in host memory" in result.out,
                f"{what} beside rows are planned", result.describe())
        model = t.on("cuda", source, f"{what}-beside-model.h5", *common, *limit, "--log", log)
        t.check_model(f"{what} beside rows", base, model)
        events = [event for event in log_events(log) if event["event"] == "iteration"] if model else []
        used = [event["pruned" if expected else "int8"] for event in events]
        t.check(any(used), f"{what} beside rows are used", f"      {used}")
        os.remove(source)


def choices(t):
    """What is chosen where nothing is asked for, and what is reported where too much is asked for."""
    digits = t.data("digits.h5")
    fit = ("fit", "--input", digits, "-k", 5, "--max-iters", 3, "--progress", "none")
    cpu = t.on("cpu", digits, "chosen-cpu.h5", "-k", 5, "--max-iters", 3)
    result = t.lloyd(*fit, "--output", t.path("chosen-auto.h5"))
    if t.check(result.status == 0, "--backend auto ends with 0", result.describe()):
        t.check(attribute(t.path("chosen-auto.h5"), "backend") == "cuda", "--backend auto takes the GPU")
        t.check_model("--backend auto", cpu, t.path("chosen-auto.h5"))

    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    result = t.lloyd(*fit, "--output", t.path("no-gpu.h5"))
    if t.check(result.status == 0, "no GPU visible: --backend auto ends with 0", result.describe()):
        t.check(attribute(t.path("no-gpu.h5"), "backend") == "cpu", "no GPU visible: --backend auto takes the CPU")
    refused(t, "no GPU visible: --backend cuda", t.lloyd(*fit, "--output", t.path("refused.h5"), "--backend", "cuda"),
            ("GPU", "--backend cpu"))
    os.environ["CUDA_VISIBLE_DEVICES"] = (hidden or "0").split(",")[0]
    for comm in ("auto", "mpi"):
        refused(t, f"two ranks, one GPU, --comm {comm}",
                t.lloyd(*fit, "--output", t.path("refused.h5"), "--backend", "cuda", "--comm", comm, ranks=2, timeout=120),
                ("GPU", "rank"))
    if hidden is None:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = hidden
    refused(t, "more ranks than GPUs",
            t.lloyd(*fit, "--output", t.path("refused.h5"), "--backend", "cuda", ranks=t.ranks + gpus_beyond(t),
                    timeout=120), ("GPU", "rank"))
    refused(t, "--comm nccl with --backend cpu",
            t.lloyd(*fit, "--output", t.path("refused.h5"), "--backend", "cpu", "--comm", "nccl"), ("--comm",))


def gpus_beyond(t):
    """One more than the GPUs that --ranks leaves unused."""
    listed = t.run([shutil.which("nvidia-smi") or "true", "-L"]).out
    return max(1, listed.count("GPU ") + 1 - t.ranks)


def refused(t, what, result, texts):
    """An exit status that is not 0, one message that says why, no output."""
    text = " ".join(result.messages)
    wrong = []
    if result.timed_out or result.status == 0:
        wrong.append("not refused")
    if len(result.messages) != 1:
        wrong.append(f"{len(result.messages)} messages, not one")
    wrong += [f"no word of {part}" for part in texts if part not in text]
    if os.path.exists(t.path("refused.h5")):
        wrong.append("an output was written")
        os.remove(t.path("refused.h5"))
    t.check(not wrong, f"{what}: {text[7:]}", "      " + "; ".join(wrong) + "\n" + result.describe())


# ---- several GPUs ----------------------------------------------------------------------------------------------------


def several_gpus(t, sift):
    """One GPU, several with either transport, and three CPU ranks: the same."""
    weights = random_weights(len(sift))
    source = data.write(t.path("ranks.h5"), sift, weights=weights)
    half = data.write(t.path("ranks-f16.h5"), sift, weights=weights, dtype="<f2")
    start = sift[:256].astype(np.float32)
    start[100:] += 1e6
    init = data.centroids(t.path("ranks-start.h5"), start)
    common = ("-k", 256, "--seed", 7, "--max-iters", 8)
    jobs = {
        "random": common,
        "kmeans++": ("-k", 40, "--max-iters", 5, "--init", "kmeans++"),
        "kmeans-parallel weights cosine": common + ("--init", "kmeans-parallel", "--weights", "weights",
                                                    "--metric", "cosine"),
        "weights": common + ("--weights", "weights"),
        "relocate empty": common + ("--init", init),
        "n-init": common + ("--n-init", 2),
        "K 3": ("-k", 3, "--max-iters", 8),
    }
    for name, options in jobs.items():
        one = t.on("cuda", source, "gpu-one.h5", *options)
        cpus = t.fit(source, "cpu-three.h5", *options, "--backend", "cpu", "--progress", "none", ranks=3,
                     threads=max(1, CORES // 3))
        t.check_model(f"{name}: three CPU ranks and one GPU", cpus, one)
        for comm in ("nccl", "mpi"):
            for path, way in ((source, ()), (half, ("--chunk-rows", 777))):
                other = t.on("cuda", path, "gpu-several.h5", *options, "--comm", comm, *way, ranks=t.ranks)
                text = f"{name}: {t.ranks} GPUs, {comm} {' '.join(map(str, way))}"
                if t.check_model(text.rstrip(), one, other):
                    os.remove(other)
    few = data.write(t.path("few.h5"), data.gaussian(1, 20, 3))
    one = t.on("cpu", few, "few-cpu.h5", "-k", 1)
    for comm in ("nccl", "mpi"):
        other = t.on("cuda", few, "few-cuda.h5", "-k", 1, "--comm", comm, ranks=t.ranks)
        t.check_model(f"a rank without rows: {t.ranks} GPUs, {comm}", one, other)
    model = t.on("cuda", source, "gpu-model.h5", "-k", 100, "--max-iters", 2)
    if model:
        t.predict(f"{t.ranks} GPUs", source, model, t.ranks)


def full_data(t, path):
    """The job the contract is shown on."""
    for k in (1024, 4096):
        options = ("-k", k, "--seed", 7, "--max-iters", 10)
        base = t.job(f"full data K {k}", path, options, ((), ("--chunk-rows", 33333)))
        if base and t.ranks > 1:
            for comm in ("nccl", "mpi"):
                other = t.on("cuda", path, "full-several.h5", *options, "--comm", comm, ranks=t.ranks)
                t.check_model(f"full data K {k}: {t.ranks} GPUs, {comm}", base, other)
    x = dataset(path)
    half = data.write(t.path("full-f16.h5"), x, dtype="<f2")
    t.job("full data float16, kmeans-parallel", half, ("-k", 1024, "--max-iters", 5, "--init", "kmeans-parallel"))
    os.remove(half)


def parts_of_iterations(t, ranks):
    """The log says where the GPUs' time went: no more than the iterations took, and most of it."""
    log, rows = t.path("parts.jsonl"), t.path("million.h5")  # a small fit is mostly start-up
    made = t.lloyd("synth", "--rows", 1000000, "--dim", 128, "--clusters", 300, "--type", "uint8", "--output", rows)
    if not t.check(made.status == 0, "a million rows are made", made.describe()):
        return
    for way in ((), ("--chunk-rows", 250000)):
        way += ("--prune", "off")  # so that the final assignment takes what an iteration's does
        text = f"{ranks} GPUs {' '.join(map(str, way))}".rstrip()
        if not t.on("cuda", rows, "parts.h5", "-k", 4096, "--max-iters", 5, "--log", log, *way, ranks=ranks):
            continue
        events = log_events(log)
        took = sum(event["seconds"] for event in events if event["event"] == "iteration")
        parts = events[-1].get("parts", {})
        told = [sum(values) for values in zip(*parts.values())]
        good = len(told) == ranks and all(0.2 * took < seconds < 1.02 * took for seconds in told)
        good = good and min(min(values) for values in parts.values()) >= 0 and min(parts["assign"] + parts["update"]) > 0
        t.check(good, f"{text}: the parts of {took:.4f} s", f"      {parts}")
        # It does what each iteration's assignment does, and a clock that did not wait for the GPU would not see it.
        final = [event["seconds"] for event in events if event.get("phase") == "final assignment"]
        t.check(len(final) == 1 and final[0] > 0.3 * parts["assign"][0] / 5, f"{text}: the final assignment took {final} s",
                f"      {parts}")
    os.remove(rows)


def main():
    t = GpuTest()
    t.skip_without_gpu()
    digits, sift = dataset(t.data("digits.h5")), dataset(t.data("sift-20k.h5"))
    choices(t)
    parts_of_iterations(t, 1)
    if t.ranks > 1:
        parts_of_iterations(t, t.ranks)
        several_gpus(t, sift)
        seedings(t, sift)
    if t.options.full_data:
        full_data(t, os.path.abspath(t.options.full_data))
    elif t.quick:
        t.at_once((with_options, t, "digits", digits, 20, 333), (predictions, t), (difficult, t), (pruned, t, sift))
        homes(t)
    else:
        t.at_once((with_options, t, "sift", sift, 256, 3331), (with_options, t, "digits", digits, 20, 333),
                  (difficult, t), (shapes, t), (pruned, t, sift), (many_clusters, t), (predictions, t),
                  *([(seedings, t, sift)] if t.ranks == 1 else []),
                  (many_k, t, "sift", t.data("sift-20k.h5"), (1, 3, 4, 5, 100, 1000, 4096), 7001),
                  (many_k, t, "digits", t.data("digits.h5"), (1, 2, 5, 64, 1000, len(digits)), 501),
                  *([(beside_rows, t)] if t.ranks == 1 else []), (stored_types, t, "sift", sift[:8001], 200), (stored_types, t, "digits", digits, 30),
                  (rounded_types, t), (files, t, sift))
        homes(t)
    t.finish()


if __name__ == "__main__":
    main()
