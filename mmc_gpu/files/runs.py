"""Scoring rounds into results, folder by folder: one, or many that can be stopped and resumed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmc_gpu.engines import Engine
from mmc_gpu.errors import RoundError
from mmc_gpu.files.packed import is_packed
from mmc_gpu.files.results import REPORT, Format, write_results
from mmc_gpu.files.round_folder import RoundFiles, list_inputs, read_round
from mmc_gpu.files.spool import DrawsOnDisk
from mmc_gpu.files.verify import differences_of_files
from mmc_gpu.method import Method
from mmc_gpu.round import Missing, OnError, Round
from mmc_gpu.scores import Draws, RoundScores
from mmc_gpu.scoring import Progress, score

if TYPE_CHECKING:
    from mmc_gpu.cluster.blocks import Job
    from mmc_gpu.cluster.ray_pool import RayPool
    from mmc_gpu.cluster.shards import Shard


@dataclass(frozen=True)
class Run:
    """How rounds are scored and written.

    Attributes:
        method: the options of the score.
        engine: where it is computed; its name, where workers do.
        missing: missing predictions are a fault, or filled.
        on_error: a user's fault leaves that user out, or fails the round.
        memory: bytes for predictions that are read block by block; None for blocks of 24 MiB.
        format_: of the scores.
        save_draws: whether every user's score in every draw is written.
        report: whether a page to look at is written.
        target: whose page; None for the first target's.
        pool: workers of a cluster that compute packed rounds, or None.
        threads: of each worker's cpu engine.
    """

    method: Method
    engine: Engine | str
    missing: Missing = "error"
    on_error: OnError = "quarantine"
    memory: int | None = None
    format_: Format = "parquet"
    save_draws: bool = False
    report: bool = False
    target: str | None = None
    pool: "RayPool | None" = None
    threads: int | None = None

    def score(
        self, round_: Path, output: Path | None, progress: Progress | None = None
    ) -> RoundScores:
        """Score one round, and write the result if a folder for it is given.

        Raises:
            RoundError: the round cannot be scored, or the result not written.
            ValueError: there is too little memory for a block, or no such target.
        """
        files = self._read(round_, progress)
        draws: Draws | bool = not is_packed(round_)
        if not draws and self.save_draws and output is not None:
            draws = self._draws_on_disk(files, output)
        if self.pool is None:
            scores = self._score_here(files, draws, progress)
        else:
            scores = self._score_on_pool(files, output, draws, progress)
        if output is not None:
            self._write(output, scores, files)
        return scores

    def _read(self, round_: Path, progress: Progress | None) -> RoundFiles:
        return read_round(
            round_,
            missing=self.missing,
            on_error=self.on_error,
            blend=self.method.blend,
            progress=progress,
        )

    def _write(self, output: Path, scores: RoundScores, files: RoundFiles) -> None:
        options = {"missing": self.missing, "on_error": self.on_error}
        write_results(output, scores, files.inputs, options, self.format_, draws=self.save_draws)

    def _score_here(
        self, files: RoundFiles, draws: Draws | bool, progress: Progress | None
    ) -> RoundScores:
        assert not isinstance(self.engine, str)
        checked = files.round
        rows = None if self.memory is None else checked.rows_within(self.memory)
        return score(
            checked, self.method, self.engine, block_rows=rows, draws=draws, progress=progress
        )

    def _score_on_pool(
        self,
        files: RoundFiles,
        output: Path | None,
        draws: Draws | bool,
        progress: Progress | None,
    ) -> RoundScores:
        """Score a packed round on the cluster; its finished blocks lie beside the output."""
        from mmc_gpu.cluster.driver import score_in_blocks

        assert self.pool is not None
        beside = None
        if output is not None:
            path = output.absolute()
            beside = path.with_name(f".{path.name}.blocks")
        return score_in_blocks(
            files.round,
            self.job(files.round, bool(draws)),
            self.pool,
            keep=beside,
            on_error=self.on_error,
            draws=draws,
            progress=progress,
        )

    def job(self, round_: Round, draws: bool = False) -> "Job":
        """Return what workers and shards know of a packed round.

        Raises:
            ValueError: it is not packed.
        """
        from mmc_gpu.cluster.blocks import job_of

        name = self.engine if isinstance(self.engine, str) else self.engine.name
        rows = None if self.memory is None else round_.rows_within(self.memory)
        return job_of(round_, self.method, name, threads=self.threads, rows=rows, draws=draws)

    def _draws_on_disk(self, files: RoundFiles, output: Path) -> DrawsOnDisk:
        shape = (len(files.round.targets), len(files.round.users), self.method.draws)
        return DrawsOnDisk(output.absolute().parent, shape)

    def score_shard(
        self, round_: Path, shard: "Shard", work: Path, progress: Progress | None = None
    ) -> str:
        """Compute a shard of a packed round's pass that is due, into a folder; return which.

        Raises:
            RoundError: the round cannot be scored, or a block not written.
            ValueError: the round is not packed.
        """
        from mmc_gpu.cluster.shards import run_shard

        checked = self._read(round_, progress).round
        return run_shard(checked, self.job(checked, self.save_draws), shard, work, progress)

    def merge(self, round_: Path, work: Path, output: Path | None) -> RoundScores | None:
        """Join the shards' blocks: None after the first pass, after the second the scores.

        The result is written if a folder for it is given, and the blocks are removed then.

        Raises:
            RoundError: blocks are missing, or the result cannot be written.
            ValueError: the round is not packed.
        """
        from mmc_gpu.cluster.sealed import Store
        from mmc_gpu.cluster.shards import merge_shards

        files = self._read(round_, None)
        job = self.job(files.round, self.save_draws)
        kept = self.save_draws and output is not None
        draws = self._draws_on_disk(files, output) if kept and output is not None else False
        scores = merge_shards(files.round, job, work, draws)
        if scores is not None and output is not None:
            self._write(output, scores, files)
            Store(work, job.key).remove()
        return scores

    def is_finished(self, round_: Path, result: Path) -> bool:
        """Return whether a result is whole, of this round as it is now, and of this run's options.

        Its receipt is checked, not trusted: every input and every file of the result is hashed.
        """
        options = {"missing": self.missing, "on_error": self.on_error}
        return (
            not differences_of_files(result, list_inputs(round_), self.method, options)
            and (result / f"scores.{self.format_}").is_file()
            and (not self.report or (result / REPORT).is_file())
        )


class Outcome(NamedTuple):
    """What became of one round of many: scores, or the error that stopped it, or neither: done."""

    round: Path
    result: Path
    scores: RoundScores | None
    error: RoundError | None


def score_many(
    run: Run,
    rounds: Sequence[Path],
    output: Path,
    progress: Callable[[Path], Progress] | None = None,
) -> Iterator[Outcome]:
    """Score rounds one after another, each into a folder of its name; yield what became of each.

    A round that is finished already is not scored again; one that fails does not stop the others.
    """
    for round_ in rounds:
        result = output / round_.name
        try:
            if run.is_finished(round_, result):
                yield Outcome(round_, result, None, None)
                continue
            scores = run.score(round_, result, None if progress is None else progress(round_))
        except RoundError as error:
            yield Outcome(round_, result, None, error)
        else:
            yield Outcome(round_, result, scores, None)
