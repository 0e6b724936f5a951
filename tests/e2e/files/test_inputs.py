"""Inputs that must not be read as rows, or not as all of them: files in use, lloyd's own files, folders that cannot be read, virtual
datasets with holes, files that change while they are read, types and filters that HDF5 alone does not know. Each is refused with one
sentence that names the file, and the commands that messages advise are run.
"""
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np

import data
from common import Test, environment, log_events

TIME_LIMIT = 60
t = Test("inputs")
UNLIMITED = h5py.h5s.UNLIMITED


def fit(what, inputs, status, contains=(), options=(), ranks=1, **more):
    """lloyd fit ends with this status and, if that is not 0, with one message that contains these texts."""
    command = ["fit", "-k", 2, "--max-iters", 2, "--output", t.path("out.h5"), "--progress", "none", *options]
    for name in [inputs] if isinstance(inputs, str) else inputs:
        command += ["--input", name]
    result = t.lloyd(*command, ranks=ranks, timeout=TIME_LIMIT, **more)
    return judge(f"{what}, {ranks} rank{'s' * (ranks > 1)}", result, status, contains)


def judge(what, result, status, contains=()):
    text = " ".join(result.messages)
    wrong = [f"status {result.status}, not {status}"] if result.status != status or result.timed_out else []
    if status and len(result.messages) != 1:
        wrong.append(f"{len(result.messages)} messages, not one")
    wrong += [f"no word of {part}" for part in contains if part.lower() not in text.lower()]
    t.check(not wrong, f"{what}: {text[7:]}", "      " + "; ".join(wrong) + "\n" + result.describe())
    return result


def write(name, x, **more):
    return data.write(t.path(name), x, **more)


# ---- in use --------------------------------------------------------------------------------------------------------------

# Makes a dataset, writes rows that stay in its memory, and waits for a line, or to be killed.
WRITER = """
import h5py, numpy as np, sys
with h5py.File(sys.argv[1], "w", libver=sys.argv[2]) as f:
    d = f.create_dataset("train", (500, 8), "f4", chunks=(50, 8), compression="gzip")
    f.flush()
    if sys.argv[3] == "swmr":
        f.swmr_mode = True
    d[:] = np.random.default_rng(3).normal(5, 3, (500, 8))
    print("ready", flush=True)
    sys.stdin.readline()
"""


def start_writer(name, libver="earliest", mode="-"):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, t.path(name), libver, mode], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    t.check(writer.stdout.readline() == "ready\n", f"a writer of {name} ({libver}, {mode}) has begun")
    return writer


def set_environment(**values):
    """The environment of this process with other variables, for runs of lloyd."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    return before


def restore(before):
    for key, value in before.items():
        if value is None:
            os.environ.pop(key)
        else:
            os.environ[key] = value


def in_use():
    held = t.path("held.h5")
    model = data.centroids(t.path("centroids.h5"), data.gaussian(2, 8, 1))
    writer = start_writer("held.h5")
    for ranks in (1, 3):
        fit("a writer has the file open", held, 3, ["held.h5", "in use"], ranks=ranks)
    good = write("good.h5", data.gaussian(500, 8, 0))
    fit("the second file is in use", [good, held], 3, ["held.h5", "in use"])
    judge("predict", t.lloyd("predict", "--model", model, "--input", held, "--output", t.path("l.h5")), 3, ["held.h5", "in use"])
    judge("info", t.lloyd("info", held), 3, ["held.h5", "in use"])
    with h5py.File(t.path("virtual-held.h5"), "w") as file:
        layout = h5py.VirtualLayout((500, 8), "f4")
        layout[:] = h5py.VirtualSource("held.h5", "train", shape=(500, 8))
        file.create_virtual_dataset("train", layout)
    fit("the source of a virtual dataset is in use", t.path("virtual-held.h5"), 3, ["held.h5", "in use"])
    with h5py.File(t.path("link-held.h5"), "w") as file:
        file["train"] = h5py.ExternalLink("held.h5", "train")
    fit("an external link to a file in use", t.path("link-held.h5") + ":train", 3, ["held.h5", "in use"])
    for value in ("TRUE", "BEST_EFFORT"):
        before = set_environment(HDF5_USE_FILE_LOCKING=value)
        fit(f"HDF5_USE_FILE_LOCKING={value}", held, 3, ["held.h5", "in use"])
        restore(before)
    before = set_environment(HDF5_USE_FILE_LOCKING="FALSE")
    fit("HDF5_USE_FILE_LOCKING=FALSE: not in use, but never written", held, 3, ["held.h5", "ever written"])
    restore(before)
    writer.communicate("\n")
    fit("the writer has closed the file", held, 0)
    with open(held, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        fit("another reader has locked the file", held, 0)
    with open(good, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fit("a file that is locked by whoever writes it otherwise", good, 3, ["good.h5", "in use"])


def left_open():
    for libver, mode in (("latest", "-"), ("latest", "swmr"), ("earliest", "-")):
        name = f"killed-{libver}{mode}.h5"
        writer = start_writer(name, libver, mode)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        words = ["in use or was not closed", "h5clear"] if libver == "latest" else ["ever written"]
        fit(f"a killed writer, {libver}, {mode}", t.path(name), 3, [name, *words])
        if libver == "latest" and shutil.which("h5clear"):
            result = judge("info", t.lloyd("info", t.path(name)), 3, [name])
            advice = re.search(r"'(h5clear -s [^']*)'", result.err)
            cleared = subprocess.run(advice[1].split(), check=False) if advice else None
            t.check(cleared and cleared.returncode == 0, "h5clear, as it is advised, clears the mark")
            result = t.lloyd("info", t.path(name))
            t.check("not closed" not in result.err, "after that it is not said any more", result.describe())


# ---- files of lloyd's own, folders that cannot be read ---------------------------------------------------------------------


def own_files():
    os.mkdir(t.path("own"))
    x = data.gaussian(90, 4, 0)
    for i in range(3):
        write(f"own/part-{i}.h5", x[30 * i:30 * i + 30])
    model, ck, labels = (t.path(f"own/{name}.h5") for name in ("a-model", "b-fit", "c-labels"))
    everything = t.path("own/*.h5")
    result = t.lloyd("fit", "--input", everything, "-k", 5, "--output", t.path("model.h5"), "--checkpoint", t.path("fit.ck"),
                     "--progress", "none")
    t.check(result.status == 0, "a fit of all files", result.describe())
    result = t.lloyd("predict", "--model", t.path("model.h5"), "--input", everything, "--output", t.path("labels.h5"))
    t.check(result.status == 0, "a prediction of all files", result.describe())
    for source, target, kind in (("model.h5", model, "model"), ("fit.ck", ck, "checkpoint"), ("labels.h5", labels, "labels")):
        shutil.copy(t.path(source), target)
        for ranks in (1, 3):
            fit(f"{kind} among the files of a pattern", everything, 3, [os.path.basename(target), kind], ranks=ranks)
        judge(f"predict, {kind}", t.lloyd("predict", "--model", t.path("model.h5"), "--input", everything, "--output",
                                          t.path("l.h5")), 3, [os.path.basename(target), kind])
        fit(f"{kind} by its own name", target, 3, [os.path.basename(target), kind])
        os.remove(target)
    fit("a model's centroids as rows, by name", t.path("model.h5") + ":/centroids", 0)
    fit("centroids from elsewhere as rows", data.centroids(t.path("others.h5"), x), 0)


def unreadable_folders():
    root = t.path("folders")
    for i in range(3):
        os.makedirs(f"{root}/s{i}/deep")
        for place in (f"{root}/s{i}/part.h5", f"{root}/s{i}/deep/part.h5"):
            data.write(place, data.gaussian(40, 4, i))
    who, program = {}, t.lloyd_path
    if os.geteuid() == 0:
        # root sees everything: another user runs the program, from a place where it can
        program = shutil.copy(t.lloyd_path, t.path("lloyd"))
        who = {"user": 65534, "group": 65534, "extra_groups": []}
        os.chmod(t.directory, 0o755)
        os.mkdir(t.path("open"))
        os.chmod(t.path("open"), 0o777)
    else:
        os.mkdir(t.path("open"))

    def run(pattern):
        return t.run([program, "fit", "-k", "2", "--progress", "none", "--output", t.path("open/m.h5"), "--input", pattern],
                     timeout=TIME_LIMIT, **who)

    patterns = ("s*/part.h5", "s*/*.h5", "s*/deep/part.h5", "s*/d*/*.h5", "{s0,s1}/part.h5", "*/deep/p*.h5:train")
    for pattern in patterns:
        judge(f"{pattern}, all readable", run(f"{root}/{pattern}"), 0)
    os.chmod(f"{root}/s1", 0)
    for pattern in patterns:
        judge(f"{pattern}, s1 cannot be entered", run(f"{root}/{pattern}"), 3, ["s1", "permission denied"])
    judge("s[02]/part.h5 leaves it out", run(f"{root}/s[02]/part.h5"), 0)
    os.chmod(f"{root}/s1", 0o311)
    judge("s*/*.h5, s1 cannot be listed", run(f"{root}/s*/*.h5"), 3, ["s1", "permission denied"])
    judge("s*/part.h5 needs no list", run(f"{root}/s*/part.h5"), 0)
    os.chmod(f"{root}/s1", 0o755)
    judge("nowhere/*.h5", run(f"{root}/nowhere/*.h5"), 3, ["nowhere", "matches"])


# ---- virtual datasets --------------------------------------------------------------------------------------------------------


def grown(name, x, dataset="train"):
    """A dataset that may become longer."""
    with h5py.File(t.path(name), "w") as file:
        file.create_dataset(dataset, data=x, maxshape=(None, *x.shape[1:]), chunks=(8, *x.shape[1:]))


def unlimited(name, sources, columns):
    """Sources next to each other, as long as each of them is."""
    each = columns // len(sources)
    with h5py.File(t.path(name), "w", libver="latest") as file:
        layout = h5py.VirtualLayout((1, columns), "f4", maxshape=(None, columns))
        for i, source in enumerate(sources):
            part = h5py.VirtualSource(source, "train", shape=(1, each), maxshape=(None, each))
            layout[0:UNLIMITED, i * each:(i + 1) * each] = part[0:UNLIMITED, :]
        file.create_virtual_dataset("train", layout)
    return t.path(name)


def series(name, pattern, rows, columns):
    """A series of sources of `rows` each, one after the other."""
    with h5py.File(t.path(name), "w", libver="latest") as file:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        target = h5py.h5s.create_simple((rows, columns), (UNLIMITED, columns))
        target.select_hyperslab((0, 0), (UNLIMITED, 1), (rows, 1), (rows, columns))
        creation.set_virtual(target, pattern.encode(), b"train", h5py.h5s.create_simple((rows, columns)))
        h5py.h5d.create(file.id, b"train", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((rows, columns), (UNLIMITED, columns)),
                        creation)
    return t.path(name)


def mapped(name, shape, parts):
    """parts: (where, source, its shape)."""
    with h5py.File(t.path(name), "w", libver="latest") as file:
        layout = h5py.VirtualLayout(shape, "f4")
        for where, source, extent in parts:
            layout[where] = h5py.VirtualSource(source, "train", shape=extent)
        file.create_virtual_dataset("train", layout)
    return t.path(name)


def check_rows(what, name, x):
    """One cluster of all rows: their mean, which shows every value that is not theirs."""
    result = t.lloyd("fit", "-k", 1, "--max-iters", 1, "--input", name, "--output", t.path("mean.h5"), "--progress", "none")
    if not t.check(result.status == 0, f"{what}: is read", result.describe()):
        return
    with h5py.File(t.path("mean.h5")) as file:
        found, labels = file["centroids"][0], len(file["labels"])
    t.check(labels == len(x) and np.allclose(found, x.astype(float).mean(0), rtol=1e-5, atol=1e-6), f"{what}: all rows, and theirs",
            f"      {labels} rows\n      {found}\n      {x.mean(0)}")


def virtual():
    x = data.gaussian(60, 8, 5) + np.float32(10)
    grown("left.h5", x[:, :4])
    grown("right.h5", x[:, 4:])
    both = unlimited("both.h5", ["left.h5", "right.h5"], 8)
    check_rows("two sources without limits", both, x)
    grown("right.h5", x[:40, 4:])
    for ranks in (1, 3):
        fit("a source that ends before the other", both, 3, ["both.h5", "row 40", "columns 4 to 7", "right.h5"], ranks=ranks)
    grown("left.h5", x[:40, :4])
    check_rows("both sources as short", both, x[:40])
    os.remove(t.path("left.h5"))
    fit("a source without limits is missing", both, 3, ["both.h5", "left.h5", "missing"])

    for i in range(4):
        write(f"pf-{i}.h5", x[15 * i:15 * i + 15])
    numbered = series("numbered.h5", "pf-%b.h5", 15, 8)
    check_rows("a series", numbered, x)
    os.rename(t.path("pf-2.h5"), t.path("gone.h5"))
    for ranks in (1, 3):
        fit("a hole in a series", numbered, 3, ["numbered.h5", "pf-2.h5", "missing"], ranks=ranks)
    os.remove(t.path("pf-3.h5"))
    check_rows("a series that has ended", numbered, x[:30])
    os.remove(t.path("pf-0.h5"))
    fit("the first of a series is missing", numbered, 3, ["numbered.h5", "pf-0.h5"])
    write("pf-0.h5", x[:10])
    fit("one of a series is too short", numbered, 3, ["numbered.h5", "pf-0.h5", "smaller"])

    a, b = write("va.h5", x[:30]), write("vb.h5", x[30:])
    parts = [(np.s_[:30], "va.h5", (30, 8)), (np.s_[30:], "vb.h5", (30, 8))]
    check_rows("two sources", mapped("two.h5", (60, 8), parts), x)
    check_rows("two sources, in turn", mapped("turn.h5", (60, 8), [(np.s_[0::2], "va.h5", (30, 8)), (np.s_[1::2], "vb.h5", (30, 8))]),
               x)
    fit("rows that no source has", mapped("hole.h5", (70, 8), [parts[0], (np.s_[40:], "vb.h5", (30, 8))]), 3,
        ["hole.h5", "row 30", "no source", "va.h5"])
    fit("columns that no source has", mapped("narrow.h5", (60, 9), [(np.s_[:30, :8], "va.h5", (30, 8)), (np.s_[30:, :8], "vb.h5", (30, 8))]),
        3, ["narrow.h5", "row 0", "columns 8 to 8"])
    with h5py.File(t.path("outer.h5"), "w") as file:
        layout = h5py.VirtualLayout((70, 8), "f4")
        layout[:] = h5py.VirtualSource("hole.h5", "train", shape=(70, 8))
        file.create_virtual_dataset("train", layout)
    fit("a virtual dataset of one with a hole", t.path("outer.h5"), 3, ["outer.h5", "hole.h5", "row 30", "no source"])
    check_rows("a source that is an input of its own too", [a, t.path("two.h5")][1], x)
    result = t.lloyd("fit", "-k", 1, "--max-iters", 1, "--input", a, "--input", b, "--input", t.path("two.h5"), "--output",
                     t.path("mean.h5"), "--progress", "none")
    mean = h5py.File(t.path("mean.h5"))["centroids"][0] if result.status == 0 else None
    t.check(mean is not None and np.allclose(mean, x.astype(float).mean(0), rtol=1e-5),
            "sources that are open as inputs themselves are read by HDF5 too", f"{result.describe()}\n      {mean}")
    write("va.h5", np.vstack([x[:30], x[:5]]))
    check_rows("a source with rows added", t.path("two.h5"), x)
    write("va.h5", np.hstack([x[:30], x[:30, :2]]))
    fit("a source with columns added", t.path("two.h5"), 3, ["two.h5", "va.h5", "shape"])
    write("va.h5", x[:29])
    fit("a source with rows removed", t.path("two.h5"), 3, ["two.h5", "va.h5", "smaller"])
    with h5py.File(t.path("weights.h5"), "w") as file:
        file["train"] = x
        file["some"] = np.ones(30, "f4")
        layout = h5py.VirtualLayout((60,), "f4")
        layout[:30] = h5py.VirtualSource(".", "some", shape=(30,))
        file.create_virtual_dataset("w", layout)
    fit("weights that no source has", t.path("weights.h5") + ":train", 3, ["weights.h5", "row 30", "no source"],
        ["--weights", "w"])


# ---- files that change ----------------------------------------------------------------------------------------------------------


def wait_for_iterations(log, process, count):
    end = time.time() + TIME_LIMIT
    while time.time() < end and process.poll() is None:
        if len(log_events(log, "iteration")) >= count:
            return True
        time.sleep(0.01)
    return False


def change(what, files, changing, words):
    """A fit that reads its rows in every pass ends with 3 after changing() was called, and leaves no model."""
    log, output = t.path("change.jsonl"), t.path("changed.h5")
    if os.path.exists(log):
        os.remove(log)
    command = [t.lloyd_path, "fit", "-k", "60", "--max-iters", "100000", "--output", output, "--log", log, "--chunk-rows", "7000",
               "--progress", "none"]
    for name in files:
        command += ["--input", t.path(name)]
    with open(t.path("change.err"), "w+", encoding="utf-8") as err:
        process = subprocess.Popen(command, stderr=err, env=environment())
        begun = wait_for_iterations(log, process, 2)
        changing()
        try:
            status = process.wait(TIME_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        err.seek(0)
        text = err.read()
    good = begun and status == 3 and text.count("lloyd: ") == 1 and all(word in text for word in words)
    t.check(good and not os.path.exists(output), f"{what}: {text.strip()[7:]}", f"      status {status}, begun {begun}\n{text}")


def change_rows(what, count, target, changing, word):
    """The same of one of `count` files of rows, which changing() is given."""
    files = [f"rows-{i}.h5" for i in range(count)]
    for i, name in enumerate(files):
        write(name, data.gaussian(60000 // count, 16, i), **({"chunks": (500, 16), "compression": "gzip"} if i == 1 else {}))
    write("another.h5", data.gaussian(60000 // count, 16, 77))
    change(what, files, lambda: changing(t.path(files[target])), [files[target], word])


def changes():
    def replace(path):
        os.replace(t.path("another.h5"), path)

    def append(path):
        with open(path, "ab") as file:
            file.write(b"more")

    def overwrite(path):
        with open(path, "r+b") as file:
            file.seek(5000)
            file.write(b"\0" * 64)

    change_rows("a file is replaced", 1, 0, replace, "replaced")
    change_rows("one of six is replaced", 6, 4, replace, "replaced")
    change_rows("a compressed one is appended to", 3, 1, append, "written to")
    change_rows("a file is written into", 1, 0, overwrite, "written to")
    change_rows("a file is removed", 1, 0, os.remove, "removed")
    change_rows("a file is cut off", 1, 0, lambda path: os.truncate(path, 100000), "truncated")
    raw = data.gaussian(30000, 16, 3)
    np.save(t.path("raw.npy"), raw)
    t.lloyd("wrap", t.path("raw.npy"), "--output", t.path("wrapped.h5"))
    np.save(t.path("raw2.npy"), raw + 1)
    change("a raw file behind a wrapped one is replaced", ["wrapped.h5"],
           lambda: os.replace(t.path("raw2.npy"), t.path("raw.npy")), ["raw.npy", "replaced"])
    write("source.h5", raw)
    write("source2.h5", raw + 1)
    mapped("over.h5", raw.shape, [(np.s_[:], "source.h5", raw.shape)])
    change("the source of a virtual dataset is replaced", ["over.h5"],
           lambda: os.replace(t.path("source2.h5"), t.path("source.h5")), ["source.h5", "replaced"])


# ---- types, filters, names --------------------------------------------------------------------------------------------------


def narrow_integers(file, name, x, bits, packed):
    """Integers of `bits` bits in a byte, packed by the n-bit filter or not."""
    kind = h5py.h5t.STD_I8LE.copy()
    kind.set_precision(bits)
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk((10, x.shape[1]))
    if packed:
        creation.set_filter(h5py.h5z.FILTER_NBIT)
    made = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(x.shape), creation)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, x)


def types():
    whole = np.random.default_rng(0).integers(-100, 100, (100, 4))
    small = (whole % 16 - 8).astype(np.int8)
    float8 = h5py.h5t.IEEE_F32LE.copy()
    float8.set_fields(7, 3, 4, 0, 3)
    float8.set_precision(8)
    float8.set_size(1)
    float8.set_ebias(7)
    made = t.path("types.h5")
    with h5py.File(made, "w") as file:
        file["int16"] = whole.astype(np.int16)
        file["int64"] = whole
        file["boolean"] = whole > 0
        file["opaque"] = (whole.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view("V2")
        file["byte"] = whole.astype(np.uint8).view("V1")
        file.create_dataset("lzf", data=whole.astype(np.float32), chunks=(10, 4), compression="lzf")
        h5py.h5d.create(file.id, b"float8", float8, h5py.h5s.create_simple(whole.shape)).write(
            h5py.h5s.ALL, h5py.h5s.ALL, (whole % 8).astype(np.float32))
        narrow_integers(file, "nbit", small, 5, True)
        narrow_integers(file, "five", small, 5, False)
        file["names:with:colons"] = small
        file["w"] = np.ones(100, np.float32)
        file["half"] = np.ones(50, np.float32)
    for name, words, expected in (("int16", ["int16"], whole), ("int64", ["int64"], whole), ("boolean", ["boolean"], whole > 0),
                                  ("opaque", ["bfloat16", "float32"], whole), ("lzf", ["32000", "lzf"], whole),
                                  ("float8", ["1-byte"], whole % 8)):
        result = fit(f"elements of {name}", f"{made}:{name}", 3, ["types.h5", *words])
        advice = re.search(r'python3 (-c "[^"]*")', result.err)
        if not t.check(advice, f"{name}: a command is advised", result.describe()):
            continue
        if os.path.exists(t.path("new.h5")):
            os.remove(t.path("new.h5"))
        done = subprocess.run(f"{sys.executable} {advice[1]}", shell=True, cwd=t.directory, capture_output=True, text=True, check=False)
        if t.check(done.returncode == 0, f"{name}: the advised command ends with 0", done.stderr):
            with h5py.File(t.path("new.h5")) as file:
                t.check(np.array_equal(file["train"][:], expected), f"{name}: it has kept the values")
            fit(f"{name}, converted", t.path("new.h5"), 0)
    fit("opaque bytes", made + ":byte", 3, ["types.h5", "float8", "ml_dtypes"])
    same = t.fit(made + ":/nbit", "five-model.h5", "-k", 4)
    with h5py.File(t.path("int8.h5"), "w") as file:
        file["train"] = small
    expected = t.fit(t.path("int8.h5"), "int8-model.h5", "-k", 4)
    t.check_same("integers of 5 bits, packed, are read", same, expected)
    t.check_same("integers of 5 bits in bytes are read", t.fit(made + ":five", "five-model.h5", "-k", 4), expected)

    named = t.fit(made, "named.h5", "-k", 4, "--dataset", "names:with:colons")
    t.check_same("--dataset names what ':' could not", named, expected)
    result = t.lloyd("predict", "--model", named or made, "--input", made, "--dataset", "/names:with:colons", "--output",
                     t.path("named-labels.h5"))
    t.check(result.status == 0, "predict --dataset", result.describe())
    result = t.lloyd("info", made, "--dataset", "names:with:colons")
    t.check(result.status == 0 and "100 rows" in result.out, "info --dataset", result.describe())
    os.link(made, t.path("a:b.h5"))
    t.check_same("--dataset and a file with a colon", t.fit(t.path("a:b.h5"), "named.h5", "-k", 4, "--dataset", "five"), expected)
    fit("--dataset, and another in the input", made + ":five", 3, ["No such file"], ["--dataset", "five"])
    fit("weights that are not there", made + ":five", 3, ["types.h5", "one-dimensional", "/half", "/w"], ["--weights", "heavy"])
    fit("a relative name", "nowhere.h5", 3, [t.path("nowhere.h5")])


in_use()
left_open()
own_files()
unreadable_folders()
virtual()
changes()
types()
t.finish()
