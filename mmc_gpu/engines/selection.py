"""Rows and columns of a matrix in another order, copied when they are needed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from mmc_gpu.engines.arrays import Array, Integers, Numbers
from mmc_gpu.engines.threads import share, thread_count

_ROWS = 64
"""Rows that a thread copies at a time."""

_STOCKS = 16
"""Stocks that a thread copies at a time where a matrix lies by stocks: 16 of 5,000 users fit the
second cache."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Some rows of a matrix on the host in an order of their own, and its columns in another.

    It has what arrays have of which engines read a part at a time: to copy all of it first would
    take as long as a blend.

    Attributes:
        matrix: (R, M), any strides.
        rows: (B,) which rows.
        columns: (N,) which columns; a range where they stand together.
    """

    matrix: Numbers
    rows: Integers
    columns: Integers | range

    @property
    def shape(self) -> tuple[int, int]:
        """Return how many rows and columns are selected."""
        return len(self.rows), len(self.columns)

    @property
    def dtype(self) -> DTypeLike:
        """Return the matrix's type."""
        return self.matrix.dtype

    @property
    def by_rows(self) -> bool:
        """Return whether rows lie together in memory, so that a part costs what it is."""
        return lies_by_rows(self.matrix)

    def __len__(self) -> int:
        """Return how many rows are selected."""
        return len(self.rows)

    def __getitem__(self, key: slice | tuple[slice, slice]) -> "Selection":
        """Return some of the rows, or of the rows and of the columns."""
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        return Selection(self.matrix, self.rows[rows], self.columns[columns])

    def write(self, out: Numbers) -> None:
        """Write what is selected into a (B, N) array of any type, in this thread."""
        if not self.by_rows:
            out[:] = self._stocks().take(self.rows, axis=1).T
        elif isinstance(self.columns, range):
            out[:] = self.matrix[self.rows, self.columns[0] : self.columns[-1] + 1]
        else:
            out[:] = self.matrix[self.rows].take(self.columns, axis=1)

    def _stocks(self) -> Numbers:
        if isinstance(self.columns, range):
            return self.matrix.T[self.columns[0] : self.columns[-1] + 1]
        return self.matrix.T[self.columns]

    def copy(self) -> Numbers:
        """Return what is selected, in C order, copied by all cores."""
        block = np.empty(self.shape, self.matrix.dtype)

        def copy(tiles: Iterator[tuple[slice, slice]]) -> None:
            for rows, columns in tiles:
                self[rows, columns].write(block[rows, columns])

        every = slice(None)
        tiles = (
            [(slice(start, start + _ROWS), every) for start in range(0, len(self), _ROWS)]
            if self.by_rows
            else [(every, slice(at, at + _STOCKS)) for at in range(0, len(self.columns), _STOCKS)]
        )
        share(copy, tiles, thread_count())
        return block


def lies_by_rows(matrix: Numbers) -> bool:
    """Return whether the values of a row lie closer in memory than those of a column."""
    return abs(matrix.strides[0]) >= abs(matrix.strides[1])


def copied(block: Array) -> Array:
    """Return a block as an array: a selection copied, all else as it is."""
    return block.copy() if isinstance(block, Selection) else block
