"""The CPU engine against the NumPy engine, to the bit.

`NUMBA_DISABLE_JIT=1 pytest tests/engines/test_cpu_engine.py` runs the kernels as plain Python, at
sizes that it can bear: for coverage, and to find an error's line.

Long, because each kernel meets every kind of data.
"""

import hashlib
import multiprocessing
import os
import re
import struct
import subprocess
import sys
import tracemalloc
from itertools import product
from pathlib import Path
from threading import get_ident

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import mmc_gpu
from mmc_gpu.engines import GROUP, EngineUnavailable, load_engine

numba = pytest.importorskip("numba", reason="the cpu engine needs numba")
from llvmlite.binding import ObjectFileRef  # noqa: E402

from mmc_gpu.engines import threads as cpu_threads  # noqa: E402
from mmc_gpu.engines.cpu import blend, compiled, inner, moments, rank  # noqa: E402
from mmc_gpu.engines.cpu.cache import kept_code  # noqa: E402
from mmc_gpu.engines.cpu.compiled import Kernel, kernel  # noqa: E402
from mmc_gpu.engines.cpu.engine import CpuEngine  # noqa: E402
from mmc_gpu.engines.selection import Selection  # noqa: E402

COMPILED = not numba.config.DISABLE_JIT
compiled_only = pytest.mark.skipif(not COMPILED, reason="NUMBA_DISABLE_JIT is set")
if not COMPILED:  # compiled code is silent where it overflows to infinity on purpose
    pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")

TIES = ("first", "average")
REFERENCE = load_engine("numpy")

KINDS = {
    "uniform": lambda random, shape: random.random(shape),
    "two decimals": lambda random, shape: random.random(shape).round(2),
    "five values": lambda random, shape: random.integers(0, 5, shape) / 4,
    "five values and ulps": lambda random, shape: (
        random.integers(0, 5, shape) / 4 + 1e-16 * random.integers(0, 4, shape)
    ),
    "neighbouring floats": lambda random, shape: 1 + 2.0**-52 * random.integers(0, 4096, shape),
    "clusters": lambda random, shape: random.integers(0, 2, shape) + 1e-9 * random.random(shape),
    "cauchy": lambda random, shape: random.standard_cauchy(shape),
    "lognormal": lambda random, shape: random.lognormal(0, 3, shape),
    "sorted": lambda random, shape: np.sort(random.random(shape)),
    "reversed": lambda random, shape: np.sort(random.random(shape))[:, ::-1],
    "constant": lambda random, shape: np.full(shape, 0.5),
    "constant but one": lambda random, shape: (
        np.where(np.arange(shape[1]) == 1, 0.7, 0.5) + np.zeros(shape)
    ),
    "zeros of both signs": lambda random, shape: np.where(random.random(shape) < 0.5, -0.0, 0.0),
    "denormal": lambda random, shape: 5e-324 * random.integers(-999, 999, shape),
    "huge": lambda random, shape: 1.7e308 * (2 * random.random(shape) - 1),
    "from tiny to huge": lambda random, shape: (
        10.0 ** random.integers(-300, 300, shape) * random.choice([-1, 1], shape)
    ),
}


def widened(kind, shape, dtype, seed=0):
    """Return data of a kind; what float32 cannot hold is brought within its range."""
    values = KINDS[kind](np.random.default_rng(seed), shape)
    if dtype == np.float32:
        values = np.clip(values, -3e38, 3e38)
    return values.astype(dtype)


def some_probes(count, stocks, seed=1):
    random = np.random.default_rng(seed)
    return random.integers(-(2**23), 2**23, (count, stocks), dtype=np.int32, endpoint=True)


def some_weights(draws, stakers, seed=2):
    random = np.random.default_rng(seed)
    return random.random((draws, stakers)) * random.integers(0, 2, (draws, stakers)) / (stakers + 1)


def assert_blends_agree(block, draws, threads=2):
    blend = np.random.default_rng(3).random((draws, block.shape[1]))
    weights = some_weights(draws, len(block))
    combined = CpuEngine(threads).combine(blend, block, weights)
    assert combined.tobytes() == REFERENCE.combine(blend, block, weights).tobytes()


def assert_verbs_agree(block, *several, threads=2, probes=5, draws=3):
    """Assert that blends agree, and with these ties ranks and moments."""
    assert_blends_agree(block, draws, threads)
    engine = CpuEngine(threads)
    columns = some_probes(probes, block.shape[1])
    for ties in several:
        ranks = engine.rank(block, ties)
        assert ranks.dtype == np.int32
        np.testing.assert_array_equal(ranks, REFERENCE.rank(block, ties), err_msg=ties)
        moments = engine.moments(block, columns, ties)
        assert moments.dtype == np.int64
        expected = REFERENCE.moments(block, columns, ties)
        np.testing.assert_array_equal(moments, expected, err_msg=ties)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_gives_the_bits_of_numpy(kind, dtype):
    shape = (40, 1200) if COMPILED else (3, 64)
    assert_verbs_agree(widened(kind, shape, dtype), *TIES)


@pytest.mark.parametrize(
    "stocks",
    [2, 3, 16, 17, 31, 511, 512, 513, 8191, 8192, 8193, 20_000, 70_001] if COMPILED else [2, 33],
)
def test_any_number_of_stocks_gives_the_bits_of_numpy(stocks):
    assert_verbs_agree(widened("two decimals", (7, stocks), np.float64), *TIES)
    assert_verbs_agree(widened("uniform", (3, stocks), np.float32), *TIES)


@pytest.mark.parametrize("stakers", [1, 7, 8, 9, 63, 64, 65, 1023, 1024, 1025, 2100])
def test_any_number_of_stakers_gives_the_bits_of_numpy(stakers):
    assert_blends_agree(widened("uniform", (stakers, 50 if COMPILED else 2), np.float64), draws=3)


def test_blocks_of_whole_groups_add_up_to_the_whole():
    block = widened("uniform", (2 * GROUP + 5, 40 if COMPILED else 2), np.float32)
    weights = some_weights(4, len(block))
    engine = CpuEngine(2)
    blend = np.zeros((4, block.shape[1]))
    whole = engine.combine(blend, block, weights)
    for start in range(0, len(block), GROUP):
        rows = slice(start, start + GROUP)
        blend = engine.combine(blend, block[rows], weights[:, rows])
    assert blend.tobytes() == whole.tobytes()


@pytest.mark.parametrize("columns", ["together", "apart"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_selected_rows_and_columns_give_the_bits_of_a_copy(dtype, columns):
    stocks = 3000 if COMPILED else 30  # more than one tile
    matrix = widened("two decimals", (50, stocks), dtype)
    matrix.setflags(write=False)
    random = np.random.default_rng(5)
    chosen = range(7, stocks - 4) if columns == "together" else random.permutation(stocks)[9:]
    selected = Selection(matrix, random.permutation(50)[:40], chosen)
    copy, weights = selected.copy(), some_weights(5, 40)
    probes, blend = some_probes(5, copy.shape[1]), np.zeros((5, copy.shape[1]))
    engine = CpuEngine(2)
    combined = engine.combine(blend, selected, weights)
    assert combined.tobytes() == REFERENCE.combine(blend, copy, weights).tobytes()
    np.testing.assert_array_equal(
        engine.moments(selected, probes, "first"), REFERENCE.moments(copy, probes, "first")
    )


@pytest.mark.parametrize("draws", [1, 32, 33, 70])
def test_any_number_of_draws_gives_the_bits_of_numpy(draws):
    assert_blends_agree(widened("uniform", (40, 30), np.float64), draws)


def test_ranks_can_be_combined():
    assert_blends_agree(REFERENCE.rank(widened("uniform", (30, 40), np.float64), "first"), draws=3)


@pytest.mark.parametrize("probes", [0, 1, 2, 3, 4, 31, 32, 33, 100])
def test_any_number_of_probes_gives_the_sums_of_numpy(probes):
    assert_verbs_agree(widened("two decimals", (9, 60), np.float64), "average", probes=probes)


@compiled_only
@pytest.mark.parametrize("stocks", [8192, 16_384, 40_000])
def test_a_row_equal_to_a_probe_does_not_overflow(stocks):
    row = widened("uniform", (1, stocks), np.float64)
    block = np.vstack([row, -row, row])
    ranks = REFERENCE.rank(row, "first")
    extreme = np.where(ranks < 0, -(2**23), 2**23).astype(np.int32)
    moments = CpuEngine(1).moments(block, np.vstack([ranks, extreme]), "first")
    square = stocks * (stocks**2 - 1) // 3
    assert moments[:, [0, 2]].tolist() == [[square, square], [-square, square], [square, square]]
    assert moments[0, 1] == 2**23 * (stocks**2 // 2)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("layout", ["C", "F", "every other stock", "backwards", "read-only"])
def test_layout_changes_nothing(layout, dtype):
    plain = widened("two decimals", (60, 700) if COMPILED else (5, 40), dtype)
    if layout == "C":
        block = plain.copy()
    elif layout == "F":
        block = np.asfortranarray(plain)
    elif layout == "every other stock":
        block = np.repeat(plain, 2, axis=1)[:, ::2]
    elif layout == "backwards":
        block = plain[::-1, ::-1].copy()[::-1, ::-1]
    else:
        block = plain.copy()
        block.setflags(write=False)
    assert_verbs_agree(block, "average")
    np.testing.assert_array_equal(block, plain)


def test_all_arguments_may_be_read_only():
    block, probes = widened("uniform", (6, 30), np.float64), some_probes(3, 30)
    weights, blend = some_weights(2, 6), np.ones((2, 30))
    for array in (block, probes, weights, blend):
        array.setflags(write=False)
    engine = CpuEngine(2)
    assert engine.put(block) is block
    assert engine.get(probes) is probes
    engine.combine(blend, block, weights)
    engine.rank(block, "first")
    engine.moments(block, probes, "first")


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_the_number_of_threads_changes_nothing(threads):
    block = widened("two decimals", (70, 900) if COMPILED else (5, 20), np.float64)
    assert_verbs_agree(block, "first", threads=threads, draws=21)


@settings(deadline=None, max_examples=5 * settings().max_examples if COMPILED else 15)
@given(
    data=st.data(),
    ties=st.sampled_from(TIES),
    threads=st.integers(1, 3),
    dtype=st.sampled_from([np.float64, np.float32]),
)
def test_random_blocks_give_the_bits_of_numpy(data, ties, threads, dtype):
    shape = data.draw(st.tuples(st.integers(1, 12), st.integers(2, 40)))
    # so small that a blend cannot overflow
    largest = float(np.finfo(dtype).max) / 2**8
    values = st.floats(-largest, largest, width=np.finfo(dtype).bits)
    block = data.draw(arrays.arrays(dtype, shape, elements=values))
    assert_verbs_agree(block, ties, threads=threads, probes=data.draw(st.integers(0, 6)))


ENCODE = kernel("float64[::1]", "uint32[::1]", "float64[::1]")(rank._encode)


@settings(deadline=None, max_examples=5 * settings().max_examples)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60))
def test_codes_never_fall_where_values_rise(values):
    row = np.sort(np.array(values))
    codes = np.empty(len(row), np.uint32)
    ENCODE(row, codes, np.empty(17))
    assert (np.diff(codes.astype(np.int64)) >= 0).all()
    assert codes.max() < 2**20


@compiled_only
@pytest.mark.parametrize("order", ["C", "F"])
def test_extra_memory_is_below_half_the_predictions(order):
    block = np.asarray(widened("uniform", (800, 5000), np.float64), order=order)
    probes, weights = some_probes(23, 5000), some_weights(21, 800)
    engine = CpuEngine(2)
    assert_verbs_agree(block[:2], "first")  # compiles
    tracemalloc.start()
    try:
        engine.combine(np.zeros((21, 5000)), block, weights)
        engine.moments(block, probes, "first")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < block.nbytes / 2


def test_a_kernel_takes_nothing_but_the_types_that_it_was_compiled_for():
    ranks, places = np.zeros((2, 8), np.int32), np.zeros((2, 4), np.int64)
    rank.pick_ends(ranks, places)
    if not COMPILED:
        return
    for wrong in (ranks.astype(np.int64), ranks[0], ranks[:, ::2], np.asfortranarray(ranks)):
        with pytest.raises(TypeError, match="pick_ends takes"):
            rank.pick_ends(wrong, places)


KERNELS = [
    found
    for module in (blend, inner, moments, rank)
    for found in vars(module).values()
    if isinstance(found, Kernel)
]


def called_by(found):
    """Return the names of the functions that a kernel's code calls and does not hold."""
    if sys.platform != "linux":
        return re.findall(r"movabsq\t\$([A-Za-z]\w+), ", found.compiled(assembly=True))
    name = f"{found.function.__module__}.{found.function.__name__}"
    source, processor = found.function.__code__.co_filename, compiled._processor()
    code = kept_code(name, source, processor) or found.compiled()
    sections = {one.name(): one.data() for one in ObjectFileRef.from_data(code).sections()}
    names = sections[b".strtab"]
    symbols = struct.iter_unpack("<IBBHQQ", sections[b".symtab"])
    absent = [name for name, _, _, section, *_ in symbols if name and section == 0]
    return [names[name:].partition(b"\0")[0].decode() for name in absent]


@compiled_only
def test_compiled_code_needs_nothing_but_the_c_library():
    assert len(KERNELS) == 7
    for found in KERNELS:
        assert set(called_by(found)) <= {"memset", "memcpy", "memmove"}, found.function


@compiled_only
def test_a_call_in_compiled_code_is_seen():
    def sine(numbers):
        numbers[0] = np.sin(numbers[0])

    assert called_by(kernel("float64[::1]")(sine)) == ["sin"]


@compiled_only
def test_no_product_is_fused_with_a_sum():
    code = blend.add_stakers.compiled(assembly=True)
    assert re.search(r"mul[ps]d|fmul", code)
    assert not re.search(r"\bv?fn?m(add|sub|la|ls)", code)


PROCESS = """
import hashlib, sys
import numpy as np
from mmc_gpu.engines import load_engine
from mmc_gpu.engines.cpu.rank import rank_rows
series = np.random.default_rng(0).random((40, 300)).round(2)
ranks = load_engine("cpu", threads=2).rank(series, "average")
print(hashlib.sha256(ranks.tobytes()).hexdigest(), int(rank_rows.found), "numba" in sys.modules)
"""


@compiled_only
def test_another_process_takes_a_kernel_from_the_cache_without_numba(tmp_path):
    """Of processes at once with an empty cache, see test_cache.py."""
    block = widened("two decimals", (40, 300), np.float64)
    CpuEngine().rank(block, "average")  # is kept from now on
    same = Path(mmc_gpu.__file__).parents[1]  # kept code is that of a file at its place
    found = subprocess.run(
        [sys.executable, "-c", PROCESS],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(same)},
        capture_output=True,
        text=True,
        check=True,
    )
    digest = hashlib.sha256(REFERENCE.rank(block, "average").tobytes()).hexdigest()
    assert found.stdout.split() == [digest, "1", "False"]


@compiled_only
def test_failures_of_the_compiler_are_not_hidden(monkeypatch, tmp_path):
    def failing(*signature, **options):
        raise RuntimeError("out of memory")

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(numba, "njit", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        kernel("int64")(lambda number: None)(1)


def rank_in_child(pipe):
    block = widened("uniform", (20, 50), np.float64)
    pipe.send(CpuEngine(2).rank(block, "first"))
    pipe.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_can_go_on_using_the_engine():
    block = widened("uniform", (20, 50), np.float64)
    ranks = CpuEngine(2).rank(block, "first")
    forked = multiprocessing.get_context("fork")
    here, there = forked.Pipe(duplex=False)
    child = forked.Process(target=rank_in_child, args=(there,))
    child.start()
    assert here.poll(60), "the child hangs"
    np.testing.assert_array_equal(here.recv(), ranks)
    child.join()


def test_a_failing_tile_is_reported():
    def work(tiles):
        for tile in tiles:
            raise ArithmeticError(tile)

    for tiles in (["one tile"], ["one tile", "another tile"]):  # in the caller's thread, or not
        with pytest.raises(ArithmeticError, match=r"(one|another) tile"):
            cpu_threads.share(work, tiles, 2)


def test_threads_are_taken_from_the_argument_then_the_variable_then_the_cores(monkeypatch):
    monkeypatch.setenv("MMC_GPU_THREADS", "3")
    assert load_engine("cpu", threads=5).threads == 5
    assert load_engine("cpu").threads == 3
    monkeypatch.setenv("MMC_GPU_THREADS", "")
    assert 1 <= load_engine("cpu").threads <= os.cpu_count()


@pytest.mark.parametrize("named", ["0", "-1", "two", "1.5"])
def test_a_number_of_threads_that_is_none_is_refused(monkeypatch, named):
    monkeypatch.setenv("MMC_GPU_THREADS", named)
    with pytest.raises(ValueError, match="MMC_GPU_THREADS is"):
        CpuEngine()
    with pytest.raises(ValueError, match="threads must be a whole number"):
        CpuEngine(0)


@pytest.mark.parametrize(
    ("quota", "threads"), [("max 100000", 8), ("150000 100000", 2), ("1600000 100000", 8)]
)
def test_the_default_keeps_to_affinity_and_quota(monkeypatch, tmp_path, quota, threads):
    (tmp_path / "cpu.max").write_text(quota)
    assert_threads_within(monkeypatch, tmp_path, threads)


@pytest.mark.parametrize(("quota", "threads"), [("-1", 8), ("150000", 2), ("50000", 1)])
def test_the_default_keeps_to_the_quota_of_older_systems(monkeypatch, tmp_path, quota, threads):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert_threads_within(monkeypatch, tmp_path, threads)


@pytest.mark.parametrize(
    ("own", "quotas"),
    [
        ("0::/a/b\n", {"a/cpu.max": "max 100000", "a/b/cpu.max": "200000 100000"}),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "700000 100000"}),
        (
            "7:cpu,cpuacct:/a\n3:cpuset:/c\n",
            {"cpu/a/cpu.cfs_quota_us": "200000", "cpu/a/cpu.cfs_period_us": "100000"},
        ),
    ],
)
def test_the_quota_of_any_group_around_the_process_holds(monkeypatch, tmp_path, own, quotas):
    for name, quota in quotas.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(quota)
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(cpu_threads, "_GROUPS", tmp_path / "own")
    assert_threads_within(monkeypatch, tmp_path, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_in_an_order_of_their_own_order_equal_values(kind):
    matrix = widened(kind, (40, 1200) if COMPILED else (3, 64), np.float64)
    rng = np.random.default_rng(5)
    rows, columns = rng.permutation(len(matrix))[1:], rng.permutation(matrix.shape[1])
    probes = some_probes(5, len(columns))
    for chosen, ties in product((rows, np.sort(rows)), TIES):
        np.testing.assert_array_equal(
            CpuEngine(2).moments(Selection(matrix, chosen, columns), probes, ties),
            REFERENCE.moments(matrix[chosen][:, columns], probes, ties),
            err_msg=ties,
        )


@pytest.mark.parametrize("columns", [[2, 0, 3, 1], [2, 0], [2, 0, 3, 3]])
def test_columns_in_an_order_of_their_own_are_blended_alike(columns):
    rng = np.random.default_rng(5)
    matrix, columns = rng.random((2 * GROUP + 3, 4)), np.array(columns)
    blend, weights = rng.random((3, len(columns))), rng.random((3, GROUP + 2))
    rows = rng.permutation(len(matrix))[: GROUP + 2]
    chosen = Selection(matrix, rows, columns)
    expected = CpuEngine(2).combine(blend, matrix[rows][:, columns], weights)
    np.testing.assert_array_equal(CpuEngine(2).combine(blend, chosen, weights), expected)


def test_tiles_that_share_work_start_no_further_threads():
    inner = []

    def work(tiles):
        for _ in tiles:
            cpu_threads.share(
                lambda parts: inner.extend((get_ident(), n) for n in parts), range(5), 4
            )

    outer = []
    cpu_threads.share(lambda tiles: (outer.append(get_ident()), work(tiles)), range(8), 2)
    assert len(inner) == 8 * 5
    assert {thread for thread, _ in inner} <= set(outer)
    inner.clear()
    cpu_threads.share(lambda parts: inner.append(get_ident()), range(5), 4)
    assert len(inner) == 4  # afterwards the caller's thread shares again


def assert_threads_within(monkeypatch, cgroup, threads):
    monkeypatch.setattr(cpu_threads, "_CGROUP", cgroup)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.delenv("MMC_GPU_THREADS", raising=False)
    assert CpuEngine().threads == threads


def test_without_affinity_all_cores_are_used(monkeypatch, tmp_path):
    monkeypatch.setattr(cpu_threads, "_CGROUP", tmp_path / "absent")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.delenv("MMC_GPU_THREADS", raising=False)
    assert CpuEngine().threads == 6


def without(monkeypatch, module):
    for name in [name for name in sys.modules if name.startswith("mmc_gpu.engines.cpu")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)


def test_without_numba_the_engine_is_unavailable_and_auto_takes_another(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))  # no kernel is kept there
    without(monkeypatch, "numba")
    with pytest.raises(EngineUnavailable, match="pip install numba"):
        load_engine("cpu")
    assert load_engine("auto").name != "cpu"


def test_a_broken_import_is_not_mistaken_for_a_missing_numba(monkeypatch):
    without(monkeypatch, "mmc_gpu.engines.cpu.blend")
    with pytest.raises(ModuleNotFoundError, match=r"engines\.cpu\.blend"):
        load_engine("cpu")


def test_auto_takes_the_cpu_engine_where_there_is_no_gpu():
    assert load_engine("auto").name in {"cpu", "gpu"}
    assert load_engine("cpu").name == "cpu"
    with pytest.raises(ValueError, match="no engine 'abacus'"):
        load_engine("abacus")
