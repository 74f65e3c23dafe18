"""Series over ids as people bring them (pandas, polars, Arrow, arrays), and results handed back."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from mmc_gpu.engines.arrays import Array, Floats, Integers, on_host
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.columns import gather_columns, numbers
from mmc_gpu.inputs.frames import arrow_table, check_header, named_columns

Kind = Literal["frame", "series", "polars", "array", "vector"]


@dataclass(frozen=True, eq=False)
class Panel:
    """Series over ids: one row a user, feature or target.

    Attributes:
        place: what to name in an error, such as "targets".
        ids: (M,) of the columns; None where the data names none.
        names: (U,) of the rows, as they were given.
        matrix: (U, M) float32 or float64, any strides; NaN where missing.
        kind: what the data was, and what results become.
        faults: what is wrong with the series of a row, by row.
        labels: (U,) the names as pandas has them.
    """

    place: str
    ids: "pd.Index[Any] | None"
    names: list[Any]
    matrix: Array
    kind: Kind
    faults: dict[int, RoundError] = field(default_factory=dict)
    labels: "pd.Index[Any] | None" = None

    def order(self) -> Integers:
        """Return the columns in ascending order of their ids; equal ones as they stand."""
        places = np.arange(self.matrix.shape[1])
        if self.ids is None or self.ids.is_monotonic_increasing:
            return places
        try:
            return np.asarray(pd.Series(places, self.ids).sort_index(kind="stable"), np.int64)
        except TypeError as error:
            raise RoundError("id-type", f"{self.place}: ids have no order ({error})") from error

    def centred(self) -> "Panel":
        """Return one series less its mean over all ids that have a value."""
        values = self.matrix[0].astype(np.float64)
        if np.isnan(values).all():
            raise RoundError("target-missing", f"{self.place}: all {len(values):,} are missing")
        return replace(self, matrix=(values - np.nanmean(values))[None])

    def named_faults(self) -> dict[Any, RoundError]:
        """Return what is wrong, by name."""
        return {self.names[row]: self.faults[row] for row in sorted(self.faults)}

    def report(self, faults: "dict[Any, RoundError] | None") -> None:
        """Tell why series have no result: add it to `faults`, if that is given.

        Raises:
            RoundError: it is not, and the data is one series, whose fault nothing else would tell.
                A score that is undefined is NaN, as in numerai-tools and pandas.
        """
        if faults is not None:
            faults.update(self.named_faults())
        elif self.kind in ("series", "vector"):
            self.check(but="score-undefined")

    def check(self, but: str = "") -> None:
        """Raise the first fault of a series, if there is one with another code than this."""
        for row in sorted(self.faults):
            if self.faults[row].code != but:
                raise self.faults[row]

    def scores(self, values: Floats, name: str) -> Any:
        """Return (U,) scores: an array, a polars frame or a Series; a number for one series."""
        if self.kind in ("series", "vector"):
            return float(values[0])
        if self.kind == "array":
            return values
        if self.kind == "polars":
            import polars as pl

            return pl.DataFrame({"user": [str(user) for user in self.names], name: values})
        return pd.Series(values, index=self.names if self.labels is None else self.labels)

    def rows(self, rows: Integers) -> "Panel":
        """Return the panel of some of the rows, in that order."""
        if np.array_equal(rows, np.arange(len(self.names))):
            return self
        faults = {
            at: self.faults[row] for at, row in enumerate(rows.tolist()) if row in self.faults
        }
        names = [self.names[row] for row in rows.tolist()]
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, names=names, matrix=self.matrix[rows], faults=faults, labels=labels)

    def columns(self, places: Integers) -> "Panel":
        """Return the panel of some of the columns, in that order."""
        ids = None if self.ids is None else self.ids[places]
        return replace(self, ids=ids, matrix=self.matrix[:, places])

    def one_series(self, values: Floats, name: str) -> Any:
        """Return one (M,) series over the panel's ids: array, polars frame, or Series."""
        if self.kind in ("array", "vector"):
            return values
        if self.kind == "polars":
            return self.like(values[None], [name])
        return pd.Series(values, index=self.ids)

    def like(self, matrix: Floats, names: list[Any] | None = None) -> Any:
        """Return (U, M) series in the form in which the panel's came."""
        names = self.names if names is None else names
        if self.kind == "array":
            return matrix.T
        if self.kind == "vector":
            return matrix[0]
        if self.kind == "series":
            return pd.Series(matrix[0], index=self.ids, name=names[0])
        if self.kind == "frame":
            columns = names if self.labels is None else self.labels
            return pd.DataFrame(matrix.T, index=self.ids, columns=columns)
        import polars as pl

        return pl.DataFrame({"id": self.ids, **dict(zip(map(str, names), matrix, strict=True))})


def take_panel(data: Any, place: str, distinct: bool = True) -> Panel:
    """Return the series in a frame (ids x series), a Series, or an (ids, series) or (ids,) array.

    Args:
        data: the series.
        place: what to name in an error.
        distinct: whether ids are looked up, so that none may be null or stand twice.

    Raises:
        RoundError: the header or the ids are faulty, or it holds no numbers.
        TypeError: a polars LazyFrame.
    """
    if isinstance(data, Panel):
        return data
    if type(data).__name__ == "LazyFrame":
        raise TypeError(f"{place}: a LazyFrame, which holds no values yet; give its .collect()")
    if isinstance(data, pd.Series):
        panel = _gathered(place, data.index, [data.name], lambda row: data, "series")
    elif isinstance(data, pd.DataFrame):
        panel = _from_pandas(data, place)
    elif _is_polars_series(data) or not hasattr(data, "__arrow_c_stream__"):
        panel = _from_array(data, place)
    else:
        panel = _from_arrow(data, place)
    if panel.ids is not None and distinct:
        _check_ids(panel.ids, place)
    return panel


def take_series(data: Any, place: str) -> Panel:
    """Return the one series in a Series, a frame of one column, or an (ids,) array.

    Raises:
        RoundError: it is none, or several, or faulty.
    """
    panel = take_panel(data, place)
    if len(panel.names) != 1:
        raise RoundError("array-shape", f"{place}: {len(panel.names):,} series, not 1")
    panel.check()
    return panel


def _is_polars_series(data: Any) -> bool:
    return type(data).__module__.startswith("polars") and type(data).__name__ == "Series"


def _from_pandas(frame: pd.DataFrame, place: str) -> Panel:
    names = list(frame.columns)
    check_header(names, place)
    dtypes = set(frame.dtypes)
    if len(dtypes) == 1 and dtypes <= {np.dtype(np.float32), np.dtype(np.float64)}:
        panel = Panel(place, frame.index, names, frame.to_numpy(copy=False).T, "frame")
    else:
        panel = _gathered(place, frame.index, names, lambda row: frame.iloc[:, row], "frame")
    return replace(panel, labels=frame.columns)


def _from_arrow(data: Any, place: str) -> Panel:
    table = arrow_table(data)
    check_header(table.column_names, place)
    (at,) = named_columns(table.column_names, ("id",), place)
    kind: Kind = "polars" if type(data).__module__.startswith("polars") else "frame"
    ids = pd.Index(table.column(at).to_pylist())
    table = table.drop_columns([table.column_names[at]])
    return _gathered(place, ids, table.column_names, table.column, kind)


def _from_array(data: Any, place: str) -> Panel:
    array = np.asarray(on_host(data))
    if array.ndim not in (1, 2):
        raise RoundError("array-shape", f"{place}: shape {array.shape}, neither 1-D nor 2-D")
    matrix = array.T if array.ndim == 2 else array[None]
    names: list[Any] = list(range(len(matrix)))
    kind: Kind = "array" if array.ndim == 2 else "vector"
    if array.dtype not in (np.float32, np.float64):
        matrix = numbers(matrix.reshape(-1), place).reshape(matrix.shape)
    return Panel(place, None, names, matrix, kind)


def _gathered(
    place: str, ids: Any, names: list[Any], column: Callable[[int], Any], kind: Kind
) -> Panel:
    """Return columns as rows of one matrix: float32 as long as each of them is."""
    faults: dict[int, RoundError] = {}
    labels = [f"{place}: column {shown([name])}" for name in names]
    matrix = gather_columns(labels, len(ids), column, faults)
    return Panel(place, ids, names, matrix, kind, faults)


def _check_ids(ids: "pd.Index[Any]", place: str) -> None:
    levels = ids.codes if isinstance(ids, pd.MultiIndex) else [np.where(ids.isna(), -1, 0)]
    nulls = np.count_nonzero(np.min(levels, axis=0) < 0)
    if nulls:
        raise RoundError("id-null", f"{place}: {nulls:,} ids are null")
    if not ids.is_unique:
        twice = ids[ids.duplicated()].unique()
        raise RoundError("id-duplicate", f"{place}: {len(twice):,} ids twice: {shown(twice)}")
