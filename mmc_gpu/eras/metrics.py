"""The metrics of `evaluate`: one function and one row each."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import mmc_gpu.metrics as metrics
from mmc_gpu.engines import Engine
from mmc_gpu.engines.arrays import Floats, Ranks
from mmc_gpu.eras.columns import Columns
from mmc_gpu.eras.era import Era
from mmc_gpu.errors import RoundError
from mmc_gpu.metrics.population.book import DROPPED, Faults

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
