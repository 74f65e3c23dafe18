"""A file with one column a user."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Numbers
from mmc_gpu.errors import shown
from mmc_gpu.files.formats.source import DiskSource
from mmc_gpu.files.formats.table import read_table, reader_of
from mmc_gpu.files.rounds.folder import SHARED, RoundFolder
from mmc_gpu.files.rounds.tournaments import TEXT, cleaned, id_and_series, with_id
from mmc_gpu.inputs.columns import numbers
from mmc_gpu.inputs.frames import named_columns, take_table
from mmc_gpu.inputs.names import as_ids, check_ids

_CHUNK_BYTES = 64 * 2**20
"""Bytes of numbers that are decoded at a time."""


class WideFile:
    """A round's file with one column a user.

    A format that can be read in pieces is decoded some columns at a time; others are read whole.

    Attributes:
        name: of the file.
        users: the names of all columns except that of the ids.
        ids: of the rows, checked.
    """

    def __init__(self, folder: RoundFolder, on_disk: bool = False) -> None:
        """Open the file, and read its ids.

        Args:
            folder: of the round.
            on_disk: leave the bytes of a file that can be read in pieces on the disk.

        Raises:
            RoundError: the file cannot be read, or its header or ids are faulty.
        """
        path = folder.predictions
        assert path is not None
        self.name = path.name
        self._cleaned = None if folder.universe is None else np.zeros(0, np.int64)
        self._on_disk: DiskSource | None = None
        self._columns: Callable[[list[str]], Any]
        pieces = reader_of(path).pieces
        if pieces is None:
            text = ("id",) if self._cleaned is None else TEXT
            columns = read_table(folder.source(path, SHARED), text=text, limits=SHARED)
            columns = columns if self._cleaned is None else with_id(columns)
            table = take_table(columns, path.name)
            self.users, self.ids, self._columns = table.names, table.ids, columns.select
        else:
            source = folder.on_disk(path) if on_disk else folder.source(path, SHARED)
            self._on_disk = source if isinstance(source, DiskSource) else None
            file = pieces(source, SHARED)
            self.users, self._columns = file.schema.names, file.columns
            own = "id"
            if self._cleaned is not None:
                own, users = id_and_series(self.users)
                self.users = [own, *users]
            (at,) = named_columns(self.users, (own.strip().lower(),), path.name)
            self.ids = as_ids(file.columns([self.users.pop(at)]).column(0), path.name)
            check_ids(self.ids, path.name)
        if self._cleaned is not None:
            at_row = {id_: row for row, id_ in enumerate(self.ids)}
            self.ids = folder.stocks()
            self._cleaned = np.array([at_row.get(id_, -1) for id_ in self.ids])
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

    def numbers(self, user: Any, column: Any) -> Numbers:
        """Return a user's predictions, by `ids`; cleaned where that is how a tournament scores.

        Raises:
            RoundError: the column holds no numbers, or the submission has another fault.
        """
        place = f"user {shown([str(user)])}"
        values = numbers(column, place)
        if self._cleaned is None:
            return values
        return cleaned(np.where(self._cleaned < 0, np.nan, values[self._cleaned]), place)
