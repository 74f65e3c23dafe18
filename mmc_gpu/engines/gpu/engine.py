"""The GPU engine: CuPy, and the kernels of kernels/*.cu.

Longer than other files: the verbs, how a block is cut into turns, and the order of the streams need
each other. Kernels, memory, streams and blocks have files of their own.

An array of this engine is CuPy's, or a `Spread`. A block of more than one group is shared out among
all GPUs of the machine. Rows on the host come in turns on two streams: one stream copies while the
other computes. A block that was put stays on the GPUs once it has been copied. Like CuPy's own
functions, verbs follow what is on the caller's current stream; ranks that are begun do not.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Array, Floats, Integers, is_on_gpu, on_gpu
from mmc_gpu.engines.gpu.blocks import Coming, Spread, parts_of, pieces_of
from mmc_gpu.engines.gpu.card import Card
from mmc_gpu.engines.gpu.library import load_cupy
from mmc_gpu.engines.protocol import GROUP, Ties
from mmc_gpu.engines.ranked_once import found_of
from mmc_gpu.errors import EngineUnavailable

HOST_TURN = 32 << 20
"""Bytes that a turn takes from the host: few against the block, so that copies and kernels overlap,
and many against their latencies."""
DEVICE_TURN = 256 << 20
"""Bytes of scratch that a turn may need, if the block is on a GPU."""

Take = Callable[[], Array]


class GpuEngine:
    """The verbs on NVIDIA GPUs.

    Attributes:
        cards: the GPUs, by their numbers; the blends are on the first.
    """

    name = "gpu"
    selects = False
    at_once = 1

    def __init__(self) -> None:
        self._cupy = load_cupy()
        count = self._cupy.cuda.runtime.getDeviceCount()
        try:
            self.cards = [Card(self._cupy, number) for number in range(count)]
        except self._cupy.cuda.runtime.CUDARuntimeError as error:
            raise EngineUnavailable(
                f"a GPU cannot be used ({error}): see with nvidia-smi whether others have its"
                " memory, or choose another with CUDA_VISIBLE_DEVICES"
            ) from error
        self.groups = 2 * len(self.cards)  # each GPU copies one group and computes another

    def put(self, block: Any) -> Array:
        block = self._known(block)
        if not isinstance(block, np.ndarray):
            return block
        dealt = self._dealt(block)
        shares = {card: 0 for card, _ in dealt}
        for card, part in dealt:
            shares[card] += len(part)
        if not all(card.keeps(block[:rows]) for card, rows in shares.items()):
            return block
        try:
            left = {
                card: card.empty((rows, *block.shape[1:]), block.dtype)
                for card, rows in shares.items()
            }
        except EngineUnavailable:  # there is room, but not in one piece, or no longer
            return block
        arrays = []
        for card, part in dealt:
            arrays.append(left[card][: len(part)])
            left[card] = left[card][len(part) :]
        if len(block) > GROUP:
            return Spread(arrays, {at: Coming(part) for at, (_, part) in enumerate(dealt)})
        home = self.cards[0]
        with home.device:
            home.fill(arrays[0], block)
        if home.is_pinned(block):
            home.wait()  # the host array is the caller's again
        return arrays[0]

    def get(self, array: Array) -> Any:
        if isinstance(array, Spread):
            return np.concatenate([self.get(part) for part in pieces_of(array)])
        if isinstance(array, np.ndarray):
            return array
        with array.device:
            return array.get()

    def zeros(self, rows: int, columns: int) -> Array:
        return self.cards[0].zeros((rows, columns), np.float64)

    def stack(self, parts: Sequence[Array]) -> Array:
        with self._forked(None):
            return self._stacked(parts)

    def _stacked(self, parts: Sequence[Array]) -> Array:
        """Return the rows of all parts, on the first GPU, copied by its serial stream."""
        home = self.cards[0]
        pieces = [piece for part in parts for piece in pieces_of(self._known(part))]
        size = sum(len(piece) for piece in pieces), pieces[0].shape[1]
        stacked, first = home.empty(size, pieces[0].dtype), 0
        for piece in pieces:
            there, card = stacked[first : first + len(piece)], self._card(piece)
            first += len(piece)
            with card.serially():
                if isinstance(piece, np.ndarray):
                    card.write(there, piece)
                    continue
                rows = card.held(piece)
            with self._at_home(card, card.serial):
                there.data.copy_from_device_async(rows.data, rows.nbytes)
        return stacked

    def combine(self, blend: Array, block: Array, weights: Floats) -> Array:
        home, block = self.cards[0], self._known(block)
        draws, stocks = blend.shape
        row_bytes = -(-8 * draws * (GROUP + stocks) // GROUP)  # weights, and a share of the sums
        with self._forked(block):
            total = self._stacked([blend])
            for card, places, take in self._turns(block, self.cards, GROUP, row_bytes):
                with card.turn() as stream:
                    rows = take()  # first, so that the bus never waits for the weights
                    sums = card.sum_groups(rows, card.upload(weights[:, places]))
                with self._at_home(card, stream):  # one stream adds all, so that it is in order
                    home.add_groups(total, sums)
        return total

    def rank(self, series: Array, ties: Ties) -> Array:
        def rank(card: Card, rows: Array, ranks: Array) -> None:
            card.rank_into(ranks, rows, ties)

        return self._mapped(series, np.int32, 4, rank)

    def rank_both(
        self, series: Array, spare: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        return self.rank(series, "first"), self.rank(series, "average")  # both are quick here

    def transform(self, block: Array, table: Floats, ties: Ties) -> Array:
        tables = self._near(block, table[None])

        def transform(card: Card, rows: Array, series: Array) -> None:
            card.look_up(_ranks(card, rows, ties), tables[card], series)

        return self._mapped(block, np.float64, 4 * block.shape[1], transform)

    def begin(self, block: Array, ties: Ties) -> Array:
        block = self._known(block)
        room = all(self._card(part).keeps(part[:0]) for part in parts_of(block))
        if isinstance(block, np.ndarray) or not room:  # room for the blocks that come after
            return None
        coming = block.coming if isinstance(block, Spread) else {}
        are_ranks = parts_of(block)[0].dtype == np.int32  # also of a block that has been begun
        asked = any(one.ranks is not None for one in coming.values())
        if are_ranks or asked:
            return block
        parts = []
        for at, part in enumerate(parts_of(block)):
            card, stocks = self._card(part), part.shape[1]
            row_bytes = stocks * (4 if part.flags.c_contiguous else 4 + part.itemsize)
            spare = card.spare() if at in coming else min(card.spare(), DEVICE_TURN)
            ranks = card.early((min(len(part), spare // row_bytes), stocks), np.int32)
            if at in coming:
                coming[at].ranks, coming[at].ties = ranks, ties
            elif len(ranks):
                card.begin(ranks, part[: len(ranks)], ties)
            parts += [ranks, part[len(ranks) :]]
        return Spread([part for part in parts if len(part)] or parts[:1], begun=block)

    def moments(self, block: Array, probes: Array, ties: Ties) -> Integers:
        block = self._arrived(self._known(block))
        near = self._near(block, probes)
        begun = isinstance(block, Spread) and block.begun is not None

        def moments(card: Card, rows: Array) -> Array:
            ranks = _ranks(card, rows, ties)
            if begun:
                card.await_begun()
            return card.moments(ranks, near[card])

        return self._found(block, len(probes) + 1, np.int64, 4, moments)

    def ends(self, series: Array, count: int) -> Integers:
        def ends(card: Card, rows: Array) -> Array:
            return card.ends(card.rank(rows, "first"), count)

        return self._found(series, 2 * count, np.int64, 4, ends)

    def inner(self, block: Array, table: Floats | None, probes: Floats, ties: Ties) -> Floats:
        near = self._near(block, probes)
        tables = {} if table is None else self._near(block, table[None])

        def inner(card: Card, rows: Array) -> Array:
            series = rows
            if table is not None:
                series = card.empty(rows.shape, np.float64)
                card.look_up(_ranks(card, rows, ties), tables[card], series)
            return card.sum_lanes(series, near[card])

        return self._found(block, len(probes) + 2, np.float64, 12, inner)

    def products(
        self, block: Array, several: Sequence[tuple[Floats | None, Array, Ties]]
    ) -> list[Any]:
        ranks = {ties: self.rank(block, ties) for ties in {ties for *_, ties in several}}
        return [found_of(self, ranks[ties], table, probes, ties) for table, probes, ties in several]

    def _mapped(
        self,
        block: Array,
        dtype: Any,
        row_bytes: int,
        compute: Callable[[Card, Array, Array], None],
    ) -> Array:
        """Return an array of the block's shape, on the block's GPU; `compute` writes it by rows.

        Args:
            block: (B, N); from the host it comes to the first GPU.
            dtype: of the result.
            row_bytes: how much scratch a row needs.
            compute: takes a GPU, rows on it, and the rows of the result, which it writes.
        """
        block = self._known(block)
        parts = parts_of(block)
        results = [self._card(part).empty(part.shape, dtype) for part in parts]
        with self._forked(block):
            for at, (part, result) in enumerate(zip(parts, results, strict=True)):
                near = [self._card(part)]
                for card, places, take in self._part_turns(block, at, near, 1, max(1, row_bytes)):
                    with card.turn():
                        compute(card, take(), result[places])
        return Spread(results) if isinstance(block, Spread) else results[0]

    def _found(
        self,
        block: Array,
        columns: int,
        dtype: Any,
        value_bytes: int,
        compute: Callable[[Card, Array], Array],
    ) -> Any:
        """Return what `compute` finds for each row of the block: (B, columns), on the host.

        Args:
            block: (B, N); from the host its rows come to all GPUs in turn.
            columns: of the result.
            dtype: of the result.
            value_bytes: how much scratch each value of a row needs.
            compute: takes a GPU and rows on it, and returns its result on that GPU.
        """
        block = self._known(block)
        found = self.cards[0].pinned((len(block), columns), dtype)
        with self._forked(block):
            row_bytes = value_bytes * block.shape[1] + 8 * columns
            for card, places, take in self._turns(block, self.cards, 1, row_bytes):
                with card.turn():
                    compute(card, take()).get(out=found[places], blocking=False)
        self._wait()
        return found

    def _dealt(self, block: Any) -> list[tuple[Card, Any]]:
        """Return a host block in parts of whole groups, in order, each with the GPU it goes to.

        Several GPUs get a part of one turn each, again and again: copies to all of them overlap,
        and yet the groups are added to the blends in their order.
        """
        groups = -(-len(block) // GROUP)
        share = -(-groups // len(self.cards))
        if len(self.cards) > 1:
            share = min(share, HOST_TURN // (GROUP * block[:1].nbytes or 1))
        each = GROUP * max(1, share)
        parts = [block[start : start + each] for start in range(0, max(1, len(block)), each)]
        return list(zip(cycle(self.cards), parts, strict=False))

    def _arrived(self, block: Array) -> Array:
        """Return the block, when all rows whose ranks were begun have come from the host."""
        source = block.begun if isinstance(block, Spread) else None
        if isinstance(source, Spread) and source.coming:
            with self._forked(source):
                for card, _, take in self._turns(source, self.cards, 1, 1):
                    with card.turn():
                        take()
        return block

    def _known(self, block: Any) -> Array:
        """Return the block as a Spread, a CuPy or a NumPy array.

        Without a copy, unless its byte order is foreign, which no GPU reads.
        """
        if isinstance(block, Spread):
            return block
        if is_on_gpu(block):
            return on_gpu(self._cupy, block)
        if hasattr(block, "__dlpack__") and not isinstance(block, np.ndarray):
            block = np.from_dlpack(block)
        host: Any = np.asarray(block)
        return host if host.dtype.isnative else host.astype(host.dtype.newbyteorder("="))

    def _card(self, array: Array) -> Card:
        """Return the GPU that an array is on; for an array on the host, the first GPU."""
        return self.cards[0 if isinstance(array, np.ndarray) else array.device.id]

    def _near(self, block: Array, others: Array) -> dict[Card, Array]:
        """Return on each of a block's GPUs the others, with which its rows are multiplied."""
        parts = parts_of(self._known(block))
        on_host = isinstance(parts[0], np.ndarray)
        cards = self.cards if on_host else {self._card(part) for part in parts}
        return {
            card: others if card.has(others) else card.upload(self.get(others)) for card in cards
        }

    def _turns(
        self, block: Array, cards: list[Card], unit: int, row_bytes: int
    ) -> Iterator[tuple[Card, slice, Take]]:
        """Yield the turns of a block, in order: a GPU, places in the block, and its rows.

        Args:
            block: rows on a GPU stay there; rows on the host go to all GPUs in turn.
            cards: the GPUs for a block on the host.
            unit: so many rows belong together; a turn has whole units.
            row_bytes: how much scratch a row needs.

        Yields:
            The rows as a function: it returns them on the GPU, in C order, and copies them on the
            GPU's current stream if it must.
        """
        first = 0
        for at, part in enumerate(parts_of(block)):
            for card, places, take in self._part_turns(block, at, cards, unit, row_bytes):
                yield card, slice(first + places.start, first + places.stop), take
            first += len(part)

    def _part_turns(
        self, block: Array, at: int, cards: list[Card], unit: int, row_bytes: int
    ) -> Iterator[tuple[Card, slice, Take]]:
        """Yield the turns of one part of a block as `_turns` does, with places in the part."""
        part = parts_of(block)[at]
        coming = block.coming.get(at) if isinstance(block, Spread) else None
        on_host = isinstance(part, np.ndarray)
        near = cards if on_host else [self._card(part)]
        held = part.itemsize * part.shape[1]
        row_bytes += 0 if not on_host and part.flags.c_contiguous else held
        most = DEVICE_TURN if coming is None and not on_host else HOST_TURN
        unit = max(1, min(unit, len(part)))
        each = min(card.rows_at_once(row_bytes, unit, most) for card in near)
        if coming is not None:  # its memory is there already: a turn is what it copies
            each = min(each, unit * max(1, most // (unit * held)))
        for start, card in zip(range(0, len(part), each), cycle(near), strict=False):
            rows = part[start : start + each]
            places = slice(start, start + len(rows))
            if coming is None:
                yield card, places, partial(card.held, rows)
            else:
                yield card, places, partial(coming.take_in, card, rows, places)
        if coming is not None:
            del block.coming[at]

    @contextmanager
    def _at_home(self, card: Card, stream: Any) -> Iterator[None]:
        """Let the first GPU's serial stream work inside, after the work on another GPU's stream.

        Later work on that other stream waits for it, since it may overwrite what is read inside.
        """
        home = self.cards[0]
        if stream is home.serial:
            with home.serially():
                yield
            return
        with card.device:
            before = card.mark(stream)
        with home.serially():
            home.serial.wait_event(before)
            yield
            after = home.mark(home.serial)
        with card.device:
            stream.wait_event(after)

    @contextmanager
    def _forked(self, block: Array) -> Iterator[None]:
        """Let the GPUs' own streams work inside, after the caller's streams and before them again.

        If an error leaves, all work has ended before: the memory that it wrote may be used anew.
        """
        on_host = pieces_of(block)
        try:
            for card in self.cards:
                card.fork()
            yield
        except BaseException:
            for card in self.cards:
                card.stop()
            raise
        for card in self.cards:
            card.join()
        if any(isinstance(one, np.ndarray) and self.cards[0].is_pinned(one) for one in on_host):
            self._wait()  # the host array is the caller's again

    def _wait(self) -> None:
        for card in self.cards:
            card.wait()


def _ranks(card: Card, rows: Array, ties: Ties) -> Array:
    """Return the ranks of rows; int32 rows are ranks already."""
    return rows if rows.dtype == np.int32 else card.rank(rows, ties)
