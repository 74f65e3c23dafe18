"""Data over eras in several parts, or with rows in any order, too large for memory."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mmc_gpu.eras.columns import Columns, EraRows, Label, Piece, era_label, era_order
from mmc_gpu.eras.places import Layout, factorized, id_texts
from mmc_gpu.eras.spool import Spool
from mmc_gpu.errors import RoundError, shown


class ScatteredEras:
    """Parts of one table, rows in any order; see `EraSource`.

    Columns that are needed are put into the order of the eras, in memory or on disk.

    Attributes:
        entries: file, bytes and sha256 of each part.
    """

    def __init__(self, parts: Sequence[Any], place: str) -> None:
        """Take the parts.

        Raises:
            RoundError: they have different columns.
        """
        first = parts[0]
        for part in parts:
            if odd := set(part.names) ^ set(first.names):
                detail = f"{place}: {part.place} and {first.place} differ by {shown(odd)}"
                raise RoundError("column-missing", detail)
        self._parts, self.place = parts, place
        self.rows = sum(part.rows for part in parts)
        self.names, self.index = first.names, first.index
        self.floats = [name for name in first.names if any(name in part.floats for part in parts)]
        self.aside = {
            name: first.aside[name]
            for name in first.aside
            if all(name in part.aside for part in parts)
        }
        self.notes: Sequence[str] = [note for part in parts for note in part.notes]
        self.entries = [
            {**entry, "file": f"{place}/{entry['file']}"} if len(parts) > 1 else entry
            for part in parts
            for entry in part.entries
        ]
        self._layout: Layout | None = None
        self._spool = Spool(self.rows)

    def labels(self, era: Any) -> list[Label]:
        """Return the eras in ascending order; only their column is read."""
        known: set[Label] = set()
        columns = []
        for piece in self.pieces(era, None, []):
            codes, values = factorized(piece.eras)
            if missing := np.count_nonzero(codes < 0):
                raise RoundError("era-missing", f"{self.place}: {missing:,} rows have no era")
            labels = [era_label(value, self.place) for value in values]
            known.update(labels)
            columns.append((codes, labels))
        ascending = sorted(known, key=era_order)
        numbers = {label: at for at, label in enumerate(ascending)}
        rows = [np.array([numbers[one] for one in own])[codes] for codes, own in columns]
        self._layout = Layout.of(ascending, np.concatenate(rows))
        return ascending

    def eras(self, columns: Columns, chosen: slice = slice(None)) -> Iterator[EraRows]:
        """Yield the rows of each of the chosen eras, in the order of the labels."""
        if self._layout is None:
            self.labels(columns.era)
        assert self._layout is not None
        layout, names = self._layout, columns.numeric
        order = np.arange(self.rows) if layout.order is None else layout.order
        places = np.empty(self.rows, np.int64)
        places[order] = np.arange(self.rows)
        if wanted := {name: name for name in names if name not in self._spool.names}:
            self._spool.scatter(self, wanted, places, places[:0])
        held = None if columns.ids is None else self._held(columns.ids)
        starts = layout.starts.tolist()
        for number in range(*chosen.indices(len(layout.labels))):
            start, stop = starts[number : number + 2]
            values = [self._spool.read(name, start, stop) for name in names]
            narrow = all(one.dtype == np.float32 for one in values)
            matrix = np.empty((len(values), stop - start), np.float32 if narrow else np.float64)
            for row, one in zip(matrix, values, strict=True):
                row[:] = one
            own = None
            if held is not None:
                own = np.asarray(held.take(order[start:stop]).to_pandas())
            yield EraRows(layout.labels[number], own, matrix)

    def pieces(self, era: Any, ids: Any, names: Sequence[Any]) -> Iterator[Piece]:
        """Yield all rows as they stand, part by part."""
        for part in self._parts:
            yield from part.pieces(era, ids, names)

    def _held(self, ids: Any) -> Any:
        """Return the ids of all rows; as text where the parts have them as different types."""
        import pyarrow as pa

        found = [piece.ids for piece in self.pieces(None, ids, [])]
        chunks = [chunk for one in found for chunk in getattr(one, "chunks", [one])]
        if len({chunk.type for chunk in chunks}) > 1:
            chunks = [id_texts(chunk, self.place) for chunk in chunks]
        return pa.chunked_array(chunks)
