"""The matrix of a packed round: rows that stay on disk, and an index that knows each of them."""

import hashlib
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc_gpu.engines.arrays import Floats, Integers, Numbers
from mmc_gpu.engines.threads import share, thread_count
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.formats.places import OpenFile, Place

HEADER = 128  # bytes of an .npy header; it has room for any number of rows

_COLUMNS = {
    **{"user": "string", "sha256": "fixed_size_binary[32]", "source": "fixed_size_binary[32]"},
    **{"least": "double", "greatest": "double", "filled": "int64", "different": "int64"},
}
"""The columns of an index, and their types; and of version 3 on `piece`, a hash too."""

_NONE = np.zeros((0, 32), np.uint8)

_PIECE_BYTES = 512 * 1024  # what a thread reads and checks at a time: it stays in the second cache

_FEW = 4  # of a piece with more than so many times the wanted rows, each is read by itself


@dataclass(frozen=True)
class MatrixFile:
    """One file of the matrix: (rows, stocks) of one dtype; `piece` rows are read at a time."""

    file: str
    rows: int
    dtype: np.dtype[Any]
    piece: int


@dataclass(frozen=True, eq=False)
class Index:
    """What the round knows of each live row without reading it; there are L live rows.

    A user may have several rows: only the last one is live.

    Attributes:
        users: (L,) the user of each row.
        part: (L,) the number of the file that the row lies in.
        row: (L,) the row's number in that file.
        hashes: returns (L, 32) of a column of hashes: "sha256" of the row's bytes, "source" of the
            file, or of the column, that the row was read from. A round that is scored needs none.
        pieces: of each file, (P, 32) of each piece's bytes; (0, 32) in those of older versions.
        bounds: (2, L) the row's least and greatest prediction.
        filled: (L,) how many predictions were missing and have been filled.
        different: (L,) how many different values the row has, where many stocks share a value;
            else 0.
    """

    users: list[str]
    part: Integers
    row: Integers
    hashes: Callable[[str], NDArray[np.uint8]]
    pieces: list[NDArray[np.uint8]]
    bounds: Floats
    filled: Integers
    different: Integers

    @cached_property
    def sha256(self) -> NDArray[np.uint8]:
        """(L, 32) of each row's bytes: only rows that are read one by one need it."""
        return self.hashes("sha256")


class PackedMatrix:
    """The live rows of a packed round, read when they are asked for and checked by sha256.

    A piece is hashed in one call. Row by row, each in Python, the threads would wait for each
    other: that is for few rows of a piece, and to find the damaged one.

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
        self._sizes = np.array([part.piece for part in parts], np.int64)
        self._starts = np.cumsum([0, *(part.rows for part in parts)])
        self._place = self._starts[index.part] + index.row  # among the rows of all files
        self._checked = np.zeros(self._starts[-1], bool)
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
                found = f"{file.size:,} bytes, not {expected:,}"
                raise RoundError("file-damaged", f"{folder / part.file}: {found}")

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

        def read(pieces: Iterator[slice]) -> None:
            for piece in pieces:
                self._read(wanted[piece], block[piece])

        share(read, self._pieces(wanted), thread_count())
        return block[0] if isinstance(rows, int | np.integer) else block

    def _pieces(self, wanted: Integers) -> list[slice]:
        """Return which of the wanted rows follow each other in one piece of a file.

        Once they are right, a piece may begin anywhere.
        """
        part, row = self._index.part[wanted], self._index.row[wanted]
        if len(wanted) and self._checked[self._place[wanted]].all():
            row = row - row.min()
        piece = row // self._sizes[part]
        apart = (part[1:] != part[:-1]) | (piece[1:] != piece[:-1])
        starts = [0, *(np.flatnonzero(apart) + 1)][: len(wanted)]
        return [slice(*ends) for ends in pairwise([*starts, len(wanted)])]

    def _read(self, wanted: Integers, out: Numbers) -> None:
        """Read rows of one piece of a file: all of the piece, or, if they are few, one by one.

        Once they are right, there is no need for the rest of the piece.
        """
        number, rows = int(self._index.part[wanted[0]]), self._index.row[wanted]
        part = self._parts[number]
        first = int(rows[0]) // part.piece * part.piece
        stop = min(first + part.piece, part.rows)
        if self._checked[self._place[wanted]].all():
            first, stop = int(rows.min()), int(rows.max()) + 1
        if stop - first <= _FEW * len(rows):
            size = self.shape[1] * part.dtype.itemsize
            self._files[number].expect(HEADER + first * size, (stop - first) * size)
            self._read_span(number, first, stop, wanted, out)
            return
        for at, row in enumerate(rows.tolist()):
            self._read_span(number, row, row + 1, wanted[at : at + 1], out[at : at + 1])

    def _read_span(
        self, number: int, first: int, stop: int, wanted: Integers, out: Numbers
    ) -> None:
        """Read the rows of a file from `first` on, check the wanted ones, and put them in order."""
        part, rows = self._parts[number], self._index.row[wanted]
        alike = part.dtype == out.dtype
        in_place = alike and np.array_equal(rows, np.arange(first, stop))
        span = out if in_place else np.empty((stop - first, self.shape[1]), part.dtype)
        size = span[0].nbytes
        found = self._files[number].read_into(span.data.cast("B"), HEADER + first * size)
        if found != span.nbytes:
            ends = first + found // size
            raise RoundError("file-damaged", f"{self.folder / part.file}: it ends in row {ends:,}")
        self._check(number, first, span, wanted)
        if alike and not in_place:  # at once into its place: half the time
            np.take(span, rows - first, axis=0, out=out, mode="clip")
        elif not in_place:
            out[:] = span[rows - first]

    def _check(self, number: int, first: int, span: Numbers, wanted: Integers) -> None:
        """Check rows of a file by their sha256: of all of them together, or of each wanted row.

        Once: a row of a file that has not changed since is not hashed again.
        """
        part, rows, place = self._parts[number], self._index.row[wanted], self._place[wanted]
        new = ~(self._checked[place] & self._files[number].is_unchanged())
        if not new.any():
            return
        pieces, (piece, after) = self._index.pieces[number], divmod(first, part.piece)
        whole = not after and len(span) == min(part.piece, part.rows - first)
        if whole and len(pieces) and _is_of(pieces[piece], span):
            start = self._starts[number] + first
            self._checked[start : start + len(span)] = True
            return
        for row, live in zip(rows[new].tolist(), wanted[new].tolist(), strict=True):
            if not _is_of(self._index.sha256[live], span[row - first]):
                user = self._index.users[live]
                detail = f"row {row:,}, user {shown([user])}: its sha256 is not the index's"
                raise RoundError("file-damaged", f"{self.folder / part.file}: {detail}", user)
        self._checked[place] = True


def _is_of(sha256: NDArray[np.uint8], rows: Numbers) -> bool:
    return hashlib.sha256(rows.data).digest() == sha256.tobytes()


def piece_rows(stocks: int, dtype: np.dtype[Any]) -> int:
    """Return how many rows a piece has."""
    return max(1, _PIECE_BYTES // max(1, stocks * dtype.itemsize))


def make_index(
    tables: list[bytes], parts: list[MatrixFile], folder: Place, withdrawn: Collection[str] = ()
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
    from mmc_gpu.files.formats.parquet_file import own_columns, read_own

    for matrix, table in zip(parts, tables, strict=True):
        if absent := sorted(_COLUMNS.items() - own_columns(table).items()):
            wanted = ", ".join(f"{name} of {kind}" for name, kind in absent)
            raise RoundError("file-damaged", f"{folder / matrix.file}: its index has no {wanted}")

    def columns(name: str) -> list[Any]:
        return [read_own(table, [name]).column(0).combine_chunks() for table in tables]

    users, rows = columns("user"), [part.rows for part in parts]
    for matrix, column in zip(parts, users, strict=True):
        if len(column) != matrix.rows:
            raise RoundError("file-damaged", f"{folder / matrix.file}: rows without an index")
    names = [name for column in users for name in column.to_pylist()]
    "".join(names)  # fails where one is null
    live: Any = slice(None)
    if withdrawn or len(set(names)) < len(names):
        last = dict(zip(names, range(len(names)), strict=True))  # where a user's last row stands
        for user in withdrawn:
            last.pop(user, None)
        live = np.sort(np.fromiter(last.values(), np.int64, len(last)))
        names = [*map(names.__getitem__, live.tolist())]

    def numbers(name: str) -> Any:
        # Arrow's own `to_numpy` imports pandas
        return np.concatenate([*map(np.from_dlpack, columns(name))] or [np.zeros(0)])[live]

    def hashed(table: bytes, name: str) -> NDArray[np.uint8]:
        memory = read_own(table, [name]).column(0).combine_chunks().buffers()[1]
        return np.frombuffer(memory, np.uint8).reshape(-1, 32)

    return Index(
        users=names,
        part=np.repeat(np.arange(len(parts)), rows)[live],
        row=np.concatenate([np.arange(0), *map(np.arange, rows)])[live],
        hashes=lambda name: np.concatenate([_NONE, *(hashed(t, name) for t in tables)])[live],
        pieces=[
            hashed(table, "piece")[:: matrix.piece] if "piece" in own_columns(table) else _NONE
            for matrix, table in zip(parts, tables, strict=True)
        ],
        bounds=np.stack([numbers("least"), numbers("greatest")]),
        filled=numbers("filled"),
        different=numbers("different"),
    )
