"""Tables over ranks: what a score makes of a rank, computed once on the host for all engines."""

import hashlib
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from mmc_gpu.engines.arrays import Floats

Kind = Literal["uniform", "gauss", "gauss15"]


@lru_cache(maxsize=64)
def rank_table(kind: Kind, stocks: int) -> Floats:
    """Return what each doubled, centred rank becomes: (2 * stocks - 1,), by rank + stocks - 1.

    "uniform" is `(rank - 0.5) / stocks`, "gauss" the normal quantile of it, "gauss15" the quantile
    to the power 1.5 with its sign. The two quantiles are odd: the upper half is the lower one's
    mirror image, where `ppf` keeps more digits, so that negated predictions get negated scores.
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

    Quantiles come from SciPy: another version of it could move their last bits.
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
