"""Files and frames joined to the first one: their columns stand in the order of its rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Integers
from mmc_gpu.eras.columns import Columns, EraRows, EraSource, Label, Piece
from mmc_gpu.eras.places import OTHER_ERA, BaseRows, id_texts, told
from mmc_gpu.eras.spool import Spool
from mmc_gpu.errors import RoundError, counted, shown


@dataclass(frozen=True, eq=False)
class Added:
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
        place: what errors call the first file.
        names: the names of the first file's columns, then of the joined ones.
        floats: the names of the first file's columns of floating-point numbers.
        index: the column of ids of the first file, where none is called `id`.
        aside: what stands beside the data in the first file.
        rows: how many the first file has.
        joined: what errors call the joined files.
        notes: what was left out, file by file.
    """

    def __init__(self, base: EraSource, era: Any, ids: Any, added: Sequence[Added]) -> None:
        """Find the place of every row, and put the joined columns into the first file's order.

        Args:
            base: the first file.
            era: its column of eras.
            ids: its column of ids; None where pandas' index has them.
            added: what is joined.

        Raises:
            RoundError: join-ids where a file shares few ids with the first one; codes of files.
        """
        self._base, self._era, self._ids = base, era, ids
        self._rows = BaseRows(base, era, ids)
        self._columns = Spool(base.rows)
        self._twice: dict[Any, tuple[Integers, str]] = {}
        self.place, self.floats, self.index = base.place, base.floats, base.index
        self.aside, self.rows = base.aside, base.rows
        self.joined = [one.source.place for one in added]
        left_out = [note for one in added if (note := self._join(one))]
        self.notes: Sequence[str] = [*base.notes, *left_out]
        self.names = [*base.names, *self._columns.names]

    def labels(self, era: Any) -> list[Label]:
        """Return the eras in ascending order."""
        return self._rows.layout.labels

    def pieces(self, era: Any, ids: Any, names: Sequence[Any]) -> Iterator[Piece]:
        """Yield all rows of the first file as they stand, without joined columns."""
        return self._base.pieces(era, ids, names)

    def eras(self, columns: Columns, chosen: slice = slice(None)) -> Iterator[EraRows]:
        """Yield the rows of each of the chosen eras, in the order of the labels."""
        names = columns.numeric
        own = tuple(name for name in names if name not in self._columns.names)
        first = Columns(columns.era, columns.ids, (), None, (), (), own)
        starts = self._rows.layout.starts.tolist()
        at = range(*chosen.indices(len(starts) - 1))
        for number, rows in zip(at, self._base.eras(first, chosen), strict=True):
            start, stop = starts[number : number + 2]
            held = dict(zip(own, rows.matrix, strict=True))
            values = [
                held[name] if name in held else self._columns.read(name, start, stop)
                for name in names
            ]
            narrow = all(one.dtype == np.float32 for one in values)
            matrix = np.empty((len(values), stop - start), np.float32 if narrow else np.float64)
            for row, one in zip(matrix, values, strict=True):
                row[:] = one
            yield EraRows(rows.label, rows.ids, matrix, self._faults(rows.label, start, stop))

    def _faults(self, label: Label, start: int, stop: int) -> dict[Any, RoundError]:
        """Return the faults of joined columns of which an era has a row twice."""
        found = {}
        for name, (places, where) in self._twice.items():
            if twice := int(np.diff(np.searchsorted(places, [start, stop]))[0]):
                detail = f"era {label}, {shown([name])}: {counted(twice, 'id')} {where}"
                found[name] = RoundError("id-duplicate", detail)
        return found

    def _join(self, added: Added) -> str:
        """Take a file's columns; return what was left out of it."""
        import pyarrow as pa

        place, eras, texts = added.source.place, [], []
        for piece in added.source.pieces(added.era, added.ids, []):
            if piece.ids is None:
                raise RoundError("column-missing", f"{place}: no ids to join it by")
            texts.append(id_texts(piece.ids, place))
            if piece.eras is not None:
                eras.append(self._rows.eras.of(piece.eras, place))
        ids = pa.chunked_array(texts)
        found = self._rows.find(ids, np.concatenate(eras) if eras else None)
        self._check(added, found, ids)
        placed = np.bincount(found[found >= 0], minlength=self.rows)
        twice = np.flatnonzero(placed > 1)
        first = np.flatnonzero(np.isin(found, twice[:3]))
        names = list(dict.fromkeys(ids.take(pa.array(first)).to_pylist())) if len(twice) else []
        self._columns.scatter(added.source, dict(added.names), found, twice)
        if len(twice):
            words = f"in more than one row of {place}, which has {shown(names)} so"
            self._twice |= dict.fromkeys(added.names.values(), (twice, words))
        return told(found, placed, place, self._rows, names)

    def _check(self, added: Added, found: Integers, ids: Any) -> None:
        """Refuse a file that shares fewer than half of the ids with the first one."""
        shared, place = np.count_nonzero(found >= 0), added.source.place
        if 2 * shared >= min(len(found), self.rows):
            return
        sizes = f"{shared:,} of {len(found):,} and {self.rows:,} rows"
        detail = f"{place} and {self.place} have {sizes} in common"
        if 2 * np.count_nonzero(found == OTHER_ERA) >= len(found):
            eras = f"the eras of {self.place} are {shown(self._rows.layout.labels)}"
            raise RoundError("join-ids", f"{detail}: ids are there, in other eras; {eras}")
        theirs = shown(ids.slice(0, 2).to_pylist(), 2)
        raise RoundError("join-ids", f"{detail}: ids such as {theirs} and {self._rows.first_ids()}")
