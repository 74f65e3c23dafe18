"""An evaluation read back: its scores as they were, to the bit, and its receipt."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.era_board import EraFault
from mmc_gpu.evaluation import Evaluation
from mmc_gpu.files.evaluations import SCHEMA
from mmc_gpu.files.result_folder import as_floats, check_shown, read_faults, read_table, refusing
from mmc_gpu.files.results import read_receipt


class EvaluationResult(NamedTuple):
    """An evaluation and its receipt."""

    evaluation: Evaluation
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


def _evaluation(folder: Path, receipt: Mapping[str, Any]) -> Evaluation:
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
    return Evaluation(
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
