"""--skip-bad-rows: the result is that of a dataset without the rows that hold NaN or infinity (with the cosine metric, of zeros only), to
the bit, and these have the label -1. Without it the first of them is named, and all are counted.
"""
import json
import os
import re

import h5py
import numpy as np

import data
from common import Test, attribute, differences, digest, read

ROWS, CUTS = 3001, (0, 3, 1001, 1001, 3001)
t = Test("bad-rows")


def draw(dtype, cosine, seed):
    """Rows, which of them are bad, and weights: the first and the last, at the borders of files, and a tenth of all."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (ROWS, 6))
    bad = rng.random(ROWS) < 0.1
    bad[[0, 1, 2, 1000, 1001, 1002, ROWS - 2, ROWS - 1]] = True
    zero = bad & (rng.random(ROWS) < 0.3) if cosine else np.zeros(ROWS, bool)
    if dtype in (np.uint8, np.int8):
        x = np.abs(x * 20) + 1
        zero = bad
    values = [np.nan, np.inf, -np.inf] + ([1e300] if dtype == np.float64 else [])
    for i in np.flatnonzero(bad & ~zero):
        x[i, rng.integers(6)] = values[rng.integers(len(values))]
    x[zero] = 0
    return x, bad, zero, rng.random(ROWS)


def write(name, x, dtype, weights):
    """All rows in four files: one compressed, one without rows."""
    for p, (begin, end) in enumerate(zip(CUTS, CUTS[1:])):
        storage = {"chunks": (100, 4), "compression": "gzip"} if p == 1 and dtype != "bfloat16" else {}
        data.write(t.path(f"{name}-{p}.h5"), x[begin:end], dtype=dtype, weights=weights[begin:end], **storage)
    return t.path(f"{name}-*.h5")


def spread(values, bad, fill):
    """Values of the good rows at their places among all rows."""
    all_rows = np.full(len(bad), fill, values.dtype)
    all_rows[~bad] = values
    return all_rows


def check_fit(what, everything, good, bad, options, ranks):
    options = ["-k", 12, "--max-iters", 6, "--seed", 3, *options]
    one = t.fit(good, "good.h5", *options)
    two = t.fit(everything, "skipped.h5", *options, "--skip-bad-rows", ranks=ranks)
    if one is None or two is None:
        return t.check(False, what, "      (a run before this failed)")
    wrong = differences(one, two, ("/centroids", "/counts", "/history/inertia", "/history/moved"))
    if not np.array_equal(read(two, "labels"), spread(read(one, "labels"), bad, -1)):
        wrong += "      /labels\n"
    if (attribute(two, "n"), attribute(two, "skipped")) != (np.sum(~bad), np.sum(bad)) or attribute(one, "skipped") != 0:
        wrong += "      the attributes n and skipped\n"
    if not json.loads(attribute(two, "options"))["skip-bad-rows"]:
        wrong += "      the attribute options\n"
    return t.check(not wrong, what, wrong)


def check_predict(what, everything, good, bad, ranks):
    command = ["predict", "--model", t.path("good.h5"), "--distances"]
    one = t.lloyd(*command, "--input", good, "--output", t.path("l-good.h5"))
    two = t.lloyd(*command, "--input", everything, "--output", t.path("l-all.h5"), "--skip-bad-rows", ranks=ranks)
    if not t.check(one.status == 0 and two.status == 0, f"{what}: both end with 0", one.describe() + two.describe()):
        return
    labels, distances = (read(t.path("l-all.h5"), name) for name in ("labels", "distances"))
    t.check(np.array_equal(labels, spread(read(t.path("l-good.h5"), "labels"), bad, -1)), f"{what}: labels")
    expected = spread(read(t.path("l-good.h5"), "distances"), bad, np.nan)
    t.check(np.array_equal(distances, expected, equal_nan=True), f"{what}: distances")
    count = f"{np.sum(bad)} bad rows"
    t.check(count in two.out, f"{what}: the summary counts them", two.describe())


def check_refused(what, everything, bad, zero, options):
    """The first bad row is named, in its file and in the dataset, and all are counted."""
    first, all_bad, zeros = int(np.flatnonzero(bad)[0]), int(np.sum(bad)), int(np.sum(zero))
    for ranks in (1, 3):
        before = digest(t.path("good.h5"))
        result = t.lloyd("fit", "--input", everything, "-k", 3, "--output", t.path("good.h5"), "--progress", "none", *options, ranks=ranks)
        text = " ".join(m for m in result.messages if "rounded" not in m)
        words = [f"row {first}", f"(row {first} of the dataset)", f"the first of {all_bad} ", "--skip-bad-rows"]
        words += [f"{all_bad - zeros} hold NaN", f"{zeros} are all zeros"] if 0 < zeros < all_bad else []
        missing = [word for word in words if word not in text]
        t.check(result.status == 3 and not missing and digest(t.path("good.h5")) == before,
                f"{what}, {ranks} rank{'s' * (ranks > 1)}: {text[7:]}", f"      no word of {missing}\n{result.describe()}")


def same_as_without():
    types = {"float32": np.float32, "float16": np.float16, "bfloat16": "bfloat16", "float64": np.float64, "uint8": np.uint8}
    for seed, (name, dtype) in enumerate(types.items()):
        if t.quick and name not in ("float32", "uint8"):
            continue
        for cosine in (False, True) if name in ("float32", "float16") else (name == "uint8",):
            x, bad, zero, weights = draw(dtype, cosine, seed)
            metric = ["--metric", "cosine"] if cosine else []
            what = f"{name}{', cosine' * cosine}"
            everything = write(f"all-{name}-{cosine}", x, dtype, weights)
            good = data.write(t.path("good-rows.h5"), x[~bad], dtype=dtype, weights=weights[~bad])
            jobs = [([], 1), ([], 3)]
            if name == "float32" and not (t.quick and cosine):
                jobs += [(["--init", "kmeans-parallel"], 3), (["--init", "kmeans++", "--weights", "weights"], 1),
                         (["--weights", "weights"], 3), (["--chunk-rows", 77], 1), (["--chunk-rows", 77, "--n-init", 2], 3),
                         (["--empty", "keep"], 5)]
            for options, ranks in jobs:
                check_fit(f"{what} {' '.join(map(str, options))}, {ranks} ranks", everything, good, bad, [*options, *metric], ranks)
            for ranks in (1, 3):
                check_predict(f"predict, {what}, {ranks} ranks", everything, good, bad, ranks)
            check_refused(what, everything, bad, zero, metric)


def told():
    """What the user sees, the log, a resumed fit, and what is left of few rows."""
    x = data.gaussian(200, 4, 1)
    x[[17, 40, 41, 42, 199]] = np.nan
    one = data.write(t.path("one.h5"), x)
    good = data.write(t.path("one-good.h5"), x[~np.isnan(x[:, 0])])
    log = t.path("skip.jsonl")
    result = t.lloyd("fit", "--input", one, "-k", 3, "--skip-bad-rows", "--output", t.path("told.h5"), "--log", log, "--progress", "plain")
    said = " ".join(result.messages)
    t.check(result.status == 0 and "5 of 200 rows are skipped" in said and "row 17, " in said and "row 41 and more" in said,
            "the number of skipped rows and the first ones are reported", result.describe())
    t.check("skipped     5 bad rows" in result.out, "the summary counts them", result.describe())
    with open(log, encoding="utf-8") as file:
        t.check(json.loads(file.readline()).get("skipped") == 5, "the log counts them")
    t.lloyd("report", t.path("told.h5"), "-o", t.path("told.html"))
    with open(t.path("told.html"), encoding="utf-8") as file:
        t.check(re.search("skipped bad rows</th><td>(<[^>]*>)*5<", file.read()), "the report counts them")
    info = t.lloyd("info", t.path("told.h5"))
    t.check("skipped      5 bad rows" in info.out and "195 rows" in info.out, "info counts them", info.describe())
    result = t.lloyd("predict", "--model", t.path("told.h5"), "--input", one, "--skip-bad-rows", "--output", t.path("told-labels.h5"))
    info = t.lloyd("info", t.path("told-labels.h5"))
    t.check(result.status == 0 and "skipped      5 rows" in info.out, "info counts the labels -1", info.describe())
    page = t.lloyd("report", t.path("told.h5"), "-o", t.path("told.html"))
    t.check(page.status == 0, "report", page.describe())

    ck = t.path("skip.ck")
    steps = ["-k", 7, "--seed", 5]
    whole = t.fit(good, "whole.h5", *steps, "--max-iters", 8)
    t.fit(one, "part.h5", *steps, "--max-iters", 3, "--skip-bad-rows", "--checkpoint", ck)
    resumed = t.fit(one, "resumed.h5", *steps, "--max-iters", 8, "--skip-bad-rows", "--checkpoint", ck, "--resume", ranks=3)
    t.check_same("resumed, as the other rows alone", whole, resumed, ("/centroids", "/counts", "/history/inertia"))
    for inputs, options in ((good, []), (one, [])):
        result = t.lloyd("fit", "--input", inputs, "-k", 7, "--seed", 5, "--max-iters", 8, "--checkpoint", ck, "--resume", "--output",
                         t.path("resumed.h5"), "--progress", "none", *options)
        t.check(result.status == 2 and "skip-bad-rows" in " ".join(result.messages), "not resumed without --skip-bad-rows",
                result.describe())

    few = x[[17, 0, 40, 1, 199]]
    result = t.lloyd("fit", "--input", data.write(t.path("few.h5"), few), "-k", 3, "--skip-bad-rows", "--output", t.path("few-model.h5"))
    t.check(result.status == 3 and "2 rows" in " ".join(result.messages), "more clusters than rows that are left", result.describe())
    made = t.fit(t.path("few.h5"), "few-model.h5", "-k", 2, "--skip-bad-rows", ranks=5)
    t.check(made and sorted(read(made, "labels")) == [-1, -1, -1, 0, 1], "fewer rows left than ranks")
    none = data.write(t.path("none.h5"), np.full((40, 4), np.nan, np.float32))
    for ranks in (1, 3):
        result = t.lloyd("fit", "--input", none, "-k", 1, "--skip-bad-rows", "--output", t.path("none-model.h5"), ranks=ranks)
        t.check(result.status == 3 and "all 40 rows" in " ".join(result.messages) and not os.path.exists(t.path("none-model.h5")),
                "nothing is left", result.describe())
    result = t.lloyd("fit", "--input", one, "-k", 3, "--skip-bad-rows", "--dry-run", "--output", t.path("dry.h5"))
    t.check(result.status == 0 and "200 rows x 4 columns" in result.out, "a plan reads no rows and counts all of them", result.describe())
    clean = t.lloyd("fit", "--input", good, "-k", 3, "--skip-bad-rows", "--output", t.path("clean.h5"), "--progress", "plain")
    t.check(clean.status == 0 and "skipped" not in clean.out + clean.err, "nothing is printed where all rows are good", clean.describe())
    single = x.copy()
    single[[17, 40, 41, 42]] = 1
    result = t.lloyd("fit", "--input", data.write(t.path("single.h5"), single), "-k", 3, "--output", t.path("single-model.h5"))
    t.check(result.status == 3 and "the only such row" in result.err, "a single bad row", result.describe())
    with h5py.File(t.path("single-zero.h5"), "w") as file:
        file["train"] = np.vstack([np.ones((5, 4)), np.zeros((1, 4))]).astype("f4")
    result = t.lloyd("fit", "--input", t.path("single-zero.h5"), "-k", 1, "--metric", "cosine", "--output", t.path("single-model.h5"))
    t.check(result.status == 3 and "--metric l2" in result.err and "the only such row" in result.err, "a single row of zeros",
            result.describe())


same_as_without()
told()
t.finish()
