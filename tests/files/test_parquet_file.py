"""Reading Parquet: what is taken, what is refused, and what a damaged or hostile file gets.

Long, because a stranger's file can be wrong in this many ways.
"""

import base64
import io
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pyarrow.parquet.encryption as encryption
import pytest

from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.parquet_file import ParquetSource
from mmc_gpu.files.formats.parquet_pages import Page, pages
from mmc_gpu.files.formats.source import Limits, Source

polars = pytest.importorskip("polars", reason="the extra `test` has polars")

ROWS = 60


def written(table, **options):
    stream = io.BytesIO()
    parquet.write_table(table, stream, **options)
    return stream.getvalue()


def opened(data, **limits):
    return ParquetSource(Source(Path("a.parquet"), data, ""), Limits(**limits))


def read(data, **limits):
    return opened(data, **limits).columns()


@pytest.fixture(scope="module")
def submission():
    predictions = np.random.default_rng(0).random(ROWS)
    return pa.table({"id": [f"n{row % 20:03}" for row in range(ROWS)], "prediction": predictions})


def footer_start(data):
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")


# columns


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(pa.ArrowMemoryError("malloc failed"), MemoryError), (OSError(5, "Input/output"), OSError)],
)
def test_a_fault_of_the_machine_is_no_damaged_file(submission, monkeypatch, fault, kind):
    def refusing(*_):
        raise fault

    file = opened(written(submission))
    monkeypatch.setattr(file, "_text", refusing)
    with pytest.raises(kind, match=r"a\.parquet"):
        file.columns()


def test_a_submission_is_passed_on_as_it_is(submission):
    source = opened(written(submission))
    assert source.rows == ROWS
    assert source.schema == submission.schema
    assert source.columns().equals(submission)


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.float64(), pa.float32(), pa.float16(), pa.bool_(), pa.int8(), pa.uint8(), pa.int64()),
        *(pa.string(), pa.large_string()),
    ],
    ids=str,
)
def test_numbers_and_text_keep_their_type(kind):
    values = pa.array([0, 1, None, 1]).cast(pa.int8()).cast(kind)
    table = pa.table({"a": values})
    assert read(written(table)).equals(table)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 2], pa.timestamp("ns", "UTC")),
        pa.array([1, 2], pa.date32()),
        pa.array([[0.5], [0.25, 0.75]]),
        pa.array([{"re": 0.5, "im": 0.0}, {"re": 0.25, "im": 1.0}]),
    ],
    ids=lambda values: str(values.type),
)
def test_columns_of_other_types_arrive_as_nulls_of_their_type(values):
    table = read(written(pa.table({"id": ["n1", "n2"], "prediction": values})))
    assert table.column("prediction").type == values.type
    assert table.column("prediction").null_count == 2
    assert table.column("id").to_pylist() == ["n1", "n2"]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a", None, "b"]).dictionary_encode(),
        pa.array([Decimal("0.5"), None, Decimal("0.25")]),
        pa.array([b"a", None, b"b"]),
        pa.array([b"a", None, b"b"], pa.binary(1)),
        pa.array([b"a", None, b"b"], pa.large_binary()),
        pa.array(["a", None, "b"], pa.string_view()),
    ],
    ids=lambda values: str(values.type),
)
def test_categories_decimals_and_bytes_are_decoded(values):
    table = pa.table({"a": values})
    assert read(written(table)).equals(table)


def test_categories_that_unpack_to_more_than_the_limit_are_refused(refused):
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 900, pa.int32()), ["x" * 100_000])
    data = written(pa.table({"id": column}))
    assert len(data) < 200_000
    refused("file-size", read, data, max_bytes=1_000_000)


@pytest.mark.parametrize("options", [{}, {"compression": "snappy", "row_group_size": 7}], ids=str)
def test_what_polars_writes_is_read(submission, options):
    stream = io.BytesIO()
    polars.from_arrow(submission).write_parquet(stream, **options)
    found = read(stream.getvalue())
    assert found.cast(submission.schema).equals(submission)


def test_columns_are_read_some_at_a_time_in_the_order_asked_for():
    values = np.random.default_rng(0).random((9, ROWS))
    table = pa.table({f"u{user}": row for user, row in enumerate(values)})
    source = opened(written(table, row_group_size=7))
    assert source.columns(["u5", "u2"]).equals(table.select(["u5", "u2"]))
    assert source.columns([]).num_columns == 0
    found = [source.columns([name]).column(0).to_numpy() for name in source.schema.names]
    np.testing.assert_array_equal(found, values)


def test_names_with_points_are_names(submission):
    table = submission.append_column("id.2", submission.column("prediction"))
    assert opened(written(table)).columns(["id"]).column_names == ["id"]
    assert opened(written(table)).columns(["id.2"]).equals(table.select(["id.2"]))


def test_a_name_that_is_also_the_path_of_a_field_is_refused(refused):
    table = pa.table({"a": pa.array([{"b": 1}]), "a.b": [0.5]})
    assert "'a.b'" in refused("column-ambiguous", opened, written(table))


def test_a_name_that_stands_twice_is_refused(submission, refused):
    table = submission.append_column("id", submission.column("id"))
    assert "'id'" in refused("header-duplicate", opened, written(table))


def test_text_is_read_in_batches_that_fit(submission):
    table = pa.table({"id": ["x" * 1000, *(f"n{row}" for row in range(999))]})
    data = written(table, row_group_size=300)
    column = read(data, max_bytes=100_000).column("id")
    assert column.num_chunks > 4
    assert column.to_pylist() == table.column("id").to_pylist()


@pytest.mark.parametrize("rows", [0, 1])
def test_a_file_without_rows_is_refused(submission, refused, rows):
    data = written(submission.slice(0, rows))
    if rows:
        assert read(data).num_rows == 1
    else:
        refused("file-empty", read, data)


# damage


def test_an_empty_file_is_refused(refused):
    refused("file-empty", opened, b"")


@pytest.mark.parametrize("data", [b"PAR1", b"id,prediction\nn1,0.5\n" * 9, bytes(100), b"PAR1PAR1"])
def test_what_is_not_parquet_is_refused_and_named(data, refused):
    assert "a.parquet" in refused("file-damaged", opened, data)


def test_a_file_cut_short_anywhere_is_refused(submission, refused):
    data = written(submission, write_page_checksum=True)
    for size in range(1, len(data), 7):
        refused("file-damaged", read, data[:size])
    refused("file-damaged", read, data[:-1])
    refused("file-damaged", read, data[1:])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_dictionary": False},
        {"compression": "zstd", "data_page_version": "2.0"},
        {"compression": "none", "row_group_size": 40},
    ],
    ids=str,
)
def test_a_flipped_bit_under_a_checksum_is_never_another_value(submission, options):
    """Pages have checksums here; page headers and the footer have none in Parquet's format.

    A flip in a header ends in a refusal, because its numbers no longer fit. One in the footer may
    rename a column or, once in some thousand, change a type or codec so that the bytes still make
    values: only a sha256 that is known beforehand tells. Neither may end the process.
    """
    data = written(submission, write_page_checksum=True, **options)
    footer = footer_start(data)
    codes = []
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        try:
            table = read(bytes(damaged))
        except RoundError as error:
            codes.append(error.code)
        else:
            assert place >= footer or table.equals(submission)
    assert codes.count("file-damaged") > len(data) // 2


def test_flipped_bits_without_checksums_end_in_a_table_or_a_refusal(submission):
    """Flips in the pages go through: their bytes are as good as any others."""
    data = written(submission, use_dictionary=False, compression="none")
    same = 0
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        try:
            same += read(bytes(damaged)).equals(submission)
        except RoundError:
            continue
    assert 0 < same < len(data) // 2


def test_no_flip_in_the_footer_ends_the_process(submission):
    """RowGroupMetaData.column() of damaged size statistics calls std::terminate (pyarrow 26)."""
    data = written(submission, store_schema=False)
    refusals = 0
    for place in range(footer_start(data), len(data)):
        for bit in range(3):
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            try:
                read(bytes(damaged))
            except RoundError:
                refusals += 1
    assert refusals > 100


def test_text_that_is_not_utf_8_is_refused(refused):
    text = pa.Array.from_buffers(pa.string(), 2, pa.array([b"n1", b"n\xff"]).buffers())
    assert "UTF8" in refused("file-damaged", read, written(pa.table({"id": text})))


class _Keys(encryption.KmsClient):
    def __init__(self, _):
        super().__init__()

    def wrap_key(self, key, _):
        return base64.b64encode(key)

    def unwrap_key(self, key, _):
        return base64.b64decode(key)


@pytest.mark.parametrize("plaintext_footer", [True, False])
def test_an_encrypted_file_is_refused(submission, refused, plaintext_footer):
    keys = encryption.CryptoFactory(_Keys).file_encryption_properties(
        encryption.KmsConnectionConfig(),
        encryption.EncryptionConfiguration(
            footer_key="f", column_keys={"c": ["prediction"]}, plaintext_footer=plaintext_footer
        ),
    )
    refused("file-damaged", read, written(submission, encryption_properties=keys))


# bombs


def test_rows_and_columns_are_bounded_by_the_footer(submission, refused):
    data = written(submission)
    assert read(data, max_rows=ROWS, max_columns=2).num_rows == ROWS
    assert "60 rows" in refused("file-size", opened, data, max_rows=ROWS - 1)
    assert "2 columns" in refused("file-size", opened, data, max_columns=1)


def test_two_million_rows_in_some_kilobytes_are_refused(refused):
    data = written(pa.table({"prediction": pa.repeat(pa.scalar(0.5), 2_000_000)}))
    assert len(data) < 20_000
    refused("file-size", opened, data)


def test_numbers_are_bounded_by_what_they_take_in_memory(refused):
    constant = pa.repeat(pa.scalar(0.5), 100_000)
    data = written(pa.table({f"u{user}": constant for user in range(20)}))
    assert "16,000,000 bytes in memory" in refused("file-size", opened, data, max_bytes=15_999_999)


def test_a_footer_that_lies_about_its_rows_is_refused(submission, refused):
    data = written(submission, row_group_size=ROWS // 2)
    footer = footer_start(data)
    # field 3 of FileMetaData, i64: zigzag of 60, after the schema's strings
    place = data.index(b"\x16\x78\x19", footer)
    lie = data[:place] + b"\x16\x02" + data[place + 2 :]
    assert "1 rows, and 60" in refused("file-damaged", opened, lie)


LONG = "x" * 100_000
BOMBS = {
    "one text in every row": (
        lambda: pa.DictionaryArray.from_arrays(pa.array([0] * 9000, pa.int32()), [LONG]),
        {"store_schema": False},
    ),
    "texts that share their beginning": (
        lambda: pa.array([f"{LONG}{row}" for row in range(400)]),
        {"use_dictionary": False, "column_encoding": {"id": "DELTA_BYTE_ARRAY"}},
    ),
    "such texts in pages of version 2": (
        lambda: pa.array([f"{LONG}{row}" for row in range(400)]),
        {
            "use_dictionary": False,
            "column_encoding": {"id": "DELTA_BYTE_ARRAY"},
            "data_page_version": "2.0",
        },
    ),
    "long texts, packed": (
        lambda: pa.array([f"{LONG}{row}" for row in range(400)]),
        {"use_dictionary": False, "compression": "zstd", "write_batch_size": 16},
    ),
}


def with_a_lying_footer(data):
    """Return a file whose footer says that its column unpacks to 1 byte."""
    column = parquet.read_metadata(io.BytesIO(data)).row_group(0).column(0)
    left, found = 2 * column.total_uncompressed_size, []  # a zigzag varint
    while left:
        found.append(left & 127 | 128)
        left >>= 7
    found[-1] &= 127
    lie = [2 | 128, *[128] * (len(found) - 2), 0]
    return data.replace(bytes(found), bytes(lie))


READER = """
import sys
from pathlib import Path
import pyarrow as pa
from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.source import Limits
from mmc_gpu.files.formats.table import read_table
for path in sys.argv[1:]:
    try:
        read_table(Path(path), limits=Limits(max_bytes=8 << 20))
    except RoundError as error:
        print(error.code, pa.default_memory_pool().max_memory())
    else:
        print("read", 0)
"""


def test_a_bomb_of_text_is_refused_without_unpacking_it(tmp_path, run_python):
    paths = []
    for bomb, (values, options) in BOMBS.items():
        honest = written(pa.table({"id": values()}), **options)
        for footer, data in (("honest", honest), ("lying", with_a_lying_footer(honest))):
            paths.append(tmp_path / f"{bomb}, {footer}.parquet")
            paths[-1].write_bytes(data)
            told = parquet.read_metadata(paths[-1]).row_group(0).column(0).total_uncompressed_size
            assert (told == 1) == (footer == "lying")
            assert len(data) < 60_000
    found = run_python("-c", READER, *map(str, paths))
    codes, most = found[::2], map(int, found[1::2])
    assert dict(zip(paths, codes, strict=True)) == dict.fromkeys(paths, "file-size")
    assert max(most) < 32 << 20  # of 40 MB


def test_lists_are_not_unpacked(submission):
    bomb = pa.array([[0.5] * 1_000_000] * 4)
    table = pa.table({"id": ["n1", "n2", "n3", "n4"], "more": bomb})
    before = pa.total_allocated_bytes()
    found = read(written(table), max_bytes=1 << 20)
    assert pa.total_allocated_bytes() - before < 1 << 20
    assert found.column("more").type == bomb.type


# pages


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_pages_are_followed_to_the_last_value(version, dictionary):
    table = pa.table({"id": [f"n{row:06}" for row in range(20_000)]})
    data = written(
        table,
        use_dictionary=dictionary,
        data_page_version=version,
        data_page_size=4096,
        compression="none",
    )
    chunk = parquet.read_metadata(io.BytesIO(data)).row_group(0).column(0)
    found = list(pages(data, chunk))
    assert sum(page.values for page in found) == 20_000
    assert len(found) > 10
    assert [page.repeats for page in found] == [dictionary] + [False] * (len(found) - 1)
    headers = chunk.total_uncompressed_size - sum(page.size for page in found)
    assert 0 < headers < 100 * len(found)


class Chunk:
    data_page_offset, has_dictionary_page = 0, False
    num_values = 1


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"", "no page header"),
        (b"\x15", "no page header"),
        (b"\x00", "no page header"),
        (b"\x15" + b"\xff" * 20 + b"\x00" * 9, "a number without end"),
        (b"\x1c" * 2000, "structs too deep"),
        (b"\x1b\x00\x00", "no page header"),
        (b"\x15\x00\x15\x01\x15\x02\x2c\x15\x02\x00\x00", "a page of -1 bytes"),
        (b"\x15\x00\x15\x02\x15\x01\x2c\x15\x02\x00\x00", "a page of 1 bytes, packed -1"),
        (b"\x18\xff\xff\xff\xff\x0f", "no page header"),
        (b"\x25\x00\x15\x00\x00" * 9, "no page header"),
    ],
)
def test_a_page_header_that_cannot_be_followed_is_an_error(header, words):
    with pytest.raises(ValueError, match=words):
        list(pages(header, Chunk))


def test_numbers_of_fields_may_have_the_long_form():
    header = b"\x05\x02\x00\x05\x04\x14\x05\x06\x14\x0c\x0a\x05\x02\x02\x00\x00"
    assert list(pages(header, Chunk)) == [Page(10, 1, False)]


def test_a_dictionary_at_byte_0_is_none():
    class Odd(Chunk):
        data_page_offset, has_dictionary_page, dictionary_page_offset = 4, True, 0

    header = b"PAR1\x15\x00\x15\x14\x15\x14\x2c\x15\x02\x00\x00"
    assert list(pages(header, Odd)) == [Page(10, 1, False)]


@pytest.mark.parametrize(
    "said",
    [
        b"no JSON", b"[]", b'{"index_columns": 3}', b'{"index_columns": ["absent"]}',
        b'{"index_columns": [{"kind": "range"}]}', b'{"index_columns": ["value", "other"]}',
    ],
)  # fmt: skip
def test_what_pandas_says_of_an_index_is_not_believed(said):
    table = pa.table({"value": [1.0], "other": [2.0]})
    assert opened(written(table.replace_schema_metadata({b"pandas": said}))).index is None
