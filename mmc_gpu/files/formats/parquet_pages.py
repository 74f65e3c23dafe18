"""The pages of a Parquet column, by their own headers.

A footer can lie about sizes, and Arrow goes by the page headers alone. Reading them takes some
20 us a page, so this is done for text, whose size nothing else bounds, and not for numbers, of
which a row takes 8 bytes. A header is a struct in Thrift's compact protocol: fields of a number and
a type, integers as zigzag varints.

Source: parquet.thrift (PageHeader); thrift, doc/specs/thrift-compact-protocol.md.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

Fields = tuple[int, ...]
"""The number of a struct's field, within that of a field, within ..."""

_KIND, _UNPACKED, _PACKED = (1,), (2,), (3,)
"""Fields of PageHeader."""

_VALUES, _VALUES_V2, _ENCODING, _ENCODING_V2 = (5, 1), (8, 1), (5, 2), (8, 4)
"""Fields of the structs within it that describe a page of data, in its two versions."""

_DICTIONARY, _DELTA_BYTE_ARRAY = 2, 7
"""A kind of page and an encoding: those in which a byte of the page can stand in many rows."""

_DEPTH = 3
"""Structs within structs: the header, a page of data, its statistics."""


class Page(NamedTuple):
    """A page: the bytes it unpacks to, its values, and whether a byte can stand in many rows."""

    size: int
    values: int
    repeats: bool


class ByBytes(Protocol):
    """What gives a byte for its place: bytes, or a file."""

    def __getitem__(self, at: int, /) -> int:
        """Return a byte."""
        ...


def pages(data: ByBytes, chunk: Any) -> Iterator[Page]:
    """Yield a column chunk's pages as Arrow follows them.

    From the dictionary, if there is one, to the page in which the chunk's last value stands.

    Args:
        data: the file's bytes, one at a time.
        chunk: the metadata of the column chunk.

    Raises:
        ValueError: the headers cannot be followed.
    """
    at = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < at:
        at = chunk.dictionary_page_offset
    if at < 0:
        raise ValueError(f"a column at byte {at:,}")
    end = at + chunk.total_compressed_size
    values = number = 0
    while values < chunk.num_values and at < end:
        number += 1
        if (
            number > chunk.num_values + 1
        ):  # a dictionary, and at least a value in each of the others
            raise ValueError(f"{number:,} pages for {chunk.num_values:,} values")
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


def _struct(data: ByBytes, at: int, path: Fields = ()) -> tuple[dict[Fields, int], int]:
    """Return a struct's integers, and those of the structs in it, by path, and where it ends."""
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
            case 4 | 5 | 6:  # i16, i32, i64
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


def _integer(data: ByBytes, at: int) -> tuple[int, int]:
    zigzag, at = _varint(data, at)
    return zigzag >> 1 ^ -(zigzag & 1), at


def _varint(data: ByBytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError(f"a number without end at byte {at:,}")
