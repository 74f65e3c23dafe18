"""An engine for several scores of the same predictions: what they share is computed once."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from mmc_gpu.engines.arrays import Array, Floats, Integers
from mmc_gpu.engines.protocol import Engine, Ties

_Made = TypeVar("_Made")


class RankedOnce:
    """An engine that puts and sorts the blocks which `hold` returns once; see `Engine`.

    Both kinds of ranks come from one sort, and all tables and probes are looked up and multiplied
    with these ranks. Everything else is passed on. The bits are the engine's: its verbs take ranks.
    What belongs to the predictions is kept until `forget`, what does not as long as this object.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.selects, self.groups = engine.name, engine.selects, engine.groups
        self.at_once = 1
        self.put, self.get = engine.put, engine.get
        self.zeros, self.stack = engine.zeros, engine.stack
        self.combine, self.ends = engine.combine, engine.ends
        self.rank_both, self.inner_each = engine.rank_both, engine.inner_each
        self.lasting: dict[Hashable, Any] = {}
        self.passing: dict[Hashable, Any] = {}
        self._ranks: dict[int, tuple[Array, Array] | None] = {}
        self._spare: tuple[Array, Array] | None = None

    def forget(self) -> None:
        # new pages of memory cost a tenth of a sort: these ranks will be written over
        self._spare = next((ranks for ranks in self._ranks.values() if ranks), None)
        self.passing, self._ranks = {}, {}

    def hold(self, key: Hashable, make: Callable[[], Array]) -> Array:
        placed = once(self, key, lambda: self._engine.put(make()))
        self._ranks.setdefault(id(placed), None)
        return placed

    def rank(self, series: Array, ties: Ties) -> Array:
        if id(series) not in self._ranks:
            return self._engine.rank(series, ties)
        found = self._ranks[id(series)]
        if found is None:
            spare, self._spare = self._spare, None
            if spare and (len(spare[0]) < len(series) or spare[0].shape[1] != series.shape[1]):
                spare = None
            found = self._ranks[id(series)] = self._engine.rank_both(series, spare)
        return found[ties == "average"]

    def moments(self, block: Array, probes: Array, ties: Ties) -> Integers:
        return self._engine.moments(self._ranked(block, ties), probes, ties)

    def transform(self, block: Array, table: Floats, ties: Ties) -> Array:
        return self._engine.transform(self._ranked(block, ties), table, ties)

    def inner(self, block: Array, table: Floats | None, probes: Floats, ties: Ties) -> Floats:
        rows = block if table is None else self._ranked(block, ties)
        return self._engine.inner(rows, table, probes, ties)

    def _ranked(self, block: Array, ties: Ties) -> Array:
        """Return the ranks of a block that is held; any other block as it is."""
        return self.rank(block, ties) if id(block) in self._ranks else block


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
    found: _Made = made[key]
    return found
