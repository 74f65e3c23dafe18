"""Models over eras: evaluate."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmc_gpu.cli.options import (
    QUARANTINED,
    Cluster,
    Engine,
    Report,
    Threads,
    Top,
    Workers,
    cluster_of,
)
from mmc_gpu.errors import RoundError

if TYPE_CHECKING:
    from mmc_gpu.api import Evaluation
    from mmc_gpu.cluster import Cluster as RayCluster
    from mmc_gpu.engines import Engine as Computing
    from mmc_gpu.inputs.options import Progress


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
    from mmc_gpu.cli.runs import blocks_beside
    from mmc_gpu.cli.terminal import progress, say, show_evaluation, show_faults
    from mmc_gpu.engines import load_engine
    from mmc_gpu.eras.board import EVERY_MODEL
    from mmc_gpu.files.results.receipt import REPORT

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
    where = cluster_of(cluster, workers, threads, None if output is None else blocks_beside(output))
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
    show_faults(evaluation, output)
    if output is not None:
        say(f"results in {output}")
        if report:
            say(f"open {output / REPORT} in a browser")
    say(evaluation.describe())
    if any(fault.model != EVERY_MODEL for fault in evaluation.faulted):
        raise typer.Exit(QUARANTINED)


def evaluate_file(
    path: Path,
    folder: Path | None,
    format_: Literal["parquet", "csv"],
    parts: Mapping[str, Any],
    engine: "Computing | str",
    progress: "Progress | None" = None,
    report: bool = False,
    cluster: "RayCluster | None" = None,
) -> "Evaluation":
    """Evaluate a file's models; write the tables, all of them or none.

    Args:
        path: of the file.
        folder: where the tables go; None for nowhere.
        format_: of the tables.
        parts: the other arguments of `evaluate`.
        engine: what computes; its name, where workers do.
        progress: as of `evaluate`.
        report: whether to write a page to look at.
        cluster: as of `evaluate`.

    Raises:
        RoundError: the file cannot be read, or the folder not written, or it holds other files.
    """
    from mmc_gpu.api import evaluate as evaluated
    from mmc_gpu.files.eras import open_eras
    from mmc_gpu.files.results.eras import ERA_FILES, write_evaluation
    from mmc_gpu.files.results.receipt import RECEIPT
    from mmc_gpu.files.writing.replace import refuse_foreign

    if folder is not None:  # before anything is evaluated for nothing
        if path.resolve().parent == folder.resolve():
            raise RoundError("output-foreign", f"{str(folder)!a} holds what is evaluated")
        refuse_foreign(folder, ERA_FILES, RECEIPT)
    source = open_eras(path, parts["era"], parts["ids"])
    evaluation = evaluated(source, **parts, engine=engine, cluster=cluster, progress=progress)
    if folder is not None:
        file = source.source
        inputs = {"file": path.name, "bytes": file.size, "sha256": file.sha256}
        run = {"inputs": [inputs], "parameters": dict(parts)}
        write_evaluation(folder, evaluation, format_, run, report)
    return evaluation
