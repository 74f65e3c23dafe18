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
