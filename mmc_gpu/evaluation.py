"""Models over eras: every era's scores, what they amount to, and who has none where and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmc_gpu.arrays import Floats, Integers
from mmc_gpu.engines import Engine, load_engine
from mmc_gpu.era_board import Board, EraFault
from mmc_gpu.era_columns import USUAL_IDS, EraSource, Label, choose_columns
from mmc_gpu.errors import CODES
from mmc_gpu.frames import is_polars, make_frame
from mmc_gpu.summary import Summary, summarize

if TYPE_CHECKING:
    import pandas as pd

    from mmc_gpu.cluster import Cluster
    from mmc_gpu.plots import EvaluationPlots

_SHOWN_ROWS = 30


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of models over eras.

    Attributes:
        models: their names, benchmarks among them.
        benchmarks: those that the others are compared with.
        labels: the eras, ascending.
        scores: (eras, U) by the name of the score; NaN where there is none.
        missing: (eras, U) predictions missing.
        counted: (eras,) by name: rows, and rows without a target and so on.
        faulted: for each fault which scores it concerns.
        engine: what computed them.
        polars: whether tables are polars frames instead of pandas'.
    """

    models: list[str]
    benchmarks: list[str]
    labels: list[Label]
    scores: dict[str, Floats]
    missing: Integers
    counted: dict[str, Integers]
    faulted: dict[EraFault, list[str]]
    engine: str
    polars: bool = False

    @property
    def eras(self) -> Any:
        """Return one row an era and model: era, model, missing predictions, and every score."""
        return make_frame(self.columns("eras"), self.polars)

    @property
    def summary(self) -> Any:
        """Return one row a model and score; and one for each benchmark, of the differences.

        `against` is "" where the scores themselves are summarized, else the benchmark whose score
        is subtracted, era by era. The other columns are those of `Summary`.
        """
        return make_frame(self.columns("summary"), self.polars)

    @property
    def faults(self) -> Any:
        """Return who has no score where and why; "*" is every model."""
        return make_frame(self.columns("faults"), self.polars)

    @property
    def counts(self) -> Any:
        """Return one row an era: how many rows it has, and how many lack what."""
        return make_frame(self.columns("counts"), self.polars)

    def to_pandas(self) -> "pd.DataFrame":
        """Return the summary as pandas' frame."""
        import pandas as pd

        return pd.DataFrame(self.columns("summary"))

    def columns(self, table: str) -> dict[str, Any]:
        """Return the columns of a table by name: eras, summary, faults or counts."""
        if table == "summary":
            return self._summary
        if table == "counts":
            return {"era": self.labels, **self.counted}
        if table == "faults":
            return {
                "era": [fault.era for fault in self.faulted],
                "model": [fault.model for fault in self.faulted],
                "scores": [", ".join(names) for names in self.faulted.values()],
                "code": [fault.code for fault in self.faulted],
                "detail": [fault.detail for fault in self.faulted],
                "remedy": [CODES[fault.code].remedy for fault in self.faulted],
            }
        return {
            "era": [label for label in self.labels for _ in self.models],
            "model": self.models * len(self.labels),
            "missing": self.missing.reshape(-1),
            **{name: scores.reshape(-1) for name, scores in self.scores.items()},
        }

    @cached_property
    def _summary(self) -> dict[str, Any]:
        rows: list[tuple[str, str, str, Summary]] = []
        for name, scores in self.scores.items():
            for model, own in zip(self.models, scores.T, strict=True):
                rows.append((model, name, "", summarize(own)))
                for benchmark in self.benchmarks:
                    if benchmark != model:
                        theirs = scores[:, self.models.index(benchmark)]
                        rows.append((model, name, benchmark, summarize(own - theirs)))
        models, names, against, found = zip(*rows, strict=True)
        columns = {"model": list(models), "score": list(names), "against": list(against)}
        statistics = zip(Summary._fields, zip(*found, strict=True), strict=True)
        return columns | {name: np.array(values) for name, values in statistics}

    def order(self, score: str) -> Integers:
        """Return the models' places from the best mean of a score to the worst; unscored last."""
        present = ~np.isnan(self.scores[score])
        sums = np.where(present, self.scores[score], 0.0).sum(axis=0)
        means = np.where(present.any(axis=0), sums / np.maximum(present.sum(axis=0), 1), -np.inf)
        return np.argsort(-means, kind="stable")

    @property
    def plot(self) -> "EvaluationPlots":
        """Return what draws these scores with matplotlib: `evaluation.plot.cumulative()`."""
        from mmc_gpu.plots import EvaluationPlots

        return EvaluationPlots(self)

    def report(self, path: str | Path) -> Path:
        """Write these scores as one HTML page, to look at in a browser; it needs no network.

        Args:
            path: the file; one of that name is replaced.

        Returns:
            The file.

        Raises:
            RoundError: the file cannot be written.
        """
        from mmc_gpu.files.evaluations import make_receipt
        from mmc_gpu.files.writing import replace_file
        from mmc_gpu.report.evaluation_report import evaluation_page

        page = evaluation_page(self, make_receipt(self))
        replace_file(Path(path), lambda file: file.write(page))
        return Path(path)

    def describe(self) -> str:
        """Return in one line what was evaluated and how."""
        text = (
            f"{len(self.models):,} models, {len(self.labels):,} eras,"
            f" {int(self.counted['rows'].sum()):,} rows, engine {self.engine}"
        )
        absent = sum(int(np.isnan(scores).sum()) for scores in self.scores.values())
        return text + (f", {absent:,} scores missing" if absent else "")

    def __repr__(self) -> str:
        """Return what was evaluated."""
        return f"<Evaluation: {self.describe()}>"

    def _repr_html_(self) -> str:
        """Return the top of the summary for a notebook, every name escaped."""
        columns = self.columns("summary")
        head = "".join(f"<th>{escape(name)}</th>" for name in columns)
        rows = range(min(_SHOWN_ROWS, len(columns["model"])))
        body = "".join(
            f"<tr>{''.join(f'<td>{_cell(values[row])}</td>' for values in columns.values())}</tr>"
            for row in rows
        )
        return (
            f"<p>{escape(self.describe())}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def evaluate(
    frame: Any,
    *,
    era: Any = "era",
    target: Any = "target",
    models: Sequence[Any] | None = None,
    meta_model: Any = None,
    benchmarks: Sequence[Any] = (),
    features: Sequence[Any] = (),
    metrics: Sequence[str] | None = None,
    ids: Any = USUAL_IDS,
    engine: str | Engine = "auto",
    cluster: "str | Cluster | None" = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """Return every model's scores in every era, and their summary.

    A row without a target is left out of its era for everybody, where a metric needs the target.
    A model that misses a prediction has no score in that era: nothing is filled. Rows without a
    meta model, a benchmark or a feature are left out of the metrics that need it, up to a fifth of
    the era's (36 % for contributions, as numerai-tools has it). All of it is counted, and every
    score that is missing is explained, but for the churn of the first era.

    Metrics, with what they need besides the target:
        corr: `numerai_corr`.
        mmc: `correlation_contribution` to the meta model.
        bmc: the same to the mean of the benchmarks' ranks.
        bmc_each: the same to each benchmark, `bmc_NAME`.
        fnc: `feature_neutral_corr` on the features.
        corr20: `tie_broken_rank_correlation`.
        spearman: `spearman_correlation`.
        cwmm: correlation with the meta model; no target.
        corr_with: Spearman with each benchmark, `corr_with_NAME`; no target.
        max_feature_exposure: largest absolute correlation with a feature; no target.
    Only where they are named:
        neutral_corr: `neutral_correlation` on the features.
        neutral_mmc: `neutral_contribution` to the meta model, on the features.
        mcwnm: largest correlation with another model; no target.
        apcwnm: mean correlation with the other models; no target.
        churn: 1 - Spearman with the era before, over the ids in both; no target.

    Args:
        frame: pandas, or anything with an Arrow stream (polars, pyarrow, duckdb), rows in any
            order; or the path of a Parquet file sorted by era, of any size, or of a CSV file.
        era: name of the column; numbers within text count as numbers, so that era9 is before era10.
        target: name of the column, or None.
        models: columns of predictions, or patterns (`"prediction_*"`); by default the columns of
            floating-point numbers that are nothing else, nor a feature or target by their name.
        meta_model: name of its column.
        benchmarks: columns or patterns; they are scored too, and the others compared with them.
        features: columns or patterns (`"feature_*"`).
        metrics: names; by default all of the first list that there is data for.
        ids: name of the stocks' column. "id" need not be there: then pandas' index has the ids, in
            Parquet too, or nobody. Ties break, and sums are taken, in the order of ids.
        engine: its name, or an engine.
        cluster: "local", the address of a Ray cluster, or a `Cluster`: the same scores from many
            workers, each with an engine of that name. For files whose path is the same on every
            machine, best with row groups of a few eras; needs the extra `ray`.
        progress: called with "evaluate", eras done, and eras in all.

    Raises:
        RoundError: the data cannot be read, or a column is not there.
        ValueError: a metric is unknown, or lacks data.
    """
    if isinstance(metrics, str):
        raise ValueError(f"metrics: give a list of names, not {metrics!r}")
    source = _source(frame, era, ids)
    columns = choose_columns(source, era, ids, target, meta_model, benchmarks, features, models)
    labels = source.labels(era)
    board = Board(columns, None if metrics is None else tuple(metrics), labels)

    def report(done: int) -> None:
        if progress is not None:
            progress("evaluate", done, len(labels))

    if cluster is not None:
        from mmc_gpu.cluster.eras import evaluate_on_cluster

        name = evaluate_on_cluster(source, board, engine, cluster, report)
    else:
        loaded = load_engine(engine)
        name = loaded.name
        board.score(source, 0, loaded, report)
    return Evaluation(
        models=[str(name) for name in columns.models],
        benchmarks=[str(name) for name in columns.benchmarks],
        labels=labels,
        scores=board.scores,
        missing=board.missing,
        counted=board.counted,
        faulted=board.faulted,
        engine=name,
        polars=is_polars(frame),
    )


def _cell(value: Any) -> str:
    return escape(value) if isinstance(value, str) else f"{value:.6g}"


def _source(frame: Any, era: Any, ids: Any) -> EraSource:
    if isinstance(frame, EraSource):
        return frame
    if isinstance(frame, str | PathLike):
        from mmc_gpu.files.eras import open_eras

        return open_eras(Path(frame), era, ids)
    from mmc_gpu.era_frames import FrameEras

    return FrameEras(frame)
