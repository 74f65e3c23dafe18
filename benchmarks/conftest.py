"""How the files here run under pytest-benchmark: sizes, turns, and what a timing is stored with."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from benchmarks.entries import Entry, taking_turns
from benchmarks.machine import machine


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--size", choices=["tiny", "quick", "full"], default="quick")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    entries = metafunc.module.entries(metafunc.config.getoption("--size"))
    turns = list(taking_turns(entries))
    names = [f"{entry}-turn{turn}" for entry, turn in turns]
    metafunc.parametrize(("entry", "turn"), turns, ids=names)


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    machine_info["mmc_gpu"] = machine(machine_info["cpu"])


Measure = Callable[..., Any]
"""`measure(function)` times one call and returns its result; see `measure`."""


@pytest.fixture
def measure(benchmark: Any, entry: Entry, turn: int, request: pytest.FixtureRequest) -> Measure:
    """What times one call for the entry of a test.

    `measure(function, warm_up=0, **facts)` calls the function once, after `warm_up` calls that are
    not timed. The call's result is returned; the facts are stored with the time. What is known
    only afterwards goes to `benchmark.extra_info["facts"]`.
    """

    def timed(function: Callable[[], Any], warm_up: int = 0, **facts: Any) -> Any:
        name = request.module.__name__.rpartition("bench_")[2]
        benchmark.extra_info.update(bench=name, turn=turn, entry=asdict(entry), facts=facts)
        return benchmark.pedantic(function, rounds=1, warmup_rounds=warm_up)

    return timed
