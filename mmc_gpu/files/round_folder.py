"""A round as a folder: targets, stakes, and predictions or submissions/, as Parquet or CSV."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.arrays import Numbers
from mmc_gpu.checks import tied_rows
from mmc_gpu.columns import numbers
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.parquet_file import ParquetSource
from mmc_gpu.files.source import Limits, Source, read_source
from mmc_gpu.files.table import SUFFIXES, read_table
from mmc_gpu.frames import named_columns, take_table
from mmc_gpu.method import Blend
from mmc_gpu.names import LARGEST_MISSING_SHARE, align, as_ids, check_ids, first_ids
from mmc_gpu.round import Missing, OnError, Round, build_round
from mmc_gpu.scoring import Progress
from mmc_gpu.stakes import take_stakes_table
from mmc_gpu.submissions import Submissions, collect
from mmc_gpu.targets import take_targets

_CHUNK_BYTES = 64 * 2**20
"""Columns of a wide Parquet file are decoded this much at a time, straight into the matrix."""


_SHARED = Limits()
_SUBMISSION = Limits(max_columns=1_000, max_bytes=2**30)


class RoundFiles(NamedTuple):
    """A round, and the files it was read from: file, bytes and sha256 of each."""

    round: Round
    inputs: list[dict[str, Any]]


def read_round(
    folder: Path,
    *,
    missing: Missing = "error",
    on_error: OnError = "quarantine",
    blend: Blend = "raw",
    progress: Progress | None = None,
) -> RoundFiles:
    """Return the round in a folder.

    Args:
        folder: holds `targets` (id, one column a target), `stakes` (user, stake), and either
            `predictions` (id, one column a user) or `submissions/` (one file a user: id,
            prediction), each as .parquet, .csv or .csv.gz.
        missing: see `build_round`.
        on_error: see `build_round`.
        blend: see `build_round`.
        progress: called as submissions are read.

    Raises:
        RoundError: the folder, or a file that all users share, cannot be read or used.
    """
    if not folder.is_dir():
        raise RoundError("file-missing", f"{folder}: no such folder")
    inputs = _Inputs(folder)
    targets_file, stakes_file = _find(folder, "targets"), _find(folder, "stakes")
    predictions, submissions = _find(folder, "predictions"), folder / "submissions"
    if targets_file is None or stakes_file is None:
        absent = "targets" if targets_file is None else "stakes"
        raise RoundError("round-layout", f"{folder}: no {absent} in it")
    if (predictions is None) == (not submissions.is_dir()):
        found = "neither predictions nor" if predictions is None else f"both {predictions.name} and"
        raise RoundError("round-layout", f"{folder}: {found} submissions/ in it")
    table = inputs.table(targets_file, text=("id",), limits=_SHARED)
    targets = take_targets(table, place=targets_file.name)
    staked = inputs.table(stakes_file, text=("user",), limits=_SHARED)
    stakes = take_stakes_table(staked, stakes_file.name)
    if predictions is not None:
        taken = _wide(inputs, predictions)
    else:
        assert targets.ids is not None
        taken = _one_by_one(inputs, submissions, sorted(targets.ids), missing, progress)
    taken.notes += [f"{stakes_file.name} {note}" for note in _odd_header(staked, ("user", "stake"))]
    round_ = build_round(taken, stakes, targets, missing=missing, on_error=on_error, blend=blend)
    notes = (*round_.notes, *_ties(round_))
    return RoundFiles(replace(round_, notes=notes), inputs.listed())


class _Inputs:
    """What has been read from a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, dict[str, Any]] = {}

    def source(self, path: Path, limits: Limits) -> Source:
        source = read_source(path, limits.max_bytes)
        name = path.relative_to(self._folder).as_posix()
        self._read[name] = {"file": name, "bytes": len(source.data), "sha256": source.sha256}
        return source

    def table(self, path: Path, text: tuple[str, ...], limits: Limits) -> Any:
        return read_table(self.source(path, limits), text=text, limits=limits).columns

    def listed(self) -> list[dict[str, Any]]:
        return [self._read[name] for name in sorted(self._read)]


def _find(folder: Path, stem: str) -> Path | None:
    """Return the one file of that name in any format, or None."""
    found = [path for path in sorted(folder.glob(f"{stem}.*")) if path.name.startswith(stem)]
    if len(found) > 1:
        names = shown([path.name for path in found])
        raise RoundError("round-layout", f"{folder}: which one is it? {names}")
    return found[0] if found else None


def _wide(inputs: _Inputs, path: Path) -> Submissions:
    """Return the submissions of a file with one column a user."""
    if path.suffix != ".parquet":
        table = take_table(inputs.table(path, text=("id",), limits=_SHARED), path.name)
        return collect(table.names, table.ids, table.column)
    parquet = ParquetSource(inputs.source(path, _SHARED), _SHARED)
    users = parquet.schema.names
    (at,) = named_columns(users, ("id",), path.name)
    ids = as_ids(parquet.columns([users.pop(at)]).column(0), path.name)
    check_ids(ids, path.name)
    return collect(users, ids, _chunked(parquet, users, max(1, _CHUNK_BYTES // (8 * len(ids)))))


def _chunked(parquet: ParquetSource, users: list[str], size: int) -> Callable[[int], Any]:
    """Return a function from a user's place to the column, for places in ascending order."""
    start, chunk = 0, None

    def column(place: int) -> Any:
        nonlocal start, chunk
        if chunk is None or place >= start + size:
            start = place
            chunk = parquet.columns(users[start : start + size])
        return chunk.column(place - start)

    return column


def _one_by_one(
    inputs: _Inputs,
    folder: Path,
    stocks: list[str],
    missing: Missing,
    progress: Progress | None,
) -> Submissions:
    """Return the submissions of a folder with one file a user, read by all cores."""
    import pyarrow as pa

    paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    users = [_user(path) for path in paths]
    known = pa.array(stocks)
    notes: list[str] = []

    def read(path: Path) -> Numbers:
        return _submission(inputs, path, stocks, known, missing, notes)

    with ThreadPoolExecutor() as pool:
        waiting: dict[int, Future[Numbers]] = {
            row: pool.submit(read, path) for row, path in enumerate(paths)
        }

        def column(row: int) -> Numbers:
            if progress is not None:
                progress("read", row + 1, len(paths))
            return waiting.pop(row).result()

        taken = collect(users, stocks, column)
    taken.notes += [
        f"{times:,} submissions {note}" for note, times in sorted(Counter(notes).items())
    ]
    return taken


def _submission(
    inputs: _Inputs,
    path: Path,
    stocks: list[str],
    known: Any,
    missing: Missing,
    notes: list[str],
) -> Numbers:
    """Return one user's predictions in the order of the stocks, NaN where absent."""
    place = f"submissions/{path.name}"
    table = inputs.table(path, text=("id",), limits=_SUBMISSION)
    id_column, prediction = named_columns(table.column_names, ("id", "prediction"), place)
    notes += _odd_header(table, ("id", "prediction"))
    values = numbers(table.column(prediction), place)
    ids = table.column(id_column).combine_chunks()
    if ids.equals(known):
        return values
    listed = as_ids(ids, place)
    aligned = align(listed, stocks, place)
    if aligned.extra > LARGEST_MISSING_SHARE * len(listed):
        raise RoundError(
            "id-other-round", f"{place}: {aligned.extra:,} of {len(listed):,} ids are unknown"
        )
    if aligned.extra:
        check_ids(listed, place)
        notes.append("with ids that have no target, which were ignored")
    absent = aligned.columns < 0
    if aligned.absent and missing == "error":
        raise RoundError("id-missing", f"{place}: ids missing: {first_ids(absent, stocks)}")
    taken = values[aligned.columns]
    taken[absent] = np.nan
    return taken


def _ties(round_: Round) -> list[str]:
    """Return a note of who gives many stocks the same prediction, those with most ties first."""
    places = {row: place for place, row in enumerate(round_.rows.tolist())}
    tied = tied_rows(round_.predictions, round_.columns)
    found = sorted((tied[row], places[row]) for row in tied if row in places)
    if not found:
        return []
    (fewest, _), names = found[0], shown([round_.users[place] for _, place in found])
    return [
        f"{len(found):,} submissions have fewer than half as many different values as stocks, the"
        f" least {fewest:,}: {names}"
    ]


def _odd_header(table: Any, wanted: tuple[str, str]) -> list[str]:
    """Return what is odd about a header that has the wanted columns in some order and case."""
    places = named_columns(table.column_names, wanted, "")
    notes = []
    if table.num_columns > len(wanted):
        notes.append("with further columns, which were ignored")
    if places != sorted(places):
        notes.append("with swapped columns")
    if set(wanted) - set(table.column_names):
        notes.append("with column names in another case")
    return notes


def _user(path: Path) -> str:
    """Return the file's name without its format."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.stem
