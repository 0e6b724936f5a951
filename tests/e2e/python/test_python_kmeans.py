"""lloyd.KMeans gives what the command line gives, bit for bit, whatever X is; and what is wrong is one exception with one sentence."""
import copy
import importlib.util
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import warnings

import h5py
import numpy as np

import binding
import data
from common import ROOT, Test, attribute, log_events, read

t = Test("python-kmeans")
lloyd = binding.load(t)

HISTORY = {"inertia": "/history/inertia", "moved": "/history/moved"}
OPTIONS = {"-k": 7, "--seed": 3, "--max-iters": 8, "--init": "random"}
KEYWORDS = dict(n_clusters=7, random_state=3, max_iter=8, init="random")


def model_of(X, more=None, name="rows", weights=None, dtype=None):
    """The command line's model of these rows."""
    source = data.write(t.path(f"{name}.h5"), X, weights=weights, dtype=dtype)
    options = {**OPTIONS, **(more or {}), **({"--weights": "weights"} if weights is not None else {})}
    return t.fit(source, f"{name}-model.h5", *(word for pair in options.items() for word in pair))


def check_model(what, estimator, model, labels=slice(None)):
    """The estimator has the model's bits."""
    pairs = [(estimator.cluster_centers_, read(model, "/centroids")), (estimator.counts_, read(model, "/counts")),
             (estimator.labels_, read(model, "/labels")[labels]), (np.float64(estimator.inertia_), attribute(model, "inertia")),
             *((estimator.history_[key], read(model, name)) for key, name in HISTORY.items())]
    wrong = [i for i, (a, b) in enumerate(pairs) if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes()]
    t.check(not wrong and estimator.n_iter_ == attribute(model, "iterations"), what, f"      {[pairs[i] for i in wrong[:1]]}")


def check_sizes(what, fitted, model):
    """The estimator and the model that it saves say of max_size what the command line's model says; predict() knows no sizes."""
    fitted.save(t.path("sizes.h5"))
    for name in ("max_size", "largest_allowed", "moved_rows", "inertia_before"):
        one, other = attribute(t.path("sizes.h5"), name), attribute(model, name)
        t.check(one == other and one.dtype == other.dtype, f"... {name} {other} ({what})", f"      {one!r} {other!r}")
    shown = [re.search(r"^.*moved to keep clusters.*$", t.lloyd("info", path).out, re.M) for path in (t.path("sizes.h5"), model)]
    t.check(None not in shown and shown[0][0] == shown[1][0], f"... and so does lloyd info ({what})", f"      {shown}")
    t.check(0 < fitted.moved_rows_ == attribute(model, "moved_rows"), f"... moved_rows_ ({what})")
    nearest = fitted.transform(x).argmin(axis=1)
    t.check(np.array_equal(fitted.predict(x), nearest) and 0 < np.sum(nearest != fitted.labels_) <= fitted.moved_rows_,
            f"... predict gives the nearest centroids ({what})")


rng = np.random.default_rng(5)
X = np.round(rng.normal(size=(600, 12)) * 20 + rng.integers(0, 7, 600)[:, None] * 9)

# ---- the same bits ----------------------------------------------------------------------------------------------------------

for kind in ("float32", "float64", "float16", "uint8", "int8"):
    x = (np.clip(X, 0, 255) if kind == "uint8" else np.clip(X, -128, 127) if kind == "int8" else X / 3).astype(kind)
    model, before = model_of(x, name=kind), x.copy()
    estimator = lloyd.KMeans(**KEYWORDS).fit(x)
    check_model(f"an array of {kind}", estimator, model)
    t.check(np.array_equal(x, before), f"... is as it was ({kind})")
    labels = t.path(f"{kind}-labels.h5")
    t.lloyd("predict", "--model", model, "--input", t.path(f"{kind}.h5"), "--output", labels, "--distances")
    squared = estimator.transform(x)**2
    t.check(np.array_equal(estimator.predict(x), read(labels, "/labels")), f"... predict ({kind})")
    t.check(np.allclose(squared.min(axis=1), read(labels, "/distances"), rtol=1e-6), f"... transform ({kind})")
    t.check(np.isclose(estimator.score(x), -np.sum(squared.min(axis=1)), rtol=1e-12), f"... score ({kind})")
    t.check(np.isclose(estimator.score(x), -estimator.inertia_, rtol=1e-12), f"... score is minus the inertia ({kind})")

x = (X / 3).astype(np.float32)
model = t.path("float32-model.h5")
read_only = np.frombuffer(x.tobytes(), np.float32).reshape(x.shape)
for what, given in (("Fortran order", np.asfortranarray(x)), ("every second row", np.repeat(x, 2, axis=0)[::2]),
                    ("big endian", x.astype(">f4")), ("a list", x.tolist()), ("read-only", read_only), ("objects", x.astype(object))):
    check_model(f"X: {what}", lloyd.KMeans(**KEYWORDS).fit(given), model)
check_model("X: int64", lloyd.KMeans(**KEYWORDS).fit(X.astype(np.int64)), model_of(X.astype(np.float32), name="whole"))
np.save(t.path("x.npy"), x)
check_model("X: a memory map", lloyd.KMeans(**KEYWORDS).fit(np.load(t.path("x.npy"), mmap_mode="r")), model)
check_model("X: a path", lloyd.KMeans(**KEYWORDS).fit(t.path("x.npy")), model)
np.save(t.path("part-0.npy"), x[:250])
np.save(t.path("part-1.npy"), x[250:])
parts = [t.path("part-0.npy"), t.path("part-1.npy")]
for what, given in (("a list of paths", parts), ("a glob", t.path("part-*.npy")), ("FILE:DATASET", t.path("float32.h5") + ":train")):
    estimator = lloyd.KMeans(**KEYWORDS).fit(given)
    check_model(f"X: {what}", estimator, model)
    t.check(np.array_equal(estimator.predict(given), estimator.labels_), f"... predict ({what})")
    t.check(np.isclose(estimator.score(given), -estimator.inertia_, rtol=1e-6), f"... score ({what})")
for mode, names in (("r", "files"), ("r+", "memory")):
    with h5py.File(t.path("float32.h5"), mode) as file:
        check_model(f"X: a dataset of h5py, mode {mode}: {names}", lloyd.KMeans(**KEYWORDS).fit(file["train"]), model)

weights = rng.integers(0, 5, len(x)).astype(np.float32) / 2
for what, more, keywords in (("kmeans||", {"--init": "kmeans-parallel"}, {"init": "k-means||"}),
                             ("kmeans++", {"--init": "kmeans++"}, {"init": "k-means++"}),
                             ("cosine", {"--metric": "cosine", "--empty": "keep"}, {"metric": "cosine", "empty": "keep"}),
                             ("n_init and tol", {"--n-init": 3, "--tol": 0.02}, {"n_init": 3, "tol": 0.02}),
                             ("no iteration", {"--max-iters": 0}, {"max_iter": 0}),
                             ("max_size", {"--max-size": 1.1}, {"max_size": 1.1}),
                             ("max_size and cosine", {"--max-size": 1, "--metric": "cosine"}, {"max_size": 1, "metric": "cosine"}),
                             ("a large seed", {"--seed": 2**64 - 1}, {"random_state": 2**64 - 1})):
    other = model_of(x, more, name="weighted", weights=weights)
    fitted = lloyd.KMeans(**{**KEYWORDS, **keywords}).fit(x, sample_weight=weights)
    check_model(f"weights, {what}", fitted, other)
    if "max_size" in keywords:
        check_sizes(what, fitted, other)
    elif what != "no iteration":
        t.check(np.isclose(fitted.score(x, sample_weight=weights), -fitted.inertia_, rtol=1e-9), f"... score with weights ({what})")
other = model_of(x, name="weighted", weights=weights)
check_model("weights of a file", lloyd.KMeans(**KEYWORDS).fit(t.path("weighted.h5") + ":train", sample_weight="weights"), other)
other = model_of(x, {"--max-size": 1.1}, name="limited")
for given in (x, x.astype(np.float64), t.path("x.npy")):
    fitted = lloyd.KMeans(**KEYWORDS, max_size=1.1).fit(given)
    check_model("max_size, " + (given if isinstance(given, str) else str(given.dtype)), fitted, other)
    check_sizes("without weights", fitted, other)
t.check(lloyd.KMeans(**KEYWORDS).fit(x).moved_rows_ == 0, "without max_size no row is moved")
first = read(model, "/centroids")
other = model_of(x, {"--init": model, "--seed": 0, "--max-iters": 300}, name="from-model")
for what, init, given in (("an array", first, x), ("a model", model, x), ("a function", lambda X, k, random_state: first, x),
                          ("an array, of files", first, t.path("x.npy"))):
    check_model(f"init: {what}", lloyd.KMeans(7, init=init).fit(given), other)

# ---- transform of files -----------------------------------------------------------------------------------------------------

from lloyd import _calls  # noqa: E402 - after load()

for metric in ("l2", "cosine"):
    estimator = lloyd.KMeans(**KEYWORDS, metric=metric).fit(x)
    for kind in ("float32", "float64", "float16", "uint8", "int8"):
        with h5py.File(t.path(f"{kind}.h5"), "r") as file:
            stored = file["train"][()]
            wanted = estimator.transform(stored + np.array(metric == "cosine", stored.dtype))
            if metric == "cosine":  # which has no rows of zeros
                np.save(t.path("shifted.npy"), stored + np.array(1, stored.dtype))
            for given in [t.path("shifted.npy")] if metric == "cosine" else [t.path(f"{kind}.h5"), t.path(f"{kind}.h5") + ":train", file["train"]]:
                t.check(estimator.transform(given).tobytes() == wanted.tobytes(), f"transform of {kind}, {metric}, {type(given).__name__}")
estimator, usual = lloyd.KMeans(**KEYWORDS).fit(x), _calls.READ_BYTES
for _calls.READ_BYTES in (1, 12 * 4 * 250, 12 * 4 * 251, usual):  # rows at a time: 1, 250, 251, all
    t.check(estimator.transform(t.path("part-*.npy")).tobytes() == estimator.transform(x).tobytes(),
            f"transform of a glob, {_calls.READ_BYTES} bytes at a time")
t.check(np.array_equal(lloyd.KMeans(**KEYWORDS).fit_transform(parts), estimator.transform(x)), "fit_transform of files")

checkpoint = t.path("fit.ck")
lloyd.KMeans(**{**KEYWORDS, "max_iter": 3}, checkpoint=checkpoint).fit(t.path("x.npy"))
t.check(os.path.exists(checkpoint), "a checkpoint is written")
check_model("... and resumed from", lloyd.KMeans(**KEYWORDS, checkpoint=checkpoint).fit(t.path("x.npy")), model)

# ---- PyTorch on the CPU -----------------------------------------------------------------------------------------------------

if importlib.util.find_spec("torch"):
    import torch
    check_model("X: a tensor of PyTorch", lloyd.KMeans(**KEYWORDS).fit(torch.from_numpy(x)), model)
    check_model("X: a tensor that wants its gradient", lloyd.KMeans(**KEYWORDS).fit(torch.from_numpy(x).requires_grad_()), model)
    check_model("X: a tensor of bfloat16", lloyd.KMeans(**KEYWORDS).fit(torch.from_numpy(x).bfloat16()),
                model_of(torch.from_numpy(x).bfloat16().float().numpy(), name="bfloat16", dtype="bfloat16"))
else:
    print("SKIPPED tensors of PyTorch: PyTorch is not installed")

# ---- several ranks ----------------------------------------------------------------------------------------------------------

if importlib.util.find_spec("mpi4py"):
    script = os.path.join(ROOT, "tests/e2e/python/on_ranks.py")
    for ranks in (1, 3):
        for what in ("array", "path"):
            out = t.path(f"{what}-{ranks}.npz")
            result = t.run([*t.mpirun, "-n", str(ranks), sys.executable, script, what, t.path("x.npy"), out])
            if not t.check(result.status == 0, f"{ranks} ranks, {what}: ends with 0", result.describe()):
                continue
            got = np.load(out)
            same = (got["centroids"].tobytes() == first.tobytes() and np.array_equal(got["labels"], read(model, "/labels"))
                    and np.array_equal(got["counts"], read(model, "/counts")) and got["inertia"] == attribute(model, "inertia")
                    and np.array_equal(got["history"], read(model, "/history/inertia"))
                    and np.array_equal(got["moved"], read(model, "/history/moved")))
            t.check(same, f"{ranks} ranks, {what}: the bits of the command line")
            t.check(np.array_equal(got["again"], got["labels"]), f"{ranks} ranks, {what}: predict")
            t.check(np.isclose(got["score"], -got["inertia"], rtol=1e-6), f"{ranks} ranks, {what}: score")
            t.check(got["told"] == ranks, f"{ranks} ranks, {what}: all ranks get the exception of one")
            t.check(got["seeds"] == 1, f"{ranks} ranks, {what}: random_state=None is one seed")
else:
    print("SKIPPED several ranks: mpi4py is not installed")

# ---- conventions ------------------------------------------------------------------------------------------------------------

estimator = lloyd.KMeans(**KEYWORDS, verbose=0)
t.check(estimator.fit(x) is estimator and estimator.n_features_in_ == 12, "fit returns the estimator")
t.check(np.array_equal(estimator.fit_predict(x), estimator.labels_), "fit_predict")
t.check(np.array_equal(estimator.fit_transform(x), estimator.transform(x)), "fit_transform")
t.check(lloyd.KMeans(**estimator.get_params()).get_params() == estimator.get_params(), "get_params")
for what, twin in (("pickle", pickle.loads(pickle.dumps(estimator))), ("copy", copy.deepcopy(estimator))):
    check_model(f"{what} keeps the fit", twin, model)
t.check(lloyd.KMeans(3, random_state=np.random.RandomState(1)).fit(x).inertia_
        == lloyd.KMeans(3, random_state=np.random.RandomState(1)).fit(x).inertia_, "random_state: a RandomState")
t.check(lloyd.KMeans(3, random_state=np.random.default_rng(1)).fit(x).inertia_
        == lloyd.KMeans(3, random_state=np.random.default_rng(1)).fit(x).inertia_, "random_state: a Generator")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    check_model("n_init with centroids", lloyd.KMeans(7, init=first, n_init=4).fit(x), other)
    lloyd.KMeans(3, random_state=0).fit(np.repeat([[1.0, 2.0], [3.0, 4.0]], 4, axis=0))
t.check([w.category.__name__ for w in caught] == ["RuntimeWarning", "ConvergenceWarning"], "warnings: one start, few distinct rows",
        f"      {[str(w.message) for w in caught]}")

# ---- threads ----------------------------------------------------------------------------------------------------------------


# A process of its own: OpenMP looks at OMP_NUM_THREADS once.
script = """
import sys, numpy as np, lloyd
from lloyd import _calls
from threadpoolctl import threadpool_limits
plain = _calls._options
def with_log(*arguments):
    options = plain(*arguments)
    options.log = name.encode()
    return options
_calls._options = with_log
x = np.load(sys.argv[1])
for limit, name in ((None, "all.jsonl"), (1, "one.jsonl")):
    with threadpool_limits(limit):
        lloyd.KMeans(7, random_state=3).fit(x)
"""
result = subprocess.run([sys.executable, "-c", script, t.path("x.npy")], capture_output=True, text=True, timeout=60, cwd=t.directory,
                        env={name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"})
used = [log_events(t.path(name), "begin")[0]["threads"] for name in ("all.jsonl", "one.jsonl")]
cores = len(os.sched_getaffinity(0))
t.check(result.returncode == 0 and used == [cores, 1], f"all {cores} cores, or as many as threadpoolctl allows", f"      {used} {result.stderr}")

# ---- callbacks and Ctrl-C ---------------------------------------------------------------------------------------------------

seen = []
estimator = lloyd.KMeans(**KEYWORDS).fit(x, callback=lambda i: seen.append(i))
t.check([i.inertia for i in seen] == list(estimator.history_["inertia"]) and [i.iteration for i in seen] == list(range(1, len(seen) + 1)),
        "a callback sees the iterations")
shorter = lloyd.KMeans(**{**KEYWORDS, "max_iter": 3}).fit(x)
for given in (x, t.path("x.npy")):
    ended = lloyd.KMeans(**KEYWORDS).fit(given, callback=lambda i: i.iteration == 3)
    t.check(ended.n_iter_ == 3 and np.array_equal(ended.cluster_centers_, shorter.cluster_centers_)
            and np.array_equal(ended.labels_, shorter.labels_), "a callback ends a fit, which has all results")


def fails(iteration):
    raise KeyError("mine")


def check_raises(what, kind, words, function, *arguments, **keywords):
    try:
        function(*arguments, **keywords)
    except kind as error:
        text = str(error)
        t.check(words in text and "\n" not in text, f"{what}: {type(error).__name__}: {text[:110]}", f"      {text}")
    except BaseException as error:  # noqa: BLE001
        t.check(False, what, f"      {type(error).__name__}: {error}")
    else:
        t.check(False, what, "      no exception")


check_raises("an exception of a callback", KeyError, "mine", lloyd.KMeans(**KEYWORDS).fit, x, callback=fails)
check_raises("a callback that calls lloyd", lloyd.LloydRuntimeError, "callback", lloyd.KMeans(**KEYWORDS).fit, x,
             callback=lambda i: estimator.predict(x))
big = rng.normal(size=(20000, 32)).astype(np.float32)
running = lloyd.KMeans(400, random_state=0, max_iter=10**6, init="random").fit(big[:400])
kept = running.cluster_centers_
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
handler = signal.getsignal(signal.SIGINT)


def interrupts(i):
    """Ctrl-C during the second iteration."""
    seen.append(i.iteration)
    if i.iteration == 2:
        os.kill(os.getpid(), signal.SIGINT)


for what, given in (("rows in memory", big), ("files", t.path("big.npy"))):
    np.save(t.path("big.npy"), big)
    seen = []
    check_raises(f"Ctrl-C, {what}", KeyboardInterrupt, "", running.fit, given, callback=interrupts)
    t.check(seen == [1, 2] and running.cluster_centers_ is kept, f"... at once, and the estimator is as it was ({what})")
    t.check(signal.getsignal(signal.SIGINT) is handler, f"... and so is the handler of the signal ({what})")
check_model("the next fit is as ever", lloyd.KMeans(**KEYWORDS).fit(x), model)
results = []
threads = [threading.Thread(target=lambda: results.append(lloyd.KMeans(**KEYWORDS).fit(x))) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
t.check(len(results) == 3 and all(np.array_equal(r.labels_, read(model, "/labels")) for r in results), "fits in three threads")
# A terminal sends Ctrl-C; a script's own handler is called, and may let it continue.
script = """
import signal, os, numpy as np, lloyd
signal.signal(signal.SIGINT, lambda *_: print("handled", flush=True))
X = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
try:
    lloyd.KMeans(300, max_iter=10**6, init="random", random_state=0).fit(X, callback=lambda i: os.kill(os.getpid(), signal.SIGINT))
except lloyd.LloydStopped as error:
    print(error)
"""
result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
t.check(result.stdout == "handled\nStopped by SIGINT\n", "a handler that does not raise: LloydStopped", result.stdout + result.stderr)

# ---- what is wrong ----------------------------------------------------------------------------------------------------------

bad = x.copy()
bad[17, 3] = np.nan
np.save(t.path("bad.npy"), bad)
np.save(t.path("narrow.npy"), x[:, 1:])
far = x.astype(np.float64)
far[9, 2] = 1e39
with h5py.File(t.path("float32.h5")) as file:
    closed = file["train"]
fit = lloyd.KMeans(**KEYWORDS).fit


class OnGpu:
    """What libraries say of an array on a GPU."""

    def __init__(self, typestr="<f4", strides=None, device=0):
        self.__cuda_array_interface__ = {"shape": (20, 10), "typestr": typestr, "data": (4096, False), "strides": strides, "version": 3}
        self.device = type("Device", (), {"id": device})()


for what, kind, words, function, arguments, keywords in (
        ("1-D", ValueError, "Reshape your data", fit, (x[0],), {}),
        ("3-D", ValueError, "3 dimensions", fit, (x[None],), {}),
        ("no rows", ValueError, "0 sample(s)", fit, (x[:0],), {}),
        ("no columns", ValueError, "0 feature(s)", fit, (x[:, :0],), {}),
        ("objects", TypeError, "no number", fit, (np.array([["a", 1.0], [{}, 2]], object),), {}),
        ("text", TypeError, "numbers", fit, (np.array([["a", "b"]]),), {}),
        ("complex", ValueError, "Complex", fit, (x * 1j,), {}),
        ("NaN", ValueError, "row 17 ", fit, (bad,), {}),
        ("NaN in predict", ValueError, "row 17 ", estimator.predict, (bad,), {}),
        ("beyond float32", ValueError, "Row 9 of X", fit, (far,), {}),
        ("beyond float32 in transform", ValueError, "Row 9 of X", estimator.transform, (far,), {}),
        ("K > N", ValueError, "n_samples=5 should be >= n_clusters=7", fit, (x[:5],), {}),
        ("an array on a GPU, where CPUs compute", ValueError, "CPUs compute", lloyd.KMeans(7, backend="cpu").fit, (OnGpu(),), {}),
        ("float64 on a GPU", TypeError, "float64 on a GPU", fit, (OnGpu(typestr="<f8"),), {}),
        ("columns of a wider array on a GPU", ValueError, "not contiguous", fit, (OnGpu(strides=(80, 4)),), {}),
        ("an array on the second GPU", ValueError, "GPU 1", fit, (OnGpu(device=1),), {}),
        ("a closed file", ValueError, "closed", fit, (closed,), {}),
        ("a group of h5py", TypeError, "datasets", fit, (h5py.File(t.path("float32.h5")),), {}),
        ("no such file", ValueError, "nowhere.npy", fit, (t.path("nowhere.npy"),), {}),
        ("other columns", ValueError, "11 features, but KMeans is expecting 12", estimator.predict, (x[:, 1:],), {}),
        ("too few weights", ValueError, "sample_weight.shape == (3,)", fit, (x,), {"sample_weight": [1, 1, 1]}),
        ("a negative weight", ValueError, "weight", fit, (x,), {"sample_weight": -np.ones(len(x))}),
        ("weights beside files", ValueError, "name of a dataset", fit, (t.path("x.npy"),), {"sample_weight": weights}),
        ("no such file in transform", ValueError, "nowhere.npy", estimator.transform, (t.path("nowhere.npy"),), {}),
        ("NaN in a file, in transform", ValueError, "bad.npy", estimator.transform, (t.path("bad.npy"),), {}),
        ("other columns in a file, in transform", ValueError, "11 columns", estimator.transform, (t.path("narrow.npy"),), {}),
        ("not fitted", ValueError, "not fitted", lloyd.KMeans().predict, (x,), {}),
        *((f"{name}={value!r}", ValueError, name, lloyd.KMeans(**{**KEYWORDS, name: value}).fit, (x,), {})
          for name, value in (("n_clusters", 0), ("n_clusters", 2.5), ("n_clusters", True), ("init", "kmeans"), ("n_init", 0),
                              ("max_iter", -1), ("tol", -1), ("tol", np.nan), ("max_size", 0.9), ("max_size", 0),
                              ("max_size", np.inf), ("max_size", np.nan), ("max_size", True), ("max_size", "2"), ("metric", "l1"), ("empty", "drop"),
                              ("backend", "tpu"), ("random_state", -1), ("random_state", "x"), ("checkpoint", "a.ck"))),
        ("init of another K", ValueError, "(6, 12)", lloyd.KMeans(7, init=first[:6]).fit, (x,), {}),
        ("init of other columns", ValueError, "(7, 11)", lloyd.KMeans(7, init=first[:, 1:]).fit, (x,), {}),
        ("init with NaN", ValueError, "nitial centroid 0", lloyd.KMeans(7, init=first * np.nan).fit, (x,), {}),
        ("comm of another kind", TypeError, "mpi4py", lloyd.KMeans(**KEYWORDS, comm=3).fit, (x,), {})):
    check_raises(what, kind, words, function, *arguments, **keywords)
t.check(issubclass(lloyd.LloydValueError, lloyd.LloydError) and issubclass(lloyd.LloydRuntimeError, lloyd.LloydError), "one base class")

t.finish()
