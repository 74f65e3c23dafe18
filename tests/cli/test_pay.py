"""`pay` and `history` as an operator runs them."""

import csv
import json
import shutil
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow.parquet as pq
import pytest
from seasons import FURTHER, make_scores, write_round

from mmc_gpu.rounds.rules import RULES, PayoutRule
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round

USERS = ["ann", "=bob", "cyd", "dan"]


@pytest.fixture
def result(tmp_path):
    return write_round(tmp_path / "results", make_scores(7, USERS))


@pytest.fixture
def read(tmp_path):
    """Read the payouts that were written: a list of rows."""

    def read_(name="payouts.csv"):
        with (tmp_path / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return read_


def test_each_user_has_a_row_with_all_that_makes_the_payout(run, result, tmp_path, read):
    out = tmp_path / "payouts.csv"
    options = ["--rule", "classic-2024", "--factor", "0.7"]
    code, said, _ = run("pay", result, *options, "-o", out)
    assert code == 0
    rows, scores = read(), make_scores(7, USERS)
    assert list(rows[0]) == [
        "user",
        "stake",
        *FURTHER,
        "weighted",
        "clipped",
        "payout",
        "claimable",
    ]
    assert {row["user"] for row in rows} == {"ann", "'=bob", "cyd", "dan"}
    stakes = [float(row["stake"]) for row in rows]
    assert stakes == sorted(stakes, reverse=True)
    for row in rows:
        at = scores.users.index(row["user"].lstrip("'"))
        values = [scores.further.values[name][0, at] for name in FURTHER]
        assert [float(row[name]) for name in FURTHER] == values
        weighted = Fraction(values[0]) / 2 + 2 * Fraction(values[1])
        assert float(row["weighted"]) == float(weighted)
        share = Fraction("0.7") * weighted
        assert (row["clipped"] == "True") == (abs(share) > Fraction(1, 20))
        share = max(-Fraction(1, 20), min(Fraction(1, 20), share))
        units = round(Fraction(scores.stakes[at]) * share * 10**18)
        assert Decimal(row["payout"]) == Decimal(units).scaleb(-18)
        assert Decimal(row["claimable"]) == max(Decimal(0), Decimal(row["payout"]))
    total = sum(Decimal(row["payout"]) for row in rows)
    assert f"payout {total:f}" in said
    assert run("pay", result, *options, "-o", tmp_path / "payouts.parquet")[0] == 0
    table = pq.read_table(tmp_path / "payouts.parquet")
    assert [f"{one:f}" for one in table["payout"].to_pylist()] == [row["payout"] for row in rows]


def test_two_rules_stand_side_by_side_with_their_difference(run, result, tmp_path, read):
    out, options = tmp_path / "payouts.csv", ["--factor", "1", "--json"]
    code, said, _ = run(
        "pay", result, "--rule", "classic-2026", "--against", "classic-2024", "-o", out, *options
    )
    assert code == 0
    rows = read()
    for row in rows:
        difference = Decimal(row["payout"]) - Decimal(row["against payout"])
        assert Decimal(row["difference"]) == difference
    found = json.loads(said.splitlines()[-1])
    assert [rule["name"] for rule in found["rules"]] == ["classic-2026", "classic-2024"]
    for total, column in zip(found["totals"], ("payout", "against payout"), strict=True):
        amounts = [Decimal(row[column]) for row in rows]
        assert Decimal(total["payout"]) == sum(amounts)
        assert Decimal(total["earned"]) == sum(amount for amount in amounts if amount > 0)
        assert Decimal(total["burnt"]) == sum(amount for amount in amounts if amount < 0)
        assert Decimal(total["earned"]) + Decimal(total["burnt"]) == Decimal(total["payout"])
        assert float(total["staked"]) == pytest.approx(sum(float(row["stake"]) for row in rows))


def test_a_bootstrap_result_is_not_paid_by_a_rule_of_2024(run, tmp_path):
    write_sample_round(tmp_path / "round", make_sample_round(users=20, stocks=100))
    run("score", tmp_path / "round", "-o", tmp_path / "out", "--engine", "numpy")
    pay = ["pay", tmp_path / "out", "--rule", "classic-2024", "--factor", "1", "--target", "target"]
    code, out, err = run(*pay)
    assert (code, out) == (1, "")
    assert "--score numerai_corr" in err
    assert "[score-absent]" in err
    further = ["--score", "numerai_corr", "--score", "correlation_contribution"]
    run("score", tmp_path / "round", "-o", tmp_path / "out", "--engine", "numpy", *further)
    assert run(*pay)[0] == 0


@pytest.mark.parametrize(
    ("score", "words"),
    [
        ("mmc", "there are bootstrap_mmc, bootstrap_corr, numerai_corr"),
        ("corr", "bootstrap_corr"),
        ("tc", "there are"),
        ("stake", "there are"),
        ("bmc_example", "--score bmc_each"),
        ("bmc", "--score bmc"),
        ("alpha", "--score alpha"),
    ],
)
def test_no_score_is_replaced_by_a_similar_one(run, result, tmp_path, score, words):
    rule = {"name": "x", "factor": 1, "scores": [{"score": score, "multiplier": 1}]}
    (tmp_path / "rule.json").write_text(json.dumps(rule))
    code, out, err = run("pay", result, "--rule", tmp_path / "rule.json")
    assert (code, out) == (1, "")
    assert words in err


def test_the_bootstraps_scores_are_paid_where_a_rule_names_them(run, tmp_path, read):
    scores = make_scores(200, USERS)
    result = write_round(tmp_path / "results", scores)
    assert run("pay", result, "--rule", "classic-2020-mmc", "--factor", "1",
               "-o", tmp_path / "payouts.csv")[0] == 0  # fmt: skip
    for row in read():
        at = scores.users.index(row["user"].lstrip("'"))
        assert float(row["bootstrap_mmc"]) == scores.mmc[0, at]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rule", "classic-2024"], "--factor"),
        (["--rule", "nothing"], "classic-2024"),
        (["--rule", ""], "no rule or file is called ''"),
        (["--rule", "classic-2020-mmc", "--factor", "1", "--against", ""], "is called ''"),
        (["--rule", "classic-2026-09"], "does not hold for round 7"),
        (["--rule", "classic-2021-mmc1", "--factor", "1"], "does not hold for round 7"),
        (["--rule", "broken.json"], "broken.json"),
        (["--rule", "two.json"], "more than one rule holds"),
        (["--rule", "none.json"], "no rule in it"),
        (["--rule", "twice.json"], "a name stands twice"),
    ],
)
def test_a_rule_that_does_not_fit_is_an_error(run, result, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text('{"name": ')
    (tmp_path / "none.json").write_text("[]")
    (tmp_path / "twice.json").write_text('{"factor": 1, "factor": 0}')
    two = [RULES["classic-2024"].as_dict(), RULES["classic-2026"].as_dict()]
    (tmp_path / "two.json").write_text(json.dumps(two))
    code, out, err = run("pay", result, *options)
    assert (code, out) == (1, "")
    assert words in err
    assert "[rule-invalid]" in err


def test_a_rules_own_factor_counts_beside_that_of_the_round(run, result, tmp_path, read):
    own = RULES["classic-2024"].as_dict() | {"name": "own", "factor": 1}
    (tmp_path / "own.json").write_text(json.dumps(own))
    pay = ["pay", result, "--rule", tmp_path / "own.json", "-o", tmp_path / "payouts.csv"]
    assert run(*pay)[0] == 0
    alone = [row["payout"] for row in read()]
    beside = ["--against", "classic-2024", "--factor", "0.1"]
    assert run(*pay, *beside)[0] == 0
    rows = read()
    assert [row["payout"] for row in rows] == alone
    assert [row["against payout"] for row in rows] != alone
    history = ["history", tmp_path / "results", "-o", tmp_path / "out", *pay[2:4]]
    assert run(*history)[0] == 0
    first, second = own | {"last": 7}, RULES["classic-2024"].as_dict() | {"first": 8}
    (tmp_path / "own.json").write_text(json.dumps([first, second]))
    assert run(*history, "--factor", "0.1")[0] == 0
    paid = pq.read_table(tmp_path / "out/history/7")["payout"].to_pylist()
    assert sorted(map(Decimal, alone)) == sorted(paid)


def test_a_factor_that_no_rule_needs_is_a_usage_error(run, result, tmp_path):
    own = RULES["classic-2024"].as_dict() | {"factor": 1}
    (tmp_path / "own.json").write_text(json.dumps(own))
    rule, history = ["--rule", tmp_path / "own.json"], ["history", result.parent, "-o"]
    for command in ([*history, tmp_path / "out"], [*history, tmp_path / "out", *rule],
                    ["pay", result, *rule, "-o", tmp_path / "out.csv"]):  # fmt: skip
        code, _, err = run(*command, "--factor", "0.1")
        assert code == 2
        assert "factor: " in err
    assert not {"out", "out.csv"} & {path.name for path in tmp_path.iterdir()}


def test_a_rule_for_another_tournament_or_target_is_an_error(run, tmp_path):
    result = write_round(tmp_path / "results", make_scores(7, USERS, targets=("one", "two")))
    code, _, err = run("pay", result, "--rule", "classic-2024", "--factor", "1")
    assert code == 1
    assert "names no target; --target is one of 'one', 'two'" in err
    assert run("pay", result, "--rule", "classic-2024", "--factor", "1", "--target", "two")[0] == 0
    receipt = json.loads((result / "receipt.json").read_text())
    receipt["parameters"]["tournament"] = "signals"
    (result / "receipt.json").write_text(json.dumps(receipt))
    code, _, err = run("pay", result, "--rule", "classic-2024", "--factor", "1", "--target", "two")
    assert code == 1
    assert "of classic, the result of signals" in err


def test_a_rule_made_from_a_rounds_configuration_pays_it(run, result, tmp_path):
    config = {"isPayout": True, "clipThreshold": 0.05, "stakeThreshold": 72000, "payoutFactor": 1}
    named = [("correlation", 0.5), ("meta_model_contribution", 2)]
    configs = [config | {"name": name, "defaultMultiplier": times} for name, times in named]
    rules = [PayoutRule.from_round_configs(configs, number).as_dict() for number in (6, 7, 8)]
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    assert run("pay", result, "--rule", tmp_path / "rules.json", "-o", one)[0] == 0
    assert run("pay", result, "--rule", "classic-2024", "--factor", "1", "-o", two)[0] == 0
    assert one.read_bytes() == two.read_bytes()


def test_who_lacks_a_score_is_said_and_not_paid(run, tmp_path, read):
    scores = make_scores(7, USERS)
    scores.further.values["numerai_corr"][0, 0] = np.nan
    result = write_round(tmp_path / "results", scores)
    _, _, err = run("pay", result, "--rule", "classic-2024", "--factor", "1",
                    "-o", tmp_path / "payouts.csv")  # fmt: skip
    assert f"not paid, for want of a score: {scores.users[0]!a}" in err
    (row,) = [row for row in read() if row["user"].lstrip("'") == scores.users[0]]
    assert (row["payout"], row["claimable"]) == ("", "")


def test_a_round_that_is_resolved_in_part_is_paid_with_a_note(run, result):
    options = ["--rule", "classic-2024", "--factor", "1"]
    assert "in part" not in run("pay", result, *options)[2]
    receipt = json.loads((result / "receipt.json").read_text())
    receipt["parameters"]["partial"] = True
    (result / "receipt.json").write_text(json.dumps(receipt))
    code, _, err = run("pay", result, *options)
    assert code == 0
    assert "resolved in part: its payouts are not the last ones" in err


def test_what_was_written_stays_when_a_payout_fails(run, result, tmp_path):
    (tmp_path / "payouts.csv").write_text("the last one")
    run("pay", result, "--rule", "classic-2024", "-o", tmp_path / "payouts.csv")
    assert (tmp_path / "payouts.csv").read_text() == "the last one"


def test_payouts_are_not_written_under_the_name_of_another_format(run, result, tmp_path):
    code, _, err = run("pay", result, "--rule", "classic-2024", "--factor", "1",
                       "-o", tmp_path / "payouts.json")  # fmt: skip
    assert code == 2
    assert "written as .csv or .parquet" in err
    assert not (tmp_path / "payouts.json").exists()
    assert run("pay", result, "--rule", "classic-2024", "--factor", "1",
               "-o", tmp_path / "payouts.CSV")[0] == 0  # fmt: skip
    assert (tmp_path / "payouts.CSV").read_text().startswith("user,stake,")


def test_the_help_names_every_rule(run):
    helped = " ".join(run("pay", "--help")[1].replace("│", " ").split())
    for name in RULES:
        assert name in helped


class TestHistory:
    def test_it_says_what_is_new(self, run, result, tmp_path):
        del result
        where = ["history", tmp_path / "results", "-o", tmp_path / "out"]
        code, out, err = run(*where)
        assert (code, out) == (
            0, f"1 round and 4 users in {tmp_path / 'out'}: 1 result added, 0 unchanged\n",
        )  # fmt: skip
        assert err == f"open {tmp_path / 'out/index.html'} in a browser\n"
        assert "0 results added, 1 unchanged" in run(*where)[1]

    def test_what_failed_is_said_and_the_rest_is_written(self, run, result, tmp_path):
        write_round(tmp_path / "results", make_scores(8, USERS))
        (result / "receipt.json").write_text("{}")
        code, _, err = run("history", tmp_path / "results", "-o", tmp_path / "out")
        assert code == 1
        assert err.startswith("failed: 7: ")
        assert (tmp_path / "out/index.html").exists()

    def test_rounds_without_a_rule_and_stakes_that_are_not_paid_are_counted(self, run, tmp_path):
        scores = make_scores(7, USERS)
        scores.further.values["numerai_corr"][0, 0] = np.nan
        write_round(tmp_path / "results", scores)
        write_round(tmp_path / "results", make_scores(2000, USERS))
        where = ["history", tmp_path / "results", "-o", tmp_path / "out", "--factor", "1"]
        code, _, err = run(*where, "--rule", "classic-2026")
        assert code == 0
        assert "no rule holds for 1 round" in err
        assert "1 stake not paid" in err

    def test_a_result_of_an_earlier_day_is_told(self, run, result, tmp_path):
        where = ["history", tmp_path / "results", "-o", tmp_path / "out"]
        write_round(result.parent, make_scores(7, USERS, day=3))
        run(*where)
        write_round(result.parent, make_scores(7, USERS))
        assert "'7': an earlier day's result; a later one counts" in run(*where)[2]
        assert json.loads(run(*where, "--json")[1].splitlines()[-1])["older"] == ["7"]

    def test_a_result_that_is_gone_is_told(self, run, result, tmp_path):
        where = ["history", tmp_path / "results", "-o", tmp_path / "out"]
        write_round(result.parent, make_scores(8, USERS))
        assert "note" not in run(*where)[2]
        shutil.rmtree(result)
        assert "note: '7': the result is gone; what was taken in counts" in run(*where)[2]
        assert json.loads(run(*where, "--json")[1].splitlines()[-1])["gone"] == ["7"]

    def test_owners_are_read_from_a_file(self, run, result, tmp_path):
        del result
        (tmp_path / "owners.csv").write_text("user,owner\nann,x\ncyd,x\n")
        where = ["history", tmp_path / "results", "-o", tmp_path / "out"]
        assert run(*where, "--owners", tmp_path / "owners.csv", "--least-rounds", "1")[0] == 0
        rows = pq.read_table(tmp_path / "out/leaderboard.parquet").to_pylist()
        assert {row["user"]: row["owner"] for row in rows if row["owner"] == "x"} == {
            "ann": "x", "cyd": "x",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "code"),
        [("user,owner\nann,x\nann,y\n", "user-duplicate"), ("user,who\nann,x\n", "column-missing")],
    )
    def test_owners_that_do_not_fit_are_refused(self, run, result, tmp_path, text, code):
        (tmp_path / "owners.csv").write_text(text)
        where = ["history", result.parent, "-o", tmp_path / "out"]
        failed, _, err = run(*where, "--owners", tmp_path / "owners.csv")
        assert failed == 1
        assert f"[{code}]" in err
