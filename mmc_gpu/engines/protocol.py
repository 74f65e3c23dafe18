"""What an engine is: twelve verbs over arrays, and nothing else. Write an engine from this page.

    to move      put  get  zeros  stack
    for rounds   combine  rank  moments
    for metrics  rank_both  ends  transform  inner  products

One more verb, `score_round`, is optional: see `ScoresRounds`.

An engine knows arrays, not rounds: checks, draws, alignment, the algebra and files are shared. It
is a class with all names of this page (do not inherit from `Engine`: a forgotten verb would return
None), it has a loader in `engines/__init__.py`, and `pytest tests/engines --engines NAME` passes.
Engines agree to the bit: where rounding could differ, a verb says the order of its sums.

**Arrays.** A matrix has one series a row: a submission, a draw, a feature. An array *on the host*
is NumPy's. An array *of the engine* has a type that the engine chooses, with NumPy's `len()`,
`shape`, slices and arithmetic; with more than GROUP rows, `len()` and `shape` are enough. A *block*
is some rows of the predictions:

    as it came    (B, N) on the host: float32, float64, or int32 ranks; any strides, may be
                  read-only; a `Selection`, if the engine `selects`
    put           what the engine's `put` has returned for it

Verbs take both. Only for an array on a GPU must `put` come first, where the engine is on the host.

**Who owns what.** A verb never changes its arguments; it returns a new array or an argument itself.
The caller may change a block on the host as soon as a verb has returned.

**What may be lazy.** A verb may return an array of the engine before its values are there; later
verbs wait for them. Arrays on the host are complete when they are returned.

**What a round calls**, for D draws, S stakers, U users, N stocks, P probes:

    blend = zeros(D + 1, N)
    for block of stakers:    blend = combine(blend, block, weights)
    probes = stack([rank(blend, ties), integers of the targets])
    for block of all users:  moments(block, probes, ties)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from mmc_gpu.engines.arrays import Array, Floats, Integers, Numbers, Ranks

Ties = Literal["first", "average"]

GROUP = 1024
"""Stakers whose weighted predictions are summed together. Part of the definition of a blend: the
sums of the groups are then added in order. A block, a device or a worker can therefore hold any
number of whole groups, and no bit moves."""


class Engine(Protocol):
    """Where scores are computed; see above for what all verbs have in common."""

    name: str
    """The key in `ENGINES`."""

    selects: bool
    """Whether verbs read a `Selection`. For other engines it is copied before they get it."""

    at_once: int
    """How many threads may call the verbs at once, each with its own arrays, and gain by it."""

    # to move

    def put(self, block: Numbers) -> Array:
        """Return the block where this engine computes; the block itself, if there is no room.

        The NumPy and CPU engines return it, and copy an array on a GPU to the host.

        Args:
            block: (B, N) of any numbers that verbs take, on the host or on a GPU.
        """
        ...

    def get(self, array: Array) -> Any:
        """Return an array of this engine on the host."""
        ...

    def zeros(self, rows: int, columns: int) -> Array:
        """Return zeros: (rows, columns) float64, of this engine."""
        ...

    def stack(self, parts: Sequence[Array]) -> Array:
        """Return the rows of all parts, one part below the other, of this engine.

        Args:
            parts: (rows, N) each, of one type, on the host or of this engine.
        """
        ...

    # for rounds

    def combine(self, blend: Array, block: Array, weights: Floats) -> Array:
        """Return the blend with a block of stakers added: (D, N) float64, of this engine.

        In the canonical order: each group of 1,024 consecutive stakers starts at +0.0 and adds
        `weight * prediction`, one staker after another, product and sum each rounded to float64
        (never fused). Then the sums of the groups are added to the blend, one after another.

        Args:
            blend: (D, N) float64, on the host or of this engine.
            block: consecutive stakers. The first one's number is a multiple of GROUP; only the
                last block may end within a group.
            weights: (D, B) float64, on the host; 0.0 for a staker who was not drawn.
        """
        ...

    def rank(self, series: Array, ties: Ties) -> Array:
        """Return doubled, centred ranks: (rows, N) int32, of this engine.

        `2 * rank - (N + 1)`, with ranks from 1. Every row sums to exactly 0. -0.0 equals 0.0.

        Args:
            series: (rows, N) float32 or float64, finite, on the host or of this engine.
            ties: equal values rank in order of appearance ("first"), or share the mean of their
                ranks ("average").
        """
        ...

    def moments(self, block: Array, probes: Array, ties: Ties) -> Integers:
        """Return exact inner products of each row's ranks with the probes, and with themselves.

        Args:
            block: float32 or float64, finite, of which each row is ranked on its own; or int32
                ranks.
            probes: (P, N) int32, on the host or of this engine; |probe| <= max(2**23, N - 1).
            ties: as for `rank`.

        Returns:
            (B, P + 1) int64, on the host; the last column is the sum of the row's squared ranks.
        """
        ...

    # for metrics

    def rank_both(
        self, series: Array, spare: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """Return what `rank` returns for "first", and for "average", if it can from one sort.

        Args:
            series: as for `rank`.
            spare: what it has returned for as many rows or more, to be written into, if it can.
        """
        ...

    def ends(self, series: Array, count: int) -> Integers:
        """Return the places of each row's lowest and highest values, ascending, in one list.

        Of equal values the first is the lower one, as in a stable sort.

        Args:
            series: (B, N) float32 or float64, finite, on the host or of this engine.
            count: how many of the lowest, and how many of the highest; 1 to N / 2.

        Returns:
            (B, 2 * count) int64, on the host.
        """
        ...

    def transform(self, block: Array, table: Floats, ties: Ties) -> Array:
        """Return what a table has for each rank: (B, N) float64, of this engine.

        Args:
            block: float32 or float64, finite, of which each row is ranked on its own; or int32
                ranks.
            table: (2 * N - 1,) float64, on the host; the entry of a doubled, centred rank is at
                rank + N - 1, so that shared ranks have entries of their own.
            ties: as for `rank`.
        """
        ...

    def inner(self, block: Array, table: Floats | None, probes: Floats, ties: Ties) -> Floats:
        """Return inner products of each row, transformed, in the order of sums that `lanes` says.

        Args:
            block: as for `transform`.
            table: as for `transform`; None for the rows as they are.
            probes: (P, N) float64, finite, on the host or of this engine.
            ties: as for `rank`.

        Returns:
            (B, P + 2) float64, on the host: the products with each probe, then the row's sum and
            its sum of squares.
        """
        ...

    def products(
        self, block: Array, several: Sequence[tuple[Floats | None, Array, Ties]]
    ) -> list[Any]:
        """Return what `inner` or, without a table, `moments` finds; each row is ranked once.

        Args:
            block: (B, N) float32 or float64, finite, of at most GROUP rows.
            several: tables, probes and ties. A table for `inner` may also be (B, 2 * N - 1), with
                probes of (B, P, N), on the host: each row's own.

        Returns:
            On the host, for each of the several: (B, P + 2) float64, or (B, P + 1) int64.
        """
        ...


@dataclass(frozen=True)
class RoundPlan:
    """All that the scores of a round depend on, if its users are one block."""

    # (U, N) predictions in memory, float32 or float64, stakers first; or a `Selection`
    block: Array
    weights: Floats  # (D + 1, S) float64, of the draws' blends and of that of the full stakes
    limbs: Ranks  # (L, N) int32 integers of all targets
    # (T, 3) float64: of each how many limbs, the exponent of their unit, the variance
    targets: Floats
    ties: Ties  # as for `rank`
    ranked: bool  # whether the stakers' ranks are blended, not their predictions
    scale: float  # what the covariance is divided by
    per_draw: bool  # whether every user's score in every draw is asked for


class RoundFound(NamedTuple):
    """The scores of a round, on the host; they may be written over by the next round."""

    # (3 * T + 1, U): mmc, its standard error and corr of each target, and last the correlation with
    # the meta model of the full stakes
    scores: Floats
    per_draw: Floats  # (T, U, D) the MMC of each draw; (T, U, 0) if it was not asked for
    # (D + 1, L + 1) int64 inner products of the blends' ranks with the limbs, and with themselves
    own: Integers
    blend: Floats  # (N,) float64 the blend of the full stakes
    ranks: Ranks  # (D + 1, N) int32 the blends' ranks


@runtime_checkable
class ScoresRounds(Protocol):
    """An engine that scores a whole round by itself, with the bits of `rounds.algebra`."""

    def score_round(self, plan: RoundPlan) -> RoundFound | None:
        """Return a round's scores; None if it is too large for that, and has to go by blocks."""
        ...
