"""What the README shows is what happens: every command and snippet is run, in order."""

import contextlib
import hashlib
import io
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmc_gpu.errors import CODES
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)

ELSEWHERE = {
    "pytest": "the test command, which .ci/run has word for word",
    "pip install 'mmc-gpu[": "needs a network",
    "export RAY": "with those below: needs several nodes, which tests/cluster starts",
    "ray ": "",
    "mmc-gpu score PACKED --cluster HEAD": "",
    "PYTHONPATH=. python3 -m benchmarks.gpu": "needs a GPU; tests run it on a fake driver",
    "PYTHONPATH=. python3 -m benchmarks.publish.gpu_report": "writes the README anew",
}
"""Beginnings of commands that are not run here, and why."""

SAMPLE = "5d3a5dee9387e8192adf9af97dbeb312be31820391e0d1ca267cd6a2ca290e9d"
"""Of the demo's round when the README was written; NumPy may change its distributions one day."""


def code_table():
    """Return the README's table of codes, as `CODES` says it."""
    rows = [f"| `{name}` | {code.meaning} | {code.remedy} |" for name, code in CODES.items()]
    return "\n".join(["| code | what it means | remedy |", "|---|---|---|", *rows])


def test_every_code_is_in_the_table():
    assert code_table() in README


def commands(block):
    """Return a block's commands as they are run here: (command, exit codes that will do)."""
    for line in filter(None, block.splitlines()):
        command, _, comment = line.rpartition("&& ")[2].replace(".venv/bin/", "").partition(" # ")
        if any(command.startswith(beginning) for beginning in ELSEWHERE):
            continue
        if command.startswith("ssh-keygen") and shutil.which("ssh-keygen") is None:
            continue
        code = re.search(r"exit code (\d)( where)?", comment)
        codes = {int(code[1])} if code else {0}
        yield command.strip(), codes | ({0} if code and code[2] else set())


def lines(text):
    """Return lines with single spaces; the engine differs with the machine, and no score does."""
    return [re.sub(r"engine \w+", "engine", " ".join(line.split())) for line in text.splitlines()]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the rounds that the README names, and the command of this checkout."""
    command = tmp_path / "bin/mmc-gpu"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mmc_gpu "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    for name in ("ROUND", "ROUNDS/one", "ROUNDS/two"):
        write_sample_round(tmp_path / name, make_sample_round(20, 200))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_command_and_snippet_runs_and_prints_what_stands_below_it(workplace):
    pytest.importorskip("matplotlib", reason="the README's commands draw plots")
    pytest.importorskip("duckdb", reason="the README's queries need it: pip install '.[test]'")
    sample = make_sample_round()
    sha256 = hashlib.sha256(sample.predictions.tobytes() + str(sample.stakes).encode()).hexdigest()
    names, done = {}, 0
    for kind, body, shown in BLOCK.findall(README):
        if kind == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(body, "README.md", "exec"), names)
            assert printed.getvalue().split() == shown.split(), body
            done += 1
            continue
        assert kind == "sh", body
        printed = []
        for command, codes in commands(body):
            ran = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
            assert ran.returncode in codes, f"{command}\n{ran.stdout}\n{ran.stderr}"
            printed += lines(ran.stdout) + lines(ran.stderr)
            done += 1
        if sha256 == SAMPLE:
            assert [line for line in lines(shown) if line not in printed] == [], body
    assert done > 20
    if sha256 != SAMPLE:
        pytest.skip(f"NumPy {np.__version__} draws another sample round than the README's")


def test_pictures_are_there_and_small():
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", README)
    assert README.index(pictures[0]) < README.index("\n## ")
    for picture in pictures:
        assert 0 < (ROOT / picture).stat().st_size < 150_000


def test_extras_that_the_readme_installs_exist():
    for extra in re.findall(r"pip install 'mmc-gpu\[(\w+)\]'", README):
        assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text()


def test_the_test_command_is_what_ci_runs():
    (command,) = re.findall(r"^python3 -m venv .*pytest.*$", README, re.MULTILINE)
    for part in command.split("&&"):
        assert part.strip() in (ROOT / ".ci/run").read_text()


if __name__ == "__main__":
    print(code_table())
