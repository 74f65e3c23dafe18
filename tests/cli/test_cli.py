"""The command line, as a person runs it."""

import csv
import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import mmc_gpu
from mmc_gpu.errors import CODES
from mmc_gpu.files.results.rounds import ROUND_FILES


def test_demo_leaves_a_round_and_its_results(run, tmp_path):
    code, out, err = run("demo", tmp_path / "demo", "--users", 30, "--stocks", 150)
    assert code == 0
    assert "rank" in out
    assert "corr of the meta model" in out
    assert "digest" in err
    assert (tmp_path / "demo/round/predictions.parquet").is_file()
    assert {f.name for f in (tmp_path / "demo/results").iterdir()} == {
        "scores.parquet",
        "quarantine.csv",
        "receipt.json",
        "report.html",
    }
    assert "report.html in a browser" in err


def test_demo_can_be_run_twice(run, tmp_path):
    for _ in range(2):
        code, _, _ = run("demo", tmp_path / "demo", "--users", 30, "--stocks", 150)
        assert code == 0


def test_the_leaderboard_is_the_table_of_the_results(run, folder, tmp_path, sample):
    code, out, _ = run("score", folder, "-o", tmp_path / "out", "--top", 5)
    assert code == 0
    scores = pq.read_table(tmp_path / "out/scores.parquet").to_pandas()
    first = scores[scores["target"] == next(iter(sample.targets))] if "target" in scores else scores
    for user in first["user"].head(5):
        assert user in out


def rows_of(format_, data):
    """Return (user, mmc) of every row of a file of scores."""
    if format_ == "parquet":
        rows = pq.read_table(io.BytesIO(data)).to_pylist()
    else:
        text = io.StringIO(data.decode())
        rows = json.load(text)["rows"] if format_ == "json" else list(csv.DictReader(text))
    return [(row["user"], float(row["mmc"])) for row in rows]


@pytest.mark.parametrize("format_", ["parquet", "csv", "json"])
def test_every_format_holds_the_same_bits(run, folder, tmp_path, format_):
    assert run("score", folder, "-o", tmp_path / "out", "--format", format_)[0] == 0
    found = rows_of(format_, (tmp_path / f"out/scores.{format_}").read_bytes())
    _, out, _ = run("score", folder, "-o", "-")
    assert found == rows_of("csv", out.encode())


def test_standard_output_holds_nothing_but_the_scores(run, folder):
    _, out, _ = run("score", folder, "-o", "-", "--format", "json")
    assert len(json.loads(out)["rows"]) % 40 == 0


def test_the_receipt_says_what_was_scored_and_how(run, folder, tmp_path):
    run("score", folder, "-o", tmp_path / "out", "--draws", 7, "--engine", "numpy", "--save-draws")
    receipt = json.loads((tmp_path / "out/receipt.json").read_text())
    assert [entry["file"] for entry in receipt["inputs"]] == [
        "predictions.parquet",
        "stakes.csv",
        "targets.csv",
    ]
    assert receipt["parameters"]["draws"] == 7
    assert receipt["engine"] == "numpy"
    assert receipt["versions"]["mmc_gpu"] == mmc_gpu.__version__
    draws = pq.read_table(tmp_path / "out/draws.parquet")
    assert draws.column_names[-1] == "draw_6"


class TestQuarantine:
    def test_a_faulty_user_is_left_out_and_named(self, run, folder, tmp_path, sample, break_user):
        user = sample.users[3]
        break_user(user, np.nan)
        code, out, err = run("score", folder, "-o", tmp_path / "out", "--top", 100)
        assert code == 4
        assert user not in out
        assert "prediction-missing" in err
        listed = pd.read_csv(tmp_path / "out/quarantine.csv")
        assert listed[["user", "code"]].to_numpy().tolist() == [[user, "prediction-missing"]]

    def test_fail_stops_at_once_and_writes_nothing(self, run, folder, tmp_path, sample, break_user):
        break_user(sample.users[3], np.nan)
        code, _, err = run("score", folder, "-o", tmp_path / "out", "--on-error", "fail")
        assert code == 1
        assert err.startswith("error: ")
        assert "[prediction-missing]" in err
        assert not (tmp_path / "out").exists()

    def test_check_finds_the_same(self, run, folder, sample, break_user):
        assert run("check", folder)[0] == 0
        break_user(sample.users[3], np.inf)
        code, _, err = run("check", folder)
        assert code == 4
        assert "prediction-infinite" in err
        assert run("check", folder, "--on-error", "fail")[0] == 1


class TestErrors:
    def test_an_engine_that_does_not_exist_is_a_usage_error(self, run, folder):
        code, _, err = run("score", folder, "--engine", "abacus")
        assert code == 2
        assert "abacus" in err

    def test_a_bad_option_is_a_usage_error(self, run, folder):
        assert run("score", folder, "--sample", 3)[0] == 2
        assert run("score", folder, "--draws", 0)[0] == 2
        assert run("score")[0] == 2

    def test_a_missing_folder_is_one_line(self, run, tmp_path):
        code, out, err = run("score", tmp_path / "nothing")
        assert (code, out) == (1, "")
        assert err.count("\n") == 1
        assert "[file-missing]" in err

    @pytest.mark.parametrize("name", ["thesis.txt", "scores.csv"])
    def test_results_never_replace_other_files(self, run, folder, tmp_path, name):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / name).write_text("irreplaceable")
        code, out, err = run("score", folder, "-o", tmp_path / "out")
        assert (code, out) == (1, "")  # known before anything is scored
        assert "[output-foreign]" in err
        assert (tmp_path / "out" / name).read_text() == "irreplaceable"

    def test_a_previous_result_is_replaced_whole(self, run, folder, tmp_path):
        run("score", folder, "-o", tmp_path / "out", "--format", "csv", "--save-draws")
        run("score", folder, "-o", tmp_path / "out")
        assert {f.name for f in (tmp_path / "out").iterdir()} < set(ROUND_FILES)
        assert not (tmp_path / "out/scores.csv").exists()


def test_doctor_tells_versions_engines_and_kernels(run):
    code, out, _ = run("doctor")
    assert code == 0
    for word in ("mmc_gpu", "engine numpy works", "kernels"):
        assert word in " ".join(out.split())


class TestExplain:
    @pytest.mark.parametrize("form", ["{}", "[{}]"])
    def test_a_code_has_its_meaning_and_its_remedy(self, run, form):
        code, out, _ = run("explain", form.format("prediction-range"))
        assert code == 0
        text = " ".join(out.split())
        assert CODES["prediction-range"].meaning in text
        assert f"Remedy: {CODES['prediction-range'].remedy}." in text

    @pytest.mark.parametrize("terminal", [True, False])
    def test_without_a_code_all_are_explained(self, run, monkeypatch, terminal):
        monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
        _, out, _ = run("explain")
        assert [line for line in out.split("\n") if line and line[0] != " "] == list(CODES)
        assert (max(map(len, out.split("\n"))) <= 80) is terminal  # in a pipe nothing is wrapped

    def test_an_unknown_code_names_the_nearest(self, run):
        code, out, err = run("explain", "prediction-ranges")
        assert (code, out) == (2, "")
        assert "did you mean prediction-range" in err
        assert run("explain", "zzz")[0] == 2


def test_names_reach_the_terminal_as_they_are_never_as_markup(run, folder, sample):
    table = pd.read_parquet(folder / "predictions.parquet")
    table = table.rename(columns={sample.users[0]: "[bold red]x[/]"})
    table.to_parquet(folder / "predictions.parquet", index=False)
    _, out, _ = run("score", folder, "--top", 100)
    assert "[bold red]x[/]" in out


def test_formulas_in_names_are_defused_in_csv(run, folder, sample):
    table = pd.read_parquet(folder / "predictions.parquet")
    table = table.rename(columns={sample.users[0]: '=HYPERLINK("x")'})
    table.to_parquet(folder / "predictions.parquet", index=False)
    _, out, _ = run("score", folder, "-o", "-")
    assert "'=HYPERLINK" in out
    assert "\n=HYPERLINK" not in out


def test_merge_ends_as_score_does(run, folder, tmp_path):
    packed, work = tmp_path / "packed", tmp_path / "work"
    assert run("pack", folder, "-o", packed)[0] == 0
    _, scored, said = run("score", packed, "-o", tmp_path / "out")
    for output in ([], ["-o", tmp_path / "out"]):
        assert run("score", packed, "--shard", "1/1", "-o", work)[0] == 0
        code, out, err = run("merge", packed, work, *output)
    assert (code, out, err) == (0, scored, said)
    assert "note: " in err
    assert "results in" in err
