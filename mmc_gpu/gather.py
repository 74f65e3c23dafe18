"""Rows and columns of a matrix in another order, copied by all cores."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mmc_gpu.arrays import Integers, Numbers

_ROWS = 32
"""Rows that a thread copies at a time."""


def gather(matrix: Numbers, rows: Integers, columns: Integers | None) -> Numbers:
    """Return (rows, N) values of a matrix, in C order.

    Args:
        matrix: (R, M), any strides.
        rows: which, in which order.
        columns: (N,) which, in which order; None for all as they stand.
    """
    width = matrix.shape[1] if columns is None else len(columns)
    block = np.empty((len(rows), width), matrix.dtype)

    def copy(start: int) -> None:
        for place in range(start, min(start + _ROWS, len(rows))):
            if columns is None:
                block[place] = matrix[rows[place]]
            else:  # "clip": the default mode copies twice, so that an error leaves `out` alone
                np.take(matrix[rows[place]], columns, out=block[place], mode="clip")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(copy, range(0, len(rows), _ROWS)))
    return block
