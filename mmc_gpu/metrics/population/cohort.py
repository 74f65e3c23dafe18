"""Users who predict the same stocks, block by block."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc_gpu.engines import GROUP, Engine
from mmc_gpu.engines.ahead import on_all_gpus
from mmc_gpu.engines.arrays import Array, Floats, Integers, Numbers
from mmc_gpu.engines.ranked_once import RankedOnce

_VALUES = 2**20
"""Predictions a block: its results, 8 MB, stay in the cache and need no new pages of memory."""


def block_rows(stocks: int) -> int:
    """Return how many users a block has, of so many stocks each."""
    return min(GROUP, max(1, _VALUES // stocks))


@dataclass(eq=False)
class Cohort:
    """Users who predict the same stocks, and what they are scored against."""

    engine: Engine  # where they are scored
    users: Integers  # (B,) their places among all users
    matrix: Array  # (B, M) their predictions
    # (N,) the scored stocks' columns in `matrix`, ids ascending; None if they are all its columns,
    # in order
    columns: Integers | None
    places: Integers  # (N,) the scored stocks' columns in the predictions as they came
    # (K, N) float64 by name, for the scored stocks: targets, features and so on
    shared: dict[str, Floats]
    # (B,) users without a score. They are read as zeros, not left out: matrix products may give a
    # row other bits at another place.
    skipped: NDArray[np.bool_]
    key: Hashable  # tells these users, stocks and predictions from others of one `RankedOnce`
    there: Array | None = None  # as `matrix`, on the engine's GPU, where the predictions came so

    @property
    def stocks(self) -> int:
        """Return how many stocks are scored."""
        return len(self.places)

    def blocks(self, rows: int | None = None) -> Iterator[Array]:
        """Yield the predictions block by block: (rows, N), each an array of the engine.

        Args:
            rows: users a block, at most 1,024; by default as many as make 8 MB of float64. A block
                is one copy from the host, for which one GPU waits.
        """
        return (make() for make in self._blocks(rows))

    def map(self, function: Callable[[Array], Any], rows: int | None = None) -> Any:
        """Return what a function makes of the blocks, joined in the order of the users.

        All GPUs share the blocks, unless the predictions lie on one; see `on_all_gpus`.
        """
        share: Any = partial(on_all_gpus, engine=self.engine) if self.there is None else map
        return np.concatenate(list(share(lambda make: function(make()), self._blocks(rows))))

    def _blocks(self, rows: int | None) -> Iterator[Callable[[], Array]]:
        """Yield what makes each block, on the GPU of the thread that calls it."""
        step = block_rows(self.stocks) if rows is None else rows
        for start in range(0, len(self.users), step):
            make = partial(self._block, slice(start, start + step))
            if isinstance(self.engine, RankedOnce):
                make = partial(self.engine.hold, (self.key, start, step), make)
            yield make

    def _block(self, rows: slice) -> Array:
        block: Array = (self.matrix if self.there is None else self.there)[rows]
        skipped = self.skipped[rows]
        if self.columns is not None:
            block = block.take(self.columns, axis=1)
        if skipped.any():
            block = np.where(skipped[:, None], block.dtype.type(0), block)
        return self.engine.put(block)


def by_blocks(engine: Engine, series: Numbers, function: Callable[[Numbers], Any]) -> Any:
    """Return what a function makes of blocks of (B, N) series, joined; all GPUs share them."""
    rows, step = len(series), block_rows(series.shape[1] or 1)
    blocks = (series[start : start + step] for start in range(0, rows or 1, step))
    return np.concatenate(list(on_all_gpus(function, blocks, engine)))
