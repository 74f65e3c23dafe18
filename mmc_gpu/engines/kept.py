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
    home = os.path.expanduser("~")  # noqa: PTH111  Path's raises where there is no home
    users = [  # Linux, macOS, Windows
        Path(os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache", "numba"),
        Path(home, "Library/Caches/numba"),
        Path(os.environ.get("LOCALAPPDATA") or home, "numba/Cache"),
    ]
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    roots = [Path(named)] if named else users
    folders = [folder for root in roots for folder in root.glob("cpu_*")]
    if not named:
        folders.append(here / "__pycache__")
    return any(any(folder.glob(f"rank.*.{python}.*.nbc")) for folder in folders)
