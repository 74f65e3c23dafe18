"""Stable ranks of every row: a monotone code, a radix sort of the codes, an insertion by value.

A code is a whole number of 20 bits; a larger value never has a smaller code. A radix sort of the
codes, in two passes, brings the values almost into order, and equal values into the order of their
columns. Then one insertion pass over the values themselves orders neighbours with the same code.
The codes therefore decide only how long a row takes, and never its ranks. A row that would take
long is sorted by all 64 bits instead.

Microseconds for a row of 5,000 on one core (AMD Zen 4): codes 2.7, radix sort 12, values in order
3.9, ranks 2; all 64 bits 50. Instead of the radix sort: NumPy's vectorised sort of the codes packed
over the column numbers 66 (11 on an Intel with AVX-512), its stable argsort of the values 341; one
pass over 4,096 buckets and exchanges of neighbours 10 at best, and far more where data are skewed.
"""

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers, Ranks
from mmc_gpu.engines.cpu.compiled import kernel, part

_DIGIT = np.uint32(10)  # bits a pass: 1,024 counters of 4 bytes stay in the nearest cache
_LOW = np.uint32(2**10 - 1)
_COLUMN = np.uint32(22)
"""Bits of a column's number, which shares 32 bits with a high digit: up to 4 million stocks."""
_COLUMNS = np.uint32(2**22 - 1)
_HALF = np.float32(2**19 - 1 / 16)
"""Half of the codes, a little less: 2 * _HALF is still a code of 20 bits."""
_ONE = np.uint32(1)  # numba widens `uint32 + 1`

_SAMPLE = 17

_WIDE_DIGIT = 11
_WIDE_LOW = np.uint64(2**11 - 1)
_SIGN = np.uint64(2**63)


def rank_space(values: Floats, *_: Array) -> tuple[Array, ...]:
    """Return the space that ranking rows of this length takes."""
    stocks = values.shape[1]
    counts = np.empty(2**_WIDE_DIGIT, np.uint32)
    return np.empty((3, stocks), np.uint32), np.empty(stocks + _SAMPLE), counts


@kernel(
    *("float64[:, ::1]", "int32[:, ::1]", "int32[:, ::1]", "uint32[::1]"),
    *("uint32[:, ::1]", "float64[::1]", "uint32[::1]"),
    space=rank_space,
)
def rank_rows(
    values: Floats,
    first: Ranks,
    average: Ranks,
    columns: Array,
    spare: Array,
    reals: Floats,
    counts: Array,
) -> None:
    """Write the doubled, centred ranks of rows; both kinds from one sort.

    Args:
        values: (R, N) finite; -0.0 equals 0.0.
        first: (R, N), written in full, where equal values rank as their columns do; or (0, N).
        average: (R, N), written in full, where they share the mean of their ranks; or (0, N).
        columns: (N,) the columns, in the order in which equal values rank.
        spare: space for codes, the order by their low digit, and the order.
        reals: space for a sample, and for the values in order.
        counts: space for the buckets.
    """
    sample, ordered = reals[:_SAMPLE], reals[_SAMPLE:]
    codes, halfway, order = spare[0], spare[1], spare[2]
    for number in range(len(values)):
        row = values[number]
        _encode(row, codes, sample)
        _sort_codes(codes, columns, halfway, order, counts)
        if not _settle(row, order, ordered):
            _sort_values(row, columns, halfway, order, ordered, counts)
        if len(first):
            _write(order, first[number])
        if len(average):
            _write(order, average[number])
            _share(ordered, order, average[number])


@part
def _encode(row: Floats, codes: Array, sample: Floats) -> None:
    """Write each value's code: the middle of the data spread out, its tails drawn together.

    With the quartiles of a sample, z = (x - median) / (half their distance), and the code is
    z / (1 + |z|), shifted and scaled. Every step is monotone in floating point, and none makes a
    NaN of finite numbers.
    """
    for i in range(_SAMPLE):
        value = row[i * (len(row) - 1) // (_SAMPLE - 1)]
        to = i
        while to > 0 and sample[to - 1] > value:
            sample[to] = sample[to - 1]
            to -= 1
        sample[to] = value
    middle = sample[_SAMPLE // 2]
    spread = sample[3 * _SAMPLE // 4] - sample[_SAMPLE // 4]
    if spread == 0.0:
        spread = sample[_SAMPLE - 1] - sample[0]
    scale = 2.0 / min(max(spread, 1e-300), 1e300)  # finite and above 0: no inf * 0 below
    one, two = np.float32(1.0), np.float32(2.0)
    for i in range(len(row)):
        z = np.float32((row[i] - middle) * scale)
        tail = one / (one + abs(z))
        codes[i] = np.int32((tail if z < 0 else two - tail) * _HALF)


@part
def _sort_codes(codes: Array, columns: Array, halfway: Array, order: Array, counts: Array) -> None:
    """Write the order of the codes: by the low digit, then by the high one; stable, see above."""
    low, high = counts[: 2**10], counts[2**10 :]
    counts[:] = 0
    for column in range(len(codes)):
        low[codes[column] & _LOW] += _ONE
    _begin(low)
    for column in columns:
        code = codes[column]
        place = low[code & _LOW]
        low[code & _LOW] = place + _ONE
        rest = code >> _DIGIT
        high[rest] += _ONE
        halfway[place] = (rest << _COLUMN) | column  # the low digit is done with
    _begin(high)
    for i in range(len(codes)):
        digit = halfway[i] >> _COLUMN
        place = high[digit]
        high[digit] = place + _ONE
        order[place] = halfway[i] & _COLUMNS


@part
def _begin(counts: Array) -> None:
    """Replace the number of items in each bucket by the place where the bucket begins."""
    place = _ONE - _ONE
    for bucket in range(len(counts)):
        count = counts[bucket]
        counts[bucket] = place
        place += count


@part
def _settle(row: Floats, order: Array, ordered: Floats) -> bool:
    """Write a row in order, inserting what is not, stably; return False where that would take long.

    `order` holds the columns almost in order, and is put in order.
    """
    moves = 0
    for place in range(len(row)):
        column = order[place]
        value = row[column]
        to = place
        while to > 0 and ordered[to - 1] > value:
            ordered[to] = ordered[to - 1]
            order[to] = order[to - 1]
            to -= 1
        ordered[to] = value
        if to < place:
            order[to] = column
            moves += place - to
            if moves > 4 * len(row):
                return False
    return True


@part
def _sort_values(
    row: Floats, columns: Array, spare: Array, order: Array, ordered: Floats, places: Array
) -> None:
    """Write a row's stable order, and the row in order: a radix sort of the bits that differ."""
    differing = np.uint64(0)
    for i in range(len(row)):
        differing |= _key(row[i]) ^ _key(row[0])
        order[i] = columns[i]
    for shift in range(0, 64, _WIDE_DIGIT):
        if (differing >> np.uint64(shift)) & _WIDE_LOW == 0:
            continue
        places[:] = 0
        for i in range(len(row)):
            places[(_key(row[i]) >> np.uint64(shift)) & _WIDE_LOW] += _ONE
        _begin(places)
        for i in range(len(row)):
            digit = (_key(row[order[i]]) >> np.uint64(shift)) & _WIDE_LOW
            spare[places[digit]] = order[i]
            places[digit] += _ONE
        for i in range(len(row)):
            order[i] = spare[i]
    for place in range(len(row)):
        ordered[place] = row[order[place]]


@part
def _key(value: float) -> np.uint64:
    """Return a value's bits in the order of unsigned numbers: all turned where the sign was set."""
    bits = np.float64(value + 0.0).view(np.uint64)  # -0.0 becomes 0.0
    return ~bits if bits & _SIGN else bits | _SIGN


@part
def _write(order: Array, ranks: Array) -> None:
    """Write each column's rank from its place in the order: 2 * place + 1 - N, places from 0."""
    stocks = len(order)
    for place in range(stocks):
        ranks[order[place]] = 2 * place + 1 - stocks


@part
def _share(ordered: Floats, order: Array, ranks: Array) -> None:
    """Write anew the ranks of equal values: the mean of their ranks."""
    stocks = len(ordered)
    first = 0
    for end in range(1, stocks + 1):
        if end == stocks or ordered[end] != ordered[first]:
            if end - first > 1:
                for place in range(first, end):
                    ranks[order[place]] = first + end - stocks  # the mean over the places
            first = end


@kernel("int32[:, ::1]", "int64[:, ::1]")
def pick_ends(ranks: Ranks, places: Integers) -> None:
    """Write the columns of the lowest and of the highest ranks, ascending.

    Args:
        ranks: (R, N) of ties in order of appearance.
        places: (R, 2 * n), written in full; 2 * n <= N.
    """
    stocks, wanted = ranks.shape[1], places.shape[1]
    for number in range(len(ranks)):
        row, result = ranks[number], places[number]
        found = np.int64(0)
        for column in range(stocks):
            if abs(row[column]) > stocks - wanted:
                result[found] = column
                found += 1
