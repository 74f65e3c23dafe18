"""Parquet into columns, all or some at a time; the bytes may be damaged or hostile."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
from pyarrow import types

from mmc_gpu.engines.threads import thread_count
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.formats.parquet_pages import Page, pages
from mmc_gpu.files.formats.source import (
    BytesOnDisk,
    Limits,
    Source,
    reading,
    refuse_duplicates,
    refuse_larger,
)
from mmc_gpu.files.system import path_of
from mmc_gpu.inputs.columns import is_text
from mmc_gpu.inputs.frames import index_column

_BATCH = 1 << 16  # the most rows of text that are decoded at a time

_PIECE = 1 << 16  # bytes of a column that are read at a time where columns are streamed

_FEW = 8  # for up to so many columns, to start threads costs more than it saves

_CORES = 2
"""On so few cores streamed columns are decoded by one thread, a quarter faster for the core: the
other scores what has been read."""


def _side_by_side(names: Sequence[str], cores: int) -> bool:
    """Return whether Arrow should decode columns in its own threads: there are more cores.

    It then has at most as many threads as we may use; it counts the cores of the machine.
    """
    if pa.cpu_count() > (threads := thread_count()):
        pa.set_cpu_count(threads)
    return len(names) > _FEW and threads > cores


def read_own(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a table, or some columns, from bytes that are known to be ours, in this thread.

    Arrow's own threads may hold the bytes a moment longer than the call, and at the interpreter's
    exit that aborts the process (apache/arrow #34314, #50482).
    """
    file = parquet.ParquetFile(pa.BufferReader(data), pre_buffer=False)
    return file.read(columns, use_threads=False)


def own_columns(data: bytes) -> dict[str, str]:
    """Return the names of such a table's columns, and their types."""
    schema = parquet.read_schema(pa.BufferReader(data))
    return dict(zip(schema.names, map(str, schema.types), strict=True))


class ParquetSource:
    """A Parquet file whose columns are decoded when they are asked for.

    Page checksums are verified where the file has them. Before anything is decoded, the footer
    tells the rows, the columns and the bytes of numbers, and the pages' headers tell the bytes of
    text: what is too large is refused. Text is measured again while it is decoded. Where a page's
    header gives a wrong size, only the format bounds that page, to 2 GiB.

    Raises:
        RoundError: file-damaged (encrypted files among them), file-empty, file-size, column-type,
            header-duplicate, column-ambiguous.
    """

    def __init__(self, source: Source, limits: Limits, streamed: bool = False) -> None:
        """Read the footer, and refuse a file that is too large.

        If `streamed`, columns are read in small pieces: `batches` can then read row groups of any
        size.
        """
        self._source, self._limits = source, limits
        if not source.size:
            raise RoundError("file-empty", f"{source.name} is empty")
        with _damage_named(source):
            try:
                self._file = parquet.ParquetFile(
                    _opened(source.data),
                    page_checksum_verification=True,
                    pre_buffer=False,
                    buffer_size=_PIECE if streamed else 0,
                )
            except pa.ArrowNotImplementedError as error:  # such as polars' integers of 128 bits
                raise RoundError("column-type", f"{source.name}: {error}") from error
            schema: pa.Schema = self._file.schema_arrow
            self.index = index_column(schema)  # of pandas, if it has written it
            self._pandas = {b"pandas": (schema.metadata or {}).get(b"pandas", b"")}
            self.schema: pa.Schema = schema.remove_metadata()
            self.rows: int = self._file.metadata.num_rows  # at least 1
            self._check_footer()

    def columns(self, names: Sequence[str] | None = None) -> pa.Table:
        """Return columns by name, in the order asked for; all where no names are given.

        The table keeps what pandas has written of its index.

        Numbers, booleans, decimals and text are decoded, text and categories of text into chunks. A
        column of any other type (dates, lists, structs) is returned as nulls of its type: whoever
        refuses it needs only the type, and its values could be a bomb.

        Raises:
            RoundError: file-damaged, also for text that is not UTF-8; file-size.
        """
        wanted = self.schema.names if names is None else names
        fields = [self.schema.field(name) for name in wanted]
        numbers = [field.name for field in fields if _is_number(field.type)]
        with _damage_named(self._source):
            read = self._file.read(numbers, use_threads=_side_by_side(numbers, 1))
            left = self._limits.max_bytes
            columns = []
            for field in fields:
                if _is_number(field.type):
                    column = read.column(field.name)
                elif is_text(_value_type(field.type)):
                    column = self._text(field, left)
                    left -= column.nbytes
                else:
                    column = pa.chunked_array([pa.nulls(self.rows, field.type)])
                if len(column) != self.rows:
                    raise ValueError(f"{self.rows:,} rows, and {len(column):,} values in a column")
                columns.append(column)
        table = pa.Table.from_arrays(columns, names=[field.name for field in fields])
        return table.replace_schema_metadata(self._pandas)

    def batches(
        self, names: Sequence[str], rows: int, first: int = 0, stop: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield columns by name, `rows` rows at a time, from row `first` to the row before `stop`.

        Only the row groups that hold these rows are read.

        Raises:
            RoundError: file-damaged.
        """
        stop = self.rows if stop is None else stop
        metadata, start, end = self._file.metadata, 0, 0
        groups: list[int] = []
        for group in range(metadata.num_row_groups):
            size = metadata.row_group(group).num_rows
            if end < stop and end + size > first:
                start = start if groups else end
                groups.append(group)
            end += size
        left = stop - first
        with _damage_named(self._source):
            threads = _side_by_side(names, _CORES)
            for batch in self._file.iter_batches(rows, groups, columns=names, use_threads=threads):
                skipped = max(0, first - start)
                start += len(batch)
                wanted = batch.slice(skipped, left)
                left -= len(wanted)
                if len(wanted):
                    yield wanted
            if left:
                raise ValueError(f"{stop - first:,} rows, and {left:,} not found")

    def _check_footer(self) -> None:
        name, limits, metadata = self._source.name, self._limits, self._file.metadata
        refuse_larger(name, "columns", metadata.num_columns, limits.max_columns)
        refuse_larger(name, "rows", self.rows, limits.max_rows)
        groups = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        if min(groups, default=0) < 0 or sum(groups) != self.rows:
            raise ValueError(f"{self.rows:,} rows, and {sum(groups):,} in the row groups")
        if not self.rows:
            raise RoundError("file-empty", f"{name} has no rows")
        width = sum(
            (field.type.bit_width + 7) // 8 for field in self.schema if _is_number(field.type)
        )
        refuse_larger(name, "bytes in memory", width * self.rows, limits.max_bytes)
        refuse_duplicates(name, self.schema.names)
        # a column is read by its path: "a.b" is also the path of field b of the struct a
        nested = tuple(f"{field.name}." for field in self.schema if _is_nested(field.type))
        clashes = [column for column in self.schema.names if column.startswith(nested)]
        if clashes:
            both = f"{shown(clashes)} and a field of a struct"
            raise RoundError("column-ambiguous", f"{name}: {both}")

    def _text(self, field: pa.Field, most: int) -> pa.ChunkedArray:
        """Decode a column of text in batches that fit with the longest text in every row."""
        size = longest = 0
        for page in self._pages(field.name):
            size += page.size
            longest += page.size if page.repeats else 0
        refuse_larger(self._source.name, "bytes of text", size, most)
        rows = max(1, min(_BATCH, most // max(longest, 1)))
        chunks, size = [], 0
        for batch in self._file.iter_batches(rows, columns=[field.name], use_threads=False):
            batch.validate(full=True)  # Arrow's reader does not check that text is UTF-8
            column = batch.column(0)
            chunks.append(column)
            if types.is_dictionary(field.type):  # what each row's text takes
                column = column.cast(field.type.value_type)
            size += column.nbytes
            refuse_larger(self._source.name, "bytes of text", size, most)
        return pa.chunked_array(chunks, field.type)

    def _pages(self, name: str) -> Iterator[Page]:
        metadata = self._file.metadata
        leaves = range(metadata.num_columns)
        leaf = [metadata.schema.column(leaf).path for leaf in leaves].index(name)
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            if rows:
                # To access a chunk's damaged metadata ends the process (pyarrow 18 to 26:
                # RowGroupMetaData.ColumnChunk is declared without "except +"); to decode a row
                # raises an error first. Needed until the access raises one, too.
                first = self._file.iter_batches(1, [group], columns=[name], use_threads=False)
                if next(first, None) is None:
                    raise ValueError(f"row group {group:,} has no rows")
                chunk = metadata.row_group(group).column(leaf)
                if chunk.num_values != rows:
                    raise ValueError(f"{rows:,} rows, and {chunk.num_values:,} values in a column")
                yield from pages(self._source.data, chunk)


def _is_number(kind: pa.DataType) -> bool:
    number = types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind)
    return number or types.is_decimal(kind)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if types.is_dictionary(kind) else kind


def _is_nested(kind: pa.DataType) -> bool:
    return types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType)


def _opened(data: bytes | BytesOnDisk) -> Any:
    """Return what Arrow reads; an open file by its path, so that it does not wait for Python."""
    if isinstance(data, bytes):
        return pa.BufferReader(data)
    path = path_of(data.file.fileno())
    return pa.PythonFile(data.file, "r") if path is None else pa.OSFile(path)


@contextmanager
def _damage_named(source: Source) -> Iterator[None]:
    """Turn Arrow's errors, and those of our own checks, into file-damaged; see `reading`."""
    try:
        with reading(source.place or str(source.path)):
            yield
    except RoundError:
        raise
    except MemoryError as error:  # perhaps for what a hostile page claims: say which file it is
        raise MemoryError(f"{source.name}: {error}") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        if getattr(error, "errno", None):
            raise
        detail = f"{source.name} cannot be read as Parquet: {ascii(str(error))[:200]}"
        raise RoundError("file-damaged", detail) from error
