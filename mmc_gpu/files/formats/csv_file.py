"""CSV (.csv, .csv.gz) into columns: text stays text, numbers become float64, nothing shifts."""

import csv
import gzip
import io
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice

import pyarrow as pa
import pyarrow.csv as arrow_csv

from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.source import Limits, Source, refuse_duplicates, refuse_larger

NULLS = ("", "NA", "N/A", "<NA>", "NaN", "nan", "null", "NULL", "None")
"""How a missing number is written; in a column of text these are text."""

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}

_BLOCK = 16 << 20
"""Bytes parsed at a time, and the longest row: 128 bytes for each of 100,000 columns."""

_PIECE = 1 << 20  # bytes unpacked at a time: how far a bomb can overshoot the limit


def read_csv(source: Source, text: Collection[str], limits: Limits) -> pa.Table:
    """Return a CSV file's columns, with the names as they stand in its header.

    A column named in `text` is text: every field as it is written, an empty one as "". Every other
    column is float64: null where a field is empty or one of NULLS, infinite where a field says so
    or is too large (1e400). A column in which some field is no number is text, too, without white
    space at its ends, null as before; the caller judges it.

    Names in `text` are matched in any case, without white space at their ends.

    Raises:
        RoundError: file-damaged, file-encoding, file-empty, file-separator, file-size,
            header-duplicate, row-width.
    """
    names = _header(source)
    _check_size(source, names, limits)
    wanted = {name.strip().lower() for name in text}
    texts = {name for name in names if name.strip().lower() in wanted}
    types = {name: pa.string() if name in texts else pa.float64() for name in names}
    try:
        table = _parsed(source.data, types)
    except pa.ArrowInvalid:
        table = _parsed_as_text(source, types)
    refuse_larger(source.name, "rows", table.num_rows, limits.max_rows)
    return table


def read_packed_csv(source: Source, text: Collection[str], limits: Limits) -> pa.Table:
    """Return the columns of a CSV file that is packed with gzip; see `read_csv`."""
    pieces, size = [], 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(source.data)) as stream:
            while piece := stream.read(_PIECE):
                pieces.append(piece)
                size += len(piece)
                refuse_larger(source.name, "bytes or more, unpacked", size, limits.max_bytes)
    except (OSError, EOFError, zlib.error) as error:
        raise RoundError("file-damaged", f"{source.name}: {error}") from error
    return read_csv(replace(source, data=b"".join(pieces)), text, limits)


def _header(source: Source) -> list[str]:
    """Return the names in the first row, once what Arrow would accept is checked."""
    data = source.data
    if (zero := data.find(b"\0")) >= 0:
        found = f"is UTF-16 or no text at all: NUL at byte {zero:,}"
        raise RoundError("file-encoding", f"{source.name} {found}")
    # Arrow closes a quote that never closes at the end of the file: the rows behind it are lost
    if b'"' in data and data.count(b'"') % 2:
        raise RoundError("file-damaged", f"{source.name} opens a quote that it never closes")
    try:
        (_, names), *rows = islice(csv_rows(data), 2)
    except UnicodeDecodeError as error:
        raise _fault(source, error) from None
    except csv.Error as error:
        detail = f"{source.name} has no readable header: {error}"
        raise RoundError("file-damaged", detail) from error
    except ValueError:
        raise RoundError("file-empty", f"{source.name} is empty") from None
    for separator, called in _SEPARATORS.items():
        if len(names) == 1 and separator in names[0]:
            raise RoundError("file-separator", f"{source.name} has {called} between its fields")
    if not rows:
        raise RoundError("file-empty", f"{source.name} has a header and no rows")
    refuse_duplicates(source.name, names)
    return names


def csv_rows(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the number of its first line."""
    rows = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""))
    line = 1
    for row in rows:
        if row:
            yield line, row
        line = rows.line_num + 1


def _check_size(source: Source, names: list[str], limits: Limits) -> None:
    data = source.data
    refuse_larger(source.name, "columns", len(names), limits.max_columns)
    # A field takes 8 bytes in memory and may take one in the file: "1,,,,". Lines are counted only
    # where that could matter, because counting costs a fifth of parsing.
    if 8 * len(data) > limits.max_bytes:
        lines = max(data.count(b"\n"), data.count(b"\r"))
        refuse_larger(source.name, "bytes in memory", 8 * lines * len(names), limits.max_bytes)


def _parsed(data: bytes, types: Mapping[str, pa.DataType]) -> pa.Table:
    # for a submission of 5,000 rows open_csv takes 0.5 ms and read_csv 1.0; for wide files both
    # take the same time
    with arrow_csv.open_csv(
        pa.BufferReader(data),
        read_options=arrow_csv.ReadOptions(use_threads=False, block_size=_BLOCK),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=b'"' in data),
        convert_options=arrow_csv.ConvertOptions(column_types=types, null_values=NULLS),
    ) as reader:
        return reader.read_all()


def _parsed_as_text(source: Source, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Return the columns of a file in which words stand among numbers, or say what is wrong."""
    import pyarrow.compute as compute  # 70 ms, which most runs can do without

    try:
        table = _parsed(source.data, dict.fromkeys(types, pa.string()))
    except pa.ArrowInvalid as error:
        raise _fault(source, error) from error
    columns = []
    for kind, column in zip(types.values(), table.columns, strict=True):
        if kind == pa.float64():
            column = compute.utf8_trim(column, " \t")
            missing = compute.is_in(column, pa.array(NULLS))
            column = compute.if_else(missing, None, column)
            with suppress(pa.ArrowInvalid):  # text, which the caller judges
                column = column.cast(pa.float64())
        columns.append(column)
    return pa.Table.from_arrays(columns, names=table.column_names)


def _fault(source: Source, error: Exception) -> RoundError:
    """Return what is wrong with a file that is not UTF-8, or has rows of different widths.

    Slow, but exact: Arrow counts bytes from the start of a block, and rows without blank lines.
    """
    data = source.data
    try:
        data.decode()
    except UnicodeDecodeError as wrong:
        found = f"{data[wrong.start]:#04x} at byte {wrong.start:,}"
        return RoundError("file-encoding", f"{source.name} is not UTF-8: {found}")
    widths = list(islice(_odd_rows(data), 4))
    found = f"fields: {', '.join(widths)}" if len(widths) > 1 else ascii(str(error))[:200]
    return RoundError("row-width", f"{source.name}: {found}")


def _odd_rows(data: bytes) -> Iterator[str]:
    """Yield the number of fields of the header, then of each row that has another."""
    width = 0
    with suppress(csv.Error):  # a field longer than 131,072 characters: Arrow's message is used
        for line, row in csv_rows(data):
            if len(row) != width:
                yield f"{len(row):,} in line {line:,}"
                width = width or len(row)
