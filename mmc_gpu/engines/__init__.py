"""Engines by name: loaded when asked for, and never replaced in silence."""

import sys
from collections.abc import Callable
from math import inf
from threading import local

from mmc_gpu.engines.cpu.cache import kernels_are_kept
from mmc_gpu.engines.protocol import GROUP, Engine, Ties
from mmc_gpu.errors import EngineUnavailable, as_given

__all__ = ["ENGINES", "GROUP", "Engine", "EngineUnavailable", "Ties", "load_engine"]


def _numpy(threads: int | None) -> Engine:
    from mmc_gpu.engines.numpy_engine import NumpyEngine

    return NumpyEngine()


def _cpu(threads: int | None) -> Engine:
    from mmc_gpu.engines.cpu.compiled import import_compiler
    from mmc_gpu.engines.cpu.engine import CpuEngine

    import_compiler("llvmlite.binding" if kernels_are_kept() else "numba")
    return CpuEngine(threads)


def _gpu(threads: int | None) -> Engine:
    from mmc_gpu.engines.gpu.engine import GpuEngine

    if not hasattr(_held, "gpu"):
        _held.gpu = GpuEngine()
    return _held.gpu


_held = local()
"""Each thread's GPU engine: CuPy keeps memory by stream, and a new engine has new streams."""

ENGINES: dict[str, Callable[[int | None], Engine]] = {"numpy": _numpy, "cpu": _cpu, "gpu": _gpu}
"""The loader of each engine by name, slowest engine first; it takes the number of threads."""


_KEPT, _NOT_COMPILED, _GPU = 2e6, 100e6, 10e6
"""Values that the NumPy engine scores while the cpu engine is loaded (0.1 s), while its kernels are
compiled (5 s), and while a GPU is looked for."""

_with_numpy = [0.0]
"""Values for which this process has taken the NumPy engine instead of a faster one."""


def load_engine(name: str | Engine, threads: int | None = None, work: float = inf) -> Engine:
    """Return the engine of that name.

    Args:
        name: a key of `ENGINES`; or "auto": the fastest engine that works here, whose `name` says
            which; or an engine, which is returned.
        threads: how many threads the cpu engine works with; by default MMC_GPU_THREADS, or the
            cores that the process may use. Other engines ignore it. No result depends on it.
        work: how many values (users x stocks) will be scored. For a few "auto" takes an engine that
            this process has loaded, or else NumPy's, until loading another one would have paid.

    Raises:
        EngineUnavailable: the named engine cannot run here; the message says what to install.
        ValueError: there is no such engine, what is given is none, or threads is no such number.
    """
    if not isinstance(name, str) and hasattr(name, "moments"):
        return name
    text = name if isinstance(name, str) else ""
    if text == "auto":
        for engine in _soonest_first(work):
            try:
                return ENGINES[engine](threads)
            except EngineUnavailable:
                continue
    if text not in ENGINES:
        raise ValueError(f"no engine {as_given(name)}; choose one of auto, {', '.join(ENGINES)}")
    return ENGINES[text](threads)


def _soonest_first(work: float) -> list[str]:
    """Return the names of all engines, the one first with which this work is done soonest."""
    done, late = _with_numpy[0] + work, set()
    if done < _GPU and not hasattr(_held, "gpu"):  # to look for one takes seconds
        late.add("gpu")
    if f"{__name__}.cpu.engine" not in sys.modules and (
        done < _KEPT or (done < _NOT_COMPILED and not kernels_are_kept())
    ):
        late.add("cpu")
        _with_numpy[0] = done
    return sorted(reversed(ENGINES), key=late.__contains__)
