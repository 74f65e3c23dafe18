"""CUDA's compiler: NVRTC as a wheel, or else nvcc. Neither needs a GPU or a driver."""

import ctypes
import hashlib
import os
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import NamedTuple

import pytest

from benchmarks.gpu.fake_cuda import made_once
from mmc_gpu.engines.gpu.library import kernel_source

FAMILIES = ("rank", "sums", "moments", "rows", "algebra")
KEPT = gettempdir()  # before the suite has a folder of its own: the next run finds what is here
NVCC_FOR = (75, 90)  # the oldest and one that is fast: NVRTC compiles for all of them
OPTIONS = ("-std=c++17", "-ftz=true")  # -ftz=true is CuPy's own


class Compiled(NamedTuple):
    """A source, its code for one architecture, and what the compiler said."""

    source: str
    cubin: bytes
    ptx: str
    log: str


class Nvrtc:
    """One version of NVRTC's library."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        count = ctypes.c_int()
        self._call("GetNumSupportedArchs", ctypes.byref(count))
        supported = (ctypes.c_int * count.value)()
        self._call("GetSupportedArchs", supported)
        self.capabilities = list(supported)

    def compile(self, code: str, capability: int) -> Compiled:
        program = ctypes.c_void_p()
        created = (ctypes.byref(program), code.encode(), b"kernel.cu", 0, None, None)
        self._call("CreateProgram", *created)
        options = [*OPTIONS, f"-arch=sm_{capability}", "--ptxas-options=-v"]
        encoded = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failed = self._library.nvrtcCompileProgram(program, len(options), encoded)
        log = self._get(program, "ProgramLog").rstrip(b"\0").decode()
        assert not failed, log
        ptx = self._get(program, "PTX").rstrip(b"\0").decode()
        return Compiled(code, self._get(program, "CUBIN"), ptx, log)

    def _get(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"Get{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(f"Get{what}", program, buffer)
        return buffer.raw

    def _call(self, name: str, *arguments: object) -> None:
        failed = getattr(self._library, f"nvrtc{name}")(*arguments)
        assert not failed, self._library.nvrtcGetErrorString(failed).decode()


@cache
def libraries() -> dict[int, Nvrtc]:
    """Return the first on the path of each major version of NVRTC, installed as wheels."""
    found = find_spec("nvidia")
    folders = map(Path, found.submodule_search_locations or ()) if found else ()
    paths = [path for folder in folders for path in folder.glob("*/lib/libnvrtc.so.1?")]
    return {int(path.suffix[1:]): Nvrtc(path) for path in reversed(paths)}


def compiled(cuda: int, capability: int) -> list[Compiled]:
    """Return all kernels: of NVRTC each family alone, of nvcc all together, which is faster."""
    if library := libraries().get(cuda):
        return [by_nvrtc(library, family, capability) for family in FAMILIES]
    return [by_nvcc(capability)]  # of one version


@cache
def by_nvrtc(library: Nvrtc, family: str, capability: int) -> Compiled:
    return library.compile(kernel_source(family), capability)


@cache
def by_nvcc(capability: int) -> Compiled:
    nvcc = shutil.which("nvcc")
    if not nvcc:
        pytest.skip("neither NVRTC nor nvcc is installed: pip install 'mmc-gpu[kernels]'")
    if capability not in NVCC_FOR:
        pytest.skip("of nvcc two architectures do: pip install 'mmc-gpu[kernels]' for all")
    # a name that two families have means something else in each; a warning tells its file
    code = "".join(
        f'namespace in_{family} {{\n#line 1 "{family}.cu"\n{kernel_source(family)}}}\n'
        for family in FAMILIES
    )
    with TemporaryDirectory() as folder:
        source, cubin = Path(folder, "kernel.cu"), Path(folder, "code")
        source.write_text(code)
        options = [*OPTIONS, f"-arch=sm_{capability}", "-cubin", "-Xptxas=-v"]
        kept = ["--keep", "--keep-dir", folder]  # the PTX, on the way
        command = [nvcc, *options, *kept, "-o", str(cubin), str(source)]
        ran = subprocess.run(command, capture_output=True, text=True)
        if "Unsupported gpu architecture" in ran.stderr:
            pytest.skip(f"nvcc here has no sm_{capability}")
        assert not ran.returncode, ran.stderr
        ptx = source.with_suffix(".ptx").read_text()
        return Compiled(code, cubin.read_bytes(), ptx, ran.stderr)


@cache
def ptx_of(code: str, capability: int = 90) -> str:
    """Return the PTX of a source, as the newest NVRTC makes it; other processes find it on disk."""
    if not libraries():
        pytest.skip("NVRTC is not installed: pip install 'mmc-gpu[kernels]'")
    version = max(libraries())
    key = hashlib.sha256(f"{code}{OPTIONS}{version}{capability}".encode()).hexdigest()[:20]
    kept = Path(KEPT, f"mmc-gpu-{os.getuid()}-ptx", f"{key}.ptx")
    library = libraries()[version]
    made_once(kept, lambda fresh: fresh.write_text(library.compile(code, capability).ptx))
    return kept.read_text()
