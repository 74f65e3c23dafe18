"""The page of an evaluation: this module gathers the data, evaluation.js draws it."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.eras.comparison import Standing
from mmc_gpu.eras.evaluation import EVERY_MODEL, EVERY_TARGET, EraScores
from mmc_gpu.errors import CODES, counted
from mmc_gpu.metrics.summary import Summary, summaries
from mmc_gpu.report import page

_SCRIPTS = ("eras.js", "models.js", "statistics.js", "lines.js", "heat.js", "evaluation.js")

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

_SUMMARY_ROWS = 6_000
"""The most rows of statistics, 0.26 MB: the last targets give way, then the last benchmarks."""

_SUMS = ("mean", "mean_low", "mean_high", "std", "max_drawdown")
"""Statistics in the unit of the score."""

_OTHERS: dict[str, Callable[[Any], Any]] = {
    "eras": partial(page.decimals, places=0),
    "sharpe": page.floats,
    "sharpe_low": page.floats,
    "sharpe_high": page.floats,
    "smart_sharpe": page.floats,
    "autocorrelation": partial(page.decimals, places=3),
    "positive": partial(page.decimals, places=4),
    "p": partial(page.decimals, places=3),
}
"""Other statistics, and what packs them."""

_LISTED = 200  # the most faults that the page lists; faults.csv has all


def evaluation_page(
    evaluation: EraScores, receipt: Mapping[str, Any], target: str | None = None
) -> bytes:
    """Return the page of an evaluation, on as many targets as there is room for, this one first.

    The receipt has as much as is known of scores in memory.

    Raises:
        ValueError: there is no such target.
    """
    first = evaluation.targets.index(evaluation.standing(target=target).target)
    benchmarks = [evaluation.models.index(name) for name in evaluation.benchmarks]
    rows = len(evaluation.models) * len(evaluation.scores)
    others = [number for number in range(len(evaluation.targets)) if number != first]
    targets = [first, *others][: max(1, _SUMMARY_ROWS // rows)]
    subtracted = benchmarks[: max(0, _SUMMARY_ROWS // (rows * len(targets)) - 1)]
    subtracted = subtracted if len(evaluation.models) > 1 else []
    labels = {name: label for name, label in _RECEIPT.items() if receipt.get(name)}
    data = {
        "models": page.texts(evaluation.models),
        "eras": page.texts([str(label) for label in evaluation.labels]),
        "scores": list(evaluation.scores),
        "targets": evaluation.targets,
        "benchmarks": benchmarks,
        "subtracted": subtracted,
        "views": _views(evaluation, targets, [evaluation.models[place] for place in subtracted]),
        "series": _series(evaluation, targets),
        "missing": page.decimals(evaluation.missing.sum(axis=0), 0),
        "engine": evaluation.engine,
        "absent": evaluation.absent,
        "quality": _quality(evaluation),
        "receipt": page.receipt_rows({"inputs": (), **receipt}, labels),
    }
    models = counted(len(evaluation.models), "model")
    title = f"{models} over {counted(len(evaluation.labels), 'era')}"
    return page.build_page(title, "evaluation.html", _SCRIPTS, data)


def _views(
    evaluation: EraScores, targets: Sequence[int], subtracted: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what the page shows of each target: how the models stand in every score."""
    size = len(evaluation.scores)
    return [
        {
            "target": evaluation.targets[number],
            "said": evaluation.sentences(number),
            "standings": [
                _standing(one, [_difference(one, name) for name in subtracted])
                for one in evaluation.standings[number * size : (number + 1) * size]
            ],
            "counts": [
                [name, int(counts[number].sum()), int(np.count_nonzero(counts[number]))]
                for name, counts in evaluation.counted.items()
            ],
        }
        for number in targets
    ]


def _standing(one: Standing, differences: Sequence[Mapping[str, Floats]]) -> dict[str, Any]:
    """Return how the models stand in a score: by itself, then less each benchmark's."""
    found = zip(*summaries(one.used, one.return_like), strict=True)
    own = dict(zip(Summary._fields, map(np.array, found), strict=True)) | one.own._asdict()
    return {
        "sentence": one.sentence,
        "better": one.better,
        "returns": one.return_like,
        "notes": [one.note(place) for place in one.few],
        "meta": [page.number(one.meta_mean), one.meta_eras],
        "tables": [_table(one, found) for found in (own, *differences)],
    }


def _difference(one: Standing, benchmark: str) -> dict[str, Floats]:
    """Return the statistics of each model's score less a benchmark's, (U,) each."""
    summaries = zip(Summary._fields, zip(*one.summaries(benchmark), strict=True), strict=True)
    columns = {name: np.array(values, np.float64) for name, values in summaries}
    columns |= {name: values.copy() for name, values in one.against(benchmark)._asdict().items()}
    for values in columns.values():
        values[one.models.index(benchmark)] = np.nan  # a benchmark less itself
    return columns


def _table(one: Standing, found: Mapping[str, Floats]) -> dict[str, Any]:
    """Return statistics of all models, and their order: best first, those with few eras last."""
    signed = found["mean"] if one.better == "lower" else -found["mean"]
    order = [place for place in np.argsort(signed, kind="stable").tolist() if one.enough[place]]
    able = np.isin(np.arange(len(signed)), one.ranked) & ~np.isnan(signed)
    ranked = [place for place in order if able[place]]
    ranks = np.full(len(signed), np.nan)
    if one.better != "neither":
        ranks[ranked] = np.arange(1, len(ranked) + 1)
    decimals = page.decimals_for(*(found[name] for name in _SUMS))
    return {
        "order": page.integers([*order, *one.few]),
        "rank": page.decimals(ranks, 0),
        **{name: page.decimals(found[name], decimals) for name in _SUMS},
        **{name: pack(found[name]) for name, pack in _OTHERS.items()},
    }


def _series(evaluation: EraScores, targets: Sequence[int]) -> dict[str, Any]:
    """Return the scores of every era, of as many models as there is room for, the best first.

    The running sums are rounded, not the scores: so the curve of a sum is off by at most half a
    step everywhere, and an era's score by at most one step. Steps are as fine as there is room.
    """
    size = len(evaluation.labels) * len(evaluation.scores) * len(targets)
    room = max(_SERIES_BITS // (_FEWEST_BITS * size), len(evaluation.benchmarks), 1)
    kept = _best(evaluation, targets)[:room]
    bits = min(_MOST_BITS, _SERIES_BITS / (len(kept) * size))
    return {
        "rows": page.integers(kept),
        "scores": [
            [_steps(scores[number][:, kept].T, bits) for scores in evaluation.scores.values()]
            for number in targets
        ],
    }


def _best(evaluation: EraScores, targets: Sequence[int]) -> Integers:
    """Return the models in order: benchmarks, then by the best place that a score gives a model."""
    best = np.full(len(evaluation.models), len(evaluation.models))
    for score, number in product(evaluation.scores, targets):
        order = evaluation.order(score, number)
        best[order] = np.minimum(best[order], np.arange(len(order)))
    best[[evaluation.models.index(name) for name in evaluation.benchmarks]] = -1
    return np.argsort(best, kind="stable")


def _steps(scores: Floats, bits: float) -> dict[str, Any]:
    """Return (U, eras) whole steps, whose running sums are the rounded sums of the scores."""
    present = scores[~np.isnan(scores)]
    spread = (float(present.std()) or abs(float(present[0]))) if len(present) else 0.0
    # a normal distribution takes 2.05 bits and one more each time that the step is halved
    step = _round_number((spread if spread > 1e-300 else 1.0) * 2 ** (2.05 - bits))
    sums = np.rint(np.cumsum(np.nan_to_num(scores), axis=1) / step)
    steps = np.clip(np.diff(sums, axis=1, prepend=0.0), 1 - 2**31, 2**31 - 1)
    return {"step": step, "steps": page.integers(np.where(np.isnan(scores), page.UNKNOWN, steps))}


def _round_number(number: float) -> float:
    """Return the least number, from this one up, that is 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(number))
    return next((times * power for times in (1, 2, 5) if times * power >= number), 10 * power)


def _quality(evaluation: EraScores) -> dict[str, Any]:
    lost: Counter[str] = Counter()
    for fault, scores in evaluation.faulted.items():
        everybody = len(evaluation.models) if fault.model == EVERY_MODEL else 1
        everywhere = len(evaluation.targets) if fault.target == EVERY_TARGET else 1
        lost[fault.code] += everybody * everywhere * len(scores)
    listed = list(evaluation.faulted.items())[:_LISTED]
    return {
        "codes": [[code, times, *CODES.get(code, ("", ""))] for code, times in lost.most_common()],
        "faults": len(evaluation.faulted),
        "listed": [
            [
                str(fault.era),
                "every target" if fault.target == EVERY_TARGET else fault.target,
                "every model" if fault.model == EVERY_MODEL else fault.model,
                ", ".join(scores),
                fault.detail,
            ]
            for fault, scores in listed
        ],
    }
