"""A round as one era: the metrics' rows on it, for every target, block by block of users."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmc_gpu.engines import GROUP, Engine
from mmc_gpu.engines.ahead import ahead
from mmc_gpu.engines.arrays import Floats, Numbers, on_host
from mmc_gpu.engines.ranked_once import RankedOnce
from mmc_gpu.engines.selection import copied, may_be_whole
from mmc_gpu.eras.era import mean_of_ranks, refuse_constant
from mmc_gpu.eras.metrics import planned_for_round, round_metrics
from mmc_gpu.eras.scoring import found_in
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.beside import beside, is_nameless, note_beside
from mmc_gpu.inputs.columns import numbers
from mmc_gpu.inputs.frames import is_frame, is_pandas, take_array, take_frame, take_ids
from mmc_gpu.inputs.names import align
from mmc_gpu.inputs.numbered import numbered
from mmc_gpu.inputs.options import Progress, silent
from mmc_gpu.metrics.neutral import Features
from mmc_gpu.metrics.population.cohort import block_rows
from mmc_gpu.metrics.population.panels import Panel
from mmc_gpu.rounds.further import EVERY, FurtherFault, FurtherScores
from mmc_gpu.rounds.round import Round

_WHOLE_BYTES = 4 << 30
"""The most that is read of a packed round for scores that compare all users with each other."""


@dataclass(frozen=True, eq=False)
class RoundEra:
    """A round with one of its targets and some of its users, as the metrics' rows read an `Era`."""

    models: Panel
    target: Floats
    meta_model: Floats | None
    stakes: Floats
    # by `Need`, those that the plan needs
    benchmarks: Any = None
    features: Any = None  # which are factorised once for all scores
    neutralizers: Any = None  # of portfolios
    weights: Any = None  # the stocks' sample weights, one series

    def benchmark_mean(self, engine: Engine) -> Floats:
        """Return the mean of the benchmarks' ranks: (N,); see `Era`."""
        return mean_of_ranks(self.benchmarks.matrix, engine, "round")

    def varied(self, name: str) -> Numbers:
        """Return a benchmark, whose values are not all equal: (N,)."""
        series = self.benchmarks.matrix[self.benchmarks.names.index(name)]
        return refuse_constant(series, f"benchmark {shown([name])}")


def score_further(
    round_: Round,
    names: Sequence[str],
    engine: Engine,
    given: Mapping[str, Any],
    progress: Progress = silent,
) -> FurtherScores:
    """Return further scores of a round, for every target, by the functions of `mmc_gpu.metrics`.

    The meta model is that of `stake_weight`, of the round's stakers.

    "bootstrap" among the names is passed over. What is `given`, by `Need`, are frames with ids, or
    arrays where the stocks have no ids.

    Raises:
        ValueError: there is no such score.
        RoundError: a score lacks data, the data does not fit the round, or a packed round is too
            large for scores that compare all users.
    """
    rows = round_metrics(names)
    needs: set[str] = {need for row in rows for need in row.needs}
    ignored: list[str] = []
    wanted = {need: data for need, data in given.items() if need in needs}
    series = {need: _taken(need, data, round_, ignored) for need, data in wanted.items()}
    columns = {need: panel.names for need, panel in series.items()}
    plan = planned_for_round(rows, {"target": [], "meta_model": []} | columns)
    meta_model = _stake_weighted(round_, engine) if "meta_model" in needs else None
    shape = len(round_.targets), len(round_.users)
    scores = FurtherScores(
        [row.round_name for row in rows],
        {name: np.full(shape, np.nan) for name in plan},
        {},
        tuple(ignored),
    )

    def score(name: str, users: slice, block: Numbers, engine: Engine) -> None:
        metric, values = plan[name], scores.values[name]
        panel = Panel("predictions", None, list(round_.users[users]), block, "array")
        for number, (target, of_target) in enumerate(round_.targets.items()):
            if number and "target" not in metric.needs:
                values[number, users] = values[0, users]
                continue
            era = RoundEra(panel, of_target, meta_model, round_.stakes[users], **series)
            values[number, users], faults = found_in(metric, era, engine)
            told = target if "target" in metric.needs else EVERY
            for user, fault in faults.items():
                scores.add(FurtherFault(told, str(user), fault.code, fault.detail), name)

    single = [name for name, metric in plan.items() if not metric.compares]
    for name in plan:
        if name not in single:
            score(name, slice(0, len(round_.users)), _everybody(round_, name), engine)
    once = RankedOnce(engine)
    for users, block in ahead(_blocks(round_)) if single else ():
        once.forget()
        for name in single:
            score(name, users, block, once)
        progress("further", users.stop, len(round_.users))
    return scores


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


def _everybody(round_: Round, name: str) -> Numbers:
    """Return all predictions: (U, N)."""
    size = len(round_.users) * len(round_.ids) * round_.predictions.dtype.itemsize
    if not may_be_whole(round_.predictions, size, _WHOLE_BYTES):
        detail = f"score {name}: all users at once, {size / 2**30:,.1f} GiB of predictions"
        raise RoundError("round-size", f"{detail}; of packed rounds {_WHOLE_BYTES >> 30} GiB")
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


def _taken(need: str, data: Any, round_: Round, notes: list[str]) -> Panel:
    """Return series on the stocks of a round: (K, N), NaN where one lacks a stock.

    Eras, dates and a `data_type` in words, and columns without a name, are ignored, and noted.
    """
    if is_frame(data) or is_pandas(data, "Series"):
        ids, frame = take_ids(take_frame(data, need))
        series = is_pandas(data, "Series")
        held = {
            at: what
            for at, name in enumerate(frame.names)
            if not series and (what := _beside(name, frame.column(at), ids))
        }
        aside = {frame.names[at]: what for at, what in held.items()}
        notes += note_beside(need, aside, "give a column a name to use it")
        kept = [at for at in range(len(frame.names)) if at not in held]
        names = [str(frame.names[at]) for at in kept]
        places = align(ids, round_.ids, need).columns
        columns = [numbers(frame.column(at), f"{need}: {frame.names[at]!a}") for at in kept]
        matrix = np.array(columns).reshape(-1, len(ids))[:, places]
        matrix[:, places < 0] = np.nan
    else:
        array = on_host(take_array(data, need, 1, 2))
        matrix = array.reshape(len(array), -1).T
        names, stocks = list(numbered(len(matrix))), numbered(len(round_.ids))
        if matrix.shape[1] != len(stocks) or round_.ids != stocks:
            detail = f"{need}: {matrix.shape[1]:,} rows without ids, a round of"
            raise RoundError("array-shape", f"{detail} {len(stocks):,} stocks; give a frame")
    if not names:
        raise RoundError("column-missing", f"{need}: an id column and no other")
    kind = Features if need == "features" else Panel
    return kind(need, None, names, matrix, "array")


def _beside(name: Any, column: Any, ids: list[str]) -> str | None:
    """Return what a column of words, or one without a name, holds beside the data."""
    what = beside(name, column, ids)
    if what is None or is_nameless(name):
        return what
    try:
        numbers(column, "")
    except RoundError:
        return what
    return None  # a feature may have one value in a round
