"""A round: aligned, ordered and checked once, here; everything behind trusts it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers, is_on_gpu
from mmc_gpu.engines.protocol import GROUP
from mmc_gpu.engines.selection import Selection
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.checks import DEVICE_BYTES, check_rows, fill_missing
from mmc_gpu.inputs.names import LARGEST_MISSING_SHARE, align, first_ids, numbered
from mmc_gpu.inputs.options import Missing, OnError
from mmc_gpu.rounds.method import Blend
from mmc_gpu.rounds.stakes import Stakes, take_stakes
from mmc_gpu.rounds.submissions import Submissions, take_submissions
from mmc_gpu.rounds.targets import Targets, take_targets

SMALLEST_ROUND, LARGEST_ROUND = 3, 1_000_000
"""Stocks of a round. Up to the largest, no moment can leave int64 (N * N / 2 * 2**23 < 2**63)."""

_BLOCK_BYTES = 24 * 2**20
"""A block on the host that has to be copied into canonical order is this large, or as many groups
of stakers as an engine asks for."""


_BLOCKS_ALIVE = 3


class Quarantined(NamedTuple):
    """A user who gets no score, and why."""

    user: str
    code: str
    detail: str


@dataclass(frozen=True, eq=False)
class Round:
    """Everything about a round that a score depends on.

    Users stand in canonical order: stakers first, ascending by name (by code point), then the
    others, ascending. Stocks ascend by id. The predictions stay as they were submitted; blocks of
    them are put in order when they are read.

    Attributes:
        ids: (N,) the stocks.
        users: (U,) who is scored.
        stakes: (U,) NMR at risk, 0.0 for none.
        targets: (N,) float64 by name.
        predictions: (submissions, columns) float32 or float64, as submitted.
        rows: (U,) each user's row of `predictions`.
        columns: (N,) each stock's column of `predictions`; None where they are in order.
        filled: (U,) predictions that were missing and were filled.
        quarantined: who is not scored.
        notes: what was accepted in spite of its form, or ignored.
        blend: what it was checked for; stakers of a raw blend must keep to [0, 1].
        folder: where it was read from; None for a round in memory.
    """

    ids: list[str]
    users: list[str]
    stakes: Floats
    targets: dict[str, Floats]
    predictions: Array
    rows: Integers
    columns: Integers | None
    filled: Integers
    quarantined: tuple[Quarantined, ...]
    notes: tuple[str, ...]
    blend: Blend
    folder: Any = None

    @property
    def stakers(self) -> int:
        """Return how many users have a stake; they come first."""
        return int(np.count_nonzero(self.stakes))

    @property
    def is_on_gpu(self) -> bool:
        """Return whether the predictions are on a GPU."""
        return is_on_gpu(self.predictions)

    def staker_blocks(
        self, rows: int | None = None, groups: int = 1
    ) -> Iterator[tuple[slice, Array]]:
        """Yield the stakers in canonical order: their places, and their predictions.

        Args:
            rows: stakers a block, rounded up to whole groups; by default one block where it can be
                had without a copy.
            groups: of stakers that a block has at least, where it is for us to say.

        Yields:
            A slice of users and their (rows, N) predictions.
        """
        chosen = self.rows[: self.stakers]
        if rows is None:
            rows = len(chosen) if self._is_view(chosen) else self._copied_rows(groups)
        rows = -(-rows // GROUP) * GROUP
        for start in range(0, len(chosen), rows):
            places = slice(start, min(start + rows, len(chosen)))
            yield places, self.take(places)

    def blocks(
        self, rows: int | None = None, groups: int = 1, *, first: int = 0
    ) -> Iterator[tuple[Integers, Array]]:
        """Yield the users in the order of their rows, which needs the fewest copies.

        Args:
            rows: users a block; by default as for `staker_blocks`.
            groups: as for `staker_blocks`.
            first: how many users, in canonical order, are left out.

        Yields:
            (rows,) places among the users, and their (rows, N) predictions.
        """
        places = self.reading_order(first)
        if rows is None:
            rows = len(places) if self._is_view(self.rows[places]) else self._copied_rows(groups)
        for start in range(0, len(places), rows or 1):
            block = places[start : start + rows]
            yield block, self.take(block)

    def reading_order(self, first: int = 0) -> Integers:
        """Return the users' places in the order of their rows, but for the first of them."""
        return first + np.argsort(self.rows[first:], kind="stable")

    def take(self, places: Integers | slice) -> Array:
        """Return the (rows, N) predictions of the users at these places."""
        return self._take(self.rows[places])

    def rows_within(self, memory: int) -> int:
        """Return how many users a block may have, so that all blocks alive fit into memory.

        Args:
            memory: bytes for predictions: one block is computed, one is read ahead, and one more
                holds what an engine makes of them.

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

    def _copied_rows(self, groups: int) -> int:
        size = DEVICE_BYTES if self.is_on_gpu else _BLOCK_BYTES
        rows = size // (len(self.ids) * self.predictions.dtype.itemsize)
        return max(groups, rows // GROUP) * GROUP

    def _is_view(self, rows: Integers) -> bool:
        in_memory = hasattr(self.predictions, "strides")  # else they are read block by block
        return in_memory and self.columns is None and bool((np.diff(rows) == 1).all())

    def _take(self, rows: Integers) -> Array:
        """Return (rows, N) predictions in canonical columns: a view where they lie like that.

        Else a `Selection` of what is in memory, or what an array on a GPU returns.
        """
        consecutive = bool((np.diff(rows) == 1).all())
        if consecutive and self.columns is None:
            return self.predictions[rows[0] : rows[-1] + 1]
        columns = range(len(self.ids)) if self.columns is None else self.columns
        if isinstance(self.predictions, np.ndarray):
            return Selection(self.predictions, rows, columns)
        block = self.predictions[rows]  # read from disk, or on a GPU
        if self.columns is None:
            return block
        if isinstance(block, np.ndarray):
            return Selection(block, np.arange(len(block)), columns)
        return block[:, self.columns]


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
) -> Round:
    """Return the round in frames or arrays; see `score_round` for what is taken.

    Raises:
        RoundError: the round cannot be scored.
        ValueError: an option does not exist.
    """
    submissions = take_submissions(predictions, ids, users)
    return build_round(
        submissions,
        take_stakes(stakes, submissions.users),
        take_targets(targets, ids),
        missing=missing,
        on_error=on_error,
        blend=blend,
    )


def build_round(
    submissions: Submissions,
    stakes: Stakes,
    targets: Targets,
    *,
    missing: Missing = "error",
    on_error: OnError = "fail",
    blend: Blend = "raw",
) -> Round:
    """Return the round, aligned, ordered and checked.

    Args:
        submissions: as they came; its faults are those of single users.
        stakes: by user; users without one are scored but not in the pool.
        targets: their ids are the stocks of the round.
        missing: missing predictions are an error ("error") or become the lower median of the
            user's present ones ("fill", up to 20 % of the stocks).
        on_error: the first fault of a user fails the round ("fail"), or keeps that user alone out
            of it ("quarantine").
        blend: whether raw predictions are blended, so that stakers must keep to [0, 1].

    Raises:
        RoundError: the round cannot be scored.
        ValueError: an option does not exist.
    """
    if missing not in get_args(Missing):
        raise ValueError(f"missing must be 'error' or 'fill', not {missing!r}")
    if on_error not in get_args(OnError):
        raise ValueError(f"on_error must be 'fail' or 'quarantine', not {on_error!r}")
    notes = list(submissions.notes)
    ids, values, columns = _align_stocks(submissions, targets, missing, notes)
    faults = dict(submissions.faults)
    users = submissions.users
    known = set(users)
    for row, user in enumerate(users):
        if user in stakes.faults:
            faults.setdefault(row, stakes.faults[user])
    strays = [user for user in stakes.values if user not in known and stakes.values[user] > 0]
    if strays:
        notes.append(f"{len(strays):,} staked without a submission: {shown(strays)}")
    lost = [fault for user, fault in stakes.faults.items() if user not in known]
    if lost and on_error == "fail":
        raise lost[0]
    notes += [f"without a submission, {fault.detail}" for fault in lost]

    stake = np.array([stakes.values.get(user, 0.0) for user in users], np.float64)
    matrix, filled = submissions.matrix, submissions.filled
    if filled is None:
        filled = np.zeros(len(users), np.int64)
    if missing == "fill":
        matrix, columns, newly = fill_missing(matrix, columns, users, ids, faults)
        filled = filled + newly
    shown_ids = None if submissions.ids is None else ids
    notes += check_rows(matrix, columns, users, shown_ids, (stake > 0) & (blend == "raw"), faults)
    if faults and on_error == "fail":
        raise faults[min(faults)]

    scored = [row for row in range(len(users)) if row not in faults]
    if not scored:
        raise RoundError("round-empty", f"all {len(users):,} submissions have a fault")
    by_name = np.array(sorted(scored, key=users.__getitem__), np.int64)
    order = np.concatenate([by_name[stake[by_name] > 0], by_name[stake[by_name] == 0]])
    if stake[order[0]] == 0:
        raise RoundError("stake-none", f"none of the {len(order):,} submissions has a stake")
    return Round(
        ids=ids,
        users=[users[row] for row in order.tolist()],
        stakes=stake[order],
        targets=values,
        predictions=matrix,
        rows=order,
        columns=columns,
        filled=filled[order],
        quarantined=tuple(
            Quarantined(users[row], faults[row].code, faults[row].detail) for row in sorted(faults)
        ),
        notes=tuple(notes),
        blend=blend,
    )


def _align_stocks(
    submissions: Submissions, targets: Targets, missing: Missing, notes: list[str]
) -> tuple[list[str], dict[str, Floats], Integers | None]:
    """Return the stocks in order, the targets in that order, and the stocks' columns."""
    if not submissions.users:
        raise RoundError("round-size", "no submission")
    found = submissions.matrix.shape[1]
    stocks = len(next(iter(targets.values.values())))
    theirs = submissions.ids if targets.ids is None else targets.ids
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
    if aligned.extra > LARGEST_MISSING_SHARE * found:
        known = set(ids)
        strange = np.array([id_ not in known for id_ in submissions.ids])
        raise RoundError(
            "target-missing",
            f"predicted but without a target: {first_ids(strange, submissions.ids)}",
        )
    if aligned.absent and missing == "error":
        absent = first_ids(aligned.columns < 0, ids)
        raise RoundError("id-missing", f"predictions: ids missing: {absent}")
    if aligned.extra:
        notes.append(f"{aligned.extra:,} ids without a target were ignored")
    if found == stocks and (aligned.columns == np.arange(stocks)).all():
        return ids, values, None
    return ids, values, aligned.columns
