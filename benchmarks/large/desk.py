"""`python -m benchmarks.large.desk`: the scientist's evaluations, beside ranking and 0.1.0.

Comparisons, each with both times of one run, in turns:

    ranks   corr, mmc and corr20 of 500 models over eras of 6,000 rows, from a frame, against
            `engine.rank` of the same columns
    errors  standard errors, intervals and deflated Sharpe ratios of 500 models over 1,000 eras,
            against as many histories that NumPy draws one by one
    small   22 models, 650 eras of 400 rows, 30 features, all default metrics, against an earlier
            version
    file    corr, mmc and corr20 of 500 models over eras of 6,000 rows, from a Parquet file with
            `mmc-gpu evaluate`, process start, sha256 and writing included, against an earlier
            version; with the process's memory at its peak
    join    20 models in shuffled files, joined to a file of 12 GB with 41 targets, of which
            `--targets` are scored; 2,200 features lie in it that nobody reads

`--earlier` names a checkout of the earlier version (`git worktree add FOLDER REVISION`); without it
only the times of this version are told. Ends in one JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.large.eras import METRICS, make_eras
from benchmarks.machine import machine
from mmc_gpu import evaluate, load_engine
from mmc_gpu.metrics.uncertainty import RESAMPLES, block_length, deflated_sharpe, estimate

HERE = Path(__file__).resolve().parents[2]

_SMALL = """
import sys, time
import numpy as np
import pandas as pd
import mmc_gpu

eras, rows, models, features = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
size = eras * rows
columns = {"era": np.repeat([f"{era:04d}" for era in range(eras)], rows)}
columns["target"] = target = rng.choice([0, 0.25, 0.5, 0.75, 1], size)
for name in (*(f"model_{model}" for model in range(models - 2)), "bench_0", "bench_1", "meta"):
    columns[name] = rng.random(size) + 0.02 * target
for feature in range(features):
    columns[f"feature_{feature}"] = (rng.integers(0, 5, size) / 4).astype(np.float32)
ids = pd.Index([f"n{row:07d}" for row in rng.permutation(size)], name="id")
frame = pd.DataFrame(columns, index=ids)
options = dict(models=["model_*"], meta_model="meta", benchmarks=["bench_*"],
               features=["feature_*"], engine="cpu")
mmc_gpu.evaluate(frame[frame["era"] < "0003"], **options)
start = time.perf_counter()
mmc_gpu.evaluate(frame, **options)
print(mmc_gpu.__path__[0], time.perf_counter() - start)
"""
"""Prints the version's folder and the seconds; run in that folder."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large.desk", description=__doc__)
    parser.add_argument("parts", nargs="*", default=["ranks", "errors", "small", "file"])
    parser.add_argument("--earlier", type=Path, help="checkout of an earlier version")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--eras", type=int, default=100, help="of the file")
    parser.add_argument("--targets", type=int, default=41, help="of the join")
    parser.add_argument("--folder", type=Path, help="of the file; default: a temporary folder")
    asked = parser.parse_args(arguments)
    found: dict[str, Any] = {"date": time.strftime("%Y-%m-%dT%H:%M:%S"), "machine": machine()}
    if "ranks" in asked.parts:
        found["ranks"] = ranks(500, 6000, 48, asked.turns)
    if "errors" in asked.parts:
        found["errors"] = errors(500, 1000, asked.turns)
    if "small" in asked.parts:
        found["small"] = small((650, 400, 22, 30), asked.earlier, asked.turns)
    if "file" in asked.parts:
        with TemporaryDirectory(dir=asked.folder) as scratch:
            found["file"] = file(Path(scratch), (asked.eras, 6000, 500), asked.earlier, asked.turns)
    if "join" in asked.parts:
        with TemporaryDirectory(dir=asked.folder) as scratch:
            _apart(make_join, Path(scratch), asked.eras // _TOGETHER, 7000 * _TOGETHER, 2200)
            found["join"] = join(Path(scratch), asked.targets)
    print(json.dumps(found, indent=1))
    return 0


def ranks(models: int, rows: int, eras: int, turns: int) -> dict[str, Any]:
    """Return the seconds of an evaluation, and of ranking its columns once, by turn."""
    rng, size = np.random.default_rng(0), eras * rows
    target = rng.choice([0, 0.25, 0.5, 0.75, 1], size).astype(np.float32)
    series = rng.random((models + 1, size), np.float32) + np.float32(0.03) * target
    columns = {f"model_{model}": row for model, row in enumerate(series[:-1])}
    labels = np.repeat([f"{era:05d}" for era in range(eras)], rows)
    columns |= {"era": labels, "target": target, "meta": series[-1]}
    ids = pd.Index([f"n{row:08d}" for row in range(size)], name="id")
    frame, engine = pd.DataFrame(columns, index=ids, copy=False), load_engine("cpu")

    def rank() -> None:
        for start in range(0, size, rows):
            engine.rank(series[:-1, start : start + rows], "average")

    def score(frame: pd.DataFrame = frame) -> None:
        evaluate(frame, models=["model_*"], meta_model="meta", metrics=METRICS, engine=engine)

    score(frame[:rows])  # compiles
    times = [[_seconds(run) for run in (rank, score)] for _ in range(turns)]
    ranked, scored = zip(*times, strict=True)
    ratio = statistics.median(ours / theirs for theirs, ours in times)
    return {"rank": ranked, "evaluate": scored, "ratio": ratio}


def errors(models: int, eras: int, turns: int) -> dict[str, Any]:
    """Return the seconds of the estimates, and of histories drawn one by one, by turn."""
    rng, overlap = np.random.default_rng(0), 4
    scores = rng.normal(0.01, 0.03, (eras, models))
    block = block_length(eras, overlap)

    def one_by_one() -> None:
        means, sharpes = np.empty((2, RESAMPLES, models))
        for number in range(RESAMPLES):
            starts = rng.integers(0, eras, -(-eras // block))
            history = scores[((starts[:, None] + np.arange(block)) % eras).ravel()[:eras]]
            means[number] = history.mean(axis=0)
            sharpes[number] = means[number] / history.std(axis=0)
        for drawn in (means, sharpes):
            np.quantile(drawn, [0.025, 0.975], axis=0)

    def ours() -> None:
        estimate(scores, overlap)
        deflated_sharpe(scores, overlap)

    ours()  # imports
    times = [[_seconds(run) for run in (one_by_one, ours)] for _ in range(turns)]
    drawn, estimated = zip(*times, strict=True)
    ratio = statistics.median(theirs / own for theirs, own in times)
    return {"one by one": drawn, "estimate": estimated, "ratio": ratio}


def small(shape: tuple[int, ...], earlier: Path | None, turns: int) -> dict[str, Any]:
    """Return the seconds of each version, by turn; shape is eras, rows, models, features."""
    command = [sys.executable, "-c", _SMALL, *map(str, shape)]

    def run(root: Path) -> float:
        done = subprocess.run(command, cwd=root, env=_of(root), check=True, stdout=-1, text=True)
        folder, seconds = done.stdout.split()
        if Path(folder) != root / "mmc_gpu":
            raise RuntimeError(f"{folder} was timed, not {root}")
        return float(seconds)

    return _beside(run, earlier, turns)


def file(
    scratch: Path, shape: tuple[int, int, int], earlier: Path | None, turns: int
) -> dict[str, Any]:
    """Return the seconds of each version, by turn, and its peak; shape is eras, rows, models."""
    path = scratch / "eras.parquet"
    _apart(make_eras, path, *shape)
    command = [sys.executable, "-m", "mmc_gpu", "evaluate", str(path), "--engine", "cpu"]
    command += ["--model", "model_*", "--meta-model", "meta_model"]
    command += [word for metric in METRICS for word in ("--metric", metric)]
    peaks: dict[str, int] = {}

    def run(root: Path) -> float:
        output = ["-o", str(scratch / ("now" if root == HERE else "earlier"))]
        seconds, peaks[str(root)] = _measured(command + output, root, scratch)
        return seconds

    found = _beside(run, earlier, turns)
    return found | {"file_bytes": path.stat().st_size, "peak_bytes": peaks[str(HERE)]}


_TOGETHER = 20
"""Eras of a row group: as large as Numerai's, whose metadata would otherwise be the most of it."""


def make_join(scratch: Path, groups: int, rows: int, features: int) -> None:
    """Write a file of validation, some eras a row group, and 20 shuffled files of predictions.

    12 GB are 700 eras of 7,000 rows and 2,200 features.
    """
    rng = np.random.default_rng(0)
    ids = np.array([f"n{number:015x}" for number in rng.permutation(groups * rows) * 977])
    file = scratch / "validation.parquet"
    writer = None
    for group in range(groups):
        columns: dict[str, Any] = {"id": ids[group * rows : (group + 1) * rows]}
        eras = [f"{group * _TOGETHER + era:04d}" for era in range(_TOGETHER)]
        columns["era"] = np.repeat(eras, rows // _TOGETHER)
        for target in range(41):
            columns[f"target_{target}"] = rng.integers(0, 5, rows).astype(np.float32) / 4
        values = np.frombuffer(rng.bytes(features * rows), np.int8).reshape(features, rows)
        columns |= {f"feature_{at}": row for at, row in enumerate(values)}
        table = pa.table(columns)
        names = [name for name in columns if name.startswith("feature")]  # a byte a value
        writer = writer or pq.ParquetWriter(file, table.schema, use_dictionary=names)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    for model in range(20):
        order = rng.permutation(len(ids))
        prediction = rng.random(len(ids), np.float32)
        pq.write_table(
            pa.table({"id": ids[order], "prediction": prediction}), scratch / f"m{model}.parquet"
        )


def join(scratch: Path, targets: int) -> dict[str, Any]:
    """Return the seconds and the peak of an evaluation of the files of `make_join`."""
    file = scratch / "validation.parquet"
    command = [sys.executable, "-m", "mmc_gpu", "evaluate", str(file), "--engine", "cpu"]
    command += ["--predictions", str(scratch / "m*.parquet"), "-o", str(scratch / "result")]
    command += [word for at in range(targets) for word in ("--target", f"target_{at}")]
    seconds, peak = _measured(command, HERE, scratch)
    found = {"seconds": seconds, "peak_bytes": peak}
    return found | {"file_bytes": file.stat().st_size, "targets": targets}


def _apart(write: Callable[..., object], *arguments: Any) -> None:
    """Write files in another process: a peak begins at that of the process which starts it."""
    writer = get_context("spawn").Process(target=write, args=arguments)
    writer.start()
    writer.join()
    if writer.exitcode:
        raise RuntimeError(f"{write.__name__} ended with {writer.exitcode}")


def _measured(command: list[str], root: Path, folder: Path) -> tuple[float, int]:
    """Run a version's command in a folder; return its seconds, and its peak in bytes."""
    start = time.perf_counter()
    child = subprocess.Popen(command, env=_of(root), stdout=-3, stderr=-3, cwd=folder)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}")
    return time.perf_counter() - start, used.ru_maxrss * 1024


def _beside(run: Any, earlier: Path | None, turns: int) -> dict[str, Any]:
    roots = {"now": HERE} | ({"earlier": earlier.resolve()} if earlier else {})
    times: dict[str, list[float]] = {name: [] for name in roots}
    for _ in range(turns):
        for name, root in roots.items():
            times[name].append(run(root))
    if not earlier:
        return dict(times)
    pairs = zip(times["earlier"], times["now"], strict=True)
    return times | {"ratio": statistics.median(before / now for before, now in pairs)}


def _of(root: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(root)}


def _seconds(run: Any) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    raise SystemExit(main())
