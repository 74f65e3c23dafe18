"""Where packed rounds lie: in a folder, or in object storage (a URI: s3://, gs://, hdfs://)."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike, fspath
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from mmc_gpu.errors import RoundError, as_given
from mmc_gpu.files.formats.source import (
    Limits,
    Source,
    is_unchanged,
    open_regular,
    read_source,
    reading,
    refuse_larger,
)
from mmc_gpu.files.system import read_at, will_read


class RemotePath:
    """A file or folder in one of pyarrow's file systems, with what packed rounds need of a path."""

    def __init__(self, uri: str, system: Any, path: str) -> None:
        self._uri, self._system, self._path = uri, system, path

    @classmethod
    def of(cls, uri: str) -> "RemotePath":
        """Return what a URI names.

        Raises:
            ValueError: pyarrow knows no such file system; or the URI has a password, which messages
                and receipts would show.
            OSError: the file system cannot be reached.
        """
        if urlsplit(uri).password is not None:
            raise ValueError("no password in a URI: give it in the environment, or in a profile")
        from pyarrow import fs  # 0.1 s that a path can do without

        return cls(uri, *fs.FileSystem.from_uri(uri))

    def __truediv__(self, name: str) -> "RemotePath":
        """Return a file in this folder."""
        head, mark, options = self._uri.partition("?")
        return RemotePath(f"{head}/{name}{mark}{options}", self._system, f"{self._path}/{name}")

    def __str__(self) -> str:
        """Return the URI."""
        return self._uri

    @property
    def name(self) -> str:
        """Return its last part."""
        return self._path.rpartition("/")[2]

    def absolute(self) -> "RemotePath":
        """Return itself."""
        return self

    def is_file(self) -> bool:
        """Return whether there is such a file.

        Raises:
            RoundError: the file system does not answer.
        """
        with self.faults():
            return self._system.get_file_info(self._path).is_file

    @property
    def size(self) -> int:
        """Return the file's bytes."""
        with self.faults():
            return self._system.get_file_info(self._path).size

    def open(self) -> Any:
        """Return the file, opened for reading at any place: size(), read_at(), close()."""
        with self.faults():
            return self._system.open_input_file(self._path)

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Turn what the file system raises into file-missing or file-unreadable."""
        try:
            yield
        except OSError as error:
            code = "file-missing" if isinstance(error, FileNotFoundError) else "file-unreadable"
            raise RoundError(code, f"{self._uri!a}: {str(error)[:200]!a}") from error


Place = Path | RemotePath


def as_path(name: str, given: Any) -> Path:
    """Return the path that an option of this name has; ValueError where that is none."""
    if isinstance(given, str | PathLike) and isinstance(fspath(given), str):
        return Path(given)
    raise ValueError(f"{name} must be a path, not {as_given(given)}")


def exists(path: str | Path) -> bool:
    """Return whether there is such a file or folder; no text is too long to ask."""
    with suppress(OSError):
        return Path(path).exists()
    return False


def place_of(text: str | Path) -> Place:
    """Return a path, or what a URI such as s3://bucket/round names."""
    if isinstance(text, str) and "://" in text:
        return RemotePath.of(text)
    return as_path("folder", text)


def read_place(place: Place) -> Source:
    """Return a file's bytes; see `read_source`."""
    if isinstance(place, Path):
        return read_source(place)
    with place.faults(), place.open() as file:
        refuse_larger(ascii(str(place)), "bytes", file.size(), Limits.max_bytes)
        data = file.read()
    # the path is only shown in messages
    return Source(cast(Path, place), data, hashlib.sha256(data).hexdigest())


def size_of(place: Place) -> int:
    """Return a file's bytes."""
    return place.stat().st_size if isinstance(place, Path) else place.size


_AHEAD = 512 * 2**20
"""Bytes of a file that are read ahead; with more, a machine of little memory would read twice."""


class OpenFile:
    """A file of which many threads read pieces."""

    def __init__(self, place: Place) -> None:
        self._place, self._asked = place, 0
        self._file: Any
        if isinstance(place, Path):
            self._file, self._status = open_regular(place)
            self.size = self._status.st_size  # in bytes
        else:
            self._file = place.open()
            self.size = self._file.size()
        self.close = self._file.close

    def is_unchanged(self) -> bool:
        """Return whether the file is as it was when it was opened; False in object storage."""
        return isinstance(self._place, Path) and is_unchanged(self._file, self._status)

    def expect(self, offset: int, size: int) -> None:
        """Tell the system that a piece of the file will soon be read, and then what follows.

        It reads twice as fast as it is told so, until it is `_AHEAD` bytes ahead.
        """
        if isinstance(self._place, Path):
            start = self._asked if offset <= self._asked <= offset + _AHEAD else offset
            self._asked = min(offset + _AHEAD, start + 2 * size, self.size)
            will_read(self._file.fileno(), start, self._asked - start)

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill a buffer from a place in the file; return how many bytes were there.

        Raises:
            RoundError: the file system does not answer.
        """
        if not isinstance(self._place, Path):
            with self._place.faults():
                found = self._file.read_at(len(view), offset)
            view[: len(found)] = found
            return len(found)
        with reading(str(self._place)):
            return read_at(self._file.fileno(), view, offset)
