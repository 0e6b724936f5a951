"""A rank that fails in NCCL, on two GPUs: all ranks end in time, one message says why, rank 0 has saved its checkpoint, and the
resumed fit gives the bits of one that did not fail. Exit status 77 where there are no two GPUs.
"""
import os
import sys
import time

import data
from common import SKIPPED, Test

LIMIT = 30  # seconds that a failed job may take to end


def more(parser):
    parser.add_argument("--faulty", required=True, help="the program in which a call fails (lloyd_faults)")


def main():
    t = Test("nccl", more)
    t.skip_without_gpu()
    source = data.write(t.path("x.h5"), data.gaussian(400000, 32, 1))
    fit = ["-k", 500, "--seed", 4, "--max-iters", 200, "--backend", "cuda", "--comm", "nccl"]
    whole = t.lloyd("fit", "--input", source, "--output", t.path("whole.h5"), *fit, ranks=2)
    if whole.status != 0 and "GPU" in whole.err:
        print(f"SKIPPED nccl: NO TWO GPUS. NOTHING WAS TESTED. {whole.err}")
        sys.exit(SKIPPED)
    t.check(whole.status == 0, "a fit on two GPUs", whole.describe())
    for rank in (0, 1):
        name, checkpoint = f"rank {rank} fails in NCCL", t.path(f"{rank}.ckpt")
        os.environ["LLOYD_FAULT"] = f"nccl:40:{rank}"
        began = time.time()
        command = [os.path.abspath(t.options.faulty), "fit", "--input", source, "--output", t.path("failed.h5"), "--checkpoint",
                   checkpoint, "--checkpoint-every", "9h", *map(str, fit)]
        failed = t.run(t.mpirun + ["-n", "2"] + command, timeout=2 * LIMIT)
        seconds = time.time() - began
        del os.environ["LLOYD_FAULT"]
        told = [m for m in failed.messages if "NCCL failed" in m]
        print(f"      {name}: {seconds:.1f} s, status {failed.status}")
        t.check(failed.status == 1 and seconds < LIMIT, f"{name}: the job ends in time, status 1", failed.describe())
        t.check(len(told) == 1 and f"on rank {rank}" in told[0], f"{name}: one message", failed.describe())
        if t.check(os.path.exists(checkpoint), f"{name}: rank 0 has saved its checkpoint", failed.describe()):
            log = t.path(f"{rank}.jsonl")
            resumed = t.fit(source, f"resumed-{rank}.h5", *fit, "--log", log, "--checkpoint", checkpoint, "--resume", ranks=2)
            t.check_same(f"{name}: resumed, the bits of the fit that did not fail", resumed, t.path("whole.h5"))
            with open(log, encoding="utf-8") as file:
                t.check('"iteration":2,' not in file.read(), f"{name}: resumed from a later iteration than the second")
    t.finish()


if __name__ == "__main__":
    main()
