"""Where rows live changes no bit: all in memory, some of them, or none; models and labels are equal for every mixture.

The limits are taken from --dry-run, so that they mean the same on every machine: between what a run takes with all rows in
memory, and with hardly any.
"""
import os
import re
import threading
import time

import h5py
import numpy as np

import data
from common import Test, differences

ROWS, DIM, K = 120000, 64, 24
CHUNK = 4096  # 256 KiB: the smallest chunks that are chosen


def plan(t, source, *options, ranks=1):
    """(rows in memory, rows read in every pass (0 and 0: all are in memory), most bytes of a rank, those of the program alone), from
    --dry-run."""
    result = t.lloyd("fit", "--input", source, "--output", t.path("plan.h5"), *options, "--dry-run", ranks=ranks, timeout=120)
    text = result.out.replace(",", "")
    needs = [int(found) for found in re.findall(r"^\s*rank \d+ .*\((\d+) bytes\)$", text, re.MULTILINE)]
    mixed = re.search(r"rows\s+(\d+) stay in memory (\d+) are read in every pass", text)
    if not mixed and not re.search(r"rows\s+stay in memory", text) or len(needs) != ranks:
        t.check(False, "the plan says where the rows live, and what each rank takes", result.describe())
        return 0, 0, 10**9, 0
    number, unit = re.search(r"program, libraries +([\d.]+) (kB|MB|GB)$", result.out, re.MULTILINE).groups()
    program = float(number) * {"kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    return (int(mixed.group(1)), int(mixed.group(2)), max(needs), program) if mixed else (0, 0, max(needs), program)


def limit(t, source, share, *options, ranks=1, known={}):
    """Bytes for each rank, with room for about this share of the rows. The least has room for what the program alone takes more in
    another run, as much as lloyd itself allows for when it names the least."""
    if (source, options, ranks) not in known:
        _, _, bottom, program = plan(t, source, *options, "--chunk-rows", CHUNK, ranks=ranks)
        bottom += program / 16 + 2e6
        known[source, options, ranks] = bottom, max(bottom, plan(t, source, *options, ranks=ranks)[2])
    bottom, top = known[source, options, ranks]
    return int(bottom + share * (top - bottom))


def limits(t):
    """What --dry-run says follows the limit, and too small a one is refused with the least. Nothing is read, so the rows need not
    be there, and can be so many that what differs in a program's memory from run to run does not matter. Each plan takes a second of
    each rank, for its estimate of the time."""
    source, count = t.path("many.h5"), 20 * ROWS
    with h5py.File(source, "w") as file:
        file.create_dataset("train", (count, DIM), np.uint8, fillvalue=0)  # no row is written
    ranks, kept = 2, []
    for share in (0, 0.5, 0.8):
        allowed = limit(t, source, share, "-k", K, ranks=ranks)
        memory, read, most, _ = plan(t, source, "-k", K, "--max-host-memory", allowed, ranks=ranks)
        t.check(memory + read == count and 0 < read and most <= allowed,
                f"{ranks} ranks, {allowed} bytes allowed, {most} planned: {memory} rows stay, {read} are read")
        kept.append(memory / count)
    t.check(kept[0] < 0.2 < kept[1] < kept[2] < 1, f"{ranks} ranks: shares in memory {kept}")
    refused = ("fit", "--input", source, "-k", K, "--output", t.path("refused.h5"), "--max-host-memory")
    result = t.lloyd(*refused, "1MB", ranks=ranks, timeout=120)
    text = " ".join(result.messages)
    found = re.search(r"--max-host-memory allows each rank 1000000 bytes, but the largest needs at least (\d+)MB; ", text)
    ok = result.status == 2 and len(result.messages) == 1 and found and not os.path.exists(t.path("refused.h5"))
    if t.check(ok, f"too small a limit on {ranks} ranks is refused, with the least: {text}", result.describe()):
        result = t.lloyd(*refused, found.group(1) + "MB", "--dry-run", ranks=ranks, timeout=120)
        t.check(result.status == 0, f"{ranks} ranks, {found.group(1)}MB: that is enough", result.describe())


def jobs(t, folder, x, sources):
    """Every kind of job, with more and less memory, on one rank and on several. Returns the model of the plain one."""
    start = x[:K].astype(np.float32)
    start[K // 2:] += 1e6
    init = data.centroids(os.path.join(folder, "start.h5"), start)
    rest = ("--seed", 3, "--max-iters", 3)
    plain = ("-k", K) + rest
    kinds = {
        "random": plain,
        "kmeans++ weights": ("-k", 5, "--init", "kmeans++", "--weights", "weights") + rest,
        "kmeans-parallel cosine": ("-k", 5, "--init", "kmeans-parallel", "--metric", "cosine") + rest,
        "relocate empty": plain + ("--init", init),
        "n-init weights cosine": plain + ("--n-init", 2, "--weights", "weights", "--metric", "cosine"),
    }
    models = []
    for number, (name, options) in enumerate(kinds.items()):
        models.append(t.fit(sources[0][1], f"base-{number}.h5", *options))
        ways = [(1, 0), (1, 0.6), (2, 0.4), (3, 0.8)] if not t.quick else [((1, 0.5), (2, 0), (2, 0.6))[number % 3]]
        if number > 0 and not t.quick:  # of other kinds of jobs two, one of them on several ranks
            ways = ways[number % 2::2]
        for way, (ranks, share) in enumerate(ways):
            kind, source = sources[(number + way) % len(sources)]
            allowed = limit(t, source, share, *options, ranks=ranks)
            other = t.fit(source, "other.h5", *options, "--max-host-memory", allowed, ranks=ranks)
            t.check_same(f"{name}: room for {share} of the rows, {kind}, {ranks} ranks", models[-1], other)
    for chunk in (1, 7, 999, ROWS - 1) if not t.quick else (7, 999):
        few = data.write(t.path("few.h5"), x[:1501]) if chunk < 10 else sources[0][1]
        base = t.fit(few, "chunk-base.h5", *plain)
        other = t.fit(few, "chunk-other.h5", *plain, "--chunk-rows", chunk, ranks=2)
        t.check_same(f"--chunk-rows {chunk}", base, other)
    return models[0]


def predictions(t, source, x, model):
    """Labels and distances of a dataset of several chunks, on several ranks, are those of the fit."""
    if model is None:
        return
    large = t.path("large.h5")
    times = 2 if t.quick else 45  # chunks of 64 MiB: more than there are buffers
    with h5py.File(large, "w") as file:
        rows = file.create_dataset("train", (times * len(x), DIM), np.uint8)
        for part in range(times):
            rows[part * len(x):(part + 1) * len(x)] = x
    small = t.path("small-labels.h5")
    result = t.lloyd("predict", "--model", model, "--input", source, "--output", small, "--distances")
    if not t.check(result.status == 0, "predict ends with 0", result.describe()):
        return
    with h5py.File(model, "r") as file, h5py.File(small, "r") as other:
        t.check(np.array_equal(file["labels"][()], other["labels"][()]), "predict: the labels of the fit")
    for ranks in (1, 2):
        result = t.lloyd("predict", "--model", model, "--input", large, "--output", t.path("labels.h5"), "--distances",
                         ranks=ranks)
        if not t.check(result.status == 0, f"predict of {times} times the rows on {ranks} ranks", result.describe()):
            return
        with h5py.File(small, "r") as one, h5py.File(t.path("labels.h5"), "r") as other:
            for name in ("labels", "distances"):
                expected, found = one[name][()], other[name]
                same = all(np.array_equal(found[part * len(x):(part + 1) * len(x)], expected) for part in range(times))
                t.check(same, f"predict: {name} of {times} times the rows on {ranks} ranks")
    os.remove(large)


def bad_rows(t, x):
    """The first row that cannot be clustered is named, wherever it lives."""
    broken = x.astype(np.float32)
    for row in (ROWS - 1, ROWS // 2 + 5, ROWS // 2 + 4):
        broken[row, 3] = np.nan
    source = data.write(t.path("broken.h5"), broken)
    for ranks in (1, 2):
        for share in (1, 0.5):
            allowed = ("--max-host-memory", limit(t, source, share, "-k", K, ranks=ranks)) if share < 1 else ()
            result = t.lloyd("fit", "--input", source, "-k", K, "--output", t.path("refused.h5"), *allowed, ranks=ranks)
            notes = [line for line in result.messages if "read again in every pass" not in line]
            text = " ".join(notes)
            t.check(result.status == 3 and f"row {ROWS // 2 + 4} " in text and len(notes) == 1,
                    f"the first bad row, {ranks} ranks, room for {share} of the rows: {text}", result.describe())
    os.remove(source)


def vanishing_rows(t):
    """A file that is cut off behind a streaming run's back ends it on all ranks, with one message."""
    x = np.random.default_rng(2).integers(0, 255, (ROWS, DIM), np.uint8)  # no clusters: it iterates for long
    source, log = data.write(t.path("cut.h5"), x), t.path("cut.jsonl")
    size, done = os.path.getsize(source), threading.Event()

    def cut():
        """Once the run iterates."""
        while not done.is_set():
            if os.path.exists(log) and '"iteration"' in open(log, encoding="utf-8").read():
                os.truncate(source, size // 3)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=cut)
    thread.start()
    # so many clusters that it does not converge before the thread above gets its turn, on cores that are all busy
    result = t.lloyd("fit", "--input", source, "-k", 800, "--init", "random", "--max-iters", 100000, "--tol", 0, "--output", t.path("refused.h5"),
                     "--log", log, "--chunk-rows", CHUNK, ranks=2, timeout=120)
    done.set()
    thread.join()
    notes = [line for line in result.messages if "read again in every pass" not in line]
    text = " ".join(notes)
    t.check(not result.timed_out and result.status in (1, 3) and len(notes) == 1 and "cut.h5" in text,
            f"a file that is cut off while it is streamed: {text}", result.describe())
    t.check(not os.path.exists(t.path("refused.h5")), "... and no model is left")


def main():
    t = Test("streaming")
    folder = t.path("rows")
    os.mkdir(folder)
    draw = np.random.default_rng(9)
    x = np.clip(draw.integers(20, 200, (50, DIM))[draw.integers(50, size=ROWS)] + draw.integers(-30, 30, (ROWS, DIM)), 1, 255)
    x = x.astype(np.uint8)
    weights = draw.uniform(0, 2, ROWS).astype(np.float32)
    weights[::11] = 0
    sources = [("contiguous", data.write(os.path.join(folder, "x.h5"), x, weights=weights)),
               ("deflate", data.write(os.path.join(folder, "z.h5"), x, weights=weights, chunks=(5000, DIM),
                                      compression="gzip", compression_opts=1))]
    cuts = [0, 100, ROWS // 3, ROWS]
    for part in range(3):
        rows = slice(cuts[part], cuts[part + 1])
        data.write(os.path.join(folder, f"part-{part}.h5"), x[rows], weights=weights[rows])
    sources.append(("three files", os.path.join(folder, "part-*.h5")))

    limits(t)
    model = jobs(t, folder, x, sources)
    predictions(t, sources[0][1], x, model)
    bad_rows(t, x)
    vanishing_rows(t)
    other = t.fit(sources[0][1], "seed.h5", "-k", K, "--seed", 4, "--max-iters", 3)
    t.check(model and other and differences(model, other), "another seed gives another model")
    t.finish()


if __name__ == "__main__":
    main()
