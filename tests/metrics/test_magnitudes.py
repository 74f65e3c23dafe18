"""Targets and series of any size: what is squared neither vanishes nor overflows."""

import re

import numpy as np
import pandas as pd
import pytest
from made_eras import make_era

from mmc_gpu import metrics
from mmc_gpu.errors import RoundError
from mmc_gpu.metrics.summary import summaries

TARGETS = {
    "numerai_corr": (0, lambda e, t, **o: metrics.numerai_corr(e.predictions, t, **o)),
    "numerai_corr of its ends": (
        0, lambda e, t, **o: metrics.numerai_corr(e.predictions, t, top_bottom=5, **o)
    ),
    "numerai_corr of returns": (
        0, lambda e, t, **o: metrics.numerai_corr(e.predictions, t, target_pow15=False, **o)
    ),
    "tie_broken_rank_correlation": (
        0, lambda e, t, **o: metrics.tie_broken_rank_correlation(t, e.predictions, **o)
    ),
    "spearman_correlation": (
        0, lambda e, t, **o: metrics.spearman_correlation(t, e.predictions, **o)
    ),
    "pearson_correlation": (
        0, lambda e, t, **o: metrics.pearson_correlation(t, e.predictions, **o)
    ),
    "pearson_correlation of the ends": (
        0, lambda e, t, **o: metrics.pearson_correlation(t, e.predictions, 5, **o)
    ),
    "cwmm": (0, lambda e, t, **o: metrics.cwmm(e.predictions, t, **o)),
    "feature_neutral_corr": (
        0, lambda e, t, **o: metrics.feature_neutral_corr(e.predictions, e.features, t, **o)
    ),
    "neutral_correlation": (
        0, lambda e, t, **o: metrics.neutral_correlation(e.predictions, e.features, t, **o)
    ),
    "correlation_contribution": (
        1, lambda e, t, **o: metrics.correlation_contribution(e.predictions, e.meta_model, t, **o)
    ),
    "contribution of the ends": (
        1,
        lambda e, t, **o: metrics.correlation_contribution(
            e.predictions, e.meta_model, t, 5, **o
        ),
    ),
    "neutral_contribution": (
        1,
        lambda e, t, **o: metrics.neutral_contribution(
            e.predictions, e.meta_model, e.features, t, **o
        ),
    ),
    "neutral contribution of the ends": (
        1,
        lambda e, t, **o: metrics.neutral_contribution(
            e.predictions, e.meta_model, e.features, t, 5, **o
        ),
    ),
    "contribution_scores": (
        1,
        lambda e, t, **o: metrics.contribution_scores(
            e.predictions.to_numpy() - 0.5, t, e.predictions, **o
        ),
    ),
    "alpha": (
        1, lambda e, t, **o: metrics.alpha(e.predictions, e.features, e.sample_weights, t, **o)
    ),
    "meta_portfolio_contribution": (
        1,
        lambda e, t, **o: metrics.meta_portfolio_contribution(
            e.predictions, e.stakes, e.features, e.sample_weights, t, **o
        ),
    ),
}  # fmt: skip
"""Each with its degree: a target twice as large makes the score 2 ** degree times as large."""

POWERS = [-960, -700, -360, -340, 100, 346, 700, 1020]
"""Even ones: the square root of an odd power of two is rounded."""


@pytest.mark.parametrize("score", TARGETS)
def test_a_target_times_a_power_of_two_scores_alike_to_the_bit(engine, score):
    era = make_era(60, 5, returns=True)
    degree, function = TARGETS[score]
    expected = function(era, era.targets, engine=engine)
    assert (expected.abs() > 1e-6).all()
    for power in POWERS:
        result = function(era, era.targets * 2.0**power, engine=engine)
        scaled = np.ldexp(expected, degree * power)
        np.testing.assert_array_equal(result, scaled, err_msg=f"2^{power}")


SERIES = {
    "pearson_correlation": (0, lambda e, p: metrics.pearson_correlation(e.targets, p)),
    "pearson_correlation of the ends": (
        0, lambda e, p: metrics.pearson_correlation(e.targets, p, 5)
    ),
    "feature_exposures": (0, lambda e, p: metrics.feature_exposures(p, e.features)[1]),
    "features themselves": (0, lambda e, p: metrics.feature_exposures(e.features, p)[1]),
    "max_feature_correlation": (
        0, lambda e, p: metrics.max_feature_correlation(e.targets, p.iloc[:, :1])[1]
    ),
    "mcwnm": (0, lambda e, p: metrics.mcwnm(p)),
    "apcwnm": (0, lambda e, p: metrics.apcwnm(p)),
    "neutralize": (1, lambda e, p: metrics.neutralize(p, e.features)),
    "orthogonalize": (
        1, lambda e, p: metrics.orthogonalize(p.to_numpy(), e.meta_model.to_numpy())
    ),
    "orthogonalize one": (
        1, lambda e, p: metrics.orthogonalize(p.to_numpy()[:, 0], e.meta_model.to_numpy())
    ),
    "orthogonalize to them": (
        0, lambda e, p: metrics.orthogonalize(e.meta_model.to_numpy(), p.to_numpy()[:, 0])
    ),
    "contribution_scores": (
        1, lambda e, p: metrics.contribution_scores(p.to_numpy(), e.targets, p)
    ),
    "contribution of the ends": (
        1, lambda e, p: metrics.contribution_scores(p.to_numpy(), e.targets, p, 5)
    ),
    "center": (1, lambda e, p: metrics.center(p)),
    "variance_normalize": (0, lambda e, p: metrics.variance_normalize(p)),
    "standardize": (0, lambda e, p: metrics.standardize(p)),
    "weight_normalize": (0, lambda e, p: metrics.weight_normalize(p)),
    "min_max_normalize": (0, lambda e, p: metrics.min_max_normalize(p.iloc[:, 0])),
    "sharpe_ratio": (0, lambda e, p: metrics.sharpe_ratio(p)),
}  # fmt: skip


@pytest.mark.parametrize("function", SERIES)
def test_series_times_a_power_of_two_give_the_same_to_the_bit(function):
    era = make_era(60, 5, returns=True)
    degree, call = SERIES[function]
    predictions = (era.predictions - 0.45) * 3
    expected = call(era, predictions)
    for power in (*POWERS, 1023):  # the last: a range above the largest number
        result = call(era, predictions * 2.0**power)
        with np.errstate(over="ignore"):  # a result may be too large
            scaled = np.ldexp(expected, degree * power)
        np.testing.assert_array_equal(result, scaled, err_msg=f"2^{power}")


@pytest.mark.parametrize("power", POWERS)
def test_scores_of_any_size_are_summarized_alike(power):
    scores = make_era(60, 1, returns=True).targets.to_numpy()
    scaled = {"mean", "std", "max_drawdown"}
    (found,), (other,) = summaries(scores[:, None]), summaries(scores[:, None] * 2.0**power)
    for name, value in found._asdict().items():
        assert getattr(other, name) == np.ldexp(value, power * (name in scaled)), name


@pytest.mark.parametrize("power", [346, 1020])
def test_features_of_any_size_are_removed(power):
    # by numerai-tools' rule, which does not see the constant beside features so large
    era = make_era(60, 5)
    expected = metrics.neutralize(era.predictions, era.features * 2.0**40)
    result = metrics.neutralize(era.predictions, era.features * 2.0**power)
    np.testing.assert_allclose(result, expected, 1e-9, 1e-12)


@pytest.mark.parametrize("power", [-700, 346])
def test_sample_weights_of_any_size_make_the_same_meta_portfolio(engine, power):
    # without features, for weights and features together make no even scale
    era = make_era(60, 5)
    nothing = era.features * 0.0
    mpc = [
        metrics.meta_portfolio_contribution(
            era.predictions, era.stakes, nothing, weights, era.targets, engine=engine
        )
        for weights in (era.sample_weights, era.sample_weights * 2.0**power)
    ]
    np.testing.assert_array_equal(*mpc)


@pytest.mark.parametrize("size", [1e-108, 1e104, 1.7e308])
def test_targets_of_any_size_correlate_as_they_would_near_1(size):
    era = make_era(60, 5, returns=True)
    targets = era.targets / era.targets.abs().max()
    for score in (metrics.numerai_corr, lambda p, t: metrics.correlation(t, p)):
        np.testing.assert_allclose(
            score(era.predictions, targets * size), score(era.predictions, targets), 1e-12
        )
    contribution = metrics.correlation_contribution(
        era.predictions, era.meta_model, targets * size, target_scale=1
    )
    expected = metrics.correlation_contribution(era.predictions, era.meta_model, targets)
    np.testing.assert_allclose(contribution / size, expected, 1e-12)


def test_a_score_that_float64_cannot_hold_is_said_to_be_too_large():
    era = make_era(60, 5, returns=True)
    faults = {}
    alpha = metrics.alpha(
        era.predictions, era.features, era.sample_weights * 2.0**300, era.targets * 1e300,
        faults=faults,
    )  # fmt: skip
    assert alpha.isna().all()
    assert {fault.code for fault in faults.values()} == {"score-undefined"}
    assert "too large" in str(faults["user 0"])


ALOUD = {
    "turnover": lambda huge, odd: metrics.turnover(huge, huge / 2, engine="numpy"),
    "stake_weight": lambda huge, odd: metrics.stake_weight(huge, [1e15] * 3, engine="numpy"),
    "orthogonalize": lambda huge, odd: metrics.orthogonalize(odd.to_numpy(), huge.to_numpy()[:, 0]),
    "orthogonalize on zeros": lambda huge, odd: metrics.orthogonalize(odd.to_numpy(), np.zeros(9)),
    "sharpe_ratio": lambda huge, odd: metrics.sharpe_ratio(odd),
    **{
        name: lambda huge, odd, name=name: getattr(metrics, name)(odd)
        for name in ("center", "standardize", "variance_normalize", "min_max_normalize")
    },
}


@pytest.mark.parametrize("function", ALOUD)
def test_numpy_warns_nobody_of_numbers_that_are_too_large(function):
    huge = pd.DataFrame(np.linspace(-1.0, 1.0, 27).reshape(9, 3) * 1.7e308)
    ALOUD[function](huge, huge.replace(huge.iloc[8, 2], np.inf))


RETURNS = {
    "below 8e-4": lambda rng: rng.random(60) * 8e-4,
    "near a bin": lambda rng: 0.25 + rng.random(60) * 8e-4,
    "near two bins": lambda rng: rng.integers(0, 2, 60) / 4 + rng.random(60) * 8e-4,
    "near a rounded bin": lambda rng: 0.1667 + rng.random(60) * 8e-5,
    "one value near each bin": lambda rng: rng.integers(1, 4, 60) / 4 + 3e-4,
    "0 or a little": lambda rng: rng.integers(0, 2, 60) * 5e-4,
}


@pytest.mark.parametrize("returns", RETURNS)
def test_returns_near_bins_are_no_bins(engine, returns):
    era = make_era(60, 5)
    targets = pd.Series(RETURNS[returns](np.random.default_rng(3)), era.predictions.index)
    scores = {
        "contribution": lambda scale: metrics.correlation_contribution(
            era.predictions, era.meta_model, targets, target_scale=scale, engine=engine
        ),
        "neutral": lambda scale: metrics.neutral_contribution(
            era.predictions, era.meta_model, era.features, targets, target_scale=scale,
            engine=engine,
        ),
        "scores": lambda scale: metrics.contribution_scores(
            era.predictions.to_numpy(), targets, era.predictions, target_scale=scale,
            engine=engine,
        ),
    }  # fmt: skip
    for score in scores.values():
        np.testing.assert_array_equal(score(None), score(1.0))
        np.testing.assert_allclose(score(4.0), 4 * score(None))


GRIDS = {
    "5 bins": (np.arange(5) / 4, 4),
    "7 bins": (np.arange(7) / 6, 4),
    "7 bins, float16": ((np.arange(7) / 6).astype(np.float16).astype(float), 4),
    "7 bins, 3 decimals": ((np.arange(7) / 6).round(3), 4),
    "some of 5 bins": (np.array([0, 0.5]), 4),
    "twelfths above 1": (np.arange(15) / 12, 1),
    "twelfths below 0": (np.arange(-2, 10) / 12, 1),
    "quarters above 1": (np.arange(7) / 4, 1),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_only_bins_from_0_to_1_are_multiplied_by_4(engine, grid):
    era = make_era(60, 5)
    bins, factor = GRIDS[grid]
    targets = pd.Series(np.resize(bins, 60), era.predictions.index)
    found, plain = (
        metrics.correlation_contribution(
            era.predictions, era.meta_model, targets, target_scale=scale, engine=engine
        )
        for scale in (None, 1.0)
    )
    np.testing.assert_array_equal(found, factor * plain)


def test_a_constant_target_of_any_size_is_said_with_its_value():
    era = make_era(60, 5)
    for size in (0.5, 1e200):
        targets = era.targets * 0 + size
        for score in (
            lambda t: metrics.cwmm(era.predictions, t),
            lambda t: metrics.tie_broken_rank_correlation(t, era.predictions),
        ):
            with pytest.raises(RoundError, match=re.escape(f"are {size};")):
                score(targets)
