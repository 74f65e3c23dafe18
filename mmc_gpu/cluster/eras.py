"""`evaluate` in blocks of consecutive eras; every worker reads the file by its path."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmc_gpu.cluster.pools import (
    Job,
    Pool,
    block_name,
    check_version,
    engine_of,
    run_blocks,
    stores,
)
from mmc_gpu.cluster.ray_pool import Cluster, RayPool
from mmc_gpu.cluster.sealed import seal
from mmc_gpu.eras.board import Board
from mmc_gpu.eras.columns import Columns, Label
from mmc_gpu.errors import RoundError
from mmc_gpu.files.eras import PartEras, PieceEras, WholeEras, open_eras
from mmc_gpu.inputs.options import Progress, silent
from mmc_gpu.version import __version__

ERAS = "eras"  # the stage in the blocks' names

_BLOCK_BYTES = 64 * 2**20
"""Bytes of numbers in a block. It is more than a round's, since a row group may hold some eras."""


@dataclass(frozen=True)
class EraJob(Job):
    """All that a worker needs to know of an evaluation; see `Job`."""

    file: str  # the path by which every worker finds the file
    sha256: str  # of the file
    columns: Columns  # the roles of its columns
    metrics: tuple[str, ...] | None  # their names; None for all that there is data for
    size: int  # how many eras a block has
    engine: str  # its name
    threads: int = 1  # of the cpu engine
    version: str = __version__  # of mmc_gpu

    @classmethod
    def of(cls, source: Any, board: Board, engine: str, threads: int = 1) -> "EraJob":
        """Return the job of a file that is open here; `board` has all its eras.

        A block has 64 MiB of numbers on average.

        Raises:
            ValueError: the source is no file, or a metric is a function of one's own.
        """
        if isinstance(source, PartEras):
            detail = f"{source.place}: workers read a file that is sorted by era"
            raise RoundError("era-order", detail)
        if not isinstance(source, PieceEras | WholeEras):
            what = ", ".join(getattr(source, "joined", ())) or source.place
            raise ValueError(
                "workers read files by path: pass the path of a CSV file, or of a Parquet file"
                f" sorted by era; a cluster joins no files and chooses no eras: {what}"
            )
        if own := [one.__name__ for one in board.metrics or () if callable(one)]:
            raise ValueError(f"a cluster computes metrics by name, and none of one's own: {own}")
        rows = _BLOCK_BYTES // (8 * len(board.columns.numeric))
        size = max(1, rows * len(board.labels) // source.rows)
        file, sha256 = str(source.path.absolute()), source.entry["sha256"]
        return cls(file, sha256, board.columns, board.metrics, size, engine, threads)

    def eras(self, number: int) -> slice:
        """Return which eras a block holds."""
        return slice(number * self.size, (number + 1) * self.size)

    def who(self, stage: str, number: int) -> str:
        """Return which eras a block holds, in words for a message."""
        eras = _open(self)[1][self.eras(number)]
        return f"{self.file}: eras {eras[0]!a} to {eras[-1]!a}"


def score_eras(job: EraJob, number: int) -> bytes:
    """Return the scores of a block's eras, sealed."""
    source, labels = _open(job)
    eras = job.eras(number)
    engine = engine_of(job.engine, job.threads)
    board = Board(job.columns, job.metrics, labels[eras])
    board.score(source, eras.start, engine)
    return seal(job.key, block_name(ERAS, number), board.arrays() | {"engine": engine.name})


@lru_cache(maxsize=2)
def _open(job: EraJob) -> tuple[PieceEras | WholeEras, list[Label]]:
    check_version(job.version)
    source = open_eras(Path(job.file), job.columns.era, job.columns.ids)
    if isinstance(source, PartEras) or source.entry["sha256"] != job.sha256:
        raise RoundError("file-damaged", f"{job.file}: not the file that the driver has read")
    return source, source.labels(job.columns.era)


def evaluate_on_cluster(
    source: Any, board: Board, engine: Any, cluster: str | Cluster, progress: Progress
) -> str:
    """Write a file's scores, computed by a Ray cluster, onto a board; see `evaluate`."""
    cluster = cluster if isinstance(cluster, Cluster) else Cluster(cluster)
    job = EraJob.of(source, board, engine, cluster.threads)
    with RayPool(cluster, engine) as pool:
        return evaluate_in_blocks(job, board, pool, progress, cluster.keep)


def evaluate_in_blocks(
    job: EraJob, board: Board, pool: Pool, progress: Progress = silent, keep: Path | None = None
) -> str:
    """Write the scores of all eras of a file onto a board; return the engine's name.

    For `keep` see `score_in_blocks`.

    Raises:
        RoundError: a block has failed three times; the error names the eras.
    """
    eras = len(board.labels)
    numbers = range(-(-eras // job.size))
    names = set()
    with stores(keep) as store_of:
        store = store_of(job.key)
        run_blocks(
            *(pool, store, ERAS, score_eras, numbers, (job,)),
            progress=lambda done: progress("evaluate", min(done * job.size, eras), eras),
        )
        for number in numbers:
            arrays = store.take(block_name(ERAS, number))
            board.put(job.eras(number), arrays)
            names.add(str(arrays["engine"]))
    return "+".join(sorted(names))
