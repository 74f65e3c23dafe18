"""The CPU engine: numba kernels over tiles of a block, shared by threads.

The kernels read one kind of array, float64 in C order. Blocks of any other type and layout are
gathered into it a tile at a time, inside the threads, so that nothing is ever copied whole.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from mmc_gpu.arrays import Array, Floats, Integers, Numbers, Ranks
from mmc_gpu.checks import on_host
from mmc_gpu.engines.cpu.blend import add_stakers
from mmc_gpu.engines.cpu.ends import pick_ends
from mmc_gpu.engines.cpu.inner import look_up, sum_lanes
from mmc_gpu.engines.cpu.moments import multiply
from mmc_gpu.engines.cpu.rank import rank_rows
from mmc_gpu.engines.protocol import GROUP, Ties
from mmc_gpu.selection import Selection, lies_by_rows
from mmc_gpu.threads import share, thread_count

_VALUES = 2**17
"""Values of a tile of whole rows: 1 MB, near a core's second cache."""

_STAKERS, _STOCKS, _DRAWS = 32, 2560, 32
"""A blend's tile: its predictions and its sums are 640 KB each. _STAKERS divides GROUP."""

_STRIP = 512
"""Stocks gathered at a time from a transposed block: the processor remembers the addresses of
that many pages (7 us a row of 5,000, against 24 for a whole row at a time)."""


class CpuEngine:
    """The verbs in numba.

    Each verb starts `threads` threads and ends them. Processes that work side by side should share
    the cores: give each its part, with `threads` or MMC_GPU_THREADS.
    """

    name = "cpu"
    selects = True

    def __init__(self, threads: int | None = None) -> None:
        """Choose how many threads work; no bit of a result depends on it.

        Args:
            threads: 1 or more; by default MMC_GPU_THREADS, or the cores this process may use.
        """
        self.threads = thread_count(threads)

    def put(self, block: Array) -> Numbers:
        return on_host(block)

    def get(self, array: Numbers) -> Numbers:
        return array

    def combine(self, blend: Floats, block: Numbers, weights: Floats) -> Floats:
        total = np.array(blend, np.float64, order="C")
        weights = np.require(weights, np.float64, ["C", "W"])
        draws, stocks = total.shape
        tiles = [
            (rows, columns)
            for rows in _slices(draws, _DRAWS)
            for columns in _slices(stocks, _STOCKS, self.threads)
        ]

        def work(tiles: Iterable[tuple[slice, slice]]) -> None:
            for rows, columns in tiles:
                _add_groups(total[rows, columns], block[:, columns], weights[rows])

        share(work, tiles, self.threads)
        return total

    def rank(self, series: Numbers, ties: Ties) -> Ranks:
        ranks = np.empty(series.shape, np.int32)

        def work(tiles: Iterable[slice]) -> None:
            spare = np.empty(_tile_shape(series), np.float64)
            for rows in tiles:
                rank_rows(_gathered(series[rows], spare), ties == "average", ranks[rows])

        share(work, _row_slices(series, self.threads), self.threads)
        return ranks

    def begin(self, block: Numbers, ties: Ties) -> Numbers:
        return block

    def moments(self, block: Numbers, probes: Ranks, ties: Ties) -> Integers:
        moments = np.empty((len(block), len(probes) + 1), np.int64)
        probes = np.require(probes, np.int32, ["C", "W"])

        def work(tiles: Iterable[slice]) -> None:
            for rows, ranks in _ranked(block, tiles, ties):
                multiply(ranks, probes, moments[rows])

        share(work, _row_slices(block, self.threads), self.threads)
        return moments

    def ends(self, series: Numbers, count: int) -> Integers:
        places = np.empty((len(series), 2 * count), np.int64)

        def work(tiles: Iterable[slice]) -> None:
            for rows, ranks in _ranked(series, tiles, "first"):
                pick_ends(ranks, places[rows])

        share(work, _row_slices(series, self.threads), self.threads)
        return places

    def transform(self, block: Numbers, table: Floats, ties: Ties) -> Floats:
        series = np.empty(block.shape, np.float64)
        table = np.require(table, np.float64, ["C", "W"])

        def work(tiles: Iterable[slice]) -> None:
            for rows, ranks in _ranked(block, tiles, ties):
                look_up(ranks, table, series[rows])

        share(work, _row_slices(block, self.threads), self.threads)
        return series

    def inner(self, block: Numbers, table: Floats | None, probes: Floats, ties: Ties) -> Floats:
        products = np.empty((len(block), len(probes) + 2), np.float64)
        table = None if table is None else np.require(table, np.float64, ["C", "W"])
        probes = np.require(probes, np.float64, ["C", "W"])

        def work(tiles: Iterable[slice]) -> None:
            spare = np.empty(_tile_shape(block), np.float64)
            ranks = np.empty(_tile_shape(block), np.int32)
            for rows in tiles:
                series = _gathered(block[rows], spare)
                if table is not None:
                    rank_rows(series, ties == "average", ranks[: len(series)])
                    series = spare[: len(series)]
                    look_up(ranks[: len(series)], table, series)
                sum_lanes(series, probes, products[rows])

        share(work, _row_slices(block, self.threads), self.threads)
        return products


def _ranked(block: Numbers, tiles: Iterable[slice], ties: Ties) -> Iterator[tuple[slice, Ranks]]:
    """Yield each tile's rows and their ranks, which the next tile's replace."""
    spare = np.empty(_tile_shape(block), np.float64)
    ranks = np.empty(_tile_shape(block), np.int32)
    for rows in tiles:
        values = _gathered(block[rows], spare)
        rank_rows(values, ties == "average", ranks[: len(values)])
        yield rows, ranks[: len(values)]


def _add_groups(total: Floats, block: Numbers, weights: Floats) -> None:
    """Add the groups of a block to some of the blends: (D, T), (B, T), (D, B)."""
    spare = np.empty((_STAKERS, total.shape[1]), np.float64)
    sums = np.empty(total.shape, np.float64)
    for start in range(0, len(block), GROUP):
        sums[:] = 0.0
        end = min(start + GROUP, len(block))
        for first in range(start, end, _STAKERS):
            values = _gathered(block[first : min(first + _STAKERS, end)], spare)
            add_stakers(values, weights, first, sums)
        total += sums


def _gathered(block: Array, spare: Floats) -> Floats:
    """Return rows as the kernels read them: as they are, or copied to an array to spare.

    numba would compile a kernel anew for arrays of another type, strided or read-only.
    """
    values = spare[: len(block)]
    if isinstance(block, Selection):
        block.write(values)
        return values
    if block.dtype == np.float64 and block.flags.carray:
        return block
    step = block.shape[1] if lies_by_rows(block) else _STRIP
    for start in range(0, block.shape[1], step):
        np.copyto(values[:, start : start + step], block[:, start : start + step])
    return values


def _tile_shape(block: Numbers) -> tuple[int, int]:
    """Return the shape of a tile of whole rows."""
    stocks = block.shape[1]
    return max(1, _VALUES // stocks), stocks


def _row_slices(block: Numbers, threads: int) -> list[slice]:
    """Return the tiles of whole rows."""
    return _slices(len(block), _tile_shape(block)[0], threads)


def _slices(length: int, most: int, threads: int = 1) -> list[slice]:
    """Cut a length into slices of at most `most`: nearly equal, and as many for each thread."""
    number = threads * math.ceil(length / (threads * most))
    size = math.ceil(length / number) if length else 1
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]
