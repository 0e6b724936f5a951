"""fit --max-size: labels of which no cluster has too many rows are those of the rule in NumPy (numerics.md, section 13), for every
kind of rows, on any number of ranks, however the rows are held; what the model, the log and info say of it; and what is there when
a fit is killed or stopped meanwhile.
"""
import fractions
import math
import os
import re
import signal
import time

import h5py
import numpy as np

import contract
import data
from common import EXACT, Test, attribute, log_events, part_files, read
from fits import SavingFit

OF_ROWS = ("/labels", "/distances", "/members", "/offsets", "/counts")
SAID = ("max_size", "largest_allowed", "moved_rows", "inertia", "inertia_before")


def limit(factor, n, k):
    """F N / K rounded up, of the double that F is."""
    return min(n, math.ceil(fractions.Fraction(factor) * n / k))


def moved(table, cap):
    """Labels and rounds: table[row, cluster] are the distances."""
    n, k = table.shape
    room, choice, labels = np.full(k, cap), table.argmin(axis=1), np.full(n, -1, np.int32)
    applicants, rounds = np.arange(n), 0
    while len(applicants):
        rounds += 1
        rejected = []
        for cluster in np.unique(choice):
            rows = applicants[choice == cluster]
            rows = rows[np.lexsort((rows, table[rows, cluster]))]
            labels[rows[:room[cluster]]] = cluster
            rejected.append(rows[room[cluster]:])
            room[cluster] -= min(len(rows), room[cluster])
        applicants, open_clusters = np.sort(np.concatenate(rejected)), np.flatnonzero(room)
        choice = open_clusters[table[np.ix_(applicants, open_clusters)].argmin(axis=1)] if len(applicants) else applicants
    return labels, rounds


def expected(rows, c, factor):
    """Everything, of a model with these centroids."""
    kept = np.setdiff1d(np.arange(len(rows.values)), rows.skipped)
    n, k = len(kept), len(c)
    table, cap = rows.distances(kept, c), limit(factor, n, k)
    own, rounds = moved(table, cap)
    each = np.arange(n)
    weights = np.ones(n) if rows.weights is None else rows.weights[kept].astype(np.float64)
    labels, distances = np.full(len(rows.values), -1, np.int32), np.full(len(rows.values), np.nan)
    labels[kept], distances[kept] = own, table[each, own]
    counts = np.bincount(own, minlength=k)
    assert counts.max() <= cap
    right = {"/labels": labels, "/distances": distances.astype(np.float32), "/counts": counts,
             "/members": kept[np.lexsort((kept, table[each, own], own))], "/offsets": np.concatenate([[0], np.cumsum(counts)])}
    said = {"max_size": factor, "largest_allowed": cap, "moved_rows": int(np.count_nonzero(own != table.argmin(axis=1))),
            "inertia": math.fsum(weights * table[each, own]), "inertia_before": math.fsum(weights * table.min(axis=1))}
    return right, said, rounds


def check_model(t, what, model, right, said):
    wrong = ""
    with h5py.File(model, "r") as file:
        for name, values in right.items():
            there = file[name][()] if name in file else None
            if there is None or not np.array_equal(there, values, equal_nan=there.dtype.kind == "f"):
                wrong += f"      {name}: {there} is not {values}\n"
        for name, value in said.items():
            there = file.attrs.get(name)
            if there != value:
                wrong += f"      {name}: {there!r} is not {value!r}\n"
    return t.check(not wrong, what, wrong)


class Rows:
    """A dataset, how it is given to lloyd, and the values that are compared. exact: all numbers are small integers, so that a matrix
    product is exact."""

    def __init__(self, name, source, values, *options, factors=(1, 1.2, 2), skipped=(), weights=None, exact=False, iters=3):
        self.name, self.source, self.values, self.options = name, source, values, [*options, "--max-iters", iters]
        self.factors, self.skipped, self.weights, self.exact = factors, skipped, weights, exact

    def distances(self, kept, c):
        x = self.values[kept]
        if not self.exact:
            return np.concatenate([contract.distances(x[at:at + 2048], c) for at in range(0, len(x), 2048)])
        x, c = x.astype(np.float64), c.astype(np.float64)
        assert np.array_equal(c, np.rint(c))
        return (x * x).sum(axis=1)[:, None] - 2 * (x @ c.T) + (c * c).sum(axis=1)


def every_kind(t):
    """Rows of every kind, with the number of clusters and other options."""
    lattice, mixed = data.lattice(3000, 4, 3, 1), data.gaussian(1500, 9, 2, 12)
    bytes_ = data.lattice(2500, 5, 9, 3)
    half = data.gaussian(1200, 7, 4, 5).astype(np.float16)
    bad = data.gaussian(900, 6, 5, 4)
    holes = [0, 1, 17, 450, 451, 899]
    bad[holes] = np.nan
    weights = np.random.default_rng(6).uniform(0, 3, len(mixed)).astype(np.float32)
    weights[::7] = 0
    same = data.duplicated(600, 3, 5, 7)
    sift, digits = data.load(t.data("sift-20k.h5")), data.load(t.data("digits.h5"))
    if t.quick:
        sift = sift[:3000]
    narrow = np.ascontiguousarray(sift[:, 40:72])
    first = ("--init", "random")
    return [
        Rows("ties", data.write(t.path("ties.h5"), lattice), lattice, "-k", 40, factors=(1, 1.2, 2, 1.05)),
        Rows("uint8", data.write(t.path("u8.h5"), bytes_, dtype=np.uint8), bytes_, "-k", 70, factors=(1, 1.2)),
        Rows("float16", data.write(t.path("f16.h5"), half), half.astype(np.float32), "-k", 65, factors=(1,)),
        Rows("weights", data.write(t.path("weighted.h5"), mixed, weights=weights), mixed, "-k", 20, "--weights", "weights",
             weights=weights, factors=(1.2, 1)),
        Rows("cosine", data.write(t.path("cosine.h5"), mixed), contract.normalised(mixed), "-k", 20, "--metric", "cosine",
             factors=(1, 1.2)),
        Rows("bad rows", data.write(t.path("bad.h5"), bad), bad, "-k", 9, "--skip-bad-rows", skipped=holes, factors=(1,)),
        Rows("few distinct rows", data.write(t.path("same.h5"), same), same, "-k", 12, "--empty", "keep", *first,
             factors=(1, 1.2)),
        Rows("the best of three, with a tolerance", data.write(t.path("best.h5"), mixed), mixed, "-k", 25, "--n-init", 3, "--tol", 0.02,
             *first, factors=(1.2,), iters=9),
        Rows("one cluster", data.write(t.path("alone.h5"), lattice), lattice, "-k", 1, factors=(1,)),
        Rows("as many clusters as rows", data.write(t.path("all.h5"), lattice[:120]), lattice[:120], "-k", 120, "--empty", "keep",
             *first, factors=(1, 1.5, 1e300)),
        Rows("digits", data.write(t.path("digits-all.h5"), digits, dtype=np.uint8), digits, "-k", 30, *first, exact=True, iters=0,
             factors=(2, 1)),
        Rows("SIFT, 32 columns", data.write(t.path("narrow.h5"), narrow, dtype=np.uint8), narrow, "-k", 64, factors=(1, 1.2)),
        Rows("SIFT", data.write(t.path("sift.h5"), sift, dtype=np.uint8), sift, "-k", 200, *first, factors=(1.2, 1), exact=True, iters=0),
    ]


def brute_force(t):
    most = 0
    ways = [(1, ()), (2, ()), (3, ("--chunk-rows", 97)), (5, ()), (1, ("--chunk-rows", 301))]
    number = 0
    for rows in every_kind(t):
        for factor in rows.factors:
            first = None  # what is expected, which the first model's centroids say
            chosen = ways if rows.name == "ties" and factor == 1.2 else [ways[number % 5]]
            number += 1
            for ranks, how in chosen:
                model = t.fit(rows.source, "model.h5", *rows.options, "--max-size", factor, "--distances", "--members", *how, ranks=ranks)
                if model is None:
                    continue
                if first is None:
                    first = expected(rows, read(model, "/centroids"), factor)
                    most = max(most, first[2])
                right, said, rounds = first
                check_model(t, f"{rows.name}, F = {factor}: {ranks} ranks {' '.join(map(str, how))}: {said['moved_rows']} rows moved in "
                            f"{rounds} rounds", model, right, said)
        if rows.name == "few distinct rows" and model:  # of which several clusters may have the same ones
            t.check(attribute(model, "inertia_before") == 0 and 0 < np.count_nonzero(read(model, "/counts") == 0), "some clusters are empty")
            with h5py.File(model) as file:
                t.check("distinct_rows" not in file.attrs, "and the model does not take that for a lack of distinct rows")
    t.check(most > (10 if t.quick else 20), f"up to {most} rounds")


def centroids_stay(t):
    """All but the labels is that of the fit without a limit; one that no cluster reaches changes nothing."""
    source = t.path("ties.h5")
    free = t.fit(source, "free.h5", "-k", 40, "--max-iters", 3)
    model = t.fit(source, "limited.h5", "-k", 40, "--max-iters", 3, "--max-size", 1)
    t.check_same("the same centroids and history", free, model, ("/centroids", "/history/inertia", "/history/moved"))
    t.check(attribute(model, "inertia_before") == attribute(free, "inertia"), "the same inertia before")
    wide = t.fit(source, "wide.h5", "-k", 40, "--max-iters", 3, "--max-size", 40)
    t.check_same("a wide limit changes nothing", free, wide)
    t.check(attribute(wide, "moved_rows") == 0 and attribute(wide, "inertia") == attribute(free, "inertia"), "and no row is moved")
    with h5py.File(free) as file:
        t.check(not set(SAID[:3]) & set(file.attrs), "a model without a limit does not speak of one")
    # every row lies on one side of the bound, whatever the double
    for n, k, factor in ((10, 3, 1.2), (10, 4, 1.2), (3000, 7, 1 + 2**-52), (3000, 7, 1.1), (5, 5, 1), (30, 10, 1.1)):
        x = data.gaussian(n, 2, n)
        model = t.fit(data.write(t.path("cap.h5"), x), "cap-model.h5", "-k", k, "--max-iters", 0, "--max-size", repr(factor))
        t.check(attribute(model, "largest_allowed") == limit(factor, n, k), f"{factor!r} * {n} / {k}: {limit(factor, n, k)}")


def what_it_says(t):
    source, output, log = t.path("ties.h5"), t.path("said.h5"), t.path("said.jsonl")
    result = t.lloyd("fit", "--input", source, "-k", 40, "--max-size", 1.2, "--max-iters", 3, "--output", output, "--log", log)
    rows, cap, n = attribute(output, "moved_rows"), attribute(output, "largest_allowed"), 3000
    higher = 100 * (attribute(output, "inertia") / attribute(output, "inertia_before") - 1)
    sentence = (f"{rows} rows ({100 * rows / n:.1f} %) were moved to keep clusters at {cap} rows or less; inertia "
                f"{higher:.1f} % higher")
    t.check(result.status == 0 and sentence in result.out, f"the last lines: {sentence}", result.describe())
    shown = t.lloyd("info", output)
    t.check(sentence in shown.out, "info", shown.describe())
    end, rounds = log_events(log, "end")[0], log_events(log, "balance")
    t.check(end["moved_rows"] == rows and end["largest_allowed"] == cap and end["inertia"] == attribute(output, "inertia")
            and end["inertia_before"] == attribute(output, "inertia_before"), "the end of the log", str(end))
    t.check([event["round"] for event in rounds] == list(range(1, len(rounds) + 1)) and rounds[0]["rows"] == rows
            and rounds[-1]["rows"] == 0 and all(a["open"] > b["open"] for a, b in zip(rounds, rounds[1:-1])), "its rounds", str(rounds))
    t.check('"max-size":1.2' in attribute(output, "options"), "the options in the model", attribute(output, "options"))
    page = t.lloyd("report", output, "--output", t.path("said.html"))
    with open(t.path("said.html"), encoding="utf-8") as file:
        t.check(page.status == 0 and sentence in file.read(), "report", page.describe())
    plan = t.lloyd("fit", "--input", source, "-k", 40, "--max-size", 1.2, "--output", t.path("no.h5"), "--dry-run")
    t.check(re.search(rf"max size +{cap} rows of a cluster", plan.out) and "clusters of max size" in plan.out, "the plan", plan.describe())


def refused(t):
    source = t.path("ties.h5")
    numbers = data.write(t.path("numbers.h5"), np.arange(100)[:, None])
    with h5py.File(t.path("numbers.h5"), "w") as file:
        file["rows"] = np.arange(100)
    for given, says in ((("--max-size", "0.99"), "no number of 1 or more"), (("--max-size", "0"), "no number of 1 or more"),
                        (("--max-size", "-2"), "no number of 1 or more"), (("--max-size", "1.2x"), "no number of 1 or more"),
                        (("--max-size", "nan"), "no number of 1 or more"), (("--max-size", "inf"), "no number of 1 or more"),
                        (("--max-size", "1e999"), "no number of 1 or more"),
                        (("--max-size", "1.2", "--sample", "500"), "add --label sample"),
                        (("--max-size", "1.2", "--sample-per-centroid", "20", "--label", "all"), "add --label sample"),
                        (("--max-size", "1.2", "--rows", numbers), "add --label sample")):
        result = t.lloyd("fit", "--input", source, "-k", 40, "--output", t.path("no.h5"), *given)
        t.check(result.status == 2 and len(result.messages) == 1 and says in result.messages[0] and not os.path.exists(t.path("no.h5")),
                f"{' '.join(given[:4])}: {' '.join(result.messages)[7:]}", result.describe())


def some_rows(t):
    """With --label sample it is of the rows that are fitted."""
    values = data.lattice(3000, 4, 3, 1)
    model = t.fit(t.path("ties.h5"), "some.h5", "-k", 40, "--max-iters", 2, "--sample", 900, "--label", "sample", "--max-size", 1.1,
                  "--distances", "--members", ranks=2)
    numbers = read(model, "/rows")
    right, said, _ = expected(Rows("some", "", values[numbers]), read(model, "/centroids"), 1.1)
    right["/members"] = numbers[right["/members"]]
    check_model(t, "a sample", model, right, said)


def little_memory(t):
    """The plan counts what it takes."""
    x = data.lattice(200000, 4, 40, 9)
    source = data.write(t.path("large.h5"), x, dtype=np.uint8)
    options = ("-k", 40, "--init", "random", "--max-iters", 1, "--max-size", 1.1, "--distances", "--members", "--seed", 2)
    whole = t.fit(source, "whole.h5", *options)
    refusal = t.lloyd("fit", "--input", source, "--output", t.path("no.h5"), *options, "--max-host-memory", "1MB", ranks=2)
    found = re.search(r"at least (\d+)MB; allow that", " ".join(refusal.messages))
    if not t.check(refusal.status == 2 and found, f"too little memory: {' '.join(refusal.messages)[7:]}", refusal.describe()):
        return
    few = t.fit(source, "few.h5", *options, "--max-host-memory", found.group(1) + "MB", "--log", t.path("few.jsonl"), ranks=2)
    t.check_same(f"{found.group(1)} MB: the same", whole, few, (*EXACT, *OF_ROWS))
    if few:
        peak = max(log_events(t.path("few.jsonl"), "end")[0]["memory_peak"])
        t.check(peak <= int(found.group(1)) * 1e6, f"and the peak is {peak / 1e6:.0f} MB")


def stopped_and_killed(t):
    """A fit that is killed or stopped between two rounds leaves what was there; resumed, it has the same model."""
    source = data.write(t.path("kill.h5"), data.gaussian(6000, 6, 11, 8))
    options = ["--input", source, "-k", 30, "--max-iters", 4, "--max-size", 1.05, "--distances", "--members"]
    whole = t.fit(source, "killed-whole.h5", *options[2:])
    for name, number, how in (("killed", signal.SIGKILL, (1, 3)), ("stopped", signal.SIGTERM, (3,))):
        for ranks in how:
            fit = SavingFit(t, f"{name}-{ranks}", options, ranks=ranks, every="1h", hold='"round":2,')
            fit.send(number, "all")
            time.sleep(0.2)
            result = fit.end()
            output = t.path(f"{name}-{ranks}.h5")
            rounds = len(log_events(fit.log, "balance"))
            t.check(result.status != 0 and not os.path.exists(output) and rounds >= 2, f"{name} on {ranks} ranks after round {rounds}: "
                    "no output", result.describe())
            t.check(fit.kept() == 4, "the checkpoint has the last iteration", str(fit.kept()))
            other = t.lloyd("fit", *options[:7], 1.06, "--output", output, "--checkpoint", fit.checkpoint, "--resume")
            t.check(other.status != 0 and "--max-size 1.05" in " ".join(other.messages), f"another limit: {' '.join(other.messages)[7:]}",
                    other.describe())
            again = t.lloyd("fit", *options, "--output", output, "--checkpoint", fit.checkpoint, "--resume", "--progress", "none",
                            ranks=4 - ranks)
            t.check(again.status == 0 and not part_files(output), f"{name} on {ranks} ranks, resumed on {4 - ranks}", again.describe())
            t.check_same("and all is there", whole, output, (*EXACT, *OF_ROWS))
            t.check(all(attribute(whole, name) == attribute(output, name) for name in SAID), "and what is said of it")


def main():
    def more(parser):
        parser.add_argument("--held", required=True, help="the copy of the program that can be held")

    t = Test("max_size", more)
    t.held_path = os.path.realpath(t.options.held)
    t.steps((brute_force,), (centroids_stay,), (what_it_says,), (refused,), (some_rows,), (little_memory,), (stopped_and_killed,))
    t.finish()


main()
