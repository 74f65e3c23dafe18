"""What the engine calls is in the real CuPy, which can be imported without a GPU."""

import inspect
import re
from contextlib import suppress
from operator import attrgetter
from pathlib import Path

import cupy_standin
import pytest

from mmc_gpu.engines import gpu, load_engine
from mmc_gpu.errors import EngineUnavailable

cupy = pytest.importorskip("cupy", reason="pip install '.[cuda13x]' brings CuPy")

ROOT = Path(__file__).parents[3]
SOURCES = [
    *(
        path
        for path in sorted(Path(gpu.__file__).parent.glob("*.py"))
        if "cupy" in path.read_text()
    ),
    *(ROOT / f"benchmarks/large/{name}.py" for name in ("gpu", "gpu_timing")),
]
_USE = re.compile(r"cupy((?:\.[a-zA-Z_]\w*)+)|\b(?<!\.)runtime((?:\.\w+)+)")

METHODS = {
    "cuda.Device": "compute_capability id mem_info synchronize",
    "cuda.Event": "done record synchronize",
    "cuda.MemoryPointer": "copy_from_host_async(mem, size) copy_from_device_async(src, size)"
    " memset_async(value, size) ptr",
    "cuda.MemoryPool": "free_all_blocks get_limit total_bytes used_bytes",
    "cuda.Stream": "record(event) wait_event(event) synchronize",
    "cuda.runtime.PointerAttributes": "device type",
    "RawKernel": "local_size_bytes max_dynamic_shared_size_bytes num_regs shared_size_bytes",
    "ndarray": "data device dtype flags get(out, blocking) itemsize nbytes shape size sum T"
    " take(indices, axis)",
}
"""What is used of objects, and the arguments that are given."""
ARGUMENTS = {
    "cuda.Stream.__init__": ("non_blocking", "priority"),
    "cuda.Event.__init__": ("disable_timing",),
    "cuda.get_current_stream": ("device_id",),
    "cuda.get_elapsed_time": ("start_event", "end_event"),
    "cuda.runtime.deviceGetAttribute": ("attrib", "device"),
    "cuda.set_allocator": ("allocator",),
    "RawKernel.__call__": ("grid", "block", "args", "shared_mem"),
}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_name_is_cupys(source):
    found = _USE.findall(source.read_text("utf-8"))
    used = {name or f".cuda.runtime{of_runtime}" for name, of_runtime in found}
    assert used
    for name in used:
        assert attrgetter(name[1:])(cupy) is not None, name


@pytest.mark.parametrize("kind", METHODS)
def test_every_method_is_cupys_and_takes_these_arguments(kind):
    real = attrgetter(kind)(cupy)
    for name, arguments in re.findall(r"(\w+)(?:\(([^)]*)\))?", METHODS[kind]):
        documented = getattr(real, name).__doc__ or ""
        for argument in filter(None, arguments.split(", ")):
            assert re.search(rf"\b{argument}\b", documented), (name, argument)


@pytest.mark.parametrize("function", ARGUMENTS)
def test_every_argument_is_cupys(function):
    real = attrgetter(function)(cupy)
    documented = real.__doc__ or ""
    with suppress(ValueError):  # compiled code has it in its text
        documented += str(inspect.signature(real))
    for argument in ARGUMENTS[function]:
        assert re.search(rf"\b{argument}\b", documented), argument


def test_the_stand_in_has_no_more_than_cupy_has(tmp_path):
    standin = cupy_standin.make_cupy(cupy_standin.Machine(tmp_path))
    own = {"queue", "queue_"}
    for kind in ("cuda.Device", "cuda.Event", "cuda.Stream", "RawKernel", "ndarray"):
        theirs = attrgetter(kind)(standin)
        names = {name for name in vars(theirs) if not name.startswith("_")} - own
        assert names <= set(dir(attrgetter(kind)(cupy))), kind
    runtime = vars(standin.cuda.runtime)
    assert set(runtime) <= set(dir(cupy.cuda.runtime))
    assert runtime["memoryTypeHost"] == cupy.cuda.runtime.memoryTypeHost
    for name, value in runtime.items():
        if name.startswith("cudaDevAttr"):
            assert value == getattr(cupy.cuda.runtime, name)


def test_without_a_gpu_the_engine_says_so_in_a_sentence():
    if cupy.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(EngineUnavailable, match=r"driver|GPU") as caught:
        load_engine("gpu")
    assert "\n" not in str(caught.value)
