"""Fits of some rows: bit-identical with a fit of a file that holds just these, in increasing order, on any ranks, in any chunks, from
any format; then all rows are labelled as predict does, or those of the sample."""
import itertools
import os
import signal

import h5py
import numpy as np

import contract
import data
from common import Test, attribute, digest, part_files, read
from fits import STOPPED, Fit

ROWS, DIM, K = 6007, 13, 9
CUTS = (0, 1, 1500, 1500, ROWS)
FITTED = ("/centroids", "/counts", "/history/inertia", "/history/moved")
OPTIONS = ("-k", K, "--max-iters", 7, "--seed", 5, "--progress", "none")


def write_vecs(path, x):
    width = np.full((len(x), 1), x.shape[1], "<i4").view(np.uint8)
    np.hstack([width, np.ascontiguousarray(x).view(np.uint8).reshape(len(x), -1)]).tofile(path)


def write_inputs(t, x, weights):
    """The rows in many ways: {name: (inputs, options)}; files of several formats, one without rows."""
    ways = {}
    for name, storage in (("contiguous", {}), ("compressed", {"chunks": (64, 5), "compression": 4, "shuffle": True}),
                          ("chunked by HDF5", {"chunks": (50, DIM), "fletcher32": True}), ("big-endian", {"dtype": ">f4"})):
        path = t.path(name.replace(" ", "-") + ".h5")
        with h5py.File(path, "w") as file:
            file.create_dataset("train", data=x, **storage)
            file["weights"] = weights
        ways[name] = path, ()
    np.save(t.path("x.npy"), x)
    np.save(t.path("wide.npy"), x.astype(np.float64))
    write_vecs(t.path("x.fvecs"), x)
    x.tofile(t.path("x.raw"))
    ways |= {".npy": (t.path("x.npy"), ()), ".npy of float64": (t.path("wide.npy"), ()), ".fvecs": (t.path("x.fvecs"), ()),
             "headerless": (t.path("x.raw"), ("--raw", "float32", "--dim", DIM))}
    parts = []
    for i, (a, b) in enumerate(zip(CUTS, CUTS[1:])):
        path = t.path(f"part-{i}" + (".npy" if i % 2 else ".h5"))
        np.save(path, x[a:b]) if i % 2 else data.write(path, x[a:b])
        parts.append(path)
    for i, (a, b) in enumerate(((0, 2000), (2000, ROWS))):
        x[a:b].tofile(t.path(f"outside-{i}"))
    with h5py.File(t.path("external.h5"), "w") as file:
        file.create_dataset("train", x.shape, np.float32, external=[(t.path(f"outside-{i}"), 0, n * DIM * 4)
                                                                    for i, n in ((0, 2000), (1, ROWS - 2000))])
    return ways | {"several files": (parts, ()), "two external files": (t.path("external.h5"), ())}


def subsets(rng):
    """Numbers of rows, in any order: dense, sparse, in runs, the ends, all."""
    runs = np.concatenate([np.arange(a, a + 40) for a in range(17, ROWS - 50, 400)])
    return {"dense": rng.permutation(ROWS)[:ROWS * 3 // 4], "sparse": rng.permutation(ROWS)[:60], "runs": rng.permutation(runs),
            "ends": np.r_[ROWS - 1, np.arange(0, ROWS, 97), ROWS - 3], "all": rng.permutation(ROWS)}


def oracle(t, x, weights, rows, options=()):
    """The fit of a file with just these rows, and what predict says of all rows and of these."""
    rows = np.sort(rows)
    data.write(t.path("only.h5"), x[rows], weights=weights[rows])
    model = t.fit(t.path("only.h5"), "only-model.h5", *OPTIONS, *options)
    data.write(t.path("everything.h5"), x)
    skip = [o for o in options if o == "--skip-bad-rows"]
    result = t.lloyd("predict", "--model", model, "--input", t.path("everything.h5"), "--output", t.path("all-labels.h5"), "--distances",
                     "--members", *skip)
    t.check(result.status == 0, "predict", result.describe())
    return model, t.path("all-labels.h5")


def check(t, what, inputs, usual, everything, rows, options, ranks):
    """Both kinds of labels."""
    model = t.fit(inputs, "subset.h5", *OPTIONS, "--rows", t.path("rows.npy"), "--distances", "--members", *options, ranks=ranks)
    t.check_same(f"{what}: the model of a file with these rows", usual, model, FITTED)
    t.check_same(f"{what}: labels, distances and members of all rows are those of predict", everything, model,
                 ("/labels", "/distances", "/members", "/offsets"))
    if model:
        said = attribute(model, "n"), attribute(model, "stored"), attribute(model, "subset")
        t.check(said == (len(rows), ROWS, f"--rows {t.path('rows.npy')}"), f"{what}: the model says so", f"      {said}")


def any_input(t, ways, x, weights, rng):
    kinds = ("contiguous",) if t.quick else ("dense", "sparse", "runs", "ends", "all")
    for kind in kinds if not t.quick else ("dense", "sparse"):
        rows = subsets(rng)[kind]
        np.save(t.path("rows.npy"), rows)
        usual, everything = oracle(t, x, weights, rows)
        for i, (name, (inputs, said)) in enumerate(ways.items()):
            if kind in ("runs", "ends", "all") and i % 3:
                continue
            ranks, more = ((1, ()), (3, ("--chunk-rows", 171)), (2, ()), (1, ("--chunk-rows", 37)))[i % 4]
            check(t, f"{kind}, {name}, {ranks} ranks {more}", inputs, usual, everything, rows, (*said, *more), ranks)


def sample_labels(t, x, weights, rng):
    """--label sample; without labels; with an unbuffered file."""
    rows = subsets(rng)["sparse"]
    np.save(t.path("rows.npy"), rows)
    usual, _ = oracle(t, x, weights, rows)
    os.environ["LLOYD_DIRECT_IO"] = "1"
    for ranks in (1, 3):
        model = t.fit(t.path("x.npy"), "sample.h5", *OPTIONS, "--rows", t.path("rows.npy"), "--label", "sample", "--distances",
                      "--members", ranks=ranks)
        t.check_same(f"--label sample, {ranks} ranks: labels of these rows", usual, model, (*FITTED, "/labels"))
        if model:
            members = [np.flatnonzero(read(usual, "labels") == k) for k in range(K)]
            with h5py.File(model) as file:
                found = np.split(file["members"][:], file["offsets"][1:-1])
                t.check((file["rows"][:] == np.sort(rows)).all(), "/rows has their numbers")
                t.check(all((np.sort(f) == np.sort(rows)[m]).all() for f, m in zip(found, members)), "members are rows of the dataset")
            result = t.lloyd("export", model, "--to", t.path("exported"))
            t.check((np.load(t.path("exported/rows.npy")) == np.sort(rows)).all(), "which are exported too", result.describe())
    del os.environ["LLOYD_DIRECT_IO"]
    model = t.fit(t.path("x.npy"), "none.h5", *OPTIONS, "--rows", t.path("rows.npy"), "--no-labels")
    t.check_same("--no-labels", usual, model, FITTED)
    with h5py.File(model) as file:
        t.check("labels" not in file and "rows" not in file, "no labels are there")
    with h5py.File(t.path("list.h5"), "w") as file:
        file["a"] = rows.astype(np.uint32)
        file["b"] = rows.astype(">i8")
        file["c"] = np.zeros((2, 2), int)
    for name, save in (("u4.npy", rows.astype("<u4")), ("i2.npy", rows.astype("<i2"))):
        np.save(t.path(name), save)
    for source in (t.path("list.h5:/a"), t.path("list.h5:b"), t.path("sample.h5"), t.path("u4.npy"), t.path("i2.npy")):
        t.check_same(f"--rows {os.path.basename(source)}", usual,
                     t.fit(t.path("x.npy"), "other.h5", *OPTIONS, "--rows", source, "--no-labels", ranks=2), FITTED)


def options(t, x, weights, rng):
    """Weights, the cosine metric, seeding on a sample, restarts, initial models, with bad rows inside and outside of the subset."""
    rows = subsets(rng)["dense"]
    np.save(t.path("rows.npy"), rows)
    bad = x.copy()
    inside, outside = rows[:7], np.setdiff1d(np.arange(ROWS), rows)[:5]
    bad[inside, 3] = np.nan
    bad[outside, 4] = np.inf
    data.write(t.path("weighted.h5"), x, weights=weights, chunks=(100, DIM))
    data.write(t.path("bad.h5"), bad, weights=weights)
    for name, source, some in (("weights", "weighted.h5", ("--weights", "weights")), ("cosine", "weighted.h5", ("--metric", "cosine")),
                               ("a sample for seeding", "weighted.h5", ("--init-sample", 700)), ("k-means++", "weighted.h5", ("--init", "kmeans++")),
                               ("restarts", "weighted.h5", ("--n-init", 3, "--init", "random")),
                               ("bad rows", "bad.h5", ("--skip-bad-rows",)),
                               ("bad rows and weights", "bad.h5", ("--skip-bad-rows", "--weights", "weights"))):
        usual, everything = oracle(t, bad if source == "bad.h5" else x, weights, rows, some)
        for ranks, more in ((1, ()), (3, ("--chunk-rows", 300))):
            model = t.fit(t.path(source), "subset.h5", *OPTIONS, "--rows", t.path("rows.npy"), "--distances", *some, *more, ranks=ranks)
            t.check_same(f"{name}, {ranks} ranks: the model", usual, model, FITTED)
            t.check_same(f"{name}, {ranks} ranks: all labels", everything, model, ("/labels", "/distances"))
            if model and source == "bad.h5":
                t.check((attribute(model, "n"), attribute(model, "skipped")) == (len(rows) - 7, 7), "bad rows of the subset are counted")
    good = np.setdiff1d(rows, inside)
    model = t.fit(t.path("bad.h5"), "sample.h5", *OPTIONS, "--rows", t.path("rows.npy"), "--label", "sample", "--skip-bad-rows", ranks=2)
    t.check(model and (read(model, "rows") == np.sort(good)).all() and len(read(model, "labels")) == len(good),
            "--label sample: bad rows are not there")
    result = t.lloyd("fit", "--input", t.path("bad.h5"), *OPTIONS, "--rows", t.path("rows.npy"), "--output", t.path("refused.h5"), ranks=3)
    t.check(result.status == 3 and f"row {min(inside)} of the dataset" in result.messages[0], "a bad row of the subset is named",
            result.describe())
    np.save(t.path("good.npy"), good)
    result = t.lloyd("fit", "--input", t.path("bad.h5"), *OPTIONS, "--rows", t.path("good.npy"), "--output", t.path("refused.h5"), ranks=2)
    t.check(result.status == 3 and f"row {min(np.r_[inside, outside])} of the dataset" in " ".join(result.messages)
            and not os.path.exists(t.path("refused.h5")) and os.path.exists(t.path("refused.h5.no-labels")),
            "a bad row elsewhere ends the labelling, and the model is there without labels", result.describe())


def samples(t, x):
    """--sample: the first rows of the permutation of the contract."""
    source = t.path("x.npy")
    for seed, arguments, size in ((5, ("--sample", 300), 300), (6, ("--sample-per-centroid", 20), 20 * K),
                                  (5, ("--sample-per-centroid", 256), 256 * K), (5, ("--sample", 10**12), ROWS)):
        expected = np.sort(list(itertools.islice(contract.permutation(ROWS, seed), size)))
        models = [t.fit(source, f"sample-{ranks}.h5", "-k", K, "--seed", seed, *arguments, "--label", "sample", *more, ranks=ranks)
                  for ranks, more in ((1, ()), (3, ("--chunk-rows", 77)))]
        if None not in models:
            t.check((read(models[0], "rows") == expected).all(), f"{arguments}, seed {seed}: the rows of the permutation")
            t.check_same(f"{arguments}, seed {seed}: on three ranks", *models, (*FITTED, "/labels", "/rows"))
    log = t.path("log.jsonl")
    t.fit(source, "shown.h5", "-k", K, "--sample", 300, "--log", log)
    with open(log, encoding="utf-8") as file:
        text = file.read()
    t.check(f'"stored":{ROWS},"subset":"--sample 300"' in text and '"phase":"label all rows"' in text, "the log says so", text[:500])
    for words, command in (("300 of 6,007 rows (--sample 300)", ("info", "shown.h5")), ("rows of the inputs", ("report", "shown.h5", "-o", "r.html"))):
        result = t.lloyd(*command)
        text = result.out if command[0] == "info" else open(t.path("r.html"), encoding="utf-8").read()
        t.check(result.status == 0 and words in text, f"{command[0]} says so", result.describe())
    result = t.lloyd("fit", "--input", source, "-k", K, "--sample", 300, "--output", t.path("dry.h5"), "--dry-run", ranks=2)
    t.check(result.status == 0 and "300 of 6,007 rows" in result.out and "labelling all rows" in result.out and
            not os.path.exists(t.path("dry.h5")), "--dry-run", result.describe())


def sparse(t):
    """Some rows of a file that is larger than any disk: nothing else is read."""
    n, wanted = 10**9, np.array([7, 10**9 - 1, 5 * 10**8, 12345678, 10**6])
    x = np.random.default_rng(3).normal(size=(len(wanted), 16)).astype(np.float32)
    with open(t.path("huge.npy"), "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (n, 16)})
        start = file.tell()
        for row, values in zip(wanted, x):
            file.seek(start + int(row) * 64)
            file.write(values.tobytes())
        file.truncate(start + n * 64)
    np.save(t.path("rows.npy"), wanted)
    model = t.fit(t.path("huge.npy"), "huge.h5", "-k", 2, "--rows", t.path("rows.npy"), "--label", "sample", timeout=60)
    data.write(t.path("few.h5"), x[np.argsort(wanted)])
    t.check_same("five rows of a billion", t.fit(t.path("few.h5"), "few-model.h5", "-k", 2), model, (*FITTED, "/labels"))
    os.remove(t.path("huge.npy"))


def resumed(t):
    """Killed or stopped in an iteration, or while all rows are labelled: the same result; another subset is refused."""
    source, checkpoint, model = t.path("x.npy"), t.path("fit.ck"), t.path("resumed.h5")
    options = ["--input", source, *OPTIONS, "--sample", 2000]
    usual = t.fit(source, "usual.h5", *OPTIONS, "--sample", 2000)
    for what, hold, number in (("killed in iteration 4", '"iteration":4,', signal.SIGKILL), ("stopped in iteration 4", '"iteration":4,', signal.SIGTERM),
                               ("killed before labelling", '"phase":"final assignment"', signal.SIGKILL),
                               ("stopped before labelling", '"phase":"final assignment"', signal.SIGTERM)):
        for ranks in (1, 2):
            for path in (checkpoint, model):
                if os.path.exists(path):
                    os.remove(path)
            fit = Fit(t, [*options, "--output", model, "--checkpoint", checkpoint, "--checkpoint-every", "1"], ranks, hold=hold)
            fit.send(number, "all")
            result = fit.end(release=number != signal.SIGKILL)
            t.check((number == signal.SIGKILL or ranks > 1 or result.status == STOPPED) and not os.path.exists(model),
                    f"{what}, {ranks} ranks: status {result.status}, no model", result.describe())
            wrong = t.lloyd("fit", *options[:-1], 2001, "--output", model, "--checkpoint", checkpoint, "--resume")
            t.check(wrong.status == 2 and "--sample" in wrong.messages[-1], f"{what}: another sample is refused", wrong.describe())
            result = t.lloyd("fit", *options, "--output", model, "--checkpoint", checkpoint, "--resume", "--chunk-rows", 333, ranks=3 - ranks)
            t.check(result.status == 0 and "resuming from" in result.err, f"{what}: it resumes", result.describe())
            t.check_same(f"{what}, {ranks} ranks: the model of a run without interruption", usual, model)
    rows = np.sort(np.random.default_rng(8).permutation(ROWS)[:900])
    np.save(t.path("rows.npy"), rows)
    listed = ["--input", source, *OPTIONS, "--rows", t.path("rows.npy"), "--output", model, "--checkpoint", checkpoint]
    t.lloyd("fit", *listed)
    rows[450] += 1 if rows[451] > rows[450] + 1 else 0
    rows[0] = rows[0] - 1 if rows[0] > 0 else rows[0] + 1
    np.save(t.path("rows.npy"), np.unique(rows))
    result = t.lloyd("fit", *listed, "--resume")
    t.check(result.status == 3 and "other data" in result.messages[-1], "another list of as many rows is refused", result.describe())
    t.check(not part_files(model), "no partial files are left")


def refused(t):
    source, before = t.path("x.npy"), digest(t.path("x.npy"))
    lists = {"large.npy": [3, 5, ROWS, -1], "negative.npy": [3, -5], "twice.npy": [3, 5, 7, 5, 3], "none.npy": []}
    for name, values in lists.items():
        np.save(t.path(name), np.array(values, np.int64))
    np.save(t.path("matrix.npy"), np.zeros((3, 3), np.int64))
    np.save(t.path("floats.npy"), np.arange(3.0))
    np.save(t.path("cut.npy"), np.arange(30))
    os.truncate(t.path("cut.npy"), os.path.getsize(t.path("cut.npy")) - 3)
    np.save(t.path("few.npy"), np.arange(K - 1))
    with h5py.File(t.path("lists.h5"), "w") as file:
        file["a"], file["b"], file["c"] = np.arange(9), np.arange(9), np.arange(9.0)
    for what, arguments, status, words in (
            ("too large", ("--rows", t.path("large.npy")), 3, f"entry 2 (counted from 0) is row {ROWS}"),
            ("negative", ("--rows", t.path("negative.npy")), 3, "entry 1 (counted from 0) is row -5"),
            ("twice", ("--rows", t.path("twice.npy")), 3, "entry 3 (counted from 0) is row 5 once more"),
            ("none", ("--rows", t.path("none.npy")), 3, "no row numbers"), ("a matrix", ("--rows", t.path("matrix.npy")), 3, "2 dimensions"),
            ("floats", ("--rows", t.path("floats.npy")), 3, "'<f8'"), ("cut off", ("--rows", t.path("cut.npy")), 3, "not copied completely"),
            ("not there", ("--rows", t.path("gone.npy")), 3, "gone.npy"), ("no dataset", ("--rows", t.path("lists.h5")), 3, "FILE:/NAME"),
            ("another dataset", ("--rows", t.path("lists.h5:/d")), 3, "no dataset /d"), ("of floats", ("--rows", t.path("lists.h5:/c")), 3, "whole numbers"),
            ("fewer than K", ("--rows", t.path("few.npy")), 3, "rows of the sample"), ("a sample below K", ("--sample", 3), 3, "rows of the sample"),
            ("two of them", ("--rows", t.path("few.npy"), "--sample", 30), 2, "give one of them"),
            ("two samples", ("--sample", 30, "--sample-per-centroid", 30), 2, "give one of them"),
            ("--label without one", ("--label", "all"), 2, "--label all is for"),
            ("an output that is the list", ("--rows", t.path("large.npy"), "--output", t.path("large.npy")), 3, "entry 2")):
        for ranks in (1, 3):
            output = () if "--output" in arguments else ("--output", t.path("refused.h5"))
            result = t.lloyd("fit", "--input", source, *OPTIONS, *arguments, *output, ranks=ranks)
            t.check(result.status == status and len(result.messages) == 1 and words in result.messages[0] and
                    not os.path.exists(t.path("refused.h5")), f"{what}, {ranks} ranks: {' '.join(result.messages)[7:]}", result.describe())
    np.save(t.path("list.npy"), np.arange(100))
    result = t.lloyd("fit", "--input", source, *OPTIONS, "--rows", t.path("list.npy"), "--output", t.path("list.npy"), "--force")
    t.check(result.status == 2 and "--rows" in result.messages[0], "the list is not replaced", result.describe())
    t.check(digest(source) == before, "the input is as it was")


def main():
    t = Test("subsets", lambda parser: parser.add_argument("--held", required=True, help="the program that can be held"))
    t.held_path = os.path.abspath(t.options.held)
    rng = np.random.default_rng(2)
    x, weights = data.gaussian(ROWS, DIM, 11), rng.random(ROWS).astype(np.float32)
    ways = write_inputs(t, x, weights)
    t.steps((any_input, ways, x, weights, rng), (sample_labels, x, weights, rng), (options, x, weights, rng), (samples, x), (sparse,), (resumed,), (refused,))
    t.finish()


main()
