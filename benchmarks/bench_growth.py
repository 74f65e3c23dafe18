"""How the time of a round grows with users, stocks and draws."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import psutil
import pytest

from benchmarks.cases import Case, Size
from benchmarks.entries import Entry
from benchmarks.measure import Measure
from benchmarks.peers.competitors import CLOSED_FORM, Agreement, engines, scorer

_HUGE = 2 * 10**8
"""A round of so many predictions is scored only once: its timed result is checked."""

_NUMPY = 6 * 10**7
"""The NumPy engine, the slowest, takes part up to so many predictions times draws / 20."""

_BYTES = 16
"""Memory of a prediction, at most: in float64, a staker's copy, and the closed form's copy."""


_GROWTH: dict[Size, tuple[Case, dict[str, list[int]]]] = {
    "tiny": (Case(10, 50, 2), {"users": [10, 20], "stocks": [40, 80], "draws": [2, 4]}),
    "quick": (
        Case(300, 5000),
        {"users": [100, 300, 1000], "stocks": [500, 1500, 5000], "draws": [20, 60, 200]},
    ),
    "full": (
        Case(500, 5000),
        {
            "users": [100, 1000, 10_000, 100_000],
            "stocks": [500, 1500, 5000, 15_000, 50_000],
            "draws": [20, 60, 200, 600, 2000],
        },
    ),
}
"""The case to begin with; and for each part of it that grows, its sizes."""


def cases(size: Size) -> Iterator[tuple[str, Case]]:
    """Yield what grows, and its cases; many users in float32, or the largest would not fit."""
    base, growth = _GROWTH[size]
    for part, counts in growth.items():
        dtype = "float32" if part == "users" else "float64"
        for count in counts:
            changes: dict[str, Any] = {"dtype": dtype, part: count}
            yield part, replace(base, **changes)


def entries(size: Size) -> Iterator[Entry]:
    for part, case in cases(size):
        turns = 1 if size == "tiny" or case.cells > _HUGE else 3
        for name in competitors(case):
            yield Entry(case, name, part, turns=turns)


def competitors(case: Case) -> list[str]:
    slow = case.cells * case.draws / 20 > _NUMPY
    return [*(name for name in engines() if name != "numpy" or not slow), CLOSED_FORM]


@lru_cache(maxsize=1)
def agreement(case: Case) -> Agreement:
    """Return what is known of a case; all competitors have run on it unless it is huge."""
    known = Agreement(case)
    if case.cells <= _HUGE:
        known.check_all({name: scorer(name, case)() for name in competitors(case)})
    return known


def bench_growth(entry: Entry, measure: Measure) -> None:
    needed, free = entry.case.cells * _BYTES, psutil.virtual_memory().available
    if needed > free:
        pytest.skip(f"needs {needed / 2**30:.0f} GiB, {free / 2**30:.0f} GiB are free")
    known = agreement(entry.case)
    known.check(entry.competitor, measure(scorer(entry.competitor, entry.case)))
