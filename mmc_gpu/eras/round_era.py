"""A round as one era: the metrics' rows on it, for every target, block by block of users."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mmc_gpu.engines import GROUP, Engine
from mmc_gpu.engines.ahead import ahead
from mmc_gpu.engines.arrays import Floats, Numbers, on_host
from mmc_gpu.engines.selection import copied
from mmc_gpu.eras.era import mean_of_ranks, refuse_constant
from mmc_gpu.eras.metrics import Metric, planned_for_round, round_metrics
from mmc_gpu.eras.ranked import RankedOnce
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.columns import gather_columns
from mmc_gpu.inputs.frames import is_frame, is_pandas, take_array, take_table
from mmc_gpu.inputs.names import align, numbered
from mmc_gpu.inputs.options import Progress
from mmc_gpu.metrics.neutral import Features
from mmc_gpu.metrics.population.panels import Panel
from mmc_gpu.metrics.population.parts import block_rows
from mmc_gpu.rounds.further import EVERY, FurtherFault, FurtherScores
from mmc_gpu.rounds.round import Round

_WHOLE_BYTES = 4 << 30
"""The most that is read of a packed round for scores that compare all users with each other."""


@dataclass(frozen=True, eq=False)
class RoundEra:
    """A round with one target and some of its users, as the metrics' rows read it; see `Era`."""

    models: Panel
    target: Floats
    meta_model: Floats | None
    stakes: Floats
    given: Mapping[str, Panel]

    def __getattr__(self, need: str) -> Panel:
        """Return the series of a need: features, neutralizers, weights."""
        if need not in self.given:
            raise AttributeError(need)
        return self.given[need]

    def benchmark_mean(self, engine: Engine) -> Floats:
        """Return the mean of the benchmarks' ranks: (N,); see `Era`."""
        return mean_of_ranks(self.given["benchmarks"].matrix, engine, "round")

    def varied(self, name: str) -> Numbers:
        """Return a benchmark, whose values are not all equal: (N,)."""
        panel = self.given["benchmarks"]
        return refuse_constant(panel.matrix[panel.names.index(name)], f"benchmark {shown([name])}")


def score_further(
    round_: Round,
    names: Sequence[str],
    engine: Engine,
    given: Mapping[str, Any],
    progress: Progress | None = None,
) -> FurtherScores:
    """Return further scores of a round, for every target, by the functions of `mmc_gpu.metrics`.

    The meta model is the stake-weighted one of the round's stakers, as of `stake_weight`.

    Args:
        round_: the round.
        names: of the scores; "bootstrap" is passed over.
        engine: where ranks, sums and products are computed.
        given: frames by id, or arrays where the round's stocks have no ids, by `Need`; None for
            what is not there. Stocks may lack values, as in numerai-tools.
        progress: called as users are scored.

    Raises:
        ValueError: there is no such score.
        RoundError: a score lacks data, the data does not fit the round, or a packed round is too
            large for scores that compare all users.
    """
    rows = round_metrics(names)
    needs: set[str] = {need for row in rows for need in row.needs}
    panels: dict[str, Panel] = {
        need: _taken(need, data, round_)
        for need, data in given.items()
        if data is not None and need in needs
    }
    plan = planned_for_round(
        rows,
        {"target": [], "meta_model": []} | {need: panel.names for need, panel in panels.items()},
    )
    board = _Board(round_, plan, panels, engine)
    whole = [name for name, metric in plan.items() if metric.compares]
    single = [name for name in plan if name not in whole]
    if whole:
        board.score(whole, slice(0, len(round_.users)), _everybody(round_, whole), engine)
    once = RankedOnce(engine)
    for users, block in ahead(_blocks(round_)) if single else ():
        once.hold(block)
        board.score(single, users, block, once)
        if progress is not None:
            progress("further", users.stop, len(round_.users))
    return FurtherScores([row.round_name for row in rows], board.values, board.faulted)


class _Board:
    """The scores of a round as they come in; see `FurtherScores`."""

    def __init__(
        self, round_: Round, plan: Mapping[str, Metric], given: Mapping[str, Panel], engine: Engine
    ) -> None:
        self._round, self._plan, self._given = round_, plan, given
        self._ids = pd.Index(round_.ids)
        wanted = any("meta_model" in metric.needs for metric in plan.values())
        self._meta_model = _stake_weighted(round_, engine) if wanted else None
        shape = len(round_.targets), len(round_.users)
        self.values = {name: np.full(shape, np.nan) for name in plan}
        self.faulted: dict[FurtherFault, list[str]] = {}

    def score(self, names: Sequence[str], users: slice, block: Numbers, engine: Engine) -> None:
        """Fill in some scores of some users, from their (B, N) predictions."""
        panel = Panel("predictions", self._ids, self._round.users[users], block, "array")
        stakes = self._round.stakes[users]
        for number, (target, values) in enumerate(self._round.targets.items()):
            era = RoundEra(panel, values, self._meta_model, stakes, self._given)
            for name in names:
                if "target" in self._plan[name].needs:
                    self.values[name][number, users] = self._scored(name, target, era, engine)
                elif not number:
                    self.values[name][:, users] = self._scored(name, EVERY, era, engine)

    def _scored(self, name: str, target: str, era: RoundEra, engine: Engine) -> Any:
        faults: dict[Any, RoundError] = {}
        found: Any = np.nan
        try:
            found = self._plan[name].score(era, engine=engine, faults=faults)
        except RoundError as error:
            faults = {EVERY: error}
        for user, fault in faults.items():
            key = FurtherFault(target, str(user), fault.code, fault.detail)
            names = self.faulted.setdefault(key, [])
            if name not in names:  # what concerns all users is found in every block
                names.append(name)
        return found


def _blocks(round_: Round) -> Iterator[tuple[slice, Numbers]]:
    """Yield the users in canonical order, as many at a time as the metrics take at once.

    Their number depends on the stocks alone, so that every way of holding a round has equal bits.
    """
    rows = block_rows(len(round_.ids))
    for start in range(0, len(round_.users), rows):
        users = slice(start, min(start + rows, len(round_.users)))
        yield users, _on_host(round_, users)


def _on_host(round_: Round, users: slice) -> Numbers:
    return np.ascontiguousarray(on_host(copied(round_.take(users))))


def _everybody(round_: Round, names: Sequence[str]) -> Numbers:
    """Return all predictions: (U, N)."""
    size = len(round_.users) * len(round_.ids) * round_.predictions.dtype.itemsize
    if not hasattr(round_.predictions, "strides") and size > _WHOLE_BYTES:
        detail = f"{', '.join(names)}: all users at once, {size / 2**30:,.1f} GiB of predictions"
        raise RoundError("round-size", f"{detail}; packed rounds to {_WHOLE_BYTES >> 30} GiB")
    return _on_host(round_, slice(0, len(round_.users)))


def _stake_weighted(round_: Round, engine: Engine) -> Floats:
    """Return the meta model of the round's stakers: (N,), to the bit as `stake_weight` does."""
    blend, total = engine.zeros(1, len(round_.ids)), 0.0
    for start in range(0, round_.stakers, GROUP):
        users = slice(start, min(start + GROUP, round_.stakers))
        stakes = round_.stakes[users]
        blend = engine.combine(blend, engine.put(_on_host(round_, users)), stakes[None])
        total += float(stakes.sum())
    mean: Floats = engine.get(blend)[0] / total
    return mean


def _taken(need: str, data: Any, round_: Round) -> Panel:
    """Return series on the stocks of a round: (K, N), NaN where one lacks a stock."""
    if is_pandas(data, "Series"):
        data = data.to_frame(need if data.name is None else data.name)
    if is_frame(data):
        table = take_table(data, need)
        names = [str(name) for name in table.names]
        faults: dict[int, RoundError] = {}
        labels = [f"{need}: column {shown([name])}" for name in names]
        matrix = gather_columns(labels, len(table.ids), table.column, faults)
        for fault in faults.values():
            raise fault
        places = align(table.ids, round_.ids, need).columns
        matrix = matrix[:, places]
        matrix[:, places < 0] = np.nan
    else:
        array = np.asarray(on_host(data))
        matrix = on_host(take_array(array.reshape(len(array), -1), need, dimensions=2)).T
        names = numbered(len(matrix))
        if matrix.shape[1] != len(round_.ids) or round_.ids != numbered(len(round_.ids)):
            detail = f"{need}: {matrix.shape[1]:,} rows without ids, a round of"
            raise RoundError("array-shape", f"{detail} {len(round_.ids):,} stocks; give a frame")
    if not names:
        raise RoundError("column-missing", f"{need}: an id column and no other")
    kind = Features if need == "features" else Panel
    return kind(need, None, names, matrix, "array")
