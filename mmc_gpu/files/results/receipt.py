"""Receipts: what a result says of itself, made, read and checked in one place."""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.source import read_source
from mmc_gpu.files.rounds.tournaments import Tournament
from mmc_gpu.inputs.options import Missing, OnError
from mmc_gpu.rounds.method import Method, read_method
from mmc_gpu.version import __version__

RECEIPT, REPORT = "receipt.json", "report.html"

ROUND, EVALUATION = "mmc_gpu receipt 1", "mmc_gpu evaluation 1"
"""The schemas of receipts: of a scored round, of an evaluation."""


def make_receipt(
    schema: str, run: Mapping[str, Any], result: Mapping[str, Any], hashes: Mapping[str, str]
) -> dict[str, Any]:
    """Return a receipt.

    Args:
        schema: of the receipt.
        run: what was read ("inputs"), and how it was scored ("parameters").
        result: what the scores say of themselves.
        hashes: the sha256 of each of the result's files.
    """
    return {
        "schema": schema,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **run,
        **result,
        "versions": versions(),
        "files": dict(hashes),
    }


def versions() -> dict[str, str]:
    """Return the versions of what takes part in a score."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"mmc_gpu": __version__, "python": platform.python_version()}
    for package in ("numpy", "scipy", "pyarrow", "numba", "cupy-cuda12x", "cupy-cuda13x"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {"machine": f"{platform.system()} {platform.machine()}"}


@dataclass(frozen=True)
class Receipt:
    """A receipt that has been read and checked; anybody may have written it.

    Attributes:
        folder: of the result.
        said: all that stands in it, as pages show it.
        inputs: the sha256 of each file that was read.
        files: the sha256 of each of the result's files.
        engine: what computed the scores.
    """

    folder: Path
    said: dict[str, Any]
    inputs: dict[str, str]
    files: dict[str, str]
    engine: str


@dataclass(frozen=True)
class RoundReceipt(Receipt):
    """The receipt of a scored round: T targets, D draws.

    Attributes:
        method: the options of the score.
        missing, on_error, tournament: the options with which the round was read.
        digests: of the draws ("draws"), of the scores ("scores"), and of further ones ("further").
        further: the names of the further scores that were asked for.
        stocks: how many the round has.
        notes: what was accepted in spite of its form.
        targets: (T,) their names.
        meta_model_corr: (T, D) each meta model's correlation with each target.
        full_meta_model_corr: (T,) the correlation of the meta model of all stakers.
    """

    method: Method
    missing: Missing
    on_error: OnError
    digests: dict[str, str]
    further: list[str]
    tournament: Tournament | None
    stocks: int
    notes: tuple[str, ...]
    targets: list[str]
    meta_model_corr: Floats
    full_meta_model_corr: Floats


def read_round_receipt(folder: Path) -> RoundReceipt:
    """Return the receipt of a scored round.

    Raises:
        RoundError: receipt-invalid: there is none, or it does not fit.
    """
    receipt = read_receipt(folder, (ROUND,))
    assert isinstance(receipt, RoundReceipt)
    return receipt


def read_receipt(folder: Path, schemas: Sequence[str] = (ROUND, EVALUATION)) -> Receipt:
    """Return a result's receipt; that of a scored round is a `RoundReceipt`.

    Args:
        folder: of the result.
        schemas: the schemas that are accepted.

    Raises:
        RoundError: receipt-invalid: there is none, or it does not fit.
    """
    path = folder / RECEIPT
    if not path.is_file():
        raise RoundError("receipt-invalid", f"{folder}: no {RECEIPT}")
    with refusing(folder):
        said = json.loads(read_source(path).data)
        schema = said.get("schema") if isinstance(said, dict) else None
        if schema not in schemas:
            raise ValueError(f"its schema, {schema!r}, is not one that is read here")
        for name, kind in (("created", str), ("parameters", dict), ("versions", dict)):
            _entry(said, name, kind)
        inputs = {}
        for file in _entry(said, "inputs", list):
            _entry(file, "bytes", int)
            inputs[_entry(file, "file", str)] = _entry(file, "sha256", str)
        files = {name: _entry(said["files"], name, str) for name in _entry(said, "files", dict)}
        receipt = Receipt(folder, said, inputs, files, _entry(said, "engine", str))
        return _of_round(receipt) if schema == ROUND else receipt


def _of_round(receipt: Receipt) -> RoundReceipt:
    said = receipt.said
    options = dict(said["parameters"])
    missing, on_error = options.pop("missing"), options.pop("on_error")
    if missing not in get_args(Missing) or on_error not in get_args(OnError):
        raise ValueError(f"missing {missing!r}, on_error {on_error!r}")
    tournament = options.pop("tournament", None)
    if tournament not in (None, *get_args(Tournament)):
        raise ValueError(f"tournament {tournament!r}")
    method = read_method(options)
    meta_model = _entry(said, "meta_model", list)
    per_draw = as_floats([entry["corr_per_draw"] for entry in meta_model])
    if not meta_model or per_draw.shape != (len(meta_model), method.draws):
        raise ValueError(f"{method.draws:,} draws, and 'meta_model' has others")
    further = _entry(said, "further_scores", list) if "further_scores" in said else []
    digests = ("draws", "scores", "further") if further else ("draws", "scores")
    return RoundReceipt(
        **vars(receipt),
        method=method,
        missing=missing,
        on_error=on_error,
        digests={name: _entry(said, f"{name}_digest", str) for name in digests},
        further=further,
        tournament=tournament,
        stocks=_entry(said, "stocks", int),
        notes=tuple(map(str, _entry(said, "notes", list))),
        targets=[_entry(entry, "target", str) for entry in meta_model],
        meta_model_corr=per_draw,
        full_meta_model_corr=as_floats([entry["corr"] for entry in meta_model]),
    )


_Kind = TypeVar("_Kind")

_WORDS = {str: "text", int: "a whole number", list: "a list", dict: "an object"}


def _entry(found: Any, name: str, kind: type[_Kind]) -> _Kind:
    """Return what stands under a name in a receipt, checked to be of its kind."""
    value = found[name]
    if not isinstance(value, kind):
        raise TypeError(f"{name!r} is not {_WORDS[kind]}")
    return value


@contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Turn what a receipt raises that does not fit into a RoundError that names it."""
    try:
        yield
    except RoundError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        detail = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise RoundError("receipt-invalid", f"{folder / RECEIPT}: {detail}") from error


def as_floats(values: Any) -> Floats:
    """Return numbers as float64, None as NaN."""
    return np.array(values, np.float64)
