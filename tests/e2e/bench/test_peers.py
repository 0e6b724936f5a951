"""bench/peers.py runs, and its checks see what is wrong."""
import importlib.util
import json
import os
import subprocess
import sys

import numpy as np

import peers
from common import ROOT, Test, environment

BENCH = os.path.join(ROOT, "bench")


def checks(t):
    """What counts wrong labels counts them, and no ties."""
    x = np.array([[0, 0], [1, 0], [4, 0]], np.float32)
    centroids = np.array([[0, 0], [2, 0], [4, 0]], np.float32)
    t.check(peers.wrong_labels(x, centroids, np.array([0, 0, 2])) == 0 and peers.wrong_labels(x, centroids, np.array([0, 1, 2])) == 0,
            "a tie may go to either")
    t.check(peers.wrong_labels(x, centroids, np.array([1, 2, 2])) == 2, "wrong labels are counted")
    t.check(peers.quality(x, centroids, np.array([0, 0, 2])) != peers.quality(x, centroids, np.array([0, 1, 2])),
            "other labels are another result")


def run(t, name, *more):
    result, plot = t.path(f"{name}.json"), t.path(f"{name}.png")
    command = [sys.executable, os.path.join(BENCH, "peers.py"), t.data("digits.h5"), "--lloyd", t.lloyd_path, "--mpirun",
               " ".join(t.mpirun), "-k", "24", "--repeats", "2", "--iterations", "3", "--skip", "faiss-cpu", "--json", result, *more]
    if importlib.util.find_spec("matplotlib"):
        command += ["--plot", plot]
    done = subprocess.run(command, env=environment(PYTHONDONTWRITEBYTECODE="1"), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False, timeout=300)
    return done, result, plot


def small_run(t):
    folder = t.path("packages")
    os.mkdir(folder)
    with open(os.path.join(folder, "superkmeans.py"), "w", encoding="utf-8") as file:
        file.write('raise ImportError("not here")\n')
    done, result, plot = run(t, "peers", "--flash", folder)
    if not t.check(done.returncode == 0, "a small run", done.stdout + done.stderr):
        return
    with open(result, encoding="utf-8") as file:
        rows = {row["tool"]: row for row in json.load(file)["results"]}
    t.check(len(rows) == 3 and "scikit-learn" in rows, f"three tools: {sorted(rows)}")
    for tool, row in rows.items():
        # In whole numbers many rows lie between two centroids; who rounds decides by the processor's way of multiplying, and goes elsewhere.
        far = 1e-12 if tool.startswith("lloyd") else 1e-2
        t.check(np.isfinite(row["seconds"]) and row["memory"] > 1e6 and row["updates"] == 4 and abs(row["inertia_difference"]) < far,
                f"{tool}: has all columns", f"      {row}")
        if tool.startswith("lloyd"):
            t.check(row["wrong"] == 0 and row["equal"] is True, f"{tool}: exact, and the same in every run", f"      {row}")
    t.check("SKIPPED SuperKMeans, own start: not here (to install it: pip install superkmeans)" in done.stderr,
            "how to install a peer that is missing", done.stderr[-500:])
    t.check("--plot" not in done.args or os.path.getsize(plot) > 5000, "the plot is there")


def different_results(t):
    """A program whose ranks change the result is found out."""
    fake = t.path("fake")
    with open(fake, "w", encoding="utf-8") as file:
        file.write('#!/bin/sh\nif [ "$OMPI_COMM_WORLD_SIZE" = 2 ]; then set -- $(echo "$@" | sed "s/iters 4/iters 5/"); fi\n'
                   f'exec {t.lloyd_path} "$@"\n')
    os.chmod(fake, 0o755)
    done, *_ = run(t, "different", "--lloyd", fake, "--skip", "faiss-cpu", "SuperKMeans")
    t.check(done.returncode != 0 and "lloyd's runs differ" in done.stderr, "other results on two ranks are no result", done.stderr[-500:])


test = Test("peers")
checks(test)
small_run(test)
different_results(test)
test.finish()
