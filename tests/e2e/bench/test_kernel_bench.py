"""bench/kernels.py without a GPU: the rows that it passes on, and what it makes of the times, with programs in place of bench_kernels
and of the peers."""
import json
import os
import subprocess
import sys

import h5py
import numpy as np

import kernels
import peer_kernels
from common import ROOT, Test, environment

BENCH = os.path.join(ROOT, "bench")
ROWS, COLUMNS, COPIES = 50, 8, 3

# In place of bench_kernels: repeats the rows without noise, its times are round numbers, and K = 7 is wrong.
FAKE_BENCH = """
import json, os, sys
import numpy as np
get = lambda name: sys.argv[sys.argv.index(name) + 1]
kind, rows = get("--types"), np.fromfile(get("--rows"), get("--types"))
with open(get("--json"), "w") as out:
    out.write(json.dumps({"what": "machine", "gpu": "none"}) + "\\n")
    for shape in get("--shapes").split(";"):
        n, k, d = map(int, shape.split(","))
        name, all_rows = f"{kind}-{n}x{d}", np.tile(rows.reshape(-1, d), (n * d // rows.size, 1))
        np.save(os.path.join(get("--dump"), f"rows-{name}.npy"), all_rows)
        np.save(os.path.join(get("--dump"), f"centroids-{name}-{k}.npy"), all_rows[:k].astype(np.float32))
        out.write(json.dumps({"what": "shape", "type": kind, "n": n, "k": k, "d": d, "rows": "these", "wrong": k == 7, "assign_ms": 1,
                              "update_ms": 0.5, "means_ms": 0.5, "iteration_ms": 2, "later_ms": 4, "later_filter_ms": 3,
                              "later_filter_tops": 100, "later_proved": 0.75, "later_int8": 0.5, "later_candidates": None,
                              "filter": get("--filter")}) + "\\n")
sys.exit(",7," in get("--shapes"))
"""

# In place of an interpreter with torch: it reads the rows as a peer does.
FAKE_PEER = """
import json, sys
sys.path.insert(0, {bench!r})
import numpy as np
from peer_kernels import parse_shapes, read_dump
get = lambda name: sys.argv[sys.argv.index(name) + 1]
name = sys.argv[2]
if name == "FlashLib":
    print(json.dumps({{"missing": "no such package"}}))
    sys.exit()
print("something that a library prints")
for shape in parse_shapes(get("--shapes")):
    x, c, divisor = read_dump(get("--dump"), get("--stored"), *shape)
    row = dict(zip("NKD", shape), dtype=get("--dtype"), assign_ms=2, update_ms=4, iter_ms=2, later_ms=2, fp64=1, kernel="Triton",
               sum=float((x.astype(np.float16) / divisor).astype(float).sum()))
    print(json.dumps({{"shape": shape, "error": "no memory"}} if shape[1] == 5 else row))
"""


def script(t, name, text):
    path = t.path(name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"#!{sys.executable}\n{text}")
    os.chmod(path, 0o755)
    return path


def run(t, *arguments):
    command = [sys.executable, os.path.join(BENCH, "kernels.py"), "--bench", script(t, "bench", FAKE_BENCH), "--python",
               script(t, "peer", FAKE_PEER.format(bench=BENCH)), *arguments]
    return subprocess.run(command, env=environment(PYTHONDONTWRITEBYTECODE="1"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False, timeout=100)


def rows_of_files(t, kind):
    """Rows in a file reach bench_kernels and the peer as they are."""
    rows = (np.random.default_rng(1).random((ROWS, COLUMNS)) * 255).astype(kind)
    source, result = t.path(f"{kind}.h5"), t.path(f"{kind}.json")
    with h5py.File(source, "w") as file:
        file["train"] = rows
    done = run(t, "--rows", source, "--copies", str(COPIES), "--k", "3,5", "--filter", "int8", "--json", result, "--scratch", t.directory)
    if not t.check(done.returncode == 0, f"{kind}: a run", done.stdout + done.stderr):
        return
    with open(result, encoding="utf-8") as file:
        content = json.load(file)
    t.check(content["machine"]["gpu"] == "none" and list(content["results"]) == [kind], f"{kind}: the type is that of the file")
    first, failed = content["results"][kind]["flash-kmeans"]["rows"]
    t.check((first["n"], first["k"], first["d"]) == (ROWS * COPIES, 3, COLUMNS), f"{kind}: shapes are of copies and K", str(first))
    expected = COPIES * (rows.astype(np.float16) / (16 if kind == "uint8" else 1)).astype(float).sum()
    t.check(first["peer"]["sum"] == expected and first["peer"]["dtype"] == "float16" and first["lloyd"]["filter"] == "int8",
            f"{kind}: the peer has the same rows", str(first))
    t.check(first["ratio"] == {"assign": 2, "update": 4, "iteration": 1, "later": 0.5}, f"{kind}: ratios", str(first["ratio"]))
    t.check(failed["peer"]["error"] == "no memory" and set(failed["ratio"].values()) == {None}, f"{kind}: a shape where the peer fails")
    t.check("FlashLib" not in content["results"][kind] and "SKIPPED FlashLib: no such package" in done.stderr, f"{kind}: a missing peer",
            done.stderr)
    t.check("75.000" in done.stdout and "flash-kmeans: no memory" in done.stdout, f"{kind}: the table", done.stdout)
    t.check(not [name for name in os.listdir(t.directory) if name.startswith("lloyd-bench-")], f"{kind}: the rows are removed")


def refusals(t):
    source = t.path("uint8.h5")
    for arguments, message in ((("--rows", source), "--rows needs --k"), (("--mixture", "3"), "--mixture needs --shapes"),
                               (("--rows", source, "--mixture", "3"), "not allowed with"), (("--peers", "other"), "no such peer: other")):
        done = run(t, *arguments)
        t.check(done.returncode == 2 and message in done.stderr, f"{' '.join(arguments[::2])}: {message}", done.stderr)
    done = run(t, "--rows", source, "--k", "7", "--scratch", t.directory)
    t.check(done.returncode == 1, "wrong results are a failure", done.stdout + done.stderr)


def dumps(t):
    """Bytes / 16 are what they were in float16; files of another shape are refused."""
    rows = np.arange(256, dtype=np.uint8).reshape(32, 8)
    np.save(t.path("rows-uint8-32x8.npy"), rows)
    np.save(t.path("centroids-uint8-32x8-4.npy"), rows[:4].astype(np.float32))
    x, c, divisor = peer_kernels.read_dump(t.directory, "uint8", 32, 4, 8)
    t.check(np.array_equal((x.astype(np.float16) / np.float16(divisor)) * np.float16(divisor), rows) and np.array_equal(c, rows[:4]),
            "bytes are exact in float16")
    np.save(t.path("rows-uint8-33x8.npy"), rows)
    np.save(t.path("centroids-uint8-33x8-4.npy"), rows[:4])
    try:
        peer_kernels.read_dump(t.directory, "uint8", 33, 4, 8)
        t.check(False, "files of another shape are refused")
    except ValueError as error:
        t.check("(32, 8)" in str(error), "files of another shape are refused", str(error))


def readers(t):
    """float64 is rounded, .npy is read, other ranks are refused."""
    rows = np.arange(12.0).reshape(3, 4)
    np.save(t.path("rows.npy"), rows)
    read = kernels.read_rows(t.path("rows.npy"))
    t.check(read.dtype == np.float32 and np.array_equal(read, rows), "float64 becomes float32")
    np.save(t.path("line.npy"), rows.ravel())
    done = run(t, "--rows", t.path("line.npy"), "--k", "2")
    t.check(done.returncode == 1 and "has 1 dimensions, not two" in done.stderr, "what is no matrix is refused", done.stderr)


test = Test("kernel-bench")
rows_of_files(test, "uint8")
rows_of_files(test, "float16")
refusals(test)
dumps(test)
readers(test)
test.finish()
