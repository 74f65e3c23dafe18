"""`python -m benchmarks.large.waits`: what a person waits for, beside what cannot be saved.

Each part takes its times in turns, in one run:

    wide     `mmc-gpu score -o` of 5,000 users x 5,000 stocks with the cpu engine, the process's
             start included, from one wide Parquet file. Beside it pyarrow reads the same file, with
             all cores, and nothing else
    each     the same from a folder with one Parquet file a user
    frames   `score_round` of the same numbers as an array, and as frames: pandas, ids in the index
             or in a column, in order or not; polars; Arrow. Beside it all values are read once
    start    the start item by item, each alone in a fresh process, then the whole command with a
             page: of the wide files, and of the round in a folder that `--round` names
    commands whole processes: `score -o` of a small round (400 x 3,000), `--help`, two imports, and
             beside them what no version can save: Python, `import numpy`, reading the same files
    borders  `score` with the NumPy engine and the cpu engine, by the number of values: where their
             times cross is the border of `auto`; with the kernels kept, and with none compiled

`--earlier` names a checkout of an earlier version (`git worktree add FOLDER REVISION`), which takes
its turns in `wide`, `each`, `start` and `commands`. Prints tables, and ends in one JSON.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import machine
from mmc_gpu.api import score_round
from mmc_gpu.cli.options import QUARANTINED
from mmc_gpu.engines import load_engine
from mmc_gpu.engines.arrays import Numbers
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round

HERE = Path(__file__).resolve().parents[2]
NOW, EARLIER = "now", "earlier"

_Way = TypeVar("_Way")

_READ = """
import sys, time
import pyarrow.parquet as pq
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
files = [*map(str, Path(sys.argv[1]).rglob("*.parquet"))]
start = time.perf_counter()
if len(files) == 1:
    pq.read_table(files[0])
else:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda file: pq.ParquetFile(file).read(use_threads=False), files))
print(time.perf_counter() - start)
"""
"""Reads Parquet files; prints the seconds, imports not counted."""

_FILES = """
import sys, numpy, pyarrow.csv, pyarrow.parquet
from pathlib import Path
for path in Path(sys.argv[1]).iterdir():
    read = pyarrow.csv.read_csv if path.suffix == ".csv" else pyarrow.parquet.read_table
    read(path)
"""
"""Reads the files of a round."""

_ITEMS = """
import sys, time
times, last = {}, [time.perf_counter()]
def told(item):
    times[item] = time.perf_counter() - last[0]
    last[0] = time.perf_counter()
import mmc_gpu.cli.app
told("import the command line")
import numpy
told("import NumPy")
import pyarrow, pyarrow.parquet, pyarrow.csv
told("import pyarrow")
from mmc_gpu.cli.runs import Run
from mmc_gpu.rounds.method import Method
from mmc_gpu.engines import load_engine
told("import what scores and writes")
engine = load_engine("cpu")
told("import numba and the cpu engine")
import numpy as np
from mmc_gpu.rounds.round import take_round
from mmc_gpu.rounds.scoring import score
small = take_round(np.random.default_rng(0).random((200, 50)), np.ones(50), np.arange(200) % 5 / 4)
score(small, Method(), engine)
told("load the kernels")
from pathlib import Path
run = Run(Method(), engine, report=True)
files = run.read(Path(sys.argv[1]))
told("read and check the files")
scores = score(files.round, Method(), engine)
told("score")
Run(Method(), engine).write(Path(sys.argv[2]), scores, files)
told("write scores and receipt")
run.write(Path(sys.argv[2]), scores, files)
told("write them with the page")
import json
print(json.dumps(times))
"""
"""Times each item of a start, one after another; prints them as JSON."""


_COMMANDS = {
    "python": ["-c", "pass"],
    "import numpy": ["-c", "import numpy"],
    "NumPy, pyarrow, the files": ["-c", _FILES, "ROUND"],
    "import mmc_gpu": ["-c", "import mmc_gpu"],
    "import mmc_gpu.metrics": ["-c", "import mmc_gpu.metrics"],
    "mmc-gpu --help": ["-m", "mmc_gpu", "--help"],
    "mmc-gpu score -o": ["-m", "mmc_gpu", "score", "ROUND", "-o", "OUTPUT"],
}
"""Whole processes; ROUND and OUTPUT stand for folders."""

_STOCKS, _KEPT, _NOT_COMPILED = 3000, (1, 2, 5, 10), (20, 50, 100)
"""Of the borders: stocks of a round, and millions of values."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large.waits", description=__doc__)
    parser.add_argument("parts", nargs="*", default=["wide", "each", "frames", "start", "commands"])
    parser.add_argument("--earlier", type=Path, help="checkout of an earlier version")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--users", type=int, default=5000)
    parser.add_argument("--stocks", type=int, default=5000)
    parser.add_argument("--round", type=Path, help="a further round for `start`")
    parser.add_argument("--folder", type=Path, help="where files are made, and left for a next run")
    asked = parser.parse_args(arguments)
    roots = {NOW: HERE} | ({EARLIER: asked.earlier.resolve()} if asked.earlier else {})
    found: dict[str, Any] = {"date": time.strftime("%Y-%m-%dT%H:%M:%S"), "machine": machine()}
    with TemporaryDirectory() as scratch:
        place = asked.folder or Path(scratch)
        own = {"wide", "each", "start"} & {*asked.parts}
        rounds = make_rounds(place, asked.users, asked.stocks) if own else {}
        for name, folder in rounds.items():
            if name in asked.parts:
                found[name] = files(folder, place / "out", roots, asked.turns)
        if "frames" in asked.parts:
            found["frames"] = frames(asked.users, asked.stocks, asked.turns)
        if "commands" in asked.parts:
            found["commands"] = commands(place, roots, asked.turns)
        if "borders" in asked.parts:
            found["borders"] = borders(place, asked.turns)
        if "start" in asked.parts:
            started = [rounds["wide"], *([asked.round] if asked.round else [])]
            found["start"] = {
                folder.name: start(folder, place / "out", roots, asked.turns) for folder in started
            }
    print(json.dumps(found, indent=1))
    return 0


def make_rounds(place: Path, users: int, stocks: int) -> dict[str, Path]:
    """Return the folders of one round as a wide file and as a file a user, made if need be."""
    wide, each = place / f"{users}x{stocks}-wide", place / f"{users}x{stocks}-each"
    if not each.exists():
        sample = make_sample_round(users, stocks)
        write_sample_round(wide, sample)
        (each / "submissions").mkdir(parents=True)
        for name in ("targets.csv", "stakes.csv"):
            shutil.copy(wide / name, each)
        for user, predictions in zip(sample.users, sample.predictions, strict=True):
            table = pa.table({"id": sample.ids, "prediction": predictions})
            pq.write_table(table, each / "submissions" / f"{user}.parquet")
    return {"wide": wide, "each": each}


def files(folder: Path, output: Path, roots: Mapping[str, Path], turns: int) -> dict[str, Any]:
    """Return the seconds of reading a round's Parquet files and of each version's `score -o`."""
    command = [sys.executable, "-m", "mmc_gpu", "score", str(folder), "--engine", "cpu", "-o"]

    def read() -> float:
        return float(_said([sys.executable, "-c", _READ, str(folder)], HERE))

    def score(root: Path) -> Callable[[], float]:
        return lambda: _seconds(lambda: _said([*command, str(output)], root))

    found = taking_turns(
        {"read": read} | {name: score(root) for name, root in roots.items()}, turns
    )
    read_s = statistics.median(found["read"])
    bound = 3 * read_s + 0.5
    for name, times in found.items():
        share = statistics.median(times) / bound
        print(f"{folder.name:20} {name:10} {_shown(times)}   {share:.2f} of 3 reads + 0.5 s")
    return {"seconds": found, "bound_s": bound}


def frames(users: int, stocks: int, turns: int) -> dict[str, list[float]]:
    """Return the seconds of `score_round` from an array and from frames of the same numbers."""
    import pandas as pd
    import polars as pl

    rng = np.random.default_rng(0)
    array = rng.random((users, stocks)).T
    names, ids = (
        [f"{kind}{n:05d}" for n in range(size)]
        for kind, size in zip("un", array.shape[::-1], strict=True)
    )
    stakes = {name: stake for name, stake in zip(names, rng.random(users), strict=True)}
    target = pd.Series(rng.integers(0, 5, stocks) / 4, ids)
    mixed, several = rng.permutation(stocks), rng.permutation(users)
    in_order = pd.DataFrame(array, ids, names, copy=False)
    people = pd.DataFrame(  # as people have it: neither stocks nor users in order
        array[mixed].T[several].copy().T, np.array(ids)[mixed], np.array(names)[several], copy=False
    )
    series = {name: people[name] for name in people}
    joined = pd.concat(series, axis=1)  # a column a user
    own = {"id": people.index.to_series()} | series
    column = pd.concat(own, axis=1).set_axis(range(stocks))
    given = {
        "array": array,
        "pandas, in order": in_order,
        "pandas": people,
        "pandas, by rows": pd.DataFrame(people.to_numpy().copy(), people.index, people.columns),
        "pandas, joined": joined,
        "pandas, column id": column,
        "polars": pl.from_pandas(column),
        "Arrow": pa.Table.from_pandas(column, preserve_index=False),
    }
    engine = load_engine("cpu")

    def score(data: Any) -> Callable[[], float]:
        beside: tuple[Any, Any] = (stakes, target)
        if isinstance(data, np.ndarray):
            beside = list(stakes.values()), target.to_numpy()
        return lambda: _seconds(lambda: score_round(data, *beside, engine=engine))

    ways = {"one read": lambda: _seconds(lambda: _read(array))}
    found = taking_turns(ways | {name: score(data) for name, data in given.items()}, turns)
    for name, times in found.items():
        print(f"{name:20} {_shown(times)}")
    return found


def start(folder: Path, output: Path, roots: Mapping[str, Path], turns: int) -> dict[str, Any]:
    """Return the seconds of each item of a start, and of the whole command, of each version."""
    command = [sys.executable, "-m", "mmc_gpu", "score", str(folder), "--engine", "cpu"]
    command += ["--report", "-o", str(output)]
    found: dict[str, dict[str, list[float]]] = {name: {} for name in roots}
    for _ in range(turns):
        for name, root in roots.items():
            said = _said([sys.executable, "-c", _ITEMS, str(folder), str(output)], root)
            items = json.loads(said.splitlines()[-1])
            items["sum"] = sum(items.values())
            items["the whole command"] = _seconds(partial(_said, command, root))
            for item, seconds in items.items():
                found[name].setdefault(item, []).append(seconds)
    print(f"{folder.name:34}{''.join(f'{name:>22}' for name in roots)}")
    for item in found[NOW]:
        print(f"{item:34}" + "".join(f"{_shown(found[name][item]):>22}" for name in roots))
    return found


def commands(place: Path, roots: Mapping[str, Path], turns: int) -> dict[str, Any]:
    """Return the seconds of whole processes, each version's in turn, by command and version."""
    folder = place / "400x3000"
    if not folder.exists():
        write_sample_round(folder, make_sample_round(400, 3000))
    named = {"ROUND": str(folder), "OUTPUT": str(place / "out")}
    each = {
        (name, version): [sys.executable, *(named.get(part, part) for part in command)]
        for name, command in _COMMANDS.items()
        for version in (roots if "mmc" in name else [NOW])
    }
    ways = {
        key: partial(_seconds, partial(_said, command, roots[key[1]]))
        for key, command in each.items()
    }
    found = taking_turns(ways, turns)
    for (name, version), times in found.items():
        print(f"{name:28} {version:8} {_shown(times)}")
    return {name: {v: found[n, v] for n, v in found if n == name} for name in _COMMANDS}


def borders(place: Path, turns: int) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of `score` by engine, millions of values, and whether nothing is compiled.

    Where nothing is compiled, one turn has to do.
    """
    found = {}
    for millions in (*_KEPT, *_NOT_COMPILED):
        folder, new = place / f"{millions} million", millions in _NOT_COMPILED
        write_sample_round(folder, make_sample_round(millions * 10**6 // _STOCKS, _STOCKS))

        def score(engine: str, folder: Path = folder, new: bool = new) -> float:
            command = [sys.executable, "-m", "mmc_gpu", "score", str(folder), "--engine", engine]
            with TemporaryDirectory() as cache:
                kept = {"NUMBA_CACHE_DIR": cache} if new else {}
                return _seconds(lambda: _said(command, HERE, kept))

        ways = {engine: partial(score, engine) for engine in ("numpy", "cpu")}
        name = f"{millions} million{', nothing compiled' if new else ''}"
        found[name] = taking_turns(ways, 1, before=0) if new else taking_turns(ways, turns)
        shutil.rmtree(folder)
        print(f"{name:32}{''.join(f'{e:>8} {_shown(t)}' for e, t in found[name].items())}")
    return found


def taking_turns(
    ways: Mapping[_Way, Callable[[], float]], turns: int, before: int = 1
) -> dict[_Way, list[float]]:
    """Return the seconds of each way, by turn: what is compared is timed in the same minutes.

    A turn before the first is not counted: it compiles, and fills the system's caches.
    """
    taken = [[way() for way in ways.values()] for _ in range(before + turns)]
    return dict(zip(ways, map(list, zip(*taken[before:], strict=True)), strict=True))


def _read(array: Numbers) -> None:
    array.T.reshape(-1).view(np.int64).max()  # of integers: NumPy's fastest way to touch every byte


def _said(command: list[str], root: Path, more: Mapping[str, str] = MappingProxyType({})) -> str:
    """Run a command with a version, and with more variables; return what it prints."""
    environment = os.environ | {"PYTHONPATH": str(root)} | dict(more)
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True)
    if done.returncode not in (0, QUARANTINED):
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _shown(times: list[float]) -> str:
    return f"{statistics.median(times):6.3f} s ({min(times):.3f}-{max(times):.3f})"


if __name__ == "__main__":
    raise SystemExit(main())
