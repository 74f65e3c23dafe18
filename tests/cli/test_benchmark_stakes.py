"""`mmc-gpu evaluate --benchmark-stake`: BMC against the benchmarks that NMR weights."""

import json

import numpy as np
import pandas as pd
import pytest

from mmc_gpu import evaluate


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.random((120, 4)), columns=["model", "lgbm", "ridge", "target"])
    frame.insert(0, "era", np.repeat(["era1", "era2"], 60))
    frame.to_parquet(tmp_path / "eras.parquet")
    return tmp_path / "eras.parquet"


def given(*stakes):
    benchmarks = ("--benchmark", "lgbm", "--benchmark", "ridge", "--metric", "bmc")
    return [*benchmarks, *(part for stake in stakes for part in ("--benchmark-stake", stake))]


def test_stakes_are_those_of_python_and_stand_in_the_receipt(run, file, tmp_path):
    out = tmp_path / "out"
    code, _, err = run("evaluate", file, *given("lgbm=2.5", "ridge=1"), "-o", out)
    assert code == 0, err
    expected = evaluate(
        file, benchmarks=["lgbm", "ridge"], benchmark_stakes={"lgbm": 2.5, "ridge": 1},
        metrics=["bmc"],
    )  # fmt: skip
    np.testing.assert_array_equal(
        pd.read_parquet(out / "eras.parquet")["bmc"], expected.scores["bmc"].ravel()
    )
    receipt = json.loads((out / "receipt.json").read_text())
    assert receipt["parameters"]["benchmark_stakes"] == {"lgbm": "2.5", "ridge": "1"}


@pytest.mark.parametrize(
    ("stakes", "exit_code", "told"),
    [
        (["lgbm"], 2, "once for each benchmark"),
        (["lgbm=much", "ridge=1"], 1, "value-text"),
        (["lgbm=1", "lgbm=2", "ridge=1"], 2, "once for each benchmark"),
    ],
    ids=str,
)
def test_stakes_that_cannot_be_read_are_told(run, file, stakes, exit_code, told):
    code, _, err = run("evaluate", file, *given(*stakes))
    assert code == exit_code
    assert told in err
