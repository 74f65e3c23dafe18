"""Rounds on disk: check, pack."""

from pathlib import Path
from typing import Annotated

import typer

from mmc_gpu.cli import options
from mmc_gpu.cli.listener import print_line, tell_result


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
