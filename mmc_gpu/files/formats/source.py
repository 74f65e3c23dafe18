"""Files of any format, before a reader takes them apart: bounded, hashed, or refused."""

import errno
import hashlib
import os
import stat
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from math import inf
from pathlib import Path
from threading import Thread
from typing import Any

from mmc_gpu.engines.threads import thread_count
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.system import open_itself


@dataclass(frozen=True)
class Limits:
    """How much one file may hold; pass smaller ones for a submission than for a wide file."""

    max_rows: int = 1_250_000  # a round's 1,000,000 stocks, and ids that are of other rounds
    max_columns: int = 100_000  # as many users as a wide file has at most
    # bounds three sizes, each by itself: the file, what it unpacks to, and its columns in memory;
    # 100,000 users x 5,000 stocks in float64 fit into the default
    max_bytes: int = 4 << 30


@dataclass(frozen=True)
class Source:
    """A file."""

    path: Path  # of the file
    data: Any  # its bytes; or `BytesOnDisk`, which are hashed while others read them
    sha256: str = ""  # of the bytes, in hex; "" while they are on disk, see `entry`
    place: str | None = None  # what messages call it; None for its path

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return len(self.data)

    @property
    def name(self) -> str:
        """The path for a message: quoted, so that it cannot reach a terminal's control codes."""
        return ascii(self.place or str(self.path))

    def entry(self, name: str) -> dict[str, Any]:
        """Return what a receipt says of the file under a name: file, bytes and sha256.

        Raises:
            RoundError: file-unreadable; file-damaged where bytes on disk have changed meanwhile.
        """
        sha256 = self.data.sha256() if isinstance(self.data, BytesOnDisk) else self.sha256
        return {"file": name, "bytes": self.size, "sha256": sha256}


_WINDOW = 2**16

_PIECE = 2**22
"""Bytes that are hashed at a time: for the next ones the thread has to wait for the interpreter."""

_CODES = {
    errno.ENOENT: "file-missing",
    errno.ENOTDIR: "file-missing",
    errno.ELOOP: "file-regular",  # O_NOFOLLOW met a symbolic link
    errno.EISDIR: "file-regular",
    errno.ENXIO: "file-regular",  # a socket
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.ENAMETOOLONG), "file-unreadable"),
}


def named(error: OSError, place: str) -> Exception:
    """Return an error with the file that the system cannot read: RoundError where that is at fault.

    Too many open files, no memory or a failing disk are the machine's fault: that stays an OSError,
    for which nobody loses a score.
    """
    if code := _CODES.get(error.errno or 0):
        return RoundError(code, f"{place!a}: {error.strerror}")
    return OSError(error.errno, os.strerror(error.errno), place) if error.errno else error


@contextmanager
def reading(place: str) -> Iterator[None]:
    """Name the file that the system cannot read; see `named`."""
    if "\0" in place:
        raise RoundError("file-missing", f"{place!a}: no path has a NUL")
    try:
        yield
    except OSError as error:
        if (found := named(error, place)) is error:
            raise
        raise found from error


def read_source(path: Path, limit: int = Limits.max_bytes, place: str | None = None) -> Source:
    """Return a regular file's bytes, read into memory of our own.

    Never mapped: a file that is cut short while it is mapped kills the process with SIGBUS.

    The path is that of the file itself, not of a link to it; its folders may be links. Messages
    call the file `place`.

    Raises:
        RoundError: file-missing; file-regular; file-unreadable; file-size; file-damaged where the
            file changes while it is read.
    """
    name = ascii(place or str(path))
    file, before = open_regular(path, place)
    with file, reading(place or str(path)):
        refuse_larger(name, "bytes", before.st_size, limit)
        data = file.read(before.st_size + 1)
        after = os.fstat(file.fileno())
    if (len(data), before.st_mtime_ns) != (before.st_size, after.st_mtime_ns):
        sizes = f"{before.st_size:,} bytes, then {len(data):,}"
        raise RoundError("file-damaged", f"{name} changed while it was read: {sizes}")
    return Source(path, data, hashlib.sha256(data).hexdigest(), place)


class BytesOnDisk:
    """A file's bytes that stay on disk, for files that memory does not hold."""

    def __init__(self, file: BufferedReader, name: str, status: os.stat_result) -> None:
        self.file, self._name, self._status = file, name, status
        self._start, self._window, self._sha256 = 0, b"", Future[str]()
        weakref.finalize(self, file.close)

    def __len__(self) -> int:
        """Return the file's size when it was opened."""
        return self._status.st_size

    def __getitem__(self, at: int) -> int:
        """Return a byte. The bytes behind it are read with it, and kept for the next calls."""
        if not self._start <= at < self._start + len(self._window):
            self.file.seek(at)
            self._start, self._window = at, self.file.read(_WINDOW)
        return self._window[at - self._start]

    def hash(self, file: BufferedReader) -> None:
        """Read all bytes for their sha256, in a thread that ends with the process.

        From the file opened once more: whoever reads moves the place that is read next.
        """
        try:
            with file:
                digest, piece = hashlib.sha256(), memoryview(bytearray(_PIECE))
                while size := file.readinto(piece):
                    digest.update(piece[:size])
        except (OSError, MemoryError) as error:  # else whoever asks for it would wait for ever
            self._sha256.set_exception(error)
        else:
            self._sha256.set_result(digest.hexdigest())

    def sha256(self) -> str:
        """Return what `hash` finds, in hex; see `Source.entry`."""
        with reading(self._name):
            found = self._sha256.result()
        self.check_unchanged()
        return found

    def check_unchanged(self, file: BufferedReader | None = None) -> None:
        """Raise file-damaged where the file has changed since it was opened, or is another one."""
        if not is_unchanged(file or self.file, self._status):
            raise RoundError("file-damaged", f"{self._name!a} changed while it was read")


def open_source(path: Path, limit: float = inf, place: str | None = None) -> Source:
    """Return a regular file whose bytes stay on disk, hashed from now on; see `read_source`."""
    file, status = open_regular(path, place)
    data = BytesOnDisk(file, place or str(path), status)
    refuse_larger(ascii(place or str(path)), "bytes", len(data), limit)
    again, _ = open_regular(path, place)
    data.check_unchanged(again)
    if thread_count() > 1:
        Thread(target=data.hash, args=[again], name="sha256", daemon=True).start()
    else:
        data.hash(again)
    return Source(path, data, place=place)


def open_regular(path: Path, place: str | None = None) -> tuple[BufferedReader, os.stat_result]:
    """Return a regular file, opened to be read, and its status at that moment.

    Raises:
        RoundError: file-missing; file-regular; file-unreadable.
    """
    with reading(place or str(path)):
        # Path.open takes no opener
        file = open(path, "rb", opener=open_itself)  # noqa: SIM115
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise RoundError("file-regular", f"{place or str(path)!a} is not a regular file")
    return file, status


def is_unchanged(file: BufferedReader, then: os.stat_result) -> bool:
    """Return whether an open file is the one of which this was the status, and as it was then."""
    now = os.fstat(file.fileno())
    as_then = (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns)
    return as_then and os.path.samestat(now, then)


def refuse_larger(name: str, what: str, found: int, most: float) -> None:
    """Raise file-size where a file has more of something than is read."""
    if found > most:
        raise RoundError("file-size", f"{name} has {found:,} {what}; at most {most:,} are read")


def refuse_duplicates(name: str, columns: Sequence[str]) -> None:
    """Raise header-duplicate where two columns have the same name, to the letter."""
    if len(set(columns)) < len(columns):
        twice = [column for column, times in Counter(columns).items() if times > 1]
        raise RoundError("header-duplicate", f"{name} has more than one column {shown(twice)}")
