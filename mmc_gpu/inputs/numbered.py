"""Names of the rows or columns of a bare array: numbers, until somebody asks for a name."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Integers


class Numbered(Sequence[str]):
    """Names "000", "001", ...: padded with zeros, so that their order is that of the numbers.

    To write 5,000 of them takes as long as all else that a round needs of Python.
    """

    def __init__(self, numbers: Integers, width: int) -> None:
        self.numbers, self.width = numbers, width

    @cached_property
    def _names(self) -> list[str]:
        return [str(number).zfill(self.width) for number in self.numbers.tolist()]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.numbers)

    def __getitem__(self, at: Any) -> Any:
        """Return a name, or a list of names."""
        return self._names[at]

    def __eq__(self, other: object) -> bool:
        """Return whether these are the names of another sequence."""
        if isinstance(other, Numbered) and self.width == other.width:
            return np.array_equal(self.numbers, other.numbers)
        return self._names == (list(other) if isinstance(other, Sequence) else other)

    __hash__ = None  # type: ignore[assignment]  # as a list


def numbered(count: int) -> Numbered:
    """Return names for the rows or columns of a bare array, in order."""
    return Numbered(np.arange(count), len(str(max(count - 1, 0))))


def in_order(names: Sequence[str], places: Integers) -> Integers:
    """Return ascending places of names in the order of the names, by code point."""
    if isinstance(names, Numbered):
        return places
    return np.array(sorted(places.tolist(), key=names.__getitem__), np.int64)


def taken(names: Sequence[str], places: Integers) -> Sequence[str]:
    """Return the names at some places."""
    if isinstance(names, Numbered):
        return Numbered(names.numbers[places], names.width)
    return [names[place] for place in places.tolist()]
