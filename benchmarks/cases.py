"""Seeded rounds to time: every kind of data that an engine could find easy or hard."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers, Numbers
from mmc_gpu.rounds.draws import draw_counts

Size = Literal["tiny", "quick", "full"]
"""How much is run: as a test, in two minutes, or all."""

_BLOCK_CELLS = 2**20
"""Predictions made at a time: the float64 that a kind needs on the way stays small."""


@dataclass(frozen=True)
class Case:
    """What a round is made of; equal cases make equal rounds.

    `staked` is the share of the users with a stake (a real round: 3,257 of 5,562).
    """

    users: int
    stocks: int
    draws: int = 20
    kind: str = "uniform"
    dtype: str = "float64"
    staked: float = 0.6

    @property
    def cells(self) -> int:
        """Return how many predictions there are."""
        return self.users * self.stocks


@dataclass(frozen=True, eq=False)
class TimedRound:
    """A round as arrays, read-only.

    Attributes:
        predictions: (U, N) in [0, 1], C order.
        stakes: (U,) NMR; stakers stand anywhere among the users.
        target: (N,) of five values.
        counts: (D, U) how often each draw picks each user; 0 without a stake.
    """

    predictions: Numbers
    stakes: Floats
    target: Floats
    counts: Integers

    def __post_init__(self) -> None:
        """Let nothing that is timed write into its input."""
        for array in (self.predictions, self.stakes, self.target, self.counts):
            array.flags.writeable = False


@lru_cache(maxsize=1)
def make_round(case: Case) -> TimedRound:
    """Return the round of a case; the last one is kept, so run the cases one after another."""
    rng = np.random.default_rng(np.random.Philox(0))
    predictions = np.empty((case.users, case.stocks), case.dtype)
    step = max(1, _BLOCK_CELLS // case.stocks)
    for start in range(0, case.users, step):
        block = predictions[start : start + step]
        block[:] = KINDS[case.kind](rng, block)
    staked = rng.permutation(case.users)[: max(1, round(case.staked * case.users))]
    stakes = np.zeros(case.users)
    stakes[staked] = rng.lognormal(1.0, 3.0, len(staked))
    target = rng.choice([0, 0.25, 0.5, 0.75, 1], case.stocks, p=[0.05, 0.2, 0.5, 0.2, 0.05])
    target[:2] = 0, 1
    counts = np.zeros((case.draws, case.users), np.int64)
    counts[:, np.sort(staked)] = draw_counts(len(staked), case.draws)
    return TimedRound(predictions, stakes, target, counts)


def _uniform(rng: np.random.Generator, block: Numbers) -> Floats:
    return rng.random(block.shape)


def _logistic(rng: np.random.Generator, block: Numbers) -> Floats:
    return 1 / (1 + np.exp(-rng.standard_normal(block.shape)))


def _five_values(rng: np.random.Generator, block: Numbers) -> Floats:
    return rng.integers(0, 5, block.shape) / 4


def _two_decimals(rng: np.random.Generator, block: Numbers) -> Floats:
    return _logistic(rng, block).round(2)


def _sorted(rng: np.random.Generator, block: Numbers) -> Floats:
    return np.sort(rng.random(block.shape), axis=1)


def _reversed(rng: np.random.Generator, block: Numbers) -> Floats:
    return _sorted(rng, block)[:, ::-1]


def _constant_but_one(rng: np.random.Generator, block: Numbers) -> Floats:
    rows = np.full(block.shape, 0.5)
    rows[np.arange(len(rows)), rng.integers(0, block.shape[1], len(rows))] = 0.25
    return rows


def _cauchy(rng: np.random.Generator, block: Numbers) -> Floats:
    return _scaled(rng.standard_cauchy(block.shape))


def _lognormal(rng: np.random.Generator, block: Numbers) -> Floats:
    return _scaled(rng.lognormal(0.0, 3.0, block.shape))


def _ulps(rng: np.random.Generator, block: Numbers) -> Floats:
    """Return five values, each give or take an ulp: long runs of close values that do not tie."""
    off = rng.integers(-1, 2, block.shape) * float(np.finfo(block.dtype).epsneg)
    return np.clip(_five_values(rng, block) + off, 0, 1)


def _scaled(rows: Floats) -> Floats:
    """Return rows squeezed into [0, 1], where a staker's raw predictions must lie."""
    least, greatest = rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True)
    return np.clip((rows - least) / (greatest - least), 0, 1)


KINDS: dict[str, Callable[[np.random.Generator, Numbers], Floats]] = {
    "uniform": _uniform,
    "logistic": _logistic,
    "5 values": _five_values,
    "2 decimals": _two_decimals,
    "sorted": _sorted,
    "reversed": _reversed,
    "constant but one": _constant_but_one,
    "Cauchy": _cauchy,
    "lognormal": _lognormal,
    "5 values +- ulps": _ulps,
}
"""What predictions may look like, by name; each is given the block that it fills."""

TIED = frozenset({"constant but one"})
"""Kinds whose blends tie. NumPy's matrix product adds in an order that depends on the place, so it
breaks such ties at random, and a score computed with it can be off by more than rounding."""
