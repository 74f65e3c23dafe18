"""How sure a rank is: where another bootstrap of the same stakers would have put each user."""

from collections.abc import Iterator

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.engines.order import stable_order
from mmc_gpu.engines.threads import share, thread_count
from mmc_gpu.errors import real
from mmc_gpu.rounds.draws import kept_counts

LEVEL = 0.9  # an interval holds a user's rank in this share of the new bootstraps

FEWEST_DRAWS = 5
"""Fewer draws are too few to pick from: with 2, a third of the new ranks lie in the intervals."""

_RESAMPLES = 200
"""New bootstraps that are tried: 0.2 s for 5,000 users. Ten of them lie beyond each end."""

_VALUES = 2**17  # values that a thread ranks at a time: 1 MB


def rank_intervals(best_first: Floats, level: float = LEVEL) -> Integers:
    """Return for each user an interval: another set of draws would have put the user within it.

    All users share the draws, so each new set of draws is picked once for all users: a draw that
    lifts everybody moves no rank. The mean of a new set and the present mean both have an error,
    and their difference has twice the variance of one. Half as many draws, picked with replacement
    from the present ones, have a mean with just that variance.

    Args:
        best_first: (U, D) MMC of each draw, at least 5 draws; users as on the leaderboard.
        level: share of the new ranks that lie in the interval.

    Returns:
        (U, 2) lowest and highest rank, from 1; a user's present rank is always between them.

    Raises:
        ValueError: there are too few draws, or `level` is no share.
    """
    users, draws = best_first.shape
    if draws < FEWEST_DRAWS:
        raise ValueError(f"{draws} draws say too little about others; score with draws=20")
    if real("level", level, 0, 1) == 1.0:
        raise ValueError("level must be between 0 and 1, not 1")
    by_draw = np.ascontiguousarray(best_first.T)
    present = np.arange(1, users + 1)
    ranks = np.empty((_RESAMPLES, users), np.int32)
    resampled = kept_counts(draws, _RESAMPLES, 0.5, 0)[:-1]  # how often each picks each draw

    @np.errstate(over="ignore", invalid="ignore")
    def rank(tiles: Iterator[slice]) -> None:
        for rows in tiles:
            # one draw after another: equal users get equal sums, and keep the leaderboard's order
            total = np.zeros(ranks[rows].shape)
            for draw, times in enumerate(resampled[rows].T):
                picked = np.flatnonzero(times)
                total[picked] -= times[picked, None] * by_draw[draw]
            total[np.isnan(total)] = np.inf
            np.put_along_axis(ranks[rows], stable_order(total), present[None], axis=1)

    size = max(1, _VALUES // users)
    share(rank, [slice(at, at + size) for at in range(0, _RESAMPLES, size)], thread_count())
    ranks.sort(axis=0)
    outside = round((1 - level) / 2 * _RESAMPLES)
    low, high = np.minimum(ranks[outside], present), np.maximum(ranks[-1 - outside], present)
    return np.stack([low, high], axis=1)
