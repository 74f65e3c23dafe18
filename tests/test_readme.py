"""What the README shows is what happens."""

import contextlib
import hashlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmc_gpu.errors import CODES
from mmc_gpu.sample_round import make_sample_round, write_sample_round

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def code_table():
    """Return the README's table of codes, as `CODES` says it."""
    rows = [f"| `{name}` | {code.meaning} | {code.remedy} |" for name, code in CODES.items()]
    return "\n".join(["| code | what it means | remedy |", "|---|---|---|", *rows])


def test_every_code_is_in_the_table():
    assert code_table() in README


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_python_examples_print_what_stands_below_them():
    (example,) = blocks("python")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example, "README.md", "exec"), {})
    (_, shown) = blocks("text")
    assert printed.getvalue().split() == shown.split()


SAMPLE = "2ebb94db00dfcc10eed4bbf03c7f0f556ae66e2c83827cd8bf252eb98c687715"
"""Of the demo's round when the README was written; NumPy may change its distributions one day."""


def sample_sha256(sample):
    return hashlib.sha256(sample.predictions.tobytes() + str(sample.stakes).encode()).hexdigest()


def test_the_demo_prints_the_leaderboard_shown(tmp_path):
    if sample_sha256(make_sample_round()) != SAMPLE:
        pytest.skip(f"NumPy {np.__version__} draws another sample round than the README's")
    command = shlex.split(blocks("sh")[0])
    assert command[-2:] == [".venv/bin/mmc-gpu", "demo"]
    done = subprocess.run(
        [sys.executable, "-m", "mmc_gpu", "demo", "--engine", "numpy"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    (shown, _) = blocks("text")
    # the engine's name differs with the machine, and no score does
    assert done.stdout.split() == shown.split("a sample round")[0].split()
    digest = re.search(r"digest \w+", shown)
    assert digest is not None
    assert digest[0] in done.stderr


@pytest.mark.parametrize("place", [0, 1], ids=["ray", "shards"])
def test_a_session_shows_what_its_commands_print(tmp_path, place):
    if place == 0:
        pytest.importorskip("ray", reason="the extra ray is not installed")
    sample = make_sample_round()
    write_sample_round(tmp_path / "ROUND", sample)
    if sample_sha256(sample) != SAMPLE:
        pytest.skip(f"NumPy {np.__version__} draws another sample round than the README's")
    run_command(tmp_path, "pack ROUND -o PACKED")
    session = blocks("console")[place]
    for command, shown in re.findall(r"^\$ mmc-gpu (.*)\n((?:[^$].*\n)*)", session, re.MULTILINE):
        assert run_command(tmp_path, command).split() == shown.split(), command


def run_command(folder, command):
    """Run a command of the README; return what it prints."""
    return subprocess.run(
        [sys.executable, "-m", "mmc_gpu", *command.split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=200,
    ).stdout


def test_the_test_command_is_what_ci_runs():
    (command,) = [block.strip() for block in blocks("sh") if "pytest" in block]
    for part in command.split("&&"):
        assert part.strip() in (ROOT / ".ci/run").read_text()


if __name__ == "__main__":
    print(code_table())
