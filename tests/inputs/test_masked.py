"""Masked means missing: what lies under a mask is never used."""

import numpy as np
import pandas as pd
import pytest

import mmc_gpu
from mmc_gpu import metrics
from mmc_gpu.errors import RoundError

USERS, IDS = ["a", "b", "c"], [f"n{n:02}" for n in range(50)]
VALUES = np.random.default_rng(0).random((50, 3))
TARGET = np.random.default_rng(1).random(50)
HOLE = (3, 0)


def score(predictions=VALUES, stakes=(1.0, 2.0, 3.0), target=TARGET, **options):
    return mmc_gpu.score_round(predictions, stakes, target, engine="numpy", **options)


def code_of(function, *arguments, **options):
    with pytest.raises(RoundError) as caught:
        function(*arguments, **options)
    return caught.value.code


def holed(under, dtype=np.float64):
    """Return the values with one masked, under which another value lies."""
    values = VALUES.astype(dtype) if dtype != np.int64 else (VALUES * 1000).astype(dtype)
    masked = np.ma.masked_array(values, np.zeros(values.shape, bool))
    masked.data[HOLE] = under
    masked[HOLE] = np.ma.masked
    return masked


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, object, np.int64])
@pytest.mark.parametrize("under", [1, 0])
def test_a_masked_prediction_is_missing(dtype, under):
    assert code_of(score, holed(under, dtype), blend="ranked") == "prediction-missing"


def test_what_lies_under_a_mask_has_no_part_in_a_score():
    plain = VALUES.copy()
    plain[HOLE] = np.nan
    expected = score(plain, missing="fill").digest
    for under in (0.0, 1e300, np.inf):
        assert score(holed(under), missing="fill").digest == expected
    assert score(holed("text", object), missing="fill").digest == expected


def test_masked_values_in_lists_are_missing():
    rows = [list(row) for row in VALUES.tolist()]
    rows[HOLE[0]][HOLE[1]] = np.ma.masked
    arrays = list(holed(0.5))
    for lists in (rows, arrays, [tuple(row) for row in rows]):
        assert code_of(score, lists) == "prediction-missing"


def test_a_mask_that_hides_nothing_changes_nothing():
    masked = np.ma.masked_array(VALUES, np.zeros(VALUES.shape, bool))
    stakes, target = np.ma.masked_array([1.0, 2.0, 3.0]), np.ma.masked_array(TARGET)
    assert score(masked, stakes, target).digest == score().digest
    narrow = np.float32
    assert score(masked.astype(narrow)).digest == score(VALUES.astype(narrow)).digest


@pytest.mark.parametrize(
    "stakes",
    [
        np.ma.masked_array([1.0, 1e6, 1.0], mask=[0, 1, 0]),
        np.ma.masked_array([1, 10, 1], mask=[0, 1, 0]),
        [1.0, np.ma.masked, 1.0],
        {"0": 1.0, "1": np.ma.masked, "2": 1.0},
        pd.Series({"0": 1.0, "1": np.ma.masked, "2": 1.0}, dtype=object),
    ],
    ids=["float", "int", "list", "mapping", "series"],
)
def test_a_masked_stake_is_no_stake(stakes):
    scores = score(stakes=stakes, on_error="quarantine")
    assert [(fault.user, fault.code) for fault in scores.quarantined] == [("1", "stake-invalid")]
    pool = mmc_gpu.score_round(
        VALUES[:, [0, 2]], {"0": 1.0, "2": 1.0}, TARGET, users=["0", "2"], engine="numpy"
    )
    assert scores.digest == pool.digest


def test_a_masked_target_is_missing():
    masked = np.ma.masked_array(TARGET, np.arange(50) == 7)
    assert code_of(score, target=masked) == "target-missing"
    assert code_of(score, target=list(masked)) == "target-missing"


def test_a_masked_id_or_user_is_null():
    ids = np.ma.masked_array(IDS, np.arange(50) == 7)
    assert code_of(score, ids=ids) == "id-null"
    assert code_of(score, ids=np.ma.masked_array(np.arange(50), np.arange(50) == 7)) == "id-null"
    users = np.ma.masked_array(USERS, [0, 1, 0])
    assert code_of(score, users=users) == "user-name"
    scores = score(stakes={"a": 1.0, "c": 2.0}, users=users, ids=IDS, on_error="quarantine")
    assert [fault.code for fault in scores.quarantined] == ["user-name"]


def test_masked_series_of_metrics_are_missing():
    masked = holed(1e9)
    plain = masked.filled(np.nan)
    np.testing.assert_array_equal(
        metrics.numerai_corr(masked, TARGET), metrics.numerai_corr(plain, TARGET)
    )
    np.testing.assert_array_equal(
        metrics.spearman_correlation(TARGET, masked), metrics.spearman_correlation(TARGET, plain)
    )
    target = np.ma.masked_array(TARGET, np.arange(50) == 7)
    np.testing.assert_array_equal(
        metrics.numerai_corr(VALUES, target), metrics.numerai_corr(VALUES, target.filled(np.nan))
    )
    stakes = np.ma.masked_array([1.0, 1e6, 1.0], mask=[0, 1, 0])
    np.testing.assert_array_equal(
        metrics.stake_weight(VALUES, stakes), metrics.stake_weight(VALUES, [1.0, 0.0, 1.0])
    )
    assert np.isnan(metrics.orthogonalize(masked, TARGET)[:, 0]).all()
    assert np.isnan(metrics.contribution_scores(masked, TARGET, VALUES)[0])


@pytest.mark.parametrize("column", ["a", "target"])
def test_masked_columns_of_an_evaluated_frame_are_missing(column):
    frame = pd.DataFrame({"era": "1", "id": IDS, "a": VALUES[:, 0], "target": TARGET})
    masked = np.ma.masked_array(frame[column].to_numpy(), np.arange(50) == 7)
    found = mmc_gpu.evaluate(frame.assign(**{column: masked}), engine="numpy")
    expected = mmc_gpu.evaluate(frame.assign(**{column: masked.filled(np.nan)}), engine="numpy")
    pd.testing.assert_frame_equal(found.eras, expected.eras)
    values = frame[column].astype(object)
    values[7] = np.ma.masked
    numbers = mmc_gpu.inputs.columns.numbers(values, "a column")
    np.testing.assert_array_equal(numbers, masked.filled(np.nan))
