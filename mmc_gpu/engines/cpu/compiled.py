"""How kernels become machine code: numba translates them once, llvmlite runs what is kept.

A process that finds its kernels on disk never imports numba, which takes 0.5 s (0.25 s to import,
0.3 s to load one function from a cache of its own): llvmlite runs the code after 0.05 s.

So a kernel must be a function that needs nothing of numba when it runs. It takes arrays and whole
numbers, and returns nothing. It allocates nothing: its caller gives it the space that it needs. It
assigns no array to a slice: for the error of a shape that does not fit, numba would compile seconds
of text formatting.

Division follows NumPy (`error_model`): a branch for zero divisors would keep loops from being
vectorised. Without fastmath LLVM neither reorders nor fuses: `a * b + c` is rounded twice, as the
canonical blend needs. Only sums that are exact in any order may be reordered.
"""

import ctypes
import logging
import os
from collections.abc import Callable
from functools import cache
from importlib import import_module
from threading import Lock
from types import FunctionType
from typing import Any, TypeVar

import numpy as np

from mmc_gpu.engines.cpu.cache import keep_code, kept_code
from mmc_gpu.engines.failures import BROKEN, in_short
from mmc_gpu.errors import EngineUnavailable

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "_nrt": False,  # nothing is allocated
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}

_PARTS: dict[Any, dict[str, Any]] = {}  # the functions that kernels call, and the options of each

_PLAIN = os.environ.get("NUMBA_DISABLE_JIT", "0") != "0"  # whether kernels run as plain Python

_one_at_a_time = Lock()


def part(function: _Function) -> _Function:
    """Let kernels call a function: it is compiled into each of them."""
    _PARTS[function] = {}
    return function


def summed_in_any_order(function: _Function) -> _Function:
    """Make a `part` whose sums LLVM may reorder and fuse: whole numbers, below 2**53 throughout.

    Products and sums of such numbers are not rounded, so that no order can move a bit.
    """
    _PARTS[function] = {"fastmath": {"reassoc", "contract"}}
    return function


def kernel(
    *types: str, space: Callable[..., tuple[Any, ...]] = lambda *_: ()
) -> Callable[[Any], "Kernel"]:
    """Return a decorator that makes a function a kernel, whose arguments have these types.

    Args:
        types: numba's names: "int64", or arrays in C order as "float64[:, ::1]".
        space: makes the last arguments from the others.
    """
    return lambda function: Kernel(function, types, space)


class Kernel:
    """A function that is called as machine code, which is compiled once for each machine."""

    def __init__(self, function: Any, types: tuple[str, ...], space: Any) -> None:
        self.function, self.types, self._space = function, types, space
        self.found: bool | None = None  # whether its code was on disk; None before the first call
        self._kinds = [_kind(name) for name in types]
        self._run: Callable[..., int] | None = None

    def __call__(self, *arguments: Any) -> None:
        """Run it, without the GIL; another kernel that runs it gives its space, too.

        Raises:
            TypeError: an argument is of another type.
            EngineUnavailable: it has to be compiled, and numba cannot be imported.
        """
        if len(arguments) < len(self.types):
            arguments += self._space(*arguments)
        if _PLAIN:
            self.function(*arguments)
            return
        flat = []
        for argument, kind in zip(arguments, self._kinds, strict=True):
            if kind is None:
                flat.append(argument)
                continue
            if (argument.dtype, argument.ndim) != kind or not argument.flags.c_contiguous:
                raise TypeError(f"{self.function.__name__} takes {self.types}, not {argument!r}")
            flat.append(argument.ctypes.data)
            flat += argument.shape
        if (self._run or self._loaded())(*flat):
            raise RuntimeError(f"{self.function.__name__} has failed")

    def _loaded(self) -> Callable[..., int]:
        with _one_at_a_time:
            if self._run is None:
                name = f"{self.function.__module__}.{self.function.__name__}"
                code = kept_code(name, self.function.__code__.co_filename, _processor())
                self.found = code is not None
                if code is None:
                    code = self.compiled()
                    keep_code(name, self.function.__code__.co_filename, _processor(), code)
                words = sum(1 if kind is None else 1 + kind[1] for kind in self._kinds)
                self._run = _callable(code, words)
        return self._run

    def compiled(self, assembly: bool = False) -> Any:
        """Return the machine code, an object file with one entry; or its assembly, as text."""
        import_compiler()
        _tell_once()
        import llvmlite.binding as llvm

        translated = _translated(self.function, f"void({', '.join(self.types)})")
        (signature,) = translated.signatures
        name = translated.overloads[signature].fndesc.llvm_func_name
        text = f"{translated.inspect_llvm(signature)}\n{_entry(name, self._kinds)}"
        module, machine = llvm.parse_assembly(text), _machine()
        return machine.emit_assembly(module) if assembly else machine.emit_object(module)


def import_compiler(library: str = "numba") -> None:
    """Import what compiles the kernels; or "llvmlite.binding", which runs them where they are kept.

    Raises:
        EngineUnavailable: it cannot be imported; the message says what to install.
    """
    try:
        import_module(library)
    except BROKEN as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "numba":
            raise EngineUnavailable("the cpu engine needs numba: pip install numba") from error
        raise EngineUnavailable(
            f"numba cannot be imported ({in_short(error)}):"
            " pip install --upgrade --force-reinstall numba"
        ) from error


_ENTRY = "mmc_gpu_kernel"


def _entry(name: str, kinds: list[tuple[Any, int] | None]) -> str:
    """Return LLVM's text of a function that calls numba's with an array's place and shape alone.

    numba takes an array as its owner, its parent, the number and the bytes of its values, its
    place, its shape and its strides.
    """
    takes, passes, lines = [], ["ptr %none", "ptr %none"], ["%none = alloca i64"]
    for at, kind in enumerate(kinds):
        if kind is None:
            takes.append(f"i64 %a{at}")
            passes.append(takes[-1])
            continue
        lengths = [f"i64 %a{at}.{axis}" for axis in range(kind[1])]
        takes += [f"ptr %a{at}", *lengths]
        strides = [f"i64 {kind[0].itemsize}"]
        for axis in reversed(range(kind[1])):
            lines.append(f"%s{at}.{axis} = mul {strides[0]}, %a{at}.{axis}")
            strides.insert(0, f"i64 %s{at}.{axis}")
        lines.append(f"%n{at} = udiv {strides[0]}, {kind[0].itemsize}")
        passes += ["ptr null", "ptr null", f"i64 %n{at}", f"i64 {kind[0].itemsize}", f"ptr %a{at}"]
        passes += [*lengths, *strides[1:]]
    lines.append(f'%status = call i32 @"{name}"({", ".join(passes)})')
    body = "\n".join([*lines, "ret i32 %status"])
    return f"define i32 @{_ENTRY}({', '.join(takes)}) {{\n{body}\n}}\n"


def _kind(name: str) -> tuple[Any, int] | None:
    """Return the dtype and the dimensions of an array's type; None for a number's."""
    dtype, _, dimensions = name.partition("[")
    return (np.dtype(dtype), dimensions.count(",") + 1) if dimensions else None


def _translated(function: FunctionType, *signature: str) -> Any:
    """Return numba's function, all parts that it calls among its globals."""
    from numba import njit

    known = {
        name: value.function if isinstance(value, Kernel) else value
        for name, value in function.__globals__.items()
        if name in function.__code__.co_names and isinstance(value, FunctionType | Kernel)
        if isinstance(value, Kernel) or value in _PARTS
    }
    called = {name: _translated(value) for name, value in known.items()}
    own = FunctionType(function.__code__, function.__globals__ | called, function.__name__)
    return njit(*signature, **_OPTIONS, **_PARTS.get(function, {}))(own)


def _machine() -> Any:
    """Return llvmlite's description of this machine."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        *_processor()[:2], opt=3, codemodel="jitdefault", jit=True
    )


@cache
def _processor() -> tuple[str, ...]:
    """Return what code depends on: the processor, what it can do, and the compiler."""
    from importlib.metadata import version

    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features().flatten()
    return llvm.get_host_cpu_name(), features, version("numba"), version("llvmlite")


_running: list[Any] = []  # what owns the code in memory


def _callable(code: bytes, words: int) -> Callable[..., int]:
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _running.append(engine)
    takes = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_int64] * words)
    return takes(engine.get_function_address(_ENTRY))


@cache
def _tell_once() -> None:
    """Log why the first call of a machine takes so long; the command line shows it."""
    logging.getLogger("mmc_gpu").info("compiling once for this machine, about 5 s")
