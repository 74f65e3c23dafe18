"""Predictions, meta model and benchmarks in files and frames of their own, joined to the data."""

import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from mmc_gpu.engines.arrays import on_host
from mmc_gpu.eras.columns import USUAL_IDS, EraSource, column_of_ids
from mmc_gpu.eras.frames import FrameEras
from mmc_gpu.eras.joined import Added, JoinedEras
from mmc_gpu.errors import RoundError, as_text, counted, shown
from mmc_gpu.files.eras import entries_of, open_eras
from mmc_gpu.files.formats.places import exists
from mmc_gpu.files.formats.source import read_source, reading
from mmc_gpu.files.formats.table import split_suffix
from mmc_gpu.files.rounds.tournaments import DATES, IDS, TEXT
from mmc_gpu.inputs.beside import beside
from mmc_gpu.inputs.columns import holds_floats
from mmc_gpu.inputs.frames import is_frame, is_pandas, take_array
from mmc_gpu.inputs.names import listed

_PREDICTIONS = ("prediction", "probability", "signal", "prediction_kazutsugi")
"""Columns that say nothing of whose predictions they are."""

_IDS = (*IDS["signals"], *IDS["crypto"])
_ERAS = ("era", *DATES)


class Joined(NamedTuple):
    """The data with all that is joined to it."""

    source: EraSource  # the data
    # models, meta_model, benchmarks and features as `evaluate` has them, but names of columns only
    columns: dict[str, Any]
    inputs: list[dict[str, Any]]  # file, bytes, sha256 and role of every other file than the first


class _Given(NamedTuple):
    """One file or frame: what it is for, its name, if the caller gave it one, and the data."""

    role: str
    name: str | None
    data: Any  # a path; or text, which is the name of a column of the first file; or a frame


def join(
    base: EraSource,
    era: Any,
    ids: Any,
    predictions: Any,
    models: Sequence[Any] | None,
    meta_model: Any,
    benchmarks: Any,
    features: Any,
    feature_set: str | None,
) -> Joined:
    """Return the data with the files and frames that the arguments of `evaluate` name.

    Raises:
        RoundError: a file cannot be read, shares few ids with the data, has no column of
            predictions; there is no such feature set; or two models have the same name.
        ValueError: a feature set without its file.
    """
    inputs: list[dict[str, Any]] = []
    sets: list[dict[str, Any]] = []
    if isinstance(features, str) and _columns_of(features, base):
        features = [features]
    elif isinstance(features, str | PathLike):
        features, entry = _feature_set(Path(features), feature_set)
        sets.append(entry)
    elif feature_set is not None:
        raise ValueError("feature_set: give the path of a features.json in features=")
    found: dict[str, list[Any]] = {}
    given = _listed("predictions", predictions, base)
    single = benchmarks is None or isinstance(benchmarks, str) or _is_data(benchmarks)
    several = [benchmarks] if single else listed(benchmarks, "benchmarks")
    for role, asked in ("meta_model", [meta_model]), ("benchmarks", several):
        for one in asked:
            if one is not None and _is_column(one, base):
                found.setdefault(role, []).append(one)
            else:
                given += _listed(role, one, base)
    source, files = base, []
    for one in given:
        if isinstance(one.data, str) and one.name in (None, one.data):  # the first file has it
            found.setdefault(one.role, []).append(one.data)
        else:
            files.append(one)
    if files:
        ids = column_of_ids(base, era, ids)
        source = JoinedEras(base, era, ids, _opened(files, base, era, ids, found, inputs))
    metas = found.get("meta_model", [None])
    if len(metas) > 1:
        raise RoundError("column-ambiguous", f"meta_model: columns {shown(metas)}; name one")
    if isinstance(models, str):
        raise ValueError(f"models: give a list of columns, not {models!r}")
    if predictions is not None:
        models = [*listed(models or (), "models"), *found.get("predictions", ())]
    columns = {"models": models, "meta_model": metas[0], "features": features}
    columns["benchmarks"] = found.get("benchmarks", [])
    return Joined(source, columns, inputs + sets)


def _feature_set(path: Path, name: str | None) -> tuple[list[str], dict[str, Any]]:
    """Return the features in a set of Numerai's features.json, and the file as a receipt lists it.

    Raises:
        RoundError: the file cannot be read, has no sets, or none of that name.
    """
    source = read_source(path)
    try:
        sets = json.loads(source.data)["feature_sets"]
        known = {key: [*names] for key, names in sets.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        detail = f"{source.name} has no object feature_sets with lists of names"
        raise RoundError("file-damaged", detail) from error
    if name not in known:
        asked = "name one in feature_set=" if name is None else f"no set {shown([name])}"
        raise RoundError("column-unknown", f"{source.name}: {asked}; there are {shown(known, 9)}")
    return known[name], source.entry(source.path.name) | {"role": "features"}


def _is_data(given: Any) -> bool:
    names = getattr(getattr(given, "dtype", None), "kind", "f") != "f"  # text or integers may be
    table = is_frame(given) or is_pandas(given, "Series") or isinstance(given, Mapping | PathLike)
    return table or (_is_array(given) and not names)


def _is_array(given: Any) -> bool:
    """Return whether data is an array, of whatever type."""
    return getattr(given, "ndim", 0) > 0 and not (is_frame(given) or is_pandas(given, "Series"))


def _is_column(name: Any, base: EraSource) -> bool:
    """Return whether an argument is a column's name or a pattern of names; else it is a file."""
    if not isinstance(name, str) or _columns_of(name, base):
        return not _is_data(name)
    return not (split_suffix(Path(name))[1] or "/" in name or exists(name))


def _columns_of(name: str, base: EraSource) -> list[Any]:
    """Return the columns of the first file that have a name, or that a pattern matches."""
    every = base.names
    return [name] if name in every else [one for one in every if fnmatchcase(as_text(one), name)]


def _place(data: Any, base: EraSource) -> Any:
    """Return text as a path, unless it names a column of the first file; all else as it is."""
    if not isinstance(data, str | PathLike) or data in base.names:
        return data
    path = Path(data)
    if not str(data) or not (split_suffix(path)[1] or exists(path)):
        detail = f"{str(data)!a}: no such file, and no column of {base.place}"
        raise RoundError("file-missing", detail)
    return path


def _listed(role: str, given: Any, base: EraSource) -> list[_Given]:
    """Return files and frames one by one; a pattern stands for all files that it matches."""
    if isinstance(given, Mapping):
        return [_Given(role, as_text(n) or None, _place(one, base)) for n, one in given.items()]
    if isinstance(given, str | PathLike):
        text = str(given)
        if given in base.names or exists(text) or not set("*?[") & set(text):
            return [_Given(role, None, _place(given, base))]
        root = Path(text).anchor
        with reading(text):
            found = sorted(Path(root).glob(text.removeprefix(root)))
        if not found:
            raise RoundError("file-missing", f"{text!a}: no file has such a name")
        return [_Given(role, None, path) for path in found]
    if isinstance(given, list | tuple):
        return [one for part in given for one in _listed(role, part, base)]
    return [] if given is None else [_Given(role, None, given)]


def _opened(
    given: Sequence[_Given],
    base: EraSource,
    era: Any,
    ids: Any,
    found: dict[str, list[Any]],
    inputs: list[dict[str, Any]],
) -> Iterator[Added | dict[Any, Any]]:
    """Yield what is given, opened; add its columns to what is found, and its files to the inputs.

    Raises:
        RoundError: a column or a model of that name is there already.
    """
    owners = {as_text(name): base.place for name in base.names}
    for one in given:
        where = one.role if one.name is None else f"{one.role} {one.name!a}"
        file = None
        if isinstance(one.data, Path):
            where = str(one.data)
            text = [*TEXT, *(str(name) for name in (era, ids) if name is not None)]
            file = open_eras(one.data, None, None, text)
        if _is_array(one.data):
            added: Any = _arrays(one, where, base)
        elif isinstance(one.data, str):
            added = Added(base, era, ids, {one.data: one.name})
        else:
            source = FrameEras(one.data, where, (era, *_ERAS)) if file is None else file
            added = _added(one, source, era, ids)
        for name in added if isinstance(added, dict) else added.names.values():
            if owner := owners.get(as_text(name)):
                detail = f"{owner} and {where} both have a column or a model {shown([name])}"
                raise RoundError("header-duplicate", detail)
            owners[as_text(name)] = where
            found.setdefault(one.role, []).append(name)
        yield added
        inputs += [] if file is None else entries_of(file, one.role)  # hashed while it was read


def _whole(source: EraSource, names: Sequence[Any]) -> list[Any]:
    """Return which columns may be predictions in whole numbers, or in true and false."""
    begin = next(source.pieces(None, None, names)).values if names else ()
    columns = zip(names, begin, strict=True)
    return [name for name, one in columns if holds_floats(one, True) and not beside(name, one)]


def _arrays(given: _Given, where: str, base: EraSource) -> dict[Any, Any]:
    """Return the columns of an array, by name. One on a GPU is copied to the host, once.

    Raises:
        RoundError: it has not as many rows as the data, or holds no numbers.
    """
    array, name = take_array(on_host(given.data), where, 1, 2), given.name or given.role
    if len(array) != base.rows or not array.size:
        detail = f"{where}: shape {array.shape}, and {base.place} has {counted(base.rows, 'row')}"
        raise RoundError("array-shape", detail)
    if array.size == len(array):
        return {name: array.reshape(-1)}
    return {f"{name}_{number}": column for number, column in enumerate(array.T)}


def _added(given: _Given, source: EraSource, era: Any, ids: Any) -> Added:
    """Return what a file adds: its columns of predictions, and what they are called."""
    folded = {as_text(name).strip().lower(): name for name in source.names}

    def first(*names: str) -> Any:
        return next((folded[name] for name in names if name in folded), None)

    own_era = era if era in source.names else first(*_ERAS)
    own_ids = ids if ids in source.names and ids is not None else first(USUAL_IDS)
    if own_ids is None:
        own_ids = first(*_IDS) if source.index is None else source.index
    others = {own_era, own_ids, *source.aside}
    every = [name for name in source.names if name not in others]
    taken = [name for name in every if not as_text(name).startswith(("feature", "target"))]
    floats = [name for name in taken if name in source.floats]
    named = [folded[name] for name in _PREDICTIONS if name in folded]
    if is_pandas(given.data, "Series"):
        taken = [given.data.name]
    elif len(floats) < 2 and (named or (floats and given.role == "meta_model")):
        taken = floats or named
    else:
        whole = _whole(source, [name for name in taken if name not in floats])
        taken = [name for name in taken if name in floats or name in whole]
    if not taken:
        detail = f"{source.place}: no column of predictions among {shown(source.names, 5)}"
        raise RoundError("column-missing", detail)
    name = given.name
    if len(taken) > 1:
        names = {one: one if name is None else f"{name}_{one}" for one in taken}
        return Added(source, own_era, own_ids, names)
    own = taken[0]
    if name is None and isinstance(given.data, Path):
        name = split_suffix(given.data)[0]
    tells = own is not None and as_text(own).strip().lower() not in _PREDICTIONS
    if name is None or (tells and given.name is None and given.role != "predictions"):
        name = given.role if own is None else own
    return Added(source, own_era, own_ids, {own: name})
