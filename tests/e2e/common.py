"""What the end-to-end tests share: running lloyd on some ranks, running the reference, comparing models bit for bit.

A test is a plain script: it makes a Test, calls check() any number of times and ends with finish(), which removes the
scratch directory if all went well and otherwise leaves it in place and names it.
"""
import argparse
import glob
import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# What must be bit-identical between two runs of the same job; seconds may differ.
EXACT = ("/centroids", "/counts", "/labels", "/history/inertia", "/history/moved")

# Open MPI as root, with more ranks than cores; other launchers ignore these. Each test has a folder of its own for Open MPI's files,
# and so has each run: of two launchers that share one, the first to end may remove what the other has just made.
# Short names: sockets lie below, and their paths have a limit.
OWN_FOLDER = tempfile.TemporaryDirectory(prefix="o-", ignore_cleanup_errors=True)
RUNS = itertools.count()
LAUNCHER = {"OMPI_MCA_orte_tmpdir_base": OWN_FOLDER.name,
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_mpi_yield_when_idle": "1",
            "HWLOC_COMPONENTS": "-pci", "OMPI_MCA_pml": "ob1", "OMPI_MCA_btl_vader_single_copy_mechanism": "none"}


def environment(threads=1, **more):
    """That of a command which may be a launcher, with a folder of its own for what Open MPI writes."""
    own = os.path.join(OWN_FOLDER.name, str(next(RUNS)))
    os.mkdir(own)
    return {**LAUNCHER, **os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads),
            "OMPI_MCA_orte_tmpdir_base": own, **more}


class Result:
    """A finished command: exit status, stdout, stderr, and the lines of stderr that lloyd itself wrote."""

    def __init__(self, command, status, out, err, timed_out):
        self.command, self.status, self.out, self.err, self.timed_out = command, status, out, err, timed_out
        self.messages = [line for line in err.splitlines() if line.startswith("lloyd: ")]

    def describe(self):
        shown = " ".join(shlex.quote(part) for part in self.command)
        state = "still running after the time limit" if self.timed_out else f"status {self.status}"
        tail = "\n".join("        | " + line for line in (self.out + self.err).splitlines()[-15:])
        return f"      {shown}\n      {state}\n{tail}"


SKIPPED = 77  # exit status of a test that cannot run here

# What lloyd says where it cannot use any GPU.
NO_GPU = ("no GPU is visible", "built without CUDA", "compute capability")


class Test:
    def __init__(self, name, more=None):
        parser = argparse.ArgumentParser()
        parser.add_argument("--lloyd", required=True, help="the program under test")
        parser.add_argument("--reference", required=True, help="the brute-force program")
        parser.add_argument("--data", required=True, help="directory with sift-20k.h5 and digits.h5")
        parser.add_argument("--mpirun", default="mpirun --oversubscribe")
        parser.add_argument("--quick", action="store_true", help="a small part, for slow builds")
        if more:
            more(parser)
        self.options = parser.parse_args()
        self.lloyd_path = os.path.abspath(self.options.lloyd)
        self.reference_path = os.path.abspath(self.options.reference)
        self.mpirun = shlex.split(self.options.mpirun)
        self.quick = self.options.quick
        self.directory = tempfile.mkdtemp(prefix=f"lloyd-{name}-")
        self.name, self.checks, self.failures, self.began = name, 0, [], time.time()

    def path(self, name):
        return os.path.join(self.directory, name)

    def data(self, name):
        return os.path.join(os.path.abspath(self.options.data), name)

    def check(self, ok, what, detail=""):
        self.checks += 1
        print(("ok    " if ok else "FAIL  ") + what, flush=True)
        if not ok:
            self.failures.append(what)
            if detail:
                print(detail, flush=True)
        return bool(ok)

    def finish(self):
        print(f"{self.name}: {self.checks} checks, {len(self.failures)} failed, {time.time() - self.began:.0f} s")
        if self.failures:
            print("failed:\n  " + "\n  ".join(self.failures) + f"\nfiles are in {self.directory}")
            sys.exit(1)
        shutil.rmtree(self.directory)

    def steps(self, *steps):
        """Calls functions of the test, (function, argument, ...) each, and prints the seconds that each takes."""
        for step, *arguments in steps:
            began = time.time()
            step(self, *arguments)
            print(f"      ({step.__name__}: {time.time() - began:.1f} s)", flush=True)

    # ---- running ---------------------------------------------------------------------------------------------

    def run(self, command, threads=1, timeout=600, cwd=None, **more):
        """Runs a command in its own process group, so that a hang ends with all of its ranks."""
        place = environment(threads)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=place,
                                       cwd=cwd or self.directory, start_new_session=True, **more)
            timed_out = False
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                timed_out = True
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode(errors="replace"))
        shutil.rmtree(place["OMPI_MCA_orte_tmpdir_base"], ignore_errors=True)
        return Result(command, process.returncode, texts[0], texts[1], timed_out)

    def lloyd(self, *arguments, ranks=1, launcher=None, **more):
        """lloyd with these arguments: one rank without a launcher (unless launcher=True), more ranks under mpirun."""
        command = [self.lloyd_path] + [str(a) for a in arguments]
        if ranks > 1 or launcher:
            command = self.mpirun + ["-n", str(ranks)] + command
        return self.run(command, **more)

    def fit(self, inputs, output, *arguments, ranks=1, **more):
        """lloyd fit that must succeed; returns the path of the model, or None after a failed check."""
        inputs = [inputs] if isinstance(inputs, str) else inputs
        command = ["fit"]
        for name in inputs:
            command += ["--input", name]
        result = self.lloyd(*command, "--output", self.path(output), *arguments, ranks=ranks, **more)
        if result.status == 0 and os.path.exists(self.path(output)):
            return self.path(output)
        self.check(False, f"{output}: fit on {ranks} ranks ends with 0", result.describe())
        return None

    def reference(self, *arguments):
        return self.run([self.reference_path] + [str(a) for a in arguments], threads=os.cpu_count() or 1)

    def skip_without_gpu(self):
        """Ends the test with SKIPPED, loudly, where lloyd sees no GPU."""
        result = self.lloyd("fit", "--input", self.data("digits.h5"), "-k", 3, "--max-iters", 1, "--output", self.path("first.h5"),
                            "--backend", "cuda", "--progress", "none")
        text = " ".join(result.messages)
        if result.status != 0 and any(reason in text for reason in NO_GPU):
            print(f"SKIPPED {self.name}: NO GPU. NOTHING WAS TESTED. {text}")
            shutil.rmtree(self.directory)
            sys.exit(SKIPPED)
        if self.check(result.status == 0, "a first fit on the GPU", result.describe()):
            self.check(attribute(self.path("first.h5"), "backend") == "cuda", "the model names the backend: cuda")

    # ---- comparing -------------------------------------------------------------------------------------------

    def check_same(self, what, one, other, names=EXACT):
        """Both model files exist and hold the same bytes in every dataset of `names`."""
        if one is None or other is None:
            return self.check(False, what, "      (a run before this failed)")
        return self.check(not (found := differences(one, other, names)), what, found)

    def check_labels(self, what, data, model, *arguments):
        """The model's labels and counts (or a labels file's) are those of the reference."""
        if model is None:
            return self.check(False, what, "      (a run before this failed)")
        result = self.reference("labels", data, model, *arguments)
        return self.check(result.status == 0, what, result.describe())


def differences(one, other, names=EXACT):
    """A description of what differs between two files, "" if nothing does."""
    text = ""
    with h5py.File(one, "r") as a, h5py.File(other, "r") as b:
        for name in names:
            if name not in a or name not in b:
                text += f"      {name}: missing\n"
                continue
            x, y = a[name][()], b[name][()]
            if x.shape != y.shape or x.dtype != y.dtype:
                text += f"      {name}: {x.dtype}{x.shape} and {y.dtype}{y.shape}\n"
            elif x.tobytes() != y.tobytes():
                wrong = np.argwhere(x != y)
                first = tuple(int(v) for v in wrong[0]) if len(wrong) else ()
                text += f"      {name}: {len(wrong)} of {x.size} differ"
                text += f", first {first}: {x[first]!r} and {y[first]!r}\n" if len(wrong) else " in the sign of 0\n"
    return text and f"      {one}\n      {other}\n" + text.rstrip("\n")


def read(path, name):
    with h5py.File(path, "r") as file:
        return file[name][()]


def attribute(path, name):
    with h5py.File(path, "r") as file:
        return file.attrs[name]


def log_events(path, kind=None):
    """The events of a log, or those of one kind; none of a file that is missing or no log. A line that is being written is left out."""
    try:
        with open(path, encoding="utf-8") as file:
            events = [json.loads(line) for line in file if line.endswith("\n")]
    except (OSError, ValueError):
        return []
    return [event for event in events if kind in (None, event["event"])]


def part_files(path):
    """What there is of an output that is not complete."""
    return glob.glob(glob.escape(path) + "*.part")


def digest(path):
    """A file's bytes."""
    with open(path, "rb") as file:
        return file.read()
