"""The CPU engine: numba kernels over tiles of a block, shared by threads.

The kernels read one kind of array: float64 in C order. A block of any other type or
layout is copied into such an array a tile at a time, inside the threads, and never as a whole.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers, Numbers, Ranks
from mmc_gpu.engines.cpu.blend import add_stakers
from mmc_gpu.engines.cpu.inner import look_up, sum_lanes, sum_looked_up
from mmc_gpu.engines.cpu.moments import multiply
from mmc_gpu.engines.cpu.rank import pick_ends, rank_rows
from mmc_gpu.engines.cpu.sums import Sums
from mmc_gpu.engines.numpy_engine import HostEngine
from mmc_gpu.engines.protocol import GROUP, Ties
from mmc_gpu.engines.selection import Selection, lies_by_rows
from mmc_gpu.engines.threads import share, thread_count

_VALUES = 2**17  # values of a tile of whole rows: 1 MB, near a core's second cache

_ROWS = 64  # rows of a tile whose kernel keeps to the cache by itself

_STAKERS, _STOCKS, _DRAWS = 128, 1280, 32
"""A blend's tile: 1.3 MB of predictions, and sums of 320 KB. _STAKERS divides GROUP."""

_STRIP = 512
"""Stocks copied at a time from a transposed block: the processor remembers the addresses of so many
pages (7 us for a row of 5,000; 24 us with a whole row at a time)."""


class CpuEngine(HostEngine):
    """The verbs in numba.

    Each verb starts `threads` threads and ends them. Processes that work side by side should share
    the cores: give each its part, with `threads` or MMC_GPU_THREADS.
    """

    name = "cpu"
    selects = True

    def __init__(self, threads: int | None = None) -> None:
        """Choose how many threads work, see `thread_count`; no bit of a result depends on it."""
        self.threads = self.at_once = thread_count(threads)

    def combine(self, blend: Floats, block: Array, weights: Floats) -> Floats:
        if isinstance(block, Selection) and block.reorders:
            # each column's sum is its own: the sums are put in order, not what is summed
            lying = blend.take(np.argsort(block.columns), axis=1)
            return self.combine(lying, block.lying(), weights).take(block.columns, axis=1)
        total = np.array(blend, np.float64, order="C")
        weights = np.require(weights, np.float64, ["C"])
        draws, stocks = total.shape
        tiles = [
            (rows, columns)
            for rows in _slices(draws, _DRAWS)
            for columns in _slices(stocks, _STOCKS, self.threads)
        ]

        def work(tiles: Iterable[tuple[slice, slice]]) -> None:
            for rows, columns in tiles:
                _add_groups(total[rows, columns], block, columns, weights[rows])

        share(work, tiles, self.threads)
        return total

    def rank(self, series: Numbers, ties: Ties) -> Ranks:
        ranks = np.empty(series.shape, np.int32)
        self._rank(series, *((ranks[:0], ranks) if ties == "average" else (ranks, ranks[:0])))
        return ranks

    def rank_both(
        self, series: Numbers, spare: tuple[Ranks, Ranks] | None = None
    ) -> tuple[Ranks, Ranks]:
        if spare is None:
            spare = np.empty(series.shape, np.int32), np.empty(series.shape, np.int32)
        first, average = spare[0][: len(series)], spare[1][: len(series)]
        self._rank(series, first, average)
        return first, average

    def _rank(self, series: Numbers, first: Ranks, average: Ranks) -> None:
        columns = np.arange(series.shape[1], dtype=np.uint32)
        self._for_rows(
            series, lambda rows, values: rank_rows(values, first[rows], average[rows], columns)
        )

    def moments(self, block: Numbers, probes: Ranks, ties: Ties) -> Integers:
        found, order = np.empty((len(block), len(probes) + 1), np.int64), None
        if isinstance(block, Selection) and block.reorders:
            # the block is ranked as it lies: its ranks meet probes in the same order
            order, block = block.columns, block.lying()
            probes = probes.take(np.argsort(order), axis=1)
        wide = probes.astype(np.float64, order="C")
        self._for_ranks(block, ties, lambda rows, ranks: multiply(ranks, wide, found[rows]), order)
        return found

    def ends(self, series: Numbers, count: int) -> Integers:
        places = np.empty((len(series), 2 * count), np.int64)
        self._for_ranks(series, "first", lambda rows, ranks: pick_ends(ranks, places[rows]))
        return places

    def transform(self, block: Numbers, table: Floats, ties: Ties) -> Floats:
        series = np.empty(block.shape, np.float64)
        table = np.require(table, np.float64, ["C"])
        self._for_ranks(block, ties, lambda rows, ranks: look_up(ranks, table, series[rows]))
        return series

    def inner(self, block: Numbers, table: Floats | None, probes: Floats, ties: Ties) -> Floats:
        products = np.empty((len(block), len(probes) + 2), np.float64)
        probes = np.require(probes, np.float64, ["C"])
        if table is None:
            self._for_rows(block, lambda rows, values: sum_lanes(values, probes, products[rows]))
            return products
        tables, ends = np.require(table[:, None], np.float64, ["C"]), np.array([0, len(probes)])
        shared = tables, probes, ends, np.zeros(1, np.int64)
        self._for_ranks(
            block, ties, lambda rows, ranks: sum_looked_up(ranks, ranks, *shared, products[rows])
        )
        return products

    def products(
        self, block: Numbers, several: Sequence[tuple[Floats | None, Array, Ties]]
    ) -> list[Any]:
        sums = Sums(several, block.shape)
        most, stocks = _tile_shape(block)
        readable = not isinstance(block, Selection) and _is_readable(block, np.float32)
        most = 1 if sums.own else max(most, _ROWS) if readable else most

        def work(tiles: Iterable[slice]) -> None:
            spare = np.empty((0 if readable else most, stocks))
            for rows in tiles:
                sums.write(block[rows] if readable else _gathered(block[rows], spare), rows)

        share(work, _slices(len(block), most, self.threads), self.threads)
        return sums.found(several)

    def _for_rows(self, block: Array, use: Callable[[slice, Floats], None]) -> None:
        """Call `use`, in the threads, with each tile's rows and their values; see `_gathered`."""

        def work(tiles: Iterable[slice]) -> None:
            spare = np.empty(_tile_shape(block), np.float64)
            for rows in tiles:
                use(rows, _gathered(block[rows], spare))

        share(work, _slices(len(block), _tile_shape(block)[0], self.threads), self.threads)

    def _for_ranks(
        self, block: Array, ties: Ties, use: Callable[..., None], order: Integers | None = None
    ) -> None:
        """Call `use`, in the threads, with each tile's rows and their ranks.

        The next tile overwrites the ranks. A block of int32 holds ranks already. `order`, (N,), has
        the columns in the order in which equal values rank; None for that in which they lie.
        """
        columns = (np.arange(block.shape[1]) if order is None else order).astype(np.uint32)

        def work(tiles: Iterable[slice]) -> None:
            spare = np.empty(_tile_shape(block), np.float64)
            space = np.empty(_tile_shape(block), np.int32)
            for rows in tiles:
                if block.dtype == np.int32:
                    use(rows, np.ascontiguousarray(block[rows]))
                    continue
                ranks = space[: rows.stop - rows.start]
                both = (ranks[:0], ranks) if ties == "average" else (ranks, ranks[:0])
                rank_rows(_gathered(block[rows], spare), *both, columns)
                use(rows, ranks)

        share(work, _slices(len(block), _tile_shape(block)[0], self.threads), self.threads)


def _add_groups(total: Floats, block: Array, columns: slice, weights: Floats) -> None:
    """Add the groups of a block to the blends, (D, T): T columns of (B, N), with weights (D, B)."""
    spare = np.empty((_STAKERS, total.shape[1]), np.float64)
    sums = np.empty(total.shape, np.float64)
    for start in range(0, len(block), GROUP):
        sums[:] = 0.0
        end = min(start + GROUP, len(block))
        for first in range(start, end, _STAKERS):
            stakers = block[first : min(first + _STAKERS, end)]
            add_stakers(*_located(stakers, columns, spare), weights, first, sums)
        total += sums


def _located(block: Array, columns: slice, spare: Floats) -> tuple[Floats, Integers, int]:
    """Return where a kernel reads some columns of a block: a matrix, its rows, the first column.

    In the block itself, if the kernels can read it; else in the spare array, as a copy.
    """
    matrix, rows, start = block, np.arange(len(block)), columns.start
    if isinstance(block, Selection) and isinstance(block.columns, range):
        matrix, rows, start = block.matrix, block.rows, block.columns[start]
    if isinstance(matrix, Selection) or not _is_readable(matrix):
        return _gathered(block[:, columns], spare), np.arange(len(block)), 0
    return matrix, rows, start


def _gathered(block: Array, spare: Floats) -> Floats:
    """Return rows as the kernels read them: the block if it is readable, else a copy in `spare`."""
    values = spare[: len(block)]
    if isinstance(block, Selection):
        block.write(values)
        return values
    if _is_readable(block):
        return block
    step = block.shape[1] if lies_by_rows(block) else _STRIP
    for start in range(0, block.shape[1], step):
        np.copyto(values[:, start : start + step], block[:, start : start + step])
    return values


def _is_readable(matrix: Numbers, also: Any = np.float64) -> bool:
    """Return whether the kernels, or one that reads another type too, read a matrix as it lies."""
    return matrix.dtype in (np.float64, also) and matrix.flags.c_contiguous and matrix.flags.aligned


def _tile_shape(block: Numbers) -> tuple[int, int]:
    """Return the shape of a tile of whole rows."""
    stocks = block.shape[1]
    return max(1, _VALUES // max(1, stocks)), stocks


def _slices(length: int, most: int, threads: int = 1) -> list[slice]:
    """Cut a length into nearly equal slices of at most `most`; each thread gets as many slices."""
    number = threads * math.ceil(length / (threads * most))
    size = math.ceil(length / number) if length else 1
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]
