"""The meta model of the full stakes: its blend and ranks, and what each staker is worth to it."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines import Engine, Ties, load_engine
from mmc_gpu.engines.ahead import fetched
from mmc_gpu.engines.arrays import Array, Floats, Integers, Ranks, value_count
from mmc_gpu.engines.lanes import inner_products
from mmc_gpu.inputs.frames import is_polars, make_frame
from mmc_gpu.inputs.options import check_option
from mmc_gpu.rounds.algebra import ratio
from mmc_gpu.rounds.draws import draw_weights
from mmc_gpu.rounds.round import Round, as_round

_CANCELLED = 1e-2
"""If a smaller share of the squares is left without a staker, that rest is blended anew."""


class MetaModels(NamedTuple):
    """The ranks, (D + 1, N), of the draws' meta models and last the full stakes'; and its blend."""

    ids: Sequence[str]
    ranks: Ranks
    blend: Floats

    def columns(self) -> dict[str, Any]:
        """Return the full stakes' as columns; its ranks begin with 1, the lowest."""
        rank = (self.ranks[-1] + (len(self.ids) + 1)) / 2
        return {"id": list(self.ids), "blend": self.blend, "rank": rank}


def meta_model(predictions: Any, stakes: Any = None, *, ties: Ties = "first", **how: Any) -> Any:
    """Return the meta model of the full stakes, a frame: id, blend, and rank, 1 for the lowest.

    Other arguments and errors are those of `score_round`: ids, users, missing, blend, engine.
    """
    check_option("ties", ties, Ties)
    engine = how.pop("engine", "auto")
    round_ = as_round(predictions, stakes, None, resolved=False, **how)
    loaded = load_engine(engine, work=value_count(round_.predictions))
    blend = _blends(round_, np.ones((1, round_.stakers), np.int64), ties, loaded)
    ranks, blend = loaded.get(loaded.rank(blend, ties)), loaded.get(blend)[0]
    return make_frame(MetaModels(round_.ids, ranks, blend).columns(), is_polars(predictions))


def leave_one_out(
    predictions: Any, stakes: Any = None, targets: Any = None, *, ties: Ties = "first", **how: Any
) -> Any:
    """Return what each staker is worth to the meta model: a row for each target and staker.

    `corr_with` is the Pearson correlation of the unranked blend of the full stakes with the target,
    `corr_without` that of the blend without the staker (NaN for a lone one), `worth` how much more
    the first is; see `mmc_gpu.rounds.full_stakes.correlations_without`.

    Other arguments and errors are those of `score_round`: ids, users, missing, blend, engine.
    """
    check_option("ties", ties, Ties)
    engine = how.pop("engine", "auto")
    round_ = as_round(predictions, stakes, targets, **how)
    loaded = load_engine(engine, work=value_count(round_.predictions))
    corr, without = correlations_without(round_, ties, loaded)
    stakers, without = round_.stakers, without[:, : round_.stakers]
    columns = {
        "target": [name for name in round_.targets for _ in range(stakers)],
        "user": list(round_.users[:stakers]) * len(corr),
        "stake": np.tile(round_.stakes[:stakers], len(corr)),
        "corr_with": np.repeat(corr, stakers),
        "corr_without": without.ravel(),
        "worth": (corr[:, None] - without).ravel(),
    }
    return make_frame(columns, is_polars(predictions))


def _stakers(round_: Round, ties: Ties, engine: Engine) -> Iterator[tuple[slice, Array]]:
    """Yield stakers: their places, and their predictions or ranks, whichever are blended."""
    every = round_.staker_blocks()
    for places, block in fetched(round_.predictions, every, engine):
        placed = engine.put(block)
        yield places, engine.rank(placed, ties) if round_.blend == "ranked" else placed


def _blends(round_: Round, counts: Integers, ties: Ties, engine: Engine) -> Array:
    """Return the blends of stakers that are drawn so often: (D, N), of the engine."""
    weights = draw_weights(round_.stakes[: round_.stakers], counts)
    blend = engine.zeros(len(weights), len(round_.ids))
    for places, block in _stakers(round_, ties, engine):
        blend = engine.combine(blend, block, weights[:, places])
    return blend


def correlations_without(round_: Round, ties: Ties, engine: Engine) -> tuple[Floats, Floats]:
    """Return Pearson's correlation of the full stakes' blend with each target, or without a user.

    With b the blend, t the target, x the predictions and w the share of the stake, all centred:
    (b.t - w x.t) / (|t| sqrt(b.b - 2 w x.b + w^2 x.x)), within 1e-12 of a new blend. Not of ranks:
    in those of tied blends, rounding is as large as what is measured. The first is (T,), the second
    (T, U), NaN for users without a stake, and for a lone staker.
    """
    stakers, targets = round_.stakers, np.array(list(round_.targets.values()))
    targets -= targets.min(axis=1, keepdims=True) / 2 + targets.max(axis=1, keepdims=True) / 2
    targets = _centred(targets / np.abs(targets).max(axis=1, keepdims=True))
    lengths = inner_products(targets, targets[:0])[:, -1:]
    counts = np.ones((1, stakers), np.int64)
    weights = draw_weights(round_.stakes[:stakers], counts)[0]
    blend = _centred(engine.get(_blends(round_, counts, ties, engine)))
    *_, square = products = inner_products(blend, targets).T
    found, probes = np.empty((len(targets) + 3, stakers)), np.concatenate([targets, blend])
    most = len(round_.ids) - 1  # ranks are looked up: in a table of themselves
    table = np.arange(-most, most + 1.0) if round_.blend == "ranked" else None
    for places, block in _stakers(round_, ties, engine):
        found[:, places] = engine.inner(block, table, probes, ties).T
    own = found[-1] - found[-2] ** 2 / len(round_.ids)
    rest = square - 2 * weights * found[-3] + weights**2 * own
    without = np.full((len(targets), len(round_.users)), np.nan)
    if stakers > 1:
        left = products[:-2] - weights * found[:-3]
        without[:, :stakers] = ratio(left, np.maximum(rest, 0.0), lengths)
        lost = np.flatnonzero(rest < _CANCELLED * (square + weights**2 * found[-1]))
        if len(lost):
            others = (lost[:, None] != np.arange(stakers)).astype(np.int64)
            anew = _centred(engine.get(_blends(round_, others, ties, engine)))
            of_rest = inner_products(anew, targets).T
            without[:, lost] = ratio(of_rest[:-2], of_rest[-1], lengths)
    return ratio(products[:-2], square, lengths)[:, 0], without


def _centred(series: Floats) -> Floats:
    """Return (K, N) series minus their means; their sums are those of `lanes`, on any machine."""
    return series - inner_products(series, series[:0])[:, :1] / series.shape[1]
