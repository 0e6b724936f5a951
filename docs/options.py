#!/usr/bin/env python3
"""Writes what `lloyd help` says of commands and options into the documents that repeat it.

    docs/options.py PROGRAM            writes; PROGRAM is a lloyd that has just been built
    docs/options.py --check PROGRAM    writes nothing; fails if a document is not what would be written

The options are declared in src/options/table.c, from which the help texts follow. Below, a region of a document is what lies
between its lines "begin NAME" and "end NAME".
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


# ---- The help texts ---------------------------------------------------------------------------------------------------

def read_help(program, *words):
    return subprocess.run([program, "help", *words], check=True, capture_output=True, text=True).stdout


def one_line(text):
    return " ".join(text.split())


def read_option(head, text):
    """What "-o, --output MODEL.h5" and the lines below it say."""
    names, argument = re.fullmatch(r"((?:-\w, )?-\S+)(?: (\S+))?", head).groups()
    text, default = re.fullmatch(r"(.*?)(?: Default: (\S+)\.)?", one_line(text)).groups()
    return {"names": names.split(", "), "argument": argument or "", "help": text, "default": default or ""}


def read_command(program, name):
    usage, about, *more = read_help(program, name).split("\n\n")
    options = []
    if more[0].startswith("Options:"):
        for match in re.finditer(r"^  (-.*)\n((?: {6}.*(?:\n|$))+)", more[0], re.M):
            options.append(read_option(*match.groups()))
    call = one_line(usage).removeprefix("Usage: lloyd ").removeprefix(name).strip()
    for option in options:
        option["required"] = any(f"{n} {option['argument']}" in call.split(" [OPTION")[0] for n in option["names"])
    return {"name": name, "call": call, "help": one_line(about), "options": options,
            "positional": not call.startswith(("-", "["))}


def read_commands(program):
    briefs = re.findall(r"^  (\w+) {2,}(.*)$", read_help(program).split("Commands:")[1].split("Options:")[0], re.M)
    commands = [read_command(program, name) | {"brief": brief} for name, brief in briefs if name != "help"]
    assert len(commands) == 9 and len(commands[0]["options"]) > 20, "the help texts cannot be read"
    return commands


# ---- The manual page --------------------------------------------------------------------------------------------------

def roff(text):
    return text.replace("-", r"\-")


def roff_argument(argument):
    """Words that are typed as they are in bold, names for something in italics."""
    def part(word):
        if re.fullmatch(r"[a-z0-9+-]+", word):
            return rf"\fB{roff(word)}\fR"
        return re.sub(r"[^\[\]]+", lambda match: rf"\fI{roff(match[0])}\fR", word)
    return "|".join(part(word) for word in argument.split("|"))


def roff_sentences(text):
    return [roff(sentence) for sentence in re.split(r"(?<=\.) (?=[A-Z])", text)]


def roff_option(option):
    names = ", ".join(rf"\fB{roff(name)}\fR" for name in option["names"])
    head = f"{names} {roff_argument(option['argument'])}" if option["argument"] else f".B {roff(option['names'][0])}"
    default = [f"Default: {roff(option['default'])}."] if option["default"] else []
    return [".TP", head, *roff_sentences(option["help"]), *default]


def roff_call(call):
    words = []
    for word in call.split():
        if word.startswith("-"):
            words.append(rf"\fB{roff(word)}\fR")
        elif word.startswith("[OPTION"):
            words.append(r"[\fIOPTION\fR")
        else:
            words.append(word if word in ("...", "...]") else roff_argument(word))
    return " ".join(words)


def manual_page(commands):
    calls, briefs, options = [], [], []
    for command in commands:
        calls += [f".B lloyd {command['name']}", roff_call(command["call"]), ".br"]
        briefs += [".TP", f".B {command['name']}", roff(command["brief"][0].upper() + command["brief"][1:] + ".")]
        options += [f".SH {command['name'].upper()}", *roff_sentences(command["help"])]
        for option in command["options"]:
            options += roff_option(option)
    return {"synopsis": calls, "commands": briefs, "options": options}


# ---- The completion of bash -------------------------------------------------------------------------------------------

def values_of(option):
    """What completes the value of an option: words, FILES, or NOTHING where only a person knows; empty: it takes none."""
    words = [word for word in option["argument"].split("|") if "|" in option["argument"] and re.fullmatch(r"[a-z0-9+-]+", word)]
    if re.search(r"FILE|\.h5|\.html|\.jsonl", option["argument"]):
        words.append("FILES")
    return " ".join(words) or ("NOTHING" if option["argument"] else "")


def completion(commands):
    lines = ["_lloyd_commands() {", f'    echo "{" ".join(c["name"] for c in commands)}"', "}", "",
             "# The options of a command; FILES: a file may stand there too.", "_lloyd_options() {", "    case $1 in"]
    values, others = {"--help": ""}, []  # of an option that has another value in some command
    for command in commands:
        names = [name for option in command["options"] for name in option["names"]] + ["--help"]
        names += ["FILES"] if command["positional"] else []
        lines.append(f'        {command["name"]}) echo "{" ".join(names)}" ;;')
        for option in command["options"]:
            for name in option["names"]:
                if values.setdefault(name, values_of(option)) != values_of(option):
                    others.append(f'        "{command["name"]} {name}") echo "{values_of(option)}" ; return ;;')
    lines += ["    esac", "}", "",
              "# What completes the value of an option: words, FILES, or NOTHING where only a person knows; empty: it takes none.",
              "_lloyd_values() {", '    case "$1 $2" in', *others, "    esac", "    case $2 in"]
    for value in sorted(set(values.values()), key=lambda value: (value in ("", "FILES", "NOTHING"), value)):
        names = " | ".join(sorted(name for name in values if values[name] == value))
        lines.append(f'        {names}) echo "{value}" ;;')
    return {"options": [*lines, "    esac", "}"]}


# ---- docs/options.md --------------------------------------------------------------------------------------------------

def markdown(text):
    return re.sub(r"(?<![\w/`-])(--[a-z][a-z-]*)", r"`\1`", text.replace("|", r"\|"))


def markdown_tables(commands):
    tables = {}
    for command in commands:
        rows = ["| option | meaning | default |", "|---|---|---|"]
        for option in command["options"]:
            value = option["argument"].replace("|", r"\|")
            head = ", ".join(f"`{name} {value}`" if name == option["names"][-1] and value else f"`{name}`"
                             for name in reversed(option["names"]))
            default = "required" if option["required"] else f"`{option['default']}`" if option["default"] else ""
            rows.append(f"| {head} | {markdown(option['help'])} | {default} |".replace("|  |", "| |"))
        tables[command["name"]] = rows
    return tables


# ---- Regions ----------------------------------------------------------------------------------------------------------

def replace_regions(path, regions):
    """The document with the lines of each region replaced."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = file.read()
    for name, lines in regions.items():
        pattern = rf"(^[^\n]*\bbegin {name}\b[^\n]*\n).*?(^[^\n]*\bend {name}\b)"
        text, count = re.subn(pattern, lambda match, lines=lines: match[1] + "\n".join(lines) + "\n" + match[2], text,
                              flags=re.M | re.S)
        assert count == 1, f"{path}: the region {name} is there {count} times"
    return text


def main():
    check = sys.argv[1:2] == ["--check"]
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__)
        return
    if len(sys.argv) != 2 + check:
        sys.exit(__doc__)
    commands = read_commands(sys.argv[-1])
    documents = {"docs/lloyd.1": manual_page(commands), "src/completion/lloyd.bash": completion(commands),
                 "docs/options.md": markdown_tables(commands)}
    old = []
    for path, regions in documents.items():
        text = replace_regions(path, regions)
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            if file.read() == text:
                continue
        old.append(path)
        if not check:
            with open(os.path.join(ROOT, path), "w", encoding="utf-8") as file:
                file.write(text)
    if check and old:
        sys.exit(f"{', '.join(old)}: not what lloyd help says; docs/options.py writes it")


if __name__ == "__main__":
    main()
