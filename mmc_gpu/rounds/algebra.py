"""From integer moments to scores: one fixed sequence of float64 operations, on the host.

With a constant among the regressors the residual of user u on meta model m never has to be formed:

    cov(u - fit, t) = cov(u, t) - cov(u, m) / var(m) * cov(m, t)

and with doubled, centred ranks for u and m each covariance is an integer inner product, exact on
every engine. All rounding is done here, in the same way for all engines.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers, Ranks

_BITS = 47
_LOW = 24
_LOW_MASK = (1 << _LOW) - 1
_SHIFT = 1 << (_LOW - 1)
"""Centres the low limb on 0; it cancels in every moment, because ranks sum to 0."""

_TERMS = 1 << 14  # so many products of 48 bits have a sum that int64 holds


@dataclass(frozen=True)
class Target:
    """A target as integers: `t = centre + 2**exponent * q`, |q| <= 2**47, in two limbs."""

    name: str  # the target's name
    limbs: Ranks  # (1 or 2, N) int32: q's high limb, and its low limb unless that is all zero
    exponent: int  # the unit of q is 2**exponent
    # sum of the squared deviations of q from its mean: computed exactly, rounded once
    variance: float

    @classmethod
    def of(cls, name: str, values: Floats) -> "Target":
        """Return the integers of a target with (N,) finite values, not all equal."""
        centred = values - (values.min() / 2 + values.max() / 2)
        exponent = math.frexp(float(np.abs(centred).max()))[1]
        q = np.rint(np.ldexp(centred, _BITS - exponent)).astype(np.int64)
        high, low = q >> _LOW, q & _LOW_MASK
        limbs = [high, low - _SHIFT] if low.any() else [high]
        squares = (
            (_exact_product(high, high) << 2 * _LOW)
            + (_exact_product(high, low) << _LOW + 1)
            + _exact_product(low, low)
        )
        total = (int(high.sum()) << _LOW) + int(low.sum())
        variance = float(squares - Fraction(total**2, len(q)))
        return cls(name, np.array(limbs, np.int32), exponent - _BITS, variance)

    def product(self, moments: Integers) -> Floats:
        """Return the inner products with q, (rows,), from those with its limbs, (rows, limbs)."""
        product = np.ldexp(moments[:, 0].astype(np.float64), _LOW)
        if len(self.limbs) == 2:
            product = product + moments[:, 1].astype(np.float64)
        return product


def _exact_product(left: Integers, right: Integers) -> int:
    """Return the inner product of two series of integers of at most 2**24."""
    starts = np.arange(0, len(left), _TERMS)
    return sum(np.add.reduceat(left * right, starts).tolist())


@np.errstate(over="ignore")
def contributions(
    with_target: Floats,
    with_meta: Integers,
    meta_squares: Integers,
    meta_with_target: Floats,
    target: Target,
    stocks: int,
    scale: float,
) -> Floats:
    """Return every user's contribution to every draw's meta model.

    The slope comes first, so that a copy of the meta model has slope 1 and scores exactly 0.0.

    Args:
        with_target: (U,) users' inner products with the target.
        with_meta: (U, D) users' inner products with the meta models.
        meta_squares: (D,) the meta models' inner products with themselves; 0 for a constant meta
            model, which average ties allow.
        meta_with_target: (D,) the meta models' inner products with the target.
        target: the target.
        stocks: how many stocks there are.
        scale: what the covariance is divided by.

    Returns:
        (U, D) float64, C order.
    """
    found = with_meta.astype(np.float64)  # 0.0 where a meta model is constant
    np.divide(found, meta_squares.astype(np.float64), out=found, where=meta_squares > 0)
    found *= meta_with_target
    np.subtract(with_target[:, None], found, out=found)
    # uniforms are ranks / (2 N); the sample covariance divides by N - 1
    found /= float(2 * stocks * (stocks - 1))
    np.ldexp(found, target.exponent, out=found)
    found /= scale
    return found


def explained(ranks: Ranks, squares: Integers, with_target: Floats, target: Target) -> Floats:
    """Return v, the mean over the draws of (m.t / m.m) m, in the target's own units: (N,).

    A mean MMC is c.(t - v) but for its factor. All arguments are of D + 1 meta models, D are drawn.
    """
    total = np.zeros(ranks.shape[1])
    for draw, (square, product) in enumerate(zip(squares[:-1], with_target[:-1], strict=True)):
        total += (product / square if square else 0.0) * ranks[draw]
    return np.ldexp(total / (len(ranks) - 1), target.exponent)


def ratio(products: Any, squares: Any, others: Any) -> Floats:
    """Return Pearson correlations from centred sums: within [-1, 1], NaN for a constant series.

    If both sums of squares are equal, the product is divided by that sum: sqrt(a) * sqrt(a) need
    not be a, and the correlation of a series with itself is exactly 1. Integers are compared as
    integers.

    Args:
        products: sums of products, float64 or integers, of any shape.
        squares: sums of squares of the first series of each pair; they broadcast to `products`.
        others: sums of squares of the second series, likewise.
    """
    lengths = np.sqrt(squares) * np.sqrt(others)
    np.copyto(lengths, squares, where=squares == others)
    found = np.full(products.shape, np.nan)
    np.divide(products, lengths, out=found, where=lengths > 0)
    return np.clip(found, -1, 1, out=found)


@np.errstate(over="ignore", invalid="ignore")
def mean_and_error(draws: Floats) -> tuple[Floats, Floats]:
    """Return each row's mean over its draws, and the mean's standard error: NaN for one draw.

    Draws are added one after another: the order of NumPy's own sums depends on shape and layout.
    Each row is divided by a power of two near its largest value first: the squares of 1e300 would
    overflow, the squares of 1e-300 would vanish.
    """
    count = draws.shape[1]
    unit = np.frexp(np.maximum(draws.max(axis=1), -draws.min(axis=1)))[1]
    draws = np.ldexp(draws, -unit[:, None])
    mean = np.zeros(len(draws))
    for draw in range(count):
        mean += draws[:, draw]
    mean /= count
    if count == 1:
        return np.ldexp(mean, unit), np.full(len(draws), np.nan)
    squares = np.zeros(len(draws))
    for draw in range(count):
        deviation = draws[:, draw] - mean
        squares += deviation * deviation
    error = np.sqrt(squares / (count - 1)) / math.sqrt(count)
    return np.ldexp(mean, unit), np.ldexp(error, unit)
