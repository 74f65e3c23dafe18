"""Files of eras: sorted files of any size in the memory of one era, or whole files."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmc_gpu.engines.arrays import Numbers
from mmc_gpu.eras.columns import Columns, EraRows, Label, Piece, as_labels, era_label, era_order
from mmc_gpu.eras.frames import FrameEras
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.formats.parquet_file import ParquetSource
from mmc_gpu.files.formats.source import Limits, open_source, read_source, reading, refuse_larger
from mmc_gpu.files.formats.table import READERS, read_table, reader_of, split_suffix
from mmc_gpu.inputs.beside import INDEX, NO_NAME, is_nameless, is_whole
from mmc_gpu.inputs.columns import as_fault, numbers

_BYTES = 2**24  # bytes of numbers that are decoded at a time

_FLOATS = (pa.float32(), pa.float64())
_NARROW = {"bool", "int8", "uint8", "int16", "uint16", "halffloat", "float"}  # fit in float32

_ERA_ROWS = 2**16  # rows of the column of eras that are decoded at a time

_LIMITS = Limits(max_rows=2**40, max_bytes=2**50)
"""No bounds: only a piece of the file is ever in memory."""

_ANY_ROWS = Limits(max_rows=2**40)  # data over eras has as many rows as memory holds


class WholeEras(FrameEras):
    """A file that has been read whole into memory; see `EraSource` and `PieceEras`."""

    def __init__(self, path: Path, text: Collection[str]) -> None:
        """Read the file; `text` names the columns of eras and ids, which are text."""
        source = read_source(path)
        self.path, self.entry = path, source.entry(path.name)
        text = [*text, ""]
        table = read_table(source, text=text, limits=_ANY_ROWS)
        super().__init__(table, path.name)
        # a column of whole numbers is one of integers, as in Parquet, if no field has a point
        if whole := [name for name in self.floats if is_whole(self._columns[name])]:
            written = read_table(source, text=[*text, *whole], limits=_ANY_ROWS)
            points = {name: pc.match_substring_regex(written[name], "[.eE]") for name in whole}
            self.floats = [n for n in self.floats if n not in points or pc.any(points[n]).as_py()]
        self.columns = table.select


class PartEras:
    """Parts of one table, or a file that is not sorted by era, read by column; see `EraSource`."""

    notes: Sequence[str] = ()

    def __init__(self, parts: "Sequence[PieceEras | WholeEras]", place: str) -> None:
        """Take the parts; raise RoundError where their columns differ."""
        first = parts[0]
        for part in parts:
            if odd := set(part.names) ^ set(first.names):
                detail = f"{place}: {part.place} and {first.place} differ by {shown(sorted(odd))}"
                raise RoundError("column-missing", detail)
        self.parts, self.place, self.rows = parts, place, sum(part.rows for part in parts)
        self.names, self.index, self.aside = first.names, first.index, first.aside
        # a column of floats may have only whole numbers, or nothing, in some part
        floats = {name for part in parts for name in part.floats}
        self.floats = [name for name in self.names if name in floats]
        self._labels: dict[Any, list[Label]] = {}
        for name in self.floats:
            if not str(name).startswith(("feature", "target")):  # it could be a model's
                self.aside = self._frame([name]).aside | self.aside

    def labels(self, era: Any) -> list[Label]:
        if era not in self._labels:
            self._labels[era] = self._frame([era]).labels(era)
        return list(self._labels[era])

    def eras(self, columns: Columns, chosen: slice = slice(None)) -> Iterator[EraRows]:
        ids = [] if columns.ids is None else [columns.ids]
        return self._frame([columns.era, *ids, *columns.numeric]).eras(columns, chosen)

    def pieces(self, era: Any, ids: Any, names: Sequence[Any]) -> Iterator[Piece]:
        for part in self.parts:
            yield from part.pieces(era, ids, names)

    def _frame(self, names: Sequence[Any]) -> FrameEras:
        names = [*dict.fromkeys(names)]
        size = 8 * self.rows * len(names)
        refuse_larger(self.place, "bytes in parts, or not sorted by era", size, Limits.max_bytes)
        with as_fault("column-type", self.place):
            tables = [part.columns(names) for part in self.parts]
            table = pa.concat_tables(tables, promote_options="permissive")
        return FrameEras(table, self.place)


def open_eras(
    path: Path, era: Any, ids: Any, text: Collection[str] = ()
) -> "PieceEras | WholeEras | PartEras":
    """Return the eras of a file or of a folder of parts, piece by piece where the format can be.

    In a CSV the columns `era`, `ids` and those in `text` are text. If `era` is None, the rows may
    stand in any order.
    """
    text = [*text, *(str(name) for name in (era, ids) if name is not None)]
    with reading(str(path)):
        folder, paths = path.is_dir(), [path]
        if folder:  # a hidden file is a system's, not a part
            files = (one for one in path.iterdir() if not one.name.startswith("."))
            paths = sorted(one for one in files if split_suffix(one)[1])
    if not paths:
        known = ", ".join(READERS)
        raise RoundError("file-missing", f"{str(path)!a}: no file with a suffix of {known}")
    parts: list[PieceEras | WholeEras] = [
        WholeEras(one, text) if reader_of(one).pieces is None else PieceEras(one) for one in paths
    ]
    first = parts[0]
    if folder or (isinstance(first, PieceEras) and not first.is_sorted(era)):
        return PartEras(parts, path.name or str(path))
    return first


def entries_of(source: "PieceEras | WholeEras | PartEras", role: str) -> list[dict[str, Any]]:
    """Return name, bytes, sha256 and role of the source's files, as a receipt lists them."""
    parts = source.parts if isinstance(source, PartEras) else [source]
    return [part.entry | {"role": role} for part in parts]


class PieceEras:
    """A file whose eras ascend, read piece by piece; see `EraSource`."""

    notes: Sequence[str] = ()

    def __init__(self, path: Path) -> None:
        source = open_source(path)
        self.path, self._source = path, source
        self._file = ParquetSource(source, _LIMITS, streamed=True)
        self._check_unchanged = source.data.check_unchanged
        self.place, self.rows = path.name, self._file.rows
        self.names: list[Any] = self._file.schema.names
        self.floats: list[Any] = [f.name for f in self._file.schema if pa.types.is_floating(f.type)]
        self.index = self._file.index
        self.aside = {name: NO_NAME for name in self.floats if is_nameless(name)}
        if self.index is None:
            text = {pa.string(), pa.large_string(), pa.string_view()}
            nameless = [f.name for f in self._file.schema if is_nameless(f.name) and f.type in text]
            self.index = nameless[0] if len(nameless) == 1 else None
        elif self.index in self.floats:
            self.aside[self.index] = INDEX
        self._era: Any = None
        self._sizes: dict[Label, int] = {}

    @property
    def entry(self) -> dict[str, Any]:
        """Return the file's name, bytes and sha256, as a receipt lists it, when it is hashed."""
        return self._source.entry(self.path.name)

    def columns(self, names: Sequence[Any]) -> pa.Table:
        """Return some columns of the whole file."""
        return pa.Table.from_batches(self._file.batches(names, 2**16))

    def is_sorted(self, era: Any) -> bool:
        """Return whether eras ascend from row to row, or there is no column of eras."""
        try:
            return era not in self.names or bool(self.labels(era))
        except RoundError as error:
            if error.code == "era-order":
                return False
            raise

    def labels(self, era: Any) -> list[Label]:
        """Return the eras in ascending order; only their column is read.

        Raises:
            RoundError: era-order where rows of an era are scattered, or eras do not ascend.
        """
        if self._sizes and era == self._era:
            return list(self._sizes)
        sizes: dict[Label, int] = {}
        last: Any = None
        for batch in self._file.batches([era], _ERA_ROWS):
            for value, rows in _runs(batch.column(0), self.place):
                label = era_label(value, self.place)
                if label != last and last is not None and era_order(label) <= era_order(last):
                    raise RoundError("era-order", f"{self.place}: era {label} after era {last}")
                sizes[label] = sizes.get(label, 0) + rows
                last = label
        self._era, self._sizes = era, sizes
        return list(sizes)

    def eras(self, columns: Columns, chosen: slice = slice(None)) -> Iterator[EraRows]:
        every = list(self._sizes or self.labels(columns.era))
        labels, before = iter(every[chosen]), every[: chosen.start or 0]
        first = sum(self._sizes[label] for label in before)
        stop = first + sum(self._sizes[label] for label in every[chosen])
        names, ids = columns.numeric, columns.ids
        narrow = all(str(self._file.schema.field(name).type) in _NARROW for name in names)
        dtype = np.float32 if narrow else np.float64
        size = np.dtype(dtype).itemsize * max(1, len(names))
        rows = max(256, min(2**16, _BYTES // size))
        label, at, end = None, 0, 0
        parts: list[Numbers] = []
        found: list[Any] = []
        wanted = [*names, *([ids] if ids is not None else [])]
        for batch in self._file.batches(wanted, rows, first, stop):
            start = 0
            while start < len(batch):
                if at == end:
                    label, at, parts, found = next(labels), 0, [], []
                    end = self._sizes[label]
                piece = batch.slice(start, end - at)
                parts.append(self._matrix(piece, names, dtype))
                if ids is not None:
                    found.append(as_labels(piece.column(ids), self.place))
                start, at = start + len(piece), at + len(piece)
                if at == end and label is not None:
                    matrix = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
                    own = slice(first, first + at)
                    first += at
                    yield EraRows(label, found[0].append(found[1:]) if found else None, matrix, own)
        self._check_unchanged()

    def _matrix(self, batch: Any, names: list[Any], dtype: Any) -> Numbers:
        """Return the batch's columns of numbers, which are its first ones: (columns, rows)."""
        columns = batch.columns[: len(names)]
        if all(column.type in _FLOATS for column in columns):  # at once: 4 ms instead of 8
            floats = batch.select(range(len(names)))
            matrix: Numbers = floats.to_tensor(null_to_nan=True, row_major=False).to_numpy().T
            return matrix
        matrix = np.empty((len(names), len(batch)), dtype)
        for row, name, column in zip(matrix, names, columns, strict=True):
            row[:] = numbers(column, f"{self.place}: column {shown([name])}")
        return matrix

    def pieces(self, era: Any, ids: Any, names: Sequence[Any]) -> Iterator[Piece]:
        at = [name for name in (era, ids) if name is not None]
        rows = max(256, min(2**16, _BYTES // (8 * max(1, len(names)))))
        for batch in self._file.batches([*dict.fromkeys([*at, *names])], rows):
            column = batch.column
            yield Piece(
                None if ids is None else column(ids),
                None if era is None else column(era),
                [column(name) for name in names],
            )
        self._check_unchanged()


def _runs(column: Any, place: str) -> list[tuple[Any, int]]:
    """Return the values of a column, and for each how many rows it fills one after another."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string_view(column.type):  # which Arrow does not encode
        column = column.cast(pa.large_string())
    with as_fault("era-type", f"{place}: eras of type {column.type}"):
        runs = pc.run_end_encode(column)
        sizes = np.diff(runs.run_ends.to_numpy(), prepend=0).tolist()
        return list(zip(runs.values.to_pylist(), sizes, strict=True))
