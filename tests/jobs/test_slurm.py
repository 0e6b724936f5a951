"""The job scripts on a real Slurm of two nodes, which this test starts and ends (jobs/local-slurm.sh).

A fit that Slurm tells of the end of its time, under srun, and the fit of the pipeline, told so by hand, under mpirun: both must
write a checkpoint, come back by themselves and end with the model of an undisturbed fit, bit for bit. One that is notified before it
has anything to keep must give up after two restarts. The chain of curate.sh must choose what its steps by hand choose. Without Slurm the test is skipped (status 77).
"""
import contextlib
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np

from common import LAUNCHER, ROOT, SKIPPED, Test, log_events, read

JOBS = os.path.join(ROOT, "jobs")
WAIT = 120  # seconds in which anything must happen
CLUSTERS, ITERATIONS, SEED = 1024, 30, 7
FIT = {"K": CLUSTERS, "SEED": SEED, "MAX_ITERS": ITERATIONS, "INIT": "random"}


def wait_for(what, seconds=WAIT):
    """What `what` returns once it is true, or when the time is up."""
    end = time.time() + seconds
    while not (found := what()) and time.time() < end:
        time.sleep(0.1)
    return found


def text_of(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def if_there(path):
    return path if os.path.exists(path) else None


def processes(word):
    """Processes but this one whose command line or environment has this word."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            about = text_of(f"/proc/{name}/cmdline") + "\0" + text_of(f"/proc/{name}/environ")
            if word in about:
                found.append(int(name))
    return found


class Slurm:
    """Slurm in a folder of the test, with the environment that jobs are submitted from."""

    def __init__(self, t):
        self.t, self.folder, self.nodes = t, t.path("slurm"), 0
        self.environment = {**os.environ, **LAUNCHER, "LLOYD": t.lloyd_path, "BACKEND": "cpu", "TIMEOUT": "60s",
                            "SLURM_CONF": f"{self.folder}/conf/slurm.conf",
                            "OMPI_MCA_btl": "self,vader,tcp"}  # the two nodes share no memory

    def command(self, *words, **settings):
        environment = {**self.environment, **{name: str(value) for name, value in settings.items()}}
        return subprocess.run([str(word) for word in words], env=environment, cwd=self.t.directory, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT, check=False)

    def start(self):
        done = self.command(f"{JOBS}/local-slurm.sh", "start", self.folder)
        if done.returncode != 0:
            print("*" * 100 + f"\nskipped: there is no Slurm here, so the job scripts are not tested\n{done.stderr}" + "*" * 100)
        else:
            self.nodes = int(self.command("sinfo", "--noheader", "--format=%D").stdout)
        return done.returncode == 0

    def stop(self):
        return self.command(f"{JOBS}/local-slurm.sh", "stop", self.folder)

    def status(self):
        return self.command(f"{JOBS}/local-slurm.sh", "status", self.folder)

    def two_tasks(self):
        """Options of sbatch: one task on each node, or two on the only one. Two such jobs have room at the same time."""
        return [f"--nodes={self.nodes}", f"--ntasks-per-node={2 // self.nodes}", "--cpus-per-task=1", "--gpus-per-node=1"]

    def submit(self, script, *options, arguments=(), **settings):
        done = self.command("sbatch", "--parsable", "--output=%x-%j.out", *self.two_tasks(), *options, f"{JOBS}/{script}", *arguments,
                            **settings)
        self.t.check(done.returncode == 0, f"{script} is submitted", done.stderr)
        return Job(self, script.split(".")[0].removeprefix("lloyd"), done.stdout.strip())


class Job:
    def __init__(self, slurm, name, number, folder="."):
        self.slurm, self.number = slurm, number
        self.path = slurm.t.path(f"{folder}/lloyd{'-' * bool(name)}{name}-{number}.out")

    def output(self):
        return text_of(self.path)

    def show(self, field):
        shown = self.slurm.command("scontrol", "show", "job", self.number).stdout
        found = re.search(rf"\b{field}=(\S+)", shown)
        return found.group(1) if found else ""

    def state(self):
        return self.show("JobState")

    def ended(self):
        return wait_for(lambda: self.state() not in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED", "CONFIGURING"))

    def signal(self):
        return self.slurm.command("scancel", "--batch", "--signal=USR1", self.number)

    def describe(self):
        return f"      {self.state()}, status {self.show('ExitCode')}\n" + "\n".join(
            "        | " + line for line in self.output().splitlines()[-25:])


def iterations(log):
    return [event["iteration"] for event in log_events(log, "iteration")]


def wait_for_iterations(t, log, least=3):
    return t.check(wait_for(lambda: max(iterations(log), default=0) >= least), f"{os.path.basename(log)}: iterations begin")


def check_resumed(t, job, name, model, undisturbed):
    """The job was stopped in its midst with a checkpoint, came back, and ended well."""
    t.check(job.ended() and job.state() == "COMPLETED" and int(job.show("Restarts")) >= 1, f"{name}: comes back, and ends well",
            job.describe())
    stopped = re.findall(r"stopped by SIGUSR1; .* after iteration (\d+)", job.output())
    resumed = re.findall(r"resuming from \S+, after iteration (\d+)", job.output())
    t.check(stopped and stopped == resumed and 3 <= int(stopped[0]) < ITERATIONS,
            f"{name}: stopped after an iteration ({stopped}), and went on after the same one ({resumed})", job.describe())
    told = re.findall(r"^stopped with a checkpoint, after iteration (\d+) of run 1$", job.output(), re.M)
    t.check(told == stopped, f"{name}: the script says after which iteration ({told})", job.describe())
    t.check_same(f"{name}: the model of an undisturbed fit, bit for bit", undisturbed, if_there(model))


def write_raw(t, rows):
    """The rows as two raw files."""
    paths = [t.path("base.0.u8bin"), t.path("base.1.u8bin")]
    for path, part in zip(paths, (rows[:7001], rows[7001:])):
        with open(path, "wb") as file:
            file.write(np.array(part.shape, np.uint32).tobytes() + part.tobytes())
    return paths


@contextlib.contextmanager
def paused(slurm):
    """Ranks that stand still cost nothing while a signal of Slurm is waited for, which it sends within half a minute."""
    ranks = [pid for pid in processes(slurm.folder) if os.path.basename(text_of(f"/proc/{pid}/comm").strip()) == "lloyd"]
    for pid in ranks:
        os.kill(pid, signal.SIGSTOP)
    yield ranks
    for pid in ranks:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def submit_limited(t, slurm):
    """A fit with a time limit of a minute, which gets SIGUSR1 fifty seconds before it."""
    job = slurm.submit("fit.sbatch", "--time=1", "--signal=B:USR1@50", INPUT=t.data("sift-20k.h5"), OUTPUT="limited.h5", **FIT)
    wait_for_iterations(t, t.path("limited.h5.jsonl"))
    return job


def start_pipeline(t, slurm, raw):
    """wrap, fit, predict, check; the fit is notified of its end."""
    done = slurm.command(f"{JOBS}/pipeline.sh", "piped", *raw, LAUNCHER="mpirun", SBATCH_OPTIONS=" ".join(slurm.two_tasks()), **FIT)
    numbers = re.search(r"fit (\d+), predict (\d+), check (\d+);", done.stdout)
    if not t.check(done.returncode == 0 and numbers, "pipeline: three jobs are submitted", done.stdout + done.stderr):
        return None
    jobs = [Job(slurm, name, number, "piped") for name, number in zip(("fit", "predict", "check"), numbers.groups())]
    wait_for_iterations(t, t.path("piped/model.h5.jsonl"))
    jobs[0].signal()
    return jobs


def check_pipeline(t, jobs, undisturbed):
    fit, predict, check = jobs
    check_resumed(t, fit, "pipeline, mpirun", t.path("piped/model.h5"), undisturbed)
    for name, job in (("predict", predict), ("check", check)):
        t.check(job.ended() and job.state() == "COMPLETED", f"pipeline: {name} follows and ends well", job.describe())
    t.check("the labels are equal" in check.output(), "pipeline: the check says so", check.describe())
    t.check_same("pipeline: predict gives the model's labels", undisturbed, if_there(t.path("piped/labels.h5")),
                 ["/labels"])


def check_scaling(t, slurm):
    """As an array, with synthetic rows for each task; both of its jobs write into the same table."""
    array = slurm.submit("scaling.sbatch", "--array=0-1", "--wait", TASKS="1 2", ROWS=5000, DIM=32, K=64, MAX_ITERS=4)
    rows = list(csv.DictReader(text_of(t.path("scaling/scaling.csv")).splitlines()))
    t.check([row["tasks"] for row in rows] == ["1", "2"] and all(float(row["seconds_per_iteration"]) > 0 for row in rows),
            "scaling: a line for each number of tasks", f"{rows}\n{array.describe()}")


def check_cancelled(t, slurm):
    """scancel also ends with a checkpoint and status 75, but must not bring the job back."""
    job = slurm.submit("fit.sbatch", INPUT=t.data("sift-20k.h5"), OUTPUT="cancelled.h5", **FIT)
    wait_for_iterations(t, t.path("cancelled.h5.jsonl"))
    slurm.command("scancel", job.number)
    wait_for(lambda: not slurm.command("squeue", "--noheader", f"--jobs={job.number}").stdout)
    t.check(job.state() == "CANCELLED" and job.show("Restarts") == "0" and os.path.exists(t.path("cancelled.h5.ck")),
            "scancel: a checkpoint, and the job stays cancelled", job.describe())


def check_seeding(t, slurm):
    """A job whose time is shorter than its seeding takes resumes it whenever it is started again."""
    options = {**FIT, "INIT": "kmeans++", "MAX_ITERS": 1}
    job = slurm.submit("fit.sbatch", INPUT=t.data("sift-20k.h5"), OUTPUT="seeded.h5", **options)
    for run in range(2):
        t.check(wait_for(lambda: job.output().count("read: ") > run), f"seeding: run {run + 1} chooses centroids", job.describe())
        time.sleep(0.3)
        job.signal()
    t.check(job.ended() and job.state() == "COMPLETED" and job.show("Restarts") == "2", "seeding: comes back twice, and ends well", job.describe())
    steps = [int(step) for step in re.findall(r"^stopped with a checkpoint, after step (\d+) of run 1$", job.output(), re.M)]
    t.check(len(steps) == 2 and 0 < steps[0] < steps[1] < CLUSTERS, f"seeding: resumes, and does not begin anew ({steps})", job.describe())
    whole = t.fit(t.data("sift-20k.h5"), "whole.h5", "-k", CLUSTERS, "--init", "kmeans++", "--seed", SEED, "--max-iters", 1, threads=2)
    t.check_same("seeding: the model of an undisturbed fit, bit for bit", whole, if_there(t.path("seeded.h5")))


def check_stalled(t, slurm):
    """A job that is notified in the first step of its seeding, which takes long, whenever it comes back: it gives up after two restarts."""
    t.lloyd("synth", "--rows", 100000, "--dim", 128, "--clusters", 1000, "--type", "uint8", "--output", t.path("many.h5"))
    job = slurm.submit("fit.sbatch", INPUT=t.path("many.h5"), OUTPUT="stalled.h5", FIT_OPTIONS="--chunk-rows 1000",
                       **{**FIT, "K": 8192, "INIT": "kmeans-parallel"})
    for run in range(3):
        t.check(wait_for(lambda: job.output().count("read: ") > run), f"no progress: run {run + 1} chooses centroids", job.describe())
        job.signal()
    t.check(job.ended() and job.state() == "FAILED" and job.show("ExitCode") == "75:0" and job.show("Restarts") == "2",
            "no progress: the job ends after two restarts", job.describe())
    text = job.output()
    t.check(text.count("stopped without a checkpoint") == 3 and text.count("the job queues itself again") == 2
            and "stopped with a checkpoint" not in text and "2 restarts in a row made no progress" in text,
            "no progress: it says so, and what to do", job.describe())
    t.check(not [name for name in os.listdir(t.directory) if name.startswith("stalled.h5.ck")], "no progress: nothing is left of it")


def check_split(t, slurm):
    """A split that gets SIGUSR1 stops, is requeued, and fits the clusters that are left."""
    rows, parent = t.data("sift-20k.h5"), t.fit(t.data("sift-20k.h5"), "split-parent.h5", "-k", 60, "--max-iters", 2)
    arguments = ["split", "--model", parent, "--input", rows, "-k", 40, "--n-init", 5, "--members"]
    checkpoint, output, whole = (t.path(f"split{name}") for name in (".ck", ".h5", "-whole.h5"))
    t.lloyd(*arguments, "--output", whole)
    job = slurm.submit("lloyd.sbatch", arguments=[*arguments, "--output", output, "--checkpoint", checkpoint, "--checkpoint-every", 1])
    t.check(wait_for(lambda: os.path.exists(checkpoint)), "split: the job gets there", job.describe())
    job.signal()
    t.check(job.ended() and job.state() == "COMPLETED" and job.show("Restarts") == "1", "split: is requeued, and ends with 0", job.describe())
    stopped = re.findall(r"^stopped with a checkpoint, (after \d+ of 60 clusters)$", job.output(), re.M)
    t.check(len(stopped) == 1 and f"resuming from {checkpoint}, {stopped[0]}" in job.output(), f"split: resumes where it was ({stopped})",
            job.describe())
    t.check_same("split: the model of an undisturbed split, bit for bit", whole, if_there(output), ["/centroids", "/counts", "/labels", "/members"])


def curated_by_hand(t, rows):
    """The rows that curate.sh chooses, by the commands that its comment names."""
    few = ("--seed", 3, "--max-iters", 3)
    t.fit(rows, "coarse.h5", "-k", 12, "--sample-per-centroid", 256, *few)
    steps = [("split", "--model", "coarse.h5", "--input", rows, "--total", 200, "--seed", 3, "--members", "--output", "l1.h5"),
             ("select", "l1.h5", "--nearest", 9, "--output", "near1.npy"),
             ("fit", "--input", rows, "-k", 200, "--seed", 4, "--max-iters", 3, "--members", "--rows", "near1.npy", "--output", "l1r.h5"),
             ("fit", "--input", "l1r.h5:/centroids", "-k", 20, *few, "--members", "--output", "l2.h5"),
             ("select", "l2.h5", "--nearest", 9, "--output", "near2.npy"),
             ("fit", "--input", "l1r.h5:/centroids", "-k", 20, "--seed", 4, "--max-iters", 3, "--members", "--rows", "near2.npy", "--output", "l2r.h5"),
             ("select", "l1r.h5", "l2r.h5", "--sample", 500, "--seed", 3, "--near-duplicates", 0.97, "--input", rows, "--output", "chosen.npy")]
    for step in steps:
        result = t.lloyd(*step)
        t.check(result.status == 0, f"curate.sh by hand: {step[0]}", result.describe())
    return np.load(t.path("chosen.npy"))


def check_curated(t, slurm):
    """The whole chain of jobs; started again, only what is missing."""
    rows = t.data("sift-20k.h5")
    settings = {"INPUT": rows, "LEVELS": "200 20", "COARSE": 12, "ROUNDS": 1, "NEAREST": 9, "SAMPLE": 500, "NEAR_DUPLICATES": 0.97, "SEED": 3,
                "MAX_ITERS": 3, "SBATCH_OPTIONS": " ".join(slurm.two_tasks())}
    wanted = curated_by_hand(t, rows)
    for removed, jobs in (((), 8), (("level2-1.h5", "rows.npy"), 2), ((), 0)):
        for name in removed:
            os.remove(t.path(f"curated/{name}"))
        done = slurm.command(f"{JOBS}/curate.sh", "curated", **settings)
        numbers = re.findall(r"^(\d+)  (\S+)$", done.stdout, re.M)
        t.check(done.returncode == 0 and len(numbers) == jobs, f"curate.sh without {removed or 'anything'}: {jobs} jobs", done.stdout + done.stderr)
        if numbers:
            last = Job(slurm, "rows", numbers[-1][0], "curated")
            ended = wait_for(lambda: last.state() in ("COMPLETED", "FAILED", "CANCELLED"))
            t.check(ended and last.state() == "COMPLETED", "curate.sh: the last job ends well", last.describe())
    t.check(os.path.exists(t.path("curated/rows.npy")) and np.array_equal(np.load(t.path("curated/rows.npy")), wanted),
            "curate.sh: the rows of the same steps by hand")
    missing = slurm.command(f"{JOBS}/curate.sh", "curated", INPUT=rows)
    t.check(missing.returncode == 2 and "LEVELS" in missing.stderr, "curate.sh without LEVELS", missing.stderr)


def check_jobs(t, slurm):
    status = slurm.status()
    t.check(status.returncode == 0 and "idle" in status.stdout, "local-slurm.sh status: the nodes are up", status.stdout + status.stderr)
    # First of all, since Slurm looks at time limits every half a minute from its start.
    limited = submit_limited(t, slurm)
    with paused(slurm) as ranks:
        t.check(len(ranks) == 2, f"time limit: two ranks run ({ranks})", limited.describe())
        pipeline = start_pipeline(t, slurm, write_raw(t, read(t.data("sift-20k.h5"), "/train")))
        undisturbed = t.fit(t.data("sift-20k.h5"), "undisturbed.h5", "-k", CLUSTERS, "--init", "random", "--seed", SEED, "--max-iters", ITERATIONS)
        t.check(wait_for(lambda: "SIGUSR1" in limited.output()), "time limit: Slurm's signal arrives", limited.describe())
    if pipeline:
        check_pipeline(t, pipeline, undisturbed)
    check_resumed(t, limited, "time limit, srun", t.path("limited.h5"), undisturbed)
    check_scaling(t, slurm)
    check_split(t, slurm)
    check_curated(t, slurm)
    check_cancelled(t, slurm)
    check_seeding(t, slurm)
    check_stalled(t, slurm)


def main():
    t = Test("slurm")
    slurm = Slurm(t)
    if not slurm.start():
        slurm.stop()
        shutil.rmtree(t.directory)
        sys.exit(SKIPPED)
    try:
        check_jobs(t, slurm)
    finally:
        stopped = slurm.stop()
    left = processes(slurm.folder)
    t.check(stopped.returncode == 0 and not left and not os.path.exists(slurm.folder), "Slurm ends, and leaves nothing behind",
            f"{stopped.stderr} {left}")
    t.finish()


main()
