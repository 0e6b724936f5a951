"""bench/scaling.py and bench/cost_model.py: a tiny grid of fits, what is written about it, that fits which differ are found, and
that the model's constants come back from times that it made itself. No time is judged."""
import csv
import json
import math
import os
import random
import shlex
import sys

import cost_model
from common import ROOT, Test

BENCH = os.path.join(ROOT, "bench")

COLUMNS = ("mode type backend rows dim k ranks threads repeats iterations seconds lowest highest speedup efficiency mean io assign verify "
           "update idle all_reduce compute other verified equal").split()
ROWS, DIM = 3000, 16

# lloyd, but the fit on two ranks ends otherwise: with a flipped bit (centroids), or with parts in its log (parts).
FAKE_LLOYD = """#!{python}
import json, os, subprocess, sys
lloyd, what = {lloyd!r}, {what!r}
status = subprocess.run([lloyd] + sys.argv[1:]).returncode
rank = int(os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("PMI_RANK", 0)))
ranks = int(os.environ.get("OMPI_COMM_WORLD_SIZE", os.environ.get("PMI_SIZE", 1)))
if status or sys.argv[1:2] != ["fit"] or rank:
    sys.exit(status)
value = lambda option: sys.argv[sys.argv.index(option) + 1]
if what == "centroids" and ranks == 2:
    import h5py
    with h5py.File(value("--output"), "r+") as file:
        words = file["centroids"][()].view("uint32")
        words[-1, -1] ^= 1
        file["centroids"][...] = words.view("float32")
if what == "parts":
    lines = [json.loads(line) for line in open(value("--log"))]
    part = lambda seconds: [seconds * (rank + 1) for rank in range(ranks)]
    some = part if value("-k") == "8" else lambda seconds: None
    lines[-1]["parts"] = {{"rows": part(1e-6), "assign": some(8e-6), "verify": some(2e-6), "update": some(4e-6), "idle": part(3e-6),
                          "sum": part(5e-6)}}
    open(value("--log"), "w").writelines(json.dumps(line) + "\\n" for line in lines)
"""
PARTS = {"io": 1e-6, "assign": 8e-6, "verify": 2e-6, "update": 4e-6, "idle": 3e-6, "all_reduce": 5e-6}


def script(t, name, text):
    path = t.path(name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)
    return path


def fake_lloyd(t, what):
    return script(t, f"lloyd-{what}.py", FAKE_LLOYD.format(python=sys.executable, lloyd=t.lloyd_path, what=what))


def scaling(t, out, *more, lloyd=None, mpirun=None):
    command = [sys.executable, os.path.join(BENCH, "scaling.py"), "--lloyd", lloyd or t.lloyd_path, "--mpirun",
               mpirun or shlex.join(t.mpirun), "--rows", str(ROWS), "--dim", str(DIM), "--type", "uint8", "--backend", "cpu",
               "--iterations", "4", "--clusters", "20", "--data", t.path("data"), "--out", t.path(out)] + [str(part) for part in more]
    return t.run(command, timeout=300)


def table_of(t, out):
    with open(os.path.join(t.path(out), "scaling.csv"), encoding="utf-8") as file:
        reader = csv.DictReader(file)
        return reader.fieldnames, list(reader)


def is_png(path):
    if not os.path.exists(path):
        return False
    with open(path, "rb") as file:
        return file.read(8) == b"\x89PNG\r\n\x1a\n" and os.path.getsize(path) > 2000


def close(a, b, share=1e-4):
    return abs(float(a) - float(b)) <= share * abs(float(b))


def a_grid(t):
    result = scaling(t, "grid", "--ranks", 2, 1, "--mode", "strong", "weak", "-k", 8, "--repeats", 2)
    if not t.check(result.status == 0, "a grid of 1 and 2 ranks", result.describe()):
        return
    names, rows = table_of(t, "grid")
    t.check(names == COLUMNS, "the table has the columns it should have", f"      {names}")
    where = [(row["mode"], row["ranks"], row["rows"], row["equal"]) for row in rows]
    t.check(where == [("strong", "1", "3000", "ranks"), ("strong", "2", "3000", "ranks"), ("weak", "1", "3000", "ranks"),
                      ("weak", "2", "6000", "repeats")], "a row for each cell, and what was compared", f"      {where}")
    for row in rows:
        weak = row["mode"] == "weak"
        base = next(other for other in rows if other["mode"] == row["mode"])
        gain = float(base["seconds"]) / float(row["seconds"])
        ranks = int(row["ranks"])
        t.check(close(row["efficiency"], gain if weak else gain / ranks) and close(row["speedup"], gain * ranks if weak else gain)
                and float(row["lowest"]) <= float(row["seconds"]) <= float(row["highest"]),
                f"{row['mode']}, {ranks} ranks: speedup and efficiency follow from the seconds", f"      {row}")
    with open(os.path.join(t.path("grid"), "scaling.json"), encoding="utf-8") as file:
        told = json.load(file)
    t.check(told["versions"]["lloyd"].startswith("lloyd ") and told["date"] and "--mode strong weak" in told["command"]
            and told["machine"]["cpu"] and told["settings"]["k"] == [8], "the JSON says when, how, with what and where")
    t.check([len(run) for row in told["results"] for run in row["all_seconds"]] == [4] * 8, "and has the seconds of all iterations")
    t.check(all(name in result.out for name in ("mode", "ranks", "ms/iter", "speedup", "eff.", "all_reduce", "equal")),
            "a table is printed", result.describe())
    for name in ("speedup", "efficiency", "breakdown"):
        t.check(is_png(os.path.join(t.path("grid"), f"scaling-{name}.png")), f"scaling-{name}.png is drawn")
    t.check(sorted(os.listdir(t.path("grid"))) == ["scaling-breakdown.png", "scaling-efficiency.png", "scaling-speedup.png",
                                                   "scaling.csv", "scaling.json"], "and nothing else is left")


def parts(t):
    """What a log with parts, and one where some are null, are made into."""
    made = {name: os.stat(os.path.join(t.path("data"), name)).st_mtime_ns for name in os.listdir(t.path("data"))}
    result = scaling(t, "parts", "--ranks", 2, "--mode", "strong", "-k", 8, 9, "--repeats", 1, lloyd=fake_lloyd(t, "parts"))
    if not t.check(result.status == 0, "logs with parts", result.describe()):
        return
    t.check({name: os.stat(os.path.join(t.path("data"), name)).st_mtime_ns for name in os.listdir(t.path("data"))} == made,
            "rows that are there are used again")
    whole, some = table_of(t, "parts")[1]
    mean = {name: value * 1.5 / 4 for name, value in PARTS.items()}  # of the two ranks, in each of four iterations
    t.check(all(close(whole[name], mean[name]) for name in PARTS) and whole["compute"] == "" and
            close(whole["other"], float(whole["mean"]) - sum(mean.values())), "all parts, and what is left", f"      {whole}")
    known = [name for name in PARTS if name not in ("assign", "verify", "update")]
    t.check(all(close(some[name], mean[name]) for name in known) and some["assign"] == some["other"] == "" and
            close(some["compute"], float(some["mean"]) - sum(mean[name] for name in known)), "null parts are \"compute\"", f"      {some}")
    points = cost_model.points_of_scaling(os.path.join(t.path("parts"), "scaling.json"))
    t.check([point["parts"] for point in points] == [["assign"], ["verify"], ["update", "centroids"], ["idle"], ["all_reduce"],
                                                     ["assign", "verify", "update", "centroids"], ["idle"], ["all_reduce"]],
            "the model is fitted to what is known", f"      {points}")


def failures(t):
    """Fits that are not what they should be."""
    result = scaling(t, "differ", "--ranks", 1, 2, "--mode", "strong", "-k", 8, "--repeats", 1, lloyd=fake_lloyd(t, "centroids"))
    t.check(result.status == 1 and "centroids of 2 ranks differ from those of 1" in result.err, "one flipped bit of one centroid is found",
            result.describe())
    t.check(os.listdir(t.path("differ")) == [], "and nothing is written")
    alone = script(t, "alone.sh", '#!/bin/sh\n[ "$1" = -n ] && shift 2\nexec "$@"\n')
    result = scaling(t, "alone", "--ranks", 2, "--mode", "strong", "-k", 8, "--repeats", 1, mpirun=alone)
    t.check(result.status == 1 and "ranks = 2 and ran with 1" in result.err, "a launcher that does not launch is found", result.describe())
    result = scaling(t, "failing", "--ranks", 1, "--mode", "strong", "-k", ROWS + 1, "--repeats", 1)
    t.check(result.status == 1 and "lloyd: " in result.err, "lloyd's own error is shown", result.describe())


# ---- the model -----------------------------------------------------------------------------------------------------


def machine():
    return cost_model.read_machine(os.path.join(BENCH, "cost_h200.json"))["constants"]


def values(constants):
    return {name: float(entry["value"]) for name, entry in constants.items()}


def formula(t):
    c = values(machine())
    start, step, rate = c["collective_start"], c["link_step"], c["link_rate"]
    t.check(cost_model.all_reduce(c, 1e6, 1) == 0 and close(cost_model.all_reduce(c, 1e6, 2), start + 2 * step + 1e6 / rate),
            "all-reduce of one and two ranks")
    net, wire = c["network_step"], c["network_rate"]
    inside = start + 14 * step + 14 / 8 * 1e6 / rate
    t.check(close(cost_model.all_reduce(c, 1e6, 16), inside + 2 * net + 1e6 / 8 / wire), "of two nodes: a ring")
    t.check(close(cost_model.all_reduce(c, 1e6, 1024), inside + 14 * net + 2e6 / 8 / wire), "of 128 nodes: a tree")
    job = {"rows": 1e9, "k": 8192, "ranks": 64, "verified": 0.1}
    p = cost_model.predict(c, job)
    t.check(p["bytes"] == 8 * (8192 * 129 + 2), "bytes of the all-reduce")
    t.check(close(p["iteration"], p["pass"] + p["idle"] + p["all_reduce"] + p["centroids"] + p["agree"]) and p["pass"] == p["compute"],
            "an iteration is the sum of what does not overlap")
    t.check(close(p["assign"], c["assign_launch"] + 1e9 / 64 * (c["assign_row"] + 2 * 128 * 8192 / c["tensor_rate"])), "assign")
    taken = 8388608 * 512 + cost_model.device_bytes_beside_rows(8388608, 128, 1024)
    t.check(close(taken, 4739.9e6, 0.01), f"memory of a job that was measured: 4739.9 MB, {taken / 1e6:.1f}")
    many = cost_model.predict(c, dict(job, rows=1e11, ranks=8))
    t.check(many["pass"] == many["read"] > many["copy"] and close(sum(many["places"]), 1e11 / 8), "rows beyond all memory are read")
    t.check(not math.isfinite(cost_model.predict(c, dict(job, rows=1e12, ranks=8))["iteration"]), "labels that do not fit: no prediction")
    gains = cost_model.overlap(c, dict(job, ranks=1), cost_model.predict(c, dict(job, ranks=1)))
    t.check(gains["next"] == gains["finalize"] == gains["scatter"] == 0, "one rank has nothing to overlap")
    job = {"rows": 1e9, "k": 1048576, "ranks": 1024, "verified": 0.15}
    p = cost_model.predict(c, job)
    gains = cost_model.overlap(c, job, p)
    t.check(0 < gains["finalize"] < gains["next"] < p["all_reduce"] + p["centroids"], "nothing saves more than there is to hide")


def made_points(c, noise, draw):
    """What a machine with the constants c would have measured."""
    points = []
    for rows, k in ((65536, 256), (1 << 20, 1024), (1 << 20, 65536), (1 << 23, 1024), (1 << 25, 8192)):
        for v in (0.001, 0.2):
            for ranks, kind in ((1, "uint8"), (2, "float32"), (24, "uint8")):
                job = {"rows": rows, "k": k, "verified": v, "ranks": ranks, "type": kind}
                for parts in (["assign"], ["verify"], ["update", "centroids"], ["all_reduce"], ["idle"], ["iteration"]):
                    if ranks > 1 or parts[0] not in ("all_reduce", "idle"):
                        points.append(dict(job, parts=parts))
    for size in (1 << 12, 1 << 20, 1 << 28):
        points += [{"parts": ["all_reduce"], "bytes": size, "ranks": ranks} for ranks in (2, 8, 16, 64)]
    for point in points:
        point["seconds"] = cost_model.modelled(c, point) * math.exp(noise * draw.gauss(0, 1))
    return points


def recovery(t):
    """Constants that made the times come back from them."""
    draw = random.Random(5)
    begin = machine()
    for name in ("skew", "link_step", "memory_rate"):
        begin[name] = dict(begin[name], fit=True)
    free = [name for name, entry in begin.items() if entry.get("fit", True)]
    truth = {name: value * (math.exp(draw.uniform(-1.2, 1.2)) if name in free else 1) for name, value in values(begin).items()}
    found, fitted = cost_model.fit(begin, made_points(truth, 0, draw))
    known = [name for name in free if name != "agree_network"]  # far below all that is measured with it
    off = {name: found[name] / truth[name] - 1 for name in known}
    t.check(all(name in fitted for name in known), "the points tell all constants", f"      {sorted(set(known) - set(fitted))}")
    t.check(all(abs(value) < 0.03 for value in off.values()), f"all within 3 %: {max(map(abs, off.values())):.1e}", f"      {off}")
    found, _ = cost_model.fit(begin, made_points(truth, 0.03, draw))
    jobs = [{"rows": rows, "k": k, "ranks": ranks, "verified": 0.1} for rows in (1e8, 1e9) for k in (512, 32768) for ranks in (1, 4, 128)]
    off = [cost_model.predict(found, job)["iteration"] / cost_model.predict(truth, job)["iteration"] - 1 for job in jobs]
    t.check(max(map(abs, off)) < 0.06, f"from times that are off by 3 %, others are predicted within 6 %: {max(map(abs, off)):.1e}")
    few = [point for point in made_points(truth, 0, draw) if point["parts"] == ["assign"]]
    found, fitted = cost_model.fit(begin, few)
    t.check(set(fitted) == {"assign_launch", "assign_row", "tensor_rate"} and found["network_rate"] == begin["network_rate"]["value"]
            and close(found["tensor_rate"], truth["tensor_rate"], 0.03), "what no point tells about stays as it was", f"      {fitted}")
    found, fitted = cost_model.fit(dict(begin, tensor_rate=dict(begin["tensor_rate"], fit=False)), few)
    t.check("tensor_rate" not in fitted and found["tensor_rate"] == begin["tensor_rate"]["value"], "and so does what is given")


def the_command(t):
    out = t.path("model")
    result = t.run([sys.executable, os.path.join(BENCH, "cost_model.py"), "--gpus", "8", "1024", "--rows", "1e9", "1e11", "-k", "8192",
                    "1048576", "--set", "network_rate=2e10", "--out", out])
    ok = t.check(result.status == 0 and "PREDICTED, NOT MEASURED" in result.out and "network_rate            2e+10" in result.out,
                 "the prediction, as one, with a constant that is given", result.describe())
    if ok:
        with open(os.path.join(out, "model.csv"), encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        t.check(list(rows[0]) == list(cost_model.PREDICTED) and len(rows) == 8 and
                all(0 < float(row["efficiency"]) < 1 and 0 < float(row["all_reduce_share"]) < 1 for row in rows), "its table")
        with open(os.path.join(out, "model.json"), encoding="utf-8") as file:
            told = json.load(file)
        t.check(len(told["predicted_not_measured"]) == 8 and told["constants"]["tensor_rate"]["fitted"]
                and not told["constants"]["network_rate"]["fitted"], "the JSON tells what is fitted")
        off = [abs(math.log(point["model"] / point["seconds"])) for point in told["points"] if not point.get("check")]
        t.check(max(off) < 0.35, f"the points of the H200 are met within {100 * max(off):.0f} %")
        for name in ("iteration", "all-reduce-share", "efficiency"):
            t.check(is_png(os.path.join(out, f"model-{name}.png")), f"model-{name}.png is drawn")
    measured = os.path.join(t.path("grid"), "scaling.json")
    result = t.run([sys.executable, os.path.join(BENCH, "cost_model.py"), "--constants", os.path.join(BENCH, "cost_cpu.json"), "--points",
                    measured, "--no-prediction"])
    t.check(result.status == 0 and "scaling.json: strong, 2 ranks" in result.out and "PREDICTED" not in result.out,
            "the fit to a measured grid", result.describe())
    result = t.run([sys.executable, os.path.join(BENCH, "cost_model.py"), "--set", "speed=3"])
    t.check(result.status == 1 and "no constant 'speed'" in result.err, "an unknown constant is refused", result.describe())


def main():
    t = Test("scaling")
    a_grid(t)
    parts(t)
    failures(t)
    formula(t)
    recovery(t)
    the_command(t)
    t.finish()


if __name__ == "__main__":
    main()
