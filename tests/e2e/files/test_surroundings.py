"""What a process is started with: a limit on address space, closed standard streams, a number of threads that nobody means.

None of it may hang, give a message about something else, or mix what is for a person with what is for a file.
"""
import os
import re
import resource

from common import Test, log_events, read

LIMIT = 60  # seconds; a hang lasts longer


def limited(megabytes):
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes * 10**6, megabytes * 10**6))


def wanted(message):
    """(allowed, wanted) in MB, as the message about the limit names them."""
    found = re.search(r"\(ulimit -v\) allows (?:rank \d+ )?(\d+) MB, but (?:it needs at least )?(\d+) MB", message)
    return tuple(map(int, found.groups())) if found else None


def ends(t, what, result, allowed):
    """0, or 1 with a sentence that names the limit and what is wanted, which is returned. Less than the program itself needs is said
    by the system."""
    t.check(not result.timed_out, f"{what}: does not hang", result.describe())
    if result.status == 0:
        return 0
    if result.status == 127 and "shared libraries" in result.err:
        return 100
    numbers = [wanted(message) for message in result.messages if wanted(message)]
    ok = result.status == 1 and len(numbers) == 1 and abs(numbers[0][0] - allowed) <= 1 < numbers[0][1] - allowed + 1
    t.check(ok, f"{what}: status 1, the memory that is wanted and allowed", result.describe())
    return numbers[0][1] if numbers else 0


def address_space(t, rows):
    """From less than what the libraries want up to enough."""
    enough = 0
    for megabytes in (50, 100, 200, 300):
        result = t.lloyd("--version", timeout=LIMIT, preexec_fn=limited(megabytes))
        enough = max(enough, ends(t, f"--version in {megabytes} MB", result, megabytes))
    result = t.lloyd("--version", timeout=LIMIT, preexec_fn=limited(enough + 50))
    t.check(result.status == 0 and result.out.startswith("lloyd "), f"--version in {enough + 50} MB", result.describe())

    whole = t.fit(rows, "whole.h5", "-k", 16, "--max-iters", 2, "--seed", 1, threads=2)
    fit = ["fit", "--input", rows, "-k", 16, "--max-iters", 2, "--seed", 1, "--output", t.path("model.h5"), "--progress", "plain"]
    for ranks in (1, 2, 4):
        if enough_at_last(t, f"a fit of {ranks} rank(s)", fit, ranks):
            t.check_same("the result is the same", whole, t.path("model.h5"))
            os.remove(t.path("model.h5"))
    enough_at_last(t, "predict", ["predict", "--model", whole, "--input", rows, "--output", t.path("labels.h5")], 1)


def enough_at_last(t, what, command, ranks):
    """From 300 MB on, what a message asks for is given: first what the program needs to begin with, which it knows before anything
    else, then what the job needs. Then it is enough. Whether it was."""
    allowed = 300
    for _ in range(3):
        result = t.lloyd(*command, ranks=ranks, threads=2, timeout=LIMIT, preexec_fn=limited(allowed))
        needed = ends(t, f"{what} in {allowed} MB", result, allowed)
        if needed == 0:
            return t.check(allowed > 300, f"{what} in the {allowed} MB that it asked for", result.describe())
        if not t.check(allowed < needed < 2000, f"{what} needs more ({needed} MB)", result.describe()):
            return False
        allowed = needed
    return t.check(False, f"{what} in {allowed} MB", result.describe())


def closed_streams(t, rows):
    """Whoever opens a file gets the lowest number that is free: 2 must not be one."""
    for closed in ("0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"):
        log = t.path("fit.jsonl")
        command = f"exec '{t.lloyd_path}' fit --input '{rows}' -k 3 --max-iters 2 --progress plain --output model.h5 --log '{log}' {closed}"
        result = t.run(["sh", "-c", command])
        events = [event["event"] for event in log_events(log)]
        t.check(events and events[0] == "begin" and events[-1] == "end", f"{closed}: the log is JSON", result.describe())
        t.check(read(t.path("model.h5"), "/labels").size > 0, f"{closed}: the model is whole")
        t.check((result.status == 0) == ("1>" not in closed), f"{closed}: a summary that nobody can read is an error", result.describe())
        os.remove(log)


def threads(t, rows):
    for command in (["fit", "--input", rows, "-k", 3, "--output", t.path("model.h5")],
                    ["predict", "--model", t.path("model.h5"), "--input", rows, "--output", t.path("labels.h5")],
                    ["synth", "--rows", 10, "--dim", 2, "--clusters", 1, "--output", t.path("synth.h5")]):
        result = t.lloyd(*command, threads=20000, timeout=LIMIT)
        t.check(result.status == 2 and len(result.messages) == 1 and "OMP_NUM_THREADS is 20000" in result.messages[0] and
                "do not fit" not in result.err, f"{command[0]} with 20,000 threads: status 2", result.describe())
    result = t.lloyd("--version", threads=20000)
    t.check(result.status == 0, "--version does not mind", result.describe())


def main():
    t = Test("surroundings")
    rows = t.path("rows.h5")
    t.lloyd("synth", "--rows", 60000, "--dim", 128, "--clusters", 20, "--output", rows)
    closed_streams(t, rows)
    threads(t, rows)
    if not t.quick:  # sanitizers take terabytes of address space
        address_space(t, rows)
    t.finish()


main()
