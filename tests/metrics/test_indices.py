"""Common ids, tops and bottoms, and categories as columns: as numerai-tools has them."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mmc_gpu import metrics
from mmc_gpu.errors import RoundError

scoring = pytest.importorskip("numerai_tools.scoring", reason="the extra `test` has numerai-tools")

RATIOS = st.sampled_from([0.0, 0.1, 0.2, 0.35, 1.0])


def make_input(seed, frame, rows=30):
    """Return a shuffled frame or Series of some of 40 ids, with ties and NaN."""
    rng = np.random.default_rng(seed)
    ids = [f"n{number:02d}" for number in rng.permutation(40)[:rows]]
    values = rng.random((rows, 3)).round(1)
    values[rng.random((rows, 3)) < 0.03] = np.nan
    data = pd.DataFrame(values, pd.Index(ids, name="id"), ["a", "b", "c"])
    return data if frame else data["a"]


def agree(found, expected):
    for one, other in zip(found, expected, strict=True):
        compare = pd.testing.assert_frame_equal
        if isinstance(other, pd.Series):
            compare = pd.testing.assert_series_equal
        compare(one, other)


def or_refused(call, code, expected):
    """Assert that results agree; or, where numerai-tools asserts, that a fault is told."""
    try:
        expected = expected()
    except (AssertionError, ZeroDivisionError):
        with pytest.raises(RoundError, match=rf"\[{code}\]"):
            call()
    else:
        agree(call(), expected)


@given(st.lists(st.tuples(st.integers(0, 999), st.booleans(), st.integers(25, 40)), min_size=1,
                max_size=4), RATIOS)  # fmt: skip
def test_inputs_are_cut_to_their_common_ids(made, ratio):
    inputs = [make_input(*options) for options in made]
    or_refused(
        lambda: metrics.filter_sort_index_many(inputs, ratio),
        "id-other-round",
        lambda: scoring.filter_sort_index_many(inputs, ratio),
    )
    if len(inputs) == 2:
        or_refused(
            lambda: metrics.filter_sort_index(*inputs, ratio),
            "id-other-round",
            lambda: scoring.filter_sort_index(*inputs, ratio),
        )


@given(st.integers(0, 999), st.integers(1, 45), st.booleans())
def test_tops_and_bottoms(seed, count, numbers):
    series = make_input(seed, frame=False).dropna()
    assume(len(series))
    if numbers:
        series.index = np.random.default_rng(seed).permutation(len(series))
    pair = metrics.filter_sort_top_bottom(series, count)
    agree(pair, scoring.filter_sort_top_bottom(series, count))
    both = metrics.filter_sort_top_bottom_concat(series, count)
    if 2 * count <= len(series):  # else ids stand twice, and their order is left open
        agree([both], [scoring.filter_sort_top_bottom_concat(series, count)])
    assert len(both) == min(2 * count, 2 * len(series))


@pytest.mark.parametrize("count", [0, -3])
def test_a_top_of_no_values_is_refused(count):
    with pytest.raises(ValueError, match="at least 1"):
        metrics.filter_sort_top_bottom(pd.Series([0.1, 0.2]), count)
    with pytest.raises(TypeError, match="a whole number"):
        metrics.filter_sort_top_bottom(pd.Series([0.1, 0.2]), 1.5)


def test_nan_is_neither_top_nor_bottom():
    with pytest.raises(RoundError, match=r"1 of 3 values are NaN.*\[prediction-missing\]"):
        metrics.filter_sort_top_bottom_concat(pd.Series([0.1, np.nan, 0.3]), 1)


def test_no_inputs_and_empty_inputs_are_refused():
    with pytest.raises(RoundError, match="empty list"):
        metrics.filter_sort_index_many([])
    with pytest.raises(RoundError, match=r"0 of 0 ids .*\[id-other-round\]"):
        metrics.filter_sort_index(pd.Series([], dtype=float), pd.Series([1.0]))


def test_an_id_that_stands_twice_is_refused():
    twice = pd.Series([0.1, 0.2], ["a", "a"])
    with pytest.raises(RoundError, match=r"inputs\[1\].*\[id-duplicate\]"):
        metrics.filter_sort_index(pd.Series([0.3], ["a"]), twice)


A, B = pd.Series([0.1, 0.2], ["a", "b"]), pd.Series([0.3, 0.4], ["a", "b"])


@pytest.mark.parametrize(
    ("target", "predictions", "code"),
    [
        (A, B, None),
        (A[::-1], B[::-1], "id-order"),
        (A, B[::-1], "id-other-round"),
        (A, B[:1], "id-other-round"),
        (A, B.where(B < 0.4), "prediction-missing"),
        (A.where(A < 0.2), B, "target-missing"),
    ],
)
def test_indices_that_are_not_valid_are_told(target, predictions, code):
    if code is None:
        assert metrics.validate_indices(target, predictions) is None
        assert scoring.validate_indices(target, predictions) is None
        return
    with pytest.raises(RoundError, match=rf"\[{code}\]"):
        metrics.validate_indices(target, predictions)
    with pytest.raises(AssertionError):
        scoring.validate_indices(target, predictions)


FRAME = pd.DataFrame(
    {
        "bins": [0.25, 0.0, 1.0, 0.25],
        "text": ["x", "y", np.nan, "x"],
        "whole": [3, 1, 2, 10],
        "narrow": np.array([0.1, 0.2, 0.1, np.nan], np.float32),
        "true": [True, False, True, True],
        "kept": [9.0, 8.0, 7.0, 6.0],
    },
    ["d", "b", "a", "c"],
)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8])
@pytest.mark.parametrize(
    "columns",
    [[], ["bins"], ["text", "whole"], ["narrow", "true"], ["whole", "bins", "text", "narrow"]],
    ids=str,
)
def test_one_hot_encode(columns, dtype):
    before = FRAME.copy()
    found = metrics.one_hot_encode(FRAME, columns, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pd.testing.assert_frame_equal(found, scoring.one_hot_encode(FRAME, columns, dtype))
    pd.testing.assert_frame_equal(FRAME, before)


def test_categories_that_are_not_there_get_no_column():
    frame = pd.DataFrame({"kind": pd.Categorical(["b", "a"], ["c", "b", "a"])})
    found = metrics.one_hot_encode(frame, ["kind"])
    pd.testing.assert_frame_equal(found, scoring.one_hot_encode(frame, ["kind"]))


def test_columns_that_cannot_be_encoded_are_told():
    with pytest.raises(RoundError, match=r"no column 'nothing'.*\[column-unknown\]"):
        metrics.one_hot_encode(FRAME, ["nothing"])
    taken = FRAME.assign(whole_3=0.0)
    with pytest.raises(RoundError, match=r"'whole_3' is there already.*\[header-duplicate\]"):
        metrics.one_hot_encode(taken, ["whole"])
