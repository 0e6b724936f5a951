"""The Python package on a GPU: tensors of PyTorch and arrays of CuPy in its memory, without a copy through the host.

    python3 tests/gpu/python_cuda.py --lloyd build/gpu/lloyd

--library FILE   liblloyd.so; by default that of LLOYD_LIBRARY, or the one beside the program
--only NAMES     some of the parts: bits,inputs,errors,memory,overhead
--rows N         rows of the large fit, of 128 float32 (default 4194304, 2 GiB)
--repeats R      times that each side of a comparison of times runs (default 5)
--limit S        seconds after which the test gives up, prints its table and fails (default 1500)
--folder DIR     where files are written (default: a temporary folder; --rows take 2 GiB)
--rehearse       without a GPU: CPUs compute, and host memory stands in for that of a GPU

Needs a library with CUDA, NumPy and h5py. What is not installed of PyTorch and CuPy is left out, loudly; arrays made with the CUDA driver
are always tried. Checks, one line each:
  bits      fit and predict from a GPU, from NumPy and of the program on an HDF5 file: the same bits, for all types, weights and options
  inputs    tensors that want a gradient, slices, work that is still under way, weights and initial centroids on the GPU, pinned memory
  errors    what is wrong is one exception with one sentence, and the next fit works
  memory    the process grows by far less than the rows, and lloyd gives back the GPU memory that it took
  overhead  the iterations take as long as the program's, of resident rows, within 3 % and 0.3 ms
A table ends the output. Exit status 1 if a check failed, 77 where there is no GPU.

Longer than 600 lines: it runs by itself, on machines that have nothing of lloyd but a build.
"""
import argparse
import contextlib
import ctypes
import functools
import gc
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED = 77
KINDS = ("float32", "float16", "bfloat16", "uint8", "int8")
MIB = 1 << 20

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--lloyd", required=True)
parser.add_argument("--library")
parser.add_argument("--only", default="bits,inputs,errors,memory,overhead")
parser.add_argument("--rows", type=int, default=4 << 20)
parser.add_argument("--repeats", type=int, default=5)
parser.add_argument("--limit", type=float, default=1500)
parser.add_argument("--folder")
parser.add_argument("--rehearse", action="store_true")
options = parser.parse_args()
PROGRAM = os.path.abspath(options.lloyd)
if options.library or not os.environ.get("LLOYD_LIBRARY"):
    os.environ["LLOYD_LIBRARY"] = os.path.abspath(options.library or os.path.join(os.path.dirname(PROGRAM), "liblloyd.so"))
sys.path.insert(0, os.path.join(ROOT, "src", "python"))
BACKEND = "cpu" if options.rehearse else "cuda"
FOLDER = tempfile.mkdtemp(prefix="lloyd-python-cuda-", dir=options.folder)

# ---- checks -----------------------------------------------------------------------------------------------------------------

BEGAN = time.time()
parts = {}  # name: [checks, failures, seconds]
table = []  # lines of measurements
part = "start"


def check(ok, what, detail=""):
    counts = parts.setdefault(part, [0, 0, 0.0])
    counts[0] += 1
    counts[1] += not ok
    print(f"{'ok    ' if ok else 'FAILED'} {part}: {what}", flush=True)
    if not ok and detail:
        print("       " + str(detail)[:600].replace("\n", "\n       "), flush=True)
    return bool(ok)


def short(error):
    """An exception and the last lines of code that it came through."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = " < ".join(f"{os.path.basename(f.filename)}:{f.lineno} {f.name}" for f in reversed(frames))
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''} ({where})"


@contextlib.contextmanager
def attempt(what):
    """What fails inside is one failed check, and the test continues."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        check(False, what, short(error))


def finish(status=None):
    print(f"\npython_cuda: {time.time() - BEGAN:.0f} s")
    for name, (checks, failures, seconds) in parts.items():
        print(f"  {name:10} {checks:4} checks {failures:4} failed {seconds:7.1f} s")
    for line in table:
        print("  " + line)
    failed = sum(counts[1] for counts in parts.values())
    done = sum(counts[0] for counts in parts.values())
    print(f"python_cuda: {done} checks, {failed} failed" + (" (REHEARSED WITHOUT A GPU)" if options.rehearse else ""), flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    return (1 if failed or not done else 0) if status is None else status


def give_up():
    check(False, f"the time limit of {options.limit:.0f} s")
    finish()
    os._exit(1)


def skip(why):
    print(f"SKIPPED python_cuda: {why} NOTHING WAS TESTED.")
    shutil.rmtree(FOLDER, ignore_errors=True)
    sys.exit(SKIPPED)


# ---- memory of the GPU, by the CUDA driver -----------------------------------------------------------------------------------


class Driver:
    """The few functions of libcuda.so that the test needs, in the context that the CUDA runtime uses too."""

    def __init__(self):
        self.cuda = ctypes.CDLL("libcuda.so.1")
        self.call("cuInit", 0)
        count = ctypes.c_int()
        self.call("cuDeviceGetCount", ctypes.byref(count))
        self.count = count.value
        if self.count == 0:
            raise RuntimeError("no device")
        device, self.context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        name = ctypes.create_string_buffer(100)
        self.call("cuDeviceGetName", name, 100, device)
        self.name = name.value.decode()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(self.context), device)

    def call(self, name, *arguments):
        code = getattr(self.cuda, name)(*arguments)
        if code != 0:
            raise RuntimeError(f"{name} failed with {code}")

    def here(self):
        self.call("cuCtxSetCurrent", self.context)

    def memory(self):
        """(free, total) bytes."""
        self.here()
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def allocate(self, bytes_):
        self.here()
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(bytes_))
        return address.value

    def free(self, address):
        self.here()
        self.call("cuMemFree_v2", ctypes.c_uint64(address))

    def put(self, address, array):
        self.here()
        self.call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), array.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(array.nbytes))
        self.call("cuCtxSynchronize")

    def get(self, array, address):
        self.here()
        self.call("cuMemcpyDtoH_v2", array.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint64(address), ctypes.c_size_t(array.nbytes))


class HostDriver:
    """Host memory, for a rehearsal."""

    name, count = "no GPU (a rehearsal)", 1

    def __init__(self):
        self.kept = {}

    def memory(self):
        return 1 << 40, 1 << 40

    def allocate(self, bytes_):
        block = np.empty(bytes_, np.uint8)
        self.kept[block.ctypes.data] = block
        return block.ctypes.data

    def free(self, address):
        del self.kept[address]

    def put(self, address, array):
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def get(self, array, address):
        ctypes.memmove(array.ctypes.data, address, array.nbytes)


class GpuArray:
    """An array in the memory of a GPU, of a library that lloyd has never heard of."""

    def __init__(self, array, bfloat16=False):
        self.shape, self.address = array.shape, driver.allocate(max(array.nbytes, 1))
        self.host = np.empty(0, array.dtype)
        self.dtype = types.SimpleNamespace(name="bfloat16" if bfloat16 else array.dtype.name)
        typestr = "<V2" if bfloat16 else array.dtype.str
        self.__cuda_array_interface__ = {"shape": array.shape, "typestr": typestr, "data": (self.address, False), "strides": None, "version": 3}
        if array.nbytes:
            driver.put(self.address, array)

    def __len__(self):
        return self.shape[0]

    def copy_to_host(self):
        array = np.empty(self.shape, self.host.dtype)
        driver.get(array, self.address)
        return array

    def __del__(self):
        with contextlib.suppress(Exception):
            driver.free(self.address)


class Library:
    """A library with arrays on GPUs: put(array, kind) puts a NumPy array there (bfloat16: its bits), get() copies it back."""

    def __init__(self, name, put, get, module=None):
        self.name, self.put, self.get, self.module = name, put, get, module


def installed(name):
    """The module, or None; that it is left out is printed, and printed again at the end."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        table.append(f"SKIPPED {name}: NOT INSTALLED ({error})")
        print(f"       {table[-1]}", flush=True)
        return None


def libraries():
    found = [Library("driver", lambda a, kind: GpuArray(a, kind == "bfloat16"), lambda x: x.copy_to_host())]
    with attempt("PyTorch"):
        torch = installed("torch")
        if torch and (options.rehearse or torch.cuda.is_available()):
            device = "cpu" if options.rehearse else "cuda:0"

            def put(a, kind):
                tensor = torch.from_numpy(a.view(np.int16) if kind == "bfloat16" else a).to(device)
                return tensor.view(torch.bfloat16) if kind == "bfloat16" else tensor

            found.insert(0, Library("torch", put, lambda x: x.cpu().numpy(), torch))
            print(f"       PyTorch {torch.__version__}, CUDA {torch.version.cuda}")
        elif torch:
            check(False, "PyTorch sees the GPU", f"torch.cuda.is_available() is False; PyTorch {torch.__version__} of CUDA {torch.version.cuda}")
    with attempt("CuPy"):
        cupy = None if options.rehearse else installed("cupy")
        if cupy:
            found.append(Library("cupy", lambda a, kind: None if kind == "bfloat16" else cupy.asarray(a), cupy.asnumpy, cupy))
            print(f"       CuPy {cupy.__version__}")
    return found


# ---- rows and the program ---------------------------------------------------------------------------------------------------


def mixture(n, d, seed, kind="float32", centres=50):
    """Rows of a Gaussian mixture in this type; of bfloat16, the bits."""
    draw = np.random.default_rng(seed)
    places = draw.integers(-60, 60, (centres, d)).astype(np.float32)
    x = np.empty((n, d), np.float32)
    for at in range(0, n, 1 << 16):
        rows = x[at:at + (1 << 16)]
        draw.standard_normal(rows.shape, np.float32, out=rows)
        rows *= 20
        rows += places[draw.integers(centres, size=len(rows))]
    if kind in ("uint8", "int8"):
        least = 0 if kind == "uint8" else -128
        return np.clip(np.rint(x + 100 + least), least, least + 255).astype(kind)
    if kind == "bfloat16":
        return (x.view(np.uint32) >> 16).astype(np.uint16)
    return x.astype(kind, copy=False)


def write(path, x, kind, weights=None):
    import h5py

    with h5py.File(path, "w") as file:
        if kind == "bfloat16":
            stored = h5py.h5t.IEEE_F32LE.copy()
            stored.set_fields(15, 7, 8, 0, 7)
            stored.set_precision(16)
            stored.set_size(2)
            stored.set_ebias(127)
            made = h5py.h5d.create(file.id, b"train", stored, h5py.h5s.create_simple(x.shape))
            made.write(h5py.h5s.ALL, h5py.h5s.ALL, (x.astype(np.uint32) << 16).view(np.float32), h5py.h5t.NATIVE_FLOAT)
        else:
            file["train"] = x
        if weights is not None:
            file["weights"] = weights
    return path


def program(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"lloyd {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr.strip()[-300:]}")


def program_fit(source, output, keywords, weighted=False):
    """The model of the program with the options of these parameters of KMeans."""
    names = {"n_clusters": "-k", "random_state": "--seed", "max_iter": "--max-iters", "init": "--init", "metric": "--metric", "tol": "--tol",
             "n_init": "--n-init", "empty": "--empty", "max_size": "--max-size"}
    values = {"k-means++": "kmeans++", "k-means||": "kmeans-parallel"}
    more = [word for name, value in keywords.items() for word in (names[name], values.get(value, value))]
    program("fit", "--input", source, "--output", output, "--backend", BACKEND, "--progress", "none", "--force", *more,
            *(("--weights", "weights") if weighted else ()))
    return lloyd.load(output)


def differences(fitted, model):
    """What of a fitted KMeans does not have the bits of a model; "" if all does."""
    pairs = {"centroids": (fitted.cluster_centers_, model.centroids), "counts": (fitted.counts_, model.counts),
             "labels": (fitted.labels_, model.labels), "inertia": (np.float64(fitted.inertia_), np.float64(model.inertia)),
             **{f"history of {name}": (fitted.history_[name], model.history[name]) for name in ("inertia", "moved")}}
    wrong = [f"{name}: {np.asarray(a).dtype}{np.shape(a)}, {np.asarray(b).dtype}{np.shape(b)}, "
             f"{np.sum(np.asarray(a) != np.asarray(b)) if np.shape(a) == np.shape(b) else 'all'} differ"
             for name, (a, b) in pairs.items()
             if np.asarray(a).dtype != np.asarray(b).dtype or np.asarray(a).tobytes() != np.asarray(b).tobytes()]
    return "; ".join(wrong)


def same(what, fitted, model):
    found = differences(fitted, model)
    return check(not found, what, found)


def equal(what, one, other):
    one, other = np.asarray(one), np.asarray(other)
    return check(one.dtype == other.dtype and one.tobytes() == other.tobytes(), what, f"{one.dtype}{one.shape}, {other.dtype}{other.shape}")


def in_numpy(x, kind):
    """The rows as NumPy has them; bfloat16 of ml_dtypes, or a tensor of the CPU; None where there is neither."""
    if kind != "bfloat16":
        return x
    with contextlib.suppress(ImportError):
        return x.view(importlib.import_module("ml_dtypes").bfloat16)
    torch = next((found.module for found in LIBRARIES if found.name == "torch"), None)
    return None if torch is None else torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)


# ---- the same bits ----------------------------------------------------------------------------------------------------------


def check_predictions(what, fitted, x, expected):
    """predict, transform, score and what Model gives, against those of rows from NumPy (or the program)."""
    with attempt(f"{what}, predict"):
        equal(f"{what}, predict", fitted.predict(x), expected["labels"])
    with attempt(f"{what}, distances and second"):
        for name, got in zip(("labels", "distances", "second", "second_distances"),
                             fitted.to_model().predict(x, distances=True, second=True, backend=BACKEND)):
            wanted = expected[name]
            equal(f"{what}, {name} of Model.predict", got.astype(wanted.dtype), wanted)
    for name in ("transform", "score"):
        if expected.get(name) is not None:
            with attempt(f"{what}, {name}"):
                equal(f"{what}, {name}", getattr(fitted, name)(x), expected[name])


def program_predictions(model, source):
    import h5py

    output = os.path.join(FOLDER, "labels.h5")
    program("predict", "--model", model.path, "--input", source, "--output", output, "--distances", "--second", "--backend", BACKEND,
            "--force")
    with h5py.File(output, "r") as file:
        return {"labels": file["labels"][()], "distances": file["distances"][()], "second": file["second/labels"][()],
                "second_distances": file["second/distances"][()]}


def bits():
    cases = []
    for n, d, k in ((30011, 17, 40), (20000, 128, 300)):
        for number, kind in enumerate(KINDS):
            init = ("k-means||", "k-means++", "random")[number % 3]
            cases.append((n, d, kind, number % 2 == (d == 17), dict(n_clusters=k, init=init, random_state=number + 3, max_iter=8)))
    base = dict(n_clusters=60, init="random", random_state=9, max_iter=8)
    for more in (dict(metric="cosine"), dict(n_init=2), dict(tol=0.02), dict(empty="keep"), dict(max_iter=0), dict(n_clusters=1000), dict(max_size=1.2)):
        cases.append((20000, 64, "float16" if "metric" in more else "float32", False, {**base, **more}))
    for n, d, kind, weighted, keywords in cases:
        what = f"{n} x {d} {kind}{', weights' if weighted else ''}, " + ", ".join(f"{v}" for v in keywords.values())
        with attempt(what):
            x = mixture(n, d, 5, kind)
            weights = np.random.default_rng(1).integers(0, 5, n).astype(np.float32) / 2 if weighted else None
            source = write(os.path.join(FOLDER, "rows.h5"), x, kind, weights)
            model = program_fit(source, os.path.join(FOLDER, "model.h5"), keywords, weighted)
            expected = program_predictions(model, source)
            estimator = functools.partial(lloyd.KMeans, **keywords, backend=BACKEND)
            host = in_numpy(x, kind)
            if host is None:
                print(f"       (no {kind} in NumPy: neither ml_dtypes nor PyTorch is installed)")
            else:
                with attempt(f"NumPy, {what}"):
                    fitted = estimator().fit(host, sample_weight=weights)
                    same(f"NumPy, {what}", fitted, model)
                    check_predictions(f"NumPy, {what}", fitted, host, expected)
                    expected["score"], expected["transform"] = fitted.score(host), fitted.transform(host)
            for found in LIBRARIES:
                with attempt(f"{found.name}, {what}"):
                    there = found.put(x, kind)
                    if there is None:
                        continue
                    fitted = estimator().fit(there, sample_weight=weights)
                    same(f"{found.name}, {what}", fitted, model)
                    check_predictions(f"{found.name}, {what}", fitted, there, expected)
                    equal(f"{found.name}, {what}: the rows are as they were", found.get(there.view(found.module.int16)) if kind == "bfloat16"
                          and found.name == "torch" else found.get(there) if kind != "bfloat16" else x,
                          x.view(np.int16) if kind == "bfloat16" and found.name == "torch" else x)


# ---- other inputs -----------------------------------------------------------------------------------------------------------

KEYWORDS = dict(n_clusters=30, init="random", random_state=3, max_iter=6)


def inputs():
    x = mixture(20011, 19, 8)
    model = program_fit(write(os.path.join(FOLDER, "rows.h5"), x, "float32"), os.path.join(FOLDER, "model.h5"), KEYWORDS)
    first = np.ascontiguousarray(x[:30])
    weights = np.random.default_rng(1).integers(0, 5, len(x)).astype(np.float32) / 2
    fit = lloyd.KMeans(**KEYWORDS, backend=BACKEND).fit
    started = lloyd.KMeans(30, init=first, max_iter=6, backend=BACKEND).fit(x)
    weighed = lloyd.KMeans(**KEYWORDS, backend=BACKEND).fit(x, sample_weight=weights)
    for found in LIBRARIES:
        there, name = found.put(x, "float32"), found.name
        with attempt(f"{name}: backend auto"):
            same(f"{name}: backend auto", lloyd.KMeans(**KEYWORDS).fit(there), model)
        with attempt(f"{name}: initial centroids there"):
            got = lloyd.KMeans(30, init=found.put(first, "float32"), max_iter=6, backend=BACKEND).fit(there)
            same(f"{name}: initial centroids there", got, started.to_model())
        with attempt(f"{name}: weights there"):
            same(f"{name}: weights there", fit(there, sample_weight=found.put(weights, "float32")), weighed.to_model())
            fitted = lloyd.KMeans(**KEYWORDS, backend=BACKEND).fit(there)
            equal(f"{name}: score with weights there", fitted.score(there, sample_weight=found.put(weights, "float32")),
                  fitted.score(x, sample_weight=weights))
        if name != "driver":  # which has no indexing
            with attempt(f"{name}: members of a cluster"):
                fitted = lloyd.KMeans(**KEYWORDS, backend=BACKEND).fit(there)
                equal(f"{name}: members of a cluster", fitted.to_model().members(3, there), fitted.to_model().members(3, x))
            for kind in KINDS:
                with attempt(f"{name}: rows from the third on, {kind}"):
                    rows = mixture(5011, 19, 8, kind)
                    whole = found.put(rows, kind)
                    host = in_numpy(np.ascontiguousarray(rows[3:]), kind)
                    if whole is not None and host is not None:
                        same(f"{name}: rows from the third on, {kind}", fit(whole[3:]), lloyd.KMeans(**KEYWORDS, backend=BACKEND)
                             .fit(host).to_model())
        del there
    torch = next((found for found in LIBRARIES if found.name == "torch"), None)
    if torch is not None:
        of_torch(torch, x, model, fit)
    cupy = next((found.module for found in LIBRARIES if found.name == "cupy"), None)
    if cupy is not None:
        with attempt("cupy: work on a stream of its own"):
            with cupy.cuda.Stream(non_blocking=True):
                rows = cupy.asarray(x)
                for _ in range(50):
                    rows = (rows * 2) / 2
                same("cupy: work on a stream of its own, still under way", fit(rows), model)


def of_torch(found, x, model, fit):
    torch = found.module
    there = found.put(x, "float32")
    with attempt("torch: a tensor that wants its gradient"):
        same("torch: a tensor that wants its gradient", fit(there.clone().requires_grad_()), model)
        same("torch: a parameter", fit(torch.nn.Parameter(there.clone())), model)
        same("torch: predict of one", lloyd.KMeans(**KEYWORDS, backend=BACKEND).fit(there.clone().requires_grad_()), model)
    with attempt("torch: a tensor on the CPU"):
        same("torch: a tensor on the CPU", fit(torch.from_numpy(x)), model)
        half = torch.from_numpy(x).to(torch.bfloat16)
        same("torch: bfloat16 on the CPU and on the GPU", fit(half), lloyd.KMeans(**KEYWORDS, backend=BACKEND)
             .fit(half.to(there.device)).to_model())
    with attempt("torch: imported after the library of lloyd"):
        check_order()
    if options.rehearse:
        return
    with attempt("torch: pinned memory"):
        same("torch: pinned memory", fit(torch.from_numpy(x).pin_memory()), model)
    with attempt("torch: work on a stream of its own"):
        with torch.cuda.stream(torch.cuda.Stream()):
            rows = torch.from_numpy(x).pin_memory().to("cuda:0", non_blocking=True)
            for _ in range(50):
                rows = (rows * 2) / 2
            same("torch: work on a stream of its own, still under way", fit(rows), model)
    with attempt("torch: its device"):
        before = torch.cuda.current_device()
        fit(there)
        check(torch.cuda.current_device() == before, "torch: the current device is as it was")
        total = float((there * 2).double().sum())
        check(np.isclose(total, 2 * x.astype(np.float64).sum()), "torch: computes after a fit")


def check_order():
    """PyTorch has libraries of its own, some of which lloyd has too, of another version."""
    where = "cpu" if options.rehearse else "cuda"
    script = f"""if True:
        import numpy as np, lloyd
        x = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
        fit = lloyd.KMeans(5, random_state=1, backend={BACKEND!r}).fit
        first = fit(x).cluster_centers_
        import torch
        there = torch.from_numpy(x).to({where!r})
        print(float((there @ there.T).sum()) != 0, (fit(there).cluster_centers_ == first).all())
    """
    place = {**os.environ, "PYTHONPATH": os.path.join(ROOT, "src", "python")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=place, check=False)
    check(done.stdout.split() == ["True", "True"], "torch: imported after the library of lloyd", done.stdout + done.stderr[-500:])


# ---- errors -----------------------------------------------------------------------------------------------------------------


def raises(what, kind, words, function, given, **keywords):
    """`given`: what the function gets, or a function that makes it, so that its failure is one of this check."""
    try:
        function(given() if isinstance(given, types.FunctionType) else given, **keywords)
    except kind as error:
        text = str(error)
        check(words in text and "\n" not in text, f"{what}: {type(error).__name__}: {text[:120]}", f"expected: {words}")
    except BaseException as error:  # noqa: BLE001
        check(False, what, "another exception, " + short(error))
    else:
        check(False, what, "no exception")


class SecondGpu:
    """An array that says that it is on the second GPU."""

    def __init__(self, array):
        self.__cuda_array_interface__ = array.__cuda_array_interface__
        self.device, self.array = types.SimpleNamespace(id=1), array


def errors():
    x = mixture(5000, 16, 3)
    bad = x.copy()
    bad[17, 3] = np.nan
    fit = lloyd.KMeans(**KEYWORDS, backend=BACKEND).fit
    fitted = lloyd.KMeans(**KEYWORDS, backend=BACKEND).fit(x)
    for found in LIBRARIES:
        there, name = found.put(x, "float32"), found.name
        raises(f"{name}: NaN", ValueError, "row 17 ", fit, lambda: found.put(bad, "float32"))
        raises(f"{name}: NaN in predict", ValueError, "row 17 ", fitted.predict, lambda: found.put(bad, "float32"))
        raises(f"{name}: 1-D", ValueError, "Reshape your data", fit, lambda: found.put(x[0].copy(), "float32"))
        raises(f"{name}: 3-D", ValueError, "3 dimensions", fit, lambda: found.put(x.reshape(-1, 4, 4).copy(), "float32"))
        raises(f"{name}: no rows", ValueError, "0 sample(s)", fit, lambda: found.put(x[:0].copy(), "float32"))
        raises(f"{name}: other columns", ValueError, "15 features, but KMeans is expecting 16", fitted.predict,
               lambda: found.put(np.ascontiguousarray(x[:, 1:]), "float32"))
        raises(f"{name}: K > N", ValueError, "n_samples=5 should be >= n_clusters=30", fit, lambda: found.put(x[:5].copy(), "float32"))
        raises(f"{name}: too few weights", ValueError, "sample_weight.shape == (3,)", fit, there, sample_weight=x[:3, 0])
        if options.rehearse and name == "torch":
            continue
        for kind in ("float64", "int32", "int64"):
            raises(f"{name}: {kind}", TypeError, f"{kind} on a GPU", fit, lambda: found.put(x.astype(kind), kind))
        if name == "driver":
            strided = GpuArray(x)
            strided.__cuda_array_interface__ = {**strided.__cuda_array_interface__, "shape": (5000, 8), "strides": (64, 4)}
            raises("driver: columns of a wider array", ValueError, "not contiguous", fit, strided)
            raises("driver: an array on the second GPU", ValueError, "GPU 1", fit, SecondGpu(there))
        else:
            for what, given in (("every second row", there[::2]), ("every second column", there[:, ::2]), ("some columns", there[:, :8]),
                                ("transposed", there.T)):
                raises(f"{name}: {what}", ValueError, "not contiguous", fit, given)
        if not options.rehearse:
            raises(f"{name}: backend cpu", ValueError, "CPUs compute", lloyd.KMeans(**KEYWORDS, backend="cpu").fit, there)
            raises(f"{name}: predict, backend cpu", ValueError, "CPUs compute", fitted.to_model().predict, there, backend="cpu")
        with attempt(f"{name}: the next fit"):
            same(f"{name}: the next fit is as ever", lloyd.KMeans(**KEYWORDS, backend=BACKEND).fit(there), fitted.to_model())
    torch = next((found.module for found in LIBRARIES if found.name == "torch"), None)
    if torch is not None:
        raises("torch: the device meta", ValueError, "device meta", fit, lambda: torch.empty(50, 4, device="meta"))
        raises("torch: sparse", TypeError, "sparse", fit, lambda: LIBRARIES[0].put(x, "float32").to_sparse())
        if not options.rehearse and torch.cuda.device_count() > 1:
            raises("torch: a tensor on the second GPU", ValueError, "GPU 1", fit, lambda: torch.from_numpy(x).to("cuda:1"))
        else:
            print("       (one GPU: a tensor on the second one is not tried, but an array that says so)")
    interrupted()


def interrupted():
    """Ctrl-C and a callback end a fit of rows on the GPU."""
    x = mixture(20000, 32, 4)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    for found in LIBRARIES[:1]:
        there = found.put(x, "float32")
        running = lloyd.KMeans(400, random_state=0, max_iter=10**6, init="random", backend=BACKEND).fit(there[:400] if found.module else
                                                                                                     found.put(x[:400].copy(), "float32"))
        kept, seen = running.cluster_centers_, []

        def stops(step):
            seen.append(step.iteration)
            if step.iteration == 2:
                os.kill(os.getpid(), signal.SIGINT)

        raises(f"{found.name}: Ctrl-C", KeyboardInterrupt, "", running.fit, there, callback=stops)
        check(seen == [1, 2] and running.cluster_centers_ is kept, f"{found.name}: ... at once, and the estimator is as it was", str(seen))
        with attempt("a callback that ends the fit"):
            ended = lloyd.KMeans(**KEYWORDS, backend=BACKEND).fit(there, callback=lambda step: step.iteration == 3)
            check(ended.n_iter_ == 3, f"{found.name}: a callback ends the fit")


# ---- memory -----------------------------------------------------------------------------------------------------------------


def resident():
    """Bytes of this process in memory."""
    with open("/proc/self/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s*(\d+) kB", file.read())[1]) << 10


class Watched:
    """The most memory that this process and the GPU have in use while it is open."""

    def __enter__(self):
        gc.collect()
        self.first, self.free = resident(), driver.memory()[0]
        self.most, self.least = self.first, self.free
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.sample, daemon=True)
        self.thread.start()
        return self

    def look(self, *_):
        self.most, self.least = max(self.most, resident()), min(self.least, driver.memory()[0])

    def sample(self):
        while not self.ends.wait(0.003):
            self.look()

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()
        self.grown, self.taken, self.kept = self.most - self.first, self.free - self.least, self.free - driver.memory()[0]


def memory():
    rows = options.rows
    x = mixture(rows, 128, 6)
    size = x.nbytes
    for found in LIBRARIES:
        with attempt(f"{found.name}: memory"):
            there = found.put(x, "float32")
            small = found.put(x[:5000].copy(), "float32")
            if found is LIBRARIES[-1]:
                del x
            estimator = lloyd.KMeans(256, init="random", random_state=1, max_iter=4, backend=BACKEND)
            estimator.fit(small)  # libraries are loaded, and the GPU's context is made
            estimator.predict(small)
            if found.name == "torch" and not options.rehearse:
                print(f"       torch.cuda.mem_get_info before: {found.module.cuda.mem_get_info()}, allocated "
                      f"{found.module.cuda.memory_allocated()}")
            for what, work in (("fit", lambda: estimator.fit(there, callback=watched.look)), ("predict", lambda: estimator.predict(there))):
                with Watched() as watched:
                    work()
                text = (f"{found.name}: {what} of {size / MIB:.0f} MiB: the process grows by {watched.grown / MIB:.0f} MiB; GPU memory beyond "
                        f"the rows {watched.taken / MIB:.0f} MiB, kept {watched.kept / MIB:.0f} MiB")
                table.append(text)
                check(watched.grown < size / 4, text)
                check(watched.kept < 64 * MIB, f"{found.name}: {what} gives back its GPU memory")
            if found.name == "torch" and not options.rehearse:
                print(f"       torch.cuda.mem_get_info after: {found.module.cuda.mem_get_info()}, allocated "
                      f"{found.module.cuda.memory_allocated()}")
            with Watched() as watched:
                copy = found.get(there)
                copy = copy.copy() if options.rehearse else copy  # which has no other memory
            text = f"{found.name}: (a copy to the host would show: {watched.grown / MIB:.0f} MiB)"
            if found.name == "cupy":  # whose pinned memory may not be counted
                print(f"       {text}")
            else:
                check(watched.grown > 0.9 * size, text)
            del copy, there, small
            gc.collect()
            if found.name == "torch" and not options.rehearse:
                found.module.cuda.empty_cache()
            if found.name == "cupy":
                found.module.get_default_memory_pool().free_all_blocks()


# ---- overhead ---------------------------------------------------------------------------------------------------------------


def overhead():
    for n, k, repeats in ((200000, 1000, 2 * options.repeats), (options.rows, 1024, options.repeats)):
        what = f"{n} x 128 float32, K {k}"
        with attempt(what):
            x = mixture(n, 128, 2)
            keywords = dict(n_clusters=k, init="random", random_state=7, max_iter=20)
            source, output = write(os.path.join(FOLDER, "rows.h5"), x, "float32"), os.path.join(FOLDER, "model.h5")
            places = {"NumPy": x, **{found.name: found.put(x, "float32") for found in LIBRARIES}}
            best, rest, model = {}, {}, None
            for _ in range(repeats):
                began = time.time()
                model = program_fit(source, output, keywords)
                note(best, rest, "program", model.history, time.time() - began)
                for name, rows in places.items():
                    began = time.time()
                    fitted = lloyd.KMeans(**keywords, backend=BACKEND).fit(rows)
                    note(best, rest, name, fitted.history_, time.time() - began)
                    found = differences(fitted, model)
                    if found:
                        check(False, f"{name}, {what}: the bits of the program", found)
            base = best["program"].sum()
            table.append(f"{what}: program {1000 * base:.2f} ms in {len(best['program'])} iterations, else {rest['program']:.2f} s")
            for name in places:
                ratio = best[name].sum() / base
                text = f"{what}: {name} / program {ratio:.4f} ({1000 * best[name].sum():.2f} ms, else {rest[name]:.2f} s)"
                table.append(text)
                if name == "NumPy":
                    print(f"       {text}", flush=True)
                else:
                    # one side may try to prune in two iterations in which the other never does: 0.15 ms each
                    check(best[name].sum() <= 1.03 * base + 0.0003, text, f"per iteration, in ms: {np.round(1000 * best[name], 3)}, program "
                          f"{np.round(1000 * best['program'], 3)}")
            del places
            gc.collect()


def note(best, rest, name, history, seconds):
    """The least seconds of each iteration, and of all else."""
    times = history["seconds"]
    best[name] = np.minimum(best.get(name, times), times)
    rest[name] = min(rest.get(name, np.inf), seconds - times.sum())


# ---- all of it --------------------------------------------------------------------------------------------------------------


def rehearse():
    """What is said to be on a GPU is in host memory."""
    from lloyd import _rows

    plain = _rows.Memory.local_rows

    def local_rows(self, weights=None):
        rows = plain(self, weights)
        rows.on_gpu = 0
        return rows

    _rows.Memory.local_rows = local_rows


try:
    driver = HostDriver() if options.rehearse else Driver()
except (OSError, AttributeError, RuntimeError) as error:
    skip(f"NO GPU. ({error})")
for before in ("torch", "cupy"):  # as a program that has tensors does
    with contextlib.suppress(Exception):
        importlib.import_module(before)
import lloyd  # noqa: E402 - the path is set above

try:
    lloyd.KMeans(2, backend=BACKEND, max_iter=1).fit(np.arange(20, dtype=np.float32).reshape(10, 2))
except lloyd.LloydError as error:
    if "built without CUDA" in str(error) or "no GPU is visible" in str(error):
        skip(f"NO GPU. ({error})")
    raise
watchdog = threading.Timer(options.limit, give_up)
watchdog.daemon = True
watchdog.start()
if options.rehearse:
    rehearse()
print(f"python_cuda: lloyd {lloyd.__version__} of {os.environ['LLOYD_LIBRARY']}, {driver.count} x {driver.name}, Python "
      f"{sys.version.split()[0]}, NumPy {np.__version__}")
LIBRARIES = libraries()
for run in (bits, inputs, errors, memory, overhead):
    if run.__name__ in options.only.split(","):
        part, began = run.__name__, time.time()
        with attempt("all of it"):
            run()
        parts.setdefault(part, [0, 0, 0.0])[2] += time.time() - began
        part = "end"
sys.exit(finish())
