"""Outputs: two jobs with one output, what is replaced and what is not, inputs that an output would replace, links, what
killed jobs leave, and files that find no room.
"""
import os
import random
import resource
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np

import data
from common import EXACT, Test, attribute, differences, digest, environment, log_events, part_files
from fits import Fit, small_disk

LABELS = ("/labels", "/distances")


# ---- Two jobs with one output --------------------------------------------------------------------------------------------

def start(t, arguments, ranks=1):
    """lloyd in the background."""
    command = (t.mpirun + ["-n", str(ranks)] if ranks > 1 else []) + [t.lloyd_path, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            env=environment(), cwd=t.directory)


def end(process):
    """(status, stderr)"""
    err = process.communicate(timeout=120)[1]
    return process.returncode, err.decode(errors="replace")


class Pair:
    """Two commands that differ in their result and write one output."""

    def __init__(self, t, name, output, one, other, names, ranks=1):
        self.t, self.name, self.output, self.names, self.ranks = t, name, t.path(output), names, ranks
        self.commands, self.right, self.seconds = (one, other), [], 0.0
        for i, command in enumerate(self.commands):
            began = time.time()
            status, err = end(start(t, [*command, self.output], ranks))
            self.seconds = max(self.seconds, time.time() - began)
            self.right.append(t.path(f"{i}-{output}"))
            if t.check(status == 0 and os.path.exists(self.output), f"{name}: job {i} alone", err):
                os.replace(self.output, self.right[i])

    def run(self, count):
        """That many pairs, the second job started somewhere in the time that the first one takes."""
        wins, wrong = [0, 0], ""
        for _ in range(count):
            if os.path.exists(self.output):
                os.remove(self.output)
            first = start(self.t, [*self.commands[0], self.output], self.ranks)
            time.sleep(0.6 * random.random() * self.seconds)
            second = start(self.t, [*self.commands[1], self.output], self.ranks)
            ends = end(first), end(second)
            winner = [i for i in (0, 1) if self.holds(i)]
            if [status for status, _ in ends] != [0, 0] or len(winner) != 1 or part_files(self.output):
                wrong += f"      {ends}, that of jobs {winner}, left: {part_files(self.output)}\n"
            else:
                wins[winner[0]] += 1
        self.t.check(not wrong, f"{self.name}: {count} pairs of jobs, {wins[0]} and {wins[1]} times last", wrong)

    def holds(self, i):
        try:
            return not differences(self.right[i], self.output, self.names)
        except (OSError, KeyError, RuntimeError):
            return False


def pairs(t, inputs, model):
    count = t.options.pairs
    predict = [["predict", "--model", model, "--input", path, "--distances", "--output"] for path in inputs]
    Pair(t, "predict", "p.h5", *predict, LABELS).run(count)
    Pair(t, "predict, 2 ranks", "p2.h5", *predict, LABELS, ranks=2).run(max(count // 10, 2))
    fit = [["fit", "--input", path, "-k", 5, "--max-iters", 1, "--progress", "none", "--output"] for path in inputs]
    Pair(t, "fit", "f.h5", *fit, EXACT).run(max(count // 3, 2))
    synth = [["synth", "--rows", rows, "--dim", 8, "--clusters", 3, "--output"] for rows in (200000, 120000)]
    Pair(t, "synth", "s.h5", *synth, ("/train",)).run(max(count // 3, 2))


def checkpoints_and_logs(t, inputs):
    """Two fits with one checkpoint and one log: each is a whole one."""
    checkpoint, log = t.path("shared.ck"), t.path("shared.jsonl")
    for _ in range(2 if t.quick else 4):
        jobs = [start(t, ["fit", "--input", inputs[0], "-k", 50, "--seed", seed, "--max-iters", 12, "--progress", "none",
                          "--checkpoint", checkpoint, "--checkpoint-every", 1, "--log", log, "--output", t.path(f"{seed}.h5")])
                for seed in (1, 2)]
        ends = [end(job) for job in jobs]
        shown = t.lloyd("info", checkpoint)
        events = [event["event"] for event in log_events(log)]
        t.check([status for status, _ in ends] == [0, 0] and shown.status == 0 and not part_files(checkpoint),
                "two fits with one checkpoint: it is a whole one", f"{ends}\n{shown.describe()}")
        t.check(events.count("begin") == 1 and events.count("iteration") > 1 and events[-1:] == ["end"],
                "two fits with one log: it is that of one", f"      {events}")
        if os.path.exists(checkpoint):
            os.remove(checkpoint)


# ---- What is replaced ----------------------------------------------------------------------------------------------------

def replaced(t, source, model):
    """Files that lloyd has written, and others only with --force."""
    raw = t.path("raw.fbin")
    with open(raw, "wb") as file:
        np.array([10, 2], "<u4").tofile(file)
        np.arange(20, dtype="<f4").tofile(file)
    commands = {"fit": ["fit", "--input", source, "-k", 3, "--progress", "none"],
                "predict": ["predict", "--model", model, "--input", source],
                "synth": ["synth", "--rows", 10, "--dim", 2, "--clusters", 2], "wrap": ["wrap", raw],
                "report": ["report", model]}
    foreign = data.write(t.path("foreign.h5"), data.gaussian(50, 8, 3))
    output = t.path("taken")

    def attempt(what, command, content, status, *more, ranks=1):
        if content is not None:
            with open(output, "wb") as file:
                file.write(content)
        before = digest(output), os.stat(output).st_ino
        result = t.lloyd(*commands[command], "--output", output, *more, ranks=ranks)
        kept = (digest(output), os.stat(output).st_ino) == before
        ok = result.status == status and kept == (status != 0) and not part_files(output)
        if status:
            ok &= len(result.messages) == 1 and output in result.err and "--force" in result.err
        t.check(ok, f"{command}: {what} is {'refused' if status else 'replaced'}: {' '.join(result.messages)[7:]}",
                result.describe())

    for command in commands:
        attempt("a text", command, b"1 2 3\n" * 100, 2, ranks=1 + (command == "fit"))
        attempt("a foreign HDF5 file", command, digest(foreign), 2)
        attempt("a foreign file with --force", command, digest(foreign), 0, "--force", ranks=1 + (command == "predict"))
        attempt("its own", command, None, 0)
        attempt("an empty file", command, b"", 0)
        attempt("a model", command, digest(model), 0)
    kinds = {"fit": "model", "predict": "labels", "synth": "synthetic rows", "wrap": "wrapped rows"}
    for command, kind in kinds.items():
        t.lloyd(*commands[command], "--output", output, "--force")
        t.check(attribute(output, "lloyd") == kind, f"{command}: the file says what it is")
    # What models of the version before had, which had no such attribute.
    with h5py.File(model, "r") as file:
        centroids, attributes = file["centroids"][()], dict(file.attrs)
    del attributes["lloyd"]
    with h5py.File(output, "w") as file:
        file["centroids"] = centroids
        file.attrs.update(attributes)
    attempt("a model without the attribute", "fit", None, 0)
    with h5py.File(output, "w") as file:
        file["centroids"] = centroids
    attempt("somebody's centroids", "fit", None, 2)


# ---- What is read --------------------------------------------------------------------------------------------------------

def guarded(t, source, model):
    """No output takes the place of an input, of what an input refers to, or of another output."""
    folder = t.path("g")
    os.mkdir(folder)
    os.symlink("g", t.path("h"))
    x = data.gaussian(100, 8, 1)

    def at(name):
        return os.path.join(folder, name)

    np.save(at("r.npy"), x)
    t.check(t.lloyd("wrap", at("r.npy"), "--output", at("r.h5")).status == 0, "wrap r.npy")
    os.symlink("r.npy", at("link.npy"))
    data.write(at("src.h5"), x, weights=np.ones(100, np.float32))
    for name, of, inside in (("v.h5", "src.h5", "train"), ("vv.h5", "v.h5", "train"), ("vr.h5", at("r.h5"), "train"),
                             ("w.h5", "src.h5", "weights")):
        shape = (100,) if inside == "weights" else (100, 8)
        layout = h5py.VirtualLayout(shape, "f4")
        layout[:] = h5py.VirtualSource(of, inside, shape=shape)
        with h5py.File(at(name), "w", libver="latest") as file:
            if inside == "weights":
                file["train"] = x
            file.create_virtual_dataset(inside, layout)
    for i in range(2):
        data.write(at(f"p{i}.h5"), x[50 * i:50 * i + 50])
    printf = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    space = h5py.h5s.create_simple((100, 8), (h5py.h5s.UNLIMITED, 8))
    block = h5py.h5s.create_simple((50, 8))
    every = space.copy()
    every.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), (50, 1), (50, 8))
    printf.set_virtual(every, b"p%b.h5", b"train", block)
    with h5py.File(at("pv.h5"), "w", libver="latest") as file:
        h5py.h5d.create(file.id, b"train", h5py.h5t.IEEE_F32LE, space, printf)
    with h5py.File(at("e.h5"), "w") as file:
        file["train"] = h5py.ExternalLink("src.h5", "/train")
    kept = {name: digest(at(name)) for name in os.listdir(folder)}

    def refused(what, arguments, words, ranks=1):
        result = t.lloyd(*arguments, ranks=ranks, cwd=folder)
        ok = result.status == 2 and len(result.messages) == 1 and all(word in result.err for word in words)
        now = {name: digest(at(name)) for name in os.listdir(folder)}
        t.check(ok and now == kept, f"{what}: {' '.join(result.messages)[7:]}", result.describe())

    def fit(source, output, *more):
        return ["fit", "--input", source, "-k", 3, "--progress", "none", "--force", "--output", output, *more]

    refused("the raw file of a wrapped input", fit("r.h5", "r.npy"), ["r.npy", "r.h5"], ranks=2)
    refused("a link to the raw file", fit("r.h5", "link.npy"), ["link.npy", "r.h5"])
    refused("the raw file by another folder", fit(at("r.h5"), t.path("h/r.npy")), ["r.npy"])
    refused("the source of a virtual input", fit("v.h5", "src.h5"), ["src.h5", "v.h5"], ranks=2)
    refused("the source of a source", fit("vv.h5", "src.h5"), ["src.h5"])
    refused("the raw file of a source", fit("vr.h5", "r.npy"), ["r.npy"])
    refused("the source of the weights", fit("w.h5", "src.h5", "--weights", "weights"), ["src.h5", "w.h5"])
    refused("one of many sources", fit("pv.h5", "p1.h5"), ["p1.h5", "pv.h5"])
    refused("behind an external link", fit("e.h5:/train", "src.h5"), ["src.h5", "e.h5"])
    refused("the log is a source", fit("v.h5", "m.h5", "--log", "src.h5"), ["--log src.h5"])
    refused("the checkpoint is a raw file", fit("r.h5", "m.h5", "--checkpoint", "r.npy"), ["--checkpoint r.npy"])
    refused("predict: the raw file", ["predict", "--model", model, "--input", "r.h5", "--force", "--output", "r.npy"], ["r.npy"])
    refused("predict: the model", ["predict", "--model", "../" + os.path.basename(model), "--input", "r.h5", "--force",
                                   "--output", model], ["the model"])
    refused("wrap: the raw file", ["wrap", "r.npy", "--force", "--output", "./r.npy"], ["r.npy"])
    for log in ("./m.h5", "../h/m.h5", "m.h5.part", "../h/m.h5.host-1-2-3.part"):
        refused(f"--log {log}", fit("r.h5", "m.h5", "--log", log), ["--log", "--output"])
        refused(f"--checkpoint {log}", fit("r.h5", "m.h5", "--checkpoint", log), ["--checkpoint", "--output"])
    refused("--log and --checkpoint", fit("r.h5", "m.h5", "--checkpoint", "../h/c", "--log", "c"), ["--log", "--checkpoint"])
    result = t.lloyd(*fit("v.h5", "m.h5", "--log", "m.jsonl", "--checkpoint", "m.ck"), cwd=folder)
    t.check(result.status == 0, "names of their own", result.describe())


# ---- Links and what is left ----------------------------------------------------------------------------------------------

def links(t, source):
    """The file that a link leads to is replaced, and made if it is not there; the link stays."""
    os.mkdir(t.path("far"))
    fit = ["fit", "--input", source, "-k", 3, "--progress", "none"]
    plain = t.fit(source, "plain.h5", "-k", 3)
    for name in ("--output", "--checkpoint", "--log"):
        link, target = t.path("near" + name), t.path("far/target" + name)
        os.symlink(os.path.join("far", "target" + name), link)
        for what in ("made", "replaced"):
            more = [] if name == "--output" else ["--output", t.path("linked.h5")]
            result = t.lloyd(*fit, *more, name, link, ranks=1 + (what == "made"))
            t.check(result.status == 0 and os.path.islink(link) and os.path.isfile(target) and not os.path.islink(target) and
                    not part_files(target), f"{name} is a link: its file is {what}", result.describe())
    t.check_same("a model behind a link", plain, t.path("far/target--output"))


def leftovers(t, inputs, model):
    """Of a job that was killed."""
    output = t.path("killed.h5")
    command = ["predict", "--model", model, "--input", inputs[0], "--distances", "--output", output]
    left = []
    for _ in range(200):
        job = start(t, command)
        while job.poll() is None and not part_files(output):
            time.sleep(0.0005)
        job.send_signal(signal.SIGKILL)
        job.communicate()
        left = part_files(output)
        if left:
            break
    if not t.check(len(left) == 1, "a job that is killed leaves a file"):
        return
    old, foreign = output + ".node7-123-0000002a-0000002b.part", output + ".mine.part"
    for path in (old, foreign):
        with open(path, "wb") as file:
            file.write(b"half a file")
        os.utime(path, (time.time() - 3 * 86400,) * 2)
    result = t.lloyd(*command)
    t.check(result.status == 0 and not os.path.exists(left[0]) and f"removed {left[0]}" in result.err,
            "the next job removes it, and says so", result.describe())
    t.check(os.path.exists(old) and f"{old} is 3 days old" in result.err and "node7" in result.err,
            "an old one of another machine is mentioned, and stays", result.describe())
    t.check(os.path.exists(foreign) and foreign not in result.err, "another file is left alone", result.describe())


# ---- Room ----------------------------------------------------------------------------------------------------------------

def no_room(t, sift, model):
    """Known before the work begins."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))

    output, log = t.path("large.h5"), t.path("large.jsonl")
    commands = {"fit": ["fit", "--input", sift, "-k", 24, "--progress", "none", "--log", log],
                "predict": ["predict", "--model", model, "--input", sift],
                "synth": ["synth", "--rows", 10000, "--dim", 8, "--clusters", 2]}
    for command, arguments in commands.items():
        result = t.lloyd(*arguments, "--output", output, preexec_fn=limit)
        t.check(result.status == 1 and len(result.messages) == 1 and output in result.err and "ulimit -f" in result.err and
                not os.path.exists(output) and not part_files(output),
                f"{command}: files may not be so large: {' '.join(result.messages)[7:]}", result.describe())
    t.check(not os.path.exists(log), "fit: refused before it begins")
    result = t.lloyd("synth", "--rows", 10**13, "--dim", 1000, "--clusters", 2, "--output", output)
    t.check(result.status == 1 and "free" in result.err and not part_files(output),
            f"more than the disk has: {' '.join(result.messages)[7:]}", result.describe())
    result = t.lloyd("fit", "--input", sift, "-k", 24, "--progress", "none", "--output", output, "--checkpoint", t.path("c.ck"),
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (90000, 90000)))
    t.check(result.status == 1 and output in result.err, "fit: labels and centroids together", result.describe())


def held_fit(t, arguments, ranks, change):
    """A fit; `change` is done to rank 0 (the process) after its third iteration."""
    fit = Fit(t, arguments, ranks, hold='"iteration":3,')
    change(fit)
    return fit.end()


def rescued(t, sift):
    """No room in the end: the model is there without its labels, or the checkpoint has it."""
    options = ["--input", sift, "-k", 24, "--max-iters", 5]
    whole = t.fit(sift, "whole.h5", *options[2:])
    labels = t.path("labels-again.h5")

    def limited(size):
        def change(fit):
            for pid in fit.ranks():
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, size))
        return change

    output = t.path("rescued.h5")
    without = output + ".no-labels"
    for ranks in (1, 3):
        before = digest(shutil.copy(whole, output))
        result = held_fit(t, [*options, "--output", output], ranks, limited(40000))
        ok = result.status == 1 and output in result.err and without in result.err and digest(output) == before
        if not t.check(ok and not part_files(output), f"no room for the labels, {ranks} ranks: the rest is there", result.describe()):
            continue
        t.check_same("the rest is right", whole, without, [name for name in EXACT if name != "/labels"])
        again = t.lloyd("predict", "--model", without, "--input", sift, "--output", labels)
        t.check(again.status == 0, "predict makes the labels", again.describe())
        t.check_same("and they are those of the fit", whole, labels, ["/labels"])
        os.remove(without)

    saving = [*options, "--output", output, "--checkpoint", t.path("rescue.ck")]
    for ranks in (1, 2):
        # not even the model, which is as large as the checkpoint; that has been written before
        result = held_fit(t, [*saving, "--checkpoint-every", 1], ranks, limited(9000))
        t.check(result.status == 1 and not os.path.exists(without) and not part_files(output), "no room for the model",
                result.describe())
        done = t.lloyd("fit", *saving, "--resume", "--progress", "none", ranks=2)
        t.check(done.status == 0, "resumed from the checkpoint", done.describe())
        t.check_same("and the model is right", whole, output)

    folder = small_disk(t)
    if not folder:
        print("      (mounting is not allowed: no small disk)")
        return
    try:
        output, checkpoint = os.path.join(folder, "m.h5"), t.path("elsewhere.ck")

        def fill(room):
            def change(_):
                with open(os.path.join(folder, "filler"), "wb", buffering=0) as file:
                    size = os.statvfs(folder)
                    file.write(b"x" * (size.f_bavail * size.f_frsize - room))
            return change

        for room, ranks in ((60000, 2), (0, 1)):
            result = held_fit(t, [*options, "--output", output, "--checkpoint", checkpoint], ranks, fill(room))
            rest = output + ".no-labels"
            ok = result.status == 1 and "No space left" in result.err and not os.path.exists(output)
            ok &= os.path.exists(rest) if room else "--resume makes the model" in result.err and checkpoint in result.err
            t.check(ok and not part_files(output), f"a disk with room for {room} bytes", result.describe())
            os.remove(os.path.join(folder, "filler"))
            if room:
                t.check_same("the model without labels", whole, rest, [name for name in EXACT if name != "/labels"])
                os.remove(rest)
            done = t.lloyd("fit", *options, "--output", output, "--checkpoint", checkpoint, "--resume", "--progress", "none")
            t.check(done.status == 0, "with room again, --resume", done.describe())
            t.check_same("makes the model", whole, output)
            os.remove(output)
            os.remove(checkpoint)
    finally:
        subprocess.run(["umount", folder], check=False)


def main():
    def more(parser):
        parser.add_argument("--held", required=True, help="the program that can be held")
        parser.add_argument("--pairs", type=int, default=9, help="pairs of jobs with one output")

    t = Test("outputs", more)
    t.held_path = os.path.realpath(t.options.held)
    seed = random.randrange(1 << 32)
    random.seed(seed)
    print(f"seed {seed}")
    if t.quick:
        t.options.pairs = 3
    inputs = [data.write(t.path(f"in{i}.h5"), data.gaussian(n, 4, i)) for i, n in enumerate((300000, 180000))]
    small = data.write(t.path("small.h5"), data.gaussian(500, 8, 1))
    sift = t.data("sift-20k.h5")
    models = [t.fit(source, f"model{i}.h5", "-k", 5, "--max-iters", 1) for i, source in enumerate((inputs[0], small, sift))]
    t.steps((pairs, inputs, models[0]), (checkpoints_and_logs, [sift]), (replaced, small, models[1]), (guarded, small, models[1]),
            (links, small), (leftovers, inputs, models[0]), (no_room, sift, models[2]), (rescued, sift))
    t.finish()


if __name__ == "__main__":
    main()
