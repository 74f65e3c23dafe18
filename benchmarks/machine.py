"""What machine a benchmark ran on, without anything that names it."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from cpuinfo import get_cpu_info
from threadpoolctl import threadpool_info

from benchmarks.peers.competitors import engines, unavailable
from mmc_gpu.engines.threads import thread_count

_PACKAGES = """mmc-gpu numpy numba llvmlite pandas pyarrow scipy numerai-tools cupy-cuda12x
cupy-cuda13x""".split()  # noqa: SIM905


def machine(cpu: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the machine and the versions of what runs on it.

    Args:
        cpu: as py-cpuinfo has found it; by default it is asked, which takes a second.
    """
    cpu = cpu or get_cpu_info()
    np.ones((2, 2)) @ np.ones((2, 2))  # threadpoolctl only sees a BLAS that has been loaded
    return {
        "cpu": cpu.get("brand_raw", platform.processor()),
        "cpu_model": f"family {cpu.get('family', '?')} model {cpu.get('model', '?')}",
        "cores": thread_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "blas": [
            {
                "of": Path(pool["filepath"]).parent.name.partition(".")[
                    0
                ],  # numpy.libs, scipy.libs
                "library": pool["internal_api"],
                "version": pool["version"],
                "kernel": pool.get("architecture"),
                "threads": pool["num_threads"],
            }
            for pool in threadpool_info()
            if pool.get("user_api") == "blas"
        ],
        "engines": engines(),
        "unavailable": unavailable(),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
