"""Receipts: what a result says of itself, made, read and checked in one place."""

import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.formats.source import read_source
from mmc_gpu.files.rounds.tournaments import Tournament
from mmc_gpu.inputs.options import Missing, OnError
from mmc_gpu.rounds.method import Method, read_method
from mmc_gpu.rounds.title import RoundTitle
from mmc_gpu.version import __version__, version_of

RECEIPT, REPORT, NIGHT = "receipt.json", "report.html", "night.json"

ROUND, EVALUATION = "mmc_gpu receipt 1", "mmc_gpu evaluation 1"
"""The schemas of receipts: of a scored round, of an evaluation."""


def make_receipt(schema: str, run: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a receipt, without the sha256 of the result's files, which `write_result` adds.

    `run` has what was read ("inputs"), and how it was scored ("parameters"); `result` what the
    scores say of themselves.
    """
    return {
        "schema": schema,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **run,
        **result,
        "versions": versions(),
        "files": {},
    }


def versions() -> dict[str, str]:
    """Return the versions of what takes part in a score."""
    found = {"mmc_gpu": __version__, "python": platform.python_version()}
    for package in ("numpy", "scipy", "pyarrow", "numba", "cupy-cuda12x", "cupy-cuda13x"):
        if version := version_of(package):
            found[package] = version
    return found | {"machine": f"{platform.system()} {platform.machine()}"}


@dataclass(frozen=True)
class Receipt:
    """A receipt that has been read and checked; anybody may have written it."""

    folder: Path  # of the result
    said: dict[str, Any]  # all that stands in it, as pages show it
    inputs: list[dict[str, Any]]  # file, bytes and sha256 of each file that was read
    files: dict[str, str]  # the sha256 of each of the result's files
    engine: str  # what computed the scores
    version: str  # of this package, with which they were computed


@dataclass(frozen=True)
class RoundReceipt(Receipt):
    """The receipt of a scored round: T targets, D draws."""

    method: Method
    # how the round was read: missing, on_error; partial and tournament only where they were asked
    options: dict[str, Any]
    title: RoundTitle | None  # what the round is called; None where the receipt does not say it
    digests: dict[str, str]  # of "draws", of "scores", and of "further" ones
    further: list[str]  # the names of the further scores that were asked for
    stocks: int  # how many the round has
    notes: tuple[str, ...]  # what was accepted in spite of its form
    targets: list[str]  # (T,) their names
    meta_model_corr: Floats  # (T, D) each meta model's correlation with each target
    full_meta_model_corr: Floats  # (T,) the correlation of the meta model of all stakers

    @property
    def played(self) -> Tournament | None:
        """Return the tournament, also where it was found from a column of the targets."""
        found = {f"tournament {name}": name for name in get_args(Tournament)}
        told = (found.get(note.partition(",")[0]) for note in self.notes)
        return self.options.get("tournament") or next(filter(None, told), None)

    @property
    def reading(self) -> dict[str, Any]:
        """Return how `read_round` reads the round again."""
        how = {name: value for name, value in self.options.items() if name != "on_error"}
        return how | {"blend": self.method.blend}


def read_round_receipt(folder: Path) -> RoundReceipt:
    """Return the receipt of a scored round.

    Raises:
        RoundError: receipt-invalid: there is none, or it does not fit.
    """
    receipt = read_receipt(folder, (ROUND,))
    assert isinstance(receipt, RoundReceipt)
    return receipt


def read_receipt(folder: Path, schemas: Sequence[str] = (ROUND, EVALUATION)) -> Receipt:
    """Return a result's receipt, of one of these schemas; of a scored round a `RoundReceipt`.

    Raises:
        RoundError: receipt-invalid: there is none, or it does not fit.
    """
    path = folder / RECEIPT
    with refusing(folder):
        if not path.is_file():
            raise RoundError("receipt-invalid", f"{folder}: no {RECEIPT}")
        said = json.loads(read_source(path).data, object_pairs_hook=once)
        json.dumps(said, allow_nan=False)  # NaN is no JSON, but Python reads it
        schema = said.get("schema") if isinstance(said, dict) else None
        if schema not in schemas:
            raise ValueError(f"its schema, {schema!r}, is not one that is read here")
        for name, kind in (("created", str), ("parameters", dict)):
            _entry(said, name, kind)
        for file in _entry(said, "inputs", list):
            _count(file, "bytes")
            for name in ("file", "sha256"):
                _entry(file, name, str)
        files, built = _texts(said, "files"), _texts(said, "versions")
        receipt = Receipt(
            folder, said, said["inputs"], files, _entry(said, "engine", str), built["mmc_gpu"]
        )
        return _of_round(receipt) if schema == ROUND else receipt


def _of_round(receipt: Receipt) -> RoundReceipt:
    said = receipt.said
    parameters = dict(said["parameters"])
    options = {name: parameters.pop(name) for name in _OPTIONS if name in parameters}
    for name in ("missing", "on_error", *options):
        if options[name] not in _OPTIONS[name]:
            raise ValueError(f"{name} {options[name]!r}")
    title, method = said.get("title"), read_method(parameters)
    meta_model = _entry(said, "meta_model", list)
    corrs = [list(map(_number, _entry(entry, "corr_per_draw", list))) for entry in meta_model]
    per_draw = as_floats(corrs)
    if not meta_model or per_draw.shape != (len(meta_model), method.draws):
        raise ValueError(f"{method.draws:,} draws, and 'meta_model' has others")
    for name in ("users", "stakers", "quarantined"):
        _count(said, name)
    notes, further = _entry(said, "notes", list), []
    if "further_scores" in said:
        names = _entry(said, "further_scores", list)
        further = [_entry(names, place, str) for place in range(len(names))]
        if not further:
            raise ValueError("'further_scores' names none")
    digests = ("draws", "scores", "further") if further else ("draws", "scores")
    return RoundReceipt(
        **vars(receipt),
        method=method,
        options=options,
        title=None if title is None else RoundTitle.of(title["round"], title["date"]),
        digests={name: _entry(said, f"{name}_digest", str) for name in digests},
        further=further,
        stocks=_count(said, "stocks"),
        notes=tuple(_entry(notes, place, str) for place in range(len(notes))),
        targets=[_entry(entry, "target", str) for entry in meta_model],
        meta_model_corr=per_draw,
        full_meta_model_corr=as_floats([_number(entry["corr"]) for entry in meta_model]),
    )


_OPTIONS: dict[str, tuple[Any, ...]] = {
    "missing": get_args(Missing),
    "on_error": get_args(OnError),
    "partial": (True, False),
    "tournament": (None, *get_args(Tournament)),
}
"""The options with which rounds are read, and the values that each may have in a receipt."""

_Kind = TypeVar("_Kind")

_WORDS = {str: "text", int: "a whole number", list: "a list", dict: "an object"}


def _entry(found: Any, name: str | int, kind: type[_Kind]) -> _Kind:
    """Return what stands under a name in a receipt, or at a place, checked to be of its kind."""
    value = found[name]
    if type(value) is not kind:  # True is an int
        raise TypeError(f"{name!r} is not {_WORDS[kind]}")
    return value


def _count(found: Any, name: str) -> int:
    value = _entry(found, name, int)
    if not 0 <= value < 2**63:
        raise ValueError(f"{name!r} is no count")
    return value


def _texts(found: Any, name: str) -> dict[str, str]:
    entries = _entry(found, name, dict)
    return {key: _entry(entries, key, str) for key in entries}


def _number(value: Any) -> float:
    """Return a number of a receipt as a float, and null as NaN."""
    if type(value) not in (int, float, type(None)):
        raise TypeError(f"{value!a:.80} is no number")
    return math.nan if value is None else float(value)


def once(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; of a name that stands in it twice, readers would see either."""
    found = dict(entries)
    if len(found) < len(entries):
        raise ValueError(f"a name stands twice in {shown(found)}")
    return found


UNFIT = (LookupError, TypeError, ValueError, ArithmeticError, RecursionError, OSError)
"""What is raised where a file that anybody may have written is not what it should be."""


@contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Turn what a receipt raises that does not fit into a RoundError that names it."""
    try:
        yield
    except RoundError:
        raise
    except UNFIT as error:
        detail = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise RoundError("receipt-invalid", f"{folder / RECEIPT}: {detail}") from error


def as_floats(values: Any) -> Floats:
    """Return numbers as float64, None as NaN."""
    return np.array(values, np.float64)
