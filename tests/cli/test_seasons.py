"""A generated season through the real commands, killed at random moments: the small one."""

import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # benchmarks/ is not installed

from benchmarks.large import season

SIZE = {"nights": 6, "in_flight": 4, "users": 30, "seed": 3}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Run the season undisturbed and with three kills, stop it once, and compare them."""
    folder = tmp_path_factory.mktemp("season")
    assert season.replay(folder, 3, time.monotonic() + 0.5, **SIZE) is None
    assert list(folder.glob("*/nights.json"))
    return folder, season.replay(folder, 3, **SIZE)


def test_a_season_that_is_killed_at_random_moments_ends_as_the_undisturbed_one(found):
    folder, said = found
    assert said["kills"] == 3
    names = season.contents(folder / "rough").keys()
    assert {
        "gathered/index.html",
        "gathered/leaderboard.csv",
        "gathered/leaderboard.parquet",
    } <= names
    assert sum(name.startswith("gathered/history/") for name in names) >= 6
    assert sum(name.startswith("payouts/") for name in names) >= 3
    assert not [name for name in names if Path(name).name.startswith(".")]


def test_every_row_is_there_once_and_every_payout_is_exact(found):
    folder, said = found
    assert said["rows"] == season.check(folder / "calm") == season.check(folder / "rough") > 100
    rows = list(season.rows(folder / "rough/gathered"))
    assert len({row["user"] for row in rows}) > 30  # who come and go
    assert any(row["payout"] for row in rows)


def test_a_payout_that_is_off_by_one_unit_is_noticed(found, monkeypatch):
    folder, _ = found
    rows = list(season.rows(folder / "calm/gathered"))
    rows[7]["payout"] += Decimal("1e-18")
    monkeypatch.setattr(season, "rows", lambda _: iter(rows))
    with pytest.raises(AssertionError):
        season.check(folder / "calm")
