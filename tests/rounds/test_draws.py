"""Draws and weights: golden, against Philox in plain Python, and at their extremes."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import normalised
from oracle import picked as oracle_picked

from mmc_gpu.engines.threads import VARIABLE, share
from mmc_gpu.errors import RoundError
from mmc_gpu.rounds import draws
from mmc_gpu.rounds.draws import draw_counts, draw_weights, exact_sums, kept_counts, picked, picks


def test_ten_stakers_are_drawn_as_golden():
    assert draw_counts(stakers=10, draws=1).tolist() == [[1, 1, 2, 0, 0, 2, 0, 0, 0, 0]]


@pytest.mark.parametrize("stakers", [1, 2, 30, 1025])
@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("sample", [0.67, 0.29, 1.0])
def test_draws_are_those_of_philox_in_plain_python(stakers, seed, sample):
    counts = draw_counts(stakers, draws=3, sample=sample, seed=seed)
    for draw in range(3):
        drawn = oracle_picked(stakers, sample, seed, draw)
        assert counts[draw].tolist() == [drawn.count(staker) for staker in range(stakers)]


def test_draws_of_many_stakers_are_shared_by_threads_and_stay_the_same(monkeypatch):
    alone = draw_counts(1025, draws=7, seed=3)
    monkeypatch.setattr(draws, "_ALONE", 0)
    used = []
    monkeypatch.setattr(draws, "share", lambda *work: (used.append(work[2]), share(*work)))
    for threads in (1, 3):
        monkeypatch.setenv(VARIABLE, str(threads))
        np.testing.assert_array_equal(draw_counts(1025, draws=7, seed=3), alone)
    assert used == [1, 3]


@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1),
    st.integers(1, 2**32 - 1) | st.sampled_from([1, 2**31, 2**32 - 1]),
)
def test_a_word_picks_the_high_half_of_its_product(words, stakers):
    expected = [word * stakers >> 64 for word in words]
    assert picked(np.array(words, np.uint64), stakers).tolist() == expected


@given(
    st.lists(st.lists(st.floats(-(2.0**900), 2.0**900), min_size=7, max_size=7), max_size=4),
    st.integers(1, 9),
)
def test_sums_are_exact_before_they_are_rounded_once(rows, times):
    rows = np.array(rows, np.float64).reshape(-1, 7).repeat(times, axis=1)
    before = rows.copy()
    assert exact_sums(rows).tolist() == [math.fsum(row) for row in rows.tolist()]
    assert np.array_equal(rows, before)


@pytest.mark.parametrize("count", [1, 2, 5_000, 70_001])
@pytest.mark.parametrize("spread", [0, 2, 30])
def test_sums_of_many_stakes_are_exact(count, spread):
    rng = np.random.default_rng([count, spread])
    rows = np.exp(rng.normal(0, spread, (3, count))) * rng.integers(0, 3, (3, count))
    assert exact_sums(rows).tolist() == [math.fsum(row) for row in rows.tolist()]


@pytest.mark.parametrize("stakers", [3, 10, 2**31 + 1, 2**32 - 1])
def test_words_beside_a_border_pick_either_staker(stakers):
    borders = [-(-staker * 2**64 // stakers) for staker in (1, stakers // 2, stakers - 1)]
    words = [word for border in borders for word in (border - 1, border)]
    expected = [0, 1, stakers // 2 - 1, stakers // 2, stakers - 2, stakers - 1]
    assert picked(np.array(words, np.uint64), stakers).tolist() == expected


def test_twenty_draws_are_the_first_of_fifty():
    np.testing.assert_array_equal(draw_counts(40, draws=20), draw_counts(40, draws=50)[:20])


def test_draws_can_start_anywhere():
    np.testing.assert_array_equal(draw_counts(40, draws=5, first=7), draw_counts(40, draws=12)[7:])


@pytest.mark.parametrize(
    ("stakers", "sample", "expected"),
    [(1, 0.67, 1), (10, 0.67, 6), (100, 0.29, 29), (3, 0.01, 1), (7, 1.0, 7), (1000, 1e-3, 1)],
)
def test_the_sample_is_read_as_the_decimal_it_is_written_as(stakers, sample, expected):
    assert picks(stakers, sample) == expected
    assert draw_counts(stakers, draws=2, sample=sample).sum(axis=1).tolist() == [expected] * 2


def test_a_lone_staker_weighs_exactly_one():
    assert draw_weights(np.array([0.1]), draw_counts(1, draws=3)).tolist() == [[1.0]] * 3


@given(st.lists(st.floats(1e-18, 1e15), min_size=1, max_size=40), st.integers(0, 99))
def test_weights_are_products_divided_by_their_exact_sum(stakes, seed):
    counts = draw_counts(len(stakes), draws=2, seed=seed)
    weights = draw_weights(np.array(stakes), counts)
    for row, times in zip(weights.tolist(), counts.tolist(), strict=True):
        assert row == normalised([time * stake for time, stake in zip(times, stakes, strict=True)])


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=40), st.integers(-30, 30))
def test_stakes_times_a_power_of_two_weigh_the_same(stakes, power):
    counts = draw_counts(len(stakes), draws=2)
    np.testing.assert_array_equal(
        draw_weights(np.array(stakes) * 2.0**power, counts), draw_weights(np.array(stakes), counts)
    )


def test_weights_of_a_draw_sum_to_one():
    stakes = np.exp(np.random.default_rng(0).normal(0, 4, 500))
    for row in draw_weights(stakes, draw_counts(500)).tolist():
        assert abs(sum(map(Fraction, row)) - 1) < 1e-15


def test_nobody_staked_means_no_weights():
    with pytest.raises(RoundError) as caught:
        draw_weights(np.zeros(0), np.zeros((20, 0), np.int64))
    assert caught.value.code == "stake-none"


def test_small_rounds_of_one_size_share_counts_that_nobody_may_change():
    counts = kept_counts(30, 4, 0.67, 7)
    np.testing.assert_array_equal(counts[:-1], draw_counts(30, 4, 0.67, 7))
    assert (counts[-1] == 1).all()
    assert kept_counts(30, 4, 0.67, 7) is counts
    with pytest.raises(ValueError, match="read-only"):
        counts[0, 0] = 1
    large = kept_counts(2**20 + 1, 4, 0.67, 7)
    assert kept_counts(2**20 + 1, 4, 0.67, 7) is not large
