"""Progress in a notebook: one line that is written again, without widgets."""

import sys
from time import monotonic
from typing import Any

from mmc_gpu.errors import as_given
from mmc_gpu.inputs.options import Progress, silent

_SECONDS = 0.2  # how often the line is written again


def progress_of(progress: Any) -> Progress:
    """Return a caller's progress; else one that this notebook shows, or outside a silent one."""
    if callable(progress):
        return progress
    if progress is not None:
        raise ValueError(f"progress must be a function, not {as_given(progress)}")
    ipython: Any = sys.modules.get("IPython")
    if ipython is None or type(ipython.get_ipython()).__name__ != "ZMQInteractiveShell":
        return silent  # neither Jupyter nor one of its relatives
    display = ipython.display.display
    line: Any = None
    last = 0.0

    def shown(stage: str, done: int, total: int) -> None:
        nonlocal line, last
        if line is None:
            line = display({"text/plain": ""}, raw=True, display_id=True)
        if done == total or monotonic() - last > _SECONDS:
            last = monotonic()
            text = "" if done == total else f"{stage}: {done:,} of {total:,}"
            line.update({"text/plain": text}, raw=True)

    return shown
