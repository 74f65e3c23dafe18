"""Least squares on features: what neutralization leaves of predictions, and scores of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np

from mmc_gpu.engines import GROUP, Engine
from mmc_gpu.engines.arrays import Array, Floats, Integers
from mmc_gpu.errors import RoundError
from mmc_gpu.metrics.correlations import centre_target, correlate, end_correlations
from mmc_gpu.metrics.population.book import DROPPED, Book, Faults, score_users
from mmc_gpu.metrics.population.ends import ends_wanted, pearson
from mmc_gpu.metrics.population.magnitude import exponents, near_one, scaled
from mmc_gpu.metrics.population.panels import take_panel, take_series
from mmc_gpu.metrics.population.parts import Part
from mmc_gpu.metrics.population.tables import pow15, rank_table

RCOND = 1e-6
"""Singular values below this share of the largest count as 0, as in numerai-tools."""

NOTHING_LEFT = 1e-10
"""Share of a submission's length below which what neutralization leaves is rounding."""


_FEW = 16
"""Features that tell most stocks apart, even where each has five values."""


@dataclass(frozen=True, eq=False)
class Neutralizer:
    """Features and a constant, factorised once for all users.

    Attributes:
        engine: where residuals are computed.
        basis: orthonormal rows that span what is removed, of the engine: up to 1,024 an array,
            which stay together where there are several GPUs.
        alike: (N,) each stock's first one with the same features; None where all differ.
    """

    engine: Engine
    basis: list[Array]
    alike: Integers | None

    @classmethod
    def of(cls, features: Floats, engine: Engine) -> "Neutralizer":
        """Return the neutralizer of (K, N) features, which may depend on each other."""
        kept = _kept.get()
        if kept is None:
            return cls._factorised(features, engine)
        key = id(engine), features.shape, sha256(np.ascontiguousarray(features).data).digest()
        if key not in kept:
            kept[key] = cls._factorised(features, engine)
        return kept[key]

    @classmethod
    def _factorised(cls, features: Floats, engine: Engine) -> "Neutralizer":
        basis = orthonormal(np.vstack([features, np.ones(features.shape[1])]))
        starts = range(0, len(basis), GROUP)
        rows = [engine.put(basis[start : start + GROUP]) for start in starts]
        return cls(engine, rows, first_alike(features))

    def fit(self, series: Array) -> Array:
        """Return the least-squares fit of (B, N) series, of the engine.

        Stocks with the same features have the same fit. They would differ by rounding: by where
        they stand in the basis, and so predictions that are tied would not stay so.
        """
        fit = self._projected(series)
        return fit if self.alike is None else fit.take(self.alike, axis=1)

    def _projected(self, series: Array) -> Array:
        if isinstance(series, np.ndarray):
            return sum((series @ rows.T) @ rows for rows in self.basis)
        # on a GPU the engine's own sums: CuPy's products need cuBLAS, 0.4 GB more to install
        fit = self.engine.zeros(*series.shape)
        for rows in self.basis:
            products = self.engine.inner(series, None, rows, "first")[:, :-2]
            fit = self.engine.combine(fit, rows, products)
        return fit

    def residual(self, series: Array) -> Array:
        """Return (B, N) series less their fit, of the engine; zeros where only rounding is left."""
        left = series - self.fit(series)
        lengths = [(rows * rows).sum(axis=1) for rows in (left, series)]
        return left * (lengths[0] > NOTHING_LEFT**2 * lengths[1])[:, None]

    def ranks(self, block: Array) -> Array:
        """Return the residual of (B, N) predictions' gaussianized ranks, of the engine."""
        return self.residual(
            self.engine.transform(block, rank_table("gauss", block.shape[1]), "average")
        )


_kept: ContextVar[dict[Any, Neutralizer] | None] = ContextVar("_kept", default=None)


@contextmanager
def factorised_once() -> Iterator[None]:
    """Factorise equal features only once inside.

    2,500 features of 5,000 stocks take 5 to 10 s of a core; their sha256, 0.06.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def first_alike(features: Floats) -> Integers | None:
    """Return each stock's first one with the same (K, N) features: (N,), or None if all differ.

    Most differ in a few features already: 2 ms for 5,000 stocks, against 26 for 500 features.
    """
    for some in (features[:_FEW], features):
        rows = np.ascontiguousarray(some.T) + 0.0  # which makes 0.0 of -0.0
        first: dict[bytes, int] = {}
        alike = [first.setdefault(row.tobytes(), stock) for stock, row in enumerate(rows)]
        if len(first) == len(alike):
            return None
    return np.array(alike)


def orthonormal(rows: Floats) -> Floats:
    """Return orthonormal rows that span what least squares fits by (K, N) rows: (rank, N).

    These are singular vectors, without those whose values count as 0. Where none does, a QR spans
    the same, and where those that do are rounding, one with pivots: 5 and 10 s of a core instead of
    15 s, for 2,500 features of 5,000 stocks. Features that are constant, as those that an era
    lacks, are left out of it.

    Args:
        rows: the last one all ones.
    """
    from scipy.linalg import qr

    rows = near_one(rows.reshape(1, -1)).reshape(rows.shape)
    size = float(np.linalg.norm(rows))
    varying = np.append(rows[:-1].min(axis=1) < rows[:-1].max(axis=1), True)
    columns, triangle = np.linalg.qr(rows[varying].T)
    if _is_certain(triangle, triangle[:0], size):
        return np.ascontiguousarray(columns.T)
    turned, triangle, _ = qr(triangle, pivoting=True)
    rank = int((np.abs(np.diag(triangle)) > RCOND * size).sum())
    if _is_certain(triangle[:rank, :rank], triangle[rank:, rank:], size):
        return np.ascontiguousarray((columns @ turned[:, :rank]).T)
    columns, sizes, _ = np.linalg.svd(rows.T, full_matrices=False)
    return np.ascontiguousarray(columns.T[sizes > RCOND * sizes[0]])


def _is_certain(kept: Floats, left: Floats, size: float) -> bool:
    """Return whether every singular value of a triangle counts, and what is left is rounding.

    None is below 1 / |inverse|, and the largest of all rows is at most their size.
    """
    from scipy.linalg.lapack import dtrtri

    if kept.shape[0] < kept.shape[1]:
        return False
    inverse, singular = dtrtri(kept)
    with np.errstate(over="ignore"):  # then it is infinite, and nothing is certain
        length = np.linalg.norm(inverse)
    certain = RCOND * size * length < 1 and np.linalg.norm(left) * length < NOTHING_LEFT
    return not singular and bool(certain)


def feature_neutral_corr(
    predictions: Any,
    features: Any,
    targets: Any,
    top_bottom: int | None = None,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return every user's FNC: the numerai_corr of gauss(u) neutralized to the features.

    Neutralized over all stocks with features, scored over those that have a target too. Each
    distinct pattern of gaps in predictions is factorised anew.

    Args:
        predictions: (ids x users) frame or array.
        features: (ids x features) frame or array; they may depend on each other.
        targets: Series, frame of one column, or (ids,) array; its mean is that of all its ids.
        top_bottom: score each user's so many highest and as many lowest stocks only.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.

    Source: numerai_tools.scoring.feature_neutral_corr 0.7.2.
    """
    target_panel = take_series(targets, "targets").centred()

    def score(part: Part) -> Floats:
        neutralizer = Neutralizer.of(part.shared["features"], part.engine)
        target = part.shared["targets"][0]
        scored = np.flatnonzero(~np.isnan(target))
        if len(scored) < (1 - DROPPED) * max(len(target), target_panel.matrix.shape[1]):
            found = f"{len(scored):,} of {len(target):,} stocks with features have targets"
            raise RoundError("id-other-round", found)
        centred = centre_target(pow15(target[scored]))

        def corr(block: Array) -> Floats:
            left = neutralizer.ranks(block)
            if len(scored) < len(target):
                left = part.engine.put(part.engine.get(left)[:, scored])
            return correlate(part.engine, "gauss15", centred, top_bottom, left)

        return part.map(corr, GROUP)

    return score_users(
        "fnc",
        predictions,
        {"features": features},
        score,
        engine=engine,
        faults=faults,
        partial={"targets": target_panel},
    )


def neutral_correlation(
    predictions: Any,
    neutralizers: Any,
    targets: Any,
    max_filtered_index_ratio: float = DROPPED,
    top_bottom: int | None = None,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return the Pearson correlation of every user's neutralized gauss(u) with the target.

    Each distinct pattern of gaps in predictions is factorised anew.

    Args:
        predictions: (ids x users) frame or array.
        neutralizers: (ids x features) frame or array; they may depend on each other.
        targets: Series, frame of one column, or (ids,) array.
        max_filtered_index_ratio: share of the ids of each that may be without the others.
        top_bottom: score each user's so many highest and as many lowest residuals only.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.

    Source: numerai_tools.scoring.neutral_correlation 0.7.2.
    """

    def score(part: Part) -> Floats:
        neutralizer = Neutralizer.of(part.shared["neutralizers"], part.engine)
        target = centre_target(part.shared["targets"][0])
        count = ends_wanted(top_bottom, part.stocks)

        def corr(block: Array) -> Floats:
            left = neutralizer.ranks(block)
            if count:
                return end_correlations(part.engine, left, target, count)
            return pearson(part.engine.get(left), np.broadcast_to(target, left.shape))

        return part.map(corr, GROUP)

    return score_users(
        "neutral_corr",
        predictions,
        {"neutralizers": neutralizers, "targets": take_series(targets, "targets")},
        score,
        engine=engine,
        faults=faults,
        dropped=max_filtered_index_ratio,
    )


def neutralize(
    df: Any,
    neutralizers: Any,
    proportion: float = 1.0,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return each series less a proportion of its least-squares fit on the neutralizers.

    Each distinct pattern of gaps in the series is factorised anew.

    Args:
        df: (ids x series) frame or array, as it is: not ranked.
        neutralizers: (ids x features) frame or array; they may depend on each other.
        proportion: of the fit that is subtracted.
        engine: its name, or an engine.
        faults: gains why series that are NaN have no result, by name.

    Returns:
        As `df`; NaN for the stocks that it or the neutralizers have no value for.

    Source: numerai_tools.scoring.neutralize 0.7.2.
    """
    panel = take_panel(df, "predictions")
    near = replace(panel, matrix=near_one(panel.matrix))
    book = Book.of(near, {"neutralizers": neutralizers}, engine)

    def neutral(part: Part) -> Floats:
        neutralizer = Neutralizer.of(part.shared["neutralizers"], part.engine)
        return part.map(
            lambda block: part.engine.get(block - proportion * neutralizer.fit(block)), GROUP
        )

    result = book.series(neutral)
    result.report(faults)
    return result.like(scaled(result.matrix, exponents(panel.matrix)))
