"""What guards a round's inputs, and what its scores promise beyond the numbers."""

import numpy as np
import pandas as pd
import pytest
from made_rounds import make_round

import mmc_gpu
from mmc_gpu.engines import load_engine
from mmc_gpu.errors import RoundError
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.ranking import rank_intervals
from mmc_gpu.rounds.round import take_round
from mmc_gpu.rounds.scoring import score


def refused(code, *data, **options):
    """Return what the error of a code says it found."""
    with pytest.raises(RoundError) as caught:
        mmc_gpu.score_round(*data, engine="numpy", **options)
    assert caught.value.code == code, caught.value
    return caught.value.detail


class TestStakes:
    @pytest.mark.parametrize("value", [-5.0, np.nan, np.inf, -np.inf, 1e16, 1e-19])
    @pytest.mark.parametrize("kind", ["array", "list"])
    def test_an_invalid_one_in_an_array_is_its_users_fault_alone(self, value, kind):
        made = make_round(models=6, ids=30)
        stakes = np.array(made.stakes)
        stakes[2] = value
        stakes = stakes if kind == "array" else stakes.tolist()
        options = {"ids": made.ids, "users": made.users}
        data = made.predictions.T, stakes, made.target
        assert "'user_00002': stake" in refused("stake-invalid", *data, **options)
        scores = mmc_gpu.score_round(*data, engine="numpy", on_error="quarantine", **options)
        assert [(q.user, q.code) for q in scores.quarantined] == [("user_00002", "stake-invalid")]
        others = np.arange(6) != 2
        without = mmc_gpu.score_round(
            made.predictions[others].T,
            made.stakes[others],
            made.target,
            ids=made.ids,
            users=[user for user in made.users if user != "user_00002"],
            engine="numpy",
        )
        assert scores.digest == without.digest

    @pytest.mark.parametrize(
        ("stake", "code"), [(-1.0, "stake-invalid"), ("x", "value-text"), (None, "stake-invalid")]
    )
    def test_a_faulty_one_of_somebody_without_a_submission_is_told(self, stake, code):
        predictions, stakes, target = make_round(models=4, ids=30).frames()
        odd = dict(stakes) | {"zoe": stake}
        assert "'zoe'" in refused(code, predictions, odd, target)
        scores = mmc_gpu.score_round(
            predictions, odd, target, engine="numpy", on_error="quarantine"
        )
        assert not scores.quarantined
        (note,) = [note for note in scores.notes if "zoe" in note]
        assert note.startswith("without a submission, user 'zoe': stake")
        expected = mmc_gpu.score_round(predictions, stakes, target, engine="numpy")
        assert scores.digest == expected.digest

    @pytest.mark.parametrize("user", [None, 1.5, np.nan, ("a", "b"), b"ann", True])
    def test_a_user_that_is_no_name_is_refused(self, user):
        predictions, stakes, target = make_round(models=3, ids=30).frames()
        frame = pd.DataFrame({"user": [*stakes.index, user], "stake": [*stakes, 1.0]})
        for odd in (dict(stakes) | {user: 1.0}, frame):
            assert "stakes: a user is" in refused("user-name", predictions, odd, target)

    def test_users_of_mixed_types_are_told_apart_by_their_text(self):
        predictions, stakes, target = make_round(models=4, ids=30).frames()
        names = ["ann", 7, np.int64(8), "9"]
        predictions.columns = pd.Index(names, dtype=object)
        frame = pd.DataFrame({"user": pd.Series(names, dtype=object), "stake": stakes.to_numpy()})
        scores = mmc_gpu.score_round(predictions, frame, target, engine="numpy")
        assert sorted(scores.users) == ["7", "8", "9", "ann"]
        assert dict(zip(scores.users, scores.stakes, strict=True)) == {
            str(name): stake for name, stake in zip(names, stakes, strict=True)
        }


class TestPredictions:
    @pytest.mark.parametrize("user", [1.5, None, np.nan, True, ("a", "b")])
    def test_a_column_that_is_no_name_is_a_fault_of_its_own(self, user):
        predictions, stakes, target = make_round(models=3, ids=30).frames()
        odd = predictions.copy()
        odd.columns = pd.Index([user, *predictions.columns[1:]], tupleize_cols=False)
        found = refused("user-name", odd, stakes, target)
        assert f": of type {type(odd.columns[0]).__name__}" in found
        scores = mmc_gpu.score_round(odd, stakes, target, engine="numpy", on_error="quarantine")
        assert [fault.code for fault in scores.quarantined] == ["user-name"]
        expected = mmc_gpu.score_round(predictions.iloc[:, 1:], stakes[1:], target, engine="numpy")
        assert scores.digest == expected.digest

    @pytest.mark.parametrize("user", [1.5, None])
    def test_a_name_given_with_an_array_is_checked_too(self, user):
        made = make_round(models=3, ids=30)
        users = [*made.users[:2], user]
        detail = refused(
            "user-name", made.predictions.T, made.stakes, made.target, ids=made.ids, users=users
        )
        assert f"'{user}'" in detail


def test_a_frame_of_targets_without_a_target_is_refused():
    predictions, stakes, target = make_round(models=3, ids=30).frames()
    for nothing in (target.to_frame()[[]], pd.DataFrame({"id": target.index})):
        assert "no target" in refused("column-missing", predictions, stakes, nothing)


GOLDEN = {
    (20, 0): "2e4b3596b38fba0e75a333fefbd456ffe8b2761ff911705ae7cadc0bdf90720e",
    (20, 1): "28bfa30e5290e7bd5f35096fa8426fdedf72c16ef6b8629b206d464d08d05ec2",
    (5, 0): "0bf2d74f626d1a93772e487da07ab4ff27f5158b785984f3829f498e4857800b",
}
"""By draws and seed, of six stakers; from Philox in plain Python."""


@pytest.mark.parametrize(("draws", "seed"), GOLDEN)
def test_the_digest_of_the_draws_is_golden(engine, draws, seed):
    predictions, stakes, target = make_round(models=9, ids=30).frames()
    scores = mmc_gpu.score_round(predictions, stakes, target, draws=draws, seed=seed, engine=engine)
    assert scores.draws_digest == GOLDEN[draws, seed]


def test_the_digest_of_the_draws_follows_them_alone():
    predictions, stakes, target = make_round(models=9, ids=30).frames()

    def digest(**options):
        scores = mmc_gpu.score_round(predictions, stakes, target, engine="numpy", **options)
        return scores.draws_digest

    assert digest(scale=1 / 12, ties="average", blend="ranked") == digest()
    assert len({digest(), digest(seed=1), digest(draws=21), digest(sample=0.5)}) == 4
    scores = mmc_gpu.score_round(predictions, stakes, target, engine="numpy")
    scores.counts = scores.counts.copy()  # other rounds have them, too: not to be written
    scores.counts[3, [0, 1]] += [1, -1]
    assert scores.draws_digest != digest()


@pytest.mark.parametrize("blend", ["raw", "ranked"])
def test_a_round_is_scored_with_the_blend_it_was_checked_for(blend):
    other = {"raw": "ranked", "ranked": "raw"}[blend]
    round_ = take_round(*make_round(models=3, ids=30).frames(), blend=blend)
    with pytest.raises(ValueError, match=f"checked for blend='{blend}', not '{other}'"):
        score(round_, Method(blend=other), load_engine("numpy"))


def test_both_passes_tell_how_far_they_are():
    made = make_round(models=1500, ids=5, staked=1100)
    round_ = take_round(*made.frames(), on_error="quarantine")
    said = []
    score(
        round_,
        Method(draws=2),
        load_engine("numpy"),
        block_rows=1024,
        progress=lambda *what: said.append(what),
    )
    users = len(round_.users)
    assert said == [
        ("blend", 1024, round_.stakers),
        ("blend", round_.stakers, round_.stakers),
        ("score", 1024, users),
        ("score", users, users),
    ]


class TestRankIntervals:
    @pytest.fixture
    def shaky(self):
        """Five draws of twelve users who are hard to tell apart, best first."""
        rng = np.random.Generator(np.random.Philox(7))
        per_draw = rng.normal(0, 1, (12, 5)) + np.arange(12)[::-1, None] / 4
        return per_draw[np.argsort(-per_draw.mean(axis=1), kind="stable")]

    def test_five_draws_are_enough_and_their_intervals_golden(self, shaky):
        low = [1, 1, 1, 3, 3, 3, 5, 1, 7, 7, 6, 10]
        high = [6, 4, 6, 10, 9, 12, 10, 10, 11, 12, 12, 12]
        np.testing.assert_array_equal(rank_intervals(shaky), np.transpose([low, high]))
        with pytest.raises(ValueError, match="4 draws"):
            rank_intervals(shaky[:, :4])

    def test_another_level_moves_both_ends(self, shaky):
        narrow, wide = (rank_intervals(shaky, level) for level in (0.5, 0.98))
        assert (wide[:, 0] <= narrow[:, 0]).all()
        assert (narrow[:, 1] <= wide[:, 1]).all()
        assert (wide[:, 0] < narrow[:, 0]).any()
        assert (narrow[:, 1] < wide[:, 1]).any()

    def test_negated_draws_have_the_intervals_mirrored(self, shaky):
        mirrored = len(shaky) + 1 - rank_intervals(-shaky[::-1])[::-1, ::-1]
        np.testing.assert_array_equal(rank_intervals(shaky), mirrored)

    def test_of_draws_that_were_not_kept_there_are_none(self):
        round_ = take_round(*make_round(models=4, ids=30).frames())
        scores = score(round_, Method(), load_engine("numpy"), draws=False)
        with pytest.raises(ValueError, match="not kept"):
            scores.rank_intervals()
