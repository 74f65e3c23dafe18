"""A round as a folder: targets, stakes, and predictions or submissions/, as Parquet or CSV."""

from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.arrays import Integers, Numbers
from mmc_gpu.checks import count_ties, note_ties
from mmc_gpu.columns import as_arrow, numbers
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.packed import is_packed, list_packed, open_packed
from mmc_gpu.files.parquet_file import ParquetSource
from mmc_gpu.files.places import Place
from mmc_gpu.files.source import DiskSource, Limits, Source, open_source, read_source
from mmc_gpu.files.table import SUFFIXES, read_table
from mmc_gpu.frames import named_columns, take_table
from mmc_gpu.method import Blend
from mmc_gpu.names import LARGEST_MISSING_SHARE, align, as_ids, check_ids, first_ids
from mmc_gpu.round import Missing, OnError, Quarantined, Round, build_round
from mmc_gpu.scoring import Progress
from mmc_gpu.stakes import Stakes, take_stakes_table
from mmc_gpu.submissions import Submissions, collect
from mmc_gpu.targets import Targets, take_targets

_CHUNK_BYTES = 64 * 2**20
"""Columns of a wide Parquet file are decoded this much at a time, straight into the matrix."""


SHARED = Limits()
SUBMISSION = Limits(max_columns=1_000, max_bytes=2**30)


class RoundFiles(NamedTuple):
    """A round, and the files it was read from: file, bytes and sha256 of each."""

    round: Round
    inputs: list[dict[str, Any]]


class RoundFolder:
    """The files of a round in a folder, and what has been read of them.

    Attributes:
        folder: where.
        targets_file, stakes_file: the shared files, where they are.
        predictions: the file with one column a user, or None.
        submissions: the files with one user each, in order of their names.
    """

    def __init__(self, folder: Place) -> None:
        if not isinstance(folder, Path):
            detail = "no packed round; only those are read from object storage"
            raise RoundError("round-layout", f"{folder}: {detail}")
        if not folder.is_dir():
            raise RoundError("file-missing", f"{folder}: no such folder")
        self.folder = folder
        self.targets_file, self.stakes_file = _find(folder, "targets"), _find(folder, "stakes")
        self.predictions = _find(folder, "predictions")
        one_by_one = folder / "submissions"
        if (self.predictions is None) == (not one_by_one.is_dir()):
            name = None if self.predictions is None else self.predictions.name
            found = "neither predictions nor" if name is None else f"both {name} and"
            raise RoundError("round-layout", f"{folder}: {found} submissions/ in it")
        self.submissions = (
            [path for path in sorted(one_by_one.iterdir()) if not path.name.startswith(".")]
            if self.predictions is None
            else []
        )
        self._read: dict[str, dict[str, Any]] = {}

    def source(self, path: Path, limits: Limits) -> Source:
        """Return a file's bytes, and list it among the inputs."""
        source = read_source(path, limits.max_bytes)
        self._list(source)
        return source

    def _list(self, source: Source | DiskSource) -> None:
        name = source.path.relative_to(self.folder).as_posix()
        self._read[name] = {"file": name, "bytes": source.size, "sha256": source.sha256}

    def inputs(self) -> list[dict[str, Any]]:
        """Return file, bytes and sha256 of each file that was read, by name."""
        return [self._read[name] for name in sorted(self._read)]

    @cached_property
    def targets(self) -> Targets:
        """Return the targets, read once."""
        file = self._shared(self.targets_file, "targets")
        return take_targets(self._table(file, "id"), place=file.name)

    def stakes(self) -> tuple[Stakes, list[str]]:
        """Return the stakes, and what is odd about their file."""
        file = self._shared(self.stakes_file, "stakes")
        table = self._table(file, "user")
        notes = [f"{file.name} {note}" for note in _odd_header(table, ("user", "stake"))]
        return take_stakes_table(table, file.name), notes

    def stocks(self) -> list[str]:
        """Return the stocks in order: the targets' ids, or while there are none those of `ids`."""
        if self.targets_file is not None:
            found = self.targets.ids
            assert found is not None
            return sorted(found)
        file = self._shared(_find(self.folder, "ids"), "targets, and no ids,")
        table = self._table(file, "id")
        (at,) = named_columns(table.column_names, ("id",), file.name)
        ids = as_ids(table.column(at), file.name)
        check_ids(ids, file.name)
        return sorted(ids)

    def wide(self, on_disk: bool = False) -> "WideFile":
        """Return the file with one column a user; Parquet is left on disk where that is asked."""
        assert self.predictions is not None
        return WideFile(self, self.predictions, on_disk)

    def on_disk(self, path: Path) -> DiskSource:
        """Return a file whose bytes stay on disk, and list it among the inputs."""
        source = open_source(path)
        self._list(source)
        return source

    def _shared(self, file: Path | None, stem: str) -> Path:
        if file is None:
            raise RoundError("round-layout", f"{self.folder}: no {stem} in it")
        return file

    def _table(self, file: Path, text: str) -> Any:
        return read_table(self.source(file, SHARED), text=(text,), limits=SHARED).columns


def list_inputs(folder: Place) -> list[dict[str, Any]]:
    """Return file, bytes and sha256 of each file that `read_round` would read.

    Raises:
        RoundError: the folder is no round, or a file of it cannot be read.
    """
    if is_packed(folder):
        return list_packed(folder)
    files = RoundFolder(folder)
    shared = (files.targets_file, files.stakes_file, files.predictions)
    for path in [*filter(None, shared), *files.submissions]:
        with suppress(RoundError):  # a submission that cannot be read is no input, but a fault
            files.source(path, SHARED if path in shared else SUBMISSION)
    return files.inputs()


class WideFile:
    """A file with one column a user: Parquet is decoded some columns at a time, CSV is read whole.

    Attributes:
        name: of the file.
        users: the columns but for the ids.
        ids: of the rows, checked.
    """

    def __init__(self, folder: RoundFolder, path: Path, on_disk: bool) -> None:
        self.name = path.name
        self._on_disk: DiskSource | None = None
        if path.suffix == ".parquet":
            source = folder.on_disk(path) if on_disk else folder.source(path, SHARED)
            self._on_disk = source if isinstance(source, DiskSource) else None
            parquet = ParquetSource(source, SHARED)
            self.users = parquet.schema.names
            (at,) = named_columns(self.users, ("id",), path.name)
            self.ids = as_ids(parquet.columns([self.users.pop(at)]).column(0), path.name)
            check_ids(self.ids, path.name)
            self._columns: Callable[[list[str]], Any] = parquet.columns
        else:
            source = folder.source(path, SHARED)
            columns = read_table(source, text=("id",), limits=SHARED).columns
            table = take_table(columns, path.name)
            self.users, self.ids, self._columns = table.names, table.ids, columns.select
        self.chunk = max(1, _CHUNK_BYTES // (8 * len(self.ids)))
        self._start, self._loaded = 0, self._columns(self.users[: self.chunk])

    def column(self, place: int) -> Any:
        """Return the column of the user at a place; places come in ascending order."""
        if place >= self._start + self.chunk:
            self._start = place
            self._loaded = self._columns(self.users[place : place + self.chunk])
            if self._on_disk is not None:
                self._on_disk.data.check_unchanged()
        return self._loaded.column(place - self._start)


def read_round(
    folder: Place,
    *,
    missing: Missing = "error",
    on_error: OnError = "quarantine",
    blend: Blend = "raw",
    damaged: Collection[Quarantined] = (),
    progress: Progress | None = None,
) -> RoundFiles:
    """Return the round in a folder, packed or not.

    Args:
        folder: holds `targets` (id, one column a target), `stakes` (user, stake), and either
            `predictions` (id, one column a user) or `submissions/` (one file a user: id,
            prediction), each as .parquet, .csv or .csv.gz; or what `pack_round` made of it.
        missing: see `build_round`; of a packed round decided when it was packed.
        on_error: see `build_round`.
        blend: see `build_round`.
        damaged: users of a packed round whose rows turned out to be, and have a fault for that.
        progress: called as submissions are read.

    Raises:
        RoundError: the folder, or a file that all users share, cannot be read or used.
    """
    if is_packed(folder):
        packed = open_packed(folder)
        taken = packed.submissions()
        for user, code, detail in damaged:
            taken.faults[taken.users.index(user)] = RoundError(code, detail)
        round_ = build_round(
            taken, packed.stakes(), packed.targets(), on_error=on_error, blend=blend
        )
        quarantined = packed.quarantined + round_.quarantined
        if quarantined and on_error == "fail":
            raise RoundError(quarantined[0].code, quarantined[0].detail)
        round_ = _with_ties(round_, packed.index.different[round_.rows])
        return RoundFiles(replace(round_, quarantined=quarantined), packed.inputs())
    files = RoundFolder(folder)
    targets = files.targets
    stakes, notes = files.stakes()
    if files.predictions is not None:
        wide = files.wide()
        taken = collect(wide.users, wide.ids, wide.column)
    else:
        assert targets.ids is not None
        taken = _one_by_one(files, sorted(targets.ids), missing, progress)
    taken.notes += notes
    round_ = build_round(taken, stakes, targets, missing=missing, on_error=on_error, blend=blend)
    different = count_ties(round_.predictions, round_.columns, round_.rows)
    return RoundFiles(_with_ties(round_, different), files.inputs())


def _with_ties(round_: Round, different: Integers) -> Round:
    """Return the round with a note of its ties."""
    return replace(round_, notes=(*round_.notes, *note_ties(different, round_.users)))


def _find(folder: Path, stem: str) -> Path | None:
    """Return the one file of that name in any format, or None."""
    found = [path for path in sorted(folder.glob(f"{stem}.*")) if path.name.startswith(stem)]
    if len(found) > 1:
        names = shown([path.name for path in found])
        raise RoundError("round-layout", f"{folder}: which one is it? {names}")
    return found[0] if found else None


def _one_by_one(
    files: RoundFolder, stocks: list[str], missing: Missing, progress: Progress | None
) -> Submissions:
    """Return the submissions of a folder with one file a user, read by all cores."""
    paths = files.submissions
    reader = SubmissionReader(files, stocks, missing)
    with ThreadPoolExecutor() as pool:
        waiting: dict[int, Future[Numbers]] = {
            row: pool.submit(reader.read, path) for row, path in enumerate(paths)
        }

        def column(row: int) -> Numbers:
            if progress is not None:
                progress("read", row + 1, len(paths))
            return waiting.pop(row).result()

        taken = collect([user_of(path) for path in paths], stocks, column)
    taken.notes += reader.notes()
    return taken


class SubmissionReader:
    """Reads files with one user each: id, prediction; from any number of threads."""

    def __init__(self, files: RoundFolder, stocks: list[str], missing: Missing) -> None:
        self._files, self._stocks, self._missing = files, stocks, missing
        self._known = as_arrow(stocks)
        self._odd: list[str] = []

    def notes(self) -> list[str]:
        """Return what was odd, and how often."""
        return [
            f"{times:,} submissions {note}" for note, times in sorted(Counter(self._odd).items())
        ]

    def check_format(self, path: Path) -> None:
        """Raise RoundError where a file's name says that it is not read, before it is opened."""
        if not path.name.lower().endswith(SUFFIXES):
            known = ", ".join(SUFFIXES)
            raise RoundError("file-format", f"submissions/{path.name} is none of {known}")

    def read(self, file: Path | Source) -> Numbers:
        """Return one user's predictions in the order of the stocks, NaN where absent.

        Raises:
            RoundError: what is wrong with the submission.
        """
        path = file.path if isinstance(file, Source) else file
        place = f"submissions/{path.name}"
        self.check_format(path)
        source = file if isinstance(file, Source) else self._files.source(path, SUBMISSION)
        table = read_table(source, text=("id",), limits=SUBMISSION).columns
        id_column, prediction = named_columns(table.column_names, ("id", "prediction"), place)
        self._odd += _odd_header(table, ("id", "prediction"))
        values = numbers(table.column(prediction), place)
        ids = table.column(id_column).combine_chunks()
        if ids.equals(self._known):
            return values
        listed = as_ids(ids, place)
        aligned = align(listed, self._stocks, place)
        if aligned.extra > LARGEST_MISSING_SHARE * len(listed):
            raise RoundError(
                "id-other-round", f"{place}: {aligned.extra:,} of {len(listed):,} ids are unknown"
            )
        if aligned.extra:
            check_ids(listed, place)
            self._odd.append("with ids that have no target, which were ignored")
        absent = aligned.columns < 0
        if aligned.absent and self._missing == "error":
            where = first_ids(absent, self._stocks)
            raise RoundError("id-missing", f"{place}: ids missing: {where}")
        taken = values[aligned.columns]
        taken[absent] = np.nan
        return taken


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


def user_of(path: Path) -> str:
    """Return the file's name without its format."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.stem
