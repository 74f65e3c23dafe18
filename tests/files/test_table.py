import gzip
import hashlib
import io
import os
import pickle
import re
import typing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from systems import posix

from mmc_gpu import api
from mmc_gpu.cli.app import app
from mmc_gpu.cli.eras import evaluate as evaluate_command
from mmc_gpu.engines import load_engine
from mmc_gpu.errors import CODES, RoundError
from mmc_gpu.files.eras import open_eras
from mmc_gpu.files.formats.source import Limits, read_source
from mmc_gpu.files.formats.table import READERS, read_table, reader_of
from mmc_gpu.files.rounds.packing import pack_round
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.scoring import score

README = Path(__file__).parents[2] / "mmc_gpu/files/README.md"
COLUMNS = pa.table({"id": ["007", "NA"], "prediction": [0.5, 0.25]})


def as_csv(table):
    rows = [",".join(map(str, row.values())) for row in table.to_pylist()]
    return "\n".join([",".join(table.column_names), *rows, ""]).encode()


def as_parquet(table):
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()


WRITERS = {
    ".parquet": as_parquet,
    ".pq": as_parquet,
    ".csv": as_csv,
    ".csv.gz": lambda table: gzip.compress(as_csv(table)),
}
"""For every suffix that is read, what writes such a file."""

each_suffix = pytest.mark.parametrize("suffix", READERS)
CASES = [str.lower, str.upper, str.title]
in_any_case = pytest.mark.parametrize("case", CASES)
in_some_case = pytest.mark.parametrize(
    ("suffix", "case"), [(suffix, CASES[number % 3]) for number, suffix in enumerate(READERS)]
)
"""Each suffix, and each case; all of both give the same columns."""


@pytest.fixture
def files(tmp_path):
    for suffix, writer in WRITERS.items():
        (tmp_path / f"u{suffix}").write_bytes(writer(COLUMNS))
    return tmp_path


def test_every_suffix_is_tested():
    assert WRITERS.keys() == READERS.keys()


@each_suffix
@in_any_case
def test_every_format_gives_the_same_columns(files, suffix, case):
    path = (files / f"u{suffix}").rename(files / f"u{case(suffix)}")
    assert read_table(path, text=["id"]).equals(COLUMNS)


@in_some_case
@pytest.mark.parametrize("form", ["one file a user", "one wide file"])
def test_every_format_gives_the_same_round(tmp_path, suffix, case, form):
    def write(name, columns):
        written = WRITERS[suffix](pa.table({"id": ids} | columns))
        (tmp_path / f"{name}{case(suffix)}").write_bytes(written)

    random = np.random.default_rng(5)
    ids = [f"{stock:03}" for stock in range(40)]
    predictions = {user: random.random(40) for user in ("ann", "bob.v2")}
    target = random.choice([0.0, 0.25, 0.5, 0.75, 1.0], 40)
    write("targets", {"target": target})
    (tmp_path / "stakes.csv").write_text("user,stake\nann,2\nbob.v2,1\n")
    if form == "one wide file":
        write("predictions", predictions)
    else:
        (tmp_path / "submissions").mkdir()
        for user, values in predictions.items():
            write(f"submissions/{user}", {"prediction": values})
    pack_round(tmp_path, tmp_path / "packed")
    expected = api.score_round(
        np.array(list(predictions.values())).T,
        {"ann": 2.0, "bob.v2": 1.0},
        target,
        ids=ids,
        users=list(predictions),
        engine="numpy",
    )
    for folder in (tmp_path, tmp_path / "packed"):
        scores = score(read_round(folder).round, Method(), load_engine("numpy"))
        assert scores.users == ["ann", "bob.v2"]
        assert scores.digest == expected.digest


@in_some_case
def test_every_format_gives_the_same_eras(tmp_path, suffix, case):
    random = np.random.default_rng(6)
    columns = {
        "era": [f"era{era}" for era in range(3) for _ in range(30)],
        "id": [f"{row:03}" for row in range(90)],
        "target": random.choice([0.0, 0.25, 0.5, 0.75, 1.0], 90),
        "model": random.random(90),
    }
    path = tmp_path / f"eras{case(suffix)}"
    path.write_bytes(WRITERS[suffix](pa.table(columns)))
    expected = api.evaluate(pa.table(columns), engine="numpy")
    found = api.evaluate(path, engine="numpy")
    assert found.labels == expected.labels
    np.testing.assert_array_equal(found.scores["corr"], expected.scores["corr"])
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    assert open_eras(path, "era", "id").entry == {
        "file": path.name,
        "bytes": len(data),
        "sha256": sha256,
    }


def test_a_csv_of_eras_may_have_more_rows_than_a_round(tmp_path):
    path = tmp_path / "eras.csv"
    path.write_text("era,m\n" + "1,0.5\n" * (Limits().max_rows + 1))
    assert open_eras(path, "era", None).rows == Limits().max_rows + 1


def test_eras_in_another_format_are_refused_by_their_name(tmp_path, refused):
    path = tmp_path / "eras.pkl"
    path.write_bytes(pickle.dumps(_Trap()))
    refused("file-format", open_eras, path, "era", None)


SUFFIX = re.compile(r"(?<!\w)\.[a-z.]+\b")


def test_the_readme_and_the_error_name_every_suffix_and_no_other(tmp_path):
    (sentence,) = re.findall(r"A round is a folder, (.*):", README.read_text())
    assert set(SUFFIX.findall(sentence)) == set(READERS)
    with pytest.raises(RoundError, match="file-format") as caught:
        reader_of(tmp_path / "ann.pkl", place="ann")
    assert set(SUFFIX.findall(caught.value.detail)) == set(READERS)


@pytest.mark.parametrize(
    "text",
    [
        app.info.help,
        read_round.__doc__,
        CODES["round-layout"].remedy,
        typing.get_type_hints(evaluate_command, include_extras=True)["file"].__metadata__[0].help,
        read_table.__doc__,
        api.evaluate.__doc__,
        CODES["file-format"].remedy,
    ],
    ids=[
        "help",
        "read_round",
        "round-layout",
        "help of evaluate",
        "read_table",
        "evaluate",
        "file-format",
    ],
)
def test_the_words_name_every_format(text):
    assert {reader.name for reader in READERS.values()} <= set(re.findall(r"\w+", text))


def test_bytes_that_are_already_read_are_not_read_again(files):
    source = read_source(files / "u.csv")
    (files / "u.csv").unlink()
    assert read_table(source, text=["ID"]).equals(COLUMNS)


class _Trap:
    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


@pytest.mark.parametrize(
    "name",
    ["u.pkl", "u.pickle", "u.joblib", "u.pt", "u.npy", "u.npz", "u.xlsx", "u.csv.bz2", "u", "csv"],
)
def test_other_formats_are_refused_and_nothing_is_unpickled(tmp_path, monkeypatch, refused, name):
    monkeypatch.chdir(tmp_path)
    with Path(name).open("wb") as file:
        if name.endswith(".npy"):
            np.save(file, np.array([_Trap()], dtype=object))
        else:
            pickle.dump(_Trap(), file)
    detail = refused("file-format", read_table, Path(name))
    assert ", ".join(READERS) in detail
    assert not Path("sprung").exists()


@each_suffix
def test_a_pickle_under_another_name_is_refused(tmp_path, monkeypatch, suffix, refused):
    monkeypatch.chdir(tmp_path)
    path = Path(f"u{suffix}")
    path.write_bytes(pickle.dumps(_Trap()))
    refused("file-encoding" if suffix == ".csv" else "file-damaged", read_table, path)
    assert not Path("sprung").exists()


@each_suffix
def test_limits_hold_for_every_format(files, suffix, refused):
    name = f"u{suffix}"
    refused("file-size", read_table, files / name, limits=Limits(max_rows=1))
    refused("file-size", read_table, files / name, limits=Limits(max_columns=1))
    refused("file-size", read_table, files / name, limits=Limits(max_bytes=12))


@posix
@each_suffix
def test_a_pipe_is_refused_in_every_format(tmp_path, suffix, refused):
    path = tmp_path / f"u{suffix}"
    os.mkfifo(path)
    refused("file-regular", read_table, path)
