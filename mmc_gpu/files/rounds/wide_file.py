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
from mmc_gpu.inputs.frames import named_columns, take_frame, take_ids
from mmc_gpu.inputs.names import as_ids, check_ids

_CHUNK_BYTES = 64 * 2**20
"""Bytes of numbers that are decoded at a time."""


class WideFile:
    """A round's file with one column a user.

    A format that can be read in pieces is decoded some columns at a time; others are read whole.

    Attributes:
        name: of the file.
        users: the names of all columns except that of the ids.
        ids: of the predictions, checked: of the rows, or the stocks of a `Universe`.
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
        self._on_disk: DiskSource | None = None
        self._columns: Callable[[list[str]], Any]
        pieces = reader_of(path).pieces
        if pieces is None:
            text = ("id",) if folder.universe is None else TEXT
            columns = read_table(folder.source(path, SHARED), text=text, limits=SHARED)
            if folder.universe is not None:
                columns = with_id(columns, path.name)
            self.ids, frame = take_ids(take_frame(columns, path.name))
            self.users, self._columns = frame.names, columns.select
        else:
            source = folder.on_disk(path) if on_disk else folder.source(path, SHARED)
            self._on_disk = source if isinstance(source, DiskSource) else None
            file = pieces(source, SHARED)
            self.users, self._columns = file.schema.names, file.columns
            if folder.universe is None:
                (at,) = named_columns(self.users, ("id",), path.name)
                own = self.users.pop(at)
            else:
                own, self.users = id_and_series(self.users, path.name)
            self.ids = as_ids(file.columns([own]).column(0), path.name)
            check_ids(self.ids, path.name)
        self._places: Any = None
        if folder.universe is not None:
            rows = {id_: row for row, id_ in enumerate(self.ids)}
            self.ids = folder.stocks()
            self._places = np.array([rows.get(id_, -1) for id_ in self.ids])
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
        """Return a user's predictions by `ids`, cleaned if there is a `Universe`.

        Raises:
            RoundError: the column holds no numbers, or cleaning finds a fault.
        """
        place = f"user {shown([str(user)])}"
        values = numbers(column, place)
        if self._places is None:
            return values
        return cleaned(np.where(self._places < 0, np.nan, values[self._places]), place)
