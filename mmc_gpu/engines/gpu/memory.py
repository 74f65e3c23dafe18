"""One GPU's memory: how much there is, and arrays in it."""

from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array
from mmc_gpu.errors import EngineUnavailable


class Memory:
    """The memory of one GPU, which errors call by its title."""

    def __init__(self, cupy: Any, device: Any, title: str) -> None:
        self._cupy, self._device, self._title = cupy, device, title
        with device:
            self.size = cupy.cuda.runtime.memGetInfo()[1]

    def room(self) -> int:
        """Return the bytes that can be allocated."""
        with self._device:
            pool = self._cupy.get_default_memory_pool()
            free = self._cupy.cuda.runtime.memGetInfo()[0] + pool.free_bytes()
            return min(free, (pool.get_limit() or self.size) - pool.used_bytes())

    def described(self) -> str:
        """Return how much memory is free, for people."""
        return f"{_size(self.room())} free of {_size(self.size)}"

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an array of this GPU, not filled.

        Raises:
            EngineUnavailable: it does not fit.
        """
        with self._device:
            try:
                return self._cupy.empty(shape, dtype)
            except MemoryError:  # CuPy may hold free memory in pieces of other sizes
                self._cupy.get_default_memory_pool().free_all_blocks()
            try:
                return self._cupy.empty(shape, dtype)
            except MemoryError as error:
                size = int(np.prod(shape)) * np.dtype(dtype).itemsize
                raise EngineUnavailable(
                    f"{self._title} has {self.described()}, and an array of this round must have"
                    f" {_size(size)}: free memory there, or choose another engine"
                ) from error

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return a host array that the GPU reads and writes by itself.

        CuPy's pool rounds its size up to a power of two, and pins anew only what is still in use.
        """
        size = int(np.prod(shape))
        memory = self._cupy.cuda.alloc_pinned_memory(max(1, size * np.dtype(dtype).itemsize))
        return np.frombuffer(memory, dtype, size).reshape(shape)


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
