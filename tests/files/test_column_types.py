"""Columns of Parquet mean what they mean in Python; what is not taken is named by its type."""

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

import mmc_gpu
from mmc_gpu.errors import RoundError

N = 12
IDS = pa.array([f"n{n:02}" for n in range(N)])
VALUES = np.random.default_rng(0).random((N, 2)).round(3)
TARGET = pa.array(np.random.default_rng(1).random(N).round(3))
PLAIN = pa.array(VALUES[:, 0])
DATES = pa.array([datetime.date(2026, 1, n + 1) for n in range(N)])
DECIMALS = pa.array([Decimal(str(value)) for value in VALUES[:, 0]])

COLUMNS = {
    "ids": IDS,
    "prediction": PLAIN,
    "target": TARGET,
    "user": pa.array(["a", "b"]),
    "stake": pa.array([1.5, 2.0]),
}


def tables(columns):
    given = COLUMNS | columns
    return (
        pa.table({"id": given["ids"], "a": given["prediction"], "b": pa.array(VALUES[:, 1])}),
        pa.table({"user": given["user"], "stake": given["stake"]}),
        pa.table({"id": given["ids"], "target": given["target"]}),
    )


def write(table, path):
    try:
        parquet.write_table(table, path)
    except pa.ArrowNotImplementedError as error:
        pytest.skip(f"this version of pyarrow does not write it: {error}")


def from_wide_file(folder, columns):
    for name, table in zip(("predictions", "stakes", "targets"), tables(columns), strict=True):
        write(table, folder / f"{name}.parquet")
    return mmc_gpu.score_round(mmc_gpu.open_round(folder), engine="numpy")


def from_submissions(folder, columns):
    predictions, stakes, targets = tables(columns)
    (folder / "submissions").mkdir()
    for user in ("a", "b"):
        table = predictions.select(["id", user]).rename_columns(["id", "prediction"])
        write(table, folder / "submissions" / f"{user}.parquet")
    write(stakes, folder / "stakes.parquet")
    write(targets, folder / "targets.parquet")
    return mmc_gpu.score_round(mmc_gpu.open_round(folder), engine="numpy")


def from_arrow(folder, columns):
    return mmc_gpu.score_round(*tables(columns), engine="numpy")


def from_pandas(folder, columns):
    taken = [table.to_pandas() for table in tables(columns)]
    return mmc_gpu.score_round(*taken, engine="numpy")


EVERYWHERE = [from_arrow, from_pandas, from_wide_file, from_submissions]
"""Files last: what this version of pyarrow does not write skips them alone."""

TAKEN = {
    "ids": [
        IDS.dictionary_encode(),
        IDS.cast(pa.large_string()),
        IDS.cast(pa.string_view()),
        pa.array(range(N)),
        pa.array(range(N), pa.uint8()).dictionary_encode(),
    ],
    "prediction": [
        PLAIN.dictionary_encode(),
        PLAIN.cast(pa.float16()),
        pa.array([n % 2 for n in range(N)], pa.uint64()),
        pa.array([n % 2 == 0 for n in range(N)]),
    ],
    "target": [
        TARGET.dictionary_encode(),
        TARGET.cast(pa.float16()),
        pa.array(range(N), pa.uint64()),
        pa.array([n % 2 == 0 for n in range(N)]),
    ],
    "user": [
        COLUMNS["user"].dictionary_encode(),
        COLUMNS["user"].cast(pa.large_string()),
        COLUMNS["user"].cast(pa.string_view()),
    ],
    "stake": [
        pa.array([Decimal("1.5"), Decimal(2)]),
        pa.array([Decimal("1.5"), Decimal(2)], pa.decimal256(40, 18)),
        pa.array([1.5, 2.0]).dictionary_encode(),
        pa.array(["1.5", "2"]),
        pa.array(["1.5", "2"]).dictionary_encode(),
        pa.array([b"1.5", b"2"]),
        pa.array([1, 2], pa.uint64()),
    ],
}

REFUSED = {
    "ids": [
        (IDS.cast(pa.binary()), "id-type", "bytes"),
        (pa.array([b"n%02d" % n for n in range(N)], pa.binary(3)), "id-type", "bytes"),
        (pa.array([Decimal(n) for n in range(N)]), "id-type", "Decimal"),
        (DATES, "id-type", "date"),
        (DATES.cast(pa.timestamp("us")), "id-type", "imestamp"),
        (pa.array([[n] for n in range(N)]), "id-type", ""),
        (pa.array(np.arange(N) / 1), "id-type", "float"),
    ],
    "prediction": [
        (DECIMALS, "column-type", ""),
        (DECIMALS.cast(pa.decimal256(40, 3)), "column-type", ""),
        (IDS.dictionary_encode(), "column-type", ""),
        (DATES, "column-type", ""),
        (pa.array([[1.0]] * N), "column-type", ""),
        (IDS, "value-text", "'n00'"),
        (IDS.cast(pa.binary()), "value-text", "b'n00'"),
        (pa.array([2**53 + n for n in range(N)], pa.uint64()), "column-type", "2**53"),
    ],
    "target": [
        (DECIMALS, "column-type", ""),
        (IDS.dictionary_encode(), "column-type", ""),
        (DATES, "column-type", ""),
        (IDS.cast(pa.binary()), "value-text", "b'n00'"),
    ],
    "user": [(pa.array([b"a", b"b"]), "user-name", "b'a'")],
    "stake": [
        (pa.array(["1_0", "2"]).dictionary_encode(), "value-text", "'1_0'"),
        (pa.array([b"1_0", b"2"]), "value-text", "1_0"),
        (pa.array([True, False]), "stake-invalid", "True"),
        (pa.array([Decimal(-1), Decimal(2)]), "stake-invalid", "-1"),
    ],
}


def label(case):
    return str(getattr(case, "type", "") or getattr(case[0], "type", case))


@pytest.mark.parametrize(
    ("name", "column"),
    [(name, column) for name, columns in TAKEN.items() for column in columns],
    ids=label,
)
def test_what_python_takes_files_take(tmp_path, name, column):
    plain = column.cast(column.type.value_type) if hasattr(column.type, "value_type") else column
    if name == "stake":
        plain = COLUMNS["stake"] if plain.type != pa.uint64() else plain
    expected = from_arrow(None, {name: plain}).digest
    for read in EVERYWHERE:
        (folder := tmp_path / read.__name__).mkdir()
        assert read(folder, {name: column}).digest == expected, read


@pytest.mark.parametrize(
    ("name", "column", "code", "words"),
    [(name, *case) for name, cases in REFUSED.items() for case in cases],
)
def test_what_is_not_taken_is_named(tmp_path, name, column, code, words):
    for read in EVERYWHERE:
        (folder := tmp_path / read.__name__).mkdir()
        with pytest.raises(RoundError) as caught:
            read(folder, {name: column})
        assert caught.value.code == code, read
        assert words in caught.value.detail, read
        assert "null" not in caught.value.detail, read


@pytest.mark.parametrize("column", [DATES, pa.array([[n] for n in range(N)])], ids=label)
def test_columns_that_are_not_decoded_are_named_by_their_type(tmp_path, column):
    for name, code in (("ids", "id-type"), ("user", "column-type"), ("stake", "column-type")):
        wrong = column if name == "ids" else column.slice(0, 2)
        with pytest.raises(RoundError, match=str(column.type)[:4]) as caught:
            from_wide_file(tmp_path, {name: wrong})
        assert caught.value.code == code


@pytest.mark.parametrize("kind", ["plain", "dictionary", "large", "view"])
def test_eras_and_ids_of_every_type_of_text(tmp_path, kind):
    kinds = {
        "plain": lambda text: text,
        "dictionary": lambda text: text.dictionary_encode(),
        "large": lambda text: text.cast(pa.large_string()),
        "view": lambda text: text.cast(pa.string_view()),
    }
    eras = pa.array(["e9"] * 6 + ["e10"] * 6)
    table = pa.table(
        {"era": kinds[kind](eras), "id": kinds[kind](IDS), "a": PLAIN, "target": TARGET}
    )
    write(table, tmp_path / "eras.parquet")
    plain = table.set_column(0, "era", eras).set_column(1, "id", IDS)
    expected = mmc_gpu.evaluate(plain, engine="numpy").eras
    for given in (tmp_path / "eras.parquet", table, table.to_pandas()):
        found = mmc_gpu.evaluate(given, engine="numpy")
        assert found.labels == ["e9", "e10"]
        assert found.eras.equals(expected)


@pytest.mark.parametrize(
    "eras",
    [
        pa.array([Decimal(1)] * N),
        pa.array([b"1"] * N),
        pa.array([[1]] * N),
        pa.array([{"x": 1}] * N),
        pa.array([True] * N),
    ],
    ids=label,
)
def test_eras_of_other_types_are_refused(tmp_path, eras):
    table = pa.table({"era": eras, "a": PLAIN, "target": TARGET})
    write(table, tmp_path / "eras.parquet")
    for given in (tmp_path / "eras.parquet", table, table.to_pandas()):
        with pytest.raises(RoundError, match="era-type"):
            mmc_gpu.evaluate(given, engine="numpy")


def test_a_type_that_arrow_cannot_read_is_no_damage(tmp_path):
    pl = pytest.importorskip("polars", reason="the extra `test` has polars")
    if not hasattr(pl, "Int128"):
        pytest.skip("this polars has no Int128")
    for table, name in zip(tables({}), ("predictions", "stakes", "targets"), strict=True):
        parquet.write_table(table, tmp_path / f"{name}.parquet")
    wide = pl.DataFrame({"id": IDS.to_pylist(), "a": pl.Series(range(N), dtype=pl.Int128)})
    wide.write_parquet(tmp_path / "predictions.parquet")
    with pytest.raises(RoundError, match=r"predictions.parquet.*64 bits.*column-type"):
        mmc_gpu.open_round(tmp_path)
