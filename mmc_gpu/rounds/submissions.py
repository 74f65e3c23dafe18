"""Submissions as they came, before anything is ordered, aligned or scored.

A fault of one user is kept beside that user; a fault of the ids or the header, which all users
share, is raised.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmc_gpu.engines.arrays import Array, Integers
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.beside import IDS, NO_NAME, ROW_NUMBERS, begin_whole, beside, is_nameless
from mmc_gpu.inputs.columns import gather_columns
from mmc_gpu.inputs.frames import is_frame, take_array, take_frame, take_ids
from mmc_gpu.inputs.names import (
    as_ids,
    as_user,
    check_ids,
    escaped,
    listed,
    name_faults,
    user_fault,
)
from mmc_gpu.inputs.numbered import numbered


@dataclass
class Submissions:
    """Predictions as they came: one row a user."""

    users: Sequence[str]  # (U,) as given; a faulty name is escaped
    # (M,) the stocks of the matrix's columns; None where they are in order as they stand
    ids: list[str] | None
    matrix: Array  # (U, M) float32 or float64, any strides; NaN where missing
    faults: dict[int, RoundError] = field(default_factory=dict)  # what is wrong with a user, by row
    notes: list[str] = field(default_factory=list)  # what was odd, and was accepted
    # (U,) how many predictions were missing and have been filled; None for none
    filled: Integers | None = None
    # what a row holds, by row, if it stands beside the data: nobody's submission, unless the stakes
    # name its user
    aside: dict[int, str] = field(default_factory=dict)


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
        taken = collect_columns(list(map(as_user, frame.names)), found, frame.column, frame.block())
        taken.notes += frame.notes
        return taken
    matrix = take_array(predictions, "predictions", 2).T
    ids = None if ids is None else listed(ids, "ids=")
    users = None if users is None else listed(users, "users=")
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


def collect_columns(
    users: list[Any],
    ids: list[str],
    column: Callable[[int], Any],
    matrix: Array | None = None,
    read: Callable[[Any, Any], Any] | None = None,
) -> Submissions:
    """Return the submissions of a table with one column a user; see `collect`.

    What `beside_submissions` finds is set aside: see `Submissions.aside`. If `read` is given, it
    takes a user and the column as it came, and returns the predictions or raises a RoundError.
    """
    aside = {}

    def inspected(row: int) -> Any:
        came = column(row) if matrix is None else matrix[row]
        if what := beside_submissions(users[row], came, ids):
            aside[row] = what
        return came

    may_be = [False] * len(users) if matrix is None else begin_whole(matrix).tolist()
    for row, user in enumerate(users):
        if may_be[row] or (user_fault(user) if matrix is None else is_nameless(user)):
            inspected(row)  # here, where `collect` does not read it

    def predictions(row: int) -> Any:
        came = inspected(row)
        return came if read is None else read(users[row], came)

    taken = collect(users, ids, predictions, matrix)
    taken.aside = aside
    return taken


def beside_submissions(user: Any, column: Any, ids: Sequence[str]) -> str | None:
    """Return what a column holds if it is nobody's submission: row numbers, ids, or no name.

    Predictions under an empty name are a fault, since they may be somebody's; so are eras and
    dates, as all that is no number.
    """
    what = beside(user, column, ids)
    if what == NO_NAME and user_fault(user):
        return None
    return what if what in (ROW_NUMBERS, IDS) or is_nameless(user) else None


def collect(
    users: list[Any],
    ids: list[str] | None,
    column: Callable[[int], Any],
    matrix: Array | None = None,
    files: Sequence[str] = (),
) -> Submissions:
    """Return submissions, each user's name checked.

    `column` returns the predictions of the user at a place, over the `ids`, which are checked.
    `matrix` has everybody's predictions, if they already are one array; `files` each user's file,
    for messages, if they are not all in one.
    """
    faults = name_faults(users, files)
    if matrix is None:
        labels = [f"user {shown([user])}" for user in users]
        matrix = gather_columns(labels, len(ids or ()), column, faults)
    names = [user if row not in faults else escaped(user) for row, user in enumerate(users)]
    return Submissions(names, ids, matrix, faults)
