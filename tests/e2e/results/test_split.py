"""lloyd split: each cluster's sub-clusters are those of a fit of its rows alone, bit for bit, for every kind of rows and option, on any
number of ranks, in one pass over the rows or several; which rank fits which cluster is nowhere to be seen; a split that continues from a
checkpoint of some of its clusters gives the same bits; and bad input."""
import os

import h5py
import numpy as np

import data
import sealed
from common import Test, attribute, differences, digest, part_files

ALL = ("/centroids", "/counts", "/labels", "/parents", "/distances", "/members", "/offsets")


def dhondt(sizes, total):
    """How many sub-clusters each cluster gets: one if it has rows, then to the one with the most rows per sub-cluster."""
    parts = [int(size > 0) for size in sizes]
    while sum(parts) < total:
        best = 0
        for c, size in enumerate(sizes):
            if size * max(parts[best], 1) > sizes[best] * parts[c]:
                best = c
        parts[best] += 1
    return parts


class Case:
    """Rows, the fit of their clusters, and the options of the fits of these."""

    def __init__(self, t, name, x, k, *options, fit=(), weights=None, dtype=None):
        self.name, self.x, self.options, self.fit, self.weights, self.dtype = name, x, options, fit, weights, dtype
        self.rows = data.write(t.path(f"{name}.h5"), x, weights=weights, dtype=dtype)
        self.parent = t.fit(self.rows, f"{name}-model.h5", "-k", k, "--max-iters", 5, "--progress", "none", *fit)

    def common(self):
        """The options that a fit of some rows shares with the split."""
        return [o for o in self.options if o != "--skip-bad-rows"]


def sub_clusters(sizes, share):
    return [min(share, size) for size in sizes] if share > 0 else dhondt(sizes, -share)


def expected(t, case, share, seed):
    """The split by a fit for each cluster, of a file with its rows."""
    with h5py.File(case.parent) as file:
        labels, k, d = file["labels"][:], len(file["centroids"]), file["centroids"].shape[1]
        cosine = file.attrs["metric"] == "cosine"
    sizes = [int((labels == c).sum()) for c in range(k)]
    parts = sub_clusters(sizes, share)
    right = {"/centroids": np.zeros((0, d), np.float32), "/counts": np.zeros(0, np.int64), "/labels": np.full(len(labels), -1, np.int32),
             "/distances": np.full(len(labels), np.nan, np.float32), "/parents": np.repeat(np.arange(k, dtype=np.int32), parts)}
    inertia = 0.0
    for c in range(k):
        rows = np.flatnonzero(labels == c)
        if len(rows) == 0:
            continue
        path = data.write(t.path("rows-of-one.h5"), case.x[rows], weights=None if case.weights is None else case.weights[rows], dtype=case.dtype)
        model = t.fit(path, "model-of-one.h5", "-k", parts[c], "--seed", (seed + c) % 2**64, "--distances", "--progress", "none",
                      *(("--metric", "cosine") if cosine else ()), *case.common())
        with h5py.File(model) as file:
            right["/labels"][rows] = file["labels"][:] + len(right["/centroids"])
            right["/distances"][rows] = file["distances"][:]
            right["/counts"] = np.concatenate([right["/counts"], file["counts"][:]])
            right["/centroids"] = np.concatenate([right["/centroids"], file["centroids"][:]])
            inertia += float(file.attrs["inertia"])
    return right, inertia


def check_members(t, what, path):
    """The rows of each sub-cluster, nearest first: the distances are there rounded, so only their order is compared."""
    with h5py.File(path) as file:
        labels, distances, counts = file["labels"][:], file["distances"][:], file["counts"][:]
        members, offsets = file["members"][:], file["offsets"][:]
    ok = np.array_equal(offsets, np.concatenate([[0], np.cumsum(counts)])) and np.array_equal(np.sort(members), np.flatnonzero(labels >= 0))
    for k, (begin, end) in enumerate(zip(offsets[:-1], offsets[1:])):
        part = members[begin:end]
        ok = ok and (labels[part] == k).all() and (np.diff(distances[part]) >= 0).all()
    t.check(ok, what)


def split(t, case, share, output, *more, ranks=1, **how):
    sizes = ("-k", share) if share > 0 else ("--total", -share)
    return t.lloyd("split", "--model", case.parent, "--input", case.rows, *sizes, "--output", output, "--distances", "--members",
                   "--progress", "none", *case.options, *more, ranks=ranks, **how)


def check_case(t, case, share, seed, every_rank):
    right, inertia = expected(t, case, share, seed)
    one = t.path("split-1.h5")
    for ranks in (1, 2, 3, 5) if every_rank else (1, 3):
        path = t.path(f"split-{ranks}.h5")
        result = split(t, case, share, path, "--seed", seed, "--force", ranks=ranks)
        what = f"{case.name}, {share}, seed {seed}, {ranks} ranks"
        if not t.check(result.status == 0, f"{what}: ends with 0", result.describe()):
            return
        wrong = ""
        with h5py.File(path) as file:
            for name, values in right.items():
                there = file[name][()]
                if there.dtype != values.dtype or not np.array_equal(there, values, equal_nan=there.dtype.kind == "f"):
                    wrong += f"      {name}: {there} is not {values}\n"
            if file.attrs["inertia"] != inertia:
                wrong += f"      inertia {file.attrs['inertia']!r} is not {inertia!r}\n"
        t.check(not wrong, f"{what}: as a fit of each cluster", wrong)
        if ranks > 1:
            t.check(not (found := differences(one, path, ALL)), f"{what}: as on one rank", found)
        else:
            check_members(t, f"{what}: members", path)


def every_kind(t):
    """Rows of every kind; -share: --total."""
    rng = np.random.default_rng(4)
    sift = data.load(t.data("sift-20k.h5"), 3001).astype(np.uint8)
    bad = data.gaussian(700, 6, 5, 4)
    bad[[0, 3, 4, 350, 699]] = np.nan
    weights = rng.uniform(0.1, 3, 900).astype(np.float32)
    few = np.repeat(data.gaussian(40, 3, 5), 5, axis=0)
    cases = [
        (Case(t, "bytes", sift, 6), 9, 0),
        (Case(t, "bytes-total", sift, 6, "--init", "random", "--max-iters", 4), -57, 2**64 - 3),
        (Case(t, "cosine", data.gaussian(900, 12, 7).astype(np.float16), 5, "--n-init", 2, fit=("--metric", "cosine"), dtype=np.float16), 4, 7),
        (Case(t, "weighted", data.gaussian(900, 5, 8), 4, "--weights", "weights", "--tol", 0.01, fit=("--weights", "weights"), weights=weights), 6, 1),
        (Case(t, "bad", bad, 7, "--skip-bad-rows", fit=("--skip-bad-rows",)), 5, 3),
        (Case(t, "few", few, 30, "--init", "kmeans++", "--empty", "keep"), 8, 4),
        (Case(t, "one", data.gaussian(300, 4, 9), 1), 3, 0),
        (Case(t, "all", data.gaussian(60, 4, 9), 60), 3, 0),
        (Case(t, "long", data.gaussian(40, 20000, 9), 3), 2, 0),
    ]
    chosen = cases[:1] + cases[4:6] if t.quick else cases
    for number, (case, share, seed) in enumerate(chosen):
        check_case(t, case, share, seed, number == 0)


def resumed(t):
    """A checkpoint has some of the clusters: the rest is fitted, and all is as in one run, on other ranks and with other threads too."""
    rng = np.random.default_rng(6)
    weights = rng.uniform(0.1, 3, 900).astype(np.float32)
    bad = data.gaussian(700, 6, 5, 4)
    bad[[0, 3, 4, 350, 699]] = np.nan
    few = np.repeat(data.gaussian(40, 3, 5), 5, axis=0)
    cases = [
        (Case(t, "part", data.load(t.data("sift-20k.h5"), 3001).astype(np.uint8), 6), 9),
        (Case(t, "part-cosine", data.gaussian(900, 12, 7).astype(np.float16), 5, "--n-init", 2, fit=("--metric", "cosine"), dtype=np.float16), 4),
        (Case(t, "part-weighted", data.gaussian(900, 5, 8), 4, "--weights", "weights", "--tol", 0.01, fit=("--weights", "weights"),
              weights=weights), -31),
        (Case(t, "part-bad", bad, 7, "--skip-bad-rows", "--max-iters", 3, fit=("--skip-bad-rows",)), 5),
        (Case(t, "part-few", few, 30, "--init", "kmeans++", "--empty", "keep"), 8),
        (Case(t, "part-long", data.gaussian(40, 20000, 9), 3), 2),
    ]
    for case, share in cases[:2] + cases[4:5] if t.quick else cases:
        whole, all_done = t.path(f"{case.name}-whole.h5"), t.path(f"{case.name}-all.ck")
        result = split(t, case, share, whole, "--checkpoint", all_done)
        if not t.check(result.status == 0 and os.path.exists(all_done), f"{case.name}: with a checkpoint", result.describe()):
            continue
        with h5py.File(whole) as file:
            parts = np.bincount(file["parents"][()], minlength=int(file.attrs["parent_k"]))
            inertia = file.attrs["inertia"]
        there = sealed.clusters_of(all_done)
        t.check(np.array_equal(there, np.flatnonzero(parts)), f"{case.name}: the checkpoint has all clusters", f"      {there}")
        for what, chosen, ranks, threads in (("even ones", lambda c: c % 2 == 0, 3, 1), ("odd ones", lambda c: c % 2 == 1, 1, 2),
                                             ("the last", lambda c, last=there[-1]: c == last, 2, 1), ("all", lambda c: True, 1, 1)):
            checkpoint, path = t.path(f"{case.name}-some.ck"), t.path(f"{case.name}-resumed.h5")
            sealed.keep(all_done, chosen, parts, checkpoint)
            result = split(t, case, share, path, "--checkpoint", checkpoint, "--resume", "--force", ranks=ranks, threads=threads)
            name = f"{case.name}, {what} done, {ranks} ranks, {threads} threads"
            count = sum(map(chosen, there))
            if t.check(result.status == 0 and f"{count} of {len(parts)} clusters are from" in result.out, name, result.describe()):
                t.check(not (found := differences(whole, path, ALL)), f"{name}: the same bits", found)
                t.check(attribute(path, "inertia") == inertia and attribute(path, "converged") == attribute(whole, "converged"),
                        f"{name}: the same inertia, and what has converged")
                t.check(np.array_equal(sealed.clusters_of(checkpoint), there), f"{name}: the checkpoint has all clusters again")
        sealed.keep(all_done, lambda c, first=there[:3]: c in first, parts, checkpoint)
        sealed.change(checkpoint, "inertia", 1, 1.25)
        before = digest(checkpoint)
        result = split(t, case, share, path, "--checkpoint", checkpoint, "--resume", "--force", ranks=2)
        t.check(result.status == 3 and f"cluster {there[1]}" in result.messages[-1] and "1.25" in result.messages[-1] and
                digest(checkpoint) == before, f"{case.name}: another inertia than the rows have", result.describe())


def several_passes(t):
    """Little memory: the rows are read again for the clusters that do not fit at first. The same bits."""
    weights = np.random.default_rng(5).uniform(0.1, 3, 40000).astype(np.float32)
    case = Case(t, "wide", data.gaussian(40000, 256, 3), 25, "--weights", "weights", weights=weights)
    plan = split(t, case, 3, "unused.h5", "--dry-run")
    planned = [float(line.split()[1]) for line in plan.out.splitlines() if line.split()[:1] == ["memory"]]
    if not t.check(plan.status == 0 and len(planned) == 1 and "read once" in plan.out and not os.path.exists(t.path("unused.h5")),
                   "the plan", plan.describe()):
        return
    whole = t.path("whole.h5")
    result = split(t, case, 3, whole)
    t.check(result.status == 0, "in one pass", result.describe())
    result = split(t, case, 3, t.path("ranks.h5"), ranks=3)  # rows of several ranks come in turns
    t.check(result.status == 0 and not (found := differences(whole, t.path("ranks.h5"), ALL)), "in one pass, 3 ranks: the same bits",
            result.describe() + (found if result.status == 0 else ""))
    limit = f"{int(planned[0]) - 20}MB"
    for ranks in (1, 2):
        again = split(t, case, 3, t.path("passes.h5"), "--max-host-memory", limit, "--dry-run", ranks=ranks)
        many = "passes" in again.out and "read once" not in again.out
        t.check(many or ranks > 1, f"{limit} are several passes", again.describe())
        result = split(t, case, 3, t.path("passes.h5"), "--max-host-memory", limit, "--force", ranks=ranks)
        t.check(result.status == 0 and not (found := differences(whole, t.path("passes.h5"), ALL)), f"{limit}, {ranks} ranks: the same bits",
                result.describe() + (found if result.status == 0 else ""))
    checkpoint = t.path("wide.ck")
    result = split(t, case, 3, t.path("passes.h5"), "--max-host-memory", limit, "--checkpoint", checkpoint, "--force")
    t.check(result.status == 0, "several passes with a checkpoint", result.describe())
    sealed.keep(checkpoint, lambda c: c % 3 == 0, [3] * 25, checkpoint + "2")
    result = split(t, case, 3, t.path("passes.h5"), "--max-host-memory", limit, "--checkpoint", checkpoint + "2", "--resume", "--force", ranks=2)
    t.check(result.status == 0 and "9 of 25 clusters are from" in result.out and not (found := differences(whole, t.path("passes.h5"), ALL)),
            "several passes, resumed on 2 ranks: the same bits", result.describe() + (found if result.status == 0 else ""))
    result = split(t, case, 3, t.path("none.h5"), "--max-host-memory", "1M")
    t.check(result.status == 2 and "more clusters" in result.err and len(result.messages) == 1, "1 MB are too little", result.describe())


def side_by_side(t):
    """Several threads fit small clusters at a time: the same bits, and of the rows that cannot be clustered the same one is named."""
    x = data.gaussian(6000, 10, 14, 40)
    case = Case(t, "side", x, 40)
    hole = x.copy()
    hole[::7] = np.nan  # in every cluster
    bad = data.write(t.path("side-hole.h5"), hole)
    told = set()
    for threads in (1, 2, 4):
        path = t.path(f"side-{threads}.h5")
        result = t.lloyd("split", "--model", case.parent, "--input", case.rows, "-k", 7, "--output", path, "--distances", "--members",
                         "--progress", "none", threads=threads)
        if t.check(result.status == 0, f"{threads} threads", result.describe()) and threads > 1:
            t.check(not (found := differences(t.path("side-1.h5"), path, ALL)), f"{threads} threads: the same bits", found)
        plan = t.lloyd("split", "--model", case.parent, "--input", case.rows, "-k", 7, "--output", path, "--dry-run", "--force", threads=threads)
        words = f"{threads} at a time" if threads > 1 else "one after the other"
        t.check(plan.status == 0 and words in plan.out, f"{threads} threads: the plan says {words}", plan.describe())
        result = t.lloyd("split", "--model", case.parent, "--input", bad, "-k", 7, "--output", t.path("side-bad.h5"), "--progress", "none",
                         threads=threads)
        t.check(result.status == 3 and len(result.messages) == 1, f"{threads} threads: a row cannot be clustered", result.describe())
        told.update(result.messages)
    t.check(len(told) == 1, "the same row for any number of threads", f"      {told}")


def with_others(t):
    """Labels of predict; what else reads the model."""
    x = data.gaussian(2000, 8, 12)
    rows = data.write(t.path("x.h5"), x)
    half = t.fit(data.write(t.path("half.h5"), x[:1000]), "half-model.h5", "-k", 5, "--progress", "none")
    t.lloyd("predict", "--model", half, "--input", rows, "--output", t.path("labels.h5"))
    made = ("split", "--model", half, "--input", rows, "-k", 4, "--members", "--progress", "none")
    result = t.lloyd(*made, "--labels", t.path("labels.h5"), "--output", t.path("children.h5"))
    t.check(result.status == 0, "labels of predict", result.describe())
    with h5py.File(t.path("children.h5")) as file, h5py.File(t.path("labels.h5")) as labels:
        t.check(np.array_equal(file["parents"][:][file["labels"][:]], labels["labels"][:]), "each row stays in its cluster")
        t.check(file.attrs["parent"] == half and file.attrs["k"] == 20, "the model says what it is from")
    result = t.lloyd(*made, "--output", t.path("none.h5"))
    t.check(result.status == 3 and "1000" in result.err and "--labels" in result.err, "labels of other rows", result.describe())
    for command, words in ((("info", t.path("children.h5")), half), (("report", t.path("children.h5"), "-o", t.path("r.html")), "r.html"),
                           (("export", t.path("children.h5"), "--to", t.path("arrays")), "arrays"),
                           (("select", t.path("children.h5"), "--sample", 40, "-o", t.path("rows.npy")), "40 of 2,000 rows"),
                           (("predict", "--model", t.path("children.h5"), "--input", rows, "--output", t.path("again.h5")), "20 centroids")):
        result = t.lloyd(*command)
        t.check(result.status == 0 and words in result.out, f"lloyd {command[0]} of it", result.describe())
    labels = np.load(t.path("arrays/cluster_assignment.npy"))
    result = t.lloyd("select", t.path("children.h5"), half, "--sample", 40, "-o", t.path("even.npy"))
    even = np.bincount(labels[np.load(t.path("even.npy"))] // 4) if result.status == 0 else []
    t.check(np.array_equal(even, [8] * 5), "the two models as levels of select", result.describe() + f"      {even}")
    t.lloyd("split", "--model", half, "--labels", t.path("labels.h5"), "--input", rows, "--total", 2000, "--members", "--output", t.path("each.h5"))
    result = t.lloyd("select", t.path("each.h5"), t.path("labels.h5"), "--sample", 40, "-o", t.path("even.npy"), "--force")
    even = np.bincount(labels[np.load(t.path("even.npy"))] // 4) if result.status == 0 else []
    t.check(np.array_equal(even, [8] * 5), "the same with a sub-cluster for each row", result.describe() + f"      {even}")
    result = t.lloyd("select", t.path("children.h5"), t.path("labels.h5"), "--sample", 40, "-o", t.path("even.npy"), "--force")
    t.check(result.status == 0, "labels of predict as a level", result.describe())
    two = t.fit(rows, "two.h5", "-k", 2, "--progress", "none")
    result = t.lloyd("select", t.path("children.h5"), two, "--sample", 40, "-o", t.path("even.npy"), "--force")
    t.check(result.status == 3 and "the model that this one splits" in result.err, "another model as a level", result.describe())
    t.check(np.array_equal(np.load(t.path("arrays/parents.npy")), np.repeat(np.arange(5), 4)), "the exported parents")


def refused(t):
    rows = data.write(t.path("r.h5"), data.gaussian(300, 4, 2))
    model = t.fit(rows, "r-model.h5", "-k", 3, "--progress", "none")
    bare = t.fit(rows, "r-bare.h5", "-k", 3, "--no-labels", "--progress", "none")
    fewer = t.fit(rows, "r-fewer.h5", "-k", 2, "--progress", "none")
    hole = data.gaussian(300, 4, 2)
    hole[17] = np.inf
    bad = data.write(t.path("r-bad.h5"), hole)
    skipped = t.fit(bad, "r-skipped.h5", "-k", 3, "--skip-bad-rows", "--progress", "none")
    wide = data.write(t.path("r-wide.h5"), data.gaussian(300, 5, 2))
    strange, light = t.path("r-strange.h5"), t.path("r-light.h5")
    with h5py.File(strange, "w") as file:
        file["labels"] = np.full(300, 2, np.int32)
    with h5py.File(model) as file:
        data.write(light, data.gaussian(300, 4, 2), weights=(file["labels"][:] != 1).astype(np.float32))
    before = digest(model)
    for ranks in (1, 2) if not t.quick else (1,):
        for status, words, *arguments in (
                (2, "-k or --total", "--model", model, "--input", rows), (2, "not both", "--model", model, "--input", rows, "-k", 2, "--total", 9),
                (2, "3 clusters", "--model", model, "--input", rows, "--total", 2), (2, "300 rows", "--model", model, "--input", rows, "--total", 301),
                (3, "--labels", "--model", bare, "--input", rows, "-k", 2), (3, "5", "--model", model, "--input", wide, "-k", 2),
                (3, "3 clusters x 4 columns", "--model", fewer, "--labels", model, "--input", rows, "-k", 2),
                (3, "none of the 2 clusters", "--model", fewer, "--labels", strange, "--input", rows, "-k", 2),
                (3, "--skip-bad-rows", "--model", skipped, "--input", bad, "-k", 2), (3, "row 17 cannot", "--model", model, "--input", bad, "-k", 2),
                (3, "have weight 0", "--model", model, "--input", light, "-k", 2, "--weights", "weights"),
                (3, "gone.h5", "--model", t.path("gone.h5"), "--input", rows, "-k", 2), (2, "--init", "--model", model, "--input", rows, "-k", 2, "--init", model),
                (2, "-k", "--model", model, "--input", rows, "-k", 0)):
            result = t.lloyd("split", *arguments, "--output", t.path("out.h5"), "--progress", "none", ranks=ranks)
            t.check(result.status == status and len(result.messages) == 1 and words in result.messages[0] and not os.path.exists(t.path("out.h5")) and
                    not part_files(t.path("out.h5")), f"{ranks} ranks: {words}", result.describe())
    result = t.lloyd("split", "--model", model, "--input", rows, "-k", 2, "--output", model, "--force")
    t.check(result.status == 2 and digest(model) == before, "the model as output", result.describe())


def many_labels(t):
    """More labels than are read at a time, by several threads: each row has its own, and of several bad ones the first is named."""
    n, k = 1_200_000, 5
    x = np.random.default_rng(4).standard_normal((n, 1)).astype(np.float32)
    rows, few = data.write(t.path("many.h5"), x), data.write(t.path("many-few.h5"), x[:1000])
    given = t.path("many-labels.h5")
    model = t.fit(few, "many-model.h5", "-k", k, "--progress", "none")

    def split(labels, path, *arguments, **more):
        with h5py.File(given, "w") as file:
            file["labels"] = labels
        return t.lloyd("split", "--model", model, "--labels", given, "--input", path, "-k", 1, "--init", "random", "--max-iters", 1,
                       "--output", t.path("many-split.h5"), "--force", "--progress", "none", *arguments, **more)

    labels = np.random.default_rng(5).integers(k, size=n).astype(np.int32)
    labels[:3000] = 1
    x[(np.arange(n) % 4999 < 2) | (np.arange(n) // 5000 == 210)] = np.nan
    hole = data.write(t.path("many-hole.h5"), x)
    for path, expected, *more in ((rows, labels), (hole, np.where(np.isnan(x[:, 0]), -1, labels), "--skip-bad-rows")):
        for ranks, threads in ((1, 4), (3, 2)) if not t.quick else ((1, 4),):
            result = split(labels, path, *more, ranks=ranks, threads=threads)
            if t.check(result.status == 0, f"{n} labels, {ranks} ranks, {threads} threads {more}", result.describe()):
                with h5py.File(t.path("many-split.h5")) as file:
                    t.check(np.array_equal(file["labels"][:], expected), "each row is in its cluster")
                    t.check(np.array_equal(file["counts"][:], np.bincount(expected[expected >= 0], minlength=k)), "and is counted there")
    os.remove(t.path("many-split.h5"))
    for places in ((10, 1_100_000), (300_000, 700_000, 900_000), (1_048_575, 1_048_576)):
        bad = labels.copy()
        for i, place in enumerate(places):
            bad[place] = k + i if i % 2 == 0 else -2 - i
        for ranks, threads in ((1, 4), (2, 2)) if not t.quick else ((1, 4),):
            result = split(bad, rows, ranks=ranks, threads=threads)
            t.check(result.status == 3 and len(result.messages) == 1 and f"row {places[0]} has the label {k} in" in result.messages[0] and
                    not os.path.exists(t.path("many-split.h5")), f"{places} have no cluster, {ranks} ranks, {threads} threads", result.describe())


def main():
    t = Test("split")
    t.steps((every_kind,), (resumed,), *(() if t.quick else ((several_passes,),)), (side_by_side,), (with_others,), (refused,), (many_labels,))
    t.finish()


main()
