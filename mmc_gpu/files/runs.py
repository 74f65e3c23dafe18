"""Scoring rounds into results, folder by folder: one, or many that can be stopped and resumed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mmc_gpu.engines import Engine
from mmc_gpu.errors import RoundError
from mmc_gpu.files.packed import is_packed
from mmc_gpu.files.results import REPORT, Format, write_results
from mmc_gpu.files.round_folder import list_inputs, read_round
from mmc_gpu.files.spool import DrawsOnDisk
from mmc_gpu.files.verify import differences_of_files
from mmc_gpu.method import Method
from mmc_gpu.round import Missing, OnError
from mmc_gpu.scores import Draws, RoundScores
from mmc_gpu.scoring import Progress, score


@dataclass(frozen=True)
class Run:
    """How rounds are scored and written.

    Attributes:
        method: the options of the score.
        engine: where it is computed.
        missing: missing predictions are a fault, or filled.
        on_error: a user's fault leaves that user out, or fails the round.
        memory: bytes for predictions that are read block by block; None for blocks of 24 MiB.
        format_: of the scores.
        save_draws: whether every user's score in every draw is written.
        report: whether a page to look at is written.
        target: whose page; None for the first target's.
    """

    method: Method
    engine: Engine
    missing: Missing = "error"
    on_error: OnError = "quarantine"
    memory: int | None = None
    format_: Format = "parquet"
    save_draws: bool = False
    report: bool = False
    target: str | None = None

    def score(
        self, round_: Path, output: Path | None, progress: Progress | None = None
    ) -> RoundScores:
        """Score one round, and write the result if a folder for it is given.

        Raises:
            RoundError: the round cannot be scored, or the result not written.
            ValueError: there is too little memory for a block, or no such target.
        """
        files = read_round(
            round_,
            missing=self.missing,
            on_error=self.on_error,
            blend=self.method.blend,
            progress=progress,
        )
        checked = files.round
        draws: Draws | bool = not is_packed(round_)
        if (self.save_draws or self.report) and not draws and output is not None:
            shape = (len(checked.targets), len(checked.users), self.method.draws)
            draws = DrawsOnDisk(output.absolute().parent, shape)
        scores = score(
            checked,
            self.method,
            self.engine,
            block_rows=None if self.memory is None else checked.rows_within(self.memory),
            draws=draws,
            progress=progress,
        )
        number = scores.target_number(self.target)
        if output is not None:
            write_results(
                output,
                scores,
                files.inputs,
                {"missing": self.missing, "on_error": self.on_error},
                self.format_,
                draws=self.save_draws,
                report=number if self.report else None,
            )
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
