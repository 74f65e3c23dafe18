"""One era's scores of all models at once, by the names of metrics."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mmc_gpu.engines.arrays import Numbers
from mmc_gpu.eras.columns import Columns, EraRows, Label
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.names import check_labels, first_ids
from mmc_gpu.metrics.population.panels import Panel


@dataclass(frozen=True, eq=False)
class Era:
    """One era, ids ascending: what its models are scored with.

    Attributes:
        label: of the era.
        ids: (N,) of the stocks, or None.
        columns: what the rows of the matrix are.
        matrix: (columns, N) of `Columns.numeric`; NaN where missing.
        previous: the models' predictions in the era before.
    """

    label: Label
    ids: "pd.Index[Any] | None"
    columns: Columns
    matrix: Numbers
    previous: Panel | None = None

    @classmethod
    def of(cls, rows: EraRows, columns: Columns, previous: Panel | None) -> "Era":
        """Return an era's rows in the order of their ids.

        Raises:
            RoundError: an id is null, stands twice, or cannot be ordered.
        """
        matrix, ids = rows.matrix, None
        if rows.ids is not None:
            ids = pd.Index(rows.ids)
            check_labels(ids, f"era {rows.label}")
            if not ids.is_monotonic_increasing:
                order = ids.argsort()
                ids, matrix = ids[order], matrix[:, order]
        return cls(rows.label, ids, columns, matrix, previous)

    @cached_property
    def scored(self) -> "Era":
        """Return the rows that have a target.

        Raises:
            RoundError: none has one, one is infinite, or all are equal.
        """
        present = ~np.isnan(self.target)
        target = self.target[present]
        if not len(target):
            raise RoundError("target-missing", f"era {self.label}: no row has a target")
        where = f"era {self.label}, {shown([self.columns.target])}"
        if infinite := np.count_nonzero(np.isinf(target)):
            raise RoundError("target-infinite", f"{where}: {infinite:,} of {len(target):,} rows")
        if target.min() == target.max():
            raise RoundError("target-constant", f"{where}: all {len(target):,} are {target[0]}")
        if present.all():
            return self
        ids = None if self.ids is None else self.ids[present]
        return replace(self, ids=ids, matrix=self.matrix[:, present])

    @cached_property
    def models(self) -> Panel:
        """Return the predictions; models that miss some have a fault instead of a score."""
        matrix = self._rows(self.columns.models)
        with np.errstate(invalid="ignore"):  # infinities that cancel are looked at again
            missing = np.isnan(matrix.sum(axis=1))
        missing[missing] = np.isnan(matrix[missing]).any(axis=1)
        ids = [str(id_) for id_ in self.ids] if self.ids is not None and missing.any() else None
        faults = {
            row: RoundError(
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
        return self._rows([self.columns.target])[0]

    @property
    def meta_model(self) -> Numbers:
        """Return the meta model: (N,)."""
        return self.varied(self.columns.meta_model)

    @property
    def features(self) -> Panel:
        """Return the features.

        Raises:
            RoundError: the era has none of one, or an infinite value.
        """
        names = list(self.columns.features)
        for name in names:
            self.series(name)
        return Panel("features", None, names, self._rows(names), "array")

    def series(self, name: Any) -> Numbers:
        """Return one column: (N,).

        Raises:
            RoundError: the era has none of it, or an infinite value.
        """
        (series,) = self._rows([name])
        where = f"era {self.label}, {shown([name])}"
        if np.isnan(series).all():
            raise RoundError("series-missing", f"{where}: no values")
        if infinite := np.count_nonzero(np.isinf(series)):
            raise RoundError("series-infinite", f"{where}: {infinite:,} of {self.rows:,} rows")
        return series

    def varied(self, name: Any) -> Numbers:
        """Return one column whose values are not all equal: (N,).

        Raises:
            RoundError: they are, or as `series` says.
        """
        series = self.series(name)
        values = series[~np.isnan(series)]
        if values.min() == values.max():
            detail = f"era {self.label}, {shown([name])}: all {len(values):,} are {values[0]}"
            raise RoundError("meta-model-constant", detail)
        return series

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return self.matrix.shape[1]

    def without(self, names: Sequence[Any]) -> int:
        """Return how many rows lack one of these columns."""
        return int(np.isnan(self._rows(names)).any(axis=0).sum())

    def missing(self, names: Sequence[Any]) -> Any:
        """Return how many values each column misses: (columns,)."""
        return np.isnan(self._rows(names)).sum(axis=1)

    def _rows(self, names: Sequence[Any]) -> Numbers:
        places = [self._places[name] for name in names]
        together = slice(places[0], places[-1] + 1) if places else slice(0)
        if places == list(range(len(self._places))[together]):
            return self.matrix[together]
        return self.matrix[places]

    @cached_property
    def _places(self) -> dict[Any, int]:
        return {name: row for row, name in enumerate(self.columns.numeric)}
