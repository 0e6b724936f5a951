"""pip install ./src/python in a new virtual environment: builds the library, puts it beside the package, and no MPI with it."""
import glob
import os
import subprocess
import sys

import numpy as np

from common import ROOT, Test, read

t = Test("python-install")
os.environ.pop("LLOYD_LIBRARY", None)
os.environ.pop("PYTHONPATH", None)


def venv_and_pip():
    """The installation's folder, or None, loudly, where there is no pip or no scikit-build-core to be had."""
    made = subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", t.path("venv")], capture_output=True, text=True)
    if made.returncode != 0:
        print(f"SKIPPED pip install: no virtual environment can be made here\n{made.stdout}{made.stderr}")
        return None
    pip = [t.path("venv/bin/python"), "-m", "pip", "--disable-pip-version-check"]
    found = subprocess.run([*pip, "download", "-q", "--no-deps", "-d", t.path("pip"), "scikit-build-core"], capture_output=True, text=True)
    if found.returncode != 0:
        print(f"SKIPPED pip install: pip does not get scikit-build-core\n{found.stderr[-500:]}")
        return None
    result = t.run([*pip, "install", "-q", "--no-deps", os.path.join(ROOT, "src/python"), "--config-settings",
                     "cmake.define.LLOYD_CUDA=OFF"],
                   timeout=900)
    t.check(result.status == 0, "pip install ./src/python", result.describe())
    return os.path.dirname(next(iter(glob.glob(t.path("venv/lib/python3*/site-packages/lloyd/__init__.py"))), ""))


package = venv_and_pip()
if package is not None:
    files = sorted(os.listdir(package)) if package else []
    t.check(sum(name.startswith("liblloyd.so") for name in files) == 1, "one library is beside the package", str(files))
    t.check(not any("mpi" in name or "cuda" in name for name in files) and not glob.glob(f"{package}/../lloyd.libs"),
            "and neither MPI nor CUDA", str(files))
    script = """
import lloyd, numpy as np, sys
from lloyd import _library
model = lloyd.KMeans(10, random_state=0, max_iter=5).fit(sys.argv[1])
np.save(sys.argv[2], model.cluster_centers_)
print(_library.library()._name)
"""
    result = t.run([t.path("venv/bin/python"), "-c", script, t.data("digits.h5"), t.path("centroids.npy")])
    if t.check(result.status == 0 and os.path.dirname(result.out.strip()) == package, "it is used", result.describe()):
        model = t.fit(t.data("digits.h5"), "model.h5", "-k", 10, "--max-iters", 5)
        t.check(np.load(t.path("centroids.npy")).tobytes() == read(model, "/centroids").tobytes(), "and gives the same bits")

t.finish()
