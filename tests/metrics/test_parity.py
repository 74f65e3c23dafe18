"""Every score against numerai-tools 0.7.2, on random eras: ties, copies, unsorted ids, gaps.

Long, because every function of numerai-tools is here.
"""

import inspect

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from made_eras import ENDS, LEAST_SQUARES, assert_agrees, eras, make_era, quiet

from mmc_gpu import metrics
from mmc_gpu.errors import RoundError

scoring = pytest.importorskip("numerai_tools.scoring", reason="the extra `test` has numerai-tools")
signals = pytest.importorskip("numerai_tools.signals", reason="the extra `test` has numerai-tools")


@given(eras(), ENDS, st.booleans())
def test_numerai_corr(engine, era, ends, power):
    expected = quiet(
        scoring.numerai_corr, era.predictions, era.targets, top_bottom=ends, target_pow15=power
    )
    result = metrics.numerai_corr(
        era.shuffled(era.predictions),
        era.shuffled(era.targets),
        top_bottom=ends,
        target_pow15=power,
        engine=engine,
    )
    assert_agrees(result, expected)


def without(data, share, seed):
    """Return a frame or Series without a share of its rows."""
    dropped = np.random.default_rng(seed).permutation(len(data))[: int(share * len(data))]
    return data.drop(data.index[dropped])


SHARES = st.sampled_from([0.0, 0.04, 0.1, 0.19, 0.21, 0.3, 0.6])


def both_or_neither(function, expected):
    """Assert that results agree, or that neither will have ids of which too few are common."""
    try:
        expected = quiet(expected)
    except AssertionError as error:
        assert "overlapping ids" in str(error)  # noqa: PT017
        with pytest.raises(RoundError, match=r"\[id-other-round\]"):
            function()
    else:
        assert_agrees(function(), expected, LEAST_SQUARES)


@given(eras(), SHARES, SHARES, st.sampled_from([0.0, 0.05, 0.2, 0.5]))
def test_as_many_ids_may_go_unscored_as_is_asked_for(engine, era, share, other, ratio):
    targets, predictions = without(era.targets, share, 1), without(era.predictions, other, 2)
    assume(targets.loc[targets.index.intersection(predictions.index)].nunique() > 1)
    assume((predictions.loc[predictions.index.intersection(targets.index)].nunique() > 1).all())
    both_or_neither(
        lambda: metrics.numerai_corr(predictions, targets, ratio, engine=engine),
        lambda: scoring.numerai_corr(predictions, targets, ratio),
    )
    features = without(era.features, other, 3)
    both_or_neither(
        lambda: metrics.neutral_correlation(predictions, features, targets, ratio, engine=engine),
        lambda: scoring.neutral_correlation(predictions, features, targets, ratio),
    )


@given(eras(), ENDS)
def test_correlation_contribution(engine, era, ends):
    arguments = era.predictions, era.meta_model, era.targets
    result = metrics.correlation_contribution(
        *map(era.shuffled, arguments), top_bottom=ends, engine=engine
    )
    assert_agrees(result, quiet(scoring.correlation_contribution, *arguments, top_bottom=ends))


@given(eras(), ENDS)
def test_neutral_contribution(engine, era, ends):
    arguments = era.predictions, era.meta_model, era.features, era.targets
    expected = quiet(scoring.neutral_contribution, *arguments, top_bottom=ends)
    result = metrics.neutral_contribution(
        *map(era.shuffled, arguments), top_bottom=ends, engine=engine
    )
    assert_agrees(result, expected, LEAST_SQUARES)


def assume_only_alike_are_tied(predictions, features):
    """Assume that residuals are equal only where the stocks are alike.

    Two groups that are predicted alike have equal ones too; there rounding decides, and whoever
    ranks them, or takes their top and bottom, gets another score.
    """
    features = features.loc[predictions.index]
    ranked = scoring.gaussian(scoring.rank(predictions))
    residuals = quiet(scoring.neutralize, ranked, features).round(10)
    for user in predictions:
        alike = features.assign(predicted=ranked[user]).drop_duplicates()
        assume(residuals[user].nunique() == len(alike))


@given(eras(), ENDS)
def test_feature_neutral_corr(engine, era, ends):
    assume_only_alike_are_tied(era.predictions, era.features)
    arguments = era.predictions, era.features, era.targets
    expected = quiet(scoring.feature_neutral_corr, *arguments, top_bottom=ends)
    result = metrics.feature_neutral_corr(
        *map(era.shuffled, arguments), top_bottom=ends, engine=engine
    )
    assert_agrees(result, expected, LEAST_SQUARES)


@given(eras(), ENDS)
def test_neutral_correlation(engine, era, ends):
    assume_only_alike_are_tied(era.predictions.loc[era.targets.dropna().index], era.features)
    arguments = era.predictions, era.features, era.targets
    expected = quiet(scoring.neutral_correlation, *arguments, top_bottom=ends)
    result = metrics.neutral_correlation(
        *map(era.shuffled, arguments), top_bottom=ends, engine=engine
    )
    assert_agrees(result, expected, LEAST_SQUARES)


@given(eras(targets=False), st.sampled_from([0.3, 1.0]))
def test_neutralize(engine, era, proportion):
    expected = quiet(scoring.neutralize, era.predictions, era.features, proportion)
    result = metrics.neutralize(
        era.predictions, era.shuffled(era.features), proportion, engine=engine
    )
    assert_agrees(result, expected, LEAST_SQUARES)


@given(eras())
def test_alpha(engine, era):
    arguments = era.predictions, era.features, era.sample_weights, era.targets
    result = metrics.alpha(*map(era.shuffled, arguments), engine=engine)
    assert_agrees(result, quiet(scoring.alpha, *arguments))


@given(eras(), st.booleans())
def test_meta_portfolio_contribution(engine, era, without):
    stakes = era.stakes.iloc[::-1].copy()
    if without and len(stakes) > 1:
        stakes.iloc[0] = np.nan
    others = era.features, era.sample_weights, era.targets
    expected = quiet(scoring.meta_portfolio_contribution, era.predictions, stakes, *others)
    result = metrics.meta_portfolio_contribution(
        era.shuffled(era.predictions), stakes, *map(era.shuffled, others), engine=engine
    )
    assert_agrees(result, expected)


@given(eras(targets=False), st.booleans())
def test_generate_neutralized_weights(engine, era, normalized):
    arguments = era.predictions, era.features, era.sample_weights
    expected = quiet(scoring.generate_neutralized_weights, *arguments, normalized)
    result = metrics.generate_neutralized_weights(*arguments, normalized, engine=engine)
    assert_agrees(result, expected)


@given(eras(targets=False), SHARES, SHARES, st.booleans())
def test_weights_are_ranked_over_all_that_is_predicted(engine, era, share, other, normalized):
    factors = without(era.features, share, 1), without(era.sample_weights, other, 2)
    both_or_neither(
        lambda: metrics.generate_neutralized_weights(
            era.predictions, *map(era.shuffled, factors), normalized, engine=engine
        ),
        lambda: scoring.generate_neutralized_weights(era.predictions, *factors, normalized),
    )


@given(eras(targets=False), ENDS)
def test_correlations_of_one_series(engine, era, ends):
    for name in era.predictions:
        series = era.predictions[name]
        pairs = era.targets, series
        shuffled = [era.shuffled(data) for data in pairs]
        for function, *options in (
            ("tie_broken_rank_correlation",),
            ("spearman_correlation",),
            ("correlation",),
            ("pearson_correlation", ends),
        ):
            expected = quiet(getattr(scoring, function), *pairs, *options)
            result = getattr(metrics, function)(*shuffled, *options, engine=engine)
            assert_agrees(result, expected)


@given(eras(targets=False), ENDS)
def test_max_feature_correlation(engine, era, ends):
    series = era.predictions.iloc[:, 0]
    name, expected = quiet(scoring.max_feature_correlation, series, era.features, ends)
    feature, result = metrics.max_feature_correlation(
        era.shuffled(series), era.features, ends, engine=engine
    )
    assert_agrees(result, expected)
    exposures = quiet(scoring.pearson_correlation, era.features[feature], series, ends)
    assert feature == name or abs(exposures) == pytest.approx(expected, 1e-12)  # a tie


@given(eras(targets=False))
def test_stake_weight(engine, era):
    expected = scoring.stake_weight(era.predictions, era.stakes)
    assert_agrees(metrics.stake_weight(era.predictions, era.stakes, engine=engine), expected)


TRANSFORMS = {
    "rank average": lambda module, frame: module.rank(frame),
    "rank first": lambda module, frame: module.tie_broken_rank(frame),
    "rank min": lambda module, frame: module.rank(frame, "min"),
    "rank max": lambda module, frame: module.rank(frame, "max"),
    "rank dense": lambda module, frame: module.rank(frame, "dense"),
    "rank_series": lambda module, frame: module.rank_series(frame.iloc[:, 0], "first"),
    "tie_kept_rank": lambda module, frame: module.tie_kept_rank(frame),
    "gaussian": lambda module, frame: module.gaussian(module.rank(frame)),
    "power": lambda module, frame: module.power(frame - 0.5, 1.5),
    "power of 1.1": lambda module, frame: module.power(frame - 0.5, 1.1),
    "center": lambda module, frame: module.center(frame),
    "center one": lambda module, frame: module.center(frame.iloc[:, 0]),
    "variance_normalize": lambda module, frame: module.variance_normalize(frame),
    "standardize": lambda module, frame: module.standardize(frame),
    "weight_normalize": lambda module, frame: module.weight_normalize(frame),
    "min_max_normalize": lambda module, frame: module.min_max_normalize(frame.iloc[:, 0]),
    "pow15": lambda module, frame: module.tie_kept_rank__gaussianize__pow_1_5(frame),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@given(era=eras(targets=False))
def test_transforms(name, era):
    expected = quiet(TRANSFORMS[name], scoring, era.predictions)
    assert_agrees(TRANSFORMS[name](metrics, era.predictions), expected)


@given(eras(targets=False))
def test_ranks_and_neutralization_in_one(engine, era):
    name = "tie_kept_rank__gaussianize__neutralize__variance_normalize"
    expected = quiet(getattr(scoring, name), era.predictions, era.features)
    result = getattr(metrics, name)(era.predictions, era.features, engine=engine)
    assert_agrees(result, expected, LEAST_SQUARES)


@given(eras(targets=False))
def test_orthogonalize(engine, era):
    v, u = era.predictions.to_numpy(), era.meta_model.to_numpy()
    expected = scoring.orthogonalize(v, u)
    assert_agrees(metrics.orthogonalize(v, u, engine=engine), expected)
    assert_agrees(metrics.orthogonalize(v[:, 0], u[:, None], engine=engine), expected[:, 0])


@given(eras(targets=False), st.integers(0, 3), ENDS)
def test_churn_and_turnover(engine, era, dropped, ends):
    rng = np.random.default_rng(dropped)
    for name in era.predictions:
        first = era.predictions[name].iloc[dropped:]
        second = (era.predictions[name] + rng.random(len(era.predictions))).iloc[: len(first)]
        expected = quiet(signals.churn, first, second, ends)
        assert_agrees(metrics.churn(first, era.shuffled(second), ends, engine=engine), expected)
        expected = signals.turnover(first, second)
        assert_agrees(metrics.turnover(first, era.shuffled(second), engine=engine), expected)


@given(eras(targets=False), ENDS)
def test_contribution_scores(engine, era, ends):
    residuals = era.predictions.to_numpy() - era.meta_model.to_numpy()[:, None]
    expected = scoring.contribution_scores(residuals, era.targets, era.predictions, ends)
    order = era.shuffled(era.predictions).index
    result = metrics.contribution_scores(
        residuals[era.predictions.index.get_indexer(order)],
        era.targets,
        era.predictions.loc[order],
        ends,
        engine=engine,
    )
    assert_agrees(result, expected)


@given(eras(targets=False))
def test_sharpe_ratio(era):
    scores = era.predictions - 0.4
    for name in scores:
        assert_agrees(metrics.sharpe_ratio(scores[name]), scoring.sharpe_ratio(scores[name]))
    expected = scores.mean() / scores.std(ddof=0)
    assert_agrees(metrics.sharpe_ratio(scores), expected)


@given(eras(targets=False))
def test_neutral_churn(engine, era):
    later = make_era(len(era.predictions), 1, era.features.shape[1], seed=1).features
    later.index = era.features.index
    first, second = era.predictions.iloc[:, 0], era.predictions.iloc[::-1, 0]
    second = pd.Series(second.to_numpy(), first.index)
    expected = quiet(signals.neutral_churn, first, second, era.features, later)
    result = metrics.neutral_churn(first, second, era.features, later, engine=engine)
    assert_agrees(result, expected, LEAST_SQUARES)


@given(eras(targets=False), SHARES, SHARES)
def test_neutral_churn_with_partial_neutralizers(engine, era, share, other):
    first, second = era.predictions.iloc[:, 0], era.predictions.iloc[::-1, 0]
    first = first + np.random.default_rng(1).random(len(first))
    second = pd.Series(second.to_numpy(), first.index)
    factors = without(era.features, share, 1), without(era.features, other, 2)
    both = second.loc[factors[0].index.intersection(factors[1].index)]
    assume(both.nunique() == len(both))  # no ties, which rounding could break
    both_or_neither(
        lambda: metrics.neutral_churn(first, second, *map(era.shuffled, factors), engine=engine),
        lambda: signals.neutral_churn(first, second, *factors),
    )


@given(st.floats(0, 2), st.floats(0, 2), st.floats(1e-3, 1e3))
def test_neutral_churn_penalty(churn, threshold, factor):
    expected = signals.neutral_churn_penalty(churn, threshold, factor)
    assert_agrees(metrics.neutral_churn_penalty(churn, threshold, factor), expected)


NAMES = [
    name
    for module in (scoring, signals)
    for name, function in vars(module).items()
    if inspect.isfunction(function)
    and function.__module__ == module.__name__
    and not name.startswith(("_", "filter_", "validate_", "one_hot"))
]
"""Every function of numerai-tools that scores or transforms."""


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_those_of_numerai_tools(name):
    theirs = getattr(scoring, name, None) or getattr(signals, name)
    expected = inspect.signature(theirs).parameters.values()
    found = list(inspect.signature(getattr(metrics, name)).parameters.values())
    given_by_place = [one for one in found if one.kind is not one.KEYWORD_ONLY]
    assert [(one.name, one.default) for one in given_by_place] == [
        (one.name, one.default) for one in expected
    ]
