"""Submissions as they came, before anything is ordered, aligned or scored.

A fault of one user is kept beside that user; a fault of the ids or the header, which all users
share, is raised.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmc_gpu.engines.arrays import Array, Integers
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.columns import gather_columns
from mmc_gpu.inputs.frames import is_frame, take_array, take_frame, take_ids
from mmc_gpu.inputs.names import as_ids, as_user, check_ids, escaped, name_faults, numbered


@dataclass
class Submissions:
    """Predictions as they came: one row a user.

    Attributes:
        users: (U,) as given; a faulty name is escaped.
        ids: (M,) the stocks of the matrix's columns; None where they are in order as they stand.
        matrix: (U, M) float32 or float64, any strides; NaN where missing.
        faults: what is wrong with a user, by row.
        notes: what was odd, and was accepted.
        filled: (U,) how many predictions were missing and have been filled; None for none.
    """

    users: list[str]
    ids: list[str] | None
    matrix: Array
    faults: dict[int, RoundError] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    filled: Integers | None = None


def take_submissions(
    predictions: Any, ids: Sequence[Any] | None = None, users: Sequence[Any] | None = None
) -> Submissions:
    """Return the submissions in a frame (stocks x users) or a (stocks, users) array.

    Raises:
        RoundError: the ids or the header are faulty, or `ids` or `users` do not fit.
    """
    if is_frame(predictions):
        if ids is not None or users is not None:
            raise RoundError("array-shape", "predictions: a frame names its own ids and users")
        found, frame = take_ids(take_frame(predictions, "predictions"))
        return collect(list(map(as_user, frame.names)), found, frame.column, frame.block())
    matrix = take_array(predictions, "predictions", 2).T
    for given, size, noun in ((ids, matrix.shape[1], "rows"), (users, len(matrix), "columns")):
        if given is not None and len(given) != size:
            raise RoundError("array-shape", f"predictions: {size:,} {noun}, {len(given):,} names")
    stocks = None
    if ids is not None:
        stocks = as_ids(ids, "ids=")
        check_ids(stocks, "ids=")
    if users is None:  # made here, so that they need no check
        return Submissions(numbered(len(matrix)), stocks, matrix)
    return collect(list(map(as_user, users)), stocks, matrix.__getitem__, matrix)


def collect(
    users: list[Any],
    ids: list[str] | None,
    column: Callable[[int], Any],
    matrix: Array | None = None,
) -> Submissions:
    """Return submissions, each user's name checked.

    Args:
        users: (U,) as given.
        ids: (M,) of the stocks, checked; None where they are in order as they stand.
        column: returns the predictions of the user at a place.
        matrix: (U, M) everybody's predictions, if they already are one array.
    """
    faults = name_faults(users)
    if matrix is None:
        labels = [f"user {shown([user])}" for user in users]
        matrix = gather_columns(labels, len(ids or ()), column, faults)
    names = [user if row not in faults else escaped(user) for row, user in enumerate(users)]
    return Submissions(names, ids, matrix, faults)
