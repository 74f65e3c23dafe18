"""One file, of any format that is read, as an Arrow table."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmc_gpu.engines.threads import check_room
from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.csv_file import read_csv
from mmc_gpu.files.formats.parquet_file import ParquetSource
from mmc_gpu.files.formats.source import Limits, Source, read_source

SUFFIXES = (".parquet", ".csv", ".csv.gz")
"""What is read. Everything else is refused by its name, before it is opened: a pickle, a .joblib or
a .pt runs code when it is read, and an .npy may hold a pickle."""


@dataclass(frozen=True)
class Table:
    """A file's columns, and which bytes they are from.

    Attributes:
        columns: every column, with names of their own, at least one row.
        path: of the file.
        size: of the file, in bytes.
        sha256: of the file, in hex.
    """

    columns: pa.Table
    path: Path
    size: int
    sha256: str


def read_table(
    file: Path | Source, *, text: Collection[str] = (), limits: Limits | None = None
) -> Table:
    """Return a Parquet or CSV file as columns.

    Parquet's types are passed on as `ParquetSource.columns` says, CSV's are text, float64, or text
    where a field is no number (`read_csv`).

    Args:
        file: the file, or its bytes.
        text: names of the columns that are text in a CSV, such as id; matched in any case.
        limits: the most that is read.

    Raises:
        RoundError: the file is not one that is read, is damaged, or too large; codes file-*,
            row-width, header-duplicate.
        EngineUnavailable: there is no room for the threads that read.
    """
    check_room(pa.io_thread_count() + pa.cpu_count() + (os.cpu_count() or 1) + 4)  # ours
    limits = limits or Limits()
    path = file.path if isinstance(file, Source) else file
    if not path.name.lower().endswith(SUFFIXES):
        raise RoundError("file-format", f"{str(path)!a} is none of {', '.join(SUFFIXES)}")
    source = file if isinstance(file, Source) else read_source(path, limits.max_bytes)
    if path.name.lower().endswith(".parquet"):
        columns = ParquetSource(source, limits).columns()
    else:
        columns = read_csv(source, text, limits)
    return Table(columns, path, source.size, source.sha256)
