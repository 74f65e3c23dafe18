"""Every user scored over the stocks that he predicts, whatever the others did.

numerai-tools drops a stock from everybody if one user misses it, and fails for everybody if one
user misses too many. Here a user's score is the one that he would get alone: users without gaps
are scored together, those with gaps together with whoever misses the same stocks.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mmc_gpu.engines import Engine, load_engine
from mmc_gpu.engines.arrays import Array, Floats, Integers, Numbers
from mmc_gpu.engines.extremes import extremes
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.inputs.names import first_ids
from mmc_gpu.metrics.population.panels import Panel, take_panel
from mmc_gpu.metrics.population.parts import Part

DROPPED = 0.2
"""Share of an input's ids that may go unscored before it counts as another round's:
DEFAULT_MAX_FILTERED_INDEX_RATIO of numerai-tools."""

Faults = dict[Any, RoundError]
"""Why users have no score, by name."""


@dataclass(eq=False)
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

    panel: Panel
    engine: Engine
    columns: Integers
    shared: dict[str, Floats]
    sizes: dict[str, int]
    dropped: float
    missed: float
    faults: dict[int, RoundError] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        predictions: Any,
        shared: Mapping[str, Any],
        engine: str | Engine,
        dropped: float = DROPPED,
        missed: float | None = None,
        partial: Mapping[str, Any] | None = None,
    ) -> "Book":
        """Return predictions aligned with the inputs that all users share.

        Args:
            predictions: a frame (ids x users), a Series, or an (ids, users) array.
            shared: frames, Series, arrays or panels, by name. A stock that one of them lacks, or
                has NaN for, is not scored.
            engine: its name, or an engine.
            dropped: share of an input's ids that may go unscored.
            missed: share of the common stocks that a user may miss; by default as `dropped`.
            partial: inputs that are NaN where they lack a stock.

        Raises:
            RoundError: the inputs do not fit each other.
        """
        panel = take_panel(predictions, "predictions")
        order = panel.order()
        values, sizes, kept = {}, {panel.place: len(order)}, np.ones(len(order), bool)
        for name, data in {**shared, **(partial or {})}.items():
            other = take_panel(data, name)
            values[name] = aligned(other, panel)[:, order]
            if name in shared:
                kept &= ~np.isnan(values[name]).any(axis=0)
                sizes[name] = other.matrix.shape[1]
        book = cls(
            panel=panel,
            engine=load_engine(engine),
            columns=order[kept],
            shared={name: series[:, kept] for name, series in values.items()},
            sizes=sizes,
            dropped=dropped,
            missed=dropped if missed is None else missed,
            faults=dict(panel.faults),
        )
        check_common(len(book.columns), sizes, dropped)
        return book

    def parts(self) -> Iterator[Part]:
        """Yield the users without gaps, and then those with the same gaps, group by group."""
        matrix = self.panel.matrix
        users = np.arange(len(matrix))
        everybody, gaps = self._part(users, matrix, self.columns, self.columns, self.shared)
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
        for present_bytes, rows in groups.items():
            present = np.frombuffer(present_bytes, bool)
            block = np.stack([self._row(row)[present] for row in rows])
            shared = {name: series[:, present] for name, series in self.shared.items()}
            yield self._part(np.array(rows), block, None, self.columns[present], shared)[0]

    def score(self, score: Callable[[Part], Floats]) -> Floats:
        """Return (U,) scores; NaN for users with a fault.

        Args:
            score: returns a part's (B,) scores; NaN where there is no spread to correlate.

        Raises:
            RoundError: what is shared by all users cannot be scored against.
        """
        scores = np.full(len(self.panel.names), np.nan)
        for part, values in self._results(score):
            scores[part.users] = np.where(part.skipped, np.nan, values)
        for row in np.flatnonzero(np.isnan(scores)).tolist():
            self._fail(row, "score-undefined", "nothing varies in what is to be compared")
        return scores

    def series(self, function: Callable[[Part], Floats]) -> Panel:
        """Return what a function makes of each part's (B, N) predictions, in place of these.

        NaN for users with a fault, which goes with them, and for stocks that are not scored.
        """
        series = np.full(self.panel.matrix.shape, np.nan)
        for part, values in self._results(function):
            users = np.flatnonzero(~part.skipped)
            series[np.ix_(part.users[users], part.places)] = values[users]
        return replace(self.panel, matrix=series, faults=self.faults)

    def report(self, faults: Faults | None) -> None:
        """Tell why users have no score; see `Panel.report`."""
        replace(self.panel, faults=self.faults).report(faults)

    def _results(self, function: Callable[[Part], Floats]) -> Iterator[tuple[Part, Floats]]:
        """Yield parts and what a function makes of them; what it raises concerns gaps only."""
        for part in self.parts():
            try:
                yield part, function(part)
            except RoundError as fault:
                if len(part.users) == len(self.panel.names):
                    raise
                for row in part.users.tolist():
                    self.faults.setdefault(row, fault)

    def _part(
        self,
        users: Integers,
        matrix: Array,
        columns: Integers | None,
        places: Integers,
        shared: dict[str, Floats],
    ) -> tuple[Part, list[int]]:
        """Return a part, and which of its users have gaps; note the faults of others."""
        if columns is not None and np.array_equal(columns, np.arange(matrix.shape[1])):
            columns = None
        least, greatest = extremes(matrix, columns)
        missing = np.isnan(least)
        finite = np.isfinite(least) & np.isfinite(greatest)
        for place in np.flatnonzero(~missing & (~finite | (least == greatest))).tolist():
            if finite[place]:
                detail = f"all predictions are {least[place]!s}"
                self._fail(int(users[place]), "prediction-constant", detail)
            else:
                row = int(users[place])
                infinite = first_ids(np.isinf(self._row(row)), self._ids())
                self._fail(row, "prediction-infinite", f"infinite {infinite}")
        faulty = np.array([user in self.faults for user in users.tolist()], bool)
        gaps = users[missing & ~faulty].tolist()
        part = Part(self.engine, users, matrix, columns, places, shared, missing | faulty)
        return part, gaps

    def _fail(self, row: int, code: str, detail: str) -> None:
        if row not in self.faults:
            user = shown([self.panel.names[row]])
            self.faults[row] = RoundError(code, f"user {user}: {detail}")

    def _too_few(self, stocks: int) -> bool:
        sizes = self.sizes.values()
        return not stocks or any(stocks / size < 1 - self.dropped for size in sizes)

    def _row(self, row: int) -> Numbers:
        return self.panel.matrix[row][self.columns]

    def _ids(self) -> list[str] | None:
        ids = self.panel.ids
        return None if ids is None else [str(id_) for id_ in ids[self.columns]]


def score_users(
    name: str,
    predictions: Any,
    shared: Mapping[str, Any],
    score: Callable[[Part], Floats],
    *,
    engine: str | Engine,
    faults: Faults | None,
    dropped: float = DROPPED,
    missed: float | None = None,
    partial: Mapping[str, Any] | None = None,
) -> Any:
    """Return every user's score as the predictions' kind; see `Book` for the arguments.

    Args:
        name: of the score.
        predictions: as they came.
        shared: what they are scored against.
        score: returns a part's (B,) scores.
        engine: its name, or an engine.
        faults: gains why users have no score.
        dropped: share of an input's ids that may go unscored.
        missed: share of the common stocks that a user may miss; by default as `dropped`.
        partial: inputs that are NaN where they lack a stock.
    """
    book = Book.of(predictions, shared, engine, dropped, missed, partial)
    scores = book.score(score)
    book.report(faults)
    return book.panel.scores(scores, name)


def check_common(common: int, sizes: Mapping[str, int], dropped: float = DROPPED) -> None:
    """Raise RoundError where too few of an input's ids are common to all.

    Args:
        common: how many are.
        sizes: how many each input has, by name.
        dropped: share of an input's ids that may be missing elsewhere.
    """
    for name, size in sizes.items():
        if not common or common / size < 1 - dropped:
            found = f"{common:,} of {size:,} ids are common to {', '.join(sizes)}"
            raise RoundError("id-other-round", f"{name}: {found}")


def aligned(other: Panel, panel: Panel) -> Floats:
    """Return an input's series on the ids of the predictions, float64, NaN where it lacks one."""
    other.check()
    matrix = np.asarray(other.matrix, np.float64)
    if np.isinf(matrix).any():
        raise RoundError("series-infinite", f"{other.place}: {np.isinf(matrix).sum():,} values")
    if other.ids is None or panel.ids is None:
        if matrix.shape[1] != panel.matrix.shape[1] or other.ids is not None:
            raise RoundError(
                "array-shape",
                f"{panel.place} have {panel.matrix.shape[1]:,} stocks"
                f" {'without' if panel.ids is None else 'with'} ids, {other.place}"
                f" {matrix.shape[1]:,} {'without' if other.ids is None else 'with'} ids",
            )
        return matrix
    if other.ids.equals(panel.ids):
        return matrix
    places = other.ids.get_indexer(panel.ids)
    return np.where(places < 0, np.nan, matrix[:, places])
