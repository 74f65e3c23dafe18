"""The formats that are read: which suffix has which reader."""

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from mmc_gpu.engines.threads import check_room
from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.csv_file import read_csv, read_packed_csv
from mmc_gpu.files.formats.parquet_file import ParquetSource
from mmc_gpu.files.formats.source import Limits, Source, read_source


class Reader(NamedTuple):
    """How the files of a format are read."""

    name: str  # of the format
    # returns all columns of a file; takes the file, the names of columns of text, and the limits
    whole: Callable[[Source, Collection[str], Limits], pa.Table]
    # opens a file whose columns are decoded when they are asked for; None where the format allows
    # only whole files
    pieces: type[ParquetSource] | None = None


_PARQUET = Reader(
    "Parquet", lambda source, _, limits: ParquetSource(source, limits).columns(), ParquetSource
)

READERS = {
    ".parquet": _PARQUET,
    ".pq": _PARQUET,
    ".csv": Reader("CSV", read_csv),
    ".csv.gz": Reader("CSV", read_packed_csv),
}
"""The reader of each suffix, for rounds and eras; suffixes count in any case. Files of all other
formats are refused by their name, before they are opened: a pickle, a .joblib or a .pt runs code
when it is read, and an .npy may hold a pickle."""


def reader_of(path: Path, place: str | None = None) -> Reader:
    """Return the reader of a file, which errors call `place`; by default its path.

    Raises:
        RoundError: file-format: no reader has its suffix.
    """
    _, suffix = split_suffix(path)
    if not suffix:
        known = ", ".join(READERS)
        raise RoundError("file-format", f"{place or ascii(str(path))} is none of {known}")
    return READERS[suffix]


def split_suffix(path: Path) -> tuple[str, str]:
    """Return a file's name without its suffix, and the suffix as READERS has it, else ""."""
    for suffix in READERS:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)], suffix
    return path.stem, ""


def read_table(
    file: Path | Source, *, text: Collection[str] = (), limits: Limits | None = None
) -> pa.Table:
    """Return a Parquet or CSV file as columns with names of their own, at least one row.

    Parquet's types are passed on as `ParquetSource.columns` says, CSV's are text, float64, or text
    where a field is no number (`read_csv`).

    `text` names the columns that are text in a CSV, such as id; in any case.

    Raises:
        RoundError: the file is not one that is read, is damaged, or too large; codes file-*,
            row-width, header-duplicate.
        EngineUnavailable: there is no room for the threads that read.
    """
    check_room(pa.io_thread_count() + pa.cpu_count() + (os.cpu_count() or 1) + 4)  # ours
    limits = limits or Limits()
    reader = reader_of(file.path if isinstance(file, Source) else file)
    source = file if isinstance(file, Source) else read_source(file, limits.max_bytes)
    return reader.whole(source, text, limits)
