"""How a round is scored without this package: pandas as the text says it, and numerai-tools.

The draws are the package's own, so that all scores can be compared. Every function returns (U,)
scores, ties ranked in order of appearance; NaN for users it was not asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from benchmarks.cases import Case, make_round
from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.rounds.method import SCALE


@dataclass(frozen=True, eq=False)
class Frames:
    """A round as pandas has it.

    Attributes:
        predictions: stocks x users, one contiguous column a user; ids ascend.
        stakes: user to NMR.
        target: id to target.
        counts: (D, U) how often each draw picks each user.
    """

    predictions: pd.DataFrame
    stakes: pd.Series
    target: pd.Series
    counts: Integers

    def drawn(self) -> Iterator[pd.Series]:
        """Yield each draw's users and their stakes times how often they were drawn."""
        for counts in self.counts:
            stakes = self.stakes * counts
            yield stakes[stakes > 0]


@lru_cache(maxsize=1)
def frames(case: Case) -> Frames:
    """Return the round of a case as frames, made outside of what is timed."""
    round_ = make_round(case)
    users = [f"user_{user:06d}" for user in range(case.users)]
    ids = [f"n{stock:06d}" for stock in range(case.stocks)]
    return Frames(
        pd.DataFrame(round_.predictions.T, index=ids, columns=users, copy=False),
        pd.Series(round_.stakes, index=users),
        pd.Series(round_.target, index=ids),
        round_.counts,
    )


def blends(given: Frames) -> list[pd.Series]:
    """Return each draw's stake-weighted predictions."""
    return [_blend(given, stakes) for stakes in given.drawn()]


def _blend(given: Frames, stakes: pd.Series) -> pd.Series:
    return (given.predictions[stakes.index] * stakes).sum(axis=1) / stakes.sum()


def pandas_loop(given: Frames, users: int, ready: list[pd.Series] | None = None) -> Floats:
    """Return the scores of the first users by the method's seven steps, one draw at a time.

    Args:
        given: the round.
        users: how many users are scored; each costs the same.
        ready: the draws' blends; without them each user and draw blends anew, as the text has it.
    """
    scores = np.full(given.predictions.shape[1], np.nan)
    stocks = len(given.target)
    constant = np.ones(stocks)
    for user in range(users):
        draws = []
        for draw, stakes in enumerate(given.drawn()):
            blend = ready[draw] if ready else _blend(given, stakes)
            meta_model = (blend.rank(method="first") - 0.5) / stocks
            uniform = (given.predictions.iloc[:, user].rank(method="first") - 0.5) / stocks
            regressors = np.column_stack([meta_model, constant])
            fit = regressors @ np.linalg.lstsq(regressors, uniform)[0]
            draws.append(np.cov(uniform - fit, given.target)[0, 1] / SCALE)
        scores[user] = np.mean(draws)
    return scores


def numerai_neutralize(given: Frames) -> Floats:
    """Return the scores by numerai-tools' rank, blend and least-squares fit."""
    from numerai_tools.scoring import neutralize, stake_weight, tie_broken_rank

    ranked = tie_broken_rank(given.predictions)
    totals = np.zeros(ranked.shape[1])
    for stakes in given.drawn():
        blend = stake_weight(given.predictions, stakes)
        residual = neutralize(ranked, tie_broken_rank(blend.to_frame()))
        totals += _covariance(given, residual.to_numpy())
    return totals / len(given.counts) / SCALE


def numerai_orthogonalize(given: Frames) -> Floats:
    """Return the scores by numerai-tools' rank, blend and projection, its fastest functions."""
    from numerai_tools.scoring import center, orthogonalize, stake_weight, tie_broken_rank

    ranked = center(tie_broken_rank(given.predictions)).to_numpy()
    totals = np.zeros(ranked.shape[1])
    for stakes in given.drawn():
        blend = stake_weight(given.predictions, stakes)
        meta_model = center(tie_broken_rank(blend.to_frame())).to_numpy()[:, 0]
        totals += _covariance(given, orthogonalize(ranked, meta_model))
    return totals / len(given.counts) / SCALE


def _covariance(given: Frames, residuals: Floats) -> Floats:
    """Return the sample covariance of residuals, whose mean is 0, with the target."""
    target = given.target.to_numpy()
    return (target - target.mean()) @ residuals / (len(target) - 1)
