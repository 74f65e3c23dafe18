"""The command line: arguments -> files -> scoring -> files."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from mmc_gpu.errors import EngineUnavailable, RoundError

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

RoundFolder = Annotated[Path, typer.Argument(help="Folder of the round.", metavar="ROUND")]
Engine = Annotated[
    str, typer.Option(help="numpy, cpu, gpu; auto takes the fastest that works and says which.")
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
Top = Annotated[int, typer.Option(help="Users shown.", min=1)]


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where the round and its results go.")] = Path(
        "mmc-demo"
    ),
    users: Annotated[int, typer.Option(help="Submissions.", min=2)] = 300,
    stocks: Annotated[int, typer.Option(help="Stocks.", min=100)] = 2000,
    seed: Annotated[int, typer.Option(help="Another seed makes another round.", min=0)] = 0,
    engine: Engine = "auto",
    top: Top = 10,
) -> None:
    """Make a realistic sample round and score it; leaves the round, its results and a report."""
    from mmc_gpu.sample_round import make_sample_round, write_sample_round
    from mmc_gpu.terminal import say

    round_folder = folder / "round"
    write_sample_round(round_folder, make_sample_round(users, stocks, seed))
    say(f"a sample round of {users:,} users and {stocks:,} stocks: {round_folder}")
    score(round_folder, output=str(folder / "results"), engine=engine, report=True, top=top)


@app.command()
def score(
    round_: RoundFolder,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Folder for the results; - for standard output."),
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
    format_: Annotated[
        Literal["parquet", "csv", "json"] | None,
        typer.Option("--format", help="Of the scores: parquet, but csv on standard output."),
    ] = None,
    save_draws: Annotated[
        bool, typer.Option("--save-draws", help="Write draws.parquet: every user in every draw.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Write report.html, a page to look at in a browser.")
    ] = False,
    top: Top = 20,
    target: Target = None,
) -> None:
    """Score a round: the leaderboard on standard output, the results in a folder with -o."""
    from mmc_gpu.engines import load_engine
    from mmc_gpu.files.results import REPORT, scores_bytes, write_results
    from mmc_gpu.files.round_folder import read_round
    from mmc_gpu.method import Method
    from mmc_gpu.scoring import score as score_checked
    from mmc_gpu.terminal import progress, say, show_leaderboard, show_quarantine

    method = Method(draws, sample, seed, ties, blend, scale)
    loaded = load_engine(engine)
    if output == "-" and format_ == "parquet" and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is not for a terminal; pipe it, or choose csv or json")
    with progress() as tell:
        files = read_round(round_, missing=missing, on_error=on_error, blend=blend, progress=tell)
        scores = score_checked(files.round, method, loaded, progress=tell)
    number = scores.target_number(target)
    for note in scores.notes:
        say(f"note: {note}")
    show_quarantine(scores.quarantined)
    if output == "-":
        sys.stdout.buffer.write(scores_bytes(scores, format_ or "csv"))
    else:
        show_leaderboard(scores, top, number)
        if output is not None:
            options = {"missing": missing, "on_error": on_error}
            folder = Path(output)
            page = number if report else None
            write_results(
                folder, scores, files.inputs, options, format_ or "parquet", save_draws, page
            )
            say(f"results in {folder}")
            if report:
                say(f"open {folder / REPORT} in a browser")
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
    """Write a result as one HTML page: leaderboard, charts, data quality, receipt; offline."""
    from mmc_gpu.files.result_folder import read_result
    from mmc_gpu.files.results import REPORT
    from mmc_gpu.files.writing import replace_file
    from mmc_gpu.report.round_report import round_page
    from mmc_gpu.terminal import say

    found = read_result(result)
    page = round_page(found.scores, found.receipt, found.scores.target_number(target))
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
