"""Whole rounds on the GPU engine's stand-in, from the host and from arrays that are there."""

import numpy as np
import pandas as pd
import pytest
from made_rounds import make_round

import mmc_gpu
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
    pinned = engine.cards[0].pinned(predictions.shape, predictions.dtype)
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


def test_faults_on_the_gpu_are_found(make_engine, made):
    engine = make_engine()
    predictions = made.predictions.copy()
    predictions[3, 7] = np.nan
    there = engine.put(predictions).T
    with pytest.raises(mmc_gpu.RoundError, match="prediction-missing"):
        mmc_gpu.score_round(there, made.stakes, made.target, engine=engine)
