"""lloyd export: every array arrives with its bits in every format, in bounded memory, in a folder that is there when it is complete."""
import json
import os
import subprocess
import time

import h5py
import numpy as np

import data
from common import Test, part_files

NAMES = {"/centroids": "centroids", "/counts": "counts", "/labels": "cluster_assignment", "/distances": "dist_to_cent",
         "/second/labels": "second_assignment", "/second/distances": "dist_to_second", "/members": "members", "/offsets": "offsets", "/rows": "rows",
         "/history/inertia": "history_inertia", "/history/moved": "history_moved", "/history/seconds": "history_seconds"}


def read_fvecs(path):
    x = np.fromfile(path, "<i4")
    return x.reshape(-1, x[0] + 1)[:, 1:].copy().view("<f4")


def read_back(path, dtype):
    if path.endswith(".npy"):
        return np.load(path)
    if path.endswith(".fvecs"):
        return read_fvecs(path)
    return np.loadtxt(path, dtype, delimiter=",", ndmin=2)


def check_export(t, source, folder, form):
    """Each dataset of `source` has its file, with the same bits, and there is nothing else."""
    expected = {"export.json"}
    with h5py.File(source) as file:
        for name, stem in NAMES.items():
            if name not in file:
                continue
            x = file[name][()]
            ending = form if form != "fvecs" or x.ndim == 2 else "npy"
            expected.add(f"{stem}.{ending}")
            path = os.path.join(folder, f"{stem}.{ending}")
            found = read_back(path, x.dtype) if os.path.exists(path) else np.array("missing")
            if ending == "csv" and x.ndim == 1 and found.size:
                found = found[:, 0] if found.shape[1] == 1 else found
            t.check(found.dtype == x.dtype and found.tobytes() == x.tobytes() and (ending == "csv" or found.shape == x.shape),
                    f"{os.path.basename(folder)}: {stem}.{ending} is {name}", f"      {found.dtype}{found.shape}")
    t.check(set(os.listdir(folder)) == expected, f"{os.path.basename(folder)}: nothing else", f"      {os.listdir(folder)}")
    with open(os.path.join(folder, "export.json"), encoding="utf-8") as file:
        about = json.load(file)
    t.check(about["lloyd"] == "export" and {a["file"] for a in about["arrays"]} == expected - {"export.json"} and about["format"] == form,
            f"{os.path.basename(folder)}: export.json says what is there", f"      {about}")


def write_everything(path):
    """All that a model can have: odd numbers of rows, NaN, -1, numbers with all their digits."""
    random = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        file["centroids"] = random.normal(size=(7, 5)).astype(np.float32) * np.float32(1e-20)
        file["counts"] = np.array([3, 0, 5, 1, 2**40, 1, 1])
        file["labels"] = np.array([6, -1, 0, 3], np.int32)
        file["distances"] = np.array([0.1, np.nan, 1e-30, 3e38], np.float32)
        file["second/labels"] = np.array([0, -1, 5, 4], np.int32)
        file["second/distances"] = random.normal(size=4).astype(np.float32)
        file["members"] = np.array([3, 0, 2])
        file["offsets"] = np.array([0, 1, 1, 1, 2, 2, 2, 3])
        file["rows"] = np.array([0, 5, 6, 2**35])
        file["history/inertia"] = random.normal(size=3) * 1e300
        file["history/moved"] = np.array([4, 1, 0])
        file["history/seconds"] = random.normal(size=3) * 1e-9
        file["unrelated"] = np.arange(3)
        file.attrs["metric"] = "cosine"


def formats(t, model):
    write_everything(t.path("all.h5"))
    for form in ("npy", "fvecs", "csv"):
        for source, name, ranks in ((model, "model", 1), (t.path("all.h5"), "all", 3)):
            folder = t.path(f"{name}-{form}")
            result = t.lloyd("export", source, "--to", folder + "/" * (ranks > 1), "--format", form, ranks=ranks)
            t.check(result.status == 0 and " arrays of " in result.out, f"export of {name} as {form}, {ranks} ranks", result.describe())
            check_export(t, source, folder, form)
    for path in ("model-npy/centroids.npy", "model-fvecs/centroids.fvecs"):
        result = t.lloyd("predict", "--model", model, "--input", t.path(path), "--output", t.path("back.h5"))
        t.check(result.status == 0, f"lloyd reads {path}", result.describe())
        with h5py.File(t.path("back.h5")) as file:
            t.check((file["labels"][:] == np.arange(len(file["labels"]))).all(), f"{path}: each centroid is its own nearest")


def labels(t, model, rows):
    result = t.lloyd("predict", "--model", model, "--input", rows, "--distances", "--output", t.path("labels.h5"))
    result = t.lloyd("export", "labels.h5", "--to", t.path("labels"))
    t.check(result.status == 0, "export of labels; npy is the default", result.describe())
    check_export(t, t.path("labels.h5"), t.path("labels"), "npy")


def replacing(t, model):
    folder = t.path("again")
    for form, gone in (("csv", None), ("npy", "centroids.csv"), ("fvecs", "centroids.npy")):
        result = t.lloyd("export", model, "--to", folder, "--format", form)
        t.check(result.status == 0, f"an export is replaced by one as {form}", result.describe())
        check_export(t, model, folder, form)
        t.check(gone is None or not os.path.exists(os.path.join(folder, gone)), f"{gone} of the older one is gone")
    os.symlink(folder, t.path("link"))
    result = t.lloyd("export", model, "--to", t.path("link"))
    t.check(result.status == 0 and os.path.islink(t.path("link")), "the folder that a link leads to", result.describe())
    check_export(t, model, folder, "npy")
    os.remove(os.path.join(folder, "export.json"))
    for force, status in (((), 2), (("--force",), 0)):
        result = t.lloyd("export", model, "--to", folder, *force)
        t.check(result.status == status, f"a folder without export.json, {force}", result.describe())
    os.mkdir(t.path("empty"))
    result = t.lloyd("export", model, "--to", t.path("empty"))
    t.check(result.status == 0, "an empty folder is filled", result.describe())
    open(os.path.join(folder, "mine.txt"), "w", encoding="ascii").close()
    open(t.path("file"), "w", encoding="ascii").close()
    for target, status, words in ((folder, 2, "mine.txt"), (t.path("file"), 2, "not a folder"), (t.path("no/where"), 1, "make the folder"),
                                  (t.directory, 2, "other files")):
        for ranks in (1, 3):
            result = t.lloyd("export", model, "--to", target, "--force", ranks=ranks)
            t.check(result.status == status and len(result.messages) == 1 and words in result.messages[0],
                    f"--to {target}, {ranks} ranks: {' '.join(result.messages)[7:]}", result.describe())
    t.check(os.path.exists(os.path.join(folder, "mine.txt")), "a file of somebody else stays")


def refused(t, rows):
    with h5py.File(t.path("odd.h5"), "w") as file:
        file["centroids"] = np.arange(5.0)
    open(t.path("text.h5"), "w", encoding="ascii").write("text")
    for source, status, words in ((rows, 3, "nothing to export"), (t.path("odd.h5"), 3, "/centroids"), (t.path("text.h5"), 3, "HDF5"),
                                  (t.path("gone.h5"), 3, "gone.h5")):
        result = t.lloyd("export", source, "--to", t.path("refused"))
        t.check(result.status == status and len(result.messages) == 1 and words in result.messages[0] and
                not os.path.exists(t.path("refused")) and not part_files(t.path("refused")),
                f"refused: {' '.join(result.messages)[7:]}", result.describe())


def large(t):
    """More labels than memory is used for; a full disk; a job that is killed."""
    count = 40_000_000 if not t.quick else 4_000_000
    with h5py.File(t.path("many.h5"), "w") as file:
        file.create_dataset("labels", (count,), np.int32, chunks=(1 << 20,), fillvalue=123456)
    command = [t.lloyd_path, "export", t.path("many.h5"), "--to", t.path("many")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    t.check(status == 0 and np.load(t.path("many/cluster_assignment.npy"), mmap_mode="r").shape == (count,), "many labels")
    t.check(usage.ru_maxrss * 1024 < count * 4 or t.quick, "they pass through little memory", f"      {usage.ru_maxrss} KiB")
    result = t.run(["bash", "-c", 'ulimit -f 2000; exec "$@"', "bash", *command[:3], "--to", t.path("full")])
    t.check(result.status == 1 and "ulimit -f" in " ".join(result.messages) and not os.path.exists(t.path("full")) and
            not part_files(t.path("full")), "a limit on the size of files", result.describe())
    result = t.run(["bash", "-c", 'ulimit -f 20000; exec "$@"', "bash", *command[:3], "--to", t.path("full"), "--format", "csv"])
    t.check(result.status in (0, 1) and not part_files(t.path("full")) and os.path.exists(t.path("full")) == (result.status == 0),
            "a limit that is found while writing", result.describe())
    process = subprocess.Popen([*command[:3], "--to", t.path("killed"), "--format", "csv"], stdout=subprocess.DEVNULL)
    until = time.time() + 60
    while not part_files(t.path("killed")) and time.time() < until:
        time.sleep(0.002)
    process.kill()
    process.wait()
    t.check(len(part_files(t.path("killed"))) == 1 and not os.path.exists(t.path("killed")), "killed: there is no folder, only a partial one")
    result = t.lloyd("export", t.path("all.h5"), "--to", t.path("killed"))
    t.check(result.status == 0 and "which a job that was killed had left" in result.err and not part_files(t.path("killed")),
            "the next one removes what is left", result.describe())


def main():
    t = Test("export")
    rows = data.write(t.path("rows.h5"), data.gaussian(3001, 6, 4))
    model = t.fit(rows, "model.h5", "-k", 5, "--progress", "none")
    if model:
        t.steps((formats, model), (labels, model, rows), (replacing, model), (refused, rows), (large,))
    t.finish()


main()
