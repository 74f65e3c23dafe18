"""The plots of a run, as small SVG files."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.ticker import NullFormatter

from benchmarks.peers.competitors import CLOSED_FORM
from benchmarks.publish.tables import duration, name_of, rows_of

FOLDER = Path(__file__).parents[1] / "plots"

_STYLE: Any = {
    "svg.hashsalt": "mmc_gpu",  # else ids are random
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def plot(results: dict[str, Any], folder: Path = FOLDER) -> None:
    """Write the plots: the same bytes for the same results."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        for name, draw in PLOTS.items():
            figure = draw(results)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
            plt.close(figure)


def _growth(results: dict[str, Any]) -> Any:
    points = defaultdict(list)
    for row in rows_of(results, "growth"):
        points[row["part"], name_of(row)].append((row["case"][row["part"]], row["median"]))
    parts = list(dict.fromkeys(part for part, _ in points))
    figure, panels = plt.subplots(1, len(parts), figsize=(10, 3), squeeze=False, sharey=True)
    for panel, part in zip(panels[0], parts, strict=True):
        for (of, name), found in points.items():
            if of == part:
                panel.loglog(*zip(*found, strict=True), marker="o", markersize=3, label=name)
        panel.set_xlabel(part)
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(alpha=0.3)
    panels[0, 0].set_ylabel("seconds a round")
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=4, frameon=False)
    figure.subplots_adjust(bottom=0.28)
    return figure


def _peers(results: dict[str, Any]) -> Any:
    rows = rows_of(results, "peers")
    largest = max(row["case"]["users"] for row in rows)
    rows = sorted(
        (row for row in rows if row["case"]["users"] == largest), key=lambda row: -row["median"]
    )
    names = [name_of(row) + (" (extrapolated)" if row["extrapolated_from"] else "") for row in rows]
    seconds = [row["median"] for row in rows]
    figure, panel = plt.subplots(figsize=(8, 0.4 * len(rows) + 0.6))
    panel.barh(names, seconds, color=["C0" if "mmc_gpu" in name else "0.7" for name in names])
    for place, value in enumerate(seconds):
        panel.text(value, place, f" {duration(value)}", va="center")
    panel.set_xscale("log")
    panel.set_xlabel(f"seconds for {largest:,} users")
    return figure


def _round(results: dict[str, Any]) -> Any:
    rows = rows_of(results, "round")
    kinds = list(dict.fromkeys(row["case"]["kind"] for row in rows))
    series: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["competitor"] != CLOSED_FORM:
            series[f"{name_of(row)}, {row['case']['dtype']}"][row["case"]["kind"]] = row["ratio"]
    figure, panel = plt.subplots(figsize=(10, 3))
    width = 0.8 / max(1, len(series))
    for number, (name, ratios) in enumerate(series.items()):
        places = [place + number * width for place in range(len(kinds))]
        panel.bar(places, [ratios[kind] for kind in kinds], width, label=name)
    panel.axhline(1, color="0.3", linewidth=0.8)
    panel.set_xticks([place + 0.4 - width / 2 for place in range(len(kinds))], kinds, rotation=20)
    panel.set_ylabel("times faster than the closed form")
    panel.legend(frameon=False)
    return figure


PLOTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "growth": _growth,
    "peers": _peers,
    "round": _round,
}
