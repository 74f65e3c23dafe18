"""Tables as people bring them (pandas, Arrow streams such as polars' and duckdb's, arrays), opened.

`take_frame` and `take_array` are the only readers: rounds, metrics and eras differ in where their
ids stand and in what they accept, not in how a table is read. And results, in the caller's kind.
"""

import sys
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array, as_array
from mmc_gpu.errors import RoundError, as_text, shown, type_of
from mmc_gpu.inputs.beside import INDEX, ROW_NUMBERS, find_ids, note_beside
from mmc_gpu.inputs.columns import as_fault, as_rows, float_type, numbers, without_masks
from mmc_gpu.inputs.names import as_ids, check_ids


@dataclass(frozen=True, eq=False)
class Frame:
    """A pandas or an Arrow table."""

    place: str  # what to name in an error, such as "predictions"
    names: list[Any]  # the columns' names, no two alike
    table: Any  # what holds the columns: a pandas DataFrame or a pyarrow.Table
    index: Any = None  # pandas' labels of the rows; None for an Arrow table
    notes: tuple[str, ...] = ()  # what was ignored

    @property
    def is_pandas(self) -> bool:
        """Return whether the table is pandas'."""
        return self.index is not None

    @property
    def labels(self) -> Any:
        """Return pandas' labels of the rows; None where they only count the rows."""
        counts = is_pandas(self.index, "RangeIndex") and self.index.name is None
        return None if counts else self.index

    def column(self, at: int) -> Any:
        """Return the column at a place as it came: a pandas Series, or an Arrow column."""
        return self.table.iloc[:, at] if self.is_pandas else self.table.column(at)

    def without(self, at: int) -> "Frame":
        """Return the frame without the column at a place."""
        table = self.table.drop(columns=[self.names[at]])  # of pandas and of Arrow
        return replace(self, names=self.names[:at] + self.names[at + 1 :], table=table)

    @property
    def stored(self) -> str | None:
        """Return the name of the column in which an Arrow table has pandas' index, if it has it."""
        return None if self.is_pandas else index_column(self.table.schema)

    def block(self) -> Array | None:
        """Return (columns, rows) as one array, if all columns are floats of one type.

        A pandas frame of one block is not copied.
        """
        if float_type(self.table.dtypes if self.is_pandas else self.table.schema.types) is None:
            return None
        return self.table.to_numpy(copy=False).T if self.is_pandas else as_rows(self.table)


def is_frame(data: Any) -> bool:
    """Return whether data is a frame: pandas', one with an Arrow stream, or cuDF's (`to_arrow`).

    A Series and a ChunkedArray have such a stream too, and are no frames.
    """
    if type(data).__name__ in ("Series", "ChunkedArray", "LazyFrame"):
        return False
    arrow = hasattr(data, "__arrow_c_stream__") or hasattr(data, "to_arrow")
    return arrow or is_pandas(data, "DataFrame")


def is_pandas(data: Any, kind: str) -> bool:
    """Return whether data is a pandas object of that kind, without importing pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, getattr(pandas, kind))


def is_polars(data: Any) -> bool:
    """Return whether data is polars', so that results should be polars' too."""
    return type(data).__module__.partition(".")[0] == "polars"


def make_frame(columns: Mapping[str, Any], polars: bool) -> Any:
    """Return columns as a frame of polars or pandas."""
    if polars:
        import polars as pl

        return pl.DataFrame(dict(columns))
    import pandas as pd

    return pd.DataFrame(dict(columns))


def take_frame(data: Any, place: str, empty: bool = False) -> Frame:
    """Return a pandas frame or Series, or anything with an Arrow stream, as a `Frame`.

    Args:
        data: as above; a Series is a frame of one column.
        place: what to name in an error.
        empty: whether there may be no rows.

    Raises:
        RoundError: two columns have the same name, there are no rows, or data is no table.
        TypeError: a polars LazyFrame.
    """
    if is_pandas(data, "Series"):
        frame = Frame(place, [data.name], data.to_frame(), data.index)
    elif is_pandas(data, "DataFrame"):
        frame = Frame(place, data.columns.tolist(), data, data.index)
    else:
        import pyarrow as pa

        if not is_frame(data):
            raise _not_taken(data, place)
        data = data if hasattr(data, "__arrow_c_stream__") else data.to_arrow()
        with as_fault("column-type", place):  # types of polars' that Arrow has not
            table = data if isinstance(data, pa.Table) else pa.table(data)  # which imports pandas
        frame = Frame(place, table.column_names, table)
    if odd := [name for name in frame.names if not isinstance(name, Hashable)]:
        raise RoundError("column-name", f"{place}: the name of a column is {type_of(odd[0])}")
    if twice := [name for name, times in Counter(frame.names).items() if times > 1]:
        raise RoundError("header-duplicate", f"{place}: more than one column {shown(twice)}")
    if not empty and not len(frame.table):
        raise RoundError("file-empty", f"{place}: no rows")
    return frame


def take_ids(frame: Frame) -> tuple[list[str], Frame]:
    """Return a frame's ids as text, checked, and the frame without their column.

    They stand in a column `id`; or else in pandas' index; or else, where that only counts the rows
    and in Arrow tables, in the column that `find_ids` finds. An index of row numbers beside a
    column `id` is ignored, and the frame returned has a note of it.

    Raises:
        RoundError: there are no ids or two sets of them, or an id is faulty.
    """
    place, index = frame.place, frame.index
    if getattr(index, "nlevels", 1) > 1:
        raise RoundError("id-type", f"{place}: the index has {index.nlevels} levels")
    at, notes, rest = None, [*frame.notes], "the ids are those of the column"
    if frame.labels is None and not has_ids(frame.names):
        at = find_ids(frame.names, frame.column, frame.is_pandas)
    if at is None:
        at = id_column(frame)
        if at is not None and frame.labels is not None:
            notes += note_beside(place, {index.name: ROW_NUMBERS}, rest)
    ids = as_ids(index if at is None else frame.column(at), place)
    frame = frame if at is None else frame.without(at)
    if frame.stored is not None:
        notes += note_beside(place, {frame.stored: INDEX}, rest)
        frame = frame.without(frame.names.index(frame.stored))
    check_ids(ids, place)
    return ids, replace(frame, notes=tuple(notes))


def id_column(frame: Frame) -> int | None:
    """Return where the column `id` stands, in any case; None where pandas' index has the ids.

    An index of whole numbers beside it only counts the rows.

    Raises:
        RoundError: ids stand in both, in two columns, or nowhere.
    """
    if frame.is_pandas and not has_ids(frame.names):
        return None
    (at,) = named_columns(frame.names, ("id",), frame.place)
    labels = frame.labels
    if labels is not None and (labels.dtype.kind not in "iu" or _folded([labels.name]) == ["id"]):
        column = f"a column {frame.names[at]!r}"
        raise RoundError("id-ambiguous", f"{frame.place}: an index of ids and {column}")
    return at


def has_ids(names: Sequence[Any]) -> bool:
    """Return whether a column is called `id`, in any case."""
    return "id" in _folded(names)


def index_column(schema: Any) -> str | None:
    """Return the column of an Arrow schema that holds pandas' index; None unless there is one.

    Anybody can write what stands there in pandas' name: whatever is no column's name is ignored.
    """
    try:
        columns = schema.pandas_metadata["index_columns"]
        stored = [name for name in columns if isinstance(name, str)]  # a range is a dict
    except (KeyError, TypeError, ValueError):
        return None
    return stored[0] if len(stored) == 1 and stored[0] in schema.names else None


def named_columns(names: Sequence[Any], wanted: Sequence[str], place: str) -> list[int]:
    """Return where the wanted columns stand, in any order and case.

    Raises:
        RoundError: one of them is missing, or there twice.
    """
    folded = _folded(names)
    for name in wanted:
        if folded.count(name) != 1:
            code = "column-ambiguous" if name in folded else "column-missing"
            raise RoundError(code, f"{place}: needs one column {name!r}, has {shown(names, 5)}")
    return [folded.index(name) for name in wanted]


def _folded(names: Sequence[Any]) -> list[str]:
    return [as_text(name).strip().casefold() for name in names]


def take_array(data: Any, place: str, *dimensions: int) -> Array:
    """Return data as a float32 or float64 array: NumPy's, or the device array that it already is.

    Args:
        data: an array, or what NumPy makes one of.
        place: what to name in an error.
        dimensions: how many it may have.

    Raises:
        RoundError: it has other dimensions, holds no numbers, or is no array.
        TypeError: a polars LazyFrame.
    """
    masked = isinstance(data, np.ma.MaskedArray)
    with as_fault("array-shape", place):  # lists of different lengths, dtypes of no array
        array = data if masked else as_array(without_masks(data))
    if not array.ndim or (type(data).__name__ == "Series" and 1 not in dimensions):
        raise _not_taken(data, place)
    if array.ndim not in dimensions:
        wanted = " or ".join(f"{count}-D" for count in dimensions)
        raise RoundError("array-shape", f"{place}: shape {array.shape}, not {wanted}")
    if masked or (isinstance(array, np.ndarray) and array.dtype not in (np.float32, np.float64)):
        return numbers(array.reshape(-1), place).reshape(array.shape)
    return array


def _not_taken(data: Any, place: str) -> Exception:
    """Return an error that names what is given in the place of a table or an array."""
    if type(data).__name__ == "LazyFrame":
        return TypeError(f"{place}: a LazyFrame, which holds no values yet; give its .collect()")
    what = "nothing" if data is None else f"a value {type_of(data)}"
    return RoundError("data-type", f"{place}: {what} is given")
