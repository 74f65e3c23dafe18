"""Draws of stakers, with replacement: the only randomness in the package."""

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.engines.threads import share, thread_count
from mmc_gpu.errors import RoundError, whole
from mmc_gpu.rounds.method import Method


def picks(stakers: int, sample: float) -> int:
    """Return how many stakers a draw picks: the whole part of `sample * stakers`, at least 1.

    `sample` is read as the decimal it is written as: 0.29 of 100 is 29, though 0.29 * 100 is
    28.999999999999996 in floating point.
    """
    return max(1, math.floor(Fraction(str(sample)) * stakers))


def draw_counts(
    stakers: int, draws: int = 20, sample: float = 0.67, seed: int = 0, first: int = 0
) -> Integers:
    """Return how often each draw picks each staker, with replacement.

    Stable for ever: the words are the raw output of Philox 4x64-10 keyed by (seed, draw), one word
    a pick, mapped to a staker by the high half of `word * stakers`. A draw does not depend on the
    number of draws: the 20 draws of a round are the first 20 of its 2,000.

    Args:
        stakers: how many stakers there are, in canonical order (ascending by name).
        draws: how many draws.
        sample: share of the stakers that a draw picks.
        seed: which sequence of draws, 0 to 2**64 - 1.
        first: the number of the first draw.

    Returns:
        (draws, stakers) int64: times drawn; every row sums to `picks(stakers, sample)`.

    Raises:
        ValueError: a number is out of its range.

    Source: docs.numer.ai, metamodel contribution (67 % of the stakers, with replacement).
    """
    how = Method(draws, sample, seed)
    stakers, first = whole("stakers", stakers, 1, 2**32 - 1), whole("first", first, 0, 2**63)
    size = picks(stakers, how.sample)
    counts = np.empty((how.draws, stakers), np.int64)

    def draw(rows: Iterator[int]) -> None:
        for row in rows:
            key = np.array([how.seed, first + row], np.uint64)
            words = np.random.Philox(key=key).random_raw(size)
            counts[row] = np.bincount(picked(words, stakers), minlength=stakers)

    share(draw, range(how.draws), thread_count() if size > _ALONE else 1)
    return counts


_ALONE = 1 << 16  # picks of a draw that are made before another thread has started


def kept_counts(stakers: int, draws: int, sample: float, seed: int) -> Integers:
    """Return `draw_counts`, and below them everybody once: (draws + 1, stakers), not to be written.

    Those of the last rounds are kept, if they are small: the next round often has the same.
    """
    made = _counts if draws * stakers <= _KEPT else _counts.__wrapped__
    return made(stakers, draws, sample, seed)


_KEPT = 1 << 22  # counts of a round that is kept: 32 MB


@lru_cache(maxsize=4)
def _counts(stakers: int, draws: int, sample: float, seed: int) -> Integers:
    counts = np.ones((draws + 1, stakers), np.int64)
    counts[:-1] = draw_counts(stakers, draws, sample, seed)
    counts.flags.writeable = False
    return counts


def picked(words: NDArray[np.uint64], stakers: int) -> Integers:
    """Return the staker that each word picks, `(word * stakers) >> 64`; stakers < 2**32."""
    number, half = np.uint64(stakers), np.uint64(32)
    high, low = words >> half, words & np.uint64(0xFFFFFFFF)
    # each half of the word is multiplied on its own, so that no product needs more than 64 bits
    return ((high * number + ((low * number) >> half)) >> half).astype(np.int64)


def draw_weights(stakes: Floats, counts: Integers) -> Floats:
    """Return each draw's weights: times drawn x stake, summing to 1.

    Normalised once, on the host, so that every engine multiplies by the same bits. The sum is
    exact, so that the order of the stakers cannot matter.

    Args:
        stakes: (S,) NMR of each staker, in canonical order; all above 0.
        counts: (D, S) times drawn.

    Returns:
        (D, S) float64; 0.0 where a staker was not drawn.

    Raises:
        RoundError: no submission is staked.
    """
    if not len(stakes):
        raise RoundError("stake-none", "no submission of this round has a stake above 0")
    weights = counts * stakes
    weights /= exact_sums(weights)[:, None]
    return weights


def exact_sums(rows: Floats) -> Floats:
    """Return each row's sum, exact before it is rounded once: (D, S) -> (D,).

    The same as `math.fsum`, and 10 times as fast. Each value is added to a power of two far above
    the largest one, which rounds it to a multiple of one unit. Sums of such multiples are exact in
    float64, in any order. The parts that were rounded off are exact too: they are summed in the
    same way, until nothing is left. Values are finite, below 2**1000.

    Source: Rump, Ogita, Oishi, Accurate floating-point summation, part I (2008), ExtractVector.
    """
    each = max(1, _SUMMED // max(1, rows.shape[1]))
    parts = [_exact_sums(rows[start : start + each]) for start in range(0, len(rows), each)]
    return np.concatenate([np.empty(0), *parts])


_SUMMED = 1 << 15
"""Values that are summed at once: fresh memory for 21 x 5,000 takes longer than the sums."""


def _exact_sums(rows: Floats) -> Floats:
    rest, high, parts = rows.copy(), np.empty_like(rows), []
    far = (rows.shape[1] + 2).bit_length()
    while (largest := np.maximum(rest.max(axis=1), -rest.min(axis=1))).any():
        power = np.ldexp(1.0, np.frexp(largest)[1] + far)[:, None]
        np.add(rest, power, out=high)
        high -= power
        parts.append(high.sum(axis=1).tolist())
        rest -= high
    return np.array([math.fsum(row) for row in zip(*parts, strict=True)] or np.zeros(len(rows)))
