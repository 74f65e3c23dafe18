"""What a result's users are paid by a rule: its scores read back, the rule found, a table made."""

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmc_gpu.engines.arrays import Floats
from mmc_gpu.eras.metrics import ROUND_METRICS
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.formats.places import exists
from mmc_gpu.files.formats.source import read_source
from mmc_gpu.files.results.receipt import RoundReceipt, once, refusing
from mmc_gpu.files.results.rounds import user_table
from mmc_gpu.inputs.columns import as_arrow, as_nmr
from mmc_gpu.rounds.rules import BOOTSTRAP_COLUMNS, RULES, Payment, PayoutRule, exact_sum

_NO_SCORES = ("target", "user", "rank", "stake", "filled", "rank_low", "rank_high")  # columns


class ScoreTable(NamedTuple):
    """A result's scores: U users in canonical order, T targets; `values` by the column's name."""

    receipt: RoundReceipt
    users: list[str]
    stakes: Floats  # (U,) NMR
    ranks: Floats  # (T, U) places on each target's leaderboard
    values: dict[str, Floats]  # (T, U)

    @classmethod
    def read(cls, receipt: RoundReceipt) -> "ScoreTable":
        """Return the scores of a result; RoundError where they are not those of the receipt."""
        with refusing(receipt.folder):
            table, stakes = user_table(receipt)
            values = {name: table.values(name) for name in table.names if name not in _NO_SCORES}
            return cls(receipt, table.users, stakes, table.values("rank"), values)

    def pay(self, rule: PayoutRule, factor: Any = None, target: str | None = None) -> "Payouts":
        """Return what everybody is paid by a rule; RoundError where it does not fit the result.

        `factor` is the round's, if the rule has none; `target` that of scores without one.
        """
        targets, other, scores = self.receipt.targets, self.receipt.played, []
        if other is not None and rule.tournament not in (None, other):
            raise self._error(rule, f"is of {rule.tournament}, the result of {other}")
        for paid in rule.scores:
            wanted = paid.target or target or (targets[0] if len(targets) == 1 else None)
            if wanted not in targets:
                named = "names no target" if wanted is None else f"pays target {wanted!a}"
                raise self._error(rule, f"{named}; --target is one of {shown(targets, 10)}")
            column = BOOTSTRAP_COLUMNS.get(paid.score) or self._column(rule, paid.score)
            scores.append(self.values[column][targets.index(wanted)])
        rows, own = [row.tolist() for row in scores], factor if rule.factor is None else None
        return Payouts(self, rule, scores, rule.payments(self.stakes.tolist(), rows, own))

    def _column(self, rule: PayoutRule, name: str) -> str:
        """Return the column of a score that is not the bootstrap's."""
        each = {row.each.partition("{")[0]: row.round_name for row in ROUND_METRICS.values()}
        found = [asked for start, asked in each.items() if start and name.startswith(start)]
        asked = [name] if name in ROUND_METRICS else found
        if not asked:
            known = ", ".join([*BOOTSTRAP_COLUMNS, *ROUND_METRICS])
            raise self._error(rule, f"pays {name!a}; there are {known}")
        if name not in self.values:
            how = f"pays {name}, which mmc-gpu score --score {asked[0]} computes"
            raise self._error(rule, how, "score-absent")
        return name

    def _error(self, rule: PayoutRule, why: str, code: str = "rule-invalid") -> RoundError:
        return RoundError(code, f"{self.receipt.folder}: rule {rule.name} {why}")


class Payouts(NamedTuple):
    """What a result's users are paid by a rule: (P, U) scores, (U,) payments, None if unknown."""

    table: ScoreTable
    rule: PayoutRule
    scores: list[Floats]
    paid: list[Payment | None]

    def columns(self, other: "Payouts | None" = None) -> dict[str, Any]:
        """Return a row a user, the greatest stake first; behind them those of another rule."""
        users, stakes = self.table.users, self.table.stakes
        order = sorted(range(len(users)), key=lambda user: (-stakes[user], users[user]))
        columns: dict[str, Any] = {"user": [users[user] for user in order], "stake": stakes[order]}
        for prefix, own in (("", self), ("against ", other)):
            if own is None:
                continue
            paid = [own.paid[user] for user in order]
            amounts = [one and one.payout for one in paid]
            for score, values in zip(own.rule.scores, own.scores, strict=True):
                columns[f"{prefix}{score.score} {score.target or ''}".strip()] = values[order]
            columns[f"{prefix}weighted"] = [one and float(one.weighted) for one in paid]
            columns[f"{prefix}clipped"] = [one and one.clipped for one in paid]
            columns[f"{prefix}payout"] = amounts
            columns[f"{prefix}claimable"] = [one and max(one, Decimal(0)) for one in amounts]
        if other is not None:
            pairs = zip(columns["payout"], columns["against payout"], strict=True)
            less = [None if None in pair else exact_sum((pair[0], -pair[1])) for pair in pairs]
            columns["difference"] = less
        return columns

    def totals(self) -> dict[str, Decimal]:
        """Return NMR: staked, earned, burnt (negative), and earned and burnt together; exact."""
        known = [payment.payout for payment in self.paid if payment is not None]
        earned, burnt = [one for one in known if one > 0], [one for one in known if one < 0]
        staked = map(Decimal, self.table.stakes.tolist())
        sums = {"staked": staked, "earned": earned, "burnt": burnt, "payout": known}
        return {name: exact_sum(of) for name, of in sums.items()}

    def unpaid(self) -> list[str]:
        """Return who has a stake, and lacks a score that is paid on it."""
        return [user for user, one in zip(self.table.users, self.paid, strict=True) if one is None]


def row_table(entry: dict[str, Any], table: ScoreTable, at: int, amounts: Sequence[Any]) -> Any:
    """Return the rows of a round and day in a history, best first: an Arrow table.

    `entry` says what all rows have in common, `at` whose target's scores lead.
    """
    import pyarrow as pa

    order = np.argsort(table.ranks[at], kind="stable")
    day = (date.fromisoformat(entry["day"]) - date(1970, 1, 1)).days if entry["day"] else None
    same, kinds = entry | {"day": day}, {"number": pa.int64(), "day": pa.date32()}
    widths = {"number": np.int64, "day": np.int32}

    def of_round(name: str) -> Any:
        kind, value = kinds.get(name, pa.string()), same[name]
        if value is None:
            return pa.nulls(len(order), kind)
        texts = [value] * len(order)
        return as_arrow(np.array(texts, widths[name]) if name in widths else texts).view(kind)

    columns = {name: of_round(name) for name in ("round", "number", "day", "target")}
    columns["user"] = as_arrow([table.users[user] for user in order])
    columns["rank"] = as_arrow(table.ranks[at, order].astype(np.int64))
    columns["stake"] = as_arrow(table.stakes[order])
    for name, values in table.values.items():
        for other, target in enumerate(table.receipt.targets):
            columns[name if other == at else f"{name}__{target}"] = as_arrow(values[other, order])
    columns["payout"] = as_nmr([amounts[user] for user in order])
    return pa.table(columns | {name: of_round(name) for name in ("rule", "digest")})


def read_rules(named: str) -> list[PayoutRule]:
    """Return the rules of a name or of a JSON file, which holds one or a list; or a RoundError."""
    if named in RULES:
        return [RULES[named]]
    if not (named and exists(named)):
        raise RoundError("rule-invalid", f"no rule or file is called {named!a}: {', '.join(RULES)}")
    try:
        data = read_source(Path(named)).data
        said = json.loads(data, parse_float=Decimal, object_pairs_hook=once)
    except ValueError as error:
        raise RoundError("rule-invalid", f"{named}: {error}") from error
    if not (rules := said if isinstance(said, list) else [said]):
        raise RoundError("rule-invalid", f"{named}: no rule in it")
    return [PayoutRule.of(rule) for rule in rules]


def rule_for(rules: Sequence[PayoutRule], number: int | None) -> PayoutRule | None:
    """Return the rule that holds for a round; None if none does, RoundError if more than one."""
    found = [rule for rule in rules if rule.covers(number)]
    if len(found) > 1:
        names = shown([rule.name for rule in found])
        raise RoundError("rule-invalid", f"round {number}: more than one rule holds: {names}")
    return found[0] if found else None
