"""Signals: predictions as neutral portfolios, their alpha, and the meta portfolio's gradient.

A user's weights w are linear in the user's transformed ranks s': `w = A s'`, where A is
`V (I - F F' V)` and V has the sample weights on its diagonal. So `w.x = s'.(A' x)` for any x: one
inner product a user, and the products with F are formed once, for the target. All products are
summed in the canonical order, so that no bit depends on a BLAS and its threads.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mmc_gpu.engines import GROUP, Engine
from mmc_gpu.engines.arrays import Array, Floats, Integers
from mmc_gpu.engines.lanes import inner_products
from mmc_gpu.errors import RoundError
from mmc_gpu.metrics.population.book import Book, Faults, check_common
from mmc_gpu.metrics.population.cohort import Cohort
from mmc_gpu.metrics.population.magnitude import exponents, near_one, scaled
from mmc_gpu.metrics.population.panels import Panel, take_panel, take_series
from mmc_gpu.metrics.population.tables import rank_table
from mmc_gpu.metrics.stakes import staked_rows
from mmc_gpu.metrics.typed import Data, scored

MPC_DIVISOR = 50  # brings the gradient to the size of the other scores


@scored
def alpha(
    predictions: Any,
    neutralizers: Any,
    sample_weights: Any,
    targets: Any,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return every user's alpha: neutral weights of pow15(gauss(u)) times the centred target, / N.

    Args:
        predictions: (ids x users) frame or array.
        neutralizers: (ids x features) frame or array.
        sample_weights: Series, frame of one column, or (ids,) array.
        targets: the same; the mean is that of all its ids.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.

    Source: numerai_tools.scoring.alpha 0.7.2.
    """
    target = take_series(targets, "targets")

    def score(cohort: Cohort) -> Floats:
        probe = _transposed_weights(cohort, cohort.shared["targets"])
        table, inner = rank_table("gauss15", cohort.stocks), cohort.engine.inner
        products = cohort.map(lambda block: inner(block, table, probe, "average")[:, 0])
        return scaled(products / cohort.stocks, exponents(target.matrix)[0])

    shared = {
        "targets": target.centred(),
        "neutralizers": neutralizers,
        "sample_weights": sample_weights,
    }
    return Book(predictions, shared, engine).scores("alpha", score, faults)


@scored
def meta_portfolio_contribution(
    predictions: Any,
    stakes: Any,
    neutralizers: Any,
    sample_weights: Any,
    targets: Any,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Any:
    """Return every user's MPC: the gradient of the stake-weighted portfolio's alpha, per stake.

    `W` all users' weights, centred, `v = W s`: score = `(W - v v'W / v.v)' t / |v| / 50`, from each
    user's inner products with the target and with v.

    The meta portfolio is everybody's: users who do not predict all stocks have no score and no
    part in it, as if they were not there.

    Args:
        predictions: (ids x users) frame or array.
        stakes: user to NMR as a Series or mapping, a frame (user, stake), or a (users,) array.
        neutralizers: (ids x features) frame or array.
        sample_weights: Series, frame of one column, or (ids,) array.
        targets: the same.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no score, by name.

    Returns:
        One score for each user in `stakes`, in their order and by their labels.

    Source: numerai_tools.scoring.meta_portfolio_contribution 0.7.2.
    """
    panel = take_panel(predictions, "predictions")
    staked, amounts, labels = staked_rows(stakes, panel)
    shared = {"targets": targets, "neutralizers": neutralizers, "sample_weights": sample_weights}
    # nothing may be missed: there is one meta portfolio, of those who predict all stocks
    book = Book(replace(panel.rows(staked), labels=labels), shared, engine, missed=0.0)
    return book.scores("mpc", lambda cohort: _gradient(cohort, amounts), faults)


def _gradient(cohort: Cohort, stakes: Floats) -> Floats:
    """Return the users' scores: (B,), from their stakes."""
    engine, table = cohort.engine, rank_table("gauss15", cohort.stocks)
    stakes = np.where(cohort.skipped, 0.0, stakes)
    if not stakes.sum() > 0:
        raise RoundError("stake-none", "nobody whose portfolio can be formed has a stake")
    blend = engine.zeros(1, cohort.stocks)
    for start in range(0, len(stakes), GROUP):
        some = slice(start, start + GROUP)
        series = engine.transform(cohort.block(some), table, "average")
        blend = engine.combine(blend, series, stakes[None, some] / stakes.sum())
    features, samples = cohort.shared["neutralizers"], cohort.shared["sample_weights"]
    portfolio = _weights(engine, engine.get(blend), features, samples)
    portfolio = portfolio - portfolio.mean()
    power = exponents(cohort.shared["targets"])[0] - exponents(portfolio)[0]
    portfolio, target = near_one(portfolio), near_one(cohort.shared["targets"])
    target = target - target.mean()
    probes = _transposed_weights(cohort, np.concatenate([target, portfolio]))
    products = cohort.map(lambda block: engine.inner(block, table, probes, "average"))
    with_target, _, squares = inner_products(portfolio, target)[0]
    if not squares > 0:
        raise RoundError("score-undefined", "the meta portfolio holds nothing")
    slope = products[:, 1] / squares * with_target
    return scaled((products[:, 0] - slope) / np.sqrt(squares) / MPC_DIVISOR, power)


def generate_neutralized_weights(
    predictions: Data,
    neutralizers: Any,
    sample_weights: Any,
    center_and_normalize: bool = False,
    *,
    engine: str | Engine = "auto",
    faults: Faults | None = None,
) -> Data:
    """Return every user's portfolio weights: pow15(gauss(u)) neutralized, by sample weight.

    Ranks are those among all ids that a user predicts, with neutralizers and weights or without.

    Args:
        predictions: (ids x users) frame or array.
        neutralizers: (ids x features) frame or array.
        sample_weights: Series, frame of one column, or (ids,) array.
        center_and_normalize: whether weights sum to 0, and their magnitudes to 1.
        engine: its name, or an engine.
        faults: gains why users who are NaN have no weights, by name.

    Returns:
        As `predictions`, for the ids that neutralizers and sample weights have too; where there
        are no ids, all stocks, NaN where one of them is missing.

    Raises:
        RoundError: more than a fifth of the ids of one of the three are not common to all.

    Source: numerai_tools.scoring.generate_neutralized_weights 0.7.2.
    """
    panel = portfolios(predictions, neutralizers, sample_weights, center_and_normalize, engine)
    panel.tell(faults)
    return panel.like(panel.matrix)


def portfolios(
    predictions: Any,
    neutralizers: Any,
    sample_weights: Any,
    center_and_normalize: bool,
    engine: str | Engine,
) -> Panel:
    """Return `generate_neutralized_weights` as a panel, and with it who has none."""
    factors = {
        "neutralizers": take_panel(neutralizers, "neutralizers"),
        "sample_weights": take_series(sample_weights, "sample_weights"),
    }
    sizes = {name: factor.matrix.shape[1] for name, factor in factors.items()}
    book = Book(predictions, {}, engine, partial=factors)

    def weights(cohort: Cohort) -> Floats:
        held = _held(cohort.shared)
        check_common(len(held), {"predictions": cohort.stocks} | sizes)
        table, engine = rank_table("gauss15", cohort.stocks), cohort.engine
        features, samples = (cohort.shared[name][:, held] for name in factors)

        def of(block: Array) -> Floats:
            series = engine.get(engine.transform(block, table, "average"))[:, held]
            weights = _weights(engine, series, features, samples)
            if center_and_normalize:
                weights = weights - weights.mean(axis=1, keepdims=True)
                size = np.abs(weights).sum(axis=1, keepdims=True)
                weights /= np.where(size > 0, size, np.nan)  # 0: a user who is skipped
            whole = np.full((len(weights), cohort.stocks), np.nan)
            whole[:, held] = weights
            return whole

        return cohort.map(of)

    panel = book.series(weights)
    return panel if panel.ids is None else panel.columns(np.sort(book.columns[_held(book.shared)]))


def _held(factors: Mapping[str, Floats]) -> Integers:
    """Return the stocks for which nothing is missing."""
    return np.flatnonzero(~np.isnan(np.concatenate(list(factors.values()))).any(axis=0))


def _weights(engine: Engine, series: Floats, features: Floats, samples: Floats) -> Floats:
    """Return `A s'` of (B, N) series."""
    return (series - _spanned(engine, series * samples, features)) * samples


def _transposed_weights(cohort: Cohort, series: Floats) -> Floats:
    """Return `A' x` of (B, N) series."""
    features, samples = cohort.shared["neutralizers"], cohort.shared["sample_weights"]
    held = series * samples
    return held - _spanned(cohort.engine, held, features) * samples


def _spanned(engine: Engine, series: Floats, features: Floats) -> Floats:
    """Return `F F' x` of (B, N) series, in the canonical order."""
    products = engine.inner(series, None, features, "first")[:, :-2]
    return engine.get(engine.combine(engine.zeros(*series.shape), features, products))
