"""What the scripts of this folder share."""
import datetime
import json
import os
import platform
import shlex
import subprocess
import sys

SIZES = {"uint8": 1, "int8": 1, "float16": 2, "bfloat16": 2, "float32": 4}  # bytes of an element

# How each peer is installed, or told to a script.
INSTALL = {
    "scikit-learn": "pip install scikit-learn",
    "faiss-cpu": "pip install faiss-cpu",
    "faiss-gpu": "conda install -c pytorch faiss-gpu",
    "SuperKMeans": "pip install superkmeans",
    "FlashLib": "pip install 'flashlib[cutedsl]'",
    "flash-kmeans": "pip install flash-kmeans, or clone https://github.com/svg-project/flash-kmeans and give this script its folder",
    "cuVS": "pip install cuvs-cu13 cupy-cuda13x",
}


def skipped(name, reason):
    """One line for a peer that cannot run."""
    install = next(how for tool, how in INSTALL.items() if name.startswith(tool))
    return f"SKIPPED {name}: {reason} (to install it: {install})"


def with_python_path(environment, folder):
    """The environment of a peer whose package lies in a folder of its own (None: in none)."""
    path = os.pathsep.join(filter(None, [folder and os.path.abspath(folder), environment.get("PYTHONPATH")]))
    return dict(environment, PYTHONPATH=path) if path else dict(environment)


class Failed(Exception):
    """One sentence for the user."""


def main(function):
    """Runs a script's main function."""
    try:
        sys.exit(function())
    except Failed as reason:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {reason}")


def environment(**more):
    """Open MPI as root, with ranks that keep off its binding: it would put all threads of a rank on one core."""
    return {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_hwloc_base_binding_policy": "none",
            **os.environ, **more}


def threads_of(count):
    """For environment(): so many threads."""
    return {"OMP_NUM_THREADS": str(count), "OPENBLAS_NUM_THREADS": str(count)}


def run(command, place=None):
    """What a command prints; Failed, with its output, if it fails."""
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, check=False, env=place or environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    except OSError as error:
        raise Failed(f"cannot run {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        raise Failed(f"{shlex.join(command)}\nended with {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def read_log(path):
    """The events of a fit's log: the first is its begin, the last its end."""
    with open(path, encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    if not events or events[-1]["event"] != "end":
        raise Failed(f"the log {path} has no end")
    return events


def iterations_of(events):
    return [event for event in events if event["event"] == "iteration"]


def cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def how():
    """When and by which command something was measured."""
    return {"date": datetime.date.today().isoformat(), "command": shlex.join([os.path.basename(sys.argv[0])] + sys.argv[1:])}


def write_json(path, content):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
