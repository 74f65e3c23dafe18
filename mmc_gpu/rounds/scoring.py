"""A round's scores: two passes over the predictions and the algebra, written once for all engines.

pass 1   blends -> ranks     the draws' meta models, and the one of the full stakes
pass 2   moments -> scores   every user against all of them and all targets at once
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from mmc_gpu.engines import Engine
from mmc_gpu.engines.ahead import ahead
from mmc_gpu.engines.arrays import Array, Floats, Integers
from mmc_gpu.engines.selection import Selection, copied
from mmc_gpu.inputs.options import Progress
from mmc_gpu.rounds.algebra import (
    Target,
    contributions,
    correlations,
    mean_and_error,
    rank_correlations,
)
from mmc_gpu.rounds.draws import draw_counts, draw_weights
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.round import Round
from mmc_gpu.rounds.scores import BlockScores, Draws, Scores

if TYPE_CHECKING:
    pass


def score(
    round_: Round,
    method: Method,
    engine: Engine,
    *,
    block_rows: int | None = None,
    draws: Draws | bool = True,
    progress: Progress | None = None,
) -> Scores:
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
    scores = Scores.unscored(round_, method, engine.name, counts, draws)
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

    def score_meta_models(self, scores: Scores) -> None:
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
