"""Stakes: NMR at risk behind each submission. The one reader and the one law, for metrics too."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Floats, on_host
from mmc_gpu.errors import RoundError, as_text, shown
from mmc_gpu.inputs.columns import written_number
from mmc_gpu.inputs.frames import is_frame, is_pandas, named_columns, take_array, take_frame
from mmc_gpu.inputs.names import as_user, folded, is_null, listed, untaken_type
from mmc_gpu.inputs.numbered import Numbered

SMALLEST_STAKE, LARGEST_STAKE = 1e-18, 1e15
"""Within these bounds, stakes times what was drawn, and their sums, are normal numbers."""

NAME_IT = "name a user in the stakes, with 0 at least, to score such a column"
"""How a column of whole numbers becomes a submission."""


@dataclass
class Stakes:
    """NMR at stake by user, what is wrong with the stakes of others, and what was ignored.

    Of users without names there is only `by_row`: (U,) the stakes in the order of the submissions.
    """

    values: dict[Any, float]
    faults: dict[Any, RoundError] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    by_row: Floats | None = None

    def name(self, user: Any) -> bool:
        """Return whether a user is named, in any case and with any white space, NMR or not."""
        return folded(as_text(user)) in {folded(name) for name in (*self.values, *self.faults)}


def take_stakes(stakes: Any, users: Sequence[str] = (), place: str = "stakes") -> Stakes:
    """Return the stakes in a mapping, Series or frame (user, stake), or a (users,) array.

    An array lists them in the order of the submissions' users. Errors name the `place`.

    Raises:
        RoundError: the frame has no such columns, a user is no name, or the array does not fit.
    """
    notes = []
    if is_frame(stakes):
        stakes = take_frame(stakes, place, empty=True).table  # a stream is read once
        if stakes.shape[1] > 2:
            notes.append(f"{place} with further columns, which were ignored")
    names, values = list_stakes(stakes, users, place)
    if isinstance(values, np.ndarray):
        if isinstance(users, Numbered) and _are_stakes(values):
            return Stakes({}, by_row=values + 0.0)
        values = values.tolist()
    if {*map(type, names)} != {str}:
        names = [as_user(name) for name in names]
        for name in names:
            if not isinstance(name, str):
                detail = f"{place}: a user is {shown([as_text(name)])}, no name"
                raise RoundError("user-name", detail)
    if isinstance(users, Numbered):  # of 20 users, number 3 is "03"
        names = [name.zfill(users.width) if name.isdecimal() else name for name in names]
    return replace(check_stakes(names, values), notes=notes)


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
        columns = [frame.column(at) for at in named_columns(frame.names, ("user", "stake"), place)]
        for name, column in zip(("user", "stake"), columns, strict=True):
            if kind := untaken_type(column):
                raise RoundError("column-type", f"{place}: column {name!r} of type {kind}")
        return listed(columns[0]), listed(columns[1])
    array = take_array(stakes, place, 1)
    if len(array) != len(users):
        raise RoundError("array-shape", f"{len(users):,} submissions but {len(array):,} stakes")
    return users, on_host(array).astype(np.float64)


def check_stakes(users: Sequence[Any], values: Sequence[Any]) -> Stakes:
    """Return each user's stake, checked one by one: a faulty stake concerns its user alone."""
    stakes = Stakes({})
    if odd := [kind for kind in dict.fromkeys(map(type, users)) if not issubclass(kind, Hashable)]:
        raise RoundError("user-name", f"stakes: a user is of type {odd[0].__name__}, no name")
    if set(map(type, values)) <= {float, np.float64}:  # a million in a tenth of the time
        numbers = np.array(values) + 0.0
        each = dict(zip(users, numbers.tolist(), strict=True))
        if len(each) == len(users) and _are_stakes(numbers):
            return Stakes(each)
    for user, value in zip(users, values, strict=True):
        if user in stakes.values or user in stakes.faults:
            stakes.values.pop(user, None)
            stakes.faults[user] = RoundError("user-duplicate", f"user {shown([user])}: two stakes")
            continue
        stake = _stake(value)
        if 0.0 < stake < SMALLEST_STAKE or not 0.0 <= stake <= LARGEST_STAKE:
            word = isinstance(value, str | bytes) and written_number(value) is None
            code = "value-text" if word else "stake-invalid"
            detail = f"user {shown([user])}: stake {shown([as_text(value)])}"
            stakes.faults[user] = RoundError(code, detail)
        else:
            stakes.values[user] = stake + 0.0
    return stakes


def _are_stakes(values: Floats) -> bool:
    return bool(((values == 0.0) | ((values >= SMALLEST_STAKE) & (values <= LARGEST_STAKE))).all())


def _stake(value: Any) -> float:
    """Return a stake as a number, NaN for what is none."""
    if isinstance(value, str | bytes):
        value = written_number(value)
    kind = getattr(getattr(value, "dtype", None), "kind", "f")  # of NumPy's: float() takes times
    if isinstance(value, bool) or kind not in "iuf" or is_null(value):
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan
