#!/usr/bin/env python3
"""What stands in for Slurm, and for CMake in the demo, where test_docs.py runs a command: it acts as the program under whose name it
is called. Standard library only; STAND_IN names a folder for what must be kept between calls.

sbatch    refuses what Slurm refuses (unknown options, no script, times that are none) and what bash refuses, then runs the script
          here and now from a copy, as Slurm does, with the variables of a job of that many tasks; each task of an array too
srun      in a job, one rank of the program, with fewer clusters and rows than written; outside, one rank as written
scontrol, squeue    what the scripts ask of them
cmake     checks the options' form; the program under test (LLOYD_UNDER_TEST) is what it "builds"
apt-get   installs nothing
"""
import os
import re
import shutil
import subprocess
import sys

# Options with a value, and (False) without one. tests/jobs/test_slurm.py gives most of them to a real Slurm.
SBATCH = {"array": True, "cpus-per-task": True, "dependency": True, "exclusive": False, "gpus-per-node": True, "job-name": True,
          "kill-on-invalid-dep": True, "mem": True, "nodes": True, "ntasks": True, "ntasks-per-node": True, "open-mode": True,
          "output": True, "parsable": False, "requeue": False, "signal": True, "time": True, "wrap": True}
SRUN = {"cpu-bind": True, "cpus-per-task": True, "distribution": True, "gpu-bind": True, "kill-on-bad-exit": True, "mpi": True,
        "nodes": True, "ntasks": True, "ntasks-per-node": True}
VALUES = {"array": r"\d+(-\d+)?", "nodes": r"[1-9]\d*", "time": r"(\d+-)?\d+(:\d\d){0,2}", "signal": r"(B:)?USR1@\d+",
          "cpus-per-task": r"[1-9]\d*", "gpus-per-node": r"\d+", "ntasks": r"[1-9]\d*", "ntasks-per-node": r"[1-9]\d*"}
CLUSTERS, ROWS = 64, 1000  # of a job here


def refuse(text):
    print(f"{NAME}: error: {text}", file=sys.stderr)
    sys.exit(1)


def split(words, known):
    """The options at the beginning of `words` as a dictionary, and the rest."""
    options, words = {}, list(words)
    while words and words[0].startswith("-"):
        name, equals, value = words.pop(0).removeprefix("--").partition("=")
        if name not in known:
            refuse(f"unrecognized option '{name}'")
        if known[name] and not equals:
            value = words.pop(0) if words else refuse(f"option '--{name}' requires an argument")
        if name in VALUES and not re.fullmatch(VALUES[name], value):
            refuse(f"invalid --{name} '{value}'")
        options[name] = value
    return options, words


def kept(name):
    return os.path.join(os.environ["STAND_IN"], name)


def sbatch(words):
    options, rest = split(words, SBATCH)
    if "wrap" in options:
        command, given = ["bash", "-c", options["wrap"]], {}
    else:
        if not rest or not os.path.isfile(rest[0]):
            refuse(f"Unable to open file {rest[:1]}")
        with open(rest[0], encoding="utf-8") as file:
            lines = file.read().splitlines()
        if not lines[0].startswith("#!"):
            refuse("This does not look like a batch script")
        given, left = split([word for line in lines if line.startswith("#SBATCH ") for word in line.split()[1:]], SBATCH)
        if left:
            refuse(f"{left} in the lines of #SBATCH")
        subprocess.run(["bash", "-n", rest[0]], check=True)
        shutil.copy(rest[0], kept("slurm_script"))
        with open(kept("command"), "w", encoding="utf-8") as file:
            file.write(os.path.abspath(rest[0]))
        command = ["bash", kept("slurm_script"), *rest[1:]]
    options = {**given, **options}
    nodes = int(options.get("nodes", 1))
    environment = {**os.environ, "SLURM_JOB_ID": "17", "SLURM_JOB_NUM_NODES": str(nodes),
                   "SLURM_NTASKS": str(nodes * int(options.get("ntasks-per-node", 1))),
                   "SLURM_CPUS_PER_TASK": options.get("cpus-per-task", "1")}
    environment.pop("OMP_NUM_THREADS", None)
    first, _, last = options.get("array", "").partition("-")
    print("17" if "parsable" in options else "Submitted batch job 17", flush=True)
    for index in range(int(first), int(last or first) + 1) if first else [""]:
        here = {**environment, "SLURM_ARRAY_TASK_ID": str(index)} if first else environment
        status = subprocess.run(command, env=here, stdout=sys.stderr, check=False).returncode
        if status != 0:
            refuse(f"the job ended with {status}")


def srun(words):
    _, words = split(words, SRUN)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    if "SLURM_JOB_ID" in os.environ:
        environment["OMP_NUM_THREADS"] = "1"  # SLURM_CPUS_PER_TASK is a large node's
        for option, most in (("-k", CLUSTERS), ("--clusters", CLUSTERS), ("--total", CLUSTERS), ("--rows", ROWS)):
            if option in words:
                place = words.index(option) + 1
                if words[place].isdigit():  # --rows of fit names a file
                    words[place] = str(min(int(words[place]), most))
    os.execvpe(words[0], words, environment)


def scontrol(words):
    if words[:2] != ["show", "job"]:
        refuse(f"not expected: {words}")
    with open(kept("command"), encoding="utf-8") as file:
        print(f"JobId={words[2]} JobName=x\n   Command={file.read()}\n   WorkDir={os.getcwd()}")


def cmake(words):
    folder = words[words.index("--build" if "--build" in words else "-B") + 1]
    if "--build" not in words:
        if not os.path.exists(os.path.join(words[words.index("-S") + 1], "CMakeLists.txt")):
            refuse("no CMakeLists.txt")
        os.makedirs(folder, exist_ok=True)
    else:
        os.symlink(os.environ["LLOYD_UNDER_TEST"], os.path.join(folder, "lloyd"))


NAME = os.path.basename(sys.argv[0])
if __name__ == "__main__":
    {"sbatch": sbatch, "srun": srun, "scontrol": scontrol, "cmake": cmake,
     "squeue": lambda words: print("RUNNING"), "apt-get": lambda words: None}[NAME](sys.argv[1:])
