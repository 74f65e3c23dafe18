"""What a GPU engine has to agree with, to the bit: the NumPy engine, on the same calls."""

from typing import Any

import numpy as np

from mmc_gpu.engines.numpy_engine import NumpyEngine
from mmc_gpu.engines.protocol import GROUP

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


def check_begun(engine: Any, block: Any, ties: Any = "first") -> None:
    """Take the moments of rows whose ranks were begun before those of the blends."""
    weights, limbs = make_weights(3, len(block)), make_probes(2, block.shape[1])
    zeros = np.zeros((3, block.shape[1]))
    there = engine.put(block)
    begun = engine.begin(there, ties)  # as its rows arrive, where they come from the host
    again = engine.begin(there, ties)
    blend = engine.combine(engine.zeros(3, block.shape[1]), there, weights)
    meta_models = engine.rank(blend, ties)
    expected = REFERENCE.rank(REFERENCE.combine(zeros, block, weights), ties)
    probes = np.concatenate([expected, limbs])
    own = engine.moments(meta_models, limbs, "first")
    np.testing.assert_array_equal(own, REFERENCE.moments(expected, limbs, "first"))
    moments = engine.moments(begun, engine.stack([meta_models, limbs]), ties)
    del begun
    engine.begin(there, ties)  # in the memory of those before
    np.testing.assert_array_equal(engine.moments(again, probes, ties), moments)
    del again
    np.testing.assert_array_equal(moments, REFERENCE.moments(block, probes, ties))
    np.testing.assert_array_equal(engine.get(meta_models), expected)
    np.testing.assert_array_equal(engine.get(there), block)
    for rows in (block[:40], block):
        begun = engine.begin(engine.put(rows), ties)  # nobody else has what is ranked
        moments = engine.moments(begun, limbs, ties)
        np.testing.assert_array_equal(moments, REFERENCE.moments(rows, limbs, ties))


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
    check_begun(engine, block)
    check_others(engine, block[::40], put=put)
