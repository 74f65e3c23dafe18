"""Correlations of ranks with the target: CORR20v2, the CORR of 2020, Spearman."""

from functools import partial
from typing import Any

import numpy as np

from mmc_gpu.engines import Engine
from mmc_gpu.engines.arrays import Array, Floats, Ranks
from mmc_gpu.engines.ranked_once import once
from mmc_gpu.errors import RoundError
from mmc_gpu.metrics.population.book import DROPPED, Book, Faults
from mmc_gpu.metrics.population.cohort import Cohort, by_blocks
from mmc_gpu.metrics.population.ends import ends_wanted, pearson
from mmc_gpu.metrics.population.magnitude import near_one
from mmc_gpu.metrics.population.panels import take_series
from mmc_gpu.metrics.population.tables import pow15, rank_table
from mmc_gpu.metrics.typed import correlated, scored
from mmc_gpu.rounds.algebra import Target, ratio


@scored
def numerai_corr(
    predictions: Any,
    targets: Any,
    max_filtered_index_ratio: float = DROPPED,
    top_bottom: int | None = None,
    target_pow15: bool = True,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return every user's CORR20v2: pearson(pow15(gauss(u)), pow15(t - mean t)).

    Args:
        predictions: (ids x users) frame or array.
        targets: Series, frame of one column, or (ids,) array; its mean is that of all its ids.
        max_filtered_index_ratio: share of the ids of either that may be without the other.
        top_bottom: score each user's so many highest and as many lowest stocks only.
        target_pow15: False for returns: the target as it is.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.

    Source: numerai_tools.scoring.numerai_corr 0.7.2.
    """
    centred = take_series(targets, "targets").centred()

    def score(cohort: Cohort) -> Floats:
        target = corr_probe(cohort.engine, cohort.shared["targets"][0], target_pow15)
        return cohort.map(partial(correlate, cohort.engine, target, top_bottom))

    book = Book(predictions, {"targets": centred}, engine, max_filtered_index_ratio)
    return book.scores("corr", score, faults)


def corr_probe(engine: Engine, target: Floats, target_pow15: bool = True) -> Floats:
    """Return what CORR correlates with, (1, N), from a target less its mean, (N,)."""
    return once(
        engine,
        ("corr", target.tobytes(), target_pow15),
        lambda: centre_target(pow15(target) if target_pow15 else target)[None],
        lasting=True,
    )


def average_ranks(engine: Engine, series: Floats) -> Ranks:
    """Return the ranks of (1, N) a target or meta model, on the host; ties share theirs."""
    key, rank = ("ranks", series.tobytes()), partial(engine.rank, ties="average")
    return once(engine, key, lambda: by_blocks(engine, rank, series), lasting=True)


def correlate(engine: Engine, target: Floats, top_bottom: int | None, block: Array) -> Floats:
    """Return the Pearson correlations of pow15(gauss(u)) with a target: (B, N), (1, N) -> (B,).

    NaN where there is no spread. The target is centred; `top_bottom` is how many stocks each end
    has, or None.
    """
    stocks = target.shape[1]
    table, count = rank_table("gauss15", stocks), ends_wanted(top_bottom, stocks)
    if count:
        series = engine.transform(block, table, "average")
        return end_correlations(engine, series, target[0], count)
    with_target, sums, squares = engine.inner(block, table, target, "average").T
    spread = np.maximum(squares - sums * sums / stocks, 0.0)
    return ratio(with_target, spread, engine.inner(target, None, target, "first")[0, 0])


def end_correlations(engine: Engine, series: Array, target: Floats, count: int) -> Floats:
    """Return the Pearson correlations with a target over each row's ends: (B, N) -> (B,)."""
    places = engine.ends(series, count)
    return pearson(np.take_along_axis(engine.get(series), places, axis=1), target[places])


def centre_target(target: Floats) -> Floats:
    """Return a target, near 1, less its mean.

    Raises:
        RoundError: it is constant.
    """
    target = near_one(check_varied(target))
    return target - target.mean()


def check_varied(target: Floats) -> Floats:
    """Return a target as it is.

    Raises:
        RoundError: it is constant.
    """
    if target.min() == target.max():
        raise RoundError("target-constant", f"all {len(target):,} scored targets are {target[0]}")
    return target


@correlated
def tie_broken_rank_correlation(
    target: Any, predictions: Any, *, engine: str | Engine = "auto", faults: Faults | None = None
) -> Any:
    """Return the CORR of 2020: Pearson of ordinal ranks, ties in order of the ids, and the target.

    Args:
        target: Series, frame of one column, or (ids,) array.
        predictions: a Series, for one number, or an (ids x users) frame or array.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.

    Source: numerai_tools.scoring.tie_broken_rank_correlation 0.7.2.
    """

    def score(cohort: Cohort) -> Floats:
        given = check_varied(cohort.shared["target"][0])
        key = "limbs", given.tobytes()
        limbs = once(cohort.engine, key, lambda: Target.of("target", given), lasting=True)
        moments = cohort.map(lambda block: cohort.engine.moments(block, limbs.limbs, "first"))
        return ratio(limbs.product(moments), moments[:, -1], limbs.variance)

    return Book(predictions, {"target": target}, engine).scores("corr", score, faults)


@correlated
def spearman_correlation(
    target: Any, predictions: Any, *, engine: str | Engine = "auto", faults: Faults | None = None
) -> Any:
    """Return Spearman correlations, ties sharing their rank: exact but for the last division.

    Args:
        target: Series, frame of one column, or (ids,) array.
        predictions: a Series, for one number, or an (ids x users) frame or array.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.

    Source: numerai_tools.scoring.spearman_correlation 0.7.2.
    """

    def score(cohort: Cohort) -> Floats:
        engine, given = cohort.engine, check_varied(cohort.shared["target"][0])[None]
        ranks = average_ranks(engine, given)
        products, squares = cohort.map(lambda block: engine.moments(block, ranks, "average")).T
        return ratio(products, squares, int(np.square(ranks, dtype=np.int64).sum()))

    return Book(predictions, {"target": target}, engine).scores("corr", score, faults)
