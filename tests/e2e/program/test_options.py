"""The options of lloyd, where a person looks for them: --help, the manual page, the completion of bash and the table of
docs/options.md say the same. The program is what counts; the others are compared with it.
"""
import json
import os
import re
import subprocess
import sys

from common import ROOT, Test, attribute

t = Test("options")
page = os.path.join(ROOT, "docs/lloyd.1")
completion = os.path.join(ROOT, "src/completion/lloyd.bash")


def one_line(text):
    return " ".join(text.split())


def check_equal(what, found, expected):
    """Two dictionaries are equal; says what is not."""
    missing = "missing"
    text = "".join(f"      {key!r}\n        is       {found.get(key, missing)!r}\n        and not  {expected.get(key, missing)!r}\n"
                   for key in sorted(found.keys() | expected.keys())
                   if found.get(key, missing) != expected.get(key, missing))
    t.check(not text, what, text.rstrip("\n"))


# ---- the program ------------------------------------------------------------------------------------------------------

def options_of(text, indent, description):
    """{option: (argument, description)} of text that has options at one indentation and what they do at a deeper one. An option
    with a letter is there twice: -o and --output."""
    options, last = {}, []
    for line in text.splitlines():
        if option := re.fullmatch(rf" {{{indent}}}(?:(-\w), )?(-\S+)(?: (\S+))?(?: {{2,}}(.*))?", line):
            last = [name for name in (option[1], option[2]) if name]
            options.update(dict.fromkeys(last, (option[3] or "", option[4] or "")))
        elif last and line.startswith(" " * description):
            argument, text = options[last[0]]
            options.update(dict.fromkeys(last, (argument, one_line(text + " " + line))))
        elif line.strip():
            last = []
    return options


def help_of(*words):
    result = t.lloyd(*words, "--help")
    t.check(result.status == 0, f"lloyd {' '.join(words)} --help", result.describe())
    return result.out


usage = help_of()
commands = re.findall(r"^  (\w+) {2,}\S", usage.split("Commands:")[1].split("Options:")[0], re.M)
program = {c: options_of(help_of(c), 2, 6) for c in commands if c != "help"}
t.check(len(program) >= 5 and len(program["fit"]) > 20, "the options are found in the help texts")

# ---- the C interface --------------------------------------------------------------------------------------------------

def fields_of(struct):
    """The names of the fields of a struct in lloyd.h."""
    with open(os.path.join(ROOT, "src/include/lloyd/lloyd.h"), encoding="utf-8") as file:
        body = re.search(rf"typedef struct {struct} {{(.*?)}} {struct};", re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S), re.S)[1]
    return {name for line in body.split(";") for name in re.findall(r"(\w+)\s*(?:,|$)", line.strip())}


# Fields that are no option of the command line; of an option, the field's name is its own but for hyphens.
OTHERS = {"fit": {"input_count", "command", "watch", "watcher"}, "predict": {"input_count", "chunk_rows"}, "report": {"model"}, "export": {"model"}, "select": {"clusters", "cluster_count", "input_count"}, "split": {"input_count", "command"}, "info": {"file"}, "wrap": {"input_count", "inputs"}, "synth": set()}
for c, others in OTHERS.items():
    named = {name.lstrip("-").replace("-", "_") for name in program[c]} - {"o"}
    named = {"inputs" if name == "input" else name for name in named}
    check_equal(f"every field of lloyd_{c}_options is an option", dict.fromkeys(fields_of(f"lloyd_{c}_options") - others),
                dict.fromkeys(named))

model = t.fit(t.data("digits.h5"), "listed.h5", "-k", 3)
if model:
    recorded = set(json.loads(attribute(model, "options")))
    named = {name.lstrip("-") for name in program["fit"]} - {"o", "help", "progress", "timeout", "dry-run", "filter", "prune"}
    check_equal("the options that a model records", dict.fromkeys(sorted(recorded)), dict.fromkeys(sorted(named)))

# ---- what depends on an option: the lists in the documents ------------------------------------------------------------

def options_with(role):
    """The options of fit whose row in the table says so; without a role it is DECIDES."""
    with open(os.path.join(ROOT, "src/options/table.c"), encoding="utf-8") as file:
        rows = re.search(r"fit_options\[\] = \{(.*?)\{\.name = NULL\}", file.read(), re.S)[1].split(".name = ")[1:]
    roles = {re.match(r'"(.*?)"', row)[1]: (re.findall(r"\.role = LLOYD_OPTION_(\w+)", row) or ["DECIDES"])[0] for row in rows}
    t.check(len(roles) > 20, "the table of options is found")
    return {name for name, said in roles.items() if said == role}


def options_in(document, begin, end):
    with open(os.path.join(ROOT, document), encoding="utf-8") as file:
        return set(re.findall(r"`(--?[a-z-]+)`", file.read().split(begin)[1].split(end)[0]))


check_equal("formats.md: the options in a checkpoint",
            dict.fromkeys(sorted(options_in("docs/formats.md", "the options that decide the result, one per line:", "An initial model"))),
            dict.fromkeys(sorted(options_with("DECIDES"))))
check_equal("operations.md: the options that may differ from rank to rank",
            dict.fromkeys(sorted(options_in("docs/operations.md", "difference. Only", "may differ from rank to rank"))),
            dict.fromkeys(sorted(options_with("OWN") - {"--input", "--dataset", "--raw", "--dim"}))) # compared by the files that they lead to

# ---- the manual page --------------------------------------------------------------------------------------------------

# Lines long enough for any paragraph; -ww: all warnings.
groff = ["groff", "-man", "-Tascii", "-ww", "-P-c", "-P-b", "-P-u", "-rLL=2000n", page]
rendered = subprocess.run(groff, capture_output=True, text=True, check=False)
t.check(rendered.returncode == 0 and not rendered.stderr, "groff renders the page without a warning", rendered.stderr)
sections, name = {}, ""
for line in rendered.stdout.splitlines():
    if re.fullmatch(r"[A-Z ]+", line):
        name = line.strip()
    sections[name] = sections.get(name, "") + line + "\n"
for c in program:
    check_equal(f"lloyd.1: the options of {c}", options_of(sections.get(c.upper(), ""), 7, 14), program[c])
shown = re.findall(r"^ {7}(\w+)", sections.get("COMMANDS", ""), re.M)
check_equal("lloyd.1: the commands", dict.fromkeys(shown), dict.fromkeys(commands))
synopsis = {line.split()[1]: one_line(line) for line in sections.get("SYNOPSIS", "").splitlines() if " lloyd " in line}
for c in program:
    first = help_of(c).splitlines()[0].removeprefix("Usage: ")
    t.check(synopsis.get(c) == first, f"lloyd.1: how {c} is called", f"      {synopsis.get(c)}\n      {first}")
statuses = {"0", "1", "2", "3", "75"}
check_equal("lloyd.1: exit statuses", dict.fromkeys(re.findall(r"^ {7}(\d+) ", sections.get("EXIT STATUS", ""), re.M)),
            dict.fromkeys(statuses))
check_equal("lloyd --help: exit statuses", dict.fromkeys(re.findall(r"(\d+) \w", usage.split("Exit status:")[1])),
            dict.fromkeys(statuses))

# ---- the completion ---------------------------------------------------------------------------------------------------

os.makedirs(t.path("here"))
for file in ("model.h5", "rows.h5"):
    open(t.path(f"here/{file}"), "w", encoding="ascii").close()


def complete(*words):
    """What bash offers after `lloyd WORDS...` when the last word is being typed."""
    script = ('set -u; source "$1"; shift; COMP_WORDS=(lloyd "$@"); COMP_CWORD=$#; _lloyd; '
              '[[ ${#COMPREPLY[@]} == 0 ]] || printf "%s\\n" "${COMPREPLY[@]}"')
    result = subprocess.run(["bash", "-c", script, "bash", completion, *words], capture_output=True, text=True,
                            cwd=t.path("here"), check=False)
    if result.returncode or result.stderr:
        return {"an error": result.stderr}
    return dict.fromkeys(result.stdout.split())


positional = [c for c, line in synopsis.items() if re.match(rf"lloyd {c} [A-Z]", line)]
files = {"model.h5": None, "rows.h5": None}
check_equal("completion: what comes first", complete(""), dict.fromkeys([*commands, "--help", "--version"]))
for word in ("help", "--help"):
    check_equal(f"completion: lloyd {word}", complete(word, ""), dict.fromkeys(program))
    for c in program:
        shown = t.lloyd(word, c)
        t.check(shown.status == 0 and shown.out == help_of(c), f"lloyd {word} {c} shows what lloyd {c} --help does", shown.describe())
for c, options in program.items():
    t.check(("-o" in options) == ("--output" in options), f"lloyd {c} has -o where it has --output")
for c, options in program.items():
    check_equal(f"completion: the options of {c}", complete(c, "-"), dict.fromkeys([*options, "--help"]))
    for option, (argument, _) in options.items():
        choices = {word: None for word in argument.split("|") if "|" in argument and not word.isupper() and "." not in word}
        takes_file = bool(re.search(r"\.h5|\.html|\.jsonl|FILE", argument))
        offered = complete(c, option, "")
        if not argument:
            expected = dict.fromkeys([*options, "--help"]) | (files if c in positional else {})
        else:
            expected = choices | (files if takes_file else {})
        if expected:
            check_equal(f"completion: after {c} {option}", offered, expected)
        else:
            t.check(not offered, f"completion: nothing after {c} {option}", f"      {offered}")
check_equal("completion: a command half typed", complete("pre"), {"predict": None})
check_equal("completion: an option half typed", complete("fit", "-k", "8", "--max-i"), {"--max-iters": None})
check_equal("completion: --metric=", complete("fit", "--metric", "="), {"l2": None, "cosine": None})
check_equal("completion: --metric=c", complete("fit", "--metric", "=", "c"), {"cosine": None})
check_equal("completion: the file of info", complete("info", "m"), {"model.h5": None})

# ---- what docs/options.py writes --------------------------------------------------------------------------------------

written = subprocess.run([sys.executable, os.path.join(ROOT, "docs/options.py"), "--check", t.lloyd_path], capture_output=True,
                         text=True, check=False)
t.check(written.returncode == 0, "docs/lloyd.1, lloyd.bash and docs/options.md are what docs/options.py writes",
        written.stdout + written.stderr)
t.finish()
