"""Packed rounds: a user-major matrix on disk, checked once and streamed from then on.

    manifest.json             what belongs to the round, each with its sha256; written last
    predictions-NNNNNN.npy    (rows, stocks) float32 or float64: any tool opens it
    rows-NNNNNN.parquet       of each of its rows: user, sha256, bounds, how many were filled, how
                              many are different, and the sha256 of the file it came from
    ids-*.parquet, stakes-*.parquet, targets-*.parquet, quarantine-*.parquet

Rows lie in the order in which they arrived; the canonical order follows the names. Nothing is ever
rewritten: what is added gets files of its own, and the manifest is replaced at one instant, so that
a killed call leaves the round as it was.

Measured before choosing (MB/s read): .npy 1,234, Arrow IPC 1,016, fixed-size-binary Parquet 434,
wide Parquet 265; a million Parquet columns are impractical.
"""

import hashlib
import json
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc_gpu.engines.arrays import Floats, Integers, Numbers
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.formats.places import OpenFile, Place, read_place, size_of
from mmc_gpu.rounds.round import Quarantined
from mmc_gpu.rounds.stakes import Stakes, take_stakes_table
from mmc_gpu.rounds.submissions import Submissions
from mmc_gpu.rounds.targets import Targets, take_targets

MANIFEST = "manifest.json"
SCHEMA = "mmc_gpu packed 1"

HEADER = 128
"""Bytes of an .npy header; written with room for any number of rows."""

_COLUMNS = {"user", "sha256", "source", "least", "greatest", "filled", "different"}
"""Of an index."""

_TASK_ROWS = 64
"""Rows that a thread reads and checks at a time."""


@dataclass(frozen=True)
class Part:
    """One matrix file: (rows, stocks) of one dtype."""

    file: str
    rows: int
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False)
class Index:
    """What is known of each row of the parts, without reading it; L live rows.

    Attributes:
        users: (L,) names; of a user's rows only the last is alive.
        part: (L,) the part that a row lies in.
        row: (L,) its row there.
        sha256: (L, 32) of its bytes.
        source: (L, 32) the sha256 of the file, or of the column, it was read from.
        bounds: (2, L) its least and greatest prediction.
        filled: (L,) predictions that were missing and were filled.
        different: (L,) how many different values it has where many stocks share theirs, else 0.
    """

    users: list[str]
    part: Integers
    row: Integers
    sha256: NDArray[np.uint8]
    source: NDArray[np.uint8]
    bounds: Floats
    filled: Integers
    different: Integers

    def sources(self) -> dict[str, bytes]:
        """Return the source's sha256 by user."""
        return {user: row.tobytes() for user, row in zip(self.users, self.source, strict=True)}


class PackedMatrix:
    """The live rows of a packed round, read when they are asked for, each checked by its sha256.

    Reads into buffers of its own: a file that shrinks is an error, not a crash. Indexing with a
    slice or an array of rows returns a new array.

    Attributes:
        shape: (L, N).
        dtype: float32 where all parts are, else float64.
        bounds: (2, L) least and greatest prediction of each row.
        folder: the packed round's.
        manifest: the sha256 of its manifest, which stands for everything in it.
    """

    def __init__(
        self, folder: Place, parts: Sequence[Part], index: Index, stocks: int, manifest: str
    ) -> None:
        self.folder, self._parts, self._index = folder, parts, index
        self.manifest = manifest
        self.shape = (len(index.users), stocks)
        used = {parts[part].dtype for part in np.unique(index.part).tolist()}
        self.dtype = np.dtype(np.float32 if used == {np.dtype(np.float32)} else np.float64)
        self.bounds = index.bounds
        stack = ExitStack()
        weakref.finalize(self, stack.close)  # the files are open as long as this is in use
        self._files = []
        for part in parts:
            file = OpenFile(folder / part.file)
            stack.callback(file.close)
            self._files.append(file)
            expected = HEADER + part.rows * stocks * part.dtype.itemsize
            if file.size != expected:
                raise RoundError(
                    "file-damaged",
                    f"{folder / part.file}: {file.size:,} bytes, not {expected:,}",
                )

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, rows: int | slice | Integers) -> Numbers:
        """Return (rows, N) predictions, or (N,) of one row.

        Raises:
            RoundError: file-damaged; it names the file and the row.
        """
        wanted = np.atleast_1d(np.arange(self.shape[0])[rows])
        block = np.empty((len(wanted), self.shape[1]), self.dtype)

        def read(start: int) -> None:
            for first, stop in self._runs(wanted[start : start + _TASK_ROWS]):
                self._read(wanted, block, start + first, start + stop)

        with ThreadPoolExecutor() as pool:
            list(pool.map(read, range(0, len(wanted), _TASK_ROWS)))
        return block[0] if isinstance(rows, int) else block

    def _runs(self, wanted: Integers) -> Iterator[tuple[int, int]]:
        """Yield from where to where rows lie one after another in one part."""
        part, row = self._index.part[wanted], self._index.row[wanted]
        breaks = np.flatnonzero((np.diff(part) != 0) | (np.diff(row) != 1)) + 1
        yield from pairwise([0, *breaks.tolist(), len(wanted)])

    def _read(self, wanted: Integers, block: Numbers, start: int, stop: int) -> None:
        """Read rows that lie one after another into the block, and check them."""
        number, first = int(self._index.part[wanted[start]]), int(self._index.row[wanted[start]])
        part = self._parts[number]
        width = self.shape[1] * part.dtype.itemsize
        own = part.dtype == self.dtype
        target = block[start:stop] if own else np.empty((stop - start, self.shape[1]), part.dtype)
        view = target.data.cast("B")
        found = self._files[number].read_into(view, HEADER + first * width)
        name = self.folder / part.file
        if found != len(view):
            raise RoundError("file-damaged", f"{name}: it ends in row {first + found // width:,}")
        for offset, live in enumerate(wanted[start:stop].tolist()):
            row = view[offset * width : (offset + 1) * width]
            if hashlib.sha256(row).digest() != self._index.sha256[live].tobytes():
                user = self._index.users[live]
                detail = f"row {first + offset:,}, user {shown([user])}: its sha256 is not the"
                raise RoundError("file-damaged", f"{name}: {detail} index's", user)
        if not own:
            block[start:stop] = target


@dataclass(frozen=True, eq=False)
class PackedRound:
    """A packed round as it lies on disk.

    Attributes:
        folder: where.
        parts: its matrix files.
        index: of their rows.
        ids: (N,) the stocks, ascending.
        tables: the current files of ids, stakes, targets and quarantine, by kind.
        quarantined: who was not packed, and why.
        manifest: the manifest, and its bytes and sha256 as an input.
    """

    folder: Place
    parts: list[Part]
    index: Index
    ids: list[str]
    tables: dict[str, str]
    quarantined: tuple[Quarantined, ...]
    manifest: dict[str, Any]

    def submissions(self) -> Submissions:
        """Return the submissions; their predictions stay on disk."""
        manifest = self.manifest["input"]["sha256"]
        matrix = PackedMatrix(self.folder, self.parts, self.index, len(self.ids), manifest)
        return Submissions(self.index.users, self.ids, matrix, filled=self.index.filled)

    def stakes(self) -> Stakes:
        """Return the stakes."""
        return take_stakes_table(self._table("stakes"), self.tables["stakes"])

    def targets(self) -> Targets:
        """Return the targets.

        Raises:
            RoundError: none have been added yet.
        """
        if "targets" not in self.tables:
            raise RoundError("round-layout", f"{self.folder}: packed without targets as yet")
        return take_targets(self._table("targets"), place=self.tables["targets"])

    def inputs(self) -> list[dict[str, Any]]:
        """Return file, bytes and sha256 of the manifest and of all it names but the matrices.

        The sha256 of every row of a matrix is in its index.
        """
        return _inputs(self.folder, self.manifest)

    def _table(self, kind: str) -> Any:
        return read_checked(self.folder, self.tables[kind], self.manifest["files"])


def is_packed(folder: Place) -> bool:
    """Return whether a folder is a packed round."""
    return (folder / MANIFEST).is_file()


def open_packed(folder: Place) -> PackedRound:
    """Return a packed round; everything but its predictions is read and checked.

    Raises:
        RoundError: it is none, or damaged.
    """
    manifest = _read_manifest(folder)
    files, stocks, tables = manifest["files"], manifest["stocks"], manifest["tables"]
    parts = [
        Part(part["matrix"], part["rows"], np.dtype(part["dtype"])) for part in manifest["parts"]
    ]
    names = [part["index"] for part in manifest["parts"]]
    index = _index([read_checked(folder, name, files) for name in names], parts, folder)
    ids = read_checked(folder, tables["ids"], files).column("id").to_pylist()
    if len(ids) != stocks:
        raise RoundError("file-damaged", f"{folder / MANIFEST}: {stocks} stocks, {len(ids)} ids")
    rows = read_checked(folder, tables["quarantine"], files).to_pylist()
    quarantined = tuple(Quarantined(row["user"], row["code"], row["detail"]) for row in rows)
    return PackedRound(folder, parts, index, ids, tables, quarantined, manifest)


def list_packed(folder: Place) -> list[dict[str, Any]]:
    """Return what `PackedRound.inputs` would, without taking the round apart.

    Raises:
        RoundError: it is none, or damaged.
    """
    manifest = _read_manifest(folder)
    for name in tables_of(manifest):
        _bytes_checked(folder, name, manifest["files"])
    return _inputs(folder, manifest)


def _read_manifest(folder: Place) -> dict[str, Any]:
    """Return the manifest, checked to have what a round needs; and, as its "input", itself."""
    source = read_place(folder / MANIFEST)
    try:
        manifest: dict[str, Any] = json.loads(source.data)
        if manifest["schema"] != SCHEMA:
            raise ValueError(f"schema {manifest['schema']!r}, not {SCHEMA!r}")
        for part in manifest["parts"]:
            beside = Path(part["matrix"]).name == part["matrix"]
            if not beside or int(part["rows"]) < 0 or part["dtype"] not in ("<f4", "<f8"):
                raise ValueError(f"{part['matrix']!a}, {part['rows']} rows of {part['dtype']}")
            str.encode(part["index"])
        for name in (
            *tables_of(manifest),
            manifest["tables"]["ids"],
            manifest["tables"]["quarantine"],
        ):
            str.encode(manifest["files"][name])
        int(manifest["stocks"])
    except (ValueError, KeyError, TypeError) as error:
        raise RoundError("file-damaged", f"{folder / MANIFEST}: {error}") from error
    entry = {"file": MANIFEST, "bytes": source.size, "sha256": source.sha256}
    return manifest | {"input": entry}


def tables_of(manifest: dict[str, Any]) -> list[str]:
    """Return the current tables and the indices of the parts."""
    return sorted({*manifest["tables"].values(), *(part["index"] for part in manifest["parts"])})


def _inputs(folder: Place, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [manifest["input"]] + [
        {
            "file": name,
            "bytes": size_of(folder / name),
            "sha256": manifest["files"][name],
        }
        for name in tables_of(manifest)
    ]


def read_checked(folder: Place, name: str, files: dict[str, str]) -> Any:
    """Return a Parquet table that the manifest names, if it has the manifest's sha256."""
    from mmc_gpu.files.formats.parquet_file import read_own

    return read_own(_bytes_checked(folder, name, files))


def _bytes_checked(folder: Place, name: str, files: dict[str, str]) -> bytes:
    if Path(name).name != name:
        raise RoundError("file-damaged", f"{folder / MANIFEST}: names {name!a}, no file beside it")
    source = read_place(folder / name)
    if source.sha256 != files.get(name):
        raise RoundError("file-damaged", f"{folder / name}: its sha256 is not the manifest's")
    return source.data


def _index(tables: list[Any], parts: list[Part], folder: Place) -> Index:
    """Return the index of the live rows: of each user's rows, the last."""
    for matrix, table in zip(parts, tables, strict=True):
        absent = sorted(_COLUMNS - set(table.column_names))
        if absent:
            detail = f"{folder / matrix.file}: its index has no {', '.join(absent)}"
            raise RoundError("file-damaged", detail)
    last: dict[str, tuple[int, int]] = {}
    users = [table.column("user").to_pylist() for table in tables]
    for part, names in enumerate(users):
        if len(names) != parts[part].rows:
            raise RoundError("file-damaged", f"{folder / parts[part].file}: rows without an index")
        last.update((name, (part, row)) for row, name in enumerate(names))
    place = sorted(last.values())
    parts_of, row = np.array(place, np.int64).reshape(-1, 2).T

    def column(name: str) -> Any:
        columns = [table.column(name).to_numpy() for table in tables]
        chosen = [values[row[parts_of == p]] for p, values in enumerate(columns)]
        return np.concatenate(chosen) if chosen else np.zeros(0)

    def hashes(name: str) -> NDArray[np.uint8]:
        rows = [
            np.frombuffer(table.column(name).combine_chunks().buffers()[1], np.uint8)
            for table in tables
        ]
        chosen = [hashed.reshape(-1, 32)[row[parts_of == p]] for p, hashed in enumerate(rows)]
        return np.concatenate([np.zeros((0, 32), np.uint8), *chosen])

    return Index(
        users=[users[p][r] for p, r in place],
        part=parts_of,
        row=row,
        sha256=hashes("sha256"),
        source=hashes("source"),
        bounds=np.stack([column("least"), column("greatest")]),
        filled=column("filled"),
        different=column("different"),
    )
