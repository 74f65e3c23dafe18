"""What the process of a command imports, and that `python -O` leaves every check in place."""

import os
import subprocess
import sys

import numpy as np
import pytest

from mmc_gpu.files.rounds.packing import pack_round
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
    code = """
import sys
heavy = {'numba', 'pandas', 'scipy', 'matplotlib', 'cupy', 'pyarrow'}
import mmc_gpu
print(heavy & set(sys.modules))
import mmc_gpu.metrics
print(heavy & set(sys.modules))
import mmc_gpu.cli.app
print(heavy & set(sys.modules))
"""
    assert python("-c", code).stdout.split() == ["set()"] * 3
    helped = python("-X", "importtime", "-m", "mmc_gpu", "--help")
    assert helped.returncode == 0
    assert "demo" in helped.stdout
    for package in ("numba", "pandas", "scipy", "matplotlib", "cupy"):
        assert f" {package}\n" not in helped.stderr


@pytest.mark.parametrize("kind", ["one by one", "packed"])
def test_a_round_of_files_is_scored_without_pandas(sample, tmp_path, kind):
    folder = tmp_path / "round"
    write_sample_round(folder, sample, True)
    if kind == "packed":
        pack_round(folder, tmp_path / "packed")
        folder = tmp_path / "packed"
    command = ("-m", "mmc_gpu", "score", folder, "-o", tmp_path / "out", "--save-draws")
    scored = python("-X", "importtime", *command)
    assert scored.returncode == 0
    assert " pyarrow\n" in scored.stderr
    assert " pandas\n" not in scored.stderr


SMALL_DOES_WITHOUT = {
    "numba",
    "pandas",
    "scipy",
    "cupy",
    "matplotlib",
    "pyarrow.compute",
    "pyarrow.dataset",
    "rich.console",
    "rich.table",
    "mmc_gpu.cluster",
    "mmc_gpu.eras.evaluation",
    "mmc_gpu.metrics",
    "mmc_gpu.report",
}


def test_a_small_round_imports_what_it_uses_and_no_more(sample, tmp_path):
    write_sample_round(tmp_path / "round", sample)
    command = ("-m", "mmc_gpu", "score", tmp_path / "round", "-o", tmp_path / "out")
    scored = python("-X", "importtime", *command)
    assert scored.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in scored.stderr.splitlines()}
    assert {"mmc_gpu.engines.numpy_engine", "pyarrow.parquet"} <= imported
    assert imported & SMALL_DOES_WITHOUT == set()


def test_threads_of_numpys_products_do_not_spin_in_a_command():
    code = (
        "import os, sys, contextlib, mmc_gpu.__main__ as m; sys.argv[1:] = ['--version']\n"
        "for given in (None, '20'):\n"
        "    if given: os.environ['OPENBLAS_THREAD_TIMEOUT'] = given\n"
        "    with contextlib.suppress(SystemExit): m.main()\n"
        "    print(os.environ['OPENBLAS_THREAD_TIMEOUT'])"
    )
    _, _, unset, _, _, given = python("-c", code).stdout.split()
    assert (unset, given) == ("4", "20")


def test_python_o_changes_no_check(folder, sample, break_user):
    break_user(sample.users[3], np.nan)
    checked = python("-O", "-m", "mmc_gpu", "score", str(folder), "--engine", "numpy")
    assert checked.returncode == 4
    assert "prediction-missing" in checked.stderr
