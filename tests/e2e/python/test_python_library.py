"""The Python package and the library below it: the structures are those of lloyd.h, the library is found, scikit-learn is not needed."""
import ctypes
import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np

import binding
from common import ROOT, Test

t = Test("python-library")
lloyd = binding.load(t)
from lloyd import _library  # noqa: E402 - after load()

# ---- the structures of lloyd.h ----------------------------------------------------------------------------------------------

with open(os.path.join(ROOT, "src/include/lloyd/lloyd.h"), encoding="utf-8") as header:
    HEADER = re.sub(r"/\*.*?\*/", " ", header.read(), flags=re.S)
SIZES = dict(re.findall(r"#define (\w+) (\d+)", HEADER))

# C types, and what ctypes calls them.
SIMPLE = {"int": "c_int", "int32_t": "c_int", "int64_t": "c_long", "uint64_t": "c_ulong", "double": "c_double",
          "const char *": "c_char_p", "const void *": "c_void_p", "void *": "c_void_p", "const float *": "LP_c_float",
          "float *": "LP_c_float", "double *": "LP_c_double", "int64_t *": "LP_c_long", "int32_t *": "LP_c_int",
          "const char *const *": "LP_c_char_p", "lloyd_watch": "CFunctionType"}


def fields_of(structure):
    """[(name, ctypes name)] of a structure of lloyd.h."""
    body = re.search(rf"typedef struct {structure} {{(.*?)}} {structure};", HEADER, re.S)[1]
    found = []
    for line in body.split(";"):
        kind, names = re.match(r"\s*((?:const )?\w+(?: \*(?:const \*)?)?)\s*(.*)", " ".join(line.split()), re.S).groups() \
            if line.strip() else ("", "")
        for name in filter(None, (n.strip() for n in names.split(","))):
            star = "*" if name.startswith("*") else ""
            base, _, size = name.strip("*").partition("[")
            words = f"{kind} {star}".strip() if star else kind
            found.append((base, SIMPLE[words] + (f"_Array_{SIZES[size.rstrip(']')]}" if size else "")))
    return found


def shape_of(structure):
    return [(name, kind.__name__ if kind is not _library.WATCH else "CFunctionType") for name, kind in structure._fields_]


for name, structure in (("lloyd_fit_options", _library.FitOptions), ("lloyd_fit_result", _library.FitResult),
                        ("lloyd_local_rows", _library.LocalRows), ("lloyd_local_result", _library.LocalResult),
                        ("lloyd_predict_options", _library.PredictOptions), ("lloyd_predict_result", _library.PredictResult),
                        ("lloyd_local_model", _library.LocalModel), ("lloyd_local_prediction", _library.LocalPrediction),
                        ("lloyd_iteration_info", _library.IterationInfo), ("lloyd_report_options", _library.ReportOptions),
                        ("lloyd_read_options", _library.ReadOptions)):
    expected, there = fields_of(name), shape_of(structure)
    t.check(len(there) > 2 and there == expected, f"{structure.__name__} has the fields of {name}",
            f"      {[pair for pair in zip(there, expected) if pair[0] != pair[1]][:3]} {len(there)} {len(expected)}")

with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as file:
    t.check(f"set(LLOYD_ABI {_library.ABI})" in file.read(), "the ABI of the package is that of CMakeLists.txt")
t.check(lloyd.__version__ == re.search(r'LLOYD_VERSION "(.*?)"', HEADER)[1], "lloyd.__version__")
t.check(set(lloyd.__all__) <= set(dir(lloyd)) and all(hasattr(lloyd, name) for name in lloyd.__all__), "all names are there")


def python(code, **environment):
    place = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], env={k: v for k, v in place.items() if v is not None}, capture_output=True,
                          text=True, cwd=t.directory, timeout=120)


# ---- where the library is ---------------------------------------------------------------------------------------------------

SHOW = "import lloyd; print(lloyd.__version__)"
library = os.environ["LLOYD_LIBRARY"]
result = python(SHOW, LLOYD_LIBRARY=t.path("nowhere.so"))
t.check("ImportError" in result.stderr and "nowhere.so" in result.stderr, "LLOYD_LIBRARY that is not there is named", result.stderr)
prefix = t.path("prefix/lib")
shutil.copytree(os.path.join(binding.PACKAGE, "lloyd"), os.path.join(prefix, "python", "lloyd"))
installed = {"LLOYD_LIBRARY": None, "PYTHONPATH": os.path.join(prefix, "python")}
result = python(SHOW, **installed, LD_LIBRARY_PATH=os.path.dirname(library))
t.check(result.returncode == 0, "the system's library is found", result.stderr)
result = python(SHOW, **installed)
t.check("set LLOYD_LIBRARY" in result.stderr, "none: the message says what to do", result.stderr)
NAME = f"liblloyd.so.{_library.ABI}"
shutil.copy(library, os.path.join(prefix, NAME))
result = python(SHOW, **installed)
t.check(result.returncode == 0, "that of the prefix is found", result.stderr)
os.rename(os.path.join(prefix, NAME), os.path.join(prefix, "python", "lloyd", NAME))
result = python(SHOW, **installed)
t.check(result.returncode == 0, "that beside the package is found", result.stderr)

source = t.path("prefix/lib/python/lloyd/_library.py")
with open(source, encoding="utf-8") as file:
    text = file.read()
with open(source, "w", encoding="utf-8") as file:
    file.write(text.replace('("watch", WATCH), ', ""))
result = python(SHOW, **installed)
t.check("ImportError" in result.stderr and "whose interface" in result.stderr, "a library of another interface is refused", result.stderr)

# ---- without scikit-learn ---------------------------------------------------------------------------------------------------

began = time.time()
result = python("import sys, lloyd; print('sklearn' in sys.modules, 'numpy' in sys.modules, 'h5py' in sys.modules)")
t.check(result.stdout.split() == ["False"] * 3, "import lloyd imports nothing large", result.stdout + result.stderr)
result = python("""
import pickle, sys
sys.modules["sklearn"] = sys.modules["tqdm"] = None
import numpy as np, lloyd
X = np.arange(40, dtype=np.float32).reshape(20, 2)
model = lloyd.KMeans(3, random_state=1, verbose=1).fit(X)
print(model.set_params(verbose=0), model.get_params()["n_clusters"], len(model.transform(X)))
print((pickle.loads(pickle.dumps(model)).predict(X) == model.labels_).all())
for wrong in (lambda: lloyd.KMeans().predict(X), lambda: model.set_params(clusters=2)):
    try:
        wrong()
    except ValueError as error:
        print(type(error).__name__)
""")
t.check(result.stdout.splitlines() == ["KMeans(n_clusters=3, random_state=1) 3 20", "True", "NotFittedError", "ValueError"],
        "KMeans without scikit-learn", result.stdout + result.stderr)
t.check(re.search(r"^lloyd: 1/300 inertia \d", result.stderr, re.M) is not None, "verbose without tqdm: lines", result.stderr)

# ---- nothing leaks ----------------------------------------------------------------------------------------------------------


def memory():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
model = lloyd.KMeans(3, random_state=0, max_iter=3, init=X[:3])


def work(times):
    for _ in range(times):
        model.fit(X, callback=lambda i: None)
        model.predict(X)
        model.transform(X)
        try:
            model.predict(X[:, :2])
        except ValueError:
            pass


work(300)
files, before = len(os.listdir("/proc/self/fd")), memory()
began = time.time()
while time.time() - began < 5:
    work(100)
grown = memory() - before
t.check(grown < 1 << 20, f"fits and predictions for 5 seconds: {grown} bytes more")
t.check(len(os.listdir("/proc/self/fd")) == files, "... and no file is left open")
t.check(ctypes.sizeof(_library.FitOptions) > 200, "the structures are not empty")

t.finish()
