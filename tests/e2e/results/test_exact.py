"""Random small inputs with outliers of 1e2 to 1e38 against the contract in rational arithmetic (contract.py).

All stored types, with and without weights, both metrics. Every centroid must be the exact mean of the digits, rounded once to
float32, and the true mean rounded once wherever nothing is cut; the inertia of every iteration within 1e-12 of the true one;
the final inertia the exact sum of w dist(), rounded once. Then the same on 2, 3 and 5 ranks and in chunks, bit for bit.
"""
import os
import shutil
import time

import numpy as np

import contract
import data
from common import Test, attribute, differences, read

TYPES = ("float32", "float16", "bfloat16", "uint8", "int8")
LARGEST = {"float32": 3e38, "float16": 6e4, "bfloat16": 3e38, "uint8": 255, "int8": 127}
INERTIA = contract.Fraction(1, 10 ** 12)
SHOWN = 5  # failing inputs
CROWDED = 100  # inputs in jobs that mostly wait for each other: five ranks, and chunks on three
NEAR_TIES = 5  # of every 20 inputs, one (float32) whose means are hard to round
MANY_ROWS = 32  # the input with more rows than the sample that settles the digits


# ---- the inputs ------------------------------------------------------------------------------------------------------


def ordinary_column(draw, n, dtype):
    """Values without outliers."""
    if dtype in ("uint8", "int8"):
        return draw.integers(0 if dtype == "uint8" else -100, 101, n).astype(float)
    kind = draw.integers(8)
    if kind == 0:
        return np.zeros(n)
    if kind == 1:
        return draw.integers(-3, 4, n) + draw.integers(0, 2, n) / 10  # 1, 1.1, 2, 2.1 ...
    if kind == 2:
        return 1000 + draw.standard_normal(n) / 1000
    if kind == 3 and dtype != "float16":
        return draw.standard_normal(n) * 10.0 ** draw.uniform(-40, 30)
    if kind == 4 and dtype != "float16":
        return draw.standard_normal(n) * 10.0 ** draw.uniform(-42, 37, n)
    if kind == 5:
        return draw.integers(-4, 5, n) * (6e-8 if dtype == "float16" else 1.4e-45)  # subnormal
    return draw.standard_normal(n) * 10.0 ** draw.uniform(-2, 2)


def rounded_to_type(x, dtype):
    """The float32 values that x has once it is stored."""
    x = np.clip(x, -LARGEST[dtype] * (dtype != "uint8"), LARGEST[dtype]).astype(np.float32)
    if dtype == "bfloat16":
        return data.bfloat16_values(x)
    if dtype in ("uint8", "int8"):
        x = np.rint(x)
    return x.astype(dtype).astype(np.float32)


def make_rows(draw, n, d, dtype):
    x = np.stack([ordinary_column(draw, n, dtype) for _ in range(d)], axis=1)
    highest = np.log10(min(LARGEST[dtype], 1e38))
    for j in range(d):
        if draw.random() < 0.5:
            rows = draw.integers(n, size=draw.integers(1, 4))
            x[rows, j] = draw.choice([-1, 1], len(rows)) * 10.0 ** draw.uniform(2, highest, len(rows))
    return rounded_to_type(x, dtype)


def near_ties(draw, quarter, d):
    """Columns whose mean is a boundary between two float32, (1/2 + 2^-25) 2^e, or off that by less than the last bit of a double."""
    x = np.repeat([0.0, 1, 1 + 2.0 ** -23, 0], quarter)[:, None] * np.ones(d)
    x[0] = draw.choice([-1, 0, 1], d) * 2.0 ** -draw.integers(40, 59, d)
    x *= draw.choice([-1, 1], d) * 2.0 ** draw.integers(-60, 60, d)
    return draw.permuted(x, axis=0).astype(np.float32)


def make_weights(draw, n):
    """None, or weights of which at least one is not zero."""
    kind = draw.integers(8)
    if kind < 3:
        return None
    if kind == 3:
        w = 10.0 ** draw.uniform(-30, 30, n)
    elif kind == 4:
        w = draw.integers(0, 4, n).astype(float)
    elif kind == 5:
        w = draw.uniform(0, 2, n)
        w[draw.integers(n)] = 10.0 ** draw.uniform(2, 38)
    elif kind == 6:
        w = draw.integers(0, 3, n) * 1.4e-45
    else:
        w = draw.uniform(0, 2, n)
    w[draw.integers(n)] = max(w[0], 1)
    return w.astype(np.float32)


class Case:
    """One input: rows, options, and what the contract says of it."""

    def __init__(self, number):
        draw = np.random.default_rng(number)
        n, d = (5000, 2) if number == MANY_ROWS else (int(draw.integers(5, 61)), int(draw.integers(1, 7)))
        self.name, self.dtype = f"input-{number}", TYPES[number % len(TYPES)]
        self.k = int(draw.integers(1, min(6, n) + 1))
        self.x = make_rows(draw, n, d, self.dtype)
        self.weights = make_weights(draw, n)
        if number % 20 == NEAR_TIES:
            self.x, self.weights, self.k = near_ties(draw, max(2, n // 4), d), None, 1
            n = len(self.x)
        self.cosine = bool(draw.random() < 0.15)
        if self.cosine:
            self.x[~self.x.any(axis=1), 0] = 1
        self.first = self.x[draw.choice(n, self.k, replace=False)]
        if draw.random() < 0.25:
            self.first = (self.first + np.float32(draw.uniform(0, 2))).astype(np.float32)
        if draw.random() < 0.2 and not self.cosine:
            self.first[draw.integers(self.k)] = 10.0 ** draw.uniform(2, 38)  # mostly an empty cluster
        if self.cosine:
            self.first[~self.first.any(axis=1), 0] = 1
        self.empty = "relocate" if draw.random() < 0.7 else "keep"
        self.iterations = int(draw.integers(1, 6))
        self.tol = 0.01 if draw.random() < 0.1 else 0.0

    def write(self, folder):
        self.input = data.write(os.path.join(folder, self.name + "-x.h5"), self.x, dtype=self.dtype, weights=self.weights)
        self.init = data.centroids(os.path.join(folder, self.name + "-first.h5"), self.first)

    def line(self):
        """For lloyd_fit_many."""
        words = (self.name, self.input, self.k, self.init, "-" if self.weights is None else "weights",
                 "cosine" if self.cosine else "l2", self.empty, self.iterations, self.tol)
        return " ".join(map(str, words)) + "\n"

    def arguments(self):
        """For the reference."""
        words = ["fit", self.input, "-k", self.k, "--init", self.init, "--iters", self.iterations, "--empty", self.empty,
                 "--tol", self.tol]
        return words + ["--cosine", "--scale-init"] * self.cosine + ["--weights", "weights"] * (self.weights is not None)

    def right(self):
        return contract.Fit(self.x, self.first, self.iterations, self.weights, self.cosine, self.empty == "relocate", self.tol)

    def describe(self):
        weights = "no weights" if self.weights is None else "weights"
        return (f"{self.name}: {self.x.shape[0]} x {self.x.shape[1]} {self.dtype}, K {self.k}, {weights}, "
                f"{'cosine' if self.cosine else 'l2'}, --empty {self.empty}, {self.iterations} iterations")


# ---- what is checked -------------------------------------------------------------------------------------------------


def compare_centroids(got, fit):
    if np.array_equal(got.view(np.uint32), fit.centroids.view(np.uint32)):
        return ""
    k, j = np.argwhere(got.view(np.uint32) != fit.centroids.view(np.uint32))[0]
    column = fit.columns[j]
    return f"centroid [{k}, {j}] {got[k, j]!r}, right is {fit.centroids[k, j]!r} ({column.digits} digits, {column.bits} bits)"


def compare_means(got, case, fit):
    """The claim of section 4, without digits: true means where nothing is cut, and nearly where only the column is."""
    if case.cosine:
        return ""
    for (k, j), mean in fit.means.items():
        value, column = float(got[k, j]), fit.columns[j]
        if fit.is_exact(j):
            if value != contract.float32(mean):
                return f"centroid [{k}, {j}] {value!r} is not the true mean {contract.float32(mean)!r}"
        elif case.weights is None:
            cut = contract.Fraction(2) ** (column.last - 1)
            if not contract.float32(mean - cut) <= value <= contract.float32(mean + cut):
                return f"centroid [{k}, {j}] {value!r} is farther from the true mean {float(mean)!r} than {float(cut)!r}"
    return ""


def compare_history(got, fit):
    if len(got) != len(fit.history):
        return f"{len(got)} iterations, right are {len(fit.history)}"
    for t, (value, right) in enumerate(zip(got, fit.history)):
        if not (value >= 0 and abs(contract.Fraction(float(value)) - right) <= INERTIA * right):
            return f"inertia of iteration {t}: {value!r}, right is {float(right)!r}"
    return ""


def compare_rest(model, fit):
    for name, right in (("/labels", fit.labels), ("/counts", fit.counts), ("/history/moved", fit.moved)):
        got = read(model, name)
        if got.shape != np.shape(right) or not np.array_equal(got, right):
            return f"{name} {got.tolist()}, right is {list(map(int, right))}"
    for name, right in (("converged", fit.converged), ("iterations", len(fit.moved))):
        if int(attribute(model, name)) != right:
            return f"{name} {attribute(model, name)}, right is {right}"
    return ""


def report(t, what, wrong):
    """One check for many inputs; wrong: {description of the input: what is wrong}."""
    lines = [f"      {case}\n        {text}" for case, text in list(wrong.items())[:SHOWN]]
    more = [f"      ... {len(wrong)} inputs in all"] if len(wrong) > SHOWN else []
    t.check(not wrong, what, "\n".join(lines + more))


def check_models(t, cases, fits, folder):
    wrong = {name: {} for name in ("labels, counts, moved", "centroids", "true means", "history", "final inertia")}
    for case, fit in zip(cases, fits):
        model = os.path.join(folder, case.name + ".h5")
        if not os.path.exists(model):
            continue  # the run said so
        got, final = read(model, "/centroids"), float(attribute(model, "inertia"))
        found = (compare_rest(model, fit), compare_centroids(got, fit), compare_means(got, case, fit),
                 compare_history(read(model, "/history/inertia"), fit),
                 "" if final == fit.final else f"{final!r}, right is {fit.final!r}")
        for name, text in zip(wrong, found):
            if text:
                wrong[name][case.describe()] = text
    report(t, "labels, counts, moved", wrong["labels, counts, moved"])
    report(t, "centroids are the exact means of the digits, rounded once", wrong["centroids"])
    report(t, "centroids are the true means, rounded once, where nothing is cut", wrong["true means"])
    report(t, "history within 1e-12 of the true inertia, never negative", wrong["history"])
    report(t, "final inertia is the exact sum of w dist(), rounded once", wrong["final inertia"])


def fit_all(t, cases, name, ranks, chunk_rows):
    """All cases in one job; returns the folder with the models."""
    folder = t.path(name.replace(",", "").replace(" ", "-"))
    os.mkdir(folder)
    with open(t.path("list"), "w") as file:
        file.writelines(case.line() for case in cases)
    command = [os.path.abspath(t.options.many), t.path("list"), folder, str(chunk_rows), t.options.backend]
    if ranks > 1:
        command = t.mpirun + ["-n", str(ranks)] + command
    began = time.time()
    result = t.run(command, timeout=900)
    made = sum(os.path.exists(os.path.join(folder, case.name + ".h5")) for case in cases)
    t.check(result.status == 0 and made == len(cases), f"{name}: {len(cases)} fits, {time.time() - began:.1f} s", f"      {made} models\n{result.describe()}")
    return folder


def check_reference(t, cases, fits):
    """The two readings of the contract agree: the brute-force program and contract.py."""
    wrong = {}
    for case, fit in zip(cases, fits):
        output = t.path("reference.h5")
        result = t.reference(*case.arguments(), "--output", output)
        if result.status != 0:
            wrong[case.describe()] = result.describe()
            continue
        history = [float(contract.round_to(value, 53, -1074)) for value in fit.history]
        close = np.allclose(read(output, "/history/inertia"), history, rtol=1e-13, atol=0)
        text = (compare_rest(output, fit) or compare_centroids(read(output, "/centroids"), fit) or
                ("" if close else "history") or
                ("" if attribute(output, "inertia") == fit.final else f"final inertia {attribute(output, 'inertia')!r}"))
        if text:
            wrong[case.describe()] = text
    report(t, f"the reference agrees with the rational arithmetic, {len(cases)} inputs", wrong)


def check_spread(t, cases, folder):
    """The same models on other ranks and in chunks, bit for bit."""
    few = len(cases) if t.options.everywhere else CROWDED
    for name, ranks, chunk_rows, count in (("2 ranks", 2, 0, len(cases)), ("3 ranks", 3, 0, len(cases)), ("5 ranks", 5, 0, few),
                                           ("1 rank, chunks of 7 rows", 1, 7, len(cases)),
                                           ("3 ranks, chunks of 4 rows", 3, 4, few)):
        if t.options.backend == "cuda" and ranks > 1:
            continue
        other = fit_all(t, cases[:count], name, ranks, chunk_rows)
        wrong = {}
        for case in cases[:count]:
            one, two = (os.path.join(where, case.name + ".h5") for where in (folder, other))
            if not (os.path.exists(one) and os.path.exists(two)):
                continue
            text = differences(one, two) or ("" if attribute(one, "inertia") == attribute(two, "inertia") else "final inertia")
            if text:
                wrong[case.describe()] = text.strip()
        report(t, f"{name}: bit-identical models", wrong)
        if not wrong:
            shutil.rmtree(other)


def main():
    def more(parser):
        parser.add_argument("--many", required=True, help="the program that makes many fits (lloyd_fit_many)")
        parser.add_argument("--backend", default="cpu", help="cpu or cuda; with cuda on one rank only")
        parser.add_argument("--everywhere", action="store_true",
                            help=f"all inputs on five ranks and in chunks on three, not only the first {CROWDED}")
        parser.add_argument("--inputs", type=int, help="how many; 1000, with --quick 60")

    t = Test("exact", more)
    count = t.options.inputs or (60 if t.quick else 1000)
    cases = [Case(number) for number in range(count)]
    for case in cases:
        case.write(t.directory)
    fits = [case.right() for case in cases]
    print(f"{count} inputs; {sum(any(c.is_cut for c in fit.columns) for fit in fits)} have a column that is cut, "
          f"{sum(max(c.digits for c in fit.columns) > 2 for fit in fits)} one of more than two digits", flush=True)
    if t.options.reference != "none":
        check_reference(t, cases[:100], fits)
    folder = fit_all(t, cases, "1 rank", 1, 0)
    check_models(t, cases, fits, folder)
    check_spread(t, cases, folder)
    t.finish()


if __name__ == "__main__":
    main()
