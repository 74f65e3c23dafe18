"""The launches of the kernels: each is enqueued on the GPU's current stream, and nobody waits."""

from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array
from mmc_gpu.engines.gpu.library import kernel_source
from mmc_gpu.engines.gpu.memory import Memory
from mmc_gpu.engines.protocol import GROUP, Ties

# Launch shapes: the kernels are right for any shape, and their files say why these were chosen.
RANK_THREADS = 512
KEYS_A_THREAD = 10
RADIX_BLOCKS_A_PROCESSOR = 2
BLEND_THREADS = 64
MOMENT_THREADS = 128
LANE_THREADS = 256

# constants of these names in kernels/*.cu
_DIGITS, _DRAWS, _ROWS, _PROBES, _COLUMNS = 256, 7, 4, 8, 4
_FAMILIES = {"rank": "rank", "moments": "moments", "sum": "sums", "add": "sums"}
_KINDS = {"float32": "f32", "float64": "f64", "int32": "i32"}
_NULL = np.uintp(0)
_MOST_BLOCKS = 1 << 20

_SCRATCH = 1 << 30
"""Most bytes for sorting rows that are too long for shared memory."""


class Kernels(Memory):
    """One GPU, and what it computes."""

    def __init__(self, cupy: Any, number: int) -> None:
        super().__init__(cupy, number)
        runtime = cupy.cuda.runtime
        # `Device.attributes` asks for all there are, some of which a device may not know
        self._processors, self._shared = (
            runtime.deviceGetAttribute(attribute, number)
            for attribute in (
                runtime.cudaDevAttrMultiProcessorCount,
                runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin,
            )
        )
        self._kernels: dict[str, Any] = {}
        self._most_shared: dict[str, int] = {}

    def rank(self, series: Array, ties: Ties) -> Array:
        """Return the ranks of each row of `series`, (rows, N) in C order."""
        ranks = self.empty(series.shape, np.int32)
        self.rank_into(ranks, series, ties)
        return ranks

    def rank_into(self, ranks: Array, series: Array, ties: Ties) -> None:
        """Write the ranks of each row of `series`, (rows, N) in C order."""
        rows, stocks = series.shape
        kind, average = _KINDS[series.dtype.name], int(ties == "average")
        threads = min(RANK_THREADS, 32 * _parts(stocks, 32 * KEYS_A_THREAD))
        buckets = threads * (stocks // threads | 1)  # odd for each thread: no bank conflicts
        shared = stocks * (series.itemsize + 3) + 4 * (buckets + 1)
        listed: Any = _NULL
        name = f"rank_buckets_{kind}"
        if self._fits(name, shared):
            listed = self.zeros((rows + 1,), np.int32)
            arguments = (series, ranks, listed, rows, stocks, buckets, average)
            self._launch(name, rows, threads, arguments, shared)
        name, scratch = f"rank_radix_{kind}", _NULL
        blocks = min(rows, RADIX_BLOCKS_A_PROCESSOR * self._processors)
        shared = 4 * _DIGITS * (threads // 32 | 1)  # odd, for the same reason
        if self._fits(name, shared + 8 * stocks):
            shared += 8 * stocks
        else:
            space = min(_SCRATCH, self.room() // 4)
            blocks = min(blocks, max(1, space // (8 * stocks)))
            scratch = self.empty((blocks, 2, stocks), np.int32)
        arguments = (series, ranks, listed, scratch, rows, stocks, average)
        self._launch(name, blocks, threads, arguments, shared)

    def moments(self, ranks: Array, probes: Array) -> Array:
        """Return the products of each row of ranks with the probes, and with itself."""
        (rows, stocks), count = ranks.shape, len(probes)
        moments = self.empty((rows, count + 1), np.int64)
        tiles = _parts(rows, _ROWS) * (count // _PROBES + 1)
        blocks = min(_MOST_BLOCKS, _parts(tiles, MOMENT_THREADS // 32))
        arguments = (ranks, probes, moments, rows, stocks, count)
        self._launch("moments", blocks, MOMENT_THREADS, arguments)
        return moments

    def ends(self, ranks: Array, count: int) -> Array:
        """Return the places of each row's `count` lowest and highest ranks."""
        rows, stocks = ranks.shape
        ends = self.empty((rows, 2 * count), np.int64)
        self._launch("rank_ends", rows, RANK_THREADS, (ranks, ends, rows, stocks, count))
        return ends

    def look_up(self, ranks: Array, table: Array, series: Array) -> None:
        """Write for each rank its entry in a table, (1, 2 * N - 1)."""
        blocks = min(_MOST_BLOCKS, _parts(ranks.size, RANK_THREADS))
        arguments = (ranks, table, series, ranks.shape[1], np.int64(ranks.size))
        self._launch("rank_table", blocks, RANK_THREADS, arguments)

    def sum_lanes(self, series: Array, probes: Array) -> Array:
        """Return each row's products with the probes, its sum, its sum of squares."""
        (rows, stocks), count = series.shape, len(probes)
        products = self.empty((rows, count + 2), np.float64)
        blocks = min(_MOST_BLOCKS, rows * _parts(count + 2, _COLUMNS))
        arguments = (series, probes, products, rows, stocks, count)
        self._launch(f"sum_lanes_{_KINDS[series.dtype.name]}", blocks, LANE_THREADS, arguments)
        return products

    def sum_groups(self, block: Array, weights: Array) -> Array:
        """Return the weighted sums of each group of stakers, (groups, D, N)."""
        (stakers, stocks), draws = block.shape, len(weights)
        groups = _parts(stakers, GROUP)
        sums = self.empty((groups, draws, stocks), np.float64)
        tasks = groups * _parts(draws, _DRAWS) * _parts(stocks, BLEND_THREADS)
        arguments = (block, weights, sums, stakers, draws, stocks)
        kind = _KINDS[block.dtype.name]
        self._launch(f"sum_groups_{kind}", min(_MOST_BLOCKS, tasks), BLEND_THREADS, arguments)
        return sums

    def add_groups(self, blend: Array, sums: Array) -> None:
        """Add sums of groups, (groups, D, N) on any GPU, to the blend, one after another."""
        if sums.device != self.device:
            there, sums = sums, self.empty(sums.shape, sums.dtype)
            sums.data.copy_from_device_async(there.data, there.nbytes)
        blocks = min(_MOST_BLOCKS, _parts(blend.size, BLEND_THREADS))
        arguments = (blend, sums, len(sums), np.int64(blend.size))
        self._launch("add_groups", blocks, BLEND_THREADS, arguments)

    def _fits(self, name: str, shared: int) -> bool:
        """Return whether a kernel of the ranks may have so much shared memory."""
        self._kernel(name)
        return shared <= self._most_shared[name]

    def _launch(
        self, name: str, blocks: int, threads: int, arguments: tuple[Any, ...], shared: int = 0
    ) -> None:
        sized = tuple(np.int32(one) if isinstance(one, int) else one for one in arguments)
        self._kernel(name)((blocks,), (threads,), sized, shared_mem=shared)

    def _kernel(self, name: str) -> Any:
        if name not in self._kernels:
            family = _FAMILIES[name.split("_")[0]]
            kernel = self._cupy.RawKernel(kernel_source(family), name, ("--std=c++17",))
            if family == "rank":  # more than 48 KB only on request
                self._most_shared[name] = self._shared - kernel.shared_size_bytes
                kernel.max_dynamic_shared_size_bytes = self._most_shared[name]
            self._kernels[name] = kernel
        return self._kernels[name]


def _parts(whole: int, part: int) -> int:
    return -(-whole // part)
