"""A file with one column a user."""

from collections.abc import Callable
from typing import Any

from mmc_gpu.files.formats.parquet_file import ParquetSource
from mmc_gpu.files.formats.source import DiskSource
from mmc_gpu.files.formats.table import read_table
from mmc_gpu.files.rounds.folder import SHARED, RoundFolder
from mmc_gpu.inputs.frames import named_columns, take_frame, take_ids
from mmc_gpu.inputs.names import as_ids, check_ids

_CHUNK_BYTES = 64 * 2**20
"""Columns of a wide Parquet file are decoded this much at a time, straight into the matrix."""


class WideFile:
    """A round's file with one column a user.

    Parquet is decoded some columns at a time, from disk where that is asked; CSV is read whole.

    Attributes:
        name: of the file.
        users: the columns but for the ids.
        ids: of the rows, checked.
    """

    def __init__(self, folder: RoundFolder, on_disk: bool = False) -> None:
        path = folder.predictions
        assert path is not None
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
            self.ids, frame = take_ids(take_frame(columns, path.name))
            self.users, self._columns = frame.names, columns.select
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
