"""Verifying a result: its round is scored again, as the receipt says, and all of it is compared."""

import base64
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmc_gpu.engines import load_engine
from mmc_gpu.engines.arrays import value_count
from mmc_gpu.eras.metrics import round_metrics
from mmc_gpu.errors import shown
from mmc_gpu.files.formats.source import Source, read_source
from mmc_gpu.files.results.changes import changed_inputs, changed_results
from mmc_gpu.files.results.differing import differing_columns, differing_values, has_intervals
from mmc_gpu.files.results.folder import columns_of, fault_columns
from mmc_gpu.files.results.outline import QUARANTINE, listed_faults, quarantine_columns
from mmc_gpu.files.results.receipt import (
    RECEIPT,
    REPORT,
    UNFIT,
    RoundReceipt,
    read_round_receipt,
    refusing,
)
from mmc_gpu.files.results.rounds import (
    DRAWS,
    ROUND_FILES,
    SCORE_FILES,
    draws_table,
    fault_codes,
    make_receipt,
)
from mmc_gpu.files.rounds.folder import IGNORED
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.files.rounds.series import score_with_files
from mmc_gpu.files.writing.tables import csv_bytes
from mmc_gpu.inputs.options import Progress, silent
from mmc_gpu.report.rounds import round_page
from mmc_gpu.rounds.round import Quarantined
from mmc_gpu.rounds.scores import Scores
from mmc_gpu.rounds.scoring import score
from mmc_gpu.rounds.title import said
from mmc_gpu.version import __version__

_TABLES: dict[str, Callable[[Scores], Mapping[str, Any]]] = {
    **dict.fromkeys(SCORE_FILES, Scores.columns),
    DRAWS: draws_table,
}
"""What computes the columns of each table of numbers, by the name of its file."""

_ELSEWHERE = {"schema", "inputs", "parameters", "files"}
"""Entries of a receipt that are compared by themselves, or say what is computed."""

_UNKNOWABLE = {"created", "engine", "title", "versions"}
"""Entries of a receipt that cannot be computed again."""

_PACKED = re.compile(rb'"(eJ[A-Za-z0-9+/]+=*)"')  # what a page holds in packed form: base64 of zlib

_MOST = 10  # files or users that are named of one kind of difference


@dataclass(frozen=True)
class Verdict:
    """What a verification found.

    Attributes:
        users: how many were scored again.
        digest: of their scores, as computed now.
        engine: what computed them now.
        differences: what is not as it was, or not what the round gives; verified if there is none.
        notes: what was not checked, and what differs without changing a score.
    """

    users: int
    digest: str
    engine: str
    differences: list[str]
    notes: list[str]


def verify_result(
    result: Path, round_: Path, engine: str = "auto", *, progress: Progress = silent
) -> Verdict:
    """Score a result's round again, on any engine, and return whether the result is the same.

    Raises:
        RoundError: the receipt or the round cannot be read.
        EngineUnavailable: the engine cannot run here.
    """
    receipt = read_round_receipt(result)
    with refusing(result):
        round_metrics(receipt.further)
    files = read_round(round_, **receipt.reading, progress=progress)
    loaded = load_engine(engine, work=value_count(files.round.predictions))
    draws = any((result / name).exists() for name in (DRAWS, REPORT)) or _was_drawn(result)
    scores = score(files.round, receipt.method, loaded, draws=draws, progress=progress)
    scores.further, read = score_with_files(
        files.round, receipt.further, loaded, None, progress, receipt.method.ties
    )
    changed, form = changed_inputs(receipt.inputs, files.inputs + read)
    digests = receipt.digests["scores"], receipt.digests.get("further")
    notes = []
    if form and digests == (scores.digest, scores.further_digest):
        notes.append(f"{form}; the scores have the same bits")
    elif form:
        changed.append(form)
    verdict = Verdict(len(scores.users), scores.digest, scores.engine, changed, notes)
    # text is the same only if this version wrote it, and of the same files
    own = receipt.version == __version__
    with refusing(result):
        _compare_receipt(receipt, scores, own, own and not (changed or form), verdict)
        _compare_files(receipt, scores, own, verdict)
    return verdict


def _was_drawn(result: Path) -> bool:
    """Return whether a result's table of scores has the intervals of ranks."""
    for name in SCORE_FILES:
        with suppress(*UNFIT):
            return has_intervals(columns_of(read_source(result / name)))
    return False


def _compare_receipt(
    receipt: RoundReceipt, scores: Scores, own: bool, same_text: bool, verdict: Verdict
) -> None:
    """Add to a verdict what the entries of a receipt differ in from what was computed."""
    found, computed = receipt.said, make_receipt(scores)
    known = [name for name in found if name in computed and name not in _UNKNOWABLE]
    unknown = shown([name for name in found if name not in known], _MOST)
    verdict.notes.append(f"not checked: {unknown} of the receipt")
    if lacking := [name for name in computed if own and name not in found]:
        verdict.differences.append(f"{RECEIPT}: no {shown(lacking)}")
    if receipt.options["on_error"] == "fail" and scores.quarantined:
        verdict.differences.append("on_error: 'fail' in the receipt, and users are quarantined")
    for name in known:
        there, now = (json.dumps(entry[name], sort_keys=True) for entry in (found, computed))
        if there == now or name in _ELSEWHERE:
            continue
        if name == "notes" and not (same_text and _lasting(receipt) != _lasting(scores)):
            verdict.notes.append("not checked: 'notes' of the receipt, which differ")
        elif name == "further_faults" and fault_codes(found[name]) == fault_codes(computed[name]):
            verdict.notes.append(f"not checked: 'detail' in {name!r}, whose words differ")
        elif name.endswith("_digest"):
            digest = f"digest {computed[name][:16]}, the receipt says {shown([found[name][:16]])}"
            verdict.differences.append(f"{name.removesuffix('_digest')}: {digest}")
        else:
            values = f": {there} in the receipt, {now} computed" if len(there + now) < 80 else ""
            verdict.differences.append(f"{name}: not what was computed{values}")


def _lasting(noted: RoundReceipt | Scores) -> list[str]:
    """Return the notes that tell of a round's inputs, not of what lies beside them."""
    return [note for note in noted.notes if IGNORED not in note]


def _compare_files(receipt: RoundReceipt, scores: Scores, own: bool, verdict: Verdict) -> None:
    """Add to a verdict what the files of a result differ in from what was computed."""
    folder, names = receipt.folder, receipt.files.keys()
    verdict.differences.extend(changed_results(folder, receipt.files))
    if names - {*_TABLES, QUARANTINE} or QUARANTINE not in names:
        verdict.differences.append(f"files: not those of a result: {shown(sorted(names))}")
    if len(names & set(SCORE_FILES)) != 1:
        verdict.differences.append("scores: not one table of them in the receipt")
    listed = scores.quarantined
    for name in sorted(path.name for path in folder.iterdir()):
        if name not in ROUND_FILES:
            verdict.notes.append(f"not checked: {shown([name])} in the folder")
        elif name not in (*names, RECEIPT, REPORT):
            verdict.differences.append(f"{name}: not a file of this result")
        try:
            if name in _TABLES:
                computed, source = _TABLES[name](scores), read_source(folder / name)
                verdict.differences.extend(differing_values(source, computed, own))
                if name.endswith(".json"):
                    verdict.differences.extend(_odd_heading(source, receipt, scores))
            elif name == QUARANTINE:
                listed = _compare_quarantine(read_source(folder / name), scores, own, verdict)
            elif name == REPORT and not own:
                version = shown([receipt.version])[1:-1]
                verdict.notes.append(f"not checked: {REPORT}: written by {version}")
            elif name == REPORT:
                page = read_source(folder / name).data
                if not _is_page(page, receipt, replace(scores, quarantined=listed)):
                    verdict.differences.append(f"{name}: not the page of these scores")
        except (*UNFIT, zlib.error) as error:
            verdict.differences.append(f"{name}: cannot be read: {error}")


def _odd_heading(source: Source, receipt: RoundReceipt, scores: Scores) -> list[str]:
    """Return what a table as JSON says wrongly of its round; older ones say nothing."""
    found = json.loads(source.data)
    expected = {**said(receipt.title), "digest": scores.digest, "rows": found}
    if isinstance(found, list) or {**found, "rows": found} == expected:
        return []
    return [f"{source.path.name}: not the round, date and digest of the receipt"]


def _compare_quarantine(
    source: Source, scores: Scores, own: bool, verdict: Verdict
) -> tuple[Quarantined, ...]:
    """Compare who was quarantined, and for what; return the users as the file lists them."""
    expected = quarantine_columns(scores.quarantined)
    found = fault_columns(source) or {name: [] for name in expected}
    listed = listed_faults(found)
    differences = differing_columns(QUARANTINE, found, expected, own)
    both = listed, scores.quarantined
    there, now = (Counter((fault.user, fault.code) for fault in faults) for faults in both)
    for pairs, where in ((there - now, "listed, not computed"), (now - there, "not listed")):
        if pairs:
            faults = shown([f"{user}: {code}" for user, code in pairs], _MOST)
            differences.append(f"{QUARANTINE}: {where}: {faults}")
    if own and not differences and source.data != csv_bytes(quarantine_columns(listed)):
        differences.append(f"{QUARANTINE}: the users and codes, in another form")
    if set(listed) != set(scores.quarantined):
        verdict.notes.append(f"not checked: 'detail' in {QUARANTINE}, whose words differ")
    verdict.differences.extend(differences)
    return listed


def _is_page(page: bytes, receipt: RoundReceipt, scores: Scores) -> bool:
    """Return whether a page shows these scores: on any target, with their draws or without."""
    scores = replace(scores, engine=receipt.engine, notes=receipt.notes)
    for number in range(len(scores.targets)):
        for draws in (scores.per_draw, None):
            made = round_page(replace(scores, per_draw=draws), receipt.said, number)
            if page == made or _unpacked(page) == _unpacked(made):
                return True
    return False


def _unpacked(page: bytes) -> bytes:
    """Return a page with all of it unpacked: builds of zlib pack the same into different bytes."""
    return _PACKED.sub(
        lambda found: zlib.decompressobj().decompress(base64.b64decode(found[1]), 2**28), page
    )
