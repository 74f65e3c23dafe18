"""The score as it is defined, literally: slow, and sharing no formula with the package.

One user and one draw at a time: pandas ranks, a least-squares fit with a constant, a covariance.
The draws come from a Philox in plain Python, the blend from a plain loop in the canonical order,
because that order is part of the definition: another one moves ranks.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import count

import numpy as np
import pandas as pd

MASK = 2**64 - 1
GROUP = 1024


def philox_words(seed: int, draw: int) -> Iterator[int]:
    """Yield the words of Philox 4x64-10 with key (seed, draw), the counter starting at 1.

    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011).
    """
    for block in count(1):
        a, b, c, d = (block >> (64 * word) & MASK for word in range(4))
        key, other = seed, draw
        for _ in range(10):
            left, right = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
            a, b = right >> 64 ^ b ^ key, right & MASK
            c, d = left >> 64 ^ d ^ other, left & MASK
            key, other = key + 0x9E3779B97F4A7C15 & MASK, other + 0xBB67AE8584CAA73B & MASK
        yield from (a, b, c, d)


def picked(stakers: int, sample: float, seed: int, draw: int) -> list[int]:
    """Return the stakers that a draw picks, in the order of the words."""
    number = max(1, Fraction(str(sample)) * stakers // 1)
    words = philox_words(seed, draw)
    return [next(words) * stakers >> 64 for _ in range(number)]


def blended(series: np.ndarray, weights: list[float]) -> np.ndarray:
    """Return the weighted sum of (S, N) series, stock by stock, in the canonical order."""
    blend = []
    for column in series.T.tolist():
        total = 0.0
        for start in range(0, len(column), GROUP):
            group = 0.0
            for value, weight in zip(
                column[start : start + GROUP], weights[start : start + GROUP], strict=True
            ):
                group = group + weight * value
            total = total + group
        blend.append(total)
    return np.array(blend)


def normalised(products: list[float]) -> list[float]:
    """Return weights that sum to 1: divided by the float64 nearest to their exact sum."""
    total = float(sum(map(Fraction, products)))
    return [product / total for product in products]


def ranked(values: np.ndarray, ties: str) -> np.ndarray:
    """Return ranks from 1; -0.0 equals 0.0."""
    return pd.Series(values).rank(method=ties).to_numpy()


def contribution(ranks: np.ndarray, meta_model: np.ndarray, target: np.ndarray) -> float:
    """Return the covariance of the target with what the uniform meta model leaves of the user."""
    stocks = len(target)
    uniform, meta = (ranks - 0.5) / stocks, (meta_model - 0.5) / stocks
    regressors = np.column_stack([meta, np.ones(stocks)])
    fit = regressors @ np.linalg.lstsq(regressors, uniform)[0]
    target, exponent = mantissas(target)
    return math.ldexp(np.cov(uniform - fit, target, ddof=1)[0, 1], exponent)


def correlation(ranks: np.ndarray, series: np.ndarray) -> float:
    """Return Pearson's correlation of ranks with anything, NaN where one of the two is constant."""
    if np.ptp(ranks) == 0 or np.ptp(series) == 0:
        return math.nan
    return float(np.corrcoef(ranks, mantissas(series)[0])[0, 1])


def oracle_scores(
    predictions: np.ndarray,
    stakes: np.ndarray,
    targets: np.ndarray,
    draws: int = 20,
    sample: float = 0.67,
    seed: int = 0,
    ties: str = "first",
    blend: str = "raw",
    scale: float = 0.0841,
) -> dict[str, np.ndarray]:
    """Return mmc, mmc_se, corr, corr_with_meta_model, each (U,), and draws (U, D).

    Args:
        predictions: (U, N), users in canonical order: stakers first.
        stakes: (U,), 0.0 for those without a stake.
        targets: (N,), stocks in canonical order.
        draws: how many.
        sample: share of the stakers that a draw picks.
        seed: which draws.
        ties: "first" or "average".
        blend: what is blended: the predictions, "raw", or their centred ranks, "ranked".
        scale: what the covariance is divided by.
    """
    ranks = np.array([ranked(submission, ties) for submission in predictions])
    staked = stakes[stakes > 0].tolist()
    series = predictions.astype(np.float64) if blend == "raw" else 2 * ranks - (len(targets) + 1)
    series = series[: len(staked)]

    scores = np.empty((len(predictions), draws))
    for draw in range(draws):
        drawn = picked(len(staked), sample, seed, draw)
        products = [drawn.count(staker) * stake for staker, stake in enumerate(staked)]
        meta_model = ranked(blended(series, normalised(products)), ties)
        for user, own in enumerate(ranks):
            scores[user, draw] = contribution(own, meta_model, targets) / scale

    full = ranked(blended(series, normalised(staked)), ties)
    return {
        "mmc": np.array([math.fsum(row) / draws for row in scores]),
        "mmc_se": np.array([standard_error(row) for row in scores]),
        "corr": np.array([correlation(own, targets) for own in ranks]),
        "corr_with_meta_model": np.array([correlation(own, full) for own in ranks]),
        "draws": scores,
    }


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of the mean of draws, NaN of a single one."""
    if len(values) == 1:
        return math.nan
    shares, exponent = mantissas(values)
    mean = math.fsum(shares) / len(shares)
    variance = math.fsum((share - mean) ** 2 for share in shares) / (len(shares) - 1)
    return math.ldexp(math.sqrt(variance / len(shares)), exponent)


def mantissas(series: np.ndarray) -> tuple[np.ndarray, int]:
    """Return `series * 2**-exponent` and the exponent: 1e300 squared overflows, 1e-300 vanishes."""
    exponent = math.frexp(np.abs(series).max())[1]
    return np.ldexp(series, -exponent), exponent
