"""What an engine is: the verbs in which NumPy, the CPU and the GPU differ, and nothing else."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from mmc_gpu.engines.arrays import Array, Floats, Integers, Numbers

Ties = Literal["first", "average"]

GROUP = 1024
"""Stakers whose weighted predictions are summed together. Part of the definition of a blend: the
group sums are then added in order, so that a block, a device or a worker can hold any number of
whole groups without moving a bit."""


class Engine(Protocol):
    """Where a round is computed. Engines agree with each other to the bit.

    Every 2-D array holds one series a row; blocks may be strided or read-only. Verbs never modify
    their arguments.
    """

    name: str

    selects: bool
    """Whether verbs read a `Selection` part by part; the others get a copy, made ahead."""

    groups: int
    """How many groups a block should have at least, so that all of this engine has work."""

    def put(self, block: Numbers) -> Array:
        """Return the block where this engine computes, or itself where it is or cannot be there.

        The NumPy and CPU engines return it. Every verb takes both what was put and what was not.
        A block of more than one group may be copied by the first verb that takes it: so long it
        must not change.
        """
        ...

    def get(self, array: Array) -> Any:
        """Return an array of this engine as a NumPy array."""
        ...

    def zeros(self, rows: int, columns: int) -> Array:
        """Return a float64 array of zeros, of this engine: a blend with nobody in it."""
        ...

    def stack(self, parts: Sequence[Array]) -> Array:
        """Return the rows of arrays of one type, one array below the other, of this engine.

        Args:
            parts: (rows, N) each, on the host or of this engine.
        """
        ...

    def combine(self, blend: Array, block: Array, weights: Floats) -> Array:
        """Return the blend with a block of stakers added, in the canonical order.

        Each group of 1,024 consecutive stakers starts at +0.0 and adds `weight * prediction`, one
        staker after another, product and sum each rounded to float64 (never fused); then the group
        sums are added to the blend one after another.

        Args:
            blend: (D, N) float64, of this engine.
            block: (B, N) float32, float64 or int32 (ranks): consecutive stakers from a multiple of
                GROUP on, whole groups except in the last block.
            weights: (D, B) float64, on the host; 0.0 where a staker was not drawn.
        """
        ...

    def rank(self, series: Array, ties: Ties) -> Array:
        """Return doubled, centred ranks, `2 * rank - (N + 1)` with ranks from 1: (rows, N) int32.

        Equal values (-0.0 equals 0.0) rank in order of appearance ("first") or share the mean of
        their ranks ("average"). Every row sums to exactly 0.

        Args:
            series: (rows, N) float32 or float64, finite.
            ties: which of the two.
        """
        ...

    def begin(self, block: Array, ties: Ties) -> Array:
        """Return a block that `moments` may take in place of this one, its ranks on their way.

        They are found beside what is asked for next, which need not wait for them: the blends,
        say, and their ranks; of a block that a verb has yet to copy, as its rows arrive. A block
        that has been begun is returned as it is, and so are ranks and what stays on the host. The
        NumPy and CPU engines return every block itself.

        Args:
            block: as for `moments`; only `moments` takes what is returned.
            ties: as for `rank`.
        """
        ...

    def moments(self, block: Array, probes: Array, ties: Ties) -> Integers:
        """Return each row's exact inner products with the probes, and with itself.

        Args:
            block: (B, N) float32 or float64, finite: ranked here, each row on its own; or int32,
                the ranks themselves.
            probes: (P, N) int32 on the host or of this engine, magnitudes at most 2**23 or N - 1.
            ties: as for `rank`.

        Returns:
            (B, P + 1) int64 on the host; the last column is the sum of the row's squared ranks.
        """
        ...

    def ends(self, series: Array, count: int) -> Integers:
        """Return where each row's lowest and highest values are: (B, 2 * count), on the host.

        Of equal values the first is the lower one, as in a stable sort. Places ascend: which end
        they belong to is not told.

        Args:
            series: (B, N) float32 or float64, finite.
            count: of each end, 1 to N / 2.
        """
        ...

    def transform(self, block: Array, table: Floats, ties: Ties) -> Array:
        """Return each row's ranks mapped through a table: (B, N) float64, of this engine.

        Args:
            block: (B, N) float32 or float64, finite: ranked here, each row on its own.
            table: (2 * N - 1,) on the host, by doubled, centred rank + N - 1: shared ranks have
                entries of their own.
            ties: as for `rank`.
        """
        ...

    def inner(self, block: Array, table: Floats | None, probes: Floats, ties: Ties) -> Floats:
        """Return inner products of each transformed row, in the canonical order of `lanes`.

        Args:
            block: as for `transform`.
            table: as for `transform`; None for the rows as they are.
            probes: (P, N) float64 on the host or of this engine, finite.
            ties: as for `rank`.

        Returns:
            (B, P + 2) float64 on the host: with each probe, then the row's sum and its sum of
            squares.
        """
        ...
