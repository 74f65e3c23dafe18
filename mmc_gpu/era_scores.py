"""One era's scores of all models at once, by the names of metrics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mmc_gpu import metrics
from mmc_gpu.arrays import Floats, Numbers, Ranks
from mmc_gpu.engines import Engine
from mmc_gpu.era_columns import Columns, EraRows, Label
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.metrics.panels import Panel
from mmc_gpu.metrics.users import DROPPED, Faults
from mmc_gpu.names import first_ids


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
            if ids.hasnans:
                raise RoundError("id-null", f"era {rows.label}: {ids.isna().sum():,} ids are null")
            if not ids.is_unique:
                twice = shown(ids[ids.duplicated()].unique())
                raise RoundError("id-duplicate", f"era {rows.label}: ids twice: {twice}")
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


Score = Callable[[Era, Engine, Faults], Floats]
"""Returns the models' scores in an era: (U,), NaN where the faults say why."""


class Metric(NamedTuple):
    """One metric.

    Attributes:
        needs: which parts of `Columns` must be given.
        score: the score; for one benchmark after another where `each` is given, as `benchmark=`.
        each: what the scores against each benchmark are called.
    """

    needs: tuple[str, ...]
    score: Callable[..., Floats]
    each: str = ""


def planned(names: Sequence[str] | None, columns: Columns) -> dict[str, Score]:
    """Return what is computed in each era, by the names of the scores.

    Args:
        names: metrics; None for all that there is data for, but those of `IF_ASKED`.
        columns: the data.

    Raises:
        ValueError: a metric is unknown, or lacks data.
    """
    given = {name for name in ("target", "meta_model") if getattr(columns, name) is not None}
    given |= {name for name in ("benchmarks", "features") if getattr(columns, name)}
    if names is None:
        usual = {name: metric for name, metric in METRICS.items() if name not in IF_ASKED}
        names = [name for name, metric in usual.items() if given.issuperset(metric.needs)]
    plan: dict[str, Score] = {}
    for name in names:
        if name not in METRICS:
            raise ValueError(f"no metric {name!r}; there are {', '.join(METRICS)}")
        metric = METRICS[name]
        if lacking := [need for need in metric.needs if need not in given]:
            raise ValueError(f"metric {name}: give {' and '.join(lacking)}")
        if metric.each:
            for benchmark in columns.benchmarks:
                score = partial(metric.score, benchmark=benchmark)
                plan[metric.each.format(benchmark)] = score
        else:
            plan[name] = metric.score
    if not plan:
        raise ValueError("nothing to compute: give a target, a meta model or features")
    return plan


def _corr(era: Era, engine: Engine, faults: Faults) -> Floats:
    era = era.scored
    return metrics.numerai_corr(era.models, era.target, engine=engine, faults=faults)


def _corr20(era: Era, engine: Engine, faults: Faults) -> Floats:
    era = era.scored
    return metrics.tie_broken_rank_correlation(era.target, era.models, engine=engine, faults=faults)


def _spearman(era: Era, engine: Engine, faults: Faults) -> Floats:
    era = era.scored
    return metrics.spearman_correlation(era.target, era.models, engine=engine, faults=faults)


def _mmc(era: Era, engine: Engine, faults: Faults) -> Floats:
    era = era.scored
    return metrics.correlation_contribution(
        era.models, era.meta_model, era.target, engine=engine, faults=faults
    )


def _bmc(era: Era, engine: Engine, faults: Faults) -> Floats:
    era = era.scored
    return metrics.correlation_contribution(
        era.models, benchmark_mean(era, engine), era.target, engine=engine, faults=faults
    )


def _bmc_each(era: Era, engine: Engine, faults: Faults, benchmark: Any) -> Floats:
    era = era.scored
    return metrics.correlation_contribution(
        era.models, era.varied(benchmark), era.target, engine=engine, faults=faults
    )


def _fnc(era: Era, engine: Engine, faults: Faults) -> Floats:
    era = era.scored
    return metrics.feature_neutral_corr(
        era.models, era.features, era.target, engine=engine, faults=faults
    )


def _neutral_corr(era: Era, engine: Engine, faults: Faults) -> Floats:
    era = era.scored
    return metrics.neutral_correlation(
        era.models, era.features, era.target, engine=engine, faults=faults
    )


def _neutral_mmc(era: Era, engine: Engine, faults: Faults) -> Floats:
    era = era.scored
    return metrics.neutral_contribution(
        era.models, era.meta_model, era.features, era.target, engine=engine, faults=faults
    )


def _mcwnm(era: Era, engine: Engine, faults: Faults) -> Floats:
    return metrics.mcwnm(era.models, engine=engine, faults=faults)


def _apcwnm(era: Era, engine: Engine, faults: Faults) -> Floats:
    return metrics.apcwnm(era.models, engine=engine, faults=faults)


def _cwmm(era: Era, engine: Engine, faults: Faults) -> Floats:
    return metrics.cwmm(era.models, era.meta_model, engine=engine, faults=faults)


def _corr_with(era: Era, engine: Engine, faults: Faults, benchmark: Any) -> Floats:
    series = era.varied(benchmark)
    return metrics.spearman_correlation(series, era.models, engine=engine, faults=faults)


def _max_feature_exposure(era: Era, engine: Engine, faults: Faults) -> Floats:
    _, exposures = metrics.feature_exposures(era.models, era.features, engine=engine, faults=faults)
    largest = np.where(np.isnan(exposures), -1.0, exposures).max(axis=1)
    return np.where(largest < 0, np.nan, largest)


def _churn(era: Era, engine: Engine, faults: Faults) -> Floats:
    models, previous = era.models, era.previous
    if previous is None:
        return np.full(len(models.names), np.nan)
    if models.ids is None or previous.ids is None:
        raise RoundError("era-ids", f"era {era.label}: there are no ids")
    sizes = len(models.ids), len(previous.ids)
    common = len(models.ids.intersection(previous.ids))
    if common < (1 - DROPPED) * max(sizes):
        found = f"{common:,} of up to {max(sizes):,} ids are in both it and the era before"
        raise RoundError("era-ids", f"era {era.label}: {found}")
    return metrics.churn(previous, models, engine=engine, faults=faults)


METRICS = {
    "corr": Metric(("target",), _corr),
    "mmc": Metric(("target", "meta_model"), _mmc),
    "bmc": Metric(("target", "benchmarks"), _bmc),
    "bmc_each": Metric(("target", "benchmarks"), _bmc_each, "bmc_{}"),
    "fnc": Metric(("target", "features"), _fnc),
    "corr20": Metric(("target",), _corr20),
    "spearman": Metric(("target",), _spearman),
    "cwmm": Metric(("meta_model",), _cwmm),
    "corr_with": Metric(("benchmarks",), _corr_with, "corr_with_{}"),
    "max_feature_exposure": Metric(("features",), _max_feature_exposure),
    "neutral_corr": Metric(("target", "features"), _neutral_corr),
    "neutral_mmc": Metric(("target", "meta_model", "features"), _neutral_mmc),
    "mcwnm": Metric((), _mcwnm),
    "apcwnm": Metric((), _apcwnm),
    "churn": Metric((), _churn),
}
"""The metrics by name; `evaluate` says what each is."""

IF_ASKED = {"neutral_corr", "neutral_mmc", "mcwnm", "apcwnm", "churn"}
"""Metrics that are computed only where they are named."""


def benchmark_mean(era: Era, engine: Engine) -> Floats:
    """Return the mean of the benchmarks' ranks: (N,), NaN where one of them is missing.

    Of ranks, not of predictions: no benchmark counts more for being spread wider.
    """
    series = np.stack([era.series(name) for name in era.columns.benchmarks])
    present: Any = ~np.isnan(series).any(axis=0)
    if not present.any():
        raise RoundError("series-missing", f"era {era.label}: no row has all benchmarks")
    ranks: Ranks = engine.get(engine.rank(engine.put(series[:, present]), "average"))
    mean = np.full(series.shape[1], np.nan)
    mean[present] = ranks.astype(np.int64).sum(axis=0) / len(ranks)
    return mean
