"""A pytest plugin: with `-p standin_plugin --engines gpu`, the gpu engine runs on the stand-in."""

import os
import sys
from pathlib import Path

import pytest

FOLDER = "MMC_GPU_STANDIN_FOLDER"
"""The environment variable that names where compiled kernels are kept."""


def pytest_configure(config: pytest.Config) -> None:
    """Put the stand-in in CuPy's place, for two devices."""
    import cupy_standin

    from mmc_gpu.engines.gpu import library as gpu_library

    gpu_library._is_installed = lambda wheel: False
    machine = cupy_standin.Machine(Path(os.environ[FOLDER]), devices=2)
    sys.modules["cupy"] = cupy_standin.make_cupy(machine)
