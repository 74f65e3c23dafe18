"""Contributions to the meta model: today's MMC and BMC, and the neutralized one."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from mmc_gpu.engines import GROUP, Engine, load_engine
from mmc_gpu.engines.arrays import Array, Floats, value_count
from mmc_gpu.engines.ranked_once import once
from mmc_gpu.errors import RoundError, real
from mmc_gpu.metrics.correlations import average_ranks, centre_target
from mmc_gpu.metrics.neutral import Neutralizer, neutralizer_of
from mmc_gpu.metrics.population.book import DROPPED, Book, Faults, aligned
from mmc_gpu.metrics.population.cohort import Cohort, by_blocks
from mmc_gpu.metrics.population.ends import ends_wanted
from mmc_gpu.metrics.population.magnitude import exponents, near_one, scaled
from mmc_gpu.metrics.population.panels import take_panel, take_series
from mmc_gpu.metrics.population.tables import rank_table
from mmc_gpu.metrics.typed import scored

if TYPE_CHECKING:
    import pandas as pd

TWICE_DROPPED = 1 - (1 - DROPPED) ** 2
"""numerai-tools filters the inputs of its contribution twice, each time by up to a fifth."""

_BINS = 12  # targets of 5 and of 7 bins are multiples of a quarter or a sixth, and so of a twelfth

_ROUNDED = 1e-2
"""Twelfths that a bin may be off: a sixth as float16, or written as 0.167, is off by 4e-3."""


@scored
def correlation_contribution(
    predictions: Any,
    meta_model: Any,
    live_targets: Any,
    top_bottom: int | None = None,
    *,
    target_scale: float | None = None,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return every user's MMC of today; against the benchmarks' meta model, BMC.

    With `p = gauss(u)` and `m = gauss(meta_model)`, `(p - m (p.m)/(m.m)).t / N`: all of it follows
    from p.t and p.m. A copy of the meta model scores exactly 0.

    Args:
        predictions: (ids x users) frame or array.
        meta_model: Series, frame of one column, or (ids,) array.
        live_targets: the same.
        top_bottom: score each user's so many highest and as many lowest residuals only.
        target_scale: what targets are multiplied by; None for 4 if they are 5 or 7 bins from 0 to
            1, else for 1.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.

    Source: numerai_tools.scoring.correlation_contribution 0.7.2.
    """

    def score(cohort: Cohort) -> Floats:
        target, power = _scaled(cohort, target_scale)
        meta = _gaussianized(cohort)
        count = ends_wanted(top_bottom, cohort.stocks)
        ends = _over_ends(cohort, meta, target, count, None)
        return scaled(cohort.map(ends if count else _over_all(cohort, meta, target)), power)

    shared = {"meta_model": meta_model, "live_targets": live_targets}
    book = Book(predictions, shared, engine, TWICE_DROPPED, DROPPED)
    return book.scores("mmc", score, faults)


@overload
def contribution_scores(
    neutral_preds: Any,
    live_targets: Any,
    predictions: "pd.DataFrame",
    top_bottom: int | None = ...,
    *,
    target_scale: float | None = ...,
    engine: str | Engine = ...,
) -> "pd.Series[float]": ...
@overload
def contribution_scores(
    neutral_preds: Any, live_targets: Any, predictions: Any, *args: Any, **options: Any
) -> Any: ...
def contribution_scores(
    neutral_preds: Any,
    live_targets: Any,
    predictions: Any,
    top_bottom: int | None = None,
    *,
    target_scale: float | None = None,
    engine: str | Engine = "auto",
) -> Any:
    """Return the contributions of predictions that are orthogonal to the meta model already.

    Args:
        neutral_preds: (ids x users) frame or array, users in the order of `predictions`; whoever
            lacks one gets NaN.
        live_targets: Series, frame of one column, or (ids,) array.
        predictions: (ids x users) frame or array, for their ids, order and users alone.
        top_bottom: score each user's so many highest and as many lowest stocks only.
        target_scale: as for `correlation_contribution`.
        engine: its name, or an engine.

    Raises:
        RoundError: shapes differ, or a stock has no target.

    Source: numerai_tools.scoring.contribution_scores 0.7.2.
    """
    panel = take_panel(predictions, "predictions")
    residuals = aligned(take_panel(neutral_preds, "neutral_preds"), panel)
    target = aligned(take_series(live_targets, "live_targets"), panel)[0]
    if residuals.shape != panel.matrix.shape:
        shapes = f"neutral_preds {residuals.T.shape}, predictions {panel.matrix.T.shape}"
        raise RoundError("array-shape", shapes)
    if np.isnan(target).any() or not len(target):
        missing = f"live_targets: {np.isnan(target).sum():,} of {len(target):,} stocks have none"
        raise RoundError("target-missing", missing)
    order, count = panel.order(), ends_wanted(top_bottom, len(target))
    target, power = scaled_target(target[order], target_scale)
    loaded = load_engine(engine, work=value_count(residuals))

    def score(block: Array) -> Floats:
        if count:
            return _at_ends(loaded, block, target, count)
        return loaded.inner(block, None, target[None], "average")[:, 0] / len(target)

    rows = np.ascontiguousarray(residuals[:, order])
    gaps: Any = np.isnan(rows).any(axis=1)  # engines rank no NaN
    found = by_blocks(loaded, score, near_one(np.where(gaps[:, None], 0.0, rows)))
    found[gaps] = np.nan
    return panel.scores(scaled(found, power + exponents(rows)[:, 0]), "mmc")


@scored
def neutral_contribution(
    predictions: Any,
    meta_model: Any,
    neutralizers: Any,
    live_targets: Any,
    top_bottom: int | None = None,
    *,
    target_scale: float | None = None,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return every user's contribution after neutralizing both gauss(u) and the meta model.

    Neutralization is a symmetric projection: it can be applied to the target and the meta model
    once instead of to every user. Only `top_bottom` needs the users' residuals. Each distinct
    pattern of gaps in predictions is factorised anew.

    Args:
        predictions: (ids x users) frame or array.
        meta_model: Series, frame of one column, or (ids,) array.
        neutralizers: (ids x features) frame or array; they may depend on each other.
        live_targets: as `meta_model`.
        top_bottom: score each user's so many highest and as many lowest residuals only.
        target_scale: as for `correlation_contribution`.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.

    Source: numerai_tools.scoring.neutral_contribution 0.7.2.
    """

    def score(cohort: Cohort) -> Floats:
        engine = cohort.engine
        neutralizer = neutralizer_of(neutralizers, cohort.shared["neutralizers"], engine)
        target, power = _scaled(cohort, target_scale)
        both = engine.put(np.stack([_gaussianized(cohort), target]))
        meta, neutral_target = engine.get(neutralizer.residual(both))
        if not meta.any():
            raise RoundError("score-undefined", "nothing is left of the meta model")
        if count := ends_wanted(top_bottom, cohort.stocks):
            ends = _over_ends(cohort, meta, target, count, neutralizer)
            return scaled(cohort.map(ends, GROUP), power)
        return scaled(cohort.map(_over_all(cohort, meta, neutral_target)), power)

    shared = {"meta_model": meta_model, "neutralizers": neutralizers, "live_targets": live_targets}
    return Book(predictions, shared, engine).scores("neutral_mmc", score, faults)


def scaled_target(target: Floats, scale: float | None) -> tuple[Floats, int]:
    """Return a target less its mean, times the scale, near 1; and the power of two that it lacks.

    numerai-tools multiplies whatever lies in [0, 1] by 4. Its targets are bins there, and meant
    to become -2 to 2; but returns that all happen to lie there would score 4 times as much as the
    same returns less 0.1.

    The scale None is 4 if they are 5 or 7 bins from 0 to 1, else 1.

    Raises:
        RoundError: the target is constant.
    """
    usual = 4.0 if _is_binned(target) else 1.0
    scale = usual if scale is None else real("target_scale", scale)
    return centre_target(target * scale), int(exponents(target * scale)[0])


def _is_binned(target: Floats) -> bool:
    """Return whether a target is 5 or 7 bins from 0 to 1, and each of them has one value.

    Quarters are exact in every format. Of returns that lie near bins, several lie near the same.
    """
    values = np.unique(target)
    bins = np.rint(np.clip(values, 0, 1) * _BINS)
    on_grid = np.abs(values - bins / _BINS) <= np.where(bins % 3, _ROUNDED / _BINS, 0.0)
    return bool(on_grid.all() and np.diff(bins).all())


def _scaled(cohort: Cohort, scale: float | None) -> tuple[Floats, int]:
    target = cohort.shared["live_targets"][0]
    key = "scaled", target.tobytes(), scale
    return once(cohort.engine, key, lambda: scaled_target(target, scale), lasting=True)


def _gaussianized(cohort: Cohort) -> Floats:
    meta = cohort.shared["meta_model"]
    key = "gaussianized", meta.tobytes()
    return once(cohort.engine, key, lambda: gaussianized(cohort.engine, meta), lasting=True)


def gaussianized(engine: Engine, meta: Floats) -> Floats:
    """Return a (1, N) meta model's ranks, gaussianized: (N,).

    Raises:
        RoundError: it is constant.
    """
    table = rank_table("gauss", meta.shape[1])
    if meta.min() == meta.max():
        equal = f"all {meta.shape[1]:,} scored values are {meta[0, 0]}"
        raise RoundError("meta-model-constant", equal)
    return engine.get(engine.transform(average_ranks(engine, meta), table, "average"))[0]


def _over_all(cohort: Cohort, meta: Floats, target: Floats) -> Callable[[Array], Floats]:
    """Return what gives a block's contributions over all stocks."""
    table, key = rank_table("gauss", cohort.stocks), ("over", meta.tobytes(), target.tobytes())
    probes = once(cohort.engine, key, lambda: np.stack([target, meta]), lasting=True)
    meta_target, meta_meta = cohort.engine.inner(meta[None], None, probes, "first")[0, :2]

    def contribution(block: Array) -> Floats:
        with_target, with_meta = cohort.engine.inner(block, table, probes, "average").T[:2]
        # the slope first: a copy of the meta model has slope 1, and scores exactly 0
        return (with_target - with_meta / meta_meta * meta_target) / cohort.stocks

    return contribution


def _over_ends(
    cohort: Cohort, meta: Floats, target: Floats, count: int, neutralizer: Neutralizer | None
) -> Callable[[Array], Floats]:
    """Return what gives a block's contributions over each user's lowest and highest residuals."""
    table, engine = rank_table("gauss", cohort.stocks), cohort.engine
    meta_meta = engine.inner(meta[None], None, meta[None], "first")[0, 0]

    def contribution(block: Array) -> Floats:
        series = (
            neutralizer.ranks(block) if neutralizer else engine.transform(block, table, "average")
        )
        slope = engine.inner(series, None, meta[None], "average")[:, :1] / meta_meta
        # not series - slope * meta, the same bits: this way the sum takes the product's place
        return _at_ends(engine, engine.put(-slope) * engine.put(meta[None]) + series, target, count)

    return contribution


def _at_ends(engine: Engine, residuals: Array, target: Floats, count: int) -> Floats:
    """Return (B, N) residuals' contributions over the lowest and highest of each row."""
    places = engine.ends(residuals, count)
    products = np.take_along_axis(engine.get(residuals), places, axis=1) * target[places]
    return products.sum(axis=1) / (2 * count)
