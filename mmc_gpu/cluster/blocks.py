"""The blocks of a packed round: each a pure function of the round's path and a number.

Blocks are whole groups of stakers, or runs of users in the order of their rows on disk. They depend
on the round alone, never on how many workers there are.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mmc_gpu.cluster.sealed import Arrays, seal, unseal
from mmc_gpu.engines import GROUP, Engine, load_engine
from mmc_gpu.errors import EngineUnavailable, RoundError, shown
from mmc_gpu.files.packed import PackedMatrix
from mmc_gpu.files.round_folder import read_round
from mmc_gpu.method import Method
from mmc_gpu.round import Quarantined, Round
from mmc_gpu.scores import user_hashes
from mmc_gpu.scoring import Probes, add_stakers, pool_of, score_block

BLEND, SCORE = "blend", "score"
"""The passes, as blocks and progress name them."""

_BLOCK_BYTES = 16 * 2**20
"""A block's predictions, or one group: 5,000 users x 5,000 stocks make 5 blocks; a block takes some
50 ms, against 2 ms to hand it out."""


@dataclass(frozen=True)
class Job:
    """All that a worker needs to know of a round; small, hashable, and the same for all blocks.

    Attributes:
        folder: of the packed round, as every worker finds it.
        manifest: the sha256 of its manifest.
        method: the options of the score.
        rows: users a block, whole groups.
        engine: by name; no bit depends on it.
        threads: of the cpu engine.
        draws: whether every user's score in every draw comes back.
        damaged: users who are left out because their rows turned out to be damaged.
        version: of mmc_gpu, the same on every worker.
    """

    folder: str
    manifest: str
    method: Method
    rows: int
    engine: str
    threads: int | None
    draws: bool
    damaged: tuple[Quarantined, ...] = ()
    version: str = ""

    @property
    def key(self) -> str:
        """Return a sha256 of what the blocks' bits depend on."""
        of = asdict(self)
        for name in ("folder", "engine", "threads"):
            del of[name]
        return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()

    def blocks(self, stage: str, round_: Round) -> int:
        """Return how many blocks a pass has."""
        users = round_.stakers if stage == BLEND else len(round_.users)
        return -(-users // self.rows)

    def places(self, stage: str, number: int, round_: Round) -> Any:
        """Return the places of a block's users."""
        block = slice(number * self.rows, (number + 1) * self.rows)
        every = np.arange(round_.stakers) if stage == BLEND else _order(self)
        return every[block]

    def who(self, stage: str, number: int, round_: Round) -> str:
        """Return for a message which users a block holds."""
        users = [round_.users[place] for place in self.places(stage, number, round_).tolist()]
        return f"{self.folder}: {stage} block {number:,}, users {shown(users)}"


def job_of(
    round_: Round,
    method: Method,
    engine: str,
    *,
    threads: int | None = 1,
    rows: int | None = None,
    draws: bool = False,
) -> Job:
    """Return the job of a packed round.

    Args:
        round_: the round, from `open_round`.
        method: the options of the score.
        engine: by name, of each worker.
        threads: of each worker's cpu engine.
        rows: users a block, rounded down to whole groups; by default 16 MiB of them.
        draws: whether every user's score in every draw is wanted.

    Raises:
        ValueError: it is not a packed round.
    """
    import mmc_gpu

    matrix = round_.predictions
    if not isinstance(matrix, PackedMatrix):
        raise ValueError("workers read packed rounds by path: mmc-gpu pack the round first")
    if rows is None:
        rows = _BLOCK_BYTES // (len(round_.ids) * matrix.dtype.itemsize)
    folder, version = str(matrix.folder.absolute()), mmc_gpu.__version__
    rows = max(GROUP, rows // GROUP * GROUP)
    return Job(folder, matrix.manifest, method, rows, engine, threads, draws, (), version)


def blend_block(job: Job, number: int) -> bytes:
    """Return the sums of a block's groups of stakers, sealed: sums (G, D + 1, N).

    Never a sum of groups: (g1 + g2) + (g3 + g4) is not ((g1 + g2) + g3) + g4.
    """
    round_, engine = open_job(job), _engine(job.engine, job.threads)
    places = job.places(BLEND, number, round_)
    block, weights = engine.put(round_.take(places)), _weights(job)[:, places]
    zero = engine.put(np.zeros((len(weights), len(round_.ids))))
    sums = [
        engine.get(add_stakers(zero, block[group], weights[:, group], job.method, engine))
        for group in (slice(first, first + GROUP) for first in range(0, len(places), GROUP))
    ]
    return seal(block_label(job, BLEND, number), {"sums": np.stack(sums)})


def score_users(job: Job, number: int, probes: Probes) -> bytes:
    """Return the scores of a block's users, sealed.

    Their hashes come with them, and their inner products with ones, which must be 0.
    """
    round_, engine = open_job(job), _engine(job.engine, job.threads)
    places = job.places(SCORE, number, round_)
    ones = np.ones((1, len(round_.ids)), np.int32)
    rows = np.concatenate([probes.rows, ones])
    moments = engine.moments(engine.put(round_.take(places)), rows, job.method.ties)
    zeros = moments[:, -2]
    scores = score_block(np.delete(moments, -2, axis=1), probes, job.method)
    names = [round_.users[place] for place in places.tolist()]
    hashes = user_hashes(names, round_.stakes[places], scores)
    if not job.draws:
        scores = scores._replace(per_draw=scores.per_draw[:, :, :0])
    arrays = {
        "engine": np.array(engine.name),
        "zeros": zeros,
        "hashes": hashes,
        **scores._asdict(),
    }
    return seal(block_label(job, SCORE, number), arrays)


def take_block(job: Job, stage: str, number: int, sealed: bytes) -> Arrays:
    """Return the arrays of a block that has arrived, checked.

    Raises:
        RoundError: they are not what the worker sent, or cannot be right.
    """
    arrays = unseal(block_label(job, stage, number), sealed)
    if stage == SCORE and arrays["zeros"].any():
        raise RoundError("worker-failed", "the centred ranks of a block do not sum to 0")
    if stage == BLEND and not np.isfinite(arrays["sums"]).all():
        raise RoundError("worker-failed", "the blend of a block is not finite")
    return arrays


def block_name(stage: str, number: int) -> str:
    """Return a block's name."""
    return f"{stage}-{number:06d}"


def block_label(job: Job, stage: str, number: int) -> str:
    """Return what a block's seal says it is; as `Store.label` does."""
    return f"{job.key} {block_name(stage, number)}"


@lru_cache(maxsize=2)
def open_job(job: Job) -> Round:
    """Return a job's round, open in this process.

    Raises:
        RoundError: it has changed since the job was made, or cannot be read.
        EngineUnavailable: this is another version of mmc_gpu than the driver's.
    """
    import mmc_gpu

    if mmc_gpu.__version__ != job.version:
        detail = f"mmc-gpu {mmc_gpu.__version__} on a worker, {job.version} on the driver"
        raise EngineUnavailable(f"{detail}: install the same version on every machine")
    round_ = read_round(
        Path(job.folder), on_error="quarantine", blend=job.method.blend, damaged=job.damaged
    ).round
    if round_.predictions.manifest != job.manifest:
        raise RoundError("file-damaged", f"{job.folder}: changed since the run began")
    return round_


@lru_cache(maxsize=2)
def _weights(job: Job) -> Any:
    return pool_of(open_job(job), job.method)[1]


@lru_cache(maxsize=2)
def _order(job: Job) -> Any:
    return open_job(job).reading_order()


@lru_cache(maxsize=1)
def _engine(name: str, threads: int | None) -> Engine:
    return load_engine(name, threads)
