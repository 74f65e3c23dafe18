"""`python -m benchmarks.large.whole_round`: a whole round beside NumPy, with 60 % and all staked.

In turns, from arrays to scores, for each share of stakers:

    engine       `score_round`
    closed form  of `benchmarks.peers.closed_form`, which must agree: the engine is so many times
                 as fast
    yardstick    NumPy's bare sort of as many 32-bit keys on all cores, and one read of the
                 predictions: the engine takes so many times as long

Ends in one JSON; all times are seconds.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.bench_parts import on_all_cores, read, sort
from benchmarks.cases import Case, make_round
from benchmarks.machine import machine
from benchmarks.peers.competitors import CLOSED_FORM, Agreement, scorer


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large.whole_round")
    parser.add_argument("--engine", default="cpu")
    parser.add_argument("--shape", type=int, nargs=2, default=(5000, 5000), help="users, stocks")
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--staked", type=float, nargs="+", default=(0.6, 1.0), help="shares")
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args(arguments)
    found: dict[str, Any] = {"date": time.strftime("%Y-%m-%dT%H:%M:%S"), "machine": machine()}
    for share in asked.staked:
        users, stocks = asked.shape
        case = Case(users, stocks, dtype=asked.dtype, staked=share)
        found[f"{share:.0%} staked"] = beside(case, asked.engine, asked.turns)
    print(json.dumps(found, indent=1))
    return 0


def beside(case: Case, engine: str, turns: int) -> dict[str, Any]:
    """Return the median seconds of each, and the two ratios: medians of the turns."""
    predictions = make_round(case).predictions
    keys = np.random.default_rng(0).integers(0, 2**32, predictions.shape, np.uint32)

    def yardstick() -> None:
        on_all_cores(sort, keys)
        on_all_cores(read, predictions)

    ours, theirs = scorer(engine, case), scorer(CLOSED_FORM, case)
    Agreement(case).check_all({engine: ours(), CLOSED_FORM: theirs()})
    rivals = {"engine": ours, "closed form": theirs, "yardstick": yardstick}
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(turns):
        for name, run in rivals.items():
            # an engine is so short that a single run tells little
            repeats = 1 if name == "closed form" else 5
            times[name].append(statistics.median(_seconds(run) for _ in range(repeats)))
    rows = list(zip(*times.values(), strict=True))
    return {name: round(statistics.median(each), 4) for name, each in times.items()} | {
        "times the closed form": round(statistics.median(row[1] / row[0] for row in rows), 2),
        "of the yardstick": round(statistics.median(row[0] / row[2] for row in rows), 2),
    }


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    raise SystemExit(main())
