"""What writes several sums of the same ranks."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers, Ranks
from mmc_gpu.engines.cpu.inner import sum_looked_up
from mmc_gpu.engines.cpu.moments import multiply
from mmc_gpu.engines.protocol import Ties

_Step = tuple[Ties, Callable[[Ranks, slice], None]]
"""Which ranks it takes, and what writes the sums of some rows from their ranks."""


def steps_of(
    several: Sequence[tuple[Floats | None, Array, Ties]], rows: int
) -> tuple[list[Any], list[_Step]]:
    """Return what `Engine.products` returns, and what writes it; one step for all shared tables."""
    found: list[Any] = [None] * len(several)
    steps: list[_Step] = []
    alike: dict[tuple[Ties, int], list[int]] = {}
    for number, (table, probes, ties) in enumerate(several):
        if table is None:
            found[number] = np.empty((rows, len(probes) + 1), np.int64)
            columns = probes.astype(np.float64, order="C")
            steps.append((ties, partial(_multiply, columns, found[number])))
        else:
            alike.setdefault((ties, table.ndim), []).append(number)
    for (ties, axes), numbers in alike.items():
        tables: Any = [several[number][0] for number in numbers]
        each = [several[number][1] for number in numbers]
        ends = np.cumsum([0, *(probes.shape[-2] for probes in each)])
        sums = np.empty((rows, ends[-1] + 2 * len(each)))
        if axes == 1:
            shared = np.stack(tables, axis=1), np.concatenate(each), ends, sums
            steps.append((ties, partial(_look_up, *shared)))
        else:
            steps.append((ties, partial(_look_up_own, tables, each, ends, sums)))
        for at, number in enumerate(numbers):
            found[number] = sums[:, ends[at] + 2 * at : ends[at + 1] + 2 * at + 2]
    return found, steps


def _multiply(probes: Floats, sums: Integers, ranks: Ranks, rows: slice) -> None:
    multiply(ranks, probes, sums[rows])


def _look_up(
    tables: Floats, probes: Floats, ends: Integers, sums: Floats, ranks: Ranks, rows: slice
) -> None:
    sum_looked_up(ranks, tables, probes, ends, sums[rows])


def _look_up_own(
    tables: list[Floats],
    probes: list[Floats],
    ends: Integers,
    sums: Floats,
    ranks: Ranks,
    rows: slice,
) -> None:
    for at, row in enumerate(range(rows.start, rows.stop)):
        table = np.stack([one[row] for one in tables], axis=1)
        own = np.concatenate([one[row] for one in probes])
        sum_looked_up(ranks[at : at + 1], table, own, ends, sums[row : row + 1])
