"""`python -m benchmarks.large.season`: a season, night by night, killed at random moments.

Users come, go, resubmit and fail; rounds wait for their targets, get them, and get them again. Each
night runs the real commands: `score` on all rounds in flight, then `history`; `pay` on each round
in the end. The season runs twice, once undisturbed, once with its commands killed (`kill -9`) at
random moments and started again. In the end both hold the same, every payout is the one that
fractions give, and no row is there twice or missing. All of it follows from the seed, but for how
long a command takes: each is killed after a drawn share of the time that the last one took.

    python -m benchmarks.large.season                    60 nights, 20 rounds in flight, 500 users,
                                                         100 kills
    python -m benchmarks.large.season --nights 10 --in-flight 5 --users 100 --kills 15
    python -m benchmarks.large.season --folder F --minutes 9    stops between two nights; the same
                                                                command again goes on from there

`--incremental` measures instead what 20 new rounds of 6,000 users cost beside 500, in a history
that has them already: time and memory of the process, each from results that are made up.
"""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq

FIRST = 601
SCORES = ("numerai_corr", "correlation_contribution")
RULE, FACTOR = "classic-2024", "0.6731"
_START = date(2026, 1, 1)


class World:
    """Rounds in flight, and what each night brings to them.

    Args:
        folder: where rounds, results, history and payouts lie.
        nights: how many.
        in_flight: rounds that are open on a night; each stays for so many nights.
        users: how many there are, about; a tenth of them comes or goes with each round.
        stocks: of each round.
        seed: another one makes another season.
    """

    def __init__(
        self, folder: Path, nights: int, in_flight: int, users: int, stocks: int = 40, seed: int = 0
    ) -> None:
        """Begin on the first night."""
        self.folder, self.nights, self.in_flight, self.stocks = folder, nights, in_flight, stocks
        self.users, self.seed = users, seed

    def rounds(self, night: int) -> range:
        """Return the numbers of the rounds in flight on a night."""
        return range(FIRST + max(0, night - self.in_flight + 1), FIRST + night + 1)

    def bring(self, night: int) -> None:
        """Open a round, bring targets to the others, and let some users resubmit."""
        for number in self.rounds(night):
            age, folder = night - (number - FIRST), self.folder / "rounds" / str(number)
            rng = np.random.default_rng([self.seed, number, age])
            if age == 0:
                self._open(number, folder, rng)
            else:
                self._targets(number, folder, rng, night)
            if age == 1:
                self._resubmit(folder, rng)

    def _open(self, number: int, folder: Path, rng: np.random.Generator) -> None:
        (folder / "submissions").mkdir(parents=True, exist_ok=True)
        first = number - FIRST
        pool = range(first * self.users // 10, self.users + first * self.users // 10)
        users = [f"user_{user:05d}" for user in pool if rng.random() < 0.95]
        stakes = np.exp(rng.normal(1, 2, len(users))) * (rng.random(len(users)) < 0.6)
        stakes[0] = 10.0
        lines = [f"{user},{stake:.6f}" for user, stake in zip(users, stakes, strict=True)]
        (folder / "stakes.csv").write_text("\n".join(["user,stake", *lines]) + "\n")
        for user in users:
            faulty = rng.random() < 0.03 and user != users[0]
            _submit(folder, user, self._ids(number), rng.random(self.stocks), faulty)

    def _targets(self, number: int, folder: Path, rng: np.random.Generator, night: int) -> None:
        if (night - (number - FIRST)) % 2 == 0:
            return  # as it was the day before
        values = rng.choice(["0.0", "0.25", "0.5", "0.75", "1.0"], self.stocks)
        pairs = zip(self._ids(number), values, strict=True)
        path = folder / "targets.csv"
        path.write_text("\n".join(["id,target", *map(",".join, pairs)]) + "\n")
        noon = datetime.combine(_START + timedelta(night), datetime.min.time(), UTC).timestamp()
        os.utime(path, (noon + 43_200, noon + 43_200))

    def _resubmit(self, folder: Path, rng: np.random.Generator) -> None:
        for path in sorted((folder / "submissions").iterdir()):
            if rng.random() < 0.03:
                ids = [line.partition(",")[0] for line in path.read_text().splitlines()[1:]]
                _submit(folder, path.stem, ids, rng.random(self.stocks), rng.random() < 0.2)

    def _ids(self, number: int) -> list[str]:
        return [f"n{number}{stock:05d}" for stock in range(self.stocks)]

    def command(self, night: int, which: str) -> list[str]:
        """Return a command of a night: score or history."""
        rounds = [str(self.folder / "rounds" / str(number)) for number in self.rounds(night)]
        scores = [part for score in SCORES for part in ("--score", score)]
        results, season = str(self.folder / "results"), str(self.folder / "gathered")
        options = {
            "score": [*rounds, "-o", results, "--engine", "numpy", "--keep-days", *scores],
            "history": [results, "-o", season, "--rule", RULE, "--factor", FACTOR,
                        "--window", "4", "--least-rounds", "2"],
        }  # fmt: skip
        return [sys.executable, "-m", "mmc_gpu", which, *options[which], "--quiet"]

    def run(self, kills: int = 0, until: float = math.inf) -> int | None:
        """Run the nights that are left; return how many commands were killed, all nights together.

        None where it is later than `until`, by the clock of `time.monotonic`, and nights are left.
        """
        rng = np.random.default_rng([self.seed, 1])
        due = np.sort(rng.choice(2 * self.nights, kills, replace=kills > 2 * self.nights))
        state, first, seconds, killed = self.folder / "nights.json", 0, [1.0, 1.0], 0
        if state.exists():
            first, seconds, killed = json.loads(state.read_text())
        for night in range(first, self.nights):
            if time.monotonic() > until:
                return None
            rng = np.random.default_rng([self.seed, 1, night])
            self.bring(night)
            for at, which in enumerate(("score", "history")):
                for _ in range(int(np.count_nonzero(due == 2 * night + at))):
                    after = rng.uniform(0.2, 0.95) * seconds[at]
                    while not _killed(self.command(night, which), after):
                        after /= 2  # it had ended before
                    killed += 1
                start = time.perf_counter()
                done = subprocess.run(self.command(night, which), check=False)
                assert done.returncode in (0, 4) or (which == "history" and night == 0), which
                seconds[at] = time.perf_counter() - start
            state.write_text(json.dumps([night + 1, seconds, killed]))
        (self.folder / "payouts").mkdir(exist_ok=True)
        for result in sorted((self.folder / "results").glob("[0-9]*")):
            paid = self.folder / "payouts" / f"{result.name}.csv"
            named = ["--rule", RULE, "--factor", FACTOR, "-o", str(paid), "--quiet"]
            pay = [sys.executable, "-m", "mmc_gpu", "pay", str(result), *named]
            subprocess.run(pay, check=True)
        return killed


def _submit(folder: Path, user: str, ids: list[str], values: Any, faulty: bool) -> None:
    texts = ["" if faulty and not at else f"{value:.6f}" for at, value in enumerate(values)]
    lines = [f"{id_},{text}" for id_, text in zip(ids, texts, strict=True)]
    path = folder / "submissions" / f"{user}.csv"
    path.write_text("\n".join(["id,prediction", *lines]) + "\n")


def _killed(command: list[str], after: float) -> bool:
    """Kill a command after so many seconds; return whether it was still running."""
    process = subprocess.Popen(command)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def contents(folder: Path) -> dict[str, bytes]:
    """Return what a season holds: rows, leaderboard, page and payouts."""
    paths = [
        path
        for place in ("gathered", "payouts")
        for path in sorted((folder / place).rglob("*"))
        if path.is_file() and path.parent.name != "season"  # whose users are in the order they came
    ]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def rows(season: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a history."""
    for path in sorted((season / "history").rglob("*.parquet")):
        yield from pq.read_table(path).to_pylist()


def check(folder: Path) -> int:
    """Check every row of a season against its results and an own computation; return how many."""
    expected = set()
    for receipt in (folder / "results").glob("*/days/*/receipt.json"):
        said = json.loads(receipt.read_text())
        title = said["title"]["round"], said["title"]["date"], said["scores_digest"]
        table = pq.read_table(receipt.with_name("scores.parquet"), columns=["user"])
        expected |= {(*title, user) for user in table["user"].to_pylist()}
    found = list(rows(folder / "gathered"))
    keys = [(row["round"], str(row["day"]), row["digest"], row["user"]) for row in found]
    assert len(set(keys)) == len(keys), "a row is there twice"
    assert set(keys) == expected, "rows are missing, or of no result"
    for row in found:
        share = Fraction(FACTOR) * (Fraction(row[SCORES[0]]) / 2 + 2 * Fraction(row[SCORES[1]]))
        clip = Fraction(1, 20)
        units = round(Fraction(row["stake"]) * max(-clip, min(clip, share)) * 10**18)
        assert int(row["payout"].scaleb(18)) == units, row
    return len(found)


def replay(folder: Path, kills: int, until: float = math.inf, **size: int) -> dict[str, Any] | None:
    """Run a season twice, the second time with kills; return what was found, all of it equal.

    None where it is later than `until`, and nights are left; see `World.run`.
    """
    calm, rough = World(folder / "calm", **size), World(folder / "rough", **size)
    with ThreadPoolExecutor(2) as both:
        runs = both.submit(calm.run, 0, until), both.submit(rough.run, kills, until)
        killed = [run.result() for run in runs]
    if None in killed:
        return None
    one, other = contents(calm.folder), contents(rough.folder)
    differing = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    assert not differing, differing
    checked, users = check(rough.folder), {row["user"] for row in rows(rough.folder / "gathered")}
    found = {"kills": killed[1], "users_in_all": len(users), "rows": checked, "files": len(one)}
    return {**size, **found}


_UPDATE = """
import resource, sys, time
import mmc_gpu
import pyarrow.parquet, mmc_gpu.files.results.history  # in a process that has them
start = time.perf_counter()
season = mmc_gpu.history(sys.argv[1], sys.argv[2], rules=["classic-2024"], factor=0.5)
seconds = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_SELF)
peak = used.ru_maxrss
if sys.platform == "linux":  # there it may be the parent's: a child begins as a copy
    peak = int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
print(season.added, seconds, used.ru_utime + used.ru_stime, peak / 1024)
"""


def incremental(folder: Path, rounds: int, new: int, users: int) -> dict[str, Any]:
    """Measure a history of so many rounds, then new ones in it, then one round alone."""
    sys.path.append(str(Path(__file__).parents[2] / "tests"))
    seasons = import_module("seasons")  # the tests'
    make_scores, write_round = seasons.make_scores, seasons.write_round
    pool = [f"user_{user:05d}" for user in range(users)]
    found: dict[str, Any] = {"rounds": rounds, "new": new, "users": users}
    for name, numbers in (("all", range(rounds)), ("new", range(rounds, rounds + new))):
        for number in numbers:
            write_round(folder / "results", make_scores(number, pool))
        found[name] = _measured(folder / "results", folder / "season")
    write_round(folder / "one", make_scores(0, pool))
    found["one"] = _measured(folder / "one", folder / "season_of_one")
    found["page_bytes"] = (folder / "season" / "index.html").stat().st_size
    for of in ("seconds", "process_cpu_seconds"):
        found[f"share_of_{of}"] = found["new"][of] / found["all"][of]
    return found


def _measured(results: Path, season: Path) -> dict[str, float]:
    command = [sys.executable, "-c", _UPDATE, str(results), str(season)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = ("added", "seconds", "process_cpu_seconds", "peak_mib")
    return dict(zip(names, map(float, done.stdout.split()), strict=True))


def main() -> None:
    """Run one of the two, and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nights", type=int, default=60)
    parser.add_argument("--in-flight", type=int, default=20)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keeps the season, so that it can go on")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--incremental", action="store_true")
    given = parser.parse_args()
    until = time.monotonic() + 60 * given.minutes
    with TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        found: dict[str, Any] | None
        if given.incremental:
            found = incremental(folder, 500, 20, 6_000)
        else:
            size = {name: getattr(given, name) for name in ("nights", "in_flight", "users", "seed")}
            found = replay(folder, given.kills, until, **size)
    print(json.dumps(found or "nights are left: the same command goes on with them", indent=1))


if __name__ == "__main__":
    main()
