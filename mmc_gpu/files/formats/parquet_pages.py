"""The pages of a Parquet column, as their own headers describe them.

The footer of a file may give wrong sizes, and Arrow believes the page headers alone. To read them
takes some 20 us a page. It is done for text, whose size nothing else bounds; a number takes 8 bytes
at most. A header is a struct in Thrift's compact protocol: each field has a number and a type, and
integers are zigzag varints.

Source: parquet.thrift (PageHeader); thrift, doc/specs/thrift-compact-protocol.md.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from mmc_gpu.files.formats.source import BytesOnDisk

Fields = tuple[int, ...]
"""The place of a field: its number in its struct, after the numbers of the structs around it."""

_KIND, _UNPACKED, _PACKED = (1,), (2,), (3,)  # fields of PageHeader

_VALUES, _VALUES_V2, _ENCODING, _ENCODING_V2 = (5, 1), (8, 1), (5, 2), (8, 4)
"""Fields of the structs in PageHeader that describe a page of data, in two versions."""

_DICTIONARY, _DELTA_BYTE_ARRAY = 2, 7
"""A kind of page and an encoding: in both a byte of the page can stand in many rows."""

_DEPTH = 3  # how deep structs lie in structs: the header, a page of data, its statistics


class Page(NamedTuple):
    """A page: its unpacked bytes, its values, and whether one byte can stand in many rows."""

    size: int
    values: int
    repeats: bool


_Data = bytes | BytesOnDisk


def pages(data: _Data, chunk: Any) -> Iterator[Page]:
    """Yield the pages of a column chunk in the order in which Arrow reads them.

    The first is the dictionary, if there is one; the last holds the chunk's last value.

    Raises:
        ValueError: a header cannot be read.
    """
    at = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < at:
        at = chunk.dictionary_page_offset
    values = 0
    while values < chunk.num_values:
        try:
            header, at = _struct(data, at)
            size, packed = header[_UNPACKED], header[_PACKED]
        except (IndexError, KeyError) as error:
            raise ValueError(f"no page header at byte {at:,}") from error
        if size < 0 or packed < 0:
            raise ValueError(f"a page of {size:,} bytes, packed {packed:,}")
        encoding = header.get(_ENCODING, header.get(_ENCODING_V2))
        repeats = header.get(_KIND) == _DICTIONARY or encoding == _DELTA_BYTE_ARRAY
        page = Page(size, header.get(_VALUES, header.get(_VALUES_V2, 0)), repeats)
        yield page
        values += page.values
        at += packed


def _struct(data: _Data, at: int, path: Fields = ()) -> tuple[dict[Fields, int], int]:
    """Return the integers of a struct, and of the structs in it, by place; and where it ends."""
    if len(path) == _DEPTH:
        raise ValueError(f"structs too deep at byte {at:,}")
    found: dict[Fields, int] = {}
    field = 0
    while kind := data[at]:
        at += 1
        if kind >> 4:
            field += kind >> 4
        else:
            field, at = _integer(data, at)
        match kind & 15:
            case 1 | 2:  # true, false: no bytes of its own
                pass
            case 5 | 6:  # i32, i64
                found[*path, field], at = _integer(data, at)
            case 8:  # binary: a statistic
                length, at = _varint(data, at)
                at += length
            case 12:
                inner, at = _struct(data, at, (*path, field))
                found |= inner
            case _:
                raise ValueError(f"no page header at byte {at:,}")
    return found, at + 1


def _integer(data: _Data, at: int) -> tuple[int, int]:
    zigzag, at = _varint(data, at)
    return zigzag >> 1 ^ -(zigzag & 1), at


def _varint(data: _Data, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError(f"a number without end at byte {at:,}")
