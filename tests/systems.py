"""Which tests need what only some systems have."""

import os
import sys

import pytest

ROOT = getattr(os, "geteuid", lambda: 1)() == 0
"""Whether this is root, whom no permission stops."""

POSIX = sys.platform != "win32" and hasattr(os, "fork")
"""Whether there are pipes with a name, signals, limits, devices, and any name for a file."""

posix = pytest.mark.skipif(not POSIX, reason="shows what only POSIX systems have")
