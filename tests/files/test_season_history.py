"""A history: the same however it came about, open to others, and what it adds up to."""

import csv
import json
import shutil
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from seasons import FURTHER, contents, make_scores, make_season, write_round

import mmc_gpu
from mmc_gpu.errors import RoundError
from mmc_gpu.files.results.payouts import ScoreTable
from mmc_gpu.files.results.receipt import read_round_receipt
from mmc_gpu.files.writing.tables import csv_bytes, csv_unsafe
from mmc_gpu.rounds.rules import RULES
from mmc_gpu.rounds.standings import Definitions

PAID = {"rules": ["classic-2024"], "factor": 0.7}
COLUMNS = [
    "round", "number", "day", "target", "user", "rank", "stake", "mmc", "mmc_se", "corr",
    "corr_with_meta_model", *FURTHER, "payout", "rule", "digest",
]  # fmt: skip


@pytest.fixture(scope="module")
def season(tmp_path_factory):
    """A season of 30 rounds: the folder, and the scores by round."""
    folder = tmp_path_factory.mktemp("season")
    made = make_season(folder / "results")
    mmc_gpu.history(folder / "results", folder / "out", **PAID)
    return folder, made


@pytest.fixture
def update(tmp_path):
    """Bring the history of this test up to date."""
    return lambda **options: mmc_gpu.history(tmp_path / "results", tmp_path / "out", **options)


def rows_of(folder):
    return pd.concat(
        [
            pq.read_table(path).to_pandas()
            for path in sorted((folder / "history").rglob("*.parquet"))
        ],
        ignore_index=True,
    )


def paid_by_hand(scores):
    """Return each user's payout by the rule of 2024 in units of 1e-18 NMR, with fractions."""
    corr, mmc = (scores.further.values[name][0] for name in FURTHER)
    found = {}
    for user, stake, one, other in zip(scores.users, scores.stakes, corr, mmc, strict=True):
        share = Fraction("0.7") * (Fraction(one) / 2 + 2 * Fraction(other))
        clip = Fraction(1, 20)
        found[user] = round(Fraction(stake) * max(-clip, min(clip, share)) * 10**18)
    return found


class TestRows:
    def test_there_is_a_row_for_each_user_round_and_day(self, season):
        folder, made = season
        rows = rows_of(folder / "out")
        assert list(rows) == COLUMNS
        assert len(rows) == sum(len(scores.users) for scores in made.values())
        assert not rows.duplicated(["round", "day", "user"]).any()
        for number, part in rows.groupby("number"):
            scores = made[number]
            order = scores.order()
            assert list(part["user"]) == [scores.users[user] for user in order]
            assert list(part["rank"]) == list(range(1, len(order) + 1))
            for name, values in (
                ("mmc", scores.mmc[0]), ("mmc_se", scores.mmc_se[0]), ("corr", scores.corr[0]),
                ("stake", scores.stakes), (FURTHER[0], scores.further.values[FURTHER[0]][0]),
            ):  # fmt: skip
                np.testing.assert_array_equal(part[name], values[order])
            assert set(part["digest"]) == {scores.digest}
            assert set(part["round"]) == {str(number)}
            assert set(part["day"]) == {date.fromisoformat(scores.title.date)}
            assert set(part["rule"]) == {"classic-2024"}

    def test_every_payout_is_the_one_that_fractions_give(self, season):
        folder, made = season
        for number, part in rows_of(folder / "out").groupby("number"):
            expected = paid_by_hand(made[number])
            found = {row.user: int(row.payout.scaleb(18)) for row in part.itertuples()}
            assert found == expected

    def test_pandas_polars_and_duckdb_open_it_as_it_is(self, season):
        folder, made = season
        place, size = folder / "out/history", sum(len(scores.users) for scores in made.values())
        polars = pytest.importorskip("polars")
        assert len(pd.read_parquet(place)) == size
        frame = polars.read_parquet(place / "**/*.parquet")
        assert frame.shape == (size, len(COLUMNS))
        assert polars.scan_parquet(place).select(polars.len()).collect().item() == size
        assert frame["payout"].dtype == polars.Decimal(38, 18)
        duckdb = pytest.importorskip("duckdb", reason="pip install '.[test]' brings duckdb")
        query = "select count(*), sum(payout), min(round), max(day) from read_parquet(?)"
        # its own connection: with one row fetched, the shared one would refuse README's queries
        with duckdb.connect() as connection:
            found = connection.execute(query, [f"{place}/**/*.parquet"]).fetchone()
        count, total, first, last = found
        assert (count, first) == (size, "601")
        assert last == date.fromisoformat(made[630].title.date)
        units = sum(sum(paid_by_hand(scores).values()) for scores in made.values())
        assert total == Decimal(units).scaleb(-18)

    def test_several_targets_stand_side_by_side(self, tmp_path, update):
        scores = make_scores(7, ["ann", "bob", "cyd"], targets=("one", "two"))
        write_round(tmp_path / "results", scores)
        update()
        rows = rows_of(tmp_path / "out")
        assert set(rows["target"]) == {"one"}
        order = scores.order(0)
        np.testing.assert_array_equal(rows["mmc"], scores.mmc[0, order])
        np.testing.assert_array_equal(rows["mmc__two"], scores.mmc[1, order])
        update(target="two")
        rows = rows_of(tmp_path / "out")
        assert list(rows["user"]) == [scores.users[user] for user in scores.order(1)]
        np.testing.assert_array_equal(rows["mmc__one"], scores.mmc[0, scores.order(1)])
        assert update(target="three").failed.keys() == {"7"}

    def test_names_of_rounds_make_no_trouble(self, tmp_path, update):
        for name in ("_under", ".dot", "a b&c", "r=1", "é"):
            scores = make_scores(1, ["ann", "bob"])
            scores.title = scores.title.of(name, "2026-01-02")
            write_round(tmp_path / "results", scores, f"x{len(name)}{ord(name[0])}")
        update()
        assert set(pd.read_parquet(tmp_path / "out/history")["round"]) == {
            "_under", ".dot", "a b&c", "r=1", "é",
        }  # fmt: skip

    def test_rounds_with_long_names_are_told_apart(self, tmp_path, update):
        names = [letter * size + end for letter in "nä" for size in (300, 9_000) for end in "ab"]
        names.append("")
        for place, name in enumerate(names):
            scores = make_scores(1, ["ann", "bob"])
            scores.title = scores.title.of(name, "2026-01-02")
            write_round(tmp_path / "results", scores, str(place))
        update()
        assert update().unchanged == len(names)
        assert set(rows_of(tmp_path / "out")["round"]) == set(names)

    def test_users_have_any_names(self, tmp_path, update):
        names = ["../x", "__proto__", "</script>", 'a,"b"', "x\ny", "=1", "u" * 10_000, "é", " "]
        write_round(tmp_path / "results", make_scores(7, names))
        assert sorted(update().columns["user"]) == sorted(names)
        assert sorted(rows_of(tmp_path / "out")["user"]) == sorted(names)
        with (tmp_path / "out/leaderboard.csv").open(newline="", encoding="utf-8") as file:
            assert sorted(csv_unsafe(row["user"]) for row in csv.DictReader(file)) == sorted(names)

    def test_a_round_without_a_day_or_a_title_is_there_too(self, tmp_path, update):
        write_round(tmp_path / "results", make_scores(5, ["ann", "bob"], title=False), "old")
        found = update()
        assert [one["round"] for one in found.rounds] == ["old"]
        rows = rows_of(tmp_path / "out")
        assert rows["day"].isna().all()
        assert rows["number"].isna().all()


class TestIncrements:
    def test_night_by_night_it_is_the_same_as_at_once(self, season, tmp_path, update):
        folder, _ = season
        for place, path in enumerate(sorted((folder / "results").iterdir())):
            shutil.copytree(path, tmp_path / "results" / path.name)
            if place % 7 == 3:
                update(**PAID)
        said = update(**PAID)
        assert (said.added, said.unchanged) == (30 - 25, 25)
        assert contents(tmp_path / "out") == contents(folder / "out")
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/history").rglob("*")}
        said = update(**PAID)
        assert (said.added, said.unchanged) == (0, 30)
        assert before == {path: path.stat().st_mtime_ns for path in before}
        assert contents(tmp_path / "out") == contents(folder / "out")

    def test_a_history_in_the_working_directory_is_found_again(self, tmp_path, monkeypatch):
        for number in (7, 8):
            write_round(tmp_path / "results", make_scores(number, ["ann", "bob"]))
        (tmp_path / "out").mkdir()
        monkeypatch.chdir(tmp_path / "out")
        assert mmc_gpu.history(tmp_path / "results", ".", **PAID).added == 2
        assert mmc_gpu.history(tmp_path / "results", ".", **PAID).unchanged == 2

    def test_a_day_is_a_row_more_and_the_last_one_counts(self, tmp_path, update):
        users = ["ann", "bob", "cyd"]
        for day in range(3):
            scores = make_scores(7, users, day=day)
            write_round(tmp_path / "results", scores, day=scores.title.date)
            update()
        assert len(rows_of(tmp_path / "out")) == 9
        table = update().table.set_index("user")
        assert set(table["rounds"]) == {1}
        assert table["mmc_sum"].to_dict() == dict(zip(scores.users, scores.mmc[0], strict=True))
        shutil.rmtree(tmp_path / "out")
        update()  # all days at once
        assert len(rows_of(tmp_path / "out")) == 9

    def test_a_result_that_is_scored_anew_is_replaced(self, tmp_path, update):
        write_round(tmp_path / "results", make_scores(7, ["ann", "bob"]))
        update()
        shutil.rmtree(tmp_path / "results/7")
        scores = make_scores(7, ["ann", "bob", "cyd"], seed=5)
        write_round(tmp_path / "results", scores)
        assert update().added == 1
        assert len(rows_of(tmp_path / "out")) == 3
        assert set(rows_of(tmp_path / "out")["digest"]) == {scores.digest}
        update()  # which removes what the last one has left
        assert len(list((tmp_path / "out/season").iterdir())) == 2  # the ledger, and one array

    def test_another_rule_is_applied_to_what_is_there(self, season, tmp_path, update):
        for number in range(609, 613):
            name = f"results/{number}"
            shutil.copytree(season[0] / name, tmp_path / name)
        update(**PAID)
        assert update().added == 4
        assert rows_of(tmp_path / "out")["payout"].isna().all()
        rules = [
            replace(RULES["classic-2024"], last=610),
            replace(RULES["classic-2026"], first=611),
        ]
        found = update(rules=rules, factor=0.7)
        names = {one["number"]: one["rule"] for one in found.rounds}
        assert (names[610], names[611]) == ("classic-2024", "classic-2026")
        both = [RULES["classic-2024"], replace(RULES["classic-2026"], last=None)]
        assert len(update(rules=both, factor=0.7).failed) == 4

    @pytest.mark.parametrize("cut", [1, 5, 40, 400])
    def test_a_line_that_was_not_written_to_its_end_is_none(self, season, tmp_path, cut):
        folder, _ = season
        shutil.copytree(folder / "out", tmp_path / "out")
        ledger = tmp_path / "out/season/ledger.txt"
        ledger.write_bytes(ledger.read_bytes()[:-cut])
        (tmp_path / "out/history/.left.parquet.new-0123abcd").write_text("killed")
        (tmp_path / "out/.index.html.new-0123abcd").write_text("killed")
        found = mmc_gpu.history(folder / "results", tmp_path / "out", **PAID)
        assert found.added <= 1
        assert contents(tmp_path / "out") == contents(folder / "out")

    @pytest.mark.parametrize("gone", ["history/605/*", "season/605 *", "history", "index.html"])
    def test_files_that_are_gone_come_back(self, season, tmp_path, gone):
        folder, _ = season
        shutil.copytree(folder / "out", tmp_path / "out")
        for path in (tmp_path / "out").glob(gone):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        mmc_gpu.history(folder / "results", tmp_path / "out", **PAID)
        assert contents(tmp_path / "out") == contents(folder / "out")

    def test_what_was_taken_in_stays_when_its_result_is_gone(self, season, tmp_path):
        folder, _ = season
        shutil.copytree(folder / "out", tmp_path / "out")
        (tmp_path / "results").mkdir()
        shutil.copytree(folder / "results/630", tmp_path / "results/630")
        found = mmc_gpu.history(tmp_path / "results", tmp_path / "out", **PAID)
        assert len(found.rounds) == 30
        assert found.gone == [str(number) for number in range(601, 630)]


class TestDamage:
    """What is not as it was written is refused or made again, never added up."""

    @pytest.fixture
    def out(self, season, tmp_path):
        """Return a copy of the season's history."""
        return shutil.copytree(season[0] / "out", tmp_path / "out")

    def again(self, season, out):
        return mmc_gpu.history(season[0] / "results", out, **PAID)

    @pytest.mark.parametrize("line", [b"5", b"{", b"", b'{"users": ["eve"]}'])
    def test_a_line_of_the_ledger_that_is_not_as_it_was_written_is_refused(self, season, out, line):
        ledger = out / "season/ledger.txt"
        lines = ledger.read_bytes().splitlines(keepends=True)
        lines[3] = lines[3][:9] + line + b"\n"
        ledger.write_bytes(b"".join(lines))
        with pytest.raises(RoundError, match="line 4") as caught:
            self.again(season, out)
        assert caught.value.code == "file-damaged"

    def test_an_array_with_another_bit_is_refused_and_one_that_is_cut_is_made_again(
        self, season, out
    ):
        (array,) = out.glob("season/605 *")
        data = bytearray(array.read_bytes())
        array.write_bytes(data[:-8])
        assert self.again(season, out).added == 1
        data[17] ^= 4
        array.write_bytes(data)
        with pytest.raises(RoundError, match="remove it") as caught:
            self.again(season, out)
        assert caught.value.code == "file-damaged"
        array.unlink()
        assert self.again(season, out).added == 1
        assert contents(out) == contents(season[0] / "out")

    def test_an_array_that_nothing_can_make_again_is_an_error(self, season, out, tmp_path):
        (array,) = out.glob("season/605 *")
        array.unlink()
        shutil.copytree(season[0] / "results/604", tmp_path / "results/604")
        with pytest.raises(RoundError, match="from its result") as caught:
            mmc_gpu.history(tmp_path / "results", out, **PAID)
        assert caught.value.code == "file-damaged"

    def test_rows_that_are_cut_are_written_again(self, season, out):
        (rows,) = out.glob("history/605/*")
        rows.write_bytes(rows.read_bytes()[:-9])
        assert self.again(season, out).added == 1
        assert contents(out) == contents(season[0] / "out")

    def test_nothing_of_others_is_removed_from_a_folder_called_season(self, season, tmp_path):
        shutil.copytree(season[0] / "out", tmp_path / "season")
        before = contents(tmp_path / "season")
        with pytest.raises(RoundError) as caught:
            self.again(season, tmp_path)
        assert caught.value.code == "output-foreign"
        assert contents(tmp_path / "season") == before

    def test_what_a_call_that_was_killed_at_its_start_has_left_is_no_hindrance(
        self, tmp_path, update
    ):
        write_round(tmp_path / "results", make_scores(7, ["ann", "bob"]))
        (tmp_path / "out/season").mkdir(parents=True)
        (tmp_path / "out/season/.ledger.txt.new-0123abcd").write_text("kil")
        assert update().added == 1


PEAK = """
import resource, sys
import mmc_gpu
mmc_gpu.history(sys.argv[1], sys.argv[2], rules=["classic-2024"], factor=0.7)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.platform == "linux":  # there it may be the parent's: a child begins as a copy
    peak = int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
print(peak // 1024)
assert not {"pandas", "pyarrow.compute"} & sys.modules.keys()  # whose imports take 0.4 s, 50 MiB
"""


def test_a_csv_has_each_number_to_the_bit_and_whole_ones_as_python_has_them():
    rng = np.random.default_rng(0)
    size = 5_000  # of several parts
    values = rng.normal(0, 1, size) * 10.0 ** rng.integers(-320, 300, size)
    values[:4] = np.nan, 1e-5, 5e-324, 0.1 + 0.2
    whole = np.where(rng.random(size) < 0.1, 0.0, values)
    whole[:3] = -0.0, np.inf, 1e300
    texts = ["a", 'b"', "c,d", "e\nf", "=1", "", "é", " x"] * (size // 8)
    money = [None, Decimal("0E-18")] * (size // 2)
    single = rng.normal(0, 1e-3, size).astype(np.float32)
    columns = {"x,y": values, "whole": whole, "text": texts, "n": np.arange(size), "nmr": money}
    columns |= {"single": single, "again": values[::-1]}
    heading, *rows = csv.reader(csv_bytes(columns).decode().splitlines(keepends=True))
    assert heading == list(columns)
    found = dict(zip(columns, zip(*rows, strict=True), strict=True))
    for name in ("x,y", "whole", "single", "again"):
        read = np.array(list(map(float, found[name])))
        np.testing.assert_array_equal(read.view(int), columns[name].astype(float).view(int))
    assert list(found["whole"][:3]) == ["-0.0", "inf", "1e+300"]
    assert [csv_unsafe(cell) for cell in found["text"]] == texts
    assert list(found["nmr"][:2]) == ["", "0.000000000000000000"]
    assert list(found["n"][:2]) == ["0", "1"]
    assert csv_bytes({"a": [], "b": []}) == b"a,b\n"


@pytest.mark.usefixtures("plain_memory")
def test_twenty_rounds_take_no_more_memory_than_two(run_python, tmp_path):
    users = [f"user_{number:05d}" for number in range(2_000)]
    for number in range(20):
        write_round(tmp_path / "twenty", make_scores(number, users))
    for number in range(2):
        shutil.copytree(tmp_path / f"twenty/{number}", tmp_path / f"two/{number}")
    two, twenty = (
        int(*run_python("-c", PEAK, str(tmp_path / name), str(tmp_path / f"out {name}")))
        for name in ("two", "twenty")  # a process each: what one has left is not the other's
    )
    assert twenty < two + 5  # MiB; 2 of the page. Tables of 20 rounds would be 5 more, rows 30


class TestRefusals:
    def test_a_folder_of_others_is_left_alone(self, season, tmp_path):
        folder, _ = season
        (tmp_path / "index.html").write_text("mine")
        with pytest.raises(RoundError) as caught:
            mmc_gpu.history(folder / "results", tmp_path)
        assert caught.value.code == "output-foreign"
        assert [path.name for path in tmp_path.iterdir()] == ["index.html"]

    def test_a_result_that_is_damaged_is_said_and_the_others_count(self, tmp_path, update):
        for number in (7, 8, 9):
            write_round(tmp_path / "results", make_scores(number, ["ann", "bob"]))
        with (tmp_path / "results/8/scores.parquet").open("ab") as file:
            file.write(b" ")
        (tmp_path / "results/9/receipt.json").write_text("{}")
        found = update()
        assert {name: error.code for name, error in found.failed.items()} == {
            "8": "receipt-invalid", "9": "receipt-invalid",
        }  # fmt: skip
        assert [one["round"] for one in found.rounds] == ["7"]

    def test_two_results_of_one_round_are_not_mixed(self, tmp_path, update):
        write_round(tmp_path / "results", make_scores(7, ["ann", "bob"]), "a")
        write_round(tmp_path / "results", make_scores(7, ["ann", "bob"], seed=1), "b")
        found = update()
        assert found.failed.keys() == {"b"}
        assert len(rows_of(tmp_path / "out")) == 2

    def test_a_result_whose_folder_is_renamed_is_the_same_round(self, tmp_path, update):
        write_round(tmp_path / "results", make_scores(7, ["ann", "bob"]), "a")
        update()
        (tmp_path / "results/a").rename(tmp_path / "results/b")
        found = update()
        assert (found.failed, [one["of"] for one in found.rounds]) == ({}, ["b"])
        assert len(rows_of(tmp_path / "out")) == 2

    def test_two_tournaments_are_not_mixed(self, tmp_path, update):
        write_round(tmp_path / "results", make_scores(7, ["ann", "bob"]))
        scores = make_scores(8, ["ann", "bob"])
        scores.notes = ("tournament signals, found from the column numerai_ticker: ranked",)
        folder = write_round(tmp_path / "results", scores)
        found = update()
        assert found.failed.keys() == {"8"}
        assert "signals, the history 'classic'" in str(found.failed["8"])
        assert [one["round"] for one in found.rounds] == ["7"]
        with pytest.raises(RoundError, match="of classic, the result of signals"):
            ScoreTable.read(read_round_receipt(folder)).pay(RULES["classic-2024"], 1)

    def test_the_scores_of_a_day_replace_those_of_no_day(self, tmp_path, update):
        write_round(tmp_path / "results", make_scores(7, ["ann", "bob"], title=False), "7")
        update()
        shutil.rmtree(tmp_path / "results/7")
        scores = make_scores(7, ["ann", "bob"], seed=1)
        write_round(tmp_path / "results", scores)
        table = update().table.set_index("user")
        assert table["mmc_sum"].to_dict() == dict(zip(scores.users, scores.mmc[0], strict=True))

    def test_a_result_of_an_earlier_day_is_kept_and_said_and_the_last_day_counts(
        self, tmp_path, update
    ):
        last, earlier = make_scores(7, ["ann", "bob"], day=9), make_scores(7, ["ann", "bob"])
        write_round(tmp_path / "results", last)
        assert update().older == []
        shutil.rmtree(tmp_path / "results/7")
        write_round(tmp_path / "results", earlier)
        found = update()
        assert found.older == ["7"]
        assert len(rows_of(tmp_path / "out")) == 4
        assert (update().older, update().unchanged) == (["7"], 1)
        table = found.table.set_index("user")
        assert table["mmc_sum"].to_dict() == dict(zip(last.users, last.mmc[0], strict=True))

    @pytest.mark.parametrize("limits", [{"window": 0}, {"least_rounds": 0}, {"least_stake": -1.0}])
    def test_definitions_that_define_nothing_are_refused(self, limits):
        with pytest.raises(ValueError, match="or more"):
            Definitions(**limits)

    def test_a_rule_that_pays_another_score_is_no_reason_to_pay_a_similar_one(
        self, tmp_path, update
    ):
        write_round(tmp_path / "results", make_scores(7, ["ann", "bob"], further=False))
        write_round(tmp_path / "results", make_scores(8, ["ann", "bob"]))
        found = update(**PAID)
        assert found.failed["7"].code == "score-absent"
        assert "--score numerai_corr" in str(found.failed["7"])

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"definitions": Definitions(score="tc")}, "no score 'tc'"),
            ({"rules": ["x"]}, "no rule"),
        ],
    )
    def test_what_is_not_there_is_an_error(self, tmp_path, update, options, match):
        write_round(tmp_path / "results", make_scores(7, ["ann", "bob"]))
        with pytest.raises(ValueError, match=match):
            update(**options)

    def test_where_every_result_fails_it_is_said_why(self, tmp_path, update):
        write_round(tmp_path / "results", make_scores(7, ["ann", "bob"]))
        with pytest.raises(RoundError, match="--factor"):
            update(rules=["classic-2024"])
        with pytest.raises(RoundError, match="more than one rule holds"):
            update(rules=["classic-2024", "classic-2026"], factor=1)

    def test_no_results_are_an_error(self, tmp_path, update):
        with pytest.raises(RoundError):
            update()
        (tmp_path / "results").mkdir()
        with pytest.raises(ValueError, match="no result"):
            update()


class TestStandings:
    def test_the_leaderboard_is_what_pandas_makes_of_the_rows(self, season):
        folder, _ = season
        rows = rows_of(folder / "out")
        found = pd.read_parquet(folder / "out/leaderboard.parquet").set_index("user")
        for user, own in rows.groupby("user"):
            one = found.loc[user]
            assert one["rounds"] == len(own)
            assert one["staked_rounds"] == (own["stake"] > 0).sum()
            assert one["stake"] == own.sort_values("number")["stake"].iloc[-1]
            for name in ("mmc", "corr", "corr_with_meta_model", *FURTHER):
                staked = (own["stake"] * own[name]).sum() / own["stake"].sum()
                expected = [own[name].mean(), own[name].sum(), own[name].std(ddof=0), staked]
                parts = ("mean", "sum", "std", "stake_weighted")
                np.testing.assert_allclose([one[f"{name}_{part}"] for part in parts], expected,
                                           rtol=1e-9, atol=1e-15)  # fmt: skip
            assert one["reputation"] == pytest.approx(own["mmc"].sum() / 260, rel=1e-12)
            enough = (own["stake"] >= 1).sum() >= 20
            weighted = (own["stake"] * own["mmc"]).sum() / own["stake"].sum()
            assert one["season_score"] == pytest.approx(weighted, rel=1e-12) or (
                np.isnan(one["season_score"]) and not enough
            )
            self.check_debt(own.sort_values("number")["payout"], one)
        assert list(found["rank"]) == list(range(1, len(found) + 1))
        assert found["reputation"].is_monotonic_decreasing
        assert 3 < found["season_score"].notna().sum() < len(found)

    def check_debt(self, payouts, one):
        debt = claimed = Decimal(0)
        for payout in payouts:
            claimed += max(Decimal(0), payout - debt)
            debt = max(Decimal(0), debt - payout)
        assert (one["payout"], one["claimable"], one["debt"]) == (sum(payouts), claimed, debt)

    def test_csv_and_parquet_say_the_same(self, season):
        folder, _ = season
        frame = pd.read_parquet(folder / "out/leaderboard.parquet")
        with (folder / "out/leaderboard.csv").open(newline="") as file:
            heading, *lines = csv.reader(file)
        assert heading == list(frame)
        for line, row in zip(lines, frame.itertuples(index=False), strict=True):
            for cell, value in zip(line, row, strict=True):
                if isinstance(value, Decimal):
                    assert cell == f"{value:f}"
                else:
                    assert cell == value or float(cell) == value or cell == "nan"

    def test_the_numbers_of_the_definitions_are_options(self, season, tmp_path):
        folder, _ = season
        rows = rows_of(folder / "out")
        limits = Definitions("corr", window=10, least_rounds=3, least_stake=50.0)
        options = {"definitions": limits, **PAID}
        shutil.copytree(folder / "out", tmp_path / "out")
        table = mmc_gpu.history(folder / "results", tmp_path / "out", **options).table
        for row in table.itertuples():
            own = rows[rows["user"] == row.user]
            last = own[own["number"] > 620]
            assert row.reputation == pytest.approx(last["corr"].sum() / 10, rel=1e-12)
            assert np.isnan(row.season_score) == ((own["stake"] >= 50).sum() < 3)

    def test_a_round_that_is_resolved_in_part_is_not_among_the_last_ones(self, tmp_path, update):
        for number in (7, 8, 9):
            folder = write_round(tmp_path / "results", make_scores(number, ["ann", "bob"]))
        receipt = json.loads((folder / "receipt.json").read_text())
        receipt["parameters"]["partial"] = True
        (folder / "receipt.json").write_text(json.dumps(receipt))
        table = update(definitions=Definitions(window=1)).table.set_index("user")
        scores = make_scores(8, ["ann", "bob"])
        assert table["reputation"].to_dict() == dict(zip(scores.users, scores.mmc[0], strict=True))

    def test_the_models_of_an_owner_share_a_season_score(self, season, tmp_path):
        folder, _ = season
        owners = {"user_001": "ann", "user_002": "ann", "user_003": "bob"}
        limits = Definitions(least_rounds=5, owners=owners)
        shutil.copytree(folder / "out", tmp_path / "out")
        found = mmc_gpu.history(folder / "results", tmp_path / "out", definitions=limits, **PAID)
        table, rows = found.table.set_index("user"), rows_of(folder / "out")
        own = rows[rows["user"].isin(["user_001", "user_002"])]
        expected = (own["stake"] * own["mmc"]).sum() / own["stake"].sum()
        np.testing.assert_allclose(table.loc[["user_001", "user_002"], "season_score"], expected)
        assert list(table.loc[["user_001", "user_003", "user_004"], "owner"]) == [
            "ann", "bob", "user_004",
        ]  # fmt: skip
        at_stake = own.groupby("number")["stake"].sum()
        assert (at_stake >= 1).sum() >= 5

    @pytest.mark.parametrize("owners", [None, {"ann": "x", "bob": "x"}])
    def test_where_no_stake_is_asked_for_a_round_counts_only_those_who_were_in_it(
        self, tmp_path, update, owners
    ):
        for number, users in ((7, ["ann", "cyd", "bob"]), (8, ["ann", "cyd"]), (9, ["cyd", "dan"])):
            write_round(tmp_path / "results", make_scores(number, users))
        limits = Definitions(least_rounds=2, least_stake=0.0, owners=owners)
        score = update(definitions=limits).table.set_index("user")["season_score"]
        expected = {"ann", "cyd", *(["bob"] if owners else [])}
        assert set(score[score.notna()].index) == expected

    def test_the_largest_stakes_are_summed_exactly(self, tmp_path, update):
        for number in (7, 8, 9):
            scores = make_scores(number, ["ann", "bob", "cyd"])
            scores.stakes[:] = [1e15, 3e14 / 7, 1e-18]
            write_round(tmp_path / "results", scores)
        found = update(**PAID).table.set_index("user")
        rows = rows_of(tmp_path / "out")
        for user, own in rows.groupby("user"):
            units = [int(f"{one:f}".replace(".", "")) for one in own["payout"]]
            total = found.loc[user, "payout"]
            assert int(f"{total:f}".replace(".", "")) == sum(units)
        assert abs(found["payout"]).max() > 10**12

    def test_a_score_that_a_user_lacks_is_not_counted(self, tmp_path, update):
        first, second = (make_scores(number, ["ann", "bob"]) for number in (7, 8))
        second.further.values["numerai_corr"][0, 0] = np.nan
        for scores in (first, second):
            write_round(tmp_path / "results", scores)
        table = update().table.set_index("user")
        user = second.users[0]
        mine = first.further.values["numerai_corr"][0, first.users.index(user)]
        assert table.loc[user, "numerai_corr_mean"] == pytest.approx(mine)
        assert table.loc[user, "rounds"] == 2


def test_a_result_that_may_not_be_looked_into_fails_alone(tmp_path, update, monkeypatch):
    for number in (7, 8):
        write_round(tmp_path / "results", make_scores(number, ["ann", "bob"]))
    shut, is_dir = next((tmp_path / "results").glob("*7")), Path.is_dir
    (shut / "receipt.json").rename(tmp_path / "receipt.json")

    def looked_into(path):
        if path.parent == shut:
            raise PermissionError(13, "Permission denied", str(path))
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", looked_into)
    found = update()
    assert (found.added, [*found.failed]) == (1, [shut.name])


def test_scores_are_read_as_they_were_written(season):
    folder, made = season
    table = ScoreTable.read(read_round_receipt(folder / "results/605"))
    scores = made[605]
    assert table.users == scores.users
    np.testing.assert_array_equal(table.values["mmc"], scores.mmc)
    np.testing.assert_array_equal(table.stakes, scores.stakes)
