"""The kernels, as PTX that runs on the CPU, against the NumPy engine.

Long, because deleted barriers and sanitizers run these very tests in processes of their own.
"""

import faulthandler
import itertools
import os
import subprocess
import sys
import warnings
from pathlib import Path

import fake_plugin
import numpy as np
import ptx
import pytest
from nvrtc import FAMILIES, KEPT, ptx_of

from mmc_gpu.engines.gpu import kernels as gpu_kernels
from mmc_gpu.engines.gpu.library import kernel_source
from mmc_gpu.engines.lanes import inner_products
from mmc_gpu.engines.numpy_engine import NumpyEngine
from mmc_gpu.engines.protocol import GROUP

REFERENCE = NumpyEngine()
SANITIZED = "MMC_GPU_SANITIZE" in os.environ
KINDS = {np.float32: "f32", np.float64: "f64", np.int32: "i32"}
CROWD, DIGITS, NULL = 32, 256, np.uintp(0)


def launch(folder, name, grid, block, *arguments, shared=0, order="forward"):
    family = gpu_kernels.FAMILIES[name.split("_")[0]]
    library = ptx.build(ptx_of(kernel_source(family)), folder, SANITIZED)
    sized = tuple(np.int32(one) if isinstance(one, int) else one for one in arguments)
    number = ptx.ORDERS[order]
    ptx.launch(library, name, grid, block, sized, shared=shared, order=number)


def written(series, ties):
    """Return ranks to be written, and both arguments of a kernel."""
    ranks = np.full(series.shape, 7777, np.int32)
    return ranks, ((ranks, NULL) if ties == "first" else (NULL, ranks))


def rank_by_buckets(folder, series, ties, *, grid=2, block=64, buckets=None, order="forward"):
    """Return the ranks, and the rows that crowd a bucket; their ranks are left as they were."""
    (rows, n), kind = series.shape, KINDS[series.dtype.type]
    buckets = buckets or n
    (ranks, both), crowded = written(series, ties), np.zeros(rows + 1, np.int32)
    shared = n * (series.itemsize + 3) + 4 * (buckets + 1)
    arguments = (series, *both, crowded, rows, n, buckets)
    launch(folder, f"rank_buckets_{kind}", grid, block, *arguments, shared=shared, order=order)
    return ranks, sorted(crowded[1 : 1 + crowded[0]].tolist())


def rank_by_radix(
    folder, series, ties, *, listed=None, in_shared=True, grid=2, block=64, order="forward"
):
    (rows, n), kind = series.shape, KINDS[series.dtype.type]
    ranks, both = written(series, ties)
    scratch = NULL if in_shared else np.empty((grid, 2, n), np.int32)
    shared = 4 * DIGITS * (block // 32 | 1) + (8 * n if in_shared else 0)
    listed = NULL if listed is None else np.array([len(listed), *listed], np.int32)
    arguments = (series, *both, listed, scratch, rows, n)
    launch(folder, f"rank_radix_{kind}", grid, block, *arguments, shared=shared, order=order)
    return ranks


def columns(n, dtype, seed=0):
    """Return rows of every kind that has broken a ranking: (rows, n), finite."""
    rng = np.random.default_rng([n, seed])
    limits = np.finfo(dtype)
    uniform = rng.random(n)
    near = np.float64(0.3) + np.arange(n) % 3 * limits.eps
    outlier = uniform.copy()
    outlier[n // 2] = limits.max
    return np.ascontiguousarray(
        [
            uniform,
            rng.normal(size=n),
            np.clip(rng.standard_cauchy(n) ** 3, -1e30, 1e30),
            np.sort(uniform),
            np.sort(uniform)[::-1],
            np.full(n, 0.5),
            rng.integers(0, 5, n) / 4,
            np.round(uniform, 2),
            near,
            rng.choice([0.0, -0.0], n),
            rng.choice([limits.max, -limits.max, 0.0], n),
            rng.integers(-4, 5, n) * np.float64(limits.smallest_subnormal),
            outlier,
            rng.normal(size=n) * limits.smallest_normal,
        ]
    ).astype(dtype)


def crowds(n, dtype):
    """Return rows with as many equal values as a bucket may hold, and with one more."""
    rows = np.tile(np.linspace(0, 0.25, n), (2, 1))
    rows[:, -1] = 1
    rows[0, :CROWD] = rows[1, : CROWD + 1] = 0.5
    return rows.astype(dtype)


@pytest.mark.parametrize("ties", ["first", "average"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 63, 64, 65, 257, 1000])
def test_both_ways_of_ranking_give_the_reference_ranks(kernel_folder, n, dtype, ties):
    series = columns(n, dtype)
    expected = REFERENCE.rank(series, ties)
    np.testing.assert_array_equal(rank_by_radix(kernel_folder, series, ties), expected)
    ranks, crowded = rank_by_buckets(kernel_folder, series, ties)
    others = np.setdiff1d(np.arange(len(series)), crowded)
    np.testing.assert_array_equal(ranks[others], expected[others])
    assert (ranks[crowded] == 7777).all()
    assert not crowded or n > CROWD


@pytest.mark.parametrize("order", ptx.ORDERS)
def test_the_order_of_threads_changes_no_rank(kernel_folder, order):
    series = columns(300, np.float32)
    for ties in ("first", "average"):
        expected = REFERENCE.rank(series, ties)
        ranks, crowded = rank_by_buckets(kernel_folder, series, ties, block=96, order=order)
        others = np.setdiff1d(np.arange(len(series)), crowded)
        np.testing.assert_array_equal(ranks[others], expected[others])
        ranks = rank_by_radix(kernel_folder, series, ties, block=96, order=order)
        np.testing.assert_array_equal(ranks, expected)


@pytest.mark.parametrize("block", [32, 96, 512])
@pytest.mark.parametrize("grid", [1, 3, 50])
def test_the_launch_shape_changes_no_rank(kernel_folder, grid, block):
    series = np.random.default_rng(3).normal(size=(9, 333)).astype(np.float32)
    expected = REFERENCE.rank(series, "first")
    for buckets in (1000, 333, 64):
        shape = {"grid": grid, "block": block, "buckets": buckets}
        ranks, crowded = rank_by_buckets(kernel_folder, series, "first", **shape)
        assert not crowded
        np.testing.assert_array_equal(ranks, expected)
    for in_shared in (True, False):
        shape = {"grid": grid, "block": block, "in_shared": in_shared}
        ranks = rank_by_radix(kernel_folder, series, "first", **shape)
        np.testing.assert_array_equal(ranks, expected)


def test_a_bucket_holds_a_crowd_and_not_one_more(kernel_folder):
    series = crowds(5000, np.float32)
    ranks, crowded = rank_by_buckets(kernel_folder, series, "first", block=512)
    assert crowded == [1]
    np.testing.assert_array_equal(ranks[0], REFERENCE.rank(series, "first")[0])


@pytest.mark.parametrize("ties", ["first", "average"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("block", [32, 96, 512])
def test_rows_of_few_values_need_no_sort(kernel_folder, block, dtype, ties):
    rng, limits = np.random.default_rng(block), np.finfo(dtype)
    zeros, large = rng.choice([0.0, -0.0, 1], 3000), rng.choice([-1, 1], 3000) * limits.max
    series = np.array([rng.integers(0, 5, 3000), rng.random(3000).round(1), zeros, large], dtype)
    ranks, crowded = rank_by_buckets(kernel_folder, series, ties, block=block)
    assert not crowded
    np.testing.assert_array_equal(ranks, REFERENCE.rank(series, ties))
    series[:, 7] = np.nextafter(series[:, 8], dtype(99))  # two values in one bucket
    assert rank_by_buckets(kernel_folder, series, ties, block=block)[1] == [0, 1, 2, 3]


def test_only_listed_rows_are_sorted(kernel_folder):
    series = columns(100, np.float64)
    ranks = rank_by_radix(kernel_folder, series, "first", listed=[11, 0, 5])
    np.testing.assert_array_equal(ranks[[0, 5, 11]], REFERENCE.rank(series, "first")[[0, 5, 11]])
    assert (np.delete(ranks, [0, 5, 11], axis=0) == 7777).all()


def blend(folder, block, weights, *, grid=5, order="forward"):
    (stakers, n), draws = block.shape, len(weights)
    groups = -(-stakers // GROUP)
    sums = np.full((groups, draws, n), np.nan)
    kind = KINDS[block.dtype.type]
    arguments = (block, weights, sums, stakers, draws, n, 0, stakers)
    launch(folder, f"sum_groups_{kind}", grid, 64, *arguments, order=order)
    start = np.random.default_rng(1).normal(size=(draws, n))
    total = start.copy()
    launch(folder, "add_groups", grid, 64, total, sums, groups, np.int64(total.size), order=order)
    return total, REFERENCE.combine(start, block, weights)


def stakers_and_weights(stakers, n, draws, dtype):
    rng = np.random.default_rng([stakers, n, draws])
    block = rng.normal(size=(stakers, n))
    if dtype is np.int32:
        block = rng.integers(-n, n + 1, (stakers, n))
    weights = rng.random((draws, stakers)) * (rng.random((draws, stakers)) < 0.5)
    return block.astype(dtype), weights


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize(
    ("stakers", "n", "draws"),
    [
        *((1, 1, 1), (7, 64, 7), (63, 65, 6), (64, 63, 8), (65, 3, 20)),
        *((1023, 5, 3), (1024, 5, 3), (1025, 130, 21), (2050, 70, 2)),
    ],
)
def test_blends_have_the_canonical_bits(kernel_folder, stakers, n, draws, dtype):
    block, weights = stakers_and_weights(stakers, n, draws, dtype)
    total, expected = blend(kernel_folder, block, weights)
    np.testing.assert_array_equal(total.view(np.uint64), expected.view(np.uint64))


def test_float32_is_widened_exactly(kernel_folder):
    values = np.array([0.0, -0.0, 1e-45, -1e-45, 1.1754942e-38, 1.1754944e-38, 3.4e38, -1.0, 0.1])
    block = values.astype(np.float32)[None, :]
    total, expected = blend(kernel_folder, block, np.array([[2.0**100]]))
    np.testing.assert_array_equal(total, expected)


@pytest.mark.parametrize("order", ptx.ORDERS)
@pytest.mark.parametrize("grid", [1, 4, 100])
def test_the_launch_changes_no_blend(kernel_folder, grid, order):
    block, weights = stakers_and_weights(200, 100, 12, np.float32)
    total, expected = blend(kernel_folder, block, weights, grid=grid, order=order)
    np.testing.assert_array_equal(total, expected)


@pytest.mark.parametrize(("grid", "block"), [(1, 32), (2, 96), (9, 128)])
@pytest.mark.parametrize("n", [1, 31, 32, 33, 100])
def test_moments_are_exact(kernel_folder, n, grid, block):
    for count, rows in itertools.product([1, 7, 8, 9, 23], [1, 3, 4, 5, 9]):
        told = f"{count} probes, {rows} rows"
        rng = np.random.default_rng([n, count, rows])
        ranks = rng.integers(-999_999, 1_000_000, (rows, n)).astype(np.int32)
        probes = rng.integers(-(2**23), 2**23 + 1, (count, n)).astype(np.int32)
        moments = np.full((rows, count + 1), -1, np.int64)
        launch(kernel_folder, "moments", grid, block, ranks, probes, moments, rows, n, count)
        wide = ranks.astype(np.int64)
        products = wide @ probes.T.astype(np.int64)
        np.testing.assert_array_equal(moments[:, :-1], products, err_msg=told)
        np.testing.assert_array_equal(moments[:, -1], (wide * wide).sum(axis=1), err_msg=told)


@pytest.mark.parametrize("block", [32, 96, 512])
@pytest.mark.parametrize("n", [2, 31, 64, 65, 700])
def test_ends_are_the_lowest_and_the_highest(kernel_folder, n, block):
    ranks = REFERENCE.rank(columns(n, np.float32), "first")
    for count in {1, n // 2}:
        ends = np.full((len(ranks), 2 * count), -1, np.int64)
        launch(kernel_folder, "rank_ends", 3, block, ranks, ends, len(ranks), n, count)
        np.testing.assert_array_equal(ends, REFERENCE.ends(columns(n, np.float32), count))


@pytest.mark.parametrize("grid", [1, 7])
def test_ranks_are_looked_up_in_the_table(kernel_folder, grid):
    ranks = REFERENCE.rank(columns(100, np.float32), "average")
    table, series = np.random.default_rng(0).normal(size=199), np.empty(ranks.shape)
    rest = (series, 100, np.int64(ranks.size))
    launch(kernel_folder, "rank_table", grid, 64, ranks, table, np.int64(0), *rest)
    np.testing.assert_array_equal(series, table[ranks + 99])


def lane_sums(folder, series, probes, *, grid=3, block=256, order="forward"):
    (rows, n), count = series.shape, len(probes)
    products = np.full((rows, count + 2), np.nan)
    name = f"sum_lanes_{KINDS[series.dtype.type]}"
    arguments = (series, probes, np.int64(0), products, rows, n, count)
    launch(folder, name, grid, block, *arguments, order=order)
    return products, inner_products(series.astype(np.float64), probes)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("n", [1, 255, 256, 257, 1000])
def test_lanes_have_the_canonical_bits(kernel_folder, n, dtype):
    for count in (0, 1, 2, 3, 7):
        rng = np.random.default_rng([n, count])
        series = (100 * rng.normal(size=(4, n))).astype(dtype)
        if dtype is not np.int32:
            series[1] *= np.finfo(dtype).smallest_normal
            series[2] = -0.0
        products, expected = lane_sums(kernel_folder, series, rng.normal(size=(count, n)))
        bits = products.view(np.int64), expected.view(np.int64)
        np.testing.assert_array_equal(*bits, err_msg=f"{count} probes")


@pytest.mark.parametrize(("grid", "block"), [(1, 32), (50, 96), (2, 256)])
def test_the_launch_changes_no_lane(kernel_folder, grid, block):
    rng = np.random.default_rng(0)
    series, probes = rng.normal(size=(5, 600)), rng.normal(size=(6, 600))
    products, expected = lane_sums(kernel_folder, series, probes, grid=grid, block=block)
    np.testing.assert_array_equal(products, expected)


def test_a_fault_in_a_kernel_is_an_error(kernel_folder):
    one = np.zeros(1, np.int32)
    with pytest.raises(RuntimeError, match="argument"):
        launch(kernel_folder, "moments", 1, 32, one, one)
    with pytest.raises(RuntimeError, match="size"):
        launch(kernel_folder, "moments", 1, 32, one, one, one, np.int64(1), 1, 1)


def exercise(folder, family):
    """Run every barrier of a family in every order of the threads, several rows a block."""
    for order, ties in itertools.product(ptx.ORDERS, ("first", "average")):
        EXERCISES[family](folder, order, ties)


def exercise_rank(folder, order, ties):
    for dtype in (np.float32, np.float64):
        half = np.where(np.arange(200) % 2, 0.5, columns(200, dtype)[:1])  # no room to count these
        series = np.concatenate([half.astype(dtype), crowds(200, dtype), columns(200, dtype)])
        expected = REFERENCE.rank(series, ties)
        ranks, crowded = rank_by_buckets(folder, series, ties, block=128, order=order)
        others = np.setdiff1d(np.arange(len(series)), crowded)
        assert (ranks[others] == expected[others]).all()
        assert len(others) >= 6
        assert (rank_by_radix(folder, series, ties, block=128, order=order) == expected).all()
        tied = (np.random.default_rng(0).integers(0, 20, (4, 800)) / 20).astype(dtype)
        ranks, crowded = rank_by_buckets(folder, tied, ties, block=128, order=order)
        assert not crowded
        assert (ranks == REFERENCE.rank(tied, ties)).all()
    ends, ranks = np.empty((len(series), 50), np.int64), REFERENCE.rank(series, "first")
    launch(folder, "rank_ends", 2, 128, ranks, ends, len(ranks), 200, 25, order=order)
    assert (ends == REFERENCE.ends(series, 25)).all()


def exercise_sums(folder, order, ties):
    for dtype in KINDS:
        block, weights = stakers_and_weights(200, 130, 15, dtype)
        total, blended = blend(folder, block, weights, grid=2, order=order)
        assert (total == blended).all()
        series, probes = stakers_and_weights(10, 600, 1, dtype)[0], columns(600, np.float64)[:6]
        products, expected = lane_sums(folder, series, probes, block=96, order=order)
        np.testing.assert_array_equal(products, expected)


def exercise_rows(folder, order, ties):
    for dtype in (np.float32, np.float64):
        series = np.asfortranarray(np.concatenate([columns(60, dtype, at) for at in range(6)]))
        assert (row_ends(folder, series, order=order) == extremes_of(series)).all()
        assert (copied_rows(folder, series, order=order) == series).all()


EXERCISES = {"rank": exercise_rank, "sums": exercise_sums, "rows": exercise_rows}


def steps(series):
    return tuple(np.int64(stride // series.itemsize) for stride in series.strides)


def row_ends(folder, series, *, grid=2, block=64, order="forward"):
    ends = np.full((2, len(series)), 7777, series.dtype)
    arguments = (series, *steps(series), ends, *series.shape)
    launch(folder, f"rows_ends_{KINDS[series.dtype.type]}", grid, block, *arguments, order=order)
    return ends


def extremes_of(series):
    return np.array([series.min(axis=1), series.max(axis=1)])


def copied_rows(folder, series, rows=None, places=None, *, grid=2, block=64, order="forward"):
    count = len(series) if rows is None else len(rows)
    stocks = series.shape[1] if places is None else len(places)
    copied = np.zeros((count, stocks), series.dtype)
    chosen = (NULL if one is None else one for one in (rows, places))
    arguments = (series, *steps(series), *chosen, copied, count, stocks)
    launch(folder, f"rows_copy_{series.itemsize}", grid, block, *arguments, order=order)
    return copied


@pytest.mark.parametrize("block", [32, 96, 256])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_ends_of_rows_are_those_of_their_values(kernel_folder, dtype, layout, block):
    series = layout(columns(77, dtype))
    np.testing.assert_array_equal(
        row_ends(kernel_folder, series, block=block), extremes_of(series), strict=True
    )
    for value in (np.nan, -np.nan, np.inf, -np.inf):
        series[3, 76], series[5] = value, value
        found = row_ends(kernel_folder, series, block=block)
        np.testing.assert_array_equal(found, extremes_of(series))


@pytest.mark.parametrize("block", [32, 96, 256])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_and_columns_are_copied_in_any_order(kernel_folder, dtype, layout, block):
    rng = np.random.default_rng(0)
    series = layout(rng.normal(size=(70, 75)).astype(dtype))
    rows, places = rng.permutation(70)[:40], rng.permutation(75)
    for chosen in ((None, None), (rows, None), (None, places), (rows, places)):
        found = copied_rows(kernel_folder, series, *chosen, block=block)
        expected = series[slice(None) if chosen[0] is None else rows]
        expected = expected[:, slice(None) if chosen[1] is None else places]
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(copied_rows(kernel_folder, series[::2, ::3]), series[::2, ::3])
    backwards = series[::-1, ::-1]
    np.testing.assert_array_equal(copied_rows(kernel_folder, backwards), backwards)


def test_what_another_process_writes_at_the_time_is_not_compiled(tmp_path, monkeypatch):
    kept, compiler = tmp_path / "kept", tmp_path / "compiler"
    kept.mkdir()
    others = f"find {kept} -type f -exec truncate --size=0 {{}} +"  # being written anew
    compiler.write_text(f'#!/bin/sh\n{others}\nexec {ptx.COMPILER} "$@"\n')
    compiler.chmod(0o700)
    monkeypatch.setattr(ptx, "COMPILER", compiler)
    library = ptx.build(ptx_of(kernel_source("algebra")), kept)
    assert library.shim_launch
    assert [path.suffix for path in kept.iterdir()] == [".so"]


@pytest.mark.parametrize("family", ["rank", "sums", "rows"])
def test_every_barrier_is_missed(kernel_folder, family):
    library = ptx.build(ptx_of(kernel_source(family)), kernel_folder)
    barriers = library.shim_barriers()
    assert barriers

    def runs_without(barrier):
        """Say whether nothing goes wrong, in a process of its own: it may crash."""
        child = os.fork()
        if child:
            return os.waitpid(child, 0)[1] == 0
        faulthandler.disable()
        try:
            library.shim_skip(barrier)
            exercise(kernel_folder, family)
        except BaseException:
            os._exit(1)
        finally:
            os._exit(0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child starts no thread
        assert runs_without(-1)
        unmissed = [barrier for barrier in range(barriers) if runs_without(barrier)]
    assert not unmissed, f"{family}.cu: nothing shows that barriers {unmissed} are gone"


def sanitized(folder, sources, *command):
    """Run Python with the sanitizers' library in front, so that it guards NumPy's arrays, too."""
    asked = [ptx.COMPILER, "-print-file-name=libasan.so"]
    library = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    if SANITIZED or not Path(library).is_file():
        pytest.skip("this is the sanitized run" if SANITIZED else "libasan is not installed")
    for source in sources:
        ptx.compiled(ptx_of(source), folder, True)  # the compilers do not run under the sanitizer
    environment = os.environ | {
        "MMC_GPU_SANITIZE": "1",
        "TMPDIR": KEPT,  # where the PTX is: the sanitizer cannot compile
        fake_plugin.FOLDER: str(folder),
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True
    )


def test_sanitizers_find_nothing(kernel_folder):
    chosen = "ranking or widened or canonical or listed or ends or looked or rows or (exact and 23)"
    chosen = f"({chosen}) and not barrier"
    command = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", chosen, __file__)
    ran = sanitized(kernel_folder, map(kernel_source, FAMILIES), *command)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("kernel", ["rank_by_buckets", "rank_by_radix"])
def test_sanitizers_find_planted_overflows(kernel_folder, kernel):
    source = kernel_source("rank")
    planted = {"(places + n)": "(places + n + 1)", "first[start + from[i]] =": "first[i + 1] ="}
    for right, wrong in planted.items():
        assert source.count(right) == 1
        source = source.replace(right, wrong)
    (kernel_folder / "planted.cu").write_text(source)
    script = (
        "import pathlib, sys, numpy as np, test_gpu_kernels as kernels\n"
        "folder, series = pathlib.Path(sys.argv[1]), np.ones((1, 32), np.float32)\n"
        "source = (folder / 'planted.cu').read_text()\n"
        "kernels.kernel_source = lambda family: source\n"
        "getattr(kernels, sys.argv[2])(folder, series, 'first', block=32)\n"
    )
    ran = sanitized(kernel_folder, [source], "-c", script, str(kernel_folder), kernel)
    assert ran.returncode != 0
    assert "AddressSanitizer" in ran.stderr
