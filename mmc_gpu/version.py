"""The version: of the package, in receipts, and of what hatch builds."""

from functools import cache

__version__ = "0.2.0"


@cache
def version_of(package: str) -> str | None:
    """Return the version of an installed package; None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
