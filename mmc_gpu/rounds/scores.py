"""Scores of a round: tables, digest, and how they show."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc_gpu.engines.arrays import Floats, Integers
from mmc_gpu.errors import counted, shown, whole
from mmc_gpu.inputs.numbered import taken
from mmc_gpu.rounds.block_scores import BlockScores, Draws, user_hashes
from mmc_gpu.rounds.full_stakes import MetaModels
from mmc_gpu.rounds.further import FurtherScores, name_bytes
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.ranking import FEWEST_DRAWS, LEVEL, rank_intervals
from mmc_gpu.rounds.round import Quarantined, Round
from mmc_gpu.rounds.title import RoundTitle

DIGEST_VERSION = "mmc_gpu scores 1"


@dataclass(eq=False)
class Scores:
    """The scores of every user of a round; users in canonical order: stakers first, then by name.

    Attributes:
        method: the options.
        engine: the engine that computed them; no bit depends on it.
        users: (U,) names.
        stakes: (U,) NMR.
        targets: (T,) names.
        stocks: how many stocks were scored.
        mmc: (T, U) Meta Model Contribution, the mean over the draws.
        mmc_se: (T, U) its standard error over the draws; NaN for one draw.
        corr: (T, U) correlation of the ranked predictions with the target.
        corr_with_meta_model: (U,) correlation with the meta model of the full stakes.
        per_draw: (T, U, D) the MMC of each draw; None if it was not kept.
        meta_model_corr: (T, D) correlation of each draw's meta model with the target.
        full_meta_model_corr: (T,) correlation of the full stakes' meta model with the target.
        counts: (D, S) how often each draw picked each staker; not to be written.
        filled: (U,) how many predictions were missing, and were filled.
        quarantined: who was not scored, and why.
        notes: what was ignored, or accepted in spite of its form.
        hashes: (T, U, 32) of `user_hashes`, if the draws are not in memory.
        title: what the round is called; None in memory.
        further: scores beside the bootstrap, if they were asked for.
        meta_models: where the scores were computed; None for a result that was read back.
    """

    method: Method
    engine: str
    users: Sequence[str]
    stakes: Floats
    targets: list[str]
    stocks: int
    mmc: Floats
    mmc_se: Floats
    corr: Floats
    corr_with_meta_model: Floats
    per_draw: Draws | None
    meta_model_corr: Floats
    full_meta_model_corr: Floats
    counts: Integers
    filled: Integers
    quarantined: tuple[Quarantined, ...]
    notes: tuple[str, ...]
    hashes: NDArray[np.uint8] | None = None
    title: RoundTitle | None = None
    further: FurtherScores | None = None
    meta_models: MetaModels | None = None

    def __post_init__(self) -> None:
        """Make room for the hashes."""
        if self.hashes is None and not isinstance(self.per_draw, np.ndarray):
            self.hashes = np.zeros((len(self.targets), len(self.users), 32), np.uint8)

    @classmethod
    def unscored(
        cls,
        round_: Round,
        method: Method,
        engine: str,
        counts: Integers,
        draws: "Draws | bool" = True,
    ) -> "Scores":
        """Return a round's scores before they are known: all NaN.

        Every user's score in every draw goes into memory (`draws` True), nowhere (False), or into a
        store.
        """
        targets, users = len(round_.targets), len(round_.users)
        unknown = partial(np.full, fill_value=np.nan)
        return cls(
            method=method,
            engine=engine,
            users=round_.users,
            stakes=round_.stakes,
            targets=list(round_.targets),
            stocks=len(round_.ids),
            mmc=unknown((targets, users)),
            mmc_se=unknown((targets, users)),
            corr=unknown((targets, users)),
            corr_with_meta_model=unknown(users),
            per_draw=unknown((targets, users, method.draws)) if draws is True else draws or None,
            meta_model_corr=unknown((targets, method.draws)),
            full_meta_model_corr=unknown(targets),
            counts=counts,
            filled=round_.filled,
            quarantined=round_.quarantined,
            notes=round_.notes,
            title=round_.title,
        )

    @property
    def draws(self) -> Floats:
        """Return the MMC of each draw, users in canonical order: (U, D), or (T, U, D).

        The second form is that of several targets.

        Raises:
            ValueError: they are not in memory.
        """
        if not isinstance(self.per_draw, np.ndarray):
            raise ValueError("the draws of each user are not in memory; score with draws=True")
        return self.per_draw[0] if len(self.targets) == 1 else self.per_draw

    def put(
        self, users: Integers | slice, block: BlockScores, hashes: NDArray[np.uint8] | None = None
    ) -> None:
        """Store the scores of a block of users, at (B,) places.

        If draws are not kept and hashes, (T, B, 32), are given, per_draw may be empty: (T, B, 0).
        """
        self.corr_with_meta_model[users] = block.corr_with_meta_model
        self.mmc[:, users], self.mmc_se[:, users] = block.mmc, block.mmc_se
        self.corr[:, users] = block.corr
        if self.per_draw is not None:
            for target in range(len(self.targets)):
                self.per_draw[target, users] = block.per_draw[target]
        if self.hashes is not None:
            self.hashes[:, users] = self.hashes_of(users, block) if hashes is None else hashes

    def hashes_of(self, users: Integers | slice, block: BlockScores) -> NDArray[np.uint8]:
        """Return the hashes of a block of users, as `put` takes them."""
        names = self.users[users] if isinstance(users, slice) else taken(self.users, users)
        return user_hashes(names, self.stakes[users], block)

    @property
    def digest(self) -> str:
        """Return sha256 over the canonical bytes of the scores; the engine is not part of it.

        A version line; the options as canonical JSON; then for each target by name: its name, and
        for each user by name the sha256 of the name and of stake, mmc, mmc_se, corr,
        corr_with_meta_model and the draws. Names are a length (u32le) and NFC UTF-8; numbers
        little-endian float64, -0.0 as 0.0, every NaN as 0x7ff8000000000000. A hash of hashes can be
        made block by block, on any number of machines, and nobody has to keep every draw.
        """
        sha = hashlib.sha256(f"{DIGEST_VERSION}\n{self.method.canonical()}\n".encode())
        by_name = np.array(sorted(range(len(self.users)), key=self.users.__getitem__))
        hashes = self.hashes
        if hashes is None:
            assert isinstance(self.per_draw, np.ndarray)
            block = BlockScores(
                self.corr_with_meta_model, self.mmc, self.mmc_se, self.corr, self.per_draw
            )
            hashes = user_hashes(self.users, self.stakes, block)
        for target in sorted(range(len(self.targets)), key=self.targets.__getitem__):
            sha.update(name_bytes(self.targets[target]))
            sha.update(hashes[target, by_name].data)
        return sha.hexdigest()

    @property
    def further_digest(self) -> str | None:
        """Return the sha256 of `FurtherScores.digest`; None where only the bootstrap was asked."""
        return None if self.further is None else self.further.digest(self.targets, self.users)

    @property
    def draws_digest(self) -> str:
        """Return sha256 over the draws: shape, then how often each staker was drawn (u32le)."""
        sha = hashlib.sha256(f"mmc_gpu draws 1\n{self.counts.shape}\n".encode())
        sha.update(self.counts.astype("<u4").tobytes())
        return sha.hexdigest()

    def order(self, target: int = 0) -> Integers:
        """Return the users' places from the best MMC to the worst; NaN last, ties by name."""
        target = whole("target", target, 0, len(self.targets) - 1)
        by_name = np.array(sorted(range(len(self.users)), key=self.users.__getitem__))
        return by_name[np.argsort(-self.mmc[target][by_name], kind="stable")]

    def columns(self, number: int | None = None) -> dict[str, Any]:
        """Return the table's columns: one row a user, best first; one target below the other.

        `rank_low` and `rank_high` are the ends of `rank_intervals`; None where draws are not kept.
        `number` is that of the one target that is wanted; None for all.
        """
        numbers = range(len(self.targets)) if number is None else [number]
        orders = [self.order(target) for target in numbers]
        rows = np.concatenate(orders)
        target = np.repeat(numbers, len(self.users))
        further = {} if self.further is None else self.further.values
        columns: dict[str, Any] = {}
        if len(self.targets) > 1:
            columns["target"] = [self.targets[number] for number in target]
        ranks = np.arange(1, len(self.users) + 1)
        return columns | {
            "rank": np.tile(ranks, len(orders)),
            "user": [self.users[row] for row in rows],
            "stake": self.stakes[rows],
            "mmc": self.mmc[target, rows],
            "mmc_se": self.mmc_se[target, rows],
            "corr": self.corr[target, rows],
            "corr_with_meta_model": self.corr_with_meta_model[rows],
            "filled": self.filled[rows],
            **self._intervals(dict(zip(numbers, orders, strict=True))),
            **{name: values[target, rows] for name, values in further.items()},
        }

    def _intervals(self, orders: dict[int, Integers]) -> dict[str, Any]:
        """Return the ends of the users' rank intervals, best first; None without enough draws."""
        if self.per_draw is None or self.method.draws < FEWEST_DRAWS:
            unknown = [None] * (len(orders) * len(self.users))
            return {"rank_low": unknown, "rank_high": unknown}
        found = [rank_intervals(self.draws_of(*each)) for each in orders.items()]
        low, high = np.concatenate(found).T
        return {"rank_low": low, "rank_high": high}

    def rank_intervals(self, target: int = 0, level: float = LEVEL) -> Integers:
        """Return each user's lowest and highest likely rank, users in canonical order: (U, 2).

        `columns` has those of level 0.9 in the order of the leaderboard; see `ranking`.

        Args:
            target: the number of the target.
            level: share of other sets of draws that would put the user between the two.

        Raises:
            ValueError: there are fewer than 5 draws, or they were not kept.
        """
        order = self.order(target)
        intervals = np.empty((len(order), 2), np.int64)
        intervals[order] = rank_intervals(self.draws_of(target, order), level)
        return intervals

    def draws_of(self, target: int, users: Integers) -> Floats:
        """Return some users' MMC in each draw: (B, D), from memory or from disk.

        Raises:
            ValueError: they were not kept.
        """
        if self.per_draw is None:
            raise ValueError("the draws of each user were not kept; score with draws=True")
        return np.asarray(self.per_draw[target, users])

    def target_number(self, target: str | None) -> int:
        """Return the place of a target among the targets; by default the first.

        Raises:
            ValueError: there is no such target.
        """
        if target is None:
            return 0
        if target not in self.targets:
            has = shown(self.targets, 10)
            raise ValueError(f"no target {shown([target])} in this round; it has {has}")
        return self.targets.index(target)

    def describe(self) -> str:
        """Return in one line what was scored and how."""
        stakers = int(np.count_nonzero(self.stakes))
        return described(
            len(self.users), stakers, self.stocks, self.method, self.engine, len(self.quarantined)
        )

    def __repr__(self) -> str:
        """Return the summary and the digest's beginning."""
        return f"<{type(self).__name__}: {self.describe()}, digest {self.digest[:12]}>"


def described(
    users: int, stakers: int, stocks: int, method: Method, engine: str, quarantined: int
) -> str:
    """Return in one line what was scored and how."""
    text = (
        f"{counted(users, 'user')} ({stakers:,} staked), {counted(stocks, 'stock')},"
        f" {counted(method.draws, 'draw')}, engine {engine}"
    )
    return text + (f", {quarantined:,} quarantined" if quarantined else "")
