"""Scoring a round into the folder of its result."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmc_gpu.engines import Engine
from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.places import Place
from mmc_gpu.files.formats.source import read_source
from mmc_gpu.files.results.changes import differences_of_files
from mmc_gpu.files.results.receipt import RECEIPT, REPORT, RoundReceipt, read_round_receipt
from mmc_gpu.files.results.rounds import ROUND_FILES, Format, write_results
from mmc_gpu.files.rounds.packed import is_packed
from mmc_gpu.files.rounds.read import RoundFiles, list_inputs, read_round, title_of
from mmc_gpu.files.rounds.series import list_series, score_with_files
from mmc_gpu.files.rounds.tournaments import Tournament
from mmc_gpu.files.writing.replace import DAYS, refuse_foreign
from mmc_gpu.files.writing.spool import DrawsOnDisk
from mmc_gpu.inputs.names import LONGEST_NAME, user_fault
from mmc_gpu.inputs.options import Missing, OnError, Progress, silent
from mmc_gpu.rounds.block_scores import Draws
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.round import Round
from mmc_gpu.rounds.scores import Scores
from mmc_gpu.rounds.scoring import score
from mmc_gpu.rounds.title import RoundTitle

if TYPE_CHECKING:
    from mmc_gpu.cluster.ray_pool import RayPool
    from mmc_gpu.cluster.round_blocks import RoundJob
    from mmc_gpu.cluster.shards import Shard


@dataclass(frozen=True)
class Run:
    """How rounds are scored and written."""

    method: Method
    engine: Engine | str  # what computes the scores; its name, where workers compute them
    missing: Missing = "error"  # missing predictions are a fault, or filled
    on_error: OnError = "quarantine"  # a user's fault leaves that user out, or fails the round
    # bytes for predictions that are read block by block; None for blocks of 24 MiB
    memory: int | None = None
    format_: Format = "parquet"  # of the table of scores
    save_draws: bool = False  # whether every user's score in every draw is written
    report: bool = False  # whether the page is written
    target: str | None = None  # the target that the page shows; None for the first
    pool: "RayPool | None" = None  # workers of a cluster that compute packed rounds, or None
    # of each worker's cpu engine; None for as many as a worker has cores
    threads: int | None = None
    partial: bool = False  # whether a round is scored whose targets are not all resolved
    name: str | None = None  # what the round is called; None for the name of its folder
    # the day of its targets; None for the day on which their file was written
    date: str | None = None
    keep_days: bool = False  # whether each day's result is kept in days/ of the result
    further: Sequence[str] = ()  # the names of further scores, each once
    # whose submissions they are; None to find it from the targets' columns
    tournament: Tournament | None = None

    def score(self, round_: Place, output: Path | None, progress: Progress = silent) -> Scores:
        """Score one round, and write the result if a folder for it is given.

        Raises:
            RoundError: the round cannot be scored, or the result not written.
            ValueError: there is too little memory for a block, or no such target.
        """
        scores, files = self.compute(round_, output, progress)
        if output is not None:
            self.write(output, scores, files)
        return scores

    def compute(
        self, round_: Place, output: Path | None, progress: Progress = silent
    ) -> tuple[Scores, RoundFiles]:
        """Score one round; return also what `write` needs besides. Fails as `score` does."""
        if output is not None:  # before the round is scored for nothing
            refuse_foreign(output, ROUND_FILES, RECEIPT)
        files = self.read(round_, progress)
        draws: Draws | bool = not is_packed(round_)
        if (self.save_draws or self.report) and not draws and output is not None:
            draws = self.draws_on_disk(files.round, output)
        if self.pool is not None:
            from mmc_gpu.cluster.rounds import score_in_blocks

            job, keep = self._job(files.round, bool(draws)), output and blocks_beside(output)
            scores = score_in_blocks(
                job, self.pool, keep=keep, on_error=self.on_error, draws=draws, progress=progress
            )
        else:
            assert not isinstance(self.engine, str)
            rows = None if self.memory is None else files.round.rows_within(self.memory)
            scores = score(
                files.round,
                self.method,
                self.engine,
                block_rows=rows,
                draws=draws,
                progress=progress,
            )
            scores.further, read = score_with_files(
                files.round, self.further, self.engine, None, progress, self.method.ties
            )
            files = files._replace(inputs=files.inputs + read)
        return scores, files

    def score_shard(
        self, round_: Place, shard: "Shard", work: Path, progress: Progress = silent
    ) -> str:
        """Compute a shard of a packed round's pass that is due, into a folder; return which."""
        from mmc_gpu.cluster.shards import run_shard

        checked = self.read(round_, progress).round
        return run_shard(self._job(checked, self.save_draws), shard, work, progress)

    def _job(self, round_: Round, draws: bool) -> "RoundJob":
        from mmc_gpu.cluster.round_blocks import RoundJob

        name = self.engine if isinstance(self.engine, str) else self.engine.name
        rows = None if self.memory is None else round_.rows_within(self.memory)
        how: Any = {"threads": self.threads, "draws": draws, "partial": self.partial}
        return RoundJob.of(round_, self.method, name, rows=rows, **how)

    def read(self, round_: Place, progress: Progress = silent) -> RoundFiles:
        """Return a round, read with this run's options, and the files it was read from."""
        blend = self.method.blend
        files = read_round(round_, blend=blend, progress=progress, **self._options())
        title = files.round.title
        assert title is not None
        if self.name and user_fault(self.name):  # it names files of a history
            raise ValueError(f"--name is printable, in normal form C, at most {LONGEST_NAME} long")
        title = RoundTitle.of(self.name or title.round, self.date or title.date)
        if self.keep_days and title.date is None:
            raise ValueError(f"{round_}: no day of its targets is known; name it with --date")
        return files._replace(round=replace(files.round, title=title))

    def draws_on_disk(self, round_: Round, output: Path) -> DrawsOnDisk:
        """Return where every user's score in every draw goes while a large round is scored."""
        shape = (len(round_.targets), len(round_.users), self.method.draws)
        return DrawsOnDisk(output.absolute().parent, shape)

    def write(self, output: Path, scores: Scores, files: RoundFiles) -> None:
        """Write the result of a round, as this run's options say."""
        number = scores.target_number(self.target)
        assert files.round.title is not None
        scores.title = files.round.title  # of a cluster's scores, too
        write_results(
            output,
            scores,
            files.inputs,
            self._options(),
            self.format_,
            draws=self.save_draws,
            report=number if self.report else None,
            day=scores.title.date if self.keep_days else None,
        )

    def _options(self) -> dict[str, Any]:
        """Return how the round is read, as a receipt says it."""
        asked: dict[str, Any] = {"missing": self.missing, "on_error": self.on_error}
        asked |= {"partial": True} if self.partial else {}
        return asked | ({} if self.tournament is None else {"tournament": self.tournament})

    def is_finished(self, round_: Place, result: Path) -> bool:
        """Return whether a result fits the round as it is now, and has all that this run writes.

        The receipt alone is not believed: every input and every file of the result is hashed.
        """
        inputs = list_inputs(round_) + list_series(round_, self.further)
        if differences_of_files(result, inputs, self.method, self._options(), self.further):
            return False
        receipt = read_round_receipt(result)
        wanted = {f"scores.{self.format_}"} | ({"draws.parquet"} if self.save_draws else set())
        day = self.date or title_of(round_, inputs).date
        if self.date and (receipt.title is None or receipt.title.date != day):
            return False
        if self.keep_days and not (result / DAYS / str(day) / RECEIPT).is_file():
            return False
        return wanted <= receipt.files.keys() and (not self.report or self._has_page(receipt))

    def _has_page(self, receipt: RoundReceipt) -> bool:
        from mmc_gpu.report.rounds import page_shows

        page = receipt.folder / REPORT
        target = receipt.targets[0] if self.target is None else self.target
        return page.is_file() and page_shows(read_source(page).data, target)


def merge(
    round_: Path,
    work: Path,
    output: Path | None,
    on_error: OnError = "quarantine",
    format_: Format = "parquet",
) -> Scores | None:
    """Join the shards of a packed round: None after the first pass, the scores after the second.

    If a folder for the result is given, the result is written and the blocks are removed. The
    shards decide the options of the score, and whether draws are kept.

    Raises:
        RoundError: blocks are missing or of another round, or the result cannot be written.
    """
    from mmc_gpu.cluster.sealed import Store
    from mmc_gpu.cluster.shards import job_of_shards, merge_shards

    job = job_of_shards(work, round_)
    run = Run(
        job.method,
        job.engine,
        on_error=on_error,
        format_=format_,
        save_draws=job.draws,
        partial=job.partial,
    )
    files = run.read(round_)
    if getattr(files.round.predictions, "manifest", None) != job.manifest:
        raise RoundError("shards-differ", f"{work}: its shards are not of {round_} as it is now")
    draws = run.draws_on_disk(files.round, output) if job.draws and output is not None else False
    scores = merge_shards(job, work, draws)
    if scores is not None and output is not None:
        run.write(output, scores, files)
        Store(work, job.key).remove()
    return scores


def blocks_beside(output: Path) -> Path:
    """Return where the finished blocks of a result lie until it is written."""
    path = output.absolute()
    return path.with_name(f".{path.name}.blocks")
