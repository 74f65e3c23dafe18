"""Two paths swapped in one step, by the system call that Python does not have."""

import ctypes
import errno
import os
import sys
from pathlib import Path

_HERE = -100
"""AT_FDCWD: relative paths start from the working directory."""

_SWAP = 2
"""RENAME_EXCHANGE of linux/fs.h, and RENAME_SWAP of Darwin's sys/stdio.h."""

_UNABLE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


def exchange(first: Path, second: Path) -> bool:
    """Swap two existing paths at one instant; return False where that cannot be done here.

    Raises:
        OSError: it can be done here, but failed.
    """
    library = ctypes.CDLL(None, use_errno=True)
    one, other = os.fsencode(first), os.fsencode(second)
    try:
        if sys.platform == "darwin":
            failed = library.renamex_np(one, other, _SWAP)
        else:
            failed = library.renameat2(_HERE, one, _HERE, other, _SWAP)
    except AttributeError:  # a C library without the call
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in _UNABLE:
        return False
    raise OSError(number, os.strerror(number), str(first), None, str(second))
