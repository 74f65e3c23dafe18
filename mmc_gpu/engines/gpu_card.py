"""One GPU: its memory, its streams and the launches of its kernels.

What is called here is enqueued on the GPU's current stream, and returns before it has happened.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from time import monotonic
from typing import Any

import numpy as np

from mmc_gpu.arrays import Array, Numbers, Ranks
from mmc_gpu.engines.gpu_library import kernel_source
from mmc_gpu.engines.protocol import GROUP, Ties
from mmc_gpu.errors import EngineUnavailable
from mmc_gpu.threads import share, thread_count

# Launch shapes: the kernels are right for any, and say why these.
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

_STAGE = 16 << 20
"""Bytes of a pinned buffer: 0.3 ms at 50 GB/s, long against the latency of a copy."""
_COPIERS = 4
"""Threads that fill one: each takes about 0.05 ms to start, against 0.3 ms on the bus."""
_TILE = 1 << 20
"""Bytes that a thread copies at a time."""
_SCRATCH = 1 << 30
"""Most bytes for sorting rows that are too long for shared memory."""
_ASKED_EVERY = 0.1
"""Seconds for which is known what others hold of a GPU's memory: 7 us to ask, and up to 8 ms have
been reported (sglang issue 25225)."""
_OLDEST = 70
"""Compute capability 7.0: the first with `__match_any_sync`."""


class Card:
    """One GPU.

    Attributes:
        device: its `cupy.cuda.Device`.
        title: what it is, for people.
        serial: its stream for what has an order.
    """

    def __init__(self, cupy: Any, number: int) -> None:
        self._cupy = cupy
        runtime = cupy.cuda.runtime
        self.device = cupy.cuda.Device(number)
        name = runtime.getDeviceProperties(number)["name"].decode()
        capability = int(self.device.compute_capability)
        self.title = f"GPU {number} ({name}, compute capability {capability / 10})"
        if capability < _OLDEST:
            raise EngineUnavailable(
                f"{self.title} is too old, the kernels need {_OLDEST / 10}: choose another with"
                " CUDA_VISIBLE_DEVICES"
            )
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
        self._threads = thread_count()
        with self.device:
            self._memory = runtime.memGetInfo()[1]
            self._others, self._asked = 0, -np.inf
            # Their kernels' blocks start before the ones left of what was begun before. On a stream
            # of the same priority, such as the caller's, they would wait for the last of those.
            urgent = [cupy.cuda.Stream(non_blocking=True, priority=-1) for _ in range(3)]
            self._early = cupy.cuda.Stream(non_blocking=True)
            stages = [_Stage(self._event(), np.empty(0, np.uint8)) for _ in range(2)]
        self._next_stream, self.serial = cycle(urgent[:2]), urgent[2]
        self._forked: Any = None
        self._used: list[Any] = []
        self._next_stage = cycle(stages)
        self._begun: deque[tuple[Any, Array]] = deque()

    # streams

    def _event(self) -> Any:
        return self._cupy.cuda.Event(disable_timing=True)  # which costs less, and only orders

    def mark(self, stream: Any) -> Any:
        """Return the event of what is on a stream of this GPU, the current device, so far."""
        return stream.record(self._event())

    def current(self) -> Any:
        """Return the stream that orders the caller's own work on this GPU."""
        return self._cupy.cuda.get_current_stream(self.device.id)

    @contextmanager
    def turn(self) -> Iterator[Any]:
        """Enqueue what follows on the next of the two streams of this GPU that take turns."""
        stream = next(self._next_stream)
        with self.device, self._after_fork(stream):
            yield stream

    @contextmanager
    def serially(self) -> Iterator[None]:
        """Enqueue what follows on the serial stream of this GPU."""
        with self.device, self._after_fork(self.serial):
            yield

    def fork(self) -> None:
        """Let the streams that are used from now on wait for what is on the current one."""
        with self.device:
            self._forked, self._used = self.mark(self.current()), []

    def _after_fork(self, stream: Any) -> Any:
        if stream not in self._used:
            stream.wait_event(self._forked)
            self._used.append(stream)
        return stream

    def join(self) -> None:
        """Let the current stream wait for what is on those that have been used since the fork."""
        with self.device:
            for stream in self._used:
                self.current().wait_event(self.mark(stream))

    def stop(self) -> None:
        """Return when nothing is under way."""
        with self.device:
            self.device.synchronize()
            self._begun.clear()

    def begin(self, ranks: Array, rows: Array, ties: Ties) -> None:
        """Write the ranks of rows of this GPU, beside what follows on the other streams."""
        with self.device:
            self._early.wait_event(self.mark(self.current()))
            with self._early:
                self.rank_into(ranks, self.held(rows), ties)
            # whoever lets go of the rows meanwhile must not have their memory used anew
            self._begun.append((self.mark(self._early), rows))

    def early(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an array for what is begun, whose memory nothing else uses before that is done."""
        with self.device, self._early:
            return self.empty(shape, dtype)

    def await_begun(self) -> None:
        """Let the current stream wait for what has been begun."""
        self.current().wait_event(self.mark(self._early))

    def wait(self) -> None:
        """Return when what is on the current stream has happened."""
        with self.device:
            self.current().synchronize()
            while self._begun and self._begun[0][0].done:
                self._begun.popleft()

    # memory

    def room(self) -> int:
        """Return the bytes that can be allocated."""
        with self.device:
            pool = self._cupy.get_default_memory_pool()
            if monotonic() - self._asked > _ASKED_EVERY:
                free, memory = self._cupy.cuda.runtime.memGetInfo()
                self._others, self._asked = memory - free - pool.total_bytes(), monotonic()
            most = pool.get_limit() or self._memory
            return min(most, self._memory - self._others) - pool.used_bytes()

    def spare(self) -> int:
        """Return the bytes for what only saves time: of half the GPU, which is for the rounds."""
        room = self.room()
        return max(0, min(room // 4, room - self._memory // 2))

    def keeps(self, block: Numbers) -> bool:
        """Return whether the GPU could hold this block, with enough room left to take others."""
        group = GROUP * block.itemsize * block.shape[1]
        work = max(4 * group, self._memory // 8)
        return block.nbytes <= self.room() - work

    def rows_at_once(self, row_bytes: int, unit: int, most: int) -> int:
        """Return how many rows to take in a turn: whole units, at most `most` bytes or one unit.

        Raises:
            EngineUnavailable: not even one unit fits.
        """
        room, smallest = self.room(), unit * row_bytes
        if smallest > room:
            raise self._lacks(f"{unit:,} rows", smallest)
        return unit * max(1, min(most, room // 4) // smallest)

    def memory(self) -> str:
        """Return how much memory is free, for people."""
        return f"{_size(self.room())} free of {_size(self._memory)}"

    def _lacks(self, what: str, size: int) -> EngineUnavailable:
        return EngineUnavailable(
            f"{self.title} has {self.memory()}, and {what} of this round must have {_size(size)}:"
            " free memory there, or choose another engine"
        )

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an array of this GPU, not filled."""
        with self.device:
            try:
                return self._cupy.empty(shape, dtype)
            except MemoryError:  # also where a limit is set, and what is cached fits no such array
                self._cupy.get_default_memory_pool().free_all_blocks()
            try:
                return self._cupy.empty(shape, dtype)
            except MemoryError as error:
                size = int(np.prod(shape)) * np.dtype(dtype).itemsize
                raise self._lacks("an array", size) from error

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an array of this GPU, filled with zeros."""
        array = self.empty(shape, dtype)
        with self.device:
            array.data.memset_async(0, array.nbytes)
        return array

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return a host array that the GPU reads and writes by itself.

        CuPy's pool rounds its size up to a power of two, and pins anew only what is still in use.
        """
        size = int(np.prod(shape))
        memory = self._cupy.cuda.alloc_pinned_memory(max(1, size * np.dtype(dtype).itemsize))
        return np.frombuffer(memory, dtype, size).reshape(shape)

    def has(self, array: Array) -> bool:
        """Return whether an array is on this GPU."""
        return isinstance(array, self._cupy.ndarray) and array.device == self.device

    def held(self, rows: Array) -> Array:
        """Return these rows on this GPU, in C order; see `fill` for rows on the host."""
        if not isinstance(rows, np.ndarray):
            return rows if rows.flags.c_contiguous else self._cupy.ascontiguousarray(rows)
        return self.fill(self.empty(rows.shape, rows.dtype), rows)

    def fill(self, array: Array, host: Numbers) -> Array:
        """Return the array, host rows copied into it; pinned ones are read when that happens."""
        if not (host.size and host.flags.c_contiguous and self.is_pinned(host)):
            return self.write(array, host)
        array.data.copy_from_host_async(host.ctypes.data, host.nbytes)
        return array

    def upload(self, host: Numbers | Ranks) -> Array:
        """Return a copy of a host array, (rows, columns) of any layout, which has been read."""
        with self.device:
            return self.write(self.empty(host.shape, host.dtype), host)

    def write(self, array: Array, host: Numbers | Ranks) -> Array:
        """Return the array, a host array copied into it by way of the pinned buffers."""
        row_bytes = max(1, host.itemsize * host.shape[1])
        each = max(1, _STAGE // row_bytes)
        for start in range(0, len(host), each):
            rows = host[start : start + each]
            stage = next(self._next_stage)
            stage.left.synchronize()  # what it held before
            if stage.memory.nbytes < rows.nbytes:
                stage.memory = self.pinned((max(_STAGE, row_bytes),), np.uint8)
            staged = stage.memory[: rows.nbytes].view(host.dtype).reshape(rows.shape)
            self._copy(staged, rows)
            there = array[start : start + each].data
            there.copy_from_host_async(staged.ctypes.data, rows.nbytes)
            stage.left.record()
        return array

    def _copy(self, staged: Any, rows: Any) -> None:
        """Copy rows on the host, by several cores: one alone is slower than the bus."""
        each = max(1, _TILE // max(1, rows.itemsize * rows.shape[1]))

        def copy(starts: Iterator[int]) -> None:
            for start in starts:
                np.copyto(staged[start : start + each], rows[start : start + each])

        share(copy, range(0, len(rows), each), min(_COPIERS, self._threads))

    def is_pinned(self, host: Numbers | Ranks) -> bool:
        """Return whether the GPU reads a host array by itself, at some time after it is told to."""
        runtime = self._cupy.cuda.runtime
        return runtime.pointerGetAttributes(host.ctypes.data).type == runtime.memoryTypeHost

    # kernels

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
        """Write what a table, (1, 2 * N - 1), has for each rank."""
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


class _Stage:
    """A pinned buffer on the way to a GPU, and the event of its having left."""

    def __init__(self, left: Any, memory: Any) -> None:
        self.left = left
        self.memory = memory


def _parts(whole: int, part: int) -> int:
    return -(-whole // part)


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
