"""Rounds and results on disk: check, pack, verify."""

from pathlib import Path
from typing import Annotated

import typer

from mmc_gpu.cli import options
from mmc_gpu.cli.listener import print_line, tell_result
from mmc_gpu.errors import counted


def check(
    round_: options.Round,
    missing: options.Missing = "error",
    on_error: options.OnError = "quarantine",
    blend: options.Blend = "raw",
    tournament: options.Tournament = None,
) -> None:
    """Check a round without scoring it: what is wrong, for whom, and how to mend it."""
    from mmc_gpu.cli.terminal import progress_bars, show_check
    from mmc_gpu.files.rounds.read import read_round

    with options.waiting_is_no_failure(), progress_bars() as progress:
        found = read_round(
            round_,
            missing=missing,
            on_error=on_error,
            blend=blend,
            progress=progress,
            tournament=tournament,
        ).round
    show_check(found)
    if found.quarantined:
        raise typer.Exit(options.QUARANTINED)


def pack(
    round_: options.Round,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the packed round; may hold one.")
    ],
    missing: options.Missing = "error",
    on_error: options.OnError = "quarantine",
    blend: options.Blend = "raw",
    prune: Annotated[
        bool, typer.Option("--prune", help="Withdraw users without a submission in ROUND.")
    ] = False,
    tournament: options.Tournament = None,
) -> None:
    """Check every submission once and pack the round, so that it is scored block by block.

    Run it again to add what is new: submissions, stakes, targets. Nothing is written twice.
    """
    from time import perf_counter

    from mmc_gpu.cli.terminal import progress_bars, show_notes, show_quarantine
    from mmc_gpu.files.rounds.packing import pack_round

    start = perf_counter()
    with progress_bars() as progress:
        packing = pack_round(
            round_,
            output,
            missing=missing,
            on_error=on_error,
            blend=blend,
            prune=prune,
            progress=progress,
            tournament=tournament,
        )
    show_notes(packing.notes)
    show_quarantine(packing.quarantined)
    seconds = perf_counter() - start
    counts = {"added": packing.added, "unchanged": packing.unchanged}
    counts |= {"quarantined": len(packing.quarantined)}
    tell_result(**counts, packed=str(output))
    done = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    speed = f"{sum(counts.values()) / seconds:,.0f} submissions a second"
    print_line(f"packed: {done}; {seconds:.1f} s, {speed}")
    if packing.quarantined:
        raise typer.Exit(options.QUARANTINED)


def verify(
    result: Annotated[Path, typer.Argument(help="Folder of a result, or a published one.")],
    round_: Annotated[Path | None, typer.Argument(metavar="[ROUND]", parser=options.place)] = None,
    user: Annotated[str | None, typer.Option(help="Check this user's score alone.")] = None,
    submission: Annotated[Path | None, typer.Option(help="What this user submitted.")] = None,
    proof: Annotated[list[Path] | None, typer.Option(help="What the user got of them.")] = None,
    commit: Annotated[Path | None, typer.Option(help="Folder of a commitment.")] = None,
    engine: options.Engine = "auto",
) -> None:
    """Score a round again, as its receipt says, on any engine, and compare every bit.

    What cannot be computed again is named: "not checked". If the round only has another form now,
    packed or as CSV, and the scores have the same bits, they are verified, with a note.

    A user needs no ROUND: verify PUBLIC --user NAME --submission FILE.
    """
    from mmc_gpu.cli.terminal import progress_bars, say, show_notes
    from mmc_gpu.files.results.own_score import verify as own
    from mmc_gpu.files.results.own_score import verify_in_result
    from mmc_gpu.files.results.verify import verify_result

    with progress_bars() as progress:
        if round_ is not None and user is None:
            verdict = verify_result(result, round_, engine, progress=progress)
        elif round_ is not None and user is not None:
            verdict = verify_in_result(result, round_, user, submission, engine)
        elif user is not None and submission is not None:
            verdict = own(result, user, submission, proof=proof or (), commit=commit, engine=engine)
        else:
            raise typer.BadParameter("name a ROUND, or a --user and a --submission")
    tell_result(verified=not verdict.differences, **vars(verdict))
    show_notes(verdict.notes)
    for difference in verdict.differences:
        say(difference, "red")
    if verdict.differences:
        say(f"not verified: {result}", "bold red")
        raise typer.Exit(options.MISMATCH)
    print_line(
        f"verified: {counted(verdict.users, 'user')}, digest {verdict.digest[:16]},"
        f" engine {verdict.engine}"
    )
