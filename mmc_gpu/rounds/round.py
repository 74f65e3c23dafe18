"""A round: aligned, ordered and checked once, here; all other modules trust it.

Longer than other files: the class, and the steps that make one, need each other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers
from mmc_gpu.engines.protocol import GROUP
from mmc_gpu.engines.selection import is_view, rows_to_copy, select
from mmc_gpu.errors import RoundError, counted, shown
from mmc_gpu.inputs.beside import note_beside
from mmc_gpu.inputs.checks import check_rows, fill_missing
from mmc_gpu.inputs.names import align, first_ids, folded
from mmc_gpu.inputs.numbered import in_order, numbered, taken
from mmc_gpu.inputs.options import Missing, OnError, check_option, refuse_beside_round
from mmc_gpu.rounds.method import Blend
from mmc_gpu.rounds.stakes import NAME_IT, Stakes, take_stakes
from mmc_gpu.rounds.submissions import Submissions, take_submissions
from mmc_gpu.rounds.targets import Targets, take_targets
from mmc_gpu.rounds.title import RoundTitle

SMALLEST_ROUND, LARGEST_ROUND = 3, 1_000_000
"""Stocks of a round. Up to the largest, no moment can leave int64 (N * N / 2 * 2**23 < 2**63)."""

_BLOCKS_ALIVE = 3
"""One block is computed, one is read ahead, and one more holds what an engine makes of them."""


class Quarantined(NamedTuple):
    """A user who gets no score, and why.

    Attributes:
        user: their name.
        code: of the fault, a key of `CODES`.
        detail: what was found, with its numbers and its place.
        file: the file with the fault, by its path in the round; "" in memory.
        line: the line of a CSV file; None where no single line is at fault, or it is not known.
    """

    user: str
    code: str
    detail: str
    file: str = ""
    line: int | None = None


@dataclass(frozen=True, eq=False)
class Round:
    """Everything about a round that a score depends on.

    Users stand in canonical order: stakers first, ascending by name (by code point), then the
    others, ascending. Stocks ascend by id. The predictions stay as they were submitted: a block is
    put in order when it is read.

    Attributes:
        ids: (N,) the stocks.
        users: (U,) who is scored.
        stakes: (U,) NMR at risk, 0.0 for none.
        targets: (N,) float64 by name; {} if they are not known yet, and then it has no scores.
        predictions: (submissions, columns) float32 or float64, as submitted.
        rows: (U,) each user's row of `predictions`.
        columns: (N,) each stock's column of `predictions`; None if the columns are in order.
        filled: (U,) how many predictions were missing, and were filled.
        quarantined: who is not scored.
        notes: what was ignored, or accepted in spite of its form.
        blend: which blend it was checked for; stakers of a raw blend must keep to [0, 1].
        title: what it is called; None in memory.
        folder: where it was read from; None for a round in memory.
    """

    ids: Sequence[str]
    users: Sequence[str]
    stakes: Floats
    targets: dict[str, Floats]
    predictions: Array
    rows: Integers
    columns: Integers | None
    filled: Integers
    quarantined: tuple[Quarantined, ...]
    notes: tuple[str, ...]
    blend: Blend
    title: RoundTitle | None = None
    folder: Any = None

    @cached_property  # of a million stakes it takes a millisecond, and each block asks
    def stakers(self) -> int:
        """Return how many users have a stake; they come first."""
        return int(np.count_nonzero(self.stakes))

    def staker_blocks(self, rows: int | None = None) -> Iterator[tuple[slice, Array]]:
        """Yield the stakers in canonical order: a slice of users, and their (rows, N) predictions.

        A block has `rows` stakers, rounded up to whole groups. By default it has all of them, if
        that needs no copy; else as many as are copied at a time.
        """
        rows = rows or self._rows_at_once(self.rows[: self.stakers])
        rows = -(-rows // GROUP) * GROUP
        for start in range(0, self.stakers, rows):
            places = slice(start, min(start + rows, self.stakers))
            yield places, self.take(places)

    def check_blend(self, blend: str) -> None:
        """Raise ValueError if the round was checked for another blend."""
        if blend != self.blend:
            raise ValueError(f"the round was checked for blend={self.blend!r}, not {blend!r}")

    def blocks(self, rows: int | None = None) -> Iterator[tuple[Integers, Array]]:
        """Yield the users in the order of their rows: their places, and (rows, N) predictions.

        That order needs the fewest copies. `rows` is as for `staker_blocks`.
        """
        places = self.reading_order()
        rows = rows or self._rows_at_once(self.rows[places])
        for start in range(0, len(places), rows):
            block = places[start : start + rows]
            yield block, self.take(block)

    def reading_order(self) -> Integers:
        """Return the users' places in the order of their rows."""
        return np.argsort(self.rows, kind="stable")

    def take(self, places: Integers | slice) -> Array:
        """Return the (rows, N) predictions of the users at these places; see `select`."""
        return select(self.predictions, self.rows[places], self.columns)

    def _rows_at_once(self, rows: Integers) -> int:
        """Return how many of these rows make a block, if nobody has said."""
        if is_view(self.predictions, rows, self.columns):
            return max(1, len(rows))
        return max(1, rows_to_copy(self.predictions) // GROUP) * GROUP

    def rows_within(self, memory: int) -> int:
        """Return how many users a block may have, so that all blocks alive fit into so many bytes.

        Raises:
            ValueError: not even one group of stakers fits.
        """
        group = GROUP * len(self.ids) * self.predictions.dtype.itemsize
        if memory < _BLOCKS_ALIVE * group:
            raise ValueError(
                f"memory for predictions must be at least {_BLOCKS_ALIVE * group / 2**20:,.0f} MiB"
                f" ({_BLOCKS_ALIVE} blocks of {GROUP:,} users), not {memory / 2**20:,.0f} MiB"
            )
        return memory // (_BLOCKS_ALIVE * group) * GROUP


def take_round(
    predictions: Any,
    stakes: Any,
    targets: Any,
    *,
    ids: Any = None,
    users: Any = None,
    missing: Missing = "error",
    on_error: OnError = "fail",
    blend: Blend = "raw",
    resolved: bool = True,
) -> Round:
    """Return the round in frames or arrays, see `score_round`; not `resolved`: without targets."""
    submissions = take_submissions(predictions, ids, users)
    return build_round(
        submissions,
        take_stakes(stakes, submissions.users),
        take_targets(targets, ids) if resolved else Targets(submissions.ids, {}),
        missing=missing,
        on_error=on_error,
        blend=blend,
    )


def as_round(predictions: Any, stakes: Any, targets: Any, **given: Any) -> Round:
    """Return a round as it is, or take one; see `take_round`, and `refuse_beside_round`."""
    if not isinstance(predictions, Round):
        return take_round(predictions, stakes, targets, **given)
    signature(take_round).bind(predictions, stakes, targets, **given)  # refuses other arguments
    check_option("on_error", given.get("on_error", "fail"), OnError)
    predictions.check_blend(given.get("blend", predictions.blend))
    filling = None if given.get("missing", "error") == "error" else given["missing"]
    names = {"ids": given.get("ids"), "users": given.get("users")}
    refuse_beside_round(stakes=stakes, targets=targets, **names, missing=filling)
    return predictions


def build_round(
    submissions: Submissions,
    stakes: Stakes,
    targets: Targets,
    *,
    missing: Missing = "error",
    on_error: OnError = "fail",
    blend: Blend = "raw",
) -> Round:
    """Return the round, aligned, ordered and checked; for the options see `score_round`.

    The ids of the targets are the stocks of the round. Each fault of the submissions concerns one
    user.
    """
    check_option("missing", missing, Missing)
    check_option("on_error", on_error, OnError)
    check_option("blend", blend, Blend)
    users, faults = submissions.users, dict(submissions.faults)
    notes = [*submissions.notes, *targets.notes, *stakes.notes]
    ids, values, columns = _align_stocks(submissions, targets, missing, notes)
    stake = _pair_stakes(users, stakes, on_error, notes, faults)
    aside = {row: what for row, what in submissions.aside.items() if not stakes.name(users[row])}
    ignored = note_beside("predictions", {users[row]: aside[row] for row in aside}, NAME_IT)
    if len(aside) == len(users):
        raise RoundError("round-size", f"no submission ({ignored[0]})")
    notes += ignored
    faults |= dict.fromkeys(aside, RoundError("column-unknown", "beside the data"))
    matrix = submissions.matrix
    filled = np.zeros(len(users), np.int64) if submissions.filled is None else submissions.filled
    if missing == "fill":
        matrix, columns, newly = fill_missing(matrix, columns, users, ids, faults)
        filled = filled + newly
    bounded = (stake > 0) & (blend == "raw")
    shown_ids = None if submissions.ids is None else ids
    notes += check_rows(matrix, columns, users, shown_ids, bounded, faults)
    wrong = {row: faults[row] for row in sorted(faults) if row not in aside}
    if wrong and on_error == "fail":
        raise wrong[min(wrong)]
    first = {users[row]: row for row in reversed(wrong)}  # of each user the first
    quarantined = tuple(
        Quarantined(users[row], wrong[row].code, wrong[row].detail)
        for row in sorted(first.values())
    )
    order = _canonical_order(users, stake, faults, quarantined)
    return Round(
        ids=ids,
        users=taken(users, order),
        stakes=stake[order],
        targets=values,
        predictions=matrix,
        rows=order,
        columns=columns,
        filled=filled[order],
        quarantined=quarantined,
        notes=tuple(dict.fromkeys(notes)),
        blend=blend,
    )


def _pair_stakes(
    users: Sequence[str],
    stakes: Stakes,
    on_error: OnError,
    notes: list[str],
    faults: dict[int, RoundError],
) -> Floats:
    """Return the stake of each row: (R,), 0.0 for none.

    A faulty stake becomes a fault of its user's row. Stakes of users without a submission become
    notes; a faulty one among them fails the round, if on_error is "fail". If such a user's name
    differs from a submitting user's only by case or white space, nobody can know whose stake it is:
    that is a fault of the submitting user.
    """
    if stakes.by_row is not None:
        return stakes.by_row
    known = set(users)
    for row, user in enumerate(users if stakes.faults else ()):
        if user in stakes.faults:
            faults.setdefault(row, stakes.faults[user])
    strays = [user for user in stakes.values if user not in known and stakes.values[user] > 0]
    alike = {folded(user): user for user in (*strays, *stakes.faults) if user not in known}
    for row, user in enumerate(users if alike else ()):
        if (stray := alike.get(folded(user))) is not None:
            detail = f"user {shown([user])}: staked is {shown([stray])}, who has no submission"
            faults.setdefault(row, RoundError("stake-user", detail))
    if strays:
        notes.append(f"{len(strays):,} staked without a submission: {shown(strays)}")
    lost = [fault for user, fault in stakes.faults.items() if user not in known]
    if lost and on_error == "fail":
        raise lost[0]
    notes += [f"without a submission, {fault.detail}" for fault in lost]
    return np.fromiter(map(stakes.values.get, users, repeat(0.0)), np.float64, len(users))


def _canonical_order(
    users: Sequence[str],
    stake: Floats,
    faults: dict[int, RoundError],
    quarantined: tuple[Quarantined, ...],
) -> Integers:
    """Return the rows without a fault: stakers first, by name, then the others, by name."""
    scored = np.delete(np.arange(len(users)), list(faults))
    by_name = in_order(users, scored)
    order = np.concatenate([by_name[stake[by_name] > 0], by_name[stake[by_name] == 0]])
    if not len(order):
        found = f"all {len(users):,} submissions have a fault, the first: {quarantined[0].detail}"
        error = RoundError("round-empty", found)
    elif stake[order[0]] == 0:
        error = RoundError("stake-none", f"none of the {len(order):,} submissions has a stake")
    else:
        return order
    error.quarantined = quarantined  # those of stakers, perhaps
    raise error


def _align_stocks(
    submissions: Submissions, targets: Targets, missing: Missing, notes: list[str]
) -> tuple[Sequence[str], dict[str, Floats], Integers | None]:
    """Return the stocks in order, the targets in that order, and each stock's column or None."""
    if not submissions.users:
        raise RoundError("round-size", "no submission")
    found = submissions.matrix.shape[1]
    theirs = submissions.ids if targets.ids is None else targets.ids
    stocks = len([*targets.values.values(), range(found) if theirs is None else theirs][0])
    if (targets.ids is None or submissions.ids is None) and stocks != found:
        raise RoundError("array-shape", f"{found:,} stocks are predicted, {stocks:,} have targets")
    if not SMALLEST_ROUND <= stocks <= LARGEST_ROUND:
        raise RoundError("round-size", f"{stocks:,} stocks")
    if submissions.ids is None:
        if targets.ids is not None:
            raise RoundError("array-shape", "the targets have ids, the array of predictions none")
        return numbered(stocks), targets.values, None
    assert theirs is not None
    order = sorted(range(stocks), key=theirs.__getitem__)
    ids = [theirs[n] for n in order]
    values = {name: target[order] for name, target in targets.values.items()}
    aligned = align(submissions.ids, ids, "predictions")
    if aligned.absent and missing == "error":
        absent = first_ids(aligned.columns < 0, ids)
        raise RoundError("id-missing", f"predictions: ids missing: {absent}")
    if aligned.extra:
        ignored = "id without a target was", "ids without a target were"
        notes.append(f"{counted(aligned.extra, *ignored)} ignored")
    if found == stocks and (aligned.columns == np.arange(stocks)).all():
        return ids, values, None
    return ids, values, aligned.columns
