"""The GPU engine against the NumPy engine, to the bit.

On a GPU where `--engines` names gpu, else on the fake CUDA, with the real CuPy and the real PTX.
What a GPU may do in any order, and what has too little memory, is always tried on the fake.

Long, because the checks here are also what the mutations are tried on.
"""

from dataclasses import replace
from itertools import pairwise

import gpu_parity
import numpy as np
import pytest
from gpu_parity import (
    REFERENCE,
    check_combine,
    check_moments,
    check_others,
    check_plan,
    check_rank,
    check_round,
    make_block,
    make_plan,
    make_probes,
    make_weights,
)

from benchmarks.gpu.fake_cuda import ORDERS
from mmc_gpu.engines import load_engine
from mmc_gpu.engines.ahead import side_by_side
from mmc_gpu.engines.gpu import engine as gpu_engine
from mmc_gpu.engines.protocol import GROUP
from mmc_gpu.engines.selection import Selection
from mmc_gpu.errors import EngineUnavailable
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.round import take_round
from mmc_gpu.rounds.scoring import score


@pytest.fixture
def gpu(request):
    """The GPU engine: of this machine's GPU where `--engines` names it."""
    if "gpu" in str(request.config.getoption("engines", default="")):
        return load_engine("gpu")
    return request.getfixturevalue("make_engine")()


# everywhere


@pytest.mark.parametrize("ties", ["first", "average"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (20, 33), (7, 1000), (5, 5001)])
def test_ranks_are_the_references(gpu, shape, dtype, ties):
    check_rank(gpu, make_block(*shape, dtype), ties)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stocks", [27_000, 60_000, 70_000])
def test_rows_too_long_for_shared_memory_are_ranked(gpu, stocks, dtype):
    rng = np.random.default_rng(stocks)
    check_rank(gpu, rng.normal(size=(2, stocks)).astype(dtype), "first")
    check_rank(gpu, rng.integers(0, 999, (1, stocks)).astype(dtype), "average")


def test_a_row_of_a_million_is_ranked(gpu):
    row = np.random.default_rng(0).integers(0, 2**16, (1, 10**6)).astype(np.float32)
    check_rank(gpu, row, "first")


@pytest.mark.parametrize("ties", ["first", "average"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "stocks", "count"), [(1, 3, 1), (9, 100, 22), (30, 333, 8)])
def test_moments_are_the_references(gpu, rows, stocks, count, dtype, ties):
    block, probes = make_block(rows, stocks, dtype), make_probes(count, stocks)
    check_moments(gpu, block, probes, ties)
    check_moments(gpu, block, probes, ties, put=False)


@pytest.mark.parametrize("put", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_other_verbs_are_the_references(gpu, dtype, put):
    check_others(gpu, make_block(20, 600, dtype), put=put)
    check_others(gpu, np.asfortranarray(make_block(3, 5, dtype)), put=put)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize(("stakers", "stocks", "draws"), [(1, 3, 1), (1025, 70, 20), (2500, 5, 3)])
def test_blends_are_the_references(gpu, stakers, stocks, draws, dtype):
    block = (make_block(stakers, stocks, np.float64) * 1000).astype(dtype)
    check_combine(gpu, [block], make_weights(draws, stakers))
    check_combine(gpu, [block], make_weights(draws, stakers), put=False)


@pytest.mark.parametrize("put", [True, False])
def test_block_size_changes_nothing(gpu, put):
    block, weights = make_block(5 * GROUP + 3, 6, np.float32), make_weights(2, 5 * GROUP + 3)
    for groups in (1, 2, 5, 6):
        step = groups * GROUP
        blocks = [block[start : start + step] for start in range(0, len(block), step)]
        check_combine(gpu, blocks, weights, put=put)


@pytest.mark.parametrize("put", [True, False])
@pytest.mark.parametrize("layout", ["fortran", "every other", "backwards", "read-only"])
def test_layouts_change_nothing_and_stay_as_they_are(gpu, layout, put):
    wide = make_block(2 * GROUP, 40, np.float32)
    block = {
        "fortran": np.asfortranarray(wide),
        "every other": wide[::2, ::2],
        "backwards": wide[::-1, ::-1],
        "read-only": wide,
    }[layout]
    block.flags.writeable = False
    before = block.copy()
    stakers, stocks = block.shape
    check_combine(gpu, [block], make_weights(3, stakers), put=put)
    check_rank(gpu, block, "first", put=put)
    check_moments(gpu, block, make_probes(3, stocks), "average", put=put)
    np.testing.assert_array_equal(block, before)


def test_a_block_of_no_rows_is_a_block(gpu):
    block = np.empty((0, 5), np.float32)
    assert gpu.get(gpu.rank(gpu.put(block), "first")).shape == (0, 5)
    assert gpu.moments(gpu.put(block), make_probes(2, 5), "first").shape == (0, 3)


def test_verbs_leave_their_arguments_alone(gpu):
    block, blend = make_block(30, 20, np.float64), make_block(2, 20, np.float64)
    there, blended = gpu.put(block), gpu.put(blend)
    gpu.combine(blended, there, make_weights(2, 30))
    gpu.rank(there, "first")
    gpu.moments(there, make_probes(2, 20), "first")
    np.testing.assert_array_equal(gpu.get(there), block)
    np.testing.assert_array_equal(gpu.get(blended), blend)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("users", "stocks", "options"),
    [
        (9, 40, {}),
        (9, 40, {"draws": 1}),
        (200, 30, {"ties": "average", "flat": True, "stakers": 90}),  # constant meta models
        (2 * GROUP + 90, 37, {"stakers": GROUP + 7, "draws": 20}),
        (GROUP + 60, 37, {"ranked": True, "stakers": 1030, "scale": 1 / 12}),
        (9, 40, {"scale": 1e-300}),  # scores that overflow when they are squared
        (9, 40, {"scale": 1e300}),
        (9, 40, {"scale": 5e-324}),
        (9, 40, {"per_draw": False}),
    ],
)
def test_a_round_in_one_plan_has_the_bits_of_the_algebra(gpu, users, stocks, options, dtype):
    with np.errstate(all="ignore"):
        plan = make_plan(users, stocks, dtype, **options)
        check_plan(gpu, plan)
        check_plan(gpu, plan, gpu.put(plan.block))
        check_plan(gpu, make_plan(users, stocks, dtype, **options), gpu.put(plan.block))


@pytest.mark.parametrize("on_gpu", [True, False])
@pytest.mark.parametrize(
    "layout", ["users", "stocks", "rows", "some columns", "rows and columns", "strided"]
)
def test_a_plan_takes_any_layout(gpu, layout, on_gpu):
    plan, rng = make_plan(60, 40, np.float32), np.random.default_rng(0)
    rows, columns = rng.permutation(60), rng.permutation(40)
    matrix = np.empty_like(plan.block)
    matrix[np.ix_(rows, columns if layout == "rows and columns" else np.arange(40))] = plan.block
    wide, aside = np.zeros((120, 80), np.float32), np.zeros((60, 50), np.float32)
    wide[::2, ::2] = aside[:, 7:47] = plan.block
    place = gpu.put if on_gpu else lambda block: block
    given = {
        "users": lambda: place(plan.block),
        "stocks": lambda: place(np.ascontiguousarray(plan.block.T)).T,
        "rows": lambda: Selection(place(matrix), rows, range(40)),
        "some columns": lambda: Selection(place(aside), np.arange(60), range(7, 47)),
        "rows and columns": lambda: Selection(place(matrix), rows, columns),
        "strided": lambda: place(wide)[::2, ::2],
    }[layout]()
    check_plan(gpu, plan, given)


# on the fake: what a GPU may do in any order


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("put", "devices"), [(True, 1), (False, 1), (False, 3)])
def test_no_order_of_the_work_changes_a_round(make_engine, small_turns, put, devices, order):
    check_round(make_engine(order=order, devices=devices, pooled=False), put=put)


@pytest.mark.parametrize("layout", ["users", "stocks", "rows"])
def test_all_gpus_score_a_round_and_one_a_round_that_goes_by_blocks(make_engine, layout):
    engine, rng = make_engine(devices=3, order="others first"), np.random.default_rng(1)
    users, stocks = 2 * GROUP + 9, 12
    predictions = make_block(users, stocks, np.float32)
    predictions[:, 0] = 0.123  # none is constant
    names = rng.permutation(users).astype(str) if layout == "rows" else None
    given = predictions.T if layout == "users" else np.ascontiguousarray(predictions.T)
    round_ = take_round(given, np.ones(users), rng.normal(size=stocks), users=names)
    expected = score(round_, Method(draws=2), REFERENCE).digest
    for rows, devices in ((None, {0, 1, 2}), (GROUP, {0})):
        engine.machine.log()
        assert score(round_, Method(draws=2), engine, block_rows=rows).digest == expected
        logged = engine.machine.logged()
        for kernel in ("sum_groups_f32", "rank_buckets_f32"):
            assert {device for name, _, device, *_ in logged if name == kernel} == devices


@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_no_order_of_the_work_changes_a_plan(make_engine, small_turns, order, devices):
    check_plans(make_engine(order=order, devices=devices, pooled=False))


def check_plans(engine):
    for ranked in (False, True):
        group = gpu_parity.GROUP
        plan = make_plan(2 * group + 90, 5, np.float32, ranked=ranked, stakers=2 * group + 7)
        held = pinned(engine, plan.block)
        for given in (plan.block, engine.put(plan.block.T).T) if ranked else (plan.block, held):
            check_plan(engine, plan, given)
        check_plan(engine, replace(plan, weights=plan.weights[::-1].copy()))
        engine.machine.check()


def pinned(engine, block):
    there = engine.cards[0].memory.pinned(block.shape, block.dtype)
    there[...] = block
    return there


@pytest.mark.parametrize("order", ORDERS)
def test_pinned_blocks_may_change_when_a_verb_has_returned(make_engine, small_turns, order):
    check_pinned(make_engine(order=order, pooled=False))


def check_pinned(engine):
    block, weights = make_block(163, 9, np.float32), make_weights(2, 163)
    blend, held = np.zeros((2, 9)), pinned(engine, block)
    for verb, expected in (
        (engine.put, block),
        (lambda given: engine.rank(given, "first"), REFERENCE.rank(block, "first")),
        (
            lambda given: engine.combine(blend, given, weights),
            REFERENCE.combine(blend, block, weights),
        ),
    ):
        held[...] = block
        result = verb(held)
        held[...] = 7
        np.testing.assert_array_equal(engine.get(result), expected)


@pytest.mark.parametrize("order", ORDERS)
def test_verbs_are_ordered_by_the_callers_stream(make_engine, order):
    check_ordered(make_engine(order=order, pooled=False))


def check_ordered(engine):
    cupy, plan = engine._cupy, make_plan(40, 30, np.float32)
    held = pinned(engine, plan.block)
    expected = REFERENCE.rank(plan.block, "first")
    for verb in (
        lambda there: np.testing.assert_array_equal(engine.rank(there, "first").get(), expected),
        lambda there: check_plan(engine, plan, there),
        lambda there: check_plan(engine, plan, Selection(there, np.arange(40), np.arange(30))),
    ):
        with cupy.cuda.Stream(non_blocking=True):
            there = cupy.empty(held.shape, np.float32)
            there.data.copy_from_host_async(held.ctypes.data, held.nbytes)  # not waited for
            verb(there)


def test_users_are_ranked_beside_the_blends_and_nothing_waits_in_line_behind_them(make_engine):
    engine = make_engine(order="late")
    plan = make_plan(60, 41, np.float32)
    engine.machine.log()
    check_plan(engine, plan, engine.put(plan.block))
    logged = engine.machine.logged()
    users, blends = (
        next(one for one in logged if one[0] == f"rank_buckets_{kind}") for kind in ("f32", "f64")
    )
    assert users[1] != blends[1]
    assert users[3] > blends[3]  # urgent streams have lower numbers
    assert {one[1] for one in logged if one[0] in ("sum_groups_f32", "add_groups")} == {blends[1]}
    ran = [name for name, *_ in engine.machine.logged("r")]
    own = ran.index("moments")
    assert ran.index("rank_buckets_f64") < own < ran.index("rank_buckets_f32")


def test_rows_of_the_host_are_copied_while_others_are_computed(make_engine, small_turns):
    engine = make_engine(order="late")
    engine.machine.log()
    check_plan(engine, make_plan(4 * gpu_parity.GROUP, 9, np.float32))
    names = [name for name, *_ in engine.machine.logged()]
    sums = [at for at, name in enumerate(names) if name == "sum_groups_f32"]
    assert len(sums) == 4
    assert all("copy" in names[before:after] for before, after in pairwise(sums))


def test_the_second_round_of_a_shape_allocates_nothing(make_engine):
    engine = make_engine(pooled=False)
    plan = make_plan(200, 30, np.float32)
    check_plan(engine, plan)
    used, calls = engine.machine.used(), engine.machine.library.fake_calls()
    for _ in range(2):
        check_plan(engine, plan)
        assert engine.machine.used() == used
    assert engine.machine.library.fake_calls() - calls < 300


def test_memory_of_few_shapes_is_kept(make_engine):
    engine = make_engine(pooled=False, memory=40_000_000)
    for users in (40, 50, 60, 70):
        check_plan(engine, make_plan(users, 30, np.float32))
    assert len(engine._rounds) == 2
    used = engine.machine.used()
    check_plan(engine, make_plan(20 * GROUP, 30, np.float32))  # more than an eighth of the memory
    assert engine.machine.used() == used


def test_a_round_that_does_not_fit_goes_by_blocks(make_engine, monkeypatch):
    monkeypatch.setattr(gpu_engine, "TURN", 1 << 16)
    engine = make_engine(memory=2_500_000)
    users, stocks = 5 * GROUP, 71
    check_plan(engine, make_plan(40, stocks, np.float32))
    assert engine._rounds
    predictions = make_block(users, stocks, np.float32)
    predictions[:, 0] = 0.123  # none is constant
    round_ = take_round(predictions.T, np.ones(users), np.random.default_rng(1).normal(size=stocks))
    method = Method(draws=3)
    scores = score(round_, method, engine)
    assert not engine._rounds  # their memory was given back first
    assert scores.digest == score(round_, method, REFERENCE).digest


@pytest.mark.parametrize("order", ORDERS)
def test_scores_may_compute_with_the_engines_arrays(make_engine, order):
    engine = make_engine(order=order, pooled=False)
    block, factor = make_block(9, 70, np.float64), make_block(9, 1, np.float64)
    single = make_block(9, 70, np.float32)
    there, alone, factors = (engine.put(array) for array in (block, single, factor))
    expected = block - single * 0.5 + factor * block
    np.testing.assert_array_equal(engine.get(there - alone * 0.5 + factors * there), expected)
    np.testing.assert_array_equal(engine.get(-there[:, ::2]), -block[:, ::2])
    places = np.array([3, 1, 60])
    np.testing.assert_array_equal(engine.get(there.take(places, axis=1)), block[:, places])
    lengths = (there * there).sum(axis=1)
    np.testing.assert_allclose(engine.get(lengths), (block * block).sum(axis=1), rtol=1e-14)
    least = float(engine.get(lengths).mean())
    chosen = engine.get(there * (lengths > least)[:, None])
    np.testing.assert_array_equal(chosen, block * (engine.get(lengths) > least)[:, None])


def test_what_is_put_goes_to_the_device_once(make_engine):
    check_once(make_engine())


def check_once(engine):
    block, weights = make_block(70, 20, np.float32), make_weights(3, 70)
    there, probes = engine.put(block), make_probes(4, 20)
    engine.machine.log()
    engine.combine(np.zeros((3, 20)), there, weights)
    engine.moments(there, probes, "first")
    copied = [size for name, _, _, _, size in engine.machine.logged() if name == "copy"]
    assert sorted(copied)[-3:] == sorted([3 * 20 * 8, weights.nbytes, 70 * 5 * 8])


def test_each_thread_has_a_gpu_of_its_own(make_engine):
    engine = make_engine(devices=2)
    block = make_block(20, 30, np.float32)
    assert engine.at_once == 2
    found = list(
        side_by_side(lambda block: engine.rank(block, "first"), [block] * 6, threads=2, most=4)
    )
    for ranks in found:
        np.testing.assert_array_equal(engine.get(ranks), REFERENCE.rank(block, "first"))
    assert {ranks.device.id for ranks in found} == {0, 1}


def test_what_rows_meet_may_be_on_another_device(make_engine):
    engine = make_engine(devices=2)
    block, probes = make_block(5, 40, np.float64), make_block(3, 40, np.float64)
    with engine.cards[1].device:
        there = engine.cards[1].upload(block)
    found = engine.inner(there, None, engine.put(probes), "first")
    np.testing.assert_array_equal(found, REFERENCE.inner(block, None, probes, "first"))
    stacked = engine.get(engine.stack([there, engine.put(probes), block]))
    np.testing.assert_array_equal(stacked, np.concatenate([block, probes, block]))
    plan = make_plan(60, 40, np.float32)
    with engine.cards[1].device:
        away = engine.cards[1].upload(plan.block)
    check_plan(engine, plan, away)


class Foreign:
    """Another library's array, on the device."""

    def __init__(self, held, **attributes):
        self.held = held
        vars(self).update(attributes)


def test_arrays_on_the_device_are_used_where_they_are(make_engine):
    engine = make_engine(devices=2)
    block = make_block(20, 30, np.float32)
    with engine.cards[1].device:
        away = engine.cards[1].upload(block)
    for held in (engine.put(block), away):
        carried = {"__cuda_array_interface__": held.__cuda_array_interface__}
        dlpack = {
            "__dlpack__": lambda held=held, **how: held.__dlpack__(**how),
            "__dlpack_device__": held.__dlpack_device__,
        }
        for array in (Foreign(held, **carried), Foreign(held, **carried, **dlpack), held):
            assert engine.put(array).data.ptr == held.data.ptr
            check_rank_of(engine, array, block)
        check_rank_of(engine, held.T, np.ascontiguousarray(block.T))
        check_rank_of(engine, held[5:9], block[5:9])


def check_rank_of(engine, array, block):
    found = engine.get(engine.rank(array, "first"))
    np.testing.assert_array_equal(found, REFERENCE.rank(block, "first"))


def test_other_hosts_arrays_are_uploaded(make_engine):
    class Tensor:
        """Only DLPack, on the host."""

        def __init__(self, values):
            self.__dlpack__ = values.__dlpack__
            self.__dlpack_device__ = values.__dlpack_device__

    engine, block = make_engine(), make_block(5, 9, np.float32)
    for array in (Tensor(block), block.tolist()):
        np.testing.assert_array_equal(engine.get(engine.put(array)), block)


@pytest.mark.parametrize("put", [True, False])
def test_foreign_byte_order_is_nothing_to_a_gpu(make_engine, put):
    engine, block = make_engine(), make_block(GROUP + 9, 7, np.float32)
    foreign, weights = block.astype(">f4"), make_weights(2, GROUP + 9)
    there = engine.put(foreign) if put else foreign
    found = engine.get(engine.combine(engine.zeros(2, 7), there, weights))
    np.testing.assert_array_equal(found, REFERENCE.combine(np.zeros((2, 7)), block, weights))
    check_rank_of(engine, there, block)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("devices", [1, 2])
def test_nothing_is_under_way_when_an_error_leaves_a_round(
    make_engine, small_turns, devices, order
):
    engine = make_engine(order=order, devices=devices, pooled=False)
    plan = make_plan(3 * gpu_parity.GROUP, 9, np.float32)
    for stop in (2, 5):
        with pytest.MonkeyPatch.context() as patch:
            launched = []
            for card in engine.cards:

                def failing(*of, stop=stop, launched=launched, launch=card.kernels.launch):
                    launched.append(of)
                    if len(launched) > stop:
                        raise KeyboardInterrupt
                    launch(*of)

                patch.setattr(card.kernels, "launch", failing)
            with pytest.raises(KeyboardInterrupt):
                engine.score_round(plan)
        engine.machine.log()
        engine.machine.check()
        assert not engine.machine.logged("r")  # all had run
    check_plan(engine, plan)


def test_what_is_cached_makes_room(make_engine):
    engine = make_engine(memory=1_000_000)
    kept = engine._cupy.empty(600_000, np.uint8)
    del kept  # of another size: CuPy keeps it
    assert engine.cards[0].memory.empty((700_000,), np.uint8).nbytes == 700_000


def test_a_block_that_does_not_fit_is_streamed(make_engine, monkeypatch):
    monkeypatch.setattr(gpu_engine, "TURN", 1 << 16)
    block = make_block(8 * GROUP, 37, np.float32)
    engine = make_engine(memory=block.nbytes)
    assert engine.put(block) is block
    check_combine(engine, [block], make_weights(3, len(block)))
    check_moments(engine, block[::5], make_probes(5, 37), "first", put=False)


def test_what_cannot_fit_at_all_is_an_error_with_sizes(make_engine):
    engine = make_engine(memory=100_000)
    block = make_block(GROUP, 37, np.float32)
    with pytest.raises(
        EngineUnavailable, match=r"MB free of 0\.1 MB, and an array of this round must have 0\.\d"
    ):
        engine.combine(np.zeros((3, 37)), block, make_weights(3, GROUP))


def test_a_memory_limit_of_the_pool_counts(make_engine):
    engine = make_engine()
    pool = engine._cupy.get_default_memory_pool()
    pool.set_limit(size=50_000)
    try:
        assert engine.cards[0].memory.room() <= 50_000
    finally:
        pool.set_limit(size=0)


def test_the_gpu_engine_is_loaded_by_name_and_once_a_thread(make_engine):
    make_engine()
    assert load_engine("gpu").name == "gpu"
    assert load_engine("gpu") is load_engine("gpu") is load_engine("auto")
