"""Payouts: by hand, and against those that were published."""

import numpy as np
import pandas as pd
import pytest

from mmc_gpu import metrics


def test_payouts_by_hand():
    assert metrics.payout(100.0, 0.02, 0.01, mmc_multiplier=2.0) == pytest.approx(4.0)
    assert metrics.payout(100.0, 0.02, corr_multiplier=0.5, payout_factor=0.8) == pytest.approx(0.8)


@pytest.mark.parametrize(("corr", "expected"), [(0.3, 25), (-0.3, -25), (0.25, 25)])
def test_payouts_are_capped_at_a_quarter_of_the_stake(corr, expected):
    assert metrics.payout(100.0, corr) == expected
    assert metrics.payout(100.0, corr, cap=0.05) == np.sign(expected) * 5


def test_published_payouts_are_reproduced(shared):
    scores = pd.read_parquet(shared / "data" / "real_round_scores_168_261.parquet")
    scores = scores[(scores.roundNumber >= 251) & (scores.selectedStakeValue > 0)]
    scores = scores.dropna(subset=["payout", "corr", "mmc"])
    assert len(scores) > 28_000
    paid = metrics.payout(
        scores.selectedStakeValue,
        scores["corr"],
        scores.mmc,
        corr_multiplier=scores.corrMultiplier,
        mmc_multiplier=scores.mmcMultiplier,
        payout_factor=scores.roundPayoutFactor,
    )
    close = (paid - scores.payout).abs() <= 1e-6 * scores.selectedStakeValue
    assert close.mean() >= 0.999


def test_the_factor_stands_inside_the_clip():
    # Numerai's example: stake 100, multipliers and clip of 2026
    options = {"corr_multiplier": 0.75, "mmc_multiplier": 2.25, "payout_factor": 0.1389}
    paid = metrics.payout(100.0, 0.06, 0.03, **options, cap=0.05)
    assert paid == pytest.approx(1.562625, 1e-12)
    assert metrics.payout(100.0, -0.06, -0.03, **options, cap=0.05) == -paid
    # of a factor below 1 and a score that is clipped even so
    assert metrics.payout(100.0, 0.6, 0.3, **options, cap=0.05) == 5
    assert metrics.payout(100.0, -0.6, -0.3, **options, cap=0.05) == -5


def test_by_default_corr_alone_is_paid_in_full_up_to_a_quarter():
    stakes, corr = np.array([100.0, 200.0, 0.0]), np.array([0.02, -0.3, 0.1])
    np.testing.assert_array_equal(metrics.payout(stakes, corr, 0.5), [2.0, -50.0, 0.0])
    assert metrics.payout(100.0, 0.02) == metrics.payout(100.0, 0.02, mmc_multiplier=1.0) == 2.0
    assert metrics.payout(100.0, 0.02, 0.01, mmc_multiplier=1.0) == pytest.approx(3.0)
