"""The gpu engine goes through the engines' own tests, on the fake CUDA where there is no GPU."""

import os
import subprocess
import sys
from pathlib import Path

import fake_plugin
import pytest

from benchmarks.gpu import fake_cuda

TESTS = Path(__file__).parents[2]


# every verb, other methods, whole rounds and the scores of eras; a few examples of each property
SUITES = (
    "engines/test_engines.py",
    "engines/test_inner.py",
    "cluster/test_blocks.py::TestTheSameBits::test_for_other_methods",
    "rounds/test_full_stakes.py",
    "files/test_publication.py::test_every_user_verifies_on_every_engine",
    "metrics/test_parity.py",
    "metrics/test_faults.py",
    "metrics/test_tables.py",
)


def test_the_engines_tests_pass_with_the_gpu_engine(kernel_folder):
    if lacking := fake_cuda.missing():
        pytest.skip(lacking)
    paths = [str(Path(__file__).parent), str(TESTS.parent), *sys.path]
    environment = os.environ | {
        fake_plugin.FOLDER: str(kernel_folder),
        "PYTHONPATH": os.pathsep.join(paths),
        "HYPOTHESIS_PROFILE": "few",
    }
    command = [sys.executable, "-m", "pytest", "-p", "fake_plugin", "-q"]
    chosen = ["--engines", "gpu", "-k", "gpu"]  # what takes no engine is tested elsewhere
    suites = [str(TESTS / name) for name in SUITES]
    ran = subprocess.run(
        [*command, *chosen, *suites], env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout.splitlines()[-1], ran.stdout
