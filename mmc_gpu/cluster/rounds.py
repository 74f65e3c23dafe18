"""A packed round from its blocks: they are handed out, joined in their order, and scored."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmc_gpu.cluster.pools import Pool, block_name, run_blocks, stores
from mmc_gpu.cluster.ray_pool import Cluster, RayPool
from mmc_gpu.cluster.round_blocks import (
    BLEND,
    SCORE,
    RoundJob,
    blend_block,
    check_blends,
    check_users,
    open_job,
    score_users,
)
from mmc_gpu.cluster.sealed import Store
from mmc_gpu.engines.arrays import Floats
from mmc_gpu.engines.numpy_engine import NumpyEngine
from mmc_gpu.errors import RoundError
from mmc_gpu.inputs.options import OnError, Progress, silent
from mmc_gpu.rounds.block_scores import BlockScores, Draws
from mmc_gpu.rounds.full_stakes import MetaModels
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.round import Quarantined, Round
from mmc_gpu.rounds.scores import Scores
from mmc_gpu.rounds.scoring import Probes, pool_of


def score_on_cluster(
    round_: Any,
    method: Method,
    engine: Any,
    cluster: str | Cluster,
    on_error: OnError,
    progress: Progress,
) -> Scores:
    """Return a packed round's scores, computed by a Ray cluster; see `score_round`."""
    cluster = cluster if isinstance(cluster, Cluster) else Cluster(cluster)
    if not isinstance(round_, Round):
        raise ValueError("workers read packed rounds by path: pass open_round(PACKED)")
    job = RoundJob.of(round_, method, engine, threads=cluster.threads, draws=True)
    with RayPool(cluster, engine) as pool:
        return score_in_blocks(job, pool, keep=cluster.keep, on_error=on_error, progress=progress)


def score_in_blocks(
    job: RoundJob,
    pool: Pool,
    *,
    keep: Path | None = None,
    on_error: OnError = "fail",
    draws: Draws | bool = True,
    progress: Progress = silent,
) -> Scores:
    """Return a packed round's scores from a pool of workers.

    Finished blocks lie in `keep`, by default a temporary folder: a driver that is started again
    finds them there, and they are removed at the end. A user whose row is damaged fails the round,
    or ("quarantine") is left out: then the round is scored again without that user. `draws` takes
    every user's score in every draw, where the job asks for them.

    Raises:
        RoundError: a block has failed three times; the error names the user, or the file.
    """
    with stores(keep) as store_of:
        while True:
            store = store_of(job.key)
            try:
                run_pass(job, pool, store, BLEND, (), job.numbers(BLEND), progress)
                probes = probes_of(job, join_blends(job, store))
                run_pass(job, pool, store, SCORE, (probes,), job.numbers(SCORE), progress)
                return join_scores(job, store, probes, draws)
            except RoundError as error:
                if error.user is None or on_error == "fail":
                    raise
                damaged = Quarantined(error.user, error.code, error.detail)
                job = replace(job, damaged=(*job.damaged, damaged))


def run_pass(
    job: RoundJob,
    pool: Pool,
    store: Store,
    stage: str,
    others: tuple[Any, ...],
    numbers: range,
    progress: Progress = silent,
) -> None:
    """Have the blocks of a pass that have these numbers computed; see `run_blocks`."""
    users = job.users(stage)
    function, check = (blend_block, check_blends) if stage == BLEND else (score_users, check_users)
    run_blocks(
        *(pool, store, stage, function, numbers, (job, *others)),
        progress=lambda done: progress(stage, min(done * job.rows, users), users),
        check=check,
    )


def join_blends(job: RoundJob, store: Store) -> Floats:
    """Return the meta models' blends, (D + 1, N): the groups' sums added in order."""
    blend = np.zeros((job.method.draws + 1, len(open_job(job).ids)))
    for number in job.numbers(BLEND):
        for group in store.take(block_name(BLEND, number))["sums"]:
            blend += group
    return blend


def probes_of(job: RoundJob, blends: Floats) -> Probes:
    """Return what users are compared with: the ranks of the meta models, and the targets."""
    ranks = NumpyEngine().rank(blends, job.method.ties)
    return replace(Probes.of(ranks, open_job(job), NumpyEngine()), blend=blends[-1])


def join_scores(job: RoundJob, store: Store, probes: Probes, draws: Draws | bool) -> Scores:
    """Return the scores of all blocks."""
    round_ = open_job(job)
    counts, _ = pool_of(round_, job.method)
    scores = Scores.unscored(round_, job.method, job.engine, counts, draws)
    probes.score_meta_models(scores)
    engines = set()
    for number in job.numbers(SCORE):
        arrays = store.take(block_name(SCORE, number))
        block = BlockScores(*(arrays[name] for name in BlockScores._fields))
        scores.put(job.places(SCORE, number), block, arrays["hashes"])
        engines.add(str(arrays["engine"]))
    scores.engine = "+".join(sorted(engines))
    ranks = probes.rows[: job.method.draws + 1]
    scores.meta_models = MetaModels(round_.ids, ranks, probes.blend)
    return scores
