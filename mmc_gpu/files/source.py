"""A file read whole into memory, or refused: where the reader of every format starts."""

import errno
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mmc_gpu.errors import RoundError, shown


@dataclass(frozen=True)
class Limits:
    """How much one file may hold; pass smaller ones for a submission than for a wide file.

    Attributes:
        max_rows: a round's 1,000,000 stocks, and ids that are of other rounds.
        max_columns: users of a wide file.
        max_bytes: of the file, of what it unpacks to, and of its columns in memory, each on its
            own; 100,000 users x 5,000 stocks in float64 fit into the default.
    """

    max_rows: int = 1_250_000
    max_columns: int = 100_000
    max_bytes: int = 4 << 30


@dataclass(frozen=True)
class Source:
    """The bytes of a file, and their sha256 in hex."""

    path: Path
    data: bytes
    sha256: str

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    @property
    def name(self) -> str:
        """The path for a message: quoted, so that it cannot reach a terminal's control codes."""
        return ascii(str(self.path))


_CODES = {
    errno.ENOENT: "file-missing",
    errno.ENOTDIR: "file-missing",
    errno.ELOOP: "file-regular",  # O_NOFOLLOW met a symbolic link
    errno.EISDIR: "file-regular",
    errno.ENXIO: "file-regular",  # a socket
}


def read_source(path: Path, limit: int = Limits.max_bytes) -> Source:
    """Return a regular file's bytes, read into memory of our own.

    Never mapped: a file that is cut short while it is mapped kills the process with SIGBUS.

    Args:
        path: the file itself, not a link to it; its folders may be links.
        limit: the most bytes to read.

    Raises:
        RoundError: file-missing; file-regular; file-unreadable; file-size; file-damaged where the
            file changes while it is read.
    """
    name = ascii(str(path))
    try:
        file, before = open_regular(path)
        with file:
            refuse_larger(name, "bytes", before.st_size, limit)
            data = file.read(before.st_size + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise RoundError("file-unreadable", f"{name}: {error.strerror}") from error
    if (len(data), before.st_mtime_ns) != (before.st_size, after.st_mtime_ns):
        raise RoundError(
            "file-damaged",
            f"{name} changed while it was read: {before.st_size:,} bytes, then {len(data):,}",
        )
    return Source(path, data, hashlib.sha256(data).hexdigest())


def open_regular(path: Path) -> tuple[BinaryIO, os.stat_result]:
    """Return a regular file, opened to be read, and what it was then.

    Raises:
        RoundError: file-missing; file-regular; file-unreadable.
    """
    try:
        # Path.open takes no opener
        file = open(path, "rb", opener=_open_without_following)  # noqa: SIM115
    except OSError as error:
        code = _CODES.get(error.errno or 0, "file-unreadable")
        raise RoundError(code, f"{str(path)!a}: {error.strerror}") from error
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise RoundError("file-regular", f"{str(path)!a} is not a regular file")
    return file, status


def _open_without_following(path: str, flags: int) -> int:
    # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def refuse_larger(name: str, what: str, found: int, most: int) -> None:
    """Raise file-size where a file has more of something than is read."""
    if found > most:
        raise RoundError("file-size", f"{name} has {found:,} {what}; at most {most:,} are read")


def refuse_duplicates(name: str, columns: Sequence[str]) -> None:
    """Raise header-duplicate where two columns have the same name, to the letter."""
    if len(set(columns)) < len(columns):
        twice = [column for column, times in Counter(columns).items() if times > 1]
        raise RoundError("header-duplicate", f"{name} has more than one column {shown(twice)}")
