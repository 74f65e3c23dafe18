"""Every score against numerai-tools 0.7.2, on random eras: ties, copies, unsorted ids, gaps.

Long, because every function of numerai-tools is here.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from made_eras import ENDS, LEAST_SQUARES, assert_agrees, assert_all_agree, eras, make_era, quiet

from mmc_gpu import metrics
from mmc_gpu.errors import RoundError

scoring = pytest.importorskip("numerai_tools.scoring", reason="the extra `test` has numerai-tools")
signals = pytest.importorskip("numerai_tools.signals", reason="the extra `test` has numerai-tools")


@given(eras(), ENDS, st.booleans())
def test_numerai_corr(engines, era, ends, power):
    expected = quiet(
        scoring.numerai_corr, era.predictions, era.targets, top_bottom=ends, target_pow15=power
    )
    shuffled = era.shuffled(era.predictions), era.shuffled(era.targets)
    options = {"top_bottom": ends, "target_pow15": power}
    assert_all_agree(engines, expected, metrics.numerai_corr, *shuffled, **options)


def without(data, share, seed):
    """Return a frame or Series without a share of its rows."""
    dropped = np.random.default_rng(seed).permutation(len(data))[: int(share * len(data))]
    return data.drop(data.index[dropped])


SHARES = st.sampled_from([0.0, 0.04, 0.1, 0.19, 0.21, 0.3, 0.6])


def both_or_neither(engines, name, *arguments, shuffled=()):
    """Assert that results agree, or that neither will have ids of which too few are common."""
    theirs = getattr(scoring, name, None) or getattr(signals, name)
    function, ours = getattr(metrics, name), shuffled or arguments
    try:
        expected = quiet(theirs, *arguments)
    except AssertionError as error:
        assert "overlapping ids" in str(error)  # noqa: PT017
        for engine in engines:
            with pytest.raises(RoundError, match=r"\[id-other-round\]"):
                function(*ours, engine=engine)
    else:
        assert_all_agree(engines, expected, function, *ours, tolerance=LEAST_SQUARES)


@given(eras(), SHARES, SHARES, st.sampled_from([0.0, 0.05, 0.2, 0.5]))
def test_as_many_ids_may_go_unscored_as_is_asked_for(engines, era, share, other, ratio):
    targets, predictions = without(era.targets, share, 1), without(era.predictions, other, 2)
    assume(targets.loc[targets.index.intersection(predictions.index)].nunique() > 1)
    assume((predictions.loc[predictions.index.intersection(targets.index)].nunique() > 1).all())
    both_or_neither(engines, "numerai_corr", predictions, targets, ratio)
    features = without(era.features, other, 3)
    both_or_neither(engines, "neutral_correlation", predictions, features, targets, ratio)


@given(eras(), ENDS)
def test_correlation_contribution(engines, era, ends):
    arguments = era.predictions, era.meta_model, era.targets
    expected = quiet(scoring.correlation_contribution, *arguments, top_bottom=ends)
    shuffled = map(era.shuffled, arguments)
    function = metrics.correlation_contribution
    assert_all_agree(engines, expected, function, *shuffled, top_bottom=ends)


@given(eras(), ENDS)
def test_neutral_contribution(engines, era, ends):
    arguments = era.predictions, era.meta_model, era.features, era.targets
    expected = quiet(scoring.neutral_contribution, *arguments, top_bottom=ends)
    shuffled, options = map(era.shuffled, arguments), {"top_bottom": ends}
    function = metrics.neutral_contribution
    assert_all_agree(engines, expected, function, *shuffled, **options, tolerance=LEAST_SQUARES)


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
def test_feature_neutral_corr(engines, era, ends):
    assume_only_alike_are_tied(era.predictions, era.features)
    arguments = era.predictions, era.features, era.targets
    expected = quiet(scoring.feature_neutral_corr, *arguments, top_bottom=ends)
    shuffled, options = map(era.shuffled, arguments), {"top_bottom": ends}
    function = metrics.feature_neutral_corr
    assert_all_agree(engines, expected, function, *shuffled, **options, tolerance=LEAST_SQUARES)


@given(eras(), ENDS)
def test_neutral_correlation(engines, era, ends):
    assume_only_alike_are_tied(era.predictions.loc[era.targets.dropna().index], era.features)
    arguments = era.predictions, era.features, era.targets
    expected = quiet(scoring.neutral_correlation, *arguments, top_bottom=ends)
    shuffled, options = map(era.shuffled, arguments), {"top_bottom": ends}
    function = metrics.neutral_correlation
    assert_all_agree(engines, expected, function, *shuffled, **options, tolerance=LEAST_SQUARES)


@given(eras(targets=False), st.sampled_from([0.3, 1.0]))
def test_neutralize(engines, era, proportion):
    expected = quiet(scoring.neutralize, era.predictions, era.features, proportion)
    arguments = era.predictions, era.shuffled(era.features), proportion
    assert_all_agree(engines, expected, metrics.neutralize, *arguments, tolerance=LEAST_SQUARES)


@given(eras())
def test_alpha(engines, era):
    arguments = era.predictions, era.features, era.sample_weights, era.targets
    expected = quiet(scoring.alpha, *arguments)
    assert_all_agree(engines, expected, metrics.alpha, *map(era.shuffled, arguments))


@given(eras(), st.booleans())
def test_meta_portfolio_contribution(engines, era, without):
    stakes = era.stakes.iloc[::-1].copy()
    if without and len(stakes) > 1:
        stakes.iloc[0] = np.nan
    others = era.features, era.sample_weights, era.targets
    expected = quiet(scoring.meta_portfolio_contribution, era.predictions, stakes, *others)
    shuffled = era.shuffled(era.predictions), stakes, *map(era.shuffled, others)
    assert_all_agree(engines, expected, metrics.meta_portfolio_contribution, *shuffled)


@given(eras(targets=False), st.booleans())
def test_generate_neutralized_weights(engines, era, normalized):
    arguments = era.predictions, era.features, era.sample_weights
    expected = quiet(scoring.generate_neutralized_weights, *arguments, normalized)
    function = metrics.generate_neutralized_weights
    assert_all_agree(engines, expected, function, *arguments, normalized)


@given(eras(targets=False), SHARES, SHARES, st.booleans())
def test_weights_are_ranked_over_all_that_is_predicted(engines, era, share, other, normalized):
    factors = without(era.features, share, 1), without(era.sample_weights, other, 2)
    shuffled = era.predictions, *map(era.shuffled, factors), normalized
    arguments = era.predictions, *factors, normalized
    both_or_neither(engines, "generate_neutralized_weights", *arguments, shuffled=shuffled)


@given(eras(targets=False), ENDS)
def test_correlations_of_one_series(engines, era, ends):
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
            assert_all_agree(engines, expected, getattr(metrics, function), *shuffled, *options)


@given(eras(targets=False), ENDS)
def test_max_feature_correlation(engines, era, ends):
    series = era.predictions.iloc[:, 0]
    name, expected = quiet(scoring.max_feature_correlation, series, era.features, ends)
    shuffled = era.shuffled(series)
    for engine in engines:
        feature, result = metrics.max_feature_correlation(
            shuffled, era.features, ends, engine=engine
        )
        assert_agrees(result, expected)
        if feature != name:  # a tie
            exposure = quiet(scoring.pearson_correlation, era.features[feature], series, ends)
            assert abs(exposure) == pytest.approx(expected, 1e-12)


@given(eras(targets=False))
def test_stake_weight(engines, era):
    expected = scoring.stake_weight(era.predictions, era.stakes)
    assert_all_agree(engines, expected, metrics.stake_weight, era.predictions, era.stakes)


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


@given(eras(targets=False))
def test_transforms(era):
    for name, transform in TRANSFORMS.items():
        expected = quiet(transform, scoring, era.predictions)
        try:
            assert_agrees(transform(metrics, era.predictions), expected)
        except AssertionError as error:
            error.add_note(name)
            raise


@given(eras(targets=False))
def test_ranks_and_neutralization_in_one(engines, era):
    name = "tie_kept_rank__gaussianize__neutralize__variance_normalize"
    expected = quiet(getattr(scoring, name), era.predictions, era.features)
    arguments = era.predictions, era.features
    function = getattr(metrics, name)
    assert_all_agree(engines, expected, function, *arguments, tolerance=LEAST_SQUARES)


@given(eras(targets=False))
def test_orthogonalize(engines, era):
    v, u = era.predictions.to_numpy(), era.meta_model.to_numpy()
    expected = scoring.orthogonalize(v, u)
    assert_all_agree(engines, expected, metrics.orthogonalize, v, u)
    assert_all_agree(engines, expected[:, 0], metrics.orthogonalize, v[:, 0], u[:, None])


@given(eras(targets=False), st.integers(0, 3), ENDS)
def test_churn_and_turnover(engines, era, dropped, ends):
    rng = np.random.default_rng(dropped)
    for name in era.predictions:
        first = era.predictions[name].iloc[dropped:]
        second = (era.predictions[name] + rng.random(len(era.predictions))).iloc[: len(first)]
        shuffled = era.shuffled(second)
        expected = quiet(signals.churn, first, second, ends)
        assert_all_agree(engines, expected, metrics.churn, first, shuffled, ends)
        expected = signals.turnover(first, second)
        assert_all_agree(engines, expected, metrics.turnover, first, shuffled)


@given(eras(targets=False), ENDS)
def test_contribution_scores(engines, era, ends):
    residuals = era.predictions.to_numpy() - era.meta_model.to_numpy()[:, None]
    expected = scoring.contribution_scores(residuals, era.targets, era.predictions, ends)
    order = era.shuffled(era.predictions).index
    shuffled = residuals[era.predictions.index.get_indexer(order)]
    framed = pd.DataFrame(residuals, era.predictions.index)  # with ids of its own
    for residual in shuffled, framed:
        arguments = residual, era.targets, era.predictions.loc[order], ends
        assert_all_agree(engines, expected, metrics.contribution_scores, *arguments)


@given(eras(targets=False))
def test_sharpe_ratio(era):
    scores = era.predictions - 0.4
    for name in scores:
        assert_agrees(metrics.sharpe_ratio(scores[name]), scoring.sharpe_ratio(scores[name]))
    expected = scores.mean() / scores.std(ddof=0)
    assert_agrees(metrics.sharpe_ratio(scores), expected)


@given(eras(targets=False))
def test_neutral_churn(engines, era):
    later = make_era(len(era.predictions), 1, era.features.shape[1], seed=1).features
    later.index = era.features.index
    first, second = era.predictions.iloc[:, 0], era.predictions.iloc[::-1, 0]
    second = pd.Series(second.to_numpy(), first.index)
    expected = quiet(signals.neutral_churn, first, second, era.features, later)
    arguments = first, second, era.features, later
    assert_all_agree(engines, expected, metrics.neutral_churn, *arguments, tolerance=LEAST_SQUARES)


@given(eras(targets=False), SHARES, SHARES)
def test_neutral_churn_with_partial_neutralizers(engines, era, share, other):
    first, second = era.predictions.iloc[:, 0], era.predictions.iloc[::-1, 0]
    first = first + np.random.default_rng(1).random(len(first))
    second = pd.Series(second.to_numpy(), first.index)
    factors = without(era.features, share, 1), without(era.features, other, 2)
    both = second.loc[factors[0].index.intersection(factors[1].index)]
    assume(both.nunique() == len(both))  # no ties, which rounding could break
    shuffled = first, second, *map(era.shuffled, factors)
    both_or_neither(engines, "neutral_churn", first, second, *factors, shuffled=shuffled)


@given(st.floats(0, 2), st.floats(0, 2), st.floats(1e-3, 1e3))
def test_neutral_churn_penalty(churn, threshold, factor):
    expected = signals.neutral_churn_penalty(churn, threshold, factor)
    assert_agrees(metrics.neutral_churn_penalty(churn, threshold, factor), expected)
