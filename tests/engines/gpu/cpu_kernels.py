"""Kernels compiled by g++ from their CUDA source, and run on the CPU by cuda_shim.h."""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")
FLAGS = [
    *("-std=c++17", "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-fno-extern-tls-init"),
    *("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"),
]
SANITIZE = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]

ORDERS = {"forward": 0, "backward": 1, "warps": 2, "warps backward": 3, "shuffled": 5}
"""Orders of a block's threads; 4 and above are shuffles."""

_KERNEL = re.compile(r'extern "C" __global__ void\s+(?:__launch_bounds__\(([^)]*)\)\s*)?(\w+)\(')

_TAIL = """
static const shim::Kernel kernels[] = {%s};
extern "C" const char* shim_launch(const char* name, unsigned grid, unsigned block, size_t shared,
                                   void* const* values, const size_t* sizes, size_t count,
                                   int order) {
  for (const shim::Kernel& kernel : kernels) {
    if (!std::strcmp(kernel.name, name)) {
      return shim::launch(kernel, grid, block, shared, values, sizes, count, order);
    }
  }
  return "no such kernel";
}
extern "C" void shim_skip(int barrier) { shim::skipped = barrier; }
extern "C" int shim_barriers() { return __COUNTER__; }
"""


def kernel_names(code: str) -> dict[str, int]:
    """Return the kernels of a CUDA source, and the most threads a block of each may have."""
    return {name: int(bounds.split(",")[0]) for bounds, name in _KERNEL.findall(code)}


@cache
def build(code: str, folder: Path, sanitize: bool = False) -> ctypes.CDLL:
    """Compile a CUDA source for the CPU; `folder` keeps what was compiled before."""
    kernels = ", ".join(f"SHIM_KERNEL({name})" for name in kernel_names(code))
    source = f'#include "cuda_shim.h"\n#line 1 "kernel.cu"\n{code}{_TAIL % kernels}'
    flags = [*FLAGS, *SANITIZE] if sanitize else FLAGS
    shim = (HERE / "cuda_shim.h").read_text()
    key = hashlib.sha256("\0".join([source, shim, *flags]).encode()).hexdigest()[:20]
    library = folder / f"{key}.so"
    if not library.exists():
        written = folder / f"{key}.cpp"
        written.write_text(source)
        fresh = folder / f"{key}.{os.getpid()}.so"  # renamed when whole: workers share a folder
        assert COMPILER, "g++ is not installed"
        command = [COMPILER, *flags, f"-I{HERE}", str(written), "-o", str(fresh)]
        subprocess.run(command, check=True)
        fresh.rename(library)
    loaded = ctypes.CDLL(str(library))
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    loaded.shim_launch.restype = ctypes.c_char_p
    loaded.shim_launch.argtypes = [
        *(ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, size),
        *(pointer, pointer, size, ctypes.c_int),
    ]
    return loaded


def launch(
    library: ctypes.CDLL,
    name: str,
    grid: int,
    block: int,
    arguments: tuple[Any, ...],
    *,
    shared: int = 0,
    order: int = 0,
) -> None:
    """Run a kernel; NumPy arrays are its device memory, NumPy scalars its other arguments.

    Raises:
        RuntimeError: a fault of the launch, or of the kernel's barriers.
    """
    values = [
        np.uintp(one.ctypes.data) if isinstance(one, np.ndarray) else one for one in arguments
    ]
    held = [np.array(value) for value in values]
    pointers = (ctypes.c_void_p * len(held))(*(value.ctypes.data for value in held))
    sizes = (ctypes.c_size_t * len(held))(*(value.nbytes for value in held))
    fault = library.shim_launch(
        name.encode(), grid, block, shared, pointers, sizes, len(held), order
    )
    if fault:
        raise RuntimeError(f"{name}: {fault.decode()}")
