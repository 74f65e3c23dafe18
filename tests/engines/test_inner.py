"""Transformed ranks and their inner products on every engine, to the bit, against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_engines import KINDS, TIES, assert_same_bits, pandas_ranks, read_only

from mmc_gpu.engines.lanes import inner_products


def transform(engine, block, table, ties):
    return engine.get(engine.transform(engine.put(block), table, ties))


def looped(series, probe):
    """Return an inner product in the canonical order, one Python float after another."""
    lanes = [0.0] * 256
    for number, (value, weight) in enumerate(zip(series.tolist(), probe.tolist(), strict=True)):
        lanes[number % 256] += value * weight
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [low + high for low, high in zip(lanes[:half], lanes[half:], strict=True)]
    return lanes[0]


def expected(block, table, probes, ties):
    """Return the transformed rows, and their inner products."""
    series = table[pandas_ranks(block, ties) + block.shape[1] - 1]
    ones = np.ones(block.shape[1])
    sums = [[*(looped(row, p) for p in (*probes, ones)), looped(row, row)] for row in series]
    return series, np.array(sums).reshape(len(block), len(probes) + 2)


def made(rng, stocks, probes):
    """Return a table and probes whose sums depend on their order."""
    scales = np.exp(rng.normal(0, 3, (probes, stocks)))
    table = 1e3 * rng.normal(size=2 * stocks - 1)
    return read_only(table), read_only(rng.normal(size=(probes, stocks)) * scales)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("kind", KINDS)
def test_inner_products_are_those_of_a_plain_loop(engines, kind, ties):
    rng = np.random.default_rng(4)
    for stocks in (3, 255, 256, 257, 1500):
        block = read_only(KINDS[kind](rng, (2, stocks)))
        table, probes = made(rng, stocks, 3)
        series, sums = expected(block, table, probes, ties)
        for engine in engines:
            assert_same_bits(transform(engine, block, table, ties), series, engine.name)
            found = engine.inner(engine.put(block), table, probes, ties)
            assert_same_bits(found, sums, engine.name)


@given(
    rows=st.integers(1, 40), stocks=st.integers(3, 600), probes=st.integers(0, 9), f=st.booleans()
)
def test_any_shape_of_block_and_probes_will_do(engine, rows, stocks, probes, f):
    rng = np.random.default_rng(rows + stocks)
    block = rng.random((rows, stocks)).round(2).astype(np.float32 if f else np.float64)
    table, weights = made(rng, stocks, probes)
    series = table[pandas_ranks(block, "average") + stocks - 1]
    assert_same_bits(transform(engine, block, table, "average"), series)
    sums = engine.inner(engine.put(block), table, weights, "average")
    assert_same_bits(sums, inner_products(series, weights))


def test_a_row_of_a_large_block_has_the_bits_it_has_alone(engine):
    rng = np.random.default_rng(5)
    block = rng.random((600, 700)).round(2)
    table, probes = made(rng, 700, 2)
    strided = np.asfortranarray(block)
    together = engine.inner(engine.put(strided), table, probes, "average")
    for row in (0, 15, 16, 255, 256, 599):
        alone = engine.inner(engine.put(block[row : row + 1]), table, probes, "average")
        assert_same_bits(together[row : row + 1], alone)


@pytest.mark.parametrize("kind", KINDS)
def test_ends_are_those_of_a_stable_sort(engine, kind):
    rng = np.random.default_rng(7)
    for stocks, count in ((3, 1), (40, 20), (700, 1), (700, 111)):
        block = read_only(KINDS[kind](rng, (5, stocks)))
        order = np.argsort(block, axis=1, kind="stable")
        outer = np.concatenate([order[:, :count], order[:, -count:]], axis=1)
        found = engine.ends(engine.put(block), count)
        assert_same_bits(found, np.sort(outer, axis=1))


def test_rows_may_be_multiplied_as_they_are(engine):
    rng = np.random.default_rng(8)
    for dtype in (np.float32, np.float64):
        block = rng.normal(size=(300, 600)).astype(dtype)
        probes = rng.normal(size=(2, 600))
        expected = inner_products(block.astype(np.float64), probes)
        assert_same_bits(engine.inner(engine.put(block), None, probes, "first"), expected)


def test_blocks_without_rows_have_no_sums(engine):
    table, probes = made(np.random.default_rng(6), 30, 2)
    block = engine.put(np.zeros((0, 30)))
    assert engine.inner(block, table, probes, "first").shape == (0, 4)
    assert engine.get(engine.transform(block, table, "first")).shape == (0, 30)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ties", TIES)
def test_each_row_may_have_its_own_tables_and_probes(engine, ties, dtype):
    rng = np.random.default_rng(9)
    block = read_only(rng.random((70, 301)).round(2).astype(dtype))
    many = [[made(rng, 301, probes) for _ in block] for probes in (3, 1)]
    several = [
        (*(read_only(np.stack(one)) for one in zip(*own, strict=True)), ties) for own in many
    ]
    found = engine.products(engine.put(block), several)
    for sums, own in zip(found, many, strict=True):
        for row, one in enumerate(own):
            alone = engine.inner(engine.put(block[row : row + 1]), *one, ties)
            assert_same_bits(sums[row : row + 1], alone)


def test_zeros_behind_a_row_change_no_bit(engine):
    rng = np.random.default_rng(10)
    block = rng.random((1, 300)).round(2)
    table, probes = made(rng, 300, 2)
    expected = engine.inner(engine.put(block), table, probes, "average")
    wide = np.full((1, 340), 2.0)
    wide[:, :300] = block
    tables, many = np.zeros((1, 679)), np.zeros((1, 2, 340))
    tables[0, :599], many[0, :, :300] = table, probes
    (found,) = engine.products(engine.put(wide), [(tables, many, "average")])
    assert_same_bits(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_both_kinds_of_ranks_come_from_one_verb(engine, kind):
    rng = np.random.default_rng(9)
    spare = None
    for rows, stocks in ((7, 700), (5, 700), (3, 40)):
        block = engine.put(read_only(KINDS[kind](rng, (rows, stocks))))
        found = engine.rank_both(block, spare if stocks == 700 else None)
        for ties, ranks in zip(("first", "average"), found, strict=True):
            assert_same_bits(engine.get(ranks), engine.get(engine.rank(block, ties)))
        spare = found


@pytest.mark.parametrize("ties", TIES)
def test_ranks_are_looked_up_and_summed_as_the_rows_are(engine, ties):
    rng = np.random.default_rng(10)
    for stocks in (3, 255, 256, 257, 1500):
        block = engine.put(rng.random((4, stocks)).round(2))
        table, probes = made(rng, stocks, 3)
        ranks = engine.rank(block, ties)
        assert_same_bits(
            engine.inner(ranks, table, probes, ties), engine.inner(block, table, probes, ties)
        )
        series = [engine.get(engine.transform(rows, table, ties)) for rows in (ranks, block)]
        assert_same_bits(*series)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_several_sums_of_one_block_are_those_of_each_verb(engine, dtype):
    rng = np.random.default_rng(11)
    block = read_only(rng.random((70, 601)).round(2).astype(dtype))
    limbs = rng.integers(-9, 9, (2, 601), dtype=np.int32)
    tables = [made(rng, 601, probes) for probes in (1, 3, 2)]  # three: the last without a partner
    several = [(*one, ties) for ties in TIES for one in (*tables, (None, limbs))]
    found = engine.products(engine.put(block), several)
    for (table, probes, ties), sums in zip(several, found, strict=True):
        if table is None:
            expected = engine.moments(engine.put(block), probes, ties)
        else:
            expected = engine.inner(engine.put(block), table, probes, ties)
        assert_same_bits(np.ascontiguousarray(sums), expected)
