"""report: one well-formed page that needs nothing else, whose numbers are the model's, for whatever a model may hold."""
import json
import os
import re

import h5py
import numpy as np

import data
from common import Test, attribute, digest, log_events, read
from pages import make, refuse, report, shown, text_of

SHOWN = 25  # iterations in the table


def check_plot(t, what, page, chart, xs, ys, digits=1e-9):
    """The dots of a plot are these points, and higher where the value is larger."""
    dots = page.dots(chart)
    same = len(dots) == len(xs) and np.array_equal(dots[:, 0], xs) and np.allclose(dots[:, 1], ys, rtol=digits, atol=0)
    t.check(same, f"{what}: the dots of the plot '{chart}' are its points", f"      {dots[:3]} {list(ys[:3])}")
    if same:
        by_value = dots[np.argsort(dots[:, 1], kind="stable")]
        t.check(np.all(np.diff(by_value[:, 3]) <= 0) and np.all(np.diff(dots[:, 2]) > 0)
                and (len(set(ys)) < 2 or by_value[0, 3] > by_value[-1, 3]), f"{what}: larger is higher in the plot '{chart}'")


def check_history(t, what, page, model, log=None):
    """The table of the iterations and the plots are the model's history."""
    inertia, moved, seconds = (read(model, "/history/" + name) for name in ("inertia", "moved", "seconds"))
    rows = np.array([[float("nan") if cell == "–" else cell for cell in row]
                     for row in page.table("iterations")[1:]], np.float64)
    t.check(np.array_equal(rows[:, 0], np.arange(1, len(inertia) + 1)) and np.array_equal(rows[:, 1], inertia)
            and np.array_equal(rows[:, 3], moved) and np.array_equal(rows[:, 4], seconds),
            f"{what}: the table has the history, to the bit", f"      {rows}")
    fallen = -np.diff(inertia) / inertia[:-1]
    t.check(np.array_equal(rows[1:, 2], fallen), f"{what}: the table has the relative decrease", f"      {rows[:, 2]}")
    cells = [cell for row in page.find("iterations").iter("tr") for cell in row.iter("data")]
    t.check(all(abs(shown(text_of(cell)) - float(cell.get("value"))) <= 6e-3 * abs(float(cell.get("value")))
                for cell in cells), f"{what}: what is shown is what is meant")
    steps = np.arange(1, len(inertia) + 1)
    check_plot(t, what, page, "inertia", steps, inertia)
    check_plot(t, what, page, "seconds", steps, seconds)
    check_plot(t, what, page, "decrease", steps[1:][fallen > 0], fallen[fallen > 0])
    check_plot(t, what, page, "moved", steps[moved > 0], moved[moved > 0])
    if log:
        verified, int8 = ([100 * step[name] / 1797 for step in log] for name in ("verified", "int8"))
        t.check(np.allclose(rows[:, 5], verified, rtol=1e-12), f"{what}: the table has the share of fallback rows", f"      {rows[:, 5]}")
        t.check(np.allclose(rows[:, 6], int8, rtol=1e-12), f"{what}: and that of rows by the 8-bit filter", f"      {rows[:, 6]}")
        compared = [100 * (step["compared"] + (1797 - step["pruned"]) * k) / (1797 * k) for step in log for k in [read(model, "/counts").size]]
        t.check(np.allclose(rows[:, 7], compared, rtol=1e-12), f"{what}: and that of pairs compared", f"      {rows[:, 7]}")
        skipped = [row[1] for row in page.table("pruning")]
        expected = [100 * sum(step["pruned"] for step in log) / (1797 * len(log)), np.mean(compared)]
        t.check(np.allclose(skipped, expected, rtol=1e-12), f"{what}: what pruning skipped", f"      {skipped} {expected}")
        check_plot(t, what, page, "fallback", steps, verified)


def check_sizes(t, what, page, counts):
    counts = np.asarray(counts)
    table = {row[0]: row[1] for row in page.table("sizes")}
    t.check(table["smallest"] == counts.min() and table["largest"] == counts.max()
            and table["median"] == np.sort(counts)[len(counts) // 2] and table["empty clusters"] == (counts == 0).sum()
            and abs(table["mean"] - counts.mean()) <= 1e-12 * counts.mean(), f"{what}: the table of sizes", f"      {table}")
    largest, smallest = ([row[0:2] for row in page.table(name)[1:]] for name in ("largest", "smallest"))
    filled = np.flatnonzero(counts)
    t.check(largest == [[k, counts[k]] for k in filled[np.argsort(-counts[filled], kind="stable")][:10]],
            f"{what}: the largest clusters are named", f"      {largest}")
    t.check(smallest == [[k, counts[k]] for k in filled[np.argsort(counts[filled], kind="stable")][:10]],
            f"{what}: and the smallest ones that are not empty", f"      {smallest}")
    bins = page.table("bins")[1:]
    expected = [((counts >= low) & (counts <= high)).sum() for low, high, _, _ in bins]
    t.check([row[2] for row in bins] == expected and sum(expected) == (counts > 0).sum()
            and all(low <= high for low, high, _, _ in bins)
            and all(one[1] + 1 == other[0] for one, other in zip(bins, bins[1:])),
            f"{what}: {len(bins)} bins hold every cluster that is not empty", f"      {bins}")
    bars = [(text_of(bar), float(bar.get("height"))) for bar in page.svg("histogram").iter("rect")]
    full = [row for row in bins if row[2] > 0]
    height = max(bar[1] for bar in bars) / max(row[2] for row in full)
    t.check([bar[0] for bar in bars] == [f"{low:,.0f} to {high:,.0f} rows: {clusters:,.0f}" for low, high, clusters, _ in full]
            and np.allclose([bar[1] for bar in bars], [row[2] * height for row in full], rtol=0, atol=0.1),
            f"{what}: the bars are the bins, as high as their numbers", f"      {bars}")


def check_filter(t, page, steps):
    """What the 8-bit filter did, where the processor has one: of the table."""
    rows, decided, candidates = (sum(step[name] for step in steps) for name in ("int8", "int8_verified", "int8_candidates"))
    expected = [100 * rows / 1797 / len(steps), 100 * (rows - decided) / rows if rows else "–", candidates / decided if decided else "–"]
    shown = [row[1] for row in page.table("filter")]
    t.check(len(shown) == 3 and all(a == b or "–" not in (a, b) and abs(a - b) <= 1e-12 * abs(b) for a, b in zip(shown, expected)),
            "the table has what the 8-bit filter did", f"      {shown} {expected}")


def filters(t):
    """The log says which filter labelled the rows."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        has_vnni = bool(set(file.read().split()) & {"avx512_vnni", "avx_vnni"})
    for name in ("int8", "float16"):
        model = t.fit(t.data("digits.h5"), f"{name}.h5", "-k", 12, "--max-iters", 3, "--filter", name, "--log", t.path(f"{name}.jsonl"),
                      "--backend", "cpu", ranks=2)
        if model:
            events = log_events(t.path(f"{name}.jsonl"))
            rows = {event["int8"] for event in events if event["event"] == "iteration"}
            t.check(events[0]["filter"] == name and rows == {1797 if name == "int8" and has_vnni else 0},
                    f"--filter {name}: the log says what was used", f"      {events[0]} {rows}")


def real_fit(t):
    """A page of a real fit: the model's and the log's numbers."""
    model, log = "digits.h5", t.path("digits.jsonl")
    model = t.fit(t.data("digits.h5"), model, "-k", 12, "--seed", 5, "--max-iters", 20, "--members", "--log", log, ranks=2)
    if model is None:
        return
    page = report(t, "a fit with its log", model)
    if page is None:
        return
    with open(log, encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    steps = [event for event in events if event["event"] == "iteration"]
    check_history(t, "a fit with its log", page, model, steps)
    check_filter(t, page, steps)
    check_sizes(t, "a fit with its log", page, read(model, "/counts"))
    phases = {row[0]: row[1] for row in page.table("phases-table")[1:]}
    expected = {event["phase"]: event["seconds"] for event in events if event["event"] == "phase"}
    expected["iterations"] = sum(step["seconds"] for step in steps)
    t.check("members" in expected, "the log says what members took", f"      {expected}")
    t.check(all(abs(phases.get(name, -1) - seconds) <= 1e-12 for name, seconds in expected.items()), "the time of every phase",
            f"      {phases} {expected}")
    whole = events[-1]["elapsed"]
    t.check(phases["together"] == whole and abs(phases["other"] - (whole - sum(expected.values()))) < 1e-9,
            "the phases make up the whole", f"      {phases} {whole}")
    parts = events[-1]["parts"]
    own = sum(seconds[0] for seconds in parts.values())
    t.check(sorted(parts) == ["assign", "idle", "rows", "sum", "update", "verify"] and
            all(len(seconds) == 2 and min(seconds) >= 0 for seconds in parts.values()) and
            0 < own <= expected["iterations"] + 1e-5 and parts["assign"][1] > 0,
            "the log says where the iterations' time went, on both ranks", f"      {parts} {expected}")
    shown = page.table("time-shares-table")[1:]
    t.check(len(shown) == 6 and all(abs(row[1] - np.mean(parts[name])) <= 1e-3 * row[1] and abs(row[2] - max(parts[name])) <= 1e-3 * row[2]
                                    for row, name in zip(shown, ("rows", "assign", "verify", "update", "idle", "sum"))),
            "and the page shows it", f"      {shown} {parts}")
    bars = {text_of(bar).split(":")[0]: float(bar.get("width")) for bar in page.svg("phases").iter("rect")}
    most = max(phases[name] for name in bars)
    t.check(all(abs(bars[name] / max(bars.values()) - phases[name] / most) < 0.01 for name in bars),
            "the bars of the phases are as long as their numbers", f"      {bars} {phases}")
    options = {row[0]: row[1] for row in page.table("options")[1 - 1:]}
    for name, value in json.loads(attribute(model, "options")).items():
        if name != "input":
            expected = "–" if value is None else value if isinstance(value, str) else json.dumps(value)
            given = options.get(("-" if len(name) == 1 else "--") + name)
            t.check(given == expected or float(given) == value, f"the option {name} is {value}", f"      {given}")
    about = {row[0]: row[1] for row in page.table("environment")}
    t.check(about["ranks"] == 2 and about["seed"] == "5" and about["backend"] == "cpu" and about["metric"] == "l2"
            and about["lloyd"] == attribute(model, "version"), "how it was made", f"      {about}")
    with open(log, encoding="utf-8") as file:
        candidates = max(json.loads(line).get("candidates", 0) for line in file)
    t.check(candidates > 0 and about["candidates of seeding"] == candidates, "the candidates of seeding", f"      {candidates} {about}")
    t.check("skipped bad rows" not in about, "no skipped rows", f"      {about}")
    t.check(text_of(page.find("command")) == attribute(model, "command"), "the command line")
    t.check(t.data("digits.h5") in text_of(page.find("inputs")), "the input file")
    one = digest(t.path("report.html"))
    report(t, "the same again, over the page that is there", model, "--log", log, ranks=3, launcher=True)
    t.check(one == digest(t.path("report.html")), "the same model and log make the same page, on any number of ranks")
    logs(t, model, log)


def logs(t, model, log):
    """Logs that are gone, moved, of another fit, unfinished, damaged."""
    note = "no longer exists"
    moved = t.path("moved.jsonl")
    refuse(t, "onto the log that the model names", 2, "digits.jsonl", model, "-o", log)
    refuse(t, "onto the log that is named", 2, "digits.jsonl", model, "-o", log, "--log", log)
    with open(log, encoding="utf-8") as file:
        lines = file.readlines()
    os.rename(log, moved)
    page = report(t, "the log is gone", model)
    t.check(page and note in page.text and page.svg("phases") is None and page.svg("inertia") is not None, "the log is gone: told")
    page = report(t, "a log that is named", model, "--log", moved)
    t.check(page and page.svg("phases") is not None and note not in page.text, "a log that is named is read")
    folder = t.path("elsewhere")
    os.mkdir(folder)
    os.rename(moved, os.path.join(folder, "digits.jsonl"))
    os.link(model, os.path.join(folder, "model.h5"))
    page = report(t, "a log that moved with its model", os.path.join(folder, "model.h5"))
    t.check(page and page.svg("phases") is not None, "a log that moved with its model is found")

    def refused(what, content, reason):
        with open(moved, "w", encoding="utf-8") as file:
            file.writelines(content)
        refuse(t, what, 3, reason, model, "-o", t.path("never.html"), "--log", moved)
        with open(log, "w", encoding="utf-8") as file:
            file.writelines(content)
        page = report(t, what + ", not asked for", model)
        t.check(page and "left out" in page.text and page.svg("phases") is None, f"{what}, not asked for, is left out")
        os.remove(log)

    refused("a log of other rows", [lines[0].replace('"n":1797', '"n":1798')] + lines[1:], "number of rows")
    refused("a log of another inertia", lines[:-1] + [re.sub(r'"inertia":[0-9.e+]+', '"inertia":1', lines[-1])], "inertia")
    refused("a log without an end", lines[:-1], "no end")
    refused("a log whose fit runs again", lines + lines[:1], "no end")
    refused("an empty log", [], "empty")
    refused("what is no log", ['{"event":"iteration"}\n'], "not the log")
    refused("a text", ["k-means\n"], "not the log")

    # A resumed fit: another begin, after half a line, and one iteration twice.
    seconds = sum(json.loads(line).get("seconds", 0) for line in lines if '"iteration"' in line)
    with open(log, "w", encoding="utf-8") as file:
        file.writelines(lines[:6] + [lines[6][:20] + "\n"] + lines[:2] + lines[5:])
    page = report(t, "a resumed fit", model)
    again = sum(json.loads(line).get("seconds", 0) for line in lines[5:6] if '"iteration"' in line)
    phases = {row[0]: row[1] for row in page.table("phases-table")[1:]} if page else {}
    parts = [json.loads(line)["elapsed"] for line in (lines[5], lines[-1])]
    t.check(page and abs(phases["iterations"] - seconds - again) < 1e-12 and abs(phases["together"] - sum(parts)) < 1e-12
            and "resumed" in text_of(page.find("phases-d"))
            and {row[0]: row[1] for row in page.table("environment")}["resumed, times"] == 1,
            "a resumed fit: all its parts together", f"      {phases} {seconds} {again}")
    verified = [row[5] for row in page.table("iterations")[1:]] if page else []
    t.check(verified and "–" not in verified, "a resumed fit: every iteration has its share of fallback rows", f"      {verified}")
    os.remove(log)


def escaping(t):
    """Whatever a model's texts hold, it is text in the page."""
    nasty = "a<b>&\"'</code></td><script>alert(1)</script>&amp;\x01\x1b]]><!-- é\t"
    names = ["<i>&\"x'.h5", "plain.h5"]
    options = json.dumps({"k": 3, "output": nasty, "<b>": "</table>", "list": ["<a>"], "gone": None, "yes": True})
    model = make(t.path("<i>&\"m'.h5"), counts=[1, 2, 3], inertia=[3.0, 2.0], moved=[6, 1], seconds=[0.1, 0.2],
                 version="9.<9>", command=nasty, options=options, backend="<&>", inputs="\n".join(names))
    page = report(t, "texts full of markup", model)
    cleaned = nasty.replace("\x01", "\ufffd").replace("\x1b", "\ufffd")
    if page is not None:
        t.check(text_of(page.find("command")) == cleaned, "the command line is shown as it is",
                f"      {text_of(page.find('command'))!r}")
        rows = {row[0]: row[1] for row in page.table("options")}
        t.check(rows == {"-k": "3", "--output": cleaned, "--<b>": "</table>", "--list": '["<a>"]', "--gone": "–", "--yes": "true"},
                "the options are shown as they are", f"      {rows}")
        t.check([text_of(p) for p in page.find("inputs").iter("p")] == names, "the files are shown as they are")
        t.check("9.<9>" in text_of(page.root) and "<i>&\"m'.h5" in text_of(page.root.find("head/title")), "so are version and title")
    path = make(t.path("bytes.h5"), version="0.1.0")
    with h5py.File(path, "a") as file:  # not UTF-8: cut, overlong, surrogate, not a character
        for name, value in (("command", b"\xff<\xc3"), ("options", b'{"output":"\xc0\xaf&"'), ("inputs", b"\xed\xa0\x80\n\xef\xbf\xbe\xf5")):
            file.attrs[name] = np.bytes_(value)
    page = report(t, "texts that are not UTF-8", path)
    if page is not None:
        t.check(text_of(page.find("command")) == "\ufffd<\ufffd", "bytes that are not UTF-8 are replaced",
                f"      {text_of(page.find('command'))!r}")
        t.check("cannot be read to their end" in page.text, "options that are cut off are reported")


def extremes(t):
    """Shapes and values at the edges."""
    big = 1_000_000 if t.quick else 10_000_000
    sizes = np.random.default_rng(3).zipf(1.5, big).clip(0, 10**9)
    sizes[::1000] = 0
    page = report(t, f"{big} clusters", make(t.path("many.h5"), k=big, d=0, counts=sizes))
    if page is not None:
        check_sizes(t, f"{big} clusters", page, sizes)
        t.check("and " + f"{big // 1000 - 20:,}" + " more" in text_of(page.find("empty")), "some empty clusters are named")
    os.remove(t.path("many.h5"))

    steps = 100_000
    falling = 1e9 + 1e9 / np.arange(1, steps + 1)
    falling[70_000] = 1.9e9  # one point that thinning must not lose
    page = report(t, "100,000 iterations", make(t.path("long.h5"), n=1000, inertia=falling, moved=np.arange(steps)[::-1],
                                                seconds=np.full(steps, 0.25)))
    if page is not None:
        rows = page.table("iterations")[1:]
        t.check(len(rows) <= SHOWN and rows[0][0] == 1 and rows[-1][0] == steps
                and all(row[1] == falling[int(row[0]) - 1] for row in rows), f"{len(rows)} of 100,000 iterations in the table")
        points = re.findall(r"[ML]([\d.]+) ([\d.]+)", page.svg("inertia").find("path[@class='line']").get("d"))
        heights = [float(y) for _, y in points]
        t.check(100 < len(points) < 1000 and min(heights[len(heights) // 2:]) < heights[0] + 30, f"{len(points)} points are drawn, "
                "and a single peak is among them", f"      {heights[-10:]}")

    for what, parts in {
            "one iteration": {"n": 6, "counts": [1, 2, 3], "inertia": [5.0], "moved": [6], "seconds": [0.5]},
            "no iteration": {"n": 6, "counts": [1, 2, 3], "inertia": [], "moved": [], "seconds": []},
            "one cluster": {"k": 1, "n": 6, "counts": [6], "inertia": [5.0, 5.0], "moved": [6, 0], "seconds": [0.5, 0.5]},
            "labels that would collide": {"k": 2000, "counts": np.arange(2000) + 1},
            "empty clusters only": {"n": 6, "counts": [0, 0, 0]},
            "equal values": {"n": 6, "counts": [2, 2, 2], "inertia": [7.0] * 5, "moved": [0] * 5, "seconds": [0.0] * 5},
            "an inertia of 0": {"n": 3, "counts": [1, 1, 1], "inertia": [1.0, 0.0, 0.0], "moved": [3, 1, 0], "seconds": [1, 1, 1]},
            "not a number": {"n": 6, "inertia": [np.nan, np.inf, 2.0, -np.inf, 1.0], "moved": [1] * 5, "seconds": [np.nan] * 5},
            "huge and tiny values": {"n": 6, "inertia": [1.7e308, 1e300, 1.0, 1e-300, 5e-324], "moved": [2**63 - 1, 1, 2, 3, -5],
                                     "seconds": [1e308, 1e-308, 0, -1, 1e5]},
            "tiny values": {"n": 6, "inertia": [5e-324, 1e-323, 3e-310, 1e-300], "moved": [1] * 4, "seconds": [1e-310] * 4},
            "hardly any difference": {"n": 6, "inertia": [1e9 + 1e-6 * i for i in range(5)], "moved": [1] * 5, "seconds": [1] * 5},
            "a rising inertia": {"n": 6, "inertia": [1.0, 2.0, 1.5], "moved": [1] * 3, "seconds": [1] * 3},
            "the largest counts": {"k": 4, "n": 2**62, "counts": [2**52, 2**51, 1, 0]},
            "more rows than there can be": {"k": 2, "counts": [2**63 - 1, 2**63 - 1]},
            "other lengths": {"n": 6, "counts": [1, 2], "inertia": [2.0, 1.0], "moved": [1], "seconds": [1, 2, 3]},
            "nothing but centroids": {}}.items():
        page = report(t, what, make(t.path("edge.h5"), **parts))
        if page is None:
            continue
        if parts.get("inertia") and what not in ("not a number", "other lengths"):
            t.check([row[1] for row in page.table("iterations")[1:]] == list(parts["inertia"]), f"{what}: the table has them")
        if "counts" in parts and what not in ("empty clusters only", "other lengths", "more rows than there can be"):
            check_sizes(t, what, page, parts["counts"])
    page = report(t, "nothing but centroids", make(t.path("edge.h5")))
    t.check(page and all(text in page.text for text in ("no history", "how many rows", "not written by lloyd")),
            "what a model does not say is told")
    report(t, "centroids that nothing can be done with, and are not read",
           data.centroids(t.path("edge.h5"), np.full((3, 2), np.nan)))
    page = report(t, "negative counts", make(t.path("edge.h5"), counts=[-1, 2, 3]))
    t.check(page and "less than 0" in page.text and page.svg("histogram") is None, "negative counts are told")
    page = report(t, "another version", make(t.path("edge.h5"), version="7.0.0", n=3))
    t.check(page and "written by lloyd 7.0.0" in page.text, "another version is told")
    page = report(t, "many files", make(t.path("edge.h5"), version="0.1.0", n=3, inputs="\n".join(f"f{i}.h5" for i in range(2500))))
    t.check(page and "and 2400 more" in text_of(page.find("inputs")) and "f99.h5" in page.text, "many files: the first are named")


def bad_input(t):
    model = make(t.path("model.h5"), counts=[1, 2, 3])
    page = t.path("never.html")
    with open(t.path("text.h5"), "w", encoding="utf-8") as file:
        file.write("no HDF5")
    data.write(t.path("rows.h5"), data.gaussian(10, 3, 1))
    os.symlink(model, t.path("link.html"))
    os.link(model, t.path("hard.html"))
    os.mkdir(t.path("folder"))
    refuse(t, "no such file", 3, "gone.h5", t.path("gone.h5"), "-o", page)
    refuse(t, "not an HDF5 file", 3, "text.h5", t.path("text.h5"), "-o", page)
    refuse(t, "not a model", 3, "/centroids", t.path("rows.h5"), "-o", page)
    refuse(t, "onto the model", 2, "model.h5", model, "-o", model)
    refuse(t, "onto a link to the model", 2, "model.h5", model, "-o", t.path("link.html"))
    refuse(t, "onto another name of the model", 2, "model.h5", model, "--output", t.path("hard.html"))
    refuse(t, "into a folder that is not there", 1, "none", model, "-o", t.path("none/x.html"))
    refuse(t, "onto a folder", 1, "directory", model, "-o", t.path("folder"))
    refuse(t, "no such log", 3, "gone.jsonl", model, "-o", page, "--log", t.path("gone.jsonl"))
    refuse(t, "no output", 2, "--output", model)
    refuse(t, "no model", 2, "MODEL.h5", "-o", page)
    refuse(t, "output twice", 2, "twice", model, "-o", page, "--output", page)
    for name in ("link.html", "hard.html"):
        os.remove(t.path(name))


def main():
    t = Test("report")
    real_fit(t)
    filters(t)
    escaping(t)
    extremes(t)
    bad_input(t)
    t.check(not [name for name in os.listdir(t.directory) if ".part" in name], "no half-written file is left")
    t.finish()


if __name__ == "__main__":
    main()
