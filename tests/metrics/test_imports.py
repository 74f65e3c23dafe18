"""What the metrics import: nothing heavy before a frame or a quantile needs it."""

import subprocess
import sys

SCORED = """
import sys
import numpy as np
from mmc_gpu import metrics

def loaded():
    return {"pandas", "polars", "pyarrow", "scipy"} & set(sys.modules)

found = {"import": loaded()}
rng = np.random.default_rng(0)
predictions, target = rng.random((40, 3)), rng.random(40)
for name, *arguments in (
    ("spearman_correlation", target, predictions),
    ("pearson_correlation", target, predictions),
    ("rank", predictions),
    ("stake_weight", predictions, [1.0, 2.0, 0.0]),
    ("numerai_corr", predictions, target),
):
    getattr(metrics, name)(*arguments, engine="numpy")
    found[name] = loaded()
print({name: libraries for name, libraries in found.items() if libraries})
"""


def test_arrays_are_scored_without_pandas():
    ran = subprocess.run([sys.executable, "-c", SCORED], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "{'numerai_corr': {'scipy'}}"
