"""The places of each row's lowest and highest values, found by its ranks."""

import numpy as np

from mmc_gpu.engines.arrays import Integers, Ranks
from mmc_gpu.engines.cpu.compiled import kernel


@kernel("int32[:, ::1]", "int64[:, ::1]")
def pick_ends(ranks: Ranks, places: Integers) -> None:
    """Write the columns of the lowest and of the highest ranks, ascending.

    Args:
        ranks: (R, N) of ties in order of appearance.
        places: (R, 2 * n), written in full; 2 * n <= N.
    """
    stocks, wanted = ranks.shape[1], places.shape[1]
    for number in range(len(ranks)):
        row, result = ranks[number], places[number]
        found = np.int64(0)
        for column in range(stocks):
            if abs(row[column]) > stocks - wanted:
                result[found] = column
                found += 1
