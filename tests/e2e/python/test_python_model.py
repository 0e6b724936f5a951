"""Models in Python: what the command line has written, and what it reads; members, reports and FAISS."""
import importlib.util
import os
import re

import h5py
import numpy as np

import binding
import data
from common import Test, read

t = Test("python-model")
lloyd = binding.load(t)
X = data.load(t.data("digits.h5"))
file = t.fit(t.data("digits.h5"), "model.h5", "-k", 10, "--seed", 4)
fitted = lloyd.KMeans(10, random_state=4, max_iter=25).fit(X)


def check_raises(what, kind, words, function, *arguments):
    try:
        function(*arguments)
    except kind as error:
        t.check(words in str(error), f"{what}: {error}", str(error))
    else:
        t.check(False, what, "      no exception")


# ---- files ------------------------------------------------------------------------------------------------------------------

model = lloyd.load(file)
with h5py.File(file) as there:
    t.check(all(np.array_equal(getattr(model, name), there[name][()]) for name in ("centroids", "counts", "labels")), "load: the arrays")
    t.check(all(np.array_equal(model.history[name], there["history"][name][()]) for name in there["history"]), "load: the history")
    t.check(model.inertia == there.attrs["inertia"] and model.attributes["command"] == there.attrs["command"], "load: the attributes")
t.check(repr(model) == f"<lloyd.Model {file}: 10 centroids of 64 columns, l2, 1797 rows>", "its words", repr(model))
fitted.save(t.path("saved.h5"))
t.check_same("a fit of Python, saved, is the model of the command line", t.path("saved.h5"), file)
t.check(lloyd.load(t.path("saved.h5")).attributes.keys() == model.attributes.keys(), "with all attributes",
        str(lloyd.load(t.path("saved.h5")).attributes.keys() ^ model.attributes.keys()))
with h5py.File(t.path("saved.h5")) as one, h5py.File(file) as other:
    kinds = {name: (one.attrs.get_id(name).dtype, other.attrs.get_id(name).dtype) for name in other.attrs}
    t.check(all(a == b for a, b in kinds.values()), "of the same types", str({k: v for k, v in kinds.items() if v[0] != v[1]}))
for words in (("info", t.path("saved.h5")), ("report", t.path("saved.h5"), "-o", t.path("saved.html")),
              ("predict", "--model", t.path("saved.h5"), "--input", t.data("digits.h5"), "--output", t.path("labels.h5")),
              ("fit", "--init", t.path("saved.h5"), "-k", 10, "--input", t.data("digits.h5"), "--output", t.path("next.h5"))):
    result = t.lloyd(*words)
    t.check(result.status == 0, f"lloyd {words[0]} takes it", result.describe())
t.check(np.array_equal(read(t.path("labels.h5"), "/labels"), fitted.labels_), "lloyd predict: the labels of the fit")
model.save(t.path("saved.h5"))
t.check_same("a model replaces a model", t.path("saved.h5"), file)
data.write(t.path("rows.h5"), X)
with open(t.path("notes.txt"), "w", encoding="utf-8") as notes:
    notes.write("mine")
for name in ("rows.h5", "notes.txt"):
    check_raises(f"{name} is not replaced", ValueError, "is no model of lloyd", model.save, t.path(name))
check_raises("a folder that is not there", OSError, "", model.save, t.path("nowhere/model.h5"))
t.check(not [name for name in os.listdir(t.directory) if name.endswith(".part")], "nothing is left behind")
check_raises("load: no model", ValueError, "is no model", lloyd.load, t.path("rows.h5"))
check_raises("load: no file", OSError, "", lloyd.load, t.path("nowhere.h5"))
plain = lloyd.load(data.centroids(t.path("plain.h5"), model.centroids))
t.check(plain.labels is None and plain.metric == "l2" and np.isnan(plain.inertia), "load: centroids only")

# ---- predict and members ----------------------------------------------------------------------------------------------------

labels, distances = model.predict(X, distances=True)
t.check(np.array_equal(labels, model.labels) and np.array_equal(model.predict(X), labels), "predict")
of_file = model.predict(t.data("digits.h5"), distances=True)
t.check(np.array_equal(of_file[0], labels) and np.array_equal(of_file[1], distances.astype(np.float32)), "predict, of a file")
check_raises("predict: other columns", ValueError, "has 63 columns", model.predict, X[:, 1:])
for cluster in (0, 9, -1):
    rows = model.members(cluster)
    t.check(np.array_equal(rows, np.flatnonzero(labels == cluster % 10)) and rows.dtype == np.int64, f"members of {cluster}")
    nearest = model.members(cluster, X)
    t.check(np.array_equal(np.sort(nearest), rows) and np.all(np.diff(distances[nearest]) >= 0), f"members of {cluster}, nearest first")
found = model.predict(X, distances=True, second=True)
squared = fitted.transform(X) ** 2
squared[np.arange(len(X)), labels] = np.inf
t.check(len(found) == 4 and np.array_equal(found[1], distances) and np.array_equal(found[2], squared.argmin(axis=1))
        and np.allclose(found[3], squared.min(axis=1)), "predict: the second-nearest centroids")
of_file = model.predict(t.data("digits.h5"), second=True)
t.check(len(of_file) == 3 and np.array_equal(of_file[1], found[2]) and np.array_equal(of_file[2], found[3].astype(np.float32)),
        "predict, of a file: the second-nearest centroids")
sorted_file = t.fit(t.data("digits.h5"), "members.h5", "-k", 10, "--seed", 4, "--members", "--distances", "--no-labels")
with_members = lloyd.load(sorted_file)
t.check(np.array_equal(with_members.distances, distances.astype(np.float32)), "load: the distances")
t.check(all(np.array_equal(with_members.members(cluster), model.members(cluster, X)) for cluster in range(-10, 10)),
        "members of a model that has them sorted: the same without X")
with_members.save(t.path("saved-members.h5"))
t.check_same("a model with members, saved", t.path("saved-members.h5"), sorted_file,
             ("/centroids", "/distances", "/members", "/offsets"))
check_raises("no such cluster", IndexError, "no cluster 10", model.members, 10)
check_raises("no labels", ValueError, "no labels", plain.members, 1)
check_raises("other rows", ValueError, "5 rows", model.members, 1, X[:5])
t.check(np.array_equal(fitted.to_model().members(3), model.members(3)), "members of a fit")

# ---- reports ----------------------------------------------------------------------------------------------------------------

t.lloyd("report", file, "-o", t.path("report.html"))
with open(t.path("report.html"), encoding="utf-8") as page:
    text = page.read()
report = lloyd.report(file)
t.check(report.html == text and lloyd.report(lloyd.load(file)).html == text, "report: the page of the command line")
t.check("<svg" in lloyd.report(fitted).html, "report of a fit")
inline = report._repr_html_()
t.check(inline.startswith("<iframe srcdoc=") and not re.search(r'srcdoc="[^"]*[<>]', inline), "report: shown in a frame, escaped")
report.save(t.path("again.html"))
with open(t.path("again.html"), encoding="utf-8") as page:
    t.check(page.read() == text, "report: saved")
check_raises("report: no model", ValueError, "rows.h5", lloyd.report, t.path("rows.h5"))

# ---- FAISS ------------------------------------------------------------------------------------------------------------------

if importlib.util.find_spec("faiss"):
    index = model.to_faiss()
    index.add(X)
    index.nprobe = 10
    t.check(np.array_equal(index.search(X[:20], 1)[1][:, 0], np.arange(20)), "to_faiss: an index that finds its rows")
    t.check(np.array_equal(index.quantizer.search(X, 1)[1][:, 0], labels), "to_faiss: the centroids")
else:
    print("SKIPPED to_faiss: faiss is not installed")

t.finish()
