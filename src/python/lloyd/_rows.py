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


def rows_of(X: Any) -> Union[Memory, Files]:
    """X as lloyd takes it. C-ordered arrays of TYPES are used where they are; others are copied.

    Raises
    ------
    TypeError
        X is no array of numbers, or sparse.
    ValueError
        X does not have two dimensions, or is closed.
    """
    if isinstance(X, (str, os.PathLike)):
        return Files([os.fspath(X)])
    if isinstance(X, (list, tuple)) and X and all(isinstance(x, (str, os.PathLike)) for x in X):
        return Files([os.fspath(x) for x in X])
    if type(X).__module__.startswith("h5py."):
        return _of_dataset(X)
    if hasattr(X, "__cuda_array_interface__"):
        return _of_gpu(X)
    return _of_array(_bfloat16_bits(X), "bfloat16") if _is_torch_bfloat16(X) else _of_array(as_array(X))


def as_array(X: Any) -> np.ndarray:
    """X as a NumPy array, without a copy where it is one or has its memory."""
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise TypeError("X is sparse, but lloyd takes dense rows; use X.toarray()")
    if type(X).__module__.split(".")[0] == "torch":
        X = X.detach()
    array = np.asarray(X)
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


def _is_torch_bfloat16(X: Any) -> bool:
    return "torch" in sys.modules and str(getattr(X, "dtype", "")) == "torch.bfloat16"


def _bfloat16_bits(X: Any) -> np.ndarray:
    torch = sys.modules["torch"]
    bits: np.ndarray = X.detach().contiguous().view(torch.int16).numpy()
    return bits


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


def _of_gpu(X: Any) -> Memory:
    """An array of CuPy, PyTorch or another library, in the memory of the GPU that lloyd uses: the first one that it sees."""
    interface = X.detach().__cuda_array_interface__ if hasattr(X, "detach") else X.__cuda_array_interface__
    check_shape(interface["shape"])
    count, dim = interface["shape"]
    kind = np.dtype(interface["typestr"])
    name = "bfloat16" if _is_torch_bfloat16(X) else kind.name
    if name not in TYPES or name == "float64":
        raise TypeError(f"X is an array of {name} on a GPU; convert it there, to float32 or another of "
                        f"{', '.join(TYPES[:5])}")
    strides = interface.get("strides")
    if strides is not None and tuple(strides) != (dim * kind.itemsize, kind.itemsize):
        raise LloydValueError("X is not contiguous on its GPU; make it so there, with X.contiguous() or cupy.ascontiguousarray(X)")
    device = getattr(X, "device", None)
    number = getattr(device, "index", None) if hasattr(device, "index") else getattr(device, "id", None)
    if number not in (None, 0):
        raise LloydValueError(f"X is on GPU {number}, but lloyd uses GPU 0 of those that it sees; move X there, or set "
                              "CUDA_VISIBLE_DEVICES")
    _synchronize(X)
    return Memory(interface["data"][0], (count, dim), name, X, on_gpu=True)


def _synchronize(X: Any) -> None:
    """Waits until the work that fills X is done."""
    library = type(X).__module__.split(".")[0]
    if library == "torch":
        sys.modules["torch"].cuda.current_stream(X.device).synchronize()
    elif library == "cupy":
        sys.modules["cupy"].cuda.get_current_stream().synchronize()


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
    weights = np.ascontiguousarray(as_array(sample_weight), np.float32)
    if weights.shape != (count,):
        raise ValueError(f"sample_weight.shape == {weights.shape}, expected {(count,)}!")
    return weights
