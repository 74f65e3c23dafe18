"""Tables as the bytes of files: Parquet and CSV."""

import csv
import hashlib
import io
from collections.abc import Mapping
from typing import Any, BinaryIO

from mmc_gpu.inputs.columns import as_arrow

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_safe(text: str) -> str:
    """Return a cell of text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_unsafe(cell: str) -> str:
    """Return the text that `csv_safe` made a cell of."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


class Hashing(io.RawIOBase):
    """Writes to a file, and hashes what it writes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.sha256 = file, hashlib.sha256()

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write and hash bytes."""
        self.sha256.update(data)
        return self._file.write(data)

    def tell(self) -> int:
        """Return where the next byte goes."""
        return self._file.tell()


def parquet_bytes(columns: Mapping[str, Any]) -> bytes:
    """Return columns as the bytes of a Parquet file."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(_table(columns), buffer, write_page_checksum=True)
    return buffer.getvalue()


def _table(columns: Mapping[str, Any]) -> Any:
    import pyarrow as pa

    return pa.table({name: as_arrow(values) for name, values in columns.items()})


def csv_bytes(columns: Mapping[str, Any]) -> bytes:
    """Return CSV whose numbers read back to the same bits, and whose text starts no formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([_csv_cell(cell) for cell in row])
    return buffer.getvalue().encode()


def _csv_cell(cell: Any) -> Any:
    return csv_safe(cell) if isinstance(cell, str) else getattr(cell, "item", lambda: cell)()
