"""Rank intervals: where another bootstrap would put a user."""

import numpy as np
import pytest

import mmc_gpu
from mmc_gpu.rounds.ranking import rank_intervals
from mmc_gpu.rounds.sample import make_sample_round


@pytest.fixture(scope="module")
def scores():
    sample = make_sample_round(users=300, stocks=500, seed=2)
    stakes = [sample.stakes.get(user, 0.0) for user in sample.users]
    target = sample.targets["target"]
    return mmc_gpu.score_round(
        sample.predictions.T, stakes, target, users=sample.users, draws=400, engine="numpy"
    )


def ranked(per_draw):
    """Return the users' places from the best to the worst, and their ranks."""
    order = np.argsort(-per_draw.mean(axis=1), kind="stable")
    return order, np.argsort(order) + 1


def test_nine_of_ten_new_ranks_lie_in_the_intervals(scores):
    bootstraps = np.split(scores.per_draw[0], 20, axis=1)
    inside = []
    for one in bootstraps:
        order, _ = ranked(one)
        low, high = rank_intervals(one[order]).T
        others = [ranked(other)[1][order] for other in bootstraps if other is not one]
        inside += [np.mean((low <= ranks) & (ranks <= high)) for ranks in others]
    assert 0.85 < np.mean(inside) < 0.98  # ranks are whole: 0.88 to 0.96 in rounds of any size


def every_rank(users):
    """Return the intervals of users whose ranks are certain."""
    return np.arange(1, users + 1)[:, None].repeat(2, axis=1)


def test_narrow_draws_keep_their_ranks_and_wide_ones_do_not():
    rng = np.random.Generator(np.random.Philox(0))
    means = np.arange(40.0)[::-1, None]
    steady = means + rng.normal(0, 0.01, (40, 20))
    shaky = means + rng.normal(0, 30, (40, 20))
    np.testing.assert_array_equal(rank_intervals(steady), every_rank(40))
    low, high = rank_intervals(shaky[ranked(shaky)[0]]).T
    assert np.median(high - low) > 10


def test_what_lifts_everybody_moves_no_rank():
    rng = np.random.Generator(np.random.Philox(0))
    lifts = rng.normal(0, 100, (1, 20))
    per_draw = np.arange(9.0)[::-1, None] + lifts
    np.testing.assert_array_equal(rank_intervals(per_draw), every_rank(9))


def test_equal_scores_keep_the_leaderboards_order():
    per_draw = np.random.Generator(np.random.Philox(0)).normal(size=(1, 20)).repeat(50, axis=0)
    np.testing.assert_array_equal(rank_intervals(per_draw), every_rank(50))


def test_a_users_own_rank_is_always_in_its_interval(scores):
    low, high = scores.rank_intervals(level=0.01).T
    ranks = np.argsort(scores.order()) + 1
    assert ((low <= ranks) & (ranks <= high)).all()


@pytest.mark.parametrize(("draws", "level"), [(4, 0.9), (20, 0.0), (20, 1.0)])
def test_too_few_draws_and_levels_that_are_none_are_refused(draws, level):
    with pytest.raises(ValueError, match=r"draws|level"):
        rank_intervals(np.zeros((3, draws)), level)
