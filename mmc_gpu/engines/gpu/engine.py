"""The GPU engine: CuPy, and the kernels of kernels/*.cu.

An array of this engine is CuPy's. Like CuPy's own functions, verbs enqueue their work on the
caller's current stream. Rows on the host come in turns: some are copied while others are computed.
What lies on a GPU is computed there. The host's rows go to all GPUs in turn; if an array of the
engine is returned, or if other threads call verbs too, they go to this thread's own GPU.
"""

from collections.abc import Callable, Sequence
from itertools import count, cycle
from threading import local
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers, is_on_gpu, on_gpu
from mmc_gpu.engines.gpu import round as gpu_round
from mmc_gpu.engines.gpu.card import Card, Intake
from mmc_gpu.engines.gpu.kernels import groups_of
from mmc_gpu.engines.gpu.library import load_cupy
from mmc_gpu.engines.protocol import GROUP, RoundFound, RoundPlan, Ties
from mmc_gpu.engines.ranked_once import found_of
from mmc_gpu.engines.selection import Selection
from mmc_gpu.engines.threads import works_alone
from mmc_gpu.errors import EngineUnavailable

DEVICE_TURN = 256 << 20
"""Bytes of scratch that a turn may need, if the block is on a GPU."""

_KEPT = 2
"""Shapes of rounds whose memory is kept."""


class GpuEngine:
    """The verbs on NVIDIA GPUs.

    Attributes:
        cards: the GPUs, by their numbers.
    """

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
        self.groups = 2 * len(self.cards)  # each GPU copies one group and computes another
        self._rounds: dict[Any, gpu_round.GpuRound] = {}
        self._numbers, self._thread = count(), local()

    def put(self, block: Any) -> Array:
        block = self._known(block)
        card = self._card(block)
        size = int(np.prod(block.shape)) * np.dtype(block.dtype).itemsize
        return block if is_on_gpu(block) or not card.memory.keeps(size) else card.held(block)

    def get(self, array: Array) -> Any:
        if not is_on_gpu(array):
            return array
        with array.device:
            return array.get()

    def zeros(self, rows: int, columns: int) -> Array:
        return self._card(None).memory.zeros((rows, columns), np.float64)

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
        made = self._rounds.pop(key := (*(card.device.id for card in cards), shape), None)
        try:
            made = made or gpu_round.GpuRound(cards, shape)
        except EngineUnavailable:
            self._rounds.clear()
            try:
                made = gpu_round.GpuRound(cards, shape)
            except EngineUnavailable:
                return None
        if made.is_small:
            self._rounds[key] = made
            if len(self._rounds) > _KEPT:
                self._rounds.pop(next(iter(self._rounds)))
        return made.found(plan)

    def combine(self, blend: Array, block: Array, weights: Floats) -> Array:
        home, *_ = cards = self._cards(block := self._known(block))
        draws, stocks = blend.shape
        total = home.copy(self._near(home, blend), home.memory.empty(blend.shape, np.float64))

        def add(card: Card, rows: Array, places: slice) -> None:
            sums = card.memory.empty((groups_of(len(rows)), draws, stocks), np.float64)
            card.kernels.sum_groups(rows, card.upload(weights[:, places]), 0, sums)
            sums = home.brought(card, sums)
            with home.device:  # one stream adds all, so that it is in order
                home.kernels.add_groups(total, sums)

        self._turns(cards, block, add, GROUP, -(-8 * draws * (GROUP + stocks) // GROUP))
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
        card = self._card(series := self._known(series))
        found = [card.memory.empty(series.shape, np.int32) for _ in ties]

        def rank(card: Card, rows: Array, places: slice) -> None:
            ranks = {name: each[places] for name, each in zip(ties, found, strict=True)}
            card.ranking(rows)(rows, **ranks)

        self._turns([card], series, rank, 1, 4)
        return found

    def moments(self, block: Array, probes: Array, ties: Ties) -> Integers:
        cards = self._cards(block := self._known(block))
        near = {card: self._near(card, probes) for card in cards}

        def moments(card: Card, rows: Array, found: Array) -> None:
            card.kernels.moments(card.rank(rows, ties), near[card], found)

        return self._found(cards, block, len(probes) + 1, np.int64, moments)

    def ends(self, series: Array, count: int) -> Integers:
        def ends(card: Card, rows: Array, found: Array) -> None:
            card.kernels.ends(card.rank(rows, "first"), found)

        cards = self._cards(series := self._known(series))
        return self._found(cards, series, 2 * count, np.int64, ends)

    def transform(self, block: Array, table: Floats, ties: Ties) -> Array:
        card = self._card(block := self._known(block))
        series, near = card.memory.empty(block.shape, np.float64), self._near(card, table[None])

        def transform(card: Card, rows: Array, places: slice) -> None:
            card.kernels.look_up(card.rank(rows, ties), near, series[places])

        self._turns([card], block, transform, 1, 4 * block.shape[1])
        return series

    def inner(self, block: Array, table: Floats | None, probes: Floats, ties: Ties) -> Floats:
        cards = self._cards(block := self._known(block))
        near = {card: self._near(card, probes) for card in cards}
        tables = {} if table is None else {card: self._near(card, table[None]) for card in cards}

        def inner(card: Card, rows: Array, found: Array) -> None:
            if tables:
                rows = card.looked_up(card.rank(rows, ties), tables[card])
            card.kernels.sum_lanes(rows, near[card], found)

        return self._found(cards, block, len(probes) + 2, np.float64, inner)

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
        cards: list[Card],
        block: Array,
        columns: int,
        dtype: Any,
        compute: Callable[[Card, Array, Array], None],
    ) -> Any:
        """Return what `compute` writes for each row of the block: (B, columns), on the host."""
        found = cards[0].memory.pinned((len(block), columns), dtype)

        def bring(card: Card, rows: Array, places: slice) -> None:
            there = card.memory.empty((len(rows), columns), dtype)
            compute(card, rows, there)
            there.get(out=found[places], blocking=False)

        try:
            self._turns(cards, block, bring, 1, 12 * block.shape[1] + 8 * columns)
        finally:  # also after an error: nobody else may have the memory that is written
            for card in cards:
                with card.device:
                    card.current().synchronize()
        return found

    def _turns(
        self,
        cards: list[Card],
        block: Array,
        compute: Callable[[Card, Array, slice], None],
        unit: int,
        row_bytes: int,
    ) -> None:
        """Enqueue work on the rows of a block, turn by turn.

        Args:
            cards: the block's GPU, or those to which it comes from the host, in turn.
            block: (B, N).
            compute: is given a GPU, rows there in C order, and their places in the block.
            unit: so many rows belong together; a turn has whole units.
            row_bytes: how much scratch a row needs.
        """
        total, held = len(block), np.dtype(block.dtype).itemsize * block.shape[1]
        from_host = not is_on_gpu(block)
        most, size = (gpu_round.HOST_TURN, held) if from_host else (DEVICE_TURN, row_bytes + held)
        share = -(-total // (unit * len(cards)))
        each = unit * max(1, min(most // (unit * size or 1), share))
        intakes: dict[Card, Intake] = {}
        try:
            for start, card in zip(range(0, total, each), cycle(cards), strict=False):
                places = slice(start, min(start + each, total))
                with card.device:
                    if from_host and card not in intakes:
                        intakes[card] = Intake(card, each, block)
                    rows = block[places]
                    rows = intakes[card].take(rows) if from_host else card.held(rows)
                    compute(card, rows, places)
        finally:
            for card, intake in intakes.items():
                intake.close(wait=card.is_pinned(block))  # then it is the caller's again

    def _known(self, block: Any) -> Array:
        """Return the block as a CuPy or a NumPy array, or a `Selection` of the host's.

        Without a copy, unless its byte order is foreign, which no GPU reads; or it is a selection
        of an array on a GPU.
        """
        if isinstance(block, Selection):
            return self._card(block.matrix).held(block) if is_on_gpu(block.matrix) else block
        if is_on_gpu(block):
            return on_gpu(self._cupy, block)
        if hasattr(block, "__dlpack__") and not isinstance(block, np.ndarray):
            block = np.from_dlpack(block)
        host: Any = np.asarray(block)
        return host if host.dtype.isnative else host.astype(host.dtype.newbyteorder("="))

    def _card(self, array: Array) -> Card:
        """Return the GPU that an array is on; of what is on the host, that of this thread."""
        if is_on_gpu(array):
            return self.cards[array.device.id]
        if not hasattr(self._thread, "card"):
            self._thread.card = self.cards[next(self._numbers) % len(self.cards)]
        found: Card = self._thread.card
        return found

    def _cards(self, block: Array) -> list[Card]:
        """Return the GPUs for a block's rows, first that of this thread."""
        card = self._card(block)
        if is_on_gpu(block) or works_alone():
            return [card]
        number = card.device.id
        return self.cards[number:] + self.cards[:number]

    def _near(self, card: Card, others: Array) -> Array:
        """Return rows in C order on a GPU; those of another GPU come by way of the host."""
        others = self._known(others)
        return card.held(others if card.has(others) else self.get(others))
