"""The GPU engine: CuPy, and the kernels of kernels/*.cu.

Arrays are CuPy's, on the GPU they are on; a block of more than one group is shared out among the
GPUs of a machine. A block that does not fit stays on the host, and each verb takes it in turns on
two streams, so that one copies while the other computes. Like CuPy's own functions, verbs are
ordered by the caller's current stream.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from mmc_gpu.arrays import Array, Floats, Integers, Ranks
from mmc_gpu.engines.gpu_card import Card
from mmc_gpu.engines.gpu_library import load_cupy
from mmc_gpu.engines.protocol import GROUP, Ties

HOST_TURN = 32 << 20
"""Bytes of a turn of a host block: small against the block, so that copies and kernels overlap, and
large against their latencies."""
DEVICE_TURN = 256 << 20
"""Bytes of scratch for a turn of a block on a GPU."""

_CUDA = 2  # DLPack's kDLCUDA


@dataclass(frozen=True)
class Spread:
    """A block in parts, in the order of its rows, on several GPUs."""

    parts: list[Array]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the block."""
        return len(self), self.parts[0].shape[1]

    def __len__(self) -> int:
        """Return the number of rows."""
        return sum(len(part) for part in self.parts)


class GpuEngine:
    """The verbs on NVIDIA GPUs.

    Attributes:
        cards: the GPUs, by their numbers; the first has the blends.
    """

    name = "gpu"
    selects = False

    def __init__(self) -> None:
        self._cupy = load_cupy()
        count = self._cupy.cuda.runtime.getDeviceCount()
        self.cards = [Card(self._cupy, number) for number in range(count)]

    def put(self, block: Any) -> Array:
        block = self._known(block)
        if not isinstance(block, np.ndarray):
            return block
        groups = -(-len(block) // GROUP)
        each = GROUP * max(1, -(-groups // len(self.cards)))
        parts = [block[start : start + each] for start in range(0, max(1, len(block)), each)]
        shares = list(zip(self.cards, parts, strict=False))
        if not all(card.keeps(part) for card, part in shares):
            return block
        arrays = []
        for card, part in shares:
            with card.device:
                arrays.append(card.held(part))
        if self.cards[0].is_pinned(block):
            self._wait()  # the host array is the caller's again
        return Spread(arrays) if len(arrays) > 1 else arrays[0]

    def get(self, array: Array) -> Any:
        if isinstance(array, Spread):
            return np.concatenate([self.get(part) for part in array.parts])
        if isinstance(array, np.ndarray):
            return array
        with array.device:
            return array.get()

    def combine(self, blend: Array, block: Array, weights: Floats) -> Array:
        home, block = self.cards[0], self._known(block)
        draws, stocks = blend.shape
        total = self._copied_home(blend)
        row_bytes = 8 * draws * (1 + -(-stocks // GROUP))  # weights, and a share of the sums
        with self._forked(block):
            for card, places, rows in self._turns(block, self.cards, GROUP, row_bytes):
                with card.turn() as stream:
                    there = card.upload(weights[:, places])
                    sums = card.sum_groups(card.held(rows), there)
                with self._at_home(card, stream):  # one stream adds all, so that it is in order
                    home.add_groups(total, sums)
        return total

    def rank(self, series: Array, ties: Ties) -> Array:
        def rank(card: Card, rows: Array, ranks: Array) -> None:
            card.rank_into(ranks, rows, ties)

        return self._mapped(series, np.int32, 4, rank)

    def transform(self, block: Array, table: Floats, ties: Ties) -> Array:
        tables = {card: card.upload(table[None]) for card in self.cards}

        def transform(card: Card, rows: Array, series: Array) -> None:
            card.look_up(card.rank(rows, ties), tables[card], series)

        return self._mapped(block, np.float64, 4 * block.shape[1], transform)

    def moments(self, block: Array, probes: Ranks, ties: Ties) -> Integers:
        near = {card: card.upload(probes) for card in self.cards}

        def moments(card: Card, rows: Array) -> Array:
            return card.moments(card.rank(rows, ties), near[card])

        return self._found(block, len(probes) + 1, np.int64, 4, moments)

    def ends(self, series: Array, count: int) -> Integers:
        def ends(card: Card, rows: Array) -> Array:
            return card.ends(card.rank(rows, "first"), count)

        return self._found(series, 2 * count, np.int64, 4, ends)

    def inner(self, block: Array, table: Floats | None, probes: Floats, ties: Ties) -> Floats:
        near = {card: card.upload(probes) for card in self.cards}
        tables = {card: None if table is None else card.upload(table[None]) for card in self.cards}

        def inner(card: Card, rows: Array) -> Array:
            series = rows
            if table is not None:
                series = card.empty(rows.shape, np.float64)
                card.look_up(card.rank(rows, ties), tables[card], series)
            return card.sum_lanes(series, near[card])

        return self._found(block, len(probes) + 2, np.float64, 12, inner)

    def _mapped(
        self,
        block: Array,
        dtype: Any,
        row_bytes: int,
        compute: Callable[[Card, Array, Array], None],
    ) -> Array:
        """Return an array of the block's shape, on its GPU, that `compute` has written by rows.

        Args:
            block: what is on the host comes to the first GPU.
            dtype: of the result.
            row_bytes: what a row needs, besides itself and the result.
            compute: given a GPU, rows on it and the rows of the result.
        """
        block = self._known(block)
        if isinstance(block, Spread):
            return Spread([self._mapped(part, dtype, row_bytes, compute) for part in block.parts])
        card = self._card(block)
        result = card.empty(block.shape, dtype)
        with self._forked(block):
            for _, places, rows in self._turns(block, [card], 1, max(1, row_bytes)):
                with card.turn():
                    compute(card, card.held(rows), result[places])
        return result

    def _found(
        self,
        block: Array,
        columns: int,
        dtype: Any,
        value_bytes: int,
        compute: Callable[[Card, Array], Array],
    ) -> Any:
        """Return on the host, (rows, columns), what `compute` finds for each row of the block.

        Args:
            block: what is on the host comes to each GPU in turn.
            columns: of the result.
            dtype: of the result.
            value_bytes: what each of a row's values needs, besides itself.
            compute: given a GPU and rows on it, returns what it finds, on that GPU.
        """
        block = self._known(block)
        found = self.cards[0].pinned((len(block), columns), dtype)
        with self._forked(block):
            row_bytes = value_bytes * block.shape[1] + 8 * columns
            for card, places, rows in self._turns(block, self.cards, 1, row_bytes):
                with card.turn():
                    compute(card, card.held(rows)).get(out=found[places], blocking=False)
        self._wait()
        return found

    def _known(self, block: Any) -> Array:
        """Return the block as a Spread, a CuPy or a NumPy array, without copying it."""
        if isinstance(block, Spread | self._cupy.ndarray | np.ndarray):
            return block
        if hasattr(block, "__cuda_array_interface__"):
            return self._cupy.asarray(block)
        if not hasattr(block, "__dlpack_device__"):
            return np.asarray(block)
        library = self._cupy if block.__dlpack_device__()[0] == _CUDA else np
        return library.from_dlpack(block)

    def _card(self, array: Array) -> Card:
        """Return the GPU an array is on; the first for one on the host."""
        return self.cards[0 if isinstance(array, np.ndarray) else array.device.id]

    def _copied_home(self, blend: Array) -> Array:
        """Return a copy of the blend on the first GPU."""
        home = self.cards[0]
        if isinstance(blend, np.ndarray):
            return home.upload(blend)
        total, first = home.empty(blend.shape, np.float64), 0
        for part in blend.parts if isinstance(blend, Spread) else [blend]:
            card = self._card(part)
            with card.device:
                rows = card.held(part)
            with self._at_home(card, card.current()):
                there = total[first : first + len(rows)].data
                there.copy_from_device_async(rows.data, rows.nbytes)
            first += len(rows)
        return total

    def _turns(
        self, block: Array, cards: list[Card], unit: int, row_bytes: int
    ) -> Iterator[tuple[Card, slice, Array]]:
        """Yield a block's rows in order, as (GPU, places in the block, rows), whole units a turn.

        Args:
            block: what is on a GPU stays there; what is on the host goes to each GPU in turn.
            cards: the GPUs for a block on the host.
            unit: rows that belong together.
            row_bytes: what a row needs, besides itself.
        """
        first = 0
        for part in block.parts if isinstance(block, Spread) else [block]:
            on_host = isinstance(part, np.ndarray)
            near = cards if on_host else [self._card(part)]
            moved = 0 if not on_host and part.flags.c_contiguous else part.itemsize * part.shape[1]
            most = HOST_TURN if on_host else DEVICE_TURN
            each = min(card.rows_at_once(row_bytes + moved, unit, most) for card in near)
            for start, card in zip(range(0, len(part), each), cycle(near), strict=False):
                rows = part[start : start + each]
                yield card, slice(first + start, first + start + len(rows)), rows
            first += len(part)

    @contextmanager
    def _at_home(self, card: Card, stream: Any) -> Iterator[None]:
        """Order what the first GPU does inside after what is on a stream of some GPU.

        What follows on that stream comes afterwards: it may use the memory of what was read.
        """
        home = self.cards[0]
        with card.device:
            before = stream.record()
        with home.device:
            home.current().wait_event(before)
            yield
            after = home.current().record()
        with card.device:
            stream.wait_event(after)

    @contextmanager
    def _forked(self, block: Array) -> Iterator[None]:
        """Order what happens inside, on the GPUs' own streams, by the callers' current streams."""
        for card in self.cards:
            card.fork()
        yield
        for card in self.cards:
            card.join()
        if isinstance(block, np.ndarray):
            self._wait()  # the host array is the caller's again

    def _wait(self) -> None:
        for card in self.cards:
            card.wait()
