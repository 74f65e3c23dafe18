"""The contribution of 2020 to one meta model, and exposures like those of another model."""

import numpy as np
import pandas as pd
import pytest
from made_eras import make_era

import mmc_gpu
from mmc_gpu import metrics
from mmc_gpu.errors import RoundError


@pytest.mark.parametrize("ties", ["first", "average"])
def test_legacy_mmc_is_that_of_a_round_with_one_staker_to_the_bit(engine, ties):
    era = make_era(300, 12)
    stakes = {user: 0.0 for user in era.predictions} | {"meta": 5.0}
    predictions = era.predictions.assign(meta=era.meta_model)
    options = {"ties": ties, "engine": engine}
    round_ = mmc_gpu.score_round(predictions, stakes, era.targets, draws=1, **options)
    found = metrics.legacy_contribution(predictions, era.meta_model, era.targets, **options)
    np.testing.assert_array_equal(found[round_.users], round_.mmc[0])
    assert found["meta"] == 0


def test_legacy_mmc_has_one_number_for_one_series(engine):
    era = make_era(60, 2)
    given = era.meta_model, era.targets
    both = metrics.legacy_contribution(era.predictions, *given, engine=engine)
    alone = metrics.legacy_contribution(era.predictions["user 1"], *given, engine=engine)
    assert alone == both["user 1"]


def test_legacy_mmc_refuses_a_constant_target(engine):
    era = make_era(60, 2)
    with pytest.raises(RoundError, match=r"\[target-constant\]"):
        metrics.legacy_contribution(
            era.predictions, era.meta_model, era.targets * 0 + 0.5, engine=engine
        )


def test_exposures_like_a_models_own_are_not_dissimilar(engine):
    era = make_era(200, 3, features=6)
    other = era.predictions["user 0"]
    found = metrics.exposure_dissimilarity(
        era.shuffled(era.predictions.assign(against=1 - other)),
        era.shuffled(other),
        era.shuffled(era.features.assign(constant=1.0)),
        engine=engine,
    )
    assert found["user 0"] == pytest.approx(0, abs=1e-12)
    assert found["against"] == pytest.approx(2, abs=1e-12)
    ours, theirs = (era.features.corrwith(era.predictions[f"user {n}"]) for n in (1, 0))
    assert found["user 1"] == pytest.approx(1 - ours @ theirs / (theirs @ theirs), abs=1e-12)


def test_a_model_without_any_exposure_is_compared_with_nothing(engine):
    features = pd.DataFrame({"feature": [1.0, 1.0, 1.0, 1.0]})
    predictions = pd.DataFrame({"model": [0.1, 0.4, 0.2, 0.3]})
    with pytest.raises(RoundError, match="no exposure to any feature"):
        metrics.exposure_dissimilarity(predictions, predictions["model"], features, engine=engine)
