"""Seedings that are stopped by a signal, or killed, go on from the last finished round (or centroid that is kept), on any number of ranks, and end with the
bits of one that nobody disturbed.

    --seedings 50    so many of them
"""
import os
import random
import re
import signal
import time

import h5py

from common import Test, read
from fits import STOPPED, SavingFit

CLUSTERS = {"kmeans-parallel": 1000, "kmeans++": 800}


def steps_done(fit):
    """What the log has of the seeding: finished rounds, or centroids."""
    found = re.findall(r'"counted":"(?:rounds|centroids)","done":(\d+)', fit.lines())
    return int(found[-1]) if found else 0


def steps_kept(path):
    """What the checkpoint has; None: all of it."""
    if not os.path.exists(path):
        return 0
    with h5py.File(path, "r") as file:
        return None if "centroids" in file else int(file.attrs["seed_steps"])


def disturb(t, rows, whole, number):
    """Whether the seeding was really stopped in its midst."""
    chance = random.Random(number)
    init = ("kmeans-parallel", "kmeans++")[number % 2]
    how = (signal.SIGTERM, signal.SIGKILL)[number // 2 % 2]
    ranks, later = chance.choice(((1, 2), (2, 1), (3, 2), (2, 3)))
    what = f"{number}: {init}, {how.name}, {ranks} then {later} rank(s)"
    options = ["--input", rows, "-k", CLUSTERS[init], "--init", init, "--seed", 3, "--max-iters", 1]
    every = "1s" if init == "kmeans++" else "1"
    fit = SavingFit(t, f"seeding-{number}", options, ranks=ranks, every=every)
    step = 1 + number // 4 % 2 if init == "kmeans-parallel" else 1
    fit.wait_for(f'"done":{step},')
    if init == "kmeans++" and how == signal.SIGKILL:
        fit.wait_until(lambda: os.path.exists(fit.checkpoint))
    elif init == "kmeans++":
        time.sleep(chance.uniform(0.2, 1))
    done = steps_done(fit)
    if how == signal.SIGKILL:
        os.killpg(fit.process.pid, how)
    else:
        fit.send(how)
    result = fit.end()
    kept = steps_kept(fit.checkpoint)
    if result.status == 0 or kept is None:
        return False
    if init == "kmeans-parallel" or how == signal.SIGTERM:
        t.check(kept >= done, f"{what}: no finished step is lost (the log has {done}, the checkpoint {kept})", result.describe())
    if how == signal.SIGTERM and ranks == 1:
        t.check(result.status == STOPPED and "of the seeding" in result.err, f"{what}: says where it was stopped", result.describe())
    model = t.fit(rows, "resumed.h5", *options[2:], "--checkpoint", fit.checkpoint, "--resume", "--force", ranks=later)
    t.check_same(f"{what}: the bits of an undisturbed one, from step {kept}", whole[init], model)
    return kept > 0


def main():
    t = Test("seeding_stop", lambda parser: parser.add_argument("--seedings", type=int, default=4))
    rows = t.path("rows.h5")
    t.lloyd("synth", "--rows", 20000, "--dim", 64, "--clusters", 500, "--output", rows)
    whole = {init: t.fit(rows, f"{init}.h5", "-k", k, "--init", init, "--seed", 3, "--max-iters", 1) for init, k in CLUSTERS.items()}
    t.check(all(read(path, "/centroids").any() for path in whole.values()), "undisturbed fits")
    in_midst = sum(disturb(t, rows, whole, number) for number in range(t.options.seedings))
    t.check(2 * in_midst >= t.options.seedings, f"{in_midst} of {t.options.seedings} were stopped in their midst")
    t.finish()


main()
