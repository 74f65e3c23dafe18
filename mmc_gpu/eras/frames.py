"""Frames in memory (pandas, polars, Arrow), taken apart into eras."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Integers
from mmc_gpu.eras.columns import Columns, EraRows, Label, Piece, as_labels, era_order, numbered
from mmc_gpu.errors import RoundError, counted, shown
from mmc_gpu.inputs.beside import INDEX, NO_NAME, beside, is_nameless
from mmc_gpu.inputs.columns import holds_floats, numbers
from mmc_gpu.inputs.frames import Frame, take_frame


class FrameEras:
    """A frame in memory, rows in any order; see `EraSource`."""

    notes: Sequence[str] = ()

    def __init__(self, frame: Any, place: str = "frame", eras: Sequence[Any] = ()) -> None:
        """Take a pandas frame, or anything with an Arrow stream; errors call it `place`.

        A level of pandas' index with a name among `eras` is a column.
        """
        self._frame = _with_level(take_frame(frame, place), eras)
        self.place, self.names = place, self._frame.names
        self.rows = len(self._frame.table)
        table = self._frame.table
        columns = map(itemgetter(1), table.items()) if self._frame.is_pandas else table.columns
        self._columns: dict[Any, Any] = dict(zip(self.names, columns, strict=True))
        labels = self._frame.labels
        both = None if labels is None or labels.name is None else self._columns.get(labels.name)
        if both is not None and list(labels) != list(both):
            detail = f"{place}: the index and the column {shown([labels.name])} differ"
            raise RoundError("id-ambiguous", detail)
        self._found: dict[Any, list[tuple[Label, Integers]]] = {}
        self.floats = [name for name in self.names if holds_floats(self._columns[name])]
        self.aside = {
            name: what for name in self.floats if (what := beside(name, self._columns[name]))
        }
        nameless = [name for name in self.names if is_nameless(name) and name not in self.floats]
        ids = [name for name in nameless if beside(name, self._columns[name]) == NO_NAME]
        self.index = self._frame.stored
        if self.index in self.floats:
            self.aside[self.index] = INDEX
        if self.index is None and self._frame.labels is None and len(ids) == 1:
            self.index = ids[0]

    def labels(self, era: Any) -> list[Label]:
        return [label for label, _ in self._places(era)]

    def eras(self, columns: Columns, chosen: slice = slice(None)) -> Iterator[EraRows]:
        ids = self._frame.labels if columns.ids is None else self._columns[columns.ids]
        ids = None if ids is None else as_labels(ids, self.place)
        values = [
            numbers(self._columns[name], f"{self.place}: column {shown([name])}")
            for name in columns.numeric
        ]
        for label, places in self._places(columns.era)[chosen]:
            together = places[-1] - places[0] + 1 == len(places)
            rows = slice(places[0], places[-1] + 1) if together else places
            matrix = np.concatenate([column[rows] for column in values])
            matrix = matrix.reshape(len(values), len(places))
            yield EraRows(label, None if ids is None else ids[rows], matrix, rows)

    def pieces(self, era: Any, ids: Any, names: Sequence[Any]) -> Iterator[Piece]:
        labels = self._frame.labels if ids is None else self._columns[ids]
        eras = None if era is None else self._columns[era]
        yield Piece(labels, eras, [self._columns[name] for name in names])

    def _places(self, era: Any) -> list[tuple[Label, Integers]]:
        if era not in self._found:
            codes, labels = numbered(self._columns[era], self.place)
            if empty := int(np.count_nonzero(codes < 0)):
                without = counted(empty, "row has", "rows have")
                raise RoundError("era-missing", f"{self.place}: {without} no era")
            ascending = sorted(range(len(labels)), key=lambda at: era_order(labels[at]))
            bounds = np.cumsum(np.bincount(codes))[:-1]
            places = np.split(np.argsort(codes, kind="stable"), bounds)
            self._found[era] = [(labels[at], places[at]) for at in ascending]
        return self._found[era]


def _with_level(frame: Frame, eras: Sequence[Any]) -> Frame:
    """Return a frame of which no level of the index holds the eras: they are a column of it.

    Of two levels without such a name the first has the eras, as in (date, asset).
    """
    names = list(getattr(frame.index, "names", ()))
    if len(names) < 2 or not eras or any(name in frame.names for name in eras):
        return frame
    level = next((names.index(name) for name in eras if name in names), None)
    if level is None and names != [None, None]:
        return frame
    level = level or 0
    table = frame.table.copy(deep=False)
    name = eras[0] if names[level] is None else names[level]
    table[name] = frame.index.get_level_values(level)
    rest = frame.index.droplevel(level)
    return replace(frame, names=[*frame.names, name], table=table, index=rest)
