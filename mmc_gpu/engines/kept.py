"""Whether the cpu engine's kernels have been compiled on this machine, found out without numba."""

import os
import sys
from pathlib import Path


def kernels_are_kept() -> bool:
    """Return whether compiled kernels lie where numba keeps those of this Python.

    They may be of another version or processor. Then they are compiled once more.
    """
    here = Path(__file__).parent / "cpu"
    named = os.environ.get("NUMBA_CACHE_DIR")
    home = os.path.expanduser("~/.cache")  # noqa: PTH111  Path's raises where there is no home
    users = Path(os.environ.get("XDG_CACHE_HOME") or home, "numba")
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    folders = Path(named).glob("cpu_*") if named else [here / "__pycache__", *users.glob("cpu_*")]
    return any(any(folder.glob(f"rank.*.{python}.*.nbc")) for folder in folders)
