"""Arguments that people give by mistake: said in words, and nothing of theirs is lost."""

import shutil

import pandas as pd
import pytest
from systems import posix

from mmc_gpu.files.rounds.read import list_inputs


@pytest.mark.parametrize("memory", ["inf", "1e300", "nan", "-1"])
def test_no_memory_is_a_usage_error(run, folder, memory):
    code, out, err = run("score", folder, "--memory", memory)
    assert (code, out) == (2, "")
    assert "--memory" in err


def test_scores_that_float64_cannot_hold_have_a_page_and_a_place_in_the_history(
    run, folder, tmp_path
):
    targets = pd.read_csv(folder / "targets.csv")
    targets["target"] = (targets["target"] - 0.5) * 1e308
    targets.to_csv(folder / "targets.csv", index=False)
    folder = folder.rename(folder.with_name("round_12"))
    code, out, _ = run("score", folder, "--scale", 1e-5, "-o", tmp_path / "out/round_12")
    assert code == 0
    assert "inf" in out
    for command in (["report"], ["verify", folder]):
        name, *more = command
        assert run(name, tmp_path / "out/round_12", *more)[0] == 0
    assert run("history", tmp_path / "out", "-o", tmp_path / "history")[0] == 0


@pytest.mark.parametrize("day", ["today", "2026-13-01", "20261127", "2026-11-27T00:00"])
def test_no_day_is_named(run, folder, day):
    code, _, err = run("score", folder, "--date", day)
    assert code == 2
    assert err == f"error: a day is written as 2026-11-27, not '{day}'\n"


@pytest.mark.parametrize("name", ["x" * 300, "two\nlines", "\x1b[31m", " round", "jose\u0301"])
def test_no_name_of_a_round_is_refused(run, folder, name):
    code, out, err = run("score", folder, "--name", name)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: --name is printable")


@pytest.mark.parametrize("name", ["scores.parquet", "-", "page"])
def test_a_page_replaces_no_table(run, folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    run("score", folder, "-o", "out")
    shutil.copy("out/scores.parquet", "scores.parquet")
    code, _, err = run("report", "out", "-o", name)
    assert (code, err) == (2, f"error: {name}: a page is written as .html\n")
    assert (tmp_path / "scores.parquet").read_bytes() == (
        tmp_path / "out/scores.parquet"
    ).read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"round", "out", "scores.parquet"}


@pytest.mark.parametrize(
    ("arguments", "ignored"),
    [
        (["score", "round", "--report", "--format", "csv"], "--report, --format"),
        (["score", "round", "--save-draws", "--keep-days"], "--save-draws, --keep-days"),
        (["score", "round", "-o", "-", "--report"], "--report"),
        (["merge", "packed", "work", "--format", "csv"], "--format"),
        (["evaluate", "data.csv", "--report", "--format", "csv"], "--report, --format"),
        *(
            (["score", "packed", "--shard", "1/2", "-o", "work", *option], option[0])
            for option in (
                *(["--report"], ["--keep-days"], ["--name", "x"], ["--date", "2026-11-27"]),
                *(["--target", "x"], ["--format", "csv"], ["--cluster", "local"]),
            )
        ),
    ],
)
def test_an_option_that_would_do_nothing_is_a_usage_error(run, arguments, ignored):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert f"Invalid value: {ignored}: " in err


class TestTheDemo:
    def demo(self, run, folder, *more):
        small = ["--users", 12, "--stocks", 120, "--engine", "numpy"]
        code, _, err = run("demo", folder, *small, *more)
        return code, err

    def test_again(self, run, tmp_path):
        assert [self.demo(run, tmp_path)[0] for _ in range(2)] == [0, 0]

    def test_another_round_is_kept(self, run, folder, tmp_path):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        code, err = self.demo(run, tmp_path)  # "folder" is tmp_path/round
        assert code == 2
        assert "holds another round" in err
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    @pytest.mark.parametrize(("first", "then"), [([], ["--submissions"]), (["--submissions"], [])])
    def test_a_round_has_one_form(self, run, tmp_path, first, then):
        assert self.demo(run, tmp_path, *first)[0] == 0
        assert self.demo(run, tmp_path, *then)[0] == 2
        assert self.demo(run, tmp_path, *first)[0] == 0


def test_storage_that_does_not_answer_is_no_output(run, monkeypatch):
    def unreachable(uri):
        raise OSError(f"could not resolve the host of {uri}")

    monkeypatch.setattr("mmc_gpu.files.formats.places.RemotePath.of", unreachable)
    code, _, err = run("score", "s3://bucket/round")
    assert (code, err) == (1, "error: could not resolve the host of s3://bucket/round\n")


def test_stakes_without_a_column_are_named(run, folder):
    stakes = folder / "stakes.csv"
    stakes.write_text(stakes.read_text().replace("stake", "nmr", 1))
    code, _, err = run("score", folder)
    assert code == 1
    assert err.startswith("error: stakes.csv: needs one column 'stake', has 'user', 'nmr'")


@pytest.mark.parametrize("packed", [False, True])
def test_where_no_stake_is_left_the_faulty_ones_are_shown(run, folder, tmp_path, packed):
    user = (folder / "stakes.csv").read_text().splitlines()[1].split(",")[0]
    (folder / "stakes.csv").write_text(f"user,stake\n{user},-5\n")
    if packed:
        run("pack", folder, "-o", tmp_path / "packed")
    code, _, err = run("score", tmp_path / "packed" if packed else folder)
    assert code == 1
    assert err.startswith(f"quarantined: user '{user}': stake ")
    assert err.splitlines()[-1].endswith("[stake-none]")


def test_a_night_with_one_round_left_goes_on_in_the_folder_of_all(run, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "next")
    assert run("score", folder, tmp_path / "next", "-o", tmp_path / "out")[0] == 0
    (folder / "stakes.csv").write_text((folder / "stakes.csv").read_text() + "ghost,1\n")
    code, out, _ = run("score", folder, "-o", tmp_path / "out")
    assert (code, out) == (0, f"1 round in {tmp_path / 'out'}: 1 scored\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "next", "night.json", "round",
    ]  # fmt: skip


def test_a_round_that_may_not_be_read_stops_no_other_round(run, folder, tmp_path, monkeypatch):
    def read(round_):
        if round_ != folder:
            raise PermissionError(13, "Permission denied", str(round_))
        return list_inputs(round_)

    monkeypatch.setattr("mmc_gpu.cli.runs.list_inputs", read)
    code, out, err = run("score", tmp_path / "shut", folder, "-o", tmp_path / "out")
    assert (code, out) == (1, f"2 rounds in {tmp_path / 'out'}: 1 scored, 1 failed\n")
    assert "1 of 2, shut: failed: [Errno 13] Permission denied" in err
    assert "[file-unreadable]" in err


def test_a_night_of_files_alone_is_a_usage_error_and_writes_nothing(run, folder, tmp_path):
    code, out, err = run(
        "score", folder / "stakes.csv", folder / "targets.csv", "-o", tmp_path / "o"
    )
    assert (code, out) == (2, "")
    assert "all of these are files" in err
    assert not (tmp_path / "o").exists()


def test_a_history_without_a_result_says_why(run, folder, tmp_path):
    assert run("score", folder, "-o", tmp_path / "out/601")[0] == 0
    code, _, err = run("history", tmp_path / "out", "-o", tmp_path / "season", "--target", "none")
    assert code == 1
    assert "601: no target 'none' among 'target'" in err
    assert "[column-unknown]" in err


@posix
@pytest.mark.parametrize("command", ["score", "check", "pack", "publish"])
def test_a_folder_that_cannot_be_looked_into_has_a_code(run, tmp_path, command):
    arguments = ["-o", tmp_path / "out"] if command in ("pack", "publish") else []
    arguments += ["--commit"] if command == "publish" else []
    code, out, err = run(command, tmp_path / ("a" * 300), *arguments)
    assert (code, out) == (1, "")
    assert "File name too long" in err
    assert "[file-unreadable]" in err
    assert not list(tmp_path.iterdir())


@posix
def test_where_a_result_cannot_lie_is_said_with_a_code(run, folder, tmp_path):
    code, _, err = run("score", folder, "-o", tmp_path / ("a" * 300))
    assert (code, "[file-unreadable]" in err) == (1, True)
    code, out, err = run("score", tmp_path / ("a" * 300), folder, "-o", tmp_path / "out")
    assert (code, out) == (1, f"2 rounds in {tmp_path / 'out'}: 1 scored, 1 failed\n")
    assert "[file-unreadable]" in err
