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


STEPS = """
import contextlib, os, sys

def step(name, *arguments):
    if arguments:
        from mmc_gpu.__main__ import main
        sys.argv = ["mmc-gpu", *arguments]
        with contextlib.redirect_stdout(None), contextlib.suppress(SystemExit):
            main()
    print(name, *sys.modules)

folder = sys.argv[1]
import mmc_gpu
step("package")
import mmc_gpu.metrics
step("metrics")
for name in [name for name in sys.modules if name.startswith("mmc_gpu.metrics")]:
    del sys.modules[name]  # a round has to do without
import mmc_gpu.cli.app
step("commands")
for name in ("small", "files", "packed"):
    step(name, "score", f"{folder}/{name}", "-o", f"{folder}/out/{name}", "--save-draws")
step("help", "--help")
"""


@pytest.fixture(scope="module")
def imported(sample, tmp_path_factory):
    """What a process has imported after each of these steps."""
    folder = tmp_path_factory.mktemp("start")
    write_sample_round(folder / "small", sample)
    write_sample_round(folder / "files", sample, True)
    pack_round(folder / "files", folder / "packed")
    done = python("-c", STEPS, folder)
    assert done.returncode == 0, done.stderr
    for name in ("small", "files", "packed"):
        assert (folder / "out" / name / "draws.parquet").is_file()
    return {name: set(modules) for name, *modules in map(str.split, done.stdout.splitlines())}


HEAVY = {"numba", "pandas", "scipy", "matplotlib", "cupy"}


def test_importing_and_helping_import_nothing_heavy(imported):
    for step in ("package", "metrics", "commands"):
        assert imported[step] & (HEAVY | {"pyarrow"}) == set()
    assert imported["help"] & HEAVY == set()
    assert "rich.panel" in imported["help"] - imported["packed"]  # it has helped


@pytest.mark.parametrize("kind", ["files", "packed"])
def test_a_round_of_files_is_scored_without_pandas(imported, kind):
    assert "pyarrow" in imported[kind]
    assert "pandas" not in imported[kind]


SMALL_DOES_WITHOUT = HEAVY | {
    "pyarrow.compute",
    "pyarrow.dataset",
    "rich.console",
    "rich.table",
    "mmc_gpu.cluster",
    "mmc_gpu.eras.evaluation",
    "mmc_gpu.metrics",
    "mmc_gpu.report",
}


def test_a_small_round_imports_what_it_uses_and_no_more(imported):
    assert {"mmc_gpu.engines.numpy_engine", "pyarrow.parquet"} <= imported["small"]
    assert imported["small"] & SMALL_DOES_WITHOUT == set()


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
