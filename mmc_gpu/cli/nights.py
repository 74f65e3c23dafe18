"""Several rounds in one call, as every night: what became of each, in words and as JSON."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import typer

from mmc_gpu.cli import options
from mmc_gpu.cli.listener import LISTENER, error_of, event, print_line, tell_result
from mmc_gpu.cli.runs import Run
from mmc_gpu.cli.terminal import say, show_notes, show_quarantine
from mmc_gpu.engines.ahead import behind
from mmc_gpu.errors import WAITING, RoundError, counted
from mmc_gpu.files.formats.places import Place, exists
from mmc_gpu.files.results.outline import Outline, quarantine_columns
from mmc_gpu.files.results.receipt import NIGHT
from mmc_gpu.files.results.rounds import ROUND_FILES
from mmc_gpu.files.rounds.read import name_of
from mmc_gpu.files.writing.replace import clear_up, write_file
from mmc_gpu.files.writing.tables import json_bytes, table_rows

State = Literal["scored", "finished", "waiting", "failed"]


class Outcome(NamedTuple):
    """What became of one round of several."""

    round: Place  # the round
    result: Path  # the folder of its result
    state: State  # scored now; finished before; waiting for its targets; failed
    outline: Outline | None = None  # of its scores; None where it has none
    error: RoundError | None = None  # why it waits, or has failed; None if it did not


def score_many(run: Run, rounds: Sequence[Place], output: Path) -> Iterator[Outcome]:
    """Score rounds, each into a folder with the round's name; yield what became of each, in order.

    Rounds are scored one after another, and a result is written while the next is computed; on a
    cluster several at a time, so that small rounds keep its workers busy. A finished round is not
    scored again. A round that fails, or waits for its targets, does not stop the others.
    """

    def begun(round_: Place) -> Callable[[], Any]:
        """Score a round; return what writes its result and says what became of it."""
        steps = _steps(run, round_, output / name_of(round_))
        outcome = next(steps)  # None where there is something to write
        return partial(next, steps, outcome)

    if run.pool is None:
        yield from behind(map(begun, rounds))
        return
    with ThreadPoolExecutor(run.pool.rounds_at_once) as threads:
        try:
            yield from threads.map(lambda round_: begun(round_)(), rounds)
        finally:
            threads.shutdown(cancel_futures=True)


def _steps(run: Run, round_: Place, result: Path) -> Iterator[Outcome | None]:
    """Score a round, and yield None before the result is written; last, yield what became of it."""
    try:
        if run.is_finished(round_, result):
            clear_up(result, ROUND_FILES)
            yield Outcome(round_, result, "finished", Outline.read(result))
            return
        scores, files = run.compute(round_, result)
        yield None
        run.write(result, scores, files)
        yield Outcome(round_, result, "scored", Outline.of(scores))
    except RoundError as error:
        state: State = "waiting" if error.code == WAITING else "failed"
        yield Outcome(round_, result, state, None, error)
    except OSError as error:  # such as a folder that may not be looked into
        yield Outcome(round_, result, "failed", None, RoundError("file-unreadable", str(error)))


def run_night(run: Run, named: Sequence[Place], folder: Path | None) -> None:
    """Score several rounds; say what became of each, and how to go on after a stop."""
    if folder is None:
        raise typer.BadParameter("several rounds need a folder for their results: -o FOLDER")
    if run.name is not None:
        raise typer.BadParameter("--name is of one round; several have those of their folders")
    files = (place for place in named if isinstance(place, Path) and exists(place))
    strays = [place for place in files if place.is_file()]
    for stray in strays:
        say(f"ignored: {stray}, which is a file and no round")
    rounds = [place for place in named if place not in strays]
    if not rounds:
        raise typer.BadParameter("a round is a folder, and all of these are files")
    if len(set(map(name_of, rounds))) < len(rounds):
        raise typer.BadParameter("two rounds have the same name, and so would their results")
    became: Counter[str] = Counter()
    left_out, night = 0, []
    try:
        for done, outcome in enumerate(score_many(run, rounds, folder), 1):
            became[outcome.state] += 1
            left_out += len(outcome.outline.quarantined) if outcome.outline else 0
            name, state = name_of(outcome.round), outcome.state.replace("finished", "scored")
            why = outcome.error.detail.replace(str(outcome.round), name) if outcome.error else ""
            night.append({"round": name, "state": state, "detail": why.removeprefix(f"{name}: ")})
            _show(outcome, f"{done} of {len(rounds)}, {name}")
    except KeyboardInterrupt:
        left = counted(len(rounds) - became.total(), "round")
        say(f"stopped; the same command again goes on with the {left} left", "yellow")
        raise typer.Exit(options.STOPPED) from None
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / NIGHT, json_bytes({"rounds": night}))
    states = {"scored": became["scored"], "finished before": became["finished"]}
    states |= {"waiting for targets": became["waiting"], "failed": became["failed"]}
    told = ", ".join(f"{number:,} {state}" for state, number in states.items() if number)
    print_line(f"{counted(len(rounds), 'round')} in {folder}: {told}")
    counts = {state: became[state] for state in ("scored", "finished", "waiting", "failed")}
    tell_result(results=str(folder), **counts, quarantined=left_out, ignored=list(map(str, strays)))
    if became["failed"] or left_out:
        raise typer.Exit(options.FAILED if became["failed"] else options.QUARANTINED)


def _show(outcome: Outcome, which: str) -> None:
    """Say what became of a round; a script gets all of it in one event."""
    error, outline = outcome.error, outcome.outline
    if LISTENER.script:
        told = {"round": name_of(outcome.round)} | (outline.said() if outline else {})
        if error is not None:
            left_out = table_rows(quarantine_columns(error.quarantined))
            told |= {"error": error_of(error), "quarantined": left_out}
        event("round", state=outcome.state, result=str(outcome.result), **told)
    elif outline is not None:
        before = "finished before: " if outcome.state == "finished" else ""
        say(f"{which}: {before}{outline.text}; digest {outline.digest[:16]}")
        show_notes(outline.notes)
        show_quarantine(outline.quarantined, outcome.result)
    elif error is not None and outcome.state == "waiting":
        say(f"{which}: waiting for targets: {error.detail}")
    elif error is not None:
        say(f"{which}: failed: {error}", "red")
        show_quarantine(error.quarantined, most=len(error.quarantined))
