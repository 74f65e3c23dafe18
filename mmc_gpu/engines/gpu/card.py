"""One GPU: its memory, its kernels, its streams, and the copies to it."""

from collections.abc import Iterator
from itertools import cycle
from types import SimpleNamespace
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array
from mmc_gpu.engines.gpu.kernels import Kernels, Ranking
from mmc_gpu.engines.gpu.memory import Memory
from mmc_gpu.engines.protocol import Ties
from mmc_gpu.engines.selection import Selection
from mmc_gpu.engines.threads import share, thread_count
from mmc_gpu.errors import EngineUnavailable

_OLDEST = 70  # compute capability 7.0: the first with `__match_any_sync`
_STAGE = 16 << 20  # bytes of a pinned buffer: 0.3 ms at 50 GB/s, long against the latency of a copy
_COPIERS = 4
"""Threads that fill a buffer: each takes about 0.05 ms to start, a buffer 0.3 ms on the bus."""
_TILE = 1 << 20  # bytes that a thread copies at a time


class Card:
    """One GPU. Work is enqueued, mostly on the caller's current stream, and nobody waits for it."""

    def __init__(self, cupy: Any, number: int) -> None:
        self._cupy, self._threads = cupy, thread_count()
        self.device = cupy.cuda.Device(number)
        name = cupy.cuda.runtime.getDeviceProperties(number)["name"].decode()
        capability = int(self.device.compute_capability)
        self.title = f"GPU {number} ({name}, compute capability {capability / 10})"
        if capability < _OLDEST:
            raise EngineUnavailable(
                f"{self.title} is too old, the kernels need {_OLDEST / 10}: choose another with"
                " CUDA_VISIBLE_DEVICES"
            )
        self.memory = Memory(cupy, self.device, self.title)
        self.kernels = Kernels(cupy, number)
        with self.device:  # streams: for what others wait for, for what they do not, for copies
            # of equal priority, urgent kernels would wait for the last block of others to start
            self.urgent = cupy.cuda.Stream(non_blocking=True, priority=-1)
            self.aside, self.copier = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))
            nothing = np.empty(0, np.uint8)
            # pinned buffers on the way to the GPU, and events: what they held has been copied
            stages = (SimpleNamespace(left=self.event(), memory=nothing) for _ in range(2))
            self._next_stage = cycle(list(stages))

    def event(self) -> Any:
        """Return a new event of this GPU, the current device."""
        return self._cupy.cuda.Event(disable_timing=True)  # which costs less, and only orders

    def current(self) -> Any:
        """Return the stream of the caller's own work on this GPU."""
        return self._cupy.cuda.get_current_stream(self.device.id)

    def has(self, array: Array) -> bool:
        """Return whether an array is on this GPU."""
        return isinstance(array, self._cupy.ndarray) and array.device == self.device

    def ranking(self, shape: tuple[int, ...], dtype: Any) -> Ranking:
        """Return what ranks rows, as many at a time."""
        return Ranking(self.kernels, self.memory, shape, dtype)

    def rank(self, rows: Array, ties: Ties) -> Array:
        """Return the ranks of rows of this GPU in C order; int32 rows are ranks already."""
        if rows.dtype == np.int32:
            return rows
        ranks = self.memory.empty(rows.shape, np.int32)
        self.ranking(rows.shape, rows.dtype)(rows, **{ties: ranks})
        return ranks

    def looked_up(self, ranks: Array, tables: Array) -> Array:
        """Return for each rank its entry in the one table, or in that of its row."""
        series = self.memory.empty(ranks.shape, np.float64)
        self.kernels.look_up(ranks, tables, series)
        return series

    # copies on this GPU, and to it

    def held(self, rows: Any) -> Array:
        """Return these rows in C order, copied to this GPU if they are on the host."""
        if self.has(rows) and rows.flags.c_contiguous:
            return rows
        return self.copy(rows, self.memory.empty(rows.shape, rows.dtype))

    def copy(self, rows: Any, copied: Array) -> Array:
        """Copy rows of the host or of this GPU, or a `Selection`, into an array, and return it."""
        whole = rows.matrix if isinstance(rows, Selection) else rows
        with self.device:
            if not self.has(whole):
                return self.write(copied, rows)
            chosen: list[Array] = []
            if isinstance(rows, Selection):
                chosen, columns = [self.upload(rows.rows[:, None])], rows.columns
                if isinstance(columns, range):
                    whole = whole[:, columns[0] : columns[-1] + 1]
                else:
                    chosen.append(self.upload(columns[:, None]))
            self.kernels.copy_rows(whole, copied, *chosen)
        return copied

    def upload(self, host: Any) -> Array:
        """Return a copy of host rows of any layout, which have been read by then."""
        return self.write(self.memory.empty(host.shape, host.dtype), host)

    def write(self, array: Array, host: Any) -> Array:
        """Copy host rows into an array by way of the pinned buffers, and return the array."""
        row_bytes = max(1, array.itemsize * array.shape[1])
        each = max(1, _STAGE // row_bytes)
        for start in range(0, len(host), each):
            rows = host[start : start + each]
            stage = next(self._next_stage)
            stage.left.synchronize()  # what it held before
            size = row_bytes * len(rows)
            if stage.memory.nbytes < size:
                stage.memory = self.memory.pinned((max(_STAGE, row_bytes),), np.uint8)
            staged = stage.memory[:size].view(array.dtype).reshape(len(rows), array.shape[1])
            self._copy(staged, rows)
            there = array[start : start + each].data
            there.copy_from_host_async(staged.ctypes.data, size)
            stage.left.record()
        return array

    def _copy(self, staged: Any, rows: Any) -> None:
        """Copy rows on the host, by several cores: one alone is slower than the bus."""
        each = max(1, _TILE // max(1, staged.itemsize * staged.shape[1]))

        def copy(starts: Iterator[int]) -> None:
            for start in starts:
                part = rows[start : start + each]
                if isinstance(part, Selection):
                    part.write(staged[start : start + each])
                else:
                    np.copyto(staged[start : start + each], part)

        share(copy, range(0, len(rows), each), min(_COPIERS, self._threads))

    def fill(self, array: Array, host: Any) -> None:
        """Copy host rows into an array; rows that are pinned are read only later."""
        whole = isinstance(host, np.ndarray) and host.size and host.flags.c_contiguous
        runtime = self._cupy.cuda.runtime
        kind = whole and runtime.pointerGetAttributes(host.ctypes.data).type
        (self.send if whole and kind == runtime.memoryTypeHost else self.write)(array, host)

    def send(self, array: Array, pinned: Any) -> None:
        """Copy pinned memory into an array, some time later."""
        array.data.copy_from_host_async(pinned.ctypes.data, pinned.nbytes)

    def bring(self, array: Array, pinned: Any) -> None:
        """Copy an array into pinned memory, some time later."""
        array.data.copy_to_host_async(pinned.ctypes.data, pinned.nbytes)
