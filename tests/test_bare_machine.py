"""The tests are collected where only what the package needs is installed, as on a GPU machine."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ABSENT = [
    "filelock",  # the package needs it, but nothing that runs on a GPU machine does
    *("cpuinfo", "cupy", "hatchling", "matplotlib", "numerai_tools", "polars", "psutil"),
    *("pytest_benchmark", "ray", "selenium", "threadpoolctl", "xdist"),
]


def test_no_test_needs_more_than_the_package_to_be_collected():
    script = (
        "import sys, pytest\n"
        f"sys.modules.update(dict.fromkeys({ABSENT}))\n"
        "class Modules:  # are imported; their tests are made alike here and elsewhere\n"
        "    def pytest_pycollect_makeitem(self):\n"
        "        return []\n"
        "asked = ['-qq', '--assert=plain', '--collect-only', '-p', 'no:cacheprovider', 'tests']\n"
        "ended = pytest.main(asked, [Modules()])\n"
        "sys.exit(ended != pytest.ExitCode.NO_TESTS_COLLECTED)\n"
    )
    environment = os.environ | {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr
