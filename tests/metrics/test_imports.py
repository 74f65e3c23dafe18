"""What the metrics import: nothing heavy before a frame or a quantile needs it."""

import subprocess
import sys

import pytest

HEAVY = {"pandas", "polars", "pyarrow", "scipy"}


def loaded(code):
    """Return which heavy libraries another process has loaded after some code."""
    code += f"\nimport sys\nprint(*({HEAVY} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


def test_importing_the_metrics_loads_no_heavy_library():
    assert loaded("import mmc_gpu.metrics") == set()


SCORES = {
    "spearman": ("spearman_correlation(target, predictions, engine='numpy')", set()),
    "pearson": ("pearson_correlation(target, predictions, engine='numpy')", set()),
    "rank": ("rank(predictions, engine='numpy')", set()),
    "meta model": ("stake_weight(predictions, [1.0, 2.0, 0.0], engine='numpy')", set()),
    "corr": ("numerai_corr(predictions, target, engine='numpy')", {"scipy"}),
}


@pytest.mark.parametrize("score", SCORES)
def test_arrays_are_scored_without_pandas(score):
    call, expected = SCORES[score]
    code = f"""
import numpy as np
from mmc_gpu import metrics
rng = np.random.default_rng(0)
predictions, target = rng.random((40, 3)), rng.random(40)
metrics.{call}"""
    assert loaded(code) == expected
