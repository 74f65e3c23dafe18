"""How many threads work, and how they share the work."""

import math
import os
import sys
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from mmap import ACCESS_READ, mmap
from pathlib import Path
from threading import Event, Semaphore, local
from typing import TypeVar

from mmc_gpu.errors import EngineUnavailable, whole

VARIABLE = "MMC_GPU_THREADS"

_CGROUP = Path("/sys/fs/cgroup")  # where Linux says how much of its cores a container may use

_GROUPS = Path("/proc/self/cgroup")  # where it says to which groups this process belongs

_PATIENCE = 10.0  # seconds in which a thread that has started must run

_Tile = TypeVar("_Tile")

here = local()  # whether this thread works alone on one of several items


def work_alone() -> None:
    """Let this thread share its work with no other thread from now on: others have their own."""
    here.alone = True


def thread_count(threads: int | None = None) -> int:
    """Return how many threads to use: as asked, else MMC_GPU_THREADS, else the usable cores.

    Raises:
        ValueError: the number asked for is not 1 or more.
    """
    if threads is not None:
        return whole("threads", threads)
    if not (named := os.environ.get(VARIABLE)):
        return _usable_cores()
    if not named.isdecimal() or int(named) < 1:
        raise ValueError(f"{VARIABLE} is {named!r}; set it to a number of threads, 1 or more")
    return int(named)


def _usable_cores() -> int:
    """Return how many cores this process may use: its affinity, within its container's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:  # macOS and Windows
        cores = os.cpu_count() or 1
    return math.ceil(min(cores, _quota(_CGROUP, _GROUPS)))


@cache
def _quota(base: Path, own: Path) -> float:
    """Return how many cores the quotas allow, by cgroup 2 or 1; infinity without one.

    A process is held to the quotas of its own group and of all groups around it. In a container
    the outermost group that can be seen is the container's.
    """
    lines, groups = ["0::/", "1:cpu:/"], set[Path]()
    with suppress(OSError):
        lines += own.read_text().splitlines()
    for _, kinds, path in (line.split(":", 2) for line in lines):
        if not kinds or "cpu" in kinds.split(","):
            inner = (base / "cpu" if kinds else base) / path.lstrip("/")
            groups |= {inner, *inner.parents}
    return min(map(_quota_of, groups))


def _quota_of(group: Path) -> float:
    with suppress(OSError):
        quota, period = (group / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with suppress(OSError):
        names = (group / f"cpu.cfs_{name}_us" for name in ("quota", "period"))
        allowed, each = (int(path.read_text()) for path in names)
        return allowed / each if allowed > 0 else math.inf
    return math.inf


def share(work: Callable[[Iterator[_Tile]], None], tiles: Iterable[_Tile], threads: int) -> None:
    """Call `work` in each thread, with an iterator that takes the next tile until none is left.

    One of the threads is the caller's, which is at work at once; the others take 0.1 ms to start,
    and end with the call. So there is no state that a fork could break, and nothing to close.
    """
    waiting = deque(tiles)

    def taken() -> Iterator[_Tile]:
        with suppress(IndexError):  # no tile is left
            while True:
                yield waiting.popleft()

    threads = min(threads, len(waiting))
    if threads < 2 or hasattr(here, "alone"):
        work(taken())
        return
    # what a tile calls starts no further threads
    with ThreadPoolExecutor(threads - 1, initializer=work_alone) as pool:
        others = [pool.submit(work, taken()) for _ in range(threads - 1)]
        work_alone()
        try:
            work(taken())
        finally:
            del here.alone
        for other in others:
            other.result()


@cache
def check_room(threads: int) -> None:
    """Raise EngineUnavailable where so many threads cannot be alive together, with 512 MiB to use.

    Arrow waits for ever for a thread of its own that could not start. So threads of ours try it
    first, once; the C library keeps their stacks for the next ones. `Thread.start` waits for ever,
    too, where a thread starts and then finds no memory.
    """
    arrived, done, left = Semaphore(0), Event(), Semaphore(0)

    def stay() -> None:
        arrived.release()
        done.wait()
        left.release()

    alive, hook = 0, sys.unraisablehook
    sys.unraisablehook = id  # which does nothing, without memory: the error below tells it
    try:
        with mmap(-1, 512 * 2**20, access=ACCESS_READ):
            for _ in range(threads):
                start_new_thread(stay, ())
                if not arrived.acquire(timeout=_PATIENCE):
                    raise RuntimeError("a thread has no memory")
                alive += 1
    except (OSError, RuntimeError, MemoryError) as error:
        raise EngineUnavailable(
            f"this process may not start {threads} threads beside 512 MiB of memory ({error}):"
            " raise its limits (ulimit -v, ulimit -u, its container's), or set MALLOC_ARENA_MAX=2"
        ) from error
    finally:
        done.set()
        for _ in range(alive):
            left.acquire()
        sys.unraisablehook = hook
