"""liblloyd.so through ctypes: where it is, what lloyd.h declares, and how its errors and Ctrl-C become exceptions."""
from __future__ import annotations

import contextlib
import ctypes
import glob
import os
import signal
import threading
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_uint64, c_void_p
from typing import Any, Callable, Iterator, Optional

ABI = 2  # LLOYD_ABI of CMakeLists.txt
OK, FAILED, USAGE, BAD_INPUT, STOPPED = 0, 1, 2, 3, 75  # lloyd_status


class LloydError(Exception):
    """A failure of lloyd, with its sentence."""


class LloydValueError(LloydError, ValueError):
    """An argument, a file or its contents are wrong."""


class LloydRuntimeError(LloydError, RuntimeError):
    """Memory, input and output, or communication failed while lloyd was running."""


class LloydStopped(LloydRuntimeError):
    """A request to stop ended the call, on all ranks."""


# ---- The structures of lloyd.h; tests/e2e/python/test_python_library.py compares them with it ------------------------------------------


class IterationInfo(ctypes.Structure):
    _fields_ = [("restart", c_int64), ("iteration", c_int64), ("inertia", c_double), ("moved", c_int64), ("empty", c_int64),
                ("seconds", c_double)]


WATCH = CFUNCTYPE(c_int, c_void_p, POINTER(IterationInfo))


class FitOptions(ctypes.Structure):
    _fields_ = [("inputs", POINTER(c_char_p)), ("input_count", c_int), ("dataset", c_char_p), ("raw", c_char_p),
                ("dim", c_int64), ("skip_bad_rows", c_int), ("rows", c_char_p),
                ("sample", c_int64), ("sample_per_centroid", c_int64), ("label", c_char_p), ("k", c_int64), ("output", c_char_p), ("init", c_char_p), ("init_trials", c_int64), ("init_sample", c_int64),
                ("seed", c_uint64), ("n_init", c_int64), ("max_iters", c_int64), ("tol", c_double), ("max_size", c_double), ("metric", c_char_p),
                ("weights", c_char_p), ("empty", c_char_p), ("backend", c_char_p), ("filter", c_char_p), ("prune", c_char_p),
                ("comm", c_char_p), ("chunk_rows", c_int64), ("max_host_memory", c_int64), ("max_device_memory", c_int64), ("no_labels", c_int),
                ("distances", c_int), ("members", c_int), ("force", c_int), ("checkpoint", c_char_p), ("checkpoint_every", c_char_p),
                ("resume", c_int),
                ("log", c_char_p), ("progress", c_char_p), ("dry_run", c_int), ("timeout", c_double), ("command", c_char_p),
                ("watch", WATCH), ("watcher", c_void_p)]


class FitResult(ctypes.Structure):
    _fields_ = [("n", c_int64), ("d", c_int64), ("k", c_int64), ("iterations", c_int64), ("empty_clusters", c_int64),
                ("stored", c_int64),
                ("skipped", c_int64), ("smallest", c_int64), ("median", c_int64), ("largest", c_int64),
                ("size_bins", c_int64 * 8), ("first_inertia", c_double), ("inertia", c_double), ("seconds", c_double),
                ("iteration_seconds", c_double), ("curve", c_double * 32), ("curve_points", c_int), ("converged", c_int),
                ("files", c_int), ("type", c_char_p), ("resumed", c_int), ("resumed_iterations", c_int64),
                ("resumed_seconds", c_double), ("distinct_rows", c_int64), ("largest_allowed", c_int64), ("moved_rows", c_int64),
                ("inertia_before", c_double)]


class LocalRows(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("count", c_int64), ("dim", c_int64), ("type", c_char_p), ("weights", POINTER(c_float)),
                ("on_gpu", c_int)]


class LocalResult(ctypes.Structure):
    _fields_ = [("centroids", POINTER(c_float)), ("counts", POINTER(c_int64)), ("labels", POINTER(c_int32)),
                ("inertia", POINTER(c_double)), ("moved", POINTER(c_int64)), ("seconds", POINTER(c_double)),
                ("on_gpu", c_int)]


class PredictOptions(ctypes.Structure):
    _fields_ = [("model", c_char_p), ("inputs", POINTER(c_char_p)), ("input_count", c_int), ("dataset", c_char_p),
                ("raw", c_char_p), ("dim", c_int64), ("skip_bad_rows", c_int), ("output", c_char_p), ("distances", c_int),
                ("second", c_int), ("members", c_int), ("force", c_int), ("backend", c_char_p), ("filter", c_char_p),
                ("chunk_rows", c_int64), ("timeout", c_double), ("progress", c_char_p), ("dry_run", c_int)]


class PredictResult(ctypes.Structure):
    _fields_ = [("n", c_int64), ("d", c_int64), ("k", c_int64), ("skipped", c_int64), ("seconds", c_double), ("files", c_int),
                ("type", c_char_p)]


class LocalModel(ctypes.Structure):
    _fields_ = [("centroids", POINTER(c_float)), ("k", c_int64), ("metric", c_char_p)]


class LocalPrediction(ctypes.Structure):
    _fields_ = [("labels", POINTER(c_int32)), ("distances", POINTER(c_double)), ("all_distances", POINTER(c_double)),
                ("second", POINTER(c_int32)), ("second_distances", POINTER(c_double)), ("on_gpu", c_int)]


class ReadOptions(ctypes.Structure):
    _fields_ = [("inputs", POINTER(c_char_p)), ("input_count", c_int), ("dataset", c_char_p), ("raw", c_char_p),
                ("dim", c_int64)]


class ReportOptions(ctypes.Structure):
    _fields_ = [("model", c_char_p), ("log", c_char_p), ("output", c_char_p), ("force", c_int)]


_FUNCTIONS = {
    "lloyd_version": (c_char_p,),
    "lloyd_message": (c_char_p,),
    "lloyd_stop": (None, c_int),
    "lloyd_comm_open_self": (c_int, POINTER(c_void_p)),
    "lloyd_comm_size": (c_int, c_void_p),
    "lloyd_comm_close": (None, c_void_p),
    "lloyd_fit_defaults": (None, c_void_p),
    "lloyd_predict_defaults": (None, c_void_p),
    "lloyd_fit": (c_int, c_void_p, POINTER(FitOptions), POINTER(FitResult)),
    "lloyd_fit_rows": (c_int, c_void_p, POINTER(FitOptions), POINTER(LocalRows), POINTER(c_float), POINTER(LocalResult),
                       POINTER(FitResult)),
    "lloyd_predict": (c_int, c_void_p, POINTER(PredictOptions), POINTER(PredictResult)),
    "lloyd_predict_rows": (c_int, c_void_p, POINTER(PredictOptions), POINTER(LocalRows), POINTER(LocalModel),
                           POINTER(LocalPrediction), POINTER(PredictResult)),
    "lloyd_read_rows": (c_int, POINTER(ReadOptions), c_int64, c_int64, POINTER(c_float), POINTER(c_int64), POINTER(c_int64)),
    "lloyd_report": (c_int, c_void_p, POINTER(ReportOptions)),
}

# ---- Where the library is ---------------------------------------------------------------------------------------------------


def _candidates() -> Iterator[str]:
    """Files to try: of LLOYD_LIBRARY alone where it is set; else in a wheel, in an installed prefix, on the system."""
    named = os.environ.get("LLOYD_LIBRARY")
    if named:
        yield named
        return
    here = os.path.dirname(os.path.abspath(__file__))
    for folder in (here, os.path.join(here, "..", "..")):  # PREFIX/lib/python/lloyd: PREFIX/lib
        yield from sorted(glob.glob(os.path.join(folder, f"liblloyd.so.{ABI}")))
    yield f"liblloyd.so.{ABI}"


def _size_written(defaults: Callable[[Any], None]) -> int:
    """How many bytes a function that fills in a whole structure writes."""
    room = 4096
    buffers = []
    for byte in (0x00, 0xEE):
        buffer = ctypes.create_string_buffer(bytes([byte]) * room, room)
        defaults(buffer)
        buffers.append(buffer.raw)
    changed = [i for i in range(room) if not (buffers[0][i] == 0x00 and buffers[1][i] == 0xEE)]
    return changed[-1] + 1 if changed else 0


def _open(path: str) -> ctypes.CDLL:
    lib = ctypes.CDLL(path)
    for name, (result, *arguments) in _FUNCTIONS.items():
        function = getattr(lib, name, None)
        if function is None:
            raise ImportError(f"{path} has no function {name}; it is of another version of lloyd than this Python package")
        function.restype, function.argtypes = result, arguments
    for structure, defaults in ((FitOptions, lib.lloyd_fit_defaults), (PredictOptions, lib.lloyd_predict_defaults)):
        if _size_written(defaults) != ctypes.sizeof(structure):
            raise ImportError(f"{path} is lloyd {lib.lloyd_version().decode()}, whose interface this Python package does not "
                              "know; install both from the same source")
    return lib


_loaded: Optional[ctypes.CDLL] = None


def library() -> ctypes.CDLL:
    """The library, loaded once.

    Raises
    ------
    ImportError
        It is nowhere, or of another version.
    """
    global _loaded
    if _loaded is None:
        tried = []
        for path in _candidates():
            try:
                _loaded = _open(path)
                break
            except OSError as error:
                tried.append(f"{path} ({error})")
        else:
            raise ImportError("liblloyd.so is not found; set LLOYD_LIBRARY to its path. Tried: " + "; ".join(tried))
    return _loaded


# ---- Errors, Ctrl-C, communicators ------------------------------------------------------------------------------------------


def check(status: int) -> None:
    """Raises the exception of a status, with the message of this thread's latest failure."""
    if status == OK:
        return
    message = library().lloyd_message().decode(errors="replace") or "this failed on another rank, which has the reason"
    message = message[0].upper() + message[1:] if message[0].islower() else message
    kinds = {USAGE: LloydValueError, BAD_INPUT: LloydValueError, STOPPED: LloydStopped}
    raise kinds.get(status, LloydRuntimeError)(message)


_running = threading.Lock()
_owner: Optional[int] = None


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One call at a time: the library's threads and its request to stop belong to the process."""
    global _owner
    me = threading.get_ident()
    if _owner == me:
        raise LloydRuntimeError("A callback of a fit called lloyd again; let the fit end first")
    with _running:
        _owner = me
        try:
            yield
        finally:
            _owner = None


def _install(number: int, handler: int) -> None:
    libc = ctypes.CDLL(None)
    libc.signal.restype, libc.signal.argtypes = c_void_p, (c_int, c_void_p)
    libc.signal(number, handler)


def call(function: Callable[..., int], *arguments: Any) -> None:
    """Calls a function that may take long: without the GIL, alone, and so that Ctrl-C ends it.

    Python's handler of SIGINT runs between two instructions of Python, of which there are none in the meantime. So in the main
    thread the signal goes to lloyd_stop(), and afterwards, if it has ended the call, to the handler.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, on the rank that got it. What the call should have written is as it was.
    LloydError
        What failed.
    """
    lib = library()
    handler = signal.getsignal(signal.SIGINT)
    takes_signal = threading.current_thread() is threading.main_thread() and callable(handler)
    with _alone():
        try:
            if takes_signal:
                _install(signal.SIGINT, ctypes.cast(lib.lloyd_stop, c_void_p).value or 0)
            status = function(*arguments)
        finally:
            if takes_signal:
                signal.signal(signal.SIGINT, handler)
                lib.lloyd_stop(0)
    if status == STOPPED and takes_signal and "SIGINT" in lib.lloyd_message().decode():
        signal.raise_signal(signal.SIGINT)
    check(status)


def _handle(comm: Any) -> Any:
    """The MPI_Comm of a communicator of mpi4py."""
    from mpi4py import MPI

    if not isinstance(comm, MPI.Comm):
        raise TypeError(f"comm is a {type(comm).__name__}; give a communicator of mpi4py, or None")
    version, length = ctypes.create_string_buffer(8192), c_int()
    library().MPI_Get_library_version(version, byref(length))
    ours, theirs = version.value.decode(errors="replace"), MPI.Get_library_version().rstrip("\0")
    if ours.strip() != theirs.strip():
        raise LloydRuntimeError(f"mpi4py uses {theirs.splitlines()[0]!r}, and lloyd {ours.splitlines()[0]!r}; build both "
                                "with the same MPI")
    kind = c_void_p if MPI._sizeof(MPI.Comm) == ctypes.sizeof(c_void_p) else c_int
    return kind.from_address(MPI._addressof(comm))


@contextlib.contextmanager
def communicator(comm: Any) -> Iterator[c_void_p]:
    """lloyd's communicator: of this process alone (None), or of the ranks of a communicator of mpi4py. Collective."""
    lib, opened = library(), c_void_p()
    if comm is None:
        check(lib.lloyd_comm_open_self(byref(opened)))
    else:
        lib.lloyd_comm_open_mpi.restype = c_int
        check(lib.lloyd_comm_open_mpi(_handle(comm), byref(opened)))
    try:
        yield opened
    finally:
        lib.lloyd_comm_close(opened)


def strings(values: list[str]) -> Any:
    """An array of char *, which keeps its strings."""
    return (c_char_p * len(values))(*[os.fsencode(value) for value in values])
