"""Engines by name: loaded when asked for, and never replaced in silence."""

from collections.abc import Callable
from threading import local
from typing import cast

from mmc_gpu.engines.failures import BROKEN, in_short
from mmc_gpu.engines.protocol import GROUP, Engine, Ties
from mmc_gpu.errors import EngineUnavailable

__all__ = ["ENGINES", "GROUP", "Engine", "EngineUnavailable", "Ties", "load_engine"]


def _numpy(threads: int | None) -> Engine:
    from mmc_gpu.engines.numpy_engine import NumpyEngine

    return NumpyEngine()


def _cpu(threads: int | None) -> Engine:
    try:
        import numba  # noqa: F401
    except BROKEN as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "numba":
            raise EngineUnavailable("the cpu engine needs numba: pip install numba") from error
        raise EngineUnavailable(
            f"numba cannot be imported ({in_short(error)}):"
            " pip install --upgrade --force-reinstall numba"
        ) from error
    from mmc_gpu.engines.cpu.engine import CpuEngine

    return CpuEngine(threads)


def _gpu(threads: int | None) -> Engine:
    from mmc_gpu.engines.gpu.engine import GpuEngine

    if not hasattr(_held, "gpu"):
        _held.gpu = GpuEngine()
    return cast(Engine, _held.gpu)


_held = local()
"""Each thread's GPU engine: CuPy keeps memory by stream, and a new engine has new streams."""

ENGINES: dict[str, Callable[[int | None], Engine]] = {"numpy": _numpy, "cpu": _cpu, "gpu": _gpu}
"""The loader of each engine by name, slowest engine first; it takes the number of threads."""


def load_engine(name: str | Engine, threads: int | None = None) -> Engine:
    """Return the engine of that name.

    Args:
        name: a key of `ENGINES`; or "auto": the fastest engine that works here, whose `name` says
            which; or an engine, which is returned.
        threads: how many threads the cpu engine works with; by default MMC_GPU_THREADS, or the
            cores that the process may use. Other engines ignore it. No result depends on it.

    Raises:
        EngineUnavailable: the named engine cannot run here; the message says what to install.
        ValueError: there is no such engine, what is given is none, or threads is no such number.
    """
    if not isinstance(name, str):
        if hasattr(name, "moments"):
            return name
        name = type(name).__name__
    if name == "auto":
        for loader in reversed(ENGINES.values()):
            try:
                return loader(threads)
            except EngineUnavailable:
                continue
    if name not in ENGINES:
        raise ValueError(f"no engine {name!r}; choose one of auto, {', '.join(ENGINES)}")
    return ENGINES[name](threads)
