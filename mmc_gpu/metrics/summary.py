"""What a model's scores over eras amount to, as Numerai's community reports it."""

from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.metrics.population.magnitude import exponents, scaled
from mmc_gpu.metrics.population.panels import take_panel

if TYPE_CHECKING:
    import pandas as pd


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


def summaries(scores: Floats, returns: bool = True) -> list[Summary]:
    """Return the summary of each column of (E, U) scores, to the bit that of the column alone.

    Exposures, correlations with other models and churn do not add up as returns do: NaN stands for
    what only returns have, Sharpe ratios, the drawdown and the positive ones.
    """
    rows = np.ascontiguousarray(scores.T)
    alike: dict[bytes, list[int]] = {}  # columns that have scores in the same eras
    for place, present in enumerate(~np.isnan(rows)):
        alike.setdefault(present.tobytes(), []).append(place)
    found = [Summary(0, *[np.nan] * 7)] * len(rows)
    for key, places in alike.items():
        if (present := np.frombuffer(key, bool)).any():
            for place, numbers in zip(places, _summaries(rows[places], present), strict=True):
                found[place] = Summary(int(present.sum()), *numbers)
    if not returns:
        none: Any = dict.fromkeys(("sharpe", "max_drawdown", "smart_sharpe", "positive"), np.nan)
        found = [one._replace(**none) for one in found]
    return found


@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def _summaries(rows: Floats, present: Any) -> list[list[float]]:
    """Return what a `Summary` has after `eras`, of (U, E) scores that are there in these eras."""
    found = rows.compress(present, axis=1)  # in C order, in which the sums are those of one row
    powers, eras = exponents(found), found.shape[1]
    found = scaled(found, -powers)
    running = np.cumsum(found, axis=1)
    varies = found.min(axis=1) < found.max(axis=1)  # a constant's std may be rounding instead of 0
    mean, std = found.mean(axis=1), np.where(varies, found.std(axis=1), 0.0)
    autocorrelation = _autocorrelation(scaled(rows, -powers), present)
    wider = found.std(axis=1, ddof=1) if eras > 1 else std
    smart = np.where(varies, wider * _penalty(autocorrelation, eras), 0.0)
    fall = (np.maximum.accumulate(running, axis=1) - running).max(axis=1)
    sharpes = [np.where(by != 0, mean / by, np.nan) for by in (std, smart)]
    mean, std, fall = (scaled(one, powers[:, 0]) for one in (mean, std, fall))
    columns = mean, std, sharpes[0], fall, autocorrelation, sharpes[1], (found > 0).mean(axis=1)
    return np.stack(columns, axis=1).tolist()


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


@overload
def sharpe_ratio(s: "pd.DataFrame") -> "pd.Series[float]": ...
@overload
def sharpe_ratio(s: "pd.Series[Any]") -> float: ...
@overload
def sharpe_ratio(s: Any) -> Any: ...
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
    return panel.scores(np.array([one.sharpe for one in summaries(values.T)]), "sharpe")


def _autocorrelation(rows: Floats, present: Any) -> Floats:
    """Return Pearson's correlation of each score and the next era's, where both exist: (U,).

    As `np.corrcoef` computes it for each row.
    """
    both = present[:-1] & present[1:]
    halves = [part.compress(both, axis=1) for part in (rows[:, :-1], rows[:, 1:])]
    pairs = np.stack(halves, axis=1)
    found = np.full(len(rows), np.nan)
    if both.sum() > 1:
        varies = (pairs.min(axis=2) < pairs.max(axis=2)).all(axis=1)
        pairs = pairs[varies]
        pairs -= pairs.mean(axis=2, keepdims=True)
        products = np.array([np.dot(pair, pair.T) for pair in pairs]).reshape(-1, 2, 2)
        products *= np.true_divide(1, both.sum() - 1)
        first, second = np.sqrt(products[:, 0, 0]), np.sqrt(products[:, 1, 1])
        found[varies] = np.clip(products[:, 0, 1] / first / second, -1, 1)
    return found


def _penalty(autocorrelation: Floats, eras: int) -> Floats:
    """Return how much more a mean of autocorrelated scores varies: sqrt(1 + 2 sum (1 - i/n) r^i).

    Rounding can make the sum of an alternating series negative; there is no penalty below 0.
    """
    lags = np.arange(1, eras)
    terms = (eras - lags) / eras * autocorrelation[:, None] ** lags
    return np.sqrt(np.maximum(1 + 2 * terms.sum(axis=1), 0.0))
