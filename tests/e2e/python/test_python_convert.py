"""python -m lloyd convert and labels: the rows of every kind of file, their ids, and what is refused."""
import contextlib
import csv
import glob
import importlib.util
import io
import json
import os
import struct
import sys

import h5py
import numpy as np

import binding
from common import Result, Test, read

t = Test("python-convert")
lloyd = binding.load(t)
from lloyd import __main__ as program, convert as convert_module  # noqa: E402 - after load()

rng = np.random.default_rng(2)
X = rng.normal(size=(1000, 24)).astype(np.float32)
NUMBERS, NAMES = rng.permutation(10**6)[:1000], np.array([f"document {i}: ä" for i in range(1000)], object)


def run(*words):
    """python -m lloyd, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = program.main([str(word) for word in words])
        except SystemExit as end:  # of argparse
            status = end.code
    return Result(["python -m lloyd", *map(str, words)], status, out.getvalue(), err.getvalue(), False)


def safetensors(path, arrays):
    """Written by hand: {name: (type of the format, array of its bits)}."""
    header, at = {"__metadata__": {"format": "np"}}, 0
    for name, (kind, array) in arrays.items():
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(array.tobytes() for _, array in arrays.values()))
    return path


def rows_of(names):
    return np.concatenate([read(name, "train") for name in names])


def check_convert(what, expected, ids, *words, output="out.h5"):
    """The rows, and the ids; and a second run refuses to replace the files."""
    result = run("convert", *words, "-o", t.path(output))
    names = sorted(glob.glob(t.path(output).replace(".h5", "*.h5")))
    if not t.check(result.status == 0 and names, f"{what}: ends with 0", result.describe()):
        return
    rows = rows_of(names)
    t.check(rows.dtype == expected.dtype and np.array_equal(rows, expected), f"{what}: the rows", f"      {rows.dtype}{rows.shape}")
    if ids is not None:
        found = np.concatenate([h5py.File(name)["ids"][()] for name in names])
        found = np.array([i.decode() for i in found], object) if found.dtype == object else found
        t.check(np.array_equal(found, ids), f"{what}: the ids")
    again = run("convert", *words, "-o", t.path(output))
    t.check(again.status == 3 and "it exists" in again.err, f"{what}: nothing is replaced", again.describe())
    for name in names:
        os.unlink(name)


# Blocks of a few rows, so that all of it happens often.
convert_module.BLOCK_BYTES = 24 * 4 * 7
done = []
np.save(t.path("x.npy"), X)
t.check(convert_module.convert([t.path("x.npy")], t.path("small.h5"), progress=lambda at, of: done.append((at, of))) == [t.path("small.h5")]
        and np.array_equal(read(t.path("small.h5"), "train"), X) and done[0] == (7, 1000) and done[-1] == (1000, 1000), "in small blocks")
np.savez(t.path("small.npz"), rows=X, number=NUMBERS)
names = convert_module.convert([t.path("small.npz")], t.path("cut.h5"), ids="number", shard_rows=333)
t.check([len(read(name, "train")) for name in names] == [333, 333, 333, 1] and np.array_equal(rows_of(names), X)
        and np.array_equal(np.concatenate([read(name, "ids") for name in names]), NUMBERS), "in small blocks, over shards")

check_convert(".npy", X, None, t.path("x.npy"))
check_convert("two files, shards", np.concatenate([X, X]), None, t.path("x.npy"), t.path("x.npy"), "--shard-rows", 600)
check_convert("--type float16", X.astype(np.float16), None, t.path("x.npy"), "--type", "float16")
np.savez(t.path("x.npz"), rows=X, number=NUMBERS)
np.savez_compressed(t.path("packed.npz"), a=X, rows=X[:, :5].astype(np.float64), number=NUMBERS)
check_convert(".npz, with ids", X, NUMBERS, t.path("x.npz"), "--ids", "number")
check_convert(".npz, compressed, one of two", X[:, :5].astype(np.float64), NUMBERS, t.path("packed.npz"), "--column", "rows", "--ids", "number")
np.save(t.path("wide.npy"), NUMBERS.reshape(100, 10))
check_convert("int64 becomes float32", NUMBERS.reshape(100, 10).astype(np.float32), None, t.path("wide.npy"))
safetensors(t.path("x.safetensors"), {"rows": ("F32", X), "number": ("I64", NUMBERS)})
check_convert(".safetensors, with ids", X, NUMBERS, t.path("x.safetensors"), "--ids", "number")
bits = (X.view(np.uint32) >> 16).astype(np.uint16)
safetensors(t.path("half.safetensors"), {"rows": ("BF16", bits)})
result = run("convert", t.path("half.safetensors"), "-o", t.path("half.h5"))
fit = t.fit(t.path("half.h5"), "half-model.h5", "-k", 5)
info = t.lloyd("info", t.path("half.h5"))
t.check(result.status == 0 and "bfloat16" in info.out, ".safetensors of bfloat16: lloyd sees bfloat16", result.describe() + info.describe())
exact = lloyd.KMeans(5, random_state=0, max_iter=25).fit((bits.astype(np.uint32) << 16).view(np.float32))
t.check(fit is not None and exact.cluster_centers_.tobytes() == read(fit, "/centroids").tobytes(), "... and their values")

if importlib.util.find_spec("zarr"):
    import zarr
    zarr.save_array(t.path("x.zarr"), X)
    check_convert(".zarr, an array", X, None, t.path("x.zarr"))
    group = zarr.open_group(t.path("group.zarr"), mode="w")
    for name, array in (("rows", X), ("number", NUMBERS)):
        (group.create_array if hasattr(group, "create_array") else group.create_dataset)(name, data=array)
    check_convert(".zarr, a group, with ids", X, NUMBERS, t.path("group.zarr"), "--ids", "number")
else:
    print("SKIPPED .zarr: zarr is not installed")
    os.mkdir(t.path("x.zarr"))
    result = run("convert", t.path("x.zarr"), "-o", t.path("out.h5"))
    t.check(result.status == 3 and "install zarr" in result.err, ".zarr without zarr: says what to install", result.describe())

if importlib.util.find_spec("pyarrow"):
    import pyarrow
    import pyarrow.parquet
    for kind, column in (("list", pyarrow.array(list(X))), ("fixed", pyarrow.FixedSizeListArray.from_arrays(X.ravel(), 24))):
        table = pyarrow.table({"number": NUMBERS, "name": list(NAMES), "vector": column})
        pyarrow.parquet.write_table(table, t.path(f"{kind}.parquet"), row_group_size=300)
        check_convert(f".parquet, {kind}, ids of numbers", X, NUMBERS, t.path(f"{kind}.parquet"), "--ids", "number")
        check_convert(f".parquet, {kind}, ids of text, shards", X, NAMES, t.path(f"{kind}.parquet"), "--ids", "name", "--shard-rows", 400)
    wrong = {"short": [*X[:9].tolist(), [1.0]], "missing": [*X[:9].tolist(), None], "gap": [*X[:9].tolist(), [None] * 24]}
    for what, says in (("short", "row 9 "), ("missing", "row 9 "), ("gap", "missing number")):
        pyarrow.parquet.write_table(pyarrow.table({"vector": pyarrow.array(wrong[what], pyarrow.list_(pyarrow.float32()))}),
                                    t.path(f"{what}.parquet"))
        result = run("convert", t.path(f"{what}.parquet"), "-o", t.path("out.h5"))
        t.check(result.status == 3 and says in result.err and not glob.glob(t.path("out.h5*")), f".parquet, a {what} list", result.describe())
else:
    print("SKIPPED .parquet: pyarrow is not installed")

# ---- what is refused --------------------------------------------------------------------------------------------------------

np.save(t.path("one.npy"), X[0])
np.save(t.path("narrow.npy"), X[:, :3])
np.savez(t.path("few.npz"), rows=X, ids=NUMBERS[:5])
with open(t.path("x.txt"), "w", encoding="utf-8") as text:
    text.write("1 2 3")
with open(t.path("broken.safetensors"), "wb") as file:
    file.write(b"x" * 50)
for what, words, says in (("an unknown kind", ["x.txt"], "unknown kind"), ("no file", ["nowhere.npy"], "no such file"),
                          ("one dimension", ["one.npy"], "1 dimension"), ("other columns", ["x.npy", "narrow.npy"], "3 of float32"),
                          ("two arrays", ["packed.npz"], "name one with --column"), ("no such array", ["x.npz", "--column", "y"], "'y'"),
                          ("no such ids", ["x.npz", "--ids", "y"], "'y' for the ids"), ("too few ids", ["few.npz", "--ids", "ids"], "(5,)"),
                          ("names in an array", ["x.npy", "--ids", "y"], "no names"), ("damaged", ["broken.safetensors"], "no safetensors"),
                          ("bfloat16 as float16", ["half.safetensors", "--type", "float16"], "cannot be stored")):
    result = run("convert", *[t.path(word) if "." in word else word for word in words], "-o", t.path("out.h5"))
    t.check(result.status == 3 and says in result.err and result.err.count("\n") == 1 and not glob.glob(t.path("out.h5*")), what,
            result.describe())
result = run("convert", t.path("x.npy"), "-o", t.path("small.h5"), "--force")
t.check(result.status == 0 and np.array_equal(read(t.path("small.h5"), "train"), X), "--force replaces", result.describe())

# ---- ids beside labels ------------------------------------------------------------------------------------------------------

convert_module.convert([t.path("x.npz")], t.path("ided.h5"), ids="number", shard_rows=600)
model = t.fit(t.path("ided-*.h5"), "model.h5", "-k", 4)
t.check(np.array_equal(lloyd.load(model).ids(), NUMBERS), "Model.ids")
t.lloyd("predict", "--model", model, "--input", t.path("ided-*.h5"), "--output", t.path("labels.h5"), "--distances")
for source, columns in ((model, ["id", "label"]), (t.path("labels.h5"), ["id", "label", "distance"])):
    result = run("labels", source, "-o", t.path("table.csv"))
    if t.check(result.status == 0, f"labels of {os.path.basename(source)}", result.describe()):
        with open(t.path("table.csv"), encoding="utf-8") as file:
            lines = list(csv.reader(file))
        t.check(lines[0] == columns and [int(line[0]) for line in lines[1:]] == list(NUMBERS)
                and [int(line[1]) for line in lines[1:]] == list(read(model, "/labels")), "... the table")
    if importlib.util.find_spec("pyarrow"):
        t.check(run("labels", source, "-o", t.path("table.parquet")).status == 0
                and pyarrow.parquet.read_table(t.path("table.parquet")).column_names == columns, "... as Parquet")
result = run("labels", t.fit(t.path("small.h5"), "plain-model.h5", "-k", 4), "-o", t.path("none.csv"))
t.check(result.status == 3 and "has no ids" in result.err, "labels without ids", result.describe())
t.check(run().status == 2 and "convert" in run("--help").out, "usage")
result = t.run([sys.executable, "-m", "lloyd", "convert", t.path("x.npy"), "-o", t.path("last.h5")])
t.check(result.status == 0 and result.out == f"{t.path('last.h5')}: 1 file\n", "python -m lloyd", result.describe())

t.finish()
