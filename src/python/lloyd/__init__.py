"""lloyd: exact k-means for NumPy, PyTorch, HDF5 and files, on CPUs and GPUs, over MPI ranks.

`KMeans` follows the conventions of scikit-learn, `load` reads a model of the command line, `report` shows one in a notebook. The work
is done by liblloyd.so, which is loaded when something first needs it.
"""
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._calls import Iteration
    from ._library import LloydError, LloydRuntimeError, LloydStopped, LloydValueError
    from .kmeans import KMeans
    from .model import Model, Report, load, report

__all__ = ["Iteration", "KMeans", "LloydError", "LloydRuntimeError", "LloydStopped", "LloydValueError", "Model", "Report",
           "__version__", "load", "report"]

_HOMES = {"Iteration": "_calls", "KMeans": "kmeans", "Model": "model", "Report": "model", "load": "model", "report": "model",
          "LloydError": "_library", "LloydRuntimeError": "_library", "LloydStopped": "_library", "LloydValueError": "_library"}


def __getattr__(name: str) -> Any:
    """What is used is imported: KMeans imports scikit-learn, which takes a second."""
    if name == "__version__":
        from ._library import library

        return library().lloyd_version().decode()
    if name not in _HOMES:
        raise AttributeError(f"module 'lloyd' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
