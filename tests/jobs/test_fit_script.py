"""When fit.sbatch and lloyd.sbatch queue themselves again and when they give up, with stand-ins for Slurm and for lloyd: many courses of events, in no time.

A course says for each run of the job what the fit leaves behind: a number is the iteration of the checkpoint when SIGUSR1 stopped the
run, None no checkpoint, "done" the end of the fit. test_slurm.py tries the same on a real Slurm.
"""
import os
import stat
import subprocess

from common import ROOT, Test

JOBS = os.path.join(ROOT, "jobs")
STOPPED = 75

STAND_INS = {
    "lloyd": """#!/bin/sh
if [ "$1" = info ]; then
    [ -z "$BLIND" ] || exit 1
    echo "Checkpoint: 4 centroids x 2 columns after iteration $(cat "$2") of run 1"
    echo "  file         $2"
    exit 0
fi
echo "$*" >>called
if [ -n "$SIGNAL" ]; then
    trap 'exit 10' USR1
    kill -USR1 "$PPID" && sleep 0.5
    exit 0
fi
case $NEXT in
    done) exit 0 ;;
    failed) exit 1 ;;
    None) ;;
    *) [ "$(cat m.h5.ck 2>/dev/null)" = "$NEXT" ] || echo "$NEXT" >m.h5.ck ;;
esac
exit 75
""",
    "srun": """#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
exec "$@"
""",
    "squeue": """#!/bin/sh
echo "${STATE:-RUNNING}"
""",
    "scontrol": """#!/bin/sh
[ "$1" = requeue ] && echo "$2" >>requeued
[ -z "$REFUSED" ]
"""}


def make_stand_ins(t):
    os.mkdir(t.path("bin"))
    for name, text in STAND_INS.items():
        with open(t.path(f"bin/{name}"), "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(file.name, stat.S_IRWXU)


def run_job(t, course, folder, job="7", script=("fit.sbatch",), **more):
    """Runs the script as often as it queues itself: its exit status and output of every run."""
    os.makedirs(t.path(folder), exist_ok=True)
    runs, queued = [], t.path(f"{folder}/requeued")
    for restart, after in enumerate(course):
        environment = {**os.environ, "PATH": t.path("bin") + ":" + os.environ["PATH"], "SLURM_JOB_ID": job, "SLURM_NTASKS": "1",
                       "SLURM_JOB_NUM_NODES": "1", "JOBS": JOBS, "INPUT": "x.h5", "K": "4", "OUTPUT": "m.h5", "NEXT": str(after),
                       **{name: str(value) for name, value in more.items()}}
        environment.pop("SLURM_RESTART_COUNT", None)
        if restart > 0:
            environment["SLURM_RESTART_COUNT"] = str(restart)
        done = subprocess.run(["bash", f"{JOBS}/{script[0]}", *script[1:]], env=environment, cwd=t.path(folder), text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=60, check=False)
        runs.append((done.returncode, done.stdout + done.stderr))
        if not os.path.exists(queued):
            break
        os.remove(queued)
    return runs


def check_course(t, what, course, runs_expected, last_status, says, never=(), **more):
    folder = "course-" + "".join(c if c.isalnum() else "-" for c in what)
    runs = run_job(t, course, folder, **more)
    text = "\n".join(out for _, out in runs)
    ok = len(runs) == runs_expected and runs[-1][0] == last_status
    ok = ok and all(words in runs[-1][1] for words in says) and not any(words in text for words in never)
    t.check(ok, what, f"      {len(runs)} runs, statuses {[status for status, _ in runs]}\n" + text)
    return folder


def main():
    t = Test("fit-script")
    make_stand_ins(t)
    forever = 9
    gave_up = ("2 restarts in a row made no progress, so the job ends here", "--time", "--nodes", "--signal=B:USR1@SECONDS")
    check_course(t, "done at once", ["done"], 1, 0, (), ("stopped",))
    check_course(t, "a failure is not tried again", ["failed"], 1, 1, (), ("stopped",))
    check_course(t, "each run gets on", [3, 5, 9, 12, "done"], 5, 0, (), ("no progress", "without"))
    check_course(t, "never a checkpoint", [None] * forever, 3, STOPPED, (*gave_up, "stopped without a checkpoint", "starts anew"),
                 ("with a checkpoint", "after iteration"))
    check_course(t, "never beyond the first", [4] * forever, 3, STOPPED,
                 (*gave_up, "stopped with the checkpoint that this run began with, after iteration 4 of run 1", "resumes from m.h5.ck"),
                 ("without a checkpoint",))
    check_course(t, "seeded and no further", [None, 0] + [0] * forever, 4, STOPPED, (*gave_up, "after iteration 0 of run 1"))
    check_course(t, "progress in between counts anew", [2, 2, 3, 3, 4, 4, "done"], 7, 0, (), ("the job ends here",))
    check_course(t, "two after progress", [2, 5, 5, 5, 6], 4, STOPPED, gave_up)
    check_course(t, "one restart without, then done", [None, None, "done"], 3, 0, (), ("the job ends here",))
    check_course(t, "lloyd cannot say how far it is", [4] * forever, 3, STOPPED, (*gave_up, "written 20"), BLIND=1)
    check_course(t, "MAX_RESTARTS", [1, 2, 3, 4, 5], 4, STOPPED, ("this was restart 3 of at most 3", "resumes from m.h5.ck"), MAX_RESTARTS=3)
    check_course(t, "scancel", [4], 1, STOPPED, (), ("stopped", "queues itself"), STATE="CANCELLED")
    check_course(t, "Slurm refuses", [4], 1, STOPPED, ("Slurm refuses; submit it once more, and it resumes from m.h5.ck",), REFUSED=1)

    # Submitted once more after it gave up, it has its two restarts again.
    folder = check_course(t, "given up", [4] * forever, 3, STOPPED, gave_up)
    again = run_job(t, [4] * forever, folder, job="8")
    t.check(len(again) == 3, "a new job has its restarts again", str(again))
    left = sorted(set(os.listdir(t.path(folder))) - {"called"})
    t.check(left == ["m.h5.ck"], "nothing is left but the checkpoint", str(left))

    splits = ["lloyd.sbatch", "split", "--model", "p.h5", "--input", "x.h5", "-k", "4", "--output", "m.h5"]
    for number, checkpoint in enumerate((["--checkpoint", "m.h5.ck"], ["--checkpoint=m.h5.ck", "--resume"])):
        folder = check_course(t, f"split {number} comes back", [3, 5, "done"], 3, 0, (), ("no progress", "without"), script=[*splits, *checkpoint])
        with open(t.path(f"{folder}/called"), encoding="ascii") as file:
            calls = file.read().splitlines()
        t.check(len(calls) == 3 and all(call.split().count("--resume") == 1 for call in calls), "split: with --resume, once", str(calls))
    check_course(t, "split without progress", [4] * forever, 3, STOPPED, ("2 restarts in a row made no progress", "resumes from m.h5.ck"),
                 ("INIT=random",), script=[*splits, "--checkpoint", "m.h5.ck"])
    check_course(t, "split without a checkpoint", [4], 1, STOPPED, (), ("queues itself",), script=splits)
    check_course(t, "split: SIGUSR1 is forwarded", [None], 1, 10, ("SIGUSR1",), script=[*splits, "--checkpoint", "m.h5.ck"], SIGNAL=1)
    check_course(t, "select: SIGUSR1 is not forwarded", [None], 1, 0, (), ("SIGUSR1",), script=["lloyd.sbatch", "select", "m.h5"], SIGNAL=1)
    t.finish()


main()
