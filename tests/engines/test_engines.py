"""The verbs of every engine, to the bit: against pandas ranks, a plain loop, Python's integers.

Long, because every verb of the protocol is here, for all engines.
"""

import inspect
import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle import blended

from mmc_gpu.engines import ENGINES, Engine, EngineUnavailable, load_engine, protocol

TIES = ("first", "average")
ULP = np.finfo(np.float64).eps


def rank(engine, series, ties="first"):
    return engine.get(engine.rank(engine.put(series), ties))


def moments(engine, block, probes, ties="first"):
    return engine.moments(engine.put(block), np.asarray(probes, np.int32), ties)


def combine(engine, blocks, weights):
    """Return the blend of blocks that hold consecutive stakers."""
    blend, start = engine.put(np.zeros((len(weights), blocks[0].shape[1]))), 0
    for block in blocks:
        part = weights[:, start : start + len(block)]
        blend, start = engine.combine(blend, engine.put(block), part), start + len(block)
    return engine.get(blend)


def pandas_ranks(series, ties):
    ranks = pd.DataFrame(np.asarray(series, np.float64)).rank(axis=1, method=ties).to_numpy()
    return (2 * ranks - (ranks.shape[1] + 1)).astype(np.int32)


def python_moments(block, probes, ties):
    ranks = pandas_ranks(block, ties).astype(object)
    squares = (ranks * ranks).sum(axis=1)
    return np.column_stack([ranks @ np.asarray(probes).astype(object).T, squares]).astype(np.int64)


def assert_same_bits(result, expected, told=""):
    assert result.dtype == expected.dtype, told
    assert result.shape == expected.shape, told
    np.testing.assert_array_equal(result, expected, err_msg=told)
    assert result.tobytes() == expected.tobytes(), told  # the sign of zero, too


def read_only(array):
    array.flags.writeable = False
    return array


# Each is (rng, (rows, stocks)) -> series.
KINDS = {
    "uniform": lambda rng, shape: rng.random(shape),
    "one decimal": lambda rng, shape: rng.random(shape).round(1),
    "two values": lambda rng, shape: rng.integers(0, 2, shape) * 1.0,
    "constant": lambda rng, shape: np.full(shape, 0.5),
    "constant but one": lambda rng, shape: np.eye(*shape),
    "ascending": lambda rng, shape: np.sort(rng.random(shape), axis=1),
    "descending": lambda rng, shape: -np.sort(rng.random(shape), axis=1),
    "saw": lambda rng, shape: np.arange(shape[0] * shape[1]).reshape(shape) % 7 - 3.0,
    "cauchy": lambda rng, shape: rng.standard_cauchy(shape),
    "lognormal": lambda rng, shape: np.exp(rng.normal(0, 20, shape)),
    "an ulp apart": lambda rng, shape: (
        rng.integers(1, 6, shape) / 4 * (1 + ULP * rng.integers(0, 3, shape))
    ),
    "a tiny spread": lambda rng, shape: 0.5 + 1e-12 * rng.random(shape),
    "subnormal": lambda rng, shape: rng.integers(-9, 9, shape) * 5e-324,
    "huge": lambda rng, shape: rng.uniform(-1, 1, shape) * 1.7e308,
    "signed zeros": lambda rng, shape: rng.choice([0.0, -0.0, 1e-300, -1e-300], shape),
    "mostly a half": lambda rng, shape: np.where(rng.random(shape) < 0.99, 0.5, rng.random(shape)),
    "outliers": lambda rng, shape: rng.random(shape) * np.where(rng.random(shape) < 0.01, 1e30, 1),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_are_those_of_pandas(engines, kind):
    rng = np.random.default_rng(1)
    for stocks, dtype in product((3, 64, 1000, 5003), (np.float32, np.float64)):
        series = KINDS[kind](rng, (5, stocks))
        if dtype == np.float32:
            series = np.clip(series, -3e38, 3e38).astype(dtype)
        for ties in TIES:
            expected = pandas_ranks(series, ties)
            for engine in engines:
                told = f"{engine.name}: {stocks} stocks, {dtype.__name__}, {ties}"
                assert_same_bits(rank(engine, read_only(series), ties), expected, told)


@pytest.mark.parametrize("ties", TIES)
@given(data=st.data())
def test_ranks_of_anything_finite_are_those_of_pandas(engine, ties, data):
    width = data.draw(st.sampled_from([32, 64]))
    finite = st.floats(allow_nan=False, allow_infinity=False, width=width)
    shapes = st.tuples(st.integers(1, 4), st.integers(1, 70))
    series = data.draw(hnp.arrays(f"float{width}", shapes, elements=finite))
    assert_same_bits(rank(engine, series, ties), pandas_ranks(series, ties))


def test_equal_values_rank_in_order_of_appearance(engine):
    assert rank(engine, np.array([[0.3, 0.1, 0.3]])).tolist() == [[0, -2, 2]]


def test_equal_values_share_their_mean_rank(engine):
    assert rank(engine, np.array([[0.3, 0.1, 0.3]]), "average").tolist() == [[1, -2, 1]]


def test_negative_zero_equals_zero(engine):
    assert rank(engine, np.array([[0.0, -0.0, -1.0]])).tolist() == [[0, 2, -2]]
    assert rank(engine, np.array([[0.0, -0.0, -1.0]]), "average").tolist() == [[1, 1, -2]]


def test_close_float64_values_are_not_ranked_in_float32(engine):
    assert rank(engine, np.array([[1 + ULP, 1.0, 1 - ULP]])).tolist() == [[2, 0, -2]]


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("stocks", [1, 2, 3])
def test_the_smallest_rows_rank(engine, stocks, ties):
    series = np.random.default_rng(stocks).integers(0, 2, (20, stocks)) / 2
    assert_same_bits(rank(engine, series, ties), pandas_ranks(series, ties))


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("stocks", [60_000, 200_001])
def test_long_rows_rank(engines, stocks, ties):
    rng = np.random.default_rng(2)
    series = np.stack([rng.random(stocks), rng.random(stocks).round(3)])
    expected = pandas_ranks(series, ties)
    for engine in engines:
        assert_same_bits(rank(engine, series, ties), expected, engine.name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_strides_change_no_rank(engine, dtype):
    series = np.random.default_rng(3).random((40, 600)).round(3).astype(dtype)
    expected = rank(engine, series)
    assert_same_bits(rank(engine, np.asfortranarray(series)), expected)
    assert_same_bits(rank(engine, read_only(np.repeat(series, 2, axis=1))[:, ::2]), expected)
    assert_same_bits(rank(engine, np.repeat(series, 2, axis=0)[::2]), expected)


def test_many_rows_rank_one_by_one(engine):
    series = np.random.default_rng(4).random((700, 50)).round(2)
    expected = np.concatenate([rank(engine, series[row : row + 1]) for row in range(700)])
    assert_same_bits(rank(engine, series), expected)


def staked_block(stakers, stocks=7, draws=3):
    """Return (stakers, stocks) predictions and (draws, stakers) weights, a third of them 0."""
    rng = np.random.default_rng(stakers)
    weights = rng.exponential(size=(draws, stakers)) * (rng.random((draws, stakers)) < 2 / 3)
    return rng.random((stakers, stocks)), weights / stakers


def loop(block, weights):
    return np.stack([blended(block.astype(np.float64), row) for row in weights.tolist()])


@pytest.mark.parametrize("stakers", [1, 2, 1023, 1024, 1025, 2049])
def test_blends_are_those_of_the_loop(engine, stakers):
    block, weights = staked_block(stakers)
    assert_same_bits(combine(engine, [read_only(block)], weights), loop(block, weights))


@pytest.mark.parametrize("stocks", [1, 3, 511, 513, 1030])
@pytest.mark.parametrize("draws", [1, 21])
def test_blends_of_any_width_are_those_of_the_loop(engines, stocks, draws):
    block, weights = staked_block(37, stocks, draws)
    expected = loop(block, weights)
    for engine in engines:
        assert_same_bits(combine(engine, [block], weights), expected, engine.name)


def test_blocks_of_whole_groups_change_no_blend(engine):
    block, weights = staked_block(3100)
    expected = loop(block, weights)
    for edges in ([1024], [2048], [1024, 2048], [1024, 2048, 3072]):
        assert_same_bits(combine(engine, np.split(block, edges), weights), expected)


def test_group_sums_are_added_one_after_another(engine):
    # one by one, two halves of an ulp both round away from 1; as a group they are an ulp
    block = np.zeros((1026, 1))
    block[[0, 1024, 1025]] = [[1.0], [2.0**-53], [2.0**-53]]
    assert combine(engine, [block], np.ones((1, 1026))).tolist() == [[1 + 2.0**-52]]


def test_products_are_rounded_before_they_are_added(engine):
    # (1 + 2^-27)^2 = 1 + 2^-26 + 2^-54 rounds to 1 + 2^-26; a fused product would leave 2^-54
    factor = 1 + 2.0**-27
    block = np.array([[-1 - 2.0**-26], [factor]])
    assert combine(engine, [block], np.array([[1.0, factor]])).tolist() == [[0.0]]


def test_float32_predictions_are_widened_before_they_are_weighted(engine):
    block, weights = staked_block(50)
    assert_same_bits(
        combine(engine, [block.astype(np.float32)], weights),
        loop(block.astype(np.float32), weights),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormal_predictions_are_not_flushed(engine, dtype):
    least = np.finfo(dtype).smallest_subnormal
    block = np.arange(1, 13).astype(dtype).reshape(3, 4) * least
    weights = np.array([[0.5, 0.25, 0.25]])
    assert_same_bits(combine(engine, [block], weights), loop(block, weights))
    assert combine(engine, [block], weights).all()


def test_ranks_are_blended_as_they_are(engine):
    block, weights = staked_block(60)
    ranks = engine.rank(engine.put(block), "first")
    blend = engine.combine(engine.put(np.zeros((3, 7))), ranks, weights)
    assert_same_bits(engine.get(blend), loop(pandas_ranks(block, "first"), weights))


def test_strides_change_no_blend(engine):
    block, weights = staked_block(1100)
    expected = loop(block, weights)
    assert_same_bits(combine(engine, [np.asfortranarray(block)], weights), expected)
    assert_same_bits(combine(engine, [np.repeat(block, 2, axis=1)[:, ::2]], weights), expected)
    wide = np.repeat(weights, 2, axis=1)[:, ::2]
    assert_same_bits(combine(engine, [block], read_only(wide)), expected)


@pytest.mark.parametrize("stocks", [1, 2, 3, 31, 64, 65, 1000, 5003])
def test_moments_are_those_of_python_integers(engines, stocks):
    rng = np.random.default_rng(stocks)
    for dtype, ties in product((np.float32, np.float64), TIES):
        block = rng.random((9, stocks)).astype(dtype)
        block[::2] = block[::2].round(1)
        probes = np.concatenate(
            [
                pandas_ranks(rng.random((21, stocks)), ties),
                rng.integers(-(2**23), 2**23, (2, stocks), endpoint=True),
            ]
        )
        expected = python_moments(block, probes, ties)
        for engine in engines:
            result = moments(engine, read_only(block), read_only(probes), ties)
            assert_same_bits(result, expected, f"{engine.name}: {dtype.__name__}, {ties}")


@pytest.mark.parametrize("ties", TIES)
def test_moments_are_exact_where_float64_sums_are_not(engine, ties):
    # every product is positive: partial sums reach 50,000^2 / 2 * 2^23 > 2^53
    stocks = 50_000
    ascending = np.arange(stocks) / stocks
    block = np.stack([ascending, ascending.round(2), -ascending])
    limbs = np.where(ascending < 0.5, -(2**23), 2**23)
    limbs[::3] += np.where(limbs[::3] < 0, 1, -1)  # odd sums, which float64 would have to round
    probes = np.stack([limbs, -limbs, pandas_ranks(block, "first")[0]])
    assert_same_bits(moments(engine, block, probes, ties), python_moments(block, probes, ties))


def test_moments_of_a_million_stocks_stay_within_int64(engine):
    ascending = np.arange(1_000_000.0)[None]
    probes = np.stack([np.where(ascending[0] < 500_000, -(2**23), 2**23), np.ones(1_000_000)])
    # ranks are the odd numbers to +-999,999: |rank| sums to 5e11, squares to n (n^2 - 1) / 3
    expected = [[500_000_000_000 * 2**23, 0, 10**6 * (10**12 - 1) // 3]]
    assert moments(engine, ascending, probes).tolist() == expected


def test_correlated_rows_do_not_overflow_narrow_sums(engine):
    # a rank of 4,999 squared fills 25 bits: a hundred and some of them fill 32
    ascending = np.arange(5000.0)[None]
    probes = pandas_ranks(np.concatenate([ascending] * 3), "first")
    expected = 5000 * (5000**2 - 1) // 3
    assert moments(engine, ascending, probes).tolist() == [[expected] * 4]


@pytest.mark.parametrize("ties", TIES)
def test_a_probe_of_ones_gives_zero(engine, ties):
    block = np.random.default_rng(5).random((40, 301)).round(2)
    assert not moments(engine, block, np.ones((1, 301)), ties)[:, 0].any()


def test_moments_of_a_row_do_not_depend_on_its_neighbours(engine):
    rng = np.random.default_rng(6)
    block, probes = rng.random((700, 90)).round(2), pandas_ranks(rng.random((5, 90)), "first")
    expected = moments(engine, block, probes)
    for edges in ([1], [255, 256, 257], [16, 33, 699]):
        parts = [moments(engine, part, probes) for part in np.split(block, edges)]
        assert_same_bits(np.concatenate(parts), expected)
    assert_same_bits(moments(engine, np.asfortranarray(block), probes), expected)
    assert_same_bits(moments(engine, np.repeat(block, 2, axis=1)[:, ::2], probes), expected)
    assert_same_bits(moments(engine, block[::-1], probes)[::-1], expected)


@pytest.mark.parametrize("probes", [0, 1, 2, 15, 16, 17, 33, 200])
def test_any_number_of_probes_gives_the_same_moments(engine, probes):
    rng = np.random.default_rng(7)
    block, limbs = rng.random((5, 130)), rng.integers(-(2**23), 2**23, (probes, 130))
    assert_same_bits(moments(engine, block, limbs), python_moments(block, limbs, "first"))


def test_verbs_leave_their_arguments_alone(engine):
    block, weights = staked_block(60)
    blend, put = engine.put(np.ones((3, 7))), engine.put(block.copy())
    engine.combine(blend, put, weights)
    engine.rank(put, "average")
    engine.moments(put, np.ones((2, 7), np.int32), "first")
    np.testing.assert_array_equal(engine.get(blend), 1.0)
    np.testing.assert_array_equal(engine.get(put), block)


def test_an_engine_has_the_name_it_is_loaded_by(engine):
    assert load_engine(engine.name).name == engine.name
    assert engine.name in ENGINES


def test_an_unknown_engine_is_refused_by_name():
    with pytest.raises(ValueError, match=r"no engine 'cuda'.*numpy"):
        load_engine("cuda")


def test_auto_takes_the_fastest_that_works(monkeypatch):
    def missing(threads):
        raise EngineUnavailable("no such device")

    numpy = ENGINES["numpy"]
    monkeypatch.setattr(
        "mmc_gpu.engines.ENGINES", {"slow": missing, "numpy": numpy, "fast": missing}
    )
    assert load_engine("auto").name == "numpy"


def test_a_named_engine_that_cannot_run_is_never_replaced(monkeypatch):
    def missing(threads):
        raise EngineUnavailable("no such device")

    monkeypatch.setitem(ENGINES, "fast", missing)
    with pytest.raises(EngineUnavailable, match="no such device"):
        load_engine("fast")


VERBS = {
    "to move": "put get zeros stack",
    "for rounds": "combine rank moments",
    "for metrics": "rank_both ends transform inner products",
}


def test_the_protocol_names_its_verbs_in_three_groups():
    for group, verbs in VERBS.items():
        assert re.search(rf"\n    {group} +{verbs.replace(' ', '  ')}\n", protocol.__doc__)
    names = [name for name, of in vars(Engine).items() if inspect.isfunction(of)]
    assert [name for name in names if name[0] != "_"] == " ".join(VERBS.values()).split()


@pytest.mark.parametrize("verb", " ".join(VERBS.values()).split())
def test_an_engine_takes_the_protocols_arguments(engine, verb):
    expected, found = (
        list(inspect.signature(getattr(of, verb)).parameters) for of in (Engine, type(engine))
    )
    assert found == expected


def test_an_engine_says_what_the_protocol_asks(engine):
    assert type(engine.selects) is bool
    assert engine.at_once >= 1
    assert set(Engine.__annotations__) == {"name", "selects", "at_once"}
