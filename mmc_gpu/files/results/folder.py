"""The folder of a result: tables, a receipt that knows their sha256, and a page."""

import json
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.source import Limits, Source, read_source
from mmc_gpu.files.formats.table import read_table
from mmc_gpu.files.results.receipt import RECEIPT, REPORT, Receipt
from mmc_gpu.files.writing.replace import Write, replace_folder
from mmc_gpu.files.writing.tables import Hashing, csv_unsafe
from mmc_gpu.inputs.columns import arrow_values

_TEXTS = (
    *("target", "user", "era", "model", "scores", "file", "code", "detail"),
    *("remedy", "remedy_operator"),
)
"""The columns of text in our tables."""

_LIMITS = Limits(max_rows=10_000_000)  # a table of scores has a row for each user and target


def write_result(
    folder: Path,
    tables: Mapping[str, Write],
    receipt: Mapping[str, Any],
    page: Callable[[dict[str, Any]], bytes] | None,
    known: Collection[str],
    day: str | None = None,
) -> None:
    """Write a result: all of its files, or the previous result stays; see `replace_folder`.

    The receipt gets the sha256 of each table, and the page is made from the receipt.

    Raises:
        RoundError: the folder holds other files, or cannot be written.
    """
    hashes: dict[str, str] = {}
    made = {**receipt, "files": hashes}

    def write_and_hash(name: str, write: Write, file: BinaryIO) -> None:
        hashing = Hashing(file)
        write(cast(BinaryIO, hashing))
        hashes[name] = hashing.sha256.hexdigest()

    files: dict[str, Write] = {n: partial(write_and_hash, n, of) for n, of in tables.items()}
    # after the tables, whose sha256 it holds
    files[RECEIPT] = lambda file: file.write(
        (json.dumps(made, indent=1, allow_nan=False) + "\n").encode()
    )
    if page is not None:
        files[REPORT] = lambda file: file.write(page(made))
    replace_folder(folder, files, known=known, seal=RECEIPT, day=day)


def columns_of(source: Source) -> dict[str, Any]:
    """Return the columns of a table of a result, by the suffix of its name.

    Raises:
        RoundError: it cannot be read as Parquet or CSV.
        KeyError, TypeError, ValueError, IndexError, RecursionError: it is no such JSON.
    """
    if source.path.name.endswith(".json"):
        said = json.loads(source.data)
        rows = said["rows"] if isinstance(said, dict) else said  # a list until 0.1.0
        return {column: [row[column] for row in rows] for column in rows[0]}
    table = read_table(source, text=_TEXTS, limits=_LIMITS)
    if source.path.name.endswith(".csv"):  # text is as it was before `csv_safe`
        cells = {column: table.column(column).to_pylist() for column in table.column_names}
        return {n: list(map(csv_unsafe, cells[n])) if n in _TEXTS else cells[n] for n in cells}
    return {name: arrow_values(table.column(name), name) for name in table.column_names}


def fault_columns(source: Source) -> dict[str, Any]:
    """Return what `columns_of` does; no columns where there are no rows."""
    try:
        return columns_of(source)
    except RoundError as error:
        if error.code == "file-empty":
            return {}
        raise


def source_of(receipt: Receipt, name: str) -> Source:
    """Return a file of a result; RoundError where it is not the one that the receipt names."""
    source = read_source(receipt.folder / name)
    if source.sha256 != receipt.files[name]:
        raise RoundError("receipt-invalid", f"{source.name} is not the file that {RECEIPT} names")
    return source
