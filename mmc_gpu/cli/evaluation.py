"""What a person sees of an evaluation."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmc_gpu.cli.listener import print_line
from mmc_gpu.cli.terminal import say, show_table
from mmc_gpu.eras.comparison import Standing
from mmc_gpu.eras.evaluation import EVERY_MODEL, EraScores
from mmc_gpu.inputs.names import escaped
from mmc_gpu.metrics.summary import summaries

_STATISTICS = {
    "eras": ("eras", "{:,}"),
    "mean": ("mean", "{:.4f}"),
    "mean_se": ("± se", "{:.4f}"),
    "sharpe": ("sharpe", "{:.2f}"),
    "smart_sharpe": ("smart", "{:.2f}"),
    "max_drawdown": ("drawdown", "{:.4f}"),
    "positive": ("> 0", "{:.0%}"),
}
"""The columns of a score's table: the heading and the form of each statistic."""


def show_evaluation(evaluation: EraScores, top: int) -> None:
    """Print the best models, one column a score; then each score's statistics; by target."""
    table, size = evaluation.columns("table"), len(evaluation.scores)
    for number, target in enumerate(evaluation.targets):
        own = [row for row, name in enumerate(table["target"]) if name == target]
        heading = f"model, {escaped(target)}" if len(evaluation.targets) > 1 else "model"
        first = {
            "rank": [str(table["rank"][row] or "-") for row in own[:top]],
            heading: [
                _marked(*(table[name][row] for name in ("model", "kind", "note")))
                for row in own[:top]
            ],
            "eras": [f"{table['eras'][row]:,}" for row in own[:top]],
        }
        for scores in _side_by_side(list(evaluation.scores)):
            numbers = {n: [_number(table[n][row], "{:.4f}") for row in own[:top]] for n in scores}
            show_table(first | numbers, heading, len(own[top:]))
        for sentence in evaluation.sentences(number):
            print_line(sentence)
        for one in evaluation.standings[number * size : (number + 1) * size]:
            _show_standing(one, top, f"{one.score}{heading.removeprefix('model')}")


def _show_standing(one: Standing, top: int, heading: str) -> None:
    best = one.order[:top]
    rows = [found._asdict() for found in summaries(one.used[:, best], one.return_like)]
    columns = {heading: [escaped(one.models[place]) for place in best]}
    for name, (title, form) in _STATISTICS.items():
        values = [
            row.get(name, one.own.mean_se[place]) for row, place in zip(rows, best, strict=True)
        ]
        if one.return_like or not np.isnan(values).all():
            columns[title] = [_number(value, form) for value in values]
    show_table(columns, heading, len(one.order) - len(best))


def _marked(name: str, kind: str, note: str) -> str:
    """Return a model's name, and behind it what sets it apart from those that are ranked."""
    apart = note if note.startswith("too few") else "benchmark" if kind == "benchmark" else ""
    return f"{escaped(name)} ({apart})" if apart else escaped(name)


def _side_by_side(scores: list[str]) -> Iterator[list[str]]:
    """Yield as many scores at a time as a terminal has room for beside a name; in a pipe all."""
    room = shutil.get_terminal_size().columns - 36 if sys.stdout.isatty() else sys.maxsize
    while scores:
        widths = np.cumsum([max(len(score), 7) + 2 for score in scores])
        size = max(1, int(np.sum(widths <= room)))
        yield scores[:size]
        scores = scores[size:]


def show_faults(evaluation: EraScores, folder: Path | None) -> None:
    """Say on standard error which models have no score, and why; a folder holds the whole list."""
    most = 10
    for fault, scores in list(evaluation.faulted.items())[:most]:
        who = "every model" if fault.model == EVERY_MODEL else ascii(fault.model)
        say(f"no {', '.join(scores)} for {who}: {fault.detail} [{fault.code}]", "yellow")
    if len(evaluation.faulted) > most:
        where = f", all in {folder}/faults.csv" if folder else "; -o FOLDER keeps them"
        say(f"... and {len(evaluation.faulted) - most:,} more{where}", "yellow")


def _number(value: float, form: str) -> str:
    """Return a statistic as text, NaN as "-"; large values take no more room than the others."""
    if value != value:
        return "-"
    return form.format(value) if abs(value) < 1e3 or form == "{:,}" else f"{value:.0e}"
