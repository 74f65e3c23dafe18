"""In which order the values of each row of a matrix ascend."""

import numpy as np

from mmc_gpu.engines.arrays import Integers, Numbers

_MOST = 2**16  # of more columns too many values differ in the last bits alone


def stable_order(rows: Numbers) -> Integers:
    """Return `np.argsort(rows, axis=1, kind="stable")` in a third of its time: (R, N), no NaN.

    NumPy sorts integers fastest, so each is the first bits of a value, then those of its column.
    Rows whose values differ in the last bits alone are sorted by value.
    """
    count = rows.shape[1]
    if count > _MOST:
        return np.argsort(rows, axis=1, kind="stable")
    bits = (rows + np.float64(0.0)).view(np.int64)  # -0.0 equals 0.0
    bits ^= (bits >> 63) & (2**63 - 1)  # integers in the order of the values
    columns = (1 << count.bit_length()) - 1
    bits &= ~columns
    bits |= np.arange(count)
    bits.sort(axis=1)
    order = bits & columns
    ordered = np.take_along_axis(rows, order, axis=1)
    wrong = (ordered[:, 1:] < ordered[:, :-1]).any(axis=1)
    if wrong.any():
        order[wrong] = np.argsort(rows[wrong], axis=1, kind="stable")
    return order
