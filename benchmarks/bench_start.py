"""What a fresh process costs: imports, the first call, and the command on a Parquet round."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.cases import Case, Size
from benchmarks.entries import Entry
from benchmarks.measure import Measure
from benchmarks.peers.competitors import engines
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round

_SHAPES = {"tiny": (20, 40), "quick": (1000, 5000), "full": (5000, 5000)}
_SMALL_SHAPES = {"tiny": (20, 40), "quick": (400, 3000), "full": (400, 3000)}

_COMMANDS = {
    "python": ["-c", "pass"],
    "import numpy": ["-c", "import numpy"],
    "import mmc_gpu": ["-c", "import mmc_gpu"],
    "mmc-gpu --help": ["-m", "mmc_gpu", "--help"],
}
_CALL = """
import sys, numpy as np, mmc_gpu
rng = np.random.default_rng(0)
target = rng.integers(0, 5, 200) / 4
mmc_gpu.score_round(rng.random((200, 50)), np.ones(50), target, engine=sys.argv[1])
"""
_READ = """
import sys, numpy, pyarrow.csv, pyarrow.parquet
from pathlib import Path
for path in Path(sys.argv[1]).iterdir():
    read = pyarrow.csv.read_csv if path.suffix == ".csv" else pyarrow.parquet.read_table
    read(path)
"""
ANY = "any"
COLD, WARM = "first call, empty cache", "first call, cache filled"
READ, SCORE = "read the Parquet file", "mmc-gpu score"
BARE, SMALL = "import NumPy and pyarrow, read a small round", "mmc-gpu score, a small round"


def entries(size: Size) -> Iterator[Entry]:
    turns, compilations = {"tiny": (1, 1), "quick": (3, 1), "full": (5, 3)}[size]
    call = Case(50, 200)
    for command in _COMMANDS:
        yield Entry(call, ANY, command, against="", turns=turns)
    for name in engines():
        yield Entry(call, name, COLD, against="", turns=compilations)
        yield Entry(call, name, WARM, against="", turns=compilations)
    small = Case(*_SMALL_SHAPES[size], kind="sample")
    yield Entry(small, ANY, BARE, against="", turns=turns)
    for name in ("auto", *engines()):
        yield Entry(small, name, SMALL, against="", turns=turns)
    users, stocks = _SHAPES[size]
    case = Case(users, stocks, kind="sample")
    yield Entry(case, ANY, READ, against="", turns=turns)
    for name in engines():
        yield Entry(case, name, SCORE, against="", turns=turns)


def bench_start(
    entry: Entry,
    turn: int,
    measure: Measure,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    if entry.part in _COMMANDS:
        measure(lambda: _python(*_COMMANDS[entry.part]), warm_up=1)
    elif entry.part in (COLD, WARM):
        # the first process of a turn compiles into an empty folder, the second finds it there
        cache = tmp_path_factory.getbasetemp() / f"compiled-{entry.competitor}-{turn}"
        measure(lambda: _python("-c", _CALL, entry.competitor, cache=cache))
    else:
        folder = _round_folder(entry.case, tmp_path_factory)
        if entry.part == BARE:
            measure(lambda: _python("-c", _READ, str(folder)), warm_up=1)
        elif entry.part == READ:
            measure(lambda: pq.read_table(folder / "predictions.parquet"), warm_up=1)
        else:
            command = ["-m", "mmc_gpu", "score", str(folder), "-o", str(tmp_path / "result")]
            measure(lambda: _python(*command, "--engine", entry.competitor), warm_up=1)


def _python(*arguments: str, cache: Path | None = None) -> None:
    environment = os.environ | ({"NUMBA_CACHE_DIR": str(cache)} if cache else {})
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)


def _round_folder(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a made-up round in it, written once a session."""
    folder = tmp_path_factory.getbasetemp() / f"round-{case.users}x{case.stocks}"
    if not folder.exists():
        write_sample_round(folder, make_sample_round(case.users, case.stocks))
    return folder
