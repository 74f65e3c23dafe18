"""How a benchmark measures."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from benchmarks.entries import Entry

Measure = Callable[..., Any]
"""`measure(function)` times one call and returns its result; see `measure`."""


@pytest.fixture
def measure(benchmark: Any, entry: Entry, turn: int, request: pytest.FixtureRequest) -> Measure:
    """Return a function that times one call for the entry of a test.

    `measure(function, warm_up=0, **facts)` calls the function once, after `warm_up` calls that are
    not timed. The call's result is returned; the facts are stored with the time. Facts that are
    known only afterwards go to `benchmark.extra_info["facts"]`.
    """

    def timed(function: Callable[[], Any], warm_up: int = 0, **facts: Any) -> Any:
        name = request.module.__name__.rpartition("bench_")[2]
        benchmark.extra_info.update(bench=name, turn=turn, entry=asdict(entry), facts=facts)
        return benchmark.pedantic(function, rounds=1, warmup_rounds=warm_up)

    return timed
