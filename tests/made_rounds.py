"""Seeded rounds for the tests: small, with everything in them that rounds have."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from hypothesis import strategies as st


@dataclass(frozen=True, eq=False)
class MadeRound:
    """A round in canonical order: (U, N) predictions, (U,) stakes, (N,) target.

    Read-only, so that whatever writes into its input fails.
    """

    predictions: np.ndarray
    stakes: np.ndarray
    target: np.ndarray

    def __post_init__(self) -> None:
        for array in (self.predictions, self.stakes, self.target):
            array.flags.writeable = False

    @property
    def users(self) -> list[str]:
        return [f"user_{number:05d}" for number in range(len(self.stakes))]

    @property
    def ids(self) -> list[str]:
        return [f"n{number:06d}" for number in range(len(self.target))]

    def frames(self) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
        """Return predictions, stakes and target as people have them: stocks x users."""
        return (
            pd.DataFrame(self.predictions.T, index=self.ids, columns=self.users),
            pd.Series(self.stakes, index=self.users),
            pd.Series(self.target, index=self.ids),
        )


def make_round(models: int, ids: int, seed: int = 0, staked: int | None = None) -> MadeRound:
    """Return a seeded round, by default with two stakers in three.

    Every third submission has ties (1 decimal), every seventh is constant but for one stock.

    Args:
        models: how many submissions.
        ids: how many stocks, at least 3.
        seed: which round.
        staked: how many stakers, at least 1; they come first.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    staked = -(-2 * models // 3) if staked is None else staked
    predictions = rng.random((models, ids))
    predictions[2::3] = predictions[2::3].round(1)
    predictions[2::3, :2] = 0, 1
    predictions[6::7] = 0.5
    predictions[6::7, rng.integers(ids)] = 0.25
    stakes = np.exp(rng.normal(1, 3, models)) * (np.arange(models) < staked)
    target = rng.choice([0, 0.25, 0.5, 0.75, 1], ids, p=[0.05, 0.2, 0.5, 0.2, 0.05])
    target[:2] = 0, 1
    return MadeRound(predictions, stakes, target)


def make_touchy_round(models: int, ids: int, staked: int) -> MadeRound:
    """Return a round of equal stakes and 2 decimals.

    Many stocks have the same blend but for rounding: of 30 stakers, another order of the sum moves
    a quarter of the meta model's ranks.
    """
    predictions = np.random.Generator(np.random.Philox(1)).random((models, ids)).round(2)
    return MadeRound(predictions, (np.arange(models) < staked) * 1.0, make_round(1, ids).target)


@st.composite
def rounds(draw: st.DrawFn, unstaked: int = 0) -> MadeRound:
    """Draw a round of up to 9 users, at least so many of them without a stake."""
    models = draw(st.integers(1 + unstaked, 9))
    staked = draw(st.integers(1, models - unstaked))
    return make_round(models, draw(st.integers(3, 40)), draw(st.integers(0, 2**32)), staked)
