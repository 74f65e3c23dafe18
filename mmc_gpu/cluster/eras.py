"""`evaluate` in blocks: runs of consecutive eras of a file that every worker reads by its path."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import mmc_gpu
from mmc_gpu.cluster.pools import block_name, check_version, kept, run_blocks
from mmc_gpu.cluster.ray_pool import Cluster, RayPool
from mmc_gpu.cluster.sealed import Store, seal
from mmc_gpu.engines import load_engine
from mmc_gpu.era_columns import Columns, Label
from mmc_gpu.errors import RoundError
from mmc_gpu.evaluation import Board
from mmc_gpu.files.eras import CsvEras, ParquetEras, open_eras

ERAS = "eras"
"""What the blocks are called."""

_BLOCK_BYTES = 64 * 2**20
"""Of numbers in a block; eras are larger than users' rows, and a row group may span a few."""


@dataclass(frozen=True)
class EraJob:
    """All that a worker needs to know of an evaluation; see `Job`.

    Attributes:
        file: as every worker finds it.
        sha256: of the file.
        columns: which of its columns are what.
        metrics: their names; None for all that there is data for.
        size: eras a block.
        engine: by name.
        threads: of the cpu engine.
        version: of mmc_gpu.
    """

    file: str
    sha256: str
    columns: Columns
    metrics: tuple[str, ...] | None
    size: int
    engine: str
    threads: int = 1
    version: str = mmc_gpu.__version__

    @property
    def key(self) -> str:
        """Return a sha256 of what the blocks' bits depend on."""
        of = asdict(self)
        for name in ("file", "engine", "threads"):
            del of[name]
        return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()

    def eras(self, number: int) -> slice:
        """Return which eras a block holds."""
        return slice(number * self.size, (number + 1) * self.size)

    def who(self, stage: str, number: int) -> str:
        """Return for a message which eras a block holds."""
        eras = _open(self)[1][self.eras(number)]
        return f"{self.file}: eras {eras[0]!a} to {eras[-1]!a}"


def score_eras(job: EraJob, number: int) -> bytes:
    """Return the scores of a block's eras, sealed."""
    source, labels = _open(job)
    eras = job.eras(number)
    engine = load_engine(job.engine, job.threads)
    board = Board(job.columns, job.metrics, labels[eras])
    board.score(source, eras.start, engine)
    return seal(job.key, block_name(ERAS, number), board.arrays() | {"engine": engine.name})


@lru_cache(maxsize=2)
def _open(job: EraJob) -> tuple[ParquetEras | CsvEras, list[Label]]:
    check_version(job)
    source = open_eras(Path(job.file))
    if source.source.sha256 != job.sha256:
        raise RoundError("file-damaged", f"{job.file}: not the file that the driver has read")
    return source, source.labels(job.columns.era)


def evaluate_on_cluster(
    source: Any,
    board: Board,
    engine: Any,
    cluster: str | Cluster,
    report: Callable[[int], None],
    rows: int | None = None,
) -> str:
    """Write the scores of all eras of a file onto the board; return the engine's name.

    Args:
        source: the file, open on this machine.
        board: of all its eras.
        engine: by name, of each worker.
        cluster: where.
        report: called with how many eras are done.
        rows: rows a block, rounded to whole eras of equal size; by default 64 MiB of numbers.

    Raises:
        RoundError: a block has failed three times; the error names the eras.
        EngineUnavailable: Ray is not installed, or the engine cannot run on a worker.
        ValueError: it is no file, or the engine is not a name.
    """
    if not isinstance(source, ParquetEras | CsvEras):
        raise ValueError("workers read files by path: pass the path of a Parquet or CSV file")
    cluster = Cluster(cluster) if isinstance(cluster, str) else cluster
    eras = len(board.labels)
    rows = rows or _BLOCK_BYTES // (8 * len(board.columns.numeric))
    job = EraJob(
        str(source.source.path.absolute()),
        source.source.sha256,
        board.columns,
        board.metrics,
        max(1, rows * eras // source.rows),
        engine,
        cluster.threads,
    )
    numbers = range(-(-eras // job.size))
    with RayPool(cluster, engine) as pool, kept(cluster.keep) as folder:
        store = Store(folder / job.key[:16], job.key)
        run_blocks(
            *(pool, store, ERAS, score_eras, numbers, (job,)),
            report=lambda done: report(min(done * job.size, eras)),
        )
        names = set()
        for number in numbers:
            arrays = store.take(block_name(ERAS, number))
            board.put(job.eras(number), arrays)
            names.add(str(arrays["engine"]))
    return "+".join(sorted(names))
