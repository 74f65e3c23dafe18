"""Scoring rounds: demo, score, merge."""

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmc_gpu.cli.options import (
    FAILED,
    QUARANTINED,
    BlendOption,
    Cluster,
    Engine,
    MissingOption,
    OnErrorOption,
    Report,
    Target,
    Threads,
    Top,
    Workers,
    cluster_of,
    place,
)

if TYPE_CHECKING:
    from mmc_gpu.cli.runs import Run
    from mmc_gpu.files.results.rounds import Format


def demo(
    folder: Annotated[Path, typer.Argument(help="Where the round and its results go.")] = Path(
        "mmc-demo"
    ),
    users: Annotated[int, typer.Option(help="Submissions.", min=2)] = 300,
    stocks: Annotated[int, typer.Option(help="Stocks.", min=100)] = 2000,
    seed: Annotated[int, typer.Option(help="Another seed makes another round.", min=0)] = 0,
    submissions: Annotated[
        bool, typer.Option("--submissions", help="Write one file a user, as operators have them.")
    ] = False,
    engine: Engine = "auto",
    top: Top = 10,
) -> None:
    """Make a realistic sample round and score it; leaves the round, its results and a report."""
    from mmc_gpu.cli.terminal import say
    from mmc_gpu.rounds.sample import make_sample_round, write_sample_round

    round_folder = folder / "round"
    write_sample_round(round_folder, make_sample_round(users, stocks, seed), submissions)
    say(f"a sample round of {users:,} users and {stocks:,} stocks: {round_folder}")
    score([round_folder], output=str(folder / "results"), engine=engine, report=True, top=top)


def score(
    rounds: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of the round, packed or not, or the URI of a packed one; or several.",
            metavar="ROUND...",
            parser=place,
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
    draws: Annotated[int, typer.Option(help="Draws of stakers.", min=1)] = 20,
    sample: Annotated[float, typer.Option(help="Share of the stakers picked a draw.")] = 0.67,
    seed: Annotated[int, typer.Option(help="Which sequence of draws.", min=0)] = 0,
    ties: Annotated[
        Literal["first", "average"],
        typer.Option(help="Equal predictions rank by id, or share their rank."),
    ] = "first",
    blend: BlendOption = "raw",
    scale: Annotated[float, typer.Option(help="What the covariance is divided by.")] = 0.0841,
    missing: MissingOption = "error",
    on_error: OnErrorOption = "quarantine",
    engine: Engine = "auto",
    threads: Threads = None,
    format_: Annotated[
        Literal["parquet", "csv", "json"] | None,
        typer.Option("--format", help="Of the scores: parquet, but csv on standard output."),
    ] = None,
    save_draws: Annotated[
        bool, typer.Option("--save-draws", help="Write draws.parquet: every user in every draw.")
    ] = False,
    report: Report = False,
    memory: Annotated[
        float | None,
        typer.Option(
            help="GiB for the predictions of a packed round; blocks of 24 MiB if not given."
        ),
    ] = None,
    top: Top = 20,
    target: Target = None,
    cluster: Cluster = None,
    workers: Workers = None,
    shard: Annotated[
        str | None,
        typer.Option(help="I/N: compute this part of a packed round into -o WORK; then merge."),
    ] = None,
) -> None:
    """Score a round: the leaderboard on standard output, the results in a folder with -o.

    Several rounds need -o. Those that are finished are not scored again, so that a run that was
    stopped goes on where it stopped; a round that fails does not stop the others.
    """
    from mmc_gpu.cli.runs import Run
    from mmc_gpu.engines import load_engine
    from mmc_gpu.rounds.method import Method

    if output == "-" and format_ == "parquet" and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is not for a terminal; pipe it, or choose csv or json")
    if (report or save_draws) and output in (None, "-"):
        raise typer.BadParameter("--report and --save-draws need a folder for the results: -o")
    run = Run(
        Method(draws, sample, seed, ties, blend, scale),
        load_engine(engine, threads) if cluster is None else engine,
        missing,
        on_error,
        None if memory is None else int(memory * 2**30),
        format_ or "parquet",
        save_draws,
        report,
        target,
        threads=threads,
    )
    if shard is not None:
        _score_shard(run, rounds, shard, output)
        return
    with ExitStack() as stack:
        if (where := cluster_of(cluster, workers, threads)) is not None:
            from mmc_gpu.cluster.ray_pool import RayPool

            pool = stack.enter_context(RayPool(where, engine))
            run = replace(run, pool=pool, threads=where.threads)
        if len(rounds) > 1:
            _score_many(run, rounds, output)
        else:
            _score_one(run, rounds[0], output, format_, top)


def _score_one(
    run: "Run", round_: Path, output: str | None, format_: "Format | None", top: int
) -> None:
    """Score a round and show it."""
    from mmc_gpu.cli.terminal import progress, say, show_leaderboard, show_quarantine
    from mmc_gpu.files.results.receipt import REPORT
    from mmc_gpu.files.results.rounds import scores_bytes

    folder = None if output in (None, "-") else Path(str(output))
    with progress() as tell:
        scores = run.score(round_, folder, tell)
    for note in scores.notes:
        say(f"note: {note}")
    show_quarantine(scores.quarantined, folder)
    if output == "-":
        sys.stdout.buffer.write(scores_bytes(scores, format_ or "csv"))
    else:
        show_leaderboard(scores, top, scores.target_number(run.target))
    if folder is not None:
        say(f"results in {folder}")
        if run.report:
            say(f"open {folder / REPORT} in a browser")
    say(f"{scores.describe()}; digest {scores.digest[:16]}")
    if scores.quarantined:
        raise typer.Exit(QUARANTINED)


def _score_shard(run: "Run", rounds: list[Path], shard: str, output: str | None) -> None:
    """Compute a part of a pass."""
    from mmc_gpu.cli.terminal import progress
    from mmc_gpu.cluster.shards import Shard

    if output in (None, "-") or len(rounds) > 1:
        raise typer.BadParameter("a shard is one of one round, and needs a folder: -o WORK")
    part = Shard.parse(shard)
    with progress() as tell:
        stage = run.score_shard(rounds[0], part, Path(str(output)), tell)
    typer.echo(f"{stage}: shard {part.number} of {part.of} is in {output}; after the last: merge")


def _score_many(run: "Run", rounds: list[Path], output: str | None) -> None:
    """Score several rounds, say what becomes of each, and how to go on if stopped."""
    from mmc_gpu.cli.runs import score_many
    from mmc_gpu.cli.terminal import say

    if output in (None, "-"):
        raise typer.BadParameter("several rounds need a folder for their results: -o FOLDER")
    if len({round_.name for round_ in rounds}) < len(rounds):
        raise typer.BadParameter("two rounds have the same name, and so would their results")
    done = failed = quarantined = 0
    try:
        for outcome in score_many(run, rounds, Path(str(output))):
            done += 1
            place = f"{done} of {len(rounds)}, {outcome.round}"
            if outcome.error is not None:
                failed += 1
                say(f"{place}: failed: {outcome.error}", "red")
            elif outcome.scores is None:
                say(f"{place}: finished before")
            else:
                quarantined += bool(outcome.scores.quarantined)
                say(f"{place}: {outcome.scores.describe()}")
    except KeyboardInterrupt:
        left = len(rounds) - done
        say(f"stopped; the same command again scores the {left} rounds that are left", "yellow")
        raise typer.Exit(130) from None
    typer.echo(f"{done - failed} rounds scored in {output}, {failed} failed")
    if failed:
        raise typer.Exit(FAILED)
    if quarantined:
        raise typer.Exit(QUARANTINED)


def merge(
    round_: Annotated[
        Path, typer.Argument(help="The packed round.", metavar="PACKED", parser=place)
    ],
    work: Annotated[Path, typer.Argument(help="Where its shards were written.", metavar="WORK")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the result.")
    ] = None,
    on_error: OnErrorOption = "quarantine",
    format_: Annotated[
        Literal["parquet", "csv", "json"], typer.Option("--format", help="Of the scores.")
    ] = "parquet",
    top: Top = 20,
    target: Target = None,
) -> None:
    """Join a round's shards: after the first pass the meta models, after the second the scores."""
    from mmc_gpu.cli.runs import merge as merge_into
    from mmc_gpu.cli.terminal import say, show_leaderboard, show_quarantine

    scores = merge_into(round_, work, output, on_error, format_)
    if scores is None:
        typer.echo(f"{work}: the meta models are made; run the shards again, then merge again")
        return
    show_quarantine(scores.quarantined, output)
    show_leaderboard(scores, top, scores.target_number(target))
    say(f"{scores.describe()}; digest {scores.digest[:16]}")
    if scores.quarantined:
        raise typer.Exit(QUARANTINED)
