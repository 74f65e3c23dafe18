"""Row numbers, ids and integers in the data of `evaluate` are no models."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import mmc_gpu
from mmc_gpu.errors import RoundError

RANDOM = np.random.default_rng(7)
COUNT = 60
IDS = [f"n{number:03}" for number in range(COUNT)]
DATA = pd.DataFrame(
    {
        "era": ["era1"] * 30 + ["era2"] * 30,
        "target": RANDOM.choice([0, 0.25, 0.5, 0.75, 1], COUNT),
        "days": RANDOM.integers(1, 9, COUNT),
        "prediction": RANDOM.choice([0.1, 0.2, 0.3], COUNT),
    }
)
NUMBERS = RANDOM.permutation(COUNT)


def evaluate(data, **options):
    return mmc_gpu.evaluate(data, metrics=["corr"], engine="numpy", **options)


@pytest.fixture(params=["csv", "parquet", "pandas", "arrow"])
def given(request, tmp_path):
    """Return the data as each kind of input, with its index."""

    def give(frame):
        if request.param == "csv":
            frame.to_csv(tmp_path / "data.csv")
            return tmp_path / "data.csv"
        if request.param == "parquet":
            frame.to_parquet(tmp_path / "data.parquet")
            return tmp_path / "data.parquet"
        return pa.Table.from_pandas(frame) if request.param == "arrow" else frame

    return give


@pytest.mark.parametrize("name", [None, "X", "...1"])
@pytest.mark.parametrize("dtype", [int, float])
def test_row_numbers_in_the_index_are_no_model(given, name, dtype):
    frame = DATA.set_index(pd.Index(NUMBERS.astype(dtype), name=name))
    assert evaluate(given(frame)).models == ["prediction"]


@pytest.mark.parametrize("name", ["Unnamed: 0", "X", "index"])
@pytest.mark.parametrize("dtype", [int, float])
def test_row_numbers_in_a_column_are_no_model(given, name, dtype):
    if name != "Unnamed: 0" and dtype is float:
        pytest.skip("Parquet's type says that they are no integers")
    frame = DATA.set_index(pd.Index(IDS, name="id"))
    frame.insert(0, name, NUMBERS.astype(dtype))
    assert evaluate(given(frame)).models == ["prediction"]


def test_what_is_ignored_is_said_unless_it_is_asked_for():
    frame = DATA.assign(X=NUMBERS.astype(float))
    evaluation = evaluate(frame)
    assert "frame: ignored, since it stands beside the data: 'X' (row numbers)" in " ".join(
        evaluation.notes
    )
    evaluation = evaluate(frame, models=["X"])
    assert (evaluation.models, evaluation.notes) == (["X"], ())


def test_integers_of_a_csv_file_are_no_model_as_in_parquet(tmp_path):
    frame = DATA.assign(days=RANDOM.integers(0, 2, COUNT), whole=RANDOM.integers(0, 2, COUNT) / 1)
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.to_parquet(tmp_path / "data.parquet", index=False)
    models = [evaluate(tmp_path / f"data.{suffix}").models for suffix in ("csv", "parquet")]
    assert models == [["prediction", "whole"]] * 2
    assert evaluate(tmp_path / "data.csv", models=["days"]).models == ["days"]
    DATA.drop(columns="prediction").to_csv(tmp_path / "none.csv", index=False)
    with pytest.raises(RoundError, match="no column of a model's predictions"):
        evaluate(tmp_path / "none.csv")


@pytest.mark.parametrize("name", [None, "id"])
def test_ids_in_an_index_without_a_name_break_ties_as_ids_do(given, name):
    frame = DATA.set_index(pd.Index([f"n{number:03}" for number in NUMBERS], name=name))
    expected = evaluate(DATA.set_index(frame.index.rename("id"))).eras
    pd.testing.assert_frame_equal(evaluate(given(frame)).eras, expected)


def test_ids_under_pandas_name_for_no_name_break_ties_as_ids_do(tmp_path):
    frame = DATA.set_index(pd.Index([f"n{number:03}" for number in NUMBERS]))
    frame.to_csv(tmp_path / "data.csv")
    again = pd.read_csv(tmp_path / "data.csv")
    assert again.columns[0] == "Unnamed: 0"
    pd.testing.assert_frame_equal(evaluate(again).eras, evaluate(frame).eras)
