"""A plugin of pytest that runs scikit-learn's tests of its KMeans with lloyd.KMeans in its place; for test_python_sklearn.py.

Left out are the tests of what is not KMeans: MiniBatchKMeans, the functions, and scikit-learn's own kernels.
"""
import inspect
import re

import lloyd
import sklearn.cluster


class KMeans(lloyd.KMeans):
    """lloyd.KMeans with the parameters of scikit-learn's, and their defaults. copy_x and algorithm have no meaning."""

    metric, empty, max_size, backend, comm, checkpoint = "l2", "relocate", None, "auto", None, None

    def __init__(self, n_clusters=8, *, init="k-means++", n_init="auto", max_iter=300, tol=1e-4, verbose=0, random_state=None,
                 copy_x=True, algorithm="lloyd"):
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm


OTHER = sklearn.cluster.MiniBatchKMeans
sklearn.cluster.KMeans = KMeans


def pytest_collection_modifyitems(config, items):
    """Keeps the tests that make a KMeans."""
    kept = []
    for item in items:
        given = list(getattr(item, "callspec", None).params.values()) if hasattr(item, "callspec") else []
        source = inspect.getsource(item.function)
        if not any(g is OTHER for g in given) and (any(g is KMeans for g in given) or re.search(r"\bKMeans\(", source)):
            kept.append(item)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def pytest_runtest_logreport(report):
    """A line for each test: its outcome, its name, and why it failed."""
    if report.when == "call" or report.outcome == "skipped":
        reason = str(getattr(report.longrepr, "reprcrash", None) and report.longrepr.reprcrash.message)
        print(f"\nRESULT {report.outcome} {report.nodeid.split('::')[-1]} | {' '.join(reason.split())[:300]}")
