"""Each step of the engine's Python, and what the compiler makes of the kernels, matters.

A mutation is one small edit, of the kind that is easily made and hardly seen: a wrong offset, a
launch shape, a stream that no longer waits; in the PTX a product that is fused, a subnormal that is
flushed. A round on the fake CUDA has to notice every one of them.
"""

import faulthandler
import os
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import ptx
import pytest
from gpu_parity import (
    REFERENCE,
    check_moments,
    check_others,
    check_plan,
    check_rank,
    check_round,
    make_block,
    make_plan,
    make_probes,
    make_weights,
    same_bits,
)
from test_gpu_engine import check_ordered, check_pinned, check_plans

from mmc_gpu.engines.gpu import engine as gpu_engine
from mmc_gpu.engines.gpu.library import kernel_source

FOLDER = Path(gpu_engine.__file__).parent

STREAMS = [
    ("round", "stream.wait_event(self._event)\n            with", "pass\n            with"),
    ("round", "card.aside.wait_event(self._event)", "pass"),
    ("round", "for stream in (card.urgent, card.aside):", "for stream in (card.urgent,):"),
    ("round", "for stream in (card.urgent, card.aside):", "for stream in (card.aside,):"),
    ("round", "card.urgent.wait_event(self._ranked)\n                rows", "rows"),
    ("round", "card.urgent.wait_event(self._ranked)\n                card", "card"),
    ("round", "self.card.urgent.wait_event(other._event)", "pass"),
    ("round", "share.card.urgent.synchronize()", "pass"),
    ("round", "with card.aside:", "with card.copier:"),
    ("card", "stage.left.synchronize()  # what it held before", "pass"),
    ("card", "stage.left.record()", "pass"),
    ("engine", "card.current().synchronize()", "pass"),
]
OFFSETS = [
    ("round", "plan.weights[:, users.start : users", "plan.weights[:, : users"),
    ("round", "block[start : start + each]", "block[:each]"),
    ("round", "self._rows[start : start + each]", "self._rows[:each]"),
    ("round", "self._use(plan, rows, start)", "self._use(plan, rows, 0)"),
    ("round", "self._ranks[first : first + len(rows)]", "self._ranks[: len(rows)]"),
    ("round", "rows[: max(0, self._stakers - first)]", "rows[: self._stakers]"),
    ("round", "self._sums[groups_of(first) : groups", "self._sums[0 : groups"),
    ("round", "self._weights, first, sums", "self._weights, 0, sums"),
    ("round", "self._blend[-1], ranks", "self._blend[0], ranks"),
    ("round", "if home is not self:", "if False:"),
    ("round", "self._blend.data.memset_async(0, self._blend.nbytes)", "pass"),
    ("round", "each = GROUP * -(-groups", "each = 3 * -(-groups"),
    ("engine", "stacked[first : first + len(part)]", "stacked[: len(part)]"),
    ("engine", "weights[:, places]", "weights[:, : len(rows)]"),
    ("engine", "found[places], blocking", "found[: len(rows)], blocking"),
    ("engine", "series[places])", "series[: len(rows)])"),
    ("engine", "each[places] for name", "each[: len(rows)] for name"),
    ("card", "rows = host[start : start + each]", "rows = host[:each]"),
    ("card", "there = array[start : start + each]", "there = array[:each]"),
]
LAUNCHES = [
    ("kernels", "np.int64(ranks.size)", "ranks.size"),
    ("kernels", "32 * _parts(stocks, 32 * KEYS_A_THREAD)", "_parts(stocks, KEYS_A_THREAD)"),
    ("kernels", "RANK_THREADS = 512", "RANK_THREADS = 1024"),
    ("kernels", "MOMENT_THREADS = 128", "MOMENT_THREADS = 100"),
    ("kernels", "BLEND_THREADS = 64", "BLEND_THREADS = 128"),
    ("kernels", "(dtype.itemsize + 3)", "(dtype.itemsize + 2)"),
    ("kernels", "4 * (self._buckets + 1)", "4"),
    ("kernels", "4 * _DIGITS * (threads // 32 | 1)", "4 * _DIGITS * (threads // 32)"),
    ("kernels", "self._radix_bytes += 8 * stocks", "self._radix_bytes += 7 * stocks"),
    ("kernels", "memory.empty((rows + 1,), np.int32)", "memory.empty((rows,), np.int32)"),
    ("kernels", "self._listed.data.memset_async(0, 4)", "pass"),
    ("kernels", "(self._blocks, 2, stocks)", "(self._blocks, 1, stocks)"),
    ("kernels", "if kernels.fits(self._by_radix, self._radix_bytes + 8 * stocks):", "if True:"),
    ("kernels", "if kernels.fits(self._by_buckets, self._bucket_bytes):", "if True:"),
    ("kernels", "self._shared - kernel.shared_size_bytes", "self._shared"),
    ("kernels", "np.int64(blend.size)", "blend.size"),
    ("kernels", "tables.shape[1] if len(tables) > 1 else 0", "0"),
    ("kernels", "count * stocks if probes.ndim == 3 else 0", "0"),
    ("kernels", "own.shape[1] - 1, count)", "own.shape[1], count)"),
    ("kernels", "np.int64(stride // array.itemsize)", "np.int64(stride)"),
]
KERNELS = [
    (
        "sums",
        "__dadd_rn(sum[d], __dmul_rn(tile[part + i][d], prediction))",
        "sum[d] + tile[part + i][d] * prediction",  # the compiler fuses it
    ),
    ("sums", "return __dmul_rn(__longlong_as_double(bits), 0x1p896);", "return value;"),  # flushed
    ("sums", "__dadd_rn(sum[c], __dmul_rn(value, other))", "sum[c] + value * other"),
    (
        "algebra",
        "__dadd_rn(squares, __dmul_rn(deviation, deviation))",
        "squares + deviation * deviation",
    ),
    ("algebra", "__dsub_rn(with_target, slope)", "(with_target - slope) * 1.0000000000000002"),
    ("algebra", "field > -54 ? field + 54 : 1", "field > -54 ? field + 53 : 1"),
    ("algebra", "equal ? squares : ", ""),
    ("algebra", "if (meta[limbs] > 0) slope", "slope"),
    ("algebra", "first += own_limbs;", "first += 1;"),
    ("moments", "(long long)rank * other", "rank * other"),
    ("rank", "if (__syncthreads_or(several)) return false;", "__syncthreads_or(several);"),
    (
        "rank",
        "other == key) ++equal, before += places[place] < i",
        "other == key) ++equal, ++before",
    ),
]


@pytest.fixture
def mutated(monkeypatch, small_turns):
    """Return a GpuEngine of mutated source."""

    def mutate(module, right, wrong):
        modules = {}
        for name in ("memory", "kernels", "card", "round", "engine"):  # each imports those before
            path = FOLDER / f"{name}.py"
            text = path.read_text()
            if name == module:
                assert text.count(right) == 1, f"{right!r} stands {text.count(right)} times"
                text = text.replace(right, wrong)
            full = f"mmc_gpu.engines.gpu.{name}"
            modules[name] = types.ModuleType(full)
            monkeypatch.setitem(sys.modules, full, modules[name])
            monkeypatch.setattr(sys.modules["mmc_gpu.engines.gpu"], name, modules[name])
            exec(compile(text, str(path), "exec"), modules[name].__dict__)
        small_turns(*modules.values())
        return modules["engine"].GpuEngine

    return mutate


def attack_launches(make_engine, engine):
    """Do what kernels do, on little and much shared memory."""
    crowded = np.random.default_rng(0).random((5, 900)) ** 40  # many values in one bucket: sorted
    for shared, stocks in ((48_000, 900), (9_000, 400), (9_000, 900)):
        made = make_engine(engine, shared=shared, pooled=False)
        check_moments(made, crowded[:, :stocks], make_probes(1, stocks), "average")
        check_moments(made, make_block(9, stocks, np.float64), make_probes(1, stocks), "first")
        made.machine.check()
    made = make_engine(engine, order="others first", pooled=False)
    check_others(made, make_block(150, 40, np.float32))
    check_rank(made, make_block(1, 5200, np.float32), "first")


def attack_orders(make_engine, engine):
    """Do all that a round can do, in several orders."""
    for order, devices in (("late", 2), ("others first", 1)):
        made = make_engine(engine, order=order, devices=devices, pooled=False)
        check_plans(made)
        check_pinned(made)
        check_ordered(made)
        check_round(made, put=False)
        made.machine.check()
    block = make_block(20, 30, np.float32)
    stacked = made.get(made.stack([block, made.put(block)]))
    np.testing.assert_array_equal(stacked, np.concatenate([block, block]))


def goes_wrong(run):
    """Say whether this fails or crashes, in a process of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child starts no thread
        child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    faulthandler.disable()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        run()
    except BaseException:
        os._exit(1)
    finally:
        os._exit(0)


def test_the_engine_as_it_is_passes(make_engine, mutated):
    engine = mutated("engine", "_KEPT = 2", "_KEPT = 3")
    attack_launches(make_engine, engine)
    attack_orders(make_engine, engine)


@pytest.mark.parametrize(("module", "right", "wrong"), STREAMS + OFFSETS + LAUNCHES)
def test_a_mutation_is_noticed(make_engine, mutated, module, right, wrong):
    engine = mutated(module, right, wrong)
    attacks = [attack_launches, attack_orders][:: 1 if module == "kernels" else -1]
    assert any(goes_wrong(lambda: attack(make_engine, engine)) for attack in attacks)  # noqa: B023


def attack_kernels(make_engine, edit):
    """Compare blends, which the moments of ranks would hide, inner products and scores."""
    engine = make_engine(edit=edit)
    block = make_block(1100, 40, np.float32)
    tiny = np.finfo(np.float32).smallest_subnormal
    block[:, :5] = np.random.default_rng(0).integers(-9, 10, (1100, 5)) * tiny
    weights, zeros = make_weights(8, 1100), np.zeros((8, 40))
    found = engine.get(engine.combine(zeros, block, weights))
    same_bits(found, REFERENCE.combine(zeros, block, weights))
    check_others(engine, make_block(20, 600, np.float64))
    uneven = make_block(9, 900, np.float32)
    uneven[1] **= 40  # most values in one bucket
    check_rank(engine, uneven, "first")
    check_moments(engine, make_block(9, 4_000, np.float32), make_probes(2, 4_000), "first")
    with np.errstate(all="ignore"):
        flat = {"ties": "average", "flat": True, "stakers": 90}
        for options in ({}, flat, {"scale": 1e300}, {"scale": 1e308}, {"draws": 1}):
            check_plan(engine, make_plan(300, 41, np.float32, **options))


@pytest.mark.parametrize("capability", [75, 90])
def test_the_kernels_as_they_are_pass(make_engine, small_turns, capability):
    for threads in ptx.ORDERS:
        engine = make_engine(capability=capability, threads=threads)
        check_round(engine)
        check_plans(engine)
    attack_kernels(lambda edit: make_engine(capability=capability), None)


@pytest.mark.parametrize(("family", "right", "wrong"), KERNELS)
def test_a_mutation_of_a_kernel_is_noticed(make_engine, family, right, wrong):
    def edit(source):
        return source.replace(right, wrong)

    assert edit(kernel_source(family)) != kernel_source(family)
    assert goes_wrong(lambda: attack_kernels(make_engine, edit))
