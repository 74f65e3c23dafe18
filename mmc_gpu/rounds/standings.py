"""Where everybody stands in a season: sums over its rounds, one round in memory at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

import numpy as np

from mmc_gpu.engines.arrays import Floats, Integers

RANK, STAKE, WHOLE, PART, FIRST = range(5)
"""The rows of a round's array: rank, stake, payout in whole NMR and in 1e-18 NMR, then the scores.

(4 + K, U) int64; stakes and scores are the bits of float64. Of who is not in the round all are 0;
the part of a payout that is not known is -1.
"""

SPARKS, _UNITS, _BIG = 24, 10**18, Context(60)  # parts of a sparkline and of an NMR

Read = Callable[[Mapping[str, Any]], Integers]  # the array of a round, by what is known of it


@dataclass(frozen=True)
class Definitions:
    """How users are compared. The definitions are ours: Numerai publishes none as code.

    Attributes:
        score: what reputation and season score are made of.
        window: reputation is the sum of the score over so many last resolved rounds, divided by
            their number; missed rounds count 0.
        least_rounds, least_stake: a season score needs so many rounds with so much NMR at stake.
        owners: of models, else their own; a season score is the sum of stake x score over all
            models of an owner and all rounds, divided by that of the stakes. A round without a
            submission adds 0 to both: nothing is at stake in it.
    """

    score: str = "mmc"
    window: int = 260
    least_rounds: int = 20
    least_stake: float = 1.0
    owners: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no reputation and no season score."""
        if self.window < 1 or self.least_rounds < 1 or not self.least_stake >= 0:
            raise ValueError("window and least_rounds are 1 or more, least_stake is 0 or more")


def as_rows(ranks: Floats, stakes: Floats, amounts: Sequence[Decimal | None], scores: Any) -> Any:
    """Return a round's array: of (U,) ranks, stakes and payouts, and (K, U) scores."""
    money = [(0, -1) if of is None else divmod(int(of.scaleb(18, _BIG)), _UNITS) for of in amounts]
    floats = np.array([stakes, *scores], np.float64).view(np.int64)
    return np.concatenate([ranks[None].astype(int), floats[:1], np.array(money, int).T, floats[1:]])


class Standings:
    """Sums over rounds, in their order: U users, K scores, (SPARKS, U) parts of the main score."""

    def __init__(self, users: Sequence[str], rounds: Any, rules: Definitions, read: Read) -> None:
        """Add up the rounds, whose entries are the ledger's; ValueError if none has the score."""
        self.users, self.rules, size = list(users), rules, len(users)
        self.names = list(dict.fromkeys(name for entry in rounds for name in entry["columns"]))
        if rules.score not in self.names:
            raise ValueError(f"no score {rules.score!r} here; there are {', '.join(self.names)}")
        self._main, shape = self.names.index(rules.score), (5, len(self.names), size)
        self._sums, self._squares, self._weighted, self._lost, self._lost_stakes = np.zeros(shape)
        self._rounds, self._staked, self._qualified = np.zeros((3, size), np.int64)
        self._last, self._stakes, self._recent = np.zeros((3, size))
        self._net, self._peak = np.zeros((2, 2, size), np.int64)
        self.sparks = np.zeros((SPARKS, size))
        numbers: dict[str, int] = {}
        named = [(rules.owners or {}).get(user, f"\0{user}") for user in users]
        self._owner = np.array([numbers.setdefault(name, len(numbers)) for name in named], int)
        recent = {*[at for at, one in enumerate(rounds) if not one["partial"]][-rules.window :]}
        for at, entry in enumerate(rounds):
            self._add(read(entry), entry["columns"], at * SPARKS // len(rounds), at in recent)

    @np.errstate(over="ignore", invalid="ignore")
    def _add(self, rows: Integers, columns: Sequence[str], spark: int, recent: bool) -> None:
        here, there = slice(rows.shape[1]), rows[RANK] > 0
        stakes, scores = rows[STAKE].view(np.float64), rows[FIRST:].view(np.float64)
        if columns != self.names:
            own = dict(zip(columns, scores, strict=True))
            absent = np.where(there, np.nan, 0.0)
            scores = np.array([own.get(name, absent) for name in self.names])
        at_stake = stakes
        if (lost := np.isnan(scores)).any():
            scores, at_stake = np.where(lost, 0.0, scores), np.where(lost[self._main], 0.0, stakes)
            self._lost[:, here] += lost
            self._lost_stakes[:, here] += lost * stakes
        self._sums[:, here] += scores
        self._squares[:, here] += scores * scores
        self._weighted[:, here] += scores * stakes
        self._rounds[here] += there
        self._staked[here] += stakes > 0
        self._stakes[here] += stakes
        np.copyto(self._last[here], stakes, where=there)
        self.sparks[spark, here] += scores[self._main]
        self._recent[here] += scores[self._main] * recent
        mine = np.zeros((2, len(self.users)))
        mine[:, here] = there, at_stake
        among, at_stake = map(self._of_owner, mine)
        self._qualified += (among > 0) & (at_stake >= self.rules.least_stake)
        net, peak = self._net[:, here], self._peak[:, here]  # exact: see `money`
        net += rows[WHOLE : PART + 1] * (rows[PART] >= 0)
        carry = net[1] >= _UNITS
        net += np.array([[1], [-_UNITS]]) * carry
        higher = (net[0] > peak[0]) | ((net[0] == peak[0]) & (net[1] > peak[1]))
        np.copyto(peak, net, where=higher)

    def _of_owner(self, values: Floats) -> Floats:
        """Return (U,): the sum over all models of each user's owner."""
        return np.bincount(self._owner, values)[self._owner] if self.rules.owners else values

    def money(self) -> dict[str, list[Decimal]]:
        """Return (U,) NMR: payouts and burns together; claimable and owed, if burns are debts.

        A payout first pays off the debt, a burn adds to it: debt' = max(0, debt - payout). So what
        could be claimed is the highest running sum, or 0; owed is how far the last one is below.
        """
        net, peak = ([a * _UNITS + b for a, b in of.T.tolist()] for of in (self._net, self._peak))
        owed = [high - now for high, now in zip(peak, net, strict=True)]
        found = {"payout": net, "claimable": peak, "debt": owed}
        return {name: [Decimal(one).scaleb(-18, _BIG) for one in found[name]] for name in found}

    def order(self) -> Integers:
        """Return the places of all who were in a round: best reputation first, then by name."""
        by_name = np.array(sorted(range(len(self.users)), key=self.users.__getitem__), int)
        by_name = by_name[self._rounds[by_name] > 0]
        return by_name[np.argsort(-self._recent[by_name], kind="stable")]

    @np.errstate(over="ignore", invalid="ignore")
    def columns(self, order: Integers) -> dict[str, Any]:
        """Return the leaderboard: a row a user, in that order; see `Definitions`."""
        users = [self.users[user] for user in order]
        columns: dict[str, Any] = {"rank": np.arange(1, len(order) + 1), "user": users}
        if self.rules.owners:
            columns["owner"] = [self.rules.owners.get(user, user) for user in users]
        found = {"rounds": self._rounds, "staked_rounds": self._staked, "stake": self._last}
        at_stake = self._stakes - self._lost_stakes
        for at, name in enumerate(self.names):
            count = self._rounds - self._lost[at]
            mean = _ratio(self._sums[at], count)
            variance = _ratio(self._squares[at], count) - mean * mean
            found |= {f"{name}_mean": mean, f"{name}_sum": self._sums[at]}
            found[f"{name}_std"] = np.sqrt(np.maximum(variance, 0.0))
            found[f"{name}_stake_weighted"] = _ratio(self._weighted[at], at_stake[at])
        earned, at_stake = map(self._of_owner, (self._weighted[self._main], at_stake[self._main]))
        enough = np.where(self._qualified >= self.rules.least_rounds, at_stake, 0.0)
        found["reputation"] = self._recent / self.rules.window
        found["season_score"] = _ratio(earned, enough)
        columns |= {name: of[order] for name, of in found.items()}
        return columns | {name: [of[user] for user in order] for name, of in self.money().items()}

    def series(self, rounds: Any, names: Any, users: Integers, read: Read) -> Iterator[Floats]:
        """Yield (K + 2, P) for each round: some users' scores, rank and payout; NaN if absent."""
        for rows, columns in ((read(entry), entry["columns"]) for entry in rounds):
            mine = np.zeros((len(rows), len(users)), np.int64)
            here = users < rows.shape[1]
            mine[:, here] = rows[:, users[here]]
            values = dict(zip(columns, mine[FIRST:].view(np.float64), strict=True))
            paid = np.where(mine[PART] < 0, np.nan, mine[WHOLE] + mine[PART] / _UNITS)
            unknown = np.full(len(users), np.nan)
            found = [*(values.get(name, unknown) for name in names), mine[RANK], paid]
            yield np.where(mine[RANK] > 0, found, np.nan)


def _ratio(over: Floats, under: Floats) -> Floats:
    return np.divide(over, under, out=np.full(len(over), np.nan), where=under > 0)
