"""The command line, as a person runs it."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import mmc_gpu
from mmc_gpu.cli.app import main
from mmc_gpu.errors import CODES
from mmc_gpu.files.results.rounds import ROUND_FILES
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line; returns exit code, standard output and standard error."""

    def run_(*arguments):
        monkeypatch.setattr(sys, "argv", ["mmc-gpu", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return run_


@pytest.fixture(scope="session")
def sample():
    return make_sample_round(users=40, stocks=200, seed=3)


@pytest.fixture
def folder(tmp_path, sample):
    """A sample round in a folder."""
    write_sample_round(tmp_path / "round", sample)
    return tmp_path / "round"


def break_user(folder, user, value):
    """Overwrite a user's first prediction."""
    table = pd.read_parquet(folder / "predictions.parquet")
    table.loc[0, user] = value
    table.to_parquet(folder / "predictions.parquet", index=False)


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
        rows = json.load(text) if format_ == "json" else list(csv.DictReader(text))
    return [(row["user"], float(row["mmc"])) for row in rows]


@pytest.mark.parametrize("format_", ["parquet", "csv", "json"])
def test_every_format_holds_the_same_bits(run, folder, tmp_path, format_):
    assert run("score", folder, "-o", tmp_path / "out", "--format", format_)[0] == 0
    found = rows_of(format_, (tmp_path / f"out/scores.{format_}").read_bytes())
    _, out, _ = run("score", folder, "-o", "-")
    assert found == rows_of("csv", out.encode())


def test_standard_output_holds_nothing_but_the_scores(run, folder):
    _, out, _ = run("score", folder, "-o", "-", "--format", "json")
    assert len(json.loads(out)) % 40 == 0


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
    def test_a_faulty_user_is_left_out_and_named(self, run, folder, tmp_path, sample):
        user = sample.users[3]
        break_user(folder, user, np.nan)
        code, out, err = run("score", folder, "-o", tmp_path / "out", "--top", 100)
        assert code == 4
        assert user not in out
        assert "prediction-missing" in err
        listed = pd.read_csv(tmp_path / "out/quarantine.csv")
        assert listed[["user", "code"]].to_numpy().tolist() == [[user, "prediction-missing"]]

    def test_fail_stops_at_once_and_writes_nothing(self, run, folder, tmp_path, sample):
        break_user(folder, sample.users[3], np.nan)
        code, _, err = run("score", folder, "-o", tmp_path / "out", "--on-error", "fail")
        assert code == 1
        assert err.startswith("error: ")
        assert "[prediction-missing]" in err
        assert not (tmp_path / "out").exists()

    def test_check_finds_the_same(self, run, folder, sample):
        assert run("check", folder)[0] == 0
        break_user(folder, sample.users[3], np.inf)
        code, _, err = run("check", folder)
        assert code == 4
        assert "prediction-infinite" in err
        assert run("check", folder, "--on-error", "fail")[0] == 1


class TestVerify:
    @pytest.fixture
    def result(self, run, folder, tmp_path):
        assert run("score", folder, "-o", tmp_path / "out")[0] == 0
        return tmp_path / "out"

    def test_an_honest_result_verifies_on_another_engine(self, run, folder, result):
        code, out, _ = run("verify", result, folder, "--engine", "numpy")
        assert code == 0
        assert out.startswith("verified: 40 users")

    @pytest.mark.parametrize(
        "options", [["--format", "csv"], ["--format", "json"], ["--save-draws"]]
    )
    def test_every_kind_of_result_verifies(self, run, folder, tmp_path, options):
        run("score", folder, "-o", tmp_path / "out", *options)
        assert run("verify", tmp_path / "out", folder)[0] == 0

    def test_a_changed_input_is_named(self, run, folder, result, sample):
        break_user(folder, sample.users[0], 0.123)
        code, _, err = run("verify", result, folder)
        assert code == 5
        assert "predictions.parquet: changed since it was scored" in err
        assert "scores: digest" in err

    def test_a_changed_score_is_found_even_if_the_receipt_agrees(self, run, folder, result):
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
    def test_a_broken_receipt_is_an_error(self, run, folder, result, text):
        (result / "receipt.json").write_text(text)
        code, _, err = run("verify", result, folder)
        assert code == 1
        assert "[receipt-invalid]" in err


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

    def test_without_a_code_all_are_explained_within_80_columns(self, run):
        _, out, _ = run("explain")
        assert [line for line in out.split("\n") if line and line[0] != " "] == list(CODES)
        assert max(map(len, out.split("\n"))) <= 80

    def test_an_unknown_code_names_the_nearest(self, run):
        code, out, err = run("explain", "prediction-ranges")
        assert (code, out) == (2, "")
        assert "did you mean prediction-range" in err
        assert run("explain", "zzz")[0] == 2


class TestReport:
    @pytest.fixture
    def result(self, run, folder, tmp_path):
        run("score", folder, "-o", tmp_path / "out", "--save-draws")
        return tmp_path / "out"

    def test_a_result_becomes_a_page_in_its_folder(self, run, result):
        code, out, err = run("report", result)
        assert (code, out) == (0, "")
        assert "report.html in a browser" in err
        assert (result / "report.html").read_text().startswith("<!DOCTYPE html>")

    def test_the_page_can_go_elsewhere_and_be_of_another_target(self, run, result, tmp_path):
        page = tmp_path / "page.html"
        assert run("report", result, "-o", page, "--target", "target_ada")[0] == 0
        assert '"target":"target_ada","others":["target"]' in page.read_text()
        assert not (result / "report.html").exists()

    def test_it_is_the_page_that_score_writes(self, run, folder, result):
        run("report", result)
        read = (result / "report.html").read_text()
        run("score", folder, "-o", result, "--report")
        at_once = (result / "report.html").read_text()
        for page in (read, at_once):
            assert '"strips":{' in page
        assert cut(read) == cut(at_once)

    def test_a_new_result_removes_the_old_page_and_still_verifies(self, run, folder, result):
        run("report", result)
        assert run("verify", result, folder)[0] == 0
        run("score", folder, "-o", result)
        assert not (result / "report.html").exists()

    def test_a_packed_rounds_page_has_the_draws_too(self, run, folder, tmp_path):
        assert run("pack", folder, "-o", tmp_path / "packed")[0] == 0
        run("score", tmp_path / "packed", "-o", tmp_path / "one", "--report")
        run("score", folder, "-o", tmp_path / "other", "--report")
        pages = [(tmp_path / name / "report.html").read_text() for name in ("one", "other")]
        assert '"strips":{' in pages[0]
        assert cut(pages[0]).split('"quality":')[0] == cut(pages[1]).split('"quality":')[0]

    def test_each_of_several_rounds_gets_a_page(self, run, folder, tmp_path):
        shutil.copytree(folder, tmp_path / "second")
        rounds, out = [folder, tmp_path / "second"], tmp_path / "many"
        assert run("score", *rounds, "-o", out)[0] == 0
        for _ in range(2):
            assert run("score", *rounds, "-o", out, "--report")[0] == 0
            assert len(list(out.glob("*/report.html"))) == 2

    @pytest.mark.parametrize("option", ["--report", "--save-draws"])
    def test_a_page_and_the_draws_need_a_folder(self, run, folder, option):
        for output in ([], ["-o", "-"]):
            code, out, err = run("score", folder, option, *output)
            assert (code, out) == (2, "")
            assert "-o" in err

    def test_what_is_no_result_is_an_error(self, run, folder, tmp_path):
        assert run("report", folder)[0] == 1
        code, _, err = run("report", tmp_path / "nothing")
        assert code == 1
        assert "[receipt-invalid]" in err

    def test_an_unknown_target_is_a_usage_error(self, run, result):
        assert run("report", result, "--target", "nothing")[0] == 2


def cut(page):
    """Return a page without when it was scored, and without the files' names."""
    return page.split('"receipt":')[0]


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


def python(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_importing_and_helping_import_nothing_heavy():
    heavy = "{'numba', 'pandas', 'scipy', 'matplotlib', 'cupy', 'pyarrow'}"
    for line in (
        "import mmc_gpu",
        "import mmc_gpu.cli.app, contextlib; contextlib.suppress(SystemExit)",
    ):
        code = f"import sys; {line}; print({heavy} & set(sys.modules))"
        assert python("-c", code).stdout.strip() == "set()"
    helped = python("-X", "importtime", "-m", "mmc_gpu", "--help")
    assert helped.returncode == 0
    assert "demo" in helped.stdout
    for package in ("numba", "pandas", "scipy", "matplotlib", "cupy"):
        assert f" {package}\n" not in helped.stderr


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_round_of_files_is_scored_without_pandas(sample, tmp_path, one_by_one):
    write_sample_round(tmp_path / "round", sample, one_by_one)
    command = ("-m", "mmc_gpu", "score", tmp_path / "round", "-o", tmp_path / "out", "--save-draws")
    scored = python("-X", "importtime", *command)
    assert scored.returncode == 0
    assert " pyarrow\n" in scored.stderr
    assert " pandas\n" not in scored.stderr


def test_python_o_changes_no_check(folder, sample):
    break_user(folder, sample.users[3], np.nan)
    checked = python("-O", "-m", "mmc_gpu", "score", str(folder), "--engine", "numpy")
    assert checked.returncode == 4
    assert "prediction-missing" in checked.stderr
