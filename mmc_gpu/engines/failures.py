"""What other people's libraries raise where they are damaged, do not fit, or do not work here."""

import re

BROKEN = (
    *(ImportError, OSError, RuntimeError, MemoryError, SystemError, SyntaxError),
    *(AttributeError, NameError, TypeError, ValueError, LookupError, AssertionError),
)
"""A library that is half installed, made for another NumPy, without its cache folder, or without
its device, raises any of these."""


_STYLE = re.compile(r"\x1b\[[\d;]*m")


def first_line(error: BaseException) -> str:
    """Return the first line of a message; numba and Ray colour theirs for a terminal."""
    return _STYLE.sub("", str(error)).strip().partition("\n")[0]


def in_short(error: BaseException) -> str:
    """Return the class of an error and the first line of its message."""
    return ": ".join(filter(None, [type(error).__name__, first_line(error)]))
