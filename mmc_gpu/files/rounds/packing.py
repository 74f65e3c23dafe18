"""Packing a round: each submission is checked once, and streamed from disk from then on."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Numbers
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.formats.source import read_source
from mmc_gpu.files.rounds.folder import RoundFolder
from mmc_gpu.files.rounds.packed import is_packed, open_packed
from mmc_gpu.files.rounds.packed_writer import Batch, PackedWriter
from mmc_gpu.files.rounds.submissions import SUBMISSION, SubmissionReader, user_of
from mmc_gpu.files.rounds.wide_file import WideFile
from mmc_gpu.inputs.checks import check_rows, count_ties, fill_missing
from mmc_gpu.inputs.columns import numbers
from mmc_gpu.inputs.names import align, escaped, first_ids, name_faults
from mmc_gpu.inputs.options import Missing, OnError, Progress
from mmc_gpu.rounds.round import Quarantined

_BATCH, _WAITING = 64, 4
"""Submissions that a thread reads and checks at a time, and batches that wait to be written: they
bound the memory."""


class Packing(NamedTuple):
    """What a packing did.

    Attributes:
        added: submissions that are new, or replace one of the same user.
        unchanged: submissions that were there already.
        quarantined: who is not in the packed round, and why.
        notes: what was accepted in spite of its form, or ignored.
    """

    added: int
    unchanged: int
    quarantined: tuple[Quarantined, ...]
    notes: tuple[str, ...]


def pack_round(
    folder: Path,
    packed: Path,
    *,
    missing: Missing = "error",
    on_error: OnError = "quarantine",
    progress: Progress | None = None,
) -> Packing:
    """Pack a round, or add to a packed one what is new: submissions, stakes, targets.

    Nothing that is there is written again: submissions that have not changed are skipped, new ones
    get a file of their own. Until the last moment, and if it is killed or fails, the packed round
    is what it was.

    Args:
        folder: the round. Its stocks are the ids of `targets`, or of `ids` (one column id) while
            there are no targets yet; those of a packed round stay.
        packed: where the packed round is, or is to be.
        missing: missing predictions are a fault, or are filled with the user's lower median.
        on_error: a user's fault leaves that user out, or stops the packing.
        progress: called as submissions are packed.

    Raises:
        RoundError: the round cannot be read, or the packed one not written.
    """
    before = open_packed(packed) if is_packed(packed) else None
    files = RoundFolder(folder)
    stocks = files.stocks() if before is None else before.ids
    known = {} if before is None else before.index.sources()
    quarantined = {} if before is None else {fault.user: fault for fault in before.quarantined}
    total, items, notes = (
        _from_files(files, stocks, missing)
        if files.predictions is None
        else _from_columns(files, stocks, missing)
    )
    done = unchanged = 0
    with PackedWriter(packed, before, stocks) as writer:
        for batch in _in_order(lambda chosen: _checked(chosen, stocks, missing, known), items):
            for row, fault in sorted(batch.faults.items()):
                if on_error == "fail":
                    raise fault
                quarantined[batch.users[row]] = Quarantined(
                    batch.users[row], fault.code, fault.detail
                )
            for row in batch.good:
                quarantined.pop(batch.users[row], None)
            writer.add(batch)
            unchanged += len(batch.good) - len(batch.fresh)
            done += len(batch.users)
            if progress is not None:
                progress("pack", done, total)
        stakes, odd = files.stakes()
        targets = None if files.targets_file is None else files.targets
        writer.finish(stakes, targets, list(quarantined.values()))
    added = writer.added
    return Packing(added, unchanged, tuple(quarantined.values()), (*notes(), *odd))


class _Item(NamedTuple):
    """One submission that is to be read.

    Attributes:
        user: as given.
        fault: what is already known to be wrong with it.
        read: called with the sha256 that is packed for the user; returns the source's sha256, and
            (N,) predictions, NaN where missing, or None where the sha256 is the same.
    """

    user: Any
    fault: RoundError | None
    read: Callable[[bytes | None], tuple[bytes, Numbers | None]]


def _from_files(
    files: RoundFolder, stocks: list[str], missing: Missing
) -> tuple[int, Iterator[_Item], Callable[[], list[str]]]:
    """Return how many submissions a folder has, each, and what was odd once all are read."""
    reader = SubmissionReader(files, stocks, missing)

    def reading(path: Path) -> Callable[[bytes | None], tuple[bytes, Numbers | None]]:
        def read(packed: bytes | None) -> tuple[bytes, Numbers | None]:
            reader.check_format(path)
            source = read_source(path, SUBMISSION.max_bytes)
            sha256 = bytes.fromhex(source.sha256)
            return sha256, None if sha256 == packed else reader.read(source)

        return read

    users = [user_of(path) for path in files.submissions]
    faults = name_faults(users)
    items = (
        _Item(user, faults.get(row), reading(path))
        for row, (user, path) in enumerate(zip(users, files.submissions, strict=True))
    )
    return len(users), items, reader.notes


def _from_columns(
    files: RoundFolder, stocks: list[str], missing: Missing
) -> tuple[int, Iterator[_Item], Callable[[], list[str]]]:
    """Return the same of a file with one column a user, read through one open handle."""
    wide = WideFile(files, on_disk=True)
    aligned = align(wide.ids, stocks, wide.name)
    absent = aligned.columns < 0
    if aligned.absent and missing == "error":
        raise RoundError("id-missing", f"{wide.name}: ids missing: {first_ids(absent, stocks)}")

    def reading(user: Any, column: Any) -> Callable[[bytes | None], tuple[bytes, Numbers | None]]:
        def read(packed: bytes | None) -> tuple[bytes, Numbers | None]:
            values = numbers(column, f"user {shown([str(user)])}")[aligned.columns]
            values[absent] = np.nan
            sha256 = hashlib.sha256(values.astype(np.float64).tobytes()).digest()
            return sha256, None if sha256 == packed else values

        return read

    faults = name_faults(wide.users)
    items = (
        _Item(user, faults.get(row), reading(user, wide.column(row)))
        for row, user in enumerate(wide.users)
    )
    ignored = [f"{aligned.extra:,} ids are none of the round's and were ignored"]
    return len(wide.users), items, lambda: ignored if aligned.extra else []


def _checked(
    items: list[_Item], stocks: list[str], missing: Missing, known: dict[str, bytes]
) -> Batch:
    """Return submissions, read and checked."""
    users, source = [str(item.user) for item in items], [bytes(32)] * len(items)
    matrix = np.full((len(items), len(stocks)), 0.5)  # where nothing is read nothing is wrong
    faults: dict[int, RoundError] = {}
    unchanged = set()
    for row, item in enumerate(items):
        if item.fault is not None:
            faults[row], users[row] = item.fault, escaped(item.user)
            continue
        try:
            source[row], values = item.read(known.get(users[row]))
        except RoundError as fault:
            faults[row] = fault
            continue
        if values is None:
            unchanged.add(row)
        else:
            matrix[row] = values
    idle = {row: RoundError("prediction-missing", "") for row in unchanged}  # are not looked at
    filled = np.zeros(len(items), np.int64)
    found = faults | idle
    if missing == "fill":
        matrix, _, filled = fill_missing(matrix, None, users, stocks, found)
    check_rows(matrix, None, users, stocks, np.zeros(len(items), bool), found)
    faults = {row: fault for row, fault in found.items() if row not in unchanged}
    right = np.array([row for row in range(len(items)) if row not in found], np.int64)
    different = np.zeros(len(items), np.int64)
    different[right] = count_ties(matrix, None, right)
    return Batch(users, source, matrix, filled, different, faults, unchanged)


def _in_order(work: Callable[[list[_Item]], Batch], items: Iterator[_Item]) -> Iterator[Batch]:
    """Yield batches in order, worked on by all cores, a bounded number of them at a time."""
    with ThreadPoolExecutor() as pool:
        waiting: deque[Future[Batch]] = deque()
        while chosen := list(islice(items, _BATCH)):
            waiting.append(pool.submit(work, chosen))
            if len(waiting) > _WAITING:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
