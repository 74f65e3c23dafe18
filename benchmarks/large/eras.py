"""`python -m benchmarks.large.eras`: hundreds of models over a thousand eras, from one file.

Writes a Parquet file sorted by era, era by era, larger than memory if need be; evaluates it with
`mmc-gpu evaluate`, process start, reading and the file's sha256 included; and says how long it took
and how much memory the process had at its peak. numerai-tools scores a few of the eras, read from
the same file: its scores must agree, and its time an era is multiplied by the number of eras. The
disk's rate is measured in the same run. Ends in one JSON, and writes README's section anew.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.large.packed import disk_rate, timed
from benchmarks.machine import machine
from benchmarks.publish import headlines
from benchmarks.publish.markdown import README, replaced
from benchmarks.publish.results import FOLDER
from benchmarks.publish.tables import duration

METRICS = ("corr", "mmc", "corr20")
_TOLERANCE = 1e-12


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large.eras", description=__doc__)
    parser.add_argument("--eras", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=6_000, help="rows of an era")
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--peer-eras", type=int, default=3, help="eras that numerai-tools scores")
    parser.add_argument("--engine", default="cpu")
    parser.add_argument("--folder", type=Path, help="of the file; default: a temporary folder")
    parser.add_argument("--output", type=Path, default=FOLDER)
    asked = parser.parse_args(arguments)
    with TemporaryDirectory(dir=asked.folder) as scratch:
        found = measure(
            Path(scratch), asked.eras, asked.rows, asked.models, asked.peer_eras, asked.engine
        )
    text = json.dumps(found, indent=1)
    (asked.output / f"eras-{found['date'][:10]}.json").write_text(text + "\n")
    print(text)
    if asked.output == FOLDER:
        write()
    return 0


def measure(
    scratch: Path, eras: int, rows: int, models: int, peer_eras: int, engine: str
) -> dict[str, Any]:
    """Return everything that was measured.

    Raises:
        AssertionError: numerai-tools' scores differ.
    """
    file, result = scratch / "eras.parquet", scratch / "result"
    make_eras(file, eras, rows, models)
    rate = disk_rate([file])
    command = [sys.executable, "-m", "mmc_gpu", "evaluate", str(file), "-o", str(result)]
    command += ["--model", "model_*", "--meta-model", "meta_model", "--engine", engine]
    for metric in METRICS:
        command += ["--metric", metric]
    seconds = timed(lambda: subprocess.run(command, check=True, capture_output=True))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    found = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "machine": machine(),
        "eras": eras,
        "rows": rows,
        "models": models,
        "metrics": METRICS,
        "engine": engine,
        "file_bytes": file.stat().st_size,
        "disk_bytes_per_s": rate,
        "seconds": seconds,
        "peak_bytes": peak,
    }
    theirs = _numerai_tools(file, result, [eras * era // peer_eras for era in range(peer_eras)])
    return found | {"peer": {"eras": peer_eras, "seconds_an_era": theirs}}


def make_eras(path: Path, eras: int, rows: int, models: int, seed: int = 0) -> None:
    """Write eras of float32 predictions, one row group each: model_0..., meta_model, target."""
    rng = np.random.default_rng(np.random.Philox(seed))
    names = ["target", "meta_model", *(f"model_{model}" for model in range(models))]
    schema = pa.schema(
        [("era", pa.string()), ("id", pa.string()), *((name, pa.float32()) for name in names)]
    )
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=["era"]) as writer:
        for era in range(eras):
            values = rng.random((len(names), rows), np.float32)
            values[0] = rng.choice(5, rows, p=[0.05, 0.2, 0.5, 0.2, 0.05]) / 4
            values[1:] += np.float32(0.03) * values[0]
            ids = [f"n{era:05d}{row:06d}" for row in range(rows)]
            columns = [pa.array([f"{era:05d}"] * rows), pa.array(ids), *map(pa.array, values)]
            writer.write_table(pa.table(columns, schema=schema))


def _numerai_tools(file: Path, result: Path, eras: list[int]) -> float:
    """Return the seconds that numerai-tools takes for an era; its scores must be ours."""
    scored = pq.read_table(result / "eras.parquet").to_pandas().set_index("era")
    seconds = []
    for number in eras:
        start = time.perf_counter()
        frame = pq.ParquetFile(file).read_row_group(number).to_pandas().set_index("id")
        found = _their_scores(frame)
        seconds.append(time.perf_counter() - start)
        ours = scored.loc[frame["era"].iloc[0]].set_index("model")
        for metric, theirs in found.items():
            expected = theirs.reindex(ours.index)
            np.testing.assert_allclose(
                ours[metric], expected, _TOLERANCE, _TOLERANCE, equal_nan=False, err_msg=metric
            )
    return statistics.median(seconds)


def _their_scores(era: pd.DataFrame) -> dict[str, "pd.Series[float]"]:
    """Return each of METRICS of every model."""
    from numerai_tools import scoring

    models, target = era.filter(regex="^model_"), era["target"].astype(np.float64)
    return {
        "corr": scoring.numerai_corr(models, target),
        "mmc": scoring.correlation_contribution(models, era["meta_model"], target),
        "corr20": models.apply(lambda model: scoring.tie_broken_rank_correlation(target, model)),
    }


def section(found: dict[str, Any]) -> str:
    """Return README's section."""
    alone = found["peer"]["seconds_an_era"] * found["eras"]
    return (
        f"{found['models']:,} models x {found['eras']:,} eras x {found['rows']:,} rows, scores"
        f" {', '.join(found['metrics'])}: {duration(found['seconds'])} on"
        f" {found['machine']['cores']} cores, measured {found['date'][:10]}. The file has"
        f" {found['file_bytes'] / 1e9:.3g} GB, which the disk gives in"
        f" {duration(found['file_bytes'] / found['disk_bytes_per_s'])}, and is read twice, once for"
        f" its sha256; the process had {found['peak_bytes'] / 1e9:.2g} GB at its peak."
        f" numerai-tools took {duration(found['peer']['seconds_an_era'])} an era (median of"
        f" {found['peer']['eras']}), ≈ {duration(alone)} for all of them:"
        f" {alone / found['seconds']:.0f} times as long.\n"
    )


def filled(text: str) -> str:
    """Return README's text with the section made from the newest result."""
    results = sorted(FOLDER.glob("eras-*.json"))
    if not results:
        raise SystemExit("no results: run python -m benchmarks.large.eras")
    return replaced(text, "eras", section(json.loads(results[-1].read_text("utf-8"))))


def write() -> None:
    """Write README's section anew, and the project's README, which shows its figures too."""
    README.write_text(filled(README.read_text("utf-8")), "utf-8")
    headlines.write()


if __name__ == "__main__":
    raise SystemExit(main())
