"""One GPU: its streams, and the copies to it.

Work is enqueued on the GPU's current stream: these methods return before it has happened.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array, Numbers, Ranks
from mmc_gpu.engines.gpu.kernels import Kernels
from mmc_gpu.engines.protocol import Ties
from mmc_gpu.engines.threads import share, thread_count

_STAGE = 16 << 20
"""Bytes of a pinned buffer: 0.3 ms at 50 GB/s, long against the latency of a copy."""
_COPIERS = 4
"""Threads that fill a buffer: each takes about 0.05 ms to start, a buffer 0.3 ms on the bus."""
_TILE = 1 << 20
"""Bytes that a thread copies at a time."""


class Card(Kernels):
    """One GPU, with its streams and with the buffers on the way to it.

    Attributes:
        serial: its stream for work that must be done one after another.
    """

    def __init__(self, cupy: Any, number: int) -> None:
        super().__init__(cupy, number)
        self._threads = thread_count()
        with self.device:
            # Blocks of urgent kernels start before the waiting blocks of a kernel that was begun
            # earlier. With the same priority, they would wait until its last block has started.
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
        """Return the event of all work so far on a stream of this GPU, the current device."""
        return stream.record(self._event())

    def current(self) -> Any:
        """Return the stream of the caller's own work on this GPU."""
        return self._cupy.cuda.get_current_stream(self.device.id)

    @contextmanager
    def turn(self) -> Iterator[Any]:
        """Enqueue work inside on the next of this GPU's two streams, which take turns."""
        stream = next(self._next_stream)
        with self.device, self._after_fork(stream):
            yield stream

    @contextmanager
    def serially(self) -> Iterator[None]:
        """Enqueue work inside on the serial stream of this GPU."""
        with self.device, self._after_fork(self.serial):
            yield

    def fork(self) -> None:
        """Let the streams that are used from now on wait for the work on the current stream."""
        with self.device:
            self._forked, self._used = self.mark(self.current()), []

    def _after_fork(self, stream: Any) -> Any:
        if stream not in self._used:
            stream.wait_event(self._forked)
            self._used.append(stream)
        return stream

    def join(self) -> None:
        """Let the current stream wait for the streams that have been used since the fork."""
        with self.device:
            for stream in self._used:
                self.current().wait_event(self.mark(stream))

    def stop(self) -> None:
        """Return when all work on this GPU has ended."""
        with self.device:
            self.device.synchronize()
            self._begun.clear()

    def begin(self, ranks: Array, rows: Array, ties: Ties) -> None:
        """Write the ranks of rows of this GPU, while the other streams work on."""
        with self.device:
            self._early.wait_event(self.mark(self.current()))
            with self._early:
                self.rank_into(ranks, self.held(rows), ties)
            # the caller may let go of the rows before they are ranked: their memory must wait
            self._begun.append((self.mark(self._early), rows))

    def early(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an array for ranks that are begun; nothing else uses its memory before."""
        with self.device, self._early:
            return self.empty(shape, dtype)

    def await_begun(self) -> None:
        """Let the current stream wait for all ranks that have been begun."""
        self.current().wait_event(self.mark(self._early))

    def wait(self) -> None:
        """Return when all work on the current stream is done."""
        with self.device:
            self.current().synchronize()
            while self._begun and self._begun[0][0].done:
                self._begun.popleft()

    # copies from the host

    def held(self, rows: Array) -> Array:
        """Return these rows on this GPU, in C order; see `fill` for rows on the host."""
        if not isinstance(rows, np.ndarray):
            return rows if rows.flags.c_contiguous else self._cupy.ascontiguousarray(rows)
        return self.fill(self.empty(rows.shape, rows.dtype), rows)

    def fill(self, array: Array, host: Numbers) -> Array:
        """Copy host rows into the array, and return it; pinned rows are read only later."""
        if not (host.size and host.flags.c_contiguous and self.is_pinned(host)):
            return self.write(array, host)
        array.data.copy_from_host_async(host.ctypes.data, host.nbytes)
        return array

    def upload(self, host: Numbers | Ranks) -> Array:
        """Return a copy of a host array, (rows, columns), any layout; it has been read by then."""
        with self.device:
            return self.write(self.empty(host.shape, host.dtype), host)

    def write(self, array: Array, host: Numbers | Ranks) -> Array:
        """Copy a host array into the array by way of the pinned buffers, and return the array."""
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
        """Return whether a host array is pinned: the GPU reads it by itself, some time later."""
        runtime = self._cupy.cuda.runtime
        return runtime.pointerGetAttributes(host.ctypes.data).type == runtime.memoryTypeHost


class _Stage:
    """A pinned buffer on the way to a GPU, and an event: its content has been copied."""

    def __init__(self, left: Any, memory: Any) -> None:
        self.left = left
        self.memory = memory
