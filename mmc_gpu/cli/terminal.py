"""What a person sees: results on standard output, progress and notes on standard error."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mmc_gpu.eras.board import EVERY_MODEL
from mmc_gpu.eras.evaluation import EraScores
from mmc_gpu.errors import CODES
from mmc_gpu.inputs.options import Progress as Report
from mmc_gpu.rounds.round import Quarantined, Round
from mmc_gpu.rounds.scores import Scores

_STAGES = {
    "read": ("reading", "users"),
    "pack": ("packing", "users"),
    "blend": ("blending", "users"),
    "score": ("scoring", "users"),
    "evaluate": ("evaluating", "eras"),
}
"""What is being done, and what is counted."""

_NUMBERS_WIDTH = 58
"""Of the leaderboard's columns but the names, with the space between them."""

_STATISTICS = {
    "eras": ("eras", "{:,}"),
    "mean": ("mean", "{:.4f}"),
    "std": ("std", "{:.4f}"),
    "sharpe": ("sharpe", "{:.2f}"),
    "smart_sharpe": ("smart", "{:.2f}"),
    "max_drawdown": ("drawdown", "{:.4f}"),
    "positive": ("> 0", "{:.0%}"),
}
"""Of a summary: heading and form."""

_STATISTICS_WIDTH = 56
"""Of their columns, with the space between them."""


def say(text: str, style: str = "") -> None:
    """Print a line on standard error; no text in it is markup."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(text, style=style))


def show_leaderboard(scores: Scores, top: int, number: int = 0) -> None:
    """Print the best users on the target of that number on standard output."""
    order = scores.order(number)
    console = Console(highlight=False)
    # names give way, digits never: on a narrower terminal the lines wrap
    console.width = max(console.width, _NUMBERS_WIDTH + 8)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rank", justify="right")
    table.add_column(
        "user", overflow="ellipsis", no_wrap=True, max_width=min(26, console.width - _NUMBERS_WIDTH)
    )
    for heading in ("stake", "mmc", "± se", "corr", "with mm"):
        table.add_column(heading, justify="right", no_wrap=True)
    for rank, user in enumerate(order[:top], 1):
        table.add_row(
            f"{rank:,}",
            Text(scores.users[user]),
            _stake(scores.stakes[user]),
            f"{scores.mmc[number, user]:+.5f}",
            f"{scores.mmc_se[number, user]:.5f}",
            f"{scores.corr[number, user]:+.4f}",
            f"{scores.corr_with_meta_model[user]:+.3f}",
        )
    console.print(table)
    if len(order) > top:
        console.print(Text(f"... and {len(order) - top:,} more"))
    console.print(Text(_meta_model(scores, number)))
    if len(scores.targets) > 1:
        others = ", ".join(name for name in scores.targets if name != scores.targets[number])
        console.print(Text(f"ranked by {scores.targets[number]}; also scored (--target): {others}"))


def show_evaluation(evaluation: EraScores, top: int) -> None:
    """Print the best models by each score's mean on standard output, and what is missing."""
    console = Console(highlight=False)
    # names give way, digits never, as on the leaderboard
    console.width = max(console.width, _STATISTICS_WIDTH + 8)
    columns = evaluation.columns("summary")
    own = [row for row, against in enumerate(columns["against"]) if not against]
    for score in evaluation.scores:
        rows = [row for row in own if columns["score"][row] == score]
        means = np.array([columns["mean"][row] for row in rows])
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(
            Text(score),
            overflow="ellipsis",
            no_wrap=True,
            max_width=min(40, console.width - _STATISTICS_WIDTH),
        )
        for heading, _ in _STATISTICS.values():
            table.add_column(heading, justify="right", no_wrap=True)
        for place in np.argsort(-means, kind="stable")[:top]:
            found = [(columns[name][rows[place]], form) for name, (_, form) in _STATISTICS.items()]
            cells = [_number(value, form) for value, form in found]
            table.add_row(Text(columns["model"][rows[place]]), *cells)
        console.print(table)
        if len(rows) > top:
            console.print(Text(f"... and {len(rows) - top:,} more"))


def show_faults(evaluation: EraScores, folder: Path | None = None, most: int = 10) -> None:
    """Say on standard error who has no score where and why; a folder holds the whole list."""
    for fault, scores in list(evaluation.faulted.items())[:most]:
        who = "every model" if fault.model == EVERY_MODEL else ascii(fault.model)
        say(f"no {', '.join(scores)} for {who}: {fault.detail} [{fault.code}]", "yellow")
    if len(evaluation.faulted) > most:
        where = f", all in {folder}/faults.csv" if folder else "; -o FOLDER keeps them"
        say(f"... and {len(evaluation.faulted) - most:,} more{where}", "yellow")


def show_check(round_: Round) -> None:
    """Say what a round holds on standard output, and who is out of it on standard error."""
    stakers = round_.stakers
    Console(highlight=False).print(
        f"{len(round_.users):,} users can be scored ({stakers:,} staked,"
        f" {round_.stakes.sum():,.2f} NMR) on {len(round_.ids):,} stocks;"
        f" targets: {', '.join(round_.targets)}",
        markup=False,
        soft_wrap=True,
    )
    if round_.filled.any():
        say(f"note: {int((round_.filled > 0).sum()):,} users had missing predictions filled")
    show_quarantine(round_.quarantined, most=len(round_.quarantined))


def show_quarantine(
    quarantined: tuple[Quarantined, ...], folder: Path | None = None, most: int = 10
) -> None:
    """Say who was left out and why, on standard error; a folder holds the whole list."""
    for fault in quarantined[:most]:
        say(f"quarantined: {fault.detail}; {CODES[fault.code].remedy} [{fault.code}]", "yellow")
    if len(quarantined) > most:
        where = f", all in {folder}/quarantine.csv" if folder else ": mmc-gpu check lists all"
        say(f"... and {len(quarantined) - most:,} more{where}", "yellow")


@contextmanager
def progress() -> Iterator[Report]:
    """Yield a report that draws a bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    columns: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
    ]
    with Progress(
        *columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            doing, what = _STAGES[stage]
            if stage not in tasks:
                tasks[stage] = bar.add_task(doing, total=total, count="")
            bar.update(
                tasks[stage], completed=done, total=total, count=f"{done:,} of {total:,} {what}"
            )

        yield report


def _meta_model(scores: Scores, number: int) -> str:
    draws = scores.meta_model_corr[number]
    spread = f", of the draws {np.nanmin(draws):+.4f} to {np.nanmax(draws):+.4f}"
    return f"corr of the meta model: {scores.full_meta_model_corr[number]:+.4f}{spread}"


def _number(value: float, form: str) -> str:
    """Return a statistic; the unusually large, of unusual data, in as little room."""
    return form.format(value) if abs(value) < 1e3 or form == "{:,}" else f"{value:.0e}"


def _stake(stake: float) -> str:
    if stake == 0.0:
        return "-"
    if stake < 0.005:
        return "< 0.01"
    return f"{stake:,.2f}" if stake < 1e7 else f"{stake:.2e}"
