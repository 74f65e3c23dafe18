"""The driver: hands out the blocks of a round, keeps what comes back, adds it up in order."""

import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mmc_gpu.arrays import Ranks
from mmc_gpu.cluster.blocks import (
    BLEND,
    SCORE,
    Job,
    blend_block,
    block_name,
    job_of,
    open_job,
    score_users,
    take_block,
)
from mmc_gpu.cluster.ray_pool import Cluster, RayPool
from mmc_gpu.cluster.sealed import Store
from mmc_gpu.engines import Engine
from mmc_gpu.engines.numpy_engine import NumpyEngine
from mmc_gpu.errors import EngineUnavailable, RoundError
from mmc_gpu.method import Method
from mmc_gpu.round import OnError, Quarantined, Round
from mmc_gpu.scores import BlockScores, Draws, RoundScores
from mmc_gpu.scoring import Probes, Progress, check_blend, pool_of

ATTEMPTS = 3
"""How often a block is tried: a worker may be killed, a disk may not answer."""


class Pool(Protocol):
    """Workers that call functions of a block's number: a Ray cluster, or this process.

    Anything that is cut into blocks can use one: users of a round, or eras of a history.
    """

    def run(
        self, function: Callable[..., bytes], numbers: Iterator[int], shared: tuple[Any, ...]
    ) -> Iterator[tuple[int, bytes | Exception]]:
        """Yield what `function(job, number, ...)` returned or raised, in any order.

        Args:
            function: importable, of the shared arguments, the block's number second.
            numbers: of the blocks; taken as workers become free, and asked again while any block
                is under way.
            shared: the job, and what follows the number.
        """
        ...


class HerePool:
    """This process, one block after another."""

    def run(
        self, function: Callable[..., bytes], numbers: Iterator[int], shared: tuple[Any, ...]
    ) -> Iterator[tuple[int, bytes | Exception]]:
        """Yield what the function returned or raised."""
        job, *others = shared
        for number in numbers:
            try:
                result: bytes | Exception = function(job, number, *others)
            except RoundError as error:
                result = error
            yield number, result


def score_on_cluster(
    round_: Any,
    method: Method,
    engine: str | Engine,
    cluster: str | Cluster,
    *,
    rows: int | None = None,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> RoundScores:
    """Return a packed round's scores from a Ray cluster's workers; see `score_round`.

    Raises:
        RoundError: the round cannot be scored.
        EngineUnavailable: Ray is not installed, or the engine cannot run on a worker.
        ValueError: it is no packed round, or the engine is not a name.
    """
    if not isinstance(engine, str):
        raise ValueError("workers take their engine by name, not an engine")
    if not isinstance(round_, Round):
        raise ValueError("workers read packed rounds by path: pass open_round(PACKED)")
    cluster = Cluster(cluster) if isinstance(cluster, str) else cluster
    with RayPool(cluster, engine) as pool:
        return score_in_blocks(
            round_,
            job_of(round_, method, engine, threads=cluster.threads, rows=rows, draws=True),
            pool,
            on_error=on_error,
            draws=True,
            progress=progress,
        )


def score_in_blocks(
    round_: Round,
    job: Job,
    pool: Pool,
    *,
    keep: Path | None = None,
    on_error: OnError = "fail",
    draws: Draws | bool = True,
    progress: Progress | None = None,
) -> RoundScores:
    """Return a packed round's scores from a pool of workers.

    Args:
        round_: the round, open on this machine.
        job: what the workers know of it.
        pool: the workers.
        keep: folder for the finished blocks, where a driver that is started again finds them;
            removed at the end. By default a temporary one.
        on_error: a user whose row turns out to be damaged fails the round, or ("quarantine") is
            left out: then the round is scored again without that user.
        draws: where every user's score in every draw goes; the job must ask for them.
        progress: called as blocks arrive.

    Raises:
        RoundError: a block has failed three times; the error names the user, or the file.
        ValueError: the round was checked for another blend.
    """
    check_blend(round_, job.method)
    report = progress or (lambda stage, done, total: None)
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        while True:
            store = Store(folder / job.key[:16], job.key)
            try:
                run = partial(run_blocks, job, round_, pool, store, report=report)
                run(BLEND, range(job.blocks(BLEND, round_)))
                probes = Probes.of(join_blends(job, round_, store), round_)
                run(SCORE, range(job.blocks(SCORE, round_)), probes)
                scores = join_scores(job, round_, store, probes, draws)
            except RoundError as error:
                if error.user is None or on_error == "fail":
                    raise
                damaged = Quarantined(error.user, error.code, error.detail)
                job = replace(job, damaged=(*job.damaged, damaged))
                round_ = open_job(job)
            else:
                for path in folder.iterdir():
                    Store(path, "").remove()
                if keep is not None:
                    with suppress(OSError):  # somebody else has put something there
                        keep.rmdir()
                return scores


def run_blocks(
    job: Job,
    round_: Round,
    pool: Pool,
    store: Store,
    stage: str,
    numbers: range,
    *shared: Any,
    report: Progress,
) -> None:
    """Have the blocks computed that are not in the store yet.

    Raises:
        RoundError: a block has failed three times.
        EngineUnavailable: the engine cannot run on a worker.
    """
    total = round_.stakers if stage == BLEND else len(round_.users)
    waiting = deque(n for n in numbers if store.get(block_name(stage, n)) is None)
    done = len(numbers) - len(waiting)
    failures: Counter[int] = Counter()

    def next_ones() -> Iterator[int]:
        while waiting:
            yield waiting.popleft()

    function = blend_block if stage == BLEND else score_users
    while waiting:  # again as long as failed blocks have been put back
        for number, found in pool.run(function, next_ones(), (job, *shared)):
            error = found if isinstance(found, Exception) else None
            if isinstance(found, bytes):
                try:
                    take_block(job, stage, number, found)
                except RoundError as fault:
                    error = fault
                else:
                    store.write(block_name(stage, number), found)
            if error is None:
                done += 1
                report(stage, min(done * job.rows, total), total)
                continue
            failures[number] += 1
            if isinstance(error, EngineUnavailable):
                raise error
            if failures[number] == ATTEMPTS:
                raise _final(error, job.who(stage, number, round_))
            waiting.append(number)


def _final(error: Exception, who: str) -> RoundError:
    """Return the error of a block that has failed three times: it names the user or the file."""
    if isinstance(error, RoundError):
        return error
    text = str(error).strip().partition("\n")[0]
    return RoundError(
        "worker-failed", f"{who}: failed {ATTEMPTS} times: {type(error).__name__}: {text}"
    )


def join_blends(job: Job, round_: Round, store: Store) -> Ranks:
    """Return the meta models' ranks, (D + 1, N): the groups' sums added in order, then ranked."""
    blend = np.zeros((job.method.draws + 1, len(round_.ids)))
    for number in range(job.blocks(BLEND, round_)):
        for group in _finished(store, BLEND, number)["sums"]:
            blend += group
    return NumpyEngine().rank(blend, job.method.ties)


def join_scores(
    job: Job, round_: Round, store: Store, probes: Probes, draws: Draws | bool
) -> RoundScores:
    """Return the scores of all blocks."""
    counts, _ = pool_of(round_, job.method)
    scores = RoundScores.unscored(round_, job.method, job.engine, counts, draws)
    probes.score_meta_models(scores)
    engines = set()
    for number in range(job.blocks(SCORE, round_)):
        arrays = _finished(store, SCORE, number)
        block = BlockScores(*(arrays[name] for name in BlockScores._fields))
        scores.put(job.places(SCORE, number, round_), block, arrays["hashes"])
        engines.add(str(arrays["engine"]))
    scores.engine = "+".join(sorted(engines))
    return scores


def _finished(store: Store, stage: str, number: int) -> Any:
    arrays = store.get(block_name(stage, number))
    if arrays is None:
        name = store.folder / block_name(stage, number)
        raise RoundError("file-damaged", f"{name}: gone or changed since it was written")
    return arrays
