"""Fixtures of all tests: the engines, seeded rounds, and the real data where it lies."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

from mmc_gpu.engines import ENGINES, Engine, EngineUnavailable, load_engine

settings.register_profile(
    "ci",
    deadline=None,  # the first call of an engine may compile
    max_examples=30,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engines",
        help="run these engines only, comma-separated; one that cannot load is then a failure",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" not in metafunc.fixturenames:
        return
    named = metafunc.config.getoption("engines")
    names = named.split(",") if named else list(ENGINES)
    if unknown := set(names) - set(ENGINES):
        raise pytest.UsageError(f"--engines: no engine {sorted(unknown)}; there are {[*ENGINES]}")
    metafunc.parametrize("engine", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn; skips, with the reason, those that cannot run here."""
    try:
        return load_engine(request.param)
    except EngineUnavailable as error:
        if request.config.getoption("engines"):
            pytest.fail(f"--engines names {request.param}: {error}")
        pytest.skip(str(error))


@dataclass(frozen=True, eq=False)
class MadeRound:
    """A round in canonical order: (U, N) predictions, (U,) stakes, (N,) target.

    The first stakers are first; read-only, so that a verb that writes into its input fails.
    """

    predictions: np.ndarray
    stakes: np.ndarray
    target: np.ndarray

    @property
    def users(self) -> list[str]:
        return [f"user_{number:05d}" for number in range(len(self.stakes))]

    @property
    def ids(self) -> list[str]:
        return [f"n{number:06d}" for number in range(len(self.target))]

    def frames(self) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
        """Return predictions, stakes and target as people have them: stocks x users."""
        return (
            pd.DataFrame(self.predictions.T, index=self.ids, columns=self.users),
            pd.Series(self.stakes, index=self.users),
            pd.Series(self.target, index=self.ids),
        )


def _make_round(models: int, ids: int, seed: int = 0, staked: int | None = None) -> MadeRound:
    """Return a seeded round, by default with two stakers in three.

    Every third submission has ties (1 decimal), every seventh is constant but for one stock.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    staked = -(-2 * models // 3) if staked is None else staked
    predictions = rng.random((models, ids))
    predictions[2::3] = predictions[2::3].round(1)
    predictions[6::7] = 0.5
    predictions[6::7, rng.integers(ids)] = 0.25
    stakes = np.exp(rng.normal(1, 3, models)) * (np.arange(models) < staked)
    target = rng.choice([0, 0.25, 0.5, 0.75, 1], ids, p=[0.05, 0.2, 0.5, 0.2, 0.05])
    target[:2] = 0, 1  # never constant
    for array in (predictions, stakes, target):
        array.flags.writeable = False
    return MadeRound(predictions, stakes, target)


@pytest.fixture(scope="session")
def make_round() -> Callable[..., MadeRound]:
    """`make_round(models, ids, seed=0, staked=None)`: a seeded `MadeRound`."""
    return _make_round


@pytest.fixture(scope="session")
def shared() -> Iterator[Path]:
    """The folder of real data, which no licence lets into the project."""
    root = Path(__file__).parents[1]
    folder = Path(os.environ.get("MMC_GPU_SHARED", root.parent / "shared"))
    if (folder / "data").is_dir():
        return folder
    reason = f"no real data in {folder}; MMC_GPU_SHARED names its folder"
    if os.environ.get("MMC_GPU_REQUIRE_SHARED") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
