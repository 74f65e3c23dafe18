"""Several sums of a block's ranks, which are found row by row and never leave the cache."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers, Numbers, Ranks
from mmc_gpu.engines.cpu.compiled import kernel
from mmc_gpu.engines.cpu.inner import sum_looked_up, sum_space
from mmc_gpu.engines.cpu.moments import multiply
from mmc_gpu.engines.cpu.rank import rank_rows, rank_space
from mmc_gpu.engines.protocol import Ties

_ROWS = 8  # rows ranked at a time: their ranks and a few probes fit the second cache


def _space(wide: Floats, *arrays: Array) -> tuple[Array, ...]:
    values, ranks = np.empty((_ROWS, wide.shape[1])), np.empty((2, _ROWS, wide.shape[1]), np.int32)
    products = np.empty((_ROWS, max(len(arrays[-4]), len(arrays[-2]))))
    columns = np.arange(wide.shape[1], dtype=np.uint32)
    return values, ranks, products, columns, *rank_space(values), *sum_space(arrays[5])


@kernel(
    *("float64[:, ::1]", "float32[:, ::1]", *["float64[:, ::1]"] * 2, *["int64[::1]"] * 2),
    *("float64[:, ::1]", *["float64[:, ::1]", "int64[:, ::1]"] * 2),
    *("float64[:, ::1]", "int32[:, :, ::1]", "float64[:, ::1]", "uint32[::1]"),
    *("uint32[:, ::1]", "float64[::1]", "uint32[::1]", *["float64[:, ::1]"] * 2),
    space=_space,
)
def rank_and_sum(
    wide: Floats,
    narrow: Array,
    tables: Floats,
    probes: Floats,
    ends: Integers,
    kinds: Integers,
    sums: Floats,
    first_limbs: Floats,
    first_moments: Integers,
    average_limbs: Floats,
    average_moments: Integers,
    values: Floats,
    ranks: Ranks,
    products: Floats,
    columns: Array,
    spare: Array,
    reals: Floats,
    counts: Array,
    lanes: Floats,
    strips: Floats,
) -> None:
    """Rank rows, and write what `sum_looked_up` and, for either kind, `multiply` find of the ranks.

    The rows are `wide`, (R, N) finite, or `narrow` where that is (0, N). No moments are written
    where there are no limbs. What follows the moments is space, but for `columns`, see `rank_rows`.
    """
    stocks, uses_first, uses_average = wide.shape[1], len(first_limbs) > 0, len(average_limbs) > 0
    for kind in kinds:
        uses_first, uses_average = uses_first or kind == 0, uses_average or kind == 1
    for start in range(0, len(sums), len(values)):
        stop = min(start + len(values), len(sums))
        rows = values[: stop - start]
        for at in range(len(rows)):
            row = rows[at]
            if len(wide):
                for j in range(stocks):
                    row[j] = wide[start + at, j]
            else:
                for j in range(stocks):
                    row[j] = narrow[start + at, j]
        first = ranks[0][: len(rows) if uses_first else 0]
        average = ranks[1][: len(rows) if uses_average else 0]
        rank_rows(rows, first, average, columns, spare, reals, counts)
        sum_looked_up(first, average, tables, probes, ends, kinds, sums[start:stop], lanes, strips)
        if len(first_limbs):
            multiply(first, first_limbs, first_moments[start:stop], products)
        if len(average_limbs):
            multiply(average, average_limbs, average_moments[start:stop], products)


class Sums:
    """What `Engine.products` returns, as it is written."""

    def __init__(
        self, several: Sequence[tuple[Floats | None, Array, Ties]], shape: tuple[int, int]
    ) -> None:
        """Make room.

        Args:
            several: see `Engine.products`.
            shape: of the block.
        """
        looked_up = [(one, *rest) for one, *rest in several if one is not None]
        self._tables, self._probes = [one[0] for one in looked_up], [one[1] for one in looked_up]
        self.own = any(table.ndim == 2 for table in self._tables)  # whether one is each row's own
        self._kinds = np.array([ties == "average" for *_, ties in looked_up], np.int64)
        self._ends = np.cumsum([0, *(probes.shape[-2] for probes in self._probes)])
        self._sums = np.empty((shape[0], self._ends[-1] + 2 * len(looked_up)))
        self._exact: list[tuple[Floats, Integers]] = []
        for ties in get_args(Ties):
            limbs = [probes for table, probes, own in several if table is None and own == ties]
            together = np.concatenate([np.empty((0, shape[1])), *limbs])
            self._exact.append((together, np.empty((shape[0], len(together) + 1), np.int64)))
        self._shared = None if self.own else self._of(0)

    def write(self, values: Numbers, rows: slice) -> None:
        """Write the sums of some rows; of one, where a table is each row's own."""
        none = np.empty((0, values.shape[1]))
        wide, narrow = (values, none) if values.dtype == np.float64 else (none, values)
        exact = [part for limbs, moments in self._exact for part in (limbs, moments[rows])]
        shared = self._shared or self._of(rows.start)
        narrow = narrow.astype(np.float32, copy=False)
        rank_and_sum(wide, narrow, *shared, self._ends, self._kinds, self._sums[rows], *exact)

    def _of(self, row: int) -> tuple[Floats, Floats]:
        """Return the tables, beside each other, and the probes of a row."""
        if not self._tables:
            return np.empty((1, 0)), np.empty((0, 1))
        tables = [table if table.ndim == 1 else table[row] for table in self._tables]
        probes = [probes if probes.ndim == 2 else probes[row] for probes in self._probes]
        return np.stack(tables, axis=1), np.concatenate(probes).astype(np.float64, copy=False)

    def found(self, several: Sequence[tuple[Floats | None, Array, Ties]]) -> list[Any]:
        """Return the sums of each of the several."""
        found: list[Any] = []
        ends, tables = dict.fromkeys(get_args(Ties), 0), iter(range(len(self._tables)))
        for table, probes, ties in several:
            if table is None:
                start, ends[ties] = ends[ties], ends[ties] + len(probes)
                moments = self._exact[ties == "average"][1]
                found.append(moments[:, [*range(start, ends[ties]), -1]])
            else:
                at = next(tables)
                start, stop = self._ends[at : at + 2] + 2 * at
                found.append(self._sums[:, start : stop + 2])
        return found
