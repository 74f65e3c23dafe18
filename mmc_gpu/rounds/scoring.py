"""A round's scores: two passes over the predictions, and the algebra; the same for all engines.

pass 1   blends -> ranks     the draws' meta models, and the one of the full stakes
pass 2   moments -> scores   every user against all of them and all targets at once
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from mmc_gpu.engines import Engine
from mmc_gpu.engines.ahead import fetched, reads_itself, side_by_side
from mmc_gpu.engines.arrays import Array, Floats, Integers
from mmc_gpu.engines.protocol import GROUP, RoundPlan, ScoresRounds
from mmc_gpu.engines.selection import in_memory, lies_by_rows, may_be_whole
from mmc_gpu.inputs.options import Progress, silent
from mmc_gpu.rounds.algebra import Target, contributions, mean_and_error, ratio
from mmc_gpu.rounds.block_scores import BlockScores, Draws
from mmc_gpu.rounds.draws import draw_weights, kept_counts
from mmc_gpu.rounds.full_stakes import MetaModels
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.round import Round
from mmc_gpu.rounds.scores import Scores

_Found = TypeVar("_Found")

_AT_ONCE = 2**30
"""Bytes of predictions that all threads together may read for the blends, a group each."""

_BLOCKS = 4  # so many blocks for each thread: at the end no thread waits long for the others


def score(
    round_: Round,
    method: Method,
    engine: Engine,
    *,
    block_rows: int | None = None,
    draws: Draws | bool = True,
    progress: Progress = silent,
) -> Scores:
    """Return the scores of a round that has been checked.

    The engine gets `block_rows` users at a time: this changes memory and speed, never a bit. Every
    user's score in every draw goes into memory (`draws` True), nowhere (False), or into a store.

    Raises:
        ValueError: the round was checked for another blend.
    """
    round_.check_blend(method.blend)
    counts, weights = pool_of(round_, method)
    scores = Scores.unscored(round_, method, engine.name, counts, draws)
    if (
        isinstance(engine, ScoresRounds)
        and block_rows is None
        and may_be_whole(round_.predictions, len(round_.rows), most=0)
        and _score_at_once(round_, weights, method, engine, scores)
    ):
        for stage, total in (("blend", round_.stakers), ("score", len(round_.users))):
            progress(stage, total, total)
        return scores
    if _gathers_rows(engine, round_.predictions):
        block_rows = block_rows or len(round_.users)  # a block more would cost, and save nothing
    blend = _blends(round_, weights, method, engine, block_rows, progress)
    probes = Probes.of(engine.rank(blend, method.ties), round_, engine)
    probes.score_meta_models(scores)
    done = 0

    def scored(read: tuple[Integers, Array]) -> tuple[Integers, BlockScores, Any]:
        places, block = read
        found = score_block(engine.moments(block, probes.rows, method.ties), probes, method)
        return places, found, None if scores.hashes is None else scores.hashes_of(places, found)

    alone = reads_itself(round_.predictions, engine)
    if alone:
        block_rows = min(block_rows or GROUP, -(-len(round_.users) // (_BLOCKS * engine.at_once)))
    blocks = round_.blocks(block_rows)
    for places, found, hashes in _each(scored, blocks, round_, engine, alone):
        scores.put(places, found, hashes)
        done += len(places)
        progress("score", done, len(round_.users))
    ranks = engine.get(probes.rows[: method.draws + 1])
    scores.meta_models = MetaModels(round_.ids, ranks, engine.get(blend[-1:])[0])
    return scores


def _score_at_once(
    round_: Round, weights: Floats, method: Method, engine: ScoresRounds, scores: Scores
) -> bool:
    """Let an engine score a whole round, and say whether it has."""
    targets = targets_of(round_)
    plan = RoundPlan(
        round_.take(slice(None)),
        weights,
        np.concatenate([target.limbs for target in targets]),
        np.array([(len(one.limbs), one.exponent, one.variance) for one in targets]),
        method.ties,
        method.blend == "ranked",
        method.scale,
        per_draw=True,
    )
    found = engine.score_round(plan)
    if found is None:
        return False
    own = Probes(plan.limbs, targets, found.own[:, -1], list(_products(targets, found.own)))
    own.score_meta_models(scores)
    mmc, error, corr = (found.scores[:-1][first::3] for first in range(3))
    scores.put(slice(None), BlockScores(found.scores[-1], mmc, error, corr, found.per_draw))
    scores.meta_models = MetaModels(round_.ids, found.ranks.copy(), found.blend.copy())
    return True


def _gathers_rows(engine: Engine, matrix: Array) -> bool:
    """Return whether an engine's threads copy rows of a matrix only as they come to them."""
    by_rows = isinstance(matrix, np.ndarray) and lies_by_rows(matrix)
    return by_rows and engine.selects and not isinstance(engine, ScoresRounds)


def pool_of(round_: Round, method: Method) -> tuple[Integers, Floats]:
    """Return how often each draw picks each staker, and the weights of the blends.

    Returns:
        (D, S) times drawn; (D + 1, S) weights: one row a draw, and last the full stakes.
    """
    counts = kept_counts(round_.stakers, method.draws, method.sample, method.seed)
    return counts[:-1], draw_weights(round_.stakes[: round_.stakers], counts)


def blended(block: Array, method: Method, engine: Engine) -> Array:
    """Return what is blended: (B, N), the stakers' predictions or the ranks of these."""
    return engine.rank(block, method.ties) if method.blend == "ranked" else block


def targets_of(round_: Round) -> list[Target]:
    """Return the integers of a round's targets."""
    return [Target.of(name, values) for name, values in round_.targets.items()]


@dataclass(frozen=True)
class Probes:
    """What every user is measured against.

    Attributes:
        rows: (P, N) of the engine: the ranks of the draws' meta models and of that of the full
            stakes, then the targets' limbs.
        targets: (T,) the targets.
        squares: (D + 1,) the meta models' sums of squares.
        with_targets: (T, D + 1) the meta models' inner products with the targets.
        blend: (N,) the blend of the full stakes, where workers computed it.
    """

    rows: Array
    targets: list[Target]
    squares: Integers
    with_targets: list[Floats]
    blend: Any = None

    @classmethod
    def of(cls, meta_models: Array, round_: Round, engine: Engine) -> "Probes":
        """Return a round's probes from the ranks of its meta models, (D + 1, N) of the engine."""
        targets = targets_of(round_)
        limbs = np.concatenate([target.limbs for target in targets])
        rows = engine.stack([meta_models, limbs])
        moments = engine.moments(meta_models, limbs, "first")
        return cls(rows, targets, moments[:, -1], list(_products(targets, moments)))

    def score_meta_models(self, scores: Scores) -> None:
        """Store the meta models' own correlations with the targets."""
        for number, target in enumerate(self.targets):
            own = ratio(self.with_targets[number], self.squares, target.variance)
            scores.meta_model_corr[number], scores.full_meta_model_corr[number] = own[:-1], own[-1]


def _blends(
    round_: Round,
    weights: Floats,
    method: Method,
    engine: Engine,
    block_rows: int | None,
    progress: Progress,
) -> Array:
    """Return every draw's blend, and last that of the full stakes, of the engine."""
    blend = zeros = engine.zeros(len(weights), len(round_.ids))
    room = _AT_ONCE // (GROUP * len(round_.ids) * round_.predictions.dtype.itemsize)
    groups = reads_itself(round_.predictions, engine) and block_rows is None
    groups = groups and engine.at_once <= min(room, round_.stakers // (_BLOCKS * GROUP))
    stakers = round_.staker_blocks(GROUP if groups else block_rows)

    def combined(read: tuple[slice, Array]) -> tuple[int, Array]:
        places, part = read[0], blended(in_memory(read[1]), method, engine)
        return places.stop, engine.combine(zeros if groups else blend, part, weights[:, places])

    for stop, found in _each(combined, stakers, round_, engine, groups):
        blend = blend + found if groups else found
        progress("blend", stop, round_.stakers)
    return blend


def _each(
    work: Callable[[Any], _Found], blocks: Iterator[Any], round_: Round, engine: Engine, alone: bool
) -> Iterator[_Found]:
    """Yield what `work` makes of each block of a round, in their order.

    `alone`: each thread works on a block of its own, from the first byte to the last hash. One
    waits for the disk, or for Python, while another multiplies. Only where it `reads_itself`.
    """
    if alone:
        return side_by_side(work, blocks, engine.at_once, 2 * engine.at_once)
    return map(work, fetched(round_.predictions, blocks, engine))


def _products(targets: list[Target], moments: Integers) -> Iterator[Floats]:
    """Yield the inner products with each target: (B,), from (B, limbs) with all targets' limbs."""
    first = 0
    for target in targets:
        yield target.product(moments[:, first : first + len(target.limbs)])
        first += len(target.limbs)


def score_block(moments: Integers, probes: Probes, method: Method) -> BlockScores:
    """Return the scores of a block of users, from their (B, P + 1) moments with the probes."""
    draws, stocks = method.draws, probes.rows.shape[1]
    squares = moments[:, -1]
    shape = (len(probes.targets), len(moments))
    (mmc, error, corr), per_draw = np.empty((3, *shape)), np.empty((*shape, draws))
    products = _products(probes.targets, moments[:, draws + 1 :])
    for number, (target, with_target) in enumerate(zip(probes.targets, products, strict=True)):
        per_draw[number] = contributions(
            with_target,
            moments[:, :draws],
            probes.squares[:-1],
            probes.with_targets[number][:-1],
            target,
            stocks,
            method.scale,
        )
        mmc[number], error[number] = mean_and_error(per_draw[number])
        corr[number] = ratio(with_target, squares, target.variance)
    with_meta = ratio(moments[:, draws], squares, int(probes.squares[-1]))
    return BlockScores(with_meta, mmc, error, corr, per_draw)
