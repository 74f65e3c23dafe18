"""What a GPU engine has to agree with, to the bit: the NumPy engine, on the same calls."""

from dataclasses import replace
from typing import Any

import numpy as np

from mmc_gpu.engines.numpy_engine import NumpyEngine
from mmc_gpu.engines.protocol import GROUP, RoundFound, RoundPlan
from mmc_gpu.engines.selection import Selection
from mmc_gpu.rounds.algebra import Target
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.scoring import Probes, _products, score_block

REFERENCE = NumpyEngine()


def make_block(rows: int, stocks: int, dtype: Any, seed: int = 0) -> Any:
    """Return seeded predictions, a third of them tied, few rows all tied."""
    rng = np.random.default_rng([rows, stocks, seed])
    block = rng.random((rows, stocks))
    block[::3] = np.round(block[::3], 1)
    block[4::200] = 0.5
    return block.astype(dtype)


def make_weights(draws: int, stakers: int) -> Any:
    """Return seeded weights, a third of them 0."""
    rng = np.random.default_rng([draws, stakers])
    return rng.random((draws, stakers)) * (rng.random((draws, stakers)) < 0.67)


def make_probes(count: int, stocks: int) -> Any:
    """Return seeded integers as large as limbs are."""
    rng = np.random.default_rng([count, stocks])
    return rng.integers(-(2**23), 2**23 + 1, (count, stocks)).astype(np.int32)


def check_combine(engine: Any, blocks: list[Any], weights: Any, *, put: bool = True) -> None:
    """Blend these blocks, one after another, on both engines."""
    blend = np.random.default_rng(5).normal(size=(len(weights), blocks[0].shape[1]))
    expected, total, first = blend, engine.put(blend), 0
    for block in blocks:
        part = weights[:, first : first + len(block)]
        expected = REFERENCE.combine(expected, block, part)
        total = engine.combine(total, engine.put(block) if put else block, part)
        first += len(block)
    found = engine.get(total)
    np.testing.assert_array_equal(found.view(np.int64), expected.view(np.int64))


def check_rank(engine: Any, series: Any, ties: Any, *, put: bool = True) -> None:
    """Rank these rows on both engines."""
    ranks = engine.get(engine.rank(engine.put(series) if put else series, ties))
    assert ranks.dtype == np.int32
    np.testing.assert_array_equal(ranks, REFERENCE.rank(series, ties))


def check_moments(engine: Any, block: Any, probes: Any, ties: Any, *, put: bool = True) -> None:
    """Take the moments of these rows on both engines."""
    moments = engine.moments(engine.put(block) if put else block, probes, ties)
    assert moments.dtype == np.int64
    np.testing.assert_array_equal(moments, REFERENCE.moments(block, probes, ties))


def check_others(engine: Any, block: Any, *, put: bool = True) -> None:
    """Do with these rows what the other scores need, on both engines."""
    stocks = block.shape[1]
    rng = np.random.default_rng(stocks)
    table, probes = rng.normal(size=2 * stocks - 1), rng.normal(size=(3, stocks))
    there = engine.put(block) if put else block
    for ties in ("first", "average"):
        found = engine.get(engine.transform(there, table, ties))
        np.testing.assert_array_equal(found, REFERENCE.transform(block, table, ties))
        for given in (table, None):
            found = engine.inner(there, given, probes, ties)
            np.testing.assert_array_equal(found, REFERENCE.inner(block, given, probes, ties))
    for found, expected in zip(engine.rank_both(there), REFERENCE.rank_both(block), strict=True):
        np.testing.assert_array_equal(engine.get(found), expected)
    ranks = REFERENCE.rank(block, "first")
    found = engine.inner(engine.put(ranks) if put else ranks, None, probes, "first")
    np.testing.assert_array_equal(found, REFERENCE.inner(ranks, None, probes, "first"))
    rows, several = len(block), []
    own = rng.normal(size=(rows, len(table))), rng.normal(size=(rows, 2, stocks))
    for ties in ("average", "first"):
        several += [(*own, ties), (table, probes, ties), (None, make_probes(2, stocks), ties)]
    for found, expected in zip(
        engine.products(there, several), REFERENCE.products(block, several), strict=True
    ):
        np.testing.assert_array_equal(found, expected, strict=True)
    ends = engine.ends(there, stocks // 3)
    np.testing.assert_array_equal(ends, REFERENCE.ends(block, stocks // 3))


def check_round(engine: Any, *, put: bool = True) -> None:
    """Do what a round does: blend in blocks, rank the blends, take every user's moments."""
    block, stocks = make_block(2 * GROUP + 70, 37, np.float32), 37
    weights = make_weights(12, len(block))
    check_combine(engine, [block[:GROUP], block[GROUP:]], weights, put=put)
    ranked, some = block[: GROUP + 90], weights[:, : GROUP + 90]
    blend = np.zeros((12, stocks))
    expected = REFERENCE.combine(blend, REFERENCE.rank(ranked, "average"), some)
    ranks = engine.rank(engine.put(ranked) if put else ranked, "average")
    found = engine.get(engine.combine(engine.put(blend), ranks, some))
    np.testing.assert_array_equal(found, expected)
    check_rank(engine, expected, "first")
    check_moments(engine, block[::3], make_probes(9, stocks), "first", put=put)
    check_others(engine, block[::40], put=put)


def make_plan(users: int, stocks: int, dtype: Any, draws: int = 3, **options: Any) -> RoundPlan:
    """Return a seeded round of two targets, for `score_round`; the second has one limb.

    With `flat`, the stakers' predictions are all 0.5: with shared ties, meta models are constant.
    """
    rng = np.random.default_rng([users, stocks])
    weights = make_weights(draws + 1, options.pop("stakers", users))
    values = {"a": rng.normal(size=stocks), "b": np.r_[0, 1, rng.integers(0, 3, stocks - 2)] / 2}
    targets = [Target.of(name, one) for name, one in values.items()]
    block = make_block(users, stocks, dtype)
    if options.pop("flat", False):
        block[: weights.shape[1]] = 0.5
    given = {"ties": "first", "ranked": False, "scale": 0.0841, "per_draw": True} | options
    return RoundPlan(
        block,
        weights,
        np.concatenate([target.limbs for target in targets]),
        np.array([(len(one.limbs), one.exponent, one.variance) for one in targets]),
        **given,
    )


def expected_of(plan: RoundPlan) -> RoundFound:
    """Return what a round's plan asks for, by the shared path on the NumPy engine."""
    draws, block = len(plan.weights) - 1, plan.block
    block = block.copy() if isinstance(block, Selection) else block
    stakers = block[: plan.weights.shape[1]]
    blended = REFERENCE.rank(stakers, plan.ties) if plan.ranked else stakers
    blend = REFERENCE.combine(np.zeros((draws + 1, block.shape[1])), blended, plan.weights)
    ranks = REFERENCE.rank(blend, plan.ties)
    own = REFERENCE.moments(ranks, plan.limbs, "first")
    first, targets = 0, []
    for count, exponent, variance in plan.targets:
        limbs = plan.limbs[first : first + int(count)]
        targets.append(Target("", limbs, int(exponent), variance))
        first += int(count)
    probes = Probes(
        np.concatenate([ranks, plan.limbs]), targets, own[:, -1], list(_products(targets, own))
    )
    moments = REFERENCE.moments(block, probes.rows, plan.ties)
    scored = score_block(moments, probes, Method(draws=draws, scale=plan.scale))
    of_targets = np.stack([scored.mmc, scored.mmc_se, scored.corr], axis=1).reshape(-1, len(block))
    rows = np.concatenate([of_targets, scored.corr_with_meta_model[None]])
    return RoundFound(rows, scored.per_draw, own, blend[-1], ranks)


def check_plan(engine: Any, plan: RoundPlan, given: Any = None) -> None:
    """Score a round on both engines; with `given` its block is that, on the GPU say."""
    expected = expected_of(plan)
    found = engine.score_round(plan if given is None else replace(plan, block=given))
    assert found is not None
    for name in ("own", "blend", "ranks"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)
    same_bits(found.scores, expected.scores)
    if plan.per_draw:
        same_bits(found.per_draw, expected.per_draw)
    else:
        assert found.per_draw.shape == (*expected.per_draw.shape[:2], 0)


def same_bits(found: Any, expected: Any) -> None:
    """Assert that numbers are the same, and zeros of the same sign; NaN has no sign."""
    np.testing.assert_array_equal(found, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(expected[numbers]))
