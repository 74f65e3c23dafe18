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
from mmc_gpu.engines.gpu.kernels import groups_of
from mmc_gpu.engines.protocol import GROUP, RoundFound, RoundPlan
from mmc_gpu.engines.selection import Selection

HOST_TURN = 32 << 20
"""Bytes that a turn takes from the host: few against the block, so that copies and kernels overlap,
and many against their latencies."""

_FLOAT, _INT = np.dtype(np.float64), np.dtype(np.int32)


class Shape(NamedTuple):
    """What a round's memory depends on; `held` is whether its rows are used where they lie."""

    users: int
    stocks: int
    blends: int
    stakers: int
    limbs: int
    targets: int
    dtype: Any
    held: bool

    @classmethod
    def of(cls, plan: RoundPlan) -> "Shape":
        """Return the shape of a round."""
        block = plan.block
        held = not isinstance(block, Selection) and is_on_gpu(block) and block.flags.c_contiguous
        (users, stocks), (blends, stakers) = block.shape, plan.weights.shape
        limbs, targets, dtype = len(plan.limbs), len(plan.targets), np.dtype(block.dtype)
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
                share.card.urgent.synchronize()
        except BaseException:  # what runs still reads and writes what others may have next
            for share in shares:
                share.card.device.synchronize()
            raise
        found = home.found
        if len(shares) > 1:
            of_users = zip(*(share.found[:2] for share in shares), strict=True)
            scores, draws = (np.concatenate(parts, axis=1) for parts in of_users)
            found = found._replace(scores=scores, per_draw=draws)
        return found if plan.per_draw else found._replace(per_draw=found.per_draw[..., :0])


class Share:
    """What one GPU does of a round, with `size` bytes of memory.

    At last `found` are its users' scores, on the host, and on the first GPU what has no user.
    """

    def __init__(self, card: Card, shape: Shape, users: slice) -> None:
        self.card, self._shape, self._users, self.size = card, shape, users, 0
        stocks, blends, targets, count = *shape[1:3], shape.targets, users.stop - users.start
        self._stakers = max(0, min(shape.stakers - users.start, count))
        probes, pinned = blends + shape.limbs, card.memory.pinned
        with card.device:
            self._ranks, self._probes = (self._new((n, stocks), _INT) for n in (count, probes))
            self._moments = self._new((count, probes + 1), np.int64)
            self._sums = self._new((groups_of(self._stakers), blends, stocks), _FLOAT)
            self._rows = self._new((0 if shape.held else count, stocks), shape.dtype)
            given = {"weights": (blends, self._stakers), "targets": (targets, 3)}
            self._given = {name: pinned(size, _FLOAT) for name, size in given.items()}
            self._given["limbs"] = pinned((shape.limbs, stocks), _INT)
            self._weights, self._targets = (self._new(size, _FLOAT) for size in given.values())
            self.found = RoundFound(
                pinned((3 * targets + 1, count), _FLOAT),
                pinned((targets, count, blends - 1), _FLOAT),
                pinned((blends, shape.limbs + 1), np.int64),
                pinned((stocks,), _FLOAT),
                pinned((blends, stocks), _INT),
            )
            self._found = [self._new(array.shape, array.dtype) for array in self.found[:3]]
            self._blend = self._new((blends, stocks), _FLOAT)
            self._ranking = card.ranking((count, stocks), shape.dtype)
            self._blend_ranking = card.ranking((blends, stocks), _FLOAT)
            self._event, self._ranked = card.event(), card.event()
        self._others: dict[Share, Array] = {}  # sums of other GPUs, on the first

    def _new(self, shape: tuple[int, ...], dtype: Any) -> Array:
        array = self.card.memory.empty(shape, dtype)
        self.size += array.nbytes
        return array

    def begin(self, plan: RoundPlan) -> Iterator[None]:
        """Enqueue the ranks of the users and the sums of the stakers, turn by turn."""
        card, users, given = self.card, self._users, self._given
        limbs = self._probes[self._shape.blends :]
        given["limbs"][:], given["targets"][:] = plan.limbs, plan.targets
        given["weights"][:] = plan.weights[:, users.start : users.start + self._stakers]
        with card.device:
            self._event.record(card.current())
            for stream in (card.urgent, card.aside, card.copier):
                stream.wait_event(self._event)
            with card.urgent:
                for name, there in zip(given, (self._weights, self._targets, limbs), strict=True):
                    card.send(there, given[name])
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
                self._ranking(rows, **{plan.ties: ranks})
            if plan.ranked:  # then the blends have to wait for the ranks
                self._ranked.record(card.aside)
                card.urgent.wait_event(self._ranked)
                rows = ranks
            rows = rows[: max(0, self._stakers - first)]
            sums = self._sums[groups_of(first) : groups_of(first + len(rows))]
            with card.urgent:
                card.kernels.sum_groups(rows, self._weights, first, sums)

    def add_sums(self, other: "Share") -> None:
        """Add its own sums, or another GPU's, to the blends; one stream adds all, in order."""
        card, sums = self.card, other._sums
        with card.device:
            if other is not self:
                if other not in self._others:
                    self._others[other] = self._new(sums.shape, sums.dtype)
                sums = self._take(other, self._others[other], sums)
            with card.urgent:
                card.kernels.add_groups(self._blend, sums)

    def rank_blends(self, plan: RoundPlan) -> None:
        """Rank the blends, multiply their ranks with the targets, and send both to the host."""
        card, blends, (*_, own) = self.card, self._shape.blends, self._found
        ranks, limbs = self._probes[:blends], self._probes[blends:]
        with card.device, card.urgent:
            self._blend_ranking(self._blend, **{plan.ties: ranks})
            card.kernels.moments(ranks, limbs, own)
            for there, host in zip((own, self._blend[-1], ranks), self.found[2:], strict=True):
                card.bring(there, host)

    def score(self, plan: RoundPlan, home: "Share") -> None:
        """Enqueue the scores of this GPU's users, and their way to the host."""
        card, blends, (scores, draws, own) = self.card, self._shape.blends, self._found
        if home is not self:
            self._take(home, self._probes[:blends], home._probes[:blends])
            self._take(home, own, home._found[-1])
        with card.device:
            self._ranked.record(card.aside)
            with card.urgent:
                card.urgent.wait_event(self._ranked)
                card.kernels.moments(self._ranks, self._probes, self._moments)
                given = (self._moments, own, self._targets, scores, draws)
                card.kernels.algebra(*given, self._shape.stocks, np.float64(plan.scale))
                card.bring(scores, self.found.scores)
                if plan.per_draw:
                    card.bring(draws, self.found.per_draw)

    def _take(self, other: "Share", there: Array, source: Array) -> Array:
        """Copy from another GPU what its urgent stream has written, and return the copy."""
        with other.card.device:
            other._event.record(other.card.urgent)
        with self.card.device, self.card.urgent:
            self.card.urgent.wait_event(other._event)
            there.data.copy_from_device_async(source.data, source.nbytes)
        return there
