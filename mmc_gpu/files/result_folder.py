"""A result read back: its scores as they were, as far as the folder holds them, and its receipt."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.arrays import Floats
from mmc_gpu.draws import draw_counts
from mmc_gpu.errors import RoundError
from mmc_gpu.files.csv_file import read_csv
from mmc_gpu.files.parquet_file import ParquetSource
from mmc_gpu.files.results import RECEIPT, read_receipt
from mmc_gpu.files.source import Limits, Source, read_source
from mmc_gpu.files.writing import csv_unsafe
from mmc_gpu.method import Method
from mmc_gpu.round import Quarantined
from mmc_gpu.scores import RoundScores

_TABLES = ("scores.parquet", "scores.csv", "scores.json")
_TEXTS = ("target", "user", "era", "model", "scores", "code", "detail", "remedy")
_LIMITS = Limits(max_rows=10_000_000)  # a row is a user and a target


class Result(NamedTuple):
    """A result's scores and its receipt.

    Without draws.parquet the draws are None, and the scores' digest is the receipt's only.
    """

    scores: RoundScores
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


def _scores(folder: Path, receipt: Mapping[str, Any]) -> RoundScores:
    files = receipt["files"]
    (name,) = [name for name in _TABLES if name in files]
    table = read_table(folder, name, files)
    targets = [str(entry["target"]) for entry in receipt["meta_model"]]
    rows = _Rows(table, targets)
    parameters = dict(receipt["parameters"])
    method = Method(**{key: parameters[key] for key in Method.__dataclass_fields__})
    stakes = rows.values("stake")[0]
    meta_model_corr = as_floats([entry["corr_per_draw"] for entry in receipt["meta_model"]])
    if meta_model_corr.shape[1] != method.draws:
        raise ValueError(f"{method.draws:,} draws, and {meta_model_corr.shape[1]:,} meta models")
    per_draw = None
    if "draws.parquet" in files:
        draws = _Rows(read_table(folder, "draws.parquet", files), targets, rows.users)
        columns = [draws.values(f"draw_{draw}") for draw in range(method.draws)]
        per_draw = np.stack(columns, axis=-1)
    scores = RoundScores(
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


def _quarantined(folder: Path, files: Mapping[str, str]) -> tuple[Quarantined, ...]:
    columns = read_faults(folder, "quarantine.csv", files)
    if not columns:
        return ()
    return tuple(map(Quarantined, columns["user"], columns["code"], columns["detail"]))
