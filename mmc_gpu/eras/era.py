"""One era, ready for the metrics: all models at once, ids ascending."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmc_gpu.engines import Engine
from mmc_gpu.engines.arrays import Floats, Integers, Numbers, Ranks
from mmc_gpu.engines.extremes import extremes
from mmc_gpu.eras.columns import Columns, EraRows, Label
from mmc_gpu.errors import RoundError, counted, shown
from mmc_gpu.inputs.checks import ranked_and_filled
from mmc_gpu.inputs.columns import as_fault
from mmc_gpu.inputs.names import check_labels, first_ids, is_ascending
from mmc_gpu.metrics.neutral import Features
from mmc_gpu.metrics.population.book import DROPPED
from mmc_gpu.metrics.population.panels import Panel
from mmc_gpu.metrics.stakes import stake_weight

FEWEST = 3
"""Rows of an era that is scored: two stocks have a correlation of 1 or -1, whatever they are."""


@dataclass(frozen=True, eq=False)
class Era:
    """One era's rows, ids ascending."""

    label: Label  # the era's name
    ids: "pd.Index[Any] | None"  # (N,) the stocks' ids, or None
    columns: Columns  # the columns of the data
    matrix: Numbers  # (columns, N) the values of `Columns.numeric`; NaN where missing
    # the models' predictions in the era before, or why it has none that can be compared; None if
    # there is no era before
    previous: Panel | RoundError | None = None
    target_name: Any = None  # of the target; None where the era is not scored on one
    some: Panel | None = None  # the predictions of the models that are looked at; None for all
    # what has been made of these rows, by name; eras on several targets that have the same rows
    # share it
    made: dict[Any, Any] = field(default_factory=dict)
    # why models miss predictions, where that is known, by name
    faults: dict[Any, RoundError] = field(default_factory=dict)
    # why no model can be scored, or None: ids that are null, stand twice, have no order
    fault: RoundError | None = None
    # (U,) how many predictions of each model were missing, where they have been filled
    absent: Integers | None = None

    @classmethod
    def of(cls, rows: EraRows, columns: Columns, previous: Panel | RoundError | None) -> "Era":
        """Return an era's rows in the order of their ids; without ids, as they stand."""
        matrix, ids = rows.matrix, rows.ids
        fault: RoundError | None = None
        try:
            with as_fault("id-type", f"era {rows.label}: ids without an order"):
                if ids is not None and not is_ascending(ids):
                    ordered = ids.is_monotonic_increasing  # tells whether they are unique, too
                    check_labels(ids, f"era {rows.label}")
                    if not ordered:
                        order = ids.argsort()
                        ids, matrix = ids[order], matrix.take(order, axis=1)  # in C order
        except RoundError as error:
            fault = error
        era = cls(rows.label, ids, columns, matrix, previous, faults=rows.faults, fault=fault)
        return era._filled() if columns.fill else era

    def _filled(self) -> "Era":
        """Return the era with the predictions that are missing filled; see `ranked_and_filled`."""
        absent: Integers = np.isnan(self._matrix(self.columns.models)).sum(axis=1)
        matrix = self.matrix.astype(np.float64)
        for model in np.flatnonzero(absent).tolist():
            row = self.columns.places[self.columns.models[model]]
            matrix[row] = ranked_and_filled(matrix[row])
        return replace(self, matrix=matrix, absent=absent) if absent.any() else self

    def rows_with(self, name: Any) -> NDArray[np.bool_]:
        """Return which rows have a target: (N,).

        Raises:
            RoundError: no row has the target, a value is infinite, or all are equal.
        """
        present: NDArray[np.bool_] = ~np.isnan(self.series_of(name))
        target = self.series_of(name)[present]
        if not len(target):
            raise RoundError("target-missing", f"era {self.label}: no row has a target")
        where = f"era {self.label}, {shown([name])}"
        if infinite := np.count_nonzero(np.isinf(target)):
            raise RoundError("target-infinite", f"{where}: {infinite:,} of {len(target):,} rows")
        if target.min() == target.max():
            raise RoundError("target-constant", f"{where}: all {len(target):,} are {target[0]}")
        return present

    def of_rows(self, present: NDArray[np.bool_]) -> "Era":
        """Return the era with some of its rows."""
        if present.all():
            return self
        ids = None if self.ids is None else self.ids[present]
        return replace(self, ids=ids, matrix=self.matrix.compress(present, axis=1), made={})

    def on(self, target: Any) -> "Era":
        """Return the era, with the target that is to be scored on."""
        return replace(self, target_name=target)

    def of_users(self, users: slice) -> "Era":
        """Return the era with the predictions of some models."""
        return replace(self, some=self._once("models", self._models).rows(users))

    @property
    def models(self) -> Panel:
        """Return the predictions; a model that misses one has a fault, and so gets no score.

        Raises:
            RoundError: there are fewer than 3 rows, or ids have a fault.
        """
        if self.fault is not None:
            raise self.fault
        if self.rows < FEWEST:
            of = "" if self.target_name is None else f" with {shown([self.target_name])}"
            raise RoundError("era-size", f"era {self.label}: {counted(self.rows, 'row')}{of}")
        return self._once("models", self._models) if self.some is None else self.some

    def _models(self) -> Panel:
        names, matrix = list(self.columns.models), self._matrix(self.columns.models)
        bounds = np.stack(extremes(matrix, None))
        missing = np.isnan(bounds[0])
        ids = [str(id_) for id_ in self.ids] if self.ids is not None and missing.any() else None
        faults = {}
        for row in np.flatnonzero(missing).tolist():
            lacking = first_ids(np.isnan(matrix[row]), ids)
            detail = f"era {self.label}, {shown([names[row]])}: missing {lacking}"
            faults[row] = self.faults.get(names[row]) or RoundError("prediction-missing", detail)
        return Panel("predictions", self.ids, names, matrix, "array", faults, bounds=bounds)

    @property
    def target(self) -> Numbers:
        """Return the target: (N,)."""
        return self.series_of(self.target_name)

    @property
    def meta_model(self) -> Numbers:
        """Return the meta model: (N,)."""
        return self.varied(self.columns.meta_model)

    @property
    def features(self) -> Features:
        """Return the features, which are factorised once for all metrics of the era.

        Raises:
            RoundError: a feature has no value in the era, or an infinite one.
        """
        return self._once("features", self._features)

    def _features(self) -> Features:
        names = list(self.columns.features)
        for name in names:
            self.series(name)
        return Features("features", None, names, self._matrix(names), "array")

    @property
    def before(self) -> Panel:
        """Return the predictions in the era before, which has most ids of this era too.

        Raises:
            RoundError: there is no era before, there are no ids, or too few ids are in both eras.
        """
        if isinstance(self.previous, RoundError):
            raise self.previous
        if self.previous is None or self.ids is None or self.previous.ids is None:
            raise RoundError("era-ids", f"era {self.label}: there are no ids")
        sizes = len(self.ids), len(self.previous.ids)
        common = len(self.ids.intersection(self.previous.ids))
        if common < (1 - DROPPED) * max(sizes):
            found = f"{common:,} of up to {max(sizes):,} ids are in both it and the era before"
            raise RoundError("era-ids", f"era {self.label}: {found}")
        return self.previous

    def benchmark_mean(self, engine: Engine) -> Floats:
        """Return the mean of the benchmarks' ranks: (N,), NaN where a benchmark is missing.

        Ranks are averaged, not predictions, so that a benchmark of wider spread counts no more. If
        there are stakes, it is `stake_weight` of the benchmarks as they are, as on the leaderboard.

        Raises:
            RoundError: a benchmark is faulty, or no row has all benchmarks.
        """
        return self._once("mean", lambda: self._mean_of_benchmarks(engine))

    def _mean_of_benchmarks(self, engine: Engine) -> Floats:
        stakes = np.array(self.columns.stakes or [1.0] * len(self.columns.benchmarks))
        names = [self.columns.benchmarks[place] for place in np.flatnonzero(stakes).tolist()]
        series = np.stack([self.series(name) for name in names])
        if not self.columns.stakes:
            return mean_of_ranks(series, engine, f"era {self.label}")
        mean: Floats = stake_weight(series.T, stakes[stakes > 0], engine=engine)
        return np.where(np.isnan(series).any(axis=0), np.nan, mean)

    def series(self, name: Any) -> Numbers:
        """Return the values of one column: (N,).

        Raises:
            RoundError: the column has no value in the era, or an infinite one.
        """
        return self._once(("series", name), lambda: self._checked(name))

    def _checked(self, name: Any) -> Numbers:
        series = self.series_of(name)
        where = f"era {self.label}, {shown([name])}"
        if np.isnan(series).all():
            raise RoundError("series-missing", f"{where}: no values")
        if infinite := np.count_nonzero(np.isinf(series)):
            raise RoundError("series-infinite", f"{where}: {infinite:,} of {self.rows:,} rows")
        return series

    def varied(self, name: Any) -> Numbers:
        """Return the values of one column, which are not all equal: (N,).

        Raises:
            RoundError: all values are equal; or the column is faulty, as `series` says.
        """
        where = f"era {self.label}, {shown([name])}"
        return self._once(("varied", name), lambda: refuse_constant(self.series(name), where))

    def series_of(self, name: Any) -> Numbers:
        """Return the values of one column as they are: (N,)."""
        return self.matrix[self.columns.places[name]]

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return self.matrix.shape[1]

    def without(self, names: Sequence[Any]) -> int:
        """Return how many rows lack a value in any of the columns."""
        return int(np.isnan(self._matrix(names)).any(axis=0).sum())

    def missing(self) -> Integers:
        """Return how many predictions each model lacks: (U,)."""
        if self.absent is not None:
            return self.absent
        models = self._once("models", self._models)
        lacking = sorted(models.faults)
        missing = np.zeros(len(models.names), np.int64)
        missing[lacking] = np.isnan(models.matrix[lacking]).sum(axis=1)
        return missing

    def _matrix(self, names: Sequence[Any]) -> Numbers:
        places = [self.columns.places[name] for name in names]
        together = slice(places[0], places[-1] + 1) if places else slice(0)
        if places == list(range(len(self.columns.places))[together]):
            return self.matrix[together]
        return self.matrix[places]

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]


def mean_of_ranks(series: Numbers, engine: Engine, where: str) -> Floats:
    """Return the mean of the ranks of (K, N) series: (N,), NaN where one is missing.

    Raises:
        RoundError: no stock has all series, or a value is infinite.
    """
    if infinite := np.count_nonzero(np.isinf(series)):
        raise RoundError("series-infinite", f"{where}: {infinite:,} values of benchmarks")
    present: Any = ~np.isnan(series).any(axis=0)
    if not present.any():
        raise RoundError("series-missing", f"{where}: no row has all benchmarks")
    ranks: Ranks = engine.get(engine.rank(engine.put(series[:, present]), "average"))
    mean = np.full(series.shape[1], np.nan)
    mean[present] = ranks.astype(np.int64).sum(axis=0) / len(ranks)
    return mean


def refuse_constant(series: Numbers, where: str) -> Numbers:
    """Return a series as it is, unless all its values are equal.

    Raises:
        RoundError: they are, or there are none.
    """
    values = series[~np.isnan(series)]
    if not len(values):
        raise RoundError("series-missing", f"{where}: no values")
    if values.min() == values.max():
        detail = f"{where}: all {len(values):,} are {values[0]}"
        raise RoundError("meta-model-constant", detail)
    return series
