"""One small JSON from what pytest-benchmark wrote: medians, spreads, ratios and exponents."""

import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[1] / "results"

Row = dict[str, Any]
"""One competitor on one case: bench, part, case, competitor, against, turns, median, least and
greatest in seconds; and if it is compared with another, ratio and the least and greatest ratio of
any turn. `extrapolated_from` is the number of users that were measured, or None."""


def condense(raw: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """Return the results of a run.

    Args:
        raw: pytest-benchmark's JSON.
        run: what is known about the run itself; its `seconds`, `suite` and more.
    """
    timed = defaultdict(list)
    for benchmark in raw["benchmarks"]:
        info = benchmark["extra_info"]
        key = json.dumps([info["bench"], info["entry"]])
        timed[key].append((info["turn"], benchmark["stats"]["median"], info["facts"]))
    rows, seconds = [], []
    for key, turns in timed.items():
        bench, entry = json.loads(key)
        row, times = _row(bench, entry, sorted(turns, key=lambda turn: turn[0]))
        rows.append(row)
        seconds.append(times)
    _compare(rows, seconds)
    commit = raw["commit_info"]
    return {
        "date": raw["datetime"][:19],
        "commit": {"id": commit.get("id"), "dirty": commit.get("dirty")},
        **run,
        "machine": raw["machine_info"]["mmc_gpu"],
        "rows": rows,
        "fits": _fits(rows),
    }


def _row(
    bench: str, entry: dict[str, Any], turns: list[tuple[int, float, dict[str, float]]]
) -> tuple[Row, list[float]]:
    """Return one competitor's row and its seconds, one a turn, extrapolated to all users."""
    users = entry["users"]
    scale = entry["case"]["users"] / users if users else 1.0
    seconds = [scale * time for _, time, _ in turns]
    facts = {name: max(facts[name] for _, _, facts in turns) for name in turns[0][2]}
    return {
        "bench": bench,
        "part": entry["part"],
        "case": entry["case"],
        "competitor": entry["competitor"],
        "against": entry["against"],
        "turns": len(turns),
        "extrapolated_from": users,
        "median": median(seconds),
        "least": min(seconds),
        "greatest": max(seconds),
        **facts,
    }, seconds


def _compare(rows: list[Row], seconds: list[list[float]]) -> None:
    """Add how many times faster each row is than the one it is compared with."""
    of = {
        _place(row, row["competitor"], row["part"]): times
        for row, times in zip(rows, seconds, strict=True)
    }
    for row, times in zip(rows, seconds, strict=True):
        for part in (row["part"], "yardstick"):
            theirs = of.get(_place(row, row["against"], part))
            if theirs is not None:
                # turns were taken together; somebody slow takes fewer
                ratios = [their / own for their, own in zip(theirs, times, strict=False)]
                row["ratio"] = median(theirs) / row["median"]
                row["ratio_least"], row["ratio_greatest"] = min(ratios), max(ratios)
                break


def _place(row: Row, competitor: str, part: str) -> str:
    return json.dumps([row["bench"], row["case"], competitor, part])


def _fits(rows: list[Row]) -> list[dict[str, Any]]:
    """Return the exponents of growth: least squares of log(seconds) over log(what grows)."""
    points = defaultdict(list)
    for row in rows:
        if row["bench"] == "growth":
            size = row["case"][row["part"]]
            points[row["part"], row["competitor"]].append((size, row["median"]))
    return [
        {"part": part, "competitor": name, "points": len(found), "exponent": _slope(found)}
        for (part, name), found in points.items()
        if len(found) > 1
    ]


def _slope(points: list[tuple[float, float]]) -> float:
    sizes, seconds = np.log(points).T
    return float(np.polyfit(sizes, seconds, 1)[0])


def file_name(results: dict[str, Any]) -> str:
    """Return a file name from the date, the kind of machine, and how much was run."""
    kind = f"{results['machine']['cpu']} {results['machine']['cores']} cores"
    slug = re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")
    suite = "" if results["suite"] == "full" else f"-{results['suite']}"
    return f"{results['date'][:10]}-{slug}{suite}.json"


def newest(folder: Path = FOLDER) -> dict[str, Any] | None:
    """Return the newest results of a full run; None where there are none."""
    found = [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")]
    full = [results for results in found if results.get("suite") == "full"]
    return max(full, key=lambda results: results["date"], default=None)


def as_text(results: dict[str, Any]) -> str:
    """Return results as JSON, one row a line, numbers to six digits."""
    rows = ",\n".join(f"  {json.dumps(_rounded(row))}" for row in results["rows"])
    rest = json.dumps(_rounded(results | {"rows": []}), indent=1)
    return rest.replace('"rows": []', f'"rows": [\n{rows}\n ]') + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
