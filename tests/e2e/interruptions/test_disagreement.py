"""Ranks that were started differently, or that see different files, end soon, with one sentence and the right status.

Each case starts two ranks (or three) with commands of their own, as one job, or with one command in folders that differ, as on nodes
with local copies. None may compute, wait for ever, or end with a message of MPI's.
"""
import concurrent.futures
import os
import shutil
import time

import h5py
import numpy as np

from common import Test, read

SECONDS = 5  # a job that is refused ends within this, on a machine that is not busy with others
USAGE, BAD_INPUT = 2, 3


def write_rows(path, rows, **more):
    with h5py.File(path, "w") as file:
        file.create_dataset("train", data=rows, **more)


def write_model(path, centroids):
    with h5py.File(path, "w") as file:
        file["centroids"] = centroids.astype(np.float32)


def make_files(t):
    """Nodes "a" and "b" with the same names in both, and what is in them is not the same."""
    random = np.random.default_rng(3)
    shards = [random.normal(size=(10, 4)).astype(np.float32) for _ in range(4)]
    for node in "ab":
        os.makedirs(t.path(node))
        for i, shard in enumerate(shards):
            if (node, i) != ("b", 3):
                write_rows(t.path(f"{node}/part-{i}.h5"), shard)
        rows = shards[0] if node == "a" else shards[0][:9]
        write_rows(t.path(f"{node}/shorter.h5"), rows)
        write_rows(t.path(f"{node}/type.h5"), shards[0].astype(np.float32 if node == "a" else np.float16))
        write_rows(t.path(f"{node}/wide.h5"), shards[0].astype(np.float32 if node == "a" else np.float64))
        write_rows(t.path(f"{node}/columns.h5"), shards[0] if node == "a" else shards[0][:, :3])
        write_rows(t.path(f"{node}/size.h5"), shards[0], **({} if node == "a" else {"chunks": (2, 4)}))
        write_model(t.path(f"{node}/model.h5"), shards[1][:3] + (node == "b"))
        write_model(t.path(f"{node}/fewer.h5"), shards[1][:3] if node == "a" else shards[1][:2])
    write_rows(t.path("a/only-here.h5"), shards[0])
    with h5py.File(t.path("a/weighted.h5"), "w") as file:
        file["train"] = shards[0]
        file["weights"] = np.ones(10, np.float32)
    shutil.copy(t.path("a/weighted.h5"), t.path("b/weighted.h5"))


def fit(*arguments, rows="part-0.h5", k=3):
    return ["fit", "--input", rows, "-k", k, "--output", "out.h5", "--progress", "none", *arguments]


def predict(*arguments, rows="part-0.h5", model="part-0.h5:/train"):
    return ["predict", "--model", model, "--input", rows, "--output", "out.h5", *arguments]


def synth(rows):
    return ["synth", "--rows", rows, "--dim", 4, "--clusters", 2, "--output", "out.h5"]


# (what, command of rank 0, of rank 1 (None: the same), folder of rank 1, status, words of the message)
SAME = None
CASES = [
    ("a shard is missing in one folder", fit(rows="part-*.h5"), SAME, "b", BAD_INPUT, ("30 rows", "40 rows", "part-3.h5")),
    ("one copy has fewer rows", fit(rows="shorter.h5"), SAME, "b", BAD_INPUT, ("9 rows", "10 rows")),
    ("one copy has another type", fit(rows="type.h5"), SAME, "b", BAD_INPUT, ("float16", "float32")),
    ("one copy is float64", fit(rows="wide.h5"), SAME, "b", BAD_INPUT, ("float64", "float32")),
    ("one copy has fewer columns", fit(rows="columns.h5"), SAME, "b", BAD_INPUT, ("3 columns", "4 columns")),
    ("one copy has another size", fit(rows="size.h5"), SAME, "b", BAD_INPUT, ("size.h5", "bytes")),
    ("one copy is not there", fit(rows="only-here.h5"), SAME, "b", BAD_INPUT, ("only-here.h5", "only on rank 1")),
    ("other files", fit(), fit(rows="part-1.h5"), "a", BAD_INPUT, ("part-0.h5", "part-1.h5")),
    ("more clusters than rows on one rank", fit(rows="shorter.h5", k=10), SAME, "b", BAD_INPUT, ("9 rows", "10 rows")),
    ("other first centroids", fit("--init", "model.h5"), SAME, "b", BAD_INPUT, ("model.h5", "hash")),
    ("another k", fit(), fit(k=4), "a", USAGE, ("-k 4", "-k 3")),
    ("another seed", fit(), fit("--seed", 7), "a", USAGE, ("--seed 7", "--seed 0")),
    ("another way of seeding", fit("--init", "kmeans++"), fit(), "a", USAGE, ("--init kmeans-parallel", "--init kmeans++")),
    ("seeding or a model", fit("--init", "model.h5"), fit(), "a", USAGE, ("--init kmeans-parallel", "--init MODEL")),
    ("another metric", fit(), fit("--metric", "cosine"), "a", USAGE, ("--metric cosine",)),
    ("another tolerance", fit(), fit("--tol", 0.5), "a", USAGE, ("--tol 0.5",)),
    ("another rule for empty clusters", fit(), fit("--empty", "keep"), "a", USAGE, ("--empty keep",)),
    ("another number of runs", fit(), fit("--n-init", 2), "a", USAGE, ("--n-init 2", "--n-init 1")),
    ("another number of iterations", fit(), fit("--max-iters", 3), "a", USAGE, ("--max-iters 3",)),
    ("weights on one rank", fit(rows="weighted.h5"), fit("--weights", "weights", rows="weighted.h5"), "a", USAGE,
     ("--weights weights", "no --weights")),
    ("a checkpoint on one rank", fit(), fit("--checkpoint", "x.ck"), "a", USAGE, ("--checkpoint x.ck", "no --checkpoint")),
    ("labels on one rank", fit(), fit("--no-labels"), "a", USAGE, ("--no-labels",)),
    ("a plan on one rank", fit(), fit("--dry-run"), "a", USAGE, ("--dry-run",)),
    ("another backend", fit(), fit("--backend", "cpu"), "a", USAGE, ("--backend cpu", "--backend auto")),
    ("another output", fit(), fit()[:6] + ["other.h5"] + fit()[7:], "a", USAGE, ("--output",)),
    ("another model to predict with", predict(model="model.h5"), SAME, "b", BAD_INPUT, ("model.h5", "hash")),
    ("a model with fewer clusters", predict(model="fewer.h5"), SAME, "b", BAD_INPUT, ("2 centroids", "3 centroids")),
    ("other rows to label", predict(model="model.h5"), predict(model="model.h5", rows="part-1.h5"), "a", BAD_INPUT,
     ("part-1.h5", "part-0.h5")),
    ("distances on one rank", predict(model="model.h5"), predict("--distances", model="model.h5"), "a", USAGE, ("--distances",)),
    ("another command", fit(), predict(model="model.h5"), "a", USAGE, ("command predict", "command fit")),
    ("a question on rank 1", fit(), ["fit", "--help"], "a", USAGE, ("command help", "command fit")),
    ("a question on rank 0", ["--version"], fit(), "a", USAGE, ("command fit", "command --version")),
    ("an unknown option on rank 1", fit(), fit("--sed", 7), "a", USAGE, ("--sed", "only on rank 1 of 2")),
    ("an unknown option on rank 0", fit("--sed", 7), fit(), "a", USAGE, ("--sed", "only on rank 0 of 2")),
    ("an unknown command on rank 1", fit(), ["fti"], "a", USAGE, ("fti", "only on rank 1 of 2")),
    ("no command on rank 1", fit(), [], "a", USAGE, ("no command", "only on rank 1 of 2")),
    ("other synthetic rows", synth(100), synth(101), "a", USAGE, ("--rows 101", "--rows 100")),
    ("another file to look at", ["info", "part-0.h5"], ["info", "part-1.h5"], "a", USAGE, ("part-1.h5", "part-0.h5")),
    ("another dataset to look at", ["info", "part-0.h5"], ["info", "part-0.h5", "--dataset", "train"], "a", USAGE,
     ("--dataset train", "no --dataset")),
]
QUICK = (0, 2, 6, 9, 10, 22, 26, 30, 32, 36)


def command(t, parts):
    """mpirun with one rank for each (program, arguments, folder)."""
    words = list(t.mpirun)
    for i, (program, arguments, folder) in enumerate(parts):
        words += ([":"] if i else []) + ["-n", "1", "-wdir", t.path(folder), program] + [str(a) for a in arguments]
    return words


def run(t, parts):
    begun = time.time()
    return t.run(command(t, parts), timeout=60), time.time() - begun


def check_refused(t, what, parts, status, words, ran=None):
    result, seconds = ran or run(t, parts)
    limit = 60 if t.quick else SECONDS  # sanitizers take their time in the end
    if seconds > limit:
        result, seconds = run(t, parts)  # alone
    detail = f"{result.describe()}\n      {seconds:.1f} s"
    t.check(result.status == status, f"{what}: status {status}", detail)
    t.check(seconds < limit, f"{what}: ends soon", detail)
    said = result.messages
    t.check(len(said) == 1 and all(word in said[0] for word in words) and "rank" in said[0], f"{what}: one sentence", detail)
    t.check(not os.path.exists(t.path("a/out.h5")), f"{what}: nothing is written", detail)


def check_version(t):
    """A copy of the program that says it is another version."""
    other = t.path("other-lloyd")
    with open(t.lloyd_path, "rb") as file:
        program = file.read()
    version = t.lloyd("--version").out.split()[1].encode()
    later = version[:-1] + (b"8" if version.endswith(b"9") else b"9")
    with open(other, "wb") as file:
        file.write(program.replace(b"lloyd " + version + b" (", b"lloyd " + later + b" ("))
    os.chmod(other, 0o755)
    check_refused(t, "another version", [(t.lloyd_path, fit(), "a"), (other, fit(), "a")], USAGE,
                  ("lloyd " + later.decode(), "lloyd " + version.decode()))


def check_three(t):
    """What most ranks have is what the others are compared with."""
    parts = [(t.lloyd_path, fit("--seed", 7), "a"), (t.lloyd_path, fit(), "a"), (t.lloyd_path, fit(), "a")]
    check_refused(t, "rank 0 is the other one", parts, USAGE, ("rank 0 of 3 has --seed 7", "rank 1 has --seed 0"))
    parts = [(t.lloyd_path, fit("--seed", seed), "a") for seed in (5, 6, 7)]
    check_refused(t, "all differ", parts, USAGE, ("ranks 1, 2 differ from rank 0: rank 1 of 3 has --seed 6",))


def check_may_differ(t):
    """Memory, chunks, the filter, pruning, the time limit and the display change no result."""
    same = t.run(command(t, [(t.lloyd_path, fit(), "a")] * 2))
    labels = read(t.path("a/out.h5"), "/labels") if t.check(same.status == 0, "two ranks with one command", same.describe()) else None
    os.remove(t.path("a/out.h5"))
    free = fit("--chunk-rows", 3, "--max-host-memory", "4G", "--timeout", "5m", "--filter", "float16", "--prune", "on")
    free[free.index("none")] = "plain"
    result = t.run(command(t, [(t.lloyd_path, fit(), "a"), (t.lloyd_path, free, "a")]))
    if t.check(result.status == 0, "two ranks with other memory, chunks, filters, limits and displays", result.describe()):
        t.check(np.array_equal(read(t.path("a/out.h5"), "/labels"), labels), "the result is the same")


def main():
    t = Test("disagreement")
    make_files(t)
    cases = [case for i, case in enumerate(CASES) if not t.quick or i in QUICK]
    parts = [[(t.lloyd_path, first, "a"), (t.lloyd_path, first if second is SAME else second, folder)]
             for _, first, second, folder, _, _ in cases]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:  # most of a refused job is the launcher's waiting
        for case, part, ran in zip(cases, parts, pool.map(lambda part: run(t, part), parts)):
            check_refused(t, case[0], part, *case[4:], ran)
    check_version(t)
    check_three(t)
    check_may_differ(t)
    t.finish()


main()
