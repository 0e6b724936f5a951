"""The commands of docs/tutorial.md and docs/curation.md, as they stand there, one after the other in a folder of their own: of the tutorial
an empty one, of the other page one with real rows."""
import importlib.util
import os
import re
import subprocess
import sys

import numpy as np

from common import ROOT, Test, read

MADE = {"tutorial.md": {"model.h5", "report.html", "fit.ck", "fit.jsonl", "later-labels.h5", "rows.npy", "curated.npy", "balanced.npy"},
        "curation.md": {"unique.npy", "semdedup.npy", "even.npy", "even-too.npy", "resampled.h5", "clusters", "directions.h5"}}

t = Test("tutorial")
environment = dict(os.environ, PATH=os.path.dirname(os.path.abspath(t.options.lloyd)) + os.pathsep + os.environ["PATH"],
                   OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                   OMPI_MCA_rmaps_base_oversubscribe="1")


def run(page):
    folder = t.path(page.split(".")[0])
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(ROOT, "docs", page), encoding="utf-8") as file:
        blocks = re.findall(r"^```(\w+)\n(.*?)^```$", file.read(), re.M | re.S)
    for number, (language, text) in enumerate(blocks, 1):
        name = f"{page}, block {number}: {text.strip().splitlines()[0]}"
        if "import faiss" in text and not importlib.util.find_spec("faiss"):
            print(f"SKIPPED {name}: faiss is not installed")
            continue
        command = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}[language]
        done = subprocess.run(command + [text], cwd=folder, env=environment, check=False, timeout=300, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        t.check(done.returncode == 0, name, done.stdout)
    t.check(len(blocks) >= 8 and MADE[page] <= set(os.listdir(folder)), f"{page}: the files that it speaks of are there")


os.makedirs(t.path("curation"))
for part, rows in enumerate(np.array_split(read(t.data("sift-20k.h5"), "/train"), 2)):
    np.save(t.path(f"curation/shard-{part}.npy"), rows)
for each in MADE:
    run(each)
t.finish()
