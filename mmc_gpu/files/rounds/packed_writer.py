"""Writing packed rounds: new files beside the old ones, then the manifest, at one instant."""

import errno
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmc_gpu.engines.arrays import Integers, Numbers
from mmc_gpu.engines.extremes import extremes
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.rounds.folder import SERIES, user_of
from mmc_gpu.files.rounds.packed import MANIFEST, SCHEMA, PackedRound, open_packed, tables_of
from mmc_gpu.files.rounds.packed_matrix import HEADER, piece_rows
from mmc_gpu.files.system import locked
from mmc_gpu.files.writing.replace import failing, write_file
from mmc_gpu.files.writing.tables import arrow_bytes, parquet_bytes
from mmc_gpu.rounds.round import Quarantined
from mmc_gpu.rounds.stakes import Stakes
from mmc_gpu.rounds.targets import Targets

_OURS = re.compile(
    r"predictions-\d{6}\.npy|(rows-\d{6}|(ids|stakes|targets|quarantine)-[0-9a-f]{12})\.parquet"
    rf"|{re.escape(MANIFEST)}|\.{re.escape(MANIFEST)}\.new-[0-9a-f]{{8}}"
    r"|\.(rows|ids|stakes|targets|quarantine)-[0-9a-f]+\.parquet\.new-[0-9a-f]{8}"
)
"""Names that a packed round uses; only these are ever removed."""

_LOCK = ".lock"  # the file that versions before 0.2 locked; it is of no use any more


@dataclass(eq=False)
class Batch:
    """Submissions that have been read and checked: B of them are right and new.

    Attributes:
        users: (B,) names.
        source: (B,) sha256 of the file, or of the column's numbers.
        matrix: (B, N) predictions.
        filled: (B,) how many predictions were missing and have been filled.
        different: (B,) how many different values a row has, as `count_ties` counts them.
        faults: the users who cannot be packed, each with the fault.
        unchanged: the users whose submissions are packed already.
    """

    users: list[str]
    source: list[bytes]
    matrix: Numbers
    filled: Integers
    different: Integers
    faults: Sequence[tuple[str, RoundError]] = ()
    unchanged: Sequence[str] = ()


class PackedWriter:
    """Adds to a packed round, or makes one; what is added becomes part of the round in `commit`.

    A row goes to a float32 file where float32 keeps every value, else to a float64 file. One
    process at a time opens a folder to write into it; others wait.

    Attributes:
        added: rows that were written.
        before: the packed round as it was found; None where there was none.
        stocks: (N,) the ids of its stocks, ascending.
        withdrawn: users whose rows do not count; `finish` writes what it is by then.
    """

    def __init__(self, folder: Path, stocks: Callable[[], list[str]]) -> None:
        """Take the folder, and what returns the stocks of a round that is not there yet."""
        self._folder, self._new_stocks = folder, stocks
        self._manifest: dict[str, Any] = {"parts": [], "files": {}, "tables": {}}
        self.added, self.stocks, self.withdrawn = 0, list[str](), set[str]()
        self.before: PackedRound | None = None
        self._stack = ExitStack()
        self._parts: list[_MatrixWriter] = []

    def __enter__(self) -> "PackedWriter":
        """Make and lock the folder, open the round, and remove what a killed call has left."""
        with ExitStack() as stack, failing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            names = sorted(path.name for path in self._folder.iterdir())
            known = {_LOCK, *(name for name in names if user_of(Path(name)) in SERIES)}
            if foreign := [n for n in names if n not in known and not _OURS.fullmatch(n)]:
                raise RoundError("output-foreign", f"{str(self._folder)!a} holds {shown(foreign)}")
            if not stack.enter_context(locked(self._folder)):
                raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
            (self._folder / _LOCK).unlink(missing_ok=True)
            if (self._folder / MANIFEST).is_file():
                self.before = open_packed(self._folder)
                self.before.check_files()
                self._manifest |= self.before.manifest
                self.withdrawn = set(self._manifest.get("withdrawn", ()))
            self._remove_unused()
            self.stocks = self._new_stocks() if self.before is None else self.before.ids
            names = [part["matrix"] for part in self._manifest["parts"]]
            used = [int(number) for name in names for number in re.findall(r"\d+", name)]
            for number, dtype in enumerate(("<f4", "<f8"), max(used, default=-1) + 1):
                part = _MatrixWriter(self._folder, number, np.dtype(dtype), len(self.stocks))
                self._parts.append(part)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Unlock the folder; after an error, remove the new files."""
        with self._stack:
            for part in self._parts:
                part.close()
            if error is not None:
                self._remove_unused()

    def add(self, batch: Batch) -> None:
        """Write the rows of a batch."""
        narrow = batch.matrix.astype(np.float32)
        survives = (narrow == batch.matrix).all(axis=1)
        with failing(self._folder):
            for part, chosen in zip(self._parts, (survives, ~survives), strict=True):
                rows = np.flatnonzero(chosen)
                if len(rows):
                    part.add(batch, rows, narrow if part.dtype.itemsize == 4 else batch.matrix)
        self.added += len(batch.users)

    def finish(
        self,
        stakes: Stakes,
        targets: Targets | None,
        quarantined: list[Quarantined],
        universe: str = "",
    ) -> PackedRound:
        """Write all but the manifest, and return the packed round that `commit` will make.

        Args:
            stakes: of the round.
            targets: of the round; None keeps the packed ones, if there are any.
            quarantined: who could not be packed.
            universe: what is said of a Signals or Crypto round; "" keeps what was said before.

        Raises:
            RoundError: output-failed; the packed round is as it was.
        """
        with failing(self._folder):
            for part in self._parts:
                if part.rows:
                    name = f"rows-{part.number:06d}.parquet"
                    self._write(name, arrow_bytes(part.finish()))
                    entry = {"matrix": part.path.name, "rows": part.rows, "dtype": part.dtype.str}
                    entry |= {"index": name, "piece": part.piece}
                    self._manifest["parts"] = [*self._manifest["parts"], entry]
            self._table("ids", {"id": self.stocks})
            self._table("stakes", _stake_columns(stakes))
            if targets is not None:
                self._table("targets", {"id": targets.ids, **targets.values})
            names = Quarantined._fields
            self._table("quarantine", {n: [getattr(of, n) for of in quarantined] for n in names})
            used = _named(self._manifest)
            files = {n: sha for n, sha in self._manifest["files"].items() if n in used}
            self._manifest |= {"schema": SCHEMA, "stocks": len(self.stocks), "files": files}
            self._manifest["withdrawn"] = sorted(self.withdrawn)
            self._manifest |= {"universe": universe} if universe else {}
            self._manifest.pop("input", None)
            self._data = (json.dumps(self._manifest, indent=1) + "\n").encode()
        entry = {"input": {"sha256": hashlib.sha256(self._data).hexdigest()}}
        return open_packed(self._folder, self._manifest | entry)

    def commit(self) -> None:
        """Write the manifest: now everything is part of the round. It fails as `finish` does."""
        with failing(self._folder):
            write_file(self._folder / MANIFEST, self._data)
            self._remove_unused()

    def _table(self, kind: str, columns: dict[str, Any]) -> None:
        data = parquet_bytes(columns)
        name = f"{kind}-{hashlib.sha256(data).hexdigest()[:12]}.parquet"
        self._write(name, data)
        self._manifest["tables"] = self._manifest["tables"] | {kind: name}

    def _write(self, name: str, data: bytes) -> None:
        write_file(self._folder / name, data)
        self._manifest["files"][name] = hashlib.sha256(data).hexdigest()

    def _remove_unused(self) -> None:
        """Remove files of ours that the manifest on disk does not name."""
        on_disk = self._folder / MANIFEST
        used = _named(json.loads(on_disk.read_bytes())) if on_disk.is_file() else set()
        for path in self._folder.iterdir():
            if path.name not in used and _OURS.fullmatch(path.name):
                path.unlink()


def _named(manifest: dict[str, Any]) -> set[str]:
    """Return the names of a packed round's files, as its manifest has them."""
    return {MANIFEST, *tables_of(manifest), *(part["matrix"] for part in manifest["parts"])}


class _MatrixWriter:
    """One matrix file that is being written, and the index of its rows."""

    def __init__(self, folder: Path, number: int, dtype: np.dtype[Any], stocks: int) -> None:
        self.path = folder / f"predictions-{number:06d}.npy"
        self.number, self.dtype, self.rows = number, dtype, 0
        self.piece = piece_rows(stocks, dtype)
        self._stocks = stocks
        self._piece = hashlib.sha256()  # of the rows since the last whole piece
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None
        self._index: list[dict[str, Any]] = []

    def add(self, batch: Batch, rows: Integers, matrix: Numbers) -> None:
        """Append rows of a batch."""
        if self._file is None:
            self._file = self.path.open("xb")
            self._file.write(self._header())
        block = matrix[rows].astype(self.dtype, copy=False)
        self._file.write(block.data)
        least, greatest = extremes(block, None)
        self._index.append(
            {
                "user": [batch.users[row] for row in rows],
                "sha256": [hashlib.sha256(row).digest() for row in block],
                "least": least,
                "greatest": greatest,
                "filled": batch.filled[rows],
                "different": batch.different[rows],
                "source": [batch.source[row] for row in rows],
            }
        )
        for row in block:
            self._piece.update(row)
            self.rows += 1
            if self.rows % self.piece == 0:
                self._end_piece()

    def _end_piece(self) -> None:
        self._pieces.append(self._piece.digest())
        self._piece = hashlib.sha256()

    def finish(self) -> Any:
        """Complete the file, bring it to the disk, and return its index as an Arrow table."""
        import pyarrow as pa

        assert self._file is not None
        self._file.seek(0)
        self._file.write(self._header())
        self._file.flush()
        os.fsync(self._file.fileno())
        binary = pa.binary(32)
        types = {"user": pa.string(), "sha256": binary, "source": binary, "filled": pa.int64()}
        table = pa.concat_tables(
            pa.table({name: pa.array(column, types.get(name)) for name, column in columns.items()})
            for columns in self._index
        ).combine_chunks()
        if self.rows % self.piece:
            self._end_piece()
        pieces: list[bytes | None] = [None] * self.rows
        pieces[:: self.piece] = self._pieces
        return table.append_column("piece", pa.array(pieces, binary))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _header(self) -> bytes:
        """Return the .npy header; it has the same length for any number of rows."""
        buffer = io.BytesIO()
        shape = self.rows, self._stocks
        said = {"descr": self.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(buffer, said)
        header = buffer.getvalue()
        assert len(header) == HEADER
        return header


def _stake_columns(stakes: Stakes) -> dict[str, Any]:
    """Return the columns of the stakes: a faulty one is NaN, a user's second one a second row."""
    users, values = list(stakes.values), list(stakes.values.values())
    for user, fault in stakes.faults.items():
        times = 2 if fault.code == "user-duplicate" else 1
        users += [user] * times
        values += [float("nan")] * times
    return {"user": users, "stake": np.array(values, np.float64)}
