"""A generated season through the real commands, killed at random moments: the small one."""

import sys
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from systems import killed, posix

from mmc_gpu.cli.app import main

sys.path.append(str(Path(__file__).parents[2]))  # benchmarks/ is not installed

from benchmarks.large import season

pytestmark = posix

SIZE = {"nights": 6, "in_flight": 4, "users": 18, "seed": 3}


class Here:
    """Runs the commands of a season in this process, one at a time, and kills copies of it."""

    def __init__(self):
        self.kills = 0

    def run(self, command, check):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["mmc-gpu", *command[3:]])
            with pytest.raises(SystemExit) as stop:
                main()
        code = stop.value.code or 0
        assert not check or not code
        return SimpleNamespace(returncode=code)

    def killed(self, command, seconds):
        if killed(command[3:], seconds):
            self.kills += 1
            return True
        return False

    def submit(self, function, *arguments):
        done = function(*arguments)
        return SimpleNamespace(result=lambda: done)


class Patience:
    """A moment that has come when it is looked for the second time."""

    asked = 0

    def __lt__(self, now):
        self.asked += 1
        return self.asked > 1


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Run the season undisturbed and with twelve kills, stop it once, and compare them."""
    folder, here = tmp_path_factory.mktemp("season"), Here()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(season, "subprocess", here)
        patch.setattr(season, "_killed", here.killed)
        patch.setattr(season, "ThreadPoolExecutor", lambda _: nullcontext(here))
        assert season.replay(folder, 12, Patience(), **SIZE) is None
        assert list(folder.glob("*/nights.json"))
        found = season.replay(folder, 12, **SIZE)
    assert here.kills == 12
    world = season.World(folder / "rough", **SIZE)
    assert not killed(world.command(SIZE["nights"] - 1, "history")[3:], 100)  # copies get to an end
    return folder, found


def test_a_season_that_is_killed_at_random_moments_ends_as_the_undisturbed_one(found):
    folder, said = found
    assert said["kills"] == 12
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
    assert len({row["user"] for row in rows}) > SIZE["users"]  # who come and go
    assert any(row["payout"] for row in rows)


def test_a_payout_that_is_off_by_one_unit_is_noticed(found, monkeypatch):
    folder, _ = found
    rows = list(season.rows(folder / "calm/gathered"))
    rows[7]["payout"] += Decimal("1e-18")
    monkeypatch.setattr(season, "rows", lambda _: iter(rows))
    with pytest.raises(AssertionError):
        season.check(folder / "calm")
