"""Engines by name: loaded when asked for, never replaced in silence."""

from collections.abc import Callable

from mmc_gpu.engines.protocol import GROUP, Engine, Ties
from mmc_gpu.errors import EngineUnavailable

__all__ = ["ENGINES", "GROUP", "Engine", "EngineUnavailable", "Ties", "load_engine"]


def _numpy() -> Engine:
    from mmc_gpu.engines.numpy_engine import NumpyEngine

    return NumpyEngine()


def _gpu() -> Engine:
    from mmc_gpu.engines.gpu_engine import GpuEngine

    return GpuEngine()


ENGINES: dict[str, Callable[[], Engine]] = {"numpy": _numpy, "gpu": _gpu}
"""Name to loader, slowest first."""


def load_engine(name: str) -> Engine:
    """Return the engine of that name.

    Args:
        name: a key of `ENGINES`, or "auto": the fastest that works here; its `name` says which.

    Raises:
        EngineUnavailable: the named engine cannot run here; the message says what to install.
        ValueError: there is no such engine.
    """
    if name == "auto":
        for loader in reversed(ENGINES.values()):
            try:
                return loader()
            except EngineUnavailable:
                continue
    if name not in ENGINES:
        raise ValueError(f"no engine {name!r}; choose one of auto, {', '.join(ENGINES)}")
    return ENGINES[name]()
