"""Users who predict the same stocks, block by block."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc_gpu.engines import GROUP, Engine
from mmc_gpu.engines.ahead import side_by_side
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

    def map(self, function: Callable[[Array], Any], rows: int | None = None) -> Any:
        """Return what a function makes of the blocks, joined in the order of the users.

        A block has so many rows, by default as many as make 8 MB of float64. All GPUs share them,
        unless the predictions lie on one: a function puts what it needs beside a block by itself.
        """
        step = block_rows(self.stocks) if rows is None else rows
        engine = self.engine if self.there is None else None
        return _joined(lambda part: function(self.block(part)), len(self.users), step, engine)

    def block(self, rows: slice) -> Array:
        """Return the predictions of some users, (B, N), on the GPU of the thread that asks."""
        if isinstance(self.engine, RankedOnce):
            return self.engine.hold((self.key, rows.start, rows.stop), lambda: self._block(rows))
        return self.engine.put(self._block(rows))

    def _block(self, rows: slice) -> Array:
        block: Array = (self.matrix if self.there is None else self.there)[rows]
        skipped = self.skipped[rows]
        if self.columns is not None:
            block = block.take(self.columns, axis=1)
        if skipped.any():
            block = np.where(skipped[:, None], block.dtype.type(0), block)
        return block


def by_blocks(engine: Engine, verb: Callable[[Array], Any], series: Numbers) -> Any:
    """Return what a verb makes of (B, N) series on the host, block by block, shared by all GPUs."""

    def found(rows: slice) -> Any:
        return engine.get(verb(engine.put(series[rows])))

    return _joined(found, len(series), block_rows(series.shape[1] or 1), engine)


def _joined(work: Callable[[slice], Any], rows: int, step: int, engine: Engine | None) -> Any:
    parts = [slice(start, start + step) for start in range(0, rows or 1, step)]
    threads = min(engine.at_once, len(parts)) if engine and engine.name == "gpu" else 1
    return np.concatenate(list(side_by_side(work, parts, threads, 2 * threads)))
