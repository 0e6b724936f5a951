"""lloyd select: the rows are those of a brute force in NumPy by section 11 of the contract, for every method, storage, number of ranks
and threads and amount of memory; its files are read back by NumPy, h5py and lloyd; and what is there after a failure."""
import os
import signal
import subprocess
import time

import h5py
import numpy as np

import contract
import data
from common import Test, digest, environment, part_files

SELECT = 6  # what is drawn


# ---- section 11 of the contract ----------------------------------------------------------------------------------------

def key(seed, node, level):
    return contract.random64(seed, SELECT, int(node), level)


def visited(members, order, of):
    """The members in the order in which they are visited; of: the key."""
    members = list(members)
    if order == "random":
        return [members[i] for i in contract.permutation(len(members), of)] if members else []
    return members if order == "nearest" else members[::-1]


def share(sizes, total, of):
    """What each of the clusters gives."""
    total = min(total, sum(sizes))
    level = 0
    while level < max(sizes, default=0) and sum(min(s, level + 1) for s in sizes) <= total:
        level += 1
    given = [min(s, level) for s in sizes]
    for i in contract.permutation(len(sizes), of) if sizes else ():
        if sum(given) < total and sizes[i] > level:
            given[i] += 1
    return given


def flat(tree, level, node):
    """The clusters of the first level in a node."""
    if level == 1:
        return [node]
    return [leaf for child in np.flatnonzero(tree[level - 2] == node) for leaf in flat(tree, level - 1, child)]


def shares(sizes, tree, levels, total, seed):
    """What each cluster of the first level gives; tree[l]: the parents of the clusters of level l + 1."""
    given = [0] * len(sizes)

    def descend(nodes, level, amount, of):
        parts = share([sum(sizes[leaf] for leaf in flat(tree, level, node)) for node in nodes], amount, of)
        for node, part in zip(nodes, parts):
            if level == 1:
                given[node] = part
            else:
                descend(list(np.flatnonzero(tree[level - 2] == node)), level - 1, part, key(seed, node, level))

    top = len(sizes) if not tree else levels[-1]
    descend(list(range(top)), len(tree) + 1, total, key(seed, 0, len(tree) + 2))
    return given


def product(x, rows):
    """The product of x with each of the rows, in the order of dist(); products of two float32 are exact in double."""
    width = -(-len(x) // 32) * 32
    terms = np.zeros((len(rows), width))
    terms[:, :len(x)] = x.astype(np.float64) * rows.astype(np.float64)
    p = np.zeros((len(rows), 32))
    for at in range(0, width, 32):
        p = p + terms[:, at:at + 32]
    while p.shape[1] > 1:
        p = p[:, :p.shape[1] // 2] + p[:, p.shape[1] // 2:]
    return p[:, 0]


def is_similar(x, y, threshold):
    return product(x, y[None])[0] > threshold * np.sqrt(product(x, x[None])[0] * product(y, y[None])[0])


def unit_rows(x):
    lengths = np.sqrt((x * x).sum(axis=1, keepdims=True))
    return x / np.where(lengths == 0, 1, lengths)


def thinned(x, order, threshold, compare_with):
    """The rows that stay, of those in this order. Similarities that are not close to the threshold need no definition."""
    order = np.array(order, np.int64)
    unit = unit_rows(x[order].astype(np.float64))
    stay, earlier, theirs = [], [], np.empty_like(unit)  # earlier: those to compare with
    for at, row in enumerate(order):
        over = theirs[:len(earlier)] @ unit[at] - threshold
        similar = (over > 1e-12).any() or any(is_similar(x[row], x[order[earlier[i]]], threshold) for i in np.flatnonzero(abs(over) <= 1e-12))
        if not similar:
            stay.append(at)
        if not similar or compare_with == "all":
            theirs[len(earlier)] = unit[at]
            earlier.append(at)
    return order[stay]


def semdedup(x, order, threshold):
    """The same with --compare-with all, as SemDeDup and NeMo Curator have it: the greatest similarity above the diagonal."""
    unit = unit_rows(x[order])
    return np.array(order)[np.triu(unit @ unit.T, 1).max(axis=0) <= threshold]


class Clusters:
    """A file with clusters, made by hand or by lloyd."""

    def __init__(self, path):
        self.path = path
        with h5py.File(path) as file:
            offsets, members = file["offsets"][:], file["members"][:]
        self.lists = [members[a:b] for a, b in zip(offsets[:-1], offsets[1:])]

    def thin(self, x, threshold, keep, seed=0, compare_with="kept"):
        self.lists = [list(c) if len(c) < 1 else self.thin_one(x, k, c, threshold, keep, seed, compare_with) for k, c in enumerate(self.lists)]
        return self

    @staticmethod
    def thin_one(x, k, members, threshold, keep, seed, compare_with):
        stay = set(thinned(x, visited(members, keep, key(seed, k, 0)), threshold, compare_with))
        return [row for row in members if row in stay]

    def take(self, counts, order, seed=0):
        rows = [row for k, (c, n) in enumerate(zip(self.lists, counts)) for row in visited(c, order, key(seed, k, 1))[:n]]
        return np.sort(np.array(rows, np.int64))

    def all(self):
        return self.take([len(c) for c in self.lists], "nearest")

    def sample(self, total, order="random", seed=0, tree=(), levels=()):
        return self.take(shares([len(c) for c in self.lists], tree, levels, total, seed), order, seed)


def write_clusters(path, lists, n, d=2, skipped=0):
    """A labels file as predict --members writes it."""
    with h5py.File(path, "w") as file:
        file["members"] = np.array([row for c in lists for row in c], np.int64)
        file["offsets"] = np.concatenate([[0], np.cumsum([len(c) for c in lists])]).astype(np.int64)
        for name, value in (("n", n - skipped), ("skipped", skipped), ("d", d), ("k", len(lists))):
            file.attrs[name] = np.int64(value)
    return path


def write_level(path, labels, k):
    with h5py.File(path, "w") as file:
        file["labels"] = np.array(labels, np.int32)
        for name, value in (("n", len(labels)), ("skipped", 0), ("d", 2), ("k", k)):
            file.attrs[name] = np.int64(value)
    return path


def check(t, what, right, *arguments, output="rows.npy", **more):
    result = t.lloyd("select", *arguments, "--output", output, "--force", **more)
    rows = None
    if result.status == 0:
        rows = np.load(t.path(output)) if output.endswith(".npy") else h5py.File(t.path(output))["rows"][:]
    ok = rows is not None and rows.dtype == np.int64 and np.array_equal(rows, right)
    t.check(ok, what, result.describe() + f"\n      {rows}\n      is not {right}")
    return result


# ---- the steps ---------------------------------------------------------------------------------------------------------

def by_distance_and_sample(t):
    """Clusters of all sizes, some empty; every N."""
    random = np.random.default_rng(1)
    sizes = [0, 7, 1, 0, 40, 3, 3, 12, 0]
    rows = random.permutation(80)[:sum(sizes)]  # the others are left out
    cuts = np.cumsum([0] + sizes)
    lists = [rows[a:b] for a, b in zip(cuts[:-1], cuts[1:])]
    path = write_clusters(t.path("hand.h5"), lists, 80, skipped=80 - len(rows))
    for r in (1, 3, 12, 1000):
        near, far = (Clusters(path).take([r] * len(lists), order) for order in ("nearest", "farthest"))
        check(t, f"--nearest {r}", near, path, "--nearest", r)
        check(t, f"--farthest {r}", far, path, "--farthest", r)
    for total in (1, 2, 5, 6, 7, 18, 19, 20, 31, 65, 66, 67, 1000):
        for order, seed in (("random", 0), ("random", 2**63 + 5), ("nearest", 1), ("farthest", 1)):
            right = Clusters(path).sample(total, order, seed)
            result = check(t, f"--sample {total} --order {order} --seed {seed}", right, path, "--sample", total, "--order", order, "--seed", seed)
            t.check(("all are selected" in result.err) == (total > 66), "a note says where there are fewer rows", result.describe())
    t.check("5 of 66 rows, from 5 of 9 clusters" in t.lloyd("select", path, "--sample", 5, "-o", "rows.npy").out, "the line with counts")


def levels(t):
    """Trees of two and three levels, with clusters that are empty on every level."""
    random = np.random.default_rng(2)
    sizes = random.integers(0, 30, 25) * (random.random(25) > 0.2)
    rows, cuts = random.permutation(int(sizes.sum())), np.concatenate([[0], np.cumsum(sizes)])
    path = write_clusters(t.path("tree.h5"), [rows[a:b] for a, b in zip(cuts[:-1], cuts[1:])], len(rows))
    tree = [random.integers(0, 8, 25), random.integers(0, 2, 9), np.array([0, 2, 2])]
    tree[1][8] = 2  # the ninth cluster of the second level has no children
    files = [write_level(t.path("two.h5"), tree[0], 9), write_level(t.path("three.h5"), tree[1], 3), write_level(t.path("four.h5"), tree[2], 3)]
    for up in (1, 2, 3):
        for total in (1, 3, 10, 57, len(rows) - 1, len(rows)):
            for order in ("random", "nearest"):
                right = Clusters(path).sample(total, order, 3, tree[:up], [9, 3, 3][:up])
                check(t, f"{up + 1} levels, --sample {total} --order {order}", right, path, *files[:up], "--sample", total, "--order", order, "--seed", 3)
    for name, words, *arguments in (("levels of another tree", "25 clusters", path, files[1]), ("one level left out", "9 clusters", path, files[0], files[2])):
        refused(t, name, 3, words, *arguments, "--sample", 5)
    refused(t, "levels without --sample", 2, "levels", path, files[0], "--nearest", 5)
    write_level(t.path("two.h5"), np.where(tree[0] == 1, -1, tree[0]), 9)
    refused(t, "a centroid in no cluster", 3, "label -1", path, files[0], "--sample", 5)


def refused(t, what, status, words, *arguments, ranks=1, output="refused.npy"):
    result = t.lloyd("select", *arguments, "--output", output, ranks=ranks)
    t.check(result.status == status and len(result.messages) == 1 and words in result.messages[0] and not os.path.exists(t.path(output)) and
            not part_files(t.path(output)), f"{what}: {' '.join(result.messages)[7:]}", result.describe())


def near_duplicates(t):
    """Rows of all widths and types, with exact and near copies; similarities that are close to the threshold, or equal to it."""
    random = np.random.default_rng(3)
    for number, (d, kind) in enumerate(((3, "float32"), (31, "uint8"), (33, "float16"), (100, "bfloat16"), (64, "float64"), (257, "float32"))):
        n, k = 900, 6
        x = random.normal(size=(30, d))[random.integers(30, size=n)] + 0.4 * random.normal(size=(n, d))
        x = np.clip(np.round(x * 30 + 90), 0, 255) if kind == "uint8" else x * 10.0 ** random.integers(-9, 4, size=(n, 1)) if kind == "float32" else x
        x[200:300] = x[:100] * (2 if kind != "uint8" else 1)
        x[300:303] = 0
        x = data.bfloat16_values(x) if kind == "bfloat16" else x.astype(kind).astype(np.float32)
        rows = data.write(t.path(f"near-{number}.h5"), x, dtype=kind, chunks=(64, d) if number % 2 else None)
        labels = random.integers(k, size=n)
        path = write_clusters(t.path("near.h5"), [random.permutation(np.flatnonzero(labels == c)) for c in range(k)] + [[]], n, d)
        for threshold, keep, compare_with in ((0.3, "farthest", "kept"), (0.9, "nearest", "kept"), (0.97, "random", "kept"), (0.9999999, "farthest", "kept"),
                                              (0.9, "nearest", "all"), (0.97, "random", "all")):
            right = Clusters(path).thin(x, threshold, keep, 9, compare_with).all()
            for ranks, threads in ((1, 2),) if keep == "random" else ((1, 1), (3, 2)) if compare_with == "kept" else ((3, 2),):
                result = check(t, f"{kind} {n} x {d}, T {threshold}, {keep} stays, with {compare_with}, {ranks} ranks: {len(right)} stay", right, path,
                               "--input", rows, "--near-duplicates", threshold, "--keep", keep, "--compare-with", compare_with, "--seed", 9,
                               ranks=ranks, threads=threads)
                t.check(f"{n - len(right)} near-duplicates left out" in result.out, "the line with counts", result.describe())
    for compare_with in ("kept", "all"):
        left = Clusters(path).thin(x, 0.9, "nearest", compare_with=compare_with)
        for arguments, right in ((("--sample", 60, "--seed", 4), left.sample(60, seed=4)), (("--nearest", 5), left.take([5] * (k + 1), "nearest")),
                                 (("--farthest", 5), left.take([5] * (k + 1), "farthest")))[:3 if compare_with == "kept" else 1]:
            check(t, f"first near-duplicates with {compare_with}, then {arguments[0]}", right, path, "--input", rows, "--near-duplicates", 0.9,
                  "--keep", "nearest", "--compare-with", compare_with, *arguments)


def edges(t):
    """Similarities equal to T, or one last bit from it; copies; rows of zeros."""
    x = np.array([[3, 4], [5, 0], [6, 8], [0, 0], [0, 0], [-3, -4], [1e-30, 0], [3e38, 0]], np.float32)
    rows = data.write(t.path("edges.h5"), x)
    path = write_clusters(t.path("edges-clusters.h5"), [range(len(x))], len(x))
    for threshold, right in ((0.6, [0, 1, 3, 4, 5]), (np.nextafter(0.6, 0), [0, 3, 4, 5]), (np.nextafter(1, 0), [0, 1, 3, 4, 5]), (1e-300, [0, 3, 4, 5])):
        for compare_with in ("kept", "all"):  # in these rows, what is similar is so to one that stays
            check(t, f"T {threshold}, with {compare_with}", right, path, "--input", rows, "--near-duplicates", repr(float(threshold)), "--keep", "nearest",
                  "--compare-with", compare_with)
            t.check(np.array_equal(Clusters(path).thin(x, threshold, "nearest", compare_with=compare_with).all(), right), "as the brute force")
    for threshold in ("0", "1", "1.5", "-0.5", "nan", "x"):
        refused(t, f"T {threshold}", 2, "between 0 and 1", path, "--input", rows, f"--near-duplicates={threshold}")


def chains(t):
    """Rows that are similar only to the next ones: every second one stays, or the first alone; by default the former."""
    n, step = 700, 1e-3
    angles = np.arange(n) * step
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    rows = data.write(t.path("chain.h5"), x)
    sizes = [0, 3, 1, 400, 2, n - 406]
    cuts = np.cumsum(sizes)
    path = write_clusters(t.path("chains.h5"), [range(b - a, b) for a, b in zip(sizes, cuts)], n)
    firsts = {keep: [b - a if keep == "nearest" else b - 1 for a, b in zip(sizes, cuts) if a] for keep in ("nearest", "farthest")}
    for keep, first in firsts.items():
        seconds = [row for a, b in zip(sizes, cuts) for row in range(b - a, b) if (row - (b - a if keep == "nearest" else b - 1)) % 2 == 0]
        for arguments, right in (((), seconds), (("--compare-with", "kept"), seconds), (("--compare-with", "all"), first)):
            for ranks in (1, 3):
                result = check(t, f"a chain, {keep}, {' '.join(arguments)}, {ranks} ranks", right, path, "--input", rows, "--near-duplicates",
                               repr(float(np.cos(1.5 * step))), "--keep", keep, *arguments, ranks=ranks)
                t.check(f"{n - len(right)} near-duplicates left out" in result.out, "the line with counts", result.describe())
    check(t, "to HDF5", firsts["nearest"], path, "--input", rows, "--near-duplicates", repr(float(np.cos(1.5 * step))), "--keep", "nearest",
          "--compare-with", "all", output="chain-rows.h5")
    with h5py.File(t.path("chain-rows.h5")) as file:
        t.check("--keep nearest --compare-with all" in file.attrs["method"], "the file says what was compared", f"      {dict(file.attrs)}")
    refused(t, "another value", 2, "'any' is none of kept, all; did you mean all?", path, "--input", rows, "--near-duplicates", 0.9, "--compare-with", "any")


def threshold_of_a_pair(x, lists):
    """A T that is the similarity of two of these rows exactly, so that they are not similar, but are for the next smaller T."""
    for members in lists:
        for a, b in zip(members[:-1], members[1:]):
            root = np.sqrt(product(x[a], x[a][None])[0] * product(x[b], x[b][None])[0])
            threshold = product(x[a], x[b][None])[0] / root
            if threshold < 0.97 and threshold * root == product(x[a], x[b][None])[0] > np.nextafter(threshold, 0) * root:
                return threshold
    raise AssertionError("no such pair")


def real_rows(t):
    """SIFT descriptors and digits in their clusters, beside the rule of SemDeDup and NeMo Curator in NumPy; T also one that two rows have."""
    for name, n, k, thresholds in (("sift-20k.h5", 2000 if t.quick else 20000, 40, (0.75, 0.9)), ("digits.h5", 1797, 12, (0.85, 0.95))):
        x = data.load(t.data(name), n)
        rows = data.write(t.path(name), x)
        model = t.fit(rows, f"model-{name}", "-k", k, "--members", "--max-iters", 10, "--progress", "none")
        lists = [c for c in Clusters(model).lists if len(c)]
        exact = threshold_of_a_pair(x, lists)
        stay = {}
        for threshold, keep, order in ((thresholds[0], "farthest", -1), (thresholds[1], "nearest", 1), (exact, "nearest", 1), (np.nextafter(exact, 0), "nearest", 1)):
            right = Clusters(model).thin(x, threshold, keep, compare_with="all").all()
            if threshold in thresholds:
                theirs = np.sort(np.concatenate([semdedup(x.astype(np.float64), c[::order], threshold) for c in lists]))
                t.check(np.array_equal(theirs, right), f"{name}: SemDeDup has the {len(right)} rows of the definition")
            fewer = Clusters(model).thin(x, threshold, keep).all()
            stay[threshold] = len(right)
            t.check(n / 50 < len(right) < len(fewer) < n and np.isin(right, fewer).all(), f"{len(right)} rows are of the {len(fewer)} of the other rule")
            for ranks, threads in ((1, 1), (3, 1), (1, 3)):
                check(t, f"{name}, T {threshold}, {keep} stays, {ranks} ranks, {threads} threads", right, model, "--input", rows, "--near-duplicates",
                      repr(float(threshold)), "--keep", keep, "--compare-with", "all", ranks=ranks, threads=threads)
            check(t, f"{name}, T {threshold}, {keep} stays, with those kept", fewer, model, "--input", rows, "--near-duplicates", repr(float(threshold)),
                  "--keep", keep)
        t.check(stay[np.nextafter(exact, 0)] < stay[exact], f"T {exact} is the similarity of two rows")


def blocks(t):
    """A cluster that needs several blocks, with the least memory, gives the same rows as with much."""
    random = np.random.default_rng(4)
    n, d = 4500, 200
    x = (random.normal(size=(n // 3, d))[random.integers(n // 3, size=n)] + 0.25 * random.normal(size=(n, d))).astype(np.float32)
    rows = t.path("blocks.npy")
    np.save(rows, x)
    path = write_clusters(t.path("blocks.h5"), [random.permutation(n)[:-30], []], n, d)
    clusters = Clusters(path)
    clusters.lists.append([])
    result = t.lloyd("select", path, "--input", rows, "--near-duplicates", 0.9, "-o", "little.npy", "--max-host-memory", "1M", threads=2)
    t.check(result.status == 1 and "at least" in result.err and not os.path.exists(t.path("little.npy")), "too little memory", result.describe())
    least = result.messages[0].split("at least ")[1].split()[0]
    right = Clusters(path).thin(x, 0.9, "farthest").all()
    t.check(n / 5 < len(right) < n / 1.5, f"{len(right)} of {n} rows stay")
    for threshold, keep, compare_with, threads in ((0.9, "farthest", "kept", 2), (0.9, "random", "kept", 1), (0.94, "farthest", "all", 2), (0.94, "random", "all", 1)):
        wanted = Clusters(path).thin(x, threshold, keep, compare_with=compare_with).all()
        for memory in (f"{least}MB", "2G"):
            check(t, f"{memory}, {threads} threads, {keep}, with {compare_with}: {len(wanted)} stay", wanted, path, "--input", rows, "--near-duplicates",
                  threshold, "--keep", keep, "--compare-with", compare_with, "--max-host-memory", memory, threads=threads)
    other = Clusters(path).thin(x, 0.94, "random").all()
    t.check(len(wanted) < 0.98 * len(other), f"{len(wanted)} rows stay, not {len(other)}")


def with_lloyd(t):
    """Clusters as fit and predict write them, with bad rows; the output as lloyd, NumPy and h5py read it."""
    x = data.gaussian(3000, 20, 5, 12)
    x[[5, 77, 2900]] = np.nan
    rows = data.write(t.path("rows.h5"), x)
    model = t.fit(rows, "model.h5", "-k", 40, "--members", "--skip-bad-rows", "--progress", "none")
    upper = t.fit(f"{model}:/centroids", "upper.h5", "-k", 6, "--progress", "none")
    labels = t.path("labels.h5")
    result = t.lloyd("predict", "--model", model, "--input", rows, "--skip-bad-rows", "--members", "--output", labels)
    t.check(result.status == 0, "predict --members", result.describe())
    with h5py.File(upper) as file:
        tree = [file["labels"][:]]
    for path in (model, labels):
        check(t, f"a sample of {os.path.basename(path)}", Clusters(path).sample(300), path, "--sample", 300)
        check(t, f"two levels, {os.path.basename(path)}", Clusters(path).sample(300, "nearest", 0, tree, [6]), path, upper, "--sample", 300, "--order", "nearest")
    right = Clusters(model).thin(x, 0.9, "farthest").all()
    for ranks in (1, 2, 3):
        check(t, f"no near-duplicates, {ranks} ranks", right, model, "--input", rows, "--near-duplicates", 0.9, output="rows.h5x.h5", ranks=ranks)
    with h5py.File(t.path("rows.h5x.h5")) as file:
        t.check(file.attrs["lloyd"] == "selected rows" and file.attrs["inputs"] == model and "--near-duplicates 0.9" in file.attrs["method"] and
                list(file) == ["rows"], "the file says what it is", f"      {dict(file.attrs)}")
    for output in ("named.h5:/some/where", "named.hdf5:list"):
        result = t.lloyd("select", model, "--sample", 10, "-o", output)
        name, dataset = output.split(":")
        with h5py.File(t.path(name)) as file:
            t.check(result.status == 0 and np.array_equal(file[dataset][:], Clusters(model).sample(10)), f"--output {output}", result.describe())
    if "--rows" in t.lloyd("help", "fit").out:
        for output in ("rows.npy", "rows.h5x.h5"):
            chosen = np.load(t.path(output)) if output.endswith("npy") else h5py.File(t.path(output))["rows"][:]
            fitted = t.fit(rows, "subset.h5", "-k", 5, "--rows", t.path(output), "--label", "sample", "--progress", "none")
            t.check(fitted and np.array_equal(h5py.File(fitted)["rows"][:], chosen), f"fit --rows {output}")


def replaced_and_refused(t):
    path, rows = t.path("model.h5"), t.path("rows.h5")
    check(t, "a list", Clusters(path).sample(20), path, "--sample", 20)
    before = digest(t.path("rows.npy"))
    t.check(t.lloyd("select", path, "--sample", 20, "-o", "rows.npy").status == 0 and digest(t.path("rows.npy")) == before, "a list of lloyd is replaced; the same bytes again")
    np.save(t.path("mine.npy"), np.arange(5))
    for output in ("mine.npy", "blocks.npy"):
        kept = digest(t.path(output))
        result = t.lloyd("select", path, "--sample", 20, "-o", output)
        t.check(result.status == 2 and "--force" in result.err and digest(t.path(output)) == kept, f"{output} is not lloyd's", result.describe())
    with h5py.File(t.path("damaged.h5"), "w") as file, h5py.File(path) as whole:
        for name in ("members", "offsets"):
            file[name] = whole[name][:]
        file.attrs.update(whole.attrs)
    damage = (("members", 3, 10**12, "damaged"), ("members", 3, -1, "damaged"), ("members", 3, None, "twice"), ("offsets", 4, 10**9, "do not fit"))
    for name, at, value, words in damage:
        with h5py.File(t.path("damaged.h5"), "r+") as file:
            was, other = file[name][at], file[name][at + 1]
            file[name][at] = other if value is None else value
        refused(t, f"damaged /{name}", 3, words, t.path("damaged.h5"), "--nearest", 10**6)
        with h5py.File(t.path("damaged.h5"), "r+") as file:
            file[name][at] = was
    with h5py.File(t.path("bare.h5"), "w") as file:
        file["members"], file["offsets"] = np.arange(3), np.array([0, 3])
    open(t.path("text.h5"), "w", encoding="ascii").write("text")
    other = data.write(t.path("other.h5"), data.gaussian(2999, 20, 5))
    bad = data.write(t.path("bad.h5"), np.where(np.arange(3000)[:, None] == 1234, np.inf, data.gaussian(3000, 20, 5)).astype(np.float32))
    near = ("--near-duplicates", 0.9)
    for ranks in (1, 2):
        for status, words, *arguments in (
                (3, "--members", t.path("upper.h5"), "--sample", 5), (3, "attributes n", t.path("bare.h5"), "--sample", 5), (3, "HDF5", t.path("text.h5"), "--sample", 5),
                (3, "gone.h5", t.path("gone.h5"), "--sample", 5), (2, "nothing says", path), (2, "one of", path, "--sample", 5, "--nearest", 2),
                (2, "--input", path, *near), (2, "leave it out", path, "--sample", 5, "--input", rows), (3, "2999", path, *near, "--input", other),
                (3, "row 1234", path, *near, "--input", bad), (2, "CLUSTERS.h5", "--sample", 5), (2, "--sample", path, "--sample", 0)):
            refused(t, f"{ranks} ranks", status, words, *arguments, ranks=ranks)
    for output, status, words in (("rows.txt", 2, ".npy"), ("rows", 2, ".npy"), ("a.h5:", 2, ".npy"), ("a.h5:/", 2, ".npy"), ("no/where.npy", 1, "directory"),
                                  (path, 2, "model.h5"), (f"{path}:/rows", 2, "model.h5")):
        result = t.lloyd("select", path, "--sample", 5, "--output", output, "--force")
        t.check(result.status == status and len(result.messages) == 1 and words in result.messages[0], f"--output {output}", result.describe())
    result = t.run(["bash", "-c", 'ulimit -f 1; exec "$@"', "bash", t.lloyd_path, "select", path, "--sample", "2000", "-o", t.path("full.npy")])
    t.check(result.status == 1 and not os.path.exists(t.path("full.npy")) and not part_files(t.path("full.npy")), "a limit on the size of files", result.describe())


def killed(t):
    """A search that is killed leaves nothing, and says how far it is."""
    n, d = 60000, 256
    np.save(t.path("long.npy"), np.random.default_rng(6).normal(size=(n, d)).astype(np.float32))
    path = write_clusters(t.path("long.h5"), [range(n)], n, d)
    command = [t.lloyd_path, "select", path, "--input", t.path("long.npy"), "--near-duplicates", "0.9", "-o", t.path("long-rows.npy"),
               "--progress", "bar", "--max-host-memory", "100M"]
    shown = t.path("shown.txt")
    for sent in (signal.SIGKILL, signal.SIGTERM):
        with open(shown, "wb") as file:
            process = subprocess.Popen(command, env=environment(1), stdout=subprocess.DEVNULL, stderr=file)
            until = time.time() + 120
            while process.poll() is None and b"near-duplicates" not in digest(shown) and time.time() < until:
                time.sleep(0.01)
            process.send_signal(sent)
            process.wait()
        t.check(process.returncode == -sent and b"ETA" in digest(shown) and not os.path.exists(t.path("long-rows.npy")) and
                not part_files(t.path("long-rows.npy")), f"{sent.name}: nothing is left", f"      {process.returncode} {digest(shown)}")


def main():
    t = Test("select")
    t.steps((by_distance_and_sample,), (levels,), (near_duplicates,), (edges,), (chains,), (real_rows,), (blocks,), (with_lloyd,), (replaced_and_refused,), (killed,))
    t.finish()


main()
