"""What comes as pandas, polars, Arrow or arrays is scored alike, and goes as it came.

Long, because every function meets every kind of input.
"""

import numpy as np
import pandas as pd
import pytest
from made_eras import make_era

from mmc_gpu import metrics
from mmc_gpu.errors import RoundError

pl = pytest.importorskip("polars", reason="the extra `test` has polars")

USERS = [f"user {n}" for n in range(5)]


def to_polars(data):
    """Return a frame or Series as a polars frame with an id column."""
    frame = data.to_frame() if isinstance(data, pd.Series) else data
    return pl.DataFrame({"id": frame.index.to_numpy()} | {str(name): frame[name] for name in frame})


def to_arrow(data):
    return to_polars(data).to_arrow()


class Cudf:
    """A frame of cuDF, as far as its documents say: it has no Arrow stream, and makes a table."""

    def __init__(self, table):
        self.to_arrow = lambda: table


def to_cudf(data):
    return Cudf(to_arrow(data))


def to_array(data):
    return data.to_numpy()


SCORES = {
    "corr": lambda as_, era, data: metrics.numerai_corr(data, as_(era.targets)),
    "mmc": lambda as_, era, data: metrics.correlation_contribution(
        data, as_(era.meta_model), as_(era.targets), 4
    ),
    "neutral_mmc": lambda as_, era, data: metrics.neutral_contribution(
        data, as_(era.meta_model), as_(era.features), as_(era.targets)
    ),
    "fnc": lambda as_, era, data: metrics.feature_neutral_corr(
        data, as_(era.features), as_(era.targets)
    ),
    "alpha": lambda as_, era, data: metrics.alpha(
        data, as_(era.features), as_(era.sample_weights), as_(era.targets)
    ),
    "mpc": lambda as_, era, data: metrics.meta_portfolio_contribution(
        data,
        era.stakes.to_numpy() if as_ is to_array else era.stakes.to_dict(),
        as_(era.features),
        as_(era.sample_weights),
        as_(era.targets),
    ),
    "cwmm": lambda as_, era, data: metrics.cwmm(data, as_(era.meta_model)),
    "mcwnm": lambda as_, era, data: metrics.mcwnm(data),
    "apcwnm": lambda as_, era, data: metrics.apcwnm(data),
}  # fmt: skip


@pytest.mark.parametrize("score", SCORES)
def test_scores_of_polars_are_a_polars_frame(score):
    era = make_era(40, 5)
    expected = SCORES[score](lambda data: data, era, era.predictions)
    result = SCORES[score](to_polars, era, to_polars(era.shuffled(era.predictions)))
    assert isinstance(result, pl.DataFrame)
    assert result["user"].to_list() == USERS
    np.testing.assert_array_equal(result[score], expected)


@pytest.mark.parametrize("score", SCORES)
def test_scores_of_arrow_are_a_series(score):
    era = make_era(40, 5)
    expected = SCORES[score](lambda data: data, era, era.predictions)
    pd.testing.assert_series_equal(
        SCORES[score](to_arrow, era, to_arrow(era.shuffled(era.predictions))), expected
    )


@pytest.mark.parametrize("score", SCORES)
def test_scores_of_arrays_are_an_array(score):
    era = make_era(40, 5)
    expected = SCORES[score](lambda data: data, era, era.predictions)
    result = SCORES[score](to_array, era, era.predictions.to_numpy())
    assert isinstance(result, np.ndarray)
    np.testing.assert_array_equal(result, expected)


def later(era):
    """Return the predictions of an era after it."""
    return era.predictions.iloc[::-1].set_axis(era.predictions.index)


OTHERS = {
    "correlation": lambda as_, era, data: metrics.correlation(as_(era.targets), data),
    "pearson": lambda as_, era, data: metrics.pearson_correlation(as_(era.targets), data, 4),
    "spearman": lambda as_, era, data: metrics.spearman_correlation(as_(era.targets), data),
    "tie_broken": lambda as_, era, data: metrics.tie_broken_rank_correlation(
        as_(era.targets), data
    ),
    "neutral_corr": lambda as_, era, data: metrics.neutral_correlation(
        data, as_(era.features), as_(era.targets)
    ),
    "churn": lambda as_, era, data: metrics.churn(data, as_(later(era))),
    "neutral_churn": lambda as_, era, data: metrics.neutral_churn(
        data, as_(later(era)), as_(era.features), as_(era.features)
    ),
    "turnover": lambda as_, era, data: metrics.turnover(data, as_(later(era))),
    "sharpe": lambda as_, era, data: metrics.sharpe_ratio(data),
    "contribution": lambda as_, era, data: metrics.contribution_scores(
        era.predictions.to_numpy(), as_(era.targets), data
    ),
    "exposures": lambda as_, era, data: metrics.feature_exposures(data, as_(era.features))[1],
    "largest": lambda as_, era, data: metrics.max_feature_correlation(
        as_(era.predictions["user 0"]), as_(era.features)
    )[1],
    "neutralize": lambda as_, era, data: metrics.neutralize(data, as_(era.features)),
    "weights": lambda as_, era, data: metrics.generate_neutralized_weights(
        data, as_(era.features), as_(era.sample_weights), True
    ),
    "in one": lambda as_, era, data: (
        metrics.tie_kept_rank__gaussianize__neutralize__variance_normalize(data, as_(era.features))
    ),
    "pow15": lambda as_, era, data: metrics.tie_kept_rank__gaussianize__pow_1_5(data),
    "power": lambda as_, era, data: metrics.power(data, 1.5),
    "center": lambda as_, era, data: metrics.center(data),
    "standardize": lambda as_, era, data: metrics.standardize(data),
    "variance_normalize": lambda as_, era, data: metrics.variance_normalize(data),
    "weight_normalize": lambda as_, era, data: metrics.weight_normalize(data),
    "min_max_normalize": lambda as_, era, data: metrics.min_max_normalize(data),
}  # fmt: skip


@pytest.mark.parametrize("as_", [to_polars, to_arrow, to_cudf, to_array])
@pytest.mark.parametrize("function", OTHERS)
def test_every_other_function_takes_all_kinds(function, as_):
    era = make_era(40, 5)
    expected = np.asarray(OTHERS[function](lambda data: data, era, era.predictions))
    result = OTHERS[function](as_, era, as_(era.predictions))
    if isinstance(result, pl.DataFrame):
        result = result.select(pl.exclude("id", "user")).to_numpy()
    np.testing.assert_array_equal(np.asarray(result).reshape(expected.shape), expected)


def test_layout_and_dtype_of_the_predictions_change_nothing():
    era = make_era(40, 5)
    coarse = era.predictions.astype(np.float32)
    expected = metrics.numerai_corr(coarse, era.targets)
    for same in (
        pd.DataFrame(np.asfortranarray(coarse), coarse.index, coarse.columns),
        pd.DataFrame(np.ascontiguousarray(coarse), coarse.index, coarse.columns),
        coarse.astype(np.float64),
        coarse.astype({"user 1": np.float64}),
        coarse.astype({"user 2": "Float32"}),
    ):
        pd.testing.assert_series_equal(metrics.numerai_corr(same, era.targets), expected)


def test_integers_and_booleans_are_predictions():
    era = make_era(40, 1)
    values = np.arange(40) % 7
    expected = metrics.numerai_corr(values / 7.0, era.targets.to_numpy())
    assert metrics.numerai_corr(values, era.targets.to_numpy()) == expected
    halves = values > 3
    expected = metrics.numerai_corr(halves * 1.0, era.targets.to_numpy())
    assert metrics.numerai_corr(halves, era.targets.to_numpy()) == expected


def test_one_series_gets_one_number():
    era = make_era(40, 3)
    expected = metrics.numerai_corr(era.predictions, era.targets)["user 1"]
    assert metrics.numerai_corr(era.predictions["user 1"], era.targets) == expected
    targets = era.targets.to_numpy()
    assert metrics.numerai_corr(era.predictions["user 1"].to_numpy(), targets) == expected


def test_a_polars_series_is_an_array_without_ids():
    era = make_era(40, 3)
    result = metrics.numerai_corr(
        era.predictions.to_numpy(), pl.Series("target", era.targets.to_numpy())
    )
    np.testing.assert_array_equal(result, metrics.numerai_corr(era.predictions, era.targets))


def test_an_array_of_targets_stands_in_the_order_of_the_predictions():
    era = make_era(40, 3)
    order = era.predictions.sample(frac=1, random_state=3).index
    result = metrics.numerai_corr(era.predictions.loc[order], era.targets.loc[order].to_numpy())
    pd.testing.assert_series_equal(result, metrics.numerai_corr(era.predictions, era.targets))


def test_transforms_keep_the_kind_and_the_order():
    era = make_era(40, 3)
    shuffled = era.shuffled(era.predictions)
    expected = metrics.rank(era.predictions, "first")
    pd.testing.assert_frame_equal(metrics.rank(shuffled, "first"), expected.loc[shuffled.index])
    result = metrics.rank(to_polars(shuffled), "first")
    assert result.columns == ["id", "user 0", "user 1", "user 2"]
    assert result["id"].to_list() == shuffled.index.to_list()
    np.testing.assert_array_equal(result["user 1"], expected["user 1"].loc[shuffled.index])
    array = metrics.rank(era.predictions.to_numpy(), "first")
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_array_equal(metrics.rank(array[:, 0], "first"), array[:, 0])


def test_ranks_pass_over_what_is_missing():
    frame = pd.DataFrame({"a": [0.3, np.nan, 0.1, 0.3], "b": [1.0, np.inf, 2.0, 3.0]})
    expected = (frame.rank() - 0.5) / frame.count()
    pd.testing.assert_frame_equal(metrics.rank(frame), expected)


def test_a_lazy_frame_must_be_collected():
    era = make_era(40, 3)
    lazy = to_polars(era.predictions).lazy()
    for function in (
        lambda: metrics.rank(lazy),
        lambda: metrics.numerai_corr(lazy, era.targets),
        lambda: metrics.numerai_corr(era.predictions, lazy),
    ):
        with pytest.raises(TypeError, match=r"give its \.collect\(\)"):
            function()


def by_two_levels(data):
    """Return a frame or Series whose ids have a second level before them."""
    return pd.concat({"0001": data}, names=["era", data.index.name])


@pytest.mark.parametrize("score", SCORES)
def test_ids_may_have_several_levels(score):
    era = make_era(40, 5)
    expected = SCORES[score](lambda data: data, era, era.predictions)
    shuffled = by_two_levels(era.shuffled(era.predictions))
    result = SCORES[score](by_two_levels, era, shuffled)
    pd.testing.assert_series_equal(result, expected)


@pytest.mark.parametrize("function", OTHERS)
def test_every_other_function_takes_ids_of_several_levels(function):
    era = make_era(40, 5)
    expected = np.asarray(OTHERS[function](lambda data: data, era, era.predictions))
    predictions = by_two_levels(era.predictions)
    result = OTHERS[function](by_two_levels, era, predictions)
    np.testing.assert_array_equal(np.asarray(result), expected)
    if isinstance(result, pd.DataFrame):
        assert result.index.equals(predictions.index)


def test_ids_of_several_levels_are_checked_too():
    era = make_era(40, 2)
    predictions = by_two_levels(era.predictions)
    twice = pd.concat([predictions.iloc[:1], predictions])
    with pytest.raises(RoundError, match="id-duplicate"):
        metrics.numerai_corr(twice, by_two_levels(era.targets))
    tuples = [("0001", None), *predictions.index[1:]]
    nameless = predictions.set_axis(pd.MultiIndex.from_tuples(tuples))
    with pytest.raises(RoundError, match=r"1 id is null.*id-null"):
        metrics.numerai_corr(nameless, by_two_levels(era.targets))


LABELS = {
    "repeated": ["a", "a", "b", "c"],
    "not sorted": ["b", "a", "a", "c"],
    "null": ["a", "b", "c", None],
    "nan": [1.0, 2.0, np.nan, np.nan],
    "levels": pd.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", 1), ("b", 1)]),
}


@pytest.mark.parametrize("labels", LABELS)
def test_transforms_take_any_labels(labels):
    values = [0.3, 0.1, 0.3, 0.7]
    series = pd.Series(values, index=LABELS[labels], name="s")
    for transform in (
        metrics.rank,
        metrics.center,
        metrics.standardize,
        metrics.weight_normalize,
        metrics.min_max_normalize,
    ):
        expected = pd.Series(transform(np.array(values)), series.index, name="s")
        pd.testing.assert_series_equal(transform(series), expected)
    assert metrics.sharpe_ratio(series) == metrics.sharpe_ratio(np.array(values))


def test_of_equal_labels_the_first_is_the_lower_one():
    series = pd.Series(0.5, index=["b", "a", "b", "a", "b"] * 9)
    order = np.argsort(series.index, kind="stable")
    ranked = metrics.rank(series, "first").iloc[order]
    np.testing.assert_array_equal(ranked, metrics.rank_table("uniform", 45)[::2])
    nulls = pd.Series(0.5, index=["b", None, "a", None])
    assert metrics.rank(nulls, "first").tolist() == [0.375, 0.625, 0.125, 0.875]


def test_meta_models_go_as_the_predictions_came():
    era = make_era(40, 5)
    expected = metrics.stake_weight(era.predictions, era.stakes)
    assert expected.index.equals(era.predictions.index)
    frame = metrics.stake_weight(
        to_polars(era.predictions), pl.DataFrame({"user": USERS, "stake": era.stakes.to_numpy()})
    )
    assert frame.columns == ["id", "meta_model"]
    np.testing.assert_array_equal(frame["meta_model"], expected)
    array = metrics.stake_weight(era.predictions.to_numpy(), era.stakes.to_numpy())
    np.testing.assert_array_equal(array, expected)


def test_weights_of_arrays_stand_where_their_stocks_do():
    era = make_era(40, 3)
    features = era.features.copy()
    features.iloc[[3, 30], 1] = np.nan
    shuffled = era.shuffled(era.predictions)
    expected = metrics.generate_neutralized_weights(shuffled, features, era.sample_weights)
    whole = [i for i in shuffled.index if i not in features.index[[3, 30]]]
    assert expected.index.to_list() == whole
    arrays = era.predictions.to_numpy(), features.to_numpy(), era.sample_weights.to_numpy()
    result = pd.DataFrame(metrics.generate_neutralized_weights(*arrays), features.index)
    assert result.isna().all(axis=1).sum() == 2
    np.testing.assert_array_equal(result.loc[whole], expected)


def test_churn_of_frames_is_that_of_each_user():
    era = make_era(40, 4)
    later = era.predictions + np.random.default_rng(0).random(era.predictions.shape)
    later.iloc[3, 2] = np.nan
    for ends in (None, 4):
        together = metrics.churn(era.predictions, later[later.columns[::-1]], ends)
        for user in era.predictions:
            assert together[user] == metrics.churn(era.predictions[user], later[user], ends)
    arrays = metrics.churn(era.predictions.to_numpy(), later.to_numpy())
    np.testing.assert_array_equal(arrays, metrics.churn(era.predictions, later))


def test_a_faulty_user_has_no_churn():
    era = make_era(40, 4)
    later = era.predictions.iloc[::-1].set_axis(era.predictions.index).copy()
    later.iloc[:, 0] = 0.5
    later.iloc[:10, 1] = np.nan
    later.iloc[2, 2] = np.inf
    faults = {}
    result = metrics.churn(era.predictions, later, faults=faults)
    assert result.isna().tolist() == [True, True, True, False]
    codes = [faults[user].code for user in USERS[:3]]
    assert codes == ["prediction-constant", "id-other-round", "prediction-infinite"]
    faults = {}
    result = metrics.neutral_churn(
        era.predictions, later, era.features, era.features, faults=faults
    )
    assert result.isna().tolist() == [True, True, True, False]
    assert [faults[user].code for user in USERS[:3]] == codes
