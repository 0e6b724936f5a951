"""The commands of docs/tutorial.md, as they stand there, one after the other in an empty folder."""
import importlib.util
import os
import re
import subprocess
import sys

from common import ROOT, Test

t = Test("tutorial")
page = os.path.join(ROOT, "docs", "tutorial.md")
with open(page, encoding="utf-8") as file:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", file.read(), re.M | re.S)

environment = dict(os.environ, PATH=os.path.dirname(os.path.abspath(t.options.lloyd)) + os.pathsep + os.environ["PATH"],
                   OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                   OMPI_MCA_rmaps_base_oversubscribe="1")
made = {"model.h5", "report.html", "fit.ck", "fit.jsonl", "later-labels.h5", "rows.npy", "curated.npy", "balanced.npy"}
for number, (language, text) in enumerate(blocks, 1):
    name = f"block {number}: {text.strip().splitlines()[0]}"
    if "import faiss" in text and not importlib.util.find_spec("faiss"):
        print(f"SKIPPED {name}: faiss is not installed")
        continue
    command = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}[language]
    done = subprocess.run(command + [text], cwd=t.directory, env=environment, check=False, timeout=300, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    t.check(done.returncode == 0, name, done.stdout)
t.check(len(blocks) >= 8 and made <= set(os.listdir(t.directory)), "the files that it speaks of are there")
t.finish()
