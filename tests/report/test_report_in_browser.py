"""The report as a reader has it: drawn, sorted, searched, and run by nobody's name."""

import dataclasses

import numpy as np
import pytest
from pages import HOSTILE, made_up_scores
from reader import CHOSEN, check_drawn, click_heading, column, search

import mmc_gpu.report.rounds as round_report
from mmc_gpu.files.results.rounds import make_receipt

MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def page(scores, tmp_path_factory):
    return scores.report(tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def opened(browser, page):
    browser.open(page)
    return browser


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_draws_without_errors_and_without_the_network(browser, page, width, dark):
    check_drawn(browser, page, width, dark)


def test_leaderboard_shows_the_scores_best_first(opened, scores):
    best = scores.order()[:5]
    assert column(opened, 1) == [scores.users[user] for user in best]
    shown = [f"{scores.mmc[0, user]:+.5f}".replace("-", MINUS) for user in best]
    assert column(opened, 3) == shown


def test_a_heading_sorts_and_sorts_back(opened, scores):
    click_heading(opened, "CORR")
    by_corr = np.argsort(-scores.corr[0].round(4), kind="stable")
    assert column(opened, 6, 1) == [f"{scores.corr[0, by_corr[0]]:+.4f}"]
    click_heading(opened, "CORR")
    assert column(opened, 6, 1) == [f"{scores.corr[0, by_corr[-1]]:+.4f}".replace("-", MINUS)]
    click_heading(opened, "User")
    assert column(opened, 1) == sorted(scores.users)[:5]


def test_search_finds_parts_of_names_in_any_case(opened, scores):
    word = scores.users[30][2:7].upper()
    search(opened, word)
    expected = [user for user in scores.users if word.lower() in user.lower()]
    assert sorted(column(opened, 1, 1000)) == sorted(expected)
    assert opened.run(CHOSEN) in expected
    search(opened, "no such user")
    assert column(opened, 1) == []


def test_the_chosen_user_is_shown_everywhere(opened, scores):
    row = "document.querySelectorAll('tr[data-row]')[3]"
    opened.run(f"{row}.querySelector('td').click()")
    user = scores.users[scores.order()[3]]
    assert opened.run(CHOSEN) == user
    assert opened.run(f"return {row}.getAttribute('aria-selected')") == "true"
    strip = opened.run("return [...document.querySelectorAll('#strip g.chosen circle')].length")
    assert strip == scores.method.draws
    assert opened.run("return document.querySelectorAll('circle.chosen').length") == 2


def test_arrow_keys_walk_through_the_table(opened, scores):
    opened.run(
        "const box = document.getElementById('leaderboard');"
        "for (const key of ['ArrowDown', 'ArrowDown', 'ArrowUp', 'End', 'ArrowUp'])"
        " box.dispatchEvent(new KeyboardEvent('keydown', { key }))"
    )
    assert opened.run(CHOSEN) == scores.users[scores.order()[-2]]


def test_a_click_on_a_dot_chooses_its_user(opened, scores):
    place = opened.run(
        "document.querySelector('#corr').scrollIntoView();"
        "const box = document.querySelector('#corr circle.chosen').getBoundingClientRect();"
        "return [box.x + box.width / 2, box.y + box.height / 2]"
    )
    search(opened, scores.users[scores.order()[40]])
    opened.run(
        "const [clientX, clientY] = arguments[0];"
        "document.elementFromPoint(clientX, clientY).dispatchEvent("
        "new MouseEvent('click', { bubbles: true, clientX, clientY }))",
        place,
    )
    assert opened.run(CHOSEN) == scores.users[scores.order()[0]]


def test_hostile_names_are_shown_and_run_nothing(browser, scores, tmp_path):
    page = scores.report(tmp_path / "report.html", target="<b>bold</b>")
    browser.open(page)
    for name in HOSTILE:
        search(browser, name)
        assert name in column(browser, 1)
        browser.run(
            "[...document.querySelectorAll('tr[data-row]')]"
            ".find((row) => row.cells[1].textContent === arguments[0]).cells[0].click()",
            name,
        )
        assert browser.run(CHOSEN) == name
    assert browser.run("return document.title") == f"MMC of {len(scores.users)} users"
    assert browser.run("return document.querySelectorAll('img, b:not(figcaption b)').length") == 0
    assert browser.run("return document.scripts.length") == 2
    assert browser.log("browser") == []


def test_the_policy_stops_a_script_that_slips_in(opened):
    opened.run(
        "const script = document.createElement('script'); const image = new Image();"
        "try { script.text = 'document.title = 1' } catch {}"
        "try { document.body.innerHTML = '<img src=x onerror=\"document.title = 1\">' } catch {}"
        "document.body.append(script); image.src = 'http://127.0.0.1:9/x.png'"
    )
    assert opened.run("return document.title").startswith("MMC of")
    assert opened.requests()[1:] == []
    assert any("Content Security Policy" in entry["message"] for entry in opened.log("browser"))


def test_quality_names_who_was_left_out_filled_and_alike(opened, scores):
    quality = opened.run("return document.getElementById('quality').innerText")
    (fault,) = scores.quarantined
    assert fault.code in quality
    assert "1 user had missing predictions filled" in quality
    assert "have identical scores" in quality


def test_paper_gets_fifty_rows_and_no_controls(opened):
    opened.command("Emulation.setEmulatedMedia", media="print")
    opened.run("dispatchEvent(new Event('beforeprint'))")
    assert len(column(opened, 1, 1000)) == 50
    assert opened.run("return document.getElementById('search').offsetParent") is None
    opened.command("Emulation.setEmulatedMedia", media="screen")
    opened.run("dispatchEvent(new Event('afterprint'))")
    assert len(column(opened, 1, 1000)) < 50


def test_a_result_without_draws_says_how_to_get_them(browser, scores, tmp_path):
    bare = dataclasses.replace(scores, per_draw=None)
    page = tmp_path / "report.html"
    page.write_bytes(round_report.round_page(bare, make_receipt(scores)))
    browser.open(page)
    assert browser.log("browser") == []
    assert "--save-draws" in browser.run("return document.getElementById('survival').textContent")
    assert "Likely rank" not in browser.run("return document.body.innerText")


@pytest.mark.parametrize(
    ("users", "draws", "size"), [(2, 1, 1), (3, 4, 0), (25, 50, 1e6), (25, 20, 1e-7), (9, 20, 0.1)]
)
def test_odd_rounds_have_a_page_too(browser, tmp_path, users, draws, size):
    scores = made_up_scores(users, draws)
    scores.mmc[:], scores.per_draw[:] = scores.mmc * size, scores.per_draw * size
    browser.open(scores.report(tmp_path / "report.html"))
    assert browser.log("browser") == []
    assert len(column(browser, 1, 1000)) == users
    assert "NaN" not in browser.run("return document.body.outerHTML.replace(/<script.*/s, '')")


def test_a_hundred_thousand_users_do_not_choke_the_browser(browser, large, large_page):
    browser.open(large_page)
    assert browser.log("browser") == []
    assert browser.run("return document.querySelectorAll('*').length") < 2_000
    browser.run("document.getElementById('leaderboard').scrollTop = 1e9")
    browser.run_async("setTimeout(arguments[0], 200)")
    assert column(browser, 1, 1000)[-1] == large.users[large.order()[-1]]
    spent = browser.run(
        "const start = performance.now();"
        "for (const letter of ['a', 'ab', 'ab3', '']) {"
        " const box = document.getElementById('search'); box.value = letter;"
        " box.dispatchEvent(new Event('input')) }"
        "return (performance.now() - start) / 4"
    )
    assert spent < 1_000  # 60 ms a letter on an idle core; a frozen page takes many seconds
