"""Series over ids as people bring them (pandas, polars, Arrow, arrays), and results handed back.

Ids and names stay pandas' labels, in pandas' order, as numerai-tools has them.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers, Numbers, on_host
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs import frames
from mmc_gpu.inputs.columns import as_fault, gather_columns
from mmc_gpu.inputs.names import check_labels, is_ascending, listed
from mmc_gpu.metrics.population.magnitude import near_one

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["frame", "series", "polars", "array", "vector"]
"""What series come as: a pandas or Arrow frame, a Series, a polars frame, a 2-D or a 1-D array."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Series over ids: one row a user, feature or target."""

    place: str  # what to name in an error, such as "targets"
    ids: "pd.Index[Any] | None"  # (M,) of the columns; None where the data names none
    names: list[Any]  # (U,) of the rows, as they were given
    matrix: Array  # (U, M) float32 or float64, any strides; NaN where missing
    form: Form  # what the series came as, and what results become
    # what is wrong with the series of a row, by row
    faults: dict[int, RoundError] = field(default_factory=dict)
    labels: "pd.Index[Any] | None" = None  # (U,) the names as pandas has them
    # (2, U) the least and the greatest value of each row, NaN where one is missing; None where they
    # are not known yet
    bounds: Floats | None = None

    @cached_property
    def is_ordered(self) -> bool:
        """Return whether the columns stand in ascending order of their ids."""
        ids = self.ids
        return ids is None or is_ascending(ids) or bool(ids.is_monotonic_increasing)

    def order(self) -> Integers:
        """Return the columns in ascending order of their ids; equal ones as they stand."""
        places = np.arange(self.matrix.shape[1])
        if self.ids is None or self.is_ordered:
            return places
        import pandas as pd

        with as_fault("id-type", f"{self.place}: ids have no order"):
            return np.asarray(pd.Series(places, self.ids).sort_index(kind="stable"), np.int64)

    def places_of(self, other: "Panel") -> Integers:
        """Return where another panel's ids stand in this one: (M,), -1 where they do not.

        Without ids, panels of one length have the same stocks in the same order.

        Raises:
            RoundError: one has ids and the other has none, or neither has and the lengths differ.
        """
        if self.ids is not None and other.ids is not None:
            return np.asarray(self.ids.get_indexer(other.ids), np.int64)
        if self.ids is not other.ids or self.matrix.shape[1] != other.matrix.shape[1]:
            sizes = (
                f"{panel.place}: {panel.matrix.shape[1]:,} stocks"
                f" {'without' if panel.ids is None else 'with'} ids"
                for panel in (other, self)
            )
            raise RoundError("array-shape", "; ".join(sizes))
        return np.arange(self.matrix.shape[1])

    def over(self, other: "Panel") -> Numbers:
        """Return (U, M) series over another panel's ids; NaN where one is not here."""
        if self.ids is not None and other.ids is not None and self.ids.equals(other.ids):
            return self.matrix
        places = self.places_of(other)
        if not self.matrix.shape[1]:
            return np.full((len(self.matrix), len(places)), np.nan)
        return np.where(places < 0, np.nan, self.matrix[:, places])

    def centred(self) -> "Panel":
        """Return one series, near 1, less its mean over all ids that have a value."""
        values = self.matrix[0].astype(np.float64)
        if np.isnan(values).all():
            raise RoundError("target-missing", f"{self.place}: all {len(values):,} are missing")
        values = near_one(values)
        return replace(self, matrix=(values - np.nanmean(values))[None], bounds=None)

    def fault(self, row: int, code: str, detail: str) -> RoundError:
        """Return a fault that names the user of a row."""
        return RoundError(code, f"user {shown([self.names[row]])}: {detail}")

    def tell(self, faults: "dict[Any, RoundError] | None") -> None:
        """Tell why series have no result: add it to `faults`, by name, if that is given.

        Raises:
            RoundError: it is not given, and there is one series, whose fault nothing else tells.
                A score that is undefined is NaN, as in numerai-tools and pandas.
        """
        if faults is not None:
            faults.update({self.names[row]: self.faults[row] for row in sorted(self.faults)})
        elif self.form in ("series", "vector"):
            self.check(but="score-undefined")

    def check(self, but: str = "") -> None:
        """Raise the first fault of a series whose code is not `but`, if there is one."""
        for row in sorted(self.faults):
            if self.faults[row].code != but:
                raise self.faults[row]

    def scores(self, values: Floats, name: str) -> Any:
        """Return (U,) scores: an array, a polars frame or a Series; a number for one series."""
        if self.form in ("series", "vector"):
            return float(values[0])
        if self.form == "array":
            return values
        if self.form == "polars":
            users = [str(user) for user in self.names]
            return frames.make_frame({"user": users, name: values}, polars=True)
        import pandas as pd

        return pd.Series(values, index=self.names if self.labels is None else self.labels)

    def rows(self, rows: Integers | slice) -> "Panel":
        """Return the panel of some of the rows, in that order; of a slice, a view."""
        every = np.arange(len(self.names))
        if np.array_equal(every[rows], every):
            return self
        places = every[rows].tolist()
        faults = {at: self.faults[row] for at, row in enumerate(places) if row in self.faults}
        names, matrix = [self.names[row] for row in places], self.matrix[rows]
        labels = None if self.labels is None else self.labels[rows]
        bounds = None if self.bounds is None else self.bounds[:, rows]
        return replace(
            self, names=names, matrix=matrix, faults=faults, labels=labels, bounds=bounds
        )

    def columns(self, places: Integers) -> "Panel":
        """Return the panel of some of the columns, in that order."""
        ids = None if self.ids is None else self.ids[places]
        return replace(self, ids=ids, matrix=self.matrix[:, places], bounds=None)

    def one_series(self, values: Floats, name: str) -> Any:
        """Return one (M,) series over the panel's ids: an array, a polars frame, or a Series."""
        if self.form == "polars":
            return replace(self, names=[name]).like(values[None])
        form: Form = "vector" if self.form in ("array", "vector") else "series"
        return replace(self, form=form, names=[None]).like(values[None])

    def like(self, matrix: Floats) -> Any:
        """Return (U, M) series as what the panel's came as."""
        if self.form == "array":
            return matrix.T
        if self.form == "vector":
            return matrix[0]
        if self.form == "polars":
            columns = {str(name): series for name, series in zip(self.names, matrix, strict=True)}
            return frames.make_frame({"id": self.ids, **columns}, polars=True)
        import pandas as pd

        if self.form == "series":
            return pd.Series(matrix[0], index=self.ids, name=self.names[0])
        names = self.names if self.labels is None else self.labels
        return pd.DataFrame(matrix.T, index=self.ids, columns=names)


def take_panel(data: Any, place: str, distinct: bool = True) -> Panel:
    """Return the series in a frame (ids x series), a Series, or an (ids, series) or (ids,) array.

    A column `id` holds the ids, as in rounds. Pandas' frames may have them in the index instead.

    Args:
        data: the series.
        place: what to name in an error.
        distinct: whether ids are looked up, so that none may be null or stand twice.

    Raises:
        RoundError: the header or the ids are faulty, or an array holds no numbers.
        TypeError: a polars LazyFrame.
    """
    if isinstance(data, Panel):
        return data
    form: Form = "series"
    if not frames.is_pandas(data, "Series"):
        if not frames.is_frame(data):
            return _from_array(data, place)
        form = "polars" if frames.is_polars(data) else "frame"
    frame = frames.take_frame(data, place, empty=True)
    ids = frame.index
    at = None if form == "series" else frames.id_column(frame)
    if at is not None:
        import pandas as pd

        ids, frame = pd.Index(listed(frame.column(at), place)), frame.without(at)
    if distinct:
        check_labels(ids, place)
    faults: dict[int, RoundError] = {}
    matrix = frame.block()
    if matrix is None:
        columns = [f"{place}: column {shown([name])}" for name in frame.names]
        matrix = gather_columns(columns, len(ids), frame.column, faults)
    labels = frame.table.columns if frames.is_pandas(data, "DataFrame") else None
    return Panel(place, ids, frame.names, matrix, form, faults, labels)


def take_series(data: Any, place: str) -> Panel:
    """Return the one series in a Series, a frame of one column, or an (ids,) array.

    Raises:
        RoundError: there is none, or more than one, or it is faulty.
    """
    panel = take_panel(data, place)
    if len(panel.names) != 1:
        raise RoundError("array-shape", f"{place}: {len(panel.names):,} series, not 1")
    panel.check()
    return panel


def _from_array(data: Any, place: str) -> Panel:
    array = on_host(frames.take_array(data, place, 1, 2))
    if array.ndim == 1:
        return Panel(place, None, [0], array[None], "vector")
    return Panel(place, None, list(range(array.shape[1])), array.T, "array")
