"""Evaluations on disk: the tables, and a receipt of what was read and how it was evaluated."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from mmc_gpu.eras.comparison import Comparing
from mmc_gpu.eras.evaluation import EVERY_TARGET, OF_META_MODEL, EraFault, EraScores
from mmc_gpu.eras.metrics import LARGEST, metric_of
from mmc_gpu.files.results.folder import columns_of, fault_columns, source_of, write_result
from mmc_gpu.files.results.receipt import (
    EVALUATION,
    RECEIPT,
    REPORT,
    Receipt,
    as_floats,
    read_receipt,
    refusing,
)
from mmc_gpu.files.results.receipt import make_receipt as make_any_receipt
from mmc_gpu.files.writing.replace import Write
from mmc_gpu.files.writing.tables import TABLES
from mmc_gpu.metrics.population.tables import Kind, table_digest
from mmc_gpu.report.eras import evaluation_page

_TABLES = ("table", "eras", "summary", "uncertainty", "counts")
_FORMATS = ("parquet", "csv")

ERA_FILES = (
    *(f"{table}.{format_}" for table in _TABLES for format_ in _FORMATS),
    *("faults.csv", REPORT, RECEIPT),
)
"""All files that the folder of an evaluation may have."""


def make_receipt(evaluation: EraScores, run: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what was evaluated, how and with what; of scores in memory, nothing was read."""
    run = run or {"inputs": (), "parameters": {}}
    rows = evaluation.counted["rows"][0]
    stocks = int(rows.max(initial=1))
    own = [of for of in evaluation.scores if not metric_of(of, evaluation.benchmarks).function]
    # SciPy's quantiles for the largest era: another version of SciPy may give other bits
    tables = {kind: table_digest(kind, stocks) for kind in get_args(Kind)}
    result = {
        "models": len(evaluation.models),
        "benchmarks": evaluation.benchmarks,
        "targets": evaluation.targets,
        "eras": len(evaluation.labels),
        "rows": int(rows.sum()),
        "scores": list(evaluation.scores),
        "own_metrics": own,
        "faults": len(evaluation.faulted),
        "engine": evaluation.engine,
        "compared": evaluation.how._asdict(),
        "rank_tables": {"stocks": stocks, **tables},
    }
    return make_any_receipt(EVALUATION, run, result)


def write_evaluation(
    folder: Path,
    evaluation: EraScores,
    format_: Literal["parquet", "csv"],
    run: Mapping[str, Any],
    report: bool,
) -> None:
    """Write the tables of an evaluation, its receipt and its page: all of them or none.

    `run` has what was read ("inputs"), and the arguments of `evaluate` ("parameters").
    """

    def table(name: str, format_: str) -> Write:
        return lambda file: file.write(TABLES[format_](evaluation.columns(name)))

    tables = {f"{name}.{format_}": table(name, format_) for name in _TABLES}
    tables["faults.csv"] = table("faults", "csv")
    page = partial(evaluation_page, evaluation) if report else None
    write_result(folder, tables, make_receipt(evaluation, run), page, ERA_FILES)


def read_evaluation(folder: Path) -> tuple[EraScores, dict[str, Any]]:
    """Return what `mmc-gpu evaluate -o` has written to a folder: the scores and the receipt.

    Eras are text where the tables are CSV, which knows no kinds.

    Raises:
        RoundError: the folder has no receipt, or files that are not those of its receipt.
    """
    receipt = read_receipt(folder, (EVALUATION,))
    with refusing(folder):
        return _evaluation(receipt), receipt.said


def _evaluation(receipt: Receipt) -> EraScores:
    (format_,) = [format_ for format_ in _FORMATS if f"eras.{format_}" in receipt.files]
    rows = columns_of(source_of(receipt, f"eras.{format_}"))
    counts = columns_of(source_of(receipt, f"counts.{format_}"))
    targets = _targets(receipt, counts)
    eras = list(np.asarray(counts.pop("era")).tolist())
    labels = eras[: len(eras) // len(targets)]
    models = [str(name) for name in rows.pop("model")[: len(rows["era"]) // len(eras)]]
    if _targets(receipt, rows) != targets or eras != labels * len(targets):
        raise ValueError("not one row for each target and era")
    if list(rows.pop("era")) != [label for label in eras for _ in models]:
        raise ValueError("not one row for each era and model")
    shape = len(targets), len(labels), len(models)
    missing = as_floats(rows.pop("missing")).astype(np.int64).reshape(shape)[0]
    benchmarks = [str(name) for name in receipt.said["benchmarks"]]
    if unknown := set(benchmarks) - set(models):
        raise ValueError(f"no scores of {len(unknown):,} benchmarks")
    own = [name for name in rows if f"{OF_META_MODEL}{name}" in counts]
    meta_model = {name: as_floats(counts.pop(f"{OF_META_MODEL}{name}")) for name in own}
    scores = {name: as_floats(values) for name, values in rows.items()}
    if any((np.abs(of) >= LARGEST).any() for of in (*scores.values(), *meta_model.values())):
        raise ValueError(f"a score that is not below {LARGEST}")
    counted = {n: as_floats(of).astype(np.int64).reshape(shape[:2]) for n, of in counts.items()}
    return EraScores(
        models=models,
        benchmarks=benchmarks,
        targets=targets,
        labels=labels,
        scores={name: values.reshape(shape) for name, values in scores.items()},
        missing=missing,
        counted=counted,
        faulted=_faulted(receipt, labels),
        engine=receipt.engine,
        how=Comparing(**receipt.said.get("compared", {})).check(),
        meta_model={name: values.reshape(shape[:2]) for name, values in meta_model.items()},
    )


def _targets(receipt: Receipt, columns: dict[str, Any]) -> list[str]:
    """Return the targets of a table's rows, target by target; its column `target` is taken out.

    Folders of 0.1.0 have no such column: they have one target, which the receipt names.
    """
    if "target" not in columns:
        return [str(receipt.said["parameters"].get("target") or "")]
    targets = [str(name or "") for name in receipt.said["targets"]]
    found = ["" if name is None else str(name) for name in columns.pop("target")]
    rows = len(found) // len(targets)
    if found != [target for target in targets for _ in range(rows)]:
        raise ValueError("the receipt names other targets")
    return targets


def _faulted(receipt: Receipt, labels: list[Any]) -> dict[EraFault, list[str]]:
    columns = fault_columns(source_of(receipt, "faults.csv"))
    if not columns:
        return {}
    label = {str(label): label for label in labels}
    eras = [label[text] for text in columns["era"]]
    targets = columns.get("target", [EVERY_TARGET] * len(eras))
    faults = map(EraFault, eras, columns["model"], columns["code"], columns["detail"], targets)
    scores = (text.split(", ") for text in columns["scores"])
    return dict(zip(faults, scores, strict=True))
