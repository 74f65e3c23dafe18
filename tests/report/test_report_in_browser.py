"""The report as a reader has it: drawn, sorted, searched, and run by nobody's name."""

import dataclasses

import numpy as np
import pytest
from pages import HOSTILE, made_up_scores
from reader import (
    CHOSEN,
    CLICKED,
    check_drawn,
    chosen_in_view,
    click_heading,
    column,
    follow,
    links_of,
    loaded_again,
    saved_table,
    search,
    searched,
)

import mmc_gpu.report.rounds as round_report
from mmc_gpu.files.results.rounds import make_receipt
from mmc_gpu.files.writing.tables import csv_bytes, csv_unsafe

MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def page(scores, tmp_path_factory):
    return scores.report(tmp_path_factory.mktemp("report") / "report.html")


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_page_draws_without_errors_and_without_the_network(browser, page, width, dark):
    check_drawn(browser, page, width, dark)


def test_leaderboard_shows_the_scores_best_first(untouched, scores):
    best = scores.order()[:5]
    assert column(untouched, 1) == [scores.users[user] for user in best]
    shown = [f"{scores.mmc[0, user]:+.5f}".replace("-", MINUS) for user in best]
    assert column(untouched, 3) == shown


def test_cells_of_a_saved_table_are_those_of_the_tables_that_are_written(untouched):
    odd = ["'=1", "''@x", "\t=", "-5", "+1", "'plain", 'a"b', "a,b", "a\nb", '="a",b', "é"]
    names = [*HOSTILE, *odd]
    written = csv_bytes({"name": names}).decode().removeprefix("name\n")
    cells = untouched.run("return arguments[0].map(csvCell)", names)
    assert "".join(f"{cell}\n" for cell in cells) == written


def test_axes_are_as_tight_as_the_data_and_no_dot_is_on_a_percentage(untouched, scores):
    dots, texts = untouched.run(
        "const picture = document.querySelector('#corr svg');"
        "const box = (one) => { const { x, y, width, height } = one.getBBox();"
        " return [x, y, x + width, y + height] };"
        "const spots = [...picture.querySelectorAll('.cloud')]"
        ".flatMap((path) => path.getAttribute('d').match(/[-.0-9]+ [-.0-9]+/g) ?? []);"
        "return [spots.map((spot) => spot.split(' ').map(Number)),"
        " [...picture.querySelectorAll('.quarter')].map(box)]"
    )
    (left, top), (right, bottom) = np.min(dots, axis=0), np.max(dots, axis=0)
    width = untouched.run("return document.querySelector('#corr svg').viewBox.baseVal.width")
    assert right - left > 0.9 * (width - 62)
    for x, y, x_end, y_end in texts:
        assert all(
            not (x - 4 < dot_x < x_end + 4 and y - 4 < dot_y < y_end + 4) for dot_x, dot_y in dots
        )
    assert top < bottom
    assert len(texts) >= 3


def test_sentences_count_scores_above_0(untouched, scores):
    share = round(100 * float((scores.corr[0] > 0).mean()))
    told = untouched.run("return document.getElementById('positive').textContent")
    assert told == f"{share} % of the users have a CORR above 0."


def test_quality_names_who_was_left_out_filled_and_alike(untouched, scores):
    quality = untouched.run("return document.getElementById('quality').innerText")
    (fault,) = scores.quarantined
    assert fault.code in quality
    assert "1 user had missing predictions filled" in quality
    assert "have identical scores" in quality


def test_a_heading_sorts_and_sorts_back_and_the_table_is_saved_as_it_is_shown(
    opened, scores, tmp_path
):
    click_heading(opened, "CORR")
    by_corr = np.argsort(-scores.corr[0].round(4), kind="stable")
    assert column(opened, 6, 1) == [f"{scores.corr[0, by_corr[0]]:+.4f}"]
    check_saved(saved_table(opened, tmp_path), column(opened, 1), scores)
    click_heading(opened, "CORR")
    assert column(opened, 6, 1) == [f"{scores.corr[0, by_corr[-1]]:+.4f}".replace("-", MINUS)]
    click_heading(opened, "User")
    assert column(opened, 1) == sorted(scores.users)[:5]


def test_search_finds_parts_of_names_in_any_case_and_what_is_not_there_is_said(opened, scores):
    word = scores.users[30][2:7].upper()
    search(opened, word)
    expected = [user for user in scores.users if word.lower() in user.lower()]
    assert sorted(column(opened, 1, 1000)) == sorted(expected)
    assert opened.run(CHOSEN) in expected
    search(opened, "no such user")
    assert column(opened, 1) == []
    assert opened.run("return document.getElementById('found').textContent").startswith("0 of")
    follow(opened, "#user=nobody%3Cb%3E&target=none")
    told = opened.run("return document.getElementById('unknown').innerText")
    assert "no user called “nobody<b>”" in told
    assert "no target called “none”" in told
    assert opened.run("return document.querySelectorAll('#unknown *').length") == 0


def test_dots_rows_and_arrow_keys_choose_a_user_who_is_shown_everywhere(opened, scores):
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
    search(opened, "")
    row = "document.querySelectorAll('tr[data-row]')[3]"
    opened.run(f"{row}.querySelector('td').click()")
    user = scores.users[scores.order()[3]]
    assert opened.run(CHOSEN) == user
    assert opened.run(f"return {row}.getAttribute('aria-selected')") == "true"
    strip = opened.run("return [...document.querySelectorAll('#strip g.chosen circle')].length")
    assert strip == scores.method.draws
    assert opened.run("return document.querySelectorAll('circle.chosen').length") == 2

    for keys, place in ((["ArrowDown", "ArrowDown", "ArrowUp"], 4), (["End", "ArrowUp"], -2)):
        opened.run(
            "const box = document.getElementById('leaderboard');"
            "for (const key of arguments[0])"
            " box.dispatchEvent(new KeyboardEvent('keydown', { key }))",
            keys,
        )
        assert opened.run(CHOSEN) == scores.users[scores.order()[place]]


TARGET = (
    "const box = document.getElementById('target'); box.value = arguments[0];"
    "box.dispatchEvent(new Event('change'))"
)


def test_another_target_orders_the_users_anew(opened, scores):
    search(opened, scores.users[30])
    opened.run(TARGET, 1)
    loaded_again(opened)
    assert opened.run(CHOSEN) == scores.users[30]
    click_heading(opened, "Rank")
    click_heading(opened, "Rank")
    best = scores.order(1)[:5]
    assert column(opened, 1) == [scores.users[user] for user in best]
    assert column(opened, 2) == [
        "\N{EN DASH}" if not stake else "< 0.01" if stake < 0.01 else f"{stake:,.2f}"
        for stake in scores.stakes[best]
    ]
    assert column(opened, 3) == [f"{scores.mmc[1, user]:+.5f}".replace("-", MINUS) for user in best]
    tiles = opened.run("return document.getElementById('tiles').innerText")
    assert f"{scores.full_meta_model_corr[1]:+.4f}".replace("-", MINUS) in tiles
    assert opened.log("browser") == []


@pytest.fixture(scope="module")
def renamed(browser, scores, tmp_path_factory):
    """A page on which one user has another name, and the links to users on it."""
    users = ["a+b c&d%" if user == scores.users[40] else user for user in scores.users]
    made = dataclasses.replace(scores, users=users)
    page = tmp_path_factory.mktemp("renamed") / "report.html"
    made.report(page, target="<b>bold</b>")
    browser.show(page, "links")
    return page, links_of(browser, [*HOSTILE, "a+b c&d%"])


@pytest.mark.parametrize("name", [*HOSTILE, "a+b c&d%"])
def test_a_link_chooses_its_user_and_scrolls_there(browser, renamed, name):
    page, links = renamed
    link = links[name]
    assert not set(' <>"{}') & set(link)
    browser.show(page, "links")
    search(browser, "no such user")
    follow(browser, link)
    assert browser.run(CHOSEN) == name
    assert chosen_in_view(browser)
    assert browser.run("return document.getElementById('unknown').textContent") == ""
    assert browser.log("browser") == []


def check_saved(table, first, scores):
    """Assert that a saved table has all scores, and these users first."""
    heading, *rows = table
    assert heading == [
        "target", "rank", "user", "stake", "mmc", "mmc_se", "rank_low", "rank_high", "corr",
        "corr_with_meta_model",
    ]  # fmt: skip
    users = [csv_unsafe(row[2]) for row in rows]
    assert users[:5] == first
    assert sorted(users) == sorted(scores.users)
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row)
    places = [scores.users.index(user) for user in users]
    np.testing.assert_array_equal([float(row[4]) for row in rows], scores.mmc[0, places].round(5))
    np.testing.assert_allclose([float(row[3]) for row in rows], scores.stakes[places], rtol=1e-6)


def test_hostile_names_are_shown_and_run_nothing(browser, renamed, scores):
    browser.show(renamed[0], "links")
    found = searched(browser, HOSTILE, f"[row.cells[1].innerText, {CLICKED}]")
    assert found == {name: [name, name] for name in HOSTILE}
    assert browser.run("return document.title") == f"MMC of {len(scores.users)} users"
    assert browser.run("return document.querySelectorAll('img, b:not(figcaption b)').length") == 0
    assert browser.run("return document.scripts.length") == 2
    assert browser.log("browser") == []


def test_the_policy_stops_a_script_that_slips_in(browser, page):
    browser.open(page)
    browser.run(
        "const script = document.createElement('script'); const image = new Image();"
        "try { script.text = 'document.title = 1' } catch {}"
        "try { document.body.innerHTML = '<img src=x onerror=\"document.title = 1\">' } catch {}"
        "document.body.append(script); image.src = 'http://127.0.0.1:9/x.png'"
    )
    assert browser.run("return document.title").startswith("MMC of")
    assert browser.requests()[1:] == []
    assert any("Content Security Policy" in entry["message"] for entry in browser.log("browser"))


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


@pytest.fixture(scope="module")
def large():
    """As many users as a report takes."""
    return made_up_scores(100_000)


def made_up_intervals(best_first):
    """Return ends that are far from the ranks: no page has more digits of them."""
    ranks = np.arange(1, len(best_first) + 1)[:, None]
    far = np.random.default_rng(0).normal(0, len(ranks) / 8, (2, len(ranks))).T
    ends = np.clip(np.rint(ranks + np.abs(far) * [-1, 1]), 1, len(ranks))
    return ends.astype(np.int64)


@pytest.fixture(scope="module")
def large_page(large, tmp_path_factory):
    """The page of so many; their ranks are not drawn anew, which takes seconds."""
    path = tmp_path_factory.mktemp("report") / "large.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(round_report, "rank_intervals", made_up_intervals)
        path.write_bytes(round_report.round_page(large, make_receipt(made_up_scores(9))))
    return path


def test_a_hundred_thousand_users_fit_into_five_megabytes(large_page):
    assert large_page.stat().st_size < 5_000_000


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
