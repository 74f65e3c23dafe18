"""Evaluations on disk: the tables, and a receipt of what was read and how it was evaluated."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, cast, get_args

import numpy as np

from mmc_gpu.eras.evaluation import EraFault, EraScores
from mmc_gpu.files.results.receipt import (
    RECEIPT,
    REPORT,
    as_floats,
    check_shown,
    read_faults,
    read_receipt,
    read_table,
    refusing,
    versions,
)
from mmc_gpu.files.writing.replace import Write, replace_folder
from mmc_gpu.files.writing.tables import Hashing, csv_bytes, parquet_bytes
from mmc_gpu.metrics.population.tables import Kind, table_digest
from mmc_gpu.report.eras import evaluation_page

if TYPE_CHECKING:
    pass

SCHEMA = "mmc_gpu evaluation 1"

_TABLES = ("eras", "summary", "counts")

ERA_FILES = (
    *(f"{table}.{suffix}" for table in _TABLES for suffix in ("parquet", "csv")),
    "faults.csv",
    REPORT,
    RECEIPT,
)
"""Everything that a folder of an evaluation may hold."""


def make_receipt(
    evaluation: EraScores,
    run: Mapping[str, Any] = MappingProxyType({"inputs": (), "parameters": {}}),
    hashes: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return what was evaluated, how and with what.

    Args:
        evaluation: the scores.
        run: what was read, and the arguments of `evaluate`; nothing for scores in memory.
        hashes: sha256 of each of the tables' files.
    """
    stocks = int(evaluation.counted["rows"].max(initial=1))
    return {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **run,
        "models": len(evaluation.models),
        "benchmarks": evaluation.benchmarks,
        "eras": len(evaluation.labels),
        "rows": int(evaluation.counted["rows"].sum()),
        "scores": list(evaluation.scores),
        "faults": len(evaluation.faulted),
        "engine": evaluation.engine,
        # of SciPy's quantiles, whose bits another version could move: of the largest era
        "rank_tables": {
            "stocks": stocks,
            **{kind: table_digest(kind, stocks) for kind in get_args(Kind)},
        },
        "versions": versions(),
        "files": dict(hashes),
    }


def write_evaluation(
    folder: Path,
    evaluation: EraScores,
    format_: Literal["parquet", "csv"],
    run: Mapping[str, Any],
    report: bool,
) -> None:
    """Write the tables of an evaluation, its receipt and its page: all of them or none."""
    hashes: dict[str, str] = {}
    receipt: dict[str, Any] = {}

    def table(name: str, as_bytes: Callable[[Mapping[str, Any]], bytes]) -> tuple[str, Write]:
        file_name = f"{name}.{'csv' if as_bytes is csv_bytes else 'parquet'}"

        def write(file: BinaryIO) -> None:
            hashing = Hashing(file)
            cast(BinaryIO, hashing).write(as_bytes(evaluation.columns(name)))
            hashes[file_name] = hashing.sha256.hexdigest()

        return file_name, write

    def write_receipt(file: BinaryIO) -> None:
        receipt.update(make_receipt(evaluation, run, hashes))
        file.write((json.dumps(receipt, indent=1, allow_nan=False) + "\n").encode())

    as_bytes = csv_bytes if format_ == "csv" else parquet_bytes
    files = dict([*(table(name, as_bytes) for name in _TABLES), table("faults", csv_bytes)])
    files[RECEIPT] = write_receipt  # behind the others: it knows their sha256
    if report:
        files[REPORT] = lambda file: file.write(evaluation_page(evaluation, receipt))
    replace_folder(folder, files, known=ERA_FILES, seal=RECEIPT)


class EvaluationResult(NamedTuple):
    """An evaluation and its receipt."""

    evaluation: EraScores
    receipt: dict[str, Any]


def read_evaluation(folder: Path) -> EvaluationResult:
    """Return what `mmc-gpu evaluate -o` has written to a folder.

    Eras are text where the tables are CSV, which knows no kinds.

    Raises:
        RoundError: the folder has no receipt, or files that are not those of its receipt.
    """
    receipt = read_receipt(folder, (SCHEMA,))
    with refusing(folder):
        check_shown(receipt, ("created", "engine"))
        return EvaluationResult(_evaluation(folder, receipt), receipt)


def _evaluation(folder: Path, receipt: Mapping[str, Any]) -> EraScores:
    files = receipt["files"]
    (suffix,) = [suffix for suffix in ("parquet", "csv") if f"eras.{suffix}" in files]
    rows = read_table(folder, f"eras.{suffix}", files)
    counts = read_table(folder, f"counts.{suffix}", files)
    labels = list(np.asarray(counts.pop("era")).tolist())
    models = [str(name) for name in rows.pop("model")[: len(rows["era"]) // len(labels)]]
    if list(rows.pop("era")) != [label for label in labels for _ in models]:
        raise ValueError("not one row for each era and model")
    shape = len(labels), len(models)
    missing = as_floats(rows.pop("missing")).astype(np.int64).reshape(shape)
    benchmarks = [str(name) for name in receipt["benchmarks"]]
    if unknown := set(benchmarks) - set(models):
        raise ValueError(f"no scores of {len(unknown):,} benchmarks")
    return EraScores(
        models=models,
        benchmarks=benchmarks,
        labels=labels,
        scores={name: as_floats(values).reshape(shape) for name, values in rows.items()},
        missing=missing,
        counted={name: as_floats(values).astype(np.int64) for name, values in counts.items()},
        faulted=_faulted(folder, files, labels),
        engine=str(receipt["engine"]),
    )


def _faulted(
    folder: Path, files: Mapping[str, str], labels: list[Any]
) -> dict[EraFault, list[str]]:
    columns = read_faults(folder, "faults.csv", files)
    if not columns:
        return {}
    label = {str(label): label for label in labels}
    eras = [label[text] for text in columns["era"]]
    faults = map(EraFault, eras, columns["model"], columns["code"], columns["detail"])
    scores = (text.split(", ") for text in columns["scores"])
    return dict(zip(faults, scores, strict=True))
