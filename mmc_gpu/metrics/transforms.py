"""Transforms of whole tables, column by column: ranks, quantiles, powers and scalings.

What comes as a frame, a Series or an array goes as one, in the same order; missing stays missing.
A column that holds no numbers is an error.

Source: the functions of numerai_tools.scoring 0.7.2 that have the same names.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mmc_gpu.engines import Engine, load_engine
from mmc_gpu.engines.arrays import Floats, on_host, value_count
from mmc_gpu.engines.lanes import inner_products
from mmc_gpu.inputs.frames import take_array
from mmc_gpu.inputs.options import check_option
from mmc_gpu.metrics.neutral import neutralize
from mmc_gpu.metrics.population.book import Faults
from mmc_gpu.metrics.population.cohort import by_blocks
from mmc_gpu.metrics.population.magnitude import exponents, near_one, scaled
from mmc_gpu.metrics.population.panels import Panel, take_panel
from mmc_gpu.metrics.population.tables import pow15, quantile, rank_table
from mmc_gpu.metrics.typed import Data

if TYPE_CHECKING:
    import pandas as pd

RankMethod = Literal["average", "min", "max", "first", "dense"]


def rank(s: Data, method: RankMethod = "average", *, engine: str | Engine = "auto") -> Data:
    """Return each column's percentile ranks, `(rank - 0.5) / count`.

    Args:
        s: frame, Series or array; ids in any order.
        method: equal values share their mean ("average"), least ("min") or greatest ("max") rank,
            rank in order of their ids ("first"), or without gaps ("dense").
        engine: its name, or an engine.

    Raises:
        RoundError: a column holds no numbers.
        ValueError: there is no such method.

    Source: numerai_tools.scoring.rank 0.7.2.
    """
    panel = _taken(s)
    return panel.like(ranks(panel, method, engine))


def ranks(panel: Panel, method: RankMethod, engine: str | Engine) -> Floats:
    """Return `rank` of a panel: (U, M), NaN where a value is missing or a series has a fault."""
    check_option("method", method, RankMethod)
    order = panel.order() if method == "first" else np.arange(panel.matrix.shape[1])
    series = np.asarray(panel.matrix, order="C")[:, order]
    ranked = np.empty(series.shape)
    whole = np.isfinite(series).all(axis=1)
    if method in ("average", "first") and whole.any():
        loaded = load_engine(engine, work=value_count(series))
        table = rank_table("uniform", series.shape[1])
        look_up = partial(loaded.transform, table=table, ties=method)
        ranked[whole] = by_blocks(loaded, look_up, series[whole])
    else:
        whole[:] = False
    if not whole.all():
        import pandas as pd

        rest = pd.DataFrame(series[~whole].T)
        ranked[~whole] = ((rest.rank(method=method) - 0.5) / rest.count()).to_numpy().T
    result = np.empty(ranked.shape)
    result[:, order] = ranked
    return result


def rank_series(s: Data, method: RankMethod = "average", *, engine: str | Engine = "auto") -> Data:
    """Return `rank` of one series."""
    return rank(s, method, engine=engine)


def tie_broken_rank(df: Data, *, engine: str | Engine = "auto") -> Data:
    """Return `rank`, ties in order of their ids."""
    return rank(df, "first", engine=engine)


def tie_kept_rank(s: Data, *, engine: str | Engine = "auto") -> Data:
    """Return `rank`, ties sharing theirs."""
    return rank(s, "average", engine=engine)


def gaussian(df: Data) -> Data:
    """Return the normal quantile of each value in (0, 1)."""
    return _by_column(df, quantile)


def power(df: Data, p: float) -> Data:
    """Return each value to the power p, with its sign; 1.5 by way of a square root."""
    return _by_column(df, pow15 if p == 1.5 else lambda frame: np.sign(frame) * frame.abs() ** p)


def center(s: Data) -> Data:
    """Return each column less its mean."""
    return _by_column(s, lambda frame: frame - frame.mean(), 1)


def variance_normalize(df: Data) -> Data:
    """Return each column divided by its standard deviation (ddof 0); NaN for a constant one."""
    return _by_column(df, _over_deviation, 0)


def standardize(df: Data) -> Data:
    """Return each column with mean 0 and standard deviation 1 (ddof 0); NaN for a constant one."""
    return _by_column(df, lambda frame: _over_deviation(frame - frame.mean()), 0)


def weight_normalize(s: Data) -> Data:
    """Return each column divided by the sum of its magnitudes."""
    return _by_column(s, lambda frame: frame / frame.abs().sum(), 0)


def min_max_normalize(s: Data) -> Data:
    """Return each column scaled to lie between 0 and 1; NaN for a constant one."""
    return _by_column(s, lambda frame: (frame - frame.min()) / (frame.max() - frame.min()), 0)


def tie_kept_rank__gaussianize__pow_1_5(df: Data, *, engine: str | Engine = "auto") -> Data:
    """Return pow15 of the normal quantiles of each column's ranks."""
    return power(gaussian(rank(df, engine=engine)), 1.5)


def tie_kept_rank__gaussianize__neutralize__variance_normalize(
    df: Data, neutralizers: Any, *, engine: str | Engine = "auto", faults: Faults | None = None
) -> Data:
    """Return the normal quantiles of each column's ranks, neutralized, of variance 1."""
    panel = take_panel(df, "series")
    quantiles: Any = replace(panel, matrix=quantile(ranks(panel, "average", engine)))
    return variance_normalize(neutralize(quantiles, neutralizers, engine=engine, faults=faults))


@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def orthogonalize(v: Floats, u: Floats, *, engine: str | Engine = "auto") -> Floats:
    """Return v less its projection on u: (N, U) or (N,), without a constant.

    Args:
        v: (N, U) or (N,).
        u: (N,) or (N, 1).
        engine: its name, or an engine.

    Source: numerai_tools.scoring.orthogonalize 0.7.2.
    """
    loaded = load_engine(engine, work=value_count(v))
    given, u = on_host(v), on_host(u)
    flat = near_one(np.ravel(take_array(u, "u", 1, 2)).astype(np.float64))
    rows = np.atleast_2d(np.asarray(take_array(given, "v", 1, 2), np.float64).T)
    products = partial(loaded.inner, table=None, probes=flat[None], ties="average")
    slope = by_blocks(loaded, products, near_one(rows))[:, 0]
    slope /= inner_products(flat[None], flat[None])[0, 0]
    fit = scaled(np.outer(slope, flat), exponents(rows))
    return given - (fit.T if given.ndim == 2 else fit[0])


def _taken(data: Any) -> Panel:
    """Return the series to transform. No id is looked up, so that ids may be null or repeated."""
    panel = take_panel(data, "series", distinct=False)
    panel.check()
    return panel


@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def _by_column(data: Any, function: Callable[[Any], Any], degree: int | None = None) -> Any:
    """Return what a function makes of columns; near 1 where f(2 * x) is 2 ** degree * f(x)."""
    import pandas as pd

    panel = _taken(data)
    series = np.asarray(panel.matrix, np.float64)
    near = series if degree is None else near_one(series)
    result = np.asarray(function(pd.DataFrame(near.T))).T
    return panel.like(scaled(result, exponents(series) * degree) if degree else result)


def _over_deviation(frame: "pd.DataFrame") -> "pd.DataFrame":
    # a constant column's deviation may be rounding instead of 0
    return frame / frame.std(ddof=0).where(frame.max() > frame.min())
