"""Ranks through a table, and float64 inner products in the canonical order of `engines.lanes`.

A row of 5,000: 3 us to look up, and 0.7 us a probe, after the 20 us of ranking it (AMD Zen 4).
"""

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers, Ranks
from mmc_gpu.engines.cpu.compiled import kernel, part
from mmc_gpu.engines.lanes import LANES

_LANES = LANES  # a constant of the compiled code


@kernel("int32[:, ::1]", "float64[::1]", "float64[:, ::1]")
def look_up(ranks: Ranks, table: Floats, series: Floats) -> None:
    """Write the table's entry for each rank.

    Args:
        ranks: (R, N).
        table: (2 * N - 1,) by rank + N - 1.
        series: (R, N), written in full.
    """
    shift = ranks.shape[1] - 1
    for number in range(len(ranks)):
        row, result = ranks[number], series[number]
        for j in range(len(row)):
            result[j] = table[row[j] + shift]


@kernel(*["float64[:, ::1]"] * 4, space=lambda _, probes, __: (np.empty((len(probes) + 2, LANES)),))
def sum_lanes(series: Floats, probes: Floats, products: Floats, lanes: Floats) -> None:
    """Write the inner products of rows with probes, their sums and their sums of squares.

    Args:
        series: (R, N).
        probes: (P, N).
        products: (R, P + 2), written in full.
        lanes: space for the sums.
    """
    for number in range(len(series)):
        lanes[:] = 0.0
        for start in range(0, series.shape[1], _LANES):
            _add_strip(series[number][start : start + _LANES], probes, start, lanes)
        for column in range(len(lanes)):
            products[number, column] = _folded(lanes[column])


def sum_space(products: Floats) -> tuple[Floats, ...]:
    """Return the space that `sum_each` takes."""
    return np.empty((products.shape[1], LANES)), np.empty((2, 4 * LANES))


@kernel(
    *("int32[:, ::1]", *["float64[:, ::1]"] * 2, *["int64[::1]"] * 2, *["float64[:, ::1]"] * 3),
    space=lambda *arguments: sum_space(arguments[-1]),
)
def sum_looked_up(
    ranks: Ranks,
    tables: Floats,
    probes: Floats,
    ends: Integers,
    kinds: Integers,
    products: Floats,
    lanes: Floats,
    strips: Floats,
) -> None:
    """Write what `sum_each` writes, of (R, N) ranks that are there for all tables."""
    sum_each(ranks, ranks, tables, probes, ends, kinds, products, lanes, strips)


@part
def sum_each(
    first: Ranks,
    average: Ranks,
    tables: Floats,
    probes: Floats,
    ends: Integers,
    kinds: Integers,
    products: Floats,
    lanes: Floats,
    strips: Floats,
) -> None:
    """Write for ranks, looked up in each of several tables, what `sum_lanes` writes.

    Four strips at a time, so that what is looked up stays in the nearest cache, and a lane is
    loaded and stored once for four sums; in two tables at once, whose entries for a rank stand
    beside each other.

    Args:
        first: (R, N) ranks for tables of kind 0; may be (0, N) if there are none.
        average: the same for tables of kind 1.
        tables: (2 * N - 1, T) by rank + N - 1.
        probes: (P, N), the first table's first.
        ends: (T + 1,) where each table's probes begin, and the last one's end.
        kinds: (T,) which ranks each table is for.
        products: (R, P + 2 * T), written in full, the first table's first.
        lanes: space for the sums.
        strips: space for what is looked up.
    """
    (size, count), step = tables.shape, 4 * _LANES
    shift = np.uint32(size // 2)
    for number in range(len(products)):
        lanes[:] = 0.0
        for start in range(0, size // 2 + 1, step):
            for left in range(0, count, 2):
                right = min(left + 1, count - 1)
                row = (average if kinds[left] else first)[number][start : start + step]
                pair = (average if kinds[right] else first)[number][start : start + step]
                one, other = strips[0], strips[1]
                for j in range(len(row)):  # unsigned: no place is counted from the end
                    one[j] = tables[np.uint32(np.uint32(row[j]) + shift), left]
                    other[j] = tables[np.uint32(np.uint32(pair[j]) + shift), right]
                for table in range(left, right + 1):
                    own, begin, end = strips[table - left], ends[table], ends[table + 1]
                    sums = lanes[begin + 2 * table :]
                    _add_strips(own[: len(row)], probes[begin:end], start, sums)
        for column in range(len(lanes)):
            products[number, column] = _folded(lanes[column])


@part
def _add_strips(series: Floats, probes: Floats, start: int, lanes: Floats) -> None:
    """Add the products of up to 1,024 elements to the lanes, as `_add_strip` does."""
    if len(series) < 4 * _LANES:
        for at in range(0, len(series), _LANES):
            _add_strip(series[at : at + _LANES], probes, start + at, lanes)
        return
    a, b = series[:_LANES], series[_LANES : 2 * _LANES]
    c, d = series[2 * _LANES : 3 * _LANES], series[3 * _LANES :]
    columns = len(probes)
    for column in range(columns):
        lane, probe = lanes[column], probes[column][start:]
        p, q = probe[:_LANES], probe[_LANES : 2 * _LANES]
        r, s = probe[2 * _LANES : 3 * _LANES], probe[3 * _LANES :]
        for j in range(_LANES):
            lane[j] = lane[j] + a[j] * p[j] + b[j] * q[j] + c[j] * r[j] + d[j] * s[j]
    total, squares = lanes[columns], lanes[columns + 1]
    for j in range(_LANES):
        total[j] = total[j] + a[j] + b[j] + c[j] + d[j]
    for j in range(_LANES):
        squares[j] = squares[j] + a[j] * a[j] + b[j] * b[j] + c[j] * c[j] + d[j] * d[j]


@part
def _add_strip(strip: Floats, probes: Floats, start: int, lanes: Floats) -> None:
    """Add the products of up to 256 elements to the lanes: with each probe, with 1, with itself."""
    columns = len(probes)
    for column in range(columns):
        lane, probe = lanes[column], probes[column][start : start + _LANES]
        for j in range(len(strip)):
            lane[j] += strip[j] * probe[j]
    total, squares = lanes[columns], lanes[columns + 1]
    for j in range(len(strip)):
        value = strip[j]
        total[j] += value
        squares[j] += value * value


@part
def _folded(lanes: Floats) -> float:
    """Return the sum of the lanes: the upper half is added to the lower half until one is left."""
    half = _LANES // 2
    while half:
        for lane in range(half):
            lanes[lane] += lanes[half + lane]
        half //= 2
    return lanes[0]
