"""Results on disk: the scores, who was quarantined, and a receipt that anybody can verify."""

import csv
import hashlib
import io
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Literal, cast

import numpy as np

from mmc_gpu.columns import as_arrow
from mmc_gpu.errors import CODES, RoundError
from mmc_gpu.files.source import read_source
from mmc_gpu.files.writing import Write, csv_safe, replace_folder
from mmc_gpu.report.round_report import round_page
from mmc_gpu.scores import RoundScores

Format = Literal["parquet", "csv", "json"]

RECEIPT, REPORT = "receipt.json", "report.html"
SCHEMA = "mmc_gpu receipt 1"
_DRAW_ROWS = 2**15
"""Users written at a time to draws.parquet."""

KNOWN_FILES = (
    "scores.parquet",
    "scores.csv",
    "scores.json",
    "draws.parquet",
    REPORT,
    "quarantine.csv",
    RECEIPT,
)
"""Everything a result folder may hold; writing a result replaces these and nothing else."""


def write_results(
    folder: Path,
    scores: RoundScores,
    inputs: Sequence[Mapping[str, Any]],
    options: Mapping[str, str],
    format_: Format = "parquet",
    draws: bool = False,
    report: int | None = None,
) -> None:
    """Write scores, quarantine list and receipt: all of them, or the previous result stays.

    Args:
        folder: where; made if it is not there.
        scores: what to write.
        inputs: file, bytes and sha256 of each file that was read.
        options: further options of the run (missing, on_error).
        format_: of the scores.
        draws: whether to write every user's score in every draw.
        report: the number of the target whose page to write; None for no page.

    Raises:
        RoundError: the folder holds other files, or cannot be written.
    """
    hashes: dict[str, str] = {}

    def hashed(name: str, write: Write) -> Write:
        def write_and_hash(file: BinaryIO) -> None:
            hashing = Hashing(file)
            write(cast(BinaryIO, hashing))
            hashes[name] = hashing.sha256.hexdigest()

        return write_and_hash

    receipt: dict[str, Any] = {}

    def write_receipt(file: BinaryIO) -> None:
        receipt.update(make_receipt(scores, inputs, options, hashes))
        file.write((json.dumps(receipt, indent=1, allow_nan=False) + "\n").encode())

    files: dict[str, Write] = {
        f"scores.{format_}": lambda file: file.write(scores_bytes(scores, format_)),
        "quarantine.csv": lambda file: file.write(_quarantine(scores)),
    }
    if draws:
        files["draws.parquet"] = lambda file: _write_draws(scores, file)
    files = {name: hashed(name, write) for name, write in files.items()}
    files[RECEIPT] = write_receipt  # behind the others: it knows their sha256
    if report is not None:
        files[REPORT] = lambda file: file.write(round_page(scores, receipt, report))
    replace_folder(folder, files, known=KNOWN_FILES, seal=RECEIPT)


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

    def tell(self) -> int:
        """Return where the next byte goes."""
        return self._file.tell()


def _quarantine(scores: RoundScores) -> bytes:
    return csv_bytes(
        {
            "user": [fault.user for fault in scores.quarantined],
            "code": [fault.code for fault in scores.quarantined],
            "detail": [fault.detail for fault in scores.quarantined],
            "remedy": [CODES[fault.code].remedy for fault in scores.quarantined],
        }
    )


def scores_bytes(scores: RoundScores, format_: Format) -> bytes:
    """Return the table of scores as the bytes of a file."""
    columns = scores.columns()
    if format_ == "parquet":
        return parquet_bytes(columns)
    if format_ == "csv":
        return csv_bytes(columns)
    rows = [
        {name: _json_number(values[row]) for name, values in columns.items()}
        for row in range(len(columns["user"]))
    ]
    return (json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def same_scores(data: bytes, scores: RoundScores, format_: str) -> bool:
    """Return whether a file of scores holds these scores, to the bit."""
    if format_ != "parquet":
        return data == scores_bytes(scores, "csv" if format_ == "csv" else "json")
    import pyarrow as pa

    from mmc_gpu.files.parquet_file import read_own

    try:
        found = read_own(data)
    except (pa.ArrowException, OSError):
        return False
    expected = scores.columns()
    return found.column_names == list(expected) and all(
        _same_bits(found.column(name).to_numpy(), np.asarray(expected[name])) for name in expected
    )


def _same_bits(found: Any, expected: Any) -> bool:
    if expected.dtype.kind == "U":
        return [str(text) for text in found] == expected.tolist()
    return found.dtype == expected.dtype and found.tobytes() == expected.tobytes()


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


def make_receipt(
    scores: RoundScores,
    inputs: Sequence[Mapping[str, Any]] = (),
    options: Mapping[str, str] = MappingProxyType({}),
    hashes: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return what was scored, how and with what; of scores in memory, the digests and versions.

    Args:
        scores: the scores.
        inputs: file, bytes and sha256 of each file that was read.
        options: further options of the run.
        hashes: sha256 of each of the result's files.
    """
    return {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": list(inputs),
        "parameters": asdict(scores.method) | dict(options),
        "users": len(scores.users),
        "stakers": int(np.count_nonzero(scores.stakes)),
        "stocks": scores.stocks,
        "quarantined": len(scores.quarantined),
        "notes": list(scores.notes),
        "meta_model": [
            {
                "target": target,
                "corr": _json_number(scores.full_meta_model_corr[number]),
                "corr_per_draw": [_json_number(corr) for corr in scores.meta_model_corr[number]],
            }
            for number, target in enumerate(scores.targets)
        ],
        "draws_digest": scores.draws_digest,
        "scores_digest": scores.digest,
        "engine": scores.engine,
        "versions": versions(),
        "files": dict(hashes),
    }


def versions() -> dict[str, str]:
    """Return the versions of what takes part in a score."""
    from importlib.metadata import PackageNotFoundError, version

    import mmc_gpu

    found = {"mmc_gpu": mmc_gpu.__version__, "python": platform.python_version()}
    for package in ("numpy", "scipy", "pyarrow", "numba", "cupy-cuda12x", "cupy-cuda13x"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {"machine": f"{platform.system()} {platform.machine()}"}


def _write_draws(scores: RoundScores, file: BinaryIO) -> None:
    """Write every user's MMC in every draw, users and targets in the order of the scores."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert scores.per_draw is not None
    several = len(scores.targets) > 1
    names = [f"draw_{draw}" for draw in range(scores.method.draws)]
    schema = pa.schema(
        [(name, pa.string()) for name in (["target"] if several else []) + ["user"]]
        + [(name, pa.float64()) for name in names]
    )
    with pq.ParquetWriter(file, schema, write_page_checksum=True) as writer:
        for number, target in enumerate(scores.targets):
            order = scores.order(number)
            for start in range(0, len(order), _DRAW_ROWS):
                users = order[start : start + _DRAW_ROWS]
                columns: dict[str, Any] = {"target": [target] * len(users)} if several else {}
                columns["user"] = [scores.users[user] for user in users]
                columns |= dict(zip(names, scores.per_draw[number, users].T, strict=True))
                writer.write_table(_table(columns))


def parquet_bytes(columns: Mapping[str, Any]) -> bytes:
    """Return columns as the bytes of a Parquet file."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(_table(columns), buffer, write_page_checksum=True)
    return buffer.getvalue()


def _table(columns: Mapping[str, Any]) -> Any:
    import pyarrow as pa

    return pa.table({name: as_arrow(values) for name, values in columns.items()})


def csv_bytes(columns: Mapping[str, Any]) -> bytes:
    """Return CSV whose numbers read back to the same bits, and whose text starts no formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([_csv_cell(cell) for cell in row])
    return buffer.getvalue().encode()


def _csv_cell(cell: Any) -> Any:
    return csv_safe(cell) if isinstance(cell, str) else getattr(cell, "item", lambda: cell)()


def _json_number(value: Any) -> Any:
    """Return text or a number for JSON, which knows no NaN."""
    if isinstance(value, str):
        return value
    number = value.item()
    return None if number != number else number
