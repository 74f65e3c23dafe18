"""What `import mmc_gpu` gives: scores with a face, and the functions that make them.

The rooms below know numbers and digests. Here they get tables in the caller's kind, plots, pages,
and how they show in a notebook.

Longer than other files: the docstrings of the two functions are the public reference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmc_gpu.engines import Engine, Ties, load_engine
from mmc_gpu.engines.arrays import value_count
from mmc_gpu.eras.columns import USUAL_IDS, EraSource, choose_columns
from mmc_gpu.eras.evaluation import EraScores
from mmc_gpu.eras.metrics import BOOTSTRAP, METRICS, ROUND_METRICS, round_metrics
from mmc_gpu.errors import shown, whole
from mmc_gpu.inputs.beside import note_beside
from mmc_gpu.inputs.frames import is_polars, make_frame
from mmc_gpu.inputs.names import listed
from mmc_gpu.inputs.notebook import progress_of
from mmc_gpu.inputs.options import LEAVE_ONE_OUT, Missing, OnError, Progress, check_option
from mmc_gpu.metrics.summary import correlations, rolling_mean
from mmc_gpu.rounds.further import FurtherScores
from mmc_gpu.rounds.method import SCALE, Blend, Method
from mmc_gpu.rounds.round import Round, as_round
from mmc_gpu.rounds.scores import Scores
from mmc_gpu.rounds.scoring import score

if TYPE_CHECKING:
    import pandas as pd

    from mmc_gpu.cluster import Cluster
    from mmc_gpu.files.rounds.tournaments import Tournament
    from mmc_gpu.report.plots import EvaluationPlots, RoundPlots

_SHOWN_USERS = 10
_SHOWN_ROWS = 30


@dataclass(eq=False, repr=False)
class RoundScores(Scores):
    """The scores of every user of a round; users in canonical order: stakers first, then by name.

    `table` has one row a user, best first; `report` writes a page, `plot` draws. The attributes
    are those of `Scores`, and:

    Attributes:
        polars: whether `table` is a polars frame instead of pandas'.
    """

    polars: bool = False

    @classmethod
    def of(cls, scores: Scores, polars: bool = False) -> "RoundScores":
        """Return scores that were computed below, with a face."""
        return cls(**vars(scores), polars=polars)

    @property
    def table(self) -> Any:
        """Return one row a user, best first, NaN last; with several targets a `target` column.

        `rank_low` and `rank_high` are the ends of an interval that holds 90 % of the ranks that
        other draws would give; None where draws are lacking.

        A polars frame where the predictions were one, else pandas'.
        """
        return make_frame(self.columns(), self.polars)

    def to_pandas(self) -> "pd.DataFrame":
        """Return `table` as pandas' frame, whatever the predictions were."""
        return make_frame(self.columns(), polars=False)

    @property
    def draws_table(self) -> Any:
        """Return each user's MMC in every draw, in the order of `table`: a labelled frame.

        Columns `user`, `draw_0`, `draw_1`, ...; with several targets a `target` column. The arrays
        `draws`, `mmc`, `stakes` and the others are in canonical order instead, that of `users`.

        Raises:
            ValueError: the draws were not kept.
        """
        from mmc_gpu.files.results.rounds import draws_table

        return make_frame(draws_table(self), self.polars)

    @property
    def meta_model(self) -> Any:
        """Return the meta model of the full stakes: id, blend, rank; ValueError if read back."""
        if self.meta_models is None:
            raise ValueError("a result that is read back has no meta model; score its round again")
        return make_frame(self.meta_models.columns(), self.polars)

    def identical(self) -> list[list[str]]:
        """Return the page's groups of users whose submissions rank alike, the best group first."""
        from mmc_gpu.report.rounds import group_numbers

        numbers = group_numbers(self, order := self.order())
        groups = range(1, int(numbers.max()) + 1)
        return [[self.users[user] for user in order[numbers == group]] for group in groups]

    @property
    def further_faults(self) -> Any:
        """Return why further scores are missing: a row for each target, user ("*": all), reason."""
        further = self.further or FurtherScores([], {}, {})
        return make_frame(further.fault_columns(), self.polars)

    @property
    def plot(self) -> "RoundPlots":
        """Return what draws these scores with matplotlib: `scores.plot.mmc()`."""
        from mmc_gpu.report.plots import RoundPlots

        return RoundPlots(self)

    def report(self, path: str | Path, target: str | None = None) -> Path:
        """Write these scores as one HTML page, which needs no network, and return its path.

        A file of that name is replaced. The page begins with this target, by default the first.

        Raises:
            ValueError: there is no such target.
            RoundError: the file cannot be written.
        """
        from mmc_gpu.files.results.rounds import make_receipt
        from mmc_gpu.files.writing.replace import write_file
        from mmc_gpu.report.rounds import round_page

        return write_file(path, round_page(self, make_receipt(self), self.target_number(target)))

    def summary(self) -> str:
        """Return what `describe` does, by its name of version 0.1."""
        return self.describe()

    def _repr_html_(self) -> str:
        """Return the top of the table for a notebook, every name escaped."""
        from mmc_gpu.report.page import html_table

        return html_table(self.describe(), self.columns(), _SHOWN_USERS)


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(EraScores):
    """Scores of models over eras: tables, plots and a page.

    The attributes are those of `EraScores`, and:

    Attributes:
        polars: whether tables are polars frames instead of pandas'.
    """

    polars: bool = False

    @property
    def table(self) -> Any:
        """Return one row a model, the best in the first score first, and one column a score.

        A score's column has the mean over `eras` (of other scores than the first: `eras_NAME`). All
        models that are compared have the same eras, see `compare`. Those with too few stand below:
        `note` says so, and they have no `rank`. Nor have benchmarks and the meta model, whose own
        score stands beside the models'; `kind` says what a row is.
        """
        return make_frame(self.columns("table"), self.polars)

    @property
    def uncertainty(self) -> Any:
        """Return how far means and Sharpe ratios can be trusted: a row for each `summary` has.

        Over the eras of `table`; differences (`against`) over the eras that both models have. The
        columns are those of `mmc_gpu.metrics.uncertainty.Estimates` and `deflated_sharpe`.
        """
        return make_frame(self.columns("uncertainty"), self.polars)

    def against(self, model: str, *, score: str | None = None, target: str | None = None) -> Any:
        """Return how far the others differ from one model, over the eras that both have.

        One row a model, best first; the columns are those of `uncertainty`. `eras_needed` is how
        many eras it takes to tell the two apart.

        Args:
            model: whose score is subtracted.
            score: its name; by default the first.
            target: its name; by default the first.

        Raises:
            ValueError: there is no such model, score or target.
        """
        if model not in self.models:
            raise ValueError(f"no model {shown([model])} in this evaluation")
        one = self.standing(score, target)
        places = [at for at in (*one.order, *one.few) if self.models[at] != model]
        columns = {"model": [self.models[at] for at in places]}
        found = {name: values[places] for name, values in one.against(model)._asdict().items()}
        return make_frame(columns | found | {"eras": found["eras"].astype(int)}, self.polars)

    def rolling(
        self, eras: int = 20, *, score: str | None = None, target: str | None = None
    ) -> Any:
        """Return a score's mean over each era and those before it: a row an era, a column a model.

        NaN where fewer than half of so many `eras` have the score of that name and target, by
        default the first.

        Raises:
            ValueError: there is no such score or target, or eras is below 1.
        """
        means = rolling_mean(self.standing(score, target).scores, whole("eras", eras)).T
        columns = {"era": self.labels, **dict(zip(self.models, means, strict=True))}
        return make_frame(columns, self.polars)

    def correlations(self, *, score: str | None = None, target: str | None = None) -> Any:
        """Return how alike models' scores go from era to era: Pearson, a row and a column a model.

        Each two over the eras that both have; of one score on one target, by default the first.

        Raises:
            ValueError: there is no such score or target.
        """
        found = correlations(self.standing(score, target).scores)
        columns = {"model": self.models, **dict(zip(self.models, found, strict=True))}
        return make_frame(columns, self.polars)

    @property
    def eras(self) -> Any:
        """Return one row for each target, era and model: missing predictions, every score."""
        return make_frame(self.columns("eras"), self.polars)

    @property
    def summary(self) -> Any:
        """Return one row for each target, model and score, and one for each benchmark's difference.

        `against` names the benchmark whose score is subtracted, era by era; it is "" where the
        score itself is summarized. The other columns are those of `Summary`.
        """
        return make_frame(self.columns("summary"), self.polars)

    @property
    def faults(self) -> Any:
        """Return why scores are missing: a row for each target, era, model ("*": all), reason."""
        return make_frame(self.columns("faults"), self.polars)

    @property
    def counts(self) -> Any:
        """Return one row for each target and era: its rows, and how many lack a target, ..."""
        return make_frame(self.columns("counts"), self.polars)

    def to_pandas(self) -> "pd.DataFrame":
        """Return `summary` as a pandas frame, whatever the data was."""
        return make_frame(self.columns("summary"), polars=False)

    @property
    def plot(self) -> "EvaluationPlots":
        """Return what draws these scores with matplotlib: `evaluation.plot.cumulative()`."""
        from mmc_gpu.report.plots import EvaluationPlots

        return EvaluationPlots(self)

    def report(self, path: str | Path, target: str | None = None) -> Path:
        """Write these scores as one HTML page, which needs no network, and return its path.

        A file of that name is replaced. The page begins with this target, by default the first.

        Raises:
            ValueError: there is no such target.
            RoundError: the file cannot be written.
        """
        from mmc_gpu.files.results.eras import make_receipt
        from mmc_gpu.files.writing.replace import write_file
        from mmc_gpu.report.eras import evaluation_page

        return write_file(path, evaluation_page(self, make_receipt(self), target))

    def _repr_html_(self) -> str:
        """Return the top of the table for a notebook, every name escaped."""
        from mmc_gpu.report.page import html_table

        table = self.columns("table")
        for name in self.scores:
            table[name] = [f"{mean:.5f}" if mean == mean else None for mean in table[name]]
            table.pop(f"eras_{name}", None)  # the sentences say it
        if not any(table["note"]):
            del table["note"]
        return html_table("; ".join([self.describe(), *self.sentences()]), table, _SHOWN_ROWS)


def score_round(
    predictions: Any,
    stakes: Any = None,
    targets: Any = None,
    *,
    ids: Any = None,
    users: Any = None,
    draws: int = 20,
    sample: float = 0.67,
    seed: int = 0,
    ties: Ties = "first",
    blend: Blend = "raw",
    scale: float = SCALE,
    missing: Missing = "error",
    on_error: OnError = "fail",
    engine: str | Engine = "auto",
    cluster: "str | Cluster | None" = None,
    progress: Progress | None = None,
    scores: Sequence[str] = (BOOTSTRAP,),
    benchmarks: Any = None,
    features: Any = None,
    neutralizers: Any = None,
    weights: Any = None,
) -> RoundScores:
    """Return the bootstrap MMC, CORR and more of every user of a round.

    Equal inputs and options give the same bits on every engine, in any order of rows and columns.

    Args:
        predictions: a pandas DataFrame (index: stock ids, one column a user), anything with an
            Arrow stream (polars, pyarrow, duckdb) with an `id` column, or a (stocks, users) array.
            A `Round` (see `open_round`) has its stakes and targets, and has been checked: stakes,
            targets, ids, users and missing are then refused.
        stakes: user to NMR as a mapping, a Series or a frame (user, stake); or a (users,) array.
            Users without a stake are scored, but never drawn.
        targets: a Series (index: ids), a frame with one column a target, or a (stocks,) array.
            Its ids are the stocks of the round. Several targets cost one pass.
        ids: for arrays, the stocks' ids; without them rows are in order as they stand.
        users: for arrays, the users' names; without them columns are in order as they stand.
        draws: how many draws of stakers are averaged.
        sample: share of the stakers picked a draw, with replacement; above 0, at most 1.
        seed: which sequence of draws, 0 to 2**64 - 1.
        ties: equal predictions rank in order of the ids ("first") or share their rank ("average").
        blend: what is blended by stake: predictions as submitted ("raw") or ranks ("ranked").
        scale: what the covariance is divided by; the published scores fit 1/12.
        missing: missing predictions are an error ("error"), or become the lower median of the
            user's present ones ("fill", up to 20 % of the stocks).
        on_error: a user's first fault fails the round ("fail"), or keeps that user alone out
            ("quarantine").
        engine: "numpy", "cpu", "gpu", "auto" (the one that is done first), or an engine.
        cluster: "local", the address of a Ray cluster, or a `Cluster`: the same scores from many
            workers, each with an engine of that name. For packed rounds (`open_round`) whose path
            is the same on every machine; needs the extra `ray`.
        progress: called as the passes proceed; a notebook shows them if there is none.
        scores: names of further scores, which become columns of `table` behind those of the
            bootstrap, which is always computed. Their meta model is the stake-weighted one of the
            round. In brackets what else they need:
            {scores}
        benchmarks: a frame with ids, one column a benchmark; if the round has no ids, an (ids,
            benchmarks) array. A round from a folder has a file of this name, or of the next three.
        features: as benchmarks, one column a feature.
        neutralizers: as benchmarks, one column a neutralizer.
        weights: as benchmarks, one column: the stocks' sample weights.

    Returns:
        The scores, users in canonical order.

    Raises:
        RoundError: the round cannot be scored; it has a code, a place and a remedy.
        EngineUnavailable: the named engine cannot run here.
        ValueError: an option is out of its range.

    Source: docs.numer.ai/tournament/metamodel-contribution (as of 2020).
    """
    progress = progress_of(progress)
    method = Method(draws, sample, seed, ties, blend, scale)
    scores = scores if isinstance(scores, str) else listed(scores, "scores")
    further = bool(round_metrics(scores)) or LEAVE_ONE_OUT in scores
    if further and cluster is not None:
        raise ValueError("scores: a cluster computes the bootstrap alone")
    round_ = predictions
    if cluster is None or isinstance(predictions, Round):
        how = {"ids": ids, "users": users, "missing": missing, "on_error": on_error}
        round_ = as_round(predictions, stakes, targets, blend=blend, **how)
    if cluster is not None:
        from mmc_gpu.cluster.rounds import score_on_cluster

        return RoundScores.of(score_on_cluster(round_, method, engine, cluster, on_error, progress))
    loaded = load_engine(engine, work=value_count(round_.predictions))
    found = score(round_, method, loaded, progress=progress)
    if further:
        from mmc_gpu.files.rounds.folder import SERIES
        from mmc_gpu.files.rounds.series import score_with_files

        given = dict(zip(SERIES, (benchmarks, features, neutralizers, weights), strict=True))
        found.further, _ = score_with_files(round_, scores, loaded, given, progress, ties)
    return RoundScores.of(found, is_polars(predictions))


score_round.__doc__ = (score_round.__doc__ or "").format(
    scores="\n            ".join(metric.round_line for metric in ROUND_METRICS.values())
)


def evaluate(
    frame: Any,
    *,
    predictions: Any = None,
    era: Any = "era",
    target: Any = "target",
    models: Sequence[Any] | None = None,
    meta_model: Any = None,
    benchmarks: Any = (),
    benchmark_stakes: Any = None,
    features: "Sequence[Any] | str | PathLike[str]" = (),
    feature_set: str | None = None,
    metrics: "Sequence[str | Callable[..., Any]] | None" = None,
    ids: Any = USUAL_IDS,
    eras: str | Sequence[Any] | None = None,
    every: int = 1,
    data_type: str | None = None,
    missing: Missing = "error",
    engine: str | Engine = "auto",
    cluster: "str | Cluster | None" = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Return every model's scores in every era, and their summary.

    If a metric needs the target, rows without a target are left out for every model. If it needs a
    meta model, a benchmark or a feature, rows without that value are left out too, up to a fifth of
    an era's rows (36 % for contributions, as in numerai-tools). A model that misses a prediction
    has no score in that era, unless `missing` is "fill". `Evaluation.counts` has how many rows lack
    what, and `Evaluation.faults` explains every missing score, except the churn of the first era.

    Metrics (the rows of `mmc_gpu.eras.metrics.METRICS`), and in brackets what they need:
        {metrics}

    Predictions, meta model and benchmarks may stand in files and frames of their own: paths of
    Parquet or CSV files, or of folders of their parts; pandas, polars, Arrow. They are joined by
    id, and by era where they have eras (`0857`, era857 and 857 are the same); rows in any order,
    ids in the index or in a column. `Evaluation.notes` counts what is left out. A file that shares
    fewer than half of its ids with the data is refused. Text that names a column of the data is
    that column, not a path. Arrays (NumPy's, or any library's, on a GPU too, from where they are
    copied once) have a number for each row of the data, in its order.

    Args:
        frame: pandas, or anything with an Arrow stream (polars, pyarrow, duckdb), rows in any
            order; or the path of a Parquet file, of any size and fastest where it is sorted by era,
            of a CSV file, or of a folder of parts.
        predictions: a path, a pattern of paths, a frame, Series or array, a list of these, or a
            mapping from names to these. A file with one column of predictions is a model that is
            called as the mapping says, else as the file; in a wide one each column of numbers is a
            model, except row numbers and what begins with "feature" or "target". Columns of an
            array are called NAME_0, NAME_1, ...
        era: name of the column; numbers within text count as numbers, so that era9 is before era10.
        target: name of the column, or None; or a list of columns and patterns (`"target_*"`), whose
            scores cost one pass and are those of an evaluation each.
        models: columns of predictions, or patterns (`"prediction_*"`); by default all columns of
            floating-point numbers that no other argument names, except those whose name begins
            with "feature" or "target"; and none where `predictions` are given.
        meta_model: name of a column; or a path, frame, Series or array that has it; or None.
        benchmarks: columns or patterns, and paths, frames and so on as in `predictions`. Benchmarks
            get scores, and other models are compared with them.
        benchmark_stakes: benchmark to NMR, a mapping or Series: bmc is then the contribution to
            their stake-weighted mean, as on the leaderboard. By default to the mean of their ranks.
        features: columns or patterns (`"feature_*"`); or the path of Numerai's features.json.
        feature_set: which set of features.json.
        metrics: names; by default all that there is data for, without those only where named. Also
            functions of one's own, called `function(predictions, target)` for each era: a pandas
            frame (ids x models, those that miss no prediction) and a Series, rows with a target,
            ids ascending. They return a number for each model: a Series or mapping by name, or an
            array. NaN is a missing score; what a function raises ends the evaluation.
        ids: name of the column of the stocks' ids. If the data has no column "id", the ids are
            those of pandas' index, in Parquet too; without one there are no ids. Ties are broken,
            and sums are added, in the order of the ids.
        eras: "0857:0961", both included, of which one may be lacking; "last:200", the last ones of
            those that have a target; one era, a date too; or a list of eras. None for all.
        every: 4 for every fourth of these eras, from the first.
        data_type: only rows with this value in the column `data_type`.
        missing: a model that misses a prediction has no score in that era ("error"); or its
            predictions there become ranks from 0 to 1, and the missing ones 0.5 ("fill"), as
            numerai-tools does it.
        engine: its name, or an engine.
        cluster: "local", the address of a Ray cluster, or a `Cluster`: many workers, each with an
            engine of that name, compute the same scores. The data must be one file, sorted by era,
            whose path is the same on every machine, best with row groups of a few eras; a cluster
            joins no files and chooses no eras. Needs the extra `ray`.
        progress: called with "evaluate", eras done, and eras in all; a notebook shows it if there
            is none.

    Raises:
        RoundError: the data cannot be read, a column, an era or a feature set is not there, two
            models have the same name, or files share few ids.
        ValueError: a metric is unknown, or lacks data.
    """
    if isinstance(metrics, str) or callable(metrics):
        raise ValueError(f"metrics: give a list of names, not {metrics!r}")
    metrics = None if metrics is None else listed(metrics, "metrics")
    check_option("missing", missing, Missing)
    from mmc_gpu.eras.board import Board  # pandas: 0.3 s that an import can do without
    from mmc_gpu.eras.chosen import ChosenEras
    from mmc_gpu.eras.places import one_spelling
    from mmc_gpu.files.joined import join

    progress = progress_of(progress)
    source, names, _ = join(
        _source(frame, era, ids), era, ids, predictions, models, meta_model, benchmarks, features,
        feature_set,
    )  # fmt: skip
    columns = replace(choose_columns(source, era, ids, target, **names), fill=missing == "fill")
    if benchmark_stakes is not None:
        columns = columns.staked(benchmark_stakes)
    notes = [*source.notes]
    chosen: Any = source
    every = whole("every", every)
    if eras is not None or every > 1 or data_type is not None:
        chosen = ChosenEras(source, columns, eras, every, data_type)
        notes += chosen.notes
    labels = one_spelling(chosen.labels(era), source.place)
    taken = {*columns.numeric, columns.ids, era}
    aside = {name: what for name, what in source.aside.items() if name not in taken}
    board = Board(columns, metrics, labels)
    if cluster is not None:
        from mmc_gpu.cluster.eras import evaluate_on_cluster

        name = evaluate_on_cluster(chosen, board, engine, cluster, progress)
    else:
        loaded = load_engine(engine, work=columns.work(source.rows))
        name = loaded.name
        board.score(chosen, 0, loaded, progress)
    board.refuse_faulty_ids()
    notes += note_beside(source.place, aside, "name a column in models= to score it")
    if columns.fill and (filled := int(board.missing.sum())):
        notes.append(f"missing='fill': {filled:,} predictions, 0.5 among the ranks of the others")
    return Evaluation(
        models=[str(name) for name in columns.models],
        benchmarks=[str(name) for name in columns.benchmarks],
        targets=board.targets,
        labels=labels,
        scores=board.scores,
        missing=board.missing,
        meta_model=board.meta_model,
        counted=board.counted,
        faulted=board.faulted,
        engine=name,
        notes=tuple(notes),
        polars=is_polars(frame),
    )


evaluate.__doc__ = (evaluate.__doc__ or "").format(
    metrics="\n        ".join(metric.line for metric in METRICS.values())
)


def _source(frame: Any, era: Any, ids: Any) -> EraSource:
    if isinstance(frame, EraSource):
        return frame
    if isinstance(frame, str | PathLike):
        from mmc_gpu.files.eras import open_eras

        return open_eras(Path(frame), era, ids)
    from mmc_gpu.eras.frames import FrameEras

    return FrameEras(frame, eras=[era])


def open_round(
    folder: str | Path,
    *,
    missing: "Missing" = "error",
    on_error: "OnError" = "fail",
    blend: "Blend" = "raw",
    partial: bool = False,
    tournament: "Tournament | None" = None,
) -> "Round":
    """Return the round in a folder, checked; `score_round` takes it.

    A packed round's predictions stay on disk and are read block by block.

    Args:
        folder: a round as `mmc-gpu score` takes it, packed or not; of a packed one a URI too, such
            as s3://bucket/round.
        missing: missing predictions are an error, or become the lower median of the user's present
            ones ("fill"); of a packed round decided when it was packed, as its tournament.
        on_error: a user's fault fails the round, or ("quarantine") keeps that user out of it.
        blend: what it will be scored with; stakers of a raw blend must keep to [0, 1].
        partial: leave out targets that no stock has yet, then stocks that lack one of the others;
            else a round without all of its targets is an error.
        tournament: "signals" or "crypto"; None to find it from the names of the targets' columns.

    Raises:
        RoundError: the round cannot be read or used; or (target-waiting) its targets are not there.
        OSError: the object storage that a URI names cannot be reached.
    """
    from mmc_gpu.files.formats.places import place_of
    from mmc_gpu.files.rounds.read import read_round  # pyarrow: 0.1 s that an import can spare

    return read_round(
        place_of(folder),
        missing=missing,
        on_error=on_error,
        blend=blend,
        partial=partial,
        tournament=tournament,
    ).round
