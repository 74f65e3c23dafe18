"""Scores over some of the stocks: how many at each end, and correlations row by row."""

import numpy as np

from mmc_gpu.algebra import ratio
from mmc_gpu.arrays import Floats
from mmc_gpu.errors import RoundError


def ends_wanted(top_bottom: int | None, stocks: int) -> int:
    """Return how many stocks each end has; 0 for all stocks.

    Raises:
        RoundError: the ends overlap.
    """
    if top_bottom is None or top_bottom <= 0:
        return 0
    if 2 * top_bottom > stocks:
        raise RoundError("ends-overlap", f"top_bottom={top_bottom} of {stocks:,} stocks")
    return top_bottom


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
    """Return rows less their means; exactly 0 where they are constant, whose mean is rounded."""
    constant = series.min(axis=1, keepdims=True) == series.max(axis=1, keepdims=True)
    return np.where(constant, 0.0, series - series.mean(axis=1, keepdims=True))
