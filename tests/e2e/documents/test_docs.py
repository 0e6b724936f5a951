"""What the documentation says is so: its commands run, its links lead somewhere, the settings and messages that it names exist.

Commands are found in the indented and fenced blocks of README.md, docs/*.md and docs/lloyd.1, and in the comment at the top of each
script of jobs/. Each runs as it stands, page by page in a folder of its own, on small files that are made before; or it is in one of
the tables ELSEWHERE and EXEMPT. Slurm, and the build of the demo, are played by stand_in.py. docs/results and docs/notebook record what was run.
"""
import glob
import os
import re
import shutil
import sys
import unittest.mock

import h5py
import numpy as np

import stand_in
from common import ROOT, Test, log_events

t = Test("docs")


def text_of(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def without_fences(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


def files(*patterns):
    return sorted(os.path.relpath(path, ROOT) for pattern in patterns for path in glob.glob(os.path.join(ROOT, pattern), recursive=True))


MARKDOWN = files("README.md", "docs/*.md")
SCRIPTS = files("jobs/*.sh", "jobs/*.sbatch")

# ---- Which commands there are -----------------------------------------------------------------------------------------

# (page, beginning of the command, "" for all): the file that runs it, and what that says where it does.
ELSEWHERE = {
    ("docs/python.md", ""): ("tests/e2e/python/test_python_docs.py", "docs/python.md"),
    ("docs/tutorial.md", ""): ("tests/e2e/documents/test_tutorial.py", '"tutorial.md"'),
    ("docs/curation.md", "mpirun "): ("tests/e2e/documents/test_tutorial.py", '"curation.md"'),
    ("docs/curation.md", "lloyd "): ("tests/e2e/documents/test_tutorial.py", '"curation.md"'),
    ("docs/curation.md", "import "): ("tests/e2e/documents/test_tutorial.py", '"curation.md"'),
    ("docs/operations.md", "bench/scaling.py"): ("tests/e2e/bench/test_scaling.py", '"scaling.py"'),
    ("docs/operations.md", "bench/cost_model.py"): ("tests/e2e/bench/test_scaling.py", "cost_model"),
    ("README.md", "./tests/run.sh"): (".ci/run", "exec ./tests/run.sh"),
    ("jobs/local-slurm.sh", "jobs/local-slurm.sh start"): ("tests/jobs/test_slurm.py", 'local-slurm.sh", "start"'),
    ("jobs/local-slurm.sh", "jobs/local-slurm.sh status"): ("tests/jobs/test_slurm.py", 'local-slurm.sh", "status"'),
    ("jobs/local-slurm.sh", "jobs/local-slurm.sh stop"): ("tests/jobs/test_slurm.py", 'local-slurm.sh", "stop"'),
}
# (page, beginning of the command): why nothing runs it.
EXEMPT = {
    ("docs/contributing.md", ""): "build and run the tests, of which this is one",
    ("docs/howto-add-format.md", "ctest "): "the same",
    ("docs/howto-add-option.md", ""): "builds, and writes documents that test_options.py compares",
}
# (page, beginning of the command): what it must print, where ending with 0 says little.
PRINTS = {
    ("README.md", "mpirun -n 2 lloyd fit"): r"4,096 by kmeans-parallel|lloyd predict --model",
    ("README.md", "./jobs/demo.sh"): "build/demo/out/model.h5",
    ("docs/formats.md", "HDF5_EXTFILE_PREFIX"): r"\(4,0\): [1-9]\d*, [1-9]",
    ("jobs/pipeline.sh", "K=65536"): "the labels are equal",
    ("jobs/scaling.sbatch", ""): r"(?s)tasks,nodes,seconds_per_iteration.*\n8,",
}
# (page, beginning of a line of output): where its words come from. Both lines are of a plan with GPUs.
SHOWN = {
    ("docs/operations.md", "rows  "): "src/job/plan_print.c",
    ("docs/operations.md", "every pass "): "src/job/plan_print.c",
}

ASSIGNMENT = r"(?:[A-Z_0-9]+=(?:'[^']*'|\S)* +)"
# What may be run. Anything else that looks like a command is a failure, and is not.
PROGRAM = r"(?:lloyd|mpirun|srun|sbatch|cmake|h5dump|(?:\./)?(?:bench|jobs|tests)/\S+)(?= |$)"


def may_run(line):
    return re.match(f"{ASSIGNMENT}*{PROGRAM}", line)


def is_command(line):
    """Also one of another program, if this machine has it."""
    word = line.split()[0]
    return may_run(line) or (re.fullmatch("[a-z][a-z0-9_-]{2,}", word) and shutil.which(word))


def blocks_of(page):
    """(kind, text) of every block: kind is what follows ```, or "" of an indented one."""
    text = text_of(page)
    if page.endswith(".1"):
        examples = text.split("\n.SH EXAMPLES\n")[1].split("\n.SH ")[0].replace(r"\(aq", "'").replace("\\", "")
        return [("", block) for block in re.findall(r"^\.RS\n(.*?)^\.RE$", examples, re.M | re.S)]
    if page in SCRIPTS:
        text = re.sub("^# ?", "", re.match("(#.*\n)*", text)[0], flags=re.M)
    found = re.findall(r"^```(\w*)\n(.*?)^```$|(?<=\n\n)((?: {4}[^\n]*\n|\n(?= {4}))+)", text, re.M | re.S)
    return [(kind, fenced or re.sub("^ {4}", "", indented, flags=re.M)) for kind, fenced, indented in found]


def commands_of(block):
    """The lines of a block, without the remarks behind two spaces; none if none of them is a command."""
    lines = [line.strip() for line in re.sub(r"\\\n *", "", block).splitlines() if line.strip()]
    return [re.match(r"(?:'[^']*'|\S| (?! ))+", line)[0].strip() for line in lines] if any(map(is_command, lines)) else []


def find(table, page, line):
    """The longest entry of a table that this line begins with, or None."""
    return max((key for key in table if key[0] == page and (line + " ").startswith(key[1])), key=lambda key: len(key[1]), default=None)


# ---- What they need ---------------------------------------------------------------------------------------------------

COLUMNS = 4


def write_rows(path, first, count):
    """Rows that differ from each other and from those of another `first`."""
    rows = np.random.default_rng(1).permutation(np.arange(first, first + count))[:, None] >> np.arange(0, 5 * COLUMNS, 5)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with h5py.File(path, "w") as file:
        file["train"] = (rows % 32).astype(np.float32)


def write_raw(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        np.array((300, COLUMNS), np.uint32).tofile(file)
        np.random.default_rng(2).integers(1, 256, size=(300, COLUMNS), dtype=np.uint8).tofile(file)


def make_model(folder):
    write_rows(f"{folder}/rows.h5", 0, 500)
    t.fit(f"{folder}/rows.h5", f"{folder}/model.h5", "-k", 5, "--log", f"{folder}/fit.jsonl", "--progress", "none")


def make_clusters(folder):
    make_model(folder)
    t.fit(f"{folder}/rows.h5", f"{folder}/clusters.h5", "-k", 5, "--members", "--progress", "none")


def make_wrapped(folder):
    write_raw(f"{folder}/data/X.u8bin")
    t.lloyd("wrap", f"{folder}/data/X.u8bin", "--output", f"{folder}/data/X.h5")


def make_numbers(folder):
    with h5py.File(f"{folder}/in.h5", "w") as file:
        file["data"] = np.arange(40).reshape(10, 4)


def prepare(folder, text):
    """The files that a command reads. It gets as many rows as it makes clusters: more would only take longer."""
    count = max([500] + [int(k) for k in re.findall(r"(?:-k |\bK=)(\d+)", text)])
    for name in re.findall(r"[\w./*-]+", text):
        path = os.path.join(folder, name)
        if re.fullmatch(r"(corpus/|new/)?part-\*\.h5", name):
            write_rows(path.replace("*", "0"), 0, count // 3)
            write_rows(path.replace("*", "1"), count // 3, count - count // 3)
        elif name in ("corpus.h5", "new.h5", "x.h5") and " synth " not in text:
            write_rows(path, 0, count)
        elif name == "shard-*.npy":
            for part in range(2):
                np.save(path.replace("*", str(part)), np.random.default_rng(part).normal(size=(count, COLUMNS)).astype(np.float32))
        elif name == "embeddings-*.bin":
            columns = int(re.search(r"--dim (\d+)", text)[1])
            for part in range(2):
                np.random.default_rng(part).normal(size=(count, columns)).astype(np.float32).tofile(path.replace("*", str(part)))
        elif name.endswith(".u8bin") and not os.path.exists(path):
            write_raw(path)
    for name, make in (("model.h5", make_model), ("fit.jsonl", make_model), ("clusters.h5", make_clusters), ("data/X.h5", make_wrapped), ("in.h5", make_numbers)):
        if re.search(rf"(?<![\w./]){re.escape(name)}(?![\w.])", text) and not os.path.exists(os.path.join(folder, name)):
            make(folder)


def make_folder(page):
    """A folder that looks like a checkout of the project: a copy, since commands write where they are."""
    folder = t.path(page.replace("/", "-"))
    builds = page in ("README.md", "docs/install.md")
    parts = ("bench", "comm", "docs", "io", "jobs", "kernels", "src", "tests") if builds else ("jobs",)
    for name in parts:
        shutil.copytree(os.path.join(ROOT, name), os.path.join(folder, name))
    shutil.copy(os.path.join(ROOT, "CMakeLists.txt"), folder)
    return folder


def make_programs():
    """What is before all else on the PATH: lloyd and Slurm; in the demo, what it builds and installs with."""
    for folder, names in (("bin", ("sbatch", "srun", "scontrol", "squeue")), ("demo", ("cmake", "apt-get"))):
        os.makedirs(t.path(folder))
        for name in names:
            os.symlink(stand_in.__file__, t.path(f"{folder}/{name}"))
    os.symlink(t.lloyd_path, t.path("bin/lloyd"))
    with open(t.path("quickly"), "w", encoding="ascii") as file:
        file.write('#!/bin/sh\nexec "$@" -O0\n')
    os.chmod(t.path("quickly"), 0o755)
    os.environ.update(PATH=t.path("bin") + os.pathsep + os.environ["PATH"], STAND_IN=t.directory, LLOYD_UNDER_TEST=t.lloyd_path,
                      OMPI_MCA_rmaps_base_oversubscribe="1")


def environment_of(command):
    if "jobs/demo.sh" in command:
        return {"PATH": t.path("demo") + os.pathsep + os.environ["PATH"]}
    if command.startswith("cmake "):  # as written, but without optimisation and kernels for GPUs, which take minutes
        return {"HOME": t.path("home"), "CMAKE_C_COMPILER_LAUNCHER": t.path("quickly"), "CUDACXX": "none",
                **({} if shutil.which("make") else {"CMAKE_GENERATOR": "Ninja"})}
    return {}


# ---- Running them -----------------------------------------------------------------------------------------------------

def run(folder, what, words, text, prints=""):
    text = re.sub(r"(?<=-k )\d{5,}", "4096", text)  # as written, but more clusters would only take longer
    prepare(folder, text)
    with unittest.mock.patch.dict(os.environ, environment_of(text)):
        result = t.run([*words, text], cwd=folder, timeout=300)
    t.check(result.status == 0 and "Manually-specified variables were not used" not in result.err, what, result.describe())
    if prints:
        t.check(re.search(prints, result.out + result.err), f"{what}: prints {prints!r}", result.describe())


def settings_of(script):
    """The variables that a script of jobs/ takes from the environment."""
    found = {name for name in re.findall(r"\$\{([A-Z][A-Z_]*):[-?]", text_of(script)) if not name.startswith("SLURM_")}
    for other in re.findall(r"\$(?:JOBS|jobs)/(\w+\.\w+)", text_of(script)):
        found |= settings_of(f"jobs/{other}")
    return found


def check_settings(what, command):
    """What stands before `sbatch jobs/fit.sbatch` is a setting of fit.sbatch."""
    script = re.search(r"\bjobs/\w+\.\w+", command)
    given = re.findall(r"([A-Z_0-9]+)=", re.match(f"{ASSIGNMENT}*", command)[0])
    if script and given:
        strange = set(given) - settings_of(script[0])
        t.check(not strange, f"{what}: these are settings of {script[0]}", f"      {strange}")


def check_shown(page, line, source):
    """Every word of a line of output stands in a string of the source."""
    words = re.findall(r"[A-Za-z]{3,}", line)
    missing = [word for word in words if not any(re.search(rf"\b{word}\b", text) for text in literals_of(source))]
    t.check(words and not missing, f"{page}: {line.strip()!r} is what {source} prints", f"      {missing}")


def check_events(page, block):
    """The lines of a log have the fields of a real one."""
    folder = os.path.join(t.directory, "events")
    make_model(folder)
    real = {event["event"]: set(event) for event in log_events(f"{folder}/fit.jsonl")}
    for line in block.splitlines():
        fields = re.findall(r'[{,]"(\w+)":', line)
        event = re.search(r'"event":"(\w+)"', line)[1]
        t.check(set(fields) <= real.get(event, set()), f"{page}: the fields of {event}", f"      {fields}\n      {real.get(event)}")


def check_block(page, folder, kind, block, used):
    python = kind == "python" or block.startswith("with h5py")
    lines = [block] if python else commands_of(block)
    for line in lines:
        what = f"{page}: {line.strip().splitlines()[0]}"
        key = find({**ELSEWHERE, **EXEMPT}, page, line)
        used.add(key)
        if key in ELSEWHERE:
            where, words = ELSEWHERE[key]
            t.check(words in text_of(where), f"{what} is run by {where}")
        elif key in EXEMPT:
            print(f"EXEMPT {what}: {EXEMPT[key]}")
        elif python:
            run(folder, what, [sys.executable, "-c"], "import h5py\n" + block)
        elif not may_run(line):
            t.check(False, f"{what} is a command that this test runs")
        else:
            check_settings(what, line)
            prints = find(PRINTS, page, line)
            used.add(prints)
            run(folder, what, ["bash", "-euo", "pipefail", "-c"], line, PRINTS.get(prints))
    if block.startswith('{"event"'):
        check_events(page, block)
    elif not lines:
        for line in block.splitlines():
            key = find(SHOWN, page, line)
            used.add(key)
            if key:
                check_shown(page, line, SHOWN[key])
    return len(lines)


def check_commands():
    used, count = set(), 0
    for page in [*MARKDOWN, "docs/lloyd.1", *SCRIPTS]:
        blocks = blocks_of(page)
        folder = make_folder(page) if blocks else ""
        count += sum(check_block(page, folder, kind, block, used) for kind, block in blocks)
    t.check(count >= 50, f"commands are found ({count})")
    left = {**ELSEWHERE, **EXEMPT, **SHOWN, **PRINTS}.keys() - used
    t.check(not left, "every entry of the tables is needed", f"      {left}")
    for page in files("docs/results/*.md", "docs/notebook/*.md"):
        for line in (line for _, block in blocks_of(page) for line in commands_of(block)):
            program = line.split()[0]
            ok = "/" not in program or os.access(os.path.join(ROOT, program), os.X_OK)
            t.check(ok, f"{page}: {program} is a program of the project")


# ---- Links ------------------------------------------------------------------------------------------------------------

def anchors_of(page):
    """The names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.*)$", without_fences(text_of(page)), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_links():
    for page in [*MARKDOWN, *files("CHANGELOG.md", "docs/results/*.md", "docs/notebook/*.md", "tests/data/*.md")]:
        broken = []
        for link in re.findall(r"\]\(([^)\s]+)\)", without_fences(text_of(page))):
            name, _, anchor = link.partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(page), name)) if name else page
            if not re.match("[a-z]+:", link) and (not os.path.exists(os.path.join(ROOT, target)) or
                                                 (anchor and anchor not in anchors_of(target))):
                broken.append(link)
        t.check(not broken, f"{page}: its links lead somewhere", f"      {broken}")


def check_figures():
    """README quotes results, and has none of its own."""
    section = text_of("README.md").split("## Performance\n")[1].split("\n## ")[0]
    results = set(re.findall(r"[\d.]*\d", "".join(map(text_of, files("docs/results/*.md")))))
    figures = set(re.findall(r"\d+\.[\d.]*\d", section))
    t.check(len(figures) > 20 and figures <= results, "README.md: its figures are those of docs/results", f"      {figures - results}")


# ---- Names ------------------------------------------------------------------------------------------------------------

def literals_of(name):
    """The strings of a source in C, joined where C joins them. Of a script, all of it."""
    text = text_of(name)
    if not name.endswith((".c", ".h", ".cu", ".cuh")):
        return [text]
    text = re.sub(r'"[ \n]*PRI[a-z0-9]+[ \n]*"', "d", text)  # "%" PRId64 " rows" is "%d rows"
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return [re.sub(r'"\s+"', "", string) for string in re.findall(r'"(?:[^"\\\n]|\\.)*"(?:\s+"(?:[^"\\\n]|\\.)*")*', text)]


# Options in running text that are neither lloyd's nor in the tables of stand_in.py.
OTHERS = {"--no-requeue", "--batch", "--nv", "--bind-to", "--map-by", "--mca", "--oversubscribe"}


# Pages that name options of the tests, the benchmarks and the linker too.
OF_DEVELOPERS = ("docs/contributing.md", "docs/design.md", "docs/howto-add-kernel.md")


def check_options():
    """`lloyd COMMAND --option` in running text is a command and an option of it; any `--option` is one of lloyd or Slurm."""
    of = {name: set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", t.lloyd(name, "--help").out))
          for name in re.findall(r"^  (\w+) {2,}", t.lloyd("--help").out, re.M)}
    ours = set(re.findall(r'add_argument\("(--[a-z-]+)"', "".join(map(text_of, files("bench/*.py", "src/python/lloyd/__main__.py")))))
    known = set().union(*of.values(), ours, {"--help", "--version"}, {f"--{name}" for name in {**stand_in.SBATCH, **stand_in.SRUN}})
    foreign = set()
    for page in (page for page in MARKDOWN if page not in OF_DEVELOPERS):
        wrong = []
        for span in re.findall("(?<!`)`([^`]+)`(?!`)", without_fences(text_of(page))):
            command = re.match(r"lloyd (\w+)", span)
            names = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", span))
            foreign |= names - known
            if names - known - OTHERS or (command and names - of.get(command[1], set()) - {"--help"}):
                wrong.append(span)
        t.check(not wrong, f"{page}: commands and options in the text exist", f"      {wrong}")
    t.check(OTHERS <= foreign, "every option of others is named", f"      {OTHERS - foreign}")


def says(string, message):
    """The message is a part of the string, word by word. A conversion (%s) is any word, and so is a capital letter, a name in
    capitals or "..." of the message; at least half of its other words must stand there as they are."""
    have, want = ([word.strip(",;:?!.\"'()") or "..." for word in text.split()] for text in (string, message))
    open_words = [bool(re.fullmatch(r"[A-Z]|FILE|SIG\w+|\.\.\.", word)) for word in want]
    for start in range(len(have) - len(want) + 1):
        pairs = list(zip(have[start:], want, open_words))
        same = sum(one == other for one, other, _ in pairs)
        if 2 * same >= open_words.count(False) and all(one == other or is_open or "%" in one for one, other, is_open in pairs):
            return True
    return False


def check_operations():
    text = text_of("docs/operations.md")
    sources = {name: literals_of(name) for name in
               files(*(f"{folder}/**/*.[ch]" for folder in ("src", "io", "comm", "kernels")), "kernels/cuda/**/*.cu*", "jobs/*")}
    strings = [string for found in sources.values() for string in found]

    # Variables: settings of the scripts, or what is read from the environment, or another's.
    scripts = set().union(*(settings_of(script) for script in SCRIPTS))
    named = set(re.findall(r"`([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*)(?:=[^`]*)?`", text))
    strange = {name for name in named - scripts if f'"{name}"' not in strings and not re.match("NCCL_|OMPI_|OMP_|(PATH|P2P)$", name)}
    t.check(len(named & scripts) >= 8 and not strange, "docs/operations.md: its settings are those of jobs/", f"      {strange}")

    # Messages. Commands and options, and what others say, are quoted in the same way.
    table = text.split("## What to do when ...")[1].split("\n\n")[1]
    cells = [cell for line in table.splitlines()[2:] for cell in line.split(" | ")]
    spans = [(cell[:start.start()], start[1]) for cell in cells for start in re.finditer("`([^`]+)`", cell)]
    messages = [span for before, span in spans
                if " " in span and not re.match("lloyd |srun |--comm ", span) and not before.endswith("Open MPI says ")]
    for message in messages:
        t.check(any(says(string, message) for string in strings), f"docs/operations.md: {message!r} occurs in the sources")
    t.check(len(messages) >= 14, f"messages are found ({len(messages)})")


make_programs()
check_links()
check_figures()
check_options()
check_operations()
check_commands()
t.finish()
