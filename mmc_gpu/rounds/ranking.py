"""How sure a rank is: where another bootstrap of the same stakers would have put each user."""

from collections.abc import Iterator

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.engines.threads import share, thread_count
from mmc_gpu.rounds.draws import draw_counts

LEVEL = 0.9
"""Share of the new bootstraps whose rank lies in the interval."""

FEWEST_DRAWS = 5
"""Fewer have too few ways to be picked again: the intervals of 2 hold a third of the new ranks."""

_RESAMPLES = 200
"""New bootstraps that are imagined: 0.2 s for 5,000 users, and ten of them beyond each end."""


def rank_intervals(best_first: Floats, level: float = LEVEL) -> Integers:
    """Return the ranks between which another set of as many draws would have put each user.

    Draws are shared by all users, so they are resampled for all users at once: what lifts everybody
    moves no rank. A new mean differs from this one by the errors of both, twice the variance of
    one; picking half as many draws, with replacement, has just that.

    Args:
        best_first: (U, D) MMC of each draw, at least 5; users as on the leaderboard.
        level: share of the new ranks that lie in the interval.

    Returns:
        (U, 2) lowest and highest rank, from 1; a user's present rank is always among them.

    Raises:
        ValueError: there are too few draws, or `level` is no share.
    """
    users, draws = best_first.shape
    if draws < FEWEST_DRAWS:
        raise ValueError(f"{draws} draws say too little about others; score with draws=20")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, not {level!r}")
    by_draw = np.ascontiguousarray(best_first.T)
    present = np.arange(1, users + 1)
    ranks = np.empty((_RESAMPLES, users), np.int32)
    resampled = draw_counts(draws, _RESAMPLES, sample=0.5)

    def rank(rows: Iterator[int]) -> None:
        for row in rows:
            # one draw after another: equal scores stay equal, and so in the leaderboard's order
            total = np.zeros(users)
            for draw in np.flatnonzero(resampled[row]):
                total += resampled[row, draw] * by_draw[draw]
            ranks[row, np.argsort(-total, kind="stable")] = present

    share(rank, range(_RESAMPLES), thread_count())
    ranks.sort(axis=0)
    outside = round((1 - level) / 2 * _RESAMPLES)
    low, high = np.minimum(ranks[outside], present), np.maximum(ranks[-1 - outside], present)
    return np.stack([low, high], axis=1)
