"""wrap, synth, info, predict, --dry-run, --log and the memory plan."""
import os
import re
import subprocess
import time

import h5py
import numpy as np

import data
from common import Test, attribute, environment, log_events, read

TYPES = {"float32": (np.float32, ".fbin"), "uint8": (np.uint8, ".u8bin"), "int8": (np.int8, ".i8bin")}


def write_bin(path, x, rows=None, columns=None):
    """The big-ann-benchmarks format: two 32-bit numbers, then the rows."""
    with open(path, "wb") as file:
        np.array([x.shape[0] if rows is None else rows, x.shape[1] if columns is None else columns], "<u4").tofile(file)
        x.tofile(file)
    return path


def integers(n, d, seed, dtype):
    low = -100 if dtype == np.int8 else 0
    return np.random.default_rng(seed).integers(low, 120, size=(n, d)).astype(dtype)


def read_wrapped(path):
    """Names of raw files are relative to the HDF5 file that points to them; HDF5 has to be told."""
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_efile_prefix(b"${ORIGIN}")
    with h5py.File(path, "r") as file:
        return h5py.Dataset(h5py.h5d.open(file.id, b"train", access))[()]


def wrapped(t):
    """A raw file behind an HDF5 file is the same data."""
    options = ("-k", 7, "--max-iters", 4)
    for dtype, ending in TYPES.values():
        x = integers(1503, 19, 1, dtype)
        kind = np.dtype(dtype).name
        usual = t.fit(data.write(t.path(f"usual-{kind}.h5"), x), f"usual-{kind}-model.h5", *options)
        raws = {f"raw-{kind}{ending}": None, f"raw-{kind}.npy": None}
        write_bin(t.path(f"raw-{kind}{ending}"), x)
        np.save(t.path(f"raw-{kind}.npy"), x)
        for raw in raws:
            size = os.path.getsize(t.path(raw))
            result = t.lloyd("wrap", t.path(raw), "--output", t.path(raw + ".h5"))
            if not t.check(result.status == 0, f"wrap {raw}", result.describe()):
                continue
            with h5py.File(t.path(raw + ".h5"), "r") as file:
                t.check(file["train"].external is not None, f"wrap {raw}: external storage")
            t.check(np.array_equal(read_wrapped(t.path(raw + ".h5")), x), f"wrap {raw}: h5py reads the same rows")
            t.check(os.path.getsize(t.path(raw)) == size and os.path.getsize(t.path(raw + ".h5")) < 20000,
                    f"wrap {raw}: no copy")
            model = t.fit(t.path(raw + ".h5"), raw + "-model.h5", *options, ranks=2)
            t.check_same(f"wrap {raw}: the same model", usual, model)
    half = data.gaussian(801, 5, 2).astype(np.float16)
    np.save(t.path("half.npy"), half)
    result = t.lloyd("wrap", t.path("half.npy"), "--output", t.path("half.npy.h5"))
    t.check(result.status == 0, "wrap half.npy", result.describe())
    usual = t.fit(data.write(t.path("half.h5"), half), "half-model.h5", *options)
    t.check_same("wrap half.npy: the same model", usual, t.fit(t.path("half.npy.h5"), "half-npy-model.h5", *options))


def wrapped_elsewhere(t):
    """wrap by relative name, fit from another directory: the raw file is found."""
    folder, other = t.path("folder"), t.path("elsewhere")
    os.mkdir(folder)
    os.mkdir(other)
    x = integers(300, 6, 3, np.uint8)
    write_bin(os.path.join(folder, "x.u8bin"), x)
    result = t.lloyd("wrap", "x.u8bin", "--output", "x.h5", cwd=folder)
    t.check(result.status == 0, "wrap by relative name", result.describe())
    usual = t.fit(data.write(t.path("near.h5"), x), "near-model.h5", "-k", 3)
    far = t.fit("../folder/x.h5", "far-model.h5", "-k", 3, cwd=other, ranks=2)
    t.check_same("a wrapped file read from another directory", usual, far)
    # The raw file loses its end after wrapping; HDF5 itself would read zeros there.
    with open(os.path.join(folder, "x.u8bin"), "r+b") as file:
        file.truncate(8 + 150 * 6)
    for ranks in (1, 3):
        result = t.lloyd("fit", "--input", os.path.join(folder, "x.h5"), "-k", 3, "--output", t.path("cut.h5"), ranks=ranks,
                         timeout=60)
        t.check(result.status == 3 and len(result.messages) == 1 and "x.u8bin" in result.messages[0],
                f"a raw file truncated after wrapping is refused, {ranks} ranks", result.describe())
    os.remove(os.path.join(folder, "x.u8bin"))
    result = t.lloyd("fit", "--input", os.path.join(folder, "x.h5"), "-k", 3, "--output", t.path("cut.h5"), timeout=60)
    t.check(result.status == 3 and len(result.messages) == 1 and "x.u8bin" in result.messages[0],
            "a raw file that is gone is refused", result.describe())


def bad_headers(t):
    x = data.gaussian(100, 8, 4)
    write_bin(t.path("long.fbin"), x, rows=101)
    write_bin(t.path("short.fbin"), x, rows=99)
    write_bin(t.path("zero.fbin"), x, rows=0)
    write_bin(t.path("huge.fbin"), x, rows=0xFFFFFFFF, columns=0xFFFFFFFF)
    open(t.path("stub.fbin"), "wb").write(b"\1\0\0\0")
    open(t.path("none.u8bin"), "wb").close()
    np.save(t.path("fortran.npy"), np.asfortranarray(x))
    np.save(t.path("line.npy"), x[0])
    np.save(t.path("cube.npy"), x.reshape(10, 10, 8))
    np.save(t.path("long.npy"), x.astype(np.int64))
    np.save(t.path("objects.npy"), np.array([["a", 1], ["b", 2]], object), allow_pickle=True)
    open(t.path("text.npy"), "w").write("1,2\n3,4\n" * 100)
    np.save(t.path("cut.npy"), x)
    with open(t.path("cut.npy"), "r+b") as file:
        file.truncate(2000)
    for raw in ("long.fbin", "short.fbin", "zero.fbin", "huge.fbin", "stub.fbin", "none.u8bin", "fortran.npy", "line.npy",
                "cube.npy", "long.npy", "objects.npy", "text.npy", "cut.npy"):
        result = t.lloyd("wrap", t.path(raw), "--output", t.path("refused.h5"), timeout=60)
        t.check(result.status == 3 and len(result.messages) == 1 and raw in result.messages[0]
                and not os.path.exists(t.path("refused.h5")), f"wrap refuses {raw}: {' '.join(result.messages)[7:]}",
                result.describe())


def synth(t):
    for kind in ("float32", "float16", "bfloat16", "uint8", "int8") if not t.quick else ("float32", "bfloat16", "int8"):
        files = []
        for ranks, seed in ((1, 1), (2, 1), (3, 1), (1, 2)):
            path = t.path(f"synth-{kind}-{ranks}-{seed}.h5")
            result = t.lloyd("synth", "--rows", 3001, "--dim", 33, "--clusters", 9, "--type", kind, "--seed", seed,
                             "--output", path, ranks=ranks, threads=1 + ranks % 2)
            if not t.check(result.status == 0, f"synth {kind}, {ranks} ranks", result.describe()):
                return
            with h5py.File(path, "r") as file:
                # h5py cannot name bfloat16 everywhere; HDF5 can always read it as float32.
                rows = np.empty(file["train"].shape, np.float32)
                file["train"].id.read(h5py.h5s.ALL, h5py.h5s.ALL, rows, h5py.h5t.NATIVE_FLOAT)
                size = file["train"].id.get_type().get_size()
            files.append(rows)
            t.check(rows.shape == (3001, 33) and np.isfinite(rows).all() and rows.std() > 0, f"synth {kind}: rows")
            t.check(size == {"float32": 4, "float16": 2, "bfloat16": 2}.get(kind, 1), f"synth {kind}: element size")
        same = files[0].tobytes() == files[1].tobytes() == files[2].tobytes()
        t.check(same, f"synth {kind}: the same bytes for 1, 2, 3 ranks")
        t.check(not np.array_equal(files[0], files[3]), f"synth {kind}: other bytes for another seed")
        t.check(len(np.unique(files[0], axis=0)) > 2900, f"synth {kind}: no repeated rows")
    # It is a mixture: nine clusters explain most of the variance.
    source = t.path("synth-float32-1-1.h5")
    model = t.fit(source, "synth-model.h5", "-k", 9, "--init", "kmeans++", "--n-init", 5, "--max-iters", 50)
    if model:
        x = read(source, "train").astype(np.float64)
        left = attribute(model, "inertia") / ((x - x.mean(0)) ** 2).sum()
        t.check(left < 0.9, f"synth: clusters are there ({100 * left:.0f} % of the variance is within them)")


def info_and_predict(t):
    source = t.data("digits.h5")
    for metric in ("l2", "cosine"):
        model = t.fit(source, f"digits-{metric}.h5", "-k", 12, "--max-iters", 6, "--metric", metric)
        if model is None:
            continue
        cosine = ["--cosine"] if metric == "cosine" else []
        for ranks in (1, 3):
            labels = t.path(f"labels-{metric}-{ranks}.h5")
            result = t.lloyd("predict", "--model", model, "--input", source, "--output", labels, "--distances", ranks=ranks)
            if not t.check(result.status == 0, f"predict {metric}, {ranks} ranks", result.describe()):
                continue
            t.check(np.array_equal(read(labels, "/labels"), read(model, "/labels")),
                    f"predict {metric}, {ranks} ranks: the labels of the model")
            t.check_labels(f"predict {metric}, {ranks} ranks: exact labels and distances", source, model,
                           "--labels", labels, *cosine)
            t.check(read(labels, "/distances").dtype == np.float32, "predict: distances are float32")
        labels = t.path("labels-only.h5")
        result = t.lloyd("predict", "--model", model, "--input", source, "--output", labels)
        with h5py.File(labels, "r") as file:
            t.check(result.status == 0 and set(file) == {"labels"}, "predict without --distances: only /labels")
    # New rows, several files, another element type than the model was made from.
    x = data.lattice(501, 64, 17, 5)
    parts = [data.write(t.path(f"new-{p}.h5"), x[p * 200:(p + 1) * 200], dtype=np.float16) for p in range(3)]
    whole = data.write(t.path("new.h5"), x)
    model, labels = t.path("digits-l2.h5"), t.path("labels-new.h5")
    result = t.lloyd("predict", "--model", model, "--input", t.path("new-[0-2].h5"), "--output", labels, "--distances",
                     ranks=5)
    told = "Labelled 501 rows x 64 columns of float16 by 12 centroids\n"
    t.check(result.out.count(told) == 1 and "(3 files)" in result.out and labels in result.out,
            "predict tells once what it has done", result.describe())
    if t.check(result.status == 0, f"predict {len(parts)} files on 5 ranks", result.describe()):
        t.check_labels("predict new rows", whole, model, "--labels", labels)

    for path, words in ((source, ["1797", "64", "float32"]), (model, ["12", "64", "1797", "inertia"]),
                        (labels, ["501", "labels"]), (t.data("sift-20k.h5"), ["20000", "128", "uint8"])):
        for ranks in (1, 2):
            result = t.lloyd("info", path, ranks=ranks)
            plain = result.out.replace(",", "")
            missing = [word for word in words if word not in plain]
            t.check(result.status == 0 and not missing, f"info {os.path.basename(path)}, {ranks} ranks",
                    f"      without {missing}\n" + result.describe())


def check_numbers(t, what, name, values, *lines, ranks=1):
    """info describes a list of row numbers; lines: what else it must print."""
    values, result = np.asarray(values), t.lloyd("info", name, ranks=ranks)
    expected = [f"Row numbers: {len(values):,}", f"  file         {name}", *lines]
    if len(values):
        order = np.flatnonzero(values[1:] < values[:-1])
        repeated = (values[1:] == values[:-1]).sum()
        expected += [f"  numbers      from {values.min():,} to {values.max():,}",
                     f"  order        not sorted: the number at place {order[0] + 1:,} (from 0) is lower than the one before" if len(order)
                     else "  order        increasing" + (", each once" if not repeated else "")]
        if repeated:
            expected.append(f"               {repeated:,} number{' is' if repeated == 1 else 's are'} the same as the one before; --rows takes each row once")
        if values.min() >= 0:
            expected.append(f"  use          lloyd fit --rows {name}, with inputs of {int(values.max()) + 1:,} rows or more")
    missing = [line for line in expected if line not in result.out.splitlines()]
    t.check(result.status == 0 and not missing, f"info of row numbers, {what}", f"      without {missing}\n" + result.describe())
    return result


def row_numbers(t):
    source = t.data("digits.h5")
    clusters = t.fit(source, "clusters.h5", "-k", 10, "--max-iters", 2, "--members")
    for name, dataset in (("rows.npy", None), ("rows.h5", "/rows"), ("other.h5:/a/b", "/a/b")):
        t.lloyd("select", clusters, "--nearest", 3, "-o", t.path(name))
        path = t.path(name.split(":")[0])
        values = read(path, dataset) if dataset else np.load(path)
        made = ("  selected by  lloyd select --nearest 3 --seed 0", f"  from         {clusters}") if dataset else ()
        check_numbers(t, f"of select, {name}", t.path(name), values, *made, ranks=2)
        if dataset:
            check_numbers(t, f"of select, {name}, the dataset not named", path, values, *made)
        fit = t.lloyd("fit", "--input", source, "--rows", t.path(name), "-k", 3, "-o", t.path("of-rows.h5"))
        t.check(fit.status == 0, f"{name}: what info says of its use is true", fit.describe())
    draw = np.random.default_rng(2)
    long = np.sort(draw.choice(10**10, 1 << 21, replace=False))
    place = (1 << 20) + 1  # in the second block that is read
    for what, values in {"of many blocks": long, "a late disorder": np.append(long, 5), "disorder between blocks": np.insert(long, 1 << 20, 0),
                         "a late repetition": np.insert(long, place, long[place]), "random ones": draw.permutation(1000),
                         "all the same": [7] * 9, "one": [0], "32 bits": np.arange(5, dtype=np.int32), "bytes": np.uint8([200, 201]),
                         "the largest": [2**62, 2**63 - 2]}.items():
        np.save(t.path("list.npy"), np.asarray(values))
        check_numbers(t, what, t.path("list.npy"), values)
    for what, values, line in (("negative", [-5, 3, 4], "none as rows: these are numbered from 0"),
                               ("none at all", np.empty(0, np.int64), "none: there is no row to fit")):
        np.save(t.path("list.npy"), values)
        check_numbers(t, what, t.path("list.npy"), values, "  use          " + line)
    foreign = t.path("foreign.h5")
    with h5py.File(foreign, "w") as file:
        file["ids"], file["few"], file["real"] = np.arange(9), np.arange(9, dtype=np.int32), np.zeros(9)
    check_numbers(t, "a dataset of another file", foreign + ":/ids", np.arange(9))
    np.save(t.path("real.npy"), np.zeros(9))
    np.save(t.path("whole.npy"), np.arange(6).reshape(2, 3))
    np.save(t.path("cut.npy"), np.arange(1000))
    os.truncate(t.path("cut.npy"), 5000)
    for name, reason in ((foreign + ":/few", "1 dimension"), (foreign + ":/real", "1 dimension"), (foreign, "cannot tell which dataset"),
                         (clusters + ":/labels", "1 dimension"), (clusters + ":/members", "1 dimension"), (t.path("real.npy"), "real.npy"),
                         (t.path("whole.npy"), "astype('float32')"),
                         (t.path("cut.npy"), "not copied completely"), (foreign + ":/gone", "gone")):
        result = t.lloyd("info", name)
        t.check(result.status == 3 and len(result.messages) == 1 and reason in result.messages[0] and not result.out,
                f"info {os.path.basename(name)}: no row numbers", result.describe())


def model_file(t):
    """Everything architecture.md promises is in a model."""
    model = t.fit(t.data("digits.h5"), "complete.h5", "-k", 10, "--seed", 5, "--max-iters", 7, "--log", t.path("log.jsonl"),
                  ranks=3)
    if model is None:
        return
    with h5py.File(model, "r") as file:
        shapes = {name: (file[name].shape, file[name].dtype.name) for name in
                  ("centroids", "counts", "labels", "history/inertia", "history/moved", "history/seconds") if name in file}
        attributes = dict(file.attrs)
    t.check(shapes == {"centroids": ((10, 64), "float32"), "counts": ((10,), "int64"), "labels": ((1797,), "int32"),
                       "history/inertia": ((7,), "float64"), "history/moved": ((7,), "int64"),
                       "history/seconds": ((7,), "float64")}, "model: datasets and types", f"      {shapes}")
    for name, value in {"n": 1797, "d": 64, "k": 10, "seed": 5, "iterations": 7, "converged": 0, "ranks": 3}.items():
        t.check(name in attributes and int(attributes[name]) == value, f"model: attribute {name}",
                f"      {attributes.get(name)}")
    inertia = read(model, "/history/inertia")
    t.check(0 < attributes["inertia"] <= inertia[-1] * (1 + 1e-12), "model: final inertia is the lowest")
    t.check(np.all(np.diff(inertia) <= 0), "model: inertia never rises")
    t.check(read(model, "/counts").sum() == 1797, "model: counts sum to the rows")
    for name in ("version", "backend"):
        t.check(name in attributes and len(attributes[name]) > 0, f"model: attribute {name}")
    events = log_events(t.path("log.jsonl"))
    t.check(len(events) >= 7, f"--log: {len(events)} lines of JSON")


def time_estimate(t, init):
    """The time that --dry-run expects, compared with what a fit takes; other tests run at the same time."""
    log, options = t.path(f"timed-{init}.jsonl"), ("--input", t.data("sift-20k.h5"), "-k", 256, "--init", init, "--max-iters", 4)
    plan = t.lloyd("fit", *options, "--output", t.path("timed.h5"), "--dry-run")
    t.lloyd("fit", *options, "--output", t.path("timed.h5"), "--force", "--no-labels", "--log", log)
    events = log_events(log)
    took = [np.median([event["seconds"] for event in events if event["event"] == "iteration"]),
            sum(event["seconds"] for event in events if event.get("phase") == "seed")]
    found = re.search(r"time, estimated +(?:([\d.,]+) s for seeding, )?([\d.,]+) s per iteration, [\d.,]+ s in all at most", plan.out)
    if not t.check(found and (found.group(1) is None) == (init == "random"), f"--dry-run, {init}: estimates the time", plan.describe()):
        return
    said = [float(found.group(2).replace(",", "")), float((found.group(1) or "0").replace(",", ""))]
    far = 30  # more threads than cores make short work slow
    good = took[0] / far < said[0] < took[0] * far and (init == "random" or took[1] / far < said[1] < took[1] * far)
    t.check(good, f"--dry-run, {init}: {said} s an iteration and for seeding, which took {took}")


def dry_run(t):
    """Prints a plan; reads no rows and writes nothing."""
    x = data.gaussian(1000, 8, 6)
    x[500] = np.nan
    source = data.write(t.path("nan.h5"), x)
    for ranks in (1, 3):
        before = set(os.listdir(t.directory))
        result = t.lloyd("fit", "--input", source, "-k", 4, "--output", t.path("planned.h5"), "--log",
                         t.path("planned.jsonl"), "--dry-run", ranks=ranks, timeout=60)
        t.check(result.status == 0 and "1000" in result.out.replace(",", ""), f"--dry-run on {ranks} ranks reads no rows",
                result.describe())
        t.check(set(os.listdir(t.directory)) == before, f"--dry-run on {ranks} ranks writes nothing")
    for init in ("random", "kmeans++", "kmeans-parallel") if not t.quick else ():
        time_estimate(t, init)
    result = t.lloyd("fit", "--input", source, "-k", 4000, "--output", t.path("planned.h5"), "--dry-run", timeout=60)
    t.check(result.status in (2, 3), "--dry-run refuses what a run would refuse", result.describe())


def planned_bytes(text):
    """What the plan promises each rank: the lines "rank R ... (B bytes)"."""
    return [int(found) for found in re.findall(r"^\s*rank \d+ .*\((\d+) bytes\)$", text, re.MULTILINE)]


def memory(t):
    """Peak memory of every rank is within a tenth of what --dry-run promises; with kmeans-parallel, which may draw more candidates, not
    above it."""
    rows = np.random.default_rng(7).integers(0, 255, (500000, 128), np.uint8)
    large, small = data.write(t.path("large.h5"), rows), data.write(t.path("small.h5"), rows[:100000])
    parallel = ("--init", "kmeans-parallel")
    for name, source, options, ranks in (("resident", large, ("--init", "random"), 1), ("resident", large, ("--init", "random"), 2),
                                         ("chunked", large, ("--init", "random", "--chunk-rows", 20000), 1),
                                         ("chunked", large, ("--init", "random", "--chunk-rows", 20000), 2),
                                         ("all candidates", small, parallel, 1), ("all candidates", small, parallel, 2),
                                         ("a sample", small, (*parallel, "--init-sample", 20000, "--chunk-rows", 5000), 2)):
        what = f"memory, {name}, {ranks} ranks"
        command = ("-k", 256, "--max-iters", 2, *options)
        plan = t.lloyd("fit", "--input", source, "--output", t.path("plan.h5"), *command, "--dry-run", ranks=ranks)
        promised = planned_bytes(plan.out)
        if not t.check(len(promised) == ranks, f"{what}: the plan says how much", plan.describe()):
            continue
        log = t.path("memory.jsonl")
        if t.fit(source, "memory.h5", *command, "--log", log, ranks=ranks) is None:
            continue
        end = log_events(log, "end")
        peaks = np.atleast_1d(end[0].get("memory_peak", [])) if end else []
        if t.check(len(peaks) == ranks, f"{what}: the log has the peak of every rank", f"      {end}"):
            size = abs if "random" in options else lambda excess: excess
            worst = max(size(peak - promise) / promise for peak, promise in zip(peaks, promised))
            pairs = ", ".join(f"{peak / 1e6:.1f} of {promise / 1e6:.1f}" for peak, promise in zip(peaks, promised))
            text = f"{what}: peaks of {pairs} MB promised ({100 * worst:.0f} %)"
            t.check(worst <= 0.1, text)


def run_and_watch(command):
    """Its status, and its peak memory in MB, as long as it could be read. (What wait4() tells is at least the memory of this process.)"""
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) as process:
        peak = 0
        while process.poll() is None:
            with open(f"/proc/{process.pid}/status", encoding="utf-8") as file:
                found = re.search(r"VmHWM:\s+(\d+) kB", file.read())
            peak = int(found.group(1)) if found else peak # none: it has ended
            time.sleep(0.002)
    return process.returncode, peak * 1024 / 1e6


def plan_of_predict(t):
    """predict --dry-run says how much memory and room it takes, and writes nothing."""
    x = integers(200000, 96, 3, np.uint8)
    source, model, output = data.write(t.path("labelled.h5"), x), t.path("few.h5"), t.path("labels-planned.h5")
    with h5py.File(model, "w") as file:
        file["centroids"] = x[:300].astype(np.float32)
    for more, ranks in (((), 1), (("--distances", "--second", "--members"), 1), (("--members",), 2)):
        command = ["predict", "--model", model, "--input", source, "--backend", "cpu", "--output", output, *more]
        plan = t.lloyd(*command, "--dry-run", ranks=ranks)
        what = f"plan of predict {' '.join(more)} on {ranks} ranks"
        found = re.search(r"rows +are read once, in chunks of at most ([\d,]+)\n(?:  members +sorted by all ranks together in (\d+) round)?(?:.*\n)?"
                          r"  memory +([\d.]+) MB per rank at most\n  output +([\d.]+) ([kM])B\n", plan.out)
        if not t.check(plan.status == 0 and found and not os.path.exists(output), what, plan.describe()):
            continue
        t.check(int(found.group(1).replace(",", "")) <= len(x) // ranks and bool(found.group(2)) == ("--members" in more),
                f"{what}: chunks and members", plan.describe())
        if ranks > 1 or t.quick: # sanitizers need memory of their own
            continue
        status, peak = run_and_watch([t.lloyd_path, *map(str, command)])
        promised = float(found.group(3))
        t.check(status == 0 and 0.7 * promised <= peak <= 1.05 * promised, f"{what}: peak of {peak:.1f} MB, {promised} MB planned")
        size, planned = os.path.getsize(output) / 1e6, float(found.group(4)) / (1000 if found.group(5) == "k" else 1)
        t.check(0.9 * size <= planned <= 1.1 * size, f"{what}: {size:.2f} MB written, {planned} MB planned")
        os.remove(output)


def main():
    t = Test("tools")
    plan_of_predict(t)
    wrapped(t)
    wrapped_elsewhere(t)
    bad_headers(t)
    synth(t)
    info_and_predict(t)
    row_numbers(t)
    model_file(t)
    dry_run(t)
    if not t.quick: # sanitizers need memory of their own
        memory(t)
    t.check(not [name for name in os.listdir(t.directory) if ".part" in name], "no half-written file is left")
    t.finish()


if __name__ == "__main__":
    main()
