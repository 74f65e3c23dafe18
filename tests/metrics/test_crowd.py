"""Correlations with the meta model and with everybody else, against pandas and NumPy."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from made_eras import eras, make_era

from mmc_gpu import metrics
from mmc_gpu.engines import GROUP


def with_others(predictions, ranked):
    """Return the whole Gram matrix, NaN on its diagonal."""
    frame = predictions.rank() if ranked else predictions
    gram = np.atleast_2d(np.corrcoef(frame.to_numpy().T))
    np.fill_diagonal(gram, np.nan)
    return pd.DataFrame(gram, predictions.columns, predictions.columns)


@pytest.mark.parametrize("ranked", [False, True])
@given(era=eras(targets=False))
def test_likeness_is_that_of_the_whole_matrix(engine, ranked, era):
    gram = with_others(era.predictions, ranked)
    largest = metrics.mcwnm(era.predictions, ranked=ranked, engine=engine)
    np.testing.assert_allclose(largest, gram.max(), 1e-12, 1e-14)
    mean = metrics.apcwnm(era.predictions, ranked=ranked, engine=engine)
    np.testing.assert_allclose(mean, gram.mean(), 1e-12, 1e-14)


@given(eras(targets=False))
def test_cwmm_is_pearson_of_powered_quantiles(engine, era):
    pytest.importorskip("scipy", reason="scipy is not installed")
    powered = metrics.power(metrics.gaussian(metrics.rank(era.predictions)), 1.5)
    expected = powered.corrwith(era.meta_model)
    result = metrics.cwmm(era.predictions, era.meta_model, engine=engine)
    np.testing.assert_allclose(result, expected, 1e-12, 1e-14)


def test_blocks_of_the_gram_matrix_meet(engine):
    rng = np.random.default_rng(0)
    predictions = pd.DataFrame(rng.random((20, GROUP + 30)))
    predictions[GROUP + 7] = predictions[3]  # a copy in another block
    gram = with_others(predictions, ranked=True)
    largest = metrics.mcwnm(predictions, ranked=True, engine=engine)
    np.testing.assert_allclose(largest, gram.max(), 1e-12, 1e-14)
    assert largest[3] == largest[GROUP + 7] == pytest.approx(1, 1e-15)
    mean = metrics.apcwnm(predictions, ranked=True, engine=engine)
    np.testing.assert_allclose(mean, gram.mean(), 1e-11, 1e-13)


def test_products_of_ranks_are_exact():
    era = make_era(60, 2)
    ranks = (2 * era.predictions.rank() - 61).astype(int)
    first, second = (ranks[user].tolist() for user in ranks)

    def dot(a, b):
        return Fraction(sum(x * y for x, y in zip(a, b, strict=True)))

    lengths = np.sqrt(float(dot(first, first))) * np.sqrt(float(dot(second, second)))
    expected = float(dot(first, second)) / lengths
    assert metrics.mcwnm(era.predictions, ranked=True).tolist() == [expected, expected]


def test_who_has_a_fault_is_not_among_the_others():
    era = make_era(60, 6)
    predictions = era.predictions.copy()
    predictions.iloc[5, 3] = np.nan  # "user 3" is a copy of "user 0"
    predictions.iloc[:, 4] = 0.5
    faults = {}
    result = metrics.mcwnm(predictions, faults=faults)
    assert {user: fault.code for user, fault in faults.items()} == {
        "user 3": "prediction-missing",
        "user 4": "prediction-constant",
    }
    rest = predictions.drop(columns=["user 3", "user 4"])
    pd.testing.assert_series_equal(result.drop(["user 3", "user 4"]), metrics.mcwnm(rest))
    assert result["user 0"] < 0.9


def test_a_lone_user_has_no_others():
    era = make_era(60, 1)
    faults = {}
    assert metrics.mcwnm(era.predictions, faults=faults).isna().all()
    assert metrics.apcwnm(era.predictions).isna().all()
    assert faults["user 0"].code == "score-undefined"
