"""How the kernels are compiled, and when compiled code is kept on disk.

Division follows NumPy (`error_model`): a branch for zero divisors would keep loops from being
vectorised. Nothing here is fastmath, so LLVM neither reorders nor fuses: `a * b + c` is rounded
twice, as the canonical blend needs; but for sums that say so, which are exact.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from numba import njit
from numba.core.dispatcher import Dispatcher

from mmc_gpu.engines.cpu.cache import KernelCache

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def kernel(function: _Function) -> _Function:
    """Return the function compiled at its first call, and kept on disk for later processes.

    What made numba's cache crash when processes raced (numba #4807, #10128) is absent. A file
    holds all code of its kernel: no kernel is parallel or a ufunc, and none calls another, only a
    `part`. And each kernel is only ever called with one signature, so that processes that write
    its file at once all write the same.

    Where no folder can be written to, every process compiles anew.
    """
    compiled: Any = part(function)
    if isinstance(compiled, Dispatcher):  # not so with NUMBA_DISABLE_JIT
        with suppress(RuntimeError):  # cannot cache function
            compiled._cache = KernelCache(function)
    return compiled


def part(function: _Function) -> _Function:
    """Return the function compiled into the kernels that call it, all in its own file.

    A kernel on disk is compiled again when its own file changes, but not for another one.
    """
    compiled: Any = njit(**_OPTIONS)(function)
    return compiled


def summed_in_any_order(function: _Function) -> _Function:
    """Return a `part` whose sums LLVM may reorder and fuse: whole numbers, below 2**53 throughout.

    Products and sums of such numbers are not rounded, so that no order can move a bit.
    """
    compiled: Any = njit(**_OPTIONS, fastmath={"reassoc", "contract"})(function)
    return compiled
