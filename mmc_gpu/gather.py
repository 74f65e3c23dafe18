"""Rows and columns of a matrix in another order, copied by all cores."""

from collections.abc import Iterator

import numpy as np

from mmc_gpu.arrays import Integers, Numbers
from mmc_gpu.threads import share, thread_count

_ROWS = 64
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

    def copy(starts: Iterator[int]) -> None:
        for start in starts:
            chosen, into = rows[start : start + _ROWS], block[start : start + _ROWS]
            # "clip": the default mode copies twice, so that an error leaves `out` alone
            if columns is None:
                np.take(matrix, chosen, axis=0, out=into, mode="clip")
            else:
                np.take(matrix[chosen], columns, axis=1, out=into, mode="clip")

    share(copy, range(0, len(rows), _ROWS), thread_count())
    return block
