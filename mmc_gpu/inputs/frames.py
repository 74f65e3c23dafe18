"""Tables as people bring them, taken apart: pandas, Arrow streams (polars, duckdb), arrays.

And put together again, in the caller's kind.
"""

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array, as_array
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.columns import numbers
from mmc_gpu.inputs.names import as_ids, check_ids


@dataclass
class Table:
    """A frame with ids, taken apart.

    Attributes:
        ids: of its rows, checked.
        names: of its other columns.
        column: the values of the other column at a place, as they came.
        block: (columns, rows) all other columns as one float32 or float64 array, without a copy,
            where the frame holds them like that.
    """

    ids: list[str]
    names: list[Any]
    column: Callable[[int], Any]
    block: Array | None = None


def is_frame(data: Any) -> bool:
    """Return whether data is a frame: pandas' or one with an Arrow stream."""
    return hasattr(data, "__arrow_c_stream__") or is_pandas(data, "DataFrame")


def is_pandas(data: Any, kind: str) -> bool:
    """Return whether data is a pandas object of that kind, without importing pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, getattr(pandas, kind))


def is_polars(data: Any) -> bool:
    """Return whether data is polars', so that tables made of it should be too."""
    return type(data).__module__.partition(".")[0] == "polars"


def make_frame(columns: Mapping[str, Any], polars: bool) -> Any:
    """Return columns as a frame of polars or pandas."""
    if polars:
        import polars as pl

        return pl.DataFrame(dict(columns))
    import pandas as pd

    return pd.DataFrame(dict(columns))


def take_table(frame: Any, place: str) -> Table:
    """Return a frame, taken apart; ids are in pandas' index or in an `id` column.

    Raises:
        RoundError: the header or the ids are faulty.
    """
    table = (
        _from_pandas(frame, place)
        if is_pandas(frame, "DataFrame")
        else _from_arrow(arrow_table(frame), place)
    )
    check_ids(table.ids, place)
    return table


def arrow_table(frame: Any) -> Any:
    """Return anything with `__arrow_c_stream__` as a pyarrow.Table."""
    import pyarrow as pa

    return frame if isinstance(frame, pa.Table) else pa.table(frame)  # which imports pandas


def index_column(schema: Any) -> str | None:
    """Return the column of an Arrow schema that pandas wrote its index to; None without just one.

    What pandas says there is anybody's text: what it cannot be is passed over.
    """
    try:
        columns = schema.pandas_metadata["index_columns"]
        stored = [name for name in columns if isinstance(name, str)]  # a range is a dict
    except (KeyError, TypeError, ValueError):
        return None
    return stored[0] if len(stored) == 1 and stored[0] in schema.names else None


def _from_arrow(table: Any, place: str) -> Table:
    check_header(table.column_names, place)
    (at,) = named_columns(table.column_names, ("id",), place)
    if not table.num_rows:
        raise RoundError("file-empty", f"{place}: no rows")
    others = [column for column in range(table.num_columns) if column != at]
    return Table(
        as_ids(table.column(at), place),
        [table.column_names[column] for column in others],
        lambda place: table.column(others[place]),
    )


def _from_pandas(frame: Any, place: str) -> Table:
    import pandas as pd

    check_header(list(frame.columns), place)
    if not len(frame):
        raise RoundError("file-empty", f"{place}: no rows")
    if isinstance(frame.index, pd.MultiIndex):
        raise RoundError("id-type", f"{place}: the index has {frame.index.nlevels} levels")
    id_columns = [c for c in frame.columns if isinstance(c, str) and c.strip().casefold() == "id"]
    if len(id_columns) > 1:
        raise RoundError("column-ambiguous", f"{place}: columns {shown(id_columns)}")
    bare = isinstance(frame.index, pd.RangeIndex) and frame.index.name is None
    if id_columns and not bare:
        raise RoundError("id-ambiguous", f"{place}: an index of ids and a column {id_columns[0]!r}")
    ids = as_ids(frame[id_columns[0]] if id_columns else frame.index, place)
    values = frame.drop(columns=id_columns) if id_columns else frame
    one_dtype = len(set(values.dtypes)) == 1 and values.dtypes.iloc[0] in (np.float32, np.float64)
    return Table(
        ids,
        list(values.columns),
        lambda place: values.iloc[:, place],
        values.to_numpy(copy=False).T if one_dtype else None,
    )


def check_header(names: Sequence[Any], place: str) -> None:
    """Raise RoundError where two columns have the same name."""
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise RoundError("header-duplicate", f"{place}: more than one column {shown(twice)}")


def named_columns(names: Sequence[Any], wanted: Sequence[str], place: str) -> list[int]:
    """Return where the wanted columns stand, in any order and case.

    Raises:
        RoundError: one of them is missing, or there twice.
    """
    folded = [str(name).strip().casefold() for name in names]
    for name in wanted:
        if folded.count(name) != 1:
            code = "column-ambiguous" if name in folded else "column-missing"
            raise RoundError(code, f"{place}: needs one column {name!r}, has {shown(names, 5)}")
    return [folded.index(name) for name in wanted]


def first_ids(wrong: Any, ids: Sequence[str] | None) -> str:
    """Return "7 of 5,000, first 'a', 'b' and 'c'": where a mask is true."""
    places = np.flatnonzero(wrong)
    first: list[Any] = [f"row {n + 1:,}" for n in places[:3]]
    text = ", ".join(first) if ids is None else ", ".join(ascii(ids[n]) for n in places[:3])
    return f"{len(places):,} of {len(wrong):,}, first {text}"


def take_array(data: Any, place: str, dimensions: int) -> Array:
    """Return data as a float32 or float64 array: NumPy's, or the device array that it already is.

    Raises:
        RoundError: it has other dimensions, or holds no numbers.
    """
    array = as_array(data)
    if array.ndim != dimensions:
        raise RoundError("array-shape", f"{place}: shape {array.shape}, not {dimensions}-D")
    if isinstance(array, np.ndarray) and array.dtype not in (np.float32, np.float64):
        return numbers(array.reshape(-1), place).reshape(array.shape)
    return array
