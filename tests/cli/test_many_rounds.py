"""Several rounds in one call: where their results go, and which of them are finished."""

import json
import shutil
import threading

import pandas as pd
import pytest

from mmc_gpu.cli.runs import Run
from mmc_gpu.engines.threads import VARIABLE
from mmc_gpu.errors import RoundError
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two rounds on two targets each, beside each other: copy them."""
    written = tmp_path_factory.mktemp("rounds")
    for number, name in enumerate(("one", "two")):
        write_sample_round(written / name, make_sample_round(20, 100, seed=number))
        targets = pd.read_csv(written / name / "targets.csv")
        targets["other"] = targets.iloc[::-1, 1].to_numpy()
        targets.to_csv(written / name / "targets.csv", index=False)
    return written


@pytest.fixture
def rounds(written, tmp_path, monkeypatch):
    """These rounds; the first is the current folder."""
    shutil.copytree(written, tmp_path / "rounds")
    folders = [tmp_path / "rounds/one", tmp_path / "rounds/two"]
    monkeypatch.chdir(folders[0])
    return folders


@pytest.fixture
def score(run, rounds, tmp_path):
    """Score both rounds; return how many were finished before."""

    def score_(*options):
        code, _, said = run("score", *rounds, "-o", tmp_path / "out", "--engine", "numpy", *options)
        assert code == 0, said
        return said.count("finished before")

    return score_


class TestWhatIsFinished:
    @pytest.mark.parametrize(
        "options", [("--save-draws",), ("--report",), ("--format", "csv"), ("--format", "json")]
    )
    def test_a_result_without_what_is_asked_for_is_written_again(self, score, options):
        assert score() == 0
        assert score(*options) == 0
        assert score(*options) == 2

    def test_a_result_of_another_day_is_written_again(self, score, tmp_path):
        for day in ("2026-11-26", "2026-11-27"):
            assert [score("--date", day), score("--date", day)] == [0, 2]
            receipt = json.loads((tmp_path / "out/one/receipt.json").read_text())
            assert receipt["title"]["date"] == day

    def test_a_result_with_more_is_finished(self, score):
        score("--save-draws", "--report")
        assert score() == 2

    def test_a_file_that_the_result_did_not_write_is_no_part_of_it(self, score, tmp_path):
        score()
        for name in ("one", "two"):
            (tmp_path / "out" / name / "draws.parquet").write_bytes(b"planted")
        assert score("--save-draws") == 0
        assert (tmp_path / "out/one/draws.parquet").read_bytes() != b"planted"

    def test_what_a_killed_call_has_left_is_removed(self, score, tmp_path):
        assert score() == 0
        left = tmp_path / "out/.one.new-0123abcd"
        shutil.copytree(tmp_path / "out/one", left)
        others = tmp_path / "out/.one.new-89abcdef"
        shutil.copytree(tmp_path / "out/one", others)
        (others / "notes.txt").write_text("not ours")
        assert score() == 2
        assert not left.exists()
        assert others.exists()

    def test_a_page_of_another_target_is_written_again(self, score):
        score("--report")
        assert score("--report", "--target", "other") == 0
        assert score("--report", "--target", "other") == 2
        assert score("--report") == 0
        assert score("--report", "--target", "target") == 2

    def test_without_a_page_the_target_changes_nothing_that_is_written(self, score):
        score()
        assert score("--target", "other") == 2

    def test_a_page_that_report_made_on_another_target_is_not_the_one(self, run, score, tmp_path):
        score("--report")
        assert run("report", tmp_path / "out/one", "--target", "other")[0] == 0
        assert score("--report") == 1


class TestWhileTheNextIsComputed:
    @pytest.fixture
    def wrote(self, monkeypatch):
        """The threads that wrote."""
        threads, write = [], Run.write

        def noted(*arguments):
            threads.append(threading.current_thread())
            return write(*arguments)

        monkeypatch.setattr(Run, "write", noted)
        return threads

    @pytest.mark.parametrize("threads", [1, 2])
    def test_another_thread_writes_where_there_may_be_two(self, wrote, score, monkeypatch, threads):
        monkeypatch.setenv(VARIABLE, str(threads))
        assert score("--report") == 0
        assert len(wrote) == 2
        assert all((one is threading.main_thread()) == (threads == 1) for one in wrote)
        assert score("--report") == 2

    def test_what_cannot_be_written_does_not_stop_the_others(
        self, run, rounds, tmp_path, monkeypatch
    ):
        write = Run.write

        def full(run, output, *arguments):
            if output.name == "one":
                raise RoundError("output-failed", f"{output}: No space left on device")
            write(run, output, *arguments)

        monkeypatch.setattr(Run, "write", full)
        code, out, said = run("score", *rounds, "-o", tmp_path / "out")
        assert code == 1
        assert "1 scored, 1 failed" in out
        assert said.index("1 of 2, one: failed: ") < said.index("2 of 2, two: ")
        assert (tmp_path / "out/two/receipt.json").is_file()

    def test_ctrl_c_tells_what_is_written_and_how_many_are_left(
        self, run, rounds, tmp_path, monkeypatch
    ):
        compute = Run.compute

        def stopped(run, round_, *arguments):
            if round_.name == "two":
                raise KeyboardInterrupt
            return compute(run, round_, *arguments)

        monkeypatch.setattr(Run, "compute", stopped)
        code, _, said = run("score", *rounds, "-o", tmp_path / "out")
        assert code == 130
        assert "1 of 2, one: " in said
        assert "goes on with the 1 round left" in said
        assert (tmp_path / "out/one/receipt.json").is_file()


class TestWhereResultsGo:
    @pytest.mark.parametrize("here", [".", "./", "../one", "../one/", "../two/../one", "../one/."])
    def test_a_round_is_called_after_its_folder(self, run, rounds, tmp_path, here):
        out = tmp_path / "out"
        code, _, said = run("score", here, "../two", "-o", out, "--engine", "numpy")
        assert code == 0, said
        assert sorted(path.name for path in out.iterdir()) == ["night.json", "one", "two"]
        assert (out / "one/receipt.json").is_file()

    def test_the_folder_above(self, run, rounds, tmp_path, monkeypatch):
        (rounds[0] / "below").mkdir()
        monkeypatch.chdir(rounds[0] / "below")
        out = tmp_path / "deep/out"
        assert run("score", "..", rounds[1], "-o", out, "--engine", "numpy")[0] == 0
        assert sorted(path.name for path in out.iterdir()) == ["night.json", "one", "two"]
        assert [path.name for path in out.parent.iterdir()] == ["out"]

    def test_a_link_keeps_its_own_name(self, run, rounds, tmp_path):
        (tmp_path / "latest").symlink_to(rounds[0])
        out = tmp_path / "out"
        assert run("score", tmp_path / "latest", rounds[1], "-o", out, "--engine", "numpy")[0] == 0
        assert sorted(path.name for path in out.iterdir()) == ["latest", "night.json", "two"]

    @pytest.mark.parametrize("pair", [(".", "../one"), ("../one", "."), ("../two", "../two/")])
    def test_two_rounds_of_one_name_are_refused(self, run, rounds, tmp_path, pair):
        code, _, said = run("score", *pair, "-o", tmp_path / "out")
        assert code == 2
        assert "same name" in said
        assert not (tmp_path / "out").exists()
