"""`python -m benchmarks.large.cluster`: what a cluster costs over one process, from disk.

Scores one packed round in one process with 1, 2 and 4 threads, and on a real Ray on this machine
with as many workers of one thread, taking turns; the digests must be equal. Also measures what the
scale on paper needs: handing out a block, bytes from a worker to the driver, and how fast the
driver takes sums. Ends in one JSON, and writes README's section anew.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.large.packed import make_packed, timed
from benchmarks.machine import machine
from benchmarks.publish.results import FOLDER
from mmc_gpu.cluster.pools import HerePool
from mmc_gpu.cluster.ray_pool import Cluster, RayPool
from mmc_gpu.cluster.round_blocks import BLEND, RoundJob
from mmc_gpu.cluster.rounds import join_blends, run_pass, score_in_blocks
from mmc_gpu.cluster.sealed import Store
from mmc_gpu.engines import load_engine
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.scoring import score

WORKERS = (1, 2, 4)
ENGINE = "cpu"
_BLOCKS = 200
_BYTES = 8_000_000
"""Of one result: ten groups' sums of 20 draws x 5,000 stocks."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large.cluster", description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--stocks", type=int, default=5_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--output", type=Path, default=FOLDER)
    asked = parser.parse_args(arguments)
    with TemporaryDirectory() as scratch:
        found = measure(Path(scratch), asked.users, asked.stocks, asked.turns)
    text = json.dumps(found, indent=1)
    (asked.output / f"cluster-{found['date'][:10]}.json").write_text(text + "\n")
    print(text)
    if asked.output == FOLDER:
        from benchmarks.publish.scale import write

        write()
    return 0


def measure(
    scratch: Path, users: int, stocks: int, turns: int, workers: Sequence[int] = WORKERS
) -> dict[str, Any]:
    """Return everything that was measured."""
    packed = scratch / "packed"
    make_packed(packed, users, stocks)
    start = time.perf_counter()
    with RayPool(Cluster(workers=max(workers)), ENGINE) as pool:
        found: dict[str, Any] = {
            "date": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "machine": machine({}),
            "users": users,
            "stocks": stocks,
            "draws": Method().draws,
            "start_s": time.perf_counter() - start,
            "runs": _runs(packed, turns, workers),
        }
        list(pool.run(_empty, iter(range(max(workers))), (0,)))  # processes are there
        seconds = timed(lambda: list(pool.run(_empty, iter(range(_BLOCKS)), (0,))))
        found["block_s"] = seconds / _BLOCKS
        seconds = timed(lambda: list(pool.run(_empty, iter(range(_BLOCKS // 10)), (_BYTES,))))
        found["bytes_per_s"] = _BYTES * (_BLOCKS // 10) / seconds
    return found | {"sums_bytes_per_s": _sums(packed, scratch)}


def _runs(packed: Path, turns: int, workers: Sequence[int]) -> list[dict[str, Any]]:
    """Time one process and the cluster in turns; equal digests, or nothing is timed."""
    method, digests = Method(), set()

    def alone(threads: int) -> None:
        scores = score(read_round(packed).round, method, load_engine(ENGINE, threads), draws=False)
        digests.add(scores.digest)

    def together(number: int) -> None:
        with RayPool(Cluster(workers=number), ENGINE) as pool:
            job = RoundJob.of(read_round(packed).round, method, ENGINE)
            digests.add(score_in_blocks(job, pool, draws=False).digest)

    times: dict[tuple[str, int], list[float]] = {}
    for turn in range(-1, turns):  # the first turn compiles, and opens the round in each worker
        for number in workers:
            for name, run in ("alone", alone), ("cluster", together):
                seconds = timed(lambda run=run, number=number: run(number))  # type: ignore[misc]
                if turn >= 0:
                    times.setdefault((name, number), []).append(seconds)
    assert len(digests) == 1, digests
    return [
        {
            "workers": number,
            "alone_s": median(times["alone", number]),
            "cluster_s": median(times["cluster", number]),
            "overhead": median(
                b / a - 1
                for a, b in zip(times["alone", number], times["cluster", number], strict=True)
            ),
        }
        for number in workers
    ]


def _empty(size: int, number: int) -> bytes:
    return bytes(size)


def _sums(packed: Path, scratch: Path) -> float:
    """Return how many bytes of sums a second the driver keeps, checks and adds."""
    round_ = read_round(packed).round
    job = RoundJob.of(round_, Method(), ENGINE, threads=None)
    store, again = (Store(scratch / name, job.key) for name in ("blocks", "again"))
    run_pass(job, HerePool(), store, BLEND, (), job.numbers(BLEND))
    sealed = {path.name: path.read_bytes() for path in store.folder.iterdir()}

    def take() -> None:
        for name, data in sealed.items():
            again.write(name, data)
            again.take(name)  # as it is when it arrives
        join_blends(job, again)

    return sum(map(len, sealed.values())) / timed(take)


if __name__ == "__main__":
    raise SystemExit(main())
