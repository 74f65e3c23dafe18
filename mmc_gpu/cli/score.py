"""Scoring rounds: demo, score, merge."""

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmc_gpu.cli import options
from mmc_gpu.cli.listener import LISTENER, print_line, tell_result
from mmc_gpu.eras.metrics import ROUND_METRICS
from mmc_gpu.inputs.options import LEAVE_ONE_OUT

if TYPE_CHECKING:
    from mmc_gpu.cli.runs import Run
    from mmc_gpu.rounds.scores import Scores


def demo(
    folder: Annotated[Path, typer.Argument(help="Where the round and its results go.")] = Path(
        "mmc-demo"
    ),
    users: Annotated[int, typer.Option(help="How many submissions.", min=2)] = 300,
    stocks: Annotated[int, typer.Option(help="How many stocks.", min=100)] = 2000,
    seed: Annotated[int, typer.Option(help="Another seed makes another round.", min=0)] = 0,
    submissions: Annotated[
        bool, typer.Option("--submissions", help="Write one file a user, as operators have them.")
    ] = False,
    engine: options.Engine = "auto",
    top: options.Top = 10,
) -> None:
    """Make a realistic sample round and score it; leaves the round, its results and a report."""
    from mmc_gpu.cli.terminal import say
    from mmc_gpu.files.results.receipt import RECEIPT
    from mmc_gpu.rounds.sample import make_sample_round, write_sample_round

    round_folder, results = folder / "round", folder / "results"
    other = round_folder / ("predictions.parquet" if submissions else "submissions")
    if other.exists() or (round_folder.exists() and not (results / RECEIPT).exists()):
        raise typer.BadParameter(f"{round_folder} holds another round; name a new folder")
    write_sample_round(round_folder, make_sample_round(users, stocks, seed), submissions)
    say(f"a sample round of {users:,} users and {stocks:,} stocks: {round_folder}")
    score([round_folder], output=str(results), engine=engine, report=True, top=top)


def score(
    rounds: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of a round, packed or not, or the URI of a packed one; or several.",
            metavar="ROUND...",
            parser=options.place,
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the results, one in it for each of several rounds; - for stdout.",
        ),
    ] = None,
    draws: Annotated[int, typer.Option(help="How many draws of stakers.", min=1)] = 20,
    sample: Annotated[float, typer.Option(help="Share of the stakers that a draw picks.")] = 0.67,
    seed: Annotated[int, typer.Option(help="Which sequence of draws.", min=0)] = 0,
    ties: Annotated[
        Literal["first", "average"],
        typer.Option(help="Equal predictions rank by id, or share their rank."),
    ] = "first",
    blend: options.Blend = "raw",
    scale: Annotated[float, typer.Option(help="What the covariance is divided by.")] = 0.0841,
    missing: options.Missing = "error",
    on_error: options.OnError = "quarantine",
    tournament: options.Tournament = None,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    format_: Annotated[
        Literal["parquet", "csv", "json"] | None,
        typer.Option("--format", help="Format of the scores; by default parquet, csv on stdout."),
    ] = None,
    save_draws: Annotated[
        bool, typer.Option("--save-draws", help="Write draws.parquet: every user in every draw.")
    ] = False,
    report: options.Report = False,
    memory: Annotated[
        float | None,
        typer.Option(
            help="GiB for predictions of a packed round; else 24 MiB a block.", min=0, max=2**20
        ),
    ] = None,
    top: options.Top = 20,
    target: options.Target = None,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Leave out targets without values, and stocks without all."),
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="What the round is called; by default as its folder.")
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(
            help="Day of the targets, 2026-11-27; by default when their file was written, in UTC."
        ),
    ] = None,
    keep_days: Annotated[
        bool, typer.Option("--keep-days", help="Keep each day's result in days/DATE of the result.")
    ] = False,
    cluster: options.Address = None,
    workers: options.Workers = None,
    score_: Annotated[
        list[str] | None,
        typer.Option(
            "--score",
            help="A further column; repeat it for more. In brackets the files of the round's folder"
            f" that it needs: {'; '.join(row.round_line for row in ROUND_METRICS.values())}",
        ),
    ] = None,
    leave_one_out: Annotated[bool, typer.Option(help="Columns of each staker's worth.")] = False,
    shard: Annotated[
        str | None,
        typer.Option(help="I/N: compute this part of a packed round into -o WORK; then merge."),
    ] = None,
) -> None:
    """Score a round: the leaderboard on standard output, the results in a folder with -o.

    Several rounds need -o. Finished rounds are not scored again, so that the same command goes on
    where it was stopped; a round that fails does not stop the others. A round whose targets are not
    all there waits: it is no failure, and is scored when they come.
    """
    from mmc_gpu.cli.runs import Run
    from mmc_gpu.cli.terminal import progress_bars
    from mmc_gpu.engines import load_engine
    from mmc_gpu.eras.metrics import round_metrics
    from mmc_gpu.files.results.receipt import NIGHT
    from mmc_gpu.files.results.rounds import scores_bytes
    from mmc_gpu.files.rounds.folder import values_about
    from mmc_gpu.rounds.method import Method

    folder = None if output in (None, "-") else Path(str(output))
    if output == "-" and format_ == "parquet" and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is not for a terminal; pipe it, or choose csv or json")
    if output == "-" and LISTENER.script:
        raise typer.BadParameter("-o - and --json both need standard output; name a folder")
    if folder is None:
        kept = {"report": report, "save_draws": save_draws, "keep_days": keep_days}
        options.refuse("needs a folder: -o", **kept, format=None if output else format_)
    further = [row.round_name for row in round_metrics(score_ or ())]
    further += [LEAVE_ONE_OUT] * (leave_one_out or LEAVE_ONE_OUT in (score_ or ()))
    if further and (cluster or shard):
        alone = "a cluster and shards compute the bootstrap alone"
        raise typer.BadParameter(f"--score, --leave-one-out: {alone}")
    run = Run(
        Method(draws, sample, seed, ties, blend, scale),
        load_engine(engine, threads, values_about(rounds)) if cluster is None else engine,
        missing=missing,
        on_error=on_error,
        memory=None if memory is None else int(memory * 2**30),
        format_=format_ or "parquet",
        save_draws=save_draws,
        report=report,
        target=target,
        threads=threads,
        partial=partial,
        name=name,
        date=date,
        keep_days=keep_days,
        further=further,
        tournament=tournament,
    )
    if shard is not None:
        of_result = {"report": report, "keep_days": keep_days, "name": name, "date": date}
        of_result |= {"target": target, "format": format_, "cluster": cluster}
        options.refuse("of a whole round: a shard writes no result, merge does", **of_result)
        _score_shard(run, rounds, shard, folder)
        return
    with ExitStack() as stack:
        if (where := options.cluster_of(cluster, workers, threads)) is not None:
            from mmc_gpu.cluster.ray_pool import RayPool

            pool = stack.enter_context(RayPool(where, engine))
            run = replace(run, pool=pool, threads=where.threads)
        if len(rounds) > 1 or (folder is not None and (folder / NIGHT).is_file()):
            from mmc_gpu.cli.nights import run_night  # also where one round is left in flight

            run_night(run, rounds, folder)
            return
        with options.waiting_is_no_failure(), progress_bars() as progress:
            scores = run.score(rounds[0], folder, progress)
    if output == "-":
        sys.stdout.buffer.write(scores_bytes(scores, format_ or "csv"))
    _show(scores, 0 if output == "-" else top, target, folder, report)


def _show(
    scores: "Scores", top: int, target: str | None, folder: Path | None, report: bool = False
) -> None:
    """Show scores and where they were written; the exit code says whether users were left out.

    The leaderboard has the `top` best users; with 0 there is none.
    """
    from mmc_gpu.cli.terminal import say, show_leaderboard, show_notes, show_quarantine
    from mmc_gpu.files.results.outline import Outline
    from mmc_gpu.files.results.receipt import REPORT
    from mmc_gpu.files.writing.tables import table_rows

    number = scores.target_number(target)
    outline = Outline.of(scores)
    if LISTENER.script:
        columns = {name: values[:top] for name, values in scores.columns(number).items()}
        results = None if folder is None else str(folder)
        tell_result(**outline.said(), rows=table_rows(columns), results=results)
    show_notes(outline.notes)
    show_quarantine(outline.quarantined, folder)
    if top:
        show_leaderboard(scores, top, number)
    if folder is not None:
        say(f"results in {folder}")
    if folder is not None and report:
        say(f"open {folder / REPORT} in a browser")
    say(f"{outline.text}; digest {outline.digest[:16]}")
    if scores.quarantined:
        raise typer.Exit(options.QUARANTINED)


def _score_shard(run: "Run", rounds: list[Path], shard: str, work: Path | None) -> None:
    from mmc_gpu.cli.terminal import progress_bars
    from mmc_gpu.cluster.shards import Shard

    if work is None or len(rounds) > 1:
        raise typer.BadParameter("a shard is part of one round, and needs a folder: -o WORK")
    part = Shard.parse(shard)
    with progress_bars() as progress:
        stage = run.score_shard(rounds[0], part, work, progress)
    tell_result(stage=stage, shard=part.number, of=part.of, work=str(work))
    print_line(f"{stage}: shard {part.number} of {part.of} is in {work}; after the last: merge")


def merge(
    round_: Annotated[
        Path, typer.Argument(help="The packed round.", metavar="PACKED", parser=options.place)
    ],
    work: Annotated[
        Path, typer.Argument(help="Folder where its shards were written.", metavar="WORK")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the result.")
    ] = None,
    on_error: options.OnError = "quarantine",
    format_: Annotated[
        Literal["parquet", "csv", "json"], typer.Option("--format", help="Format of the scores.")
    ] = "parquet",
    top: options.Top = 20,
    target: options.Target = None,
) -> None:
    """Join a round's shards: after the first pass the meta models, after the second the scores."""
    from mmc_gpu.cli.runs import merge as merge_into

    if output is None:
        options.refuse("needs a folder: -o", format=format_ != "parquet")
    scores = merge_into(round_, work, output, on_error, format_)
    if scores is None:
        tell_result(stage="blend", work=str(work))
        print_line(f"{work}: the meta models are made; run the shards again, then merge again")
        return
    _show(scores, top, target, output)
