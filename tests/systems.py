"""Which tests need what only some systems have, and commands that are killed there."""

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable

import pytest

ROOT = getattr(os, "geteuid", lambda: 1)() == 0
"""Whether this is root, whom no permission stops."""

POSIX = sys.platform != "win32" and hasattr(os, "fork")
"""Whether there are pipes with a name, signals, limits, devices, and any name for a file."""

posix = pytest.mark.skipif(not POSIX, reason="shows what only POSIX systems have")


def copied(work: Callable[[], object]) -> int:
    """Start a copy of this process that does a work and ends with its exit code; return its id.

    A copy imports nothing anew: what befalls it, befalls it at work.
    """
    with warnings.catch_warnings():  # other threads are not copied, and none is waited for
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    code: object = -1
    try:
        work()
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        os._exit(code)


def killed(arguments: list[str], seconds: float) -> bool:
    """Run the command line in a copy of this process, and kill it (`kill -9`) after that time.

    Returns whether it was still running.
    """
    from mmc_gpu.cli.app import main

    def work():
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
        sys.argv = ["mmc-gpu", *arguments]
        main()

    child = copied(work)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)  # as `wait` of subprocess does
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True
