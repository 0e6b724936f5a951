"""What a fit shows while it runs: a bar of tqdm where it is installed, else a line per iteration."""
from __future__ import annotations

import sys
from typing import Any, Optional

from ._calls import Iteration


class Progress:
    """A callback of a fit. Closes with the `with` statement.

    Parameters
    ----------
    max_iter, n_init : int
        The most iterations of a restart, and the restarts.
    """

    def __init__(self, max_iter: int, n_init: int) -> None:
        self.max_iter, self.n_init, self.restart = max_iter, n_init, 0
        self.bar: Any = None
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        self.bar = tqdm(total=max_iter, unit="iteration", desc="lloyd")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, i: Iteration) -> Optional[bool]:
        run = f"run {i.restart + 1}/{self.n_init} " if self.n_init > 1 else ""
        if self.bar is None:
            print(f"lloyd: {run}{i.iteration}/{self.max_iter} inertia {i.inertia:.6e} moved {i.moved} ({i.seconds:.3f} s)",
                  file=sys.stderr, flush=True)
            return None
        if i.restart != self.restart:
            self.restart = i.restart
            self.bar.reset()
        self.bar.set_postfix_str(f"{run}inertia {i.inertia:.6e}, moved {i.moved}", refresh=False)
        self.bar.update(i.iteration - self.bar.n)
        return None
