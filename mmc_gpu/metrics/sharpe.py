"""The Sharpe ratio of scores over eras."""

from typing import Any

import numpy as np

from mmc_gpu.metrics.population.panels import take_panel
from mmc_gpu.metrics.summary import summarize


def sharpe_ratio(s: Any) -> Any:
    """Return mean / standard deviation (ddof 0) of each series; NaN for a constant one.

    Args:
        s: a Series of scores, for one number, or an (eras x models) frame or array; NaN where an
            era has none.

    Source: numerai_tools.scoring.sharpe_ratio 0.7.2.
    """
    panel = take_panel(s, "scores", distinct=False)
    panel.check()
    values = panel.matrix.astype(np.float64)
    return panel.scores(np.array([summarize(row).sharpe for row in values]), "sharpe")
