"""What the page of an evaluation compares: common eras, directions, targets, gaps, links, files."""

import numpy as np
import pandas as pd
import pytest
from pages import HOSTILE, made_up_evaluation
from reader import (
    CHOSEN,
    check_drawn,
    chosen_in_view,
    column,
    follow,
    links_of,
    saved_table,
    search,
)

import mmc_gpu
from mmc_gpu.files.writing.tables import csv_unsafe

ERAS, STOCKS, GAP, KNOWN = 60, 40, 15, 12
NAMES = ["good", "middling", "poor", *HOSTILE[:5]]
TARGETS = ["target", "target_ender_60"]
STATISTICS = "#statistics"
SECTIONS = "return document.getElementById(arguments[0]).innerText"


@pytest.fixture(scope="module")
def evaluation():
    """Eight models on two targets; noise that has only its 12 best eras; a late meta model."""
    rng = np.random.default_rng(7)
    size = ERAS * STOCKS
    era = np.repeat(np.arange(1, ERAS + 1), STOCKS)
    signal, other, luck = rng.standard_normal((3, size))
    frame = pd.DataFrame({"era": [f"{number:04d}" for number in era]})
    for name, known in zip(TARGETS, (signal, other), strict=True):
        frame[name] = pd.qcut(known + 2 * luck, 5, labels=False) / 4
    for place, name in enumerate(NAMES):
        share = 1 - place / 4
        frame[name] = share * signal - share * other + 2 * rng.standard_normal(size)
    frame["noise"] = rng.standard_normal(size)
    frame["bench"] = 0.4 * signal + rng.standard_normal(size)
    frame["meta"] = np.where(era <= GAP, np.nan, signal + rng.standard_normal(size))
    frame["feature_a"] = signal + rng.standard_normal(size)
    options = {
        "models": [*NAMES, "noise"],
        "benchmarks": ["bench"],
        "meta_model": "meta",
        "features": ["feature_a"],
        "metrics": ["corr", "mmc", "max_feature_exposure", "cwmm"],
        "target": TARGETS,
        "engine": "numpy",
    }
    found = mmc_gpu.evaluate(frame, **options).eras
    noise = found[(found["model"] == "noise") & (found["target"] == "target")]
    worst = set(noise.sort_values("corr")["era"][: ERAS - KNOWN])
    first = np.tile(np.arange(STOCKS) == 0, ERAS)
    frame.loc[first & frame["era"].isin(worst).to_numpy(), "noise"] = np.nan
    return mmc_gpu.evaluate(frame, **options)


@pytest.fixture(scope="module")
def page(evaluation, tmp_path_factory):
    return evaluation.report(tmp_path_factory.mktemp("fair") / "report.html")


def look(browser, **places):
    """Choose a target, a score, a benchmark to compare with, by their places."""
    for name, place in places.items():
        browser.run(
            "const box = document.getElementById(arguments[0]); box.value = arguments[1];"
            "box.dispatchEvent(new Event('change'))",
            name,
            place,
        )
    browser.run_async("setTimeout(arguments[0], 250)")


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_page_draws_without_errors_and_without_the_network(browser, page, width, dark):
    check_drawn(browser, page, width, dark)


def test_means_and_sharpe_ratios_have_their_intervals(untouched, evaluation):
    standing = evaluation.standing("corr", "target")
    first = standing.order[0]
    own = standing.own
    ends = [
        own.mean_low[first],
        own.mean_high[first],
        own.sharpe_low[first],
        own.sharpe_high[first],
    ]
    shown = column(untouched, 4, 1, STATISTICS) + column(untouched, 7, 1, STATISTICS)
    found = [
        float(end.replace("\N{MINUS SIGN}", "-")) for cell in shown for end in cell.split(" to ")
    ]
    np.testing.assert_allclose(found, ends, atol=0.0051)
    np.testing.assert_allclose(found[:2], ends[:2], atol=0.000051)


def test_lucky_noise_has_the_highest_mean_and_stands_below_all_others(opened, evaluation, tmp_path):
    check_saved(saved_table(opened, tmp_path), evaluation)
    standing = evaluation.standing("corr", "target")
    assert np.nanmax(standing.mean) == standing.mean[evaluation.models.index("noise")]
    names = column(opened, 2, 99)
    assert names[-1] == f"noise (too few eras: {KNOWN} of {ERAS})"
    assert column(opened, 0, 99)[-1] == "\N{EN DASH}"
    assert column(opened, 3, 99)[-1] == f"{KNOWN} of {ERAS}"
    for heading in ("corr", "corr", "mmc", "Model", "Eras"):
        opened.run(
            "[...document.querySelectorAll('#models th button')]"
            ".find((button) => button.textContent.startsWith(arguments[0])).click()",
            heading,
        )
        assert column(opened, 2, 99)[-1].startswith("noise (")
    assert "noise" not in opened.run(SECTIONS, "tiles")
    assert "noise" not in opened.run(SECTIONS, "legend")
    search(opened, "noise")
    assert f"none: too few eras: {KNOWN} of {ERAS}" in opened.run(SECTIONS, "facts")


def test_models_are_compared_over_the_eras_that_all_have_and_others_are_a_gap_not_0(
    opened, evaluation
):
    starts = (
        "return [...document.querySelectorAll('#sums path.line')]"
        ".map((path) => Number(path.getAttribute('d').match(/M([-.0-9]+)/)[1]))"
    )
    left = min(opened.run(starts))
    told = opened.run(SECTIONS, "said")
    assert all(sentence in told for sentence in evaluation.sentences(0))
    assert f"over {ERAS} eras that all {len(NAMES)} have" in told
    look(opened, score=1)
    assert f"over {ERAS - GAP} eras" in opened.run(SECTIONS, "statistics-said")
    assert set(column(opened, 2, len(NAMES) + 1, STATISTICS)) == {str(ERAS - GAP)}
    right = opened.run("return document.querySelector('#sums svg').viewBox.baseVal.width") - 10
    expected = left + (right - left) * GAP / (ERAS - 1)
    assert min(opened.run(starts)) == pytest.approx(expected, abs=1)  # before the meta model


def test_another_target_is_looked_at_in_every_part_and_a_model_that_is_not_there_is_named(
    opened, evaluation
):
    look(opened, target=1)
    standing = evaluation.standing("corr", TARGETS[1])
    expected = [evaluation.models[place] for place in [*standing.order, *standing.few]]
    found = [name.split(" (")[0] for name in column(opened, 2, 99)]
    assert found == [name.split(" (")[0] for name in expected]
    assert column(opened, 1, 99, STATISTICS) == column(opened, 2, 99)
    assert f"{TARGETS[1]}\n{standing.mean[standing.ranked[0]]:+.4f}" in opened.run(
        SECTIONS, "tiles"
    )
    assert "targets overlap 12 eras, since they last 60 days" in opened.run(SECTIONS, "said")
    follow(opened, "#model=nothing%3Ci%3E")
    assert "nothing<i>" in opened.run(SECTIONS, "unknown")


def test_the_best_exposure_is_the_lowest_and_has_no_sharpe(opened, evaluation, tmp_path):
    look(opened, score=2)
    standing = evaluation.standing("max_feature_exposure", "target")
    lowest = evaluation.models[int(np.argmin(np.where(standing.enough, standing.mean, np.inf)))]
    assert column(opened, 1, 1, STATISTICS) == [lowest]
    tiles = opened.run(SECTIONS, "tiles")
    assert lowest in tiles
    assert "Sharpe" not in tiles
    shown = opened.run(SECTIONS, "statistics") + opened.run(SECTIONS, "facts")
    assert not any(word in shown for word in ("Sharpe", "Drawdown", "> 0", "Smart"))
    assert opened.run("return document.getElementById('drawdowns').offsetParent") is None
    assert opened.run(SECTIONS, "sums-title") == "Mean of 3 eras."
    heading, *rows = saved_table(opened, tmp_path, "statistics-csv")
    assert {"mean", "mean_low", "mean_high", "std", "eras"} <= set(heading)
    assert not {"sharpe", "max_drawdown", "positive"} & set(heading)
    assert len(rows) == len(NAMES) + 2
    look(opened, score=3)  # of which neither way is better
    assert "no model is called best" in opened.run(SECTIONS, "tiles")
    assert set(column(opened, 0, 99, STATISTICS)) == {"\N{EN DASH}"}


@pytest.fixture(scope="module")
def links(browser, page):
    browser.show(page, "links")
    look(browser, target=1)
    return links_of(browser, HOSTILE[:2])


@pytest.mark.parametrize("name", HOSTILE[:2])  # all of them: on the page of a round
def test_a_link_chooses_its_model_and_target(browser, links, page, name):
    browser.show(page, "links")
    look(browser, target=0)
    follow(browser, links[name])
    assert browser.run(CHOSEN) == name
    assert chosen_in_view(browser)
    assert browser.run("return document.getElementById('target').value") == "1"
    assert browser.log("browser") == []


def check_saved(saved, evaluation):
    """Assert that the first table is saved with its notes."""
    heading, *rows = saved
    table = evaluation.table
    table = table[(table["target"] == "target") & (table["kind"] != "meta model")]
    assert sorted(heading) == sorted(table.columns)
    cells = [dict(zip(heading, row, strict=True)) for row in rows]
    assert [csv_unsafe(cell["model"]) for cell in cells] == table["model"].tolist()
    assert [cell["kind"] for cell in cells] == table["kind"].tolist()
    notes = [cell["note"] for cell in cells]
    assert notes[-1] == f"too few eras: {KNOWN} of {ERAS}"
    assert set(notes[:-1]) == {""}
    for name in evaluation.scores:
        found = [float(cell[name] or "nan") for cell in cells]
        np.testing.assert_allclose(found, table[name], atol=0.0000051)


def test_targets_that_the_page_has_no_room_for_are_named(
    browser, evaluation, tmp_path, monkeypatch
):
    monkeypatch.setattr("mmc_gpu.report.eras._SUMMARY_ROWS", 40)
    browser.open(evaluation.report(tmp_path / "report.html", TARGETS[1]))
    options = "return [...document.getElementById('target').options].map((o) => o.textContent)"
    assert browser.run(options) == TARGETS[1:]
    assert "Not on this page: target;" in browser.run(SECTIONS, "left")
    assert browser.log("browser") == []


@pytest.mark.parametrize("width", [1280, 390])
def test_names_that_begin_alike_look_different(browser, tmp_path, width):
    """Their middle gives way, not their end; the whole name is there to be read, and pointed at."""
    alike = [f"v53_lgbm_cyrusd_ender_deep_weighted_{days}" for days in (20, 60)]
    made = made_up_evaluation([*alike, "short"], 30, ("corr", *(f"bmc_{name}" for name in alike)))
    browser.open(made.report(tmp_path / "alike.html"), width)
    for name in alike:
        seen = browser.run(
            """
            return [...document.querySelectorAll(".cut")]
              .filter((one) => one.textContent.includes(arguments[0]))
              .map((one) => {
                const [end, line] = [document.createRange(), one.closest("th, td, li")];
                end.selectNode(one.childNodes[1]);
                const [[left, right], box] = [[one, end].map((part) =>
                  part.getBoundingClientRect()), line.getBoundingClientRect()];
                return [one.title.includes(arguments[0]), right.width > 30,
                        right.right <= box.right + 1, left.left >= box.left - 1];
              })
            """,
            name,
        )
        assert len(seen) >= 3  # both tables and a heading
        assert all(all(one) for one in seen), seen
