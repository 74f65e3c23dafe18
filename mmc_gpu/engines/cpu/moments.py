"""Exact inner products of ranks and probes.

Four rows meet four probes at a time, so that one load serves four products: 6.7 us for a row of
5,000 and 23 probes (AMD Zen 4), against 9.5 one row at a time. float64 and BLAS take 8.8 and the
casts; int16 halves whose int32 sums are widened in time take 6.5, or 4 where LLVM is told by hand
to multiply pairs: not worth their bounds.
"""

import numpy as np

from mmc_gpu.arrays import Integers, Ranks
from mmc_gpu.engines.cpu.compiled import kernel


@kernel
def multiply(ranks: Ranks, probes: Ranks, moments: Integers) -> None:
    """Write the inner products of ranks with probes, and with themselves.

    Nothing can overflow: sums of |rank| are at most N * N / 2, probes at most 2**23, so that no
    partial sum reaches 2**63 below 1,400,000 stocks.

    Args:
        ranks: (R, N), in C order.
        probes: (P, N), in C order.
        moments: (R, P + 1), written in full; the last column holds the sums of squares.
    """
    rows, columns = len(ranks), len(probes)
    for a in range(rows):
        row, square = ranks[a], np.int64(0)
        for j in range(len(row)):
            square += np.int64(row[j]) * row[j]
        moments[a, columns] = square
    for b in range(0, columns, 4):
        # past the end the last one stands in again, and its sums are written again
        b1, b2, b3 = min(b + 1, columns - 1), min(b + 2, columns - 1), min(b + 3, columns - 1)
        probe, probe1, probe2, probe3 = probes[b], probes[b1], probes[b2], probes[b3]
        for a in range(0, rows, 4):
            a1, a2, a3 = min(a + 1, rows - 1), min(a + 2, rows - 1), min(a + 3, rows - 1)
            row, row1, row2, row3 = ranks[a], ranks[a1], ranks[a2], ranks[a3]
            wp = wq = wr = ws = xp = xq = xr = xs = np.int64(0)
            yp = yq = yr = ys = zp = zq = zr = zs = np.int64(0)
            for j in range(len(row)):
                w, x = np.int64(row[j]), np.int64(row1[j])
                y, z = np.int64(row2[j]), np.int64(row3[j])
                p, q, r, s = probe[j], probe1[j], probe2[j], probe3[j]
                wp += w * p
                wq += w * q
                wr += w * r
                ws += w * s
                xp += x * p
                xq += x * q
                xr += x * r
                xs += x * s
                yp += y * p
                yq += y * q
                yr += y * r
                ys += y * s
                zp += z * p
                zq += z * q
                zr += z * r
                zs += z * s
            moments[a, b], moments[a, b1], moments[a, b2], moments[a, b3] = wp, wq, wr, ws
            moments[a1, b], moments[a1, b1], moments[a1, b2], moments[a1, b3] = xp, xq, xr, xs
            moments[a2, b], moments[a2, b1], moments[a2, b2], moments[a2, b3] = yp, yq, yr, ys
            moments[a3, b], moments[a3, b1], moments[a3, b2], moments[a3, b3] = zp, zq, zr, zs
