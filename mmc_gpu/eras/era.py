"""One era, ready for the metrics: all models at once, ids ascending."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mmc_gpu.engines import Engine
from mmc_gpu.engines.arrays import Floats, Numbers, Ranks
from mmc_gpu.eras.columns import Columns, EraRows, Label
from mmc_gpu.errors import RoundError, counted, shown
from mmc_gpu.inputs.checks import ranked_and_filled
from mmc_gpu.inputs.names import check_labels, first_ids
from mmc_gpu.metrics.neutral import Features
from mmc_gpu.metrics.population.book import DROPPED
from mmc_gpu.metrics.population.panels import Panel

FEWEST = 3
"""Rows of an era that is scored: two stocks have a correlation of 1 or -1, whatever they are."""


@dataclass(frozen=True, eq=False)
class Era:
    """One era's rows, ids ascending.

    Attributes:
        label: the era's name.
        ids: (N,) the stocks' ids, or None.
        columns: the columns of the data.
        matrix: (columns, N) the values of `Columns.numeric`; NaN where missing.
        previous: the models' predictions in the era before, or why it has none that can be
            compared; None if there is no era before.
        target_name: of the target; None where the era is not scored on one.
        absent: (U,) how many predictions of each model are missing, before any is filled.
        faults: why models miss predictions, where that is known, by name.
        fault: why no model can be scored, or None: ids that are null, stand twice, have no order.
    """

    label: Label
    ids: "pd.Index[Any] | None"
    columns: Columns
    matrix: Numbers
    previous: Panel | RoundError | None = None
    target_name: Any = None
    absent: Any = None
    faults: dict[Any, RoundError] = field(default_factory=dict)
    fault: RoundError | None = None

    @classmethod
    def of(cls, rows: EraRows, columns: Columns, previous: Panel | RoundError | None) -> "Era":
        """Return an era's rows in the order of their ids; without ids, as they stand."""
        matrix, ids = rows.matrix, None
        fault: RoundError | None = None
        if rows.ids is not None:
            try:
                ids = pd.Index(rows.ids)
                check_labels(ids, f"era {rows.label}")
                if not ids.is_monotonic_increasing:
                    order = ids.argsort()
                    ids, matrix = ids[order], matrix[:, order]
            except RoundError as error:
                fault = error
            except (TypeError, UnicodeEncodeError) as error:
                where = f"era {rows.label}"
                fault = RoundError("id-type", f"{where}: ids without an order ({error})")
        known = {name: row for row, name in enumerate(columns.numeric)}
        models = [known[name] for name in columns.models]
        absent = np.isnan(matrix[models]).sum(axis=1)
        if columns.fill and absent.any():
            matrix = matrix.astype(np.float64)
            for row in np.array(models)[absent > 0]:
                matrix[row] = ranked_and_filled(matrix[row])
        return cls(
            rows.label, ids, columns, matrix, previous,
            absent=absent, faults=rows.faults, fault=fault,
        )  # fmt: skip

    def scored_on(self, name: Any) -> "Era":
        """Return the era with one of its targets, and only the rows that have it.

        Raises:
            RoundError: no row has the target, a value is infinite, or all are equal.
        """
        values = self._matrix([name])[0]
        present = ~np.isnan(values)
        target = values[present]
        if not len(target):
            raise RoundError("target-missing", f"era {self.label}: no row has a target")
        where = f"era {self.label}, {shown([name])}"
        if infinite := np.count_nonzero(np.isinf(target)):
            raise RoundError("target-infinite", f"{where}: {infinite:,} of {len(target):,} rows")
        if target.min() == target.max():
            raise RoundError("target-constant", f"{where}: all {len(target):,} are {target[0]}")
        if present.all():
            return replace(self, target_name=name)
        ids = None if self.ids is None else self.ids[present]
        return replace(self, ids=ids, matrix=self.matrix[:, present], target_name=name)

    @property
    def of_meta_model(self) -> "Era":
        """Return the era with the meta model as its only model, and only the rows that have it.

        Raises:
            RoundError: the meta model has no value in the era, an infinite one, or equal ones.
        """
        present = ~np.isnan(self.meta_model)
        ids = None if self.ids is None else self.ids[present]
        columns = replace(self.columns, models=(self.columns.meta_model,))
        return replace(self, columns=columns, ids=ids, matrix=self.matrix[:, present])

    @cached_property
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
        matrix = self._matrix(self.columns.models)
        with np.errstate(invalid="ignore"):  # infinities that cancel are looked at again
            missing = np.isnan(matrix.sum(axis=1))
        missing[missing] = np.isnan(matrix[missing]).any(axis=1)
        ids = [str(id_) for id_ in self.ids] if self.ids is not None and missing.any() else None
        faults = {
            row: self.faults.get(self.columns.models[row])
            or RoundError(
                "prediction-missing",
                f"era {self.label}, {shown([self.columns.models[row]])}: missing"
                f" {first_ids(np.isnan(matrix[row]), ids)}",
            )
            for row in np.flatnonzero(missing).tolist()
        }
        names = list(self.columns.models)
        return Panel("predictions", self.ids, names, matrix, "array", faults)

    @cached_property
    def target(self) -> Numbers:
        """Return the target: (N,)."""
        return self._matrix([self.target_name])[0]

    @property
    def meta_model(self) -> Numbers:
        """Return the meta model: (N,)."""
        return self.varied(self.columns.meta_model)

    @cached_property
    def features(self) -> Features:
        """Return the features, which are factorised once for all metrics of the era.

        Raises:
            RoundError: a feature has no value in the era, or an infinite one.
        """
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

        Ranks are averaged, not predictions, so that a benchmark of wider spread counts no more.

        Raises:
            RoundError: a benchmark is faulty, or no row has all benchmarks.
        """
        series = np.stack([self.series(name) for name in self.columns.benchmarks])
        return mean_of_ranks(series, engine, f"era {self.label}")

    def series(self, name: Any) -> Numbers:
        """Return the values of one column: (N,).

        Raises:
            RoundError: the column has no value in the era, or an infinite one.
        """
        (series,) = self._matrix([name])
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
        return refuse_constant(self.series(name), f"era {self.label}, {shown([name])}")

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return self.matrix.shape[1]

    def without(self, names: Sequence[Any]) -> int:
        """Return how many rows lack a value in any of the columns."""
        return int(np.isnan(self._matrix(names)).any(axis=0).sum())

    def _matrix(self, names: Sequence[Any]) -> Numbers:
        places = [self._places[name] for name in names]
        together = slice(places[0], places[-1] + 1) if places else slice(0)
        if places == list(range(len(self._places))[together]):
            return self.matrix[together]
        return self.matrix[places]

    @cached_property
    def _places(self) -> dict[Any, int]:
        return {name: row for row, name in enumerate(self.columns.numeric)}


def mean_of_ranks(series: Numbers, engine: Engine, where: str) -> Floats:
    """Return the mean of the ranks of (K, N) series: (N,), NaN where one is missing.

    Raises:
        RoundError: no stock has all series.
    """
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
