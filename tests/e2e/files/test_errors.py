"""What goes wrong, and what is reported: one sentence, the right exit status, no hang, nothing overwritten.

Every case runs alone and on three ranks. Its output is an existing, earlier model, which must stay as it is to the byte.
"""
import os
import resource
import shutil

import h5py
import numpy as np

import data
from common import Test, digest

TIME_LIMIT = 60


class Errors:
    def __init__(self, t, good):
        self.t, self.good = t, good
        self.target = t.path("earlier.h5")
        shutil.copy(good, self.target)
        self.before = digest(self.target)

    def refused(self, what, arguments, statuses, contains=(), ranks=(1, 3), **more):
        """lloyd ends with one of these statuses and one message that contains these texts, whatever the number of ranks."""
        statuses = (statuses,) if isinstance(statuses, int) else statuses
        for count in ranks[:1] if self.t.quick and len(ranks) > 1 and hash_of(what) % 3 else ranks:
            result = self.t.lloyd(*arguments, ranks=count, timeout=TIME_LIMIT, **more)
            text = " ".join(result.messages)
            wrong = []
            if result.timed_out:
                wrong.append(f"still running after {TIME_LIMIT} s")
            elif result.status not in statuses:
                wrong.append(f"status {result.status}, not {' or '.join(map(str, statuses))}")
            if len(result.messages) != 1:
                wrong.append(f"{len(result.messages)} messages, not one")
            for part in contains:
                options = part if isinstance(part, tuple) else (part,)
                if not any(option.lower() in text.lower() for option in options):
                    wrong.append(f"no word of {' or '.join(options)}")
            if digest(self.target) != self.before:
                wrong.append("the earlier output is changed")
                with open(self.target, "wb") as file:
                    file.write(self.before)
            if left := [name for name in os.listdir(self.t.directory) if ".part" in name]:
                wrong.append(f"left behind: {left}")
                for name in left:
                    os.remove(self.t.path(name))
            self.t.check(not wrong, f"{what}, {count} rank{'s' * (count > 1)}: {text[7:]}",
                         "      " + "; ".join(wrong) + "\n" + result.describe())

    def fit(self, what, inputs, statuses, contains=(), options=(), k=2, output=None, **more):
        arguments = ["fit", "-k", k, "--output", output or self.target, *options]
        for name in [inputs] if isinstance(inputs, str) else inputs:
            arguments += ["--input", name]
        self.refused(what, arguments, statuses, contains, **more)


def hash_of(text):
    """The same in every run, unlike hash()."""
    return sum(text.encode())


def wrong_files(e, t, good):
    absent = t.path("absent.h5")
    text = t.path("text.h5")
    with open(text, "w", encoding="utf-8") as file:
        file.write("1,2,3\n" * 1000)
    empty = t.path("empty.h5")
    open(empty, "wb").close()
    e.fit("missing file", absent, 3, ["absent.h5"])
    e.fit("missing second file", [good, absent], 3, ["absent.h5"])
    e.fit("glob without a match", t.path("nothing-*.h5"), 3, ["nothing-*.h5"])
    e.fit("not HDF5", text, 3, ["text.h5", "HDF5"])
    e.fit("empty file", empty, 3, ["empty.h5"])
    e.fit("a directory", t.directory, 3, [t.directory])
    e.fit("no such dataset", good + ":/nope", 3, ["nope", "good.h5"])

    several = t.path("several.h5")
    with h5py.File(several, "w") as file:
        file["a"] = np.ones((5, 2), np.float32)
        file["b"] = np.ones((5, 2), np.float32)
        file["group/train"] = np.ones((5, 2), np.float32)
    e.fit("two candidates, no /train", several, 3, ["several.h5"])
    e.fit("a group for a dataset", several + ":/group", 3, ["several.h5", "group"])

    cut = t.path("cut.h5")
    with open(good, "rb") as file:
        whole = file.read()
    with open(cut, "wb") as file:
        file.write(whole[:len(whole) // 2])
    e.fit("truncated file", cut, 3, ["cut.h5"])
    chunked = data.write(t.path("cut-chunked.h5"), data.gaussian(5000, 8, 1), chunks=(100, 8), compression="gzip")
    whole = digest(chunked)
    with open(chunked, "r+b") as file:
        file.truncate(len(whole) * 2 // 3)
    e.fit("truncated chunked file", chunked, 3, ["cut-chunked.h5"])
    corrupt = data.write(t.path("corrupt.h5"), data.gaussian(5000, 8, 1), chunks=(100, 8), compression="gzip",
                         fletcher32=True)
    with open(corrupt, "r+b") as file:
        file.seek(os.path.getsize(corrupt) * 2 // 3)
        file.write(b"\xff" * 2000)
    e.fit("a damaged chunk", corrupt, (1, 3), ["corrupt.h5"])


def wrong_types(e, t, good):
    made = t.path("types.h5")
    with h5py.File(made, "w") as file:
        file["line"] = np.ones(100, np.float32)
        file["cube"] = np.ones((10, 10, 10), np.float32)
        file["scalar"] = np.float32(1)
        file["words"] = np.array([[b"one", b"two"], [b"three", b"four"]])
        file.create_dataset("variable", data=[["one", "two"]], dtype=h5py.string_dtype())
        file["pairs"] = np.zeros((10, 2), [("x", np.float32), ("y", np.float32)])
        file["long"] = np.ones((10, 2), np.int64)
        file["short"] = np.ones((10, 2), np.int16)
        file["complex"] = np.ones((10, 2), np.complex64)
        file["none"] = np.ones((0, 2), np.float32)
        file["thin"] = np.ones((10, 0), np.float32)
        file["null"] = h5py.Empty(np.float32)
    e.fit("one dimension", made + ":/line", 3, ["types.h5", "line"])
    e.fit("three dimensions", made + ":/cube", 3, ["types.h5", "cube"])
    e.fit("a scalar", made + ":/scalar", 3, ["types.h5", "scalar"])
    e.fit("strings", made + ":/words", 3, ["words", "string"])
    e.fit("variable strings", made + ":/variable", 3, ["variable", "string"])
    e.fit("compound", made + ":/pairs", 3, ["pairs", "compound"])
    e.fit("complex", made + ":/complex", 3, ["types.h5"])
    e.fit("int64", made + ":/long", 3, ["long", ("int64", "64-bit integer"), "float32"])
    e.fit("int16", made + ":/short", 3, ["short", ("int16", "16-bit integer")])
    e.fit("zero rows", made + ":/none", 3, ["none"])
    e.fit("zero columns", made + ":/thin", 3, ["thin"])
    e.fit("null dataspace", made + ":/null", 3, ["null"])

    wide = data.write(t.path("wide.h5"), data.gaussian(50, 9, 2))
    other = data.write(t.path("other.h5"), data.gaussian(50, 8, 2), dtype=np.float16)
    e.fit("another number of columns", [good, wide], 3, ["wide.h5", "8", "9"])
    e.fit("another type", [good, other], 3, ["other.h5", "float16"])


def not_finite(e, t):
    """The first bad row in global order, by file and row."""
    def parts(name, places, dtype=np.float32, value=np.nan):
        files = []
        for p in range(3):
            x = data.gaussian(100, 8, p).astype(np.float64)
            for part, row, column in places:
                if part == p:
                    x[row, column] = value
            files.append(data.write(t.path(f"{name}-{p}.h5"), x, dtype=dtype))
        return files

    e.fit("NaN in the middle file", parts("nan", [(1, 37, 3)]), 3, ["nan-1.h5", ("row 37", "row 137")])
    e.fit("Inf in the last row", parts("inf", [(2, 99, 7)], value=np.inf), 3, ["inf-2.h5", ("row 99", "row 299")])
    e.fit("-Inf in the first row", parts("first", [(0, 0, 0)], value=-np.inf), 3, ["first-0.h5", "row 0"])
    several = parts("several", [(2, 3, 0), (1, 80, 1), (1, 79, 7), (2, 99, 0)])
    e.fit("several NaN, the first is named", several, 3, ["several-1.h5", ("row 79", "row 179")], ranks=(1, 3, 5))
    e.fit("several NaN, in chunks", several, 3, ["several-1.h5", ("row 79", "row 179")], ["--chunk-rows", 7],
          ranks=(1, 3))
    e.fit("NaN in float16", parts("half", [(1, 5, 3)], np.float16), 3, ["half-1.h5", ("row 5", "row 105")])
    e.fit("NaN in bfloat16", parts("brain", [(1, 5, 3)], "bfloat16"), 3, ["brain-1.h5", ("row 5", "row 105")])
    # The note that float64 is rounded would be a second line; a value beyond float32 is still an error.
    result = t.lloyd("fit", "-k", 2, "--output", e.target, "--input", parts("wide", [(1, 5, 3)], np.float64, 1e300)[1])
    t.check(result.status == 3 and "wide-1.h5" in result.err and "row 5" in result.err,
            "float64 beyond the range of float32", result.describe())


def wrong_output(e, t, good):
    e.fit("no such directory", good, 1, ["nowhere"], output=t.path("nowhere/m.h5"))
    e.fit("a directory below a file", good, 1, ["good.h5"], output=os.path.join(good, "m.h5"))
    e.fit("output is a directory", good, 1, [t.directory], output=t.directory)
    if os.path.isdir("/proc/self"):
        e.fit("a directory nobody can write", good, 1, ["/proc/lloyd.h5"], output="/proc/lloyd.h5")
    e.fit("output is the input", good, 2, ["good.h5"], output=good)
    second = data.write(t.path("second.h5"), data.gaussian(50, 8, 2))
    e.fit("output is the second input", [good, second], 2, ["second.h5"], output=second)
    link = t.path("link.h5")
    os.symlink(good, link)
    e.fit("output is a link to the input", good, 2, ["link.h5"], output=link)
    hard = t.path("hard.h5")
    os.link(good, hard)
    e.fit("output is another name of the input", good, 2, ["hard.h5"], output=hard)
    init = data.centroids(t.path("init-and-output.h5"), data.gaussian(2, 8, 3))
    before = digest(init)
    result = t.lloyd("fit", "--input", good, "-k", 2, "--init", init, "--output", init, timeout=TIME_LIMIT)
    same = digest(init) == before
    t.check((result.status == 0 and not same) or (result.status == 2 and same),
            "output is the initial model: replaced whole or refused", result.describe())

    # A limit on the size of files stands in for a full disk.
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))

    large = data.write(t.path("large.h5"), data.gaussian(20000, 8, 4))
    e.fit("the disk is full", large, 1, ["earlier.h5"], ranks=(1,), preexec_fn=limit, restore_signals=False)


def wrong_usage(e, t, good):
    fit = ["fit", "--input", good, "-k", 2, "--output", e.target]
    e.refused("no command", [], 2)
    e.refused("unknown command", ["cluster"], 2, ["cluster"])
    e.refused("typo in a command", ["fti", *fit[1:]], 2, ["fti", "fit"])
    e.refused("typo in an option", [*fit, "--max-iter", 5], 2, ["--max-iter", "--max-iters"])
    e.refused("typo in --chunk-rows", [*fit, "--chunkrows", 5], 2, ["--chunk-rows"])
    e.refused("unknown option", [*fit, "--frobnicate", 5], 2, ["--frobnicate"])
    e.refused("option without value at the end", [*fit, "--seed"], 2, ["--seed"])
    e.refused("option without value in the middle", ["fit", "--input", "-k", 2, "--output", e.target], 2, ["--input"])
    e.refused("no --input", ["fit", "-k", 2, "--output", e.target], 2, ["--input"])
    e.refused("no -k", ["fit", "--input", good, "--output", e.target], 2, ["-k"])
    e.refused("no --output", ["fit", "--input", good, "-k", 2], 2, ["--output"])
    e.refused("an argument too many", [*fit, "more"], 2, ["more"])
    for option, values in {"-k": ("0", "-3", "two", "1.5", "", "99999999999999999999", "0x10", "5 "),
                           "--seed": ("x", "-", "18446744073709551616"), "--max-iters": ("-1", "many"),
                           "--n-init": ("0", "-1"), "--tol": ("nan", "-0.1", "small", "inf"),
                           "--chunk-rows": ("-1", "lots"), "--timeout": ("0", "soon", "10x", "5mm", "1.2.3", "m"),
                           "--metric": ("manhattan",), "--empty": ("drop",),
                           "--backend": ("tpu",), "--comm": ("carrier-pigeon",), "--progress": ("loud",)}.items():
        for value in values:
            arguments = ["fit", "--input", good, "--output", e.target]
            arguments += [] if option == "-k" else ["-k", 2]
            e.refused(f"{option} '{value}'", [*arguments, option, value], 2, [option], ranks=(1,))
    e.refused("bad value on three ranks", [*fit, "--tol", "small"], 2, ["--tol"], ranks=(3,))
    e.fit("K > N", good, (2, 3), ["301", "300"], k=301)
    e.fit("K far beyond N", good, (2, 3), ["300"], k=2000000000)


def wrong_jobs(e, t, good):
    """Cosine, weights, initial models."""
    x = data.gaussian(100, 8, 1)
    x[61] = 0
    zero = data.write(t.path("zero.h5"), x)
    e.fit("a zero row with cosine", [good, zero], 3, ["zero.h5", ("row 61", "row 361")], ["--metric", "cosine"])

    ones = np.ones(100, np.float32)

    def weighted(name, weights):
        return data.write(t.path(name), data.gaussian(100, 8, 2), weights=weights)

    def changed(value):
        weights = ones.copy()
        weights[42] = value
        return weights

    options = ["--weights", "weights"]
    good_weights = weighted("weights-good.h5", ones)
    for name, weights in (("negative", changed(-1)), ("nan", changed(np.nan)), ("inf", changed(np.inf))):
        files = [good_weights, weighted(f"weights-{name}.h5", weights)]
        e.fit(f"{name} weight", files, 3, [f"weights-{name}.h5", ("row 42", "row 142")], options)
    e.fit("all weights zero", weighted("weights-zero.h5", ones * 0), 3, ["weight"], options)
    e.fit("too few weights", weighted("weights-short.h5", ones[:99]), 3, ["weights-short.h5", "99", "100"], options)
    e.fit("too many weights", [good_weights, weighted("weights-long.h5", np.ones(101))], 3, ["weights-long.h5"], options)
    e.fit("two-dimensional weights", weighted("weights-2d.h5", np.ones((100, 1))), 3, ["weights-2d.h5"], options)
    e.fit("no weights", [good_weights, good], 3, ["good.h5", "weights"], options)
    with h5py.File(weighted("weights-text.h5", None), "a") as file:
        file["weights"] = np.array([b"heavy"] * 100)
    e.fit("weights of strings", t.path("weights-text.h5"), 3, ["weights-text.h5"], options)

    def init(name, c):
        return ["--init", data.centroids(t.path(name), c)]

    c = data.gaussian(2, 8, 3)
    e.fit("initial model of another K", good, (2, 3), ["init-k.h5", "3", "2"], init("init-k.h5", data.gaussian(3, 8, 3)))
    e.fit("initial model of another D", good, (2, 3), ["init-d.h5", "9", "8"], init("init-d.h5", data.gaussian(2, 9, 3)))
    e.fit("initial model with NaN", good, 3, ["init-nan.h5"], init("init-nan.h5", c * np.float32(np.nan)))
    e.fit("initial model missing", good, (2, 3), ["init-absent.h5"], ["--init", t.path("init-absent.h5")])
    e.fit("initial model without /centroids", good, 3, ["good.h5", "centroids"], ["--init", good])
    e.fit("initial model with a zero centroid, cosine", good, 3, ["init-zero.h5"],
          init("init-zero.h5", c * np.float32(0)) + ["--metric", "cosine"])


def other_commands(e, t, good):
    model = data.centroids(t.path("model.h5"), data.gaussian(2, 8, 3))
    wide = t.path("wide.h5")
    absent = t.path("absent.h5")
    predict = ["predict", "--output", e.target]
    e.refused("predict: model missing", [*predict, "--model", absent, "--input", good], 3, ["absent.h5"])
    e.refused("predict: input missing", [*predict, "--model", model, "--input", absent], 3, ["absent.h5"])
    e.refused("predict: another D", [*predict, "--model", model, "--input", wide], 3, ["8", "9"])
    e.refused("predict: no model", [*predict, "--input", good], 2, ["--model"])
    e.refused("predict: not a model", [*predict, "--model", good, "--input", good], 3, ["good.h5", "centroids"])
    e.refused("predict: output is the input", ["predict", "--model", model, "--input", good, "--output", good], 2,
              ["good.h5"])
    taken = data.centroids(t.path("taken.h5"), data.gaussian(2, 8, 3))
    e.refused("predict: output is the model", ["predict", "--model", taken, "--input", good, "--output", taken], 2,
              ["taken.h5"])
    e.refused("predict: NaN", [*predict, "--model", model, "--input", t.path("nan-1.h5")], 3, ["nan-1.h5", "row 37"])
    e.refused("info: missing", ["info", absent], 3, ["absent.h5"])
    e.refused("info: no file", ["info"], 2)
    e.refused("info: not HDF5", ["info", t.path("text.h5")], 3, ["text.h5"])
    e.refused("wrap: missing", ["wrap", t.path("absent.fbin"), "--output", e.target], 3, ["absent.fbin"])
    e.refused("wrap: an HDF5 file", ["wrap", good, "--output", e.target], 3, ["good.h5", "HDF5"])
    e.refused("wrap: unknown ending", ["wrap", t.path("text.h5"), "--output", e.target], 3, ["text.h5", ".fbin"])
    synth = ["synth", "--output", e.target, "--clusters", 3, "--seed", 1]
    e.refused("synth: no rows", [*synth, "--rows", 0, "--dim", 3, "--type", "uint8"], 2, ["--rows"])
    e.refused("synth: unknown type", [*synth, "--rows", 9, "--dim", 3, "--type", "int4"], 2, ["--type", "int4"])
    e.refused("synth: no such directory", ["synth", "--output", t.path("nowhere/x.h5"), "--rows", 9, "--dim", 3,
                                           "--clusters", 3, "--type", "uint8", "--seed", 1], 1, ["nowhere"])


def works(e, t, good):
    """What looks wrong and is not."""
    x = data.gaussian(2, 8, 3)
    few = data.write(t.path("few.h5"), x)
    for k in (1, 2):
        one = t.fit(few, "few-1.h5", "-k", k)
        other = t.fit(few, "few-5.h5", "-k", k, ranks=5)
        t.check_same(f"fewer rows than ranks, K {k}", one, other)
    with h5py.File(t.path("with-empty.h5"), "w") as file:
        file["train"] = np.ones((0, 8), np.float32)
    one = t.fit([good, good], "doubled-1.h5", "-k", 3)
    t.check(one is not None, "the same file twice is twice the rows")
    other = t.fit([good, t.path("with-empty.h5"), good], "doubled-3.h5", "-k", 3, ranks=3)
    t.check_same("a file without rows between two others", one, other)
    again = t.fit(good, "earlier.h5", "-k", 3)
    t.check(again is not None and digest(again) != e.before, "a good run replaces an earlier output")
    for arguments in (["--help"], ["--version"], ["help"], ["fit", "--help"], ["predict", "--help"], ["info", "--help"],
                      ["wrap", "--help"], ["synth", "--help"]):
        for ranks in (1, 3):
            result = t.lloyd(*arguments, ranks=ranks, timeout=TIME_LIMIT)
            t.check(result.status == 0 and result.out and not result.messages, f"lloyd {' '.join(arguments)}, {ranks} ranks",
                    result.describe())


def main():
    t = Test("errors")
    good = data.write(t.path("good.h5"), data.gaussian(300, 8, 0))
    before = digest(good)
    model = t.fit(good, "earlier-model.h5", "-k", 2)
    if model is None:
        t.finish()
    e = Errors(t, model)
    wrong_files(e, t, good)
    wrong_types(e, t, good)
    not_finite(e, t)
    wrong_output(e, t, good)
    wrong_usage(e, t, good)
    wrong_jobs(e, t, good)
    other_commands(e, t, good)
    works(e, t, good)
    t.check(digest(good) == before, "no case has touched the input")
    t.finish()


if __name__ == "__main__":
    main()
