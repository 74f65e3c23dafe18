"""Files and frames joined to the first one: their columns stand in the order of its rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Numbers
from mmc_gpu.eras.columns import Columns, EraRows, EraSource, Label, Piece
from mmc_gpu.eras.places import BaseRows
from mmc_gpu.errors import RoundError, counted, shown
from mmc_gpu.inputs.columns import numbers


class Added(NamedTuple):
    """A file or frame that is joined to the first one."""

    source: EraSource  # the file
    era: Any  # its column of eras, or None
    ids: Any  # its column of ids; None where pandas' index has them
    names: Mapping[Any, Any]  # the names that its columns get, by their names in the file


class JoinedEras:
    """A first file and what is joined to it; see `EraSource`.

    Its rows are those of the first file, with NaN where another file has no row for them.
    """

    def __init__(
        self, base: EraSource, era: Any, ids: Any, added: Iterable[Added | dict[Any, Any]]
    ) -> None:
        """Find the place of every row, and put the joined columns into the first file's order.

        `era` and `ids` are the first file's columns; ids are None where pandas' index has them. Of
        what is added, one at a time is in memory. Arrays by name have that order already.

        Raises:
            RoundError: join-ids where a file shares few ids with the first one; codes of files.
        """
        self._base, self.rows, rows = base, base.rows, None
        self._columns: dict[Any, Numbers] = {}
        self._twice: dict[Any, tuple[Any, str]] = {}
        self.joined: list[str] = []  # what errors call the joined files
        self.notes: Sequence[str] = base.notes
        for one in added:
            if isinstance(one, dict):
                self._columns |= one
                continue
            self.joined.append(one.source.place)
            rows = rows or BaseRows(base, era, ids)
            self.notes = [*self.notes, *self._join(one, rows)]
        self.place, self.names = base.place, [*base.names, *self._columns]
        self.floats, self.index, self.aside = base.floats, base.index, base.aside

    def labels(self, era: Any) -> list[Label]:
        return self._base.labels(era)

    def pieces(self, era: Any, ids: Any, names: Sequence[Any]) -> Iterator[Piece]:
        """Yield all rows of the first file as they stand, without joined columns."""
        return self._base.pieces(era, ids, names)

    def eras(self, columns: Columns, chosen: slice = slice(None)) -> Iterator[EraRows]:
        names = columns.numeric
        own = tuple(name for name in names if name not in self._columns)
        first = Columns(columns.era, columns.ids, (), None, (), (), own)
        for rows in self._base.eras(first, chosen):
            held = dict(zip(own, rows.matrix, strict=True))
            held |= {name: self._columns[name][rows.places] for name in names if name not in held}
            narrow = all(one.dtype == np.float32 for one in held.values())
            matrix = np.empty((len(names), rows.matrix.shape[1]), np.float32 if narrow else float)
            for row, name in zip(matrix, names, strict=True):
                row[:] = held[name]
            faults = {}
            for name, (twice, where) in self._twice.items():
                if count := int(np.count_nonzero(twice[rows.places])):
                    detail = f"era {rows.label}, {shown([name])}: {counted(count, 'id')} {where}"
                    faults[name] = RoundError("id-duplicate", detail)
            yield replace(rows, matrix=matrix, faults=faults)

    def _join(self, added: Added, rows: BaseRows) -> list[str]:
        """Take a file's columns; return what was left out of it."""
        found, place = rows.find(added.source, added.era, added.ids), added.source.place
        columns = {name: np.full(self.rows, np.nan, np.float32) for name in added.names}
        at = 0
        for piece in added.source.pieces(None, None, list(columns)):
            own = found.places[at : at + len(piece.values[0])]
            at += len(own)
            for name, values in zip(columns, piece.values, strict=True):
                taken = numbers(values, f"{place}: column {shown([name])}")
                if taken.dtype == np.float64:
                    columns[name] = columns[name].astype(np.float64, copy=False)
                columns[name][own[own >= 0]] = taken[own >= 0]
        twice = found.placed > 1
        words = f"in more than one row of {place}, which has {shown(found.twice)} so"
        for name, column in columns.items():
            column[twice] = np.nan
            self._columns[added.names[name]] = column
            if found.twice:
                self._twice[added.names[name]] = twice, words
        return rows.told(found, place)
