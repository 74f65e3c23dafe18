"""The launches of the kernels: each is enqueued on the GPU's current stream, and nobody waits."""

from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array
from mmc_gpu.engines.gpu.library import kernel_source
from mmc_gpu.engines.gpu.memory import Memory
from mmc_gpu.engines.protocol import GROUP

OPTIONS: tuple[str, ...] = ("--std=c++17",)

# Launch shapes: the kernels are right for any shape, and their files say why these were chosen.
RANK_THREADS = 512
KEYS_A_THREAD = 10
RADIX_BLOCKS_A_PROCESSOR = 2
BLEND_THREADS = 64
MOMENT_THREADS = 128
LANE_THREADS = ROW_THREADS = 256
USER_THREADS = 64

# constants of these names in kernels/*.cu
_DIGITS, _DRAWS, _ROWS, _PROBES, _COLUMNS, _TILE = 256, 7, 4, 8, 4, 32
FAMILIES = {one: one for one in ("rank", "moments", "rows", "algebra")}
FAMILIES |= {"sum": "sums", "add": "sums"}
"""The file of a kernel, by the first word of its name."""
_KINDS = {"float32": "f32", "float64": "f64", "int32": "i32"}
_NULL = np.uintp(0)
_MOST_BLOCKS = 1 << 20

_SCRATCH = 1 << 30  # most bytes for sorting rows that are too long for shared memory


class Kernels:
    """What one GPU computes; results are written into arrays that are given."""

    def __init__(self, cupy: Any, number: int) -> None:
        self._cupy = cupy
        runtime = cupy.cuda.runtime
        # `Device.attributes` asks for all there are, some of which a device may not know
        self.processors, self._shared = (
            runtime.deviceGetAttribute(attribute, number)
            for attribute in (
                runtime.cudaDevAttrMultiProcessorCount,
                runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin,
            )
        )
        self._kernels: dict[str, Any] = {}
        self._most_shared: dict[str, int] = {}

    def moments(self, ranks: Array, probes: Array, moments: Array) -> None:
        """Write the products of each row of ranks with the probes, and with itself."""
        (rows, stocks), count = ranks.shape, len(probes)
        tiles = _parts(rows, _ROWS) * (count // _PROBES + 1)
        blocks = min(_MOST_BLOCKS, _parts(tiles, MOMENT_THREADS // 32))
        arguments = (ranks, probes, moments, rows, stocks, count)
        self.launch("moments", blocks, MOMENT_THREADS, arguments)

    def algebra(
        self, moments: Array, own: Array, targets: Array, scores: Array, draws: Array, *rest: Any
    ) -> None:
        """Write every user's scores; `rest` is how many stocks there are, and the scale."""
        count, users, number = draws.shape
        shape = (users, number, own.shape[1] - 1, count)
        arguments = (moments, own, targets, scores, draws, *shape, *rest)
        self.launch("algebra", _parts(users, USER_THREADS), USER_THREADS, arguments)

    def ends(self, ranks: Array, ends: Array) -> None:
        """Write the places of each row's lowest and highest ranks."""
        (rows, stocks), count = ranks.shape, ends.shape[1] // 2
        self.launch("rank_ends", rows, RANK_THREADS, (ranks, ends, rows, stocks, count))

    def look_up(self, ranks: Array, tables: Array, series: Array) -> None:
        """Write for each rank its entry in a table, (1, 2 * N - 1), or in that of its row."""
        blocks = min(_MOST_BLOCKS, _parts(ranks.size, RANK_THREADS))
        step = np.int64(tables.shape[1] if len(tables) > 1 else 0)
        arguments = (ranks, tables, step, series, ranks.shape[1], np.int64(ranks.size))
        self.launch("rank_table", blocks, RANK_THREADS, arguments)

    def sum_lanes(self, series: Array, probes: Array, products: Array) -> None:
        """Write each row's products with (P, N) probes or its own (B, P, N), sum and squares."""
        (rows, stocks), count = series.shape, probes.shape[-2]
        blocks = min(_MOST_BLOCKS, rows * _parts(count + 2, _COLUMNS))
        step = np.int64(count * stocks if probes.ndim == 3 else 0)
        arguments = (series, probes, step, products, rows, stocks, count)
        self.launch(f"sum_lanes_{_KINDS[series.dtype.name]}", blocks, LANE_THREADS, arguments)

    def sum_groups(self, block: Array, weights: Array, first: int, sums: Array) -> None:
        """Write the sums, (groups, D, N), of each group of a block, (B, N), with (D, S) weights.

        The block begins with a group; its first staker is `first` among those of the weights.
        """
        (stakers, stocks), (draws, every) = block.shape, weights.shape
        tasks = len(sums) * _parts(draws, _DRAWS) * _parts(stocks, BLEND_THREADS)
        arguments = (block, weights, sums, stakers, draws, stocks, first, every)
        kind = _KINDS[block.dtype.name]
        self.launch(f"sum_groups_{kind}", min(_MOST_BLOCKS, tasks), BLEND_THREADS, arguments)

    def add_groups(self, blend: Array, sums: Array) -> None:
        """Add sums of groups, (groups, D, N), to the blend, one after another."""
        blocks = min(_MOST_BLOCKS, _parts(blend.size, BLEND_THREADS))
        arguments = (blend, sums, len(sums), np.int64(blend.size))
        self.launch("add_groups", blocks, BLEND_THREADS, arguments)

    def row_ends(self, series: Array, ends: Array) -> None:
        """Write the least value of each row, and the greatest, (2, rows); any strides."""
        (rows, stocks), steps = series.shape, _steps(series)
        each = ROW_THREADS // 32 if abs(steps[1]) <= abs(steps[0]) else _TILE
        arguments = (series.data, *steps, ends, rows, stocks)
        name = f"rows_ends_{_KINDS[series.dtype.name]}"
        self.launch(name, min(_MOST_BLOCKS, _parts(rows, each)), ROW_THREADS, arguments)

    def copy_rows(
        self, series: Array, copied: Array, rows: Array = None, columns: Array = None
    ) -> None:
        """Write rows and columns of an array of any strides in C order, (count, N); None: all."""
        tiles = _parts(len(copied), _TILE) * _parts(copied.shape[1], _TILE)
        chosen = (_NULL if places is None else places for places in (rows, columns))
        arguments = (series.data, *_steps(series), *chosen, copied, *copied.shape)
        name = f"rows_copy_{series.itemsize}"
        self.launch(name, min(_MOST_BLOCKS, tiles), ROW_THREADS, arguments)

    def fits(self, name: str, shared: int) -> bool:
        """Return whether a kernel of the ranks may have so much shared memory."""
        self.kernel(name)
        return shared <= self._most_shared[name]

    def launch(
        self, name: str, blocks: int, threads: int, arguments: tuple[Any, ...], shared: int = 0
    ) -> None:
        """Enqueue a kernel; a launch of no blocks is none."""
        if blocks:
            sized = tuple(np.int32(one) if type(one) is int else one for one in arguments)
            self.kernel(name)((blocks,), (threads,), sized, shared_mem=shared)

    def kernel(self, name: str) -> Any:
        """Return a kernel, which is compiled when it is first launched."""
        if name not in self._kernels:
            family = FAMILIES[name.split("_")[0]]
            kernel = self._cupy.RawKernel(kernel_source(family), name, OPTIONS)
            if family == "rank":  # more than 48 KB only on request
                self._most_shared[name] = self._shared - kernel.shared_size_bytes
                kernel.max_dynamic_shared_size_bytes = self._most_shared[name]
            self._kernels[name] = kernel
        return self._kernels[name]


class Ranking:
    """How rows of one length and type are ranked, with the memory that it takes for so many."""

    def __init__(
        self, kernels: Kernels, memory: Memory, shape: tuple[int, ...], dtype: Any
    ) -> None:
        rows, stocks = shape
        self._kernels, self._stocks, kind = kernels, stocks, _KINDS[dtype.name]
        self._threads = threads = min(RANK_THREADS, 32 * _parts(stocks, 32 * KEYS_A_THREAD))
        self._buckets = threads * (stocks // threads | 1)  # odd for each thread: no bank conflicts
        self._by_buckets, self._by_radix = f"rank_buckets_{kind}", f"rank_radix_{kind}"
        self._bucket_bytes = stocks * (dtype.itemsize + 3) + 4 * (self._buckets + 1)
        self._listed: Any = _NULL
        if kernels.fits(self._by_buckets, self._bucket_bytes):
            self._listed = memory.empty((rows + 1,), np.int32)
        self._blocks, self._scratch = RADIX_BLOCKS_A_PROCESSOR * kernels.processors, _NULL
        self._radix_bytes = 4 * _DIGITS * (threads // 32 | 1)  # odd, for the same reason
        if kernels.fits(self._by_radix, self._radix_bytes + 8 * stocks):
            self._radix_bytes += 8 * stocks
        else:
            space = min(_SCRATCH, memory.room() // 4)
            self._blocks = max(1, min(self._blocks, rows, space // (8 * stocks)))
            self._scratch = memory.empty((self._blocks, 2, stocks), np.int32)

    def __call__(self, series: Array, *, first: Any = _NULL, average: Any = _NULL) -> None:
        """Write the ranks of rows in C order: ties in order of appearance, sharing, or both."""
        rows, shape, launch = len(series), (len(series), self._stocks), self._kernels.launch
        if self._listed is not _NULL:
            self._listed.data.memset_async(0, 4)
            row = (series, first, average, self._listed, *shape, self._buckets)
            launch(self._by_buckets, rows, self._threads, row, self._bucket_bytes)
        some = (series, first, average, self._listed, self._scratch, *shape)
        launch(self._by_radix, min(rows, self._blocks), self._threads, some, self._radix_bytes)


def groups_of(stakers: int) -> int:
    """Return how many groups so many stakers are."""
    return _parts(stakers, GROUP)


def _parts(whole: int, part: int) -> int:
    return -(-whole // part)


def _steps(array: Array) -> tuple[Any, Any]:
    """Return how many values lie between two rows of an array, and between two columns."""
    rows, columns = (np.int64(stride // array.itemsize) for stride in array.strides)
    return rows, columns
