"""Fits and labellings: from Python's values to the structures of lloyd.h, and back to arrays."""
from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from ctypes import POINTER, byref, c_double, c_float, c_int32, c_int64
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Optional, Union

import numpy as np

from ._library import (WATCH, FitOptions, FitResult, IterationInfo, LocalModel, LocalPrediction, LocalResult, LloydValueError,
                       PredictOptions, ReadOptions, call, communicator, library, strings)
from ._rows import Files, Memory

# The names that scikit-learn and papers use, beside those of lloyd.
METHODS = {"k-means||": "kmeans-parallel", "kmeans||": "kmeans-parallel", "kmeans-parallel": "kmeans-parallel",
           "k-means++": "kmeans++", "kmeans++": "kmeans++", "random": "random"}

READ_BYTES = 64 << 20  # of rows of files that are in memory at a time


@dataclass
class Iteration:
    """An iteration that is done, as a callback gets it.

    Attributes
    ----------
    restart : int
        0, 1, ... of `n_init`.
    iteration : int
        1, 2, ... of this restart.
    inertia : float
        Sum of squared distances to the centroids that the iteration began with.
    moved : int
        Rows whose label changed, over all ranks.
    empty : int
        Empty clusters.
    seconds : float
    """

    restart: int
    iteration: int
    inertia: float
    moved: int
    empty: int
    seconds: float


Callback = Callable[[Iteration], Any]


@dataclass
class Fitted:
    """What a fit gives."""

    centroids: np.ndarray
    counts: np.ndarray
    labels: np.ndarray
    history: dict[str, np.ndarray]
    inertia: float
    converged: bool
    distinct_rows: int  # where they are fewer than k; else 0
    sizes: dict[str, Any]  # with max_size, what a model says of it


@dataclass
class Settings:
    """The options of a fit, already checked."""

    k: int
    init: Union[str, np.ndarray]  # a value of METHODS, a model file, or centroids [k, d]
    n_init: int
    max_iter: int
    tol: float
    max_size: float  # 0: no limit
    metric: str
    empty: str
    seed: int
    backend: str
    checkpoint: Optional[str] = None


def _pointer(array: Optional[np.ndarray], kind: Any) -> Any:
    return None if array is None else array.ctypes.data_as(POINTER(kind))


class _Watch:
    """A callback of Python as one of C. An exception ends the fit, and is raised when it has ended."""

    def __init__(self, callback: Optional[Callback]):
        self.error: Optional[BaseException] = None
        self.callback = callback
        self.function = WATCH(self._call) if callback else WATCH()

    def _call(self, _: Any, info: Any) -> int:
        i: IterationInfo = info.contents
        try:
            assert self.callback is not None
            return bool(self.callback(Iteration(i.restart, i.iteration, i.inertia, i.moved, i.empty, i.seconds)))
        except BaseException as error:  # also KeyboardInterrupt; nothing may pass through C
            self.error = error
            return 1

    def end(self) -> None:
        if self.error is not None:
            raise self.error


def _options(settings: Settings, watch: _Watch) -> FitOptions:
    options = FitOptions()
    library().lloyd_fit_defaults(byref(options))
    options.k = settings.k
    options.n_init = settings.n_init
    options.max_iters = settings.max_iter
    options.tol = settings.tol
    options.max_size = settings.max_size
    options.metric = settings.metric.encode()
    options.empty = settings.empty.encode()
    options.seed = settings.seed
    options.backend = settings.backend.encode()
    options.progress = b"none"
    options.watch = watch.function
    if isinstance(settings.init, str):
        options.init = os.fsencode(settings.init)
    return options


def _fitted(settings: Settings, result: FitResult, centroids: np.ndarray, counts: np.ndarray, labels: np.ndarray,
            history: dict[str, np.ndarray]) -> Fitted:
    sizes: dict[str, Any] = {}
    if settings.max_size:
        sizes = {"max_size": settings.max_size, "largest_allowed": np.int64(result.largest_allowed),
                 "moved_rows": np.int64(result.moved_rows), "inertia_before": result.inertia_before}
    return Fitted(centroids, counts, labels, history, result.inertia, bool(result.converged), result.distinct_rows, sizes)


# ---- Rows in memory ---------------------------------------------------------------------------------------------------------


def fit_memory(comm: Any, rows: Memory, weights: Optional[np.ndarray], settings: Settings,
               callback: Optional[Callback]) -> Fitted:
    """Clusters rows in memory."""
    count, d, k = rows.shape[0], rows.shape[1], settings.k
    watch = _Watch(callback)
    options, result = _options(settings, watch), FitResult()
    first = settings.init if isinstance(settings.init, np.ndarray) else None
    centroids, counts, labels = np.empty((k, d), np.float32), np.empty(k, np.int64), np.empty(count, np.int32)
    inertia, moved, seconds = (np.empty(settings.max_iter, kind) for kind in (np.float64, np.int64, np.float64))
    local = rows.local_rows(weights)
    out = LocalResult(_pointer(centroids, c_float), _pointer(counts, c_int64), _pointer(labels, c_int32),
                      _pointer(inertia, c_double), _pointer(moved, c_int64), _pointer(seconds, c_double), 0)
    with communicator(comm) as opened:
        call(library().lloyd_fit_rows, opened, byref(options), byref(local), _pointer(first, c_float), byref(out), byref(result))
    watch.end()
    done = result.iterations
    history = {"inertia": inertia[:done].copy(), "moved": moved[:done].copy(), "seconds": seconds[:done].copy()}
    return _fitted(settings, result, centroids, counts, labels, history)


@dataclass
class Predicted:
    """What a labelling gives, as asked for."""

    labels: Optional[np.ndarray] = None
    distances: Optional[np.ndarray] = None
    all_distances: Optional[np.ndarray] = None
    second: Optional[np.ndarray] = None
    second_distances: Optional[np.ndarray] = None


def predict_memory(comm: Any, rows: Memory, centroids: np.ndarray, metric: str, backend: str, labels: bool = False,
                   distances: bool = False, all_distances: bool = False, second: bool = False) -> Predicted:
    """Labels (int32 [count]), squared distances to them (float64 [count]) and to all centroids (float64 [count, k]), the second-nearest
    centroids and the distances to these, as asked."""
    count, k = rows.shape[0], centroids.shape[0]
    options = PredictOptions()
    library().lloyd_predict_defaults(byref(options))
    options.backend = backend.encode()
    centroids = np.ascontiguousarray(centroids, np.float32)
    model = LocalModel(_pointer(centroids, c_float), k, metric.encode())
    found = Predicted(np.empty(count, np.int32) if labels else None, np.empty(count, np.float64) if distances else None,
                      np.empty((count, k), np.float64) if all_distances else None, np.empty(count, np.int32) if second else None,
                      np.empty(count, np.float64) if second else None)
    out = LocalPrediction(_pointer(found.labels, c_int32), _pointer(found.distances, c_double),
                          _pointer(found.all_distances, c_double), _pointer(found.second, c_int32),
                          _pointer(found.second_distances, c_double), 0)
    local = rows.local_rows()
    with communicator(comm) as opened:
        call(library().lloyd_predict_rows, opened, byref(options), byref(local), byref(model), byref(out), None)
    return found


# ---- Rows in files ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def hdf5_lock() -> Iterator[None]:
    """While lloyd reads files, no other thread is inside h5py, whose HDF5 may be the same library."""
    h5py = sys.modules.get("h5py")
    with h5py._objects.phil if h5py else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _shared_folder(comm: Any) -> Iterator[str]:
    """A temporary folder of rank 0, whose name all ranks know."""
    with contextlib.ExitStack() as stack:
        if comm is None:
            yield stack.enter_context(tempfile.TemporaryDirectory(prefix="lloyd-"))
        else:
            own = stack.enter_context(tempfile.TemporaryDirectory(prefix="lloyd-")) if comm.Get_rank() == 0 else None
            yield comm.bcast(own)
            comm.Barrier()


def _share(comm: Any, make: Callable[[], Any]) -> Any:
    """What rank 0 makes, on all ranks; its exception, too."""
    if comm is None:
        return make()
    made: Any = None
    if comm.Get_rank() == 0:
        try:
            made = make()
        except Exception as error:  # noqa: BLE001 - raised on all ranks
            made = error
    made = comm.bcast(made)
    if isinstance(made, Exception):
        raise made
    return made


def write_centroids(path: str, centroids: np.ndarray, metric: str) -> None:
    """A model file with nothing but centroids."""
    import h5py

    with h5py.File(path, "w") as file:
        file["centroids"] = np.ascontiguousarray(centroids, np.float32)
        file.attrs["metric"] = metric


def fit_files(comm: Any, files: Files, weights: Optional[str], settings: Settings, callback: Optional[Callback]) -> Fitted:
    """Clusters the rows of files. On several ranks, the folder of temporary files is one that all of them see."""
    from .model import load  # which needs this module

    watch = _Watch(callback)
    options, result = _options(settings, watch), FitResult()
    inputs = strings(files.inputs)
    options.inputs, options.input_count = inputs, len(files.inputs)
    options.dataset = os.fsencode(files.dataset) if files.dataset else None
    options.weights = weights.encode() if weights else None
    if settings.checkpoint:
        options.checkpoint, options.resume = os.fsencode(settings.checkpoint), 1
    with _shared_folder(comm) as folder, communicator(comm) as opened:
        output = os.path.join(folder, "model.h5")
        options.output = os.fsencode(output)
        if isinstance(settings.init, np.ndarray):
            first, centroids = os.path.join(folder, "first.h5"), settings.init
            _share(comm, lambda: write_centroids(first, centroids, "l2"))
            options.init = os.fsencode(first)
        with hdf5_lock():
            call(library().lloyd_fit, opened, byref(options), byref(result))
        watch.end()
        model = _share(comm, lambda: load(output))
    assert model.labels is not None  # it is only left out where that is asked for
    return _fitted(settings, result, model.centroids, model.counts, model.labels, model.history)


def predict_files(comm: Any, files: Files, centroids: np.ndarray, metric: str, backend: str, distances: bool = False,
                  second: bool = False) -> Predicted:
    """Labels (int32 [N]) of all rows of the files, on every rank; squared distances to them (float32 [N]) and the second-nearest
    centroids, as asked."""
    import h5py

    options = PredictOptions()
    library().lloyd_predict_defaults(byref(options))
    inputs = strings(files.inputs)
    options.inputs, options.input_count = inputs, len(files.inputs)
    options.dataset = os.fsencode(files.dataset) if files.dataset else None
    options.backend, options.distances, options.second, options.progress = backend.encode(), distances, second, b"none"
    with _shared_folder(comm) as folder, communicator(comm) as opened:
        model, output = os.path.join(folder, "model.h5"), os.path.join(folder, "labels.h5")
        _share(comm, lambda: write_centroids(model, centroids, metric))
        options.model, options.output = os.fsencode(model), os.fsencode(output)
        with hdf5_lock():
            call(library().lloyd_predict, opened, byref(options), None)

        def read() -> Predicted:
            with h5py.File(output, "r") as file:
                return Predicted(file["labels"][()], file["distances"][()] if distances else None, None,
                                 file["second/labels"][()] if second else None,
                                 file["second/distances"][()] if second else None)

        found: Predicted = _share(comm, read)
        return found


def distances_of_files(files: Files, centroids: np.ndarray, metric: str) -> np.ndarray:
    """Squared distances of all rows of the files to all centroids (float64 [N, k]). The rows are read some at a time."""
    options, n, d = ReadOptions(), c_int64(), c_int64()
    inputs = strings(files.inputs)
    options.inputs, options.input_count = inputs, len(files.inputs)
    options.dataset = os.fsencode(files.dataset) if files.dataset else None

    def read(first: int, rows: Optional[np.ndarray]) -> None:
        with hdf5_lock():
            call(library().lloyd_read_rows, byref(options), first, 0 if rows is None else len(rows), _pointer(rows, c_float), byref(n),
                 byref(d))

    read(0, None)
    if d.value != centroids.shape[1]:
        raise LloydValueError(f"X has {d.value} columns, but the centroids have {centroids.shape[1]}")
    squared = np.empty((n.value, len(centroids)), np.float64)
    step = max(1, READ_BYTES // (4 * d.value))
    rows = np.empty((min(step, n.value), d.value), np.float32)
    for first in range(0, n.value, step):
        part = rows[:n.value - first]
        read(first, part)
        try:
            found = predict_memory(None, Memory(part.ctypes.data, part.shape, "float32", part), centroids, metric, "cpu",
                                   all_distances=True)
        except LloydValueError:
            predict_files(None, files, centroids, metric, "cpu")  # which says in what file the row is
            raise
        squared[first:first + len(part)] = found.all_distances
    return squared
