"""Reading the next block while the last one is computed."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items, each fetched by another thread while the one before is in use.

    One item ahead: two of them are alive at a time.
    """
    iterator = iter(items)

    def fetch() -> list[Item]:
        return list(islice(iterator, 1))

    with ThreadPoolExecutor(1, "ahead") as pool:
        pending = pool.submit(fetch)
        while found := pending.result():
            pending = pool.submit(fetch)
            yield found.pop()
