"""The history of all results: history."""

from pathlib import Path
from typing import Annotated

import typer

from mmc_gpu.cli import options
from mmc_gpu.cli.listener import print_line, tell_result
from mmc_gpu.errors import counted


def history(
    results: Annotated[Path, typer.Argument(help="Folder of results.", metavar="RESULTS")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the history.")],
    rule: Annotated[list[str] | None, typer.Option(help="A payout rule: see pay; or more.")] = None,
    factor: options.Factor = None,
    target: options.Target = None,
    score: Annotated[str, typer.Option(help="Reputation and season score are of this.")] = "mmc",
    window: Annotated[int, typer.Option(help="Last rounds that make a reputation.", min=1)] = 260,
    least_rounds: Annotated[int, typer.Option(help="Rounds a season score needs.", min=1)] = 20,
    least_stake: Annotated[float, typer.Option(help="NMR at stake in each.", min=0)] = 1.0,
    owners: Annotated[Path | None, typer.Option(help="CSV of models: user, owner.")] = None,
) -> None:
    """Gather all results: rows, leaderboard, page; the same command again adds what is new."""
    from mmc_gpu.cli.terminal import progress_bars, say
    from mmc_gpu.errors import RoundError, shown
    from mmc_gpu.files.formats.source import read_source
    from mmc_gpu.files.formats.table import read_table
    from mmc_gpu.files.results.history import history as update
    from mmc_gpu.rounds.standings import Definitions

    owned = None
    if owners is not None:
        table = read_table(read_source(owners), text=("user", "owner"))
        if missing := {"user", "owner"} - {*table.column_names}:
            raise RoundError("column-missing", f"{owners}: no column {shown(missing)}")
        pairs = {*zip(*(table.column(n).to_pylist() for n in ("user", "owner")), strict=True)}
        if len(owned := dict(pairs)) < len(pairs):
            raise RoundError("user-duplicate", f"{owners}: a user with two owners")
    limits = Definitions(score, window, least_rounds, least_stake, owned)
    with progress_bars() as progress:
        season = update(results, output, rules=rule or (), factor=factor, target=target,
                        definitions=limits, progress=progress)  # fmt: skip
    for folder, error in season.failed.items():
        say(f"failed: {folder}: {error}", "red")
    if season.older:
        say(f"note: {shown(season.older)}: an earlier day's result; a later one counts", "yellow")
    if season.gone:
        say(f"note: {shown(season.gone)}: the result is gone; what was taken in counts", "yellow")
    if rule and (unruled := sum(not one["rule"] for one in season.rounds)):
        say(f"note: no rule holds for {counted(unruled, 'round')}, which pay nothing", "yellow")
    if unpaid := sum(one["unpaid"] for one in season.rounds):
        say(f"note: {counted(unpaid, 'stake')} not paid, for want of a score", "yellow")
    rounds, users = len(season.rounds), len(season.columns["user"])
    found = {"added": season.added, "unchanged": season.unchanged, "failed": list(season.failed)}
    found |= {"older": season.older, "gone": season.gone}
    tell_result(history=str(output), rounds=rounds, users=users, **found)
    print_line(
        f"{counted(rounds, 'round')} and {counted(users, 'user')} in {output}:"
        f" {counted(season.added, 'result')} added, {season.unchanged:,} unchanged"
    )
    say(f"open {output / 'index.html'} in a browser")
    if season.failed:
        raise typer.Exit(options.FAILED)
