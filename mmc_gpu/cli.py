"""The command line: arguments -> files -> scoring -> files."""

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from mmc_gpu.errors import EngineUnavailable, RoundError

if TYPE_CHECKING:
    from mmc_gpu.cluster import Cluster as RayCluster
    from mmc_gpu.files.results import Format
    from mmc_gpu.files.runs import Run

FAILED, USAGE, ENVIRONMENT, QUARANTINED, MISMATCH = 1, 2, 3, 4, 5
"""Exit codes; 0 is success."""

app = typer.Typer(
    help="Score every submission of a Numerai round: bootstrap MMC, CORR and more.\n\n"
    "Start with [bold]mmc-gpu demo[/bold]. A round is a folder with targets (id, one column a"
    " target), stakes (user, stake) and predictions (id, one column a user) or submissions/ (one"
    " file a user: id, prediction), each as Parquet or CSV.\n\n"
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 environment, 4 finished with quarantined users,"
    " 5 verification mismatch.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _place(text: str) -> Any:
    from mmc_gpu.files.places import place_of

    return place_of(text)


RoundFolder = Annotated[
    Path, typer.Argument(help="Folder of the round.", metavar="ROUND", parser=_place)
]
Engine = Annotated[
    str, typer.Option(help="numpy, cpu, gpu; auto takes the fastest that works and says which.")
]
Threads = Annotated[
    int | None,
    typer.Option(help="Of the cpu engine; all cores, or MMC_GPU_THREADS.", min=1),
]
MissingOption = Annotated[
    Literal["error", "fill"],
    typer.Option(help="Missing predictions: a fault, or filled with the user's lower median."),
]
OnErrorOption = Annotated[
    Literal["quarantine", "fail"],
    typer.Option(help="A user's fault: leave that user out (exit code 4), or stop (1)."),
]
BlendOption = Annotated[
    Literal["raw", "ranked"], typer.Option(help="Blend predictions as submitted, or their ranks.")
]
Target = Annotated[str | None, typer.Option(help="Whose leaderboard; by default the first's.")]
Cluster = Annotated[
    str | None, typer.Option(help="Compute on Ray: local, auto, or a cluster's HOST:PORT.")
]
Workers = Annotated[
    int | None, typer.Option(help="Of the cluster; as many as it has room for.", min=1)
]
Report = Annotated[
    bool, typer.Option("--report", help="Write report.html, a page to look at in a browser.")
]
Top = Annotated[int, typer.Option(help="Users shown.", min=1)]


@app.command()
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
    from mmc_gpu.sample_round import make_sample_round, write_sample_round
    from mmc_gpu.terminal import say

    round_folder = folder / "round"
    write_sample_round(round_folder, make_sample_round(users, stocks, seed), submissions)
    say(f"a sample round of {users:,} users and {stocks:,} stocks: {round_folder}")
    score([round_folder], output=str(folder / "results"), engine=engine, report=True, top=top)


@app.command()
def score(
    rounds: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of the round, packed or not, or the URI of a packed one; or several.",
            metavar="ROUND...",
            parser=_place,
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
    from mmc_gpu.engines import load_engine
    from mmc_gpu.files.runs import Run
    from mmc_gpu.method import Method

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
        if (where := _cluster(cluster, workers, threads)) is not None:
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
    from mmc_gpu.files.results import REPORT, scores_bytes
    from mmc_gpu.terminal import progress, say, show_leaderboard, show_quarantine

    folder = None if output in (None, "-") else Path(str(output))
    with progress() as tell:
        scores = run.score(round_, folder, tell)
    for note in scores.notes:
        say(f"note: {note}")
    show_quarantine(scores.quarantined)
    if output == "-":
        sys.stdout.buffer.write(scores_bytes(scores, format_ or "csv"))
    else:
        show_leaderboard(scores, top, scores.target_number(run.target))
    if folder is not None:
        say(f"results in {folder}")
        if run.report:
            say(f"open {folder / REPORT} in a browser")
    say(f"{scores.summary()}; digest {scores.digest[:16]}")
    if scores.quarantined:
        raise typer.Exit(QUARANTINED)


def _cluster(
    address: str | None, workers: int | None, threads: int | None, keep: Path | None = None
) -> "RayCluster | None":
    """Return where workers are; warn where anybody can use them."""
    from mmc_gpu.cluster import Cluster
    from mmc_gpu.terminal import say

    if address is None:
        if workers is not None:
            raise typer.BadParameter("--workers are those of a --cluster")
        return None
    cluster = Cluster(address, workers, threads or 1, keep=keep)
    if warning := cluster.warning():
        say(f"warning: {warning}", "yellow")
    return cluster


def _score_shard(run: "Run", rounds: list[Path], shard: str, output: str | None) -> None:
    """Compute a part of a pass."""
    from mmc_gpu.cluster.shards import Shard
    from mmc_gpu.terminal import progress

    if output in (None, "-") or len(rounds) > 1:
        raise typer.BadParameter("a shard is one of one round, and needs a folder: -o WORK")
    part = Shard.parse(shard)
    with progress() as tell:
        stage = run.score_shard(rounds[0], part, Path(str(output)), tell)
    typer.echo(f"{stage}: shard {part.number} of {part.of} is in {output}; after the last: merge")


def _score_many(run: "Run", rounds: list[Path], output: str | None) -> None:
    """Score several rounds, say what becomes of each, and how to go on if stopped."""
    from mmc_gpu.files.runs import score_many
    from mmc_gpu.terminal import say

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
                say(f"{place}: {outcome.scores.summary()}")
    except KeyboardInterrupt:
        left = len(rounds) - done
        say(f"stopped; the same command again scores the {left} rounds that are left", "yellow")
        raise typer.Exit(130) from None
    typer.echo(f"{done - failed} rounds scored in {output}, {failed} failed")
    if failed:
        raise typer.Exit(FAILED)
    if quarantined:
        raise typer.Exit(QUARANTINED)


@app.command()
def merge(
    round_: Annotated[
        Path, typer.Argument(help="The packed round.", metavar="PACKED", parser=_place)
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
    from mmc_gpu.files.runs import merge as merge_into
    from mmc_gpu.terminal import say, show_leaderboard, show_quarantine

    scores = merge_into(round_, work, output, on_error, format_)
    if scores is None:
        typer.echo(f"{work}: the meta models are made; run the shards again, then merge again")
        return
    show_quarantine(scores.quarantined)
    show_leaderboard(scores, top, scores.target_number(target))
    say(f"{scores.summary()}; digest {scores.digest[:16]}")
    if scores.quarantined:
        raise typer.Exit(QUARANTINED)


@app.command()
def report(
    result: Annotated[Path, typer.Argument(help="Folder of a result.", metavar="RESULT")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The page; by default report.html in the folder."),
    ] = None,
    target: Target = None,
) -> None:
    """Write the result of score or evaluate as one HTML page to look at in a browser, offline."""
    from mmc_gpu.files.result_page import result_page
    from mmc_gpu.files.results import REPORT
    from mmc_gpu.files.writing import replace_file
    from mmc_gpu.terminal import say

    page = result_page(result, target)
    path = output or result / REPORT
    replace_file(path, lambda file: file.write(page))
    say(f"open {path} in a browser")


@app.command()
def check(
    round_: RoundFolder,
    missing: MissingOption = "error",
    on_error: OnErrorOption = "quarantine",
    blend: BlendOption = "raw",
) -> None:
    """Check a round without scoring it: what is wrong, for whom, and how to mend it."""
    from mmc_gpu.files.round_folder import read_round
    from mmc_gpu.terminal import progress, say, show_check

    with progress() as report:
        files = read_round(round_, missing=missing, on_error=on_error, blend=blend, progress=report)
    for note in files.round.notes:
        say(f"note: {note}")
    show_check(files.round)
    if files.round.quarantined:
        raise typer.Exit(QUARANTINED)


@app.command()
def pack(
    round_: RoundFolder,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the packed round; may hold one.")
    ],
    missing: MissingOption = "error",
    on_error: OnErrorOption = "quarantine",
) -> None:
    """Check every submission once and pack the round, to be scored block by block ever after.

    Run it again to add what is new: submissions, stakes, targets; nothing is written twice.
    """
    from time import perf_counter

    from mmc_gpu.files.packing import pack_round
    from mmc_gpu.terminal import progress, say, show_quarantine

    start = perf_counter()
    with progress() as report:
        packing = pack_round(round_, output, missing=missing, on_error=on_error, progress=report)
    for note in packing.notes:
        say(f"note: {note}")
    show_quarantine(packing.quarantined)
    seconds = perf_counter() - start
    done = packing.added + packing.unchanged + len(packing.quarantined)
    typer.echo(
        f"packed: {packing.added:,} added, {packing.unchanged:,} unchanged,"
        f" {len(packing.quarantined):,} quarantined; {seconds:.1f} s,"
        f" {done / seconds:,.0f} submissions a second"
    )
    if packing.quarantined:
        raise typer.Exit(QUARANTINED)


@app.command()
def verify(
    result: Annotated[Path, typer.Argument(help="Folder of a result.", metavar="RESULT")],
    round_: RoundFolder,
    engine: Engine = "auto",
) -> None:
    """Score a round again, as its receipt says, on any engine, and compare every bit."""
    from mmc_gpu.files.verify import verify_result
    from mmc_gpu.terminal import progress, say

    with progress() as report:
        verdict = verify_result(result, round_, engine, progress=report)
    for difference in verdict.differences:
        say(difference, "red")
    if verdict.differences:
        say(f"not verified: {result}", "bold red")
        raise typer.Exit(MISMATCH)
    typer.echo(
        f"verified: {verdict.users:,} users, digest {verdict.digest[:16]}, engine {verdict.engine}"
    )


@app.command()
def evaluate(
    file: Annotated[Path, typer.Argument(help="Parquet, sorted by era; or CSV.", metavar="FILE")],
    era: Annotated[str, typer.Option(help="Column of the eras.")] = "era",
    target: Annotated[str, typer.Option(help="Column of the target; '' for none.")] = "target",
    model: Annotated[
        list[str] | None,
        typer.Option(help="Column of predictions, or a pattern; repeat it for more."),
    ] = None,
    meta_model: Annotated[str | None, typer.Option(help="Column of the meta model.")] = None,
    benchmark: Annotated[
        list[str] | None, typer.Option(help="Column or pattern; the others are compared with it.")
    ] = None,
    feature: Annotated[
        list[str] | None, typer.Option(help="Column or pattern, such as 'feature_*'.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="corr, mmc, bmc, bmc_each, fnc, corr20, spearman, cwmm, corr_with,"
            " max_feature_exposure: all that there is data for; and only where named:"
            " neutral_corr, neutral_mmc, mcwnm, apcwnm, churn."
        ),
    ] = None,
    ids: Annotated[str, typer.Option("--id", help="Column of the ids, if there is one.")] = "id",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the tables and the receipt.")
    ] = None,
    engine: Engine = "auto",
    threads: Threads = None,
    format_: Annotated[
        Literal["parquet", "csv"], typer.Option("--format", help="Of the tables.")
    ] = "parquet",
    report: Report = False,
    top: Top = 20,
    cluster: Cluster = None,
    workers: Workers = None,
) -> None:
    """Evaluate models over eras: each score's summary on standard output, all tables with -o."""
    from mmc_gpu.engines import load_engine
    from mmc_gpu.era_board import EVERY_MODEL
    from mmc_gpu.files.evaluations import evaluate_file
    from mmc_gpu.files.results import REPORT
    from mmc_gpu.files.runs import blocks_beside
    from mmc_gpu.terminal import progress, say, show_evaluation, show_faults

    if report and output is None:
        raise typer.BadParameter("--report needs a folder for the results: -o")
    if output == Path("-"):
        raise typer.BadParameter("an evaluation is several tables: name a folder with -o")
    parts = {
        "era": era,
        "target": target or None,
        "models": model,
        "meta_model": meta_model,
        "benchmarks": benchmark or (),
        "features": feature or (),
        "metrics": metric,
        "ids": ids,
    }
    where = _cluster(cluster, workers, threads, None if output is None else blocks_beside(output))
    with progress() as tell:
        evaluation = evaluate_file(
            file,
            output,
            format_,
            parts,
            engine=load_engine(engine, threads) if where is None else engine,
            progress=tell,
            report=report,
            cluster=where,
        )
    show_evaluation(evaluation, top)
    show_faults(evaluation)
    if output is not None:
        say(f"results in {output}")
        if report:
            say(f"open {output / REPORT} in a browser")
    say(evaluation.describe())
    if any(fault.model != EVERY_MODEL for fault in evaluation.faulted):
        raise typer.Exit(QUARANTINED)


@app.command()
def doctor() -> None:
    """Show versions, engines, GPU and kernels, and what to install."""
    from mmc_gpu.doctor import findings

    for name, state in findings():
        typer.echo(f"{name:12} {state}")


def _codes(incomplete: str) -> list[str]:
    from mmc_gpu.errors import CODES

    return [code for code in CODES if code.startswith(incomplete)]


@app.command()
def explain(
    code: Annotated[
        str | None,
        typer.Argument(help="As in an error: prediction-range.", autocompletion=_codes),
    ] = None,
) -> None:
    """Tell what an error's code means and how to mend it; without a code, list them all."""
    from mmc_gpu.errors import CODES, explained

    codes = list(CODES) if code is None else [code.strip("[]")]
    typer.echo("\n\n".join(explained(code) for code in codes))


def _fail(message: Any, code: int) -> NoReturn:
    from mmc_gpu.terminal import say

    say(f"error: {message}", "red")
    raise SystemExit(code)


def main() -> None:
    """Run the command line; every expected error is one line and an exit code."""
    try:
        app()
    except RoundError as error:
        _fail(error, FAILED)
    except EngineUnavailable as error:
        _fail(error, ENVIRONMENT)
    except ValueError as error:
        _fail(error, USAGE)
