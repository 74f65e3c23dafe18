"""The page of an evaluation: this module gathers the data, evaluation.js draws it."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.eras.evaluation import EVERY_MODEL, EraScores
from mmc_gpu.errors import CODES
from mmc_gpu.report.page import (
    UNKNOWN,
    build_page,
    decimals_for,
    pack_decimals,
    pack_floats,
    pack_integers,
    pack_texts,
    receipt_rows,
)

_SCRIPTS = ("eras.js", "models.js", "lines.js", "heat.js", "evaluation.js")

_RECEIPT = {
    "files": "sha256 of the tables",
    "parameters": "Parameters",
    "engine": "Engine",
    "versions": "Versions",
    "created": "Evaluated",
}

_SERIES_BITS = 6_600_000
"""The most bits that the scores of all eras may take: 1.1 MB of the page, in base64."""

_FEWEST_BITS, _MOST_BITS = 4, 14
"""About how many bits one era's score takes: its steps are from a quarter to 1 / 4,000 of the
standard deviation."""

_SUMMARY_ROWS = 30_000
"""The most rows of the summary, 0.5 MB: differences from the last benchmarks give way."""

_LISTED = 200
"""The most faults that the page lists; faults.csv has all."""


def evaluation_page(evaluation: EraScores, receipt: Mapping[str, Any]) -> bytes:
    """Return the page of an evaluation: of its first target.

    Args:
        evaluation: the scores.
        receipt: the receipt of the result, or as much of one as is known of scores in memory.
    """
    benchmarks = [evaluation.models.index(name) for name in evaluation.benchmarks]
    rows = len(evaluation.models) * len(evaluation.scores)
    subtracted = benchmarks[: max(0, _SUMMARY_ROWS // rows - 1)]
    labels = {name: label for name, label in _RECEIPT.items() if receipt.get(name)}
    data = {
        "models": pack_texts(evaluation.models),
        "eras": pack_texts([str(label) for label in evaluation.labels]),
        "scores": list(evaluation.scores),
        "benchmarks": benchmarks,
        "subtracted": subtracted,
        "tables": _tables(evaluation, subtracted),
        "series": _series(evaluation),
        "missing": pack_decimals(evaluation.missing.sum(axis=0), 0),
        "engine": evaluation.engine,
        "absent": evaluation.absent,
        "quality": _quality(evaluation),
        "receipt": receipt_rows({"inputs": (), **receipt}, labels),
    }
    sizes = {"model": len(evaluation.models), "era": len(evaluation.labels)}
    title = " over ".join(f"{size:,} {name}{'s' * (size != 1)}" for name, size in sizes.items())
    return build_page(title, "evaluation.html", _SCRIPTS, data)


def _tables(evaluation: EraScores, subtracted: list[int]) -> list[list[dict[str, Any]]]:
    """Return each score's summaries: its own, then those less each benchmark's; all by model."""
    summary = evaluation.columns("summary")
    against = ["", *(evaluation.models[place] for place in subtracted)]
    rows: dict[tuple[str, str], list[int]] = {}
    keys = zip(summary["score"], summary["against"], summary["target"], strict=True)
    for row, (*key, target) in enumerate(keys):
        if target == evaluation.targets[0]:
            rows.setdefault((key[0], key[1]), []).append(row)
    places = {name: place for place, name in enumerate(evaluation.models)}
    models = np.array([places[name] for name in summary["model"]])

    def table(chosen: list[int]) -> dict[str, Any]:
        def column(name: str) -> Floats:
            values = np.full(len(places), np.nan)  # no benchmark is subtracted from itself
            values[models[chosen]] = summary[name][chosen]
            return values

        sums = [column(name) for name in ("mean", "std", "max_drawdown")]
        mean, std, drawdown = (pack_decimals(values, decimals_for(*sums)) for values in sums)
        ranks = np.empty(len(places))
        ranks[np.argsort(-sums[0], kind="stable")] = np.arange(1, len(places) + 1)  # NaN last
        return {
            "rank": pack_decimals(ranks, 0),
            "eras": pack_decimals(column("eras"), 0),
            "mean": mean,
            "std": std,
            "drawdown": drawdown,
            "sharpe": pack_floats(column("sharpe")),
            "smart": pack_floats(column("smart_sharpe")),
            "autocorr": pack_decimals(column("autocorrelation"), 3),
            "positive": pack_decimals(column("positive"), 4),
        }

    return [[table(rows.get((score, name), [])) for name in against] for score in evaluation.scores]


def _series(evaluation: EraScores) -> dict[str, Any]:
    """Return the scores of every era, of as many models as there is room for, the best first.

    The running sums are rounded, not the scores: so the curve of a sum is off by at most half a
    step everywhere, and an era's score by at most one step. Steps are as fine as there is room.
    """
    size = len(evaluation.labels) * len(evaluation.scores)
    room = max(_SERIES_BITS // (_FEWEST_BITS * size), len(evaluation.benchmarks), 1)
    kept = _best(evaluation)[:room]
    bits = min(_MOST_BITS, _SERIES_BITS / (len(kept) * size))
    return {
        "rows": pack_integers(kept),
        "scores": [_steps(scores[0][:, kept].T, bits) for scores in evaluation.scores.values()],
    }


def _best(evaluation: EraScores) -> Integers:
    """Return the models in order: benchmarks, then by the best place that a score gives a model."""
    best = np.full(len(evaluation.models), len(evaluation.models))
    for score in evaluation.scores:
        order = evaluation.order(score)
        best[order] = np.minimum(best[order], np.arange(len(order)))
    best[[evaluation.models.index(name) for name in evaluation.benchmarks]] = -1
    return np.argsort(best, kind="stable")


def _steps(scores: Floats, bits: float) -> dict[str, Any]:
    """Return (U, eras) whole steps, whose running sums are the rounded sums of the scores."""
    present = scores[~np.isnan(scores)]
    spread = (float(present.std()) or abs(float(present[0]))) if len(present) else 0.0
    # a normal distribution takes 2.05 bits and one more each time that the step is halved
    step = _round_number((spread or 1.0) * 2 ** (2.05 - bits))
    sums = np.rint(np.cumsum(np.nan_to_num(scores), axis=1) / step)
    steps = np.clip(np.diff(sums, axis=1, prepend=0.0), 1 - 2**31, 2**31 - 1)
    return {"step": step, "steps": pack_integers(np.where(np.isnan(scores), UNKNOWN, steps))}


def _round_number(number: float) -> float:
    """Return the least number, from this one up, that is 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(number))
    return next((times * power for times in (1, 2, 5) if times * power >= number), 10 * power)


def _quality(evaluation: EraScores) -> dict[str, Any]:
    lost: Counter[str] = Counter()
    for fault, scores in evaluation.faulted.items():
        everybody = len(evaluation.models) if fault.model == EVERY_MODEL else 1
        lost[fault.code] += everybody * len(scores)
    listed = list(evaluation.faulted.items())[:_LISTED]
    return {
        "codes": [[code, times, *CODES.get(code, ("", ""))] for code, times in lost.most_common()],
        "faults": len(evaluation.faulted),
        "listed": [
            [
                str(fault.era),
                "every model" if fault.model == EVERY_MODEL else fault.model,
                ", ".join(scores),
                fault.detail,
            ]
            for fault, scores in listed
        ],
        "counts": [
            [name, int(counts[0].sum()), int(np.count_nonzero(counts[0]))]
            for name, counts in evaluation.counted.items()
        ],
    }
