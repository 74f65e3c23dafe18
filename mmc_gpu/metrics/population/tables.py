"""Tables over ranks: what a score makes of a rank, computed once on the host for all engines."""

import hashlib
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from mmc_gpu.engines.arrays import Floats

Kind = Literal["uniform", "gauss", "gauss15"]


@lru_cache(maxsize=64)
def rank_table(kind: Kind, stocks: int) -> Floats:
    """Return what each rank becomes: (2 * stocks - 1,), at the place rank + stocks - 1.

    Ranks are doubled and centred. "uniform" is `(rank - 0.5) / stocks`, "gauss" is its normal
    quantile, "gauss15" that quantile to the power 1.5, with its sign. Quantiles are odd, so that
    negated predictions get negated scores: the upper half of the table is the mirror image of the
    lower half, where SciPy keeps more digits.
    """
    uniform = np.arange(1, 2 * stocks) / 2.0 / stocks
    if kind == "uniform":
        table = uniform
    else:
        lower = quantile(uniform[: stocks - 1])
        table = np.concatenate([lower, [0.0], -lower[::-1]])
        if kind == "gauss15":
            table = pow15(table)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=64)
def table_digest(kind: Kind, stocks: int) -> str:
    """Return the sha256 of a table's little-endian float64, for receipts.

    The quantiles come from SciPy: in another version, their last bits could differ.
    """
    return hashlib.sha256(rank_table(kind, stocks).astype("<f8").tobytes()).hexdigest()


def quantile(values: Any) -> Any:
    """Return the normal quantile of values in (0, 1)."""
    from scipy.special import ndtri

    return ndtri(values)


def pow15(values: Any) -> Any:
    """Return values to the power 1.5, with their sign.

    By a square root, which is rounded correctly everywhere: the bits of `x ** 1.5` depend on the
    processor.
    """
    return values * np.sqrt(np.abs(values))
