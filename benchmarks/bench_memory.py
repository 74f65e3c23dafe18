"""Memory at the peak of a round, beyond the predictions; each in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from benchmarks.cases import Case, Size
from benchmarks.entries import Entry
from benchmarks.measure import Measure
from benchmarks.peers.competitors import CLOSED_FORM, engines

_SHAPES = {"tiny": (40, 60), "quick": (1000, 5000), "full": (5000, 5000)}


def entries(size: Size) -> Iterator[Entry]:
    users, stocks = _SHAPES[size]
    for dtype in ("float64",) if size == "quick" else ("float64", "float32"):
        case = Case(users, stocks, dtype=dtype)
        for name in (*engines(), CLOSED_FORM):
            yield Entry(case, name, against="", turns=2 if size == "full" else 1)


def bench_memory(entry: Entry, measure: Measure, benchmark: Any) -> None:
    asked = json.dumps({"name": entry.competitor, "case": asdict(entry.case)})
    command = [sys.executable, "-m", "benchmarks.peak", asked]
    found = measure(lambda: subprocess.run(command, check=True, capture_output=True, text=True))
    benchmark.extra_info["facts"].update(json.loads(found.stdout))
