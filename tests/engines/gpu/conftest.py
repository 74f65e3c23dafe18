"""Fixtures of the GPU tests: the real CuPy on a CUDA without a GPU, and the real PTX on the CPU."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))  # for benchmarks.gpu.fake_cuda

import gpu_parity  # noqa: E402
import ptx  # noqa: E402
from fake_plugin import FOLDER  # noqa: E402
from nvrtc import FAMILIES, ptx_of  # noqa: E402

from benchmarks.gpu import fake_cuda  # noqa: E402
from mmc_gpu import engines  # noqa: E402
from mmc_gpu.engines import numpy_engine, protocol  # noqa: E402
from mmc_gpu.engines.gpu import card as gpu_card  # noqa: E402
from mmc_gpu.engines.gpu import engine as gpu_engine  # noqa: E402
from mmc_gpu.engines.gpu import kernels as gpu_kernels  # noqa: E402
from mmc_gpu.engines.gpu import round as gpu_round  # noqa: E402
from mmc_gpu.engines.gpu.engine import GpuEngine  # noqa: E402
from mmc_gpu.engines.gpu.library import kernel_source  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    """Put the fake in CUDA's place before anybody imports CuPy; it has no GPU until a test asks."""
    on_a_gpu = "gpu" in str(config.getoption("engines", default=""))
    if not on_a_gpu and "cupy" not in sys.modules and not fake_cuda.missing():
        fake_cuda.Machine(devices=0)


@pytest.fixture(scope="session")
def kernel_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where translated kernels are kept: between runs too, where pytest has a cache."""
    if not ptx.COMPILER:
        pytest.skip("g++ is not installed, so the kernels cannot run on the CPU")
    if given := os.environ.get(FOLDER):
        return Path(given)
    cache = getattr(request.config, "cache", None)  # without it after `-p no:cacheprovider`
    return cache.mkdir("mmc-gpu-kernels") if cache else tmp_path_factory.mktemp("kernels")


def _sized(launch: Callable[..., None], sizes: dict[str, list[int]]) -> Callable[..., None]:
    """Return a launch that looks at the sizes of its arguments, which CUDA cannot see."""

    def launched(name: str, blocks: int, threads: int, arguments: Any, *shared: int) -> None:
        given = [
            4 if type(one) is int else one.nbytes if isinstance(one, np.generic) else 8
            for one in arguments
        ]
        assert given == sizes[name], f"{name}: arguments of {given} bytes, not {sizes[name]}"
        launch(name, blocks, threads, arguments, *shared)

    return launched


def of_groups(source: str) -> str:
    """Return a kernel's source for groups of as many stakers as the checks have."""
    line = "constexpr int GROUP = {};"
    return source.replace(line.format(protocol.GROUP), line.format(gpu_parity.GROUP))


@pytest.fixture
def small_turns(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Groups are small, blocks are taken in many turns and copied in many pieces.

    A round that has all of that is then done in a tenth of the time. What is returned does this to
    other modules of the engine, by name.
    """
    small = {"GROUP": 64, "HOST_TURN": 1, "TURN": 5_000, "_STAGE": 900, "_TILE": 100}

    def shrink(*modules: Any) -> None:
        for module in modules:
            for name in small.keys() & vars(module).keys():
                if name != "_TILE" or "_STAGE" in vars(module):  # the kernels' is another
                    monkeypatch.setattr(module, name, small[name])

    shrink(gpu_parity, numpy_engine, gpu_card, gpu_engine, gpu_kernels, gpu_round)
    return shrink


@pytest.fixture
def make_engine(
    kernel_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., GpuEngine]]:
    """Make a GPU engine on a `fake_cuda.Machine` of these arguments, with kernels of the real PTX.

    `capability` is what the PTX is for; `edit` changes the source of a family.
    """
    if reason := fake_cuda.missing():
        pytest.skip(reason)
    if not fake_cuda.is_installed():
        pytest.skip("a GPU is tested, or CuPy was imported before the fake CUDA")
    machines = []
    monkeypatch.setattr(engines, "_held", threading.local())

    def make(
        engine: Callable[[], Any] = GpuEngine,
        capability: int = 90,
        edit: Any = None,
        threads: str = "forward",
        **options: Any,
    ) -> Any:
        machine = fake_cuda.Machine(threads=ptx.ORDERS[threads], **options)
        fake_cuda.run_modules(lambda code: ptx.kernels(code, kernel_folder))
        machines.append(machine)
        sizes_of = {}
        for family in FAMILIES:
            source = of_groups(kernel_source(family))
            code = ptx_of(edit(source) if edit else source, capability)
            for name, run, sizes, most in ptx.kernels(code, kernel_folder):
                fake_cuda.register(name, run, sizes, most)
                sizes_of[name] = sizes
        made = engine()
        for card in made.cards:
            card.kernels.launch = _sized(card.kernels.launch, sizes_of)
        made.machine = machine
        return made

    yield make
    for machine in machines[-1:]:
        machine.check()
    fake_cuda.Machine(devices=0)
