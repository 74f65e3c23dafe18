"""Whole rounds on the GPU engine, from the host and from arrays that are there."""

import numpy as np
import pandas as pd
import pytest
from made_rounds import make_round

import mmc_gpu
from mmc_gpu import metrics
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.round import take_round
from mmc_gpu.rounds.scoring import score


@pytest.fixture
def made():
    return make_round(40, 300, seed=3)


@pytest.mark.parametrize("block_rows", [None, 1024, 7])
@pytest.mark.parametrize("blend", ["raw", "ranked"])
def test_a_round_from_the_host(make_engine, made, block_rows, blend):
    frames = made.frames()
    expected = mmc_gpu.score_round(*frames, draws=4, blend=blend, engine="numpy").digest
    round_ = take_round(*frames, blend=blend)
    scores = score(round_, Method(draws=4, blend=blend), make_engine(), block_rows=block_rows)
    assert scores.digest == expected


def test_arrays_on_the_gpu_are_scored_where_they_are(make_engine, made):
    engine = make_engine()
    there = engine.put(np.ascontiguousarray(made.predictions)).T
    scores = mmc_gpu.score_round(
        there, made.stakes, made.target, ids=made.ids, users=made.users, draws=4, engine=engine
    )
    frames = made.frames()
    assert scores.digest == mmc_gpu.score_round(*frames, draws=4, engine="numpy").digest


@pytest.mark.parametrize("extra", [0, 3])
def test_what_the_callers_stream_has_yet_to_write_is_scored(make_engine, extra):
    many = make_round(200, 60, seed=1)
    engine = make_engine()
    predictions = np.ascontiguousarray(np.hstack([many.predictions, many.predictions[:, :extra]]))
    pinned = engine.cards[0].memory.pinned(predictions.shape, predictions.dtype)
    pinned[...] = predictions
    ids = [*many.ids, *(f"zz{number}" for number in range(extra))]
    targets = pd.Series(many.target, index=many.ids)
    with engine._cupy.cuda.Stream(non_blocking=True):
        there = engine._cupy.empty(predictions.shape, predictions.dtype)
        there.data.copy_from_host_async(pinned.ctypes.data, pinned.nbytes)
        scores = mmc_gpu.score_round(
            there.T, many.stakes, targets, ids=ids, users=many.users, draws=3, engine=engine
        )
    frames = many.frames()
    assert scores.digest == mmc_gpu.score_round(*frames, draws=3, engine="numpy").digest


class Foreign:
    """Another library's array on a GPU."""

    def __init__(self, held):
        self.__dlpack__, self.__dlpack_device__ = held.__dlpack__, held.__dlpack_device__
        self.shape = held.shape


@pytest.mark.parametrize("layout", ["matrix", "vector", "gaps"])
@pytest.mark.parametrize("name", ["gpu", "auto", "numpy"])
def test_metrics_take_arrays_of_other_libraries_and_copy_no_predictions_back(
    make_engine, made, layout, name
):
    machine = make_engine()
    predictions, target = np.ascontiguousarray(made.predictions.T), made.target
    if layout == "vector":
        predictions = np.ascontiguousarray(predictions[:, 3])
    if layout == "gaps":
        predictions[:40, 3], predictions[:, 5] = np.nan, 0.5
    there = Foreign(machine._cupy.asarray(predictions))
    expected = metrics.numerai_corr(predictions, target, engine="numpy")
    machine.machine.log()
    true = Foreign(machine._cupy.asarray(target))
    np.testing.assert_array_equal(metrics.numerai_corr(there, true, engine=name), expected)
    copied = [size for one, *_, size in machine.machine.logged() if one == "copy"]
    if layout == "matrix":
        assert copied.count(predictions.nbytes) == 1  # to the host, where they are checked


def test_eras_are_scored_on_all_gpus(make_engine):
    engine, rng = make_engine(devices=2), np.random.default_rng(0)
    rows = 1800
    table = {"era": np.repeat([f"{era:04d}" for era in range(4)], rows // 4)}
    table |= {name: rng.random(rows) for name in ("target", "meta", "f", "one", "two")}
    table["id"] = [f"n{row}" for row in range(rows)]
    frame = pd.DataFrame(table)
    given = {"target": "target", "models": ["one", "two"], "meta_model": "meta"}
    given |= {
        "features": ["f"],
        "metrics": ["corr", "mmc", "fnc", "cwmm", "mmc_tb200", "corr_tb200"],
    }
    engine.machine.log()
    found = mmc_gpu.evaluate(frame, engine=engine, **given)
    assert {device for name, _, device, *_ in engine.machine.logged() if "rank" in name} == {0, 1}
    expected = mmc_gpu.evaluate(frame, engine="numpy", **given)
    for name, scores in expected.scores.items():
        np.testing.assert_array_equal(found.scores[name], scores)


def test_faults_on_the_gpu_are_found(make_engine, made):
    engine = make_engine()
    predictions = made.predictions.copy()
    predictions[3, 7] = np.nan
    there = engine.put(predictions).T
    with pytest.raises(mmc_gpu.RoundError, match="prediction-missing"):
        mmc_gpu.score_round(there, made.stakes, made.target, engine=engine)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ids", [False, True])
def test_what_was_rounded_is_taken_on_the_gpu_as_it_is(make_engine, dtype, ids):
    engine, eps = make_engine(), float(np.finfo(dtype).eps)
    predictions = np.random.default_rng(0).random((5, 40), dtype)
    predictions[:2, 7] = 1 + 4 * eps, -4 * eps
    names = {"ids": [f"s{number:02d}" for number in range(40)][::-1]} if ids else {}
    rest = np.ones(5), pd.Series(np.arange(40.0), names["ids"]) if ids else np.arange(40.0)
    there = engine.put(predictions).T
    scores = mmc_gpu.score_round(there, *rest, engine=engine, **names)
    assert [note for note in scores.notes if note.startswith("2 submissions leave [0, 1] by")]
    assert scores.digest == mmc_gpu.score_round(predictions.T, *rest, **names).digest
    predictions[3, 7] = 1 + 5 * eps
    with pytest.raises(mmc_gpu.RoundError, match="user '3': staked, and from"):
        mmc_gpu.score_round(engine.put(predictions).T, *rest, engine=engine, **names)


def test_float32_in_a_float64_array_on_the_gpu_was_rounded_to_float32(make_engine):
    engine = make_engine()
    predictions = np.random.default_rng(0).random((3, 40), np.float32).astype(np.float64)
    predictions[0, 7] = np.float32(1.0000004)
    rest = np.ones(3), np.arange(40.0)
    assert mmc_gpu.score_round(engine.put(predictions).T, *rest, engine=engine).notes
    predictions[0, 8] = 0.1
    with pytest.raises(mmc_gpu.RoundError, match="user '0': staked, and from"):
        mmc_gpu.score_round(engine.put(predictions).T, *rest, engine=engine)
