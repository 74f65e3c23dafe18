"""Two eras of the same users, each over the ids that the user predicts in both."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from mmc_gpu.engines import GROUP
from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.metrics.population.book import DROPPED, Faults
from mmc_gpu.metrics.population.panels import take_panel


class TwoEras:
    """Two eras' series of the same users.

    Attributes:
        first: the series of the first era.
        second: those of the second era; rows in the order of the first.
        common: (2, N) columns of the ids that both eras have, ascending.
        faults: why users have no result, by row.
    """

    def __init__(self, s1: Any, s2: Any) -> None:
        """Align the users and ids of two frames, Series or arrays.

        Raises:
            RoundError: the users differ, or there are no ids to align and the shapes differ.
        """
        first, second = take_panel(s1, "s1"), take_panel(s2, "s2")
        if len(first.names) != len(second.names):
            users = f"{len(first.names):,} users, then {len(second.names):,}"
            raise RoundError("array-shape", f"s1 and s2: {users}")
        if len(first.names) > 1:
            rows = {name: row for row, name in enumerate(second.names)}
            strays = [name for name in first.names if name not in rows]
            if strays:
                raise RoundError("column-missing", f"s2: no column for {shown(strays)}")
            second = second.rows(np.array([rows[name] for name in first.names]))
        order = first.order()
        places = second.places_of(first)[order]
        self.first, self.second = first, second
        self.common = np.stack([order, places])[:, places >= 0]
        self.faults = second.faults | first.faults

    def blocks(self) -> Iterator[tuple[Integers, Floats, Floats]]:
        """Yield users, and their (rows, n) series in both eras, over the ids that both have."""
        most = max(panel.matrix.shape[1] for panel in (self.first, self.second))
        for start in range(0, len(self.first.names), GROUP):
            rows = slice(start, start + GROUP)
            first: Floats = self.first.matrix[rows][:, self.common[0]].astype(np.float64)
            second: Floats = self.second.matrix[rows][:, self.common[1]].astype(np.float64)
            present = ~(np.isnan(first) | np.isnan(second))
            groups: dict[bytes, list[int]] = {}
            infinite = (np.isinf(first) | np.isinf(second)).sum(axis=1)
            for row, predicted in enumerate(present.sum(axis=1).tolist()):
                if infinite[row]:
                    self.fail(start + row, "prediction-infinite", "a prediction is infinite")
                elif not predicted or predicted / most < 1 - DROPPED:
                    detail = f"{predicted:,} ids in both eras, {most:,} in one"
                    self.fail(start + row, "id-other-round", detail)
                if start + row not in self.faults:
                    groups.setdefault(present[row].tobytes(), []).append(row)
            for key, users in groups.items():
                places = np.array(users)
                chosen = np.ix_(places, np.flatnonzero(np.frombuffer(key, bool)))
                yield start + places, first[chosen], second[chosen]

    def fail(self, row: int, code: str, detail: str) -> None:
        """Note why a user has no result, unless that is known."""
        self.faults.setdefault(row, self.first.fault(row, code, detail))

    def result(self, values: Floats, name: str, faults: Faults | None) -> Any:
        """Return (U,) results in the kind of the first era; tell why some are NaN."""
        replace(self.first, faults=self.faults).tell(faults)
        return self.first.scores(values, name)
