"""Submissions beside those of the weeks before, against numerai-tools."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_eras import LEAST_SQUARES, assert_agrees, make_era, quiet

from mmc_gpu import metrics
from mmc_gpu.errors import RoundError

signals = pytest.importorskip("numerai_tools.signals", reason="the extra `test` has numerai-tools")

FUNCTIONS = ["calculate_mean_neutral_churn", "calculate_max_churn_and_turnover"]
DATES = ["20260102", "20260109", "20260116"]


def make_weeks(seed, users=1, stocks=160, renewed=20):
    """Return a week's submissions, neutralizers and sample weights, and those of three before.

    Each week some stocks leave the universe and as many enter; a submission leaves some out.
    """
    weeks = []
    for week in range(len(DATES) + 1):
        era = make_era(stocks, users, seed=seed % 1000 + week)
        start = week * renewed
        ids = pd.Index([f"n{n:06d}" for n in range(start, start + stocks)], name="numerai_ticker")
        chosen = np.sort(np.random.default_rng(seed + week).permutation(stocks)[: stocks - 9])
        submissions = era.predictions.set_axis(ids).iloc[chosen]
        weeks.append((submissions, era.features.set_axis(ids), era.sample_weights.set_axis(ids)))
    return weeks


def arguments(weeks):
    """Return the arguments of the two functions: this week, and the weeks before by date."""
    current, *before = weeks
    return [*current, *(dict(zip(DATES, part, strict=True)) for part in zip(*before, strict=True))]


def of_user(weeks, user):
    """Return the weeks of one user, whose submissions are Series named as Signals wants them."""
    return [(frame[user].dropna().rename("signal"), *rest) for frame, *rest in weeks]


def test_there_is_something_to_compare(engine):
    weeks = of_user(make_weeks(0), "user 0")
    churned, turned = metrics.calculate_max_churn_and_turnover(*arguments(weeks), engine=engine)
    assert 0 < metrics.calculate_mean_neutral_churn(*arguments(weeks), engine=engine) < 2
    assert 0 < churned < 2
    assert 0 < turned < 1


def assert_history_agrees(engines, function, weeks, as_given):
    """Assert that each engine scores weeks as they are given as numerai-tools those in order."""
    expected = np.array(quiet(getattr(signals, function), *arguments(weeks)))
    for engine in engines:
        result = getattr(metrics, function)(*arguments(as_given), engine=engine)
        assert_agrees(np.array(result), expected, LEAST_SQUARES)


def every(part):
    """Return settings for one in so many of the examples: numerai-tools takes 0.1 s for one."""
    return settings(max_examples=max(1, settings().max_examples // part))


@pytest.mark.parametrize("function", FUNCTIONS)
@every(2)
@given(
    seed=st.integers(0, 2**32),
    user=st.sampled_from(["user 0", "user 1", "user 2"]),  # no ties, some, two values
    renewed=st.sampled_from([0, 5, 20, 40, 160]),
)
def test_one_user_agrees_with_numerai_tools(engines, function, seed, user, renewed):
    weeks = of_user(make_weeks(seed, 3, renewed=renewed), user)
    shuffled = [[part.sample(frac=1, random_state=1) for part in week] for week in weeks]
    assert_history_agrees(engines, function, weeks, shuffled)


@pytest.mark.parametrize("function", FUNCTIONS)
@every(3)
@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.05, 0.1, 0.15]))
def test_neutralizers_may_cover_less_than_the_universe(engines, function, seed, share):
    weeks = of_user(make_weeks(seed, renewed=5), "user 0")
    weeks = [(week[0], week[1].sample(frac=1 - share, random_state=2), week[2]) for week in weeks]
    ordered = [(week[0], week[1].sort_index(), week[2]) for week in weeks]
    assert_history_agrees(engines, function, ordered, weeks)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_many_users_are_each_as_if_alone(engines, function):
    weeks = make_weeks(7, 4)
    weeks[1][0].iloc[3:9, 1] = np.nan  # leaves out some ids
    weeks[2][0].iloc[:, 2] = np.nan  # had no submission then
    together = [getattr(metrics, function)(*arguments(weeks), engine=one) for one in engines]
    for user in weeks[0][0]:
        alone = arguments(of_user(weeks, user))
        if user == "user 2":
            alone[3:] = [{d: part[d] for d in (DATES[0], DATES[2])} for part in alone[3:]]
        expected = quiet(getattr(signals, function), *alone)
        for engine, scores in zip(engines, together, strict=True):
            found = [values[user] for values in (scores if isinstance(scores, tuple) else [scores])]
            np.testing.assert_allclose(
                found, np.atleast_1d(expected), LEAST_SQUARES, LEAST_SQUARES, err_msg=engine.name
            )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_users_come_and_go(function):
    weeks = make_weeks(7, 4)
    whole = getattr(metrics, function)(*arguments(weeks))
    changed = [(week[0][week[0].columns[::-1]], *week[1:]) for week in weeks]
    changed[2] = (changed[2][0].drop(columns="user 0"), *changed[2][1:])
    result = getattr(metrics, function)(*arguments(changed))
    for expected, found in zip(np.atleast_2d(whole), np.atleast_2d(result), strict=True):
        np.testing.assert_array_equal(found[::-1][1:], expected[1:])


@pytest.fixture(scope="module")
def whole():
    """What each function gives for three users without a fault."""
    weeks = arguments(make_weeks(7, 3))
    return {name: np.atleast_2d(getattr(metrics, name)(*weeks)) for name in FUNCTIONS}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("value", "week", "code"),
    [
        (0.5, 0, "prediction-constant"),
        (0.5, 1, "prediction-constant"),
        (np.inf, 0, "prediction-infinite"),
        (np.inf, 2, "prediction-infinite"),
        (np.nan, 0, "id-other-round"),
    ],
)
def test_a_fault_concerns_its_user_alone(function, whole, value, week, code):
    weeks = make_weeks(7, 3)
    weeks[week][0].iloc[slice(60, None) if np.isnan(value) else slice(None), 1] = value
    faults = {}
    result = np.atleast_2d(getattr(metrics, function)(*arguments(weeks), faults=faults))
    assert {user: fault.code for user, fault in faults.items()} == {"user 1": code}
    assert str(faults["user 1"]).startswith("user 'user 1': ")
    assert np.isnan(result[:, 1]).all()
    np.testing.assert_array_equal(result[:, [0, 2]], whole[function][:, [0, 2]])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_to_compare_with_is_1(function):
    current = of_user(make_weeks(7), "user 0")[0]
    result = np.atleast_1d(getattr(metrics, function)(*current, {}, {}, {}))
    assert (result == 1).all()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_polars_and_arrays_are_compared_alike(function):
    pl = pytest.importorskip("polars", reason="the extra `test` has polars")
    weeks = make_weeks(7, 3, renewed=0)
    weeks = [(week[0].reindex(week[1].index), *week[1:]) for week in weeks]
    expected = np.atleast_2d(getattr(metrics, function)(*arguments(weeks)))

    def to_polars(data):
        frame = data.to_frame() if isinstance(data, pd.Series) else data
        frame = pl.from_pandas(frame.rename_axis("id").reset_index())
        return frame.with_columns(pl.exclude("id").fill_nan(None))

    in_polars = [[to_polars(part) for part in week] for week in weeks]
    results = getattr(metrics, function)(*arguments(in_polars))
    for values, result in zip(
        expected, results if isinstance(results, tuple) else [results], strict=True
    ):
        assert result["user"].to_list() == list(weeks[0][0])
        np.testing.assert_array_equal(result.to_numpy()[:, 1].astype(float), values)
    arrays = [[part.to_numpy() for part in week] for week in weeks]
    np.testing.assert_array_equal(
        np.atleast_2d(getattr(metrics, function)(*arguments(arrays))), expected
    )


def test_a_universe_without_ids_is_refused():
    week = of_user(make_weeks(7), "user 0")[0]
    with pytest.raises(RoundError, match=r"curr_sub.*\[array-shape\]"):
        metrics.calculate_mean_neutral_churn(*week[:2], week[2].to_numpy(), {}, {}, {})
