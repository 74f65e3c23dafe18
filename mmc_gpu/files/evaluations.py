"""Evaluations on disk: the tables, and a receipt of what was read and how it was evaluated."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast, get_args

from mmc_gpu.engines import Engine
from mmc_gpu.errors import RoundError
from mmc_gpu.evaluation import Evaluation, evaluate
from mmc_gpu.files.eras import open_eras
from mmc_gpu.files.results import RECEIPT, REPORT, Hashing, csv_bytes, parquet_bytes, versions
from mmc_gpu.files.writing import Write, refuse_foreign, replace_folder
from mmc_gpu.metrics.tables import Kind, table_digest
from mmc_gpu.report.evaluation_report import evaluation_page

if TYPE_CHECKING:
    from mmc_gpu.cluster import Cluster

SCHEMA = "mmc_gpu evaluation 1"

_TABLES = ("eras", "summary", "counts")

KNOWN_FILES = (
    *(f"{table}.{suffix}" for table in _TABLES for suffix in ("parquet", "csv")),
    "faults.csv",
    REPORT,
    RECEIPT,
)
"""Everything that a folder of an evaluation may hold."""


def evaluate_file(
    path: Path,
    folder: Path | None,
    format_: Literal["parquet", "csv"],
    parts: Mapping[str, Any],
    engine: Engine | str,
    progress: Callable[[str, int, int], None] | None = None,
    report: bool = False,
    cluster: "Cluster | None" = None,
) -> Evaluation:
    """Evaluate a file's models; write the tables, all of them or none.

    Args:
        path: of the file.
        folder: where the tables go; None for nowhere.
        format_: of the tables.
        parts: the other arguments of `evaluate`.
        engine: what computes; its name, where workers do.
        progress: as of `evaluate`.
        report: whether to write a page to look at.
        cluster: as of `evaluate`.

    Raises:
        RoundError: the file cannot be read, or the folder not written, or it holds other files.
    """
    if folder is not None:  # before anything is evaluated for nothing
        if path.resolve().parent == folder.resolve():
            raise RoundError("output-foreign", f"{str(folder)!a} holds what is evaluated")
        refuse_foreign(folder, KNOWN_FILES, RECEIPT)
    source = open_eras(path, parts["era"], parts["ids"])
    evaluation = evaluate(source, **parts, engine=engine, cluster=cluster, progress=progress)
    if folder is not None:
        file = source.source
        inputs = {"file": path.name, "bytes": file.size, "sha256": file.sha256}
        run = {"inputs": [inputs], "parameters": dict(parts)}
        _write(folder, evaluation, format_, run, report)
    return evaluation


def make_receipt(
    evaluation: Evaluation,
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


def _write(
    folder: Path,
    evaluation: Evaluation,
    format_: Literal["parquet", "csv"],
    run: Mapping[str, Any],
    report: bool,
) -> None:
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
    replace_folder(folder, files, known=KNOWN_FILES, seal=RECEIPT)
