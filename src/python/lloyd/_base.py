"""scikit-learn's base classes where it is installed; else what of them an estimator cannot do without."""
from __future__ import annotations

import inspect
from typing import Any

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
    from sklearn.exceptions import ConvergenceWarning, NotFittedError

    class Estimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):  # type: ignore[misc]
        """An estimator of scikit-learn that clusters and transforms."""

        def _check_feature_names_of(self, X: Any, reset: bool) -> None:
            """Remembers the names of a data frame's columns (`reset`), or compares them."""
            try:  # since 1.6
                from sklearn.utils.validation import _check_feature_names
            except ImportError:
                self._check_feature_names(X, reset=reset)
            else:
                _check_feature_names(self, X, reset=reset)

except ImportError:

    class NotFittedError(ValueError, AttributeError):  # type: ignore[no-redef]
        """fit() has not been called."""

    class ConvergenceWarning(UserWarning):  # type: ignore[no-redef]
        """The fit found fewer clusters than were asked for."""

    class Estimator:  # type: ignore[no-redef]
        """get_params() and set_params() of scikit-learn."""

        @classmethod
        def _names(cls) -> list[str]:
            return sorted(name for name in inspect.signature(cls.__init__).parameters if name != "self")

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            return {name: getattr(self, name) for name in self._names()}

        def set_params(self, **params: Any) -> "Estimator":
            for name, value in params.items():
                if name not in self._names():
                    raise ValueError(f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(self._names())}")
                setattr(self, name, value)
            return self

        def __repr__(self) -> str:
            defaults = inspect.signature(type(self).__init__).parameters
            given = [f"{n}={getattr(self, n)!r}" for n in defaults if n != "self" and getattr(self, n) is not defaults[n].default]
            return f"{type(self).__name__}({', '.join(given)})"

        def _check_feature_names_of(self, X: Any, reset: bool) -> None:
            pass


__all__ = ["ConvergenceWarning", "Estimator", "NotFittedError"]
