"""Blocks from a pool of workers: handed out, checked as they arrive, kept, tried again."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from mmc_gpu.cluster.sealed import Arrays, Store, unseal
from mmc_gpu.engines import Engine, load_engine
from mmc_gpu.errors import EngineUnavailable, RoundError
from mmc_gpu.version import __version__

ATTEMPTS = 3
"""How often a block is tried: a worker may be killed, a disk may not answer."""


class Job(Protocol):
    """What a worker needs to know of a piece of work that is cut into blocks; small.

    Blocks depend on the work alone, never on how many workers there are.
    """

    @property
    def key(self) -> str:
        """Return a sha256 of what the blocks' bits depend on."""
        ...

    def who(self, stage: str, number: int) -> str:
        """Return for a message what a block holds."""
        ...


class Pool(Protocol):
    """Workers that call functions of a block's number: a Ray cluster, or this process."""

    def run(
        self, function: Callable[..., bytes], numbers: Iterator[int], shared: tuple[Any, ...]
    ) -> Iterator[tuple[int, bytes | Exception]]:
        """Yield what `function(job, number, ...)` returned or raised, in any order.

        Args:
            function: importable; of the shared arguments, the block's number second.
            numbers: of the blocks; taken as workers become free.
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
    report: Callable[[int], None],
    check: Callable[[Arrays], None] = lambda arrays: None,
) -> None:
    """Have those blocks computed that are not in the store yet.

    Args:
        pool: the workers.
        store: where the blocks go.
        stage: what the blocks are called.
        function: what returns one, sealed.
        numbers: of the blocks.
        shared: the job, and what else the function takes.
        report: called with how many blocks are done.
        check: raises RoundError where the arrays of a block cannot be right.

    Raises:
        RoundError: a block has failed three times; the error names the users or the file.
        EngineUnavailable: the engine cannot run on a worker, or it is another version there.
    """
    job: Job = shared[0]
    waiting = deque(n for n in numbers if store.find(block_name(stage, n)) is None)
    done = len(numbers) - len(waiting)
    failures: Counter[int] = Counter()

    def next_ones() -> Iterator[int]:
        while waiting:
            yield waiting.popleft()

    while waiting:  # again as long as failed blocks have been put back
        for number, found in pool.run(function, next_ones(), shared):
            name = block_name(stage, number)
            try:
                sealed = _result(found)
                check(unseal(job.key, name, sealed))
            except EngineUnavailable:
                raise
            except Exception as error:
                failures[number] += 1
                if failures[number] == ATTEMPTS:
                    raise _named(error, job.who(stage, number)) from error
                waiting.append(number)
            else:
                store.write(name, sealed)
                done += 1
                report(done)


def _result(found: bytes | Exception) -> bytes:
    if isinstance(found, Exception):
        raise found
    return found


def _named(error: Exception, who: str) -> RoundError:
    """Return the error of a block that has failed for good: it names the users or the file."""
    if isinstance(error, RoundError):
        return error
    text = str(error).strip().partition("\n")[0]
    detail = f"{who}: failed {ATTEMPTS} times: {type(error).__name__}: {text}"
    return RoundError("worker-failed", detail)


def check_version(driver: str) -> None:
    """Raise EngineUnavailable where this is another version of mmc_gpu than the driver's."""
    if __version__ != driver:
        detail = f"mmc-gpu {__version__} on a worker, {driver} on the driver"
        raise EngineUnavailable(f"{detail}: install the same version on every machine")


@lru_cache(maxsize=1)
def engine_of(name: str, threads: int | None) -> Engine:
    """Return the engine of a worker's process."""
    return load_engine(name, threads)


@contextmanager
def stores(folder: Path | None) -> Iterator[Callable[[str], Store]]:
    """Give what returns a job's store by its key; remove the stores, unless this fails.

    They lie in the folder, so that who is started again finds them, or in a temporary one.
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
