"""The order of models: best mean first, and those without a score last."""

import numpy as np
import pandas as pd
import pytest

import mmc_gpu


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_model_without_scores_is_ranked_last(place):
    rng = np.random.default_rng(0)
    target = rng.choice([0, 0.25, 0.5, 0.75, 1], 200)
    models = {
        "worse": -target + rng.normal(0, 0.1, 200),  # below 0, which no score must not beat
        "bad": -target + rng.normal(0, 2, 200),
    }
    columns = list(models.items())
    columns.insert(place, ("none", np.full(200, 0.5)))
    frame = pd.DataFrame({"era": np.arange(200) // 50, "target": target, **dict(columns)})
    evaluation = mmc_gpu.evaluate(frame, metrics=["corr", "spearman"], engine="numpy")
    assert (evaluation.scores["corr"][0][:, evaluation.models.index("worse")] < 0).all()
    for score in ("corr", "spearman"):
        ordered = [evaluation.models[at] for at in evaluation.order(score)]
        assert ordered == ["bad", "worse", "none"]
