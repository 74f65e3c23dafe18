"""Whether CuPy, a driver, a GPU and NVRTC are there; if not, one sentence says what to install."""

import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from mmc_gpu.engines.failures import BROKEN, in_short
from mmc_gpu.errors import EngineUnavailable
from mmc_gpu.version import version_of

_WHEELS = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")
_OLDEST = 14  # the first CuPy whose streams have priorities
_INSUFFICIENT_DRIVER = 35  # cudaError_t

_INSTALL = (
    "pip install 'mmc-gpu[cuda13x]' (NVIDIA driver 580 or newer) or 'mmc-gpu[cuda12x]'"
    " (525 or newer)"
)


def load_cupy() -> Any:
    """Return the module `cupy`, with at least one GPU that it can use.

    Raises:
        EngineUnavailable: something is missing; the message says what, and what to install.
    """
    installed = [wheel for wheel in _WHEELS if version_of(wheel)]
    if len(installed) > 1:
        raise EngineUnavailable(
            f"{' and '.join(installed)} are installed together and overwrite each other:"
            f" pip uninstall {' '.join(installed)}, then {_INSTALL}"
        )
    try:
        import cupy

        version, runtime, cuda = cupy.__version__, cupy.cuda.runtime, cupy.cuda
    except BROKEN as error:
        raise EngineUnavailable(_not_imported(error, installed)) from error
    if int(version.partition(".")[0]) < _OLDEST:
        raise EngineUnavailable(
            f"CuPy {version} is too old: pip install --upgrade {' '.join(installed) or 'cupy'}"
        )
    _check_devices(runtime)
    _check_compiler(cuda)
    return cupy


def kernel_source(family: str) -> str:
    """Return the CUDA source of a family of kernels, in one text: CuPy's cache is keyed by that."""
    folder = kernel_folder()

    def included(line: re.Match[str]) -> str:
        return folder.joinpath(line[1]).read_text(encoding="utf-8")

    text = folder.joinpath(f"{family}.cu").read_text(encoding="utf-8")
    return re.sub(r'#include "(\S+)"', included, text)


def kernel_folder() -> Traversable:
    """Return the folder of the kernels' sources.

    A wheel has them in the package; an editable install and a checkout have them beside it.
    """
    inside = resources.files("mmc_gpu").joinpath("kernels")
    return inside if inside.is_dir() else Path(__file__).parents[3] / "kernels"


def _not_imported(error: Exception, installed: list[str]) -> str:
    """Return why CuPy cannot be imported, and what to do."""
    if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
        return f"CuPy is not installed: {_INSTALL}"
    if isinstance(error, OSError) and error.errno is not None:  # not of a library that is missing
        return (
            f"CuPy cannot make its cache folder ({in_short(error)}):"
            " set CUPY_CACHE_DIR to a writable one"
        )
    remove = f"pip uninstall {' '.join(installed)}" if installed else "remove the folder cupy"
    return f"CuPy is damaged ({in_short(error)}): {remove}, then {_INSTALL}"


def _check_devices(runtime: Any) -> None:
    try:
        devices = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        driver, built = runtime.driverGetVersion(), runtime.runtimeGetVersion()
        if not driver:
            reason = "no NVIDIA driver was found: install one from nvidia.com/drivers"
        elif error.status == _INSUFFICIENT_DRIVER:
            reason = (
                f"the NVIDIA driver supports CUDA {_version(driver)} and this CuPy needs"
                f" {_version(built)}: update the driver, or {_INSTALL}"
            )
        else:
            reason = f"no GPU can be used ({error}): see nvidia-smi"
        raise EngineUnavailable(reason) from error
    except (RuntimeError, OSError, ImportError) as error:  # of CUDA's libraries, not of a GPU
        raise EngineUnavailable(f"CUDA cannot be used ({in_short(error)}): {_INSTALL}") from error
    if not devices:
        raise EngineUnavailable("no GPU is visible: see nvidia-smi and CUDA_VISIBLE_DEVICES")


def _check_compiler(cuda: Any) -> None:
    try:
        cuda.nvrtc.getVersion()
    except BROKEN as error:
        major = cuda.runtime.runtimeGetVersion() // 1000
        wheels = " ".join(
            f"{wheel}-cu12" if major == 12 else f"'{wheel}=={major}.*'"
            for wheel in ("nvidia-cuda-nvrtc", "nvidia-cuda-runtime")
        )
        raise EngineUnavailable(
            f"NVRTC, CUDA's compiler, is missing: pip install {wheels}"
        ) from error


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
