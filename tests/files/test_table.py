import gzip
import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from mmc_gpu.files.formats.source import Limits, read_source
from mmc_gpu.files.formats.table import read_table

CSV = b"id,prediction\n007,0.5\nNA,0.25\n"
COLUMNS = pa.table({"id": ["007", "NA"], "prediction": [0.5, 0.25]})


@pytest.fixture
def files(tmp_path):
    (tmp_path / "u.csv").write_bytes(CSV)
    (tmp_path / "u.csv.gz").write_bytes(gzip.compress(CSV))
    parquet.write_table(COLUMNS, tmp_path / "u.parquet")
    return tmp_path


@pytest.mark.parametrize("name", ["u.csv", "u.csv.gz", "u.parquet"])
def test_every_format_gives_the_same_columns_and_the_files_sha256(files, name):
    path = files / name
    table = read_table(path, text=["id"])
    assert table.columns.equals(COLUMNS)
    assert (table.path, table.size) == (path, path.stat().st_size)
    assert table.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_bytes_that_are_already_read_are_not_read_again(files):
    source = read_source(files / "u.csv")
    (files / "u.csv").unlink()
    assert read_table(source, text=["ID"]).columns.equals(COLUMNS)


@pytest.mark.parametrize("name", ["u.CSV", "u.Parquet", "u.CSV.gz"])
def test_a_format_is_known_in_any_case(files, name):
    (files / name.lower()).rename(files / name)
    assert read_table(files / name, text=["id"]).columns.equals(COLUMNS)


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
    assert ".parquet, .csv, .csv.gz" in detail
    assert not Path("sprung").exists()


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_a_pickle_under_another_name_is_refused(tmp_path, monkeypatch, suffix, refused):
    monkeypatch.chdir(tmp_path)
    Path(f"u.{suffix}").write_bytes(pickle.dumps(_Trap()))
    refused("file-encoding" if suffix == "csv" else "file-damaged", read_table, Path(f"u.{suffix}"))
    assert not Path("sprung").exists()


@pytest.mark.parametrize("name", ["u.csv", "u.csv.gz", "u.parquet"])
def test_limits_hold_for_every_format(files, name, refused):
    refused("file-size", read_table, files / name, limits=Limits(max_rows=1))
    refused("file-size", read_table, files / name, limits=Limits(max_columns=1))
    refused("file-size", read_table, files / name, limits=Limits(max_bytes=12))


@pytest.mark.parametrize("name", ["u.csv", "u.csv.gz", "u.parquet"])
def test_a_pipe_is_refused_in_every_format(tmp_path, name, refused):
    os.mkfifo(tmp_path / name)
    refused("file-regular", read_table, tmp_path / name)
