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


@pytest.fixture
def start_python() -> Callable[..., subprocess.Popen[str]]:
    """Start Python on the package that is tested, wherever that is."""
    root = str(Path(mmc_gpu.__file__).parents[1])

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=os.environ | {"PYTHONPATH": root},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def run_python(start_python: Callable[..., subprocess.Popen[str]]) -> Callable[..., list[str]]:
    """Run Python on the package that is tested; return the words that it prints."""

    def run(*arguments: str) -> list[str]:
        with start_python(*arguments) as process:
            printed, errors = process.communicate()
        assert process.returncode == 0, errors
        return printed.split()

    return run
