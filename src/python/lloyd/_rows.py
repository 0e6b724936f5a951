"""What a caller calls X: an array in memory or on a GPU, or files, as lloyd takes them."""
from __future__ import annotations

import numbers
import os
import sys
from ctypes import POINTER, c_float
from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np

from ._library import LloydValueError, LocalRows

# What lloyd computes with as it is stored; float64 is rounded to float32, and all other numbers are converted first.
TYPES = ("float32", "float16", "bfloat16", "uint8", "int8", "float64")


@dataclass
class Memory:
    """Rows in memory, which `owner` keeps alive."""

    data: int  # the address
    shape: tuple[int, int]
    type: str  # of TYPES
    owner: Any
    on_gpu: bool = False

    def local_rows(self, weights: Optional[np.ndarray] = None) -> LocalRows:
        """For a call of the library."""
        rows = LocalRows(data=self.data or None, count=self.shape[0], dim=self.shape[1], type=self.type.encode(),
                         on_gpu=self.on_gpu)
        if weights is not None:
            rows.weights = weights.ctypes.data_as(POINTER(c_float))
        return rows


@dataclass
class Files:
    """Files that lloyd reads itself: FILE[:DATASET], or FILE where `dataset` is given; globs are allowed."""

    inputs: list[str]
    dataset: Optional[str] = None


def rows_of(X: Any, comm: Any = None) -> Union[Memory, Files]:
    """X as lloyd takes it. C-ordered arrays of TYPES are used where they are; others are copied. `comm`: the ranks, None for one.

    Raises
    ------
    TypeError
        X is no array of numbers, or sparse.
    ValueError
        X does not have two dimensions, is closed, or is in memory that lloyd does not use.
    """
    if _is_tensor(X):
        return _of_tensor(X.detach(), comm)
    if isinstance(X, (str, os.PathLike)):
        return Files([os.fspath(X)])
    if isinstance(X, (list, tuple)) and X and all(isinstance(x, (str, os.PathLike)) for x in X):
        return Files([os.fspath(x) for x in X])
    if type(X).__module__.startswith("h5py."):
        return _of_dataset(X)
    if hasattr(X, "__cuda_array_interface__"):
        return _of_gpu(X, comm)
    return _of_array(as_array(X))


def as_array(X: Any) -> np.ndarray:
    """X as a NumPy array, without a copy where it is one or has its memory."""
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise TypeError("X is sparse, but lloyd takes dense rows; use X.toarray()")
    array = np.asarray(X.detach() if _is_tensor(X) else X)
    if array.dtype.kind == "c":
        raise ValueError("Complex data not supported: X holds complex numbers; give real ones")
    if array.dtype.kind == "O":
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(f"X is an array of objects, of which one is no number: {error}") from None
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise TypeError(f"X has the type {array.dtype}; give an array of numbers")
    return array


def check_shape(shape: tuple[int, ...]) -> None:
    """ValueError where there are no rows and columns."""
    if len(shape) != 2:
        raise ValueError(f"X has {len(shape)} dimension{'' if len(shape) == 1 else 's'}, but must have 2, rows and columns. "
                         "Reshape your data: X.reshape(-1, 1) if it is one column, X.reshape(1, -1) if it is one row")
    for count, what in zip(shape, ("sample", "feature")):
        if count == 0:
            raise ValueError(f"Found array with 0 {what}(s) (shape={tuple(shape)}) while a minimum of 1 is required.")


def _of_array(array: np.ndarray, kind: Optional[str] = None) -> Memory:
    if array.ndim != 2 or array.shape[1] == 0:
        check_shape(array.shape)
    kind = kind or array.dtype.name
    if kind not in TYPES:
        kind = "float32"
        array = array.astype(np.float32)
    array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
    return Memory(array.ctypes.data, (array.shape[0], array.shape[1]), kind, array)


def _is_tensor(X: Any) -> bool:
    return isinstance(X, getattr(sys.modules.get("torch"), "Tensor", ()))


def _of_tensor(X: Any, comm: Any) -> Memory:
    """A tensor of PyTorch that needs no gradient, where it is."""
    torch = sys.modules["torch"]
    if X.layout != torch.strided:
        raise TypeError("X is sparse, but lloyd takes dense rows; use X.to_dense()")
    if X.is_cuda:
        where = Memory(X.data_ptr(), X.shape, str(X.dtype).split(".")[-1], X, on_gpu=True)
        return _checked_on_gpu(where, X.is_contiguous(), X.device.index, comm)
    if X.device.type != "cpu":
        raise LloydValueError(f"X is on the device {X.device}, but lloyd uses the CPU and GPUs of CUDA; use X.cpu()")
    return _of_array(X.contiguous().view(torch.int16).numpy(), "bfloat16") if X.dtype == torch.bfloat16 else _of_array(as_array(X))


def _of_dataset(X: Any) -> Union[Memory, Files]:
    """A dataset of h5py. lloyd reads it from the file where nobody can be writing to that, and it is stored as lloyd reads."""
    if not X:
        raise ValueError("X is a dataset of a file that is closed; open the file again")
    if not hasattr(X, "shape"):
        raise TypeError(f"X is a {type(X).__name__} of h5py; give one of its datasets")
    check_shape(X.shape)
    if X.file.mode == "r" and X.file.driver == "sec2" and X.name and X.dtype.name in TYPES:
        return Files([os.path.abspath(X.file.filename)], X.name)
    return _of_array(as_array(X[()]))


def _of_gpu(X: Any, comm: Any) -> Memory:
    """An array of CuPy or of another library that has the CUDA array interface."""
    interface = X.__cuda_array_interface__
    shape, kind = interface["shape"], np.dtype(interface["typestr"])
    name = "bfloat16" if getattr(getattr(X, "dtype", None), "name", None) == "bfloat16" else kind.name
    strides, step, contiguous = interface.get("strides"), kind.itemsize, True
    for count, stride in zip(reversed(shape), reversed(strides or ())):
        contiguous = contiguous and (count <= 1 or stride == step)
        step *= count
    where = Memory(interface["data"][0], shape, name, X, on_gpu=True)
    return _checked_on_gpu(where, contiguous, getattr(getattr(X, "device", None), "id", None), comm)


def _checked_on_gpu(where: Memory, contiguous: bool, gpu: Optional[int], comm: Any) -> Memory:
    """`where`, if lloyd can use these rows in the memory of a GPU. One rank uses the first GPU that it sees."""
    if len(where.shape) != 2 or where.shape[1] == 0:
        check_shape(where.shape)
    if where.type not in TYPES or where.type == "float64":
        raise TypeError(f"X is an array of {where.type} on a GPU; convert it there, to float32 or another of "
                        f"{', '.join(TYPES[:5])}")
    if not contiguous:
        raise LloydValueError("X is not contiguous on its GPU; make it so there, with X.contiguous() or cupy.ascontiguousarray(X)")
    if comm is None and gpu not in (None, 0):
        raise LloydValueError(f"X is on GPU {gpu}, but lloyd uses GPU 0 of those that it sees; move X there, or set "
                              "CUDA_VISIBLE_DEVICES")
    _synchronize(where.owner)
    return Memory(where.data, (where.shape[0], where.shape[1]), where.type, where.owner, on_gpu=True)


def _synchronize(X: Any) -> None:
    """Waits until the work that fills X is done."""
    if _is_tensor(X):
        sys.modules["torch"].cuda.current_stream(X.device).synchronize()
    elif type(X).__module__.split(".")[0] == "cupy":
        sys.modules["cupy"].cuda.get_current_stream().synchronize()


def on_host(X: Any) -> Any:
    """X, which is not rows, but weights or centroids: a copy of it where it is on a GPU."""
    if _is_tensor(X):
        X = X.detach().cpu()
        return X.float() if str(X.dtype) == "torch.bfloat16" else X
    if hasattr(X, "__cuda_array_interface__"):
        for name in ("get", "copy_to_host"):  # of CuPy, of Numba
            if hasattr(X, name):
                return getattr(X, name)()
    return X


def weights_of(sample_weight: Any, count: int) -> Optional[np.ndarray]:
    """One float32 per row, or None.

    Raises
    ------
    ValueError
        There are not as many as rows.
    """
    if sample_weight is None:
        return None
    if isinstance(sample_weight, numbers.Real):
        return np.full(count, sample_weight, np.float32)
    weights = np.ascontiguousarray(as_array(on_host(sample_weight)), np.float32)
    if weights.shape != (count,):
        raise ValueError(f"sample_weight.shape == {weights.shape}, expected {(count,)}!")
    return weights
