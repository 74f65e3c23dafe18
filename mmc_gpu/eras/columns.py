"""Data over eras: which column plays which part, and in which order eras come."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Protocol, runtime_checkable

import numpy as np

from mmc_gpu.engines.arrays import Numbers
from mmc_gpu.errors import RoundError, shown

Label = str | int
"""An era's name; dates become ISO text."""

USUAL_IDS = "id"
"""The column of ids where none is named."""


@dataclass(frozen=True)
class Columns:
    """Which columns are read, and as what.

    Attributes:
        era: every row's era.
        ids: the stocks'; None where they are the index, or there are none.
        target: what most metrics score against.
        meta_model: of the meta model's predictions.
        benchmarks: of the benchmark models' predictions.
        features: in the data's order.
        models: whose scores are wanted, benchmarks among them.
    """

    era: Any
    ids: Any
    target: Any
    meta_model: Any
    benchmarks: tuple[Any, ...]
    features: tuple[Any, ...]
    models: tuple[Any, ...]

    @property
    def numeric(self) -> list[Any]:
        """Return every column of numbers, once."""
        single = [name for name in (self.target, self.meta_model) if name is not None]
        return list(dict.fromkeys([*single, *self.benchmarks, *self.features, *self.models]))


@dataclass(frozen=True, eq=False)
class EraRows:
    """One era's rows as they came.

    Attributes:
        label: of the era.
        ids: (N,) of the stocks, or None.
        matrix: (columns, N) of `Columns.numeric`, float32 or float64; NaN where missing.
    """

    label: Label
    ids: Any
    matrix: Numbers


@runtime_checkable
class EraSource(Protocol):
    """Data over eras, in memory or on disk.

    Attributes:
        place: what to name in an error.
        names: every column's.
        floats: those of columns of floating-point numbers.
        index: the column that holds pandas' index, or None.
    """

    place: str
    names: list[Any]
    floats: list[Any]
    index: Any

    def labels(self, era: Any) -> list[Label]:
        """Return the eras in ascending order.

        Raises:
            RoundError: era-missing, era-type; era-order where only sorted data can be read.
        """
        ...

    def eras(self, columns: Columns, chosen: slice = slice(None)) -> Iterator[EraRows]:
        """Yield the rows of each of the chosen eras, in the order of the labels."""
        ...


def choose_columns(
    source: EraSource,
    era: Any,
    ids: Any,
    target: Any,
    meta_model: Any,
    benchmarks: Sequence[Any],
    features: Sequence[Any],
    models: Sequence[Any] | None,
) -> Columns:
    """Return the columns that are asked for; names that are none may be patterns (`feature_*`).

    Args:
        source: the data.
        era: name of its column.
        ids: the same; "id" need not be there, then the index has the ids, if there is one; or None.
        target: name, or None.
        meta_model: name, or None.
        benchmarks: names and patterns.
        features: names and patterns.
        models: names and patterns; None for the columns of floating-point numbers that are
            nothing else, and no feature or target by their name.

    Raises:
        RoundError: a column is not there, or there are no models.
    """
    if ids not in source.names and ids in (None, USUAL_IDS):
        ids = source.index
    if era is None:
        raise ValueError("era: name the column that has every row's era")
    for part, name in (("era", era), ("target", target), ("meta_model", meta_model), ("ids", ids)):
        if isinstance(name, list | set):  # pandas' names may be tuples
            raise ValueError(f"{part}: name one column, not {len(name)}")
        if name is not None and name not in source.names:
            raise _unknown(name, source.names, source.place)
    benchmarks, features = (
        _expanded(part, names, source.names, source.place)
        for part, names in (("benchmarks", benchmarks), ("features", features))
    )
    parts = {era, ids, target, meta_model, *benchmarks, *features}
    if models is None:
        others = (name for name in source.floats if name not in parts)
        models = [name for name in others if not str(name).startswith(("feature", "target"))]
    else:
        models = _expanded("models", models, source.names, source.place)
    models = tuple(dict.fromkeys([*models, *benchmarks]))
    if not models:
        raise RoundError("column-missing", f"{source.place}: no column of a model's predictions")
    if odd := {era, ids, target} & set(models):
        detail = f"{source.place}: {shown(sorted(odd, key=str))} is no model's predictions"
        raise RoundError("column-ambiguous", detail)
    return Columns(era, ids, target, meta_model, tuple(benchmarks), tuple(features), models)


def _expanded(part: str, wanted: Sequence[Any], names: Sequence[Any], place: str) -> list[Any]:
    if isinstance(wanted, str):
        raise ValueError(f"{part}: give a list of columns, not {wanted!r}")
    known, found = set(names), []
    for name in wanted:
        alike = [name] if name in known else [n for n in names if fnmatchcase(str(n), str(name))]
        if not alike:
            raise _unknown(name, names, place)
        found += alike
    return list(dict.fromkeys(found))


def _unknown(name: Any, names: Sequence[Any], place: str) -> RoundError:
    nearest = get_close_matches(str(name), map(str, names))
    hint = f"; nearest {shown(nearest)}" if nearest else f" among {shown(names, 5)}"
    return RoundError("column-unknown", f"{place}: no column {shown([name])}{hint}")


def era_label(value: Any, place: str) -> Label:
    """Return an era's name: text, an integer, or a date as ISO text.

    Raises:
        RoundError: it is missing, or something else.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if value is None or value != value:
        raise RoundError("era-missing", f"{place}: a row has no era")
    if isinstance(value, float) and value.is_integer():  # pandas makes floats of integers
        return int(value)
    if isinstance(value, date):  # a datetime is a date
        return value.isoformat().removesuffix("T00:00:00")
    raise RoundError(
        "era-type", f"{place}: the era {shown([str(value)])} of {type(value).__name__}"
    )


def era_order(label: Label) -> list[Any]:
    """Return what eras are sorted by: numbers within text count as numbers, era9 before era10."""
    if isinstance(label, int):
        return ["", label, ""]
    parts: list[Any] = re.split(r"(\d+)", str(label))
    parts[1::2] = map(int, parts[1::2])
    return parts
