"""A packed round's blocks: whole groups of stakers, or users whose rows lie together on disk.

A block depends on nothing but the round and the block's number, for workers and shards alike.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from mmc_gpu.cluster.pools import Job, block_name, check_version, engine_of
from mmc_gpu.cluster.sealed import Arrays, seal
from mmc_gpu.engines import GROUP
from mmc_gpu.engines.selection import copied
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.formats.places import place_of
from mmc_gpu.files.rounds.packed_matrix import PackedMatrix
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.rounds.block_scores import user_hashes
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.round import Quarantined, Round
from mmc_gpu.rounds.scoring import Probes, blended, pool_of, score_block
from mmc_gpu.version import __version__

BLEND, SCORE = "blend", "score"  # the names of the two passes, for blocks and progress

_BLOCK_BYTES = 16 * 2**20
"""Bytes of predictions in a block: 5,000 users x 5,000 stocks make 5 blocks. A block is computed
in some 50 ms, and handed out in 3 ms."""


@dataclass(frozen=True)
class RoundJob(Job):
    """All that a worker needs to know of a round; see `Job`."""

    folder: str  # the path or URI by which every worker finds the packed round
    manifest: str  # the sha256 of the round's manifest
    method: Method
    rows: int  # how many users a block has: whole groups
    engine: str  # its name; no bit of the scores depends on it
    threads: int | None = 1  # of the cpu engine
    draws: bool = False  # whether the workers return every user's score in every draw
    damaged: tuple[Quarantined, ...] = ()  # users who are left out because their rows are damaged
    partial: bool = False  # whether targets are left out that are not resolved yet
    version: str = __version__  # of mmc_gpu

    @classmethod
    def of(
        cls, round_: Round, method: Method, engine: str, *, rows: int | None = None, **options: Any
    ) -> "RoundJob":
        """Return the job of a packed round.

        A block has `rows` users, rounded down to whole groups; by default 16 MiB. Other options are
        attributes.

        Raises:
            ValueError: the round is not packed, or was checked for another blend.
        """
        matrix = round_.predictions
        if not isinstance(matrix, PackedMatrix):
            raise ValueError("workers read packed rounds by path: mmc-gpu pack the round first")
        round_.check_blend(method.blend)
        rows = rows or _BLOCK_BYTES // (len(round_.ids) * matrix.dtype.itemsize)
        rows = max(GROUP, rows // GROUP * GROUP)
        return cls(str(matrix.folder.absolute()), matrix.manifest, method, rows, engine, **options)

    def numbers(self, stage: str) -> range:
        """Return the numbers of a pass's blocks."""
        return range(-(-self.users(stage) // self.rows))

    def users(self, stage: str) -> int:
        """Return how many users a pass has."""
        round_ = open_job(self)
        return round_.stakers if stage == BLEND else len(round_.users)

    def places(self, stage: str, number: int) -> Any:
        """Return the places of a block's users in canonical order."""
        every = np.arange(self.users(stage)) if stage == BLEND else _order(self)
        return every[number * self.rows : (number + 1) * self.rows]

    def who(self, stage: str, number: int) -> str:
        """Return which users a block holds, in words for a message."""
        users = open_job(self).users
        names = [users[place] for place in self.places(stage, number).tolist()]
        return f"{self.folder}: {stage} block {number:,}, users {shown(names)}"


def blend_block(job: RoundJob, number: int) -> bytes:
    """Return the sums of a block's groups of stakers, sealed: sums (G, D + 1, N).

    Never a sum of groups: (g1 + g2) + (g3 + g4) is not ((g1 + g2) + g3) + g4.
    """
    round_, engine = open_job(job), engine_of(job.engine, job.threads)
    places = job.places(BLEND, number)
    block, weights = copied(round_.take(places)), _weights(job)[:, places]
    zero = engine.zeros(len(weights), len(round_.ids))
    sums = []
    for first in range(0, len(places), GROUP):
        group = slice(first, first + GROUP)
        there = blended(engine.put(block[group]), job.method, engine)
        sums.append(engine.get(engine.combine(zero, there, weights[:, group])))
    return seal(job.key, block_name(BLEND, number), {"sums": np.stack(sums)})


def score_users(job: RoundJob, number: int, probes: Probes) -> bytes:
    """Return the scores of a block's users, sealed.

    The block also holds the users' hashes, from which the digest is made, and the inner products
    of their ranks with ones: 0 where the arithmetic was right.
    """
    round_, engine = open_job(job), engine_of(job.engine, job.threads)
    places = job.places(SCORE, number)
    ones = np.ones((1, len(round_.ids)), np.int32)
    rows = engine.stack([probes.rows, ones])
    moments = engine.moments(engine.put(copied(round_.take(places))), rows, job.method.ties)
    scores = score_block(np.delete(moments, -2, axis=1), probes, job.method)
    names = [round_.users[place] for place in places.tolist()]
    arrays = {
        "engine": np.array(engine.name),
        "zeros": moments[:, -2],
        "hashes": user_hashes(names, round_.stakes[places], scores),
        **scores._asdict(),
    }
    if not job.draws:
        arrays["per_draw"] = scores.per_draw[:, :, :0]
    return seal(job.key, block_name(SCORE, number), arrays)


def check_blends(arrays: Arrays) -> None:
    """Raise RoundError where sums cannot be right."""
    if not np.isfinite(arrays["sums"]).all():
        raise RoundError("worker-failed", "the blend of a block is not finite")


def check_users(arrays: Arrays) -> None:
    """Raise RoundError where centred ranks do not sum to 0."""
    if arrays["zeros"].any():
        raise RoundError("worker-failed", "the centred ranks of a block do not sum to 0")


@lru_cache(maxsize=4)
def open_job(job: RoundJob) -> Round:
    """Return a job's round, open in this process.

    Raises:
        RoundError: it has changed since the job was made, or cannot be read.
        EngineUnavailable: this is another version of mmc_gpu than the driver's.
    """
    check_version(job.version)
    how: Any = {"blend": job.method.blend, "damaged": job.damaged, "partial": job.partial}
    round_ = read_round(place_of(job.folder), **how).round
    if round_.predictions.manifest != job.manifest:
        raise RoundError("file-damaged", f"{job.folder}: changed since the run began")
    return round_


@lru_cache(maxsize=4)
def _weights(job: RoundJob) -> Any:
    return pool_of(open_job(job), job.method)[1]


@lru_cache(maxsize=4)
def _order(job: RoundJob) -> Any:
    return open_job(job).reading_order()
