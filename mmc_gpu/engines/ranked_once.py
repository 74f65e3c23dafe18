"""An engine that ranks a block of predictions once, however often it is asked."""

from collections.abc import Hashable
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers, Numbers
from mmc_gpu.engines.protocol import Engine, Ties


class RankedOnce:
    """An engine for several scores of the same users; see `Engine` for its verbs.

    What `hold` was given is put, ranked and mapped through each table once; everything else is
    passed on. The bits are the engine's: its verbs take ranks, and rows as they are, too.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.selects, self.groups = engine.name, engine.selects, engine.groups
        self.get, self.zeros, self.stack = engine.get, engine.zeros, engine.stack
        self.combine, self.begin, self.ends = engine.combine, engine.begin, engine.ends
        self.inner_each = engine.inner_each

    def hold(self, block: Numbers) -> None:
        self._block, self._placed = block, self._engine.put(block)
        self._found: dict[Hashable, tuple[Array, Any]] = {}

    def put(self, block: Numbers) -> Array:
        one, other = (array.__array_interface__ for array in (block, self._block))
        return self._placed if one == other else self._engine.put(block)

    def rank(self, series: Array, ties: Ties) -> Array:
        if series is not self._placed:
            return self._engine.rank(series, ties)
        if ties not in self._found:
            self._found[ties] = self._engine.rank(series, ties), None
        return self._found[ties][0]

    def moments(self, block: Array, probes: Array, ties: Ties) -> Integers:
        ranks = self.rank(block, ties) if block is self._placed else block
        return self._engine.moments(ranks, probes, ties)

    def transform(self, block: Array, table: Floats, ties: Ties) -> Array:
        if block is not self._placed:
            return self._engine.transform(block, table, ties)
        key = ties, id(table)
        if key not in self._found:
            places = self.rank(block, ties) + np.int32(block.shape[1] - 1)
            series = self._engine.put(table[None])[0].take(places)
            self._found[key] = series, table  # which is kept, so that its id stays its own
        return self._found[key][0]

    def inner(self, block: Array, table: Floats | None, probes: Floats, ties: Ties) -> Floats:
        if table is None or block is not self._placed:
            return self._engine.inner(block, table, probes, ties)
        return self._engine.inner(self.transform(block, table, ties), None, probes, ties)
