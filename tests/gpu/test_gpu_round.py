"""Whole rounds on the GPU engine's stand-in, from the host and from arrays that are there."""

import numpy as np
import pytest
from rounds import make_round

import mmc_gpu
from mmc_gpu.method import Method
from mmc_gpu.round import take_round
from mmc_gpu.scoring import score


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


def test_faults_on_the_gpu_are_found(make_engine, made):
    engine = make_engine()
    predictions = made.predictions.copy()
    predictions[3, 7] = np.nan
    there = engine.put(predictions).T
    with pytest.raises(mmc_gpu.RoundError, match="prediction-missing"):
        mmc_gpu.score_round(there, made.stakes, made.target, engine=engine)
