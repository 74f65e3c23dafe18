"""A file with one column a user."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Numbers
from mmc_gpu.errors import shown
from mmc_gpu.files.formats.source import Source
from mmc_gpu.files.formats.table import read_table, reader_of
from mmc_gpu.files.rounds.folder import SHARED, RoundFolder
from mmc_gpu.files.rounds.tournaments import TEXT, cleaned, id_and_series, with_id
from mmc_gpu.inputs.beside import INDEX, note_beside
from mmc_gpu.inputs.columns import as_rows, float_type, numbers
from mmc_gpu.inputs.frames import has_ids, take_frame, take_ids

_CHUNK_BYTES = 8 * 2**20
"""Bytes of numbers that are decoded at a time: they stay in a processor's cache."""


class WideFile:
    """A round's file with one column a user.

    A format that can be read in pieces is decoded some columns at a time; others are read whole.
    `users` are the names of all columns except those of the ids and of pandas' index; `ids` are of
    each column's values, checked: of the rows, or the stocks of a `Universe`.
    """

    def __init__(self, folder: RoundFolder) -> None:
        """Open the file, and read its ids; what can be read in pieces stays on the disk."""
        path = folder.predictions
        assert path is not None
        self.name = path.name
        self._on_disk: Source | None = None
        self._columns: Callable[[list[str]], Any]
        self.notes: list[str] = []  # what was ignored
        pieces = reader_of(path).pieces
        if pieces is None:
            text = ("id", "") if folder.universe is None else TEXT
            columns = read_table(folder.source(path, SHARED), text=text, limits=SHARED)
            if folder.universe is not None:
                columns = with_id(columns, path.name)
            self.ids, frame = take_ids(take_frame(columns, path.name))
            self.users, self._columns, schema = frame.names, columns.select, columns.schema
        else:
            self._on_disk = folder.on_disk(path, SHARED)
            file = pieces(self._on_disk, SHARED)
            self._columns, schema, names = file.columns, file.schema, file.schema.names
            if folder.universe is None:
                named = [name for name in names if has_ids([name])] or names
                self.ids, others = take_ids(take_frame(file.columns(named), path.name))
                taken = {*named} - {*others.names}
            else:
                own, series = id_and_series(names, path.name)
                ids = with_id(file.columns([own]), path.name)
                self.ids, _ = take_ids(take_frame(ids, path.name))
                taken = {*names} - {*series}
            self.users = [name for name in names if name not in {*taken, file.index}]
            if file.index is not None and file.index not in taken:
                self.notes = note_beside(path.name, {file.index: INDEX}, "the ids are in a column")
        self._rows: Any = None
        self._kind = float_type(schema.field(user).type for user in self.users)
        if folder.universe is not None:
            import pyarrow as pa

            rows = {id_: row for row, id_ in enumerate(self.ids)}
            self.ids = folder.stocks()
            self._rows = pa.array([rows.get(id_) for id_ in self.ids], pa.int64())
        self.chunk = max(1, _CHUNK_BYTES // (8 * len(self.ids)))
        self._start, self._loaded = 0, self._columns([])

    def _chunk(self, start: int) -> Any:
        """Return the columns of the users from a place on."""
        columns = self._columns(self.users[start : start + self.chunk])
        if self._on_disk is not None:
            self._on_disk.data.check_unchanged()
        return columns

    def matrix(self) -> Numbers | None:
        """Return all columns as (U, stocks), if they are floats of one type and taken as such."""
        if self._kind is None or self._rows is not None:
            return None
        matrix = np.empty((len(self.users), len(self.ids)), self._kind)
        for start in range(0, len(matrix), self.chunk):
            matrix[start : start + self.chunk] = as_rows(self._chunk(start))
        return matrix

    def column(self, place: int) -> Any:
        """Return the column of the user at a place, by `ids`; fastest where places ascend."""
        if not 0 <= place - self._start < self._loaded.num_columns:
            self._start, self._loaded = place, self._chunk(place)
        column = self._loaded.column(place - self._start)
        return column if self._rows is None else column.take(self._rows)

    def numbers(self, user: Any, column: Any) -> Numbers:
        """Return the predictions in a user's column, cleaned if there is a `Universe`.

        Raises:
            RoundError: the column holds no numbers, or cleaning finds a fault.
        """
        place = f"user {shown([str(user)])}"
        values = numbers(column, place)
        return values if self._rows is None else cleaned(values, place)
