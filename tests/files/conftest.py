import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mmc_gpu
from mmc_gpu.errors import RoundError

Refused = Callable[..., str]


@pytest.fixture
def refused() -> Refused:
    """Call something that must raise a RoundError of a code; return what it says it found."""

    def check(code: str, call: Callable[..., Any], *args: Any, **options: Any) -> str:
        with pytest.raises(RoundError) as caught:
            call(*args, **options)
        assert caught.value.code == code, caught.value
        return caught.value.detail

    return check


@pytest.fixture(scope="session")
def run_python() -> Callable[..., list[str]]:
    """Run Python on the package that is tested, wherever that is; return the words it prints."""
    root = str(Path(mmc_gpu.__file__).parents[1])

    def run(*arguments: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | {"PYTHONPATH": root},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return run
