"""PTX, as NVRTC writes it, translated to C++ that runs on the CPU: each instruction as it says.

What the compiler has fused, flushed, reordered or unrolled is in the PTX, and so in what runs here.
Blocks' threads are fibers (fibers.h), instructions are ptx.h's. An instruction that is not known is
an error. Only ptxas comes after the PTX: registers, schedules, and nothing that rounds, since every
product and sum of float64 that matters says `.rn`.
"""

import ctypes
import hashlib
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.fake_cuda import made_once

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")
FLAGS = [
    *("-std=c++17", "-O1", "-ffp-contract=off", "-fwrapv", "-fno-strict-aliasing"),
    *("-fno-extern-tls-init", "-w", "-shared", "-fPIC", f"-I{HERE}"),
]
# the checks as calls, and none of the stack, which PTX has not: 4 s for rank.cu, not 215
SANITIZE = [
    *("-fsanitize=address", "--param=asan-stack=0"),
    "--param=asan-instrumentation-with-call-threshold=0",
]

ORDERS = {"forward": 0, "backward": 1, "warps": 2, "warps backward": 3, "shuffled": 5}
"""Orders of a block's threads; 4 and above are shuffles."""

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
extern "C" int shim_barriers() { return %d; }
"""
_SPECIAL = {
    "%tid.x": "u32(shim::current)",
    "%ntid.x": "u32(blockDim.x)",
    "%ctaid.x": "u32(blockIdx.x)",
    "%nctaid.x": "u32(gridDim.x)",
    "shared_memory": "shim::STATIC",
}
_ENTRY = re.compile(r"\.visible \.entry (\w+)\((.*?)\)(.*?)\n\{(.*?)\n\}\n", re.S)
_SHARED = re.compile(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d+)\];")
_BOUND = re.compile(r"\.maxntid (\d+)")
_PARAMETER = re.compile(r"\.param (?:\.align \d+ )?\.(\w+) (\w+)(?:\[(\d+)\])?")


def parameters(ptx: str) -> dict[str, tuple[list[int], int]]:
    """Return of each kernel the sizes of its parameters, and the most threads of a block."""
    return {
        name: ([int(size or int(kind[1:]) // 8) for kind, _, size in _PARAMETER.findall(given)],
               int(found[1]) if (found := _BOUND.search(bounds)) else 1024)
        for name, given, bounds, _ in _ENTRY.findall(ptx)
    }  # fmt: skip


def translate(ptx: str) -> str:
    """Return PTX as C++."""
    ptx = re.sub(r"//.*", "", ptx) + "\n"
    written, names, barriers, place = ['#include "ptx.h"'], [], 0, 0
    for align, name, size in _SHARED.findall(ptx):  # none of another kernel matters: one runs
        place = -(-place // int(align)) * int(align)
        written.append(f"constexpr u64 {name} = {place};")
        place += int(size)
    written.append(f'static_assert({place} <= shim::STATIC, "too much shared memory");')
    for name, given, _, body in _ENTRY.findall(ptx):
        statements = []
        for text in re.split(r";|(?<=:)\s*\n", _SHARED.sub("", body)):
            text = " ".join(text.split())
            while text.startswith(("{", "}")) and not text.startswith("{%"):
                statements.append(text[0])  # a scope of registers
                text = text[1:].strip()
            if text.endswith(":"):
                statements.append(text.replace("$", "L_") + ";")
            elif text and not text.startswith((".pragma", ".loc")):
                barriers += bool(re.search(r"\bbar\.(sync|red)", text))
                statements.append(_statement(text, barriers))
        arguments = ", ".join(
            f"{f'Bytes<{size}>' if size else kind} {parameter}"
            for kind, parameter, size in _PARAMETER.findall(given)
        )
        code = "\n".join(statements)
        written.append(f'extern "C" void {name}({arguments}) {{\n{code}\n}}')
        names.append(name)
    kernels = ", ".join(f"SHIM_KERNEL({name})" for name in names)
    return "\n".join(written) + _TAIL % (kernels, barriers)


def _statement(text: str, barrier: int) -> str:
    if text.startswith(".reg"):
        _, kind, names = text.split(None, 2)
        kind = kind[1:] if kind == ".pred" or kind[1] == "f" else "u" + kind[2:]
        declared = []
        for name in names.replace(" ", "").split(","):
            many = re.fullmatch(r"%(\w+)<(\d+)>", name)
            declared += [f"v_{many[1]}{i}" for i in range(int(many[2]))] if many else [_value(name)]
        return f"{kind} {', '.join(declared)};"
    guard = re.match(r"@(!?)(%\w+) (.*)", text)
    condition = f"if ({guard[1]}{_value(guard[2])}) " if guard else ""
    operation, _, rest = (guard[3] if guard else text).partition(" ")
    operands = [one.strip() for one in re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*", rest)]
    return f"{condition}{{ {_instruction(operation.split('.'), operands, barrier)} }}"


def _value(operand: str, kind: str = "") -> str:
    """Return an operand as C++; with a kind, its bits as a value of that kind."""
    if operand in _SPECIAL:
        found = _SPECIAL[operand]
        return f"{kind}({found})" if kind else found
    if operand.startswith("%"):
        return f"as<{kind}>(v_{operand[1:]})" if kind else f"v_{operand[1:]}"
    if found := re.fullmatch(r"0([fd])([0-9A-Fa-f]+)", operand):
        single = found[1] == "f"
        return f"as<{'f32' if single else 'f64'}>({'u32' if single else 'u64'}(0x{found[2]}ull))"
    number = f"{int(operand) % 2**64}ull" if re.fullmatch(r"-?\d+", operand) else operand
    return f"{kind}({number})" if kind else number


def _place(operand: str, words: list[str]) -> str:
    base, sign, offset = re.fullmatch(r"\[(.+?)(?:([+-]+)(\d+))?\]", operand).groups()
    place = f"u64({_value(base)})" + (f"{'-' if '-' in sign else '+'}{offset}" if offset else "")
    return f"generic({place})" if "shared" in words else place


_RELATIONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_LOGIC = {"and": "{} & {}", "or": "{} | {}", "xor": "{} ^ {}", "not": "~{}"}
_ARITHMETIC = {"add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}",
               "rem": "{} % {}", "min": "least({}, {})", "max": "greatest({}, {})",
               "neg": "-{}", "abs": "{0} < 0 ? -{0} : {0}", "sqrt": "std::sqrt({})",
               "fma": "std::fma({}, {}, {})"}  # fmt: skip


def _instruction(words: list[str], operands: list[str], barrier: int) -> str:
    """Return one instruction as C++."""
    name, kind, rest = words[0], words[-1], operands[1:]
    to = operands[0] if operands else ""

    def put(code: str) -> str:
        return f"put({_value(to)}, {code});"

    match name:
        case "bra":
            return f"goto {to.replace('$', 'L_')};"
        case "ret":
            return "return;"
        case "bar" if words[1] == "warp":
            return "shim::exchange(~0u, 0);"
        case "bar" if words[1] == "red":
            return put(f"bool(shim::barrier({barrier - 1}, {_value(rest[1])}))")
        case "bar":
            return f"shim::barrier({barrier - 1}, 0);"
        case "ld" if words[1] == "param":
            parameter, _, offset = rest[0][1:-1].partition("+")
            return put(f"load<{kind}>(u64(&{parameter}) + {offset or 0})")
        case "ld" if "v2" in words:
            low, high = to[1:-1].replace(" ", "").split(",")
            size = int(kind[1:]) // 8
            pair = ((low, "place"), (high, f"place + {size}"))
            loads = (f"put({_value(half)}, load<{kind}>({at}));" for half, at in pair)
            return f"u64 place = {_place(rest[0], words)}; {' '.join(loads)}"
        case "ld":
            return put(f"load<{kind}>({_place(rest[0], words)})")
        case "st":
            return f"store<{kind}>({_place(to, words)}, {_value(rest[0], kind)});"
        case "atom":
            assert words[2:] == ["add", "u32"], words
            return put(f"added({_place(rest[0], words)}, {_value(rest[1], 'u32')})")
        case "mov" if to.startswith("{"):
            low, high = to[1:-1].replace(" ", "").split(",")
            bits = _value(rest[0], "u64")
            return f"put({_value(low)}, u32({bits})); put({_value(high)}, u32({bits} >> 32));"
        case "mov" if rest[0].startswith("{"):
            low, high = (_value(one.strip(), "u32") for one in rest[0][1:-1].split(","))
            return put(f"u64({low}) | u64({high}) << 32")
        case "cvta" if words[1] == "shared":
            return put(f"generic({_value(rest[0], 'u64')})")
        case "mov" | "cvta":
            return put(_value(rest[0], "" if kind == "pred" else kind))
        case "setp":
            relation = words[1]
            left, right = (_value(one, kind) for one in rest)
            if kind[0] == "f" and relation.endswith("u"):  # or not ordered
                opposite = {"leu": ">", "ltu": ">=", "geu": "<", "gtu": "<=", "neu": "=="}[relation]
                return put(f"!({left} {opposite} {right})")
            return put(f"{left} {_RELATIONS[relation]} {right}")
        case "selp":
            return put(f"{_value(rest[2])} ? {_value(rest[0], kind)} : {_value(rest[1], kind)}")
        case "shl" | "shr":
            way = "left" if name == "shl" else "right"
            return put(f"shifted_{way}<{kind}>({_value(rest[0], kind)}, {_value(rest[1], 'u32')})")
        case "popc":
            return put(f"u32(__builtin_popcount({_value(rest[0], 'u32')}))")
        case "bfi":
            widths = ("u64", "u64", "u32", "u32")
            given = [_value(one, width) for one, width in zip(rest, widths, strict=True)]
            return put(f"inserted({', '.join(given)})")
        case "shfl":
            to = to.split("|")[0]
            given = ", ".join(_value(one, "u32") for one in rest[:3])
            return put(f"shuffled_{words[2]}({given})")
        case "match":
            return put(f"matching({_value(rest[0], 'u32')})")
        case "cvt":
            return put(_converted(words, rest[0]))
        case "mul" | "mad" if words[1] in ("wide", "hi"):
            wide = f"{kind[0]}{2 * int(kind[1:])}"
            product = f"{wide}({_value(rest[0], kind)}) * {wide}({_value(rest[1], kind)})"
            if words[1] == "hi":
                return put(f"{kind}(({product}) >> {kind[1:]})")
            return put(product + (f" + {_value(rest[2], wide)}" if name == "mad" else ""))
        case "mad":
            a, b, c = (_value(one, f"u{kind[1:]}") for one in rest)
            return put(f"u{kind[1:]}({a} * {b} + {c})")
    if name in _LOGIC and kind == "pred":
        code = _LOGIC[name].replace("~", "!").format(*map(_value, rest))
        return put(f"bool({code})")
    if name in _LOGIC:
        return put(f"u{kind[1:]}({_LOGIC[name].format(*(_value(one, kind) for one in rest))})")
    return put(_arithmetic(name, kind, rest, "ftz" in words))


def _arithmetic(name: str, kind: str, operands: list[str], ftz: bool) -> str:
    wraps = name in ("add", "sub", "mul") and kind[0] == "s"
    used = f"u{kind[1:]}" if wraps else kind
    given = [_value(one, used) for one in operands]
    if ftz:
        return f"flushed({_ARITHMETIC[name].format(*(f'flushed({one})' for one in given))})"
    return f"{used}({_ARITHMETIC[name].format(*given)})"


def _converted(words: list[str], operand: str) -> str:
    to, source = words[-2:]
    value = _value(operand, source)
    if "ftz" in words and source == "f32":
        value = f"flushed({value})"
    if "rzi" in words:
        return f"truncated<{to}>({value})"
    assert to != "f32" or "rn" in words, words
    return f"{to}({value})"


def compiled(ptx: str, folder: Path, sanitize: bool = False) -> Path:
    """Return the library of PTX for the CPU; `folder` keeps what was compiled before."""
    code, flags = translate(ptx), [*FLAGS, *(SANITIZE if sanitize else ())]
    headers = "".join((HERE / name).read_text() for name in ("fibers.h", "ptx.h"))
    key = hashlib.sha256("\0".join([code, headers, *flags]).encode()).hexdigest()[:20]
    command = [str(COMPILER), *flags, "-x", "c++", "-"]  # no file that another process writes, too
    return made_once(
        folder / f"{key}.so",
        lambda fresh: subprocess.run(
            [*command, "-o", str(fresh)], input=code, text=True, check=True
        ),
    )


@cache
def build(ptx: str, folder: Path, sanitize: bool = False) -> ctypes.CDLL:
    """Return PTX as a library of this process."""
    loaded = ctypes.CDLL(str(compiled(ptx, folder, sanitize)))
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    loaded.shim_launch.restype = ctypes.c_char_p
    loaded.shim_launch.argtypes = [
        *(ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, size),
        *(pointer, pointer, size, ctypes.c_int),
    ]
    return loaded


def kernels(ptx: str, folder: Path) -> list[tuple[str, Any, list[int], int]]:
    """Return of each kernel what `fake_cuda.register` takes."""
    run = build(ptx, folder).shim_launch
    return [(name, run, sizes, most) for name, (sizes, most) in parameters(ptx).items()]


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
