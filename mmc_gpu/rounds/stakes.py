"""Stakes: NMR at risk behind each submission. The one reader and the one law, for metrics too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import on_host
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.frames import is_frame, is_pandas, named_columns, take_array, take_frame
from mmc_gpu.inputs.names import as_user, is_null, listed

SMALLEST_STAKE, LARGEST_STAKE = 1e-18, 1e15
"""Within these bounds, stakes times what was drawn, and their sums, are normal numbers."""


@dataclass
class Stakes:
    """NMR at stake by user, and what is wrong with the stakes of others."""

    values: dict[Any, float]
    faults: dict[Any, RoundError] = field(default_factory=dict)


def take_stakes(stakes: Any, users: Sequence[str] = (), place: str = "stakes") -> Stakes:
    """Return the stakes in a mapping, Series or frame (user, stake), or a (users,) array.

    Args:
        stakes: as above; an array lists the stakes in the order of the submissions.
        users: the submissions' users.
        place: what to name in an error.

    Raises:
        RoundError: the frame has no such columns, a user is no name, or the array does not fit.
    """
    names, values = list_stakes(stakes, users, place)
    if isinstance(values, np.ndarray):
        valid = (values == 0.0) | ((values >= SMALLEST_STAKE) & (values <= LARGEST_STAKE))
        if valid.all() and len(set(users)) == len(users):
            return Stakes(dict(zip(users, (values + 0.0).tolist(), strict=True)))
        values = values.tolist()
    names = [as_user(name) for name in names]
    for name in names:
        if not isinstance(name, str):
            raise RoundError("user-name", f"{place}: a user is {shown([str(name)])}, no name")
    return check_stakes(names, values)


def list_stakes(stakes: Any, users: Sequence[Any], place: str) -> tuple[Sequence[Any], Any]:
    """Return the users whom stakes name, and their stakes, as they came; see `take_stakes`.

    Returns:
        Users, and their stakes: a list, or (users,) float64 where they came as an array.
    """
    if isinstance(stakes, Mapping):
        return list(stakes), list(stakes.values())
    if is_pandas(stakes, "Series"):
        return stakes.index.tolist(), stakes.tolist()
    if is_frame(stakes):
        frame = take_frame(stakes, place, empty=True)
        user, stake = named_columns(frame.names, ("user", "stake"), place)
        return listed(frame.column(user)), listed(frame.column(stake))
    array = take_array(stakes, place, 1)
    if len(array) != len(users):
        raise RoundError("array-shape", f"{len(users):,} submissions but {len(array):,} stakes")
    return users, on_host(array).astype(np.float64)


def check_stakes(users: Sequence[Any], values: Sequence[Any]) -> Stakes:
    """Return each user's stake, checked one by one: a faulty stake concerns its user alone."""
    stakes = Stakes({})
    for user, value in zip(users, values, strict=True):
        if user in stakes.values or user in stakes.faults:
            stakes.values.pop(user, None)
            stakes.faults[user] = RoundError("user-duplicate", f"user {shown([user])}: two stakes")
            continue
        stake = _stake(value)
        if stake is None:
            detail = f"user {shown([user])}: stake {shown([str(value)])}"
            stakes.faults[user] = RoundError("stake-invalid", detail)
        else:
            stakes.values[user] = stake
    return stakes


def _stake(value: Any) -> float | None:
    """Return a stake that is 0 or within the bounds; None for anything else."""
    if isinstance(value, bool) or is_null(value):
        return None
    try:
        stake = float(value)
    except (TypeError, ValueError):
        return None
    return stake + 0.0 if stake == 0.0 or SMALLEST_STAKE <= stake <= LARGEST_STAKE else None
