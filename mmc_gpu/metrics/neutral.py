"""Neutralization: predictions less their least-squares fit on features, and scores of the rest."""

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import numpy as np

from mmc_gpu.engines import GROUP, Engine
from mmc_gpu.engines.arrays import Array, Floats, Integers
from mmc_gpu.errors import RoundError, real
from mmc_gpu.metrics.correlations import centre_target, correlate, end_correlations
from mmc_gpu.metrics.population.book import DROPPED, Book, Faults
from mmc_gpu.metrics.population.cohort import Cohort
from mmc_gpu.metrics.population.ends import ends_wanted, pearson
from mmc_gpu.metrics.population.magnitude import exponents, near_one, scaled
from mmc_gpu.metrics.population.panels import Panel, take_panel, take_series
from mmc_gpu.metrics.population.tables import pow15, rank_table
from mmc_gpu.metrics.typed import Data, scored

RCOND = 1e-6
"""A singular value below this share of the largest one counts as 0, as in numerai-tools."""

NOTHING_LEFT = 1e-10
"""A residual shorter than this share of the submission's length is only rounding."""

_FEW = 16  # so many features tell most stocks apart, even if each feature has only five values


@dataclass(frozen=True, eq=False)
class Neutralizer:
    """Features and a constant, factorised once for all users."""

    engine: Engine  # what computes residuals
    # orthonormal rows, which span the features and the constant; at most 1,024 an array
    basis: list[Floats]
    # (N,) for each stock the first stock with the same features; None if all differ
    alike: Integers | None
    # the basis on each GPU that has needed it, by the GPU's number
    there: dict[int, list[Array]] = field(default_factory=dict)

    @classmethod
    def of(cls, features: Floats, engine: Engine) -> "Neutralizer":
        """Return the neutralizer of (K, N) features, which may depend on each other."""
        basis = orthonormal(np.vstack([features, np.ones(features.shape[1])]))
        starts = range(0, len(basis), GROUP)
        rows = [basis[start : start + GROUP] for start in starts]
        return cls(engine, rows, first_alike(features))

    def fit(self, series: Array) -> Array:
        """Return the least-squares fit of (B, N) series, as an array of the engine.

        Stocks with the same features have the same fit. Rounding would make their fits differ, and
        tied predictions would no longer be tied: so every such stock gets the first one's fit.
        """
        fit = self._projected(series)
        return fit if self.alike is None else fit.take(self.alike, axis=1)

    def _projected(self, series: Array) -> Array:
        if isinstance(series, np.ndarray):
            return sum((series @ rows.T) @ rows for rows in self.basis)
        gpu = series.device.id
        if gpu not in self.there:
            self.there[gpu] = [self.engine.put(rows) for rows in self.basis]
        # on a GPU the engine's own sums: CuPy's products need cuBLAS, 0.4 GB more to install
        fit = self.engine.zeros(*series.shape)
        for rows in self.there[gpu]:
            products = self.engine.inner(series, None, rows, "first")[:, :-2]
            fit = self.engine.combine(fit, rows, products)
        return fit

    def residual(self, series: Array) -> Array:
        """Return (B, N) series less their fit, in the engine; zeros where only rounding is left."""
        left = series - self.fit(series)
        lengths = [(rows * rows).sum(axis=1) for rows in (left, series)]
        return left * (lengths[0] > NOTHING_LEFT**2 * lengths[1])[:, None]

    def ranks(self, block: Array) -> Array:
        """Return the residual of (B, N) predictions' gaussianized ranks, in the engine."""
        table = rank_table("gauss", block.shape[1])
        return self.residual(self.engine.transform(block, table, "average"))


@dataclass(frozen=True, eq=False)
class Features(Panel):
    """Features that several scores are neutralized to, and that are factorised once for all."""

    # the neutralizers, by the engine and the features of the scored stocks
    factorised: dict[Any, Neutralizer] = field(default_factory=dict)


def neutralizer_of(given: Any, features: Floats, engine: Engine) -> Neutralizer:
    """Return the neutralizer of (K, N) features of the stocks that are scored.

    It is computed once if the caller has given `Features`.
    """
    if not isinstance(given, Features):
        return Neutralizer.of(features, engine)
    # 2,500 features of 5,000 stocks take 5 to 10 s of a core; their sha256, 0.06
    key = id(engine), features.shape, sha256(np.ascontiguousarray(features).data).digest()
    if key not in given.factorised:
        given.factorised[key] = Neutralizer.of(features, engine)
    return given.factorised[key]


def first_alike(features: Floats) -> Integers | None:
    """Return each stock's first stock with the same (K, N) features: (N,), or None if all differ.

    A few features tell most stocks apart already: they take 2 ms for 5,000 stocks, 500 take 26 ms.
    """
    for some in (features[:_FEW], features):
        rows = np.ascontiguousarray(some.T) + 0.0  # which makes 0.0 of -0.0
        data, size = rows.tobytes(), rows.itemsize * len(some)
        keys = [data[stock * size : (stock + 1) * size] for stock in range(len(rows))]
        if len(set(keys)) == len(keys):
            return None
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(key, stock) for stock, key in enumerate(keys)])


def orthonormal(rows: Floats) -> Floats:
    """Return orthonormal rows that span the same space as (K, N) rows: (rank, N).

    Singular vectors do, without those whose singular values count as 0. They take 15 s of a core
    for 2,500 features of 5,000 stocks. If no singular value counts as 0, a QR spans the same space
    in 5 s. If those that count as 0 are only rounding, a QR with pivots does in 10 s. Neither needs
    the constant features, such as those that an era lacks: they are left out.

    Args:
        rows: the features; the last row is all ones.
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
    """Return whether all singular values of the kept triangle count, and what is left is rounding.

    No singular value of a triangle is below 1 / |inverse|; the largest of all is at most `size`.
    """
    from scipy.linalg.lapack import dtrtri

    if kept.shape[0] < max(1, kept.shape[1]):
        return False
    inverse, singular = dtrtri(kept)
    with np.errstate(over="ignore"):  # then it is infinite, and nothing is certain
        length = np.linalg.norm(inverse)
    certain = RCOND * size * length < 1 and np.linalg.norm(left) * length < NOTHING_LEFT
    return not singular and bool(certain)


@scored
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

    Predictions are neutralized over all stocks with features, and scored over those that have a
    target too. Features are factorised again for each set of users who lack the same predictions.

    Args:
        predictions: (ids x users) frame or array.
        features: (ids x features) frame, array or `Features`; they may depend on each other.
        targets: Series, frame of one column, or (ids,) array; the mean of all values is
            subtracted, those of stocks without features among them.
        top_bottom: score only so many of each user's highest stocks, and as many of the lowest.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.

    Source: numerai_tools.scoring.feature_neutral_corr 0.7.2.
    """
    target_panel = take_series(targets, "targets").centred()

    def score(part: Cohort) -> Floats:
        neutralizer = neutralizer_of(features, part.shared["features"], part.engine)
        target = part.shared["targets"][0]
        scored = np.flatnonzero(~np.isnan(target))
        if len(scored) < (1 - DROPPED) * max(len(target), target_panel.matrix.shape[1]):
            found = f"{len(scored):,} of {len(target):,} stocks with features have targets"
            raise RoundError("id-other-round", found)
        centred = centre_target(pow15(target[scored]))[None]

        def corr(block: Array) -> Floats:
            left = neutralizer.ranks(block)
            if len(scored) < len(target):
                left = part.engine.put(part.engine.get(left)[:, scored])
            return correlate(part.engine, centred, top_bottom, left)

        return part.map(corr, GROUP)

    shared, partial = {"features": features}, {"targets": target_panel}
    return Book(predictions, shared, engine, partial=partial).scores("fnc", score, faults)


@scored
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

    Features are factorised again for each set of users who lack the same predictions.

    Args:
        predictions: (ids x users) frame or array.
        neutralizers: (ids x features) frame, array or `Features`; they may depend on each other.
        targets: Series, frame of one column, or (ids,) array.
        max_filtered_index_ratio: share of an input's ids that the other inputs may lack.
        top_bottom: score only so many of each user's highest residuals, and as many lowest ones.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.

    Source: numerai_tools.scoring.neutral_correlation 0.7.2.
    """

    def score(part: Cohort) -> Floats:
        neutralizer = neutralizer_of(neutralizers, part.shared["neutralizers"], part.engine)
        target = centre_target(part.shared["targets"][0])
        count = ends_wanted(top_bottom, part.stocks)

        def corr(block: Array) -> Floats:
            left = neutralizer.ranks(block)
            if count:
                return end_correlations(part.engine, left, target, count)
            return pearson(part.engine.get(left), np.broadcast_to(target, left.shape))

        return part.map(corr, GROUP)

    shared = {"neutralizers": neutralizers, "targets": targets}
    book = Book(predictions, shared, engine, max_filtered_index_ratio)
    return book.scores("neutral_corr", score, faults)


def neutralize(
    df: Data,
    neutralizers: Any,
    proportion: float = 1.0,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Data:
    """Return each series less a proportion of its least-squares fit on the neutralizers.

    Features are factorised again for each set of series that lack the same values.

    Args:
        df: (ids x series) frame or array; it is not ranked.
        neutralizers: (ids x features) frame or array; they may depend on each other.
        proportion: how much of the fit is subtracted, 1.0 for all of it.
        engine: its name, or an engine.
        faults: gains why series that are NaN have no result, by name.

    Returns:
        The same kind as `df`; NaN for stocks without a value in `df` or in the neutralizers.

    Source: numerai_tools.scoring.neutralize 0.7.2.
    """
    proportion = real("proportion", proportion)
    panel = take_panel(df, "predictions")
    near = replace(panel, matrix=near_one(panel.matrix), bounds=None)
    book = Book(near, {"neutralizers": neutralizers}, engine)

    def neutral(part: Cohort) -> Floats:
        neutralizer = Neutralizer.of(part.shared["neutralizers"], part.engine)
        return part.map(
            lambda block: part.engine.get(block - proportion * neutralizer.fit(block)), GROUP
        )

    result = book.series(neutral)
    result.tell(faults)
    return result.like(scaled(result.matrix, exponents(panel.matrix)))
