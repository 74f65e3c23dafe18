"""Nights: rounds in flight over several days, by the real command, as an operator's job has them.

Targets come day by day, submissions come late or with faults. Whatever is killed at any moment and
started again ends as if nothing had happened.
"""

import json
import os
import shutil
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from systems import killed, posix

from mmc_gpu.cli.app import main
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round

DAYS = [f"2026-11-2{day}" for day in range(6)]
ROUNDS = [f"{number}" for number in range(601, 607)]
"""A night of 20 rounds needs no other change than range(601, 621)."""


def ages(day):
    """Return for each round how many days ago its first target was resolved in part."""
    return {name: day - place * len(DAYS) // len(ROUNDS) for place, name in enumerate(ROUNDS)}


class World:
    """Rounds in flight, and what a day brings to them."""

    def __init__(self, folder, seed=0):
        self.rng = np.random.default_rng(seed)
        self.rounds = folder / "rounds"
        self.resolved = {}
        for place, name in enumerate(ROUNDS):
            sample = make_sample_round(users=12, stocks=60, seed=int(name))
            write_sample_round(self.rounds / name, sample, submissions=True)
            targets = self.rounds / name / "targets.csv"
            self.resolved[name] = pd.read_csv(targets)
            targets.unlink()
            if place % 3 == 0:
                (self.rounds / name / "submissions/empty.csv").write_text("id,prediction\n")
        (self.rounds / "notes.txt").write_text("no round\n")

    def bring(self, day):
        """Resolve the first target of some rounds in part, of others whole; update the older."""
        for name, age in ages(day).items():
            if age < 0:
                continue
            table = self.resolved[name].copy()
            if age == 0:
                table.loc[self.rng.random(len(table)) < 0.3, "target"] = np.nan
            elif age % 2:
                table["target"] = self.rng.permutation(table["target"])
            else:
                continue  # as it was the day before
            path = self.rounds / name / "targets.csv"
            table.to_csv(path, index=False)
            noon = datetime.fromisoformat(f"{DAYS[day]}T12:00:00").replace(tzinfo=UTC).timestamp()
            os.utime(path, (noon, noon))

    def states(self, day):
        """Return the rounds of each kind on a day, as the job has to find them."""
        found = ages(day).items()
        return {
            "waiting": [name for name, age in found if age <= 0],
            "scored": [name for name, age in found if age > 0 and age % 2],
            "finished": [name for name, age in found if age > 0 and not age % 2],
        }


def command(folder, *options):
    rounds = [str(path) for path in sorted((folder / "rounds").iterdir())]
    out = ["-o", str(folder / "results")]
    return ["score", *rounds, *out, "--engine", "numpy", "--keep-days", *options]


def night(folder, *options):
    """Run the job; return its exit code, the state of each round, and the result."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["mmc-gpu", *command(folder, "--json", *options)])
        with pytest.raises(SystemExit) as stop:
            main()
    assert err.getvalue() == ""
    *events, result = map(json.loads, out.getvalue().splitlines())
    rounds = [event for event in events if event["event"] == "round"]
    return stop.value.code or 0, rounds, result


def contents(folder):
    """Return all that results hold, but for the moments at which they were written."""
    found = {}
    for path in sorted((folder / "results").rglob("*")):
        assert not path.name.startswith("."), path
        if path.is_file():
            data = path.read_bytes()
            if path.name == "receipt.json":
                data = json.dumps(json.loads(data) | {"created": ""}).encode()
            found[path.relative_to(folder).as_posix()] = data
    return found


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Run all nights; return the folder, and what each night said."""
    folder = tmp_path_factory.mktemp("nights")
    world, said = World(folder), []
    for day in range(len(DAYS)):
        world.bring(day)
        said.append(night(folder))
    return folder, world, said


@pytest.mark.parametrize("day", range(len(DAYS)))
def test_a_night_says_of_each_round_what_became_of_it(nights, day):
    _, world, said = nights
    code, rounds, result = said[day]
    expected = world.states(day)
    for state, names in expected.items():
        assert [event["round"] for event in rounds if event["state"] == state] == names
        assert result[state] == len(names)
    assert result["failed"] == 0
    assert result["ignored"] == [str(world.rounds / "notes.txt")]
    faulty = set(ROUNDS[::3]) & {*expected["scored"], *expected["finished"]}
    assert code == result["exit_code"] == (4 if faulty else 0)
    assert result["quarantined"] == len(faulty)


def test_a_finished_round_says_who_is_quarantined_and_its_digest(nights):
    folder, _, said = nights
    _, rounds, _ = said[2]
    finished = next(event for event in rounds if event["state"] == "finished")
    receipt = json.loads((folder / "results/601/days/2026-11-21/receipt.json").read_text())
    assert finished["digest"] == receipt["scores_digest"]
    assert finished["notes"] == receipt["notes"]
    (fault,) = finished["quarantined"]
    assert (fault["user"], fault["file"]) == ("empty", "submissions/empty.csv")


def test_each_day_on_which_targets_came_is_kept(nights):
    folder, _, _ = nights
    for name in ROUNDS:
        old = [ages(day)[name] for day in range(len(DAYS))]
        days = [day for day, age in zip(DAYS, old, strict=True) if age > 0 and age % 2]
        kept = folder / "results" / name / "days"
        assert sorted(path.name for path in kept.glob("*")) == days
        for day in days:
            title = json.loads((kept / day / "receipt.json").read_text())["title"]
            assert title == {"round": name, "number": int(name), "date": day}
    last = folder / "results/601/days/2026-11-25"
    for name in ("scores.parquet", "receipt.json", "quarantine.csv"):
        assert (last / name).read_bytes() == (folder / "results/601" / name).read_bytes()


def test_what_became_of_each_round_in_the_last_night_is_written_beside_the_results(nights):
    folder, world, _ = nights
    expected = world.states(len(DAYS) - 1)
    waiting, scored = expected["waiting"], {*expected["scored"], *expected["finished"]}
    found = json.loads((folder / "results/night.json").read_text())["rounds"]
    assert [one["round"] for one in found if one["state"] == "waiting"] == waiting
    assert {one["round"] for one in found if one["state"] == "scored"} == scored
    for one in found:
        assert bool(one["detail"]) == (one["state"] == "waiting")
        assert str(folder) not in one["detail"]
        assert not one["detail"].startswith(one["round"])


def test_the_same_night_again_changes_nothing(nights):
    folder, _, _ = nights
    before = contents(folder)
    code, rounds, _ = night(folder)
    assert code == 4
    assert {event["state"] for event in rounds} == {"finished", "waiting"}
    assert contents(folder) == before


def test_a_part_is_scored_where_that_is_asked_for(nights, tmp_path):
    folder, _, _ = nights
    shutil.copytree(folder / "rounds", tmp_path / "rounds")
    _, rounds, _ = night(tmp_path, "--partial")
    (part,) = [event for event in rounds if event["round"] == ROUNDS[-1]]
    assert part["state"] == "scored"
    assert any("of 60 stocks have their targets" in note for note in part["notes"])
    receipt = json.loads((tmp_path / f"results/{ROUNDS[-1]}/receipt.json").read_text())
    assert receipt["parameters"]["partial"] is True
    assert 3 <= receipt["stocks"] < 60


@posix
def test_nights_that_are_killed_at_random_moments_end_the_same(nights, tmp_path):
    world = World(tmp_path)
    rng = np.random.default_rng(1)
    for day in range(len(DAYS)):
        world.bring(day)
        start = time.monotonic()
        night(nights[0])  # which finds all of its rounds finished
        for _ in range(3):
            killed(command(tmp_path), rng.uniform(0, 3) * (time.monotonic() - start))
        assert not killed(command(tmp_path), 100)
    for left in (tmp_path / "results").glob(".night.json.new-*"):
        left.unlink()  # of a single file nobody knows whether it is being written
    assert contents(tmp_path) == contents(nights[0])
