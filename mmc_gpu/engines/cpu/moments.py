"""Exact inner products of ranks and probes.

Four rows meet three probes at a time, so that one load serves several products: 12 sums, and what
is multiplied, fit the 16 registers of AVX2: 5.7 us for a row of 5,000 and 24 probes (AMD Zen 4);
with four probes at a time 10.3. The sums are float64, which processors multiply and add at once;
being whole numbers below 2**53 they are exact in any order, fused or not. With AVX-512 it took 4.5,
in int64 6.5, one row at a time 9.5; with BLAS 8.8 and the casts; int16 halves whose int32 sums are
widened in time 6.3, or 4 where LLVM is told by hand to multiply pairs: not worth their bounds.
"""

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers, Ranks
from mmc_gpu.engines.cpu.compiled import kernel, part, summed_in_any_order

_EXACT = 2**53
_LARGEST = 2**23  # the largest magnitude of a probe


@kernel(
    *("int32[:, ::1]", "float64[:, ::1]", "int64[:, ::1]", "float64[:, ::1]"),
    space=lambda ranks, probes, _: (np.empty((len(ranks), len(probes))),),
)
def multiply(ranks: Ranks, probes: Floats, moments: Integers, sums: Floats) -> None:
    """Write the inner products of ranks with probes, and with themselves.

    In strips of stocks, so short that no sum can reach 2**53; below 32,768 stocks there is one
    strip. Below 1,400,000 stocks no sum over all strips can leave int64: the sum of |rank| is at
    most N * N / 2.

    Args:
        ranks: (R, N).
        probes: (P, N) whole numbers, at most 2**23 or N - 1.
        moments: (R, P + 1), written in full; the last column holds the sums of squares.
        sums: space for the products of a strip.
    """
    (rows, stocks), columns = ranks.shape, len(probes)
    moments[:] = 0
    strip = _EXACT // (_LARGEST * stocks)
    for start in range(0, stocks, strip):
        end = min(start + strip, stocks)
        _multiply(ranks, probes, start, end, sums)
        for a in range(rows):
            for b in range(columns):
                moments[a, b] += np.int64(sums[a, b])
            moments[a, columns] += _square(ranks[a][start:end])


@part
def _square(row: Ranks) -> np.int64:
    square = np.int64(0)
    for j in range(len(row)):
        square += np.int64(row[j]) * row[j]
    return square


@summed_in_any_order
def _multiply(ranks: Ranks, probes: Floats, start: int, end: int, sums: Floats) -> None:
    """Write the inner products over some of the stocks: (R, P)."""
    last_row, last_column = len(ranks) - 1, len(probes) - 1
    for b in range(0, len(probes), 3):
        # past the end the last probe or row is taken again, and its sums are written again
        b1, b2 = min(b + 1, last_column), min(b + 2, last_column)
        probe, probe1, probe2 = probes[b][start:end], probes[b1][start:end], probes[b2][start:end]
        for a in range(0, len(ranks), 4):
            a1, a2, a3 = min(a + 1, last_row), min(a + 2, last_row), min(a + 3, last_row)
            row, row1 = ranks[a][start:end], ranks[a1][start:end]
            row2, row3 = ranks[a2][start:end], ranks[a3][start:end]
            wp = wq = wr = xp = xq = xr = 0.0
            yp = yq = yr = zp = zq = zr = 0.0
            for j in range(end - start):
                w, x = np.float64(row[j]), np.float64(row1[j])
                y, z = np.float64(row2[j]), np.float64(row3[j])
                p, q, r = probe[j], probe1[j], probe2[j]
                wp += w * p
                wq += w * q
                wr += w * r
                xp += x * p
                xq += x * q
                xr += x * r
                yp += y * p
                yq += y * q
                yr += y * r
                zp += z * p
                zq += z * q
                zr += z * r
            sums[a, b], sums[a, b1], sums[a, b2] = wp, wq, wr
            sums[a1, b], sums[a1, b1], sums[a1, b2] = xp, xq, xr
            sums[a2, b], sums[a2, b1], sums[a2, b2] = yp, yq, yr
            sums[a3, b], sums[a3, b1], sums[a3, b2] = zp, zq, zr
