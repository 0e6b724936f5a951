"""scikit-learn's own judgement of lloyd.KMeans: check_estimator, pipelines, and its tests of its own KMeans with ours in its place."""
import importlib.util
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import sklearn
from sklearn.base import ClusterMixin, clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import binding
from common import ROOT, Test

t = Test("python-sklearn")
lloyd = binding.load(t)
warnings.simplefilter("ignore")

# ---- check_estimator --------------------------------------------------------------------------------------------------------

# Checks that fail, and why. scikit-learn lists the same for its own KMeans.
WEIGHTS = "a row of weight 0 is a row all the same: which rows seeding draws depends on their number, as in scikit-learn's KMeans"
XFAIL = {"check_sample_weights_invariance": WEIGHTS, "check_sample_weight_equivalence": WEIGHTS,
         "check_sample_weight_equivalence_on_dense_data": WEIGHTS}


def outcomes():
    """(name, exception or None) of every check, in all releases of scikit-learn."""
    if tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 6):
        return [(r["check_name"], r["exception"]) for r in check_estimator(lloyd.KMeans(), on_fail=None, on_skip=None)]
    found = []
    for estimator, check in check_estimator(lloyd.KMeans(), generate_only=True):
        name = getattr(check, "func", check).__name__
        try:
            check(estimator)
            found.append((name, None))
        except Exception as error:  # noqa: BLE001
            found.append((name, error))
    return found


counts = {"passed": 0, "skipped": 0, "expected to fail": 0}
for name, error in outcomes():
    if error is None:
        counts["passed"] += 1
    elif type(error).__name__ == "SkipTest":
        counts["skipped"] += 1
        print(f"      skipped by scikit-learn: {name}: {error}")
    elif name in XFAIL:
        counts["expected to fail"] += 1
        print(f"      expected to fail: {name}: {XFAIL[name]}")
    else:
        t.check(False, f"check_estimator: {name}", f"      {type(error).__name__}: {error}")
t.check(counts["passed"] > 35 and counts["expected to fail"] <= 2, f"check_estimator of scikit-learn {sklearn.__version__}: {counts}")

# ---- with others ------------------------------------------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(300, 5)) + np.repeat(np.arange(3), 100)[:, None] * 6
pipeline = make_pipeline(StandardScaler(), lloyd.KMeans(3, random_state=0)).fit(X)
t.check(len(set(pipeline.predict(X)[::100])) == 3 and pipeline.transform(X).shape == (300, 3), "in a pipeline")
t.check(isinstance(pipeline[-1], ClusterMixin), "a clusterer")
search = GridSearchCV(lloyd.KMeans(random_state=0), {"n_clusters": [2, 3]}).fit(X)
t.check(search.best_params_ == {"n_clusters": 3}, "in a grid search")
t.check(clone(pipeline[-1]).get_params() == pipeline[-1].get_params(), "clone")
t.check(list(pipeline[-1].get_feature_names_out()) == ["kmeans0", "kmeans1", "kmeans2"], "get_feature_names_out")

# ---- the tests of scikit-learn's KMeans -------------------------------------------------------------------------------------

# (test, what it says): why it fails.
FLOAT32 = "centroids are float32, whatever X is"
INTERNAL = "looks at a private attribute of scikit-learn's KMeans"
EXPLAINED = [
    (r"", r"X is sparse", "lloyd takes dense rows"),
    (r"relocating_with_duplicates\[.*sparse", r"", "lloyd takes dense rows"),
    (r"test_integer_input|test_float_precision", r"dtype\('float32'\)", FLOAT32),
    (r"test_transform", r"Not equal to tolerance rtol=1e-07", "rows of float64 are rounded to float32"),
    (r"test_kmeans_verbose", r"assert None", "prints other lines: a bar of tqdm"),
    (r"init_auto_with_initial_centroids|test_n_init_auto|test_algorithm_auto_full|test_sample_weight_(init|zero)", r"_n_init|_init_centroids|_algorithm", INTERNAL),
    (r"test_change_n_init_future_warning|test_warning_elkan_1_cluster", r"DID NOT WARN",
     "warns of a parameter of scikit-learn's KMeans"),
    (r"test_relocating_with_duplicates", r"assert 2 == 1",
     "one iteration more: lloyd ends where no label changes, scikit-learn where no centroid moves"),
]


def check_tests_of_sklearn():
    if importlib.util.find_spec("pytest") is None:
        print("SKIPPED the tests of scikit-learn's KMeans: pytest is not installed")
        return
    if importlib.util.find_spec("sklearn.cluster.tests.test_k_means") is None:
        print("SKIPPED the tests of scikit-learn's KMeans: this scikit-learn comes without its tests")
        return
    place = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.join(ROOT, "tests/e2e/python"), os.environ["PYTHONPATH"]]),
             "OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-m", "pytest", "-p", "sklearn_shim", "-q", "-s", "-p", "no:cacheprovider", "-W", "ignore",
                             "--tb=short", "--pyargs", "sklearn.cluster.tests.test_k_means"], env=place, capture_output=True,
                            text=True, cwd=t.directory, timeout=900)
    results = re.findall(r"^RESULT (\w+) (\S.*?) \| (.*)$", result.stdout, re.M)
    failed = [(name, reason) for outcome, name, reason in results if outcome == "failed"]
    passed = sum(outcome == "passed" for outcome, _, _ in results)
    why = {}
    for name, reason in failed:
        explained = next((text for test, says, text in EXPLAINED if re.search(test, name) and re.search(says, reason)), None)
        if explained is None:
            t.check(False, f"scikit-learn's {name}", f"      {reason}")
        else:
            why[explained] = why.get(explained, 0) + 1
    for explained, count in sorted(why.items(), key=lambda pair: -pair[1]):
        print(f"      {count} fail: {explained}")
    dense = passed + len(failed) - why.get("lloyd takes dense rows", 0)
    t.check(passed > 50 and passed > 0.7 * dense,
            f"scikit-learn's tests of its KMeans: {passed} of {passed + len(failed)} pass, and of the {dense} with dense rows "
            f"{100 * passed / max(dense, 1):.0f} %", result.stdout[-2000:] + result.stderr[-2000:])


check_tests_of_sklearn()
t.finish()
