"""What a person is shown: refusals of what makes no sense, the summary, the plan, the report, and what files say of themselves."""
import os

import numpy as np

import data
from common import Test


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


def main():
    t = Test("shown")
    same_start(t)
    short_output(t)
    t.finish()


if __name__ == "__main__":
    main()
