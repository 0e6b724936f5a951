"""report and info: clusters by number, distances and warnings, against NumPy, for models of fits and models made by hand."""
import os

import h5py
import numpy as np

import data
from common import Test, attribute, read
from pages import Page, make, refuse, report, text_of

NAMED = 10  # clusters of a table
WITHIN = 1 / 4000  # of a quantile: the middle of a bin of 1/2048
SMALLEST = 2.0 ** -137  # what is less is 0 to the bins


def number(cell):
    return np.nan if cell == "–" else cell


def expected_tables(rows, inertia=None):
    """The three tables: cluster, rows, share of the rows, mean distance, inertia, share of the inertia."""
    filled = np.flatnonzero(rows)
    columns = [np.arange(len(rows)), rows, 100 * rows / rows.sum()]
    orders = {"largest": -rows[filled], "smallest": rows[filled]}
    if inertia is not None:
        with np.errstate(all="ignore"):
            mean = inertia / rows
            columns += [mean, inertia, 100 * inertia / inertia.sum()]
        orders["widest"] = -mean[filled]
    return {name: np.stack(columns, 1)[filled[np.argsort(keys, kind="stable")][:NAMED]] for name, keys in orders.items()}


def check_tables(t, what, page, rows, inertia=None):
    for name, expected in expected_tables(np.asarray(rows), inertia).items():
        found = np.array([[number(cell) for cell in row] for row in page.table(name)[1:]], np.float64)
        same = found.shape == expected.shape and np.array_equal(found[:, :2], expected[:, :2])
        t.check(same and np.allclose(found, np.where(np.isfinite(expected), expected, np.nan), rtol=1e-12, atol=0, equal_nan=True),
                f"{what}: {len(expected)} clusters of the table '{name}' are NumPy's", f"      {found}\n      {expected}")
    if inertia is None:
        t.check(page.find("widest") is None, f"{what}: no table by distance")


def check_distances(t, what, page, distances):
    """The quantities, the table of the bins and its plot; distances: those of rows that were not skipped."""
    d = np.sort(distances.astype(np.float64))
    table = {row[0]: number(row[1]) for row in page.table("distances")}
    exact = {"smallest": d[0], "largest": d[-1], "mean": d.sum() / len(d), "sum": d.sum(), "rows": len(d)}
    wrong = [name for name, value in exact.items()
             if not (abs(table[name] - value) <= 1e-12 * value or (np.isinf(value) and np.isnan(table[name])))]
    for name, share in (("median", 0.5), ("99 of 100 have no more than", 0.99)):
        value = d[int(np.ceil(share * len(d))) - 1]
        if not (abs(table[name] - value) <= max(WITHIN * value, SMALLEST) or (np.isinf(value) and np.isnan(table[name]))):
            wrong.append(name)
    t.check(not wrong, f"{what}: the table of distances is NumPy's", f"      {wrong} {table}")
    plot = page.svg("distances-plot")
    drawn = d[(d >= SMALLEST) & np.isfinite(d)]
    if not t.check((plot is not None) == (len(drawn) > 0), f"{what}: there is a plot where there is something to draw") or plot is None:
        return
    bins = [[0 if cell == "–" else cell for cell in row] for row in page.table("distance-bins")[1:]]
    bins = np.array(bins, np.float64)
    counts = [((d >= low) & ((d < high) | (high == 0))).sum() for low, high in bins[:, :2]]
    t.check(np.array_equal(bins[:, 2], counts) and sum(counts) == len(d) and np.array_equal(bins[:-1, 1], bins[1:, 0])
            and np.allclose(bins[:, 3], 100 * np.array(counts) / len(d), rtol=1e-12),
            f"{what}: {len(bins)} bins hold every row", f"      {bins}\n      {counts}")
    within = bins[(bins[:, 0] > 0) & (bins[:, 1] > 0)]
    t.check(1 <= len(within) <= 32 and within[:, 2].sum() >= 0.997 * len(drawn), f"{what}: the plot has most rows in up to 32 bars",
            f"      {within}")
    full = within[within[:, 2] > 0]
    bars = [(text_of(bar), float(bar.get("x")), float(bar.get("width")), float(bar.get("height"))) for bar in plot.iter("rect")]
    height = max(bar[3] for bar in bars) / full[:, 2].max()
    t.check([bar[0].rsplit(" ", 1)[1] for bar in bars] == [f"{rows:,.0f}" for rows in full[:, 2]]
            and np.allclose([bar[3] for bar in bars], full[:, 2] * height, rtol=0, atol=0.1), f"{what}: the bars are the bins", f"      {bars}")
    # Names of marks, and where they stand: between the edges of their bar.
    marks = {text_of(text): text for text in plot.iter("text") if text_of(text) in ("median", "99 %")}
    lines = [float(path.get("d")[1:].split(" ")[0]) for path in plot.iter("path") if path.get("class") == "mark"]
    values = [table["median"], table["99 of 100 have no more than"]]
    inside = [value for value in values if within[0, 0] <= value <= within[-1, 1]]
    places = [next(bar for bar, row in zip(bars, full) if row[0] <= value <= row[1]) for value in inside]
    t.check(len(marks) == len(lines) == len(inside) and all(bar[1] - 1 <= x <= bar[1] + bar[2] + 1 for x, bar in zip(lines, places)),
            f"{what}: {len(lines)} marks stand where they belong", f"      {lines} {values} {places}")


def check_model(t, what, model, labels=None, like=None):
    """The page of a fit with distances. labels: where the model has none; like: the model whose values they are."""
    page = report(t, what, model)
    if page is None:
        return None
    labels = read(like or model, "/labels") if labels is None else labels
    distances, k = read(model, "/distances"), len(read(model, "/centroids"))
    kept = labels >= 0
    labels, distances = labels[kept], distances[kept].astype(np.float64)
    check_tables(t, what, page, np.bincount(labels, minlength=k), np.bincount(labels, weights=distances, minlength=k))
    check_distances(t, what, page, distances)
    return page


def warnings_of(t, model):
    """What info says, and what the page says, which must be the same."""
    result = t.lloyd("info", model)
    said, at = [], False
    for line in result.out.splitlines():
        at = line.startswith("  warnings ") or (at and line.startswith(" " * 15))
        if at:
            said.append(line[15:])
    t.lloyd("report", model, "-o", t.path("warnings.html"), "--force")
    found = Page(t.path("warnings.html")).find("warnings")
    shown = [] if found is None else [text_of(item) for item in found.iter("li")]
    t.check(result.status == 0 and said == shown, f"{os.path.basename(model)}: info and the page warn of the same", f"      {said} {shown}")
    return said


def fits(t):
    source = t.data("digits.h5" if t.quick else "sift-20k.h5")
    fit = ("-k", 100 if t.quick else 300, "--max-iters", 4, "--seed", 3)
    model = t.fit(source, "sift.h5", *fit, "--distances", ranks=2)
    page = check_model(t, "a fit", model)
    total = {row[0]: row[1] for row in page.table("distances")}["sum"]
    t.check(abs(total - attribute(model, "inertia")) < 1e-6 * total, "a fit: the sum of the distances is the inertia")
    said = warnings_of(t, model)
    moved = read(model, "/history/moved")[-1]
    t.check(any(f"after 4 iterations, of which the last one changed {moved:,} labels" in text and "--max-iters" in text for text in said),
            "a fit that was ended: reported", f"      {said}")
    t.check(not warnings_of(t, t.fit(t.data("digits.h5"), "done.h5", "-k", 5, "--max-iters", 300)), "a fit that converged: nothing to warn of")

    plain = t.fit(source, "plain.h5", *fit)
    page = report(t, "no distances", plain)
    check_tables(t, "no distances", page, read(plain, "/counts"))
    t.check(page.find("distances") is None and "lloyd fit --distances" in text_of(page.find("clusters-remark")), "no distances: how to get them")
    members = t.fit(source, "members.h5", *fit, "--distances", "--members", "--no-labels")
    check_model(t, "members in place of labels", members, like=model)
    alone = t.fit(source, "alone.h5", *fit, "--distances", "--no-labels")
    page = report(t, "distances without labels", alone)
    check_tables(t, "distances without labels", page, read(alone, "/counts"))
    check_distances(t, "distances without labels", page, read(alone, "/distances"))
    t.check("--no-labels" in text_of(page.find("clusters-remark")), "distances without labels: reported")
    for k in (1, 7):
        check_model(t, f"K = {k}", t.fit(source, "few.h5", "-k", k, "--max-iters", 2, "--distances", "--metric", "cosine"))


def edges_of_fits(t):
    """Singletons, empty clusters, bad rows, weights, some of the rows."""
    rows = data.gaussian(120, 6, 4)
    source = data.write(t.path("each.h5"), rows, weights=np.arange(1, 121))
    model = t.fit(source + ":train", "each-model.h5", "-k", 120, "--distances")
    page = check_model(t, "K = N", model)
    t.check(page.svg("distances-plot") is None, "K = N: all distances are 0")
    t.check([text for text in warnings_of(t, model) if text.startswith("120 clusters have one row only")], "K = N: clusters of one row are reported")

    same = data.write(t.path("same.h5"), np.repeat(rows[:10], 50, axis=0))
    model = t.fit(same, "same-model.h5", "-k", 25, "--distances")
    check_model(t, "few distinct rows", model)
    said = warnings_of(t, model)
    t.check(said == ["There are only 10 distinct rows, 15 clusters are empty; fit with -k 10 or less."] and attribute(model, "distinct_rows") == 10,
            "few distinct rows: reported and recorded", f"      {said}")
    with h5py.File(model, "a") as file:
        del file.attrs["distinct_rows"]
    t.check(said == warnings_of(t, model), "few distinct rows: reported for a model without the attribute")
    with h5py.File(t.fit(source + ":train", "usual.h5", "-k", 5), "r") as file:
        t.check("distinct_rows" not in file.attrs, "as many distinct rows as clusters: nothing is recorded")

    weighted = t.fit(source + ":train", "weighted.h5", "-k", 8, "--weights", "weights", "--distances")
    page = check_model(t, "weights", weighted)
    t.check("weights have no part" in text_of(page.find("distance-rows")), "weights: reported")
    bad = np.concatenate([rows, rows + 1])
    bad[::7] = np.nan
    check_model(t, "bad rows", t.fit(data.write(t.path("bad.h5"), bad), "bad-model.h5", "-k", 9, "--distances", "--skip-bad-rows"))
    bad = t.fit(t.path("bad.h5"), "bad-alone.h5", "-k", 9, "--distances", "--skip-bad-rows", "--no-labels")
    check_distances(t, "bad rows without labels", report(t, "bad rows without labels", bad), read(t.path("bad-model.h5"), "/distances")[
        read(t.path("bad-model.h5"), "/labels") >= 0])
    some = t.fit(source + ":train", "some.h5", "-k", 6, "--sample", 50, "--distances")
    page = check_model(t, "some of the rows", some)
    t.check("those of 120 labelled rows, of which 50 were fitted" in text_of(page.find("distance-rows")), "some of the rows: reported")
    sample = t.fit(source + ":train", "sample.h5", "-k", 6, "--sample", 50, "--distances", "--label", "sample")
    check_model(t, "the labels of a sample", sample)
    sample = t.fit(source + ":train", "sample-members.h5", "-k", 6, "--sample", 50, "--distances", "--label", "sample", "--members", "--no-labels")
    page = report(t, "members of a sample", sample)
    check_tables(t, "members of a sample", page, read(sample, "/counts"))


def by_hand(t, name, labels, distances, k, counts=None, members=None, **more):
    """A model of these rows."""
    path = make(t.path(name), k=k, counts=counts, n=len(distances), version="0.2.0", **{"d": 2, **more})
    with h5py.File(path, "a") as file:
        file.attrs["k"], file.attrs["d"] = k, 2
        if labels is not None:
            file["labels"] = np.asarray(labels, np.int32)
        file["distances"] = distances
        if members is not None:
            file["members"], file["offsets"] = members
    return path


def many_rows(t):
    """More rows than are read at once, and more than one window of members."""
    n, k = (1_200_000, 500) if t.quick else (2_500_000, 5000)
    draw = np.random.default_rng(6)
    labels = (draw.zipf(1.3, n) % k).astype(np.int32)
    distances = (draw.lognormal(3, 2, n)).astype(np.float32)
    counts = np.bincount(labels, minlength=k)
    check_model(t, f"{n:,} rows", by_hand(t, "many.h5", labels, distances, k, counts))
    order = np.argsort(labels, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(counts)])
    path = by_hand(t, "many.h5", None, distances, k, counts, (order, offsets))
    check_model(t, f"{n:,} rows of members", path, labels=labels)
    os.remove(path)


def difficult_distances(t):
    for what, values in {"zeros": [0, 0, 0], "one distance": [2.5] * 7, "minus zero": [-0.0, 1, 2],
                         "infinite ones": [1, 2, np.inf, np.inf, 3, 4], "only infinite ones": [np.inf] * 3,
                         "the largest": [3.4e38, 3.4028235e38, 1e38], "subnormal ones": [1e-45, 1e-41, 1e-39, 2e-38],
                         "everything": np.concatenate([[0] * 5, 10.0 ** np.linspace(-44, 38, 1000)]),
                         "a far one": [1, 1.001, 1.002] * 2000 + [1e9], "half are 0": [0] * 50 + list(range(1, 51))}.items():
        values = np.asarray(values, np.float32)
        check_model(t, what, by_hand(t, "edge.h5", np.arange(len(values)) % 3, values, 3))


def warnings(t):
    """What is warned of, and what is not."""
    def said(name, **parts):
        return warnings_of(t, make(t.path(name), **parts))

    usual = {"n": 1000, "version": "0.2.0", "inertia": [2.0, 1.0], "moved": [1000, 40], "seconds": [1, 1], "options": ""}
    found = said("ended.h5", **usual)
    t.check(len(found) == 1 and "2 iterations, of which the last one changed 40 labels (4 %)" in found[0], "ended: reported", f"      {found}")
    t.check(not said("converged.h5", converged=1, **usual), "converged: no warning")
    t.check(not said("seeded.h5", **{**usual, "inertia": [], "moved": [], "seconds": []}), "no iteration: no warning")
    found = said("split.h5", n=1000, version="0.2.0", parent="coarse.h5")
    t.check(len(found) == 1 and found[0].startswith("Not all clusters were split until"), "a split that was ended: reported", f"      {found}")
    found = said("split.h5", parent="coarse.h5", counts=[0, 1] + [2] * 97 + [23], k=100, **usual)
    t.check(len(found) == 4, "and of a split", f"      {found}")
    t.check(not said("split.h5", n=1000, version="0.2.0", parent="coarse.h5", converged=1), "a split that converged: no warning")
    t.check(not said("foreign.h5", inertia=[2.0, 1.0], moved=[3, 1], seconds=[1, 1]), "not by lloyd: no warning")
    found = said("single.h5", counts=[1, 5, 6])
    t.check(len(found) == 1 and found[0].startswith("1 cluster has one row only"), "one singleton: reported", f"      {found}")
    found = said("empty.h5", counts=[0, 0, 1000] * 700, k=2100)
    t.check(len(found) == 1 and found[0].startswith("1,400 clusters are empty; fit with a smaller -k"), "empty clusters: reported", f"      {found}")
    found = said("keep.h5", counts=[0, 5, 6], options='{"empty":"keep"}')
    t.check(len(found) == 1 and found[0].startswith("1 cluster is empty; fit with --empty relocate"), "--empty keep: reported", f"      {found}")
    found = said("distinct.h5", counts=[0, 5, 6], distinct_rows=2)
    t.check(found == ["There are only 2 distinct rows, 1 cluster is empty; fit with -k 2 or less."], "distinct rows: reported", f"      {found}")
    found = said("odd.h5", counts=[0, 5, 6], distinct_rows=2**40)
    t.check(len(found) == 1 and "distinct" not in found[0], "a number of distinct rows that cannot be: no warning", f"      {found}")
    large = [2] * 99 + [23]
    found = said("large.h5", counts=large, k=100)
    t.check(len(found) == 1 and found[0].startswith("Cluster 99 holds 23 rows, 10.4 % of all"), "a large cluster: reported", f"      {found}")
    t.check(not said("tenth.h5", counts=[2] * 99 + [22], k=100), "a tenth of the rows: no warning")
    t.check(not said("few.h5", counts=large[1:], k=99), "a large one of 99 clusters: no warning")
    t.check(not said("negative.h5", counts=[-1, 1, 0]), "negative counts: no warning")
    found = said("all.h5", counts=[0, 1] + [2] * 97 + [23], k=100, **usual)
    t.check(len(found) == 4, "all four at once", f"      {found}")


def damaged(t):
    """One sentence, and no page."""
    labels, distances = np.array([0, 1, 2, 0, 1], np.int32), np.array([1, 2, 3, 4, 5], np.float32)
    counts = [2, 2, 1]

    def refused(what, reason, *arguments, **more):
        path = by_hand(t, "damaged.h5", *arguments, **more)
        refuse(t, what, 3, reason, path, "-o", t.path("never.html"))
        os.remove(path)

    def replaced(values, place, value):
        values = values.copy()
        values[place] = value
        return values

    refused("fewer distances than labels", "5 labels but 4 distances", labels, distances[:4], 3, counts)
    refused("a label that is no cluster", "/labels of", replaced(labels, 1, 3), distances, 3, counts)
    refused("a label below -1", "has -2 for row 1", replaced(labels, 1, -2), distances, 3, counts)
    refused("a row without a distance", "nan for row 3", labels, replaced(distances, 3, np.nan), 3, counts)
    refused("a negative distance", "-1 for row 3", labels, replaced(distances, 3, -1), 3, counts)
    refused("a negative distance without labels", "-1 for row 3", None, replaced(distances, 3, -1), 3, counts)
    refused("other counts", "2 rows of cluster 0, but its /counts say 3", labels, distances, 3, [3, 1, 1])
    refused("distances of two dimensions", "no list of floating-point numbers", labels, distances[:, None], 3, counts)
    refused("whole distances", "no list of floating-point numbers", labels, distances.astype(np.int32), 3, counts)
    order, offsets = np.array([0, 3, 1, 4, 2]), np.array([0, 2, 4, 5])
    for what, reason, members in (("a member that is no row", "there are 5 rows", (replaced(order, 4, 5), offsets)),
                                  ("offsets that do not fit", "do not fit each other", (order, offsets[:3])),
                                  ("members of other clusters", "but its /counts say", (order, np.array([0, 1, 4, 5])))):
        refused(what, reason, None, distances, 3, counts, members)
    refused("members of a row without a distance", "nan for row 4", None, replaced(distances, 4, np.nan), 3, counts, (order, offsets))
    path = by_hand(t, "cut.h5", np.zeros(50000), np.zeros(50000, np.float32), 3, [50000, 0, 0])
    os.truncate(path, os.path.getsize(path) - 100000)
    refuse(t, "a file that was cut off", 3, "cut.h5", path, "-o", t.path("never.html"))


def main():
    t = Test("report-clusters")
    t.steps((fits,), (edges_of_fits,), (many_rows,), (difficult_distances,), (warnings,), (damaged,))
    t.check(not [name for name in os.listdir(t.directory) if ".part" in name], "no half-written file is left")
    t.finish()


if __name__ == "__main__":
    main()
