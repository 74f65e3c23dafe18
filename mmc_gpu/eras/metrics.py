"""The metrics of `evaluate`: one function, which is in `mmc_gpu.metrics`, and one row here each.

The plan and the docstring of `evaluate` and the help of `mmc-gpu evaluate` are made from the rows;
tests/eras/metric_table.py writes README's table from them. `mmc-gpu --help` imports this module, so
nothing heavy stands at its top.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from mmc_gpu.engines.arrays import Floats
    from mmc_gpu.eras.columns import Columns
    from mmc_gpu.eras.era import Era

Need = Literal["target", "meta_model", "benchmarks", "features", "previous era"]
"""What a metric needs: columns of the data; or the predictions in the era before."""


class Metric(NamedTuple):
    """One metric.

    Attributes:
        name: what callers ask for.
        needs: what must be given; a metric that needs the previous era has no score in the first.
        better: whether a higher or a lower score is better, or neither.
        return_like: whether scores add up over eras as returns do, so that they have a Sharpe ratio
            and a drawdown. Exposures, correlations with other models and churn do not.
        score: takes `mmc_gpu.metrics`, whose import needs NumPy, an `Era`, `engine=` and `faults=`.
            Returns the models' scores in the era: (U,), NaN where the faults say why. Where the
            metric needs the target, the era has only the rows with a target. Where there is
            `each`, it also takes `benchmark=`, a name.
        sentence: what the metric is, and its function in `mmc_gpu.metrics`; with a period.
        each: name of the score against each benchmark, with {} for the benchmark's name; "" if
            there is one score for all.
        asked: whether the metric is computed only where it is named.
    """

    name: str
    needs: tuple[Need, ...]
    better: Literal["higher", "lower", "neither"]
    return_like: bool
    score: "Callable[..., Floats]"
    sentence: str
    each: str = ""
    asked: bool = False

    @property
    def line(self) -> str:
        """Return the row as a line of a docstring."""
        told = self.needs + (("only where named",) if self.asked else ())
        each = f", {self.each.format('NAME')} each" if self.each else ""
        return f"{self.name}{each}: {self.sentence}" + (f" ({', '.join(told)})" if told else "")


def planned(names: Sequence[str] | None, columns: "Columns") -> dict[str, Metric]:
    """Return what is computed in each era, by the names of the scores.

    Args:
        names: metrics; None for all that there is data for, without those that must be asked for.
        columns: the columns of the data.

    Raises:
        ValueError: a metric is unknown, or lacks data.
    """
    given = {*columns.given, "previous era"}
    if names is None:
        usual = [metric for metric in METRICS.values() if not metric.asked]
        names = [metric.name for metric in usual if given.issuperset(metric.needs)]
    plan: dict[str, Metric] = {}
    for name in names:
        if name not in METRICS:
            raise ValueError(f"no metric {name!r}; there are {', '.join(METRICS)}")
        metric = METRICS[name]
        if lacking := [need for need in metric.needs if need not in given]:
            raise ValueError(f"metric {name}: give {' and '.join(lacking)}")
        if metric.each:
            for benchmark in columns.benchmarks:
                score = partial(metric.score, benchmark=benchmark)
                plan[metric.each.format(benchmark)] = metric._replace(score=score)
        else:
            plan[name] = metric
    if not plan:
        raise ValueError("nothing to compute: give a target, a meta model or features")
    return plan


def _largest_exposure(metrics: Any, era: "Era", **how: Any) -> "Floats":
    import numpy as np

    _, exposures = metrics.feature_exposures(era.models, era.features, **how)
    return np.fmax.reduce(exposures, axis=1)  # NaN where a model has no exposure at all


_ROWS = (
    Metric("corr", ("target",), "higher", True,
           lambda metrics, era, **how: metrics.numerai_corr(era.models, era.target, **how),
           "Numerai's correlation with the target: `numerai_corr`."),
    Metric("mmc", ("target", "meta_model"), "higher", True,
           lambda metrics, era, **how: metrics.correlation_contribution(
               era.models, era.meta_model, era.target, **how),
           "Contribution to the meta model, today's MMC: `correlation_contribution`."),
    Metric("bmc", ("target", "benchmarks"), "higher", True,
           lambda metrics, era, engine, **how: metrics.correlation_contribution(
               era.models, era.benchmark_mean(engine), era.target, engine=engine, **how),
           "Contribution to the mean of the benchmarks' ranks: `correlation_contribution`."),
    Metric("bmc_each", ("target", "benchmarks"), "higher", True,
           lambda metrics, era, benchmark, **how: metrics.correlation_contribution(
               era.models, era.varied(benchmark), era.target, **how),
           "Contribution to each benchmark: `correlation_contribution`.", each="bmc_{}"),
    Metric("fnc", ("target", "features"), "higher", True,
           lambda metrics, era, **how: metrics.feature_neutral_corr(
               era.models, era.features, era.target, **how),
           "Correlation once neutralized to the features: `feature_neutral_corr`."),
    Metric("corr20", ("target",), "higher", True,
           lambda metrics, era, **how: metrics.tie_broken_rank_correlation(
               era.target, era.models, **how),
           "Correlation of ranks, ties broken by id: `tie_broken_rank_correlation`."),
    Metric("spearman", ("target",), "higher", True,
           lambda metrics, era, **how: metrics.spearman_correlation(era.target, era.models, **how),
           "Correlation of ranks, ties share theirs: `spearman_correlation`."),
    Metric("cwmm", ("meta_model",), "neither", False,
           lambda metrics, era, **how: metrics.cwmm(era.models, era.meta_model, **how),
           "Correlation with the meta model: `cwmm`."),
    Metric("corr_with", ("benchmarks",), "neither", False,
           lambda metrics, era, benchmark, **how: metrics.spearman_correlation(
               era.varied(benchmark), era.models, **how),
           "Correlation of ranks with each benchmark: `spearman_correlation`.",
           each="corr_with_{}"),
    Metric("max_feature_exposure", ("features",), "lower", False, _largest_exposure,
           "Largest absolute correlation with a feature: `feature_exposures`."),
    Metric("neutral_corr", ("target", "features"), "higher", True,
           lambda metrics, era, **how: metrics.neutral_correlation(
               era.models, era.features, era.target, **how),
           "Pearson's, once neutralized to the features: `neutral_correlation`.", asked=True),
    Metric("neutral_mmc", ("target", "meta_model", "features"), "higher", True,
           lambda metrics, era, **how: metrics.neutral_contribution(
               era.models, era.meta_model, era.features, era.target, **how),
           "Contribution, both neutralized to the features: `neutral_contribution`.", asked=True),
    Metric("mcwnm", (), "neither", False,
           lambda metrics, era, **how: metrics.mcwnm(era.models, **how),
           "Largest correlation with another model: `mcwnm`.", asked=True),
    Metric("apcwnm", (), "neither", False,
           lambda metrics, era, **how: metrics.apcwnm(era.models, **how),
           "Mean correlation with the other models: `apcwnm`.", asked=True),
    Metric("churn", ("previous era",), "lower", False,
           lambda metrics, era, **how: metrics.churn(era.before, era.models, **how),
           "1 - Spearman with the era before, over the ids in both eras: `churn`.", asked=True),
)  # fmt: skip

METRICS = {metric.name: metric for metric in _ROWS}
"""The metrics by name, in the order of the help and of the results."""
