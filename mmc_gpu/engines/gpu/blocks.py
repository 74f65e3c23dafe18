"""Blocks of a round on GPUs, or on their way there."""

from dataclasses import dataclass, field
from typing import Any

from mmc_gpu.engines.arrays import Array
from mmc_gpu.engines.gpu.card import Card
from mmc_gpu.engines.protocol import Ties


@dataclass
class Coming:
    """Rows on the host, on their way to a GPU.

    Attributes:
        rows: (rows, columns).
        ranks: where the ranks of the first of them go as they arrive.
        ties: how those are broken.
    """

    rows: Any
    ranks: Array = None
    ties: Ties = "first"

    def take_in(self, card: Card, rows: Array, places: slice) -> Array:
        """Return rows of a GPU, come from the host, their ranks begun if they are asked for."""
        card.fill(rows, self.rows[places])
        ranks = rows[:0] if self.ranks is None else self.ranks[places]
        if len(ranks):
            card.begin(ranks, rows[: len(ranks)], self.ties)
        return rows


@dataclass(frozen=True)
class Spread:
    """A block in parts, in the order of its rows, on one GPU or several.

    Attributes:
        parts: (rows, columns) each; int32 where they are ranks.
        coming: by part, what of it is on the host until a verb has copied it.
        begun: what the ranks are found of.
    """

    parts: list[Array]
    coming: dict[int, Coming] = field(default_factory=dict)
    begun: Array = None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the block."""
        return len(self), self.parts[0].shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the block."""
        return sum(part.nbytes for part in self.parts)

    def __len__(self) -> int:
        """Return the number of rows."""
        return sum(len(part) for part in self.parts)


def parts_of(block: Array) -> list[Array]:
    """Return a block's parts, on GPUs; a block that is not spread is one."""
    return block.parts if isinstance(block, Spread) else [block]


def pieces_of(block: Array) -> list[Array]:
    """Return a block's parts as they are: those that are coming, on the host."""
    coming = block.coming if isinstance(block, Spread) else {}
    return [coming[at].rows if at in coming else part for at, part in enumerate(parts_of(block))]
