"""A folder of a round, packed or not, becomes a `Round`."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from mmc_gpu.engines.arrays import Integers
from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.places import Place
from mmc_gpu.files.rounds.folder import SHARED, RoundFolder
from mmc_gpu.files.rounds.located import located
from mmc_gpu.files.rounds.packed import PackedRound, inputs_of, is_packed, list_packed, open_packed
from mmc_gpu.files.rounds.submissions import SUBMISSION, read_submissions
from mmc_gpu.files.rounds.tournaments import Tournament
from mmc_gpu.files.rounds.wide_file import WideFile
from mmc_gpu.inputs.checks import count_ties, note_ties
from mmc_gpu.inputs.options import Missing, OnError, Progress, check_option, silent
from mmc_gpu.rounds.method import Blend
from mmc_gpu.rounds.round import Quarantined, Round, build_round
from mmc_gpu.rounds.submissions import collect_columns
from mmc_gpu.rounds.targets import Targets, Unresolved
from mmc_gpu.rounds.title import RoundTitle


class RoundFiles(NamedTuple):
    """A round, and the files it was read from: file, bytes and sha256 of each."""

    round: Round
    inputs: list[dict[str, Any]]


def list_inputs(folder: Place) -> list[dict[str, Any]]:
    """Return file, bytes and sha256 of each file that `read_round` reads."""
    if is_packed(folder):
        return list_packed(folder)
    files = RoundFolder(folder)
    shared = (files.targets_file, files.stakes_file, files.predictions)
    for path in [*filter(None, shared), *files.submissions]:
        with suppress(RoundError):  # a submission that cannot be read is no input, but a fault
            files.source(path, SHARED if path in shared else SUBMISSION)
    return files.inputs()


def read_round(
    folder: Place,
    *,
    missing: Missing = "error",
    on_error: OnError = "quarantine",
    blend: Blend = "raw",
    damaged: Collection[Quarantined] = (),
    progress: Progress = silent,
    partial: bool = False,
    tournament: Tournament | None = None,
    targets: bool = True,
) -> RoundFiles:
    """Return the round in a folder, packed or not; for the options see `open_round`.

    A folder has `targets` (id, one column a target), `stakes` (user, stake), and `predictions` (id,
    one column a user) or `submissions/` (one file a user: id, prediction), each as Parquet or CSV.
    For a packed round, what is missing and the tournament were decided when it was packed. The
    faults of `damaged` users are added to its own. Without `targets` the round has none: its stocks
    are the ids of `targets`, or `ids`.

    Raises:
        RoundError: the folder, or a file that all users share, cannot be read or used; the round
            waits for its targets (target-waiting).
    """
    unresolved: Unresolved | None = ("partial" if partial else "wait") if targets else None
    if is_packed(folder):
        packed = open_packed(folder)
        round_ = round_of(packed, on_error, blend, damaged, unresolved)
        inputs = inputs_of(folder, packed.manifest)
        notes, of_packing = [*round_.notes], {"missing": missing, "tournament": tournament}
        for name, value in of_packing.items():
            if value not in (None, "error"):
                check_option(name, value, Missing if name == "missing" else Tournament)
                notes.append(f"{name}={value!r} does nothing here: packing a round decides it")
        title = title_of(folder, inputs)
        round_ = replace(round_, folder=folder, title=title, notes=tuple(notes))
        return RoundFiles(round_, inputs)
    files = RoundFolder(folder, tournament, unresolved or "keep")
    resolved = files.targets if targets else Targets(files.stocks(), {})
    stakes, notes = files.stakes()
    if files.predictions is not None:
        wide = WideFile(files)
        matrix = wide.matrix()
        taken = collect_columns(wide.users, wide.ids, wide.column, matrix, wide.numbers)
        taken.notes += wide.notes
    else:
        assert resolved.ids is not None
        taken = read_submissions(files, sorted(resolved.ids), missing, progress)
    taken.notes += [*files.notes(), *notes]
    try:
        round_ = build_round(
            taken, stakes, resolved, missing=missing, on_error=on_error, blend=blend
        )
    except RoundError as error:  # where nobody is left, all faults are shown
        error.quarantined = located(error.quarantined, files, stakes.faults)
        raise
    different = count_ties(round_.predictions, round_.columns, round_.rows)
    inputs = files.inputs()
    round_ = replace(
        _with_ties(round_, different),
        folder=folder,
        quarantined=located(round_.quarantined, files, stakes.faults),
        title=title_of(folder, inputs),
    )
    return RoundFiles(round_, inputs)


def round_of(
    packed: PackedRound,
    on_error: OnError,
    blend: Blend,
    damaged: Collection[Quarantined] = (),
    unresolved: Unresolved | None = "wait",
) -> Round:
    """Return the round that lies in a packed one: what its folder would give; see `read_round`.

    With `unresolved` None it has no targets.
    """
    taken, stakes = packed.submissions(), packed.stakes()
    targets = Targets(packed.ids, {}) if unresolved is None else packed.targets(unresolved)
    faults: list[tuple[str, RoundError]] = []
    before = (*packed.quarantined, *damaged)
    for user, code, detail, *_ in before:
        fault = RoundError(code, detail)
        if code.startswith("prediction-"):  # `build_round` looks at the stake first
            fault = stakes.faults.get(user, fault)
        faults.append((user, fault))
    if faults and on_error == "fail":
        raise faults[0][1]
    named = {user: fault for user, fault in faults if fault.code != "user-name"}  # no escaped names
    rows = {user: row for row, user in enumerate(taken.users if named else ())}
    for user, fault in named.items():
        if user in rows:
            taken.faults[rows[user]] = fault
        else:  # the stake has a submission, a faulty one
            stakes.values.pop(user, None)
            stakes.faults.pop(user, None)
    listed = tuple(
        q if q.code == fault.code else Quarantined(user, fault.code, fault.detail)
        for q, (user, fault) in zip(before, faults, strict=True)
    )
    try:
        round_ = build_round(taken, stakes, targets, on_error=on_error, blend=blend)
    except RoundError as error:  # where nobody is left, all faults are shown
        error.quarantined = listed + tuple(q for q in error.quarantined if q.user not in named)
        raise
    quarantined = listed + tuple(q for q in round_.quarantined if q.user not in named)
    round_ = _with_ties(round_, packed.index.different[round_.rows])
    return replace(round_, quarantined=quarantined)


def _with_ties(round_: Round, different: Integers) -> Round:
    """Return the round with a note of who gives many stocks the same prediction."""
    return replace(round_, notes=(*round_.notes, *note_ties(different, round_.users)))


def name_of(folder: Place) -> str:
    """Return the name of a round's folder, which `.` and `..` do not say."""
    if isinstance(folder, Path) and folder.name in ("", ".."):
        return folder.resolve().name
    return folder.name


def title_of(folder: Place, inputs: Sequence[Mapping[str, Any]]) -> RoundTitle:
    """Return what a round is called; its targets are of the day on which their file was written."""
    targets = [entry["file"] for entry in inputs if entry["file"].startswith("targets")]
    day = (folder / targets[0]).stat().st_mtime if isinstance(folder, Path) and targets else None
    return RoundTitle.of(name_of(folder), day)
