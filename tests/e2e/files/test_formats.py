"""Every format of input gives the bits of an HDF5 copy: fit and predict, on one rank and on three, with the rows in memory and
read in every pass, as one file and as several; checkpoints pass from one format to another; what is damaged is refused."""
import os

import h5py
import numpy as np

import data
from common import Test, attribute

ROWS, DIM, K = 5003, 19, 11
OPTIONS = ("-k", K, "--max-iters", 6, "--seed", 3, "--progress", "none")


def write_bin(path, x):
    with open(path, "wb") as file:
        np.array(x.shape, "<u4").tofile(file)
        x.tofile(file)


def write_vecs(path, x):
    width = np.full((len(x), 1), x.shape[1], "<i4").view(np.uint8)
    np.hstack([width, np.ascontiguousarray(x).view(np.uint8).reshape(len(x), -1)]).tofile(path)


def write_bfloat16(path, x):
    """As NumPy saves the bfloat16 of ml_dtypes."""
    bits = (np.ascontiguousarray(x, np.float32).view(np.uint32) >> 16).astype("<u2")
    np.lib.format.write_array(open(path, "wb"), bits.view("V2"))


# Ending, type, how a file is written. .npy in float64 is rounded like HDF5's.
# The first of each reader, .npy, .?bin and .?vecs, is tried in all ways.
FORMATS = [(".npy", "float32", np.save), (".npy", "float16", np.save), (".npy", "bfloat16", write_bfloat16), (".npy", "uint8", np.save),
           (".npy", "int8", np.save), (".npy", "float64", np.save), (".fbin", "float32", write_bin), (".u8bin", "uint8", write_bin),
           (".i8bin", "int8", write_bin), (".fvecs", "float32", write_vecs), (".bvecs", "uint8", write_vecs)]
FIRST = [(".npy", "float32"), (".fbin", "float32"), (".fvecs", "float32")]


def rows(kind):
    x = data.gaussian(ROWS, DIM, 5)
    if kind in ("uint8", "int8"):
        return np.clip(np.round(20 * x + (100 if kind == "uint8" else 0)), np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)
    if kind == "bfloat16":
        return data.bfloat16_values(x)
    return x.astype(np.float64) / 3 if kind == "float64" else x.astype(kind)


def same_bits(t, ending, kind, save, number):
    name = f"{kind}{ending}"
    x = rows(kind)
    copy = data.write(t.path(f"copy-{name}.h5"), x, dtype=kind)
    save(t.path(f"x-{name}"), x)
    for i, (a, b) in enumerate(((0, 1), (1, 2000), (2000, ROWS))):
        save(t.path(f"shard-{i}-{name}"), x[a:b])
    usual = t.fit(copy, f"usual-{name}.h5", *OPTIONS)
    inputs = {"one file": t.path(f"x-{name}"), "a pattern": t.path(f"shard-?-{name}"),
              "several files": [t.path(f"shard-{i}-{name}") for i in range(3)]}
    memory, passes = ("in memory", ()), ("read in every pass", ("--chunk-rows", 700))
    ways = [("one file", 1, memory), ("one file", 3, passes), ("a pattern", 1, passes), ("a pattern", 3, memory), ("several files", 3, passes)]
    some = ways if (ending, kind) in FIRST else [ways[number % 2 * 2], ways[(1, 3, 4)[number % 3]]]
    for what, ranks, (where, options) in some:
        model = t.fit(inputs[what], f"{name}-model.h5", *OPTIONS, *options, ranks=ranks)
        t.check_same(f"{name}, {what}, {ranks} ranks, rows {where}: the model of the HDF5 copy", usual, model)
    if usual is None:
        return
    for ranks in (1, 3) if (ending, kind) in FIRST else (3 - number % 2 * 2,):
        for source, out in ((copy, "usual-labels.h5"), (t.path(f"shard-?-{name}"), "labels.h5")):
            result = t.lloyd("predict", "--model", usual, "--input", source, "--distances", "--output", t.path(out), ranks=ranks)
            t.check(result.status == 0, f"{name}: predict on {ranks} ranks", result.describe())
        t.check_same(f"{name}, {ranks} ranks: the labels and distances of the HDF5 copy", t.path("usual-labels.h5"),
                     t.path("labels.h5"), ("/labels", "/distances"))
    result = t.lloyd("info", t.path(f"x-{name}"))
    t.check(result.status == 0 and f"5,003 rows x {DIM} columns" in result.out and f"x-{name}\n" in result.out,
            f"{name}: info shows it", result.describe())


def checkpoints(t):
    """A fit that began with one format is resumed with another."""
    x = rows("float32")
    copy = data.write(t.path("resume.h5"), x)
    np.save(t.path("resume.npy"), x)
    write_vecs(t.path("resume.fvecs"), x)
    usual = t.fit(copy, "resume-usual.h5", *OPTIONS)
    checkpoint = ("--checkpoint", t.path("resume.ck"))
    t.fit(copy, "resume-part.h5", "-k", K, "--seed", 3, "--max-iters", 2, *checkpoint)
    t.fit(t.path("resume.npy"), "resume-part.h5", "-k", K, "--seed", 3, "--max-iters", 4, *checkpoint, "--resume", ranks=2)
    model = t.fit(t.path("resume.fvecs"), "resume-model.h5", *OPTIONS, *checkpoint, "--resume")
    t.check_same("a checkpoint goes from HDF5 to .npy to .fvecs", usual, model)
    if model:
        t.check(attribute(model, "inputs") == t.path("resume.fvecs"), "the model names the file that it was made of")
    np.save(t.path("other.npy"), x + 1)
    result = t.lloyd("fit", "--input", t.path("other.npy"), *OPTIONS, *checkpoint, "--resume", "--output", t.path("other.h5"))
    t.check(result.status != 0 and result.messages, "another file is refused", result.describe())


def bad_rows(t):
    x = rows("float32")
    x[[7, 2500], 3] = np.nan
    copy = data.write(t.path("bad.h5"), x)
    np.save(t.path("bad.npy"), x)
    write_vecs(t.path("bad.fvecs"), x)
    usual = t.fit(copy, "bad-usual.h5", *OPTIONS, "--skip-bad-rows")
    for name in ("bad.npy", "bad.fvecs"):
        result = t.lloyd("fit", "--input", t.path(name), *OPTIONS, "--output", t.path("x.h5"), ranks=2)
        t.check(result.status == 3 and f"{name} row 7" in result.messages[0], f"{name}: the bad row is named", result.describe())
        t.check_same(f"{name}: bad rows are skipped", usual, t.fit(t.path(name), "bad-model.h5", *OPTIONS, "--skip-bad-rows", ranks=3))


def one_or_three(t, number):
    """On how many ranks a refusal is tried: a quick test tries each on one or on three."""
    return ((1, 3), (1,), (3,))[t.quick * (1 + number % 2)]


def refused(t):
    x = rows("float32")[:100]
    np.save(t.path("fortran.npy"), np.asfortranarray(x))
    np.save(t.path("big.npy"), x.astype(">f4"))
    np.save(t.path("line.npy"), x[0])
    np.save(t.path("cube.npy"), x.reshape(10, 10, DIM))
    np.save(t.path("objects.npy"), np.array([["a", 1], ["b", 2]], object), allow_pickle=True)
    np.save(t.path("integers.npy"), x.astype(np.int64))
    write_vecs(t.path("odd.fvecs"), x)
    with open(t.path("odd.fvecs"), "r+b") as file:
        file.seek(57 * (4 + 4 * DIM))
        file.write(b"\x05\0\0\0")
    write_vecs(t.path("cut.fvecs"), x)
    write_bin(t.path("cut.fbin"), x)
    np.save(t.path("cut.npy"), x)
    for name in ("cut.fvecs", "cut.fbin", "cut.npy"):
        os.truncate(t.path(name), os.path.getsize(t.path(name)) - 3)
    open(t.path("empty.bvecs"), "wb").close()
    for number, (name, words) in enumerate((("fortran.npy", "ascontiguousarray"), ("big.npy", "big-endian"), ("line.npy", "1 dimension"),
                                            ("cube.npy", "3 dimensions"), ("objects.npy", "'|O'"), ("integers.npy", "'<i8'"),
                                            ("odd.fvecs", "row 57"), ("cut.fvecs", "not copied completely"),
                                            ("cut.fbin", "not copied completely"), ("cut.npy", "not copied completely"),
                                            ("empty.bvecs", "0 bytes"))):
        for ranks in one_or_three(t, number):
            result = t.lloyd("fit", "--input", t.path(name), *OPTIONS, "--output", t.path("refused.h5"), ranks=ranks)
            t.check(result.status == 3 and len(result.messages) == 1 and name in result.messages[0] and words in result.messages[0]
                    and not os.path.exists(t.path("refused.h5")), f"{name}, {ranks} ranks: {' '.join(result.messages)[7:]}",
                    result.describe())


def wrapped(t):
    """wrap makes one HDF5 file of several raw ones."""
    x = rows("uint8")
    for i, (a, b) in enumerate(((0, 1700), (1700, 1701), (1701, ROWS))):
        write_bin(t.path(f"w-{i}.u8bin"), x[a:b])
    result = t.lloyd("wrap", "w-?.u8bin", "--output", "w.h5")
    t.check(result.status == 0 and "5003 x 19 uint8, points into w-0.u8bin and 2 more files" in result.out, "wrap of a pattern",
            result.describe())
    with h5py.File(t.path("w.h5")) as file:
        t.check(len(file["train"].external) == 3, "it points into three files")
    usual = t.fit(data.write(t.path("w-copy.h5"), x), "w-usual.h5", *OPTIONS)
    t.check_same("the model of the HDF5 copy", usual, t.fit("w.h5", "w-model.h5", *OPTIONS, ranks=3))
    result = t.lloyd("wrap", "w-0.u8bin", "w-[12].u8bin", "--output", "listed.h5", ranks=2)
    t.check(result.status == 0 and "5003 x 19 uint8, points into w-0.u8bin and 2 more files" in result.out,
            "wrap of a file and a pattern, 2 ranks", result.describe())
    with h5py.File(t.path("w.h5")) as all_files, h5py.File(t.path("listed.h5")) as listed:
        t.check(listed["train"].external == all_files["train"].external, "it points into the same files, in the order given")
    t.lloyd("wrap", "w-2.u8bin", "w-0.u8bin", "--output", "turned.h5")
    with h5py.File(t.path("turned.h5")) as file:
        t.check([name for name, _, _ in file["train"].external] == ["w-2.u8bin", "w-0.u8bin"], "the order given, and not that of names")
    for paths in (["w-?.u8bin"], ["w-0.u8bin", "w-1.u8bin"]):
        result = t.lloyd("wrap", *paths, "--output", "w-1.u8bin", "--force")
        t.check(result.status == 2 and "w-1.u8bin" in result.messages[0], f"an output that is one of {' '.join(paths)} is refused",
                result.describe())


def write_plain(path, x):
    np.ascontiguousarray(x).tofile(path)


def write_plain_bfloat16(path, x):
    (np.ascontiguousarray(x, np.float32).view(np.uint32) >> 16).astype("<u2").tofile(path)


def headerless(t, kind):
    """Arrays without a header, of which the options say what they are."""
    x = rows(kind)
    save = write_plain_bfloat16 if kind == "bfloat16" else write_plain
    said = ("--raw", kind, "--dim", DIM)
    copy = data.write(t.path(f"copy-{kind}.h5"), x, dtype=kind)
    save(t.path(f"x:{kind}"), x)
    for i, (a, b) in enumerate(((0, 1), (1, 2000), (2000, ROWS))):
        save(t.path(f"plain-{i}-{kind}"), x[a:b])
    usual = t.fit(copy, f"usual-{kind}.h5", *OPTIONS)
    for inputs, ranks, options in ((t.path(f"x:{kind}"), 1, ()), (t.path(f"plain-?-{kind}"), 3, ("--chunk-rows", 700)),
                                   ([t.path(f"plain-{i}-{kind}") for i in range(3)], 2, ())):
        model = t.fit(inputs, f"{kind}-model.h5", *OPTIONS, *said, *options, ranks=ranks)
        t.check_same(f"headerless {kind}, {ranks} ranks {options}: the model of the HDF5 copy", usual, model)
    result = t.lloyd("predict", "--model", usual, "--input", copy, "--distances", "--output", t.path("usual-labels.h5"))
    result = t.lloyd("predict", "--model", usual, "--input", t.path(f"plain-?-{kind}"), *said, "--distances", "--output",
                     t.path("labels.h5"), ranks=2)
    t.check(result.status == 0, f"headerless {kind}: predict", result.describe())
    t.check_same(f"headerless {kind}: the labels and distances of the HDF5 copy", t.path("usual-labels.h5"), t.path("labels.h5"),
                 ("/labels", "/distances"))
    result = t.lloyd("info", t.path(f"plain-?-{kind}"), *said)
    t.check(result.status == 0 and f"5,003 rows x {DIM} columns" in result.out and kind in result.out, f"headerless {kind}: info",
            result.describe())
    result = t.lloyd("wrap", f"plain-?-{kind}", *said, "--output", f"wrapped-{kind}.h5")
    t.check(result.status == 0 and f"5003 x 19 {kind}, points into plain-0-{kind} and 2 more files" in result.out,
            f"headerless {kind}: wrap", result.describe())
    t.check_same(f"headerless {kind}: the model of the wrapped files", usual,
                 t.fit(t.path(f"wrapped-{kind}.h5"), "wrapped-model.h5", *OPTIONS))


def headerless_refused(t):
    x = rows("float32")[:100]
    write_plain(t.path("plain"), x)
    np.save(t.path("named.npy"), x)
    data.write(t.path("named.h5"), x)
    write_bin(t.path("named.fbin"), x)
    raw = ("--raw", "float32")
    for number, (name, options, status, words) in enumerate((
            ("plain", (*raw, "--dim", DIM + 2), 3, f"--dim {DIM + 2} of float32"), ("plain", raw, 2, "needs --dim"),
            ("plain", ("--dim", DIM), 2, "--raw TYPE"), ("plain", (), 3, "--raw TYPE --dim D"),
            ("named.npy", (*raw, "--dim", 1), 3, "NumPy"), ("named.h5", (*raw, "--dim", 1), 3, "HDF5"),
            ("named.fbin", (*raw, "--dim", 1), 3, "another name"), ("gone", (*raw, "--dim", 1), 3, "No such file"),
            ("plain", (*raw, "--dim", DIM, "--dataset", "train"), 2, "--dataset"),
            ("plain", (*raw, "--dim", DIM, "--weights", "w"), 3, "no dataset of weights"))):
        for ranks in one_or_three(t, number):
            result = t.lloyd("fit", "--input", t.path(name), *options, *OPTIONS, "--output", t.path("refused.h5"), ranks=ranks)
            t.check(result.status == status and len(result.messages) == 1 and words in result.messages[0]
                    and not os.path.exists(t.path("refused.h5")), f"{name} {options}, {ranks} ranks: {' '.join(result.messages)[7:]}",
                    result.describe())


def main():
    t = Test("formats")
    for kind in ("float32", "float16", "bfloat16", "uint8", "int8", "float64")[:2 if t.quick else 6]:
        headerless(t, kind)
    headerless_refused(t)
    for number, (ending, kind, save) in enumerate(FORMATS if not t.quick else FORMATS[:1] + FORMATS[-2:]):
        same_bits(t, ending, kind, save, number)
    checkpoints(t)
    bad_rows(t)
    refused(t)
    wrapped(t)
    t.finish()


main()
