"""Payout rules: data with a source, exact decimals, and the payouts that were published."""

import json
import random
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

import mmc_gpu
from mmc_gpu.eras.metrics import ROUND_METRICS
from mmc_gpu.errors import RoundError
from mmc_gpu.rounds.rules import BOOTSTRAP_COLUMNS, RULES, PaidScore, PayoutRule, exact_sum

FIELD = {
    "classic-2020-corr": ({"bootstrap_corr": "1"}, "0.25", None, 221),
    "classic-2020-mmc": ({"bootstrap_mmc": "2"}, "0.25", None, 221),
    "classic-2021-mmc0": ({"bootstrap_corr": "1"}, "0.25", 222, None),
    "classic-2021-mmc0.5": ({"bootstrap_corr": "1", "bootstrap_mmc": "0.5"}, "0.25", 222, None),
    "classic-2021-mmc1": ({"bootstrap_corr": "1", "bootstrap_mmc": "1"}, "0.25", 222, None),
    "classic-2021-mmc2": ({"bootstrap_corr": "1", "bootstrap_mmc": "2"}, "0.25", 222, None),
    "classic-2024": (
        {"numerai_corr": "0.5", "correlation_contribution": "2"}, "0.05", None, None),
    "classic-2026": (
        {"numerai_corr": "0.75", "correlation_contribution": "2.25"}, "0.05", None, 1342),
    "classic-2026-09": ({"numerai_corr": "3", "correlation_contribution": "15"}, "1", 1343, None),
    "signals-2025-09": (
        {"alpha": "0.3", "meta_portfolio_contribution": "0.8"}, "0.017", None, None),
}  # fmt: skip
"""What the documents say: scores and multipliers, clip, first and last round."""


def test_the_named_rules_are_those_of_the_documents():
    assert RULES.keys() == FIELD.keys()


@pytest.mark.parametrize("name", RULES)
def test_a_named_rule_is_data_with_a_source(name):
    rule, (scores, clip, first, last) = RULES[name], FIELD[name]
    assert {one.score: one.multiplier for one in rule.scores} == {
        score: Decimal(times) for score, times in scores.items()
    }
    assert (rule.clip, rule.first, rule.last) == (Decimal(clip), first, last)
    assert {one.score for one in rule.scores} <= {*BOOTSTRAP_COLUMNS, *ROUND_METRICS}
    assert rule.tournament == name.partition("-")[0]
    assert rule.source.startswith("docs.numer.ai")
    assert PayoutRule.of(json.loads(json.dumps(rule.as_dict()))) == rule


def test_the_rule_of_1343_names_its_target_and_its_factor():
    rule = RULES["classic-2026-09"]
    assert {one.target for one in rule.scores} == {"target_ender_60"}
    assert rule.factor == 1
    assert [rule.covers(number) for number in (1342, 1343, 9999, None)] == [
        False,
        True,
        True,
        False,
    ]
    assert RULES["classic-2020-mmc"].covers(221)
    assert not RULES["classic-2020-mmc"].covers(222)
    assert RULES["classic-2024"].covers(None)


def test_the_documents_example_is_paid_exactly():
    rule, factor = RULES["classic-2026"], Decimal("0.1389")
    (paid,) = rule.payments([100.0], [[0.0625], [0.03125]], factor)
    assert paid.weighted == Decimal("0.1171875")  # 0.75 x 0.0625 + 2.25 x 0.03125
    assert paid.payout == Decimal("1.627734375")
    assert not paid.clipped


def by_fractions(rule, stake, scores, factor):
    """Return a payout in units of 1e-18 NMR, computed with fractions."""
    weighted = sum(
        Fraction(str(one.multiplier)) * Fraction(score)
        for one, score in zip(rule.scores, scores, strict=True)
    )
    share = Fraction(factor) * weighted
    clip = Fraction(str(rule.clip))
    return round(Fraction(stake) * max(-clip, min(clip, share)) * 10**18)


@pytest.mark.parametrize("name", RULES)
def test_every_payout_is_the_exact_one_rounded_once_half_to_even(name):
    rule, rng = RULES[name], random.Random(name)
    stakes = [rng.lognormvariate(1, 6) for _ in range(200)]
    scores = [[rng.gauss(0, 0.3) for _ in stakes] for _ in rule.scores]
    paid = rule.payments(stakes, scores, Decimal("0.8137"))
    for stake, own, one in zip(stakes, zip(*scores, strict=True), paid, strict=True):
        units = by_fractions(rule, stake, own, Fraction("0.8137"))
        assert one.payout == Decimal(units).scaleb(-18)
        assert one.payout.as_tuple().exponent == -18
        assert one.clipped == (
            abs(Fraction(one.weighted) * Fraction("0.8137")) > Fraction(rule.clip)
        )
    assert any(one.clipped for one in paid)


def test_a_tie_goes_to_the_even_digit_and_nothing_is_rounded_twice():
    rule = PayoutRule("x", (PaidScore("alpha", Decimal(1)),), factor=Decimal(1))
    for units, expected in ((0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2)):
        (paid,) = replace(rule, factor=Decimal("1e-18")).payments([1.0], [[units]])
        assert paid.payout == Decimal(expected).scaleb(-18)
        assert paid.payout.is_signed() == (expected < 0)
    # 19 places that would round up if they were rounded to 18 by way of 17 digits
    (paid,) = replace(rule, factor=Decimal("0.4999999999999999995e-17")).payments([1.0], [[1.0]])
    assert paid.payout == Decimal("5e-18")


def test_scores_of_any_size_are_exact():
    rule = PayoutRule("x", (PaidScore("alpha", Decimal(3)),), factor=Decimal(1), clip=Decimal(1))
    (tiny, huge) = rule.payments([1e15, 1e-18], [[5e-324, 1.7e308]])
    assert tiny.payout == 0
    assert not tiny.clipped
    assert huge.payout == Decimal("1e-18")


def test_the_threshold_makes_the_factor_where_there_is_none():
    rule = replace(RULES["classic-2024"], stake_threshold=Decimal(100))
    scores = [[0.01, 0.01, 0.02], [0.003, -0.01, 0.05]]
    stakes = [70.0, 33.5, 199.75]
    total = sum(map(Fraction, stakes))
    for stake, own, one in zip(
        stakes, zip(*scores, strict=True), rule.payments(stakes, scores), strict=True
    ):
        units = by_fractions(rule, stake, own, Fraction(100) / total)
        assert one.payout == Decimal(units).scaleb(-18)
    few = rule.payments([70.0], [[0.01], [0.003]])
    assert few == rule.payments([70.0], [[0.01], [0.003]], Decimal(1))


def test_without_a_factor_nothing_is_paid_by_guess():
    with pytest.raises(RoundError, match="--factor") as caught:
        RULES["classic-2024"].payments([1.0], [[0.1], [0.1]])
    assert caught.value.code == "rule-invalid"


def test_who_lacks_a_score_is_not_paid_and_who_has_no_stake_gets_nothing():
    paid = RULES["classic-2024"].payments(
        [1.0, 0.0, 0.0], [[np.nan, np.nan, 0.1], [0.1, 0.1, 0.1]], 1
    )
    assert paid[0] is None
    assert [one.payout for one in paid[1:]] == [0, 0]


@pytest.mark.parametrize("clip", [None, Decimal(1)])
def test_an_infinite_score_is_not_paid(clip):
    rule = PayoutRule("x", (PaidScore("alpha", Decimal(1)),), factor=Decimal(1), clip=clip)
    assert rule.payments([1.0, 2.0], [[np.inf, -np.inf]]) == [None, None]


@pytest.mark.parametrize("factor", ["a", "", -1, np.nan, np.inf, "1e99", True])
def test_a_factor_that_is_none_is_refused(factor):
    with pytest.raises(ValueError, match="a number of a rule"):
        RULES["classic-2024"].payments([1.0], [[0.1], [0.1]], factor)


def a_score(**changes):
    return {"score": "alpha", "multiplier": 1} | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"first": 9, "last": 3}, "its last round is before its first"),
        ({"tournament": "klassik"}, "not of"),
        ({"scores": [a_score(), a_score(multiplier=2)]}, "twice"),
        ({"scores": [a_score(score=5)]}, "no text"),
        ({"scores": [a_score(score=None)]}, "no text"),
        ({"scores": [a_score(target=["x"])]}, "unhashable"),
        ({"scores": [a_score(multiplier="1e5000")]}, "60 digits"),
        ({"scores": [a_score(multiplier="1e-999999")]}, "60 digits"),
        ({"scores": [a_score(multiplier="0." + "1" * 5000)]}, "60 digits"),
        ({"scores": [a_score(multiplier="x")]}, "finite"),
        ({"factor": -0.1}, "0 or more"),
        ({"clip": "-1"}, "0 or more"),
        ({"clip": "Infinity"}, "finite"),
        ({"stake_threshold": True}, "finite"),
    ],
)
def test_a_rule_with_odd_values_is_refused(changes, words):
    said = {"name": "x", "factor": 1, "clip": 0.05, "scores": [a_score()]}
    assert PayoutRule.of(said).clip == Decimal("0.05")
    with pytest.raises(RoundError, match=words) as caught:
        PayoutRule.of(said | changes)
    assert caught.value.code == "rule-invalid"


def test_a_negative_multiplier_and_a_rule_of_one_round_are_rules():
    said = {"name": "x", "factor": 1, "clip": None, "scores": [a_score(multiplier=-2)]}
    rule = PayoutRule.of(said | {"first": 7, "last": 7})
    assert [rule.covers(number) for number in (6, 7, 8)] == [False, True, False]
    assert rule.payments([3.0], [[0.5]])[0].payout == -3


def test_sums_are_exact():
    values = [Decimal("1e-18"), Decimal("123456789012345"), Decimal(2.0**-80)]
    with localcontext() as context:
        context.prec = 200
        assert exact_sum(values) == sum(values)
    assert exact_sum([]) == 0


CONFIG = {
    "id": "1", "scoreConfigId": "2", "name": "correlation", "version": "2",
    "displayName": "canon_corr", "isPayout": True, "defaultMultiplier": 0.3, "minMultiplier": 0.3,
    "maxMultiplier": 0.3, "clipThreshold": 0.05, "stakeThreshold": 72000.0, "payoutFactor": None,
    "totalScoreDays": 20, "scoringStart": None,
}  # fmt: skip
OTHERS = [
    CONFIG | {"name": "meta_model_contribution", "defaultMultiplier": 0.8, "minMultiplier": 0.0},
    CONFIG | {"name": "bmc", "isPayout": False},
    CONFIG | {"name": "v2_corr20", "defaultMultiplier": 0},
]


@pytest.mark.parametrize(
    "changes",
    [
        {"defaultMultiplier": None},
        {"defaultMultiplier": "x"},
        {"clipThreshold": [1]},
        {"name": ["correlation"]},
    ],
)
def test_a_configuration_that_does_not_say_what_is_paid_is_refused(changes):
    other = CONFIG | {"name": "meta_model_contribution"}
    with pytest.raises(RoundError) as caught:
        PayoutRule.from_round_configs([CONFIG, other | changes], 5)
    assert caught.value.code == "rule-invalid"


def test_a_score_whose_multiplier_is_written_as_zero_is_not_paid():
    configs = [CONFIG, CONFIG | {"name": "alpha", "defaultMultiplier": "0.0"}]
    assert len(PayoutRule.from_round_configs(configs).scores) == 1


def test_a_rounds_own_configuration_is_a_rule():
    rule = PayoutRule.from_round_configs([CONFIG, *OTHERS], 1234, "target_ender_20")
    assert rule.scores == (
        PaidScore("numerai_corr", Decimal("0.3"), "target_ender_20"),
        PaidScore("correlation_contribution", Decimal("0.8"), "target_ender_20"),
    )
    assert (rule.clip, rule.stake_threshold, rule.factor) == (Decimal("0.05"), 72000, None)
    assert (rule.first, rule.last, rule.tournament) == (1234, 1234, None)
    assert "correlation version 2, meta_model_contribution version 2 (may be chosen" in rule.source
    chosen = CONFIG | {"name": "tc", "defaultMultiplier": 0, "maxMultiplier": 1}
    assert "tc version 2 (may be chosen" in PayoutRule.from_round_configs([CONFIG, chosen]).source
    assert PayoutRule.of(rule.as_dict()) == rule
    known = [config | {"payoutFactor": "0.1389"} for config in (CONFIG, *OTHERS)]
    assert PayoutRule.from_round_configs(known).factor == Decimal("0.1389")
    signals = [
        CONFIG | {"name": "alpha"}, CONFIG | {"name": "meta_portfolio_contribution"},
    ]  # fmt: skip
    assert [one.score for one in PayoutRule.from_round_configs(signals).scores] == [
        "alpha", "meta_portfolio_contribution",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("configs", "match"),
    [
        ([CONFIG, CONFIG | {"name": "tc"}], "not one function for 'tc'"),
        ([CONFIG, OTHERS[0] | {"clipThreshold": 0.1}], "clipThreshold"),
        ([CONFIG, OTHERS[0] | {"stakeThreshold": 1}], "stakeThreshold"),
        ([CONFIG, OTHERS[0] | {"payoutFactor": 0.5}], "payoutFactor"),
        ([CONFIG, OTHERS[0] | {"totalScoreDays": 60}], "totalScoreDays"),
        ([CONFIG, CONFIG | {"version": "1"}], "not one function for 'correlation', 'correlation'"),
        ([{"defaultCorrMultiplier": 0.3}], "isPayout"),
        ([None], "its configs"),
        ([], "no scores"),
        ([CONFIG | {"defaultMultiplier": "many"}], "a number of a rule"),
    ],
)
def test_a_configuration_that_is_not_understood_is_refused(configs, match):
    with pytest.raises(RoundError, match=match) as caught:
        PayoutRule.from_round_configs(configs, 7)
    assert caught.value.code == "rule-invalid"


@pytest.mark.parametrize(
    "change",
    [
        {"name": 5}, {"scores": []}, {"scores": [{"score": "alpha"}]}, {"clip": -0.1},
        {"clip": "NaN"}, {"factor": True}, {"first": 1.5}, {"last": True}, {"nonsense": 1},
        {"scores": [{"score": "alpha", "multiplier": 1, "x": 1}]}, {"factor": "much"},
        {"scores": ["alpha"]}, {"scores": [{"multiplier": 1}]},
        {"scores": [{"score": "alpha", "multiplier": "Infinity"}]},
    ],
)  # fmt: skip
def test_a_rule_that_does_not_fit_is_refused(change):
    with pytest.raises(RoundError) as caught:
        PayoutRule.of(RULES["classic-2024"].as_dict() | change)
    assert caught.value.code == "rule-invalid"


@pytest.mark.parametrize("said", [None, [], "x", 5])
def test_what_is_no_rule_is_refused(said):
    with pytest.raises(RoundError):
        PayoutRule.of(said)


def test_the_rule_is_public():
    assert mmc_gpu.PayoutRule is PayoutRule


def test_published_payouts_are_reproduced(shared):
    scores = pd.read_parquet(shared / "data" / "real_round_scores_168_261.parquet")
    scores = scores[(scores.roundNumber >= 251) & (scores.selectedStakeValue > 0)]
    scores = scores.dropna(subset=["payout", "corr", "mmc"])
    assert len(scores) > 28_000
    agree = 0
    keys = ["mmcMultiplier", "corrMultiplier", "roundPayoutFactor"]
    for (times, corr_times, factor), part in scores.groupby(keys):
        rule = RULES[f"classic-2021-mmc{times:g}"]
        if corr_times != 1:
            first = replace(rule.scores[0], multiplier=Decimal(str(corr_times)))
            rule = replace(rule, scores=(first, *rule.scores[1:]))
        assert all(rule.covers(number) for number in part.roundNumber)
        stakes = part.selectedStakeValue.tolist()
        rows = [part["corr"].tolist(), part.mmc.tolist()][: len(rule.scores)]
        paid = [float(one.payout) for one in rule.payments(stakes, rows, float(factor))]
        close = np.abs(np.array(paid) - part.payout.to_numpy()) <= 1e-6 * np.array(stakes)
        agree += int(close.sum())
    assert agree / len(scores) >= 0.9998


def test_rounding_is_half_even_by_the_context_of_nobody():
    with localcontext() as context:
        context.prec, context.rounding = 3, ROUND_HALF_EVEN
        (paid,) = RULES["classic-2024"].payments([12345.678901], [[0.0123456], [0.001]], 1)
    assert len(paid.payout.as_tuple().digits) > 18
