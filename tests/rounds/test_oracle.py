"""The oracle itself: against golden words, rounds worked out by hand, and exact rationals."""

import math
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
from oracle import blended, normalised, oracle_scores, philox_words, picked, ranked


def test_the_first_word_is_golden():
    assert next(philox_words(0, 0)) == 213000021201967259


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("draw", [0, 1, 1999])
def test_words_are_those_of_numpy(seed, draw):
    words = np.random.Philox(key=np.array([seed, draw], np.uint64)).random_raw(101)
    assert list(islice(philox_words(seed, draw), 101)) == words.tolist()


def test_ten_stakers_are_drawn_six_times_as_golden():
    drawn = picked(stakers=10, sample=0.67, seed=0, draw=0)
    assert [drawn.count(staker) for staker in range(10)] == [1, 1, 2, 0, 0, 2, 0, 0, 0, 0]


def test_group_sums_are_added_one_after_another():
    # Added one by one, two halves of an ulp both round away from 1; as a group they are an ulp.
    series = np.zeros((1026, 1))
    series[[0, 1024, 1025]] = [[1.0], [2.0**-53], [2.0**-53]]
    assert blended(series, [1.0] * 1026) == [1 + 2.0**-52]
    assert blended(np.delete(series, [1, 2], axis=0), [1.0] * 1024) == [1.0]


def test_products_are_rounded_before_they_are_added():
    # (1 + 2^-27)^2 = 1 + 2^-26 + 2^-54 rounds to 1 + 2^-26; a fused product would leave 2^-54.
    factor = 1 + 2.0**-27
    assert blended(np.array([[-1 - 2.0**-26], [factor]]), [1.0, factor]) == [0.0]


def test_weights_are_divided_by_the_exact_sum():
    # 1e16 + 1 + 1 is 1e16 in float64 when added one by one.
    assert normalised([1e16, 1.0, 1.0])[0] == 1e16 / (1e16 + 2)


def test_negative_zero_ties_with_zero():
    assert ranked(np.array([0.0, -0.0, -1.0]), "first").tolist() == [2, 3, 1]
    assert ranked(np.array([0.0, -0.0, -1.0]), "average").tolist() == [2.5, 2.5, 1]


def test_a_round_of_one_staker_by_hand():
    # Uniforms, centred: staker (-1, 0, 1)/3, the other (0, -1, 1)/3; the staker is the meta model.
    # Slope of the other on it: (1/9)/(2/9) = 1/2, which leaves (1, -2, 1)/6.
    # Covariance with the target (0, 0, 1): (1/6)/2 = 1/12, so 1 when scaled by 1/12.
    # Target, centred: (-1, -1, 2)/3. Correlation: (3/9) / sqrt(2/9 * 6/9) = sqrt(3)/2.
    scores = oracle_scores(
        np.array([[0.1, 0.2, 0.3], [0.2, 0.1, 0.3]]),
        np.array([5.0, 0.0]),
        np.array([0.0, 0.0, 1.0]),
        draws=2,
        scale=1 / 12,
    )
    np.testing.assert_allclose(scores["draws"], [[0, 0], [1, 1]], atol=1e-14)
    np.testing.assert_allclose(scores["mmc"], [0, 1], atol=1e-14)
    np.testing.assert_allclose(scores["mmc_se"], [0, 0], atol=1e-14)
    np.testing.assert_allclose(scores["corr"], [math.sqrt(3) / 2] * 2, rtol=1e-14)
    np.testing.assert_allclose(scores["corr_with_meta_model"], [1, 0.5], rtol=1e-14)


def test_a_round_of_two_stakers_by_hand():
    # 0.67 of 2 is one pick a draw: by the top bit of words 0 and 1, the first, then the second.
    # The first scores 0 against itself. Against the second, centred uniforms (0, -1, 1)/3, it is
    # (-1, 0, 1)/3 with slope 1/2, which leaves (-2, 1, 1)/6; covariance with (0, 0, 1): 1/12.
    # The full blend (3 * (1, 2, 3) + 1 * (2, 1, 3)) / 40 ranks as the first does.
    scores = oracle_scores(
        np.array([[0.1, 0.2, 0.3], [0.2, 0.1, 0.3]]),
        np.array([3.0, 1.0]),
        np.array([0.0, 0.0, 1.0]),
        draws=2,
        scale=1 / 12,
    )
    assert picked(2, 0.67, seed=0, draw=0) == [0]
    assert picked(2, 0.67, seed=0, draw=1) == [1]
    np.testing.assert_allclose(scores["draws"], [[0, 1], [1, 0]], atol=1e-14)
    np.testing.assert_allclose(scores["mmc"], [0.5, 0.5], rtol=1e-14)
    np.testing.assert_allclose(scores["mmc_se"], [0.5, 0.5], rtol=1e-14)
    np.testing.assert_allclose(scores["corr_with_meta_model"], [1, 0.5], rtol=1e-14)


def exact_contribution(own: list[int], meta: list[int], target: list[Fraction]) -> Fraction:
    """Return covariance of target and residual, by the normal equations, from ranks from 1."""
    stocks = len(own)
    u, m = ([(Fraction(rank) - Fraction(1, 2)) / stocks for rank in ranks] for ranks in (own, meta))
    sum_m, sum_mm = sum(m), sum(x * x for x in m)
    sum_u, sum_mu = sum(u), sum(x * y for x, y in zip(m, u, strict=True))
    determinant = stocks * sum_mm - sum_m * sum_m
    slope = (stocks * sum_mu - sum_m * sum_u) / determinant
    constant = (sum_mm * sum_u - sum_m * sum_mu) / determinant
    residuals = [x - slope * y - constant for x, y in zip(u, m, strict=True)]
    mean = sum(target) / stocks
    return sum(r * (t - mean) for r, t in zip(residuals, target, strict=True)) / (stocks - 1)


def exact_ranks(values: list[Fraction]) -> list[int]:
    order = sorted(range(len(values)), key=values.__getitem__)  # stable: ties by position
    return [order.index(place) + 1 for place in range(len(values))]


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_exact_rationals(seed):
    rng = np.random.default_rng(seed)
    predictions = rng.random((4, 9))
    predictions[1:3] = predictions[1:3].round(1)
    stakes, target = rng.integers(1, 99, 3), rng.integers(0, 5, 9)
    exact = [[Fraction(value) for value in row] for row in predictions.tolist()]

    expected = np.empty((4, 3))
    for draw in range(3):
        drawn = picked(3, 0.67, seed, draw)
        blend = [
            sum(int(stakes[user]) * exact[user][stock] for user in drawn) for stock in range(9)
        ]
        for user in range(4):
            contribution = exact_contribution(
                exact_ranks(exact[user]), exact_ranks(blend), [Fraction(int(t), 4) for t in target]
            )
            expected[user, draw] = contribution / Fraction("0.0841")

    scores = oracle_scores(predictions, np.array([*stakes, 0.0]), target / 4, draws=3, seed=seed)
    np.testing.assert_allclose(scores["draws"], expected, rtol=0, atol=1e-14)
