"""Where a quarantined user's fault stands: the file in the round, and the line of a CSV file."""

import csv
import math
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from stat import S_ISREG

from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.csv_file import NULLS, csv_rows
from mmc_gpu.files.rounds.folder import RoundFolder, user_of
from mmc_gpu.inputs.columns import written_number
from mmc_gpu.inputs.names import escaped
from mmc_gpu.rounds.round import Quarantined

_LARGEST = 64 * 2**20
"""Bytes of a file that is searched for the line; a submission has 1 MB at most."""

_WRONG: dict[str, Callable[[str, str], bool]] = {
    "prediction-missing": lambda id_, value: value.strip() in NULLS,
    "prediction-infinite": lambda id_, value: math.isinf(_number(value)),
    "prediction-range": lambda id_, value: not 0.0 <= _number(value) <= 1.0,
    "value-text": lambda id_, value: value.strip() not in NULLS and math.isnan(_number(value)),
    "id-null": lambda id_, value: not id_,
    "id-characters": lambda id_, value: not id_.isprintable() or id_ != id_.strip(),
}
"""Whether a row with this id and prediction has the fault, by its code."""


def located(
    faults: Iterable[Quarantined], files: RoundFolder, stakes: Collection[str]
) -> tuple[Quarantined, ...]:
    """Return users' faults with their files and lines; `stakes` has users with a faulty stake."""
    paths = {escaped(user_of(path)): path for path in reversed(files.submissions)}
    paths |= {user_of(path): path for path in reversed(files.submissions)}
    found = []
    for fault in faults:
        staked = fault.user in stakes or fault.code.startswith("stake-")
        path = files.stakes_file if staked else paths.get(fault.user, files.predictions)
        if path is not None:
            line = _line(path, fault, staked)
            fault = fault._replace(file=files.place(path), line=line)
        found.append(fault)
    return tuple(found)


def _line(path: Path, fault: Quarantined, staked: bool) -> int | None:
    """Return the first line that has the fault; None where it is not in one line of a CSV file."""
    try:
        found = path.lstat()  # a pipe, or a link to one, would be waited for
        if path.suffix.lower() != ".csv" or not S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            return None
        (_, header), *rows = csv_rows(path.read_bytes())
        names = [name.strip().lower() for name in header]
        if fault.code == "row-width":
            return next(line for line, row in rows if len(row) != len(header))
        first = names.index("user" if staked else "id")
        if staked:
            return next(line for line, row in rows if row[first] == fault.user)
        if fault.code == "id-duplicate":
            seen: dict[str, int] = {}
            return next(line for line, row in rows if seen.setdefault(row[first], line) != line)
        value, wrong = names.index("prediction"), _WRONG[fault.code]
        return next(line for line, row in rows if wrong(row[first], row[value]))
    except (OSError, RoundError, csv.Error, LookupError, ValueError, StopIteration):
        return None  # the message says what is wrong


def _number(text: str) -> float:
    found = written_number(text)
    return math.nan if found is None else found
