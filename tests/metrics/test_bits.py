"""What is computed from ranks and in one canonical order has the same bits on every engine."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from made_eras import ENDS, eras

from mmc_gpu import metrics

SCORES = {
    "numerai_corr": lambda e, ends, own: metrics.numerai_corr(
        e.predictions, e.targets, top_bottom=ends, **own
    ),
    "correlation_contribution": lambda e, ends, own: metrics.correlation_contribution(
        e.predictions, e.meta_model, e.targets, top_bottom=ends, **own
    ),
    "pearson_correlation": lambda e, ends, own: metrics.pearson_correlation(
        e.targets, e.predictions, ends, **own
    ),
    "spearman_correlation": lambda e, ends, own: metrics.spearman_correlation(
        e.targets, e.predictions, **own
    ),
    "tie_broken_rank_correlation": lambda e, ends, own: metrics.tie_broken_rank_correlation(
        e.targets, e.predictions, **own
    ),
    "alpha": lambda e, ends, own: metrics.alpha(
        e.predictions, e.features, e.sample_weights, e.targets, **own
    ),
    "meta_portfolio_contribution": lambda e, ends, own: metrics.meta_portfolio_contribution(
        e.predictions, e.stakes, e.features, e.sample_weights, e.targets, **own
    ),
    "generate_neutralized_weights": lambda e, ends, own: metrics.generate_neutralized_weights(
        e.predictions, e.features, e.sample_weights, True, **own
    ),
    "cwmm": lambda e, ends, own: metrics.cwmm(e.predictions, e.meta_model, **own),
    "mcwnm": lambda e, ends, own: metrics.mcwnm(e.predictions, **own),
    "apcwnm": lambda e, ends, own: metrics.apcwnm(e.predictions, **own),
    "churn": lambda e, ends, own: metrics.churn(e.predictions, e.predictions**2, ends, **own),
    "turnover": lambda e, ends, own: metrics.turnover(e.predictions, e.predictions**2, **own),
    "rank": lambda e, ends, own: metrics.rank(e.predictions, **own),
    "stake_weight": lambda e, ends, own: metrics.stake_weight(e.predictions, e.stakes, **own),
    "orthogonalize": lambda e, ends, own: metrics.orthogonalize(
        e.predictions.to_numpy(), e.meta_model.to_numpy(), **own
    ),
}  # fmt: skip


@pytest.mark.parametrize("score", SCORES)
@given(era=eras(), ends=ENDS)
def test_engines_give_the_same_bits(engines, score, era, ends):
    expected = np.asarray(SCORES[score](era, ends, {"engine": "numpy"}))
    for engine in engines:
        if engine.name != "numpy":
            result = np.asarray(SCORES[score](era, ends, {"engine": engine}))
            np.testing.assert_array_equal(result, expected, err_msg=engine.name)
    alone = era.predictions.shape[1] == 1 or ends == 1  # two stocks may have one target
    assert np.isfinite(expected).any() or alone


BITS = """
import sys
from made_eras import make_era
from mmc_gpu import metrics

era = make_era(600, 7, 40)
factors = era.features, era.sample_weights
scores = [
    metrics.numerai_corr(era.predictions, era.targets),
    metrics.correlation_contribution(era.predictions, era.meta_model, era.targets),
    metrics.pearson_correlation(era.targets, era.predictions),
    metrics.alpha(era.predictions, *factors, era.targets),
    metrics.meta_portfolio_contribution(era.predictions, era.stakes, *factors, era.targets),
    metrics.generate_neutralized_weights(era.predictions, *factors, True),
    metrics.spearman_correlation(era.targets, era.predictions),
    metrics.stake_weight(era.predictions, era.stakes),
]
found = [score.to_numpy().tobytes().hex() for score in scores]
"""


def test_another_blas_gives_the_same_bits():
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    # kernels of OpenBLAS of 2004, whose sums have another order than those of this processor
    environment = os.environ | {"PYTHONPATH": paths, "OPENBLAS_CORETYPE": "Prescott"}
    command = [sys.executable, "-c", f"{BITS}print(*found)"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    here = {}
    exec(BITS, here)
    assert ran.stdout.split() == here["found"]
