"""Series brought near 1 by a power of two, which is exact, where squares would leave float64."""

from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Integers

_STEP = 512
"""Ordinary series, of 1e-77 to 1e77, stay as they are. Even, so that pow15 is scaled exactly."""


def exponents(series: Any) -> Integers:
    """Return the power of two that each row is near, 0 for ordinary rows: (..., N) -> (..., 1).

    It is a multiple of 512. Missing values are passed over.
    """
    ends = (end.reduce(series, -1, initial=np.nan, keepdims=True) for end in (np.fmin, np.fmax))
    least, greatest = ends
    return _STEP * np.rint(np.frexp(np.fmax(greatest, -least))[1] / _STEP).astype(np.int64)


def scaled(series: Any, powers: Any) -> Any:
    """Return a series times 2 to these powers, infinite where too large; itself where all are 0."""
    with np.errstate(over="ignore"):
        return np.ldexp(series, powers) if np.any(powers) else series


def near_one(series: Any) -> Any:
    """Return each row divided by the power of two that it is near."""
    return scaled(series, -exponents(series))
