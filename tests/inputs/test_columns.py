"""Columns to and from Arrow, beside what pyarrow makes of them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mmc_gpu.errors import RoundError
from mmc_gpu.inputs.columns import as_arrow, gather_columns, holds_floats, numbers
from mmc_gpu.inputs.frames import take_frame
from mmc_gpu.inputs.names import is_ascending

_COLUMNS = {
    "text": ["plain", "", "naïve", "数値", "🙂 two", "last"],
    "no text": [],
    "numbers": np.array([0.0, -0.0, np.nan, np.inf, 5e-324]),
    "narrow numbers": np.arange(7, dtype=np.float32),
    "every other number": np.arange(10)[::-2],
    "other objects": [True, None, False],
}


@pytest.mark.parametrize("values", _COLUMNS.values(), ids=_COLUMNS)
def test_arrow_holds_the_same_values(values):
    kind = pa.string() if len(values) == 0 else None
    made, expected = as_arrow(values), pa.array(values, kind)
    made.validate(full=True)
    assert made.type == expected.type
    if isinstance(values, np.ndarray):
        assert made.to_numpy().tobytes() == expected.to_numpy().tobytes()
    else:
        assert made.equals(expected)


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64(), pa.int8(), pa.uint64()])
def test_a_part_of_an_arrow_column_is_read_with_its_gaps(kind):
    whole = pa.array([1, 2, None, 4, 5], pa.float64()).cast(kind)
    values = numbers(whole.slice(1, 3), "user 'u'")
    np.testing.assert_array_equal(values, [2, np.nan, 4])
    assert values.dtype == (np.float64 if kind.bit_width == 64 else np.float32)


@pytest.mark.parametrize("gap", [[], [None]])
@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64()])
def test_arrow_integers_beyond_float64_are_refused_with_gaps_or_without(kind, gap):
    np.testing.assert_array_equal(numbers(pa.array([2**53, *gap], kind), "u")[0], 2.0**53)
    with pytest.raises(RoundError, match=r"u: integers beyond 2\*\*53"):
        numbers(pa.array([2**53 + 1, *gap], kind), "u")


def test_columns_of_floats_are_told_apart():
    floats = [pa.array([0.5]), pa.array([0.5], pa.float32()), pd.Series([0.5]), np.float32([1])]
    floats.append(pd.Series([0.5, None], dtype="Float64"))
    others = [pa.array([1]), pa.array(["a"]), pd.Series([1]), pd.Series(["a"])]
    assert [holds_floats(column) for column in floats + others] == [True] * 5 + [False] * 4


def test_an_arrow_column_of_nothing_is_missing():
    assert np.isnan(numbers(pa.nulls(3), "user 'u'")).all()
    assert len(numbers(pa.chunked_array([], pa.float64()), "user 'u'")) == 0


def test_columns_become_rows_and_faulty_ones_stay_empty():
    columns = [np.float32([1, 2]), ["a", "b"], np.array([3.0, 4.0]), None, np.float32([5, 6])]
    faults = {3: RoundError("user-name", "another fault, found before")}
    labels = [f"user {row}" for row in range(5)]
    matrix = gather_columns(labels, 2, lambda row: pa.array(columns[row]), faults)
    expected = [[1, 2], [np.nan] * 2, [3, 4], [np.nan] * 2, [5, 6]]
    np.testing.assert_array_equal(matrix, expected)
    assert matrix.dtype == np.float64
    assert {row: fault.code for row, fault in faults.items()} == {1: "value-text", 3: "user-name"}


@pytest.mark.parametrize("rows", [0, 2])
def test_columns_that_all_are_faulty_make_an_empty_matrix(rows):
    faults = {}
    matrix = gather_columns(["user"] * rows, 3, lambda row: np.array(["text"] * 3), faults)
    assert matrix.shape == (rows, 3)
    assert np.isnan(matrix).all()
    assert list(faults) == list(range(rows))


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_an_arrow_table_of_one_float_type_becomes_one_matrix(kind):
    rows = np.random.default_rng(0).random((150, 7)).astype(kind.to_pandas_dtype())
    table = pa.table({f"u{at}": pa.array(row, kind) for at, row in enumerate(rows)})
    gap = table.set_column(3, "u3", pa.array([None, *rows[3, 1:].tolist()], kind))
    rows[3, 0] = np.nan
    for chunks in (gap, pa.concat_tables([gap[:2], gap[2:]])):
        np.testing.assert_array_equal(take_frame(chunks, "").block(), rows, strict=True)
    mixed = gap.append_column("u", pa.array(np.arange(7)))
    assert take_frame(mixed, "").block() is None


@pytest.mark.parametrize(
    ("ids", "ascending"),
    [
        (["a", "b", "ba", "é", "😀"], True),  # as Python orders text
        (["a"], True),
        (["b", "a"], False),
        (["a", "a"], False),
        (["a", None, "b"], False),
    ],
    ids=str,
)
def test_ids_that_ascend_are_found_where_arrow_has_them(ids, ascending):
    index = pd.Index(ids, dtype=pd.StringDtype("pyarrow", na_value=np.nan))
    assert is_ascending(index) == ascending
    assert is_ascending(index.append(index[:0])) == ascending  # chunks
    assert not is_ascending(index.astype(object))
    assert not is_ascending(pd.Index(range(3)))
