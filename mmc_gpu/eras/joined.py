"""Files and frames joined to the first one: their columns stand in the order of its rows."""

import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Integers, Numbers
from mmc_gpu.eras.columns import Columns, EraRows, EraSource, Label, Piece
from mmc_gpu.eras.places import BaseRows
from mmc_gpu.errors import RoundError, counted, shown
from mmc_gpu.inputs.columns import numbers

_IN_MEMORY = 2**28
"""Bytes of joined columns that stay in memory; more go to a nameless file on disk."""

_AT_ONCE = 2**27
"""Bytes of columns that are put into the order of the first file's rows at a time."""


class Added(NamedTuple):
    """A file or frame that is joined to the first one.

    Attributes:
        source: the file.
        era: its column of eras, or None.
        ids: its column of ids; None where pandas' index has them.
        names: the names that its columns get, by their names in the file.
    """

    source: EraSource
    era: Any
    ids: Any
    names: Mapping[Any, Any]


class JoinedEras:
    """A first file and what is joined to it; see `EraSource`.

    Its rows are those of the first file, with NaN where another file has no row for them.

    Attributes:
        joined: what errors call the joined files.
    """

    def __init__(self, base: EraSource, era: Any, ids: Any, added: Iterable[Added]) -> None:
        """Find the place of every row, and put the joined columns into the first file's order.

        Args:
            base: the first file.
            era: its column of eras.
            ids: its column of ids; None where pandas' index has them.
            added: what is joined, one at a time in memory.

        Raises:
            RoundError: join-ids where a file shares few ids with the first one; codes of files.
        """
        self._base, self._rows = base, BaseRows(base, era, ids)
        self._at: dict[Any, tuple[int, str]] = {}
        self._twice: dict[Any, tuple[Integers, str]] = {}
        # gone with the process, however that ends
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by finalize
        weakref.finalize(self, self._file.close)
        self.joined: list[str] = []
        notes = [*base.notes]
        for one in added:
            self.joined.append(one.source.place)
            notes += self._join(one)
        self.notes: Sequence[str] = notes
        self.place, self.rows, self.names = base.place, base.rows, [*base.names, *self._at]
        self.floats, self.index, self.aside = base.floats, base.index, base.aside

    def labels(self, era: Any) -> list[Label]:
        """Return the eras in ascending order."""
        return self._rows.layout.labels

    def pieces(self, era: Any, ids: Any, names: Sequence[Any]) -> Iterator[Piece]:
        """Yield all rows of the first file as they stand, without joined columns."""
        return self._base.pieces(era, ids, names)

    def eras(self, columns: Columns, chosen: slice = slice(None)) -> Iterator[EraRows]:
        """Yield the rows of each of the chosen eras, in the order of the labels."""
        names, starts = columns.numeric, self._rows.layout.starts.tolist()
        own = tuple(name for name in names if name not in self._at)
        first = Columns(columns.era, columns.ids, (), None, (), (), own)
        at = range(*chosen.indices(len(starts) - 1))
        for number, rows in zip(at, self._base.eras(first, chosen), strict=True):
            start, stop = starts[number : number + 2]
            held = dict(zip(own, rows.matrix, strict=True))
            held |= {name: self._read(name, start, stop) for name in names if name in self._at}
            narrow = all(one.dtype == np.float32 for one in held.values())
            matrix = np.empty((len(names), stop - start), np.float32 if narrow else np.float64)
            for row, name in zip(matrix, names, strict=True):
                row[:] = held[name]
            yield EraRows(rows.label, rows.ids, matrix, self._faults(rows.label, start, stop))

    def _faults(self, label: Label, start: int, stop: int) -> dict[Any, RoundError]:
        """Return the faults of joined columns of which an era has a row twice."""
        found = {}
        for name, (places, where) in self._twice.items():
            if twice := int(np.diff(np.searchsorted(places, [start, stop]))[0]):
                detail = f"era {label}, {shown([name])}: {counted(twice, 'id')} {where}"
                found[name] = RoundError("id-duplicate", detail)
        return found

    def _join(self, added: Added) -> list[str]:
        """Take a file's columns; return what was left out of it."""
        found = self._rows.find(added.source, added.era, added.ids)
        twice = np.flatnonzero(found.placed > 1)
        names, place = list(added.names), added.source.place
        group = max(1, _AT_ONCE // (8 * self._rows.rows))
        for start in range(0, len(names), group):
            some = names[start : start + group]
            for name, column in zip(some, self._ordered(added, some, found.places), strict=True):
                column[twice] = np.nan
                self._at[added.names[name]] = self._write(column), column.dtype.str
        if len(twice):
            words = f"in more than one row of {place}, which has {shown(found.twice)} so"
            self._twice |= dict.fromkeys(added.names.values(), (twice, words))
        return self._rows.told(found, place)

    def _ordered(self, added: Added, names: Sequence[Any], places: Integers) -> list[Numbers]:
        """Return columns of a file in the order of the first one, float32 if they came so."""
        columns: list[Numbers] = [np.full(self._rows.rows, np.nan, np.float32) for _ in names]
        at = 0
        for piece in added.source.pieces(None, None, names):
            own = places[at : at + len(piece.values[0])]
            at += len(own)
            for number, (name, values) in enumerate(zip(names, piece.values, strict=True)):
                taken = numbers(values, f"{added.source.place}: column {shown([name])}")
                if taken.dtype == np.float64:
                    columns[number] = columns[number].astype(np.float64, copy=False)
                columns[number][own[own >= 0]] = taken[own >= 0]
        return columns

    def _write(self, column: Numbers) -> int:
        start = self._file.seek(0, 2)
        try:
            self._file.write(column.data)
        except OSError as error:
            detail = f"{tempfile.gettempdir()!a}: {error.strerror}; TMPDIR names another folder"
            raise RoundError("output-failed", detail) from error
        return start

    def _read(self, name: Any, start: int, stop: int) -> Numbers:
        offset, dtype = self._at[name]
        size = np.dtype(dtype).itemsize
        self._file.seek(offset + start * size)
        rows: Numbers = np.frombuffer(self._file.read((stop - start) * size), dtype)
        return rows
