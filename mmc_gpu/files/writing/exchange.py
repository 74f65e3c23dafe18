"""Two paths swapped in one step, by a system call of Linux that Python does not have."""

import ctypes
import os
from pathlib import Path

_HERE = -100
"""AT_FDCWD: relative paths start from the working directory."""

_SWAP = 2
"""RENAME_EXCHANGE of linux/fs.h."""


def exchange(first: Path, second: Path) -> bool:
    """Swap two existing paths at one instant; return False where that did not work."""
    try:
        swap = ctypes.CDLL(None).renameat2
    except AttributeError:  # another system, or a C library without the call
        return False
    return swap(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _SWAP) == 0
