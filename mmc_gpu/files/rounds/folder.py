"""A round as a folder: targets, stakes, and predictions or submissions/, as Parquet or CSV."""

from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any

from mmc_gpu.errors import WAITING, RoundError, counted, shown
from mmc_gpu.files.formats.places import Place
from mmc_gpu.files.formats.source import Limits, Source, open_source, read_source, reading
from mmc_gpu.files.formats.table import READERS, read_table, reader_of, split_suffix
from mmc_gpu.files.rounds.tournaments import TEXT, Tournament, Universe, with_id
from mmc_gpu.inputs.frames import named_columns
from mmc_gpu.inputs.names import as_ids, check_ids
from mmc_gpu.rounds.stakes import Stakes, take_stakes
from mmc_gpu.rounds.targets import Targets, Unresolved, take_targets

SHARED = Limits(max_rows=10_000_000)
"""A file may have the rows of all past eras besides those of the round."""

SERIES = ("benchmarks", "features", "neutralizers", "weights")
"""Names of files that only further scores need, in packed rounds too: id, one column a series."""

_OTHER_DATA = {
    ".npy", ".npz", ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".safetensors", ".mat", ".rds",
    ".feather", ".arrow", ".ipc", ".orc", ".avro", ".h5", ".hdf", ".hdf5", ".xls", ".xlsx", ".xlsm",
    ".ods", ".tsv", ".txt", ".zip", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz",
}  # fmt: skip
"""Suffixes of data that is not read, in lower case. A file of any further suffix is no data."""

IGNORED = "hidden or no data of a round"
"""Words of the note that tells of files which may come and go: they are no inputs."""


class RoundFolder:
    """The files of a round in a folder, and a list of the files that have been read."""

    def __init__(
        self, folder: Place, tournament: Tournament | None = None, unresolved: Unresolved = "wait"
    ) -> None:
        """Find the files of a round; `unresolved` says what becomes of targets that are NaN."""
        self._unresolved = unresolved
        if not isinstance(folder, Path):
            detail = "no packed round; only those are read from object storage"
            raise RoundError("round-layout", f"{folder}: {detail}")
        self.folder = folder
        with reading(str(folder)):
            self._find(folder)
        self._read: dict[str, dict[str, Any]] = {}
        self._open: list[Source] = []
        self._tournament = tournament

    def _find(self, folder: Path) -> None:
        if not folder.is_dir():
            raise RoundError("file-missing", f"{folder}: no such folder")
        self.targets_file = find_file(folder, "targets")  # None where there is none
        self.stakes_file = find_file(folder, "stakes")  # the same
        self.predictions = find_file(folder, "predictions")  # with one column a user; or None
        one_by_one = folder / "submissions"
        if self.predictions and not _is_read(self.predictions) and one_by_one.is_dir():
            self.predictions = None  # data that is not read claims no role that another file has
        if (self.predictions is None) == (not one_by_one.is_dir()):
            name = None if self.predictions is None else self.predictions.name
            found = "neither predictions nor" if name is None else f"both {name} and"
            raise RoundError("round-layout", f"{folder}: {found} submissions/ in it")
        files = [path for path in folder.iterdir() if not path.is_dir()]
        shared = {self.targets_file, self.stakes_file, self.predictions}
        claims = _claims(files)
        shared.update(claims.get("ids", ()))
        shared.update(path for name in SERIES for path in claims.get(name, ()) if _is_read(path))
        self.submissions: list[Path] = []  # with one user each, in order of their names
        if self.predictions is None:
            each = list(one_by_one.iterdir())
            self.submissions = [path for paths in _claims(each).values() for path in paths]
            self.submissions.sort(key=lambda path: path.name)
            files += each
        # hidden, or no data of a round
        self.ignored = set(files).difference(shared, self.submissions)

    def source(self, path: Path, limits: Limits) -> Source:
        """Return a file's bytes, and list the file among the inputs."""
        reader_of(path, self.place(path))  # before the file is opened
        source = read_source(path, limits.max_bytes, self.place(path))
        self._read[self.place(path)] = source.entry(self.place(path))
        return source

    def place(self, path: Path) -> str:
        """Return a file's path in the round: wherever a round lies, it has the same faults."""
        name = path.relative_to(self.folder).as_posix()
        return name.encode(errors="backslashreplace").decode()  # what is written is UTF-8

    def inputs(self) -> list[dict[str, Any]]:
        """Return file, bytes and sha256 of each file that was read, by name.

        Raises:
            RoundError: file-damaged: a file that stays on disk has changed since it was opened.
        """
        for source in self._open:
            self._read[self.place(source.path)] = source.entry(self.place(source.path))
        return [self._read[name] for name in sorted(self._read)]

    @cached_property
    def targets(self) -> Targets:
        """Return the targets, read once."""
        file = self.targets_file
        if file is None:
            raise RoundError(WAITING, f"{self.folder}: no targets in it")
        return take_targets(self._by_id[1], None, file.name, self._unresolved)

    @property
    def universe(self) -> Universe | None:
        """Return the stocks of a Signals or Crypto round; None for Numerai's own tournament."""
        return None if self._ids_file is None else self._by_id[0]

    @property
    def _ids_file(self) -> Path | None:
        return self.targets_file or find_file(self.folder, "ids")

    @cached_property
    def _by_id(self) -> tuple[Universe | None, Any]:
        """Return the universe, and the table of targets, or of ids, with a column id."""
        file = self._shared(self._ids_file, "targets, and no ids,")
        source = self.source(file, SHARED)
        table = read_table(source, text=TEXT, limits=SHARED)
        universe = Universe.of(table, self._tournament, file.name)
        if universe is None:
            return None, read_table(source, text=("id", ""), limits=SHARED)
        return universe, with_id(table, file.name)

    def stakes(self) -> tuple[Stakes, list[str]]:
        """Return the stakes, and notes of what is odd about their file."""
        file = self._shared(self.stakes_file, "stakes")
        table = read_table(self.source(file, SHARED), text=("user",), limits=SHARED)
        notes = [f"{file.name} {note}" for note in odd_header(table, ("user", "stake"), file.name)]
        return take_stakes(table, place=file.name), notes

    def stocks(self) -> list[str]:
        """Return the stocks in order: the ids of `targets`, or of `ids` where that is not there."""
        if self.targets_file is not None:
            found = self.targets.ids
            assert found is not None
            return sorted(found)
        table = self._by_id[1]
        file = self._shared(self._ids_file, "ids")
        (at,) = named_columns(table.column_names, ("id",), file.name)
        ids = as_ids(table.column(at), file.name)
        check_ids(ids, file.name)
        return sorted(ids)

    def notes(self) -> list[str]:
        """Return what is said of the universe, and of ignored files, those like data first."""
        paths = sorted(self.ignored, key=lambda path: (not _is_read(path), path))
        names = shown([self.place(path) for path in paths], 10)
        ignored = f"{counted(len(paths), 'file was', 'files were')} ignored, {IGNORED}: {names}"
        notes = [ignored] if paths else []
        return notes if self.universe is None else [self.universe.note(), *notes]

    def on_disk(self, path: Path, limits: Limits) -> Source:
        """Return a file whose bytes stay on disk, and list the file among the inputs."""
        source = open_source(path, limits.max_bytes, self.place(path))
        self._open.append(source)
        return source

    def _shared(self, file: Path | None, stem: str) -> Path:
        if file is None:
            raise RoundError("round-layout", f"{self.folder}: no {stem} in it")
        return file


def find_file(folder: Path, stem: str) -> Path | None:
    """Return the one file of that name in any format; None where there is none."""
    found = _claims(folder.iterdir()).get(stem, [])
    if len(found) > 1:
        names = shown([path.name for path in found])
        raise RoundError("round-layout", f"{folder}: which one is it? {names}")
    return found[0] if found else None


def values_about(rounds: Iterable[Place]) -> float:
    """Return about how many predictions rounds have, by the bytes of their files: 8 a prediction.

    A submission's lines have ids too. Of what lies in object storage there is much.
    """
    found = 0.0
    for round_ in rounds:
        if not isinstance(round_, Path):
            return inf
        for pattern, size in (("predictions*", 8), ("submissions/*", 24)):
            with suppress(OSError):  # reading it tells
                found += sum(path.stat().st_size for path in round_.glob(pattern)) / size
    return found


def _claims(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Return which files claim each user or role, by its name, in order of their names.

    Only files that are read claim a name. Where none does, the first file of other data stands for
    it, to be refused.
    """
    claims: dict[str, list[Path]] = {}
    # hidden files, and the locks of office programs, claim nothing
    seen = [path for path in paths if not path.name.startswith((".", "~$"))]
    seen.sort(key=lambda path: path.name)
    for path in seen:
        if _is_read(path):
            claims.setdefault(user_of(path), []).append(path)
    for path in seen:
        if path.suffix.lower() in _OTHER_DATA:
            claims.setdefault(user_of(path), [path])
    return claims


def _is_read(path: Path) -> bool:
    """Return whether a file's format is one that is read."""
    return bool(split_suffix(path)[1])


def user_of(path: Path) -> str:
    """Return whose submission a file is: its name without the suffix."""
    name, suffix = split_suffix(path)
    if not suffix:  # such as ann.csv.zip, of which one suffix is gone
        while Path(name).suffix.lower() in {*READERS, *_OTHER_DATA}:
            name = Path(name).stem
    return name


def odd_header(table: Any, wanted: tuple[str, str], place: str) -> list[str]:
    """Return notes of what is odd in a header that has the wanted columns in any order and case."""
    places = named_columns(table.column_names, wanted, place)
    notes = []
    if table.num_columns > len(wanted):
        notes.append("with further columns, which were ignored")
    if places != sorted(places):
        notes.append("with swapped columns")
    if set(wanted) - set(table.column_names):
        notes.append("with column names in another case")
    return notes
