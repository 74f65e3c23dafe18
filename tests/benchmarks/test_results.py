"""What is made of the times that pytest-benchmark wrote: medians, ratios, exponents, tables."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # benchmarks/ is not installed

from benchmarks.peers.competitors import CLOSED_FORM
from benchmarks.publish import results
from benchmarks.publish.tables import tables


def timed(competitor: str, turn: int, seconds: float, **changes: Any) -> dict[str, Any]:
    """What pytest-benchmark stores of one call."""
    case = {"users": 100, "stocks": 50, "draws": 20, "kind": "uniform", "dtype": "float64"}
    entry = {
        "case": case | changes.pop("case", {}),
        "competitor": competitor,
        "part": "round",
        "against": CLOSED_FORM,
        "turns": 3,
        "users": None,
    }
    bench = changes.pop("bench", "round")
    info = {"bench": bench, "turn": turn, "entry": entry | changes, "facts": {}}
    return {"extra_info": info, "stats": {"median": seconds}}


def condensed(*benchmarks: dict[str, Any]) -> dict[str, Any]:
    raw = {
        "benchmarks": benchmarks,
        "datetime": "2026-01-02T03:04:05.6+00:00",
        "commit_info": {"id": "abc", "dirty": False},
        "machine_info": {"mmc_gpu": {"cpu": "AMD EPYC 9", "cores": 2}},
    }
    return results.condense(raw, {"suite": "full"})


def test_ratios_are_of_medians_and_their_spread_is_of_turns():
    own, theirs = (2.0, 1.0, 4.0), (20.0, 30.0, 10.0)
    found = condensed(
        *(timed("cpu", turn, seconds) for turn, seconds in enumerate(own)),
        *(timed(CLOSED_FORM, turn, seconds) for turn, seconds in enumerate(theirs)),
    )
    row = found["rows"][0]
    assert (row["median"], row["least"], row["greatest"], row["turns"]) == (2, 1, 4, 3)
    assert (row["ratio"], row["ratio_least"], row["ratio_greatest"]) == (10, 2.5, 30)
    assert found["rows"][1]["ratio"] == 1


def test_a_share_of_the_users_is_extrapolated_to_all():
    row = condensed(timed("pandas loop", 0, 3.0, users=5))["rows"][0]
    assert row["median"] == 60.0
    assert row["extrapolated_from"] == 5


def test_exponents_are_fitted():
    squares = [
        timed("cpu", 0, 1e-6 * users**2, bench="growth", part="users", case={"users": users})
        for users in (10, 100, 1000)
    ]
    (fit,) = condensed(*squares)["fits"]
    assert fit["exponent"] == pytest.approx(2.0)
    assert (fit["part"], fit["competitor"], fit["points"]) == ("users", "cpu", 3)


def test_results_are_named_by_date_and_machine():
    assert results.file_name(condensed()) == "2026-01-02-amd-epyc-9-2-cores.json"


def test_results_survive_their_text():
    found = condensed(timed("cpu", 0, 1 / 3))
    read = json.loads(results.as_text(found))
    assert read["rows"][0]["median"] == 0.333333
    assert read | {"rows": []} == found | {"rows": []}


def test_newest_results_are_the_last_full_ones(tmp_path):
    for name, suite, date in (
        ("a", "full", "2026-01-01"),
        ("b", "full", "2026-02-01"),
        ("c", "quick", "2026-03-01"),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps({"suite": suite, "date": date}))
    assert results.newest(tmp_path) == {"suite": "full", "date": "2026-02-01"}
    assert results.newest(tmp_path / "none") is None


def test_tables_leave_out_what_did_not_run():
    found = condensed(timed(CLOSED_FORM, 0, 1.0))
    found["machine"] |= {"memory_bytes": 0, "cpu_model": "", "system": "", "blas": []}
    found["machine"] |= {"engines": [], "unavailable": {}, "versions": {}}
    assert set(tables(found | {"seconds": 1.0, "unset": []})) == {"machine", "round"}
