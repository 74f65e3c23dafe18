"""`python -m benchmarks.large.packed`: rounds larger than memory, packed and scored from disk.

Packs a folder of CSV submissions; makes a packed round of any size, which is streamed to disk too;
scores it in a process of its own, and measures the time of each pass, bytes a second, and
the memory of the process at its peak. The bounds are measured in the same run: the disk's
reading, and the CPU engine on predictions in memory. Ends in one JSON.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.publish import headlines
from benchmarks.publish.results import FOLDER
from mmc_gpu.engines import load_engine
from mmc_gpu.files.rounds.packed_writer import Batch, PackedWriter
from mmc_gpu.files.rounds.packing import pack_round
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.round import take_round
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round
from mmc_gpu.rounds.scoring import score
from mmc_gpu.rounds.stakes import Stakes
from mmc_gpu.rounds.targets import Targets

_BATCH = 1024
_STAKED = 0.6

_SCORED = """
import json, sys, time
from pathlib import Path
from mmc_gpu.engines import load_engine
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.scoring import score
began = time.perf_counter()
engine = load_engine(sys.argv[2])
round_ = read_round(Path(sys.argv[1])).round
marks = {"opened": time.perf_counter()}
def progress(stage, done, total):
    marks[stage] = time.perf_counter()
scores = score(round_, Method(), engine, draws=False, progress=progress)
digest = scores.digest
end = time.perf_counter()
print(json.dumps({
    "open_s": marks["opened"] - began,
    "blend_s": marks["blend"] - marks["opened"],
    "score_s": marks["score"] - marks["blend"],
    "digest_s": end - marks["score"],
    "total_s": end - began,
    "digest": digest,
}))
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large.packed", description=__doc__)
    parser.add_argument("--users", type=int, default=100_000, help="users of the streamed round")
    parser.add_argument("--stocks", type=int, default=5_000)
    parser.add_argument("--submissions", type=int, default=5_000, help="CSV files to pack")
    parser.add_argument("--engine", default="cpu")
    parser.add_argument(
        "--folder", type=Path, help="on the disk that is measured; default: a temporary folder"
    )
    parser.add_argument("--output", type=Path, default=FOLDER)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        found = run(Path(scratch), asked.users, asked.stocks, asked.submissions, asked.engine)
    asked.output.mkdir(parents=True, exist_ok=True)
    name = f"packed-{time.strftime('%Y-%m-%d')}-{asked.users}x{asked.stocks}.json"
    (asked.output / name).write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    if asked.output == FOLDER:
        headlines.write()
    return 0


def run(folder: Path, users: int, stocks: int, submissions: int, engine: str) -> dict[str, Any]:
    """Return everything that was measured."""
    found: dict[str, Any] = {"machine": machine({}), "stocks": stocks}
    found["csv"] = _csv(folder / "csv", submissions, stocks)
    packed = folder / "packed"
    seconds = timed(lambda: make_packed(packed, users, stocks))
    size = sum(path.stat().st_size for path in packed.glob("*.npy"))
    found["made"] = {"users": users, "bytes": size, "seconds": seconds}
    found["disk_bytes_per_s"] = disk_rate(list(packed.glob("*.npy")))
    found["memory_bytes_per_s"] = _in_memory(min(users, 5_000), stocks, engine)
    measured = _scored(packed, engine)
    read = size * (1 + _STAKED)  # stakers twice
    found["scored"] = measured | {"bytes_per_s": read / measured["total_s"]}
    bound = min(found["disk_bytes_per_s"], found["memory_bytes_per_s"])
    found["share_of_bound"] = size / measured["total_s"] / bound
    return found


def make_packed(folder: Path, users: int, stocks: int, seed: int = 0) -> None:
    """Write a packed round of float32 predictions, block by block."""
    rng = np.random.Generator(np.random.SFC64(seed))
    ids = [f"n{number:06d}" for number in range(stocks)]
    names = [f"user_{number:07d}" for number in range(users)]
    common = rng.random(stocks, np.float32)
    with PackedWriter(folder, lambda: ids) as writer:
        for batch in _batches(names, common, rng):
            writer.add(batch)
        staked = rng.random(users) < _STAKED
        stakes = np.exp(rng.normal(1.1, 3.0, users)).clip(0.01, 2e4)
        values = {n: float(s) for n, s, own in zip(names, stakes, staked, strict=True) if own}
        target = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], stocks, p=[0.05, 0.2, 0.5, 0.2, 0.05])
        writer.finish(Stakes(values), Targets(ids, {"target": target}), [])
        writer.commit()


def _batches(names: list[str], common: Any, rng: np.random.Generator) -> Iterator[Batch]:
    for start in range(0, len(names), _BATCH):
        users = names[start : start + _BATCH]
        matrix = rng.random((len(users), len(common)), np.float32)
        matrix *= np.float32(0.5)
        matrix += np.float32(0.5) * common
        none = np.zeros(len(users), np.int64)
        yield Batch(users, [bytes(32)] * len(users), matrix, none, none)


def _csv(folder: Path, submissions: int, stocks: int) -> dict[str, Any]:
    """Pack a folder of CSV files with one submission each."""
    sample = make_sample_round(submissions, stocks, seed=1)
    write_sample_round(folder / "wide", sample)
    (folder / "round/submissions").mkdir(parents=True)
    for name in ("targets.csv", "stakes.csv"):
        shutil.copy(folder / "wide" / name, folder / "round")
    for user, predictions in zip(sample.users, sample.predictions, strict=True):
        lines = [f"{i},{p!r}" for i, p in zip(sample.ids, predictions.tolist(), strict=True)]
        text = "\n".join(["id,prediction", *lines, ""])
        (folder / f"round/submissions/{user}.csv").write_text(text)
    runs = [
        timed(partial(pack_round, folder / "round", folder / f"packed{turn}")) for turn in range(3)
    ]
    seconds = statistics.median(runs)
    return {"submissions": submissions, "seconds": seconds, "per_s": submissions / seconds}


def disk_rate(paths: Sequence[Path]) -> float:
    """Return how many bytes a second come from the disk; no file is in its cache afterwards."""
    buffer = bytearray(16 * 2**20)

    def read() -> None:
        for path in paths:
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass

    _forget(paths)
    seconds = timed(read)
    _forget(paths)
    return sum(path.stat().st_size for path in paths) / seconds


def _forget(paths: Sequence[Path]) -> None:
    """Let the system's cache drop what it holds of files."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())  # what is not yet written would stay
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _in_memory(users: int, stocks: int, engine: str) -> float:
    """Return how many bytes of predictions a second the engine scores from memory."""
    rng = np.random.default_rng(0)
    predictions = rng.random((users, stocks), np.float32)
    round_ = take_round(predictions.T, rng.random(users), rng.random(stocks))
    loaded = load_engine(engine)
    runs = [timed(lambda: score(round_, Method(), loaded)) for _ in range(6)]
    return predictions.nbytes / statistics.median(runs[1:])


def _scored(packed: Path, engine: str) -> dict[str, Any]:
    """Score in a process of its own; its memory and passes."""
    command = [sys.executable, "-c", _SCORED, str(packed), engine]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured = json.loads(done.stdout)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return measured | {"peak_bytes": peak}


def timed(call: Callable[[], object]) -> float:
    """Return how many seconds a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    raise SystemExit(main())
