"""pip install ./src/python in a new virtual environment: builds the library, puts it beside the package, and no MPI with it.

There, with libraries that Debian does not have, the tests that need these run again, which skip them elsewhere.
"""
import glob
import os
import subprocess
import sys

import numpy as np

from common import ROOT, Test, read

t = Test("python-install")
os.environ.pop("LLOYD_LIBRARY", None)
os.environ.pop("PYTHONPATH", None)
PYTHON = t.path("venv/bin/python")
PIP = [PYTHON, "-m", "pip", "--disable-pip-version-check"]
# What tests need that no package of Debian has, and these tests.
MORE, AGAIN = ["pyarrow", "zarr", "faiss-cpu"], ["test_python_convert", "test_python_model"]


def make_venv():
    """0, loudly, where no environment can be made, or pip gets nothing."""
    made = subprocess.run([sys.executable, "-m", "venv", t.path("venv")], capture_output=True, text=True)
    if made.returncode != 0:
        print(f"SKIPPED pip install: no virtual environment can be made here\n{made.stdout}{made.stderr}")
        return False
    found = subprocess.run([*PIP, "download", "-q", "--no-deps", "-d", t.path("pip"), "scikit-build-core"], capture_output=True, text=True)
    if found.returncode != 0:
        print(f"SKIPPED pip install: pip does not get scikit-build-core\n{found.stderr[-500:]}")
        return False
    return True


def check_package():
    # Without optimisation, which takes most of the time and changes no bit.
    settings = [f"--config-settings=cmake.define.{name}" for name in ("LLOYD_CUDA=OFF", "CMAKE_C_FLAGS_RELEASE=-O0 -DNDEBUG")]
    result = t.run([*PIP, "install", "-q", "--no-compile", os.path.join(ROOT, "src/python"), *settings], timeout=900)
    t.check(result.status == 0, "pip install ./src/python", result.describe())
    package = os.path.dirname(next(iter(glob.glob(t.path("venv/lib/python3*/site-packages/lloyd/__init__.py"))), ""))
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
    result = t.run([PYTHON, "-c", script, t.data("digits.h5"), t.path("centroids.npy")])
    if t.check(result.status == 0 and os.path.dirname(result.out.strip()) == package, "it is used", result.describe()):
        model = t.fit(t.data("digits.h5"), "model.h5", "-k", 10, "--max-iters", 5)
        t.check(np.load(t.path("centroids.npy")).tobytes() == read(model, "/centroids").tobytes(), "and gives the same bits")


def run_again():
    result = t.run([*PIP, "install", "-q", "--no-compile", *MORE], timeout=600)
    if result.status != 0:
        print(f"SKIPPED {', '.join(AGAIN)} with {', '.join(MORE)}: pip does not get them\n{result.err[-500:]}")
        return
    for name in AGAIN:
        result = t.run([PYTHON, os.path.join(ROOT, "tests/e2e"), os.path.join(ROOT, f"tests/e2e/python/{name}.py"), "--lloyd", t.lloyd_path,
                        "--reference", t.reference_path, "--data", t.options.data, "--mpirun", t.options.mpirun], cwd=ROOT)
        t.check(result.status == 0 and "SKIPPED" not in result.out, f"{name} with {', '.join(MORE)}", result.describe())


if make_venv():
    check_package()
    run_again()
t.finish()
