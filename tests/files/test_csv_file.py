"""Reading CSV: what is taken, what is refused, and where it says the fault is.

Long, because a stranger's file can be wrong in this many ways.
"""

import csv
import gzip
import io
import math
import re
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats import csv_file
from mmc_gpu.files.formats.csv_file import NULLS
from mmc_gpu.files.formats.source import Limits, Source
from mmc_gpu.files.formats.table import reader_of
from mmc_gpu.inputs.columns import numbers


def read(data, name="a.csv", **limits):
    data = data.encode() if isinstance(data, str) else data
    path = Path(name)
    return reader_of(path).whole(Source(path, data, ""), ["id"], Limits(**limits))


def predictions(*fields):
    rows = "".join(f"n{row},{field}\n" for row, field in enumerate(fields))
    return read(f"id,prediction\n{rows}").column("prediction")


# text and numbers


def test_a_submission_is_text_and_float64():
    table = read("id,prediction\nn1,0.25\nn2,1e-3\n")
    assert table.schema == pa.schema({"id": pa.string(), "prediction": pa.float64()})
    assert table.to_pydict() == {"id": ["n1", "n2"], "prediction": [0.25, 1e-3]}


def test_ids_are_never_parsed():
    ids = ["NA", "null", "None", "nan", "00123", "1e5", "0x1A", "TRUE", "", "inf", "1.0", " a "]
    table = read("id,prediction\n" + "".join(f"{name},0.5\n" for name in ids))
    assert table.column("id").to_pylist() == ids
    assert table.column("id").null_count == 0


@pytest.mark.parametrize("name", ["id", "ID", "Id", " id ", '"id"', "id\t"])
def test_a_column_of_text_is_found_in_any_case(name):
    assert read(f"{name},prediction\n007,0.5\n").column(0).to_pylist() == ["007"]


def test_every_other_column_is_numbers():
    table = read("id,era,prediction\nn1,3,1\n")
    assert table.schema.types == [pa.string(), pa.float64(), pa.float64()]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("0.1234567890123456789", 0.1234567890123456789),
        ("+0.5", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0.0", -0.0),
        ("1E+3", 1000.0),
        ("007", 7.0),
        (" 0.5\t", 0.5),
        ('"0.5"', 0.5),
        ("5e-324", 5e-324),
        ("1e-400", 0.0),
        ("1.7976931348623157e308", 1.7976931348623157e308),
    ],
)
def test_a_plain_number_is_read_to_the_last_bit(field, value):
    (found,) = predictions(field).to_pylist()
    assert (found, math.copysign(1, found)) == (value, math.copysign(1, value))


@pytest.mark.parametrize("field", ["1e400", "inf", "Infinity", "INF", "+inf", "1" * 400])
def test_what_is_too_large_is_infinite(field):
    assert predictions(field, f"-{field.lstrip('+')}").to_pylist() == [math.inf, -math.inf]


@pytest.mark.parametrize("field", NULLS)
def test_a_missing_number_is_null(field):
    column = predictions("0.5", field)
    assert column.type == pa.float64()
    assert column.to_pylist() == [0.5, None]


def test_a_missing_number_is_null_beside_a_word_too():
    assert predictions("x", "", " NA ", "None", "0.5").to_pylist() == ["x", None, None, None, "0.5"]


def test_a_column_of_nothing_is_nulls():
    assert predictions("", "NaN").to_pylist() == [None, None]


@pytest.mark.parametrize(
    "word",
    [
        *('"0,5"', '"1,000.5"', "1 000", "1_000", "0x1A", "0b1", "1e", "1d5", ".", "-", "--1"),
        *("\u0661", "0\u066b5", "\uff11", "\u00bd", "\u22120.5", "\u00a00.5", "True", "0.5%"),
    ],
)
def test_what_is_no_plain_number_leaves_its_column_text(word):
    column = predictions("0.25", "", word, "0.75", "bad")
    assert column.type == pa.string()
    word = word.strip('"')
    assert column[2].as_py() == word
    with pytest.raises(RoundError, match=re.escape(f"{word!a} is text")) as error:
        numbers(column, "u1")
    assert error.value.code == "value-text"


def test_one_column_of_words_leaves_the_others_numbers():
    table = read('id,u1,u2\nn1,0.5,"0,5"\nNA,,0.25\n')
    assert table.to_pydict() == {"id": ["n1", "NA"], "u1": [0.5, None], "u2": ["0,5", "0.25"]}


@pytest.mark.parametrize("row", [0, 1, 2, 499, 998, 999])
def test_the_first_word_is_found_wherever_it_stands(row):
    fields = ["0.5"] * row + ["a"] + ["b"] * (999 - row)
    with pytest.raises(RoundError, match="'a' is text"):
        numbers(predictions(*fields), "u1")


# rows and lines


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_any_line_end_will_do(end, last):
    text = end.join(["id,prediction", "n1,0.5", "n2,0.25"]) + end * last
    assert read(text).to_pydict() == {"id": ["n1", "n2"], "prediction": [0.5, 0.25]}


def test_blank_lines_are_no_rows():
    assert read("\n\nid,prediction\n\nn1,0.5\n\n\nn2,0.25\n\n").num_rows == 2


def test_a_byte_order_mark_is_no_part_of_the_first_name():
    assert read("\ufeffid,prediction\nNA,0.5\n").to_pydict() == {"id": ["NA"], "prediction": [0.5]}


def test_one_row_is_read():
    assert read("id,prediction\nn1,0.5").num_rows == 1


def test_a_quoted_field_may_hold_anything():
    table = read('id,prediction\n"a,b",0.5\n"c\nd",0.25\n"say ""e""",0.75\n')
    assert table.to_pydict() == {"id": ["a,b", "c\nd", 'say "e"'], "prediction": [0.5, 0.25, 0.75]}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("id,prediction\nn1,0.5\nn2,0.5,9\n", "2 in line 1, 3 in line 3"),
        ("id,prediction\nn1,0.5\nn2\n", "2 in line 1, 1 in line 3"),
        ("id,prediction\n\n\nn1,0.5,\n", "2 in line 1, 3 in line 4"),
        ('\n\nid,prediction\n"a\nb\nc",0.5\nn2\n', "2 in line 3, 1 in line 7"),
        ("id,prediction\r\nn1,0.5\r\nn2\r\n", "2 in line 1, 1 in line 3"),
        ("id,prediction\nn1,0,5\n", "2 in line 1, 3 in line 2"),
        ("id,prediction\nn1;0.5\n", "2 in line 1, 1 in line 2"),
        ("id,prediction\nn1,0.5\n \nn2,0.5\n", "2 in line 1, 1 in line 3"),
        ("id,u1,u2\na,x\nb\nc,1,2\nd\ne\n", "3 in line 1, 2 in line 2, 1 in line 3, 1 in line 5"),
    ],
)
def test_a_row_of_another_width_is_refused_with_its_line(text, found, refused):
    assert refused("row-width", read, text).endswith(f"fields: {found}")


def test_a_row_of_another_width_is_found_in_a_later_block(refused, monkeypatch):
    monkeypatch.setattr(csv_file, "_BLOCK", 4096)
    rows = "".join(f"n{row},0.5\n" for row in range(5000))
    assert read(f"id,prediction\n{rows}").num_rows == 5000
    detail = refused("row-width", read, f"id,prediction\n{rows}n5000,0.5,1\n")
    assert "3 in line 5,002" in detail


def test_quoted_line_ends_do_not_shift_rows_between_blocks(monkeypatch):
    monkeypatch.setattr(csv_file, "_BLOCK", 256)
    ids = [f"a\n{'b' * (row % 90)}\n,{row}" for row in range(500)]
    text = io.StringIO()
    csv.writer(text).writerows([("id", "prediction"), *((name, 0.5) for name in ids)])
    assert read(text.getvalue()).column("id").to_pylist() == ids


def test_a_row_longer_than_a_block_is_refused_and_not_cut(refused, monkeypatch):
    monkeypatch.setattr(csv_file, "_BLOCK", 256)
    refused("row-width", read, f"id,prediction\n{'n' * 1000},0.5\nn2,0.5\n")


@pytest.mark.parametrize(
    "text",
    [
        'id,prediction\nn1,"0.5\nn2,0.5\n',
        'prediction,id\n0.5,"n1\n0.5,n2\n',
        '"id,prediction\n1,2\n',
    ],
)
def test_a_quote_that_never_closes_swallows_no_rows(text, refused):
    refused("file-damaged", read, text)


def test_a_field_without_end_is_no_header(refused):
    refused("file-damaged", read, "i" * 200_000 + "\n1\n")


# headers


@pytest.mark.parametrize("text", ["", "\n", "\r\n\r\n", "\ufeff"])
def test_an_empty_file_is_refused(text, refused):
    assert "is empty" in refused("file-empty", read, text)


@pytest.mark.parametrize("text", ["id,prediction", "id,prediction\n", "id,prediction\r\n\r\n"])
def test_a_header_alone_is_refused(text, refused):
    assert "no rows" in refused("file-empty", read, text)


@pytest.mark.parametrize(
    ("separator", "called"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")]
)
def test_another_separator_is_named(separator, called, refused):
    text = f"id{separator}prediction\nn1{separator}0,5\n"
    assert called in refused("file-separator", read, text)


def test_a_name_that_stands_twice_is_refused(refused):
    detail = refused("header-duplicate", read, "id,prediction,prediction,id\nn1,1,2,n1\n")
    assert "'id', 'prediction'" in detail


def test_names_that_differ_in_case_are_kept_for_the_caller_to_judge():
    assert read("id,prediction,Prediction\nn1,1,2\n").column_names[1:] == [
        "prediction",
        "Prediction",
    ]


# bytes


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_refused(encoding, refused):
    detail = refused("file-encoding", read, "id,prediction\nn1,0.5\n".encode(encoding))
    assert "UTF-16" in detail


def test_utf_16_without_a_zero_byte_is_refused(refused):
    text = "\u4e2d\u6587\u5b57\u7b26" * 10
    assert "0xff at byte 0" in refused("file-encoding", read, text.encode("utf-16"))


@pytest.mark.parametrize(
    ("data", "byte"),
    [
        (b"\xffd,prediction\nn1,0.5\n", 0),
        (b"id,prediction\nn1\xe9,0.5\n", 16),
        (b"id,prediction\nn1,0.5\xe9\n", 20),
        (b"id,prediction\n" + b"n1,0.5\n" * 5000 + b"\xc3,0.5\n", 35_014),
    ],
)
def test_bytes_that_are_not_utf_8_are_refused_with_their_place(data, byte, refused):
    assert refused("file-encoding", read, data).endswith(f"at byte {byte:,}")


@pytest.mark.parametrize("data", [b"id,prediction\nn\0,0.5\n", b"id,prediction\nn,0.5\n\0\0\0\0"])
def test_zero_bytes_are_refused(data, refused):
    assert "NUL at byte" in refused("file-encoding", read, data)


def test_letters_of_any_script_are_text():
    assert read("id,prediction\n\u0436\u4e2d\U0001f600,0.5\n").column("id")[0].as_py() == (
        "\u0436\u4e2d\U0001f600"
    )


# sizes


def test_rows_and_columns_are_bounded(refused):
    text = "id,u1,u2\n" + "n,1,2\n" * 100
    assert read(text, max_rows=100, max_columns=3).shape == (100, 3)
    assert "100 rows" in refused("file-size", read, text, max_rows=99)
    assert "3 columns" in refused("file-size", read, text, max_columns=2)


def test_fields_of_one_byte_are_bounded_before_they_take_eight(refused):
    text = "," * 999 + "\n"
    header = ",".join(f"u{column}" for column in range(1000))
    data = f"{header}\n{text * 1000}"
    assert "8,008,000 bytes in memory" in refused("file-size", read, data, max_bytes=8_000_000)


# gzip


def test_a_packed_file_is_read():
    packed = gzip.compress(b"id,prediction\nn1,0.5\n")
    assert read(packed, "a.csv.gz").to_pydict() == {"id": ["n1"], "prediction": [0.5]}


def test_a_file_packed_in_parts_is_read_whole():
    packed = gzip.compress(b"id,prediction\nn1,0.5\n") + gzip.compress(b"n2,0.25\n")
    assert read(packed, "a.CSV.GZ").num_rows == 2


def test_a_bomb_is_refused_without_unpacking_it(refused):
    part = gzip.compress(bytes(8 << 20))
    bomb = part * 512  # 4 GiB in 4 MiB
    tracemalloc.start()
    try:
        detail = refused("file-size", read, bomb, "a.csv.gz", max_bytes=16 << 20)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "unpacked" in detail
    assert most < 40 << 20


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, -1, -4, -8])
def test_a_truncated_packed_file_is_refused(kept, refused):
    packed = gzip.compress("".join(f"n{row},0.{row}\n" for row in range(999)).encode())
    cut = packed[: int(len(packed) * kept) if kept > 0 else kept]
    refused("file-damaged", read, cut, "a.csv.gz")


def test_a_flipped_bit_in_a_packed_file_changes_no_value():
    text = "id,prediction\n" + "".join(f"n{row},0.{row}\n" for row in range(99))
    whole, packed = read(text), gzip.compress(text.encode())
    codes = []
    for place in range(len(packed)):
        damaged = bytearray(packed)
        damaged[place] ^= 1 << place % 8
        try:
            table = read(bytes(damaged), "a.csv.gz")
        except RoundError as error:
            codes.append(error.code)
        else:  # the time and the system that packed it, and padding, are under no checksum
            assert table.equals(whole)
    assert set(codes) == {"file-damaged"}
    assert len(codes) > len(packed) - 16


def test_what_is_not_packed_is_refused_under_that_name(refused):
    refused("file-damaged", read, "id,prediction\nn1,0.5\n", "a.csv.gz")


# any bytes

_PIECES = st.sampled_from(
    [
        *(b"id", b"prediction", b"a", b"0.5", b"nan", b",", b",", b",", b"\n", b"\n", b"\r", b'"'),
        *(b'""', b" ", b"\t", b";", b"\xff", b"\xc3\xa9", b"\xef\xbb\xbf", b"\x00", b"\x0b"),
    ]
)


_BYTES = st.lists(_PIECES, max_size=30).map(b"".join) | st.binary(max_size=100)
_FIELD = st.lists(_PIECES, max_size=2).map(b"".join)
_ROWS = st.lists(st.tuples(_FIELD, _FIELD).map(b",".join), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(_BYTES | _ROWS.map(lambda rows: b"\n".join([b"id,a", *rows])))
def test_any_bytes_are_a_refusal_or_what_pythons_reader_finds(data):
    try:
        table = read(data)
    except RoundError:
        return
    rows = [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) if row]
    assert table.column_names == rows[0]
    assert table.num_rows == len(rows) - 1
    for name, column, fields in zip(
        table.column_names, table.columns, zip(*rows[1:], strict=True), strict=True
    ):
        if name.strip().lower() == "id":
            assert column.to_pylist() == list(fields)
