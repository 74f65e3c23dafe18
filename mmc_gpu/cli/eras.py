"""Models over eras: evaluate."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mmc_gpu.cli import options
from mmc_gpu.cli.listener import tell_result
from mmc_gpu.eras.metrics import METRICS
from mmc_gpu.errors import RoundError


def _named(asked: bool) -> str:
    return ", ".join(name for name, metric in METRICS.items() if metric.asked == asked)


def evaluate(
    file: Annotated[
        Path,
        typer.Argument(
            help="Parquet, fastest where sorted by era; CSV; a folder of parts.", metavar="FILE"
        ),
    ],
    era: Annotated[str, typer.Option(help="Column of the eras.")] = "era",
    predictions: Annotated[
        list[str] | None,
        typer.Option(
            help="File of predictions, joined by id: a path, a pattern, a folder of parts; or a"
            " column. Repeat it for more. A file with one column is a model of the file's name."
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of the target, or a pattern; repeat it for more; '' for none.",
            show_default="target",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Column of predictions, or a pattern; repeat it for more."),
    ] = None,
    meta_model: Annotated[
        str | None, typer.Option(help="Column of the meta model, or a file that has it.")
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(help="Column, pattern or file; the others are compared with it."),
    ] = None,
    benchmark_stake: Annotated[
        list[str] | None,
        typer.Option(help="NAME=NMR for each benchmark: bmc is against their weighted mean."),
    ] = None,
    feature: Annotated[
        list[str] | None, typer.Option(help="Column or pattern, such as 'feature_*'.")
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="Numerai's features.json, for --feature-set.")
    ] = None,
    feature_set: Annotated[
        str | None, typer.Option(help="Set of features.json, such as small.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{_named(asked=False)}: all that there is data for; and only where named:"
            f" {_named(asked=True)}."
        ),
    ] = None,
    ids: Annotated[str, typer.Option("--id", help="Column of the ids, if there is one.")] = "id",
    eras: Annotated[
        str | None,
        typer.Option(help="FIRST:LAST, both included; or last:200, of those that have a target."),
    ] = None,
    every: Annotated[int, typer.Option(help="4 for every fourth of these eras.", min=1)] = 1,
    data_type: Annotated[
        str | None, typer.Option(help="Only rows of this data_type, such as validation.")
    ] = None,
    missing: options.EraMissing = "error",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the tables and the receipt.")
    ] = None,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    format_: Annotated[
        Literal["parquet", "csv"], typer.Option("--format", help="Of the tables.")
    ] = "parquet",
    over: Annotated[
        Literal["common", "own"],
        typer.Option(help="Compare models over the eras that all have, or each over its own."),
    ] = "common",
    least: Annotated[
        float, typer.Option(help="Share of the eras that a model needs for a rank.", min=0, max=1)
    ] = 0.9,
    overlap: Annotated[
        int | None,
        typer.Option(
            help="How many neighbouring eras targets overlap; by default 4 for a name in _20, 12"
            " for _60, else 4.",
            show_default=False,
            min=1,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            help="Models tried, for the deflated Sharpe ratio.", show_default="all", min=1
        ),
    ] = None,
    recent: Annotated[
        int | None, typer.Option(help="Only so many eras, the last scored ones.", min=1)
    ] = None,
    report: options.Report = False,
    top: options.Top = 20,
    cluster: options.Address = None,
    workers: options.Workers = None,
) -> None:
    """Evaluate models over eras: each score's summary on standard output, all tables with -o."""
    from mmc_gpu.api import evaluate as evaluated
    from mmc_gpu.cli.evaluation import show_evaluation, show_faults
    from mmc_gpu.cli.runs import blocks_beside
    from mmc_gpu.cli.terminal import progress_bars, say, show_notes
    from mmc_gpu.engines import load_engine
    from mmc_gpu.eras.columns import choose_columns
    from mmc_gpu.eras.evaluation import EVERY_MODEL
    from mmc_gpu.files.eras import entries_of, open_eras
    from mmc_gpu.files.joined import join
    from mmc_gpu.files.results.eras import write_evaluation
    from mmc_gpu.files.results.receipt import REPORT
    from mmc_gpu.files.writing.tables import table_rows

    if output is None:
        options.refuse("needs a folder: -o", report=report, format=format_ != "parquet")
    else:
        _check_output(file, output)
    if (feature_set is not None and features is None) or (features is not None and feature):
        raise typer.BadParameter("--feature-set needs --features, which excludes --feature")
    how: dict[str, Any] = {
        "era": era,
        "target": [name for name in (target or ["target"]) if name],
        "models": model,
        "meta_model": meta_model,
        "benchmarks": benchmark or (),
        "features": feature or (),
        "benchmark_stakes": _stakes(benchmark_stake),
        "metrics": metric,
        "ids": ids,
        "eras": eras,
        "every": every,
        "data_type": data_type,
        "missing": missing,
    }
    asked = how | {"predictions": predictions, "feature_set": feature_set}
    asked |= {} if features is None else {"features": str(features)}
    keep = None if output is None else blocks_beside(output)
    where = options.cluster_of(cluster, workers, threads, keep)
    with progress_bars() as progress:
        source = open_eras(file, era, ids)
        joined = join(
            source, era, ids, predictions, model, meta_model, benchmark, features or feature or (),
            feature_set,
        )  # fmt: skip
        how |= joined.columns
        columns = choose_columns(joined.source, era, ids, how["target"], **joined.columns)
        work = columns.work(joined.source.rows)
        loaded = load_engine(engine, threads, work) if where is None else engine
        evaluation = evaluated(
            joined.source, **how, engine=loaded, cluster=where, progress=progress
        ).compare(over, least, overlap, trials, recent)
    if output is not None:
        entries = entries_of(source, "data") + joined.inputs
        run = {"inputs": entries, "parameters": asked}
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
        raise typer.Exit(options.QUARANTINED)


def _stakes(given: list[str] | None) -> dict[str, str] | None:
    """Return what is staked behind benchmarks, from `NAME=NMR`."""
    found = {name: nmr for name, _, nmr in (text.rpartition("=") for text in given or ())}
    if len(found) < len(given or ()) or "" in found:
        raise typer.BadParameter("--benchmark-stake: once for each benchmark, NAME=NMR")
    return found or None


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
