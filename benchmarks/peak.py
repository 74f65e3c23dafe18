"""Print the memory that a round, or one of today's scores, takes beyond the predictions.

A process for `bench_memory` and `bench_metrics`.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.cases import Case, make_round
from benchmarks.peers.competitors import scorer
from benchmarks.peers.todays_scores import todays_score


def main() -> None:
    """Measure a round after a tiny one: libraries and compilers have taken their memory then."""
    asked = json.loads(sys.argv[1])
    case = Case(**asked["case"])
    _run(asked, Case(20, 30, case.draws, dtype=case.dtype))()
    round_ = make_round(case)
    run = _run(asked, case)
    before = psutil.Process().memory_info().rss
    _forget_peak()
    run()
    found = {"input_bytes": round_.predictions.nbytes, "beyond_bytes": max(0, _peak() - before)}
    print(json.dumps(found))


def _run(asked: dict[str, Any], case: Case) -> Callable[[], Any]:
    if "score" in asked:
        return todays_score(asked["score"], asked["name"], case)
    return scorer(asked["name"], case)


def _forget_peak() -> None:
    """Make the present memory the peak, if the system can: making the round took more."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Return the largest resident set so far, in bytes."""
    if sys.platform == "linux":  # its ru_maxrss may be the parent's: a child begins as a copy
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
