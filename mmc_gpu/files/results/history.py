"""The history of all results: a dataset of rows, the season's leaderboard, and its page.

Its folder season/ has what the next call needs: ledger.txt says what was taken in, an array a round
holds what is added up. A line of the ledger is written after the files that it speaks of: a killed
call leaves files without a line at most, and the next one writes them again, the same. Each line
has its checksum, each array its sum in the ledger: what is damaged is refused.
"""

import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from mmc_gpu.engines.arrays import Integers
from mmc_gpu.errors import RoundError, as_given, shown
from mmc_gpu.files.formats.places import as_path
from mmc_gpu.files.formats.source import read_source, reading
from mmc_gpu.files.results.outline import quarantined_of
from mmc_gpu.files.results.payouts import ScoreTable, read_rules, row_table, rule_for
from mmc_gpu.files.results.receipt import NIGHT, RECEIPT, REPORT, UNFIT, read_round_receipt
from mmc_gpu.files.system import locked
from mmc_gpu.files.writing.replace import DAYS, failing, write_file
from mmc_gpu.files.writing.tables import TABLES, arrow_bytes
from mmc_gpu.inputs.frames import make_frame
from mmc_gpu.inputs.names import listed
from mmc_gpu.inputs.notebook import progress_of
from mmc_gpu.inputs.options import Progress
from mmc_gpu.report.season import season_page
from mmc_gpu.rounds.rules import PayoutRule
from mmc_gpu.rounds.standings import FIRST, Definitions, Standings, as_rows

_LEFT = re.compile(r"\..+\.new-[0-9a-f]{8}")


@dataclass(frozen=True)
class Season:
    """What is known of each round, in order; of results by their folder, why they have failed.

    `older` are folders whose newest result is of an earlier day than the one that counts: the last.
    `gone` are rounds whose result is no longer there: what was taken in counts.
    """

    rounds: list[dict[str, Any]]
    added: int
    unchanged: int
    failed: dict[str, RoundError]
    older: list[str]
    gone: list[str]
    columns: dict[str, Any]

    @property
    def table(self) -> Any:
        """Return the leaderboard as a pandas frame: a row a user, the best reputation first."""
        return make_frame(self.columns, polars=False)


def history(
    results: str | Path,
    output: str | Path,
    *,
    rules: Sequence[PayoutRule | str] = (),
    factor: Decimal | float | None = None,
    target: str | None = None,
    definitions: Definitions | None = None,
    progress: Progress | None = None,
) -> Season:
    """Bring a history up to date with a folder of results; write its leaderboard and its page.

    Args:
        results: what `mmc-gpu score ROUNDS -o` has written: a folder a round.
        output: folder of the history; made if it is not there.
        rules: what is paid (rules, their names, or JSON files): the one that holds for a round.
        factor: of rules that leave it to the round.
        target: whose scores count; by default the first of each round.
        definitions: how users are compared.
        progress: called as results are taken in.

    Raises:
        RoundError: the folder holds something else, a rule cannot be read, or writing fails.
        ValueError: there is no result, none has the score, or no rule needs the factor.
    """
    rules = [rules] if isinstance(rules, str | PayoutRule) else listed(rules, "rules")
    lists = [[one] if isinstance(one, PayoutRule) else read_rules(str(one)) for one in rules]
    every = [one for few in lists for one in few]
    if factor is not None and all(one.factor is not None for one in every):
        raise ValueError("factor: no rule is given that leaves it to the round")
    folder, found = as_path("output", output), as_path("results", results)
    progress = progress_of(progress)
    limits = Definitions() if definitions is None else definitions
    if not isinstance(limits, Definitions):
        raise ValueError(f"definitions must be Definitions, not {as_given(limits)}")
    with reading(str(found)):
        list(found.iterdir())  # a folder that is there, and may be looked into
    with failing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            return _Ledger(folder, every, factor, target).update(found, limits, progress)


class _Ledger:
    """What was taken in: entries by round and day, and the number that each user has."""

    def __init__(self, folder: Path, rules: Sequence[PayoutRule], factor: Any, target: Any) -> None:
        """Read the list, and remove what killed calls have left; the folder is locked."""
        self.folder, self.rules, self.factor, self.target = folder, rules, factor, target
        self.entries: dict[tuple[str, str], dict[str, Any]] = {}
        self.users: dict[str, int] = {}
        own = {id(of): None if of and of.factor is not None else factor for of in (None, *rules)}
        told = {id(of): [target, str(own[id(of)]), of and of.as_dict()] for of in (None, *rules)}
        # of each rule: what the rows of its rounds depend on, besides their results
        self._keys = {of: sha256(repr(key).encode()).hexdigest()[:16] for of, key in told.items()}
        self.path = folder / "season" / "ledger.txt"
        known = self.path.exists()
        names = [] if known else [file.name for _, file in _files(folder)]
        if foreign := [name for name in names if not _LEFT.fullmatch(name)]:
            raise RoundError("output-foreign", f"{str(folder)!a} holds {shown(foreign)}")
        self.path.parent.mkdir(exist_ok=True)
        lines = self.path.read_bytes().splitlines(keepends=True) if known else []
        for at, line in enumerate(lines, 1):
            if line == _line(text := line[9:].rstrip(b"\n")):
                self._take(json.loads(text))
            elif at < len(lines):  # the last line may be one that a killed call has begun
                remedy = "remove the whole folder: the results make it again"
                raise RoundError("file-damaged", f"{self.path}, line {at}; {remedy}")
        kept = [{"users": list(self.users)}, *self.entries.values()]
        if not lines or not lines[-1].endswith(b"\n") or len(lines) > 2 * len(kept):
            write_file(self.path, b"".join(_line(json.dumps(line).encode()) for line in kept))
        arrays, self.sizes = {self._array(one) for one in self.rounds()}, dict[str, int]()
        for path, entry in _files(folder):
            if (path.endswith(".i64") and path not in arrays) or _LEFT.fullmatch(entry.name):
                Path(entry.path).unlink()
            else:
                self.sizes[path] = entry.stat().st_size

    def _add(self, line: dict[str, Any]) -> None:
        with self.path.open("ab", buffering=0) as file:
            file.write(_line(json.dumps(line).encode()))
            os.fsync(file.fileno())
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        if "round" in line:
            self.entries[line["round"], line["day"]] = line
        else:
            self.users |= {name: len(self.users) + at for at, name in enumerate(line["users"])}

    def rounds(self) -> list[dict[str, Any]]:
        """Return the entry of each round's last day: by number, then those without one."""
        last = {name: self.entries[name, day] for name, day in sorted(self.entries)}.values()
        return sorted(last, key=lambda of: (of["number"] is None, of["number"], of["round"]))

    def _rows(self, entry: Any) -> str:
        """Return where in the folder the rows of an entry lie."""
        return f"history/{_safe(entry['round'])}/{entry['day'] or 'undated'}.parquet"

    def _array(self, entry: Any) -> str:
        return f"season/{entry['array']}"

    def _read(self, entry: Any) -> Integers:
        path, count = self.folder / self._array(entry), FIRST + len(entry["columns"])
        rows = np.fromfile(path, "<i8") if path.exists() else np.zeros(0, "<i8")
        if rows.size != count * entry["width"] or int(rows.sum()) != entry["sum"]:
            remedy = "remove it, and the next call makes it again from its result"
            raise RoundError("file-damaged", f"{path}; {remedy}")
        return rows.reshape(count, entry["width"])

    def update(self, results: Path, rules: Definitions, progress: Progress) -> Season:
        """Take in what is new or has changed, then write leaderboard and page."""
        known = {(one["of"], one["receipt"]): one for one in self.entries.values()}
        last = {one["round"]: one for one in self.rounds()}
        failed: dict[str, RoundError] = {}
        found, added, unchanged = list(_results(results)), 0, 0
        there, newest = {of for _, of in found}, dict[str, str]()
        for done, (folder, of) in enumerate(found, 1):
            try:
                sha = read_source(folder / RECEIPT).sha256
                if (one := known.get((of, sha))) and self._is_there(one, last[one["round"]]):
                    unchanged += 1
                else:
                    self._take_in(folder, of, sha, there)
                    added += 1
                newest[of] = sha
            except RoundError as error:
                if error.code == "output-failed":
                    raise
                failed[os.path.relpath(folder, results)] = error
            progress("history", done, len(found))
        if not (rounds := self.rounds()):
            raise next(iter(failed.values()), ValueError(f"{results}: no result of a round"))
        counts = {one["of"]: one["receipt"] for one in rounds}
        older = [of for of, sha in newest.items() if sha != counts.get(of)]
        gone = [one["round"] for one in rounds if one["of"] not in there]
        columns = self._write(results, rules, rounds, failed)
        return Season(rounds, added, unchanged, failed, older, gone, columns)

    def _is_there(self, one: Any, last: Any) -> bool:
        """Return whether the rows of an entry are there as they would be written now."""
        sizes = {self._rows(one): one["bytes"]}
        if one is last:
            sizes[self._array(one)] = 8 * (FIRST + len(one["columns"])) * one.get("width", 0)
        key = self._keys[id(rule_for(self.rules, one["number"]))]
        return one["key"] == key and sizes.items() <= self.sizes.items()

    def _take_in(self, folder: Path, of: str, sha: str, there: set[str]) -> None:
        """Write a result's rows, and its array if no later day of the round is known; note it."""
        receipt = read_round_receipt(folder)
        name, number, day = receipt.title or (of, None, None)
        days = {at: one["of"] for (round_, at), one in self.entries.items() if round_ == name}
        if others := there & {*days.values()} - {of}:  # not one that has been renamed
            raise RoundError("receipt-invalid", f"{folder}: {shown(others)} is round {name}, too")
        played = receipt.played or "classic"
        if others := {one["tournament"] for one in self.entries.values()} - {played}:
            raise RoundError("receipt-invalid", f"{folder}: {played}, the history {shown(others)}")
        table, rule = ScoreTable.read(receipt), rule_for(self.rules, number)
        of_rule = self._keys[id(rule)]
        target = self.target or receipt.targets[0]
        if target not in receipt.targets:
            lacking = f"no target {target!a} among {shown(receipt.targets, 10)}"
            raise RoundError("column-unknown", f"{folder}: {lacking}")
        at, faults = receipt.targets.index(target), quarantined_of(receipt)
        paid = rule and table.pay(rule, self.factor, target)
        amounts = [one and one.payout for one in paid.paid] if paid else [None] * len(table.users)
        scores = {key: values[at] for key, values in table.values.items() if key != "mmc_se"}
        entry: dict[str, Any] = {
            "round": name, "number": number, "day": day or "", "of": of, "target": target,
            "tournament": played, "receipt": sha, "key": of_rule,
            "digest": receipt.digests["scores"], "rule": rule and rule.name,
            "partial": receipt.options.get("partial", False), "columns": list(scores),
            "users": len(table.users), "staked": float(table.stakes.sum()),
            "corr": float(np.nan_to_num(receipt.full_meta_model_corr[at])),
            "quarantined": len(faults), "faults": [[f.user, f.code] for f in faults[:20]],
            "unpaid": len(paid.unpaid()) if paid else 0,
            "array": f"{_safe(name)} {sha[:16]} {of_rule}.i64",
        } | {key: str(value) for key, value in (paid.totals() if paid else {}).items()}  # fmt: skip
        data = arrow_bytes(row_table(entry, table, at, amounts))
        path = self.folder / self._rows(entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data)
        entry["bytes"] = len(data)
        if entry["day"] >= max(days, default=""):
            if new := [user for user in table.users if user not in self.users]:
                self._add({"users": new})
            own = as_rows(table.ranks[at], table.stakes, amounts, scores.values())
            rows = np.zeros((len(own), len(self.users)), "<i8")
            rows[:, [self.users[user] for user in table.users]] = own
            write_file(self.folder / self._array(entry), rows.tobytes())
            entry |= {"width": len(self.users), "sum": int(rows.sum())}
        self._add(entry)

    def _write(self, results: Path, rules: Definitions, rounds: Any, failed: Any) -> dict[str, Any]:
        """Write leaderboard and page; return the columns of the leaderboard."""
        made = Standings(list(self.users), rounds, rules, self._read)
        columns = made.columns(made.order())
        for format_ in ("parquet", "csv"):
            write_file(self.folder / f"leaderboard.{format_}", TABLES[format_](columns))
        here = Path(os.path.relpath(results, self.folder)).as_posix()
        reports = [f"{one['of']}/{REPORT}" for one in rounds]
        links = [quote(f"{here}/{report}") * (results / report).is_file() for report in reports]
        news = _night(results) + [(place, "failed", str(error)) for place, error in failed.items()]
        page = season_page(made, columns, rounds, self._read, links, news)
        write_file(self.folder / "index.html", page)
        return columns


def _results(results: Path) -> Iterator[tuple[Path, str]]:
    """Yield each result and the name of its folder: kept days first, then what is newest."""
    with os.scandir(results) as entries:
        names = sorted(one.name for one in entries if one.is_dir() and one.name[0] != ".")
    for folder in (results / name for name in names):
        try:
            kept = sorted((folder / DAYS).iterdir()) if (folder / DAYS).is_dir() else []
            days, newest = [day for day in kept if (day / RECEIPT).is_file()], folder / RECEIPT
            last = [(day / RECEIPT).read_bytes() for day in days[-1:]]
            if newest.is_file() and not (last and newest.read_bytes() in last):
                days.append(folder)
        except OSError:  # whoever reads it, says why
            days = [folder]
        yield from ((day, folder.name) for day in days)


def _files(folder: str | Path, place: str = "") -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Yield where in a folder each of its files lies, those of its folders too, and the file."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{place}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, f"{name}/")
            else:
                yield name, entry


def _line(text: bytes) -> bytes:
    """Return a line of the ledger: its checksum and its text."""
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _night(results: Path) -> list[tuple[str, str, str]]:
    """Return round, state and why, of the last night; nothing where that is not known."""
    with suppress(*UNFIT):
        found = json.loads(read_source(results / NIGHT).data)["rounds"]
        return [(str(one["round"]), str(one["state"]), str(one["detail"])) for one in found]
    return []


def _safe(name: str) -> str:
    """Return a round's name as that of a file; readers of data sets pass over "_x" and ".x"."""
    text = re.sub("^[_.]", lambda found: f"%{ord(found[0]):02X}", quote(name, safe=" "))
    short = f"{text[:99]} {sha256(name.encode()).hexdigest()[:16]}"
    return short if len(text) > 150 else text or "%"
