"""Today's scores by name, as mmc_gpu.metrics and numerai-tools both compute them."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.cases import Case
from benchmarks.peers.peers import frames
from mmc_gpu import load_engine, metrics
from mmc_gpu.engines.arrays import Floats

TOOLS = "numerai-tools"

ARGUMENTS = {
    "numerai_corr": ("predictions", "target"),
    "correlation_contribution": ("predictions", "meta_model", "target"),
    "feature_neutral_corr": ("predictions", "features", "target"),
    "neutral_correlation": ("predictions", "features", "target"),
    "neutral_contribution": ("predictions", "meta_model", "features", "target"),
    "alpha": ("predictions", "neutralizers", "sample_weights", "target"),
    "meta_portfolio_contribution": (
        *("predictions", "stakes", "neutralizers", "sample_weights", "target"),
    ),
}
"""Function to the names of its arguments, the same in both packages."""

LEAST_SQUARES = {"feature_neutral_corr", "neutral_correlation", "neutral_contribution"}
"""Functions that fit features by least squares."""

ENDS = ", top_bottom"
SCORES = (*ARGUMENTS, f"numerai_corr{ENDS}", f"correlation_contribution{ENDS}")

_FEATURES, _NEUTRALIZERS, _TOP_BOTTOM = 500, 200, 200


def todays_score(score: str, name: str, case: Case) -> Callable[[], Floats]:
    """Return a function that computes a score of all users of a case's round, from frames.

    Args:
        score: of SCORES.
        name: an engine's, or TOOLS.
        case: the round; making its frames is not timed.
    """
    function = score.removesuffix(ENDS)
    given = [_inputs(case)[argument] for argument in ARGUMENTS[function]]
    ends = {"top_bottom": min(_TOP_BOTTOM, case.stocks // 4)} if score != function else {}
    if name == TOOLS:
        from numerai_tools import scoring

        return lambda: np.asarray(getattr(scoring, function)(*given, **ends))
    engine = load_engine(name)
    return lambda: np.asarray(getattr(metrics, function)(*given, **ends, engine=engine))


@lru_cache(maxsize=1)
def _inputs(case: Case) -> dict[str, Any]:
    """Return a round's frames, and what else its users are scored against, by argument."""
    given = frames(case)
    ids, stocks = given.target.index, case.stocks
    rng = np.random.default_rng(np.random.Philox(2))
    features, neutralizers = (min(count, stocks // 4) for count in (_FEATURES, _NEUTRALIZERS))
    return {
        "predictions": given.predictions,
        "stakes": given.stakes,
        "target": given.target.rename("target"),
        "meta_model": pd.Series(rng.random(stocks), ids, name="meta_model"),
        "features": pd.DataFrame(rng.integers(0, 5, (stocks, features)) / 4, ids),
        "neutralizers": pd.DataFrame(rng.normal(size=(stocks, neutralizers)), ids),
        "sample_weights": pd.Series(rng.random(stocks) / stocks, ids, name="sample_weight"),
    }
