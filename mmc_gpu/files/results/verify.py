"""Verifying a result: its round is scored again, as the receipt says, and every bit compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmc_gpu.engines import load_engine
from mmc_gpu.eras.metrics import round_metrics
from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.source import read_source
from mmc_gpu.files.results.receipt import read_round_receipt, refusing
from mmc_gpu.files.results.rounds import ROUND_FILES, SCORE_FILES, scores_bytes
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.files.rounds.series import score_with_files
from mmc_gpu.inputs.options import Progress
from mmc_gpu.rounds.method import Method
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
    """Score a result's round again, on any engine, and return whether the result is the same.

    Args:
        result: folder that `mmc-gpu score -o` has written.
        round_: folder of the round.
        engine: what computes; need not be the engine of the receipt.
        progress: called as the passes proceed.

    Raises:
        RoundError: the receipt or the round cannot be read.
        EngineUnavailable: the engine cannot run here.
    """
    receipt = read_round_receipt(result)
    loaded = load_engine(engine)
    differences = _changed_results(result, receipt.files)
    files = read_round(
        round_,
        missing=receipt.missing,
        on_error=receipt.on_error,
        blend=receipt.method.blend,
        progress=progress,
        tournament=receipt.tournament,
    )
    scores = score(files.round, receipt.method, loaded, progress=progress)
    with refusing(result):
        round_metrics(receipt.further)
    scores.further, read = score_with_files(files.round, receipt.further, loaded, None, progress)
    differences += _changed_inputs(receipt.inputs, files.inputs + read)
    differences += _changed_scores(result, scores)
    digests = {"draws": scores.draws_digest, "scores": scores.digest}
    if scores.further_digest is not None:
        digests["further"] = scores.further_digest
    for name, digest in digests.items():
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
    further: Sequence[str] = (),
) -> list[str]:
    """Return why a result does not fit these inputs and options; nothing is scored. [] if it fits.

    Args:
        result: folder that may hold a result.
        inputs: file and sha256 of each file of the round, as it is now.
        method: the options of the score.
        options: missing and on_error, and the tournament, if it is asked for.
        further: the names of the further scores.
    """
    try:
        receipt = read_round_receipt(result)
    except RoundError as error:
        return [str(error)]
    read: dict[str, str] = {"missing": receipt.missing, "on_error": receipt.on_error}
    if receipt.tournament is not None:
        read["tournament"] = receipt.tournament
    if (receipt.method, read, receipt.further) != (method, options, list(further)):
        return ["it was scored with other options"]
    return _changed_results(result, receipt.files) + _changed_inputs(receipt.inputs, inputs)


def _changed_results(result: Path, expected: Mapping[str, str]) -> list[str]:
    differences = []
    for name in sorted(set(expected) & set(ROUND_FILES)):
        if not (result / name).is_file():
            differences.append(f"{name}: gone since the result was written")
        elif read_source(result / name).sha256 != expected[name]:
            differences.append(f"{name}: changed since the result was written")
    return differences


def _changed_scores(result: Path, scores: Scores) -> list[str]:
    """Return what is wrong with the table of scores, whatever its receipt says."""
    for name in SCORE_FILES:
        if (result / name).is_file():
            same = _same_scores(read_source(result / name).data, scores, name)
            return [] if same else [f"{name}: not the scores of this round"]
    return ["scores: no table of them in the result"]


def _same_scores(data: bytes, scores: Scores, name: str) -> bool:
    """Return whether a file of scores holds these scores, to the bit."""
    format_ = name.removeprefix("scores.")
    if format_ != "parquet":
        return data == scores_bytes(scores, format_)
    import pyarrow as pa

    from mmc_gpu.files.formats.parquet_file import read_own

    try:
        found = read_own(data)
    except (pa.ArrowException, OSError):
        return False
    expected = scores.columns()
    return found.column_names == list(expected) and all(
        _same_bits(found.column(name).to_numpy(), np.asarray(expected[name])) for name in expected
    )


def _same_bits(found: Any, expected: Any) -> bool:
    if expected.dtype.kind == "U":
        return [str(text) for text in found] == expected.tolist()
    return found.dtype == expected.dtype and found.tobytes() == expected.tobytes()


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
