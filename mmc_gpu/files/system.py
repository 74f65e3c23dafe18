"""What the systems do differently: locks, swaps, folders on the disk, files opened and moved.

Windows has no `fcntl`, no `O_NOFOLLOW` and no handles of folders, and moves nothing that a program
has open. Where a system lacks a call, the next best is done here, and said.
"""

import ctypes
import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from threading import Lock

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_HERE = -100  # AT_FDCWD: relative paths start from the working directory

_SWAP = 2  # RENAME_EXCHANGE of linux/fs.h

_PATIENCE = 1.0
"""Seconds in which another program is likely to close a file that it has opened to read it."""

_TURN = Lock()

_ASKED = 512 * 1024  # bytes that Linux is asked for at a time: it reads no more of a longer piece

_LONGEST = 259  # characters of a path on Windows, unless long paths are enabled there

_OURS = 43  # characters of what is written beside or below a path: .new-01234567, a table's name


@contextmanager
def locked(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a folder's lock; yield whether it is held.

    The lock ends with the process, however that ends. It is not held where another process holds it
    and `wait` is False, nor where the file system has no locks. Then what lies in the folder may
    still belong to a living process. On Windows, which locks no folders, the lock is a file of the
    temporary folder, there while it is held: the processes of one user on one machine see it.
    """
    if fcntl is None:
        with _locked_by_name(folder, wait) as held:
            yield held
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        held = False
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        yield held
    finally:
        os.close(handle)


@contextmanager
def _locked_by_name(folder: Path, wait: bool) -> Iterator[bool]:
    from filelock import FileLock, Timeout

    name = sha256(os.path.normcase(folder.resolve()).encode("utf-8", "surrogatepass")).hexdigest()
    lock = FileLock(Path(gettempdir(), f"mmc-gpu-{name[:32]}.lock"), timeout=-1 if wait else 0)
    with suppress(OSError, Timeout):
        lock.acquire()
    try:
        yield lock.is_locked
    finally:
        lock.release()


def sync_folder(folder: Path) -> None:
    """Write a folder's names to the disk, as fsync writes the contents of a file.

    Windows has no such call; its file system keeps a journal of names.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def exchange(first: Path, second: Path) -> bool:
    """Swap two existing paths at one instant; return False where that did not work.

    By a system call of Linux that Python does not have.
    """
    try:
        swap = ctypes.CDLL(None).renameat2
    except (AttributeError, TypeError):  # a C library without the call; Windows
        return False
    return swap(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _SWAP) == 0


def move(path: Path, to: Path) -> None:
    """Rename a file, over the one of that name if any, or a folder.

    On Windows neither may be open anywhere: programs that read it are waited for, for a second.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            path.replace(to)
        except PermissionError:
            if fcntl is not None or time.monotonic() > end:
                raise
            time.sleep(_PATIENCE / 50)
        else:
            return


def open_itself(path: str, flags: int) -> int:
    """Open a path as `os.open` does, but neither what a link names, nor a pipe that nobody writes.

    Raises:
        OSError: as `os.open`; ELOOP for a link; where a system cannot refuse while it opens, for
            every path that is not a regular file.
    """
    if hasattr(os, "O_NOFOLLOW"):
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(errno.ELOOP, "not a regular file", path)
    return os.open(path, flags)


def path_of(handle: int) -> str | None:
    """Return a path that opens an open file once more; None on Windows, which has none."""
    return None if fcntl is None else f"/dev/fd/{handle}"


def read_at(handle: int, into: memoryview, at: int) -> int:
    """Fill memory with a file's bytes from a place on; return how many were left there.

    Windows reads at the position of the file, which all threads share: they take turns.
    """
    done = 0
    while done < len(into):
        if hasattr(os, "preadv"):
            count = os.preadv(handle, [into[done:]], at + done)
        else:
            with _TURN:
                os.lseek(handle, at + done, os.SEEK_SET)
                data = os.read(handle, len(into) - done)
            count = len(data)
            into[done : done + count] = data
        if not count:
            break
        done += count
    return done


def will_read(handle: int, at: int, size: int) -> None:
    """Tell the system that a piece of a file will soon be read; not on macOS and Windows."""
    if hasattr(os, "posix_fadvise"):
        for start in range(at, at + size, _ASKED):
            os.posix_fadvise(handle, start, min(_ASKED, at + size - start), os.POSIX_FADV_WILLNEED)


def write_at(handle: int, data: memoryview, at: int) -> None:
    """Write bytes at a place in a file."""
    if hasattr(os, "pwrite"):
        os.pwrite(handle, data, at)
        return
    with _TURN:
        os.lseek(handle, at, os.SEEK_SET)
        os.write(handle, data)


def hint_of(error: OSError, path: Path) -> str:
    """Return what to do where writing to a path fails, for after the system's words; or ""."""
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return " (a mount point cannot be replaced: name a folder inside it)"
    if fcntl is None and isinstance(error, PermissionError):
        return " (Windows replaces no folder by a file, and nothing that a program has open)"
    if fcntl is None and len(str(path.absolute())) > _LONGEST - _OURS:
        return f" (Windows opens paths of {_LONGEST} characters unless long paths are enabled)"
    return ""
