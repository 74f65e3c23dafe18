"""Blocks on GPUs, or on their way from the host to GPUs."""

from dataclasses import dataclass, field
from typing import Any

from mmc_gpu.engines.arrays import Array
from mmc_gpu.engines.gpu.card import Card
from mmc_gpu.engines.protocol import Ties


@dataclass
class Coming:
    """Rows on the host, on their way to a GPU.

    Attributes:
        rows: (rows, columns), on the host.
        ranks: (first rows, columns): the ranks of the first rows are written here as these arrive;
            None if nobody has begun them.
        ties: as for `rank`.
    """

    rows: Any
    ranks: Array = None
    ties: Ties = "first"

    def take_in(self, card: Card, rows: Array, places: slice) -> Array:
        """Copy rows from the host into `rows`, and return them; begin their ranks if asked for."""
        card.fill(rows, self.rows[places])
        ranks = rows[:0] if self.ranks is None else self.ranks[places]
        if len(ranks):
            card.begin(ranks, rows[: len(ranks)], self.ties)
        return rows


@dataclass(frozen=True)
class Spread:
    """A block in parts, in the order of its rows, on one GPU or several.

    Attributes:
        parts: (rows, columns) each, on a GPU; a part of int32 holds ranks.
        coming: the rows of a part that a verb has yet to copy from the host, by the part's number.
        begun: the block whose ranks were begun, if the parts hold these; else None.
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
    """Return a block's parts, on GPUs; a block that is not spread is one part."""
    return block.parts if isinstance(block, Spread) else [block]


def pieces_of(block: Array) -> list[Array]:
    """Return a block's parts, each where its rows are: on a GPU, or still on the host."""
    coming = block.coming if isinstance(block, Spread) else {}
    return [coming[at].rows if at in coming else part for at, part in enumerate(parts_of(block))]
