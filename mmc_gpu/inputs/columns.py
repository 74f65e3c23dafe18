"""Numbers out of columns: NumPy, pandas or Arrow, to float32 or float64, NaN where missing.

And columns for Arrow out of numbers and text. Importing pandas takes 0.2 s, and pyarrow does it in
`array` and `to_numpy`, whatever they are given; so neither is called where there is another way.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Numbers
from mmc_gpu.errors import RoundError, shown

_LARGEST_INTEGER = 2**53
"""float64 holds every integer up to here; beyond, two values could become one."""


def numbers(column: Any, place: str) -> Numbers:
    """Return a column as float32 (where that holds every value) or float64; NaN where missing.

    Args:
        column: a NumPy array, a pandas Series, or an Arrow array.
        place: what to name in an error, such as "user 'alice'".

    Raises:
        RoundError: the column holds text, or no numbers.
    """
    if hasattr(column, "to_pylist"):
        return _from_arrow(column, place)
    if not isinstance(column, np.ndarray):
        column = _from_pandas(column, place)
    kind, size = column.dtype.kind, column.dtype.itemsize
    if kind == "f" and size <= 8:
        return column.astype(np.float32) if size == 2 else column
    if kind == "b" or (kind in "iu" and size <= 2):
        return column.astype(np.float32)
    if kind in "iu":
        if size == 8 and (column > _LARGEST_INTEGER).any() | (column < -_LARGEST_INTEGER).any():
            raise RoundError("column-type", f"{place}: integers beyond 2**53")
        return column.astype(np.float64)
    if kind == "O":
        return _from_objects(column.tolist(), place)
    if kind in "US":
        raise RoundError("value-text", f"{place}: text, first {shown(column.tolist()[:1])}")
    raise RoundError("column-type", f"{place}: a column of {column.dtype}")


def gather_columns(
    labels: Sequence[str],
    stocks: int,
    column: Callable[[int], Any],
    faults: dict[int, RoundError],
) -> Numbers:
    """Return columns as rows of one matrix: float32 as long as each of them is.

    Args:
        labels: (U,) what to name in an error, such as "user 'alice'".
        stocks: how long each column is.
        column: the values of the column at a place, as they came.
        faults: by row; rows that are in it are not read and stay NaN, and it gains those that hold
            no numbers.
    """
    shape = len(labels), stocks
    matrix: Numbers = np.empty(shape, np.float32)
    for row, label in enumerate(labels):
        values: Any = np.float32(np.nan)
        if row not in faults:
            try:
                values = numbers(column(row), label)
            except RoundError as fault:
                faults[row] = fault
        if values.dtype == np.float64 != matrix.dtype:
            narrow, matrix = matrix[:row], np.empty(shape)
            matrix[:row] = narrow
        matrix[row] = values
    return matrix


def _from_pandas(series: Any, place: str) -> Any:
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return series.to_numpy()
    if getattr(dtype, "kind", "O") in "fiub":  # Float64, Int64, boolean and Arrow-backed numbers
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    if dtype == "string":
        return series.to_numpy(dtype=object, na_value=None)
    raise RoundError("column-type", f"{place}: a column of {dtype}")


def as_arrow(values: Any) -> Any:
    """Return (N,) numbers, or N texts, as an Arrow array.

    Args:
        values: a NumPy array of numbers, or a list of strings.
    """
    import pyarrow as pa

    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        data = pa.py_buffer(np.ascontiguousarray(values))
        return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, data])
    if not all(isinstance(value, str) for value in values):
        return pa.array(values)
    texts = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(texts), pa.py_buffer(ends), pa.py_buffer(b"".join(texts))
    )


def _from_arrow(column: Any, place: str) -> Numbers:
    import pyarrow as pa

    if hasattr(column, "combine_chunks"):
        column = column.combine_chunks()
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _from_objects(column.to_pylist(), place)
    if pa.types.is_float16(kind):
        kind = pa.float32()
    elif pa.types.is_null(kind):
        kind = pa.float64()
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        if pa.types.is_boolean(kind):
            column = column.cast(pa.int8())
        narrow = pa.types.is_boolean(kind) or kind.bit_width <= 16
        if kind.bit_width == 64:
            import pyarrow.compute as pc

            bounds: Any = pc.min_max(column).as_py()
            if max(abs(bounds["min"] or 0), abs(bounds["max"] or 0)) > _LARGEST_INTEGER:
                raise RoundError("column-type", f"{place}: integers beyond 2**53")
        kind = pa.float32() if narrow else pa.float64()
    elif not pa.types.is_floating(kind):
        raise RoundError("column-type", f"{place}: a column of {kind}")
    if column.type != kind:
        column = column.cast(kind)
    if column.null_count:
        column = column.fill_null(float("nan"))
    values: Any = np.from_dlpack(column)
    return values


def _from_objects(values: list[Any], place: str) -> Numbers:
    """Return Python objects as float64 if each is a number or missing."""
    from mmc_gpu.inputs.names import is_null

    texts = [value for value in values if isinstance(value, str)]
    if texts:
        wrong = next((text for text in texts if not _is_number(text)), texts[0])
        raise RoundError("value-text", f"{place}: {shown([wrong])} is text, not a number")
    other = next((v for v in values if not (is_null(v) or isinstance(v, int | float))), None)
    if other is not None:
        raise RoundError("column-type", f"{place}: a {type(other).__name__} among the numbers")
    return np.array([np.nan if is_null(value) else value for value in values], np.float64)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
