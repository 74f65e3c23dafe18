"""The least and the greatest value of each row of a matrix, wherever it lies."""

from collections.abc import Iterator

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers, is_in_memory, is_on_gpu, on_host
from mmc_gpu.engines.selection import lies_by_rows, rows_to_copy
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
    step, threads = _ROWS, thread_count()
    if is_on_gpu(matrix):
        # at once, as a GPU does it, and in the caller's thread, whose stream has written it
        step = rows if every else max(_ROWS, rows_to_copy(matrix))
        threads = 1
    elif every and is_in_memory(matrix) and not lies_by_rows(matrix):
        step = rows  # stocks x users in memory: NumPy walks it as it lies

    def search(starts: Iterator[int]) -> None:
        for start in starts:
            block = matrix[start : start + step]
            if not every:
                block = block[:, columns]
            bounds[0, start : start + step] = on_host(block.min(axis=1))
            bounds[1, start : start + step] = on_host(block.max(axis=1))

    share(search, range(0, rows, step), threads)
    return bounds[0], bounds[1]
