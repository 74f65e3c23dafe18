"""The metrics of `evaluate`: one function, which is in `mmc_gpu.metrics`, and one row here each.

A round is one era: the same rows, and two that eras lack data for, are its further scores. The plan
and the docstring of `evaluate` and the help of `mmc-gpu evaluate` are made from the rows;
tests/eras/metric_table.py writes the table in README.md, beside this file. `mmc-gpu --help` imports
this module, so nothing heavy stands at its top.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.options import LEAVE_ONE_OUT

if TYPE_CHECKING:
    from mmc_gpu.engines.arrays import Floats
    from mmc_gpu.eras.columns import Columns
    from mmc_gpu.eras.era import Era

Need = Literal[
    "target", "meta_model", "benchmarks", "features", "previous era", "neutralizers", "weights"
]
"""What a metric needs: columns of the data; or the predictions in the era before."""


class Metric(NamedTuple):
    """One metric."""

    name: str  # what callers of `evaluate` ask for
    function: str  # its function in `mmc_gpu.metrics`
    # what must be given; a metric that needs the previous era has no score in the first
    needs: tuple[Need, ...]
    better: Literal["higher", "lower", "neither"]  # whether a higher or a lower score is better
    # whether scores add up over eras as returns do, so that they have a Sharpe ratio and a
    # drawdown; exposures, correlations with other models and churn do not
    return_like: bool
    # Takes `mmc_gpu.metrics`, whose import needs NumPy, an `Era`, `engine=` and `faults=`. Returns
    # the models' scores in the era: (U,), NaN where the faults say why. Where the metric needs the
    # target, the era has only the rows with a target. Where there is `each`, it also takes
    # `benchmark=`, a name.
    score: "Callable[..., Floats]"
    what: str  # what the metric is, without a period
    # the name of the score against each benchmark, with {} for the benchmark's name; "" if there is
    # one score for all
    each: str = ""
    asked: bool = False  # whether the metric is computed only where it is named
    compares: bool = False  # whether scores depend on the other users: all are needed at once
    ends: int = 0  # of how many of a model's highest and lowest stocks each; 0 for all stocks

    @property
    def before(self) -> bool:
        """Return whether the metric needs the era before."""
        return "previous era" in self.needs

    @property
    def sentence(self) -> str:
        """Return what the metric is, and its function."""
        return f"{self.what}: `{self.function}`."

    @property
    def round_name(self) -> str:
        """Return the name for a round: the function's; against benchmarks, that of the row."""
        return self.name if "benchmarks" in self.needs else self.function

    @property
    def line(self) -> str:
        """Return the row as a line of a docstring."""
        told = self.needs + (("only where named",) if self.asked else ())
        return self._line(self.name, self.sentence, told)

    @property
    def round_line(self) -> str:
        """Return the row as a line of a docstring about rounds."""
        told = [need for need in self.needs if need not in ("target", "meta_model")]
        return self._line(self.round_name, f"{self.what}.", told)

    def at_ends(self, count: int) -> "Metric":
        """Return the metric over so many of each model's highest stocks and of its lowest."""
        return self._replace(
            name=f"{self.name}_tb{count}",
            score=partial(self.score, top_bottom=count),
            what=f"{self.what}, over the {count} highest and the {count} lowest",
            asked=True,
            ends=count,
        )

    def _line(self, name: str, sentence: str, told: Sequence[str]) -> str:
        each = f", {self.each.format('NAME')} each" if self.each else ""
        return f"{name}{each}: {sentence}" + (f" ({', '.join(told)})" if told else "")

    def plan(self, name: str, benchmarks: Sequence[Any]) -> "dict[str, Metric]":
        """Return the metric by its score's name; if it has `each`, one for each benchmark."""
        if not self.each:
            return {name: self}
        scores = {each: partial(self.score, benchmark=each) for each in benchmarks}
        return {self.each.format(each): self._replace(score=scores[each]) for each in scores}


def planned(names: "Sequence[str | Metric] | None", columns: "Columns") -> dict[str, Metric]:
    """Return what is computed in each era, by the names of the scores.

    Rows of one's own may stand among the names. None stands for all that there is data for, without
    those that must be asked for.

    Raises:
        ValueError: a metric is unknown, or lacks data.
    """
    given = {*columns.given, "previous era"}
    if names is None:
        usual = [metric for metric in METRICS.values() if not metric.asked]
        names = [metric.name for metric in usual if given.issuperset(metric.needs)]
    plan: dict[str, Metric] = {}
    for name in names:
        metric = name if isinstance(name, Metric) else METRICS.get(name)
        if metric is None:
            raise ValueError(f"no metric {name!r}; there are {', '.join(METRICS)}")
        if lacking := [need for need in metric.needs if need not in given]:
            raise ValueError(f"metric {metric.name}: give {' and '.join(lacking)}")
        found = metric.plan(metric.name, columns.benchmarks)
        if metric is name and found.keys() & plan:
            raise ValueError(f"metrics: two are called {metric.name}")
        plan |= found
    if not plan:
        raise ValueError("nothing to compute: give a target, a meta model or features")
    return plan


def round_metrics(names: Sequence[str]) -> list[Metric]:
    """Return the rows of a round's further scores, each once; those that are no metrics are not.

    Raises:
        ValueError: there is no such score.
    """
    known = [BOOTSTRAP, *ROUND_METRICS]
    if isinstance(names, str):
        raise ValueError(f"scores: give a list of names, not {names!r}")
    if unknown := [name for name in names if name not in (*known, LEAVE_ONE_OUT)]:
        raise ValueError(f"no score {shown(unknown)}; there are {', '.join(known)}")
    return [ROUND_METRICS[name] for name in dict.fromkeys(names) if name in ROUND_METRICS]


def planned_for_round(
    rows: Sequence[Metric], given: Mapping[Any, Sequence[Any]]
) -> dict[str, Metric]:
    """Return what is computed of a round, by the names of the scores.

    `given` has the names of the series that are given, by `Need`.

    Raises:
        RoundError: a score lacks data, or would be called as a column of the bootstrap is.
    """
    plan: dict[str, Metric] = {}
    for row in rows:
        if lacking := " and ".join(need for need in row.needs if need not in given):
            where = "a file of that name in the round's folder, or an argument"
            raise RoundError("series-missing", f"score {row.round_name}: give {lacking}, {where}")
        plan |= row.plan(row.round_name, given.get("benchmarks", ()))
    if "corr_with_meta_model" in plan:
        detail = "the bootstrap has a column corr_with_meta_model; call that benchmark otherwise"
        raise RoundError("header-duplicate", detail)
    return plan


def _largest_exposure(metrics: Any, era: "Era", **how: Any) -> "Floats":
    import numpy as np

    _, exposures = metrics.feature_exposures(era.models, era.features, **how)
    return np.fmax.reduce(exposures, axis=1)  # NaN where a model has no exposure at all


def _churn(metrics: Any, era: "Era", top_bottom: int | None = None, **how: Any) -> "Floats":
    from mmc_gpu.metrics.population.ends import ends_wanted

    before = era.before
    ends_wanted(top_bottom, min(era.rows, before.matrix.shape[1]))  # metrics.churn takes fewer
    return metrics.churn(before, era.models, top_bottom, **how)


_ROWS = (
    Metric("corr", "numerai_corr", ("target",), "higher", True,
           lambda metrics, era, **how: metrics.numerai_corr(era.models, era.target, **how),
           "Numerai's correlation with the target"),
    Metric("mmc", "correlation_contribution", ("target", "meta_model"), "higher", True,
           lambda metrics, era, **how: metrics.correlation_contribution(
               era.models, era.meta_model, era.target, **how),
           "Contribution to the meta model, today's MMC"),
    Metric("bmc", "correlation_contribution", ("target", "benchmarks"), "higher", True,
           lambda metrics, era, engine, **how: metrics.correlation_contribution(
               era.models, era.benchmark_mean(engine), era.target, engine=engine, **how),
           "Contribution to the plain mean of the benchmarks' ranks (leaderboard: with stakes)"),
    Metric("bmc_each", "correlation_contribution", ("target", "benchmarks"), "higher", True,
           lambda metrics, era, benchmark, **how: metrics.correlation_contribution(
               era.models, era.varied(benchmark), era.target, **how),
           "Contribution to each benchmark (diagnostics: the one with the highest stake)",
           each="bmc_{}"),
    Metric("fnc", "feature_neutral_corr", ("target", "features"), "higher", True,
           lambda metrics, era, **how: metrics.feature_neutral_corr(
               era.models, era.features, era.target, **how),
           "Correlation once neutralized to the features"),
    Metric("corr20", "tie_broken_rank_correlation", ("target",), "higher", True,
           lambda metrics, era, **how: metrics.tie_broken_rank_correlation(
               era.target, era.models, **how),
           "Correlation of ranks, ties broken by id"),
    Metric("spearman", "spearman_correlation", ("target",), "higher", True,
           lambda metrics, era, **how: metrics.spearman_correlation(era.target, era.models, **how),
           "Correlation of ranks, ties share theirs"),
    Metric("cwmm", "cwmm", ("meta_model",), "neither", False,
           lambda metrics, era, **how: metrics.cwmm(era.models, era.meta_model, **how),
           "Correlation with the meta model"),
    Metric("corr_with", "spearman_correlation", ("benchmarks",), "neither", False,
           lambda metrics, era, benchmark, **how: metrics.spearman_correlation(
               era.varied(benchmark), era.models, **how),
           "Correlation of ranks with each benchmark",
           each="corr_with_{}"),
    Metric("max_feature_exposure", "max_feature_correlation", ("features",), "lower", False,
           _largest_exposure, "Largest absolute correlation with a feature"),
    Metric("legacy_mmc", "legacy_contribution", ("target", "meta_model"), "higher", True,
           lambda metrics, era, **how: metrics.legacy_contribution(
               era.models, era.meta_model, era.target, **how),
           "Contribution of 2020, to the meta model instead of draws", asked=True),
    Metric("exposure_dissimilarity", "exposure_dissimilarity", ("benchmarks", "features"),
           "neither", False,
           lambda metrics, era, benchmark, **how: metrics.exposure_dissimilarity(
               era.models, era.varied(benchmark), era.features, **how),
           "1 - likeness of the exposures to those of each benchmark",
           each="exposure_dissimilarity_{}", asked=True),
    Metric("neutral_corr", "neutral_correlation", ("target", "features"), "higher", True,
           lambda metrics, era, **how: metrics.neutral_correlation(
               era.models, era.features, era.target, **how),
           "Pearson's, once neutralized to the features", asked=True),
    Metric("neutral_mmc", "neutral_contribution", ("target", "meta_model", "features"),
           "higher", True,
           lambda metrics, era, **how: metrics.neutral_contribution(
               era.models, era.meta_model, era.features, era.target, **how),
           "Contribution, both neutralized to the features", asked=True),
    Metric("mcwnm", "mcwnm", (), "neither", False,
           lambda metrics, era, **how: metrics.mcwnm(era.models, **how),
           "Largest correlation with another model", asked=True, compares=True),
    Metric("apcwnm", "apcwnm", (), "neither", False,
           lambda metrics, era, **how: metrics.apcwnm(era.models, **how),
           "Mean correlation with the other models", asked=True, compares=True),
    Metric("churn", "churn", ("previous era",), "lower", False,
           _churn,
           "1 - Spearman with the era before, over the ids in both eras", asked=True),
)  # fmt: skip

_CHURN_AT_ENDS = _ROWS[-1]._replace(what="Share of names that are new since the era before")
_AT_ENDS = tuple(row.at_ends(count) for row in (*_ROWS[:2], _CHURN_AT_ENDS) for count in (200, 500))
"""CORR, MMC and churn over the top and bottom, named after numerblox's tb200 and tb500."""

LARGEST = 1e75  # scores are smaller: sums of their fourth powers are float64
METRICS = {metric.name: metric for metric in (*_ROWS, *_AT_ENDS)}
"""The metrics by name, in the order of the help and of the results."""

_OF_ROUNDS = (
    Metric("alpha", "alpha", ("target", "neutralizers", "weights"), "higher", True,
           lambda metrics, era, **how: metrics.alpha(
               era.models, era.neutralizers, era.weights, era.target, **how),
           "Neutral portfolio times the centred target"),
    Metric("mpc", "meta_portfolio_contribution", ("target", "neutralizers", "weights"),
           "higher", True,
           lambda metrics, era, **how: metrics.meta_portfolio_contribution(
               era.models, era.stakes, era.neutralizers, era.weights, era.target, **how),
           "Contribution to the stake-weighted portfolio", compares=True),
)  # fmt: skip


def metric_of(score: str, benchmarks: Sequence[str]) -> Metric:
    """Return the metric of a score, by its name in the results: `bmc_NAME` is one of `bmc_each`.

    A score that is in no row, one's own, is taken for a return: the more, the better.
    """
    for name, row in METRICS.items():
        if score in row.plan(name, benchmarks):
            return row
    return Metric(score, "", (), "higher", True, METRICS["corr"].score, "A score of one's own")


BOOTSTRAP = "bootstrap"  # the score that every round has: MMC, CORR and what stands beside them

ROUND_METRICS = {
    row.round_name: row
    for row in (*METRICS.values(), *_OF_ROUNDS)
    if "previous era" not in row.needs and not row.ends
}
"""A round's further scores, by what callers ask for. There is no round before, and so no churn."""
