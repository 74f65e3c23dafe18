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
from mmc_gpu.errors import RoundError, counted, shown
from mmc_gpu.files.rounds.folder import RoundFolder, user_of
from mmc_gpu.files.rounds.located import located
from mmc_gpu.files.rounds.packed import PackedRound
from mmc_gpu.files.rounds.packed_writer import Batch, PackedWriter
from mmc_gpu.files.rounds.read import round_of
from mmc_gpu.files.rounds.submissions import SUBMISSION, SubmissionReader
from mmc_gpu.files.rounds.tournaments import Tournament
from mmc_gpu.files.rounds.wide_file import WideFile
from mmc_gpu.inputs.beside import note_beside
from mmc_gpu.inputs.checks import check_rows, count_ties, fill_missing
from mmc_gpu.inputs.names import align, escaped, first_ids, name_faults
from mmc_gpu.inputs.options import Missing, OnError, Progress, silent
from mmc_gpu.rounds.method import Blend
from mmc_gpu.rounds.round import Quarantined
from mmc_gpu.rounds.stakes import NAME_IT, Stakes
from mmc_gpu.rounds.submissions import beside_submissions

_BATCH, _WAITING = 64, 4
"""Submissions that a thread reads and checks at a time, and batches that wait until they are
written. Both bound the memory."""


class Packing(NamedTuple):
    """What a packing did."""

    added: int  # submissions that are new, or replace one of the same user
    unchanged: int  # submissions that were there already
    quarantined: tuple[Quarantined, ...]  # who gets no score from the packed round, and why
    notes: tuple[str, ...]  # what was accepted in spite of its form, or ignored


def pack_round(
    folder: Path,
    packed: Path,
    *,
    missing: Missing = "error",
    on_error: OnError = "quarantine",
    blend: Blend = "raw",
    prune: bool = False,
    progress: Progress = silent,
    tournament: Tournament | None = None,
) -> Packing:
    """Pack a round, or add what is new to a packed one: submissions, stakes, targets.

    Submissions that have not changed are skipped, new ones get files of their own: nothing that
    lies in the packed round is written again. The packed round changes at one instant, the last;
    a call that fails or is killed leaves it as it was. Of several calls at once one works, and the
    others wait.

    The round's stocks are the ids of `targets`; while there are no targets yet, of `ids` (one
    column, id). A packed round keeps its stocks. `blend` is what the predictions of stakers are
    checked for; all are packed for either blend. If `prune`, packed users who have no submission in
    `folder` are withdrawn; else they stay, and the notes name them. For the other options see
    `open_round`. Of the files that lie there tables are checked by their sha256, and matrices by
    size and header: their numbers are when they are scored.
    """
    files = RoundFolder(folder, tournament, "keep")
    targets = None if files.targets_file is None else files.targets
    stakes, odd = files.stakes()
    odd += [] if targets is None else targets.notes
    submissions = _from_files if files.predictions is None else _from_columns
    unchanged, quarantined = 0, list[Quarantined]()
    with PackedWriter(packed, files.stocks) as writer:
        names, items, notes = submissions(files, writer.stocks, missing, stakes)
        users = set(map(escaped, names))
        known, kept = {}, []
        if (before := writer.before) is not None:
            source = map(bytes, before.index.hashes("source"))
            known = dict(zip(before.index.users, source, strict=True))
            kept = [fault for fault in before.quarantined if fault.user not in users]
        check = partial(_checked, stocks=writer.stocks, missing=missing, known=known)
        for batch in _in_order(check, items):
            for user, fault in batch.faults:
                if on_error == "fail":
                    raise fault
                found = Quarantined(user, fault.code, fault.detail)
                quarantined += located([found], files, ())
            writer.add(batch)
            unchanged += len(batch.unchanged)
            progress("pack", writer.added + unchanged + len(quarantined), len(names))
        gone = {*known, *(fault.user for fault in kept)} - users
        writer.withdrawn -= users
        if prune:
            writer.withdrawn |= gone & known.keys()
            kept = []
        listed = {fault.user: fault for fault in reversed(kept + quarantined)}  # a user once
        universe = "" if files.universe is None else files.universe.note()
        after = writer.finish(stakes, targets, list(reversed(listed.values())), universe)
        left_out, more = _left_out(after, blend)
        mine = [fault for fault in left_out if fault.user in users]
        if mine and on_error == "fail":
            raise RoundError(mine[0].code, mine[0].detail)
        writer.commit()
    if gone:
        now = "are withdrawn" if prune else "stay in the packed round (--prune withdraws them)"
        who = f"their users {now}: {shown(sorted(gone))}"
        are = counted(len(gone), "submission is", "submissions are")
        more.append(f"{are} gone from the folder; {who}")
    return Packing(writer.added, unchanged, left_out, (*notes(), *files.notes(), *odd, *more))


def _left_out(packed: PackedRound, blend: Blend) -> tuple[tuple[Quarantined, ...], list[str]]:
    """Return who gets no score from a packed round, and a note where nobody gets one yet."""
    try:
        return round_of(packed, "quarantine", blend).quarantined, []
    except RoundError as error:
        return error.quarantined, [f"the packed round cannot be scored yet: {error}"]


class _Item(NamedTuple):
    """A submission that is to be read."""

    user: Any  # as given
    fault: RoundError | None  # of the user's name, or None
    # Reads it. Takes the sha256 of the source from which the user's packed row was read, or None;
    # returns the sha256 of the source as it is now, and (N,) predictions, NaN where missing, or
    # None where the source has not changed.
    read: Callable[[bytes | None], tuple[bytes, Numbers | None]]


_Items = tuple[list[str], Iterator[_Item], Callable[[], list[str]]]
"""A round's users as given, their submissions, and what returns the notes on these, which is
called when all have been read."""


def _from_files(files: RoundFolder, stocks: list[str], missing: Missing, _: Stakes) -> _Items:
    """Return the submissions of a folder with one file a user."""
    reader = SubmissionReader(files, stocks, missing)

    def read(path: Path, packed: bytes | None) -> tuple[bytes, Numbers | None]:
        source = files.source(path, SUBMISSION)
        sha256 = bytes.fromhex(source.sha256)
        return sha256, None if sha256 == packed else reader.read(source)

    users = [user_of(path) for path in files.submissions]
    faults = name_faults(users, [f"submissions/{path.name}" for path in files.submissions])
    items = (
        _Item(user, faults.get(row), partial(read, path))
        for row, (user, path) in enumerate(zip(users, files.submissions, strict=True))
    )
    return users, items, reader.notes


def _from_columns(
    files: RoundFolder, stocks: list[str], missing: Missing, stakes: Stakes
) -> _Items:
    """Return the submissions of a file with one column a user, which stays open.

    What `beside_submissions` finds is left out, unless the stakes name the user.
    """
    wide = WideFile(files)
    aligned = align(wide.ids, stocks, wide.name)
    absent = aligned.columns < 0
    if aligned.absent and missing == "error":
        raise RoundError("id-missing", f"{wide.name}: ids missing: {first_ids(absent, stocks)}")

    def read(user: Any, column: Any, packed: bytes | None) -> tuple[bytes, Numbers | None]:
        values = wide.numbers(user, column)[aligned.columns]
        values[absent] = np.nan
        sha256 = hashlib.sha256(values.astype(np.float64).tobytes()).digest()
        return sha256, None if sha256 == packed else values

    faults, notes = name_faults(wide.users), [*wide.notes]
    aside = {}

    def items() -> Iterator[_Item]:
        for row, user in enumerate(wide.users):  # one thread takes the columns, in order
            column = wide.column(row)
            what = beside_submissions(user, column, wide.ids)
            if what is None or stakes.name(user):
                yield _Item(user, faults.get(row), partial(read, user, column))
            else:
                aside[user] = what

    if aligned.extra:
        ignored = counted(aligned.extra, "id is", "ids are")
        notes.append(f"{ignored} none of the round's, and ignored")
    return wide.users, items(), lambda: notes + note_beside(wide.name, aside, NAME_IT)


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
        try:
            if item.fault is not None:
                raise item.fault
            sha256, values = item.read(known.get(item.user))
        except RoundError as fault:
            faults[place] = escaped(item.user), fault
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
