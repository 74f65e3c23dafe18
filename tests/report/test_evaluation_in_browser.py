"""The report of an evaluation as a reader has it: drawn, sorted, searched, compared."""

import numpy as np
import pytest
from browser import UNDER_POINTER
from pages import HOSTILE, made_up_evaluation
from reader import CHOSEN, CLICKED, check_drawn, click_heading, column, search, searched

import mmc_gpu.report.eras as evaluation_report

MINUS = "\N{MINUS SIGN}"
RANK, COMPARE, MODEL, ERAS, CORR, MMC = range(6)
OF_SCORE = {"rank": 0, "model": 1, "eras": 2, "mean": 3, "interval": 4, "std": 5, "sharpe": 6}
STATISTICS = "#statistics"

NAMES = ["benchmark", *HOSTILE, *(f"model_{number:02d}" for number in range(29))]


@pytest.fixture(scope="module")
def evaluation():
    """Forty models, ten of them with hostile names, over 60 eras."""
    return made_up_evaluation(NAMES, 60, ("corr", "mmc", "<b>bold</b>"))


@pytest.fixture(scope="module")
def page(evaluation, tmp_path_factory):
    return evaluation.report(tmp_path_factory.mktemp("report") / "report.html")


def best_first(scores):
    """Return the models' places; the last model lacks a quarter of the eras, and stands apart."""
    return np.append(np.argsort(-np.nanmean(scores[:, :-1], axis=0), kind="stable"), len(NAMES) - 1)


def signed(number, decimals):
    return f"{number:+.{decimals}f}".replace("-", MINUS)


def select(browser, name, place):
    """Choose an option, and wait until the page shows it."""
    browser.run(
        "const box = document.getElementById(arguments[0]); box.value = arguments[1];"
        "box.dispatchEvent(new Event('change'))",
        name,
        place,
    )
    browser.run_async("setTimeout(arguments[0], 200)")


def line_ends(browser, figure):
    """Return the last point of every line of a chart, in pixels from the top."""
    paths = browser.run(
        "return [...document.querySelectorAll(arguments[0] + ' path.line')]"
        ".map((path) => [path.getAttribute('class'), path.getAttribute('d')])",
        f"#{figure}",
    )
    return {name.split()[-1]: float(d.split()[-1]) for name, d in paths}


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_page_draws_without_errors_and_without_the_network(browser, page, width, dark):
    check_drawn(browser, page, width, dark)


def test_models_stand_by_their_mean(untouched, evaluation):
    means = np.nanmean(evaluation.scores["corr"][0], axis=0)
    best = best_first(evaluation.scores["corr"][0])[:5]
    benchmarks = evaluation.benchmarks
    expected = [NAMES[row] + (" (benchmark)" if NAMES[row] in benchmarks else "") for row in best]
    assert column(untouched, MODEL) == expected
    assert column(untouched, CORR) == [signed(means[row], 5) for row in best]
    assert column(untouched, ERAS) == ["60"] * 5
    means = np.nanmean(evaluation.scores["mmc"][0], axis=0)
    assert column(untouched, MMC) == [signed(means[row], 5) for row in best]


def test_curves_end_at_the_sum_of_the_scores(untouched, evaluation):
    row = best_first(evaluation.scores["corr"][0])[0]
    (chosen,) = (
        end for name, end in line_ends(untouched, "sums").items() if name == "share-chosen"
    )
    ticks = untouched.run(
        "return [...document.querySelectorAll('#sums text[text-anchor=end]')]"
        ".map((text) => [text.textContent, text.getAttribute('y') - 4])"
    )
    (low, low_y), (high, high_y) = (
        (float(text.replace(MINUS, "-")), y) for text, y in (ticks[0], ticks[-2])
    )
    expected = low_y + (evaluation.scores["corr"][0][:, row].sum() - low) / (high - low) * (
        high_y - low_y
    )
    assert chosen == pytest.approx(expected, abs=0.3)


def test_the_map_shows_good_eras_blue_bad_ones_orange_and_gaps_grey(untouched, evaluation):
    order = best_first(evaluation.scores["corr"][0])
    width, height, pixels = untouched.run(
        "const canvas = document.querySelector('#heat canvas');"
        "const { width, height } = canvas;"
        "const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);"
        "return [width, height, [...data]]"
    )
    assert (width, height) == (60, 40)
    red, _, blue, alpha = np.array(pixels).reshape(40, 60, 4).transpose(2, 0, 1)
    scores = evaluation.scores["corr"][0][:, order].T
    seen = alpha > 40  # a faint colour is rounded
    assert (blue > red)[seen & (scores > 0)].all()
    assert (blue < red)[seen & (scores < 0)].all()
    assert (blue == red)[np.isnan(scores)].all()
    assert seen.sum() > 1000


def test_quality_says_what_is_missing_and_why(untouched):
    quality = untouched.run("return document.getElementById('quality').innerText")
    assert "12 rows in 1 era have no target." in quality
    assert "1 model misses predictions; nothing is filled: model_28 45." in quality
    assert "prediction-missing" in quality
    assert "45 scores" in quality


def test_an_era_under_the_pointer_is_told_with_every_models_value(untouched, evaluation):
    (told, line), left = untouched.run(UNDER_POINTER, "#sums svg")
    era, *values = told.split("\n")
    assert era in evaluation.labels
    assert values
    assert line == "visible"
    assert left == ["", "hidden"]


def test_a_heading_sorts_and_sorts_back_and_search_finds_parts_of_names(opened, evaluation):
    summary = evaluation.summary.query("score == 'corr' and against == ''")
    summary = summary[summary["model"] != NAMES[-1]]  # stands apart
    click_heading(opened, "Sharpe", STATISTICS)
    sharpe = OF_SCORE["sharpe"]
    assert column(opened, sharpe, 1, STATISTICS) == [signed(summary["sharpe"].max(), 2)]
    click_heading(opened, "Sharpe", STATISTICS)
    assert column(opened, sharpe, 1, STATISTICS) == [signed(summary["sharpe"].min(), 2)]
    click_heading(opened, "mmc")
    means = np.nanmean(evaluation.scores["mmc"][0], axis=0)[:-1]
    assert column(opened, MMC, 1) == [signed(means.max(), 5)]
    click_heading(opened, "Model")
    assert column(opened, RANK) != ["1", "2", "3", "4", "5"]
    search(opened, "MODEL_1")
    wanted = [f"model_{number}" for number in range(10, 20)]
    assert sorted(column(opened, MODEL, 99)) == wanted
    assert sorted(column(opened, OF_SCORE["model"], 99, STATISTICS)) == wanted
    assert opened.run(CHOSEN).startswith("model_1")


def test_another_score_orders_the_models_anew_and_a_benchmark_is_subtracted_era_by_era(
    opened, evaluation
):
    select(opened, "score", 1)
    means = np.nanmean(evaluation.scores["mmc"][0], axis=0)
    best = best_first(evaluation.scores["mmc"][0])[:5]
    mean = OF_SCORE["mean"]
    assert column(opened, mean, 5, STATISTICS) == [signed(means[row], 5) for row in best]
    opened.run("document.getElementById('score').value = 0")
    select(opened, "against", 1)
    scores = evaluation.scores["corr"][0]
    less = scores - scores[:, :1]
    best = [row for row in best_first(less) if row][:3]
    expected = [signed(np.nanmean(less[:, row]), 5) for row in best]
    assert column(opened, mean, 3, STATISTICS) == expected
    search(opened, NAMES[best[0]])
    highest = np.nanmax(less[:, best[0]])
    facts = opened.run("return document.getElementById('facts').innerText")
    assert f"{signed(highest, 9)[:6]}" in facts


def test_a_ticked_model_gets_a_line_and_a_column(opened):
    assert len(line_ends(opened, "drawdowns")) == 5
    headings = "return [...document.querySelectorAll('#side th')].map((th) => th.textContent)"
    search(opened, "model_07")
    opened.run("document.querySelector('tr[data-row] input').click()")
    search(opened, "model_08")
    opened.run_async("setTimeout(arguments[0], 100)")
    assert "model_07" in opened.run(headings)
    lines = line_ends(opened, "drawdowns")
    assert len(lines) == 6  # the first of five has given way; and there is the chosen one
    assert "share-chosen" in lines
    search(opened, "model_07")
    opened.run("document.querySelector('tr[data-row] input').click()")
    search(opened, "model_09")
    assert len(line_ends(opened, "drawdowns")) == 5


def test_a_click_on_the_map_chooses_the_model_and_hostile_names_run_nothing(opened, evaluation):
    opened.run(
        "document.querySelector('#heat').scrollIntoView();"
        "const box = document.querySelector('#heat canvas').getBoundingClientRect();"
        "const [clientX, clientY] = [box.x + box.width / 2, box.y + (box.height * 20.5) / 40];"
        "document.elementFromPoint(clientX, clientY).dispatchEvent("
        "new MouseEvent('click', { bubbles: true, clientX, clientY }))"
    )
    assert opened.run(CHOSEN) == NAMES[best_first(evaluation.scores["corr"][0])[20]]
    found = searched(opened, HOSTILE, f"[row.cells[{MODEL}].innerText.startsWith(name), {CLICKED}]")
    assert found == {name: [True, name] for name in HOSTILE}
    select(opened, "score", 2)
    assert opened.run("return document.title") == "40 models over 60 eras"
    assert opened.run("return document.querySelectorAll('img, b:not(figcaption b)').length") == 0
    assert opened.run("return document.scripts.length") == 2
    assert opened.log("browser") == []


@pytest.mark.parametrize(("models", "eras", "scores"), [(1, 1, 1), (2, 3, 2), (700, 40, 1)])
def test_odd_evaluations_have_a_page_too(browser, tmp_path, models, eras, scores):
    names = [f"m{number}" for number in range(models)]
    made = made_up_evaluation(names, eras, ("corr", "mmc")[:scores])
    browser.open(made.report(tmp_path / "report.html"))
    assert browser.log("browser") == []
    browser.run("document.getElementById('quality').remove()")  # a remedy speaks of NaN
    assert "NaN" not in browser.run("return document.body.outerHTML.replace(/<script.*/s, '')")
    assert browser.run("return document.querySelectorAll('*').length") < 2_000


def test_what_the_page_has_no_room_for_is_said(browser, tmp_path, monkeypatch):
    """Of some models the eras, of some benchmarks the differences."""
    monkeypatch.setattr(evaluation_report, "_SERIES_BITS", 4 * 30 * 2 * 10)
    monkeypatch.setattr(evaluation_report, "_SUMMARY_ROWS", 3 * 20 * 2)
    names = [f"m{number}" for number in range(20)]
    made = made_up_evaluation(names, 30, ("corr", "mmc"), benchmarks=5)
    browser.open(made.report(tmp_path / "report.html"))
    options = "return [...document.getElementById('against').options].map((o) => o.textContent)"
    assert browser.run(options) == ["nothing", "m0", "m1"]
    assert "3 more benchmarks" in browser.run("return document.getElementById('left').textContent")
    assert browser.run("return document.querySelector('#heat canvas').height") == 10
    click_heading(browser, "Rank")
    browser.run("document.querySelector('tr[data-row]').cells[0].click()")
    assert "everybody" in browser.run("return document.getElementById('own-note').textContent")
    assert browser.log("browser") == []
