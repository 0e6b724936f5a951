"""What a person is shown: refusals of what makes no sense, the summary, the plan, the report, and what files say of themselves."""
import os
import re

import h5py
import numpy as np

import data
from common import Test, read


def same_start(t):
    """Several runs that all begin with the centroids of a model are one run, several times."""
    source = t.data("digits.h5")
    model = t.fit(source, "first.h5", "-k", 10, "--max-iters", 1)
    for ranks in (1, 2):
        result = t.lloyd("fit", "--input", source, "-k", 10, "--init", model, "--n-init", 3, "--output", t.path("same.h5"), ranks=ranks)
        t.check(result.status == 2 and len(result.messages) == 1 and "--n-init 3 with --init" in result.messages[0]
                and not os.path.exists(t.path("same.h5")), f"--init MODEL --n-init 3 is refused, {ranks} ranks", result.describe())
    t.fit(source, "same.h5", "-k", 10, "--init", model, "--n-init", 1, "--max-iters", 1)


def short_output(t):
    """-o is --output for every command that writes a file."""
    source, raw = t.data("digits.h5"), t.path("x.npy")
    np.save(raw, data.gaussian(20, 3, 1))
    for name, words in (("fit", ("fit", "--input", source, "-k", 3, "--max-iters", 1)),
                        ("predict", ("predict", "--model", t.path("fit-o.h5"), "--input", source)),
                        ("report", ("report", t.path("fit-o.h5"))), ("wrap", ("wrap", raw)),
                        ("synth", ("synth", "--rows", 9, "--dim", 2, "--clusters", 2))):
        output = t.path(f"{name}-o.h5")
        result = t.lloyd(*words, "-o", output)
        t.check(result.status == 0 and os.path.exists(output), f"lloyd {name} -o", result.describe())


def seconds(text):
    return float(text.replace(",", ""))


def resumed(t):
    """The summary of a resumed fit keeps apart what was done now and what was done before."""
    source, model = t.data("sift-20k.h5"), t.path("parts.h5")
    command = ("fit", "--input", source, "-k", 64, "--checkpoint", t.path("parts.ck"), "--output", model, "--log", t.path("parts.jsonl"))
    first = t.lloyd(*command, "--max-iters", 5)
    t.check(re.search(r"^  time        \S+ s in all, \S+ s per iteration$", first.out, re.M) and "resumed" not in first.out,
            "the summary of a fit that is not resumed: one line of time", first.describe())
    for ranks, iterations, own in ((1, 9, "iterations 5 to 9"), (2, 9, "iteration 9")):
        result = t.lloyd(*command, "--max-iters", iterations, "--resume", ranks=ranks)
        found = re.search(r"^  time        (\S+) s since it was resumed, (\S+) s per iteration \((.*)\)\n"
                          r"              before that (\S+) s in iterations 1 to (\d+), (\S+) s per iteration$", result.out, re.M)
        if not t.check(found, f"resumed, {own}: two lines of time", result.describe()):
            continue
        total, each, which, before, last = seconds(found[1]), seconds(found[2]), found[3], seconds(found[4]), int(found[5])
        took = read(model, "/history/seconds")
        t.check(which == own and last == iterations - len(took[last:]), f"resumed, {own}: which iterations", found[0])
        t.check(abs(each - took[last:].mean()) < 0.006 * each and abs(before - took[:last].sum()) < 0.006 * before
                and total > took[last:].sum() * 0.99, f"resumed, {own}: the seconds are those of the history",
                f"      {took}\n      {found[0]}")
    page = t.path("parts.html")
    t.lloyd("report", model, "--output", page)
    with open(page, encoding="utf-8") as file:
        t.check("s in all</dd>" in file.read().replace("\u00a0", " "), "report: with the whole log, the time in all")
    with open(t.path("parts.jsonl"), encoding="utf-8") as file:  # as if --log had come with --resume
        log = file.read()
    begins = [found.start() for found in re.finditer(r'^{"event":"begin"', log, re.M)]
    with open(t.path("parts.jsonl"), "w", encoding="utf-8") as file:
        file.write(log[begins[-1]:])
    t.lloyd("report", model, "--output", page)
    with open(page, encoding="utf-8") as file:
        text = file.read().replace("\u00a0", " ")
    t.check("s since it was resumed</dd>" in text and "from where it was resumed" in text,
            "report: with a part of the log, the time of that part")


def nothing_left(t):
    """As many clusters as rows: what is left is rounding, and no share of it is a decrease or a rise."""
    for metric in ("l2", "cosine"):
        source = data.write(t.path("each.h5"), data.gaussian(100, 8, 2))
        result = t.lloyd("fit", "--input", source, "-k", 100, "--metric", metric, "--output", t.path("each-model.h5"))
        lines = [line for line in (result.out + result.err).splitlines() if "inertia" in line]
        t.check(result.status == 0 and len(lines) >= 2 and not [line for line in lines if re.search(r"[-+][0-9.e-]+ ?%", line)],
                f"K = N, {metric}: no percentage of nothing", result.describe())
        t.lloyd("report", t.path("each-model.h5"), "--output", t.path("each.html"))
        with open(t.path("each.html"), encoding="utf-8") as file:
            t.check("compared with the first" not in file.read(), f"K = N, {metric}: nor in the report")


def few_distinct_rows(t):
    """Fewer distinct rows than clusters: said where it is known, and only there."""
    rng = np.random.default_rng(3)
    rows = np.repeat(rng.integers(0, 255, (10, 8)), 50, axis=0)[rng.permutation(500)]
    said = "only 10 distinct rows, 90 clusters are empty"
    for name, dtype, more, known in (("uint8", np.uint8, (), True), ("float32", np.float32, (), True),
                                     ("kmeans++", np.uint8, ("--init", "kmeans++"), True),
                                     ("keep", np.uint8, ("--empty", "keep"), True),
                                     ("weights", np.uint8, ("--weights", "weights"), False),
                                     ("cosine", np.uint8, ("--metric", "cosine"), False)):
        source, model = t.path("same.h5"), t.path("same-model.h5")
        with h5py.File(source, "w") as file:
            file["train"] = rows.astype(dtype)
            file["weights"] = np.ones(500, np.float32)
        result = t.lloyd("fit", "--input", source + ":train", "-k", 100, *more, "--output", model, ranks=2)
        t.check(result.status == 0 and (said in result.out) == known, f"few distinct rows, {name}: the summary", result.describe())
        info = t.lloyd("info", model)
        t.check((said in info.out) == known, f"few distinct rows, {name}: info", info.describe())
        t.lloyd("report", model, "--output", t.path("same.html"))
        with open(t.path("same.html"), encoding="utf-8") as file:
            t.check((said[1:] in file.read()) == known, f"few distinct rows, {name}: the report")
    usual = t.lloyd("fit", "--input", t.data("digits.h5"), "-k", 10, "--output", model)
    t.check(usual.status == 0 and "only" not in usual.out, "as many distinct rows as clusters: nothing is printed", usual.describe())


def one_style(t):
    """Bytes, seconds, counts, percentages and rates look the same wherever they are."""
    source, model = t.data("sift-20k.h5"), t.path("style.h5")
    fit = t.lloyd("fit", "--input", source, "-k", 64, "--max-iters", 2, "--output", model, "--progress", "plain")
    plan = t.lloyd("fit", "--input", source, "-k", 64, "--output", model, "--dry-run")
    t.lloyd("report", model, "--output", t.path("style.html"))
    with open(t.path("style.html"), encoding="utf-8") as file:
        page = re.sub(r"<style>.*?</style>|<[^>]*>", " ", file.read(), flags=re.S).replace("\u00a0", " ")
    for name, text in (("progress", fit.err), ("summary", fit.out), ("plan", plan.out), ("report", page)):
        odd = re.findall(r"\d%|vec/s|\de[-+]?\d+ ?(?:s|B|kB|MB|GB|TFLOP)\b|\d{4,} rows|\b0\.\d+ [MG]B", text)
        t.check(not odd, f"{name}: one style of units", f"      {odd}\n{text}")
    for name, text in (("progress", fit.err), ("summary", fit.out), ("plan", plan.out)):
        t.check("20,000 rows x 128 columns of uint8" in text, f"{name}: what the rows are, in the same words", text)
    t.check(re.search(r"moved +[\d,]+ +100\.0 %  [\d.]+ [kMG]?rows/s", fit.err), "progress: percent and rows/s", fit.err)
    os.environ["COLUMNS"] = "80"
    bar = t.lloyd("fit", "--input", source, "-k", 64, "--max-iters", 25, "--output", model, "--progress", "bar")
    drawn = [line for line in re.split(r"[\r\n]", bar.err) if "inertia" in line]
    t.check(drawn and all(re.match(r" ?\d+/25 \[[#.]{5,}\] ", line) and len(line) == 79 for line in drawn), "progress: a bar in 80 columns",
            bar.describe())
    t.check("clusters by cluster size / mean size:\n" in fit.out and " < 1/8  1/8-1/4  1/4-1/2    1/2-1 " in fit.out,
            "the summary's sizes have their ranges", fit.out)


def labels_say_what_made_them(t):
    """The file that predict writes says what made it, as models do."""
    source, model = t.data("digits.h5"), t.fit(t.data("digits.h5"), "by.h5", "-k", 10, "--max-iters", 2, "--metric", "cosine")
    with h5py.File(source, "r") as file:
        rows = file["train"][()]
    parts = [data.write(t.path(f"part {i}.h5"), rows[i::2]) for i in range(2)]
    version = t.lloyd("--version").out.split()[1]
    for more, ranks in (((), 1), (("--distances",), 2)):
        labels = t.path("made.h5")
        command = ["predict", "--model", model, "--input", t.path("part *.h5"), "--output", labels, *more]
        result = t.lloyd(*command, ranks=ranks)
        if not t.check(result.status == 0, f"predict, {ranks} ranks", result.describe()):
            continue
        with h5py.File(labels, "r") as file:
            found = dict(file.attrs)
            shapes = {name: file[name].shape for name in file}
        expected = {"version": version, "model": model, "inputs": "\n".join(parts), "metric": "cosine", "backend": "cpu", "ranks": ranks,
                    "n": len(rows), "skipped": 0, "d": 64, "k": 10, "lloyd": "labels"}
        t.check(found == expected, f"labels, {ranks} ranks: their attributes", f"      {found}\n      {expected}")
        t.check(set(shapes.values()) == {(len(rows),)} and len(shapes) == 1 + len(more), f"labels, {ranks} ranks: their datasets",
                f"      {shapes}")
        info = t.lloyd("info", labels)
        t.check(all(text in info.out for text in [f"{model} (10 centroids, cosine)", *parts,
                                                  f"made by      lloyd {version}, {ranks} rank"]),
                f"labels, {ranks} ranks: info says so", info.describe())
    with h5py.File(t.path("bare.h5"), "w") as file:  # labels from elsewhere
        file["labels"] = np.zeros(5, np.int32)
    info = t.lloyd("info", t.path("bare.h5"))
    t.check(info.status == 0 and "of 5 rows" in info.out and "made by" not in info.out, "info of labels that do not say what made them",
            info.describe())


def labelling(t):
    """How far predict is, and a fit of a sample with the labels of all rows."""
    with h5py.File(t.data("sift-20k.h5"), "r") as file:
        source = data.write(t.path("tenfold.h5"), np.tile(file["train"][()], (10, 1)))
    sample = ("fit", "--input", source, "-k", 2000, "--init", "random", "--sample", 4000, "--max-iters", 1, "--chunk-rows", 5000,
              "--output", t.path("tenfold-model.h5"))
    predict = ("predict", "--model", t.path("tenfold-model.h5"), "--input", source, "--second", "--output", t.path("tenfold-labels.h5"), "--force")
    for name, command, ranks, line in (("a fit of a sample", sample, 1, r"labels: +\d+ %, [\d,]+ rows on rank 0, ETA [\d.:]+( s)?"),
                                       ("predict", predict, 2, r"labels: 100 %, 100,000 rows on rank 0, ETA 0 s")):
        bar = t.lloyd(*command, "--progress", "bar", ranks=ranks)
        t.check(bar.status == 0 and re.search(r"\r" + line, bar.err), f"{name}: how many rows have labels", bar.describe())
    quiet = t.lloyd(*predict, "--progress", "none")
    t.check(quiet.status == 0 and not quiet.err, "predict --progress none says nothing", quiet.describe())


def main():
    t = Test("shown")
    labelling(t)
    labels_say_what_made_them(t)
    same_start(t)
    short_output(t)
    resumed(t)
    nothing_left(t)
    few_distinct_rows(t)
    one_style(t)
    t.finish()


if __name__ == "__main__":
    main()
