"""`mmc-gpu verify`: an honest result verifies, and whatever was changed is named."""

import json

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def result(run, folder, tmp_path):
    assert run("score", folder, "-o", tmp_path / "out")[0] == 0
    return tmp_path / "out"


def test_an_honest_result_verifies_on_another_engine(run, folder, result):
    code, out, _ = run("verify", result, folder, "--engine", "numpy")
    assert code == 0
    assert out.startswith("verified: 40 users")


@pytest.mark.parametrize("options", [["--format", "csv"], ["--format", "json"], ["--save-draws"]])
def test_every_kind_of_result_verifies(run, folder, tmp_path, options):
    run("score", folder, "-o", tmp_path / "out", *options)
    assert run("verify", tmp_path / "out", folder)[0] == 0


def test_a_changed_input_is_named(run, folder, result, sample, break_user):
    break_user(sample.users[0], 0.123)
    code, _, err = run("verify", result, folder)
    assert code == 5
    assert "predictions.parquet: changed since it was scored" in err
    assert "scores: digest" in err


def test_a_changed_score_is_found_even_if_the_receipt_agrees(run, folder, result):
    table = pd.read_parquet(result / "scores.parquet")
    table.loc[0, "mmc"] = np.nextafter(table.loc[0, "mmc"], 1)
    table.to_parquet(result / "scores.parquet", index=False)
    code, _, err = run("verify", result, folder)
    assert code == 5
    assert "scores.parquet: changed since the result was written" in err
    receipt = json.loads((result / "receipt.json").read_text())
    del receipt["files"]["scores.parquet"]
    (result / "receipt.json").write_text(json.dumps(receipt))
    code, _, err = run("verify", result, folder)
    assert code == 5
    assert "scores.parquet: not the scores of this round" in err


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema": "mmc_gpu receipt 1"}', "\xff"])
def test_a_broken_receipt_is_an_error(run, folder, result, text):
    (result / "receipt.json").write_text(text)
    code, _, err = run("verify", result, folder)
    assert code == 1
    assert "[receipt-invalid]" in err
