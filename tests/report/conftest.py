"""Pages to look at, and a browser to look with."""

import os
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from browser import Browser, missing
from pages import HOSTILE

import mmc_gpu
from mmc_gpu.api import RoundScores
from mmc_gpu.rounds.sample import make_sample_round


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; skips where it is not installed, or fails with MMC_GPU_REQUIRE_BROWSER=1."""
    if absent := missing():
        reason = f"not installed: {', '.join(absent)} (Debian: chromium, chromium-driver)"
        if os.environ.get("MMC_GPU_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with Browser() as opened:
        yield opened


@pytest.fixture
def opened(browser, page) -> Browser:
    """The page of a file's tests, as it is when it is opened."""
    browser.show(page, "looking")
    browser.shown = None
    return browser


@pytest.fixture
def untouched(browser, page) -> Browser:
    """The same page for tests that only look at it: one after another they find it as it was."""
    browser.show(page, "looking")
    return browser


@pytest.fixture(scope="session")
def scores() -> RoundScores:
    """A round of 150 users, ten of them with hostile names, on two targets."""
    sample = make_sample_round(users=150, stocks=200, seed=4)
    names = dict(zip(sample.users, HOSTILE, strict=False))
    users = [names.get(user, user) for user in sample.users]
    ids = sample.ids
    predictions = sample.predictions.copy()
    predictions[20, :9] = np.nan
    predictions[21] = np.nan
    return mmc_gpu.score_round(
        predictions.T,
        {names.get(user, user): stake for user, stake in sample.stakes.items()},
        pa.table({"id": ids, **sample.targets, "<b>bold</b>": sample.targets["target"]}),
        ids=ids,
        users=users,
        missing="fill",
        on_error="quarantine",
        engine="numpy",
    )
