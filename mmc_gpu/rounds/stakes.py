"""Stakes: NMR at risk behind each submission."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import on_host
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.frames import arrow_table, is_pandas, named_columns, take_array
from mmc_gpu.inputs.names import as_user, is_null

SMALLEST_STAKE, LARGEST_STAKE = 1e-18, 1e15
"""Within them, products with what was drawn and their sums stay normal numbers."""


@dataclass
class Stakes:
    """NMR at stake by user, and what is wrong with the stakes of others."""

    values: dict[str, float]
    faults: dict[str, RoundError] = field(default_factory=dict)


def take_stakes(stakes: Any, users: list[str]) -> Stakes:
    """Return the stakes in a mapping, Series or frame (user, stake), or a (users,) array.

    Args:
        stakes: as above; an array lists the stakes in the order of the submissions.
        users: the submissions' users.

    Raises:
        RoundError: the frame has no such columns, or the array does not fit.
    """
    if isinstance(stakes, Mapping):
        return pair_stakes(list(stakes), list(stakes.values()))
    if is_pandas(stakes, "Series"):
        return pair_stakes(stakes.index.tolist(), stakes.tolist())
    if is_pandas(stakes, "DataFrame"):
        columns = named_columns(list(stakes.columns), ("user", "stake"), "stakes")
        return pair_stakes(*(stakes[stakes.columns[at]].tolist() for at in columns))
    if hasattr(stakes, "__arrow_c_stream__"):
        return take_stakes_table(arrow_table(stakes), "stakes")
    array = take_array(stakes, "stakes", dimensions=1)
    if len(array) != len(users):
        raise RoundError("array-shape", f"{len(users):,} submissions but {len(array):,} stakes")
    array = on_host(array).astype(np.float64)
    valid = (array == 0.0) | ((array >= SMALLEST_STAKE) & (array <= LARGEST_STAKE))
    if valid.all() and len(set(users)) == len(users):
        return Stakes(dict(zip(users, (array + 0.0).tolist(), strict=True)))
    return pair_stakes(users, array.tolist())


def take_stakes_table(table: Any, place: str) -> Stakes:
    """Return the stakes in an Arrow table with the columns user and stake."""
    columns = named_columns(table.column_names, ("user", "stake"), place)
    return pair_stakes(*(table.column(at).to_pylist() for at in columns))


def pair_stakes(users: list[Any], values: list[Any]) -> Stakes:
    """Return each user's stake, checked one by one: a faulty stake concerns its user alone."""
    stakes = Stakes({})
    for user, value in zip(map(as_user, users), values, strict=True):
        if is_null(user) or not isinstance(user, str):
            raise RoundError("user-name", f"stakes: a user is {shown([str(user)])}, no name")
        if user in stakes.values or user in stakes.faults:
            stakes.values.pop(user, None)
            stakes.faults[user] = RoundError("user-duplicate", f"user {shown([user])}: two stakes")
            continue
        stake = _stake(value)
        if stake is None:
            stakes.faults[user] = RoundError(
                "stake-invalid", f"user {shown([user])}: stake {shown([str(value)])}"
            )
        else:
            stakes.values[user] = stake
    return stakes


def _stake(value: Any) -> float | None:
    """Return a valid stake, or None: products and their sums stay normal numbers within bounds."""
    if isinstance(value, bool) or is_null(value):
        return None
    try:
        stake = float(value)
    except (TypeError, ValueError):
        return None
    return stake + 0.0 if stake == 0.0 or SMALLEST_STAKE <= stake <= LARGEST_STAKE else None
