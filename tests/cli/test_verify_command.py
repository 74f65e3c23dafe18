"""`mmc-gpu verify`: an honest result verifies, and whatever was changed is named."""

import json

import numpy as np
import pandas as pd
import pytest


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


def test_another_form_of_the_round_verifies_with_a_note(run, folder, result, tmp_path):
    assert run("pack", folder, "-o", tmp_path / "packed")[0] == 0
    code, out, err = run("verify", result, tmp_path / "packed")
    assert code == 0
    assert out.startswith("verified: 40 users")
    assert "note: inputs in another form" in err
    assert "the scores have the same bits" in err


def test_what_is_not_checked_is_said(run, folder, result):
    code, _, err = run("verify", result, folder)
    assert code == 0
    assert "note: not checked: 'created', 'title', 'engine', 'versions' of the receipt" in err


def test_it_says_for_whom_scores_differ(run, folder, result, sample, break_user):
    break_user(max(sample.stakes, key=sample.stakes.get), 0.123)
    code, _, err = run("verify", result, folder)
    assert code == 5
    assert "scores.parquet: not the scores of this round: " in err
    assert " computed\n" in err
    assert err.count(" there, ") == 10


@pytest.mark.parametrize("name", ["scores.parquet", "quarantine.csv"])
def test_a_file_of_a_result_that_was_deleted_is_named(run, folder, result, name):
    (result / name).unlink()
    code, _, err = run("verify", result, folder)
    assert code == 5
    assert f"{name}: gone since the result was written" in err


def test_a_forged_page_and_a_second_table_are_found(run, folder, tmp_path):
    run("score", folder, "-o", tmp_path / "out", "--report")
    (tmp_path / "out/report.html").write_text("you are paid 1,000 NMR")
    (tmp_path / "out/scores.csv").write_text("user,mmc\nalice,9\n")
    code, _, err = run("verify", tmp_path / "out", folder)
    assert code == 5
    assert "report.html: not the page of these scores" in err
    assert "scores.csv: not a file of this result" in err


@pytest.mark.parametrize("command", ["verify", "report"])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"draws": NaN}'])
def test_a_hostile_receipt_is_one_line(run, folder, result, command, text):
    (result / "receipt.json").write_text(text)
    code, _, err = run(command, result, *([folder] if command == "verify" else []))
    assert code == 1
    assert "[receipt-invalid]" in err
    assert err.count("\n") == 1
