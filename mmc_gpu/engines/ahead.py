"""Reading the next item while the last one is computed, or several at once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from mmc_gpu.engines.arrays import Array, is_in_memory, is_on_gpu
from mmc_gpu.engines.protocol import Engine
from mmc_gpu.engines.selection import Selection, copied, in_memory
from mmc_gpu.engines.threads import thread_count, work_alone

Item = TypeVar("Item")
Result = TypeVar("Result")
Key = TypeVar("Key")


def fetched(
    matrix: Array, blocks: Iterable[tuple[Key, Array]], engine: Engine
) -> Iterator[tuple[Key, Array]]:
    """Yield blocks of a matrix as the engine's verbs take them, each with its key.

    From a matrix on the host or on disk the next block is read, or copied, in another thread. On a
    GPU it is not: the current device and stream are those of the caller's thread.
    """
    if is_on_gpu(matrix):
        return ((key, engine.put(block)) for key, block in blocks)
    return ahead((key, _readable(block, engine)) for key, block in blocks)


def reads_itself(matrix: Array, engine: Engine) -> bool:
    """Return whether an engine's threads read the rows of a matrix, each its own, from the disk."""
    return engine.selects and not is_in_memory(matrix) and matrix.is_near


def _readable(block: Array, engine: Engine) -> Array:
    """Return the block, or a copy of a selection that the engine cannot read or reads slowly."""
    block = in_memory(block)
    if not isinstance(block, Selection) or (engine.selects and block.by_rows):
        return block
    return copied(block)


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items, each fetched by another thread while the caller uses the one before.

    Two items are alive at a time. A process that may use one thread fetches them in that one.
    """
    if thread_count() == 1:
        yield from items
        return
    iterator = iter(items)
    with ThreadPoolExecutor(1, "ahead") as pool:
        pending = pool.submit(list, islice(iterator, 1))
        while found := pending.result():
            pending = pool.submit(list, islice(iterator, 1))
            yield found.pop()


def behind(works: Iterable[Callable[[], Result]]) -> Iterator[Result]:
    """Yield what each work returns, done by another thread while the caller makes the next one.

    At most one work is under way. A process that may use one thread does all in that one. Where
    the caller is stopped, what is under way comes first.
    """
    if thread_count() == 1:
        yield from (work() for work in works)
        return
    iterator, last = iter(works), list[Future[Result]]()
    with ThreadPoolExecutor(1, "behind", work_alone) as pool:
        while True:
            try:
                made = list(islice(iterator, 1))
            except BaseException:
                yield from (future.result() for future in last)
                raise
            yield from (future.result() for future in last)
            if not made:
                return
            last = [pool.submit(*made)]


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, most: int
) -> Iterator[Result]:
    """Yield what `work` makes of the items, in their order; each thread works on one item.

    Args:
        work: makes a result; verbs that it calls start no threads of their own.
        items: the next one is made by the caller's thread.
        threads: how many; with 1 the caller's works, and the verbs may start threads.
        most: how many items are alive at once, waiting ones among them.
    """
    if threads == 1:
        yield from map(work, items)
        return
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, "side by side", work_alone)
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            while len(pending) >= most or (pending and pending[0].done()):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
