"""What a model's scores over eras amount to, as Numerai's community reports it."""

from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.metrics.population.magnitude import exponents, scaled
from mmc_gpu.metrics.population.panels import take_panel


class Summary(NamedTuple):
    """Scores of successive eras in a few numbers; NaN where there are too few, or no spread.

    Attributes:
        eras: how many have a score; the others count for nothing.
        mean: of the scores.
        std: their standard deviation, ddof 0.
        sharpe: mean / std.
        max_drawdown: how far the running sum ever fell below its highest so far, at least 0.
        autocorrelation: Pearson of each score and the next era's.
        smart_sharpe: mean / (std with ddof 1 * the autocorrelation's penalty).
        positive: share of the scores above 0.

    Source: docs.numer.ai, hello_numerai (ddof 0, drawdown of the running sum);
    forum.numer.ai/t/more-metrics-for-ya/636 (smart Sharpe), as numerblox 1.6.1 has it.
    """

    eras: int
    mean: float
    std: float
    sharpe: float
    max_drawdown: float
    autocorrelation: float
    smart_sharpe: float
    positive: float


def summarize(scores: Floats) -> Summary:
    """Return the summary of (E,) scores, eras ascending, NaN where an era has none."""
    found = scores[~np.isnan(scores)]
    if not len(found):
        return Summary(0, *[np.nan] * 7)
    power = exponents(found)[0]
    found = scaled(found, -power)
    running = np.cumsum(found)
    varies = bool(found.min() < found.max())  # a constant's deviation may be rounding instead of 0
    mean = float(found.mean())
    std = float(found.std()) if varies else 0.0
    autocorrelation = _autocorrelation(scaled(scores, -power))
    penalty = _penalty(autocorrelation, len(found))
    smart = float(found.std(ddof=1)) * penalty if varies else 0.0
    return Summary(
        eras=len(found),
        mean=float(scaled(mean, power)),
        std=float(scaled(std, power)),
        sharpe=mean / std if std else np.nan,
        max_drawdown=float(scaled((np.maximum.accumulate(running) - running).max(), power)),
        autocorrelation=autocorrelation,
        smart_sharpe=mean / smart if smart else np.nan,
        positive=float((found > 0).mean()),
    )


def summarize_level(scores: Floats) -> Summary:
    """Return the summary of scores that do not add up as returns do: without Sharpe and drawdown.

    Exposures, correlations with other models and churn: NaN stands for what only returns have.
    """
    found, none = summarize(scores), np.nan
    return found._replace(sharpe=none, max_drawdown=none, smart_sharpe=none, positive=none)


def rolling_mean(scores: Floats, eras: int) -> Floats:
    """Return the mean of the scores of each era and of those before it, so many eras in all.

    (E, U) -> (E, U), NaN where fewer than half of these eras have a score.
    """
    present = np.pad(~np.isnan(scores), ((eras - 1, 0), (0, 0)))
    values = np.pad(np.nan_to_num(scores), ((eras - 1, 0), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view
    counts = windows(present, eras, axis=0).sum(axis=2)
    sums = windows(values, eras, axis=0).sum(axis=2)
    return np.where(2 * counts >= eras, sums / np.maximum(counts, 1), np.nan)


def correlations(scores: Floats) -> Floats:
    """Return Pearson's correlation of any two models' scores over the eras that both have.

    (E, U) -> (U, U); NaN where they share fewer than two eras, or one does not vary.
    """
    import pandas as pd

    return pd.DataFrame(scores).corr(min_periods=2).to_numpy()


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


def _autocorrelation(scores: Floats) -> float:
    """Return the Pearson correlation of each era's score and the next one's, where both exist."""
    both = ~np.isnan(scores[:-1] + scores[1:])
    first, second = scores[:-1][both], scores[1:][both]
    if not len(first) or first.min() == first.max() or second.min() == second.max():
        return np.nan
    return float(np.corrcoef(first, second)[0, 1])


def _penalty(autocorrelation: float, eras: int) -> float:
    """Return how much more a mean of autocorrelated scores varies: sqrt(1 + 2 sum (1 - i/n) r^i).

    Rounding can make the sum of an alternating series negative; there is no penalty below 0.
    """
    lags = np.arange(1, eras)
    terms = (eras - lags) / eras * autocorrelation**lags
    return float(np.sqrt(max(1 + 2 * terms.sum(), 0.0)))
