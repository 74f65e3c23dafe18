"""Today's scores of a whole population, beside numerai-tools: time, and memory at the peak.

Both packages have functions of the same names, which get the same frames. The peer takes up to a
minute a call; so no call is made only to compare: the results of the timed calls are compared.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.cases import Case, Size
from benchmarks.entries import Entry
from benchmarks.measure import Measure
from benchmarks.peers.competitors import fast_engines
from benchmarks.peers.todays_scores import LEAST_SQUARES, SCORES, TOOLS, todays_score
from mmc_gpu.engines.arrays import Floats

MEMORY = "memory: "
"""Parts whose name begins like this measure memory, each in a process of its own."""

_SHAPES = {"tiny": (30, 80), "quick": (1000, 5000), "full": (5000, 5000)}
_MEASURED = ("correlation_contribution", "correlation_contribution, top_bottom")


def entries(size: Size) -> Iterator[Entry]:
    case = Case(*_SHAPES[size])
    for part in (*SCORES, *(f"{MEMORY}{name}" for name in _MEASURED)):
        for name in (*fast_engines(), *([TOOLS] if find_spec("numerai_tools") else [])):
            once = size == "tiny" or part.startswith(MEMORY)
            turns = 1 if once else 2 if name == TOOLS else 5
            yield Entry(case, name, part, against=TOOLS, turns=turns)


def bench_metric(entry: Entry, measure: Measure, benchmark: Any) -> None:
    if entry.part.startswith(MEMORY):
        score = entry.part.removeprefix(MEMORY)
        asked = {"name": entry.competitor, "score": score, "case": asdict(entry.case)}
        command = [sys.executable, "-m", "benchmarks.peak", json.dumps(asked)]
        found = measure(lambda: subprocess.run(command, check=True, capture_output=True, text=True))
        benchmark.extra_info["facts"].update(json.loads(found.stdout))
        return
    warm_up = 0 if entry.competitor == TOOLS else 1
    scores = measure(todays_score(entry.part, entry.competitor, entry.case), warm_up)
    expected = _first_result(entry.case, entry.part).setdefault("scores", scores)
    relative, absolute = (1e-9, 1e-9) if entry.part in LEAST_SQUARES else (1e-12, 1e-14)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, expected, relative, absolute)


@cache
def _first_result(case: Case, part: str) -> dict[str, Floats]:
    """Return where the first result of a part is kept, for those that follow."""
    return {}
