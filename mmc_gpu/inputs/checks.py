"""Checks of the predictions' values, in one pass for all users, and the filling of missing ones."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mmc_gpu.engines.arrays import Array, Floats, Integers, Numbers, on_host
from mmc_gpu.engines.extremes import extremes
from mmc_gpu.engines.numpy_engine import NumpyEngine
from mmc_gpu.engines.threads import share, thread_count
from mmc_gpu.errors import RoundError, counted, shown
from mmc_gpu.inputs.names import LARGEST_MISSING_SHARE, first_ids

_ROWS = 64  # rows that a thread searches for ties at a time

_TIED = 0.5  # a row is tied if its different values are fewer than this share of the stocks

_LOOKED_AT = 512
"""Stocks searched for a repetition first; only a row that has one there is searched as a whole. Of
5,000 stocks, a row at the limit has none there once in 10**11. That takes a tenth of the time."""


_ROUNDING = 4
"""A value that lies outside [0, 1] by at most so many eps of its dtype was rounded: to within
8.9e-16 of the range in float64, 4.8e-7 in float32."""


def check_rows(
    matrix: Array,
    columns: Integers | None,
    users: Sequence[str],
    ids: Sequence[str] | None,
    bounded: NDArray[np.bool_],
    faults: dict[int, RoundError],
) -> list[str]:
    """Add a fault for each row that is not finite, is constant, or leaves [0, 1] too far.

    Args:
        matrix: (R, M) predictions.
        columns: (N,) the columns that are scored; None for all.
        users: (R,) the user of each row.
        ids: (N,) the ids of the scored columns; None to name places instead.
        bounded: (R,) whether a row must lie in [0, 1], but for what was rounded.
        faults: the fault of a row, by row: a row that has one is passed over, and those that are
            found here are added.

    Returns:
        Notes about values that were accepted.
    """
    least, greatest = extremes(matrix, columns)
    finite = np.isfinite(least) & np.isfinite(greatest)
    beyond = np.where(finite, np.maximum(-least, greatest - 1.0), 0.0)
    rounded = _rounded(matrix, columns, beyond)
    outside = (beyond > 0.0) & ~rounded
    for row in np.flatnonzero(~finite | (least == greatest) | (outside & bounded)).tolist():
        if row in faults:
            continue
        place = f"user {shown([users[row]])}"
        if not finite[row]:
            faults[row] = _not_finite(_row(matrix, row, columns), ids, place)
        elif least[row] == greatest[row]:
            detail = f"{place}: all predictions are {least[row]!s}"
            faults[row] = RoundError("prediction-constant", detail)
        else:
            detail = f"{place}: staked, and from {least[row]!s} to {greatest[row]!s}"
            faults[row] = RoundError("prediction-range", detail)
    notes, taken = [], " by rounding (at most 4 eps), and were taken as they are"
    for rows, why in ((rounded, taken), (outside, ", which is allowed here")):
        if accepted := [users[row] for row in np.flatnonzero(rows).tolist() if row not in faults]:
            leave = counted(len(accepted), "submission leaves", "submissions leave")
            notes.append(f"{leave} [0, 1]{why}: {shown(accepted)}")
    return notes


def _rounded(matrix: Array, columns: Integers | None, beyond: Floats) -> NDArray[np.bool_]:
    """Return which rows leave [0, 1], by as much as `beyond` says, only by rounding.

    A row of a float64 matrix was float32 if float32 keeps all of its values.
    """
    narrow = _ROUNDING * float(np.finfo(np.float32).eps)
    rounded = (beyond > 0.0) & (beyond <= narrow)
    if matrix.dtype == np.float64:
        for row in np.flatnonzero(rounded & (beyond > _ROUNDING * np.finfo(np.float64).eps)):
            values = _row(matrix, int(row), columns)
            rounded[row] = bool((values == values.astype(np.float32)).all())
    return rounded


def count_ties(matrix: Numbers, columns: Integers | None, rows: Integers) -> Integers:
    """Return how many different values each of (U,) rows has; 0 for a row that is not tied.

    A row is tied if it has fewer than half as many different values as stocks.

    `columns` has the (N,) columns that count; None for all.
    """
    chosen = slice(_LOOKED_AT) if columns is None else columns[:_LOOKED_AT]
    found = np.zeros(len(rows), np.int64)

    def count(tiles: Iterator[slice]) -> None:
        for tile in tiles:
            ordered = np.sort(matrix[rows[tile]][:, chosen], axis=1)
            repeating = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
            for place in (tile.start + np.flatnonzero(repeating)).tolist():
                values = _row(matrix, rows[place], columns)
                different = len(np.unique(values))
                if different < _TIED * len(values):
                    found[place] = different

    tiles = [slice(start, start + _ROWS) for start in range(0, len(rows), _ROWS)]
    share(count, tiles, thread_count())
    return found


def note_ties(different: Integers, users: Sequence[str]) -> list[str]:
    """Return a note that names the users with tied rows, those with most ties first.

    `different` is what `count_ties` returns.
    """
    tied = np.flatnonzero(different)
    if not len(tied):
        return []
    tied = tied[np.argsort(different[tied], kind="stable")]
    have = counted(len(tied), "submission has", "submissions have")
    few = f"fewer than half as many different values as stocks, the least {different[tied[0]]:,}"
    return [f"{have} {few}: {shown([users[place] for place in tied.tolist()])}"]


def fill_missing(
    matrix: Numbers,
    columns: Integers | None,
    users: Sequence[str],
    ids: Sequence[str],
    faults: dict[int, RoundError],
) -> tuple[Numbers, Integers | None, Integers]:
    """Return the predictions with the missing ones filled: a copy, if any is missing.

    A missing prediction becomes the lower median of the user's present ones: a value that the user
    gave, in the middle of the user's ranking.

    Args:
        matrix: (R, M) predictions, NaN where missing.
        columns: (N,) the column of each stock, -1 if no row has the stock; None if the columns are
            the stocks in order.
        users: (R,) the user of each row.
        ids: (N,) the stocks.
        faults: the fault of a row, by row; a row that misses more than a fifth gets one.

    Returns:
        The predictions, (N,) the column of each stock in them or None, and (R,) how many
        predictions of each row were filled.
    """
    absent = columns is not None and bool((columns < 0).any())
    present = columns if columns is None or not absent else columns[columns >= 0]
    least, _ = extremes(matrix, present)
    filled = np.zeros(len(matrix), np.int64)
    gaps = [row for row in range(len(matrix)) if absent or np.isnan(least[row])]
    if not any(row not in faults for row in gaps):
        return matrix, columns, filled
    matrix = on_host(matrix)
    if absent:  # one more column stands for all of them: their filled values are the same
        matrix = np.concatenate([matrix, np.full((len(matrix), 1), np.nan, matrix.dtype)], axis=1)
    else:
        matrix = matrix.copy()
    order = np.arange(len(ids)) if columns is None else columns % matrix.shape[1]
    for row in gaps:
        if row in faults:
            continue
        values = matrix[row, order]
        missing = np.isnan(values)
        filled[row] = np.count_nonzero(missing)
        if filled[row] > LARGEST_MISSING_SHARE * len(ids):
            detail = f"user {shown([users[row]])}: missing {first_ids(missing, ids)}"
            faults[row] = RoundError("id-other-round", detail)
            continue
        rest = values[~missing]
        middle = (len(rest) - 1) // 2
        matrix[row, order[missing]] = np.partition(rest, middle)[middle]
    return matrix, None if columns is None else order, filled


def ranked_and_filled(predictions: Numbers) -> Floats:
    """Return predictions, (N,), of which NaN are filled as Numerai fills them.

    Those that are there become `(rank - 0.5) / their number`, ties sharing their rank; the others
    become 0.5. Where all are missing, nothing is filled. The result is float64.

    Source: numerai_tools.submissions.clean_submission 0.7.2, rank_and_fill.
    """
    there = ~np.isnan(predictions)
    if not there.any():
        return predictions.astype(np.float64)
    values, count = predictions[there].astype(np.float64), int(there.sum())
    series = np.full(len(predictions), 0.5)
    series[there] = (NumpyEngine().rank(values[None], "average")[0] + count) / (2 * count)
    return series


def _row(matrix: Array, row: int, columns: Integers | None) -> Numbers:
    values = on_host(matrix[row])
    return values if columns is None else values[columns]


def _not_finite(values: Numbers, ids: Sequence[str] | None, place: str) -> RoundError:
    missing = np.isnan(values)
    if missing.any():
        return RoundError("prediction-missing", f"{place}: missing {first_ids(missing, ids)}")
    infinite = first_ids(np.isinf(values), ids)
    return RoundError("prediction-infinite", f"{place}: infinite {infinite}")
