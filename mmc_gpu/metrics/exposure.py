"""Pearson correlations of predictions as they are: with a target, and with every feature."""

from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from mmc_gpu.engines import Engine
from mmc_gpu.engines.arrays import Array, Floats
from mmc_gpu.errors import RoundError
from mmc_gpu.metrics.correlations import centre_target
from mmc_gpu.metrics.population.book import Book, Faults
from mmc_gpu.metrics.population.cohort import Cohort
from mmc_gpu.metrics.population.ends import centred, ends_wanted, pearson
from mmc_gpu.metrics.population.panels import take_panel, take_series
from mmc_gpu.metrics.typed import correlated, scored
from mmc_gpu.rounds.algebra import ratio

if TYPE_CHECKING:
    import pandas as pd


@correlated
def pearson_correlation(
    target: Any,
    predictions: Any,
    top_bottom: int | None = None,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return Pearson correlations of predictions as they are with the target.

    Args:
        target: Series, frame of one column, or (ids,) array.
        predictions: a Series, for one number, or an (ids x users) frame or array.
        top_bottom: only over each user's so many highest and as many lowest stocks.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.

    Source: numerai_tools.scoring.pearson_correlation 0.7.2.
    """

    def score(cohort: Cohort) -> Floats:
        values = cohort.shared["target"]
        centre_target(values[0])
        if ends_wanted(top_bottom, cohort.stocks):
            return _feature_correlations(cohort, values, top_bottom)[:, 0]
        return cohort.map(partial(_correlate, cohort.engine, centred(values)))

    return Book(predictions, {"target": target}, engine).scores("corr", score, faults)


@overload
def correlation(
    live_targets: Any, predictions: "pd.Series[Any]", *, engine: str | Engine = ...
) -> float: ...
@overload
def correlation(
    live_targets: Any, predictions: Any, *, engine: str | Engine = ..., faults: Faults | None = ...
) -> Any: ...
def correlation(
    live_targets: Any,
    predictions: Any,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return `pearson_correlation` over all stocks.

    Source: numerai_tools.scoring.correlation 0.7.2.
    """
    return pearson_correlation(live_targets, predictions, engine=engine, faults=faults)


def max_feature_correlation(
    s: Any, features: Any, top_bottom: int | None = None, *, engine: str | Engine = "auto"
) -> tuple[str, float]:
    """Return the feature with the largest absolute Pearson correlation, and that correlation.

    Args:
        s: a Series or (ids,) array, as it is: not ranked.
        features: (ids x features) frame or array; constant ones are passed over.
        top_bottom: only over so many stocks where `s` is highest and as many where it is lowest.
        engine: its name, or an engine.

    Raises:
        RoundError: `s` or every feature is constant, or `s` is more than one series.

    Source: numerai_tools.scoring.max_feature_correlation 0.7.2.
    """
    faults: Faults = {}
    one = take_series(s, "s")
    names, exposures = feature_exposures(one, features, top_bottom, engine=engine, faults=faults)
    for fault in faults.values():
        raise fault
    largest = int(np.nanargmax(exposures[0]))
    return str(names[largest]), float(exposures[0, largest])


def feature_exposures(
    predictions: Any,
    features: Any,
    top_bottom: int | None = None,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> tuple[list[Any], Floats]:
    """Return the features' names, and each user's absolute Pearson correlation with each.

    Args:
        predictions: (ids x users) frame or array, as they are: not ranked.
        features: (ids x features) frame or array.
        top_bottom: only over each user's so many highest and as many lowest stocks.
        engine: its name, or an engine.
        faults: gains why users who are NaN have none, by name.

    Returns:
        Names, and (U, K) correlations; NaN for a constant feature and a user with a fault.
    """
    panel = take_panel(features, "features")
    book = Book(predictions, {"features": panel}, engine)
    exposures = np.full((len(book.panel.names), len(panel.names)), np.nan)

    def score(cohort: Cohort) -> Floats:
        found = np.abs(_feature_correlations(cohort, cohort.shared["features"], top_bottom))
        exposures[cohort.users[~cohort.skipped]] = found[~cohort.skipped]
        return np.where(np.isnan(found).all(axis=1), np.nan, 0.0)

    book.score(score)
    book.tell(faults)
    return panel.names, exposures


@scored
def exposure_dissimilarity(
    predictions: Any,
    other: Any,
    features: Any,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return 1 - u.e / e.e: 0 for exposures like another model's, above 1 for opposite ones.

    u are a user's Pearson correlations with the features, e those of the other model. Features
    that are constant are passed over.

    Args:
        predictions: (ids x users) frame or array, as they are: not ranked.
        other: the other model: Series, frame of one column, or (ids,) array.
        features: (ids x features) frame or array.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.

    Source: forum.numer.ai/t/true-contribution-details/5128/4; numerblox 1.6.1 has 0 where the
    other model has no exposure at all: it is an error here.
    """

    def score(cohort: Cohort) -> Floats:
        features = cohort.shared["features"]
        flat = centred(np.vstack([features, cohort.shared["other"]]))
        squares = np.einsum("ij,ij->i", flat, flat)
        theirs = np.nan_to_num(ratio(flat[:-1] @ flat[-1], squares[:-1], squares[-1]))
        if not theirs.any():
            raise RoundError("score-undefined", "the other model has no exposure to any feature")
        ours = np.nan_to_num(_feature_correlations(cohort, features, None))
        return 1 - np.einsum("ij,j->i", ours, theirs) / np.einsum("j,j->", theirs, theirs)

    book = Book(predictions, {"other": other, "features": features}, engine)
    return book.scores("exposure_dissimilarity", score, faults)


def _correlate(engine: Engine, target: Floats, block: Array) -> Floats:
    """Return (B,) Pearson correlations with one centred (1, N) series, in the canonical order."""
    rows = centred(engine.get(block).astype(np.float64, order="C"))
    products, _, squares = engine.inner(rows, None, target, "first").T
    return ratio(products, squares, engine.inner(target, None, target, "first")[0, 0])


def _feature_correlations(cohort: Cohort, features: Floats, top_bottom: int | None) -> Floats:
    """Return (B, K) Pearson correlations of predictions as they are with (K, N) features.

    Over all stocks, the installed BLAS forms the products, and their last bits depend on it: for
    500 features the canonical order takes 13 times as long.
    """
    count = ends_wanted(top_bottom, cohort.stocks)
    flat = centred(features)
    lengths = np.einsum("ij,ij->i", flat, flat)

    def whole(block: Array) -> Floats:
        rows = centred(cohort.engine.get(block).astype(np.float64, order="C"))
        return ratio(rows @ flat.T, np.einsum("ij,ij->i", rows, rows)[:, None], lengths)

    def at_ends(block: Array) -> Floats:
        series = cohort.engine.get(block).astype(np.float64, order="C")
        found = np.empty((len(series), len(features)))
        for row, stocks in enumerate(cohort.engine.ends(block, count)):
            end = np.broadcast_to(series[row, stocks], (len(features), 2 * count))
            found[row] = pearson(end, features[:, stocks])
        return found

    return cohort.map(at_ends if count else whole)
