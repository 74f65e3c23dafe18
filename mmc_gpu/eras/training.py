"""Era-wise corr, mmc and bmc as evaluation metrics of LightGBM and XGBoost: `mmc_gpu.training`.

    metrics = training.EraMetrics(valid["era"], valid["target"], valid["meta_model"])
    lightgbm.train(options, train_set, valid_sets=[valid_set], feval=metrics.lightgbm)
    xgboost.train(options, train_set, evals=[(valid_set, "valid")], custom_metric=metrics.xgboost)

Neither library is imported. Targets and meta models are ranked once; a boosting round costs one
ranking of the predictions, eras side by side, and products with these ranks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mmc_gpu.engines import Engine, load_engine
from mmc_gpu.engines.arrays import Floats, Integers, Numbers
from mmc_gpu.engines.lanes import inner_products
from mmc_gpu.eras.columns import as_pandas
from mmc_gpu.eras.era import mean_of_ranks, refuse_constant
from mmc_gpu.errors import RoundError, counted, shown
from mmc_gpu.inputs.columns import as_fault
from mmc_gpu.inputs.frames import take_array
from mmc_gpu.metrics.contribution import TWICE_DROPPED, gaussianized, scaled_target
from mmc_gpu.metrics.correlations import centre_target
from mmc_gpu.metrics.population.book import check_common
from mmc_gpu.metrics.population.cohort import block_rows
from mmc_gpu.metrics.population.panels import take_series
from mmc_gpu.metrics.population.tables import Kind, pow15, rank_table
from mmc_gpu.rounds.algebra import ratio

_NEEDS = {"corr": "target", "mmc": "meta_model", "bmc": "benchmarks"}
"""What each metric needs beside the eras and the target."""


class EraMetrics:
    """The mean over eras of corr, mmc and bmc, for data sets that are told apart by their labels.

    The means are those of `metrics.numerai_corr` and `metrics.correlation_contribution` to 1e-12.

    Attributes:
        faults: why an era has no score and is left out, by data set (0, 1, ...), metric and era.
    """

    def __init__(
        self,
        eras: Any,
        target: Any,
        meta_model: Any = None,
        benchmarks: Any = None,
        *,
        label: Any = None,
        engine: str | Engine = "auto",
    ) -> None:
        """Prepare the metrics of a data set; `add` prepares those of another one.

        Args:
            eras: (rows,) labels of any kind; rows in any order, that of the predictions.
            target: (rows,) what is predicted; NaN where a row has none: it is left out.
            meta_model: (rows,) for mmc; None for none.
            benchmarks: (rows, benchmarks) frame or array for bmc; None for none.
            label: (rows,) what is trained on, where that is not the target.
            engine: its name, or an engine.

        Raises:
            RoundError: lengths differ, a row has no era, or no era has a score.
        """
        self._engine = load_engine(engine)
        self._sets: list[_DataSet] = []
        self.faults: dict[tuple[int, str, Any], RoundError] = {}
        self.add(eras, target, meta_model, benchmarks, label=label)

    def add(
        self,
        eras: Any,
        target: Any,
        meta_model: Any = None,
        benchmarks: Any = None,
        *,
        label: Any = None,
    ) -> None:
        """Prepare the metrics of another data set, such as that which is trained on."""
        with as_fault("era-type", "eras"):
            codes, names = pd.factorize(np.ravel(as_pandas(np.asarray(eras))))
        if empty := np.count_nonzero(codes < 0):
            of = counted(len(codes), "row")
            raise RoundError("era-missing", f"eras: none in {empty:,} of {of}")
        given = {"target": target, "meta_model": meta_model, "benchmarks": benchmarks}
        rows = {name: _rows(name, data, len(codes)) for name, data in given.items()}
        known = rows["target"] if label is None else _rows("label", label, len(codes))
        found = _DataSet(known[0], rows, codes, list(names), self._engine)
        self.faults |= {(len(self._sets), *key): fault for key, fault in found.faults.items()}
        self._sets.append(found)

    def values(self, predictions: Any, label: Any) -> dict[str, float]:
        """Return each metric's mean over the eras; an era whose predictions are all equal adds 0.

        All data sets have the same metrics, as LightGBM wants it: NaN for what only others have.

        Args:
            predictions: (rows,) for one of the data sets.
            label: (rows,) its labels.

        Raises:
            RoundError: no data set has these labels, or a prediction is not finite.
        """
        with as_fault("column-type", "label"):
            series, label = np.asarray(predictions), np.asarray(label, np.float32)
        for one in self._sets:
            if series.shape == one.label.shape == label.shape and (
                np.array_equal(one.label, label)
                or np.array_equal(one.label, label, equal_nan=True)  # 4 times as slow
            ):
                found = one.values(series)
                every = {name for other in self._sets for name in other.metrics}
                return {name: found.get(name, np.nan) for name in _NEEDS if name in every}
        sizes = " and ".join(f"{len(one.label):,}" for one in self._sets)
        detail = f"predictions of shape {series.shape}, with labels of no data set ({sizes} rows)"
        raise RoundError("array-shape", f"{detail}: add() it, or give label=")

    def lightgbm(self, preds: Any, train_data: Any) -> list[tuple[str, float, bool]]:
        """Return (name, value, True) for each metric: `lightgbm.train(feval=)`."""
        return self.lightgbm_sklearn(train_data.get_label(), preds)

    def lightgbm_sklearn(self, y_true: Any, y_pred: Any) -> list[tuple[str, float, bool]]:
        """Return the same: `LGBMRegressor.fit(eval_metric=)`."""
        return [(name, value, True) for name, value in self.values(y_pred, y_true).items()]

    def xgboost(self, predt: Any, dtrain: Any) -> list[tuple[str, float]]:
        """Return (name, value) for each metric: `xgboost.train(custom_metric=, maximize=True)`."""
        return list(self.values(predt, dtrain.get_label()).items())

    def xgboost_sklearn(self, metric: str = "corr") -> Callable[[Any, Any], float]:
        """Return a function of labels and predictions: `XGBRegressor(eval_metric=)` takes one.

        Raises:
            ValueError: no data set has this metric.
        """
        if metric not in (known := [name for one in self._sets for name in one.metrics]):
            there = f"of this data; there are {shown(known, 99)}"
            raise ValueError(f"no metric {shown([metric])} {there}")

        def score(y_true: Any, y_pred: Any) -> float:
            return self.values(y_pred, y_true)[metric]

        score.__name__ = metric
        return score


class _Prepared(NamedTuple):
    """A metric in an era, before there are predictions."""

    places: Integers  # (N,) the rows that are scored, ascending
    probe: Floats  # (N,) what the transformed ranks are multiplied with
    # how many rows; the probe's sum of squares, or the power of two that it lacks
    constants: tuple[float, float]


class _DataSet:
    """The labels of a data set, and all that is computed before there are predictions."""

    def __init__(
        self,
        label: Floats,
        rows: Mapping[str, Floats],
        codes: Integers,
        names: list[Any],
        engine: Engine,
    ) -> None:
        self.label, self._engine = label.astype(np.float32), engine
        self.faults: dict[tuple[str, Any], RoundError] = {}  # by metric and era without a score
        metrics = [name for name, need in _NEEDS.items() if len(rows[need])]
        alike: dict[tuple[str, ...], list[dict[str, _Prepared]]] = {}
        order, stops = np.argsort(codes, kind="stable"), np.bincount(codes).cumsum()
        for number, name in enumerate(names):
            places = order[stops[number - 1] if number else 0 : stops[number]]
            parts: dict[bytes, dict[str, _Prepared]] = {}
            for metric in metrics:
                try:
                    found = _prepared(metric, f"era {name}", rows, places, engine)
                except RoundError as fault:
                    self.faults[metric, name] = fault
                else:
                    parts.setdefault(found.places.tobytes(), {})[metric] = found
            for part in parts.values():
                alike.setdefault(tuple(part), []).append(part)
        for metric in metrics:
            if not any(metric in several for several in alike):
                raise next(fault for (name, _), fault in self.faults.items() if name == metric)
        self.metrics = metrics
        self._batches = [batch for parts in alike.values() for batch in _batches(parts)]

    def values(self, series: Numbers) -> dict[str, float]:
        """Return each metric's mean over the eras; see `EraMetrics`."""
        with np.errstate(over="ignore"):
            top = np.nextafter(np.float64(series.max()), np.inf)
        if not (np.isfinite(series.min()) and np.isfinite(top)):
            odd = f"{np.count_nonzero(~np.isfinite(series)):,} of {len(series):,} predictions"
            raise RoundError("prediction-infinite", f"{odd} are NaN or infinite")
        scores: dict[str, list[Floats]] = {name: [] for name in self.metrics}
        for batch in self._batches:
            for metric, found in batch.scores(series, float(top), self._engine).items():
                scores[metric].append(found)
        each = {name: np.nan_to_num(np.concatenate(scores[name])) for name in scores}
        return {name: float(values.mean()) for name, values in each.items()}


class _Batch:
    """Eras of nearly equal sizes, with the same metrics, as the rows of one block.

    Behind a shorter era stand values above all predictions. They rank last, and their entries in
    tables and probes are 0, so that they change no bit of a sum.
    """

    def __init__(self, eras: Sequence[Mapping[str, _Prepared]]) -> None:
        self._places = [next(iter(era.values())).places for era in eras]
        self._rows = [
            slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] + 1 == len(rows) else rows
            for rows in self._places
        ]
        self._shape = len(eras), max(map(len, self._places))
        self._constants = {
            name: np.array([era[name].constants for era in eras]).T for name in eras[0]
        }
        by_kind: dict[Kind, list[str]] = {"gauss15": ["corr"], "gauss": ["mmc", "bmc"]}
        self._kinds: list[tuple[list[str], Floats, Floats]] = []
        for kind, names in by_kind.items():
            if metrics := [name for name in names if name in eras[0]]:
                self._kinds.append((metrics, *self._padded(kind, metrics, eras)))

    def _padded(
        self, kind: Kind, metrics: list[str], eras: Sequence[Mapping[str, _Prepared]]
    ) -> tuple[Floats, Floats]:
        """Return (B, 2 * N - 1) tables, and (B, metrics, N) probes."""
        tables = np.zeros((self._shape[0], 2 * self._shape[1] - 1))
        probes = np.zeros((self._shape[0], len(metrics), self._shape[1]))
        for era, places, table, probe in zip(eras, self._places, tables, probes, strict=True):
            table[: 2 * len(places) - 1] = rank_table(kind, len(places))
            probe[:, : len(places)] = [era[name].probe for name in metrics]
        return tables, probes

    def scores(self, series: Numbers, top: float, engine: Engine) -> dict[str, Floats]:
        """Return each metric's scores in these eras."""
        block = np.full(self._shape, top)
        for row, rows, places in zip(block, self._rows, self._places, strict=True):
            row[: len(places)] = series[rows]
        several: Any = [(tables, probes, "average") for _, tables, probes in self._kinds]
        found = {}
        sums = engine.products(engine.put(block), several)
        for (metrics, _, _), products in zip(self._kinds, sums, strict=True):
            *with_probes, total, squares = products.T
            for name, with_probe in zip(metrics, with_probes, strict=True):
                found[name] = _score(name, with_probe, total, squares, self._constants[name])
        return found


def _score(
    metric: str, with_probe: Floats, sums: Floats, squares: Floats, constants: Floats
) -> Floats:
    """Return (eras,) scores, as `correlate` does and `correlation_contribution`."""
    stocks, own = constants
    if metric == "corr":
        return ratio(with_probe, np.maximum(squares - sums * sums / stocks, 0.0), own)
    return np.ldexp(with_probe / stocks, own.astype(np.int64))


def _batches(eras: list[dict[str, _Prepared]]) -> Iterator[_Batch]:
    """Yield eras in batches, the largest first, of as many values as a block of users has."""
    eras = sorted(eras, key=lambda era: len(next(iter(era.values())).places))
    while eras:
        rows = block_rows(len(next(iter(eras[-1].values())).places))
        yield _Batch(eras[-rows:])
        eras = eras[:-rows]


def _prepared(
    metric: str, where: str, rows: Mapping[str, Floats], places: Integers, engine: Engine
) -> _Prepared:
    """Return a metric in the era that has these rows, by the steps of its function.

    Raises:
        RoundError: the metric has no score there.
    """
    places = places[~np.isnan(rows["target"][0, places])]
    if not len(places):
        raise RoundError("target-missing", f"{where}: no row has a target")
    target = rows["target"][0, places]
    if metric == "corr":
        centred = take_series(target, "targets").centred().matrix[0]
        powered = centre_target(pow15(centred))[None]
        own = inner_products(powered, powered)[0, 0]
        return _Prepared(places, powered[0], (len(places), own))
    several = rows[_NEEDS[metric]][:, places]
    meta = mean_of_ranks(several, engine, where) if metric == "bmc" else several[0]
    kept = ~np.isnan(refuse_constant(meta, where))
    check_common(int(kept.sum()), {metric: len(kept)}, TWICE_DROPPED)
    scaled, power = scaled_target(target[kept], None)
    own = gaussianized(engine, meta[None, kept])
    with_target, with_itself = inner_products(own[None], np.stack([scaled, own]))[0, :2]
    # (p - m (p.m)/(m.m)).t is linear in p: one product with what the target has beyond m
    beyond = scaled - own * (with_target / with_itself)
    return _Prepared(places[kept], beyond, (len(scaled), power))


def _rows(name: str, data: Any, rows: int) -> Floats:
    """Return (K, rows) series; none where nothing is given."""
    if data is None and name != "target":
        return np.empty((0, rows))
    array = np.asarray(take_array(data, name, 1, 2), np.float64)
    if len(array) != rows or (array.ndim > 1 and name != "benchmarks"):
        raise RoundError("array-shape", f"{name}: shape {array.shape} for {rows:,} rows of eras")
    if infinite := np.count_nonzero(np.isinf(array)):
        raise RoundError("series-infinite", f"{name}: {infinite:,} of {array.size:,} values")
    return array.reshape(rows, -1).T
