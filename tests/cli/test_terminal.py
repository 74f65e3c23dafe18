"""What a person sees in a terminal: at 80 columns, without colour, piped, and while waiting."""

import io
import json
import os
import re
import sys
import threading
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from systems import posix

from mmc_gpu.__main__ import main as process_main
from mmc_gpu.cli.app import main
from mmc_gpu.cli.terminal import show_table
from mmc_gpu.engines.cpu import compiled
from mmc_gpu.engines.cpu.moments import multiply
from mmc_gpu.errors import CODES, counted
from mmc_gpu.rounds.sample import SampleRound, make_sample_round, write_sample_round

LONG = "x" * 128


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A round with the longest name, wide letters, markup and the largest stake."""
    sample = make_sample_round(users=12, stocks=100, seed=5)
    odd = dict(zip(sample.users, [LONG, "日本語の名前" * 8, "[red]bold[/]"], strict=False))
    users = [odd.get(user, user) for user in sample.users]
    stakes = {odd.get(user, user): stake for user, stake in sample.stakes.items()} | {LONG: 1e15}
    folder = tmp_path_factory.mktemp("wide")
    write_sample_round(
        folder, SampleRound(sample.ids, users, sample.predictions, stakes, sample.targets)
    )
    return folder


@pytest.fixture
def in_terminal(monkeypatch, call):
    """Run the command line in a terminal; returns what that receives, and the exit code."""
    pty = pytest.importorskip("pty", reason="no terminals to be had on this system")

    def in_terminal_(*arguments, columns=80, **environment):
        parent, child = pty.openpty()
        received = bytearray()

        def receive():
            with suppress(OSError):  # the other end is closed
                while block := os.read(parent, 65536):
                    received.extend(block)

        reader = threading.Thread(target=receive)
        reader.start()
        with monkeypatch.context() as patch, os.fdopen(child, "w", encoding="utf-8") as terminal:
            told = {"COLUMNS": str(columns), "TERM": "xterm-256color"} | environment
            for name, value in told.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdout", terminal)
            patch.setattr(sys, "stderr", terminal)
            code = call(*arguments)
        reader.join()
        os.close(parent)
        return received.decode(), code

    return in_terminal_


def plain(text):
    """Return text without control sequences, as lines."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "").split("\n")


def cells(line):
    from rich.cells import cell_len

    return cell_len(line)


@pytest.mark.parametrize("columns", [80, 66])
def test_names_give_way_and_digits_never(in_terminal, folder, columns):
    text, code = in_terminal("score", folder, "--engine", "numpy", "--top", 12, columns=columns)
    assert code == 0
    lines = plain(text)
    start = next(number for number, line in enumerate(lines) if line.startswith("rank"))
    board = lines[start : start + 13]
    assert max(map(cells, board)) <= columns
    for line in board[1:]:
        assert re.search(r" [+-]0\.\d{5}  0\.\d{5}  [+-]0\.\d{4}   [+-][01]\.\d{3}$", line), line
    assert any("xxx…xxx" in line and "1.00e+15" in line for line in board)
    assert any("[red]" in line for line in board)


def test_names_are_cut_only_as_far_as_the_digits_need(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for digits, cut in (("1" * 12, False), ("1" * 14, True)):
        show_table({"user": ["x" * 26], "stake": [digits]}, "user", more=0)
        assert ("…" in capsys.readouterr().out) is cut


def test_names_are_as_wide_as_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    show_table({"user": ["x" * 118], "n": ["1"]}, "user", more=0)
    assert len(capsys.readouterr().out.split("\n")[1]) == 120


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("feature_neutral_model_v3_fold_17", "feature_n…_fold_17"),
        ("日本語の名前日本語の名前", "日本語の …語の名前"),  # the half of a letter is a space
        ("v53_lgbm_ender_deep_20 (benchmark)", "v53_lgbm_…_deep_20"),  # which has no rank
        ("v53_ender20 (benchmark)", "v53_ender20 "),
    ],
)
def test_a_cut_name_keeps_both_ends(capsys, monkeypatch, name, shown):
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    show_table({"user": [name], "stake": ["1" * 10]}, "user", more=0)
    assert shown in capsys.readouterr().out


def test_nothing_is_cut_or_wrapped_in_a_pipe(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    show_table({"user": [LONG, "a"], "stake": ["1" * 30] * 2}, "user", more=0)
    header, first, second, _ = capsys.readouterr().out.split("\n")
    assert first == f"{LONG}  {'1' * 30}"
    assert len(header) == len(first) == len(second)


@posix
def test_names_in_files_and_paths_are_escaped_on_standard_output(run, tmp_path):
    name = "red\x1b[31m\u202e\x07"
    write_sample_round(tmp_path / name, make_sample_round(users=4, stocks=30, seed=5), False)
    targets = pd.read_csv(tmp_path / name / "targets.csv")
    targets.rename(columns={"target": name}).to_csv(tmp_path / name / "targets.csv", index=False)
    one = ["score", tmp_path / name, "--engine", "numpy", "--draws", 2]
    paid = {"name": name, "factor": 1, "scores": [{"score": "bootstrap_mmc", "multiplier": 1}]}
    (tmp_path / "rule.json").write_text(json.dumps(paid))
    for command in (
        ["check", tmp_path / name],
        [*one, "-o", tmp_path / f"{name}.out"],
        ["pay", tmp_path / f"{name}.out", "--rule", tmp_path / "rule.json", "--target", name],
    ):
        code, out, err = run(*command)
        assert code == 0, err
        assert "red\\x1b[31m\\u202e\\x07" in out
        assert not {*"\x1b\u202e\x07"} & {*out, *err}


def test_an_argument_that_does_not_fit_is_one_line_in_a_pipe(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    code, _, err = run("score", "x" * 90, "--engine", "y" * 90, "--ties", "z" * 90)
    assert code == 2
    assert any("z" * 90 in line and "--ties" in line for line in err.split("\n"))


@pytest.mark.parametrize(("number", "text"), [(1, "1 user"), (2, "2 users"), (0, "0 users")])
def test_one_is_singular(number, text):
    assert counted(number, "user") == text
    assert counted(number, "box", "boxes") == text.replace("users", "boxes").replace("user", "box")


@pytest.mark.parametrize("columns", [80, 64])
def test_an_evaluations_names_give_way_and_digits_never(in_terminal, tmp_path, columns):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"era": np.repeat(range(1000, 1012), 40), "target": rng.random(480)})
    for name in ("x" * 90, "日本語の名前" * 8, "[red]bold[/]"):
        frame[name] = rng.random(480) + frame["target"]
    frame.to_parquet(tmp_path / "eras.parquet")
    options = ("--engine", "numpy", "--metric", "corr")
    text, code = in_terminal("evaluate", tmp_path / "eras.parquet", *options, columns=columns)
    assert code == 0
    lines = plain(text)
    start = next(number for number, line in enumerate(lines) if line.startswith("corr"))
    assert max(map(cells, lines[start : start + 4])) <= columns
    digits = r" 12 +-?0\.\d{4} +0\.\d{4} +\d+\.\d\d +\d+\.\d\d +0\.\d{4} +\d+%$"
    for line in lines[start + 1 : start + 4]:
        assert re.search(digits, line), line
    assert any("xxx…xxx" in line for line in lines)
    assert any("[red]" in line for line in lines)


def test_many_scores_stand_in_as_many_tables_as_a_terminal_needs(in_terminal, tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"era": np.repeat(range(1000, 1012), 40), "target": rng.random(480)})
    for name in ("mine", "other", "meta", "bench", "feature_a", "feature_b"):
        frame[name] = rng.random(480) + 0.2 * frame["target"]
    frame.to_parquet(tmp_path / "eras.parquet")
    options = ["--meta-model", "meta", "--benchmark", "bench", "--feature", "feature_*"]
    text, _ = in_terminal("evaluate", tmp_path / "eras.parquet", *options, "--engine", "numpy")
    lines = plain(text)
    tables = [place for place, line in enumerate(lines) if line.startswith("rank  model")]
    assert max(cells(line) for place in tables for line in lines[place : place + 5]) <= 80
    headings = [lines[place].split() for place in tables]
    assert all(heading[:3] == ["rank", "model", "eras"] for heading in headings)
    scores = [name for heading in headings for name in heading[3:]]
    assert len(headings) > 1
    assert scores[:4] == ["corr", "mmc", "bmc", "bmc_bench"]
    assert len(scores) == len(set(scores))
    assert "max_feature_exposure" in scores
    assert any("bench (benchmark)" in line for line in lines)


def test_no_color_means_no_color(in_terminal, tmp_path):
    colour = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38;[\d;]+)m")
    text, code = in_terminal("score", tmp_path / "nothing")
    assert code == 1
    assert colour.search(text)
    text, _ = in_terminal("score", tmp_path / "nothing", NO_COLOR="1")
    assert not colour.search(text)
    assert "[file-missing]" in text


@pytest.mark.parametrize("asked", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_what_is_plain_has_no_style_at_all(in_terminal, folder, asked):
    text, code = in_terminal("score", folder, "--engine", "numpy", **asked)
    assert code == 0
    assert not re.search(r"\x1b\[[\d;]*m", text)


def test_a_terminal_obeys_nothing_that_stands_in_a_path(in_terminal, tmp_path):
    text, code = in_terminal("score", tmp_path / "a\x1b]0;title\a\x9b31m\u202e", NO_COLOR="1")
    assert code == 1
    assert r"a\x1b]0;title\x07\x9b31m\u202e: no such folder" in text


@pytest.mark.parametrize("encoding", ["cp932", "cp437", "cp1252"])
def test_a_console_that_lacks_letters_gets_their_codes_and_no_control_sequence(
    folder, monkeypatch, capsys, encoding
):
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # whose end is not that of the process
    monkeypatch.setattr(sys, "argv", ["mmc-gpu", "score", str(folder), "--engine", "numpy"])
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit) as stop:
        process_main()
    assert not stop.value.code
    shown = stream.buffer.getvalue().decode(encoding)
    assert shown.startswith("rank")
    assert "\x1b" not in shown + capsys.readouterr().err
    assert ("日本語" if encoding == "cp932" else r"\u65e5") in shown


def test_progress_is_drawn_in_a_terminal_and_wiped(in_terminal, folder):
    text, code = in_terminal("score", folder, "--engine", "numpy")
    assert code == 0
    assert "scoring" in text
    assert "12 of 12 users" in text
    assert "\x1b[2K" in text  # the line is cleared in the end


@pytest.fixture
def completions(monkeypatch, capsys):
    """Ask as a shell does; returns what it is offered behind these words."""

    def completions_(words):
        monkeypatch.setattr(sys, "argv", ["mmc-gpu"])
        monkeypatch.setattr(sys.modules["__main__"], "__package__", None)  # no `python -m pytest`
        monkeypatch.setenv("_MMC_GPU_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
        with pytest.raises(SystemExit):
            main()
        return capsys.readouterr().out.split()

    return completions_


def test_shells_complete_commands_and_codes(completions):
    assert completions("mmc-gpu re") == ["report"]
    expected = [code for code in CODES if code.startswith("pred")]
    assert completions("mmc-gpu explain pred") == expected


def test_the_first_compilation_of_a_machine_is_announced_once(run, folder, tmp_path, monkeypatch):
    """One kernel is compiled; the others are there."""
    pytest.importorskip("numba")

    def said(engine="cpu"):
        compiled._tell_once.cache_clear()
        monkeypatch.setattr(multiply, "_run", None)
        code, _, err = run("score", folder, "--engine", engine)
        assert code == 0
        return err.count("compiling once for this machine, about 5 s")

    said()  # compiles the others, if need be
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert [said("numpy"), said(), said()] == [0, 1, 0]
