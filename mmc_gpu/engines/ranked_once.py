"""An engine for several scores of the same predictions: what they share is computed once."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers
from mmc_gpu.engines.protocol import Engine, Ties

_Made = TypeVar("_Made")

_Key = tuple[int, Ties, int]
"""Tells sums apart: the number of stocks, the ties, and the table's `id`."""


class RankedOnce:
    """An engine that puts and sorts the blocks which `hold` returns once; see `Engine`.

    Both kinds of ranks come from one sort, and all tables and probes are looked up and multiplied
    with these ranks. Everything else is passed on. The bits are the engine's: its verbs take ranks.
    What belongs to the predictions is kept until `forget`, what does not as long as this object.

    After a rehearsal the sums of a block are found together, while its ranks are in the cache.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.selects = engine.name, engine.selects
        self.at_once = 1
        self.put, self.get = engine.put, engine.get
        self.zeros, self.stack = engine.zeros, engine.stack
        self.combine, self.ends = engine.combine, engine.ends
        self.rank_both, self.products = engine.rank_both, engine.products
        self.lasting: dict[Hashable, Any] = {}
        self.passing: dict[Hashable, Any] = {}
        self._ranks: dict[int, tuple[Array, Array] | None] = {}
        self._spare: tuple[Array, Array] | None = None
        self._rehearsing = False
        self._asked: dict[_Key, tuple[Floats | None, dict[int, Array]]] = {}
        self._several: dict[int, list[tuple[Floats | None, Array, Ties]]] = {}
        self._places: dict[tuple[_Key, int], tuple[int, list[int]]] = {}
        self._found: dict[int, list[Any]] = {}

    def rehearse(self, run: Callable[[], object]) -> bool:
        """Learn which sums of held blocks `run` asks for; return whether these will do.

        Meanwhile all sums are 1. Where the ranks themselves are asked for, nothing is learned.
        """
        self._rehearsing = True
        try:
            run()
        except _RanksAsked:
            self._asked = {}
        self._rehearsing = False
        self.forget()
        for key, (table, each) in self._asked.items():  # those of one table share its lookups
            stocks, ties, _ = key
            several = self._several.setdefault(stocks, [])
            more, end = [-1] if table is None else [-2, -1], 0
            for number, probes in each.items():
                columns = [*range(end, end + len(probes)), *more]
                self._places[key, number] = len(several), columns
                end += len(probes)
            several.append((table, self.stack(list(each.values())), ties))
        return bool(self._asked)

    def forget(self) -> None:
        # new pages of memory cost a tenth of a sort: these ranks will be written over
        self._spare = next((ranks for ranks in self._ranks.values() if ranks), None)
        self.passing, self._ranks, self._found = {}, {}, {}

    def hold(self, key: Hashable, make: Callable[[], Array]) -> Array:
        placed = once(self, key, lambda: self._engine.put(make()))
        self._ranks.setdefault(id(placed), None)
        return placed

    def rank(self, series: Array, ties: Ties) -> Array:
        if id(series) not in self._ranks:
            return self._engine.rank(series, ties)
        if self._rehearsing:
            raise _RanksAsked
        found = self._ranks[id(series)]
        if found is None:
            spare, self._spare = self._spare, None
            if spare and (len(spare[0]) < len(series) or spare[0].shape[1] != series.shape[1]):
                spare = None
            found = self._ranks[id(series)] = self._engine.rank_both(series, spare)
        return found[ties == "average"]

    def moments(self, block: Array, probes: Array, ties: Ties) -> Integers:
        return self._sums(block, None, probes, ties)

    def transform(self, block: Array, table: Floats, ties: Ties) -> Array:
        ranks = self.rank(block, ties) if id(block) in self._ranks else block
        return self._engine.transform(ranks, table, ties)

    def inner(self, block: Array, table: Floats | None, probes: Floats, ties: Ties) -> Floats:
        if table is None:
            return self._engine.inner(block, None, probes, ties)
        return self._sums(block, table, probes, ties)

    def _sums(self, block: Array, table: Floats | None, probes: Array, ties: Ties) -> Any:
        """Return what `moments` or, with a table, `inner` finds."""
        if id(block) not in self._ranks:
            return found_of(self._engine, block, table, probes, ties)
        key = block.shape[1], ties, id(table)
        if self._rehearsing:  # probes are kept, so that no others can get their ids
            self._asked.setdefault(key, (table, {}))[1][id(probes)] = probes
            return np.ones((len(block), len(probes) + 1 + (table is not None)), np.int64)
        if (key, id(probes)) not in self._places:
            return found_of(self._engine, self.rank(block, ties), table, probes, ties)
        if id(block) not in self._found:
            self._found[id(block)] = self._engine.products(block, self._several[block.shape[1]])
        number, columns = self._places[key, id(probes)]
        return self._found[id(block)][number][:, columns]


class _RanksAsked(Exception):
    """A rehearsal has met what needs the ranks themselves."""


def found_of(
    engine: Engine, block: Array, table: Floats | None, probes: Array, ties: Ties
) -> Floats | Integers:
    """Return one of the `products` of a block or of its ranks, by the engine's other verbs."""
    if table is None:
        return engine.moments(block, probes, ties)
    if table.ndim == 1:
        return engine.inner(block, table, probes, ties)
    rows = range(len(table))
    each = [engine.inner(block[n : n + 1], table[n], probes[n], ties) for n in rows]
    return np.concatenate(each)


def once(engine: Engine, key: Hashable, make: Callable[[], _Made], lasting: bool = False) -> _Made:
    """Return what a function makes; where an engine serves several scores, made once for each key.

    Args:
        engine: where the scores are computed.
        key: tells what is made. An `id` in it must be that of an object which is kept with it.
        make: makes it.
        lasting: whether it does not depend on the predictions.
    """
    if not isinstance(engine, RankedOnce):
        return make()
    made = engine.lasting if lasting else engine.passing
    if key not in made:
        made[key] = make()
    return made[key]
