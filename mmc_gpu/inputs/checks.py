"""Checks of the predictions themselves, one pass over them for all users, and filling."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mmc_gpu.engines.arrays import Array, Floats, Integers, Numbers, is_on_gpu, on_host
from mmc_gpu.engines.selection import lies_by_rows
from mmc_gpu.engines.threads import share, thread_count
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.names import LARGEST_MISSING_SHARE, first_ids

_ROWS = 64
"""Rows searched at a time. 5,000 x 5,000 float64: 12 ms; 13 at a time, which fit the second cache,
19, and with a task each 43: the threads then wait for each other more than for memory."""

DEVICE_BYTES = 256 << 20
"""Of a GPU's rows, copied at a time where they or their columns have to be put in order."""

_TIED = 0.5
"""A row is tied where its different values are fewer than this share of the stocks."""

_LOOKED_AT = 512
"""Stocks searched for a repetition before all are: of 5,000, a row at the limit repeats itself
there but once in 10**11. A tenth of the time that all stocks take."""


def check_rows(
    matrix: Array,
    columns: Integers | None,
    users: Sequence[str],
    ids: Sequence[str] | None,
    bounded: NDArray[np.bool_],
    faults: dict[int, RoundError],
) -> list[str]:
    """Add the faults of rows that are not finite, are constant, or leave [0, 1].

    Args:
        matrix: (R, M) predictions.
        columns: (N,) the columns that are scored; None for all.
        users: (R,) of the rows.
        ids: (N,) of the columns that are scored; None to name places instead.
        bounded: (R,) whose predictions must lie in [0, 1].
        faults: what is wrong by row; rows that are in it are not looked at.

    Returns:
        Notes about what was accepted.
    """
    least, greatest = extremes(matrix, columns)
    finite = np.isfinite(least) & np.isfinite(greatest)
    outside = finite & ((least < 0.0) | (greatest > 1.0))
    for row in np.flatnonzero(~finite | (least == greatest) | (outside & bounded)).tolist():
        if row in faults:
            continue
        place = f"user {shown([users[row]])}"
        if not finite[row]:
            faults[row] = _not_finite(_row(matrix, row, columns), ids, place)
        elif least[row] == greatest[row]:
            faults[row] = RoundError(
                "prediction-constant", f"{place}: all predictions are {least[row]!s}"
            )
        else:
            faults[row] = RoundError(
                "prediction-range", f"{place}: staked, and from {least[row]!s} to {greatest[row]!s}"
            )
    accepted = [row for row in np.flatnonzero(outside).tolist() if row not in faults]
    if accepted:
        names = shown([users[row] for row in accepted])
        return [f"{len(accepted):,} submissions leave [0, 1], which is allowed here: {names}"]
    return []


def extremes(matrix: Array, columns: Integers | None) -> tuple[Floats, Floats]:
    """Return the least and greatest prediction of each row; NaN where one is NaN.

    Args:
        matrix: (R, M) predictions.
        columns: (N,) the columns that count; None for all.
    """
    if columns is None and hasattr(matrix, "bounds"):
        return matrix.bounds[0], matrix.bounds[1]  # of a packed round, known since it was packed
    rows, width = matrix.shape
    every = columns is None or len(np.unique(columns)) == width  # the same values, reordered
    bounds = np.empty((2, rows))
    if rows == 0:
        return bounds[0], bounds[1]
    step, threads = _ROWS, thread_count()
    if is_on_gpu(matrix):
        # at once, as a GPU does it, and in the caller's thread, whose stream has written it
        step = rows if every else max(_ROWS, DEVICE_BYTES // (matrix.itemsize * width))
        threads = 1
    elif every and hasattr(matrix, "strides") and not lies_by_rows(matrix):
        step = rows  # stocks x users in memory: NumPy walks it as it lies

    def search(starts: Iterator[int]) -> None:
        for start in starts:
            block = matrix[start : start + step]
            if not every:
                block = block[:, columns]
            bounds[0, start : start + step] = on_host(block.min(axis=1))
            bounds[1, start : start + step] = on_host(block.max(axis=1))

    share(search, range(0, rows, step), threads)
    return bounds[0], bounds[1]


def count_ties(matrix: Numbers, columns: Integers | None, rows: Integers) -> Integers:
    """Return how many different values rows have, where many stocks share theirs: (U,), else 0.

    Args:
        matrix: (R, M) finite predictions.
        columns: (N,) the columns that count; None for all.
        rows: (U,) the rows that count.
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
    """Return a note of who gives many stocks the same prediction, those with most ties first.

    Args:
        different: (U,) as `count_ties` returns it.
        users: (U,) names.
    """
    tied = np.flatnonzero(different)
    if not len(tied):
        return []
    tied = tied[np.argsort(different[tied], kind="stable")]
    return [
        f"{len(tied):,} submissions have fewer than half as many different values as stocks, the"
        f" least {different[tied[0]]:,}: {shown([users[place] for place in tied.tolist()])}"
    ]


def fill_missing(
    matrix: Numbers,
    columns: Integers | None,
    users: Sequence[str],
    ids: Sequence[str],
    faults: dict[int, RoundError],
) -> tuple[Numbers, Integers | None, Integers]:
    """Return predictions with the missing ones filled: a copy, if there are any.

    A missing prediction becomes the lower median of the user's present ones: a value the user
    gave, in the middle of the user's ranking.

    Args:
        matrix: (R, M) predictions, NaN where missing.
        columns: (N,) of the stocks, -1 where no row has them; None where they are in order.
        users: (R,) of the rows.
        ids: (N,) of the stocks.
        faults: by row; gains the rows of which more than a fifth is missing.

    Returns:
        Predictions, the stocks' columns in them, and (R,) how many were filled.
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
            faults[row] = RoundError(
                "id-other-round", f"user {shown([users[row]])}: missing {first_ids(missing, ids)}"
            )
            continue
        rest = values[~missing]
        middle = (len(rest) - 1) // 2
        matrix[row, order[missing]] = np.partition(rest, middle)[middle]
    return matrix, None if columns is None else order, filled


def _row(matrix: Array, row: int, columns: Integers | None) -> Numbers:
    return on_host(matrix[row] if columns is None else matrix[row, columns])


def _not_finite(values: Numbers, ids: Sequence[str] | None, place: str) -> RoundError:
    missing = np.isnan(values)
    if missing.any():
        return RoundError("prediction-missing", f"{place}: missing {first_ids(missing, ids)}")
    return RoundError(
        "prediction-infinite", f"{place}: infinite {first_ids(np.isinf(values), ids)}"
    )
