"""The algebra between integer moments and scores, against Python's own exact numbers."""

from fractions import Fraction

import numpy as np
import pytest

from mmc_gpu.rounds.algebra import Target

KINDS = {
    "normal": lambda rng, stocks: rng.normal(size=stocks),
    "bins": lambda rng, stocks: np.arange(stocks) % 5 / 4,
    "bins and noise": lambda rng, stocks: np.arange(stocks) % 5 / 4 + 1e-9 * rng.random(stocks),
    "as large as can be": lambda rng, stocks: np.where(np.arange(stocks) % 2, 1e300, -1e300),
    "tiny": lambda rng, stocks: 1e-300 * rng.standard_cauchy(stocks),
}


@pytest.mark.parametrize("stocks", [3, 5_000, 16_384, 16_385, 100_000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_targets_variance_is_exact_before_it_is_rounded_once(kind, stocks):
    values = KINDS[kind](np.random.default_rng(stocks), stocks)
    target = Target.of("target", values)
    whole = target.limbs[0].astype(object) * 2**24
    if len(target.limbs) == 2:
        whole = whole + target.limbs[1].astype(object) + 2**23
    deviations = sum(one * one for one in whole) - Fraction(sum(whole) ** 2, stocks)
    assert target.variance == float(deviations)
    restored = [Fraction(int(one)) * Fraction(2) ** target.exponent for one in whole[:50]]
    centre = Fraction(float(values.min())) / 2 + Fraction(float(values.max())) / 2
    unit = Fraction(2) ** target.exponent
    exact = [Fraction(value) - centre for value in values[:50].tolist()]
    assert all(abs(a - b) <= unit for a, b in zip(restored, exact, strict=True))
