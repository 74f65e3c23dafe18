"""A round's scores: two passes over the predictions and the algebra, written once for all engines.

pass 1   blends -> ranks     the draws' meta models, and the one of the full stakes
pass 2   moments -> scores   every user against all of them and all targets at once
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from mmc_gpu.ahead import ahead
from mmc_gpu.algebra import (
    Target,
    contributions,
    correlations,
    mean_and_error,
    rank_correlations,
)
from mmc_gpu.arrays import Array, Floats, Integers
from mmc_gpu.draws import draw_counts, draw_weights
from mmc_gpu.engines import Engine, Ties, load_engine
from mmc_gpu.method import SCALE, Blend, Method
from mmc_gpu.round import Missing, OnError, Round, take_round
from mmc_gpu.scores import BlockScores, Draws, RoundScores
from mmc_gpu.selection import Selection, copied

if TYPE_CHECKING:
    from mmc_gpu.cluster import Cluster

Progress = Callable[[str, int, int], None]
"""Called with a stage ("blend", "score"), how many users are done, and of how many."""


def score_round(
    predictions: Any,
    stakes: Any = None,
    targets: Any = None,
    *,
    ids: Any = None,
    users: Any = None,
    draws: int = 20,
    sample: float = 0.67,
    seed: int = 0,
    ties: Ties = "first",
    blend: Blend = "raw",
    scale: float = SCALE,
    missing: Missing = "error",
    on_error: OnError = "fail",
    engine: str | Engine = "auto",
    cluster: "str | Cluster | None" = None,
    progress: Progress | None = None,
) -> RoundScores:
    """Return the bootstrap MMC, CORR and more of every user of a round.

    Equal inputs and options give the same bits on every engine, in any order of rows and columns.

    Args:
        predictions: a pandas DataFrame (index: stock ids, one column a user), anything with an
            Arrow stream (polars, pyarrow, duckdb) with an `id` column, or a (stocks, users) array.
            A `Round` (see `open_round`) has its stakes and targets, and has been checked.
        stakes: user to NMR as a mapping, a Series or a frame (user, stake); or a (users,) array.
            Users without a stake are scored but are not in the pool that draws are taken from.
        targets: a Series (index: ids), a frame with one column a target, or a (stocks,) array.
            Its ids are the stocks of the round. Several targets cost one pass.
        ids: for arrays, the stocks' ids; without them rows are in order as they stand.
        users: for arrays, the users' names; without them columns are in order as they stand.
        draws: how many draws of stakers are averaged.
        sample: share of the stakers picked a draw, with replacement.
        seed: which sequence of draws.
        ties: equal predictions rank in order of the ids ("first") or share their rank ("average").
        blend: what is blended by stake: predictions as submitted ("raw") or ranks ("ranked").
        scale: what the covariance is divided by; the published scores fit 1/12.
        missing: missing predictions are an error, or ("fill", up to 20 %) become the lower median
            of the user's present ones.
        on_error: a user's fault fails the round, or ("quarantine") keeps that user out of it.
        engine: "numpy", "cpu", "gpu", "auto" (the fastest that works), or an engine.
        cluster: "local", the address of a Ray cluster, or a `Cluster`: the same scores from many
            workers, each with an engine of that name. For packed rounds (`open_round`) whose path
            is the same on every machine; needs the extra `ray`.
        progress: called as the passes proceed.

    Returns:
        The scores, users in canonical order.

    Raises:
        RoundError: the round cannot be scored; it has a code, a place and a remedy.
        EngineUnavailable: the named engine cannot run here.
        ValueError: an option is out of its range.

    Source: docs.numer.ai/tournament/metamodel-contribution (as of 2020).
    """
    method = Method(draws, sample, seed, ties, blend, scale)
    if cluster is not None:
        from mmc_gpu.cluster.rounds import score_on_cluster

        return score_on_cluster(predictions, method, engine, cluster, on_error, progress)
    loaded = load_engine(engine)
    if isinstance(predictions, Round):
        round_ = predictions
    else:
        round_ = take_round(
            predictions,
            stakes,
            targets,
            ids=ids,
            users=users,
            missing=missing,
            on_error=on_error,
            blend=blend,
        )
    return score(round_, method, loaded, progress=progress)


def score(
    round_: Round,
    method: Method,
    engine: Engine,
    *,
    block_rows: int | None = None,
    draws: Draws | bool = True,
    progress: Progress | None = None,
) -> RoundScores:
    """Return the scores of a round that has been checked.

    Args:
        round_: the round.
        method: the options.
        engine: where ranks, sums and products are computed.
        block_rows: users an engine gets at a time; changes memory and speed, never a bit.
        draws: where every user's score in every draw goes: memory (True), nowhere, or a store.
        progress: called as the passes proceed.

    Raises:
        ValueError: the round was checked for another blend.
    """
    check_blend(round_, method)
    report = progress or (lambda stage, done, total: None)
    counts, weights = pool_of(round_, method)
    blend = engine.zeros(len(weights), len(round_.ids))  # first, so that it waits for nobody
    if round_.is_on_gpu:
        blocks = round_.blocks(block_rows, engine.groups)
        places, block = next(blocks)
        blocks = chain([(places, engine.begin(block, method.ties))], blocks)  # beside the blends
        blend, _ = _blends(blend, round_, weights, method, engine, block_rows, report)
    else:
        blend, kept = _blends(blend, round_, weights, method, engine, block_rows, report)
        there = sum(len(places) for places, _ in kept)
        rest = round_.blocks(block_rows, engine.groups, first=there)
        blocks = chain(kept, fetched(round_, rest, engine))
    probes = Probes.of(engine.rank(blend, method.ties), round_, engine)
    scores = RoundScores.unscored(round_, method, engine.name, counts, draws)
    probes.score_meta_models(scores)
    done = 0
    for places, block in blocks:
        # a block on the host is left there: an engine that copies it computes meanwhile
        placed = block if isinstance(block, np.ndarray | Selection) else engine.put(block)
        moments = engine.moments(placed, probes.rows, method.ties)
        scores.put(places, score_block(moments, probes, method))
        done += len(places)
        report("score", done, len(round_.users))
    return scores


def check_blend(round_: Round, method: Method) -> None:
    """Raise ValueError where a round was checked for another blend."""
    if round_.blend != method.blend:
        raise ValueError(f"the round was checked for blend={round_.blend!r}, not {method.blend!r}")


def pool_of(round_: Round, method: Method) -> tuple[Integers, Floats]:
    """Return how often each draw picks each staker: (D, S); and the weights of the blends.

    The weights are (D + 1, S): those of the draws, and last of the full stakes.
    """
    counts = draw_counts(round_.stakers, method.draws, method.sample, method.seed)
    everyone = np.ones((1, round_.stakers), np.int64)
    stakes = round_.stakes[: round_.stakers]
    return counts, draw_weights(stakes, np.concatenate([counts, everyone]))


def blended(block: Array, method: Method, engine: Engine) -> Array:
    """Return what is blended of stakers' predictions: (B, N), themselves or their ranks."""
    return engine.rank(block, method.ties) if method.blend == "ranked" else block


@dataclass(frozen=True)
class Probes:
    """What every user is measured against.

    Attributes:
        rows: (P, N) the meta models' ranks, the last of the full stakes, then the targets' limbs;
            of the engine.
        targets: (T,) the targets.
        squares: (D + 1,) the meta models' sums of squares.
        with_targets: (T, D + 1) the meta models' inner products with the targets.
    """

    rows: Array
    targets: list[Target]
    squares: Integers
    with_targets: list[Floats]

    @classmethod
    def of(cls, meta_models: Array, round_: Round, engine: Engine) -> "Probes":
        """Return the probes of a round whose meta models' ranks, (D + 1, N), the engine has."""
        targets = [Target.of(name, values) for name, values in round_.targets.items()]
        limbs = np.concatenate([target.limbs for target in targets])
        rows = engine.stack([meta_models, limbs])
        moments = engine.moments(meta_models, limbs, "first")
        return cls(rows, targets, moments[:, -1], list(_products(targets, moments)))

    def score_meta_models(self, scores: RoundScores) -> None:
        """Store the meta models' own correlations with the targets."""
        for number, target in enumerate(self.targets):
            own = correlations(self.with_targets[number], self.squares, target)
            scores.meta_model_corr[number], scores.full_meta_model_corr[number] = own[:-1], own[-1]


def _blends(
    blend: Array,
    round_: Round,
    weights: Floats,
    method: Method,
    engine: Engine,
    block_rows: int | None,
    report: Progress,
) -> tuple[Array, list[tuple[Integers, Array]]]:
    """Return every draw's blend, and last that of the full stakes, of the engine: from zeros on.

    And the first blocks of stakers, as `Round.blocks` yields them, if the engine has copied them
    to where it computes: the next pass need not do that again. Their ranks are those that are
    blended, or are begun, so that they are found beside the blends.
    """
    kept: list[tuple[Integers, Array]] = []
    stakers = round_.staker_blocks(block_rows, engine.groups)
    for places, block in fetched(round_, stakers, engine):
        placed = engine.put(block)
        there = blended(placed, method, engine)
        if placed is not block and places.start == sum(len(before) for before, _ in kept):
            begun = engine.begin(there, method.ties)
            kept.append((np.arange(places.start, places.stop), begun))
        blend = engine.combine(blend, there, weights[:, places])
        report("blend", places.stop, round_.stakers)
    return blend, kept


def fetched(
    round_: Round, blocks: Iterator[tuple[Any, Array]], engine: Engine
) -> Iterator[tuple[Any, Array]]:
    """Yield blocks that the engine reads: read or copied ahead on the host, as they are on a GPU.

    A GPU's current device and stream are those of the caller's thread.
    """
    if round_.is_on_gpu:
        return blocks
    return ahead(
        (places, block if engine.selects and getattr(block, "by_rows", True) else copied(block))
        for places, block in blocks
    )


def _products(targets: list[Target], moments: Integers) -> Iterator[Floats]:
    """Yield inner products with each target, from those with the limbs of all, (B, limbs)."""
    first = 0
    for target in targets:
        yield target.product(moments[:, first : first + len(target.limbs)])
        first += len(target.limbs)


def score_block(moments: Integers, probes: Probes, method: Method) -> BlockScores:
    """Return the scores of a block of users from their (B, P + 1) moments; pass 2."""
    draws, stocks = method.draws, probes.rows.shape[1]
    squares = moments[:, -1]
    shape = (len(probes.targets), len(moments))
    block = BlockScores(
        rank_correlations(moments[:, draws], squares, int(probes.squares[-1])),
        np.empty(shape),
        np.empty(shape),
        np.empty(shape),
        np.empty((*shape, draws)),
    )
    products = _products(probes.targets, moments[:, draws + 1 :])
    for number, (target, with_target) in enumerate(zip(probes.targets, products, strict=True)):
        per_draw = contributions(
            with_target,
            moments[:, :draws],
            probes.squares[:-1],
            probes.with_targets[number][:-1],
            target,
            stocks,
            method.scale,
        )
        block.per_draw[number] = per_draw
        block.mmc[number], block.mmc_se[number] = mean_and_error(per_draw)
        block.corr[number] = correlations(with_target, squares, target)
    return block
