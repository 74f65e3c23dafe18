"""Columns of NumPy, pandas or Arrow as float32 or float64, NaN where a value is missing.

And Arrow columns made of numbers or text. Importing pandas takes 0.2 s, and pyarrow's `array` and
`to_numpy` import it, whatever they are given: neither is called where there is another way.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Context, Decimal, Inexact
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc_gpu.engines.arrays import Numbers
from mmc_gpu.errors import RoundError, is_integer, shown, type_of
from mmc_gpu.inputs.names import is_null, listed

_FLOATS = {"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"}
"""The types that are kept, by the names that Arrow and NumPy have for them."""

_SCALARS = int | float | np.floating | np.bool_
_WHOLE = Context(60, traps=[Inexact])
_LARGEST_INTEGER = 2**53
"""float64 holds every integer up to this one; two larger ones could become one value."""

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.A | re.I)
"""How a number is written: the grammar of Arrow's CSV reader, without `nan(...)`. Python's `float`
takes `1_000`, digits of other scripts and every kind of white space, too."""


@contextmanager
def as_fault(code: str, place: str) -> Iterator[None]:
    """Raise what NumPy, pandas and Arrow raise of odd values as a RoundError of this code."""
    try:
        yield
    except RoundError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, OSError) as error:
        if getattr(error, "errno", None):  # the system's, not Arrow's
            raise
        raise RoundError(code, f"{place}: {error}") from error


def numbers(column: Any, place: str) -> Numbers:
    """Return a column as float32, if its type fits in that, or as float64; NaN where missing.

    Args:
        column: a NumPy array, a pandas Series, or an Arrow array. Masked means missing.
        place: what to name in an error, such as "user 'alice'".

    Raises:
        RoundError: the column holds text, or no numbers.
    """
    if hasattr(column, "to_pylist"):
        column = arrow_values(column, place)
    elif not isinstance(column, np.ndarray):
        column = _pandas_values(column, place)
    elif isinstance(column, np.ma.MaskedArray):
        return _unmasked(column, place)
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
    labels: Sequence[str], stocks: int, column: Callable[[int], Any], faults: dict[int, RoundError]
) -> Numbers:
    """Return columns as the rows of one matrix: float32 if all of them are, else float64.

    Errors name the (U,) labels. A row that has a fault is not read and stays NaN; a column that
    holds no numbers becomes a fault.
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


def _pandas_values(series: Any, place: str) -> Any:
    """Return a pandas Series as NumPy's, in a type for `numbers`; NaN or None where missing."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return series.to_numpy()
    if getattr(dtype, "kind", "O") in "fiub":  # Float64, Int64, boolean and Arrow-backed numbers
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    if dtype == "category" and dtype.categories.dtype.kind in "fiub":
        return np.asarray(series)
    if dtype == "string":
        return series.to_numpy(dtype=object, na_value=None)
    raise RoundError("column-type", f"{place}: a column of {dtype}")


def float_type(types: Iterable[Any]) -> str | None:
    """Return "f4" or "f8" where columns of Arrow or pandas are all float32 or all float64."""
    kinds = set(map(str, set(types)))
    return _FLOATS.get(kinds.pop()) if len(kinds) == 1 else None


def as_rows(table: Any) -> Numbers:
    """Return the columns of an Arrow table, all of one `float_type`, as rows; NaN where missing."""
    (batch,) = table.combine_chunks().to_batches()
    return np.asarray(batch.to_tensor(null_to_nan=True, row_major=False)).T


def holds_floats(column: Any, whole: bool = False) -> bool:
    """Return whether a pandas or Arrow column is of floats; if `whole`, also of whole numbers."""
    if hasattr(column, "to_pylist"):
        from pyarrow.types import is_boolean, is_floating, is_integer

        kind = column.type
        return is_floating(kind) or (whole and (is_integer(kind) or is_boolean(kind)))
    return getattr(column.dtype, "kind", "O") in ("fiub" if whole else "f")


def is_text(kind: Any) -> bool:
    """Return whether an Arrow type is text, or bytes."""
    starts = ("string", "large_string", "binary", "large_binary", "fixed_size_binary")
    return str(kind).startswith(starts)


def as_arrow(values: Any) -> Any:
    """Return a NumPy array of (N,) numbers, or a list of N texts, as an Arrow array."""
    import pyarrow as pa

    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        data = pa.py_buffer(np.ascontiguousarray(values))
        return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, data])
    if not all(isinstance(value, str) for value in values):
        money = {type(value) for value in values} <= {Decimal, NoneType}
        return as_nmr(values) if money and any(values) else pa.array(values)
    texts = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    data = pa.py_buffer(b"".join(texts))
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), data)


def as_nmr(amounts: Sequence[Decimal | None]) -> Any:
    """Return N amounts of at most 18 places as an Arrow array of decimal128(38, 18)."""
    import pyarrow as pa

    known = np.array([of is not None for of in amounts], bool)
    units = [
        0 if of is None else int(_WHOLE.to_integral_exact(of.scaleb(18, _WHOLE))) for of in amounts
    ]
    data = b"".join(unit.to_bytes(16, "little", signed=True) for unit in units)
    bits = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    return pa.Array.from_buffers(pa.decimal128(38, 18), len(units), [bits, pa.py_buffer(data)])


def arrow_values(column: Any, place: str) -> NDArray[Any]:
    """Return an Arrow column as NumPy's, in a type for `numbers`; NaN or None where missing."""
    import pyarrow as pa

    kind, types = column.type, pa.types
    if types.is_dictionary(kind) and not is_text(kind.value_type):
        column, kind = column.cast(kind.value_type), kind.value_type
    if is_text(kind):
        return np.array(listed(column, place), object)
    if types.is_null(kind):
        column = column.cast(pa.float64())
    elif types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif types.is_float16(kind):  # which cannot be filled
        column = column.cast(pa.float32())
    elif not (types.is_integer(kind) or types.is_floating(kind)):
        raise RoundError("column-type", f"{place}: a column of {kind}")
    if hasattr(column, "combine_chunks"):
        column = column.combine_chunks()
    if not column.null_count:
        return np.from_dlpack(column)
    if column.null_count == len(column):  # filling nulls imports pandas
        return np.full(len(column), np.nan)
    if types.is_floating(column.type):
        return np.from_dlpack(column.fill_null(float("nan")))
    values = numbers(np.from_dlpack(column.fill_null(0)), place)  # a copy: floats of integers
    values[np.from_dlpack(column.is_null().cast(pa.int8())) == 1] = np.nan
    return values


def _from_objects(values: list[Any], place: str) -> Numbers:
    """Return Python objects as float64 if each is a number or missing."""
    if texts := [value for value in values if isinstance(value, str | bytes)]:
        wrong = next((text for text in texts if written_number(text) is None), texts[0])
        raise RoundError("value-text", f"{place}: {shown([wrong])} is text, not a number")
    present = [value for value in values if not is_null(value)]
    if odd := [one for one in present if not (isinstance(one, _SCALARS) or is_integer(one))]:
        raise RoundError("column-type", f"{place}: a value {type_of(odd[0])} among the numbers")
    whole = [int(value) for value in present if is_integer(value)]
    if max(map(abs, whole), default=0) > _LARGEST_INTEGER:
        raise RoundError("column-type", f"{place}: integers beyond 2**53")
    return np.array([np.nan if is_null(value) else value for value in values], np.float64)


def written_number(text: str | bytes) -> float | None:
    """Return the number that a text is: plain decimals in ASCII; None for any other text.

    Spaces and tabs may stand at its ends.
    """
    text = (text.decode("latin-1") if isinstance(text, bytes) else text).strip(" \t")
    return float(text) if _DECIMAL.fullmatch(text) else None


def _unmasked(column: Any, place: str) -> Numbers:
    """Return a masked array as floats, NaN where it is masked; what lies under the mask is void."""
    values = numbers(column.filled(np.nan if column.dtype.kind in "fO" else 0), place)
    return np.where(np.ma.getmaskarray(column), np.nan, values)


def without_masks(data: Any) -> Any:
    """Return data; where lists hold masked arrays or values, these are lists with None."""
    if isinstance(data, list | tuple):
        return [one if isinstance(one, float) else without_masks(one) for one in data]
    return data.tolist() if isinstance(data, np.ma.MaskedArray) else data
