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

import pytest

from mmc_gpu.engines.gpu.library import kernel_source

FAMILIES = ("rank", "sums", "moments", "rows", "algebra")
KEPT = gettempdir()  # before the suite has a folder of its own: the next run finds what is here
NVCC_FOR = (75, 90)  # the oldest and one that is fast: NVRTC compiles for all of them
OPTIONS = ("-std=c++17", "-ftz=true")  # -ftz=true is CuPy's own


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

    def compile(self, code: str, capability: int, kind: str) -> tuple[bytes, str]:
        """Return the "CUBIN" or the "PTX" of a source, and what the compiler said."""
        program = ctypes.c_void_p()
        created = (ctypes.byref(program), code.encode(), b"kernel.cu", 0, None, None)
        self._call("CreateProgram", *created)
        options = [*OPTIONS, f"-arch=sm_{capability}", "--ptxas-options=-v"]
        encoded = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failed = self._library.nvrtcCompileProgram(program, len(options), encoded)
        log = self._get(program, "ProgramLog").rstrip(b"\0").decode()
        assert not failed, log
        return self._get(program, kind), log

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


@cache
def compiled(family: str, cuda: int, capability: int, kind: str = "CUBIN") -> tuple[bytes, str]:
    """Return the code of a family of kernels, and what the compiler said."""
    if library := libraries().get(cuda):
        return library.compile(kernel_source(family), capability, kind)
    if cuda:  # nvcc is of one version, and is asked once
        return compiled(family, 0, capability, kind)
    nvcc = shutil.which("nvcc")
    if nvcc and capability not in NVCC_FOR:
        pytest.skip("of nvcc two architectures do: pip install 'mmc-gpu[kernels]' for all")
    if not nvcc:
        pytest.skip("neither NVRTC nor nvcc is installed: pip install 'mmc-gpu[kernels]'")
    with TemporaryDirectory() as folder:
        source, code = Path(folder, "kernel.cu"), Path(folder, "code")
        source.write_text(kernel_source(family))
        options = [*OPTIONS, f"-arch=sm_{capability}", f"-{kind.lower()}", "-Xptxas=-v"]
        command = [nvcc, *options, "-o", str(code), str(source)]
        ran = subprocess.run(command, capture_output=True, text=True)
        if "Unsupported gpu architecture" in ran.stderr:
            pytest.skip(f"nvcc here has no sm_{capability}")
        assert not ran.returncode, ran.stderr
        return code.read_bytes(), ran.stderr


@cache
def ptx_of(code: str, capability: int = 90) -> str:
    """Return the PTX of a source, as the newest NVRTC makes it; other processes find it on disk."""
    if not libraries():
        pytest.skip("NVRTC is not installed: pip install 'mmc-gpu[kernels]'")
    version = max(libraries())
    key = hashlib.sha256(f"{code}{OPTIONS}{version}{capability}".encode()).hexdigest()[:20]
    kept = Path(KEPT, f"mmc-gpu-{os.getuid()}-ptx", f"{key}.ptx")
    if not kept.exists():
        made = libraries()[version].compile(code, capability, "PTX")[0].rstrip(b"\0")
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        fresh = kept.with_suffix(f".{os.getpid()}")  # renamed when whole: processes share it
        fresh.write_bytes(made)
        fresh.rename(kept)
    return kept.read_text()
