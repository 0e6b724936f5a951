"""Models: what `lloyd fit` has written, and what can be asked of it."""
from __future__ import annotations

import contextlib
import html
import os
import tempfile
from ctypes import byref
from dataclasses import dataclass, field
from typing import Any, Optional, Union

import numpy as np

from . import _calls
from ._library import LloydValueError, ReportOptions, call, communicator, library
from ._rows import Files, rows_of


@dataclass(repr=False)
class Model:
    """A model: what `lloyd fit` writes, in memory.

    Attributes
    ----------
    centroids : ndarray of shape (k, d), float32
    counts : ndarray of shape (k,), int64
        Rows of each cluster.
    labels : ndarray of shape (n,), int32, or None
        The cluster of each row, -1 for one that was skipped; None for a model without labels.
    history : dict of ndarray
        'inertia' (float64), 'moved' (int64) and 'seconds' (float64) of each iteration.
    metric : str
        'l2' or 'cosine'.
    inertia : float
        NaN where the file does not say.
    attributes : dict
        All attributes of the file: options, command, version, inputs, ...
    path : str
        The file it was read from or saved to; '' of one that is in memory only.
    distances : ndarray of shape (n,), float32, or None
        Of each row to its centroid, squared; NaN for one that was skipped. Only of a model with distances (`--distances`).
    member_rows, offsets : ndarray of shape (n,) and (k + 1,), int64, or None
        The rows of cluster k, nearest first, are member_rows[offsets[k]:offsets[k + 1]]. Only of a model with members (`--members`).
    """

    centroids: np.ndarray
    counts: np.ndarray
    labels: Optional[np.ndarray]
    history: dict[str, np.ndarray]
    metric: str
    inertia: float
    path: str
    attributes: dict[str, Any] = field(default_factory=dict)
    distances: Optional[np.ndarray] = None
    member_rows: Optional[np.ndarray] = None
    offsets: Optional[np.ndarray] = None

    def __repr__(self) -> str:
        k, d = self.centroids.shape
        rows = "no labels" if self.labels is None else f"{len(self.labels)} rows"
        return f"<lloyd.Model {self.path or 'in memory'}: {k} centroids of {d} columns, {self.metric}, {rows}>"

    def predict(self, X: Any, *, distances: bool = False, second: bool = False, comm: Any = None, backend: str = "auto") -> Any:
        """The nearest centroid of each row.

        Parameters
        ----------
        X : array of shape (n_samples, d), or files
            As for `KMeans`.
        distances : bool, default=False
            Whether the squared distances are returned, too.
        second : bool, default=False
            Whether the second-nearest centroids and the squared distances to these are returned, too.
        comm : mpi4py.MPI.Comm or None, default=None
            The ranks that work together, each with its own rows.
        backend : {'auto', 'cuda', 'cpu'}, default='auto'

        Returns
        -------
        labels : ndarray of shape (n_samples,), int32
        distances : ndarray of shape (n_samples,)
            float64; of files float32. Only if asked for.
        second : ndarray of shape (n_samples,), int32
            The nearest of all centroids but the label; -1 where there is one centroid. Only if asked for.
        second_distances : ndarray of shape (n_samples,)
            As `distances`; NaN where there is one centroid. Only if asked for.

        Raises
        ------
        ValueError, TypeError
            X is wrong.
        """
        rows = rows_of(X, comm)
        if isinstance(rows, Files):
            found = _calls.predict_files(comm, rows, self.centroids, self.metric, backend, distances, second)
        else:
            if rows.shape[1] != self.centroids.shape[1]:
                raise ValueError(f"X has {rows.shape[1]} columns, but the model has {self.centroids.shape[1]}")
            found = _calls.predict_memory(comm, rows, self.centroids, self.metric, backend, labels=True, distances=distances,
                                          second=second)
        asked = [found.labels] + [found.distances] * distances + [found.second, found.second_distances] * second
        return tuple(asked) if len(asked) > 1 else asked[0]

    def members(self, cluster: int, X: Any = None) -> np.ndarray:
        """The rows of a cluster.

        Parameters
        ----------
        cluster : int
        X : array of shape (n, d), default=None
            The rows of the fit. With them, the members are sorted: the one nearest to the centroid first. A model with members
            (`--members`) needs no rows for that.

        Returns
        -------
        ndarray of shape (counts[cluster],), int64
            Row numbers.

        Raises
        ------
        IndexError
            There is no such cluster.
        ValueError
            The model has no labels, or X has other rows than the fit.
        """
        k = self.centroids.shape[0]
        if not -k <= cluster < k:
            raise IndexError(f"there is no cluster {cluster}; the model has {k}")
        if self.member_rows is not None and self.offsets is not None:
            return self.member_rows[self.offsets[cluster % k]:self.offsets[cluster % k + 1]]
        if self.labels is None:
            raise LloydValueError("the model has no labels (--no-labels); ask predict() for them")
        rows = np.flatnonzero(self.labels == cluster % k)
        if X is None:
            return rows
        if len(X) != len(self.labels):
            raise LloydValueError(f"X has {len(X)} rows, but the model has the labels of {len(self.labels)}")
        if len(rows) == 0:
            return rows
        taken = rows_of(X[rows])
        assert not isinstance(taken, Files)
        centroid = self.centroids[cluster % k:cluster % k + 1]
        distances = _calls.predict_memory(None, taken, centroid, self.metric, "auto" if taken.on_gpu else "cpu", distances=True).distances
        assert distances is not None
        return rows[np.argsort(distances, kind="stable")]

    def ids(self) -> np.ndarray:
        """The ids of the rows, in the order of `labels`: the datasets /ids of the inputs, as `python -m lloyd convert` writes them.

        Returns
        -------
        ndarray of shape (n,)
            Integers, or str objects.

        Raises
        ------
        ValueError
            An input has no ids, or there are not as many as labels.
        OSError
            An input is not there any more.
        """
        return read_ids(self.path, str(self.attributes.get("inputs", "")), None if self.labels is None else len(self.labels))

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes the model to a file that `lloyd info`, `report`, `predict` and `--init` accept.

        Parameters
        ----------
        path : path
            A file that does not exist, or a model, which is replaced when the new one is complete.

        Raises
        ------
        ValueError
            The file exists and is no model.
        OSError
            It cannot be written.
        """
        import h5py

        name = os.fspath(path)
        with _calls.hdf5_lock():
            if os.path.exists(name) and not _is_model(name):
                raise LloydValueError(f"{name} exists and is no model of lloyd; remove it or choose another name")
            part = f"{name}.{os.getpid()}.part"
            try:
                with h5py.File(part, "w") as file:
                    file["centroids"], file["counts"] = self.centroids, self.counts
                    for key, values in (("labels", self.labels), ("distances", self.distances), ("members", self.member_rows),
                                        ("offsets", self.offsets)):
                        if values is not None:
                            file[key] = values
                    for key, values in self.history.items():
                        file[f"history/{key}"] = values
                    file.attrs.update({"lloyd": "model", "metric": self.metric, "inertia": self.inertia, **self.attributes})
                os.replace(part, name)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(part)
                raise
        self.path = os.path.abspath(name)

    def to_faiss(self) -> Any:
        """The centroids as the coarse quantizer of an index of FAISS.

        Returns
        -------
        faiss.IndexIVFFlat
            Trained and empty: `add` your rows. With the metric cosine it compares inner products, so give it rows of length 1.
        """
        import faiss

        k, d = self.centroids.shape
        metric = faiss.METRIC_INNER_PRODUCT if self.metric == "cosine" else faiss.METRIC_L2
        quantizer = faiss.IndexFlat(d, metric)
        quantizer.add(self.centroids)
        index = faiss.IndexIVFFlat(quantizer, d, k, metric)
        index.train(self.centroids)  # the quantizer is; this says so of the index
        return index


def read_ids(path: str, inputs: str, rows: Optional[int]) -> np.ndarray:
    """/ids of the inputs, one name per line, of a model or of labels at `path`, whose folder they may lie in."""
    import h5py

    parts = []
    for name in inputs.splitlines():
        beside = os.path.join(os.path.dirname(path), name)
        with h5py.File(name if os.path.exists(name) else beside, "r") as file:
            if "ids" not in file:
                raise LloydValueError(f"{name} has no ids; convert it with --ids")
            ids = file["ids"]
            parts.append(ids.asstr()[()] if h5py.check_string_dtype(ids.dtype) else ids[()])
    found = np.concatenate(parts) if parts else np.empty(0, np.int64)
    if rows is not None and len(found) != rows:
        raise LloydValueError(f"the inputs of {path} have {len(found)} ids, but there are {rows} labels")
    return found


def _is_model(path: str) -> bool:
    """Whether lloyd has written it, as a model."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("lloyd") == "model")
    except OSError:
        return False


def load(path: Union[str, os.PathLike[str]]) -> Model:
    """Reads a model file.

    Parameters
    ----------
    path : path
        What `lloyd fit` has written, or any HDF5 file with a dataset /centroids.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        The file is no model.
    OSError
        It cannot be read.
    """
    import h5py

    name = os.fspath(path)
    with h5py.File(name, "r") as file:
        if "centroids" not in file or file["centroids"].ndim != 2:
            raise LloydValueError(f"{name} is no model: it has no two-dimensional dataset /centroids")
        centroids = file["centroids"][()].astype(np.float32, copy=False)
        counts = file["counts"][()] if "counts" in file else np.zeros(len(centroids), np.int64)
        labels, distances, member_rows, offsets = (file[key][()] if key in file else None
                                                   for key in ("labels", "distances", "members", "offsets"))
        history = {key: file["history"][key][()] for key in ("inertia", "moved", "seconds")} if "history" in file else {}
        attributes = dict(file.attrs)
    metric = attributes.get("metric", "l2")
    inertia = float(attributes.get("inertia", np.nan))
    return Model(centroids, counts, labels, history, metric, inertia, os.path.abspath(name), attributes, distances, member_rows,
                 offsets)


class Report:
    """The page of a model. A notebook shows it where it is the value of a cell.

    Attributes
    ----------
    html : str
        The whole page, which needs no network and no other file.
    """

    def __init__(self, page: str) -> None:
        self.html = page

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes the page to a file."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.html)

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{html.escape(self.html)}" style="width:100%;height:60em;border:0"></iframe>'


def report(model: Any, log: Union[str, os.PathLike[str], None] = None) -> Report:
    """The page of `lloyd report`: how the fit converged, how large the clusters are, where the time went.

    Parameters
    ----------
    model : path, Model or KMeans
        A model file, a model, or an estimator that is fitted.
    log : path, default=None
        The log of the fit; by default the one that the model names, if it is there.

    Returns
    -------
    Report
        In a notebook, it shows itself.

    Raises
    ------
    ValueError
        The file is no model, or `log` is not the log of its fit.
    """
    with tempfile.TemporaryDirectory(prefix="lloyd-") as folder, communicator(None) as opened:
        if hasattr(model, "to_model"):
            model = model.to_model()
        if isinstance(model, Model) and not model.path:
            name = os.path.join(folder, "model.h5")
            model.save(name)
            model.path = ""
        else:
            name = model.path if isinstance(model, Model) else os.fspath(model)
        output = os.path.join(folder, "report.html")
        options = ReportOptions(os.fsencode(name), None if log is None else os.fsencode(log), os.fsencode(output), 0)
        with _calls.hdf5_lock():
            call(library().lloyd_report, opened, byref(options))
        with open(output, encoding="utf-8") as file:
            return Report(file.read())
