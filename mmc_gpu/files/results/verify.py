"""Checking a result: score its round again as the receipt says, and compare every bit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmc_gpu.engines import load_engine
from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.source import read_source
from mmc_gpu.files.results.receipt import RECEIPT, read_receipt
from mmc_gpu.files.results.rounds import ROUND_FILES, same_scores
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.inputs.options import Missing, OnError, Progress
from mmc_gpu.rounds.method import Method, read_method
from mmc_gpu.rounds.scores import Scores
from mmc_gpu.rounds.scoring import score


@dataclass(frozen=True)
class Verdict:
    """What a verification found: no differences, or where they are."""

    users: int
    digest: str
    engine: str
    differences: list[str]


def verify_result(
    result: Path, round_: Path, engine: str = "auto", *, progress: Progress | None = None
) -> Verdict:
    """Return whether a result is what its round gives, on any engine.

    Args:
        result: folder that `mmc-gpu score -o` has written.
        round_: folder of the round.
        engine: where to score again; need not be the receipt's.
        progress: called as the passes proceed.

    Raises:
        RoundError: the receipt or the round cannot be read.
        EngineUnavailable: the engine cannot run here.
    """
    receipt = _Receipt.of(result)
    loaded = load_engine(engine)
    differences = _changed_results(result, receipt.files)
    files = read_round(
        round_,
        missing=receipt.missing,
        on_error=receipt.on_error,
        blend=receipt.method.blend,
        progress=progress,
    )
    differences += _changed_inputs(receipt.inputs, files.inputs)
    scores = score(files.round, receipt.method, loaded, progress=progress)
    differences += _changed_scores(result, scores)
    for name, digest in (("draws", scores.draws_digest), ("scores", scores.digest)):
        if digest != receipt.digests[name]:
            differences.append(
                f"{name}: digest {digest[:16]}, the receipt says {receipt.digests[name][:16]}"
            )
    return Verdict(len(scores.users), scores.digest, scores.engine, differences)


def differences_of_files(
    result: Path,
    inputs: Sequence[Mapping[str, Any]],
    method: Method,
    options: Mapping[str, str],
) -> list[str]:
    """Return why a result is not the finished one of these inputs and options, without scoring.

    Args:
        result: folder that may hold a result.
        inputs: file and sha256 of each file of the round as it is now.
        method: the options of the score.
        options: missing and on_error.
    """
    try:
        receipt = _Receipt.of(result)
    except RoundError as error:
        return [str(error)]
    if (receipt.method, receipt.missing, receipt.on_error) != (
        method,
        options["missing"],
        options["on_error"],
    ):
        return ["it was scored with other options"]
    return _changed_results(result, receipt.files) + _changed_inputs(receipt.inputs, inputs)


@dataclass(frozen=True)
class _Receipt:
    """What a verification needs of a receipt; anybody may have written it."""

    method: Method
    missing: Missing
    on_error: OnError
    inputs: dict[str, str]
    files: dict[str, str]
    digests: dict[str, str]

    @classmethod
    def of(cls, result: Path) -> "_Receipt":
        receipt = read_receipt(result)
        try:
            options = dict(receipt["parameters"])
            return cls(
                read_method(options),
                options["missing"],
                options["on_error"],
                {str(entry["file"]): str(entry["sha256"]) for entry in receipt["inputs"]},
                {name: str(receipt["files"][name]) for name in receipt["files"]},
                {name: str(receipt[f"{name}_digest"]) for name in ("draws", "scores")},
            )
        except (KeyError, TypeError, ValueError) as error:
            detail = f"{result / RECEIPT}: {type(error).__name__} {error}"
            raise RoundError("receipt-invalid", detail) from error


def _changed_results(result: Path, expected: Mapping[str, str]) -> list[str]:
    differences = []
    for name in sorted(set(expected) & set(ROUND_FILES)):
        if not (result / name).is_file():
            differences.append(f"{name}: gone since the result was written")
        elif read_source(result / name).sha256 != expected[name]:
            differences.append(f"{name}: changed since the result was written")
    return differences


def _changed_scores(result: Path, scores: Scores) -> list[str]:
    """Return where the table of scores is not what was computed, whatever its receipt says."""
    for name in ("scores.parquet", "scores.csv", "scores.json"):
        if not (result / name).is_file():
            continue
        data = read_source(result / name).data
        if not same_scores(data, scores, name.removeprefix("scores.")):
            return [f"{name}: not the scores of this round"]
        return []
    return ["scores: no table of them in the result"]


def _changed_inputs(before: Mapping[str, str], found: Sequence[Mapping[str, Any]]) -> list[str]:
    now = {entry["file"]: entry["sha256"] for entry in found}
    differences = [f"{name}: not among the inputs any more" for name in before.keys() - now.keys()]
    differences += [f"{name}: a new input" for name in now.keys() - before.keys()]
    differences += [
        f"{name}: changed since it was scored"
        for name in before.keys() & now.keys()
        if before[name] != now[name]
    ]
    return sorted(differences)
