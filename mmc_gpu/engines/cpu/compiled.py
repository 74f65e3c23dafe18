"""How the kernels are compiled, and when compiled code is kept on disk.

Division follows NumPy (`error_model`): a branch for zero divisors would keep loops from being
vectorised. Without fastmath LLVM neither reorders nor fuses: `a * b + c` is rounded twice, as the
canonical blend needs. Only sums that are exact in any order may be reordered.
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

    numba's cache crashed when processes wrote to it at once (numba #4807, #10128). That cannot
    happen here. An entry is one file with all of a kernel's code: no kernel is parallel or a ufunc,
    and a kernel calls no other kernel, only a `part`. Each kernel is called with one signature
    only, so that all processes write the same entry.

    Where no folder can be written to, every process compiles anew.
    """
    compiled: Any = part(function)
    if isinstance(compiled, Dispatcher):  # not so with NUMBA_DISABLE_JIT
        with suppress(RuntimeError):  # cannot cache function
            compiled._cache = KernelCache(function)
    return compiled


def part(function: _Function) -> _Function:
    """Return the function compiled into the kernels that call it, all in its own file.

    A kernel on disk is compiled again if its own file has changed, but not if another file has.
    """
    compiled: Any = njit(**_OPTIONS)(function)
    return compiled


def summed_in_any_order(function: _Function) -> _Function:
    """Return a `part` whose sums LLVM may reorder and fuse: whole numbers, below 2**53 throughout.

    Products and sums of such numbers are not rounded, so that no order can move a bit.
    """
    compiled: Any = njit(**_OPTIONS, fastmath={"reassoc", "contract"})(function)
    return compiled
