"""Results on disk: the scores, who was quarantined, and a receipt that anybody can verify."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Literal, NamedTuple, cast

import numpy as np

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.errors import CODES
from mmc_gpu.files.results.receipt import (
    RECEIPT,
    REPORT,
    SCHEMA,
    as_floats,
    check_shown,
    read_faults,
    read_receipt,
    read_table,
    refusing,
    versions,
)
from mmc_gpu.files.writing.replace import Write, replace_folder
from mmc_gpu.files.writing.tables import Hashing, _table, csv_bytes, parquet_bytes
from mmc_gpu.report.rounds import round_page
from mmc_gpu.rounds.draws import draw_counts
from mmc_gpu.rounds.method import read_method
from mmc_gpu.rounds.round import Quarantined
from mmc_gpu.rounds.scores import Scores

Format = Literal["parquet", "csv", "json"]
_DRAW_ROWS = 2**15
"""Users written at a time to draws.parquet."""

ROUND_FILES = (
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
    scores: Scores,
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
    replace_folder(folder, files, known=ROUND_FILES, seal=RECEIPT)


def _quarantine(scores: Scores) -> bytes:
    return csv_bytes(
        {
            "user": [fault.user for fault in scores.quarantined],
            "code": [fault.code for fault in scores.quarantined],
            "detail": [fault.detail for fault in scores.quarantined],
            "remedy": [CODES[fault.code].remedy for fault in scores.quarantined],
        }
    )


def scores_bytes(scores: Scores, format_: Format) -> bytes:
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


def same_scores(data: bytes, scores: Scores, format_: str) -> bool:
    """Return whether a file of scores holds these scores, to the bit."""
    if format_ != "parquet":
        return data == scores_bytes(scores, "csv" if format_ == "csv" else "json")
    import pyarrow as pa

    from mmc_gpu.files.formats.parquet_file import read_own

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


def make_receipt(
    scores: Scores,
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
        "parameters": scores.method.parameters() | dict(options),
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


def _write_draws(scores: Scores, file: BinaryIO) -> None:
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


def _json_number(value: Any) -> Any:
    """Return text or a number for JSON, which knows no NaN."""
    if isinstance(value, str):
        return value
    number = value.item()
    return None if number != number else number


_TABLES = ("scores.parquet", "scores.csv", "scores.json")


class Result(NamedTuple):
    """A result's scores and its receipt.

    Without draws.parquet the draws are None, and the scores' digest is the receipt's only.
    """

    scores: Scores
    receipt: dict[str, Any]


def read_result(folder: Path) -> Result:
    """Return what `write_results` has written to a folder.

    Raises:
        RoundError: the folder has no receipt, or files that are not those of its receipt.
    """
    receipt = read_receipt(folder)
    with refusing(folder):
        check_shown(receipt, ("created", "engine", "draws_digest", "scores_digest"))
        return Result(_scores(folder, receipt), receipt)


def _scores(folder: Path, receipt: Mapping[str, Any]) -> Scores:
    files = receipt["files"]
    (name,) = [name for name in _TABLES if name in files]
    table = read_table(folder, name, files)
    targets = [str(entry["target"]) for entry in receipt["meta_model"]]
    rows = _Rows(table, targets)
    method = read_method(receipt["parameters"])
    stakes = rows.values("stake")[0]
    meta_model_corr = as_floats([entry["corr_per_draw"] for entry in receipt["meta_model"]])
    if meta_model_corr.shape[1] != method.draws:
        raise ValueError(f"{method.draws:,} draws, and {meta_model_corr.shape[1]:,} meta models")
    per_draw = None
    if "draws.parquet" in files:
        draws = _Rows(read_table(folder, "draws.parquet", files), targets, rows.users)
        columns = [draws.values(f"draw_{draw}") for draw in range(method.draws)]
        per_draw = np.stack(columns, axis=-1)
    scores = Scores(
        method=method,
        engine=str(receipt["engine"]),
        users=rows.users,
        stakes=stakes,
        targets=targets,
        stocks=int(receipt["stocks"]),
        mmc=rows.values("mmc"),
        mmc_se=rows.values("mmc_se"),
        corr=rows.values("corr"),
        corr_with_meta_model=rows.values("corr_with_meta_model")[0],
        per_draw=per_draw,
        meta_model_corr=meta_model_corr,
        full_meta_model_corr=as_floats([entry["corr"] for entry in receipt["meta_model"]]),
        counts=draw_counts(int(np.count_nonzero(stakes)), method.draws, method.sample, method.seed),
        filled=rows.values("filled")[0].astype(np.int64),
        quarantined=_quarantined(folder, files),
        notes=tuple(str(note) for note in receipt["notes"]),
    )
    if scores.draws_digest != receipt["draws_digest"]:
        raise ValueError("its draws are not those of its scores' stakers")
    return scores


class _Rows:
    """A table of users, or of users and targets, and where each user stands in canonical order."""

    def __init__(
        self, table: Mapping[str, Any], targets: list[str], users: list[str] | None = None
    ) -> None:
        names = [str(user) for user in table["user"]]
        if users is None:
            stakes = dict(zip(names, table["stake"], strict=True))
            users = sorted(stakes, key=lambda user: (stakes[user] == 0.0, user))
        self.users = users
        self.shape = len(targets), len(users)
        places = {user: place for place, user in enumerate(users)}
        numbers = {target: number for number, target in enumerate(targets)}
        target = table.get("target", targets[:1] * len(names))
        at = [numbers[t] * len(users) + places[u] for t, u in zip(target, names, strict=True)]
        if sorted(at) != list(range(len(targets) * len(users))):
            raise ValueError(f"not one row for each of {len(users):,} users and target")
        self._order = np.argsort(at)
        self._table = table

    def values(self, name: str) -> Floats:
        """Return a column's numbers as (T, U)."""
        return as_floats(self._table[name])[self._order].reshape(self.shape)


def _quarantined(folder: Path, files: Mapping[str, str]) -> tuple[Quarantined, ...]:
    columns = read_faults(folder, "quarantine.csv", files)
    if not columns:
        return ()
    return tuple(map(Quarantined, columns["user"], columns["code"], columns["detail"]))
