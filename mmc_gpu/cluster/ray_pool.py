"""A pool of Ray's workers: Ray Core's tasks, no scheduler of our own."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from mmc_gpu.errors import EngineUnavailable

AUTHENTICATION = "RAY_AUTH_MODE"
"""Ray's variable that switches authentication on, with the value "token" (Ray 2.52 and newer)."""


@dataclass(frozen=True)
class Cluster:
    """Where blocks are computed.

    Attributes:
        address: "local" for workers on this machine, "auto", or a Ray cluster's host:port.
        workers: how many blocks at a time; by default as many as the cluster has room for.
        threads: of each worker's cpu engine, and the cores it takes.
        gpus: a worker takes; by default one for the gpu engine, none for the others.
    """

    address: str = "local"
    workers: int | None = None
    threads: int = 1
    gpus: float | None = None

    def warning(self) -> str | None:
        """Return what is to be said of an address that is used without authentication."""
        if self.address == "local" or os.environ.get(AUTHENTICATION, "").lower() == "token":
            return None
        return (
            f"{self.address}: {AUTHENTICATION} is not token: whoever reaches this Ray cluster can"
            f" run code on it (CVE-2023-48022); set {AUTHENTICATION}=token on every node and here"
        )


class RayPool:
    """Ray's workers; a cluster that was started here ends with it.

    Raises:
        EngineUnavailable: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, cluster: Cluster, engine: str) -> None:
        try:
            import ray
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            raise EngineUnavailable("a cluster needs Ray: pip install 'mmc-gpu[ray]'") from error
        self._ray = ray
        self._cluster = cluster
        gpus = (1 if engine == "gpu" else 0) if cluster.gpus is None else cluster.gpus
        self._takes = {"num_cpus": cluster.threads, "num_gpus": gpus}
        self._started = not ray.is_initialized()
        if self._started:
            self._start()
        has = ray.cluster_resources()
        rooms = [int(has.get("CPU", 0) / cluster.threads)]
        rooms += [int(has.get("GPU", 0) / gpus)] if gpus else []
        if not min(rooms):
            self.__exit__(None, None, None)
            raise EngineUnavailable(
                f"{cluster.address}: no node has what a worker takes: {cluster.threads} cores"
                + (f" and {gpus:g} GPUs" if gpus else "")
            )
        # a second block for each worker lies ready when the first is done
        self._at_once = cluster.workers or 2 * min(rooms)

    def _start(self) -> None:
        cluster = self._cluster
        local = cluster.address == "local"
        options: dict[str, Any] = {"address": cluster.address}
        if local and cluster.workers is not None:
            options["num_cpus"] = cluster.workers * cluster.threads
        if local:
            options["include_dashboard"] = False
        try:
            self._ray.init(logging_level="ERROR", log_to_driver=False, **options)
        except (ConnectionError, RuntimeError, ValueError, self._ray.exceptions.RayError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise EngineUnavailable(f"Ray at {cluster.address}: {reason}") from error

    def __enter__(self) -> "RayPool":
        """Return the pool."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the cluster; end it if it was started here."""
        if self._started:
            self._ray.shutdown()

    def run(
        self, function: Callable[..., bytes], numbers: Iterator[int], shared: tuple[Any, ...]
    ) -> Iterator[tuple[int, bytes | Exception]]:
        """Yield what `function(job, number, ...)` returned or raised, in any order."""
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
