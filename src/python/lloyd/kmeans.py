"""KMeans, an estimator with the conventions of scikit-learn."""
from __future__ import annotations

import contextlib
import json
import math
import numbers
import os
import warnings
from typing import Any, Optional, Union

import numpy as np

from . import _calls
from ._base import ConvergenceWarning, Estimator, NotFittedError
from ._calls import METHODS, Callback, Fitted, Settings
from ._library import LloydValueError, library
from ._rows import Files, Memory, as_array, check_shape, on_host, rows_of, weights_of
from .model import Model


class KMeans(Estimator):
    """Exact k-means.

    Every label is the nearest centroid in double precision, every centroid the exact mean of its rows, rounded once to float32. So
    the result depends on the rows, the parameters and the seed alone: it is bit-identical with that of the command line, for any
    number of threads and ranks.

    Parameters
    ----------
    n_clusters : int, default=8
        K, the number of clusters.
    init : {'k-means||', 'k-means++', 'random'}, array of shape (n_clusters, n_features), path or callable, default='k-means||'
        The initial centroids: the name of a method; the centroids; a model file of lloyd; or a function of X, n_clusters and
        random_state that returns them. Where there are several ranks, those of rank 0 count.
    n_init : int or 'auto', default=1
        Runs with different seeds, of which the one of lowest inertia is kept. 'auto': 10 for init='random', else 1.
    max_iter : int, default=300
        The most updates of the centroids of a run.
    tol : float, default=0.0
        A run ends when the inertia has fallen by less than this share of itself; 0: when no label changes. (That of
        scikit-learn's KMeans is another quantity.)
    max_size : float or None, default=None
        At the end, rows are moved until no cluster has more than `max_size` times the mean number of rows, rounded up; at least 1.
        A cluster that is too large keeps the rows nearest to its centroid, and the others go to the nearest cluster with room.
        The centroids stay, and `predict` gives the nearest ones. None: no limit.
    metric : {'l2', 'cosine'}, default='l2'
        Squared Euclidean distance, of the rows as they are or scaled to length 1.
    empty : {'relocate', 'keep'}, default='relocate'
        What an empty cluster does: it takes the row farthest from its centroid, or keeps its centroid.
    random_state : int, RandomState, Generator or None, default=None
        The seed. An int is that of `lloyd fit --seed`.
    backend : {'auto', 'cuda', 'cpu'}, default='auto'
        What computes: GPUs or CPUs, with the same result. CPUs use as many threads as `OMP_NUM_THREADS` says, else all cores
        that the process may use, or as many as threadpoolctl allows.
    comm : mpi4py.MPI.Comm or None, default=None
        The ranks that fit together: each gives its own rows and gets their labels. All call the same methods in the same order.
    checkpoint : path or None, default=None
        A file that a fit of files saves its state in, and resumes from.
    verbose : int, default=0
        1: a progress bar of tqdm, or a line per iteration without tqdm; on rank 0.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features), float32
        The centroids.
    labels_ : ndarray of shape (n_samples,), int32
        The cluster of each row; with `comm`, of each row of this rank, but of all rows if X is files.
    inertia_ : float
        The sum of weighted squared distances to the centroids of the labels, exact and rounded once.
    n_iter_ : int
        Iterations of the run that was kept.
    converged_ : bool
        Whether it ended because no label changed, or because of `tol`.
    seed_ : int
        The seed, also where `random_state` was not an int.
    counts_ : ndarray of shape (n_clusters,), int64
        Rows of each cluster, over all ranks.
    moved_rows_ : int
        Rows that `max_size` keeps out of the cluster of the nearest centroid; 0 without it.
    history_ : dict of ndarray
        'inertia' (float64), 'moved' (int64, labels that changed) and 'seconds' (float64) of each iteration.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X was a data frame and scikit-learn is installed.

    Notes
    -----
    X is, in `fit`, `predict`, `score` and `transform`:

    - an array of NumPy or anything it can convert. float32, float16, uint8 and int8 (and bfloat16 of ml_dtypes) in C order are used
      where they are; float64 is rounded to float32; other types and orders are copied;
    - a tensor of PyTorch, on the CPU as an array, on a GPU as an array of CuPy: in place, without a copy through the host;
    - a dataset of h5py; lloyd reads it from its file if that is open for reading only;
    - a path, a list of paths or a glob, FILE or FILE:DATASET, in any format that lloyd reads.

    Ctrl-C ends a fit at the next opportunity with KeyboardInterrupt and leaves the estimator as it was.

    Examples
    --------
    >>> import numpy as np, lloyd
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]], np.float32)
    >>> model = lloyd.KMeans(2, random_state=0).fit(X)
    >>> sorted(model.cluster_centers_.tolist())
    [[1.0, 2.0], [10.0, 2.0]]
    """

    def __init__(self, n_clusters: int = 8, *, init: Any = "k-means||", n_init: Union[int, str] = 1, max_iter: int = 300,
                 tol: float = 0.0, max_size: Optional[float] = None, metric: str = "l2", empty: str = "relocate",
                 random_state: Any = None, backend: str = "auto", comm: Any = None,
                 checkpoint: Union[str, os.PathLike[str], None] = None, verbose: int = 0) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.max_size = max_size
        self.metric = metric
        self.empty = empty
        self.random_state = random_state
        self.backend = backend
        self.comm = comm
        self.checkpoint = checkpoint
        self.verbose = verbose

    # ---- fit ----------------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, callback: Optional[Callback] = None) -> "KMeans":
        """Clusters X.

        Parameters
        ----------
        X : array of shape (n_samples, n_features), or files
            See the notes of the class.
        y : ignored
        sample_weight : array of shape (n_samples,), or str, default=None
            The weight of each row, rounded to float32, at least 0; of files, the name of a dataset in each of them.
        callback : callable, default=None
            Called with an `Iteration` after each; where it returns something true, the fit ends with this iteration, with all
            its results.

        Returns
        -------
        KMeans
            The estimator itself.

        Raises
        ------
        ValueError
            X, a weight or a parameter is wrong.
        TypeError
            X is no array of numbers.
        lloyd.LloydRuntimeError
            Memory, reading or communication failed.
        KeyboardInterrupt
            After Ctrl-C; the estimator is as it was.
        """
        rows = rows_of(X, self.comm)
        settings = self._settings(X, rows)
        with self._watched(settings, callback) as watch:
            if isinstance(rows, Files):
                if not (sample_weight is None or isinstance(sample_weight, str)):
                    raise ValueError("sample_weight of files is the name of a dataset in them; or give the rows as an array")
                fitted = _calls.fit_files(self.comm, rows, sample_weight, settings, watch)
            else:
                if settings.checkpoint:
                    raise ValueError("checkpoint is for a fit of files; without one, callback and init save and resume")
                weights = weights_of(sample_weight, rows.shape[0])
                with _rounding_explained(rows):
                    fitted = _calls.fit_memory(self.comm, rows, weights, settings, watch)
        self._take(fitted, settings, X)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None, *,
                    callback: Optional[Callback] = None) -> np.ndarray:
        """`labels_` of `fit`, int32 of shape (n_samples,)."""
        labels: np.ndarray = self.fit(X, sample_weight=sample_weight, callback=callback).labels_
        return labels

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None, *,
                      callback: Optional[Callback] = None) -> np.ndarray:
        """`transform(X)` after `fit`, float64 of shape (n_samples, n_clusters)."""
        return self.fit(X, sample_weight=sample_weight, callback=callback).transform(X)

    def _take(self, fitted: Fitted, settings: Settings, X: Any) -> None:
        self._check_feature_names_of(X, reset=True)
        self.cluster_centers_ = fitted.centroids
        self.counts_ = fitted.counts
        self.labels_ = fitted.labels
        self.history_ = fitted.history
        self.inertia_ = fitted.inertia
        self.moved_rows_ = int(fitted.sizes.get("moved_rows", 0))
        self._sizes = fitted.sizes
        self.n_iter_ = len(fitted.history["inertia"])
        self.converged_ = fitted.converged
        self.seed_ = settings.seed
        self.n_features_in_ = fitted.centroids.shape[1]
        if fitted.distinct_rows:
            warnings.warn(f"Number of distinct clusters ({fitted.distinct_rows}) found smaller than n_clusters "
                          f"({self.n_clusters}). Possibly due to duplicate points in X.", ConvergenceWarning, stacklevel=3)

    @contextlib.contextmanager
    def _watched(self, settings: Settings, callback: Optional[Callback]) -> Any:
        """What is called after each iteration: the user's callback, the progress, both or (None) neither."""
        if not self.verbose or (self.comm is not None and self.comm.Get_rank() != 0):
            yield callback
            return
        from ._progress import Progress

        with Progress(settings.max_iter, settings.n_init) as progress:
            def both(iteration: _calls.Iteration) -> Any:
                progress(iteration)
                return callback(iteration) if callback else None

            yield both

    def to_model(self) -> Model:
        """The fit as a `Model`, in memory; without labels where those of other ranks are not here."""
        self._check_fitted()
        options = {"k": self.n_clusters, "init": self.init if isinstance(self.init, str) else "given", "seed": self.seed_,
                   "n-init": self.n_init, "max-iters": self.max_iter, "tol": self.tol, "metric": self.metric, "empty": self.empty,
                   "backend": self.backend, **({"max-size": self._sizes["max_size"]} if self._sizes else {})}
        k, d = self.cluster_centers_.shape
        attributes = {"version": library().lloyd_version().decode(), "command": f"{type(self).__name__}.fit() in Python",
                      "options": json.dumps(options), "backend": self.backend, "inputs": "memory", "seed": np.uint64(self.seed_),
                      "n": np.int64(self.counts_.sum()), "d": np.int64(d), "k": np.int64(k), "iterations": np.int64(self.n_iter_),
                      "skipped": np.int64(0), "converged": np.int32(self.converged_),
                      "ranks": np.int32(1 if self.comm is None else self.comm.Get_size()), **self._sizes}
        labels = self.labels_ if len(self.labels_) == attributes["n"] else None
        return Model(self.cluster_centers_, self.counts_, labels, self.history_, self.metric, self.inertia_, "", attributes)

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes the fit as a model file; see `Model.save`."""
        self.to_model().save(path)

    # ---- parameters ---------------------------------------------------------------------------------------------------------

    def _settings(self, X: Any, rows: Union[Memory, Files]) -> Settings:
        """The parameters, checked."""
        k = self._whole("n_clusters", self.n_clusters, 1, 2**31 - 1)
        for name, allowed in (("metric", ("l2", "cosine")), ("empty", ("relocate", "keep")), ("backend", ("auto", "cuda", "cpu"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}, but must be one of {', '.join(map(repr, allowed))}")
        if not isinstance(self.tol, numbers.Real) or not 0 <= self.tol < math.inf:
            raise ValueError(f"tol is {self.tol!r}, but must be a finite number >= 0")
        limit = self.max_size
        if limit is not None and not (isinstance(limit, numbers.Real) and not isinstance(limit, bool) and 1 <= limit < math.inf):
            raise ValueError(f"max_size is {limit!r}, but must be a finite number >= 1, or None")
        if isinstance(rows, Memory) and self.comm is None:
            check_shape(rows.shape)
        if isinstance(rows, Memory) and self.comm is None and rows.shape[0] < k:
            raise ValueError(f"n_samples={rows.shape[0]} should be >= n_clusters={k}.")
        seed = self._seed()
        init = self._initial(X, rows, k, seed)
        n_init = self.n_init
        if n_init == "auto":
            n_init = 10 if isinstance(init, str) and init == "random" else 1
        n_init = self._whole("n_init", n_init, 1, 2**62)
        if n_init > 1 and not (isinstance(init, str) and init in METHODS.values()):
            warnings.warn(f"Explicit initial center position passed: performing only one init in {type(self).__name__} instead of "
                          f"n_init={n_init}.", RuntimeWarning, stacklevel=3)
            n_init = 1
        return Settings(k=k, init=init, n_init=n_init, max_iter=self._whole("max_iter", self.max_iter, 0, 2**62),
                        tol=float(self.tol), max_size=float(limit or 0), metric=self.metric, empty=self.empty, seed=seed,
                        backend=self.backend, checkpoint=None if self.checkpoint is None else os.fspath(self.checkpoint))

    @staticmethod
    def _whole(name: str, value: Any, least: int, most: int) -> int:
        if isinstance(value, numbers.Integral) and not isinstance(value, bool) and least <= int(value) <= most:
            return int(value)
        raise ValueError(f"{name} is {value!r}, but must be a whole number from {least} to {most}")

    def _seed(self) -> int:
        """That of random_state, the same on all ranks."""
        state = self.random_state
        if isinstance(state, numbers.Integral) and not isinstance(state, bool):
            return self._whole("random_state", state, 0, 2**64 - 1)
        if state is None:
            seed = int(np.random.randint(2**31 - 1))
        elif isinstance(state, np.random.Generator):
            seed = int(state.integers(2**63))
        elif isinstance(state, np.random.RandomState):
            seed = int(state.randint(2**31 - 1))
        else:
            raise ValueError(f"random_state is {state!r}, but must be a whole number, a RandomState, a Generator or None")
        return seed if self.comm is None else int(self.comm.bcast(seed))

    def _initial(self, X: Any, rows: Union[Memory, Files], k: int, seed: int) -> Union[str, np.ndarray]:
        """A value of METHODS, a model file, or centroids."""
        init: Any = self.init
        if isinstance(init, str) and init in METHODS:
            return METHODS[init]
        if isinstance(init, (str, os.PathLike)):
            if not os.path.exists(init):
                raise ValueError(f"init is {os.fspath(init)!r}, which is no model file, and none of {', '.join(METHODS)}")
            return os.fspath(init)
        if callable(init):
            init = init(X, k, random_state=np.random.RandomState(seed % 2**32))
        centroids = np.ascontiguousarray(as_array(on_host(init)), np.float32)
        if centroids.ndim != 2 or centroids.shape[0] != k:
            raise ValueError(f"The shape of the initial centers {centroids.shape} does not match the number of clusters {k}.")
        if isinstance(rows, Memory) and centroids.shape[1] != rows.shape[1]:
            raise ValueError(f"The shape of the initial centers {centroids.shape} does not match the number of features of the "
                             f"data {rows.shape[1]}.")
        return centroids

    # ---- what a fitted estimator does ---------------------------------------------------------------------------------------

    def predict(self, X: Any) -> np.ndarray:
        """The nearest centroid of each row.

        Parameters
        ----------
        X : array of shape (n_samples, n_features), or files

        Returns
        -------
        ndarray of shape (n_samples,), int32
            Of all rows, if X is files and there are several ranks.

        Raises
        ------
        ValueError, TypeError
            X is wrong.
        sklearn.exceptions.NotFittedError
            `fit` has not been called; a ValueError and AttributeError.
        """
        rows = self._rows_to_compare(X)
        if isinstance(rows, Files):
            return _calls.predict_files(self.comm, rows, self.cluster_centers_, self.metric, self.backend).labels
        with _rounding_explained(rows):
            labels = _calls.predict_memory(self.comm, rows, self.cluster_centers_, self.metric, self.backend, labels=True).labels
        assert labels is not None
        return labels

    def transform(self, X: Any) -> np.ndarray:
        """The distance of each row to every centroid (not squared).

        Parameters
        ----------
        X : array of shape (n_samples, n_features), or files

        Returns
        -------
        ndarray of shape (n_samples, n_clusters), float64
            Of all rows, if X is files and there are several ranks, each of which computes them.

        Raises
        ------
        ValueError, TypeError
            X is wrong.
        """
        rows = self._rows_to_compare(X)
        squared: Optional[np.ndarray]
        if isinstance(rows, Files):
            squared = _calls.distances_of_files(rows, self.cluster_centers_, self.metric)
        else:
            with _rounding_explained(rows):
                squared = _calls.predict_memory(self.comm, rows, self.cluster_centers_, self.metric, self.backend,
                                                all_distances=True).all_distances
        assert squared is not None
        distances: np.ndarray = np.sqrt(squared, out=squared)
        return distances

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the sum of weighted squared distances to the nearest centroids.

        Parameters
        ----------
        X : array of shape (n_samples, n_features), or files
        y : ignored
        sample_weight : array of shape (n_samples,), default=None

        Returns
        -------
        float
            Over all ranks.
        """
        rows = self._rows_to_compare(X)
        squared: Optional[np.ndarray]
        if isinstance(rows, Files):
            squared = _calls.predict_files(self.comm, rows, self.cluster_centers_, self.metric, self.backend, distances=True).distances
        else:
            with _rounding_explained(rows):
                squared = _calls.predict_memory(self.comm, rows, self.cluster_centers_, self.metric, self.backend,
                                                distances=True).distances
        assert squared is not None
        weights = weights_of(sample_weight, squared.shape[0])
        total = float(np.sum(squared, dtype=np.float64) if weights is None else np.dot(squared.astype(np.float64), weights))
        is_part = self.comm is not None and isinstance(rows, Memory)
        return -(self.comm.allreduce(total) if is_part else total)

    def _rows_to_compare(self, X: Any) -> Union[Memory, Files]:
        """X, where it has the columns of the fit."""
        self._check_fitted()
        self._check_feature_names_of(X, reset=False)
        rows = rows_of(X, self.comm)
        if isinstance(rows, Memory) and self.comm is None:
            check_shape(rows.shape)
        if isinstance(rows, Memory) and rows.shape[1] != self.n_features_in_:
            raise ValueError(f"X has {rows.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                             "features as input")
        return rows

    def _check_fitted(self) -> None:
        if not hasattr(self, "cluster_centers_"):
            raise NotFittedError(f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with appropriate arguments "
                                 "before using this estimator.")

    # ---- scikit-learn -------------------------------------------------------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return int(self.cluster_centers_.shape[0])

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "cluster_centers_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # transform() gives float64
        return tags

    def _more_tags(self) -> dict[str, Any]:
        """The tags, for scikit-learn before 1.6."""
        return {"preserves_dtype": []}

    def __getstate__(self) -> dict[str, Any]:
        """Without the communicator, which belongs to this process."""
        return {**self.__dict__, "comm": None}


@contextlib.contextmanager
def _rounding_explained(rows: Memory) -> Any:
    """A better sentence where float64 is beyond float32, which lloyd sees as infinity."""
    try:
        yield
    except LloydValueError as error:
        if rows.type == "float64" and "NaN or infinity" in str(error) and np.isfinite(rows.owner).all():
            row = int(np.argmax((np.abs(rows.owner) > np.finfo(np.float32).max).any(axis=1)))
            raise LloydValueError(f"Row {row} of X holds a value beyond the range of float32, {np.finfo(np.float32).max:.3g}, which "
                                  "float64 is rounded to; scale X") from None
        raise
