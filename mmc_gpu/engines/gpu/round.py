"""A whole round on GPUs: memory, events and staging that are made once for its shape, and one wait.

Each GPU has a share of the users, whole groups of them. The stream `urgent` does what others wait
for: sums of the stakers' groups, the blends and their ranks on the first GPU, moments, scores.
`aside` ranks the users meanwhile. Rows on the host come by `copier`, and both follow turn by turn.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Array, is_on_gpu
from mmc_gpu.engines.gpu.card import Card
from mmc_gpu.engines.gpu.kernels import Ranking, groups_of
from mmc_gpu.engines.protocol import GROUP, RoundFound, RoundPlan
from mmc_gpu.engines.selection import Selection

HOST_TURN = 32 << 20
"""Bytes that a turn takes from the host: few against the block, so that copies and kernels overlap,
and many against their latencies."""


class Shape(NamedTuple):
    """What a round's memory depends on; `held` is whether its rows are used where they lie."""

    users: int
    stocks: int
    blends: int
    stakers: int
    limbs: int
    targets: int
    dtype: str
    held: bool

    @classmethod
    def of(cls, plan: RoundPlan) -> "Shape":
        """Return the shape of a round."""
        block = plan.block
        held = not isinstance(block, Selection) and is_on_gpu(block) and block.flags.c_contiguous
        (users, stocks), (blends, stakers) = block.shape, plan.weights.shape
        limbs, targets, dtype = len(plan.limbs), len(plan.targets), np.dtype(block.dtype).name
        return cls(users, stocks, blends, stakers, limbs, targets, dtype, held)


class GpuRound:
    """Rounds of one shape, on some GPUs.

    Raises:
        EngineUnavailable: there is no room.
    """

    def __init__(self, cards: Sequence[Card], shape: Shape) -> None:
        each = GROUP * -(-groups_of(shape.users) // len(cards))
        starts = range(0, shape.users, each)
        self._shares = [
            Share(card, shape, slice(start, min(start + each, shape.users)))
            for card, start in zip(cards, starts, strict=False)
        ]
        self.is_small = all(share.size <= share.card.memory.size // 8 for share in self._shares)

    def found(self, plan: RoundPlan) -> RoundFound:
        """Return what a round asks for, valid until the next one of this shape."""
        home, shares = self._shares[0], self._shares
        try:
            for _ in zip_longest(*(share.begin(plan) for share in shares)):
                pass  # each GPU has got one more turn of its rows
            for share in shares:
                home.add_sums(share)
            home.rank_blends(plan)
            for share in shares:
                share.score(plan, home)
            for share in shares:
                share.wait()
        except BaseException:  # what runs still reads and writes what others may have next
            for share in shares:
                share.card.stop()
            raise
        draws = [share.draws if plan.per_draw else share.draws[..., :0] for share in shares]
        if len(shares) == 1:
            return RoundFound(home.scores, draws[0], home.own, *home.meta_models)
        scores = np.concatenate([share.scores for share in shares], axis=1)
        return RoundFound(scores, np.concatenate(draws, axis=1), home.own, *home.meta_models)


class Share:
    """What one GPU does of a round.

    Attributes:
        size: bytes of its memory.
        scores, draws, own: as in `RoundFound`, of its users, when `wait` has returned.
        meta_models: the blend and the ranks of `RoundFound`, on the first GPU.
    """

    def __init__(self, card: Card, shape: Shape, users: slice) -> None:
        self.card, self._shape, self._users = card, shape, users
        count = users.stop - users.start
        self._stakers = max(0, min(shape.stakers - users.start, count))
        blends, stocks, targets, memory = shape.blends, shape.stocks, shape.targets, card.memory
        probes, own = blends + shape.limbs, (blends, shape.limbs + 1)
        weights, floats = (blends, self._stakers), np.float64
        # The blends and their ranks are made there, what follows is sent in one piece. Of the
        # blends only the last one, of the full stakes, comes back, with the ranks behind it.
        self._made = slice(8 * (blends - 1) * stocks, made := (8 + 4) * blends * stocks)
        self._given = slice(made, None)
        with card.device:
            (self._blend, *self._probes), self._sent = self._piece(
                [
                    *(((blends, stocks), floats), ((probes, stocks), np.int32)),
                    *(((targets, 3), floats), (weights, floats)),
                ]
            )
            blend, ranks, *_ = self._sent.arrays
            self.meta_models = blend[-1], ranks[:blends]
            scores, draws = (3 * targets + 1, count), (targets, count, blends - 1)
            self._found, self._returned = self._piece(
                [(own, np.int64), (scores, np.float64), (draws, np.float64)]
            )
            self.own, self.scores, self.draws = self._returned.arrays
            self._ranks = memory.empty((count, stocks), np.int32)
            self._moments = memory.empty((count, probes + 1), np.int64)
            self._sums = memory.empty((groups_of(self._stakers), blends, stocks), np.float64)
            self._rows = memory.empty((0 if shape.held else count, stocks), shape.dtype)
            given = card.kernels, memory
            self._ranking = Ranking(*given, count, stocks, np.dtype(shape.dtype))
            self._blend_ranking = Ranking(*given, blends, stocks, np.dtype(np.float64))
            self._event, self._ranked = card.event(), card.event()
        others = self._ranks, self._moments, self._sums, self._rows
        pieces = self._sent.bytes.nbytes + self._returned.bytes.nbytes
        self.size = pieces + sum(array.nbytes for array in others)
        self._borrowed: list[Array] = []

    def _piece(self, arrays: list[tuple[tuple[int, ...], Any]]) -> tuple[list[Array], "_Piece"]:
        """Return arrays of these shapes and types that lie one after another on the GPU."""
        places, size = [], 0
        for shape, dtype in arrays:
            places.append(slice(size, size + int(np.prod(shape)) * np.dtype(dtype).itemsize))
            size += -(-(places[-1].stop - size) // 8) * 8
        there = self.card.memory.empty((size,), np.uint8)
        pinned = self.card.memory.pinned((size,), np.uint8)
        on_gpu, on_host = (
            [whole[at].view(kind).reshape(shape) for at, (shape, kind) in zip(places, arrays)]  # noqa: B905
            for whole in (there, pinned)
        )
        return on_gpu, _Piece(there, pinned, on_host)

    def begin(self, plan: RoundPlan) -> Iterator[None]:
        """Enqueue the ranks of the users and the sums of the stakers, turn by turn."""
        card, blends, users = self.card, self._shape.blends, self._users
        _, probes, targets, weights = self._sent.arrays
        probes[blends:], targets[:] = plan.limbs, plan.targets
        weights[:] = plan.weights[:, users.start : users.start + self._stakers]
        with card.device:
            self._event.record(card.current())
            for stream in (card.urgent, card.aside, card.copier):
                stream.wait_event(self._event)
            with card.urgent:
                self._sent.send(self._given)
                self._blend.data.memset_async(0, self._blend.nbytes)
        block = plan.block[users]
        if self._shape.held:
            self._use(plan, block, 0)
        elif is_on_gpu(block.matrix if isinstance(block, Selection) else block):
            with card.device, card.urgent:
                card.copy(block, self._rows)
                self._event.record()
            card.aside.wait_event(self._event)
            self._use(plan, self._rows, 0)
        else:
            yield from self._arriving(plan, block)

    def _arriving(self, plan: RoundPlan, block: Any) -> Iterator[None]:
        card = self.card
        each = GROUP * max(1, HOST_TURN // (GROUP * self._rows[:1].nbytes))
        for start in range(0, len(block), each):
            rows = self._rows[start : start + each]
            with card.device, card.copier:
                card.fill(rows, block[start : start + each])
                self._event.record()
            for stream in (card.urgent, card.aside):
                stream.wait_event(self._event)
            self._use(plan, rows, start)
            yield

    def _use(self, plan: RoundPlan, rows: Array, first: int) -> None:
        """Enqueue the ranks of rows, the first of which is known; sum the stakers among them."""
        card, ranks = self.card, self._ranks[first : first + len(rows)]
        with card.device:
            with card.aside:
                self._ranking.by(plan.ties, rows, ranks)
            if plan.ranked:  # then the blends have to wait for the ranks
                self._ranked.record(card.aside)
                card.urgent.wait_event(self._ranked)
                rows = ranks
            rows = rows[: max(0, self._stakers - first)]
            sums = self._sums[groups_of(first) : groups_of(first + len(rows))]
            with card.urgent:
                card.kernels.sum_groups(rows, self._probes[2], first, sums)

    def add_sums(self, other: "Share") -> None:
        """Add its own sums, or another GPU's, to the blends; one stream adds all, in order."""
        card, sums = self.card, other._sums
        with card.device:
            if other is not self:
                self._borrowed.append(card.memory.empty(sums.shape, sums.dtype))
                sums = self._take(other, self._borrowed[-1], sums)
            with card.urgent:
                card.kernels.add_groups(self._blend, sums)

    def rank_blends(self, plan: RoundPlan) -> None:
        """Rank the blends, and multiply their ranks with the targets."""
        card, (probes, *_), blends = self.card, self._probes, self._shape.blends
        with card.device, card.urgent:
            self._blend_ranking.by(plan.ties, self._blend, probes[:blends])
            card.kernels.moments(probes[:blends], probes[blends:], self._found[0])

    def score(self, plan: RoundPlan, home: "Share") -> None:
        """Enqueue the scores of this GPU's users, and their way to the host."""
        card, (probes, targets, _), (own, scores, draws) = self.card, self._probes, self._found
        if home is not self:
            blends = slice(self._shape.blends)
            self._take(home, probes[blends], home._probes[0][blends])
            self._take(home, own, home._found[0])
        with card.device:
            self._ranked.record(card.aside)
            with card.urgent:
                card.urgent.wait_event(self._ranked)
                card.kernels.moments(self._ranks, probes, self._moments)
                given = (self._moments, own, targets, scores, draws)
                card.kernels.algebra(*given, self._shape.stocks, np.float64(plan.scale))
                self._returned.bring(slice(None if plan.per_draw else -draws.nbytes))
                if home is self:
                    self._sent.bring(self._made)

    def _take(self, other: "Share", there: Array, source: Array) -> Array:
        """Copy from another GPU what its urgent stream has written, and return the copy."""
        with other.card.device:
            other._event.record(other.card.urgent)
        with self.card.device, self.card.urgent:
            self.card.urgent.wait_event(other._event)
            there.data.copy_from_device_async(source.data, source.nbytes)
        return there

    def wait(self) -> None:
        """Return when the scores have come to the host."""
        with self.card.device:
            self.card.urgent.synchronize()
        self._borrowed.clear()


class _Piece(NamedTuple):
    """Bytes on the GPU, the same in pinned memory, and the arrays in these."""

    there: Array
    bytes: Any
    arrays: list[Any]

    def send(self, which: slice) -> None:
        """Enqueue the way of these bytes to the GPU."""
        part = self.bytes[which]
        self.there[which].data.copy_from_host_async(part.ctypes.data, part.nbytes)

    def bring(self, which: slice) -> None:
        """Enqueue the way of these bytes back."""
        part = self.bytes[which]
        self.there[which].data.copy_to_host_async(part.ctypes.data, part.nbytes)
