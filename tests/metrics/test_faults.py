"""One user's fault is his alone; and the defects of numerai-tools that this avoids, reproduced.

Long, because every function meets every fault.
"""

import tracemalloc
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_eras import make_era, quiet

from mmc_gpu import metrics
from mmc_gpu.errors import RoundError

scoring = pytest.importorskip("numerai_tools.scoring", reason="the extra `test` has numerai-tools")

SCORES = {
    "numerai_corr": lambda era, p, **o: metrics.numerai_corr(p, era.targets, **o),
    "top_bottom": lambda era, p, **o: metrics.numerai_corr(p, era.targets, top_bottom=5, **o),
    "correlation_contribution": lambda era, p, **o: metrics.correlation_contribution(
        p, era.meta_model, era.targets, **o
    ),
    "contribution top_bottom": lambda era, p, **o: metrics.correlation_contribution(
        p, era.meta_model, era.targets, 5, **o
    ),
    "neutral_contribution": lambda era, p, **o: metrics.neutral_contribution(
        p, era.meta_model, era.features, era.targets, **o
    ),
    "feature_neutral_corr": lambda era, p, **o: metrics.feature_neutral_corr(
        p, era.features, era.targets, **o
    ),
    "neutral_correlation": lambda era, p, **o: metrics.neutral_correlation(
        p, era.features, era.targets, **o
    ),
    "alpha": lambda era, p, **o: metrics.alpha(
        p, era.features, era.sample_weights, era.targets, **o
    ),
    "tie_broken_rank_correlation": lambda era, p, **o: metrics.tie_broken_rank_correlation(
        era.targets, p, **o
    ),
    "spearman_correlation": lambda era, p, **o: metrics.spearman_correlation(era.targets, p, **o),
    "pearson_correlation": lambda era, p, **o: metrics.pearson_correlation(era.targets, p, **o),
    "cwmm": lambda era, p, **o: metrics.cwmm(p, era.meta_model, **o),
}  # fmt: skip

FAULTS = {
    "missing": (np.nan, "id-other-round", "missing 60 of 60"),
    "a quarter missing": ("quarter", "id-other-round", "missing 15 of 60"),
    "constant": (0.5, "prediction-constant", "all predictions are 0.5"),
    "infinite": ("infinite", "prediction-infinite", "infinite 1 of 60"),
}


def spoiled(predictions, fault):
    """Return predictions in which the second user has a fault."""
    predictions = predictions.copy()
    if fault == "quarter":
        predictions.iloc[:15, 1] = np.nan
    elif fault == "infinite":
        predictions.iloc[7, 1] = np.inf
    else:
        predictions.iloc[:, 1] = fault
    return predictions


@pytest.mark.parametrize("score", SCORES)
def test_a_fault_concerns_its_user_alone(engine, score):
    era, others = make_era(60, 5), [0, 2, 3, 4]
    whole = SCORES[score](era, era.predictions, engine=engine)
    for kind, code, detail in FAULTS.values():
        faults = {}
        scores = SCORES[score](era, spoiled(era.predictions, kind), engine=engine, faults=faults)
        assert np.isnan(scores.iloc[1]), detail
        assert {user: fault.code for user, fault in faults.items()} == {"user 1": code}
        assert f"user 'user 1': {detail}" in str(faults["user 1"])
        found, expected = (np.asarray(data.iloc[others]).tobytes() for data in (scores, whole))
        assert found == expected, detail


SERIES = {
    "neutralize": lambda era, p, **o: metrics.neutralize(p, era.features, **o),
    "weights": lambda era, p, **o: metrics.generate_neutralized_weights(
        p, era.features, era.sample_weights, True, **o
    ),
    "in one": lambda era, p, **o: (
        metrics.tie_kept_rank__gaussianize__neutralize__variance_normalize(p, era.features, **o)
    ),
    "exposures": lambda era, p, **o: pd.DataFrame(
        metrics.feature_exposures(p, era.features, **o)[1].T
    ),
}  # fmt: skip


@pytest.mark.parametrize("function", SERIES)
def test_a_fault_concerns_its_series_alone(engine, function):
    era, others = make_era(60, 5), [0, 2, 3, 4]
    whole = SERIES[function](era, era.predictions, engine=engine)
    for name, (kind, code, _) in FAULTS.items():
        if (function, name) == ("in one", "infinite"):
            continue  # a rank of an infinity is a rank
        faults = {}
        series = SERIES[function](era, spoiled(era.predictions, kind), engine=engine, faults=faults)
        assert series.iloc[:, 1].isna().all(), name
        assert {user: found.code for user, found in faults.items()} == {"user 1": code}
        np.testing.assert_array_equal(series.iloc[:, others], whole.iloc[:, others], err_msg=name)


@pytest.mark.parametrize("score", SCORES)
def test_a_user_with_gaps_gets_the_score_he_would_get_alone(engine, score):
    era = make_era(60, 5)
    predictions = era.predictions.copy()
    predictions.iloc[[3, 30, 44], 1] = np.nan
    predictions.iloc[[9], 2] = predictions.iloc[[9], 3] = np.nan
    faults = {}
    together = SCORES[score](era, predictions, engine=engine, faults=faults)
    assert not faults
    for user in predictions:
        alone = SCORES[score](era, predictions[[user]].dropna(), engine=engine)
        np.testing.assert_allclose(together[user], alone[user], 1e-9, 1e-12)
    whole = SCORES[score](era, era.predictions, engine=engine)
    for user in ("user 0", "user 4"):
        assert together[user] == whole[user]


def test_numerai_tools_fails_for_everybody_if_one_user_misses_a_quarter():
    era = make_era(60, 5)
    predictions = spoiled(era.predictions, "quarter")
    with pytest.raises(AssertionError, match="overlapping ids"):
        scoring.numerai_corr(predictions, era.targets)
    assert metrics.numerai_corr(predictions, era.targets).notna().sum() == 4


def test_numerai_tools_drops_a_stock_from_everybody_if_one_user_misses_it():
    era = make_era(500, 50)
    rng = np.random.default_rng(0)
    gaps = era.predictions.mask(rng.random(era.predictions.shape) < 0.003)
    moved = scoring.numerai_corr(gaps, era.targets) - scoring.numerai_corr(
        era.predictions, era.targets
    )
    assert gaps.dropna().shape[0] < 450
    assert moved.abs().max() > 0.005
    ours = metrics.numerai_corr(gaps, era.targets)
    for user in gaps.columns[:5]:
        alone = quiet(scoring.numerai_corr, gaps[[user]].dropna(), era.targets)
        np.testing.assert_allclose(ours[user], alone[user], 1e-12, 1e-14)


def test_numerai_tools_counts_a_missing_prediction_as_0_in_the_meta_model(engine):
    predictions = pd.DataFrame({"a": [0.4, 0.8], "b": [0.6, np.nan]}, ["x", "y"])
    stakes = pd.Series({"a": 1.0, "b": 3.0})
    assert scoring.stake_weight(predictions, stakes).tolist() == pytest.approx([0.55, 0.2])
    result = metrics.stake_weight(predictions, stakes, engine=engine)
    assert result.tolist() == pytest.approx([0.55, 0.8])


def test_a_stock_that_nobody_predicts_has_no_meta_model():
    predictions = pd.DataFrame({"a": [0.4, np.nan], "b": [0.6, np.nan]}, ["x", "y"])
    assert metrics.stake_weight(predictions, {"a": 1.0, "b": 3.0}).isna().tolist() == [False, True]


def test_numerai_tools_fails_for_everybody_if_one_submission_is_constant():
    era = make_era(60, 5)
    predictions = spoiled(era.predictions, 0.5)
    with pytest.raises((AssertionError, np.linalg.LinAlgError)):
        quiet(scoring.feature_neutral_corr, predictions, era.features, era.targets)
    assert metrics.feature_neutral_corr(predictions, era.features, era.targets).notna().sum() == 4


def test_numerai_tools_accepts_infinite_predictions():
    era = make_era(60, 5)
    predictions = spoiled(era.predictions, "infinite")
    assert scoring.numerai_corr(predictions, era.targets).notna().all()
    assert np.isnan(metrics.numerai_corr(predictions, era.targets)["user 1"])


def test_numerai_tools_multiplies_returns_that_happen_to_lie_between_0_and_1():
    era = make_era(60, 5, returns=True)
    returns = era.targets / era.targets.abs().max() / 4  # -0.25 to 0.25
    arguments = era.predictions, era.meta_model
    theirs = [scoring.correlation_contribution(*arguments, returns + shift) for shift in (0, 0.5)]
    np.testing.assert_allclose(theirs[1], 4 * theirs[0])
    ours = [metrics.correlation_contribution(*arguments, returns + shift) for shift in (0, 0.5)]
    np.testing.assert_allclose(ours[1], ours[0], 1e-11)
    np.testing.assert_allclose(ours[0], theirs[0], 1e-11)
    coarse = [
        metrics.correlation_contribution(*arguments, returns.round(2) + shift) for shift in (0, 0.5)
    ]
    np.testing.assert_allclose(coarse[1], coarse[0], 1e-11)
    scaled = metrics.correlation_contribution(*arguments, returns + 0.5, target_scale=4)
    np.testing.assert_allclose(scaled, theirs[1], 1e-11)


@pytest.mark.parametrize("ends", [None, 5])
def test_the_scale_of_the_meta_model_moves_no_contribution(engine, ends):
    # numerblox 1.6.1: its legacy contribution follows the scale
    era = make_era(60, 5)
    for score in (
        lambda meta: metrics.correlation_contribution(
            era.predictions, meta, era.targets, ends, engine=engine
        ),
        lambda meta: metrics.neutral_contribution(
            era.predictions, meta, era.features, era.targets, ends, engine=engine
        ),
    ):
        np.testing.assert_array_equal(score(8 * era.meta_model), score(era.meta_model))


ROUNDED = {
    "as they are": lambda targets: targets,
    "float16": lambda targets: targets.astype(np.float16),
    "float32": lambda targets: targets.astype(np.float32),
    "4 decimals": lambda targets: targets.round(4),
    "3 decimals": lambda targets: targets.round(3),
}


@pytest.mark.parametrize("rounded", ROUNDED)
@pytest.mark.parametrize("bins", [4, 6])
def test_targets_in_bins_are_multiplied_by_4(bins, rounded):
    era = make_era(60, 5)
    rng = np.random.default_rng(0)
    targets = pd.Series(rng.integers(1, bins, 60) / bins, era.predictions.index, name="target")
    targets = ROUNDED[rounded](targets).astype(np.float64)
    expected = scoring.correlation_contribution(era.predictions, era.meta_model, targets)
    result = metrics.correlation_contribution(era.predictions, era.meta_model, targets)
    np.testing.assert_allclose(result, expected, 1e-12, 1e-14)


def test_numerai_tools_relies_on_asserts_for_the_order_of_ids():
    era = make_era(60, 5)
    unsorted = era.shuffled(era.predictions)
    with pytest.raises(AssertionError, match="unsorted index"):
        scoring.feature_neutral_corr(unsorted, era.features, era.targets)
    expected = scoring.feature_neutral_corr(era.predictions, era.features, era.targets)
    result = metrics.feature_neutral_corr(unsorted, era.features, era.targets)
    np.testing.assert_allclose(result, expected, 1e-9)


def test_numerai_tools_without_asserts_scores_unsorted_ids_wrongly_in_silence():
    path = Path(scoring.__file__)
    theirs = types.ModuleType("numerai_tools.scoring_without_asserts")  # as `python -O` has it
    exec(compile(path.read_bytes(), path, "exec", optimize=1), vars(theirs))
    era = make_era(60, 3)
    unsorted, arguments = era.shuffled(era.predictions), (era.features, era.targets)
    right = quiet(scoring.feature_neutral_corr, era.predictions, *arguments)
    with pytest.raises(AssertionError):
        quiet(scoring.feature_neutral_corr, unsorted, *arguments)
    assert np.abs(quiet(theirs.feature_neutral_corr, unsorted, *arguments) - right).max() > 0.01
    assert np.abs(metrics.feature_neutral_corr(unsorted, *arguments) - right).max() < 1e-9


def test_numerai_tools_multiplies_users_by_users_for_the_top_and_bottom(monkeypatch):
    def spied(matrix):
        shapes.append(matrix.shape)
        return diagonal(matrix)

    shapes, diagonal = [], np.diag
    monkeypatch.setattr(np, "diag", spied)
    era = make_era(24, 30)
    quiet(scoring.correlation_contribution, era.predictions, era.meta_model, era.targets, 5)
    assert shapes == [(30, 30)]

    many = make_era(24, 4000)
    for made in (era, many):  # first what is compiled and imported
        tracemalloc.start()
        arguments = made.predictions, made.meta_model, made.targets, 5
        metrics.correlation_contribution(*arguments, engine="cpu")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 * 4000**2 / 4


def test_residuals_that_are_only_rounding_are_not_scored():
    era = make_era(60, 3)
    quantiles = metrics.gaussian(metrics.rank(era.predictions[["user 0"]]))
    features = era.features.assign(same=quantiles["user 0"])
    theirs = scoring.feature_neutral_corr(era.predictions, features, era.targets)
    assert theirs.notna().all()  # the correlation of rounding errors with the target
    faults = {}
    ours = metrics.feature_neutral_corr(era.predictions, features, era.targets, faults=faults)
    assert ours.isna().tolist() == [True, False, False]
    assert faults["user 0"].code == "score-undefined"


def test_users_of_the_meta_portfolio_with_a_fault_are_as_if_they_were_not_there(engine):
    era = make_era(60, 5)
    others = era.features, era.sample_weights, era.targets
    for fault in (np.nan, 0.5, "quarter", "infinite"):
        faults = {}
        scores = metrics.meta_portfolio_contribution(
            spoiled(era.predictions, fault), era.stakes, *others, engine=engine, faults=faults
        )
        assert list(faults) == ["user 1"]
        expected = scoring.meta_portfolio_contribution(
            era.predictions.drop(columns="user 1"), era.stakes.drop("user 1"), *others
        )
        np.testing.assert_allclose(scores.drop("user 1"), expected, 1e-12, 1e-14)


def test_the_top_and_bottom_of_a_user_may_have_one_target():
    era = make_era(60, 3)
    targets = pd.Series(np.repeat([0.25, 0.5, 0.25], 20), era.predictions.index, name="target")
    predictions = era.predictions.assign(**{"user 0": np.arange(60.0)})
    faults = {}
    scores = metrics.numerai_corr(predictions, targets, top_bottom=5, faults=faults)
    assert np.isnan(scores["user 0"])
    assert faults["user 0"].code == "score-undefined"


BAD_INPUTS = {
    "target-constant": lambda era: metrics.numerai_corr(era.predictions, era.targets * 0),
    "target-missing": lambda era: metrics.numerai_corr(era.predictions, era.targets * np.nan),
    "meta-model-constant": lambda era: metrics.correlation_contribution(
        era.predictions, era.meta_model * 0, era.targets
    ),
    "series-infinite": lambda era: metrics.feature_neutral_corr(
        era.predictions, era.features.replace(era.features.iloc[3, 0], np.inf), era.targets
    ),
    "id-other-round": lambda era: metrics.numerai_corr(era.predictions, era.targets.iloc[:40]),
    "id-duplicate": lambda era: metrics.numerai_corr(
        era.predictions.rename({era.predictions.index[1]: era.predictions.index[0]}), era.targets
    ),
    "header-duplicate": lambda era: metrics.numerai_corr(
        era.predictions.rename(columns={"user 1": "user 0"}), era.targets
    ),
    "id-null": lambda era: metrics.numerai_corr(
        era.predictions.rename({era.predictions.index[1]: None}), era.targets
    ),
    "id-type": lambda era: metrics.numerai_corr(
        era.predictions.rename({era.predictions.index[1]: 7}), era.targets
    ),
    "array-shape": lambda era: metrics.numerai_corr(
        era.predictions, era.predictions.iloc[:, :2]
    ),
    "score-undefined": lambda era: metrics.neutral_contribution(
        era.predictions,
        era.meta_model,
        pd.DataFrame({"same": metrics.gaussian(metrics.rank(era.meta_model))}),
        era.targets,
    ),
    "column-missing": lambda era: metrics.stake_weight(era.predictions, {"nobody": 1.0}),
    "stake-invalid": lambda era: metrics.stake_weight(era.predictions, {"user 0": -1.0}),
    "stake-none": lambda era: metrics.stake_weight(era.predictions, {"user 0": 0.0}),
}  # fmt: skip


@pytest.mark.parametrize("code", BAD_INPUTS)
def test_what_all_users_share_is_an_error_with_a_code(code):
    with pytest.raises(RoundError) as error:
        BAD_INPUTS[code](make_era(60, 3))
    assert error.value.code == code


def test_residuals_need_a_target_each_and_the_shape_of_the_predictions():
    era = make_era(60, 3)
    residuals = era.predictions.to_numpy()
    with pytest.raises(RoundError, match="1 of 60 stocks have none"):
        metrics.contribution_scores(residuals, era.targets.iloc[1:], era.predictions)
    with pytest.raises(RoundError, match="neutral_preds: 59 stocks without ids"):
        metrics.contribution_scores(residuals[1:], era.targets, era.predictions)
    with pytest.raises(RoundError, match=r"neutral_preds \(60, 2\), predictions \(60, 3\)"):
        metrics.contribution_scores(residuals[:, 1:], era.targets, era.predictions)
    with pytest.raises(RoundError, match="0 of 0 stocks have none"):
        metrics.contribution_scores(residuals[:0], era.targets[:0], era.predictions[:0])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("ends", [None, 5])
def test_who_misses_a_residual_has_no_contribution(engine, ends, kind):
    era = make_era(60, 3)
    residuals = era.predictions.to_numpy(kind, copy=True)
    how = {"top_bottom": ends, "engine": engine}
    expected = metrics.contribution_scores(residuals, era.targets, era.predictions, **how)
    residuals[[3, 9], 1] = np.nan
    found = metrics.contribution_scores(residuals, era.targets, era.predictions, **how)
    pd.testing.assert_series_equal(found, expected.where([True, False, True]), check_exact=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_who_has_infinite_predictions_has_no_churn_at_the_ends(engine, value, several, first):
    era = make_era(60, 3)
    faulty = era.predictions.astype(np.float32)
    faulty.iloc[2 : 60 if several else 3, 1] = value
    weeks = (faulty, era.predictions) if first else (era.predictions, faulty)
    faults = {}
    found = metrics.churn(*weeks, 5, engine=engine, faults=faults)
    expected = metrics.churn(era.predictions.astype(np.float32), era.predictions, 5)
    assert found.iloc[[0, 2]].equals(expected.iloc[[0, 2]])
    infinite = np.isinf(value)
    assert np.isnan(found["user 1"]) == infinite
    codes = {name: fault.code for name, fault in faults.items()}
    assert codes == ({"user 1": "prediction-infinite"} if infinite else {})


def test_constant_scores_have_no_sharpe_ratio():
    assert np.isnan(metrics.sharpe_ratio(pd.Series([0.1] * 7)))  # numerai-tools: 1e16


def test_several_series_are_not_one():
    era = make_era(60, 3)
    two = era.predictions.iloc[:, :2]
    for score in (
        lambda: metrics.correlation_contribution(era.predictions, two, era.targets),
        lambda: metrics.cwmm(era.predictions, two),
        lambda: metrics.alpha(era.predictions, era.features, two, era.targets),
        lambda: metrics.spearman_correlation(two, era.predictions),
        lambda: metrics.max_feature_correlation(two, era.features),
    ):
        with pytest.raises(RoundError, match="2 series, not 1"):
            score()


def test_text_among_the_predictions_concerns_its_user_alone():
    era = make_era(60, 3)
    predictions = era.predictions.astype({"user 1": object})
    predictions.iloc[4, 1] = "0,5"
    faults = {}
    scores = metrics.numerai_corr(predictions, era.targets, faults=faults)
    assert scores.isna().tolist() == [False, True, False]
    assert faults["user 1"].code == "value-text"


STAKED = {
    "text": ("value-text", "'b': '0,1' is text"),
    "dates": ("column-type", "'b': a column of datetime64"),
    "infinite": ("series-infinite", "user 'b' has infinite ones"),
}


@pytest.mark.parametrize("fault", STAKED)
def test_a_staked_user_without_numbers_is_no_part_of_a_meta_model(engine, fault):
    values = {
        "text": ["0,1", "0,2"],
        "dates": pd.to_datetime(["2026-01-02", "2026-01-09"]),
        "infinite": [0.5, -np.inf],
    }[fault]
    predictions = pd.DataFrame({"a": [0.4, 0.8], "b": values}, ["x", "y"])
    code, detail = STAKED[fault]
    with pytest.raises(RoundError, match=detail) as error:
        metrics.stake_weight(predictions, {"a": 1.0, "b": 2.0}, engine=engine)
    assert error.value.code == code
    for unstaked in ({"a": 1.0}, {"a": 1.0, "b": 0.0}, {"a": 1.0, "b": np.nan}):
        result = metrics.stake_weight(predictions, unstaked, engine=engine)
        assert result.tolist() == [0.4, 0.8]


TRANSFORMS = {
    "rank": metrics.rank,
    "rank first": metrics.tie_broken_rank,
    "gaussian": metrics.gaussian,
    "power": lambda data: metrics.power(data, 2),
    "center": metrics.center,
    "standardize": metrics.standardize,
    "variance_normalize": metrics.variance_normalize,
    "weight_normalize": metrics.weight_normalize,
    "min_max_normalize": metrics.min_max_normalize,
    "pow15": metrics.tie_kept_rank__gaussianize__pow_1_5,
    "sharpe_ratio": metrics.sharpe_ratio,
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_text_is_not_transformed_into_nothing(transform):
    frame = pd.DataFrame({"a": [0.1, 0.2], "b": ["0,1", "0,2"]})
    for data in (frame, frame["b"]):
        with pytest.raises(RoundError, match=r"'b'.*'0,1' is text.*\[value-text\]"):
            TRANSFORMS[transform](data)


def test_text_among_the_transforms_that_tell_faults_concerns_its_series_alone():
    era = make_era(60, 3)
    predictions = era.predictions.astype({"user 1": object})
    predictions.iloc[4, 1] = "0,5"
    name = "tie_kept_rank__gaussianize__neutralize__variance_normalize"
    faults = {}
    result = getattr(metrics, name)(predictions, era.features, faults=faults)
    assert result.isna().all().tolist() == [False, True, False]
    assert faults["user 1"].code == "value-text"
    expected = getattr(metrics, name)(era.predictions, era.features)
    pd.testing.assert_series_equal(result["user 2"], expected["user 2"])


LONE = {
    "numerai_corr": lambda era, p, **o: metrics.numerai_corr(p, era.targets, **o),
    "mmc": lambda era, p, **o: metrics.correlation_contribution(
        p, era.meta_model, era.targets, **o
    ),
    "fnc": lambda era, p, **o: metrics.feature_neutral_corr(p, era.features, era.targets, **o),
    "alpha": lambda era, p, **o: metrics.alpha(
        p, era.features, era.sample_weights, era.targets, **o
    ),
    "tie_broken": lambda era, p, **o: metrics.tie_broken_rank_correlation(era.targets, p, **o),
    "spearman": lambda era, p, **o: metrics.spearman_correlation(era.targets, p, **o),
    "pearson": lambda era, p, **o: metrics.pearson_correlation(era.targets, p, **o),
    "cwmm": lambda era, p, **o: metrics.cwmm(p, era.meta_model, **o),
    "churn": lambda era, p, **o: metrics.churn(p, era.predictions["user 0"], **o),
    "turnover": lambda era, p, **o: metrics.turnover(p, era.predictions["user 0"], **o),
    "neutral_churn": lambda era, p, **o: metrics.neutral_churn(
        p, era.predictions["user 0"], era.features, era.features, **o
    ),
    "neutralize": lambda era, p, **o: metrics.neutralize(p, era.features, **o),
    "weights": lambda era, p, **o: metrics.generate_neutralized_weights(
        p, era.features, era.sample_weights, **o
    ),
    "exposures": lambda era, p, **o: metrics.feature_exposures(p, era.features, **o)[1],
}  # fmt: skip


@pytest.mark.parametrize("function", LONE)
def test_one_series_without_a_result_is_an_error(function):
    era = make_era(60, 3)
    series = era.predictions["user 0"]
    missing = series.where(np.arange(60) < 30)
    lone = {"prediction-infinite": series.replace(series.iloc[7], np.inf)}
    lone["id-other-round"] = missing
    for code, data in lone.items():
        with pytest.raises(RoundError, match=f"{code}]"):
            LONE[function](era, data)
        faults = {}
        result = LONE[function](era, data, faults=faults)
        assert np.isnan(np.asarray(result)).all()
        assert [fault.code for fault in faults.values()] == [code]
    together = LONE[function](era, missing.to_frame())  # of many, his alone
    assert np.isnan(np.asarray(together)).all()


def test_ids_of_another_round_are_an_error_for_one_series():
    era = make_era(60, 3)
    first, second = era.predictions["user 0"], era.predictions["user 1"].iloc[:30]
    for function in (metrics.churn, metrics.turnover, metrics.spearman_correlation):
        with pytest.raises(RoundError, match="id-other-round"):
            function(first, second)
    with pytest.raises(RoundError, match="prediction-constant"):
        metrics.churn(first * 0, first)


def test_arguments_that_are_no_choice_are_named():
    era = make_era(60, 3)
    with pytest.raises(ValueError, match=r"method must be 'average' or .*'dense', not 'frist'"):
        metrics.rank(era.predictions, "frist")
    for wrong in (2.0, 1.5, "2"):
        for score in (
            lambda ends: metrics.numerai_corr(era.predictions, era.targets, top_bottom=ends),
            lambda ends: metrics.churn(era.predictions, era.predictions, ends),
        ):
            with pytest.raises(TypeError, match=f"top_bottom={wrong!r}: give a whole number"):
                score(wrong)
    two = metrics.numerai_corr(era.predictions, era.targets, top_bottom=np.int64(2))
    assert two.equals(metrics.numerai_corr(era.predictions, era.targets, top_bottom=2))


def test_ends_must_not_overlap():
    era = make_era(60, 3)
    with pytest.raises(RoundError, match="top_bottom=31 of 60 stocks"):
        metrics.numerai_corr(era.predictions, era.targets, top_bottom=31)
    predictions = era.predictions.copy()
    predictions.iloc[7, 1] = np.nan
    faults = {}
    scores = metrics.numerai_corr(predictions, era.targets, top_bottom=30, faults=faults)
    assert scores.isna().tolist() == [False, True, False]
    assert faults["user 1"].code == "ends-overlap"
