"""Every way to score a round, by name, and the proof that all compute the same scores."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.cases import TIED, Case, make_round
from benchmarks.peers import peers
from benchmarks.peers.closed_form import closed_form
from mmc_gpu import EngineUnavailable, RoundScores, load_engine, score_round
from mmc_gpu.engines import ENGINES
from mmc_gpu.engines.arrays import Floats
from mmc_gpu.rounds.method import SCALE

CLOSED_FORM = "closed form"
PANDAS, PANDAS_BLENDS = "pandas loop", "pandas loop, blends given"
NEUTRALIZE, ORTHOGONALIZE = "numerai-tools neutralize", "numerai-tools orthogonalize"

TOLERANCE = 1e-12
"""Of the target's standard deviation over the scale. Engines must agree to the bit; what adds in
another order is off by about 1e-15 here, and by 1e-6 where it ranks two stocks the other way."""


@cache
def unavailable() -> dict[str, str]:
    """Return the engines that cannot run here, and why."""
    reasons = {}
    for name in ENGINES:
        try:
            load_engine(name)
        except EngineUnavailable as error:
            reasons[name] = str(error)
    return reasons


def engines() -> list[str]:
    """Return the names of the engines that run here."""
    return [name for name in ENGINES if name not in unavailable()]


def fast_engines() -> list[str]:
    """Return all engines but NumPy's, which is there for parity; NumPy's if no other runs here."""
    return [name for name in engines() if name != "numpy"] or ["numpy"]


def numerai_tools() -> list[str]:
    """Return the names of numerai-tools' two ways, where it is installed."""
    return [NEUTRALIZE, ORTHOGONALIZE] if find_spec("numerai_tools") else []


def scorer(name: str, case: Case, users: int | None = None) -> Callable[[], Any]:
    """Return a function that scores the round of a case; `scores` reads what it returns.

    Args:
        name: an engine's or a peer's.
        case: the round; making its frames is not timed.
        users: how many users the pandas loops score.
    """
    round_ = make_round(case)
    if name == CLOSED_FORM:
        return lambda: closed_form(
            round_.predictions, round_.stakes, round_.target, draws=case.draws
        )
    if name in ENGINES:
        engine = load_engine(name)
        return lambda: score_round(
            round_.predictions.T, round_.stakes, round_.target, draws=case.draws, engine=engine
        )
    given = peers.frames(case)
    if name == NEUTRALIZE:
        return lambda: peers.numerai_neutralize(given)
    if name == ORTHOGONALIZE:
        return lambda: peers.numerai_orthogonalize(given)
    assert users is not None
    if name == PANDAS:
        return lambda: peers.pandas_loop(given, users)
    ready = _blends(case)
    return lambda: peers.pandas_loop(given, users, ready)


@lru_cache(maxsize=1)
def _blends(case: Case) -> Any:
    return peers.blends(peers.frames(case))


def scores(result: RoundScores | Floats) -> Floats:
    """Return (U,) MMC in the order of the case's users; NaN for those that were not scored."""
    if isinstance(result, RoundScores):
        mmc = np.empty(len(result.users))
        mmc[[int(user) for user in result.users]] = result.mmc[0]
        return mmc
    return result


@lru_cache(maxsize=4)
def assert_parity(case: Case, names: Sequence[str], users: int | None = None) -> None:
    """Assert that competitors score a round alike: engines to the bit, others to `TOLERANCE`."""
    Agreement(case).check_all({name: scorer(name, case, users)() for name in names})


class Agreement:
    """The scores of one round so far; a result that does not agree with them is an error."""

    def __init__(self, case: Case) -> None:
        """Know nothing yet about the round of the case."""
        self._case = case
        self._digest: str | None = None
        self._scores: Floats | None = None

    def check_all(self, results: dict[str, Any]) -> None:
        """Check the result of every competitor, by name."""
        for name, result in results.items():
            self.check(name, result)

    def check(self, name: str, result: RoundScores | Floats) -> None:
        """Assert that a result agrees with those before it.

        Raises:
            AssertionError: it does not, or it is empty; the message says by how much.
        """
        if isinstance(result, RoundScores):
            self._digest = self._digest or result.digest
            assert result.digest == self._digest, f"{name}: other bits, {self._case}"
        elif self._case.kind in TIED:
            return
        found = scores(result)
        assert np.isfinite(found).any(), f"{name}: no scores, {self._case}"
        if self._scores is None:
            self._scores = found
        unit = make_round(self._case).target.std() / SCALE
        off = float(np.nanmax(np.abs(found - self._scores))) / unit
        assert off <= TOLERANCE, f"{name}: off by {off:.2g} deviations, {self._case}"
