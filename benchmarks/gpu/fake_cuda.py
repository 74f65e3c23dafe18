"""The real CuPy on a CUDA without a GPU: fake_cuda.c in the place of the driver and the runtime.

CuPy's wheel has CUDA's runtime inside. Each of its functions is overwritten, in memory, with a jump
to the function of that name in fake_cuda.c. For Linux on x86-64, with gcc and binutils. What CuPy
does with our calls is CuPy's own; kernels are what is registered for their names.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

ORDERS = {"now": 0, "late": 1, "others first": 2, "random 1": 3, "random 2": 4}
"""When queued work runs: at once; when it must; others' work first when any must; at random."""

_SOURCE = Path(__file__).parent / "fake_cuda.c"
_COMPILE = ("gcc", "-O2", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-lpthread")
_JUMP = b"\x49\xbb%b\x41\xff\xe3"
"""mov r11, address; jmp r11"""
_PAGE = 4096
_MOST = 8
"""Devices that the fake may have."""

RUN = ctypes.CFUNCTYPE(
    ctypes.c_char_p,
    *(ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_size_t),
    *(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
)
"""What runs a kernel: name, blocks, threads, shared bytes, values and their sizes, order."""
_LOAD = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_char_p)


def missing() -> str:
    """Return why the fake cannot run here, or ""."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "not Linux on x86-64"
    if lacking := [tool for tool in ("gcc", "nm") if not shutil.which(tool)]:
        return f"{lacking[0]} is not installed"
    return "" if find_spec("cupy") else "CuPy is not installed: pip install '.[cuda13x]'"


def is_installed() -> bool:
    """Return whether CuPy, if it is imported, runs on the fake."""
    return bool(_installed)


def made_once(path: Path, make: Callable[[Path], object]) -> Path:
    """Return `path`, which `make` writes if it is not there yet: whole, though processes share it.

    Another process may make the same at the same time: what `make` reads must be its own, too.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            fresh = Path(folder, path.name)
            make(fresh)
            fresh.rename(path)
    return path


@cache
def install() -> ctypes.CDLL:
    """Put the fake in CUDA's place, before CuPy is imported; return its library."""
    assert "cupy" not in sys.modules, "CuPy was imported before"
    # CUB's kernels are compiled into CuPy: nobody can stand in; all others come as PTX
    os.environ |= {"CUPY_ACCELERATORS": "", "CUPY_COMPILE_WITH_PTX": "1"}
    key = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    built = Path(tempfile.gettempdir(), f"mmc-gpu-{os.getuid()}-{key}", "libcuda.so.1")
    made_once(
        built, lambda fresh: subprocess.run([*_COMPILE, str(_SOURCE), "-o", str(fresh)], check=True)
    )
    library = ctypes.CDLL(str(built), mode=ctypes.RTLD_GLOBAL)
    size, pointer, text = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p
    arguments = {
        "fake_machine": [ctypes.c_int, size, ctypes.c_int, ctypes.c_int, ctypes.c_int, size],
        "fake_kernel": [text, pointer, pointer, size, ctypes.c_uint, size],
        "fake_loader": [pointer],
        "fake_take": [size, ctypes.c_int],
        "fake_give": [pointer, pointer],
        "fake_logged": [ctypes.POINTER(text)],
    }
    for name, kinds in arguments.items():
        getattr(library, name).argtypes = kinds
    library.fake_take.restype = pointer
    for name in ("fake_used", "fake_logged", "fake_faults", "fake_calls"):
        getattr(library, name).restype = size
    library.fake_machine(_MOST, 1 << 30, 0, 0, 232448, 1)
    for path in _with_a_runtime():
        _divert(path, library)
    _installed.append("cupy")
    return library


_installed: list[str] = []


def _with_a_runtime() -> list[Path]:
    """Return the libraries of CuPy's that have CUDA's runtime inside and are used."""
    found = find_spec("cupy")
    assert found
    assert found.origin
    root = Path(found.origin).parents[1]
    return [*root.glob("cupy_backends/cuda/api/runtime*.so"), *root.glob("cupy/cuda/cub*.so")]


def _divert(path: Path, library: ctypes.CDLL) -> None:
    """Let every function of CUDA's runtime in a library jump to the fake's."""
    ctypes.CDLL(str(path))
    maps = Path("/proc/self/maps").read_text().splitlines()
    base = min(int(line.split("-")[0], 16) for line in maps if line.endswith(str(path.resolve())))
    listed = subprocess.run(["nm", str(path)], capture_output=True, text=True, check=True).stdout
    libc = ctypes.CDLL(None)
    for place, name in re.findall(r"^(\w+) [tT] (cuda[A-Z]\w*)$", listed, re.M):
        ours = getattr(library, re.sub(r"_pt(sz|ds)$", "", name), library.fake_missing)
        address = ctypes.cast(ours, ctypes.c_void_p).value or 0
        at = base + int(place, 16)
        page = ctypes.c_void_p(at // _PAGE * _PAGE)
        assert libc.mprotect(page, ctypes.c_size_t(2 * _PAGE), 7) == 0
        code = _JUMP % address.to_bytes(8, "little")
        ctypes.memmove(at, code, len(code))


class Machine:
    """GPUs that are none; one at a time. See `fake_cuda.c` for what is checked.

    Args:
        devices: how many.
        memory: bytes of each.
        order: one of ORDERS.
        threads: the order of a block's threads, for the kernels that are registered.
        shared: bytes of shared memory that a block may have.
        pooled: whether memory comes from CuPy's pool; else each array is an allocation of its own,
            with a guard behind it, and is overwritten when its stream could use it anew.
    """

    def __init__(
        self,
        devices: int = 1,
        memory: int = 1 << 30,
        order: str = "now",
        threads: int = 0,
        shared: int = 232448,
        pooled: bool = True,
    ) -> None:
        self.library = install()
        self._cupy = cupy = _cupy()
        self.library.fake_machine(_MOST, memory, 0, 0, shared, 1)
        with cupy.cuda.Device(_MOST - 1), cupy.cuda.Stream.null:  # CuPy counts them once a thread
            cupy.cuda.function.Module().load(b"")
        cupy.get_default_memory_pool().free_all_blocks()
        cupy.get_default_pinned_memory_pool().free_all_blocks()
        number = ORDERS[order]
        self.library.fake_machine(devices, memory, number, threads, shared, 1)
        self._faults = self.library.fake_faults()
        cupy.cuda.set_allocator(cupy.get_default_memory_pool().malloc)
        if not pooled:
            allocator = cupy.cuda.memory.PythonFunctionAllocator(self._take, self._give)
            cupy.cuda.set_allocator(allocator.malloc)
            self._streams: dict[int, int] = {}
        self.log(False)

    def _take(self, size: int, device: int) -> int:
        start = self.library.fake_take(size, device)
        if not start:
            raise MemoryError(f"the fake device has no {size} bytes left")
        self._streams[start] = self._cupy.cuda.get_current_stream(device).ptr
        return int(start)

    def _give(self, start: int, device: int) -> None:
        self.library.fake_give(start, self._streams.pop(start, 0))

    def used(self, device: int = 0) -> int:
        """Return the bytes that are allocated on a device."""
        return int(self.library.fake_used(device))

    def log(self, on: bool = True) -> None:
        """Begin a new log of what is enqueued, or end it."""
        self.library.fake_log(on)

    def logged(self, when: str = "q") -> list[tuple[str, int, int, int, int]]:
        """Return what was enqueued ("q") or run ("r"), in order.

        Returns:
            Name, stream, its device, its priority, blocks (or bytes) for each.
        """
        text = ctypes.c_char_p()
        size = self.library.fake_logged(ctypes.byref(text))
        lines = ctypes.string_at(text, size).decode().splitlines()
        found = []
        for line in lines:
            first, *rest = line.split()
            if first == when:
                stream, device, priority, blocks = map(int, rest[-5:-1])
                found.append((" ".join(rest[:-5]), stream, device, priority, blocks))
        return found

    def check(self) -> None:
        """Run what is left, and raise AssertionError where CUDA was misused."""
        assert self.library.fake_faults() == self._faults, "CUDA was misused: see standard error"


def register(name: str, run: Any, sizes: Sequence[int], most: int, module: int = 0) -> None:
    """Let this function run the kernel of a name.

    Args:
        name: the kernel's.
        run: a C function as `RUN`.
        sizes: bytes of each of its parameters.
        most: threads that a block may have.
        module: the number of the one that has it; 0 for any.
    """
    _kept[name, module] = run
    given = (ctypes.c_size_t * len(sizes))(*sizes)
    place = ctypes.cast(run, ctypes.c_void_p)
    install().fake_kernel(name.encode(), place, given, len(sizes), most, module)


def run_others(run: "Callable[..., None] | None") -> None:
    """Let a function of Python run all kernels that are not registered, at once; None: nobody."""
    _kept["others", 0] = RUN(run) if run else None
    install().fake_others(_kept["others", 0])


def run_modules(translate: Callable[[str], list[tuple[str, Any, Sequence[int], int]]]) -> None:
    """Let CuPy's own kernels run: of a module in PTX this gives what `register` takes of each."""
    loading = Lock()  # a thread for each GPU loads the same module

    def load(image: bytes) -> int:
        names = [name.decode() for name in re.findall(rb"\.visible \.entry (\w+)", image)]
        if not names or (names[0], 0) in _kept:
            return 0
        with loading:
            number = 1 + max(module for _, module in _kept)
            for kernel in translate(image.decode()):
                register(*kernel, number)
        return number

    _kept["load", 0] = _LOAD(load)
    install().fake_loader(_kept["load", 0])


@cache
def _cupy() -> Any:
    import cupy

    return cupy


_kept: dict[tuple[str, int], Any] = {}
"""What C points to has to live."""
