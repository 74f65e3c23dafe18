"""Fixtures of the GPU tests: the kernels on the CPU, and the engine on a stand-in for CuPy."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cpu_kernels
import cupy_standin
import pytest

from mmc_gpu import engines
from mmc_gpu.engines.gpu import library as gpu_library
from mmc_gpu.engines.gpu.engine import GpuEngine


@pytest.fixture(scope="session")
def kernel_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where kernels compiled by g++ are kept: between runs too, where pytest has a cache."""
    if not cpu_kernels.COMPILER:
        pytest.skip("g++ is not installed, so the kernels cannot run on the CPU")
    cache = getattr(request.config, "cache", None)  # without it after `-p no:cacheprovider`
    return cache.mkdir("mmc-gpu-kernels") if cache else tmp_path_factory.mktemp("kernels")


@pytest.fixture
def make_engine(
    kernel_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., GpuEngine]]:
    """Make a GPU engine on a `cupy_standin.Machine` of these arguments."""
    machines = []
    monkeypatch.setattr(gpu_library, "_is_installed", lambda wheel: wheel == "cupy")
    monkeypatch.setattr(engines, "_held", threading.local())

    def make(engine: Callable[[], Any] = GpuEngine, **options: Any) -> Any:
        machine = cupy_standin.Machine(kernel_folder, **options)
        machines.append(machine)
        monkeypatch.setitem(sys.modules, "cupy", cupy_standin.make_cupy(machine))
        made = engine()
        made.machine = machine
        return made

    yield make
    for machine in machines:
        machine.check()
