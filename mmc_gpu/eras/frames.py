"""Frames in memory (pandas, polars, Arrow), taken apart into eras."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mmc_gpu.engines.arrays import Integers
from mmc_gpu.eras.columns import Columns, EraRows, Label, era_label, era_order
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.columns import numbers
from mmc_gpu.inputs.frames import arrow_table, check_header, index_column


class FrameEras:
    """A frame in memory, rows in any order; see `EraSource`."""

    def __init__(self, frame: Any, place: str = "frame") -> None:
        """Take a pandas frame, or anything with an Arrow stream.

        Raises:
            RoundError: it has no rows, or two columns of one name.
        """
        self.place = place
        self._pandas = isinstance(frame, pd.DataFrame)
        self._frame = frame if self._pandas else arrow_table(frame)
        self.names = list(frame.columns) if self._pandas else self._frame.column_names
        check_header(self.names, place)
        if not len(self._frame):
            raise RoundError("file-empty", f"{place}: no rows")
        self.floats = [name for name in self.names if self._is_float(name)]
        self.index = None if self._pandas else index_column(self._frame.schema)

    def labels(self, era: Any) -> list[Label]:
        """Return the eras in ascending order."""
        return [label for label, _ in self._places(era)]

    def eras(self, columns: Columns, chosen: slice = slice(None)) -> Iterator[EraRows]:
        """Yield the rows of each of the chosen eras, in the order of the labels."""
        ids = self._ids(columns.ids)
        values = [
            numbers(self._column(name), f"{self.place}: column {shown([name])}")
            for name in columns.numeric
        ]
        narrow = all(column.dtype == np.float32 for column in values)
        for label, places in self._places(columns.era)[chosen]:
            matrix = np.empty((len(values), len(places)), np.float32 if narrow else np.float64)
            for row, column in zip(matrix, values, strict=True):
                row[:] = column[places]
            yield EraRows(label, None if ids is None else ids[places], matrix)

    def _places(self, era: Any) -> list[tuple[Label, Integers]]:
        column = self._column(era)
        if not self._pandas:
            column = column.to_pandas()
        codes, values = pd.factorize(column)
        if (codes < 0).any():
            raise RoundError("era-missing", f"{self.place}: {(codes < 0).sum():,} rows have no era")
        labels = [era_label(value, self.place) for value in values]
        ascending = sorted(range(len(labels)), key=lambda at: era_order(labels[at]))
        bounds = np.cumsum(np.bincount(codes))[:-1]
        places = np.split(np.argsort(codes, kind="stable"), bounds)
        return [(labels[at], places[at]) for at in ascending]

    def _ids(self, name: Any) -> Any:
        if name is not None:
            column = self._column(name)
            return np.asarray(column if self._pandas else column.to_pandas())
        if not self._pandas:
            return None
        index = self._frame.index
        bare = isinstance(index, pd.RangeIndex) and index.name is None
        return None if bare else index.to_numpy()

    def _column(self, name: Any) -> Any:
        return self._frame[name] if self._pandas else self._frame.column(name)

    def _is_float(self, name: Any) -> bool:
        if self._pandas:
            return getattr(self._frame[name].dtype, "kind", "O") == "f"
        import pyarrow as pa

        return pa.types.is_floating(self._frame.schema.field(name).type)
