"""Whether the MMC of two users differs by more than the luck of the draws."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmc_gpu.errors import RoundError, as_given, shown
from mmc_gpu.rounds.algebra import mean_and_error
from mmc_gpu.rounds.scores import Scores


class Difference(NamedTuple):
    """One user's MMC minus another's.

    Attributes:
        mmc: the difference of their scores.
        error: its standard error over the draws; NaN for one draw.
        t: the difference divided by its error; 0 if there is no difference.
        p_value: how often the draws alone would give a |t| at least as large; NaN for one draw.
        draws: how many draws there were.
    """

    mmc: float
    error: float
    t: float
    p_value: float
    draws: int


def mmc_difference(scores: Scores, user: str, other: str, target: str | None = None) -> Difference:
    """Return how much a user's MMC exceeds another's, and how sure the draws make that.

    Users share their draws, so the differences are paired: what a draw adds to both users cancels,
    and the error is far smaller than the error of either score. Student's t, with draws - 1 degrees
    of freedom. It says how sure this round's ranking is, not who will be ahead in the next round.

    Raises:
        RoundError: there is no such user or target, or the round has several and none is named.
        ValueError: the scores of single draws were not kept.
    """
    from scipy.special import stdtr

    if not isinstance(scores, Scores):
        raise ValueError(f"scores must be those of score_round, not {as_given(scores)}")
    rows = [_place(scores.users, name, "user") for name in (user, other)]
    at = 0 if target is None else _place(scores.targets, target, "target")
    if target is None and len(scores.targets) > 1:
        raise RoundError("column-ambiguous", f"name a target: {shown(scores.targets)}")
    if scores.per_draw is None:
        raise ValueError("these scores were computed without keeping their draws")
    first, second = scores.per_draw[at, np.array(rows)]
    paired = first - second
    mean, error = (float(value[0]) for value in mean_and_error(paired[None]))
    t = math.copysign(math.inf, mean) if error == 0 else mean / error
    t = t if mean else 0.0
    p_value = 2.0 * float(stdtr(freedom, -abs(t))) if (freedom := len(paired) - 1) else math.nan
    return Difference(mean, error, t, p_value, len(paired))


def _place(names: Sequence[str], name: str, kind: str) -> int:
    if name not in names:
        raise RoundError("column-missing", f"no {kind} {shown([name])} among the {len(names):,}")
    return names.index(name)
