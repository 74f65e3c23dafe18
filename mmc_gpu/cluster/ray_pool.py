"""A pool of Ray's workers. Ray Core schedules the tasks; we have no scheduler of our own."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection
from typing import Any

from mmc_gpu.engines.failures import first_line
from mmc_gpu.engines.threads import VARIABLE
from mmc_gpu.errors import EngineUnavailable

AUTHENTICATION = "RAY_AUTH_MODE"
"""Ray's variable that switches authentication on, with the value "token" (Ray 2.52 and newer)."""


@dataclass(frozen=True)
class Cluster:
    """Where blocks are computed.

    Attributes:
        address: "local" for workers on this machine, "auto", or a Ray cluster's host:port.
        workers: how many blocks are computed at a time; by default as many as the cluster has
            room for.
        threads: of each worker's cpu engine; a worker takes as many cores.
        gpus: how many a worker takes; by default one for the gpu engine, none for the others.
        keep: folder for finished blocks; a driver that is started again finds them there.
    """

    address: str = "local"
    workers: int | None = None
    threads: int = 1
    gpus: float | None = None
    keep: Path | None = None

    def warning(self) -> str | None:
        """Return a warning where a cluster is used without authentication, else None."""
        if self.address == "local" or os.environ.get(AUTHENTICATION, "").lower() == "token":
            return None
        return (
            f"{self.address}: {AUTHENTICATION} is not token: whoever reaches this Ray cluster can"
            f" run code on it (CVE-2023-48022); set {AUTHENTICATION}=token on every node and here"
        )


class RayPool:
    """Ray's workers. A cluster that the pool has started ends with the pool.

    Raises:
        EngineUnavailable: Ray is not installed, or the cluster cannot be reached or has no room.
        ValueError: the engine is not a name.
    """

    def __init__(self, cluster: Cluster, engine: Any) -> None:
        if not isinstance(engine, str):
            raise ValueError("workers take their engine by name, not an engine")
        try:
            import ray
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            raise EngineUnavailable("a cluster needs Ray: pip install 'mmc-gpu[ray]'") from error
        self._ray, self._cluster = ray, cluster
        gpus = (1 if engine == "gpu" else 0) if cluster.gpus is None else cluster.gpus
        own = {"env_vars": dict.fromkeys((VARIABLE, "OMP_NUM_THREADS"), str(cluster.threads))}
        self._takes = {"num_cpus": cluster.threads, "num_gpus": gpus, "runtime_env": own}
        self._started = not ray.is_initialized()
        if self._started:
            self._start()
        has = ray.cluster_resources()
        room = int(has.get("CPU", 0) / cluster.threads)
        room = min(room, int(has.get("GPU", 0) / gpus)) if gpus else room
        if not room:
            self.__exit__()
            takes = f"{cluster.threads} cores" + (f" and {gpus:g} GPUs" if gpus else "")
            raise EngineUnavailable(f"{cluster.address}: no node has what a worker takes: {takes}")
        # each worker has a second block, which is ready when the first is done
        self._at_once = cluster.workers or 2 * room
        # a round of 5,000 users has 5 blocks: this many keep all workers busy
        self.rounds_at_once = max(2, (cluster.workers or room) // 4)

    def _start(self) -> None:
        cluster = self._cluster
        options: dict[str, Any] = {}
        if cluster.address == "local":
            options["include_dashboard"] = False
            if cluster.workers is not None:
                options["num_cpus"] = cluster.workers * cluster.threads
        try:
            if at := re.fullmatch(r"([^/]+):(\d+)", cluster.address):
                create_connection((at[1], at[2]), 10).close()  # Ray tries for ten minutes
            self._ray.init(cluster.address, logging_level="ERROR", log_to_driver=False, **options)
        except (OSError, RuntimeError, ValueError, self._ray.exceptions.RayError) as error:
            raise EngineUnavailable(f"Ray at {cluster.address}: {first_line(error)}") from error

    def __enter__(self) -> "RayPool":
        """Return the pool."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the cluster, and end it where the pool has started it."""
        if self._started:
            self._ray.shutdown()

    def run(
        self, function: Callable[..., bytes], numbers: Iterator[int], shared: tuple[Any, ...]
    ) -> Iterator[tuple[int, bytes | Exception]]:
        """Yield each block's number and what `function` returned or raised, in any order."""
        ray = self._ray
        # the driver counts failures, so Ray tries each task once
        remote = ray.remote(function).options(max_retries=0, **self._takes)
        job, *others = (ray.put(value) for value in shared)
        running: dict[Any, int] = {}
        while True:
            while len(running) < self._at_once and (number := next(numbers, None)) is not None:
                running[remote.remote(job, number, *others)] = number
            if not running:
                return
            (ready,), _ = ray.wait(list(running), num_returns=1)
            number = running.pop(ready)
            try:
                found: bytes | Exception = ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                found = error.cause if isinstance(error.cause, Exception) else error
            except ray.exceptions.RayError as error:  # a worker or a node died
                found = error
            yield number, found
