"""The GPU engine against the NumPy engine, to the bit.

On a GPU where `--engines` names gpu, else on the stand-in. What a GPU may do in any order, and what
it has too little memory for, is always tried on the stand-in.

Long, because the checks here are also what the mutations are tried on.
"""

from itertools import pairwise

import cupy_standin
import numpy as np
import pandas as pd
import pytest
from gpu_parity import (
    REFERENCE,
    check_begun,
    check_combine,
    check_moments,
    check_others,
    check_rank,
    check_round,
    make_block,
    make_probes,
    make_weights,
)

from mmc_gpu.engines import load_engine
from mmc_gpu.engines.gpu import card as gpu_card
from mmc_gpu.engines.gpu import engine as gpu_engine
from mmc_gpu.engines.gpu import memory as gpu_memory
from mmc_gpu.engines.gpu.blocks import Spread
from mmc_gpu.engines.protocol import GROUP
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


@pytest.fixture
def small_turns(monkeypatch):
    """Blocks are taken in many turns, and copied in many pieces."""
    monkeypatch.setattr(gpu_engine, "HOST_TURN", 20_000)
    monkeypatch.setattr(gpu_engine, "DEVICE_TURN", 30_000)
    monkeypatch.setattr(gpu_card, "_STAGE", 9_000)
    monkeypatch.setattr(gpu_card, "_TILE", 1_000)


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


# on the stand-in: what a GPU may do in any order


@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("order", cupy_standin.ORDERS)
@pytest.mark.parametrize("put", [True, False])
def test_no_order_of_the_work_changes_a_round(make_engine, small_turns, put, order, devices):
    check_round(make_engine(order=order, devices=devices), put=put)


@pytest.mark.parametrize("order", cupy_standin.ORDERS)
@pytest.mark.parametrize("devices", [1, 2])
def test_pinned_blocks_may_change_when_a_verb_has_returned(
    make_engine, small_turns, devices, order
):
    check_pinned(make_engine(order=order, devices=devices))


def check_pinned(engine):
    block, weights = make_block(GROUP + 99, 9, np.float32), make_weights(2, GROUP + 99)
    blend = np.zeros((2, 9))
    pinned = engine.cards[0].pinned(block.shape, np.float32)

    def taken(given):
        there = engine.put(given)
        engine.rank(there, "first")
        return there

    for verb, expected in (
        (lambda given: engine.put(given[:GROUP]), block[:GROUP]),
        (taken, block),
        (lambda given: engine.rank(given, "first"), REFERENCE.rank(block, "first")),
        (
            lambda given: engine.combine(blend, given, weights),
            REFERENCE.combine(blend, block, weights),
        ),
    ):
        pinned[...] = block
        result = verb(pinned)
        pinned[...] = 7
        np.testing.assert_array_equal(engine.get(result), expected)


@pytest.mark.parametrize("order", cupy_standin.ORDERS)
@pytest.mark.parametrize("devices", [1, 2])
def test_ranks_that_are_begun_are_those_of_the_rows(make_engine, small_turns, devices, order):
    engine = make_engine(order=order, devices=devices)
    for rows in (1, 40, GROUP + 9):
        check_begun(engine, make_block(rows, 33, np.float64), "average")
    strided = engine.put(make_block(40, 33, np.float32)).T
    probes = make_probes(3, 40)
    found = engine.moments(engine.begin(strided, "first"), probes, "first")
    np.testing.assert_array_equal(
        found, REFERENCE.moments(engine.get(strided).copy(), probes, "first")
    )
    host = make_block(3, 4, np.float32)
    assert engine.begin(host, "first") is None
    begun = engine.begin(engine.put(host), "first")
    assert engine.begin(begun, "first") is begun
    ranks = engine.rank(host, "first")
    assert engine.begin(ranks, "first") is ranks


@pytest.mark.parametrize("order", cupy_standin.ORDERS)
@pytest.mark.parametrize("devices", [1, 2])
def test_as_many_ranks_are_begun_as_memory_is_to_spare(make_engine, small_turns, devices, order):
    check_begun_in_part(make_engine(order=order, devices=devices))


def check_begun_in_part(engine):
    for rows in (0, 30, GROUP + 200):
        for card in engine.cards:
            card.spare = lambda rows=rows: rows * 33 * 4
        for stakers in (50, 2 * GROUP + 90):
            check_begun(engine, make_block(stakers, 33, np.float32), "average")


def test_rows_stay_while_they_are_ranked_whoever_lets_go_of_them(make_engine):
    check_let_go(make_engine())


def check_let_go(engine):
    card, machine, before = engine.cards[0], engine.machine, engine.machine.used[0]
    there = engine.put(make_block(90, 40, np.float32))
    size = there.nbytes
    engine.begin(there, "first")
    del there
    card.wait()
    assert machine.used[0] >= before + size  # nobody has waited for the ranks
    machine.run_all()
    card.wait()
    assert machine.used[0] == before


def test_half_of_a_gpu_is_kept_for_what_has_to_be_there(make_engine):
    engine = make_engine(memory=1_000_000)
    card = engine.cards[0]
    assert card.spare() == 250_000
    first = card.empty((350_000,), np.uint8)
    assert card.spare() == 150_000
    others = card.empty((200_000,), np.uint8)
    assert card.spare() == 0
    assert first.nbytes + others.nbytes + card.room() == 1_000_000


def test_rows_are_ranked_as_they_arrive(make_engine, small_turns):
    engine = make_engine()
    block, weights = make_block(4 * GROUP, 9, np.float32), make_weights(3, 4 * GROUP)
    there = engine.put(block)
    begun = engine.begin(there, "first")
    assert "rank_buckets_f32" not in dict(engine.machine.launches)
    engine.combine(engine.zeros(3, 9), there, weights)
    names = [name for name, _ in engine.machine.streamed]
    assert [name for name in names if name in ("rank_buckets_f32", "sum_groups_f32")] == [
        "rank_buckets_f32",
        "sum_groups_f32",
    ] * 4
    copied = [at for at, name in enumerate(names) if name == "copy"]
    ranked = [at for at, name in enumerate(names) if name == "rank_buckets_f32"]
    assert all(any(before < at < after for at in copied) for before, after in pairwise(ranked))
    engine.machine.launches.clear()
    probes = make_probes(2, 9)
    moments = engine.moments(begun, probes, "first")
    np.testing.assert_array_equal(moments, REFERENCE.moments(block, probes, "first"))
    assert {name for name, _, _ in engine.machine.launches} == {"moments"}


def test_what_others_hold_of_a_gpu_is_not_asked_for_every_time(make_engine, monkeypatch):
    engine = make_engine()
    runtime, asked = engine._cupy.cuda.runtime, []
    info = runtime.memGetInfo
    monkeypatch.setattr(runtime, "memGetInfo", lambda: asked.append(None) or info())
    now = [0.0]
    monkeypatch.setattr(gpu_memory, "monotonic", lambda: now[0])
    room = engine.cards[0].room()
    held = engine.cards[0].empty((1000,), np.uint8)
    assert engine.cards[0].room() == room - held.nbytes
    assert len(asked) == 1
    monkeypatch.setattr(runtime, "memGetInfo", lambda: (info()[0] - 5_000, info()[1]))
    assert engine.cards[0].room() == room - held.nbytes
    now[0] = 1.0
    assert engine.cards[0].room() == room - held.nbytes - 5_000


def test_ranks_of_blends_and_of_users_wait_for_neither(make_engine):
    check_overlap(make_engine)


def check_overlap(make_engine, engine_of=gpu_engine.GpuEngine):
    block, blends = make_block(50, 40, np.float32), make_block(3, 40, np.float64)
    sizes = {"blends": 3, "users": 50}
    for first in sizes:
        engine = make_engine(engine_of)  # what is not waited for has not been done
        there, blend = engine.put(block), engine.put(blends)
        begun = engine.begin(there, "first")
        ready = engine.cards[0]._early.record()
        ranked = engine.rank(blend, "first")
        engine.machine.ran.clear()
        if first == "blends":
            engine.get(ranked)
        else:
            ready.synchronize()
        ranked_rows = [rows for name, rows, _ in engine.machine.ran if "buckets" in name]
        assert ranked_rows == [sizes[first]]
        engine.moments(begun, make_probes(1, 40), "first")


@pytest.mark.parametrize("on_gpu", [True, False])
def test_a_round_ranks_its_users_beside_its_blends(make_engine, on_gpu):
    engine = make_engine()  # what is not waited for has not been done
    predictions = make_block(60, 41, np.float32)
    predictions[:, 0] = 0.123  # none is constant
    given = engine.put(predictions) if on_gpu else predictions
    round_ = take_round(given.T, np.ones(60), np.arange(41.0))
    score(round_, Method(draws=4), engine)
    launched, ran = (
        [(name, blocks) for name, blocks, _ in done]
        for done in (engine.machine.launches, engine.machine.ran)
    )
    users, blends = ("rank_buckets_f32", 60), ("rank_buckets_f64", 5)
    (blended,) = (at for at, one in enumerate(launched) if one[0] == "sum_groups_f32")
    assert launched.index(users) < blended < launched.index(blends)
    own, _ = (at for at, (name, _) in enumerate(ran) if name == "moments")
    assert ran.index(blends) < own < ran.index(users)  # also their products with the target


def test_the_first_pass_copies_and_computes_at_the_same_time(make_engine, small_turns):
    engine = make_engine()
    block, weights = make_block(4 * GROUP, 9, np.float32), make_weights(3, 4 * GROUP)
    there = engine.put(block)
    assert not engine.machine.copied
    engine.combine(np.zeros((3, 9)), there, weights)
    streamed = [stream for name, stream in engine.machine.streamed if name == "sum_groups_f32"]
    assert streamed == [1, 2, 1, 2]
    names = [name for name, _ in engine.machine.streamed]
    for turn in range(1, 4):  # copies of a turn are enqueued between the sums
        before, after = [at for at, name in enumerate(names) if name == "sum_groups_f32"][
            turn - 1 : turn + 1
        ]
        between = engine.machine.streamed[before:after]
        assert ("copy", streamed[turn]) in between
    copied = engine.machine.copied
    np.testing.assert_array_equal(engine.get(there), block)
    engine.combine(np.zeros((3, 9)), there, weights)
    assert engine.machine.copied == copied + weights.nbytes + 3 * 9 * 8


@pytest.mark.parametrize("pinned", [True, False])
def test_five_thousand_users_come_in_five_turns(make_engine, monkeypatch, pinned):
    monkeypatch.setattr(gpu_engine, "HOST_TURN", gpu_engine.HOST_TURN // 100)  # as the stocks
    engine = make_engine()
    block = made = make_block(5_000, 50, np.float32)
    if pinned:
        block = engine.cards[0].pinned(made.shape, made.dtype)
        block[...] = made
    check_combine(engine, [block], make_weights(1, 5_000))
    sums = [name for name, _, _ in engine.machine.launches if name == "sum_groups_f32"]
    assert len(sums) == 5


def test_what_is_put_goes_to_the_device_once(make_engine):
    check_once(make_engine())


def check_once(engine):
    for stakers in (70, GROUP + 9):
        block, weights = make_block(stakers, 20, np.float32), make_weights(3, stakers)
        before = engine.machine.copied
        there = engine.put(block)
        engine.combine(engine.put(np.zeros((3, 20))), there, weights)
        probes = make_probes(4, 20)
        engine.moments(there, probes, "first")
        small = 3 * 20 * 8 + weights.nbytes + probes.nbytes
        assert engine.machine.copied == before + block.nbytes + small


def test_what_rows_meet_may_be_on_another_device(make_engine):
    check_near(make_engine(devices=2))


def check_near(engine):
    block, probes = make_block(5, 40, np.float64), make_block(3, 40, np.float64)
    with engine.cards[1].device:
        there = engine.cards[1].upload(block)
    found = engine.inner(there, None, engine.put(probes), "first")
    np.testing.assert_array_equal(found, REFERENCE.inner(block, None, probes, "first"))


@pytest.mark.parametrize(
    ("memory", "block_rows", "kept"),
    [
        *((1 << 30, None, 2 * GROUP + 50), (1 << 30, GROUP, 2 * GROUP + 50)),
        *((1_600_000, None, 0), (1_600_000, GROUP, GROUP)),
    ],
)
def test_a_rounds_predictions_go_to_the_device_once_where_they_fit(
    make_engine, memory, block_rows, kept
):
    engine = make_engine(memory=memory)
    stakers, users, stocks = 2 * GROUP + 50, 2 * GROUP + 90, 71
    stakes = np.r_[np.linspace(1, 9, stakers), np.zeros(users - stakers)]
    target = np.random.default_rng(1).normal(size=stocks)
    predictions = make_block(users, stocks, np.float32)
    predictions[:, 0] = 0.123  # none is constant
    round_ = take_round(predictions.T, stakes, target)
    method = Method(draws=3)
    scores = score(round_, method, engine, block_rows=block_rows)
    assert scores.digest == score(round_, method, REFERENCE).digest
    others = 4 * stakers * 8 + 4 * stocks * 8 + 4 * 6 * stocks * 4  # weights, blends, probes
    copied = (users + stakers - kept) * predictions[0].nbytes
    assert copied < engine.machine.copied <= copied + others


@pytest.mark.parametrize("devices", [2, 3])
def test_groups_are_shared_out_among_devices(make_engine, devices):
    engine = make_engine(devices=devices)
    there = engine.put(make_block(5 * GROUP + 1, 4, np.float32))
    assert isinstance(there, Spread)
    assert there.shape == (5 * GROUP + 1, 4)
    assert [part.device.id for part in there.parts] == list(range(devices))
    assert all(len(part) % GROUP == 0 for part in there.parts[:-1])
    assert not isinstance(engine.put(make_block(GROUP, 4, np.float32)), Spread)


@pytest.mark.parametrize("pinned", [True, False])
def test_gpus_are_copied_to_in_turn(make_engine, small_turns, pinned):
    engine = make_engine(devices=3)
    made = make_block(7 * GROUP + 1, 9, np.float32)
    block = engine.cards[0].pinned(made.shape, made.dtype) if pinned else made
    block[...] = made
    there = engine.put(block)
    assert [part.device.id for part in there.parts] == [0, 1, 2, 0, 1, 2, 0, 1]
    weights = make_weights(2, len(block))
    engine.combine(engine.zeros(2, 9), there, weights)
    machine = engine.machine
    copies = [machine.queues[queue].device for name, queue in machine.streamed if name == "copy"]
    first, last = (
        {device: find(at for at, to in enumerate(copies) if to == device) for device in range(3)}
        for find in (min, max)
    )
    assert max(first.values()) < min(last.values())
    np.testing.assert_array_equal(engine.get(there), made)


@pytest.mark.parametrize("layout", ["stocks", "users"])
def test_a_round_in_another_order_keeps_all_gpus_busy(make_engine, layout):
    engine, stakers, stocks = make_engine(devices=2), 3 * GROUP + 9, 12
    predictions = make_block(stakers, stocks, np.float32)[:, ::-1]
    predictions[:, 0] = 0.123  # none is constant
    given = predictions.T if layout == "users" else np.ascontiguousarray(predictions.T)
    ids = [f"s{number:03d}" for number in range(stocks)][::-1]  # columns have to be reordered
    target = pd.Series(np.arange(12.0), index=ids)
    round_ = take_round(given, np.ones(stakers), target, ids=ids)
    scores = score(round_, Method(draws=2), engine)
    assert scores.digest == score(round_, Method(draws=2), REFERENCE).digest
    machine = engine.machine
    for name in ("sum_groups_f32", "rank_buckets_f32"):
        queues = [queue for launched, queue in machine.streamed if launched == name]
        assert {machine.queues[queue].device for queue in queues} == {0, 1}


@pytest.mark.parametrize("order", cupy_standin.ORDERS)
def test_many_blends_are_one_whatever_device_they_are_on(make_engine, order):
    check_spread_blend(make_engine(devices=2, order=order))


def check_spread_blend(engine):
    draws, block = GROUP + 5, make_block(3, 2, np.float64)
    spread = engine.put(np.zeros((draws, 2)))
    assert [part.device.id for part in spread.parts] == [0, 1]
    check_combine(engine, [block], make_weights(draws, 3))
    blend, parts = make_block(7, 2, np.float64), []
    for card, rows in zip(engine.cards, (blend[:4], blend[4:]), strict=True):
        with card.device:
            parts.append(card.upload(rows))  # not waited for
    found = engine.get(engine.combine(type(spread)(parts), block, make_weights(7, 3)))
    np.testing.assert_array_equal(found, REFERENCE.combine(blend, block, make_weights(7, 3)))


@pytest.mark.parametrize("order", cupy_standin.ORDERS)
def test_verbs_are_ordered_by_the_callers_stream(make_engine, order):
    engine = make_engine(order=order)
    cupy = engine._cupy
    block = make_block(40, 30, np.float32)
    pinned = engine.cards[0].pinned(block.shape, np.float32)
    pinned[...] = block
    with cupy.cuda.Stream(non_blocking=True):
        there = cupy.empty(block.shape, np.float32)
        there.data.copy_from_host_async(pinned.ctypes.data, pinned.nbytes)  # not waited for
        ranks = engine.rank(there, "first")
        del there
        cupy.empty(block.shape, np.float32)
        np.testing.assert_array_equal(ranks.get(), REFERENCE.rank(block, "first"))


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
    there, copied = engine.put(block), engine.machine.copied
    for held in (there, away):
        for array in (
            Foreign(held, __cuda_array_interface__=held.__cuda_array_interface__),
            Foreign(held, __dlpack__=None, __dlpack_device__=lambda: (2, 0)),
            held,
        ):
            assert engine.put(array) is held
            check_rank_of(engine, array, block)
    check_rank_of(engine, there.T, np.ascontiguousarray(block.T))
    check_rank_of(engine, there[5:9], block[5:9])
    assert engine.machine.copied == copied


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
    np.testing.assert_array_equal(
        engine.get(engine.rank(there, "first")), REFERENCE.rank(block, "first")
    )


def test_each_thread_has_one_engine(make_engine):
    make_engine()
    assert load_engine("gpu") is load_engine("gpu") is load_engine("auto")


@pytest.mark.parametrize("order", cupy_standin.ORDERS)
@pytest.mark.parametrize("devices", [1, 2])
def test_nothing_is_under_way_when_an_error_leaves_a_verb(make_engine, small_turns, devices, order):
    check_interrupted(lambda: make_engine(order=order, devices=devices))


def check_interrupted(make):
    block, weights = make_block(2 * GROUP, 9, np.float32), make_weights(3, 2 * GROUP)
    probes, zeros = make_probes(3, 9), np.zeros((3, 9))
    expected = REFERENCE.moments(block, probes, "first")
    for verb in (
        lambda engine, given: engine.rank(given, "first"),
        lambda engine, given: engine.combine(zeros, given, weights),
        lambda engine, given: engine.moments(engine.begin(given, "first"), probes, "first"),
    ):
        engine = make()
        given, launches = engine.put(block), engine.machine.launches
        for card in engine.cards:

            def launch(*arguments, launched=card._launch, launches=launches):
                launched(*arguments)
                if len(launches) == 3:
                    raise KeyboardInterrupt

            card._launch = launch
        with pytest.raises(KeyboardInterrupt):
            verb(engine, given)
        assert len(engine.machine.ran) == len(launches) == 3
        np.testing.assert_array_equal(engine.moments(block, probes, "first"), expected)
        engine.machine.check()


def test_what_is_cached_makes_room(make_engine):
    engine = make_engine(memory=1_000_000)
    engine.machine.cached[0] = 600_000  # of another size: with a limit set, CuPy keeps it
    assert engine.cards[0].empty((700_000,), np.uint8).nbytes == 700_000


@pytest.mark.parametrize("on_gpu", [True, False])
def test_nothing_waits_in_line_behind_the_users_ranks(make_engine, on_gpu):
    # Of equal priority, a GPU starts all blocks of one kernel before those of the next.
    engine = make_engine()
    predictions = make_block(2 * GROUP + 60, 41, np.float32)
    predictions[:, 0] = 0.123  # none is constant
    given = engine.cards[0].upload(predictions) if on_gpu else predictions
    round_ = take_round(given.T, np.ones(len(predictions)), np.arange(41.0))
    score(round_, Method(draws=4), engine)
    streamed, queues = engine.machine.streamed, engine.machine.queues
    names = [name for name, _ in streamed]
    first, last = names.index("rank_buckets_f32"), len(names) - names[::-1].index("moments")
    early = streamed[first][1]
    others = {queue for name, queue in streamed[first:last] if name != "copy" and queue != early}
    assert others
    assert all(queues[queue].priority < queues[early].priority for queue in others)


@pytest.mark.parametrize("devices", [1, 2])
def test_a_block_that_does_not_fit_is_streamed(make_engine, monkeypatch, devices):
    monkeypatch.setattr(gpu_engine, "HOST_TURN", 1 << 18)
    block = make_block(8 * GROUP, 37, np.float32)
    engine = make_engine(memory=block.nbytes // devices, devices=devices)
    assert engine.put(block) is block
    check_combine(engine, [block], make_weights(3, len(block)))
    check_moments(engine, block[::5], make_probes(5, 37), "first")


def test_a_block_whose_room_was_taken_meanwhile_is_streamed(make_engine, monkeypatch):
    engine, block = make_engine(memory=1_000_000), make_block(8 * GROUP, 37, np.float32)
    monkeypatch.setattr(gpu_card.Card, "keeps", lambda card, block: True)
    assert engine.put(block) is block
    check_moments(engine, block[::5], make_probes(5, 37), "first", put=False)


def test_what_cannot_fit_at_all_is_an_error_with_sizes(make_engine):
    engine = make_engine(memory=100_000)
    block = make_block(GROUP, 37, np.float32)
    with pytest.raises(
        EngineUnavailable, match=r"0\.1 MB free of 0\.1 MB, and 1,024 rows .* must have 0\.\d+ MB"
    ):
        engine.combine(np.zeros((3, 37)), block, make_weights(3, GROUP))


def test_few_stakers_need_little_memory_for_many_draws(make_engine):
    engine, block = make_engine(memory=4_000_000), make_block(9, 5, np.float32)
    check_combine(engine, [block], make_weights(5_000, 9))


def test_memory_that_others_have_taken_is_an_error_with_sizes(make_engine):
    engine = make_engine(memory=100_000)
    with pytest.raises(EngineUnavailable, match=r"free of 0\.1 MB, and an array .* have 0\.2 MB"):
        engine.combine(np.zeros((3, 10_000)), make_block(1, 10_000, np.float32), np.ones((3, 1)))


def test_a_memory_limit_of_the_pool_counts(make_engine):
    engine = make_engine()
    card = engine.cards[0]
    pool = engine._cupy.get_default_memory_pool()
    pool.get_limit = lambda: 50_000
    engine._cupy.get_default_memory_pool = lambda: pool
    assert card.room() == 50_000


def test_the_gpu_engine_is_loaded_by_name(make_engine):
    make_engine()
    assert load_engine("gpu").name == "gpu"
    assert load_engine("auto").name == "gpu"
