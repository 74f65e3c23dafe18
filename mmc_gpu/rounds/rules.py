"""Payout rules as data: which scores of which targets are paid, and what is made of them.

    weighted = sum of multiplier x score
    payout   = stake x clip(factor x weighted, -clip, +clip)    positive: earned, negative: burnt

in exact decimals. The factor stands inside the clip: see `metrics.payout`.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal, Inexact, localcontext
from fractions import Fraction
from importlib.resources import files
from typing import Any, NamedTuple

from mmc_gpu.errors import RoundError, shown

_EXACT = Context(4000, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[Inexact])
_ROUNDED = Context(4000, ROUND_HALF_EVEN, MIN_EMIN, MAX_EMAX, traps=[])
_DIGITS = 60
"""Of products and sums of a few float64, which have 767 decimal digits at most, and of numbers of
rules, which have 60."""

BOOTSTRAP_COLUMNS = {"bootstrap_mmc": "mmc", "bootstrap_corr": "corr"}
"""What a rule calls the scores of 2020, and their columns. Other scores are called as their
functions in `mmc_gpu.metrics`, so that today's MMC is never taken for the bootstrap's."""

_DATA = json.loads((files("mmc_gpu.rounds") / "rules.json").read_text("utf-8"), parse_float=Decimal)
_TEXT, _TOURNAMENTS = {str, type(None)}, ("classic", "signals", "crypto")
_CONFIG_SCORES = _DATA["config_scores"]
"""Our functions by the names in `roundScoreConfigs`; no other name is taken for one of these."""


@dataclass(frozen=True)
class PaidScore:
    """A score that a rule pays: a function, its multiplier, its target (None: the round's only)."""

    score: str
    multiplier: Decimal
    target: str | None = None


class Payment(NamedTuple):
    """What one user is paid: the weighted score, whether it was clipped, NMR to 18 places."""

    weighted: Decimal
    clipped: bool
    payout: Decimal


@dataclass(frozen=True)
class PayoutRule:
    """What a round pays.

    Attributes:
        name: of the rule.
        scores: what is paid: functions of `mmc_gpu.metrics`, or keys of `BOOTSTRAP_COLUMNS`.
        factor: of the weighted score, inside the clip; None where each round has its own.
        clip: the largest share of the stake that is paid or burnt; None for no limit.
        stake_threshold: NMR; where there is no factor, it is min(1, threshold / sum of stakes).
        tournament: "classic", "signals" or "crypto"; None for any.
        first, last: the numbers of the first and the last round; None for no end.
        source: who says so.
    """

    name: str
    scores: tuple[PaidScore, ...]
    factor: Decimal | None = None
    clip: Decimal | None = None
    stake_threshold: Decimal | None = None
    tournament: str | None = None
    first: int | None = None
    last: int | None = None
    source: str = ""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "PayoutRule":
        """Return the rule that a mapping describes as `as_dict` does; RoundError if it does not."""
        try:
            each = [one | {"multiplier": _number(one["multiplier"])} for one in said["scores"]]
            scores = tuple(PaidScore(**one) for one in each)
            found = dict(said) | {"scores": scores}
            for part in ("factor", "clip", "stake_threshold"):
                found[part] = None if said.get(part) is None else _number(said[part], 0)
            ends = [of for end in ("first", "last") if (of := said.get(end)) is not None]
            if not isinstance(said["name"], str) or not scores or {*map(type, ends)} - {int}:
                raise ValueError("no name, no scores, or rounds that are no numbers")
            if ends != sorted(ends) or said.get("tournament") not in (None, *_TOURNAMENTS):
                raise ValueError(f"its last round is before its first, or not of {_TOURNAMENTS}")
            paid = {(score.score, score.target) for score in scores}
            texts = {type(score.score) for score in scores} == {str}
            if len(paid) < len(scores) or not texts or {type(of) for _, of in paid} - _TEXT:
                raise ValueError("a score that stands there twice, or is no text")
            return cls(**found)
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise RoundError("rule-invalid", f"{str(said)[:80]!a}: {error!r}") from error

    @classmethod
    def from_round_configs(
        cls, configs: Iterable[Mapping[str, Any]], number: int | None = None, target: Any = None
    ) -> "PayoutRule":
        """Return the rule of a round from what Numerai's API says of it.

        Args:
            configs: its `roundScoreConfigs`, as numerapi's `list_rounds()` gives them (2.24 on).
            number: of the round.
            target: the name of the scores' target, which the API does not say.

        Raises:
            RoundError: rule-invalid: a paid score is not known or there twice, two have different
                limits or days and so targets, or something is not said.

        Source: docs.numer.ai, "Round score configuration", and "Staking" for the threshold.
        """
        called = "round" if number is None else f"round {number}"
        try:
            chosen = [config for config in configs if config["isPayout"]]
            paid = [config for config in chosen if _number(config["defaultMultiplier"])]
            names = [str(config["name"]) for config in paid]
        except (LookupError, TypeError, ValueError) as error:
            raise RoundError("rule-invalid", f"{called}: its configs: {error!r}") from error
        said: dict[str, Any] = {"name": called, "first": number, "last": number, "scores": []}
        keys = {"stake_threshold": "stakeThreshold", "factor": "payoutFactor"}
        keys["clip"] = "clipThreshold"
        for key in (*keys.values(), "totalScoreDays"):
            if any(config.get(key) != paid[0].get(key) for config in paid):
                raise RoundError("rule-invalid", f"{called}: its scores differ in {key}")
        said |= {part: paid[0].get(key) for part, key in keys.items() if paid}
        if odd := [name for name in names if name not in _CONFIG_SCORES or names.count(name) > 1]:
            raise RoundError("rule-invalid", f"{called}: not one function for {shown(odd)}")
        for config in paid:
            score = {"score": _CONFIG_SCORES[config["name"]], "target": target}
            said["scores"].append(score | {"multiplier": config["defaultMultiplier"]})
        told = []
        for config in chosen:
            ends = [config.get(f"{end}Multiplier") for end in ("min", "max")]
            free = "" if ends[0] == ends[1] else f" (may be chosen: {ends})"
            told.append(f"{config.get('name')} version {config.get('version')}{free}")
        source = f"roundScoreConfigs of {called}: {', '.join(told)}"
        return cls.of(said | {"source": source})

    def as_dict(self) -> dict[str, Any]:
        """Return the rule as JSON has it, decimals as text; `of` makes the rule of it again."""

        def kept(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
            said = ((name, of) for name, of in pairs if of is not None)
            return {name: format(of, "f") if isinstance(of, Decimal) else of for name, of in said}

        return asdict(self, dict_factory=kept)

    def covers(self, number: int | None) -> bool:
        """Return whether the rule holds for a round of that number; None: it has no number."""
        if number is None:
            return self.first is None and self.last is None
        return (self.first or 0) <= number <= (math.inf if self.last is None else self.last)

    def payments(
        self, stakes: Sequence[float], scores: Sequence[Any], factor: Any = None
    ) -> list[Payment | None]:
        """Return what each user is paid; None where a score is missing that is paid on a stake.

        A float64 counts as the decimal that it is exactly. A payout is rounded once, half to even.

        Args:
            stakes: (U,) NMR.
            scores: (P, U), a row for each of the rule's scores.
            factor: of the round, as a number that is written 0.1389; None for that of the rule.

        Raises:
            RoundError: rule-invalid: neither the rule nor the caller gives a factor.
        """
        over, under = self._factor(stakes, factor)
        limit = None if self.clip is None else _EXACT.multiply(self.clip, under)
        users = zip(stakes, zip(*scores, strict=True), strict=True)
        return [self._payment(stake, own, over, under, limit) for stake, own in users]

    def _payment(
        self, stake: float, own: Sequence[float], over: Decimal, under: Decimal, limit: Any
    ) -> Payment | None:
        if not all(map(math.isfinite, own)):
            return None if stake else Payment(Decimal("nan"), False, Decimal(0))
        weighted = Decimal(0)
        for paid, score in zip(self.scores, own, strict=True):
            weighted = _EXACT.fma(paid.multiplier, Decimal(score), weighted)
        share = _EXACT.multiply(over, weighted)
        clipped = limit is not None and share.copy_abs() > limit
        amount = _EXACT.multiply(Decimal(stake), limit.copy_sign(share) if clipped else share)
        if under == 1:
            exact = _ROUNDED.quantize(amount, Decimal("1e-18"))
            return Payment(weighted, clipped, _ROUNDED.plus(exact))  # never -0
        units = round(Fraction(amount) * 10**18 / Fraction(under))  # its decimals may have no end
        return Payment(weighted, clipped, Decimal(units).scaleb(-18, _ROUNDED))

    def _factor(self, stakes: Sequence[float], given: Any) -> tuple[Decimal, Decimal]:
        """Return the factor as a numerator and a denominator."""
        factor = self.factor if given is None else _number(given, 0)
        if factor is not None:
            return factor, Decimal(1)
        if self.stake_threshold is None:
            raise RoundError("rule-invalid", f"rule {self.name}: give the round's factor: --factor")
        total = max(self.stake_threshold, exact_sum(map(Decimal, stakes)))
        return self.stake_threshold, total or Decimal(1)


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    """Return the sum of decimals, exactly."""
    with localcontext(_EXACT):
        return sum(values, Decimal(0))


def _number(value: Any, least: float = -math.inf) -> Decimal:
    """Return a number of a rule; a float is the decimal that it is written as: 0.3."""
    found = _ROUNDED.create_decimal("nan" if isinstance(value, bool) else str(value))
    if not found.is_finite() or found < least:
        raise ValueError(f"{value!r}: a number of a rule is finite, a factor or limit 0 or more")
    if len(f"{found:e}") > _DIGITS or abs(found.adjusted()) > _DIGITS:  # beyond: not exact
        raise ValueError(f"{str(value)[:20]}: a number of a rule has {_DIGITS} digits at most")
    return found


RULES = {said["name"]: PayoutRule.of(said) for said in _DATA["rules"]}
"""The rules that were published with their numbers. Later rounds of Signals, and those of Crypto,
have theirs in `roundScoreConfigs`. A rule without a factor needs that of the round."""
