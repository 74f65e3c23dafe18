"""`python -m benchmarks.publish.headlines`: the few figures of the project's README, from results.

From the newest full run, and the largest runs of `benchmarks.large.eras` and
`benchmarks.large.packed`, which write them anew as well.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.competitors import CLOSED_FORM, ORTHOGONALIZE, PANDAS
from benchmarks.publish.results import FOLDER, Row, newest
from benchmarks.publish.tables import Table, duration, ratio, rows_of

README = Path(__file__).parents[2] / "README.md"
_SCORES = ("numerai_corr", "correlation_contribution", "feature_neutral_corr", "alpha")


def table(full: dict[str, Any], eras: dict[str, Any], packed: dict[str, Any]) -> Table:
    """Return what takes how long, and how long it takes others."""
    machine = full["machine"]
    lines = [*_rounds(full), *_scores(full), *_evaluations(full, eras)]
    size = f"{packed['made']['users']:,} users x {packed['stocks']:,} stocks x 20 draws"
    lines.append([f"MMC of {size}, from disk", duration(packed["scored"]["total_s"]), ""])
    note = (
        f"{machine['cores']} cores of an {machine['cpu']}, engine `cpu`, medians; those who are"
        f" compared were timed in one run ({full['date'][:10]}). ≈: a part was run, and"
        " extrapolated."
    )
    return Table("", ["what", "mmc_gpu", "others"], lines, (note,))


def _rounds(full: dict[str, Any]) -> Iterator[list[str]]:
    peers = rows_of(full, "peers")
    users = max(row["case"]["users"] for row in peers)
    rows = {row["competitor"]: row for row in peers if row["case"]["users"] == users}
    others = "; ".join(
        f"{name} {_compared(rows['cpu'], rows[of])}"
        for name, of in (
            ("NumPy's closed form", CLOSED_FORM),
            ("numerai-tools' functions", ORTHOGONALIZE),
            ("the method as a pandas loop", PANDAS),
        )
        if of in rows
    )
    case = rows["cpu"]["case"]
    size = f"{case['users']:,} users x {case['stocks']:,} stocks x {case['draws']:,} draws"
    yield [f"MMC of {size}, from arrays", duration(rows["cpu"]["median"]), others]
    for row in rows_of(full, "start"):
        if row["part"] == "mmc-gpu score" and row["competitor"] == "cpu":
            name = "the same from Parquet to files, with the start of the process"
            yield [name, duration(row["median"]), ""]


def _scores(full: dict[str, Any]) -> Iterator[list[str]]:
    rows = {(row["part"], row["competitor"]): row for row in rows_of(full, "metrics")}
    for score in _SCORES:
        if (score, "numerai-tools") in rows:
            own, theirs = rows[score, "cpu"], rows[score, "numerai-tools"]
            case = own["case"]
            what = f"`{score}` of {case['users']:,} users x {case['stocks']:,} stocks"
            yield [what, duration(own["median"]), f"numerai-tools {_compared(own, theirs)}"]


def _evaluations(full: dict[str, Any], eras: dict[str, Any]) -> Iterator[list[str]]:
    rows = {row["competitor"]: row for row in rows_of(full, "evaluate") if row["part"] == "core"}
    if "numerblox" in rows:
        case, theirs = rows["cpu"]["case"], _compared(rows["cpu"], rows["numerblox"])
        what = f"core metrics that both have, {case['users']:,} models x {case['draws']:,} eras"
        yield [what, duration(rows["cpu"]["median"]), f"numerblox {theirs}"]
    alone = eras["peer"]["seconds_an_era"] * eras["eras"]
    what = f"CORR, MMC and CORR20 of {eras['models']:,} models x {eras['eras']:,} eras"
    theirs = f"numerai-tools ≈ {duration(alone)} ({ratio(alone / eras['seconds'])})"
    memory = eras["peak_bytes"] / 1e9
    file = f", a file of {eras['file_bytes'] / 1e9:.3g} GB in {memory:.2g} GB of memory"
    yield [what + file, duration(eras["seconds"]), theirs]


def _compared(own: Row, other: Row) -> str:
    sign = "≈ " if other["extrapolated_from"] else ""
    return f"{sign}{duration(other['median'])} ({ratio(other['median'] / own['median'])})"


def filled(text: str) -> str:
    """Return README's text with the figures of the newest results."""
    from benchmarks.publish.markdown import markdown, replaced

    full = newest()
    eras = _largest("eras", lambda run: run["eras"] * run["models"])
    packed = _largest("packed", lambda run: run["made"]["users"] * run["stocks"])
    if full is None or eras is None or packed is None:
        raise SystemExit(
            "no results: run python -m benchmarks, benchmarks.large.eras, benchmarks.large.packed"
        )
    return replaced(text, "headlines", markdown(table(full, eras, packed)))


def _largest(name: str, size: Callable[[Any], int]) -> Any:
    """Return the largest run of a benchmark, the newest of these; None where there is none."""
    files = sorted(FOLDER.glob(f"{name}-*.json"), reverse=True)  # by date
    return max((json.loads(path.read_text("utf-8")) for path in files), key=size, default=None)


def write() -> None:
    """Write README's figures anew."""
    README.write_text(filled(README.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    write()
