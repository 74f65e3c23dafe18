"""Scores over some of the stocks: how many at each end, and correlations row by row."""

from operator import index

import numpy as np

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.errors import RoundError
from mmc_gpu.metrics.population.magnitude import near_one
from mmc_gpu.rounds.algebra import ratio


def ends_wanted(top_bottom: int | None, stocks: int) -> int:
    """Return how many stocks each end has; 0 for all stocks.

    Raises:
        RoundError: the ends overlap.
        TypeError: it is no whole number.
    """
    count = end_size(top_bottom)
    if 2 * count > stocks:
        raise RoundError("ends-overlap", f"top_bottom={count} of {stocks:,} stocks")
    return count


def end_size(top_bottom: int | None) -> int:
    """Return how many stocks each end is to have; 0 for all stocks.

    Raises:
        TypeError: it is no whole number.
    """
    try:
        return 0 if top_bottom is None else max(0, index(top_bottom))
    except TypeError:
        wanted = "give a whole number of stocks, or None for all"
        raise TypeError(f"top_bottom={top_bottom!r}: {wanted}") from None


def pearson(first: Floats, second: Floats) -> Floats:
    """Return the Pearson correlation of each pair of rows: (B, n), (B, n) -> (B,).

    NaN where a row is constant.
    """
    first, second = centred(first), centred(second)
    return ratio(
        np.einsum("ij,ij->i", first, second),
        np.einsum("ij,ij->i", first, first),
        np.einsum("ij,ij->i", second, second),
    )


def centred(series: Floats) -> Floats:
    """Return rows, near 1, less their means; 0 where they are constant, whose mean is rounded."""
    series = near_one(series)
    constant = series.min(axis=1, keepdims=True) == series.max(axis=1, keepdims=True)
    return np.where(constant, 0.0, series - series.mean(axis=1, keepdims=True))
