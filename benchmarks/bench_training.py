"""An evaluation metric of a boosting round, beside one ranking of the same predictions.

A case's stocks are the rows of an era, give or take a seventh, and its draws eras. Targets, meta
model and benchmarks are ranked before, as in training. `ranked` ranks the predictions era by era.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.cases import Case, Size
from benchmarks.entries import Entry
from benchmarks.measure import Measure
from benchmarks.peers.competitors import engines
from mmc_gpu import metrics, training
from mmc_gpu.engines import load_engine

RANKED, CORR, EVERY = "ranked", "corr", "corr, mmc and bmc"

_SHAPES = {"tiny": (60, 4), "quick": (4200, 60), "full": (4200, 570)}
"""Rows of an era, eras; 570 eras have 2.4 million rows."""


def entries(size: Size) -> Iterator[Entry]:
    stocks, eras = _SHAPES[size]
    for name in engines():
        for part in (RANKED, CORR, EVERY):
            yield Entry(Case(1, stocks, eras), name, part, name, turns=1 if size == "tiny" else 9)


def bench_training(entry: Entry, measure: Measure) -> None:
    function = _round(entry.competitor, entry.part, entry.case)
    found = measure(function, warm_up=2)
    if entry.part != RANKED:
        eras, target, _, _, predictions = _data(entry.case)
        first = eras == 0
        alone = metrics.numerai_corr(predictions[first], target[first], engine=entry.competitor)
        ours = training.EraMetrics(eras[first], target[first], engine=entry.competitor)
        values = ours.values(predictions[first], target[first])
        np.testing.assert_allclose(values["corr"], alone, 1e-12, 1e-14)
        assert set(found) == set(entry.part.replace(" and", ",").split(", "))


@lru_cache(maxsize=8)
def _round(name: str, part: str, case: Case) -> Callable[[], Any]:
    eras, target, meta_model, benchmarks, predictions = _data(case)
    engine = load_engine(name)
    if part == RANKED:
        stops = np.bincount(eras).cumsum().tolist()
        bounds = list(zip([0, *stops], stops, strict=False))
        rows = [predictions[None, first:stop] for first, stop in bounds]
        return lambda: [engine.get(engine.rank(engine.put(row), "average")) for row in rows]
    beside = (meta_model, benchmarks) if part == EVERY else ()
    found = training.EraMetrics(eras, target, *beside, engine=engine)
    label = target.astype(np.float32)
    return lambda: found.values(predictions, label)


@lru_cache(maxsize=1)
def _data(case: Case) -> tuple[Any, ...]:
    """Return seeded eras, target, meta model, benchmarks and predictions."""
    rng = np.random.default_rng(np.random.Philox(0))
    sizes = rng.integers(case.stocks * 6 // 7, case.stocks * 8 // 7, case.draws)
    rows = int(sizes.sum())
    target = rng.choice([0, 0.25, 0.5, 0.75, 1], rows, p=[0.05, 0.2, 0.5, 0.2, 0.05])
    eras = np.repeat(np.arange(case.draws), sizes)
    return eras, target, rng.random(rows), rng.random((rows, 2)), rng.random(rows)
