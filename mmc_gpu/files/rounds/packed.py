"""Packed rounds: a user-major matrix on disk, checked once and streamed from then on.

    manifest.json             what belongs to the round, each with its sha256; written last
    predictions-NNNNNN.npy    (rows, stocks) float32 or float64: any tool opens it
    rows-NNNNNN.parquet       its index: of each row the user, the sha256, the bounds, how many
                              values were filled, how many are different, and the sha256 of the
                              file that the row was read from; in the first row of each piece the
                              sha256 of all its rows together
    ids-*.parquet, stakes-*.parquet, targets-*.parquet, quarantine-*.parquet

Rows lie in the order in which they arrived; the canonical order follows the names. A user's last
row counts, unless the user has withdrawn or is in the quarantine. No file but the manifest is ever
rewritten: new rows get files of their own. The manifest is replaced at one instant, so that a
killed call leaves the round as it was.

Measured before choosing (MB/s read): .npy 1,234, Arrow IPC 1,016, fixed-size-binary Parquet 434,
wide Parquet 265; a million Parquet columns are impractical.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmc_gpu.errors import CODES, WAITING, RoundError, counted
from mmc_gpu.files.formats.places import Place, read_place, size_of
from mmc_gpu.files.formats.source import reading
from mmc_gpu.files.rounds.packed_matrix import (
    Index,
    MatrixFile,
    PackedMatrix,
    make_index,
    piece_rows,
)
from mmc_gpu.inputs.columns import as_fault
from mmc_gpu.rounds.round import Quarantined
from mmc_gpu.rounds.stakes import Stakes, take_stakes
from mmc_gpu.rounds.submissions import Submissions
from mmc_gpu.rounds.targets import Targets, Unresolved, take_targets

MANIFEST = "manifest.json"
SCHEMA = "mmc_gpu packed 3"
"""2 is read too: it had no pieces. So is 1: it had no `withdrawn`, and users in the quarantine were
scored from older rows."""


@dataclass(frozen=True, eq=False)
class PackedRound:
    """A packed round as it lies on disk.

    Attributes:
        folder: of the round.
        parts: the files of its matrix.
        index: of the matrix's rows.
        ids: (N,) the stocks, ascending.
        tables: the names of the current files of ids, stakes, targets and quarantine.
        quarantined: whose submission is not packed, and why; such a user may have an older row.
        manifest: the manifest; under "input" the entry that a receipt has for it.
    """

    folder: Place
    parts: list[MatrixFile]
    index: Index
    ids: list[str]
    tables: dict[str, str]
    quarantined: tuple[Quarantined, ...]
    manifest: dict[str, Any]

    def submissions(self) -> Submissions:
        """Return the submissions; their predictions stay on disk."""
        manifest = self.manifest["input"]["sha256"]
        matrix = PackedMatrix(self.folder, self.parts, self.index, len(self.ids), manifest)
        notes = list(filter(None, [self.manifest.get("universe")]))
        return Submissions(self.index.users, self.ids, matrix, {}, notes, self.index.filled)

    def stakes(self) -> Stakes:
        """Return the stakes."""
        return take_stakes(self._table("stakes"), place=self.tables["stakes"])

    def targets(self, unresolved: Unresolved = "wait") -> Targets:
        """Return the targets; see `take_targets`.

        Raises:
            RoundError: target-waiting: none have been added yet, or some are not resolved.
        """
        if "targets" not in self.tables:
            raise RoundError(WAITING, f"{self.folder}: packed without targets as yet")
        return take_targets(self._table("targets"), None, self.tables["targets"], unresolved)

    def check_files(self) -> None:
        """Raise file-damaged where a file of the matrix has another size, or header, than it had.

        Their numbers are not read: whoever scores them does so, and checks them.
        """
        self.submissions()
        for part in self.parts:
            path = Path(str(self.folder), part.file)
            with as_fault("file-damaged", str(path)):
                if np.load(path, mmap_mode="r").shape != (part.rows, len(self.ids)):
                    raise ValueError("its header is another one")

    def _table(self, kind: str) -> Any:
        return read_checked(self.folder, self.tables[kind], self.manifest["files"])


def is_packed(folder: Place) -> bool:
    """Return whether a folder is a packed round."""
    with reading(str(folder)):
        return (folder / MANIFEST).is_file()


def open_packed(folder: Place, manifest: dict[str, Any] | None = None) -> PackedRound:
    """Return a packed round; everything but its predictions is read and checked.

    Args:
        folder: of the round.
        manifest: the one that will be written, with its sha256; None for the one on disk.

    Raises:
        RoundError: the folder holds no packed round, or a damaged one.
    """
    manifest = manifest or _read_manifest(folder)
    files, stocks, tables = manifest["files"], manifest["stocks"], manifest["tables"]
    parts = [_part(part, stocks) for part in manifest["parts"]]
    indexes = [_bytes_checked(folder, part["index"], files) for part in manifest["parts"]]
    with as_fault("file-damaged", f"{folder}: a table"):
        index = make_index(indexes, parts, folder, manifest.get("withdrawn", ()))
        ids = read_checked(folder, tables["ids"], files).column("id").to_pylist()
        "".join(ids)  # fails but for text
        rows = read_checked(folder, tables["quarantine"], files).to_pylist()
        quarantined = tuple(Quarantined(**row) for row in rows)  # older ones lack file and line
        for fault in quarantined:
            "".join((CODES[fault.code].remedy, fault.user, fault.detail, fault.file))
    if len(ids) != stocks:
        sizes = f"{counted(stocks, 'stock')}, {counted(len(ids), 'id')}"
        raise RoundError("file-damaged", f"{folder / MANIFEST}: {sizes}")
    return PackedRound(folder, parts, index, ids, tables, quarantined, manifest)


def list_packed(folder: Place) -> list[dict[str, Any]]:
    """Return what `inputs_of` does, with every table checked by its sha256.

    Raises:
        RoundError: the folder holds no packed round, or a damaged one.
    """
    manifest = _read_manifest(folder)
    for name in tables_of(manifest):
        _bytes_checked(folder, name, manifest["files"])
    return inputs_of(folder, manifest)


def _read_manifest(folder: Place) -> dict[str, Any]:
    """Return the manifest, checked to have what a round needs; under "input" its own entry."""
    source = read_place(folder / MANIFEST)
    with as_fault("file-damaged", str(folder / MANIFEST)):
        manifest: dict[str, Any] = json.loads(source.data)
        if manifest["schema"] not in ("mmc_gpu packed 1", "mmc_gpu packed 2", SCHEMA):
            raise ValueError(f"schema {manifest['schema']!r}, not {SCHEMA!r}")
        for part in manifest["parts"]:
            _part(part, manifest["stocks"])
        tables = manifest["tables"]
        names = [tables["ids"], tables["stakes"], tables["quarantine"], *tables_of(manifest)]
        for name in names:
            str.encode(manifest["files"][name])
        for name in (*names, *(part["matrix"] for part in manifest["parts"])):
            if Path(name).name != name or not name.isprintable():
                raise ValueError(f"names {name!a}, no file beside it")
        "".join(
            (*manifest.get("withdrawn", ()), manifest.get("universe", ""))
        )  # fails but for text
    return manifest | {"input": source.entry(MANIFEST)}


def _part(part: dict[str, Any], stocks: int) -> MatrixFile:
    """Return a file of the matrix; its dtype is one of two."""
    rows = int(part["rows"])
    if rows < 0 or part["dtype"] not in ("<f4", "<f8"):
        raise ValueError(f"{part['matrix']!a}, {rows} rows of {part['dtype']!a}")
    dtype = np.dtype(part["dtype"])
    piece = int(part.get("piece", piece_rows(stocks, dtype)))
    if not 0 < piece < 2**63:
        raise ValueError(f"{part['matrix']!a}: {piece} rows are read at a time")
    return MatrixFile(part["matrix"], rows, dtype, piece)


def tables_of(manifest: dict[str, Any]) -> list[str]:
    """Return the names of the current tables, and of the index of each file of the matrix."""
    return sorted({*manifest["tables"].values(), *(part["index"] for part in manifest["parts"])})


def inputs_of(folder: Place, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Return file, bytes and sha256 of the manifest and of all the tables that it names.

    The files of the matrix are left out: an index has the sha256 of each of their rows.
    """
    return [manifest["input"]] + [
        {"file": name, "bytes": size_of(folder / name), "sha256": manifest["files"][name]}
        for name in tables_of(manifest)
    ]


def read_checked(folder: Place, name: str, files: dict[str, str]) -> Any:
    """Return a Parquet table that the manifest names, checked by the sha256 in the manifest."""
    from mmc_gpu.files.formats.parquet_file import read_own

    data = _bytes_checked(folder, name, files)
    with as_fault("file-damaged", str(folder / name)):
        return read_own(data)


def _bytes_checked(folder: Place, name: str, files: dict[str, str]) -> bytes:
    source = read_place(folder / name)
    if source.sha256 != files.get(name):
        raise RoundError("file-damaged", f"{folder / name}: its sha256 is not the manifest's")
    return source.data
