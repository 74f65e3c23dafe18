"""What the engines on the host have in common: their arrays are NumPy's."""

from collections.abc import Sequence

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Numbers, is_on_gpu, on_host
from mmc_gpu.engines.selection import Selection


class HostEngine:
    """The verbs that move arrays: nothing has to move."""

    def put(self, block: Array) -> Numbers:
        if isinstance(block, Selection) and is_on_gpu(block.matrix):
            return block.copy()
        return on_host(block)

    def get(self, array: Numbers) -> Numbers:
        return array

    def zeros(self, rows: int, columns: int) -> Floats:
        return np.zeros((rows, columns))

    def stack(self, parts: Sequence[Numbers]) -> Numbers:
        return np.concatenate(parts)
