"""Predictions, meta model and benchmarks in files and frames of their own, joined to the data."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from mmc_gpu.eras.columns import USUAL_IDS, EraSource
from mmc_gpu.eras.frames import FrameEras
from mmc_gpu.eras.joined import Added, JoinedEras
from mmc_gpu.errors import RoundError, as_text, shown
from mmc_gpu.files.eras import open_rows
from mmc_gpu.files.formats.table import split_suffix
from mmc_gpu.files.rounds.tournaments import DATES, IDS, TEXT
from mmc_gpu.inputs.frames import is_frame, is_pandas
from mmc_gpu.inputs.names import listed

_PREDICTIONS = ("prediction", "probability", "signal", "prediction_kazutsugi")
"""Columns that say nothing of whose predictions they are."""

_IDS = (USUAL_IDS, *IDS["signals"], *IDS["crypto"])
_ERAS = ("era", *DATES)

_Role = str


class Joined(NamedTuple):
    """The data with all that is joined to it, and the names of its columns by what they hold.

    Attributes:
        source: the data.
        models: the arguments of `evaluate` of these names, as names of columns only.
        meta_model: see `models`.
        benchmarks: see `models`.
        inputs: file, bytes, sha256 and role of every file that was opened here.
    """

    source: EraSource
    models: Sequence[Any] | None
    meta_model: Any
    benchmarks: Sequence[Any]
    inputs: list[dict[str, Any]]


class _Given(NamedTuple):
    """One file or frame: what it is for, its name, if the caller gave it one, and the data."""

    role: _Role
    name: str | None
    data: Any


def join(
    base: EraSource,
    era: Any,
    ids: Any,
    predictions: Any,
    models: Sequence[Any] | None,
    meta_model: Any,
    benchmarks: Any,
) -> Joined:
    """Return the data with the files and frames that the arguments of `evaluate` name.

    Raises:
        RoundError: a file cannot be read, shares few ids with the data, has no column of
            predictions; or two models have the same name.
    """
    columns, given = [], _listed("predictions", predictions)
    meta_model = [] if meta_model is None else [meta_model]
    for role, asked in ("meta_model", meta_model), ("benchmarks", _several(benchmarks)):
        for one in asked:
            if _is_column(one, base):
                columns.append((role, one))
            else:
                given += _listed(role, one)
    if not given:
        own = [name for role, name in columns if role == "benchmarks"]
        return Joined(base, models, meta_model[0] if meta_model else None, own, [])
    found: dict[_Role, list[Any]] = {"predictions": [*(models or ())]}
    for role, name in columns:
        found.setdefault(role, []).append(name)
    ids = base.index if ids not in base.names and ids in (None, USUAL_IDS) else ids
    owners = {as_text(name): base.place for name in base.names}
    added, inputs = [], []
    for one in given:
        source = _opened(one, era, ids)
        inputs += [{**entry, "role": one.role} for entry in getattr(source, "entries", [])]
        where = str(one.data) if isinstance(one.data, Path) else source.place
        taken = _added(one, source, era, ids)
        for name in taken.names.values():
            if owner := owners.get(as_text(name)):
                detail = f"{owner} and {where} both have a column or a model {shown([name])}"
                raise RoundError("header-duplicate", detail)
            owners[as_text(name)] = where
            found.setdefault(one.role, []).append(name)
        added.append(taken)
    if len(several := found.get("meta_model", [])) > 1:
        raise RoundError("column-ambiguous", f"meta_model: columns {shown(several)}; name one")
    source = JoinedEras(base, era, ids, added)
    one_meta = (found.get("meta_model") or [None])[0]
    models = models if predictions is None else found["predictions"]
    return Joined(source, models, one_meta, found.get("benchmarks", []), inputs)


def _several(given: Any) -> list[Any]:
    """Return an argument that may be one thing or a list as a list."""
    if given is None:
        return []
    return [given] if isinstance(given, str) or _is_data(given) else listed(given, "benchmarks")


def _is_data(given: Any) -> bool:
    return isinstance(given, Mapping | PathLike) or is_frame(given) or is_pandas(given, "Series")


def _is_column(name: Any, base: EraSource) -> bool:
    """Return whether an argument is a column's name or a pattern of names; else it is a file."""
    if _is_data(name):
        return False
    if not isinstance(name, str) or name in base.names:
        return True
    if any(fnmatchcase(as_text(one), name) for one in base.names):
        return True
    return not (split_suffix(Path(name))[1] or "/" in name or Path(name).exists())


def _listed(role: _Role, given: Any) -> list[_Given]:
    """Return files and frames one by one; a pattern stands for all files that it matches."""
    if isinstance(given, Mapping):
        return [
            _Given(role, as_text(name), Path(data) if isinstance(data, str | PathLike) else data)
            for name, data in given.items()
        ]
    if isinstance(given, str | PathLike):
        text = str(given)
        if Path(text).exists() or not any(sign in text for sign in "*?["):
            return [_Given(role, None, Path(text))]
        root = Path(text).anchor
        paths = sorted(Path(root).glob(text.removeprefix(root)))
        if not paths:
            raise RoundError("file-missing", f"{text!a}: no file has such a name")
        return [_Given(role, None, path) for path in paths]
    if given is None:
        return []
    if isinstance(given, list | tuple):
        return [one for part in given for one in _listed(role, part)]
    return [_Given(role, None, given)]


def _opened(given: _Given, era: Any, ids: Any) -> EraSource:
    if isinstance(given.data, Path):
        return open_rows(given.data, [*TEXT, *(str(one) for one in (era, ids) if one is not None)])
    place = given.role if given.name is None else f"{given.role} {given.name!a}"
    return FrameEras(given.data, place, (era, *_ERAS))


def _added(given: _Given, source: EraSource, era: Any, ids: Any) -> Added:
    """Return what a file adds: its columns of predictions, and what they are called."""
    folded = {as_text(name).strip().lower(): name for name in source.names}
    own_era = era if era in source.names else _first(folded, _ERAS)
    own_ids = ids if ids in source.names and ids is not None else folded.get(USUAL_IDS)
    if own_ids is None:
        own_ids = source.index if source.index is not None else _first(folded, _IDS)
    aside = {own_era, own_ids, *source.aside}
    taken = [
        name
        for name in source.floats
        if name not in aside and not as_text(name).startswith(("feature", "target"))
    ]
    taken = taken or [folded[name] for name in _PREDICTIONS if name in folded]
    if not taken:
        detail = f"{source.place}: no column of predictions among {shown(source.names, 5)}"
        raise RoundError("column-missing", detail)
    called = given.name
    if called is None and isinstance(given.data, Path):
        called = split_suffix(given.data)[0]
    (first, *others) = taken
    if others:
        prefix = "" if given.name is None else f"{given.name}_"
        return Added(source, own_era, own_ids, {n: f"{prefix}{n}" if prefix else n for n in taken})
    tells = first is not None and as_text(first).strip().lower() not in _PREDICTIONS
    if called is None or (tells and given.name is None and given.role != "predictions"):
        called = first if tells else given.role if first is None else first
    return Added(source, own_era, own_ids, {first: called})


def _first(names: Mapping[str, Any], wanted: Sequence[str]) -> Any:
    return next((names[name] for name in wanted if name in names), None)
