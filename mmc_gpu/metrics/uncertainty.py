"""How far scores of successive eras can be trusted, where the targets of eras overlap.

Targets of 20 and 60 days overlap 4 and 12 weekly eras: neighbours share most of their days, so that
plain standard errors are far too small. Eras are therefore drawn in blocks of neighbours. Sums are
exact: the bits are the same on every machine, but those of `deflated`, which are SciPy's.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.rounds.draws import exact_sums, picked

RESAMPLES = 999
"""How many histories are drawn; the ends of an interval of 95 % are the 25th and the 975th.

Source: Davison, Hinkley, Bootstrap methods and their application (1997), 5.2.1.
"""

_FEWEST_BLOCKS = 3
"""Over fewer blocks nothing is known: with one, each history drawn is the one that happened."""

_BOTH_ERRORS = 1.959963984540054 + 0.8416212335729143
"""Normal quantiles of 0.975 and 0.8: 5 % for an error of the first kind, 80 % power."""

_EULER = 0.5772156649015329

_MODELS = 512  # models whose resamples are in memory at once: about 25 MB


class Estimates(NamedTuple):
    """Means and Sharpe ratios of models, and how far they can be trusted: (U,) each."""

    eras: Floats  # in which a model has a score
    mean: Floats
    mean_se: Floats  # standard error
    mean_low: Floats  # ends of the interval of 95 %
    mean_high: Floats
    t: Floats  # mean / its standard error by `newey_west`
    p: Floats  # how often a history of true mean 0 has a mean as far from 0, to either side
    sharpe: Floats  # mean / standard deviation (ddof 0)
    sharpe_se: Floats
    sharpe_low: Floats
    sharpe_high: Floats
    eras_needed: Floats  # to tell such a mean from 0 at 5 % (two-sided), with 80 % power


def block_length(eras: int, overlap: int) -> int:
    """Return how many neighbouring eras are drawn together: at least `overlap`.

    Scores whose targets overlap L eras have correlations 1 - k/L at lag k. The block with the least
    mean squared error of the variance is then ((L^2 - 1)^2 / (6 L^2) * eras)^(1/3), rounded up.

    Source: Politis, White, Automatic block-length selection (2004), corrected by Patton, Politis,
    White (2009): (2 G^2 / D)^(1/3) E^(1/3), D = 4/3 g(0)^2, with G = (L^2 - 1) / 3 and g(0) = L.
    """
    best = ((overlap**2 - 1) ** 2 / (6 * overlap**2) * eras) ** (1 / 3)
    return max(overlap, int(np.ceil(best)))


def stretch(eras: int, overlap: int) -> float:
    """Return the factor by which means of drawn histories vary too little: 1.26 for 60 eras, L = 4.

    Blocks cut the ties between neighbours, and lie around the mean that was found. With
    correlations r_k = 1 - k/L, the mean of E eras has the variance
    v = 1/E sum_(|k| < E) (1 - |k|/E) r_k, of which blocks of b eras show on average
    1/E sum_(|k| < b) (1 - |k|/b) (1 - |k|/E) r_k - b/E v. The factor is the root of the ratio.

    Source: Kuensch (1989), the expectation in theorem 3.1, here of circular blocks, and exact.
    """
    block = block_length(eras, overlap)
    lags = np.arange(1, min(overlap, eras))
    ties = (1 - lags / overlap) * (1 - lags / eras)
    true = 1 + 2 * float(np.sum(ties))
    shown = 1 + 2 * float(np.sum((1 - lags / block) * ties)) - block / eras * true
    return float(np.sqrt(true / shown)) if shown > 0 else np.nan


def estimate(scores: Floats, overlap: int, seed: int = 0) -> Estimates:
    """Return means and Sharpe ratios with standard errors and intervals, by a block bootstrap.

    Histories are drawn from all circular blocks of `block_length` neighbouring eras, the same for
    all models; how far they are from what happened is multiplied by `stretch`. Intervals are
    percentiles; `p` is (1 + histories as far from the mean as it is from 0) / (1 + histories). All
    but `eras`, `mean`, `sharpe` is NaN where a model has fewer than three blocks, or no spread.

    Args:
        scores: (E, U), eras ascending, NaN where there is none; or the differences of two models.
        overlap: how many neighbouring eras the targets overlap; 1 where they do not.
        seed: which histories are drawn.

    Sources: Kuensch, The jackknife and the bootstrap for general stationary observations (1989);
    Politis, Romano, A circular block-resampling procedure for stationary data (1992); p: Davison,
    Hinkley (1997), 4.2; t: Newey, West (1987), Bartlett weights to the block's length;
    eras needed: n ((z.975 + z.8) se / mean)^2, as in Cohen, Statistical power analysis (1988).
    """
    scores = scores[~np.isnan(scores).all(axis=1)]
    starts = range(0, max(scores.shape[1], 1), _MODELS)
    parts = [_estimate(scores[:, start : start + _MODELS], overlap, seed) for start in starts]
    return Estimates(*map(np.concatenate, zip(*parts, strict=True)))


def _estimate(scores: Floats, overlap: int, seed: int) -> Estimates:
    present, block = ~np.isnan(scores), block_length(len(scores), overlap)
    eras, (mean, around) = present.sum(axis=0), _centred(scores)
    std = np.sqrt(_means(around**2, eras))
    enough = (eras >= _FEWEST_BLOCKS * block) & (std > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        sharpe = np.where(std > 0, mean / std, np.nan)
        far, sharpes = np.full((2, RESAMPLES, len(eras)), np.nan)
        if enough.any():
            far, sharpes = _resamples(around, mean, present, block, seed)
            factor = np.where(enough, stretch(len(scores), overlap), np.nan)
            far, sharpes = far * factor, sharpe + (sharpes - sharpe) * factor
        errors, further = _spread(mean + far), np.sum(np.abs(far) >= np.abs(mean), axis=0)
        t = np.where(enough, mean / newey_west(scores, block - 1), np.nan)
        p = np.where(np.isnan(errors[0]), np.nan, (1 + further) / (1 + RESAMPLES))
        needed = np.ceil(eras * (_BOTH_ERRORS * errors[0] / mean) ** 2)
        found = (eras.astype(np.float64), mean, *errors, t, p, sharpe, *_spread(sharpes), needed)
    return Estimates(*found)


def newey_west(scores: Floats, lags: int) -> Floats:
    """Return the standard error of each model's mean by Newey and West: (E, U) -> (U,).

    The root of sum_t c_t (c_t + 2 sum_k (1 - k / (lags + 1)) c_(t + k)) / n^2; c is the score less
    its mean, 0 where there is none.

    Source: Newey, West, A simple, positive semi-definite ... covariance matrix (1987).
    """
    _, around = _centred(scores)
    weighted, eras = around.copy(), np.sum(~np.isnan(scores), axis=0)
    for lag in range(1, min(lags + 1, len(scores))):
        weighted[:-lag] += 2 * (1 - lag / (lags + 1)) * around[lag:]
    return np.sqrt(np.maximum(_means(around * weighted, eras) / np.maximum(eras, 1), 0.0))


def deflated_sharpe(
    scores: Floats, overlap: int, trials: int | None = None, among: Floats | None = None
) -> Floats:
    """Return how likely each true Sharpe ratio is above the best that as many trials get by luck.

    That is `deflated`, of (E, U) scores: (U,), NaN where scores have no spread. Only 1 in `overlap`
    eras counts, and at least two must. `among` has the Sharpe ratios whose variance counts and, if
    `trials` is not given, whose number; by default those of the scores. The variance of one alone
    is that of luck, 1 / (eras - 1).
    """
    eras, (mean, around) = np.sum(~np.isnan(scores), axis=0), _centred(scores)
    with np.errstate(divide="ignore", invalid="ignore"):
        second, third, fourth = (_means(around**power, eras) for power in (2, 3, 4))
        sharpe = np.where(second > 0, mean / np.sqrt(second), np.nan)
        apart = np.where(eras >= 2 * overlap, eras / overlap, np.nan)
        among = sharpe if among is None else among
        among = among[np.isfinite(among)]
        variance = among.var(ddof=1) if len(among) > 1 else 1 / (apart - 1)
        trials = len(among) if trials is None else trials
        return deflated(sharpe, third / second**1.5, fourth / second**2, apart, trials, variance)


def deflated(
    sharpe: Any, skew: Any, kurtosis: Any, eras: Any, trials: int, variance: Any
) -> Floats:
    """Return deflated Sharpe ratios, which are probabilities.

    Phi((SR - SR0) sqrt(n - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR^2)) for the Sharpe ratio
    SR of an era and n eras, where SR0 = sqrt(V) ((1 - g) Phi^-1(1 - 1/N) + g Phi^-1(1 - 1/(N e)))
    for N trials, whose Sharpe ratios have the variance V; g is Euler's constant.

    Source: Bailey, Lopez de Prado, The deflated Sharpe ratio (2014), equations 1 and 2.
    """
    from scipy.special import ndtr, ndtri

    best = 0.0
    if trials > 1:
        best = (1 - _EULER) * ndtri(1 - 1 / trials) + _EULER * ndtri(1 - 1 / (trials * np.e))
    error = np.sqrt((1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2) / (eras - 1))
    return ndtr((sharpe - np.sqrt(variance) * best) / error)


def means(scores: Floats) -> Floats:
    """Return the mean of each column's scores, NaN left out: (E, U) -> (U,)."""
    return _centred(scores)[0]


def _centred(scores: Floats) -> tuple[Floats, Floats]:
    """Return each model's mean, and its scores less the mean; 0 where there is none."""
    present = ~np.isnan(scores)
    least, most = (end.reduce(scores, initial=np.nan) for end in (np.fmin, np.fmax))
    # a mean is rounded, but never beyond the scores: equal ones have no spread
    mean = np.clip(_means(np.where(present, scores, 0.0), present.sum(axis=0)), least, most)
    return mean, np.where(present, scores - mean, 0.0)


def _means(values: Floats, eras: Any) -> Floats:
    """Return the exact sum of each column over its number of eras; NaN where that is 0."""
    if not values.size:
        return np.full(values.shape[1], np.nan)
    sums = exact_sums(np.ascontiguousarray(values.T))
    return np.where(eras > 0, sums / np.maximum(eras, 1), np.nan)


def _spread(resamples: Floats) -> list[Floats]:
    """Return the standard deviation (ddof 1) of each column, and the ends of its interval."""
    resamples = np.sort(resamples, axis=0)
    known = ~np.isnan(resamples[-1])  # NaN is sorted to the end
    _, around = _centred(np.where(known, resamples, 0.0))
    error = np.sqrt(_means(around**2, RESAMPLES - 1))
    return [np.where(known, each, np.nan) for each in (error, resamples[24], resamples[974])]


def _resamples(
    around: Floats, mean: Floats, present: Any, block: int, seed: int
) -> tuple[Floats, Floats]:
    """Return how far every history's mean is from the model's, and its Sharpe: (RESAMPLES, U) each.

    Scores and their squares become whole numbers so small that every sum fits float64's 53 bits:
    a matrix product of any library, in any order, is then exact.
    """
    times, bits = _times(len(around), block, seed), 52 - len(around).bit_length()
    counts = len(around) if present.all() else times @ present.astype(np.float64)

    def drawn(values: Floats) -> Floats:
        power = bits - np.frexp(np.abs(values).max(axis=0))[1]
        return np.ldexp(times @ np.rint(np.ldexp(values, power)) / counts, -power)

    moved, squares = drawn(around), drawn(around**2)
    variance = squares - moved**2
    # what rounding leaves of equal scores is no spread
    std = np.where(variance > 1e-12 * squares, np.sqrt(np.maximum(variance, 0.0)), np.nan)
    return moved, (mean + moved) / std


@lru_cache(maxsize=4)  # those of all models, and of the few with fewer eras, in turn
def _times(eras: int, block: int, seed: int) -> Floats:
    """Return how often each history has each era: (RESAMPLES, E); every row sums to E.

    Raw words of PCG64, which are stable for ever, choose where blocks begin; the last is cut.
    """
    words = np.random.PCG64(seed).random_raw(RESAMPLES * -(-eras // block))
    starts = picked(words, eras).reshape(RESAMPLES, -1, 1)
    chosen = ((starts + np.arange(block)) % eras).reshape(RESAMPLES, -1)[:, :eras]
    chosen += np.arange(RESAMPLES)[:, None] * eras
    times = np.bincount(chosen.reshape(-1), minlength=RESAMPLES * eras).reshape(RESAMPLES, eras)
    return times.astype(np.float64)
