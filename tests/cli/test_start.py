"""What the process of a command imports, and that `python -O` leaves every check in place."""

import os
import subprocess
import sys

import numpy as np
import pytest

from mmc_gpu.rounds.sample import write_sample_round


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


def test_python_o_changes_no_check(folder, sample, break_user):
    break_user(sample.users[3], np.nan)
    checked = python("-O", "-m", "mmc_gpu", "score", str(folder), "--engine", "numpy")
    assert checked.returncode == 4
    assert "prediction-missing" in checked.stderr
