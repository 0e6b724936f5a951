"""Fits that run beside a test, which stops them or waits for them."""
import os
import signal
import subprocess
import time

import h5py

from common import LAUNCHER, Result

STOPPED = 75
GRACE = 30  # seconds until everything has ended


class Fit:
    """A fit in the background, with a log, a checkpoint and an output of its own; held at a line of its log that has the text `hold`."""

    def __init__(self, t, name, options, ranks=2, hold=None, before=(), every="1h", **more):
        self.t, self.log, self.checkpoint, self.held = t, *(t.path(f"{name}.{kind}") for kind in ("jsonl", "ck", "hold"))
        self.clear()
        program = t.held_path if hold else t.lloyd_path
        self.command = [*before, program, "fit", *map(str, options), "--output", t.path(f"{name}.h5"), "--checkpoint", self.checkpoint,
                        "--checkpoint-every", every, "--log", self.log, "--progress", "none"]
        if ranks > 1:
            self.command = t.mpirun + ["-n", str(ranks)] + self.command
        folder = t.path(f"{name}.o")
        os.makedirs(folder, exist_ok=True)
        environment = {**LAUNCHER, **os.environ, "OMP_NUM_THREADS": "1", "LLOYD_HOLD": self.held, "OMPI_MCA_orte_tmpdir_base": folder}
        if hold:
            self.hold_at(hold)
        self.err = open(t.path(f"{name}.err"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.err, stderr=self.err, env=environment,
                                        cwd=t.directory, start_new_session=True, **more)
        if hold:
            self.wait_for(hold)

    def clear(self):
        for path in (self.log, self.checkpoint, self.held):
            if os.path.exists(path):
                os.remove(path)

    def hold_at(self, text):
        with open(self.held + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(self.held + ".new", self.held)

    def lines(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8") as file:
            return file.read()

    def wait_for(self, text):
        end = time.time() + 120
        while text not in self.lines() and self.process.poll() is None and time.time() < end:
            time.sleep(0.01)
        return text in self.lines()

    def wait_for_file(self):
        """Until there is a checkpoint."""
        end = time.time() + 120
        while not os.path.exists(self.checkpoint) and self.process.poll() is None and time.time() < end:
            time.sleep(0.01)

    def finished(self):
        """The iterations that the log has."""
        return self.lines().count('"event":"iteration"')

    def send(self, number):
        os.kill(self.process.pid, number)

    def end(self):
        try:
            self.process.wait(GRACE)
            timed_out = False
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            timed_out = True
        self.err.seek(0)
        text = self.err.read()
        self.err.close()
        return Result(self.command, self.process.returncode, "", text, timed_out)

    def kept(self):
        """The last iteration that the checkpoint has, 0 without one; it must be whole."""
        if not os.path.exists(self.checkpoint):
            return 0
        info = self.t.lloyd("info", self.checkpoint)
        if info.status != 0:
            return -1
        with h5py.File(self.checkpoint, "r") as file:
            return int(file.attrs["iterations"] + file.attrs["known"])
