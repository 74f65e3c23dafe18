"""Rounds that wait for their targets, and what is scored of those that are resolved in part."""

import json
import os

import numpy as np
import pandas as pd
import pytest

import mmc_gpu
from mmc_gpu.errors import RoundError


@pytest.fixture
def targets(folder):
    """Write the targets of the round anew, or take them away."""

    def targets_(change):
        path = folder / "targets.csv"
        table = pd.read_csv(path)
        if change is None:
            path.unlink()
        else:
            change(table)
            table.to_csv(path, index=False)
        return table

    return targets_


def half(table):
    table.loc[: len(table) // 2, "target"] = np.nan


def one_later(table):
    table["later"] = np.nan


@pytest.mark.parametrize("change", [None, half, one_later])
@pytest.mark.parametrize("command", ["score", "check"])
def test_a_round_waits_until_its_targets_are_there(run, folder, targets, change, command):
    targets(change)
    code, out, err = run(command, folder)
    assert (code, out) == (0, "")
    assert err.startswith("waiting for targets: ")


@pytest.mark.parametrize("change", [None, half])
def test_a_packed_round_waits_too(run, folder, targets, change, tmp_path):
    if change is None:
        table = pd.read_csv(folder / "targets.csv")
        table[["id"]].to_csv(folder / "ids.csv", index=False)
    table = targets(change)
    assert run("pack", folder, "-o", tmp_path / "packed")[0] == 0
    code, _, err = run("score", tmp_path / "packed")
    assert code == 0
    assert "waiting for targets: " in err
    if change is half:
        _, _, err = run("score", tmp_path / "packed", "--partial", "--engine", "numpy")
        assert f" {len(table) - len(table) // 2 - 1} stocks, " in err


def test_it_is_scored_when_they_come(run, folder, targets, tmp_path):
    whole = (folder / "targets.csv").read_bytes()
    targets(None)
    options = ("-o", tmp_path / "out", "--engine", "numpy")
    assert run("score", folder, *options)[0] == 0
    assert not (tmp_path / "out").exists()
    (folder / "targets.csv").write_bytes(whole)
    run("score", folder, *options)
    assert (tmp_path / "out/receipt.json").is_file()


def test_what_waits_is_not_verified(run, folder, targets, tmp_path):
    run("score", folder, "-o", tmp_path / "out", "--engine", "numpy")
    targets(None)
    code, _, err = run("verify", tmp_path / "out", folder)
    assert code == 1
    assert "[target-waiting]" in err


def test_a_part_has_the_scores_of_the_stocks_that_are_resolved(run, folder, targets, tmp_path):
    table = targets(half)
    run("score", folder, "-o", tmp_path / "part", "--engine", "numpy", "--partial")
    table.dropna().to_csv(folder / "targets.csv", index=False)
    run("score", folder, "-o", tmp_path / "rest", "--engine", "numpy")
    receipts = [
        json.loads((tmp_path / name / "receipt.json").read_text()) for name in ("part", "rest")
    ]
    assert receipts[0]["scores_digest"] == receipts[1]["scores_digest"]
    assert [receipt["parameters"].get("partial") for receipt in receipts] == [True, None]


def test_a_part_is_verified_as_a_part(run, folder, targets, tmp_path):
    targets(half)
    run("score", folder, "-o", tmp_path / "part", "--engine", "numpy", "--partial")
    assert run("verify", tmp_path / "part", folder, "--engine", "numpy")[0] == 0


def test_a_target_that_no_stock_has_yet_is_left_out_of_a_part(run, folder, targets):
    before = run("score", folder, "--engine", "numpy")[2]
    targets(one_later)
    code, _, err = run("score", folder, "--engine", "numpy", "--partial")
    assert code == 0
    assert "no stock has 'later' yet" in err
    assert before.splitlines()[-1] == err.splitlines()[-1]  # the digest


def test_nearly_nothing_waits_even_where_a_part_will_do(run, folder, targets):
    def two(table):
        table.loc[2:, "target"] = np.nan

    targets(two)
    code, _, err = run("score", folder, "--partial")
    assert code == 0
    assert err.startswith("waiting for targets: ")


def test_in_python_a_round_that_waits_has_a_code_of_its_own(folder, targets):
    targets(half)
    with pytest.raises(RoundError, match="--partial") as waiting:
        mmc_gpu.open_round(folder)
    assert waiting.value.code == "target-waiting"
    assert len(mmc_gpu.open_round(folder, partial=True).ids) == 99


def test_a_file_among_the_rounds_is_ignored_and_said(run, folder, tmp_path):
    stray = folder.parent / "notes.txt"
    stray.write_text("no round")
    code, _, err = run("score", stray, folder, "-o", tmp_path / "out", "--engine", "numpy")
    assert code == 0
    assert f"ignored: {stray}, " in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["night.json", "round"]


def test_a_folder_that_is_missing_is_no_stray(run, folder, tmp_path):
    code, _, err = run("score", tmp_path / "gone", folder, "-o", tmp_path / "out")
    assert code == 1
    assert "[file-missing]" in err


class TestTitles:
    def test_a_receipt_a_table_and_a_page_say_which_round_it_is(self, run, folder, tmp_path):
        folder = folder.rename(tmp_path / "round_0612")
        os.utime(folder / "targets.csv", (1.7e9, 1.7e9))
        out = tmp_path / "out"
        options = ("-o", out, "--engine", "numpy", "--report", "--format", "json")
        run("score", folder, *options)
        title = {"round": "round_0612", "number": 612, "date": "2023-11-14"}
        assert json.loads((out / "receipt.json").read_text())["title"] == title
        table = json.loads((out / "scores.json").read_text())
        assert {name: table[name] for name in title} == title
        assert table["rows"][0]["rank"] == 1
        assert "round_0612, targets of 2023-11-14" in (out / "report.html").read_text()
        assert run("verify", out, folder, "--engine", "numpy")[0] == 0

    def test_name_and_day_can_be_given(self, run, folder, tmp_path):
        options = ("--name", "Signals 88", "--date", "2026-11-27")
        run("score", folder, "-o", tmp_path / "out", "--engine", "numpy", *options)
        title = json.loads((tmp_path / "out/receipt.json").read_text())["title"]
        assert title == {"round": "Signals 88", "number": 88, "date": "2026-11-27"}

    @pytest.mark.parametrize("date", ["27.11.2026", "20261127", "today"])
    def test_a_day_that_is_none_is_a_usage_error(self, run, folder, date):
        assert run("score", folder, "--date", date)[0] == 2

    def test_a_forged_heading_of_a_table_is_found(self, run, folder, tmp_path):
        out = tmp_path / "out"
        run("score", folder, "-o", out, "--engine", "numpy", "--format", "json")
        table = json.loads((out / "scores.json").read_text())
        (out / "scores.json").write_text(json.dumps(table | {"round": "another"}, indent=1) + "\n")
        code, _, err = run("verify", out, folder, "--engine", "numpy")
        assert code == 5
        assert "not the round, date and digest" in err


class TestRanks:
    @pytest.mark.parametrize("format_", ["parquet", "csv", "json"])
    def test_every_table_has_ranks_and_their_intervals(self, run, folder, tmp_path, format_):
        out = tmp_path / "out"
        run("score", folder, "-o", out, "--engine", "numpy", "--format", format_)
        if format_ == "json":
            table = pd.DataFrame(json.loads((out / "scores.json").read_text())["rows"])
        else:
            table = getattr(pd, f"read_{format_}")(out / f"scores.{format_}")
        for _, own in table.groupby("target"):
            assert own["rank"].tolist() == list(range(1, len(own) + 1))
            assert (own["rank_low"] <= own["rank"]).all()
            assert (own["rank"] <= own["rank_high"]).all()
            assert own["mmc"].is_monotonic_decreasing
        assert run("verify", out, folder, "--engine", "numpy")[0] == 0

    @pytest.mark.parametrize("format_", ["parquet", "csv", "json"])
    def test_without_draws_intervals_are_null(self, run, folder, tmp_path, format_):
        run("pack", folder, "-o", tmp_path / "packed")
        out = tmp_path / "out"
        options = ("--engine", "numpy", "--format", format_)
        run("score", tmp_path / "packed", "-o", out, *options)
        if format_ == "json":
            rows = json.loads((out / "scores.json").read_text())["rows"]
            assert {row["rank_low"] for row in rows} == {None}
        else:
            table = getattr(pd, f"read_{format_}")(out / f"scores.{format_}")
            assert table["rank_low"].isna().all()
        for round_ in (folder, tmp_path / "packed"):
            assert run("verify", out, round_, "--engine", "numpy")[0] == 0
        assert run("report", out)[0] == 0

    def test_labelled_frames_stand_in_the_order_of_the_table(self, folder):
        scores = mmc_gpu.score_round(mmc_gpu.open_round(folder), engine="numpy")
        table, draws = scores.table, scores.draws_table
        assert draws["user"].tolist() == table["user"].tolist()
        means = draws.filter(like="draw_").mean(axis=1)
        np.testing.assert_allclose(means, table["mmc"], atol=1e-12)
        assert table["user"].tolist()[: len(scores.users)] != scores.users  # arrays: canonical
