"""Columns whose rows come in any order, put into one order, in memory or on disk."""

import tempfile
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Integers, Numbers
from mmc_gpu.eras.columns import EraSource
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.columns import numbers

_IN_MEMORY = 2**28
"""Bytes of columns that stay in memory; more go to a nameless file on disk."""

_AT_ONCE = 2**27
"""Bytes of columns that are put into order at a time."""


class Spool:
    """Columns in the order of places, by name, float32 or float64 as they came.

    Attributes:
        names: of the columns.
    """

    def __init__(self, rows: int) -> None:
        self.names: dict[Any, tuple[int, str]] = {}
        self._rows = rows
        # gone with the process, however that ends
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by finalize
        weakref.finalize(self, self._file.close)

    def scatter(
        self, source: EraSource, names: dict[Any, Any], places: Integers, without: Integers
    ) -> None:
        """Store columns of a source, a group of them at a time.

        Args:
            source: rows in any order.
            names: the names that the columns get here, by their names in the source.
            places: (R,) where each row of the source belongs; below 0 for nowhere.
            without: places that stay without values.

        Raises:
            RoundError: a column holds no numbers; output-failed where the disk is full.
        """
        group = max(1, _AT_ONCE // (8 * self._rows))
        for start in range(0, len(names), group):
            some = list(names)[start : start + group]
            for name, column in zip(some, self._ordered(source, some, places), strict=True):
                column[without] = np.nan
                self.names[names[name]] = self._write(column), column.dtype.str

    def read(self, name: Any, start: int, stop: int) -> Numbers:
        """Return the rows of a column from one place to the one before another."""
        offset, dtype = self.names[name]
        rows: Numbers = np.empty(stop - start, dtype)
        self._file.seek(offset + start * rows.itemsize)
        rows.data.cast("B")[:] = self._file.read(rows.nbytes)
        return rows

    def _ordered(self, source: EraSource, names: Sequence[Any], places: Integers) -> list[Numbers]:
        columns: list[Numbers] = [np.full(self._rows, np.nan, np.float32) for _ in names]
        at = 0
        for piece in source.pieces(None, None, names):
            for number, (name, values) in enumerate(zip(names, piece.values, strict=True)):
                taken = numbers(values, f"{source.place}: column {shown([name])}")
                if taken.dtype == np.float64 and columns[number].dtype == np.float32:
                    columns[number] = columns[number].astype(np.float64)
                own = places[at : at + len(taken)]
                columns[number][own[own >= 0]] = taken[own >= 0]
            at += len(piece.values[0])
        return columns

    def _write(self, column: Numbers) -> int:
        start = self._file.seek(0, 2)
        try:
            self._file.write(column.data)
        except OSError as error:
            folder = tempfile.gettempdir()
            detail = f"{folder!a}: {error.strerror}; TMPDIR names another folder"
            raise RoundError("output-failed", detail) from error
        return start
