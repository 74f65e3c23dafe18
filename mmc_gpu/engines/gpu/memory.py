"""One GPU: its name, and how much it can hold."""

from time import monotonic
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array, Numbers
from mmc_gpu.engines.protocol import GROUP
from mmc_gpu.errors import EngineUnavailable

_ASKED_EVERY = 0.1
"""Seconds between two questions how much of a GPU's memory other processes hold. A question takes
7 us, and up to 8 ms have been reported (sglang issue 25225)."""
_OLDEST = 70
"""Compute capability 7.0: the first with `__match_any_sync`."""


class Memory:
    """One GPU, and its memory.

    Attributes:
        device: its `cupy.cuda.Device`.
        title: its name, for people.
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
        with self.device:
            self._memory = runtime.memGetInfo()[1]
        self._others, self._asked = 0, -np.inf

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
        """Return how many bytes may hold what only saves time; half of the GPU stays free of it."""
        room = self.room()
        return max(0, min(room // 4, room - self._memory // 2))

    def keeps(self, block: Numbers) -> bool:
        """Return whether the GPU can hold this block, and still has room to work on others."""
        group = GROUP * block.itemsize * block.shape[1]
        work = max(4 * group, self._memory // 8)
        return block.nbytes <= self.room() - work

    def rows_at_once(self, row_bytes: int, unit: int, most: int) -> int:
        """Return how many rows a turn takes: whole units within `most` bytes, at least one unit.

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
            except MemoryError:  # CuPy may hold free memory in pieces of other sizes
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


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
