"""The files around a checkpoint: options that do not belong to it, damage, other data, no room, and folders that vanish. Nothing that was
there is lost, and what is resumed ends as if nothing had happened.
"""
import os
import random
import resource
import shutil
import signal
import subprocess

import h5py
import numpy as np

import data
from common import Test, digest, part_files, read
from fits import Fit, Job, iteration_of, slow_rows, small_disk


def refused(t, source):
    """Other options than the checkpoint was written with, and names that go wrong."""
    job = Job(t, "refused", source, ["--seed", 1])
    job.stop_after(4)
    kept, model = digest(job.checkpoint), digest(job.model)

    def case(what, arguments, status, words, ranks=1):
        result = t.lloyd("fit", *arguments, ranks=ranks, timeout=60)
        ok = result.status == status and len(result.messages) == 1 and all(word in result.err for word in words)
        t.check(ok, f"{what}: {' '.join(result.messages)[7:]}", result.describe())
        t.check(digest(job.checkpoint) == kept and digest(job.model) == model, f"{what}: files are as they were")

    def other(option, value, was, ranks=1):
        arguments = job.arguments("--resume")
        if option in arguments:
            arguments[arguments.index(option) + 1] = value
        else:
            arguments += [option, value]
        case(f"{option} {value}", arguments, 2, [option, str(value), was, job.checkpoint], ranks)

    other("-k", 23, "-k 24", ranks=3)
    other("--seed", 2, "--seed 1")
    other("--init", "kmeans++", "--init kmeans-parallel")
    other("--init-trials", 3, "no --init-trials")
    other("--init-sample", 30, "no --init-sample")
    other("--metric", "cosine", "--metric l2")
    other("--empty", "keep", "--empty relocate")
    other("--n-init", 2, "--n-init 1")
    other("--tol", 0.5, "--tol 0")
    other("--max-iters", 3, "4 iterations")
    other("--weights", "weights", "no --weights", ranks=2)
    plain = job.arguments()
    at = plain.index("--checkpoint")
    without = plain[:at] + plain[at + 2:]
    case("--resume alone", without + ["--resume"], 2, ["--checkpoint"], ranks=2)
    case("--checkpoint-every alone", without + ["--checkpoint-every", 5], 2, ["--checkpoint"])
    for every in ("0", "5x", "m", "-3", "1.5h", "99999999999"):
        case(f"--checkpoint-every {every}", plain + [f"--checkpoint-every={every}"], 2, ["--checkpoint-every"])
    os.symlink(job.model, t.path("link.ck"))
    for name, wrong in {"the output": job.model, "the output's unfinished file": job.model + ".part",
                        "the output by another path": os.path.join(t.directory, ".", "refused.h5"),
                        "a link to the output": t.path("link.ck"), "the input": source}.items():
        case(f"the checkpoint is {name}", without + ["--checkpoint", wrong], 2, [wrong])
    case("the checkpoint is the log", plain + ["--log", job.checkpoint], 2, ["--log"])
    shutil.copy(source, t.path("other.h5"))
    for resume in ((), ("--resume",)):
        case(f"the checkpoint is other data {resume}", without + ["--checkpoint", t.path("other.h5"), *resume],
             3 if resume else 2, ["other.h5"])
    case("no such directory", without + ["--checkpoint", t.path("nowhere/x.ck")], 1, ["nowhere"], ranks=2)
    if os.path.isdir("/proc/self"):
        case("a directory nobody can write", without + ["--checkpoint", "/proc/x.ck"], 1, ["/proc/x.ck"])
    job.finish("after all that", ranks=2)


def damaged(t, source):
    """Truncated and changed files: an error, and nothing is overwritten."""
    job = Job(t, "damaged", source, [])
    job.stop_after(4)
    whole = digest(job.checkpoint)
    draw = random.Random(1)
    cases = [("cut to", size, whole[:size]) for size in (0, 1, 100, 2000, len(whole) // 2, len(whole) - 1)]
    for at in sorted(draw.sample(range(len(whole)), 6 if t.quick else 25)):
        cases.append(("changed at", at, whole[:at] + bytes([whole[at] ^ 1 << draw.randrange(8)]) + whole[at + 1:]))
    place = whole.index(read(job.checkpoint, "/centroids").tobytes())
    cases.append(("a centroid changed at", place + 5, whole[:place + 5] + bytes([whole[place + 5] ^ 1]) + whole[place + 6:]))
    for what, at, content in cases:
        with open(job.checkpoint, "wb") as file:
            file.write(content)
        if os.path.exists(job.model):
            os.remove(job.model)
        result = job.run("--resume", timeout=60)
        ok = result.status == 3 and len(result.messages) == 1 and job.checkpoint in result.err
        t.check(ok and digest(job.checkpoint) == content and not os.path.exists(job.model),
                f"{what} {at}: {' '.join(result.messages)[7:]}", result.describe())


def other_data(t, source):
    """The data changed between checkpoint and resume."""
    job = Job(t, "data", source, [])
    job.stop_after(4)
    kept, whole = digest(job.checkpoint), digest(source)
    with h5py.File(source, "r") as file:
        x = file["train"][()]
    one = x.copy()
    one[len(x) // 2, 3] += 1
    cases = {"one value": one, "rows in another order": x[::-1].copy(), "a row less": x[:-1],
             "another type": x.astype(np.uint8), "a column less": np.ascontiguousarray(x[:, :-1])}
    for what, changed in cases.items():
        data.write(source, changed)
        result = job.run("--resume", ranks=2, timeout=60)
        t.check(result.status == 3 and len(result.messages) == 1 and job.checkpoint in result.err and
                digest(job.checkpoint) == kept, f"{what}: {' '.join(result.messages)[7:]}", result.describe())
    with open(source, "wb") as file:
        file.write(whole[:len(whole) * 2 // 3])
    result = job.run("--resume", ranks=2, timeout=60)
    t.check(result.status == 3 and digest(job.checkpoint) == kept, "the data file was cut off", result.describe())
    os.remove(source)
    result = job.run("--resume", timeout=60)
    t.check(result.status == 3 and digest(job.checkpoint) == kept, "the data file is gone", result.describe())
    with open(source, "wb") as file:
        file.write(whole)
    job.finish("the data are back", ranks=3)


def fill_and_free(t, arguments, filler):
    """A fit that is killed after its disk was full for some iterations and had room for some more."""
    fit = Fit(t, arguments, 2, hold='"iteration":4,')
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1024)
        except OSError:
            pass
    fit.release(hold='"iteration":8,')
    os.remove(filler)
    fit.release(hold='"iteration":12,')
    fit.send(signal.SIGKILL, 1)
    return fit.end()


def no_room(t, slow):
    """A full disk: the run continues without checkpoints; a stop reports that there is none, and the last one is still there."""
    job = Job(t, "full", slow, [], iterations=30)
    chunks = ("--chunk-rows", 400)
    job.stop_after(2)
    # By a limit on the size of files that comes when the fit runs: before, it would be refused. Its log is longer in the end, so
    # it stops early.
    os.remove(job.model)
    fit = Fit(t, job.arguments("--resume", "--checkpoint-every", 1, *chunks), 1, hold='"iteration":4,')
    kept = digest(job.checkpoint)
    resource.prlimit(fit.process.pid, resource.RLIMIT_FSIZE, (8000, 8000))
    fit.release(hold='"iteration":6,')
    fit.send(signal.SIGTERM, 0)
    result = fit.end()
    t.check(result.status == 1 and "no checkpoint was written" in result.err and "stopped by SIGTERM" in result.messages[-1] and
            job.checkpoint in result.messages[-1], "no room: the run continues, and a stop reports what is missing",
            result.describe())
    t.check(digest(job.checkpoint) == kept and not part_files(job.checkpoint), "no room: the old one is intact")
    job.finish("no room", ranks=2)

    folder = small_disk(t)
    if not folder:
        print("      (mounting is not allowed: no small disk)")
        return
    try:
        normal, job.checkpoint = job.checkpoint, os.path.join(folder, "x.ck")
        with open(normal, "rb") as file, open(job.checkpoint, "wb") as copy:
            copy.write(file.read())
        os.remove(job.checkpoint)
        job.clear()
        result = fill_and_free(t, job.arguments("--checkpoint-every", 1, *chunks), os.path.join(folder, "filler"))
        t.check("no checkpoint was written" in result.err and "No space left" in result.err, "a full disk is reported",
                result.describe())
        t.check(iteration_of(t, job.checkpoint) > 8, "when there is room again, checkpoints are written again")
        job.finish("a full disk", ranks=1)
    finally:
        subprocess.run(["umount", folder], check=False)


def vanished(t, slow):
    """Directories that go away while the fit runs: nothing that was computed is lost."""
    chunks = ("--chunk-rows", 400)
    job = Job(t, "vanished", slow, [], iterations=30)
    for ranks in (1, 3):
        job.clear()
        folder = t.path("there")
        os.mkdir(folder)
        job.model = os.path.join(folder, "model.h5")
        fit = Fit(t, job.arguments(*chunks), ranks, hold='"iteration":3,')
        os.rmdir(folder)
        result = fit.end()
        t.check(result.status == 1 and job.model in result.err and "--resume" in result.err and
                os.path.exists(job.checkpoint), f"the output's directory vanishes, {ranks} ranks", result.describe())
        job.model = t.path("elsewhere.h5")
        job.finish("with another output", ranks=2)

    job.checkpoint = os.path.join(folder, "x.ck")
    os.mkdir(folder)
    fit = Fit(t, job.arguments("--checkpoint-every", 2, *chunks), 2, hold='"iteration":3,')
    shutil.rmtree(folder)
    result = fit.end()
    t.check(result.status == 0 and "no checkpoint was written" in result.err, "the checkpoint's directory vanishes",
            result.describe())
    t.check_same("and the result is right", job.whole, job.model)

    # The input is cut off under a run that reads it again and again. Few rows would stay in HDF5's cache.
    if t.quick:
        return
    job.checkpoint = t.path("cut.ck")
    copy = t.path("cut-input.h5")
    shutil.copy(slow, copy)
    whole, job.source = job.source, copy
    fit = Fit(t, job.arguments(*chunks), 2, hold='"iteration":3,')
    os.truncate(copy, os.path.getsize(copy) // 2)
    result = fit.end()
    t.check(result.status in (1, 3) and not result.timed_out and os.path.exists(job.checkpoint),
            "the input is cut off: an error, and a checkpoint", result.describe())
    shutil.copy(whole, copy)
    job.finish("the input is whole again")


def main():
    t = Test("checkpoint-files", lambda parser: parser.add_argument("--held", required=True, help="the copy of the program that can be held"))
    t.held_path = os.path.realpath(t.options.held)
    with h5py.File(t.data("digits.h5"), "r") as file:
        digits = file["train"][()]
    weights = np.random.default_rng(5).uniform(0, 3, len(digits)).astype(np.float32)
    weighted = data.write(t.path("weighted.h5"), digits, weights=weights)
    source = data.write(t.path("digits.h5"), digits)
    slow = slow_rows(t)
    t.steps((refused, weighted), (damaged, source), (other_data, source), (no_room, slow), (vanished, slow))
    t.finish()


if __name__ == "__main__":
    main()
