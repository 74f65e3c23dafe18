"""Stakes have one reader and one law; rounds and metrics differ only where numerai-tools does."""

import numpy as np
import pandas as pd
import pytest
from made_eras import make_era

import mmc_gpu
from mmc_gpu import metrics
from mmc_gpu.errors import RoundError

pl = pytest.importorskip("polars", reason="the extra `test` has polars")

ERA = make_era(40, 3)
USERS = list(ERA.predictions)


def in_round(stakes):
    """Return the meta model's pool of a round: NMR by user."""
    targets = pd.Series(np.arange(40) % 5 / 4, ERA.predictions.index)
    scores = mmc_gpu.score_round(ERA.predictions, stakes, targets, engine="numpy", blend="ranked")
    return dict(zip(scores.users, scores.stakes.tolist(), strict=True))


def in_metrics(stakes):
    return metrics.stake_weight(ERA.predictions, stakes, engine="numpy")


BOTH = pytest.mark.parametrize("read", [in_round, in_metrics])


@BOTH
@pytest.mark.parametrize("stake", [-1.0, 1e-20, 9.9e-19, 1.1e15, np.inf, "inf", True, 1j])
def test_what_is_no_stake_is_refused_everywhere(read, stake):
    with pytest.raises(RoundError, match="'user 1': stake") as error:
        read({"user 0": 1.0, "user 1": stake})
    assert error.value.code == "stake-invalid"


@BOTH
@pytest.mark.parametrize("stake", ["1,5", "1_000", b"0x1", "\u0661"])
def test_a_word_is_no_stake_anywhere(read, stake):
    with pytest.raises(RoundError, match="'user 1': stake") as error:
        read({"user 0": 1.0, "user 1": stake})
    assert error.value.code == "value-text"


@BOTH
@pytest.mark.parametrize("stake", [0.0, -0.0, 1e-18, 1e15, "1.5", np.float32(2), 3])
def test_what_is_a_stake_is_taken_everywhere(read, stake):
    read({"user 0": 1.0, "user 1": stake})


@BOTH
def test_two_stakes_of_one_user_are_refused_everywhere(read):
    with pytest.raises(RoundError, match="'user 1': two stakes") as error:
        read(pd.Series([1.0, 2.0, 3.0], ["user 0", "user 1", "user 1"]))
    assert error.value.code == "user-duplicate"


def every_form(stakes):
    """Return stakes in all forms in which people have them; the users are all, in order."""
    users, values = list(stakes), list(stakes.values())
    frame = pd.DataFrame({"Stake": values, "user": users, "note": "x"})
    return {
        "mapping": stakes,
        "series": pd.Series(stakes),
        "frame": frame,
        "polars": pl.from_pandas(frame),
        "arrow": pl.from_pandas(frame).to_arrow(),
        "array": np.array(values),
        "list": values,
        "polars series": pl.Series(values),
    }


@pytest.mark.parametrize("form", every_form({}))
def test_every_form_of_stakes_says_the_same(form):
    stakes = dict(zip(USERS, [1.5, 0.0, 2.5], strict=True))
    given = every_form(stakes)[form]
    assert in_round(given) == stakes
    pd.testing.assert_series_equal(in_metrics(given), in_metrics(stakes))


def test_a_missing_stake_is_none_in_metrics_and_a_fault_in_a_round():
    for missing in (None, np.nan, pd.NA):
        stakes = {"user 0": 1.0, "user 1": missing}
        pd.testing.assert_series_equal(in_metrics(stakes), in_metrics({"user 0": 1.0}))
        with pytest.raises(RoundError, match="stake-invalid"):
            in_round(stakes)


def test_who_has_a_stake_and_no_predictions_is_noted_in_a_round_and_an_error_in_metrics():
    stakes = {"user 0": 1.0, "nobody": 1.0}
    assert in_round(stakes)["user 0"] == 1.0
    with pytest.raises(RoundError, match="'nobody'") as error:
        in_metrics(stakes)
    assert error.value.code == "column-missing"


def test_contributions_stand_in_the_order_of_the_stakes():
    stakes = dict(zip(reversed(USERS), [1.0, 2.0, 3.0], strict=True))
    others = ERA.features, ERA.sample_weights, ERA.targets
    found = metrics.meta_portfolio_contribution(ERA.predictions, stakes, *others)
    assert found.index.to_list() == list(stakes)
    named = pd.Series(stakes).rename_axis("owner")
    labelled = metrics.meta_portfolio_contribution(ERA.predictions, named, *others)
    pd.testing.assert_series_equal(labelled, found.rename_axis("owner"))
