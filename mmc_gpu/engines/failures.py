"""What other people's libraries raise where they are damaged, do not fit, or do not work here."""

BROKEN = (
    *(ImportError, OSError, RuntimeError, MemoryError, SystemError, SyntaxError),
    *(AttributeError, NameError, TypeError, ValueError, LookupError, AssertionError),
)
"""A library that is half installed, made for another NumPy, without its cache folder, or without
its device, raises any of these."""


def in_short(error: BaseException) -> str:
    """Return the class of an error and the first line of its message."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
