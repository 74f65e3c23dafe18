"""Paired differences of two users' MMC, against SciPy's t-test."""

import numpy as np
import pytest
from made_rounds import make_round

import mmc_gpu
from mmc_gpu import metrics
from mmc_gpu.errors import RoundError

scipy = pytest.importorskip("scipy", reason="scipy is not installed")


def scored(draws=20, seed=0):
    return mmc_gpu.score_round(
        *make_round(6, 40, seed).frames(), draws=draws, engine="numpy", on_error="quarantine"
    )


@pytest.mark.parametrize("draws", [2, 20])
def test_differences_are_those_of_a_paired_t_test(draws):
    scores = scored(draws)
    for other in scores.users[1:]:
        found = metrics.mmc_difference(scores, scores.users[0], other)
        at = scores.users.index(other)
        expected = scipy.stats.ttest_rel(scores.draws[0], scores.draws[at])
        assert found.mmc == pytest.approx(scores.mmc[0, 0] - scores.mmc[0, at], 1e-9, 1e-16)
        assert found.t == pytest.approx(expected.statistic, 1e-9)
        assert found.p_value == pytest.approx(expected.pvalue, 1e-9)
        assert found.error == pytest.approx(found.mmc / found.t, 1e-9)
        assert found.draws == draws


def test_the_same_user_does_not_differ():
    scores = scored()
    found = metrics.mmc_difference(scores, scores.users[0], scores.users[0])
    assert (found.mmc, found.error, found.t, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_a_constant_difference_is_certain():
    scores = scored()
    scores.per_draw[0, 1] = scores.per_draw[0, 0] = 0.5
    scores.per_draw[0, 1] += 0.25
    found = metrics.mmc_difference(scores, scores.users[0], scores.users[1])
    assert (found.mmc, found.t, found.p_value) == (-0.25, -np.inf, 0.0)


def test_one_draw_has_no_error():
    scores = scored(draws=1)
    found = metrics.mmc_difference(scores, scores.users[0], scores.users[1])
    assert np.isnan([found.error, found.t, found.p_value]).all()


def test_draws_must_have_been_kept():
    scores = scored()
    scores.per_draw = None
    with pytest.raises(ValueError, match="without keeping their draws"):
        metrics.mmc_difference(scores, scores.users[0], scores.users[1])


def test_a_stranger_and_an_unnamed_target_are_errors():
    scores = scored()
    with pytest.raises(RoundError, match="no user 'nobody' among the"):
        metrics.mmc_difference(scores, scores.users[0], "nobody")
    with pytest.raises(RoundError, match="no target 'other' among the 1"):
        metrics.mmc_difference(scores, scores.users[0], scores.users[1], target="other")
    scores.targets.append("other")
    with pytest.raises(RoundError, match="name a target: 'target', 'other'"):
        metrics.mmc_difference(scores, scores.users[0], scores.users[1])
