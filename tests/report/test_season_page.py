"""The page of a season: small, whole, offline, and run by nobody's name."""

import base64
import json
import re
import zlib
from urllib.parse import unquote

import numpy as np
import pytest
from browser import UNDER_POINTER
from pages import HOSTILE
from reader import (
    CHOSEN,
    check_drawn,
    chosen_in_view,
    click_heading,
    column,
    follow,
    links_of,
    saved_table,
    searched,
)
from reader import search as search_for
from seasons import make_scores, make_season, write_round

import mmc_gpu
import mmc_gpu.report.season as season_report
from mmc_gpu.files.writing.tables import csv_unsafe
from mmc_gpu.rounds.standings import Definitions, Standings

MINUS = "\N{MINUS SIGN}"
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
NIGHT = {
    "rounds": [
        {"round": "631", "state": "waiting", "detail": "631: no targets in it"},
        {"round": "<b>632</b>", "state": "failed", "detail": "<img src=x onerror=alert(1)>"},
        {"round": "630", "state": "scored", "detail": ""},
    ]
}


@pytest.fixture(scope="module")
def season(tmp_path_factory):
    """A season of 12 rounds, with hostile names in the last ones: folder and what it holds."""
    folder = tmp_path_factory.mktemp("season")
    made = make_season(folder / "results", range(601, 611), 60)
    for number in (611, 612):
        made[number] = make_scores(number, [*HOSTILE, *made[601].users])
        write_round(folder / "results", made[number], report=0)
    (folder / "results/night.json").write_text(json.dumps(NIGHT))
    options = {"rules": ["classic-2024"], "factor": 0.7}
    return folder, mmc_gpu.history(folder / "results", folder / "out", **options)


@pytest.fixture
def page(season):
    return season[0] / "out/index.html"


def data_of(page):
    return json.loads(DATA.search(page.read_text("utf-8"))[1])


def integers(packed):
    data = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8)
    zigzag = np.ascontiguousarray(data.reshape(4, -1).T).view("<u4")[:, 0]
    return (zigzag >> 1).astype(np.int64) ^ -(zigzag & 1).astype(np.int64)


def large(users, rounds):
    """Return what `season_page` takes, of the size and spread of a real season."""
    rng = np.random.default_rng(0)
    names = [f"{rng.bytes(4).hex()}_{user}" for user in range(users)]
    scores = ["mmc", "corr", "corr_with_meta_model", "numerai_corr", "correlation_contribution"]
    stakes = np.exp(rng.normal(1, 3, users))
    entry = {"day": "2026-01-01", "users": users, "staked": 5e5, "corr": 0.01, "quarantined": 1}
    entry |= {"rule": "x", "earned": "1", "burnt": "-1", "faults": [["ann", "file-empty"]] * 20}
    entry |= {"columns": scores, "partial": False}
    entries = [entry | {"round": str(number), "seed": number} for number in range(rounds)]

    def read(one):
        rng = np.random.default_rng(one["seed"])
        values = rng.normal(0.003, 0.03, (len(scores), users))
        rows = np.empty((4 + len(scores), users), np.int64)
        rows[0], rows[1] = rng.permutation(users) + 1, stakes.view(np.int64)
        rows[2:4] = np.floor(stakes * values[0]), rng.integers(0, 10**18, users)
        rows[4:] = values.view(np.int64)
        return rows

    made = Standings(names, entries, Definitions(), read)
    links = ["../results/report.html"] * rounds
    return made, made.columns(made.order()), entries, read, links, []


@pytest.fixture(scope="module")
def large_page(tmp_path_factory):
    """The page of 500 rounds of 6,000 users."""
    path = tmp_path_factory.mktemp("season") / "index.html"
    path.write_bytes(season_report.season_page(*large(6_000, 500)))
    return path


class TestFile:
    def test_500_rounds_of_6000_users_fit_into_five_megabytes(self, large_page):
        assert large_page.stat().st_size < 5_000_000
        places = integers(data_of(large_page)["series"]["rows"])
        assert len(places) > 120
        assert list(places[:60]) == list(range(60))  # the best

    def test_the_largest_stakers_are_among_those_whose_rounds_are_shown(self):
        stakes = np.exp(np.random.default_rng(0).normal(1, 3, 6_000))
        places = season_report.followed(stakes, 500, 5)
        assert set(np.argsort(-stakes)[:50].tolist()) <= set(places.tolist())
        assert len(season_report.followed(stakes, 3, 5)) == 6_000

    def test_the_page_names_no_other_place_and_no_name_ends_a_script(self, page):
        text = page.read_text("utf-8")
        outside = re.findall(
            r"""(?:src|href)=|url\(|@import|https?://[^"'\s]+""", DATA.sub("", text)
        )
        assert outside == ["http://www.w3.org/2000/svg"]
        assert not set("<>&") & set(DATA.search(text)[1])

    def test_links_lead_to_the_reports_that_are_there(self, season, page):
        folder, _ = season
        links = {row[0]: row[-1] for row in data_of(page)["rounds"]}
        assert links["601"] == ""
        for number in ("611", "612"):
            target = (folder / "out" / unquote(links[number])).resolve()
            assert target == (folder / f"results/{number}/report.html").resolve()

    def test_numbers_are_those_of_the_leaderboard(self, season, page):
        packed, columns = data_of(page)["columns"], season[1].columns
        for name in ("reputation", "mmc_mean", "rounds"):
            found = integers(packed[name]["integers"]) / 10.0 ** packed[name]["decimals"]
            np.testing.assert_allclose(found, columns[name], atol=1e-5)


class TestReader:
    @pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
    def test_page_draws_without_errors_and_without_the_network(self, browser, page, width, dark):
        check_drawn(browser, page, width, dark)

    def test_the_leaderboard_is_there_with_a_line_for_each_user(self, untouched, season):
        columns = season[1].columns
        assert column(untouched, 1) == columns["user"][:5]
        shown = [f"{value:+.5f}".replace("-", MINUS) for value in columns["reputation"][:5]]
        assert column(untouched, 3) == shown
        rows = untouched.run("return document.querySelectorAll('.scroll tr[data-row]').length")
        assert untouched.run("return document.querySelectorAll('.spark path').length") == rows

    def test_a_round_under_the_pointer_is_told(self, untouched):
        (told, line), left = untouched.run(UNDER_POINTER, "#scores svg")
        assert re.match(r"\d+, targets of \S+\n", told)
        assert line == "visible"
        assert left == ["", "hidden"]

    def test_what_waits_failed_and_is_quarantined_is_said(self, untouched):
        news = untouched.run("return document.getElementById('news').innerText")
        for words in ("1 round waits", "631", "1 round has failed", "<img src=x", "file-empty"):
            assert words in news
        tiles = untouched.run("return document.getElementById('tiles').innerText")
        assert "1 waiting, 1 failed" in tiles
        assert untouched.run("return document.querySelectorAll('img, #news b').length") == 0

    def test_rounds_are_listed_the_last_first_with_links(self, untouched):
        first = untouched.run(
            "return [...document.querySelectorAll('#rounds a')].map((a) => a.text)"
        )
        assert first == ["612", "611"]
        names = untouched.run(
            "return [...document.querySelectorAll('#rounds tbody tr')]"
            ".map((row) => row.cells[0].innerText)"
        )
        assert names == [str(number) for number in range(612, 600, -1)]

    def test_headings_sort_and_the_table_is_saved(self, opened, season, tmp_path):
        columns = season[1].columns
        click_heading(opened, "Stake")
        heading, *rows = saved_table(opened, tmp_path)
        assert heading == ["rank", "user", "reputation", "season_score", "stake", "payout"]
        users = [csv_unsafe(row[1]) for row in rows]
        assert sorted(users) == sorted(columns["user"])
        assert users[0] == columns["user"][int(np.argmax(columns["stake"]))]

    def test_a_link_shows_a_user_and_runs_nothing(self, opened):
        who = "document.getElementById('who').textContent"
        assert searched(opened, HOSTILE, who) == {name: name for name in HOSTILE}
        for name, link in links_of(opened, HOSTILE[:2]).items():  # all: on the page of a round
            follow(opened, link)
            assert opened.run(CHOSEN) == opened.run(f"return {who}") == name
            assert chosen_in_view(opened), name
        assert opened.run("return document.title") == "A season of 12 rounds"
        assert opened.run("return document.scripts.length") == 2
        assert opened.log("browser") == []

    def test_a_user_has_scores_ranks_and_payouts_over_the_rounds(self, opened, season):
        _, found = season
        user = found.columns["user"][int(np.argmax(found.columns["rounds"]))]
        follow(opened, f"#user={user}")
        rounds = int(found.columns["rounds"].max())
        bars = "return document.querySelectorAll('#{} rect.bar').length"
        assert opened.run(bars.format("scores")) == rounds
        assert opened.run(bars.format("payouts")) == rounds
        for name in ("sums", "ranks"):
            assert opened.run(f"return document.querySelector('#{name} path.curve') !== null")
        facts = opened.run("return document.getElementById('facts').innerText")
        place = found.columns["user"].index(user)
        assert f"{found.columns['reputation'][place]:+.5f}".replace("-", MINUS) in facts
        assert "claimable" in facts
        before = opened.run("return document.getElementById('scores').innerHTML")
        opened.run(
            "const box = document.getElementById('score'); box.value = 1;"
            "box.dispatchEvent(new Event('change'))"
        )
        assert opened.run("return document.getElementById('scores').innerHTML") != before
        cells = opened.run(
            "showRounds({ rounds: [{ users: 1, staked: 1, corr: 0, earned: 0, burnt: null }],"
            " waiting: [], failed: [], quarantined: [], codes: {} });"
            "return [...document.querySelectorAll('#rounds td')].map((cell) => cell.innerText)"
        )
        assert cells[-2:] == ["\u2013", "\u2013"]  # of a round that has burnt nothing

    def test_who_is_not_on_the_page_is_said_to_be_in_the_dataset(self, browser, large_page):
        browser.open(large_page)
        assert browser.log("browser") == []
        kept = set(integers(data_of(large_page)["series"]["rows"]).tolist())
        place = next(place for place in range(6_000) if place not in kept)
        search_for(browser, f"_{place}")
        browser.run(f"choose({place})")
        told = browser.run("return document.getElementById('who-said').textContent")
        assert "the dataset beside it has everybody" in told
        assert browser.run("return document.getElementById('rounds-of-user').hidden")

    def test_a_season_of_one_round_and_two_users_without_payouts_has_a_page(
        self, browser, tmp_path
    ):
        write_round(tmp_path / "results", make_scores(7, ["ann", "bob"], further=False))
        mmc_gpu.history(tmp_path / "results", tmp_path / "out")
        browser.open(tmp_path / "out/index.html")
        assert browser.log("browser") == []
        assert len(column(browser, 1)) == 2
        assert browser.run("return document.getElementById('paid').hidden")
        assert "NaN" not in browser.run("return document.body.outerHTML.replace(/<script.*/s, '')")
