"""A pytest plugin: with `-p fake_plugin --engines gpu`, the gpu engine runs without a GPU."""

import os
from pathlib import Path

import ptx
import pytest
from nvrtc import FAMILIES, ptx_of

from benchmarks.gpu import fake_cuda
from mmc_gpu.engines.gpu.library import kernel_source

FOLDER = "MMC_GPU_KERNEL_FOLDER"
"""The environment variable that names where translated kernels are kept."""


def pytest_configure(config: pytest.Config) -> None:
    """Make two GPUs of the fake CUDA, with the real PTX."""
    fake_cuda.Machine(devices=2, order="late", pooled=False)
    folder = Path(os.environ[FOLDER])
    for family in FAMILIES:
        for kernel in ptx.kernels(ptx_of(kernel_source(family)), folder):
            fake_cuda.register(*kernel)
    fake_cuda.run_modules(lambda code: ptx.kernels(code, folder))
