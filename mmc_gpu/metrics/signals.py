"""Signals from one era to another: churn of ranks, turnover of weights, and what churn costs."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc_gpu.engines import GROUP, Engine, load_engine
from mmc_gpu.engines.arrays import Floats, Integers, value_count
from mmc_gpu.errors import RoundError, real, shown
from mmc_gpu.metrics.neutral import Neutralizer
from mmc_gpu.metrics.population.book import DROPPED, Book, Faults
from mmc_gpu.metrics.population.cohort import Cohort, by_blocks
from mmc_gpu.metrics.population.ends import end_size
from mmc_gpu.metrics.population.panels import Panel, take_panel
from mmc_gpu.metrics.transforms import ranks
from mmc_gpu.metrics.typed import changed
from mmc_gpu.rounds.algebra import ratio


@changed
def churn(
    s1: Any,
    s2: Any,
    top_bottom: int | None = None,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return 1 - Spearman between two eras, or the share of names that leave the top and bottom.

    Args:
        s1: a Series, for one number, or an (ids x users) frame or array.
        s2: the same users, in any order; a user's ids are those that both eras have.
        top_bottom: of each era's own ids, so many highest and lowest; the mean of both shares.
        engine: its name, or an engine.
        faults: gains why users who are NaN have none, by name.

    Source: numerai_tools.signals.churn 0.7.2.
    """
    eras = _TwoEras(s1, s2)
    loaded = load_engine(engine, work=value_count(s1))
    if count := end_size(top_bottom):
        return eras.result(_left_the_ends(eras, count, loaded), "churn", faults)
    result = np.full(len(eras.first.names), np.nan)
    rank = partial(loaded.rank, ties="average")
    for users, *blocks in eras.blocks():
        first, second = (by_blocks(loaded, rank, block).astype(np.int64) for block in blocks)
        pairs = (first, second), (first, first), (second, second)
        result[users] = 1 - ratio(*((a * b).sum(axis=1) for a, b in pairs))
    for row in np.flatnonzero(np.isnan(result)).tolist():
        eras.fail(row, "prediction-constant", "all predictions of an era are equal")
    return eras.result(result, "churn", faults)


@changed
def neutral_churn(
    s1: Any,
    s2: Any,
    neutralizers1: Any,
    neutralizers2: Any,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return the churn of gauss(s), neutralized to each era's own neutralizers.

    Args:
        s1: a Series, for one number, or an (ids x users) frame or array.
        s2: the same users, in any order.
        neutralizers1: (ids x features) frame or array, of the first era.
        neutralizers2: of the second.
        engine: its name, or an engine.
        faults: gains why users who are NaN have none, by name.

    Source: numerai_tools.signals.neutral_churn 0.7.2.
    """
    first = neutral_ranks(s1, "s1", neutralizers1, engine)
    second = neutral_ranks(s2, "s2", neutralizers2, engine)
    return churn(first, second, engine=engine, faults=faults)


def neutral_churn_penalty(
    neutral_churn: float, threshold: float = 0.1, scaling_factor: float = 10.0
) -> float:
    """Return the share of a positive payout kept: 2 / (1 + exp(factor * excess)), at most 1.

    Args:
        neutral_churn: 0 to 2.
        threshold: churn up to which all of it is kept, 0 to 2.
        scaling_factor: how fast the share falls beyond, above 0.

    Raises:
        ValueError: a number is out of its range.

    Source: numerai_tools.signals.neutral_churn_penalty 0.7.2.
    """
    for name, value in (("neutral_churn", neutral_churn), ("threshold", threshold)):
        if not 0 <= value <= 2:
            raise ValueError(f"{name}={value}: not between 0 and 2")
    real("scaling_factor", scaling_factor, 0)
    if neutral_churn <= threshold:
        return 1.0
    decay = float(np.exp(-scaling_factor * (neutral_churn - threshold)))
    return 2 * decay / (1 + decay)


@changed
def turnover(
    s1: Any, s2: Any, *, engine: str | Engine = "auto", faults: Faults | None = None
) -> Any:
    """Return half the sum of absolute changes of weights, over the ids that both eras have.

    Args:
        s1: a Series, for one number, or an (ids x users) frame or array.
        s2: the same users, in any order.
        engine: its name, or an engine.
        faults: gains why users who are NaN have none, by name.

    Source: numerai_tools.signals.turnover 0.7.2.
    """
    eras = _TwoEras(s1, s2)
    loaded = load_engine(engine, work=value_count(s1))
    result = np.full(len(eras.first.names), np.nan)
    for users, first, second in eras.blocks():
        ones = np.ones((1, first.shape[1]))
        sums = partial(loaded.inner, table=None, probes=ones, ties="first")
        result[users] = by_blocks(loaded, sums, np.abs(first - second))[:, 0] / 2
    return eras.result(result, "turnover", faults)


def neutral_ranks(series: Any, place: str, neutralizers: Any, engine: str | Engine) -> Panel:
    """Return the ranks, gaussianized and neutralized, over the ids that both inputs have.

    Without ids, all stocks stay. Users without a result have a fault in the panel.
    """
    book = Book(take_panel(series, place), {"neutralizers": neutralizers}, engine)

    def residuals(cohort: Cohort) -> Floats:
        neutralizer = Neutralizer.of(cohort.shared["neutralizers"], cohort.engine)
        return cohort.map(lambda block: cohort.engine.get(neutralizer.ranks(block)))

    panel = book.series(residuals)
    return panel if panel.ids is None else panel.columns(np.sort(book.columns))


def _left_the_ends(eras: "_TwoEras", count: int, engine: Engine) -> Floats:
    """Return which share of each user's top and bottom the second era lacks, on average."""
    first, second = eras.common
    kept = np.zeros(len(eras.first.names))
    for panel in (eras.first, eras.second):
        for row in np.flatnonzero(np.isinf(panel.matrix).any(axis=1)).tolist():
            eras.fail(row, "prediction-infinite", "a prediction is infinite")
    tops = [_ends(panel, count, engine) for panel in (eras.first, eras.second)]
    for one, other in zip(*tops, strict=True):
        kept += (one[:, first] & other[:, second]).sum(axis=1) / count
    kept[list(eras.faults)] = np.nan
    return 1 - kept / 2


def _ends(panel: Panel, count: int, engine: Engine) -> list[NDArray[np.bool_]]:
    """Return where each row's lowest and highest values are: two (U, M) masks.

    Among equal values, the one with the lower id counts as lower.
    """
    stocks = (~np.isnan(panel.matrix)).sum(axis=1, keepdims=True)
    places = ranks(panel, "first", engine) * stocks  # 0.5, 1.5, ...
    return [places < count, places > stocks - count]


class _TwoEras:
    """Two eras' series of the same users, each over the ids that the user predicts in both."""

    def __init__(self, s1: Any, s2: Any) -> None:
        """Align the users and ids of two frames, Series or arrays.

        Raises:
            RoundError: the users differ, or there are no ids to align and the shapes differ.
        """
        first, second = take_panel(s1, "s1"), take_panel(s2, "s2")
        if len(first.names) != len(second.names):
            users = f"{len(first.names):,} users, then {len(second.names):,}"
            raise RoundError("array-shape", f"s1 and s2: {users}")
        if len(first.names) > 1:
            rows = {name: row for row, name in enumerate(second.names)}
            if strays := [name for name in first.names if name not in rows]:
                raise RoundError("column-missing", f"s2: no column for {shown(strays)}")
            second = second.rows(np.array([rows[name] for name in first.names]))
        order = first.order()
        places = second.places_of(first)[order]
        self.first, self.second = first, second  # rows in the order of the first
        # (2, N) columns of the ids that both have, ascending
        self.common = np.stack([order, places])[:, places >= 0]
        self.faults = second.faults | first.faults  # why users have no result, by row

    def blocks(self) -> Iterator[tuple[Integers, Floats, Floats]]:
        """Yield users, and their (rows, n) series in both eras, over the ids that both have."""
        most = max(panel.matrix.shape[1] for panel in (self.first, self.second))
        for start in range(0, len(self.first.names), GROUP):
            rows = slice(start, start + GROUP)
            first: Floats = self.first.matrix[rows][:, self.common[0]].astype(np.float64)
            second: Floats = self.second.matrix[rows][:, self.common[1]].astype(np.float64)
            present = ~(np.isnan(first) | np.isnan(second))
            groups: dict[bytes, list[int]] = {}
            infinite = (np.isinf(first) | np.isinf(second)).sum(axis=1)
            for row, predicted in enumerate(present.sum(axis=1).tolist()):
                if infinite[row]:
                    self.fail(start + row, "prediction-infinite", "a prediction is infinite")
                elif not predicted or predicted / most < 1 - DROPPED:
                    detail = f"{predicted:,} ids in both eras, {most:,} in one"
                    self.fail(start + row, "id-other-round", detail)
                if start + row not in self.faults:
                    groups.setdefault(present[row].tobytes(), []).append(row)
            for key, users in groups.items():
                places = np.array(users)
                chosen = np.ix_(places, np.flatnonzero(np.frombuffer(key, bool)))
                yield start + places, first[chosen], second[chosen]

    def fail(self, row: int, code: str, detail: str) -> None:
        """Note why a user has no result, unless that is known."""
        self.faults.setdefault(row, self.first.fault(row, code, detail))

    def result(self, values: Floats, name: str, faults: Faults | None) -> Any:
        """Return (U,) results in the kind of the first era; tell why some are NaN."""
        replace(self.first, faults=self.faults).tell(faults)
        return self.first.scores(values, name)
