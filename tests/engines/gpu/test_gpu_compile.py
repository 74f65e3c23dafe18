"""Every kernel compiles for real GPUs, with CuPy's options, within the budgets beside the kernels.

NVRTC needs no GPU and no driver; `pip install 'mmc-gpu[kernels]'` brings it, or else nvcc is used.
"""

import re

import pytest
from nvrtc import FAMILIES, compiled
from ptx import parameters

from mmc_gpu.engines.gpu import kernels as gpu_kernels
from mmc_gpu.engines.gpu.library import kernel_source
from mmc_gpu.engines.lanes import LANES
from mmc_gpu.engines.protocol import GROUP
from mmc_gpu.rounds.method import Method

EXPECTED = re.compile(
    r"^[\s\0]*$|^ptxas info|bytes stack frame|^ptxas\s+\.|Architectures prior to .* deprecated"
)
BUDGET = re.compile(
    r"Budget: (\d+) registers(?: \((\d+) before 8\.0\))?, (\d+) bytes of shared memory"
)
FUNCTION = re.compile(r"(?:__device__ void|__launch_bounds__\([^)]*\))\s+(\w+)\(")
USED = re.compile(
    r"Function properties for (\w+)\n"
    r".*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n"
    r".*?Used (\d+) registers(?:.*? (\d+) bytes smem)?"
)


def budgets(made, capability):
    """Return the registers and bytes of shared memory that a source allows its kernels."""
    allowed = {}
    for budget in BUDGET.finditer(made.source):
        prefix = FUNCTION.search(made.source, budget.end()).group(1)
        for name in parameters(made.ptx):
            if name.startswith(prefix):
                registers, before_80, shared = budget.groups()
                older = capability < 80 and before_80
                allowed[name] = int(before_80 if older else registers), int(shared)
    return allowed


@pytest.mark.parametrize(
    ("cuda", "capability"), [(13, 75), (13, 80), (13, 90), (13, 100), (12, 70), (12, 90)]
)
def test_kernels_compile_without_a_warning_and_within_budget(cuda, capability):
    names = set()
    for made in compiled(cuda, capability):
        assert len(made.cubin) > 1000
        said = [line for line in made.log.splitlines() if not EXPECTED.search(line)]
        assert not said, made.log
        allowed = budgets(made, capability)
        used = {name: [int(n or 0) for n in numbers] for name, *numbers in USED.findall(made.log)}
        assert used.keys() == allowed.keys() == parameters(made.ptx).keys()
        for name, (stack, stores, loads, registers, shared) in used.items():
            spills = stack, stores, loads
            assert spills == (0, 0, 0) or capability < 75, f"{name} spills registers"
            assert registers <= allowed[name][0], name
            assert shared <= allowed[name][1], name
        names |= used.keys()
    sources = "".join(map(kernel_source, FAMILIES))
    assert len(names) == sources.count('extern "C"')


@pytest.mark.parametrize("cuda", [12, 13])
def test_four_blocks_of_5000_stocks_fit_a_processor_of_9_0(cuda):
    log = "".join(made.log for made in compiled(cuda, 90))
    used = {name: numbers for name, *numbers in USED.findall(log)}
    registers, static = map(int, used["rank_buckets_f32"][-2:])
    dynamic = 5_000 * (4 + 3) + 4 * (gpu_kernels.RANK_THREADS * 9 + 1)
    assert 4 * gpu_kernels.RANK_THREADS * registers <= 65_536
    assert 4 * (dynamic + static + 1_024) <= 228 << 10  # 1 KB of a block is the system's


@pytest.mark.parametrize("capability", [75, 90])
def test_blends_are_neither_fused_nor_flushed(capability):
    ptx = "".join(made.ptx for made in compiled(13, capability))
    kernels = [one for one in ptx.split(".entry ") if re.match("(sum|add)_", one)]
    assert len(kernels) == kernel_source("sums").count('extern "C"')
    code = "".join(kernels)
    assert len(re.findall(r"mul\.rn\.f64", code)) >= 3 * gpu_kernels._DRAWS
    assert len(re.findall(r"add\.rn\.f64", code)) >= 3 * gpu_kernels._DRAWS
    assert not re.findall(r"fma\S*f64|cvt\S*\.ftz", code)


def test_numbers_that_python_and_kernels_share_are_equal():
    sources = "".join(kernel_source(family) for family in FAMILIES)
    for name, value in (
        ("GROUP", GROUP),
        ("DIGITS", gpu_kernels._DIGITS),
        ("DRAWS", gpu_kernels._DRAWS),
        ("ROWS", gpu_kernels._ROWS),
        ("PROBES", gpu_kernels._PROBES),
        ("COLUMNS", gpu_kernels._COLUMNS),
        ("LANES", LANES),
        ("TILE", gpu_kernels._TILE),
    ):
        assert f"constexpr int {name} = {value};" in sources


def test_the_blends_of_a_round_leave_no_draw_of_a_thread_over():
    assert (Method().draws + 1) % gpu_kernels._DRAWS == 0


def test_what_the_compiler_says_is_understood():
    log = (
        "ptxas info : Function properties for moments\n 8 bytes stack frame, 4 bytes spill stores,"
    )
    log += " 2 bytes spill loads\nptxas info : Used 99 registers, used 1 barriers, 16 bytes smem\n"
    assert USED.findall(log) == [("moments", "8", "4", "2", "99", "16")]
    assert all(EXPECTED.search(line) for line in log.splitlines())
    assert not EXPECTED.search("ptxas warning : Registers are spilled to local memory")
    assert not EXPECTED.search('kernel.cu(3): warning #177-D: variable "x" was declared')
    buckets = {capability: budgets(compiled(13, 90)[0], capability) for capability in (75, 80)}
    assert buckets[75]["rank_buckets_f64"] == (64, 640)
    assert buckets[80]["rank_buckets_f64"] == (40, 640)
