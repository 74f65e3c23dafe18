"""Data over eras: what each column is read as, and in which order eras come."""

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from mmc_gpu.engines.arrays import Integers, Numbers
from mmc_gpu.errors import RoundError, as_given, as_text, shown, type_of
from mmc_gpu.inputs.columns import as_fault
from mmc_gpu.inputs.frames import is_frame
from mmc_gpu.inputs.names import LONGEST_NAME, as_user, check_names, is_null, listed
from mmc_gpu.rounds.stakes import check_stakes, list_stakes

Label = str | int
"""An era's name; a date becomes its ISO text."""

USUAL_IDS = "id"  # the column of ids, where the caller names none


@dataclass(frozen=True)
class Columns:
    """The names of the columns that are read, by what they hold."""

    era: Any  # the era of every row
    ids: Any  # the stocks' ids; None where the index holds them, or nothing does
    # the targets; none where predictions are only compared with each other
    targets: tuple[Any, ...]
    meta_model: Any  # the meta model's predictions, or None
    benchmarks: tuple[Any, ...]  # the benchmark models' predictions
    features: tuple[Any, ...]  # the features, in the order in which they were asked for
    models: tuple[Any, ...]  # the predictions that get scores, benchmarks among them
    fill: bool = False  # whether missing predictions are filled; see `ranked_and_filled`
    # NMR at stake behind each benchmark; none where their mean is that of their ranks
    stakes: tuple[float, ...] = ()

    def staked(self, stakes: Any) -> "Columns":
        """Return the columns with stakes behind the benchmarks, as `stake_weight` takes them.

        Raises:
            RoundError: a benchmark has no stake, nobody has one, or a stake is faulty.
        """
        found = check_stakes(*list_stakes(stakes, self.benchmarks, "benchmark_stakes"))
        for fault in found.faults.values():
            raise fault
        if odd := found.values.keys() ^ set(self.benchmarks):
            detail = f"benchmark_stakes: {shown(sorted(odd, key=str))}: one for each benchmark"
            raise RoundError("column-unknown", detail)
        if not any(found.values.values()):
            raise RoundError("stake-none", "benchmark_stakes: all are 0")
        return replace(self, stakes=tuple(found.values[name] for name in self.benchmarks))

    @property
    def given(self) -> dict[str, tuple[Any, ...]]:
        """Return the columns that a metric may need, by `Need`, without needs that have none."""
        meta_model = () if self.meta_model is None else (self.meta_model,)
        given = {"target": self.targets, "meta_model": meta_model}
        given |= {"benchmarks": self.benchmarks, "features": self.features}
        return {need: names for need, names in given.items() if names}

    def work(self, rows: int) -> float:
        """Return the work of so many rows, for `load_engine`; a round's takes half of the time."""
        return 2.0 * rows * len(self.models)

    @property
    def numeric(self) -> list[Any]:
        """Return every column of numbers, each once."""
        return list(self.places)

    @cached_property
    def places(self) -> dict[Any, int]:
        """Return the place of each of `numeric`."""
        names = dict.fromkeys(chain(*self.given.values(), self.models))
        return {name: place for place, name in enumerate(names)}


@dataclass(frozen=True, eq=False)
class EraRows:
    """One era's rows, in the order in which the data has them."""

    label: Label  # the era's name
    ids: Any  # (N,) the stocks' ids, of pandas, or None
    # (columns, N) the values of `Columns.numeric`, float32 or float64; NaN where missing
    matrix: Numbers
    places: Integers | slice  # which rows of the data these are, for `values[places]`
    # why columns have no values that could be scored, by name
    faults: dict[Any, RoundError] = field(default_factory=dict)


class Piece(NamedTuple):
    """Some rows of the data as they stand there, their columns as pandas or Arrow have them."""

    ids: Any  # (R,) the stocks' ids; None where there are none
    eras: Any  # (R,) the eras; None where they were not asked for
    values: list[Any]  # the columns that were asked for


@runtime_checkable
class EraSource(Protocol):
    """Data over eras, in memory or on disk."""

    place: str  # what errors call the data
    notes: Sequence[str]  # what was left out of the data, and what was chosen
    rows: int  # how many there are
    names: list[Any]  # the names of all columns
    floats: list[Any]  # the names of the columns of floating-point numbers
    # the name of the column that holds the ids where none is called `id`: pandas' index, or one
    # without a name; or None
    index: Any
    # what those of `floats` hold that stand beside the data, by name; see `beside`
    aside: dict[Any, str]

    def labels(self, era: Any) -> list[Label]:
        """Return the eras in ascending order.

        Raises:
            RoundError: era-missing, era-type; era-order, if the source reads sorted data only.
        """
        ...

    def eras(self, columns: Columns, chosen: slice = slice(None)) -> Iterator[EraRows]:
        """Yield the rows of each of the chosen eras, in the order of the labels."""
        ...

    def pieces(self, era: Any, ids: Any, names: Sequence[Any]) -> Iterator[Piece]:
        """Yield all rows as they stand, some at a time; where ids is None, pandas' index has them.

        Eras are yielded unless `era` is None.
        """
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
    """Return the columns that the caller asks for; see `evaluate`, with names and patterns only.

    If the data has no column "id", "id" is taken as None. Where ids is None, pandas' index has the
    ids, if there is one. By default no model stands beside the data, as `source.aside` tells it.

    Raises:
        RoundError: a column is not there, or there are no models.
        ValueError: era is None; or one column is wanted, and several are named, or the reverse.
    """
    ids = column_of_ids(source, era, ids, meta_model)
    several = isinstance(target, tuple) and target not in source.names
    if isinstance(target, Hashable) and not several:
        target = [] if target in (None, "") else [target]
    targets = _expanded("target", target, source)
    benchmarks = _expanded("benchmarks", benchmarks, source)
    features = _expanded("features", features, source)
    if models is None:
        taken = {era, ids, meta_model, *targets, *benchmarks, *features}
        others = (name for name in source.floats if name not in {*taken, *source.aside})
        models = [name for name in others if not as_text(name).startswith(("feature", "target"))]
    else:
        models = _expanded("models", models, source)
    models = tuple(dict.fromkeys([*models, *benchmarks]))
    if not models:
        raise RoundError("column-missing", f"{source.place}: no column of a model's predictions")
    if odd := {era, ids, *targets} & set(models):
        detail = f"{source.place}: {shown(sorted(odd, key=str))} is no model's predictions"
        raise RoundError("column-ambiguous", detail)
    columns = Columns(era, ids, targets, meta_model, benchmarks, features, models)
    check_names(columns.numeric, source.place)
    return columns


def column_of_ids(source: EraSource, era: Any, ids: Any, meta_model: Any = None) -> Any:
    """Return the column of the ids; None if pandas' index has them, or nothing does.

    Raises:
        RoundError, ValueError: as of `choose_columns`, for one of the columns that are given.
    """
    single = {"era": era, "meta_model": meta_model, "ids": ids}
    for argument, name in single.items():
        if not isinstance(name, Hashable):  # pandas' names may be tuples
            raise ValueError(f"{argument}: name one column, not a value {type_of(name)}")
    if ids not in source.names and ids in (None, USUAL_IDS):
        single["ids"] = ids = source.index
    if era is None:
        raise ValueError("era: name the column that has every row's era")
    for argument, name in single.items():
        if name is not None and name not in source.names:
            error = _unknown(name, source)
            alone = "; predictions alone go to predictions= (--predictions), beside data with eras"
            error.detail += alone * (argument == "era")
            raise error
    return ids


def _expanded(argument: str, wanted: Sequence[Any], source: EraSource) -> tuple[Any, ...]:
    if isinstance(wanted, str) or is_frame(wanted):
        raise ValueError(f"{argument}: give a list of columns, not {as_given(wanted)}")
    names, found = source.names, []
    known = set(names)
    for name in listed(wanted, argument):
        if not isinstance(name, Hashable):
            raise ValueError(f"{argument}: a value {type_of(name)} is no name of a column")
        pattern = as_text(name)
        alike = [name] if name in known else [n for n in names if fnmatchcase(as_text(n), pattern)]
        if not alike:
            raise _unknown(name, source)
        found += alike
    return tuple(dict.fromkeys(found))


def _unknown(name: Any, source: EraSource) -> RoundError:
    if as_text(name).endswith(".json"):
        detail = f"{shown([name])}: features.json stands in features=, with feature_set="
        return RoundError("column-unknown", f"{detail} (--features, --feature-set)")
    nearest = get_close_matches(as_text(name), map(as_text, source.names))
    hint = f"; nearest {shown(nearest)}" if nearest else f" among {shown(source.names, 5)}"
    return RoundError("column-unknown", f"{source.place}: no column {shown([name])}{hint}")


def as_pandas(column: Any) -> Any:
    """Return a column of Arrow as pandas'; one of pandas as it is, bytes in the machine's order."""
    if hasattr(column, "to_pylist"):
        column.validate(full=True)  # pandas would find at each use of a text that it is no UTF-8
        return column.to_pandas()
    foreign = isinstance(column.dtype, np.dtype) and not column.dtype.isnative  # pandas takes none
    return column.astype(column.dtype.newbyteorder("=")) if foreign else column


def numbered(column: Any, place: str) -> tuple[Integers, list[Label]]:
    """Return the number of each row's era, -1 where it is missing, and the eras by number."""
    import pandas as pd

    with as_fault("era-type", place):
        codes, values = pd.factorize(as_pandas(column))
    return codes, [era_label(value, place) for value in values]


def as_labels(ids: Any, place: str) -> Any:
    """Return ids as an Index of pandas: text as it is, which costs a tenth of its objects."""
    import pandas as pd

    with as_fault("id-type", place):
        ids = as_pandas(ids)
    labels = ids if ids.dtype == "str" else np.asarray(ids)
    return pd.Index(labels, dtype=labels.dtype)  # objects stay: not all text is Arrow's


def era_label(value: Any, place: str) -> Label:
    """Return an era's name: text, a whole number, or the ISO text of a date.

    Raises:
        RoundError: era-missing, or era-type for a value of another kind.
    """
    name = as_user(value)
    if isinstance(name, str) and len(name) <= LONGEST_NAME:
        return value if isinstance(value, str) else int(value)
    if is_null(value):
        raise RoundError("era-missing", f"{place}: a row has no era")
    if isinstance(value, float) and value.is_integer():  # pandas makes floats of integers
        return int(value)
    if isinstance(value, date):  # a datetime is a date
        return value.isoformat().removesuffix("T00:00:00")
    raise RoundError("era-type", f"{place}: the era {shown([as_text(value)])} {type_of(value)}")


def era_order(label: Label) -> list[Any]:
    """Return the key that sorts eras; numbers in text sort as numbers, era9 before era10."""
    if isinstance(label, int):
        return ["", label, ""]
    parts: list[Any] = re.split(r"(\d+)", str(label))
    parts[1::2] = map(int, parts[1::2])
    return parts
