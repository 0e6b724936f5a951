#!/usr/bin/env python3
"""The structure of the code: layers, headers, sizes. Part of tests/lint.sh.

    tests/structure.py            checks, prints what is wrong, exit status 1 if anything is
    tests/structure.py --write    writes the include graph into docs/architecture.md

Checked are:
  - every #include "..." names a file of the same layer or of one below it (LAYERS);
  - docs/architecture.md has the include graph as it is;
  - a source file has its header (x.c or x.cu: x.h or x.cuh), except programs, and files all of whose functions a header
    named in PROVIDERS declares;
  - a header declares only the functions and variables that its own source files define, a source file only its own;
  - a comment in C or CUDA names only files that there are;
  - no file has more than MOST_LINES lines, unless its first comment says "Longer than MOST_LINES lines" and why;
  - no folder has more than MOST_FILES source files, a header and its source file counted once.
"""
import collections
import os
import re
import subprocess
import sys

MOST_LINES, MOST_FILES = 600, 15

# A folder, and the folders whose headers its files may include beside its own. The longest name that fits a file is its layer.
LAYERS = {
    "src/include": [],  # the public headers
    "src/base": ["src/include"],
    "kernels": ["src/base"],
    "kernels/cpu": ["kernels", "src/base"],
    "kernels/cuda": ["kernels", "src/base"],
    "comm": ["src/base"],
    "io": ["src/base"],
    "src/rows": ["io", "comm", "kernels", "src/base"],
    "src/algorithm": ["src/rows", "comm", "kernels", "src/base"],
    "src/options": ["kernels", "src/base", "src/include"],
    "src/job": ["src/options", "src/algorithm", "src/rows", "io", "comm", "kernels", "src/base", "src/include"],
    "src/report": ["src/job", "src/algorithm", "io", "comm", "src/base", "src/include"],
    "src/program": ["src/report", "src/job", "src/options", "src/rows", "io", "comm", "kernels", "src/base", "src/include"],
}

# Who may include a header of another folder all the same: the one place that chooses between the CPU and the GPU.
EXCEPTIONS = {"src/job/backend.c": ["kernels/cpu", "kernels/cuda"]}

# Headers whose functions or tables several files define: x.h -> how the names of these files begin.
PROVIDERS = {
    "src/include/lloyd/lloyd.h": ("src/job/", "src/program/", "src/report/report.c", "src/base/stop.c"),
    "src/include/lloyd/lloyd_mpi.h": ("src/job/api.c",),
    "src/include/lloyd/status.h": ("src/base/status.c",),
    "comm/staging.h": ("comm/staging_",),
    "io/readers/registry.h": ("io/readers/",),
    "kernels/cuda/assign/registry.h": ("kernels/cuda/assign/sm",),
    "kernels/cuda/int8/kernel.h": ("kernels/cuda/int8/sm",),
}

SOURCES = (".c", ".cu")
HEADERS = (".h", ".cuh")
DOCUMENT = "docs/architecture.md"
BEGIN, END = "<!-- include graph: begin -->", "<!-- include graph: end -->"


def project_files():
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True)
    if out.returncode == 0:
        return [name for name in out.stdout.splitlines() if os.path.isfile(name)]
    return [os.path.relpath(os.path.join(folder, name)) for folder, folders, names in os.walk(".")
            if not re.match(r"\./(build|\.git)", folder) for name in names]


def layer(name):
    fits = [folder for folder in LAYERS if name.startswith(folder + "/")]
    return max(fits, key=len, default=None)


def stem(name):
    return name.rsplit(".", 1)[0]


def read(name):
    with open(name, encoding="utf-8", errors="replace") as file:
        return file.read()


# ---- includes ------------------------------------------------------------------------------------------------------


def included(name, files):
    """The project's files that `name` includes, and the names that are not found."""
    found, missing = [], []
    for path in re.findall(r'^[ \t]*#[ \t]*include "([^"]+)"', read(name), flags=re.M):
        for candidate in (os.path.join(os.path.dirname(name), path), path, "src/" + path, "src/include/" + path):
            if candidate in files:
                found.append(candidate)
                break
        else:
            missing.append(path)
    return found, missing


def check_includes(code, files):
    wrong, graph = [], collections.defaultdict(set)
    for name in code:
        found, missing = included(name, files)
        wrong += [f'{name}: #include "{path}" is no file of this project' for path in missing]
        own = layer(name)
        for other in found:
            there = layer(other)
            if own == there:
                continue
            if there in EXCEPTIONS.get(name, []):
                continue
            if there not in LAYERS[own]:
                wrong.append(f"{name}: includes {other}; {own} may include only {', '.join(LAYERS[own])}")
            else:
                graph[own].add(there)
    return wrong, graph


def reachable(graph, start):
    seen, todo = set(), [start]
    while todo:
        for other in graph[todo.pop()]:
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return seen


def levels(graph):
    """The layers from the top down: each below all that include it."""
    names = set(graph) | {other for others in graph.values() for other in others}
    depth = {}
    while len(depth) < len(names):
        ready = [n for n in names if n not in depth and all(m in depth for m in names if n in graph[m])]
        if not ready:
            return None
        level = 1 + max(depth.values(), default=0)
        depth.update({n: level for n in ready})
    return depth


def draw(graph):
    """Markdown: a drawing of the graph without the arrows that others imply, and all of them as a table."""
    depth = levels(graph)
    order = sorted(depth, key=lambda n: (depth[n], n))
    lines = ["```mermaid", "flowchart TD"]
    for name in order:
        implied = set().union(*(reachable(graph, other) for other in graph[name]))
        for other in sorted(graph[name] - implied):
            lines.append(f"    {name.replace('/', '_')}[{name}] --> {other.replace('/', '_')}[{other}]")
    lines += ["```", "", "| folder | includes headers of |", "|---|---|"]
    for name in order:
        lines.append(f"| {name} | {', '.join(sorted(graph[name], key=order.index)) or 'none'} |")
    return "\n".join(lines)


def graph_block(graph):
    return f"{BEGIN}\n{draw(graph)}\n{END}"


def check_drawing(graph):
    if levels(graph) is None:
        return ["the folders include each other in a circle"]
    if graph_block(graph) not in read(DOCUMENT):
        return [f"{DOCUMENT}: the include graph is not as it is; tests/structure.py --write mends it"]
    return []


def write_drawing(graph):
    text = read(DOCUMENT)
    if BEGIN not in text:
        sys.exit(f"{DOCUMENT} has no place for the graph: a line '{BEGIN}', and '{END}' below it")
    before, rest = text.split(BEGIN)
    with open(DOCUMENT, "w", encoding="utf-8") as file:
        file.write(before + graph_block(graph) + rest.split(END)[1])


# ---- headers -------------------------------------------------------------------------------------------------------


def at_top_level(text):
    """C text without comments, strings, preprocessor lines, and what stands in braces."""
    text = re.sub(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'""", " ", text, flags=re.S)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*$", "", text, flags=re.M)
    text = re.sub(r'extern\s+\{', " ", text)  # extern "C" {
    out, depth = [], 0
    for char in text:
        if char == "{":
            out += ["{}"] if depth == 0 else []
            depth += 1
        elif char == "}":
            depth = max(depth - 1, 0)
        elif depth == 0:
            out.append(char)
    return "".join(out)


def symbols(name):
    """(declared, defined): the project's functions and variables with external linkage in a file."""
    declared, defined = set(), set()
    text = at_top_level(read(name))
    function = r"([^;{}]*?)\b(lloyd_\w+)\s*\(([^;{}]*)\)[^;{}()]*?(?:\([^;{}]*\))?\s*(;|\{\})"
    for before, symbol, _, end in re.findall(function, text):
        if re.search(r"\b(static|typedef|return)\b|[=(]", before):
            continue
        (declared if end == ";" else defined).add(symbol)
    variable = r"(?:^|[;}])([^;{}()=]*?)\b(lloyd_\w+)\s*(?:\[[^;{}=]*\])?\s*(=|;)"
    for before, symbol, end in re.findall(variable, text):
        if not before.strip() or re.search(r"\b(static|typedef)\b", before) or re.search(r"\b(struct|enum|union)\s*$", before):
            continue
        external = re.search(r"\bextern\b", before) and end == ";"
        (declared if external else defined).add(symbol)
    return declared, defined


def has_main(name):
    return re.search(r"^int main\(", read(name), flags=re.M) is not None


def check_headers(code, files):
    wrong = []
    declared, defined = {}, {}
    for name in code:
        declared[name], defined[name] = symbols(name)
    sources = [name for name in code if name.endswith(SOURCES)]
    everything = {symbol: name for name in sources for symbol in defined[name]}
    for name in sources:
        if any(stem(name) + end in files for end in HEADERS) or has_main(name):
            continue
        served = [header for header, prefixes in PROVIDERS.items() if name.startswith(prefixes)]
        if not served:
            wrong.append(f"{name}: has no header")
            continue
        text = "".join(read(other) for other in code if stem(other) in map(stem, served))
        made = tuple(re.findall(r"\b(lloyd_\w+)##", text))  # how the names begin that a macro declares
        for symbol in sorted(defined[name] - set().union(*(declared[header] for header in served))):
            if not symbol.startswith(made or " "):
                wrong.append(f"{name}: has no header, and {', '.join(served)} does not declare {symbol}")
    for name in code:
        own = [n for n in sources if n == name or stem(n) == stem(name) or n.startswith(PROVIDERS.get(name, stem(name) + "."))]
        ours = set().union(*(defined[n] for n in own))
        for symbol in sorted(declared[name] - ours):
            wrong.append(f"{name}: declares {symbol}, which {everything.get(symbol, 'nothing')} defines")
    return wrong


# ---- comments ------------------------------------------------------------------------------------------------------


def check_comments(files):
    """Files are named by their path from the top, src, tests or the folder of the comment, or without a path."""
    wrong, names = [], {os.path.basename(name) for name in files}
    for name in files:
        if not name.endswith(SOURCES + HEADERS):
            continue
        places = ["", "src/", "src/include/", "tests/", os.path.dirname(name) + "/"]
        for comment in re.findall(r"/\*.*?\*/|//[^\n]*", read(name), flags=re.S):
            for other in re.findall(r"(?<![\w./<-])((?:[\w-]+/)*[\w-]+\.(?:cuh?|[ch]|py|sh|md))\b(?!\()", comment):
                if not (other in names or any(place + other in files for place in places)):
                    wrong.append(f"{name}: a comment names {other}, which is no file")
    return wrong


# ---- sizes ---------------------------------------------------------------------------------------------------------


def first_comment(text):
    found = re.match(r'(?:#![^\n]*\n)?\s*(/\*.*?\*/|""".*?"""|(?:#[^\n]*\n)+|(?://[^\n]*\n)+)', text, flags=re.S)
    return re.sub(r"\s+(?:\*|#|//)?\s*", " ", found.group(1)) if found else ""


def check_sizes(files):
    wrong, folders = [], collections.defaultdict(set)
    for name in files:
        if not name.endswith(SOURCES + HEADERS + (".cpp", ".py", ".sh", ".sbatch")):
            continue
        text = read(name)
        lines = text.count("\n")
        if lines > MOST_LINES and f"Longer than {MOST_LINES} lines" not in first_comment(text):
            wrong.append(f"{name}: {lines} lines; at most {MOST_LINES}, or its first comment says "
                         f"'Longer than {MOST_LINES} lines' and why")
        folders[os.path.dirname(name)].add(stem(name))
    for folder, names in sorted(folders.items()):
        if len(names) > MOST_FILES:
            wrong.append(f"{folder}: {len(names)} source files; at most {MOST_FILES}")
    return wrong


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    files = set(project_files())
    code = sorted(name for name in files if name.endswith(SOURCES + HEADERS) and layer(name))
    wrong, graph = check_includes(code, files)
    if sys.argv[1:] == ["--write"]:
        write_drawing(graph)
        return
    wrong += check_drawing(graph) + check_headers(code, files) + check_comments(files) + check_sizes(sorted(files))
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
