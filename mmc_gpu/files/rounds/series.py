"""Files beside a round's own that only further scores need, and those scores of a round on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmc_gpu.engines import Engine, Ties
from mmc_gpu.eras.metrics import round_metrics
from mmc_gpu.files.formats.places import Place
from mmc_gpu.files.formats.source import read_source
from mmc_gpu.files.formats.table import read_table
from mmc_gpu.files.rounds.folder import SERIES, SHARED, find_file
from mmc_gpu.files.rounds.tournaments import TEXT, with_id
from mmc_gpu.inputs.options import LEAVE_ONE_OUT, Progress, silent
from mmc_gpu.rounds.full_stakes import correlations_without
from mmc_gpu.rounds.further import EVERY, FurtherFault, FurtherScores
from mmc_gpu.rounds.round import Round


def _series_files(folder: Place | None, scores: Sequence[str]) -> dict[str, Path]:
    """Return the files of a round's folder that some scores need, by what they hold."""
    needs = {need for row in round_metrics(scores) for need in row.needs}
    if not isinstance(folder, Path):
        return {}
    wanted = [need for need in SERIES if need in needs]
    return {need: path for need in wanted if (path := find_file(folder, need)) is not None}


def list_series(folder: Place, scores: Sequence[str]) -> list[dict[str, Any]]:
    """Return file, bytes and sha256 of each file that some scores need, as a receipt lists them."""
    paths = _series_files(folder, scores).values()
    return [read_source(path, SHARED.max_bytes).entry(path.name) for path in paths]


def score_with_files(
    round_: Round,
    scores: Sequence[str],
    engine: Engine,
    given: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    ties: Ties = "first",
) -> tuple[FurtherScores | None, list[dict[str, Any]]]:
    """Return a round's further scores, and what was read for them from the round's folder.

    What is `given` takes the place of files. If only the bootstrap is named, there are no scores.
    """
    inputs: list[dict[str, Any]] = []
    further = FurtherScores([], {}, {})
    if round_metrics(scores):
        from mmc_gpu.eras.round_era import score_further  # pandas: 0.3 s, only where it is needed

        series = {need: data for need, data in (given or {}).items() if data is not None}
        for need, path in _series_files(round_.folder, scores).items():
            if need not in series:
                source = read_source(path, SHARED.max_bytes)
                inputs.append(source.entry(path.name))
                series[need] = with_id(read_table(source, text=TEXT, limits=SHARED), path.name)
        further = score_further(round_, scores, engine, series, progress)
    if LEAVE_ONE_OUT in scores:
        corr, without = correlations_without(round_, ties, engine)
        further.asked.append(LEAVE_ONE_OUT)
        further.values.update(corr_without=without, worth=corr[:, None] - without)
        if (without != without).any():
            fault = FurtherFault(EVERY, EVERY, "stake-none", "users without a stake, or a lone one")
            further.faulted[fault] = ["corr_without", "worth"]
    return further if further.asked else None, inputs
