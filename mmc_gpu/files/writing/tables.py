"""Tables as the bytes of files: Parquet, CSV and JSON."""

import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import groupby
from typing import Any, BinaryIO

import numpy as np

from mmc_gpu.inputs.columns import as_arrow

_CSV_ROWS = 2048  # rows of a CSV made at a time: their cells take more memory than their text

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_QUOTE, _SPECIAL = '"', re.compile('[",\r\n]')


def csv_safe(text: str) -> str:
    """Return a cell of text that no spreadsheet takes for a formula: behind an apostrophe.

    Text that is a formula behind apostrophes gets one more, so that `csv_unsafe` knows them apart.
    """
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def csv_unsafe(cell: str) -> str:
    """Return the text from which `csv_safe` has made a cell."""
    return cell[1:] if cell.startswith("'") and csv_safe(cell) != cell else cell


class Hashing(io.RawIOBase):
    """Writes to a file, and hashes what it writes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.sha256 = file, hashlib.sha256()

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write and hash bytes."""
        self.sha256.update(data)
        return self._file.write(data)


def parquet_bytes(columns: Mapping[str, Any]) -> bytes:
    """Return columns as the bytes of a Parquet file."""
    return arrow_bytes(as_table(columns))


def arrow_bytes(table: Any) -> bytes:
    """Return an Arrow table as the bytes of a Parquet file."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, write_page_checksum=True)
    return buffer.getvalue()


def as_table(columns: Mapping[str, Any]) -> Any:
    """Return columns as an Arrow table."""
    import pyarrow as pa

    arrays = {name: as_arrow(values) for name, values in columns.items()}
    # a column of None alone holds whole numbers that are not known
    return pa.table(
        {n: v.cast(pa.int64()) if pa.types.is_null(v.type) else v for n, v in arrays.items()}
    )


def csv_bytes(columns: Mapping[str, Any]) -> bytes:
    """Return CSV whose numbers read back to the same bits, and whose text starts no formula."""
    lines = [",".join(map(_csv_cell, columns))]
    for start in range(0, max(map(len, columns.values()), default=0), _CSV_ROWS):
        part = [values[start : start + _CSV_ROWS] for values in columns.values()]
        texts: list[list[str]] = []
        for floats, group in groupby(part, _are_floats):
            texts += (_joined_floats if floats else _csv_cells)([*group])
        lines += map(",".join, zip(*texts, strict=True))
    return "\n".join([*lines, ""]).encode()


def _are_floats(values: Any) -> bool:
    return getattr(values, "dtype", None) is not None and values.dtype.kind == "f"


def _joined_floats(columns: list[Any]) -> list[list[str]]:
    """Return one column: the rows of floats as Python writes them, in a third of its time."""
    import pyarrow as pa
    import pyarrow.csv

    values = np.array(columns, np.float64)
    sink, options = pa.BufferOutputStream(), pyarrow.csv.WriteOptions(include_header=False)
    pyarrow.csv.write_csv(pa.table([*map(as_arrow, values)], [""] * len(values)), sink, options)
    lines = sink.getvalue().to_pybytes().decode().splitlines()
    with np.errstate(invalid="ignore"):  # Arrow has other digits for 1e-05, 1e10 and 1.0
        size, whole = np.abs(values), values == np.rint(values)
    same = np.isnan(values) | ((size >= 1e-4) & (size < 1e10) & ~whole)
    for row in np.flatnonzero(~same.all(axis=0)):
        lines[row] = ",".join(map(repr, values[:, row].tolist()))
    return [lines]


def _csv_cells(columns: list[Any]) -> list[list[str]]:
    return [[*map(_csv_cell, getattr(of, "tolist", lambda of=of: of)())] for of in columns]


def _csv_cell(cell: Any) -> str:
    if isinstance(cell, Decimal):
        return format(cell, "f")
    text = "" if cell is None else csv_safe(cell) if isinstance(cell, str) else str(cell)
    return f'"{text.replace(_QUOTE, 2 * _QUOTE)}"' if _SPECIAL.search(text) else text


def table_rows(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return columns as rows of text and numbers, as JSON has them; NaN becomes None."""
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, map(json_value, row), strict=True)) for row in rows]


def json_bytes(value: Any) -> bytes:
    """Return what JSON has as the bytes of a file."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def json_value(value: Any) -> Any:
    """Return text or a number for JSON, which has no NaN: it becomes None."""
    if isinstance(value, str):
        return value
    number = getattr(value, "item", lambda: value)()
    return None if number != number else number


TABLES: dict[str, Callable[[Mapping[str, Any]], bytes]] = {
    "parquet": parquet_bytes,
    "csv": csv_bytes,
    "json": lambda columns: json_bytes(table_rows(columns)),
}
"""What makes the bytes of a table, by the name of the format."""
