"""What is given is used, or refused."""

import numpy as np
import pandas as pd
import pytest
from made_rounds import make_round

import mmc_gpu
from mmc_gpu.rounds.round import take_round

MADE = make_round(6, 40)
FRAMES = MADE.frames()


@pytest.mark.parametrize("cluster", [None, "local"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stakes", FRAMES[1]),
        ("stakes", {}),
        ("stakes", np.zeros(0)),
        ("targets", FRAMES[2]),
        ("ids", MADE.ids),
        ("users", MADE.users),
        ("users", []),
        ("missing", "fill"),
    ],
)
def test_a_round_has_its_own(name, value, cluster):
    round_ = take_round(*FRAMES)
    with pytest.raises(ValueError, match=f"^{name} given beside a Round, which has its own"):
        mmc_gpu.score_round(round_, engine="numpy", cluster=cluster, **{name: value})


def test_all_that_is_given_is_named():
    with pytest.raises(ValueError, match=r"^stakes, targets, missing given"):
        mmc_gpu.score_round(take_round(*FRAMES), *FRAMES[1:], missing="fill", engine="numpy")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"blend": "ranked"}, ValueError),  # the round was checked for the raw one
        ({"on_error": "nonsense"}, ValueError),
        ({"nonsense": 1}, TypeError),
        ({"users": MADE.users}, ValueError),
    ],
)
@pytest.mark.parametrize("function", [mmc_gpu.meta_model, mmc_gpu.leave_one_out])
def test_the_meta_model_of_a_round_has_no_other_options_either(function, given, error):
    round_ = take_round(*FRAMES)
    assert len(function(round_, blend="raw", on_error="quarantine", engine="numpy"))
    with pytest.raises(error):
        function(round_, engine="numpy", **given)


def test_a_round_alone_is_scored():
    scores = mmc_gpu.score_round(take_round(*FRAMES), engine="numpy")
    assert scores.digest == mmc_gpu.score_round(*FRAMES, engine="numpy").digest


def test_one_score_is_a_list_too():
    with pytest.raises(ValueError, match=r"^scores: give a list of names, not 'numerai_corr'"):
        mmc_gpu.score_round(*FRAMES, engine="numpy", scores="numerai_corr")


class TestAStakeUnderAnotherName:
    @pytest.mark.parametrize("name", ["User_00001", "user_00001 ", "user _00001"])
    @pytest.mark.parametrize("kind", [pd.Series, dict])
    def test_its_likeness_is_left_out(self, name, kind):
        predictions, stakes, targets = FRAMES
        stakes = kind(stakes.rename({"user_00001": name}).to_dict())
        with pytest.raises(mmc_gpu.RoundError, match=r"'user_00001'.*\[stake-user\]"):
            mmc_gpu.score_round(predictions, stakes, targets, engine="numpy")
        scores = mmc_gpu.score_round(
            predictions, stakes, targets, on_error="quarantine", engine="numpy"
        )
        assert [(q.user, q.code) for q in scores.quarantined] == [("user_00001", "stake-user")]
        others = predictions.drop(columns="user_00001"), {**stakes, name: 0.0}, targets
        assert scores.digest == mmc_gpu.score_round(*others, engine="numpy").digest

    def test_both_may_have_submissions(self):
        predictions, stakes, targets = FRAMES
        both = predictions.assign(User_00001=predictions["user_00003"])
        stakes = stakes.rename({"user_00001": "User_00001"})
        assert mmc_gpu.score_round(both, stakes, targets, engine="numpy").quarantined == ()
