"""The GPU engine: CuPy, and the kernels of kernels/*.cu.

An array of this engine is CuPy's. Like CuPy's own functions, verbs enqueue their work on the
caller's current stream. What lies on a GPU is computed there, what lies on the host on the
caller's current GPU; threads that work side by side get one each. A whole round has the memory,
the streams and the GPUs of round.py.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from threading import local
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers, is_on_gpu, on_gpu
from mmc_gpu.engines.gpu import round as gpu_round
from mmc_gpu.engines.gpu.card import Card
from mmc_gpu.engines.gpu.kernels import groups_of
from mmc_gpu.engines.gpu.library import load_cupy
from mmc_gpu.engines.protocol import GROUP, RoundFound, RoundPlan, Ties
from mmc_gpu.engines.ranked_once import found_of
from mmc_gpu.engines.selection import Selection
from mmc_gpu.engines.threads import here
from mmc_gpu.errors import EngineUnavailable

TURN = 1 << 26  # values of a block that a verb takes at a time: their ranks are 256 MB

_KEPT = 2  # shapes of rounds whose memory is kept


class GpuEngine:
    """The verbs on NVIDIA GPUs; `cards` are these, by their numbers."""

    name = "gpu"
    selects = True

    def __init__(self) -> None:
        self._cupy = load_cupy()
        found = range(self._cupy.cuda.runtime.getDeviceCount())
        try:
            self.cards = [Card(self._cupy, number) for number in found]
        except self._cupy.cuda.runtime.CUDARuntimeError as error:
            raise EngineUnavailable(
                f"a GPU cannot be used ({error}): see with nvidia-smi whether others have its"
                " memory, or choose another with CUDA_VISIBLE_DEVICES"
            ) from error
        self.at_once = len(self.cards)
        self._rounds: dict[Any, gpu_round.GpuRound] = {}
        self._numbers, self._thread = count(), local()

    def put(self, block: Any) -> Array:
        block = self._known(block)
        card = self._card(block)
        size = int(np.prod(block.shape)) * np.dtype(block.dtype).itemsize
        fits = size <= card.memory.room() - card.memory.size // 8  # which is left for work
        return card.held(block) if fits and not is_on_gpu(block) else block

    def get(self, array: Array) -> Any:
        if not is_on_gpu(array):
            return array
        with array.device:
            return array.get()

    def zeros(self, rows: int, columns: int) -> Array:
        card = self._card(None)
        array = card.memory.empty((rows, columns), np.float64)
        with card.device:
            array.data.memset_async(0, array.nbytes)
        return array

    def stack(self, parts: Sequence[Array]) -> Array:
        known = [self._known(part) for part in parts]
        card, rows, first = self._card(None), sum(len(part) for part in known), 0
        stacked = card.memory.empty((rows, known[0].shape[1]), known[0].dtype)
        for part in known:
            card.copy(self._near(card, part), stacked[first : first + len(part)])
            first += len(part)
        return stacked

    def score_round(self, plan: RoundPlan) -> RoundFound | None:
        matrix = plan.block.matrix if isinstance(plan.block, Selection) else plan.block
        cards = [self._card(matrix)] if is_on_gpu(matrix) else self.cards
        shape = gpu_round.Shape.of(plan)
        key = (*(card.device.id for card in cards), shape)
        made = self._rounds.pop(key, None) or self._new_round(cards, shape)
        if made is None:
            return None
        if made.is_small:
            self._rounds[key] = made
            if len(self._rounds) > _KEPT:
                self._rounds.pop(next(iter(self._rounds)))
        return made.found(plan)

    def _new_round(self, cards: list[Card], shape: gpu_round.Shape) -> gpu_round.GpuRound | None:
        """Return the memory of a shape, if there is room, at least when no other shape is kept."""
        for _ in range(2):
            with suppress(EngineUnavailable):
                return gpu_round.GpuRound(cards, shape)
            self._rounds.clear()
        return None

    def combine(self, blend: Array, block: Array, weights: Floats) -> Array:
        card, block = self._at(block)
        with card.device:
            total = card.copy(self._near(card, blend), card.memory.empty(blend.shape, np.float64))
            for rows, places in self._turns(card, block, GROUP):
                sums = card.memory.empty((groups_of(len(rows)), *blend.shape), np.float64)
                card.kernels.sum_groups(rows, card.upload(weights[:, places]), 0, sums)
                card.kernels.add_groups(total, sums)
        return total

    def rank(self, series: Array, ties: Ties) -> Array:
        return self._ranked(series, (ties,))[0]

    def rank_both(
        self, series: Array, spare: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        first, average = self._ranked(series, ("first", "average"))
        return first, average

    def _ranked(self, series: Array, ties: Sequence[Ties]) -> list[Array]:
        """Return the ranks of a block for each treatment of ties, from one sort."""
        card, series = self._at(series)
        found = [card.memory.empty(series.shape, np.int32) for _ in ties]
        with card.device:
            for rows, places in self._turns(card, series):
                ranks = {name: each[places] for name, each in zip(ties, found, strict=True)}
                card.ranking(rows.shape, rows.dtype)(rows, **ranks)
        return found

    def moments(self, block: Array, probes: Array, ties: Ties) -> Integers:
        card, block = self._at(block)
        near = self._near(card, probes)

        def moments(rows: Array, found: Array) -> None:
            card.kernels.moments(card.rank(rows, ties), near, found)

        return self._found(card, block, len(probes) + 1, np.int64, moments)

    def ends(self, series: Array, count: int) -> Integers:
        card, series = self._at(series)

        def ends(rows: Array, found: Array) -> None:
            card.kernels.ends(card.rank(rows, "first"), found)

        return self._found(card, series, 2 * count, np.int64, ends)

    def transform(self, block: Array, table: Floats, ties: Ties) -> Array:
        card, block = self._at(block)
        series, near = card.memory.empty(block.shape, np.float64), self._near(card, table[None])
        with card.device:
            for rows, places in self._turns(card, block):
                card.kernels.look_up(card.rank(rows, ties), near, series[places])
        return series

    def inner(self, block: Array, table: Floats | None, probes: Floats, ties: Ties) -> Floats:
        card, block = self._at(block)
        near = self._near(card, probes)
        tables = None if table is None else self._near(card, table[None])

        def inner(rows: Array, found: Array) -> None:
            if tables is not None:
                rows = card.looked_up(card.rank(rows, ties), tables)
            card.kernels.sum_lanes(rows, near, found)

        return self._found(card, block, len(probes) + 2, np.float64, inner)

    def products(
        self, block: Array, several: Sequence[tuple[Floats | None, Array, Ties]]
    ) -> list[Any]:
        names = sorted({ties for *_, ties in several})
        ranks = dict(zip(names, self._ranked(block, names), strict=True))
        return [
            self._each_own(ranks[ties], table, probes)
            if table is not None and table.ndim == 2
            else found_of(self, ranks[ties], table, probes, ties)
            for table, probes, ties in several
        ]

    def _each_own(self, ranks: Array, tables: Floats, probes: Floats) -> Floats:
        """Return what `inner` does, where each row has a table and probes of its own."""
        card, (rows, count, stocks) = self._card(ranks), np.shape(probes)
        with card.device:
            series = card.looked_up(ranks, card.upload(np.asarray(tables)))
            there = card.upload(np.reshape(probes, (rows * count, stocks)))
            found = card.memory.empty((rows, count + 2), np.float64)
            card.kernels.sum_lanes(series, there.reshape(rows, count, stocks), found)
            return found.get()

    def extremes(self, matrix: Array) -> Any:
        """Return the least and greatest value of each row of an array on a GPU: (2, R)."""
        card = self._card(matrix)
        ends = card.memory.empty((2, len(matrix)), matrix.dtype)
        with card.device:
            card.kernels.row_ends(matrix, ends)
            return ends.get()

    def _found(
        self,
        card: Card,
        block: Array,
        columns: int,
        dtype: Any,
        compute: Callable[[Array, Array], None],
    ) -> Any:
        """Return what `compute` writes for each row of the block: (B, columns), on the host."""
        found = card.memory.pinned((len(block), columns), dtype)
        with card.device:
            try:
                for rows, places in self._turns(card, block):
                    there = card.memory.empty((len(rows), columns), dtype)
                    compute(rows, there)
                    there.get(out=found[places], blocking=False)
            finally:  # also after an error: nobody else may have the memory that is written
                card.current().synchronize()
        return found

    def _turns(self, card: Card, block: Array, unit: int = 1) -> Iterator[tuple[Array, slice]]:
        """Yield the rows of a block in C order on a GPU, whole units at a time, and their places.

        What a verb computes of them on the way takes about as much memory as they do.
        """
        each = unit * max(1, TURN // (unit * max(1, block.shape[1])))
        for start in range(0, len(block), each):
            places = slice(start, min(start + each, len(block)))
            yield card.held(block[places]), places

    def _known(self, block: Any) -> Array:
        """Return the block as a CuPy or a NumPy array, or a `Selection` of the host's.

        Without a copy, unless its byte order is foreign, which no GPU reads; or it is a selection
        of an array on a GPU.
        """
        if isinstance(block, Selection):
            return self._card(block.matrix).held(block) if is_on_gpu(block.matrix) else block
        if is_on_gpu(block):
            return on_gpu(block)
        if hasattr(block, "__dlpack__") and not isinstance(block, np.ndarray):
            block = np.from_dlpack(block)
        host: Any = np.asarray(block)
        return host if host.dtype.isnative else host.astype(host.dtype.newbyteorder("="))

    def _card(self, array: Array) -> Card:
        """Return the GPU that an array is on; of what is on the host, the thread's current one."""
        if is_on_gpu(array):
            return self.cards[array.device.id]
        if hasattr(here, "alone") and not hasattr(self._thread, "card"):
            self._thread.card = self.cards[next(self._numbers) % len(self.cards)]
            self._thread.card.device.use()  # scores calculate with CuPy's arrays, too
        return self.cards[self._cupy.cuda.runtime.getDevice()]

    def _at(self, block: Any) -> tuple[Card, Array]:
        """Return the GPU that computes a block, and the block as `_known` does."""
        known = self._known(block)
        return self._card(known), known

    def _near(self, card: Card, others: Array) -> Array:
        """Return rows in C order on a GPU; those of another GPU come by way of the host."""
        others = self._known(others)
        return card.held(others if card.has(others) else self.get(others))
