"""What the engines on the host have in common: their arrays are NumPy's."""

from collections.abc import Sequence

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Numbers, on_host
from mmc_gpu.engines.protocol import Ties


class HostEngine:
    """The verbs that move arrays: nothing has to move, and nothing goes on in the background."""

    groups = 1

    def put(self, block: Array) -> Numbers:
        return on_host(block)

    def get(self, array: Numbers) -> Numbers:
        return array

    def zeros(self, rows: int, columns: int) -> Floats:
        return np.zeros((rows, columns))

    def stack(self, parts: Sequence[Numbers]) -> Numbers:
        return np.concatenate(parts)

    def begin(self, block: Numbers, ties: Ties) -> None:
        return None
