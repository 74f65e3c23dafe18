"""Blocks from a pool of workers: handed out, checked when they arrive, stored, tried again."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from mmc_gpu.cluster.sealed import Arrays, Store, unseal
from mmc_gpu.engines import Engine, load_engine
from mmc_gpu.engines.failures import in_short
from mmc_gpu.errors import EngineUnavailable, RoundError
from mmc_gpu.version import __version__

ATTEMPTS = 3
"""How often a block is tried: a worker may have been killed, or a disk may not have answered."""

_NO_BIT = {"file", "folder", "engine", "threads"}
"""Where a job's data lies, and what computes it: no bit of the blocks depends on these fields."""


@dataclass(frozen=True)
class Job(ABC):
    """What a worker needs to know of work that is cut into blocks. A job itself is small.

    The blocks depend on the work alone, never on the number of workers.
    """

    @property
    def text(self) -> str:
        """Return everything that decides the bits of the blocks, as JSON."""
        of = {name: value for name, value in asdict(self).items() if name not in _NO_BIT}
        return json.dumps(of, sort_keys=True, indent=1)

    @property
    def key(self) -> str:
        """Return the sha256 of that text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @abstractmethod
    def who(self, stage: str, number: int) -> str:
        """Return what a block holds, in words for a message."""


class Pool(Protocol):
    """Workers that compute blocks by their numbers: a Ray cluster, or this process."""

    def run(
        self, function: Callable[..., bytes], numbers: Iterator[int], shared: tuple[Any, ...]
    ) -> Iterator[tuple[int, bytes | Exception]]:
        """Yield each block's number and what `function` returned or raised, in any order.

        Args:
            function: called as `function(job, number, *others)`; importable by the workers.
            numbers: of the blocks; the next is taken when a worker is free.
            shared: (job, *others), the same for all blocks.
        """
        ...


class HerePool:
    """This process, one block after another."""

    def run(
        self, function: Callable[..., bytes], numbers: Iterator[int], shared: tuple[Any, ...]
    ) -> Iterator[tuple[int, bytes | Exception]]:
        """Yield each block's number and what `function` returned or raised."""
        job, *others = shared
        for number in numbers:
            try:
                result: bytes | Exception = function(job, number, *others)
            except RoundError as error:
                result = error
            yield number, result


def block_name(stage: str, number: int) -> str:
    """Return a block's name."""
    return f"{stage}-{number:06d}"


def run_blocks(
    pool: Pool,
    store: Store,
    stage: str,
    function: Callable[..., bytes],
    numbers: range,
    shared: tuple[Any, ...],
    progress: Callable[[int], None],
    check: Callable[[Arrays], None] = lambda arrays: None,
) -> None:
    """Have the blocks computed that are not in the store yet.

    `function` and `shared` are those of `Pool.run`. `progress` is called with how many blocks are
    done; `check` raises RoundError where the arrays of a block cannot be right.

    Raises:
        RoundError: a block has failed three times; the error names the users or the file.
        EngineUnavailable: a worker cannot run the engine, or has another version of mmc_gpu.
    """
    job: Job = shared[0]
    waiting = deque(n for n in numbers if store.find(block_name(stage, n)) is None)
    done = len(numbers) - len(waiting)
    failures: Counter[int] = Counter()

    def next_ones() -> Iterator[int]:
        while waiting:
            yield waiting.popleft()

    while waiting:  # blocks that fail are put back, and the loop starts again
        for number, found in pool.run(function, next_ones(), shared):
            name = block_name(stage, number)
            if isinstance(found, EngineUnavailable):
                raise found
            error = found if isinstance(found, Exception) else _fault(job.key, name, found, check)
            if error is not None:
                failures[number] += 1
                if failures[number] == ATTEMPTS:
                    raise _named(error, job.who(stage, number)) from error
                waiting.append(number)
            elif isinstance(found, bytes):
                store.write(name, found)
                done += 1
                progress(done)


def _fault(
    key: str, name: str, sealed: bytes, check: Callable[[Arrays], None]
) -> RoundError | None:
    """Return what is wrong with a block that has arrived, or None."""
    try:
        check(unseal(key, name, sealed))
    except RoundError as error:
        return error
    return None


def _named(error: Exception, who: str) -> RoundError:
    """Return the error of a block that has failed three times; it names the users or the file."""
    if isinstance(error, RoundError):
        return error
    return RoundError("worker-failed", f"{who}: failed {ATTEMPTS} times: {in_short(error)}")


def check_version(driver: str) -> None:
    """Raise EngineUnavailable where this is another version of mmc_gpu than the driver's."""
    if __version__ != driver:
        detail = f"mmc-gpu {__version__} on a worker, {driver} on the driver"
        raise EngineUnavailable(f"{detail}: install the same version on every machine")


@lru_cache(maxsize=1)
def engine_of(name: str, threads: int | None) -> Engine:
    """Return the engine of this worker process, loaded once."""
    return load_engine(name, threads)


@contextmanager
def stores(folder: Path | None) -> Iterator[Callable[[str], Store]]:
    """Give a function that returns the store of a job by the job's key.

    The stores lie in the folder, or in a temporary one where none is given. They are removed at
    the end. After an error those in the folder stay, and a driver that is started again finds them.
    """
    made: list[Store] = []
    with TemporaryDirectory() as temporary:

        def store(key: str) -> Store:
            made.append(Store((folder or Path(temporary)) / key[:16], key))
            return made[-1]

        yield store
        for one in made:
            one.remove()
        if folder is not None:
            with suppress(OSError):  # something else lies there
                folder.rmdir()
