"""The matrix of a packed round: rows that stay on disk, and an index that knows each of them."""

import hashlib
import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc_gpu.engines.arrays import Floats, Integers, Numbers
from mmc_gpu.engines.threads import share, thread_count
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.formats.places import OpenFile, Place

HEADER = 128
"""Bytes of an .npy header; it has room for any number of rows."""

_COLUMNS = {"user", "sha256", "source", "least", "greatest", "filled", "different"}
"""The columns of an index."""

_TASK_BYTES = 640 * 1024
"""What a thread reads and checks at a time: it stays in the second cache."""

_STEP = 4
"""Rows so close together are read at once, with those between them: the system reads these too."""


@dataclass(frozen=True)
class MatrixFile:
    """One file of the matrix: (rows, stocks) of one dtype."""

    file: str
    rows: int
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False)
class Index:
    """What the round knows of each live row without reading it; there are L live rows.

    A user may have several rows: only the last one is live.

    Attributes:
        users: (L,) the user of each row.
        part: (L,) the number of the file that the row lies in.
        row: (L,) the row's number in that file.
        sha256: (L, 32) of the row's bytes.
        source: (L, 32) the sha256 of the file, or of the column, that the row was read from.
        bounds: (2, L) the row's least and greatest prediction.
        filled: (L,) how many predictions were missing and have been filled.
        different: (L,) how many different values the row has, where many stocks share a value;
            else 0.
    """

    users: list[str]
    part: Integers
    row: Integers
    sha256: NDArray[np.uint8]
    source: NDArray[np.uint8]
    bounds: Floats
    filled: Integers
    different: Integers


class PackedMatrix:
    """The live rows of a packed round, read when they are asked for, each checked by its sha256.

    The files are read, never mapped: a file that shrinks is an error, not a crash. Indexing with
    a slice or an array of rows returns a new array.

    Attributes:
        shape: (L, N).
        dtype: float32 where all files have it, else float64.
        bounds: (2, L) least and greatest prediction of each row.
        is_near: whether it lies on a disk of this machine: there is nothing to wait for when a few
            rows are read by the thread that needs them.
        folder: the packed round's.
        manifest: the sha256 of its manifest, which stands for everything in it.
    """

    def __init__(
        self, folder: Place, parts: Sequence[MatrixFile], index: Index, stocks: int, manifest: str
    ) -> None:
        self.folder, self._parts, self._index = folder, parts, index
        self.manifest = manifest
        self.shape = (len(index.users), stocks)
        used = {parts[part].dtype for part in np.unique(index.part).tolist()}
        self.dtype = np.dtype(np.float32 if used == {np.dtype(np.float32)} else np.float64)
        self._checked = np.zeros(len(index.users), bool)
        self.bounds, self.is_near = index.bounds, isinstance(folder, Path)
        stack = ExitStack()
        weakref.finalize(self, stack.close)  # the files are open as long as this is in use
        self._files = []
        for part in parts:
            file = OpenFile(folder / part.file)
            stack.callback(file.close)
            self._files.append(file)
            expected = HEADER + part.rows * stocks * part.dtype.itemsize
            if file.size != expected:
                raise RoundError(
                    "file-damaged", f"{folder / part.file}: {file.size:,} bytes, not {expected:,}"
                )

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, rows: int | slice | Integers) -> Numbers:
        """Return (rows, N) predictions, or (N,) of one row.

        Raises:
            RoundError: file-damaged; it names the file and the row.
        """
        wanted = np.atleast_1d(rows if isinstance(rows, np.ndarray) else np.arange(len(self))[rows])
        block = np.empty((len(wanted), self.shape[1]), self.dtype)

        each = max(1, _TASK_BYTES // (self.shape[1] * self.dtype.itemsize))
        if len(wanted) > each:
            self._expect(wanted)

        def read(starts: Iterator[int]) -> None:
            for start in starts:
                for first, stop in self._runs(wanted[start : start + each]):
                    rows = slice(start + first, start + stop)
                    self._read(wanted[rows], block[rows])

        share(read, range(0, len(wanted), each), thread_count())
        return block[0] if isinstance(rows, int | np.integer) else block

    def _expect(self, wanted: Integers) -> None:
        """Let the disk begin with all of a block, while its first rows are hashed."""
        row, parts = self._index.row[wanted], self._index.part[wanted]
        for part in np.unique(parts).tolist():
            rows, size = row[parts == part], self.shape[1] * self._parts[part].dtype.itemsize
            first, stop = int(rows.min()), int(rows.max()) + 1
            self._files[part].expect(HEADER + first * size, (stop - first) * size)

    def _runs(self, wanted: Integers) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of each run of wanted rows that lie close together in one file."""
        steps = np.diff(self._index.row[wanted])
        apart = (np.diff(self._index.part[wanted]) != 0) | (steps < 1) | (steps > _STEP)
        yield from pairwise([0, *(np.flatnonzero(apart) + 1).tolist(), len(wanted)])

    def _read(self, wanted: Integers, out: Numbers) -> None:
        """Read a run of rows, and check each by its sha256.

        Once: a row of a file that has not changed since is not hashed again.
        """
        number, rows = int(self._index.part[wanted[0]]), self._index.row[wanted]
        part, first = self._parts[number], int(rows[0])
        count = int(rows[-1]) + 1 - first
        in_place = count == len(rows) and part.dtype == out.dtype  # nothing lies between
        run = out if in_place else np.empty((count, self.shape[1]), part.dtype)
        found = self._files[number].read_into(run.data.cast("B"), HEADER + first * run[0].nbytes)
        if found != run.nbytes:
            ends = first + found // run[0].nbytes
            raise RoundError("file-damaged", f"{self.folder / part.file}: it ends in row {ends:,}")
        new = ~(self._checked[wanted] & self._files[number].is_unchanged())
        fresh, said = rows[new].tolist(), self._index.sha256[wanted[new]]
        # as little as possible between two hashes: there the threads wait for each other
        hashed = [hashlib.sha256(run[row - first].data).digest() for row in fresh]
        if b"".join(hashed) != said.tobytes():
            at = next(at for at, digest in enumerate(hashed) if digest != said[at].tobytes())
            user = self._index.users[wanted[new][at]]
            detail = f"row {fresh[at]:,}, user {shown([user])}: its sha256 is not the index's"
            raise RoundError("file-damaged", f"{self.folder / part.file}: {detail}", user)
        self._checked[wanted] = True
        if part.dtype == out.dtype and not in_place:  # at once into its place: half the time
            np.take(run, rows - first, axis=0, out=out, mode="clip")
        elif not in_place:
            out[:] = run[rows - first]


def make_index(
    tables: list[Any], parts: list[MatrixFile], folder: Place, withdrawn: Collection[str] = ()
) -> Index:
    """Return the index of the live rows.

    Args:
        tables: the index of each file, as it lies on disk.
        parts: the files.
        folder: of the packed round.
        withdrawn: users whose rows are not live.

    Raises:
        RoundError: file-damaged: an index lacks a column, or has not a row for each of its file's.
    """
    for matrix, table in zip(parts, tables, strict=True):
        absent = sorted(_COLUMNS - set(table.column_names))
        if absent:
            detail = f"{folder / matrix.file}: its index has no {', '.join(absent)}"
            raise RoundError("file-damaged", detail)
        if len(table) != matrix.rows:
            raise RoundError("file-damaged", f"{folder / matrix.file}: rows without an index")
    names = [name for table in tables for name in table.column("user").to_pylist()]
    last = dict(zip(names, range(len(names)), strict=True))  # where a user's last row stands
    for user in withdrawn:
        last.pop(user, None)
    live = np.sort(np.fromiter(last.values(), np.int64, len(last)))
    starts = np.cumsum([0, *(part.rows for part in parts)])
    part = np.searchsorted(starts, live, "right") - 1

    def column(name: str) -> Any:
        # Arrow's own `to_numpy` imports pandas
        columns = [np.from_dlpack(table.column(name).combine_chunks()) for table in tables]
        return np.concatenate(columns)[live] if columns else np.zeros(0)

    def hashes(name: str) -> NDArray[np.uint8]:
        columns = [table.column(name).combine_chunks().buffers()[1] for table in tables]
        hashed = [np.frombuffer(column, np.uint8).reshape(-1, 32) for column in columns]
        return np.concatenate([np.zeros((0, 32), np.uint8), *hashed])[live]

    return Index(
        users=[*map(names.__getitem__, live.tolist())],
        part=part,
        row=live - starts[part],
        sha256=hashes("sha256"),
        source=hashes("source"),
        bounds=np.stack([column("least"), column("greatest")]),
        filled=column("filled"),
        different=column("different"),
    )
