"""Rows and columns of a matrix in another order: a view, or copied when they are needed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from mmc_gpu.engines.arrays import Array, Integers, Numbers, is_in_memory, is_on_gpu, on_host
from mmc_gpu.engines.threads import share, thread_count

HOST_BYTES, DEVICE_BYTES = 24 << 20, 256 << 20
"""A block that has to be copied into another order has this many bytes: on the host, on a GPU."""

_ROWS = 16  # rows that a thread copies at a time: 16 of 5,000 stocks fit the second cache

_STOCKS = 16
"""Stocks that a thread copies at a time, if the values of a stock lie together: 16 of 5,000 users
fit the second cache."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Some rows and columns of a matrix in memory or on its disk, in an order of their own.

    Engines that select read it a part at a time, like an array. To copy all of it first would take
    as long as a blend.
    """

    matrix: Array  # (R, M), any strides; or on disk, where the thread that needs rows reads them
    rows: Integers  # (B,) which rows
    columns: Integers | range  # (N,) which columns; a range, if they stand together

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
        """Return whether the values of a row lie together, so that a few rows are quickly read."""
        return not is_in_memory(self.matrix) or lies_by_rows(self.matrix)

    @property
    def reorders(self) -> bool:
        """Return whether all columns are selected, in an order of their own."""
        columns, every = self.columns, np.arange(self.matrix.shape[1])
        return not isinstance(columns, range) and np.array_equal(np.sort(columns), every)

    def lying(self) -> Array:
        """Return the rows that are selected, all of their columns as they lie; see `select`."""
        return select(self.matrix, self.rows, None)

    def __len__(self) -> int:
        """Return how many rows are selected."""
        return len(self.rows)

    def __getitem__(self, key: slice | tuple[slice, slice]) -> "Selection":
        """Return some of the rows; with two slices, some of the rows and of the columns."""
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        return Selection(self.matrix, self.rows[rows], self.columns[columns])

    def write(self, out: Numbers) -> None:
        """Write what is selected into a (B, N) array of any type, in this thread."""
        matrix: Array = self.matrix
        rows: Any = self.rows
        if not is_in_memory(matrix):
            matrix, rows = matrix[rows], slice(None)
        columns: Any = self.columns
        if isinstance(columns, range):
            columns = slice(columns[0], columns[-1] + 1)
        if not self.by_rows:
            out[:] = matrix.T[columns].take(rows, axis=1).T
        elif isinstance(columns, slice):
            out[:] = matrix[rows, columns]
        elif out.dtype == matrix.dtype:  # at once into its place: half the time
            np.take(matrix[rows], columns, axis=1, out=out, mode="clip")
        else:
            out[:] = matrix[rows].take(columns, axis=1)

    def copy(self) -> Numbers:
        """Return what is selected, on the host, in C order, copied by all cores."""
        if is_on_gpu(self.matrix):  # in this thread, whose stream has written it
            rows = on_host(self.matrix[self.rows])
            return Selection(rows, np.arange(len(rows)), self.columns).copy()
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


def select(matrix: Array, rows: Integers, columns: Integers | None) -> Array:
    """Return some rows and columns of a matrix.

    A view, if they lie like that; else a `Selection` of a matrix in memory or on its disk, or of
    the rows that were read from far away.

    Args:
        matrix: (R, M) in memory, or on disk.
        rows: (B,) which rows.
        columns: (N,) which columns; None for all of them, as they stand.
    """
    if is_view(matrix, rows, columns):
        return matrix[rows[0] : rows[-1] + 1]
    if is_in_memory(matrix) or getattr(matrix, "is_near", False):
        return Selection(matrix, rows, range(matrix.shape[1]) if columns is None else columns)
    block = matrix[rows]
    return block if columns is None else Selection(block, np.arange(len(block)), columns)


def is_view(matrix: Array, rows: Integers, columns: Integers | None) -> bool:
    """Return whether `select` needs no copy for these rows and columns."""
    return columns is None and is_in_memory(matrix) and bool((np.diff(rows) == 1).all())


def rows_to_copy(matrix: Array) -> int:
    """Return how many rows of a matrix to copy into another order at a time; at least 0."""
    size = DEVICE_BYTES if is_on_gpu(matrix) else HOST_BYTES
    return size // (matrix.shape[1] * matrix.dtype.itemsize)


def may_be_whole(matrix: Array, size: int, most: int) -> bool:
    """Return whether `size` bytes may be had at once: in memory always, from disk up to `most`."""
    return is_in_memory(matrix) or size <= most


def lies_by_rows(matrix: Numbers) -> bool:
    """Return whether the values of a row lie closer in memory than those of a column."""
    return abs(matrix.strides[0]) >= abs(matrix.strides[1])


def in_memory(block: Array) -> Array:
    """Return a block whose values are wanted more than once: what is on disk is read, at once."""
    if not isinstance(block, Selection) or is_in_memory(block.matrix):
        return block
    read, columns = block.matrix[block.rows], np.asarray(block.columns)
    every = np.array_equal(columns, np.arange(read.shape[1]))
    return read if every else Selection(read, np.arange(len(read)), columns)


def copied(block: Array) -> Array:
    """Return a block as an array: a copy of a selection, any other block itself."""
    block = in_memory(block)
    return block.copy() if isinstance(block, Selection) else block
