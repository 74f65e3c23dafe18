"""How the files here run under pytest-benchmark: sizes, turns, and what a timing is stored with."""

from typing import Any

import pytest

from benchmarks.entries import taking_turns
from benchmarks.machine import machine
from benchmarks.measure import measure as measure  # a fixture of all files here


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
