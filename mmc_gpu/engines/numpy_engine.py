"""The NumPy engine: plain enough to read in a minute; the other engines are checked against it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers, Numbers, Ranks, is_on_gpu, on_host
from mmc_gpu.engines.lanes import inner_products
from mmc_gpu.engines.order import stable_order
from mmc_gpu.engines.protocol import GROUP, Ties
from mmc_gpu.engines.ranked_once import found_of
from mmc_gpu.engines.selection import Selection
from mmc_gpu.engines.threads import thread_count

_ROWS = 256
"""Rows ranked at a time: their sort order, in int64, is the engine's largest temporary array."""

_EXACT = 2**53
"""float64 holds every integer below. A BLAS product whose partial sums stay below is exact, in any
order of its sums."""


class HostEngine:
    """The verbs that move arrays, for engines whose arrays are NumPy's: nothing has to move."""

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


class NumpyEngine(HostEngine):
    """The verbs in NumPy."""

    name = "numpy"
    selects = False

    def __init__(self) -> None:
        self.at_once = thread_count()

    @np.errstate(over="ignore", invalid="ignore")
    def combine(self, blend: Floats, block: Numbers, weights: Floats) -> Floats:
        blend = blend.copy()
        product = np.empty_like(blend)
        for start in range(0, len(block), GROUP):
            group = np.zeros_like(blend)
            for staker in range(start, min(start + GROUP, len(block))):
                # float64 first: a float32 row times a scalar would stay float32
                np.multiply(weights[:, staker, None], block[staker].astype(np.float64), out=product)
                group += product
            blend += group
        return blend

    def rank(self, series: Numbers, ties: Ties) -> Ranks:
        return self._rank(series, [ties])[0]

    def rank_both(
        self, series: Numbers, spare: tuple[Ranks, Ranks] | None = None
    ) -> tuple[Ranks, Ranks]:
        first, average = self._rank(series, ["first", "average"])
        return first, average

    def _rank(self, series: Numbers, kinds: Sequence[Ties]) -> Ranks:
        """Return the ranks of each kind: (kinds, rows, N)."""
        rows, stocks = series.shape
        centred = np.arange(1 - stocks, stocks, 2, dtype=np.int32)
        ranks = np.empty((len(kinds), rows, stocks), np.int32)
        for start in range(0, rows, _ROWS):
            block = np.ascontiguousarray(series[start : start + _ROWS])
            order = stable_order(block)
            for kind, found in zip(kinds, ranks[:, start : start + _ROWS], strict=True):
                places = np.broadcast_to(centred, block.shape)
                if kind == "average":
                    places = _average(np.take_along_axis(block, order, axis=1))
                np.put_along_axis(found, order, places, axis=1)
        return ranks

    def moments(self, block: Numbers, probes: Ranks, ties: Ties) -> Integers:
        stocks = block.shape[1]
        moments = np.empty((len(block), len(probes) + 1), np.int64)
        # a sum of |rank| is at most N * N / 2
        largest = max(int(np.abs(probes).max(initial=0)), stocks - 1)
        exact = np.float64 if stocks * stocks // 2 * largest <= _EXACT else np.int64
        columns = probes.T.astype(exact)
        for start in range(0, len(block), _ROWS):
            part = block[start : start + _ROWS]
            ranks = (part if part.dtype == np.int32 else self.rank(part, ties)).astype(exact)
            rows = moments[start : start + _ROWS]
            rows[:, :-1] = ranks @ columns
            rows[:, -1] = np.einsum("ij,ij->i", ranks, ranks)
        return moments

    def ends(self, series: Numbers, count: int) -> Integers:
        rows, stocks = series.shape
        places = np.empty((rows, 2 * count), np.int64)
        for start in range(0, rows, _ROWS):
            ranks = self.rank(series[start : start + _ROWS], "first")
            outer = np.flatnonzero(np.abs(ranks) > stocks - 2 * count)
            places[start : start + _ROWS] = outer.reshape(len(ranks), 2 * count) % stocks
        return places

    def transform(self, block: Numbers, table: Floats, ties: Ties) -> Floats:
        stocks = block.shape[1]
        series = np.empty(block.shape)
        for start in range(0, len(block), _ROWS):
            part = block[start : start + _ROWS]
            ranks: Ranks = part if part.dtype == np.int32 else self.rank(part, ties)  # type: ignore[assignment]
            np.take(table, ranks + np.int32(stocks - 1), out=series[start : start + _ROWS])
        return series

    def inner(self, block: Numbers, table: Floats | None, probes: Floats, ties: Ties) -> Floats:
        products = np.empty((len(block), len(probes) + 2))
        for start in range(0, len(block), _ROWS):
            rows = block[start : start + _ROWS]
            series = rows.astype(np.float64) if table is None else self.transform(rows, table, ties)
            products[start : start + _ROWS] = inner_products(series, probes)
        return products

    def products(
        self, block: Numbers, several: Sequence[tuple[Floats | None, Array, Ties]]
    ) -> list[Any]:
        kinds = list(dict.fromkeys(ties for *_, ties in several))
        ranks = dict(zip(kinds, self._rank(block, kinds), strict=True))
        return [found_of(self, ranks[ties], table, probes, ties) for table, probes, ties in several]


def _average(ordered: Numbers) -> Ranks:
    """Return the doubled centred ranks of ascending rows: (rows, N), ties sharing their mean."""
    rows, stocks = ordered.shape
    place = np.arange(stocks, dtype=np.int32)
    starts = np.ones((rows, stocks), bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    ends = np.ones((rows, stocks), bool)
    ends[:, :-1] = starts[:, 1:]
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, place, stocks)[:, ::-1], axis=1)[:, ::-1]
    return (first + last + np.int32(1 - stocks)).astype(np.int32)
