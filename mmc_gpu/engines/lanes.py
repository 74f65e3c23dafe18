"""Float64 sums in one canonical order, which every engine follows to the bit.

There are 256 lanes. Element n goes to lane n % 256; each lane starts at +0.0 and adds its elements
one after another, product and sum each rounded (never fused). Then the upper half of the lanes is
added to the lower half, until one lane is left. That is wide enough for any vector unit or warp.
"""

import numpy as np

from mmc_gpu.engines.arrays import Floats

LANES = 256


@np.errstate(over="ignore", invalid="ignore")
def inner_products(series: Floats, probes: Floats) -> Floats:
    """Return each row's inner products with the probes, its sum, and its sum of squares.

    Args:
        series: (B, N).
        probes: (P, N).

    Returns:
        (B, P + 2).
    """
    stocks = series.shape[1]
    lanes = np.zeros((len(probes) + 2, len(series), LANES))
    for start in range(0, stocks, LANES):
        stop = min(start + LANES, stocks)
        part = series[:, start:stop]
        for lane, probe in zip(lanes, probes[:, start:stop], strict=False):
            lane[:, : stop - start] += part * probe
        lanes[-2, :, : stop - start] += part
        lanes[-1, :, : stop - start] += part * part
    while lanes.shape[2] > 1:
        half = lanes.shape[2] // 2
        lanes = lanes[:, :, :half] + lanes[:, :, half:]
    return np.ascontiguousarray(lanes[:, :, 0].T)
