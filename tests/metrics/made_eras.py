"""Seeded eras as people have them, and numerai-tools without its warnings."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st


@dataclass(frozen=True, eq=False)
class Era:
    """Stocks x users and what they are scored against; ids ascend, as numerai-tools demands."""

    predictions: pd.DataFrame
    targets: pd.Series
    meta_model: pd.Series
    features: pd.DataFrame
    sample_weights: pd.Series
    stakes: pd.Series

    def shuffled(self, data: Any) -> Any:
        """Return the rows of a frame or Series in another order."""
        return data.sample(frac=1, random_state=1)


def make_era(
    stocks: int,
    users: int,
    features: int = 3,
    seed: int = 0,
    *,
    returns: bool = False,
    numbers: bool = False,
    missing: int = 0,
    kind: str = "normal",
    named: bool = False,
) -> Era:
    """Return a seeded era: users with ties, with few values, and copies of others.

    Args:
        stocks: how many.
        users: how many submissions.
        features: how many; the last one is the sum of the others, where there are three.
        seed: which era.
        returns: targets are returns, not the five bins.
        numbers: ids are integers, whose order is not that of their text.
        missing: so many stocks have no target: half of them NaN, half no row.
        kind: of the features: "normal", "bins" (five), or "one-hot": of as many groups and one.
        named: the axes have names.
    """
    rng = np.random.default_rng(seed)
    ids = pd.Index(np.sort(rng.permutation(10 * stocks)[:stocks]))
    ids = ids if numbers else pd.Index([f"n{n:06d}" for n in ids])
    names = pd.Index([f"user {n}" for n in range(users)])
    stakers = names
    if named:
        ids, names, stakers = ids.rename("id"), names.rename("model"), names.rename("user")
    values = rng.random((users, stocks))
    values[1::4] = values[1::4].round(1)
    values[2::4] = values[2::4].round()
    values[2::4, :2] = 0, 1
    values[3::4] = values[0]
    bins = rng.choice([0, 0.25, 0.5, 0.75, 1], stocks, p=[0.05, 0.2, 0.5, 0.2, 0.05])
    bins[:2] = bins[-2:] = 0.25, 0.75
    targets = pd.Series(rng.normal(size=stocks) if returns else bins, ids, name="target")
    exposures = rng.normal(size=(stocks, features))
    if kind == "bins":
        exposures = rng.integers(0, 5, (stocks, features)) / 4
        exposures[:2] = [[0], [1]]  # none is constant
    elif kind == "one-hot":
        groups = rng.permutation(np.arange(stocks) % (features + 1))
        exposures = (groups[:, None] == np.arange(features)).astype(float)
    if features > 2 and kind != "one-hot":
        exposures[:, -1] = exposures[:, :-1].sum(axis=1)
    unscored = rng.permutation(np.arange(2, stocks - 2))[:missing]
    targets.iloc[unscored[::2]] = np.nan
    return Era(
        predictions=pd.DataFrame(values.T, ids, names),
        targets=targets.drop(ids[unscored[1::2]]),
        meta_model=pd.Series(rng.random(stocks).round(2), ids, name="meta"),
        features=pd.DataFrame(exposures, ids, [f"feature {n}" for n in range(features)]),
        sample_weights=pd.Series(rng.random(stocks) / stocks, ids, name="weight"),
        stakes=pd.Series(np.exp(rng.normal(size=users)), stakers, name="stake"),
    )


@st.composite
def eras(draw: st.DrawFn, most: int = 60, targets: bool = True) -> Era:
    """Draw an era of 20 to so many stocks and up to 6 users."""
    stocks = draw(st.integers(20, most))
    return make_era(
        stocks,
        draw(st.integers(1, 6)),
        draw(st.integers(1, 5)),
        draw(st.integers(0, 2**32)),
        returns=draw(st.booleans()),
        numbers=draw(st.booleans()),
        missing=draw(st.integers(0, stocks // 8)) if targets else 0,
        kind=draw(st.sampled_from(["normal", "bins", "one-hot"])),
        named=draw(st.booleans()),
    )


ENDS = st.sampled_from([None, 1, 4, 9])
"""How many stocks the top and the bottom have."""


def quiet(function: Any, *arguments: Any, **options: Any) -> Any:
    """Return what numerai-tools returns, its warnings aside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def assert_agrees(result: Any, expected: Any, tolerance: float = 1e-12) -> None:
    """Assert |a - b| <= 1e-14 + 1e-12 |b|, or tolerance + tolerance |b|, and the same labels."""
    assert type(result) is type(expected) or isinstance(expected, np.floating | float)
    if isinstance(expected, pd.Series):
        assert result.name == expected.name
    if isinstance(expected, pd.Series | pd.DataFrame):
        assert result.axes[0].names == expected.axes[0].names
        assert result.axes[-1].names == expected.axes[-1].names
        assert result.axes[0].equals(expected.axes[0])
        assert result.axes[-1].equals(expected.axes[-1])
    absolute = 1e-14 if tolerance == 1e-12 else tolerance
    np.testing.assert_allclose(
        np.asarray(result, np.float64), np.asarray(expected, np.float64), tolerance, absolute
    )


def assert_all_agree(
    engines: list[Any],
    expected: Any,
    function: Any,
    *arguments: Any,
    tolerance: float = 1e-12,
    **options: Any,
) -> None:
    """Assert that a function agrees with what is expected on every engine; see assert_agrees."""
    for engine in engines:
        try:
            assert_agrees(function(*arguments, engine=engine, **options), expected, tolerance)
        except AssertionError as error:
            error.add_note(f"on the engine {engine.name}")
            raise


LEAST_SQUARES = 1e-9
"""Tolerance where a least-squares on features is involved."""
