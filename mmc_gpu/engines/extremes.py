"""The least and the greatest value of each row of a matrix, wherever it lies."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers, is_in_memory, is_on_gpu
from mmc_gpu.engines.selection import lies_by_rows, select
from mmc_gpu.engines.threads import share, thread_count

_ROWS = 64
"""Rows searched at a time. 5,000 x 5,000 float64: 12 ms; 13 at a time, which fit the second cache,
19, and with a task each 43: the threads then wait for each other more than for memory."""


def extremes(matrix: Array, columns: Integers | None) -> tuple[Floats, Floats]:
    """Return the least and greatest value of each row; NaN where one is NaN.

    Args:
        matrix: (R, M), in memory or on disk; `bounds`, if it has them, are its extremes.
        columns: (N,) the columns that count; None for all.
    """
    if columns is None and hasattr(matrix, "bounds"):
        return matrix.bounds[0], matrix.bounds[1]  # a packed round knows them since it was packed
    rows, width = matrix.shape
    every = columns is None or len(np.unique(columns)) == width  # the same values, reordered
    bounds = np.empty((2, rows))
    if rows == 0:
        return bounds[0], bounds[1]
    if is_on_gpu(matrix):
        from mmc_gpu.engines import load_engine

        gpu: Any = load_engine("gpu")
        chosen = matrix if every else gpu.put(select(matrix, np.arange(rows), columns))
        bounds[:] = gpu.extremes(chosen)
        return bounds[0], bounds[1]
    step = _ROWS
    if every and is_in_memory(matrix) and not lies_by_rows(matrix):
        step = rows  # stocks x users in memory: NumPy walks it as it lies

    def search(starts: Iterator[int]) -> None:
        for start in starts:
            block = matrix[start : start + step]
            if not every:
                block = block[:, columns]
            bounds[0, start : start + step] = block.min(axis=1)
            bounds[1, start : start + step] = block.max(axis=1)

    share(search, range(0, rows, step), thread_count())
    return bounds[0], bounds[1]
