"""The blocks of docs/python.md, as they stand there: those of Python one after the other in one process, programs and commands on two ranks."""
import importlib.util
import os
import re
import shutil
import sys

import binding
from common import ROOT, Test

t = Test("python-docs")
lloyd = binding.load(t)
with open(os.path.join(ROOT, "docs/python.md"), encoding="utf-8") as page:
    TEXT = page.read()
BLOCKS = re.findall(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", TEXT, re.M | re.S)
# What a block imports that may be missing.
NEEDS = {"faiss": "to_faiss", "sklearn": "from sklearn", "mpi4py": "cluster.py", "h5py": "h5py"}
# Blocks that another test runs, and the words that it has.
ELSEWHERE = {"pip install ./src/python": ("tests/e2e/python/test_python_install.py", "src/python")}

os.chdir(t.directory)
shown = {"__name__": "__main__"}
# The page's environment is this process's Python, and Slurm is two ranks of mpirun.
os.makedirs("venv/bin")
os.symlink(sys.executable, "venv/bin/python")
with open("venv/bin/srun", "w", encoding="utf-8") as file:
    file.write(f'#!/bin/bash\nshift\nexec {" ".join(t.mpirun)} -n 2 "$@"\n')
os.chmod("venv/bin/srun", 0o755)
os.environ["SLURM_CPUS_PER_TASK"] = "1"
os.environ["PATH"] = os.pathsep.join([t.path("venv/bin"), os.path.dirname(t.lloyd_path), os.environ["PATH"]])

run = 0
for number, (language, name, text) in enumerate(BLOCKS, 1):
    title = f"block {number}, {name or text.strip().splitlines()[0]}"
    missing = [module for module, words in NEEDS.items() if words in text and not importlib.util.find_spec(module)]
    if missing:
        print(f"SKIPPED {title}: {', '.join(missing)} is not installed")
        continue
    other = next((place for words, place in ELSEWHERE.items() if words in text), None)
    if other:
        with open(os.path.join(ROOT, other[0]), encoding="utf-8") as file:
            t.check(other[1] in file.read(), f"{title}: run by {other[0]}")
        continue
    if name:
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
        if language == "python":
            continue  # a command runs it
        text = f"bash {name}"
    run += 1
    if language == "python":
        try:
            exec(compile(text, title, "exec"), shown)  # noqa: S102 - that is what a reader does
            t.check(True, title)
        except Exception as error:  # noqa: BLE001
            t.check(False, title, f"      {type(error).__name__}: {error}")
    else:
        text = text.replace("mpirun", " ".join(t.mpirun))
        result = t.run(["bash", "-euo", "pipefail", "-c", text])
        t.check(result.status == 0 and re.search(r"^\d+ iterations, inertia \d|^labels.csv: 20000 rows", result.out, re.M), title, result.describe())
t.check(run >= 8 and "kmeans" in shown, f"{run} blocks were run")
t.check(os.path.getsize("report.html") > 1000 and "<svg" in shown["page"].html and "iframe" in shown["page"]._repr_html_(), "the report is there")

# The tables name what there is.
parameters = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", TEXT.split("| parameter |")[1].split("| attribute |")[0], re.M))))
t.check(parameters == set(lloyd.KMeans().get_params()), "the table of parameters", f"      {parameters ^ set(lloyd.KMeans().get_params())}")
named = set(re.findall(r"`(\w+_)`", TEXT.split("| attribute |")[1].split("\n\n")[0]))
there = {key for key in vars(shown["kmeans"]) if key.endswith("_") and not key.startswith("_")}
t.check(named == there - {"n_features_in_"}, "the table of attributes", f"      {named ^ there}")
os.chdir(ROOT)
shutil.rmtree(t.path("venv"))
t.finish()
