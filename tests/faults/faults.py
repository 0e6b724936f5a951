#!/usr/bin/env python3
"""Fault loops: every call that can fail is made to fail, one at a time, and the job must end as it should.

For each command of the table and each kind of call (calls.h), a first run lists the calls; then the same command runs
with the n-th call failing, once for each n to be tried: on one rank, those that are made on a path (the call and the two
calls that led to it) on which none has failed yet in this or an earlier command, and a part of the others; on several
ranks, on one of PATHS_OF_RANKS such paths. Each run must end in time, and either
  - fail: with the right status and one message, no temporary file left, and an earlier output as it was to the byte (or
    replaced by the whole new one, where what fails comes after it, such as the summary), or
  - succeed, where the call is one that a job can do without (TOLERATED), with a bit-identical result.
A fit with checkpoints finds an old one. Afterwards that is there as it was, or a whole newer one, and from either --resume
ends with the same model. A checkpoint that cannot be written is no failure: the fit reports it and continues. A fit that has not reported that
it resumes from a checkpoint has not touched it.
Rows in memory (rows.c): after an error, the same call succeeds in the same process.
With sanitizers, a run that leaks or touches freed memory fails as well. With --backend cuda, exit status 77 where lloyd sees no GPU.
"""
import concurrent.futures
import os
import shutil
import tempfile

import h5py
import numpy as np

import data
from common import EXACT, Test, differences, digest

TIME_LIMIT = 60
PATH = 3  # calls within each other
OTHERS = 64  # of so many calls on paths that have failed, one fails again
PATHS_OF_RANKS = 24  # on several ranks, where a job takes a second, a call fails on one of so many paths

# A failed read may be told as bad input, all else is a failure while running.
STATUS = {"alloc": (1,), "read": (1, 3), "write": (1,), "rename": (1,), "mpi": (1,), "cuda": (1,), "nccl": (1,)}

# (kind, call): what a job can do without; where a command follows, only that one.
TOLERATED = {
    ("read", "fopen"),  # what the system says about memory: then no limit is known
    ("read", "stat"), ("read", "statvfs"),  # which file system is it, and how much is free? then nothing is known of it
    # Which dataset is meant: one that cannot be looked at leaves /train, as documented.
    ("read", "H5Dopen2"), ("read", "H5Dget_space"), ("alloc", "asprintf"),
    ("read", "H5Lexists", "info"),  # does the file that info shows have labels too?
    ("read", "H5Dread_chunk"), ("read", "H5Dget_type"),  # HDF5 then reads rows itself
    ("read", "pread"),  # rows read ahead that no pass comes for; is this file a checkpoint?
    ("read", "open"),  # the same
    ("rename", "unlink"),  # the file that a look at the checkpoint's folder made: the next job removes it
    ("cuda", "cudaSetDevice"), ("cuda", "cudaEventSynchronize"),  # while kernels and pipeline are destroyed
    ("read", "H5Dget_create_plist"),  # info then says that it does not know how the rows are stored
}
# The same, where the call is made in one of these functions, whose names a stripped program does not tell. Memory of GPUs is given back
# whether or not the work on it has ended; what a plan asks CUB about its sort is not what is allocated. What fails while a GPU starts in the
# background fails once more, and is reported, where it is used.
TOLERATED_IN = {("cuda", "cudaStreamSynchronize"): ("destroy", "lloyd_cuda_visit"),
                ("cuda", "cudaGetLastError"): ("sorter_bytes", "list_far"),
                ("cuda", "cudaMemGetInfo"): ("start_gpu",),
                ("read", "read"): ("pid_place",),  # of which machine is a process number? then none is known to have ended
                # the file is then synced without a thread; optimised, these functions are part of the last one
                ("alloc", "posix_memalign"): ("sync_soon", "write_image"),
                # of a duplicate, of which fsync() has told all there is to tell
                ("write", "close"): ("free_syncing", "write_image")}


class Command:
    """A row of the table. `arguments` may name IN (the inputs' folder); files are made in the run's own folder."""

    def __init__(self, name, arguments, output=None, datasets=EXACT, ranks=(1, 2), also=(), checkpoint=None, in_memory=False):
        self.name, self.arguments, self.output, self.datasets, self.ranks = name, arguments.split(), output, datasets, ranks
        self.also = set(also)  # files that may be there afterwards, whatever happens
        self.checkpoint = checkpoint  # of the inputs: the old one, copied to CHECKPOINT
        self.in_memory = in_memory  # the arguments are those of rows.c


# Notes and warnings, which are no message of a failure.
REPLACES, GOES_ON, NOT_WRITTEN = "and will be replaced", "resuming from", "no checkpoint was written"
WITHOUT_LABELS = "the model without its labels is in"
OF_ROWS = ("/labels", "/distances", "/members", "/offsets")  # and what else it is without
NOTES = (REPLACES, GOES_ON, NOT_WRITTEN, "a checkpoint was written", WITHOUT_LABELS, "nothing is lost",
         "the pass that has begun is finished", "and more if there is time")  # of a rank that the launcher stops, since another has failed

DAMAGED = "is no whole checkpoint"
CHECKPOINT = "fit.ck"
SAVING = f"--checkpoint {CHECKPOINT} --checkpoint-every 1 --output model.h5 --progress none"
FROM_START = f"fit --input IN/a.h5 -k 3 --n-init 2 --max-iters 1 {SAVING}"
ONWARDS = f"fit --input IN/a.h5 -k 3 --resume {SAVING} --max-iters"
SPLIT = f"split --model IN/clusters.h5 --input IN/a.h5 -k 2 --max-iters 2 --output model.h5 --checkpoint {CHECKPOINT} --progress none"
PARTS = ("/centroids", "/labels", "/counts", "/parents")

COMMANDS = [
    Command("fit", "fit --input IN/a.h5 -k 3 --max-iters 3 --output model.h5 --log log.jsonl --progress none",
            "model.h5", also=["log.jsonl"]),
    Command("fit, streamed", "fit --input IN/a.h5 --input IN/b.h5 -k 9 --init kmeans-parallel --weights weights "
            "--chunk-rows 40 --max-iters 2 --output model.h5 --progress none", "model.h5"),
    Command("fit, from a model", "fit --input IN/a.h5 -k 12 --init IN/given.h5 --metric cosine --max-iters 2 "
            "--output model.h5 --progress none", "model.h5"),
    Command("fit, empty clusters", "fit --input IN/same.h5 -k 9 --init kmeans++ --max-iters 2 --output model.h5 "
            "--progress none", "model.h5"),
    Command("fit, with checkpoints", FROM_START, "model.h5", checkpoint="ended.ck"),
    Command("fit, resumed", f"{ONWARDS} 2", "model.h5", checkpoint="begun.ck"),
    Command("fit, resumed in its second start", f"{FROM_START} --resume", "model.h5", checkpoint="ended.ck"),
    Command("fit, rows in memory", "float64 given", in_memory=True),
    Command("fit, rows in memory, seeded", "float32 kmeans-parallel", in_memory=True),
    Command("predict", "predict --model IN/given.h5 --input IN/a.h5 --input IN/b.h5 --output labels.h5 --distances",
            "labels.h5", ("/labels", "/distances")),
    Command("fit, with members", "fit --input IN/a.h5 -k 3 --max-iters 1 --output model.h5 --distances --members --progress none",
            "model.h5", (*EXACT, "/distances", "/members", "/offsets")),
    Command("fit, of limited size", "fit --input IN/a.h5 -k 6 --init random --max-iters 1 --max-size 1 --output model.h5 --members "
            "--progress none", "model.h5", (*EXACT, "/members", "/offsets")),
    Command("predict, with members", "predict --model IN/given.h5 --input IN/a.h5 --output labels.h5 --members --second",
            "labels.h5", ("/labels", "/second/labels", "/second/distances", "/members", "/offsets")),
    Command("predict, of other formats", "predict --model IN/given.h5 --input IN/raw.fbin --input IN/x.fvecs --input IN/x.npy "
            "--output labels.h5", "labels.h5", ("/labels",), ranks=(1,)),
    Command("select", "select IN/clusters.h5 IN/level.h5 --input IN/a.h5 --near-duplicates 0.9 --sample 7 --output rows.h5 "
            "--max-host-memory 500M --progress none", "rows.h5", ("/rows",)),
    Command("split", "split --model IN/clusters.h5 --input IN/a.h5 -k 2 --max-iters 2 --output model.h5 --distances --members "
            "--progress none", "model.h5", ("/centroids", "/labels", "/counts", "/parents", "/distances", "/members")),
    Command("split, with checkpoints", SPLIT, "model.h5", PARTS, checkpoint="split.ck"),
    Command("split, resumed", f"{SPLIT} --resume", "model.h5", PARTS, checkpoint="split.ck"),
    Command("info", "info IN/given.h5", ranks=(1,)),
    Command("info of rows", "info IN/b.h5", ranks=(1,)),
    Command("report", "report IN/given.h5 -o page.html --log IN/given.jsonl", ranks=(1,), also=["page.html"]),
    Command("synth", "synth --rows 50 --dim 3 --clusters 2 --type uint8 --seed 1 --output x.h5", "x.h5", ("/train",)),
    Command("wrap", "wrap IN/raw.fbin IN/raw.fbin --output x.h5", "x.h5", ("/train",), ranks=(1,)),
]


def what_is_in(path):
    """All that a checkpoint holds but for the seconds, to be compared."""
    with h5py.File(path, "r") as file:
        parts = [f"{name} {file.attrs[name]}" for name in sorted(file.attrs)]

        def visit(name, item):
            if isinstance(item, h5py.Dataset) and not name.endswith("seconds"):
                parts.append(f"{name} {item.dtype}{item.shape} {item[()].tobytes().hex()}")

        file.visititems(visit)
        return "\n".join(parts)


class Loops:
    def __init__(self, t, options):
        self.t, self.options = t, options
        self.program, self.rows = os.path.abspath(options.faults), os.path.abspath(options.rows)
        self.inputs = t.path("inputs")
        self.tolerated, self.runs, self.reached = {}, 0, 0
        self.paths = set()  # on which a call has failed; on several ranks, those that could have
        self.resumed = {}  # what a checkpoint holds: what is wrong with resuming from it

    def make_inputs(self):
        os.mkdir(self.inputs)
        weights = np.linspace(0.5, 2, 60).astype(np.float32)
        x = data.gaussian(60, 5, 1)
        data.write(f"{self.inputs}/a.h5", x, weights=weights)
        data.write(f"{self.inputs}/b.h5", data.gaussian(40, 5, 2), weights=weights[:40], chunks=(16, 5), compression="gzip")
        data.write(f"{self.inputs}/same.h5", data.duplicated(40, 5, 4, 3))
        with open(f"{self.inputs}/raw.fbin", "wb") as file:
            file.write(np.array(x.shape, np.uint32).tobytes() + x.tobytes())
        np.hstack([np.full((60, 1), 5, np.int32).view(np.float32), x]).tofile(f"{self.inputs}/x.fvecs")
        np.save(f"{self.inputs}/x.npy", x)
        made = self.t.run([self.program, "fit", "--input", f"{self.inputs}/a.h5", "-k", "12", "--metric", "cosine", "--output",
                           f"{self.inputs}/given.h5", "--log", f"{self.inputs}/given.jsonl", "--progress", "none"])
        self.t.check(made.status == 0, "a cosine model to start from", made.describe())
        for name, line in (("clusters.h5", f"{self.inputs}/a.h5 -k 6 --members"), ("level.h5", f"{self.inputs}/clusters.h5:/centroids -k 2")):
            made = self.t.run([self.program, "fit", "--input", *line.split(), "--output", f"{self.inputs}/{name}", "--progress", "none"])
            self.t.check(made.status == 0, f"{name}, to select from", made.describe())
        for name, line in (("ended.ck", FROM_START), ("begun.ck", f"{ONWARDS} 1"), ("split.ck", SPLIT)):
            made = self.t.run([self.program, *line.replace("IN/", self.inputs + "/").split()], cwd=self.inputs)
            self.t.check(made.status == 0, f"{name}, a checkpoint to start from", made.describe())
            os.rename(os.path.join(self.inputs, CHECKPOINT), os.path.join(self.inputs, name))

    def run(self, command, ranks, fault=None):
        """One run in a folder of its own. Returns (result, folder, lines of the fault log)."""
        folder = tempfile.mkdtemp(dir=self.t.directory)
        if command.output:
            shutil.copy(f"{self.inputs}/given.h5", os.path.join(folder, command.output))
        if command.checkpoint:
            shutil.copy(f"{self.inputs}/{command.checkpoint}", os.path.join(folder, CHECKPOINT))
        line = [self.rows if command.in_memory else self.program]
        line += [a.replace("IN/", self.inputs + "/") for a in command.arguments]
        if self.options.backend and line[1] in ("fit", "predict", "split"):
            line += ["--backend", self.options.backend]
        if ranks > 1:
            line = self.t.mpirun + ["-n", str(ranks)] + line
        log = folder + ".log"
        variables = [f"LLOYD_FAULT_LOG={log}"] + ([f"LLOYD_FAULT={fault}"] if fault else [])
        result = self.t.run(["env", *variables, *line], cwd=folder, timeout=TIME_LIMIT)
        lines = []
        if os.path.exists(log):
            with open(log, encoding="utf-8") as file:
                lines = [text.split() for text in file]
            os.unlink(log)
        return result, folder, lines

    def judge_failure(self, command, kind, result, folder):
        """What is wrong with a run that has failed, as it must have."""
        wrong = []
        if result.status not in STATUS[kind]:
            wrong.append(f"status {result.status}, not one of {STATUS[kind]}")
        messages = [text for text in result.messages if not any(note in text for note in NOTES)]
        if len(messages) != 1:
            wrong.append(f"{len(messages)} messages")
        if command.output:
            path = os.path.join(folder, command.output)
            if digest(path) != self.earlier and differences(self.good, path, command.datasets):
                wrong.append("the earlier output is neither kept nor replaced by the whole result")
        if command.in_memory and kind != "mpi" and result.out != self.printed:
            wrong.append("a second attempt does not give the result")
        if command.checkpoint and "--resume" in command.arguments and GOES_ON not in result.err:
            if digest(os.path.join(folder, CHECKPOINT)) != digest(f"{self.inputs}/{command.checkpoint}"):
                wrong.append("changes a checkpoint that it has not gone on from")
            if digest(path) != self.earlier:
                wrong.append("writes a model without resuming from the checkpoint")
        return wrong

    def judge_checkpoint(self, command, folder):
        """What is wrong with the checkpoint that is there afterwards, and with resuming from it."""
        path = os.path.join(folder, CHECKPOINT)
        if not os.path.exists(path):
            return ["the checkpoint is gone"]
        if digest(path) != digest(f"{self.inputs}/{command.checkpoint}"):
            shown = self.t.run([self.t.lloyd_path, "info", path])
            if shown.status != 0:
                return ["the checkpoint is neither the old one nor a whole one: " + " ".join(shown.messages)]
        key = command.name, what_is_in(path)
        if key not in self.resumed:
            arguments = [a.replace("IN/", self.inputs + "/") for a in command.arguments if a != "--resume"]
            output = f"{path}.resumed.h5"
            arguments[arguments.index(command.output)] = output
            arguments[arguments.index(CHECKPOINT)] = shutil.copy(path, f"{path}.copy")
            done = self.t.run([self.t.lloyd_path, *arguments, "--resume"], cwd=folder)
            if done.status != 0 or GOES_ON not in done.err:
                self.resumed[key] = ["--resume does not go on from the checkpoint: " + " ".join(done.messages)]
            else:
                self.resumed[key] = [text for text in [differences(self.good, output, command.datasets)] if text]
        return self.resumed[key]

    def judge(self, command, kind, result, folder, lines):
        """(what is wrong, the call that failed or None, where it was made)"""
        call, place = next(((line[4], line[5]) for line in lines if line[0] == "fault"), (None, None))
        wrong = []
        if result.timed_out:
            wrong.append(f"still running after {TIME_LIMIT} s")
        elif "Sanitizer" in result.err or "runtime error" in result.err:
            wrong.append("found by a sanitizer")
        elif result.status != 0:
            wrong += self.judge_failure(command, kind, result, folder) if call else ["fails, but no call was made to"]
        else:
            tolerated = (kind, call) in TOLERATED or (kind, call, command.arguments[0]) in TOLERATED
            if (kind, call) in TOLERATED_IN:
                where = self.where(command, place)
                tolerated = any(function in where for function in TOLERATED_IN[kind, call])
            if call and not tolerated and not (command.checkpoint and NOT_WRITTEN in result.err):
                wrong.append("succeeds")
            if command.checkpoint and "--resume" in command.arguments and GOES_ON not in result.err:
                wrong.append("starts anew")
            if command.output:
                path = os.path.join(folder, command.output)
                wrong += [text for text in [differences(self.good, path, command.datasets)] if text]
            elif result.out != self.printed and "storage unknown" not in result.out:
                wrong.append("prints something else")
        left = set(os.listdir(folder)) - command.also - {command.output, CHECKPOINT}
        if kind == "mpi":  # all ranks are ended: nobody is left to tidy up
            left -= {name for name in left if name.endswith(".part")}
        if call in ("asprintf", "unlink") and result.status == 0:  # in the look at the checkpoint's folder
            left -= {name for name in left if name.startswith(CHECKPOINT) and name.endswith(".part")}
        rescued = f"{command.output}.no-labels"
        if rescued in left and WITHOUT_LABELS in result.err and result.status == 1:
            left.remove(rescued)
            names = [name for name in command.datasets if name not in OF_ROWS]
            wrong += [text for text in [differences(self.good, os.path.join(folder, rescued), names)] if text]
        if left and not result.timed_out:
            wrong.append(f"left behind: {sorted(left)}")
        if DAMAGED in result.err:
            wrong.append("calls a whole checkpoint damaged")
        if command.checkpoint and not result.timed_out:
            wrong += self.judge_checkpoint(command, folder)
        return wrong, call, place

    def where(self, command, places):
        """The functions and lines of places in the command's program."""
        program = self.rows if command.in_memory else self.program
        if places is None:
            return "no call"
        found = self.t.run(["addr2line", "-f", "-i", "-s", "-e", program, *places.split(",")]) if shutil.which("addr2line") else None
        return " ".join(found.out.split()) if found else places

    def attempt(self, command, ranks, kind, n, rank):
        result, folder, lines = self.run(command, ranks, f"{kind}:{n}:{rank}")
        wrong, call, place = self.judge(command, kind, result, folder, lines)
        shutil.rmtree(folder)
        return n, rank, result, wrong, call, place

    def path(self, command, kind, line):
        return (command.in_memory, kind, line[4], *line[5].split(",")[:PATH]) if len(line) > 5 else None

    def new_paths(self, command, kind, lines):
        """The numbers of the calls to try on one rank."""
        numbers, others = [], 0
        for line in lines:
            if line[0] != "call" or line[1] != kind:
                continue
            path = self.path(command, kind, line)
            others += path in self.paths
            if path not in self.paths or others % OTHERS == 0:
                numbers.append(int(line[2]))
            self.paths.add(path)
        return numbers

    def part_of_paths(self, command, kind, lines):
        """The (n, rank) to try on several ranks, of those that are the first on a path, each on another of the ranks that go it."""
        first = {}
        for line in sorted((line for line in lines if line[0] == "call" and line[1] == kind), key=lambda line: (int(line[2]), line[3])):
            first.setdefault(self.path(command, kind, line), {}).setdefault(int(line[3]), int(line[2]))
        tries = []
        for path, calls in first.items():
            if path in self.paths:
                continue
            if len(self.paths) % PATHS_OF_RANKS == 0:
                rank = sorted(calls)[len(self.paths) // PATHS_OF_RANKS % len(calls)]
                tries.append((calls[rank], rank))
            self.paths.add(path)
        return tries

    def points(self, command, kind, lines, ranks):
        """The (n, rank) to try; with --stride on several ranks every n on one of those that get so far, in turns."""
        if not self.options.stride:
            return [(n, 0) for n in self.new_paths(command, kind, lines)] if ranks == 1 else self.part_of_paths(command, kind, lines)
        counts = {(line[1], int(line[3])): int(line[2]) for line in lines if line[0] == "calls"}
        most = max(counts.get((kind, r), 0) for r in range(ranks))
        tries = []
        for i, n in enumerate(range(1, most + 1, self.options.stride)):
            able = [r for r in range(ranks) if n <= counts.get((kind, r), 0)]
            tries.append((n, able[i % len(able)]))
        return tries

    def loop(self, command, ranks):
        name = f"{command.name}, {ranks} rank{'s' if ranks > 1 else ''}"
        result, folder, lines = self.run(command, ranks, "none")
        if not self.t.check(result.status == 0, f"{name}: without a fault", result.describe()):
            return
        self.printed, self.earlier = result.out, digest(f"{self.inputs}/given.h5")
        self.good = os.path.join(folder, command.output) if command.output else None
        for kind in self.options.kinds.split(","):
            points = self.points(command, kind, lines, ranks)
            if not points:
                continue
            with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
                done = list(pool.map(lambda p, k=kind: self.attempt(command, ranks, k, *p), points))
            failed, text = [], ""
            for n, rank, result, wrong, call, place in done:
                self.runs += 1
                self.reached += call is not None
                if call and result.status == 0 and not wrong:
                    self.tolerated[kind, call] = self.tolerated.get((kind, call), 0) + 1
                if wrong:
                    failed.append(n)
                    text += f"      {kind}:{n}:{rank} ({call} in {self.where(command, place)}): {'; '.join(wrong)}\n{result.describe()}\n"
            self.t.check(not failed, f"{name}: {len(points)} times {kind}", text)
        shutil.rmtree(folder)


def main():
    def more(parser):
        parser.add_argument("--faults", required=True, help="the program with calls that fail")
        parser.add_argument("--ranks", type=int, default=1)
        parser.add_argument("--kinds", default="alloc,read,write,rename,mpi")
        parser.add_argument("--rows", required=True, help="the one with rows in memory")
        parser.add_argument("--stride", type=int, help="try every so many-th call; without, see above")
        parser.add_argument("--backend", help="for fit, predict and split")
        parser.add_argument("--only", help="one command of the table")
        parser.add_argument("--jobs", type=int, default=2, help="runs at a time")

    t = Test("faults", more)
    loops = Loops(t, t.options)
    if t.options.backend == "cuda":
        t.skip_without_gpu()
    loops.make_inputs()
    for command in COMMANDS:
        if t.options.backend and (command.checkpoint or command.in_memory):
            continue  # nothing of theirs is on a GPU
        if t.options.ranks in command.ranks and t.options.only in (None, command.name):
            loops.loop(command, t.options.ranks)
    print(f"{loops.runs} runs, {loops.reached} with a call that failed (on {len(loops.paths)} paths), of these tolerated: " +
          (", ".join(f"{call} ({kind}) {count}" for (kind, call), count in sorted(loops.tolerated.items())) or "none"))
    t.check(loops.reached > 0, "calls were made to fail")
    t.finish()


if __name__ == "__main__":
    main()
