"""Every user is scored over the stocks that they predict, whatever the others did.

numerai-tools drops a stock from everybody if one user misses it, and fails for everybody if one
user misses too many. Here users get the score that they would get alone: users without gaps are
scored together, and users with gaps together with those who miss the same stocks.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from mmc_gpu.engines import Engine, load_engine
from mmc_gpu.engines.arrays import Array, Floats, Integers, Numbers, kept_on_gpu, value_count
from mmc_gpu.engines.extremes import extremes
from mmc_gpu.engines.ranked_once import once
from mmc_gpu.errors import RoundError, real
from mmc_gpu.inputs.names import first_ids
from mmc_gpu.metrics.population.cohort import Cohort
from mmc_gpu.metrics.population.panels import Panel, take_panel, take_series

DROPPED = 0.2
"""Share of an input's ids that may go unscored before it counts as another round's:
DEFAULT_MAX_FILTERED_INDEX_RATIO of numerai-tools."""

SEVERAL = {"features", "neutralizers"}  # the inputs that hold more than one series

Faults = dict[Any, RoundError]
"""Why users have no score, by name."""


class Book:
    """Predictions and what they are scored against, on common stocks, ids ascending.

    Attributes:
        panel: the predictions as they came.
        engine: where they are scored.
        columns: (N,) the common stocks' columns in the predictions.
        shared: (K, N) float64 by name, of the same stocks.
        sizes: how many ids each input has.
        dropped: share of an input's ids that may go unscored.
        missed: share of the common stocks that a user may miss; those who miss some are scored by
            themselves.
        faults: why users have no score, by place.
    """

    def __init__(
        self,
        predictions: Any,
        shared: Mapping[str, Any],
        engine: str | Engine,
        dropped: float = DROPPED,
        missed: float | None = None,
        partial: Mapping[str, Any] | None = None,
    ) -> None:
        """Align predictions, a panel or what `take_panel` takes, with what all users share.

        A stock that one of the shared inputs lacks, or has NaN for, is not scored; `partial` ones
        are NaN where they lack a stock. Those of `SEVERAL` are many series, the others one each. By
        default users may miss the share `dropped`.
        """
        self.panel = panel = take_panel(predictions, "predictions")
        self.faults = dict(panel.faults)
        dropped = real("max_filtered_index_ratio", dropped)
        self.dropped, self.missed = dropped, dropped if missed is None else missed
        stocks = panel.matrix.shape[1]
        order = None if panel.is_ordered else panel.order()
        self.sizes, missing, values = {panel.place: stocks}, np.zeros(stocks, bool), {}
        for name, data in {**shared, **(partial or {})}.items():
            other = take_panel(data, name) if name in SEVERAL else take_series(data, name)
            values[name] = aligned(other, panel, order)
            if name in shared:
                missing |= np.isnan(values[name]).any(axis=0)
                self.sizes[name] = other.matrix.shape[1]
        if missing.any():
            order = np.flatnonzero(~missing) if order is None else order[~missing]
            values = {name: series[:, ~missing] for name, series in values.items()}
        there = kept_on_gpu(predictions)
        work = value_count(panel.matrix if there is None else there)
        self.shared, self.engine = values, load_engine(engine, work=work)
        used_there = there is not None and self.engine.name == "gpu"
        self._there = there.T.reshape(panel.matrix.shape) if used_there else None
        self.columns = np.arange(stocks) if order is None else order
        matrix = panel.matrix  # is kept where its id is: so no other array can get that id
        once(self.engine, id(matrix), lambda: matrix)
        self._key = id(matrix), None if order is None else order.tobytes()
        check_common(len(self.columns), self.sizes, dropped)

    def cohorts(self) -> Iterator[Cohort]:
        """Yield all users without gaps, and then a cohort for each set of users with equal gaps."""
        matrix = self.panel.matrix
        users = np.arange(len(matrix))
        columns = None if self._key[1] is None else self.columns
        everybody, gaps = self._cohort(users, matrix, columns, self.columns, self.shared)
        if not everybody.skipped.any():  # nobody's row has to be zeros
            everybody.there = self._there
        if not everybody.skipped.all():
            yield everybody
        groups: dict[bytes, list[int]] = {}
        for row in gaps:
            values = self._row(row)
            present = ~np.isnan(values)
            count = int(present.sum())
            if self._too_few(count) or count / len(present) < 1 - self.missed:
                code = "id-other-round" if self.missed else "prediction-missing"
                self._fail(row, code, f"missing {first_ids(~present, self._ids())}")
            else:
                groups.setdefault(present.tobytes(), []).append(row)
        for key, rows in groups.items():
            present = np.frombuffer(key, bool)
            block = np.stack([self._row(row)[present] for row in rows])
            shared = {name: series[:, present] for name, series in self.shared.items()}
            yield self._cohort(np.array(rows), block, None, self.columns[present], shared, key)[0]

    def score(self, score: Callable[[Cohort], Floats]) -> Floats:
        """Return (U,) scores; NaN for users with a fault.

        `score` returns a cohort's (B,) scores; NaN where there is no spread to correlate.

        Raises:
            RoundError: what is shared by all users cannot be scored against.
        """
        scores = np.full(len(self.panel.names), np.nan)
        for cohort, values in self._results(score):
            scores[cohort.users] = np.where(cohort.skipped, np.nan, values)
        scores[np.isinf(scores)] = np.nan
        for row in np.flatnonzero(np.isnan(scores)).tolist():
            self._fail(row, "score-undefined", "what is compared is constant, or too large")
        return scores

    def scores(self, name: str, score: Callable[[Cohort], Floats], faults: Faults | None) -> Any:
        """Return every user's score in the form in which the predictions came.

        `score` is as for `Book.score`; `faults` gains why users have no score, by name.

        Raises:
            RoundError: as for `score`, and as for `Panel.tell`.
        """
        scores = self.score(score)
        self.tell(faults)
        return self.panel.scores(scores, name)

    def series(self, function: Callable[[Cohort], Floats]) -> Panel:
        """Return the predictions, replaced by what a function makes of each cohort's (B, N) ones.

        NaN for users with a fault, which the panel has too, and for stocks that are not scored.
        """
        series = np.full(self.panel.matrix.shape, np.nan)
        for cohort, values in self._results(function):
            users = np.flatnonzero(~cohort.skipped)
            series[np.ix_(cohort.users[users], cohort.places)] = values[users]
        return replace(self.panel, matrix=series, faults=self.faults, bounds=None)

    def tell(self, faults: Faults | None) -> None:
        """Tell why users have no score; see `Panel.tell`."""
        replace(self.panel, faults=self.faults).tell(faults)

    def _results(self, function: Callable[[Cohort], Floats]) -> Iterator[tuple[Cohort, Floats]]:
        """Yield cohorts and what a function makes of them.

        What the function raises for users with gaps becomes their fault.
        """
        for cohort in self.cohorts():
            device = nullcontext() if cohort.there is None else cohort.there.device
            try:
                with device, np.errstate(over="ignore", invalid="ignore"):
                    found = function(cohort)
                yield cohort, found
            except RoundError as fault:
                if len(cohort.users) == len(self.panel.names):
                    raise
                for row in cohort.users.tolist():
                    self.faults.setdefault(row, fault)

    def _cohort(
        self,
        users: Integers,
        matrix: Array,
        columns: Integers | None,
        places: Integers,
        shared: dict[str, Floats],
        present: bytes = b"",
    ) -> tuple[Cohort, list[int]]:
        """Return a cohort, and which of its users have gaps; note the faults of others."""
        key = self._key, present, users.tobytes()
        least, greatest = once(self.engine, ("bounds", key), lambda: self._bounds(matrix, columns))
        missing = np.isnan(least)
        finite = np.isfinite(least) & np.isfinite(greatest)
        for place in np.flatnonzero(~missing & (~finite | (least == greatest))).tolist():
            row = int(users[place])
            if finite[place]:
                self._fail(row, "prediction-constant", f"all predictions are {least[place]!s}")
            else:
                infinite = first_ids(np.isinf(self._row(row)), self._ids())
                self._fail(row, "prediction-infinite", f"infinite {infinite}")
        faulty = np.isin(users, list(self.faults)) if self.faults else np.zeros(len(users), bool)
        gaps = users[missing & ~faulty].tolist()
        skipped = missing | faulty
        of = (key, skipped.tobytes())
        cohort = Cohort(self.engine, users, matrix, columns, places, shared, skipped, of)
        return cohort, gaps

    def _bounds(self, matrix: Array, columns: Integers | None) -> tuple[Floats, Floats]:
        known = self.panel.bounds
        if known is not None and columns is None and matrix is self.panel.matrix:
            return known[0], known[1]
        return extremes(matrix, columns)

    def _fail(self, row: int, code: str, detail: str) -> None:
        self.faults.setdefault(row, self.panel.fault(row, code, detail))

    def _too_few(self, stocks: int) -> bool:
        sizes = self.sizes.values()
        return not stocks or any(stocks / size < 1 - self.dropped for size in sizes)

    def _row(self, row: int) -> Numbers:
        return self.panel.matrix[row][self.columns]

    def _ids(self) -> list[str] | None:
        ids = self.panel.ids
        return None if ids is None else [str(id_) for id_ in ids[self.columns]]


def check_common(common: int, sizes: Mapping[str, int], dropped: float = DROPPED) -> None:
    """Raise RoundError where the common ids are too few of those that an input has, by name.

    The share `dropped` of an input's ids may be missing elsewhere.
    """
    for name, size in sizes.items():
        if not common or not size or common / size < 1 - dropped:
            found = f"{common:,} of {size:,} ids are common to {', '.join(sizes)}"
            raise RoundError("id-other-round", f"{name}: {found}")


def aligned(other: Panel, panel: Panel, order: Integers | None = None) -> Floats:
    """Return an input's series over the ids of the predictions, float64; NaN where it lacks one.

    An array without ids stands as the predictions do. Columns are put in an `order`, if there is
    one.
    """
    other.check()
    if infinite := np.count_nonzero(np.isinf(other.matrix)):
        raise RoundError("series-infinite", f"{other.place}: {infinite:,} values")
    in_order = other.ids is None and other.matrix.shape[1] == panel.matrix.shape[1]
    series = np.asarray(other.matrix if in_order else other.over(panel), np.float64)
    # in Fortran order, as chosen columns are: the last bits of BLAS's products depend on it
    return np.asfortranarray(series) if order is None else series[:, order]
