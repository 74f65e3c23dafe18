"""What a person sees: results on standard output, progress and notes on standard error."""

import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.cells import cell_len, set_cell_size

from mmc_gpu.cli.listener import LISTENER, event, harmless, print_line, tell_result
from mmc_gpu.errors import CODES, counted
from mmc_gpu.files.results.outline import quarantine_columns
from mmc_gpu.files.writing.tables import table_rows
from mmc_gpu.inputs import options
from mmc_gpu.rounds.round import Quarantined, Round
from mmc_gpu.rounds.scores import Scores

_STAGES = {
    "read": ("reading", "users"),
    "pack": ("packing", "users"),
    "blend": ("blending", "users"),
    "score": ("scoring", "users"),
    "evaluate": ("evaluating", "eras"),
    "history": ("gathering", "results"),
}
"""Each stage of a progress: what is being done, and what is counted."""

_NARROWEST_NAME = 8  # cells that a name keeps on the narrowest terminal

_KINDS = {"red": "error", "bold red": "error", "yellow": "warning"}
"""What a script is told that a line is, by the line's style; others are notes."""


def say(text: str, style: str = "") -> None:
    """Print a line on standard error, or tell it to a script; no text in it is markup."""
    text, kind = harmless(text), _KINDS.get(style, "note")
    event(kind, text=text)
    if not LISTENER.script and (kind == "error" or not LISTENER.quiet):
        typer.echo(_styled(text, style), err=True)


def _styled(text: str, style: str) -> str:
    """Return text in a style; plain where that is asked for. Pipes get no style anyhow."""
    if not style or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    bold = style.startswith("bold")
    return typer.style(text, fg=style.removeprefix("bold").strip() or None, bold=bold or None)


def show_table(columns: Mapping[str, Sequence[str]], names: str, more: int) -> None:
    """Print a table on standard output; digits are never cut.

    On a terminal, names lose their middle where the line has no room for it; in a pipe never.

    Args:
        columns: the text of every cell, by heading; nothing in it is markup.
        names: heading of the column of names; the other columns are numbers, to the right.
        more: rows that are left out below.
    """
    if LISTENER.script or LISTENER.quiet:
        return
    sizes = {heading: max(map(len, (heading, *cells))) for heading, cells in columns.items()}
    width = max(map(cell_len, (names, *columns[names])))
    if sys.stdout.isatty():
        # two spaces between columns
        numbers = sum(size + 2 for heading, size in sizes.items() if heading != names)
        room = shutil.get_terminal_size().columns - numbers
        width = min(width, max(room, _NARROWEST_NAME))  # below it, lines wrap
    texts = []
    for heading, cells in columns.items():
        column = [heading, *cells]
        if heading == names:
            texts.append([set_cell_size(_shortened(name, width), width) for name in column])
        else:
            texts.append([cell.rjust(sizes[heading]) for cell in column])
    first, *rows = map("  ".join, zip(*texts, strict=True))
    typer.echo(_styled(first, "bold"))
    for row in rows:
        print_line(row)
    if more:
        print_line(f"... and {more:,} more")


def _shortened(name: str, cells: int) -> str:
    """Return a name without its middle, as wide as so many cells; some letters take two."""
    if cell_len(name) > cells:
        name = name.removesuffix(" (benchmark)")  # it has no rank, and its own end tells more
    if cell_len(name) <= cells:
        return name
    right = (cells - 1) // 2
    return f"{set_cell_size(name, cells - 1 - right)}…{set_cell_size(name[::-1], right)[::-1]}"


def show_leaderboard(scores: Scores, top: int, number: int = 0) -> None:
    """Print the best users on the target of that number, and how the meta model did."""
    best = scores.order(number)[:top]
    columns = {
        "rank": [f"{rank:,}" for rank in range(1, len(best) + 1)],
        "user": [scores.users[user] for user in best],
        "stake": [_stake(stake) for stake in scores.stakes[best]],
        "mmc": [f"{mmc:+.5f}" for mmc in scores.mmc[number, best]],
        "± se": [f"{error:.5f}" for error in scores.mmc_se[number, best]],
        "corr": [f"{corr:+.4f}" for corr in scores.corr[number, best]],
        "with mm": [f"{corr:+.3f}" for corr in scores.corr_with_meta_model[best]],
    }
    show_table(columns, "user", len(scores.users) - len(best))
    draws = scores.meta_model_corr[number]
    print_line(
        f"corr of the meta model: {scores.full_meta_model_corr[number]:+.4f}, of the draws"
        f" {np.nanmin(draws):+.4f} to {np.nanmax(draws):+.4f}"
    )
    ranked = scores.targets[number]
    if others := [name for name in scores.targets if name != ranked]:
        print_line(f"ranked by {ranked}; also scored (--target): {', '.join(others)}")


def show_check(round_: Round) -> None:
    """Say what a round holds on standard output, and who is left out on standard error."""
    print_line(
        f"{counted(len(round_.users), 'user')} can be scored ({round_.stakers:,} staked,"
        f" {round_.stakes.sum():,.2f} NMR) on {counted(len(round_.ids), 'stock')};"
        f" targets: {', '.join(round_.targets)}"
    )
    filled = int((round_.filled > 0).sum())
    notes = (f"{counted(filled, 'user')} had missing predictions filled",) if filled else ()
    tell_result(
        users=len(round_.users),
        stakers=round_.stakers,
        stocks=len(round_.ids),
        targets=list(round_.targets),
        quarantined=len(round_.quarantined),
    )
    show_notes((*round_.notes, *notes))
    show_quarantine(round_.quarantined, most=len(round_.quarantined))


def show_notes(notes: Sequence[str]) -> None:
    """Say on standard error what was noted."""
    for note in notes:
        say(f"note: {note}")


def show_quarantine(
    quarantined: Sequence[Quarantined], folder: Path | None = None, most: int = 10
) -> None:
    """Say on standard error who was left out, and why; a folder holds the whole list."""
    for row in table_rows(quarantine_columns(quarantined)):
        event("quarantined", **row)
    if LISTENER.script:
        return
    for fault in quarantined[:most]:
        say(f"quarantined: {fault.detail}; {CODES[fault.code].remedy} [{fault.code}]", "yellow")
    if len(quarantined) > most:
        where = f", all in {folder}/quarantine.csv" if folder else ": mmc-gpu check lists all"
        say(f"... and {len(quarantined) - most:,} more{where}", "yellow")


class _Saying(logging.Handler):
    """Says what is logged."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        say(record.getMessage())


_SAYING = _Saying()


@contextmanager
def progress_bars() -> Iterator[options.Progress]:
    """Yield a progress that draws bars on standard error, if that is a terminal."""
    logger = logging.getLogger("mmc_gpu")  # which tells that kernels are compiled
    logger.addHandler(_SAYING)  # once, however often it is added
    logger.setLevel(logging.INFO)
    if LISTENER.script or LISTENER.quiet or not sys.stderr.isatty():
        yield options.silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    count = TextColumn("{task.fields[count]}")
    columns = TextColumn("{task.description}"), BarColumn(), count, TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            doing, what = _STAGES[stage]
            if stage not in tasks:
                tasks[stage] = bars.add_task(doing, total=total, count="")
            counted = f"{done:,} of {total:,} {what}"
            bars.update(tasks[stage], completed=done, total=total, count=counted)

        yield progress


def _stake(stake: float) -> str:
    if stake == 0.0:
        return "-"
    if stake < 0.005:
        return "< 0.01"
    return f"{stake:,.2f}" if stake < 1e7 else f"{stake:.2e}"
