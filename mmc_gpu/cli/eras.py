"""Models over eras: evaluate."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mmc_gpu.cli.listener import tell_result
from mmc_gpu.cli.options import (
    QUARANTINED,
    ClusterOption,
    EngineOption,
    ReportOption,
    ThreadsOption,
    TopOption,
    WorkersOption,
    cluster_of,
)
from mmc_gpu.eras.metrics import METRICS
from mmc_gpu.errors import RoundError


def _named(asked: bool) -> str:
    return ", ".join(name for name, metric in METRICS.items() if metric.asked == asked)


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
            help=f"{_named(asked=False)}: all that there is data for; and only where named:"
            f" {_named(asked=True)}."
        ),
    ] = None,
    ids: Annotated[str, typer.Option("--id", help="Column of the ids, if there is one.")] = "id",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the tables and the receipt.")
    ] = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    format_: Annotated[
        Literal["parquet", "csv"], typer.Option("--format", help="Of the tables.")
    ] = "parquet",
    report: ReportOption = False,
    top: TopOption = 20,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
) -> None:
    """Evaluate models over eras: each score's summary on standard output, all tables with -o."""
    from mmc_gpu.api import evaluate as evaluated
    from mmc_gpu.cli.runs import blocks_beside
    from mmc_gpu.cli.terminal import progress_bars, say, show_evaluation, show_faults, show_notes
    from mmc_gpu.engines import load_engine
    from mmc_gpu.eras.evaluation import EVERY_MODEL
    from mmc_gpu.files.eras import open_eras
    from mmc_gpu.files.results.eras import write_evaluation
    from mmc_gpu.files.results.receipt import REPORT
    from mmc_gpu.files.writing.tables import table_rows

    if report and output is None:
        raise typer.BadParameter("--report needs a folder for the results: -o")
    if output is not None:
        _check_output(file, output)
    options: dict[str, Any] = {
        "era": era,
        "target": target or None,
        "models": model,
        "meta_model": meta_model,
        "benchmarks": benchmark or (),
        "features": feature or (),
        "metrics": metric,
        "ids": ids,
    }
    where = cluster_of(cluster, workers, threads, None if output is None else blocks_beside(output))
    loaded = load_engine(engine, threads) if where is None else engine
    with progress_bars() as progress:
        source = open_eras(file, era, ids)
        evaluation = evaluated(source, **options, engine=loaded, cluster=where, progress=progress)
    if output is not None:
        run = {"inputs": [source.entry], "parameters": options}
        write_evaluation(output, evaluation, format_, run, report)
    tell_result(
        models=evaluation.models,
        eras=len(evaluation.labels),
        faults=len(evaluation.faulted),
        engine=evaluation.engine,
        table=table_rows(evaluation.columns("table")),
        summary=table_rows(evaluation.columns("summary")),
        result=None if output is None else str(output),
    )
    show_evaluation(evaluation, top)
    show_faults(evaluation, output)
    show_notes(evaluation.notes)
    if output is not None:
        say(f"results in {output}")
        if report:
            say(f"open {output / REPORT} in a browser")
    say(evaluation.describe())
    if any(fault.model != EVERY_MODEL for fault in evaluation.faulted):
        raise typer.Exit(QUARANTINED)


def _check_output(file: Path, folder: Path) -> None:
    """Refuse a folder that must not be written to, before anything is evaluated for nothing."""
    from mmc_gpu.files.results.eras import ERA_FILES
    from mmc_gpu.files.results.receipt import RECEIPT
    from mmc_gpu.files.writing.replace import refuse_foreign

    if folder == Path("-"):
        raise typer.BadParameter("an evaluation is several tables: name a folder with -o")
    if file.resolve().parent == folder.resolve():
        raise RoundError("output-foreign", f"{str(folder)!a} holds what is evaluated")
    refuse_foreign(folder, ERA_FILES, RECEIPT)
