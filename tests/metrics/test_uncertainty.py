"""How far scores can be trusted: each formula against one that is written otherwise."""

import hashlib

import numpy as np
import pytest
import scipy

from mmc_gpu.metrics import uncertainty
from mmc_gpu.metrics.uncertainty import (
    RESAMPLES,
    block_length,
    deflated,
    deflated_sharpe,
    estimate,
    newey_west,
    stretch,
)


def overlapping(eras, models, overlap, seed=0):
    """Return (eras, models) scores of mean 0, each the mean of `overlap` weeks of its own."""
    weeks = np.random.default_rng(seed).normal(size=(eras + overlap - 1, models))
    windows = np.lib.stride_tricks.sliding_window_view(weeks, overlap, axis=0)
    return windows.mean(axis=2) * 0.03


def drawn(eras, block, seed=0):
    """Return the eras of each history, block by block, by Python's integers."""
    words = np.random.PCG64(seed).random_raw(RESAMPLES * -(-eras // block)).tolist()
    starts = [word * eras >> 64 for word in words]
    size = -(-eras // block)
    for first in range(0, len(starts), size):
        history = [(s + k) % eras for s in starts[first : first + size] for k in range(block)]
        yield history[:eras]


@pytest.mark.parametrize("gaps", [False, True])
def test_estimates_are_those_of_histories_drawn_one_by_one(gaps):
    scores = overlapping(90, 3, 4) + 0.01
    if gaps:
        scores[np.random.default_rng(1).random(scores.shape) < 0.1] = np.nan
    found = estimate(scores, 4)
    factor = stretch(90, 4)
    for model, own in enumerate(scores.T):
        mean, sharpe = np.nanmean(own), np.nanmean(own) / np.nanstd(own)
        means, sharpes = [], []
        for history in drawn(90, block_length(90, 4)):
            one = own[history]
            means.append(mean + factor * (np.nanmean(one) - mean))
            sharpes.append(sharpe + factor * (np.nanmean(one) / np.nanstd(one) - sharpe))
        ends = [
            np.quantile(v, q, method="weibull") for v in (means, sharpes) for q in (0.025, 0.975)
        ]
        expected = [
            np.sum(~np.isnan(own)),
            *(mean, np.std(means, ddof=1), *ends[:2]),
            mean / newey_west(own[:, None], block_length(90, 4) - 1)[0],
            np.mean(np.r_[True, np.abs(np.array(means) - mean) >= abs(mean)]),
            *(sharpe, np.std(sharpes, ddof=1), *ends[2:]),
        ]
        np.testing.assert_allclose([each[model] for each in found[:-1]], expected, rtol=1e-9)


@pytest.mark.parametrize("eras", [1, 3, 6, 12, 60])
def test_equal_scores_have_no_spread_though_their_mean_is_rounded(eras):
    scores = np.full((eras + 1, 2), 0.1)
    scores[0] = np.nan, 0.2
    found = estimate(scores, 1)
    assert found.mean[0] == 0.1
    assert np.isnan([found.sharpe[0], found.mean_se[0], found.t[0], found.p[0]]).all()
    assert np.isnan(deflated_sharpe(scores, 1)[0])
    assert found.sharpe[1] == pytest.approx(np.mean(scores[:, 1]) / np.std(scores[:, 1]))


@pytest.mark.parametrize(("eras", "overlap"), [(60, 4), (500, 4), (300, 12), (90, 1)])
def test_the_blocks_length_is_politis_and_whites_for_what_overlaps(eras, overlap):
    lags = np.arange(1 - overlap, overlap)
    ties = 1 - np.abs(lags) / overlap
    g, density = np.sum(np.abs(lags) * ties), np.sum(ties)
    best = (2 * g**2 / (4 / 3 * density**2) * eras) ** (1 / 3)
    assert block_length(eras, overlap) == max(overlap, np.ceil(round(best, 9)))


@pytest.mark.parametrize(("eras", "overlap"), [(60, 4), (500, 4), (200, 12), (50, 1)])
def test_the_stretch_is_what_blocks_lack_of_the_covariance_of_overlapping_eras(eras, overlap):
    block = block_length(eras, overlap)
    covariance = scipy.linalg.toeplitz(np.maximum(1 - np.arange(eras) / overlap, 0))
    whole = np.full(eras, 1 / eras)
    shown = 0.0
    for start in range(eras):
        part = np.zeros(eras)
        part[(start + np.arange(block)) % eras] = 1 / block
        shown += (part - whole) @ covariance @ (part - whole) / eras * block / eras
    ratio = np.sqrt(whole @ covariance @ whole / shown)
    assert stretch(eras, overlap) == pytest.approx(ratio, rel=1e-9)


@pytest.mark.parametrize(("eras", "overlap"), [(120, 4), (480, 4), (480, 12)])
def test_intervals_hold_the_truth_in_about_95_of_100(eras, overlap):
    scores = overlapping(eras, 500, overlap)
    found = estimate(scores, overlap)
    for low, high in (found.mean_low, found.mean_high), (found.sharpe_low, found.sharpe_high):
        assert 0.92 < np.mean((low < 0) & (high > 0)) < 0.975
    assert np.mean(found.p <= 0.05) < 0.08
    assert np.mean(found.mean_se) == pytest.approx(found.mean.std(), rel=0.05)
    plain = np.abs(found.mean) / (scores.std(axis=0) / np.sqrt(eras))
    assert np.mean(plain > 1.96) > 0.25  # what overlap does to plain standard errors


def test_newey_west_is_the_weighted_sum_of_autocovariances():
    (scores,) = overlapping(50, 1, 4).T
    for lags in (0, 1, 5):
        centred = scores - scores.mean()
        total = sum(
            max(0, 1 - abs(i - j) / (lags + 1)) * centred[i] * centred[j]
            for i in range(50)
            for j in range(50)
        )
        assert newey_west(scores[:, None], lags)[0] == pytest.approx(np.sqrt(total) / 50, rel=1e-12)


def test_the_deflated_sharpe_ratio_is_the_papers_example():
    # 100 trials of 5 years of days, Sharpe 2.5 and variance 1/2 a year: 0.9004 on their page 10
    found = deflated(2.5 / np.sqrt(250), -3, 10, 1250, 100, 0.5 / 250)
    assert found == pytest.approx(0.9004, abs=5e-5)


def test_the_deflated_sharpe_ratio_of_scores_is_scipys():
    scores = np.random.default_rng(0).gamma(2, size=(200, 20)) * 0.02 - 0.035
    sharpe = scores.mean(axis=0) / scores.std(axis=0)
    for overlap, trials in (1, None), (4, 200):
        count = trials or 20
        best = 0.42278433509846713 * scipy.stats.norm.ppf(1 - 1 / count)
        best += 0.5772156649015329 * scipy.stats.norm.ppf(1 - np.exp(-1) / count)
        best *= np.std(sharpe, ddof=1)
        skew, kurtosis = scipy.stats.skew(scores), scipy.stats.kurtosis(scores, fisher=False)
        error = np.sqrt(1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2)
        expected = scipy.stats.norm.cdf((sharpe - best) * np.sqrt(200 / overlap - 1) / error)
        np.testing.assert_allclose(deflated_sharpe(scores, overlap, trials), expected, rtol=1e-9)


def test_more_trials_deflate_more_and_one_alone_not_at_all():
    scores = overlapping(100, 1, 1) + 0.004
    found = [deflated_sharpe(scores, 1, trials)[0] for trials in (1, 2, 50)]
    assert found == sorted(found, reverse=True)
    sharpe, fourth = scores.mean() / scores.std(), np.mean(scipy.stats.zscore(scores) ** 4)
    error = np.sqrt(1 - scipy.stats.skew(scores)[0] * sharpe + (fourth - 1) / 4 * sharpe**2)
    assert found[0] == pytest.approx(scipy.stats.norm.cdf(sharpe * np.sqrt(99) / error), rel=1e-9)


def test_the_eras_needed_find_a_true_difference_in_80_of_100():
    rng = np.random.default_rng(0)
    wide = estimate(scipy.stats.zscore(rng.normal(size=(2000, 1))) + 0.25, 1)
    (eras,) = wide.eras_needed.astype(int)
    quantile = scipy.stats.norm.ppf
    assert eras == pytest.approx(((quantile(0.975) + quantile(0.8)) * 4) ** 2, rel=0.1)
    again = rng.normal(0.25, 1, (4000, eras))
    found = np.abs(again.mean(axis=1)) * np.sqrt(eras) > quantile(0.975)
    assert 0.77 < found.mean() < 0.85


class TestBits:
    def test_they_are_these_on_every_machine(self):
        weeks = np.random.default_rng(0).integers(-1000, 1100, (124, 4)).cumsum(axis=0)
        found = np.stack(estimate((weeks[4:] - weeks[:-4]) / 2**16, 4))
        assert hashlib.sha256(found.astype("<f8").tobytes()).hexdigest()[:16] == "c1c9cd551d1844ff"

    def test_other_models_and_their_order_change_nothing(self, monkeypatch):
        scores = overlapping(100, 9, 4)
        whole = np.stack(estimate(scores, 4))
        np.testing.assert_array_equal(np.stack(estimate(scores[:, ::-1], 4)), whole[:, ::-1])
        np.testing.assert_array_equal(np.stack(estimate(scores[:, 3:4], 4)), whole[:, 3:4])
        np.testing.assert_array_equal(np.stack(estimate(np.asfortranarray(scores), 4)), whole)
        monkeypatch.setattr(uncertainty, "_MODELS", 2)
        np.testing.assert_array_equal(np.stack(estimate(scores, 4)), whole)

    def test_scores_of_any_size_are_estimated_alike(self):
        scores = overlapping(100, 3, 4)
        small, large = estimate(scores, 4), estimate(scores * 2.0**60, 4)
        np.testing.assert_array_equal(large.mean_se, small.mean_se * 2.0**60)
        np.testing.assert_array_equal(large.sharpe_low, small.sharpe_low)

    def test_another_seed_draws_other_histories(self):
        scores = overlapping(100, 3, 4)
        assert (estimate(scores, 4).mean_se != estimate(scores, 4, seed=1).mean_se).all()


class TestTooLittle:
    def test_few_blocks_tell_nothing_but_the_mean(self):
        found = estimate(overlapping(10, 2, 4), 4)
        assert np.isfinite([found.eras, found.mean, found.sharpe]).all()
        rest = found._replace(eras=np.array([np.nan]), mean=np.array([np.nan]))
        assert np.isnan(np.concatenate(rest._replace(sharpe=np.array([np.nan])))).all()

    def test_a_constant_has_no_sharpe_and_no_interval(self):
        found = estimate(np.full((60, 1), 0.1), 1)
        assert found.mean[0] == pytest.approx(0.1)
        assert np.isnan([found.sharpe, found.mean_se, found.p, found.t, found.eras_needed]).all()
        assert np.isnan(deflated_sharpe(np.full((60, 1), 0.1), 1)).all()

    @pytest.mark.parametrize("shape", [(0, 3), (4, 3), (4, 0)])
    def test_no_scores_at_all(self, shape):
        found = estimate(np.full(shape, np.nan), 4)
        assert (found.eras == 0).all()
        assert np.isnan(np.stack(found[1:])).all()
        assert np.isnan(deflated_sharpe(np.full(shape, np.nan), 4)).all()
