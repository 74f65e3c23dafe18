"""Packing a round: each submission is checked once, and streamed from disk from then on."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Numbers
from mmc_gpu.engines.threads import thread_count
from mmc_gpu.errors import RoundError
from mmc_gpu.files.rounds.folder import RoundFolder
from mmc_gpu.files.rounds.packed import is_packed, open_packed
from mmc_gpu.files.rounds.packed_writer import Batch, PackedWriter
from mmc_gpu.files.rounds.submissions import SubmissionReader, user_of
from mmc_gpu.files.rounds.tournaments import Tournament
from mmc_gpu.files.rounds.wide_file import WideFile
from mmc_gpu.inputs.checks import check_rows, count_ties, fill_missing
from mmc_gpu.inputs.names import align, escaped, first_ids, name_faults
from mmc_gpu.inputs.options import Missing, OnError, Progress
from mmc_gpu.rounds.round import Quarantined

_BATCH, _WAITING = 64, 4
"""Submissions that a thread reads and checks at a time, and batches that wait until they are
written. Both bound the memory."""


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
    tournament: Tournament | None = None,
) -> Packing:
    """Pack a round, or add what is new to a packed one: submissions, stakes, targets.

    Submissions that have not changed are skipped, new ones get files of their own: nothing that
    lies in the packed round is written again. The packed round changes at one instant, the last;
    a call that fails or is killed leaves it as it was.

    Args:
        folder: the round. Its stocks are the ids of `targets`; while there are no targets yet, of
            `ids` (one column, id). A packed round keeps its stocks.
        packed: the folder of the packed round; made if it is not there.
        missing: missing predictions are a fault, or are filled with the user's lower median.
        on_error: a user's fault leaves that user out, or stops the packing.
        progress: called as submissions are packed.
        tournament: see `read_round`.

    Raises:
        RoundError: the round cannot be read, or the packed one not written.
    """
    before = open_packed(packed) if is_packed(packed) else None
    files = RoundFolder(folder, tournament)
    stocks = files.stocks() if before is None else before.ids
    known, quarantined = {}, {}
    if before is not None:
        sources = map(bytes, before.index.source)
        known = dict(zip(before.index.users, sources, strict=True))
        quarantined = {fault.user: fault for fault in before.quarantined}
    submissions = _from_files if files.predictions is None else _from_columns
    total, items, notes = submissions(files, stocks, missing)
    done = unchanged = 0
    with PackedWriter(packed, before, stocks) as writer:
        check = partial(_checked, stocks=stocks, missing=missing, known=known)
        for batch in _in_order(check, items):
            for user, fault in batch.faults:
                if on_error == "fail":
                    raise fault
                quarantined[user] = Quarantined(user, fault.code, fault.detail)
            for user in (*batch.users, *batch.unchanged):
                quarantined.pop(user, None)
            writer.add(batch)
            unchanged += len(batch.unchanged)
            done += len(batch.users) + len(batch.unchanged) + len(batch.faults)
            if progress is not None:
                progress("pack", done, total)
        stakes, odd = files.stakes()
        targets = None if files.targets_file is None else files.targets
        writer.finish(stakes, targets, list(quarantined.values()))
    said = [*notes(), *odd] + ([] if files.universe is None else [files.universe.note()])
    return Packing(writer.added, unchanged, tuple(quarantined.values()), tuple(said))


class _Item(NamedTuple):
    """A submission that is to be read.

    Attributes:
        user: as given.
        fault: of the user's name, or None.
        read: reads it. Takes the sha256 of the source from which the user's packed row was read,
            or None; returns the sha256 of the source as it is now, and (N,) predictions, NaN where
            missing, or None where the source has not changed.
    """

    user: Any
    fault: RoundError | None
    read: Callable[[bytes | None], tuple[bytes, Numbers | None]]


_Items = tuple[int, Iterator[_Item], Callable[[], list[str]]]
"""How many submissions a round has, each of them, and what returns the notes on them, which is
called when all have been read."""


def _from_files(files: RoundFolder, stocks: list[str], missing: Missing) -> _Items:
    """Return the submissions of a folder with one file a user."""
    reader = SubmissionReader(files, stocks, missing)

    def read(path: Path, packed: bytes | None) -> tuple[bytes, Numbers | None]:
        source = reader.source(path)
        sha256 = bytes.fromhex(source.sha256)
        return sha256, None if sha256 == packed else reader.read(source)

    users = [user_of(path) for path in files.submissions]
    faults = name_faults(users)
    items = (
        _Item(user, faults.get(row), partial(read, path))
        for row, (user, path) in enumerate(zip(users, files.submissions, strict=True))
    )
    return len(users), items, reader.notes


def _from_columns(files: RoundFolder, stocks: list[str], missing: Missing) -> _Items:
    """Return the submissions of a file with one column a user, which stays open."""
    wide = WideFile(files, on_disk=True)
    aligned = align(wide.ids, stocks, wide.name)
    absent = aligned.columns < 0
    if aligned.absent and missing == "error":
        raise RoundError("id-missing", f"{wide.name}: ids missing: {first_ids(absent, stocks)}")

    def read(user: Any, column: Any, packed: bytes | None) -> tuple[bytes, Numbers | None]:
        values = wide.numbers(user, column)[aligned.columns]
        values[absent] = np.nan
        sha256 = hashlib.sha256(values.astype(np.float64).tobytes()).digest()
        return sha256, None if sha256 == packed else values

    faults = name_faults(wide.users)
    items = (  # one thread takes the columns from the file, in order
        _Item(user, faults.get(row), partial(read, user, wide.column(row)))
        for row, user in enumerate(wide.users)
    )
    ignored = [f"{aligned.extra:,} ids are none of the round's and were ignored"]
    return len(wide.users), items, lambda: ignored if aligned.extra else []


def _checked(
    items: list[_Item], stocks: list[str], missing: Missing, known: dict[str, bytes]
) -> Batch:
    """Return submissions, read and checked.

    `known` is the sha256 of the source of each user who is packed already.
    """
    faults: dict[int, tuple[str, RoundError]] = {}
    unchanged: list[str] = []
    places: list[int] = []
    source: list[bytes] = []
    matrix: Numbers = np.empty((len(items), len(stocks)))
    for place, item in enumerate(items):
        if item.fault is not None:
            faults[place] = escaped(item.user), item.fault
            continue
        try:
            sha256, values = item.read(known.get(item.user))
        except RoundError as fault:
            faults[place] = item.user, fault
            continue
        if values is None:
            unchanged.append(item.user)
            continue
        matrix[len(places)] = values
        places.append(place)
        source.append(sha256)
    matrix = matrix[: len(places)]
    users = [items[place].user for place in places]
    found: dict[int, RoundError] = {}
    filled = np.zeros(len(users), np.int64)
    if missing == "fill":
        matrix, _, filled = fill_missing(matrix, None, users, stocks, found)
    check_rows(matrix, None, users, stocks, np.zeros(len(users), bool), found)
    faults |= {places[row]: (users[row], fault) for row, fault in found.items()}
    good = np.array([row for row in range(len(users)) if row not in found], np.int64)
    return Batch(
        users=[users[row] for row in good],
        source=[source[row] for row in good],
        matrix=matrix[good] if found else matrix,
        filled=filled[good],
        different=count_ties(matrix, None, good),
        faults=[faults[place] for place in sorted(faults)],
        unchanged=unchanged,
    )


def _in_order(work: Callable[[list[_Item]], Batch], items: Iterator[_Item]) -> Iterator[Batch]:
    """Yield batches in order; several threads work on them, on a bounded number at a time."""
    with ThreadPoolExecutor(thread_count()) as pool:
        waiting: deque[Future[Batch]] = deque()
        while chosen := list(islice(items, _BATCH)):
            waiting.append(pool.submit(work, chosen))
            if len(waiting) > _WAITING:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
