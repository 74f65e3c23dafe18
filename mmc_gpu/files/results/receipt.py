"""Receipts: what a result says about itself, and how it is read back."""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.csv_file import read_csv
from mmc_gpu.files.formats.parquet_file import ParquetSource
from mmc_gpu.files.formats.source import Limits, Source, read_source
from mmc_gpu.files.writing.tables import csv_unsafe
from mmc_gpu.version import __version__

RECEIPT, REPORT = "receipt.json", "report.html"
SCHEMA = "mmc_gpu receipt 1"


def read_receipt(folder: Path, schemas: Sequence[str] = (SCHEMA,)) -> dict[str, Any]:
    """Return a result's receipt.

    Args:
        folder: of the result.
        schemas: of the receipts that will do.

    Raises:
        RoundError: there is none, or it is not one of ours.
    """
    if not (folder / RECEIPT).is_file():
        raise RoundError("receipt-invalid", f"{folder}: no {RECEIPT}")
    try:
        receipt = json.loads(read_source(folder / RECEIPT).data)
    except ValueError as error:
        raise RoundError("receipt-invalid", f"{folder / RECEIPT}: {error}") from None
    if not isinstance(receipt, dict) or receipt.get("schema") not in schemas:
        expected = " or ".join(map(repr, schemas))
        raise RoundError("receipt-invalid", f"{folder / RECEIPT}: its schema is not {expected}")
    return receipt


def versions() -> dict[str, str]:
    """Return the versions of what takes part in a score."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"mmc_gpu": __version__, "python": platform.python_version()}
    for package in ("numpy", "scipy", "pyarrow", "numba", "cupy-cuda12x", "cupy-cuda13x"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {"machine": f"{platform.system()} {platform.machine()}"}


_TEXTS = ("target", "user", "era", "model", "scores", "code", "detail", "remedy")
_LIMITS = Limits(max_rows=10_000_000)  # a row is a user and a target


@contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Turn what a receipt that does not fit raises into a RoundError that names it."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, RoundError):
            raise
        detail = f"{folder / RECEIPT}: {type(error).__name__} {error}"
        raise RoundError("receipt-invalid", detail) from error


def check_shown(receipt: Mapping[str, Any], texts: Sequence[str]) -> None:
    """Raise KeyError or TypeError where a receipt lacks what reports show of it.

    Args:
        receipt: of a result.
        texts: names of what must be text in it.
    """
    inputs = list(receipt["inputs"])
    expected = {
        str: [receipt[name] for name in texts]
        + [entry[name] for entry in inputs for name in ("file", "sha256")],
        int: [entry["bytes"] for entry in inputs],
        dict: [receipt[name] for name in ("parameters", "versions")],
    }
    for kind, values in expected.items():
        if not all(isinstance(value, kind) for value in values):
            raise TypeError(f"a {kind.__name__} that is none")


def as_floats(values: Any) -> Floats:
    """Return numbers as float64, None as NaN."""
    return np.array(values, np.float64)


def _source(folder: Path, name: str, files: Mapping[str, str]) -> Source:
    source = read_source(folder / name)
    if source.sha256 != files[name]:
        detail = f"{source.name} is not the file that {RECEIPT} names"
        raise RoundError("receipt-invalid", detail)
    return source


def read_table(folder: Path, name: str, files: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns of a result's file: Parquet, CSV or JSON.

    Raises:
        RoundError: it is not the file that the receipt names.
    """
    source = _source(folder, name, files)
    if name.endswith(".json"):
        rows = json.loads(source.data)
        return {column: [row[column] for row in rows] for column in rows[0]}
    if name.endswith(".parquet"):
        table = ParquetSource(source, _LIMITS).columns()
        return {column: table.column(column).to_numpy() for column in table.column_names}
    return _csv(source)


def _csv(source: Source) -> dict[str, Any]:
    table = read_csv(source, _TEXTS, _LIMITS)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    return {
        name: [csv_unsafe(text) for text in values] if name in _TEXTS else values
        for name, values in columns.items()
    }


def read_faults(folder: Path, name: str, files: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns of a CSV file that may have a header and no rows: none then."""
    try:
        return _csv(_source(folder, name, files))
    except RoundError as error:
        if error.code == "file-empty":
            return {}
        raise
